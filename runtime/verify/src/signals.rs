//! V10: what lowers confidence without being wrong: debug prints, leftovers, stray files, churn.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::evidence::{FileChange, FileRole, Signal};
use gloaming_api::profile::StyleNorms;
use gloaming_syntax::Language;
use regex::Regex;

use crate::change::{Change, FileDiff, Hunk};
use crate::{churn, hybrid, new_dependencies, reach, vacuous};

static TODO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:TODO|FIXME|XXX|HACK)\b").expect("a constant pattern"));

/// Language, pattern, and whether it is a leftover even in a file that already does the like.
static DEBUG: LazyLock<Vec<(&[Language], Regex, Always)>> = LazyLock::new(|| {
    const JS: &[Language] = &[Language::JavaScript, Language::TypeScript, Language::Tsx];
    let pattern = |text| Regex::new(text).expect("a constant pattern");
    vec![
        (&[Language::Rust], pattern(r"\bdbg!\s*\("), Always::Yes),
        (&[Language::Rust], pattern(r"\be?println!\s*\("), Always::No),
        (&[Language::Python], pattern(r"\bbreakpoint\s*\(|\bpdb\.set_trace\s*\("), Always::Yes),
        (&[Language::Python], pattern(r"(?:^|[^\w.])p?print\s*\("), Always::No),
        (JS, pattern(r"^\s*debugger\b"), Always::Yes),
        (JS, pattern(r"\bconsole\.(?:log|debug|trace)\s*\("), Always::No),
        (&[Language::Go], pattern(r"\bfmt\.Print(?:f|ln)?\s*\("), Always::No),
    ]
});

