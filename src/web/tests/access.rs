//! Who may do what, cell by cell: every route of the table × every role × the token's scope.
//!
//! `docs/access.md` is the expected table, for people too. After a change that is meant, write it anew with
//! `MAILGRANT_WRITE_ACCESS_TABLE=1 cargo test --workspace --lib -- web::access_tests` and read the difference.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;

use crate::access::{Need, Role, Scope, Scopes};
use crate::account::{self, NewToken, User};
use crate::ctx::Ctx;
use crate::project::{self, NewProject};
use crate::web::tests::{Site, site};
use crate::web::{Guard, Route, routes};

/// Who asks; each but the last has the role in the project HELP.
pub(super) const ROLES: [&str; 5] = ["site admin", "project admin", "agent", "viewer", "stranger"];

/// The three ways a token can stand to a route: with its scope; with every scope but those that hold it; with its
/// scope, narrowed to a project of no use here.
const WAYS: usize = 3;

pub(super) struct World {
    pub(super) site: Site,
    pub(super) help: String,
    pub(super) ops: String,
    pub(super) people: Vec<User>,
    fresh: std::cell::Cell<u32>,
}

impl World {
    pub(super) async fn new() -> Self {
        let site = site().await;
        let ctx = site.ctx().clone();
        let help = project(&ctx, "HELP").await;
        let ops = project(&ctx, "OPS").await;
        let mut people = Vec::new();
        for name in ROLES {
            let email = format!("{}@example.org", name.replace(' ', "."));
            let user = account::invite(&ctx.db, &ctx.clock, &email, name, name == "site admin", "cli")
                .await
                .unwrap();
            let role = match name {
                "project admin" => Some(Role::ProjectAdmin),
                "agent" => Some(Role::Agent),
                "viewer" => Some(Role::Viewer),
                _ => None,
            };
            if let Some(role) = role {
                project::set_member(&ctx.db, &ctx.clock, &help, &user.id, role, "cli")
                    .await
                    .unwrap();
            }
            people.push(user);
        }
        Self {
            site,
            help,
            ops,
            people,
            fresh: std::cell::Cell::new(0),
        }
    }

    /// A number nobody had.
    pub(super) fn next(&self) -> u32 {
        self.fresh.set(self.fresh.get() + 1);
        self.fresh.get()
    }

    pub(super) async fn token(&self, person: usize, scopes: Scopes, narrowed: bool) -> String {
        let ctx = self.site.ctx();
        let owner = &self.people[person].id;
        let new = NewToken {
            scopes,
            projects: narrowed.then(|| [self.ops.clone()].into()),
            ..NewToken::unlimited("cell")
        };
        let (_, token) = account::issue_token(&ctx.db, &ctx.clock, &new, owner, owner)
            .await
            .unwrap();
        token.expose_secret().to_owned()
    }
}

async fn project(ctx: &Ctx, key: &str) -> String {
    let new = NewProject {
        key: key.into(),
        name: key.into(),
        description: String::new(),
    };
    project::create(ctx, new).await.unwrap().id
}

fn scope_of(route: &Route) -> Scope {
    match route.guard.need() {
        Some(Need::Scope(scope) | Need::Site(scope) | Need::Own(scope)) => scope,
        other => panic!("{} {} needs {other:?}, no scope", route.method, route.path),
    }
}

/// Everything a token can carry that does not hold this scope.
fn without(scope: Scope) -> Scopes {
    Scope::ALL
        .iter()
        .copied()
        .filter(|other| !Scopes::from_iter([*other]).allow(scope))
        .collect()
}

/// What an answer says about whoever asked: let through (whatever became of it then), or the status of the refusal.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "401",
        403 => "403",
        404 => "404",
        303 => "sign in",
        _ => "yes",
    }
}

/// What is not in this world: parts of the one mail there is, conversations, and consents that the token of a cell began
/// itself.
const ELUSIVE: [&str; 4] = [
    "/threads/",
    "/attachments/",
    "/attached-mails/",
    "/authorizations/{id}",
];

/// Whether nothing of the kind is in this world, so that a 404 says nothing of who asked.
fn is_elusive(route: &Route) -> bool {
    ELUSIVE.iter().any(|part| route.path.contains(part))
}

fn method_of(route: &Route) -> Method {
    Method::from_bytes(route.method.as_str().as_bytes()).unwrap()
}

