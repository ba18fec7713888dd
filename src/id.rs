//! Prefixed identifiers: `mbx_` + ULID.
