//! All queries of the authorization server: clients here, what is given to them in [`tokens`], keys in [`keys`],
//! what a client has now in [`sessions`].

pub(super) mod client_keys;
pub(super) mod keys;
pub(super) mod logout;
pub(super) mod registrations;
pub(super) mod requests;
pub(super) mod sessions;
pub(super) mod tokens;

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, ExprTrait, QueryOrder, QueryResult};

use super::model::{
    Client, ClientAuth, ClientFields, ClientState, GrantType, Legacy, SecretInfo, TokenFormat,
};
use super::redirect::ApplicationType;
use super::registration::ClientProtocol;
use crate::db::{sql, with_rows};

pub(super) use tokens::{end_requests_of_client, revoke_families_of_client};

/// Runs a statement; how many rows it touched.
async fn run<C: ConnectionTrait, const N: usize>(
    on: &C,
    text: &str,
    values: [Value; N],
) -> Result<u64, DbErr> {
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected())
}

mod clients {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "oauth2_clients")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub client_id: String,
        pub project_id: String,
        pub name: String,
        pub description: String,
        pub client_uri: String,
        pub logo_uri: String,
        pub policy_uri: String,
        pub tos_uri: String,
        pub contacts: String,
        pub application_type: String,
        pub redirect_uris: String,
        pub grant_types: String,
        pub scopes: String,
        pub auth_method: String,
        pub require_pkce: bool,
        pub auto_grant: bool,
        pub legacy: String,
        pub may_introspect: bool,
        pub token_format: String,
        pub id_token_alg: String,
        pub access_seconds: i64,
        pub refresh_idle_seconds: i64,
        pub refresh_absolute_seconds: i64,
        pub state: String,
        pub jwks: String,
        pub jwks_uri: String,
        pub auth_signing_alg: String,
        pub request_object_alg: String,
        pub require_signed_request: bool,
        pub require_pushed_request: bool,
        pub dpop_bound: bool,
        pub introspection_alg: String,
        pub userinfo_alg: String,
        pub default_max_age: Option<i64>,
        pub post_logout_redirect_uris: String,
        pub frontchannel_logout_uri: String,
        pub frontchannel_logout_session_required: bool,
        pub backchannel_logout_uri: String,
        pub backchannel_logout_session_required: bool,
        pub initiate_login_uri: String,
        pub software_id: String,
        pub software_version: String,
        pub created_by: String,
        pub last_used_at: Option<i64>,
        pub revision: i64,
        pub created_at: i64,
        pub updated_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A list as the column keeps it.
pub(super) fn to_list(values: &[impl serde::Serialize]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".into())
}

/// A list from its column.
pub(super) fn from_list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

