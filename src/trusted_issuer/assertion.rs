//! Assertions at the token endpoint (RFC 7521, RFC 7523): an issuer says that somebody may have a token.

use sha2::{Digest, Sha256};

use super::check::{self, Refusal, SKEW};
use super::model::{SubjectMapping, TrustedIssuer, Use};
use super::store;
use crate::account::{self, User};
use crate::crypto::Unproven;
use crate::ctx::Ctx;

/// How old an assertion without an end, an audience or an id may be, seconds.
const YOUNG: i64 = 300;

/// Types that an assertion may have; everything else is a token for another purpose.
const TYPES: [&str; 2] = ["jwt", "authorization-grant+jwt"];

/// An assertion that holds.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// Who made it.
    pub issuer: TrustedIssuer,
    /// Whom it is about.
    pub user: User,
    /// Names this assertion among all, for it counts once; and until when it could come again, milliseconds since 1970.
    pub once: (String, i64),
    /// Whether its issuer expects a refresh token in the answer, as it has none to come back with.
    pub gets_refresh: bool,
}

/// Checks an assertion that a client (`cli_…`) brings. `audiences` are our names for the token endpoint. That it counts
/// once is the caller's to see to, in the transaction that answers it.
///
/// # Errors
/// Why it does not hold.
pub async fn assertion(
    ctx: &Ctx,
    client: &str,
    token: &str,
    audiences: &[String],
) -> Result<Assertion, Refusal> {
    let unproven = Unproven::of_issuer(token).ok_or(Refusal::Token("the assertion is no signed token"))?;
    let typ = unproven.typ();
    if !typ.is_empty() && !TYPES.contains(&typ.as_str()) {
        return Err(Refusal::Token("the assertion is a token for another purpose"));
    }
    let issuers = store::enabled_of(ctx.db.read(), unproven.text("iss").unwrap_or_default()).await?;
    let mut refusal = Refusal::Token("no issuer of this name is trusted for this client");
    for issuer in issuers {
        if !issuer.is_for(Use::JwtBearer) || !issuer.clients.iter().any(|known| known == client) {
            continue;
        }
        match check::proven(ctx, &issuer, &unproven).await {
            Ok(claims) => return hold(ctx, issuer, token, &claims, audiences).await,
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

async fn hold(
    ctx: &Ctx,
    issuer: TrustedIssuer,
    token: &str,
    claims: &serde_json::Value,
    audiences: &[String],
) -> Result<Assertion, Refusal> {
    let now = ctx.clock.now_ms() / 1000;
    let expected = if issuer.audiences.is_empty() {
        audiences
    } else {
        &issuer.audiences
    };
    let has = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
    if (has("aud") || !issuer.allow_incomplete) && !check::meant_for(claims, expected) {
        return Err(Refusal::Token("the assertion is meant for somebody else (aud)"));
    }
    let jti = check::text(claims, "jti").filter(|jti| !jti.is_empty());
    let is_whole = has("aud") && has("exp") && jti.is_some();
    let end = match is_whole || !issuer.allow_incomplete {
        true => check::in_time(claims, issuer.max_life_seconds, now)?,
        false => young(claims, issuer.max_life_seconds, now)?,
    };
    let name = match jti {
        Some(jti) => format!("jti {jti}"),
        None if issuer.allow_incomplete => {
            // What was signed, not the signature: some kinds of signature can be written in several ways.
            let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
            format!("token {signed}")
        }
        None => return Err(Refusal::Token("the assertion has no id (jti)")),
    };
    let subject = check::subject(&issuer, claims)?;
    let user = person(ctx, &issuer, subject, claims)
        .await?
        .ok_or(Refusal::Token("the subject of the assertion is nobody here"))?;
    let id = hex::encode(Sha256::digest(format!("assertion {} {name}", issuer.id)));
    Ok(Assertion {
        once: (id, (end + 2 * SKEW) * 1000),
        gets_refresh: issuer.allow_incomplete,
        user,
        issuer,
    })
}

/// The end of an assertion that leaves something out: it says when it was made, and counts for a few minutes only, or until
/// the end that it names itself.
fn young(claims: &serde_json::Value, max_life: i64, now: i64) -> Result<i64, Refusal> {
    let made = check::seconds(claims, "iat")?.ok_or(Refusal::Token(
        "the assertion does not say when it was made (iat)",
    ))?;
    check::not_before(claims, now)?;
    if now - made > YOUNG {
        return Err(Refusal::Token("the assertion is more than five minutes old"));
    }
    match claims.get("exp").is_some_and(|end| !end.is_null()) {
        true => Ok(check::in_time(claims, max_life, now)?.min(made + YOUNG)),
        false => Ok(made + YOUNG),
    }
}

/// The person a subject is, if they may sign in.
pub(super) async fn person(
    ctx: &Ctx,
    issuer: &TrustedIssuer,
    subject: &str,
    claims: &serde_json::Value,
) -> Result<Option<User>, Refusal> {
    let found = match issuer.mapping {
        SubjectMapping::Table => match issuer.subject_table.get(subject) {
            Some(id) => account::get(&ctx.db, id).await?,
            None => None,
        },
        SubjectMapping::Email => {
            // Strictly true: not a text, not a number.
            let verified = claims.get("email_verified") == Some(&serde_json::Value::Bool(true));
            match check::text(claims, "email").filter(|_| verified) {
                Some(email) => account::get_by_email(&ctx.db, email)
                    .await?
                    // A claim that a provider lets people write themselves must not open the whole site.
                    .filter(|user| !user.is_site_admin),
                None => None,
            }
        }
        SubjectMapping::Service => None,
    };
    Ok(found.filter(User::is_active))
}
