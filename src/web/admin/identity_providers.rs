//! Identity providers: list, one provider with its tests and its mapping, results of tests.

use std::collections::BTreeMap;

use actix_web::web;
use serde::Deserialize;
use serde_json::Value;

use super::desk::{Answer, Desk};
use super::identity_provider_form::{form, input_of, place, read, rule_lines, tell, typed, values};
use super::views::Section;
use super::views::connect::Leaving;
use super::views::identity_providers::{
    ProviderDetail, ProviderList, ProviderRow, ProviderTest, ProviderTestRow, RoleLine,
};
use super::views::integrations::Fact;
use super::views::parts::{Badge, Choice, Confirm, FormErrors, Problem as Trouble, Tone};
use super::words;
use crate::access::{Projects, Role};
use crate::project::{self, Project};
use crate::sso::{
    self, ClientAuth, IdentityProvider, Policy, Preset, ProviderInput, RoleChange, Source, SsoError, TestRun,
};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

const SITE: Guard = Guard::Role(Role::SiteAdmin);

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/identity-providers", SITE, || web::to(list)),
    Route::post("/identity-providers", SITE, || web::to(create)),
    Route::get("/identity-providers/new", SITE, || web::to(new)),
    Route::get("/identity-providers/{id}", SITE, || web::to(detail)),
    Route::post("/identity-providers/{id}", SITE, || web::to(update)),
    Route::get("/identity-providers/{id}/edit", SITE, || web::to(edit)),
    Route::get("/identity-providers/{id}/delete", SITE, || {
        web::to(confirm_delete)
    }),
    Route::post("/identity-providers/{id}/delete", SITE, || web::to(delete)),
    Route::post("/identity-providers/{id}/enable", SITE, || web::to(enable)),
    Route::post("/identity-providers/{id}/disable", SITE, || web::to(disable)),
    Route::post("/identity-providers/{id}/tests", SITE, || web::to(test)),
    Route::get("/identity-providers/{id}/tests/{testId}", SITE, || {
        web::to(test_page)
    }),
];

/// Tests on a provider's page.
const SHOWN_TESTS: u64 = 10;

const PRESETS: [(Preset, &str); 6] = [
    (Preset::Google, "Google"),
    (Preset::Entra, "Microsoft Entra"),
    (Preset::Keycloak, "Keycloak"),
    (Preset::Okta, "Okta"),
    (Preset::Mailgrant, "Another Mailgrant"),
    (Preset::Generic, "Another provider"),
];

async fn list(desk: Desk) -> Answer {
    let all = sso::list(&desk.ctx).await?;
    desk.show(&ProviderList {
        page: desk.page("Identity providers", Section::Settings).await?,
        providers: all
            .iter()
            .map(|provider| ProviderRow {
                id: provider.id.clone(),
                name: provider.name.clone(),
                issuer: provider.connection.issuer.clone(),
                state: state(provider),
                is_file: provider.source == Source::File,
            })
            .collect(),
        presets: PRESETS
            .iter()
            .map(|(preset, label)| Choice::new(preset.as_str(), *label, false))
            .collect(),
        local: sso::offer(&desk.ctx).await?.local,
    })
}

fn state(provider: &IdentityProvider) -> Badge {
    match (provider.enabled, provider.is_tested()) {
        (true, true) => Badge::new(Tone::Ok, "Enabled"),
        (true, false) if provider.source == Source::File => Badge::new(Tone::Ok, "Enabled, by the file"),
        (true, false) => Badge::new(Tone::Warn, "Enabled, not tested since"),
        (false, true) => Badge::new(Tone::Muted, "Tested, not enabled"),
        (false, false) => Badge::new(Tone::Warn, "Not tested"),
    }
}

#[derive(Deserialize)]
struct Chosen {
    #[serde(default)]
    preset: String,
}

