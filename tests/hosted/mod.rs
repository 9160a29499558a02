//! The whole way with servers that nobody here wrote: requests come from them, real attempts run, and what is looked at is
//! what they have in the end.

mod follow_ups;
mod simulated;
mod slack;

pub(crate) use self::simulated::sent;

/// A crate that adds and takes away, with its tests.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"api\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"api\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "/// Returns the sum.\npub fn plus(a: u32, b: u32) -> u32 {\n    a.wrapping_add(b)\n}\n\n\
         /// Returns the difference.\npub fn minus(a: u32, b: u32) -> u32 {\n    a.wrapping_sub(b)\n}\n",
    ),
    (
        "tests/all.rs",
        "use api::{minus, plus};\n\n#[test]\nfn two() {\n    assert_eq!(plus(1, 1), 2);\n}\n\n\
         #[test]\nfn none() {\n    assert_eq!(minus(1, 1), 0);\n}\n",
    ),
];

/// What a playbook does to it.
const TASK: &str = "Rename the function `plus` to `sum` everywhere";
