//! What changes while something is under way: clients, sessions, what was allowed; and requests that are out of proportion.

use serde_json::json;

use super::*;
use crate::crypto::{SigningAlg, new_signing_key, public_jwk, sign_jwt};
use crate::net::Dialer;
use crate::oauth2_server::store::{self, registrations};
use crate::oauth2_server::{
    self, ApplicationType, ClientState, Credentials, DeviceFrom, TokenFormat, check_sign_out, give_code,
    push, put_aside, revoke_all, set_state, take, update,
};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl World {
    /// Puts a request aside and leaves it there.
    pub(super) async fn waiting(&self, client: &Client, scopes: &str) -> String {
        let params = [
            ("response_type", "code"),
            ("client_id", client.client_id.as_str()),
            ("redirect_uri", CALLBACK),
            ("scope", scopes),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (client, request) = oauth2_server::check(&self.ctx, &params).await.unwrap();
        put_aside(&self.ctx, &client, request, BROWSER).await.unwrap()
    }

    /// A device that somebody allowed and that did not fetch its tokens yet.
    async fn allowed_device(&self, client: &Client) -> SecretString {
        let from = DeviceFrom {
            address: "203.0.113.9",
            agent: "tv",
        };
        let asked = form(&[("scope", "openid tickets:read")]);
        let begun = oauth2_server::begin_device(&self.ctx, client, &asked, from)
            .await
            .unwrap();
        let id = oauth2_server::open_device(&self.ctx, &begun.user_code, BROWSER)
            .await
            .unwrap()
            .unwrap();
        let pending = take(&self.ctx, &id, BROWSER).await.unwrap();
        self.allow(&pending, "openid tickets:read", &[]).await.unwrap();
        begun.device_code
    }

    async fn change(&self, client: &Client, change: impl FnOnce(&mut ClientFields)) -> Client {
        let client = oauth2_server::get(&self.ctx, &client.id).await.unwrap();
        let mut fields = client.fields.clone();
        change(&mut fields);
        update(&self.ctx, "cli", &client.id, client.revision, fields)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn what_is_taken_from_a_client_is_taken_from_what_is_under_way() {
    let world = World::new().await;
    let scopes = "openid tickets:read tickets:write";
    for way in ["narrowed", "moved", "switched off and on", "revoked"] {
        let client = world.client(|_| {}).await;
        let waiting = world.waiting(&client, scopes).await;
        let code = world.code(&client, scopes).await;
        let device = world.allowed_device(&client).await;
        let fields = form(&[
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", scopes),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let pushed = push(&world.ctx, &client, &fields, None).await.unwrap();
        match way {
            "narrowed" => {
                let less = words("openid profile offline_access tickets:read projects:read");
                world.change(&client, |fields| fields.scopes = less).await;
            }
            "moved" => {
                let elsewhere = vec!["https://other.example/cb".to_owned()];
                world
                    .change(&client, |fields| fields.redirect_uris = elsewhere)
                    .await;
            }
            "revoked" => revoke_all(&world.ctx, "cli", &client.id, None).await.unwrap(),
            _ => {
                for state in [ClientState::Disabled, ClientState::Approved] {
                    set_state(&world.ctx, "cli", &client.id, None, state)
                        .await
                        .unwrap();
                }
            }
        }
        let client = oauth2_server::get(&world.ctx, &client.id).await.unwrap();
        assert!(
            take(&world.ctx, &waiting, BROWSER).await.is_err(),
            "{way}: a request"
        );
        assert_eq!(
            code_of(world.redeem(&client, &code).await),
            "invalid_grant",
            "{way}"
        );
        let fetch = [("grant_type", DEVICE), ("device_code", device.expose_secret())];
        assert_eq!(
            code_of(world.token(&client, &fetch).await),
            "access_denied",
            "{way}"
        );
        let params = [
            ("client_id".to_owned(), client.client_id.clone()),
            ("request_uri".to_owned(), pushed.request_uri),
        ];
        assert!(
            oauth2_server::check(&world.ctx, &params).await.is_err(),
            "{way}: a pushed request"
        );
    }
}

#[tokio::test]
async fn a_token_never_has_more_than_its_client_has_now() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let scopes = "openid tickets:read tickets:write";
    // A change that comes between the look at the client and the transaction.
    let code = world.code(&client, scopes).await;
    let mut narrowed = client.clone();
    narrowed.fields.scopes = words("openid tickets:read");
    let issued = world.redeem(&narrowed, &code).await.unwrap();
    assert_eq!(issued.scopes, words("openid tickets:read"));
    let code = world.code(&client, scopes).await;
    let issued = world.redeem(&client, &code).await.unwrap();
    let txn = world.ctx.db.begin().await.unwrap();
    store::update_client(&txn, &narrowed, client.revision)
        .await
        .unwrap();
    txn.commit().await.unwrap();
    let found = oauth2_server::authenticate(&world.ctx, &issued.access_token)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.scopes, words("openid tickets:read"));
    // And a request that waits for its person is looked at again.
    let client = world
        .change(&client, |fields| fields.scopes = words(scopes))
        .await;
    let waiting = world.waiting(&client, scopes).await;
    let txn = world.ctx.db.begin().await.unwrap();
    let mut moved = client.clone();
    moved.fields.redirect_uris = vec!["https://other.example/cb".into()];
    store::update_client(&txn, &moved, client.revision).await.unwrap();
    txn.commit().await.unwrap();
    assert!(take(&world.ctx, &waiting, BROWSER).await.is_err());
}

#[tokio::test]
async fn who_was_signed_out_meanwhile_gives_nothing() {
    let world = World::new().await;
    let client = world.client(|fields| fields.auto_grant = true).await;
    let asking = world.client(|_| {}).await;
    let device = world.client(|_| {}).await;
    let scopes = "openid tickets:read";
    let silent = world.ask(&client, &[("scope", scopes)]).await.unwrap();
    let asked = world.ask(&asking, &[("scope", scopes)]).await.unwrap();
    let from = DeviceFrom {
        address: "203.0.113.9",
        agent: "tv",
    };
    let begun = oauth2_server::begin_device(&world.ctx, &device, &form(&[("scope", scopes)]), from)
        .await
        .unwrap();
    let id = oauth2_server::open_device(&world.ctx, &begun.user_code, BROWSER)
        .await
        .unwrap()
        .unwrap();
    let on_device = take(&world.ctx, &id, BROWSER).await.unwrap();
    // A new password: every session ends, and everything that was given.
    account::end_all(world.ctx.db.write(), &world.user.id)
        .await
        .unwrap();
    let given = give_code(
        &world.ctx,
        &client,
        &silent.request,
        &world.session,
        &world.user,
        words(scopes),
        Vec::new(),
    );
    assert!(given.await.is_err(), "no code without a question");
    for pending in [&asked, &on_device] {
        let allowed = world.allow(pending, scopes, &[]).await;
        assert_eq!(allowed.err().map(|error| error.code), Some("access_denied"));
    }
    let fetch = [
        ("grant_type", DEVICE),
        ("device_code", begun.device_code.expose_secret()),
    ];
    assert_eq!(
        code_of(world.token(&device, &fetch).await),
        "authorization_pending"
    );
}

#[tokio::test]
async fn a_request_that_is_out_of_proportion_is_refused() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let (fits, long) = ("x".repeat(2_048), "x".repeat(2_049));
    for name in ["state", "nonce"] {
        let ask = async |value: &str| world.ask(&client, &[("scope", "openid"), (name, value)]).await;
        assert!(ask(&fits).await.is_ok(), "{name}");
        assert_eq!(
            ask(&long).await.err().map(|error| error.code),
            Some("invalid_request")
        );
    }
    let claims = json!({ "id_token": { "sub": { "value": "x".repeat(8_192) } } }).to_string();
    let kept = world
        .ask(&client, &[("scope", "openid"), ("claims", &claims)])
        .await;
    assert_eq!(kept.err().map(|error| error.code), Some("invalid_request"));
    let fields = form(&[
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("claims", &claims),
    ]);
    let pushed = push(&world.ctx, &client, &fields, None).await;
    assert_eq!(pushed.err().map(|error| error.code), Some("invalid_request"));
    // As many parameters as a body holds are looked through once, not once for each.
    let many = (0..200_000).map(|n| (n.to_string(), String::new())).collect();
    assert!(Fields::new(many).is_ok());
}

#[tokio::test]
async fn n57_only_an_id_token_is_a_hint_for_signing_out() {
    let world = World::new().await;
    let client = world
        .client(|fields| fields.token_format = TokenFormat::Jwt)
        .await;
    let code = world.code(&client, "openid tickets:read").await;
    let issued = world.redeem(&client, &code).await.unwrap();
    let hint = async |token: &str| {
        let params = [("id_token_hint".to_owned(), token.to_owned())];
        check_sign_out(&world.ctx, &params, Some(&world.session)).await
    };
    assert!(!hint(&issued.id_token.unwrap()).await.unwrap().must_ask);
    let of_access = hint(issued.access_token.expose_secret()).await;
    assert_eq!(of_access.err().map(|error| error.code), Some("invalid_request"));
}

#[tokio::test]
async fn n56_an_id_token_is_a_hint_after_its_end_and_names_its_client_after_its_key() {
    let world = World::new().await;
    let bye = "https://app.example/bye";
    let client = world
        .client(|fields| fields.protocol.post_logout_redirect_uris = vec![bye.into()])
        .await;
    let code = world.code(&client, "openid").await;
    let id_token = world.redeem(&client, &code).await.unwrap().id_token.unwrap();
    let hint = async |token: &str| {
        let params = [("id_token_hint", token), ("post_logout_redirect_uri", bye)];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let here = check_sign_out(&world.ctx, &params, Some(&world.session)).await;
        let nobody = check_sign_out(&world.ctx, &params, None).await;
        let (here, nobody) = (here?, nobody?);
        assert_eq!(here.then.as_deref(), Some(bye));
        assert_eq!(here.client.as_deref(), Some(client.id.as_str()));
        assert_eq!(here.must_ask, nobody.must_ask);
        Ok::<bool, OAuthError>(here.must_ask)
    };
    let (signed, signature) = id_token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    world.later(11 * 60);
    assert!(!hint(&id_token).await.unwrap(), "it ended a minute ago");
    assert_eq!(hint(&forged).await.unwrap_err().code, "invalid_request");
    // Somebody else may have had the key: the person is asked.
    oauth2_server::rotate_now(&world.ctx, "cli", true).await.unwrap();
    assert!(hint(&id_token).await.unwrap(), "its key is published no more");
    assert_eq!(hint(&forged).await.unwrap_err().code, "invalid_request");
    for (days, is_known) in [(399, true), (2, false)] {
        world.later(days * 86_400);
        oauth2_server::rotate_when_due(&world.ctx).await.unwrap();
        let text = "SELECT kid FROM oauth2_signing_keys WHERE published_until < $1 AND private_sealed <> ''";
        let db = world.ctx.db.read();
        let left = crate::db::sql(db, text, [world.ctx.clock.now_ms().into()]);
        let left = sea_orm::ConnectionTrait::query_one_raw(db, left).await.unwrap();
        assert!(left.is_none(), "its private half is forgotten at once");
        let asked = hint(&id_token).await.map_err(|error| error.code);
        let expected = is_known.then_some(true).ok_or("invalid_request");
        assert_eq!(asked, expected, "{days} days more");
    }
    // One of another server, by whatever key, is none at all.
    let pem = new_signing_key(SigningAlg::EdDsa).unwrap();
    let claims = json!({ "iss": "https://evil.example", "sub": world.user.id, "aud": client.client_id });
    let foreign = sign_jwt(SigningAlg::EdDsa, "k", "JWT", &pem, &claims).unwrap();
    assert_eq!(hint(&foreign).await.unwrap_err().code, "invalid_request");
}

#[tokio::test]
async fn an_id_token_that_opens_the_api_ends_with_the_access_token_beside_it() {
    let world = World::new().await;
    let client = world
        .client(|fields| fields.legacy = vec![oauth2_server::Legacy::IdTokenAtApi])
        .await;
    for scopes in ["openid tickets:read", "openid tickets:read offline_access"] {
        let mut given = Vec::new();
        for _ in 0..2 {
            let code = world.code(&client, scopes).await;
            let issued = world.redeem(&client, &code).await.unwrap();
            given.push((issued.access_token, SecretString::from(issued.id_token.unwrap())));
        }
        let opens = async |at: usize| {
            let found = oauth2_server::authenticate_id_token(&world.ctx, &given[at].1).await;
            found.unwrap().is_some()
        };
        assert!(opens(0).await && opens(1).await, "{scopes}");
        let revoked = form(&[("token", given[0].0.expose_secret())]);
        oauth2_server::revoke(&world.ctx, &client, &revoked)
            .await
            .unwrap();
        assert!(!opens(0).await, "{scopes}");
        assert!(opens(1).await, "of another sign-in: {scopes}");
        // Nor for another audience, whoever signed it (N48).
        let moved = "UPDATE oauth2_families SET audience = 'https://other.example'";
        sea_orm::ConnectionTrait::execute_unprepared(world.ctx.db.write(), moved)
            .await
            .unwrap();
        assert!(!opens(1).await, "{scopes}");
    }
}

#[tokio::test]
async fn the_id_of_a_client_that_was_removed_never_names_another_one() {
    let world = World::new().await;
    let fields = world.client(|_| {}).await.fields;
    let create = async |client_id: &str| {
        let new = NewClient {
            client_id: client_id.into(),
            fields: fields.clone(),
            ..NewClient::default()
        };
        oauth2_server::create(&world.ctx, "cli", new).await
    };
    let first = create("desk-app").await.unwrap().client;
    oauth2_server::delete(&world.ctx, "cli", &first.id, None)
        .await
        .unwrap();
    let again = create("desk-app").await.unwrap_err();
    assert!(again.to_string().contains("its id never comes back"), "{again}");
    assert!(
        oauth2_server::by_client_id(&world.ctx, "desk-app")
            .await
            .unwrap()
            .is_none()
    );
    create("desk-app-2").await.unwrap();
}

#[tokio::test]
async fn addresses_of_clients_are_no_way_into_the_networks_of_mail_servers() {
    let mut world = World::new().await;
    let pem = new_signing_key(SigningAlg::EdDsa).unwrap();
    let set = json!({ "keys": [public_jwk(SigningAlg::EdDsa, "one", &pem).unwrap()] }).to_string();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/keys", listener.local_addr().unwrap());
    let serving = tokio::spawn(super::time::serve(listener, vec![set]));
    let client = world
        .client(|fields| {
            fields.auth_method = ClientAuth::PrivateKeyJwt;
            fields.application_type = ApplicationType::Web;
            fields.protocol.jwks_uri = uri;
        })
        .await;
    let is_known = async |world: &World| {
        let now = world.ctx.clock.now_ms() / 1000;
        let id = &client.client_id;
        let claims = json!({
            "iss": id, "sub": id, "aud": super::super::metadata::issuer(&world.ctx.config), "exp": now + 60,
            "jti": crate::crypto::random_token(9),
        });
        let assertion = sign_jwt(SigningAlg::EdDsa, "one", "JWT", &pem, &claims).unwrap();
        let credentials = Credentials {
            assertion_type: Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer".into()),
            assertion: Some(SecretString::from(assertion)),
            ..Credentials::default()
        };
        oauth2_server::authenticate_client(&world.ctx, &credentials, None)
            .await
            .is_ok()
    };
    assert!(
        !is_known(&world).await,
        "mail servers may be on this machine, clients not"
    );
    // Who registered it themselves is told nothing of what the operator opened to others.
    world.ctx.webhook_dialer = Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap();
    let registration = registrations::Registration {
        client: client.id.clone(),
        token_hash: "a hash".into(),
        initial_token: String::new(),
        scope_limit: Vec::new(),
        approves: false,
        created_at: world.ctx.clock.now_ms(),
    };
    registrations::insert(world.ctx.db.write(), &registration)
        .await
        .unwrap();
    world.later(61);
    assert!(!is_known(&world).await, "it registered itself");
    let gone = "DELETE FROM oauth2_registrations";
    sea_orm::ConnectionTrait::execute_unprepared(world.ctx.db.write(), gone)
        .await
        .unwrap();
    world.later(61);
    assert!(
        is_known(&world).await,
        "what the operator opened to clients that people made"
    );
    serving.await.unwrap();
}

#[tokio::test]
async fn what_was_given_without_a_question_is_shown_to_its_person_and_ended_by_them() {
    let world = World::new().await;
    let of_house = world.client(|fields| fields.auto_grant = true).await;
    let asking = world.client(|_| {}).await;
    let ask = world.ask(&of_house, &[("scope", "tickets:read")]).await.unwrap();
    let give = async |scopes: &str, projects: &[&str]| {
        let request = AuthorizeRequest {
            scopes: words(scopes),
            ..ask.request.clone()
        };
        let code = give_code(
            &world.ctx,
            &of_house,
            &request,
            &world.session,
            &world.user,
            words(scopes),
            projects.iter().map(|id| (*id).to_owned()).collect(),
        );
        world.redeem(&of_house, &code.await.unwrap().code).await.unwrap()
    };
    let first = give("tickets:read", &["prj_1"]).await;
    let second = give("tickets:write tickets:read", &["prj_2", "prj_1"]).await;
    let code = world.code(&asking, "openid tickets:read").await;
    world.redeem(&asking, &code).await.unwrap();
    let apps = async || {
        let apps = oauth2_server::connected_apps(&world.ctx, &world.user.id)
            .await
            .unwrap();
        let short = |app: oauth2_server::ConnectedApp| {
            (
                app.client.id,
                app.was_asked,
                app.allowed.scopes,
                app.allowed.projects,
            )
        };
        apps.into_iter().map(short).collect::<Vec<_>>()
    };
    let allowed = (asking.id.clone(), true, words("openid tickets:read"), Vec::new());
    let unasked = (
        of_house.id.clone(),
        false,
        words("tickets:read tickets:write"),
        words("prj_1 prj_2"),
    );
    assert_eq!(apps().await, [allowed.clone(), unasked]);
    let end = async || oauth2_server::disconnect(&world.ctx, &world.user.id, &of_house.id).await;
    assert!(end().await.unwrap());
    assert_eq!(apps().await, [allowed]);
    assert!(!world.is_live(&first.access_token).await && !world.is_live(&second.access_token).await);
    assert!(!end().await.unwrap(), "nothing is left to end");
}

#[tokio::test]
async fn a_consent_that_is_made_shorter_ends_what_was_given_before_with_it() {
    let world = World::new().await;
    let client = world.client(|fields| fields.access_seconds = 7_200).await;
    let scopes = "openid offline_access tickets:read";
    let code = world.code(&client, scopes).await;
    let given = world.redeem(&client, &code).await.unwrap();
    let pending = world.ask(&client, &[("scope", scopes)]).await.unwrap();
    let allowed = oauth2_server::Allowed {
        scopes: words(scopes),
        projects: Vec::new(),
        seconds: Some(3_600),
    };
    oauth2_server::allow(&world.ctx, &pending, &world.session, &world.user, allowed)
        .await
        .unwrap();
    let refresh = given.refresh_token.unwrap();
    let introspect = async || {
        let fields = form(&[("token", refresh.expose_secret())]);
        let answer = oauth2_server::introspect(&world.ctx, &client, &fields, None)
            .await
            .unwrap();
        answer["active"] == true
    };
    assert!(world.is_live(&given.access_token).await && introspect().await);
    world.later(3_601);
    assert!(!world.is_live(&given.access_token).await && !introspect().await);
}

#[tokio::test]
async fn an_address_is_verified_once_its_person_followed_a_link_that_was_mailed_there() {
    let world = World::new().await;
    let client = world.client(|fields| fields.scopes = words("openid email")).await;
    let ctx = &world.ctx;
    let verified = async || {
        let session = account::start(&ctx.db, &ctx.clock, &world.user.id, None)
            .await
            .unwrap();
        let allowed = oauth2_server::Allowed {
            scopes: words("openid email"),
            projects: Vec::new(),
            seconds: None,
        };
        let pending = world.ask(&client, &[("scope", "openid email")]).await.unwrap();
        let given = oauth2_server::allow(ctx, &pending, &session.session, &world.user, allowed).await;
        let Given::Reply(reply) = given.unwrap() else {
            panic!("no device asked");
        };
        let issued = world.redeem(&client, &reply.code).await.unwrap();
        let token = oauth2_server::authenticate(ctx, &issued.access_token)
            .await
            .unwrap()
            .unwrap();
        world.told(&token).await["email_verified"] == true
    };
    let follow = async |is_mailed: bool| {
        let txn = ctx.db.begin().await.unwrap();
        let kind = account::LinkKind::Reset;
        let url = account::password_link(&txn, ctx, &world.user.id, kind, "cli")
            .await
            .unwrap();
        if is_mailed {
            account::note_mailed(&txn, &url, &world.user.email).await.unwrap();
        }
        let token = SecretString::from(url.expose_secret().rsplit_once("token=").unwrap().1);
        account::take_link(&txn, ctx, &token, kind).await.unwrap();
        txn.commit().await.unwrap();
    };
    assert!(!verified().await, "somebody typed it");
    follow(false).await;
    assert!(!verified().await, "an admin was shown the link");
    follow(true).await;
    assert!(verified().await);
    let txn = ctx.db.begin().await.unwrap();
    let other = account::PersonChange {
        email: Some("other@example.org".into()),
        ..account::PersonChange::default()
    };
    account::change(&txn, &ctx.clock, &world.user.id, None, &other, "cli")
        .await
        .unwrap();
    txn.commit().await.unwrap();
    assert!(!verified().await, "that was another address");
}

#[tokio::test]
async fn several_resources_are_good_if_each_of_them_is() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let api = super::super::metadata::api(&world.ctx.config);
    let ours = [
        ("scope", "openid"),
        ("resource", api.as_str()),
        ("resource", api.as_str()),
    ];
    assert!(world.ask(&client, &ours).await.is_ok());
    let foreign = [ours[0], ours[1], ("resource", "https://other.example")];
    let refused = world.ask(&client, &foreign).await;
    assert_eq!(refused.err().map(|error| error.code), Some("invalid_target"));
    let token = async |resources: [(&'static str, &str); 2]| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", "tickets:read"),
            resources[0],
            resources[1],
        ];
        code_of(world.token(&client, &fields).await)
    };
    assert_eq!(token([ours[1], ours[2]]).await, "given");
    assert_eq!(token([foreign[1], foreign[2]]).await, "invalid_target");
}