impl From<clients::Model> for Client {
    fn from(row: clients::Model) -> Self {
        let words = |text: &str| from_list(text);
        let fields = ClientFields {
            name: row.name,
            description: row.description,
            client_uri: row.client_uri,
            logo_uri: row.logo_uri,
            policy_uri: row.policy_uri,
            tos_uri: row.tos_uri,
            contacts: words(&row.contacts),
            application_type: ApplicationType::parse(&row.application_type).unwrap_or(ApplicationType::Web),
            redirect_uris: words(&row.redirect_uris),
            grant_types: parsed(&row.grant_types, GrantType::parse),
            scopes: words(&row.scopes),
            auth_method: ClientAuth::parse(&row.auth_method).unwrap_or(ClientAuth::Basic),
            require_pkce: row.require_pkce,
            auto_grant: row.auto_grant,
            legacy: parsed(&row.legacy, Legacy::parse),
            may_introspect: row.may_introspect,
            token_format: TokenFormat::parse(&row.token_format).unwrap_or(TokenFormat::Opaque),
            id_token_alg: row.id_token_alg,
            access_seconds: row.access_seconds,
            refresh_idle_seconds: row.refresh_idle_seconds,
            refresh_absolute_seconds: row.refresh_absolute_seconds,
            // A word nobody knows opens nothing.
            state: ClientState::parse(&row.state).unwrap_or(ClientState::Disabled),
            protocol: ClientProtocol {
                jwks: row.jwks,
                jwks_uri: row.jwks_uri,
                auth_signing_alg: row.auth_signing_alg,
                request_object_alg: row.request_object_alg,
                require_signed_request: row.require_signed_request,
                require_pushed_request: row.require_pushed_request,
                dpop_bound: row.dpop_bound,
                introspection_alg: row.introspection_alg,
                userinfo_alg: row.userinfo_alg,
                default_max_age: row.default_max_age,
                post_logout_redirect_uris: words(&row.post_logout_redirect_uris),
                frontchannel_logout_uri: row.frontchannel_logout_uri,
                frontchannel_logout_session_required: row.frontchannel_logout_session_required,
                backchannel_logout_uri: row.backchannel_logout_uri,
                backchannel_logout_session_required: row.backchannel_logout_session_required,
                initiate_login_uri: row.initiate_login_uri,
                software_id: row.software_id,
                software_version: row.software_version,
            },
        };
        Self {
            id: row.id,
            client_id: row.client_id,
            project_id: row.project_id,
            fields,
            created_by: row.created_by,
            last_used_at: row.last_used_at,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The words of a column that mean something.
fn parsed<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    from_list(text).iter().filter_map(|word| parse(word)).collect()
}

fn active(client: &Client) -> clients::ActiveModel {
    let client = client.clone();
    let fields = client.fields;
    let protocol = fields.protocol;
    let grants: Vec<&str> = fields.grant_types.iter().map(|grant| grant.as_str()).collect();
    let legacy: Vec<&str> = fields.legacy.iter().map(|switch| switch.as_str()).collect();
    clients::ActiveModel {
        id: Set(client.id),
        client_id: Set(client.client_id),
        project_id: Set(client.project_id),
        name: Set(fields.name),
        description: Set(fields.description),
        client_uri: Set(fields.client_uri),
        logo_uri: Set(fields.logo_uri),
        policy_uri: Set(fields.policy_uri),
        tos_uri: Set(fields.tos_uri),
        contacts: Set(to_list(&fields.contacts)),
        application_type: Set(fields.application_type.as_str().to_owned()),
        redirect_uris: Set(to_list(&fields.redirect_uris)),
        grant_types: Set(to_list(&grants)),
        scopes: Set(to_list(&fields.scopes)),
        auth_method: Set(fields.auth_method.as_str().to_owned()),
        require_pkce: Set(fields.require_pkce),
        auto_grant: Set(fields.auto_grant),
        legacy: Set(to_list(&legacy)),
        may_introspect: Set(fields.may_introspect),
        token_format: Set(fields.token_format.as_str().to_owned()),
        id_token_alg: Set(fields.id_token_alg),
        access_seconds: Set(fields.access_seconds),
        refresh_idle_seconds: Set(fields.refresh_idle_seconds),
        refresh_absolute_seconds: Set(fields.refresh_absolute_seconds),
        state: Set(fields.state.as_str().to_owned()),
        jwks: Set(protocol.jwks),
        jwks_uri: Set(protocol.jwks_uri),
        auth_signing_alg: Set(protocol.auth_signing_alg),
        request_object_alg: Set(protocol.request_object_alg),
        require_signed_request: Set(protocol.require_signed_request),
        require_pushed_request: Set(protocol.require_pushed_request),
        dpop_bound: Set(protocol.dpop_bound),
        introspection_alg: Set(protocol.introspection_alg),
        userinfo_alg: Set(protocol.userinfo_alg),
        default_max_age: Set(protocol.default_max_age),
        post_logout_redirect_uris: Set(to_list(&protocol.post_logout_redirect_uris)),
        frontchannel_logout_uri: Set(protocol.frontchannel_logout_uri),
        frontchannel_logout_session_required: Set(protocol.frontchannel_logout_session_required),
        backchannel_logout_uri: Set(protocol.backchannel_logout_uri),
        backchannel_logout_session_required: Set(protocol.backchannel_logout_session_required),
        initiate_login_uri: Set(protocol.initiate_login_uri),
        software_id: Set(protocol.software_id),
        software_version: Set(protocol.software_version),
        created_by: Set(client.created_by),
        last_used_at: Set(client.last_used_at),
        revision: Set(client.revision),
        created_at: Set(client.created_at),
        updated_at: Set(client.updated_at),
    }
}

pub(super) async fn insert_client<C: ConnectionTrait>(on: &C, client: &Client) -> Result<(), DbErr> {
    clients::Entity::insert(active(client))
        .exec_without_returning(on)
        .await
        .map(|_| ())
}

/// Writes a client that still has the revision `seen`.
pub(super) async fn update_client<C: ConnectionTrait>(
    on: &C,
    client: &Client,
    seen: i64,
) -> Result<bool, DbErr> {
    let mut row = active(client);
    row.revision = Set(seen + 1);
    let done = clients::Entity::update_many()
        .set(row)
        .filter(clients::Column::Id.eq(&client.id))
        .filter(clients::Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Counts a change of what hangs on a client; false if it has another revision than was `seen`, or is gone.
pub(super) async fn count_change<C: ConnectionTrait>(
    on: &C,
    id: &str,
    seen: Option<i64>,
) -> Result<bool, DbErr> {
    let mut wanted = clients::Entity::update_many()
        .col_expr(
            clients::Column::Revision,
            Expr::col(clients::Column::Revision).add(1),
        )
        .filter(clients::Column::Id.eq(id));
    if let Some(seen) = seen {
        wanted = wanted.filter(clients::Column::Revision.eq(seen));
    }
    Ok(wanted.exec(on).await?.rows_affected == 1)
}

/// False if it is gone.
pub(super) async fn delete_client<C: ConnectionTrait>(on: &C, id: &str) -> Result<bool, DbErr> {
    let done = clients::Entity::delete_by_id(id).exec(on).await?;
    Ok(done.rows_affected == 1)
}

/// Remembers the id of a client that was removed, so that nobody chooses it again.
pub(super) async fn keep_gone<C: ConnectionTrait>(on: &C, client_id: &str, now: i64) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_gone_clients (client_id, gone_at) VALUES ($1, $2) ON CONFLICT (client_id) DO NOTHING";
    on.execute_raw(sql(on, text, [client_id.into(), now.into()]))
        .await
        .map(|_| ())
}

/// Whether a client with this id was removed.
pub(super) async fn is_gone<C: ConnectionTrait>(on: &C, client_id: &str) -> Result<bool, DbErr> {
    let text = "SELECT 1 AS found FROM oauth2_gone_clients WHERE client_id = $1";
    Ok(on
        .query_one_raw(sql(on, text, [client_id.into()]))
        .await?
        .is_some())
}

pub(super) async fn client<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Client>, DbErr> {
    Ok(clients::Entity::find_by_id(id).one(on).await?.map(Client::from))
}

pub(super) async fn client_by_client_id<C: ConnectionTrait>(
    on: &C,
    client_id: &str,
) -> Result<Option<Client>, DbErr> {
    Ok(clients::Entity::find()
        .filter(clients::Column::ClientId.eq(client_id))
        .one(on)
        .await?
        .map(Client::from))
}

pub(super) async fn clients_by_client_ids<C: ConnectionTrait>(
    on: &C,
    client_ids: &[&str],
) -> Result<Vec<Client>, DbErr> {
    let found = clients::Entity::find()
        .filter(clients::Column::ClientId.is_in(client_ids.iter().copied()))
        .all(on)
        .await?;
    Ok(found.into_iter().map(Client::from).collect())
}

pub(super) async fn clients<C: ConnectionTrait>(
    on: &C,
    projects: Option<&[String]>,
) -> Result<Vec<Client>, DbErr> {
    let mut find = clients::Entity::find().order_by_asc(clients::Column::Id);
    if let Some(projects) = projects {
        find = find.filter(clients::Column::ProjectId.is_in(projects.iter().map(String::as_str)));
    }
    Ok(find.all(on).await?.into_iter().map(Client::from).collect())
}

/// Notes that a client was given a token; at most once a minute.
pub(super) async fn touch_client<C: ConnectionTrait>(on: &C, id: &str, now: i64) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_clients SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)";
    on.execute_raw(sql(on, text, [now.into(), id.into(), (now - 60_000).into()]))
        .await
        .map(|_| ())
}

pub(super) async fn insert_secret<C: ConnectionTrait>(
    on: &C,
    info: &SecretInfo,
    client: &str,
    hash: &str,
) -> Result<(), DbErr> {
    let text = "INSERT INTO oauth2_client_secrets (id, client, secret_hash, hint, created_at, expires_at) \
                VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        info.id.clone().into(),
        client.into(),
        hash.into(),
        info.hint.clone().into(),
        info.created_at.into(),
        info.expires_at.into(),
    ];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Lets a client's secrets end at a time, those that end sooner by themselves apart.
pub(super) async fn end_secrets<C: ConnectionTrait>(on: &C, client: &str, at: i64) -> Result<(), DbErr> {
    let text = "UPDATE oauth2_client_secrets SET expires_at = $1 \
                WHERE client = $2 AND (expires_at IS NULL OR expires_at > $1)";
    on.execute_raw(sql(on, text, [at.into(), client.into()]))
        .await
        .map(|_| ())
}

/// The secrets of a client that work, with their hashes.
pub(super) async fn live_secrets<C: ConnectionTrait>(
    on: &C,
    client: &str,
    now: i64,
) -> Result<Vec<(SecretInfo, String)>, DbErr> {
    let text = "SELECT id, secret_hash, hint, created_at, expires_at FROM oauth2_client_secrets \
                WHERE client = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";
    let rows = on
        .query_all_raw(sql(on, text, [client.into(), now.into()]))
        .await?;
    rows.iter().map(secret).collect()
}

/// A secret of a client as it is kept, and until when it works.
#[derive(Clone, Debug)]
pub(super) struct Hash {
    pub(super) hash: String,
    expires_at: Option<i64>,
}

impl Hash {
    pub(super) fn is_live(&self, now: i64) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// The secrets of clients, those that are over among them.
pub(super) async fn hashes<C: ConnectionTrait>(
    on: &C,
    clients: &[&str],
) -> Result<HashMap<String, Vec<Hash>>, DbErr> {
    let text = "SELECT client, secret_hash, expires_at FROM oauth2_client_secrets WHERE client IN (VALUES {rows}) \
                ORDER BY id";
    let rows = clients.iter().map(|client| [Value::from(*client)]);
    let mut found: HashMap<String, Vec<Hash>> = HashMap::new();
    for row in with_rows(on, text, rows.collect()).await? {
        let hash = Hash {
            hash: row.try_get("", "secret_hash")?,
            expires_at: row.try_get("", "expires_at")?,
        };
        found.entry(row.try_get("", "client")?).or_default().push(hash);
    }
    Ok(found)
}

fn secret(row: &QueryResult) -> Result<(SecretInfo, String), DbErr> {
    let info = SecretInfo {
        id: row.try_get("", "id")?,
        hint: row.try_get("", "hint")?,
        created_at: row.try_get("", "created_at")?,
        expires_at: row.try_get("", "expires_at")?,
    };
    Ok((info, row.try_get("", "secret_hash")?))
}
