//! Who calls an endpoint for programs: the client with its credentials, or the holder of a token; the form they send; and
//! how often they may.

use std::sync::Arc;

use actix_web::http::{Method, header};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use secrecy::SecretString;

use crate::ctx::Ctx;
use crate::db::Version;
use crate::oauth2_server::{self, Client, Credentials, Fields, OAuthError};
use crate::web::limit::Limiter;
use crate::web::presented::{self, Presented};
use crate::web::refused::Claimed;
use crate::web::respond;

/// Largest body, bytes.
const MAX_BODY: usize = 64 * 1024;

/// The access token of a request: in the header, in the body of a POST (RFC 6750, section 2.2), or where a legacy switch
/// allows it in the address; not in two of them.
pub(super) async fn token_of(
    ctx: &Ctx,
    request: &HttpRequest,
    body: Payload,
) -> Result<Option<Presented>, OAuthError> {
    let in_query = presented::in_query(ctx, request).await?;
    let from_header = in_query.or_else(|| presented::presented(request.headers()));
    let from_body = match request.method() == Method::POST && is_form(request) {
        true => {
            let fields = Fields::new(read(body).await?)?;
            fields.get("access_token").map(Presented::bearer)
        }
        false => None,
    };
    match (from_header, from_body) {
        (Some(_), Some(_)) => Err(OAuthError::invalid_request("the token is sent in two ways")),
        (one, other) => Ok(one.or(other)),
    }
}

fn take(ctx: &Ctx, request: &HttpRequest, subject: &str, most: u32) -> Result<(), OAuthError> {
    match request.app_data::<web::Data<Limiter>>() {
        Some(limiter) => limiter
            .take(subject, most, ctx.clock.now_ms())
            .map_err(OAuthError::too_often),
        None => Ok(()),
    }
}

/// Counts a request of its address at its endpoint, where so many may come in a minute.
pub(super) fn count_address(ctx: &Ctx, request: &HttpRequest, most: u32) -> Result<(), OAuthError> {
    let subject = format!("{} {}", request.path(), respond::client_network(request));
    take(ctx, request, &subject, most)
}

/// Counts a request of a client (`cli_…`) at its endpoint.
pub(super) fn count_client(ctx: &Ctx, request: &HttpRequest, client: &str) -> Result<(), OAuthError> {
    let subject = format!("{} {client}", request.path());
    take(ctx, request, &subject, ctx.config.requests_per_token)
}

/// Requests that may fail to prove who sends them in a minute: of one client from one address, and from one address.
const WRONG_PER_CLIENT: u32 = 20;
const WRONG_PER_ADDRESS: u32 = 60;
/// Devices and pushed requests that one address may begin with in a minute.
const BEGUN_PER_ADDRESS: u32 = 60;

/// A client that proved who it is, and what it sent.
pub(super) struct Caller {
    pub(super) client: Arc<Client>,
    pub(super) fields: Fields,
    /// The version of the database at which it was found, and at which it may be answered.
    pub(super) at: Option<Version>,
}

