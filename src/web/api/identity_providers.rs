//! `/identity-providers`: the OpenID Providers that people sign in with. Secrets are taken and never shown.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, changed_meanwhile};
use crate::access::{Access, Role, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::sso::{
    self, ClientAuth, FirstAdmin, GroupRule, IdentityProvider, Preset, ProviderInput, SsoError, TestRun,
};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{
    Schema, anything, boolean, id, input, integer, list_of, map, object, text, time, trouble, url, word,
};
use crate::web::route::{Guard, Route};

const MANAGE: Guard = Guard::Site(Scope::Admin);

const PRESETS: [&str; 6] = ["generic", "google", "entra", "keycloak", "okta", "mailgrant"];
const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
const ROLES: [&str; 4] = ["viewer", "agent", "project_admin", "site_admin"];

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/identity-providers", MANAGE, || web::to(list)).doc(|| {
        Doc::new("List identity providers")
            .about("The OpenID Providers that people sign in with.")
            .lists(provider())
    }),
    Route::post("/api/v1/identity-providers", MANAGE, || web::to(create)).doc(|| {
        Doc::new("Add an identity provider")
            .about(
                "What is not sent comes from the preset. Its discovery document is read at once. It is enabled after a \
                 test sign-in passed.",
            )
            .takes(fields(&["name", "issuer", "clientId"]))
            .answers(201, "The new provider", provider())
            .tagged()
    }),
    Route::get("/api/v1/identity-providers/{id}", MANAGE, || web::to(get)).doc(|| {
        Doc::new("Show an identity provider").answers(200, "The provider", provider()).tagged()
    }),
    Route::patch("/api/v1/identity-providers/{id}", MANAGE, || web::to(update)).doc(|| {
        Doc::new("Change an identity provider")
            .about(
                "What is not sent stays. It counts at once. Another issuer, endpoint or client id switches the provider \
                 off until a test sign-in passed, and wants the client secret again.",
            )
            .takes(fields(&[]))
            .answers(200, "The changed provider", provider())
            .tagged()
            .fails(409, "It stands in the configuration file, or the name is taken")
    }),
    Route::delete("/api/v1/identity-providers/{id}", MANAGE, || web::to(delete)).doc(|| {
        Doc::new("Remove an identity provider")
            .about("The roles it manages are taken back, and sessions that began with it end. Accounts stay.")
            .answers_nothing(204, "Removed")
            .tagged()
            .fails(409, "It stands in the configuration file")
    }),
    Route::post("/api/v1/identity-providers/{id}/enable", MANAGE, || web::to(enable)).doc(|| {
        Doc::new("Show its button on the sign-in page")
            .answers(200, "The provider", provider())
            .tagged()
            .if_match()
            .fails(409, "Its present issuer and client have not passed a test sign-in")
    }),
    Route::post("/api/v1/identity-providers/{id}/disable", MANAGE, || web::to(disable)).doc(|| {
        Doc::new("Take its button away")
            .about("Nobody signs in with it from now on; sessions that are open stay open.")
            .answers(200, "The provider", provider())
            .tagged()
            .if_match()
            .fails(409, "It stands in the configuration file")
    }),
    Route::post("/api/v1/identity-providers/{id}/tests", MANAGE, || web::to(begin_test)).doc(|| {
        Doc::new("Begin a test sign-in")
            .about(
                "Open `testUrl` in a browser and sign in there; it works once, for ten minutes. Nobody is signed in to \
                 Mailgrant by it.",
            )
            .answers(201, "The test", begun())
    }),
    Route::get("/api/v1/identity-providers/{id}/tests", MANAGE, || web::to(tests)).doc(|| {
        Doc::new("List the tests of a provider").about("Newest first; kept for 30 days.").lists(test_run())
    }),
    Route::get("/api/v1/identity-providers/{id}/tests/{testId}", MANAGE, || web::to(get_test)).doc(|| {
        Doc::new("Show a test sign-in").answers(200, "The test", test_run())
    }),
    Route::post("/api/v1/identity-providers/{id}/preview", MANAGE, || web::to(preview))
        .only_reads()
        .doc(|| {
            Doc::new("Try claims on the mapping")
                .about("What would happen if the provider said this of somebody. Nothing is changed.")
                .takes(input(&["claims"], [("claims", map(anything()))]))
                .answers(200, "What would happen", outcome())
        }),
];

