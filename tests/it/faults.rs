//! Servers that fail, refuse, lie or attack: no mail is lost or doubled, the process lives on, and whoever must act is
//! told the cause and the remedy.
//!
//! * [`mail_server`]: a mail server that ends in the middle, leaves things out, or wants to be left alone;
//! * [`hostile`]: one that wants to harm;
//! * [`refused`]: one that refuses a token;
//! * [`token_endpoint`]: a provider on a bad day;
//! * [`dovecot`]: a real mail server that stops, loses a folder, or does not know a token;
//! * [`nodes`]: two nodes on one database, of which one dies or sleeps.

mod dovecot;
mod hostile;
mod mail_server;
mod nodes;
mod refused;
mod token_endpoint;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::scripted_imap::Inbox;
use crate::support::wait::{SOON, eventually};
use crate::world::{ACCOUNT, text};

/// Long enough for a first back-off and a slow machine.
const PATIENTLY: Duration = Duration::from_secs(60);

/// Mailgrant, a token endpoint that says what the test wants, and a grant; the mail servers are the tests' own.
struct Stage {
    tokens: ScriptedHttp,
    _mailgrant: Mailgrant,
    rest: Rest,
    integration_id: String,
    grant_id: String,
    project_id: String,
    // Last: dropped after those who use it.
    _database: TestDatabase,
}

/// How often a token was asked for. (The same host is also asked whether it has a discovery document.)
fn token_requests(provider: &ScriptedHttp) -> usize {
    let requests = provider.requests();
    requests
        .iter()
        .filter(|request| request.target == "/token")
        .count()
}

/// An answer with a token that lasts for an hour.
fn token(name: &str) -> Answer {
    Answer::json(
        200,
        &json!({ "access_token": name, "token_type": "Bearer", "expires_in": 3600 }).to_string(),
    )
}

impl Stage {
    /// With an app-only grant of a custom provider. Every further request for a token gets a good answer.
    async fn start(database: TestDatabase) -> Self {
        Self::start_with(database, json!({})).await
    }

    /// With some fields of the integration changed.
    async fn start_with(database: TestDatabase, changes: Value) -> Self {
        let stage = Self::bare(database, changes).await;
        let started = stage.authorize().await;
        Self {
            grant_id: text(&started, "grantId"),
            ..stage
        }
    }

    /// With a grant that an account's owner gave, as for Google, whose answers need a refresh token.
    async fn start_with_consent(database: TestDatabase, changes: Value) -> Self {
        let mut stage = Self::bare(database, changes).await;
        stage.tokens.answer_always(Answer::json(
            200,
            &json!({ "access_token": "fresh", "refresh_token": "refresh", "expires_in": 3600 }).to_string(),
        ));
        let started = stage.authorize().await;
        let url: url::Url = text(&started, "authorizationUrl").parse().unwrap();
        let sent = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned()).unwrap()
        };
        let mut back: url::Url = sent("redirect_uri").parse().unwrap();
        back.query_pairs_mut()
            .append_pair("state", &sent("state"))
            .append_pair("code", "a-code");
        let answer = http().get(back).send().await.unwrap();
        assert!(answer.status().as_u16() < 400, "{}", answer.text().await.unwrap());
        let done = stage
            .rest
            .get(&format!("/api/v1/authorizations/{}", text(&started, "id")))
            .await;
        stage.grant_id = text(&done, "grantId");
        stage
    }

    async fn bare(database: TestDatabase, changes: Value) -> Self {
        let tokens = ScriptedHttp::start().await;
        tokens.answer_always(token("fresh"));
        let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
        let rest = mailgrant.rest();
        let mut integration = json!({
            "provider": "custom", "name": "Provider", "clientId": "client", "clientSecret": "secret",
            "scopes": ["mail"], "flow": "client_credentials",
            "authorizationEndpoint": format!("{}/authorize", tokens.url),
            "tokenEndpoint": format!("{}/token", tokens.url),
            "tokenEndpointAuthMethod": "client_secret_post",
        });
        merge(&mut integration, &changes);
        let made = rest.post("/api/v1/integrations", &integration).await;
        let project = rest
            .post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help desk" }))
            .await;
        Self {
            integration_id: text(&made, "id"),
            grant_id: String::new(),
            project_id: text(&project, "id"),
            tokens,
            _mailgrant: mailgrant,
            rest,
            _database: database,
        }
    }

    async fn authorize(&self) -> Value {
        let path = format!("/api/v1/integrations/{}/authorizations", self.integration_id);
        self.rest.post(&path, &json!({})).await
    }

    /// A mailbox on a scripted server, everything from the beginning, polled by request only.
    async fn add_mailbox(&self, port: u16, changes: Value) -> String {
        let mut body = json!({
            "name": "Support", "projectId": self.project_id, "grantId": self.grant_id, "protocol": "imap",
            "host": "127.0.0.1", "port": port, "tls": "none", "loginName": ACCOUNT, "folder": "INBOX",
            "startFrom": "all", "afterIngest": "leave", "schedule": "0 0 0 1 1 *", "idle": false,
        });
        merge(&mut body, &changes);
        text(&self.rest.post("/api/v1/mailboxes", &body).await, "id")
    }

    async fn grant(&self) -> Value {
        self.rest.get(&format!("/api/v1/grants/{}", self.grant_id)).await
    }

    /// How often a token was asked for after the first time.
    fn refreshes(&self) -> usize {
        token_requests(&self.tokens) - 1
    }
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

