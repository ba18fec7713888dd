//! Receivers that nobody here wrote: real deliveries are checked by npm's and PyPI's `standardwebhooks`, and by the
//! samples of `docs/webhooks.md` in the languages that are on this machine; tampered ones are refused by all of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::guard::short_dir;
use crate::support::oidc_provider::node;
use crate::support::process::{Mailgrant, Rest, Settings, http};
use crate::support::programs::{Language, Running, python};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

async fn start() -> (Mailgrant, Rest) {
    let settings = Settings::new().set("MAILGRANT_ALLOW_WEBHOOK_NETWORKS", "127.0.0.0/8");
    let mailgrant = Mailgrant::start(settings).await;
    let rest = mailgrant.rest();
    (mailgrant, rest)
}

/// A webhook with a secret, whose receiver is started and put in place afterwards.
async fn webhook(rest: &Rest) -> Value {
    let body = json!({ "url": "http://127.0.0.1:9/hook", "ordered": false });
    rest.post("/api/v1/webhooks", &body).await
}

async fn receiver(language: Language, secret: &str, public_key: &str) -> (Running, String) {
    let given = json!({ "secret": secret, "publicKey": public_key }).to_string();
    let mut command = language.script("webhook-receiver.mjs", "webhook_receiver.py");
    let mut running = Running::start("receiver", command.arg(given));
    let port = running.first().await["port"].as_u64().unwrap();
    (running, format!("http://127.0.0.1:{port}/hook"))
}

async fn point(rest: &Rest, id: &str, url: &str) {
    let path = format!("/api/v1/webhooks/{id}");
    rest.send(reqwest::Method::PATCH, &path, Some(&json!({ "url": url })))
        .await
        .ok(&path);
}

/// What the receiver said of an event, once it came.
async fn heard(receiver: &Running, id: &str) -> Value {
    eventually("the delivery arrives", SOON, async || {
        receiver.said().into_iter().find(|line| line["id"] == id)
    })
    .await
}

async fn happen(rest: &Rest) -> String {
    text(
        &rest
            .post("/api/v1/events", &json!({ "type": "ticket.created" }))
            .await,
        "id",
    )
}

/// Sends what came once to the receiver again, with some headers and a body of our own; whether it was taken.
async fn replay(url: &str, came: &Value, headers: &[(&str, &str)], body: Vec<u8>) -> bool {
    let mut request = http().post(url).body(body);
    for (name, value) in came["headers"].as_object().unwrap() {
        let own = headers.iter().find(|(own, _)| own == name);
        if name.starts_with("webhook-") || name == "content-type" {
            request = request.header(name, own.map_or(value.as_str().unwrap(), |(_, value)| value));
        }
    }
    request.send().await.unwrap().status().as_u16() == 204
}

