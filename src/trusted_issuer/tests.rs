//! Tokens of other issuers without HTTP before them: what counts of them, and whom they speak for.

mod asking;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;
use crate::account::tests::{TestPlace, ada, place};
use crate::account::{self, NewUser, User};
use crate::crypto::{SigningAlg, new_signing_key, public_jwk, random_token, sign_jwt};
use crate::ctx::Ctx;
use crate::oauth2_server::{self, Client, ClientFields, GrantType, NewClient};

/// A server with an application, and people that somebody else knows as well.
pub(crate) struct World {
    pub(crate) ctx: Ctx,
    /// A site admin.
    pub(crate) ada: User,
    /// Nobody in particular.
    pub(crate) bob: User,
    pub(crate) client: Client,
    key: SecretString,
    _place: TestPlace,
}

impl World {
    pub(crate) async fn new() -> Self {
        let place = place().await;
        let ctx = place.ctx.clone();
        let bob = NewUser {
            email: "bob@example.org".into(),
            is_site_admin: false,
            ..ada()
        };
        let ada = account::create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
        let bob = account::create(&ctx.db, &ctx.clock, &bob, "cli").await.unwrap();
        let new = NewClient {
            fields: ClientFields {
                name: "Importer".into(),
                redirect_uris: vec!["https://app.example/cb".into()],
                scopes: vec!["tickets:read".into()],
                ..ClientFields::default()
            },
            ..NewClient::default()
        };
        let client = oauth2_server::create(&ctx, "cli", new).await.unwrap().client;
        Self {
            ctx,
            ada,
            bob,
            client,
            key: new_signing_key(SigningAlg::EdDsa).unwrap(),
            _place: place,
        }
    }

    /// Trusts one more issuer, with a name of its own and a key that was entered.
    pub(crate) async fn trust(&self, change: impl FnOnce(&mut Fields)) -> TrustedIssuer {
        let jwk = public_jwk(SigningAlg::EdDsa, "k", &self.key).unwrap();
        let mut fields = Fields {
            name: Some("Company".into()),
            issuer: Some(format!("https://{}.example", random_token(9))),
            uses: Some(Use::ALL.to_vec()),
            enabled: Some(true),
            jwks: Some(json!({ "keys": [jwk] }).to_string()),
            subject_table: Some([("bob".to_owned(), self.bob.id.clone())].into()),
            scopes: Some(vec!["tickets:read".into(), "tickets:write".into()]),
            clients: Some(vec![self.client.id.clone()]),
            ..Fields::default()
        };
        change(&mut fields);
        create(&self.ctx, "cli", fields).await.unwrap().issuer
    }

    /// Our name for the place that tokens come to.
    fn here(&self) -> String {
        oauth2_server::metadata::api(&self.ctx.config)
    }

