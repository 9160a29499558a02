//! See `gloaming_fuzz::patch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::patch::check(data));
