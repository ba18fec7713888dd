//! All queries on outgoing mails and their attempts.

use sea_orm::entity::prelude::*;
use sea_orm::{ConnectionTrait, FromQueryResult, QueryOrder, QuerySelect, Statement, Value};

use super::model::{Kind, MailState};
use super::service::OutgoingFilter;
use crate::db::{self, Claim, Db, Lease, Listed, Where, sql};
use crate::trouble::Trouble;

pub use attempt::Model as Attempt;
pub use row::Model as Outgoing;

mod row {
    //! The table `outgoing_mails`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// A mail that goes out.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outgoing_mails")]
    pub struct Model {
        /// `out_` + ULID.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// `reply`, `automatic`, `forward`, `alert` or `notice`.
        pub kind: String,
        /// `queued`, `sending`, `sent`, `failed` or `cancelled`.
        pub state: String,
        /// Its project; empty for mails of the site.
        pub project_id: String,
        /// The mailbox that sends; empty for the site's account.
        pub mailbox_id: String,
        /// Its ticket, if there is one.
        pub ticket_id: String,
        /// The entry that shows it, if one does.
        pub entry_id: String,
        /// Its Message-ID without angle brackets.
        pub rfc_message_id: String,
        /// Sender's address.
        pub sender: String,
        /// Addresses it goes to, a JSON list.
        pub recipients: String,
        /// Subject.
        pub subject: String,
        /// Bytes.
        pub size: i64,
        /// Who had it sent.
        pub actor: String,
        /// Attempts in all.
        pub attempts: i64,
        /// Attempts since a person last had it tried again.
        pub tries: i64,
        /// Attempts whose outcome nobody knows, since then.
        pub unknown_outcomes: i64,
        /// When it is due, milliseconds since 1970.
        pub next_attempt_at: i64,
        /// When it is given up, milliseconds since 1970.
        pub give_up_at: i64,
        /// Machine code of the trouble; empty if there is none.
        pub error_code: String,
        /// What happened.
        pub error_cause: String,
        /// What to do.
        pub error_remedy: String,
        /// Grows with every change.
        pub revision: i64,
        /// Who sends it now.
        pub lease_holder: String,
        /// Fencing number.
        pub lease_no: i64,
        /// Until when, milliseconds since 1970.
        pub lease_until: i64,
        /// Milliseconds since 1970.
        pub created_at: i64,
        /// Milliseconds since 1970.
        pub updated_at: i64,
        /// When a server took it, milliseconds since 1970.
        pub sent_at: Option<i64>,
        /// Names and sizes of its files, a JSON list.
        pub files: String,
        /// The request that had it sent, if that must not send two.
        pub once_key: Option<String>,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod attempt {
    //! The table `outgoing_attempts`.
    #![allow(missing_docs, reason = "derived items")]
    use sea_orm::entity::prelude::*;

    /// One attempt to send a mail.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "outgoing_attempts")]
    pub struct Model {
        /// The mail.
        #[sea_orm(primary_key, auto_increment = false)]
        pub outgoing_id: String,
        /// 1, 2, 3, …
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i64,
        /// The process that tried.
        pub node: String,
        /// Milliseconds since 1970.
        pub began_at: i64,
        /// When the mail itself began to be handed over; none if it never came to that.
        pub handing_over_at: Option<i64>,
        /// Milliseconds since 1970.
        pub ended_at: Option<i64>,
        /// `running`, `sent`, `refused`, `postponed`, `unknown` or `interrupted`.
        pub outcome: String,
        /// The server's last words.
        pub answer: String,
        /// Machine code of the trouble; empty if there is none.
        pub error_code: String,
    }

    /// None: relations are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Outgoing {
    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<Trouble> {
        (!self.error_code.is_empty()).then(|| Trouble {
            code: self.error_code.clone(),
            cause: self.error_cause.clone(),
            remedy: self.error_remedy.clone(),
        })
    }
}

pub(super) async fn insert<C: ConnectionTrait>(on: &C, mail: &Outgoing, bytes: &[u8]) -> Result<(), DbErr> {
    let model = row::ActiveModel::from(mail.clone()).reset_all();
    row::Entity::insert(model).exec_without_returning(on).await?;
    let text = "INSERT INTO outgoing_bodies (outgoing_id, bytes) VALUES ($1, $2)";
    let values: [Value; 2] = [mail.id.clone().into(), bytes.to_vec().into()];
    on.execute_raw(sql(on, text, values)).await.map(|_| ())
}

pub(super) async fn by_id<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Outgoing>, DbErr> {
    row::Entity::find_by_id(id).one(on).await
}

pub(super) async fn bytes<C: ConnectionTrait>(on: &C, id: &str) -> Result<Option<Vec<u8>>, DbErr> {
    let text = "SELECT bytes FROM outgoing_bodies WHERE outgoing_id = $1";
    let row = on.query_one_raw(sql(on, text, [id.into()])).await?;
    row.map(|row| row.try_get("", "bytes")).transpose()
}

/// Outgoing mails of a ticket, oldest first.
pub async fn of_ticket<C: ConnectionTrait>(on: &C, ticket_id: &str) -> Result<Vec<Outgoing>, DbErr> {
    row::Entity::find()
        .filter(row::Column::TicketId.eq(ticket_id))
        .order_by_asc(row::Column::Id)
        .all(on)
        .await
}

/// Replies of a ticket, oldest first, `limit` at most, and behind one of them if that is named.
pub async fn replies_of<C: ConnectionTrait>(
    on: &C,
    ticket_id: &str,
    after: Option<&str>,
    limit: u64,
) -> Result<Vec<Outgoing>, DbErr> {
    let mut wanted = row::Entity::find()
        .filter(row::Column::TicketId.eq(ticket_id))
        .filter(row::Column::Kind.eq(Kind::Reply.as_str()));
    if let Some(after) = after {
        wanted = wanted.filter(row::Column::Id.gt(after));
    }
    wanted.order_by_asc(row::Column::Id).limit(limit).all(on).await
}

/// The outgoing mail that an entry shows.
pub async fn by_entry<C: ConnectionTrait>(on: &C, entry_id: &str) -> Result<Option<Outgoing>, DbErr> {
    row::Entity::find()
        .filter(row::Column::EntryId.eq(entry_id))
        .one(on)
        .await
}

/// The mail that was sent under this name before ([`super::NewMail::once`]); none without a name.
pub async fn sent_once<C: ConnectionTrait>(on: &C, once: Option<&str>) -> Result<Option<Outgoing>, DbErr> {
    let Some(once) = once else {
        return Ok(None);
    };
    row::Entity::find()
        .filter(row::Column::OnceKey.eq(once))
        .one(on)
        .await
}

/// All attempts at a mail, oldest first.
pub async fn attempts_of<C: ConnectionTrait>(on: &C, id: &str) -> Result<Vec<Attempt>, DbErr> {
    attempt::Entity::find()
        .filter(attempt::Column::OutgoingId.eq(id))
        .order_by_asc(attempt::Column::Number)
        .all(on)
        .await
}

/// The mail of the installation through an account (a mailbox, or the empty text) that was tried last.
pub(super) async fn latest_of_site<C: ConnectionTrait>(
    on: &C,
    mailbox_id: &str,
) -> Result<Option<Outgoing>, DbErr> {
    // What a mailbox sends is mostly answers: looked for among the newest, with the index on the mailbox.
    let newest = row::Entity::find()
        .filter(row::Column::MailboxId.eq(mailbox_id))
        .order_by_desc(row::Column::Id)
        .limit(100)
        .all(on)
        .await?;
    Ok(newest
        .into_iter()
        .filter(|mail| mail.project_id.is_empty() && mail.attempts > 0)
        .max_by_key(|mail| mail.updated_at))
}

pub(super) async fn list<C: ConnectionTrait>(
    on: &C,
    filter: &OutgoingFilter,
    limit: u64,
) -> Result<Vec<Outgoing>, DbErr> {
    Outgoing::find_by_statement(list_statement(on, filter, limit))
        .all(on)
        .await
}

pub(super) fn list_statement<C: ConnectionTrait>(on: &C, filter: &OutgoingFilter, limit: u64) -> Statement {
    let mut all = Where::default();
    let wanted = [
        ("t.state = {}", &filter.state),
        ("t.kind = {}", &filter.kind),
        ("t.mailbox_id = {}", &filter.mailbox_id),
        ("t.id < {}", &filter.after),
    ];
    for (text, value) in wanted {
        if let Some(value) = value {
            all.and(text, value.as_str());
        }
    }
    if filter.of_site {
        all.and("t.project_id = {}", "");
    }
    let listed = Listed {
        columns: "t.*",
        from: "outgoing_mails t",
        project: "t.project_id",
        order: "t.id DESC",
        order_of_all: "t.id DESC",
        limit,
    };
    listed.statement(on, all, &filter.projects)
}

/// How many outgoing mails are in a state.
pub async fn waiting<C: ConnectionTrait>(on: &C, state: MailState) -> Result<u64, DbErr> {
    row::Entity::find()
        .filter(row::Column::State.eq(state.as_str()))
        .count(on)
        .await
}

/// A mail whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its id.
    pub id: String,
    /// The mailbox that sends; empty for the site's account.
    pub mailbox_id: String,
}

/// Which accounts have room for further mails.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Those that have none.
    pub full: Vec<String>,
    /// How many mails of one account are looked for at once.
    pub per_account: usize,
}

