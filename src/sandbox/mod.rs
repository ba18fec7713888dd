//! The built-in provider for `demo` and the tests: OAuth and IMAP with faults on request.
