//! The test bench: real servers of other people, scripted servers for what those will not do, and the
//! built `mailgrant` program itself. Nothing here asserts anything about Mailgrant.
//!
//! * [`database`]: SQLite and PostgreSQL, a fresh database per test; [`postgres`] runs the cluster;
//! * [`dovecot`]: a private Dovecot that believes an OAuth server; [`mails`] makes the mail in it;
//! * [`oidc_provider`]: npm's `oidc-provider`, an OAuth server that is not ours;
//! * [`glewlwyd`]: Debian's OpenID Provider, by another author again;
//! * [`scripted_imap`], [`scripted_http`]: servers that misbehave on request;
//! * [`smtp_sink`]: a mail server that takes mail for sending, or refuses it as it is told;
//! * [`process`]: `mailgrant` as a process, to be killed and restarted, and a REST client;
//! * [`programs`]: receivers and consumers in Node.js and Python;
//! * [`tls_proxy`]: what an operator would put before Mailgrant;
//! * [`visitor`]: somebody at the pages, with cookies and forms;
//! * [`certs`], [`guard`], [`wait`]: a test authority, child processes that never outlive us, waiting.
//!
//! A server that is not installed makes the test fail and says what to run; nothing is skipped silently.

#![allow(dead_code, reason = "a helper may wait for the first test that needs it")]

pub mod certs;
pub mod database;
pub mod dovecot;
pub mod glewlwyd;
pub mod guard;
pub mod mails;
pub mod oidc_provider;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod scripted_http;
pub mod scripted_imap;
pub mod smtp_sink;
pub mod tls_proxy;
pub mod visitor;
pub mod wait;

mod self_tests;
