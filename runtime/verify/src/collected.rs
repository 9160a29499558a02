//! Files of tests by configuration: what a runner is told to collect, whatever it is called.
//!
//! By its name alone such a file would be one of code, and nobody would ask whether its tests say what they said.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_api::profile::{CommandKind, Profile, TestRunner};
use regex::Regex;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::change::Change;

/// The largest configuration that is looked through, bytes.
const LARGEST: usize = 1 << 20;
/// The most patterns that are taken from a repository.
const MOST: usize = 200;

/// Reads a file of the base.
type Read<'a> = &'a dyn Fn(&RelPath) -> Option<String>;

/// What a repository's configuration has collected.
#[derive(Default)]
struct Collected {
    patterns: Vec<Pattern>,
    /// By their own paths.
    files: BTreeSet<RelPath>,
}

/// A pattern of a configuration.
struct Pattern {
    matches: Regex,
    /// Whether a file has to be below one of these to count; anywhere where there are none.
    below: Vec<RelPath>,
    /// Whether only the file's own name is looked at.
    by_name: bool,
    tests: Tests,
}

/// How a file's text shows that it has tests: a pattern of a configuration may take in all code there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tests {
    Python,
    JavaScript,
}

/// Makes changed files of code that the base's configuration has collected ones of tests.
pub(crate) fn mark(change: &mut Change, profile: &Profile, read: Read<'_>) {
    let base: BTreeSet<RelPath> = change.base.keys().cloned().collect();
    // Nothing of code means nothing to look for.
    if !change.files.iter().any(|diff| diff.file.role == FileRole::Code) {
        return;
    }
    let collected = Collected::of(&base, profile, read);
    for diff in change.files.iter_mut().filter(|diff| diff.file.role == FileRole::Code) {
        let path = &diff.file.path;
        let sides = [diff.before.as_deref(), diff.after.as_deref()];
        // The side that was there decides: a file of tests does not become one of code by losing them.
        let text = sides.into_iter().flatten().next().map(String::from_utf8_lossy).unwrap_or_default();
        if collected.has(path, &text) {
            diff.file.role = FileRole::Test;
        }
    }
}

impl Collected {
    fn of(base: &BTreeSet<RelPath>, profile: &Profile, read: Read<'_>) -> Self {
        let mut found = Self::default();
        let read = |path: &RelPath| read(path).filter(|text| text.len() <= LARGEST);
        for path in base {
            let foreign =
                path.names().any(|name| matches!(name, "node_modules" | "vendor" | "site-packages"));
            let Some(name) = path.name().filter(|_| !foreign) else { continue };
            let folder = path.parent().unwrap_or_else(RelPath::root);
            let text = || read(path).unwrap_or_default();
            match name {
                "pytest.ini" | ".pytest.ini" | "tox.ini" | "setup.cfg" => {
                    found.pytest_ini(&folder, name, &text())
                }
                "pyproject.toml" => found.pyproject(&folder, &text()),
                "Cargo.toml" => found.cargo(&folder, &text()),
                "package.json" => found.package_json(&folder, &text()),
                ".mocharc.json" | ".mocharc.jsonc" | ".mocharc.yml" | ".mocharc.yaml" | ".mocharc.js"
                | ".mocharc.cjs" => found.quoted(&folder, "spec", &text()),
                name if name.starts_with("jest.config.") => {
                    for key in ["testMatch", "testRegex"] {
                        found.quoted(&folder, key, &text());
                    }
                }
                name if name.starts_with("vitest.config.") || name.starts_with("vite.config.") => {
                    found.quoted(&folder, "include", &COVERAGE.replace_all(&text(), ""));
                }
                name if name.ends_with(".rs") && gloaming_workspace::role(path) == FileRole::Test => {
                    found.modules_elsewhere(&folder, base, &text());
                }
                _ => {}
            }
        }
        for command in profile.commands.iter().filter(|command| command.kind == CommandKind::Test) {
            let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
            match command.runner {
                Some(TestRunner::Unittest) => found.unittest(&command.cwd, &words, base),
                Some(TestRunner::Pytest) => found.pytest_words(&command.cwd, &words, base),
                Some(TestRunner::NodeTest | TestRunner::Jest | TestRunner::Vitest | TestRunner::Mocha) => {
                    found.scripts(&command.cwd, &words);
                }
                _ => {}
            }
        }
        found
    }

