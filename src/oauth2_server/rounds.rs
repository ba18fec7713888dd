//! The three things that busy applications want all the time, done for many of them at once: who a client is, what a token
//! is worth, and a token without a person. A round that fails is repeated by each for itself, whose error it then is.

use std::collections::HashMap;

use super::model::{Client, Family, TokenUse};
use super::store::tokens::Kind;
use super::store::{self, tokens};
use crate::ctx::Ctx;
use crate::db::{Answers, Together};

/// A client as its `client_id` finds it, with the hashes of its secrets that work.
pub(super) type Found = (Option<Client>, Vec<String>);
/// Whom a token speaks for, and whether this is its first use.
pub(super) type Worth = Option<(TokenUse, bool)>;

/// Where requests meet.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    clients: Together<String, Found>,
    tokens: Together<String, Worth>,
    issued: Together<(Family, tokens::NewAccess), ()>,
}

/// The client with this `client_id`, and its secrets. An unknown one costs as much as a known one.
pub(super) async fn client(ctx: &Ctx, client_id: &str) -> Result<Found, sea_orm::DbErr> {
    let own = ctx.clone();
    let round = move |asked: Vec<String>| -> Answers<Found> {
        let ctx = own.clone();
        Box::pin(async move {
            // No answer to anybody: each asks again for itself.
            clients(&ctx, &asked).await.unwrap_or_default()
        })
    };
    if let Some(found) = ctx.rounds.clients.ask(client_id.to_owned(), round).await {
        return Ok(found);
    }
    let mut found = clients(ctx, &[client_id.to_owned()]).await?;
    Ok(found.pop().unwrap_or_default())
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
    let mut secrets = store::live_hashes(on, &ids, ctx.clock.now_ms()).await?;
    let found: HashMap<String, Found> = clients
        .into_iter()
        .map(|client| {
            let hashes = secrets.remove(&client.id).unwrap_or_default();
            (client.client_id.clone(), (Some(client), hashes))
        })
        .collect();
    let answer = |client_id: &String| found.get(client_id).cloned().unwrap_or_default();
    Ok(asked.iter().map(answer).collect())
}

/// Whom the access token with this hash speaks for.
pub(super) async fn access(ctx: &Ctx, hash: &str) -> Result<Worth, sea_orm::DbErr> {
    let own = ctx.clone();
    let round = move |asked: Vec<String>| -> Answers<Worth> {
        let ctx = own.clone();
        Box::pin(async move {
            let mut hashes: Vec<&str> = asked.iter().map(String::as_str).collect();
            hashes.sort_unstable();
            hashes.dedup();
            match tokens::access(ctx.db.read(), Kind::Access, &hashes, ctx.clock.now_ms()).await {
                Ok(found) => asked.iter().map(|hash| found.get(hash).cloned()).collect(),
                Err(_) => Vec::new(),
            }
        })
    };
    if let Some(worth) = ctx.rounds.tokens.ask(hash.to_owned(), round).await {
        return Ok(worth);
    }
    let mut found = tokens::access(ctx.db.read(), Kind::Access, &[hash], ctx.clock.now_ms()).await?;
    Ok(found.remove(hash))
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
