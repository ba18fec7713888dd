//! What there is in the world of the tests that walk the route table: one of each kind, of the project HELP where it
//! belongs to one, and fresh for each request, since the one before may be gone.

use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::Route;
use super::access_tests::World;
use crate::access::{Role, Scope, Scopes};
use crate::account::{self, NewToken};
use crate::project;

/// An address that is nobody's here; nothing is sent in these tests.
const ELSEWHERE: &str = "https://93.184.216.34/hook";

impl World {
    pub(super) async fn run(&self, text: &str) {
        for statement in text.split("; ") {
            self.site
                .ctx()
                .db
                .write()
                .execute_unprepared(statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// The address with its parameters filled; what belongs to a person is this one's.
    pub(super) async fn filled(&self, route: &Route, person: usize) -> String {
        let mut path = String::new();
        let mut first = String::new();
        for part in route.path.split('/').skip(1) {
            path.push('/');
            if !part.starts_with('{') {
                path.push_str(part);
            } else if first.is_empty() {
                first = self.thing(route.path, person).await;
                path.push_str(&first);
            } else {
                path.push_str(&self.further(part, &first).await);
            }
        }
        path
    }

    /// A fresh thing for the first parameter of a path.
    async fn thing(&self, path: &str, person: usize) -> String {
        let n = self.next();
        let kind = path
            .trim_start_matches("/api/v1")
            .split('/')
            .nth(1)
            .unwrap_or_default();
        match kind {
            "projects" => self.help.clone(),
            "jobs" => "tidy_up".to_owned(),
            "integrations" => {
                self.integration(n).await;
                format!("int_{n}")
            }
            "grants" => {
                self.grant(n).await;
                format!("grt_{n}")
            }
            "authorizations" => {
                self.integration(n).await;
                let kind = format!("integrations/int_{n}/authorizations");
                self.made(&kind, json!({ "projectId": self.help })).await
            }
            "mailboxes" => {
                self.mailbox(n).await;
                format!("mbx_{n}")
            }
            "tests" => {
                self.mailbox(n).await;
                self.run(&format!(
                    "INSERT INTO connection_tests (id, kind, subject_id, state, started_by, created_at, finished_at) \
                     VALUES ('tst_{n}', 'mailbox', 'mbx_{n}', 'ok', 'cli', 0, 0)"
                ))
                .await;
                format!("tst_{n}")
            }
            "tickets" => {
                self.ticket(n).await;
                if path.starts_with("/api/") {
                    format!("tkt_{n}")
                } else {
                    format!("HELP-{n}")
                }
            }
            "messages" | "blobs" => {
                self.message(n).await;
                format!("msg_{n}")
            }
            "quarantine" => {
                self.message(n).await;
                self.run(&format!(
                    "UPDATE messages SET state = 'quarantined', quarantine_reason = 'rule', quarantined_at = 0 \
                     WHERE id = 'msg_{n}'"
                ))
                .await;
                format!("msg_{n}")
            }
            "outgoing-mails" => {
                self.outgoing(n, "").await;
                format!("out_{n}")
            }
            "audit-events" => {
                self.run(&format!(
                    "INSERT INTO audit_events (id, created_at, actor, via, address, request_id, action, target_kind, \
                     target_id, project_id, summary) VALUES ('aud_{n}', 0, 'cli', 'cli', '', '', 'rule.created', \
                     'rule', 'rul_{n}', '{}', '{{}}')",
                    self.help
                ))
                .await;
                format!("aud_{n}")
            }
            "users" => self.member(n).await,
            "tokens" => {
                let ctx = self.site.ctx();
                let owner = &self.people[person].id;
                let new = NewToken {
                    scopes: Scopes::from_iter([Scope::TicketsRead]),
                    ..NewToken::unlimited("thing")
                };
                let made = account::issue_token(&ctx.db, &ctx.clock, &new, owner, owner).await;
                made.unwrap().0.id
            }
            "sessions" => {
                let ctx = self.site.ctx();
                let owner = &self.people[person].id;
                account::start(&ctx.db, &ctx.clock, owner, None).await.unwrap();
                let all = account::sessions_of(&ctx.db, &ctx.clock, Some(owner)).await;
                all.unwrap().remove(0).id
            }
            "connected-apps" => {
                let client = self.client(n).await;
                self.run(&format!(
                    "INSERT INTO oauth2_consents (user_id, client, scopes, projects, granted_at, last_used_at) \
                     VALUES ('{}', '{client}', '[\"tickets:read\"]', '[]', 0, 0)",
                    self.people[person].id
                ))
                .await;
                client
            }
            "clients" => self.client(n).await,
            _ => match self.body_of(kind, n).await {
                Some(body) => self.made(kind, body).await,
                None => format!("thing_{n}"),
            },
        }
    }

    /// A fresh thing within another for a further parameter of a path.
    async fn further(&self, parameter: &str, first: &str) -> String {
        let n = self.next();
        match parameter {
            "{userId}" => self.member(n).await,
            "{kind}" => "signature".to_owned(),
            "{entryId}" => {
                self.made(&format!("tickets/{first}/notes"), json!({ "text": "x" }))
                    .await
            }
            "{reply}" => {
                self.outgoing(n, first).await;
                format!("out_{n}")
            }
            "{delivery}" => {
                self.run(&format!(
                    "INSERT INTO deliveries (id, webhook_id, event_id, sequence, type, order_key, state, attempts, \
                     next_at, last_error, created_at) VALUES ('dlv_{n}', '{first}', 'evt_{n}', {n}, 'test.ping', '', \
                     'failed', 1, 0, '', 0)"
                ))
                .await;
                format!("dlv_{n}")
            }
            "{testId}" => self.provider_test(first).await,
            "{sessionId}" => {
                let end = self.site.ctx().clock.now_ms() + 3_600_000;
                self.run(&format!(
                    "INSERT INTO oauth2_families (id, client, user_id, scopes, projects, audience, auth_time, \
                     created_at, last_used_at, expires_at, revoked_why) VALUES ('fam_{n}', '{first}', '', \
                     '[\"tickets:read\"]', '[]', '', 0, 0, 0, {end}, '')"
                ))
                .await;
                format!("fam_{n}")
            }
            _ => "none".to_owned(),
        }
    }

    /// What makes one of a kind by the API.
    async fn body_of(&self, kind: &str, n: u32) -> Option<Value> {
        let help = &self.help;
        Some(match kind {
            "webhooks" => json!({ "url": ELSEWHERE, "projectIds": [help], "payload": "thin" }),
            "queues" => json!({ "name": format!("queue-{n}"), "projectIds": [help] }),
            "rules" => {
                json!({ "projectId": help, "name": format!("Rule {n}"), "actions": { "labels": ["x"] } })
            }
            "initial-access-tokens" => {
                json!({ "name": format!("Token {n}"), "scopes": ["tickets:read"], "projectId": help })
            }
            "trusted-issuers" => json!({
                "name": format!("Company {n}"), "issuer": format!("https://idp{n}.example"), "uses": ["api"],
                "keySource": "introspection", "introspectionEndpoint": format!("https://idp{n}.example/introspect"),
                "introspectionClientId": "mailgrant", "secret": "a-secret-of-some-length", "audiences": ["mailgrant"],
                "tokenPrefix": format!("p{n}_"), "subjectMapping": "service", "serviceClientId": self.client(n).await,
            }),
            "identity-providers" => json!({
                "name": format!("Provider {n}"), "issuer": format!("http://127.0.0.1:1/{n}"), "discovery": false,
                "authorizationEndpoint": "http://127.0.0.1:1/authorize", "tokenEndpoint": "http://127.0.0.1:1/token",
                "jwksUri": "http://127.0.0.1:1/keys", "clientId": "mailgrant", "clientSecret": "a-secret",
            }),
            _ => return None,
        })
    }

    pub(super) async fn provider(&self, n: u32) -> String {
        let kind = "identity-providers";
        self.made(kind, self.body_of(kind, n).await.unwrap()).await
    }

    pub(super) async fn provider_test(&self, provider: &str) -> String {
        self.made(&format!("identity-providers/{provider}/tests"), json!({}))
            .await
    }

    async fn client(&self, n: u32) -> String {
        let body = json!({
            "name": format!("Client {n}"), "scopes": ["tickets:read"], "grantTypes": ["client_credentials"],
            "projectId": self.help,
        });
        self.made("clients", body).await
    }

    /// The id of what the API made.
    async fn made(&self, kind: &str, body: Value) -> String {
        let everything = Scopes::from_iter(Scope::ALL.iter().copied());
        let answer = self
            .site
            .ask(Method::POST, &format!("/api/v1/{kind}"))
            .bearer_auth(self.token(0, everything, false).await)
            .json(&body)
            .send()
            .await
            .unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "POST /{kind}: {status} {text}");
        let made: Value = serde_json::from_str(&text).unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    async fn member(&self, n: u32) -> String {
        let email = format!("member{n}@example.org");
        let ctx = self.site.ctx();
        let user = account::invite(&ctx.db, &ctx.clock, &email, "", false, "cli")
            .await
            .unwrap();
        project::set_member(&ctx.db, &ctx.clock, &self.help, &user.id, Role::Viewer, "cli")
            .await
            .unwrap();
        user.id
    }

    /// A mail that waits to go out; of a ticket, it is a reply.
    pub(super) async fn outgoing(&self, n: u32, ticket: &str) {
        let kind = if ticket.is_empty() { "automatic" } else { "reply" };
        let due = self.site.ctx().clock.now_ms() + 3_600_000;
        self.run(&format!(
            "INSERT INTO outgoing_mails (id, kind, state, project_id, mailbox_id, ticket_id, entry_id, \
             rfc_message_id, sender, recipients, subject, size, actor, attempts, tries, unknown_outcomes, \
             next_attempt_at, give_up_at, revision, created_at, updated_at) VALUES ('out_{n}', '{kind}', 'queued', \
             '{}', '', '{ticket}', '', '{n}@example.org', 'help@example.org', '[]', 'x', 3, 'cli', 0, 0, 0, {due}, \
             {due}, 1, 0, 0); \
             INSERT INTO outgoing_bodies (outgoing_id, bytes) VALUES ('out_{n}', 'abc')",
            self.help
        ))
        .await;
    }

    async fn integration(&self, n: u32) {
        self.run(&format!(
            "INSERT INTO integrations (id, name, description, provider, tenant, cloud, client_id, \
             client_secret_sealed, secret_set_at, scopes, issuer, authorization_endpoint, token_endpoint, \
             userinfo_endpoint, revocation_endpoint, iss_announced, token_auth_method, extra_auth_params, flow, \
             callback_id, state, revision, created_at, updated_at) VALUES ('int_{n}', 'Listed {n}', '', 'custom', '', \
             'global', 'client', '', 0, '', '', 'http://127.0.0.1:1/a', 'http://127.0.0.1:1/t', '', '', FALSE, \
             'client_secret_basic', '{{}}', 'authorization_code', 'callback{n}', 'ok', 1, 0, 0); \
             INSERT INTO integration_projects (integration_id, project_id) VALUES ('int_{n}', '{}')",
            self.help
        ))
        .await;
    }

    async fn grant(&self, n: u32) {
        self.integration(n).await;
        self.run(&format!(
            "INSERT INTO grants (id, integration_id, flow, identity, subject, started_by, access_token_sealed, \
             refresh_token_sealed, scopes, state, issued_at, refreshed_at, refresh_token_at, revision, created_at, \
             updated_at) VALUES ('grt_{n}', 'int_{n}', 'authorization_code', 'a{n}@example.org', '', 'cli', '', '', \
             '', 'revoked', 0, 0, 0, 1, 0, 0); \
             INSERT INTO grant_projects (grant_id, project_id) VALUES ('grt_{n}', '{}')",
            self.help
        ))
        .await;
    }

    pub(super) async fn mailbox(&self, n: u32) {
        self.grant(n).await;
        self.run(&format!(
            "INSERT INTO mailboxes (id, name, project_id, grant_id, protocol, host, port, tls, login_name, folder, \
             start_from, after_ingest, move_to, schedule, idle, max_message_bytes, paused, state, next_poll_at, \
             revision, created_at, updated_at) VALUES ('mbx_{n}', 'Box {n}', '{}', 'grt_{n}', 'imap', '127.0.0.1', 1, \
             'implicit', 'a', 'INBOX', 'now', 'leave', '', '0 0 * * * *', FALSE, 1000, TRUE, 'new', 0, 1, 0, 0)",
            self.help
        ))
        .await;
    }

    pub(super) async fn ticket(&self, n: u32) {
        self.run(&format!(
            "INSERT INTO tickets (id, project_id, number, key, subject, requester_name, requester_email, state, \
             search_text, entry_count, revision, created_at, updated_at) VALUES ('tkt_{n}', '{}', {n}, 'HELP-{n}', \
             'Printer', '', '', 'open', '', 0, 1, 0, 0)",
            self.help
        ))
        .await;
    }

    pub(super) async fn message(&self, n: u32) {
        self.mailbox(n).await;
        self.run(&format!(
            "INSERT INTO messages (id, mailbox_id, project_id, content_hash, size, folder, uid_validity, uid, \
             received_at, state, attempts, is_partial, parsed, subject, from_name, from_email, preview, sent_at, \
             has_attachment, problem, ticket_id, entry_id) VALUES ('msg_{n}', 'mbx_{n}', '{}', 'h{n}', 3, 'INBOX', 1, \
             {n}, 0, 'ticketed', 1, FALSE, '{{\"mailgrant\":{{\"html\":\"<p>x</p>\"}}}}', '', '', '', '', '', FALSE, \
             '', '', ''); \
             INSERT INTO message_chunks (message_id, position, bytes) VALUES ('msg_{n}', 0, 'abc')",
            self.help
        ))
        .await;
    }
}
