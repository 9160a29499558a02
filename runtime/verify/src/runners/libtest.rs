//! The JSON lines of libtest (`--format=json`).

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::evidence::TestStatus;
use serde::Deserialize;

/// What one executable reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Name, result, and what a failing test printed; in the order of the report.
    pub(crate) results: Vec<(String, TestStatus, Option<String>)>,
    /// Tests that began and have no result.
    pub(crate) unfinished: Vec<String>,
    /// Whether every suite that began was closed with counts that fit its results.
    pub(crate) complete: bool,
}

/// Parses a report. What a program prints between the events is ignored, also in front of an event on its
/// line (output without a newline); an event that is printed a second time is an error.
///
/// # Errors
/// Results are doubled (but for `doubles`, documentation tests, whose names can repeat) or contradict the
/// suite's own counts: somebody else writes to the report.
pub(crate) fn parse(text: &str, doubles: Doubles) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    // By name: a report may be as long as it likes.
    let mut running: BTreeMap<String, u32> = BTreeMap::new();
    let mut ended: BTreeSet<String> = BTreeSet::new();
    let mut open: Option<Counts> = None;
    let mut suites = 0;
    for line in text.lines() {
        let Some(start) = line.find("{ \"type\": \"") else { continue };
        // An event may be followed by what a program printed without a newline.
        let mut stream = serde_json::Deserializer::from_str(&line[start..]).into_iter::<Event>();
        let Some(Ok(event)) = stream.next() else { continue };
        match (event.kind.as_str(), event.event.as_str()) {
            ("suite", "started") => {
                if open.is_some() {
                    return Err("a suite begins inside a suite".into());
                }
                open = Some(Counts { total: event.test_count, ..Counts::default() });
                suites += 1;
            }
            ("suite", "ok" | "failed") => {
                let Some(seen) = open.take() else {
                    return Err("a suite ends that did not begin".into());
                };
                let said = Counts {
                    total: [event.passed, event.failed, event.ignored, event.measured]
                        .into_iter()
                        .fold(0, u64::saturating_add),
                    passed: event.passed,
                    failed: event.failed,
                    ignored: event.ignored,
                    measured: event.measured,
                };
                if said != seen {
                    return Err(format!("the suite's counts ({said:?}) do not fit its results ({seen:?})"));
                }
                if (event.event == "failed") != (event.failed > 0) {
                    return Err(format!(
                        "the suite says {:?} with {} failed tests",
                        event.event, event.failed
                    ));
                }
            }
            ("test", "started") => *running.entry(event.name).or_default() += 1,
            ("test" | "bench", result @ ("ok" | "failed" | "ignored" | "allowed_failure"))
            | ("bench", result @ "") => {
                let Some(counts) = &mut open else {
                    return Err(format!("a result of {:?} outside any suite", event.name));
                };
                let status = match result {
                    "ok" | "" => TestStatus::Passed,
                    "failed" => TestStatus::Failed,
                    "ignored" => TestStatus::Skipped,
                    _ => TestStatus::ExpectedFailure,
                };
                match (event.kind.as_str(), status) {
                    ("bench", TestStatus::Passed) => counts.measured += 1,
                    (_, TestStatus::Passed) => counts.passed += 1,
                    (_, TestStatus::Failed) => counts.failed += 1,
                    _ => counts.ignored += 1,
                }
                match running.get_mut(&event.name) {
                    Some(1) => drop(running.remove(&event.name)),
                    Some(times) => *times -= 1,
                    // Benches and ignored tests of some versions are not announced.
                    None if event.kind == "bench" || status == TestStatus::Skipped => {}
                    None => return Err(format!("a result of {:?}, which did not begin", event.name)),
                }
                if doubles == Doubles::Refused && !ended.insert(event.name.clone()) {
                    return Err(format!("two results of {:?}", event.name));
                }
                parsed.results.push((event.name, status, event.stdout));
            }
            _ => {}
        }
    }
    parsed.unfinished = running.into_keys().collect();
    parsed.complete = suites > 0 && open.is_none() && parsed.unfinished.is_empty();
    Ok(parsed)
}

