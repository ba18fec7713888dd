//! What can be done with templates.

use sea_orm::{ConnectionTrait, DbErr};

use super::model::{Kind, Rendered, Template, TemplateError, TemplateInput, VARIABLES, Values};
use super::store;
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::message::{self, Message};
use crate::project::{self, Project, ProjectError};
use crate::render::sandbox;
use crate::ticket::Ticket;
use crate::trouble::FieldError;

/// Longest subject, characters.
const MAX_SUBJECT: usize = 500;

async fn project_of(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Project, TemplateError> {
    match project::get(ctx, projects, id).await {
        Ok(project) => Ok(project),
        Err(ProjectError::Db(error)) => Err(error.into()),
        Err(_) => Err(TemplateError::NotFound),
    }
}

/// A project's templates, one of each kind.
pub async fn list(ctx: &Ctx, projects: &Projects, project_id: &str) -> Result<Vec<Template>, TemplateError> {
    project_of(ctx, projects, project_id).await?;
    let own = store::of_project(ctx.db.read(), project_id).await?;
    Ok(Kind::ALL
        .into_iter()
        .map(|kind| {
            let found = own.iter().find(|template| template.kind == kind);
            found.cloned().unwrap_or_else(|| Template::default_of(kind))
        })
        .collect())
}

/// A project's template of one kind.
pub async fn get(
    ctx: &Ctx,
    projects: &Projects,
    project_id: &str,
    kind: Kind,
) -> Result<Template, TemplateError> {
    project_of(ctx, projects, project_id).await?;
    let own = store::get(ctx.db.read(), project_id, kind).await?;
    Ok(own.unwrap_or_else(|| Template::default_of(kind)))
}

/// The template of a kind if the project has it sent.
pub async fn enabled<C: ConnectionTrait>(
    on: &C,
    project_id: &str,
    kind: Kind,
) -> Result<Option<Template>, DbErr> {
    let own = store::get(on, project_id, kind).await?;
    Ok(own.filter(|template| template.enabled))
}

/// Saves a template. `revision` is the one that was seen; 0 is the default.
///
/// # Errors
/// When a part cannot be used, or somebody else saved meanwhile.
pub async fn save(
    ctx: &Ctx,
    projects: &Projects,
    project_id: &str,
    kind: Kind,
    revision: i64,
    input: &TemplateInput,
) -> Result<Template, TemplateError> {
    project_of(ctx, projects, project_id).await?;
    let template = made_of(kind, revision, input);
    refuse(mistakes(&template))?;
    let txn = ctx.db.begin().await?;
    if !store::save(&txn, project_id, &template, ctx.clock.now_ms()).await? {
        return Err(TemplateError::Conflict);
    }
    note(ctx, &txn, project_id, kind, "template.updated").await?;
    txn.commit().await?;
    get(ctx, projects, project_id, kind).await
}

/// Back to the default, switched off, if it is still as it was `seen`.
pub async fn restore(
    ctx: &Ctx,
    projects: &Projects,
    project_id: &str,
    kind: Kind,
    seen: Option<i64>,
) -> Result<Template, TemplateError> {
    project_of(ctx, projects, project_id).await?;
    let txn = ctx.db.begin().await?;
    if store::remove(&txn, project_id, kind, seen).await? {
        note(ctx, &txn, project_id, kind, "template.restored").await?;
    } else if let Some(seen) = seen {
        let present = store::get(&txn, project_id, kind).await?;
        if present.map_or(0, |template| template.revision) != seen {
            return Err(TemplateError::Conflict);
        }
    }
    txn.commit().await?;
    Ok(Template::default_of(kind))
}

async fn note<C: ConnectionTrait>(
    ctx: &Ctx,
    on: &C,
    project_id: &str,
    kind: Kind,
    action: &str,
) -> Result<(), DbErr> {
    let event = crate::audit::NewAuditEvent::new(action, "project", project_id)
        .in_project(project_id)
        .saying(serde_json::json!({ "template": kind.as_str() }));
    crate::audit::append(on, &ctx.clock, event).await.map(drop)
}

fn made_of(kind: Kind, revision: i64, input: &TemplateInput) -> Template {
    Template {
        kind,
        enabled: input.enabled,
        subject: if kind.has_subject() {
            input.subject.trim().to_owned()
        } else {
            String::new()
        },
        text: input.text.replace("\r\n", "\n"),
        html: input.html.replace("\r\n", "\n"),
        is_default: false,
        revision,
        updated_at: 0,
    }
}

fn refuse(errors: Vec<FieldError>) -> Result<(), TemplateError> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(TemplateError::Invalid(errors))
    }
}

fn known() -> Vec<&'static str> {
    VARIABLES.iter().map(|(name, _)| *name).collect()
}

fn mistakes(template: &Template) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let known = known();
    if template.kind.has_subject() {
        if template.subject.is_empty() {
            errors.push(FieldError::new("subject", "required", "Write a subject."));
        }
        if template.subject.chars().any(char::is_control) || template.subject.chars().count() > MAX_SUBJECT {
            errors.push(FieldError::new(
                "subject",
                "invalid",
                format!("A subject is one line of at most {MAX_SUBJECT} characters."),
            ));
        }
    }
    if template.text.trim().is_empty() {
        errors.push(FieldError::new("text", "required", "Write the text."));
    }
    for (field, source) in [
        ("subject", &template.subject),
        ("text", &template.text),
        ("html", &template.html),
    ] {
        if let Err(error) = sandbox::check(source, &known) {
            errors.push(FieldError::new(
                field,
                "template",
                format!("In line {}: {}", error.line, error.message),
            ));
        }
    }
    errors
}

