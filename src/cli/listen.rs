//! `listen` and `trigger`: a webhook's part at a terminal, for whoever develops a receiver.
//!
//! `listen` reads the event log and prints each event; with `--forward-to` it also hands each to a local receiver, as a
//! webhook would: same headers, same signatures, same body. `trigger` makes a sample. Both work beside a running
//! service on its database, or from elsewhere over the API with a token.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{complain, print};
use crate::access::Projects;
use crate::app;
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::ctx::Ctx;
use crate::delivery::{self, Body, Secrets, attempt};
use crate::event::{self, Cursor, Filter, LogError, Types, envelope, kinds};
use crate::net::{Dialer, HttpClient, HttpMethod, HttpRequest};
use crate::{message, project};

/// The variable that holds the token for `--api`; on the command line everybody on the machine could read it.
const TOKEN: &str = "MAILGRANT_TOKEN";
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How often it is asked for over the API.
const ASK: Duration = Duration::from_secs(1);
/// Events of one look.
const BATCH: u64 = 100;

#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Only these events: names or families, with commas between them.
    #[arg(long, value_name = "TYPES", default_value = "")]
    events: String,
    /// Only of this project: its key or id (with --api: its id).
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Begin behind this cursor, or with `beginning`; else with what happens from now on.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Hand each event to this receiver, signed like a webhook.
    #[arg(long, value_name = "URL")]
    forward_to: Option<String>,
    /// The secret to sign with, `whsec_…`; else a new one is drawn and printed.
    #[arg(long, value_name = "SECRET", requires = "forward_to")]
    secret: Option<String>,
    /// Listen over the API of this Mailgrant, with the token in MAILGRANT_TOKEN; else to the database of this machine.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Print each event as JSON, one on each line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TriggerArgs {
    /// The event, for example ticket.created.
    #[arg(required_unless_present = "list")]
    event: Option<String>,
    /// The project it belongs to: its key or id (with --api: its id); else the site.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Over the API of this Mailgrant, with the token in MAILGRANT_TOKEN; else in the database of this machine.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// List what there is to make.
    #[arg(long)]
    list: bool,
    /// Print JSON: id, type.
    #[arg(long)]
    json: bool,
}

/// Where events come from.
enum Source {
    /// The database of this machine, behind a place.
    Database {
        ctx: Box<Ctx>,
        filter: Filter,
        cursor: Cursor,
    },
    /// Another Mailgrant; `next` is the address of what comes next.
    Api {
        remote: Remote,
        cursor: String,
        query: String,
    },
}

/// One event, and what a webhook would send for it.
struct Heard {
    event: Value,
    body: Body,
}

/// A Mailgrant that is asked over its API.
struct Remote {
    client: HttpClient,
    base: Url,
    token: SecretString,
}

impl Remote {
    fn of(base: &str, environment: &Environment) -> anyhow::Result<Self> {
        let base = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .ok_or_else(|| {
                anyhow::anyhow!("--api takes an address such as https://mail.example; not “{base}”")
            })?;
        let token = environment
            .get(TOKEN)
            .map(|token| SecretString::from(token.to_owned()))
            .ok_or_else(|| {
                anyhow::anyhow!("put a token into {TOKEN}; `mailgrant token create --name listen` makes one")
            })?;
        Ok(Self {
            client: dialer(&[])?.http().with_body_limit(64 * 1024 * 1024),
            base,
            token,
        })
    }

    async fn send(
        &self,
        method: HttpMethod,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let authorization = format!("Bearer {}", self.token.expose_secret());
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let answer = self
            .client
            .send(HttpRequest {
                method,
                url: &url,
                headers: if body.is_some() { &headers } else { &headers[..1] },
                body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            })
            .await?;
        Ok((
            answer.status,
            serde_json::from_slice(&answer.body).unwrap_or_default(),
        ))
    }

