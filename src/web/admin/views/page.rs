//! What every page gets: title, navigation, who is signed in, message after a redirect, token, theme.

use serde::Serialize;

use crate::render::asset_version;

/// The frame around a page's content.
///
/// Forms of the frame: `POST /sign-out` (no fields), `POST /theme` (`theme` = `auto`, `light` or `dark`; `back` =
/// the local path to return to).
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// Title of the document and, in most pages, its heading.
    pub title: String,
    /// The entry of the navigation that is marked as current.
    pub section: Section,
    /// Who is signed in. None draws the page without navigation.
    pub user: Option<UserName>,
    /// What happened before the redirect that led here.
    pub flash: Option<Flash>,
    /// The session's token against cross-site request forgery, sent as `csrf` by every form.
    pub csrf: String,
    /// Names the forms of this page as they are now, so that each is sent once where that matters.
    pub form_id: String,
    /// Changes with the static files; part of their addresses.
    pub assets: String,
    /// The look the user chose.
    pub theme: Theme,
    /// What precedes every path, without a trailing slash; empty unless a proxy serves Mailgrant below a path.
    pub base: String,
    /// The current local path, to which the theme form returns.
    pub path: String,
    /// Shows that this is the demo, where everything is temporary.
    pub demo: bool,
    /// How many things need attention; shown beside *Dashboard* when not zero.
    pub attention: u64,
    /// Mailgrant's version.
    pub version: String,
    /// What whoever looks may do, so that nothing is offered that would be refused.
    pub may: May,
    /// The highest role they have anywhere, for the navigation: `viewer`, `agent`, `project_admin`, `site_admin` or empty.
    pub role: &'static str,
    /// The role they have in the project that the page is about, for its links and buttons; else as `role`.
    pub here: &'static str,
}

/// What somebody may do, for navigation and buttons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct May {
    /// See tickets, mailboxes and projects.
    pub read: bool,
    /// Manage a project: its mailboxes, and the grants they use.
    pub manage: bool,
    /// Manage the site.
    pub site: bool,
}

impl Page {
    /// A page for nobody, without message: fill in what applies.
    #[must_use]
    pub fn new(title: impl Into<String>, section: Section) -> Self {
        Self {
            title: title.into(),
            section,
            user: None,
            flash: None,
            csrf: String::new(),
            form_id: String::new(),
            assets: asset_version().to_owned(),
            theme: Theme::Auto,
            base: String::new(),
            path: "/".to_owned(),
            demo: false,
            attention: 0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            may: May::default(),
            role: "",
            here: "",
        }
    }

    /// An example of a page for someone who is signed in.
    #[must_use]
    pub fn sample(title: &str, section: Section) -> Self {
        Self {
            user: Some(UserName {
                name: "Ada Lovelace".to_owned(),
                email: "ada@example.org".to_owned(),
            }),
            csrf: "c5rf-t0ken".to_owned(),
            may: May {
                read: true,
                manage: true,
                site: true,
            },
            role: "site_admin",
            here: "site_admin",
            ..Self::new(title, section)
        }
    }

    /// The same page below what precedes every path.
    #[must_use]
    pub fn at(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    /// The same page with a message.
    #[must_use]
    pub fn with_flash(mut self, kind: FlashKind, text: impl Into<String>) -> Self {
        self.flash = Some(Flash {
            kind,
            text: text.into(),
        });
        self
    }
}

/// The person shown in the corner.
#[derive(Debug, Clone, Serialize)]
pub struct UserName {
    /// Display name.
    pub name: String,
    /// The address they sign in with.
    pub email: String,
}

/// A message that is shown once.
#[derive(Debug, Clone, Serialize)]
pub struct Flash {
    /// How it went.
    pub kind: FlashKind,
    /// One or two sentences.
    pub text: String,
}

/// How the action before a redirect went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlashKind {
    /// It worked.
    Ok,
    /// It worked, but look at this.
    Warn,
    /// It did not work; nothing changed.
    Error,
    /// For information.
    Info,
}

/// The parts of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// `/`
    Dashboard,
    /// `/integrations`
    Integrations,
    /// `/grants`
    Grants,
    /// `/mailboxes`
    Mailboxes,
    /// `/projects`
    Projects,
    /// `/tickets`
    Tickets,
    /// `/outgoing`
    Outgoing,
    /// `/rules`
    Rules,
    /// `/quarantine`
    Quarantine,
    /// `/search`
    Search,
    /// `/audit`
    Audit,
    /// `/clients`
    Clients,
    /// `/webhooks`
    Webhooks,
    /// `/queues`
    Queues,
    /// `/events`
    Events,
    /// `/settings`
    Settings,
    /// `/profile`
    Profile,
    /// `/users`
    Users,
    /// `/tokens`
    Tokens,
    /// A page outside the navigation.
    None,
}

/// The look: as the device says, or as chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the device says.
    Auto,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// Reads the value of the cookie or the form; anything unknown is [`Theme::Auto`].
    #[must_use]
    pub fn from_value(value: &str) -> Self {
        match value {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// The value for the cookie and the form.
    #[must_use]
    pub fn as_value(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}
