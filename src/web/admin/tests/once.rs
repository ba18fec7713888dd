//! What is made and shown once is not made again when its page is loaded again; and a few things of one's own.

use reqwest::StatusCode;
use sea_orm::ConnectionTrait;

use super::{Admin, field};
use crate::access::Projects;
use crate::web::tests::{site, site_with};
use crate::{account, alert, delivery, oauth2_server};

type Fields<'a> = &'a [(&'a str, &'a str)];

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_again_makes_no_second_secret() {
    let admin = Admin::at(
        site_with(|ctx| {
            ctx.webhook_dialer = crate::net::Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap();
        })
        .await,
    )
    .await;
    let ctx = admin.site.ctx();
    let client = [
        ("name", "Helpdesk"),
        ("application_type", "web"),
        ("redirect_uris", "https://desk.example/cb"),
        ("grant_type", "authorization_code"),
        ("auth_method", "client_secret_basic"),
        ("scope", "tickets:read"),
        ("access", "15 m"),
        ("refresh_idle", "30 d"),
        ("refresh_absolute", "180 d"),
    ];
    let hook = [("url", "http://127.0.0.1:9/hook"), ("reach", "site")];
    let token = [("name", "Mine"), ("scope", "tickets:read")];
    let initial = [("name", "Apps"), ("scope", "tickets:read")];
    let person = [("email", "bo@example.org"), ("name", "Bo")];
    let forms: [(_, _, Fields<'_>, _); 5] = [
        ("/webhooks/new", "/webhooks", &hook, "whsec_"),
        ("/profile/tokens/new", "/profile/tokens", &token, "mg_pat_"),
        ("/clients/new", "/clients", &client, "mg_cs_"),
        (
            "/clients/registration",
            "/clients/registration",
            &initial,
            "mg_iat_",
        ),
        ("/users/invite", "/users", &person, "It works once"),
    ];
    for (page, target, fields, secret) in forms {
        let form_id = field(&admin.get(page).await.text, "form_id");
        assert!(form_id.len() > 20, "{page}");
        let mut fields = fields.to_vec();
        fields.push(("form_id", &form_id));
        let made = admin.post(target, &fields).await;
        assert_eq!(made.status, StatusCode::OK, "{target}: {}", made.text);
        assert!(made.text.contains(secret), "{target}: {}", made.text);
        let again = admin.post(target, &fields).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "{target}: {}", again.text);
        assert!(!again.text.contains(secret));
        assert!(
            admin.get("/").await.text.contains("nothing was done again"),
            "{target}"
        );
    }
    assert_eq!(delivery::list(ctx, &Projects::All).await.unwrap().len(), 1);
    assert_eq!(account::list_tokens(&ctx.db, None).await.unwrap().len(), 1);
    assert_eq!(
        oauth2_server::initial_tokens(ctx, &Projects::All)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_was_refused_can_be_sent_again_with_its_mistakes_mended() {
    let admin = Admin::at(site().await).await;
    let form_id = field(&admin.get("/profile/tokens/new").await.text, "form_id");
    let wrong = [
        ("name", ""),
        ("scope", "tickets:read"),
        ("form_id", form_id.as_str()),
    ];
    let refused = admin.post("/profile/tokens", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let right = [
        ("name", "Mine"),
        ("scope", "tickets:read"),
        ("form_id", form_id.as_str()),
    ];
    let made = admin.post("/profile/tokens", &right).await;
    assert!(made.text.contains("mg_pat_"), "{}", made.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_no_mail_says_so_in_their_profile() {
    let admin = Admin::at(site().await).await;
    let ctx = admin.site.ctx();
    let is_on = |page: &str| {
        let at = page.find("name=\"alerts\"").unwrap();
        page[at..].split('>').next().unwrap().contains("checked")
    };
    assert!(is_on(&admin.get("/profile").await.text));
    for (fields, wants) in [(&[][..], false), (&[("alerts", "true")][..], true)] {
        let done = admin.post("/profile/mail", fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER);
        assert_eq!(is_on(&admin.get("/profile").await.text), wants);
        assert_eq!(alert::opted_out(ctx.db.read()).await.unwrap().is_empty(), wants);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_the_installation_that_is_refused_stands_on_the_dashboard_until_it_works_again() {
    let admin = Admin::at(
        site_with(|ctx| {
            let mut config = (*ctx.config).clone();
            config.smtp = Some(crate::config::SiteSmtp {
                host: "smtp.test".into(),
                port: 465,
                tls: "implicit".into(),
                login_name: "mg@a.test".into(),
                password: secrecy::SecretString::from("x"),
                from: "mg@a.test".into(),
            });
            ctx.config = std::sync::Arc::new(config);
        })
        .await,
    )
    .await;
    let ctx = admin.site.ctx();
    let title = "Mail of this installation cannot be sent";
    assert!(!admin.get("/").await.text.contains(title));
    let mail = crate::outbox::send_test_mail(ctx, "cli", "ada@example.org", None)
        .await
        .unwrap();
    let becomes = async |state: &str, code: &str| {
        let text = format!(
            "UPDATE outgoing_mails SET state = '{state}', attempts = 1, error_code = '{code}', \
             error_cause = 'The server refused the sign-in.', error_remedy = 'Check the password below [smtp].' \
             WHERE id = '{}'",
            mail.id
        );
        ctx.db.write().execute_unprepared(&text).await.unwrap();
        admin.get("/").await.text
    };
    let page = becomes("queued", "sign_in_refused").await;
    for part in [
        title,
        "The server refused the sign-in.",
        "Check the password below [smtp].",
        "/settings/mail",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(
        !becomes("failed", "recipient_unknown").await.contains(title),
        "not the account's fault"
    );
    assert!(becomes("failed", "sender_refused").await.contains(title));
    assert!(!becomes("sent", "").await.contains(title));
}
