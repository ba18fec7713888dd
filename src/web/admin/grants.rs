//! Grants: list, detail with its time line, refreshing, reconnecting, revoking, and the question of another account.

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;

use super::attention::Overview;
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::grants::{GrantDetail, GrantEvent, GrantList, GrantRow, IdentityMismatch};
use super::views::integrations::Fact;
use super::views::parts::{Action, Confirm, Timeline, Tone, When};
use super::words::{self, Names};
use super::{connect, failure};
use crate::access::Role;
use crate::account::FlashKind;
use crate::event::{self, Event};
use crate::grant::{self, AuthorizationState, CallbackError, CallbackOutcome, Grant, GrantError, GrantState};
use crate::integration::{self, Flow};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/grants", Guard::Role(Role::ProjectAdmin), || web::to(list)),
    Route::get("/grants/{id}", Guard::Role(Role::ProjectAdmin), || {
        web::to(detail)
    }),
    Route::post("/grants/{id}/refresh", Guard::Role(Role::ProjectAdmin), || {
        web::to(refresh)
    }),
    Route::post("/grants/{id}/reconnect", Guard::Role(Role::ProjectAdmin), || {
        web::to(reconnect)
    }),
    Route::get("/grants/{id}/revoke", Guard::Role(Role::SiteAdmin), || {
        web::to(confirm_revoke)
    }),
    Route::post("/grants/{id}/revoke", Guard::Role(Role::SiteAdmin), || {
        web::to(revoke)
    }),
    Route::get("/grants/{id}/identity", Guard::Role(Role::SiteAdmin), || {
        web::to(identity)
    }),
    Route::post("/grants/{id}/identity", Guard::Role(Role::SiteAdmin), || {
        web::to(decide)
    }),
];

/// How long the question of another account stays open.
const CONFIRM_MS: i64 = 60 * 60 * 1000;

async fn list(desk: Desk) -> Answer {
    let now = desk.now();
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let mut grants: Vec<&Grant> = overview.grants.iter().collect();
    grants.sort_by_key(|grant| match grant.state {
        GrantState::NeedsReauth => 0,
        GrantState::Expiring => 1,
        GrantState::Active if grant.trouble.is_some() => 1,
        GrantState::Active => 2,
        GrantState::Revoked => 3,
    });
    let rows = grants.into_iter().map(|grant| GrantRow {
        id: grant.id.clone(),
        identity: words::account_of(grant),
        integration: overview
            .integration(&grant.integration_id)
            .map(|integration| integration.name.clone())
            .unwrap_or_default(),
        state: words::grant_badge(grant),
        refreshed: Some(words::when(now, grant.refreshed_at)),
        expires: grant.expires_at.map(|at| words::when(now, at)),
        used_by: overview
            .mailboxes_of(&grant.id)
            .map(|mailbox| mailbox.name.clone())
            .collect::<Vec<_>>()
            .join(", "),
    });
    let grants = rows.collect();
    desk.show(&GrantList {
        page: desk.page_with("Grants", Section::Grants, &overview).await?,
        grants,
    })
}

async fn detail(desk: Desk, id: web::Path<String>) -> Answer {
    let now = desk.now();
    let found = grant::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let integration = integration::get(&desk.ctx, &desk.access().projects(), &found.integration_id).await?;
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let names = Names::load(&desk.ctx).await?;
    let events = event::of_subject(desk.ctx.db.read(), &found.id, 50).await?;
    let is_alive = found.state != GrantState::Revoked;
    let mut problem = overview.of_grant(&found, now);
    if let Some(problem) = &mut problem
        && problem.action.as_ref().is_some_and(|action| !action.post)
    {
        // It leads to this very page.
        problem.action = None;
    }
    desk.show(&GrantDetail {
        page: desk
            .page_with(words::account_of(&found), Section::Grants, &overview)
            .await?,
        id: found.id.clone(),
        state: words::grant_badge(&found),
        problem,
        timeline: timeline(&found, now),
        facts: facts(&found, &integration, &names, now),
        integration_href: format!("/integrations/{}", integration.id),
        missing_scopes: if found.scopes.is_empty() {
            vec![]
        } else {
            grant::scopes_missing(&integration, &found.scopes)
        },
        mailboxes: overview
            .mailboxes_of(&found.id)
            .map(|mailbox| Action::link(&mailbox.name, format!("/mailboxes/{}", mailbox.id)))
            .collect(),
        history: events.iter().map(|event| told(event, &names, now)).collect(),
        can_refresh: is_alive && (found.has_refresh_token || found.flow == Flow::ClientCredentials),
        can_reconnect: found.flow == Flow::AuthorizationCode,
    })
}

