//! The form of a client.

use actix_web::web;

use super::{ADMIN, find, refused, shown_once};
use crate::access::{Role, Scope};
use crate::crypto::ForeignAlg;
use crate::oauth2_server::{
    self, ApplicationType, Client, ClientAuth, ClientError, ClientFields, ClientProtocol, GrantType, Legacy,
    NewClient, TokenFormat,
};
use crate::project;
use crate::trouble::FieldError;
use crate::web::admin::desk::{Answer, Desk};
use crate::web::admin::once::once;
use crate::web::admin::views::Section;
use crate::web::admin::views::clients::{ClientForm, ClientValues, Open};
use crate::web::admin::views::parts::{Choice, FormErrors};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::Route;

/// The routes of this file.
pub(in crate::web::admin) const ROUTES: &[Route] = &[
    Route::get("/clients/new", ADMIN, || web::to(new)),
    Route::post("/clients", ADMIN, || web::to(create)),
    Route::get("/clients/{id}/edit", ADMIN, || web::to(edit)),
    Route::post("/clients/{id}", ADMIN, || web::to(update)),
];

/// "1 h", "30 d": the largest unit that leaves no rest.
pub(super) fn duration(seconds: i64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length && seconds % length == 0 {
            return format!("{} {unit}", seconds / length);
        }
    }
    format!("{seconds} s")
}

/// Reads what [`duration`] writes.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let length = match unit.trim() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(length)
}

/// What was typed.
struct Typed {
    fields: ClientFields,
    values: ClientValues,
    project_id: String,
    secret: secrecy::SecretString,
}

impl Typed {
    fn of_client(fields: ClientFields, revision: i64) -> Self {
        let values = ClientValues {
            revision: revision.to_string(),
            name: fields.name.clone(),
            description: fields.description.clone(),
            redirect_uris: fields.redirect_uris.join("\n"),
            client_uri: fields.client_uri.clone(),
            logo_uri: fields.logo_uri.clone(),
            policy_uri: fields.policy_uri.clone(),
            tos_uri: fields.tos_uri.clone(),
            contacts: fields.contacts.join("\n"),
            client_id: String::new(),
            access: duration(fields.access_seconds),
            refresh_idle: duration(fields.refresh_idle_seconds),
            refresh_absolute: duration(fields.refresh_absolute_seconds),
            jwks: fields.protocol.jwks.clone(),
            jwks_uri: fields.protocol.jwks_uri.clone(),
            require_signed_request: fields.protocol.require_signed_request,
            require_pushed_request: fields.protocol.require_pushed_request,
            dpop_bound: fields.protocol.dpop_bound,
            default_max_age: fields.protocol.default_max_age.map(duration).unwrap_or_default(),
            post_logout_redirect_uris: fields.protocol.post_logout_redirect_uris.join("\n"),
            frontchannel_logout_uri: fields.protocol.frontchannel_logout_uri.clone(),
            frontchannel_session: fields.protocol.frontchannel_logout_session_required,
            backchannel_logout_uri: fields.protocol.backchannel_logout_uri.clone(),
            backchannel_session: fields.protocol.backchannel_logout_session_required,
            initiate_login_uri: fields.protocol.initiate_login_uri.clone(),
            relax_pkce: !fields.require_pkce,
            auto_grant: fields.auto_grant,
            legacy: words_of(&fields.legacy),
            may_introspect: fields.may_introspect,
        };
        Self {
            fields,
            values,
            project_id: String::new(),
            secret: secrecy::SecretString::default(),
        }
    }

