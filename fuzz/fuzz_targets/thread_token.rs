//! Tokens in Message-IDs and reply addresses: read from anything, and made for anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailgrant_mail::fuzzing;

fuzz_target!(|text: &str| fuzzing::thread_token(text));