fn body_of(came: &Value) -> Vec<u8> {
    STANDARD.decode(came["body"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_libraries_of_npm_and_pypi_take_real_deliveries_and_refuse_tampered_ones() {
    let (_mailgrant, rest) = start().await;
    for language in Language::BOTH {
        let made = webhook(&rest).await;
        let (id, secret) = (text(&made, "id"), text(&made, "secret"));
        let (running, url) = receiver(language, &secret, &text(&made, "publicKey")).await;
        point(&rest, &id, &url).await;
        let event = happen(&rest).await;
        let came = heard(&running, &event).await;
        assert_eq!(came["v1"], "ok", "{language:?}");
        if language == Language::Node {
            assert_eq!(came["v1a"], true, "checked by Node.js itself");
        }
        let path = format!("/api/v1/webhooks/{id}/deliveries?eventId={event}");
        eventually("it is noted as delivered", SOON, async || {
            let all = rest.all(&path).await;
            (all[0]["state"] == "delivered" && all[0]["lastStatus"] == 204).then_some(())
        })
        .await;
        let body = body_of(&came);
        assert!(replay(&url, &came, &[], body.clone()).await, "as it came");
        let changed = String::from_utf8(body.clone())
            .unwrap()
            .replace("ticket.created", "ticket.deleted");
        assert!(
            !replay(&url, &came, &[], changed.into_bytes()).await,
            "another body"
        );
        let now: i64 = text(&came["headers"], "webhook-timestamp").parse().unwrap();
        let old = (now - 600).to_string();
        assert!(
            !replay(&url, &came, &[("webhook-timestamp", &old)], body.clone()).await,
            "an old time"
        );
        let later = (now + 1).to_string();
        assert!(
            !replay(&url, &came, &[("webhook-timestamp", &later)], body.clone()).await,
            "another time"
        );
        assert!(
            !replay(&url, &came, &[("webhook-id", "evt_other")], body.clone()).await,
            "another id"
        );
        // With a new secret the receiver goes on for a day without knowing it, and one that knows it only, too.
        let rotated = rest
            .post(&format!("/api/v1/webhooks/{id}/secrets"), &json!({}))
            .await;
        assert_eq!(heard(&running, &happen(&rest).await).await["v1"], "ok");
        let (with_new, new_url) =
            receiver(language, &text(&rotated, "secret"), &text(&made, "publicKey")).await;
        point(&rest, &id, &new_url).await;
        assert_eq!(heard(&with_new, &happen(&rest).await).await["v1"], "ok");
        // A receiver with another secret refuses, and the log says so.
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let (stranger, stranger_url) = receiver(language, &other, &text(&made, "publicKey")).await;
        point(&rest, &id, &stranger_url).await;
        let refused = happen(&rest).await;
        let said = heard(&stranger, &refused).await;
        assert!(
            said["v1"].as_str().unwrap().contains("No matching signature"),
            "{said}"
        );
        let path = format!("/api/v1/webhooks/{id}/deliveries?eventId={refused}");
        eventually("the refusal is noted", SOON, async || {
            let all = rest.all(&path).await;
            (all[0]["lastError"] == "http_400" && all[0]["state"] == "waiting").then_some(())
        })
        .await;
        rest.post(&format!("/api/v1/webhooks/{id}/disable"), &json!({}))
            .await;
    }
}

/// A request for the samples: everything that `verify` takes, and what it must say.
struct Case {
    what: &'static str,
    secret: String,
    headers: Value,
    body: Vec<u8>,
    now: i64,
    wanted: bool,
}

fn cases(secret: &str, came: &Value) -> Vec<Case> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let case = |what, change: &dyn Fn(&mut Case)| {
        let mut case = Case {
            what,
            secret: secret.to_owned(),
            headers: came["headers"].clone(),
            body: body_of(came),
            now,
            wanted: false,
        };
        change(&mut case);
        case
    };
    vec![
        case("as it came", &|case| case.wanted = true),
        case("the wrong secret", &|case| {
            case.secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        }),
        case("ten minutes later", &|case| case.now += 600),
        case("ten minutes earlier", &|case| case.now -= 600),
        case("another body", &|case| case.body.push(b' ')),
        case("another id", &|case| {
            case.headers["webhook-id"] = json!("evt_other")
        }),
        case("a time that is none", &|case| {
            case.headers["webhook-timestamp"] = json!("soon");
        }),
        case("the signature of another version only", &|case| {
            let all = text(&case.headers, "webhook-signature");
            let others: Vec<&str> = all.split(' ').filter(|one| !one.starts_with("v1,")).collect();
            case.headers["webhook-signature"] = json!(others.join(" "));
        }),
        case("an empty signature", &|case| {
            case.headers["webhook-signature"] = json!("v1,");
        }),
    ]
}

/// The sample under a heading of docs/webhooks.md.
fn sample(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/webhooks.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text
        .split(&format!("\n### {heading}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no sample for {heading}"));
    let block = section.split("```").nth(1).unwrap();
    block.split_once('\n').unwrap().1.to_owned()
}

const NODE_HARNESS: &str = "
const cases = JSON.parse(await new Response(process.stdin).text());
const said = cases.map(({ secret, headers, body, now }) => {
  try { return verify(secret, headers, Buffer.from(body, 'base64'), now); } catch { return 'raised'; }
});
console.log(JSON.stringify(said));
";

const PYTHON_HARNESS: &str = "
import json, sys
said = []
for case in json.load(sys.stdin):
    try:
        said.append(verify(case['secret'], case['headers'], base64.b64decode(case['body']), case['now']))
    except Exception:
        said.append('raised')
print(json.dumps(said))
";

const RUBY_HARNESS: &str = "
require 'json'
said = JSON.parse($stdin.read).map do |c|
  begin
    verify(c['secret'], c['headers'], Base64.decode64(c['body']), c['now'])
  rescue StandardError
    'raised'
  end
end
puts JSON.generate(said)
";

const GO_HARNESS: &str = r#"package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"sample/webhook"
	"time"
)

func main() {
	var cases []struct {
		Secret  string
		Headers map[string]string
		Body    string
		Now     int64
	}
	if json.NewDecoder(os.Stdin).Decode(&cases) != nil {
		os.Exit(1)
	}
	said := []bool{}
	for _, one := range cases {
		header := http.Header{}
		for name, value := range one.Headers {
			header.Set(name, value)
		}
		body, _ := base64.StdEncoding.DecodeString(one.Body)
		said = append(said, webhook.Verify(one.Secret, header, body, time.Unix(one.Now, 0)))
	}
	_ = json.NewEncoder(os.Stdout).Encode(said)
}
"#;

/// A program on the path, if it is there.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|found| found.is_file())
}

