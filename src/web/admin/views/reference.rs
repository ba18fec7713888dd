//! The API to try.

use serde::Serialize;

use super::page::{Page, Section};
use crate::render::View;

/// `GET /reference`.
///
/// Form: `POST /reference/token` for those who are signed in. The rest is made by `static/reference.js`.
#[derive(Serialize)]
pub struct Reference {
    /// The frame.
    pub page: Page,
    /// Whether a token can be made with the session.
    pub is_signed_in: bool,
    /// A token that was made just now; empty otherwise.
    pub token: String,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference")
            .field("is_signed_in", &self.is_signed_in)
            .finish_non_exhaustive()
    }
}

impl View for Reference {
    const TEMPLATE: &'static str = "admin/reference.html";

    fn samples() -> Vec<Self> {
        [(false, ""), (true, ""), (true, "mg_pat_sample")]
            .map(|(is_signed_in, token)| Self {
                page: Page::sample("API", Section::None),
                is_signed_in,
                token: token.to_owned(),
            })
            .into()
    }
}
