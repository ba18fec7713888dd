//! TLS for outbound connections: which certificates are trusted, and what a failed handshake means.
//!
//! There is no switch to accept a bad certificate; a private authority is added through `MAILGRANT_EXTRA_CA_FILE`.

use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ProtocolVersion};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{NetError, TlsFailure};

/// What was agreed on in a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// "TLS 1.3" or "TLS 1.2".
    pub version: &'static str,
    /// The end of the server certificate's life; `None` when it cannot be read.
    pub not_after: Option<DateTime<Utc>>,
}

impl TlsInfo {
    /// Whole days until the server's certificate ends; negative once it has.
    pub fn days_left(&self, now: DateTime<Utc>) -> Option<i64> {
        self.not_after.map(|end| (end - now).num_days())
    }
}

/// Reads the certificates of an extra CA file.
pub(super) fn read_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| NetError::ExtraCa(e.to_string()))?;
    if certs.is_empty() {
        return Err(NetError::ExtraCa("no BEGIN CERTIFICATE found".into()));
    }
    Ok(certs)
}

/// The TLS settings of every outbound connection; `None` when this machine trusts nobody.
pub(super) fn client_config(extra: Vec<CertificateDer<'static>>) -> Result<Option<ClientConfig>, NetError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let has_extra = !extra.is_empty();
    let verifier = match Verifier::new_with_extra_roots(extra, provider.clone()) {
        Ok(verifier) => verifier,
        Err(e) if has_extra => return Err(NetError::ExtraCa(e.to_string())),
        // A container without CA certificates still serves its own pages; each TLS connection then says what is missing.
        Err(_) => return Ok(None),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| NetError::HttpClient(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Some(config))
}

/// Runs the handshake. The caller bounds its time.
pub(super) async fn handshake<S>(
    config: Arc<ClientConfig>,
    host: &str,
    stream: S,
) -> Result<(TlsStream<S>, TlsInfo), TlsFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| TlsFailure::Handshake("the host name cannot be put into a certificate".into()))?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|e| failure(&e))?;
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let not_after = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(not_after);
    Ok((stream, TlsInfo { version, not_after }))
}

fn not_after(cert: &CertificateDer<'_>) -> Option<DateTime<Utc>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(cert.as_ref()).ok()?;
    DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0)
}

/// What a failed handshake means. Also used for failures inside the HTTP client.
pub(super) fn failure(error: &io::Error) -> TlsFailure {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(tls) => classify(tls),
        None if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ) =>
        {
            TlsFailure::HungUp
        }
        None => TlsFailure::Handshake(error.kind().to_string()),
    }
}

pub(super) fn classify(error: &rustls::Error) -> TlsFailure {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(cert) => match cert {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFailure::NotYetValid
            }
            CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongName
            }
            CertificateError::Revoked => TlsFailure::Revoked,
            // A self-signed authority used as the server's own certificate ends here.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                TlsFailure::UnknownIssuer
            }
            other => TlsFailure::BadCertificate(short(&format!("{other:?}"))),
        },
        // The first bytes were no TLS record: a plain-text greeting, usually.
        Error::InvalidMessage(_) => TlsFailure::NotTls,
        Error::AlertReceived(alert) => TlsFailure::Handshake(format!("alert {alert:?}")),
        other => TlsFailure::Handshake(short(&other.to_string())),
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}
