//! All queries on integrations and their callback ids.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{Condition, ConnectionTrait, IntoActiveModel, QueryOrder, QuerySelect, Value};
use secrecy::SecretString;

use super::model::{Cloud, Flow, Integration, IntegrationState};
use crate::access::Projects;
use crate::crypto::{KeyRing, Place, SealError};
use crate::ctx::Ctx;
use crate::db::{Where, sql, within_table};
use crate::event::{self, NewEvent};
use crate::oauth2_client::{AuthMethod, Provider};
use crate::trouble::Trouble;

mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "integrations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub name: String,
        pub description: String,
        pub provider: String,
        pub tenant: String,
        pub cloud: String,
        pub client_id: String,
        pub client_secret_sealed: String,
        pub secret_set_at: i64,
        pub secret_expires_at: Option<i64>,
        pub scopes: String,
        pub issuer: String,
        pub authorization_endpoint: String,
        pub token_endpoint: String,
        pub userinfo_endpoint: String,
        pub revocation_endpoint: String,
        pub iss_announced: bool,
        pub token_auth_method: String,
        pub extra_auth_params: String,
        pub flow: String,
        pub callback_id: String,
        pub state: String,
        pub error_code: String,
        pub error_cause: String,
        pub error_remedy: String,
        pub error_at: Option<i64>,
        pub revision: i64,
        pub created_at: i64,
        pub updated_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

use row::{Column, Entity};

/// Where the client secret of an integration is sealed for.
pub(super) fn secret_place(id: &str) -> Place<'_> {
    Place {
        table: "integrations",
        column: "client_secret_sealed",
        row: id,
    }
}

pub(super) async fn insert<C: ConnectionTrait>(
    on: &C,
    integration: &Integration,
    secret_sealed: String,
) -> Result<(), DbErr> {
    let row = to_row(integration, secret_sealed).into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(on).await?;
    Ok(())
}

/// Writes all fields if the stored revision is still `seen`; false if it is not. `None` keeps the stored secret.
pub(super) async fn replace<C: ConnectionTrait>(
    on: &C,
    integration: &Integration,
    secret_sealed: Option<String>,
    seen: i64,
) -> Result<bool, DbErr> {
    let keep_secret = secret_sealed.is_none();
    let mut row = to_row(integration, secret_sealed.unwrap_or_default())
        .into_active_model()
        .reset_all();
    if keep_secret {
        row.client_secret_sealed = sea_orm::ActiveValue::NotSet;
    }
    let result = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(&integration.id))
        .filter(Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

pub(super) async fn get<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Integration>, DbErr> {
    Ok(Entity::find_by_id(id).one(on).await?.map(to_model))
}

/// Those that list one of these projects, or are open to every project.
fn open_to(projects: &Projects) -> Condition {
    let listed = within_table(
        projects,
        (Entity, Column::Id),
        "integration_projects",
        "integration_id",
    );
    if projects.is_all() || projects.is_none() {
        return listed;
    }
    let open = Query::select()
        .column(Alias::new("integration_id"))
        .from(Alias::new("open_integrations"))
        .to_owned();
    Condition::any()
        .add(listed)
        .add(Expr::col((Entity, Column::Id)).in_subquery(open))
}

/// Holds an integration's row for this transaction: of two who say which projects may use it, one comes after the other.
/// False if it is gone.
pub(super) async fn lock<C: ConnectionTrait>(on: &C, id: &str) -> Result<bool, DbErr> {
    let text = "UPDATE integrations SET updated_at = updated_at WHERE id = $1";
    Ok(on.execute_raw(sql(on, text, [id.into()])).await?.rows_affected() == 1)
}

/// Whether every project may use an integration, later ones too.
pub(super) async fn is_open<C: ConnectionTrait>(on: &C, id: &str) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS n FROM open_integrations WHERE integration_id = $1";
    Ok(on.query_one_raw(sql(on, text, [id.into()])).await?.is_some())
}

