//! Our own TLS, for installations without a proxy before them: a certificate and a key in files, read again when they
//! change. Connections that stand go on; new ones get the new certificate. Files that do not fit leave the old one in use
//! and say so in the log and on the dashboard.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::sha256_hex;
use crate::ctx::Complaint;
use crate::trouble::Trouble;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate file holds none.
    #[error("{0}: expected certificates in PEM, the server's own first")]
    NoCertificate(String),
    /// The key file holds none.
    #[error("{0}: expected a private key in PEM")]
    NoKey(String),
    /// The two do not belong together.
    #[error("the key in {key} is not that of the certificate in {cert}")]
    Mismatch {
        /// The certificate's file.
        cert: String,
        /// The key's file.
        key: String,
    },
    /// The library refuses.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Those of the configuration, if it names any.
    pub fn of(config: &Config) -> Option<Self> {
        Some(Self {
            cert: config.tls_cert_file.clone()?,
            key: config.tls_key_file.clone()?,
        })
    }

    /// Reads both.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(&self) -> Result<Arc<CertifiedKey>, TlsFileError> {
        let (cert, key) = (self.cert.display().to_string(), self.key.display().to_string());
        let chain = bytes(&self.cert)?;
        let private = zeroize::Zeroizing::new(bytes(&self.key)?);
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsFileError::NoCertificate(cert.clone()))?;
        if certificates.is_empty() {
            return Err(TlsFileError::NoCertificate(cert));
        }
        let parsed = PrivateKeyDer::from_pem_slice(&private).map_err(|_| TlsFileError::NoKey(key.clone()))?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&parsed)
            .map_err(|_| TlsFileError::NoKey(key.clone()))?;
        let certified = CertifiedKey::new(certificates, signer);
        match certified.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(TlsFileError::Mismatch { cert, key }),
            Err(_) => return Err(TlsFileError::NoCertificate(cert)),
        }
        Ok(Arc::new(certified))
    }

    /// What tells the present content of both files from another, without understanding it.
    fn mark(&self) -> Option<String> {
        let (chain, private) = (
            bytes(&self.cert).ok()?,
            zeroize::Zeroizing::new(bytes(&self.key).ok()?),
        );
        Some(format!("{} {}", sha256_hex(&chain), sha256_hex(&private)))
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|source| TlsFileError::Read {
        path: path.display().to_string(),
        source,
    })
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Present(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What serves TLS: a configuration that always hands out the present certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Files,
    present: Arc<Present>,
    mark: Option<String>,
}

impl Tls {
    /// With the certificate that the files hold now.
    ///
    /// # Errors
    /// What is wrong with them: the service does not start then.
    pub fn start(files: Files) -> Result<Self, TlsFileError> {
        let mark = files.mark();
        let certified = files.load()?;
        Ok(Self {
            files,
            present: Arc::new(Present(RwLock::new(certified))),
            mark,
        })
    }

    /// For a listener: TLS 1.2 and 1.3, one crypto library.
    ///
    /// # Errors
    /// The library's own.
    pub fn server_config(&self) -> Result<ServerConfig, TlsFileError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = self.present.clone();
        Ok(ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver))
    }

    /// Follows the files for as long as the service runs.
    pub async fn follow(mut self, complaint: Complaint, clock: Clock) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(&complaint, &clock);
        }
    }

    /// One look: a change is taken over, or complained about until there is another.
    fn look(&mut self, complaint: &Complaint, clock: &Clock) {
        let mark = self.files.mark();
        if mark == self.mark {
            return;
        }
        self.mark = mark;
        match self.files.load() {
            Ok(certified) => {
                *self.present.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
                complaint.set(None);
                tracing::info!("the TLS certificate was read again");
            }
            Err(error) => {
                let trouble = Trouble::new(
                    "certificate_unusable",
                    format!("The changed certificate is not used, the one before still is: {error}."),
                    "Put a certificate and its key into the files, the chain behind the certificate; they are read again \
                     by themselves. The one in use ends when it ends.",
                );
                complaint.set(Some((trouble, clock.now_ms())));
                tracing::error!("the changed TLS certificate is not used, the one before is: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_fit_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let files = Files {
            cert: path("cert.pem"),
            key: path("key.pem"),
        };
        assert!(matches!(files.load(), Err(TlsFileError::Read { .. })));
        std::fs::write(path("cert.pem"), "nothing").unwrap();
        std::fs::write(path("key.pem"), "nothing").unwrap();
        assert!(matches!(files.load(), Err(TlsFileError::NoCertificate(_))));
    }

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_that_does_not_fit_is_complained_about_until_it_does_and_the_one_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let (cert, key) = pair();
        write("cert.pem", &cert);
        write("key.pem", &key);
        let mut tls = Tls::start(Files {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        })
        .unwrap();
        let (complaint, clock) = (Complaint::default(), Clock::system());
        let shown = |tls: &Tls| tls.present.0.read().unwrap().cert[0].to_vec();
        let before = shown(&tls);
        let (other_cert, other_key) = pair();
        write("key.pem", &other_key);
        tls.look(&complaint, &clock);
        let (trouble, _) = complaint.get().expect("a complaint");
        assert!(
            trouble.cause.contains("is not that of the certificate"),
            "{trouble:?}"
        );
        assert_eq!(shown(&tls), before);
        tls.look(&complaint, &clock);
        assert!(complaint.get().is_some(), "until it is mended");
        write("cert.pem", &other_cert);
        tls.look(&complaint, &clock);
        assert!(complaint.get().is_none());
        assert_ne!(shown(&tls), before);
    }
}