/// The client that sends a form, and the form. Nobody may ask too often, and nobody may guess secrets.
pub(super) async fn authenticated(
    ctx: &Ctx,
    request: &HttpRequest,
    body: Payload,
) -> Result<Caller, OAuthError> {
    let limiter = request.app_data::<web::Data<Limiter>>();
    let (now, route) = (ctx.clock.now_ms(), request.path());
    let address = respond::client_network(request);
    // Anybody can begin for a public application, and each beginning is kept for a while.
    let most = match route {
        "/oauth2/device_authorization" | "/oauth2/par" => {
            ctx.config.requests_per_address.min(BEGUN_PER_ADDRESS)
        }
        _ => ctx.config.requests_per_address,
    };
    count_address(ctx, request, most)?;
    if !request.query_string().is_empty() {
        return Err(OAuthError::invalid_request(
            "parameters belong into the body: what stands in an address ends up in logs",
        ));
    }
    if !is_form(request) {
        return Err(OAuthError::invalid_request(
            "send application/x-www-form-urlencoded",
        ));
    }
    let fields = Fields::new(read(body).await?)?;
    let credentials = credentials(ctx, request, &fields)?;
    let mut claimed = credentials.claimed_id();
    claimed.truncate(claimed.floor_char_boundary(100));
    let guesses = [
        (format!("wrong {address} {claimed}"), WRONG_PER_CLIENT),
        (format!("wrong {address}"), WRONG_PER_ADDRESS),
    ];
    for (subject, most) in &guesses {
        if let Some(seconds) = limiter.and_then(|limiter| limiter.exhausted(subject, *most, now)) {
            return Err(OAuthError::too_often(seconds));
        }
    }
    let at = oauth2_server::version(ctx).await;
    match oauth2_server::authenticate_client(ctx, &credentials, at.as_ref()).await {
        Ok(client) => {
            count_client(ctx, request, &client.id)?;
            Ok(Caller { client, fields, at })
        }
        Err(error) => {
            if error.status == 401 {
                request.extensions_mut().insert(Claimed(claimed));
                for (subject, most) in guesses {
                    let _ = take(ctx, request, &subject, most);
                }
            }
            Err(error)
        }
    }
}

fn credentials(ctx: &Ctx, request: &HttpRequest, fields: &Fields) -> Result<Credentials, OAuthError> {
    let secret = |name| {
        fields
            .get(name)
            .map(|secret| SecretString::from(secret.to_owned()))
    };
    Ok(Credentials {
        basic: match header_value(request, "basic") {
            Some(text) => Some(basic(text)?),
            None if request.headers().contains_key(header::AUTHORIZATION) => {
                return Err(OAuthError::invalid_client(
                    "this way to authenticate is not known here",
                ));
            }
            None => None,
        },
        body_id: fields.get("client_id").map(str::to_owned),
        body_secret: secret("client_secret"),
        assertion_type: fields.get("client_assertion_type").map(str::to_owned),
        assertion: secret("client_assertion"),
        endpoint: ctx.config.url(request.path()),
    })
}

fn is_form(request: &HttpRequest) -> bool {
    request
        .content_type()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn header_value<'a>(request: &'a HttpRequest, scheme: &str) -> Option<&'a str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Id and secret, each form-encoded before they were joined (RFC 6749, section 2.3.1).
fn basic(text: &str) -> Result<(String, SecretString), OAuthError> {
    let wrong = || OAuthError::invalid_client("the Basic credentials cannot be read");
    let decoded = STANDARD.decode(text).map_err(|_| wrong())?;
    let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
    let (id, secret) = decoded.split_once(':').ok_or_else(wrong)?;
    let id = form_decoded(id).ok_or_else(wrong)?;
    let secret = form_decoded(secret).ok_or_else(wrong)?;
    Ok((id, SecretString::from(secret)))
}

fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let high = digit(rest.next())?;
                let low = digit(rest.next())?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

async fn read(mut body: Payload) -> Result<Vec<(String, String)>, OAuthError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| OAuthError::invalid_request("the body did not arrive whole"))?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(OAuthError {
                status: 413,
                ..OAuthError::invalid_request("the body is too large")
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(&bytes).into_owned().collect();
    if fields
        .iter()
        .any(|(name, value)| name.contains('\0') || value.contains('\0'))
    {
        return Err(OAuthError::invalid_request("a parameter holds a NUL character"));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n23_basic_credentials_are_form_decoded_or_refused() {
        use secrecy::ExposeSecret;
        let (id, secret) = basic(&STANDARD.encode("a%20b:c+d%3A")).unwrap();
        assert_eq!((id.as_str(), secret.expose_secret()), ("a b", "c d:"));
        for bad in ["a:%zz", "a:%4", "a:%", "nocolon", "a:%ff"] {
            assert_eq!(basic(&STANDARD.encode(bad)).unwrap_err().status, 401, "{bad}");
        }
        assert!(basic("!!").is_err());
    }
}
