//! Mailboxes: the mail accounts that are read.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::{Badge, Choice, FormErrors, Problem, TestRow, Tone, When};
use crate::render::View;

/// `GET /mailboxes`.
#[derive(Debug, Serialize)]
pub struct MailboxList {
    /// The frame.
    pub page: Page,
    /// All mailboxes, by name.
    pub mailboxes: Vec<MailboxRow>,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct MailboxRow {
    /// `mbx_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// The login name.
    pub address: String,
    /// `HELP`
    pub project: String,
    /// Its state.
    pub state: Badge,
    /// When the last mail came.
    pub last_mail: Option<When>,
    /// When it looks again; None while it is paused or waits by IDLE.
    pub next_poll: Option<When>,
}

impl View for MailboxList {
    const TEMPLATE: &'static str = "admin/mailboxes.html";

    fn samples() -> Vec<Self> {
        let row = |id: &str, name: &str, tone, word: &str, last: Option<&str>| MailboxRow {
            id: id.to_owned(),
            name: name.to_owned(),
            address: "help@example.org".to_owned(),
            project: "HELP".to_owned(),
            state: Badge::new(tone, word),
            last_mail: last.map(When::sample),
            next_poll: None,
        };
        let page = || Page::sample("Mailboxes", Section::Mailboxes);
        vec![
            Self {
                page: page(),
                mailboxes: vec![],
            },
            Self {
                page: page(),
                mailboxes: vec![
                    row(
                        "mbx_01",
                        "Support",
                        Tone::Bad,
                        "Needs you",
                        Some("12 minutes ago"),
                    ),
                    row(
                        "mbx_02",
                        "Sales",
                        Tone::Ok,
                        "Waiting for mail",
                        Some("4 minutes ago"),
                    ),
                    row("mbx_03", "Archive", Tone::Muted, "Paused", None),
                ],
            },
        ]
    }
}

/// `GET /mailboxes/new[?grant=…]` and `GET /mailboxes/{id}/edit`.
///
/// Form: `POST /mailboxes` or `POST /mailboxes/{id}` with `revision` (hidden), `name`, `project_id`, `grant_id`,
/// `host`, `port`, `tls` (`implicit`, `starttls`, `none`), `login_name`, `folder`, `start_from` (`now`, `unread`,
/// `all`, `date`), `start_date`, `after_ingest` (`leave`, `mark_seen`, `move`), `move_to`, `schedule` (cron, six
/// fields), `idle` (`true` or absent), `smtp_host` (empty: it does not send), `smtp_port`, `smtp_tls` (`implicit`,
/// `starttls`), `smtp_login_name`, `smtp_from`, `smtp_signed_replies`. The button is `action` = `save`, or `folders`, which asks the server for its
/// folders and shows the form again with `folders` filled; nothing is saved.
#[derive(Debug, Serialize)]
pub struct MailboxForm {
    /// The frame.
    pub page: Page,
    /// `mbx_…` when it exists.
    pub id: Option<String>,
    /// Where the form posts.
    pub action: String,
    /// The way back.
    pub back: String,
    /// What the fields hold.
    pub values: MailboxValues,
    /// Grants that can be used.
    pub grants: Vec<Choice>,
    /// Projects.
    pub projects: Vec<Choice>,
    /// TLS modes.
    pub tls_modes: Vec<Choice>,
    /// TLS modes for sending.
    pub smtp_tls_modes: Vec<Choice>,
    /// Where to start. Only for a mailbox that has read nothing yet; empty later.
    pub starts: Vec<Choice>,
    /// What to do with a mail afterwards.
    pub afters: Vec<Choice>,
    /// The server's folders, after they were asked for.
    pub folders: Vec<Choice>,
    /// The next runs of the schedule in words: "Next: 01:30:00, 01:35:00, 01:40:00 UTC". Empty when unknown.
    pub next_runs: String,
    /// What is wrong.
    pub errors: FormErrors,
}

/// What the fields of the mailbox form hold.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MailboxValues {
    /// Name.
    pub name: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: String,
    /// Login name: the mailbox's address, which may differ from the account that consented.
    pub login_name: String,
    /// Folder.
    pub folder: String,
    /// `YYYY-MM-DD` for `start_from` = `date`.
    pub start_date: String,
    /// Folder for `after_ingest` = `move`.
    pub move_to: String,
    /// Cron expression with six fields.
    pub schedule: String,
    /// Whether the server is asked to tell about new mail at once.
    pub idle: bool,
    /// Host of the server for sending; empty if the mailbox does not send.
    pub smtp_host: String,
    /// Its port.
    pub smtp_port: String,
    /// Account that signs in to send.
    pub smtp_login_name: String,
    /// Sender.
    pub smtp_from: String,
    /// Servers whose Authentication-Results are believed, with commas.
    pub trusted_authserv_ids: String,
    /// Whether answers are asked to a signed address.
    pub smtp_signed_replies: bool,
    /// Revision that was opened; empty for a new one.
    pub revision: String,
}

