//! A mail that came in a mail, as it is read: its header fields and its text, nothing that could do something.

use actix_web::web;
use mailgrant_mail::ParsedMail;

use super::desk::{Answer, Desk};
use super::ticket_page::{blocks, headers};
use super::views::Section;
use super::views::attached_mail::AttachedMail;
use super::views::integrations::Fact;
use super::views::parts::Action;
use super::words;
use crate::access::Role;
use crate::web::error::Problem;
use crate::web::route::{Guard, Route};
use crate::{message, ticket};

/// The routes of this file. Parts inside parts have a slash in their id.
pub(super) const ROUTES: &[Route] = &[Route::get(
    "/messages/{id}/attached-mails/{part:.*}",
    Guard::Role(Role::Viewer),
    || web::to(open),
)];

/// Whether a file is a mail.
pub(super) fn is_mail(media_type: &str) -> bool {
    matches!(
        media_type.to_ascii_lowercase().as_str(),
        "message/rfc822" | "message/global"
    )
}

/// The page of an attached mail.
pub(super) fn path(message_id: &str, part_id: &str) -> String {
    format!("/messages/{message_id}/attached-mails/{part_id}")
}

/// Links to the mails that are attached to a mail.
pub(super) fn links(message_id: &str, mail: &ParsedMail) -> Vec<Action> {
    mail.attachments
        .iter()
        .filter(|part| is_mail(&part.r#type))
        .map(|part| {
            let name = part.name.as_deref().filter(|name| !name.trim().is_empty());
            let label = name.map_or_else(|| format!("Mail in part {}", part.part_id), str::to_owned);
            Action::link(label, path(message_id, &part.part_id))
        })
        .collect()
}

async fn open(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let (id, part) = path.into_inner();
    let projects = desk.access().projects();
    let outer = message::get(&desk.ctx, &projects, &id).await?;
    let found = message::attachment(&desk.ctx, &projects, &id, &part).await?;
    if !is_mail(&found.content_type) {
        return Err(Problem::conflict("not_a_mail", "this attachment is no mail"));
    }
    let parse = move || mailgrant_mail::parse(&found.bytes);
    let mail = message::apart(message::LONGEST_READING, parse)
        .await
        .ok_or_else(Problem::unreadable_mail)?;
    let (back, back_label) = match ticket::key_of(desk.ctx.db.read(), &outer.ticket_id).await? {
        Some(key) => (format!("/tickets/{key}"), key),
        None => (format!("/messages/{id}"), "The mail".to_owned()),
    };
    let subject = or_none(mail.subject.as_deref().unwrap_or_default());
    let files = mail.attachments.iter().map(|file| {
        let name = file.name.as_deref().unwrap_or(&file.r#type);
        Fact::new(name, words::size(file.size))
    });
    desk.show(&AttachedMail {
        page: desk.here(
            desk.page(subject.clone(), Section::Tickets).await?,
            &outer.project_id,
        ),
        lead: format!("Attached to “{}”", or_none(&outer.subject)),
        headers: headers(&mail),
        blocks: blocks(&mail),
        files: files.collect(),
        download: Action::link("Download it", format!("/messages/{id}/attachments/{part}")),
        subject,
        back,
        back_label,
    })
}

fn or_none(subject: &str) -> String {
    match subject.trim() {
        "" => "(no subject)".to_owned(),
        subject => subject.to_owned(),
    }
}
