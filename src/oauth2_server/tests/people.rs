//! What is said about a person, to whom, and who is expected.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;
use crate::access::Role;
use crate::account::NewUser;
use crate::oauth2_server::{SignIn, next_step, userinfo};
use crate::project::{self, NewProject};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

impl World {
    async fn step(
        &self,
        client: &Client,
        more: &[(&str, &str)],
        since: Option<i64>,
    ) -> Result<Step, &'static str> {
        let pending = self.ask(client, more).await.map_err(|error| error.code)?;
        let who = Some((&self.session, &self.user));
        next_step(&self.ctx, client, &pending.request, who, since)
            .await
            .map_err(|refused| said(refused).code)
    }
}

#[tokio::test]
async fn n15_a_hint_at_somebody_else_lets_nobody_pass() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let code = world.code(&client, "openid").await;
    let own = world.redeem(&client, &code).await.unwrap();
    let hint = own.id_token.unwrap();
    assert_eq!(claims(&hint)["acr"], SignIn::SINGLE);
    assert_eq!(claims(&hint)["amr"][0], "pwd");
    let silent = [
        ("scope", "openid"),
        ("prompt", "none"),
        ("id_token_hint", hint.as_str()),
    ];
    assert!(matches!(
        world.step(&client, &silent, None).await,
        Ok(Step::Ready { .. })
    ));
    let other = NewUser {
        email: "bob@example.org".into(),
        ..ada()
    };
    let ctx = &world.ctx;
    let bob = account::create(&ctx.db, &ctx.clock, &other, "cli").await.unwrap();
    let session = account::start(&ctx.db, &ctx.clock, &bob.id, None)
        .await
        .unwrap()
        .session;
    let world = World {
        user: bob,
        session,
        ..world
    };
    assert_eq!(world.step(&client, &silent, None).await, Err("login_required"));
    assert_eq!(
        world.step(&client, &[silent[0], silent[2]], None).await,
        Ok(Step::SignIn)
    );
    let named = format!(
        r#"{{"id_token":{{"sub":{{"value":"{}"}}}}}}"#,
        claims(&hint)["sub"].as_str().unwrap()
    );
    assert_eq!(
        world
            .step(&client, &[silent[0], silent[1], ("claims", &named)], None)
            .await,
        Err("login_required")
    );
    // Another kind of token of ours is no hint.
    let jwt = world
        .client(|fields| fields.token_format = crate::oauth2_server::TokenFormat::Jwt)
        .await;
    let access = world
        .token(
            &jwt,
            &[("grant_type", "client_credentials"), ("scope", "tickets:read")],
        )
        .await;
    let access = access.unwrap().access_token;
    let wrong = [("scope", "openid"), ("id_token_hint", access.expose_secret())];
    assert_eq!(world.step(&client, &wrong, None).await, Err("invalid_request"));
}

#[tokio::test]
async fn single_claims_are_asked_for_like_their_scope_and_given_only_if_they_were_allowed() {
    let world = World::new().await;
    let client = world
        .client(|fields| fields.scopes = words("openid profile email tickets:read"))
        .await;
    let asked =
        r#"{"userinfo":{"name":{"essential":true}},"id_token":{"email":null,"nonsense":null,"groups":null}}"#;
    let request = [("scope", "openid"), ("claims", asked)];
    for (ticked, name, email) in [
        ("openid", false, false),
        ("openid profile", true, false),
        ("openid profile email", true, true),
    ] {
        let pending = world.ask(&client, &request).await.unwrap();
        let mut asked = pending.request.asked_scopes();
        asked.sort();
        assert_eq!(asked, ["email", "openid", "profile"]);
        let Given::Code(code) = world.allow(&pending, ticked, &[]).await.unwrap() else {
            panic!("no device asked");
        };
        let given = world.redeem(&client, &code).await.unwrap();
        assert_eq!(given.scopes, ["openid"], "{ticked}");
        let in_token = claims(given.id_token.as_deref().unwrap());
        assert_eq!(in_token.get("email").is_some(), email, "{ticked}: {in_token}");
        assert!(
            in_token.get("name").is_none() && in_token.get("groups").is_none(),
            "{in_token}"
        );
        let token = crate::oauth2_server::authenticate(&world.ctx, &given.access_token)
            .await
            .unwrap()
            .unwrap();
        let told = userinfo(&world.ctx, &token).await.unwrap();
        assert_eq!(told.get("name").is_some(), name, "{ticked}: {told}");
        assert!(told.get("email").is_none(), "{told}");
    }
    for wrong in ["nonsense", "[]", r#"{"userinfo":"name"}"#] {
        let error = world
            .ask(&client, &[("scope", "openid"), ("claims", wrong)])
            .await
            .unwrap_err();
        assert_eq!(error.code, "invalid_request", "{wrong}");
    }
}

#[tokio::test]
async fn a_class_of_sign_in_that_nobody_meets_is_told_and_not_asked_for_for_ever() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let demand = format!(
        r#"{{"id_token":{{"acr":{{"essential":true,"values":["{}"]}}}}}}"#,
        SignIn::MULTI
    );
    let request = [("scope", "openid"), ("claims", demand.as_str())];
    assert_eq!(world.step(&client, &request, None).await, Ok(Step::SignIn));
    let since = world.session.created_at;
    let unmet = Err("unmet_authentication_requirements");
    assert_eq!(world.step(&client, &request, Some(since)).await, unmet);
    let silent = [request[0], request[1], ("prompt", "none")];
    assert_eq!(world.step(&client, &silent, None).await, unmet);
    let mut strong = World { ..world };
    strong.session.proof.amr = words("pwd otp mfa");
    assert_eq!(strong.step(&client, &request, None).await, Ok(Step::Consent));
}

#[tokio::test]
async fn groups_are_the_projects_of_the_consent_with_the_role_in_each() {
    let world = World::new().await;
    let ctx = &world.ctx;
    let client = world
        .client(|fields| fields.scopes = words("openid groups tickets:read"))
        .await;
    let mut ids = Vec::new();
    for key in ["HELP", "SALES"] {
        let new = NewProject {
            key: key.into(),
            name: key.into(),
            description: String::new(),
        };
        let made = project::create(ctx, new).await.unwrap();
        project::set_member(&ctx.db, &ctx.clock, &made.id, &world.user.id, Role::Agent, "cli")
            .await
            .unwrap();
        ids.push(made.id);
    }
    for (projects, expected) in [
        (vec![], vec!["HELP:agent", "SALES:agent", "site_admin"]),
        (vec![ids[1].clone()], vec!["SALES:agent"]),
    ] {
        let pending = world.ask(&client, &[("scope", "openid groups")]).await.unwrap();
        let Given::Code(code) = world.allow(&pending, "openid groups", &projects).await.unwrap() else {
            panic!("no device asked");
        };
        let given = world.redeem(&client, &code).await.unwrap();
        let told = claims(given.id_token.as_deref().unwrap());
        assert_eq!(told["groups"], serde_json::json!(expected), "{told}");
    }
}