async fn new(desk: Desk, chosen: web::Query<Chosen>) -> Answer {
    let preset = Preset::parse(&chosen.preset).unwrap_or_default();
    let start = sso::start(preset);
    let input = ProviderInput {
        name: start.name.to_owned(),
        connection: start.connection,
        policy: start.policy,
        client_secret: None,
    };
    let projects = projects(&desk).await?;
    let values = values(&input, &projects, "");
    desk.show(&form(&desk, None, &input, values, &projects, FormErrors::default()).await?)
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let found = sso::get(&desk.ctx, &id).await?;
    if found.source == Source::File {
        return Err(SsoError::ReadOnly.into());
    }
    let input = input_of(&found);
    let projects = projects(&desk).await?;
    let values = values(&input, &projects, &found.revision.to_string());
    desk.show(
        &form(
            &desk,
            Some(&found),
            &input,
            values,
            &projects,
            FormErrors::default(),
        )
        .await?,
    )
}

async fn projects(desk: &Desk) -> Result<Vec<Project>, Problem> {
    Ok(project::list(&desk.ctx, &Projects::All).await?)
}

async fn create(desk: Desk, sent: FormData) -> Answer {
    let projects = projects(&desk).await?;
    let mut errors = FormErrors::default();
    let input = read(&sent, &projects, &mut errors);
    if makes_site_admins(&input.policy)
        && let Some(away) = desk.sign_in_again("/identity-providers/new")
    {
        return away;
    }
    if errors.is_empty() {
        match sso::create(&desk.ctx, desk.actor(), input.clone()).await {
            Ok(made) => {
                let path = format!("/identity-providers/{}", made.id);
                return desk
                    .done(
                        format!(
                            "{} is saved. Register its addresses at the provider, then test it.",
                            made.name
                        ),
                        &path,
                    )
                    .await;
            }
            Err(SsoError::Invalid(wrong)) => tell(wrong, &mut errors),
            Err(error) => return Err(error.into()),
        }
    }
    let values = typed(&sent);
    desk.show_again(&form(&desk, None, &input, values, &projects, errors).await?)
}

/// Whether groups at the provider give everything here.
fn makes_site_admins(policy: &Policy) -> bool {
    policy.group_rules.iter().any(|rule| rule.role == Role::SiteAdmin)
}

async fn update(desk: Desk, id: web::Path<String>, sent: FormData) -> Answer {
    let found = sso::get(&desk.ctx, &id).await?;
    let projects = projects(&desk).await?;
    let mut errors = FormErrors::default();
    let input = read(&sent, &projects, &mut errors);
    let seen = sent.text("revision").parse().unwrap_or(0);
    if makes_site_admins(&input.policy)
        && let Some(away) = desk.sign_in_again(&format!("/identity-providers/{}/edit", found.id))
    {
        return away;
    }
    if errors.is_empty() {
        match sso::update(&desk.ctx, desk.actor(), &id, seen, input.clone()).await {
            Ok(new) => {
                let text = if found.enabled && !new.enabled {
                    "Saved. Issuer, endpoints or client are others now: the provider is off until a test passed."
                } else {
                    "Saved. It counts from now on."
                };
                return desk.done(text, &format!("/identity-providers/{}", new.id)).await;
            }
            Err(SsoError::Invalid(wrong)) => tell(wrong, &mut errors),
            Err(error) => return Err(error.into()),
        }
    }
    let values = typed(&sent);
    desk.show_again(&form(&desk, Some(&found), &input, values, &projects, errors).await?)
}

#[derive(Deserialize)]
struct Tried {
    #[serde(default)]
    groups: String,
}

