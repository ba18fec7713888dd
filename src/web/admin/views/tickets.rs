//! Tickets and their entries.

use serde::Serialize;

use super::answer::{AnswerBox, Sending};
use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Action, Badge, Choice, Download, FormErrors, Pager, Tone, When};
use crate::render::View;

/// `GET /tickets?q=&state=&project=&assignee=&label=&priority=&mailbox=&sort=&after=`.
///
/// Forms: `GET /tickets` with these fields (but `after`); `POST /tickets/bulk` with `ticket` (ids, as often as ticked),
/// `state` and `back`.
#[derive(Debug, Serialize)]
pub struct TicketList {
    /// The frame.
    pub page: Page,
    /// What is searched for.
    pub q: String,
    /// What could not be understood of it.
    pub notes: Vec<String>,
    /// The states with their counts, and all of them.
    pub tabs: Vec<Tab>,
    /// The state shown; kept by the filter form.
    pub state: String,
    /// Project filter; the first choice is "All".
    pub projects: Vec<Choice>,
    /// Assignee filter; the first choice is "Anybody".
    pub assignees: Vec<Choice>,
    /// Label filter; the first choice is "Any".
    pub labels: Vec<Choice>,
    /// Priority filter; the first choice is "Any".
    pub priorities: Vec<Choice>,
    /// Mailbox filter; the first choice is "Any".
    pub mailboxes: Vec<Choice>,
    /// The orders.
    pub sorts: Vec<Choice>,
    /// Whether a filter of the second row is set, which is open then.
    pub more: bool,
    /// Whether anything is searched or filtered: then an empty list means "nothing found".
    pub filtered: bool,
    /// Whether any mailbox is connected: an empty list offers to connect one otherwise.
    pub has_mailbox: bool,
    /// Whether they may open and change tickets.
    pub may_write: bool,
    /// Where the same question is asked of messages.
    pub messages_href: String,
    /// One page of tickets.
    pub tickets: Vec<TicketRow>,
    /// Neighbouring pages.
    pub pager: Pager,
}

/// A way to a part of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Tab {
    /// The words on it.
    pub label: String,
    /// How many are there: "12", "1,000+".
    pub count: String,
    /// Local path.
    pub href: String,
    /// Whether it is shown now.
    pub selected: bool,
}

impl Tab {
    /// An example.
    #[must_use]
    pub fn sample(label: &str, count: &str, selected: bool) -> Self {
        Self {
            label: label.to_owned(),
            count: count.to_owned(),
            href: "/tickets?state=open".to_owned(),
            selected,
        }
    }
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct TicketRow {
    /// `tkt_…`
    pub id: String,
    /// `HELP-42`
    pub key: String,
    /// Subject.
    pub subject: String,
    /// Who wrote: name, or address.
    pub requester: String,
    /// Open, pending, closed.
    pub state: Badge,
    /// High, urgent; none for the others.
    pub priority: Option<Badge>,
    /// Who works on it, or empty.
    pub assignee: String,
    /// Its labels.
    pub labels: Vec<String>,
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
            id: "tkt_01".to_owned(),
            key: key.to_owned(),
            subject: subject.to_owned(),
            requester: "Grace Hopper".to_owned(),
            state: Badge::new(Tone::Info, "Open"),
            priority: None,
            assignee: String::new(),
            labels: vec![],
            entries: 3,
            updated: When::sample("4 minutes ago"),
        }
    }
}

impl View for TicketList {
    const TEMPLATE: &'static str = "admin/tickets.html";

    fn samples() -> Vec<Self> {
        let any = |word: &str| vec![Choice::new("", word, true), Choice::new("x", "Something", false)];
        let list = |filtered, has_mailbox, tickets, pager| Self {
            page: Page::sample("Tickets", Section::Tickets),
            q: if filtered { "printer" } else { "" }.to_owned(),
            notes: if filtered {
                vec!["“is:odd” was left out.".to_owned()]
            } else {
                vec![]
            },
            tabs: vec![
                Tab::sample("Open", "12", true),
                Tab::sample("All", "1,000+", false),
            ],
            state: "open".to_owned(),
            projects: any("All projects"),
            assignees: any("Anybody"),
            labels: any("Any label"),
            priorities: any("Any priority"),
            mailboxes: any("Any mailbox"),
            sorts: any("Latest change"),
            more: filtered,
            filtered,
            has_mailbox,
            may_write: has_mailbox,
            messages_href: "/search?q=printer".to_owned(),
            tickets,
            pager,
        };
        let mut closed = TicketRow::sample("HELP-40", "Invoice");
        closed.state = Badge::new(Tone::Muted, "Closed");
        closed.priority = Some(Badge::new(Tone::Bad, "Urgent"));
        closed.assignee = "Ada Lovelace".to_owned();
        closed.labels = vec!["vip".to_owned()];
        let rows = vec![
            TicketRow::sample("HELP-42", "Printer on floor 3 is on fire again"),
            TicketRow::sample("HELP-41", "請求書の件について"),
            closed,
        ];
        let pager = Pager {
            first: Some("/tickets".to_owned()),
            next: Some("/tickets?after=abc&state=open".to_owned()),
            text: "50 shown".to_owned(),
        };
        vec![
            list(false, false, vec![], Pager::default()),
            list(false, true, vec![], Pager::default()),
            list(true, true, vec![], Pager::default()),
            list(false, true, rows, pager),
        ]
    }
}

