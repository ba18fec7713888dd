//! The search over everything one may see.

use actix_web::web;
use serde::Deserialize;

use super::desk::{Answer, Desk};
use super::tickets::{path, row_with};
use super::views::Section;
use super::views::parts::{Badge, Pager, Tone};
use super::views::search::{HitRow, SearchPage, SnippetPiece};
use super::words::{self, Names};
use crate::access::Role;
use crate::search::{self, snippet};
use crate::ticket::{self, Hit, Search, TicketError, TicketFilter};
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[Route::get("/search", Guard::Role(Role::Viewer), || web::to(page))];

/// Tickets shown above the messages.
const TICKETS: u64 = 5;
/// Messages on a page.
const HITS: u64 = 25;
/// Bytes of text around what was found.
const SNIPPET: usize = 280;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Query {
    q: String,
    after: String,
}

async fn page(desk: Desk, query: web::Query<Query>) -> Answer {
    let q = query.q.trim();
    let question = search::Query::parse(q);
    let asked = Search {
        text: q.to_owned(),
        asker_id: Some(desk.actor().to_owned()),
        projects: desk.access().projects(),
        after: (!query.after.is_empty()).then(|| query.after.clone()),
    };
    let here = |after: &str| path("/search", &[("q", q), ("after", after)]);
    let found = match ticket::search(&desk.ctx, &asked, HITS).await {
        Err(TicketError::BadCursor) => return desk.go(&here("")),
        found => found?,
    };
    let filter = TicketFilter {
        text: asked.after.is_none().then(|| q.to_owned()),
        asker_id: asked.asker_id.clone(),
        projects: asked.projects.clone(),
        ..TicketFilter::default()
    };
    let tickets = if q.is_empty() || asked.after.is_some() {
        vec![]
    } else {
        ticket::list(&desk.ctx, &filter, TICKETS + 1).await?.items
    };
    let names = Names::load(&desk.ctx).await?;
    let now = desk.now();
    let shown = usize::try_from(TICKETS).unwrap_or(0);
    desk.show(&SearchPage {
        page: desk.page("Search", Section::Search).await?,
        q: q.to_owned(),
        notes: question.notes.clone(),
        more_tickets: tickets.len() > shown,
        tickets: tickets
            .iter()
            .take(shown)
            .map(|ticket| row_with(ticket, &names, now))
            .collect(),
        tickets_href: path("/tickets", &[("q", q)]),
        hits: found.items.iter().map(|hit| row(hit, &question, now)).collect(),
        pager: Pager {
            first: asked.after.is_some().then(|| here("")),
            next: found.next.map(|after| here(&after)),
            text: String::new(),
        },
    })
}

fn row(hit: &Hit, question: &search::Query, now: i64) -> HitRow {
    let kind = match hit.kind.as_str() {
        "note" => Badge::new(Tone::Warn, "Note"),
        "reply" => Badge::new(Tone::Ok, "Answer"),
        _ => Badge::new(Tone::Info, "Message"),
    };
    let of_ticket = hit.ticket.as_ref().map(|ticket| ticket.subject.as_str());
    let title = [hit.subject.as_str(), of_ticket.unwrap_or_default()]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or("(no subject)");
    HitRow {
        kind,
        title: title.to_owned(),
        href: hit
            .ticket
            .as_ref()
            .map(|ticket| format!("/tickets/{}#{}", ticket.key, hit.entry_id)),
        key: hit
            .ticket
            .as_ref()
            .map(|ticket| ticket.key.clone())
            .unwrap_or_default(),
        author: hit.author.clone(),
        when: words::when(now, hit.at),
        has_attachment: hit.has_attachment,
        snippet: snippet(&hit.text, question, None, SNIPPET)
            .into_iter()
            .map(|piece| SnippetPiece {
                text: piece.text,
                hit: piece.is_hit,
            })
            .collect(),
    }
}
