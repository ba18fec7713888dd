//! HTML: the text form, the split by marks, the sanitised form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailgrant_mail::fuzzing;

fuzz_target!(|text: &str| fuzzing::html(text));
