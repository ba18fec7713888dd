//! Who somebody is, and what they may do then.

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{ADMIN, Alone, add_person, code_of};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::process::Reply;
use crate::world::text;

on_each_database!(
    n62_an_address_links_only_when_the_provider_calls_it_verified_with_a_boolean_true,
    cb_4_a_claim_links_only_by_an_explicit_rule_and_never_an_admin,
    cb_3_groups_give_and_take_what_they_manage_and_never_what_somebody_gave_by_hand,
);

/// Comes back as `subject` with some claims changed (null takes one out).
async fn come_in(stage: &Alone, subject: &str, changes: Value) -> crate::support::visitor::Seen {
    stage
        .come_back_with(|nonce| {
            let mut claims = stage.liar.claims(subject, nonce);
            for (name, value) in changes.as_object().unwrap() {
                match value.is_null() {
                    true => drop(claims.as_object_mut().unwrap().remove(name)),
                    false => claims[name] = value.clone(),
                }
            }
            stage.liar.sign(&claims)
        })
        .await
}

/// Takes userinfo away, and changes what is said.
async fn without_userinfo(stage: &Alone, mut changes: Value) {
    stage.liar.discovery(&json!({ "userinfo_endpoint": null }));
    // Another list of scopes makes it learn the document anew.
    changes["scopes"] = json!(["openid", "email"]);
    stage.patch(&changes).await;
}

async fn users(stage: &Alone) -> Vec<Value> {
    stage.rest.all("/api/v1/users").await
}

async fn user(stage: &Alone, email: &str) -> Option<Value> {
    users(stage).await.into_iter().find(|user| user["email"] == email)
}

/// Makes somebody a member, or changes their role.
async fn set_member(stage: &Alone, project: &str, user: &str, role: &str) -> Reply {
    let path = format!("/api/v1/projects/{project}/members");
    let body = json!({ "userId": user, "role": role });
    stage.rest.send(Method::POST, &path, Some(&body)).await
}

async fn role_in(stage: &Alone, project: &str, user: &str) -> String {
    let members = stage
        .rest
        .all(&format!("/api/v1/projects/{project}/members"))
        .await;
    members
        .iter()
        .find(|member| member["userId"] == user)
        .map(|member| text(member, "role"))
        .unwrap_or_default()
}

async fn n62_an_address_links_only_when_the_provider_calls_it_verified_with_a_boolean_true(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    stage
        .liar
        .set("/userinfo", super::liar::Answer::of(404, "text/plain", "none"));
    stage.liar.discovery(&json!({ "userinfo_endpoint": null }));
    stage.patch(&json!({ "scopes": ["openid", "email"] })).await;
    for (at, verified) in [json!(false), json!("true"), json!(null), json!("false")]
        .into_iter()
        .enumerate()
    {
        let subject = format!("mallory{at}");
        let seen = come_in(
            &stage,
            &subject,
            json!({ "email": ADMIN, "email_verified": verified }),
        )
        .await;
        assert_eq!(seen.status, 303, "{verified}: {}", code_of(&seen));
        assert_eq!(
            users(&stage).await.len(),
            at + 2,
            "an account of its own, with no address of anybody"
        );
    }
    let root = user(&stage, ADMIN).await.unwrap();
    let others: Vec<Value> = users(&stage)
        .await
        .into_iter()
        .filter(|user| user["id"] != root["id"])
        .collect();
    assert!(
        others
            .iter()
            .all(|user| user["email"].as_str().unwrap().ends_with("@no-address.invalid"))
    );
    assert!(others.iter().all(|user| user["isSiteAdmin"] == false));
    // The type that no JSON of an ID token may have here at all.
    let seen = come_in(&stage, "mallory9", json!({ "email": ADMIN, "email_verified": 1 })).await;
    assert_eq!(code_of(&seen), "id_token_claims");
    // Verified: the account of that address, once.
    let seen = come_in(&stage, "root", json!({ "email": ADMIN, "email_verified": true })).await;
    assert_eq!(seen.status, 303);
    assert_eq!(users(&stage).await.len(), 5);
    let seen = come_in(
        &stage,
        "another",
        json!({ "email": ADMIN, "email_verified": true }),
    )
    .await;
    assert_eq!(
        code_of(&seen),
        "address_taken",
        "an address that was given to somebody else there"
    );
    stage.patch(&json!({ "linkByEmail": false })).await;
    add_person(&stage.mailgrant, "bob@example.test", "Bob");
    let seen = come_in(&stage, "bob", json!({})).await;
    assert_eq!(code_of(&seen), "address_taken", "joining is switched off");
}

