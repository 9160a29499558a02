//! Edits that others recorded or that models made, and what becomes of them here (`corpus/README.md`): how many
//! apply as recorded, and how many of those that do not are answered with the right place.
#![expect(
    clippy::disallowed_methods,
    reason = "the corpus lies in a folder of the host that the environment names"
)]

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::memory::Memory;
use crate::{edit, patch};

/// A table of how often what came out, by kind.
#[derive(Default)]
struct Table(BTreeMap<String, BTreeMap<&'static str, usize>>);

impl Table {
    fn count(&mut self, kind: &str, outcome: &'static str) {
        *self.0.entry(kind.to_owned()).or_default().entry(outcome).or_default() += 1;
    }

    fn show(&self) -> String {
        let mut out = String::new();
        for (kind, outcomes) in &self.0 {
            let total: usize = outcomes.values().sum();
            let each: Vec<String> =
                outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            writeln!(out, "{kind}: {total}: {}", each.join(", ")).unwrap();
        }
        out
    }
}

#[test]
fn the_scenarios_of_codex_end_as_recorded_or_differ_on_purpose() {
    let scenarios: Vec<Value> = serde_json::from_str(include_str!("../corpus/codex.json")).unwrap();
    let (mut table, mut different) = (Table::default(), String::new());
    for scenario in &scenarios {
        let files = |key: &str| -> Vec<(&str, &str)> {
            let files = scenario[key].as_object().unwrap();
            files.iter().map(|(path, text)| (path.as_str(), text.as_str().unwrap())).collect()
        };
        let (input, expected) = (Memory::new(&files("input")), Memory::new(&files("expected")));
        let before = input.show();
        let result = patch::patch(&input, scenario["patch"].as_str().unwrap());
        // Codex tells a refusal by a tree that is as before.
        let refused = expected.show() == before;
        match &result {
            Ok(_) if input.show() == expected.show() => table.count("codex", "applied as recorded"),
            Err(_) if refused && input.show() == before => table.count("codex", "refused as recorded"),
            other => {
                table.count("codex", "different");
                let answer = match other {
                    Ok(output) => output.text.trim_end().to_owned(),
                    Err(failure) => failure.message.clone(),
                };
                writeln!(different, "{}: {answer}", scenario["name"].as_str().unwrap()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(table.show(), @"codex: 23: 13 applied as recorded, 3 different, 7 refused as recorded");
    // Nothing is overwritten unseen, and a patch is made whole or not at all.
    insta::assert_snapshot!(different, @"
    010_move_overwrites_existing_destination: `*** Move to: renamed/dir/name.txt`: something is there already
    011_add_overwrites_existing_file: `*** Add File: duplicate.txt`: it exists already
    015_failure_after_partial_success_leaves_changes: `*** Update File: missing.txt`: there is no such file
    ");
}

/// What became of one edit of Aider's.
fn outcome(case: &Value) -> &'static str {
    let text = |key: &str| case[key].as_str().map(str::to_owned);
    let files = Memory::new(&[("f", &text("content").unwrap())]);
    let args = edit::Args {
        path: Some("f".to_owned()),
        old: text("old"),
        new: text("new"),
        ..edit::Args::default()
    };
    let place =
        case["place"].as_array().map(|lines| [lines[0].as_u64().unwrap(), lines[1].as_u64().unwrap()]);
    let known = case.get("place").is_some();
    let right = |found: &[[u64; 2]]| {
        place.is_some_and(|place| found.iter().any(|found| found[0] <= place[1] && place[0] <= found[1]))
    };
    match edit::edit(&files, &args) {
        Ok(output) => {
            let repaired = output.text.lines().find_map(|line| line.strip_prefix("[repaired: "));
            let expected = text("expected");
            let as_recorded = expected.as_ref().is_some_and(|expected| *expected == files.text("f"));
            // Nobody can give a blank line the white space back that it has not.
            let visible = |text: &str| {
                text.split('\n')
                    .map(|line| if line.trim().is_empty() { "" } else { line }.to_owned())
                    .collect::<Vec<_>>()
            };
            let as_seen = expected.is_some_and(|expected| visible(&expected) == visible(&files.text("f")));
            match repaired {
                None if as_recorded => "applied as recorded",
                Some(_) if as_recorded => "repaired, as recorded",
                Some(_) if as_seen => "repaired, as recorded but for white space on blank lines",
                Some(told) if known && right(&lines_in(told)) => "repaired at the right place",
                _ => "WRONG",
            }
        }
        Err(failure) if failure.message.contains("are the same") => "refused: nothing would change",
        Err(failure) if failure.message.contains("occurs") => "refused: several places",
        Err(failure) => {
            let told = failure.message.as_str();
            let made = told.contains("stands there already");
            // The place that is likest, behind what is said of the new text.
            let likest = told.split("was this edit made before?").last().unwrap();
            let found = lines_in(likest);
            match (known, place, found.is_empty()) {
                (false, ..) => "refused",
                _ if made && right(&lines_in(told)) => "refused: told that it was made before",
                (_, None, true) => "refused: nothing is left of it, and nothing shown",
                (_, None, false) => "refused: nothing is left of it, and something shown",
                (.., true) => "refused: no place shown",
                _ if right(&found) => "refused: the right place shown",
                _ => "refused: another place shown",
            }
        }
    }
}

/// The lines that a sentence names, like `lines 3 to 5`, `line 7` or `lines 1, 9`, and those shown with their numbers.
fn lines_in(told: &str) -> Vec<[u64; 2]> {
    let mut found = Vec::new();
    for (at, word) in told.match_indices("line") {
        let rest = told[at + word.len()..].trim_start_matches('s');
        let Some(rest) = rest.strip_prefix(' ') else { continue };
        let number = |text: &str| {
            text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
        };
        let Some(first) = number(rest) else { continue };
        let last = rest.split_once(" to ").filter(|(before, _)| before.bytes().all(|b| b.is_ascii_digit()));
        found.push([first, last.and_then(|(_, last)| number(last)).unwrap_or(first)]);
    }
    if told.contains("most similar lines") {
        let shown = told.lines().filter_map(|line| line.split_once('\t')?.0.trim().parse().ok());
        found.extend(shown.map(|line: u64| [line, line]));
    }
    found
}

#[test]
fn the_edits_of_aiders_chat_apply_or_are_told_where_they_belong() {
    let Some(folder) = std::env::var_os("GLOAMING_EDITS_DIR") else {
        eprintln!("skipped: GLOAMING_EDITS_DIR is not set (make test sets it)");
        return;
    };
    let path = std::path::Path::new(&folder).join("cases.json");
    let cases = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let (mut table, mut wrong) = (Table::default(), String::new());
    for case in &cases {
        let (kind, name) = (case["kind"].as_str().unwrap(), case["name"].as_str().unwrap());
        let alone = if name.ends_with("the lines alone") { " (those lines alone)" } else { "" };
        let outcome = outcome(case);
        table.count(&format!("{kind}{alone}"), outcome);
        if outcome == "WRONG" || outcome.contains("another place") || outcome.contains("no place") {
            writeln!(wrong, "{kind} {name}: {outcome}").unwrap();
        }
    }
    println!("{}\n{wrong}", table.show());
    assert!(!wrong.contains("WRONG"), "{wrong}");
    insta::assert_snapshot!(table.show(), @"
    block: 117: 117 applied as recorded
    dedented: 80: 77 repaired, as recorded, 3 repaired, as recorded but for white space on blank lines
    failure: 6: 4 refused: the right place shown, 2 refused: told that it was made before
    failure (those lines alone): 15: 1 refused: no place shown, 1 refused: nothing would change, 10 refused: the right place shown, 3 refused: told that it was made before
    old: 79: 9 refused: another place shown, 1 refused: no place shown, 1 refused: nothing is left of it, and nothing shown, 3 refused: nothing is left of it, and something shown, 62 refused: the right place shown, 3 refused: told that it was made before
    several: 2: 2 refused: several places
    spaced: 117: 117 repaired, as recorded
    stale: 73: 1 refused: another place shown, 57 refused: the right place shown, 15 refused: told that it was made before
    unit: 6: 2 refused: several places, 4 repaired, as recorded
    ");
}