/// Mails whose turn it is, the longest waiting first. Of each account a few: thousands that wait for one server hide
/// nobody else's.
pub async fn due(db: &Db, now: i64, room: &Room, limit: u32) -> Result<Vec<Due>, DbErr> {
    let places: Vec<String> = (4..4 + room.full.len())
        .map(|place| format!("${place}"))
        .collect();
    let not_full = if places.is_empty() {
        String::new()
    } else {
        format!("AND mailbox_id NOT IN ({})", places.join(", "))
    };
    let text = format!(
        "SELECT id, mailbox_id FROM (SELECT id, mailbox_id, next_attempt_at, ROW_NUMBER() OVER \
         (PARTITION BY mailbox_id ORDER BY next_attempt_at, id) AS place FROM outgoing_mails \
         WHERE state IN ('queued', 'sending') AND next_attempt_at <= $1 AND lease_until <= $1 {not_full}) AS waiting \
         WHERE place <= $2 ORDER BY next_attempt_at, id LIMIT $3"
    );
    let per_account = i64::try_from(room.per_account).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = vec![now.into(), per_account.into(), i64::from(limit).into()];
    values.extend(room.full.iter().map(|account| Value::from(account.as_str())));
    let rows = db.read().query_all_raw(sql(db.read(), &text, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                id: row.try_get("", "id")?,
                mailbox_id: row.try_get("", "mailbox_id")?,
            })
        })
        .collect()
}

