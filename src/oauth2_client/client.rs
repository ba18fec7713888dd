//! A client of one token endpoint: the requests, by the `oauth2` crate over our own HTTP client.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use oauth2::basic::{BasicErrorResponse, BasicTokenType};
use oauth2::http;
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, ErrorResponse, ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, RequestTokenError, Scope, StandardRevocableToken,
    StandardTokenIntrospectionResponse, StandardTokenResponse, TokenResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::answer::{self, Answer};
use super::error::TokenError;
use super::explain::{Class, lookup, printable, with_words};
use super::provider::{AuthMethod, Provider};
use super::tokens::{IdClaims, Tokens};
use crate::clock::Clock;
use crate::net::{Dialer, HttpClient, HttpError, HttpMethod, HttpRequest};
use crate::trouble::Trouble;

/// No token answer is larger than this; real ones stay under 10 kB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What a client of a token endpoint needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Who runs the endpoint.
    pub provider: Provider,
    /// The token endpoint.
    pub token_endpoint: String,
    /// The client id.
    pub client_id: String,
    /// The client secret; empty for a public client.
    pub client_secret: SecretString,
    /// How the client authenticates.
    pub auth_method: AuthMethod,
}

/// A client of one token endpoint.
#[derive(Clone)]
pub struct TokenClient {
    config: ClientConfig,
    http: HttpClient,
    clock: Clock,
}

impl std::fmt::Debug for TokenClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenClient")
            .field("config", &self.config)
            .finish()
    }
}

impl TokenClient {
    /// A client that dials through `dialer`.
    pub fn new(dialer: &Dialer, clock: &Clock, config: ClientConfig) -> Self {
        Self {
            config,
            http: dialer.http().with_body_limit(MAX_ANSWER_BYTES),
            clock: clock.clone(),
        }
    }

