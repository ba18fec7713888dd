//! What *Connect the demo mailbox* makes: the integration, the project and the mailbox, each if it is missing.

use crate::access::Projects;
use crate::ctx::Ctx;
use crate::grant::{self, Grant};
use crate::integration::{self, AuthMethod, Integration, NewIntegration, Provider};
use crate::mailbox::{self, Mailbox, MailboxInput};
use crate::project::{self, NewProject};
use crate::sandbox::Sandbox;
use crate::web::Problem;

/// Name of the demo's integration.
pub(super) const INTEGRATION: &str = "Sandbox";
/// Key of the demo's project.
pub(super) const PROJECT: &str = "HELP";
/// Name of the demo's mailbox.
pub(super) const MAILBOX: &str = "Demo mailbox";

/// More integrations than anybody makes in a demo.
const MANY: u64 = 200;

/// The integration with the sandbox.
pub(super) async fn integration(ctx: &Ctx, sandbox: &Sandbox, actor: &str) -> Result<Integration, Problem> {
    if let Some(found) = find_integration(ctx).await? {
        return Ok(found);
    }
    let new = NewIntegration {
        name: INTEGRATION.to_owned(),
        description: "The provider that the demo brings with it.".to_owned(),
        provider: Provider::Custom,
        client_id: sandbox.client_id(),
        client_secret: sandbox.client_secret(),
        scopes: sandbox.scopes(),
        authorization_endpoint: sandbox.authorization_endpoint(),
        token_endpoint: sandbox.token_endpoint(),
        token_auth_method: Some(AuthMethod::ClientSecretBasic),
        ..NewIntegration::default()
    };
    integration::create(ctx, actor, new)
        .await
        .map_err(|error| unexpected(&error))
}

/// The integration with the sandbox, if it was made.
pub(super) async fn find_integration(ctx: &Ctx) -> Result<Option<Integration>, Problem> {
    let all = integration::list(ctx, &Projects::All, None, MANY)
        .await
        .map_err(|error| unexpected(&error))?;
    Ok(all
        .into_iter()
        .find(|integration| integration.name == INTEGRATION))
}

/// The newest grant of an integration, dead or alive.
pub(super) async fn newest_grant(ctx: &Ctx, integration: &Integration) -> Result<Option<Grant>, Problem> {
    let mut grants = grant::of_integration(ctx, &Projects::All, &integration.id)
        .await
        .map_err(|error| unexpected(&error))?;
    Ok(grants.pop())
}

/// The mailbox that reads with a grant.
pub(super) async fn mailbox(
    ctx: &Ctx,
    sandbox: &Sandbox,
    actor: &str,
    grant_id: &str,
) -> Result<Mailbox, Problem> {
    let all = mailbox::list(ctx, &Projects::All)
        .await
        .map_err(|error| unexpected(&error))?;
    if let Some(found) = all.into_iter().find(|mailbox| mailbox.grant_id == grant_id) {
        return Ok(found);
    }
    let input = MailboxInput {
        name: MAILBOX.to_owned(),
        project_id: project_id(ctx).await?,
        grant_id: grant_id.to_owned(),
        host: sandbox.imap_host(),
        port: i64::from(sandbox.imap_port()),
        login_name: sandbox.mailbox(),
        // The newcomer shall see tickets at once, not only from the next mail on.
        start_from: "all".to_owned(),
        ..MailboxInput::default()
    };
    mailbox::create(ctx, &Projects::All, actor, input)
        .await
        .map_err(|error| unexpected(&error))
}

/// The project its mail goes to.
async fn project_id(ctx: &Ctx) -> Result<String, Problem> {
    let found = project::get_by_key(ctx, &Projects::All, PROJECT)
        .await
        .map_err(|error| unexpected(&error))?;
    if let Some(found) = found {
        return Ok(found.id);
    }
    let new = NewProject {
        key: PROJECT.to_owned(),
        name: "Help desk".to_owned(),
        description: "Where the demo's mail becomes tickets.".to_owned(),
    };
    let made = project::create(ctx, new)
        .await
        .map_err(|error| unexpected(&error))?;
    Ok(made.id)
}

/// Everything entered here is our own, so a refusal is a fault of ours.
fn unexpected(error: &dyn std::fmt::Display) -> Problem {
    Problem::internal(error)
}
