//! What a client says of itself when it registers (RFC 7591, section 2, and its companions): read strictly, shown as it is
//! stored. Whatever we know and do not have is refused; what nobody knows is left alone.

use serde_json::{Map, Value};
use url::Url;

use super::model::{Client, ClientAuth, ClientFields, GrantType};
use super::redirect::ApplicationType;
use super::registration::ClientProtocol;

/// Why metadata is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// `invalid_redirect_uri`, `invalid_client_metadata` or `invalid_software_statement`.
    pub(super) code: &'static str,
    /// What is wrong.
    pub(super) text: String,
}

pub(super) fn invalid(text: impl Into<String>) -> Invalid {
    Invalid {
        code: "invalid_client_metadata",
        text: text.into(),
    }
}

fn invalid_uri(text: impl Into<String>) -> Invalid {
    Invalid {
        code: "invalid_redirect_uri",
        text: text.into(),
    }
}

/// What was asked for, typed.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) scope: Option<String>,
    name: String,
    pub(super) client_uri: String,
    pub(super) logo_uri: String,
    pub(super) policy_uri: String,
    pub(super) tos_uri: String,
    contacts: Vec<String>,
    application_type: ApplicationType,
    pub(super) redirect_uris: Vec<String>,
    grant_types: Vec<GrantType>,
    auth_method: ClientAuth,
    id_token_alg: String,
    pub(super) protocol: ClientProtocol,
    pub(super) sector_identifier_uri: String,
}

/// The members of a registration, each read with its type.
struct Members<'a>(&'a Map<String, Value>);

impl Members<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, Invalid> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(invalid(format!("{name} holds a NUL character")))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(format!("{name} must be a text"))),
        }
    }

    fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Invalid> {
        let wrong = || invalid(format!("{name} must be a list of texts"));
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item.as_str() {
                    Some(text) if !text.contains('\0') => Ok(text.to_owned()),
                    _ => Err(wrong()),
                })
                .collect::<Result<Vec<_>, _>>()
                .map(Some),
            Some(_) => Err(wrong()),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, Invalid> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(invalid(format!("{name} must be true or false"))),
        }
    }

    fn plain(&self, name: &str) -> Result<String, Invalid> {
        Ok(self.text(name)?.unwrap_or_default())
    }
}

/// Known, and not had here: a client that needs it must not think that it has it.
const NOT_HAD: [&str; 11] = [
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "request_object_encryption_alg",
    "request_object_encryption_enc",
    "authorization_signed_response_alg",
    "authorization_encrypted_response_alg",
    "introspection_encrypted_response_alg",
    "tls_client_auth_subject_dn",
    "backchannel_token_delivery_mode",
];

/// Reads metadata.
///
/// # Errors
/// The first thing that is wrong, with the code RFC 7591 has for it.
pub(super) fn read(sent: &Value) -> Result<Asked, Invalid> {
    let Value::Object(members) = sent else {
        return Err(invalid("send a JSON object"));
    };
    let from = Members(members);
    if members
        .get("software_statement")
        .is_some_and(|value| !value.is_null())
    {
        return Err(Invalid {
            code: "invalid_software_statement",
            text: "software statements are not taken here; say the same as metadata".into(),
        });
    }
    for name in NOT_HAD {
        if members.get(name).is_some_and(|value| !value.is_null()) {
            return Err(invalid(format!("{name} is not had here")));
        }
    }
    if from.flag("tls_client_certificate_bound_access_tokens")? {
        return Err(invalid(
            "tokens are not bound to certificates here; DPoP binds them to keys",
        ));
    }
    if from.text("subject_type")?.is_some_and(|kind| kind != "public") {
        return Err(invalid("subject_type must be public"));
    }
    let application_type = match from.text("application_type")? {
        None => ApplicationType::Web,
        Some(text) => {
            ApplicationType::parse(&text).ok_or_else(|| invalid("application_type must be web or native"))?
        }
    };
    let redirect_uris = from.texts("redirect_uris")?.unwrap_or_default();
    for uri in &redirect_uris {
        check_redirect(application_type, uri).map_err(invalid_uri)?;
    }
    let protocol = protocol(&from)?;
    // The browser is sent there as well, by a page that promises a sign-out.
    for uri in &protocol.post_logout_redirect_uris {
        check_redirect(application_type, uri)
            .map_err(|why| invalid(format!("post_logout_redirect_uris: {why}")))?;
    }
    let grant_types = grants(&from, &redirect_uris)?;
    let auth_method = match from.text("token_endpoint_auth_method")? {
        // A device keeps no secret, whatever the default of the specification.
        None if application_type == ApplicationType::Native => ClientAuth::None,
        None => ClientAuth::Basic,
        Some(text) => ClientAuth::parse(&text)
            .ok_or_else(|| invalid("token_endpoint_auth_method is not one of those the server has"))?,
    };
    Ok(Asked {
        scope: from.text("scope")?,
        name: name(&from, &redirect_uris)?,
        client_uri: from.plain("client_uri")?,
        logo_uri: from.plain("logo_uri")?,
        policy_uri: from.plain("policy_uri")?,
        tos_uri: from.plain("tos_uri")?,
        contacts: from.texts("contacts")?.unwrap_or_default(),
        application_type,
        redirect_uris,
        grant_types,
        auth_method,
        id_token_alg: from
            .text("id_token_signed_response_alg")?
            .unwrap_or_else(|| "RS256".into()),
        protocol,
        sector_identifier_uri: from.plain("sector_identifier_uri")?,
    })
}

