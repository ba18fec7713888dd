//! What is promised of deliveries, against receivers on loopback and a clock that the tests move.

mod faults;
mod mails;
mod queues;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::access::Projects;
use crate::delivery::queue::{self, QueueInput};
use crate::delivery::{DeliveryFilter, Made, WebhookInput};
use crate::grant::testkit::{Place, place as bare_place};
use crate::net::Dialer;

/// One request as it came.
#[derive(Clone, Debug)]
struct Got {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// How a receiver behaves.
#[derive(Clone, Debug)]
enum Manner {
    Status(u16, &'static str),
    /// This to the first request, and 200 to all others.
    Once(u16, &'static str),
    AfterMs(u64),
    Hangs,
    Endless,
}

/// A receiver that is told how to behave, and remembers what came.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
    manner: Arc<Mutex<Manner>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let manner = Arc::new(Mutex::new(Manner::Status(200, "")));
        let (seen, how) = (got.clone(), manner.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, seen.clone(), how.clone()));
            }
        });
        Self { url, got, manner }
    }

    fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<String> {
        self.got()
            .iter()
            .map(|got| got.headers["webhook-id"].clone())
            .collect()
    }
}

async fn answer(mut stream: tokio::net::TcpStream, seen: Arc<Mutex<Vec<Got>>>, how: Arc<Mutex<Manner>>) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            let mut more = [0; 8192];
            match stream.read(&mut more).await {
                Ok(n) if n > 0 => bytes.extend_from_slice(&more[..n]),
                _ => return,
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let headers: BTreeMap<String, String> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().unwrap();
        while bytes.len() < head + 4 + length {
            let mut more = [0; 8192];
            match stream.read(&mut more).await {
                Ok(n) if n > 0 => bytes.extend_from_slice(&more[..n]),
                _ => return,
            }
        }
        let body = bytes[head + 4..head + 4 + length].to_vec();
        bytes.drain(..head + 4 + length);
        let manner = {
            let mut how = how.lock().unwrap();
            match how.clone() {
                manner @ Manner::Once(..) => {
                    *how = Manner::Status(200, "");
                    manner
                }
                manner => manner,
            }
        };
        seen.lock().unwrap().push(Got { headers, body });
        match manner {
            Manner::Status(status, extra) | Manner::Once(status, extra) => {
                let text = format!("HTTP/1.1 {status} X\r\n{extra}content-length: 2\r\n\r\nok");
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::AfterMs(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
            Manner::Hangs => {
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Manner::Endless => {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n")
                    .await;
                while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
                return;
            }
        }
    }
}

async fn place() -> Place {
    let mut place = bare_place().await;
    place.ctx.webhook_dialer = Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap();
    let mut config = (*place.ctx.config).clone();
    config.webhook_timeout = 1;
    place.ctx.config = Arc::new(config);
    place
}

async fn hook(ctx: &Ctx, url: &str) -> Made {
    let input = WebhookInput {
        url: Some(url.to_owned()),
        ..WebhookInput::default()
    };
    delivery::create(ctx, "cli", input).await.unwrap()
}

async fn queue_of(ctx: &Ctx) -> queue::Queue {
    let input = QueueInput {
        name: Some("app".into()),
        ..QueueInput::default()
    };
    queue::create(ctx, "cli", input).await.unwrap()
}

/// An event of a ticket.
async fn happen(ctx: &Ctx, ticket: &str, n: usize) -> String {
    let new = NewEvent {
        kind: "ticket.updated",
        project_id: "prj_1",
        subject_id: ticket,
        actor: SYSTEM,
        data: json!({ "key": ticket, "n": n }),
    };
    event::append(ctx.db.write(), &ctx.clock, new).await.unwrap()
}

/// Looks once, and waits until everything that was due has been tried.
async fn round(ctx: &Ctx) {
    event::advance(&ctx.db).await.unwrap();
    let room = Room::new();
    let leases = store::claim_due(&ctx.db, &ctx.holder, ctx.clock.now_ms(), CLAIMS)
        .await
        .unwrap();
    let served = leases.into_iter().map(|lease| serve(ctx, lease, &room));
    for served in futures_util::future::join_all(served).await {
        served.unwrap();
    }
}

async fn now(ctx: &Ctx, id: &str) -> Webhook {
    delivery::get(ctx, &Projects::All, id).await.unwrap()
}

async fn states(ctx: &Ctx, webhook: &Webhook) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for one in delivery::deliveries(ctx, webhook, &DeliveryFilter::default(), 1_000)
        .await
        .unwrap()
    {
        *states.entry(one.state).or_default() += 1;
    }
    states
}

async fn kinds(ctx: &Ctx, subject: &str) -> Vec<String> {
    let events = event::of_subject(ctx.db.read(), subject, 10).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_delivery_is_signed_and_says_what_happened() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    let event_id = happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    let got = &receiver.got()[0];
    assert_eq!(got.headers["webhook-id"], event_id);
    assert_eq!(got.json()["type"], "ticket.updated");
    assert_eq!(got.json()["data"]["key"], "HELP-1");
    let signed = [
        format!("{event_id}.{}.", got.headers["webhook-timestamp"]).into_bytes(),
        got.body.clone(),
    ]
    .concat();
    let secret = base64_of(made.secret.expose_secret().strip_prefix("whsec_").unwrap());
    let wanted = hex::encode(crate::crypto::hmac_sha256(&secret, &[&signed]));
    let signatures: Vec<&str> = got.headers["webhook-signature"].split(' ').collect();
    assert_eq!(hex::encode(base64_of(&signatures[0][3..])), wanted);
    let public = base64_of(made.webhook.public_key.strip_prefix("whpk_").unwrap());
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public);
    key.verify(&signed, &base64_of(signatures[1].strip_prefix("v1a,").unwrap()))
        .unwrap();
    round(ctx).await;
    assert_eq!(receiver.got().len(), 1, "once is enough");
    let log = delivery::deliveries(ctx, &made.webhook, &DeliveryFilter::default(), 10)
        .await
        .unwrap();
    let attempts = delivery::attempts(ctx, &log[0]).await.unwrap();
    let text = format!("{} {}", attempts[0].request, attempts[0].response);
    assert!(!text.contains("v1,"), "signatures are not in the log: {text}");
    assert_eq!(
        attempts[0].response["body"],
        Value::Null,
        "nothing of what a host inside answers"
    );
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn a_delivery_is_tried_for_three_whole_days_and_then_kept_as_failed() {
    for (hours, wanted) in [(60, "delivered"), (71, "delivered"), (74, "failed")] {
        let place = place().await;
        let ctx = &place.ctx;
        let receiver = Receiver::start().await;
        let made = hook(ctx, &receiver.url).await;
        receiver.behave(Manner::Status(503, ""));
        happen(ctx, "HELP-1", 1).await;
        let half_an_hour = chrono::Duration::minutes(30);
        for _ in 0..2 * hours {
            round(ctx).await;
            ctx.clock.advance(half_an_hour);
        }
        receiver.behave(Manner::Status(200, ""));
        // However the pauses were drawn, it is asked again within two of them.
        for _ in 0..2 {
            round(ctx).await;
            ctx.clock.advance(half_an_hour);
        }
        let webhook = now(ctx, &made.webhook.id).await;
        assert_eq!(
            states(ctx, &webhook).await,
            BTreeMap::from([(wanted.to_owned(), 1)]),
            "{hours} h"
        );
    }
}

#[tokio::test]
async fn requests_that_take_long_do_not_take_the_place_of_quick_ones() {
    let room = Room::new();
    let slow =
        futures_util::future::join_all((0..AT_ONCE_IN_ALL).map(|_| room.run(std::future::pending::<()>())));
    let quick = tokio::time::timeout(Duration::from_secs(30), room.run(async { 7 }));
    tokio::select! {
        _ = slow => panic!("they never end"),
        done = quick => assert_eq!(done, Ok(Some(7)), "it waits until they end"),
    }
}

#[tokio::test]
async fn a_ping_and_a_delivery_that_is_sent_again_come_before_a_backlog() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    receiver.behave(Manner::Status(503, ""));
    for n in 0..30 {
        happen(ctx, &format!("HELP-{n}"), n).await;
    }
    for _ in 0..10 {
        round(ctx).await;
        ctx.clock.advance(chrono::Duration::minutes(1));
    }
    let webhook = now(ctx, &made.webhook.id).await;
    assert!(webhook.failures >= retry::DOWN_AFTER);
    let before = receiver.got().len();
    delivery::ping(ctx, "cli", &webhook).await.unwrap();
    round(ctx).await;
    let got = receiver.got();
    assert_eq!(got[before].json()["type"], "test.ping");
    let log = delivery::deliveries(ctx, &webhook, &DeliveryFilter::default(), 100)
        .await
        .unwrap();
    let wanted = log.iter().find(|one| one.attempts == 0).unwrap();
    delivery::send_again(ctx, &webhook, wanted).await.unwrap();
    let before = receiver.got().len();
    round(ctx).await;
    assert_eq!(receiver.ids()[before], wanted.event_id);
}

