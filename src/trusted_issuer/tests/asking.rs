//! Tokens that only their issuer can read: what it is asked, what its answer is worth, and for how long.

use super::*;
use crate::crypto::new_prefixed;
use crate::grant::testkit::{FakeProvider, Reply};

const SAYS_NO: Refusal = Refusal::Token("the issuer says that the token is not active");

impl World {
    /// Trusts an issuer that is asked about every token that is no JWT.
    async fn trust_by_asking(&self, provider: &FakeProvider) -> TrustedIssuer {
        self.trust(|fields| {
            fields.uses = Some(vec![Use::Api]);
            fields.audiences = Some(vec![self.here()]);
            fields.key_source = Some(KeySource::Introspection);
            fields.introspection_endpoint = Some(format!("{}/introspect", provider.url));
            fields.introspection_client_id = Some("mailgrant".into());
            fields.secret = Some(SecretString::from("asks"));
            fields.cache_seconds = Some(300);
        })
        .await
    }

    /// What an issuer answers of a good token, with some of it said otherwise.
    fn answer(&self, issuer: &TrustedIssuer, changes: Value) -> Reply {
        let mut claims = self.claims(issuer, json!({ "active": true }));
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        Reply::json(200, &claims.to_string())
    }

    fn later(&self, seconds: i64) {
        self.ctx.clock.advance(chrono::Duration::seconds(seconds));
    }
}

#[tokio::test]
async fn a_token_that_its_issuer_does_not_call_active_opens_nothing_whatever_else_is_said_of_it() {
    let world = World::new().await;
    let provider = FakeProvider::start().await;
    let issuer = world.trust_by_asking(&provider).await;
    provider.then(world.answer(&issuer, json!({ "active": false })));
    for _ in 0..3 {
        assert_eq!(world.at_api("theirs-1").await, Err(SAYS_NO));
    }
    assert_eq!(provider.calls().len(), 1, "remembered for a moment");
    world.later(31);
    provider.then(world.answer(&issuer, json!({})));
    assert_eq!(world.at_api("theirs-1").await, Ok(world.bob.id.clone()));
    for active in [json!("true"), json!(1), json!(null)] {
        provider.then(world.answer(&issuer, json!({ "active": active })));
        assert_eq!(
            world.at_api("theirs-2").await,
            Err(Refusal::Unavailable),
            "{active}"
        );
    }
}

#[tokio::test]
async fn what_an_issuer_said_of_a_token_is_not_believed_beyond_the_end_of_it() {
    let world = World::new().await;
    let provider = FakeProvider::start().await;
    let issuer = world.trust_by_asking(&provider).await;
    let end = world.ctx.clock.now_ms() / 1000 + 20;
    provider.then(world.answer(&issuer, json!({ "exp": end })));
    for _ in 0..2 {
        assert_eq!(world.at_api("theirs").await, Ok(world.bob.id.clone()));
        world.later(10);
    }
    assert_eq!(provider.calls().len(), 1, "remembered until its end");
    provider.then(world.answer(&issuer, json!({ "active": false })));
    assert_eq!(world.at_api("theirs").await, Err(SAYS_NO));
    assert_eq!(provider.calls().len(), 2);
}

#[tokio::test]
async fn a_token_of_our_own_is_shown_to_no_issuer() {
    let world = World::new().await;
    let provider = FakeProvider::start().await;
    let issuer = world.trust_by_asking(&provider).await;
    for ours in ["mg_pat_", "mg_at_", "mg_"] {
        let token = new_prefixed(ours);
        let who = world.at_api(token.expose_secret()).await;
        assert_eq!(who, Ok(String::new()), "{ours}");
    }
    assert!(provider.calls().is_empty(), "{:?}", provider.calls());
    provider.then(world.answer(&issuer, json!({})));
    assert_eq!(world.at_api("theirs").await, Ok(world.bob.id.clone()));
    assert_eq!(provider.calls().len(), 1);
}

#[tokio::test]
async fn a_token_whose_issuer_names_no_end_has_one_here_all_the_same() {
    let world = World::new().await;
    let provider = FakeProvider::start().await;
    let issuer = world.trust_by_asking(&provider).await;
    let now = world.ctx.clock.now_ms() / 1000;
    let agreed = now + issuer.max_life_seconds;
    for (token, said, end) in [("endless", None, agreed), ("short", Some(now + 20), now + 20)] {
        let mut claims = world.claims(&issuer, json!({ "active": true, "exp": said }));
        if said.is_none() {
            claims.as_object_mut().unwrap().remove("exp");
        }
        provider.then(Reply::json(200, &claims.to_string()));
        let found = authenticate(&world.ctx, &SecretString::from(token), &world.here()).await;
        let found = found.unwrap().expect("an issuer that could have made it");
        assert_eq!(found.expires_at, (end + check::SKEW) * 1000, "{token}");
    }
}
