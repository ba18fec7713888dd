//! All queries on mailboxes, cursors and ingestion rows.

use std::collections::HashSet;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder, Value};

use crate::access::Projects;
use crate::db::{self, Claim, Db, Lease, Where, sql, with_rows, within};
use crate::trouble::Trouble;

pub use row::Model as Mailbox;

mod row {
    //! The table `mailboxes`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// A mail account we read.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mailboxes")]
    pub struct Model {
        /// `mbx_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// Unique name.
        pub name: String,
        /// Project its mail goes to.
        pub project_id: String,
        /// Grant it signs in with.
        pub grant_id: String,
        /// `imap`.
        pub protocol: String,
        /// Server name or address.
        pub host: String,
        /// Server port.
        pub port: i64,
        /// `implicit`, `starttls` or `none`.
        pub tls: String,
        /// The account named in XOAUTH2.
        pub login_name: String,
        /// Folder to read.
        pub folder: String,
        /// `now`, `unread`, `all` or a day.
        pub start_from: String,
        /// `leave`, `mark_seen` or `move`.
        pub after_ingest: String,
        /// Target folder for `move`.
        pub move_to: String,
        /// Cron expression of six fields.
        pub schedule: String,
        /// Whether IDLE is used when the server offers it.
        pub idle: bool,
        /// Larger mails are taken with their beginning only, bytes.
        pub max_message_bytes: i64,
        /// Server that sends for it; empty if it does not send.
        pub smtp_host: String,
        /// Port of that server.
        pub smtp_port: i64,
        /// `implicit` or `starttls`.
        pub smtp_tls: String,
        /// The account named in XOAUTH2 when sending.
        pub smtp_login_name: String,
        /// Sender of its mails: `a@example.com` or `Name <a@example.com>`.
        pub smtp_from: String,
        /// Whether answers come to a signed form of the sender's address (`box+…@`), which its server must take.
        pub smtp_signed_replies: bool,
        /// Nothing is read while true.
        pub paused: bool,
        /// `new`, `ok` or `failing`.
        pub state: String,
        /// Machine code of the trouble; empty if there is none.
        pub error_code: String,
        /// What happened.
        pub error_cause: String,
        /// What to do.
        pub error_remedy: String,
        /// When it last failed, milliseconds since 1970.
        pub error_at: Option<i64>,
        /// Failures in a row.
        pub failures: i64,
        /// When it is due, milliseconds since 1970.
        pub next_poll_at: i64,
        /// When it was last read without a failure, milliseconds since 1970.
        pub last_success_at: Option<i64>,
        /// When the last mail was stored, milliseconds since 1970.
        pub last_mail_at: Option<i64>,
        /// Who reads it now.
        pub lease_holder: String,
        /// Fencing number.
        pub lease_no: i64,
        /// Until when, milliseconds since 1970.
        pub lease_until: i64,
        /// Grows with every change by a person; the API's ETag.
        pub revision: i64,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
        /// Servers whose Authentication-Results are believed, a JSON list.
        pub trusted_authserv_ids: String,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Mailbox {
    /// Servers whose Authentication-Results are believed.
    pub fn trusted_servers(&self) -> Vec<String> {
        serde_json::from_str(&self.trusted_authserv_ids).unwrap_or_default()
    }

    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<Trouble> {
        (!self.error_code.is_empty()).then(|| Trouble {
            code: self.error_code.clone(),
            cause: self.error_cause.clone(),
            remedy: self.error_remedy.clone(),
        })
    }
}

/// The addresses of all mailboxes: those that are read and those that answers come from.
pub async fn addresses<C: ConnectionTrait>(on: &C) -> Result<Vec<String>, DbErr> {
    let text = "SELECT login_name, smtp_from FROM mailboxes";
    let mut addresses = Vec::new();
    for row in on.query_all_raw(sql(on, text, [])).await? {
        addresses.push(row.try_get("", "login_name")?);
        let from: String = row.try_get("", "smtp_from")?;
        let bare = from.rsplit('<').next().unwrap_or_default();
        addresses.push(bare.trim_end_matches(['>', ' ']).to_owned());
    }
    addresses.retain(|address: &String| address.contains('@'));
    Ok(addresses)
}

/// Servers whose Authentication-Results are believed in a mailbox.
pub async fn trusted_servers<C: ConnectionTrait>(on: &C, id: &str) -> Result<Vec<String>, DbErr> {
    let mailbox = row::Entity::find_by_id(id).one(on).await?;
    Ok(mailbox
        .map(|mailbox| mailbox.trusted_servers())
        .unwrap_or_default())
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, mailbox: &Mailbox) -> Result<(), DbErr> {
    let model = row::ActiveModel::from(mailbox.clone()).reset_all();
    row::Entity::insert(model).exec_without_returning(on).await?;
    Ok(())
}

/// Writes what people can change, if the revision is still the one that was read; false if it is not.
pub(super) async fn update<C: ConnectionTrait>(on: &C, changed: &Mailbox, seen: i64) -> Result<bool, DbErr> {
    let model = row::ActiveModel {
        name: Set(changed.name.clone()),
        project_id: Set(changed.project_id.clone()),
        grant_id: Set(changed.grant_id.clone()),
        host: Set(changed.host.clone()),
        port: Set(changed.port),
        tls: Set(changed.tls.clone()),
        login_name: Set(changed.login_name.clone()),
        folder: Set(changed.folder.clone()),
        start_from: Set(changed.start_from.clone()),
        after_ingest: Set(changed.after_ingest.clone()),
        move_to: Set(changed.move_to.clone()),
        schedule: Set(changed.schedule.clone()),
        idle: Set(changed.idle),
        smtp_host: Set(changed.smtp_host.clone()),
        smtp_port: Set(changed.smtp_port),
        smtp_tls: Set(changed.smtp_tls.clone()),
        smtp_login_name: Set(changed.smtp_login_name.clone()),
        smtp_from: Set(changed.smtp_from.clone()),
        trusted_authserv_ids: Set(changed.trusted_authserv_ids.clone()),
        smtp_signed_replies: Set(changed.smtp_signed_replies),
        next_poll_at: Set(0),
        // Whoever reads it now works with the old settings: its lease ends here.
        lease_no: Set(changed.lease_no + 1),
        lease_until: Set(0),
        revision: Set(seen + 1),
        updated_at: Set(changed.updated_at),
        ..Default::default()
    };
    let result = row::Entity::update_many()
        .set(model)
        .filter(row::Column::Id.eq(&changed.id))
        .filter(row::Column::Revision.eq(seen))
        .exec(on)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Pauses or resumes; the lease of whoever reads it ends.
/// False if it has another revision than was `seen`, or is gone.
pub(super) async fn set_paused<C: ConnectionTrait>(
    on: &C,
    id: &str,
    paused: bool,
    seen: Option<i64>,
) -> Result<bool, DbErr> {
    let mut wanted = Where::default();
    let paused = wanted.value(paused);
    wanted.and("id = {}", id);
    wanted.and_revision(seen);
    let text = format!(
        "UPDATE mailboxes SET paused = {paused}, next_poll_at = 0, lease_until = 0, lease_no = lease_no + 1, \
         revision = revision + 1 WHERE {}",
        wanted.text()
    );
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

/// Makes it due at once, even if it is waiting after failures. Whoever reads it now is not disturbed, and reads it once
/// more: see [`asked`].
pub(super) async fn set_due<C: ConnectionTrait>(on: &C, id: &str) -> Result<bool, DbErr> {
    let text = "UPDATE mailboxes SET next_poll_at = 0 WHERE id = $1";
    Ok(on.execute_raw(sql(on, text, [id.into()])).await?.rows_affected() == 1)
}

/// Mailboxes that this process holds and somebody asked to be read now.
pub async fn asked(db: &Db, holder: &str, now: i64) -> Result<Vec<String>, DbErr> {
    let text = "SELECT id FROM mailboxes WHERE lease_holder = $1 AND lease_until > $2 AND next_poll_at = 0";
    let rows = db
        .read()
        .query_all_raw(sql(db.read(), text, [holder.into(), now.into()]))
        .await?;
    rows.iter().map(|row| row.try_get("", "id")).collect()
}

/// Notes that a look at the folder begins: what was asked for until now is answered by it.
pub async fn begin_look(db: &Db, lease: &Lease, next_poll_at: i64) -> Result<(), DbErr> {
    let text = "UPDATE mailboxes SET next_poll_at = $1 WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [next_poll_at.into(), lease.id.clone().into(), lease.number.into()];
    db.write()
        .execute_raw(sql(db.write(), text, values))
        .await
        .map(|_| ())
}

/// False if it has another revision than was `seen`, or is gone.
pub(super) async fn remove<C: ConnectionTrait>(on: &C, id: &str, seen: Option<i64>) -> Result<bool, DbErr> {
    let mut wanted = Where::default();
    wanted.and("id = {}", id);
    wanted.and_revision(seen);
    let text = format!("DELETE FROM mailboxes WHERE {}", wanted.text());
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

pub(super) async fn message_count<C: ConnectionTrait>(on: &C, id: &str) -> Result<i64, DbErr> {
    let text = "SELECT COUNT(*) AS n FROM messages WHERE mailbox_id = $1";
    let row = on.query_one_raw(sql(on, text, [id.into()])).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

pub(super) async fn by_id<C: ConnectionTrait>(
    on: &C,
    projects: &Projects,
    id: &str,
) -> Result<Option<Mailbox>, DbErr> {
    row::Entity::find_by_id(id)
        .filter(within(projects, row::Column::ProjectId))
        .one(on)
        .await
}

/// One mailbox, read in the caller's transaction.
pub async fn get_in<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Mailbox>, DbErr> {
    row::Entity::find_by_id(id).one(on).await
}

pub(super) async fn all<C: ConnectionTrait>(on: &C, projects: &Projects) -> Result<Vec<Mailbox>, DbErr> {
    row::Entity::find()
        .filter(within(projects, row::Column::ProjectId))
        .order_by_asc(row::Column::Name)
        .all(on)
        .await
}

/// How long a claim lasts without a heartbeat, milliseconds; a dead node's mailboxes are taken over after this.
pub(crate) const LEASE_MS: i64 = 30_000;

/// Claims mailboxes that are due: their time has come, or they fail and their grant was renewed since.
pub async fn claim_due(db: &Db, holder: &str, now: i64, limit: u32) -> Result<Vec<Lease>, DbErr> {
    db::claim(
        db,
        &Claim {
            table: "mailboxes",
            key: "id",
            due: "NOT paused AND (next_poll_at <= $4 OR (state = 'failing' AND EXISTS (SELECT 1 FROM grants \
                  WHERE grants.id = mailboxes.grant_id AND grants.state IN ('active', 'expiring') \
                  AND grants.refreshed_at > mailboxes.error_at)))",
            holder,
            now,
            lasts: LEASE_MS,
            limit,
        },
    )
    .await
}

/// Prolongs every lease of this process that has not run out.
pub async fn heartbeat(db: &Db, holder: &str, now: i64) -> Result<(), DbErr> {
    let text = "UPDATE mailboxes SET lease_until = $1 WHERE lease_holder = $2 AND lease_until > $3";
    let values: [Value; 3] = [(now + LEASE_MS).into(), holder.into(), now.into()];
    db.write()
        .execute_raw(sql(db.write(), text, values))
        .await
        .map(|_| ())
}

/// Gives a mailbox back until `next_poll_at`, or at once if it was asked for meanwhile.
pub async fn release(db: &Db, lease: &Lease, next_poll_at: i64) -> Result<(), DbErr> {
    let text = "UPDATE mailboxes SET lease_until = 0, \
                next_poll_at = CASE WHEN next_poll_at = 0 THEN 0 ELSE $1 END WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [next_poll_at.into(), lease.id.clone().into(), lease.number.into()];
    db.write()
        .execute_raw(sql(db.write(), text, values))
        .await
        .map(|_| ())
}

/// Notes that the mailbox was read; the state before, if it was new or failing. In the transaction that tells of it, so
/// that it is told if it is noted.
pub async fn record_success<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    now: i64,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT state FROM mailboxes WHERE id = $1 AND lease_no = $2";
    let values: [Value; 2] = [lease.id.clone().into(), lease.number.into()];
    let before = on.query_one_raw(sql(on, text, values)).await?;
    let before: Option<String> = before.map(|row| row.try_get("", "state")).transpose()?;
    let text = "UPDATE mailboxes SET state = 'ok', error_code = '', error_cause = '', error_remedy = '', \
                failures = 0, last_success_at = $1 WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [now.into(), lease.id.clone().into(), lease.number.into()];
    let mine = on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1;
    Ok(before.filter(|state| mine && state != "ok"))
}

/// Notes a failure; the state before it, if the mailbox was not failing already.
pub async fn record_failure<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    trouble: &Trouble,
    now: i64,
) -> Result<Option<String>, DbErr> {
    let text = "SELECT state FROM mailboxes WHERE id = $1";
    let before = on.query_one_raw(sql(on, text, [lease.id.clone().into()])).await?;
    let before: Option<String> = before.map(|row| row.try_get("", "state")).transpose()?;
    let text = "UPDATE mailboxes SET state = 'failing', error_code = $1, error_cause = $2, error_remedy = $3, \
                error_at = $4, failures = failures + 1 WHERE id = $5 AND lease_no = $6";
    let values: [Value; 6] = [
        trouble.code.clone().into(),
        trouble.cause.clone().into(),
        trouble.remedy.clone().into(),
        now.into(),
        lease.id.clone().into(),
        lease.number.into(),
    ];
    let mine = on.execute_raw(sql(on, text, values)).await?.rows_affected() == 1;
    Ok(before.filter(|state| mine && state != "failing"))
}

/// How far a folder has been read in one epoch (UIDVALIDITY).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The mailbox.
    pub mailbox_id: String,
    /// The folder.
    pub folder: String,
    /// The epoch.
    pub uid_validity: u32,
    /// UIDs up to this one were in the folder when reading began.
    pub start_uid: u32,
    /// The highest contiguous finished UID.
    pub last_uid: u32,
    /// Mail that arrived before this (milliseconds) is not wanted.
    pub since_ms: Option<i64>,
    /// Of the UIDs up to `start_uid`, the ones that are wanted.
    pub wanted: Vec<u32>,
}

pub(super) async fn cursors<C: ConnectionTrait>(
    on: &C,
    mailbox_id: &str,
    folder: &str,
) -> Result<Vec<Cursor>, DbErr> {
    let text = "SELECT * FROM folder_cursors WHERE mailbox_id = $1 AND folder = $2 ORDER BY created_at";
    let rows = on
        .query_all_raw(sql(on, text, [mailbox_id.into(), folder.into()]))
        .await?;
    rows.iter()
        .map(|row| {
            let uid = |column: &str| -> Result<u32, DbErr> {
                Ok(u32::try_from(row.try_get::<i64>("", column)?).unwrap_or(u32::MAX))
            };
            let wanted: String = row.try_get("", "wanted")?;
            Ok(Cursor {
                mailbox_id: row.try_get("", "mailbox_id")?,
                folder: row.try_get("", "folder")?,
                uid_validity: uid("uid_validity")?,
                start_uid: uid("start_uid")?,
                last_uid: uid("last_uid")?,
                since_ms: row.try_get("", "since_ms")?,
                wanted: serde_json::from_str(&wanted).unwrap_or_default(),
            })
        })
        .collect()
}

pub(super) async fn insert_cursor<C: ConnectionTrait>(
    on: &C,
    cursor: &Cursor,
    now: i64,
) -> Result<(), DbErr> {
    let values: [Value; 8] = [
        cursor.mailbox_id.clone().into(),
        cursor.folder.clone().into(),
        i64::from(cursor.uid_validity).into(),
        i64::from(cursor.start_uid).into(),
        i64::from(cursor.last_uid).into(),
        cursor.since_ms.into(),
        serde_json::to_string(&cursor.wanted).unwrap_or_default().into(),
        now.into(),
    ];
    let text = "INSERT INTO folder_cursors (mailbox_id, folder, uid_validity, start_uid, last_uid, since_ms, wanted, \
                created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING";
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

/// Moves the cursor forward under a lease; false if the lease is no longer ours, and then nothing may be committed.
pub async fn move_cursor<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    cursor: &Cursor,
    last_uid: u32,
    stored_mail: bool,
    now: i64,
) -> Result<bool, DbErr> {
    let mail_at: Option<i64> = stored_mail.then_some(now);
    let text =
        "UPDATE mailboxes SET last_mail_at = COALESCE($1, last_mail_at) WHERE id = $2 AND lease_no = $3";
    let values: [Value; 3] = [mail_at.into(), lease.id.clone().into(), lease.number.into()];
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(false);
    }
    let text = "UPDATE folder_cursors SET last_uid = $1, updated_at = $2 \
                WHERE mailbox_id = $3 AND folder = $4 AND uid_validity = $5 AND last_uid <= $1";
    let values: [Value; 5] = [
        i64::from(last_uid).into(),
        now.into(),
        cursor.mailbox_id.clone().into(),
        cursor.folder.clone().into(),
        i64::from(cursor.uid_validity).into(),
    ];
    on.execute_raw(sql(on, text, values)).await?;
    Ok(true)
}

/// What became of one UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// The UID.
    pub uid: u32,
    /// `stored`, `duplicate_of` or `vanished`.
    pub outcome: &'static str,
    /// The message; empty if it vanished.
    pub message_id: String,
    /// Whether the server is to be told.
    pub tell: bool,
}

/// Writes what became of UIDs; a second time changes nothing.
pub async fn insert_ingestions<C: ConnectionTrait>(
    on: &C,
    cursor: &Cursor,
    ingested: &[Ingested],
    now: i64,
) -> Result<(), DbErr> {
    let rows = ingested.iter().map(|one| {
        let row: [Value; 8] = [
            cursor.mailbox_id.as_str().into(),
            cursor.folder.as_str().into(),
            i64::from(cursor.uid_validity).into(),
            i64::from(one.uid).into(),
            one.outcome.into(),
            one.message_id.as_str().into(),
            (if one.tell { "pending" } else { "none" }).into(),
            now.into(),
        ];
        row
    });
    let text = "INSERT INTO ingestions (mailbox_id, folder, uid_validity, uid, outcome, message_id, tell, created_at) \
                VALUES {rows} ON CONFLICT DO NOTHING";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// UIDs behind the cursor of whose mails the bytes are here already: those that came after a mail which the server
/// withholds.
pub(super) async fn taken<C: ConnectionTrait>(on: &C, cursor: &Cursor) -> Result<HashSet<u32>, DbErr> {
    let text = "SELECT uid FROM ingestions WHERE mailbox_id = $1 AND folder = $2 AND uid_validity = $3 AND uid > $4 \
                AND message_id <> ''";
    let values: [Value; 4] = [
        cursor.mailbox_id.clone().into(),
        cursor.folder.clone().into(),
        i64::from(cursor.uid_validity).into(),
        i64::from(cursor.last_uid).into(),
    ];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| Ok(u32::try_from(row.try_get::<i64>("", "uid")?).unwrap_or(0)))
        .collect()
}

/// UIDs of an epoch that the server is still to be told about.
pub(super) async fn untold<C: ConnectionTrait>(on: &C, cursor: &Cursor) -> Result<Vec<u32>, DbErr> {
    let text = "SELECT uid FROM ingestions WHERE mailbox_id = $1 AND tell = 'pending' AND folder = $2 \
                AND uid_validity = $3 ORDER BY uid LIMIT 1000";
    let values: [Value; 3] = [
        cursor.mailbox_id.clone().into(),
        cursor.folder.clone().into(),
        i64::from(cursor.uid_validity).into(),
    ];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| Ok(u32::try_from(row.try_get::<i64>("", "uid")?).unwrap_or(0)))
        .collect()
}

