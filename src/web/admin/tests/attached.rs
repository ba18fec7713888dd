//! A mail that came in a mail is read where the one around it is.

use reqwest::StatusCode;
use sea_orm::ConnectionTrait;

use super::Admin;
use crate::message::{self, NewRaw, Stored};
use crate::project::{self, NewProject};
use crate::ticket::{self, Incoming};
use crate::web::tests::site;

const MAIL: &[u8] = b"From: Ada <ada@example.org>\r\nTo: help@example.org\r\nSubject: Fwd: Printer\r\n\
Message-ID: <a1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n\
--b\r\nContent-Type: text/plain; name=log.txt\r\nContent-Disposition: attachment\r\n\r\nerror 5\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: Bo <bo@example.org>\r\nSubject: Is it <b>warm</b>?\r\n\r\n\
Water helps.\r\n--b--\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_in_a_mail_is_opened_from_its_ticket_and_from_the_page_of_its_way() {
    let admin = Admin::at(site().await).await;
    let ctx = admin.site.ctx();
    let new = NewProject {
        key: "HELP".into(),
        name: "Help".into(),
        ..NewProject::default()
    };
    let project = project::create(ctx, new).await.unwrap();
    let on = ctx.db.write();
    // The mailbox itself is not asked about: messages may stand alone here.
    on.execute_unprepared("PRAGMA foreign_keys = OFF").await.unwrap();
    let raw = NewRaw {
        mailbox_id: "mbx_1",
        project_id: &project.id,
        folder: "INBOX",
        uid_validity: 7,
        uid: 42,
        internal_date: None,
        bytes: MAIL,
        is_partial: false,
        size: u64::try_from(MAIL.len()).unwrap(),
    };
    let stored = message::insert_raws(on, &ctx.clock, &[raw]).await.unwrap();
    let [Stored::New(id)] = &stored[..] else {
        panic!("it is new");
    };
    let understood = message::understand(MAIL, &[]);
    let saved = message::save_parsed(on, &[(id, &understood)]).await;
    let incoming = Incoming {
        message_id: id,
        project_id: &project.id,
        project_key: "HELP",
        mail: &understood,
        own_addresses: &[],
        sender_is_agent: false,
    };
    let resolution = ticket::resolve(on, &ctx.keys, &ctx.clock, &incoming)
        .await
        .unwrap();
    let placed = ticket::place(on, &ctx.clock, &incoming, &resolution)
        .await
        .unwrap();
    ticket::enter(on, std::slice::from_ref(&placed)).await.unwrap();
    let place = message::Place {
        message: saved.unwrap().remove(0),
        ticket_id: placed.ticket_id.clone(),
        entry_id: placed.entry_id.clone(),
        resolution: resolution.to_json().to_string(),
        node: String::new(),
        words: None,
    };
    message::mark_placed(on, &[place]).await.unwrap();

    let link = |page: &str| {
        let from = page.find("attached-mails/").expect("a link to the mail");
        let part = page[from + "attached-mails/".len()..].split('"').next();
        part.unwrap().replace("&#x2F;", "/")
    };
    let way = admin.get(&format!("/messages/{id}")).await;
    let of_ticket = admin.get("/tickets/HELP-1").await;
    assert_eq!(link(&way.text), link(&of_ticket.text));
    assert_eq!(
        of_ticket.text.matches("attached-mails/").count(),
        1,
        "no text file is opened"
    );
    let path = format!("/messages/{id}/attached-mails/{}", link(&way.text));
    let page = admin.get(&path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for shown in [
        "Is it &lt;b&gt;warm",
        "Bo &lt;bo@example.org&gt;",
        "Water helps.",
        "/tickets/HELP-1",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    let file = admin.get(&format!("/messages/{id}/attached-mails/2")).await;
    assert_eq!(file.status, StatusCode::CONFLICT, "{}", file.text);
}