    /// An answer that must be 2xx; else what the problem says.
    async fn ask(&self, method: HttpMethod, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, json) = self.send(method, path, body).await?;
        if (200..300).contains(&status) {
            return Ok(json);
        }
        let said = |member: &str| plain(json[member].as_str().unwrap_or_default());
        let errors = json["errors"].as_array().into_iter().flatten();
        let errors: Vec<String> = errors
            .filter_map(|error| error["detail"].as_str().map(plain))
            .collect();
        anyhow::bail!(
            "{} answered {status}: {} {} {}",
            self.base,
            said("detail"),
            errors.join(" "),
            said("remedy")
        )
    }
}

/// What a person at this machine may reach: everything public, and this machine.
fn dialer(more: &[ipnet::IpNet]) -> anyhow::Result<Dialer> {
    let mut networks: Vec<ipnet::IpNet> = vec!["127.0.0.0/8".parse()?, "::1/128".parse()?];
    networks.extend_from_slice(more);
    Ok(Dialer::new(networks, None)?)
}

impl Source {
    async fn of(
        args: &ListenArgs,
        config: Option<Config>,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let types = types(&args.events)?;
        if let Some(api) = &args.api {
            let remote = Remote::of(api, environment)?;
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("types", &types.patterns().join(","));
            if let Some(project) = &args.project {
                query.append_pair("project", project);
            }
            let query = query.finish();
            let cursor = match args.after.as_deref() {
                Some("beginning") => String::new(),
                Some(cursor) => cursor.to_owned(),
                None => end_of_log(&remote, &query).await?,
            };
            return Ok(Self::Api {
                remote,
                cursor,
                query,
            });
        }
        let Some(config) = config else {
            anyhow::bail!("no configuration");
        };
        let ctx = app::open(config, Clock::system()).await?;
        let mut projects = Projects::All;
        if let Some(name) = &args.project {
            projects = Projects::one(&project_id(&ctx, name).await?);
        }
        let last = Cursor(event::advance(&ctx.db).await?);
        let cursor = match args.after.as_deref() {
            None => last,
            Some("beginning") => event::extent(&ctx.db).await?.0,
            Some(text) => Cursor::parse(text).ok_or_else(|| {
                anyhow::anyhow!("--after takes the `cursor` of an event, or `beginning`; not “{text}”")
            })?,
        };
        Ok(Self::Database {
            ctx: Box::new(ctx),
            filter: Filter { types, projects },
            cursor,
        })
    }

    /// Where to go on after what was heard.
    fn place(&self) -> String {
        match self {
            Self::Database { cursor, .. } => cursor.to_string(),
            Self::Api { cursor, .. } => cursor.clone(),
        }
    }

    /// What came since, and whether there is more.
    async fn hear(&mut self) -> anyhow::Result<(Vec<Heard>, bool)> {
        match self {
            Self::Database { ctx, filter, cursor } => {
                event::advance(&ctx.db).await?;
                let read = match event::read_after(ctx.db.read(), *cursor, filter, BATCH).await {
                    Ok(read) => read,
                    Err(LogError::Gone { oldest }) => {
                        complain(
                            "events behind this place were older than the retention; going on with the oldest",
                        );
                        *cursor = oldest;
                        return Ok((Vec::new(), true));
                    }
                    Err(error) => return Err(error.into()),
                };
                *cursor = read.cursor;
                let mut heard = Vec::new();
                for event in &read.events {
                    let mail = match delivery::message_id(event) {
                        Some(id) => message::find_in(ctx.db.read(), id).await?,
                        None => None,
                    };
                    let payload = delivery::Payload::Full;
                    heard.push(Heard {
                        event: envelope(event),
                        body: delivery::jmap_body(&ctx.config, event, mail.as_ref(), payload),
                    });
                }
                Ok((heard, read.has_more))
            }
            Self::Api {
                remote,
                cursor,
                query,
            } => {
                let part = remote
                    .ask(HttpMethod::Get, &part_path(query, cursor, BATCH), None)
                    .await?;
                if let Some(next) = part["cursor"].as_str() {
                    next.clone_into(cursor);
                }
                let items = part["items"].as_array().cloned().unwrap_or_default();
                let heard = items.into_iter().map(|event| Heard {
                    body: Body {
                        bytes: event.to_string().into_bytes(),
                        content_type: "application/json",
                    },
                    event,
                });
                Ok((heard.collect(), part["next"].is_string()))
            }
        }
    }

