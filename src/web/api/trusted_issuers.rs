//! `/trusted-issuers`: issuers whose tokens count at the token endpoint or at this API. For site admins. Secrets go in and
//! never come out, one that is drawn here apart, once.

use actix_web::{HttpResponse, web};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::input::{Input, Query};
use super::output;
use super::tag::{IfMatch, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::crypto::ForeignAlg;
use crate::ctx::Ctx;
use crate::oauth2_server;
use crate::trusted_issuer::{self, Fields, IssuerError, KeySource, Made, SubjectMapping, TrustedIssuer, Use};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{
    Schema, anything, boolean, id, input, integer, list_of, map, object, text, time, word,
};
use crate::web::route::{Guard, Route};

const MANAGE: Guard = Guard::Site(Scope::Admin);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/trusted-issuers", MANAGE, || web::to(list)).doc(|| {
        Doc::new("List trusted issuers")
            .about("Issuers whose tokens count: as assertions at the token endpoint, at this API, or both.")
            .lists(shape())
    }),
    Route::post("/api/v1/trusted-issuers", MANAGE, || web::to(create)).doc(|| {
        Doc::new("Trust an issuer")
            .about(
                "It counts once `enabled` is true. Without a `secret`, one is drawn where both sides need the same; it is \
                 in this answer and in no other. See docs/trusted-issuers.md.",
            )
            .takes(fields(&["name", "issuer", "uses"]))
            .answers(201, "The new issuer", shape().and("secret", text().or_null()).named("NewTrustedIssuer"))
            .tagged()
    }),
    Route::get("/api/v1/trusted-issuers/{id}", MANAGE, || web::to(get))
        .doc(|| Doc::new("Show a trusted issuer").answers(200, "The issuer", shape()).tagged()),
    Route::patch("/api/v1/trusted-issuers/{id}", MANAGE, || web::to(update)).doc(|| {
        Doc::new("Change a trusted issuer")
            .about(
                "What is not sent stays. Refresh and access tokens that were given for its assertions end with every \
                 change of what was agreed on.",
            )
            .takes(fields(&[]))
            .answers(200, "The changed issuer", shape().and("secret", text().or_null()).named("NewTrustedIssuer"))
            .tagged()
    }),
    Route::delete("/api/v1/trusted-issuers/{id}", MANAGE, || web::to(delete)).doc(|| {
        Doc::new("Trust an issuer no more")
            .about("What was given for its assertions ends at once.")
            .answers_nothing(204, "Removed")
            .tagged()
    }),
];

const USES: [&str; 2] = ["jwt_bearer", "api"];
const SOURCES: [&str; 4] = ["jwks", "jwks_uri", "introspection", "shared_secret"];
const MAPPINGS: [&str; 3] = ["table", "email", "service"];
const ALGS: [&str; 10] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS512",
];

/// Members that are read and written alike.
fn common() -> Vec<(&'static str, Schema)> {
    vec![
        ("name", text()),
        (
            "issuer",
            text().about("What its tokens say in `iss`, letter by letter"),
        ),
        ("uses", list_of(word(&USES))),
        ("enabled", boolean()),
        ("keySource", word(&SOURCES)),
        (
            "jwks",
            anything().about("A JWK set (RFC 7517), for `keySource` jwks"),
        ),
        ("jwksUri", text().or_null()),
        (
            "algorithms",
            list_of(word(&ALGS)).about("No other algorithm counts, whatever a token says"),
        ),
        ("introspectionEndpoint", text().or_null()),
        ("introspectionClientId", text().or_null()),
        (
            "cacheSeconds",
            integer().about("How long an answer of the introspection is remembered, 0 to 300"),
        ),
        (
            "tokenPrefix",
            text()
                .or_null()
                .about("What its opaque tokens begin with: who is asked about which"),
        ),
        (
            "audiences",
            list_of(text()).about(
                "Empty: the address of this API, or of the token endpoint and the issuer. With `introspection` at least \
                 one, which may be a client of the issuer: its `client_id` counts in answers without `aud`",
            ),
        ),
        (
            "subjects",
            list_of(text()).about("Empty: all that the mapping knows"),
        ),
        ("maxLifeSeconds", integer()),
        ("subjectMapping", word(&MAPPINGS)),
        ("subjectTable", map(text()).about("Subject → usr_… or cli_…")),
        (
            "serviceClientId",
            text().or_null().about("cli_…, for `subjectMapping` service"),
        ),
        ("scopeClaim", text()),
        (
            "scopeMap",
            map(text()).about("Their scope → ours; `*` for every token. Empty: theirs are called like ours"),
        ),
        ("scopes", list_of(text()).about("At most these")),
        (
            "projectIds",
            list_of(text()).about("Empty: all that the subject may see"),
        ),
        (
            "clientIds",
            list_of(text()).about("cli_…: who may bring its assertions"),
        ),
        (
            "allowIncomplete",
            boolean()
                .about("Assertions without `aud`, `exp` and `jti` count for five minutes, once each; a risk"),
        ),
        (
            "requireAtJwt",
            boolean().about("At the API only tokens count whose `typ` is `at+jwt` (RFC 9068)"),
        ),
    ]
}

