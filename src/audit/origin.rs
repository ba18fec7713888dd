//! By which way and from where something is asked. The edge knows it, the writer of the event needs it, and everything
//! between has no business with it; so it travels with the task that serves the request, like the request's id in logs.
//! What is started in a task of its own has none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// By which way something was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A page.
    Ui,
    /// REST, or an endpoint of the authorization server.
    Api,
    /// A rule of a project.
    Rule,
    /// The command line.
    Cli,
    /// Mailgrant by itself.
    System,
}

impl Via {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Ui, Self::Api, Self::Rule, Self::Cli, Self::System];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ui => "ui",
            Self::Api => "api",
            Self::Rule => "rule",
            Self::Cli => "cli",
            Self::System => "system",
        }
    }
}

/// Where a request comes from.
#[derive(Debug)]
pub struct Origin {
    /// By which way.
    pub via: Via,
    /// The network address; empty on the machine itself.
    pub address: String,
    /// The request's id in the log; empty if there is none.
    pub request_id: String,
    actor: Mutex<String>,
    client: Mutex<String>,
    noted: AtomicUsize,
}

impl Origin {
    /// Somebody who is not known yet.
    pub fn new(via: Via, address: &str, request_id: &str) -> Self {
        Self {
            via,
            address: address.to_owned(),
            request_id: request_id.to_owned(),
            actor: Mutex::default(),
            client: Mutex::default(),
            noted: AtomicUsize::new(0),
        }
    }

    pub(super) fn actor(&self) -> String {
        self.actor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The application that asks on the actor's behalf; empty for none.
    pub(super) fn client(&self) -> String {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note(&self) {
        self.noted.fetch_add(1, Ordering::Relaxed);
    }
}

tokio::task_local! {
    static HERE: Arc<Origin>;
}

/// Does something that came from `origin`.
pub async fn within<F: Future>(origin: Origin, work: F) -> F::Output {
    HERE.scope(Arc::new(origin), work).await
}

/// The same work, to be done in a task of its own, and still what this request asks for.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let origin = current();
    async move {
        match origin {
            Some(origin) => HERE.scope(origin, work).await,
            None => work.await,
        }
    }
}

/// Says who the request belongs to, once that is known.
pub fn act_as(actor: &str) {
    if let Some(origin) = current() {
        let mut known = origin.actor.lock().unwrap_or_else(PoisonError::into_inner);
        actor.clone_into(&mut known);
    }
}

/// Says through which application they ask: it is noted beside them.
pub fn act_through(client: &str) {
    if let Some(origin) = current() {
        let mut known = origin.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.clone_into(&mut known);
    }
}

/// Who the request belongs to; empty if nobody knows, or there is none.
pub fn actor() -> String {
    current().map(|origin| origin.actor()).unwrap_or_default()
}

/// How many events were noted for this request.
pub fn noted() -> usize {
    current().map_or(0, |origin| origin.noted.load(Ordering::Relaxed))
}

pub(super) fn current() -> Option<Arc<Origin>> {
    HERE.try_with(Arc::clone).ok()
}