/// Claims one mail, if its turn is still to come and nobody has it.
pub async fn claim(db: &Db, holder: &str, id: &str, now: i64, lasts: i64) -> Result<Option<Lease>, DbErr> {
    let claim = Claim {
        table: "outgoing_mails",
        key: "id",
        due: "state IN ('queued', 'sending') AND next_attempt_at <= $4",
        holder,
        now,
        lasts,
        limit: 1,
    };
    db::claim_one(db, &claim, id).await
}

/// Keeps a mail until then; false if it is no longer ours.
pub async fn prolong(db: &Db, lease: &Lease, until: i64) -> Result<bool, DbErr> {
    db::extend(db, "outgoing_mails", "id", lease, until).await
}

/// Gives a mail back.
pub async fn release(db: &Db, lease: &Lease) -> Result<(), DbErr> {
    db::release(db, "outgoing_mails", "id", lease).await
}

/// An attempt that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The mail.
    pub mail: Outgoing,
    /// Number of this attempt.
    pub number: i64,
    /// Whether the attempt before ended, nobody knows how, after its mail began to be handed over.
    pub after_unknown: bool,
}

/// Counts an attempt before anything is done. An attempt that a crash ended is closed: whether its mail went out is
/// unknown if it had begun to be handed over. None if the mail is no longer ours, or was taken back while nobody
/// prolonged the claim.
pub async fn begin_attempt<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    node: &str,
    now: i64,
) -> Result<Option<Begun>, DbErr> {
    let text = "UPDATE outgoing_attempts SET ended_at = $1, outcome = \
                CASE WHEN handing_over_at IS NULL THEN 'interrupted' ELSE 'unknown' END \
                WHERE outgoing_id = $2 AND outcome = 'running' \
                AND EXISTS (SELECT 1 FROM outgoing_mails WHERE id = $2 AND lease_no = $3) RETURNING outcome";
    let values: [Value; 3] = [now.into(), lease.id.clone().into(), lease.number.into()];
    let closed = on.query_all_raw(sql(on, text, values)).await?;
    let mut unknown = 0_i64;
    for row in &closed {
        unknown += i64::from(row.try_get::<String>("", "outcome")? == "unknown");
    }
    let text = "UPDATE outgoing_mails SET state = 'sending', attempts = attempts + 1, tries = tries + 1, \
                unknown_outcomes = unknown_outcomes + $1, revision = revision + 1, updated_at = $2 \
                WHERE id = $3 AND lease_no = $4 AND state IN ('queued', 'sending') AND lease_until > $2";
    let values: [Value; 4] = [
        unknown.into(),
        now.into(),
        lease.id.clone().into(),
        lease.number.into(),
    ];
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(None);
    }
    let Some(mail) = by_id(on, &lease.id).await? else {
        return Ok(None);
    };
    let text = "INSERT INTO outgoing_attempts (outgoing_id, number, node, began_at, outcome, answer, error_code) \
                VALUES ($1, $2, $3, $4, 'running', '', '')";
    let values: [Value; 4] = [
        lease.id.clone().into(),
        mail.attempts.into(),
        node.into(),
        now.into(),
    ];
    on.execute_raw(sql(on, text, values)).await?;
    Ok(Some(Begun {
        number: mail.attempts,
        mail,
        after_unknown: unknown > 0,
    }))
}

