//! *Test connection*: every step from the name of the server to the subject of the newest mail, each with its time,
//! cause and remedy, stored as it happens.

use chrono::DateTime;

use super::imap::{self, StepDetail, StepReport};
use super::model::MailboxError;
use super::sending;
use super::session::{self, PATIENCE};
use super::store::Mailbox;
use super::{OpenSession, get};
use crate::access::Projects;
use crate::connection_test::{Kind, Recorder, Step, StepState, TestState};
use crate::ctx::Ctx;
use crate::grant::{self, AccessToken, Grant, GrantError};
use crate::integration::{self, Integration};
use crate::oauth2_client::Provider;
use crate::smtp;
use crate::trouble::Trouble;

/// Starts a test in the background and returns its id.
pub async fn start_test(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    mailbox_id: &str,
) -> Result<String, MailboxError> {
    let mailbox = get(ctx, projects, mailbox_id).await?;
    let recorder = Recorder::start(ctx, Kind::Mailbox, &mailbox.id, actor).await?;
    let id = recorder.id().to_owned();
    let background = ctx.clone();
    ctx.tasks
        .spawn(async move { run(&background, &mailbox, recorder).await });
    Ok(id)
}

/// Runs a test to its end and returns its id.
pub async fn run_test(
    ctx: &Ctx,
    projects: &Projects,
    actor: &str,
    mailbox_id: &str,
) -> Result<String, MailboxError> {
    let mailbox = get(ctx, projects, mailbox_id).await?;
    let recorder = Recorder::start(ctx, Kind::Mailbox, &mailbox.id, actor).await?;
    let id = recorder.id().to_owned();
    run(ctx, &mailbox, recorder).await;
    Ok(id)
}

async fn run(ctx: &Ctx, mailbox: &Mailbox, mut recorder: Recorder) -> TestState {
    if tokio::time::timeout(PATIENCE * 2, steps(ctx, mailbox, &mut recorder))
        .await
        .is_err()
    {
        let trouble = Trouble::new(
            "test_timeout",
            "The test took longer than a minute.",
            "The server answers very slowly; try again, and look at its own status page.",
        );
        recorder.failed("timeout", trouble).await;
    }
    recorder.finish().await
}

/// The steps in order; the first that fails is the last.
async fn steps(ctx: &Ctx, mailbox: &Mailbox, recorder: &mut Recorder) {
    let Some(connection) = connect(ctx, mailbox, recorder).await else {
        return;
    };
    let Some(token) = token(ctx, mailbox, recorder).await else {
        return;
    };
    let first = std::sync::Mutex::new(Some(connection));
    let again = || {
        let ready = first.lock().ok().and_then(|mut first| first.take());
        async move {
            match ready {
                Some(connection) => Ok(connection),
                None => {
                    imap::open(
                        &ctx.dialer,
                        &session::endpoint(mailbox),
                        &session::limits(ctx, mailbox),
                    )
                    .await
                }
            }
        }
    };
    let mut session = match session::sign_in(ctx, mailbox, again, token).await {
        Ok(session) => session,
        Err(error) => {
            recorder.failed("authenticate", error.trouble()).await;
            return;
        }
    };
    recorder
        .ok("authenticate", format!("signed in as {}", mailbox.login_name))
        .await;
    if let Err(error) = grant::note_success(ctx, &mailbox.grant_id).await {
        tracing::debug!("the success was not noted: {error}");
    }
    if folder(mailbox, &mut session, recorder).await {
        newest(&mut session, recorder).await;
    }
    session.logout().await;
    if !mailbox.smtp_host.is_empty() {
        send_steps(ctx, mailbox, recorder).await;
    }
}

