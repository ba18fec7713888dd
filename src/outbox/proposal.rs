//! What an answer in a ticket would be if nobody changed anything: through which mailbox, to whom, what is quoted, and
//! what keeps it from going out.

use super::reply::{Thread, mailbox_for, newest, requester};
use super::service::OutboxError;
use crate::access::Projects;
use crate::clock::from_ms;
use crate::ctx::Ctx;
use crate::grant::{self, GrantState};
use crate::mailbox::{self, Mailbox};
use crate::message::{self, Message};
use crate::smtp::Address;
use crate::ticket::{Entry, Ticket};
use crate::trouble::Trouble;

/// An answer before anybody wrote it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The mailbox that sends.
    pub mailbox: Mailbox,
    /// The sender.
    pub from: Address,
    /// To whom; nobody if the ticket names no address.
    pub to: Vec<Address>,
    /// Others who were on the newest mail, without our own addresses.
    pub cc: Vec<Address>,
    /// The newest mail as it is quoted below an answer; empty if there is none.
    pub quote: String,
    /// What keeps mail of this mailbox from going out now.
    pub trouble: Option<Trouble>,
}

/// Most others who are proposed; a mail to a crowd is no reason to answer the crowd.
const MAX_PROPOSED: usize = 20;

/// Longest quote, bytes.
const MAX_QUOTE: usize = 20_000;

/// Proposes an answer in a ticket.
///
/// # Errors
/// [`OutboxError::NotSending`] if no mailbox of the project sends.
pub async fn propose(ctx: &Ctx, ticket: &Ticket, entries: &[Entry]) -> Result<Proposal, OutboxError> {
    let ids: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.message_id.as_deref())
        .collect();
    let last = newest(ctx, &ticket.project_id, &ids).await?;
    let mailbox = mailbox_for(ctx, ticket, last.as_ref()).await?;
    let from = mailbox::sender_of(&mailbox)?;
    let thread = last.as_ref().map(Thread::of).unwrap_or_default();
    let to: Vec<Address> = requester(ticket, &thread).into_iter().collect();
    let own = mailbox::addresses(ctx.db.read()).await?;
    let mut cc: Vec<Address> = Vec::new();
    for address in last.as_ref().map(others).unwrap_or_default() {
        let is_known = own.iter().any(|own| is_same_account(own, address.email()))
            || to
                .iter()
                .chain(&cc)
                .any(|known| known.email().eq_ignore_ascii_case(address.email()))
            || address.email().eq_ignore_ascii_case(&ticket.requester_email);
        if !is_known && cc.len() < MAX_PROPOSED {
            cc.push(address);
        }
    }
    Ok(Proposal {
        trouble: trouble(ctx, &mailbox).await?,
        quote: last.as_ref().map(quote_of).unwrap_or_default(),
        mailbox,
        from,
        to,
        cc,
    })
}

/// The quote of a ticket's newest mail; empty if there is none.
pub(super) fn quote_of(message: &Message) -> String {
    let parsed = message::parsed(message);
    let text = parsed
        .get("mailgrant")
        .and_then(|extras| extras.get("text"))
        .and_then(|text| text.as_str())
        .unwrap_or_default()
        .trim();
    if text.is_empty() {
        return String::new();
    }
    let cut = text.get(..text.floor_char_boundary(MAX_QUOTE)).unwrap_or(text);
    let name = if message.from_name.is_empty() {
        &message.from_email
    } else {
        &message.from_name
    };
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    let when = from_ms(message.received_at).format("%Y-%m-%d %H:%M UTC");
    let mut quote = format!("On {when}, {name} wrote:\n");
    for line in cut.lines() {
        quote.push_str(if line.starts_with('>') { ">" } else { "> " });
        quote.push_str(line.trim_end());
        quote.push('\n');
    }
    if cut.len() < text.len() {
        quote.push_str("> […]\n");
    }
    quote
}

/// The same account, whatever follows a + before the @.
fn is_same_account(own: &str, address: &str) -> bool {
    let plain = |address: &str| {
        let lower = address.to_lowercase();
        lower.rsplit_once('@').map(|(local, domain)| {
            let local = local.split('+').next().unwrap_or(local);
            format!("{local}@{domain}")
        })
    };
    plain(own) == plain(address)
}

/// Who else was on a mail.
fn others(message: &Message) -> Vec<Address> {
    let parsed = message::parsed(message);
    let mut all = Vec::new();
    for list in ["to", "cc"] {
        for item in parsed
            .get(list)
            .and_then(|list| list.as_array())
            .into_iter()
            .flatten()
        {
            let text = |name: &str| item.get(name).and_then(|text| text.as_str()).unwrap_or_default();
            let name: String = text("name")
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            // An address that cannot be written to is nobody to answer.
            if let Ok(address) = Address::new("cc", &name, text("email")) {
                all.push(address);
            }
        }
    }
    all
}

/// What keeps a mailbox from sending now: a grant that somebody has to renew.
async fn trouble(ctx: &Ctx, mailbox: &Mailbox) -> Result<Option<Trouble>, OutboxError> {
    let grant = match grant::get(ctx, &Projects::All, &mailbox.grant_id).await {
        Ok(grant) => grant,
        Err(grant::GrantError::Db(error)) => return Err(error.into()),
        Err(error) => return Ok(Some(error.trouble())),
    };
    Ok(match grant.state {
        GrantState::Active | GrantState::Expiring => None,
        GrantState::NeedsReauth => Some(grant.trouble.unwrap_or_else(|| {
            Trouble::new(
                "needs_reauth",
                "The grant of the mailbox is not valid any more.",
                "Somebody has to reconnect it.",
            )
        })),
        GrantState::Revoked => Some(Trouble::new(
            "grant_revoked",
            "The grant of the mailbox was revoked.",
            "Connect the mailbox again, or choose another grant in its settings.",
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_does_not_make_another_account() {
        assert!(is_same_account("help@x.example", "Help+mg1.abc@X.example"));
        assert!(!is_same_account("help@x.example", "help@y.example"));
    }
}
