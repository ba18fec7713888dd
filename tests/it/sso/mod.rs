//! Sign-in through identity providers: other people's, scripted ones that lie, and another Mailgrant.

mod doors;
mod forged;
mod leaving;
mod liar;
mod people;
mod recheck;
mod stage;
mod step_up;

use serde_json::json;

use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::world::text;
use stage::{Stage, code_of};

on_each_database!(
    cb_1_cb_2_a_person_signs_in_with_the_companys_provider_and_gets_an_account,
    a_provider_is_enabled_only_after_a_test_sign_in,
);

async fn cb_1_cb_2_a_person_signs_in_with_the_companys_provider_and_gets_an_account(database: TestDatabase) {
    let stage = Stage::start(Some(database), json!({})).await;
    stage.test_and_enable("ada@example.test").await;
    let browser = stage.visitor();
    let page = browser.get("/sign-in").await;
    assert!(page.body.contains("Sign in with Company"), "{}", page.body);
    assert!(
        page.body.contains("name=\"password\""),
        "local sign-in stays by default"
    );
    let seen = stage.sign_in(&browser, "grace@example.test", "/tickets").await;
    assert_eq!(
        (seen.status, seen.location.as_str()),
        (303, "/tickets"),
        "{}",
        seen.body
    );
    assert_eq!(
        browser.get("/tickets").await.status,
        403,
        "signed in, with no role yet"
    );
    let users = stage.rest.all("/api/v1/users").await;
    let grace = users
        .iter()
        .find(|user| user["email"] == "grace@example.test")
        .unwrap();
    // The same person again: the same account.
    let again = stage.visitor();
    stage.sign_in(&again, "grace@example.test", "/").await;
    assert_eq!(stage.rest.all("/api/v1/users").await.len(), users.len());
    // Switched off here: stays out, although the provider says yes.
    let path = format!("/api/v1/users/{}", text(grace, "id"));
    let off = json!({ "isDisabled": true });
    stage
        .rest
        .send(reqwest::Method::PATCH, &path, Some(&off))
        .await
        .ok("PATCH");
    let seen = stage.sign_in(&stage.visitor(), "grace@example.test", "/").await;
    assert_eq!((seen.status, code_of(&seen).as_str()), (400, "account_disabled"));
}

async fn a_provider_is_enabled_only_after_a_test_sign_in(database: TestDatabase) {
    let stage = Stage::start(Some(database), json!({})).await;
    let enable = format!("{}/enable", stage.path());
    let refused = stage.rest.send(reqwest::Method::POST, &enable, None).await;
    assert_eq!(
        (refused.status, &refused.json["code"]),
        (409, &json!("not_tested"))
    );
    assert_eq!(
        stage
            .visitor()
            .get(&format!("/sso/{}/start", stage.id))
            .await
            .status,
        404
    );
    let run = stage.test("grace@example.test").await;
    assert_eq!(run["state"], "passed", "{run}");
    assert_eq!(run["outcome"]["decision"], "create", "{run}");
    assert_eq!(run["claims"]["email"], "grace@example.test");
    assert_eq!(run["claims"]["nonce"], "••••••");
    assert_eq!(
        stage.rest.all("/api/v1/users").await.len(),
        1,
        "a test makes nobody"
    );
    let provider = stage.rest.post(&enable, &json!({})).await;
    assert_eq!(
        (&provider["enabled"], &provider["tested"]),
        (&json!(true), &json!(true))
    );
    // A name changes nothing of that; another client does.
    let renamed = stage.patch(&json!({ "name": "Staff" })).await;
    assert_eq!(renamed["enabled"], true);
    let moved = stage
        .patch(&json!({ "clientId": "another", "clientSecret": "s3cret-of-another" }))
        .await;
    assert_eq!(
        (&moved["enabled"], &moved["tested"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        stage
            .visitor()
            .get(&format!("/sso/{}/start", stage.id))
            .await
            .status,
        404
    );
}
