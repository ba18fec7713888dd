//! Receivers that hang or send elsewhere, beside one that is well.

use super::*;

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let mut place = place().await;
    let mut config = (*place.ctx.config).clone();
    // Longer than this test may take: whoever waited for it would never be served.
    config.webhook_timeout = 60;
    place.ctx.config = Arc::new(config);
    let ctx = &place.ctx;
    let (hanging, well) = (Receiver::start().await, Receiver::start().await);
    let stuck = hook(ctx, &hanging.url).await;
    hook(ctx, &well.url).await;
    hanging.behave(Manner::Hangs);
    let room = Arc::new(Room::new());
    for n in 0..3 {
        happen(ctx, "HELP-1", n).await;
        event::advance(&ctx.db).await.unwrap();
        while well.got().len() <= n {
            look(ctx, &room).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(hanging.got().len(), 1, "one request of the ticket is on its way");
    let waiting = delivery::deliveries(ctx, &stuck.webhook, &DeliveryFilter::default(), 10)
        .await
        .unwrap();
    assert!(
        waiting.iter().all(|delivery| delivery.attempts == 0),
        "it still hangs"
    );
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_follows_it() {
    let place = place().await;
    let ctx = &place.ctx;
    let (elsewhere, target) = (Receiver::start().await, Receiver::start().await);
    let line: &'static str = Box::leak(format!("location: {}\r\n", target.url).into_boxed_str());
    for status in [301, 302, 303, 307, 308, 304] {
        let made = hook(ctx, &elsewhere.url).await;
        elsewhere.behave(Manner::Status(status, line));
        happen(ctx, &format!("HELP-{status}"), 0).await;
        round(ctx).await;
        let last = &delivery::deliveries(ctx, &made.webhook, &DeliveryFilter::default(), 1)
            .await
            .unwrap()[0];
        assert_eq!(
            (last.state.as_str(), last.last_error.as_str()),
            ("waiting", format!("http_{status}").as_str())
        );
        delivery::delete(ctx, &made.webhook).await.unwrap();
    }
    assert!(target.got().is_empty());
    assert!(attempt::explain("http_302").contains("Redirects are not followed"));
}

#[tokio::test]
async fn an_answer_that_never_ends_costs_no_memory_to_speak_of() {
    let place = place().await;
    let ctx = &place.ctx;
    let receiver = Receiver::start().await;
    let made = hook(ctx, &receiver.url).await;
    receiver.behave(Manner::Endless);
    for n in 0..4 {
        happen(ctx, &format!("HELP-{n}"), n).await;
    }
    round(ctx).await;
    for delivery in delivery::deliveries(ctx, &made.webhook, &DeliveryFilter::default(), 10)
        .await
        .unwrap()
    {
        let attempts = delivery::attempts(ctx, &delivery).await.unwrap();
        assert_eq!((delivery.state.as_str(), attempts.len()), ("delivered", 1));
        assert!(
            attempts[0].response.to_string().len() < 4_096,
            "what is kept is bounded"
        );
    }
}

#[tokio::test]
async fn added_headers_are_not_taken_along_to_another_host() {
    let place = place().await;
    let ctx = &place.ctx;
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    let headers = || BTreeMap::from([("Authorization".to_owned(), "Bearer hush".into())]);
    let input = WebhookInput {
        url: Some(before.url.clone()),
        headers: Some(headers()),
        ..WebhookInput::default()
    };
    let made = delivery::create(ctx, "cli", input).await.unwrap();
    let to = |url: String, headers| WebhookInput {
        url: Some(url),
        headers,
        ..WebhookInput::default()
    };
    let refused = delivery::update(ctx, &made.webhook, to(after.url.clone(), None)).await;
    assert!(matches!(refused, Err(DeliveryError::Invalid(errors)) if errors[0].field == "headers"));
    // Another path of the same host is the same receiver.
    let same = delivery::update(ctx, &made.webhook, to(format!("{}/new", before.url), None))
        .await
        .unwrap();
    assert!(!same.headers_sealed.is_empty());
    let bare = delivery::update(ctx, &same, to(after.url.clone(), Some(BTreeMap::new())))
        .await
        .unwrap();
    happen(ctx, "HELP-1", 1).await;
    round(ctx).await;
    assert!(!after.got()[0].headers.contains_key("authorization"));
    delivery::update(ctx, &bare, to(before.url.clone(), Some(headers())))
        .await
        .unwrap();
}

#[tokio::test]
async fn no_queue_has_a_name_that_is_taken_for_an_id() {
    let place = place().await;
    let ctx = &place.ctx;
    let victim = queue_of(ctx).await;
    let input = QueueInput {
        name: Some(victim.id.clone()),
        ..QueueInput::default()
    };
    assert!(queue::create(ctx, "cli", input).await.is_err());
}
