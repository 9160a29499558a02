//! See `gloaming_fuzz::glob`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::glob::check(data));