/// `GET /tickets/new`: a ticket by hand.
///
/// Form: `POST /tickets/new` with `project`, `subject`, `requester_name`, `requester_email`, `priority`, `text`.
#[derive(Debug, Serialize)]
pub struct TicketForm {
    /// The frame.
    pub page: Page,
    /// Projects they may work in.
    pub projects: Vec<Choice>,
    /// Priorities.
    pub priorities: Vec<Choice>,
    /// As typed.
    pub subject: String,
    /// As typed.
    pub requester_name: String,
    /// As typed.
    pub requester_email: String,
    /// As typed.
    pub text: String,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for TicketForm {
    const TEMPLATE: &'static str = "admin/ticket_form.html";

    fn samples() -> Vec<Self> {
        let form = |errors: FormErrors, projects: Vec<Choice>| Self {
            page: Page::sample("New ticket", Section::Tickets),
            projects,
            priorities: vec![Choice::new("normal", "Normal", true)],
            subject: "Printer".to_owned(),
            requester_name: String::new(),
            requester_email: "grace@example.com".to_owned(),
            text: "She called at nine.".to_owned(),
            errors,
        };
        let project = Choice::new("prj_01", "HELP Helpdesk", true);
        vec![
            form(FormErrors::default(), vec![project.clone()]),
            form(FormErrors::default(), vec![]),
            form(
                FormErrors::default().with("subject", "Give the ticket a subject."),
                vec![project],
            ),
        ]
    }
}

/// `GET /tickets/{key}`.
///
/// Links per entry: `/messages/{id}/html` (sanitised, in a sandboxed frame), `/messages/{id}/raw`, attachments.
/// Forms, for those who may: `POST /tickets/{key}` with any of `state`, `assignee`, `labels` (separated by commas),
/// `priority`, `subject`, each with `was_…`, what it was when the page was made; `POST /tickets/{key}/notes` with `text`;
/// the [`AnswerBox`].
/// For everybody: `POST /tickets/{key}/order` with `order`.
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
    /// High, urgent; none for the others.
    pub priority: Option<Badge>,
    /// Name and address of the requester, project, mailbox, when it was opened.
    pub facts: Vec<Fact>,
    /// Its labels, with the list of all tickets that have each.
    pub labels: Vec<Action>,
    /// What is wrong with a note that was refused.
    pub errors: FormErrors,
    /// The conversation, in the order that was chosen.
    pub entries: Vec<EntryView>,
    /// Tickets it is linked with.
    pub related: Vec<RelatedRow>,
    /// Keys of the tickets that were merged into it.
    pub merged: Vec<String>,
    /// Whether whoever looks may merge it into another.
    pub may_merge: bool,
    /// Whether the newest entry comes first.
    pub newest_first: bool,
    /// The forms; none for those who may only read.
    pub work: Option<Work>,
    /// Whether they may send and take back answers.
    pub may_answer: bool,
    /// The box for answers; none for those who may not answer.
    pub answer: Option<AnswerBox>,
    /// What happened to the ticket, the newest first.
    pub history: Vec<Happened>,
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

/// What the forms of a ticket hold.
#[derive(Debug, Clone, Serialize)]
pub struct Work {
    /// States.
    pub states: Vec<Choice>,
    /// People who may work in the project, and nobody.
    pub assignees: Vec<Choice>,
    /// Priorities.
    pub priorities: Vec<Choice>,
    /// The labels, separated by commas.
    pub labels: String,
    /// Labels in use, to choose from.
    pub known_labels: Vec<String>,
    /// The state it has.
    pub was_state: String,
    /// Who works on it now.
    pub was_assignee: String,
    /// The priority it has.
    pub was_priority: String,
    /// The id of whoever looks, if they are not the assignee.
    pub me: Option<String>,
    /// A note that was refused, to be corrected.
    pub note: String,
}

/// One line of a ticket's history.
#[derive(Debug, Clone, Serialize)]
pub struct Happened {
    /// How it looks.
    pub tone: Tone,
    /// One sentence.
    pub text: String,
    /// Who did it.
    pub by: String,
    /// When.
    pub when: When,
}

/// A stretch of a message by one hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    /// `reply`, `context` (quoted, but answered line by line), `quote`, `signature` or `forward`.
    pub kind: String,
    /// The text.
    pub text: String,
    /// How many lines it has.
    pub lines: usize,
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
    /// What the classification says: "Verified sender", "Auto-reply", "Could not be parsed". Often empty.
    pub badges: Vec<Badge>,
    /// The text, cut by whose words it holds; quotes and signatures are folded.
    pub blocks: Vec<Block>,
    /// Path of the sanitised HTML, if the message has any.
    pub html_href: Option<String>,
    /// The page that says how it came here.
    pub explain_href: Option<String>,
    /// Path of the raw mail, if there is one.
    pub raw_href: Option<String>,
    /// Attachments.
    pub attachments: Vec<Download>,
    /// What became of it, if it is an answer of ours.
    pub sending: Option<Sending>,
}

