//! `/users`: people. Who shares a project with a project admin is seen by them; changes are a site admin's.

use std::collections::BTreeMap;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::tag::{IfMatch, changed_meanwhile};
use super::{once, output};
use crate::access::{Access, Projects, Role, Scope};
use crate::account::{self, AccountError, LinkKind, PersonChange, User};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::project;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, input, list_of, object, text, time, url, word};
use crate::web::people::{self, Invitation, LinkMade};
use crate::web::route::{Guard, Route};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/users", Guard::Scope(Scope::UsersRead), || web::to(list)).doc(|| {
        Doc::new("List people")
            .about("Everybody for a site admin, else the members of the projects one manages.")
            .lists(user())
    }),
    Route::post("/api/v1/users", Guard::Site(Scope::Admin), || web::to(create)).sends_mail().doc(|| {
        Doc::new("Invite somebody")
            .about(
                "Makes an account whose person sets a password by a link, once, within 24 hours. The link goes by mail; \
                 where this installation sends no mail, `invitationUrl` is the link, shown in this answer only.",
            )
            .takes(input(
                &["email"],
                [
                    ("email", text()),
                    ("name", text()),
                    ("isSiteAdmin", boolean().default(false)),
                    ("memberships", list_of(membership())),
                ],
            ))
            .answers(201, "The new account", user().and("invitationUrl", url().or_null()).named("NewUser"))
            .tagged()
    }),
    Route::get("/api/v1/users/{id}", Guard::Scope(Scope::UsersRead), || web::to(get))
        .doc(|| Doc::new("Show a person").answers(200, "The person", user()).tagged()),
    Route::patch("/api/v1/users/{id}", Guard::Site(Scope::Admin), || web::to(update)).doc(|| {
        Doc::new("Change an account")
            .about(
                "Disabling ends the person's sessions and what apps hold, and revokes their tokens, at once. Another \
                 address ends links that wait for the old one, which is told. The last site admin stays one.",
            )
            .takes(input(
                &[],
                [
                    ("name", text()),
                    ("email", text()),
                    ("phoneNumber", text().or_null()),
                    ("address", text().or_null()),
                    ("isSiteAdmin", boolean()),
                    ("isDisabled", boolean()),
                ],
            ))
            .answers(200, "The changed account", user())
            .tagged()
    }),
    Route::delete("/api/v1/users/{id}", Guard::Site(Scope::Admin), || web::to(remove)).doc(|| {
        Doc::new("Remove a person for good")
            .about(
                "Name, addresses, phone number, password, second factor and roles are deleted, and everything they are signed in with \
                 ends. What they did stays, under “Removed person”.",
            )
            .answers_nothing(204, "Removed")
            .tagged()
    }),
    Route::post("/api/v1/users/{id}/invitations", Guard::Site(Scope::Admin), || {
        web::to(invite_again)
    })
    .sends_mail()
    .doc(|| {
        Doc::new("Invite somebody again")
            .about("For people who never signed in. Earlier links stop working.")
            .answers(
                201,
                "The invitation",
                object([("invitationUrl", url().or_null()), ("expiresAt", time())]).named("NewInvitation"),
            )
    }),
    Route::delete("/api/v1/users/{id}/invitations", Guard::Site(Scope::Admin), || {
        web::to(revoke_invitation)
    })
    .doc(|| {
        Doc::new("Take an invitation back")
            .about("Its link does not work any more; the account stays.")
            .answers_nothing(204, "Taken back")
    }),
    Route::post("/api/v1/users/{id}/password-links", Guard::Site(Scope::Admin), || {
        web::to(password_link)
    })
    .sends_mail()
    .doc(|| {
        Doc::new("Make a link for a new password")
            .about(
                "It works once, within an hour, and goes by mail; where this installation sends no mail, `url` is the \
                 link. Using it ends the person's sessions and tokens.",
            )
            .answers(
                201,
                "The link",
                object([("url", url().or_null()), ("expiresAt", time())]).named("PasswordLink"),
            )
    }),
    Route::delete("/api/v1/users/{id}/second-factor", Guard::Site(Scope::Admin), || {
        web::to(remove_second_factor)
    })
    .doc(|| {
        Doc::new("Take the second factor of a person away")
            .about("For somebody who lost it. Their sessions end.")
            .answers_nothing(204, "Taken away")
    }),
];

fn membership() -> Schema {
    object([
        ("projectId", id("prj")),
        ("role", word(&["viewer", "agent", "project_admin"])),
    ])
}

/// A person as [`show`] writes them.
fn user() -> Schema {
    object([
        ("id", id("usr")),
        ("email", text()),
        ("name", text()),
        ("phoneNumber", text().or_null()),
        ("address", text().or_null().about("In lines")),
        ("isSiteAdmin", boolean()),
        ("isDisabled", boolean()),
        ("hasPassword", boolean()),
        ("hasSecondFactor", boolean()),
        ("createdAt", time()),
        ("disabledAt", time().or_null()),
        ("lastSignInAt", time().or_null()),
        (
            "invitationExpiresAt",
            time().about("Of an invitation that was not used yet").or_null(),
        ),
    ])
    .named("User")
}

/// What is known of people beside their rows.
struct Beside {
    strong: Vec<String>,
    invited: BTreeMap<String, i64>,
}

impl Beside {
    async fn load(ctx: &Ctx) -> Result<Self, Problem> {
        Ok(Self {
            strong: account::with_second_factor(ctx).await?,
            invited: account::open_invitations(ctx).await?,
        })
    }
}

