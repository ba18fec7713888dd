//! The outbox: mails that go out, each fixed with its Message-ID when it is put in, sent by whichever node claims it,
//! tried again until it is taken or given up.
//!
//! Putting a mail in happens in the caller's transaction ([`compose`] before it, [`enqueue`] in it): a reply and its
//! mail are there together or not at all. Mails of the installation itself (invitations, alerts) go in by
//! [`enqueue_site_mail`]. Sending is `jobs/send_mail.rs`.
//!
//! SMTP has no "exactly once". Everything up to the last byte of a mail can be repeated without anybody noticing, so
//! it is; an attempt is noted before the mail itself is handed over. If the connection ends after that and before the
//! server's answer, nobody knows: the mail is sent again with the same Message-ID, by which mail programs and the large
//! providers tell that it is the same one, twice at most; the attempts say so. Then it is given up, for a person to decide.

mod model;
mod proposal;
mod reply;
mod service;
mod site;
mod site_store;
mod store;
#[cfg(test)]
mod tests;

pub use model::{Kind, MailState, NewMail, Through};
pub use proposal::{Proposal, propose};
pub use reply::{Answer, answered, reply};
pub use service::{
    Composed, ONLY_FOR_ITS_RECIPIENT, OutboxError, OutgoingFilter, cancel, compose, enqueue, get, list, raw,
    retry,
};
pub use site::{
    SiteAccount, SiteMail, SiteSettings, choose_site_mailbox, choose_site_mailbox_in, enqueue_site_mail,
    explain_site, forget_notices, open_site, send_site_mail, send_test_mail, site_account, site_failure,
    site_settings,
};
pub use store::{
    Attempt, Begun, Due, Ending, Outgoing, Room, attempts_of, begin_attempt, by_entry, claim, due, finish,
    mark_handing_over, of_ticket, prolong, release, replies_of, sent_once, waiting,
};
