//! What measuring tools write. All of it may be the patch's own words: bounded, and none for what is not understood.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gloaming_api::RelPath;
use serde::Deserialize;

use super::{FileLines, Measured};
use crate::host;
use crate::runners::TreeView;

pub(super) const GO_FILE: &str = "go.cover";

/// The most processes whose reports are read.
const MOST_PROCESSES: usize = 200;

/// The most lines that the blocks of one report may cover together.
const MOST_NOTED: u32 = 5_000_000;

/// The most scripts of V8's reports, of all processes together: each has its source read.
const MOST_SCRIPTS: usize = 50_000;

/// The most lines of a file.
const MOST_LINES: u32 = 1_000_000;

fn read_text(report: &Path, name: &str) -> Option<String> {
    let bytes = host::read_report(report, name).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path as a tool prints it: below the folder the suite ran in, or of the container.
fn located(path: &str, cwd: &RelPath, tree: &TreeView<'_>) -> Option<RelPath> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let below = cwd.join(path).ok().filter(|path| tree.has(path));
    below.or_else(|| RelPath::parse(path).ok().filter(|path| tree.has(path)))
}

fn line(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|line| (1..=MOST_LINES).contains(line))
}

/// `coverage json`.
pub(super) fn coverage_py(report: &Path, tree: &TreeView<'_>, cwd: &RelPath) -> Option<Measured> {
    #[derive(Deserialize)]
    struct Report {
        files: BTreeMap<String, File>,
    }
    #[derive(Deserialize)]
    struct File {
        executed_lines: Vec<u64>,
        missing_lines: Vec<u64>,
    }
    let parsed: Report = serde_json::from_str(&read_text(report, "coverage.json")?).ok()?;
    let mut out = Measured::new();
    for (path, file) in parsed.files {
        let Some(path) = located(&path, cwd, tree) else { continue };
        let lines = |numbers: Vec<u64>| numbers.into_iter().filter_map(line).collect::<BTreeSet<u32>>();
        out.insert(path, FileLines { run: lines(file.executed_lines), missed: lines(file.missing_lines) });
    }
    Some(out)
}

/// LCOV's trace files: `SF:path`, `DA:line,count`.
pub(super) fn lcov(report: &Path, tree: &TreeView<'_>, cwd: &RelPath) -> Option<Measured> {
    Some(parse_lcov(&read_text(report, "coverage.lcov")?, tree, cwd))
}

fn parse_lcov(text: &str, tree: &TreeView<'_>, cwd: &RelPath) -> Measured {
    let mut out = Measured::new();
    let mut file: Option<RelPath> = None;
    for record in text.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            file = located(path, cwd, tree);
        } else if let (Some(path), Some(rest)) = (&file, record.strip_prefix("DA:")) {
            let mut parts = rest.split(',');
            let number = parts.next().and_then(|number| number.parse().ok()).and_then(line);
            let count = parts.next().and_then(|count| count.parse::<u64>().ok());
            if let (Some(number), Some(count)) = (number, count) {
                note(out.entry(path.clone()).or_default(), number, count > 0);
            }
        }
    }
    out
}

/// Once run, a line stays run.
fn note(file: &mut FileLines, line: u32, run: bool) {
    if run {
        file.run.insert(line);
        file.missed.remove(&line);
    } else if !file.run.contains(&line) {
        file.missed.insert(line);
    }
}

/// `go test -coverprofile`: `package/file.go:from.column,to.column statements count`.
pub(super) fn go_profile(report: &Path, tree: &TreeView<'_>, cwd: &RelPath) -> Option<Measured> {
    let manifest = cwd.join("go.mod").ok().and_then(|path| tree.read(&path))?;
    let module = manifest.lines().find_map(|line| line.strip_prefix("module "))?.trim().to_owned();
    Some(parse_go(&read_text(report, GO_FILE)?, &module, tree, cwd))
}

