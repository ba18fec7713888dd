//! Debian's `glewlwyd`: an OpenID Provider in C by another author, with front-channel logout. It runs on loopback, with
//! a SQLite file of its own, as nobody in particular; its own API makes the plugin, a person and a client.

use super::guard::{Guarded, RUN_SERVICES, User, free_port, program, short_dir};
use mailgrant::crypto::{self, SigningAlg};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use url::Url;

/// The client Mailgrant is there.
pub const CLIENT_ID: &str = "mailgrant";
/// Its secret.
pub const CLIENT_SECRET: &str = "secret-of-glewlwyds-client";
const PASSWORD: &str = "correct horse battery";
const SCHEMA: &str = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3";
const SAMPLE: &str = "/usr/share/doc/glewlwyd/glewlwyd.conf.sample.gz";

/// A running one. Its cookies belong to `localhost`, and so does its issuer.
pub struct Glewlwyd {
    pub issuer: String,
    home: String,
    admin: Browser,
    _server: Guarded,
    _dir: tempfile::TempDir,
}

/// Somebody at its pages: what its own scripts would ask for, asked without them.
pub struct Browser {
    client: reqwest::Client,
    home: String,
    cookies: BTreeMap<String, String>,
}

impl Glewlwyd {
    pub async fn start() -> Self {
        let port = free_port();
        let dir = short_dir();
        let user = User::for_server("nobody");
        let home = format!("http://localhost:{port}");
        write_files(dir.path(), port, &home, &user);
        let mut command = Command::new(program("glewlwyd", &["glewlwyd"]));
        command.arg("-c").arg(dir.path().join("glewlwyd.conf"));
        if User::am_root() {
            use std::os::unix::process::CommandExt;
            command.uid(user.uid).gid(user.gid);
        }
        let log = dir.path().join("log");
        let mut server = Guarded::start("glewlwyd", &mut command, &log, "TERM", Some(dir.path()));
        let (client, url) = (http(), format!("{home}/config"));
        server
            .wait_until("it answers", Duration::from_secs(60), || {
                let asked = client.get(&url).send();
                async move { asked.await.is_ok() }
            })
            .await;
        let mut admin = Browser::new(&home);
        admin.log_in("admin", "password").await;
        let this = Self {
            issuer: format!("{home}/api/oidc"),
            home,
            admin,
            _server: server,
            _dir: dir,
        };
        this.set_up().await;
        this
    }

    /// The OpenID Connect plugin, with both kinds of logout.
    async fn set_up(&self) {
        let key = crypto::new_signing_key(SigningAlg::Rs256).expect("a key");
        let parameters = json!({
            "iss": self.issuer, "jwt-type": "rsa", "jwt-key-size": "256", "key": key.expose_secret(),
            "cert": public_pem(key.expose_secret()), "code-duration": 600, "access-token-duration": 3600,
            "refresh-token-duration": 3600, "refresh-token-rolling": true, "allow-non-oidc": false,
            "auth-type-code-enabled": true, "auth-type-token-enabled": false, "auth-type-id-token-enabled": true,
            "auth-type-none-enabled": false, "auth-type-password-enabled": false, "auth-type-client-enabled": false,
            "auth-type-device-enabled": false, "auth-type-refresh-enabled": true, "jwks-show": true,
            "pkce-allowed": true, "pkce-method-plain-allowed": false, "session-management-allowed": true,
            "front-channel-logout-allowed": true, "back-channel-logout-allowed": true,
            "session-cookie-name": "GLEWLWYD2_OIDC_SID", "session-cookie-expiration": 2_419_200,
            "subject-type": "public", "name-claim": "mandatory", "email-claim": "mandatory", "scope-claim": "no",
            "claims": [], "oauth-as-iss-id": true, "allowed-scope": ["openid"], "encrypt-out-token-allow": false,
            "request-parameter-allow": true,
        });
        let plugin =
            json!({ "module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": parameters });
        self.admin.post("/api/mod/plugin/", &plugin).await;
    }

    /// A person who can sign in.
    pub async fn add_person(&self, login: &str, name: &str, email: &str) {
        let person = json!({
            "username": login, "name": name, "email": email, "password": PASSWORD, "enabled": true, "scope": ["openid"],
        });
        self.admin.post("/api/user/?source=database", &person).await;
    }

    /// Registers the client, with where it wants to hear of a logout.
    pub async fn add_client(&self, redirect: &str, frontchannel_logout: &str) {
        let client = json!({
            "client_id": CLIENT_ID, "name": "Mailgrant", "confidential": true, "enabled": true,
            "password": CLIENT_SECRET, "client_secret": CLIENT_SECRET, "redirect_uri": [redirect],
            "authorization_type": ["code"], "token_endpoint_auth_method": ["client_secret_basic"], "scope": [],
            "frontchannel_logout_uri": frontchannel_logout, "frontchannel_logout_session_required": "true",
        });
        self.admin.post("/api/client/?source=database", &client).await;
    }