impl View for MailboxForm {
    const TEMPLATE: &'static str = "admin/mailbox_form.html";

    fn samples() -> Vec<Self> {
        let values = MailboxValues {
            name: "Support".to_owned(),
            host: "imap.example.org".to_owned(),
            port: "993".to_owned(),
            login_name: "help@example.org".to_owned(),
            folder: "INBOX".to_owned(),
            start_date: String::new(),
            move_to: "Done".to_owned(),
            schedule: "0 */5 * * * *".to_owned(),
            idle: true,
            smtp_host: "smtp.example.org".to_owned(),
            smtp_port: "465".to_owned(),
            smtp_login_name: "grace@example.org".to_owned(),
            smtp_from: "Help Desk <help@example.org>".to_owned(),
            trusted_authserv_ids: "mx.example.org".to_owned(),
            smtp_signed_replies: true,
            revision: "3".to_owned(),
        };
        let form = |values: MailboxValues, errors| Self {
            page: Page::sample("New mailbox", Section::Mailboxes),
            id: None,
            action: "/mailboxes".to_owned(),
            back: "/mailboxes".to_owned(),
            values,
            grants: vec![Choice::new("grt_01", "help@example.org (Google Workspace)", true)],
            projects: vec![Choice::new("prj_01", "HELP Helpdesk", true)],
            tls_modes: vec![
                Choice::new("implicit", "Implicit TLS (port 993)", true),
                Choice::new("starttls", "STARTTLS (port 143)", false),
                Choice::new("none", "None (loopback and allowed networks only)", false),
            ],
            smtp_tls_modes: vec![
                Choice::new("implicit", "Implicit TLS (port 465)", true),
                Choice::new("starttls", "STARTTLS (port 587)", false),
            ],
            starts: vec![
                Choice::new("now", "Mail that arrives from now on", true),
                Choice::new("unread", "Unread mail too", false).with_hint("312 mails today."),
                Choice::new("all", "Everything in the folder", false),
                Choice::new("date", "Everything since a date", false),
            ],
            afters: vec![
                Choice::new("leave", "Leave it untouched", true),
                Choice::new("mark_seen", "Mark it as read", false),
                Choice::new("move", "Move it to another folder", false),
            ],
            folders: vec![],
            next_runs: String::new(),
            errors,
        };
        let errors = FormErrors::default()
            .with("host", "imap.example.org resolves to a private address (10.0.0.5), which is not allowed. Add its network to MAILGRANT_ALLOW_NETWORKS if it is yours.")
            .with("schedule", "This expression never fires: there is no 31 February.");
        let mut edit = form(values.clone(), FormErrors::default());
        edit.page.title = "Edit Support".to_owned();
        edit.id = Some("mbx_01".to_owned());
        edit.action = "/mailboxes/mbx_01".to_owned();
        edit.back = "/mailboxes/mbx_01".to_owned();
        edit.starts.clear();
        edit.next_runs = "Next: 01:30:00, 01:35:00, 01:40:00 UTC".to_owned();
        edit.folders = vec![
            Choice::new("INBOX", "INBOX", true),
            Choice::new("INBOX/Facturación", "INBOX/Facturación", false),
        ];
        vec![
            form(MailboxValues::default(), FormErrors::default()),
            form(values, errors),
            edit,
        ]
    }
}

