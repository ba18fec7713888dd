//! The pages of webhooks, deliveries, events and queues.

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{Admin, Seen, field, seen};
use crate::access::{Projects, Role};
use crate::delivery::{self, DeliveryFilter};
use crate::event::{self, NewEvent};
use crate::net::Dialer;
use crate::project::{self, NewProject};
use crate::web::tests::{Site, site_with};
use crate::{account, delivery::queue};

async fn admin() -> Admin {
    let reaches_loopback = || Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap();
    Admin::at(site_with(|ctx| ctx.webhook_dialer = reaches_loopback()).await).await
}

/// Another person at the same pages.
struct Person {
    cookie: String,
    csrf: String,
}

impl Person {
    async fn with(site: &Site, name: &str, project: &str, role: Role) -> Self {
        let ctx = site.ctx();
        let email = format!("{name}@example.org");
        let user = account::invite(&ctx.db, &ctx.clock, &email, name, false, "cli")
            .await
            .unwrap();
        project::set_member(&ctx.db, &ctx.clock, project, &user.id, role, "cli")
            .await
            .unwrap();
        let started = account::start(&ctx.db, &ctx.clock, &user.id, None).await.unwrap();
        Self {
            cookie: format!("mailgrant={}", started.cookie.expose_secret()),
            csrf: started.session.csrf_token,
        }
    }

    async fn get(&self, site: &Site, path: &str) -> Seen {
        seen(site.get(path).header("cookie", &self.cookie)).await
    }

