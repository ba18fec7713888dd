//! Templates of a project: list, form with preview, default, test mail.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::outgoing;
use super::views::Section;
use super::views::mail_templates::{Preview, TemplateForm, TemplateList, TemplateRow, Variable};
use super::views::parts::{Badge, FormErrors, Tone};
use super::words;
use crate::access::{Role, Scope};
use crate::outbox::OutboxError;
use crate::project::{self, Project};
use crate::template::{self, Kind, Rendered, Template, TemplateError, TemplateInput};
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::people;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get(
        "/projects/{id}/templates",
        Guard::Role(Role::ProjectAdmin),
        || web::to(list),
    ),
    Route::get(
        "/projects/{id}/templates/{kind}",
        Guard::Role(Role::ProjectAdmin),
        || web::to(edit),
    ),
    Route::post(
        "/projects/{id}/templates/{kind}",
        Guard::Role(Role::ProjectAdmin),
        || web::to(save),
    ),
];

/// Title and purpose of a kind.
fn named(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Acknowledgement => (
            "Acknowledgement",
            "Answers whoever opens a ticket by mail: once a day at most, and never a machine.",
        ),
        Kind::NewTicket => ("New ticket", "Tells the project's agents of each new ticket."),
        Kind::NewReply => (
            "New message",
            "Tells the assignee of each message that comes into their ticket.",
        ),
        Kind::Signature => (
            "Signature",
            "Stands below every answer that is written in a ticket.",
        ),
    }
}

fn refused(error: TemplateError) -> Problem {
    match error {
        TemplateError::Db(error) => error.into(),
        TemplateError::NotFound => Problem::not_found("project"),
        error => Problem::conflict("revision_conflict", error.to_string()),
    }
}

async fn project_of(desk: &Desk, id: &str) -> Result<Project, Problem> {
    Ok(project::get(&desk.ctx, &desk.access().projects(), id).await?)
}

fn badge(template: &Template) -> Badge {
    if template.enabled {
        Badge::new(Tone::Ok, "On")
    } else {
        Badge::new(Tone::Muted, "Off")
    }
}

async fn list(desk: Desk, id: web::Path<String>) -> Answer {
    let project = project_of(&desk, &id).await?;
    let all = template::list(&desk.ctx, &desk.access().projects(), &id)
        .await
        .map_err(refused)?;
    let now = desk.now();
    desk.show(&TemplateList {
        page: desk
            .page(format!("Templates of {}", project.name), Section::Projects)
            .await?,
        project: project.id,
        templates: all
            .iter()
            .map(|template| TemplateRow {
                kind: template.kind.as_str().to_owned(),
                title: named(template.kind).0.to_owned(),
                about: named(template.kind).1.to_owned(),
                state: badge(template),
                changed: (template.updated_at > 0).then(|| words::when(now, template.updated_at)),
            })
            .collect(),
    })
}

/// What the form holds beside the template.
#[derive(Default)]
struct Beside {
    ticket: String,
    preview: Option<Preview>,
    errors: FormErrors,
}

async fn edit(desk: Desk, path: web::Path<(String, String)>) -> Answer {
    let (project, template) = found(&desk, &path).await?;
    let input = TemplateInput {
        enabled: template.enabled,
        subject: template.subject.clone(),
        text: template.text.clone(),
        html: template.html.clone(),
    };
    let view = view(&desk, &project, &template, input, Beside::default()).await?;
    desk.show(&view)
}

async fn found(desk: &Desk, path: &(String, String)) -> Result<(Project, Template), Problem> {
    let kind = Kind::parse(&path.1).ok_or_else(|| Problem::not_found("template"))?;
    let project = project_of(desk, &path.0).await?;
    let template = template::get(&desk.ctx, &desk.access().projects(), &path.0, kind)
        .await
        .map_err(refused)?;
    Ok((project, template))
}

async fn view(
    desk: &Desk,
    project: &Project,
    template: &Template,
    input: TemplateInput,
    beside: Beside,
) -> Result<TemplateForm, Problem> {
    let (title, about) = named(template.kind);
    Ok(TemplateForm {
        page: desk
            .page(format!("{title} in {}", project.name), Section::Projects)
            .await?,
        project: project.id.clone(),
        kind: template.kind.as_str().to_owned(),
        about: about.to_owned(),
        has_subject: template.kind.has_subject(),
        is_default: template.is_default,
        revision: template.revision,
        enabled: input.enabled,
        subject: input.subject,
        text: input.text,
        html: input.html,
        ticket: beside.ticket,
        variables: template::VARIABLES
            .iter()
            .map(|(name, about)| Variable {
                name: (*name).to_owned(),
                about: (*about).to_owned(),
            })
            .collect(),
        preview: beside.preview,
        errors: beside.errors,
    })
}

