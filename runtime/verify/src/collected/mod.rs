//! Files of tests by configuration: what a runner is told to collect, whatever it is called.
//!
//! By its name alone such a file would be one of code, and nobody would ask whether its tests say what they said.

mod node;
mod patterns;
mod python;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_api::profile::{Command, CommandKind, Profile, TestRunner};
use regex::Regex;
use toml::{Table, Value};

use crate::change::{Change, FileDiff};
use crate::named::is_foreign;
use python::Pytest;

/// The largest configuration that is looked through, bytes.
const LARGEST: usize = 1 << 20;
/// The most words that are taken from one command or option.
const MOST: usize = 200;
/// The most patterns that are taken from a repository: each costs time to make and to look with.
const MOST_PATTERNS: usize = 2000;

/// Reads a file of the base.
type Read<'a> = &'a dyn Fn(&RelPath) -> Option<String>;

/// What a repository's configuration has collected.
#[derive(Default)]
struct Collected {
    patterns: Vec<Pattern>,
    /// How many patterns there were, those that cannot be read too.
    tried: usize,
    /// By their own paths.
    files: BTreeSet<RelPath>,
    pytest: Pytest,
}

/// A pattern of a configuration.
struct Pattern {
    matches: Regex,
    part: Part,
    /// A file has to be within one of these to count; anywhere where there are none.
    below: Vec<RelPath>,
    tests: Tests,
}

/// What of a file a pattern is held against.
#[derive(Clone, Copy)]
enum Part {
    Name,
    Path,
    /// The path with a slash before it, as if it were a whole one.
    Rooted,
}

/// How a file's text shows that it has tests: a pattern of a configuration may take in all code there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tests {
    Python,
    JavaScript,
}

/// Makes changed files of code that the base's configuration has collected ones of tests.
pub(crate) fn mark(change: &mut Change, profile: &Profile, read: Read<'_>) {
    // Nothing of code means nothing to look for.
    if change.files.iter().any(|diff| diff.file.role == FileRole::Code) {
        let base = change.base.keys().cloned().collect();
        let collected = Collected::of(&base, profile, read);
        collected.mark(&mut change.files);
    }
}

impl Collected {
    fn of(base: &BTreeSet<RelPath>, profile: &Profile, read: Read<'_>) -> Self {
        let mut found = Self::default();
        let read = |path: &RelPath| read(path).filter(|text| text.len() <= LARGEST);
        for path in base.iter().filter(|path| !is_foreign(path)) {
            let Some(name) = path.name() else { continue };
            let folder = path.parent().unwrap_or_else(RelPath::root);
            let text = || read(path).unwrap_or_default();
            match name {
                "pytest.ini" | ".pytest.ini" | "pytest.toml" | ".pytest.toml" | "tox.ini" | "setup.cfg"
                | "pyproject.toml" => found.pytest_config(path, base, &text()),
                "Cargo.toml" => found.cargo(&folder, &text()),
                "package.json" => found.package_json(&folder, &text(), &read),
                name if name.starts_with(".mocharc.") => {
                    found.script_config(&folder, node::MOCHA, &text());
                }
                name if name.starts_with("jest.config.") => {
                    found.script_config(&folder, node::JEST, &text());
                }
                name if ["vitest.config.", "vitest.workspace.", "vite.config."]
                    .iter()
                    .any(|begin| name.starts_with(begin)) =>
                {
                    found.script_config(&folder, node::VITEST, &COVERAGE.replace_all(&text(), ""));
                }
                name if name.ends_with(".rs") && gloaming_workspace::role(path) == FileRole::Test => {
                    found.modules_elsewhere(&folder, base, &text());
                }
                _ => {}
            }
        }
        for command in profile.commands.iter().filter(|command| command.kind == CommandKind::Test) {
            found.command(command, base, &read);
        }
        found.pytest_patterns();
        found
    }

