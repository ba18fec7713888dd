//! What a provider says about itself (OpenID Connect Discovery 1.0), checked word by word, and its keys; both kept for
//! a while, by the revision of the connection, so that a change is live at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use serde_json::{Map, Value};
use url::Url;

use super::error::Fault;
use super::id_token::algorithm;
use super::model::{Connection, IdentityProvider, Preset};
use super::preset;
use super::strict;
use crate::ctx::Ctx;

/// Largest discovery document or key set that is read, bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// How long a discovery document is believed.
const DOCUMENT_MS: i64 = 3_600_000;
/// How long keys are believed.
const KEYS_MS: i64 = 600_000;
/// Keys that do not fit are fetched anew at most this often.
const REFETCH_MS: i64 = 100;
/// For tokens that anybody can send, they are fetched anew at most this often, with or without success.
const STRANGERS_MS: i64 = 60_000;
/// The part of Entra's issuer that stands for somebody's tenant.
pub(super) const TENANT: &str = "{tenantid}";

/// Where a provider is asked what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    /// As in ID tokens; for several tenants of Entra with `{tenantid}`.
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) jwks_uri: String,
    /// Empty if there is none.
    pub(super) userinfo_endpoint: String,
    /// Empty if there is none.
    pub(super) end_session_endpoint: String,
    /// Empty if there is none.
    pub(super) revocation_endpoint: String,
    pub(super) algs: Vec<CoreJwsSigningAlgorithm>,
    /// Whether authorization answers carry `iss` (RFC 9207).
    pub(super) iss_announced: bool,
}

/// What is known of providers at the moment. Clones share it.
#[derive(Clone, Default)]
pub struct Cache(Arc<Mutex<HashMap<String, Entry>>>);

#[derive(Default)]
struct Entry {
    connection_revision: i64,
    metadata: Option<(Arc<Metadata>, i64)>,
    keys: Option<(Arc<CoreJsonWebKeySet>, i64)>,
    /// Held by the one request that asks the provider; the others wait for what it learns.
    asking: Arc<tokio::sync::Mutex<()>>,
    /// When a token that anybody can have sent had the keys fetched anew.
    stranger_at: Option<i64>,
    /// How often asking failed, and why the last time.
    failures: u64,
    fault: Option<Fault>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cache")
    }
}

impl Cache {
    fn with<T>(&self, provider: &IdentityProvider, work: impl FnOnce(&mut Entry) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.entry(provider.id.clone()).or_default();
        if entry.connection_revision != provider.connection_revision {
            *entry = Entry {
                connection_revision: provider.connection_revision,
                ..Entry::default()
            };
        }
        work(entry)
    }
}

/// Something learnt, and when.
type Learnt<T> = Option<(Arc<T>, i64)>;