#[tokio::test]
async fn what_is_put_first_comes_before_a_backlog_that_is_being_sent() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await.webhook;
    let wanted = happen(ctx, "HELP-1", 0).await;
    round(ctx).await;
    let sent = delivery::deliveries(ctx, &made, &DeliveryFilter::default(), 1)
        .await
        .unwrap()
        .remove(0);
    for n in 0..100 {
        happen(ctx, &format!("HELP-{n}"), n).await;
    }
    delivery::ping(ctx, "cli", &made).await.unwrap();
    delivery::send_again(ctx, &made, &sent).await.unwrap();
    round(ctx).await;
    let got = receiver.got();
    let first: Vec<&str> = got[1..3]
        .iter()
        .map(|got| got.headers["webhook-id"].as_str())
        .collect();
    assert!(first.contains(&wanted.as_str()), "sent again at once: {first:?}");
    assert!(got[1..3].iter().any(|got| got.json()["type"] == "test.ping"));
    assert_eq!(got.len(), 103, "and the backlog after them");
}

#[tokio::test]
async fn an_endpoint_that_keeps_the_order_rests_until_the_first_of_a_ticket_is_due() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let input = WebhookInput {
        url: Some(receiver.url.clone()),
        ordered: Some(true),
        ..WebhookInput::default()
    };
    let made = delivery::create(ctx, "cli", input).await.unwrap().webhook;
    receiver.behave(Manner::Status(503, ""));
    let first = happen(ctx, "HELP-1", 1).await;
    happen(ctx, "HELP-1", 2).await;
    round(ctx).await;
    let log = delivery::deliveries(ctx, &made, &DeliveryFilter::default(), 10)
        .await
        .unwrap();
    let first = log.iter().find(|one| one.event_id == first).unwrap();
    assert!(first.next_at > ctx.clock.now_ms());
    assert_eq!(now(ctx, &made.id).await.next_at, first.next_at);
    ctx.clock.advance(chrono::Duration::milliseconds(
        first.next_at - ctx.clock.now_ms() - 1,
    ));
    round(ctx).await;
    assert_eq!(receiver.got().len(), 1, "nothing is looked at before");
}

