//! What is promised to those who fetch events.

use super::*;

#[tokio::test]
async fn a_queue_lends_the_oldest_of_each_ticket_and_lends_again_what_was_not_acknowledged() {
    let place = place().await;
    let ctx = &place.ctx;
    let queue = queue_of(ctx).await;
    for n in 0..3 {
        happen(ctx, "HELP-1", n).await;
        happen(ctx, "HELP-2", n).await;
    }
    let of = |lent: &queue::Lent| -> Vec<String> {
        let one = |(event, _): &(Event, i64)| format!("{}/{}", event.subject_id, event.data["n"]);
        lent.events.iter().map(one).collect()
    };
    let first = queue::lease(ctx, &queue, 10, 30).await.unwrap();
    assert_eq!(of(&first), ["HELP-1/0", "HELP-2/0"]);
    assert!(
        of(&queue::lease(ctx, &queue, 10, 30).await.unwrap()).is_empty(),
        "both tickets are out"
    );
    let ids: Vec<String> = first.events.iter().map(|(event, _)| event.id.clone()).collect();
    queue::ack(ctx, &queue, &first.lease_id, &ids[..1]).await.unwrap();
    let second = queue::lease(ctx, &queue, 10, 30).await.unwrap();
    assert_eq!(of(&second), ["HELP-1/1"]);
    ctx.clock.advance(chrono::Duration::seconds(31));
    let third = queue::lease(ctx, &queue, 10, 30).await.unwrap();
    assert_eq!(of(&third), ["HELP-2/0", "HELP-1/1"], "in the order of the log");
    assert!(third.events.iter().all(|(_, times)| *times == 2));
    let late = queue::ack(ctx, &queue, &first.lease_id, &ids[1..]).await.unwrap();
    assert_eq!(late.lost.len(), 1, "its lease ran out");
    let third_ids: Vec<String> = third.events.iter().map(|(event, _)| event.id.clone()).collect();
    let back = queue::nack(ctx, &queue, &third.lease_id, &third_ids, 5)
        .await
        .unwrap();
    assert_eq!(back.done.len(), 2);
    assert!(queue::lease(ctx, &queue, 10, 30).await.unwrap().events.is_empty());
    ctx.clock.advance(chrono::Duration::seconds(6));
    let mut seen = Vec::new();
    loop {
        let lent = queue::lease(ctx, &queue, 10, 30).await.unwrap();
        if lent.events.is_empty() {
            break;
        }
        seen.extend(of(&lent));
        let ids: Vec<String> = lent.events.iter().map(|(event, _)| event.id.clone()).collect();
        queue::ack(ctx, &queue, &lent.lease_id, &ids).await.unwrap();
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    queue::seek(ctx, &queue, queue::Seek::Oldest, None).await.unwrap();
    assert_eq!(of(&queue::lease(ctx, &queue, 1, 30).await.unwrap()), ["HELP-1/0"]);
}

fn ids(lent: &queue::Lent) -> Vec<String> {
    lent.events.iter().map(|(event, _)| event.id.clone()).collect()
}

#[tokio::test]
async fn only_the_lease_that_holds_an_event_settles_it_and_only_while_it_lasts() {
    let place = place().await;
    let ctx = &place.ctx;
    let queue = queue_of(ctx).await;
    happen(ctx, "HELP-1", 1).await;
    let first = queue::lease(ctx, &queue, 10, 30).await.unwrap();
    let ids = ids(&first);
    assert_eq!(ids.len(), 1);
    // What was given back and what was acknowledged.
    let settled = async |lease: &str| {
        let nacked = queue::nack(ctx, &queue, lease, &ids, 0).await.unwrap();
        let acked = queue::ack(ctx, &queue, lease, &ids).await.unwrap();
        (nacked.done.len(), acked.done.len())
    };
    assert_eq!(settled("").await, (0, 0));
    assert_eq!(settled("another").await, (0, 0));
    ctx.clock.advance(chrono::Duration::seconds(30));
    assert_eq!(
        settled(&first.lease_id).await,
        (0, 0),
        "over, though nobody else has it"
    );
    let second = queue::lease(ctx, &queue, 10, 30).await.unwrap();
    assert_eq!(second.events[0].1, 2);
    assert_eq!(settled(&first.lease_id).await, (0, 0), "somebody else has it");
    let done = queue::ack(ctx, &queue, &second.lease_id, &ids).await.unwrap();
    assert_eq!(done.done, ids);
}

#[tokio::test]
async fn a_queue_of_one_project_hears_and_is_seen_in_that_one_alone() {
    let place = place().await;
    let ctx = &place.ctx;
    let input = QueueInput {
        name: Some("desk".into()),
        projects: Some(Some(["prj_2".to_owned()].into())),
        ..QueueInput::default()
    };
    let queue = queue::create(ctx, "cli", input).await.unwrap();
    happen(ctx, "HELP-1", 1).await;
    delivery::trigger(ctx, "cli", "grant.expired", "prj_2")
        .await
        .unwrap();
    for (projects, sees) in [
        (Projects::All, true),
        (Projects::one("prj_2"), true),
        (Projects::one("prj_1"), false),
    ] {
        let by_id = queue::get(ctx, &projects, &queue.id).await;
        let by_name = queue::get(ctx, &projects, "desk").await;
        assert_eq!((by_id.is_ok(), by_name.is_ok()), (sees, sees), "{projects:?}");
        let listed = queue::list(ctx, &projects).await.unwrap();
        assert_eq!(listed.len(), usize::from(sees), "{projects:?}");
    }
    let lent = queue::lease(ctx, &queue, 10, 30).await.unwrap();
    let kinds: Vec<&str> = lent.events.iter().map(|(event, _)| event.kind.as_str()).collect();
    assert_eq!(kinds, ["grant.expired"]);
}

#[tokio::test]
async fn a_queue_that_comes_after_the_retention_is_told_what_it_missed() {
    let place = place().await;
    let ctx = &place.ctx;
    let queue = queue_of(ctx).await;
    for n in 0..3 {
        happen(ctx, "HELP-1", n).await;
    }
    let last = event::advance(&ctx.db).await.unwrap();
    let later = ctx.clock.now_ms() + 1;
    event::delete_before(&ctx.db, later, 100).await.unwrap();
    let late = queue::lease(ctx, &queue, 10, 30).await;
    assert!(
        matches!(late, Err(DeliveryError::Expired { oldest }) if oldest.0 == last),
        "{late:?}"
    );
    let from = queue::seek(ctx, &queue, queue::Seek::Oldest, None).await.unwrap();
    assert_eq!(from.0, last);
    assert!(queue::lease(ctx, &queue, 10, 30).await.unwrap().events.is_empty());
}