fn timeline(grant: &Grant, now: i64) -> Timeline {
    let mut moments: Vec<(i64, String, When, Tone)> = Vec::new();
    let mut add = |at: Option<i64>, label: &str, tone: Tone| {
        if let Some(at) = at {
            moments.push((at / 1000, label.to_owned(), words::when(now, at), tone));
        }
    };
    add(Some(grant.issued_at), "Consented", Tone::Muted);
    if grant.refreshed_at > grant.issued_at {
        add(Some(grant.refreshed_at), "Refreshed", Tone::Ok);
    }
    let is_alive = !matches!(grant.state, GrantState::Revoked | GrantState::NeedsReauth);
    add(
        grant.next_refresh_at.filter(|_| is_alive),
        "Next refresh",
        Tone::Info,
    );
    add(grant.expires_at, "Access token expires", Tone::Warn);
    add(grant.refresh_expires_at, "Refresh token expires", Tone::Bad);
    Timeline::new(moments, now / 1000)
}

fn facts(grant: &Grant, integration: &integration::Integration, names: &Names, now: i64) -> Vec<Fact> {
    let refresh = match (grant.has_refresh_token, grant.flow) {
        (true, _) => format!(
            "Stored, last replaced {}",
            words::relative(now, grant.refresh_token_at)
        ),
        (false, Flow::ClientCredentials) => "Not needed: the client gets new tokens by itself".to_owned(),
        (false, Flow::AuthorizationCode) => "None".to_owned(),
    };
    vec![
        Fact::new("Integration", &integration.name),
        Fact::exact("Account that consented", words::account_of(grant)),
        Fact::new("Started by", names.of(&grant.started_by)),
        Fact::exact("Scopes granted", grant.scopes.join(" ")),
        Fact::new("Refresh token", refresh),
    ]
}

