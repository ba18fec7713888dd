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

/// The fields of a form.
fn form(got: &Got) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&got.body).into_owned().collect()
}

#[tokio::test]
async fn a_receiver_made_for_mailgun_verifies_each_attempt_with_the_secret_as_it_was_shown() {
    let desk = desk().await;
    let ctx = desk.ctx();
    let receiver = Receiver::start().await;
    let made = hook_for_mail(ctx, &receiver.url, Format::Mailgun).await;
    // As Mailgun's documentation has it: the key is text, a time that is near, a token that never came before.
    let verifies = |fields: &BTreeMap<String, String>, made: &Made| {
        let signed = [fields["timestamp"].as_bytes(), fields["token"].as_bytes()];
        let key = made.secret.expose_secret().as_bytes();
        fields["signature"] == hex::encode(crate::crypto::hmac_sha256(key, &signed))
    };
    receiver.behave(Manner::Status(500, ""));
    desk.receive(&mail(0, "")).await;
    round(ctx).await;
    ctx.clock.advance(chrono::Duration::minutes(20));
    receiver.behave(Manner::Status(200, ""));
    round(ctx).await;
    let sent: Vec<_> = receiver.got().iter().map(form).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|fields| verifies(fields, &made)));
    let time = |fields: &BTreeMap<String, String>| fields["timestamp"].parse::<i64>().unwrap();
    assert_eq!(
        time(&sent[1]),
        ctx.clock.now_ms() / 1_000,
        "the time of the attempt"
    );
    assert_eq!(time(&sent[1]) - time(&sent[0]), 1_200);
    assert_ne!(sent[0]["token"], sent[1]["token"]);
    assert_eq!(sent[0]["token"].len(), 50);
    // While two secrets are valid, a receiver with either of them takes it at the second attempt at the latest.
    let next = delivery::rotate(ctx, &now(ctx, &made.webhook.id).await)
        .await
        .unwrap();
    receiver.behave(Manner::Status(401, ""));
    desk.receive(&mail(1, "")).await;
    round(ctx).await;
    ctx.clock.advance(chrono::Duration::seconds(10));
    round(ctx).await;
    let sent: Vec<_> = receiver.got()[2..].iter().map(form).collect();
    assert_eq!(sent.len(), 2);
    assert!(verifies(&sent[0], &next) && verifies(&sent[1], &made));
}

#[tokio::test]
async fn a_receiver_made_for_postmark_gets_the_files_and_learns_what_the_mail_answers() {
    use base64::Engine;
    let desk = desk().await;
    let ctx = desk.ctx();
    let receiver = Receiver::start().await;
    hook_for_mail(ctx, &receiver.url, Format::Postmark).await;
    let file = |name: &str, content: &str| {
        format!(
            "--b\r\nContent-Type: application/pdf; name=\"{name}\"\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{content}\r\n"
        )
    };
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let raw = format!(
        "Message-ID: <1@x.test>\r\nIn-Reply-To: <0@x.test>\r\nReferences: <0@x.test>\r\nFrom: Ada <ada@x.test>\r\n\
         To: desk@a.test\r\nSubject: Invoice\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n{}{}--b--\r\n",
        file("large.pdf", &encoded(&[7; 300_000])),
        file("small.pdf", &encoded(b"%PDF-1.4 small")),
    );
    let message = desk.receive(raw.as_bytes()).await;
    round(ctx).await;
    let got = receiver.got()[0].json();
    let files = got["Attachments"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    let content = |file: &Value| base64_of(file["Content"].as_str().unwrap());
    assert_eq!(files[1]["Name"], "small.pdf");
    assert_eq!(content(&files[1]), b"%PDF-1.4 small");
    assert_eq!(files[1]["ContentLength"], 14);
    assert_eq!(files[0]["Name"], "large.pdf.txt");
    let note = String::from_utf8(content(&files[0])).unwrap();
    assert!(
        note.contains(&format!("/api/v1/messages/{}/attachments/", message.id)),
        "{note}"
    );
    assert_eq!(got["IsTruncated"], true);
    let headers = got["Headers"].as_array().unwrap();
    for (name, value) in [("In-Reply-To", "<0@x.test>"), ("References", "<0@x.test>")] {
        assert!(
            headers.contains(&json!({ "Name": name, "Value": value })),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_full_body_holds_the_mail_and_a_thin_one_only_says_which_it_is() {
    let desk = desk().await;
    let ctx = desk.ctx();
    let (full, thin) = (Receiver::start().await, Receiver::start().await);
    for (receiver, payload) in [(&full, Payload::Full), (&thin, Payload::Thin)] {
        let input = WebhookInput {
            url: Some(receiver.url.clone()),
            types: Some(vec!["message.received".into()]),
            payload: Some(payload),
            ..WebhookInput::default()
        };
        delivery::create(ctx, "cli", input).await.unwrap();
    }
    let message = desk.receive(&mail(0, "")).await;
    round(ctx).await;
    let (full, thin) = (full.got()[0].json(), thin.got()[0].json());
    assert_eq!(full["data"]["message"]["subject"], "Printer");
    assert!(full.to_string().contains("It burns, 0."), "{full}");
    assert!(thin["data"].get("message").is_none(), "{thin}");
    for told in [&full, &thin] {
        assert_eq!(told["subjectId"], json!(message.id), "{told}");
    }
    // Who the mail is from and what it says is for those only who may read it.
    let thin = thin.to_string();
    assert!(!thin.contains("It burns"), "{thin}");
}
