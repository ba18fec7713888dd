//! npm's `oidc-provider` as the OAuth server of a custom integration: code with PKCE, refresh with rotation and reuse
//! detection, client credentials, introspection, revocation. And a browser's part in it, without a browser: the forms
//! for login and consent are filled in over HTTP.

use super::guard::{Guarded, RUN_SERVICES, free_port, program, short_dir};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use url::Url;

/// The client Mailgrant is registered as.
pub const CLIENT_ID: &str = "mailgrant";
/// Its secret.
pub const CLIENT_SECRET: &str = "mailgrant-secret-of-the-tests";
/// The client a mail server introspects with.
pub const INTROSPECTOR: (&str, &str) = ("mailserver", "mailserver-secret-of-the-tests");

/// How to start one.
pub struct Options {
    /// Where the client may send people back to.
    pub redirect_uris: Vec<String>,
    /// `client_secret_basic` or `client_secret_post`: the server refuses the other.
    pub token_endpoint_auth_method: &'static str,
    /// Life of an access token.
    pub access_token_life: Duration,
    /// Whose mailbox a client-credentials token opens.
    pub app_mailbox: Option<String>,
    /// What it says of people beside their `sub`: login → claims.
    pub people: Value,
    /// Whether it signs with a new key after each start.
    pub fresh_keys: bool,
    /// Whether it tells clients that ask for it when somebody signs out.
    pub backchannel_logout: bool,
    /// Clients besides [`CLIENT_ID`] and [`INTROSPECTOR`], as in OpenID Connect's dynamic registration.
    pub more_clients: Vec<Value>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            redirect_uris: vec!["http://127.0.0.1:8080/oauth2/callback/tests".to_owned()],
            token_endpoint_auth_method: "client_secret_basic",
            access_token_life: Duration::from_secs(3600),
            app_mailbox: None,
            people: json!({}),
            fresh_keys: false,
            backchannel_logout: false,
            more_clients: Vec::new(),
        }
    }
}

/// A running server. Dropping it ends it.
pub struct OidcProvider {
    /// `http://127.0.0.1:PORT`, which is also where its discovery document starts.
    pub issuer: String,
    settings: Value,
    server: Option<Guarded>,
    dir: tempfile::TempDir,
}

/// Why a walk through the forms did not end at the client.
#[derive(Debug)]
pub struct Stuck(pub String);