#[tokio::test]
async fn what_waits_for_an_endpoint_is_not_told_once_it_has_fewer_projects() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    receiver.behave(Manner::Status(503, ""));
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    receiver.behave(Manner::Status(200, ""));
    let before = receiver.got().len();
    let webhook = now(ctx, &made.webhook.id).await;
    let narrower = WebhookInput {
        projects: Some(Some(["prj_2".to_owned()].into())),
        ..WebhookInput::default()
    };
    let webhook = delivery::update(ctx, &webhook, narrower).await.unwrap();
    ctx.clock.advance(chrono::Duration::hours(1));
    round(ctx).await;
    assert_eq!(receiver.got().len(), before);
    assert_eq!(
        states(ctx, &webhook).await,
        BTreeMap::from([("failed".to_owned(), 1)])
    );
}

#[tokio::test]
async fn what_waits_in_a_queue_is_not_lent_once_it_has_fewer_projects() {
    let place = place().await;
    let ctx = &place.ctx;
    let input = QueueInput {
        name: Some("app".into()),
        ..QueueInput::default()
    };
    let made = queue::create(ctx, "cli", input).await.unwrap();
    happen(ctx, "HELP-1", 1).await;
    let lent = queue::lease(ctx, &made, 10, 60).await.unwrap();
    assert_eq!(lent.events.len(), 1);
    let narrower = QueueInput {
        projects: Some(Some(["prj_2".to_owned()].into())),
        ..QueueInput::default()
    };
    queue::update(ctx, &made, narrower).await.unwrap();
    happen(ctx, "HELP-1", 2).await;
    ctx.clock.advance(chrono::Duration::hours(1));
    // Whoever read the queue before it was changed gets no more either.
    let lent = queue::lease(ctx, &made, 10, 60).await.unwrap();
    assert!(lent.events.is_empty(), "{:?}", lent.events);
}