async fn detail(desk: Desk, id: web::Path<String>, tried: web::Query<Tried>) -> Answer {
    let found = sso::get(&desk.ctx, &id).await?;
    let projects = projects(&desk).await?;
    let now = desk.now();
    let groups: Vec<String> = tried
        .groups
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .take(200)
        .collect();
    let gives = match groups.is_empty() {
        true => None,
        false => Some(lines(
            &sso::preview_groups(&desk.ctx, &id, &groups).await?,
            &projects,
        )),
    };
    let tests = sso::tests_of(&desk.ctx, &id, None, SHOWN_TESTS).await?;
    let mut policy = policy_facts(&found.policy, &projects);
    policy.push(looking(&desk, &found).await?);
    desk.show(&ProviderDetail {
        page: desk.page(found.name.clone(), Section::Settings).await?,
        state: state(&found),
        enabled: found.enabled,
        tested: found.is_tested(),
        is_file: found.source == Source::File,
        facts: facts(&found),
        policy,
        register: register(&desk, &found),
        tests: tests
            .iter()
            .map(|run| ProviderTestRow {
                href: format!("/identity-providers/{}/tests/{}", found.id, run.id),
                state: test_state(run),
                when: words::when(now, run.created_at),
                summary: summary(run),
            })
            .collect(),
        has_rules: !found.policy.group_rules.is_empty() || !found.policy.default_projects.is_empty(),
        tried: groups.join("\n"),
        gives,
        id: found.id,
    })
}

/// How looking again goes.
async fn looking(desk: &Desk, found: &IdentityProvider) -> Result<Fact, Problem> {
    let name = "Looks again";
    let minutes = found.policy.recheck_minutes;
    if minutes == 0 {
        return Ok(Fact::new(name, "Never"));
    }
    let (sessions, silent_since) = sso::standing(&desk.ctx, &found.id).await?;
    let pace = format!("Every {}", words::count(minutes, "minute"));
    Ok(Fact::new(
        name,
        match silent_since {
            Some(since) => format!(
                "{pace}, but the provider did not answer since {}; people go on for two hours",
                words::relative(desk.now(), since)
            ),
            None => format!("{pace}, at {} now", words::count(sessions, "session")),
        },
    ))
}

fn facts(found: &IdentityProvider) -> Vec<Fact> {
    let connection = &found.connection;
    let mut facts = vec![
        Fact::exact("Issuer", &connection.issuer),
        Fact::exact("Client ID", &connection.client_id),
        Fact::new(
            "Client secret",
            if found.has_secret {
                "Stored, sealed"
            } else {
                "None"
            },
        ),
        Fact::exact("Authentication", connection.auth_method.as_str()),
        Fact::exact("Scopes", connection.scopes.join(" ")),
        Fact::new(
            "Endpoints",
            if connection.discovery {
                "From discovery"
            } else {
                "By hand"
            },
        ),
    ];
    for (label, value) in [
        ("Tenant", &connection.tenant),
        ("Authorization endpoint", &connection.authorization_endpoint),
        ("Token endpoint", &connection.token_endpoint),
        ("Keys", &connection.jwks_uri),
        ("Userinfo endpoint", &connection.userinfo_endpoint),
        ("End session endpoint", &connection.end_session_endpoint),
        ("Revocation endpoint", &connection.revocation_endpoint),
    ] {
        if !value.is_empty() {
            facts.push(Fact::exact(label, value));
        }
    }
    if !connection.other_hosts.is_empty() {
        facts.push(Fact::exact("Other hosts", connection.other_hosts.join(" ")));
    }
    facts
}

fn policy_facts(policy: &Policy, projects: &[Project]) -> Vec<Fact> {
    let yes = |yes: bool, then: &str, otherwise: &str| if yes { then } else { otherwise }.to_owned();
    let mut facts = vec![
        Fact::new(
            "Domains",
            match policy.domains.is_empty() {
                true => "All".to_owned(),
                false => policy.domains.join(", "),
            },
        ),
        Fact::new(
            "New people",
            yes(policy.create_accounts, "Get an account", "Stay out"),
        ),
        Fact::new(
            "Verified addresses",
            yes(policy.link_by_email, "Join accounts", "Join nothing"),
        ),
        Fact::new(
            "Unverified addresses",
            yes(policy.trust_email, "Are taken for new accounts", "Are not used"),
        ),
        Fact::exact("Name from", format!("{} sub", policy.name_claims.join(" "))),
        Fact::new(
            "Address and password",
            yes(policy.local_sign_in, "Work as well", "Are switched off"),
        ),
    ];
    if !policy.link_claim.is_empty() {
        facts.push(Fact::exact("Joins by claim", &policy.link_claim));
    }
    if !policy.default_projects.is_empty() {
        let keys: Vec<&str> = policy
            .default_projects
            .iter()
            .filter_map(|id| projects.iter().find(|project| project.id == *id))
            .map(|project| project.key.as_str())
            .collect();
        facts.push(Fact::new(
            "Begin as",
            format!("{} in {}", policy.default_role.label(), keys.join(", ")),
        ));
    }
    if !policy.group_rules.is_empty() {
        facts.push(Fact::exact(
            "Groups",
            rule_lines(policy, projects).replace('\n', "; "),
        ));
    }
    if policy.first_admin.is_named() {
        let who = [&policy.first_admin.subject, &policy.first_admin.email];
        let who: Vec<&str> = who
            .into_iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        facts.push(Fact::exact("First administrator", who.join(", ")));
    }
    facts
}

