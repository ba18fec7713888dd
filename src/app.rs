//! The whole service, built from a configuration. The command line and the tests build the same thing.

use std::fs::{File, TryLockError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::{KeyRing, KeyRingError, random_token};
use crate::ctx::Ctx;
use crate::db::{self, Db, DbError, KeyCheckError};
use crate::jobs;
use crate::net::{self, Dialer, NetError};
use crate::sso::{self, SsoError};
use crate::web::{self, Extras};
use secrecy::ExposeSecret;

/// Why the service did not start. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made or used.
    #[error("data folder {path}: {source}. Set MAILGRANT_DATA_DIR to a folder this user may write to")]
    DataDir {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// The key file is gone, and the database was sealed with it.
    #[error(
        "the key file {path} is missing, but this database holds secrets that were sealed with it. Restore it from a \
         backup; a new one cannot open them. Nothing was changed"
    )]
    KeyFileMissing {
        /// Where it should be.
        path: String,
    },
    /// The key file belongs to another database.
    #[error(transparent)]
    WrongKey(#[from] KeyCheckError),
    /// The database cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Another process serves this SQLite database, or this data folder.
    #[error(
        "another mailgrant serves the data folder {path} or its SQLite database. For several nodes use PostgreSQL \
         (MAILGRANT_DATABASE_URL=postgres://…) and a data folder each"
    )]
    AlreadyServed {
        /// The data folder.
        path: String,
    },
    /// The certificates to trust cannot be used.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A file of certificates cannot be read.
    #[error("MAILGRANT_EXTRA_CA_FILE {path}: {source}")]
    ExtraCa {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An identity provider of the configuration file cannot be used.
    #[error("[[identity_providers]] of the configuration file: {}", told(.0))]
    IdentityProviders(#[from] SsoError),
    /// The listener could not be opened.
    #[error("cannot listen on {address}: {source}. Set MAILGRANT_LISTEN to another address or port")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<sea_orm::DbErr> for StartError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Db(DbError::Driver(error))
    }
}