    /// Exchanges an authorization code (RFC 6749, section 4.1.3; RFC 7636, section 4.5).
    pub async fn exchange_code(
        &self,
        code: &str,
        verifier: &SecretString,
        redirect: &str,
    ) -> Result<Tokens, TokenError> {
        let client = self.client()?.set_redirect_uri(redirect_url(redirect)?);
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()));
        let transport = self.transport();
        let result = request.request_async(&transport).await;
        self.outcome(result)
    }

    /// Asks for a new access token (RFC 6749, section 6). The scopes are sent along, as Microsoft wants them.
    pub async fn refresh(
        &self,
        refresh_token: &SecretString,
        scopes: &[String],
    ) -> Result<Tokens, TokenError> {
        let client = self.client()?;
        let token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        let request = client
            .exchange_refresh_token(&token)
            .add_scopes(scope_list(scopes));
        let transport = self.transport();
        let result = request.request_async(&transport).await;
        self.outcome(result)
    }

    /// Asks for a token of the client's own (RFC 6749, section 4.4).
    pub async fn client_credentials(&self, scopes: &[String]) -> Result<Tokens, TokenError> {
        let client = self.client()?;
        let request = client
            .exchange_client_credentials()
            .add_scopes(scope_list(scopes));
        let transport = self.transport();
        let result = request.request_async(&transport).await;
        self.outcome(result)
    }

    /// Tells the provider that a token is no longer needed (RFC 7009). Any 2xx answer is success.
    pub async fn revoke(&self, revocation_endpoint: &str, token: &SecretString) -> Result<(), TokenError> {
        let mut form = vec![("token", token.expose_secret())];
        let basic;
        let mut headers = Vec::new();
        match self.config.auth_method {
            AuthMethod::ClientSecretPost => {
                form.push(("client_id", &self.config.client_id));
                form.push(("client_secret", self.config.client_secret.expose_secret()));
            }
            AuthMethod::ClientSecretBasic => {
                basic = basic_header(&self.config);
                headers.push(("authorization", basic.expose_secret()));
            }
        }
        let answer = self.http.post_form(revocation_endpoint, &headers, &form).await;
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(unreadable(&format!("status {}", answer.status), None)),
            Err(error) => Err(unreachable(&error)),
        }
    }

    fn client(&self) -> Result<ReadyClient, TokenError> {
        let token_url =
            TokenUrl::new(self.config.token_endpoint.clone()).map_err(|_| bad_url("token endpoint"))?;
        let mut client = BareClient::new(ClientId::new(self.config.client_id.clone()))
            .set_token_uri(token_url)
            .set_auth_type(match self.config.auth_method {
                AuthMethod::ClientSecretBasic => AuthType::BasicAuth,
                AuthMethod::ClientSecretPost => AuthType::RequestBody,
            });
        let secret = self.config.client_secret.expose_secret();
        if !secret.is_empty() {
            client = client.set_client_secret(ClientSecret::new(secret.to_owned()));
        }
        Ok(client)
    }

    fn transport(&self) -> Transport {
        Transport {
            http: self.http.clone(),
            clock: self.clock.clone(),
            client_id: self.config.client_id.clone(),
        }
    }

    fn outcome(
        &self,
        result: Result<Answered, RequestTokenError<TransportError, Refusal>>,
    ) -> Result<Tokens, TokenError> {
        match result {
            Ok(answer) => Ok(tokens_of(answer)),
            Err(RequestTokenError::ServerResponse(refusal)) => Err(self.refused(&refusal)),
            Err(RequestTokenError::Request(TransportError::Http(error))) => Err(unreachable(&error)),
            Err(RequestTokenError::Request(TransportError::Unreadable { what, retry_after })) => {
                Err(unreadable(&what, retry_after))
            }
            // What these hold may be the answer's body: none of it is passed on.
            Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
                Err(unreadable("an answer of the wrong form", None))
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> TokenError {
        let retry_after = refusal.retry_after_ms.map(Duration::from_millis);
        let found = lookup(self.config.provider, &refusal.error, &refusal.error_description);
        let busy = refusal.status == 429 || refusal.status >= 500;
        if busy
            && !found
                .as_ref()
                .is_some_and(|found| matches!(found.class, Class::Transient | Class::Bug))
        {
            let said = format!("{} {}", refusal.error, refusal.error_description);
            return throttled(refusal.status, &said, retry_after);
        }
        match found {
            Some(explanation) => TokenError::of(explanation, retry_after),
            // RFC 6749, section 5.2: 401 is for clients that could not authenticate.
            None if refusal.status == 401 => TokenError::ClientMisconfigured(unknown_refusal(refusal)),
            None => TokenError::Transient {
                trouble: unknown_refusal(refusal),
                retry_after,
                answered: true,
            },
        }
    }
}

/// What goes into an authorization request (RFC 6749, section 4.1.1).
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    /// The authorization endpoint.
    pub endpoint: &'a str,
    /// The client id.
    pub client_id: &'a str,
    /// The redirect URL, as registered.
    pub redirect: &'a str,
    /// The scopes asked for.
    pub scopes: &'a [String],
    /// The state.
    pub state: &'a SecretString,
    /// The PKCE verifier; its S256 challenge is sent.
    pub verifier: &'a SecretString,
    /// Further parameters.
    pub extra: &'a BTreeMap<String, String>,
}

/// The URL to send a browser to; `None` when endpoint or redirect URL cannot be parsed.
pub fn authorization_url(request: &AuthorizationRequest<'_>) -> Option<Url> {
    let verifier = PkceCodeVerifier::new(request.verifier.expose_secret().to_owned());
    let client = BareClient::new(ClientId::new(request.client_id.to_owned()))
        .set_auth_uri(AuthUrl::new(request.endpoint.to_owned()).ok()?)
        .set_redirect_uri(RedirectUrl::new(request.redirect.to_owned()).ok()?);
    let mut wanted = client
        .authorize_url(|| CsrfToken::new(request.state.expose_secret().to_owned()))
        .add_scopes(scope_list(request.scopes))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    for (name, value) in request.extra {
        wanted = wanted.add_extra_param(name.clone(), value.clone());
    }
    Some(wanted.url().0)
}

/// Fields of our one form beyond the standard's.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Extra {
    refresh_life: Option<u64>,
    id_claims: Option<IdClaims>,
}

impl ExtraTokenFields for Extra {}

type Answered = StandardTokenResponse<Extra, BasicTokenType>;

/// A refusal in our one form.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Refusal {
    error: String,
    error_description: String,
    status: u16,
    retry_after_ms: Option<u64>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error)
    }
}

impl ErrorResponse for Refusal {}

type BareClient<Auth = EndpointNotSet, Token = EndpointNotSet> = Client<
    Refusal,
    Answered,
    StandardTokenIntrospectionResponse<Extra, BasicTokenType>,
    StandardRevocableToken,
    BasicErrorResponse,
    Auth,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    Token,
>;
type ReadyClient = BareClient<EndpointNotSet, EndpointSet>;

