//! See `gloaming_fuzz::command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gloaming_fuzz::command::check(data));
