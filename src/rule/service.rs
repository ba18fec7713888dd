//! What can be done with rules.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;

use super::definition;
use super::matching::Ready;
use super::model::{Place, Rule, RuleError, RuleInput};
use super::store;
use crate::access::Projects;
use crate::audit::{self, NewAuditEvent};
use crate::ctx::Ctx;
use crate::trouble::FieldError;
use crate::{id, project};

/// Most rules of a project: each is asked for every mail.
const MAX_RULES: usize = 200;

/// Makes a rule; it comes last in its project's order.
pub async fn create(ctx: &Ctx, projects: &Projects, input: RuleInput) -> Result<Rule, RuleError> {
    check(ctx, projects, &input).await?;
    let now = ctx.clock.now_ms();
    let rule = Rule {
        id: id::new("rul", &ctx.clock),
        project_id: input.project_id,
        position: 0,
        name: input.name.trim().to_owned(),
        enabled: input.enabled,
        stop: input.stop,
        matches: input.matches,
        actions: tidy(input.actions),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let txn = ctx.db.begin().await?;
    project::lock(&txn, &rule.project_id).await?;
    if store::of_project(&txn, &rule.project_id).await?.len() >= MAX_RULES {
        let text = "The project has 200 rules, which is the most; join some of them.";
        return Err(RuleError::Invalid(vec![FieldError::new(
            "projectId",
            "too_many",
            text,
        )]));
    }
    store::insert(&txn, &rule).await?;
    note(ctx, &txn, "rule.created", &rule).await?;
    txn.commit().await?;
    get(ctx, projects, &rule.id).await
}

/// Changes a rule that still has the revision `seen`. Its project stays.
pub async fn update(
    ctx: &Ctx,
    projects: &Projects,
    id: &str,
    seen: i64,
    input: RuleInput,
) -> Result<Rule, RuleError> {
    let mut rule = get(ctx, projects, id).await?;
    let input = RuleInput {
        project_id: rule.project_id.clone(),
        ..input
    };
    check(ctx, projects, &input).await?;
    rule.name = input.name.trim().to_owned();
    rule.enabled = input.enabled;
    rule.stop = input.stop;
    rule.matches = input.matches;
    rule.actions = tidy(input.actions);
    rule.updated_at = ctx.clock.now_ms();
    save(ctx, &rule, seen, "rule.updated").await?;
    get(ctx, projects, id).await
}

/// Writes a changed rule and notes it.
async fn save(ctx: &Ctx, rule: &Rule, seen: i64, action: &str) -> Result<(), RuleError> {
    let txn = ctx.db.begin().await?;
    if !store::update(&txn, rule, seen).await? {
        return Err(RuleError::Conflict);
    }
    note(ctx, &txn, action, rule).await?;
    Ok(txn.commit().await?)
}

async fn note<C: ConnectionTrait>(ctx: &Ctx, on: &C, action: &str, rule: &Rule) -> Result<(), DbErr> {
    let event = NewAuditEvent::new(action, "rule", &rule.id)
        .in_project(&rule.project_id)
        .saying(json!({ "name": rule.name, "enabled": rule.enabled, "action": rule.actions.place.as_str() }));
    audit::append(on, &ctx.clock, event).await.map(drop)
}

/// Switches a rule on or off. Off always works; on asks again whether what it names is there.
pub async fn switch(ctx: &Ctx, projects: &Projects, id: &str, enabled: bool) -> Result<Rule, RuleError> {
    let mut rule = get(ctx, projects, id).await?;
    if enabled {
        check(ctx, projects, &rule.input()).await?;
    }
    rule.enabled = enabled;
    rule.updated_at = ctx.clock.now_ms();
    let action = if enabled { "rule.enabled" } else { "rule.disabled" };
    save(ctx, &rule, rule.revision, action).await?;
    get(ctx, projects, id).await
}

fn tidy(mut actions: super::model::Actions) -> super::model::Actions {
    actions.ticket_key = actions.ticket_key.to_uppercase();
    actions
}

/// Checks an input as saving it would; for a rule that is only tried.
pub async fn check(ctx: &Ctx, projects: &Projects, input: &RuleInput) -> Result<(), RuleError> {
    let mut errors = definition::check(input);
    check_references(ctx, projects, input, &mut errors).await?;
    if errors.is_empty() {
        Ok(())
    } else {
        Err(RuleError::Invalid(errors))
    }
}

/// What only the database knows: whether what the rule names is there, and in its project.
async fn check_references(
    ctx: &Ctx,
    projects: &Projects,
    input: &RuleInput,
    errors: &mut Vec<FieldError>,
) -> Result<(), RuleError> {
    let on = ctx.db.read();
    let is_theirs = projects.contains(&input.project_id);
    if !is_theirs || !store::exists(on, "projects", &input.project_id, None).await? {
        let text = "Choose a project that exists.";
        errors.push(FieldError::new("projectId", "unknown", text));
        return Ok(());
    }
    for mailbox in &input.matches.mailbox_ids {
        if !store::exists(on, "mailboxes", mailbox, Some(&input.project_id)).await? {
            let text = format!("The project has no mailbox {mailbox}.");
            errors.push(FieldError::new("matches/mailboxIds", "unknown", text));
        }
    }
    let actions = &input.actions;
    if actions.place == Place::Ticket && !actions.ticket_key.is_empty() {
        let key = actions.ticket_key.to_uppercase();
        if !store::exists(on, "tickets", &key, Some(&input.project_id)).await? {
            let text = format!("The project has no ticket {key}.");
            errors.push(FieldError::new("actions/ticketKey", "unknown", text));
        }
    }
    let assignee = actions.assignee_id.as_str();
    if !assignee.is_empty() {
        if !store::exists(on, "users", assignee, None).await? {
            let text = format!("There is no user {assignee}.");
            errors.push(FieldError::new("actions/assigneeId", "unknown", text));
        } else if !store::may_work(on, assignee, &input.project_id).await? {
            let text = "This person may not work in the project: choose an agent or an admin of it, or a site admin, \
                        or make them a member first.";
            errors.push(FieldError::new("actions/assigneeId", "not_assignable", text));
        }
    }
    Ok(())
}

/// One rule of these projects.
pub async fn get(ctx: &Ctx, projects: &Projects, id: &str) -> Result<Rule, RuleError> {
    let found = store::by_id(ctx.db.read(), id).await?;
    found
        .filter(|rule| projects.contains(&rule.project_id))
        .ok_or(RuleError::NotFound)
}

/// The rules of these projects, each project's in its order.
pub async fn list(ctx: &Ctx, projects: &Projects) -> Result<Vec<Rule>, RuleError> {
    Ok(store::of_projects(ctx.db.read(), projects).await?)
}

/// The rules of a project, ready to be asked, read in the caller's transaction.
pub async fn ready<C: ConnectionTrait>(on: &C, project_id: &str) -> Result<Vec<Ready>, sea_orm::DbErr> {
    let rules = store::of_project(on, project_id).await?;
    Ok(rules.into_iter().map(Ready::new).collect())
}

/// Deletes a rule that still has the revision `seen`. What it has done stays done.
pub async fn delete(ctx: &Ctx, projects: &Projects, id: &str, seen: i64) -> Result<(), RuleError> {
    let rule = get(ctx, projects, id).await?;
    let txn = ctx.db.begin().await?;
    if !store::remove(&txn, id, seen).await? {
        return Err(RuleError::Conflict);
    }
    note(ctx, &txn, "rule.deleted", &rule).await?;
    Ok(txn.commit().await?)
}

/// Brings the rules of a project into a new order, which names each of them once, if the order still is the one that was
/// `seen`.
pub async fn reorder(
    ctx: &Ctx,
    projects: &Projects,
    project_id: &str,
    order: &[String],
    seen: Option<&[String]>,
) -> Result<Vec<Rule>, RuleError> {
    if !projects.contains(project_id) {
        return Err(RuleError::NotFound);
    }
    let txn = ctx.db.begin().await?;
    project::lock(&txn, project_id).await?;
    let rules = store::of_project(&txn, project_id).await?;
    if seen.is_some_and(|seen| !rules.iter().map(|rule| &rule.id).eq(seen)) {
        return Err(RuleError::Conflict);
    }
    let named = |rule: &Rule| order.iter().filter(|id| **id == rule.id).count() == 1;
    if order.len() != rules.len() || !rules.iter().all(named) {
        txn.rollback().await?;
        return Err(RuleError::BadOrder);
    }
    let now = ctx.clock.now_ms();
    for (position, id) in (1..).zip(order) {
        store::set_position(&txn, id, position, now).await?;
    }
    let event = NewAuditEvent::new("rule.reordered", "project", project_id)
        .in_project(project_id)
        .saying(json!({ "order": order }));
    audit::append(&txn, &ctx.clock, event).await?;
    txn.commit().await?;
    list(ctx, &Projects::one(project_id)).await
}

/// Moves a rule one place up or down; at the end of the order nothing changes.
pub async fn shift(ctx: &Ctx, projects: &Projects, id: &str, up: bool) -> Result<Rule, RuleError> {
    let rule = get(ctx, projects, id).await?;
    let rules = list(ctx, &Projects::one(&rule.project_id)).await?;
    let mut order: Vec<String> = rules.into_iter().map(|rule| rule.id).collect();
    let at = order.iter().position(|other| other == id);
    let to = at.and_then(|at| {
        if up {
            at.checked_sub(1)
        } else {
            (at + 1 < order.len()).then_some(at + 1)
        }
    });
    if let (Some(at), Some(to)) = (at, to) {
        order.swap(at, to);
        reorder(ctx, projects, &rule.project_id, &order, None).await?;
    }
    get(ctx, projects, id).await
}
