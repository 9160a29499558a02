//! The untouched code with the patch's tests: what V5 runs.

use std::collections::BTreeSet;

use gloaming_api::RelPath;
use gloaming_api::evidence::{FileChange, FileRole};
use gloaming_syntax::{Language, UnitKind, tokens, units};

use crate::change::{Change, FileDiff};

/// Returns what makes the untouched tree one with the patch's tests: files to write, or to remove.
///
/// Test files are taken as they are. Of a Rust source file only its `#[cfg(test)]` modules are: they replace the
/// base's of the same name or are added behind its text. A new file of Rust is nothing but these, declared where the patch
/// declares it. Beside tests goes whatever else is no code, data above all: a test that only wants that is no test of the
/// code.
pub(crate) fn overlay(change: &Change) -> Vec<(RelPath, Option<Vec<u8>>)> {
    let is_new = |diff: &&FileDiff| is_rust_code(diff) && diff.file.change == FileChange::Added;
    let new: Vec<&FileDiff> = change.files.iter().filter(is_new).collect();
    let hold_tests =
        new.iter().any(|diff| !test_modules(diff.after.as_deref().unwrap_or_default()).is_empty());
    let modules: BTreeSet<&str> =
        new.iter().filter(|_| hold_tests).filter_map(|diff| module_of(&diff.file.path)).collect();
    let mut out = Vec::new();
    let mut rest = Vec::new();
    for diff in &change.files {
        let path = || diff.file.path.clone();
        match diff.file.role {
            FileRole::Test => out.push((path(), diff.after.clone())),
            FileRole::Code => {
                out.extend(inline_tests(diff, &modules).map(|content| (path(), Some(content))));
            }
            FileRole::Docs | FileRole::Other | FileRole::RunnerConfig => {
                rest.push((path(), diff.after.clone()))
            }
        }
    }
    let code = |diff: &FileDiff| diff.file.role == FileRole::Code && changes_code(diff);
    if !out.is_empty() && change.files.iter().any(code) {
        out.extend(rest);
    }
    out
}

fn is_rust_code(diff: &FileDiff) -> bool {
    diff.file.role == FileRole::Code && Language::of(diff.file.path.as_str()) == Some(Language::Rust)
}

/// The name by which a file of Rust is declared.
fn module_of(path: &RelPath) -> Option<&str> {
    match path.name()?.strip_suffix(".rs")? {
        "mod" => path.as_str().rsplit('/').nth(1),
        "lib" | "main" => None,
        name => Some(name),
    }
}

/// The declarations of new modules that a file gets.
fn declared(before: &[u8], after: &[u8], modules: &BTreeSet<&str>) -> String {
    let names = |source: &[u8]| -> BTreeSet<String> {
        let tokens: Vec<String> =
            tokens(Language::Rust, source).into_iter().map(|token| token.text).collect();
        let of_module = |words: &[String]| (words[0] == "mod" && words[2] == ";").then(|| words[1].clone());
        tokens.windows(3).filter_map(of_module).collect()
    };
    let old = names(before);
    let new = names(after).into_iter().filter(|name| !old.contains(name) && modules.contains(name.as_str()));
    new.map(|name| format!("\nmod {name};\n")).collect()
}

fn inline_tests(diff: &FileDiff, modules: &BTreeSet<&str>) -> Option<Vec<u8>> {
    let is_new = diff.file.change == FileChange::Added;
    if !is_rust_code(diff)
        || !(is_new || matches!(diff.file.change, FileChange::Modified | FileChange::ModeChanged))
    {
        return None;
    }
    let before = diff.before.as_deref().unwrap_or_default();
    let after = diff.after.as_deref()?;
    let old = test_modules(before);
    let mut out = before.to_vec();
    // From the end, so that the places before stay where they are.
    let mut replaced: Vec<(usize, usize, &[u8])> = Vec::new();
    let mut added: Vec<&[u8]> = Vec::new();
    for (name, start, end) in test_modules(after) {
        let text = after.get(start..end)?;
        match old.iter().find(|(old_name, ..)| *old_name == name) {
            Some((_, start, end)) => replaced.push((*start, *end, text)),
            None => added.push(text),
        }
    }
    replaced.sort_by_key(|(start, ..)| std::cmp::Reverse(*start));
    for (start, end, text) in replaced {
        out.splice(start..end, text.iter().copied());
    }
    for text in added {
        out.extend_from_slice(b"\n\n");
        out.extend_from_slice(text);
        out.push(b'\n');
    }
    if !modules.is_empty() {
        out.extend_from_slice(declared(before, after, modules).as_bytes());
    }
    let declares = module_of(&diff.file.path).is_some_and(|name| modules.contains(name));
    (out != before || is_new && declares).then_some(out)
}

