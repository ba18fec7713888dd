//! Tells admins by mail what needs them: reads on in the event log, keeps episodes, and sends what is untold, at most
//! one mail every ten minutes with everything in it. Reading moves its place in the transaction that writes episodes,
//! and sending notes it in the one that fills the outbox: a node that does either twice finds that it was done.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::Value;

use crate::access::Projects;
use crate::account;
use crate::alert::{self, Audience, Episode, Meaning, store};
use crate::clock::from_ms;
use crate::ctx::Ctx;
use crate::event::{self, Event, LogError, SYSTEM};
use crate::outbox::{self, Kind, OutboxError, SiteMail};
use crate::rule::LoopMarks;
use crate::rule::loop_guard::{self, Automatic, Purpose};
use crate::smtp::{Address, parse_address};
use crate::trouble::Trouble;
use crate::{grant, integration};

/// Shortest time between two mails.
const PAUSE_MS: i64 = 10 * 60_000;
/// Events that are read at once.
const HANDFUL: u64 = 200;
/// Episodes that one mail spells out.
const SPELT_OUT: usize = 50;

pub(super) async fn run(ctx: &Ctx) -> Result<(), DbErr> {
    event::advance(&ctx.db).await?;
    while read_on(ctx).await? && !ctx.stop.is_cancelled() {}
    send(ctx).await
}

/// Reads a handful of events; whether there is more.
async fn read_on(ctx: &Ctx) -> Result<bool, DbErr> {
    let (from, _) = store::place(ctx.db.read()).await?;
    let read = match event::read_after(ctx.db.read(), from, &store::filter(), HANDFUL).await {
        Ok(read) => read,
        Err(LogError::Gone { oldest }) => {
            store::go_on(ctx.db.write(), from, oldest).await?;
            return Ok(true);
        }
        Err(LogError::Db(error)) => return Err(error),
    };
    if read.cursor == from {
        return Ok(false);
    }
    // What a mail says of a thing is looked up before the transaction.
    let mut episodes = Vec::new();
    // A sample that somebody made to try a consumer wakes nobody.
    let is_sample = |event: &&Event| event.data.get("sample").and_then(Value::as_bool) == Some(true);
    for event in read.events.iter().filter(|event| !is_sample(event)) {
        if let Some(meaning) = alert::meaning(&event.kind) {
            let episode = match meaning {
                Meaning::Begins | Meaning::Once => Some(worded(ctx, event).await?),
                Meaning::Ends | Meaning::EndsQuietly => None,
            };
            episodes.push((event, meaning, episode));
        }
    }
    let txn = ctx.db.begin().await?;
    if !store::go_on(&txn, from, read.cursor).await? {
        // Another node reads.
        txn.rollback().await?;
        return Ok(false);
    }
    for (event, meaning, episode) in episodes {
        match (meaning, episode) {
            (Meaning::Begins, Some(episode)) => store::begin(&txn, &episode, false).await?,
            (Meaning::Once, Some(episode)) => store::begin(&txn, &episode, true).await?,
            (meaning, _) => {
                for matter in alert::matters(event) {
                    let quietly = meaning == Meaning::EndsQuietly;
                    store::end(&txn, &matter, event.created_at, quietly).await?;
                }
            }
        }
    }
    txn.commit().await?;
    Ok(read.has_more)
}

/// What is told of an event.
async fn worded(ctx: &Ctx, event: &Event) -> Result<Episode, DbErr> {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let day = |name: &str| text(name).get(..10).unwrap_or_default().to_owned();
    let (what, id) = (
        event.kind.split('.').next().unwrap_or_default(),
        &event.subject_id,
    );
    let name = match what {
        "grant" => match grant::get(ctx, &Projects::All, id).await {
            Ok(grant) => grant.identity,
            Err(grant::GrantError::Db(error)) => return Err(error),
            Err(_) => text("identity").to_owned(),
        },
        "integration" => match integration::get(ctx, &Projects::All, id).await {
            Ok(integration) => integration.name,
            Err(integration::IntegrationError::Db(error)) => return Err(error),
            Err(_) => text("name").to_owned(),
        },
        "webhook" => text("url").to_owned(),
        _ => text("name").to_owned(),
    };
    let name = if name.is_empty() { id.clone() } else { name };
    let told = |title: &str, cause: &str, remedy: &str| {
        let own = |member: &str, fallback: &str| match text(member) {
            "" => fallback.to_owned(),
            said => said.to_owned(),
        };
        let code = own("code", &event.kind.replace('.', "_"));
        let trouble = Trouble::new(code, own("cause", cause), own("remedy", remedy));
        (format!("{title} {name}"), trouble)
    };
    let (title, trouble) = match event.kind.as_str() {
        "grant.revoked" => told(
            "Grant revoked:",
            "It was taken back in Mailgrant; its mailboxes are not read any more.",
            "If that was not meant, connect it again.",
        ),
        "grant.expiring" => told(
            "Grant ends soon:",
            &format!("The consent ends on {}.", day("expiresAt")),
            "Connect it again before that day.",
        ),
        "integration.secret_expiring" => told(
            "Client secret ends:",
            &format!("The client secret ends on {}.", day("expiresAt")),
            "Make a new one at the provider and save it in the integration.",
        ),
        "integration.misconfigured" => told(
            "Integration does not work:",
            "The provider refused the client.",
            "Check client id and secret.",
        ),
        "webhook.disabled" => told(
            "Webhook disabled:",
            if text("reason") == "gone" {
                "Its receiver answered 410: it is gone."
            } else {
                "Its receiver failed for five days."
            },
            "Mend the receiver and enable the webhook; what it missed can be sent again.",
        ),
        "mailbox.silent" => told(
            "No mail for longer than usual:",
            &format!("The last mail came on {}.", day("lastMailAt")),
            "Send a mail to this address and see whether it arrives; check forwarding and the folder.",
        ),
        "mailbox.failing" => told(
            "Mailbox cannot be read:",
            "The mail server could not be used.",
            "Test the connection.",
        ),
        _ => told(
            "Grant needs somebody:",
            "The provider does not renew it any more.",
            "Connect it again.",
        ),
    };
    Ok(Episode {
        id: event.id.clone(),
        kind: event.kind.clone(),
        subject_id: alert::matters(event).into_iter().next().unwrap_or_default(),
        title,
        trouble,
        path: match what {
            "mailbox" => format!("/mailboxes/{id}"),
            other => format!("/{other}s/{id}"),
        },
        began_at: event.created_at,
    })
}

