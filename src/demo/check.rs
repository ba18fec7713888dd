//! `mailgrant demo --check`: the demo without a browser. Every step goes through the public interface, or breaks the
//! sandbox as the demo's buttons do; the first step that does not hold ends it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::connect::{INTEGRATION, MAILBOX, PROJECT};
use super::rest::Rest;
use super::{Demo, DemoError, Inner, routes};
use crate::account::{self, AccountError};
use crate::clock::Clock;
use crate::sandbox::{Decision, SampleKind, Sandbox};

/// How long all steps may take together.
const TOTAL: Duration = Duration::from_secs(55);
/// How long a step waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many tickets must have come before things are broken.
const TICKETS: usize = 8;

/// Why the check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Nothing could be checked.
    #[error("the demo did not start")]
    Start(#[from] DemoError),
    /// The token for the REST interface could not be made.
    #[error("no token could be made")]
    Token(#[from] AccountError),
    /// A step did not hold.
    #[error("step {number} ({name}) failed: {why}")]
    Step {
        /// Its number, from 1.
        number: usize,
        /// Its name.
        name: &'static str,
        /// What was expected and did not come.
        why: String,
    },
    /// The steps took too long together.
    #[error("not done within {} s; step {number} ({name}) was still running", TOTAL.as_secs())]
    TooSlow {
        /// The step that ran.
        number: usize,
        /// Its name.
        name: &'static str,
    },
}

/// Starts the demo on a free port and walks through it; says each step on `out`. Returns how long the steps took.
///
/// # Errors
/// [`CheckError`] with the step that did not hold.
pub async fn run(clock: Clock, out: &mut (dyn Write + Send)) -> Result<Duration, CheckError> {
    let demo = Demo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), clock).await?;
    let ctx = demo.ctx().clone();
    let (_, token) = account::create_token(&ctx.db, &ctx.clock, "demo --check", "cli").await?;
    let walk = Walk {
        rest: Rest::new(ctx.dialer.http(), ctx.config.url(""), &token),
        demo: Arc::clone(&demo.inner),
    };
    let serving = tokio::spawn(demo.run());
    let mut steps = Steps {
        out,
        number: 0,
        name: "start",
    };
    let began = Instant::now();
    let walked = tokio::time::timeout(TOTAL, walk.all(&mut steps)).await;
    ctx.stop.cancel();
    drop(walk);
    let stopped = match serving.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    walked.map_err(|_| CheckError::TooSlow {
        number: steps.number,
        name: steps.name,
    })??;
    let why = |why| CheckError::Step {
        number: steps.number + 1,
        name: "stop",
        why,
    };
    stopped.map_err(why)?;
    Ok(began.elapsed())
}

/// Says the steps and how long each took.
struct Steps<'a> {
    out: &'a mut (dyn Write + Send),
    number: usize,
    name: &'static str,
}

impl Steps<'_> {
    /// One step: its result, and a few words on what was seen.
    async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(T, String), String>>,
    ) -> Result<T, CheckError> {
        self.number += 1;
        self.name = name;
        self.say(&format!("{:>2}. {name} … ", self.number));
        let began = Instant::now();
        let outcome = work.await;
        let ms = began.elapsed().as_millis();
        match outcome {
            Ok((value, seen)) => {
                self.say(&format!("ok {ms} ms ({seen})\n"));
                Ok(value)
            }
            Err(why) => {
                self.say(&format!("FAILED after {ms} ms\n"));
                Err(CheckError::Step {
                    number: self.number,
                    name,
                    why,
                })
            }
        }
    }

    fn say(&mut self, text: &str) {
        // A closed pipe ends the talk, not the check.
        let _ = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
    }
}

/// What the steps work with.
struct Walk {
    rest: Rest,
    demo: Arc<Inner>,
}

/// What one step found out and later ones need.
type Seen<T> = Result<(T, String), String>;

