//! Mailgrant connects mailboxes through OAuth 2.0 and turns their mail into tickets.
//!
//! The modules in reading order:
//!
//! * foundation: [`access`], [`clock`], [`id`], [`config`], [`crypto`], [`db`], [`net`], [`oauth2_client`], [`render`], [`schedule`], [`smtp`], [`trouble`],
//!   [`ctx`], [`idempotency`], [`audit`], [`project`], [`event`], [`search`], [`connection_test`];
//! * the mail pipeline, data flowing down and imports pointing up: [`integration`], [`grant`], [`mailbox`],
//!   [`message`], [`rule`], [`ticket`], [`template`], [`outbox`], [`alert`];
//! * identity: [`account`], [`sso`], [`trusted_issuer`], [`oauth2_server`];
//! * edges: [`jobs`], [`web`], [`sandbox`], [`demo`], [`cli`], and [`app`], which puts them together.
//!
//! `ARCHITECTURE.md` says why it is cut this way.

pub mod access;
pub mod audit;
pub mod clock;
pub mod config;
mod crash;
pub mod crypto;
pub mod ctx;
pub mod db;
pub mod id;
pub mod idempotency;
pub mod net;
pub mod oauth2_client;
pub mod render;
pub mod schedule;
pub mod smtp;
pub mod trouble;

pub mod connection_test;
pub mod event;
pub mod project;
pub mod search;

pub mod alert;
pub mod delivery;
pub mod grant;
pub mod integration;
pub mod mailbox;
pub mod message;
pub mod outbox;
pub mod rule;
pub mod template;
pub mod ticket;

pub mod account;
pub mod trusted_issuer;

pub mod oauth2_server;
pub mod sso;

pub mod app;
pub mod cli;
pub mod demo;
pub mod jobs;
pub mod sandbox;
pub mod web;
