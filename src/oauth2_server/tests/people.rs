//! What is said about a person, to whom, and who is expected.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::*;
use crate::access::Role;
use crate::account::NewUser;
use crate::oauth2_server::{Reply, SignIn, next_step};
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
    let named = "UPDATE users SET name = 'Ada'";
    sea_orm::ConnectionTrait::execute_unprepared(world.ctx.db.write(), named)
        .await
        .unwrap();
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
        let Given::Reply(Reply { code, .. }) = world.allow(&pending, ticked, &[]).await.unwrap() else {
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
        let told = world.told(&token).await;
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
        let Given::Reply(Reply { code, .. }) =
            world.allow(&pending, "openid groups", &projects).await.unwrap()
        else {
            panic!("no device asked");
        };
        let given = world.redeem(&client, &code).await.unwrap();
        let told = claims(given.id_token.as_deref().unwrap());
        assert_eq!(told["groups"], serde_json::json!(expected), "{told}");
    }
}

#[tokio::test]
async fn the_application_of_a_project_hears_of_no_other_group() {
    let world = World::new().await;
    let ctx = &world.ctx;
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
    let new = NewClient {
        project_id: ids[0].clone(),
        fields: ClientFields {
            name: "App".into(),
            redirect_uris: vec![CALLBACK.into()],
            scopes: words("openid groups"),
            grant_types: vec![GrantType::AuthorizationCode],
            ..ClientFields::default()
        },
        ..NewClient::default()
    };
    let client = crate::oauth2_server::create(ctx, "cli", new)
        .await
        .unwrap()
        .client;
    let code = world.code(&client, "openid groups").await;
    let given = world.redeem(&client, &code).await.unwrap();
    let told = claims(given.id_token.as_deref().unwrap());
    assert_eq!(told["groups"], serde_json::json!(["HELP:agent"]), "{told}");
}

#[tokio::test]
async fn introspection_names_nobody_who_did_not_allow_their_address() {
    let world = World::new().await;
    let all = "openid profile email tickets:read";
    let client = world.client(|fields| fields.scopes = words(all)).await;
    for (scopes, is_named) in [
        ("openid", false),
        ("openid tickets:read", false),
        ("openid profile", false),
        ("openid email", true),
    ] {
        let code = world.code(&client, scopes).await;
        let given = world.redeem(&client, &code).await.unwrap();
        let asked = form(&[("token", given.access_token.expose_secret())]);
        let answer = crate::oauth2_server::introspect(&world.ctx, &client, &asked, None)
            .await
            .unwrap();
        assert_eq!(answer["active"], true, "{answer}");
        assert_eq!(answer["username"].is_string(), is_named, "{scopes}: {answer}");
        assert_eq!(
            answer.to_string().contains(&world.user.email),
            is_named,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn each_refresh_brings_an_id_token_of_the_same_sign_in_without_its_nonce() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let scopes = "openid profile offline_access";
    let request = [("scope", scopes), ("nonce", "n0nce")];
    let pending = world.ask(&client, &request).await.unwrap();
    let Given::Reply(Reply { code, .. }) = world.allow(&pending, scopes, &[]).await.unwrap() else {
        panic!("no device asked");
    };
    let first = world.redeem(&client, &code).await.unwrap();
    let before = claims(&first.id_token.unwrap());
    assert_eq!(before["nonce"], "n0nce");
    world.later(120);
    let second = world
        .refresh(&client, &first.refresh_token.unwrap())
        .await
        .unwrap();
    let token = second.refresh_token.unwrap();
    let after = claims(second.id_token.as_deref().unwrap());
    for same in ["iss", "sub", "aud", "auth_time", "acr", "amr", "sid", "name"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after.get("nonce").is_none());
    assert_eq!(
        after["iat"].as_i64().unwrap() - before["iat"].as_i64().unwrap(),
        120
    );
    assert_ne!(before["at_hash"], after["at_hash"]);
    // Narrowed, it says less; without openid there is none, and none where nobody signed in.
    let narrow = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.expose_secret()),
        ("scope", "openid"),
    ];
    let narrowed = world.token(&client, &narrow).await.unwrap();
    let said = claims(&narrowed.id_token.unwrap());
    assert!(said.get("name").is_none() && said["sub"] == before["sub"]);
    let token = narrowed.refresh_token.unwrap();
    let silent = [
        narrow[0],
        ("refresh_token", token.expose_secret()),
        ("scope", "profile"),
    ];
    assert!(world.token(&client, &silent).await.unwrap().id_token.is_none());
    let code = world.code(&client, "tickets:read").await;
    let plain = world.redeem(&client, &code).await.unwrap();
    let plain = world
        .refresh(&client, &plain.refresh_token.unwrap())
        .await
        .unwrap();
    assert!(plain.id_token.is_none());
}

