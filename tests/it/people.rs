//! People over HTTP, on both databases: the race for the first account, passwords, second factors (codes by Debian's
//! `oathtool`), sessions and cookies, and the way in from the machine.

mod once;

use std::process::Command;

use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::on_each_database;
use crate::support::certs::TestCa;
use crate::support::database::TestDatabase;
use crate::support::process::{Mailgrant, Reply, Rest, Settings};
use crate::support::smtp_sink::SmtpSink;
use crate::support::visitor::{Seen, Visitor};
use crate::support::wait::{SOON, eventually};
use crate::world::text;

on_each_database!(
    of_a_hundred_set_ups_at_once_one_makes_the_admin,
    a_changed_password_ends_everything_that_hangs_on_it,
    somebody_who_is_disabled_is_out_at_once,
    a_second_factor_is_asked_for_and_no_code_counts_twice,
    an_administrator_who_lost_everything_gets_in_from_the_machine,
    an_invitation_works_once_and_a_person_is_removed_for_good,
    links_go_by_mail_and_an_address_without_an_account_gets_none,
    a_project_keeps_its_last_admin_also_when_two_go_at_once,
    who_uses_a_link_and_who_shuts_them_out_do_not_wait_in_a_circle,
);

const EMAIL: &str = "ada@example.test";
const PASSWORD: &str = "correct horse battery staple";

struct Place {
    mailgrant: Mailgrant,
    rest: Rest,
    // Last: dropped after those who use it.
    _database: TestDatabase,
}

impl Place {
    async fn start(database: TestDatabase) -> Self {
        let mailgrant = Mailgrant::start(Settings::new().database(&database.url)).await;
        Self {
            rest: mailgrant.rest(),
            mailgrant,
            _database: database,
        }
    }

    /// Somebody who came by an invitation and has a password.
    async fn person(&self, email: &str, is_site_admin: bool) -> (String, Visitor) {
        let body = json!({ "email": email, "name": "Ada", "isSiteAdmin": is_site_admin });
        let made = self.rest.post("/users", &body).await;
        let link = text(&made, "invitationUrl");
        let visitor = Visitor::new(&self.mailgrant);
        let done = set_password(&visitor, &link, PASSWORD).await;
        assert_eq!((done.status, done.location.as_str()), (303, "/"), "{}", done.body);
        (text(&made, "id"), visitor)
    }

