//! The event log on real databases: nobody's cursor skips an event, whatever the order of commits.

use mailgrant::access::Projects;
use mailgrant::clock::Clock;
use mailgrant::db::Db;
use mailgrant::event::{self, Cursor, Filter, LogError, NewEvent};
use serde_json::json;

use crate::on_each_database;
use crate::support::database::{Kind, TestDatabase, wanted};

on_each_database!(
    many_writers_and_a_reader_meet_every_event_once_and_in_order,
    nodes_that_give_places_at_once_give_each_event_one_and_leave_none_out,
    what_is_older_than_the_retention_goes_and_a_cursor_before_it_is_told,
);

async fn open(database: &TestDatabase) -> Db {
    let db = Db::open(&database.url).await.unwrap();
    db.migrate().await.unwrap();
    db
}

fn all() -> Filter {
    Filter {
        projects: Projects::All,
        ..Filter::default()
    }
}

fn ping(subject: &str) -> NewEvent<'_> {
    NewEvent {
        kind: "test.ping",
        project_id: "",
        subject_id: subject,
        actor: "cli",
        data: json!({}),
    }
}

async fn read(db: &Db, after: Cursor) -> (Vec<String>, Cursor) {
    event::advance(db).await.unwrap();
    let read = event::read_after(db.read(), after, &all(), 1_000).await.unwrap();
    (
        read.events.into_iter().map(|event| event.subject_id).collect(),
        read.cursor,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_late_comes_after_the_cursor_not_before_it() {
    if !wanted(Kind::Postgres) {
        return;
    }
    let database = TestDatabase::create(Kind::Postgres).await;
    let db = open(&database).await;
    let clock = Clock::system();
    // Three transactions append in the order first, second, third and commit in another.
    let first = db.begin().await.unwrap();
    event::append(&first, &clock, ping("first")).await.unwrap();
    let second = db.begin().await.unwrap();
    event::append(&second, &clock, ping("second")).await.unwrap();
    let third = db.begin().await.unwrap();
    event::append(&third, &clock, ping("third")).await.unwrap();
    third.commit().await.unwrap();
    let (seen, cursor) = read(&db, Cursor::START).await;
    assert_eq!(seen, ["third"]);
    let (seen, cursor) = read(&db, cursor).await;
    assert!(seen.is_empty(), "nothing else is committed: {seen:?}");
    first.commit().await.unwrap();
    let (seen, cursor) = read(&db, cursor).await;
    assert_eq!(seen, ["first"], "the reader's cursor did not pass by it");
    second.rollback().await.unwrap();
    let (seen, cursor) = read(&db, cursor).await;
    assert!(seen.is_empty());
    event::append(db.write(), &clock, ping("fourth")).await.unwrap();
    assert_eq!(read(&db, cursor).await.0, ["fourth"]);
    assert_eq!(read(&db, Cursor::START).await.0, ["third", "first", "fourth"]);
}

async fn many_writers_and_a_reader_meet_every_event_once_and_in_order(database: TestDatabase) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let db = open(&database).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let txn = db.begin().await.unwrap();
                    event::append(&txn, &Clock::system(), ping(&format!("{writer}-{n}")))
                        .await
                        .unwrap();
                    if db.is_postgres() {
                        // Others append and commit meanwhile.
                        tokio::task::yield_now().await;
                    }
                    if n % 5 == 4 {
                        txn.rollback().await.unwrap();
                    } else {
                        txn.commit().await.unwrap();
                    }
                }
            })
        })
        .collect();
    let wanted = WRITERS * EACH / 5 * 4;
    let (mut seen, mut cursor) = (Vec::new(), Cursor::START);
    while seen.len() < wanted || !writers.iter().all(|writer| writer.is_finished()) {
        let (more, next) = read(&db, cursor).await;
        seen.extend(more);
        cursor = next;
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(read(&db, cursor).await.0.is_empty());
    let (again, _) = read(&db, Cursor::START).await;
    assert_eq!(seen, again, "who read along saw what the log holds");
    for writer in 0..WRITERS {
        let own: Vec<usize> = seen
            .iter()
            .filter_map(|subject| subject.strip_prefix(&format!("{writer}-"))?.parse().ok())
            .collect();
        let order: Vec<usize> = (0..EACH).filter(|n| n % 5 != 4).collect();
        assert_eq!(own, order, "each writer's own order");
    }
}

async fn nodes_that_give_places_at_once_give_each_event_one_and_leave_none_out(database: TestDatabase) {
    const ROUNDS: i64 = 40;
    let nodes = [open(&database).await, Db::open(&database.url).await.unwrap()];
    for round in 1..=ROUNDS {
        for n in 0..5 {
            event::append(nodes[0].write(), &Clock::system(), ping(&format!("{round}-{n}")))
                .await
                .unwrap();
        }
        let together = (0..8).map(|at| event::advance(&nodes[at % 2]));
        for place in futures_util::future::join_all(together).await {
            assert_eq!(place.unwrap(), round * 5, "the end is the number of events");
        }
    }
    let (seen, cursor) = read(&nodes[1], Cursor::START).await;
    assert_eq!(seen.len(), 200);
    assert_eq!(cursor, Cursor(200));
    let order: Vec<String> = (1..=ROUNDS)
        .flat_map(|round| (0..5).map(move |n| format!("{round}-{n}")))
        .collect();
    assert_eq!(seen, order);
}

async fn what_is_older_than_the_retention_goes_and_a_cursor_before_it_is_told(database: TestDatabase) {
    let db = open(&database).await;
    let clock = Clock::manual(mailgrant::clock::from_ms(1_800_000_000_000));
    for n in 0..5 {
        event::append(db.write(), &clock, ping(&format!("old-{n}")))
            .await
            .unwrap();
    }
    let (_, old) = read(&db, Cursor::START).await;
    clock.advance(chrono::Duration::days(100));
    event::append(db.write(), &clock, ping("young")).await.unwrap();
    event::advance(&db).await.unwrap();
    let before = clock.now_ms() - 90 * 86_400_000;
    assert_eq!(event::delete_before(&db, before, 3).await.unwrap(), 3);
    assert_eq!(event::delete_before(&db, before, 3).await.unwrap(), 2);
    assert_eq!(event::delete_before(&db, before, 3).await.unwrap(), 0);
    let gone = event::read_after(db.read(), Cursor(old.0 - 1), &all(), 10).await;
    let Err(LogError::Gone { oldest }) = gone else {
        panic!("a cursor before the beginning is an error");
    };
    assert_eq!(read(&db, oldest).await.0, ["young"]);
    assert_eq!(
        read(&db, old).await.0,
        ["young"],
        "who had read all of it goes on"
    );
    // The numbers go on also when nothing is left.
    assert_eq!(
        event::delete_before(&db, clock.now_ms() + 1, 10).await.unwrap(),
        1
    );
    event::append(db.write(), &clock, ping("next")).await.unwrap();
    let (seen, cursor) = read(&db, event::extent(&db).await.unwrap().0).await;
    assert_eq!(seen, ["next"]);
    assert!(cursor > old);
}
