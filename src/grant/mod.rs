//! Grants: what a mailbox owner gave us through an integration.
