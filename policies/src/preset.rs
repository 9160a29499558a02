//! The policies that are compiled in: the floor and the presets.

use std::sync::{Arc, LazyLock, OnceLock};

use crate::file::PolicyFile;

/// What explanations call the floor.
pub(crate) const FLOOR_NAME: &str = "builtin:floor";
/// What explanations call the standard preset.
pub(crate) const STANDARD_NAME: &str = "preset:standard";

const FLOOR: &str = include_str!("../presets/floor.toml");

/// The presets' names without `preset:`, the one that stands in where there is no policy first.
pub const PRESETS: &[&str] =
    &["standard", "read-only", "rust-library", "python-service", "node-web", "docs-only"];

/// Returns the text of a preset by its name without `preset:`, like `standard`.
pub fn preset(name: &str) -> Option<&'static str> {
    Some(match name {
        "standard" => include_str!("../presets/standard.toml"),
        "read-only" => include_str!("../presets/read-only.toml"),
        "rust-library" => include_str!("../presets/rust-library.toml"),
        "python-service" => include_str!("../presets/python-service.toml"),
        "node-web" => include_str!("../presets/node-web.toml"),
        "docs-only" => include_str!("../presets/docs-only.toml"),
        _ => return None,
    })
}

/// The floor: binds every grant, whatever the operator says.
pub(crate) fn floor() -> &'static PolicyFile {
    static FILE: LazyLock<PolicyFile> = LazyLock::new(|| parsed(FLOOR_NAME, FLOOR));
    &FILE
}

/// `preset:standard`.
pub(crate) fn standard() -> &'static PolicyFile {
    preset_file("standard").expect("it is the first of the presets")
}

/// Returns a preset by its name without `preset:`.
pub(crate) fn preset_file(name: &str) -> Option<&'static Arc<PolicyFile>> {
    // Each is parsed when it is first asked for: most grants need one.
    static FILES: [OnceLock<Arc<PolicyFile>>; PRESETS.len()] = [const { OnceLock::new() }; PRESETS.len()];
    let at = PRESETS.iter().position(|known| *known == name)?;
    Some(FILES[at].get_or_init(|| {
        let text = preset(name).expect("every name has its text");
        Arc::new(parsed(&format!("preset:{name}"), text))
    }))
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
