//! All queries on projects.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, ConnectionTrait, QueryOrder};

use super::member::Membership;
use crate::access::{Projects, Role};
use crate::db::{sql, within};

use member::Model as Member;
pub use row::Model as Project;

mod row {
    //! The table `projects`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// A project: a home for tickets with a key.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "projects")]
    pub struct Model {
        /// `prj_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// The part of ticket keys before the number, for example `HELP`.
        pub key: String,
        /// Name shown to people.
        pub name: String,
        /// What it is for; may be empty.
        pub description: String,
        /// Number of the next ticket.
        pub next_number: i64,
        /// Grows with every change; the API's ETag.
        pub revision: i64,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod member {
    //! The table `project_members`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// What a person is in a project.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "project_members")]
    pub struct Model {
        /// The project.
        #[sea_orm(primary_key, auto_increment = false)]
        pub project_id: String,
        /// The person.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        /// `viewer`, `agent` or `project_admin`.
        pub role: String,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) async fn members_of_person<C: ConnectionTrait>(
    on: &C,
    user_id: &str,
) -> Result<Vec<Member>, DbErr> {
    member::Entity::find()
        .filter(member::Column::UserId.eq(user_id))
        .all(on)
        .await
}

pub(super) async fn members<C: ConnectionTrait>(on: &C, projects: &Projects) -> Result<Vec<Member>, DbErr> {
    member::Entity::find()
        .filter(within(projects, member::Column::ProjectId))
        .order_by_asc(member::Column::ProjectId)
        .order_by_asc(member::Column::UserId)
        .all(on)
        .await
}

/// Adds a member or changes their role; says what they were before.
pub(super) async fn set_member<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    user_id: &str,
    role: &str,
    now: i64,
) -> Result<Option<String>, DbErr> {
    let before = role_of(on, (project_id, user_id)).await?;
    let text = "INSERT INTO project_members (project_id, user_id, role, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $4) \
                ON CONFLICT (project_id, user_id) DO UPDATE SET role = $3, updated_at = $4";
    let values = [project_id.into(), user_id.into(), role.into(), now.into()];
    on.execute_raw(sql(on, text, values)).await?;
    Ok(before)
}

/// What a member must still be for a change: any, or what they were seen to be.
fn still(seen: Option<&Membership>) -> Condition {
    seen.map_or_else(Condition::all, |seen| {
        Condition::all()
            .add(member::Column::Role.eq(seen.role.as_str()))
            .add(member::Column::CreatedAt.eq(seen.created_at))
    })
}

/// Changes the role of somebody who is a member, and still what they were seen to be; false if not.
pub(super) async fn change_member<C: ConnectionTrait>(
    on: &C,
    (project_id, user_id): (&str, &str),
    role: &str,
    seen: Option<&Membership>,
    now: i64,
) -> Result<bool, DbErr> {
    let done = member::Entity::update_many()
        .col_expr(member::Column::Role, Expr::value(role))
        .col_expr(member::Column::UpdatedAt, Expr::value(now))
        .filter(member::Column::ProjectId.eq(project_id))
        .filter(member::Column::UserId.eq(user_id))
        .filter(still(seen))
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

pub(super) async fn delete_member<C: ConnectionTrait>(
    on: &C,
    (project_id, user_id): (&str, &str),
    seen: Option<&Membership>,
) -> Result<bool, DbErr> {
    let done = member::Entity::delete_by_id((project_id.to_owned(), user_id.to_owned()))
        .filter(still(seen))
        .exec(on)
        .await?;
    Ok(done.rows_affected == 1)
}

/// What somebody is in a project.
pub(super) async fn role_of<C: ConnectionTrait>(
    on: &C,
    (project_id, user_id): (&str, &str),
) -> Result<Option<String>, DbErr> {
    let found = member::Entity::find_by_id((project_id.to_owned(), user_id.to_owned()))
        .one(on)
        .await?;
    Ok(found.map(|member| member.role))
}

/// Whether a project has an admin who can sign in beside this person.
pub(super) async fn has_other_admin<C: ConnectionTrait>(
    on: &C,
    (project_id, user_id): (&str, &str),
) -> Result<bool, DbErr> {
    let text = "SELECT 1 FROM project_members m JOIN users u ON u.id = m.user_id WHERE m.project_id = $1 \
                AND m.user_id <> $2 AND m.role = $3 AND u.disabled_at IS NULL AND u.removed_at IS NULL LIMIT 1";
    let role = Role::ProjectAdmin.as_str();
    let values = [project_id.into(), user_id.into(), role.into()];
    Ok(on.query_one_raw(sql(on, text, values)).await?.is_some())
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, project: &Project) -> Result<(), DbErr> {
    let model = row::ActiveModel {
        id: Set(project.id.clone()),
        key: Set(project.key.clone()),
        name: Set(project.name.clone()),
        description: Set(project.description.clone()),
        next_number: Set(project.next_number),
        revision: Set(project.revision),
        created_at: Set(project.created_at),
        updated_at: Set(project.updated_at),
    };
    row::Entity::insert(model).exec_without_returning(on).await?;
    Ok(())
}

/// Changes name and description if the revision is still the one that was read; false if it is not.
pub(super) async fn update<C: ConnectionTrait>(on: &C, project: &Project, seen: i64) -> Result<bool, DbErr> {
    let result = row::Entity::update_many()
        .col_expr(row::Column::Name, Expr::value(project.name.clone()))
        .col_expr(row::Column::Description, Expr::value(project.description.clone()))
        .col_expr(row::Column::Revision, Expr::value(seen + 1))
        .col_expr(row::Column::UpdatedAt, Expr::value(project.updated_at))
        .filter(row::Column::Id.eq(&project.id))
        .filter(row::Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

pub(super) async fn by_id<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Project>, DbErr> {
    row::Entity::find_by_id(id)
        .filter(within(projects, row::Column::Id))
        .one(on)
        .await
}

pub(super) async fn by_key<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    key: &str,
) -> Result<Option<Project>, DbErr> {
    row::Entity::find()
        .filter(row::Column::Key.eq(key))
        .filter(within(projects, row::Column::Id))
        .one(on)
        .await
}

pub(super) async fn all<C: ConnectionTrait>(on: &C, projects: &Projects) -> Result<Vec<Project>, DbErr> {
    row::Entity::find()
        .filter(within(projects, row::Column::Id))
        .order_by_asc(row::Column::Key)
        .all(on)
        .await
}

/// Holds the project until the transaction ends, so that two mails of one conversation find each other's ticket.
pub(crate) async fn lock<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<String>, DbErr> {
    // SQLite's writer is alone anyway.
    let suffix = if on.get_database_backend() == sea_orm::DbBackend::Postgres {
        " FOR UPDATE"
    } else {
        ""
    };
    let text = format!("SELECT key FROM projects WHERE id = $1{suffix}");
    let row = on.query_one_raw(sql(on, &text, [id.into()])).await?;
    row.map(|row| row.try_get("", "key")).transpose()
}

/// Takes the next ticket number of a locked project.
pub(crate) async fn next_number<C: ConnectionTrait>(on: &C, id: &str) -> Result<i64, DbErr> {
    let text =
        "UPDATE projects SET next_number = next_number + 1 WHERE id = $1 RETURNING next_number - 1 AS number";
    let row = on.query_one_raw(sql(on, text, [id.into()])).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(id.to_owned()))?
        .try_get("", "number")
}
