//! The crate from outside, on sources as people write them.

mod declared;
mod go;
mod hostile;
mod mutants;
mod names;
mod places;
mod python;
mod renames;
mod rust;
mod script;

use gloaming_syntax::{Language, Rename, Renames, test_changes, units};

/// Tells units one a line: `line kind name [test] [in tests]`.
fn outline(language: Language, source: &str) -> String {
    let tell = |unit: gloaming_syntax::Unit| {
        let test = if unit.is_test { " [test]" } else { "" };
        let module = if unit.in_test_module && !unit.is_test { " [in tests]" } else { "" };
        format!("{} {:?} {}{test}{module}\n", unit.line, unit.kind, unit.name)
    };
    units(language, source.as_bytes()).into_iter().map(tell).collect()
}

/// What a test file's change is told as, after one text was replaced by another.
fn change(language: Language, before: &str, from: &str, to: &str) -> String {
    assert!(before.contains(from), "{from:?} is not there");
    compare(language, before, &before.replacen(from, to, 1), &[], true)
}

fn compare(
    language: Language,
    before: &str,
    after: &str,
    renames: &[(&str, &str)],
    whole_file: bool,
) -> String {
    let renames: Renames = renames.iter().map(|(from, to)| ((*from).to_owned(), Rename::seen(to))).collect();
    test_changes(language, before.as_bytes(), after.as_bytes(), &renames, whole_file)
        .into_iter()
        .map(|change| format!("{}: {:?} {}: {}\n", change.line, change.what, change.name, change.detail))
        .collect()
}

/// The kinds of change alone.
fn kinds(told: &str) -> Vec<&str> {
    told.lines().map(|line| line.split(' ').nth(1).unwrap_or("")).collect()
}
