//! V4: what a linter, formatter or type checker says, so that only new findings count.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

/// Findings without their lines and columns, by how often each was seen.
pub(crate) type Findings = BTreeMap<String, u32>;

static ONE_LINE: LazyLock<Regex> = LazyLock::new(|| {
    // file:1:2: message, file:1: message, file(1,2): message
    Regex::new(r"^(?P<file>[^\s:()][^:()]*?\.\w+)(?::\d+(?::\d+)?:?|\(\d+(?:,\d+)?\):)\s+(?P<message>\S.*)$")
        .expect("a constant pattern")
});
static HEADLINE: LazyLock<Regex> = LazyLock::new(|| {
    // rustc and clippy, and ruff's full form: the message first, then an arrow with the place.
    Regex::new(r"^(?:(?:warning|error)(?:\[[\w:]+\])?: .+|[A-Z]{1,4}\d{3,4} .+)$")
        .expect("a constant pattern")
});
static ARROW: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*--> (?P<file>.+?):\d+:\d+").expect("a constant pattern"));
static FORMAT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:Diff in (?P<a>.+?)(?::\d+:?| at line \d+:)|(?:would reformat|Would reformat:|reformatted) (?P<b>\S+)|(?:---\s+)(?P<c>\S+)\s.*)$")
        .expect("a constant pattern")
});
static ESLINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s+\d+:\d+\s+(?P<message>(?:error|warning)\s+.+)$").expect("a constant pattern")
});

/// Reads findings from what a linter printed; empty when none is recognised.
pub(crate) fn parse(output: &str) -> Findings {
    let mut findings = Findings::new();
    let mut headline: Option<&str> = None;
    let mut file: Option<&str> = None;
    for line in output.lines() {
        let line = line.trim_end();
        let key = if let Some(found) = ARROW.captures(line) {
            headline.take().map(|message| (found.name("file").map_or("", |m| m.as_str()), message))
        } else if let Some(found) = FORMAT.captures(line) {
            let file = ["a", "b", "c"].iter().find_map(|name| found.name(name)).map_or("", |m| m.as_str());
            Some((file, "not formatted"))
        } else if let (Some(found), Some(file)) = (ESLINT.captures(line), file) {
            Some((file, found.name("message").map_or("", |m| m.as_str())))
        } else if HEADLINE.is_match(line) {
            headline = Some(line);
            None
        } else if let Some(found) = ONE_LINE.captures(line) {
            Some((
                found.name("file").map_or("", |m| m.as_str()),
                found.name("message").map_or("", |m| m.as_str()),
            ))
        } else {
            // eslint names the file on a line of its own.
            if line.starts_with('/') && !line.contains(": ") {
                file = Some(line);
            }
            None
        };
        if let Some((file, message)) = key {
            let message: Vec<&str> = message.split_whitespace().collect();
            let file = file.trim_start_matches("/workspace/").trim_start_matches("./");
            *findings.entry(format!("{file}: {}", message.join(" "))).or_default() += 1;
        }
    }
    findings
}

/// Returns findings that are seen more often than before.
pub(crate) fn new_findings(before: &Findings, after: &Findings) -> Vec<String> {
    after
        .iter()
        .filter(|(finding, count)| before.get(*finding).copied().unwrap_or(0) < **count)
        .map(|(finding, _)| finding.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(output: &str) -> Vec<String> {
        parse(output).into_iter().map(|(finding, count)| format!("{count} {finding}")).collect()
    }

    #[test]
    fn the_forms_linters_print() {
        assert_eq!(
            keys(
                "warning: unused variable: `x`\n --> src/lib.rs:3:9\n  |\n3 |     let x = 1;\n\nerror[E0308]: mismatched types\n   --> src/a.rs:1:1\nwarning: `demo` (lib) generated 1 warning\n"
            ),
            ["1 src/a.rs: error[E0308]: mismatched types", "1 src/lib.rs: warning: unused variable: `x`"]
        );
        assert_eq!(
            keys(
                "src/a.py:1:1: F401 'os' imported but unused\nsrc/a.py:9:1: F401 'os' imported but unused\nFound 2 errors.\n"
            ),
            ["2 src/a.py: F401 'os' imported but unused"]
        );
        assert_eq!(
            keys("F401 [*] `os` imported but unused\n --> src/a.py:1:8\n  |\n"),
            ["1 src/a.py: F401 [*] `os` imported but unused"]
        );
        assert_eq!(
            keys("a.ts(3,4): error TS2304: Cannot find name 'x'.\n"),
            ["1 a.ts: error TS2304: Cannot find name 'x'."]
        );
        assert_eq!(
            keys("/workspace/src/a.js\n  1:5  error  'x' is never used  no-unused-vars\n\n✖ 1 problem\n"),
            ["1 src/a.js: error 'x' is never used no-unused-vars"]
        );
        assert_eq!(keys("Diff in /workspace/src/lib.rs:1:\n fn a() {\n"), ["1 src/lib.rs: not formatted"]);
        assert_eq!(
            keys("would reformat a.py\nOh no!\n1 file would be reformatted.\n"),
            ["1 a.py: not formatted"]
        );
        assert_eq!(keys("All checks passed!\n"), [""; 0]);
    }

    #[test]
    fn a_finding_that_moved_is_not_new_and_a_second_one_is() {
        let before = parse("a.py:1:1: F401 x\n");
        assert_eq!(new_findings(&before, &parse("a.py:7:1: F401 x\n")), [""; 0]);
        assert_eq!(new_findings(&before, &parse("a.py:1:1: F401 x\na.py:7:1: F401 x\n")), ["a.py: F401 x"]);
    }
}