/// Whether a name may be reported more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubles {
    /// Test executables: names are paths of functions.
    Refused,
    /// Documentation tests: a macro gives several the same place.
    Allowed,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    total: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
    measured: u64,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    stdout: Option<String>,
    #[serde(default)]
    test_count: u64,
    #[serde(default)]
    passed: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default)]
    ignored: u64,
    #[serde(default)]
    measured: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from a real run (exec times as they were), one raw write without a newline included.
    const REAL: &str = include_str!("../../tests/samples/libtest.json");

    fn shown(text: &str, doubles: Doubles) -> String {
        match parse(text, doubles) {
            Ok(parsed) => format!(
                "{:?} unfinished {:?} complete {}",
                parsed
                    .results
                    .iter()
                    .map(|(name, status, _)| format!("{name} {status:?}"))
                    .collect::<Vec<_>>(),
                parsed.unfinished,
                parsed.complete
            ),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_real_report_is_read_whole() {
        assert_eq!(
            shown(REAL, Doubles::Refused),
            "[\"tests::ignored Skipped\", \"tests::fails Failed\", \"tests::panics Passed\", \
             \"tests::works Passed\", \"tests::prints_raw Passed\"] unfinished [] complete true"
        );
        let parsed = parse(REAL, Doubles::Refused).unwrap();
        assert!(parsed.results[1].2.as_deref().unwrap().contains("assertion `left == right` failed"));
    }

    #[test]
    fn a_truncated_report_is_not_complete_and_names_what_did_not_finish() {
        let end = REAL.find("{ \"type\": \"suite\", \"event\": \"failed\"").unwrap();
        assert!(shown(&REAL[..end], Doubles::Refused).ends_with("unfinished [] complete false"));
        let middle =
            REAL.find("{ \"type\": \"test\", \"event\": \"started\", \"name\": \"tests::works\"").unwrap();
        assert!(
            shown(&REAL[..middle], Doubles::Refused)
                .ends_with("unfinished [\"tests::prints_raw\"] complete false")
        );
        assert!(shown("", Doubles::Refused).ends_with("complete false"));
    }

    #[test]
    fn forged_lines_are_errors() {
        let forged = |line: &str| {
            let end = REAL.find("{ \"type\": \"test\", \"name\": \"tests::fails\"").unwrap();
            shown(&format!("{}{line}\n{}", &REAL[..end], &REAL[end..]), Doubles::Refused)
        };
        assert_eq!(
            forged(r#"{ "type": "test", "name": "tests::fails", "event": "ok" }"#),
            "error: a result of \"tests::fails\", which did not begin"
        );
        assert_eq!(
            forged(
                "{ \"type\": \"test\", \"event\": \"started\", \"name\": \"tests::fails\" }\n\
                 { \"type\": \"test\", \"name\": \"tests::fails\", \"event\": \"ok\" }"
            ),
            "error: two results of \"tests::fails\""
        );
        assert_eq!(
            forged(
                "{ \"type\": \"test\", \"event\": \"started\", \"name\": \"more\" }\n\
                 { \"type\": \"test\", \"name\": \"more\", \"event\": \"ok\" }"
            ),
            "error: the suite's counts (Counts { total: 5, passed: 3, failed: 1, ignored: 1, measured: 0 }) do \
             not fit its results (Counts { total: 5, passed: 4, failed: 1, ignored: 1, measured: 0 })"
        );
        assert_eq!(
            forged(
                r#"{ "type": "suite", "event": "ok", "passed": 5, "failed": 0, "ignored": 0, "measured": 0, "filtered_out": 0 }"#
            ),
            "error: the suite's counts (Counts { total: 5, passed: 5, failed: 0, ignored: 0, measured: 0 }) do \
             not fit its results (Counts { total: 5, passed: 0, failed: 0, ignored: 1, measured: 0 })"
        );
        assert_eq!(
            forged(r#"{ "type": "suite", "event": "started", "test_count": 1 }"#),
            "error: a suite begins inside a suite"
        );
        // Text that only looks like a result is no event.
        assert_eq!(forged("test tests::fails ... ok"), shown(REAL, Doubles::Refused));
    }

    #[test]
    fn counts_beyond_any_number_are_counts_that_do_not_fit() {
        let most = u64::MAX;
        let text = format!(
            "{{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": {most} }}\n\
             {{ \"type\": \"suite\", \"event\": \"ok\", \"passed\": {most}, \"failed\": 0, \"ignored\": 1, \
             \"measured\": {most} }}\n"
        );
        assert!(shown(&text, Doubles::Refused).starts_with("error: the suite's counts"));
    }

    /// Each test looks for its beginning and for its twin: that must not be a walk through all of them.
    #[test]
    fn a_report_of_very_many_tests_is_read_in_one_go() {
        let many = 200_000;
        let mut text = format!("{{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": {many} }}\n");
        for number in 0..many {
            text += &format!("{{ \"type\": \"test\", \"event\": \"started\", \"name\": \"t{number}\" }}\n");
        }
        for number in (0..many).rev() {
            text += &format!("{{ \"type\": \"test\", \"name\": \"t{number}\", \"event\": \"ok\" }}\n");
        }
        text += &format!(
            "{{ \"type\": \"suite\", \"event\": \"ok\", \"passed\": {many}, \"failed\": 0, \"ignored\": 0, \
             \"measured\": 0 }}\n"
        );
        let parsed = parse(&text, Doubles::Refused).unwrap();
        assert!(parsed.complete && parsed.results.len() == many);
    }

    #[test]
    fn a_suite_that_was_left_early_shows() {
        // `std::process::exit(0)` inside a test.
        let text = "{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": 2 }\n\
                    { \"type\": \"test\", \"event\": \"started\", \"name\": \"a\" }\n";
        assert_eq!(shown(text, Doubles::Refused), "[] unfinished [\"a\"] complete false");
    }
}
