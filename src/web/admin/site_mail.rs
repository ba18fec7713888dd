//! Mail of this installation itself: which account sends it, and a test.

use actix_web::web;

use super::desk::{Answer, Desk};
use super::outgoing;
use super::views::Section;
use super::views::integrations::Fact;
use super::views::parts::{Choice, FormErrors};
use super::views::settings::SiteMailPage;
use crate::access::{Projects, Role};
use crate::alert::{self, Audience};
use crate::mailbox;
use crate::outbox::{self, OutboxError, OutgoingFilter, SiteAccount};
use crate::smtp::parse_addresses;
use crate::web::error::Problem;
use crate::web::extract::FormData;
use crate::web::route::{Guard, Route};

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/settings/mail", Guard::Role(Role::SiteAdmin), || web::to(show)),
    Route::post("/settings/mail", Guard::Role(Role::SiteAdmin), || web::to(choose)),
    Route::post("/settings/mail/alerts", Guard::Role(Role::SiteAdmin), || {
        web::to(alerts)
    }),
    Route::post("/settings/mail/test", Guard::Role(Role::SiteAdmin), || {
        web::to(test)
    }),
];

const HERE: &str = "/settings/mail";

async fn show(desk: Desk) -> Answer {
    let to = desk.current.user().email.clone();
    let view = view(&desk, to, FormErrors::default()).await?;
    desk.show(&view)
}

async fn view(desk: &Desk, to: String, errors: FormErrors) -> Result<SiteMailPage, Problem> {
    let ctx = &desk.ctx;
    let settings = outbox::site_settings(ctx).await?;
    let (account, trouble) = match outbox::site_account(ctx.db.read(), ctx).await {
        Ok(account) => (facts(desk, &account), None),
        Err(OutboxError::Db(error)) => return Err(error.into()),
        Err(error) => (Vec::new(), Some(outgoing::sentence(&error.to_string()))),
    };
    let mut mailboxes = vec![Choice::new(
        "",
        "The account of the configuration",
        settings.mailbox_id.is_empty(),
    )];
    for mailbox in mailbox::list(ctx, &Projects::All).await? {
        if mailbox::sender_of(&mailbox).is_ok() {
            let chosen = mailbox.id == settings.mailbox_id;
            let label = format!("Mailbox {} ({})", mailbox.name, mailbox.smtp_from);
            mailboxes.push(Choice::new(mailbox.id, label, chosen));
        }
    }
    let filter = OutgoingFilter {
        projects: Projects::All,
        of_site: true,
        ..OutgoingFilter::default()
    };
    let now = desk.now();
    let alerts = alert::settings(ctx.db.read()).await?;
    let audience = |wanted, label: &str, hint: &str| {
        let chosen = alerts.audience == wanted;
        Choice::new(wanted.as_str(), label, chosen).with_hint(hint)
    };
    let audiences = vec![
        audience(Audience::Admins, "Site admins", "All of them who want alerts."),
        audience(Audience::Addresses, "These addresses", ""),
        audience(
            Audience::Nobody,
            "Nobody",
            "What needs somebody stands on the dashboard only.",
        ),
    ];
    let latest = outbox::list(ctx, &filter, 5).await.map_err(outgoing::refused)?;
    Ok(SiteMailPage {
        page: desk.page("Mail of this installation", Section::Settings).await?,
        account,
        trouble,
        mailboxes,
        revision: settings.revision,
        audiences,
        addresses: alerts.addresses.join(", "),
        to,
        latest: latest.items.iter().map(|mail| outgoing::row(mail, now)).collect(),
        errors,
    })
}

fn facts(desk: &Desk, account: &SiteAccount) -> Vec<Fact> {
    match account {
        SiteAccount::Smtp(sender) => {
            let mut facts = vec![Fact::exact("Sender", sender.email())];
            if let Some(smtp) = &desk.ctx.config.smtp {
                facts.push(Fact::exact("Server", format!("{}:{}", smtp.host, smtp.port)));
                facts.push(Fact::new(
                    "Encryption",
                    match smtp.tls.as_str() {
                        "implicit" => "TLS",
                        "starttls" => "STARTTLS",
                        _ => "None",
                    },
                ));
                facts.push(if smtp.login_name.is_empty() {
                    Fact::new("Signs in", "Nobody")
                } else {
                    Fact::exact("Signs in", &smtp.login_name)
                });
            }
            facts
        }
        SiteAccount::Mailbox(mailbox) => vec![
            Fact::exact("Sender", &mailbox.smtp_from),
            Fact::new("Through the mailbox", &mailbox.name),
        ],
    }
}

async fn choose(desk: Desk, form: FormData) -> Answer {
    let revision = form.text("revision").parse().unwrap_or(0);
    match outbox::choose_site_mailbox(&desk.ctx, revision, form.text("mailbox_id")).await {
        Ok(_) => {
            desk.done("Saved. Send a test mail to see that it works.", HERE)
                .await
        }
        Err(OutboxError::Changed) => {
            desk.failed(
                "Somebody else changed this meanwhile; nothing was changed now.",
                HERE,
            )
            .await
        }
        Err(OutboxError::Invalid(error)) => desk.failed(error.message, HERE).await,
        Err(error) => Err(outgoing::refused(error)),
    }
}

async fn alerts(desk: Desk, form: FormData) -> Answer {
    let listed = parse_addresses("addresses", form.raw("addresses"));
    let audience = Audience::parse(form.text("alerts")).unwrap_or(Audience::Admins);
    let told = match &listed {
        Err(error) => Some(error.message.clone()),
        Ok(all) if all.len() > 50 => Some("Name at most 50 addresses.".to_owned()),
        Ok(all) if all.is_empty() && audience == Audience::Addresses => {
            Some("Name at least one address.".to_owned())
        }
        Ok(_) => None,
    };
    if let Some(text) = told {
        let to = desk.current.user().email.clone();
        let mut view = view(&desk, to, FormErrors::default().with("addresses", &text)).await?;
        view.addresses = form.raw("addresses").to_owned();
        return desk.show_again(&view);
    }
    let settings = alert::Settings {
        audience,
        addresses: listed
            .unwrap_or_default()
            .iter()
            .map(|address| address.shown())
            .collect(),
        revision: form.text("revision").parse().unwrap_or(0),
    };
    if alert::save(&desk.ctx, &settings).await? {
        desk.done("Saved.", HERE).await
    } else {
        desk.failed(
            "Somebody else changed this meanwhile; nothing was changed now.",
            HERE,
        )
        .await
    }
}

async fn test(desk: Desk, form: FormData) -> Answer {
    match outbox::send_test_mail(&desk.ctx, desk.actor(), form.text("to"), None).await {
        Ok(mail) => {
            let text = "The test mail is on its way. What becomes of it is shown here.";
            desk.done(text, &format!("/outgoing/{}", mail.id)).await
        }
        Err(OutboxError::Invalid(error)) => {
            let errors = FormErrors::default().with("to", &error.message);
            let view = view(&desk, form.text("to").to_owned(), errors).await?;
            desk.show_again(&view)
        }
        Err(OutboxError::NoSiteMail(text)) => desk.failed(outgoing::sentence(&text), HERE).await,
        Err(error) => Err(outgoing::refused(error)),
    }
}