/// How to run the sample of a language; `None` where it is not on this machine.
fn program(heading: &str, folder: &Path) -> Option<Command> {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let source = sample(heading);
    let command = match heading {
        "JavaScript" => {
            let mut command = Command::new(node());
            command.arg(write("sample.mjs", source + NODE_HARNESS));
            command
        }
        "Python" => {
            let mut command = Command::new(python());
            command.arg(write("sample.py", source + PYTHON_HARNESS));
            command
        }
        "Ruby" => {
            let mut command = Command::new(on_path("ruby")?);
            command.arg(write("sample.rb", source + RUBY_HARNESS));
            command
        }
        _ => {
            let mut command = Command::new(on_path("go")?);
            write("go.mod", "module sample\n\ngo 1.19\n".to_owned());
            write("webhook/webhook.go", source);
            write("main.go", GO_HARNESS.to_owned());
            command
                .args(["run", "."])
                .env("GOCACHE", folder.join("cache"))
                .env("GOFLAGS", "-mod=mod")
                .env("GOPROXY", "off");
            command
        }
    };
    Some(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_of_the_documentation_take_real_deliveries_and_refuse_tampered_ones() {
    let (_mailgrant, rest) = start().await;
    let made = webhook(&rest).await;
    let secret = text(&made, "secret");
    let (running, url) = receiver(Language::Node, &secret, &text(&made, "publicKey")).await;
    point(&rest, &text(&made, "id"), &url).await;
    let came = heard(&running, &happen(&rest).await).await;
    let cases = cases(&secret, &came);
    let input: Value = cases
        .iter()
        .map(|case| {
            json!({
                "secret": case.secret, "headers": case.headers, "body": STANDARD.encode(&case.body), "now": case.now,
            })
        })
        .collect();
    let mut ran = 0;
    for heading in ["JavaScript", "Python", "Ruby", "Go"] {
        let dir = short_dir();
        let Some(mut command) = program(heading, dir.path()) else {
            eprintln!("the sample in {heading} was not run: the language is not on this machine");
            continue;
        };
        ran += 1;
        let mut child = command
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).unwrap();
        drop(stdin);
        let out = child.wait_with_output().unwrap();
        let said: Value = serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|_| panic!("{heading}: {}", String::from_utf8_lossy(&out.stdout)));
        for (case, said) in cases.iter().zip(said.as_array().unwrap()) {
            assert_eq!(*said, json!(case.wanted), "{heading}: {}", case.what);
        }
        assert_eq!(said.as_array().map(Vec::len), Some(cases.len()));
    }
    assert!(ran >= 2, "JavaScript and Python at least");
}
