//! What is dangerous wants somebody who showed who they are a moment ago: a provider that lets them through for an old
//! session of its own is no proof of that.

use serde_json::{Value, json};

use super::stage::{Alone, Stage, code_of};
use crate::on_each_database;
use crate::support::database::TestDatabase;
use crate::support::visitor::{Seen, Visitor};

on_each_database!(who_did_not_show_anew_who_they_are_passes_no_step_up,);

const PATH: &str = "/profile/second-factor";

/// Walks a sign-in for the dangerous page, with what the provider says of when somebody signed in there.
async fn walk(stage: &Alone, browser: &Visitor, again: bool, auth_time: Value) -> Seen {
    let more = if again { "&again=1" } else { "" };
    let off = browser
        .get(&format!("/sso/{}/start?next={PATH}{more}", stage.id))
        .await;
    let asked = |name: &str| off.param(name);
    let wanted = again.then(|| "login".to_owned());
    assert_eq!(asked("prompt"), wanted, "{}", off.location);
    assert_eq!(asked("max_age"), again.then(|| "0".to_owned()));
    let mut claims = stage.liar.claims("grace", &asked("nonce").unwrap());
    match auth_time.is_null() {
        true => drop(claims.as_object_mut().unwrap().remove("auth_time")),
        false => claims["auth_time"] = auth_time,
    }
    stage.liar.gives(&stage.liar.sign(&claims));
    let iss: String = url::form_urlencoded::byte_serialize(stage.liar.issuer.as_bytes()).collect();
    let state = asked("state").unwrap();
    browser
        .get(&format!(
            "/sso/{}/callback?code=x&iss={iss}&state={state}",
            stage.id
        ))
        .await
}

async fn who_did_not_show_anew_who_they_are_passes_no_step_up(database: TestDatabase) {
    let stage = Alone::start_on(Some(database), &json!({})).await;
    let browser = stage.visitor();
    let now = super::liar::now();
    // Let through silently: they are in, and no further.
    for auth_time in [json!(null), json!(now - 3_600)] {
        let seen = walk(&stage, &browser, false, auth_time.clone()).await;
        assert_eq!((seen.status, seen.location.as_str()), (303, PATH), "{auth_time}");
        let page = browser.get(PATH).await;
        assert!(
            page.status == 303 && page.location.starts_with("/sign-in?again=1"),
            "{auth_time}: {} {}",
            page.status,
            page.location
        );
        assert_eq!(browser.get("/profile").await.status, 200);
    }
    // Who is signed in is sent to show it anew; who is not has nothing to show anew, whoever wants them to sign in.
    let offered = format!("/sign-in?again=1&next={PATH}");
    assert!(browser.get(&offered).await.body.contains("again=1"));
    let page = stage.visitor().get(&offered).await;
    assert!(
        page.body.contains(&stage.id) && !page.body.contains("again=1"),
        "{}",
        page.body
    );
    // Asked again, and let through all the same.
    for auth_time in [json!(now - 3_600), json!(now + 3_600)] {
        let seen = walk(&stage, &browser, true, auth_time.clone()).await;
        assert_eq!(code_of(&seen), "not_signed_in_again", "{auth_time}");
        assert_ne!(browser.get(PATH).await.status, 200, "{auth_time}");
    }
    // Asked again, and nobody knows whether they did: the provider may not know the question.
    let seen = walk(&stage, &browser, true, json!(null)).await;
    assert_eq!(
        (seen.status, code_of(&seen).as_str()),
        (400, "sign_in_time_missing")
    );
    assert!(
        seen.body.contains("ask an administrator for a link"),
        "{}",
        seen.body
    );
    assert_ne!(browser.get(PATH).await.status, 200);
    // Asked again, and they did.
    let browser = stage.visitor();
    let seen = walk(&stage, &browser, true, json!(now + 1)).await;
    assert_eq!(
        (seen.status, seen.location.as_str()),
        (303, PATH),
        "{}",
        code_of(&seen)
    );
    assert_eq!(browser.get(PATH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn oidc_provider_asks_anew_when_it_is_told_to_and_the_dangerous_page_opens() {
    let stage = Stage::start(None, json!({})).await;
    stage.test_and_enable("ada@example.test").await;
    let browser = stage.visitor();
    let off = browser
        .get(&format!("/sso/{}/start?next={PATH}&again=1", stage.id))
        .await;
    let back = stage.provider.consent(&off.location, "grace@example.test").await;
    let seen = browser.get(back.as_str()).await;
    assert_eq!(
        (seen.status, seen.location.as_str()),
        (303, PATH),
        "{}",
        code_of(&seen)
    );
    assert_eq!(browser.get(PATH).await.status, 200);
}
