//! `/rules`: what a project wants done with certain mail, in order.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::input::{Input, Query, bad_cursor};
use super::output;
use super::tag::{IfMatch, Tag, changed_meanwhile};
use crate::access::{Access, Scope};
use crate::clock::rfc3339;
use crate::ctx::Ctx;
use crate::rule::{self, Outcome, Rule, RuleError, RuleInput, Trial, definition, simulate};
use crate::web::error::Problem;
use crate::web::openapi::Doc;
use crate::web::openapi::schema::{Schema, boolean, id, input, integer, list_of, object, text, time, word};
use crate::web::route::{Guard, Route};

const READ: Guard = Guard::Scope(Scope::MailboxesRead);
const WRITE: Guard = Guard::Scope(Scope::MailboxesWrite);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/rules", READ, || web::to(list)).doc(|| {
        Doc::new("List rules")
            .about("Each project's rules in the order in which they are asked.")
            .query("projectId", text(), "Only of this project; the `ETag` is then that of its order")
            .lists(rule_schema())
            .tagged()
    }),
    Route::post("/api/v1/rules", WRITE, || web::to(create)).doc(|| {
        Doc::new("Make a rule")
            .about("It comes last in its project's order.")
            .takes(sent(&["projectId", "name"]))
            .answers(201, "The new rule", rule_schema())
            .tagged()
    }),
    Route::post("/api/v1/rules/order", WRITE, || web::to(reorder)).doc(|| {
        Doc::new("Reorder a project's rules")
            .about("Name each of them once. `If-Match` takes the `ETag` of the project's list.")
            .takes(input(&["projectId", "order"], [("projectId", id("prj")), ("order", list_of(id("rul")))]))
            .answers(
                200,
                "The rules in their new order",
                object([("items", list_of(rule_schema())), ("next", text().or_null())]),
            )
            .fails(422, "The order does not name each rule of the project once")
            .tagged()
            .if_match()
    }),
    Route::post("/api/v1/rules/simulate", WRITE, || web::to(try_rules))
        .only_reads()
        .doc(|| {
            Doc::new("Try rules on stored mail")
                .about(
                    "Shows which messages a new or changed rule, or another order, would treat otherwise. Nothing is \
                     written. Needs `messages:read` as well.",
                )
                .takes(input(
                    &["projectId"],
                    [
                        ("projectId", id("prj")),
                        ("ruleId", id("rul").about("The rule that would change; without it `rule` is a new one")),
                        ("rule", sent(&[])),
                        ("order", list_of(id("rul"))),
                        (
                            "limit",
                            integer().about("How many messages, the newest first; 200 unless told, 1,000 at most"),
                        ),
                        ("since", time().about("Only messages since then")),
                    ],
                ))
                .fails(404, "There is no such rule")
                .answers(200, "What would be otherwise", outcome_schema())
        }),
    Route::get("/api/v1/rules/{id}", READ, || web::to(get))
        .doc(|| Doc::new("Show a rule").answers(200, "The rule", rule_schema()).tagged()),
    Route::patch("/api/v1/rules/{id}", WRITE, || web::to(update)).doc(|| {
        Doc::new("Change a rule")
            .about("What is not sent stays; `matches` and `actions` change as a whole.")
            .takes(sent(&[]))
            .answers(200, "The changed rule", rule_schema())
            .tagged()
    }),
    Route::delete("/api/v1/rules/{id}", WRITE, || web::to(delete)).doc(|| {
        Doc::new("Delete a rule")
            .about("What it has done stays done.")
            .answers_nothing(204, "Deleted")
            .tagged()
    }),
];

