//! Templates: the one door to Tera.
