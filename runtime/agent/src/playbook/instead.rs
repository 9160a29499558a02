//! What somebody could ask for where a whole task is too much: texts that a playbook takes by itself.

use std::collections::BTreeMap;

use super::{Choice, Playbook, choose};

/// More than so many are no help.
const MOST: usize = 12;

/// Returns the parts of a text, sentences and lines, that a playbook would take if they stood alone; none where the whole
/// is one.
pub fn parts(text: &str) -> Vec<String> {
    let text = super::printable(text);
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = bare(line);
        let sentences = line.match_indices(['.', '!', ';']).filter(|(at, stop)| {
            let behind = &line[at + stop.len()..];
            behind.is_empty() || behind.starts_with(char::is_whitespace)
        });
        let ends: Vec<usize> = sentences.map(|(at, _)| at).chain([line.len()]).collect();
        let mut from = 0;
        for end in ends {
            // A stop within quotation marks ends no sentence: what is cut there is no playbook's either.
            let part = line[from.min(end)..end].trim().trim_end_matches([';', '!', '.']);
            let known = part.is_empty() || found.iter().any(|known| known == part);
            if !known && found.len() < MOST && part.len() < text.trim().len() && takes(part) {
                found.push(part.to_owned());
            }
            from = (end + 1).min(line.len());
        }
    }
    found
}

/// Returns a line without what makes it one of a list.
fn bare(line: &str) -> &str {
    let line = line.trim();
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let line = match numbered.strip_prefix(['.', ')']) {
        Some(rest) if numbered.len() < line.len() => rest.trim_start(),
        _ => line.trim_start_matches(['-', '*', '+']).trim_start(),
    };
    ["[ ]", "[x]"].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line).trim_start()
}

fn takes(text: &str) -> bool {
    matches!(choose(text), Choice::Playbook(_))
}

/// Divides a playbook's task over places, so that none of the changes is of more than so many files and lines. `files` are
/// the changed ones with their lines. Empty where the playbook's task cannot be divided, or its files stand so that it is
/// no help.
pub fn divided(playbook: &Playbook, files: &[(String, u64)], most: (usize, u64)) -> Vec<String> {
    let all: Vec<(&str, u64)> = files.iter().map(|(path, lines)| (path.as_str(), *lines)).collect();
    let mut places = Vec::new();
    into_places("", &all, most, &mut places);
    if places.len() < 2 || places.len() > MOST {
        return Vec::new();
    }
    // The text is read again as any other would be: what does not come back as the same kind of task is no help.
    let tasks: Option<Vec<String>> =
        places.iter().map(|place| playbook.within(place).filter(|task| takes(task))).collect();
    tasks.unwrap_or_default()
}

/// Names the largest folders below one, and single files beside them, that hold no more than may be changed at once.
fn into_places(folder: &str, files: &[(&str, u64)], most: (usize, u64), places: &mut Vec<String>) {
    let lines: u64 = files.iter().map(|(_, lines)| lines).sum();
    if !folder.is_empty() && (files.len() <= most.0 && lines <= most.1 || files.len() == 1) {
        places.push(folder.to_owned());
        return;
    }
    let mut below: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (path, lines) in files {
        let from = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let end = path[from..].find('/').map_or(path.len(), |at| from + at);
        below.entry(&path[..end]).or_default().push((path, *lines));
    }
    for (place, files) in below {
        into_places(place, &files, most, places);
    }
}

/// Returns a text in backticks that no part of it can end.
pub(super) fn quoted(text: &str) -> String {
    if !text.is_empty() && !text.contains(['`', '\n']) {
        return format!("`{text}`");
    }
    let (mut longest, mut run) = (2, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    format!("\n{fence}\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_of_a_text_that_a_playbook_takes_are_found() {
        let found = |text: &str| parts(text).join(" | ");
        assert_eq!(
            found(
                "The name is a relic. Rename `foo_bar` to `parse_bar` everywhere. Then speed the parser up."
            ),
            "Rename `foo_bar` to `parse_bar` everywhere"
        );
        assert_eq!(
            found(
                "Before the release:\n- [ ] Fix the findings of the linter\n2. Rename a_b to c_d\n* think\n"
            ),
            "Fix the findings of the linter | Rename a_b to c_d"
        );
        // The whole is not a part of itself, and what is told not to be done is nobody's task.
        assert_eq!(found("Rename foo_bar to parse_bar everywhere"), "");
        assert_eq!(found("Speed it up. Do not rename foo_bar to parse_bar."), "");
        assert_eq!(found("Make `a. b` faster.\n\n"), "");
    }

    #[test]
    fn a_task_is_divided_over_places_that_the_policy_lets_one_patch_change() {
        let told = |text: &str, files: &[(&str, u64)], most| {
            let Choice::Playbook(playbook) = choose(text) else { panic!("{text}") };
            let files: Vec<(String, u64)> =
                files.iter().map(|(path, lines)| ((*path).to_owned(), *lines)).collect();
            divided(&playbook, &files, most)
        };
        let files = [("a.rs", 1), ("src/b.rs", 1), ("src/c.rs", 1), ("src/d/e.rs", 1), ("src/d/f.rs", 1)];
        let text = "Replace `$A.unwrap()` with `$A?` in all Rust files";
        assert_eq!(
            told(text, &files, (2, 100)),
            ["a.rs", "src/b.rs", "src/c.rs", "src/d"]
                .map(|place| format!("Replace `$A.unwrap()` with `$A?` in all Rust files in {place}"))
        );
        assert_eq!(told(text, &files, (4, 100)).len(), 2, "{:?}", told(text, &files, (4, 100)));
        assert_eq!(told(text, &[("src/a.rs", 500)], (4, 100)), [""; 0], "one file cannot be divided");
        let header = "Add the header `Copyright 2026 Us` to all source files";
        assert_eq!(told(header, &[("a/x.rs", 1), ("b/y.py", 1)], (1, 100)).len(), 2);
        assert_eq!(
            told("Rename foo_bar to parse_bar everywhere", &files, (2, 100)),
            [""; 0],
            "half a rename does not build"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_quoted_is_read_again(text in "[a-z`\n\" ]{0,12}") {
            let text = text.trim();
            let mut reader = super::super::said::Reader::new(&quoted(text)).expect("it is closed");
            proptest::prop_assert_eq!(reader.quoted(), Some(text.to_owned()));
            proptest::prop_assert!(reader.is_over());
        }

        #[test]
        fn no_text_is_too_odd_for_its_parts(text in "\\PC{0,200}|([a-z.;!\n`-]| ){0,200}") {
            for part in parts(&text) {
                proptest::prop_assert!(matches!(choose(&part), Choice::Playbook(_)));
            }
        }
    }
}