fn register(desk: &Desk, found: &IdentityProvider) -> Vec<Fact> {
    let config = &desk.ctx.config;
    let at = |rest: &str| config.url(&format!("/sso/{}/{rest}", found.id));
    let mut register = vec![
        Fact::exact("Redirect URL", sso::redirect_url(config, &found.id)),
        Fact::exact("Post-logout redirect URL", config.url("/sign-in")),
        Fact::exact("Back-channel logout URL", at("backchannel-logout")),
        Fact::exact("Front-channel logout URL", at("frontchannel-logout")),
    ];
    if found.connection.auth_method == ClientAuth::PrivateKeyJwt {
        register.push(Fact::exact("Our keys (JWKS)", at("jwks")));
    }
    register
}

fn lines(changes: &[RoleChange], projects: &[Project]) -> Vec<RoleLine> {
    let name = |role: &str| match role {
        "" => "none".to_owned(),
        "site_admin" => Role::SiteAdmin.label().to_owned(),
        role => Role::of_member(role).map_or_else(|| role.to_owned(), |role| role.label().to_owned()),
    };
    changes
        .iter()
        .map(|change| RoleLine {
            place: match change.project_id.as_str() {
                "" => "The whole site".to_owned(),
                id => projects
                    .iter()
                    .find(|project| project.id == id)
                    .map_or_else(|| id.to_owned(), place),
            },
            change: format!("{} → {}", name(&change.before), name(&change.after)),
            why: change.why.clone(),
        })
        .collect()
}

fn test_state(run: &TestRun) -> Badge {
    match run.state.as_str() {
        "passed" => Badge::new(Tone::Ok, "Passed"),
        "failed" => Badge::new(Tone::Bad, "Failed"),
        _ => Badge::new(Tone::Muted, "Not finished"),
    }
}

/// What would happen, in a sentence.
fn summary(run: &TestRun) -> String {
    if let Some(trouble) = &run.trouble {
        return trouble.cause.clone();
    }
    let text = |name: &str| run.outcome.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, email) = (text("name"), text("email"));
    match text("decision") {
        "known" => format!("{name} would come in, with the account {email}."),
        "link" => format!("{name} would get the account {email} that is there already."),
        "create" => format!("{name} would get a new account, {email}."),
        "first_admin" => format!("{name} would become the first administrator, {email}."),
        "refuse" => format!("{name} would stay out."),
        _ => "Nobody has come back yet.".to_owned(),
    }
}

