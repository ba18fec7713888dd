//! The JSON file that Google's console offers for an OAuth client, so that nobody has to copy two fields.

use secrecy::SecretString;
use serde::Deserialize;

use crate::trouble::Trouble;

/// What the file says.
#[derive(Debug)]
pub struct GoogleClient {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretString,
    /// Redirect URLs registered so far.
    pub redirect_uris: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    web: Option<Web>,
    installed: Option<serde::de::IgnoredAny>,
    r#type: Option<String>,
}

#[derive(Deserialize)]
struct Web {
    client_id: String,
    client_secret: String,
    #[serde(default)]
    redirect_uris: Vec<String>,
}

/// Reads the file of a client of the type *Web application*; other files are told apart in the error.
pub fn parse_google_client_json(text: &str) -> Result<GoogleClient, Trouble> {
    let text = text.trim_start_matches('\u{feff}');
    let file: File = serde_json::from_str(text).map_err(|_| not_it())?;
    if let Some(web) = file.web {
        return Ok(GoogleClient {
            client_id: web.client_id,
            client_secret: SecretString::from(web.client_secret),
            redirect_uris: web.redirect_uris,
        });
    }
    if file.installed.is_some() {
        return Err(Trouble::new(
            "google_desktop_client",
            "This file is of a client of the type Desktop app, which cannot have Mailgrant's redirect URL.",
            "In Google's console create an OAuth client of the type Web application and download its file.",
        ));
    }
    if file.r#type.as_deref() == Some("service_account") {
        return Err(Trouble::new(
            "google_service_account",
            "This file is the key of a service account, not of an OAuth client.",
            "In Google's console create an OAuth client of the type Web application and download its file.",
        ));
    }
    Err(not_it())
}

fn not_it() -> Trouble {
    Trouble::new(
        "google_file_unknown",
        "This is not the client file that Google's console offers.",
        "In Google's console open APIs & Services, Credentials, the OAuth client, and choose Download JSON.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn the_file_of_a_web_client_fills_the_form_and_others_are_named() {
        let text = r#"{"web":{"client_id":"1.apps","project_id":"p","auth_uri":"https://a","token_uri":"https://t",
            "client_secret":"GOCSPX-x","redirect_uris":["https://mail.example/oauth2/callback/1"]}}"#;
        let client = parse_google_client_json(text).unwrap();
        assert_eq!(client.client_id, "1.apps");
        assert_eq!(client.client_secret.expose_secret(), "GOCSPX-x");
        assert_eq!(client.redirect_uris.len(), 1);
        assert!(!format!("{client:?}").contains("GOCSPX"));

        let code = |text: &str| parse_google_client_json(text).unwrap_err().code;
        assert_eq!(
            code(r#"{"installed":{"client_id":"x"}}"#),
            "google_desktop_client"
        );
        assert_eq!(
            code(r#"{"type":"service_account","private_key":"x"}"#),
            "google_service_account"
        );
        assert_eq!(code("{}"), "google_file_unknown");
        assert_eq!(code("not json"), "google_file_unknown");
    }
}