fn fields(required: &[&str]) -> Schema {
    input(
        required,
        [
            ("name", text().about("What its button says")),
            ("preset", word(&PRESETS)),
            ("issuer", text().about("Exactly as the provider writes it")),
            ("tenant", text().about("Entra: the tenant's ID, or common, organizations, consumers")),
            ("discovery", boolean().about("Whether the endpoints come from the issuer's discovery document")),
            ("authorizationEndpoint", text()),
            ("tokenEndpoint", text()),
            ("jwksUri", text()),
            ("userinfoEndpoint", text()),
            ("endSessionEndpoint", text()),
            ("revocationEndpoint", text().about("Where tokens are given back when somebody signs out")),
            ("otherHosts", list_of(text()).about("Hosts beside the issuer's that discovered endpoints may be on")),
            ("clientId", text()),
            ("clientSecret", text().about("Stored sealed, never shown again; empty for a public client")),
            ("tokenEndpointAuthMethod", word(&METHODS)),
            ("scopes", list_of(text())),
            ("nameClaims", list_of(text()).about("The first that is there is somebody's name; `sub` comes last")),
            ("domains", list_of(text()).about("Domains of verified addresses that may come in; empty lets all in")),
            ("createAccounts", boolean().about("Whether people without an account get one")),
            ("linkByEmail", boolean().about("Whether a verified address joins the account with that address")),
            (
                "linkClaim",
                text().about("A claim that names an account by its address although nobody proved it; never an admin's"),
            ),
            ("trustEmail", boolean().about("Whether a new account takes an address the provider does not call verified")),
            ("defaultRole", word(&ROLES[..3])),
            ("defaultProjects", list_of(id("prj"))),
            ("groupsClaim", text().about("The claim with the groups; `a.b` is the member b of the claim a")),
            (
                "groupRules",
                list_of(input(
                    &["group", "role"],
                    [("group", text()), ("role", word(&ROLES)), ("projectId", id("prj"))],
                )),
            ),
            ("localSignIn", boolean().about("Whether address and password still work while this provider is enabled")),
            (
                "recheckMinutes",
                integer().about(
                    "How often, while somebody works here, the provider is asked whether they are still one of its \
                     people; 0 for never. It needs a refresh token (the scope `offline_access`), or an access token for \
                     userinfo that lasts longer",
                ),
            ),
            (
                "firstAdmin",
                input(&[], [("subject", text()), ("email", text())])
                    .about("Who becomes the administrator while nobody has an account"),
            ),
        ],
    )
}