fn told(event: &Event, names: &Names, now: i64) -> GrantEvent {
    let text = |name: &str| {
        let value = event.data.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let trouble = || {
        let (code, cause) = (text("code"), text("cause"));
        if code.is_empty() {
            cause
        } else {
            format!("{code}: {cause}")
        }
    };
    let by = || format!("By {}.", names.of(&event.actor));
    let consented = || {
        format!(
            "{} consented; started by {}.",
            text("identity"),
            names.of(&event.actor)
        )
    };
    let (tone, title, text) = match event.kind.as_str() {
        "grant.created" => (Tone::Ok, "Connected", consented()),
        "grant.updated" => (Tone::Ok, "Connected again", consented()),
        "grant.restored" if event.actor == event::SYSTEM => (
            Tone::Ok,
            "Works again",
            "The mail server accepts its token.".to_owned(),
        ),
        "grant.restored" => (Tone::Ok, "Connected again", consented()),
        "grant.refreshed" => (Tone::Ok, "Refreshed", String::new()),
        "grant.expired" => (Tone::Bad, "Refresh refused", trouble()),
        "grant.refused" => (Tone::Bad, "Refused by the mail server", trouble()),
        "grant.revoked" => (Tone::Muted, "Revoked", by()),
        "grant.identity_mismatch" => (
            Tone::Warn,
            "Another account consented",
            format!("{} instead of {}.", text("got"), text("pinned")),
        ),
        _ => (Tone::Info, event.kind.as_str(), by()),
    };
    GrantEvent {
        tone,
        title: title.to_owned(),
        text,
        when: words::when(now, event.created_at),
    }
}

async fn refresh(desk: Desk, id: web::Path<String>) -> Answer {
    let page = format!("/grants/{id}");
    grant::get(&desk.ctx, &desk.access().projects(), &id).await?;
    match grant::refresh_now(&desk.ctx, &id).await {
        Ok(_) => desk.done("The token was refreshed.", &page).await,
        Err(error @ (GrantError::NotFound | GrantError::Db(_) | GrantError::Seal(_))) => Err(error.into()),
        Err(error) => desk.failed(failure::sentence(&error.trouble()), &page).await,
    }
}

async fn reconnect(desk: Desk, id: web::Path<String>) -> Answer {
    let found = grant::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let integration = integration::get(&desk.ctx, &desk.access().projects(), &found.integration_id).await?;
    connect::reconnect(&desk, &integration, &found).await
}

async fn confirm_revoke(desk: Desk, id: web::Path<String>) -> Answer {
    let found = grant::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let mut consequences =
        vec!["Both tokens are deleted here, and the provider is asked to revoke them.".to_owned()];
    consequences.extend(overview.mailboxes_of(&found.id).map(|mailbox| {
        format!(
            "The mailbox “{}” stops until it is connected again.",
            mailbox.name
        )
    }));
    let account = words::account_of(&found);
    desk.show(&Confirm {
        page: desk
            .page_with(
                format!("Revoke the grant of {account}?"),
                Section::Grants,
                &overview,
            )
            .await?,
        consequences,
        kept: vec![
            "Tickets and stored mail stay.".to_owned(),
            "Reconnecting the same account goes on where the mailbox stopped.".to_owned(),
        ],
        blocked: (found.state == GrantState::Revoked).then(|| "It is revoked already.".to_owned()),
        action: format!("/grants/{}/revoke", found.id),
        fields: vec![],
        button: "Revoke".to_owned(),
        cancel: format!("/grants/{}", found.id),
    })
}

async fn revoke(desk: Desk, id: web::Path<String>) -> Answer {
    let (kind, text) = match grant::revoke(&desk.ctx, desk.actor(), &id, None).await? {
        grant::RevokeOutcome::AtProviderToo => (
            FlashKind::Success,
            "The grant is revoked, here and at the provider.".to_owned(),
        ),
        grant::RevokeOutcome::HereOnly => (
            FlashKind::Success,
            "The grant is revoked here. The provider has no address for it: its owner can withdraw the consent in the \
             account's own settings."
                .to_owned(),
        ),
        grant::RevokeOutcome::ProviderFailed(trouble) => (
            FlashKind::Warning,
            format!(
                "The grant is revoked here, but the provider did not accept it: {} Withdraw the consent in the \
                 account's own settings.",
                trouble.cause
            ),
        ),
    };
    desk.tell(kind, text, &format!("/grants/{id}")).await
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    authorization: String,
}

async fn identity(desk: Desk, id: web::Path<String>, asked: web::Query<Asked>) -> Answer {
    let now = desk.now();
    let found = grant::get(&desk.ctx, &desk.access().projects(), &id).await?;
    let events = event::of_subject(desk.ctx.db.read(), &found.id, 50).await?;
    let text = |event: &Event, name: &str| {
        let value = event.data.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let question = events.iter().find(|event| {
        event.kind == "grant.identity_mismatch"
            && (asked.authorization.is_empty() || text(event, "authorizationId") == asked.authorization)
    });
    let page = format!("/grants/{}", found.id);
    let Some(question) = question else {
        return desk.failed("No other account waits for a decision.", &page).await;
    };
    let authorization = text(question, "authorizationId");
    let open = grant::authorization(&desk.ctx, &authorization)
        .await
        .is_ok_and(|attempt| attempt.state == AuthorizationState::AwaitingConfirmation);
    if !open {
        return desk.failed("This was decided already.", &page).await;
    }
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    desk.show(&IdentityMismatch {
        page: desk
            .page_with("Another account has consented", Section::Grants, &overview)
            .await?,
        id: found.id.clone(),
        authorization,
        pinned: words::account_of(&found),
        received: text(question, "got"),
        mailboxes: overview
            .mailboxes_of(&found.id)
            .map(|mailbox| mailbox.name.clone())
            .collect(),
        expires: words::when(now, question.created_at + CONFIRM_MS),
    })
}

async fn decide(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let page = format!("/grants/{id}");
    let authorization = form.text("authorization");
    let attempt = grant::authorization(&desk.ctx, authorization).await?;
    if attempt.reconnect_grant_id.as_deref() != Some(id.as_str()) {
        return Err(Problem::not_found("authorization of this grant"));
    }
    let outcome = match form.text("decision") {
        "accept" => grant::confirm_identity_change(&desk.ctx, desk.actor(), authorization)
            .await
            .map(|outcome| match outcome {
                CallbackOutcome::Connected { .. } => "The grant belongs to the other account from now on.",
                CallbackOutcome::IdentityMismatch { .. } => "Nothing was changed.",
            }),
        "refuse" => grant::refuse_identity_change(&desk.ctx, authorization)
            .await
            .map(|()| "The other account was refused; nothing was changed."),
        _ => {
            return Err(Problem::bad_request(
                "unknown_decision",
                "decide between refuse and accept",
            ));
        }
    };
    match outcome {
        Ok(text) => desk.done(text, &page).await,
        Err(CallbackError::Grant(error)) => Err(error.into()),
        Err(error) => desk.failed(failure::sentence(&error.trouble()), &page).await,
    }
}