/// The same for sending, up to the sign-in. No mail is sent.
async fn send_steps(ctx: &Ctx, mailbox: &Mailbox, recorder: &mut Recorder) {
    let provider = session::provider_of(ctx, mailbox).await;
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let connecting = sending::connect(ctx, mailbox, move |step| {
        let _ = report.send(step);
    });
    let recording = async {
        while let Some(step) = reports.recv().await {
            recorder.step(describe_sending(&step, provider)).await;
        }
    };
    let (session, ()) = tokio::join!(connecting, recording);
    // What failed was told as a step.
    let Ok(session) = session else {
        return;
    };
    let signed_in = match grant::current_token(ctx, &mailbox.grant_id).await {
        Ok(token) => sending::sign_in(ctx, mailbox, session, token).await,
        Err(error) => Err(error.into()),
    };
    match signed_in {
        Ok(session) => {
            session.quit().await;
            let detail = format!(
                "signed in as {}; mails go out as {}",
                mailbox.smtp_login_name, mailbox.smtp_from
            );
            recorder.ok("smtp authenticate", detail).await;
        }
        Err(error) => recorder.failed("smtp authenticate", error.trouble()).await,
    }
}

fn describe_sending(report: &smtp::StepReport, provider: Provider) -> Step {
    let (state, detail, trouble) = match &report.outcome {
        Ok(smtp::StepDetail::Connected(address)) => (
            StepState::Ok,
            format!("connected to {address}"),
            Trouble::default(),
        ),
        Ok(smtp::StepDetail::Tls(info)) => (StepState::Ok, info.version.to_owned(), Trouble::default()),
        Ok(smtp::StepDetail::Offers(text)) => (StepState::Ok, text.clone(), Trouble::default()),
        Err(error) => (StepState::Failed, String::new(), error.explain(provider).1),
    };
    Step {
        name: report.step.name().to_owned(),
        state,
        ms: i64::try_from(report.elapsed.as_millis()).unwrap_or(i64::MAX),
        detail,
        cause: trouble.cause,
        remedy: trouble.remedy,
    }
}

async fn connect(
    ctx: &Ctx,
    mailbox: &Mailbox,
    recorder: &mut Recorder,
) -> Option<imap::Connection<imap::BoxedStream>> {
    // The observer is called in the middle of connecting and must not wait: a channel carries the steps to the table.
    let (report, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let endpoint = session::endpoint(mailbox);
    let limits = session::limits(ctx, mailbox);
    let connecting = imap::connect(&ctx.dialer, &endpoint, &limits, move |step| {
        let _ = report.send(step);
    });
    let recording = async {
        while let Some(step) = reports.recv().await {
            recorder.step(describe(ctx, &step)).await;
        }
    };
    let (connection, ()) = tokio::join!(connecting, recording);
    connection.ok()
}

fn describe(ctx: &Ctx, report: &StepReport) -> Step {
    let (state, detail, trouble) = match &report.outcome {
        Ok(detail) => judge(ctx, detail),
        Err(error) => (StepState::Failed, String::new(), session::trouble_of(error)),
    };
    Step {
        name: report.step.name().to_owned(),
        state,
        ms: i64::try_from(report.elapsed.as_millis()).unwrap_or(i64::MAX),
        detail,
        cause: trouble.cause,
        remedy: trouble.remedy,
    }
}

fn judge(ctx: &Ctx, detail: &StepDetail) -> (StepState, String, Trouble) {
    let fine = |detail: String| (StepState::Ok, detail, Trouble::default());
    match detail {
        StepDetail::Addresses(addresses) => fine(
            addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        ),
        StepDetail::Connected => fine("connected".into()),
        StepDetail::Tls(info) => {
            let left = info.days_left(ctx.clock.now());
            let text = match left {
                Some(days) => format!("{}, certificate valid for {days} more days", info.version),
                None => info.version.to_string(),
            };
            match left {
                Some(days) if days < 14 => {
                    let trouble = Trouble::new(
                        "tls_expires_soon",
                        format!("The server's certificate expires in {days} days."),
                        "Tell whoever runs the mail server; afterwards no mail can be read.",
                    );
                    (StepState::Warn, text, trouble)
                }
                _ => fine(text),
            }
        }
        StepDetail::Greeting(text) => fine(text.chars().take(200).collect()),
        StepDetail::Capabilities(offered) => {
            let listed = ["SASL-IR", "IDLE", "MOVE", "UIDPLUS"]
                .into_iter()
                .filter(|name| offered.has(name));
            let listed = listed.collect::<Vec<_>>().join(", ");
            if offered.xoauth2() {
                return fine(format!("XOAUTH2 {listed}").trim().to_owned());
            }
            let trouble = Trouble::new(
                "imap_no_xoauth2",
                "The server does not offer XOAUTH2 on this connection.",
                "Check host and port; some servers offer it only after TLS, others need OAuth switched on for the \
                 domain.",
            );
            (StepState::Warn, listed, trouble)
        }
    }
}

async fn token(ctx: &Ctx, mailbox: &Mailbox, recorder: &mut Recorder) -> Option<AccessToken> {
    let token = match grant::current_token(ctx, &mailbox.grant_id).await {
        Ok(token) => token,
        Err(error) => {
            recorder.failed("token", error.trouble()).await;
            return None;
        }
    };
    match grant_of(ctx, mailbox).await {
        Ok((grant, integration)) => {
            let missing = grant::scopes_missing(&integration, &grant.scopes);
            let audience = audience_of(&token.secret)
                .map(|aud| format!(", for {aud}"))
                .unwrap_or_default();
            let until = grant
                .expires_at
                .and_then(DateTime::from_timestamp_millis)
                .map(|at| format!(", valid until {}", at.format("%H:%M UTC")))
                .unwrap_or_default();
            let detail = format!("granted: {}{audience}{until}", grant.scopes.join(" "));
            if missing.is_empty() || grant.scopes.is_empty() {
                recorder.ok("token", detail).await;
            } else {
                let trouble = Trouble::new(
                    "scope_missing",
                    format!("The provider did not grant: {}.", missing.join(" ")),
                    "Reconnect and agree to every permission, or add the scope to the app at the provider.",
                );
                recorder.warn("token", detail, trouble).await;
            }
        }
        Err(error) => recorder.failed("token", error.trouble()).await,
    }
    Some(token)
}

async fn grant_of(ctx: &Ctx, mailbox: &Mailbox) -> Result<(Grant, Integration), GrantError> {
    let grant = grant::get(ctx, &Projects::All, &mailbox.grant_id).await?;
    let integration = integration::get(ctx, &Projects::All, &grant.integration_id).await?;
    Ok((grant, integration))
}

/// The `aud` of an access token that is a JWT; opaque tokens say nothing. Nothing is decided by it.
fn audience_of(token: &secrecy::SecretString) -> Option<String> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use secrecy::ExposeSecret;

    let payload = token.expose_secret().split('.').nth(1)?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let audience = claims.get("aud")?;
    let text = audience.as_str().or_else(|| audience.get(0)?.as_str())?;
    Some(text.chars().filter(|c| !c.is_control()).take(100).collect())
}

