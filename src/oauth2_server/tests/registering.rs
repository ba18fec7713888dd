//! Clients that registered themselves, and what an admin decides about them afterwards.

use serde_json::{Value, json};

use super::*;
use crate::access::Projects;
use crate::audit::{self, Filter};
use crate::oauth2_server::{
    ClientState, NewInitialToken, create_initial_token, get, list, purge_registrations, register, set_state,
    update, update_registration,
};

const LIMIT: &str = "openid tickets:read tickets:write";

/// A client that registered itself for all that its token allows: what it was told, and its row.
async fn registered(world: &World, approves: bool) -> (Value, Client) {
    let new = NewInitialToken {
        name: "Apps".into(),
        scopes: words(LIMIT),
        approves,
        ..NewInitialToken::default()
    };
    let (_, token) = create_initial_token(&world.ctx, "cli", new).await.unwrap();
    let asked = json!({ "client_name": "Portal", "redirect_uris": [CALLBACK], "scope": LIMIT });
    let told = register(&world.ctx, Some(&token), &asked).await.unwrap();
    let all = list(&world.ctx, None).await.unwrap();
    let client = all
        .into_iter()
        .find(|client| client.client_id == told["client_id"])
        .unwrap();
    (told, client)
}

/// What it says of itself now, with these scopes or none.
async fn put(world: &World, told: &mut Value, scope: Option<&str>) -> Result<Value, OAuthError> {
    let id = told["client_id"].as_str().unwrap().to_owned();
    let token = SecretString::from(told["registration_access_token"].as_str().unwrap());
    let mut sent = json!({ "client_id": id, "client_name": "Portal", "redirect_uris": [CALLBACK] });
    if let Some(scope) = scope {
        sent["scope"] = scope.into();
    }
    let answer = update_registration(&world.ctx, &id, Some(&token), &sent).await?;
    *told = answer.clone();
    Ok(answer)
}

#[tokio::test]
async fn what_an_admin_took_from_a_client_it_does_not_register_again() {
    let world = World::new().await;
    for approves in [true, false] {
        let (mut told, client) = registered(&world, approves).await;
        let less = ClientFields {
            scopes: words("openid tickets:read"),
            ..client.fields.clone()
        };
        update(&world.ctx, "usr_1", &client.id, client.revision, less)
            .await
            .unwrap();
        let again = put(&world, &mut told, Some(LIMIT)).await.unwrap_err();
        assert_eq!(again.code, "invalid_client_metadata", "{again}");
        // Nor by saying nothing of it.
        let silent = put(&world, &mut told, None).await.unwrap();
        assert_eq!(silent["scope"], "openid tickets:read", "{silent}");
        // What it gave away itself it may have back, within the same bounds.
        put(&world, &mut told, Some("openid")).await.unwrap();
        let back = put(&world, &mut told, Some("openid tickets:read")).await.unwrap();
        assert_eq!(back["scope"], "openid tickets:read", "{back}");
        // And what an admin gave back is there again.
        let now = get(&world.ctx, &client.id).await.unwrap();
        let more = ClientFields {
            scopes: words(LIMIT),
            ..now.fields.clone()
        };
        update(&world.ctx, "usr_1", &client.id, now.revision, more)
            .await
            .unwrap();
        let all = put(&world, &mut told, Some(LIMIT)).await.unwrap();
        assert_eq!(all["scope"], LIMIT, "{all}");
    }
}

#[tokio::test]
async fn what_an_admin_wrote_about_a_client_stays_when_it_changes_itself() {
    let world = World::new().await;
    let (mut told, client) = registered(&world, true).await;
    let described = ClientFields {
        description: "Asked for by the warehouse.".into(),
        ..client.fields.clone()
    };
    update(&world.ctx, "usr_1", &client.id, client.revision, described)
        .await
        .unwrap();
    put(&world, &mut told, Some("openid")).await.unwrap();
    let now = get(&world.ctx, &client.id).await.unwrap();
    assert_eq!(now.scopes, ["openid"]);
    assert_eq!(now.description, "Asked for by the warehouse.");
}

/// A server where anybody may register, and the applications that did.
async fn open(many: usize) -> (World, Vec<Client>) {
    let mut world = World::new().await;
    let mut config = (*world.ctx.config).clone();
    config.open_registration = true;
    world.ctx.config = config.into();
    for at in 0..many {
        anybody(&world, at).await.unwrap();
    }
    let all = list(&world.ctx, None).await.unwrap();
    (world, all)
}

async fn anybody(world: &World, at: usize) -> Result<Value, OAuthError> {
    let asked = json!({ "client_name": format!("App {at}"), "redirect_uris": [CALLBACK] });
    register(&world.ctx, None, &asked).await
}

#[tokio::test]
async fn when_five_hundred_wait_nobody_registers_without_a_token() {
    let (world, all) = open(500).await;
    let refused = anybody(&world, 500).await.unwrap_err();
    assert_eq!((refused.status, refused.code), (503, "temporarily_unavailable"));
    // With one they do, and each that was looked at makes room for another.
    registered(&world, false).await;
    set_state(&world.ctx, "usr_1", &all[0].id, None, ClientState::Approved)
        .await
        .unwrap();
    anybody(&world, 500).await.unwrap();
    assert!(anybody(&world, 501).await.is_err());
}

#[tokio::test]
async fn who_registered_by_themselves_and_was_not_approved_is_forgotten_after_thirty_days() {
    let (world, all) = open(3).await;
    let (_, with_token) = registered(&world, false).await;
    for (client, state) in [(&all[0], ClientState::Approved), (&all[1], ClientState::Disabled)] {
        set_state(&world.ctx, "usr_1", &client.id, None, state)
            .await
            .unwrap();
    }
    let left = async || {
        purge_registrations(&world.ctx).await.unwrap();
        let all = list(&world.ctx, None).await.unwrap();
        all.into_iter().map(|client| client.id).collect::<Vec<_>>()
    };
    world.later(30 * 86_400);
    assert_eq!(left().await.len(), 4, "not before");
    world.later(1);
    let kept = [&all[0].id, &all[1].id, &with_token.id].map(String::clone);
    assert_eq!(left().await, kept);
    let filter = Filter {
        projects: Projects::All,
        action: Some("client.deleted".into()),
        ..Filter::default()
    };
    let log = audit::list(world.ctx.db.read(), &filter, None, 10).await.unwrap();
    let seen: Vec<_> = log
        .iter()
        .map(|event| (event.actor.as_str(), event.target_id.as_str()))
        .collect();
    assert_eq!(seen, [("system", all[2].id.as_str())]);
}
