//! Messages: one mail as received.