impl Walk {
    async fn all(&self, steps: &mut Steps<'_>) -> Result<(), CheckError> {
        let integration = steps.step("integration", self.integration()).await?;
        let started = steps
            .step("authorization", self.authorize(&integration, None))
            .await?;
        let callback = steps.step("consent", self.consent(&started)).await?;
        let grant = steps
            .step("callback and grant", self.callback(&started, &callback))
            .await?;
        let mailbox = steps.step("mailbox", self.mailbox(&grant)).await?;
        steps
            .step("connection test", self.connection_test(&mailbox))
            .await?;
        steps.step("mail becomes tickets", self.tickets()).await?;
        steps.step("a reply joins its ticket", self.reply_joins()).await?;
        steps.step("a malformed mail is kept", self.malformed()).await?;
        steps.step("HTML is neutralised", self.html()).await?;
        steps
            .step("an attachment is downloaded", self.attachment())
            .await?;
        steps
            .step(
                "expire the token: recovers by itself",
                self.expire(&grant, &mailbox),
            )
            .await?;
        steps
            .step("revoke the consent: noticed", self.revoke(&grant, &mailbox))
            .await?;
        steps
            .step(
                "reconnect: goes on",
                self.reconnect(&integration, &grant, &mailbox),
            )
            .await?;
        steps
            .step(
                "cut the connection: noticed",
                self.break_it(&mailbox, "cut_connection"),
            )
            .await?;
        steps
            .step("restore the connection: goes on", self.restore(&mailbox))
            .await?;
        steps
            .step("refuse TLS: noticed", self.break_it(&mailbox, "refuse_tls"))
            .await?;
        steps.step("accept TLS: goes on", self.restore(&mailbox)).await?;
        steps.step("nothing lost, nothing doubled", self.count()).await
    }

    fn sandbox(&self) -> &Sandbox {
        &self.demo.sandbox
    }

    async fn integration(&self) -> Seen<String> {
        let sandbox = self.sandbox();
        let body = json!({
            "provider": "custom",
            "name": INTEGRATION,
            "clientId": sandbox.client_id(),
            "clientSecret": sandbox.client_secret().expose_secret(),
            "scopes": sandbox.scopes(),
            "authorizationEndpoint": sandbox.authorization_endpoint(),
            "tokenEndpoint": sandbox.token_endpoint(),
            "tokenEndpointAuthMethod": "client_secret_basic",
            "flow": "authorization_code",
        });
        let made = self.rest.post("/integrations", &body).await?;
        if made.to_string().contains(sandbox.client_secret().expose_secret()) {
            return Err("the answer shows the client secret".to_owned());
        }
        Ok((id_of(&made)?, format!("provider {}", sandbox.issuer())))
    }

    /// Starts an authorization, of a new grant or to reconnect one.
    async fn authorize(&self, integration: &str, reconnect: Option<&str>) -> Seen<Value> {
        let body = json!({ "reconnectGrantId": reconnect, "expectedIdentity": self.sandbox().mailbox() });
        let path = format!("/integrations/{integration}/authorizations");
        let started = self.rest.post(&path, &body).await?;
        let url = text(&started, "/authorizationUrl")?;
        if !url.contains("code_challenge_method=S256") {
            return Err("the authorization request has no PKCE".to_owned());
        }
        Ok((started, "PKCE S256".to_owned()))
    }

    async fn consent(&self, started: &Value) -> Seen<String> {
        let url = text(started, "/authorizationUrl")?;
        let back = self
            .sandbox()
            .decide(url, Decision::Allow)
            .await
            .map_err(|error| error.to_string())?;
        Ok((back, format!("given by {}", self.sandbox().mailbox())))
    }

    /// Follows the redirect back; the grant it gave.
    async fn callback(&self, started: &Value, callback: &str) -> Seen<String> {
        let answer = self.rest.visit(callback).await?;
        if !(200..400).contains(&answer.status) {
            return Err(format!("the callback answered {}", answer.status));
        }
        let path = format!("/authorizations/{}", text(started, "/id")?);
        let grant_id = until("the authorization names its grant", async || {
            Ok(self.rest.get(&path).await?["grantId"].as_str().map(str::to_owned))
        })
        .await?;
        let grant = self.grant(&grant_id).await?;
        let (state, identity) = (text(&grant, "/state")?, text(&grant, "/identity")?);
        if state != "active" || identity != self.sandbox().mailbox() {
            return Err(format!("the grant is {state}, of {identity}"));
        }
        let seen = format!("{state}, {identity}");
        Ok((grant_id, seen))
    }

