//! Tickets and their entries.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, Download, Pager, Tone, When};
use crate::render::View;

/// `GET /tickets?q=&state=&project=&after=`.
///
/// Form: `GET /tickets` with `q`, `state` (empty, `open`, `pending`, `closed`), `project` (empty or an id).
#[derive(Debug, Serialize)]
pub struct TicketList {
    /// The frame.
    pub page: Page,
    /// What is searched for.
    pub q: String,
    /// State filter; the first choice is "All".
    pub states: Vec<Choice>,
    /// Project filter; the first choice is "All".
    pub projects: Vec<Choice>,
    /// Whether anything is searched or filtered: then an empty list means "nothing found".
    pub filtered: bool,
    /// Whether any mailbox is connected: an empty list offers to connect one otherwise.
    pub has_mailbox: bool,
    /// One page of tickets, newest change first.
    pub tickets: Vec<TicketRow>,
    /// Neighbouring pages.
    pub pager: Pager,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct TicketRow {
    /// `HELP-42`
    pub key: String,
    /// Subject.
    pub subject: String,
    /// Who wrote: name, or address.
    pub requester: String,
    /// Open, pending, closed.
    pub state: Badge,
    /// How many entries it has.
    pub entries: u64,
    /// When it changed last.
    pub updated: When,
}

impl TicketRow {
    /// An example.
    #[must_use]
    pub fn sample(key: &str, subject: &str) -> Self {
        Self {
            key: key.to_owned(),
            subject: subject.to_owned(),
            requester: "Grace Hopper".to_owned(),
            state: Badge::new(Tone::Info, "Open"),
            entries: 3,
            updated: When::sample("4 minutes ago"),
        }
    }
}

impl View for TicketList {
    const TEMPLATE: &'static str = "admin/tickets.html";

    fn samples() -> Vec<Self> {
        let list = |filtered, has_mailbox, tickets, pager| Self {
            page: Page::sample("Tickets", Section::Tickets),
            q: if filtered {
                "printer".to_owned()
            } else {
                String::new()
            },
            states: vec![
                Choice::new("", "All states", true),
                Choice::new("open", "Open", false),
                Choice::new("pending", "Pending", false),
                Choice::new("closed", "Closed", false),
            ],
            projects: vec![
                Choice::new("", "All projects", true),
                Choice::new("prj_01", "HELP Helpdesk", false),
            ],
            filtered,
            has_mailbox,
            tickets,
            pager,
        };
        let mut closed = TicketRow::sample("HELP-40", "Invoice");
        closed.state = Badge::new(Tone::Muted, "Closed");
        let rows = vec![
            TicketRow::sample("HELP-42", "Printer on floor 3 is on fire again"),
            TicketRow::sample("HELP-41", "請求書の件について"),
            closed,
        ];
        let pager = Pager {
            first: Some("/tickets".to_owned()),
            next: Some("/tickets?after=abc&state=open".to_owned()),
            text: "51–100 of 1,284".to_owned(),
        };
        vec![
            list(false, false, vec![], Pager::default()),
            list(false, true, vec![], Pager::default()),
            list(true, true, vec![], Pager::default()),
            list(false, true, rows, pager),
        ]
    }
}

/// `GET /tickets/{key}`.
///
/// Links per entry: `/messages/{id}/html` (sanitised, in a sandboxed frame), `/messages/{id}/raw`, attachments.
#[derive(Debug, Serialize)]
pub struct TicketDetail {
    /// The frame; its title is key and subject.
    pub page: Page,
    /// `HELP-42`
    pub key: String,
    /// Subject.
    pub subject: String,
    /// Open, pending, closed.
    pub state: Badge,
    /// Name and address of the requester, project, mailbox, when it was opened.
    pub facts: Vec<Fact>,
    /// The conversation, oldest first.
    pub entries: Vec<EntryView>,
    /// Tickets it is linked with.
    pub related: Vec<RelatedRow>,
    /// Keys of the tickets that were merged into it.
    pub merged: Vec<String>,
    /// Whether whoever looks may merge it into another.
    pub may_merge: bool,
}

/// A ticket that another one is linked with.
#[derive(Debug, Clone, Serialize)]
pub struct RelatedRow {
    /// `HELP-40`
    pub key: String,
    /// Subject.
    pub subject: String,
    /// Open, pending, closed.
    pub state: Badge,
    /// How they are linked: "Possibly related".
    pub kind: String,
}

/// One message, reply or note.
#[derive(Debug, Clone, Serialize)]
pub struct EntryView {
    /// `ent_…`, also the anchor.
    pub id: String,
    /// `message`, `reply` or `note`.
    pub kind: String,
    /// Author's name, or address if they gave none.
    pub author: String,
    /// One or two letters for the round sign.
    pub initials: String,
    /// Author's address.
    pub email: String,
    /// When it was written.
    pub when: When,
    /// From, To, Cc, Date, Subject as they were in the mail.
    pub headers: Vec<Fact>,
    /// What the classification says: "Auto-reply", "Bounce", "Could not be parsed". Often empty.
    pub badges: Vec<Badge>,
    /// The new text.
    pub text: String,
    /// What was quoted below, or empty.
    pub quoted: String,
    /// Path of the sanitised HTML, if the message has any.
    pub html_href: Option<String>,
    /// The page that says how it came here.
    pub explain_href: Option<String>,
    /// Path of the raw mail, if there is one.
    pub raw_href: Option<String>,
    /// Attachments.
    pub attachments: Vec<Download>,
}

impl View for TicketDetail {
    const TEMPLATE: &'static str = "admin/ticket.html";

