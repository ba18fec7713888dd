//! Whose mail counts as an agent's: people who may work on the tickets of that project, and nobody else.

use super::rules::Desk;
use crate::access::Role;
use crate::account::{self, User};
use crate::message::Message;
use crate::project::{self, NewProject};

const HELP: &str = "help@desk.example";

async fn person(desk: &Desk, name: &str, is_site_admin: bool) -> User {
    let ctx = desk.ctx();
    let email = format!("{name}@staff.test");
    account::invite(&ctx.db, &ctx.clock, &email, name, is_site_admin, "cli")
        .await
        .unwrap()
}

async fn member(desk: &Desk, project_id: &str, user: &User, role: Role) {
    let ctx = desk.ctx();
    project::set_member(&ctx.db, &ctx.clock, project_id, &user.id, role, "cli")
        .await
        .unwrap();
}

/// The rule that placed an answer to the first mail, in whose Cc everybody stood.
async fn answer(desk: &Desk, from: &str) -> String {
    let raw = format!(
        "Message-ID: <{from}>\r\nFrom: {from}\r\nTo: {HELP}\r\nIn-Reply-To: <1@x.test>\r\nSubject: Re: x\r\n\r\nText.\r\n"
    );
    let message: Message = desk.receive(raw.as_bytes()).await;
    let why: serde_json::Value = serde_json::from_str(&message.resolution).unwrap();
    why["rule"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_of_this_project_must_be_vouched_for_and_others_are_people_like_all() {
    let desk = Desk::open(HELP).await;
    let ctx = desk.ctx();
    let new = NewProject {
        key: "OPS".into(),
        name: "Ops".into(),
        ..NewProject::default()
    };
    let other = project::create(ctx, new).await.unwrap().id;
    person(&desk, "root", true).await;
    let roles = [
        ("admin", Role::ProjectAdmin),
        ("agent", Role::Agent),
        ("viewer", Role::Viewer),
    ];
    for (name, role) in roles {
        let user = person(&desk, name, false).await;
        member(&desk, &desk.project, &user, role).await;
    }
    let elsewhere = person(&desk, "elsewhere", false).await;
    member(&desk, &other, &elsewhere, Role::Agent).await;
    person(&desk, "nobody", false).await;
    let left = person(&desk, "left", false).await;
    member(&desk, &desk.project, &left, Role::Agent).await;
    let tx = ctx.db.begin().await.unwrap();
    account::disable(&tx, &ctx.clock, &left.id, "cli").await.unwrap();
    tx.commit().await.unwrap();

    let everybody = ["root", "admin", "agent", "viewer", "elsewhere", "nobody", "left"];
    let copied: Vec<String> = everybody
        .iter()
        .map(|name| format!("{name}@staff.test"))
        .collect();
    let first = format!(
        "Message-ID: <1@x.test>\r\nFrom: ada@x.test\r\nTo: {HELP}\r\nCc: {}\r\nSubject: x\r\n\r\nText.\r\n",
        copied.join(", ")
    );
    desk.receive(first.as_bytes()).await;
    for address in &copied {
        let is_ours = ["root@", "admin@", "agent@"]
            .iter()
            .any(|ours| address.starts_with(ours));
        let expected = if is_ours { "new_ticket" } else { "known_reference" };
        assert_eq!(answer(&desk, address).await, expected, "{address}");
    }
}
