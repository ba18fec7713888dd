//! The guard that every automatic mail must pass, so that two machines never answer each other and nobody is flooded.
//!
//! [`judge`] looks at the mail alone; [`allow`] judges and then takes a place in the stored limits, in the caller's
//! transaction: at most one answer per sender and day, ten per domain and hour. Whoever sends by itself asks [`allow`]
//! and gets a [`Pass`], or the reason to stay silent. What a person sends needs none.

use sea_orm::{ConnectionTrait, DbErr};

use super::loop_header::{LOOP_HEADER, LoopMarks};
use super::store::{self, Limit};
use crate::clock::Clock;
use crate::id;
use crate::message::{Kind, Outline};

const HOUR_MS: i64 = 3_600_000;

/// A mail that has passed more servers than this runs in circles.
const MAX_RECEIVED: usize = 30;

const PER_SENDER: Limit = Limit {
    scope: "sender",
    slots: 1,
    window_ms: 24 * HOUR_MS,
};
const PER_DOMAIN: Limit = Limit {
    scope: "domain",
    slots: 10,
    window_ms: HOUR_MS,
};
const PER_FORWARD: Limit = Limit {
    scope: "forward",
    slots: 100,
    window_ms: HOUR_MS,
};
const PER_NOTICE: Limit = Limit {
    scope: "notice",
    slots: 20,
    window_ms: HOUR_MS,
};
/// Apart from notices: a busy hour must not cost anybody the news that the desk is broken.
const PER_ALERT: Limit = Limit {
    scope: "alert",
    slots: 20,
    window_ms: HOUR_MS,
};

/// What sort of automatic mail it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer to whoever wrote: a rule's answer, an acknowledgement.
    Answer,
    /// A mail passed on to an address an admin chose.
    Forward,
    /// A message to people who work on tickets: what is new in them.
    Notice,
    /// A message to those who look after this installation: what needs them.
    Alert,
}

/// An automatic mail that somebody wants to send.
#[derive(Clone, Copy, Debug)]
pub struct Automatic<'a> {
    /// What sort it is.
    pub purpose: Purpose,
    /// Whom it would go to.
    pub to: &'a str,
    /// The mail it is about; none for a notice about something else.
    pub about: Option<&'a Outline>,
    /// Whether a mark of ours stands anywhere in that mail (see [`LoopMarks::is_in`]).
    pub has_own_mark: bool,
}

/// Why no automatic mail goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no address to send to.
    NoAddress,
    /// It would go to an address that is read here, or came from one.
    Own,
    /// The mail carries the mark of something sent automatically.
    Marked,
    /// It has passed too many servers.
    TooManyHops,
    /// Its envelope sender is empty: a report, which nobody answers (RFC 3834).
    NullReturnPath,
    /// It says that no person submitted it.
    AutoSubmitted,
    /// It came through a mailing list.
    MailingList,
    /// It calls itself bulk.
    Bulk,
    /// Its sender asks for no automatic answers.
    AskedNot,
    /// It was recognised as automatic.
    Automated(Kind),
    /// Its sender is a program by its name.
    Machine,
    /// This sender had an answer within the last day.
    SenderLimit,
    /// This domain had ten answers within the last hour.
    DomainLimit,
    /// This address had too many mails within the last hour.
    AddressLimit,
}

impl Refusal {
    /// The code in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::Own => "own_address",
            Self::Marked => "loop_header",
            Self::TooManyHops => "too_many_hops",
            Self::NullReturnPath => "null_return_path",
            Self::AutoSubmitted => "auto_submitted",
            Self::MailingList => "mailing_list",
            Self::Bulk => "bulk",
            Self::AskedNot => "asked_not_to",
            Self::Automated(_) => "automated",
            Self::Machine => "machine_sender",
            Self::SenderLimit => "sender_limit",
            Self::DomainLimit => "domain_limit",
            Self::AddressLimit => "address_limit",
        }
    }

    /// The reason in a sentence.
    pub fn sentence(self) -> String {
        let text = match self {
            Self::NoAddress => "The mail names no address to send to.",
            Self::Own => "The address is one of our own.",
            Self::Marked => "The mail carries the mark of a mail that was sent automatically.",
            Self::TooManyHops => "The mail has passed more than 30 servers: it runs in circles.",
            Self::NullReturnPath => "The mail has an empty return path: nobody answers such mail.",
            Self::AutoSubmitted => "The mail says that no person sent it (Auto-Submitted).",
            Self::MailingList => "The mail came through a mailing list.",
            Self::Bulk => "The mail calls itself bulk (Precedence).",
            Self::AskedNot => "The sender asks for no automatic answers (X-Auto-Response-Suppress).",
            Self::Automated(kind) => {
                return format!("The mail was recognised as automatic ({}).", kind.as_str());
            }
            Self::Machine => "The sender's name is that of a program.",
            Self::SenderLimit => "This sender had an automatic answer within the last 24 hours.",
            Self::DomainLimit => "The sender's domain had ten automatic answers within the last hour.",
            Self::AddressLimit => "This address had too many automatic mails within the last hour.",
        };
        text.to_owned()
    }
}

