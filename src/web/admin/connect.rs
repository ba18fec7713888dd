//! The wizard: from *Connect a mailbox* to a mailbox that is being tested, with nothing to decide on the way.

use actix_web::web;
use url::Url;

use super::attention::Overview;
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::connect::{ConnectChoose, ConnectDone, ConnectForm, ExistingIntegration, Leaving, Made};
use super::views::parts::{Choice, FormErrors};
use super::{failure, test_runs, words};
use crate::access::{Projects, Role};
use crate::connection_test;
use crate::ctx::Ctx;
use crate::grant::{self, Grant, StartAuthorization};
use crate::integration::{
    self, CallbackOwner, Cloud, Flow, Integration, IntegrationChange, IntegrationError, IntegrationState,
    NewIntegration, Provider,
};
use crate::mailbox::{self, Mailbox, MailboxInput};
use crate::project::{self, NewProject};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/connect", Guard::Role(Role::SiteAdmin), || web::to(choose)),
    Route::get("/connect/{provider}", Guard::Role(Role::SiteAdmin), || {
        web::to(form)
    }),
    Route::post("/connect/{provider}", Guard::Role(Role::SiteAdmin), || {
        web::to(connect)
    }),
    Route::get("/connect/done/{id}", Guard::Role(Role::SiteAdmin), || {
        web::to(done)
    }),
];

/// Where an authorization of the wizard returns to: the callback recognises it and calls [`finish`].
pub(in crate::web) const WIZARD: &str = "/connect";
/// Where any other authorization returns to; the callback puts the grant's id in.
pub(in crate::web) const GRANT_PAGE: &str = "/grants/{grantId}";

async fn choose(desk: Desk) -> Answer {
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let works = |integration: &&Integration| integration.state == IntegrationState::Ok;
    let existing = overview
        .integrations
        .iter()
        .filter(works)
        .map(|integration| ExistingIntegration {
            id: integration.id.clone(),
            name: integration.name.clone(),
            provider: match integration.provider {
                Provider::Custom => host_of(&integration.token_endpoint),
                known => words::provider(known).to_owned(),
            },
            icon: words::provider_icon(integration.provider).to_owned(),
        });
    let existing = existing.collect();
    desk.show(&ConnectChoose {
        page: desk
            .page_with("Connect a mailbox", Section::Mailboxes, &overview)
            .await?,
        existing,
    })
}

fn known_provider(text: &str) -> Result<Provider, Problem> {
    Provider::parse(text)
        .filter(|provider| *provider != Provider::Custom)
        .ok_or_else(|| Problem::not_found("provider"))
}

async fn form(desk: Desk, provider: web::Path<String>) -> Answer {
    let provider = known_provider(&provider)?;
    let (callback_id, _) = integration::draft_callback(&desk.ctx).await?;
    let typed = Typed {
        callback_id,
        tenant: DEFAULT_TENANT.to_owned(),
        ..Typed::default()
    };
    desk.show(&view(&desk, provider, &typed, FormErrors::default()).await?)
}

/// Any work or school account, and no private ones.
pub(super) const DEFAULT_TENANT: &str = "organizations";

/// What the wizard's form holds.
#[derive(Default)]
struct Typed {
    callback_id: String,
    client_id: String,
    client_secret: secrecy::SecretString,
    tenant: String,
    cloud: Cloud,
}

impl Typed {
    /// The fields, or Google's file when they are empty.
    fn of(form: &FormData, errors: &mut FormErrors) -> Self {
        let mut typed = Self {
            callback_id: form.text("callback_id").to_owned(),
            client_id: form.text("client_id").to_owned(),
            client_secret: form.secret("client_secret"),
            tenant: form.text("tenant").to_owned(),
            cloud: Cloud::parse(form.text("cloud")).unwrap_or_default(),
        };
        let json = form.text("google_json");
        if !json.is_empty() && typed.client_id.is_empty() {
            match integration::parse_google_client_json(json) {
                Ok(client) => {
                    typed.client_id = client.client_id;
                    typed.client_secret = client.client_secret;
                }
                Err(trouble) => errors.add("google_json", format!("{} {}", trouble.cause, trouble.remedy)),
            }
        }
        typed
    }
}

