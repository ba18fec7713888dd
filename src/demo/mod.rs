//! `mailgrant demo`: the service, a provider and a mailbox in one process on loopback, with nothing to set up.
//!
//! [`Demo`] puts the sandbox and the service together in a folder that is removed at the end; `routes` are the buttons
//! of the demo's own panel; [`check`] walks the whole way without a browser, through the same public doors as anybody
//! else. Nothing outside `cli` knows of this room.

pub mod check;
mod connect;
mod rest;
mod routes;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::account::{self, AccountError, NewUser};
use crate::app::{App, StartError};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError};
use crate::crypto::random_token;
use crate::ctx::Ctx;
use crate::sandbox::{Sandbox, SandboxError, SandboxOptions, TlsFault};
use crate::web::{DemoStatus, Extras};

/// A sample mail arrives this often.
const MAIL_EVERY: Duration = Duration::from_secs(3);
/// Sample mails that are there from the beginning: one of each kind.
const INITIAL_MAIL: usize = crate::sandbox::SAMPLE_KINDS.len();
/// The administrator's address.
const ADMIN: &str = "admin@demo.example";

/// Why the demo did not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The address is none of this machine's own.
    #[error(
        "the demo listens on loopback only, not on {0}: whoever has its link is its administrator. Use --listen \
         127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be used for another reason than being taken.
    #[error("cannot listen on {address}; choose another with --listen, for example 127.0.0.1:0")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The temporary folder cannot be made or written.
    #[error("the demo's temporary folder cannot be used; set TMPDIR to a folder this user may write to")]
    Folder(#[from] std::io::Error),
    /// The built-in provider did not start.
    #[error("the built-in provider did not start")]
    Sandbox(#[from] SandboxError),
    /// The service cannot be configured.
    #[error("the service cannot be configured")]
    Config(#[from] ConfigError),
    /// The service did not start.
    #[error("the service did not start")]
    Start(#[from] StartError),
    /// The administrator could not be made.
    #[error("the demo's administrator could not be made")]
    Account(#[from] AccountError),
    /// The database failed.
    #[error("the demo's database failed")]
    Db(#[from] sea_orm::DbErr),
}

/// The service and a provider for it, started and listening. Dropping it ends both and removes all it stored.
pub struct Demo {
    app: App,
    admin_id: String,
    inner: Arc<Inner>,
    /// The address that was wanted, when it was taken.
    taken: Option<SocketAddr>,
    // Last, so that it goes when the others have let go of its files.
    folder: TempDir,
}

/// What the demo's buttons work with.
struct Inner {
    sandbox: Sandbox,
}

impl std::fmt::Debug for Demo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demo")
            .field("port", &self.app.port())
            .field("folder", &self.folder.path())
            .finish_non_exhaustive()
    }
}

impl Demo {
    /// Starts everything on a loopback address; if its port is taken, on a free one.
    ///
    /// # Errors
    /// [`DemoError`], and then nothing runs.
    pub async fn start(listen: SocketAddr, clock: Clock) -> Result<Demo, DemoError> {
        let (address, taken) = free_address(listen)?;
        let folder = tempfile::Builder::new().prefix("mailgrant-demo-").tempdir()?;
        let options = SandboxOptions {
            mail_every: Some(MAIL_EVERY),
            initial_mail: INITIAL_MAIL,
            any_loopback_redirect: true,
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options, clock.clone()).await?;
        let ca_file = folder.path().join("sandbox-ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem())?;
        let app = App::build(config(address, folder.path(), &ca_file)?, clock).await?;
        let admin_id = make_admin(app.ctx()).await?;
        Ok(Demo {
            app,
            admin_id,
            inner: Arc::new(Inner { sandbox }),
            taken,
            folder,
        })
    }

    /// The parts the service works with. Cancelling its `stop` ends [`Demo::run`].
    pub fn ctx(&self) -> &Ctx {
        self.app.ctx()
    }

    /// The address that was asked for, if somebody else has it.
    pub fn taken(&self) -> Option<SocketAddr> {
        self.taken
    }

    /// A link that signs the newcomer in as the administrator, once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_in_link(&self) -> Result<String, DemoError> {
        Ok(account::sign_in_link(self.ctx(), &self.admin_id).await?)
    }

    /// Serves until the context's `stop` is cancelled, then removes everything.
    ///
    /// # Errors
    /// When the service cannot serve, or the folder cannot be removed.
    pub async fn run(self) -> std::io::Result<()> {
        let Demo {
            app, inner, folder, ..
        } = self;
        let served = app.run_until_stopped(extras(&inner)).await;
        if let Some(inner) = Arc::into_inner(inner) {
            inner.sandbox.stop().await;
        }
        folder.close()?;
        served
    }
}

/// The demo's own routes, and what the pages show of its faults.
fn extras(inner: &Arc<Inner>) -> Extras {
    let handlers = web::Data::from(Arc::clone(inner));
    let watched = Arc::clone(inner);
    let status = web::Data::new(DemoStatus::new(move |fault| {
        let faults = watched.sandbox.faults();
        match fault {
            "cut_connection" => faults.refuses_connections(),
            "refuse_tls" => faults.tls() != TlsFault::None,
            _ => false,
        }
    }));
    Extras {
        routes: routes::ROUTES.to_vec(),
        data: Some(Arc::new(move |app| {
            app.app_data(handlers.clone()).app_data(status.clone());
        })),
        workers: 2,
    }
}

/// The address to listen on, and the wanted one if somebody else has it. The port is let go again for the service to
/// bind; whoever is quicker makes the start fail, not the demo hang.
fn free_address(wanted: SocketAddr) -> Result<(SocketAddr, Option<SocketAddr>), DemoError> {
    if !wanted.ip().is_loopback() {
        return Err(DemoError::NotLoopback(wanted));
    }
    let bind = |address: SocketAddr| TcpListener::bind(address).and_then(|listener| listener.local_addr());
    match bind(wanted) {
        Ok(address) => Ok((address, None)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let any = SocketAddr::new(wanted.ip(), 0);
            let free = bind(any).map_err(|source| DemoError::Listen { address: any, source })?;
            Ok((free, Some(wanted)))
        }
        Err(source) => Err(DemoError::Listen {
            address: wanted,
            source,
        }),
    }
}

fn config(listen: SocketAddr, folder: &Path, ca_file: &Path) -> Result<Config, ConfigError> {
    Ok(Config {
        extra_ca_file: Some(ca_file.to_owned()),
        ..config::apart(listen, &format!("http://{listen}"), folder)?
    })
}

async fn make_admin(ctx: &Ctx) -> Result<String, DemoError> {
    let new = NewUser {
        email: ADMIN.to_owned(),
        name: "Demo administrator".to_owned(),
        password: SecretString::from(random_token(24)),
        is_site_admin: true,
    };
    Ok(account::create(&ctx.db, &ctx.clock, &new, "cli").await?.id)
}