/// A provider as [`show`] writes it.
fn provider() -> Schema {
    let rule = object([
        ("group", text()),
        ("role", word(&ROLES)),
        ("projectId", id("prj").or_null()),
    ]);
    object([
        ("id", id("idp")),
        ("name", text()),
        ("source", word(&["database", "file"])),
        ("enabled", boolean()),
        (
            "tested",
            boolean().about("Whether the present issuer and client passed a test sign-in"),
        ),
        ("preset", word(&PRESETS)),
        ("issuer", text()),
        ("tenant", text().or_null()),
        ("discovery", boolean()),
        ("authorizationEndpoint", text().or_null()),
        ("tokenEndpoint", text().or_null()),
        ("jwksUri", text().or_null()),
        ("userinfoEndpoint", text().or_null()),
        ("endSessionEndpoint", text().or_null()),
        ("revocationEndpoint", text().or_null()),
        ("otherHosts", list_of(text())),
        ("clientId", text()),
        ("hasClientSecret", boolean()),
        ("tokenEndpointAuthMethod", word(&METHODS)),
        ("scopes", list_of(text())),
        ("nameClaims", list_of(text())),
        ("domains", list_of(text())),
        ("createAccounts", boolean()),
        ("linkByEmail", boolean()),
        ("linkClaim", text().or_null()),
        ("trustEmail", boolean()),
        ("defaultRole", word(&ROLES[..3])),
        ("defaultProjects", list_of(id("prj"))),
        ("groupsClaim", text().or_null()),
        ("groupRules", list_of(rule)),
        ("localSignIn", boolean()),
        ("recheckMinutes", integer()),
        (
            "firstAdmin",
            object([("subject", text().or_null()), ("email", text().or_null())]),
        ),
        (
            "register",
            object([
                ("redirectUrl", url()),
                ("postLogoutRedirectUrl", url()),
                ("frontchannelLogoutUrl", url()),
                ("backchannelLogoutUrl", url()),
                ("jwksUrl", url()),
            ])
            .about("What to register at the provider"),
        ),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
    .named("IdentityProvider")
}

fn begun() -> Schema {
    object([
        ("id", id("sst")),
        ("testUrl", url().about("Works once, for ten minutes")),
    ])
    .named("IdentityProviderTestBegun")
}

fn outcome() -> Schema {
    object([
        (
            "decision",
            word(&["known", "link", "create", "first_admin", "refuse"]),
        ),
        ("name", text()),
        ("email", text().or_null()),
        ("emailVerified", boolean()),
        ("groups", list_of(text())),
        (
            "roles",
            list_of(object([
                ("projectId", text().about("Empty for the site")),
                ("before", text()),
                ("after", text()),
                ("why", text()),
            ])),
        ),
        ("trouble", trouble()),
        (
            "isOpen",
            boolean().about("Whether people of any organisation can reach this provider"),
        ),
    ])
    .named("SignInOutcome")
}

fn test_run() -> Schema {
    object([
        ("id", id("sst")),
        ("providerId", id("idp")),
        ("state", word(&["waiting", "passed", "failed"])),
        (
            "isCurrent",
            boolean().about("Whether it was made with the present issuer and client"),
        ),
        ("claims", map(anything()).or_null()),
        ("outcome", outcome().or_null()),
        ("trouble", trouble()),
        ("actor", text()),
        ("createdAt", time()),
        ("finishedAt", time().or_null()),
    ])
    .named("IdentityProviderTest")
}

fn show(ctx: &Ctx, provider: &IdentityProvider) -> Value {
    let (connection, policy) = (&provider.connection, &provider.policy);
    let at = |rest: &str| ctx.config.url(&format!("/sso/{}/{rest}", provider.id));
    let rules: Vec<Value> = policy
        .group_rules
        .iter()
        .map(|rule| {
            json!({
                "group": rule.group, "role": rule.role.as_str(), "projectId": output::text(&rule.project_id),
            })
        })
        .collect();
    json!({
        "id": provider.id,
        "name": provider.name,
        "source": provider.source.as_str(),
        "enabled": provider.enabled,
        "tested": provider.is_tested(),
        "preset": connection.preset.as_str(),
        "issuer": connection.issuer,
        "tenant": output::text(&connection.tenant),
        "discovery": connection.discovery,
        "authorizationEndpoint": output::text(&connection.authorization_endpoint),
        "tokenEndpoint": output::text(&connection.token_endpoint),
        "jwksUri": output::text(&connection.jwks_uri),
        "userinfoEndpoint": output::text(&connection.userinfo_endpoint),
        "endSessionEndpoint": output::text(&connection.end_session_endpoint),
        "revocationEndpoint": output::text(&connection.revocation_endpoint),
        "otherHosts": connection.other_hosts,
        "clientId": connection.client_id,
        "hasClientSecret": provider.has_secret,
        "tokenEndpointAuthMethod": connection.auth_method.as_str(),
        "scopes": connection.scopes,
        "nameClaims": policy.name_claims,
        "domains": policy.domains,
        "createAccounts": policy.create_accounts,
        "linkByEmail": policy.link_by_email,
        "linkClaim": output::text(&policy.link_claim),
        "trustEmail": policy.trust_email,
        "defaultRole": policy.default_role.as_str(),
        "defaultProjects": policy.default_projects,
        "groupsClaim": output::text(&policy.groups_claim),
        "groupRules": rules,
        "localSignIn": policy.local_sign_in,
        "recheckMinutes": policy.recheck_minutes,
        "firstAdmin": {
            "subject": output::text(&policy.first_admin.subject),
            "email": output::text(&policy.first_admin.email),
        },
        "register": {
            "redirectUrl": sso::redirect_url(&ctx.config, &provider.id),
            "postLogoutRedirectUrl": ctx.config.url("/sign-in"),
            "frontchannelLogoutUrl": at("frontchannel-logout"),
            "backchannelLogoutUrl": at("backchannel-logout"),
            "jwksUrl": at("jwks"),
        },
        "createdAt": rfc3339(provider.created_at),
        "updatedAt": rfc3339(provider.updated_at),
    })
}

fn show_test(provider: &IdentityProvider, run: &TestRun) -> Value {
    json!({
        "id": run.id,
        "providerId": run.provider_id,
        "state": run.state,
        "isCurrent": run.connection_revision == provider.connection_revision,
        "claims": run.claims,
        "outcome": run.outcome,
        "trouble": output::trouble(run.trouble.as_ref()),
        "actor": run.actor,
        "createdAt": rfc3339(run.created_at),
        "finishedAt": output::time(run.finished_at),
    })
}

fn refused(error: SsoError) -> Problem {
    match error {
        SsoError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (error.field, error.code, error.message)),
        ),
        SsoError::Conflict => changed_meanwhile(),
        other => other.into(),
    }
}

