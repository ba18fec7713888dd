//! The buttons of the demo: connecting its mailbox, and breaking things on purpose.

use actix_web::{HttpResponse, web};
use url::Url;

use super::{Inner, connect};
use crate::access::{Projects, Role};
use crate::account::FlashKind;
use crate::ctx::Ctx;
use crate::grant::{self, StartAuthorization};
use crate::mailbox;
use crate::render::Renderer;
use crate::sandbox::{Sandbox, SandboxError};
use crate::web::admin::views::connect::Leaving;
use crate::web::admin::views::{Page, Section};
use crate::web::respond::{base_path, html, see_other, see_other_with};
use crate::web::{CurrentUser, FormData, Guard, Problem, Route};

/// Where the callback leads in the demo.
const CONNECTED: &str = "/demo/connected";

/// The routes of the demo.
pub(super) const ROUTES: &[Route] = &[
    Route::post("/demo/connect", Guard::Role(Role::SiteAdmin), || web::to(start)),
    Route::get(CONNECTED, Guard::Role(Role::SiteAdmin), || web::to(connected)),
    Route::post("/demo/faults", Guard::Role(Role::SiteAdmin), || web::to(faults)),
];

/// Begins the real authorization: the browser goes to the sandbox's consent page.
async fn start(
    ctx: web::Data<Ctx>,
    renderer: web::Data<Renderer>,
    demo: web::Data<Inner>,
    user: CurrentUser,
) -> Result<HttpResponse, Problem> {
    let actor = &user.user().id;
    let integration = connect::integration(&ctx, &demo.sandbox, actor).await?;
    let before = connect::newest_grant(&ctx, &integration).await?;
    let input = StartAuthorization {
        session_id: Some(user.session().id.clone()),
        actor: actor.clone(),
        reconnect_grant_id: before.map(|grant| grant.id),
        return_to: CONNECTED.to_owned(),
        login_hint: Some(demo.sandbox.mailbox()),
        ..StartAuthorization::default()
    };
    let started = grant::start(&ctx, &integration, input)
        .await
        .map_err(|error| Problem::from(error.trouble()))?;
    let url = started
        .authorization_url
        .ok_or_else(|| Problem::internal(&"a code flow without an authorization URL"))?;
    let host = Url::parse(&url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let mut page = Page::new("On to the provider", Section::None);
    base_path(&ctx).clone_into(&mut page.base);
    page.demo = true;
    let view = Leaving {
        page,
        host: host.unwrap_or_default(),
        url,
    };
    let body = renderer
        .render(&view)
        .map_err(|error| Problem::internal(&error))?;
    Ok(html(body))
}

/// After the callback: the mailbox, made if it is missing, and its connection test. Loading it again makes nothing
/// anew but a test.
async fn connected(
    ctx: web::Data<Ctx>,
    demo: web::Data<Inner>,
    user: CurrentUser,
) -> Result<HttpResponse, Problem> {
    let grant = match connect::find_integration(&ctx).await? {
        Some(integration) => connect::newest_grant(&ctx, &integration).await?,
        None => None,
    };
    let Some(grant) = grant else {
        return Ok(see_other(&ctx, "/"));
    };
    let actor = &user.user().id;
    let mailbox = connect::mailbox(&ctx, &demo.sandbox, actor, &grant.id).await?;
    let test = mailbox::start_test(&ctx, &Projects::All, actor, &mailbox.id)
        .await
        .map_err(|error| Problem::internal(&error))?;
    Ok(see_other(&ctx, &format!("/tests/{test}")))
}

/// Breaks something, or mends it, and has every mailbox look at once.
async fn faults(
    ctx: web::Data<Ctx>,
    demo: web::Data<Inner>,
    user: CurrentUser,
    form: FormData,
) -> Result<HttpResponse, Problem> {
    let applied = apply(&demo.sandbox, form.text("fault")).await;
    let Some(text) = applied.map_err(|error| Problem::internal(&error))? else {
        return Err(Problem::bad_request(
            "unknown_fault",
            "the demo has no such fault; nothing was changed",
        ));
    };
    let mailboxes = mailbox::list(&ctx, &Projects::All)
        .await
        .map_err(|error| Problem::internal(&error))?;
    for mailbox in mailboxes {
        // One that was deleted in this moment needs no poll.
        let _ = mailbox::poll_now(&ctx, &Projects::All, &mailbox.id).await;
    }
    see_other_with(&ctx, user.session(), FlashKind::Success, text, "/").await
}

/// Does what a button says; none for a button that does not exist.
pub(super) async fn apply(sandbox: &Sandbox, fault: &str) -> Result<Option<&'static str>, SandboxError> {
    let faults = sandbox.faults();
    let text = match fault {
        "expire_token" => {
            sandbox.expire_tokens().await?;
            "The access token has expired. Mailgrant is fetching a new one; watch the grant's time line."
        }
        "revoke_consent" => {
            sandbox.revoke_consent().await?;
            "The consent is revoked. In a moment the grant needs a person: the cause and Reconnect appear on the \
             dashboard."
        }
        "cut_connection" => {
            faults.cut_connections();
            "The mail server is gone. In a moment its mailbox is failing, with the cause. “Restore everything” brings \
             it back."
        }
        "refuse_tls" => {
            faults.refuse_tls(true);
            // Sessions that are open would not notice.
            faults.drop_connections();
            "The mail server refuses TLS. In a moment its mailbox is failing, with the cause. “Restore everything” \
             brings it back."
        }
        "restore" => {
            faults.restore_all();
            "Everything works again; mail that waited arrives. A revoked consent needs Reconnect."
        }
        _ => return Ok(None),
    };
    Ok(Some(text))
}