    fn has(&self, path: &RelPath, text: &str) -> bool {
        self.files.contains(path)
            || self.patterns.iter().any(|pattern| {
                let looked_at = if pattern.by_name { path.name().unwrap_or_default() } else { path.as_str() };
                pattern.tests.are_in(path, text)
                    && pattern.matches.is_match(looked_at)
                    && (pattern.below.is_empty() || pattern.below.iter().any(|folder| is_below(path, folder)))
            })
    }

    fn add(&mut self, pattern: Option<Regex>, below: Vec<RelPath>, by_name: bool, tests: Tests) {
        if let Some(matches) = pattern.filter(|_| self.patterns.len() < MOST) {
            self.patterns.push(Pattern { matches, below, by_name, tests });
        }
    }

    /// `python_files` of pytest, with the folders that it looks in.
    fn pytest(&mut self, folder: &RelPath, patterns: &[String], places: &[String]) {
        let below: Vec<RelPath> = places.iter().filter_map(|place| folder.resolve(place)).collect();
        for pattern in patterns {
            // One that takes in all there is says nothing where it may be anywhere.
            if matches!(pattern.as_str(), "*.py" | "*") && below.is_empty() {
                continue;
            }
            let by_name = !pattern.contains('/');
            let under = if below.is_empty() { vec![folder.clone()] } else { below.clone() };
            let under = if under.iter().any(RelPath::is_root) { Vec::new() } else { under };
            self.add(fnmatch(pattern), under, by_name, Tests::Python);
        }
    }

