//! Which mails of a folder are new, and telling the server about those that are stored.
//!
//! The cursor is UIDVALIDITY and UID, never the flags of mails and never dates, with two exceptions that a start
//! point needs: the first look at a folder, and the scan after the server gave all UIDs anew. Both are written down.

use serde_json::json;

use super::imap::{ImapError, Meta, SearchFilter, Selected};
use super::model::{AfterIngest, StartFrom};
use super::session::{OpenSession, folder_trouble};
use super::store::{self, Cursor, Mailbox};
use crate::ctx::Ctx;
use crate::event::{self, NewEvent, SYSTEM};
use crate::trouble::Trouble;

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The mail server.
    #[error(transparent)]
    Imap(#[from] ImapError),
    /// The mail server refuses a folder that the mailbox's settings name; the session goes on.
    #[error("{}", .0.cause)]
    Folder(Trouble),
    /// The database.
    #[error("database: {0}")]
    Db(#[from] sea_orm::DbErr),
}

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the folder stands.
    pub cursor: Cursor,
    /// New mails by UID.
    pub mails: Vec<Meta>,
    /// Once they are stored, everything up to here is finished.
    pub done_up_to: u32,
}

/// Opens the mailbox's folder and says what is new in it.
pub async fn plan(ctx: &Ctx, session: &mut OpenSession, mailbox: &Mailbox) -> Result<Plan, SyncError> {
    let read_only = mailbox.after_ingest == AfterIngest::Leave.as_str();
    let selected = match session.select(&mailbox.folder, read_only).await {
        Ok(selected) => selected,
        Err(error) => return Err(of_folder(session, &mailbox.folder, error).await),
    };
    let uid_validity = selected
        .uid_validity
        .ok_or(ImapError::Protocol("the folder has no UIDVALIDITY"))?;
    let cursor = cursor_of(ctx, session, mailbox, &selected, uid_validity).await?;
    let mut plan = new_mails(session, cursor, selected.uid_next).await?;
    if !plan.mails.is_empty() {
        let taken = store::taken(ctx.db.read(), &plan.cursor).await?;
        plan.mails.retain(|mail| !taken.contains(&mail.uid));
    }
    Ok(plan)
}

/// A folder that is not there is told with those that are; everything else stays what it is.
async fn of_folder(session: &mut OpenSession, folder: &str, error: ImapError) -> SyncError {
    if error.is_folder_missing() {
        return SyncError::Folder(folder_trouble(session, folder, &error).await);
    }
    SyncError::Imap(error)
}

/// What is new in the open folder since `cursor`; the folder's UIDNEXT spares a search where the server tells it.
async fn new_mails(
    session: &mut OpenSession,
    cursor: Cursor,
    uid_next: Option<u32>,
) -> Result<Plan, SyncError> {
    let from = cursor.last_uid.saturating_add(1);
    if uid_next == Some(from) {
        return Ok(Plan {
            done_up_to: cursor.last_uid,
            cursor,
            mails: Vec::new(),
        });
    }
    let uids = session.search_uids(from, SearchFilter::All).await?;
    let (wanted, unwanted): (Vec<u32>, Vec<u32>) = uids.into_iter().partition(|uid| wants(&cursor, *uid));
    let mut mails = session.fetch_meta(&wanted).await?;
    // A UID that a search names and no mail has must not move the cursor over mails that are still to come.
    let described = mails.iter().map(|mail| mail.uid);
    let passed = unwanted.into_iter().filter(|uid| *uid <= cursor.start_uid);
    let done_up_to = described.chain(passed).max().unwrap_or(0).max(cursor.last_uid);
    if let Some(since) = cursor.since_ms {
        // A server that tells no date gives no reason to leave a mail out.
        mails.retain(|mail| mail.internal_date_ms.is_none_or(|date| date >= since));
    }
    mails.sort_by_key(|mail| mail.uid);
    Ok(Plan {
        cursor,
        mails,
        done_up_to,
    })
}

fn wants(cursor: &Cursor, uid: u32) -> bool {
    uid > cursor.last_uid && (uid > cursor.start_uid || cursor.wanted.binary_search(&uid).is_ok())
}

async fn cursor_of(
    ctx: &Ctx,
    session: &mut OpenSession,
    mailbox: &Mailbox,
    selected: &Selected,
    uid_validity: u32,
) -> Result<Cursor, SyncError> {
    let known = store::cursors(ctx.db.read(), &mailbox.id, &mailbox.folder).await?;
    if let Some(cursor) = known.iter().find(|cursor| cursor.uid_validity == uid_validity) {
        return Ok(cursor.clone());
    }
    let start = StartFrom::parse(&mailbox.start_from).unwrap_or(StartFrom::Now);
    let cursor = match known.last() {
        None => first_cursor(session, mailbox, selected, uid_validity, start).await?,
        Some(_) => new_epoch(mailbox, uid_validity, start),
    };
    let txn = ctx.db.begin().await?;
    store::insert_cursor(&txn, &cursor, ctx.clock.now_ms()).await?;
    if let Some(before) = known.last() {
        let event = NewEvent {
            kind: "mailbox.uidvalidity_changed",
            project_id: &mailbox.project_id,
            subject_id: &mailbox.id,
            actor: SYSTEM,
            data: json!({ "folder": mailbox.folder, "before": before.uid_validity, "after": uid_validity }),
        };
        event::append(&txn, &ctx.clock, event).await?;
        tracing::warn!(
            mailbox = mailbox.id,
            "the server gave all UIDs of the folder anew; scanning it again"
        );
    }
    txn.commit().await?;
    Ok(cursor)
}