    /// What the form holds, over what the client has: fields the form does not show stay.
    fn of_form(form: &FormData, mut fields: ClientFields, may_site: bool, errors: &mut FormErrors) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let values = ClientValues {
            revision: text("revision"),
            name: text("name"),
            description: text("description"),
            redirect_uris: text("redirect_uris"),
            client_uri: text("client_uri"),
            logo_uri: text("logo_uri"),
            policy_uri: text("policy_uri"),
            tos_uri: text("tos_uri"),
            contacts: text("contacts"),
            client_id: text("client_id"),
            access: text("access"),
            refresh_idle: text("refresh_idle"),
            refresh_absolute: text("refresh_absolute"),
            jwks: text("jwks"),
            jwks_uri: text("jwks_uri"),
            require_signed_request: form.is_checked("require_signed_request"),
            require_pushed_request: form.is_checked("require_pushed_request"),
            dpop_bound: form.is_checked("dpop_bound"),
            default_max_age: text("default_max_age"),
            post_logout_redirect_uris: text("post_logout_redirect_uris"),
            frontchannel_logout_uri: text("frontchannel_logout_uri"),
            frontchannel_session: form.is_checked("frontchannel_session"),
            backchannel_logout_uri: text("backchannel_logout_uri"),
            backchannel_session: form.is_checked("backchannel_session"),
            initiate_login_uri: text("initiate_login_uri"),
            relax_pkce: form.is_checked("relax_pkce"),
            auto_grant: form.is_checked("auto_grant"),
            legacy: form.all("legacy").map(str::to_owned).collect(),
            may_introspect: form.is_checked("may_introspect"),
        };
        fields.name.clone_from(&values.name);
        fields.description.clone_from(&values.description);
        fields.client_uri.clone_from(&values.client_uri);
        fields.logo_uri.clone_from(&values.logo_uri);
        fields.policy_uri.clone_from(&values.policy_uri);
        fields.tos_uri.clone_from(&values.tos_uri);
        fields.redirect_uris = lines(&values.redirect_uris);
        fields.contacts = lines(&values.contacts);
        read_protocol(&mut fields.protocol, &values, errors);
        if may_site {
            fields.require_pkce = !values.relax_pkce;
            fields.auto_grant = values.auto_grant;
            fields.legacy = Legacy::ALL
                .into_iter()
                .filter(|switch| values.legacy.iter().any(|word| word == switch.as_str()))
                .collect();
            fields.may_introspect = values.may_introspect;
        }
        fields.application_type =
            ApplicationType::parse(form.text("application_type")).unwrap_or(fields.application_type);
        fields.auth_method = ClientAuth::parse(form.text("auth_method")).unwrap_or(fields.auth_method);
        fields.token_format = TokenFormat::parse(form.text("token_format")).unwrap_or(fields.token_format);
        fields.id_token_alg = match form.text("id_token_alg") {
            "" => fields.id_token_alg,
            alg => alg.to_owned(),
        };
        for (name, alg) in [
            ("userinfo_alg", &mut fields.protocol.userinfo_alg),
            ("introspection_alg", &mut fields.protocol.introspection_alg),
            ("auth_signing_alg", &mut fields.protocol.auth_signing_alg),
            ("request_object_alg", &mut fields.protocol.request_object_alg),
        ] {
            form.text(name).clone_into(alg);
        }
        fields.grant_types = form.all("grant_type").filter_map(GrantType::parse).collect();
        fields.scopes = form.all("scope").map(str::to_owned).collect();
        for (name, text, field) in [
            ("access", &values.access, &mut fields.access_seconds),
            (
                "refresh_idle",
                &values.refresh_idle,
                &mut fields.refresh_idle_seconds,
            ),
            (
                "refresh_absolute",
                &values.refresh_absolute,
                &mut fields.refresh_absolute_seconds,
            ),
        ] {
            match seconds(text) {
                Some(length) => *field = length,
                None => errors.add(name, "Enter a number and a unit: 90 s, 15 m, 1 h or 30 d."),
            }
        }
        Self {
            fields,
            values,
            project_id: text("project_id"),
            secret: form.secret("client_secret"),
        }
    }

    async fn view(
        &self,
        desk: &Desk,
        stored: Option<&Client>,
        errors: FormErrors,
    ) -> Result<ClientForm, Problem> {
        let title = stored.map_or_else(
            || "New client".to_owned(),
            |client| format!("Edit {}", client.name),
        );
        let path = stored.map_or_else(
            || "/clients".to_owned(),
            |client| format!("/clients/{}", client.id),
        );
        let fields = &self.fields;
        Ok(ClientForm {
            page: desk.page(title, Section::Clients).await?,
            id: stored.map(|client| client.id.clone()),
            action: path.clone(),
            back: path,
            values: self.values.clone(),
            projects: match stored {
                Some(_) => Vec::new(),
                None => projects(desk, &self.project_id).await?,
            },
            kinds: kinds(fields.application_type),
            grants: grants(&fields.grant_types),
            scopes: scopes(desk, &fields.scopes, &fields.scopes),
            auth_methods: auth_methods(fields.auth_method),
            formats: vec![
                Choice::new("opaque", "Opaque", fields.token_format == TokenFormat::Opaque),
                Choice::new("jwt", "Signed (JWT)", fields.token_format == TokenFormat::Jwt),
            ],
            algs: signed_with(&OURS, &fields.id_token_alg).collect(),
            userinfo_algs: one_of("Not signed", &OURS, &fields.protocol.userinfo_alg),
            introspection_algs: one_of("RS256", &["ES256", "EdDSA"], &fields.protocol.introspection_alg),
            auth_algs: one_of(
                "Any",
                &ForeignAlg::CLIENT.map(ForeignAlg::as_str),
                &fields.protocol.auth_signing_alg,
            ),
            request_algs: one_of(
                "Any",
                &ForeignAlg::CLIENT.map(ForeignAlg::as_str),
                &fields.protocol.request_object_alg,
            ),
            legacy: Legacy::ALL
                .into_iter()
                .map(|switch| {
                    Choice::new(switch.as_str(), switch.label(), fields.may(switch)).with_hint(switch.risk())
                })
                .collect(),
            may_site: desk.access().is_site_admin(),
            open: open(stored.is_some(), &self.values, &errors),
            errors,
        })
    }
}