    async fn sign_in(&self, visitor: &Visitor, email: &str, password: &str) -> Seen {
        let page = visitor.get("/sign-in?again=1").await;
        visitor.sign_in(&page, email, &SecretString::from(password)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.rest.get(path).await
    }
}

/// The path and query of a link, wherever it says that the service is.
fn local(link: &str) -> String {
    let url = url::Url::parse(link).unwrap_or_else(|e| panic!("{link}: {e}"));
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

async fn set_password(visitor: &Visitor, link: &str, password: &str) -> Seen {
    let path = local(link);
    let page = visitor.get(&path).await;
    assert_eq!(page.status, 200, "{}", page.body);
    visitor
        .submit(&page, &path, &[("name", "Ada"), ("password", password)])
        .await
}

async fn is_in(visitor: &Visitor) -> bool {
    visitor.get("/profile").await.status == 200
}

/// What an authenticator app with this secret shows, so many seconds from now.
fn code(secret: &str, seconds: i64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let at = format!("@{}", i64::try_from(now).unwrap() + seconds);
    let out = Command::new("oathtool")
        .args(["--totp", "--base32", secret, "--now", &at])
        .output()
        .expect("oathtool: run tests/run services");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// The key on a page with a QR code.
fn key_of(page: &Seen) -> String {
    let (_, rest) = page.body.split_once("class=\"mg-key\">").expect("a key");
    rest.split('<').next().unwrap().replace(' ', "")
}

/// Turns the second factor on: its secret and the recovery codes.
async fn enrol(visitor: &Visitor) -> (String, Vec<String>) {
    let page = visitor.get("/profile/second-factor").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let secret = key_of(&page);
    let fields = [("offer", page.hidden("offer")), ("code", code(&secret, 0))];
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let shown = visitor.submit(&page, "/profile/second-factor", &fields).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    let codes: Vec<String> = shown
        .body
        .split("<li><code>")
        .skip(1)
        .map(|part| part.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

async fn of_a_hundred_set_ups_at_once_one_makes_the_admin(database: TestDatabase) {
    let place = Place::start(database).await;
    let log = place.mailgrant.log();
    let link = log
        .lines()
        .map(str::trim)
        .find(|line| line.contains("/setup?"))
        .expect("a link")
        .to_owned();
    let path = local(&link);
    let tries = (0..100).map(|n| {
        let (visitor, path) = (Visitor::new(&place.mailgrant), path.clone());
        async move {
            let page = visitor.get(&path).await;
            let email = format!("u{n}@example.test");
            let fields = [("email", email.as_str()), ("name", "U"), ("password", PASSWORD)];
            visitor.submit(&page, &path, &fields).await.status
        }
    });
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(
        answers.iter().filter(|status| **status == 303).count(),
        1,
        "{answers:?}"
    );
    let people = place.rest.all("/api/v1/users").await;
    assert_eq!(people.len(), 1);
    assert_eq!(people[0]["isSiteAdmin"], true);
}

async fn a_changed_password_ends_everything_that_hangs_on_it(database: TestDatabase) {
    let place = Place::start(database).await;
    let (id, visitor) = place.person(EMAIL, true).await;
    let other = Visitor::new(&place.mailgrant);
    assert_eq!(place.sign_in(&other, EMAIL, PASSWORD).await.status, 303);
    let sessions = place.rest.all(&format!("/api/v1/sessions?userId={id}")).await;
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|session| session["amr"] == json!(["pwd"])));
    let before = visitor.cookie("mailgrant");

    let page = visitor.get("/profile").await;
    let change = async |old: &str, new: &str| {
        let fields = [
            ("old_password", old),
            ("password", new),
            ("revoke_tokens", "true"),
        ];
        visitor.submit(&page, "/profile/password", &fields).await
    };
    assert_eq!(change("not the old one", "a sentence of mine").await.status, 422);
    assert_eq!(change(PASSWORD, "Password-2026-2026!").await.status, 422);
    assert!(is_in(&other).await, "nothing was changed");
    let done = change(PASSWORD, "a sentence of mine").await;
    assert_eq!((done.status, done.location.as_str()), (303, "/profile"));
    assert!(!is_in(&other).await, "the other session has ended");
    assert!(is_in(&visitor).await);
    assert_ne!(visitor.cookie("mailgrant"), before, "under a new id");
    assert_eq!(place.sign_in(&other, EMAIL, PASSWORD).await.status, 422);
    assert_eq!(
        place.sign_in(&other, EMAIL, "a sentence of mine").await.status,
        303
    );
}

async fn somebody_who_is_disabled_is_out_at_once(database: TestDatabase) {
    let place = Place::start(database).await;
    let (id, visitor) = place.person(EMAIL, false).await;
    let token = place
        .mailgrant
        .run_ok(&["token", "create", "--name", "hers", "--user", EMAIL]);
    let hers = Rest::new(&place.mailgrant.base_url, token.trim());
    assert_eq!(hers.send(Method::GET, "/tokens", None).await.status, 200);
    let path = format!("/users/{id}");
    place
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "isDisabled": true })))
        .await
        .ok(&path);
    assert!(!is_in(&visitor).await);
    assert_eq!(hers.send(Method::GET, "/tokens", None).await.status, 401);
    assert_eq!(place.sign_in(&visitor, EMAIL, PASSWORD).await.status, 422);
    place
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "isDisabled": false })))
        .await
        .ok(&path);
    assert_eq!(
        hers.send(Method::GET, "/tokens", None).await.status,
        401,
        "for good"
    );
    assert_eq!(place.sign_in(&visitor, EMAIL, PASSWORD).await.status, 303);
}