    async fn post(&self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Seen {
        let mut fields = fields.to_vec();
        fields.push(("csrf", &self.csrf));
        seen(
            site.ask(Method::POST, path)
                .header("cookie", &self.cookie)
                .form(&fields),
        )
        .await
    }
}

async fn project(site: &Site, key: &str) -> String {
    let new = NewProject {
        key: key.to_owned(),
        name: key.to_owned(),
        ..NewProject::default()
    };
    project::create(site.ctx(), new).await.unwrap().id
}

async fn happen(site: &Site, project_id: &str, data: serde_json::Value) -> String {
    let ctx = site.ctx();
    let new = NewEvent {
        kind: "ticket.updated",
        project_id,
        subject_id: "tkt_1",
        actor: "cli",
        data,
    };
    event::append(ctx.db.write(), &ctx.clock, new).await.unwrap()
}

fn secret_in(page: &str) -> Option<&str> {
    let at = page.find("whsec_")?;
    page[at..].split('"').next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_with_its_secret_shown_once_and_lives_through_all_its_buttons() {
    let admin = admin().await;
    let url = "http://127.0.0.1:9/hook";
    let refused = admin
        .post(
            "/webhooks",
            &[
                ("url", "https://10.0.0.1/hook"),
                ("reach", "site"),
                ("headers", "Authorization: Bearer hush-hush\nno colon here"),
            ],
        )
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("id=\"headers-error\"") && refused.text.contains("Line 2"));
    assert!(
        !refused.text.contains("hush-hush"),
        "what may be a secret is not shown again"
    );
    let inside = admin
        .post(
            "/webhooks",
            &[("url", "https://10.0.0.1/hook"), ("reach", "site")],
        )
        .await;
    assert!(
        inside.text.contains("MAILGRANT_ALLOW_WEBHOOK_NETWORKS"),
        "{}",
        inside.text
    );
    assert!(
        admin.get("/webhooks").await.text.contains("No webhook yet"),
        "nothing was made"
    );
    let made = admin
        .post(
            "/webhooks",
            &[
                ("url", url),
                ("description", "The <b>desk</b>"),
                ("reach", "site"),
                ("type", "ticket.*"),
                ("type", "grant.expired"),
                ("ordered", "true"),
                ("format", "jmap"),
                ("payload", "thin"),
                ("headers", "X-Team: hush-hush"),
            ],
        )
        .await;
    assert_eq!(made.status, StatusCode::OK);
    let secret = secret_in(&made.text).unwrap().to_owned();
    let ctx = admin.site.ctx();
    let stored = delivery::list(ctx, &Projects::All).await.unwrap().remove(0);
    assert_eq!(stored.type_patterns(), ["ticket.*", "grant.expired"]);
    let path = format!("/webhooks/{}", stored.id);
    for page in ["/webhooks", path.as_str(), &format!("{path}/edit")] {
        let text = admin.get(page).await.text;
        assert!(
            secret_in(&text).is_none() && !text.contains(&secret),
            "{page}: shown once"
        );
        assert!(!text.contains("hush-hush") && !text.contains("<b>desk"), "{page}");
    }
    assert!(
        admin.get(&path).await.text.contains("X-Team"),
        "the name of the header is shown"
    );
    let edit = admin.get(&format!("{path}/edit")).await.text;
    let revision = field(&edit, "revision");
    let save = |revision: String, description: &'static str| {
        let fields = [
            ("url", url.to_owned()),
            ("description", description.to_owned()),
            ("reach", "site".to_owned()),
            ("revision", revision),
        ];
        let mut fields: Vec<(&str, String)> = fields.to_vec();
        fields.push(("csrf", admin.csrf.clone()));
        seen(
            admin
                .site
                .ask(Method::POST, &path)
                .header("cookie", &admin.cookie)
                .form(&fields),
        )
    };
    assert_eq!(save(revision.clone(), "new").await.location, path);
    assert_eq!(
        save(revision, "newer").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let kept = delivery::get(ctx, &Projects::All, &stored.id).await.unwrap();
    assert_eq!(
        (kept.description.as_str(), kept.headers_sealed.is_empty()),
        ("new", false)
    );
    let ping = admin.post(&format!("{path}/ping"), &[]).await;
    assert!(
        ping.location.starts_with(&format!("{path}/deliveries/dlv_")),
        "{}",
        ping.location
    );
    assert!(admin.get(&ping.location).await.text.contains("test.ping"));
    assert!(
        admin
            .get(&format!("{path}/deliveries?state=waiting"))
            .await
            .text
            .contains("test.ping")
    );
    assert!(
        admin
            .get(&format!("{path}/deliveries?state=failed"))
            .await
            .text
            .contains("No such delivery")
    );
    // A confirmation that is sent twice draws one secret.
    let ask = admin.get(&format!("{path}/secrets")).await.text;
    let revision = field(&ask, "revision");
    let rotate = format!("{path}/secrets");
    let rotated = admin.post(&rotate, &[("revision", &revision)]).await;
    assert_ne!(secret_in(&rotated.text).unwrap(), secret);
    assert!(rotated.text.contains("24 hours"));
    let again = admin.post(&rotate, &[("revision", &revision)]).await;
    assert_eq!(again.location, path);
    assert!(admin.get(&path).await.text.contains("Two secrets sign"));
    assert_eq!(admin.post(&format!("{path}/disable"), &[]).await.location, path);
    assert!(admin.get(&path).await.text.contains("Disabled"));
    assert_eq!(admin.post(&format!("{path}/ping"), &[]).await.location, path);
    assert!(admin.get(&path).await.text.contains("enable it first"));
    assert_eq!(admin.post(&format!("{path}/enable"), &[]).await.location, path);
    assert_eq!(
        admin
            .post(&format!("{path}/retry"), &[("since", "24")])
            .await
            .location,
        path
    );
    assert!(
        admin
            .get(&format!("{path}/delete"))
            .await
            .text
            .contains("Nothing is sent to")
    );
    assert_eq!(
        admin.post(&format!("{path}/delete"), &[]).await.location,
        "/webhooks"
    );
    assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_out_of_a_header_is_refused_by_the_form() {
    let admin = admin().await;
    for headers in [
        "Host: elsewhere",
        "webhook-signature: v1,x",
        "a b: c",
        "X-A: \u{1}",
        "X-A: ü",
        "X-A: 1\nX-A: 2",
    ] {
        let fields = [
            ("url", "http://127.0.0.1:9/hook"),
            ("reach", "site"),
            ("headers", headers),
        ];
        let refused = admin.post("/webhooks", &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{headers:?}");
    }
    assert!(
        delivery::list(admin.site.ctx(), &Projects::All)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_manages_one_project_reaches_nothing_of_another() {
    let admin = admin().await;
    let site = &admin.site;
    let (help, ops) = (project(site, "HELP").await, project(site, "OPS").await);
    let manager = Person::with(site, "mona", &help, Role::ProjectAdmin).await;
    let viewer = Person::with(site, "vera", &help, Role::Viewer).await;
    let url = [("url", "http://127.0.0.1:9/hook")];
    // Not the site, not another project, not nothing.
    for more in [vec![("reach", "site")], vec![("project", ops.as_str())], vec![]] {
        let refused = manager
            .post(site, "/webhooks", &[url.to_vec(), more.clone()].concat())
            .await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{more:?}");
    }
    let own = [url[0], ("project", help.as_str())];
    assert_eq!(manager.post(site, "/webhooks", &own).await.status, StatusCode::OK);
    let foreign = [url[0], ("reach", "projects"), ("project", ops.as_str())];
    admin.post("/webhooks", &foreign).await;
    admin.post("/webhooks", &[url[0], ("reach", "site")]).await;
    let all = delivery::list(site.ctx(), &Projects::All).await.unwrap();
    assert_eq!(all.len(), 3);
    for webhook in &all {
        let is_own = webhook.projects.contains(&help);
        let wanted = if is_own {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        for path in ["", "/edit", "/deliveries", "/secrets", "/delete"] {
            let page = manager
                .get(site, &format!("/webhooks/{}{path}", webhook.id))
                .await;
            assert_eq!(page.status, wanted, "{path}");
        }
        if !is_own {
            for path in [
                "", "/ping", "/disable", "/enable", "/retry", "/secrets", "/delete",
            ] {
                let done = manager
                    .post(site, &format!("/webhooks/{}{path}", webhook.id), &own)
                    .await;
                assert_eq!(done.status, StatusCode::NOT_FOUND, "{path}");
            }
        }
        // A delivery of one webhook is none of another.
        let made = delivery::ping(site.ctx(), "cli", webhook).await.unwrap();
        let other = all.iter().find(|other| other.id != webhook.id).unwrap();
        let path = format!("/webhooks/{}/deliveries/{made}", other.id);
        assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    for path in ["/webhooks", "/webhooks/new", "/queues/new"] {
        assert_eq!(
            viewer.get(site, path).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    // Events: their own project's only, by list, by id and by filter.
    let mine = happen(site, &help, json!({ "key": "HELP-1" })).await;
    let theirs = happen(site, &ops, json!({ "key": "OPS-1" })).await;
    let sites = happen(site, "", json!({ "key": "SITE-1" })).await;
    let list = viewer.get(site, "/events").await.text;
    assert!(list.contains(&mine) && !list.contains(&theirs) && !list.contains(&sites));
    let filtered = viewer.get(site, &format!("/events?project={ops}")).await.text;
    assert!(!filtered.contains(&theirs));
    for (id, wanted) in [
        (&mine, StatusCode::OK),
        (&theirs, StatusCode::NOT_FOUND),
        (&sites, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(viewer.get(site, &format!("/events/{id}")).await.status, wanted);
    }
    for (project, wanted) in [
        (help.as_str(), StatusCode::SEE_OTHER),
        (&ops, StatusCode::UNPROCESSABLE_ENTITY),
        ("", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let sample = [("kind", "ticket.created"), ("project_id", project)];
        assert_eq!(
            manager.post(site, "/events", &sample).await.status,
            wanted,
            "{project}"
        );
        assert_eq!(
            viewer.post(site, "/events", &sample).await.status,
            StatusCode::FORBIDDEN
        );
    }
    // Queues: a viewer looks, a manager changes, neither sees the site's.
    let made = manager
        .post(site, "/queues", &[("name", "desk"), ("project", help.as_str())])
        .await;
    assert!(made.location.starts_with("/queues/que_"), "{}", made.location);
    admin.post("/queues", &[("name", "all"), ("reach", "site")]).await;
    let look = viewer.get(site, &made.location).await;
    assert_eq!(look.status, StatusCode::OK);
    assert!(!look.text.contains("/delete") && !look.text.contains("/seek"));
    let all = queue::get(site.ctx(), &Projects::All, "all").await.unwrap();
    let foreign = format!("/queues/{}", all.id);
    for path in [
        foreign.clone(),
        format!("{foreign}/edit"),
        format!("{foreign}/delete"),
    ] {
        assert_eq!(
            manager.get(site, &path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let delete = format!("{foreign}/delete");
    assert_eq!(
        manager.post(site, &delete, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        viewer
            .post(site, &format!("{}/delete", made.location), &[])
            .await
            .status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_show_what_is_out_and_are_set_to_another_place_after_a_question() {
    let admin = admin().await;
    let ctx = admin.site.ctx();
    assert!(admin.get("/queues").await.text.contains("No queue yet"));
    for (name, wanted) in [("with space", "id=\"name-error\""), ("", "id=\"name-error\"")] {
        let refused = admin.post("/queues", &[("name", name), ("reach", "site")]).await;
        assert!(refused.text.contains(wanted), "{name}");
    }
    let made = admin
        .post(
            "/queues",
            &[("name", "desk"), ("reach", "site"), ("type", "ticket.updated")],
        )
        .await;
    let path = made.location;
    let event_id = happen(&admin.site, "", json!({ "key": "HELP-1" })).await;
    assert!(
        admin
            .get("/queues")
            .await
            .text
            .contains("of the log not looked at")
    );
    let stored = queue::get(ctx, &Projects::All, "desk").await.unwrap();
    let lent = queue::lease(ctx, &stored, 10, 60).await.unwrap();
    assert_eq!(lent.events.len(), 1);
    let shown = admin.get(&path).await.text;
    assert!(shown.contains(&event_id) && shown.contains("Out"), "{shown}");
    let ask = admin.get(&format!("{path}/seek?to=latest")).await.text;
    assert!(ask.contains("is forgotten"));
    assert_eq!(field(&ask, "to"), "latest");
    assert_eq!(
        admin.get(&format!("{path}/seek?to=nonsense")).await.location,
        path
    );
    let seek = format!("{path}/seek");
    assert_eq!(admin.post(&seek, &[("to", "latest")]).await.location, path);
    assert!(!admin.get(&path).await.text.contains(&event_id));
    admin.post(&seek, &[("to", "oldest")]).await;
    let again = queue::lease(ctx, &stored, 10, 60).await.unwrap();
    assert_eq!(again.events[0].0.id, event_id, "it begins again");
    assert_eq!(
        admin.post(&format!("{path}/delete"), &[]).await.location,
        "/queues"
    );
    assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_back_page_by_page_and_markup_in_it_stays_text() {
    let admin = admin().await;
    assert!(
        admin
            .get("/events?type=ticket.merged")
            .await
            .text
            .contains("No such event")
    );
    let hostile = "<script>alert(1)</script>\u{202e}";
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(happen(&admin.site, "", json!({ "key": format!("{hostile}{n}") })).await);
    }
    let first = admin.get("/events?type=ticket.*").await.text;
    assert!(!first.contains("<script>alert"), "escaped");
    assert!(first.contains(&ids[59]) && first.contains(&ids[10]) && !first.contains(&ids[9]));
    assert!(first.contains("data-events-stream="));
    let next = first.split("rel=\"next\"").next().unwrap();
    let next = next.rsplit("href=\"").next().unwrap().split('"').next().unwrap();
    let second = admin.get(&super::unescaped(next)).await.text;
    assert!(second.contains(&ids[9]) && second.contains(&ids[0]) && !second.contains(&ids[10]));
    assert!(!second.contains("data-events-stream="), "older pages do not move");
    let one = admin.get(&format!("/events/{}", ids[3])).await.text;
    assert!(one.contains(&ids[3]) && !one.contains("<script>alert"));
    assert_eq!(admin.get("/events?before=nonsense").await.location, "/events");
    assert_eq!(
        admin.get("/events?type=nonsense").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        admin.get("/events/stream?after=nonsense").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_events_is_told_of_new_ones_until_the_session_ends() {
    let admin = admin().await;
    let site = &admin.site;
    event::advance(&site.ctx().db).await.unwrap();
    let request = site.get("/events/stream").header("cookie", &admin.cookie);
    let mut answer = request.send().await.unwrap();
    let mut text = String::new();
    happen(site, "", json!({ "key": "HELP-1" })).await;
    site.ctx()
        .log
        .reach(event::advance(&site.ctx().db).await.unwrap());
    while !text.contains("event: row") {
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(
        text.contains("HELP-1") && text.contains("\"kind\":\"ticket.updated\""),
        "{text}"
    );
    admin.post("/sign-out", &[]).await;
    happen(site, "", json!({ "key": "HELP-2" })).await;
    site.ctx()
        .log
        .reach(event::advance(&site.ctx().db).await.unwrap());
    while let Some(more) = answer.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&more).unwrap());
    }
    assert!(text.contains("event: over") && !text.contains("HELP-2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_answered_is_shown_as_text_and_the_signature_is_not_shown() {
    let admin = admin().await;
    let ctx = admin.site.ctx();
    admin
        .post(
            "/webhooks",
            &[("url", "http://127.0.0.1:9/hook"), ("reach", "site")],
        )
        .await;
    let webhook = delivery::list(ctx, &Projects::All).await.unwrap().remove(0);
    delivery::ping(ctx, "cli", &webhook).await.unwrap();
    let one = delivery::deliveries(ctx, &webhook, &DeliveryFilter::default(), 1)
        .await
        .unwrap()
        .remove(0);
    let text = "INSERT INTO delivery_attempts (delivery_id, number, at, ms, status, error, request, response) VALUES \
                ($1, 1, 0, 3, 500, 'http_500', $2, $3)";
    let request = json!({
        "headers": { "webhook-id": one.event_id, "webhook-signature": "(hidden)" }, "addedHeaders": ["X-Team"],
        "bodyBytes": 9,
    });
    let response = json!({ "headers": { "server": "<img src=x>" }, "body": "<script>alert(1)</script>" });
    let values: [sea_orm::Value; 3] = [
        one.id.clone().into(),
        request.to_string().into(),
        response.to_string().into(),
    ];
    let db = ctx.db.write();
    sea_orm::ConnectionTrait::execute_raw(db, crate::db::sql(db, text, values))
        .await
        .unwrap();
    let path = format!("/webhooks/{}/deliveries/{}", webhook.id, one.id);
    let page = admin.get(&path).await.text;
    assert!(
        !page.contains("<script>alert") && !page.contains("<img src=x"),
        "{page}"
    );
    assert!(page.contains("X-Team: (hidden)") && page.contains("webhook-signature: (hidden)"));
    assert!(page.contains("The receiver failed."), "what it means");
    let again = admin.post(&format!("{path}/retry"), &[]).await;
    assert_eq!(again.location, path);
}
