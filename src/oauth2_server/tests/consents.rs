//! What a person allows is for what was asked and for whom it was asked.

use super::*;
use crate::oauth2_server::{
    ClientState, connected_apps, disconnect, give_code, next_step, pending, store, take,
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