async fn a_second_factor_is_asked_for_and_no_code_counts_twice(database: TestDatabase) {
    let place = Place::start(database).await;
    let (id, visitor) = place.person(EMAIL, true).await;
    let (secret, recovery) = enrol(&visitor).await;
    assert_eq!(place.get(&format!("/users/{id}")).await["hasSecondFactor"], true);

    let other = Visitor::new(&place.mailgrant);
    let try_code = async |visitor: &Visitor, code: &str| {
        let step = place.sign_in(visitor, EMAIL, PASSWORD).await;
        assert_eq!((step.status, step.location.as_str()), (303, "/sign-in/code"));
        assert!(!is_in(visitor).await, "a password alone opens nothing");
        let page = visitor.get("/sign-in/code").await;
        visitor.submit(&page, "/sign-in/code", &[("code", code)]).await
    };
    // The code of the next half minute: the one that set the app up counted already, and a clock may be one step wrong.
    let good = code(&secret, 30);
    let wrong = if good == "000000" { "000001" } else { "000000" };
    assert_eq!(try_code(&other, wrong).await.status, 422);
    let done = try_code(&other, &good).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/"), "{}", done.body);
    assert!(is_in(&other).await);
    let third = Visitor::new(&place.mailgrant);
    assert_eq!(try_code(&third, &good).await.status, 422, "a code counts once");
    assert!(!is_in(&third).await);
    assert_eq!(try_code(&third, &recovery[0].to_uppercase()).await.status, 303);
    assert!(is_in(&third).await);
    let fourth = Visitor::new(&place.mailgrant);
    assert_eq!(
        try_code(&fourth, &recovery[0]).await.status,
        422,
        "so does a recovery code"
    );

    let path = format!("/users/{id}/second-factor");
    assert_eq!(place.rest.send(Method::DELETE, &path, None).await.status, 204);
    assert!(!is_in(&other).await, "sessions ended with it");
    assert_eq!(place.sign_in(&fourth, EMAIL, PASSWORD).await.location, "/");
}

async fn an_administrator_who_lost_everything_gets_in_from_the_machine(database: TestDatabase) {
    let place = Place::start(database).await;
    let (id, visitor) = place.person(EMAIL, false).await;
    enrol(&visitor).await;
    let path = format!("/users/{id}");
    place
        .rest
        .send(Method::PATCH, &path, Some(&json!({ "isDisabled": true })))
        .await
        .ok(&path);
    let link = place.mailgrant.run_ok(&["user", "recover", "--email", EMAIL]);
    let before = place.get(&path).await;
    assert_eq!(before["isSiteAdmin"], false, "only the link does it");
    let anew = Visitor::new(&place.mailgrant);
    let done = set_password(&anew, link.trim(), "another sentence of mine").await;
    assert_eq!((done.status, done.location.as_str()), (303, "/"), "{}", done.body);
    assert_eq!(anew.get("/settings").await.status, 200, "a site admin");
    let after = place.get(&path).await;
    assert_eq!(after["isDisabled"], false);
    assert_eq!(after["hasSecondFactor"], false);
    assert_eq!(anew.get(&local(link.trim())).await.status, 410, "once");

    let new = place
        .mailgrant
        .run_ok(&["user", "recover", "--email", "new@example.test"]);
    let newcomer = Visitor::new(&place.mailgrant);
    let done = set_password(&newcomer, new.trim(), "another sentence of mine").await;
    assert_eq!(done.location, "/");
    assert_eq!(newcomer.get("/settings").await.status, 200);
}

