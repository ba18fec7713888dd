//! All queries on grants and authorizations, and the places their tokens are sealed for.

use sea_orm::entity::prelude::*;
use sea_orm::{
    ActiveValue::NotSet, Condition, ConnectionTrait, IntoActiveModel, QueryOrder, QuerySelect, Value,
};
use secrecy::SecretString;

use super::model::{Authorization, AuthorizationState, Grant, GrantState};
use crate::access::Projects;
use crate::crypto::{KeyRing, Place, SealError};
use crate::ctx::Ctx;
use crate::db::{sql, within_table};
use crate::event::{self, NewEvent};
use crate::integration::Flow;
use crate::trouble::Trouble;

pub(super) mod grants {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "grants")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub integration_id: String,
        pub flow: String,
        pub identity: String,
        pub subject: String,
        pub started_by: String,
        pub access_token_sealed: String,
        pub refresh_token_sealed: String,
        pub scopes: String,
        pub state: String,
        pub issued_at: i64,
        pub expires_at: Option<i64>,
        pub refreshed_at: i64,
        pub refresh_token_at: i64,
        pub refresh_expires_at: Option<i64>,
        pub next_refresh_at: Option<i64>,
        pub refreshing_since: Option<i64>,
        pub forced_at: Option<i64>,
        pub failures: i64,
        pub error_from: String,
        pub error_code: String,
        pub error_cause: String,
        pub error_remedy: String,
        pub error_at: Option<i64>,
        pub revision: i64,
        pub lease_holder: String,
        pub lease_no: i64,
        pub lease_until: i64,
        pub created_at: i64,
        pub updated_at: i64,
    }

    // Even sealed tokens have no business in a log.
    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Grant")
                .field("id", &self.id)
                .field("revision", &self.revision)
                .finish()
        }
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod authorizations {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "authorizations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub integration_id: String,
        pub state_hash: String,
        pub verifier_sealed: String,
        pub redirect_url: String,
        pub token_endpoint: String,
        pub authorization_url_sealed: String,
        pub session_id: String,
        pub started_by: String,
        pub project_id: String,
        pub expected_identity: String,
        pub reconnect_grant_id: String,
        pub return_to: String,
        pub state: String,
        pub pending_sealed: String,
        pub grant_id: String,
        pub error_code: String,
        pub error_cause: String,
        pub error_remedy: String,
        pub created_at: i64,
        pub expires_at: i64,
        pub finished_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Who said that something is wrong with a grant. A success clears only what came from the same side.
pub(super) mod error_from {
    pub(in crate::grant) const REFRESH: &str = "refresh";
    pub(in crate::grant) const MAIL_SERVER: &str = "mail_server";
}

pub(super) fn access_place(id: &str) -> Place<'_> {
    Place {
        table: "grants",
        column: "access_token_sealed",
        row: id,
    }
}

pub(super) fn refresh_place(id: &str) -> Place<'_> {
    Place {
        table: "grants",
        column: "refresh_token_sealed",
        row: id,
    }
}

pub(super) fn authorization_place<'a>(column: &'a str, id: &'a str) -> Place<'a> {
    Place {
        table: "authorizations",
        column,
        row: id,
    }
}

pub(super) fn open_access(keys: &KeyRing, row: &grants::Model) -> Result<SecretString, SealError> {
    keys.open(&access_place(&row.id), &row.access_token_sealed)
}

pub(super) fn open_refresh(keys: &KeyRing, row: &grants::Model) -> Result<SecretString, SealError> {
    keys.open(&refresh_place(&row.id), &row.refresh_token_sealed)
}

pub(super) async fn row<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<grants::Model>, DbErr> {
    grants::Entity::find_by_id(id).one(on).await
}

/// Those that projects use: a mailbox of theirs reads with it, or somebody connected it for them.
fn used_by(projects: &Projects) -> Condition {
    let id = (grants::Entity, grants::Column::Id);
    Condition::any()
        .add(within_table(projects, id, "mailboxes", "grant_id"))
        .add(within_table(projects, id, "grant_projects", "grant_id"))
}

/// The same by id, for projects that use it.
pub(super) async fn visible_row<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<grants::Model>, DbErr> {
    grants::Entity::find_by_id(id)
        .filter(used_by(projects))
        .one(on)
        .await
}