/// Whether the change of a file of code is one beyond its `#[cfg(test)]` modules and blank lines.
pub(crate) fn changes_code(diff: &FileDiff) -> bool {
    if Language::of(diff.file.path.as_str()) != Some(Language::Rust) {
        return !diff.same_content();
    }
    let code = |source: &Option<Vec<u8>>| -> Vec<u8> {
        let source = source.as_deref().unwrap_or_default();
        let mut out = source.to_vec();
        for (_, start, end) in test_modules(source) {
            if let Some(module) = out.get_mut(start..end) {
                module.fill(b'\n');
            }
        }
        let lines = out.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b'\n')
    };
    code(&diff.before) != code(&diff.after)
}

/// Name, first byte (attributes included) and the byte behind the last of each top-level `#[cfg(test)]` module.
fn test_modules(source: &[u8]) -> Vec<(String, usize, usize)> {
    units(Language::Rust, source)
        .into_iter()
        .filter(|unit| unit.kind == UnitKind::Module && !unit.name.is_empty() && !unit.name.contains("::"))
        .filter(|unit| {
            // Its own attributes: what stands in the module says nothing of the module.
            let head: Vec<&str> = unit
                .tokens
                .iter()
                .map(|token| token.text.as_str())
                .take_while(|word| *word != "mod")
                .collect();
            head.contains(&"cfg")
                && head.contains(&"test")
                && !head.windows(3).any(|words| words == ["not", "(", "test"])
        })
        .map(|unit| (unit.name, unit.start, unit.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::change::diff;

    fn check(files: Vec<FileDiff>) -> String {
        let change = Change { files, base: BTreeMap::new(), patched: BTreeMap::new() };
        overlay(&change)
            .into_iter()
            .map(|(path, content)| match content {
                Some(content) => format!("== {path}\n{}", String::from_utf8(content).unwrap()),
                None => format!("== {path} removed\n"),
            })
            .collect()
    }

    #[test]
    fn test_files_cross_and_code_does_not() {
        assert_eq!(
            check(vec![
                diff("src/a.py", Some("a\n"), Some("b\n")),
                diff("tests/test_a.py", Some("a\n"), Some("b\n")),
                diff("tests/test_b.py", None, Some("new\n")),
                diff("tests/old.json", Some("x"), None),
                diff("README.md", Some("a\n"), Some("b\n")),
            ]),
            "== tests/test_a.py\nb\n== tests/test_b.py\nnew\n== tests/old.json removed\n== README.md\nb\n"
        );
        // Where nothing of the patch is code the rest is what the tests are about.
        let data = || diff("rates.csv", Some("1\n"), Some("2\n"));
        assert_eq!(
            check(vec![data(), diff("tests/test_a.py", Some("a\n"), Some("b\n"))]),
            "== tests/test_a.py\nb\n"
        );
        assert_eq!(check(vec![data(), diff("src/a.py", Some("a\n"), Some("b\n"))]), "");
    }

    #[test]
    fn a_new_rust_file_crosses_as_its_tests_alone() {
        let tests = "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
        assert_eq!(
            check(vec![
                diff("src/four.rs", None, Some(&format!("pub fn four() -> u8 {{\n    4\n}}\n\n{tests}"))),
                diff("src/lib.rs", Some("fn f() {}\n"), Some("fn f() {}\n\npub mod four;\nmod other;\n")),
            ]),
            format!("== src/four.rs\n\n\n{tests}== src/lib.rs\nfn f() {{}}\n\nmod four;\n")
        );
        // Without tests nothing crosses.
        let plain = diff("src/four.rs", None, Some("pub fn four() {}\n"));
        assert_eq!(check(vec![plain, diff("src/lib.rs", Some("\n"), Some("\nmod four;\n"))]), "");
    }

    #[test]
    fn of_a_rust_file_only_its_test_modules_cross() {
        let tests =
            |body: &str| format!("#[cfg(test)]\nmod tests {{\n    #[test]\n    fn t() {{ {body} }}\n}}\n");
        assert_eq!(
            check(vec![diff(
                "src/lib.rs",
                Some(&format!("fn f() -> u8 {{ 1 }}\n\n{}\nfn g() {{}}\n", tests("old();"))),
                Some(&format!("fn f() -> u8 {{ 2 }}\n\n{}\nfn g() {{}}\n", tests("new();")))
            )]),
            format!("== src/lib.rs\nfn f() -> u8 {{ 1 }}\n\n{}\nfn g() {{}}\n", tests("new();"))
        );
        assert_eq!(
            check(vec![diff(
                "src/lib.rs",
                Some("fn f() {}\n"),
                Some(&format!("fn f() {{ }}\n\n{}", tests("")))
            )]),
            format!("== src/lib.rs\nfn f() {{}}\n\n\n{}", tests(""))
        );
        // Nothing of the tests changed.
        assert_eq!(check(vec![diff("src/lib.rs", Some("fn f() {}\n"), Some("fn g() {}\n"))]), "");
        // A module that is no test's is code.
        let inner = |name: &str| format!("mod inner {{\n    pub fn {name}() {{}}\n}}\n");
        assert_eq!(check(vec![diff("src/lib.rs", Some(&inner("a")), Some(&inner("b")))]), "");
    }
}
