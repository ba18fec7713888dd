//! Tokens of other issuers at the API: whom they speak for, as an [`Access`].

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use secrecy::SecretString;

use super::error::Problem;
use super::presented::{self, Scheme};
use crate::access::{Access, Role, Scopes};
use crate::account::{self, TokenIdentity};
use crate::crypto::sha256_hex;
use crate::ctx::Ctx;
use crate::oauth2_server::{self, ClientState, OAuthError};
use crate::trusted_issuer::{self, Refusal, Who};

/// When to ask again while an issuer cannot be reached, seconds.
const RETRY_AFTER: i64 = 15;

/// Whom a token speaks for; `None` if no issuer that is trusted could have made it.
///
/// # Errors
/// 401 with what is wrong with the token; 503 while nobody can say whether it holds.
pub(super) async fn identify(
    ctx: &Ctx,
    token: &SecretString,
) -> Result<Option<(TokenIdentity, Access)>, Problem> {
    let audience = oauth2_server::metadata::api(&ctx.config);
    let found = match trusted_issuer::authenticate(ctx, token, &audience).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(refusal) => return Err(refused(&refusal)),
    };
    let nobody = || refused(&Refusal::Token("the subject of the token is nobody here"));
    let (actor, owner, scopes) = match &found.who {
        Who::Person(user) => {
            let access = account::access(&ctx.db, user).await?;
            (user.id.clone(), access, oauth2_server::for_api(&found.scopes))
        }
        Who::Service(id) => {
            let client = oauth2_server::get(ctx, id)
                .await
                .ok()
                .filter(|client| client.state == ClientState::Approved)
                .ok_or_else(nobody)?;
            let owner = match client.project_id.as_str() {
                "" => Access::machine(),
                project => Access::person(
                    "",
                    false,
                    BTreeMap::from([(project.to_owned(), Role::ProjectAdmin)]),
                ),
            };
            let of_client = oauth2_server::for_api(&client.scopes);
            let both: Scopes = oauth2_server::for_api(&found.scopes)
                .words()
                .filter(|scope| of_client.allow(*scope))
                .collect();
            (client.id.clone(), owner, both)
        }
    };
    let projects = match found.projects.as_slice() {
        [] => None,
        some => Some(some.iter().cloned().collect()),
    };
    let subject = sha256_hex(found.subject.as_bytes());
    let identity = TokenIdentity {
        id: format!("{}/{}", found.issuer_id, subject.get(..16).unwrap_or_default()),
        name: format!("{} at {}", found.subject, found.issuer_name),
        actor: actor.clone(),
        expires_at: Some(found.expires_at),
    };
    Ok(Some((identity, owner.by_token(&actor, scopes, projects))))
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Token(why) => Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", *why)
            .with_remedy("Get a new token from your identity provider, for this API.")
            .with_challenge(presented::challenge(
                Scheme::Bearer,
                Some(&OAuthError::new("invalid_token", why)),
            )),
        Refusal::Unavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "issuer_unavailable",
            "the issuer of this token cannot be reached now, so nobody can say whether it holds",
        )
        .with_remedy("Send the request again later; the token may be good.")
        .retry_after(RETRY_AFTER),
        Refusal::Db(error) => Problem::internal(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::{Projects, Scope};
    use crate::oauth2_server::set_state;
    use crate::project::{self, NewProject};
    use crate::trusted_issuer::tests::World;
    use crate::trusted_issuer::{Fields, SubjectMapping, Use};

    async fn identified(world: &World, token: &str) -> Result<Access, StatusCode> {
        let found = identify(&world.ctx, &SecretString::from(token)).await;
        match found {
            Ok(found) => Ok(found.expect("an issuer that could have made it").1),
            Err(problem) => Err(problem.status()),
        }
    }

    /// The mapping under which everybody is the client.
    fn as_service(world: &World, fields: &mut Fields) {
        fields.uses = Some(vec![Use::Api]);
        fields.mapping = Some(SubjectMapping::Service);
        fields.service_client = Some(world.client.id.clone());
    }

    #[tokio::test]
    async fn a_foreign_token_reaches_no_project_but_those_that_were_agreed_on() {
        let world = World::new().await;
        let mut ids = Vec::new();
        for key in ["HELP", "SALES"] {
            let new = NewProject {
                key: key.into(),
                name: key.into(),
                description: String::new(),
            };
            let made = project::create(&world.ctx, new).await.unwrap();
            let (db, clock) = (&world.ctx.db, &world.ctx.clock);
            project::set_member(db, clock, &made.id, &world.bob.id, Role::Agent, "cli")
                .await
                .unwrap();
            ids.push(made.id);
        }
        let one = vec![ids[1].clone()];
        let only_one = Projects::Only(one.iter().cloned().collect());
        let both = Projects::Only(ids.into_iter().collect());
        for (agreed, person, service) in [(vec![], both, Projects::All), (one, only_one.clone(), only_one)] {
            let issuer = world.trust(|fields| fields.projects = Some(agreed.clone())).await;
            let access = identified(&world, &world.signed(&issuer, json!({}))).await;
            let access = access.unwrap();
            assert_eq!(access.projects_with(Scope::TicketsRead), person, "{agreed:?}");
            let issuer = world
                .trust(|fields| {
                    as_service(&world, fields);
                    fields.projects = Some(agreed.clone());
                })
                .await;
            let access = identified(&world, &world.signed(&issuer, json!({}))).await;
            let access = access.unwrap();
            assert_eq!(access.projects_with(Scope::TicketsRead), service, "{agreed:?}");
            assert_eq!(access.is_site_admin(), agreed.is_empty());
        }
    }

    #[tokio::test]
    async fn a_service_account_has_no_scope_that_its_client_does_not_have() {
        let world = World::new().await;
        let person = world.trust(|_| ()).await;
        let service = world.trust(|fields| as_service(&world, fields)).await;
        let given = async |issuer| {
            let access = identified(&world, &world.signed(issuer, json!({}))).await;
            access.unwrap().scopes().words().collect::<Vec<_>>()
        };
        assert_eq!(given(&person).await, [Scope::TicketsRead, Scope::TicketsWrite]);
        assert_eq!(given(&service).await, [Scope::TicketsRead]);
    }

    #[tokio::test]
    async fn a_service_account_is_nobody_unless_its_client_is_approved() {
        let world = World::new().await;
        let issuer = world.trust(|fields| as_service(&world, fields)).await;
        for state in ClientState::ALL {
            set_state(&world.ctx, "cli", &world.client.id, None, state)
                .await
                .unwrap();
            let found = identified(&world, &world.signed(&issuer, json!({}))).await;
            let expected = match state {
                ClientState::Approved => Ok(world.client.id.clone()),
                _ => Err(StatusCode::UNAUTHORIZED),
            };
            assert_eq!(
                found.map(|access| access.actor().to_owned()),
                expected,
                "{state:?}"
            );
        }
    }
}