/// Notes for which project a grant was connected, if for one.
pub(super) async fn note_project<C: ConnectionTrait>(
    on: &C,
    grant_id: &str,
    project_id: &str,
) -> Result<(), DbErr> {
    if project_id.is_empty() {
        return Ok(());
    }
    let text = "INSERT INTO grant_projects (grant_id, project_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let values: [Value; 2] = [grant_id.into(), project_id.into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(super) async fn list<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<grants::Model>, DbErr> {
    let mut query = grants::Entity::find()
        .filter(used_by(projects))
        .order_by_asc(grants::Column::Id)
        .limit(limit);
    if let Some(after) = after {
        query = query.filter(grants::Column::Id.gt(after));
    }
    query.all(on).await
}

pub(super) async fn of_integration<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    integration_id: &str,
) -> Result<Vec<grants::Model>, DbErr> {
    grants::Entity::find()
        .filter(grants::Column::IntegrationId.eq(integration_id))
        .filter(used_by(projects))
        .order_by_asc(grants::Column::Id)
        .all(on)
        .await
}

/// The grant of the same account through the same integration: by subject, else by the identity shown.
pub(super) async fn of_account<C: ConnectionTrait>(
    on: &C,
    integration_id: &str,
    subject: &str,
    identity: &str,
) -> Result<Option<grants::Model>, DbErr> {
    let query = grants::Entity::find().filter(grants::Column::IntegrationId.eq(integration_id));
    let query = match (subject, identity) {
        ("", "") => return Ok(None),
        ("", identity) => query
            .filter(grants::Column::Subject.eq(""))
            .filter(grants::Column::Identity.eq(identity)),
        (subject, _) => query.filter(grants::Column::Subject.eq(subject)),
    };
    query.order_by_asc(grants::Column::Id).one(on).await
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, row: grants::Model) -> Result<(), DbErr> {
    grants::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(on)
        .await?;
    Ok(())
}

