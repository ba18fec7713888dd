//! The admin pages: each file reads requests, asks the services and fills the views of [`views`].
//!
//! * `desk`: what every handler is handed; `words`: values worded for people; `failure`: errors as answers;
//! * `attention`: what needs somebody, for the dashboard and the number beside it;
//! * one file per part of the navigation.

#![allow(dead_code, reason = "the pages that use the rest follow")]

mod attention;
mod dashboard;
mod desk;
mod failure;
mod sign_in;
pub mod views;
mod words;

use super::route::Route;

/// The routes of the admin pages.
pub(super) fn routes() -> Vec<Route> {
    [sign_in::ROUTES, dashboard::ROUTES].concat()
}
