//! A mail that came in a mail.

use serde::Serialize;

use super::integrations::Fact;
use super::page::{Page, Section};
use super::parts::Action;
use super::tickets::Block;
use crate::render::View;

/// `GET /messages/{id}/attached-mails/{part}`. Only its text: nothing of it was checked when it came.
#[derive(Debug, Serialize)]
pub struct AttachedMail {
    /// The frame.
    pub page: Page,
    /// Its subject.
    pub subject: String,
    /// What it is attached to.
    pub lead: String,
    /// From, To, Cc, Date, Subject as they are in it.
    pub headers: Vec<Fact>,
    /// The text, cut by whose words it holds.
    pub blocks: Vec<Block>,
    /// What is attached to it: a name and a size each.
    pub files: Vec<Fact>,
    /// The file as it is.
    pub download: Action,
    /// The way back.
    pub back: String,
    /// Its name.
    pub back_label: String,
}

impl View for AttachedMail {
    const TEMPLATE: &'static str = "admin/attached_mail.html";

    fn samples() -> Vec<Self> {
        let page = |headers, blocks, files| Self {
            page: Page::sample("Printer on fire", Section::Tickets),
            subject: "Printer on fire".to_owned(),
            lead: "Attached to “Fwd: Printer on fire”".to_owned(),
            headers,
            blocks,
            files,
            download: Action::link("Download it", "/messages/msg_01/attachments/2"),
            back: "/tickets/HELP-42".to_owned(),
            back_label: "HELP-42".to_owned(),
        };
        let block = |kind: &str, text: &str| Block {
            kind: kind.to_owned(),
            text: text.to_owned(),
            lines: 1,
        };
        vec![
            page(vec![], vec![], vec![]),
            page(
                vec![Fact::new("From", "Grace Hopper <grace@example.com>")],
                vec![
                    block("reply", "It is on fire."),
                    block("quote", "> Is it warm?"),
                    block("signature", "Grace"),
                ],
                vec![Fact::new("photo.jpg", "31.2 kB")],
            ),
        ]
    }
}
