//! Authorization requests that do not travel in the open: signed ones (RFC 9101) and pushed ones (RFC 9126).
//!
//! Both end as plain parameters, which are checked like any others. What stands beside them in the address does not
//! count.

use serde_json::Value;

use super::authorize::{self, Params, Refused, ReturnTo};
use super::client_keys;
use super::error::OAuthError;
use super::metadata;
use super::model::Client;
use super::redirect;
use super::store::requests;
use super::token::Fields;
use super::waiting;
use crate::crypto::{Unproven, random_token, sha256_hex};
use crate::ctx::Ctx;

/// What a reference to a pushed request begins with.
const REFERENCE: &str = "urn:ietf:params:oauth:request_uri:";
/// A pushed request waits so long for its person.
const PUSHED_MS: i64 = 90_000;
/// A request object ends at most so long after now.
const OBJECT_MS: i64 = 3_600_000;
/// Clocks differ by so much.
const SKEW_MS: i64 = 30_000;

/// What a client proves itself with at the endpoint where it pushes: no part of the request.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// A request as plain parameters.
pub(super) struct Unfolded {
    pub(super) params: Vec<(String, String)>,
    /// The client signed it.
    pub(super) is_signed: bool,
    /// The client, or whoever can claim to be it, sent it directly.
    pub(super) is_pushed: bool,
}

/// A reference to a request that was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// To be sent as `request_uri`.
    pub request_uri: String,
    /// Its life, seconds.
    pub expires_in: i64,
}

/// Keeps a request that a client pushes. `jkt` is the key of the proof that came with it.
///
/// # Errors
/// All that the authorization endpoint would refuse.
pub async fn push(
    ctx: &Ctx,
    client: &Client,
    fields: &Fields,
    jkt: Option<&str>,
) -> Result<Pushed, OAuthError> {
    if fields.get("request_uri").is_some() {
        return Err(OAuthError::invalid_request(
            "request_uri is what this endpoint makes",
        ));
    }
    if fields.get("client_id").is_some_and(|id| id != client.client_id) {
        return Err(OAuthError::invalid_request("client_id names another client"));
    }
    let mut params: Vec<(String, String)> = fields
        .all()
        .filter(|(name, _)| !CREDENTIALS.contains(name) && *name != "client_id")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    params.push(("client_id".to_owned(), client.client_id.clone()));
    let said = |refused: Refused| match refused {
        Refused::Page(error) | Refused::Redirect(_, error) => OAuthError {
            status: if error.status == 503 { 503 } else { 400 },
            ..error
        },
    };
    let mut unfolded = unfold(ctx, client, &Params(&params)).await.map_err(said)?;
    unfolded.is_pushed = true;
    if let Some(jkt) = jkt {
        let asked = Params(&unfolded.params).get("dpop_jkt").map(str::to_owned);
        match asked {
            Some(asked) if asked != jkt => {
                return Err(OAuthError::new(
                    "invalid_dpop_proof",
                    "dpop_jkt names another key than the proof was made with",
                ));
            }
            Some(_) => {}
            None => unfolded.params.push(("dpop_jkt".to_owned(), jkt.to_owned())),
        }
    }
    authorize::checked(ctx, client, &unfolded).await.map_err(said)?;
    let size: usize = unfolded
        .params
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > waiting::MAX_KEPT {
        return Err(waiting::too_large());
    }
    let request_uri = format!("{REFERENCE}{}", random_token(32));
    let now = ctx.clock.now_ms();
    let row = requests::PushedRequest {
        client: client.id.clone(),
        params: unfolded.params,
        is_signed: unfolded.is_signed,
    };
    let hash = sha256_hex(request_uri.as_bytes());
    requests::insert_pushed(ctx.db.write(), &hash, &row, now, now + PUSHED_MS).await?;
    Ok(Pushed {
        request_uri,
        expires_in: PUSHED_MS / 1000,
    })
}

/// A request as plain parameters, whatever it came in.
pub(super) async fn unfold(ctx: &Ctx, client: &Client, outside: &Params<'_>) -> Result<Unfolded, Refused> {
    match (outside.get("request"), outside.get("request_uri")) {
        (Some(_), Some(_)) => Err(refuse(
            client,
            outside,
            OAuthError::invalid_request("request and request_uri do not go together"),
        )),
        (Some(object), None) => {
            let params = signed(ctx, client, object)
                .await
                .map_err(|error| refuse(client, outside, error))?;
            Ok(Unfolded {
                params,
                is_signed: true,
                is_pushed: false,
            })
        }
        (None, Some(reference)) => pushed(ctx, client, outside, reference).await,
        (None, None) => Ok(Unfolded {
            params: outside.0.to_vec(),
            is_signed: false,
            is_pushed: false,
        }),
    }
}