fn told(error: TemplateError) -> Result<FormErrors, Problem> {
    match error {
        TemplateError::Invalid(mistakes) => {
            let mut errors = FormErrors::default();
            for mistake in mistakes {
                errors.add(mistake.field, mistake.message);
            }
            Ok(errors)
        }
        TemplateError::Conflict => Ok(FormErrors::default().with(
            "",
            "Somebody else changed it meanwhile. Open the page again, and put in what you wrote here.",
        )),
        error => Err(refused(error)),
    }
}

async fn save(desk: Desk, path: web::Path<(String, String)>, form: FormData) -> Answer {
    let (project, template) = found(&desk, &path).await?;
    let here = format!("/projects/{}/templates/{}", project.id, template.kind.as_str());
    let projects = desk.access().projects();
    if form.text("action") == "restore" {
        template::restore(&desk.ctx, &projects, &project.id, template.kind, None)
            .await
            .map_err(refused)?;
        return desk.done("The default is back, switched off.", &here).await;
    }
    let input = TemplateInput {
        enabled: form.is_checked("enabled"),
        subject: form.text("subject").to_owned(),
        text: form.raw("text").to_owned(),
        html: form.raw("html").to_owned(),
    };
    let revision = form.text("revision").parse().unwrap_or(-1);
    let mut beside = Beside {
        ticket: form.text("ticket").to_owned(),
        ..Beside::default()
    };
    let again = match form.text("action") {
        "preview" | "test" => {
            let tried = try_out(&desk, &project, template.kind, &input, &beside.ticket).await?;
            match tried {
                Ok(rendered) if form.text("action") == "test" => {
                    let to = desk.current.user().email.clone();
                    let sent =
                        people::send_template(&desk.ctx, desk.actor(), &to, template.kind, rendered, None)
                            .await;
                    let text = match sent {
                        Ok(_) => {
                            return desk
                                .done(
                                    format!("A test mail with made-up values is on its way to {to}. Nothing was saved."),
                                    &here,
                                )
                                .await;
                        }
                        Err(OutboxError::NoSiteMail(text)) => outgoing::sentence(&text),
                        Err(error) => return Err(outgoing::refused(error)),
                    };
                    FormErrors::default().with("", &text)
                }
                Ok(rendered) => {
                    beside.preview = Some(shown(rendered));
                    FormErrors::default()
                }
                Err(errors) => errors,
            }
        }
        _ => match template::save(&desk.ctx, &projects, &project.id, template.kind, revision, &input).await {
            Ok(_) => return desk.done("The template is saved.", &here).await,
            Err(error) => told(error)?,
        },
    };
    let is_preview = again.is_empty();
    beside.errors = again;
    let mut view = view(&desk, &project, &template, input, beside).await?;
    // What somebody else saved meanwhile is not overwritten by a form that was shown again.
    view.revision = revision;
    if is_preview {
        desk.show(&view)
    } else {
        desk.show_again(&view)
    }
}

fn shown(rendered: Rendered) -> Preview {
    Preview {
        subject: rendered.subject,
        text: rendered.text,
        html: rendered.html,
    }
}

async fn try_out(
    desk: &Desk,
    project: &Project,
    kind: Kind,
    input: &TemplateInput,
    ticket: &str,
) -> Result<Result<Rendered, FormErrors>, Problem> {
    let named = (project.key.as_str(), project.name.as_str());
    let agent = desk.current.user().name.clone();
    let values = if ticket.is_empty() {
        template::sample(&desk.ctx, named, &agent)
    } else {
        let projects = desk.access().projects_with(Scope::MessagesRead);
        match people::template_values(&desk.ctx, &projects, named, ticket, &agent).await? {
            Some(values) => values,
            None => {
                return Ok(Err(
                    FormErrors::default().with("ticket", "There is no such ticket in this project.")
                ));
            }
        }
    };
    match template::try_out(kind, input, &values) {
        Ok(rendered) => Ok(Ok(rendered)),
        Err(error) => Ok(Err(told(error)?)),
    }
}
