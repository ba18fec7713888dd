//! What a decision is worth afterwards: when time passes over it, when an admin changes the client, when keys change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;
use crate::oauth2_server::{ClientState, jwks, next_step, rotate_when_due, set_state, update};

const ALL: &str = "openid offline_access tickets:read";
const DAY: i64 = 86_400;

fn kid(token: &str) -> String {
    let head = token.split('.').next().unwrap();
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

impl World {
    async fn published(&self) -> Vec<String> {
        let set = jwks(&self.ctx).await.unwrap();
        let keys = set["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn id_token(&self, client: &Client) -> String {
        let code = self.code(client, "openid").await;
        self.redeem(client, &code).await.unwrap().id_token.unwrap()
    }
}

#[tokio::test]
async fn an_access_token_ends_by_itself_before_its_refresh_token() {
    let world = World::new().await;
    let client = world.client(|fields| fields.access_seconds = 60).await;
    let code = world.code(&client, ALL).await;
    let given = world.redeem(&client, &code).await.unwrap();
    world.later(59);
    assert!(world.is_live(&given.access_token).await);
    world.later(1);
    assert!(!world.is_live(&given.access_token).await);
    let fresh = world
        .refresh(&client, &given.refresh_token.unwrap())
        .await
        .unwrap();
    assert!(world.is_live(&fresh.access_token).await);
}

#[tokio::test]
async fn n33_a_lost_pair_that_turns_up_after_a_minute_was_stolen() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    for (wait, stolen) in [(60, false), (61, true)] {
        let code = world.code(&client, ALL).await;
        let first = world.redeem(&client, &code).await.unwrap().refresh_token.unwrap();
        let lost = world
            .refresh(&client, &first)
            .await
            .unwrap()
            .refresh_token
            .unwrap();
        let next = world
            .refresh(&client, &first)
            .await
            .unwrap()
            .refresh_token
            .unwrap();
        world.later(wait);
        assert_eq!(code_of(world.refresh(&client, &lost).await), "invalid_grant");
        let answer = code_of(world.refresh(&client, &next).await);
        assert_eq!(answer == "invalid_grant", stolen, "{wait} s later: {answer}");
    }
}

#[tokio::test]
async fn n32_a_token_from_before_the_last_two_was_stolen_also_if_no_access_token_was_used() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let code = world.code(&client, ALL).await;
    let mut chain = vec![world.redeem(&client, &code).await.unwrap().refresh_token.unwrap()];
    for _ in 0..2 {
        let next = world.refresh(&client, &chain[chain.len() - 1]).await.unwrap();
        chain.push(next.refresh_token.unwrap());
    }
    for token in [&chain[0], &chain[2]] {
        assert_eq!(code_of(world.refresh(&client, token).await), "invalid_grant");
    }
}

#[tokio::test]
async fn keys_are_published_a_day_before_they_sign_and_two_after() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let old = world.id_token(&client).await;
    let first = world.published().await;
    rotate_when_due(&world.ctx).await.unwrap();
    assert_eq!(world.published().await, first, "not due yet");
    world.later(29 * DAY);
    rotate_when_due(&world.ctx).await.unwrap();
    let both = world.published().await;
    assert_eq!(both.len(), 2 * first.len());
    assert!(first.iter().all(|kid| both.contains(kid)));
    assert_eq!(
        kid(&world.id_token(&client).await),
        kid(&old),
        "whoever keeps the set for a while does not know the new key yet"
    );
    rotate_when_due(&world.ctx).await.unwrap();
    assert_eq!(world.published().await.len(), both.len(), "once is enough");
    world.later(DAY);
    let new = kid(&world.id_token(&client).await);
    assert!(both.contains(&new) && !first.contains(&new));
    world.later(2 * DAY - 1);
    rotate_when_due(&world.ctx).await.unwrap();
    assert!(
        world.published().await.contains(&kid(&old)),
        "tokens of before hold"
    );
    world.later(1);
    rotate_when_due(&world.ctx).await.unwrap();
    let left = world.published().await;
    assert_eq!(left.len(), first.len());
    assert!(!first.iter().any(|kid| left.contains(kid)));
}

#[tokio::test]
async fn n19_nobody_is_asked_about_a_client_of_the_house_unless_it_wants_it_and_as_long_as_it_is_one() {
    let world = World::new().await;
    let client = world.client(|fields| fields.auto_grant = true).await;
    let who = Some((&world.session, &world.user));
    let asked = [("scope", ALL), ("prompt", "consent")];
    let pending = world.ask(&client, &asked).await.unwrap();
    let step = next_step(&world.ctx, &client, &pending.request, who, None);
    assert_eq!(step.await.unwrap(), Step::Consent, "it wants the question");
    let pending = world.ask(&client, &asked[..1]).await.unwrap();
    let step = next_step(&world.ctx, &client, &pending.request, who, None);
    let Step::Ready { scopes, projects } = step.await.unwrap() else {
        panic!("a client of the house asked");
    };
    let request = &pending.request;
    let (session, user) = (&world.session, &world.user);
    let reply = super::super::give_code(&world.ctx, &client, request, session, user, scopes, projects)
        .await
        .unwrap();
    let given = world.redeem(&client, &reply.code).await.unwrap();
    let next = world
        .refresh(&client, &given.refresh_token.unwrap())
        .await
        .unwrap();
    // From now on people are asked, and nobody ever allowed it anything.
    let fields = ClientFields {
        auto_grant: false,
        ..client.fields.clone()
    };
    let client = update(&world.ctx, "cli", &client.id, client.revision, fields)
        .await
        .unwrap();
    let answer = world.refresh(&client, &next.refresh_token.unwrap()).await;
    assert_eq!(code_of(answer), "invalid_grant");
    let step = next_step(&world.ctx, &client, request, who, None);
    assert_eq!(step.await.unwrap(), Step::Consent);
}

#[tokio::test]
async fn a_client_that_is_switched_on_again_comes_back_without_its_tokens() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let code = world.code(&client, ALL).await;
    let given = world.redeem(&client, &code).await.unwrap();
    let waiting = world.code(&client, ALL).await;
    for state in [ClientState::Disabled, ClientState::Approved] {
        set_state(&world.ctx, "cli", &client.id, None, state)
            .await
            .unwrap();
        assert!(!world.is_live(&given.access_token).await, "{state:?}");
    }
    let answer = world.refresh(&client, &given.refresh_token.unwrap()).await;
    assert_eq!(code_of(answer), "invalid_grant");
    assert_eq!(code_of(world.redeem(&client, &waiting).await), "invalid_grant");
}
