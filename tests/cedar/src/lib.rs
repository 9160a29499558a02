//! Nothing: the tests and the benchmark are what this crate is for.
#![forbid(unsafe_code)]