    async fn mailbox(&self, grant: &str) -> Seen<String> {
        let project = json!({ "key": PROJECT, "name": "Help desk" });
        let project = self.rest.post("/projects", &project).await?;
        let sandbox = self.sandbox();
        let body = json!({
            "name": MAILBOX,
            "projectId": text(&project, "/id")?,
            "grantId": grant,
            "protocol": "imap",
            "host": sandbox.imap_host(),
            "port": sandbox.imap_port(),
            "tls": "implicit",
            "loginName": sandbox.mailbox(),
            "startFrom": "all",
        });
        let made = self.rest.post("/mailboxes", &body).await?;
        Ok((
            id_of(&made)?,
            format!("{}:{}", sandbox.imap_host(), sandbox.imap_port()),
        ))
    }

    async fn connection_test(&self, mailbox: &str) -> Seen<()> {
        let started = self
            .rest
            .post(&format!("/mailboxes/{mailbox}/tests"), &json!({}))
            .await?;
        let path = format!("/tests/{}", text(&started, "/id")?);
        let test = until("the test ends", async || {
            let test = self.rest.get(&path).await?;
            Ok((test["state"] != "running").then_some(test))
        })
        .await?;
        let empty = Vec::new();
        let steps = test["steps"].as_array().unwrap_or(&empty);
        if let Some(bad) = steps.iter().find(|step| step["state"] != "ok") {
            return Err(format!("its step is not ok: {bad}"));
        }
        if test["state"] != "ok" || steps.len() < 9 {
            return Err(format!("it is {} after {} steps", test["state"], steps.len()));
        }
        let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
        Ok(((), names.join(", ")))
    }

    async fn tickets(&self) -> Seen<()> {
        let tickets = until("eight sample mails are tickets", async || {
            let tickets = self.rest.all("/tickets").await?;
            Ok((tickets.len() >= TICKETS).then_some(tickets))
        })
        .await?;
        let has_key = |ticket: &Value| ticket["key"].as_str().is_some_and(|key| key.starts_with("HELP-"));
        match tickets.iter().find(|ticket| !has_key(ticket)) {
            Some(odd) => Err(format!("a ticket has the key {}", odd["key"])),
            None => Ok(((), format!("{} tickets", tickets.len()))),
        }
    }

    async fn reply_joins(&self) -> Seen<()> {
        let reply = self.message("the reply", |message| {
            message["subject"]
                .as_str()
                .is_some_and(|subject| subject.starts_with("Re: "))
        });
        let reply = reply.await?;
        let ticket = self.ticket_of(&reply).await?;
        let entries = ticket["entries"].as_array().map_or(0, Vec::len);
        if entries < 2 {
            return Err(format!("the ticket {} has {entries} entries", ticket["key"]));
        }
        let first = self
            .rest
            .get(&format!("/messages/{}", text(&ticket, "/entries/0/messageId")?))
            .await?;
        if reply["inReplyTo"] != first["messageId"] {
            return Err("the ticket does not begin with the mail that was answered".to_owned());
        }
        Ok(((), format!("{}: {entries} entries", text(&ticket, "/key")?)))
    }

    async fn malformed(&self) -> Seen<()> {
        let message = self.message("the malformed mail", |message| {
            message["subject"]
                .as_str()
                .is_some_and(|subject| subject.contains("on purpose"))
        });
        let message = message.await?;
        let ticket = self.ticket_of(&message).await?;
        let raw = self
            .rest
            .download(&format!("/messages/{}/raw", text(&message, "/id")?))
            .await?;
        if !raw.body.ends_with(b"--never") {
            return Err("the raw mail is not byte for byte what was sent".to_owned());
        }
        Ok((
            (),
            format!("{}, {} bytes raw", text(&ticket, "/key")?, raw.body.len()),
        ))
    }

    async fn html(&self) -> Seen<()> {
        let message = self.message("the HTML mail", |message| {
            message["subject"] == "Wrong logo in the newsletter"
        });
        let message = message.await?;
        let message = self
            .rest
            .get(&format!("/messages/{}", text(&message, "/id")?))
            .await?;
        let html = text(&message, "/mailgrant/html")?.to_ascii_lowercase();
        if !html.contains("old logo") {
            return Err("the text of the mail is gone".to_owned());
        }
        // A remote image may be remembered for somebody who asks for it, but never in what a browser loads.
        let loaded = [
            " src=\"http",
            " src=\"//",
            "<script",
            "onclick",
            "url(",
            "must never run",
        ];
        match loaded.iter().find(|mark| html.contains(**mark)) {
            Some(mark) => Err(format!("the HTML still has {mark}")),
            None => Ok(((), "no script, no remote image".to_owned())),
        }
    }

