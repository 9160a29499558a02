//! See `gloaming_fuzz::import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::import::check(data));
