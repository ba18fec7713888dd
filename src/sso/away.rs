//! The way of a sign-in to the provider: with state, nonce and PKCE, bound to one browser. The way back is in `flow`.

use openidconnect::core::{CoreClient, CoreJsonWebKeySet, CoreResponseType};
use openidconnect::{
    AuthUrl, AuthenticationFlow, ClientId, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::discovery::{self, Metadata};
use super::error::{Fault, SignInError, SsoError};
use super::flow::refused;
use super::model::{IdentityProvider, Preset};
use super::store::attempts::{self as store, NewAttempt};
use crate::config::Config;
use crate::crypto::{random_token, sha256_hex};
use crate::ctx::Ctx;

/// How long somebody may take at the provider.
pub(super) const ATTEMPT_MS: i64 = 600_000;

/// The scope of refresh tokens.
const OFFLINE: &str = "offline_access";

/// How Google is asked when somebody signed in there.
const GOOGLE_TIME: &str = r#"{"id_token":{"auth_time":{"essential":true}}}"#;

/// What a sign-in is begun for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose<'a> {
    /// To come in; afterwards on to this local path. With `true` they are to show anew who they are.
    SignIn(&'a str, bool),
    /// To see whether it works.
    Test(&'a str),
}

/// The redirect URL of a provider, as it must be registered there.
pub fn redirect_url(config: &Config, id: &str) -> String {
    config.url(&format!("/sso/{id}/callback"))
}

/// Begins a sign-in of one browser and says where to send it. `return_to` is a checked local path; with `again` the
/// provider is asked not to take an old session of its own for an answer.
pub async fn begin(
    ctx: &Ctx,
    id: &str,
    browser: &str,
    return_to: &str,
    again: bool,
) -> Result<Url, SignInError> {
    let provider = super::service::get(ctx, id).await?;
    if !provider.enabled {
        return Err(SsoError::NotFound.into());
    }
    leave(ctx, &provider, browser, Purpose::SignIn(return_to, again)).await
}

pub(super) async fn leave(
    ctx: &Ctx,
    provider: &IdentityProvider,
    browser: &str,
    purpose: Purpose<'_>,
) -> Result<Url, SignInError> {
    let (return_to, test_id, again) = match purpose {
        Purpose::SignIn(return_to, again) => (return_to, "", again),
        Purpose::Test(id) => ("/", id, false),
    };
    let refused = |fault: Fault| refused(fault, return_to);
    let metadata = discovery::metadata(ctx, provider).await.map_err(refused)?;
    let (state, nonce) = (random_token(32), random_token(32));
    let verifier = SecretString::from(random_token(32));
    let mut url =
        authorization_url(ctx, provider, &metadata, (&state, &nonce), &verifier).map_err(refused)?;
    let prompts = [
        again.then_some("login"),
        wants_consent(provider).then_some("consent"),
    ];
    let prompts: Vec<&str> = prompts.into_iter().flatten().collect();
    if !prompts.is_empty() {
        url.query_pairs_mut().append_pair("prompt", &prompts.join(" "));
    }
    if again {
        // So that the ID token says when they did: whoever sits at the browser can take words out of this address.
        url.query_pairs_mut().append_pair("max_age", "0");
        if provider.connection.preset == Preset::Google {
            // It knows no `max_age`, and says the time to who asks for it in this way.
            url.query_pairs_mut().append_pair("claims", GOOGLE_TIME);
        }
    }
    if provider.connection.preset == Preset::Google && wants_offline(provider) {
        url.query_pairs_mut().append_pair("access_type", "offline");
    }
    let attempt = NewAttempt {
        state_hash: sha256_hex(state.as_bytes()),
        provider_id: &provider.id,
        connection_revision: provider.connection_revision,
        test_id,
        browser,
        nonce_hash: sha256_hex(nonce.as_bytes()),
        verifier: &verifier,
        return_to,
        again,
        expires_at: ctx.clock.now_ms() + ATTEMPT_MS,
    };
    store::insert(ctx, attempt).await?;
    Ok(url)
}

/// Whether a refresh token is asked for.
fn wants_offline(provider: &IdentityProvider) -> bool {
    provider.connection.scopes.iter().any(|scope| scope == OFFLINE)
}

/// Whether a refresh token is given only where the person is asked (OpenID Connect Core, section 11).
fn wants_consent(provider: &IdentityProvider) -> bool {
    let asks = !matches!(
        provider.connection.preset,
        Preset::Entra | Preset::Keycloak | Preset::Okta
    );
    asks && wants_offline(provider)
}

fn authorization_url(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    (state, nonce): (&str, &str),
    verifier: &SecretString,
) -> Result<Url, Fault> {
    let bad = |what: &str| {
        Fault::new(
            "invalid_url",
            format!("The {what} of this identity provider is not a URL."),
            "An administrator should correct it.",
        )
    };
    let connection = &provider.connection;
    let client = CoreClient::new(
        ClientId::new(connection.client_id.clone()),
        // Only the address of the request is made here; what comes back is checked against the real issuer.
        IssuerUrl::new(ctx.config.base_url.to_string()).map_err(|_| bad("issuer"))?,
        CoreJsonWebKeySet::new(Vec::new()),
    )
    .set_auth_uri(
        AuthUrl::new(metadata.authorization_endpoint.clone()).map_err(|_| bad("authorization endpoint"))?,
    )
    .set_redirect_uri(
        RedirectUrl::new(redirect_url(&ctx.config, &provider.id)).map_err(|_| bad("redirect URL"))?,
    );
    let verifier = PkceCodeVerifier::new(verifier.expose_secret().to_owned());
    let scopes = connection
        .scopes
        .iter()
        .filter(|scope| *scope != "openid")
        // Google has a parameter of its own for it, and refuses the scope.
        .filter(|scope| *scope != OFFLINE || connection.preset != Preset::Google)
        .cloned()
        .map(Scope::new);
    let (state, nonce) = (state.to_owned(), nonce.to_owned());
    let (url, _, _) = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        )
        .add_scopes(scopes)
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
        .url();
    Ok(url)
}
