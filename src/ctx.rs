//! What every service is handed: database, clock, keys, dialer, configuration. Built in `app` only.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Refusals;
use crate::clock::Clock;
use crate::config::Config;
use crate::crypto::{KeyRing, random_token};
use crate::db::Db;
use crate::event::Head;
use crate::mailbox::imap::ByteBudget;
use crate::net::Dialer;
use crate::oauth2_server::Rounds;
use crate::sso;
use crate::trouble::Trouble;
use crate::trusted_issuer::Remembered;

/// The parts that services work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// The database.
    pub db: Db,
    /// Where the time comes from.
    pub clock: Clock,
    /// The keys that seal secrets.
    pub keys: Arc<KeyRing>,
    /// Dials every outbound socket but those of the dialers below.
    pub dialer: Dialer,
    /// Dials webhooks and the addresses of clients: what they may reach is a setting of its own.
    pub webhook_dialer: Dialer,
    /// Dials what strangers name, who registered a client themselves: public addresses and nothing else.
    pub public_dialer: Dialer,
    /// The bytes that all IMAP sessions of this process together may hold.
    pub imap_budget: ByteBudget,
    /// The configuration.
    pub config: Arc<Config>,
    /// The name of this process in leases; unique per start.
    pub holder: Arc<str>,
    /// Background tasks start through this, so that stopping waits for them.
    pub tasks: TaskTracker,
    /// Cancelled when the process should stop.
    pub stop: CancellationToken,
    /// Says that something changed that a sleeping job may be waiting for.
    pub nudge: Nudge,
    /// Says that a webhook may have something to deliver.
    pub deliver: Nudge,
    /// What other issuers said of their tokens a moment ago.
    pub foreign_tokens: Remembered,
    /// The end of the event log as this process knows it; wakes who reads on.
    pub log: Head,
    /// What is known of identity providers at the moment.
    pub sso: sso::Cache,
    /// What was refused a moment ago.
    pub refusals: Refusals,
    /// What is wrong with the TLS certificate in the files, while the one before is in use.
    pub certificate: Complaint,
    /// Where requests of our authorization server meet that are answered together.
    pub rounds: Rounds,
}

/// The bytes that all IMAP sessions of a process together may hold: some mailboxes' largest mails, not all of them.
const IMAP_BUDGET_BYTES: u64 = 256 * 1024 * 1024;

impl Ctx {
    /// Puts the parts together; `dialers` are the one for everything and the one for webhooks; holder, tasks, stop and nudge are new.
    pub fn new(db: Db, clock: Clock, keys: KeyRing, dialers: (Dialer, Dialer), config: Config) -> Self {
        Self {
            db,
            clock,
            keys: Arc::new(keys),
            public_dialer: dialers.1.public_only(),
            dialer: dialers.0,
            webhook_dialer: dialers.1,
            imap_budget: ByteBudget::new(IMAP_BUDGET_BYTES),
            config: Arc::new(config),
            holder: random_token(12).into(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            nudge: Nudge::default(),
            deliver: Nudge::default(),
            foreign_tokens: Remembered::default(),
            log: Head::default(),
            sso: sso::Cache::default(),
            refusals: Refusals::default(),
            certificate: Complaint::default(),
            rounds: Rounds::default(),
        }
    }
}

/// Something that is wrong until it is mended, and since when (milliseconds since 1970); told to admins.
#[derive(Clone, Debug, Default)]
pub struct Complaint(Arc<Mutex<Option<(Trouble, i64)>>>);

impl Complaint {
    /// Complains, or says that all is well.
    pub fn set(&self, complaint: Option<(Trouble, i64)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = complaint;
    }

    /// What is wrong, if something is.
    pub fn get(&self) -> Option<(Trouble, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Wakes jobs before their time: a saved integration, a mailbox made, *Poll now*.
#[derive(Clone, Debug, Default)]
pub struct Nudge(Arc<tokio::sync::Notify>);

impl Nudge {
    /// Wakes whoever waits; the next to wait is not kept waiting either.
    pub fn now(&self) {
        self.0.notify_one();
    }

    /// Waits for the next nudge.
    pub async fn wait(&self) {
        self.0.notified().await;
    }
}