/// What the person in front of the forms does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Person<'a> {
    /// Logs in under this name and consents.
    Consents(&'a str),
    /// Logs in under this name and refuses.
    Refuses(&'a str),
}

impl OidcProvider {
    /// Starts with a client that may send people back to `redirect_uris`.
    pub async fn start(redirect_uris: &[&str]) -> Self {
        let redirect_uris = redirect_uris.iter().map(|uri| (*uri).to_owned()).collect();
        Self::start_with(Options {
            redirect_uris,
            ..Options::default()
        })
        .await
    }

    /// Starts.
    pub async fn start_with(options: Options) -> Self {
        let (port, dir) = (free_port(), short_dir());
        let mut clients = vec![
            json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uris": options.redirect_uris,
                    "token_endpoint_auth_method": options.token_endpoint_auth_method }),
            json!({ "client_id": INTROSPECTOR.0, "client_secret": INTROSPECTOR.1 }),
        ];
        clients.extend(options.more_clients);
        let settings = json!({
            "port": port, "clients": clients,
            "accessTokenSeconds": options.access_token_life.as_secs(), "appMailbox": options.app_mailbox,
            "people": options.people, "freshKeys": options.fresh_keys,
            "backchannelLogout": options.backchannel_logout, "removed": dir.path().join("removed"),
        });
        let mut provider = Self {
            issuer: format!("http://127.0.0.1:{port}"),
            settings,
            server: None,
            dir,
        };
        provider.resume().await;
        provider
    }

    /// Somebody is not one of its people any more.
    pub fn remove_person(&self, login: &str) {
        std::fs::write(self.dir.path().join("removed"), format!("{login}\n")).expect("a file");
    }

    /// Ends it. It forgets everything: codes, grants and tokens live in its memory.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it again on the same port, with no memory.
    pub async fn resume(&mut self) {
        if self.server.is_some() {
            return;
        }
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services");
        assert!(
            services.join("node_modules/oidc-provider").is_dir(),
            "npm's oidc-provider is not installed under tests/services. {RUN_SERVICES}"
        );
        let mut node = Command::new(node());
        node.arg(services.join("oidc-provider.mjs"))
            .arg(self.settings.to_string())
            .env("NODE_ENV", "production");
        let log = self.dir.path().join("log");
        let mut server = Guarded::start("oidc-provider", &mut node, &log, "KILL", Some(self.dir.path()));
        let client = client();
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer);
        server
            .wait_until(
                "it serves its discovery document",
                Duration::from_secs(60),
                || {
                    let asked = client.get(&discovery).send();
                    async move { asked.await.is_ok_and(|answer| answer.status() == 200) }
                },
            )
            .await;
        self.server = Some(server);
    }

    /// Registers one more redirect URI of the client; the server starts anew with it.
    pub async fn register_redirect(&mut self, uri: &str) {
        if let Some(uris) = self.settings["clients"][0]["redirect_uris"].as_array_mut() {
            uris.push(json!(uri));
        }
        self.stop();
        self.resume().await;
    }

    /// Registers the client anew with further members, as in dynamic registration; the server starts anew.
    pub async fn register(&mut self, members: Value) {
        for (name, value) in members.as_object().into_iter().flatten() {
            self.settings["clients"][0][name] = value.clone();
        }
        self.stop();
        self.resume().await;
    }

    /// A browser that keeps its session at the server from one walk to the next.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.issuer)
    }

    /// Where people are sent.
    pub fn authorization_endpoint(&self) -> String {
        format!("{}/auth", self.issuer)
    }

    /// Where tokens come from.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }

    /// The introspection endpoint with the credentials a mail server uses, as [`super::dovecot`] wants it.
    pub fn introspection_url(&self) -> String {
        let (id, secret) = INTROSPECTOR;
        self.issuer.replace("http://", &format!("http://{id}:{secret}@")) + "/token/introspection"
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.server.as_ref().map(Guarded::log).unwrap_or_default()
    }

    /// Plays the browser from an authorization URL up to the redirect back to the client, which is not followed but
    /// returned: the caller decides who calls it, when, and how often.
    pub async fn walk(&self, authorization_url: &str, person: Person<'_>) -> Result<Url, Stuck> {
        Browser::new(&self.issuer).walk(authorization_url, person).await
    }

    /// [`Self::walk`] for somebody who consents. Panics when it gets stuck.
    pub async fn consent(&self, authorization_url: &str, login: &str) -> Url {
        let walked = self.walk(authorization_url, Person::Consents(login)).await;
        walked.unwrap_or_else(|Stuck(place)| panic!("no way through the forms: {place}\n{}", self.log()))
    }

    /// A whole authorization of `login` by the client itself, for tests of the mail server: the token answer.
    pub async fn tokens_for(&self, login: &str) -> Value {
        let redirect = self.settings["clients"][0]["redirect_uris"][0]
            .as_str()
            .expect("a redirect URI")
            .to_owned();
        let verifier = "a-verifier-of-the-tests-which-needs-forty-three-characters";
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let mut url = Url::parse(&self.authorization_endpoint()).expect("a URL");
        url.query_pairs_mut().extend_pairs([
            ("client_id", CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", &redirect),
            ("scope", "openid offline_access mail"),
            ("prompt", "consent"),
            ("state", "state-of-the-tests"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let back = self.consent(url.as_str(), login).await;
        let code = query(&back, "code").expect("a code");
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &redirect),
            ("code_verifier", verifier),
        ];
        self.token_request(&fields).await
    }

    /// Asks the token endpoint as [`CLIENT_ID`] and returns the JSON of its answer, good or bad.
    pub async fn token_request(&self, fields: &[(&str, &str)]) -> Value {
        self.post("/token", (CLIENT_ID, CLIENT_SECRET), fields).await
    }

    /// What the server says about a token: `{"active": false}` or more.
    pub async fn introspect(&self, token: &str) -> Value {
        self.post("/token/introspection", INTROSPECTOR, &[("token", token)])
            .await
    }

    /// Revokes a token, from the client's side. A refresh token takes its grant with it.
    pub async fn revoke(&self, token: &str) {
        self.post(
            "/token/revocation",
            (CLIENT_ID, CLIENT_SECRET),
            &[("token", token)],
        )
        .await;
    }

    async fn post(&self, path: &str, (id, secret): (&str, &str), fields: &[(&str, &str)]) -> Value {
        let mut fields = fields.to_vec();
        let mut request = client().post(format!("{}{path}", self.issuer));
        if self.settings["clients"][0]["token_endpoint_auth_method"] == "client_secret_post"
            && id == CLIENT_ID
        {
            fields.extend([("client_id", id), ("client_secret", secret)]);
        } else {
            request = request.basic_auth(id, Some(secret));
        }
        let answer = request.form(&fields).send().await.expect("an answer");
        answer.json().await.unwrap_or(Value::Null)
    }
}

/// A parameter of a URL's query.
pub fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Just enough of a browser: cookies with paths, redirects, one form per page.
pub struct Browser {
    client: reqwest::Client,
    home: String,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    fn new(home: &str) -> Self {
        Self {
            client: client(),
            home: home.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    /// From an address up to the redirect back to the client.
    pub async fn walk(&mut self, start: &str, person: Person<'_>) -> Result<Url, Stuck> {
        let mut url = Url::parse(start).map_err(|error| Stuck(format!("{start}: {error}")))?;
        let mut form: Option<Vec<(&str, String)>> = None;
        for _ in 0..20 {
            if !url.as_str().starts_with(&self.home) {
                return Ok(url);
            }
            let (status, location, page) = self.go(&url, form.take()).await?;
            if let Some(location) = location {
                url = url
                    .join(&location)
                    .map_err(|error| Stuck(format!("{location}: {error}")))?;
                continue;
            }
            let action = between(&page, "action=\"", "\"");
            let prompt = between(&page, "name=\"prompt\" value=\"", "\"");
            let (Some(action), Some(prompt)) = (action, prompt) else {
                return Err(Stuck(format!("{url} answered {status}: {}", text_of(&page))));
            };
            let (Person::Consents(login) | Person::Refuses(login)) = person;
            if prompt == "consent" && matches!(person, Person::Refuses(_)) {
                url.set_path(&format!("{}/abort", url.path().trim_end_matches('/')));
                continue;
            }
            let action = action.replace("&amp;", "&");
            url = url
                .join(&action)
                .map_err(|error| Stuck(format!("{action}: {error}")))?;
            let password = "any password does".to_owned();
            form = Some(vec![
                ("prompt", prompt.to_owned()),
                ("login", login.to_owned()),
                ("password", password),
            ]);
        }
        Err(Stuck(format!("still being sent around at {url}")))
    }

    /// Signs out at the server, on the page it shows, and says where it leads afterwards.
    pub async fn end_session(&mut self, address: &str) -> String {
        let url = Url::parse(address).expect("a URL");
        let (_, location, page) = self.go(&url, None).await.expect("a page");
        if let Some(location) = location {
            return location;
        }
        let action = between(&page, "action=\"", "\"")
            .expect("a form")
            .replace("&amp;", "&");
        let xsrf = between(&page, "name=\"xsrf\" value=\"", "\"")
            .expect("a token")
            .to_owned();
        let url = url.join(&action).expect("a URL");
        let form = vec![("xsrf", xsrf), ("logout", "yes".to_owned())];
        let (_, location, _) = self.go(&url, Some(form)).await.expect("an answer");
        location.unwrap_or_default()
    }

    async fn go(
        &mut self,
        url: &Url,
        form: Option<Vec<(&str, String)>>,
    ) -> Result<(u16, Option<String>, String), Stuck> {
        let mut request = match &form {
            Some(fields) => self.client.post(url.clone()).form(fields),
            None => self.client.get(url.clone()),
        };
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((_, path), _)| url.path().starts_with(path.as_str()))
            .map(|((name, _), value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let answer = request
            .send()
            .await
            .map_err(|error| Stuck(format!("{url}: {error}")))?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap_or_default());
        }
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = answer.status().as_u16();
        let page = answer
            .text()
            .await
            .map_err(|error| Stuck(format!("{url}: {error}")))?;
        Ok((status, location, page))
    }

    fn keep(&mut self, cookie: &str) {
        let mut fields = cookie.split(';').map(str::trim);
        let Some((name, value)) = fields.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let path = fields.find_map(|field| field.strip_prefix("path=").or(field.strip_prefix("Path=")));
        let key = (name.to_owned(), path.unwrap_or("/").to_owned());
        if value.is_empty() {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("an HTTP client")
}

/// The `node` to use: `tests/run` names one in `MAILGRANT_TEST_NODE` when the system's is too old.
pub fn node() -> std::path::PathBuf {
    match std::env::var_os("MAILGRANT_TEST_NODE") {
        Some(path) => path.into(),
        None => program("Node.js", &["node", "nodejs"]),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn text_of(page: &str) -> String {
    let body = page.split_once("<body").map_or(page, |(_, body)| body);
    let mut text = String::new();
    let mut inside = false;
    for character in body.chars() {
        match character {
            '<' => inside = true,
            '>' => inside = false,
            other if !inside => text.push(other),
            _ => {}
        }
    }
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(600)
        .collect()
}
