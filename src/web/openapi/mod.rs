//! The OpenAPI 3.1 document of `/api/v1`, made from the route table.
//!
//! [`Doc`] stands beside each route's handler; [`schema`] has the words for shapes; [`check`] refuses input that does
//! not have the shape that is published. `docs/openapi.json` is this document, compared in a test.

pub mod check;
mod doc;
pub mod document;
pub mod schema;
pub(in crate::web) mod served;

#[cfg(test)]
mod tests;

pub use doc::{Answer, Body, Content, Doc, Parameter};
pub use document::{document, pretty};
