//! Trusted issuers: the list, the form of one, and its end.

use std::collections::BTreeMap;

use actix_web::web;
use secrecy::ExposeSecret;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Badge, Choice, FormErrors, Tone};
use super::views::trusted_issuers::{
    TrustedIssuerForm, TrustedIssuerList, TrustedIssuerRow, TrustedIssuerValues,
};
use crate::access::{Projects, Role, Scope};
use crate::crypto::ForeignAlg;
use crate::oauth2_server;
use crate::project;
use crate::trusted_issuer::{self, Fields, IssuerError, KeySource, Made, SubjectMapping, TrustedIssuer, Use};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/trusted-issuers", Guard::Role(Role::SiteAdmin), || web::to(list)),
    Route::get("/trusted-issuers/new", Guard::Role(Role::SiteAdmin), || {
        web::to(new)
    }),
    Route::post("/trusted-issuers", Guard::Role(Role::SiteAdmin), || {
        web::to(create)
    }),
    Route::get("/trusted-issuers/{id}", Guard::Role(Role::SiteAdmin), || {
        web::to(edit)
    }),
    Route::post("/trusted-issuers/{id}", Guard::Role(Role::SiteAdmin), || {
        web::to(update)
    }),
    Route::post(
        "/trusted-issuers/{id}/delete",
        Guard::Role(Role::SiteAdmin),
        || web::to(delete),
    ),
];

const SOURCES: [(KeySource, &str); 4] = [
    (KeySource::JwksUri, "Keys that the issuer publishes"),
    (KeySource::Jwks, "Keys entered here"),
    (KeySource::Introspection, "The issuer is asked about each token"),
    (KeySource::SharedSecret, "A secret that both sides have (HS512)"),
];

const MAPPINGS: [(SubjectMapping, &str); 3] = [
    (SubjectMapping::Table, "Each by name, in the table below"),
    (
        SubjectMapping::Email,
        "The person with its verified address; never a site admin",
    ),
    (SubjectMapping::Service, "Everybody is one application"),
];

const USES: [(Use, &str); 2] = [
    (Use::Api, "Access tokens at the API"),
    (Use::JwtBearer, "Assertions at the token endpoint"),
];

fn refused(error: IssuerError) -> Problem {
    match error {
        IssuerError::NotFound => Problem::not_found("trusted issuer"),
        IssuerError::Conflict => Problem::conflict("revision_changed", error.to_string()),
        IssuerError::Db(error) => error.into(),
        error => Problem::internal(&error),
    }
}

async fn list(desk: Desk) -> Answer {
    let all = trusted_issuer::list(&desk.ctx).await.map_err(refused)?;
    desk.show(&TrustedIssuerList {
        page: desk.page("Trusted issuers", Section::Settings).await?,
        issuers: all.iter().map(row).collect(),
    })
}

fn row(issuer: &TrustedIssuer) -> TrustedIssuerRow {
    let uses: Vec<&str> = issuer
        .uses
        .iter()
        .map(|one| match one {
            Use::Api => "API",
            Use::JwtBearer => "Assertions",
        })
        .collect();
    let checked = SOURCES.iter().find(|(source, _)| *source == issuer.key_source);
    TrustedIssuerRow {
        id: issuer.id.clone(),
        name: issuer.name.clone(),
        issuer: issuer.issuer.clone(),
        uses: uses.join(", "),
        checked: checked.map_or("", |(_, label)| label).to_owned(),
        state: if issuer.enabled {
            Badge::new(Tone::Ok, "Trusted")
        } else {
            Badge::new(Tone::Muted, "Off")
        },
        risk: if issuer.allow_incomplete {
            "Assertions without audience and end count.".to_owned()
        } else {
            String::new()
        },
    }
}

async fn new(desk: Desk) -> Answer {
    let form = form(&desk, None, &FormData::default(), FormErrors::default()).await?;
    desk.show(&form)
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let found = trusted_issuer::get(&desk.ctx, &id).await.map_err(refused)?;
    let form = form(&desk, Some(&found), &FormData::default(), FormErrors::default()).await?;
    desk.show(&form)
}

async fn create(desk: Desk, data: FormData) -> Answer {
    let (fields, errors) = read(&data);
    if !errors.is_empty() {
        return desk.show_again(&form(&desk, None, &data, errors).await?);
    }
    let made = trusted_issuer::create(&desk.ctx, desk.actor(), fields).await;
    saved(&desk, made, None, &data).await
}

async fn update(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let found = trusted_issuer::get(&desk.ctx, &id).await.map_err(refused)?;
    let (fields, errors) = read(&data);
    if !errors.is_empty() {
        return desk.show_again(&form(&desk, Some(&found), &data, errors).await?);
    }
    let seen = data.text("revision").parse().unwrap_or(0);
    let made = trusted_issuer::update(&desk.ctx, desk.actor(), &id, seen, fields).await;
    saved(&desk, made, Some(&found), &data).await
}