#[tokio::test]
async fn phone_and_address_are_said_where_they_were_allowed_and_written() {
    let world = World::new().await;
    let scopes = "openid phone address";
    let client = world.client(|fields| fields.scopes = words(scopes)).await;
    let said = async |allowed: &str| {
        let pending = world.ask(&client, &[("scope", scopes)]).await.unwrap();
        let Given::Reply(Reply { code, .. }) = world.allow(&pending, allowed, &[]).await.unwrap() else {
            panic!("no device asked");
        };
        let given = world.redeem(&client, &code).await.unwrap();
        let used = crate::oauth2_server::authenticate(&world.ctx, &given.access_token).await;
        world.told(&used.unwrap().unwrap()).await
    };
    let nothing = said(scopes).await;
    assert!(
        nothing.get("phone_number").is_none() && nothing.get("address").is_none(),
        "{nothing}"
    );
    let change = async |phone: &str, address: &str| {
        let change = account::PersonChange {
            phone: Some(phone.into()),
            address: Some(address.into()),
            ..account::PersonChange::default()
        };
        let tx = world.ctx.db.begin().await.unwrap();
        let done = account::change(&tx, &world.ctx.clock, &world.user.id, None, &change, "cli").await;
        tx.commit().await.unwrap();
        done.map_err(|error| error.code())
    };
    change(" +49 (30) 123-45.67 ", "Example Street 1\r\n10115 Berlin")
        .await
        .unwrap();
    let all = said(scopes).await;
    assert_eq!(all["phone_number"], "+49 (30) 123-45.67");
    assert_eq!(all["phone_number_verified"], false);
    assert_eq!(
        all["address"],
        serde_json::json!({ "formatted": "Example Street 1\n10115 Berlin" })
    );
    let less = said("openid phone").await;
    assert!(
        less.get("address").is_none() && less["phone_number"].is_string(),
        "{less}"
    );
    for phone in [
        "12",
        "call me",
        "+49\u{660}\u{661}\u{662}",
        &"1".repeat(41),
        "<b>123</b>",
    ] {
        assert_eq!(change(phone, "").await, Err("bad_phone"), "{phone}");
    }
    for address in ["a\u{7}b", &"a".repeat(501)] {
        assert_eq!(change("", address).await, Err("bad_address"));
    }
    change("", "").await.unwrap();
    assert!(said(scopes).await.get("address").is_none());
}