#[tokio::test]
async fn a_receiver_that_was_down_for_a_day_gets_everything_in_order_and_delays_nobody() {
    let place = place().await;
    let ctx = &place.ctx;
    let (down, up) = (Receiver::start().await, Receiver::start().await);
    let made = hook(ctx, &down.url).await;
    hook(ctx, &up.url).await;
    down.behave(Manner::Status(503, ""));
    let mut happened = 0;
    for hour in 0..24 {
        for ticket in 0..3 {
            happen(ctx, &format!("HELP-{ticket}"), hour).await;
            happened += 1;
        }
        round(ctx).await;
        assert_eq!(
            up.got().len(),
            happened,
            "hour {hour}: the other one waits for nobody"
        );
        ctx.clock.advance(chrono::Duration::hours(1));
    }
    let asked = down.got().len();
    assert!(asked < 24 * 8, "a receiver that is down is spared: {asked}");
    down.got.lock().unwrap().clear();
    down.behave(Manner::Status(200, ""));
    let mut waited = 0;
    while down.got().len() < happened && waited < 60 {
        round(ctx).await;
        ctx.clock.advance(chrono::Duration::minutes(1));
        waited += 1;
    }
    assert_eq!(down.got().len(), happened, "everything, once, within the hour");
    for ticket in 0..3 {
        let order: Vec<u64> = down
            .got()
            .iter()
            .map(Got::json)
            .filter(|event| event["subjectId"] == format!("HELP-{ticket}"))
            .filter_map(|event| event["data"]["n"].as_u64())
            .collect();
        assert_eq!(order, (0..24).collect::<Vec<u64>>(), "in the order of the ticket");
    }
    let webhook = now(ctx, &made.webhook.id).await;
    assert_eq!((webhook.failures, webhook.failing_since), (0, None));
}

#[tokio::test]
async fn what_is_refused_for_three_days_is_kept_and_sent_again_on_request() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    receiver.behave(Manner::Status(500, ""));
    let event_id = happen(ctx, "HELP-1", 1).await;
    for _ in 0..100 {
        round(ctx).await;
        ctx.clock.advance(chrono::Duration::hours(1));
    }
    let webhook = now(ctx, &made.webhook.id).await;
    assert_eq!(
        states(ctx, &webhook).await,
        BTreeMap::from([("failed".to_owned(), 1)])
    );
    assert!(
        (10..=80).contains(&receiver.got().len()),
        "{}",
        receiver.got().len()
    );
    receiver.behave(Manner::Status(204, ""));
    let failed = &delivery::deliveries(ctx, &webhook, &DeliveryFilter::default(), 1)
        .await
        .unwrap()[0];
    let given_up = failed.finished_at.unwrap();
    assert!(given_up - failed.created_at >= 3 * 86_400_000);
    let again = async |since| {
        delivery::send_failed_again(ctx, &webhook, since)
            .await
            .unwrap()
            .count
    };
    assert_eq!(again(given_up + 1).await, 0, "given up before that");
    assert_eq!(
        again(given_up - 3_600_000).await,
        1,
        "within the hour, whenever it was queued"
    );
    round(ctx).await;
    assert_eq!(
        states(ctx, &webhook).await,
        BTreeMap::from([("delivered".to_owned(), 1)])
    );
    let one = &delivery::deliveries(ctx, &webhook, &DeliveryFilter::default(), 1)
        .await
        .unwrap()[0];
    delivery::send_again(ctx, &webhook, one).await.unwrap();
    round(ctx).await;
    assert!(
        receiver.ids().iter().all(|id| *id == event_id),
        "always the same id"
    );
}

#[tokio::test]
async fn five_days_of_failure_disable_a_webhook_and_say_so() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    receiver.behave(Manner::Status(302, "location: http://127.0.0.1:1/\r\n"));
    for hour in 0..121 {
        happen(ctx, "HELP-1", hour).await;
        round(ctx).await;
        ctx.clock.advance(chrono::Duration::hours(1));
    }
    let webhook = now(ctx, &made.webhook.id).await;
    assert_eq!(
        (webhook.state.as_str(), webhook.reason.as_str()),
        ("disabled", "failing")
    );
    assert_eq!(kinds(ctx, &webhook.id).await, ["webhook.disabled"]);
    let asked = receiver.got().len();
    happen(ctx, "HELP-2", 0).await;
    round(ctx).await;
    assert_eq!(receiver.got().len(), asked, "a disabled one is not called");
    receiver.behave(Manner::Status(200, ""));
    delivery::enable(ctx, &webhook, true).await.unwrap();
    round(ctx).await;
    let seen: Vec<Value> = receiver.got()[asked..].iter().map(Got::json).collect();
    assert!(
        seen.iter().any(|event| event["subjectId"] == "HELP-2"),
        "what happened meanwhile comes when it is enabled"
    );
}

