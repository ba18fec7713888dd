//! The JWT bearer grant (RFC 7523, section 2.1): a client brings what a trusted issuer says of a person, in place of the
//! person's consent, and gets a token for them.

use super::error::OAuthError;
use super::issue::{Issued, Issuer};
use super::model::{ClaimsRequest, Family, GrantType, SignIn};
use super::store::{client_keys, tokens};
use super::token::Fields;
use super::{metadata, scope};
use crate::account;
use crate::id;
use crate::trusted_issuer::{self, Refusal};

impl Issuer<'_> {
    /// Gives a token for an assertion.
    pub(super) async fn jwt_bearer(&self, fields: &Fields) -> Result<Issued, OAuthError> {
        let (ctx, client) = (self.ctx, self.client);
        if !client.is_confidential() {
            return Err(OAuthError::new(
                "unauthorized_client",
                "a client that brings assertions proves who it is",
            ));
        }
        let sent = fields
            .get("assertion")
            .ok_or_else(|| OAuthError::invalid_request("assertion is missing"))?;
        let audiences = [metadata::issuer(&ctx.config), ctx.config.url("/oauth2/token")];
        let found = trusted_issuer::assertion(ctx, &client.id, sent, &audiences)
            .await
            .map_err(refused)?;
        // What the client was given, what was agreed on with the issuer, and no person's own.
        let may: Vec<String> = client
            .scopes
            .iter()
            .filter(|value| found.issuer.scopes.contains(value))
            .filter(|value| scope::known(value).is_some_and(|scope| !scope.is_personal))
            .cloned()
            .collect();
        let scopes = match fields.get("scope") {
            Some(asked) => scope::parse(asked, &may)?,
            None => may,
        };
        if scopes.is_empty() {
            return Err(OAuthError::invalid_scope(
                "nothing of what this issuer may give is registered for this client",
            ));
        }
        let projects = match client.project_id.as_str() {
            "" => found.issuer.projects.clone(),
            // The application of a project stays in it.
            project
                if found.issuer.projects.is_empty()
                    || found.issuer.projects.iter().any(|id| id == project) =>
            {
                vec![project.to_owned()]
            }
            _ => {
                return Err(OAuthError::invalid_grant(
                    "the issuer is not trusted for this client's project",
                ));
            }
        };
        let now = ctx.clock.now_ms();
        // Without the grant nobody could use it.
        let with_refresh = found.gets_refresh && client.has_grant(GrantType::RefreshToken);
        let life = if with_refresh {
            client.refresh_absolute_seconds
        } else {
            client.access_seconds
        };
        let family = Family {
            id: id::new("fam", &ctx.clock),
            client: client.id.clone(),
            user_id: found.user.id.clone(),
            scopes,
            projects,
            audience: metadata::api(&ctx.config),
            sign_in: SignIn::default(),
            claims: ClaimsRequest::default(),
            jkt: self.jkt.clone(),
            created_at: now,
            expires_at: now + life * 1000,
            revoked_at: None,
        };
        let txn = ctx.db.begin().await?;
        account::hold_person(&txn, &family.user_id).await?;
        let user = account::read_in(&txn, &family.user_id).await?;
        if !user.is_some_and(|user| user.is_active()) {
            return Err(OAuthError::invalid_grant(
                "the subject of the assertion may not sign in here",
            ));
        }
        // The issuer was read before: what was agreed on with it may be another thing by now.
        if !trusted_issuer::is_unchanged(&txn, &found.issuer).await? {
            return Err(OAuthError::invalid_grant(
                "what is agreed on with the issuer was changed meanwhile",
            ));
        }
        let (once, until) = &found.once;
        if !client_keys::see_once(&txn, once, *until).await? {
            return Err(OAuthError::invalid_grant("the assertion was used before"));
        }
        tokens::insert_family(&txn, &family).await?;
        tokens::by_assertion(&txn, &family.id, &found.issuer.id).await?;
        let issued = self.issue(&txn, &family, &family.scopes, with_refresh).await?;
        txn.commit().await?;
        Ok(issued)
    }
}

fn refused(refusal: Refusal) -> OAuthError {
    match refusal {
        Refusal::Token(why) => OAuthError::invalid_grant(why),
        Refusal::Unavailable => OAuthError {
            status: 503,
            ..OAuthError::new(
                "temporarily_unavailable",
                "the keys of the issuer cannot be had now; try again",
            )
        },
        Refusal::Db(error) => {
            tracing::error!(%error, "an assertion could not be checked");
            OAuthError {
                status: 503,
                ..OAuthError::new(
                    "temporarily_unavailable",
                    "the server cannot answer now; try again",
                )
            }
        }
    }
}
