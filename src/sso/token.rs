//! What is asked behind the browser's back: tokens for a code, and userinfo. All of it through [`crate::net`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::discovery::Metadata;
use super::error::{Fault, SsoError};
use super::model::{ClientAuth, IdentityProvider, Kept};
use super::{store, strict};
use crate::crypto::{self, SigningAlg};
use crate::ctx::Ctx;
use crate::net::{HttpError, HttpResponse};

/// No token answer and no userinfo is larger than this.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// An access token that lasts longer than a session is as good as one that ends with it, seconds.
const MAX_LIFE_SECONDS: i64 = 7 * 24 * 3600;
/// How long an assertion about ourselves is good, seconds.
const ASSERTION_SECONDS: i64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the token endpoint gave for a code.
pub(super) struct Tokens {
    pub(super) id_token: SecretString,
    pub(super) kept: Kept,
}

/// Exchanges a code.
pub(super) async fn exchange(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    code: &str,
    verifier: &SecretString,
    redirect: &str,
) -> Result<Result<Tokens, Fault>, SsoError> {
    let form = vec![
        ("grant_type".to_owned(), "authorization_code".to_owned()),
        ("code".to_owned(), code.to_owned()),
        ("redirect_uri".to_owned(), redirect.to_owned()),
        ("code_verifier".to_owned(), verifier.expose_secret().to_owned()),
    ];
    let answer = match post(ctx, provider, metadata, form).await? {
        Ok(answer) => answer,
        Err(fault) => return Ok(Err(fault)),
    };
    let Some(id_token) = secret_in(&answer, "id_token") else {
        return Ok(Err(Fault::new(
            "no_id_token",
            "The provider gave no ID token, so it did not say who you are.",
            "An administrator should check that the scope `openid` is asked for, and that the provider allows it to \
             this client.",
        )));
    };
    let kept = kept(ctx, &answer);
    Ok(Ok(Tokens { id_token, kept }))
}

/// A token of an answer.
fn secret_in(answer: &Map<String, Value>, name: &str) -> Option<SecretString> {
    let text = answer.get(name).and_then(Value::as_str)?;
    (!text.is_empty()).then(|| SecretString::from(text.to_owned()))
}

fn kept(ctx: &Ctx, answer: &Map<String, Value>) -> Kept {
    let seconds = answer.get("expires_in").and_then(Value::as_i64);
    Kept {
        refresh_token: secret_in(answer, "refresh_token"),
        access_token: secret_in(answer, "access_token"),
        access_expires_at: seconds
            .map(|seconds| ctx.clock.now_ms() + seconds.clamp(0, MAX_LIFE_SECONDS) * 1000),
    }
}

/// Gets new tokens for a refresh token, and the ID token that may come along.
pub(super) async fn refresh(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    refresh_token: &SecretString,
) -> Result<Result<(Option<SecretString>, Kept), Fault>, SsoError> {
    let form = vec![
        ("grant_type".to_owned(), "refresh_token".to_owned()),
        (
            "refresh_token".to_owned(),
            refresh_token.expose_secret().to_owned(),
        ),
    ];
    let answer = post(ctx, provider, metadata, form).await?;
    Ok(answer.map(|answer| (secret_in(&answer, "id_token"), kept(ctx, &answer))))
}

/// Gives a refresh token back (RFC 7009).
pub(super) async fn revoke(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    refresh_token: &SecretString,
) -> Result<Result<(), Fault>, SsoError> {
    let form = vec![
        ("token".to_owned(), refresh_token.expose_secret().to_owned()),
        ("token_type_hint".to_owned(), "refresh_token".to_owned()),
    ];
    let url = &metadata.revocation_endpoint;
    let answer = match send(ctx, provider, metadata, url, form).await? {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(Fault::unreachable("revocation endpoint", &error))),
    };
    // Its body says nothing.
    Ok(match answer.status {
        200..300 => Ok(()),
        status => Err(Fault::status("revocation endpoint", url, status)),
    })
}

/// Whether the provider knows this client: a code that cannot be right is refused with `invalid_grant` by those that
/// do, and with `invalid_client` by those that do not.
pub(super) async fn try_client(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    redirect: &str,
) -> Result<Result<(), Fault>, SsoError> {
    let verifier = SecretString::from(crypto::random_token(32));
    let found = exchange(ctx, provider, metadata, "no-code-of-anybody", &verifier, redirect).await?;
    Ok(match found {
        Err(fault) if fault.trouble.code != "invalid_grant" && fault.trouble.code != "no_id_token" => {
            Err(fault)
        }
        _ => Ok(()),
    })
}

async fn post(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    form: Vec<(String, String)>,
) -> Result<Result<Map<String, Value>, Fault>, SsoError> {
    let url = &metadata.token_endpoint;
    Ok(match send(ctx, provider, metadata, url, form).await? {
        Err(error) => Err(Fault::unreachable("token endpoint", &error)),
        Ok(answer) => read("token endpoint", url, answer.status, &answer.body),
    })
}

/// Sends a form, with the proof of who we are.
async fn send(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    url: &str,
    mut form: Vec<(String, String)>,
) -> Result<Result<HttpResponse, HttpError>, SsoError> {
    let basic = authenticate(ctx, provider, metadata, &mut form).await?;
    let mut headers = vec![("accept", "application/json")];
    if let Some(basic) = &basic {
        headers.push(("authorization", basic.expose_secret()));
    }
    let fields: Vec<(&str, &str)> = form
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let http = ctx
        .dialer
        .http()
        .with_body_limit(MAX_ANSWER_BYTES)
        .with_timeout(super::PATIENCE);
    Ok(http.post_form(url, &headers, &fields).await)
}