async fn view(
    desk: &Desk,
    provider: Provider,
    typed: &Typed,
    errors: FormErrors,
) -> Result<ConnectForm, Problem> {
    let name = words::provider(provider);
    Ok(ConnectForm {
        page: desk
            .page(format!("Connect a {name} mailbox"), Section::Mailboxes)
            .await?,
        provider: provider.as_str().to_owned(),
        provider_name: name.to_owned(),
        console_url: console_url(provider).to_owned(),
        callback_id: typed.callback_id.clone(),
        redirect_url: desk
            .ctx
            .config
            .url(&format!("/oauth2/callback/{}", typed.callback_id)),
        redirect_warning: redirect_warning(provider, &desk.ctx.config.base_url),
        client_id: typed.client_id.clone(),
        tenant: typed.tenant.clone(),
        clouds: clouds(typed.cloud),
        errors,
    })
}

fn console_url(provider: Provider) -> &'static str {
    match provider {
        Provider::Google => "https://console.cloud.google.com/apis/credentials",
        _ => "https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade",
    }
}

/// Microsoft's clouds to choose from.
pub(super) fn clouds(chosen: Cloud) -> Vec<Choice> {
    [
        (Cloud::Global, "Microsoft 365 (worldwide)"),
        (Cloud::GccHigh, "US Government (GCC High)"),
        (Cloud::Dod, "US Department of Defense"),
        (Cloud::China, "China, operated by 21Vianet"),
    ]
    .into_iter()
    .map(|(cloud, label)| Choice::new(cloud.as_str(), label, cloud == chosen))
    .collect()
}

/// Why a provider will refuse to register our redirect URL.
fn redirect_warning(provider: Provider, base: &Url) -> Option<String> {
    let host = base.host_str().unwrap_or_default();
    let is_address = matches!(base.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)));
    let why = match (provider, base.scheme()) {
        (Provider::Microsoft, "http") if host != "localhost" => "Microsoft accepts http only for localhost.",
        (Provider::Google, "https") if is_address => "Google accepts no numeric address.",
        (Provider::Google, "https") if !host.contains('.') => {
            "Google accepts only hosts under a public domain."
        }
        _ => return None,
    };
    Some(format!(
        "{why} Set MAILGRANT_BASE_URL to an https address with a name, and open this form again."
    ))
}