async fn saved(
    desk: &Desk,
    made: Result<Made, IssuerError>,
    before: Option<&TrustedIssuer>,
    data: &FormData,
) -> Answer {
    match made {
        Ok(made) => match &made.secret {
            // Shown on this page and never again, so there is no redirect that could lose it.
            Some(secret) => {
                let mut form = form(
                    desk,
                    Some(&made.issuer),
                    &FormData::default(),
                    FormErrors::default(),
                )
                .await?;
                secret.expose_secret().clone_into(&mut form.drawn);
                desk.show(&form)
            }
            None => desk.done("The issuer is saved.", "/trusted-issuers").await,
        },
        Err(IssuerError::Invalid(errors)) => {
            let mut shown = FormErrors::default();
            for error in errors {
                shown.add(error.field, error.message);
            }
            desk.show_again(&form(desk, before, data, shown).await?)
        }
        Err(error) => Err(refused(error)),
    }
}

async fn delete(desk: Desk, id: web::Path<String>, data: FormData) -> Answer {
    let seen = data.text("revision").parse().unwrap_or(0);
    trusted_issuer::delete(&desk.ctx, desk.actor(), &id, seen)
        .await
        .map_err(refused)?;
    desk.done(
        "The issuer is trusted no more; what was given for its assertions ended.",
        "/trusted-issuers",
    )
    .await
}

fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Lines `left = right`; a line without `=` is noted.
fn table(data: &FormData, name: &str, errors: &mut FormErrors) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in lines(data.raw(name)) {
        match line.rsplit_once('=') {
            Some((left, right)) => {
                found.insert(left.trim().to_owned(), right.trim().to_owned());
            }
            None => errors.add(name, "Write one entry on each line, as left = right."),
        }
    }
    found
}

