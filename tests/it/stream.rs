//! The event stream over HTTP, with the program itself: going on after a break, places that are gone, readers that do
//! not read, and access that is taken away.

use std::io::Read as _;
use std::net::TcpStream;

use mailgrant::clock::Clock;
use mailgrant::db::Db;
use mailgrant::event;
use reqwest::Method;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Rest, Settings};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

on_each_database!(
    a_follower_that_lost_its_connection_goes_on_with_the_next_event,
    a_place_older_than_the_retention_is_gone_and_the_oldest_is_named,
    a_follower_whose_place_is_overtaken_by_the_retention_is_told_and_let_go,
    a_stream_ends_when_its_token_is_revoked_or_its_projects_change,
);

async fn start(database: &TestDatabase) -> (Mailgrant, Rest) {
    let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
    let rest = mailgrant.rest();
    (mailgrant, rest)
}

/// One who follows.
struct Follower {
    text: String,
    answer: reqwest::Response,
    over: bool,
}

/// One event of a stream.
#[derive(Clone, Debug)]
struct Told {
    id: String,
    name: String,
    data: Value,
}

impl Follower {
    async fn follow(
        mailgrant: &Mailgrant,
        token: &str,
        query: &str,
        last: Option<&str>,
    ) -> Result<Self, u16> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/v1/events/stream{query}", mailgrant.base_url);
        let mut request = client.get(url).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        if answer.status() != 200 {
            return Err(answer.status().as_u16());
        }
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Ok(Self {
            text: String::new(),
            answer,
            over: false,
        })
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim().to_owned()
                };
                let told = Told {
                    id: field("id:"),
                    name: field("event:"),
                    data: serde_json::from_str(&field("data:")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                if !told.name.is_empty() {
                    return Some(told);
                }
            }
            if self.over {
                return None;
            }
            match tokio::time::timeout(SOON * 2, self.answer.chunk()).await {
                Ok(Ok(Some(more))) => self.text.push_str(std::str::from_utf8(&more).unwrap()),
                Ok(_) => self.over = true,
                Err(_) => panic!("nothing came; so far {:?}", self.text),
            }
        }
    }
}

async fn happen(rest: &Rest, kind: &str, project: Option<&str>) -> String {
    let body = json!({ "type": kind, "projectId": project });
    text(&rest.post("/api/v1/events", &body).await, "id")
}

fn token(mailgrant: &Mailgrant) -> Value {
    let made = mailgrant.run_ok(&[
        "token",
        "create",
        "--name",
        "follower",
        "--scope",
        "events:read",
        "--json",
    ]);
    serde_json::from_str(&made).unwrap()
}

async fn a_follower_that_lost_its_connection_goes_on_with_the_next_event(database: TestDatabase) {
    let (mut mailgrant, rest) = start(&database).await;
    let token = text(&token(&mailgrant), "token");
    let mut follower = Follower::follow(&mailgrant, &token, "?types=ticket.*", None)
        .await
        .unwrap();
    let first = happen(&rest, "ticket.created", None).await;
    happen(&rest, "grant.expired", None).await;
    let second = happen(&rest, "ticket.merged", None).await;
    let seen = [follower.next().await.unwrap(), follower.next().await.unwrap()];
    assert_eq!(
        [&seen[0].data["id"], &seen[1].data["id"]],
        [&json!(first), &json!(second)]
    );
    assert_eq!(seen[0].name, "ticket.created");
    assert_eq!(seen[0].data["cursor"], json!(seen[0].id));
    // The service dies and comes again; meanwhile things happen. A browser sends the id it saw last.
    drop(follower);
    mailgrant.kill9();
    mailgrant.resume().await;
    let third = happen(&rest, "ticket.updated", None).await;
    let mut again = Follower::follow(&mailgrant, &token, "?types=ticket.*", Some(&seen[0].id))
        .await
        .unwrap();
    assert_eq!(again.next().await.unwrap().data["id"], json!(second));
    assert_eq!(again.next().await.unwrap().data["id"], json!(third));
    let fourth = happen(&rest, "ticket.updated", None).await;
    assert_eq!(again.next().await.unwrap().data["id"], json!(fourth));
    // What the header says is newer than what the address says.
    let query = format!("?types=ticket.*&after={}", seen[0].id);
    let mut both = Follower::follow(&mailgrant, &token, &query, Some(&seen[1].id))
        .await
        .unwrap();
    assert_eq!(both.next().await.unwrap().data["id"], json!(third));
    assert_eq!(
        Follower::follow(&mailgrant, &token, "", Some("no-cursor"))
            .await
            .err(),
        Some(400)
    );
}