async fn an_invitation_works_once_and_a_person_is_removed_for_good(database: TestDatabase) {
    let place = Place::start(database).await;
    let project = place
        .rest
        .post("/projects", &json!({ "key": "HELP", "name": "Help desk" }))
        .await;
    let body = json!({
        "email": "Grace@Example.test", "memberships": [{ "projectId": project["id"], "role": "agent" }],
    });
    let made = place.rest.post("/users", &body).await;
    let (id, link) = (text(&made, "id"), text(&made, "invitationUrl"));
    assert!(made["invitationExpiresAt"].is_string());
    let path = format!("/users/{id}/invitations");
    let again = place.rest.post(&path, &json!({})).await;
    let visitor = Visitor::new(&place.mailgrant);
    assert_eq!(
        visitor.get(&local(&link)).await.status,
        410,
        "a newer one ends it"
    );
    let link = text(&again, "invitationUrl");
    let done = set_password(&visitor, &link, PASSWORD).await;
    assert_eq!(done.location, "/");
    assert_eq!(visitor.get("/tickets").await.status, 200);
    assert_eq!(visitor.get("/users").await.status, 403);
    assert_eq!(visitor.get(&local(&link)).await.status, 410);

    let third = place
        .rest
        .post("/users", &json!({ "email": "eve@example.test" }))
        .await;
    let path = format!("/users/{}/invitations", text(&third, "id"));
    assert_eq!(place.rest.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(
        visitor.get(&local(&text(&third, "invitationUrl"))).await.status,
        410
    );

    let path = format!("/users/{id}");
    assert_eq!(place.rest.send(Method::DELETE, &path, None).await.status, 204);
    assert!(!is_in(&visitor).await);
    assert_eq!(place.rest.send(Method::GET, &path, None).await.status, 404);
    let members = format!("/api/v1/projects/{}/members", text(&project, "id"));
    assert!(place.rest.all(&members).await.is_empty());
    assert_eq!(
        place
            .sign_in(&visitor, "grace@example.test", PASSWORD)
            .await
            .status,
        422
    );
    let anew = place.rest.post("/users", &body).await;
    assert_ne!(text(&anew, "id"), id, "the address is free");
}

/// The link in the newest mail to an address, once there are so many.
async fn mailed_link(sink: &SmtpSink, to: &str, count: usize) -> String {
    let raw = eventually("a mail with a link is taken", SOON, async || {
        let mails: Vec<_> = sink.taken().into_iter().filter(|mail| mail.to == [to]).collect();
        (mails.len() >= count).then(|| mails.last().map(|mail| mail.raw.clone()).unwrap())
    })
    .await;
    // Quoted-printable folds long lines and writes its own sign as a number.
    let text = String::from_utf8_lossy(&raw)
        .replace("=\r\n", "")
        .replace("=3D", "=");
    // The address of the site stands in it as well.
    let link = text
        .split_whitespace()
        .find(|word| word.starts_with("http://") && word.contains('?'));
    link.unwrap_or_else(|| panic!("a link in {text}")).to_owned()
}

async fn links_go_by_mail_and_an_address_without_an_account_gets_none(database: TestDatabase) {
    let ca = TestCa::new();
    let dir = tempfile::tempdir().unwrap();
    let ca_file = ca.write(dir.path());
    let secret = dir.path().join("password");
    std::fs::write(&secret, "open-sesame-41\n").unwrap();
    let sink = SmtpSink::start_tls(&ca).await;
    let settings = Settings::new()
        .database(&database.url)
        .trust(&ca_file)
        .set("MAILGRANT_SMTP_HOST", "127.0.0.1")
        .set("MAILGRANT_SMTP_PORT", sink.port.to_string())
        .set("MAILGRANT_SMTP_TLS", "implicit")
        .set("MAILGRANT_SMTP_LOGIN_NAME", "mg@example.test")
        .set("MAILGRANT_SMTP_PASSWORD_FILE", secret.to_string_lossy())
        .set("MAILGRANT_SMTP_FROM", "Mailgrant <noreply@example.test>");
    let mailgrant = Mailgrant::start(settings).await;
    let rest = mailgrant.rest();
    let made = rest
        .post("/users", &json!({ "email": EMAIL, "name": "Ada" }))
        .await;
    assert_eq!(made["invitationUrl"], Value::Null, "it goes by mail");
    let link = mailed_link(&sink, EMAIL, 1).await;
    let visitor = Visitor::new(&mailgrant);
    assert_eq!(set_password(&visitor, &link, PASSWORD).await.location, "/");

    // Nobody but its recipient sees the link: not even who may read all outgoing mail.
    let outgoing = rest.all("/api/v1/outgoing-mails?kind=notice").await;
    let raw = format!("/outgoing-mails/{}/raw", text(&outgoing[0], "id"));
    assert_eq!(rest.send(Method::GET, &raw, None).await.status, 403);

    let page = visitor.get("/forgot-password").await;
    let mut answers = Vec::new();
    for email in ["nobody@example.test", EMAIL] {
        let seen = visitor
            .submit(&page, "/forgot-password", &[("email", email)])
            .await;
        assert_eq!(seen.status, 200);
        answers.push(seen.body);
    }
    assert_eq!(answers[0], answers[1]);
    let link = mailed_link(&sink, EMAIL, 2).await;
    let anew = Visitor::new(&mailgrant);
    assert_eq!(
        set_password(&anew, &link, "another sentence of mine")
            .await
            .location,
        "/"
    );
    assert!(!is_in(&visitor).await, "the session of before has ended");
    assert!(sink.taken().iter().all(|mail| mail.to == [EMAIL]));
    another_address(&mailgrant, &sink, &anew, "another sentence of mine").await;
}

/// Asked for with the password, confirmed from the new mailbox, told to the one before.
async fn another_address(mailgrant: &Mailgrant, sink: &SmtpSink, ada: &Visitor, password: &str) {
    const NEW: &str = "countess@example.test";
    let rest = mailgrant.rest();
    rest.post("/users", &json!({ "email": "lin@example.test", "name": "Lin" }))
        .await;
    mailed_link(sink, "lin@example.test", 1).await;
    let told = async |to: &str, subject: &str| {
        eventually("a mail", SOON, async || {
            let mails = sink.taken();
            let found = mails
                .iter()
                .any(|mail| mail.to == [to] && String::from_utf8_lossy(&mail.raw).contains(subject));
            found.then_some(())
        })
        .await;
    };
    let page = ada.get("/profile").await;
    let ask = async |email: &str, password: &str| {
        let fields = [("email", email), ("email_password", password)];
        ada.submit(&page, "/profile/email", &fields).await
    };
    for (email, password) in [
        (NEW, "not my password at all"),
        ("no address", password),
        (EMAIL, password),
    ] {
        assert_eq!(ask(email, password).await.status, 422, "{email}");
    }
    // Whether somebody has an address is said to nobody, and nothing goes there.
    assert_eq!(ask("LIN@example.test", password).await.location, "/profile");
    told(EMAIL, "Your address for Mailgrant is to change").await;
    assert_eq!(ask(NEW, password).await.location, "/profile");
    let link = mailed_link(sink, NEW, 1).await;
    let lin = sink
        .taken()
        .iter()
        .filter(|mail| mail.to == ["lin@example.test"])
        .count();
    assert_eq!(lin, 1, "the invitation, and nothing since");
    // Programs look at links, too: looking changes nothing.
    let stranger = Visitor::new(mailgrant);
    let confirm = stranger.get(local(&link).as_str()).await;
    assert!(confirm.body.contains(NEW), "{}", confirm.body);
    assert_eq!(
        rest.all("/users")
            .await
            .iter()
            .filter(|user| user["email"] == NEW)
            .count(),
        0
    );
    let wrong = stranger.get("/confirm-email?token=made-up").await;
    assert_eq!(wrong.status, 410);
    let path = local(&link);
    let (one, two) = tokio::join!(
        stranger.submit(&confirm, &path, &[]),
        stranger.submit(&confirm, &path, &[])
    );
    let mut both = [one.status, two.status];
    both.sort_unstable();
    assert_eq!(both, [200, 410], "once");
    assert_eq!(
        rest.all("/users")
            .await
            .iter()
            .filter(|user| user["email"] == NEW)
            .count(),
        1
    );
    told(EMAIL, "Your address for Mailgrant was changed").await;
    assert!(is_in(ada).await);
    let log = rest.all("/audit-events?targetType=user").await;
    assert!(log.iter().any(|event| event["action"] == "user.email_asked"));
    let token = link.rsplit('=').next().unwrap();
    assert!(!format!("{log:?}").contains(token));
    // An administrator can change it, too. Whoever had it until now is told, and the log says what is different.
    let users = rest.all("/users").await;
    let id = text(users.iter().find(|user| user["email"] == NEW).unwrap(), "id");
    let moved = json!({ "email": "ada@elsewhere.test", "phoneNumber": "+44 123", "name": "Ada L." });
    let path = format!("/users/{id}");
    rest.send(Method::PATCH, &path, Some(&moved)).await.ok("PATCH");
    told(NEW, "Your address for Mailgrant was changed").await;
    let path = format!("/audit-events?action=user.changed&targetId={id}&limit=3");
    let log = rest.get(&path).await;
    let mut changed: Vec<&Value> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["summary"]["changed"])
        .collect();
    changed.sort_by_key(|fields| fields.to_string());
    assert_eq!(
        changed,
        [&json!(["email"]), &json!(["name"]), &json!(["phoneNumber"])]
    );
}

