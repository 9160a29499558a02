//! See `gloaming_fuzz::path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::path::check(data));
