//! The database schema of Mailgrant.
