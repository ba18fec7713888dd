//! The database schema of Mailgrant, for SQLite and PostgreSQL.
//!
//! Rules: a column never changes its meaning; times are milliseconds since 1970-01-01T00:00:00Z; lists and objects
//! are JSON text; every sealed column ends in `_sealed`; each file adds and is never edited after a release.

use sea_orm_migration::prelude::*;

mod m0001_first;
mod m0002_ticket;
mod m0003_rules;
mod m0004_delivery;
mod m0005_access;
mod m0006_api;
mod m0007_answers;
mod m0008_desk;
mod m0009_oauth2_server;
mod m0010_split;
mod m0011_warnings;
mod m0012_people;
mod m0013_site_mail;
mod m0014_grants;
mod m0015_clients;
mod m0016_sso;
mod m0017_audit;
mod m0018_lists;
mod m0019_same_mail;
mod m0020_legacy;
mod m0022_recheck;
mod m0023_arrived;
mod m0024_once;
mod m0026_made;
mod m0027_signon;
mod m0028_turn;
mod m0029_mailbox_lists;
mod m0030_userinfo;
mod m0031_signed_out;
mod m0032_labels;
mod m0033_gone_clients;

/// All migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::Migration),
            Box::new(m0002_ticket::Migration),
            Box::new(m0003_rules::Migration),
            Box::new(m0004_delivery::Migration),
            Box::new(m0005_access::Migration),
            Box::new(m0006_api::Migration),
            Box::new(m0007_answers::Migration),
            Box::new(m0008_desk::Migration),
            Box::new(m0009_oauth2_server::Migration),
            Box::new(m0010_split::Migration),
            Box::new(m0011_warnings::Migration),
            Box::new(m0012_people::Migration),
            Box::new(m0013_site_mail::Migration),
            Box::new(m0014_grants::Migration),
            Box::new(m0015_clients::Migration),
            Box::new(m0016_sso::Migration),
            Box::new(m0017_audit::Migration),
            Box::new(m0018_lists::Migration),
            Box::new(m0019_same_mail::Migration),
            Box::new(m0020_legacy::Migration),
            Box::new(m0022_recheck::Migration),
            Box::new(m0023_arrived::Migration),
            Box::new(m0024_once::Migration),
            Box::new(m0026_made::Migration),
            Box::new(m0027_signon::Migration),
            Box::new(m0028_turn::Migration),
            Box::new(m0029_mailbox_lists::Migration),
            Box::new(m0030_userinfo::Migration),
            Box::new(m0031_signed_out::Migration),
            Box::new(m0032_labels::Migration),
            Box::new(m0033_gone_clients::Migration),
        ]
    }
}
