//! Secrets at rest: the key ring, sealing, hashes of tokens and passwords.
