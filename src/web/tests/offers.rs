//! Nothing forbidden is offered: every role walks through the pages by their links, and what a page shows it can open;
//! the forms it shows lead to routes that let it through, in the project that the page is about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use secrecy::ExposeSecret;

use super::access_tests::{ROLES, World};
use crate::access::{Need, Role};
use crate::account;
use crate::project;
use crate::web::routes;

/// What a page offers.
#[derive(Debug, Default)]
struct Offered {
    links: BTreeSet<String>,
    forms: BTreeSet<String>,
}

fn offered(page: &str) -> Offered {
    let values = |page: &str, mark: &str| -> BTreeSet<String> {
        page.split(mark)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(|value| {
                value
                    .replace("&amp;", "&")
                    .replace("&#x2F;", "/")
                    .replace("&#x3D;", "=")
            })
            .filter(|value| value.starts_with('/') && !value.starts_with("/static/"))
            .map(|value| value.split('#').next().unwrap_or_default().to_owned())
            .collect()
    };
    // What a script fills in later offers nothing yet.
    let page: String = page
        .split("<template")
        .enumerate()
        .map(|(n, part)| match (n, part.split_once("</template>")) {
            (0, _) | (_, None) => part,
            (_, Some((_, rest))) => rest,
        })
        .collect();
    let page = page.as_str();
    Offered {
        links: values(page, "href=\""),
        forms: values(page, "<form method=\"post\" action=\"")
            .into_iter()
            .chain(page.split("<form class=\"").skip(1).flat_map(|rest| {
                values(
                    rest.split('>').next().unwrap_or_default(),
                    "method=\"post\" action=\"",
                )
            }))
            .collect(),
    }
}

/// The role that the route of a form wants; none if everybody who is signed in will do.
fn wanted(action: &str) -> Option<Role> {
    let path = action.split('?').next().unwrap_or_default();
    let asked: Vec<&str> = path.split('/').collect();
    let all = routes();
    let mut fitting: Vec<_> = all
        .iter()
        .filter(|route| !route.guard.is_rest() && route.method.as_str() == "POST")
        .filter(|route| {
            let parts: Vec<&str> = route.path.split('/').collect();
            parts.len() == asked.len()
                && parts
                    .iter()
                    .zip(&asked)
                    .all(|(part, asked)| part.starts_with('{') || part == asked)
        })
        .collect();
    fitting.sort_by_key(|route| route.path.matches('{').count());
    let route = fitting
        .first()
        .unwrap_or_else(|| panic!("no route takes the form of {action}"));
    match route.guard.need() {
        Some(Need::Role(role)) => Some(role),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_offers_is_allowed_to_every_role() {
    let world = World::new().await;
    let ctx = world.site.ctx().clone();
    world.mailbox(1).await;
    world.ticket(2).await;
    world.message(3).await;
    let ops = world.ops.clone();
    world
        .run(&format!(
            "INSERT INTO tickets (id, project_id, number, key, subject, requester_name, requester_email, state, \
             search_text, entry_count, revision, created_at, updated_at) VALUES ('tkt_ops', '{ops}', 1, 'OPS-1', \
             'Printer', '', '', 'open', '', 0, 1, 0, 0); \
             INSERT INTO mailboxes (id, name, project_id, grant_id, protocol, host, port, tls, login_name, folder, \
             start_from, after_ingest, move_to, schedule, idle, max_message_bytes, paused, state, next_poll_at, \
             revision, created_at, updated_at) VALUES ('mbx_ops', 'Box of ops', '{ops}', 'grt_1', 'imap', '127.0.0.1', 1, \
             'implicit', 'a', 'INBOX', 'now', 'leave', '', '0 0 * * * *', FALSE, 1000, TRUE, 'new', 0, 1, 0, 0)"
        ))
        .await;
    for (place, user) in world.people.iter().enumerate() {
        if (1..4).contains(&place) {
            project::set_member(&ctx.db, &ctx.clock, &ops, &user.id, Role::Viewer, "cli")
                .await
                .unwrap();
        }
    }
    let mut wrong = BTreeMap::new();
    for (place, name) in ROLES.iter().enumerate() {
        let role = match place {
            0 => Some(Role::SiteAdmin),
            1 => Some(Role::ProjectAdmin),
            2 => Some(Role::Agent),
            3 => Some(Role::Viewer),
            _ => None,
        };
        let user = &world.people[place];
        let started = account::start(&ctx.db, &ctx.clock, &user.id, None).await.unwrap();
        let cookie = format!("mailgrant={}", started.cookie.expose_secret());
        let mut queue = VecDeque::from(["/".to_owned(), "/profile".to_owned()]);
        let mut seen: BTreeSet<String> = queue.iter().cloned().collect();
        let mut walked = 0;
        while let Some(path) = queue.pop_front() {
            walked += 1;
            assert!(walked < 400, "{name}: no end of pages at {path}");
            let answer = world
                .site
                .get(&path)
                .header("cookie", &cookie)
                .send()
                .await
                .unwrap();
            let status = answer.status().as_u16();
            if !matches!(status, 200 | 303) {
                wrong.insert(format!("{name}: a link to {path}"), status.to_string());
                continue;
            }
            let text = answer.text().await.unwrap();
            if !text.contains("<html") {
                continue;
            }
            let found = offered(&text);
            for link in found.links {
                // Filters and orders of a list lead to the same page.
                let plain = link.split('?').next().unwrap_or_default().to_owned();
                if seen.insert(plain) {
                    queue.push_back(link);
                }
            }
            for action in found.forms {
                let is_of_ops = ["OPS-1", "mbx_ops", ops.as_str()]
                    .iter()
                    .any(|id| action.contains(id));
                let here = if is_of_ops && place != 0 {
                    role.map(|_| Role::Viewer)
                } else {
                    role
                };
                if wanted(&action).is_some_and(|least| here.is_none_or(|here| here < least)) {
                    wrong.insert(format!("{name}: a form of {path}"), action);
                }
            }
        }
        assert!(
            walked >= if role.is_some() { 8 } else { 3 },
            "{name} saw {walked} pages"
        );
    }
    assert!(wrong.is_empty(), "offered and forbidden:\n{wrong:#?}");
}