async fn connect(desk: Desk, provider: web::Path<String>, form: FormData) -> Answer {
    let provider = known_provider(&provider)?;
    let mut errors = FormErrors::default();
    let typed = Typed::of(&form, &mut errors);
    if !errors.is_empty() {
        return desk.show_again(&view(&desk, provider, &typed, errors).await?);
    }
    match save(&desk, provider, &typed).await {
        Ok(integration) => leave(&desk, &integration, WIZARD).await,
        Err(IntegrationError::Invalid(found)) => {
            let mut typed = typed;
            for error in found {
                if error.field == "callback_id" {
                    typed.callback_id = integration::draft_callback(&desk.ctx).await?.0;
                }
                let here = ["client_id", "client_secret", "tenant", "cloud"].contains(&error.field);
                errors.add(if here { error.field } else { "" }, error.message);
            }
            desk.show_again(&view(&desk, provider, &typed, errors).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the integration; if this very form made it already (somebody went back to correct the secret), mends it.
async fn save(desk: &Desk, provider: Provider, typed: &Typed) -> Result<Integration, IntegrationError> {
    let ctx = &desk.ctx;
    if let CallbackOwner::Current(found) = integration::find_callback(ctx, &typed.callback_id).await?
        && found.provider == provider
    {
        let change = IntegrationChange {
            revision: found.revision,
            client_id: Some(typed.client_id.clone()),
            client_secret: Some(typed.client_secret.clone()),
            ..IntegrationChange::default()
        };
        return integration::update(ctx, desk.actor(), &found.id, change).await;
    }
    let new = NewIntegration {
        name: free_name(ctx, words::provider(provider)).await?,
        provider,
        tenant: typed.tenant.clone(),
        cloud: typed.cloud,
        client_id: typed.client_id.clone(),
        client_secret: typed.client_secret.clone(),
        callback_id: Some(typed.callback_id.clone()),
        ..NewIntegration::default()
    };
    integration::create(ctx, desk.actor(), new).await
}

async fn free_name(ctx: &Ctx, wanted: &str) -> Result<String, IntegrationError> {
    let all = integration::list(ctx, &Projects::All, None, 100_000).await?;
    Ok(first_free(wanted, |name| {
        all.iter().any(|integration| integration.name == name)
    }))
}

/// "Google", else "Google 2", "Google 3" and so on.
fn first_free(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = wanted.to_owned();
    let mut n = 2;
    while is_taken(&name) {
        name = format!("{wanted} {n}");
        n += 1;
    }
    name
}

/// Starts an authorization and leads the browser to the provider, or straight on when no person is asked.
pub(super) async fn leave(desk: &Desk, integration: &Integration, return_to: &str) -> Answer {
    start(desk, integration, None, "", return_to).await
}

/// The same on behalf of a project, which may use the grant then.
pub(super) async fn leave_for(
    desk: &Desk,
    integration: &Integration,
    project_id: &str,
    return_to: &str,
) -> Answer {
    start(desk, integration, None, project_id, return_to).await
}

/// The same for a grant that is to be connected again.
pub(super) async fn reconnect(desk: &Desk, integration: &Integration, grant: &Grant) -> Answer {
    start(desk, integration, Some(grant), "", GRANT_PAGE).await
}

async fn start(
    desk: &Desk,
    integration: &Integration,
    grant: Option<&Grant>,
    project_id: &str,
    return_to: &str,
) -> Answer {
    let input = StartAuthorization {
        session_id: Some(desk.current.session().id.clone()),
        actor: desk.actor().to_owned(),
        project_id: project_id.to_owned(),
        expected_identity: None,
        reconnect_grant_id: grant.map(|grant| grant.id.clone()),
        return_to: return_to.to_owned(),
        login_hint: grant.map(|grant| grant.identity.clone()),
    };
    let back = match grant {
        Some(grant) => format!("/grants/{}", grant.id),
        None => format!("/integrations/{}", integration.id),
    };
    let started = match grant::start(&desk.ctx, integration, input).await {
        Ok(started) => started,
        Err(error @ (grant::GrantError::Db(_) | grant::GrantError::Seal(_))) => return Err(error.into()),
        Err(error) => return desk.failed(failure::sentence(&error.trouble()), &back).await,
    };
    if let Some(url) = started.authorization_url {
        return desk.show(&Leaving {
            page: desk.page("On to the provider", Section::None).await?,
            host: host_of(&url),
            url,
        });
    }
    let grant_id = started.grant_id.unwrap_or_default();
    let path = if return_to == WIZARD {
        finish(&desk.ctx, desk.actor(), &grant_id).await?.path
    } else {
        return_to.replace("{grantId}", &grant_id)
    };
    desk.done("A token was issued; it is refreshed before it expires.", &path)
        .await
}

fn host_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Where the wizard goes on after the consent.
pub(in crate::web) struct Finished {
    /// The page to show.
    pub(in crate::web) path: String,
    /// Why the mailbox has to be made by hand, if it has to.
    pub(in crate::web) hurdle: Option<String>,
}

/// After the consent: the project HELP and a mailbox with safe defaults, each if it is missing, and the mailbox's
/// first test. Where the mail server is not known, the mailbox's form, filled as far as can be.
pub(in crate::web) async fn finish(ctx: &Ctx, actor: &str, grant_id: &str) -> Result<Finished, Problem> {
    let grant = grant::get(ctx, &Projects::All, grant_id).await?;
    let integration = integration::get(ctx, &Projects::All, &grant.integration_id).await?;
    let known = integration::preset(
        integration.provider,
        &integration.tenant,
        integration.cloud,
        integration.flow,
    );
    let all = mailbox::list(ctx, &Projects::All).await?;
    let made = match all.iter().find(|mailbox| mailbox.grant_id == grant.id) {
        Some(mailbox) => mailbox.clone(),
        None => {
            let by_hand = |hurdle| Finished {
                path: format!("/mailboxes/new?grant={}", grant.id),
                hurdle,
            };
            let app_only = integration.flow == Flow::ClientCredentials;
            if known.imap_host.is_empty() || app_only || !grant.identity.contains('@') {
                return Ok(by_hand(None));
            }
            match make_mailbox(ctx, actor, &grant, known.imap_host, &all).await? {
                Ok(mailbox) => mailbox,
                Err(hurdle) => return Ok(by_hand(Some(hurdle))),
            }
        }
    };
    mailbox::start_test(ctx, &Projects::All, actor, &made.id).await?;
    Ok(Finished {
        path: format!("/connect/done/{}", made.id),
        hurdle: None,
    })
}

async fn make_mailbox(
    ctx: &Ctx,
    actor: &str,
    grant: &Grant,
    host: String,
    all: &[Mailbox],
) -> Result<Result<Mailbox, String>, Problem> {
    let input = MailboxInput {
        name: first_free(&grant.identity, |name| {
            all.iter().any(|mailbox| mailbox.name == name)
        }),
        project_id: default_project(ctx).await?,
        grant_id: grant.id.clone(),
        host,
        login_name: grant.identity.clone(),
        ..MailboxInput::default()
    };
    match mailbox::create(ctx, &Projects::All, actor, input).await {
        Ok(mailbox) => Ok(Ok(mailbox)),
        Err(error @ mailbox::MailboxError::Db(_)) => Err(error.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// The project that mail goes to when nobody chose one: HELP, made if there is none at all.
async fn default_project(ctx: &Ctx) -> Result<String, Problem> {
    if let Some(help) = project::get_by_key(ctx, &Projects::All, "HELP").await? {
        return Ok(help.id);
    }
    if let Some(first) = project::list(ctx, &Projects::All).await?.into_iter().next() {
        return Ok(first.id);
    }
    let new = NewProject {
        key: "HELP".to_owned(),
        name: "Help desk".to_owned(),
        description: String::new(),
    };
    Ok(project::create(ctx, new).await?.id)
}

async fn done(desk: Desk, id: web::Path<String>) -> Answer {
    let ctx = &desk.ctx;
    let mailbox = mailbox::get(ctx, &desk.access().projects(), &id).await?;
    let Some(run) = connection_test::latest_of(ctx.db.read(), &mailbox.id).await? else {
        return desk.go(&format!("/mailboxes/{}", mailbox.id));
    };
    let overview = Overview::load(ctx, desk.access()).await?;
    desk.show(&ConnectDone {
        page: desk
            .page_with("Mailbox connected", Section::Mailboxes, &overview)
            .await?,
        address: mailbox.login_name.clone(),
        mailbox_id: mailbox.id.clone(),
        made: made(ctx, &overview, &mailbox).await?,
        test: test_runs::log(&desk, &run).await?,
    })
}

async fn made(ctx: &Ctx, overview: &Overview, mailbox: &Mailbox) -> Result<Vec<Made>, Problem> {
    let item = |what: &str, name: &str, text: String, href: String, icon: &str| Made {
        what: what.to_owned(),
        name: name.to_owned(),
        text,
        href,
        icon: icon.to_owned(),
    };
    let project = project::get(ctx, &Projects::All, &mailbox.project_id).await?;
    let mut made = vec![
        item(
            "Mailbox",
            &mailbox.name,
            super::mailboxes::in_a_sentence(mailbox),
            format!("/mailboxes/{}", mailbox.id),
            "mailbox",
        ),
        item(
            "Project",
            &project.key,
            format!("Every new mail opens a ticket: {0}-1, {0}-2, …", project.key),
            format!("/projects/{}", project.id),
            "folders",
        ),
    ];
    if let Some(grant) = overview.grant(&mailbox.grant_id) {
        made.push(item(
            "Grant",
            &words::account_of(grant),
            "Refreshed before it expires, by itself.".to_owned(),
            format!("/grants/{}", grant.id),
            "key",
        ));
        if let Some(integration) = overview.integration(&grant.integration_id) {
            made.push(item(
                "Integration",
                &integration.name,
                "Can connect more mailboxes.".to_owned(),
                format!("/integrations/{}", integration.id),
                "plug-connected",
            ));
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_url_that_a_provider_refuses_is_named_before_it_is_registered() {
        let warning = |provider, base: &str| redirect_warning(provider, &Url::parse(base).unwrap());
        assert_eq!(warning(Provider::Google, "http://127.0.0.1:8080"), None);
        assert_eq!(warning(Provider::Google, "https://mail.example.org"), None);
        assert_eq!(warning(Provider::Microsoft, "http://localhost:8080"), None);
        assert_eq!(warning(Provider::Microsoft, "https://mail.example.org/x"), None);
        assert!(warning(Provider::Microsoft, "http://127.0.0.1:8080").is_some());
        assert!(warning(Provider::Google, "https://192.0.2.1").is_some());
        assert!(warning(Provider::Google, "https://intranet").is_some());
    }
}
