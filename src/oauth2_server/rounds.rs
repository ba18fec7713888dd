//! The three things that busy applications want all the time, done for many of them at once: who a client is, what a token
//! is worth, and a token without a person. A round that fails is repeated by each for itself, whose error it then is.

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
            let mut known: Vec<(String, Found)> = Vec::new();
            let mut answers = Vec::new();
            for client_id in asked {
                let found = match known.iter().find(|(id, _)| *id == client_id) {
                    Some((_, found)) => found.clone(),
                    None => match client_alone(&ctx, &client_id).await {
                        Ok(found) => {
                            known.push((client_id, found.clone()));
                            found
                        }
                        Err(_) => break,
                    },
                };
                answers.push(found);
            }
            answers
        })
    };
    match ctx.rounds.clients.ask(client_id.to_owned(), round).await {
        Some(found) => Ok(found),
        None => client_alone(ctx, client_id).await,
    }
}

async fn client_alone(ctx: &Ctx, client_id: &str) -> Result<Found, sea_orm::DbErr> {
    let client = store::client_by_client_id(ctx.db.read(), client_id).await?;
    let id = client.as_ref().map_or("", |client| &client.id);
    let secrets = store::live_secrets(ctx.db.read(), id, ctx.clock.now_ms()).await?;
    Ok((client, secrets.into_iter().map(|(_, hash)| hash).collect()))
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
