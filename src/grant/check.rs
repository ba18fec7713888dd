//! The test run of an integration: is everything in place, and if not, which part and what to do.

use std::time::Instant;

use secrecy::SecretString;
use url::Url;

use super::error::GrantError;
use super::refresh::refresh_now;
use super::service::of_integration;
use crate::access::Projects;
use crate::connection_test::{Step, StepState};
use crate::crypto::random_token;
use crate::ctx::Ctx;
use crate::integration::{self, Flow, Integration, discover, redirect_url};
use crate::oauth2_client::{Provider, TokenError};
use crate::trouble::Trouble;

/// Tries an integration: DNS, TLS, discovery, redirect URL, client authentication, then each grant's refresh. Every
/// step is handed over as soon as it is known. The result is the worst state of all.
pub async fn integration_test(
    ctx: &Ctx,
    integration_id: &str,
    mut on_step: impl FnMut(Step) + Send,
) -> Result<StepState, GrantError> {
    let integration = integration::get(ctx, &Projects::All, integration_id).await?;
    let mut worst = StepState::Ok;
    let mut tell = |step: Step| {
        worst = worst.max(step.state);
        on_step(step);
    };
    let reached = endpoint(ctx, &integration.token_endpoint, &mut tell).await;
    tell(discovery(ctx, &integration).await);
    tell(redirect(ctx, &integration));
    if reached {
        tell(client_authentication(ctx, &integration).await?);
        for grant in of_integration(ctx, &Projects::All, integration_id).await? {
            let who = if grant.identity.is_empty() {
                &grant.id
            } else {
                &grant.identity
            };
            let name = format!("refresh: {who}");
            let started = Instant::now();
            tell(match refresh_now(ctx, &grant.id).await {
                Ok(_) => ok(&name, started, "a new access token was issued".into()),
                Err(GrantError::Db(error)) => return Err(GrantError::Db(error)),
                Err(error @ GrantError::Revoked(_)) => bad(&name, started, StepState::Warn, &error.trouble()),
                Err(error) => bad(&name, started, StepState::Failed, &error.trouble()),
            });
        }
    }
    Ok(worst)
}

async fn endpoint(ctx: &Ctx, address: &str, tell: &mut (impl FnMut(Step) + Send)) -> bool {
    let started = Instant::now();
    let parts = Url::parse(address).ok().and_then(|url| {
        let host = url
            .host_str()?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Some((host, url.port_or_known_default()?, url))
    });
    let Some((host, port, url)) = parts else {
        let trouble = Trouble::new(
            "invalid_url",
            "The token endpoint is not a web address.",
            "Correct it in the integration.",
        );
        tell(bad("DNS", started, StepState::Failed, &trouble));
        return false;
    };
    if let Err(error) = ctx.dialer.check_endpoint(&url).await {
        let trouble = Trouble::new(error.code(), format!("{error}."), error.remedy());
        tell(bad("DNS", started, StepState::Failed, &trouble));
        return false;
    }
    let found = ctx.dialer.resolve(&host, port).await.unwrap_or_default();
    let addresses: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
    tell(ok("DNS", started, format!("{host} is {}", addresses.join(", "))));

    let started = Instant::now();
    if url.scheme() == "http" {
        match ctx.dialer.connect(&host, port).await {
            Ok(_) => tell(ok(
                "TLS",
                started,
                "plain http on this machine, without TLS".into(),
            )),
            Err(error) => {
                let trouble = Trouble::new(error.code(), format!("{error}."), error.remedy());
                tell(bad("TLS", started, StepState::Failed, &trouble));
                return false;
            }
        }
        return true;
    }
    match ctx.dialer.connect_tls(&host, port).await {
        Ok((_, info)) => {
            tell(tls_step(ctx, started, &info));
            true
        }
        Err(error) => {
            let trouble = Trouble::new(error.code(), format!("{error}."), error.remedy());
            tell(bad("TLS", started, StepState::Failed, &trouble));
            false
        }
    }
}

fn tls_step(ctx: &Ctx, started: Instant, info: &crate::net::TlsInfo) -> Step {
    match info.days_left(ctx.clock.now()) {
        Some(days) if days < 14 => {
            let trouble = Trouble::new(
                "certificate_ends_soon",
                format!("The provider's certificate ends in {days} days."),
                "Nothing to do here; its operator has to renew it.",
            );
            bad("TLS", started, StepState::Warn, &trouble)
        }
        Some(days) => ok(
            "TLS",
            started,
            format!("{}, certificate valid for {days} days", info.version),
        ),
        None => ok("TLS", started, info.version.to_owned()),
    }
}