fn read(data: &FormData) -> (Fields, FormErrors) {
    let mut errors = FormErrors::default();
    let text = |name: &str| Some(data.text(name).to_owned());
    let mut number = |name: &str| match data.text(name).parse() {
        Ok(number) => Some(number),
        Err(_) => {
            errors.add(name, "Enter a whole number of seconds.");
            None
        }
    };
    let (cache_seconds, max_life_seconds) = (number("cache_seconds"), number("max_life_seconds"));
    let all = |name: &str| {
        Some(
            data.all(name)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    let fields = Fields {
        name: text("name"),
        issuer: text("issuer"),
        uses: Some(data.all("uses").filter_map(Use::parse).collect()),
        enabled: Some(data.is_checked("enabled")),
        key_source: KeySource::parse(data.text("key_source")),
        jwks: text("jwks"),
        jwks_uri: text("jwks_uri"),
        algorithms: Some(data.all("algorithms").filter_map(ForeignAlg::parse).collect()),
        introspection_endpoint: text("introspection_endpoint"),
        introspection_client_id: text("introspection_client_id"),
        secret: Some(data.secret("secret")).filter(|secret| !secret.expose_secret().is_empty()),
        cache_seconds,
        token_prefix: text("token_prefix"),
        audiences: Some(lines(data.raw("audiences"))),
        subjects: Some(lines(data.raw("subjects"))),
        max_life_seconds,
        mapping: SubjectMapping::parse(data.text("mapping")),
        subject_table: Some(table(data, "subject_table", &mut errors)),
        service_client: text("service_client"),
        scope_claim: text("scope_claim"),
        scope_map: Some(table(data, "scope_map", &mut errors)),
        scopes: all("scopes"),
        projects: all("projects"),
        clients: all("clients"),
        allow_incomplete: Some(data.is_checked("allow_incomplete")),
        require_at_jwt: Some(data.is_checked("require_at_jwt")),
    };
    (fields, errors)
}

/// The form of an issuer: as it is stored, or as it was sent if something is wrong with that.
async fn form(
    desk: &Desk,
    issuer: Option<&TrustedIssuer>,
    data: &FormData,
    errors: FormErrors,
) -> Result<TrustedIssuerForm, Problem> {
    let again = !errors.is_empty();
    let joined = |list: &[String]| list.join("\n");
    let table = |map: &BTreeMap<String, String>| {
        map.iter()
            .map(|(left, right)| format!("{left} = {right}"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let value = |name: &str, stored: String| if again { data.raw(name).to_owned() } else { stored };
    let of = |read: fn(&TrustedIssuer) -> String, otherwise: &str| {
        issuer.map_or_else(|| otherwise.to_owned(), read)
    };
    let chosen = |name: &str, word: &str, stored: bool| {
        if again {
            data.all(name).any(|sent| sent == word)
        } else {
            stored
        }
    };
    let has = |list: fn(&TrustedIssuer) -> &Vec<String>, word: &str| {
        issuer.is_some_and(|issuer| list(issuer).iter().any(|known| known == word))
    };
    let clients = oauth2_server::list(&desk.ctx, None)
        .await
        .map_err(|error| Problem::internal(&error))?;
    let projects = project::list(&desk.ctx, &Projects::All).await?;
    let source = issuer.map_or(KeySource::JwksUri, |issuer| issuer.key_source);
    let mapping = issuer.map_or(SubjectMapping::Table, |issuer| issuer.mapping);
    let title = issuer.map_or_else(|| "Trust an issuer".to_owned(), |issuer| issuer.name.clone());
    Ok(TrustedIssuerForm {
        page: desk.page(title, Section::Settings).await?,
        id: issuer.map(|issuer| issuer.id.clone()).unwrap_or_default(),
        action: issuer.map_or_else(
            || "/trusted-issuers".to_owned(),
            |issuer| format!("/trusted-issuers/{}", issuer.id),
        ),
        revision: issuer.map_or(0, |issuer| issuer.revision),
        drawn: String::new(),
        has_secret: issuer.is_some_and(TrustedIssuer::has_secret),
        values: TrustedIssuerValues {
            name: value("name", of(|i| i.name.clone(), "")),
            issuer: value("issuer", of(|i| i.issuer.clone(), "")),
            enabled: if again {
                data.is_checked("enabled")
            } else {
                issuer.is_some_and(|i| i.enabled)
            },
            jwks: value("jwks", of(|i| i.jwks.clone(), "")),
            jwks_uri: value("jwks_uri", of(|i| i.jwks_uri.clone(), "")),
            introspection_endpoint: value(
                "introspection_endpoint",
                of(|i| i.introspection_endpoint.clone(), ""),
            ),
            introspection_client_id: value(
                "introspection_client_id",
                of(|i| i.introspection_client_id.clone(), ""),
            ),
            cache_seconds: value("cache_seconds", of(|i| i.cache_seconds.to_string(), "60")),
            token_prefix: value("token_prefix", of(|i| i.token_prefix.clone(), "")),
            audiences: value(
                "audiences",
                issuer.map(|i| joined(&i.audiences)).unwrap_or_default(),
            ),
            subjects: value(
                "subjects",
                issuer.map(|i| joined(&i.subjects)).unwrap_or_default(),
            ),
            max_life_seconds: value("max_life_seconds", of(|i| i.max_life_seconds.to_string(), "3600")),
            subject_table: value(
                "subject_table",
                issuer.map(|i| table(&i.subject_table)).unwrap_or_default(),
            ),
            scope_claim: value("scope_claim", of(|i| i.scope_claim.clone(), "scope")),
            scope_map: value(
                "scope_map",
                issuer.map(|i| table(&i.scope_map)).unwrap_or_default(),
            ),
            allow_incomplete: if again {
                data.is_checked("allow_incomplete")
            } else {
                issuer.is_some_and(|i| i.allow_incomplete)
            },
            require_at_jwt: if again {
                data.is_checked("require_at_jwt")
            } else {
                issuer.is_some_and(|i| i.require_at_jwt)
            },
        },
        uses: USES
            .iter()
            .map(|(one, label)| {
                let stored = issuer.is_some_and(|issuer| issuer.uses.contains(one));
                Choice::new(one.as_str(), *label, chosen("uses", one.as_str(), stored))
            })
            .collect(),
        key_sources: SOURCES
            .iter()
            .map(|(one, label)| {
                Choice::new(
                    one.as_str(),
                    *label,
                    chosen("key_source", one.as_str(), *one == source),
                )
            })
            .collect(),
        algorithms: ForeignAlg::ISSUER
            .iter()
            .map(|alg| {
                let stored = issuer.is_some_and(|issuer| issuer.algorithms.contains(alg));
                Choice::new(
                    alg.as_str(),
                    alg.as_str(),
                    chosen("algorithms", alg.as_str(), stored),
                )
            })
            .collect(),
        mappings: MAPPINGS
            .iter()
            .map(|(one, label)| {
                Choice::new(
                    one.as_str(),
                    *label,
                    chosen("mapping", one.as_str(), *one == mapping),
                )
            })
            .collect(),
        scopes: Scope::ALL
            .iter()
            .map(|scope| {
                let stored = has(|i| &i.scopes, scope.as_str());
                Choice::new(
                    scope.as_str(),
                    scope.about(),
                    chosen("scopes", scope.as_str(), stored),
                )
                .with_hint(scope.as_str())
            })
            .collect(),
        projects: projects
            .iter()
            .map(|one| {
                Choice::new(
                    &one.id,
                    &one.name,
                    chosen("projects", &one.id, has(|i| &i.projects, &one.id)),
                )
            })
            .collect(),
        clients: clients
            .iter()
            .map(|one| {
                Choice::new(
                    &one.id,
                    &one.name,
                    chosen("clients", &one.id, has(|i| &i.clients, &one.id)),
                )
                .with_hint(&one.client_id)
            })
            .collect(),
        service_clients: std::iter::once(Choice::new("", "Nobody", false))
            .chain(clients.iter().map(|one| {
                let stored = issuer.is_some_and(|issuer| issuer.service_client == one.id);
                Choice::new(&one.id, &one.name, chosen("service_client", &one.id, stored))
            }))
            .collect(),
        errors,
    })
}