/// Opens an integration to every project, or takes that back.
pub(super) async fn set_open<C: ConnectionTrait>(on: &C, id: &str, is_open: bool) -> Result<(), DbErr> {
    let text = if is_open {
        "INSERT INTO open_integrations (integration_id) VALUES ($1) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM open_integrations WHERE integration_id = $1"
    };
    on.execute_raw(sql(on, text, [id.into()])).await.map(|_| ())
}

/// The ids of all projects.
pub(super) async fn all_projects<C: ConnectionTrait>(on: &C) -> Result<Vec<String>, DbErr> {
    let rows = on
        .query_all_raw(sql(on, "SELECT id FROM projects ORDER BY id", []))
        .await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

pub(super) async fn visible<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Integration>, DbErr> {
    let found = Entity::find_by_id(id).filter(open_to(projects)).one(on).await?;
    Ok(found.map(to_model))
}

/// The projects that may use an integration.
pub(super) async fn projects_of<C: ConnectionTrait>(on: &C, id: &str) -> Result<Vec<String>, DbErr> {
    let text = "SELECT project_id FROM integration_projects WHERE integration_id = $1 ORDER BY project_id";
    let rows = on.query_all_raw(sql(on, text, [id.into()])).await?;
    rows.iter().map(|row| row.try_get("", "project_id")).collect()
}

/// Sets the projects that may use an integration.
pub(super) async fn set_projects<C: ConnectionTrait>(
    on: &C,
    id: &str,
    projects: &BTreeSet<String>,
) -> Result<(), DbErr> {
    let text = "DELETE FROM integration_projects WHERE integration_id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await?;
    for project in projects {
        let text = "INSERT INTO integration_projects (integration_id, project_id) VALUES ($1, $2) \
                    ON CONFLICT DO NOTHING";
        let values: [Value; 2] = [id.into(), project.as_str().into()];
        on.execute_raw(sql(on, text, values)).await?;
    }
    Ok(())
}

pub(super) async fn by_callback<C: ConnectionTrait>(
    on: &C,
    callback: &str,
) -> Result<Option<Integration>, DbErr> {
    let found = Entity::find()
        .filter(Column::CallbackId.eq(callback))
        .one(on)
        .await?;
    Ok(found.map(to_model))
}

pub(super) async fn name_taken<C: ConnectionTrait>(on: &C, name: &str, except: &str) -> Result<bool, DbErr> {
    let found = Entity::find()
        .filter(Column::Name.eq(name))
        .filter(Column::Id.ne(except))
        .count(on)
        .await?;
    Ok(found > 0)
}

/// A page in order of making, after the id `after`.
pub(super) async fn list<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Integration>, DbErr> {
    let mut query = Entity::find()
        .filter(open_to(projects))
        .order_by_asc(Column::Id)
        .limit(limit);
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    Ok(query.all(on).await?.into_iter().map(to_model).collect())
}

pub(super) async fn secret<C: ConnectionTrait>(
    on: &C,
    keys: &KeyRing,
    id: &str,
) -> Result<Result<SecretString, SealError>, DbErr> {
    let sealed = Entity::find_by_id(id)
        .one(on)
        .await?
        .map(|row| row.client_secret_sealed);
    Ok(keys.open(&secret_place(id), &sealed.unwrap_or_default()))
}

/// Marks it misconfigured if nobody saved it since revision `seen`; true if that is news.
pub(super) async fn mark_misconfigured<C: ConnectionTrait>(
    on: &C,
    id: &str,
    seen: i64,
    trouble: &Trouble,
    now: i64,
) -> Result<bool, DbErr> {
    let result = Entity::update_many()
        .col_expr(
            Column::State,
            Expr::value(IntegrationState::Misconfigured.as_str()),
        )
        .col_expr(Column::ErrorCode, Expr::value(trouble.code.clone()))
        .col_expr(Column::ErrorCause, Expr::value(trouble.cause.clone()))
        .col_expr(Column::ErrorRemedy, Expr::value(trouble.remedy.clone()))
        .col_expr(Column::ErrorAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::Revision.eq(seen))
        .filter(Column::State.eq(IntegrationState::Ok.as_str()))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Keeps what discovery told, if the token endpoint is still the one it was told for.
pub(super) async fn remember_discovery<C: ConnectionTrait>(
    on: &C,
    integration: &Integration,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Issuer, Expr::value(integration.issuer.clone()))
        .col_expr(
            Column::UserinfoEndpoint,
            Expr::value(integration.userinfo_endpoint.clone()),
        )
        .col_expr(
            Column::RevocationEndpoint,
            Expr::value(integration.revocation_endpoint.clone()),
        )
        .col_expr(Column::IssAnnounced, Expr::value(integration.iss_announced))
        .filter(Column::Id.eq(&integration.id))
        .filter(Column::TokenEndpoint.eq(&integration.token_endpoint))
        .exec(on)
        .await?;
    Ok(())
}

pub(super) async fn insert_draft<C: ConnectionTrait>(
    on: &C,
    callback: &str,
    now: i64,
    oldest: i64,
) -> Result<(), DbErr> {
    let values: [Value; 1] = [oldest.into()];
    on.execute_raw(sql(
        on,
        "DELETE FROM callback_drafts WHERE created_at < $1",
        values,
    ))
    .await?;
    let values: [Value; 2] = [callback.into(), now.into()];
    let text = "INSERT INTO callback_drafts (callback_id, created_at) VALUES ($1, $2)";
    on.execute_raw(sql(on, text, values)).await?;
    Ok(())
}

/// Uses up a draft that is not older than `oldest`; false if there is none.
pub(super) async fn take_draft<C: ConnectionTrait>(
    on: &C,
    callback: &str,
    oldest: i64,
) -> Result<bool, DbErr> {
    let values: [Value; 2] = [callback.into(), oldest.into()];
    let text = "DELETE FROM callback_drafts WHERE callback_id = $1 AND created_at >= $2";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Retires a callback id and ends the authorizations that were to come back to it.
pub(super) async fn retire_callback<C: ConnectionTrait>(
    on: &C,
    integration_id: &str,
    callback: &str,
    now: i64,
) -> Result<(), DbErr> {
    let values: [Value; 3] = [callback.into(), integration_id.into(), now.into()];
    let text = "INSERT INTO retired_callbacks (callback_id, integration_id, retired_at) VALUES ($1, $2, $3)";
    on.execute_raw(sql(on, text, values)).await?;
    // The grant stage's table, in the same transaction: a state may not outlive the redirect URL it was bound to.
    let values: [Value; 2] = [now.into(), integration_id.into()];
    let text = "UPDATE authorizations SET state = 'failed', error_code = 'redirect_url_changed', \
                error_cause = 'An endpoint of the integration changed, and with it the redirect URL.', \
                error_remedy = 'Register the new redirect URL at the provider and connect again.', \
                finished_at = $1, pending_sealed = '' \
                WHERE integration_id = $2 AND state IN ('pending', 'awaiting_confirmation')";
    on.execute_raw(sql(on, text, values)).await?;
    Ok(())
}

/// The integration a retired callback id belonged to.
pub(super) async fn by_retired_callback<C: ConnectionTrait>(
    on: &C,
    callback: &str,
) -> Result<Option<Integration>, DbErr> {
    let values: [Value; 1] = [callback.into()];
    let text = "SELECT integration_id FROM retired_callbacks WHERE callback_id = $1";
    match on.query_one_raw(sql(on, text, values)).await? {
        Some(found) => get(on, &found.try_get::<String>("", "integration_id")?).await,
        None => Ok(None),
    }
}

/// Grants that keep an integration from being deleted: alive, or read by a mailbox.
pub(super) async fn blocking_grants<C: ConnectionTrait>(on: &C, id: &str) -> Result<Vec<String>, DbErr> {
    let values: [Value; 1] = [id.into()];
    let text = "SELECT id, identity FROM grants WHERE integration_id = $1 AND (state <> 'revoked' \
                OR EXISTS (SELECT 1 FROM mailboxes WHERE mailboxes.grant_id = grants.id)) ORDER BY id LIMIT 20";
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| {
            let identity: String = row.try_get("", "identity")?;
            Ok(if identity.is_empty() {
                row.try_get("", "id")?
            } else {
                identity
            })
        })
        .collect()
}

/// Removes an integration with its grants. False if it has another revision than was `seen`, or is gone: the caller rolls back then.
pub(super) async fn delete<C: ConnectionTrait>(on: &C, id: &str, seen: Option<i64>) -> Result<bool, DbErr> {
    let text = "DELETE FROM grants WHERE integration_id = $1";
    on.execute_raw(sql(on, text, [id.into()])).await?;
    let mut wanted = Where::default();
    wanted.and("id = {}", id);
    wanted.and_revision(seen);
    let text = format!("DELETE FROM integrations WHERE {}", wanted.text());
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

fn to_model(row: row::Model) -> Integration {
    let trouble = (!row.error_code.is_empty()).then_some(Trouble {
        code: row.error_code,
        cause: row.error_cause,
        remedy: row.error_remedy,
    });
    Integration {
        id: row.id,
        name: row.name,
        description: row.description,
        provider: Provider::parse(&row.provider).unwrap_or(Provider::Custom),
        tenant: row.tenant,
        cloud: Cloud::parse(&row.cloud).unwrap_or_default(),
        client_id: row.client_id,
        has_secret: !row.client_secret_sealed.is_empty(),
        secret_set_at: row.secret_set_at,
        secret_expires_at: row.secret_expires_at,
        scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
        issuer: row.issuer,
        authorization_endpoint: row.authorization_endpoint,
        token_endpoint: row.token_endpoint,
        userinfo_endpoint: row.userinfo_endpoint,
        revocation_endpoint: row.revocation_endpoint,
        iss_announced: row.iss_announced,
        token_auth_method: AuthMethod::parse(&row.token_auth_method).unwrap_or(AuthMethod::ClientSecretBasic),
        extra_auth_params: serde_json::from_str(&row.extra_auth_params).unwrap_or_default(),
        flow: Flow::parse(&row.flow).unwrap_or_default(),
        callback_id: row.callback_id,
        state: IntegrationState::parse(&row.state).unwrap_or(IntegrationState::Ok),
        trouble,
        error_at: row.error_at,
        revision: row.revision,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn to_row(from: &Integration, client_secret_sealed: String) -> row::Model {
    let trouble = from.trouble.clone().unwrap_or_default();
    row::Model {
        id: from.id.clone(),
        name: from.name.clone(),
        description: from.description.clone(),
        provider: from.provider.as_str().into(),
        tenant: from.tenant.clone(),
        cloud: from.cloud.as_str().into(),
        client_id: from.client_id.clone(),
        client_secret_sealed,
        secret_set_at: from.secret_set_at,
        secret_expires_at: from.secret_expires_at,
        scopes: from.scopes.join(" "),
        issuer: from.issuer.clone(),
        authorization_endpoint: from.authorization_endpoint.clone(),
        token_endpoint: from.token_endpoint.clone(),
        userinfo_endpoint: from.userinfo_endpoint.clone(),
        revocation_endpoint: from.revocation_endpoint.clone(),
        iss_announced: from.iss_announced,
        token_auth_method: from.token_auth_method.as_str().into(),
        extra_auth_params: serde_json::json!(from.extra_auth_params).to_string(),
        flow: from.flow.as_str().into(),
        callback_id: from.callback_id.clone(),
        state: from.state.as_str().into(),
        error_code: trouble.code,
        error_cause: trouble.cause,
        error_remedy: trouble.remedy,
        error_at: from.error_at,
        revision: from.revision,
        created_at: from.created_at,
        updated_at: from.updated_at,
    }
}

/// Appends an event about an integration.
pub(super) async fn append<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    kind: &str,
    integration: &Integration,
    actor: &str,
    data: serde_json::Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: &integration.id,
        actor,
        data,
    };
    event::append(on, &ctx.clock, event).await.map(|_| ())
}