/// Notes that the server was told about these UIDs.
pub async fn told<C: ConnectionTrait>(on: &C, cursor: &Cursor, uids: &[u32]) -> Result<(), DbErr> {
    let rows = uids.iter().map(|uid| {
        let row: [Value; 4] = [
            cursor.mailbox_id.as_str().into(),
            cursor.folder.as_str().into(),
            i64::from(cursor.uid_validity).into(),
            i64::from(*uid).into(),
        ];
        row
    });
    let text = "UPDATE ingestions SET tell = 'done' WHERE (mailbox_id, folder, uid_validity, uid) IN (VALUES {rows})";
    with_rows(on, text, rows.collect()).await.map(drop)
}

/// What became of one UID, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The UID.
    pub uid: i64,
    /// `stored`, `duplicate_of` or `vanished`.
    pub outcome: String,
    /// The message; empty if it vanished.
    pub message_id: String,
    /// Subject of the message.
    pub subject: String,
    /// Address of its sender.
    pub from_email: String,
    /// State of the message.
    pub message_state: String,
    /// Why the message is quarantined; empty if it is not.
    pub problem: String,
    /// Its ticket.
    pub ticket_id: String,
    /// The ticket's key.
    pub ticket_key: String,
    /// Whether the ticket was opened for it.
    pub opened: bool,
    /// Whether the server was told: `none`, `pending` or `done`.
    pub tell: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