/// Notes that the mail itself begins to be handed over; false if it is no longer ours, and then it must not be.
pub async fn mark_handing_over(db: &Db, lease: &Lease, number: i64, now: i64) -> Result<bool, DbErr> {
    let text = "UPDATE outgoing_attempts SET handing_over_at = $1 WHERE outgoing_id = $2 AND number = $3 \
                AND outcome = 'running' AND EXISTS \
                (SELECT 1 FROM outgoing_mails WHERE id = $2 AND lease_no = $4 AND lease_until > $1)";
    let values: [Value; 4] = [
        now.into(),
        lease.id.clone().into(),
        number.into(),
        lease.number.into(),
    ];
    Ok(db
        .write()
        .execute_raw(sql(db.write(), text, values))
        .await?
        .rows_affected()
        == 1)
}

/// How an attempt ended, and what comes next.
#[derive(Clone, Debug)]
pub struct Ending {
    /// `sent`, `refused`, `postponed` or `unknown`.
    pub outcome: &'static str,
    /// The mail's state from now on.
    pub state: MailState,
    /// When it is due again; of no meaning when it is done with.
    pub next_attempt_at: i64,
    /// The server's last words.
    pub answer: String,
    /// What is wrong.
    pub trouble: Option<Trouble>,
}

/// Ends an attempt; false if the mail is no longer ours, and then nothing was written.
pub async fn finish<C: ConnectionTrait>(
    on: &C,
    lease: &Lease,
    number: i64,
    ending: &Ending,
    now: i64,
) -> Result<bool, DbErr> {
    let trouble = ending.trouble.clone().unwrap_or_default();
    let sent_at = (ending.state == MailState::Sent).then_some(now);
    let text = "UPDATE outgoing_mails SET state = $1, next_attempt_at = $2, error_code = $3, error_cause = $4, \
                error_remedy = $5, sent_at = $6, unknown_outcomes = unknown_outcomes + $7, lease_until = 0, \
                revision = revision + 1, updated_at = $8 WHERE id = $9 AND lease_no = $10 \
                AND state = 'sending'";
    let values: [Value; 10] = [
        ending.state.as_str().into(),
        ending.next_attempt_at.into(),
        trouble.code.clone().into(),
        trouble.cause.into(),
        trouble.remedy.into(),
        sent_at.into(),
        i64::from(ending.outcome == "unknown").into(),
        now.into(),
        lease.id.clone().into(),
        lease.number.into(),
    ];
    if on.execute_raw(sql(on, text, values)).await?.rows_affected() != 1 {
        return Ok(false);
    }
    let text = "UPDATE outgoing_attempts SET ended_at = $1, outcome = $2, answer = $3, error_code = $4 \
                WHERE outgoing_id = $5 AND number = $6";
    let values: [Value; 6] = [
        now.into(),
        ending.outcome.into(),
        ending.answer.clone().into(),
        trouble.code.into(),
        lease.id.clone().into(),
        number.into(),
    ];
    on.execute_raw(sql(on, text, values)).await?;
    Ok(true)
}