/// The rule itself, said a second time and without the code that enforces it. What has parameters is in HELP.
fn expected(route: &Route, person: usize, way: usize) -> &'static str {
    let role = match person {
        0 => Some(Role::SiteAdmin),
        1 => Some(Role::ProjectAdmin),
        2 => Some(Role::Agent),
        3 => Some(Role::Viewer),
        _ => None,
    };
    let has_role = role.is_some_and(|role| role.allows(scope_of(route)));
    match (way, route.guard.need()) {
        (1, _) => "403",
        (0, Some(Need::Own(_))) => "yes",
        (2, Some(Need::Own(_))) => "403",
        (0, Some(Need::Site(_))) if person == 0 => "yes",
        (_, Some(Need::Site(_))) => "403",
        (0, _) if has_role => "yes",
        // Narrowed to OPS, where only a site admin is anybody.
        (2, _) if person == 0 => "404 or empty",
        _ => "403",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_role_and_scope_and_route_is_as_the_table_says() {
    let world = World::new().await;
    let mut rows = BTreeMap::new();
    let mut cells = 0;
    for route in routes().into_iter().filter(|route| route.guard.is_rest()) {
        let scope = scope_of(&route);
        let mut row = Vec::new();
        #[expect(clippy::needless_range_loop, reason = "a person is a place in several lists")]
        for person in 0..ROLES.len() {
            let mut cell = Vec::new();
            for way in 0..WAYS {
                let path = world.filled(&route, person).await;
                let scopes = if way == 1 {
                    without(scope)
                } else {
                    Scopes::from_iter([scope])
                };
                let token = world.token(person, scopes, way == 2).await;
                let answer = world
                    .site
                    .ask(method_of(&route), &path)
                    .bearer_auth(token)
                    .send()
                    .await
                    .unwrap();
                let wanted = expected(&route, person, way);
                let seen = match (wanted, answer.status().as_u16()) {
                    // The shape of the body is looked at before anything is looked up, and tells nothing of it.
                    ("404 or empty", 400 | 422) => "bad input",
                    (_, _) => class(answer.status()),
                };
                let name = format!(
                    "{} {path} by {} in way {way}: {}",
                    route.method,
                    ROLES[person],
                    answer.status()
                );
                match wanted {
                    "404 or empty" if seen == "yes" => {
                        assert!(!route.path.contains('{'), "{name}");
                        let streams = route.path.ends_with("/stream");
                        let body = if streams {
                            String::new()
                        } else {
                            answer.text().await.unwrap()
                        };
                        assert!(!body.contains(&world.help), "{name}: {body}");
                    }
                    "404 or empty" => assert!(seen == "404" || seen == "bad input", "{name}"),
                    // Nothing of this kind is in this world; the gate let it through, and that is the question.
                    "yes" if seen == "404" && is_elusive(&route) => {}
                    wanted => assert_eq!(seen, wanted, "{name}"),
                }
                cell.push(seen);
                cells += 1;
            }
            row.push(cell.join(" · "));
        }
        rows.insert(
            (route.path, route.method.to_string()),
            (scope, route.guard.need(), row),
        );
    }
    assert_eq!(cells, rows.len() * ROLES.len() * WAYS);
    let mut table = String::new();
    for ((path, method), (scope, need, row)) in rows {
        let whole = if matches!(need, Some(Need::Site(_))) {
            ", whole site"
        } else {
            ""
        };
        let _ = writeln!(
            table,
            "| {method} {path} | `{scope}`{whole} | {} |",
            row.join(" | ")
        );
    }
    compare("rest", &table);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_role_and_page_is_as_the_table_says() {
    let world = World::new().await;
    let ctx = world.site.ctx().clone();
    let mut rows = BTreeMap::new();
    for route in routes().into_iter().filter(|route| route.guard.is_page()) {
        let mut row = Vec::new();
        #[expect(clippy::needless_range_loop, reason = "a person is a place in several lists")]
        for person in 0..ROLES.len() {
            let path = world.filled(&route, person).await;
            // A session each: signing out is one of the pages.
            let started = account::start(&ctx.db, &ctx.clock, &world.people[person].id, None)
                .await
                .unwrap();
            let mut request = world
                .site
                .ask(method_of(&route), &path)
                .header("cookie", format!("mailgrant={}", started.cookie.expose_secret()));
            if route.method.as_str() != "GET" {
                request = request.form(&[("csrf", &started.session.csrf_token)]);
            }
            let answer = request.send().await.unwrap();
            let seen = match answer.status().as_u16() {
                303 => "yes",
                _ => class(answer.status()),
            };
            let is_enough = match route.guard.need() {
                Some(Need::Role(Role::SiteAdmin)) => person == 0,
                Some(Need::Role(Role::ProjectAdmin)) => person <= 1,
                Some(Need::Role(Role::Agent)) => person <= 2,
                Some(Need::Role(_)) => person <= 3,
                _ => true,
            };
            let name = format!(
                "{} {path} by {}: {}",
                route.method,
                ROLES[person],
                answer.status()
            );
            if is_enough {
                assert!(
                    seen == "yes" || (seen == "404" && route.path.contains('{')),
                    "{name}"
                );
            } else {
                assert_eq!(seen, "403", "{name}");
            }
            row.push(seen);
        }
        rows.insert((route.path, route.method.to_string()), row);
    }
    let mut table = String::new();
    for ((path, method), row) in rows {
        let _ = writeln!(table, "| {method} {path} | {} |", row.join(" | "));
    }
    compare("pages", &table);
}

#[test]
fn what_anybody_may_ask_is_as_the_table_says() {
    let open = routes().into_iter().filter(|route| route.guard == Guard::Public);
    let mut rows: Vec<_> = open.map(|route| (route.path, route.method.to_string())).collect();
    rows.sort();
    let table: String = rows
        .iter()
        .map(|(path, method)| format!("| {method} {path} |\n"))
        .collect();
    compare("public", &table);
}

/// Compares a table with the part of `docs/access.md` between its marks, or writes it there if asked to.
fn compare(part: &str, table: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/access.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (old, after) = rest.split_once(&end).unwrap();
    let (head, old_rows) = old.split_at(old.match_indices('\n').nth(1).unwrap().0 + 1);
    if std::env::var_os("MAILGRANT_WRITE_ACCESS_TABLE").is_some() {
        std::fs::write(&file, format!("{before}{begin}{head}{table}{end}{after}")).unwrap();
        return;
    }
    let changed: Vec<&str> = table
        .lines()
        .filter(|line| !old_rows.contains(line))
        .chain(old_rows.lines().filter(|line| !table.contains(line)))
        .collect();
    assert!(
        changed.is_empty(),
        "docs/access.md differs in:\n{}",
        changed.join("\n")
    );
}