/// Stricter than for an admin: a scheme of its own must be a reversed domain, since nobody looked at it.
fn check_redirect(kind: ApplicationType, uri: &str) -> Result<(), String> {
    let shown: String = uri.chars().take(100).collect();
    if let Some(why) = super::redirect::refusal(kind, uri) {
        return Err(format!("{shown}: {why}"));
    }
    let scheme = uri.split(':').next().unwrap_or_default();
    if !matches!(scheme, "https" | "http") && !scheme.contains('.') {
        return Err(format!(
            "{shown}: a scheme of its own is a reversed domain, such as com.example.app"
        ));
    }
    Ok(())
}

fn grants(from: &Members<'_>, redirect_uris: &[String]) -> Result<Vec<GrantType>, Invalid> {
    let mut grants = match from.texts("grant_types")? {
        None => vec![GrantType::AuthorizationCode],
        Some(asked) => asked
            .iter()
            .map(|grant| {
                GrantType::parse(grant)
                    .ok_or_else(|| invalid("grant_types holds one that does not exist here"))
            })
            .collect::<Result<Vec<_>, _>>()?,
    };
    let with_code = grants.contains(&GrantType::AuthorizationCode);
    let responses = from.texts("response_types")?;
    let fits = match responses.as_deref() {
        None => true,
        Some([only]) => only == "code" && with_code,
        Some([]) => !with_code,
        Some(_) => false,
    };
    if !fits {
        return Err(invalid(
            "response_types must be code where authorization_code is among grant_types, and nothing else is had here",
        ));
    }
    if with_code && redirect_uris.is_empty() {
        return Err(invalid_uri("redirect_uris is missing"));
    }
    grants.dedup();
    Ok(grants)
}

/// The name people see; the host that codes go to where there is none.
fn name(from: &Members<'_>, redirect_uris: &[String]) -> Result<String, Invalid> {
    if let Some(name) = from.text("client_name")?.filter(|name| !name.trim().is_empty()) {
        return Ok(name);
    }
    let host = redirect_uris
        .first()
        .and_then(|uri| Url::parse(uri).ok())
        .and_then(|url| url.host_str().map(str::to_owned));
    Ok(host.unwrap_or_else(|| "Application without a name".into()))
}

