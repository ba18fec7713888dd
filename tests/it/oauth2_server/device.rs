//! Devices without a keyboard.

use super::{EMAIL, PASSWORD, Server, all_scopes};
use crate::support::database::TestDatabase;
use crate::support::visitor::{Seen, Visitor};
use crate::world::text;
use secrecy::SecretString;
use serde_json::{Value, json};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

struct Device {
    client: Value,
    code: String,
    shown: String,
    link: String,
}

impl Server {
    /// A public application on a device, which has begun.
    async fn device(&self) -> Device {
        let client = self
            .add_client(&json!({
                "name": "Helpdesk on a television", "applicationType": "native", "tokenEndpointAuthMethod": "none",
                "redirectUris": [], "grantTypes": [GRANT, "refresh_token"],
            }))
            .await;
        self.begin(client).await
    }

    async fn begin(&self, client: Value) -> Device {
        let fields = [(
            "scope",
            "openid profile offline_access tickets:read projects:read",
        )];
        let begun = self.ask(&client, "/oauth2/device_authorization", &fields).await;
        assert_eq!(begun.json["interval"], 5, "{}", begun.json);
        assert_eq!(begun.json["expires_in"], 600);
        let base = &self.mailgrant.base_url;
        assert_eq!(begun.json["verification_uri"], format!("{base}/device"));
        Device {
            code: begun.text("device_code"),
            shown: begun.text("user_code"),
            link: begun.text("verification_uri_complete"),
            client,
        }
    }

    async fn poll(&self, device: &Device) -> super::Answer {
        let fields = [("grant_type", GRANT), ("device_code", device.code.as_str())];
        self.ask(&device.client, "/oauth2/token", &fields).await
    }

    /// Ada at the page of the code, signed in.
    async fn at_the_page(&self, visitor: &Visitor, link: &str) -> Seen {
        let seen = visitor.get(link).await;
        if seen.status != 303 {
            return seen;
        }
        let page = visitor.get(&seen.location).await;
        let next = visitor.sign_in(&page, EMAIL, &SecretString::from(PASSWORD)).await;
        visitor.get(&next.location).await
    }
}

/// Types the code and allows what the device asks for.
async fn allow(server: &Server, device: &Device) {
    let visitor = Visitor::new(&server.mailgrant);
    let page = server.at_the_page(&visitor, &device.link).await;
    let seen = visitor
        .submit(&page, "/device", &[("user_code", &device.shown)])
        .await;
    let consent = visitor.get(&seen.location).await;
    let scopes = all_scopes(&consent);
    let mut fields: Vec<(&str, &str)> = scopes.iter().map(|scope| ("scope", scope.as_str())).collect();
    fields.extend([("decision", "allow"), ("reach", "all"), ("lasts", "")]);
    let done = visitor.submit(&consent, &seen.location, &fields).await;
    assert_eq!(done.status, 200, "{}", done.body);
}

async fn n39_of_twenty_polls_of_an_allowed_device_one_gets_tokens(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let device = server.device().await;
    allow(&server, &device).await;
    let answers = futures_util::future::join_all((0..20).map(|_| server.poll(&device))).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 || answer.error() == (400, "invalid_grant"))
    );
}

