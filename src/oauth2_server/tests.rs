//! Tests of the whole server without HTTP.
