//! What a person allows is for what was asked and for whom it was asked.

use super::*;
use crate::access::Projects;
use crate::audit::{self, Filter};
use crate::oauth2_server::{
    ClientState, Consent, connected_apps, disconnect, give_code, next_step, pending, refuse, store, take,
};

const ALL: &str = "openid offline_access tickets:read";

#[tokio::test]
async fn what_was_not_asked_for_cannot_be_allowed() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let asked = "openid tickets:read";
    let more = "openid tickets:read tickets:write projects:read";
    let waiting = world.ask(&client, &[("scope", asked)]).await.unwrap();
    let only_others = world.allow(&waiting, "tickets:write", &[]).await;
    assert_eq!(only_others.err().map(|error| error.code), Some("access_denied"));
    let Given::Reply(reply) = world.allow(&waiting, more, &[]).await.unwrap() else {
        panic!("no device asked");
    };
    let given = world.redeem(&client, &reply.code).await.unwrap();
    assert_eq!(given.scopes, words(asked));
    let apps = connected_apps(&world.ctx, &world.user.id).await.unwrap();
    let remembered: Vec<_> = apps.iter().map(|app| app.allowed.scopes.clone()).collect();
    assert_eq!(remembered, [words(asked)]);
    let later = world.ask(&client, &[("scope", more)]).await.unwrap();
    let who = Some((&world.session, &world.user));
    let step = next_step(&world.ctx, &client, &later.request, who, None).await;
    assert_eq!(step.unwrap(), Step::Consent);
    // Nor where nothing more needs to be asked.
    let (ctx, session, user) = (&world.ctx, &world.session, &world.user);
    let reply = give_code(
        ctx,
        &client,
        &waiting.request,
        session,
        user,
        words(more),
        Vec::new(),
    )
    .await
    .unwrap();
    let given = world.redeem(&client, &reply.code).await.unwrap();
    assert_eq!(given.scopes, words(asked));
}

#[tokio::test]
async fn an_application_of_a_project_is_shown_with_that_project_alone() {
    let world = World::new().await;
    let new = NewClient {
        fields: world.client(|_| {}).await.fields,
        project_id: "prj_1".into(),
        ..NewClient::default()
    };
    let client = crate::oauth2_server::create(&world.ctx, "cli", new)
        .await
        .unwrap()
        .client;
    let code = world.code(&client, ALL).await;
    world.redeem(&client, &code).await.unwrap();
    let apps = connected_apps(&world.ctx, &world.user.id).await.unwrap();
    let shown: Vec<_> = apps.iter().map(|app| app.allowed.projects.clone()).collect();
    assert_eq!(shown, [["prj_1".to_owned()]]);
}

#[tokio::test]
async fn nobody_is_asked_about_a_client_that_is_not_approved_any_more() {
    let world = World::new().await;
    for state in ClientState::ALL {
        let client = world.client(|_| {}).await;
        let waiting = world.waiting(&client, ALL).await;
        // A change that comes between the request and the look at it.
        let mut changed = client.clone();
        changed.fields.state = state;
        let txn = world.ctx.db.begin().await.unwrap();
        assert!(
            store::update_client(&txn, &changed, client.revision)
                .await
                .unwrap()
        );
        txn.commit().await.unwrap();
        let is_approved = state == ClientState::Approved;
        let shown = pending(&world.ctx, &waiting, BROWSER).await;
        assert_eq!(shown.is_ok(), is_approved, "{state:?}");
        let answered = take(&world.ctx, &waiting, BROWSER).await;
        assert_eq!(answered.is_ok(), is_approved, "{state:?}");
    }
}

