//! IMAP: our own thin layer over the bytes and the parser of async-imap.