#[tokio::test]
async fn a_receiver_that_wants_nothing_more_is_left_alone_and_one_that_asks_for_time_gets_it() {
    let place = place().await;
    let ctx = &place.ctx;
    let (gone, busy) = (Receiver::start().await, Receiver::start().await);
    let (left, spared) = (hook(ctx, &gone.url).await, hook(ctx, &busy.url).await);
    gone.behave(Manner::Status(410, ""));
    busy.behave(Manner::Status(429, "retry-after: 600\r\n"));
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    let left = now(ctx, &left.webhook.id).await;
    assert_eq!((left.state.as_str(), left.reason.as_str()), ("disabled", "gone"));
    // That the other one was disabled may have been told before it asked for time.
    let asked = busy.got().len();
    busy.behave(Manner::Status(200, ""));
    ctx.clock.advance(chrono::Duration::seconds(590));
    happen(ctx, "HELP-2", 1).await;
    round(ctx).await;
    assert_eq!((gone.got().len(), busy.got().len()), (1, asked));
    ctx.clock.advance(chrono::Duration::seconds(20));
    round(ctx).await;
    // The two events, and that the other webhook was disabled.
    assert_eq!(busy.got().len(), asked + 3, "after the time it asked for");
    assert_eq!(
        states(ctx, &now(ctx, &spared.webhook.id).await).await["delivered"],
        3
    );
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_or_wants_nothing_more_gets_no_more_of_a_batch() {
    for (status, extra, state) in [
        (429, "retry-after: 600\r\n", "active"),
        (500, "retry-after: 600\r\n", "active"),
        (410, "", "disabled"),
    ] {
        let place = place().await;
        let ctx = &place.ctx;
        let receiver = Receiver::start().await;
        let made = hook(ctx, &receiver.url).await.webhook;
        for n in 0..40 {
            happen(ctx, &format!("HELP-{n}"), n).await;
        }
        receiver.behave(Manner::Once(status, extra));
        round(ctx).await;
        let asked = receiver.got().len();
        assert!(asked <= AT_ONCE, "{status}: only what was on its way: {asked}");
        let webhook = now(ctx, &made.id).await;
        assert_eq!(webhook.state, state, "{status}");
        ctx.clock.advance(chrono::Duration::seconds(590));
        round(ctx).await;
        assert_eq!(receiver.got().len(), asked, "{status}: not before its time");
        ctx.clock.advance(chrono::Duration::seconds(20));
        round(ctx).await;
        let wanted = if state == "active" { 41 } else { asked };
        assert_eq!(
            receiver.got().len(),
            wanted,
            "{status}: each once more than what was refused"
        );
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_is_not_asked_before_the_time_it_asked_for() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await.webhook;
    receiver.behave(Manner::Status(500, ""));
    for n in 0..8 {
        happen(ctx, &format!("HELP-{n}"), n).await;
    }
    round(ctx).await;
    assert!(now(ctx, &made.id).await.failures >= retry::DOWN_AFTER);
    receiver.behave(Manner::Status(502, "retry-after: 7200\r\n"));
    ctx.clock.advance(chrono::Duration::minutes(40));
    round(ctx).await;
    let asked = receiver.got().len();
    for _ in 0..3 {
        ctx.clock.advance(chrono::Duration::minutes(35));
        round(ctx).await;
    }
    assert_eq!(receiver.got().len(), asked);
    ctx.clock.advance(chrono::Duration::minutes(20));
    round(ctx).await;
    assert_eq!(receiver.got().len(), asked + 1);
}

#[tokio::test]
async fn what_was_removed_meanwhile_is_not_found_and_nothing_is_begun() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let webhook = hook(ctx, &receiver.url).await.webhook;
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    let sent = delivery::deliveries(ctx, &webhook, &DeliveryFilter::default(), 1)
        .await
        .unwrap()
        .remove(0);
    let gone = |what: Result<(), DeliveryError>| matches!(what, Err(DeliveryError::NotFound(_)));
    let old = ctx.clock.now_ms() + 1;
    store::purge(ctx.db.write(), old, old, 10).await.unwrap();
    assert!(gone(delivery::send_again(ctx, &webhook, &sent).await));
    delivery::delete(ctx, &webhook).await.unwrap();
    assert!(gone(delivery::ping(ctx, "cli", &webhook).await.map(drop)));
    assert!(gone(delivery::send_again(ctx, &webhook, &sent).await));
    assert!(gone(
        delivery::send_failed_again(ctx, &webhook, 0).await.map(drop)
    ));
    assert!(kinds(ctx, &webhook.id).await.is_empty(), "no ping is in the log");
}

#[tokio::test]
async fn an_answer_that_spells_an_escape_is_kept_as_it_was() {
    let place = place().await;
    let ctx = &place.ctx;
    let webhook = hook(ctx, "http://127.0.0.1:9/hook").await.webhook;
    happen(ctx, "HELP-1", 1).await;
    event::advance(&ctx.db).await.unwrap();
    let lease = store::claim_due(&ctx.db, "one", ctx.clock.now_ms(), 1)
        .await
        .unwrap()
        .remove(0);
    let webhook = now(ctx, &webhook.id).await;
    fan_out(ctx, &lease, &webhook).await.unwrap();
    let due = store::due(ctx.db.read(), &webhook.id, true, ctx.clock.now_ms(), 1)
        .await
        .unwrap()
        .remove(0);
    let id = due.id.clone();
    let endpoint = Endpoint {
        secrets: delivery::secrets_of(ctx, &webhook).unwrap(),
        headers: BTreeMap::new(),
        format: Format::Jmap,
        payload: Payload::Full,
        lease,
        webhook,
    };
    let said = json!({ "headers": {}, "body": "a \\u0000 in the text" });
    let outcome = Outcome {
        status: Some(500),
        error: "http_500".into(),
        response: said.to_string(),
        ..not_sent("")
    };
    assert!(
        note(ctx, &endpoint, vec![(due, Some((outcome, 1)))])
            .await
            .unwrap()
    );
    let delivery = delivery::delivery(ctx, &endpoint.webhook, &id).await.unwrap();
    assert_eq!(
        delivery::attempts(ctx, &delivery).await.unwrap()[0].response,
        said
    );
}

#[tokio::test]
async fn whoever_read_a_webhook_before_it_was_disabled_does_not_turn_it_on_again() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let read = hook(ctx, &receiver.url).await.webhook;
    let described = || WebhookInput {
        description: Some("App".into()),
        ..WebhookInput::default()
    };
    receiver.behave(Manner::Status(500, ""));
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    let changed = delivery::update(ctx, &read, described()).await.unwrap();
    assert_eq!(changed.failures, 1);
    let stored = now(ctx, &read.id).await;
    assert_eq!(
        (stored.failures, stored.failing_since, stored.revision),
        (1, changed.failing_since, 2),
        "its failures are not forgotten"
    );
    receiver.behave(Manner::Status(410, ""));
    happen(ctx, "HELP-2", 1).await;
    round(ctx).await;
    let refused = delivery::update(ctx, &changed, described()).await;
    assert!(matches!(refused, Err(DeliveryError::Conflict)));
    let stored = now(ctx, &read.id).await;
    assert_eq!(
        (stored.state.as_str(), stored.reason.as_str()),
        ("disabled", "gone")
    );
    let enabled = delivery::enable(ctx, &stored, true).await.unwrap();
    assert_eq!((enabled.state.as_str(), enabled.failures), ("active", 0));
    let stored = now(ctx, &read.id).await;
    assert_eq!((stored.state, stored.failures), (enabled.state, 0));
    assert_eq!(stored.revision, enabled.revision);
}