async fn n39_n41_a_device_gets_its_tokens_once_after_somebody_allowed_it(database: TestDatabase) {
    let server = Server::start_on(Some(database)).await;
    let device = server.device().await;
    assert_eq!(server.poll(&device).await.error(), (400, "authorization_pending"));
    assert_eq!(
        server.poll(&device).await.error(),
        (400, "slow_down"),
        "asked again at once"
    );
    assert_eq!(
        server.poll(&device).await.error(),
        (400, "slow_down"),
        "and it stays so"
    );
    // N41: the link fills the code in, and nothing more: the page says who asks, from where, and waits for a decision.
    let visitor = Visitor::new(&server.mailgrant);
    let page = server.at_the_page(&visitor, &device.link).await;
    assert!(
        page.body.contains(&format!("value=\"{}\"", device.shown)),
        "{}",
        page.body
    );
    assert_eq!(
        server.poll(&device).await.error(),
        (400, "slow_down"),
        "a link alone allows nothing"
    );
    let typed = device.shown.to_lowercase().replace('-', " ");
    let seen = visitor.submit(&page, "/device", &[("user_code", &typed)]).await;
    assert!(
        seen.location.contains("/oauth2/interactions/"),
        "{} {}",
        seen.status,
        seen.body
    );
    let consent = visitor.get(&seen.location).await;
    for word in [
        "Helpdesk on a television",
        &device.shown,
        "127.0.0.1",
        "Read tickets",
        "only if you began it",
    ] {
        assert!(consent.body.contains(word), "{word}: {}", consent.body);
    }
    let scopes = all_scopes(&consent);
    let mut fields: Vec<(&str, &str)> = scopes
        .iter()
        .filter(|scope| *scope != "projects:read")
        .map(|scope| ("scope", scope.as_str()))
        .collect();
    fields.extend([("decision", "allow"), ("reach", "all"), ("lasts", "")]);
    let done = visitor.submit(&consent, &seen.location, &fields).await;
    assert!(
        done.status == 200 && done.body.contains("is connected"),
        "{} {}",
        done.status,
        done.body
    );
    // Another client with the code gets nothing and spoils nothing.
    let thief = server
        .add_client(&json!({ "grantTypes": [GRANT], "redirectUris": [] }))
        .await;
    let fields = [("grant_type", GRANT), ("device_code", device.code.as_str())];
    let stolen = server.ask(&thief, "/oauth2/token", &fields).await;
    assert_eq!(stolen.error(), (400, "invalid_grant"));
    let wrong = [("grant_type", GRANT), ("device_code", "mg_dc_nonsense")];
    assert_eq!(
        server.ask(&device.client, "/oauth2/token", &wrong).await.error(),
        (400, "invalid_grant")
    );
    let answers = futures_util::future::join_all((0..10).map(|_| server.poll(&device))).await;
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 || answer.error() == (400, "invalid_grant"))
    );
    let tokens = good[0];
    assert_eq!(
        tokens.text("scope"),
        "openid profile offline_access tickets:read",
        "as it was narrowed"
    );
    assert!(!tokens.text("id_token").is_empty() && !tokens.text("refresh_token").is_empty());
    assert_eq!(
        server.api(&tokens.text("access_token"), "/api/v1/tickets").await,
        200
    );
    assert_eq!(
        server.api(&tokens.text("access_token"), "/api/v1/projects").await,
        403
    );
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &tokens.text("refresh_token")),
    ];
    assert_eq!(
        server.ask(&device.client, "/oauth2/token", &refresh).await.status,
        200
    );
    // The code is used up on the page as well; a consent that is remembered does not let the next device pass silently.
    let page = server.at_the_page(&visitor, &device.link).await;
    let used = visitor
        .submit(&page, "/device", &[("user_code", &device.shown)])
        .await;
    assert_eq!(used.status, 422, "{}", used.body);
    let next = server.begin(device.client.clone()).await;
    let page = server.at_the_page(&visitor, &next.link).await;
    let seen = visitor
        .submit(&page, "/device", &[("user_code", &next.shown)])
        .await;
    let consent = visitor.get(&seen.location).await;
    assert!(consent.body.contains("name=\"decision\""), "{}", consent.body);
    let refused = visitor
        .submit(&consent, &seen.location, &[("decision", "refuse")])
        .await;
    assert!(
        refused.status == 200 && refused.body.contains("refused"),
        "{} {}",
        refused.status,
        refused.body
    );
    assert_eq!(server.poll(&next).await.error(), (400, "access_denied"));
}

crate::on_each_database!(
    n39_n41_a_device_gets_its_tokens_once_after_somebody_allowed_it,
    n39_of_twenty_polls_of_an_allowed_device_one_gets_tokens,
);

#[tokio::test(flavor = "multi_thread")]
async fn n40_codes_of_devices_cannot_be_guessed() {
    let server = Server::start().await;
    let visitor = Visitor::new(&server.mailgrant);
    let page = server.at_the_page(&visitor, "/device").await;
    let mut refused = None;
    for tried in 1..=20 {
        let seen = visitor
            .submit(&page, "/device", &[("user_code", "BCDF-GHJK")])
            .await;
        if seen.status == 429 {
            assert!(seen.headers.contains_key("retry-after"), "{:?}", seen.headers);
            refused = Some(tried);
            break;
        }
        assert_eq!(seen.status, 422, "{}", seen.body);
    }
    assert!(refused.is_some_and(|tried| tried <= 10), "{refused:?}");
    // Nobody who is not signed in can try at all.
    let stranger = Visitor::new(&server.mailgrant);
    let seen = stranger.get("/device?user_code=BCDF-GHJK").await;
    assert!(
        seen.status == 303 && seen.location.contains("/sign-in"),
        "{} {}",
        seen.status,
        seen.location
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_asks_for_no_more_than_its_client_may() {
    let server = Server::start().await;
    let begin = |client: Value, fields: Vec<(&'static str, &'static str)>| {
        let server = &server;
        async move { server.ask(&client, "/oauth2/device_authorization", &fields).await }
    };
    let without = begin(server.client.clone(), vec![("scope", "tickets:read")]).await;
    assert_eq!(without.error(), (400, "unauthorized_client"));
    let device = server.device().await;
    for (fields, error) in [
        (vec![], "invalid_scope"),
        (vec![("scope", "tickets:write")], "invalid_scope"),
        (
            vec![("scope", "tickets:read"), ("resource", "https://other.example")],
            "invalid_target",
        ),
    ] {
        let answer = begin(device.client.clone(), fields.clone()).await;
        assert_eq!(answer.error(), (400, error), "{fields:?}");
    }
    let _ = text(&device.client, "id");
}