    fn command(&mut self, command: &Command, base: &BTreeSet<RelPath>, read: Read<'_>) {
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        match command.runner {
            Some(TestRunner::Unittest) => self.unittest(&command.cwd, base, &words),
            Some(TestRunner::Pytest) => {
                let more = command.env.get("PYTEST_ADDOPTS").map(String::as_str).unwrap_or_default();
                let words: Vec<&str> = words.into_iter().chain(more.split_whitespace()).collect();
                for path in self.pytest_words(&command.cwd, base, &words) {
                    if let Some(text) = read(&path) {
                        self.pytest_config(&path, base, &text);
                    }
                }
            }
            Some(TestRunner::NodeTest | TestRunner::Jest | TestRunner::Vitest | TestRunner::Mocha) => {
                self.scripts(&command.cwd, &words, read);
            }
            _ => {}
        }
    }

    fn mark(&self, files: &mut [FileDiff]) {
        for diff in files.iter_mut().filter(|diff| diff.file.role == FileRole::Code) {
            let sides = [diff.before.as_deref(), diff.after.as_deref()];
            // The side that was there decides: a file of tests does not become one of code by losing them.
            let text = sides.into_iter().flatten().next().map(String::from_utf8_lossy).unwrap_or_default();
            if self.has(&diff.file.path, &text) {
                diff.file.role = FileRole::Test;
            }
        }
    }

    fn has(&self, path: &RelPath, text: &str) -> bool {
        let rooted = format!("/{path}");
        let fits = |pattern: &&Pattern| {
            let part = match pattern.part {
                Part::Name => path.name().unwrap_or_default(),
                Part::Path => path.as_str(),
                Part::Rooted => &rooted,
            };
            pattern.matches.is_match(part)
                && (pattern.below.is_empty() || pattern.below.iter().any(|folder| path.is_within(folder)))
        };
        // The text is looked through last, and once.
        let fitting = |tests: Tests| {
            self.patterns.iter().filter(|pattern| pattern.tests == tests).any(|pattern| fits(&pattern))
        };
        self.files.contains(path)
            || [Tests::Python, Tests::JavaScript]
                .into_iter()
                .any(|tests| tests.may_be_in(path) && fitting(tests) && self.are_in(tests, text))
    }

    fn are_in(&self, tests: Tests, text: &str) -> bool {
        match tests {
            Tests::Python => self.pytest.finds().is_match(text),
            Tests::JavaScript => JAVASCRIPT.is_match(text),
        }
    }

