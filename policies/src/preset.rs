//! The policies that are compiled in: the floor and the presets.

use std::sync::LazyLock;

use crate::file::PolicyFile;

/// What explanations call the floor.
pub(crate) const FLOOR_NAME: &str = "builtin:floor";
/// What explanations call the standard preset.
pub(crate) const STANDARD_NAME: &str = "preset:standard";

const FLOOR: &str = include_str!("../presets/floor.toml");
const STANDARD: &str = include_str!("../presets/standard.toml");

/// Returns the text of a preset by its name without `preset:`, like `standard`.
pub fn preset(name: &str) -> Option<&'static str> {
    match name {
        "standard" => Some(STANDARD),
        _ => None,
    }
}

/// The floor: binds every grant, whatever the operator says.
pub(crate) fn floor() -> &'static PolicyFile {
    static FILE: LazyLock<PolicyFile> = LazyLock::new(|| parsed(FLOOR_NAME, FLOOR));
    &FILE
}

/// `preset:standard`.
pub(crate) fn standard() -> &'static PolicyFile {
    static FILE: LazyLock<PolicyFile> = LazyLock::new(|| parsed(STANDARD_NAME, STANDARD));
    &FILE
}

fn parsed(name: &str, text: &str) -> PolicyFile {
    crate::parse(name, text).expect("a test parses every policy that is compiled in")
}

/// The line of the floor's text where a decision that is no rule is told.
pub(crate) fn floor_line(id: &str) -> u32 {
    let marker = format!("# {id}:");
    let found = FLOOR.lines().position(|line| line.starts_with(&marker));
    found.map_or(1, |at| u32::try_from(at + 1).unwrap_or(1))
}
