//! Tickets: what a message becomes.