async fn a_place_older_than_the_retention_is_gone_and_the_oldest_is_named(database: TestDatabase) {
    let (mailgrant, rest) = start(&database).await;
    let token = text(&token(&mailgrant), "token");
    happen(&rest, "ticket.created", None).await;
    let young = happen(&rest, "ticket.merged", None).await;
    let db = Db::open(&database.url).await.unwrap();
    let clock = Clock::system();
    let last = rest.get("/api/v1/events?types=ticket.created").await["items"][0]["sequence"]
        .as_i64()
        .unwrap();
    // Everything up to the first sample is older than the retention now.
    let count = i64::try_from(
        rest.get("/api/v1/events").await["items"]
            .as_array()
            .unwrap()
            .len(),
    )
    .unwrap();
    event::delete_before(&db, clock.now_ms() + 1, count - 1)
        .await
        .unwrap();
    let (floor, _) = event::extent(&db).await.unwrap();
    assert!(floor.0 >= last);
    let gone = rest
        .send(Method::GET, "/api/v1/events/stream?after=ZTEuMA", None)
        .await;
    assert_eq!(gone.status, 410);
    assert_eq!(
        gone.json["type"]
            .as_str()
            .map(|kind| kind.ends_with("cursor_expired")),
        Some(true)
    );
    let oldest = text(&gone.json, "oldest");
    let query = format!("?after={oldest}");
    let mut follower = Follower::follow(&mailgrant, &token, &query, None).await.unwrap();
    assert_eq!(follower.next().await.unwrap().data["id"], json!(young));
}

async fn a_follower_whose_place_is_overtaken_by_the_retention_is_told_and_let_go(database: TestDatabase) {
    use std::io::Write as _;
    let (mailgrant, rest) = start(&database).await;
    let token = text(&token(&mailgrant), "token");
    // It has read what was sent and reads no further, until the log is younger than its place.
    let mut slow = TcpStream::connect(("127.0.0.1", mailgrant.port)).unwrap();
    let ask = format!(
        "GET /api/v1/events/stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    slow.write_all(ask.as_bytes()).unwrap();
    slow.read_exact(&mut [0; 15]).unwrap();
    let db = Db::open(&database.url).await.unwrap();
    let clock = Clock::system();
    // More than the sockets on the way hold.
    let txn = db.begin().await.unwrap();
    for n in 0..8_000 {
        let new = event::NewEvent {
            kind: "ticket.updated",
            project_id: "",
            subject_id: "tkt_1",
            actor: "cli",
            data: json!({ "key": format!("HELP-{n}"), "padding": "x".repeat(4_000) }),
        };
        event::append(&txn, &clock, new).await.unwrap();
    }
    txn.commit().await.unwrap();
    let last = eventually("all of it is in the log", SOON * 4, async || {
        event::advance(&db).await.unwrap();
        let (_, last) = event::extent(&db).await.unwrap();
        (last.0 > 8_000).then_some(last)
    })
    .await;
    event::delete_before(&db, clock.now_ms() + 1, 10_000)
        .await
        .unwrap();
    let (floor, _) = event::extent(&db).await.unwrap();
    assert!(floor.0 + 1 >= last.0, "{floor:?} {last:?}");
    slow.set_read_timeout(Some(SOON * 4)).unwrap();
    let mut rest_of_it = Vec::new();
    slow.read_to_end(&mut rest_of_it).ok();
    let told = String::from_utf8_lossy(&rest_of_it).into_owned();
    let at = told
        .find("event: gone\n")
        .expect("it is told that its place is gone");
    let data = told[at..]
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["code"], "cursor_expired");
    assert_eq!(told.matches("event: gone\n").count(), 1);
    assert!(!told[at..].contains("event: ticket"), "nothing comes behind it");
    // From where it was pointed to, it goes on.
    let query = format!("?after={}", text(&data, "oldest"));
    let mut again = Follower::follow(&mailgrant, &token, &query, None).await.unwrap();
    let next = happen(&rest, "ticket.merged", None).await;
    loop {
        let told = again.next().await.expect("the stream goes on");
        if told.data["id"] == json!(next) {
            break;
        }
    }
}

