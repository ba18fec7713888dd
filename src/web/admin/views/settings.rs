//! Settings: what this installation is. Read-only.

use serde::Serialize;

use super::integrations::Fact;
use super::outgoing::OutgoingRow;
use super::page::{Page, Section, Theme};
use super::parts::{Choice, FormErrors, Tone};
use crate::render::View;

/// `GET /settings`.
#[derive(Debug, Serialize)]
pub struct Settings {
    /// The frame.
    pub page: Page,
    /// Base URL, version, database, listening address, data directory.
    pub instance: Vec<Fact>,
    /// What is wrong with the base URL, or none.
    pub base_url_warning: Option<String>,
    /// Key ring: key id, where it comes from, rows sealed with older keys.
    pub keys: Vec<Fact>,
    /// Networks that outbound connections may reach although they are not public.
    pub allow_networks: Vec<String>,
}

impl Settings {
    /// The looks to choose from.
    #[must_use]
    pub fn themes(current: Theme) -> Vec<Choice> {
        [
            (
                Theme::Auto,
                "As the device",
                "Follows the light or dark setting of this device.",
            ),
            (Theme::Light, "Light", ""),
            (Theme::Dark, "Dark", ""),
        ]
        .into_iter()
        .map(|(theme, label, hint)| Choice::new(theme.as_value(), label, theme == current).with_hint(hint))
        .collect()
    }
}

impl View for Settings {
    const TEMPLATE: &'static str = "admin/settings.html";

    fn samples() -> Vec<Self> {
        let settings = |full: bool| Self {
            page: Page::sample("Settings", Section::Settings),
            instance: vec![
                Fact::exact("Base URL", "https://mailgrant.example.org"),
                Fact::exact("Version", "0.1.0"),
                Fact::exact("Database", "SQLite, 12 MB"),
                Fact::exact("Listens on", "127.0.0.1:8080"),
            ],
            base_url_warning: full.then(|| {
                "Your browser sees http://127.0.0.1:8080 instead. Providers will send people to the base URL."
                    .to_owned()
            }),
            keys: vec![
                Fact::exact("Key", "k1"),
                Fact::exact("Key file", "/var/lib/mailgrant/key, mode 0600"),
            ],
            allow_networks: if full {
                vec!["10.0.0.0/8".to_owned()]
            } else {
                vec![]
            },
        };
        vec![settings(false), settings(true)]
    }
}

/// `GET /settings/mail`: mail of the installation itself.
///
/// Forms: `POST /settings/mail` with `mailbox_id` and `revision`; `POST /settings/mail/alerts` with `alerts`, `addresses`
/// and `revision`; `POST /settings/mail/test` with `to`.
#[derive(Debug, Serialize)]
pub struct SiteMailPage {
    /// The frame.
    pub page: Page,
    /// The account that sends; empty if none does.
    pub account: Vec<Fact>,
    /// Why nothing is sent, and what to do.
    pub trouble: Option<String>,
    /// The account of the configuration, and mailboxes that send.
    pub mailboxes: Vec<Choice>,
    /// Revision of the settings.
    pub revision: i64,
    /// Who can get alerts.
    pub audiences: Vec<Choice>,
    /// Certain addresses that do.
    pub addresses: String,
    /// Where the test mail goes.
    pub to: String,
    /// The latest mails of the installation.
    pub latest: Vec<OutgoingRow>,
    /// What is wrong.
    pub errors: FormErrors,
}

impl View for SiteMailPage {
    const TEMPLATE: &'static str = "admin/site_mail.html";

    fn samples() -> Vec<Self> {
        let page = |full: bool, errors: FormErrors| Self {
            page: Page::sample("Mail of this installation", Section::Settings),
            account: if full {
                vec![
                    Fact::exact("Sender", "mailgrant@example.com"),
                    Fact::exact("Server", "smtp.example.com:587"),
                ]
            } else {
                vec![]
            },
            trouble: (!full).then(|| "No account sends mails of this installation.".to_owned()),
            mailboxes: vec![Choice::new("", "The account of the configuration", true)],
            revision: 1,
            audiences: vec![
                Choice::new("admins", "Site admins", full).with_hint("All of them who want alerts."),
                Choice::new("addresses", "These addresses", !full),
            ],
            addresses: String::new(),
            to: "ada@example.org".to_owned(),
            latest: if full {
                vec![OutgoingRow::sample(Tone::Ok, "Sent", "")]
            } else {
                vec![]
            },
            errors,
        };
        vec![
            page(false, FormErrors::default()),
            page(true, FormErrors::default()),
            page(
                true,
                FormErrors::default().with("to", "“x” is not an e-mail address."),
            ),
        ]
    }
}
