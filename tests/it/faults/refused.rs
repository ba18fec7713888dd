//! A mail server that refuses a token although it is fresh.

use super::*;
use crate::support::database::Kind;
use crate::support::scripted_imap::{Connection, ScriptedImap, Security};

/// What Google sends before its NO.
const CHALLENGE: &str = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;

/// Exactly one new token, used once; then the mailbox fails, within a minute.
async fn is_shown_after_one_new_token(
    integration: Value,
    consent: bool,
    challenge: Option<&'static str>,
    no: &'static str,
    code: &str,
) -> (Stage, Value) {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let stage = match consent {
        true => Stage::start_with_consent(database, integration).await,
        false => Stage::start_with(database, integration).await,
    };
    let server = ScriptedImap::start(Security::None, move |mut c: Connection| async move {
        c.greet().await?;
        c.behave_until(&Inbox::with([1]), "AUTHENTICATE").await?;
        match challenge {
            Some(json) => c.refuse_token(json, no).await,
            None => c.reply(no).await,
        }
    })
    .await;
    let id = stage
        .add_mailbox(server.port, json!({ "startFrom": "now" }))
        .await;
    let failing = fails_with(&stage.rest, &id, code).await;
    assert_eq!(stage.refreshes(), 1, "one forced refresh");
    let created: chrono::DateTime<chrono::Utc> = text(&failing, "createdAt").parse().unwrap();
    let told: chrono::DateTime<chrono::Utc> = text(&failing, "lastErrorAt").parse().unwrap();
    assert!((told - created).num_seconds() < 60);
    // Asking again at once does not ask the provider again.
    let attempts = server.connections();
    polled_until(&stage.rest, &id, "it is tried again", async || {
        (server.connections() > attempts).then_some(())
    })
    .await;
    assert_eq!(stage.refreshes(), 1, "one forced refresh a minute");
    let grant = stage.grant().await;
    assert_eq!(
        grant["lastError"]["code"], code,
        "the grant shows it as well: {grant}"
    );
    let secrets = ["fresh", "c2VjcmV0"];
    assert!(secrets.iter().all(|secret| !failing.to_string().contains(secret)));
    (stage, failing["lastError"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_challenge_is_shown_after_one_new_token() {
    let (stage, trouble) = is_shown_after_one_new_token(
        json!({ "provider": "google", "flow": "authorization_code", "scopes": ["https://mail.google.com/"] }),
        true,
        Some(CHALLENGE),
        "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "xoauth2_400",
    )
    .await;
    assert!(text(&trouble, "remedy").contains("full address"), "{trouble}");
    let last = stage.tokens.requests().pop().unwrap();
    assert_eq!(last.form("grant_type").as_deref(), Some("refresh_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_401_names_the_scope_and_reconnecting() {
    let (_stage, trouble) = is_shown_after_one_new_token(
        json!({ "provider": "google", "flow": "authorization_code", "scopes": ["https://mail.google.com/"] }),
        true,
        Some(r#"{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}"#),
        "NO SASL authentication failed",
        "xoauth2_401",
    )
    .await;
    assert!(
        text(&trouble, "cause").contains("https://mail.google.com/"),
        "{trouble}"
    );
    assert!(text(&trouble, "remedy").contains("reconnect"), "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_two_words_are_shown_with_their_likely_causes() {
    let tenant = "11111111-2222-3333-4444-555555555555";
    let (_stage, trouble) = is_shown_after_one_new_token(
        json!({ "provider": "microsoft", "tenant": tenant, "scopes": ["https://outlook.office365.com/.default"] }),
        false,
        None,
        "NO AUTHENTICATE failed.",
        "authenticate_failed",
    )
    .await;
    assert!(
        text(&trouble, "remedy").contains("New-ServicePrincipal"),
        "{trouble}"
    );
    assert!(
        text(&trouble, "cause").contains("AUTHENTICATE failed"),
        "{trouble}"
    );
}
