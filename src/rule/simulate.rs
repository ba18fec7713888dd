//! Trying rules on mail that is here already, before they go live. Reads only.

use serde::Serialize;

use super::matching::{self, Decision, Ready};
use super::model::{Place, Rule, RuleError, RuleInput};
use super::store;
use crate::access::Projects;
use crate::ctx::Ctx;
use crate::message::{self, Message, MessageFilter, Outline};

/// Messages that are tried when nobody says how many, and the most.
pub const DEFAULT_MESSAGES: u64 = 200;
/// See [`DEFAULT_MESSAGES`].
pub const MOST_MESSAGES: u64 = 1_000;
/// Messages held in memory at once.
const AT_ONCE: u64 = 25;

/// What is tried.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// The project whose mail and rules these are.
    pub project_id: String,
    /// A new rule, or the rule `rule_id` as it would be; none tries an order only.
    pub rule: Option<RuleInput>,
    /// The rule that would change; empty for a new one, which would come last.
    pub rule_id: String,
    /// The order of the rules that are there; empty leaves it.
    pub order: Vec<String>,
    /// How many messages, the newest first.
    pub limit: u64,
    /// Only messages since then, milliseconds since 1970.
    pub since: Option<i64>,
}

/// What would be different.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How many messages were tried.
    pub looked_at: u64,
    /// How many of them the rule fits.
    pub matched: u64,
    /// How many would be treated otherwise than by the rules of now.
    pub changed: u64,
    /// Messages that the rule fits or that would be treated otherwise, the newest first.
    pub messages: Vec<Tried>,
    /// The keys of the tickets that would be otherwise.
    pub tickets: Vec<String>,
}

/// One message.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The message.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// Its sender.
    pub from: String,
    /// When it came, milliseconds since 1970.
    #[serde(skip)]
    pub received_at: i64,
    /// The ticket it is in; none if it is in none.
    pub ticket_key: Option<String>,
    /// Whether the tried rule fits it.
    pub matched: bool,
    /// Whether it would be treated otherwise.
    pub changed: bool,
    /// The names of the rules that would fit it, in their order.
    pub rules: Vec<String>,
    /// What would happen, a sentence each.
    pub effects: Vec<String>,
}

/// Tries rules on stored mail. Nothing is written.
///
/// # Errors
/// A rule or an order that could not be saved either.
pub async fn simulate(ctx: &Ctx, projects: &Projects, trial: &Trial) -> Result<Outcome, RuleError> {
    if !projects.contains(&trial.project_id) {
        return Err(RuleError::NotFound);
    }
    if let Some(input) = &trial.rule {
        let input = RuleInput {
            project_id: trial.project_id.clone(),
            ..input.clone()
        };
        super::service::check(ctx, projects, &input).await?;
    }
    let now = store::of_project(ctx.db.read(), &trial.project_id).await?;
    let (then, tried_id) = proposed(&now, trial)?;
    let ready = |rules: Vec<Rule>| rules.into_iter().map(Ready::new).collect::<Vec<_>>();
    let (now, then) = (ready(now), ready(then));
    let mut outcome = Outcome::default();
    let mut filter = MessageFilter {
        projects: Projects::one(&trial.project_id),
        ..MessageFilter::default()
    };
    let limit = trial.limit.clamp(1, MOST_MESSAGES);
    while outcome.looked_at < limit {
        let page = message::list(ctx, &filter, AT_ONCE.min(limit - outcome.looked_at)).await;
        let page = page.map_err(database)?;
        for message in &page.items {
            if trial.since.is_some_and(|since| message.received_at < since) {
                outcome.tickets.sort();
                return Ok(outcome);
            }
            try_one(ctx, message, (&now, &then), &tried_id, &mut outcome).await?;
        }
        match page.next {
            Some(after) => filter.after = Some(after),
            None => break,
        }
    }
    outcome.tickets.sort();
    Ok(outcome)
}

fn database(error: message::MessageError) -> RuleError {
    match error {
        message::MessageError::Db(error) => error.into(),
        other => RuleError::Db(sea_orm::DbErr::Custom(other.to_string())),
    }
}

/// The rules as they would be, and the id of the one that is tried.
fn proposed(now: &[Rule], trial: &Trial) -> Result<(Vec<Rule>, String), RuleError> {
    let mut then = now.to_vec();
    if !trial.order.is_empty() {
        let place = |rule: &Rule| trial.order.iter().position(|id| *id == rule.id);
        if trial.order.len() != then.len() || then.iter().any(|rule| place(rule).is_none()) {
            return Err(RuleError::BadOrder);
        }
        then.sort_by_key(place);
    }
    let Some(input) = &trial.rule else {
        return Ok((then, String::new()));
    };
    let tried = Rule {
        id: if trial.rule_id.is_empty() {
            "new".to_owned()
        } else {
            trial.rule_id.clone()
        },
        project_id: trial.project_id.clone(),
        position: 0,
        name: input.name.clone(),
        // It is tried as if it were in force: that is the question.
        enabled: true,
        stop: input.stop,
        matches: input.matches.clone(),
        actions: input.actions.clone(),
        revision: 0,
        created_at: 0,
        updated_at: 0,
    };
    let id = tried.id.clone();
    match then.iter_mut().find(|rule| rule.id == trial.rule_id) {
        Some(place) => *place = tried,
        None if trial.rule_id.is_empty() => then.push(tried),
        None => return Err(RuleError::NotFound),
    }
    Ok((then, id))
}