/// Renders a template.
///
/// # Errors
/// When it cannot be used, or more comes out of it than a mail may hold.
pub fn render(template: &Template, values: &Values) -> Result<Rendered, TemplateError> {
    let (known, values) = (known(), values.to_json());
    let part = |field: &'static str, source: &str, escape: bool| {
        sandbox::render_checked(source, &known, &values, escape).map_err(|error| {
            TemplateError::Invalid(vec![FieldError::new(
                field,
                "template",
                format!("In line {}: {}", error.line, error.message),
            )])
        })
    };
    // A value can bring no line break into a subject, and nothing that comes out is read again.
    let subject: String = part("subject", &template.subject, false)?
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SUBJECT)
        .collect();
    let html = if template.html.trim().is_empty() {
        None
    } else {
        mailgrant_mail::sanitize_html(&part("html", &template.html, true)?)
    };
    Ok(Rendered {
        subject: subject.trim().to_owned(),
        text: part("text", &template.text, false)?,
        html,
    })
}

/// What would come out of something that is not saved.
///
/// # Errors
/// As [`save`].
pub fn try_out(kind: Kind, input: &TemplateInput, values: &Values) -> Result<Rendered, TemplateError> {
    let template = made_of(kind, 0, input);
    refuse(mistakes(&template))?;
    render(&template, values)
}

/// The values of a ticket and its newest message.
pub fn values_of(
    ctx: &Ctx,
    project: (&str, &str),
    ticket: &Ticket,
    last: Option<&Message>,
    agent_name: &str,
) -> Values {
    let text = last.map(message::parsed).and_then(|parsed| {
        let reply = parsed.get("mailgrant")?.get("text")?.as_str()?;
        Some(reply.trim().to_owned())
    });
    let from = last.map(|last| {
        if last.from_name.is_empty() {
            last.from_email.clone()
        } else {
            last.from_name.clone()
        }
    });
    Values {
        ticket_key: ticket.key.clone(),
        ticket_subject: ticket.subject.clone(),
        ticket_state: ticket.state.clone(),
        ticket_url: ctx.config.url(&format!("/tickets/{}", ticket.key)),
        project_key: project.0.to_owned(),
        project_name: project.1.to_owned(),
        requester_name: ticket.requester_name.clone(),
        requester_email: ticket.requester_email.clone(),
        message_from: from.unwrap_or_default(),
        message_text: text.unwrap_or_default(),
        agent_name: agent_name.to_owned(),
        site_url: ctx.config.url(""),
    }
}

/// Values to try a template with.
pub fn sample(ctx: &Ctx, project: (&str, &str), agent_name: &str) -> Values {
    Values {
        ticket_key: format!("{}-42", project.0),
        ticket_subject: "Printer on fire & <b>smoking</b>".to_owned(),
        ticket_state: "open".to_owned(),
        ticket_url: ctx.config.url(&format!("/tickets/{}-42", project.0)),
        project_key: project.0.to_owned(),
        project_name: project.1.to_owned(),
        requester_name: "Grace Hopper".to_owned(),
        requester_email: "grace@example.com".to_owned(),
        message_from: "Grace Hopper".to_owned(),
        message_text: "The printer on floor 3 is on fire.\nAgain.".to_owned(),
        agent_name: agent_name.to_owned(),
        site_url: ctx.config.url(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            ticket_key: "HELP-1".into(),
            ticket_subject: "a\r\nBcc: x@y.example <script>alert(1)</script>".into(),
            requester_name: "Ada".into(),
            ..Values::default()
        }
    }

    #[test]
    fn every_default_can_be_used_as_it_is() {
        for kind in Kind::ALL {
            let template = Template::default_of(kind);
            assert!(!template.enabled);
            assert_eq!(mistakes(&template), []);
            let rendered = render(&template, &values()).unwrap();
            assert!(
                !rendered.text.is_empty() && !rendered.text.contains("{{"),
                "{kind:?}"
            );
            assert_eq!(rendered.subject.is_empty(), !kind.has_subject());
        }
    }

    #[test]
    fn a_value_becomes_no_header_and_no_script() {
        let input = TemplateInput {
            enabled: true,
            subject: "Re: {{ ticket.subject }}".into(),
            text: "{{ ticket.subject }}".into(),
            html: "<p onclick=\"x()\">{{ ticket.subject }}</p><script>x()</script><a href=\"{{ ticket.subject }}\">x</a>"
                .into(),
        };
        let rendered = try_out(Kind::Acknowledgement, &input, &values()).unwrap();
        assert!(!rendered.subject.contains(['\r', '\n']), "{}", rendered.subject);
        let html = rendered.html.unwrap();
        assert!(!html.contains("<script") && !html.contains("onclick"), "{html}");
    }

    #[test]
    fn mistakes_name_their_part_and_line() {
        let input = TemplateInput {
            subject: "{{ nobody }}".into(),
            text: "x\n{% for a in b %}".into(),
            html: "{{ ticket.key | safe }}".into(),
            enabled: true,
        };
        let Err(TemplateError::Invalid(errors)) = try_out(Kind::NewTicket, &input, &values()) else {
            panic!("it was taken");
        };
        let fields: Vec<&str> = errors.iter().map(|error| error.field).collect();
        assert_eq!(fields, ["subject", "text", "html"]);
        assert!(errors[1].message.contains("line 2"), "{}", errors[1].message);
    }

    #[test]
    fn whoever_is_not_verified_has_no_words_carried() {
        let template = Template::default_of(Kind::Acknowledgement);
        let rendered = render(&template, &values().without_words()).unwrap();
        let all = format!("{}{}", rendered.subject, rendered.text);
        assert!(
            all.contains("HELP-1") && !all.contains("Ada") && !all.contains("Bcc"),
            "{all}"
        );
    }
}
