//! HTTP: admin pages, REST, the OAuth callback, health.

pub mod admin;
pub mod api;
pub mod oauth2;