fn protocol(from: &Members<'_>) -> Result<ClientProtocol, Invalid> {
    let jwks = match from.0.get("jwks") {
        None | Some(Value::Null) => String::new(),
        Some(set @ Value::Object(_)) => set.to_string(),
        Some(_) => return Err(invalid("jwks must be an object")),
    };
    let default_max_age = match from.0.get("default_max_age") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_i64()
                .ok_or_else(|| invalid("default_max_age must be a number of seconds"))?,
        ),
    };
    Ok(ClientProtocol {
        jwks,
        jwks_uri: from.plain("jwks_uri")?,
        auth_signing_alg: from.plain("token_endpoint_auth_signing_alg")?,
        request_object_alg: from.plain("request_object_signing_alg")?,
        require_signed_request: from.flag("require_signed_request_object")?,
        require_pushed_request: from.flag("require_pushed_authorization_requests")?,
        dpop_bound: from.flag("dpop_bound_access_tokens")?,
        introspection_alg: from.plain("introspection_signed_response_alg")?,
        userinfo_alg: from.plain("userinfo_signed_response_alg")?,
        default_max_age,
        post_logout_redirect_uris: from.texts("post_logout_redirect_uris")?.unwrap_or_default(),
        frontchannel_logout_uri: from.plain("frontchannel_logout_uri")?,
        frontchannel_logout_session_required: from.flag("frontchannel_logout_session_required")?,
        backchannel_logout_uri: from.plain("backchannel_logout_uri")?,
        backchannel_logout_session_required: from.flag("backchannel_logout_session_required")?,
        initiate_login_uri: from.plain("initiate_login_uri")?,
        software_id: from.plain("software_id")?,
        software_version: from.plain("software_version")?,
    })
}

impl Asked {
    /// Puts it onto the fields of a client. What only an admin gives stays as it is.
    pub(super) fn onto(&self, fields: &mut ClientFields) {
        let asked = self.clone();
        fields.name = asked.name;
        fields.client_uri = asked.client_uri;
        fields.logo_uri = asked.logo_uri;
        fields.policy_uri = asked.policy_uri;
        fields.tos_uri = asked.tos_uri;
        fields.contacts = asked.contacts;
        fields.application_type = asked.application_type;
        fields.redirect_uris = asked.redirect_uris;
        fields.grant_types = asked.grant_types;
        fields.auth_method = asked.auth_method;
        fields.id_token_alg = asked.id_token_alg;
        fields.protocol = asked.protocol;
    }
}

