//! What needs attention, found in one look at all integrations, grants and mailboxes: each trouble once, at its root.

use super::views::parts::{Action, Problem, Tone};
use super::words;
use crate::access::{Access, Projects, Scope};
use crate::ctx::Ctx;
use crate::delivery::{self, Webhook, retry};
use crate::grant::{self, Grant, GrantState};
use crate::integration::{self, Integration, IntegrationState};
use crate::mailbox::{self, Mailbox};
use crate::message;
use crate::outbox;
use crate::trouble::Trouble;
use crate::web;

/// More of each than anybody has.
const ALL: u64 = 100_000;

/// Warnings of an integration that stop mail, or will. Others are shown on its own page only.
const URGENT: [&str; 4] = [
    "secret_expired",
    "secret_expiring",
    "offline_missing",
    "mail_scope_missing",
];

/// Everything that can be in trouble.
pub(super) struct Overview {
    pub(super) integrations: Vec<Integration>,
    pub(super) grants: Vec<Grant>,
    pub(super) mailboxes: Vec<Mailbox>,
    /// Webhooks that somebody may manage.
    webhooks: Vec<Webhook>,
    /// How many messages are in quarantine, by reason.
    quarantined: Vec<(String, i64)>,
    /// What is wrong with the account that sends mail of the installation, and since when.
    site_mail: Option<(Trouble, i64)>,
    /// Where whoever looks may do something about mailboxes.
    managed: Projects,
    /// Whether they may do something about integrations.
    site: bool,
    /// What is wrong with the certificate, and since when.
    certificate: Option<(Trouble, i64)>,
}

impl Overview {
    /// All of it that somebody may see, as it is now.
    pub(super) async fn load(ctx: &Ctx, access: &Access) -> Result<Self, web::Problem> {
        let connections = access.projects_with(Scope::IntegrationsRead);
        let mailboxes = access.projects_with(Scope::MailboxesRead);
        Ok(Self {
            integrations: integration::list(ctx, &connections, None, ALL).await?,
            grants: grant::list(ctx, &connections, None, ALL).await?,
            mailboxes: mailbox::list(ctx, &mailboxes).await?,
            webhooks: delivery::list(ctx, &access.projects_with(Scope::WebhooksManage)).await?,
            quarantined: message::count_quarantined(
                ctx.db.read(),
                &access.projects_with(Scope::MessagesRead),
            )
            .await?,
            site_mail: match access.is_site_admin() {
                true => outbox::site_failure(ctx).await?,
                false => None,
            },
            managed: access.projects_with(Scope::MailboxesWrite),
            site: access.is_site_admin(),
            certificate: ctx.certificate.get().filter(|_| access.is_site_admin()),
        })
    }

    pub(super) fn integration(&self, id: &str) -> Option<&Integration> {
        self.integrations.iter().find(|integration| integration.id == id)
    }

