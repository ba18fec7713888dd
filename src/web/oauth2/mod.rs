//! Where mail providers send the admin back.

use super::route::Route;

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[];
