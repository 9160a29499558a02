//! See `gloaming_fuzz::edit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::edit::check(data));