async fn try_one(
    ctx: &Ctx,
    message: &Message,
    (now, then): (&[Ready], &[Ready]),
    tried_id: &str,
    outcome: &mut Outcome,
) -> Result<(), RuleError> {
    outcome.looked_at += 1;
    let beginning = message::beginning(ctx.db.read(), &message.id).await?;
    let outline = Outline::of_stored(&message.parsed, &beginning);
    let before = matching::decide(now, &outline, &message.mailbox_id);
    let after = matching::decide(then, &outline, &message.mailbox_id);
    let fits = then
        .iter()
        .any(|ready| ready.rule.id == tried_id && ready.fits(&outline, &message.mailbox_id));
    let changed = !same(&before, &after);
    if !fits && !changed {
        return Ok(());
    }
    outcome.matched += u64::from(fits);
    outcome.changed += u64::from(changed);
    let key = store::ticket_key(ctx.db.read(), &message.ticket_id).await?;
    if changed {
        let touched = [key.as_deref(), Some(after.ticket_key.as_str())];
        for key in touched.into_iter().flatten().filter(|key| !key.is_empty()) {
            if !outcome.tickets.iter().any(|known| known == key) {
                outcome.tickets.push(key.to_owned());
            }
        }
    }
    outcome.messages.push(Tried {
        message_id: message.id.clone(),
        subject: message.subject.clone(),
        from: message.from_email.clone(),
        received_at: message.received_at,
        effects: effects(&after, key.as_deref()),
        ticket_key: key,
        matched: fits,
        changed,
        rules: after.fitted.iter().map(|rule| rule.name.clone()).collect(),
    });
    Ok(())
}

/// Whether two decisions do the same, whichever rules they come from.
fn same(a: &Decision, b: &Decision) -> bool {
    a.place() == b.place()
        && a.ticket_key == b.ticket_key
        && a.priority == b.priority
        && a.labels == b.labels
        && a.assignee_id == b.assignee_id
        && a.forward_to == b.forward_to
        && a.answer == b.answer
}

/// What a decision would do with a message that is in this ticket now.
fn effects(decision: &Decision, key: Option<&str>) -> Vec<String> {
    let mut effects = Vec::new();
    let instead = |key: Option<&str>| key.map_or(String::new(), |key| format!(", not into {key}"));
    match decision.place() {
        Place::Default => {}
        Place::New => effects.push(format!("It would open a ticket of its own{}.", instead(key))),
        Place::Ticket => {
            let other = key.filter(|key| *key != decision.ticket_key);
            effects.push(format!(
                "It would go into {}{}.",
                decision.ticket_key,
                instead(other)
            ));
        }
        Place::Drop => effects.push(format!("It would be dropped{}.", instead(key))),
        Place::Quarantine => effects.push(format!("It would wait in quarantine{}.", instead(key))),
    }
    if !decision.labels.is_empty() {
        effects.push(format!(
            "Its ticket would get the labels {}.",
            decision.labels.join(", ")
        ));
    }
    if !decision.priority.is_empty() {
        effects.push(format!(
            "A ticket it opens would have the priority {}.",
            decision.priority
        ));
    }
    if !decision.assignee_id.is_empty() {
        effects.push("A ticket it opens would be assigned.".to_owned());
    }
    if !decision.forward_to.is_empty() {
        effects.push(format!("A copy would go to {}.", decision.forward_to.join(", ")));
    }
    if !decision.answer.is_empty() {
        effects.push(
            "Its sender would get an automatic answer, if the guard against loops allows it.".to_owned(),
        );
    }
    effects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(place: Place) -> Decision {
        Decision {
            place: Some((place, matching::Fitted::default())),
            ticket_key: "HELP-2".into(),
            labels: vec!["vip".into()],
            ..Decision::default()
        }
    }

    #[test]
    fn effects_name_the_ticket_that_would_be_otherwise() {
        let first = |place, key| effects(&decision(place), key).remove(0);
        assert_eq!(
            first(Place::Drop, Some("HELP-1")),
            "It would be dropped, not into HELP-1."
        );
        assert_eq!(first(Place::Ticket, Some("HELP-2")), "It would go into HELP-2.");
        assert_eq!(
            first(Place::Ticket, Some("HELP-1")),
            "It would go into HELP-2, not into HELP-1."
        );
        assert_eq!(first(Place::New, None), "It would open a ticket of its own.");
        assert!(effects(&Decision::default(), Some("HELP-1")).is_empty());
    }

    #[test]
    fn decisions_are_the_same_whichever_rule_made_them() {
        let mut other = decision(Place::Drop);
        other.place = Some((
            Place::Drop,
            matching::Fitted {
                id: "rul_2".into(),
                name: "Other".into(),
            },
        ));
        assert!(same(&decision(Place::Drop), &other));
        assert!(!same(&decision(Place::Drop), &decision(Place::New)));
    }
}
