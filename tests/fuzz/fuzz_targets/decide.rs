//! See `gloaming_fuzz::decide`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::decide::check(data));
