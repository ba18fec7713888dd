//! The one row that says how mail of the installation is sent.

use sea_orm::{ConnectionTrait, DbErr};

use crate::db::sql;

/// How mail of the installation is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSettings {
    /// The mailbox that sends; empty: the account of the configuration.
    pub mailbox_id: String,
    /// Grows with every change.
    pub revision: i64,
    /// When that was, milliseconds since 1970.
    pub updated_at: i64,
}

pub(super) async fn settings<C: ConnectionTrait>(on: &C) -> Result<SiteSettings, DbErr> {
    let text = "SELECT mailbox_id, revision, updated_at FROM site_mail WHERE id = 1";
    let row = on.query_one_raw(sql(on, text, [])).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("site_mail".into()))?;
    Ok(SiteSettings {
        mailbox_id: row.try_get("", "mailbox_id")?,
        revision: row.try_get("", "revision")?,
        updated_at: row.try_get("", "updated_at")?,
    })
}

/// False if somebody else changed the row since.
pub(super) async fn choose_mailbox<C: ConnectionTrait>(
    on: &C,
    revision: i64,
    mailbox_id: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let text = "UPDATE site_mail SET mailbox_id = $1, updated_at = $2, revision = revision + 1 \
                WHERE id = 1 AND revision = $3";
    let values = [mailbox_id.into(), now.into(), revision.into()];
    Ok(on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1)
}

/// Deletes the bytes of notices that were sent or taken back: they hold one-time links.
pub async fn forget_notices<C: ConnectionTrait>(on: &C) -> Result<(), DbErr> {
    let text = "DELETE FROM outgoing_bodies WHERE outgoing_id IN (SELECT id FROM outgoing_mails \
                WHERE kind = 'notice' AND state IN ('sent', 'cancelled'))";
    on.execute_raw(sql(on, text, [])).await.map(|_| ())
}