impl View for TicketDetail {
    const TEMPLATE: &'static str = "admin/ticket.html";

    fn samples() -> Vec<Self> {
        let block = |kind: &str, text: &str| Block {
            kind: kind.to_owned(),
            text: text.to_owned(),
            lines: text.lines().count(),
        };
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
            blocks: if text.is_empty() {
                vec![]
            } else {
                vec![block("reply", text)]
            },
            html_href: None,
            explain_href: None,
            raw_href: Some("/messages/msg_01/raw".to_owned()),
            attachments: vec![],
            sending: None,
        };
        let mut second = entry("ent_02", "Grace Hopper", "It works again, thanks.");
        second.badges = vec![Badge::new(Tone::Ok, "Verified sender")];
        second.blocks.push(block("signature", "Grace"));
        second
            .blocks
            .push(block("quote", "> Have you tried water?\n> Ada"));
        second.html_href = Some("/messages/msg_02/html".to_owned());
        second.attachments = vec![Download {
            name: "log.txt".to_owned(),
            kind: "text/plain".to_owned(),
            size: "9.1 kB".to_owned(),
            href: "/messages/msg_02/attachments/3".to_owned(),
            open_href: Some("/messages/msg_02/attached-mails/3".to_owned()),
        }];
        let mut third = entry("ent_03", "mailer-daemon@example.com", "");
        third.badges = vec![
            Badge::new(Tone::Warn, "Bounce"),
            Badge::new(Tone::Bad, "Could not be parsed"),
        ];
        third.kind = "note".to_owned();
        third.raw_href = None;
        let answers = Sending::samples().into_iter().map(|sending| {
            let mut answer = entry("ent_04", "Ada Lovelace", "Have you tried water?");
            answer.id = format!("ent_{}", sending.state.word.replace(' ', "-"));
            answer.kind = "reply".to_owned();
            answer.sending = Some(sending);
            answer
        });
        let answers: Vec<EntryView> = answers.collect();
        let work = Work {
            states: vec![Choice::new("open", "Open", true)],
            assignees: vec![Choice::new("", "Nobody", true)],
            priorities: vec![Choice::new("normal", "Normal", true)],
            labels: "vip, on site".to_owned(),
            known_labels: vec!["vip".to_owned()],
            was_state: "open".to_owned(),
            was_assignee: String::new(),
            was_priority: "normal".to_owned(),
            me: Some("usr_01".to_owned()),
            note: String::new(),
        };
        let detail = |entries: Vec<EntryView>, work: Option<Work>| Self {
            may_answer: work.is_some(),
            answer: work.as_ref().map(|work| {
                if work.was_state == "closed" {
                    AnswerBox::sample_closed()
                } else {
                    AnswerBox::sample()
                }
            }),
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
            errors: match &work {
                Some(work) if work.was_state == "closed" => {
                    FormErrors::default().with("text", "Write the note first.")
                }
                _ => FormErrors::default(),
            },
            page: Page::sample("HELP-42 Printer on floor 3 is on fire again", Section::Tickets),
            key: "HELP-42".to_owned(),
            subject: "Printer on floor 3 is on fire again".to_owned(),
            state: Badge::new(Tone::Info, "Open"),
            priority: Some(Badge::new(Tone::Bad, "Urgent")),
            facts: vec![
                Fact::new("Requester", "Grace Hopper"),
                Fact::exact("Address", "grace@example.com"),
                Fact::new("Project", "HELP Helpdesk"),
                Fact::new("Opened", "2026-11-23 01:25 UTC"),
            ],
            labels: vec![Action::link("vip", "/tickets?label=vip")],
            entries,
            newest_first: work.is_none(),
            history: vec![Happened {
                tone: Tone::Ok,
                text: "State: open → closed".to_owned(),
                by: "Ada Lovelace".to_owned(),
                when: When::sample("4 minutes ago"),
            }],
            work,
        };
        let mut closed = work.clone();
        closed.was_state = "closed".to_owned();
        vec![
            detail(vec![], None),
            detail(vec![], Some(closed)),
            detail(
                vec![
                    entry(
                        "ent_01",
                        "Grace Hopper",
                        "The printer on floor 3 is on fire.\nAgain.\n\nPlease help.",
                    ),
                    second,
                    third,
                ],
                Some(work.clone()),
            ),
            detail(answers, Some(work)),
        ]
    }
}