fn fields(required: &[&str]) -> Schema {
    let secret = [(
        "secret",
        text().about("Of the introspection, or the one both sides have; never answered"),
    )];
    input(required, common().into_iter().chain(secret))
}

/// An issuer as [`show`] writes it.
fn shape() -> Schema {
    let before = [("id", id("tis"))];
    let after = [
        ("hasSecret", boolean()),
        ("createdAt", time()),
        ("updatedAt", time()),
    ];
    object(before.into_iter().chain(common()).chain(after)).named("TrustedIssuer")
}

fn show(issuer: &TrustedIssuer) -> Value {
    let uses: Vec<&str> = issuer.uses.iter().map(|one| one.as_str()).collect();
    let algorithms: Vec<&str> = issuer.algorithms.iter().map(|alg| alg.as_str()).collect();
    json!({
        "id": issuer.id,
        "name": issuer.name,
        "issuer": issuer.issuer,
        "uses": uses,
        "enabled": issuer.enabled,
        "keySource": issuer.key_source.as_str(),
        "jwks": serde_json::from_str::<Value>(&issuer.jwks).unwrap_or_default(),
        "jwksUri": output::text(&issuer.jwks_uri),
        "algorithms": algorithms,
        "introspectionEndpoint": output::text(&issuer.introspection_endpoint),
        "introspectionClientId": output::text(&issuer.introspection_client_id),
        "hasSecret": issuer.has_secret(),
        "cacheSeconds": issuer.cache_seconds,
        "tokenPrefix": output::text(&issuer.token_prefix),
        "audiences": issuer.audiences,
        "subjects": issuer.subjects,
        "maxLifeSeconds": issuer.max_life_seconds,
        "subjectMapping": issuer.mapping.as_str(),
        "subjectTable": issuer.subject_table,
        "serviceClientId": output::text(&issuer.service_client),
        "scopeClaim": issuer.scope_claim,
        "scopeMap": issuer.scope_map,
        "scopes": issuer.scopes,
        "projectIds": issuer.projects,
        "clientIds": issuer.clients,
        "allowIncomplete": issuer.allow_incomplete,
        "requireAtJwt": issuer.require_at_jwt,
        "createdAt": rfc3339(issuer.created_at),
        "updatedAt": rfc3339(issuer.updated_at),
    })
}

fn refused(error: IssuerError) -> Problem {
    match error {
        IssuerError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (api_name(error.field), error.code, error.message)),
        ),
        IssuerError::NotFound => Problem::not_found("trusted issuer"),
        IssuerError::Conflict => changed_meanwhile(),
        IssuerError::Seal(error) => Problem::internal(&error),
        IssuerError::Db(error) => error.into(),
    }
}

