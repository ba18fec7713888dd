//! `/site-mail`: the account that sends mails of this installation itself, and a test of it.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::input::Input;
use super::outgoing::{refused, schema as outgoing_schema, show as show_outgoing};
use super::tag::{IfMatch, Tag, changed_meanwhile};
use super::{once, output};
use crate::access::{Access, Scope};
use crate::account;
use crate::alert::{self, Audience};
use crate::ctx::Ctx;
use crate::outbox::{self, OutboxError, SiteSettings};
use crate::smtp::parse_address;
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, input, list_of, object, text, word};
use crate::web::route::{Guard, Route};

/// Who can get alerts.
const AUDIENCES: &[&str] = &["admins", "addresses", "nobody"];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/site-mail", Guard::Site(Scope::Admin), || web::to(get)).doc(|| {
        Doc::new("Show how this installation sends mail of its own")
            .about("Invitations, alerts and test mails: through the account below `[smtp]` in the configuration, or a mailbox.")
            .answers(200, "The account that sends", schema())
            .tagged()
    }),
    Route::patch("/api/v1/site-mail", Guard::Site(Scope::Admin), || web::to(change)).doc(|| {
        Doc::new("Choose how this installation sends mail of its own")
            .takes(input(
                &[],
                [
                    (
                        "mailboxId",
                        text()
                            .or_null()
                            .about("A mailbox with an SMTP server; null: the account of the configuration"),
                    ),
                    (
                        "alerts",
                        word(AUDIENCES).about("Who gets alerts; `admins`: all site admins who want them"),
                    ),
                    ("alertAddresses", list_of(text()).about("With `addresses`: to whom")),
                ],
            ))
            .answers(200, "The account that sends from now on", schema())
            .tagged()
    }),
    Route::get("/api/v1/site-mail/me", Guard::Own(Scope::Admin), || web::to(opted)).doc(|| {
        Doc::new("Show whether one gets mails of this installation")
            .answers(200, "The choice", object([("alerts", boolean())]))
            .fails(409, "The token belongs to no person")
            .tagged()
    }),
    Route::patch("/api/v1/site-mail/me", Guard::Own(Scope::Admin), || web::to(opt)).doc(|| {
        Doc::new("Choose whether one gets mails of this installation")
            .about("Alerts for site admins, and notifications of tickets. For the token's owner.")
            .takes(input(&["alerts"], [("alerts", boolean())]))
            .answers(200, "The choice", object([("alerts", boolean())]))
            .fails(409, "The token belongs to no person")
            .tagged()
    }),
    Route::post("/api/v1/site-mail/tests", Guard::Site(Scope::Admin), || web::to(test))
        .sends_mail()
        .doc(|| {
            Doc::new("Send a test mail of this installation")
                .about("Its outcome is at `/api/v1/outgoing-mails/{id}`, with cause and remedy if it failed.")
                .takes(input(
                    &[],
                    [("to", text().about("An address; the token's owner if it is missing"))],
                ))
                .answers(202, "The mail, queued", outgoing_schema())
                .fails(409, "no account sends mails of this installation")
        }),
];

fn schema() -> Schema {
    let account = object([
        ("kind", word(&["smtp", "mailbox"])),
        ("from", text().about("The sender")),
        ("mailboxId", text().or_null()),
    ]);
    object([
        ("mailboxId", text().or_null().about("The mailbox that was chosen")),
        (
            "account",
            account
                .or_null()
                .about("null: nothing is sent; `problem` says why"),
        ),
        ("problem", text().or_null()),
        ("alerts", word(AUDIENCES)),
        ("alertAddresses", list_of(text())),
    ])
    .named("SiteMail")
}

