//! Changes inside a file that has to change, in places that have nothing to do with the rest: drive-by edits.
//!
//! The places are declarations (the innermost that a changed line stands in). Two belong together when a changed line
//! of one has a name that the other has anywhere, changed or not. What belongs to nothing else is told.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::evidence::{FileChange, FileRole};
use gloaming_syntax::{Language, TokenKind, Unit, UnitKind, tokens, units};

use crate::change::{Change, FileDiff};
use crate::churn::{COMMON, Seen};

/// Of more places than anybody compares, nothing is said but that the change is large.
const MOST: usize = 60;

/// From so many declarations on it is known which names a file uses everywhere.
const ENOUGH: usize = 8;

/// A changed declaration, or a file's changed lines outside any.
struct Place<'c> {
    diff: &'c FileDiff,
    /// The first added line; 0 where lines only went.
    line: u32,
    /// What is told of it; empty for what never is.
    name: String,
    /// Names on its changed lines.
    changed: BTreeSet<String>,
    /// All its names.
    has: BTreeSet<String>,
}

/// Returns changed declarations of code that share no name with any other change, with their files.
pub(crate) fn unrelated(change: &Change) -> Vec<(&FileDiff, Seen)> {
    let places: Vec<Place<'_>> = change
        .files
        .iter()
        .filter(|diff| matches!(diff.file.role, FileRole::Code | FileRole::Test) && !diff.same_content())
        .flat_map(places)
        .collect();
    if places.len() > MOST {
        return Vec::new();
    }
    let related = |one: &Place<'_>, other: &Place<'_>| {
        !one.changed.is_disjoint(&other.has) || !other.changed.is_disjoint(&one.has)
    };
    let alone: Vec<bool> = places
        .iter()
        .enumerate()
        .map(|(at, place)| !places.iter().enumerate().any(|(other, it)| other != at && related(place, it)))
        .collect();
    let mut out = Vec::new();
    for (at, place) in places.iter().enumerate() {
        // Where no place of the file has anything to do with the rest, the file is unrelated, or the only one.
        let beside = places
            .iter()
            .enumerate()
            .any(|(other, it)| std::ptr::eq(it.diff, place.diff) && other != at && !alone[other]);
        if alone[at] && beside && !place.name.is_empty() {
            let detail = format!("`{}` shares no name with the rest of the change", place.name);
            out.push((place.diff, ("unrelated_hunk", place.line, detail)));
        }
    }
    out
}

fn places(diff: &FileDiff) -> Vec<Place<'_>> {
    let (Some(language), Some(after)) = (Language::of(diff.file.path.as_str()), &diff.after) else {
        return Vec::new();
    };
    let units = units(language, after);
    let spans: Vec<(u32, u32)> = units.iter().map(|unit| lines_of(unit, after)).collect();
    let everywhere = everywhere(&units);
    let names = |source: &str| -> BTreeSet<String> {
        let known = |word: &String| !COMMON.contains(&word.as_str()) && !everywhere.contains(word);
        tokens(language, source.as_bytes())
            .into_iter()
            .filter(|token| token.kind == TokenKind::Identifier && token.text.len() >= 3)
            .map(|token| token.text)
            .filter(known)
            .collect()
    };
    // The innermost stands last: members come after what holds them.
    let unit_at = |line: u32| spans.iter().rposition(|(from, to)| (*from..=*to).contains(&line));
    let mut lines: BTreeMap<Option<usize>, (u32, String)> = BTreeMap::new();
    for hunk in &diff.hunks {
        let first = hunk.added.first().and_then(|(line, _)| unit_at(*line));
        for line in &hunk.removed {
            let entry = lines.entry(first).or_default();
            entry.1.push_str(line);
            entry.1.push('\n');
        }
        for (line, text) in hunk.added.iter().filter(|(_, text)| !text.trim().is_empty()) {
            let entry = lines.entry(unit_at(*line)).or_default();
            if entry.0 == 0 {
                entry.0 = *line;
            }
            entry.1.push_str(text);
            entry.1.push('\n');
        }
    }
    let told = diff.file.role == FileRole::Code && diff.file.change == FileChange::Modified;
    lines
        .into_iter()
        .map(|(at, (line, text))| {
            let unit = at.map(|at| &units[at]);
            let mut has: BTreeSet<String> = unit
                .map(|unit| {
                    names(&String::from_utf8_lossy(after.get(unit.start..unit.end).unwrap_or_default()))
                })
                .unwrap_or_default();
            let changed = names(&text);
            has.extend(changed.iter().cloned());
            let name = unit
                .filter(|unit| told && line > 0 && !changed.is_empty() && is_told(unit))
                .map(|unit| unit.name.clone())
                .unwrap_or_default();
            has.extend(unit.and_then(|unit| unit.name.rsplit("::").next()).map(str::to_owned));
            Place { diff, line, name, changed, has }
        })
        .collect()
}

/// Imports serve something else, and what has no name cannot be named.
fn is_told(unit: &Unit) -> bool {
    unit.kind != UnitKind::Import && !unit.is_test && !unit.in_test_module && !unit.name.is_empty()
}