/// Takes a waiting mail back; false if it does not wait.
pub(super) async fn cancel<C: ConnectionTrait>(
    on: &C,
    id: &str,
    seen: Option<i64>,
    now: i64,
) -> Result<bool, DbErr> {
    let mut wanted = Where::default();
    let now = wanted.value(now);
    wanted.and("id = {}", id);
    wanted.and_revision(seen);
    let text = format!(
        "UPDATE outgoing_mails SET state = 'cancelled', revision = revision + 1, updated_at = {now} \
         WHERE {} AND state = 'queued' AND lease_until <= {now}",
        wanted.text()
    );
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

/// Makes a mail due that failed or waits; false if it does neither.
pub(super) async fn retry<C: ConnectionTrait>(
    on: &C,
    id: &str,
    seen: Option<i64>,
    (now, give_up_at): (i64, i64),
) -> Result<bool, DbErr> {
    let mut wanted = Where::default();
    let (now, give_up_at) = (wanted.value(now), wanted.value(give_up_at));
    wanted.and("id = {}", id);
    wanted.and_revision(seen);
    let text = format!(
        "UPDATE outgoing_mails SET state = 'queued', next_attempt_at = {now}, give_up_at = {give_up_at}, tries = 0, \
         unknown_outcomes = 0, revision = revision + 1, updated_at = {now} \
         WHERE {} AND state IN ('failed', 'queued') AND lease_until <= {now}",
        wanted.text()
    );
    Ok(on
        .execute_raw(sql(on, &text, wanted.values))
        .await?
        .rows_affected()
        == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Projects;
    use crate::db::is_indexed;
    use crate::grant::testkit::place;

    #[tokio::test]
    async fn every_filter_of_outgoing_mails_is_indexed() {
        let place = place().await;
        let on = place.ctx.db.read();
        let all = OutgoingFilter {
            projects: Projects::All,
            ..OutgoingFilter::default()
        };
        let some = |text: &str| Some(text.to_owned());
        let two = Projects::Only(["prj_1".to_owned(), "prj_2".to_owned()].into());
        for filter in [
            OutgoingFilter {
                state: some("failed"),
                ..all.clone()
            },
            OutgoingFilter {
                kind: some("alert"),
                ..all.clone()
            },
            OutgoingFilter {
                mailbox_id: some("mbx_1"),
                ..all.clone()
            },
            OutgoingFilter {
                of_site: true,
                ..all.clone()
            },
            OutgoingFilter { projects: two, ..all },
        ] {
            is_indexed(on, &format!("{filter:?}"), list_statement(on, &filter, 51)).await;
        }
    }
}
