//! What accounts promise, against a real database.

mod links;

use chrono::Duration;
use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::access::{Need, Projects, Refusal, Role, Scope, Scopes};
use crate::clock::{Clock, from_ms};
use crate::config::{Environment, load};
use crate::crypto::KeyRing;
use crate::ctx::Ctx;
use crate::db::Db;
use crate::project;

pub(crate) struct TestPlace {
    pub(crate) ctx: Ctx,
    pub(crate) _dir: tempfile::TempDir,
}

pub(crate) async fn place() -> TestPlace {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", dir.path().join("t.db").display()))
        .await
        .unwrap();
    db.migrate().await.unwrap();
    let config = load(
        &Environment::of(&[("MAILGRANT_ALLOW_NETWORKS", "127.0.0.0/8")]),
        None,
    )
    .unwrap();
    let ctx = Ctx::new(
        db,
        Clock::manual(from_ms(1_800_000_000_000)),
        KeyRing::create(&dir.path().join("key")).unwrap(),
        (
            crate::net::Dialer::new(config.allow_networks.clone(), None).unwrap(),
            crate::net::Dialer::new(config.allow_webhook_networks.clone(), None).unwrap(),
        ),
        config,
    );
    TestPlace { ctx, _dir: dir }
}

pub(crate) fn ada() -> NewUser {
    NewUser {
        email: " Ada@Example.org ".into(),
        name: String::new(),
        password: "correct horse battery".into(),
        is_site_admin: true,
    }
}

async fn try_password(ctx: &Ctx, email: &str, password: &str, address: &str) -> Result<User, AccountError> {
    let password = SecretString::from(password);
    let attempt = SignIn {
        email,
        password: &password,
        address,
    };
    sign_in(&ctx.db, &ctx.clock, &attempt).await
}

async fn switch_off(ctx: &Ctx, id: &str) -> Result<(), AccountError> {
    let tx = ctx.db.begin().await?;
    disable(&tx, &ctx.clock, id, "cli").await?;
    tx.commit().await?;
    Ok(())
}

fn token_of(link: &str) -> SecretString {
    SecretString::from(link.rsplit_once("token=").unwrap().1)
}

#[tokio::test]
async fn a_new_password_has_fifteen_characters_and_an_older_one_goes_on_working() {
    let TestPlace { ctx, _dir } = place().await;
    let user = create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    let fresh = async |password: &str| new_password(&user, "", &password.into()).await;
    for password in ["otter riverbed", "ölig über Äcker"] {
        let accepted = fresh(password).await.is_ok();
        assert_eq!(accepted, password.chars().count() >= 15, "{password}");
    }
    let long: String = "otter riverbed quietly ".chars().cycle().take(64).collect();
    assert!(fresh(&long).await.is_ok());
    let said = fresh("otter river").await.unwrap_err().to_string();
    assert!(said.contains("at least 15 characters"), "{said}");
    // As it was stored when eight were enough.
    let hash = crate::crypto::hash_password(&"otter-41".into()).unwrap();
    let statement = format!(
        "UPDATE users SET password_hash = '{hash}' WHERE id = '{}'",
        user.id
    );
    ctx.db.write().execute_unprepared(&statement).await.unwrap();
    let found = try_password(&ctx, "ada@example.org", "otter-41", "::1").await;
    assert_eq!(found.unwrap().id, user.id);
}

#[tokio::test]
async fn a_password_opens_the_account_however_the_address_is_written() {
    let TestPlace { ctx, _dir } = place().await;
    let user = create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    assert_eq!(
        (user.email.as_str(), user.name.as_str()),
        ("ada@example.org", "ada@example.org")
    );
    let found = try_password(&ctx, "ADA@example.org", "correct horse battery", "::1")
        .await
        .unwrap();
    assert_eq!(found.id, user.id);
    let again = create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap_err();
    assert_eq!((again.code(), again.field()), ("duplicate_email", Some("email")));
}