async fn test_page(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let (id, test_id) = path.into_inner();
    let found = sso::get(&desk.ctx, &id).await?;
    let run = sso::get_test(&desk.ctx, &id, &test_id).await?;
    let projects = projects(&desk).await?;
    let changes: Vec<RoleChange> = run
        .outcome
        .get("roles")
        .and_then(|roles| serde_json::from_value(roles.clone()).ok())
        .unwrap_or_default();
    let said = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let refusal = run.outcome.get("trouble").filter(|trouble| trouble.is_object());
    let problem = match (&run.trouble, refusal) {
        (Some(trouble), _) => Some(("The test failed", Tone::Bad, trouble.clone())),
        (None, Some(trouble)) => Some((
            "This person would stay out",
            Tone::Warn,
            crate::trouble::Trouble::new(
                said(trouble, "code"),
                said(trouble, "cause"),
                said(trouble, "remedy"),
            ),
        )),
        (None, None) => None,
    };
    let claims: BTreeMap<String, Value> = serde_json::from_value(run.claims.clone()).unwrap_or_default();
    desk.show(&ProviderTest {
        page: desk
            .page(format!("Test of {}", found.name), Section::Settings)
            .await?,
        id: found.id.clone(),
        name: found.name.clone(),
        state: test_state(&run),
        outcome: match run.state.as_str() {
            "passed" => summary(&run),
            _ => String::new(),
        },
        problem: problem.map(|(title, tone, trouble)| Trouble {
            tone,
            title: title.to_owned(),
            cause: trouble.cause,
            code: Some(trouble.code),
            remedy: trouble.remedy,
            since: None,
            action: None,
        }),
        roles: lines(&changes, &projects),
        claims: claims
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => Fact::exact(name, text),
                other => Fact::exact(name, other.to_string()),
            })
            .collect(),
        can_enable: run.state == "passed"
            && !found.enabled
            && found.is_tested()
            && found.source == Source::Database,
        waiting: run.state == "waiting",
    })
}

async fn test(desk: Desk, id: web::Path<String>) -> Answer {
    let (_, path) = sso::begin_test(&desk.ctx, &id, desk.actor()).await?;
    let host = url::Url::parse(&sso::get(&desk.ctx, &id).await?.connection.issuer)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    // A page in between: after a form, a policy on forms would follow the browser to the provider.
    desk.show(&Leaving {
        page: desk.page("Test sign-in", Section::None).await?,
        url: desk.ctx.config.url(&path),
        host,
    })
}

async fn enable(desk: Desk, id: web::Path<String>) -> Answer {
    if let Some(away) = desk.sign_in_again(&format!("/identity-providers/{id}")) {
        return away;
    }
    set_enabled(&desk, &id, true, "Its button is on the sign-in page now.").await
}

async fn disable(desk: Desk, id: web::Path<String>) -> Answer {
    set_enabled(&desk, &id, false, "Nobody signs in with it from now on.").await
}

async fn set_enabled(desk: &Desk, id: &str, enabled: bool, text: &str) -> Answer {
    let found = sso::get(&desk.ctx, id).await?;
    let path = format!("/identity-providers/{id}");
    match sso::set_enabled(&desk.ctx, desk.actor(), id, found.revision, enabled).await {
        Ok(_) => desk.done(text, &path).await,
        Err(error @ SsoError::NotTested) => desk.failed(words::sentence(&error.to_string()), &path).await,
        Err(error) => Err(error.into()),
    }
}

async fn confirm_delete(desk: Desk, id: web::Path<String>) -> Answer {
    let found = sso::get(&desk.ctx, &id).await?;
    desk.show(&Confirm {
        page: desk
            .page(
                format!("Delete the identity provider {}?", found.name),
                Section::Settings,
            )
            .await?,
        consequences: vec![
            "Nobody signs in with it any more, and sessions that began with it end.".to_owned(),
            "The roles that its groups gave are taken back.".to_owned(),
        ],
        kept: vec!["Accounts stay, and so do roles that somebody gave by hand.".to_owned()],
        blocked: (found.source == Source::File).then(|| words::sentence(&SsoError::ReadOnly.to_string())),
        action: format!("/identity-providers/{}/delete", found.id),
        fields: vec![Choice::new("revision", found.revision.to_string(), true)],
        button: "Delete".to_owned(),
        cancel: format!("/identity-providers/{}", found.id),
    })
}

async fn delete(desk: Desk, id: web::Path<String>, sent: FormData) -> Answer {
    let seen = sent.text("revision").parse().unwrap_or(0);
    sso::delete(&desk.ctx, desk.actor(), &id, seen).await?;
    desk.done("The identity provider is deleted.", "/identity-providers")
        .await
}