async fn a_project_keeps_its_last_admin_also_when_two_go_at_once(database: TestDatabase) {
    let place = Place::start(database).await;
    let rest = &place.rest;
    let project = rest
        .post("/projects", &json!({ "key": "HELP", "name": "Help desk" }))
        .await;
    let members = format!("/api/v1/projects/{}/members", text(&project, "id"));
    let mut ids = Vec::new();
    for email in ["one@example.test", "two@example.test"] {
        let made = rest.post("/users", &json!({ "email": email })).await;
        ids.push(text(&made, "id"));
    }
    let make = async |id: &str, role: &str| {
        let body = json!({ "userId": id, "role": role });
        rest.send_once(&members, &body).await
    };
    let code = |reply: &Reply| {
        (
            reply.status,
            reply.json["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let refused = (409, "last_project_admin".to_owned());
    let admins = async || {
        let all = rest.all(&members).await;
        all.iter()
            .filter(|member| member["role"] == "project_admin")
            .count()
    };
    let at = |id: &str| format!("{members}/{id}");
    let demotion = json!({ "role": "viewer" });
    for round in 0..10 {
        for id in &ids {
            assert_eq!(make(id, "project_admin").await.status, 201);
        }
        // One is taken out, the other is made a viewer.
        let (one, two) = (at(&ids[0]), at(&ids[1]));
        let (gone, demoted) = tokio::join!(
            rest.send(Method::DELETE, &one, None),
            rest.send(Method::PATCH, &two, Some(&demotion))
        );
        let both = [code(&gone), code(&demoted)];
        assert_eq!(
            both.iter().filter(|one| **one == refused).count(),
            1,
            "round {round}: {both:?}"
        );
        assert_eq!(admins().await, 1, "round {round}");
    }
    // By each way, unless it is meant.
    for id in &ids {
        assert_eq!(make(id, "project_admin").await.status, 201);
    }
    let out = at(&ids[1]);
    assert_eq!(rest.send(Method::DELETE, &out, None).await.status, 204);
    let last = at(&ids[0]);
    for reply in [
        rest.send(Method::DELETE, &last, None).await,
        rest.send(Method::PATCH, &last, Some(&demotion)).await,
        make(&ids[0], "viewer").await,
    ] {
        assert_eq!(code(&reply), refused);
    }
    // Somebody who may not sign in manages nothing.
    assert_eq!(make(&ids[1], "project_admin").await.status, 201);
    let off = json!({ "isDisabled": true });
    let other = format!("/users/{}", ids[1]);
    rest.send(Method::PATCH, &other, Some(&off)).await.ok("PATCH");
    assert_eq!(code(&rest.send(Method::DELETE, &last, None).await), refused);
    assert_eq!(rest.send(Method::DELETE, &out, None).await.status, 204);
    let meant = json!({ "role": "viewer", "allowNoAdmin": true });
    assert_eq!(
        rest.send(Method::PATCH, &last, Some(&meant)).await.json["role"],
        "viewer"
    );
    assert_eq!(make(&ids[0], "project_admin").await.status, 201);
    let meant = format!("{last}?allowNoAdmin=true");
    assert_eq!(rest.send(Method::DELETE, &meant, None).await.status, 204);
    assert_eq!(admins().await, 0);
}

async fn who_uses_a_link_and_who_shuts_them_out_do_not_wait_in_a_circle(database: TestDatabase) {
    if database.postgres().is_none() {
        // One writer at a time: there is no circle.
        return;
    }
    let place = Place::start(database).await;
    let db = mailgrant::db::Db::open(&place._database.url).await.unwrap();
    let (ada, _) = place.person(EMAIL, true).await;
    let made = place
        .rest
        .post(
            "/users",
            &json!({ "email": "grace@example.test", "name": "Grace" }),
        )
        .await;
    let (grace, link) = (text(&made, "id"), text(&made, "invitationUrl"));
    let token = "a-link-that-was-mailed";
    let hash = mailgrant::crypto::sha256_hex(token.as_bytes());
    let waits = format!(
        "INSERT INTO email_changes (user_id, token_hash, email, created_at, expires_at) \
         VALUES ('{ada}', '{hash}', 'countess@example.test', 0, {})",
        i64::MAX
    );
    db.write().execute_unprepared(&waits).await.unwrap();
    // Whoever shuts somebody out holds the person, and then deletes what opens something.
    for (person, table, path) in [
        (&grace, "one_time_links", local(&link)),
        (&ada, "email_changes", format!("/confirm-email?token={token}")),
    ] {
        let visitor = Visitor::new(&place.mailgrant);
        let page = visitor.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let shut_out = db.begin().await.unwrap();
        shut_out
            .execute_unprepared(&format!("SELECT id FROM users WHERE id = '{person}' FOR UPDATE"))
            .await
            .unwrap();
        let fields = [("name", "Grace"), ("password", PASSWORD)];
        let (seen, ()) = tokio::join!(visitor.submit(&page, &path, &fields), async {
            eventually("the link waits for the person", SOON, async || {
                let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                               AND wait_event_type = 'Lock'";
                let found = place._database.postgres().unwrap().query(waiting);
                (found.trim() != "0").then_some(())
            })
            .await;
            shut_out
                .execute_unprepared(&format!("DELETE FROM {table} WHERE user_id = '{person}'"))
                .await
                .unwrap_or_else(|error| panic!("{table}: {error}"));
            shut_out.commit().await.unwrap();
        });
        assert_eq!(seen.status, 410, "{path}: {}", seen.body);
    }
    db.close().await;
}
