//! The public keys of clients: registered with them, or fetched from where they publish them.
//!
//! A fetched key set is kept in the database, so that one node asks for all. A token that names a key we do not know may
//! be signed by a new one: then the set is asked for again, but at most once a minute, whoever sends what.

use std::time::Duration;

use serde_json::Value;

use super::dynamic;
use super::error::OAuthError;
use super::model::Client;
use super::store::client_keys as store;
use crate::crypto::{ForeignAlg, Unproven};
use crate::ctx::Ctx;
use crate::net::Dialer;

/// A fetched key set is good for so long.
const FRESH_MS: i64 = 3_600_000;
/// While its address does not answer, an old one is good for so long.
const STALE_MS: i64 = 24 * 3_600_000;
/// Between two requests for the key set of one client lies at least this.
const PAUSE_MS: i64 = 60_000;
/// How long to wait for the answer that another request asked for.
const PATIENCE: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(100);
/// An answer comes within this.
const FETCH: Duration = Duration::from_secs(5);
/// Largest key set, bytes.
const MAX_BODY: usize = 64 * 1024;
/// Most keys that are tried for one token.
const MAX_TRIED: usize = 10;

/// Whether a key of the client signed this token, with the algorithm that is registered for such tokens (`pinned`, empty
/// for any).
pub(super) async fn signed(
    ctx: &Ctx,
    client: &Client,
    token: &Unproven,
    pinned: &str,
) -> Result<bool, OAuthError> {
    let Some(alg) = token.alg() else {
        return Ok(false);
    };
    if !pinned.is_empty() && pinned != alg.as_str() {
        return Ok(false);
    }
    if client.protocol.jwks_uri.is_empty() {
        return Ok(holds(&client.protocol.jwks, token, alg));
    }
    signed_by_fetched(ctx, client, token, alg).await
}

fn holds(jwks: &str, token: &Unproven, alg: ForeignAlg) -> bool {
    let set: Value = serde_json::from_str(jwks).unwrap_or_default();
    let keys = set.get("keys").and_then(Value::as_array);
    keys.into_iter()
        .flatten()
        .filter(|key| match token.kid() {
            Some(kid) => key.get("kid").and_then(Value::as_str) == Some(kid),
            None => true,
        })
        .filter(|key| crate::crypto::fits(key, alg))
        .take(MAX_TRIED)
        .any(|key| token.is_signed_by(alg, key))
}

async fn signed_by_fetched(
    ctx: &Ctx,
    client: &Client,
    token: &Unproven,
    alg: ForeignAlg,
) -> Result<bool, OAuthError> {
    let uri = &client.protocol.jwks_uri;
    let known = store::read(ctx.db.read(), &client.id, uri).await?;
    let now = ctx.clock.now_ms();
    let fresh = known.as_ref().filter(|known| now - known.fetched_at < FRESH_MS);
    if fresh.is_some_and(|known| holds(&known.jwks, token, alg)) {
        return Ok(true);
    }
    if store::begin(ctx.db.write(), &client.id, uri, now, now - PAUSE_MS).await? {
        let dialer = dialer(ctx, client).await?;
        if let Some(jwks) = fetch(dialer, uri).await {
            store::keep(ctx.db.write(), &client.id, uri, &jwks, ctx.clock.now_ms()).await?;
            return Ok(holds(&jwks, token, alg));
        }
    } else if let Some(arrived) = arrival(ctx, client).await? {
        return Ok(holds(&arrived, token, alg));
    }
    Ok(known
        .filter(|known| now - known.fetched_at < STALE_MS)
        .is_some_and(|known| holds(&known.jwks, token, alg)))
}

/// The key set that another request is asking for at this moment.
async fn arrival(ctx: &Ctx, client: &Client) -> Result<Option<String>, OAuthError> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = ctx.clock.now_ms();
        let found = store::read(ctx.db.read(), &client.id, &client.protocol.jwks_uri).await?;
        match found {
            Some(row) if row.fetched_at >= row.tried_at => return Ok(Some(row.jwks)),
            Some(row) if now - row.tried_at <= 5_000 && tokio::time::Instant::now() < until => {
                tokio::time::sleep(STEP).await;
            }
            _ => return Ok(None),
        }
    }
}

/// What dials the addresses of a client. Who registered it themselves names no address of the operator's networks, at no
/// time: a name may lead elsewhere after it was looked at.
pub(super) async fn dialer<'a>(ctx: &'a Ctx, client: &Client) -> Result<&'a Dialer, sea_orm::DbErr> {
    Ok(match dynamic::registered_itself(ctx, &client.id).await? {
        true => &ctx.public_dialer,
        false => &ctx.webhook_dialer,
    })
}

async fn fetch(dialer: &Dialer, uri: &str) -> Option<String> {
    let http = dialer.http().with_body_limit(MAX_BODY).with_timeout(FETCH);
    let answer = match http
        .get(uri, &[("accept", "application/jwk-set+json, application/json")])
        .await
    {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => {
            tracing::info!(status = answer.status, "the key set of a client was not answered");
            return None;
        }
        Err(error) => {
            tracing::info!(%error, "the key set of a client could not be fetched");
            return None;
        }
    };
    let text = String::from_utf8(answer.body).ok()?;
    let set: Value = serde_json::from_str(&text).ok()?;
    set.get("keys")?.as_array()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A server that sends this to whoever connects, and no more if it is empty. Its address, and how many came.
    async fn says(text: String) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/keys", listener.local_addr().unwrap());
        let came = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let count = came.clone();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(text.as_bytes()).await;
                open.push(stream);
            }
        });
        (uri, came)
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn n53_a_fetch_follows_nobody_elsewhere_reads_no_flood_and_does_not_wait_for_ever() {
        let dialer = Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap();
        let set = r#"{"keys":[]}"#;
        let (uri, came) = says(answer("200 OK", set)).await;
        assert_eq!(fetch(&dialer, &uri).await.as_deref(), Some(set));
        for to in [uri.as_str(), "http://169.254.169.254/latest/meta-data"] {
            let (away, _) = says(answer(&format!("302 Found\r\nLocation: {to}"), set)).await;
            assert_eq!(fetch(&dialer, &away).await, None, "{to}");
        }
        assert_eq!(
            came.load(std::sync::atomic::Ordering::SeqCst),
            1,
            "nobody was sent there"
        );
        let flood = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(5_000_000));
        let (uri, _) = says(answer("200 OK", &flood)).await;
        assert_eq!(fetch(&dialer, &uri).await, None);
        let (uri, _) = says(String::new()).await;
        let waited = tokio::time::timeout(2 * FETCH, fetch(&dialer, &uri)).await;
        assert_eq!(waited.expect("an end of patience"), None);
    }
}