    fn pause(&self) -> Duration {
        match self {
            Self::Database { .. } => LOOK,
            Self::Api { .. } => ASK,
        }
    }
}

fn part_path(query: &str, cursor: &str, limit: u64) -> String {
    if cursor.is_empty() {
        format!("/api/v1/events?{query}&limit={limit}")
    } else {
        format!("/api/v1/events?{query}&limit={limit}&after={cursor}")
    }
}

/// The end of another Mailgrant's log: an event that was not wanted has a place, too.
async fn end_of_log(remote: &Remote, query: &str) -> anyhow::Result<String> {
    let mut cursor = String::new();
    loop {
        let part = remote
            .ask(HttpMethod::Get, &part_path(query, &cursor, 200), None)
            .await?;
        if let Some(next) = part["cursor"].as_str() {
            next.clone_into(&mut cursor);
        }
        if !part["next"].is_string() {
            return Ok(cursor);
        }
    }
}

fn types(text: &str) -> anyhow::Result<Types> {
    Types::parse(text.split([',', ' '])).map_err(|wrong| {
        anyhow::anyhow!(
            "“{wrong}” is no event and no family of them; `mailgrant trigger --list` shows what there is"
        )
    })
}

async fn project_id(ctx: &Ctx, name: &str) -> anyhow::Result<String> {
    let all = project::list(ctx, &Projects::All).await?;
    all.iter()
        .find(|project| project.id == name || project.key.eq_ignore_ascii_case(name))
        .map(|project| project.id.clone())
        .ok_or_else(|| {
            let keys: Vec<&str> = all.iter().map(|project| project.key.as_str()).collect();
            anyhow::anyhow!("there is no project “{name}”; there are: {}", keys.join(", "))
        })
}

/// A receiver that gets what is heard.
struct Forward {
    client: HttpClient,
    url: String,
    secrets: Secrets,
}

impl Forward {
    fn of(args: &ListenArgs, networks: &[ipnet::IpNet]) -> anyhow::Result<Option<Self>> {
        let Some(url) = &args.forward_to else {
            return Ok(None);
        };
        let is_address =
            Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        anyhow::ensure!(
            is_address,
            "--forward-to takes an address such as http://127.0.0.1:3000/hook; not “{url}”"
        );
        let given = args
            .secret
            .as_deref()
            .map(|secret| SecretString::from(secret.to_owned()));
        let Some((secrets, public_key)) = delivery::secrets_for(given) else {
            anyhow::bail!("--secret takes `whsec_` and at least 24 bytes in base64");
        };
        if args.secret.is_none() {
            let secret = secrets.symmetric.first().map(ExposeSecret::expose_secret);
            complain(&format!("Signing with the secret {}", secret.unwrap_or_default()));
        }
        complain(&format!("Forwarding to {url}; public key {public_key}"));
        Ok(Some(Self {
            client: dialer(networks)?.http(),
            url: url.clone(),
            secrets,
        }))
    }

    async fn hand_over(&self, clock: &Clock, id: &str, body: Body) -> String {
        let none = BTreeMap::new();
        let target = attempt::Target {
            url: &self.url,
            headers: &none,
            secrets: &self.secrets,
        };
        let timeout = Duration::from_secs(15);
        let outcome = attempt::send(&self.client, timeout, &target, id, clock.now_ms(), body).await;
        match (outcome.status, outcome.is_success()) {
            (Some(status), true) => format!("  → {status} in {} ms", outcome.ms),
            (status, _) => {
                let status = status.map_or_else(|| outcome.error.clone(), |status| status.to_string());
                format!(
                    "  → {status} in {} ms: {} It is not tried again here.",
                    outcome.ms,
                    attempt::explain(&outcome.error)
                )
            }
        }
    }
}

