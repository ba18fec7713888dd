//! Mails as they are told: in the order of their tickets, and as receivers made for other services read them.

use super::*;
use crate::db::sql;
use crate::jobs::tests::rules::Desk;
use sea_orm::ConnectionTrait;

/// A desk whose webhooks reach loopback.
async fn desk() -> Desk {
    let mut desk = Desk::open("desk@a.test").await;
    desk.place.ctx.webhook_dialer = Dialer::new(vec!["127.0.0.0/8".parse().unwrap()], None).unwrap();
    desk
}

/// A webhook for mails, as its format has them.
async fn hook_for_mail(ctx: &Ctx, url: &str, format: Format) -> Made {
    let input = WebhookInput {
        url: Some(url.to_owned()),
        types: Some(vec!["message.received".into()]),
        format: Some(format),
        ..WebhookInput::default()
    };
    delivery::create(ctx, "cli", input).await.unwrap()
}

/// One of the mails of a conversation.
fn mail(number: usize, more: &str) -> Vec<u8> {
    format!(
        "Message-ID: <{number}@x.test>\r\nIn-Reply-To: <0@x.test>\r\nReferences: <0@x.test>\r\nFrom: Ada <ada@x.test>\r\n\
         To: desk@a.test\r\nSubject: Printer\r\n{more}\r\nIt burns, {number}.\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn the_second_mail_of_a_ticket_waits_while_the_first_is_refused() {
    for format in [Format::Jmap, Format::Postmark, Format::Mailgun] {
        let desk = desk().await;
        let ctx = desk.ctx();
        let receiver = Receiver::start().await;
        hook_for_mail(ctx, &receiver.url, format).await;
        receiver.behave(Manner::Status(500, ""));
        let first = desk.receive(&mail(0, "")).await;
        round(ctx).await;
        receiver.behave(Manner::Status(200, ""));
        let second = desk.receive(&mail(1, "")).await;
        assert_eq!(first.ticket_id, second.ticket_id);
        round(ctx).await;
        assert_eq!(receiver.got().len(), 1, "{format:?}: it waits");
        ctx.clock.advance(chrono::Duration::seconds(10));
        round(ctx).await;
        let ids = receiver.ids();
        assert_eq!(ids.len(), 3, "{format:?}");
        assert!(ids[0] == ids[1] && ids[1] != ids[2], "{format:?}: {ids:?}");
    }
}

#[tokio::test]
async fn whatever_is_told_of_a_mail_in_a_ticket_keeps_its_order_with_the_ticket() {
    let desk = desk().await;
    let ctx = desk.ctx();
    // The same mail twice, by two ways, in one batch; an automatic answer; a mail of which only the header is here.
    let (first, again) = (mail(0, "Received: by a\r\n"), mail(0, "Received: by b\r\n"));
    let away = mail(1, "Auto-Submitted: auto-replied\r\n");
    desk.store(&[(&first, false), (&again, false), (&away, false)])
        .await;
    desk.process().await;
    desk.receive_as(&mail(2, ""), true).await;
    let text = "SELECT type, order_key FROM events WHERE type LIKE 'message.%' ORDER BY rowid";
    let on = ctx.db.read();
    let rows = on.query_all_raw(sql(on, text, [])).await.unwrap();
    let told: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            (
                row.try_get("", "type").unwrap(),
                row.try_get("", "order_key").unwrap(),
            )
        })
        .collect();
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "message.received",
            "message.received",
            "message.received",
            "message.auto_reply",
            "message.received",
            "message.quarantined",
        ]
    );
    assert!(told.iter().all(|(_, key)| key.starts_with("tkt_")), "{told:?}");
}
