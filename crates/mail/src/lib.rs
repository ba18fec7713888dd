//! From bytes to a parsed mail.
