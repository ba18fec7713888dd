//! Integration tests, one binary: every further one would link the whole service again.
//!
//! What the tests stand on is in [`support`]; each other module is one subject, and its tests are sentences.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "tests may panic, read the environment and use the wall clock; the service may not"
)]

mod answers;
mod audit;
mod automatic;
mod bad_input;
mod consumers;
mod crash;
mod deliveries;
mod demo;
mod desk;
mod docs;
mod edge;
mod event_schemas;
mod events;
mod faults;
mod hostile;
mod latency;
mod listen;
mod matching;
mod oauth2_server;
mod people;
mod pipeline;
mod providers;
mod receivers;
mod rules;
mod site_mail;
mod sso;
mod start;
mod stream;
mod support;
mod trusted_issuers;
mod world;