fn parse_go(text: &str, module: &str, tree: &TreeView<'_>, cwd: &RelPath) -> Measured {
    let mut out = Measured::new();
    let mut left = MOST_NOTED;
    for record in text.lines() {
        let parsed = || {
            let (path, rest) = record.rsplit_once(':')?;
            let path = located(path.strip_prefix(module)?.strip_prefix('/')?, cwd, tree)?;
            let mut words = rest.split(' ');
            let (from, to) = words.next()?.split_once(',')?;
            let at = |place: &str| place.split('.').next()?.parse().ok().and_then(line);
            let count: u64 = words.nth(1)?.parse().ok()?;
            Some((path, at(from)?, at(to)?, count))
        };
        if let Some((path, from, to, count)) = parsed() {
            let file = out.entry(path).or_default();
            // A block of more lines than any file has is nobody's.
            let to = to.min(from.saturating_add(10_000));
            left = left.saturating_sub(to.saturating_sub(from) + 1);
            if left == 0 {
                break;
            }
            for line in from..=to {
                note(file, line, count > 0);
            }
        }
    }
    out
}

/// V8's own reports: by function, ranges of UTF-16 units with how often each ran; an inner range wins.
pub(super) fn v8(report: &Path, tree: &TreeView<'_>, cwd: &RelPath) -> Option<Measured> {
    let mut out = Measured::new();
    let mut seen = false;
    let mut left = MOST_SCRIPTS;
    let names = host::list_report(report).ok()?;
    for name in names.iter().filter(|name| name.starts_with("coverage-")).take(MOST_PROCESSES) {
        let Some(text) = read_text(report, name) else { continue };
        seen |= add_v8(&text, tree, cwd, &mut out, &mut left);
    }
    seen.then_some(out)
}

#[derive(Deserialize)]
struct V8Report {
    result: Vec<V8Script>,
}

#[derive(Deserialize)]
struct V8Script {
    url: String,
    functions: Vec<V8Function>,
}

