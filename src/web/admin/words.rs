//! Values worded for people: moments, sizes, counts, states, and who did something.

use std::collections::HashMap;

use super::views::parts::{Badge, Tone, When};
use crate::access::Projects;
use crate::clock::{from_ms, rfc3339};
use crate::connection_test::TestState;
use crate::ctx::Ctx;
use crate::grant::{Grant, GrantState};
use crate::integration::{Integration, IntegrationState, Provider};
use crate::mailbox::Mailbox;
use crate::ticket::Ticket;
use crate::web::error::Problem;
use crate::{account, event};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A moment, seen from `now`; both milliseconds since 1970.
pub(super) fn when(now: i64, at: i64) -> When {
    When::new(
        relative(now, at),
        rfc3339(at),
        from_ms(at).format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// "2026-11-23 01:29 UTC".
pub(super) fn exact(at: i64) -> String {
    from_ms(at).format("%Y-%m-%d %H:%M UTC").to_string()
}

/// "3 minutes ago", "in 12 days".
pub(super) fn relative(now: i64, at: i64) -> String {
    let seconds = (at - now) / 1000;
    let far = seconds.abs();
    let (n, unit) = match far {
        0..5 => return if seconds > 0 { "in a moment" } else { "just now" }.to_owned(),
        5..MINUTE => (far, "second"),
        MINUTE..HOUR => (far / MINUTE, "minute"),
        HOUR..DAY => (far / HOUR, "hour"),
        _ => (far / DAY, "day"),
    };
    let text = count(n, unit);
    if seconds > 0 {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// "1 mail", "2 mails", "1,284 mails".
pub(super) fn count(n: i64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", number(n))
}

/// With a comma between thousands.
pub(super) fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if n < 0 { format!("-{out}") } else { out }
}

/// "9.1 kB".
pub(super) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        _ => format!("{} MB", tenths(1_000_000)),
    }
}

/// `YYYY-MM-DD`.
pub(super) fn day(at: i64) -> String {
    from_ms(at).format("%Y-%m-%d").to_string()
}

/// A text with a capital letter and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map(char::to_uppercase)
        .into_iter()
        .flatten()
        .collect();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}

/// "Firefox on Linux", of what a browser calls itself.
pub(super) fn browser(says: &str) -> String {
    // The order matters: most name others to be taken for them.
    let names = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox", "Firefox"),
        ("FxiOS", "Firefox"),
        ("Chrom", "Chrome"),
        ("CriOS", "Chrome"),
        ("Safari", "Safari"),
        ("curl", "curl"),
    ];
    let systems = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let of = |list: &[(&str, &'static str)]| {
        let found = list.iter().find(|(mark, _)| says.contains(mark));
        found.map(|(_, name)| *name)
    };
    match (of(&names), of(&systems)) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        (None, Some(system)) => format!("A browser on {system}"),
        (None, None) => "Unknown browser".to_owned(),
    }
}

/// The name of an account, also when nobody knows it.
pub(super) fn account_of(grant: &Grant) -> String {
    if grant.identity.is_empty() {
        format!("Unknown account ({})", grant.id)
    } else {
        grant.identity.clone()
    }
}

/// How a grant stands.
pub(super) fn grant_badge(grant: &Grant) -> Badge {
    match grant.state {
        GrantState::Active if grant.trouble.is_some() => Badge::new(Tone::Warn, "Having trouble"),
        GrantState::Active => Badge::new(Tone::Ok, "Active"),
        GrantState::Expiring => Badge::new(Tone::Warn, "Expires soon"),
        GrantState::NeedsReauth => Badge::new(Tone::Bad, "Needs reauthorization"),
        GrantState::Revoked => Badge::new(Tone::Muted, "Revoked"),
    }
}

/// Whether the provider accepts the client.
pub(super) fn integration_badge(integration: &Integration) -> Badge {
    match integration.state {
        IntegrationState::Ok => Badge::new(Tone::Ok, "OK"),
        IntegrationState::Misconfigured => Badge::new(Tone::Bad, "Misconfigured"),
    }
}

