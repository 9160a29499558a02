//! `node --test`, through a reporter of our own that tells the file of each test.

use std::path::Path;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use gloaming_api::profile::Command;
use serde::Deserialize;

use super::{Invocation, REPORT_MOUNT, Report, SCRIPT_MOUNT, required};

const FILE: &str = "node.jsonl";

pub(super) fn run(command: &Command) -> Result<Invocation, String> {
    let mut env = command.env.clone();
    // By variable, so that it also reaches the `node --test` behind an npm script. The runner's own children
    // are told otherwise by Node and do not write there.
    let ours = format!(
        "--test-reporter={SCRIPT_MOUNT}/node_reporter.mjs --test-reporter-destination={REPORT_MOUNT}/{FILE}"
    );
    let options = match env.get("NODE_OPTIONS") {
        Some(theirs) => format!("{theirs} {ours}"),
        None => ours,
    };
    env.insert("NODE_OPTIONS".into(), options);
    env.insert("CI".into(), "1".into());
    Ok(Invocation {
        argv: command.argv.clone(),
        env,
        scripts: vec![("node_reporter.mjs", include_str!("../../scripts/node_reporter.mjs").into())],
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    End {
        end: usize,
    },
    #[serde(rename_all = "snake_case")]
    Result {
        file: String,
        names: Vec<String>,
        ok: bool,
        skip: bool,
        todo: bool,
        suite: bool,
        error: String,
    },
}

pub(super) fn read(report: &Path) -> Result<Report, String> {
    parse(&String::from_utf8_lossy(&required(report, FILE)?))
}

fn parse(text: &str) -> Result<Report, String> {
    let mut out = Report::default();
    let mut results = 0;
    let mut end = None;
    for line in text.lines() {
        if end.is_some() {
            return Err("the report goes on behind its end".into());
        }
        match serde_json::from_str(line).map_err(|error| format!("the report has a broken line: {error}"))? {
            Line::End { end: count } => end = Some(count),
            Line::Result { file, names, ok, skip, todo, suite, error } => {
                results += 1;
                let shown = RelPath::parse(&file).map_or_else(|_| file.clone(), |path| path.to_string());
                let status = match (ok, skip, todo) {
                    (_, true, _) => TestStatus::Skipped,
                    (true, false, _) => TestStatus::Passed,
                    (false, false, true) => TestStatus::ExpectedFailure,
                    (false, false, false) => TestStatus::Failed,
                };
                if suite && status != TestStatus::Failed {
                    continue;
                }
                // A file that does not load is reported as a test of its own name.
                let id = if names.len() == 1 && names[0] == file {
                    shown
                } else {
                    out.count_place(&shown, &file, status);
                    format!("{shown} > {}", names.join(" > "))
                };
                out.add_numbered(id, status, Some(&error));
            }
        }
    }
    match end {
        Some(count) if count == results => Ok(out),
        Some(count) => Err(format!("the report says {count} results and shows {results}")),
        None => Err("the report has no end: the runner was cut off".into()),
    }
}

#[cfg(test)]
mod tests {
    use gloaming_api::profile::TestRunner;

    use super::super::{lines, test_command};
    use super::*;

    const REAL: &str = include_str!("../../tests/samples/node.jsonl");

    #[test]
    fn a_recorded_run_is_read_whole() {
        assert_eq!(
            lines(&parse(REAL).unwrap()),
            "test/a.test.js > adds = passed\n\
             test/a.test.js > fails = failed\n\
             test/a.test.js > group > dup = passed\n\
             test/a.test.js > group > dup #2 = passed\n\
             test/a.test.js > group > inner = passed\n\
             test/a.test.js > skipped = skipped\n\
             test/a.test.js > todo = expected_failure\n\
             test/b.test.js > adds = passed\n\
             test/c.test.js = failed\n\
             test/dyn.test.js > k1 fails = failed\n\
             test/dyn.test.js > k1 passes = passed\n"
        );
    }

    #[test]
    fn truncated_and_doubled_reports_are_errors() {
        let error = |text: &str| parse(text).unwrap_err();
        let end = REAL.find("{\"end\"").unwrap();
        assert_eq!(error(&REAL[..end]), "the report has no end: the runner was cut off");
        assert_eq!(error(&format!("{REAL}{REAL}")), "the report goes on behind its end");
        let without_first = &REAL[REAL.find('\n').unwrap() + 1..];
        assert_eq!(error(without_first), "the report says 12 results and shows 11");
        assert!(error(&REAL[..end - 9]).starts_with("the report has a broken line"));
        assert!(error("").starts_with("the report has no end"));
    }

    #[test]
    fn the_reporter_is_set_by_variable() {
        let run = run(&test_command(TestRunner::NodeTest, &["npm", "test"])).unwrap();
        assert_eq!(run.argv, ["npm", "test"]);
        assert_eq!(
            run.env["NODE_OPTIONS"],
            "--test-reporter=/gloaming/node_reporter.mjs --test-reporter-destination=/report/node.jsonl"
        );
    }
}
