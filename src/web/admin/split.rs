//! Splitting a ticket: which entries, the question before, and the deed.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::views::Section;
use super::views::parts::{Choice, Confirm, FormErrors};
use super::views::split::{SplitEntry, SplitPage};
use super::words;
use crate::access::{Role, Scope};
use crate::message::{self, MessageFilter};
use crate::ticket::{self, MAX_MOVED, Plan, Split, TicketDetail, TicketError};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/tickets/{key}/split", Guard::Role(Role::Agent), || web::to(ask)),
    Route::post("/tickets/{key}/split", Guard::Role(Role::Agent), || {
        web::to(split)
    }),
];

/// Characters shown of an entry.
const PREVIEW: usize = 120;

type Pairs = web::Query<Vec<(String, String)>>;

/// The list to choose from; with `go`, the question before the split.
async fn ask(desk: Desk, key: web::Path<String>, asked: Pairs) -> Answer {
    let found = mine(&desk, &key).await?;
    let of = |name: &str| {
        let values = asked.iter().filter(|(asked, _)| asked == name);
        values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let subject = of("subject").into_iter().next();
    let wanted = wanted(of("entry"), subject.as_deref());
    if of("go").is_empty() {
        return desk.show(&choose(&desk, &found, &wanted, FormErrors::default()).await?);
    }
    let projects = desk.access().projects_with(Scope::TicketsWrite);
    match ticket::plan_split(&desk.ctx, &projects, &found.ticket.id, &wanted).await {
        Ok(plan) => desk.show(&question(&desk, &plan).await?),
        Err(TicketError::Invalid(mistakes)) => {
            let mut errors = FormErrors::default();
            for mistake in mistakes {
                let field = if mistake.field == "subject" {
                    "subject"
                } else {
                    "entries"
                };
                errors.add(field, mistake.message);
            }
            desk.show_again(&choose(&desk, &found, &wanted, errors).await?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The ticket, if whoever asks may change it.
async fn mine(desk: &Desk, key: &str) -> Result<TicketDetail, Problem> {
    let projects = desk.access().projects_with(Scope::TicketsWrite);
    Ok(ticket::get_by_key(&desk.ctx, &projects, key).await?)
}

/// An empty field is the subject that is proposed.
fn wanted(entry_ids: Vec<String>, subject: Option<&str>) -> Split {
    Split {
        entry_ids,
        subject: subject
            .map(str::trim)
            .filter(|subject| !subject.is_empty())
            .map(str::to_owned),
    }
}

async fn choose(
    desk: &Desk,
    found: &TicketDetail,
    wanted: &Split,
    errors: FormErrors,
) -> Result<SplitPage, Problem> {
    let filter = MessageFilter {
        projects: desk.access().projects(),
        ticket_id: Some(found.ticket.id.clone()),
        ..MessageFilter::default()
    };
    let most = u64::try_from(MAX_MOVED).unwrap_or(u64::MAX);
    let messages = message::list_heads(&desk.ctx, &filter, most).await?.items;
    let preview = |entry: &ticket::Entry| {
        let message = messages
            .iter()
            .find(|message| Some(&message.id) == entry.message_id.as_ref());
        let text = message.map_or(entry.body.as_str(), |message| message.preview.as_str());
        text.chars().take(PREVIEW).collect::<String>()
    };
    let entries = found.entries.iter().take(MAX_MOVED).map(|entry| SplitEntry {
        id: entry.id.clone(),
        kind: match entry.kind.as_str() {
            "reply" => "Answer",
            "note" => "Internal note",
            _ => "Message",
        }
        .to_owned(),
        author: if entry.author.is_empty() {
            "Unknown sender".to_owned()
        } else {
            entry.author.clone()
        },
        when: words::when(desk.now(), entry.created_at),
        preview: preview(entry),
        chosen: wanted.entry_ids.contains(&entry.id),
    });
    Ok(SplitPage {
        page: desk
            .page(format!("Split {}", found.ticket.key), Section::Tickets)
            .await?,
        errors,
        key: found.ticket.key.clone(),
        entries: entries.collect(),
        subject: wanted.subject.clone().unwrap_or_default(),
    })
}

async fn question(desk: &Desk, plan: &Plan) -> Result<Confirm, Problem> {
    let key = &plan.ticket.key;
    let moved = plan.moved.len();
    let mut consequences = vec![format!(
        "{} of {key} {} a new ticket “{}”.",
        if moved == 1 {
            "1 entry".to_owned()
        } else {
            format!("{moved} entries")
        },
        if moved == 1 { "becomes" } else { "become" },
        plan.subject
    )];
    const NAMED: usize = 10;
    for entry in plan.moved.iter().take(NAMED) {
        let when = words::when(desk.now(), entry.created_at);
        consequences.push(format!("It moves: what {} wrote, {}.", entry.author, when.text));
    }
    if moved > NAMED {
        consequences.push(format!("And {} more.", moved - NAMED));
    }
    let (name, email) = &plan.requester;
    let requester = match (name.as_str(), email.as_str()) {
        ("", "") => "nobody that is known".to_owned(),
        ("", email) => email.to_owned(),
        (name, "") => name.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    };
    consequences.push(format!("Its requester is {requester}."));
    consequences.push(format!(
        "Whoever takes part in {key} only because of these entries takes part in the new ticket instead."
    ));
    let mut fields = vec![
        Choice::new("revision", plan.ticket.revision.to_string(), true),
        Choice::new("subject", &plan.subject, true),
    ];
    fields.extend(
        plan.moved
            .iter()
            .map(|entry| Choice::new("entry", &entry.id, true)),
    );
    Ok(Confirm {
        page: desk.page(format!("Split {key}?"), Section::Tickets).await?,
        consequences,
        kept: vec![
            "Answers to what moves find the new ticket, all others this one.".to_owned(),
            "The new ticket has the same labels, priority and assignee, and is open.".to_owned(),
            format!("It can be taken back: merge the new ticket into {key}."),
        ],
        blocked: None,
        action: format!("/tickets/{key}/split"),
        // In these, the value is the name and the label what it holds.
        fields,
        button: "Split".to_owned(),
        cancel: format!("/tickets/{key}"),
    })
}

async fn split(desk: Desk, key: web::Path<String>, form: FormData) -> Answer {
    let found = mine(&desk, &key).await?;
    let here = format!("/tickets/{}", found.ticket.key);
    let ids = form.all("entry").map(str::to_owned).collect();
    let wanted = wanted(ids, Some(form.text("subject")));
    let projects = desk.access().projects_with(Scope::TicketsWrite);
    let seen = form.text("revision").parse().ok();
    match ticket::split(
        &desk.ctx,
        &projects,
        desk.actor(),
        &found.ticket.id,
        &wanted,
        seen,
    )
    .await
    {
        Ok(made) => {
            let text = format!("{} was split off {}.", made.key, found.ticket.key);
            desk.done(text, &format!("/tickets/{}", made.key)).await
        }
        Err(TicketError::Invalid(errors)) => {
            let text: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            desk.failed(text.join(" "), &here).await
        }
        Err(TicketError::Conflict) => {
            let text = "The ticket was changed meanwhile. Look at it again before you split it.";
            desk.failed(text, &here).await
        }
        Err(error) => Err(error.into()),
    }
}