/// How a mailbox stands.
pub(super) fn mailbox_badge(mailbox: &Mailbox) -> Badge {
    match mailbox.state.as_str() {
        _ if mailbox.paused => Badge::new(Tone::Muted, "Paused"),
        "failing" => Badge::new(Tone::Bad, "Failing"),
        "ok" if mailbox.idle => Badge::new(Tone::Ok, "Waiting for mail"),
        "ok" => Badge::new(Tone::Ok, "Reading"),
        _ => Badge::new(Tone::Busy, "Starting"),
    }
}

/// How a ticket stands.
pub(super) fn ticket_badge(state: &str) -> Badge {
    match state {
        "open" => Badge::new(Tone::Info, "Open"),
        "pending" => Badge::new(Tone::Warn, "Pending"),
        _ => Badge::new(Tone::Muted, "Closed"),
    }
}

/// How pressing a ticket is, if it is more than usual.
pub(super) fn priority_badge(priority: &str) -> Option<Badge> {
    match priority {
        "urgent" => Some(Badge::new(Tone::Bad, "Urgent")),
        "high" => Some(Badge::new(Tone::Warn, "High")),
        _ => None,
    }
}

/// The first letter large: "Open" for `open`.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Who asked: the name, else the address.
pub(super) fn requester(ticket: &Ticket) -> String {
    let known = [&ticket.requester_name, &ticket.requester_email];
    let shown = known.into_iter().find(|text| !text.is_empty());
    shown.cloned().unwrap_or_else(|| "Unknown sender".to_owned())
}

/// How a test went.
pub(super) fn test_badge(state: TestState) -> Badge {
    match state {
        TestState::Running => Badge::new(Tone::Busy, "Running"),
        TestState::Ok => Badge::new(Tone::Ok, "Passed"),
        TestState::Warn => Badge::new(Tone::Warn, "Passed with warnings"),
        TestState::Failed => Badge::new(Tone::Bad, "Failed"),
    }
}

/// "Google", "Microsoft", "Custom".
pub(super) fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::Google => "Google",
        Provider::Microsoft => "Microsoft",
        Provider::Custom => "Custom",
    }
}

/// The icon of a provider.
pub(super) fn provider_icon(provider: Provider) -> &'static str {
    match provider {
        Provider::Google => "brand-google",
        Provider::Microsoft => "brand-windows",
        Provider::Custom => "adjustments",
    }
}

/// Names of those who can do something: people, API tokens, the command line, Mailgrant itself.
pub(super) struct Names(HashMap<String, String>);

impl Names {
    /// All of them.
    pub(super) async fn load(ctx: &Ctx) -> Result<Self, Problem> {
        let mut names = HashMap::new();
        for user in account::list(&ctx.db, &Projects::All).await? {
            names.insert(user.id, user.name);
        }
        for token in account::list_tokens(&ctx.db, None).await? {
            names.insert(token.id, format!("API token {}", token.name));
        }
        names.insert("cli".into(), "the command line".into());
        names.insert(event::SYSTEM.into(), "Mailgrant".into());
        Ok(Self(names))
    }

    /// The name of an actor, if there is one.
    pub(super) fn known(&self, actor: &str) -> Option<String> {
        self.0.get(actor).cloned()
    }

    /// The name of an actor.
    pub(super) fn of(&self, actor: &str) -> String {
        self.0
            .get(actor)
            .cloned()
            .unwrap_or_else(|| "somebody who is gone".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_worded_from_both_sides_of_now() {
        let now = 1_800_000_000_000;
        let said = |seconds: i64| relative(now, now + seconds * 1000);
        assert_eq!(said(0), "just now");
        assert_eq!(said(3), "in a moment");
        assert_eq!(said(-1), "just now");
        assert_eq!(said(-59), "59 seconds ago");
        assert_eq!(said(-60), "1 minute ago");
        assert_eq!(said(7_300), "in 2 hours");
        assert_eq!(said(-200 * DAY), "200 days ago");
    }

    #[test]
    fn numbers_and_sizes_are_short() {
        assert_eq!(
            [0, 999, 1_000, -12_345_678].map(number),
            ["0", "999", "1,000", "-12,345,678"]
        );
        assert_eq!(count(1, "mail"), "1 mail");
        assert_eq!([9, 9_120, 48_000_000].map(size), ["9 B", "9.1 kB", "48.0 MB"]);
    }
}