    /// What a good token of an issuer says, with some of it said otherwise.
    fn claims(&self, issuer: &TrustedIssuer, changes: Value) -> Value {
        let now = self.ctx.clock.now_ms() / 1000;
        let mut claims = json!({
            "iss": issuer.issuer, "sub": "bob", "aud": self.here(), "iat": now, "exp": now + 300,
            "jti": random_token(9), "scope": "tickets:read tickets:write",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    /// The same as a token.
    pub(crate) fn signed(&self, issuer: &TrustedIssuer, changes: Value) -> String {
        let claims = self.claims(issuer, changes);
        sign_jwt(SigningAlg::EdDsa, "k", "JWT", &self.key, &claims).unwrap()
    }

    /// Whom a token speaks for at the token endpoint.
    async fn asserted(&self, token: &str) -> Result<String, Refusal> {
        let found = assertion(&self.ctx, &self.client.id, token, &[self.here()]).await;
        found.map(|found| found.user.id)
    }

    /// Whom it speaks for at the API; nobody if no issuer could have made it.
    async fn at_api(&self, token: &str) -> Result<String, Refusal> {
        let found = authenticate(&self.ctx, &SecretString::from(token), &self.here()).await?;
        Ok(match found.map(|found| found.who) {
            None => String::new(),
            Some(Who::Person(user)) => user.id,
            Some(Who::Service(id)) => id,
        })
    }

    /// Both, which must agree.
    async fn who(&self, token: &str) -> Result<String, Refusal> {
        let at_api = self.at_api(token).await;
        let asserted = self.asserted(token).await;
        assert_eq!(at_api.is_ok(), asserted.is_ok(), "{at_api:?}, {asserted:?}");
        asserted
    }
}

/// A table of subjects.
fn table(rows: &[(&str, &User)]) -> Option<std::collections::BTreeMap<String, String>> {
    let row = |(subject, user): &(&str, &User)| ((*subject).to_owned(), user.id.clone());
    Some(rows.iter().map(row).collect())
}

const NOBODY: Refusal = Refusal::Token("the subject of the assertion is nobody here");

#[tokio::test]
async fn a_token_under_a_shared_secret_counts_only_as_it_was_signed_with_it() {
    let world = World::new().await;
    let secret = random_token(64);
    let issuer = world
        .trust(|fields| {
            fields.uses = Some(vec![Use::JwtBearer]);
            fields.key_source = Some(KeySource::SharedSecret);
            fields.secret = Some(SecretString::from(secret.clone()));
        })
        .await;
    let sign = |secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let claims = world.claims(&issuer, json!({}));
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &key).unwrap()
    };
    let good = sign(&secret);
    assert_eq!(world.asserted(&good).await, Ok(world.bob.id.clone()));
    let other = sign(&secret);
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let by_public_key = world.signed(&issuer, json!({}));
    for (bad, why) in [
        (
            sign(&random_token(64)),
            "the signature of the token does not hold",
        ),
        (
            format!("{signed}.{signature}"),
            "the signature of the token does not hold",
        ),
        (
            by_public_key,
            "the algorithm of the token is not one that was agreed on",
        ),
    ] {
        assert_eq!(world.asserted(&bad).await, Err(Refusal::Token(why)));
    }
}

#[tokio::test]
async fn of_all_whom_an_issuer_knows_only_those_who_were_agreed_on_count() {
    let world = World::new().await;
    let both = table(&[("bob", &world.bob), ("bob2", &world.bob)]);
    let open = world.trust(|fields| fields.subject_table = both.clone()).await;
    let narrow = world
        .trust(|fields| {
            fields.subject_table = both.clone();
            fields.subjects = Some(vec!["bob2".into()]);
        })
        .await;
    let of = |issuer: &TrustedIssuer, sub: &str| world.signed(issuer, json!({ "sub": sub }));
    for (issuer, subject) in [(&open, "bob"), (&open, "bob2"), (&narrow, "bob2")] {
        assert_eq!(
            world.who(&of(issuer, subject)).await,
            Ok(world.bob.id.clone()),
            "{subject}"
        );
    }
    assert_eq!(
        world.who(&of(&narrow, "bob")).await,
        Err(Refusal::Token(
            "the subject of the token is not one that was agreed on"
        ))
    );
}

#[tokio::test]
async fn an_issuer_counts_only_where_it_was_agreed_on() {
    let world = World::new().await;
    let for_api = world.trust(|fields| fields.uses = Some(vec![Use::Api])).await;
    let token = world.signed(&for_api, json!({}));
    assert_eq!(world.at_api(&token).await, Ok(world.bob.id.clone()));
    assert_eq!(
        world.asserted(&token).await,
        Err(Refusal::Token(
            "no issuer of this name is trusted for this client"
        ))
    );
    let for_assertions = world
        .trust(|fields| fields.uses = Some(vec![Use::JwtBearer]))
        .await;
    let token = world.signed(&for_assertions, json!({}));
    assert_eq!(world.at_api(&token).await, Ok(String::new()));
    assert_eq!(world.asserted(&token).await, Ok(world.bob.id.clone()));
}

#[tokio::test]
async fn an_address_finds_somebody_only_if_its_issuer_says_true_that_it_is_verified() {
    let world = World::new().await;
    let issuer = world
        .trust(|fields| fields.mapping = Some(SubjectMapping::Email))
        .await;
    let of = |more: Value| {
        let mut changes = json!({ "sub": "0815", "email": world.bob.email });
        changes
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.signed(&issuer, changes)
    };
    let verified = of(json!({ "email_verified": true }));
    assert_eq!(world.who(&verified).await, Ok(world.bob.id.clone()));
    for more in [
        json!({}),
        json!({ "email_verified": false }),
        json!({ "email_verified": "true" }),
        json!({ "email_verified": 1 }),
        json!({ "email_verified": null }),
        json!({ "email_verified": [true] }),
    ] {
        assert_eq!(world.who(&of(more.clone())).await, Err(NOBODY), "{more}");
    }
}

#[tokio::test]
async fn a_site_admin_is_reached_by_name_and_never_by_an_address() {
    let world = World::new().await;
    let by_address = world
        .trust(|fields| fields.mapping = Some(SubjectMapping::Email))
        .await;
    let of = |user: &User| json!({ "sub": "ada", "email": user.email, "email_verified": true });
    let bob = world.signed(&by_address, of(&world.bob));
    assert_eq!(world.who(&bob).await, Ok(world.bob.id.clone()));
    let ada = world.signed(&by_address, of(&world.ada));
    assert_eq!(world.who(&ada).await, Err(NOBODY));
    let rows = table(&[("ada", &world.ada)]);
    let by_name = world.trust(|fields| fields.subject_table = rows).await;
    let ada = world.signed(&by_name, of(&world.ada));
    assert_eq!(world.who(&ada).await, Ok(world.ada.id.clone()));
}

#[tokio::test]
async fn who_may_not_sign_in_comes_in_by_no_issuer() {
    let world = World::new().await;
    let by_name = world.trust(|_| ()).await;
    let by_address = world
        .trust(|fields| fields.mapping = Some(SubjectMapping::Email))
        .await;
    let ctx = &world.ctx;
    let of = |issuer: &TrustedIssuer| {
        let address = json!({ "email": world.bob.email, "email_verified": true });
        world.signed(issuer, address)
    };
    for issuer in [&by_name, &by_address] {
        assert_eq!(world.who(&of(issuer)).await, Ok(world.bob.id.clone()));
    }
    let txn = ctx.db.begin().await.unwrap();
    account::disable(&txn, &ctx.clock, &world.bob.id, "cli")
        .await
        .unwrap();
    txn.commit().await.unwrap();
    for issuer in [&by_name, &by_address] {
        let mapping = issuer.mapping;
        assert_eq!(world.who(&of(issuer)).await, Err(NOBODY), "{mapping:?}");
    }
    account::enable(&ctx.db, &ctx.clock, &world.bob.id, "cli")
        .await
        .unwrap();
    assert_eq!(world.who(&of(&by_name)).await, Ok(world.bob.id.clone()));
}

#[tokio::test]
async fn an_issuer_that_was_changed_or_removed_is_not_the_one_that_was_read() {
    let world = World::new().await;
    let read = world.trust(|_| ()).await;
    let is_unchanged = async || {
        let txn = world.ctx.db.begin().await.unwrap();
        is_unchanged(&txn, &read).await.unwrap()
    };
    assert!(is_unchanged().await);
    let fields = Fields {
        scopes: Some(vec!["tickets:read".into()]),
        ..Fields::default()
    };
    let changed = update(&world.ctx, "cli", &read.id, read.revision, fields)
        .await
        .unwrap();
    assert!(!is_unchanged().await);
    delete(&world.ctx, "cli", &read.id, changed.issuer.revision)
        .await
        .unwrap();
    assert!(!is_unchanged().await);
}

#[tokio::test]
async fn a_refresh_token_comes_only_to_those_who_may_use_it() {
    let world = World::new().await;
    let refresh = GrantType::RefreshToken;
    for grants in [vec![GrantType::JwtBearer], vec![GrantType::JwtBearer, refresh]] {
        let fields = ClientFields {
            name: "Importer".into(),
            scopes: vec!["tickets:read".into()],
            grant_types: grants.clone(),
            ..ClientFields::default()
        };
        let new = NewClient {
            fields,
            ..NewClient::default()
        };
        let client = oauth2_server::create(&world.ctx, "cli", new)
            .await
            .unwrap()
            .client;
        let change = |fields: &mut Fields| {
            fields.clients = Some(vec![client.id.clone()]);
            fields.uses = Some(vec![Use::JwtBearer]);
            fields.allow_incomplete = Some(true);
        };
        let issuer = world.trust(change).await;
        let here = world.ctx.config.url("/oauth2/token");
        let assertion = world.signed(&issuer, json!({ "aud": here }));
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let fields = oauth2_server::Fields::new(fields.to_vec()).unwrap();
        let given = oauth2_server::token(&world.ctx, &client, &fields, None)
            .await
            .unwrap();
        assert_eq!(
            given.refresh_token.is_some(),
            grants.contains(&refresh),
            "{grants:?}"
        );
    }
}

#[tokio::test]
async fn scopes_are_what_the_map_makes_of_theirs_and_never_more_than_was_agreed_on() {
    let world = World::new().await;
    let map = |rows: &[(&str, &str)]| {
        let rows = rows.iter();
        rows.map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned()))
            .collect()
    };
    let both = "tickets:read tickets:write";
    for (claim, rows, said, ours) in [
        (
            "",
            &[][..],
            json!({ "scope": "tickets:read admin" }),
            "tickets:read",
        ),
        (
            "",
            &[],
            json!({ "scope": ["tickets:write", 7, "tickets:read"] }),
            both,
        ),
        ("", &[], json!({ "scope": 7 }), ""),
        ("roles", &[], json!({ "roles": ["tickets:read"] }), "tickets:read"),
        // What it is not read from counts for nothing.
        ("roles", &[], json!({ "roles": null }), ""),
        (
            "roles",
            &[("desk", "tickets:read admin"), ("boss", "tickets:write")],
            json!({ "roles": ["desk", "boss", "tickets:write"] }),
            both,
        ),
        ("", &[("desk", "tickets:read")], json!({ "scope": both }), ""),
        (
            "",
            &[("*", "tickets:read")],
            json!({ "scope": "x" }),
            "tickets:read",
        ),
        (
            "",
            &[("*", "tickets:read")],
            json!({ "scope": null }),
            "tickets:read",
        ),
        (
            "",
            &[("*", "tickets:read"), ("desk", "tickets:write")],
            json!({ "scope": "desk" }),
            both,
        ),
        // Nobody gives themselves what is for everybody, or more.
        ("", &[("desk", "tickets:write")], json!({ "scope": "*" }), ""),
    ] {
        let issuer = world
            .trust(|fields| {
                fields.scope_claim = Some(claim.to_owned());
                fields.scope_map = Some(map(rows));
            })
            .await;
        let token = SecretString::from(world.signed(&issuer, said.clone()));
        let found = authenticate(&world.ctx, &token, &world.here()).await.unwrap();
        let found = found.expect("an issuer that could have made it");
        assert_eq!(found.scopes.join(" "), ours, "{claim} {rows:?} {said}");
    }
}