/// Carries the `oauth2` crate's requests through `net`, and answers in the one form it can parse.
struct Transport {
    http: HttpClient,
    clock: Clock,
    client_id: String,
}

#[derive(Debug, thiserror::Error)]
enum TransportError {
    #[error("no answer")]
    Http(#[source] HttpError),
    #[error("unreadable answer")]
    Unreadable {
        what: String,
        retry_after: Option<Duration>,
    },
}

impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, TransportError>> + Send + 'c>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

impl Transport {
    async fn exchange(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse, TransportError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let headers: Vec<(&str, &str)> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let request = HttpRequest {
            method: HttpMethod::Post,
            url: &url,
            headers: &headers,
            body,
        };
        let got = self.http.send(request).await.map_err(TransportError::Http)?;
        let retry_after = got
            .header("retry-after")
            .and_then(|value| answer::retry_after(value, self.clock.now_ms()));
        let (status, body) = match answer::read(got.status, &got.body, &self.client_id) {
            Answer::Tokens(value) => (http::StatusCode::OK, value),
            Answer::Refusal(mut value) => {
                if let Some(wait) = retry_after {
                    value["retry_after_ms"] = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into();
                }
                (http::StatusCode::BAD_REQUEST, value)
            }
            Answer::Unreadable(what) => return Err(TransportError::Unreadable { what, retry_after }),
        };
        let mut response = http::Response::new(body.to_string().into_bytes());
        *response.status_mut() = status;
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        Ok(response)
    }
}

fn tokens_of(answer: Answered) -> Tokens {
    let extra = answer.extra_fields();
    Tokens {
        access_token: SecretString::from(answer.access_token().secret().clone()),
        refresh_token: answer
            .refresh_token()
            .map(|token| SecretString::from(token.secret().clone())),
        expires_in: answer.expires_in().unwrap_or(Duration::from_secs(300)),
        scopes: answer
            .scopes()
            .map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect()),
        claims: extra.id_claims.clone(),
        refresh_expires_in: extra.refresh_life.map(Duration::from_secs),
    }
}

fn scope_list(scopes: &[String]) -> impl Iterator<Item = Scope> + '_ {
    scopes.iter().cloned().map(Scope::new)
}

fn redirect_url(url: &str) -> Result<RedirectUrl, TokenError> {
    RedirectUrl::new(url.to_owned()).map_err(|_| bad_url("redirect URL"))
}

fn bad_url(what: &str) -> TokenError {
    TokenError::ClientMisconfigured(Trouble::new(
        "invalid_url",
        format!("The {what} is not a URL."),
        "Correct it in the integration.",
    ))
}

fn basic_header(config: &ClientConfig) -> SecretString {
    use base64::Engine;
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!(
        "{}:{}",
        encode(&config.client_id),
        encode(config.client_secret.expose_secret())
    );
    SecretString::from(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    ))
}

fn unreachable(error: &HttpError) -> TokenError {
    TokenError::Transient {
        trouble: Trouble::new(
            error.code(),
            format!("The token endpoint could not be asked: {error}."),
            error.remedy(),
        ),
        retry_after: None,
        answered: false,
    }
}

fn unreadable(what: &str, retry_after: Option<Duration>) -> TokenError {
    TokenError::Transient {
        trouble: Trouble::new(
            "token_answer_unreadable",
            format!("The token endpoint answered with {what}."),
            "Mailgrant tries again by itself. If it stays, check the token endpoint's address, and any proxy before it.",
        ),
        retry_after,
        answered: false,
    }
}

fn throttled(status: u16, said: &str, retry_after: Option<Duration>) -> TokenError {
    let (code, cause) = if status == 429 {
        (
            "throttled",
            "The provider wants fewer requests (status 429).".to_owned(),
        )
    } else {
        (
            "provider_unavailable",
            format!("The provider has a problem of its own (status {status})."),
        )
    };
    TokenError::Transient {
        trouble: Trouble::new(
            code,
            with_words(&cause, said),
            "Mailgrant waits and tries again by itself.",
        ),
        retry_after,
        answered: status == 429,
    }
}

fn unknown_refusal(refusal: &Refusal) -> Trouble {
    Trouble::new(
        printable(&refusal.error),
        with_words(
            "The provider refused the request with a code Mailgrant does not know.",
            &refusal.error_description,
        ),
        "Look the code up in the provider's documentation; check the integration.",
    )
}
