//! Fetching one mail whole that exceeds its mailbox's size limit, because a person asks for it.

use std::time::Duration;

use super::imap::Limits;
use super::session::{self, OpenSession};
use super::store::Mailbox;
use crate::ctx::Ctx;
use crate::trouble::Trouble;

/// The largest mail that is fetched even then, bytes.
pub const MOST_WHOLE_BYTES: u64 = 100 * 1024 * 1024;

/// How long a person waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The bytes of a mail, if it is still where it was read. Nothing is changed on the server.
///
/// # Errors
/// Why it cannot be had, told to a person.
pub async fn fetch_whole(
    ctx: &Ctx,
    mailbox: &Mailbox,
    folder: &str,
    uid_validity: i64,
    uid: i64,
) -> Result<Vec<u8>, Trouble> {
    let (Ok(uid_validity), Ok(uid)) = (u32::try_from(uid_validity), u32::try_from(uid)) else {
        return Err(gone());
    };
    let limits = Limits {
        max_message: MOST_WHOLE_BYTES,
        ..session::limits(ctx, mailbox)
    };
    let work = async {
        let mut session = session::open_within(ctx, mailbox, limits)
            .await
            .map_err(|error| error.trouble())?;
        let found = fetch(&mut session, folder, uid_validity, uid).await;
        session.logout().await;
        found
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(found) => found,
        Err(_) => Err(Trouble::new(
            "imap_slow",
            "The mail server did not hand the mail over within two minutes.",
            "Try again later; only the header is here so far.",
        )),
    }
}

async fn fetch(
    session: &mut OpenSession,
    folder: &str,
    uid_validity: u32,
    uid: u32,
) -> Result<Vec<u8>, Trouble> {
    let trouble = |error| session::trouble_of(&error);
    let selected = match session.select(folder, true).await {
        Ok(selected) => selected,
        Err(error) => return Err(session::folder_trouble(session, folder, &error).await),
    };
    if selected.uid_validity != Some(uid_validity) {
        return Err(gone());
    }
    let metas = session.fetch_meta(&[uid]).await.map_err(trouble)?;
    if metas.is_empty() {
        return Err(gone());
    }
    let mut raw = None;
    let report = session
        .fetch_raw(&metas, |mail| raw = Some(mail.raw))
        .await
        .map_err(trouble)?;
    match raw {
        Some(raw) => Ok(raw),
        None if report.too_large.contains(&uid) => Err(Trouble::new(
            "mail_too_large",
            "The mail has more than 100 MB, which is more than Mailgrant keeps of one mail.",
            "Read it in the mail account. Its header is here.",
        )),
        None => Err(gone()),
    }
}

fn gone() -> Trouble {
    Trouble::new(
        "mail_gone",
        "The mail is not any more where it was read, so only its header is here.",
        "Look for it in the mail account: somebody may have moved or deleted it.",
    )
}