fn show(user: &User, beside: &Beside) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "phoneNumber": output::text(&user.phone),
        "address": output::text(&user.address),
        "isSiteAdmin": user.is_site_admin,
        "isDisabled": user.disabled_at.is_some(),
        "hasPassword": user.password_set_at.is_some(),
        "hasSecondFactor": beside.strong.contains(&user.id),
        "createdAt": rfc3339(user.created_at),
        "disabledAt": output::time(user.disabled_at),
        "lastSignInAt": output::time(user.last_sign_in_at),
        "invitationExpiresAt": output::time(beside.invited.get(&user.id).copied()),
    })
}

async fn find(ctx: &Ctx, projects: &Projects, id: &str) -> Result<User, Problem> {
    account::get_in(&ctx.db, projects, id)
        .await?
        .filter(|user| user.removed_at.is_none())
        .ok_or_else(|| Problem::not_found("user"))
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let mut all = account::list(&ctx.db, &access.projects()).await?;
    all.retain(|user| user.removed_at.is_none());
    let beside = Beside::load(&ctx).await?;
    Ok(output::list_from_all(
        &query,
        all,
        |user| &user.id,
        |user| show(user, &beside),
    ))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    Ok(output::tagged(
        found.revision,
        show(&found, &Beside::load(&ctx).await?),
    ))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let email = input.required_text("email");
    let name = input.text("name").unwrap_or_default();
    let is_site_admin = input.boolean("isSiteAdmin").unwrap_or(false);
    let roles = read_memberships(&ctx, &mut input).await?;
    input.finish()?;
    let invitation = Invitation {
        email,
        name,
        is_site_admin,
        roles,
    };
    let (made, link) = people::invite(&ctx, &invitation, access.actor()).await?;
    let mut body = show(&made, &Beside::load(&ctx).await?);
    if let Some(members) = body.as_object_mut() {
        members.insert("invitationUrl".into(), url_of(&link));
    }
    let path = format!("/api/v1/users/{}", made.id);
    Ok(output::created(&path, made.revision, body))
}

/// What a new person is to be in which projects, each of which must exist.
async fn read_memberships(ctx: &Ctx, input: &mut Input) -> Result<Vec<(String, Role)>, Problem> {
    let sent = input.value("memberships").cloned();
    let Some(items) = sent.as_ref().and_then(Value::as_array) else {
        return Ok(Vec::new());
    };
    let known = project::list(ctx, &Projects::All).await?;
    let mut roles = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let of = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let project_id = of("projectId");
        match Role::of_member(of("role")) {
            Some(role) if known.iter().any(|project| project.id == project_id) => {
                roles.push((project_id.to_owned(), role));
            }
            _ => input.problem(
                &format!("memberships/{place}"),
                "unknown",
                "name a project that exists, and one of the roles viewer, agent, project_admin",
            ),
        }
    }
    Ok(roles)
}

fn url_of(link: &LinkMade) -> Value {
    link.url
        .as_ref()
        .map_or(Value::Null, |url| url.expose_secret().into())
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let old = find(&ctx, &access.projects(), &id).await?;
        let seen = seen.seen(old.revision)?;
        let change = PersonChange {
            name: input.text("name"),
            email: input.text("email"),
            phone: optional(&mut input, "phoneNumber"),
            address: optional(&mut input, "address"),
            is_site_admin: input.boolean("isSiteAdmin"),
        };
        let is_disabled = input.boolean("isDisabled");
        input.finish()?;
        people::change_all(&ctx, &id, seen, (&change, is_disabled), access.actor())
            .await
            .map_err(refused)?;
        Ok(())
    })
    .await?;
    get(ctx, access, id).await
}

fn refused(error: AccountError) -> Problem {
    match error {
        AccountError::Conflict => changed_meanwhile(),
        error => error.into(),
    }
}

/// A text that null or an empty one takes away.
fn optional(input: &mut Input, name: &str) -> Option<String> {
    input.mentions(name).then(|| input.text(name).unwrap_or_default())
}

async fn remove(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let found = find(&ctx, &access.projects(), &id).await?;
        let seen = seen.seen(found.revision)?;
        people::remove(&ctx, &found.id, seen, access.actor())
            .await
            .map_err(refused)?;
        Ok(output::done())
    })
    .await
}

async fn invite_again(
    ctx: web::Data<Ctx>,
    access: Access,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    if found.password_set_at.is_some() || found.last_sign_in_at.is_some() || !found.is_active() {
        return Err(Problem::conflict(
            "not_invited",
            "only somebody who never signed in is invited; make a link for a new password instead",
        ));
    }
    let link = people::make_link(
        &ctx,
        &found,
        LinkKind::Invitation,
        access.actor(),
        once::name(&request),
    )
    .await?;
    let expires_at = ctx.clock.now_ms() + LinkKind::Invitation.minutes() * 60_000;
    let body = json!({ "invitationUrl": url_of(&link), "expiresAt": rfc3339(expires_at) });
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/users/{}", found.id)))
        .json(body))
}

async fn revoke_invitation(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    account::revoke_invitation(&ctx, &found.id).await?;
    Ok(output::done())
}

async fn password_link(
    ctx: web::Data<Ctx>,
    access: Access,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    if !found.is_active() {
        return Err(Problem::conflict(
            "user_disabled",
            "this account is disabled; enable it first",
        ));
    }
    let link = people::make_link(
        &ctx,
        &found,
        LinkKind::Reset,
        access.actor(),
        once::name(&request),
    )
    .await?;
    let expires_at = ctx.clock.now_ms() + LinkKind::Reset.minutes() * 60_000;
    Ok(HttpResponse::Created().json(json!({ "url": url_of(&link), "expiresAt": rfc3339(expires_at) })))
}

async fn remove_second_factor(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let found = find(&ctx, &access.projects(), &id).await?;
    people::reset_second_factor(&ctx, &found.id, access.actor()).await?;
    Ok(output::done())
}