/// Asks for a mailbox to be read again whenever it has been, until the condition holds: back-off is not what is
/// tested. (A request in the middle of a visit would end that visit.)
async fn polled_until<T>(
    rest: &Rest,
    mailbox_id: &str,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let path = format!("/api/v1/mailboxes/{mailbox_id}");
    let mut last_visit = Value::Null;
    eventually(what, PATIENTLY, async || {
        let found = probe().await;
        let mailbox = rest.get(&path).await;
        let visit = json!([mailbox["lastErrorAt"], mailbox["lastSuccessAt"]]);
        if found.is_none() && visit != last_visit && visit != json!([null, null]) {
            last_visit = visit;
            rest.post(&format!("{path}/poll"), &json!({})).await;
        }
        found
    })
    .await
}

/// Waits until a mailbox fails with a code, and returns it. A person finds a cause and a remedy.
async fn fails_with(rest: &Rest, mailbox_id: &str, code: &str) -> Value {
    let path = format!("/api/v1/mailboxes/{mailbox_id}");
    let failing = eventually(
        &format!("the mailbox fails with {code}"),
        PATIENTLY + SOON,
        async || {
            let mailbox = rest.get(&path).await;
            let failing = mailbox["state"] == "failing" && mailbox["lastError"]["code"] == code;
            failing.then_some(mailbox)
        },
    )
    .await;
    assert_explained(&failing["lastError"]);
    failing
}

fn assert_explained(trouble: &Value) {
    for member in ["code", "cause", "remedy"] {
        assert!(!text(trouble, member).is_empty(), "no {member} in {trouble}");
    }
}

/// Whether every mail of the scripted inbox has become one message, in exactly one entry, byte for byte.
async fn all_exactly_once(rest: &Rest, mailbox_id: &str, inbox: &Inbox) -> bool {
    let path = format!("/api/v1/messages?limit=200&mailboxId={mailbox_id}");
    let messages = rest.all(&path).await;
    assert!(messages.len() <= inbox.mails.len(), "a mail was doubled");
    let ticketed = |message: &Value| message["mailgrant"]["entryId"].is_string();
    if messages.len() < inbox.mails.len() || !messages.iter().all(ticketed) {
        return false;
    }
    let entries: BTreeSet<String> = messages
        .iter()
        .map(|message| text(&message["mailgrant"], "entryId"))
        .collect();
    assert_eq!(entries.len(), messages.len(), "each message is one entry");
    let mut stored = BTreeSet::new();
    for message in &messages {
        stored.insert(
            rest.download(&format!("/api/v1/messages/{}/raw", text(message, "id")))
                .await,
        );
    }
    let sent: BTreeSet<Vec<u8>> = inbox.mails.iter().map(|(_, raw)| raw.clone()).collect();
    assert_eq!(stored, sent, "what is stored is what was sent");
    true
}
