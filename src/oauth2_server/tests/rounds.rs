//! What many want in the same moment.

use std::collections::HashSet;

use super::*;
use crate::oauth2_server::{Credentials, authenticate_client, introspect, revoke, rotate_secret, version};

#[tokio::test(flavor = "multi_thread")]
async fn forty_tokens_asked_for_at_once_are_forty_each_with_its_own_end() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let fields = [("grant_type", "client_credentials"), ("scope", "tickets:read")];
    let issued = futures_util::future::join_all((0..40).map(|_| world.token(&client, &fields))).await;
    let tokens: Vec<SecretString> = issued.into_iter().map(|one| one.unwrap().access_token).collect();
    let different: HashSet<&str> = tokens.iter().map(|token| token.expose_secret()).collect();
    assert_eq!(different.len(), 40);

    let gone = form(&[("token", tokens[7].expose_secret())]);
    revoke(&world.ctx, &client, &gone).await.unwrap();
    let unknown = crate::crypto::new_prefixed("mg_at_");
    let asked: Vec<Fields> = tokens
        .iter()
        .chain([&unknown])
        .map(|token| form(&[("token", token.expose_secret())]))
        .collect();
    let told =
        futures_util::future::join_all(asked.iter().map(|one| introspect(&world.ctx, &client, one, None)))
            .await;
    for (n, answer) in told.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["active"], n != 7 && n != 40, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_together_are_told_apart_and_none_gets_in_with_the_secret_of_another() {
    let world = World::new().await;
    let mut known = Vec::new();
    for _ in 0..5 {
        let client = world.client(|_| {}).await;
        let secret = rotate_secret(&world.ctx, "cli", &client.id, None, true)
            .await
            .unwrap();
        known.push((client.client_id, secret));
    }
    let basic = |id: &str, secret: &SecretString| Credentials {
        basic: Some((id.to_owned(), secret.clone())),
        ..Credentials::default()
    };
    let mut asked = Vec::new();
    for (n, (id, _)) in known.iter().enumerate() {
        for (m, (_, secret)) in known.iter().enumerate() {
            asked.push((n == m, id.clone(), basic(id, secret)));
        }
    }
    asked.push((false, String::new(), basic("nobody", &known[0].1)));
    let ctx = &world.ctx;
    let answers = asked
        .iter()
        .map(|(_, _, credentials)| authenticate_client(ctx, credentials, None));
    for (answer, (is_right, id, _)) in futures_util::future::join_all(answers)
        .await
        .into_iter()
        .zip(&asked)
    {
        match answer {
            Ok(client) => assert!(*is_right && client.client_id == *id),
            Err(error) => assert!(!*is_right && error.code == "invalid_client"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_found_again_without_reading_until_somebody_commits_or_its_time_is_over() {
    let world = World::new().await;
    let ctx = &world.ctx;
    let client = world.client(|_| {}).await;
    let secret = rotate_secret(ctx, "cli", &client.id, None, true).await.unwrap();
    let credentials = Credentials {
        basic: Some((client.client_id.clone(), secret)),
        ..Credentials::default()
    };
    let fields = [("grant_type", "client_credentials"), ("scope", "tickets:read")];
    let token = world.token(&client, &fields).await.unwrap().access_token;
    let asked = form(&[("token", token.expose_secret())]);
    let is_active = async |at: &Option<crate::db::Version>| {
        let answer = introspect(ctx, &client, &asked, at.as_ref()).await.unwrap();
        answer["active"] == true
    };
    let gets_in = async |at: &Option<crate::db::Version>| {
        authenticate_client(ctx, &credentials, at.as_ref()).await.is_ok()
    };
    let before = version(ctx).await;
    assert!(before.is_some() && gets_in(&before).await && is_active(&before).await);
    assert_eq!(ctx.rounds.kept(), (1, 1));
    assert_eq!(version(ctx).await, before, "asking changes nothing");

    // By hand, so that nothing of ours could tell the cache: whoever asked before sees what was there then.
    let on = ctx.db.write();
    for text in [
        "UPDATE oauth2_access_tokens SET revoked_at = 1",
        "UPDATE oauth2_client_secrets SET expires_at = 1",
    ] {
        sea_orm::ConnectionTrait::execute_unprepared(on, text)
            .await
            .unwrap();
    }
    assert!(gets_in(&before).await && is_active(&before).await, "it was kept");
    let after = version(ctx).await;
    assert_ne!(after, before);
    assert!(!gets_in(&after).await && !is_active(&after).await);

    for text in [
        "UPDATE oauth2_access_tokens SET revoked_at = NULL",
        "UPDATE oauth2_client_secrets SET expires_at = NULL",
    ] {
        sea_orm::ConnectionTrait::execute_unprepared(on, text)
            .await
            .unwrap();
    }
    let again = version(ctx).await;
    assert!(gets_in(&again).await && is_active(&again).await);
    ctx.clock
        .advance(chrono::Duration::seconds(client.access_seconds + 1));
    assert!(
        !is_active(&again).await,
        "nothing was committed, and yet its time is over"
    );
}
