//! The admin pages.

pub mod views;
