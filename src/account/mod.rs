//! Accounts: people, their sessions, and tokens of the command line.