/// Told to the client where the parameters outside name an address of it; else shown here.
fn refuse(client: &Client, outside: &Params<'_>, error: OAuthError) -> Refused {
    match outside.get("redirect_uri") {
        Some(uri) if redirect::matches(client.application_type, &client.redirect_uris, uri) => {
            let back = ReturnTo {
                redirect_uri: uri.to_owned(),
                state: outside.get("state").map(str::to_owned),
                mode: authorize::mode_of(client, outside).0,
                is_device: false,
            };
            Refused::Redirect(back, error)
        }
        _ => Refused::Page(OAuthError { status: 400, ..error }),
    }
}

async fn pushed(
    ctx: &Ctx,
    client: &Client,
    outside: &Params<'_>,
    reference: &str,
) -> Result<Unfolded, Refused> {
    if !reference.starts_with(REFERENCE) {
        return Err(refuse(
            client,
            outside,
            OAuthError::new(
                "request_uri_not_supported",
                "request_uri must be one that the endpoint for pushed requests made",
            ),
        ));
    }
    let hash = sha256_hex(reference.as_bytes());
    let now = ctx.clock.now_ms();
    // Taken out by its own client only: nobody else can spoil it.
    match requests::take_pushed(ctx.db.write(), &hash, &client.id, now).await? {
        Some(found) => Ok(Unfolded {
            params: found.params,
            is_signed: found.is_signed,
            is_pushed: true,
        }),
        None => Err(refuse(
            client,
            outside,
            OAuthError::new(
                "invalid_request_uri",
                "the pushed request is unknown, over, used already, or another client's",
            ),
        )),
    }
}

fn wrong(why: &str) -> OAuthError {
    OAuthError::new(
        "invalid_request_object",
        format!("the request object does not hold: {why}"),
    )
}

/// The parameters of a request object that this client signed for us.
async fn signed(ctx: &Ctx, client: &Client, object: &str) -> Result<Vec<(String, String)>, OAuthError> {
    let read = Unproven::read(object).ok_or_else(|| wrong("it is no signed token"))?;
    if read.alg().is_none() {
        return Err(wrong("its algorithm is not taken here"));
    }
    // Other tokens that the client signs must not pass for requests, nor the other way round (RFC 9101, section 10.8).
    if !matches!(read.typ().as_str(), "oauth-authz-req+jwt" | "jwt" | "") || read.claim("sub").is_some() {
        return Err(wrong("it is a token of another kind"));
    }
    if !client_keys::signed(ctx, client, &read, &client.protocol.request_object_alg).await? {
        return Err(wrong(
            "no key of the client signed it, with the algorithm that is registered",
        ));
    }
    check_frame(ctx, client, &read)?;
    let mut params = Vec::new();
    for (name, value) in read.claims() {
        if ["iss", "aud", "exp", "iat", "nbf", "jti"].contains(&name.as_str()) {
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Object(_) => value.to_string(),
            Value::Array(list) => match list.as_slice() {
                [Value::String(one)] => one.clone(),
                _ => return Err(wrong("a member is a list")),
            },
            Value::Null => continue,
        };
        params.push((name.clone(), text));
    }
    Ok(params)
}

fn check_frame(ctx: &Ctx, client: &Client, read: &Unproven) -> Result<(), OAuthError> {
    if read.claim("request").is_some() || read.claim("request_uri").is_some() {
        return Err(wrong("it holds another request"));
    }
    if read.text("iss") != Some(&client.client_id) || read.text("client_id") != Some(&client.client_id) {
        return Err(wrong("iss and client_id must be the client's id"));
    }
    let issuer = metadata::issuer(&ctx.config);
    let is_for_us = match read.claim("aud") {
        Some(Value::String(one)) => *one == issuer,
        Some(Value::Array(list)) => list.iter().any(|one| *one == issuer),
        _ => false,
    };
    if !is_for_us {
        return Err(wrong("aud must be the issuer"));
    }
    let now = ctx.clock.now_ms();
    let ends = read.time_ms("exp").ok_or_else(|| wrong("exp is missing"))?;
    if ends.saturating_add(SKEW_MS) <= now {
        return Err(wrong("it is over"));
    }
    if ends > now + OBJECT_MS + SKEW_MS {
        return Err(wrong("exp lies more than an hour ahead"));
    }
    let lies_ahead =
        |name| read.claim(name).is_some() && read.time_ms(name).is_none_or(|time| time > now + SKEW_MS);
    if lies_ahead("nbf") || lies_ahead("iat") {
        return Err(wrong("nbf or iat lies ahead"));
    }
    Ok(())
}