/// Prints what happens until it is stopped.
pub(super) async fn listen(
    config: impl FnOnce() -> anyhow::Result<Config>,
    args: ListenArgs,
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    let config = match args.api {
        Some(_) => None,
        None => Some(config()?),
    };
    let networks = config
        .as_ref()
        .map(|config| config.allow_webhook_networks.clone())
        .unwrap_or_default();
    let forward = Forward::of(&args, &networks)?;
    let mut source = Source::of(&args, config, environment).await?;
    let clock = Clock::system();
    complain("Listening. Ctrl-C ends it.");
    let stopped = stopped();
    tokio::pin!(stopped);
    loop {
        let (heard, more) = tokio::select! {
            heard = source.hear() => heard?,
            () = &mut stopped => break,
        };
        for one in heard {
            let told = tokio::select! {
                told = tell(&clock, &args, forward.as_ref(), one) => told,
                () = &mut stopped => return Ok(end(&source)),
            };
            print(&told);
        }
        if more {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(source.pause()) => {}
            () = &mut stopped => break,
        }
    }
    Ok(end(&source))
}

fn end(source: &Source) -> ExitCode {
    let place = source.place();
    if !place.is_empty() {
        complain(&format!("Stopped. Go on here with --after {place}"));
    }
    ExitCode::SUCCESS
}

/// Ctrl-C, or being asked to end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut term) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

async fn tell(clock: &Clock, args: &ListenArgs, forward: Option<&Forward>, heard: Heard) -> String {
    let event = heard.event;
    let text = |member: &str| plain(event[member].as_str().unwrap_or_default());
    let id = text("id");
    let outcome = match forward {
        Some(forward) => forward.hand_over(clock, &id, heard.body).await,
        None => String::new(),
    };
    if args.json {
        if !outcome.is_empty() {
            complain(&format!("{id}{outcome}"));
        }
        return format!("{event}\n");
    }
    let about = match event["data"]["key"].as_str() {
        Some(key) => plain(key),
        None => text("subjectId"),
    };
    let sample = if event["data"]["sample"] == json!(true) {
        "  (sample)"
    } else {
        ""
    };
    format!(
        "{}  {:<28} {about}  {id}{sample}{outcome}\n",
        text("timestamp"),
        text("type")
    )
}

/// Text that cannot move the cursor of a terminal, or anything else.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// Makes a sample event.
pub(super) async fn trigger(
    config: impl FnOnce() -> anyhow::Result<Config>,
    args: TriggerArgs,
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    let Some(kind) = args.event.as_deref().filter(|_| !args.list) else {
        for kind in kinds::KINDS {
            print(&if args.json {
                format!("{}\n", json!({ "type": kind.name, "description": kind.about }))
            } else {
                format!("{:<30} {}\n", kind.name, kind.about)
            });
        }
        return Ok(ExitCode::SUCCESS);
    };
    anyhow::ensure!(
        kinds::find(kind).is_some() || args.api.is_some(),
        "there is no event “{}”; `mailgrant trigger --list` shows what there is",
        plain(kind)
    );
    let id = if let Some(api) = &args.api {
        let mut body = json!({ "type": kind });
        if let Some(project) = &args.project {
            body["projectId"] = json!(project);
        }
        let remote = Remote::of(api, environment)?;
        let made = remote
            .ask(HttpMethod::Post, "/api/v1/events", Some(&body))
            .await?;
        plain(made["id"].as_str().unwrap_or_default())
    } else {
        let ctx = app::open(config()?, Clock::system()).await?;
        let project = match &args.project {
            Some(name) => project_id(&ctx, name).await?,
            None => String::new(),
        };
        delivery::trigger(&ctx, "cli", kind, &project).await?
    };
    if args.json {
        print(&format!("{}\n", json!({ "id": id, "type": kind })));
    } else {
        complain(&format!(
            "A sample of {kind} stands in the log; data.sample is true in it."
        ));
        print(&format!("{id}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_cannot_steer_a_terminal() {
        assert_eq!(plain("HELP-1\u{1b}[2J\r\n\u{9b}31m"), "HELP-1[2J31m");
    }

    #[test]
    fn a_wrong_filter_is_told_with_where_to_look() {
        let error = types("ticket.*,nonsense").unwrap_err().to_string();
        assert!(
            error.contains("nonsense") && error.contains("trigger --list"),
            "{error}"
        );
        assert_eq!(types("").unwrap(), Types::default());
    }
}
