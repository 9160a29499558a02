//! A test command narrowed to some of its tests, where the runner has an exact way to say which.
//!
//! What cannot be said exactly is not narrowed: the answer is none, and the whole suite runs.

use gloaming_api::RelPath;
use gloaming_api::profile::{Command, TestRunner};

use super::TreeView;

/// The most tests that are named in one command.
const MOST: usize = 200;

/// The most bytes of names in one command, well below what a kernel takes.
const MOST_BYTES: usize = 32 << 10;

/// Returns the command that runs these tests and, but for some that cannot be told from them, no others.
pub(crate) fn only(command: &Command, ids: &[&str], tree: &TreeView<'_>) -> Option<Command> {
    let bytes: usize = ids.iter().map(|id| id.len()).sum();
    if ids.is_empty() || ids.len() > MOST || bytes > MOST_BYTES {
        return None;
    }
    match command.runner? {
        TestRunner::Cargo => cargo(command, ids),
        TestRunner::Pytest => pytest(command, ids, tree),
        TestRunner::Unittest => unittest(command, ids),
        TestRunner::NodeTest => node(command, ids),
        TestRunner::GoTest => go(command, ids),
        TestRunner::Jest
        | TestRunner::Vitest
        | TestRunner::Mocha
        | TestRunner::Surefire
        | TestRunner::Gradle
        | TestRunner::Ctest => None,
    }
}

/// `cargo test ... -- --exact path path`. Documentation tests, executables with a harness of their own and crashes
/// have no path; a filter in the command would be joined by "or".
fn cargo(command: &Command, ids: &[&str]) -> Option<Command> {
    let mut paths = Vec::new();
    for id in ids {
        // `package::target::path`, where the target may be `tests/name`.
        let path = id.splitn(3, "::").nth(2)?;
        let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        if !plain || path.is_empty() {
            return None;
        }
        paths.push(path.to_owned());
    }
    let end = command.argv.iter().position(|word| word == "--").unwrap_or(command.argv.len());
    let filtered = |words: &[String]| words.iter().any(|word| !word.starts_with('-'));
    let at = command.argv[..end].iter().position(|word| word == "test" || word == "t")?;
    // A word behind a flag may be its value; behind none of those known it is a filter.
    let mut words = command.argv[at + 1..end].iter();
    while let Some(word) = words.next() {
        if ["-p", "--package", "--features", "-F", "--test", "--bin", "--manifest-path", "--exclude"]
            .contains(&word.as_str())
        {
            words.next();
        } else if !word.starts_with('-') {
            return None;
        }
    }
    if command.argv.get(end + 1..).is_some_and(filtered) {
        return None;
    }
    let mut argv = command.argv.clone();
    if end == argv.len() {
        argv.push("--".into());
    }
    argv.push("--exact".into());
    argv.extend(paths);
    Some(Command { argv, ..command.clone() })
}

/// `pytest file::Class::name` in the place of the command's own paths.
fn pytest(command: &Command, ids: &[&str], tree: &TreeView<'_>) -> Option<Command> {
    let at = command
        .argv
        .iter()
        .position(|word| matches!(word.rsplit('/').next().unwrap_or(word), "pytest" | "py.test"))?;
    let mut argv = command.argv[..=at].to_vec();
    for word in &command.argv[at + 1..] {
        if !word.starts_with('-') {
            // A path to collect from, which is replaced; a word that may be an option's value is not understood.
            let path = command.cwd.join(word.split("::").next()?.trim_end_matches('/')).ok()?;
            let inside = format!("{path}/");
            let known = tree.has(&path) || tree.files.iter().any(|file| file.as_str().starts_with(&inside));
            let value = argv.last().is_some_and(|last| last.starts_with('-') && !is_switch(last));
            if !known || value {
                return None;
            }
        } else if word == "--" {
            return None;
        } else {
            argv.push(word.clone());
        }
    }
    for id in ids {
        argv.push(node_id(id, &command.cwd, tree)?);
    }
    Some(Command { argv, ..command.clone() })
}

/// Options of pytest that take no value, or have it with them.
fn is_switch(option: &str) -> bool {
    option.contains('=')
        || matches!(option, "-q" | "-qq" | "-v" | "-vv" | "-s" | "-x" | "-l" | "--strict-markers" | "--quiet")
}

/// `tests.test_a.TestC::test_m` in the report is `tests/test_a.py::TestC::test_m` on the command line.
fn node_id(id: &str, cwd: &RelPath, tree: &TreeView<'_>) -> Option<String> {
    let (class, name) = id.split_once("::")?;
    let parts: Vec<&str> = class.split('.').collect();
    for length in (1..=parts.len()).rev() {
        let path = cwd.join(&format!("{}.py", parts[..length].join("/"))).ok()?;
        if tree.has(&path) {
            let shown = match cwd.is_root() {
                true => path.as_str(),
                false => path.as_str().strip_prefix(cwd.as_str())?.strip_prefix('/')?,
            };
            let mut words = vec![shown];
            words.extend(&parts[length..]);
            words.push(name);
            return Some(words.join("::"));
        }
    }
    None
}

/// Our own runner is told by a variable.
fn unittest(command: &Command, ids: &[&str]) -> Option<Command> {
    let mut narrowed = command.clone();
    narrowed.env.insert("GLOAMING_ONLY".into(), ids.join("\n"));
    Some(narrowed)
}