/// What is known, if it is not older than `life`; else what the provider answers. However many requests want to know,
/// the provider is asked by one at a time, and what that one learns, or why it does not, is the answer for those who
/// waited.
async fn ask_once<T>(
    ctx: &Ctx,
    provider: &IdentityProvider,
    place: impl Fn(&mut Entry) -> &mut Learnt<T>,
    life: i64,
    ask: impl Future<Output = Result<T, Fault>>,
) -> Result<Arc<T>, Fault> {
    let fresh = |entry: &mut Entry| {
        let now = ctx.clock.now_ms();
        let (known, at) = place(entry).as_ref()?;
        (0..life).contains(&(now - at)).then(|| Arc::clone(known))
    };
    let (known, asking, failures) = ctx.sso.with(provider, |entry| {
        (fresh(entry), Arc::clone(&entry.asking), entry.failures)
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let _alone = asking.lock().await;
    let (known, fault) = ctx.sso.with(provider, |entry| {
        let fault = entry.fault.clone().filter(|_| entry.failures > failures);
        (fresh(entry), fault)
    });
    match (known, fault) {
        (Some(known), _) => return Ok(known),
        (None, Some(fault)) => return Err(fault),
        (None, None) => {}
    }
    let now = ctx.clock.now_ms();
    match ask.await {
        Ok(learnt) => {
            let learnt = Arc::new(learnt);
            ctx.sso.with(provider, |entry| {
                *place(entry) = Some((Arc::clone(&learnt), now));
            });
            Ok(learnt)
        }
        Err(fault) => {
            ctx.sso.with(provider, |entry| {
                entry.failures += 1;
                entry.fault = Some(fault.clone());
            });
            Err(fault)
        }
    }
}

/// Where the provider is asked what; from memory, if it was learnt lately.
pub(super) async fn metadata(ctx: &Ctx, provider: &IdentityProvider) -> Result<Arc<Metadata>, Fault> {
    let ask = learn(ctx, &provider.connection);
    ask_once(ctx, provider, |entry| &mut entry.metadata, DOCUMENT_MS, ask).await
}

/// How old the keys of a provider may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// As they are kept.
    Kept,
    /// Fetched again, unless that was done a moment ago: the kept ones do not fit what the provider itself gave.
    Anew,
    /// Fetched again, once a minute at most: the kept ones do not fit what anybody can have written.
    AnewForStranger,
}

/// The provider's keys.
pub(super) async fn keys(
    ctx: &Ctx,
    provider: &IdentityProvider,
    metadata: &Metadata,
    which: Keys,
) -> Result<Arc<CoreJsonWebKeySet>, Fault> {
    let life = match which {
        Keys::Kept => KEYS_MS,
        Keys::Anew => REFETCH_MS,
        Keys::AnewForStranger if may_stranger_ask(ctx, provider) => 0,
        Keys::AnewForStranger => KEYS_MS,
    };
    let ask = fetch_keys(ctx, &metadata.jwks_uri);
    ask_once(ctx, provider, |entry| &mut entry.keys, life, ask).await
}

/// Notes that a stranger's token has the keys fetched, unless one did lately.
fn may_stranger_ask(ctx: &Ctx, provider: &IdentityProvider) -> bool {
    let now = ctx.clock.now_ms();
    ctx.sso.with(provider, |entry| {
        let may = entry
            .stranger_at
            .is_none_or(|at| !(0..STRANGERS_MS).contains(&(now - at)));
        if may {
            entry.stranger_at = Some(now);
        }
        may
    })
}

/// Reads the discovery document, or takes what was entered by hand.
pub(super) async fn learn(ctx: &Ctx, connection: &Connection) -> Result<Metadata, Fault> {
    if !connection.discovery {
        let metadata = Metadata {
            issuer: connection.issuer.clone(),
            authorization_endpoint: connection.authorization_endpoint.clone(),
            token_endpoint: connection.token_endpoint.clone(),
            jwks_uri: connection.jwks_uri.clone(),
            userinfo_endpoint: connection.userinfo_endpoint.clone(),
            end_session_endpoint: connection.end_session_endpoint.clone(),
            revocation_endpoint: connection.revocation_endpoint.clone(),
            algs: default_algs(),
            iss_announced: false,
        };
        for (name, endpoint) in endpoints(&metadata) {
            check_endpoint(ctx, name, endpoint).await?;
        }
        return Ok(metadata);
    }
    let url = document_url(connection);
    let document = fetch(ctx, "discovery document", &url).await?;
    let metadata = read(&document, connection)?;
    check_endpoints(ctx, connection, &metadata).await?;
    Ok(metadata)
}

/// Where the discovery document is. An issuer for several tenants has it at the address the tenant's word makes.
fn document_url(connection: &Connection) -> String {
    let issuer = match connection.tenant.as_str() {
        "" => connection.issuer.clone(),
        tenant => connection.issuer.replace(TENANT, tenant),
    };
    format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    )
}

async fn fetch(ctx: &Ctx, what: &str, url: &str) -> Result<Map<String, Value>, Fault> {
    let http = ctx
        .dialer
        .http()
        .with_body_limit(MAX_DOCUMENT_BYTES)
        .with_timeout(super::PATIENCE);
    let answer = http
        .get(url, &[("accept", "application/json")])
        .await
        .map_err(|error| Fault::unreachable(what, &error))?;
    if answer.status != 200 {
        return Err(Fault::status(what, url, answer.status));
    }
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    if let Some(document) = strict::object(body) {
        return Ok(document);
    }
    let is = if body.trim_ascii_start().starts_with(b"<") {
        "a web page"
    } else {
        "something that is not a JSON object"
    };
    Err(Fault::unreadable(what, url, is))
}

