//! Clients that registered themselves, and what an admin decides about them afterwards.

use serde_json::{Value, json};

use super::*;
use crate::oauth2_server::{
    NewInitialToken, create_initial_token, get, list, register, update, update_registration,
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