/// The permission to send one automatic mail. Only [`allow`] makes one.
#[derive(Clone, Debug)]
pub struct Pass {
    mark: String,
    purpose: Purpose,
    may_quote: bool,
}

impl Pass {
    /// The header fields the mail must carry, beside those of RFC 3834 that every automatic mail has.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![(LOOP_HEADER, self.mark.clone())];
        if self.purpose == Purpose::Answer {
            fields.push(("Precedence", "bulk".to_owned()));
        }
        fields
    }

    /// Whether subject or text of the mail may be repeated. Whoever is not verified may be anybody, and would have us
    /// carry their words to a stranger.
    pub fn may_quote(&self) -> bool {
        self.may_quote
    }
}

/// Judges an automatic mail and takes a place in the limits, in the caller's transaction: if that is rolled back, the
/// place is free again.
pub async fn allow<C: ConnectionTrait>(
    on: &C,
    clock: &Clock,
    marks: &LoopMarks,
    mail: &Automatic<'_>,
) -> Result<Result<Pass, Refusal>, DbErr> {
    let own = store::own_addresses(on).await?;
    if let Err(refusal) = judge(mail, &own) {
        return Ok(Err(refusal));
    }
    if let Err(refusal) = take_place(on, clock.now_ms(), mail).await? {
        return Ok(Err(refusal));
    }
    Ok(Ok(Pass {
        mark: marks.sign(&id::new("aut", clock)),
        purpose: mail.purpose,
        may_quote: mail.about.is_some_and(Outline::is_verified),
    }))
}

async fn take_place<C: ConnectionTrait>(
    on: &C,
    now: i64,
    mail: &Automatic<'_>,
) -> Result<Result<(), Refusal>, DbErr> {
    let to = plain(mail.to);
    let limit = match mail.purpose {
        Purpose::Answer => &PER_SENDER,
        Purpose::Forward => &PER_FORWARD,
        Purpose::Notice => &PER_NOTICE,
        Purpose::Alert => &PER_ALERT,
    };
    let Some(slot) = store::take_slot(on, limit, &to, now).await? else {
        return Ok(Err(match mail.purpose {
            Purpose::Answer => Refusal::SenderLimit,
            Purpose::Forward | Purpose::Notice | Purpose::Alert => Refusal::AddressLimit,
        }));
    };
    let domain = to.rsplit_once('@').map_or("", |(_, domain)| domain);
    if mail.purpose == Purpose::Answer && store::take_slot(on, &PER_DOMAIN, domain, now).await?.is_none() {
        // Nothing was sent: the sender's place is not used up.
        store::give_slot_back(on, limit, &to, slot).await?;
        return Ok(Err(Refusal::DomainLimit));
    }
    Ok(Ok(()))
}

/// Forgets what holds nobody back any more.
pub async fn tidy_up<C: ConnectionTrait>(on: &C, now: i64) -> Result<(), DbErr> {
    store::forget_slots(on, now - 25 * HOUR_MS).await
}

