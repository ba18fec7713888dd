//! One connection test, live while it runs.

use serde::Serialize;

use super::page::{Page, Section};
use super::parts::{Action, TestLog};
use crate::render::View;

/// `GET /tests/{id}`, of a mailbox or an integration. The log's stream is `GET /tests/{id}/events`.
///
/// Form: `POST {again}` (no fields) starts another one.
#[derive(Debug, Serialize)]
pub struct TestPage {
    /// The frame.
    pub page: Page,
    /// "Mailbox Support"
    pub subject: String,
    /// Path of the mailbox or the integration.
    pub subject_href: String,
    /// The log.
    pub test: TestLog,
    /// Path that starts it again: `/mailboxes/{id}/tests` or `/integrations/{id}/tests`.
    pub again: String,
    /// The remedy of the step that failed, as a button.
    pub action: Option<Action>,
}

impl View for TestPage {
    const TEMPLATE: &'static str = "admin/test.html";

    fn samples() -> Vec<Self> {
        let test = |test: TestLog, action| Self {
            page: Page::sample("Connection test", Section::Mailboxes),
            subject: "Mailbox Support".to_owned(),
            subject_href: "/mailboxes/mbx_01".to_owned(),
            test,
            again: "/mailboxes/mbx_01/tests".to_owned(),
            action,
        };
        vec![
            test(TestLog::sample_running(), None),
            test(TestLog::sample_ok(), None),
            test(
                TestLog::sample_failed(),
                Some(Action::post("Reconnect", "/grants/grt_01/reconnect")),
            ),
        ]
    }
}