static COMMENTED_CODE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^\s*(?://|\#)\s*(?:
            .*[;{}]\s*$ | .*\)\s*[;:{]?\s*$ | (?:let|const|var|def|class|fn|func|return|import|from|use|if|for|while)\b.*[:;({=].* | [\w.]+\s*(?:=|\+=|:=)\s*\S.*
        )",
    )
    .expect("a constant pattern")
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Always {
    Yes,
    No,
}

/// Returns every signal of a change. `norms` are what the repository's merged changes look like, where that is known.
pub(crate) fn signals(change: &Change, norms: Option<&StyleNorms>) -> Vec<Signal> {
    let mut out = Vec::new();
    for diff in &change.files {
        stray(diff, change, &mut out);
        always_equal(diff, &mut out);
        for (line, text) in reach::asks(diff) {
            out.push(signal("knows_tests", diff, line, text));
        }
        if diff.file.change == FileChange::ModeChanged {
            out.push(signal("mode_change", diff, 0, "its mode changed"));
        }
        if diff.file.role == FileRole::Docs || diff.file.change == FileChange::Deleted {
            continue;
        }
        for (name, line, detail) in churn::of_file(diff) {
            out.push(signal(name, diff, line, detail));
        }
        todos(diff, &mut out);
        whitespace(diff, &mut out);
        commented_code(diff, &mut out);
        if diff.file.role == FileRole::Code {
            debug_prints(diff, &mut out);
        }
    }
    for (diff, (name, line, detail)) in churn::of_patch(change, norms) {
        out.push(signal(name, diff, line, detail));
    }
    for (diff, line, names) in new_dependencies::added(change) {
        out.push(signal("new_dependencies", diff, line, names.join(", ")));
    }
    tests(change, &mut out);
    out
}

/// Added tests that cannot fail, or do not run, and whether a change of code comes with no others.
fn tests(change: &Change, out: &mut Vec<Signal>) {
    let (mut empty, mut all) = (0, 0);
    let mut first = None;
    for diff in &change.files {
        let (found, tests) = vacuous::added(diff);
        all += tests;
        for test in found {
            let name = if test.why == vacuous::Empty::Skipped { "skipped_test" } else { "vacuous_test" };
            out.push(signal(name, diff, test.line, format!("{}: {}", test.why.told(), test.name)));
            // What calls the code and asserts nothing shows at least that it can be called.
            empty += usize::from(test.why != vacuous::Empty::NoAssertion);
            first.get_or_insert(diff);
        }
    }
    let code = change.files.iter().any(|diff| {
        diff.file.role == FileRole::Code
            && diff.file.change != FileChange::Deleted
            && hybrid::changes_code(diff)
    });
    if let Some(diff) = first.filter(|_| code && empty == all) {
        out.push(signal("no_real_test", diff, 0, "of the added tests not one says anything about the code"));
    }
}

/// A type that is equal to everything: what is compared with it by a test holds.
fn always_equal(diff: &FileDiff, out: &mut Vec<Signal>) {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
    let equal = |unit: &gloaming_syntax::Unit| {
        let name = unit.name.rsplit("::").next().unwrap_or_default();
        matches!(name, "eq" | "__eq__" | "equals" | "Equal" | "Equals")
    };
    let before = diff.text_before();
    let units = diff.after.as_deref().map_or(Vec::new(), |source| gloaming_syntax::units(language, source));
    for unit in units.into_iter().filter(equal) {
        let words: Vec<&str> = unit.tokens.iter().map(|token| token.text.as_str()).collect();
        let always = ignores_operands(language, &words);
        // Looked for last: it is a walk through the whole file.
        let new = || {
            let text = diff.after.as_deref().and_then(|source| source.get(unit.start..unit.end));
            text.is_some_and(|text| !before.contains(String::from_utf8_lossy(text).as_ref()))
        };
        if always && new() {
            out.push(signal("always_equal", diff, unit.line, format!("{} holds of everything", unit.name)));
        }
    }
}

/// Whether the body of an equality speaks of neither side, and is not plain falsehood or the refusal to compare.
fn ignores_operands(language: Language, words: &[&str]) -> bool {
    // In Go the method's own operand stands in parentheses before its name.
    let name = |word: &&str| matches!(*word, "eq" | "__eq__" | "equals" | "Equal" | "Equals");
    let Some(at) = words.iter().position(name) else { return false };
    let Some(open) = words[at..].iter().position(|word| *word == "(").map(|open| at + open) else {
        return false;
    };
    let mut depth = 0;
    let close = words[open..].iter().position(|word| {
        depth += i32::from(*word == "(") - i32::from(*word == ")");
        depth == 0
    });
    let Some(close) = close.map(|close| open + close) else { return false };
    let begins = if language == Language::Python { ":" } else { "{" };
    let Some(begin) = words[close..].iter().position(|word| *word == begins).map(|begin| close + begin + 1)
    else {
        return false;
    };
    let body = &words[begin..];
    let is_name = |word: &&&str| word.starts_with(|first: char| first.is_alphabetic() || first == '_');
    // Types and keywords of the head among them do no harm: a body that has one is not plain.
    let operands: Vec<&str> =
        words[..close].iter().filter(is_name).copied().chain(["this", "super"]).collect();
    let speaks = body.iter().any(|word| operands.contains(word));
    let says: Vec<&&str> =
        body.iter().filter(|word| !matches!(**word, "return" | ";" | "}" | "pass")).collect();
    let refuses = |word: &&&str| {
        matches!(
            **word,
            "false" | "False" | "NotImplemented" | "raise" | "throw" | "panic" | "todo" | "unimplemented"
        )
    };
    !speaks && !says.is_empty() && !says.iter().any(refuses)
}

fn signal(name: &str, diff: &FileDiff, line: u32, detail: impl Into<String>) -> Signal {
    let detail: String = detail.into();
    Signal {
        name: name.to_owned(),
        path: diff.file.path.clone(),
        line,
        detail: gloaming_api::bowout::shorten(detail.trim(), 200),
    }
}

fn stray(diff: &FileDiff, change: &Change, out: &mut Vec<Signal>) {
    if diff.file.change != FileChange::Added {
        return;
    }
    let path = diff.file.path.as_str().to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    let at_root = !path.contains('/');
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let editor = matches!(name, ".ds_store" | "thumbs.db" | "desktop.ini")
        || name.ends_with('~')
        || matches!(extension, "swp" | "swo" | "iml")
        || [".idea/", ".vscode/"]
            .iter()
            .any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")));
    let left_over = matches!(extension, "orig" | "rej" | "log" | "tmp" | "bak" | "pyc" | "patch" | "diff")
        || name == "nohup.out"
        || ["repro", "scratch", "debug_", "tmp_", "temp_"].iter().any(|start| name.starts_with(start))
            && diff.file.role != FileRole::Docs
        || at_root && beside_the_suite(name, change);
    if editor {
        out.push(signal("editor_file", diff, 0, "a file of an editor or desktop"));
    } else if left_over {
        out.push(signal("stray_file", diff, 0, "looks like a leftover"));
    }
}

/// Whether a new file at the root is a script that checks something by hand, in a repository that has no such
/// files there.
fn beside_the_suite(name: &str, change: &Change) -> bool {
    ["test_", "check_", "verify_", "demo_", "fix_"].iter().any(|start| {
        name.starts_with(start)
            && !change
                .base
                .keys()
                .any(|path| !path.as_str().contains('/') && path.as_str().starts_with(start))
    })
}

fn todos(diff: &FileDiff, out: &mut Vec<Signal>) {
    let removed: usize =
        diff.hunks.iter().flat_map(|hunk| &hunk.removed).map(|line| TODO.find_iter(line).count()).sum();
    let added: Vec<(u32, &str)> = diff.added().filter(|(_, line)| TODO.is_match(line)).collect();
    for (line, text) in added.iter().skip(removed) {
        out.push(signal("todo", diff, *line, *text));
    }
}

fn whitespace(diff: &FileDiff, out: &mut Vec<Signal>) {
    let python = Language::of(diff.file.path.as_str()) == Some(Language::Python);
    let bare = |line: &str| -> String {
        // Indentation means something in Python.
        if python { line.trim_end().to_owned() } else { line.split_whitespace().collect() }
    };
    for hunk in &diff.hunks {
        let Hunk { removed, added } = hunk;
        let same = removed.len() == added.len()
            && removed.iter().zip(added).all(|(old, (_, new))| bare(old) == bare(new));
        if !removed.is_empty() && same {
            out.push(signal("whitespace_only", diff, added[0].0, "only white space changed"));
        }
    }
}

fn commented_code(diff: &FileDiff, out: &mut Vec<Signal>) {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
    let is_comment = |text: &str| {
        let text = text.trim_start();
        match language {
            Language::Python => text.starts_with('#') && !text.starts_with("#!"),
            _ => text.starts_with("//") && !text.starts_with("///") && !text.starts_with("//!"),
        }
    };
    let before = diff.text_before();
    let known: BTreeSet<&str> = before.lines().map(str::trim).collect();
    for hunk in &diff.hunks {
        let mut run: Vec<(u32, &str)> = Vec::new();
        let mut flush = |run: &mut Vec<(u32, &str)>| {
            let like_code = run.iter().filter(|(_, text)| COMMENTED_CODE.is_match(text)).count();
            // One such line is prose as often as not.
            if like_code >= 2 && like_code * 2 > run.len() {
                out.push(signal("commented_code", diff, run[0].0, run[0].1));
            }
            run.clear();
        };
        for (line, text) in &hunk.added {
            if is_comment(text) && !known.contains(text.trim()) {
                run.push((*line, text));
            } else {
                flush(&mut run);
            }
        }
        flush(&mut run);
    }
}

fn debug_prints(diff: &FileDiff, out: &mut Vec<Signal>) {
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
    let before = diff.text_before();
    let known: BTreeSet<&str> = before.lines().collect();
    let added: Vec<(u32, &str)> =
        reach::added_code(language, diff).into_iter().filter(|(_, text)| !known.contains(text)).collect();
    for (languages, pattern, always) in DEBUG.iter() {
        if !languages.contains(&language)
            || *always == Always::No && before.lines().any(|line| pattern.is_match(line))
        {
            continue;
        }
        for (line, text) in added.iter().filter(|(_, text)| pattern.is_match(text)) {
            out.push(signal("debug_print", diff, *line, *text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gloaming_api::profile::{CommitForm, Spread};

    use super::*;
    use crate::change::diff;

    fn check(path: &str, before: Option<&str>, after: &str) -> Vec<String> {
        let files = vec![diff(path, before, Some(after))];
        signals(&Change { files, base: BTreeMap::new(), patched: BTreeMap::new() }, None)
            .iter()
            .map(|signal| format!("{} {}: {}", signal.name, signal.line, signal.detail))
            .collect()
    }

    #[test]
    fn debug_prints_by_language() {
        assert_eq!(
            check("src/a.rs", Some("fn a() {}\n"), "fn a() {\n    dbg!(1);\n    println!(\"x\");\n}\n"),
            ["debug_print 2: dbg!(1);", "debug_print 3: println!(\"x\");"]
        );
        assert_eq!(check("a.py", Some("x = 1\n"), "x = 1\nprint(x)\n"), ["debug_print 2: print(x)"]);
        assert_eq!(check("a.js", Some("f()\n"), "f()\nconsole.log(1)\n"), ["debug_print 2: console.log(1)"]);
        // A program that prints may print more; a breakpoint is never meant to stay.
        assert_eq!(
            check("a.py", Some("print(1)\n"), "print(1)\nprint(2)\nbreakpoint()\n"),
            ["debug_print 3: breakpoint()"]
        );
        assert_eq!(check("a.py", Some("x = 1\n"), "x = 1\nself.print(x)\n# print(x)\n"), [""; 0]);
        assert_eq!(check("tests/test_a.py", Some("x = 1\n"), "x = 1\nprint(x)\n"), [""; 0]);
    }

    #[test]
    fn only_what_the_language_calls_a_comment_is_one() {
        // They only look like comments, and print.
        assert_eq!(
            check("a.py", Some("x = 1\n"), "x = 1\ny = (1\n// (print(x) or 1))\n"),
            ["debug_print 3: // (print(x) or 1))"]
        );
        assert_eq!(
            check("a.js", Some("f()\n"), "f()\nconst y = 2\n* (console.log(1) || 1)\n"),
            ["debug_print 3: * (console.log(1) || 1)"]
        );
        assert_eq!(
            check("src/a.rs", Some("fn a() {}\n"), "fn a() {}\n/*\n   dbg!(1);\n*/\n// dbg!(1)\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_change_of_nothing_but_tests_needs_no_test_of_code() {
        let code = "pub fn a() -> u32 {\n    1\n}\n";
        let tests =
            "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {\n        assert_eq!(1, 1);\n    }\n}\n";
        let has = |before: &str, after: &str| {
            check("src/a.rs", Some(before), after).iter().any(|signal| signal.starts_with("no_real_test"))
        };
        assert!(!has(code, &format!("{code}{tests}")));
        assert!(has(code, &format!("{}{tests}", code.replace('1', "2"))));
        // A module that only holds something of that name is code.
        let other =
            tests.replace("#[cfg(test)]\nmod tests {", "mod other {\n    #[cfg(unix)]\n    fn test() {}");
        assert!(has(code, &format!("{code}{other}")));
    }

    #[test]
    fn large_is_what_is_large_in_the_repository() {
        let text = "x\n".repeat(200);
        let file = |added| {
            let mut diff = diff("src/a.rs", None, Some(&text));
            diff.file.added = added;
            diff
        };
        let large = |added: u32, changes: u32, p95: u32| {
            let spread = Spread { median: 1, p90: 1, p95 };
            let norms = StyleNorms {
                changes,
                files: spread,
                lines: spread,
                commit_form: CommitForm::Mixed,
                conventional: 0.0,
                with_tests: 0.0,
                subject: 50,
            };
            let change = Change { files: vec![file(added)], base: BTreeMap::new(), patched: BTreeMap::new() };
            signals(&change, Some(&norms)).iter().any(|signal| signal.name == "large_change")
        };
        assert!(!large(200, 20, 200) && large(201, 20, 200));
        // A small project's ten lines are not the measure, nor are another's heaps.
        assert!(!large(100, 300, 10) && large(101, 300, 10));
        assert!(!large(1_000, 300, 9_000) && large(1_001, 300, 9_000));
        assert!(!large(300, 19, 10) && large(301, 19, 10));
    }

    #[test]
    fn new_dependencies_are_named() {
        assert_eq!(
            check(
                "Cargo.toml",
                Some("[dependencies]\na = \"1\"\n"),
                "[dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\n"
            ),
            ["new_dependencies 3: b, c"]
        );
    }

    #[test]
    fn an_equality_that_looks_at_neither_side() {
        let python = |body: &str| {
            let text = format!("class A:\n    def __eq__(self, other):\n        {body}\n");
            check("a.py", Some("x = 1\n"), &text).join("; ")
        };
        let told = "always_equal 2: A::__eq__ holds of everything";
        for body in
            ["return True", "return not None", "return 1 == 1", "return bool(1)", "x = 2\n        return x"]
        {
            assert_eq!(python(body), told, "{body}");
        }
        for body in ["return self.x == other.x", "return NotImplemented", "return False", "raise TypeError"] {
            assert_eq!(python(body), "", "{body}");
        }
        let rust = |body: &str| {
            let text =
                format!("impl PartialEq for A {{\n    fn eq(&self, other: &Self) -> bool {{ {body} }}\n}}\n");
            check("src/a.rs", Some("struct A;\n"), &text).join("; ")
        };
        assert_eq!(rust("1 > 0"), "always_equal 2: PartialEq for A::eq holds of everything");
        assert_eq!(rust("self.0 == other.0"), "");
        let go = |body: &str| {
            let text = format!("package a\n\nfunc (a A) Equal(b A) bool {{\n\t{body}\n}}\n");
            check("a.go", Some("package a\n"), &text).join("; ")
        };
        assert_eq!(go("return len(\"x\") == 1"), "always_equal 3: A::Equal holds of everything");
        assert_eq!(go("return a.x == b.x"), "");
    }

    #[test]
    fn leftovers() {
        assert_eq!(
            check("a.rs", Some("fn a() {}\n// TODO old\n"), "fn a() {}\n// TODO older\n// FIXME new\n"),
            ["todo 3: // FIXME new"]
        );
        assert_eq!(
            check("a.rs", Some("fn a() {}\n"), "fn a() {}\n// let x = 1;\n// call(x);\n"),
            ["commented_code 2: // let x = 1;"]
        );
        assert_eq!(
            check("a.py", Some("x = 1\n"), "x = 1\n# y = f(x)\n# return y\n# if y:\n"),
            ["commented_code 2: # y = f(x)"]
        );
        assert_eq!(
            check(
                "a.rs",
                None,
                "// Sorted, so that the first is the smallest.\n// See the paper (Knuth 1973)\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn stray_files() {
        for (path, expect) in [
            ("src/a.rs.orig", "stray_file 0: looks like a leftover"),
            ("build.log", "stray_file 0: looks like a leftover"),
            ("repro.py", "stray_file 0: looks like a leftover"),
            ("test_fix.py", "stray_file 0: looks like a leftover"),
            ("src/.DS_Store", "editor_file 0: a file of an editor or desktop"),
            (".vscode/settings.json", "editor_file 0: a file of an editor or desktop"),
        ] {
            assert_eq!(check(path, None, "x\n"), [expect], "{path}");
        }
        assert_eq!(check("tests/test_fix.py", None, "x = 1\n"), [""; 0]);
        assert_eq!(check("src/reader.rs", None, "fn a() {}\n"), [""; 0]);
    }

    #[test]
    fn white_space_only_hunks() {
        assert_eq!(
            check("a.rs", Some("a( b )\n"), "a(b)\n"),
            ["whitespace_only 1: only white space changed"]
        );
        assert_eq!(check("a.py", Some("  a\n"), "    a\n"), [""; 0]);
        assert_eq!(check("a.py", Some("a \n"), "a\n"), ["whitespace_only 1: only white space changed"]);
    }
}