    pub(super) fn grant(&self, id: &str) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.id == id)
    }

    pub(super) fn grants_of(&self, integration_id: &str) -> impl Iterator<Item = &Grant> {
        self.grants
            .iter()
            .filter(move |grant| grant.integration_id == integration_id)
    }

    pub(super) fn mailboxes_of(&self, grant_id: &str) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes
            .iter()
            .filter(move |mailbox| mailbox.grant_id == grant_id)
    }

    /// What needs somebody, the worst first. `now` in milliseconds since 1970.
    pub(super) fn problems(&self, now: i64) -> Vec<Problem> {
        let mut found: Vec<Problem> = Vec::new();
        for integration in &self.integrations {
            found.extend(of_integration(integration, now));
            found.extend(
                integration::warnings(integration, now)
                    .iter()
                    .filter(|warning| URGENT.contains(&warning.code.as_str()))
                    .map(|warning| of_warning(integration, warning)),
            );
        }
        found.extend(self.grants.iter().filter_map(|grant| self.of_grant(grant, now)));
        found.extend(
            self.mailboxes
                .iter()
                .filter_map(|mailbox| self.of_mailbox(mailbox, now)),
        );
        found.extend(
            self.webhooks
                .iter()
                .filter_map(|webhook| of_webhook(webhook, now)),
        );
        found.extend(self.site_mail.iter().map(|(trouble, at)| {
            problem(
                Tone::Bad,
                "Mail of this installation cannot be sent".to_owned(),
                trouble.clone(),
                Some(words::when(now, *at)),
                Action::link("Mail settings", "/settings/mail"),
            )
        }));
        found.extend(in_quarantine(&self.quarantined));
        found.extend(self.certificate.iter().map(|(trouble, since)| {
            let since = Some(words::when(now, *since));
            let look = Action::link("Open the settings", "/settings");
            problem(
                Tone::Bad,
                "The TLS certificate cannot be used".to_owned(),
                trouble.clone(),
                since,
                look,
            )
        }));
        found.sort_by_key(|problem| problem.tone != Tone::Bad);
        if !self.site {
            // What only a site admin can mend is told without a button that would refuse.
            for problem in &mut found {
                problem.action = problem.action.take().filter(|action| self.may_follow(action));
            }
        }
        found
    }

    fn may_follow(&self, action: &Action) -> bool {
        match action.href.split('/').nth(1) {
            Some("mailboxes") => self
                .mailboxes
                .iter()
                .filter(|mailbox| self.managed.contains(&mailbox.project_id))
                .any(|mailbox| action.href.split('/').any(|part| part == mailbox.id)),
            // Only those that somebody may manage are here.
            Some("grants" | "webhooks") => true,
            _ => false,
        }
    }

    fn is_misconfigured(&self, grant: &Grant) -> bool {
        self.integration(&grant.integration_id)
            .is_some_and(|integration| integration.state == IntegrationState::Misconfigured)
    }

    /// What is wrong with a grant, unless it is its integration's fault.
    pub(super) fn of_grant(&self, grant: &Grant, now: i64) -> Option<Problem> {
        let used = self.mailboxes_of(&grant.id).any(|mailbox| !mailbox.paused);
        let account = words::account_of(grant);
        let trouble = grant.trouble.clone().unwrap_or_default();
        let reconnect = Action::post("Reconnect", format!("/grants/{}/reconnect", grant.id));
        let look = Action::link("Open the grant", format!("/grants/{}", grant.id));
        let since = grant.error_at.map(|at| words::when(now, at));
        match grant.state {
            GrantState::NeedsReauth => Some(problem(
                Tone::Bad,
                format!("{account} has to be connected again"),
                trouble,
                since,
                reconnect,
            )),
            GrantState::Revoked if used => Some(problem(
                Tone::Bad,
                format!("The grant of {account} was revoked, but a mailbox uses it"),
                trouble,
                since,
                reconnect,
            )),
            GrantState::Revoked => None,
            GrantState::Expiring => Some(problem(
                Tone::Warn,
                format!("The grant of {account} ends soon"),
                Trouble {
                    cause: format!(
                        "Its refresh token ends {}, and refreshing does not renew it.",
                        grant
                            .refresh_expires_at
                            .map_or_else(|| "soon".to_owned(), |end| words::relative(now, end))
                    ),
                    remedy: "Reconnect before that; the mailbox goes on where it stopped.".into(),
                    ..Trouble::default()
                },
                None,
                reconnect,
            )),
            GrantState::Active if grant.trouble.is_none() || self.is_misconfigured(grant) => None,
            // Refreshing is tried again by itself; what a mail server refuses is not mended by waiting.
            GrantState::Active if grant.failures > 0 => Some(problem(
                Tone::Warn,
                format!("The token of {account} could not be refreshed"),
                trouble,
                since,
                look,
            )),
            GrantState::Active => Some(problem(
                Tone::Bad,
                format!("The mail server refuses {account}"),
                trouble,
                since,
                look,
            )),
        }
    }

    /// What is wrong with a mailbox, unless its grant or integration says it already.
    fn of_mailbox(&self, mailbox: &Mailbox, now: i64) -> Option<Problem> {
        let trouble = mailbox.trouble().filter(|_| !mailbox.paused)?;
        let told = self.grant(&mailbox.grant_id).is_some_and(|grant| {
            self.is_misconfigured(grant)
                || !matches!(grant.state, GrantState::Active | GrantState::Expiring)
                || grant
                    .trouble
                    .as_ref()
                    .is_some_and(|told| told.code == trouble.code)
        });
        (!told).then(|| of_failing(mailbox, trouble, now))
    }
}