#[tokio::test]
async fn bad_accounts_are_refused_beside_their_field() {
    let TestPlace { ctx, _dir } = place().await;
    let cases = [
        ("ada", "correct horse battery", "bad_email"),
        ("ada@", "correct horse battery", "bad_email"),
        ("a b@c.de", "correct horse battery", "bad_email"),
        ("ada@example.org", "short", "password_too_short"),
        ("ada@example.org", "ADA@example.org", "password_guessable"),
        ("ada@example.org", "Password-2026-2026!", "password_common"),
        ("ada@example.org", &"x".repeat(513), "password_too_long"),
    ];
    for (email, password, code) in cases {
        let new = NewUser {
            email: email.into(),
            password: password.into(),
            ..ada()
        };
        let error = create(&ctx.db, &ctx.clock, &new, "cli").await.unwrap_err();
        assert_eq!(error.code(), code, "{email}");
        assert!(error.field().is_some());
    }
    assert!(list(&ctx.db, &Projects::All).await.unwrap().is_empty());
}

#[tokio::test]
async fn guessing_is_slowed_down_alike_for_known_and_unknown_accounts() {
    let TestPlace { ctx, _dir } = place().await;
    create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    for email in ["ada@example.org", "nobody@example.org"] {
        for _ in 0..5 {
            let error = try_password(&ctx, email, "wrong wrong wrong", "192.0.2.1")
                .await
                .unwrap_err();
            assert!(matches!(error, AccountError::WrongCredentials), "{error}");
        }
        let error = try_password(&ctx, email, "correct horse battery", "192.0.2.1")
            .await
            .unwrap_err();
        assert!(
            matches!(error, AccountError::TooManyAttempts { retry_after: 1 }),
            "{error}"
        );
    }
    // Another address is not kept out by it.
    try_password(&ctx, "ada@example.org", "correct horse battery", "192.0.2.2")
        .await
        .unwrap();
    ctx.clock.advance(Duration::seconds(2));
    try_password(&ctx, "ada@example.org", "correct horse battery", "192.0.2.1")
        .await
        .unwrap();
    // And the success forgets the failures.
    for _ in 0..4 {
        let error = try_password(&ctx, "ada@example.org", "wrong wrong wrong", "192.0.2.1")
            .await
            .unwrap_err();
        assert!(matches!(error, AccountError::WrongCredentials), "{error}");
    }
}

#[tokio::test]
async fn one_address_cannot_try_many_accounts() {
    let TestPlace { ctx, _dir } = place().await;
    for n in 0..20 {
        let _ = super::brake::Attempt::new(&format!("u{n}@example.org"), "192.0.2.9")
            .begin(&ctx.db, ctx.clock.now_ms())
            .await;
    }
    let error = try_password(&ctx, "u99@example.org", "wrong wrong wrong", "192.0.2.9")
        .await
        .unwrap_err();
    assert!(matches!(error, AccountError::TooManyAttempts { .. }), "{error}");
    // Nor one subscriber with a network of addresses.
    for n in 0..20 {
        let address = format!("2001:db8:0:9::{n}");
        let _ = super::brake::Attempt::new(&format!("v{n}@example.org"), &address)
            .begin(&ctx.db, ctx.clock.now_ms())
            .await;
    }
    let error = try_password(&ctx, "v99@example.org", "wrong wrong wrong", "2001:db8:0:9:5::1")
        .await
        .unwrap_err();
    assert!(matches!(error, AccountError::TooManyAttempts { .. }), "{error}");
}