    fn samples() -> Vec<Self> {
        let entry = |id: &str, author: &str, text: &str| EntryView {
            id: id.to_owned(),
            kind: "message".to_owned(),
            author: author.to_owned(),
            initials: author.chars().take(1).collect(),
            email: "grace@example.com".to_owned(),
            when: When::sample("4 minutes ago"),
            headers: vec![
                Fact::new("From", "Grace Hopper <grace@example.com>"),
                Fact::new("To", "help@example.org"),
                Fact::new("Date", "Mon, 23 Nov 2026 01:25:00 +0000"),
                Fact::new("Message-ID", "<a1@example.com>"),
            ],
            badges: vec![],
            text: text.to_owned(),
            quoted: String::new(),
            html_href: None,
            explain_href: None,
            raw_href: Some("/messages/msg_01/raw".to_owned()),
            attachments: vec![],
        };
        let mut second = entry("ent_02", "Grace Hopper", "It works again, thanks.\n\nGrace");
        second.quoted = "> Have you tried water?\n> Ada".to_owned();
        second.html_href = Some("/messages/msg_02/html".to_owned());
        second.attachments = vec![Download {
            name: "log.txt".to_owned(),
            kind: "text/plain".to_owned(),
            size: "9.1 kB".to_owned(),
            href: "/messages/msg_02/attachments/3".to_owned(),
        }];
        let mut third = entry("ent_03", "mailer-daemon@example.com", "");
        third.badges = vec![
            Badge::new(Tone::Warn, "Bounce"),
            Badge::new(Tone::Bad, "Could not be parsed"),
        ];
        third.kind = "note".to_owned();
        third.raw_href = None;
        let detail = |entries: Vec<EntryView>| Self {
            related: if entries.is_empty() {
                vec![]
            } else {
                vec![RelatedRow {
                    key: "HELP-40".to_owned(),
                    subject: "Printer".to_owned(),
                    state: Badge::new(Tone::Muted, "Closed"),
                    kind: "Possibly related".to_owned(),
                }]
            },
            merged: vec!["HELP-39".to_owned()],
            may_merge: !entries.is_empty(),
            page: Page::sample("HELP-42 Printer on floor 3 is on fire again", Section::Tickets),
            key: "HELP-42".to_owned(),
            subject: "Printer on floor 3 is on fire again".to_owned(),
            state: Badge::new(Tone::Info, "Open"),
            facts: vec![
                Fact::new("Requester", "Grace Hopper"),
                Fact::exact("Address", "grace@example.com"),
                Fact::new("Project", "HELP Helpdesk"),
                Fact::new("Opened", "2026-11-23 01:25 UTC"),
            ],
            entries,
        };
        vec![
            detail(vec![]),
            detail(vec![
                entry(
                    "ent_01",
                    "Grace Hopper",
                    "The printer on floor 3 is on fire.\nAgain.\n\nPlease help.",
                ),
                second,
                third,
            ]),
        ]
    }
}
