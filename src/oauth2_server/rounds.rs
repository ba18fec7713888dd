//! The three things that busy applications want all the time, done for many of them at once: who a client is, what a token
//! is worth, and a token without a person. A round that fails is repeated by each for itself, whose error it then is.
//!
//! What the first two found is kept for as long as nothing is committed: a request first asks, together with others, which
//! [`Version`] the database is at, and takes only what was read at that one. So whatever is revoked, changed or switched
//! off, by whomever, counts for the next request, and a busy server at rest reads nothing twice. What time alone ends is
//! looked at on every use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::model::{Client, Family, TokenUse};
use super::store::tokens::Kind;
use super::store::{self, Hash, tokens};
use crate::ctx::Ctx;
use crate::db::{Answers, Together, Version};

/// A client as its `client_id` finds it, with the hashes of its secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The client.
    pub(super) client: Option<Arc<Client>>,
    secrets: Arc<[Hash]>,
}

impl Found {
    /// The hashes of the secrets that work now.
    pub(super) fn live(&self, now: i64) -> impl Iterator<Item = &str> {
        let live = self.secrets.iter().filter(move |secret| secret.is_live(now));
        live.map(|secret| secret.hash.as_str())
    }
}

/// Whom a token speaks for, and whether this is its first use.
pub(super) type Worth = Option<(Arc<TokenUse>, bool)>;

/// Where requests meet.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    versions: Together<(), Option<Version>>,
    clients: Together<String, Found>,
    tokens: Together<String, Worth>,
    issued: Together<(Family, tokens::NewAccess), ()>,
    known: Arc<Mutex<Known>>,
}

/// The most of each kind that is kept.
const MOST: usize = 5_000;

/// What was read at one version of the database.
#[derive(Debug, Default)]
struct Known {
    at: Option<Version>,
    clients: HashMap<String, Found>,
    tokens: HashMap<String, (Arc<TokenUse>, bool)>,
}

impl Known {
    /// What may be used by who asks at this version, and where they put what they read: everything older goes.
    fn at(&mut self, version: &Version) -> &mut Self {
        let is_full = self.clients.len().max(self.tokens.len()) >= MOST;
        if is_full || self.at.as_ref() != Some(version) {
            *self = Self {
                at: Some(version.clone()),
                ..Self::default()
            };
        }
        self
    }
}

impl Rounds {
    /// How many clients and tokens are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (known.clients.len(), known.tokens.len())
    }

    fn known<A>(&self, version: Option<&Version>, look: impl FnOnce(&mut Known) -> A) -> Option<A> {
        let version = version?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Some(look(known.at(version)))
    }
}

/// The version of the database at which a request that is there may be answered; none where everything must be read.
pub async fn version(ctx: &Ctx) -> Option<Version> {
    let db = ctx.db.clone();
    let round = move |asked: Vec<()>| -> Answers<Option<Version>> {
        let db = db.clone();
        Box::pin(async move {
            let version = db.version().await.ok();
            vec![version; asked.len()]
        })
    };
    ctx.rounds.versions.ask((), round).await.flatten()
}

/// The client with this `client_id`, and its secrets. An unknown one costs as much as a known one that nobody asked for
/// since the last change.
pub(super) async fn client(
    ctx: &Ctx,
    version: Option<&Version>,
    client_id: &str,
) -> Result<Found, sea_orm::DbErr> {
    let known = |known: &mut Known| known.clients.get(client_id).cloned();
    if let Some(found) = ctx.rounds.known(version, known).flatten() {
        return Ok(found);
    }
    let own = ctx.clone();
    let round = move |asked: Vec<String>| -> Answers<Found> {
        let ctx = own.clone();
        Box::pin(async move {
            // No answer to anybody: each asks again for itself.
            clients(&ctx, &asked).await.unwrap_or_default()
        })
    };
    let found = match ctx.rounds.clients.ask(client_id.to_owned(), round).await {
        Some(found) => found,
        None => clients(ctx, &[client_id.to_owned()])
            .await?
            .pop()
            .unwrap_or_default(),
    };
    if found.client.is_some() {
        ctx.rounds.known(version, |known| {
            known.clients.insert(client_id.to_owned(), found.clone())
        });
    }
    Ok(found)
}

