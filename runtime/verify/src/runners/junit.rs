//! JUnit XML as pytest, vitest and mocha write it.

use std::path::Path;

use gloaming_api::RelPath;
use gloaming_api::evidence::TestStatus;
use roxmltree::{Document, Node};

use super::{Report, required};

/// The file a run leaves.
pub(super) const FILE: &str = "junit.xml";

/// Who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `classname` is the dotted module and class; a collection error is a case without one.
    Pytest,
    /// `classname` is the file.
    Vitest,
    /// `file` is the file, `classname` the groups around the test.
    Mocha,
}

pub(super) fn read(report: &Path, flavour: Flavour) -> Result<Report, String> {
    parse(&String::from_utf8_lossy(&required(report, FILE)?), flavour)
}

fn parse(text: &str, flavour: Flavour) -> Result<Report, String> {
    // Document type declarations are refused by the parser, and with them entities that expand.
    let document =
        Document::parse(text).map_err(|error| format!("the report is not well-formed XML: {error}"))?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "testsuites" | "testsuite") {
        return Err(format!("the report is no JUnit XML: its root is {:?}", root.tag_name().name()));
    }
    let mut out = Report::default();
    for suite in root.descendants().filter(|node| node.has_tag_name("testsuite")) {
        check_counts(suite, flavour)?;
    }
    for case in root.descendants().filter(|node| node.has_tag_name("testcase")) {
        add(&mut out, case, flavour);
    }
    Ok(out)
}

/// A suite that says more failures or errors than its cases show was cut or edited.
fn check_counts(suite: Node<'_, '_>, flavour: Flavour) -> Result<(), String> {
    let attribute = |name| suite.attribute(name).and_then(|value| value.parse::<usize>().ok()).unwrap_or(0);
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    // One case can hold several: a fixture that failed to come up and then to go down.
    let bad = cases
        .iter()
        .flat_map(|case| case.children())
        .filter(|node| node.has_tag_name("failure") || node.has_tag_name("error"))
        .count();
    let said = attribute("failures") + attribute("errors");
    if said > bad {
        return Err(format!("the report's suite says {said} failures and shows {bad}"));
    }
    // pytest counts subtests that have no case of their own.
    if flavour != Flavour::Pytest
        && attribute("tests") > cases.len()
        && suite.children().all(|node| !node.has_tag_name("testsuite"))
    {
        return Err(format!(
            "the report's suite says {} tests and shows {}",
            attribute("tests"),
            cases.len()
        ));
    }
    Ok(())
}

