//! The audit log of a running service: what is done by REST, on the pages and on the command line is in it, and whoever
//! changes it in the database is found out.

use std::time::Duration;

use mailgrant::access::Projects;
use mailgrant::audit::{self, Anchor, Filter, NewAuditEvent, Report};
use mailgrant::clock::Clock;
use mailgrant::crypto::KeyRing;
use mailgrant::db::Db;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Settings};
use crate::support::wait::{SOON, eventually};

on_each_database!(
    whoever_changes_the_log_in_the_database_is_found_out,
    many_writers_and_two_sealers_make_one_chain,
);

fn verify(mailgrant: &Mailgrant) -> (bool, Value) {
    let out = mailgrant.run(&["audit", "verify", "--json"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("not JSON: {text}{}", String::from_utf8_lossy(&out.stderr)));
    (out.status.success(), report)
}

async fn run(database: &TestDatabase, statements: &[&str]) {
    let db = Db::open(&database.url).await.unwrap();
    for statement in statements {
        db.write()
            .execute_unprepared(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    db.close().await;
}

async fn whoever_changes_the_log_in_the_database_is_found_out(database: TestDatabase) {
    let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
    let rest = mailgrant.rest();
    let project = rest
        .post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help" }))
        .await;
    let id = project["id"].as_str().unwrap();
    let found = eventually("the change is in the log with its place", SOON, async || {
        let page = rest
            .get(&format!("/api/v1/audit-events?targetId={id}&action=project.*"))
            .await;
        let first = page["items"][0].clone();
        first["place"].is_i64().then_some(first)
    })
    .await;
    assert_eq!(found["action"], "project.created");
    assert_eq!(
        (&found["via"], &found["address"]),
        (&json!("api"), &json!("127.0.0.1"))
    );
    assert!(found["actor"].as_str().unwrap().starts_with("tok_"), "{found}");
    let by_cli = rest
        .get("/api/v1/audit-events?via=cli&action=token.created")
        .await;
    assert_eq!(by_cli["items"][0]["actor"], "cli");

    let (holds, report) = verify(&mailgrant);
    assert!(
        holds && report["broken"].is_null() && report["unsealed"] == 0,
        "{report}"
    );
    let exported = mailgrant.run_ok(&["audit", "export"]);
    let lines: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["place"], 1);
    assert!(
        lines
            .iter()
            .all(|line| line["seal"].as_str().unwrap().len() == 64),
        "{exported}"
    );
    assert_eq!(lines.last().unwrap()["action"], "audit.exported");

    // By mistake nobody changes it; somebody who owns the database takes the triggers away first.
    let db = Db::open(&database.url).await.unwrap();
    let careless = db
        .write()
        .execute_unprepared("UPDATE audit_events SET actor = 'nobody' WHERE place = 1")
        .await;
    assert!(careless.unwrap_err().to_string().contains("append-only"));
    db.close().await;
    let triggers: &[&str] = if database.postgres().is_some() {
        &["DROP TRIGGER audit_events_stay ON audit_events"]
    } else {
        &[
            "DROP TRIGGER audit_events_stay",
            "DROP TRIGGER audit_events_words",
            "DROP TRIGGER audit_events_keep",
        ]
    };
    run(&database, triggers).await;
    run(
        &database,
        &["UPDATE audit_events SET address = '192.0.2.66' WHERE place = 2"],
    )
    .await;
    let (holds, report) = verify(&mailgrant);
    assert!(!holds && report["broken"]["place"] == 2, "{report}");
    assert!(
        report["broken"]["how"].as_str().unwrap().contains("changed"),
        "{report}"
    );
}

async fn many_writers_and_two_sealers_make_one_chain(database: TestDatabase) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let key_file = dirs[0].path().join("key");
    KeyRing::create(&key_file).unwrap();
    let db = Db::open(&database.url).await.unwrap();
    db.migrate().await.unwrap();
    let sealers: Vec<_> = dirs
        .iter()
        .map(|dir| {
            let (db, keys, anchor) = (
                db.clone(),
                KeyRing::read(&key_file).unwrap(),
                Anchor::in_folder(dir.path()),
            );
            tokio::spawn(async move {
                let mut sealed = 0;
                while sealed < 100_000 {
                    sealed += audit::seal(&db, &keys, &anchor).await.unwrap();
                    let done = audit::list(db.read(), &everything(), None, 200).await.unwrap();
                    if done.len() == 120 && done.iter().all(|event| event.place > 0) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                sealed
            })
        })
        .collect();
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let txn = db.begin().await.unwrap();
                    let target = format!("{writer}-{n}");
                    let event = NewAuditEvent::new("project.updated", "project", &target).by("usr_1");
                    audit::append(&txn, &Clock::system(), event).await.unwrap();
                    txn.commit().await.unwrap();
                }
            })
        })
        .collect();
    // Whoever looks meanwhile sees a whole chain, and one end of it.
    let keys = KeyRing::read(&key_file).unwrap();
    let mut looks = 0;
    while looks < 5 || writers.iter().any(|writer| !writer.is_finished()) {
        for dir in &dirs {
            let report = audit::verify(&db, &keys, &Anchor::in_folder(dir.path()))
                .await
                .unwrap();
            assert_eq!((report.broken, report.sealed), (None, report.last));
        }
        looks += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut sealed = 0;
    for sealer in sealers {
        sealed += sealer.await.unwrap();
    }
    assert_eq!(sealed, 120);
    for dir in &dirs {
        let report = audit::verify(&db, &keys, &Anchor::in_folder(dir.path()))
            .await
            .unwrap();
        let whole = Report {
            sealed: 120,
            first: 1,
            last: 120,
            open: 0,
            broken: None,
        };
        assert_eq!(report, whole);
    }
}

fn everything() -> Filter {
    Filter {
        projects: Projects::All,
        ..Filter::default()
    }
}