    async fn attachment(&self) -> Seen<()> {
        let message = self.message("the mail with attachments", |message| {
            message["subject"] == "The list and the photo"
        });
        let message = message.await?;
        let is_list = |part: &&Value| part["name"] == "Inventário.csv";
        let part = message["attachments"]
            .as_array()
            .and_then(|parts| parts.iter().find(is_list));
        let part = part.ok_or("it has no attachment Inventário.csv")?;
        let path = format!(
            "/messages/{}/attachments/{}",
            text(&message, "/id")?,
            text(part, "/partId")?
        );
        let file = self.rest.download(&path).await?;
        if !file.body.starts_with(b"item;count\nchair;") {
            return Err("its bytes are not those that were sent".to_owned());
        }
        match file.header("content-disposition") {
            Some(kind) if kind.starts_with("attachment") => {
                Ok(((), format!("Inventário.csv, {} bytes", file.body.len())))
            }
            _ => Err("a browser would open it instead of saving it".to_owned()),
        }
    }

    async fn expire(&self, grant: &str, mailbox: &str) -> Seen<()> {
        let refreshes = || self.sandbox().token_calls("refresh_token", "ok");
        let before = refreshes();
        self.press("expire_token", mailbox).await?;
        until("Mailgrant fetches a new token", async || {
            Ok((refreshes() > before).then_some(()))
        })
        .await?;
        self.next_mail_arrives().await?;
        let state = self.grant(grant).await?;
        if state["state"] != "active" || !state["lastError"].is_null() {
            return Err(format!(
                "the grant is {} with {}",
                state["state"], state["lastError"]
            ));
        }
        Ok(((), "a new token, the grant stayed active".to_owned()))
    }

    async fn revoke(&self, grant: &str, mailbox: &str) -> Seen<()> {
        self.press("revoke_consent", mailbox).await?;
        let grant = until("the grant needs a person", async || {
            let grant = self.grant(grant).await?;
            Ok((grant["state"] == "needs_reauth").then_some(grant))
        })
        .await?;
        let seen = trouble(&grant)?;
        self.failing(mailbox).await?;
        // Arrives while nobody can read it.
        self.sandbox().deliver_sample(SampleKind::Question);
        Ok(((), seen))
    }

    async fn reconnect(&self, integration: &str, grant: &str, mailbox: &str) -> Seen<()> {
        let (started, _) = self.authorize(integration, Some(grant)).await?;
        let (back, _) = self.consent(&started).await?;
        let (same, _) = self.callback(&started, &back).await?;
        if same != grant {
            return Err("the mailbox has another grant than before".to_owned());
        }
        let (_, seen) = self.recovered(mailbox).await?;
        Ok(((), seen))
    }

    async fn break_it(&self, mailbox: &str, fault: &str) -> Seen<()> {
        self.press(fault, mailbox).await?;
        let seen = self.failing(mailbox).await?;
        self.sandbox().deliver_sample(SampleKind::Question);
        Ok(((), seen))
    }

    async fn restore(&self, mailbox: &str) -> Seen<()> {
        self.press("restore", mailbox).await?;
        self.recovered(mailbox).await
    }

    /// The mailbox says that it fails, why, and what to do.
    async fn failing(&self, mailbox: &str) -> Result<String, String> {
        let path = format!("/mailboxes/{mailbox}");
        let mailbox = until("the mailbox says that it fails", async || {
            let mailbox = self.rest.get(&path).await?;
            Ok((mailbox["state"] == "failing").then_some(mailbox))
        })
        .await?;
        trouble(&mailbox)
    }

    /// The mailbox works again and has caught up.
    async fn recovered(&self, mailbox: &str) -> Seen<()> {
        let path = format!("/mailboxes/{mailbox}");
        self.poke(mailbox).await?;
        until("the mailbox works again", async || {
            let mailbox = self.rest.get(&path).await?;
            Ok((mailbox["state"] == "ok" && mailbox["lastError"].is_null()).then_some(()))
        })
        .await?;
        let mails = self.caught_up().await?;
        Ok(((), format!("all {mails} mails are there")))
    }

