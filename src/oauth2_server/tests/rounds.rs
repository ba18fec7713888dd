//! What many want in the same moment.

use std::collections::HashSet;

use super::*;
use crate::oauth2_server::{Credentials, authenticate_client, introspect, revoke, rotate_secret};

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
        futures_util::future::join_all(asked.iter().map(|one| introspect(&world.ctx, &client, one))).await;
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
        .map(|(_, _, credentials)| authenticate_client(ctx, credentials));
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
