//! All queries on people, sessions, links, second factors and tokens.

mod attempts;
mod links;
mod people;
mod sessions;
mod tokens;

pub(super) use attempts::*;
pub(super) use links::*;
pub(super) use people::*;
pub(super) use sessions::*;
pub(super) use tokens::*;