#[tokio::test]
async fn a_receiver_that_hangs_or_never_ends_is_bounded() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    let last = async || {
        let all = delivery::deliveries(ctx, &made.webhook, &DeliveryFilter::default(), 1)
            .await
            .unwrap();
        (all[0].state.clone(), all[0].last_error.clone())
    };
    receiver.behave(Manner::Hangs);
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    assert_eq!(last().await, ("waiting".to_owned(), "http_timeout".to_owned()));
    // A second here stands for the fifteen of the default.
    receiver.behave(Manner::AfterMs(1_300));
    ctx.clock.advance(chrono::Duration::hours(1));
    round(ctx).await;
    assert_eq!(
        last().await,
        ("waiting".to_owned(), "http_timeout".to_owned()),
        "200, but too late"
    );
    receiver.behave(Manner::AfterMs(900));
    ctx.clock.advance(chrono::Duration::hours(6));
    round(ctx).await;
    assert_eq!(last().await.0, "delivered", "late, but in time");
    receiver.behave(Manner::Endless);
    happen(ctx, "HELP-1", 2).await;
    round(ctx).await;
    assert_eq!(
        last().await.0,
        "delivered",
        "its status was said; the rest is not read"
    );
}

#[tokio::test]
async fn a_poisonous_event_holds_up_its_own_ticket_only() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    hook(ctx, &receiver.url).await;
    receiver.behave(Manner::Status(500, ""));
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    receiver.behave(Manner::Status(200, ""));
    happen(ctx, "HELP-1", 2).await;
    happen(ctx, "HELP-2", 1).await;
    round(ctx).await;
    let subjects: Vec<String> = receiver
        .got()
        .iter()
        .map(|got| {
            format!(
                "{}/{}",
                got.json()["subjectId"].as_str().unwrap(),
                got.json()["data"]["n"]
            )
        })
        .collect();
    assert_eq!(subjects, ["HELP-1/1", "HELP-2/1"]);
    ctx.clock.advance(chrono::Duration::seconds(10));
    round(ctx).await;
    assert_eq!(receiver.got().len(), 4);
    assert_eq!(receiver.got()[2].json()["data"]["n"], 1);
}