/// Judges by the mail alone. `own` are the addresses that are read here, lower case.
///
/// # Errors
/// The reason to stay silent.
pub fn judge(mail: &Automatic<'_>, own: &[String]) -> Result<(), Refusal> {
    let to = plain(mail.to);
    if !to.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains(|c: char| c.is_alphanumeric()) && !domain.contains('@')
    }) || to.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, ',' | '<' | '>'))
    {
        return Err(Refusal::NoAddress);
    }
    let is_own = |address: &str| own.iter().any(|own| plain(own) == plain(address));
    if is_own(&to) {
        return Err(Refusal::Own);
    }
    let Some(about) = mail.about else {
        return Ok(());
    };
    if mail.has_own_mark || about.values(LOOP_HEADER).next().is_some() {
        return Err(Refusal::Marked);
    }
    if about.received > MAX_RECEIVED {
        return Err(Refusal::TooManyHops);
    }
    match mail.purpose {
        Purpose::Answer if is_own(&about.sender) => Err(Refusal::Own),
        Purpose::Answer => may_be_answered(about, &to),
        Purpose::Forward | Purpose::Notice | Purpose::Alert => Ok(()),
    }
}

fn may_be_answered(about: &Outline, to: &str) -> Result<(), Refusal> {
    let lower = |name: &str| about.values(name).map(str::to_lowercase).collect::<Vec<_>>();
    if about
        .values("Return-Path")
        .any(|value| matches!(value.trim(), "" | "<>"))
    {
        return Err(Refusal::NullReturnPath);
    }
    if lower("Auto-Submitted")
        .iter()
        .any(|value| first_word(value) != "no")
    {
        return Err(Refusal::AutoSubmitted);
    }
    if about.fields.iter().any(|field| is_of_a_list(&field.name)) {
        return Err(Refusal::MailingList);
    }
    if let Some(value) = lower("Precedence").first() {
        match first_word(value) {
            "list" => return Err(Refusal::MailingList),
            "bulk" | "junk" | "auto_reply" | "auto-reply" => return Err(Refusal::Bulk),
            _ => {}
        }
    }
    let suppress = lower("X-Auto-Response-Suppress").join(",");
    if suppress
        .split(',')
        .any(|word| matches!(word.trim(), "all" | "oof" | "autoreply"))
    {
        return Err(Refusal::AskedNot);
    }
    let tells = ["X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Loop"];
    if tells.iter().any(|name| about.values(name).next().is_some()) {
        return Err(Refusal::AutoSubmitted);
    }
    if about.kind != Kind::Person {
        return Err(Refusal::Automated(about.kind));
    }
    if is_machine(to) || is_machine(&about.sender) {
        return Err(Refusal::Machine);
    }
    Ok(())
}

/// The value without parameters and comments (RFC 3834, section 5: `auto-replied; owner-email=…`).
fn first_word(value: &str) -> &str {
    value
        .split([';', '(', ' ', '\t'])
        .find(|word| !word.is_empty())
        .unwrap_or_default()
}

fn is_of_a_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("list-") || name == "mailing-list" || name == "x-mailing-list"
}

/// Whether a local part is one that programs write from.
fn is_machine(address: &str) -> bool {
    let local = address.split('@').next().unwrap_or_default().to_lowercase();
    let squeezed: String = local.chars().filter(|c| c.is_alphanumeric()).collect();
    const NAMES: [&str; 10] = [
        "mailerdaemon",
        "postmaster",
        "daemon",
        "nobody",
        "root",
        "listserv",
        "majordomo",
        "mdaemon",
        "autoresponder",
        "autoreply",
    ];
    NAMES.contains(&squeezed.as_str())
        || ["noreply", "donotreply", "mailerdaemon"]
            .iter()
            .any(|name| squeezed.starts_with(name) || squeezed.ends_with(name))
        || ["bounce-", "bounces-", "bounce+", "bounces+", "owner-", "prvs="]
            .iter()
            .any(|start| local.starts_with(start))
        || matches!(local.as_str(), "bounce" | "bounces")
        || ["-request", "-owner", "-bounces", "-bounce"]
            .iter()
            .any(|end| local.ends_with(end))
}

/// An address without case and without its tag: `Ada+x@Example.test` is `ada@example.test`.
fn plain(address: &str) -> String {
    let lower = address.trim().to_lowercase();
    match lower.rsplit_once('@') {
        Some((local, domain)) => {
            let local = local
                .split('+')
                .next()
                .filter(|kept| !kept.is_empty())
                .unwrap_or(local);
            format!("{local}@{domain}")
        }
        None => lower,
    }
}

#[cfg(test)]
mod tests;