    /// What one of the demo's buttons does.
    async fn press(&self, fault: &str, mailbox: &str) -> Result<(), String> {
        let pressed = routes::apply(self.sandbox(), fault).await;
        pressed
            .map_err(|error| error.to_string())?
            .ok_or("there is no such button")?;
        self.poke(mailbox).await
    }

    async fn poke(&self, mailbox: &str) -> Result<(), String> {
        self.rest
            .post(&format!("/mailboxes/{mailbox}/poll"), &json!({}))
            .await
            .map(drop)
    }

    async fn next_mail_arrives(&self) -> Result<(), String> {
        let uid = self.sandbox().deliver_sample(SampleKind::Question);
        self.message("the mail that came afterwards", |message| {
            message["mailgrant"]["uid"] == uid
        })
        .await
        .map(drop)
    }

    async fn grant(&self, id: &str) -> Result<Value, String> {
        let grants = self.rest.all("/grants").await?;
        grants
            .into_iter()
            .find(|grant| grant["id"] == id)
            .ok_or_else(|| "the grant is not in the list".to_owned())
    }

    /// Waits for a message that stands in a ticket.
    async fn message(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value, String> {
        until(what, async || {
            let messages = self.rest.all("/messages?limit=200").await?;
            let in_ticket = |message: &Value| message["mailgrant"]["ticketId"].is_string();
            Ok(messages
                .into_iter()
                .find(|message| in_ticket(message) && fits(message)))
        })
        .await
    }

    async fn ticket_of(&self, message: &Value) -> Result<Value, String> {
        self.rest
            .get(&format!("/tickets/{}", text(message, "/mailgrant/ticketId")?))
            .await
    }

    /// Waits until there are as many messages as mails, all in tickets; how many.
    async fn caught_up(&self) -> Result<usize, String> {
        until("every mail is a message in a ticket", async || {
            let mails = self.sandbox().message_count();
            let messages = self.rest.all("/messages?limit=200").await?;
            let placed = messages
                .iter()
                .filter(|message| message["mailgrant"]["entryId"].is_string())
                .count();
            Ok((placed == messages.len() && placed >= mails).then_some(placed))
        })
        .await
    }

    /// Each mail of the mailbox is one message, and each message stands in one entry.
    async fn count(&self) -> Seen<()> {
        self.caught_up().await?;
        let messages = self.rest.all("/messages?limit=200").await?;
        let mut uids: Vec<u64> = messages
            .iter()
            .filter_map(|m| m["mailgrant"]["uid"].as_u64())
            .collect();
        uids.sort_unstable();
        if !uids.iter().copied().eq(1..=messages.len() as u64) {
            return Err(format!(
                "the mails are not those that were sent, once each: {uids:?}"
            ));
        }
        let mut entries: BTreeMap<String, usize> = BTreeMap::new();
        for ticket in self.rest.all("/tickets?limit=200").await? {
            let ticket = self
                .rest
                .get(&format!("/tickets/{}", text(&ticket, "/id")?))
                .await?;
            for entry in ticket["entries"].as_array().into_iter().flatten() {
                *entries.entry(text(entry, "/messageId")?.to_owned()).or_default() += 1;
            }
        }
        for message in &messages {
            let times = entries.get(text(message, "/id")?).copied().unwrap_or(0);
            if times != 1 {
                return Err(format!(
                    "the mail {} stands in {times} entries",
                    message["subject"]
                ));
            }
        }
        Ok(((), format!("{} mails, each once", messages.len())))
    }
}

/// Asks again and again until the answer is there.
async fn until<T>(
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<Option<T>, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(format!("not within {} s: {what}", PATIENCE.as_secs()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.ok_or_else(|| format!("the answer has no text at {pointer}"))
}

fn id_of(made: &Value) -> Result<String, String> {
    text(made, "/id").map(str::to_owned)
}

/// The trouble a resource tells of; cause and remedy must be there.
fn trouble(resource: &Value) -> Result<String, String> {
    let told = ["/lastError/code", "/lastError/cause", "/lastError/remedy"];
    let [code, cause, remedy] = told.map(|pointer| text(resource, pointer).unwrap_or_default());
    if code.is_empty() || cause.is_empty() || remedy.is_empty() {
        return Err(format!("cause or remedy are missing: {}", resource["lastError"]));
    }
    Ok(format!("{code}: {cause} {remedy}"))
}
