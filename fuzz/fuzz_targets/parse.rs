//! A whole mail: pre-scan, parse, classify, split, sanitise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailgrant_mail::fuzzing;

fuzz_target!(|data: &[u8]| {
    let _ = fuzzing::mail(data);
});