async fn shown(ctx: &Ctx, settings: &SiteSettings) -> Result<Value, Problem> {
    let (account, problem) = match outbox::site_account(ctx.db.read(), ctx).await {
        Ok(account) => (account.to_json(), Value::Null),
        Err(OutboxError::Db(error)) => return Err(error.into()),
        Err(error) => (Value::Null, error.to_string().into()),
    };
    let alerts = alert::settings(ctx.db.read()).await?;
    Ok(json!({
        "mailboxId": output::text(&settings.mailbox_id),
        "account": account,
        "problem": problem,
        "alerts": alerts.audience.as_str(),
        "alertAddresses": alerts.addresses,
    }))
}

async fn get(ctx: web::Data<Ctx>) -> Result<HttpResponse, Problem> {
    let settings = outbox::site_settings(&ctx).await?;
    Ok(output::tagged(settings.revision, shown(&ctx, &settings).await?))
}

async fn change(ctx: web::Data<Ctx>, seen: IfMatch, input: Input) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let settings = outbox::site_settings(&ctx).await?;
        seen.check(settings.revision)?;
        let input_mailbox = settings.mailbox_id.clone();
        let mailbox_id = if input.mentions("mailboxId") {
            input.text("mailboxId").unwrap_or_default()
        } else {
            input_mailbox.clone()
        };
        let audience = input.word("alerts", Audience::parse, "admins, addresses, nobody");
        let addresses = input.texts("alertAddresses");
        for (position, address) in addresses.iter().flatten().enumerate() {
            if let Err(error) = parse_address("alertAddresses", address) {
                input.problem(&format!("alertAddresses/{position}"), error.code, error.message);
            }
        }
        if addresses.as_ref().is_some_and(|all| all.len() > 50) {
            input.problem("alertAddresses", "too_many", "name at most 50 addresses");
        }
        input.finish()?;
        let mut settings = settings;
        let txn = ctx.db.begin().await?;
        if input_mailbox != mailbox_id {
            settings = outbox::choose_site_mailbox_in(&txn, &ctx, settings.revision, &mailbox_id)
                .await
                .map_err(refused)?;
        }
        if audience.is_some() || addresses.is_some() {
            let mut alerts = alert::settings(&txn).await?;
            alerts.revision = settings.revision;
            alerts.audience = audience.unwrap_or(alerts.audience);
            alerts.addresses = addresses.unwrap_or(alerts.addresses);
            if !alert::save_in(&txn, &ctx, &alerts).await? {
                return Err(changed_meanwhile());
            }
            settings.revision += 1;
        }
        txn.commit().await?;
        Ok(output::tagged(settings.revision, shown(&ctx, &settings).await?))
    })
    .await
}

fn owner(access: &Access) -> Result<&str, Problem> {
    access
        .user_id()
        .ok_or_else(|| Problem::conflict("no_person", "this token belongs to no person"))
}

async fn choice(ctx: &Ctx, access: &Access) -> Result<Value, Problem> {
    let is_out = alert::is_opted_out(ctx.db.read(), owner(access)?).await?;
    Ok(json!({ "alerts": !is_out }))
}

async fn opted(ctx: web::Data<Ctx>, access: Access) -> Result<HttpResponse, Problem> {
    let shown = choice(&ctx, &access).await?;
    Ok(output::tagged(Tag::of(&shown), shown))
}

async fn opt(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let wants = input.boolean("alerts").unwrap_or(true);
    input.finish()?;
    seen.check(Tag::of(&choice(&ctx, &access).await?))?;
    alert::opt(ctx.db.write(), owner(&access)?, wants).await?;
    opted(ctx, access).await
}

async fn test(
    ctx: web::Data<Ctx>,
    access: Access,
    request: HttpRequest,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let to = match input.text("to") {
        Some(to) => to,
        None => account::get(&ctx.db, access.user_id().unwrap_or_default())
            .await?
            .map(|owner| owner.email)
            .unwrap_or_default(),
    };
    input.finish()?;
    let mail = outbox::send_test_mail(&ctx, access.actor(), &to, once::name(&request))
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/outgoing-mails/{}", mail.id);
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, path))
        .json(show_outgoing(&mail)))
}