    /// A browser in which this person is signed in at it, and has allowed the client.
    pub async fn browser_of(&self, login: &str) -> Browser {
        let mut browser = Browser::new(&self.home);
        browser.log_in(login, PASSWORD).await;
        let url = format!("{}/api/auth/grant/{CLIENT_ID}", self.home);
        let request = browser.client.put(url).json(&json!({ "scope": "openid" }));
        assert_eq!(browser.send(request).await.0, 200);
        browser
    }
}

impl Browser {
    fn new(home: &str) -> Self {
        Self {
            client: http(),
            home: home.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    async fn log_in(&mut self, login: &str, password: &str) {
        let url = format!("{}/api/auth/", self.home);
        let request = self
            .client
            .post(url)
            .json(&json!({ "username": login, "password": password }));
        assert_eq!(self.send(request).await.0, 200, "glewlwyd refused {login}");
    }

    /// From an authorization address to the address it sends back to.
    pub async fn authorize(&mut self, address: &str) -> Url {
        let request = self.client.get(format!("{address}&g_continue"));
        let (status, location, body) = self.send(request).await;
        assert_eq!(status, 302, "{body}");
        Url::parse(&location).expect("a URL")
    }

    /// Signs out as its own page does: asks who is to hear of it, shows each of them in a frame, and ends the session.
    /// Returns the addresses that were framed.
    pub async fn sign_out(&mut self) -> Vec<String> {
        let sid = self.cookies.get("GLEWLWYD2_OIDC_SID").expect("a session").clone();
        let session = format!("{}/api/oidc/session/{sid}", self.home);
        let (_, _, body) = self.send(self.client.get(format!("{session}/{CLIENT_ID}"))).await;
        let told: Value = serde_json::from_str(&body).expect("JSON");
        let mut framed = Vec::new();
        for client in told["client"].as_array().expect("clients") {
            let mut url =
                Url::parse(client["frontchannel_logout_uri"].as_str().expect("a URL")).expect("a URL");
            if client["frontchannel_logout_session_required"] == true {
                url.query_pairs_mut()
                    .append_pair("iss", told["iss"].as_str().expect("an issuer"))
                    .append_pair("sid", &sid);
            }
            // A frame of another site: the browser sends no cookie of ours along.
            let answer = self.client.get(url.clone()).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            framed.push(url.to_string());
        }
        let request = self.client.delete(&session);
        assert_eq!(self.send(request).await.0, 200);
        framed
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = self.client.post(format!("{}{path}", self.home)).json(body);
        let answer = request
            .header(COOKIE, self.jar())
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        assert_eq!(status, 200, "{path}: {}", answer.text().await.unwrap_or_default());
    }

    fn jar(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> (u16, String, String) {
        let answer = request
            .header(COOKIE, self.jar())
            .send()
            .await
            .expect("an answer");
        for set in answer.headers().get_all(SET_COOKIE) {
            let pair = set
                .to_str()
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        (
            answer.status().as_u16(),
            location,
            answer.text().await.unwrap_or_default(),
        )
    }
}

fn write_files(dir: &Path, port: u16, home: &str, user: &User) {
    let database = dir.join("glewlwyd.db");
    let schema =
        std::fs::File::open(SCHEMA).unwrap_or_else(|error| panic!("{SCHEMA}: {error}. {RUN_SERVICES}"));
    let filled = Command::new(program("sqlite3", &["sqlite3"]))
        .arg(&database)
        .stdin(schema)
        .stdout(Stdio::null())
        .status()
        .expect("sqlite3");
    assert!(filled.success(), "glewlwyd's schema");
    let sample = Command::new("gzip").args(["-dc", SAMPLE]).output().expect("gzip");
    let set = [
        ("port=", format!("port={port}")),
        ("external_url=", format!("external_url=\"{home}\"")),
        ("cookie_secure=", "cookie_secure=0".to_owned()),
        ("bind_address=", "bind_address=\"127.0.0.1\"".to_owned()),
        ("#bind_address=", "bind_address=\"127.0.0.1\"".to_owned()),
        ("  path = ", format!("  path = \"{}\"", database.display())),
    ];
    let text: String = String::from_utf8_lossy(&sample.stdout)
        .lines()
        .map(|line| {
            let changed = set.iter().find(|(begin, _)| line.starts_with(begin));
            format!("{}\n", changed.map_or(line, |(_, line)| line))
        })
        .collect();
    std::fs::write(dir.join("glewlwyd.conf"), text).expect("a file");
    for path in [dir, &database, &dir.join("glewlwyd.conf")] {
        user.own(path);
    }
}

/// The public half of a PEM key, which glewlwyd wants beside it.
fn public_pem(key: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(program("openssl", &["openssl"]))
        .args(["rsa", "-pubout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(key.as_bytes())
        .expect("a key");
    let out = child.wait_with_output().expect("openssl");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .expect("an HTTP client")
}
