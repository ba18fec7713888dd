//! Authentication-Results fields, as anybody may forge them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailgrant_mail::fuzzing;

fuzz_target!(|data: &[u8]| {
    fuzzing::authentication_results(data);
});
