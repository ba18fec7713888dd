//! Who asks at the API: tokens of our authorization server, personal ones, ID tokens where that is allowed, and what issuers
//! that are trusted sign. Cookies play no part.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use secrecy::ExposeSecret;

use super::error::Problem;
use super::foreign;
use super::gate::{ctx, refuse, refuse_nul, too_often};
use super::limit::Limiter;
use super::presented::{self, Presented, Scheme};
use super::respond;
use crate::access::{Access, Role};
use crate::account::{self, TokenIdentity};
use crate::audit;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, OAuthError, TokenUse, dpop};

/// Around everything below `/api/v1`: 401 comes before any other answer. Cookies are not looked at.
pub(super) async fn require_bearer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let nonce = request.headers().contains_key("dpop").then(|| {
        let ctx = ctx(request.request()).ok();
        ctx.and_then(|ctx| header::HeaderValue::from_str(&dpop::nonce(&ctx)).ok())
    });
    let nonce = nonce.flatten();
    let is_in_query = presented::is_in_query(request.request());
    let mut response = admitted(request, next).await?;
    if let Some(nonce) = nonce {
        response.headers_mut().insert(presented::DPOP_NONCE, nonce);
    }
    if is_in_query {
        presented::keep_private(response.headers_mut());
    }
    Ok(response)
}

async fn admitted(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match admit_token(request.request()).await {
        Ok((identity, access)) => {
            audit::act_as(access.actor());
            request.extensions_mut().insert::<TokenIdentity>(identity);
            request.extensions_mut().insert::<Access>(access);
            match refuse_nul(&request) {
                Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
                Err(problem) => Ok(refuse(request, &problem).map_into_right_body()),
            }
        }
        Err(problem) => Ok(refuse(request, &problem).map_into_right_body()),
    }
}

/// Who asks, unless they ask too often. The address is counted before the token is looked at, wherever it asks; whoever the
/// token is of, for each route by itself: a program that runs wild at one keeps nothing else from its answers.
async fn admit_token(request: &HttpRequest) -> Result<(TokenIdentity, Access), Problem> {
    let ctx = ctx(request)?;
    let limiter = request
        .app_data::<web::Data<Limiter>>()
        .ok_or_else(|| Problem::internal(&"the application has no limiter"))?;
    let now = ctx.clock.now_ms();
    let address = respond::client_network(request);
    limiter
        .take(&address, ctx.config.requests_per_address, now)
        .map_err(too_often)?;
    let (identity, access) = identify(request, true).await?;
    let route = request.match_pattern().unwrap_or_default();
    let subject = format!("{} {route} {}", request.method(), identity.id);
    limiter
        .take(&subject, ctx.config.requests_per_token, now)
        .map_err(too_often)?;
    Ok((identity, access))
}

/// Who asks. `is_new` where the request just came in: then a token that is bound to a key needs its proof.
pub(super) async fn identify(
    request: &HttpRequest,
    is_new: bool,
) -> Result<(TokenIdentity, Access), Problem> {
    let ctx = ctx(request)?;
    let in_query = presented::in_query(&ctx, request)
        .await
        .map_err(|error| match error.status {
            400 => Problem::bad_request("token_in_address", error.description.clone())
                .with_challenge(presented::challenge(Scheme::Bearer, Some(&error))),
            _ => Problem::internal(&error),
        })?;
    let sent = in_query.or_else(|| presented::presented(request.headers()));
    let found = match &sent {
        Some(sent) if sent.scheme == Scheme::IdToken => {
            let found = oauth2_server::authenticate_id_token(&ctx, &sent.token).await;
            match found.map_err(|error| Problem::internal(&error))? {
                Some(found) => who(&ctx, &found).await?,
                None => None,
            }
        }
        Some(sent) if oauth2_server::is_access_token(sent.token.expose_secret()) => {
            by_access_token(&ctx, request, sent, is_new).await?
        }
        // Tokens of other kinds are bound to nothing.
        Some(sent) if sent.scheme == Scheme::Bearer => {
            account::authenticate(&ctx.db, &ctx.clock, &sent.token).await?
        }
        _ => None,
    };
    // What is no token of ours may be one of an issuer that is trusted.
    let found = match (found, &sent) {
        (None, Some(sent)) if sent.scheme == Scheme::Bearer => foreign::identify(&ctx, &sent.token).await?,
        (found, _) => found,
    };
    found.ok_or_else(|| match sent {
        None => unauthorized("send a valid token as `Authorization: Bearer mg_pat_…`; `mailgrant token create` makes one"),
        Some(sent) => {
            let error = OAuthError::new("invalid_token", "the token is unknown, over, revoked, or not for this API");
            unauthorized("the token is unknown, over, revoked, or not for this API; `mailgrant token create` makes one")
                .with_challenge(presented::challenge(sent.scheme, Some(&error)))
        }
    })
}

/// 401.
fn unauthorized(detail: &str) -> Problem {
    Problem::new(
        actix_web::http::StatusCode::UNAUTHORIZED,
        "token_missing_or_wrong",
        detail,
    )
}

/// Whom an access token of our authorization server speaks for: the person who consented, cut down to what they allowed,
/// or the client itself.
async fn by_access_token(
    ctx: &Ctx,
    request: &HttpRequest,
    sent: &Presented,
    is_new: bool,
) -> Result<Option<(TokenIdentity, Access)>, Problem> {
    let Some(found) = oauth2_server::authenticate(ctx, &sent.token).await? else {
        return Ok(None);
    };
    if !oauth2_server::is_for_api(ctx, &found) {
        return Ok(None);
    }
    if is_new {
        presented::check_binding(ctx, request, sent, &found)
            .await
            .map_err(|error| {
                unauthorized(&error.description)
                    .with_challenge(presented::challenge(Scheme::Dpop, Some(&error)))
            })?;
    }
    who(ctx, &found).await
}

/// What a live token of our authorization server may do now.
async fn who(ctx: &Ctx, found: &TokenUse) -> Result<Option<(TokenIdentity, Access)>, Problem> {
    let user_id = found.family.user_id.as_str();
    if !user_id.is_empty() {
        audit::act_through(&found.family.client);
    }
    let owner = match user_id {
        "" => match found.project_id.as_str() {
            "" => Access::machine(),
            // The application of a project reaches no further than its admin.
            project => Access::person(
                "",
                false,
                BTreeMap::from([(project.to_owned(), Role::ProjectAdmin)]),
            ),
        },
        user_id => match account::get(&ctx.db, user_id).await? {
            Some(user) => account::access(&ctx.db, &user).await?,
            None => return Ok(None),
        },
    };
    // The application of a project reaches no further than it, whoever allowed it what.
    let of_client = Some(&found.project_id).filter(|id| !id.is_empty());
    let projects = match (found.family.projects.as_slice(), of_client) {
        ([], None) => None,
        ([], Some(project)) => Some(BTreeSet::from([project.clone()])),
        (some, of_client) => Some(
            some.iter()
                .filter(|id| of_client.is_none_or(|project| project == *id))
                .cloned()
                .collect(),
        ),
    };
    let identity = TokenIdentity {
        id: found.family.client.clone(),
        name: found.client_name.clone(),
        // The person is who did it; through which application, the audit log says beside them.
        actor: match user_id {
            "" => found.family.client.clone(),
            user_id => user_id.to_owned(),
        },
        expires_at: Some(found.expires_at),
    };
    let access = owner.by_token(&identity.actor, oauth2_server::for_api(&found.scopes), projects);
    Ok(Some((identity, access)))
}