async fn cb_4_a_claim_links_only_by_an_explicit_rule_and_never_an_admin(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let changes = json!({ "linkClaim": "preferred_username", "createAccounts": false });
    without_userinfo(&stage, changes).await;
    for email in ["bob@example.test", "boss@example.test"] {
        add_person(&stage.mailgrant, email, "Somebody");
    }
    // `user create` makes site admins: bob is to be nobody in particular, boss the admin of a project.
    let project = stage
        .rest
        .post("/api/v1/projects", &json!({ "key": "HELP", "name": "Help" }))
        .await;
    for email in ["bob@example.test", "boss@example.test"] {
        let path = format!(
            "/api/v1/users/{}",
            text(&user(&stage, email).await.unwrap(), "id")
        );
        stage
            .rest
            .send(Method::PATCH, &path, Some(&json!({ "isSiteAdmin": false })))
            .await
            .ok("PATCH");
    }
    let boss = text(&user(&stage, "boss@example.test").await.unwrap(), "id");
    set_member(&stage, &text(&project, "id"), &boss, "project_admin")
        .await
        .ok("POST");
    let claims = |name: &str| json!({ "email": null, "email_verified": null, "preferred_username": name });
    for admin in [ADMIN, "ROOT@example.test ", "boss@example.test"] {
        let seen = come_in(&stage, "mallory", claims(admin)).await;
        assert_eq!(code_of(&seen), "address_taken", "{admin}");
    }
    let seen = come_in(&stage, "nobody", claims("nobody@example.test")).await;
    assert_eq!(code_of(&seen), "no_account");
    let seen = come_in(&stage, "b0b", claims("Bob@example.test")).await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    // An account that a claim joined is not one that a proven address may join as well.
    // An address joins where it is verified, and in no other way.
    let path = format!("/api/v1/identity-providers/{}", stage.id);
    let by_email = json!({ "linkClaim": " email" });
    let refused = stage
        .rest
        .send(reqwest::Method::PATCH, &path, Some(&by_email))
        .await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(refused.json["errors"][0]["pointer"], "/linkClaim");
    stage.patch(&json!({ "linkClaim": "" })).await;
    let other = stage.add("Second", &json!({})).await;
    assert!(!other.is_empty());
}

