//! Lists come in parts, those beside a ticket or a provider too.

use reqwest::StatusCode;
use serde_json::Value;

use super::access_tests::World;
use crate::access::{Scope, Scopes};

#[tokio::test(flavor = "multi_thread")]
async fn a_tickets_replies_and_a_providers_tests_come_in_parts() {
    let world = World::new().await;
    let all = Scopes::from_iter(Scope::ALL.iter().copied());
    let token = world.token(0, all, false).await;
    world.ticket(1).await;
    for n in [2, 3, 4] {
        world.outgoing(n, "tkt_1").await;
    }
    let provider = world.provider(5).await;
    let mut tests = Vec::new();
    for _ in 0..3 {
        tests.push(world.provider_test(&provider).await);
    }
    tests.reverse();
    let replies = ["out_2", "out_3", "out_4"].map(str::to_owned).to_vec();
    for (list, expected) in [
        ("/api/v1/tickets/tkt_1/replies".to_owned(), replies),
        (format!("/api/v1/identity-providers/{provider}/tests"), tests),
    ] {
        let mut seen = Vec::new();
        let mut next = Some(format!("{list}?limit=2"));
        while let Some(path) = next {
            let answer = world.site.get(&path).bearer_auth(&token).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let part: Value = answer.json().await.unwrap();
            let items = part["items"].as_array().unwrap();
            assert!(items.len() <= 2, "{path}: {part}");
            seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            next = part["next"].as_str().map(str::to_owned);
        }
        assert_eq!(seen, expected, "{list}");
    }
}