#[tokio::test]
async fn a_refresh_token_is_of_no_use_to_another_client_that_the_same_person_allowed() {
    let world = World::new().await;
    let (one, other) = (world.client(|_| {}).await, world.client(|_| {}).await);
    let mut tokens = Vec::new();
    for client in [&one, &other] {
        let code = world.code(client, ALL).await;
        let given = world.redeem(client, &code).await.unwrap();
        tokens.push(given.refresh_token.unwrap());
    }
    let stolen = world.refresh(&other, &tokens[0]).await;
    assert_eq!(code_of(stolen), "invalid_grant");
    // And neither of them is worth less for it.
    for (client, token) in [(&one, &tokens[0]), (&other, &tokens[1])] {
        assert_eq!(code_of(world.refresh(client, token).await), "given");
    }
}

#[tokio::test]
async fn a_code_without_a_question_never_exceeds_what_is_allowed_by_then() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let (ctx, session, user) = (&world.ctx, &world.session, &world.user);
    let asked = "openid tickets:read";
    for way in ["narrowed", "elsewhere", "revoked", "untouched"] {
        world.code(&client, asked).await;
        let pending = world.ask(&client, &[("scope", asked)]).await.unwrap();
        let who = Some((session, user));
        let step = next_step(ctx, &client, &pending.request, who, None)
            .await
            .unwrap();
        let Step::Ready { scopes, projects } = step else {
            panic!("it was allowed: {step:?}");
        };
        // Between the look at the consent and the code.
        match way {
            "narrowed" => drop(world.allow(&pending, "openid", &[]).await.unwrap()),
            "elsewhere" => drop(world.allow(&pending, asked, &words("prj_1")).await.unwrap()),
            "revoked" => assert!(disconnect(ctx, &user.id, &client.id).await.unwrap()),
            _ => {}
        }
        let code = give_code(ctx, &client, &pending.request, session, user, scopes, projects).await;
        let told = code.map_or_else(|refused| said(refused).code, |_| "given");
        let expected = match way {
            "untouched" => "given",
            _ => "consent_required",
        };
        assert_eq!(told, expected, "{way}");
        disconnect(ctx, &user.id, &client.id).await.unwrap();
    }
}

/// Asks and allows all of it, in these projects and for so long, and redeems the code.
async fn allowed(
    world: &World,
    client: &Client,
    asked: &str,
    projects: &str,
    seconds: Option<i64>,
) -> Issued {
    let pending = world.ask(client, &[("scope", asked)]).await.unwrap();
    let given = world.allow_for(&pending, asked, &words(projects), seconds).await;
    let Given::Reply(reply) = given.unwrap() else {
        panic!("no device asked");
    };
    world.redeem(client, &reply.code).await.unwrap()
}

/// What the person allowed the one client they allowed anything.
async fn kept(world: &World) -> Consent {
    let mut apps = connected_apps(&world.ctx, &world.user.id).await.unwrap();
    assert_eq!(apps.len(), 1);
    apps.remove(0).allowed
}

#[tokio::test]
async fn a_longer_consent_prolongs_nothing_that_was_allowed_for_a_shorter_time() {
    for (first, second) in [
        (Some(3_600), None),
        (None, Some(3_600)),
        (Some(3_600), Some(7_200)),
    ] {
        let world = World::new().await;
        let client = world.client(|_| {}).await;
        let begun = world.ctx.clock.now_ms();
        allowed(&world, &client, "openid tickets:read", "", first).await;
        allowed(&world, &client, "openid profile", "", second).await;
        let consent = kept(&world).await;
        assert_eq!(consent.scopes, words("openid profile tickets:read"));
        assert_eq!(
            consent.expires_at,
            Some(begun + 3_600_000),
            "{first:?} {second:?}"
        );
        world.later(3_601);
        let later = world.ask(&client, &[("scope", "tickets:read")]).await.unwrap();
        let who = Some((&world.session, &world.user));
        let step = next_step(&world.ctx, &client, &later.request, who, None).await;
        assert_eq!(step.unwrap(), Step::Consent, "{first:?} {second:?}");
    }
    // What is asked once more is allowed for as long as they say now.
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    allowed(&world, &client, "openid tickets:read", "", Some(3_600)).await;
    allowed(&world, &client, "openid tickets:read", "", None).await;
    assert_eq!(kept(&world).await.expires_at, None);
}