#[tokio::test]
async fn a_hundred_set_ups_at_once_make_exactly_one_admin() {
    let TestPlace { ctx, _dir } = place().await;
    let token = token_of(&print_setup_link(&ctx).await.unwrap().unwrap());
    let tries = (0..100).map(|n| {
        let (ctx, token) = (ctx.clone(), token.clone());
        tokio::spawn(async move {
            let new = NewUser {
                email: format!("u{n}@example.org"),
                ..ada()
            };
            set_up(&ctx.db, &ctx.clock, &token, &new).await
        })
    });
    let mut made = 0;
    for outcome in futures_util::future::join_all(tries).await {
        match outcome.unwrap() {
            Ok(user) => {
                assert!(user.is_site_admin);
                made += 1;
            }
            Err(error) => assert!(
                matches!(error, AccountError::AlreadySetUp | AccountError::DeadLink),
                "{error}"
            ),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(list(&ctx.db, &Projects::All).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_setup_link_dies_of_age_of_a_newer_one_and_of_the_first_account() {
    let TestPlace { ctx, _dir } = place().await;
    let first = token_of(&print_setup_link(&ctx).await.unwrap().unwrap());
    let second = token_of(&print_setup_link(&ctx).await.unwrap().unwrap());
    let dead = setup_link(&ctx.db, &ctx.clock, &first).await.unwrap_err();
    assert!(matches!(dead, AccountError::DeadLink));
    assert!(setup_link(&ctx.db, &ctx.clock, &second).await.is_ok());

    let bad = NewUser {
        password: "short".into(),
        ..ada()
    };
    assert!(set_up(&ctx.db, &ctx.clock, &second, &bad).await.is_err());
    assert!(
        setup_link(&ctx.db, &ctx.clock, &second).await.is_ok(),
        "a mistyped form must not use the link up"
    );

    ctx.clock.advance(Duration::minutes(LINK_MINUTES));
    let dead = set_up(&ctx.db, &ctx.clock, &second, &ada()).await.unwrap_err();
    assert!(matches!(dead, AccountError::DeadLink));

    let third = token_of(&print_setup_link(&ctx).await.unwrap().unwrap());
    create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    let late = set_up(&ctx.db, &ctx.clock, &third, &ada()).await.unwrap_err();
    assert!(matches!(late, AccountError::AlreadySetUp));
    assert_eq!(print_setup_link(&ctx).await.unwrap(), None);
}

#[tokio::test]
async fn a_sign_in_link_works_once_and_is_no_setup_link() {
    let TestPlace { ctx, _dir } = place().await;
    let setup = token_of(&print_setup_link(&ctx).await.unwrap().unwrap());
    let crossed = use_sign_in_link(&ctx.db, &ctx.clock, &setup).await;
    assert!(matches!(crossed, Err(AccountError::DeadLink)));
    let user = create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    let link = sign_in_link(&ctx, &user.id).await.unwrap();
    assert!(
        link.starts_with("http://127.0.0.1:8080/sign-in/link?token="),
        "{link}"
    );
    let token = token_of(&link);
    assert_eq!(
        use_sign_in_link(&ctx.db, &ctx.clock, &token).await.unwrap().id,
        user.id
    );
    let again = use_sign_in_link(&ctx.db, &ctx.clock, &token).await;
    assert!(matches!(again, Err(AccountError::DeadLink)));
}

#[tokio::test]
async fn a_session_ends_when_idle_and_when_old() {
    let TestPlace { ctx, _dir } = place().await;
    let (db, clock) = (&ctx.db, &ctx.clock);
    let user = create(db, clock, &ada(), "cli").await.unwrap();
    let started = start(db, clock, &user.id, None).await.unwrap();
    assert_ne!(started.cookie.expose_secret(), started.session.id);
    assert!(
        find(db, clock, &started.session.id.clone().into())
            .await
            .unwrap()
            .is_none()
    );

    for _ in 0..25 {
        clock.advance(Duration::minutes(IDLE_MINUTES - 1));
        let found = find(db, clock, &started.cookie).await.unwrap();
        let old = clock.now_ms() >= started.session.expires_at;
        assert_eq!(found.is_none(), old);
    }
    assert!(
        clock.now_ms() >= started.session.expires_at,
        "the loop reaches the end"
    );

    let idle = start(db, clock, &user.id, None).await.unwrap();
    clock.advance(Duration::minutes(IDLE_MINUTES));
    assert!(find(db, clock, &idle.cookie).await.unwrap().is_none());
}

#[tokio::test]
async fn signing_in_again_replaces_the_session_and_disabling_ends_it() {
    let TestPlace { ctx, _dir } = place().await;
    let (db, clock) = (&ctx.db, &ctx.clock);
    let user = create(db, clock, &ada(), "cli").await.unwrap();
    let first = start(db, clock, &user.id, None).await.unwrap();
    let second = start(db, clock, &user.id, Some(&first.session.id)).await.unwrap();
    assert!(find(db, clock, &first.cookie).await.unwrap().is_none());
    assert!(find(db, clock, &second.cookie).await.unwrap().is_some());

    let last = switch_off(&ctx, &user.id).await.unwrap_err();
    assert!(matches!(last, AccountError::LastAdmin));
    // Who was invited and never chose a password has no way in.
    let tx = db.begin().await.unwrap();
    invite_in(&tx, clock, "eve@example.org", "Eve", true, "cli")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let last = switch_off(&ctx, &user.id).await.unwrap_err();
    assert!(matches!(last, AccountError::LastAdmin));
    let other = NewUser {
        email: "bob@example.org".into(),
        ..ada()
    };
    create(db, clock, &other, "cli").await.unwrap();
    switch_off(&ctx, &user.id).await.unwrap();
    assert!(find(db, clock, &second.cookie).await.unwrap().is_none());
    let refused = try_password(&ctx, "ada@example.org", "correct horse battery", "::1").await;
    assert!(matches!(refused, Err(AccountError::WrongCredentials)));
}

#[tokio::test]
async fn a_flash_message_is_seen_once() {
    let TestPlace { ctx, _dir } = place().await;
    let (db, clock) = (&ctx.db, &ctx.clock);
    let user = create(db, clock, &ada(), "cli").await.unwrap();
    let started = start(db, clock, &user.id, None).await.unwrap();
    let flash = Flash {
        kind: FlashKind::Success,
        text: "Saved <b>".into(),
    };
    set_flash(db, &started.session.id, &flash).await.unwrap();
    let (session, _) = find(db, clock, &started.cookie).await.unwrap().unwrap();
    assert_eq!(take_flash(db, &session).await.unwrap(), Some(flash));
    assert_eq!(take_flash(db, &session).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_opens_until_it_is_revoked_and_its_use_is_written_once_a_minute() {
    let TestPlace { ctx, _dir } = place().await;
    let (db, clock) = (&ctx.db, &ctx.clock);
    let (info, token) = create_token(db, clock, " ci ", "cli").await.unwrap();
    let seen = async || list_tokens(db, None).await.unwrap().remove(0).last_used_at;
    assert_eq!(seen().await, None);
    let (who, access) = authenticate(db, clock, &token).await.unwrap().unwrap();
    assert!(access.is_site_admin() && access.has_site(Scope::Admin) && access.actor() == info.id);
    assert_eq!(
        (who.id.as_str(), who.name.as_str(), who.actor.as_str()),
        (info.id.as_str(), "ci", "cli")
    );
    let first = clock.now_ms();
    clock.advance(Duration::seconds(59));
    authenticate(db, clock, &token).await.unwrap().unwrap();
    assert_eq!(seen().await, Some(first));
    clock.advance(Duration::seconds(1));
    authenticate(db, clock, &token).await.unwrap().unwrap();
    assert_eq!(seen().await, Some(clock.now_ms()));

    revoke_token(db, clock, &info.id, None, "cli").await.unwrap();
    assert!(authenticate(db, clock, &token).await.unwrap().is_none());
    assert!(revoke_token(db, clock, &info.id, None, "cli").await.is_err());
    assert!(matches!(
        create_token(db, clock, " ", "cli").await,
        Err(AccountError::BadName)
    ));
}

async fn project(ctx: &Ctx, key: &str) -> String {
    let new = project::NewProject {
        key: key.into(),
        name: key.into(),
        description: String::new(),
    };
    project::create(ctx, new).await.unwrap().id
}

#[tokio::test]
async fn a_token_follows_the_role_of_its_owner_at_every_request() {
    let TestPlace { ctx, _dir } = place().await;
    let (db, clock) = (&ctx.db, &ctx.clock);
    let eve = NewUser {
        is_site_admin: false,
        ..ada()
    };
    let eve = create(db, clock, &eve, "cli").await.unwrap();
    let help = project(&ctx, "HELP").await;
    let ops = project(&ctx, "OPS").await;
    let (_, token) = create_token(db, clock, "all", &eve.id).await.unwrap();
    let narrow = NewToken {
        scopes: Scopes::parse("tickets:read").unwrap(),
        projects: Some([ops.clone()].into()),
        ..NewToken::unlimited("ops only")
    };
    let (_, narrow) = issue_token(db, clock, &narrow, &eve.id, &eve.id).await.unwrap();
    let access =
        async |token: &SecretString| authenticate(db, clock, token).await.unwrap().map(|found| found.1);

    let stranger = access(&token).await.unwrap();
    assert_eq!(
        stranger.at(Need::Scope(Scope::TicketsRead)).unwrap_err(),
        Refusal::Role
    );
    let set = async |id: &str, role| {
        project::set_member(db, clock, id, &eve.id, role, "cli")
            .await
            .unwrap()
    };
    set(&help, Role::ProjectAdmin).await;
    set(&ops, Role::Viewer).await;
    let member = access(&token).await.unwrap();
    assert_eq!(member.projects_with(Scope::TicketsWrite), Projects::one(&help));
    assert_eq!(
        access(&narrow).await.unwrap().projects_with(Scope::TicketsRead),
        Projects::one(&ops)
    );
    let provided = project::Provided {
        allow_no_admin: true,
        ..Default::default()
    };
    project::change_member(db, clock, (&help, &eve.id), Role::Viewer, provided, "cli")
        .await
        .unwrap();
    assert!(
        access(&token)
            .await
            .unwrap()
            .projects_with(Scope::TicketsWrite)
            .is_none()
    );
    project::remove_member(db, clock, (&ops, &eve.id), Default::default(), "cli")
        .await
        .unwrap();
    let out = access(&narrow).await.unwrap();
    assert!(out.projects_with(Scope::TicketsRead).is_none());

    create(
        db,
        clock,
        &NewUser {
            email: "admin@example.org".into(),
            ..ada()
        },
        "cli",
    )
    .await
    .unwrap();
    switch_off(&ctx, &eve.id).await.unwrap();
    assert!(access(&token).await.is_none() && access(&narrow).await.is_none());
}

#[tokio::test]
async fn a_token_that_could_do_nothing_or_has_ended_is_not_made() {
    let TestPlace { ctx, _dir } = place().await;
    let (db, clock) = (&ctx.db, &ctx.clock);
    let refused = async |new: NewToken<'_>| {
        issue_token(db, clock, &new, "cli", "cli")
            .await
            .unwrap_err()
            .code()
    };
    let usual = || NewToken::unlimited("ci");
    assert_eq!(
        refused(NewToken {
            scopes: Scopes::default(),
            ..usual()
        })
        .await,
        "no_scope"
    );
    assert_eq!(
        refused(NewToken {
            projects: Some([].into()),
            ..usual()
        })
        .await,
        "no_project"
    );
    assert_eq!(
        refused(NewToken {
            projects: Some(["a b".into()].into()),
            ..usual()
        })
        .await,
        "no_project"
    );
    let now = clock.now_ms();
    assert_eq!(
        refused(NewToken {
            expires_at: Some(now),
            ..usual()
        })
        .await,
        "past_end"
    );
    assert_eq!(list_tokens(db, None).await.unwrap(), []);
    let new = NewToken {
        expires_at: Some(now + 1),
        ..usual()
    };
    let (_, token) = issue_token(db, clock, &new, "cli", "cli").await.unwrap();
    assert!(authenticate(db, clock, &token).await.unwrap().is_some());
    clock.advance(Duration::milliseconds(1));
    assert!(authenticate(db, clock, &token).await.unwrap().is_none());
}

/// What an authenticator app with this secret shows in a step.
pub(crate) fn code(secret: &SecretString, step: i64) -> String {
    super::totp::code_at(secret, step).unwrap()
}

#[tokio::test]
async fn a_sign_in_with_a_password_that_is_changed_meanwhile_comes_to_nothing() {
    let TestPlace { ctx, _dir } = place().await;
    create(&ctx.db, &ctx.clock, &ada(), "cli").await.unwrap();
    let user = try_password(&ctx, "ada@example.org", "correct horse battery", "::1")
        .await
        .unwrap();
    let held = async |user: &User| {
        let tx = ctx.db.begin().await?;
        hold(&tx, user).await
    };
    held(&user).await.unwrap();
    begin_step(&ctx, &user, &Proof::password(), "/").await.unwrap();

    ctx.clock.advance(Duration::seconds(1));
    let new = new_password(&user, "", &"another sentence nobody guesses".into())
        .await
        .unwrap();
    let tx = ctx.db.begin().await.unwrap();
    set_password(&tx, &ctx.clock, &user.id, &new, Tokens::Keep, &user.id)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let refused = held(&user).await.unwrap_err();
    assert!(matches!(refused, AccountError::WrongCredentials), "{refused}");
    let refused = begin_step(&ctx, &user, &Proof::password(), "/")
        .await
        .unwrap_err();
    assert!(matches!(refused, AccountError::WrongCredentials), "{refused}");

    let user = get(&ctx.db, &user.id).await.unwrap().unwrap();
    held(&user).await.unwrap();
    let admin = create(
        &ctx.db,
        &ctx.clock,
        &NewUser {
            email: "bea@example.org".into(),
            ..ada()
        },
        "cli",
    )
    .await
    .unwrap();
    switch_off(&ctx, &user.id).await.unwrap();
    assert!(held(&user).await.is_err(), "nobody comes in who is kept out");
    held(&admin).await.unwrap();
}