async fn a_stream_ends_when_its_token_is_revoked_or_its_projects_change(database: TestDatabase) {
    let (mailgrant, rest) = start(&database).await;
    let made = token(&mailgrant);
    let mut follower = Follower::follow(&mailgrant, &text(&made, "token"), "?types=ticket.*", None)
        .await
        .unwrap();
    happen(&rest, "ticket.created", None).await;
    assert_eq!(follower.next().await.unwrap().name, "ticket.created");
    mailgrant.run_ok(&["token", "revoke", &text(&made, "id")]);
    happen(&rest, "ticket.merged", None).await;
    let last = follower.next().await.unwrap();
    assert_eq!(last.name, "over", "{last:?}");
    assert_eq!(last.data["code"], "access_ended");
    assert!(follower.next().await.is_none(), "and nothing of what came after");
    assert_eq!(
        Follower::follow(&mailgrant, &text(&made, "token"), "", None)
            .await
            .err(),
        Some(401)
    );
    // A member of two projects, one of which they are taken out of.
    let mut projects = Vec::new();
    for key in ["ONE", "TWO"] {
        let body = json!({ "key": key, "name": key });
        projects.push(text(&rest.post("/api/v1/projects", &body).await, "id"));
    }
    let person = rest
        .post(
            "/api/v1/users",
            &json!({ "email": "vi@example.org", "name": "Vi" }),
        )
        .await;
    let person = text(&person, "id");
    for project in &projects {
        let path = format!("/api/v1/projects/{project}/members");
        rest.post(&path, &json!({ "userId": person, "role": "viewer" }))
            .await;
    }
    let made: Value = serde_json::from_str(&mailgrant.run_ok(&[
        "token",
        "create",
        "--name",
        "vi",
        "--user",
        "vi@example.org",
        "--scope",
        "events:read",
        "--json",
    ]))
    .unwrap();
    let token = text(&made, "token");
    let mut follower = Follower::follow(&mailgrant, &token, "?types=ticket.*", None)
        .await
        .unwrap();
    happen(&rest, "ticket.created", None).await;
    happen(&rest, "ticket.created", Some(&projects[1])).await;
    let seen = follower.next().await.unwrap();
    assert_eq!(
        seen.data["projectId"],
        json!(projects[1]),
        "not what is the site's"
    );
    let path = format!("/api/v1/projects/{}/members/{person}", projects[1]);
    rest.send(Method::DELETE, &path, None).await.ok(&path);
    happen(&rest, "ticket.merged", Some(&projects[1])).await;
    assert_eq!(follower.next().await.unwrap().name, "over");
    let mut again = Follower::follow(&mailgrant, &token, "?types=ticket.*", Some(&seen.id))
        .await
        .unwrap();
    let wanted = happen(&rest, "ticket.updated", Some(&projects[0])).await;
    assert_eq!(
        again.next().await.unwrap().data["id"],
        json!(wanted),
        "what it may see now"
    );
}

/// The memory of a process, kilobytes.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_do_not_read_cost_little_and_delay_nobody() {
    use std::io::Write as _;
    const SLOW: usize = 20;
    const EVENTS: usize = 5_000;
    let database = TestDatabase::create(crate::support::database::Kind::Sqlite).await;
    let (mailgrant, _rest) = start(&database).await;
    let token = text(&token(&mailgrant), "token");
    let slow: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", mailgrant.port)).unwrap();
            let ask = format!(
                "GET /api/v1/events/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            stream.write_all(ask.as_bytes()).unwrap();
            // The first bytes say that it follows; after that nothing is read.
            stream.read_exact(&mut [0; 15]).unwrap();
            stream
        })
        .collect();
    let mut quick = Follower::follow(&mailgrant, &token, "", None).await.unwrap();
    let before = memory(mailgrant.id().unwrap());
    let db = Db::open(&database.url).await.unwrap();
    // 5,000 events of 4 kB: 20 MB for each follower, 400 MB for all of the slow ones.
    let txn = db.begin().await.unwrap();
    for n in 0..EVENTS {
        let new = event::NewEvent {
            kind: "ticket.updated",
            project_id: "",
            subject_id: "tkt_1",
            actor: "cli",
            data: json!({ "key": format!("HELP-{n}"), "padding": "x".repeat(4_000) }),
        };
        event::append(&txn, &Clock::system(), new).await.unwrap();
    }
    txn.commit().await.unwrap();
    for n in 0..EVENTS {
        let told = quick.next().await.unwrap();
        assert_eq!(told.data["data"]["key"], json!(format!("HELP-{n}")));
    }
    let grown = memory(mailgrant.id().unwrap()).saturating_sub(before);
    assert!(grown < 150_000, "{SLOW} slow readers cost {grown} kB");
    drop(slow);
}