fn read(document: &Map<String, Value>, connection: &Connection) -> Result<Metadata, Fault> {
    let wrong = |name: &str, what: &str| {
        Fault::new(
            "discovery_invalid",
            format!("The provider's discovery document is not right: `{name}` {what}."),
            "Ask the provider's operator, or enter the endpoints by hand.",
        )
    };
    let text = |name: &str| match document.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(wrong(name, "is no text")),
    };
    let needed = |name: &str| match text(name) {
        Ok(text) if text.is_empty() => Err(wrong(name, "is missing")),
        other => other,
    };
    let issuer = needed("issuer")?;
    if issuer != connection.issuer {
        return Err(Fault::new(
            "issuer_mismatch",
            format!(
                "The document at {} says it belongs to another issuer: {issuer}.",
                document_url(connection)
            ),
            "Enter the issuer exactly as the provider writes it, to the last slash.",
        ));
    }
    let types = document.get("response_types_supported").and_then(Value::as_array);
    if types.is_some_and(|types| !types.iter().any(|kind| kind == "code")) {
        return Err(wrong("response_types_supported", "does not hold `code`"));
    }
    let algs = match document.get("id_token_signing_alg_values_supported") {
        None => default_algs(),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(|name| algorithm(name.as_str()?))
            .collect(),
        Some(_) => {
            return Err(wrong("id_token_signing_alg_values_supported", "is no list"));
        }
    };
    if algs.is_empty() {
        return Err(wrong(
            "id_token_signing_alg_values_supported",
            "holds no algorithm with a public key",
        ));
    }
    Ok(Metadata {
        issuer,
        authorization_endpoint: needed("authorization_endpoint")?,
        token_endpoint: needed("token_endpoint")?,
        jwks_uri: needed("jwks_uri")?,
        userinfo_endpoint: text("userinfo_endpoint")?,
        end_session_endpoint: text("end_session_endpoint")?,
        revocation_endpoint: text("revocation_endpoint")?,
        algs,
        iss_announced: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

fn default_algs() -> Vec<CoreJwsSigningAlgorithm> {
    ["RS256", "PS256", "ES256", "EdDSA"]
        .into_iter()
        .filter_map(algorithm)
        .collect()
}

/// The endpoints there are, by their names.
fn endpoints(metadata: &Metadata) -> impl Iterator<Item = (&'static str, &String)> {
    [
        ("authorization_endpoint", &metadata.authorization_endpoint),
        ("token_endpoint", &metadata.token_endpoint),
        ("jwks_uri", &metadata.jwks_uri),
        ("userinfo_endpoint", &metadata.userinfo_endpoint),
        ("end_session_endpoint", &metadata.end_session_endpoint),
        ("revocation_endpoint", &metadata.revocation_endpoint),
    ]
    .into_iter()
    .filter(|(_, endpoint)| !endpoint.is_empty())
}

/// Every endpoint is https (or listed loopback), reaches no private network, and is on a host the admin knows of.
async fn check_endpoints(ctx: &Ctx, connection: &Connection, metadata: &Metadata) -> Result<(), Fault> {
    for (name, endpoint) in endpoints(metadata) {
        check_endpoint(ctx, name, endpoint).await?;
        if !is_known(connection, endpoint) {
            let host = host(endpoint);
            return Err(Fault::new(
                "endpoint_on_other_host",
                format!("The provider's `{name}` is on another host than its issuer: {host}."),
                "If that host belongs to the provider, add it under “Other hosts”.",
            ));
        }
    }
    Ok(())
}

/// Whether an endpoint is on a host that belongs to the issuer, as far as is known.
fn is_known(connection: &Connection, endpoint: &str) -> bool {
    let host = host(endpoint);
    origin(endpoint) == origin(&connection.issuer)
        || preset::hosts(connection.preset).contains(&host.as_str())
        || connection.other_hosts.contains(&host)
}

/// Whether an address may be asked.
pub(super) async fn check_endpoint(ctx: &Ctx, name: &str, endpoint: &str) -> Result<(), Fault> {
    let url = Url::parse(endpoint).map_err(|_| {
        Fault::new(
            "endpoint_invalid",
            format!("The provider's `{name}` is not an address: {endpoint}."),
            "Ask the provider's operator, or enter the endpoints by hand.",
        )
    })?;
    ctx.dialer.check_endpoint(&url).await.map_err(|error| Fault {
        is_outage: matches!(&error, crate::net::EndpointError::Dial(dial) if dial.is_transient()),
        ..Fault::new(
            error.code(),
            format!("The provider's `{name}` ({endpoint}) is not accepted: {error}."),
            error.remedy(),
        )
    })
}

async fn fetch_keys(ctx: &Ctx, url: &str) -> Result<CoreJsonWebKeySet, Fault> {
    let document = fetch(ctx, "key set", url).await?;
    let keys: Option<CoreJsonWebKeySet> = serde_json::from_value(Value::Object(document)).ok();
    keys.filter(|keys| !keys.keys().is_empty()).ok_or_else(|| {
        Fault::new(
            "keys_unusable",
            format!("The key set at {url} holds no key that can be used."),
            "Check the address of the keys.",
        )
    })
}

/// The issuer that a token of this provider must name: for several tenants of Entra, that of the tenant the token
/// says it is from.
pub(super) fn issuer_of(
    connection: &Connection,
    metadata: &Metadata,
    unproven: &Map<String, Value>,
) -> Option<String> {
    if connection.preset != Preset::Entra || !metadata.issuer.contains(TENANT) {
        return Some(metadata.issuer.clone());
    }
    let tenant = unproven.get("tid")?.as_str()?;
    let is_id = tenant.len() == 36
        && tenant.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    is_id.then(|| metadata.issuer.replace(TENANT, tenant))
}

/// Scheme, host and port of an address; empty for what is none.
pub(super) fn origin(address: &str) -> String {
    Url::parse(&address.replace(TENANT, "tenant"))
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default()
}

fn host(address: &str) -> String {
    let url = Url::parse(address).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    match url.as_ref().and_then(Url::port) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection() -> Connection {
        Connection {
            issuer: "https://idp.example".into(),
            discovery: true,
            ..Connection::default()
        }
    }

    fn document(changes: Value) -> Map<String, Value> {
        let mut document = json!({
            "issuer": "https://idp.example",
            "authorization_endpoint": "https://idp.example/auth",
            "token_endpoint": "https://idp.example/token",
            "jwks_uri": "https://idp.example/jwks",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.as_object().unwrap().clone()
    }

    #[test]
    fn n64_a_document_of_another_issuer_is_refused_to_the_last_slash() {
        assert!(read(&document(json!({})), &connection()).is_ok());
        for other in [
            "https://idp.example/",
            "https://evil.example",
            "HTTPS://idp.example",
        ] {
            let fault = read(&document(json!({ "issuer": other })), &connection()).unwrap_err();
            assert_eq!(fault.trouble.code, "issuer_mismatch", "{other}");
        }
    }

    #[test]
    fn what_google_and_microsoft_say_of_themselves_is_on_hosts_of_theirs() {
        let of = |preset: Preset| preset::start(preset).connection;
        for (connection, endpoints) in [
            (
                of(Preset::Google),
                [
                    "https://accounts.google.com/o/oauth2/v2/auth",
                    "https://oauth2.googleapis.com/token",
                    "https://www.googleapis.com/oauth2/v3/certs",
                    "https://openidconnect.googleapis.com/v1/userinfo",
                    "https://oauth2.googleapis.com/revoke",
                ],
            ),
            (
                of(Preset::Entra),
                [
                    "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize",
                    "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
                    "https://login.microsoftonline.com/organizations/discovery/v2.0/keys",
                    "https://graph.microsoft.com/oidc/userinfo",
                    "https://login.microsoftonline.com/organizations/oauth2/v2.0/logout",
                ],
            ),
        ] {
            for endpoint in endpoints {
                assert!(is_known(&connection, endpoint), "{endpoint}");
                assert!(!is_known(&self::connection(), endpoint), "{endpoint}");
                let imitated = endpoint.replacen(".com/", ".com.evil.example/", 1);
                assert!(!is_known(&connection, &imitated), "{imitated}");
            }
        }
    }

    #[test]
    fn only_algorithms_with_a_public_key_count() {
        let read_algs = |algs: Value| {
            read(
                &document(json!({ "id_token_signing_alg_values_supported": algs })),
                &connection(),
            )
        };
        assert_eq!(
            read_algs(json!(["RS256", "HS256", "none"])).unwrap().algs.len(),
            1
        );
        assert!(read_algs(json!(["HS256", "none"])).is_err());
        assert!(read_algs(json!("RS256")).is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let fault = read(&document(json!({ "jwks_uri": null })), &connection()).unwrap_err();
        assert!(fault.trouble.cause.contains("jwks_uri"), "{:?}", fault.trouble);
        let fault = read(&document(json!({ "token_endpoint": 7 })), &connection()).unwrap_err();
        assert!(fault.trouble.cause.contains("is no text"), "{:?}", fault.trouble);
    }

    #[test]
    fn n61_the_issuer_of_entra_is_that_of_the_tokens_tenant() {
        let connection = Connection {
            preset: Preset::Entra,
            issuer: "https://login.example/{tenantid}/v2.0".into(),
            ..connection()
        };
        let metadata = Metadata {
            issuer: connection.issuer.clone(),
            ..read(&document(json!({})), &self::connection()).unwrap()
        };
        let of = |tid: Value| issuer_of(&connection, &metadata, json!({ "tid": tid }).as_object().unwrap());
        assert_eq!(
            of(json!("9188040d-6c67-4c5b-b112-36a304b66dad")).as_deref(),
            Some("https://login.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0")
        );
        for wrong in [
            json!("x/../evil"),
            json!("{tenantid}"),
            json!(7),
            json!(null),
            json!(""),
        ] {
            assert_eq!(of(wrong.clone()), None, "{wrong}");
        }
    }
}