    fn add(
        &mut self,
        matches: impl FnOnce() -> Option<Regex>,
        part: Part,
        below: Vec<RelPath>,
        tests: Tests,
    ) {
        self.tried += 1;
        if self.tried <= MOST_PATTERNS
            && let Some(matches) = matches()
        {
            self.patterns.push(Pattern { matches, part, below, tests });
        }
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
}

impl Tests {
    fn may_be_in(self, path: &RelPath) -> bool {
        let ends = match self {
            Self::Python => &[".py"][..],
            Self::JavaScript => SCRIPTS,
        };
        ends.iter().any(|end| path.as_str().ends_with(end))
    }
}

const SCRIPTS: &[&str] = &[".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts"];

/// A call of what makes a test, or a runner's library, whatever its parts are called here.
static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?m)^[ \t]*(?:await[ \t]+)?(?:test|it|describe|suite|specify)(?:\.\w+)*\(|(?:\brequire\(|\bfrom|\bimport)\s*["'](?:node:test|@jest/globals|vitest|mocha|bun:test)["']"#,
    )
});
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"#\[\s*path\s*=\s*"([^"\n]{1,300}\.rs)"\s*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub\s*)?mod\b"#)
});
/// What is measured is no list of tests.
static COVERAGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bcoverage\s*:\s*\{[^{}]*\}"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
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
        let role = diff(path, Some(text), Some("x\n")).file.role;
        assert_eq!(role, FileRole::Code, "{path} is one by its name");
        collected(config, command, path).has(&RelPath::parse(path).unwrap(), text)
    }

    fn collected(config: (&str, &str), command: Option<(TestRunner, &str)>, path: &str) -> Collected {
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
        Collected::of(&base, &profile, &read)
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
    fn pytest_by_all_that_it_is_told() {
        let pytest = |line| Some((TestRunner::Pytest, line));
        for (config, command) in [
            (("pytest.ini", "[pytest]\npython_files = c_[a-z]*.py\n"), None),
            // Where it looks is only a default.
            (
                ("pytest.ini", "[pytest]\npython_files = c_*.py\ntestpaths = unit\n"),
                pytest("pytest unit checks"),
            ),
            (("pytest.ini", "[pytest]\npython_files = *.py\n"), pytest("python3 -m pytest -q checks")),
            (("pytest.ini", "[pytest]\npython_files = *.py\ntestpaths = ch*s\n"), None),
            (("pytest.ini", "[pytest]\npython_files = *.py\naddopts = checks\n"), None),
            (("pytest.ini", "[pytest]\ntestpaths = checks/c_*.py\n"), None),
            (("pytest.ini", "[pytest]\naddopts = -o python_files=c_*.py\n"), None),
            (("pytest.toml", "[pytest]\npython_files = [\"c_*.py\"]\n"), None),
            (("pyproject.toml", "[tool.pytest]\npython_files = [\"c_*.py\"]\n"), None),
            (("ci/all.ini", "[pytest]\npython_files = c_*.py\n"), pytest("pytest -c ci/all.ini --rootdir .")),
            (("README.md", ""), pytest("pytest -o python_files=c_*.py")),
        ] {
            // What a configuration of its own says holds where it lies.
            let path = if config.0.starts_with("ci/") { "ci/c_core.py" } else { "checks/c_core.py" };
            assert!(check(config, command, path, PYTHON), "{config:?} {command:?}");
            assert!(!check(config, command, "calc/core.py", PYTHON), "{config:?} {command:?}");
            assert!(!check(config, command, path, "def add(): pass\n"), "{config:?} {command:?}")
        }
        // A file that it is given is one of tests without more.
        for config in ["addopts = -q\n  --ignore x checks/c_core.py\n", "testpaths = checks/c_core.py unit\n"]
        {
            let config = format!("[pytest]\n{config}");
            assert!(
                check(("pytest.ini", &config), None, "checks/c_core.py", "from a import *\n"),
                "{config}"
            );
            assert!(!check(("pytest.ini", &config), None, "calc/core.py", PYTHON), "{config}");
        }
        // Neither says where the tests are: what is known of them is in the report.
        for line in ["pytest .", "pytest"] {
            let all = ("pytest.ini", "[pytest]\npython_files = *.py\ntestpaths = .\n");
            assert!(!check(all, pytest(line), "checks/a.py", PYTHON));
        }
        let ignored = pytest("pytest --ignore checks");
        assert!(!check(("pytest.ini", "[pytest]\npython_files = *.py\n"), ignored, "checks/a.py", PYTHON));
    }

    #[test]
    fn pytest_by_the_names_of_functions_and_classes() {
        let with = |more: &str, text: &str| {
            let config = format!("[pytest]\npython_files = check_*.py\n{more}");
            check(("pytest.ini", &config), None, "calc/check_core.py", text)
        };
        let function = "def check_add():\n    assert add(1, 2) == 3\n";
        assert!(with("python_functions = check_* test_*\n", function));
        assert!(with("python_functions = check\n", function));
        assert!(with("python_functions = *_add\n", function));
        assert!(!with("python_functions = *_ad\n", function));
        assert!(!with("", function));
        let class = "class SumsSuite:\n    def adds(self):\n        assert add(1, 2) == 3\n";
        assert!(with("python_classes = *Suite\n", class));
        assert!(!with("python_classes = Suite\n", class));
    }

    #[test]
    fn unittest_by_its_command() {
        let line = "python3 -m unittest discover -s checks -p *_checks.py";
        let runs = Some((TestRunner::Unittest, line));
        let text = "class A(unittest.TestCase):\n    def test_a(self): pass\n";
        assert!(check(("README.md", ""), runs, "checks/a_checks.py", text));
        assert!(!check(("README.md", ""), runs, "calc/a_checks.py", text));
        assert!(!check(("README.md", ""), runs, "checks/a.py", text));
        for line in [
            "python3 -m unittest checks.core.Sums",
            "python3 -m unittest -v checks/core.py",
            "python3 -m unittest discover checks c*.py .",
            "python3 -m unittest discover checks -vpc*.py",
            "python3 -m unittest discover -schecks --pat c[ao]*.py -t .",
            "python3 -m unittest discover --start-directory=checks -p c*.py",
        ] {
            let runs = Some((TestRunner::Unittest, line));
            assert!(check(("README.md", ""), runs, "checks/core.py", text), "{line}");
            assert!(!check(("README.md", ""), runs, "calc/core.py", text), "{line}");
        }
        let all = Some((TestRunner::Unittest, "python3 -m unittest discover -p *.py"));
        assert!(!check(("README.md", ""), all, "checks/core.py", text));
        let package = Some((TestRunner::Unittest, "python3 -m unittest checks"));
        assert!(check(("README.md", ""), package, "checks/__init__.py", text));
        assert!(!check(("README.md", ""), package, "checks/__init__.py", "from .core import add\n"));
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
            // A folder is all that is in it.
            (".mocharc.yml", "spec: checks\n"),
            ("package.json", r#"{"scripts": {"test": "npm run unit", "unit": "node --test checks/"}}"#),
            ("package.json", r#"{"scripts": {"test": "c8 mocha --require x.js checks"}}"#),
            ("package.json", r#"{"jest": {"projects": [{"testMatch": ["<rootDir>/checks/*.js"]}]}}"#),
            ("package.json", r#"{"scripts": {"test": "jest --testRegex '/checks/.*'"}}"#),
            ("package.json", r#"{"scripts": {"test": "jest --testMatch=**/*.checks.js"}}"#),
            ("package.json", r#"{"scripts": {"test": "mocha checks/[!_]*.js"}}"#),
        ] {
            assert!(check(config, None, "checks/a.checks.js", SCRIPT), "{config:?}");
            assert!(!check(config, None, "checks/a.checks.js", "module.exports = 1;\n"), "{config:?}");
            assert!(!check(config, None, "src/a.js", SCRIPT), "{config:?}");
        }
        // Any file with tests, where an expression cannot be read here.
        let behind = ("jest.config.js", "module.exports = { testRegex: '(?<=/checks/).*' };\n");
        assert!(check(behind, None, "checks/a.js", SCRIPT));
        assert!(!check(behind, None, "checks/a.js", "module.exports = 1;\n"));
        let runs = Some((TestRunner::NodeTest, "node --test checks/a.js"));
        assert!(check(("README.md", ""), runs, "checks/a.js", SCRIPT));
        let renamed = "const { test: check } = require('node:test');\ncheck('a', () => {});\n";
        assert!(check(("README.md", ""), runs, "checks/a.js", renamed));
        let other = ("ci/jest.json", r#"{"rootDir": "..", "testMatch": ["<rootDir>/checks/*.js"]}"#);
        let runs = Some((TestRunner::Jest, "npx jest -c ci/jest.json"));
        assert!(check(other, runs, "checks/a.js", SCRIPT));
        assert!(!check(other, None, "checks/a.js", SCRIPT));
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
        let mut files = [
            diff("calc/checks_a.py", Some(PYTHON), Some("x = 1\n")),
            diff("calc/checks_b.py", None, Some(PYTHON)),
            diff("calc/checks_c.py", Some("x = 1\n"), Some(PYTHON)),
            diff("calc/a.py", None, Some(PYTHON)),
        ];
        let config = ("pytest.ini", "[pytest]\npython_files = checks_*.py\n");
        collected(config, None, "calc/checks_a.py").mark(&mut files);
        let roles: Vec<FileRole> = files.iter().map(|diff| diff.file.role).collect();
        assert_eq!(roles, [FileRole::Test, FileRole::Test, FileRole::Code, FileRole::Code]);
    }
}