/// A client in the words of RFC 7591.
pub(super) fn show(client: &Client) -> Map<String, Value> {
    let mut members = Map::new();
    let mut text = |name: &str, value: &str| {
        if !value.is_empty() {
            members.insert(name.to_owned(), value.into());
        }
    };
    let protocol = &client.protocol;
    text("client_name", &client.name);
    text("client_uri", &client.client_uri);
    text("logo_uri", &client.logo_uri);
    text("policy_uri", &client.policy_uri);
    text("tos_uri", &client.tos_uri);
    text("scope", &client.scopes.join(" "));
    text("application_type", client.application_type.as_str());
    text("token_endpoint_auth_method", client.auth_method.as_str());
    text("id_token_signed_response_alg", &client.id_token_alg);
    text("subject_type", "public");
    text("jwks_uri", &protocol.jwks_uri);
    text("token_endpoint_auth_signing_alg", &protocol.auth_signing_alg);
    text("request_object_signing_alg", &protocol.request_object_alg);
    text("introspection_signed_response_alg", &protocol.introspection_alg);
    text("userinfo_signed_response_alg", &protocol.userinfo_alg);
    text("frontchannel_logout_uri", &protocol.frontchannel_logout_uri);
    text("backchannel_logout_uri", &protocol.backchannel_logout_uri);
    text("initiate_login_uri", &protocol.initiate_login_uri);
    text("software_id", &protocol.software_id);
    text("software_version", &protocol.software_version);
    let grants: Vec<&str> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    let responses: &[&str] = match client.has_grant(GrantType::AuthorizationCode) {
        true => &["code"],
        false => &[],
    };
    members.insert("redirect_uris".into(), client.redirect_uris.clone().into());
    members.insert("grant_types".into(), grants.into());
    members.insert("response_types".into(), responses.to_vec().into());
    members.insert("contacts".into(), client.contacts.clone().into());
    members.insert(
        "post_logout_redirect_uris".into(),
        protocol.post_logout_redirect_uris.clone().into(),
    );
    for (name, flag) in [
        ("require_signed_request_object", protocol.require_signed_request),
        (
            "require_pushed_authorization_requests",
            protocol.require_pushed_request,
        ),
        ("dpop_bound_access_tokens", protocol.dpop_bound),
        (
            "frontchannel_logout_session_required",
            protocol.frontchannel_logout_session_required,
        ),
        (
            "backchannel_logout_session_required",
            protocol.backchannel_logout_session_required,
        ),
    ] {
        members.insert(name.into(), flag.into());
    }
    if let Some(age) = protocol.default_max_age {
        members.insert("default_max_age".into(), age.into());
    }
    if let Ok(jwks) = serde_json::from_str::<Value>(&protocol.jwks) {
        members.insert("jwks".into(), jwks);
    }
    members
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(changes: &Value) -> Value {
        let mut sent = json!({ "redirect_uris": ["https://app.example/cb"], "client_name": "App" });
        for (name, value) in changes.as_object().into_iter().flatten() {
            sent[name] = value.clone();
        }
        sent
    }

    #[test]
    fn n52_a_redirect_uri_that_could_lead_elsewhere_is_not_registered() {
        for uri in [
            "https://app.example/cb#x",
            "javascript:alert(1)",
            "data:text/html,x",
            "http://app.example/cb",
            "https://*.example/cb",
            "nxdrive://authorize",
            "",
        ] {
            for kind in ["web", "native"] {
                let sent = with(&json!({ "redirect_uris": [uri], "application_type": kind }));
                assert_eq!(
                    read(&sent).unwrap_err().code,
                    "invalid_redirect_uri",
                    "{uri} {kind}"
                );
            }
        }
        assert_eq!(
            read(&with(&json!({ "redirect_uris": [] }))).unwrap_err().code,
            "invalid_redirect_uri"
        );
        let native = with(&json!({ "redirect_uris": ["com.example.app:/cb"], "application_type": "native" }));
        assert_eq!(read(&native).unwrap().auth_method, ClientAuth::None);
    }

    #[test]
    fn n53_n54_what_does_not_fit_or_is_not_had_is_refused() {
        for sent in [
            json!([]),
            json!("x"),
            with(&json!({ "redirect_uris": "https://app.example/cb" })),
            with(&json!({ "redirect_uris": ["https://app.example/cb", null] })),
            with(&json!({ "redirect_uris": { "0": "https://app.example/cb" } })),
            with(&json!({ "client_name": 7 })),
            with(&json!({ "contacts": "ada@example.org" })),
            with(&json!({ "grant_types": ["password"] })),
            with(&json!({ "grant_types": ["implicit"] })),
            with(&json!({ "grant_types": ["authorization_code", 1] })),
            with(&json!({ "response_types": ["token"] })),
            with(&json!({ "response_types": ["code id_token"] })),
            with(&json!({ "response_types": ["code", "token"] })),
            with(&json!({ "response_types": [] })),
            with(&json!({ "grant_types": ["client_credentials"], "response_types": ["code"] })),
            with(&json!({ "token_endpoint_auth_method": "client_secret_jwt" })),
            with(&json!({ "subject_type": "pairwise" })),
            with(&json!({ "application_type": "desktop" })),
            with(&json!({ "userinfo_encrypted_response_alg": "RSA-OAEP" })),
            with(&json!({ "tls_client_certificate_bound_access_tokens": true })),
            with(&json!({ "dpop_bound_access_tokens": "yes" })),
            with(&json!({ "default_max_age": "x" })),
            with(&json!({ "jwks": "https://app.example/keys" })),
        ] {
            assert_eq!(read(&sent).unwrap_err().code, "invalid_client_metadata", "{sent}");
        }
        let statement = with(&json!({ "software_statement": "eyJ" }));
        assert_eq!(read(&statement).unwrap_err().code, "invalid_software_statement");
        assert!(read(&with(&json!({ "something_new": 1, "logo_uri": null }))).is_ok());
    }

    #[test]
    fn a_client_without_a_name_is_called_by_its_host() {
        let read = read(&json!({ "redirect_uris": ["https://app.example/cb"] })).unwrap();
        assert_eq!(read.name, "app.example");
    }
}