#[derive(Deserialize)]
struct V8Function {
    ranges: Vec<V8Range>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V8Range {
    start_offset: usize,
    end_offset: usize,
    count: u64,
}

fn add_v8(text: &str, tree: &TreeView<'_>, cwd: &RelPath, out: &mut Measured, left: &mut usize) -> bool {
    let Ok(parsed) = serde_json::from_str::<V8Report>(text) else { return false };
    for script in parsed.result {
        let Some(path) = located(&script.url, cwd, tree) else { continue };
        let Some(one_less) = left.checked_sub(1) else { break };
        *left = one_less;
        let Some(source) = tree.read(&path) else { continue };
        let mut ranges: Vec<V8Range> =
            script.functions.into_iter().flat_map(|function| function.ranges).collect();
        // Outer before inner, so that the last one written is the innermost.
        ranges.sort_by_key(|range| (range.start_offset, std::cmp::Reverse(range.end_offset)));
        let counts = counts_by_line(&source, &ranges);
        let file = out.entry(path).or_default();
        for (number, run) in counts {
            note(file, number, run);
        }
    }
    true
}

/// Whether each line that says something begins in a range that ran. One sweep over lines and ranges: what is open is
/// kept on a stack, the innermost last.
fn counts_by_line(source: &str, ranges: &[V8Range]) -> Vec<(u32, bool)> {
    let mut out = Vec::new();
    let mut open: Vec<(usize, u64)> = Vec::new();
    let mut next = 0;
    let mut at = 0;
    for (number, text) in (1..).zip(source.split_inclusive('\n')) {
        let body = text.trim_start();
        let begins = at + (text.len() - body.len());
        if !body.trim().is_empty() {
            while let Some(range) = ranges.get(next).filter(|range| range.start_offset <= begins) {
                while open.last().is_some_and(|(end, _)| *end <= range.start_offset) {
                    open.pop();
                }
                open.push((range.end_offset, range.count));
                next += 1;
            }
            while open.last().is_some_and(|(end, _)| *end <= begins) {
                open.pop();
            }
            // A range that begins in the line's middle says nothing of its beginning.
            out.push((number, open.last().is_none_or(|(_, count)| *count > 0)));
        }
        at += text.encode_utf16().count();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(measured: &Measured) -> String {
        measured
            .iter()
            .map(|(path, file)| format!("{path} run {:?} missed {:?}\n", file.run, file.missed))
            .collect()
    }

    #[expect(clippy::disallowed_methods, reason = "a test lays out a report and a tree")]
    fn check(
        read: fn(&Path, &TreeView<'_>, &RelPath) -> Option<Measured>,
        name: &str,
        report: &str,
        files: &[(&str, &str)],
    ) -> String {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let mut paths = Vec::new();
        for (path, content) in files {
            let path = RelPath::parse(path).unwrap();
            host::write_in_tree(&tree, &path, content.as_bytes()).unwrap();
            paths.push(path);
        }
        paths.sort();
        std::fs::write(dir.path().join(name), report).unwrap();
        let view = TreeView { dir: &tree, files: &paths };
        read(dir.path(), &view, &RelPath::root()).map_or("nothing".into(), |measured| shown(&measured))
    }

    #[test]
    fn each_form() {
        assert_eq!(
            check(
                coverage_py,
                "coverage.json",
                r#"{"meta":{},"files":{"a.py":{"executed_lines":[1,2],"summary":{},"missing_lines":[4]},"/usr/x.py":{"executed_lines":[1],"missing_lines":[]}},"totals":{}}"#,
                &[("a.py", "")]
            ),
            "a.py run {1, 2} missed {4}\n"
        );
        assert_eq!(
            check(
                lcov,
                "coverage.lcov",
                "SF:/workspace/src/lib.rs\nFN:1,x\nDA:1,3\nDA:2,0\nDA:2,1\nDA:3,0\nDA:x,1\nend_of_record\nSF:/usr/y.rs\nDA:1,1\n",
                &[("src/lib.rs", "")]
            ),
            "src/lib.rs run {1, 2} missed {3}\n"
        );
        assert_eq!(
            check(
                go_profile,
                GO_FILE,
                "mode: set\nexample.com/demo/p/p.go:3.20,5.2 1 1\nexample.com/demo/p/p.go:5.2,6.3 1 0\nother/p.go:1.1,2.2 1 1\nbroken\n",
                &[("go.mod", "module example.com/demo\n"), ("p/p.go", "")]
            ),
            "p/p.go run {3, 4, 5} missed {6}\n"
        );
    }

    /// Recorded from Node 20: `function never` and the `else` are not run. The umlauts are two bytes and one unit each.
    #[test]
    fn v8_ranges() {
        let source = "// äöü\nfunction f(x) {\n  if (x) {\n    return 1;\n  } else {\n    return 2;\n  }\n}\nfunction never() {\n  return 3;\n}\nf(1);\n";
        let unit = |what: &str| source[..source.find(what).unwrap()].encode_utf16().count();
        let whole = source.encode_utf16().count();
        let report = format!(
            r#"{{"result":[{{"scriptId":"1","url":"file:///workspace/a.js","functions":[{{"functionName":"","ranges":[{{"startOffset":0,"endOffset":{whole},"count":1}}],"isBlockCoverage":true}},{{"functionName":"f","ranges":[{{"startOffset":{},"endOffset":{},"count":1}},{{"startOffset":{},"endOffset":{},"count":0}}],"isBlockCoverage":true}},{{"functionName":"never","ranges":[{{"startOffset":{},"endOffset":{},"count":0}}],"isBlockCoverage":false}}]}}]}}"#,
            unit("function f"),
            unit("function never") - 1,
            unit("else {"),
            unit("  }\n}\nfunction never") + 3,
            unit("function never"),
            unit("f(1);") - 1,
        );
        assert_eq!(
            check(v8, "coverage-1-2-3.json", &report, &[("a.js", source)]),
            "a.js run {1, 2, 3, 4, 5, 8, 12} missed {6, 7, 9, 10, 11}\n"
        );
    }

    #[test]
    fn what_is_broken_or_enormous_is_nothing() {
        for read in [coverage_py, lcov, go_profile, v8] {
            for text in ["", "{", "[]", "{\"files\":[]}", "SF:/workspace/../x\nDA:1,1", "{\"result\":{}}"] {
                for name in ["coverage.json", "coverage.lcov", GO_FILE, "coverage-1.json"] {
                    let told = check(read, name, text, &[("go.mod", "module m\n"), ("a.py", "x\n")]);
                    assert!(told.is_empty() || told == "nothing", "{told}");
                }
            }
        }
        let far = "SF:/workspace/a.py\nDA:4294967295,1\nDA:0,1\nDA:99999999999999999999,1\n";
        assert_eq!(check(lcov, "coverage.lcov", far, &[("a.py", "")]), "");
        let block = "mode: set\nm/a.go:1.1,4000000000.1 1 1\nm/a.go:900000.1,950000.1 1 1\n";
        let told = check(go_profile, GO_FILE, block, &[("go.mod", "module m\n"), ("a.go", "")]);
        assert!(told.len() < 200_000);
    }
}
