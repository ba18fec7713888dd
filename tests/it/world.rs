//! The usual cast of a scenario: an OAuth server, a Dovecot that believes it, and Mailgrant with an integration, a
//! grant and a project. What a scenario changes, it changes from here.

use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::dovecot::{self, Dovecot};
use crate::support::oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider, Options};
use crate::support::process::{Mailgrant, Rest, Settings};
use crate::support::wait::{SOON, eventually};

/// The account whose mail is read.
pub const ACCOUNT: &str = "support@example.test";

/// Everybody, running.
#[allow(dead_code, reason = "held so that they live as long as the scenario")]
pub struct World {
    pub provider: OidcProvider,
    pub dovecot: Dovecot,
    pub mailgrant: Mailgrant,
    pub rest: Rest,
    pub integration: Value,
    pub grant_id: String,
    pub project_id: String,
    // Last: dropped after those who use it.
    pub database: TestDatabase,
}

impl World {
    /// An app-only (client credentials) grant for [`ACCOUNT`]; no mailbox yet.
    pub async fn start(database: TestDatabase) -> Self {
        Self::start_with(
            database,
            Options {
                app_mailbox: Some(ACCOUNT.to_owned()),
                ..Options::default()
            },
        )
        .await
    }

    /// With a provider that behaves otherwise.
    pub async fn start_with(database: TestDatabase, options: Options) -> Self {
        Self::start_relaying(database, options, None).await
    }

    /// With a Dovecot that takes mail for sending and hands it on to this port.
    pub async fn start_relaying(database: TestDatabase, options: Options, relay_port: Option<u16>) -> Self {
        let provider = OidcProvider::start_with(options).await;
        let dovecot = Dovecot::start_with(dovecot::Options {
            relay_port,
            ..dovecot::Options::new(&provider.introspection_url(), &[ACCOUNT])
        })
        .await;
        let settings = Settings::new()
            .database(&database.url)
            .trust(dovecot.ca_file())
            .set("MAILGRANT_ALLOW_NETWORKS", "127.0.0.0/8")
            .set("MAILGRANT_ALLOW_WEBHOOK_NETWORKS", "127.0.0.0/8");
        let mailgrant = Mailgrant::start(settings).await;
        let rest = mailgrant.rest();
        let integration = rest
            .post(
                "/api/v1/integrations",
                &integration(&provider, "client_credentials"),
            )
            .await;
        let started = rest
            .post(
                &format!("/api/v1/integrations/{}/authorizations", text(&integration, "id")),
                &json!({}),
            )
            .await;
        assert_eq!(started["authorizationUrl"], Value::Null);
        let grant_id = text(&started, "grantId");
        let project = rest
            .post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help desk" }))
            .await;
        let project_id = text(&project, "id");
        Self {
            provider,
            dovecot,
            mailgrant,
            rest,
            integration,
            grant_id,
            project_id,
            database,
        }
    }

    /// What `POST /api/v1/mailboxes` takes for [`ACCOUNT`], everything from the beginning.
    pub fn mailbox(&self) -> Value {
        json!({
            "name": "Support", "projectId": self.project_id, "grantId": self.grant_id, "protocol": "imap",
            "host": "127.0.0.1", "port": self.dovecot.imaps_port, "tls": "implicit", "loginName": ACCOUNT,
            "folder": "INBOX", "startFrom": "all", "afterIngest": "leave", "schedule": "*/5 * * * * *", "idle": true,
        })
    }

    /// Makes that mailbox, with some fields changed, and returns its id.
    pub async fn add_mailbox(&self, changes: Value) -> String {
        let mut body = self.mailbox();
        merge(&mut body, &changes);
        text(&self.rest.post("/api/v1/mailboxes", &body).await, "id")
    }

    /// Waits until this many messages are in tickets, and returns them.
    pub async fn ticketed(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} messages in tickets"), SOON * 6, async || {
            let all = self.rest.all("/api/v1/messages?limit=200").await;
            let done = all
                .iter()
                .filter(|message| message["mailgrant"]["entryId"].is_string())
                .count();
            (done >= count).then_some(all)
        })
        .await
    }

    /// Waits until a mailbox is in a state, and returns it.
    pub async fn mailbox_is(&self, id: &str, state: &str) -> Value {
        eventually(&format!("the mailbox is {state}"), SOON * 2, async || {
            let mailbox = self.rest.get(&format!("/api/v1/mailboxes/{id}")).await;
            (mailbox["state"] == state).then_some(mailbox)
        })
        .await
    }
}

/// A custom integration with this provider.
pub fn integration(provider: &OidcProvider, flow: &str) -> Value {
    json!({
        "provider": "custom", "name": "Lab provider", "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET,
        "scopes": ["openid", "offline_access", "email", "mail"], "flow": flow,
        "authorizationEndpoint": provider.authorization_endpoint(), "tokenEndpoint": provider.token_endpoint(),
        "tokenEndpointAuthMethod": "client_secret_basic",
    })
}

/// A member that must be a text.
pub fn text(value: &Value, member: &str) -> String {
    value[member]
        .as_str()
        .unwrap_or_else(|| panic!("no text {member} in {value}"))
        .to_owned()
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}