/// Algorithms that we sign with.
const OURS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// Algorithms to choose from.
fn signed_with(known: &[&'static str], chosen: &str) -> impl Iterator<Item = Choice> {
    known
        .iter()
        .map(move |alg| Choice::new(*alg, *alg, *alg == chosen))
}

/// The same behind a choice of none.
fn one_of(none: &str, known: &[&'static str], chosen: &str) -> Vec<Choice> {
    std::iter::once(Choice::new("", none, chosen.is_empty()))
        .chain(signed_with(known, chosen))
        .collect()
}

fn read_protocol(protocol: &mut ClientProtocol, values: &ClientValues, errors: &mut FormErrors) {
    protocol.jwks.clone_from(&values.jwks);
    protocol.jwks_uri.clone_from(&values.jwks_uri);
    protocol.require_signed_request = values.require_signed_request;
    protocol.require_pushed_request = values.require_pushed_request;
    protocol.dpop_bound = values.dpop_bound;
    protocol.post_logout_redirect_uris = lines(&values.post_logout_redirect_uris);
    protocol
        .frontchannel_logout_uri
        .clone_from(&values.frontchannel_logout_uri);
    protocol.frontchannel_logout_session_required = values.frontchannel_session;
    protocol
        .backchannel_logout_uri
        .clone_from(&values.backchannel_logout_uri);
    protocol.backchannel_logout_session_required = values.backchannel_session;
    protocol.initiate_login_uri.clone_from(&values.initiate_login_uri);
    protocol.default_max_age = match values.default_max_age.as_str() {
        "" => None,
        text => {
            let age = seconds(text);
            if age.is_none() {
                errors.add(
                    "default_max_age",
                    "Enter a number and a unit: 90 s, 15 m, 1 h or 30 d.",
                );
            }
            age
        }
    };
}

fn words_of(switches: &[Legacy]) -> Vec<String> {
    switches.iter().map(|switch| switch.as_str().to_owned()).collect()
}

fn lines(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.split_whitespace() {
        if !found.iter().any(|have| have == line) {
            found.push(line.to_owned());
        }
    }
    found
}

/// A folded part that holds a mistake stands open, and so does what somebody relaxed.
fn open(exists: bool, values: &ClientValues, errors: &FormErrors) -> Open {
    let wrong = |names: &[&str]| names.iter().any(|name| errors.by.contains_key(*name));
    let about = [
        "description",
        "client_uri",
        "logo_uri",
        "policy_uri",
        "tos_uri",
        "contacts",
    ];
    Open {
        about: wrong(&about) || (exists && !values.client_uri.is_empty()),
        own: wrong(&["client_id", "client_secret"]),
        tokens: wrong(&[
            "grant_types",
            "auth_method",
            "token_format",
            "id_token_alg",
            "userinfo_alg",
            "introspection_alg",
            "auth_signing_alg",
            "access",
            "refresh_idle",
            "refresh_absolute",
        ]),
        keys: wrong(&["jwks", "jwks_uri", "request_object_alg"])
            || !values.jwks.is_empty()
            || !values.jwks_uri.is_empty()
            || values.dpop_bound,
        sign_out: wrong(&[
            "post_logout_redirect_uris",
            "frontchannel_logout_uri",
            "backchannel_logout_uri",
            "initiate_login_uri",
            "default_max_age",
        ]) || !values.backchannel_logout_uri.is_empty()
            || !values.post_logout_redirect_uris.is_empty(),
        relaxed: wrong(&["relax_pkce", "auto_grant", "legacy", "may_introspect"])
            || values.relax_pkce
            || !values.legacy.is_empty()
            || values.auto_grant
            || values.may_introspect,
    }
}

/// The projects somebody can register for, and the site for its admins.
pub(super) async fn projects(desk: &Desk, chosen: &str) -> Result<Vec<Choice>, Problem> {
    let mut choices = Vec::new();
    if desk.access().has_site(Scope::ClientsManage) {
        choices.push(Choice::new("", "The site", chosen.is_empty()));
    }
    for project in project::list(&desk.ctx, &desk.access().projects()).await? {
        let label = format!("{} · {}", project.key, project.name);
        let selected = project.id == chosen;
        choices.push(Choice::new(project.id, label, selected));
    }
    Ok(choices)
}

fn kinds(chosen: ApplicationType) -> Vec<Choice> {
    vec![
        Choice::new(
            "web",
            "On a server or in the browser",
            chosen == ApplicationType::Web,
        )
        .with_hint("Its redirect URIs begin with https."),
        Choice::new(
            "native",
            "On its users' devices",
            chosen == ApplicationType::Native,
        )
        .with_hint(
            "http://127.0.0.1 with any port, or a scheme of its own such as com.example.app:/callback.",
        ),
    ]
}

fn grants(chosen: &[GrantType]) -> Vec<Choice> {
    GrantType::ALL
        .into_iter()
        .map(|grant| {
            let (label, hint) = match grant {
                GrantType::AuthorizationCode => ("Authorization code", "A person signs in and allows it."),
                GrantType::RefreshToken => ("Refresh token", "It stays connected while the person is away."),
                GrantType::ClientCredentials => (
                    "Client credentials",
                    "It signs in for itself, without a person: needs a secret or a key.",
                ),
                GrantType::DeviceCode => (
                    "Device code",
                    "It runs where nobody can type, and shows a code that a person types elsewhere.",
                ),
                GrantType::JwtBearer => (
                    "Assertions of a trusted issuer",
                    "It brings what an issuer says of a person (JWT bearer): needs a secret, and an issuer that names it.",
                ),
            };
            Choice::new(grant.as_str(), label, chosen.contains(&grant)).with_hint(hint)
        })
        .collect()
}

/// Whether somebody may register applications for a project, or (empty) for the site.
pub(super) fn may_register_for(desk: &Desk, project_id: &str) -> bool {
    match project_id {
        "" => desk.access().has_site(Scope::ClientsManage),
        project => desk.access().projects().contains(project),
    }
}

/// The scopes that may be given, and those that were `had` already.
pub(super) fn scopes(desk: &Desk, ticked: &[String], had: &[String]) -> Vec<Choice> {
    let is_site_admin = desk.access().is_site_admin();
    oauth2_server::scopes()
        .filter(|scope| {
            let in_project = Scope::parse(scope.value).is_none_or(|scope| Role::ProjectAdmin.allows(scope));
            is_site_admin || in_project || had.iter().any(|have| have == scope.value)
        })
        .map(|scope| {
            let has = ticked.iter().any(|have| have == scope.value);
            Choice::new(scope.value, scope.value, has).with_hint(scope.sentence)
        })
        .collect()
}

fn auth_methods(chosen: ClientAuth) -> Vec<Choice> {
    ClientAuth::ALL
        .into_iter()
        .map(|method| {
            let label = match method {
                ClientAuth::Basic => "Secret in the header (basic)",
                ClientAuth::Post => "Secret in the body (post)",
                ClientAuth::PrivateKeyJwt => "Assertion signed with its key (private_key_jwt)",
                ClientAuth::None => "Not at all: it cannot keep a secret",
            };
            Choice::new(method.as_str(), label, method == chosen)
        })
        .collect()
}

/// Names of fields as the form has them.
fn form_name(field: &'static str) -> &'static str {
    match field {
        "projectId" => "project_id",
        "clientId" => "client_id",
        "clientSecret" => "client_secret",
        "clientUri" => "client_uri",
        "logoUri" => "logo_uri",
        "policyUri" => "policy_uri",
        "tosUri" => "tos_uri",
        "redirectUris" => "redirect_uris",
        "grantTypes" => "grant_types",
        "applicationType" => "application_type",
        "tokenEndpointAuthMethod" => "auth_method",
        "dpopBoundAccessTokens" => "dpop_bound",
        "requireSignedRequestObject" => "require_signed_request",
        "requirePushedAuthorizationRequests" => "require_pushed_request",
        "idTokenAlg" => "id_token_alg",
        "userinfoSignedResponseAlg" => "userinfo_alg",
        "introspectionSignedResponseAlg" => "introspection_alg",
        "tokenEndpointAuthSigningAlg" => "auth_signing_alg",
        "requestObjectSigningAlg" => "request_object_alg",
        "jwksUri" => "jwks_uri",
        "postLogoutRedirectUris" => "post_logout_redirect_uris",
        "frontchannelLogoutUri" => "frontchannel_logout_uri",
        "backchannelLogoutUri" => "backchannel_logout_uri",
        "initiateLoginUri" => "initiate_login_uri",
        "defaultMaxAge" => "default_max_age",
        "requirePkce" => "relax_pkce",
        "autoGrant" => "auto_grant",
        "mayIntrospect" => "may_introspect",
        "accessSeconds" => "access",
        "refreshIdleSeconds" => "refresh_idle",
        "refreshAbsoluteSeconds" => "refresh_absolute",
        other => other,
    }
}

fn add(errors: &mut FormErrors, found: Vec<FieldError>) {
    for error in found {
        errors.add(form_name(error.field), error.message);
    }
}

async fn new(desk: Desk) -> Answer {
    let typed = Typed::of_client(ClientFields::default(), 0);
    desk.show(&typed.view(&desk, None, FormErrors::default()).await?)
}

async fn create(desk: Desk, form: FormData) -> Answer {
    once(&desk, &form, "/clients", make(&desk, &form)).await
}

async fn make(desk: &Desk, form: &FormData) -> Answer {
    let mut errors = FormErrors::default();
    let may_site = desk.access().is_site_admin();
    let typed = Typed::of_form(form, ClientFields::default(), may_site, &mut errors);
    if !may_register_for(desk, &typed.project_id) {
        errors.add("project_id", "Choose the project the client belongs to.");
    }
    if !may_site {
        add(&mut errors, oauth2_server::beyond_a_project(&typed.fields, None));
    }
    if errors.is_empty() {
        let new = NewClient {
            fields: typed.fields.clone(),
            project_id: typed.project_id.clone(),
            client_id: typed.values.client_id.clone(),
            client_secret: typed.secret.clone(),
        };
        match oauth2_server::create(&desk.ctx, desk.actor(), new).await {
            Ok(made) => {
                let text = "It is registered. Give these to the application.";
                return shown_once(desk, &made.client, text, made.secret.as_ref()).await;
            }
            Err(ClientError::Invalid(found)) => add(&mut errors, found),
            Err(error) => return Err(refused(error)),
        }
    }
    desk.show_again(&typed.view(desk, None, errors).await?)
}

async fn edit(desk: Desk, id: web::Path<String>) -> Answer {
    let client = find(&desk, &id).await?;
    let typed = Typed::of_client(client.fields.clone(), client.revision);
    desk.show(&typed.view(&desk, Some(&client), FormErrors::default()).await?)
}

async fn update(desk: Desk, id: web::Path<String>, form: FormData) -> Answer {
    let client = find(&desk, &id).await?;
    let mut errors = FormErrors::default();
    let may_site = desk.access().is_site_admin();
    let typed = Typed::of_form(&form, client.fields.clone(), may_site, &mut errors);
    if !may_site {
        add(
            &mut errors,
            oauth2_server::beyond_a_project(&typed.fields, Some(&client)),
        );
    }
    if errors.is_empty() {
        let seen = typed.values.revision.parse().unwrap_or(0);
        let fields = typed.fields.clone();
        match oauth2_server::update(&desk.ctx, desk.actor(), &client.id, seen, fields).await {
            Ok(_) => {
                return desk
                    .done("The client is saved.", &format!("/clients/{}", client.id))
                    .await;
            }
            Err(ClientError::Invalid(found)) => add(&mut errors, found),
            Err(ClientError::Conflict) => errors.add(
                "",
                "The client was changed meanwhile. Open the form again and repeat the change.",
            ),
            Err(error) => return Err(refused(error)),
        }
    }
    desk.show_again(&typed.view(&desk, Some(&client), errors).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_as_it_is_written() {
        for (length, text) in [
            (45, "45 s"),
            (90, "90 s"),
            (900, "15 m"),
            (3_600, "1 h"),
            (2_592_000, "30 d"),
        ] {
            assert_eq!(duration(length), text);
            assert_eq!(seconds(text), Some(length));
        }
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("1h"), Some(3_600));
        for bad in ["", "h", "1 y", "-1 h", "1.5 h", "99999999999999999 d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