async fn discovery(ctx: &Ctx, integration: &Integration) -> Step {
    let started = Instant::now();
    let name = "discovery";
    if integration.issuer.is_empty() {
        return ok(
            name,
            started,
            "no issuer is known; the endpoints were entered by hand".into(),
        );
    }
    match discover(ctx, &integration.issuer).await {
        Ok(found)
            if integration.provider == Provider::Custom
                && found.token_endpoint != integration.token_endpoint =>
        {
            let trouble = Trouble::new(
                "token_endpoint_differs",
                format!(
                    "The issuer names another token endpoint: {}.",
                    found.token_endpoint
                ),
                "Compare the endpoints of the integration with the provider's documentation.",
            );
            bad(name, started, StepState::Warn, &trouble)
        }
        Ok(found) => ok(name, started, format!("issuer {}", found.issuer)),
        Err(integration::IntegrationError::Discovery(trouble)) => {
            bad(name, started, StepState::Warn, &trouble)
        }
        Err(error) => {
            let trouble = Trouble::new(error.code(), format!("{error}."), "Look into the log.");
            bad(name, started, StepState::Warn, &trouble)
        }
    }
}

fn redirect(ctx: &Ctx, integration: &Integration) -> Step {
    let started = Instant::now();
    let name = "redirect URL";
    let url = redirect_url(&ctx.config, integration);
    if integration.flow == Flow::ClientCredentials {
        return ok(name, started, "not needed for client credentials".into());
    }
    if !ctx.config.is_https() && integration.provider != Provider::Custom {
        let trouble = Trouble::new(
            "redirect_url_not_https",
            format!("The redirect URL is not https: {url}"),
            "Set MAILGRANT_BASE_URL to the https address people use; providers accept http for localhost at most.",
        );
        return bad(name, started, StepState::Warn, &trouble);
    }
    ok(name, started, url)
}

/// Client credentials: a real token. Code flow: a code nobody issued, so that a provider which knows the client
/// refuses the code (`invalid_grant`), and one which does not refuses the client (`invalid_client`).
async fn client_authentication(ctx: &Ctx, integration: &Integration) -> Result<Step, GrantError> {
    let started = Instant::now();
    let name = "client authentication";
    let client = integration::token_client(ctx, integration).await?;
    let result = match integration.flow {
        Flow::ClientCredentials => client.client_credentials(&integration.scopes).await,
        Flow::AuthorizationCode => {
            let verifier = SecretString::from(random_token(32));
            let redirect = redirect_url(&ctx.config, integration);
            client
                .exchange_code(&random_token(24), &verifier, &redirect)
                .await
        }
    };
    let code_flow = integration.flow == Flow::AuthorizationCode;
    Ok(match result {
        Ok(_) => ok(name, started, "the provider gave a token".into()),
        Err(TokenError::GrantDead(_)) if code_flow => ok(
            name,
            started,
            "the provider accepts the client (and refuses the code made up for this test)".into(),
        ),
        Err(TokenError::ClientMisconfigured(trouble)) if is_about_client(&trouble.code) || !code_flow => {
            integration::mark_misconfigured(ctx, &integration.id, integration.revision, &trouble).await?;
            bad(name, started, StepState::Failed, &trouble)
        }
        // A made-up code may be found malformed before the client is looked at.
        Err(error @ TokenError::ClientMisconfigured(_)) if code_flow => {
            let said = error.trouble();
            let trouble = Trouble::new(
                said.code.as_str(),
                format!(
                    "Unclear: the provider refused the code made up for this test with {}.",
                    said.code
                ),
                "Connect an account to be sure.",
            );
            bad(name, started, StepState::Warn, &trouble)
        }
        Err(error) => bad(name, started, StepState::Failed, error.trouble()),
    })
}

/// Codes that are about the client itself, not about this one request.
fn is_about_client(code: &str) -> bool {
    code != "invalid_request" && code != "invalid_scope" && code != "AADSTS900144"
}

fn ok(name: &str, started: Instant, detail: String) -> Step {
    Step {
        name: name.to_owned(),
        state: StepState::Ok,
        ms: elapsed(started),
        detail,
        cause: String::new(),
        remedy: String::new(),
    }
}

fn bad(name: &str, started: Instant, state: StepState, trouble: &Trouble) -> Step {
    Step {
        name: name.to_owned(),
        state,
        ms: elapsed(started),
        detail: trouble.code.clone(),
        cause: trouble.cause.clone(),
        remedy: trouble.remedy.clone(),
    }
}

fn elapsed(started: Instant) -> i64 {
    i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX)
}