pub(super) async fn outcomes<C: ConnectionTrait>(
    on: &C,
    id: &str,
    limit: u32,
) -> Result<Vec<Outcome>, DbErr> {
    let text = "SELECT i.uid AS uid, i.outcome AS outcome, i.message_id AS message_id, i.tell AS tell, \
                i.created_at AS created_at, m.subject AS subject, m.from_email AS from_email, m.state AS state, \
                m.ticket_id AS ticket_id, m.problem AS problem, t.key AS ticket_key, CASE WHEN m.entry_id = (SELECT \
                MIN(e.id) FROM entries e WHERE e.ticket_id = m.ticket_id) THEN m.entry_id END AS first_entry \
                FROM ingestions i LEFT JOIN messages m ON m.id = i.message_id \
                LEFT JOIN tickets t ON t.id = m.ticket_id \
                WHERE i.mailbox_id = $1 ORDER BY i.created_at DESC, i.uid DESC LIMIT $2";
    let values: [Value; 2] = [id.into(), i64::from(limit).into()];
    let rows = on.query_all_raw(sql(on, text, values)).await?;
    rows.iter()
        .map(|row| {
            let text = |column: &str| -> Result<String, DbErr> {
                Ok(row.try_get::<Option<String>>("", column)?.unwrap_or_default())
            };
            Ok(Outcome {
                uid: row.try_get("", "uid")?,
                outcome: text("outcome")?,
                message_id: text("message_id")?,
                subject: text("subject")?,
                from_email: text("from_email")?,
                message_state: text("state")?,
                problem: text("problem")?,
                ticket_id: text("ticket_id")?,
                ticket_key: text("ticket_key")?,
                opened: !text("first_entry")?.is_empty(),
                tell: text("tell")?,
                created_at: row.try_get("", "created_at")?,
            })
        })
        .collect()
}
