//! The clock: time as an argument, so that tests can move it.