/// Writes everything but the lease's holder and number if the stored revision is still `seen`; false if it is not.
pub(super) async fn replace<C: ConnectionTrait>(
    on: &C,
    row: &grants::Model,
    seen: i64,
) -> Result<bool, DbErr> {
    let id = row.id.clone();
    let mut active = row.clone().into_active_model().reset_all();
    active.lease_holder = NotSet;
    active.lease_no = NotSet;
    let result = grants::Entity::update_many()
        .set(active)
        .filter(grants::Column::Id.eq(id))
        .filter(grants::Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Notes that a refresh is under way, so that a crash before its answer is stored can be recognised.
pub(super) async fn mark_refreshing<C: ConnectionTrait>(
    on: &C,
    id: &str,
    lease: i64,
    now: i64,
) -> Result<bool, DbErr> {
    let values: [Value; 3] = [now.into(), id.into(), lease.into()];
    let text = "UPDATE grants SET refreshing_since = $1 WHERE id = $2 AND lease_no = $3";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Grants whose refresh is due, of integrations that work.
pub(super) async fn due<C: ConnectionTrait>(
    on: &C,
    now: i64,
    limit: u64,
) -> Result<Vec<grants::Model>, DbErr> {
    let values: [Value; 1] = [now.into()];
    let text = "SELECT id FROM grants WHERE next_refresh_at <= $1 AND lease_until <= $1 AND state = 'active' \
                AND integration_id IN (SELECT id FROM integrations WHERE state = 'ok') \
                ORDER BY next_refresh_at LIMIT 500";
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    let ids: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("", "id"))
        .collect::<Result<_, _>>()?;
    grants::Entity::find()
        .filter(grants::Column::Id.is_in(ids))
        .order_by_asc(grants::Column::NextRefreshAt)
        .limit(limit)
        .all(on)
        .await
}

/// Notes what a mail server said; the revision stays, since the tokens do.
pub(super) async fn note_mail_server<C: ConnectionTrait>(
    on: &C,
    id: &str,
    trouble: &Trouble,
    now: i64,
) -> Result<bool, DbErr> {
    let values: Vec<Value> = vec![
        error_from::MAIL_SERVER.into(),
        trouble.code.clone().into(),
        trouble.cause.clone().into(),
        trouble.remedy.clone().into(),
        now.into(),
        id.into(),
    ];
    let text = "UPDATE grants SET error_from = $1, error_code = $2, error_cause = $3, error_remedy = $4, \
                error_at = $5, updated_at = $5 WHERE id = $6 AND state = 'active' AND error_from <> 'refresh' \
                AND (error_code <> $2 OR error_cause <> $3)";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// The last forced refresh was worth it: the next refusal may force another one at once.
pub(super) async fn clear_forced<C: ConnectionTrait>(on: &C, id: &str) -> Result<(), DbErr> {
    let text = "UPDATE grants SET forced_at = NULL WHERE id = $1 AND forced_at IS NOT NULL";
    on.execute_raw(sql(on, text, [id.into()])).await.map(drop)
}

/// Forgets what a mail server said.
pub(super) async fn clear_mail_server<C: ConnectionTrait>(on: &C, id: &str, now: i64) -> Result<bool, DbErr> {
    let values: [Value; 3] = [now.into(), id.into(), error_from::MAIL_SERVER.into()];
    let text = "UPDATE grants SET error_from = '', error_code = '', error_cause = '', error_remedy = '', \
                error_at = NULL, updated_at = $1 WHERE id = $2 AND error_from = $3";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

pub(super) async fn insert_authorization<C: ConnectionTrait>(
    on: &C,
    row: authorizations::Model,
) -> Result<(), DbErr> {
    authorizations::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(on)
        .await?;
    Ok(())
}

pub(super) async fn authorization_row<C: ConnectionTrait>(
    on: &C,
    id: &str,
) -> Result<Option<authorizations::Model>, DbErr> {
    authorizations::Entity::find_by_id(id).one(on).await
}

pub(super) async fn authorization_by_state<C: ConnectionTrait>(
    on: &C,
    state_hash: &str,
) -> Result<Option<authorizations::Model>, DbErr> {
    authorizations::Entity::find()
        .filter(authorizations::Column::StateHash.eq(state_hash))
        .one(on)
        .await
}

/// Moves an authorization from one state to another; false if it was not in the first. This is what makes a state
/// single-use.
pub(super) async fn advance_authorization<C: ConnectionTrait>(
    on: &C,
    id: &str,
    from: AuthorizationState,
    to: AuthorizationState,
) -> Result<bool, DbErr> {
    let values: [Value; 3] = [to.as_str().into(), id.into(), from.as_str().into()];
    let text =
        "UPDATE authorizations SET state = $1, authorization_url_sealed = '' WHERE id = $2 AND state = $3";
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// How an authorization ended.
pub(super) struct Ending<'a> {
    pub(super) state: AuthorizationState,
    pub(super) grant_id: &'a str,
    pub(super) pending_sealed: &'a str,
    pub(super) trouble: Option<&'a Trouble>,
}

pub(super) async fn end_authorization<C: ConnectionTrait>(
    on: &C,
    id: &str,
    now: i64,
    ending: Ending<'_>,
) -> Result<(), DbErr> {
    let trouble = ending.trouble.cloned().unwrap_or_default();
    let values: Vec<Value> = vec![
        ending.state.as_str().into(),
        ending.grant_id.into(),
        ending.pending_sealed.into(),
        trouble.code.into(),
        trouble.cause.into(),
        trouble.remedy.into(),
        now.into(),
        id.into(),
    ];
    let text = "UPDATE authorizations SET state = $1, grant_id = $2, pending_sealed = $3, verifier_sealed = '', \
                authorization_url_sealed = '', error_code = $4, error_cause = $5, error_remedy = $6, \
                finished_at = $7 WHERE id = $8";
    on.execute_raw(sql(on, text, values)).await?;
    Ok(())
}

/// Deletes authorizations that ended, or ran out, before `before`.
pub(super) async fn prune_authorizations<C: ConnectionTrait>(on: &C, before: i64) -> Result<(), DbErr> {
    let values: [Value; 1] = [before.into()];
    on.execute_raw(sql(
        on,
        "DELETE FROM authorizations WHERE expires_at < $1",
        values,
    ))
    .await?;
    Ok(())
}

/// Appends an event about a grant.
pub(super) async fn append<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    kind: &str,
    grant_id: &str,
    actor: &str,
    data: serde_json::Value,
) -> Result<(), DbErr> {
    let event = NewEvent {
        kind,
        project_id: "",
        subject_id: grant_id,
        actor,
        data,
    };
    event::append(on, &ctx.clock, event).await.map(|_| ())
}

/// A week before its end a grant that refreshing does not renew is shown as expiring.
const EXPIRING_MS: i64 = 7 * 24 * 3600 * 1000;

pub(super) fn trouble_of(row: &grants::Model) -> Option<Trouble> {
    (!row.error_code.is_empty()).then(|| Trouble {
        code: row.error_code.clone(),
        cause: row.error_cause.clone(),
        remedy: row.error_remedy.clone(),
    })
}

pub(super) fn set_trouble(row: &mut grants::Model, from: &str, trouble: Option<&Trouble>, now: i64) {
    let text = trouble.cloned().unwrap_or_default();
    row.error_from = if trouble.is_some() {
        from.to_owned()
    } else {
        String::new()
    };
    let same = trouble.is_some() && row.error_code == text.code;
    row.error_at = match trouble {
        Some(_) if same => row.error_at.or(Some(now)),
        Some(_) => Some(now),
        None => None,
    };
    row.error_code = text.code;
    row.error_cause = text.cause;
    row.error_remedy = text.remedy;
}

pub(super) fn to_model(row: grants::Model, now: i64) -> Grant {
    let stored = GrantState::parse(&row.state).unwrap_or(GrantState::NeedsReauth);
    // A refresh has happened since the refresh token was issued, and it brought no new one.
    let not_renewed = row.refresh_token_at < row.refreshed_at;
    let ends_soon = row.refresh_expires_at.is_some_and(|end| end - now < EXPIRING_MS);
    let state = match stored {
        GrantState::Active if ends_soon && not_renewed => GrantState::Expiring,
        other => other,
    };
    Grant {
        trouble: trouble_of(&row),
        has_refresh_token: !row.refresh_token_sealed.is_empty(),
        state,
        id: row.id,
        integration_id: row.integration_id,
        flow: Flow::parse(&row.flow).unwrap_or_default(),
        identity: row.identity,
        subject: row.subject,
        started_by: row.started_by,
        scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
        issued_at: row.issued_at,
        expires_at: row.expires_at,
        refreshed_at: row.refreshed_at,
        refresh_token_at: row.refresh_token_at,
        refresh_expires_at: row.refresh_expires_at,
        next_refresh_at: row.next_refresh_at,
        failures: row.failures,
        error_at: row.error_at,
        revision: row.revision,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

pub(super) fn to_authorization(
    row: authorizations::Model,
    keys: &KeyRing,
    now: i64,
) -> Result<Authorization, SealError> {
    use secrecy::ExposeSecret;
    let stored = AuthorizationState::parse(&row.state).unwrap_or(AuthorizationState::Failed);
    // A process that ended in the middle of the exchange never says how it went.
    let ran_out = match stored {
        AuthorizationState::Pending => row.expires_at <= now,
        AuthorizationState::Exchanging => row.expires_at + 2 * 60_000 <= now,
        _ => false,
    };
    let url = keys.open(
        &authorization_place("authorization_url_sealed", &row.id),
        &row.authorization_url_sealed,
    )?;
    let some = |text: String| (!text.is_empty()).then_some(text);
    let trouble = if ran_out {
        Some(super::error::CallbackError::Expired.trouble())
    } else {
        some(row.error_code).map(|code| Trouble {
            code,
            cause: row.error_cause,
            remedy: row.error_remedy,
        })
    };
    Ok(Authorization {
        id: row.id,
        integration_id: row.integration_id,
        authorization_url: some(url.expose_secret().to_owned()).filter(|_| !ran_out),
        state: if ran_out {
            AuthorizationState::Failed
        } else {
            stored
        },
        grant_id: some(row.grant_id),
        started_by: row.started_by,
        reconnect_grant_id: some(row.reconnect_grant_id),
        return_to: row.return_to,
        trouble,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}