/// `node --test --test-name-pattern=...`: top-level tests, since a pattern is held against each name by itself.
/// Behind an npm script it cannot be said: Node refuses this option in `NODE_OPTIONS`.
fn node(command: &Command, ids: &[&str]) -> Option<Command> {
    let at = command.argv.iter().position(|word| word == "--test")?;
    if command.argv.first()?.rsplit('/').next() != Some("node")
        || command.argv.iter().any(|word| word.starts_with("--test-name-pattern"))
    {
        return None;
    }
    let mut names = Vec::new();
    for id in ids {
        let (_, name) = id.split_once(" > ")?;
        if name.contains(" > ") || name.contains(" #") {
            return None;
        }
        names.push(
            regex::escape(name)
                .replace("\\-", "-")
                .replace("\\#", "#")
                .replace("\\&", "&")
                .replace("\\~", "~"),
        );
    }
    let mut argv = command.argv.clone();
    argv.insert(at + 1, format!("--test-name-pattern=^(?:{})$", names.join("|")));
    Some(Command { argv, ..command.clone() })
}

/// `go test -run '^(TestA|TestB)$'`: a subtest is run by its parent.
fn go(command: &Command, ids: &[&str]) -> Option<Command> {
    let at = command
        .argv
        .windows(2)
        .position(|pair| pair[0].rsplit('/').next() == Some("go") && pair[1] == "test")?;
    if command
        .argv
        .iter()
        .any(|word| word.starts_with("-run") || word == "-args" || word.starts_with("-skip"))
    {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for id in ids {
        let name = id.split_once("::")?.1.split('/').next()?;
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    let mut argv = command.argv.clone();
    argv.insert(at + 2, format!("-run=^({})$", names.join("|")));
    Some(Command { argv, ..command.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::test_command;
    use super::*;

    fn check(runner: TestRunner, argv: &[&str], ids: &[&str]) -> String {
        let mut files: Vec<RelPath> = ["tests/test_a.py", "tests/unit/test_b.py", "setup.cfg"]
            .map(|path| RelPath::parse(path).unwrap())
            .to_vec();
        files.sort();
        let tree = TreeView { dir: std::path::Path::new("/nowhere"), files: &files };
        only(&test_command(runner, argv), ids, &tree).map_or("whole suite".into(), |command| {
            let env: Vec<String> = command.env.iter().map(|(k, v)| format!("{k}={v:?} ")).collect();
            format!("{}{}", env.concat(), command.argv.join(" "))
        })
    }

    #[test]
    fn each_runner() {
        use TestRunner::{Cargo, GoTest, Jest, NodeTest, Pytest, Unittest};
        let shown = [
            check(Cargo, &["cargo", "test"], &["demo::demo::tests::a", "demo::tests/it::b"]),
            check(Cargo, &["cargo", "test", "-p", "demo", "--", "--test-threads=1"], &["demo::demo::a"]),
            check(Cargo, &["cargo", "test", "some_filter"], &["demo::demo::a"]),
            check(Cargo, &["cargo", "test"], &["demo::doc::src/lib.rs - add #1"]),
            check(Cargo, &["cargo", "test"], &["demo::demo::(crashed)"]),
            check(Pytest, &["python3", "-m", "pytest", "-q", "tests"], &["tests.test_a.TestC::test_m[x y]"]),
            check(Pytest, &["pytest", "-k", "tests"], &["tests.test_a::t"]),
            check(Pytest, &["pytest", "-n", "4"], &["tests.test_a::t"]),
            check(Pytest, &["pytest"], &["tests.test_a::t", "tests.unit.test_b::u"]),
            check(Pytest, &["pytest"], &["nowhere.test_z::t"]),
            check(Unittest, &["python3", "-m", "unittest"], &["tests.test_u.A.test_ok", "b.B.c"]),
            check(NodeTest, &["node", "--test", "test/"], &["test/a.test.js > adds (a-b)"]),
            check(NodeTest, &["node", "--test"], &["test/a.test.js > group > inner"]),
            check(NodeTest, &["npm", "test"], &["test/a.test.js > adds"]),
            check(GoTest, &["go", "test", "./..."], &["x/p::TestSub/a_b", "x/p::TestSub/c", "x/q::TestA"]),
            check(GoTest, &["go", "test", "-run", "X", "./..."], &["x/p::TestSub"]),
            check(Jest, &["npx", "jest"], &["a.test.js > t"]),
        ];
        insta::assert_snapshot!(shown.join("\n"), @r#"
        cargo test -- --exact tests::a b
        cargo test -p demo -- --test-threads=1 --exact a
        whole suite
        whole suite
        whole suite
        python3 -m pytest -q tests/test_a.py::TestC::test_m[x y]
        whole suite
        whole suite
        pytest tests/test_a.py::t tests/unit/test_b.py::u
        whole suite
        GLOAMING_ONLY="tests.test_u.A.test_ok\nb.B.c" python3 -m unittest
        node --test --test-name-pattern=^(?:adds \(a-b\))$ test/
        whole suite
        whole suite
        go test -run=^(TestA|TestSub)$ ./...
        whole suite
        whole suite
        "#);
    }

    #[test]
    fn not_too_many() {
        let ids: Vec<String> = (0..=MOST).map(|n| format!("p::Test{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(check(TestRunner::GoTest, &["go", "test"], &ids), "whole suite");
        assert_eq!(check(TestRunner::GoTest, &["go", "test"], &[]), "whole suite");
    }
}