    fn pytest_ini(&mut self, folder: &RelPath, name: &str, text: &str) {
        let section = if name == "setup.cfg" { "[tool:pytest]" } else { "[pytest]" };
        let mut inside = false;
        let mut key = String::new();
        let (mut patterns, mut places) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
            if line.starts_with('[') {
                inside = line.trim() == section;
                key.clear();
                continue;
            }
            let goes_on = line.starts_with([' ', '\t']);
            let said = match line.split_once(['=', ':']) {
                Some((name, value)) if !goes_on => {
                    key = name.trim().to_owned();
                    value
                }
                _ if goes_on => line,
                _ => continue,
            };
            let words = said.split_whitespace().map(str::to_owned);
            match key.as_str() {
                "python_files" if inside => patterns.extend(words),
                "testpaths" if inside => places.extend(words),
                _ => {}
            }
        }
        self.pytest(folder, &patterns, &places);
    }

    fn pyproject(&mut self, folder: &RelPath, text: &str) {
        let Ok(whole) = text.parse::<Table>() else { return };
        let options = || whole.get("tool")?.get("pytest")?.get("ini_options");
        let Some(options) = options() else { return };
        let list = |key: &str| -> Vec<String> {
            match options.get(key) {
                Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
                Some(Value::Array(list)) => {
                    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                _ => Vec::new(),
            }
        };
        self.pytest(folder, &list("python_files"), &list("testpaths"));
    }

    /// Targets of tests by paths of their own.
    fn cargo(&mut self, folder: &RelPath, text: &str) {
        let Ok(whole) = text.parse::<Table>() else { return };
        let targets = whole.get("test").and_then(Value::as_array).into_iter().flatten();
        let paths = targets.filter_map(|target| target.get("path")?.as_str());
        self.files.extend(paths.filter_map(|path| folder.resolve(path)));
    }

    /// Modules that a file of tests takes from a path of their own, unless the code has them too.
    fn modules_elsewhere(&mut self, folder: &RelPath, base: &BTreeSet<RelPath>, text: &str) {
        for found in PATH.captures_iter(text) {
            let Some(path) = folder.resolve(&found[1]).filter(|path| base.contains(path)) else { continue };
            if !path.names().any(|name| name == "src") {
                self.files.insert(path);
            }
        }
    }

    fn package_json(&mut self, folder: &RelPath, text: &str) {
        let Ok(manifest) = serde_json::from_str::<Json>(text) else { return };
        for (tool, key) in [("jest", "testMatch"), ("jest", "testRegex"), ("mocha", "spec")] {
            let said = &manifest[tool][key];
            let many = said.as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(said));
            for pattern in many.iter().filter_map(Json::as_str) {
                self.script_pattern(folder, key, pattern);
            }
        }
        let script = manifest["scripts"]["test"].as_str().unwrap_or_default();
        for command in script.split([';', '&', '|']) {
            let words: Vec<&str> = command.split_whitespace().collect();
            self.scripts(folder, &words);
        }
    }

    /// Files and patterns behind a runner's name.
    fn scripts(&mut self, folder: &RelPath, words: &[&str]) {
        let runs =
            |word: &&str| matches!(word.rsplit('/').next(), Some("mocha" | "--test" | "jest" | "vitest"));
        let Some(at) = words.iter().position(runs) else { return };
        let mut words = words[at + 1..].iter();
        while let Some(word) = words.next() {
            let word = word.trim_matches(['"', '\'']);
            if word.starts_with('-') {
                // What an option takes is loaded, or is no file.
                if !word.contains('=')
                    && matches!(word, "-r" | "--require" | "--import" | "-c" | "--config" | "--file")
                {
                    words.next();
                }
            } else if SCRIPTS.iter().any(|end| word.ends_with(end)) {
                self.script_pattern(folder, "spec", word);
            }
        }
    }

    /// The texts in quotes behind a key of a configuration that is code.
    fn quoted(&mut self, folder: &RelPath, key: &str, text: &str) {
        for found in KEY.captures_iter(text).filter(|found| &found[1] == key) {
            let list = found.get(2).map_or("", |list| list.as_str());
            let plain = !list.contains(['"', '\'', '`']);
            if plain {
                // YAML: one a line, or one beside the key.
                let lines = list.lines().map(|line| line.trim().trim_start_matches("- ").trim());
                for word in lines.filter(|word| !word.is_empty()) {
                    self.script_pattern(folder, key, word);
                }
            }
            for word in QUOTED.captures_iter(list) {
                self.script_pattern(folder, key, &word[1].replace("\\\\", "\\"));
            }
        }
    }

    fn script_pattern(&mut self, folder: &RelPath, key: &str, pattern: &str) {
        if key == "testRegex" {
            let matches = Regex::new(pattern).ok();
            return self.add(matches, Vec::new(), false, Tests::JavaScript);
        }
        if pattern.starts_with('!') {
            return;
        }
        let pattern = pattern.trim_start_matches("<rootDir>/").trim_start_matches("./");
        let whole = if folder.is_root() { pattern.to_owned() } else { format!("{folder}/{pattern}") };
        self.add(glob(&whole), Vec::new(), false, Tests::JavaScript);
    }

    /// `discover -s DIR -p PATTERN`, or modules by their names.
    fn unittest(&mut self, cwd: &RelPath, words: &[&str], base: &BTreeSet<RelPath>) {
        let value = |short: &str, long: &str| {
            words.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
                Some((name, value)) if name == long => Some(value),
                _ if *word == short || *word == long => words.get(at + 1).copied(),
                _ => None,
            })
        };
        if let Some(pattern) = value("-p", "--pattern") {
            let start = value("-s", "--start-directory").unwrap_or(".");
            let below = cwd.resolve(start).filter(|folder| !folder.is_root()).into_iter().collect();
            self.add(fnmatch(pattern.trim_matches(['"', '\''])), below, true, Tests::Python);
        }
        for word in words.iter().filter(|word| !word.starts_with('-')) {
            // A class or a method may stand behind the module.
            let parts: Vec<&str> = word.split('.').collect();
            let files = (1..=parts.len()).rev().filter_map(|length| {
                let direct = if *word == parts[..length].join(".") && word.ends_with(".py") {
                    Some((*word).to_owned())
                } else {
                    None
                };
                cwd.resolve(&direct.unwrap_or_else(|| format!("{}.py", parts[..length].join("/"))))
            });
            self.files.extend(files.filter(|path| base.contains(path)).take(1));
        }
    }

    /// Files that a command of pytest names.
    fn pytest_words(&mut self, cwd: &RelPath, words: &[&str], base: &BTreeSet<RelPath>) {
        let named = words.iter().filter(|word| !word.starts_with('-'));
        let files = named.filter_map(|word| cwd.resolve(word.split("::").next().unwrap_or(word)));
        self.files.extend(files.filter(|path| path.as_str().ends_with(".py") && base.contains(path)));
    }
}

impl Tests {
    fn are_in(self, path: &RelPath, text: &str) -> bool {
        match self {
            Self::Python => path.as_str().ends_with(".py") && PYTHON.is_match(text),
            Self::JavaScript => {
                SCRIPTS.iter().any(|end| path.as_str().ends_with(end)) && JAVASCRIPT.is_match(text)
            }
        }
    }
}

const SCRIPTS: &[&str] = &[".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts"];