#[tokio::test]
async fn a_code_of_a_consent_that_ended_is_not_revived_by_another_one() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let asked = "openid tickets:read";
    let mut codes = Vec::new();
    for _ in 0..2 {
        let pending = world.ask(&client, &[("scope", asked)]).await.unwrap();
        let Given::Reply(reply) = world.allow_for(&pending, asked, &[], Some(10)).await.unwrap() else {
            panic!("no device asked");
        };
        codes.push(reply.code);
    }
    world.later(11);
    assert_eq!(code_of(world.redeem(&client, &codes[0]).await), "invalid_grant");
    allowed(&world, &client, "openid profile", "", None).await;
    assert_eq!(code_of(world.redeem(&client, &codes[1]).await), "invalid_grant");
}

#[tokio::test]
async fn what_reaches_into_no_project_leaves_the_choice_of_projects_alone() {
    let of_all = "openid profile email groups tickets:read";
    let world = World::new().await;
    let client = world.client(|fields| fields.scopes = words(of_all)).await;
    // More about the person, whose page asks for no project.
    let before = allowed(&world, &client, "openid tickets:read", "prj_1", None).await;
    allowed(&world, &client, "openid email", "", None).await;
    let consent = kept(&world).await;
    assert_eq!(consent.scopes, words("openid email tickets:read"));
    assert_eq!(consent.projects, ["prj_1"]);
    assert!(
        world.is_live(&before.access_token).await,
        "nothing was taken back"
    );
    // The other way round, nothing had been chosen yet.
    let world = World::new().await;
    let client = world.client(|fields| fields.scopes = words(of_all)).await;
    let before = allowed(&world, &client, "openid email", "", None).await;
    allowed(&world, &client, "openid tickets:read", "prj_1", None).await;
    let consent = kept(&world).await;
    assert_eq!(consent.scopes, words("openid tickets:read email"));
    assert_eq!(consent.projects, ["prj_1"]);
    assert!(
        world.is_live(&before.access_token).await,
        "nothing was taken back"
    );
    // `groups` tells of projects, and is asked about like what opens them.
    let told = allowed(&world, &client, "openid groups", "prj_2", None).await;
    let consent = kept(&world).await;
    assert_eq!(
        (consent.scopes, consent.projects),
        (words("openid groups"), words("prj_2"))
    );
    assert!(
        !world.is_live(&before.access_token).await,
        "other projects replace them"
    );
    let found = crate::oauth2_server::authenticate(&world.ctx, &told.access_token).await;
    assert_eq!(found.unwrap().unwrap().family.projects, ["prj_2"]);
}

#[tokio::test]
async fn who_refuses_is_in_the_audit_log_and_so_is_who_allows_nothing() {
    let world = World::new().await;
    let client = world.client(|_| {}).await;
    let asked = "openid tickets:read";
    let pending = world.ask(&client, &[("scope", asked)]).await.unwrap();
    refuse(&world.ctx, &pending, &world.user).await.unwrap();
    let pending = world.ask(&client, &[("scope", asked)]).await.unwrap();
    assert!(world.allow(&pending, "", &[]).await.is_err());
    let filter = Filter {
        projects: Projects::All,
        action: Some("consent.*".into()),
        ..Filter::default()
    };
    let log = audit::list(world.ctx.db.read(), &filter, None, 10).await.unwrap();
    let seen: Vec<_> = log
        .iter()
        .map(|event| {
            (
                event.action.as_str(),
                event.actor.as_str(),
                event.target_id.as_str(),
            )
        })
        .collect();
    let refused = ("consent.refused", world.user.id.as_str(), client.id.as_str());
    assert_eq!(seen, [refused, refused]);
    assert_eq!(log[0].summary["scopes"], serde_json::json!(words(asked)));
}
