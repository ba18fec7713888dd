//! The admin pages.

pub mod views;

use super::route::Route;

/// The routes of the admin pages.
pub(super) const ROUTES: &[Route] = &[];
