//! Which mail opens a closed ticket again, and how it is told.

use serde_json::json;

use super::rules::Desk;
use crate::access::Projects;
use crate::ticket::{self, TicketChange, TicketState};

const HELP: &str = "help@desk.example";

#[tokio::test]
async fn a_closed_ticket_is_opened_by_a_person_or_a_bounce_and_by_nothing_else() {
    let cases = [
        ("", "open"),
        ("Auto-Submitted: auto-replied\r\n", "closed"),
        ("List-Id: <news.x.test>\r\nPrecedence: bulk\r\n", "closed"),
        (
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n",
            "open",
        ),
    ];
    for (fields, expected) in cases {
        let desk = Desk::open(HELP).await;
        let first = format!(
            "Message-ID: <1@x.test>\r\nFrom: ada@x.test\r\nTo: {HELP}\r\nSubject: x\r\n\r\nText.\r\n"
        );
        let first = desk.receive(first.as_bytes()).await;
        let id = desk.message(&first.id).await.ticket_id;
        let change = TicketChange {
            state: Some(TicketState::Closed),
            ..TicketChange::default()
        };
        ticket::change(desk.ctx(), "usr_1", &id, None, &change)
            .await
            .unwrap();
        let body = match fields.contains("boundary") {
            true => {
                "--b\r\n\r\nNot delivered.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
                 Reporting-MTA: dns; mx.x.test\r\n\r\nFinal-Recipient: rfc822; bob@y.test\r\nAction: failed\r\n\
                 Status: 5.1.1\r\n--b--\r\n"
            }
            false => "Text.\r\n",
        };
        let second = format!(
            "Message-ID: <2@x.test>\r\nFrom: ada@x.test\r\nTo: {HELP}\r\nIn-Reply-To: <1@x.test>\r\n{fields}\
             Subject: Re: x\r\n\r\n{body}"
        );
        desk.receive(second.as_bytes()).await;
        let found = ticket::get(desk.ctx(), &Projects::All, &id).await.unwrap();
        assert_eq!(
            (found.ticket.state.as_str(), found.ticket.entry_count),
            (expected, 2),
            "{fields}"
        );
        let told = crate::event::of_subject(desk.ctx().db.read(), &id, 10)
            .await
            .unwrap();
        let came = told
            .iter()
            .find(|event| event.data["messageId"].is_string() && event.kind == "ticket.updated");
        let changes = &came.unwrap().data["changes"];
        match expected {
            "open" => assert_eq!(
                *changes,
                json!({ "state": { "from": "closed", "to": "open" } }),
                "{fields}"
            ),
            _ => assert!(changes.is_null(), "{fields}"),
        }
    }
}