/// Reads what was sent over what is there.
fn read(sent: &mut Input, mut new: ProviderInput) -> ProviderInput {
    fn put<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    put(&mut new.name, sent.text("name"));
    let connection = &mut new.connection;
    put(
        &mut connection.preset,
        sent.word("preset", Preset::parse, &PRESETS.join(", ")),
    );
    put(&mut connection.issuer, sent.text("issuer"));
    put(&mut connection.tenant, sent.text("tenant"));
    put(&mut connection.discovery, sent.boolean("discovery"));
    put(
        &mut connection.authorization_endpoint,
        sent.text("authorizationEndpoint"),
    );
    put(&mut connection.token_endpoint, sent.text("tokenEndpoint"));
    put(&mut connection.jwks_uri, sent.text("jwksUri"));
    put(&mut connection.userinfo_endpoint, sent.text("userinfoEndpoint"));
    put(
        &mut connection.end_session_endpoint,
        sent.text("endSessionEndpoint"),
    );
    put(
        &mut connection.revocation_endpoint,
        sent.text("revocationEndpoint"),
    );
    put(&mut connection.other_hosts, sent.texts("otherHosts"));
    put(&mut connection.client_id, sent.text("clientId"));
    put(
        &mut connection.auth_method,
        sent.word("tokenEndpointAuthMethod", ClientAuth::parse, &METHODS.join(", ")),
    );
    put(&mut connection.scopes, sent.texts("scopes"));
    new.client_secret = sent.secret("clientSecret");
    let policy = &mut new.policy;
    put(&mut policy.name_claims, sent.texts("nameClaims"));
    put(&mut policy.domains, sent.texts("domains"));
    put(&mut policy.create_accounts, sent.boolean("createAccounts"));
    put(&mut policy.link_by_email, sent.boolean("linkByEmail"));
    put(&mut policy.link_claim, sent.text("linkClaim"));
    put(&mut policy.trust_email, sent.boolean("trustEmail"));
    put(
        &mut policy.default_role,
        sent.word("defaultRole", Role::of_member, &ROLES[..3].join(", ")),
    );
    put(&mut policy.default_projects, sent.texts("defaultProjects"));
    put(&mut policy.groups_claim, sent.text("groupsClaim"));
    if let Some(rules) = sent.objects("groupRules") {
        policy.group_rules = rules.iter().filter_map(rule).collect();
        if policy.group_rules.len() != rules.len() {
            sent.problem(
                "groupRules",
                "invalid",
                "each of `groupRules` has a `group`, a `role` and, unless that is site_admin, a `projectId`",
            );
        }
    }
    put(&mut policy.local_sign_in, sent.boolean("localSignIn"));
    put(&mut policy.recheck_minutes, sent.integer("recheckMinutes"));
    if sent.has("firstAdmin") {
        let mut first = sent.within("firstAdmin");
        policy.first_admin = FirstAdmin {
            subject: first.text("subject").unwrap_or_default(),
            email: first.text("email").unwrap_or_default(),
        };
        sent.take_problems(first, "firstAdmin");
    }
    new
}

fn rule(members: &serde_json::Map<String, Value>) -> Option<GroupRule> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let role = match text("role")? {
        "site_admin" => Role::SiteAdmin,
        word => Role::of_member(word)?,
    };
    Some(GroupRule {
        group: text("group")?.to_owned(),
        role,
        project_id: text("projectId").unwrap_or_default().to_owned(),
    })
}

