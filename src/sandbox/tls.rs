//! The certificates of the sandbox's IMAP server: an authority made at start, and one certificate for each way
//! in which a certificate can be wrong. The authority's private key is dropped as soon as they are signed.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::SandboxError;
use super::faults::TlsFault;

/// The name the certificate is for, beside the loopback addresses.
pub(super) const TLS_HOST: &str = "localhost";

/// Server configurations, one for each kind of certificate.
pub(super) struct Certificates {
    /// The authority that a caller adds to the ones it trusts.
    pub ca_pem: String,
    good: Arc<ServerConfig>,
    unknown_authority: Arc<ServerConfig>,
    other_host: Arc<ServerConfig>,
    expired: Arc<ServerConfig>,
}

impl Certificates {
    /// Makes them. They are valid from the year 2000 until twenty years from `now`, so that a test's moved
    /// clock and the machine's real one both fall inside.
    pub fn make(now: DateTime<Utc>) -> Result<Certificates, SandboxError> {
        let last_year = now.year().clamp(2000, 9000) + 20;
        let (ca_pem, issuer) = authority("Mailgrant sandbox CA", last_year)?;
        let (_, stranger) = authority("Unknown CA", last_year)?;
        let names = [TLS_HOST, "127.0.0.1", "::1"];
        Ok(Certificates {
            ca_pem,
            good: server(&names, last_year, &issuer)?,
            unknown_authority: server(&names, last_year, &stranger)?,
            other_host: server(&["imap.elsewhere.test"], last_year, &issuer)?,
            expired: server(&names, 2001, &issuer)?,
        })
    }

    /// The configuration to answer a handshake with; none when it is to be refused.
    pub fn config(&self, fault: TlsFault) -> Option<Arc<ServerConfig>> {
        match fault {
            TlsFault::None => Some(self.good.clone()),
            TlsFault::Refused => None,
            TlsFault::UnknownAuthority => Some(self.unknown_authority.clone()),
            TlsFault::OtherHost => Some(self.other_host.clone()),
            TlsFault::Expired => Some(self.expired.clone()),
        }
    }
}

fn authority(name: &str, last_year: i32) -> Result<(String, Issuer<'static, KeyPair>), SandboxError> {
    let mut params = params(&[], name, last_year)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(SandboxError::certificate)?;
    let certificate = params.self_signed(&key).map_err(SandboxError::certificate)?;
    Ok((certificate.pem(), Issuer::new(params, key)))
}

fn server(
    names: &[&str],
    last_year: i32,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<Arc<ServerConfig>, SandboxError> {
    let mut params = params(names, "Mailgrant sandbox IMAP", last_year)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(SandboxError::certificate)?;
    let certificate = params
        .signed_by(&key, issuer)
        .map_err(SandboxError::certificate)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(SandboxError::certificate)?;
    Ok(Arc::new(config))
}

fn params(names: &[&str], common_name: &str, last_year: i32) -> Result<CertificateParams, SandboxError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(SandboxError::certificate)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    Ok(params)
}
