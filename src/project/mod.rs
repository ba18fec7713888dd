//! Projects: a home for tickets with a key.