/// A rule as [`show`] writes it.
fn rule_schema() -> Schema {
    object([
        ("id", id("rul")),
        ("projectId", id("prj")),
        ("position", integer()),
        ("name", text()),
        ("enabled", boolean()),
        ("stop", boolean()),
        (
            "matches",
            object([
                ("sender", list_of(text())),
                ("recipient", list_of(text())),
                (
                    "subject",
                    object([("how", how()), ("value", text().or_null())]).or_null(),
                ),
                (
                    "headers",
                    list_of(object([
                        ("name", text()),
                        ("how", how()),
                        ("value", text().or_null()),
                    ])),
                ),
                ("kind", list_of(text())),
                (
                    "attachment",
                    object([
                        ("present", boolean()),
                        ("name", text().or_null()),
                        ("mediaType", text().or_null()),
                    ])
                    .or_null(),
                ),
                ("authentication", verdicts()),
                ("mailboxIds", list_of(id("mbx"))),
            ]),
        ),
        (
            "actions",
            object([
                ("place", place()),
                ("ticketKey", text().or_null()),
                ("priority", text().or_null()),
                ("labels", list_of(text())),
                ("assigneeId", text().or_null()),
                ("forwardTo", list_of(text())),
                ("answer", text().or_null()),
            ]),
        ),
        ("createdAt", time()),
        ("updatedAt", time()),
    ])
    .named("Rule")
}

fn how() -> Schema {
    word(&["contains", "glob", "regex"])
}

fn place() -> Schema {
    word(&["default", "new", "ticket", "drop", "quarantine"])
}

fn verdicts() -> Schema {
    object([
        ("spf", list_of(text())),
        ("dkim", list_of(text())),
        ("dmarc", list_of(text())),
    ])
}

/// What is sent to make or change one.
fn sent(required: &[&str]) -> Schema {
    let matches = input(
        &[],
        [
            (
                "sender",
                list_of(text()).about("Addresses, domains or globs; one of them is enough"),
            ),
            ("recipient", list_of(text())),
            ("subject", input(&[], [("how", how()), ("value", text())])),
            (
                "headers",
                list_of(input(&[], [("name", text()), ("how", how()), ("value", text())])),
            ),
            (
                "kind",
                list_of(word(&["person", "bounce", "auto-reply", "report", "bulk"])),
            ),
            (
                "attachment",
                input(
                    &[],
                    [("present", boolean()), ("name", text()), ("mediaType", text())],
                ),
            ),
            (
                "authentication",
                input(
                    &[],
                    [
                        ("spf", list_of(text())),
                        ("dkim", list_of(text())),
                        ("dmarc", list_of(text())),
                    ],
                ),
            ),
            ("mailboxIds", list_of(id("mbx"))),
        ],
    );
    let actions = input(
        &[],
        [
            ("place", place()),
            ("ticketKey", text().example("HELP-42")),
            ("priority", word(&["low", "normal", "high", "urgent"])),
            ("labels", list_of(text())),
            ("assigneeId", id("usr")),
            (
                "forwardTo",
                list_of(text()).about("Get each mail as it came; needs `messages:read`"),
            ),
            ("answer", text()),
        ],
    );
    input(
        required,
        [
            ("projectId", id("prj")),
            ("name", text()),
            ("enabled", boolean()),
            ("stop", boolean().about("Later rules are left out once it fits")),
            (
                "matches",
                matches.about("A mail must fit all of it; what is left out fits every mail"),
            ),
            ("actions", actions),
        ],
    )
}

fn outcome_schema() -> Schema {
    let message = object([
        ("messageId", id("msg")),
        ("subject", text().or_null()),
        ("from", text().or_null()),
        ("receivedAt", time()),
        ("ticketKey", text().or_null()),
        ("matched", boolean()),
        ("changed", boolean()),
        ("rules", list_of(text())),
        ("effects", list_of(text())),
    ]);
    object([
        ("lookedAt", integer()),
        ("matched", integer()),
        ("changed", integer()),
        ("tickets", list_of(text())),
        ("messages", list_of(message)),
    ])
    .named("RuleSimulation")
}

fn show(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "projectId": rule.project_id,
        "position": rule.position,
        "name": rule.name,
        "enabled": rule.enabled,
        "stop": rule.stop,
        "matches": nulls(serde_json::to_value(&rule.matches).unwrap_or_default()),
        "actions": nulls(serde_json::to_value(&rule.actions).unwrap_or_default()),
        "createdAt": rfc3339(rule.created_at),
        "updatedAt": rfc3339(rule.updated_at),
    })
}