/// Proves who we are: in the form, or in the header that is returned.
async fn authenticate(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    form: &mut Vec<(String, String)>,
) -> Result<Option<SecretString>, SsoError> {
    let client_id = provider.connection.client_id.as_str();
    let put = |form: &mut Vec<(String, String)>, name: &str, value: &str| {
        form.push((name.to_owned(), value.to_owned()));
    };
    match provider.connection.auth_method {
        ClientAuth::PrivateKeyJwt => {
            let assertion = assertion(ctx, provider, &metadata.token_endpoint).await?;
            put(form, "client_id", client_id);
            put(form, "client_assertion_type", ASSERTION_TYPE);
            put(form, "client_assertion", &assertion);
            return Ok(None);
        }
        _ if !provider.has_secret => {
            put(form, "client_id", client_id);
            return Ok(None);
        }
        ClientAuth::ClientSecretPost => {
            let secret = store::secret(ctx, &provider.id).await?;
            put(form, "client_id", client_id);
            put(form, "client_secret", secret.expose_secret());
            return Ok(None);
        }
        ClientAuth::ClientSecretBasic => {}
    }
    let secret = store::secret(ctx, &provider.id).await?;
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret.expose_secret()));
    Ok(Some(SecretString::from(format!(
        "Basic {}",
        STANDARD.encode(pair)
    ))))
}

/// A statement about ourselves, signed (RFC 7523, section 2.2).
async fn assertion(ctx: &Ctx, provider: &IdentityProvider, audience: &str) -> Result<String, SsoError> {
    let key = store::private_key(ctx, &provider.id).await?;
    let jwk: Value = serde_json::from_str(&provider.key_public).unwrap_or_default();
    let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
    let now = ctx.clock.now().timestamp();
    let client_id = &provider.connection.client_id;
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience, "jti": crypto::random_token(16),
        "iat": now, "exp": now + ASSERTION_SECONDS,
    });
    crypto::sign_jwt(SigningAlg::Es256, kid, "JWT", &key, &claims)
        .map_err(|_| SsoError::Seal(crypto::SealError::Malformed))
}

/// Asks who somebody is. The answer must be about the same person as the ID token.
pub(super) async fn userinfo(
    ctx: &Ctx,
    metadata: &Metadata,
    access_token: &SecretString,
    subject: &str,
) -> Result<Map<String, Value>, Fault> {
    let url = &metadata.userinfo_endpoint;
    let http = ctx
        .dialer
        .http()
        .with_body_limit(MAX_ANSWER_BYTES)
        .with_timeout(super::PATIENCE);
    let bearer = SecretString::from(format!("Bearer {}", access_token.expose_secret()));
    let headers = [
        ("accept", "application/json"),
        ("authorization", bearer.expose_secret()),
    ];
    let answer = http
        .get(url, &headers)
        .await
        .map_err(|error| Fault::unreachable("userinfo endpoint", &error))?;
    if answer.status == 401 {
        return Err(Fault::new(
            "token_refused",
            "The userinfo endpoint does not take the token that the provider gave.",
            "Begin again; if it happens again, an administrator should check the userinfo endpoint.",
        ));
    }
    let claims = read("userinfo endpoint", url, answer.status, &answer.body)?;
    if claims.get("sub").and_then(Value::as_str) == Some(subject) {
        return Ok(claims);
    }
    Err(Fault::new(
        "userinfo_of_somebody_else",
        "The provider's userinfo is about somebody else than its ID token, or does not say about whom.",
        "Nobody was signed in. An administrator should check the userinfo endpoint.",
    ))
}

fn read(what: &str, url: &str, status: u16, body: &[u8]) -> Result<Map<String, Value>, Fault> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let members = strict::object(body);
    if let Some(error) = members
        .as_ref()
        .and_then(|members| members.get("error"))
        .and_then(Value::as_str)
    {
        let said = members
            .as_ref()
            .and_then(|members| members.get("error_description"))
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Err(refused(what, status, error, said));
    }
    if !(200..300).contains(&status) {
        return Err(Fault::status(what, url, status));
    }
    members.ok_or_else(|| {
        let is = if body.trim_ascii_start().starts_with(b"<") {
            "a web page"
        } else {
            "something that is not a JSON object"
        };
        Fault::unreadable(what, url, is)
    })
}

/// A refusal in the provider's words (RFC 6749, section 5.2).
fn refused(what: &str, status: u16, error: &str, said: &str) -> Fault {
    let said = match said.trim() {
        "" => String::new(),
        said => format!(" It says: “{}”", said.chars().take(200).collect::<String>()),
    };
    let remedy = match error {
        "invalid_client" | "unauthorized_client" => {
            "An administrator should check client id, client secret and how the client authenticates."
        }
        "invalid_grant" => "Begin again: a code works once and for a minute.",
        "invalid_scope" => "An administrator should ask for scopes that the provider allows.",
        _ => "Look the word up in the provider's documentation.",
    };
    let cause = format!("The {what} refused with {error}.{said}");
    if status >= 500 || status == 429 {
        Fault::outage(error, cause, remedy)
    } else {
        Fault::new(error, cause, remedy)
    }
}