#[tokio::test]
async fn the_class_of_a_sign_in_is_what_it_was_and_a_wished_one_stops_nobody() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let session = |amr: &[&str], provider: &str, acr: &str| Session {
        proof: account::Proof {
            identity_provider_id: provider.into(),
            acr: acr.into(),
            ..account::Proof::of(amr)
        },
        ..world.session.clone()
    };
    let (single, multi, provider) = (SignIn::SINGLE, SignIn::MULTI, SignIn::PROVIDER);
    for (session, acr, met) in [
        (session(&["pwd"], "", ""), single, vec![single]),
        (session(&["link"], "", ""), single, vec![single]),
        (
            session(&["pwd", "otp", "mfa"], "", ""),
            multi,
            vec![single, multi],
        ),
        (session(&[], "idp_1", ""), provider, vec![single, provider]),
        (session(&["mfa"], "idp_1", ""), multi, vec![single, multi]),
        (
            session(&[], "idp_1", "urn:theirs:silver"),
            "urn:theirs:silver",
            vec![single, "urn:theirs:silver"],
        ),
        (session(&["mfa"], "idp_1", "2"), "2", vec![single, multi, "2"]),
        // Nobody names a class for a sign-in here.
        (session(&["pwd"], "", "urn:theirs:silver"), single, vec![single]),
    ] {
        let sign_in = SignIn::of(&session);
        assert_eq!(sign_in.acr(), acr, "{session:?}");
        for asked in [single, multi, provider, "urn:theirs:silver", "2", "0", ""] {
            assert_eq!(sign_in.meets(asked), met.contains(&asked), "{acr} for {asked}");
        }
    }
    // Wished for: a second factor that the person does not have, a class that does not exist.
    let wished = |classes: &'static str| [("scope", "openid"), ("acr_values", classes)];
    let two = "urn:mailgrant:acr:multi-factor";
    for classes in [
        two,
        "1 2",
        "urn:mailgrant:acr:single-factor urn:mailgrant:acr:multi-factor",
    ] {
        assert_eq!(
            world.step(&client, &wished(classes), None).await,
            Ok(Step::Consent),
            "{classes}"
        );
    }
    let text =
        "INSERT INTO totp_secrets (user_id, secret_sealed, confirmed_at, last_step) VALUES ($1, '', 1, 0)";
    let db = world.ctx.db.write();
    sea_orm::ConnectionTrait::execute_raw(db, crate::db::sql(db, text, [world.user.id.clone().into()]))
        .await
        .unwrap();
    // They have one: they are asked for it, once, and where nobody may be asked it goes on without.
    assert_eq!(world.step(&client, &wished(two), None).await, Ok(Step::SignIn));
    let named = r#"{"id_token":{"acr":{"values":["urn:mailgrant:acr:multi-factor"]}}}"#;
    let by_claims = [("scope", "openid"), ("claims", named)];
    assert_eq!(world.step(&client, &by_claims, None).await, Ok(Step::SignIn));
    let since = world.session.created_at;
    assert_eq!(
        world.step(&client, &wished(two), Some(since)).await,
        Ok(Step::Consent)
    );
    let silent = [("scope", "openid"), ("acr_values", two), ("prompt", "none")];
    assert_eq!(world.step(&client, &silent, None).await, Err("consent_required"));
    let either = wished("urn:mailgrant:acr:single-factor urn:mailgrant:acr:multi-factor");
    assert_eq!(world.step(&client, &either, None).await, Ok(Step::Consent));
    // Demanded, what cannot be had is said.
    let demanded = r#"{"id_token":{"acr":{"essential":true,"values":["urn:theirs:gold"]}}}"#;
    let demanded = [("scope", "openid"), ("claims", demanded)];
    assert_eq!(world.step(&client, &demanded, None).await, Ok(Step::SignIn));
    assert_eq!(
        world.step(&client, &demanded, Some(since)).await,
        Err("unmet_authentication_requirements")
    );
}

#[tokio::test]
async fn who_was_let_through_by_a_provider_has_a_new_session_and_no_new_sign_in() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let since = Some(world.session.created_at);
    let wishes = [
        [("scope", "openid"), ("prompt", "login")],
        [("scope", "openid"), ("max_age", "60")],
    ];
    for wish in wishes {
        assert_eq!(
            world.step(&client, &wish, since).await,
            Ok(Step::Consent),
            "{wish:?}"
        );
    }
    let session = Session {
        auth_time: 0,
        ..world.session.clone()
    };
    let world = World { session, ..world };
    for wish in wishes {
        assert_eq!(
            world.step(&client, &wish, since).await,
            Ok(Step::SignIn),
            "{wish:?}"
        );
    }
    assert_eq!(
        SignIn::of(&world.session).seconds(),
        None,
        "and no token says when"
    );
}

#[tokio::test]
async fn the_address_is_told_to_nobody_who_may_know_the_name_alone() {
    let world = World::new().await;
    let client = world
        .client(|fields| fields.scopes = words("openid profile email"))
        .await;
    let email = world.user.email.as_str();
    let single = r#"{"userinfo":{"preferred_username":null}}"#;
    for (asked, single, ticked, told) in [
        ("openid profile", "", "openid profile", false),
        ("openid email", "", "openid email", false),
        ("openid profile email", "", "openid profile email", true),
        // Unticked, what was asked for is not said in other words.
        ("openid profile email", "", "openid profile", false),
        // One by one it is asked for as the address that it is.
        ("openid", single, "openid profile", false),
        ("openid", single, "openid email", true),
    ] {
        let pending = world
            .ask(&client, &[("scope", asked), ("claims", single)])
            .await
            .unwrap();
        let Given::Reply(reply) = world.allow(&pending, ticked, &[]).await.unwrap() else {
            panic!("no device asked");
        };
        let issued = world.redeem(&client, &reply.code).await.unwrap();
        let token = crate::oauth2_server::authenticate(&world.ctx, &issued.access_token).await;
        let said = world.told(&token.unwrap().unwrap()).await;
        let expected = told.then_some(email);
        assert_eq!(
            said["preferred_username"].as_str(),
            expected,
            "{asked} {single} {ticked}: {said}"
        );
        let knows = ticked.contains("email") && asked.contains("email");
        assert!(
            told || knows || !said.to_string().contains(email),
            "{asked} {ticked}: {said}"
        );
    }
}