async fn list(ctx: web::Data<Ctx>, query: Query) -> Result<HttpResponse, Problem> {
    let all = sso::list(&ctx).await.map_err(refused)?;
    Ok(output::list_from_all(
        &query,
        all,
        |provider| &provider.id,
        |provider| show(&ctx, provider),
    ))
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut sent: Input) -> Result<HttpResponse, Problem> {
    let preset = sent
        .word("preset", Preset::parse, &PRESETS.join(", "))
        .unwrap_or_default();
    let start = sso::start(preset);
    let new = read(
        &mut sent,
        ProviderInput {
            name: start.name.to_owned(),
            connection: start.connection,
            policy: start.policy,
            client_secret: None,
        },
    );
    sent.finish()?;
    let made = sso::create(&ctx, access.actor(), new).await.map_err(refused)?;
    let path = format!("/api/v1/identity-providers/{}", made.id);
    Ok(output::created(&path, made.revision, show(&ctx, &made)))
}

async fn get(ctx: web::Data<Ctx>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = sso::get(&ctx, &id).await.map_err(refused)?;
    Ok(output::tagged(found.revision, show(&ctx, &found)))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    mut sent: Input,
) -> Result<HttpResponse, Problem> {
    let old = sso::get(&ctx, &id).await.map_err(refused)?;
    seen.check(old.revision)?;
    let new = read(
        &mut sent,
        ProviderInput {
            name: old.name.clone(),
            connection: old.connection.clone(),
            policy: old.policy.clone(),
            client_secret: None,
        },
    );
    sent.finish()?;
    let new = sso::update(&ctx, access.actor(), &id, old.revision, new)
        .await
        .map_err(refused)?;
    Ok(output::tagged(new.revision, show(&ctx, &new)))
}

async fn delete(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let old = sso::get(&ctx, &id).await.map_err(refused)?;
    seen.check(old.revision)?;
    sso::delete(&ctx, access.actor(), &id, old.revision)
        .await
        .map_err(refused)?;
    Ok(output::done())
}

async fn enable(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_enabled(&ctx, &access, &seen, &id, true).await
}

async fn disable(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_enabled(&ctx, &access, &seen, &id, false).await
}

async fn set_enabled(
    ctx: &Ctx,
    access: &Access,
    seen: &IfMatch,
    id: &str,
    enabled: bool,
) -> Result<HttpResponse, Problem> {
    let old = sso::get(ctx, id).await.map_err(refused)?;
    seen.check(old.revision)?;
    let new = sso::set_enabled(ctx, access.actor(), id, old.revision, enabled)
        .await
        .map_err(refused)?;
    Ok(output::tagged(new.revision, show(ctx, &new)))
}

async fn begin_test(
    ctx: web::Data<Ctx>,
    access: Access,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (run, path) = sso::begin_test(&ctx, &id, access.actor())
        .await
        .map_err(refused)?;
    Ok(HttpResponse::Created().json(json!({ "id": run.id, "testUrl": ctx.config.url(&path) })))
}

async fn tests(ctx: web::Data<Ctx>, id: web::Path<String>, query: Query) -> Result<HttpResponse, Problem> {
    let provider = sso::get(&ctx, &id).await.map_err(refused)?;
    let runs = sso::tests_of(&ctx, &id, query.after.as_deref(), query.limit + 1)
        .await
        .map_err(refused)?;
    Ok(output::list_of(
        &query,
        runs,
        |run| &run.id,
        |run| show_test(&provider, run),
    ))
}

async fn get_test(ctx: web::Data<Ctx>, path: web::Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (id, test_id) = path.into_inner();
    let provider = sso::get(&ctx, &id).await.map_err(refused)?;
    let run = sso::get_test(&ctx, &id, &test_id)
        .await
        .map_err(|error| match error {
            SsoError::NotFound => Problem::not_found("test"),
            error => refused(error),
        })?;
    Ok(HttpResponse::Ok().json(show_test(&provider, &run)))
}

async fn preview(
    ctx: web::Data<Ctx>,
    id: web::Path<String>,
    mut sent: Input,
) -> Result<HttpResponse, Problem> {
    let claims = sent.object("claims").unwrap_or_default();
    sent.finish()?;
    let outcome = sso::preview_claims(&ctx, &id, claims).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(outcome))
}
