//! The database: connections, transactions, claims. SQLite by default, PostgreSQL by URL.