fn add(out: &mut Report, case: Node<'_, '_>, flavour: Flavour) {
    let name = case.attribute("name").unwrap_or("");
    let class = case.attribute("classname").unwrap_or("");
    let fault = case.children().find(|node| matches!(node.tag_name().name(), "failure" | "error"));
    let skipped = case.children().find(|node| node.has_tag_name("skipped"));
    let status = match (fault, skipped) {
        (Some(_), _) => TestStatus::Failed,
        (None, Some(node)) if node.attribute("type") == Some("pytest.xfail") => TestStatus::ExpectedFailure,
        (None, Some(_)) => TestStatus::Skipped,
        (None, None) => TestStatus::Passed,
    };
    let message = fault.map(|node| {
        let text = node.text().unwrap_or("").trim();
        let attribute = node.attribute("message").unwrap_or("");
        if text.contains(attribute) { text.to_owned() } else { format!("{attribute}\n{text}") }
    });
    let message = message.as_deref();
    match flavour {
        // Two cases of one test (it failed, and so did what follows it): the worse counts.
        Flavour::Pytest if class.is_empty() => out.add(name.to_owned(), status, message),
        Flavour::Pytest => {
            out.count_place(class, "", status);
            out.add(format!("{class}::{name}"), status, message);
        }
        Flavour::Vitest => {
            out.count_place(class, class, status);
            out.add_numbered(format!("{class} > {name}"), status, message);
        }
        Flavour::Mocha => {
            let file = case.attribute("file").unwrap_or("");
            let shown = RelPath::parse(file).map_or_else(|_| file.to_owned(), |path| path.to_string());
            out.count_place(&shown, file, status);
            let group = if class.is_empty() { String::new() } else { format!("{class} > ") };
            out.add_numbered(format!("{shown} > {group}{name}"), status, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::*;

    const PYTEST: &str = include_str!("../../tests/samples/pytest.xml");
    const VITEST: &str = include_str!("../../tests/samples/vitest.xml");
    const MOCHA: &str = include_str!("../../tests/samples/mocha.xml");

    #[test]
    fn pytest_report() {
        let report = parse(PYTEST, Flavour::Pytest).unwrap();
        assert_eq!(
            lines(&report),
            "tests.test_a.TestC::test_m = passed\n\
             tests.test_a.U::test_sub = failed\n\
             tests.test_a::test_bad = failed\n\
             tests.test_a::test_ok = passed\n\
             tests.test_a::test_par[1] = passed\n\
             tests.test_a::test_par[x y] = passed\n\
             tests.test_a::test_setup = failed\n\
             tests.test_a::test_skip = skipped\n\
             tests.test_a::test_td = failed\n\
             tests.test_a::test_td_fail = failed\n\
             tests.test_a::test_xfail = expected_failure\n\
             tests.test_a::test_xpass = passed\n\
             tests.test_a::test_xpass_strict = failed\n\
             tests.test_b = failed\n"
        );
        assert!(report.messages["tests.test_a::test_bad"].contains("assert 1 == 2"));
    }

    #[test]
    fn vitest_report() {
        assert_eq!(
            lines(&parse(VITEST, Flavour::Vitest).unwrap()),
            "a.test.js > adds = passed\n\
             a.test.js > fails = failed\n\
             a.test.js > group > inner = passed\n\
             a.test.js > group > inner #2 = passed\n\
             a.test.js > later = skipped\n\
             a.test.js > skipped = skipped\n\
             a.test.js > xf = passed\n\
             b.test.js > b.test.js = failed\n"
        );
    }

    #[test]
    fn mocha_report() {
        assert_eq!(
            lines(&parse(MOCHA, Flavour::Mocha).unwrap()),
            "moc/a.test.js > adds = passed\n\
             moc/a.test.js > fails = failed\n\
             moc/a.test.js > group > inner = passed\n\
             moc/a.test.js > group > inner #2 = passed\n\
             moc/a.test.js > hooked > \"before all\" hook for \"never\" = failed\n\
             moc/a.test.js > pending = skipped\n\
             moc/a.test.js > skipped = skipped\n"
        );
    }

    /// A fixture that came up wrong and went down wrong is two errors of one case, and no forgery.
    #[test]
    fn one_case_with_two_errors_fits_its_suite() {
        let text = "<testsuites><testsuite errors=\"2\" failures=\"0\" tests=\"1\"><testcase classname=\"m\" \
                    name=\"t\"><error message=\"up\"/><error message=\"down\"/></testcase></testsuite></testsuites>";
        assert_eq!(lines(&parse(text, Flavour::Pytest).unwrap()), "m::t = failed\n");
    }

    #[test]
    fn broken_and_forged_reports_are_errors() {
        let error = |text: &str| parse(text, Flavour::Pytest).unwrap_err();
        assert!(error(&PYTEST[..PYTEST.len() / 2]).starts_with("the report is not well-formed XML"));
        assert!(error("").starts_with("the report is not well-formed XML"));
        assert!(error("ok 1 - all tests passed").starts_with("the report is not well-formed XML"));
        assert_eq!(error("<html/>"), "the report is no JUnit XML: its root is \"html\"");
        assert!(
            error("<!DOCTYPE x [<!ENTITY a \"aaaa\">]><testsuites>&a;</testsuites>")
                .starts_with("the report is not well-formed XML")
        );
        // A failing case was cut out, the suite's counts were left.
        let from = PYTEST.find("<testcase classname=\"tests.test_a\" name=\"test_bad\"").unwrap();
        let to = from + PYTEST[from..].find("</testcase>").unwrap() + "</testcase>".len();
        let cut = format!("{}{}", &PYTEST[..from], &PYTEST[to..]);
        assert_eq!(error(&cut), "the report's suite says 8 failures and shows 7");
    }
}
