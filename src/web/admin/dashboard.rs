//! The first page: what needs attention, then how things are going.

use actix_web::web;

use super::attention::Overview;
use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::dashboard::{Dashboard, DemoPanel, Expiry, Fault, MailboxLine, TicketLine, Tile};
use super::views::parts::{Badge, Chart, Tone};
use super::words;
use crate::clock::from_ms;
use crate::grant::GrantState;
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};
use crate::{message, ticket};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[Route::get("/", Guard::Person, || web::to(dashboard))];

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

async fn dashboard(desk: Desk) -> Answer {
    let now = desk.now();
    let overview = Overview::load(&desk.ctx, desk.access()).await?;
    let demo = desk.demo().map(|status| DemoPanel {
        connected: !overview.mailboxes.is_empty(),
        faults: Fault::all(|name| status.is_active(name)),
    });
    desk.show(&Dashboard {
        page: desk.page_with("Dashboard", Section::Dashboard, &overview).await?,
        problems: overview.problems(now),
        tiles: tiles(&desk, &overview, now).await?,
        mailboxes: mailboxes(&overview, now),
        chart: chart(&desk, now).await?,
        expiries: expiries(&overview, now),
        tickets: newest(&desk, now).await?,
        demo,
    })
}

async fn tiles(desk: &Desk, overview: &Overview, now: i64) -> Result<Vec<Tile>, Problem> {
    let tile = |icon: &str, label: &str, value: String, note: String| Tile {
        icon: icon.to_owned(),
        label: label.to_owned(),
        value,
        note,
    };
    let all = overview.mailboxes.len();
    let reading = overview
        .mailboxes
        .iter()
        .filter(|mailbox| !mailbox.paused && mailbox.state != "failing")
        .count();
    let paused = overview.mailboxes.iter().filter(|mailbox| mailbox.paused).count();
    let open: i64 = ticket::count_by_state(desk.ctx.db.read(), &desk.access().projects())
        .await?
        .iter()
        .filter(|count| count.state == "open")
        .map(|count| count.tickets)
        .sum();
    let opened: i64 = ticket::per_hour(desk.ctx.db.read(), &desk.access().projects(), now - DAY_MS)
        .await?
        .iter()
        .map(|hour| hour.tickets)
        .sum();
    let mail = message::count_since(&desk.ctx, &desk.access().projects(), now - DAY_MS, None).await?;
    let alive: Vec<_> = overview
        .grants
        .iter()
        .filter(|grant| grant.state != GrantState::Revoked)
        .collect();
    let active = alive
        .iter()
        .filter(|grant| grant.state != GrantState::NeedsReauth)
        .count();
    let next = alive.iter().filter_map(|grant| grant.next_refresh_at).min();
    let next = next.map_or_else(String::new, |at| {
        if at <= now {
            "Refreshing now".to_owned()
        } else {
            format!("Next refresh {}", words::relative(now, at))
        }
    });
    Ok(vec![
        tile(
            "mailbox",
            "Mailboxes reading",
            format!("{reading} of {all}"),
            if paused > 0 {
                format!("{paused} paused")
            } else {
                String::new()
            },
        ),
        tile(
            "ticket",
            "Open tickets",
            words::number(open),
            format!("{} opened in 24 hours", words::number(opened)),
        ),
        tile(
            "mail",
            "Mail in 24 hours",
            words::number(mail.messages),
            format!("{} could not be parsed", words::number(mail.quarantined)),
        ),
        tile(
            "key",
            "Grants active",
            format!("{active} of {}", alive.len()),
            next,
        ),
    ])
}

fn mailboxes(overview: &Overview, now: i64) -> Vec<MailboxLine> {
    let line = |mailbox: &crate::mailbox::Mailbox| MailboxLine {
        id: mailbox.id.clone(),
        name: mailbox.name.clone(),
        address: mailbox.login_name.clone(),
        state: words::mailbox_badge(mailbox),
        last_mail: mailbox.last_mail_at.map(|at| words::when(now, at)),
        last_poll: mailbox.last_success_at.map(|at| words::when(now, at)),
    };
    overview.mailboxes.iter().map(line).collect()
}

async fn chart(desk: &Desk, now: i64) -> Result<Chart, Problem> {
    let last = now - now.rem_euclid(HOUR_MS);
    let first = last - 23 * HOUR_MS;
    let counted = ticket::per_hour(desk.ctx.db.read(), &desk.access().projects(), first).await?;
    let values: Vec<(String, u64)> = (0..24)
        .map(|hour| {
            let hour = first + hour * HOUR_MS;
            let tickets = counted
                .iter()
                .find(|count| count.hour == hour)
                .map_or(0, |count| u64::try_from(count.tickets).unwrap_or(0));
            (from_ms(hour).format("%H:%M").to_string(), tickets)
        })
        .collect();
    let total: u64 = values.iter().map(|(_, n)| n).sum();
    let most = values.iter().max_by_key(|(_, n)| *n);
    let summary = match most {
        Some((hour, n)) if *n > 0 => {
            let total = words::count(i64::try_from(total).unwrap_or(i64::MAX), "ticket");
            format!("{total} in 24 hours; the most, {n}, in the hour from {hour} UTC.")
        }
        _ => "No tickets in the last 24 hours.".to_owned(),
    };
    Ok(Chart::new("Tickets per hour, last 24 hours", summary, &values))
}

fn expiries(overview: &Overview, now: i64) -> Vec<Expiry> {
    let mut found: Vec<(i64, Expiry)> = Vec::new();
    let mut add = |at: i64, what: String, href: String, automatic: bool| {
        let state = match at - now {
            _ if automatic => Badge::new(Tone::Ok, "Automatic"),
            ..=0 => Badge::new(Tone::Bad, "Over"),
            1..=2_592_000_000 => Badge::new(Tone::Warn, "Soon"),
            _ => Badge::new(Tone::Ok, "Later"),
        };
        let when = words::when(now, at);
        found.push((
            at,
            Expiry {
                what,
                href,
                when,
                state,
            },
        ));
    };
    for integration in &overview.integrations {
        if let Some(at) = integration.secret_expires_at {
            let what = format!("Client secret of {}", integration.name);
            add(at, what, format!("/integrations/{}", integration.id), false);
        }
    }
    for grant in &overview.grants {
        if matches!(grant.state, GrantState::Revoked | GrantState::NeedsReauth) {
            continue;
        }
        let href = || format!("/grants/{}", grant.id);
        let account = words::account_of(grant);
        if let Some(at) = grant.refresh_expires_at {
            add(
                at,
                format!("Grant of {account}"),
                href(),
                grant.state != GrantState::Expiring,
            );
        }
        if let Some(at) = grant.expires_at {
            add(at, format!("Access token of {account}"), href(), true);
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, expiry)| expiry).take(6).collect()
}

async fn newest(desk: &Desk, now: i64) -> Result<Vec<TicketLine>, Problem> {
    let filter = ticket::TicketFilter {
        projects: desk.access().projects(),
        ..ticket::TicketFilter::default()
    };
    let page = ticket::list(&desk.ctx, &filter, 6).await?;
    let line = |ticket: ticket::Ticket| TicketLine {
        requester: words::requester(&ticket),
        updated: words::when(now, ticket.updated_at),
        key: ticket.key,
        subject: ticket.subject,
    };
    Ok(page.items.into_iter().map(line).collect())
}
