//! Whose account a person of a provider may join.

use super::*;
use crate::account::{self, NewUser, User};
use crate::sso::model::{Decision, FirstAdmin, Person};
use crate::sso::people;

const BOB: &str = "bob@example.test";

async fn account(ctx: &Ctx, email: &str, is_site_admin: bool) -> User {
    let new = NewUser {
        email: email.into(),
        name: String::new(),
        password: "correct horse battery".into(),
        is_site_admin,
    };
    account::create(&ctx.db, &ctx.clock, &new, "cli").await.unwrap()
}

/// Somebody with Bob's address.
fn bob_of(issuer: &str, email_verified: bool) -> Person {
    Person {
        issuer: issuer.into(),
        subject: "bob".into(),
        claims: serde_json::Map::new(),
        name: "Bob".into(),
        email: Some(BOB.into()),
        email_verified,
        groups: Vec::new(),
        sid: String::new(),
    }
}

async fn come_in(ctx: &Ctx, provider: &IdentityProvider, person: &Person) -> User {
    let tx = ctx.db.begin().await.unwrap();
    let user = people::sign_in(ctx, &tx, provider, person).await.unwrap();
    tx.commit().await.unwrap();
    user.unwrap()
}

/// The account that somebody would join or has already, or why they stay out.
async fn joins(ctx: &Ctx, provider: &IdentityProvider, person: &Person) -> Result<String, String> {
    match people::decide(ctx.db.read(), provider, person).await.unwrap() {
        Decision::Known { user_id } | Decision::Link { user_id, .. } => Ok(user_id),
        Decision::Refuse(trouble) => Err(trouble.code),
        other => panic!("the account is there: {other:?}"),
    }
}

fn refused(code: &str) -> Result<String, String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn an_account_is_joined_by_another_issuer_only_if_its_address_was_proven() {
    for is_proven in [true, false] {
        let place = place().await;
        let ctx = &place.ctx;
        account(ctx, "root@example.test", true).await;
        let mut first = provider(ctx, "first").await;
        first.policy.trust_email = true;
        let user = come_in(ctx, &first, &bob_of("https://first.example", is_proven)).await;
        assert_eq!(user.email, BOB);
        // Whoever claimed the address first may not be its owner, who would find a stranger in the account.
        let second = provider(ctx, "second").await;
        let wanted = if is_proven {
            Ok(user.id)
        } else {
            refused("address_taken")
        };
        let owner = bob_of("https://second.example", true);
        assert_eq!(
            joins(ctx, &second, &owner).await,
            wanted,
            "proven at first: {is_proven}"
        );
    }
}

#[tokio::test]
async fn a_password_is_no_way_in_where_only_providers_let_people_in() {
    let place = place().await;
    let ctx = &place.ctx;
    account(ctx, "root@example.test", true).await;
    let company = crate::sso::tests::enabled(&place).await;
    let user = account(ctx, BOB, true).await;
    come_in(ctx, &company, &bob_of(&company.connection.issuer, true)).await;
    let switch_off = async || {
        let tx = ctx.db.begin().await.unwrap();
        // Not committed: it is asked again.
        account::disable(&tx, &ctx.clock, &user.id, "cli").await
    };
    assert!(switch_off().await.is_ok(), "the other one has a password");
    let input = crate::sso::ProviderInput {
        name: company.name.clone(),
        connection: company.connection.clone(),
        policy: crate::sso::Policy {
            local_sign_in: false,
            ..company.policy.clone()
        },
        client_secret: None,
    };
    crate::sso::update(ctx, "cli", &company.id, company.revision, input)
        .await
        .unwrap();
    assert!(matches!(
        switch_off().await,
        Err(account::AccountError::LastAdmin)
    ));
}

#[tokio::test]
async fn an_account_that_is_switched_off_lets_nobody_in_however_they_are_told() {
    let place = place().await;
    let ctx = &place.ctx;
    account(ctx, "root@example.test", true).await;
    let user = account(ctx, BOB, false).await;
    let mut company = provider(ctx, "company").await;
    company.policy.link_claim = "login".into();
    let by_address = bob_of("https://address.example", true);
    let mut by_claim = bob_of("https://claim.example", false);
    by_claim.email = None;
    by_claim.claims.insert("login".into(), json!(BOB));
    let known = bob_of("https://known.example", true);
    assert_eq!(come_in(ctx, &company, &known).await.id, user.id);
    let all = [("address", by_address), ("claim", by_claim), ("identity", known)];
    for (by, person) in &all {
        assert_eq!(joins(ctx, &company, person).await, Ok(user.id.clone()), "{by}");
    }
    let tx = ctx.db.begin().await.unwrap();
    account::disable(&tx, &ctx.clock, &user.id, "cli").await.unwrap();
    tx.commit().await.unwrap();
    for (by, person) in &all {
        assert_eq!(
            joins(ctx, &company, person).await,
            refused("account_disabled"),
            "{by}"
        );
    }
}

#[tokio::test]
async fn cb_7_the_first_administrator_is_who_was_named_by_the_subject_or_by_a_verified_address() {
    let place = place().await;
    let ctx = &place.ctx;
    let mut company = provider(ctx, "company").await;
    for (subject, email, email_verified, is_first) in [
        ("", BOB, true, true),
        ("", BOB, false, false),
        ("bob", "", false, true),
        ("bob", "eve@example.test", true, true),
        // The subject counts where one is named.
        ("eve", BOB, true, false),
        ("", "eve@example.test", true, false),
        ("", "", true, false),
    ] {
        company.policy.first_admin = FirstAdmin {
            subject: subject.into(),
            email: email.into(),
        };
        let person = bob_of(&company.connection.issuer, email_verified);
        let decision = people::decide(ctx.db.read(), &company, &person).await.unwrap();
        let case = format!("{subject:?} {email:?}, verified: {email_verified}: {decision:?}");
        match decision {
            Decision::FirstAdmin { .. } => assert!(is_first, "{case}"),
            Decision::Refuse(trouble) => {
                assert!(!is_first && trouble.code == "not_the_first_admin", "{case}");
            }
            _ => panic!("{case}"),
        }
    }
}