async fn folder(mailbox: &Mailbox, session: &mut OpenSession, recorder: &mut Recorder) -> bool {
    match session.select(&mailbox.folder, true).await {
        Ok(selected) => {
            recorder
                .ok(
                    "folder",
                    format!("{}: {} messages", mailbox.folder, selected.exists),
                )
                .await;
            true
        }
        Err(error) => {
            let trouble = session::folder_trouble(session, &mailbox.folder, &error).await;
            recorder.failed("folder", trouble).await;
            false
        }
    }
}

async fn newest(session: &mut OpenSession, recorder: &mut Recorder) {
    let found = async {
        match session.newest_uid().await? {
            Some(uid) => session.fetch_subject_of(uid).await,
            None => Ok(None),
        }
    };
    match found.await {
        Ok(Some(header)) => {
            let mail = mailgrant_mail::parse(&header);
            let subject = mail.subject.unwrap_or_else(|| "(no subject)".into());
            recorder
                .ok("newest message", subject.chars().take(200).collect::<String>())
                .await;
        }
        Ok(None) => recorder.ok("newest message", "the folder is empty").await,
        Err(error) => {
            recorder
                .failed("newest message", session::trouble_of(&error))
                .await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_of_a_readable_token_is_told() {
        use base64::Engine;
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(r#"{"aud":"https://outlook.office.com"}"#);
        let token = secrecy::SecretString::from(format!("e30.{payload}.x"));
        assert_eq!(audience_of(&token).as_deref(), Some("https://outlook.office.com"));
        assert_eq!(audience_of(&secrecy::SecretString::from("ya29.opaque")), None);
    }
}
