//! The `mailgrant` command.

fn main() {}