/// The clients with these `client_id`s, each in its place.
async fn clients(ctx: &Ctx, asked: &[String]) -> Result<Vec<Found>, sea_orm::DbErr> {
    let mut client_ids: Vec<&str> = asked.iter().map(String::as_str).collect();
    client_ids.sort_unstable();
    client_ids.dedup();
    let on = ctx.db.read();
    let clients = store::clients_by_client_ids(on, &client_ids).await?;
    let mut ids: Vec<&str> = clients.iter().map(|client| client.id.as_str()).collect();
    if ids.is_empty() {
        // Asked all the same: how long it takes must not tell whether there is one.
        ids.push("");
    }
    let mut secrets = store::hashes(on, &ids).await?;
    let found: HashMap<String, Found> = clients
        .into_iter()
        .map(|client| {
            let secrets = secrets.remove(&client.id).unwrap_or_default().into();
            let client_id = client.client_id.clone();
            let client = Some(Arc::new(client));
            (client_id, Found { client, secrets })
        })
        .collect();
    let answer = |client_id: &String| found.get(client_id).cloned().unwrap_or_default();
    Ok(asked.iter().map(answer).collect())
}

/// Whom the access token with this hash speaks for.
pub(super) async fn access(
    ctx: &Ctx,
    version: Option<&Version>,
    hash: &str,
) -> Result<Worth, sea_orm::DbErr> {
    let now = ctx.clock.now_ms();
    let known = |known: &mut Known| known.tokens.get(hash).cloned();
    if let Some(worth) = ctx.rounds.known(version, known).flatten() {
        return Ok(Some(worth).filter(|(token, _)| token.lives(now)));
    }
    let own = ctx.clone();
    let round = move |asked: Vec<String>| -> Answers<Worth> {
        let ctx = own.clone();
        Box::pin(async move { worth(&ctx, &asked).await.unwrap_or_default() })
    };
    let worth = match ctx.rounds.tokens.ask(hash.to_owned(), round).await {
        Some(worth) => worth,
        None => worth(ctx, &[hash.to_owned()]).await?.pop().flatten(),
    };
    if let Some(worth) = &worth {
        ctx.rounds.known(version, |known| {
            known.tokens.insert(hash.to_owned(), worth.clone())
        });
    }
    Ok(worth)
}

/// What the tokens with these hashes are worth, each in its place.
async fn worth(ctx: &Ctx, asked: &[String]) -> Result<Vec<Worth>, sea_orm::DbErr> {
    let mut hashes: Vec<&str> = asked.iter().map(String::as_str).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let found = tokens::access(ctx.db.read(), Kind::Access, &hashes, ctx.clock.now_ms()).await?;
    let found: HashMap<String, (Arc<TokenUse>, bool)> = found
        .into_iter()
        .map(|(hash, (token, is_first_use))| (hash, (Arc::new(token), is_first_use)))
        .collect();
    Ok(asked.iter().map(|hash| found.get(hash).cloned()).collect())
}

/// Stores a family with its first and only access token; it is on the disk when this returns.
pub(super) async fn store(
    ctx: &Ctx,
    family: Family,
    access: tokens::NewAccess,
) -> Result<(), sea_orm::DbErr> {
    let own = ctx.clone();
    let round = move |new: Vec<(Family, tokens::NewAccess)>| -> Answers<()> {
        let ctx = own.clone();
        Box::pin(async move {
            match store_all(&ctx, &new).await {
                Ok(()) => vec![(); new.len()],
                Err(_) => Vec::new(),
            }
        })
    };
    let new = (family, access);
    match ctx.rounds.issued.ask(new.clone(), round).await {
        Some(()) => Ok(()),
        None => store_all(ctx, &[new]).await,
    }
}

async fn store_all(ctx: &Ctx, new: &[(Family, tokens::NewAccess)]) -> Result<(), sea_orm::DbErr> {
    let (families, access): (Vec<&Family>, Vec<&tokens::NewAccess>) =
        new.iter().map(|(family, access)| (family, access)).unzip();
    let txn = ctx.db.begin().await?;
    tokens::insert_families(&txn, &families).await?;
    tokens::insert_access(&txn, &access).await?;
    txn.commit().await
}