/// Fields that have another name outside.
fn api_name(field: &'static str) -> &'static str {
    match field {
        "mapping" => "subject_mapping",
        "service_client" => "service_client_id",
        "projects" => "project_ids",
        "clients" => "client_ids",
        other => other,
    }
}

fn read(input: &mut Input) -> Fields {
    let words = |input: &mut Input, name: &str| input.texts(name);
    let sent = |input: &mut Input, name: &str| match input.mentions(name) {
        true => Some(input.text(name).unwrap_or_default()),
        false => None,
    };
    let uses = words(input, "uses").map(|words| words.iter().filter_map(|word| Use::parse(word)).collect());
    let algorithms = words(input, "algorithms")
        .map(|words| words.iter().filter_map(|word| ForeignAlg::parse(word)).collect());
    let jwks = match input.value("jwks") {
        Some(set) => Some(set.to_string()),
        None => input.mentions("jwks").then(String::new),
    };
    let scopes = words(input, "scopes");
    if let Some(unknown) = scopes
        .iter()
        .flatten()
        .find(|word| oauth2_server::known_scope(word).is_none_or(|scope| scope.is_personal))
    {
        let text = format!("there is no scope {unknown} that a token of another issuer could have");
        input.problem("scopes", "unknown", text);
    }
    Fields {
        name: input.text("name"),
        issuer: input.text("issuer"),
        uses,
        enabled: input.boolean("enabled"),
        key_source: input.word("keySource", KeySource::parse, &SOURCES.join(", ")),
        jwks,
        jwks_uri: sent(input, "jwksUri"),
        algorithms,
        introspection_endpoint: sent(input, "introspectionEndpoint"),
        introspection_client_id: sent(input, "introspectionClientId"),
        secret: input.secret("secret"),
        cache_seconds: input.integer("cacheSeconds"),
        token_prefix: sent(input, "tokenPrefix"),
        audiences: words(input, "audiences"),
        subjects: words(input, "subjects"),
        max_life_seconds: input.integer("maxLifeSeconds"),
        mapping: input.word("subjectMapping", SubjectMapping::parse, &MAPPINGS.join(", ")),
        subject_table: input.text_map("subjectTable"),
        service_client: sent(input, "serviceClientId"),
        scope_claim: input.text("scopeClaim"),
        scope_map: input.text_map("scopeMap"),
        scopes,
        projects: words(input, "projectIds"),
        clients: words(input, "clientIds"),
        allow_incomplete: input.boolean("allowIncomplete"),
        require_at_jwt: input.boolean("requireAtJwt"),
    }
}

async fn list(ctx: web::Data<Ctx>, query: Query) -> Result<HttpResponse, Problem> {
    let all = trusted_issuer::list(&ctx).await.map_err(refused)?;
    Ok(output::list_from_all(&query, all, |issuer| &issuer.id, show))
}

async fn get(ctx: web::Data<Ctx>, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = trusted_issuer::get(&ctx, &id).await.map_err(refused)?;
    Ok(output::tagged(found.revision, show(&found)))
}

fn with_secret(made: &Made) -> Value {
    let mut body = show(&made.issuer);
    if let Some(members) = body.as_object_mut() {
        let secret = made.secret.as_ref().map(SecretString::expose_secret);
        members.insert("secret".into(), secret.into());
    }
    body
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let fields = read(&mut input);
    input.finish()?;
    let made = trusted_issuer::create(&ctx, access.actor(), fields)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/trusted-issuers/{}", made.issuer.id);
    Ok(output::created(&path, made.issuer.revision, with_secret(&made)))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    mut input: Input,
) -> Result<HttpResponse, Problem> {
    let old = trusted_issuer::get(&ctx, &id).await.map_err(refused)?;
    seen.check(old.revision)?;
    let fields = read(&mut input);
    input.finish()?;
    let made = trusted_issuer::update(&ctx, access.actor(), &id, old.revision, fields)
        .await
        .map_err(refused)?;
    Ok(output::tagged(made.issuer.revision, with_secret(&made)))
}

async fn delete(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let old = trusted_issuer::get(&ctx, &id).await.map_err(refused)?;
    seen.check(old.revision)?;
    trusted_issuer::delete(&ctx, access.actor(), &id, old.revision)
        .await
        .map_err(refused)?;
    Ok(output::done())
}