#[tokio::test]
async fn a_claim_that_was_lost_notes_nothing_and_the_next_holder_repeats_with_the_same_id() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    happen(ctx, "HELP-1", 1).await;
    event::advance(&ctx.db).await.unwrap();
    let lease = store::claim_due(&ctx.db, "dies", ctx.clock.now_ms(), 1)
        .await
        .unwrap()
        .remove(0);
    let webhook = now(ctx, &made.webhook.id).await;
    fan_out(ctx, &lease, &webhook).await.unwrap();
    let due = store::due(ctx.db.read(), &webhook.id, true, ctx.clock.now_ms(), 10)
        .await
        .unwrap();
    let endpoint = Endpoint {
        secrets: delivery::secrets_of(ctx, &webhook).unwrap(),
        headers: BTreeMap::new(),
        format: Format::Jmap,
        payload: Payload::Full,
        lease,
        webhook,
    };
    // The lease runs out while the request is on its way, and another node takes over.
    ctx.clock.advance(chrono::Duration::minutes(2));
    let other = store::claim_due(&ctx.db, "other", ctx.clock.now_ms(), 1)
        .await
        .unwrap();
    assert_eq!(other.len(), 1);
    let noted = send_batch(ctx, &endpoint, due, &Room::new()).await.unwrap();
    assert!(!noted, "a holder that lost its claim writes nothing");
    ctx.clock.advance(chrono::Duration::minutes(2));
    round(ctx).await;
    let ids = receiver.ids();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn what_a_holder_left_behind_when_it_died_is_due_for_the_next_one() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    // Nothing to do yet, which is noted.
    round(ctx).await;
    happen(ctx, "HELP-1", 1).await;
    event::advance(&ctx.db).await.unwrap();
    let lease = store::claim_due(&ctx.db, "dies", ctx.clock.now_ms(), 1)
        .await
        .unwrap()
        .remove(0);
    fan_out(ctx, &lease, &now(ctx, &made.webhook.id).await)
        .await
        .unwrap();
    // It dies here: queued, and never sent.
    ctx.clock.advance(chrono::Duration::minutes(2));
    round(ctx).await;
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn a_new_secret_and_the_one_before_sign_for_a_day() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    let webhook = now(ctx, &made.webhook.id).await;
    let next = delivery::rotate(ctx, &webhook).await.unwrap();
    assert_ne!(next.secret.expose_secret(), made.secret.expose_secret());
    let count = async |n: usize| {
        happen(ctx, "HELP-1", n).await;
        round(ctx).await;
        receiver.got().last().unwrap().headers["webhook-signature"]
            .split(' ')
            .count()
    };
    assert_eq!(count(1).await, 3);
    ctx.clock.advance(chrono::Duration::hours(25));
    assert_eq!(count(2).await, 2);
    let stored = now(ctx, &webhook.id).await;
    assert!(!stored.secret_sealed.contains(next.secret.expose_secret()));
}

