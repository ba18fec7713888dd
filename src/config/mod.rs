//! Configuration: one struct, one loader; environment over file over defaults.
