//! The free text of a delivery report.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailgrant_mail::fuzzing;

fuzz_target!(|text: &str| fuzzing::bounce_text(text));