/// A webhook that is down, or was disabled because it failed.
fn of_webhook(webhook: &Webhook, now: i64) -> Option<Problem> {
    let is_down = webhook.failures >= retry::DOWN_AFTER;
    let (tone, what, cause) = match (webhook.is_active(), webhook.reason.as_str()) {
        (true, _) if is_down => (Tone::Warn, "is down", "It failed again and again."),
        (true, _) | (false, "by_hand") => return None,
        (false, "gone") => (
            Tone::Bad,
            "was disabled",
            "It answered 410, which asks for no more.",
        ),
        (false, _) => (
            Tone::Bad,
            "was disabled",
            "It failed for five days without a single success.",
        ),
    };
    let place = url::Url::parse(&webhook.url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    Some(problem(
        tone,
        format!("The webhook at {place} {what}"),
        Trouble {
            cause: cause.to_owned(),
            remedy: "Look at its deliveries: they say what the receiver answered. Nothing is lost meanwhile."
                .to_owned(),
            ..Trouble::default()
        },
        webhook.failing_since.map(|at| words::when(now, at)),
        Action::link("Open the webhook", format!("/webhooks/{}", webhook.id)),
    ))
}

/// What waits in quarantine for a person.
fn in_quarantine(counted: &[(String, i64)]) -> Option<Problem> {
    let all: i64 = counted.iter().map(|(_, count)| count).sum();
    let parts = counted.iter().map(|(reason, count)| {
        let why = match reason.as_str() {
            "unreadable" => "could not be read",
            "too_large" => "exceeded the size limit",
            _ => "sent there by a rule",
        };
        format!("{} {why}", words::number(*count))
    });
    (all > 0).then(|| {
        problem(
            Tone::Warn,
            format!("{} in quarantine", words::count(all, "message")),
            Trouble {
                cause: format!("{}.", parts.collect::<Vec<_>>().join(", ")),
                remedy: "Look at them: process them again, let them through, or drop them.".into(),
                ..Trouble::default()
            },
            None,
            Action::link("Open the quarantine", "/quarantine"),
        )
    })
}

/// Why a mailbox cannot be read.
pub(super) fn of_failing(mailbox: &Mailbox, trouble: Trouble, now: i64) -> Problem {
    let since = mailbox.last_success_at.or(mailbox.error_at);
    problem(
        Tone::Bad,
        format!("The mailbox {} cannot be read", mailbox.name),
        trouble,
        since.map(|at| words::when(now, at)),
        Action::post("Test connection", format!("/mailboxes/{}/tests", mailbox.id)),
    )
}

/// Why the provider does not accept an integration's client.
pub(super) fn of_integration(integration: &Integration, now: i64) -> Option<Problem> {
    let trouble = integration
        .trouble
        .clone()
        .filter(|_| integration.state == IntegrationState::Misconfigured)?;
    Some(problem(
        Tone::Bad,
        format!("{}: the provider does not accept the client", integration.name),
        trouble,
        integration.error_at.map(|at| words::when(now, at)),
        Action::link(
            "Edit the integration",
            format!("/integrations/{}/edit", integration.id),
        ),
    ))
}

/// Something about an integration that will not work, or not for long.
pub(super) fn of_warning(integration: &Integration, warning: &Trouble) -> Problem {
    let (tone, what) = match warning.code.as_str() {
        "secret_expired" => (Tone::Bad, "the client secret has expired"),
        "secret_expiring" => (Tone::Warn, "the client secret expires soon"),
        "secret_end_unknown" => (Tone::Warn, "nobody knows when the client secret expires"),
        "secret_old" => (Tone::Warn, "the client secret is old"),
        "offline_missing" => (Tone::Warn, "no refresh token will come"),
        "mail_scope_missing" => (Tone::Warn, "the scopes do not allow reading mail"),
        _ => (Tone::Warn, "this will probably not work"),
    };
    let mut found = problem(
        tone,
        format!("{}: {what}", integration.name),
        warning.clone(),
        None,
        Action::link(
            "Edit the integration",
            format!("/integrations/{}/edit", integration.id),
        ),
    );
    // Ours, not the provider's.
    found.code = None;
    found
}

fn problem(
    tone: Tone,
    title: String,
    trouble: Trouble,
    since: Option<super::views::parts::When>,
    action: Action,
) -> Problem {
    Problem {
        tone,
        title,
        cause: trouble.cause,
        code: Some(trouble.code).filter(|code| !code.is_empty()),
        remedy: trouble.remedy,
        since,
        action: Some(action),
    }
}
