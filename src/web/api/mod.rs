//! REST for automation, `/api/v1`.

use super::route::Route;

/// The routes of this file.
pub(super) const ROUTES: &[Route] = &[];
