//! The reply split of a plain text; the first line is the subject.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailgrant_mail::fuzzing;

fuzz_target!(|text: &str| fuzzing::split(text));
