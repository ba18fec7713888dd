//! REST for automation, `/api/v1`.