#[tokio::test]
async fn a_webhook_hears_of_its_own_projects_only_and_of_nobody_elses_ping() {
    let place = place().await;
    let ctx = &place.ctx;
    let receivers = [
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    ];
    let first = hook(ctx, &receivers[0].url).await;
    hook(ctx, &receivers[1].url).await;
    let input = WebhookInput {
        url: Some(receivers[2].url.clone()),
        projects: Some(Some(["prj_2".to_owned()].into())),
        ..WebhookInput::default()
    };
    delivery::create(ctx, "cli", input).await.unwrap();
    delivery::ping(ctx, "cli", &first.webhook).await.unwrap();
    happen(ctx, "HELP-1", 1).await;
    delivery::trigger(ctx, "cli", "grant.expired", "prj_2")
        .await
        .unwrap();
    round(ctx).await;
    let kinds = receivers.each_ref().map(|receiver| {
        let mut kinds: Vec<String> = receiver
            .got()
            .iter()
            .map(|got| got.json()["type"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        kinds
    });
    assert_eq!(kinds[0], ["grant.expired", "test.ping", "ticket.updated"]);
    assert_eq!(kinds[1], ["grant.expired", "ticket.updated"]);
    assert_eq!(kinds[2], ["grant.expired"]);
}

#[tokio::test]
async fn a_ping_reaches_its_webhook_only_and_filters_keep_the_rest_out() {
    let place = place().await;
    let ctx = &place.ctx;
    let (one, other) = (Receiver::start().await, Receiver::start().await);
    let first = hook(ctx, &one.url).await;
    let input = WebhookInput {
        url: Some(other.url.clone()),
        types: Some(vec!["grant.*".into()]),
        headers: Some(BTreeMap::from([("X-Team".to_owned(), "mail".into())])),
        ..WebhookInput::default()
    };
    delivery::create(ctx, "cli", input).await.unwrap();
    delivery::ping(ctx, "cli", &first.webhook).await.unwrap();
    happen(ctx, "HELP-1", 1).await;
    delivery::trigger(ctx, "cli", "grant.expired", "").await.unwrap();
    round(ctx).await;
    let mut kinds: Vec<String> = one
        .got()
        .iter()
        .map(|got| got.json()["type"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["grant.expired", "test.ping", "ticket.updated"]);
    assert_eq!(other.got().len(), 1);
    assert_eq!(other.got()[0].headers["x-team"], "mail");
    assert_eq!(other.got()[0].json()["data"]["sample"], true);
}

#[tokio::test]
async fn a_webhook_whose_address_points_inside_by_now_is_not_reached() {
    let mut place = place().await;
    let receiver = Receiver::start().await;
    let plain = hook(&place.ctx, &receiver.url).await.webhook;
    let tls = hook(&place.ctx, &receiver.url.replace("http:", "https:"))
        .await
        .webhook;
    // As if their names led elsewhere since. The dialer for mail servers reaches loopback still; that does not count.
    place.ctx.webhook_dialer = Dialer::new(vec![], None).unwrap();
    let ctx = &place.ctx;
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    for (webhook, error) in [(plain, "endpoint_plain_http"), (tls, "address_not_allowed")] {
        let log = delivery::deliveries(ctx, &webhook, &DeliveryFilter::default(), 10)
            .await
            .unwrap();
        let told: Vec<_> = log
            .iter()
            .map(|one| (one.state.as_str(), one.last_error.as_str(), one.attempts))
            .collect();
        assert_eq!(told, [("waiting", error, 1)]);
    }
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn webhooks_that_point_inside_are_refused_and_never_reached() {
    let place = bare_place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let input = |url: &str| WebhookInput {
        url: Some(url.to_owned()),
        ..WebhookInput::default()
    };
    // The dialer for mail servers reaches loopback here; that does not count.
    let refused = delivery::create(ctx, "cli", input(&receiver.url)).await;
    assert!(matches!(refused, Err(DeliveryError::Invalid(_))));
    for wrong in [
        "",
        "ftp://x.test/",
        "https://user:pw@x.test/",
        "https://x.test/#a",
        "/hook",
        "https://",
    ] {
        assert!(
            delivery::create(ctx, "cli", input(wrong)).await.is_err(),
            "{wrong}"
        );
    }
    assert!(
        delivery::list(ctx, &Projects::All).await.unwrap().is_empty(),
        "nothing is left behind"
    );
}