pub(crate) fn lines_of(unit: &Unit, source: &[u8]) -> (u32, u32) {
    let text = source.get(unit.start..unit.end).unwrap_or_default();
    let more = text.iter().filter(|byte| **byte == b'\n').count();
    (unit.line, unit.line + u32::try_from(more).unwrap_or(0))
}

/// Names that more than a quarter of a file's declarations have: they relate everything to everything.
fn everywhere(units: &[Unit]) -> BTreeSet<String> {
    let declared: Vec<&Unit> = units.iter().filter(|unit| unit.kind != UnitKind::Import).collect();
    if declared.len() < ENOUGH {
        return BTreeSet::new();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for unit in &declared {
        let words: BTreeSet<&str> = unit
            .tokens
            .iter()
            .filter(|token| token.kind == TokenKind::Identifier)
            .map(|token| token.text.as_str())
            .collect();
        for word in words {
            *counts.entry(word).or_default() += 1;
        }
    }
    let common = |count: usize| count * 4 > declared.len();
    counts.into_iter().filter(|(_, count)| common(*count)).map(|(word, _)| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::diff;

    fn check(files: &[(&str, &str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, before, after)| diff(path, Some(before), Some(after))).collect();
        let change = Change { files, base: BTreeMap::new(), patched: BTreeMap::new() };
        unrelated(&change)
            .into_iter()
            .map(|(diff, (name, line, detail))| format!("{}:{line} {name}: {detail}", diff.file.path))
            .collect()
    }

    const SHOP: &str = "RATE = 2\n\ndef total(prices):\n    return sum(prices)\n\ndef greeting(person):\n    return 'hi ' + person\n\ndef invoice(prices):\n    return total(prices) * RATE\n";

    #[test]
    fn a_change_beside_the_fix_is_told() {
        let fix = SHOP.replace("sum(prices)", "sum(prices, start=0)");
        let test =
            ("tests/test_shop.py", "x = 1\n", "x = 1\n\ndef test_total():\n    assert total([]) == 0\n");
        assert_eq!(check(&[("shop.py", SHOP, &fix), test]), [""; 0]);
        let driven_by = fix.replace("'hi ' + person", "f'hi {person}'");
        assert_eq!(
            check(&[("shop.py", SHOP, &driven_by), test]),
            ["shop.py:7 unrelated_hunk: `greeting` shares no name with the rest of the change"]
        );
    }

    #[test]
    fn what_calls_the_changed_or_is_called_by_it_belongs_to_it() {
        // `invoice` has the name of what changed, and `RATE` is a name of what it has.
        let both =
            SHOP.replace("return sum(prices)", "return sum(p for p in prices)").replace("* RATE", "* 3");
        assert_eq!(check(&[("shop.py", SHOP, &both)]), [""; 0]);
        let rate = SHOP.replace("RATE = 2", "RATE = 3").replace("* RATE", "* RATE // 1");
        assert_eq!(check(&[("shop.py", SHOP, &rate)]), [""; 0]);
    }

    #[test]
    fn comments_white_space_and_imports_are_no_such_places() {
        let fix = SHOP.replace("sum(prices)", "sum(prices, start=0)");
        let test =
            ("tests/test_shop.py", "x = 1\n", "x = 1\n\ndef test_total():\n    assert total([]) == 0\n");
        let comment = fix.replace("    return 'hi '", "    # Kindly.\n    return 'hi '");
        assert_eq!(check(&[("shop.py", SHOP, &comment), test]), [""; 0]);
        let import = format!("import json\n{fix}");
        assert_eq!(check(&[("shop.py", SHOP, &import), test]), [""; 0]);
    }

    #[test]
    fn a_single_place_and_two_that_share_nothing_are_no_fix_with_something_beside() {
        let one = SHOP.replace("'hi ' + person", "person");
        assert_eq!(check(&[("shop.py", SHOP, &one)]), [""; 0]);
        let two = one.replace("RATE = 2", "RATE = 3");
        assert_eq!(check(&[("shop.py", SHOP, &two)]), [""; 0]);
    }

    #[test]
    fn in_rust() {
        let before = "pub fn area(w: u32, h: u32) -> u32 {\n    w + h\n}\n\npub fn label(tag: &str) -> String {\n    format!(\"<{tag}>\")\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
        let fixed = before.replace("w + h", "w * h").replace(
            "use super::*;\n",
            "use super::*;\n\n    #[test]\n    fn areas() {\n        assert_eq!(area(2, 3), 6);\n    }\n",
        );
        assert_eq!(check(&[("src/lib.rs", before, &fixed)]), [""; 0]);
        let more = fixed.replace("format!(\"<{tag}>\")", "[\"<\", tag, \">\"].concat()");
        assert_eq!(
            check(&[("src/lib.rs", before, &more)]),
            ["src/lib.rs:6 unrelated_hunk: `label` shares no name with the rest of the change"]
        );
    }
}