/// The first look at a folder.
async fn first_cursor(
    session: &mut OpenSession,
    mailbox: &Mailbox,
    selected: &Selected,
    uid_validity: u32,
    start: StartFrom,
) -> Result<Cursor, SyncError> {
    let mut cursor = Cursor {
        mailbox_id: mailbox.id.clone(),
        folder: mailbox.folder.clone(),
        uid_validity,
        start_uid: 0,
        last_uid: 0,
        since_ms: None,
        wanted: Vec::new(),
    };
    if start == StartFrom::All {
        return Ok(cursor);
    }
    let newest = match selected.uid_next {
        Some(next) => next.saturating_sub(1),
        None => session.newest_uid().await?.unwrap_or(0),
    };
    cursor.start_uid = newest;
    cursor.wanted = match start {
        StartFrom::Unread => session.search_uids(1, SearchFilter::Unseen).await?,
        StartFrom::Date(day) => session.search_uids(1, SearchFilter::Since(day)).await?,
        // Mail that came between the making of the mailbox and this first look, if the server was not there at once.
        StartFrom::Now => since_the_making(session, mailbox).await?,
        StartFrom::All => Vec::new(),
    };
    cursor.wanted.retain(|uid| *uid <= newest);
    cursor.wanted.sort_unstable();
    cursor.last_uid = cursor
        .wanted
        .first()
        .map_or(newest, |first| first.saturating_sub(1));
    Ok(cursor)
}

async fn since_the_making(session: &mut OpenSession, mailbox: &Mailbox) -> Result<Vec<u32>, SyncError> {
    // The server's calendar day may differ from ours by one.
    let day = crate::clock::from_ms(mailbox.created_at)
        .date_naive()
        .pred_opt()
        .unwrap_or_default();
    let candidates = session.search_uids(1, SearchFilter::Since(day)).await?;
    let metas = session.fetch_meta(&candidates).await?;
    let late = |meta: &Meta| {
        meta.internal_date_ms
            .is_some_and(|date| date >= mailbox.created_at)
    };
    Ok(metas
        .iter()
        .filter(|meta| late(meta))
        .map(|meta| meta.uid)
        .collect())
}

/// After a changed UIDVALIDITY the whole folder is scanned; what is stored already is recognised by its bytes.
fn new_epoch(mailbox: &Mailbox, uid_validity: u32, start: StartFrom) -> Cursor {
    Cursor {
        mailbox_id: mailbox.id.clone(),
        folder: mailbox.folder.clone(),
        uid_validity,
        start_uid: 0,
        last_uid: 0,
        since_ms: start.oldest_wanted(mailbox.created_at),
        wanted: Vec::new(),
    }
}

/// Tells the server about stored mails (seen, moved), and remembers which it was told; what fails is told next time.
pub async fn tell(
    ctx: &Ctx,
    session: &mut OpenSession,
    mailbox: &Mailbox,
    cursor: &Cursor,
) -> Result<(), SyncError> {
    loop {
        let uids = store::untold(ctx.db.read(), cursor).await?;
        if uids.is_empty() {
            return Ok(());
        }
        match AfterIngest::parse(&mailbox.after_ingest) {
            Some(AfterIngest::MarkSeen) => session.mark_seen(&uids).await?,
            Some(AfterIngest::Move) => {
                if let Err(error) = session.move_uids(&uids, &mailbox.move_to).await {
                    return Err(of_folder(session, &mailbox.move_to, error).await);
                }
            }
            // The setting was changed meanwhile: there is nothing to tell any more.
            Some(AfterIngest::Leave) | None => {}
        }
        crate::crash_point!("told");
        store::told(ctx.db.write(), cursor, &uids).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(start_uid: u32, last_uid: u32, wanted: &[u32]) -> Cursor {
        Cursor {
            mailbox_id: "mbx_1".into(),
            folder: "INBOX".into(),
            uid_validity: 1,
            start_uid,
            last_uid,
            since_ms: None,
            wanted: wanted.to_vec(),
        }
    }

    #[test]
    fn below_the_start_only_wanted_mail_is_taken_above_it_all() {
        let cursor = cursor(10, 2, &[3, 7]);
        let taken: Vec<u32> = (1..=12).filter(|uid| wants(&cursor, *uid)).collect();
        assert_eq!(taken, [3, 7, 11, 12]);
    }

    #[test]
    fn what_lies_behind_the_cursor_is_never_taken_again() {
        let cursor = cursor(0, 5, &[]);
        assert!(!wants(&cursor, 5));
        assert!(wants(&cursor, 6));
    }
}
