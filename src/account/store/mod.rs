//! All queries on people, sessions, links, second factors and tokens.

mod attempts;
mod emails;
mod factors;
mod links;
mod people;
mod sessions;
mod steps;
mod tokens;

pub(super) use attempts::*;
pub(super) use emails::*;
pub(super) use factors::*;
pub(super) use links::*;
pub(super) use people::*;
pub(super) use sessions::*;
pub(super) use steps::*;
pub(super) use tokens::*;
