//! jest, vitest and mocha, with their own machine reports.

use std::path::Path;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use gloaming_api::profile::{Command, TestRunner};
use gloaming_syntax::Language;
use regex::Regex;
use serde::Deserialize;

use super::{
    Control, Invocation, MOST_INSIDE, Placing, REPORT_MOUNT, Report, TreeView, Trees, forms, junit, required,
};
use crate::names::Names;

const JEST_FILE: &str = "jest.json";

pub(super) fn jest(command: &Command) -> Result<Invocation, String> {
    Ok(with_flags(command, &["--json", &format!("--outputFile={REPORT_MOUNT}/{JEST_FILE}"), "--bail=0"]))
}

pub(super) fn vitest(command: &Command) -> Result<Invocation, String> {
    Ok(with_flags(
        command,
        &["--reporter=junit", &format!("--outputFile={REPORT_MOUNT}/{}", junit::FILE), "--bail=0"],
    ))
}

pub(super) fn mocha(command: &Command) -> Result<Invocation, String> {
    let output = format!("--reporter-option=output={REPORT_MOUNT}/{}", junit::FILE);
    Ok(with_flags(command, &["--reporter=xunit", &output, "--no-bail"]))
}

fn with_flags(command: &Command, flags: &[&str]) -> Invocation {
    let mut argv = command.argv.clone();
    let first = argv.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    // npm keeps options for itself unless told that they are the script's.
    if matches!(first, "npm" | "pnpm") && !argv.iter().any(|word| word == "--") {
        argv.push("--".into());
    }
    argv.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let mut env = command.env.clone();
    // Without it the runners watch for changes on some set-ups, and jest writes new snapshots.
    env.insert("CI".into(), "1".into());
    Invocation { argv, env, scripts: Vec::new() }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestReport {
    success: bool,
    num_total_tests: usize,
    num_failed_tests: usize,
    num_failed_test_suites: usize,
    #[serde(default)]
    was_interrupted: bool,
    test_results: Vec<JestFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestFile {
    name: String,
    status: String,
    #[serde(default)]
    message: String,
    assertion_results: Vec<JestTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestTest {
    ancestor_titles: Vec<String>,
    title: String,
    status: String,
    #[serde(default)]
    failure_messages: Vec<String>,
}

pub(super) fn read_jest(report: &Path) -> Result<Report, String> {
    parse_jest(&required(report, JEST_FILE)?)
}

fn parse_jest(bytes: &[u8]) -> Result<Report, String> {
    let report: JestReport =
        serde_json::from_slice(bytes).map_err(|error| format!("the report is not jest's JSON: {error}"))?;
    if report.was_interrupted {
        return Err("the report says that jest was interrupted".into());
    }
    let mut out = Report::default();
    let (mut total, mut failed) = (0, 0);
    for file in &report.test_results {
        let shown = RelPath::parse(&file.name).map_or_else(|_| file.name.clone(), |path| path.to_string());
        for test in &file.assertion_results {
            total += 1;
            let status = match test.status.as_str() {
                "passed" => TestStatus::Passed,
                "failed" => TestStatus::Failed,
                _ => TestStatus::Skipped,
            };
            failed += usize::from(status == TestStatus::Failed);
            out.count_place(&shown, &file.name, status);
            let mut names = test.ancestor_titles.clone();
            names.push(test.title.clone());
            let message = test.failure_messages.first().map(String::as_str);
            out.add_numbered(format!("{shown} > {}", names.join(" > ")), status, message);
        }
        let shows_failure = file.assertion_results.iter().any(|test| test.status == "failed");
        if file.status == "failed" && !shows_failure {
            out.add(shown, TestStatus::Failed, Some(&file.message));
        }
    }
    if (total, failed) != (report.num_total_tests, report.num_failed_tests) {
        return Err(format!(
            "the report says {} tests of which {} failed, and shows {total} and {failed}",
            report.num_total_tests, report.num_failed_tests
        ));
    }
    if report.success != (out.failed() == 0) || (report.num_failed_test_suites > 0) != (out.failed() > 0) {
        return Err(format!(
            "the report says success: {} and shows {} failures",
            report.success,
            out.failed()
        ));
    }
    Ok(out)
}

pub(super) fn controls(
    runner: TestRunner,
    placing: Placing,
    report: &Report,
    trees: &Trees<'_>,
    names: &mut Names,
) -> Vec<Control> {
    match placing {
        Placing::Inside => inside_each(report, trees, names),
        Placing::Beside => beside_each(report, trees.patched, names, |passes, fails| match runner {
            // A dynamic import works in scripts and in modules alike.
            TestRunner::NodeTest => format!(
                "import('node:test').then(({{ test }}) => {{\n  test('{passes}', () => {{}});\n  test('{fails}', () => \
                 {{ throw new Error('{fails}'); }});\n}});\n"
            ),
            _ => {
                let (import, test) = match runner {
                    TestRunner::Vitest => ("import { test } from 'vitest';\n", "test"),
                    TestRunner::Mocha => ("", "it"),
                    _ => ("", "test"),
                };
                format!(
                    "{import}{test}('{passes}', () => {{}});\n{test}('{fails}', () => {{ throw new Error('{fails}'); \
                     }});\n"
                )
            }
        }),
    }
}

/// The function by which a file adds its tests, in the file's own scope.
static TEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^[ \t]*(?:await\s+)?(test|it|specify)(?:\.\w+)*\(").expect("a constant pattern")
});

/// Behind the tests of files that have some which passed. Whatever the file checks with is what they fail by.
fn inside_each(report: &Report, trees: &Trees<'_>, names: &mut Names) -> Vec<Control> {
    let mut out: Vec<Control> = Vec::new();
    for place in report.best_places() {
        let Ok(path) = RelPath::parse(&place.file) else { continue };
        if out.iter().any(|control| control.path == path) {
            continue;
        }
        let Some(text) = trees.patched.read(&path) else { continue };
        let Some(test) = TEST.captures(&text).map(|found| found[1].to_owned()) else { continue };
        let passes = names.next_name();
        let language = Language::of(path.as_str()).unwrap_or(Language::JavaScript);
        let mut forms = forms::javascript(language, &trees.texts(&path));
        let mut control = Control {
            path,
            // The last statement may not be ended.
            text: format!("\n;\n{test}('{passes}', () => {{}});\n"),
            passes,
            fails: Vec::new(),
        };
        if forms.is_empty() {
            forms.push("throw new Error('NAME');".to_owned());
        }
        for form in forms {
            let fails = names.next_name();
            control.text += &format!("{test}('{fails}', () => {{ {} }});\n", forms::named(&form, &fails));
            control.fails.push(fails);
        }
        out.push(control);
        if out.len() == MOST_INSIDE {
            break;
        }
    }
    out
}

/// One new file beside a file with passing tests, in each of at most eight folders.
fn beside_each(
    report: &Report,
    tree: &TreeView<'_>,
    names: &mut Names,
    text: impl Fn(&str, &str) -> String,
) -> Vec<Control> {
    let mut folders: Vec<RelPath> = Vec::new();
    let mut out = Vec::new();
    for place in report.best_places() {
        let Ok(path) = RelPath::parse(&place.file) else { continue };
        let Some(folder) = path.parent() else { continue };
        if !tree.has(&path) || folders.contains(&folder) {
            continue;
        }
        let Some(control) = beside(&path, &names.next_name()) else { continue };
        folders.push(folder);
        let (passes, fails) = (names.next_name(), names.next_name());
        out.push(Control { text: text(&passes, &fails), path: control, passes, fails: vec![fails] });
        if out.len() == 8 {
            break;
        }
    }
    out
}

/// `test/x.test.js` beside `test/a.test.js`, `test/test-x.js` beside `test/test-a.js`, `test/x.js` else.
fn beside(path: &RelPath, name: &str) -> Option<RelPath> {
    let file = path.name()?;
    let (stem, endings) = file.split_once('.')?;
    let new = ["test-", "test_", "spec-"]
        .iter()
        .find(|prefix| stem.starts_with(**prefix))
        .map(|prefix| format!("{prefix}{name}"))
        .or_else(|| {
            ["-test", "_test", "-spec", "_spec"]
                .iter()
                .find(|suffix| stem.ends_with(**suffix))
                .map(|suffix| format!("{name}{suffix}"))
        })
        .unwrap_or_else(|| name.to_owned());
    path.parent()?.join(&format!("{new}.{endings}")).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{lines, test_command};
    use super::*;

    const JEST: &str = include_str!("../../tests/samples/jest.json");

    #[test]
    fn jest_report() {
        assert_eq!(
            lines(&parse_jest(JEST.as_bytes()).unwrap()),
            "jest/a.test.js > adds = passed\n\
             jest/a.test.js > fails = failed\n\
             jest/a.test.js > group > inner = passed\n\
             jest/a.test.js > group > inner #2 = passed\n\
             jest/a.test.js > later = skipped\n\
             jest/a.test.js > skipped = skipped\n\
             jest/b.test.js = failed\n"
        );
    }

    #[test]
    fn forged_and_truncated_jest_reports_are_errors() {
        let error = |text: &str| parse_jest(text.as_bytes()).unwrap_err();
        assert!(error(&JEST[..JEST.len() / 2]).starts_with("the report is not jest's JSON"));
        assert_eq!(
            error(&JEST.replace("\"numTotalTests\": 6", "\"numTotalTests\": 7")),
            "the report says 7 tests of which 1 failed, and shows 6 and 1"
        );
        assert_eq!(
            error(&JEST.replace("\"success\": false", "\"success\": true")),
            "the report says success: true and shows 2 failures"
        );
        assert_eq!(
            error(&JEST.replace("\"wasInterrupted\": false", "\"wasInterrupted\": true")),
            "the report says that jest was interrupted"
        );
    }

    #[test]
    fn npm_is_told_that_the_options_are_the_scripts() {
        let argv = |runner, words: &[&str]| {
            let command = test_command(runner, words);
            let run = match runner {
                TestRunner::Jest => jest(&command),
                TestRunner::Vitest => vitest(&command),
                _ => mocha(&command),
            };
            run.unwrap().argv.join(" ")
        };
        assert_eq!(
            argv(TestRunner::Jest, &["npm", "test"]),
            "npm test -- --json --outputFile=/report/jest.json --bail=0"
        );
        assert_eq!(
            argv(TestRunner::Vitest, &["npx", "vitest", "run"]),
            "npx vitest run --reporter=junit --outputFile=/report/junit.xml --bail=0"
        );
        assert_eq!(
            argv(TestRunner::Mocha, &["npm", "run", "unit", "--", "--recursive"]),
            "npm run unit -- --recursive --reporter=xunit --reporter-option=output=/report/junit.xml --no-bail"
        );
    }

    #[test]
    fn new_files_are_named_like_their_neighbours() {
        let path = |text| RelPath::parse(text).unwrap();
        for (neighbour, expect) in [
            ("test/a.test.js", "test/x.test.js"),
            ("src/a.spec.ts", "src/x.spec.ts"),
            ("test/test-a.mjs", "test/test-x.mjs"),
            ("lib/a-test.js", "lib/x-test.js"),
            ("test/a.js", "test/x.js"),
        ] {
            assert_eq!(beside(&path(neighbour), "x"), Some(path(expect)));
        }
    }
}