/// The empty text as null, in every object.
fn nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) if text.is_empty() => (name, Value::Null),
                other => (name, nulls(other)),
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(nulls).collect(),
        other => other,
    }
}

fn refused(error: RuleError) -> Problem {
    match error {
        RuleError::Invalid(errors) => output::invalid(
            errors
                .into_iter()
                .map(|error| (error.field, error.code, error.message)),
        ),
        RuleError::NotFound => Problem::not_found("rule"),
        RuleError::Conflict => changed_meanwhile(),
        RuleError::BadOrder => Problem::new(
            actix_web::http::StatusCode::UNPROCESSABLE_ENTITY,
            "bad_order",
            error.to_string(),
        )
        .at("/order"),
        RuleError::Db(error) => error.into(),
    }
}

/// What was sent, over what there is. What nobody sent stays; conditions and actions change as a whole.
fn read(input: &mut Input, mut rule: RuleInput) -> RuleInput {
    for (name, place) in [("name", &mut rule.name), ("projectId", &mut rule.project_id)] {
        if let Some(text) = input.text(name) {
            *place = text;
        }
    }
    for (name, place) in [("enabled", &mut rule.enabled), ("stop", &mut rule.stop)] {
        if let Some(flag) = input.boolean(name) {
            *place = flag;
        }
    }
    let mut errors = Vec::new();
    if let Some(value) = input.value("matches") {
        rule.matches = definition::read_matches(value, &mut errors);
    }
    if let Some(value) = input.value("actions") {
        rule.actions = definition::read_actions(value, &mut errors);
    }
    for error in errors {
        input.problem(error.field, error.code, error.message);
    }
    rule
}

async fn list(ctx: web::Data<Ctx>, access: Access, query: Query) -> Result<HttpResponse, Problem> {
    let projects = match query.get("projectId") {
        Some(project) => access.projects().only(&project),
        None => access.projects(),
    };
    let all = rule::list(&ctx, &projects).await.map_err(refused)?;
    let tag = order_tag(&order_of(&all));
    // In their order, which is what a list of rules is for; `after` is the last id of the part before.
    let rest = match &query.after {
        Some(after) => {
            // One that was deleted meanwhile has no place any more: nothing is told twice or left out by guessing.
            let at = all.iter().position(|rule| rule.id == *after);
            all.into_iter().skip(at.ok_or_else(bad_cursor)? + 1).collect()
        }
        None => all,
    };
    let answer = output::list_of(&query, rest, |rule| &rule.id, show);
    Ok(output::with_tag(answer, tag))
}

fn order_of(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(|rule| rule.id.clone()).collect()
}

/// What an order of rules is told apart by from another: not what the rules say, which has tags of its own.
fn order_tag(order: &[String]) -> Tag {
    Tag::of(&json!(order))
}

/// Whoever may not read mail has none sent elsewhere by a rule.
fn check_forwards(access: &Access, rule: &RuleInput, input: &mut Input) {
    if !rule.actions.forward_to.is_empty() && !access.may(Scope::MessagesRead, &rule.project_id) {
        input.problem(
            "actions/forwardTo",
            "needs_messages_read",
            "this passes whole mails on: it needs the scope messages:read in the project",
        );
    }
}

async fn create(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    input.required_text("projectId");
    let new = RuleInput {
        enabled: true,
        ..RuleInput::default()
    };
    let new = read(&mut input, new);
    check_forwards(&access, &new, &mut input);
    input.finish()?;
    let rule = rule::create(&ctx, &access.projects(), new)
        .await
        .map_err(refused)?;
    let path = format!("/api/v1/rules/{}", rule.id);
    Ok(output::created(&path, rule.revision, show(&rule)))
}

async fn get(ctx: web::Data<Ctx>, access: Access, id: web::Path<String>) -> Result<HttpResponse, Problem> {
    let rule = rule::get(&ctx, &access.projects(), &id).await.map_err(refused)?;
    Ok(output::tagged(rule.revision, show(&rule)))
}