async fn send(ctx: &Ctx) -> Result<(), DbErr> {
    let now = ctx.clock.now_ms();
    let (_, sent_at) = store::place(ctx.db.read()).await?;
    if now < sent_at + PAUSE_MS {
        return Ok(());
    }
    let (mut began, over) = store::untold(ctx.db.read()).await?;
    began.retain(|episode| episode.began_at + alert::hold_ms(&episode.kind) <= now);
    if began.is_empty() && over.is_empty() {
        return Ok(());
    }
    let people = recipients(ctx).await?;
    let marks = LoopMarks::new(&ctx.keys);
    let (subject, text) = mail(ctx, &began, &over);
    let txn = ctx.db.begin().await?;
    if !store::note_sent(&txn, sent_at, now).await? {
        txn.rollback().await?;
        return Ok(());
    }
    let mut is_told = people.is_empty();
    for to in people {
        match enqueue(ctx, &txn, &marks, to, (&subject, &text)).await {
            Ok(was_queued) => is_told |= was_queued,
            Err(OutboxError::Db(error)) => return Err(error),
            Err(error) => {
                // What is still untold is told once there is an account that sends.
                tracing::warn!("alerts were not sent: {error}");
                txn.rollback().await?;
                return Ok(());
            }
        }
    }
    // Of what reached nobody the next mail tells.
    if is_told {
        store::mark_told(&txn, &began, &over, now).await?;
    }
    txn.commit().await
}

/// Who is told.
async fn recipients(ctx: &Ctx) -> Result<Vec<Address>, DbErr> {
    let settings = alert::settings(ctx.db.read()).await?;
    let addresses = match settings.audience {
        Audience::Nobody => Vec::new(),
        Audience::Addresses => settings.addresses,
        Audience::Admins => {
            let out = alert::opted_out(ctx.db.read()).await?;
            account::list(&ctx.db, &Projects::All)
                .await?
                .into_iter()
                .filter(|user| user.is_site_admin && user.disabled_at.is_none() && !out.contains(&user.id))
                .map(|user| user.email)
                .collect()
        }
    };
    // An address that cannot be written to keeps nobody else from being told.
    Ok(addresses
        .iter()
        .filter_map(|address| parse_address("to", address).ok())
        .collect())
}

/// Puts the mail to one person into the outbox; false if the guard against loops let none pass.
async fn enqueue<C: ConnectionTrait>(
    ctx: &Ctx,
    txn: &C,
    marks: &LoopMarks,
    to: Address,
    (subject, text): (&str, &str),
) -> Result<bool, OutboxError> {
    let asked = Automatic {
        purpose: Purpose::Alert,
        to: to.email(),
        about: None,
        has_own_mark: false,
    };
    let pass = match loop_guard::allow(txn, &ctx.clock, marks, &asked).await? {
        Ok(pass) => pass,
        Err(refusal) => {
            tracing::warn!(reason = refusal.as_str(), "somebody was not sent an alert");
            return Ok(false);
        }
    };
    let mail = SiteMail {
        kind: Kind::Alert,
        pass: Some(pass),
        ..SiteMail::notice(SYSTEM, to, subject, text)
    };
    outbox::enqueue_site_mail(txn, ctx, mail).await.map(|_| true)
}

/// Subject and text of a mail about all of these.
fn mail(ctx: &Ctx, began: &[Episode], over: &[Episode]) -> (String, String) {
    let subject = match (began, over) {
        ([one], []) => format!("[Mailgrant] {}", one.title),
        ([], [one]) => format!("[Mailgrant] Over: {}", one.title),
        ([], over) => format!("[Mailgrant] {} things work again", over.len()),
        (began, []) => format!("[Mailgrant] {} things need somebody", began.len()),
        (began, over) => format!(
            "[Mailgrant] {} need somebody, {} work again",
            began.len(),
            over.len()
        ),
    };
    let subject: String = subject.chars().take(200).collect();
    let mut text = String::new();
    for episode in began.iter().take(SPELT_OUT) {
        let since = from_ms(episode.began_at).format("%Y-%m-%d %H:%M UTC");
        let Trouble { cause, remedy, .. } = &episode.trouble;
        let _ = write!(
            text,
            "{}\nSince {since}. {cause}\nWhat to do: {remedy}\n{}\n\n",
            episode.title,
            ctx.config.url(&episode.path)
        );
    }
    if began.len() > SPELT_OUT {
        let _ = write!(text, "… and {} more.\n\n", began.len() - SPELT_OUT);
    }
    for episode in over.iter().take(SPELT_OUT) {
        let _ = write!(
            text,
            "Over: {}\n{}\n\n",
            episode.title,
            ctx.config.url(&episode.path)
        );
    }
    let _ = write!(
        text,
        "Everything that needs somebody: {}\nWho gets these mails: {}\n",
        ctx.config.url("/"),
        ctx.config.url("/settings/mail")
    );
    (subject, text)
}