fn told(error: &SsoError) -> String {
    match error {
        SsoError::Invalid(fields) => fields
            .iter()
            .map(|field| format!("{}: {}", field.field, field.message))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

/// Opens everything but the listener: what commands beside a running service need.
pub async fn open(config: Config, clock: Clock) -> Result<Ctx, StartError> {
    net::install_crypto_provider();
    make_data_dir(&config.data_dir)?;
    let db = Db::open(config.database_url.expose_secret()).await?;
    db.migrate().await?;
    let keys = open_keys(&config, &db).await?;
    db::check_keys(&db, &keys, clock.now_ms()).await?;
    let extra_ca = extra_ca(&config)?;
    let dialers = (
        Dialer::new(config.allow_networks.clone(), extra_ca.as_deref())?,
        Dialer::new(config.allow_webhook_networks.clone(), extra_ca.as_deref())?,
    );
    Ok(Ctx::new(db, clock, keys, dialers, config))
}

fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::DataDir {
        path: path.display().to_string(),
        source,
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(failed)
}

async fn open_keys(config: &Config, db: &Db) -> Result<KeyRing, StartError> {
    if config.key_file.exists() {
        return Ok(KeyRing::read(&config.key_file)?);
    }
    if db::has_key_checks(db).await? {
        return Err(StartError::KeyFileMissing {
            path: config.key_file.display().to_string(),
        });
    }
    match KeyRing::create(&config.key_file) {
        Ok(keys) => {
            tracing::info!("made the key file {}; back it up", config.key_file.display());
            Ok(keys)
        }
        // Another command made it in the same moment.
        Err(_) if config.key_file.exists() => Ok(KeyRing::read(&config.key_file)?),
        Err(error) => Err(error.into()),
    }
}

fn extra_ca(config: &Config) -> Result<Option<Vec<u8>>, StartError> {
    let Some(path) = &config.extra_ca_file else {
        return Ok(None);
    };
    let read = std::fs::read(path);
    read.map(Some).map_err(|source| StartError::ExtraCa {
        path: path.display().to_string(),
        source,
    })
}

/// The service, listening but not yet answering.
pub struct App {
    ctx: Ctx,
    listener: TcpListener,
    redirecting: Option<TcpListener>,
    port: u16,
    // Held while the service runs; the system lets go of it when the process ends, however it ends.
    _only_server: File,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Builds the service: database migrated, keys checked, port bound.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, StartError> {
        let address = config.listen;
        let mut ctx = open(config, clock).await?;
        let only_server = claim_node(&mut ctx).await?;
        sso::take_over(&ctx).await?;
        let failed = |source| StartError::Listen {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let redirecting = match ctx.config.http_redirect_listen {
            Some(address) => Some(TcpListener::bind(address).map_err(|source| StartError::Listen {
                address: address.to_string(),
                source,
            })?),
            None => None,
        };
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self {
            ctx,
            listener,
            redirecting,
            port,
            _only_server: only_server,
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The parts it works with.
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// Answers requests (`extras` are routes beside the usual ones) and runs the jobs until the context's `stop` is cancelled, then lets running work end.
    pub async fn run_until_stopped(self, extras: Extras) -> std::io::Result<()> {
        let Self {
            ctx,
            listener,
            redirecting,
            ..
        } = self;
        if let Some(listener) = redirecting {
            let server = web::redirecting(&ctx, listener).map_err(std::io::Error::other)?;
            let (handle, stop) = (server.handle(), ctx.stop.clone());
            ctx.tasks.spawn(async move {
                tokio::select! {
                    _ = server => {}
                    () = stop.cancelled() => handle.stop(true).await,
                }
            });
        }
        let server = web::server(ctx.clone(), listener, extras).map_err(std::io::Error::other)?;
        let handle = server.handle();
        let serving = tokio::spawn(server);
        jobs::start(&ctx).await.map_err(std::io::Error::other)?;
        ctx.stop.cancelled().await;
        handle.stop(true).await;
        ctx.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), ctx.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "some tasks did not end in ten seconds; what they were doing is repeated at the next start"
            );
        }
        ctx.db.close().await;
        serving.await.map_err(std::io::Error::other)?
    }
}

/// Makes this process the only one that serves this data folder, and gives it a name that outlives it: what its
/// predecessor of that name had claimed when it was killed is free at once, and no other node waits for it.
async fn claim_node(ctx: &mut Ctx) -> Result<File, StartError> {
    let folder = ctx.config.data_dir.clone();
    let shown = folder.display().to_string();
    let failed = |source| StartError::DataDir {
        path: shown.clone(),
        source,
    };
    let file = File::create(lock_file(&ctx.config)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StartError::AlreadyServed { path: shown }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let name_file = folder.join("node-name");
    let name = match std::fs::read_to_string(&name_file) {
        Ok(name) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => {
            let name = random_token(9);
            std::fs::write(&name_file, &name).map_err(failed)?;
            name
        }
    };
    db::release_claims_of(&ctx.db, &name).await?;
    ctx.holder = format!("{name}/{}", ctx.holder).into();
    Ok(file)
}

/// SQLite is served once, wherever the data folder is; on PostgreSQL each node has a data folder of its own.
fn lock_file(config: &Config) -> PathBuf {
    let url = config.database_url.expose_secret();
    match url.strip_prefix("sqlite:") {
        Some(path) => PathBuf::from(format!("{}.serve-lock", path.trim_start_matches("//"))),
        None => config.data_dir.join("serve.lock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};
    use crate::delivery::{self, DeliveryError, WebhookInput};

    #[tokio::test]
    async fn networks_for_mail_servers_are_not_open_to_webhooks() {
        for networks in ["", "127.0.0.0/8"] {
            let dir = tempfile::tempdir().unwrap();
            let mut config = load(&Environment::default(), None).unwrap();
            config.data_dir = dir.path().to_path_buf();
            config.key_file = dir.path().join("key");
            config.database_url = format!("sqlite:{}", dir.path().join("t.db").display()).into();
            config.allow_networks = networks
                .split_terminator(',')
                .map(|net| net.parse().unwrap())
                .collect();
            let ctx = open(config, Clock::system()).await.unwrap();
            let input = WebhookInput {
                url: Some("https://127.0.0.1:1/".into()),
                ..WebhookInput::default()
            };
            let Err(DeliveryError::Invalid(errors)) = delivery::create(&ctx, "cli", input).await else {
                panic!("it is taken");
            };
            assert_eq!((errors[0].field, errors[0].code), ("url", "address_not_allowed"));
            let url = url::Url::parse("https://127.0.0.1:1/").unwrap();
            let for_mail = ctx.dialer.check_endpoint(&url).await;
            assert_eq!(for_mail.is_ok(), !networks.is_empty(), "{for_mail:?}");
        }
    }
}