async fn update(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let projects = access.projects();
        let old = rule::get(&ctx, &projects, &id).await.map_err(refused)?;
        seen.check(old.revision)?;
        let change = read(&mut input, old.input());
        if change.project_id != old.project_id {
            input.problem(
                "projectId",
                "fixed",
                "a rule stays in its project; make a new one in the other",
            );
        }
        if change != old.input() {
            check_forwards(&access, &change, &mut input);
        }
        input.finish()?;
        let rule = rule::update(&ctx, &projects, &id, old.revision, change)
            .await
            .map_err(refused)?;
        Ok(output::tagged(rule.revision, show(&rule)))
    })
    .await
}

async fn delete(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let projects = access.projects();
        let old = rule::get(&ctx, &projects, &id).await.map_err(refused)?;
        seen.check(old.revision)?;
        rule::delete(&ctx, &projects, &id, old.revision)
            .await
            .map_err(refused)?;
        Ok(output::done())
    })
    .await
}

async fn reorder(
    ctx: web::Data<Ctx>,
    access: Access,
    seen: IfMatch,
    input: Input,
) -> Result<HttpResponse, Problem> {
    seen.settle(async || {
        let mut input = input.clone();
        let project = input.required_text("projectId");
        let order = input.texts("order").unwrap_or_default();
        input.finish()?;
        let present = rule::list(&ctx, &access.projects().only(&project))
            .await
            .map_err(refused)?;
        let present = order_of(&present);
        let seen = seen.seen_as(order_tag(&present), present)?;
        let rules = rule::reorder(&ctx, &access.projects(), &project, &order, seen.as_deref())
            .await
            .map_err(refused)?;
        let items: Vec<Value> = rules.iter().map(show).collect();
        let shown = json!({ "items": items, "next": null });
        Ok(output::tagged(order_tag(&order_of(&rules)), shown))
    })
    .await
}

async fn try_rules(ctx: web::Data<Ctx>, access: Access, mut input: Input) -> Result<HttpResponse, Problem> {
    let projects = access.projects();
    let mut trial = Trial {
        project_id: input.required_text("projectId"),
        rule_id: input.text("ruleId").unwrap_or_default(),
        order: input.texts("order").unwrap_or_default(),
        since: input.time("since"),
        ..Trial::default()
    };
    let limit = input.integer("limit").unwrap_or(0);
    if !(0..=simulate::MOST_MESSAGES.cast_signed()).contains(&limit) {
        let most = simulate::MOST_MESSAGES;
        input.problem(
            "limit",
            "invalid",
            format!("`limit` must be a number from 1 to {most}"),
        );
    }
    trial.limit = match u64::try_from(limit) {
        Ok(0) | Err(_) => simulate::DEFAULT_MESSAGES,
        Ok(limit) => limit,
    };
    // A rule that is there, as it would be after the change that is sent; or a new one.
    if input.has("rule") {
        let base = if trial.rule_id.is_empty() {
            RuleInput {
                project_id: trial.project_id.clone(),
                ..RuleInput::default()
            }
        } else {
            let stored = rule::get(&ctx, &projects, &trial.rule_id)
                .await
                .map_err(refused)?;
            stored.input()
        };
        let mut within = input.within("rule");
        trial.rule = Some(read(&mut within, base));
        input.take_problems(within, "rule");
    } else if trial.order.is_empty() {
        input.problem("rule", "required", "send a `rule`, an `order`, or both");
    }
    input.finish()?;
    if !access.may(Scope::MessagesRead, &trial.project_id) {
        return Err(Problem::forbidden(
            "insufficient_scope",
            "trying rules shows mail, which this token may not read",
        )
        .needs_scope(Scope::MessagesRead));
    }
    let outcome = rule::simulate(&ctx, &projects, &trial).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(show_outcome(&outcome)))
}

fn show_outcome(outcome: &Outcome) -> Value {
    let messages = outcome.messages.iter().map(|tried| {
        let mut shown = serde_json::to_value(tried).unwrap_or_default();
        shown["receivedAt"] = rfc3339(tried.received_at).into();
        nulls(shown)
    });
    json!({
        "lookedAt": outcome.looked_at,
        "matched": outcome.matched,
        "changed": outcome.changed,
        "tickets": outcome.tickets,
        "messages": messages.collect::<Vec<_>>(),
    })
}