/// `GET /mailboxes/{id}`. Refreshes its status by itself where scripts run.
///
/// Forms, all without fields: `POST /mailboxes/{id}/tests`, `/poll`, `/pause`, `/resume`. Links: `/edit`, `/delete`.
#[derive(Debug, Serialize)]
pub struct MailboxDetail {
    /// The frame; its title is the mailbox's name.
    pub page: Page,
    /// `mbx_…`
    pub id: String,
    /// The login name.
    pub address: String,
    /// Its state.
    pub state: Badge,
    /// What it does right now, in one sentence: "Waiting by IDLE; renews in 4 minutes."
    pub activity: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it cannot read.
    pub problem: Option<Problem>,
    /// Last mail, last look, next look, mails today.
    pub tiles: Vec<Fact>,
    /// Where the reading stands: folder, UIDVALIDITY, UID, since when, how much is behind.
    pub cursor: Vec<Fact>,
    /// Its settings.
    pub facts: Vec<Fact>,
    /// The grant's page and account.
    pub grant_href: String,
    /// The account.
    pub grant: String,
    /// The project's page.
    pub project_href: String,
    /// Its key.
    pub project: String,
    /// The last 50 outcomes, newest first.
    pub outcomes: Vec<Outcome>,
    /// Earlier tests, newest first.
    pub tests: Vec<TestRow>,
}

/// What became of one mail.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// When.
    pub when: When,
    /// UID in its folder.
    pub uid: u64,
    /// "Ticket opened", "Joined", "Duplicate", "Placeholder", "Failed".
    pub state: Badge,
    /// Subject.
    pub subject: String,
    /// From.
    pub from: String,
    /// `HELP-42`, if there is a ticket.
    pub ticket: Option<String>,
    /// Why, if not plain.
    pub reason: String,
}

impl View for MailboxDetail {
    const TEMPLATE: &'static str = "admin/mailbox.html";

    fn samples() -> Vec<Self> {
        let outcome = |uid, tone, word: &str, subject: &str, ticket: Option<&str>, reason: &str| Outcome {
            when: When::sample("4 minutes ago"),
            uid,
            state: Badge::new(tone, word),
            subject: subject.to_owned(),
            from: "Grace Hopper".to_owned(),
            ticket: ticket.map(str::to_owned),
            reason: reason.to_owned(),
        };
        let detail = |state, problem, outcomes, tests| Self {
            page: Page::sample("Support", Section::Mailboxes),
            id: "mbx_01".to_owned(),
            address: "help@example.org".to_owned(),
            state,
            activity: "Waiting by IDLE; renews in 4 minutes.".to_owned(),
            paused: false,
            problem,
            tiles: vec![
                Fact::new("Last mail", "4 minutes ago"),
                Fact::new("Last looked", "20 seconds ago"),
                Fact::new("Looks again", "in 4 minutes"),
                Fact::new("Mail today", "131"),
            ],
            cursor: vec![
                Fact::exact("Folder", "INBOX"),
                Fact::exact("UIDVALIDITY", "7"),
                Fact::exact("Read up to UID", "1838"),
                Fact::new("Waiting on the server", "0"),
            ],
            facts: vec![
                Fact::exact("Server", "imap.example.org:993, implicit TLS"),
                Fact::exact("Login name", "help@example.org"),
                Fact::exact("Schedule", "0 */5 * * * *, and IDLE"),
                Fact::new("Started from", "Mail that arrived after 2026-11-11 08:00 UTC"),
                Fact::new("Afterwards", "Left untouched"),
            ],
            grant_href: "/grants/grt_01".to_owned(),
            grant: "help@example.org".to_owned(),
            project_href: "/projects/prj_01".to_owned(),
            project: "HELP".to_owned(),
            outcomes,
            tests,
        };
        let mut paused = detail(Badge::new(Tone::Muted, "Paused"), None, vec![], vec![]);
        paused.paused = true;
        let outcomes = vec![
            outcome(
                1838,
                Tone::Ok,
                "Ticket opened",
                "Printer on floor 3 is on fire again",
                Some("HELP-42"),
                "",
            ),
            outcome(1837, Tone::Ok, "Joined", "Re: Invoice", Some("HELP-40"), ""),
            outcome(
                1836,
                Tone::Muted,
                "Duplicate",
                "Invoice",
                Some("HELP-40"),
                "Same bytes as UID 1835",
            ),
            outcome(
                1835,
                Tone::Warn,
                "Placeholder",
                "",
                Some("HELP-39"),
                "More than 1,000 nested parts; the raw mail is attached",
            ),
        ];
        vec![
            paused,
            detail(
                Badge::new(Tone::Ok, "Waiting for mail"),
                None,
                outcomes.clone(),
                TestRow::samples(),
            ),
            detail(
                Badge::new(Tone::Bad, "Needs you"),
                Some(Problem::sample()),
                outcomes,
                TestRow::samples(),
            ),
        ]
    }
}