async fn cb_3_groups_give_and_take_what_they_manage_and_never_what_somebody_gave_by_hand(
    database: TestDatabase,
) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let mut projects = Vec::new();
    for key in ["HELP", "OPS", "LAB"] {
        let made = stage
            .rest
            .post("/api/v1/projects", &json!({ "key": key, "name": key }))
            .await;
        projects.push(text(&made, "id"));
    }
    let [help, ops, lab] = [&projects[0], &projects[1], &projects[2]];
    stage
        .patch(&json!({
            "groupsClaim": "groups", "defaultRole": "viewer", "defaultProjects": [lab],
            "groupRules": [
                { "group": "desk", "role": "agent", "projectId": help },
                { "group": "leads", "role": "project_admin", "projectId": help },
                { "group": "desk", "role": "viewer", "projectId": ops },
                { "group": "admins", "role": "site_admin" },
            ],
        }))
        .await;
    let groups = |list: Value| json!({ "groups": list });
    let path = format!("/api/v1/identity-providers/{}/preview", stage.id);
    let claims = json!({ "claims": { "sub": "grace", "groups": ["desk", "leads"] } });
    let outcome = stage.rest.post(&path, &claims).await;
    assert_eq!(outcome["decision"], "create");
    let given: Vec<String> = outcome["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| text(role, "after"))
        .collect();
    assert_eq!(given, ["project_admin", "viewer", "viewer"], "{outcome}");
    assert_eq!(users(&stage).await.len(), 1, "a preview makes nobody");

    assert_eq!(
        come_in(&stage, "grace", groups(json!(["desk", "leads"])))
            .await
            .status,
        303
    );
    let grace = text(&user(&stage, "grace@example.test").await.unwrap(), "id");
    let roles = async || {
        (
            role_in(&stage, help, &grace).await,
            role_in(&stage, ops, &grace).await,
            role_in(&stage, lab, &grace).await,
        )
    };
    let are = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(roles().await, are("project_admin", "viewer", "viewer"));
    // Out of the leads; and somebody gave her a role in OPS by hand.
    set_member(&stage, ops, &grace, "project_admin").await.ok("POST");
    come_in(&stage, "grace", groups(json!(["desk"]))).await;
    assert_eq!(roles().await, are("agent", "project_admin", "viewer"));
    // Out of everything: what groups gave goes, what a person gave and what everybody new got stays.
    come_in(&stage, "grace", groups(json!([]))).await;
    assert_eq!(roles().await, are("", "project_admin", "viewer"));
    // The claim is gone: the same as no group. Of the wrong type: nobody comes in, nothing changes.
    come_in(&stage, "grace", groups(json!("desk"))).await;
    assert_eq!(role_in(&stage, help, &grace).await, "agent");
    let seen = come_in(&stage, "grace", groups(json!({ "desk": true }))).await;
    assert_eq!(code_of(&seen), "claim_wrong_type");
    assert_eq!(role_in(&stage, help, &grace).await, "agent");
    // Site admins by a group, and not any more.
    come_in(&stage, "grace", groups(json!(["admins"]))).await;
    assert_eq!(
        user(&stage, "grace@example.test").await.unwrap()["isSiteAdmin"],
        true
    );
    come_in(&stage, "grace", groups(json!(["desk"]))).await;
    assert_eq!(
        user(&stage, "grace@example.test").await.unwrap()["isSiteAdmin"],
        false
    );
    // The provider goes, and its roles with it.
    let provider = format!("/api/v1/identity-providers/{}", stage.id);
    assert_eq!(stage.rest.send(Method::DELETE, &provider, None).await.status, 204);
    assert_eq!(roles().await, are("", "project_admin", "viewer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cb_5_cb_6_names_with_html_and_white_space_are_text_and_domains_keep_others_out() {
    let stage = Alone::start().await;
    let changes = json!({ "nameClaims": ["preferred_username", "name"], "domains": ["example.test"] });
    without_userinfo(&stage, changes).await;
    let evil = "  <script>alert(1)</script>\n\u{202e} Ada  ";
    let seen = come_in(&stage, "ada", json!({ "name": evil, "preferred_username": "" })).await;
    assert_eq!(seen.status, 303);
    let ada = user(&stage, "ada@example.test").await.unwrap();
    assert_eq!(ada["name"], "<script>alert(1)</script> Ada");
    let seen = come_in(&stage, "x", json!({ "email": "x@evil.example" })).await;
    assert_eq!(code_of(&seen), "domain_not_allowed");
    let seen = come_in(&stage, "x", json!({ "email_verified": false })).await;
    assert_eq!(code_of(&seen), "email_not_verified");
    let seen = come_in(
        &stage,
        "y".repeat(255).as_str(),
        json!({ "email": "y@example.test", "name": null }),
    )
    .await;
    assert_eq!(seen.status, 303, "{}", code_of(&seen));
    let y = user(&stage, "y@example.test").await.unwrap();
    assert_eq!(text(&y, "name"), "y".repeat(100));
}