static PYTHON: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+test|^class[ \t]+(?:Test|\w+Test\b|\w+Tests\b)|\bTestCase\b",
    )
});
static JAVASCRIPT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^[ \t]*(?:await[ \t]+)?(?:test|it|describe|suite|specify)(?:\.\w+)*\("));
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"#\[\s*path\s*=\s*"([^"\n]{1,300}\.rs)"\s*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub\s*)?mod\b"#)
});
static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["'`]([^"'`\n]{1,300})["'`]"#));
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?m)["']?\b(testMatch|testRegex|include|spec)["']?\s*:\s*(\[[^;]*?\][ \t]*(?:,|\}|;|$)|["'`][^"'`\n]*["'`]|(?:\n[ \t]*- [^\n]*)+|[^\s\[\]{}"'`,][^\n,{}]*)"#,
    )
});
/// What is measured is no list of tests.
static COVERAGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bcoverage\s*:\s*\{[^{}]*\}"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

fn is_below(path: &RelPath, folder: &RelPath) -> bool {
    path == folder || path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// A pattern of a shell in which `*` is any characters.
fn fnmatch(pattern: &str) -> Option<Regex> {
    let mut text = String::from("^");
    for letter in pattern.chars() {
        match letter {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            letter => text.push_str(&regex::escape(&letter.to_string())),
        }
    }
    Regex::new(&(text + "$")).ok()
}

/// A pattern as Node's tools have them: `**`, `{a,b}`, `[jt]s`, `?(x)`, `+(a|b)`.
fn glob(pattern: &str) -> Option<Regex> {
    let mut text = String::from("^");
    let mut open: Vec<&str> = Vec::new();
    let letters: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while let Some(letter) = letters.get(at).copied() {
        let next = letters.get(at + 1).copied();
        at += 1;
        match letter {
            '?' | '+' | '*' | '@' if next == Some('(') => {
                text.push_str("(?:");
                open.push(match letter {
                    '?' => ")?",
                    '+' => ")+",
                    '*' => ")*",
                    _ => ")",
                });
                at += 1;
            }
            '*' if next == Some('*') => {
                at += 1;
                if letters.get(at) == Some(&'/') {
                    at += 1;
                    text.push_str("(?:.*/)?");
                } else {
                    text.push_str(".*");
                }
            }
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '{' => {
                text.push_str("(?:");
                open.push("}");
            }
            '}' if open.last() == Some(&"}") => {
                open.pop();
                text.push(')');
            }
            ',' if open.last() == Some(&"}") => text.push('|'),
            ')' if open.last().is_some_and(|end| end.starts_with(')')) => text.push_str(open.pop()?),
            '|' if !open.is_empty() => text.push('|'),
            '[' | ']' => text.push(letter),
            '-' => text.push('-'),
            letter => text.push_str(&regex::escape(&letter.to_string())),
        }
    }
    if open.is_empty() { Regex::new(&(text + "$")).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gloaming_api::profile::{Command, Source};

    use super::*;
    use crate::change::diff;

    const PYTHON: &str = "def test_a():\n    assert a() == 1\n";
    const SCRIPT: &str = "test('a', () => {});\n";

    /// Whether a file counts as one of tests beside a configuration and a command.
    fn check(config: (&str, &str), command: Option<(TestRunner, &str)>, path: &str, text: &str) -> bool {
        let mut profile = Profile::empty();
        profile.commands.extend(command.map(|(runner, line)| Command {
            kind: CommandKind::Test,
            argv: line.split(' ').map(str::to_owned).collect(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            runner: Some(runner),
            source: Source { file: RelPath::parse("x").unwrap(), line: 1, because: String::new() },
            proof: None,
        }));
        let base: BTreeSet<RelPath> =
            [config.0, path].iter().map(|path| RelPath::parse(path).unwrap()).collect();
        let read = |asked: &RelPath| (asked.as_str() == config.0).then(|| config.1.to_owned());
        let role = diff(path, Some(text), Some("x\n")).file.role;
        assert_eq!(role, FileRole::Code, "{path} is one by its name");
        Collected::of(&base, &profile, &read).has(&RelPath::parse(path).unwrap(), text)
    }

    #[test]
    fn pytest_by_its_patterns() {
        for config in [
            ("pytest.ini", "[pytest]\npython_files = checks_*.py *_check.py\n"),
            ("setup.cfg", "[metadata]\nname = a\n[tool:pytest]\npython_files =\n    checks_*.py\n"),
            ("pyproject.toml", "[tool.pytest.ini_options]\npython_files = [\"checks_*.py\"]\n"),
        ] {
            assert!(check(config, None, "calc/checks_a.py", PYTHON), "{config:?}");
            assert!(!check(config, None, "calc/checks_a.py", "def add(a, b): pass\n"), "{config:?}");
            assert!(!check(config, None, "calc/core.py", PYTHON), "{config:?}");
        }
        let all = ("pytest.ini", "[pytest]\npython_files = *.py\ntestpaths = checks\n");
        assert!(check(all, None, "checks/a.py", PYTHON));
        assert!(!check(all, None, "calc/a.py", PYTHON));
        assert!(!check(("pytest.ini", "[pytest]\npython_files = *.py\n"), None, "calc/a.py", PYTHON));
        let none = ("README.md", "");
        assert!(check(none, Some((TestRunner::Pytest, "pytest checks/a.py")), "checks/a.py", PYTHON));
        assert!(!check(none, Some((TestRunner::Pytest, "pytest checks")), "calc/a.py", PYTHON));
    }

    #[test]
    fn unittest_by_its_command() {
        let line = "python3 -m unittest discover -s checks -p *_checks.py";
        let runs = Some((TestRunner::Unittest, line));
        let text = "class A(unittest.TestCase):\n    def test_a(self): pass\n";
        assert!(check(("README.md", ""), runs, "checks/a_checks.py", text));
        assert!(!check(("README.md", ""), runs, "calc/a_checks.py", text));
        assert!(!check(("README.md", ""), runs, "checks/a.py", text));
        let runs = Some((TestRunner::Unittest, "python3 -m unittest checks.core.Sums"));
        assert!(check(("README.md", ""), runs, "checks/core.py", text));
    }

    #[test]
    fn scripts_by_what_their_runner_is_given() {
        for config in [
            ("package.json", r#"{"jest": {"testMatch": ["**/?(*.)+(checks|proof).[jt]s?(x)"]}}"#),
            (
                "package.json",
                r#"{"scripts": {"test": "node --test --import ./x.js \"checks/**/*.checks.js\""}}"#,
            ),
            ("package.json", r#"{"mocha": {"spec": "checks/*.js"}}"#),
            ("jest.config.js", "module.exports = {\n  testMatch: ['<rootDir>/checks/**/*.js'],\n};\n"),
            ("jest.config.js", "module.exports = { testRegex: '\\\\.checks\\\\.js$' };\n"),
            (
                "vitest.config.ts",
                "export default { test: { include: ['checks/**/*.{js,ts}'], coverage: { include: ['src/**'] } } };\n",
            ),
            (".mocharc.yml", "spec:\n  - checks/*.js\n"),
            (".mocharc.json", r#"{"spec": ["checks/*.js"]}"#),
        ] {
            assert!(check(config, None, "checks/a.checks.js", SCRIPT), "{config:?}");
            assert!(!check(config, None, "checks/a.checks.js", "module.exports = 1;\n"), "{config:?}");
            assert!(!check(config, None, "src/a.js", SCRIPT), "{config:?}");
        }
        let runs = Some((TestRunner::NodeTest, "node --test checks/a.js"));
        assert!(check(("README.md", ""), runs, "checks/a.js", SCRIPT));
    }

    #[test]
    fn rust_by_paths_of_its_own() {
        let manifest = ("core/Cargo.toml", "[[test]]\nname = \"a\"\npath = \"checks/a.rs\"\n");
        assert!(check(manifest, None, "core/checks/a.rs", ""));
        assert!(!check(manifest, None, "checks/a.rs", ""));
        let tests = ("tests/a.rs", "#[path = \"../checks/close.rs\"]\nmod close;\n");
        assert!(check(tests, None, "checks/close.rs", ""));
        let tests = ("tests/a.rs", "#[path = \"../src/close.rs\"]\nmod close;\n");
        assert!(!check(tests, None, "src/close.rs", ""));
    }

    #[test]
    fn what_was_a_file_of_tests_does_not_become_one_of_code() {
        let config = "[pytest]\npython_files = checks_*.py\n";
        let path = |text: &str| RelPath::parse(text).unwrap();
        let mut change = Change {
            files: vec![
                diff("calc/checks_a.py", Some(PYTHON), Some("x = 1\n")),
                diff("calc/a.py", None, Some(PYTHON)),
            ],
            base: BTreeMap::new(),
            patched: BTreeMap::new(),
        };
        // The trees' entries are only made by git: the configuration is read by its path here.
        let base = BTreeSet::from([path("pytest.ini")]);
        let read = |_: &RelPath| Some(config.to_owned());
        let collected = Collected::of(&base, &Profile::empty(), &read);
        assert!(collected.has(&path("calc/checks_a.py"), &change.files[0].text_before()));
        mark(&mut change, &Profile::empty(), &read);
        assert_eq!(change.files[1].file.role, FileRole::Code);
    }
}
