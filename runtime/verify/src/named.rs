//! Files that the base's configuration has loaded or run around the tests, whatever they are called: a build
//! script by another name, a plugin, a set-up file.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use regex::Regex;
use serde_json::Value;

use crate::change::Change;
use crate::runners::TreeView;
use crate::users::{self, Import, names, near};

/// Scripts of a package.json and targets of a Makefile that use the program and say nothing about its tests, unless another
/// one names them.
const STARTS: &[&str] = &[
    "start",
    "run",
    "dev",
    "serve",
    "server",
    "watch",
    "preview",
    "storybook",
    "demo",
    "example",
    "examples",
    "docs",
    "doc",
    "documentation",
    "site",
    "website",
    "bench",
    "benchmark",
    "clean",
    "release",
    "publish",
    "deploy",
    "shell",
    "repl",
];

/// Programs whose first plain argument is what they run.
pub(crate) const RUNS: &[&str] =
    &["node", "bash", "sh", "zsh", "python", "python3", "tsx", "ts-node", "bun", "deno"];

/// Options whose value is loaded.
const LOADS: &[&str] = &[
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "--config",
    "-c",
    "--setupFiles",
    "--globalSetup",
    "--reporter",
    "--test-reporter",
    "--test-global-setup",
    "--file",
];

static BUILD_SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)^[ \t]*build[ \t]*=[ \t]*["']([^"'\n]+)["']"#).expect("a constant pattern")
});

static PLUGIN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?:^|[\s"'=])-p[\s"',]*([A-Za-z_][\w.]*)"#).expect("a constant pattern"));

static PLUGINS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)\bpytest_plugins\s*=\s*(.{0,2000})").expect("a constant pattern"));

static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"["'`]([^"'`\n]{1,300})["'`]"#).expect("a constant pattern"));

/// What a conftest.py makes a hook by giving it the name.
static MADE_A_HOOK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^[ \t]*pytest_\w+[ \t]*=[ \t]*(?:[\w.]+\([ \t]*)*([A-Za-z_]\w*)")
        .expect("a constant pattern")
});

/// A list of dependencies that pip is given.
static LIST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:^|[\s"'=])(?:-r|-c|--requirement|--constraint)[ \t=]*["']?([\w./-]+\.(?:txt|in|pip))\b"#)
        .expect("a constant pattern")
});

/// Where the files of CI lie that run commands.
const CI_FOLDERS: &[&str] = &[".github/workflows/", ".circleci/", ".buildkite/"];

/// The head of a target.
static TARGET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^([A-Za-z][\w.-]*)[^:=\n]*:(?:[^=]|$)").expect("a constant pattern"));

/// So many files that a configuration has loaded are looked into.
const MOST_FOLLOWED: usize = 50;

/// The largest configuration that is looked through, bytes.
const LARGEST: usize = 1 << 20;

/// Returns the changed files that a file of configuration has loaded, each with that file.
pub(crate) fn named(change: &Change, tree: &TreeView<'_>) -> Vec<String> {
    let mut out = Vec::new();
    // One that the patch changes is looked at too: it may only describe the package otherwise, and still load this.
    let configures =
        |path: &&RelPath| gloaming_workspace::role(path) == FileRole::RunnerConfig && !is_foreign(path);
    for path in tree.files.iter().filter(configures) {
        let Some(text) = tree.read(path).filter(|text| text.len() <= LARGEST) else { continue };
        let loaded = loaded(path.name().unwrap_or_default(), &text);
        if loaded.is_empty() {
            continue;
        }
        // CI runs at the root.
        let is_ci = CI_FOLDERS.iter().any(|folder| path.as_str().starts_with(folder));
        let folder = path.parent().filter(|_| !is_ci).unwrap_or_else(RelPath::root);
        for diff in &change.files {
            // A file of tests that a runner is given is read as one; so it may get new tests.
            let counts = |loaded: &&Loaded| loaded.how == How::Loaded || diff.file.role != FileRole::Test;
            let fits = |loaded: &Loaded| names(&folder, &loaded.word, &diff.file.path);
            let alone = |loaded: &Loaded| {
                loaded.how != How::Imported || users::none_but(path, &diff.file.path, change, tree)
            };
            if diff.file.role != FileRole::RunnerConfig
                && loaded.iter().filter(counts).any(|loaded| fits(loaded) && alone(loaded))
            {
                out.push(format!("{} is loaded by {path}", diff.file.path));
            }
        }
        // What is loaded may load what lies beside it, and what it takes from another folder for itself alone.
        let set_ups = loaded.iter().filter(|loaded| loaded.how == How::Loaded);
        let files: Vec<&RelPath> = tree
            .files
            .iter()
            .filter(|file| set_ups.clone().any(|loaded| names(&folder, &loaded.word, file)))
            .take(MOST_FOLLOWED)
            .collect();
        for file in files {
            let here = file.parent().unwrap_or_else(RelPath::root);
            let Some(text) = tree.read(file).filter(|text| text.len() <= LARGEST) else { continue };
            let words = near(&text);
            for diff in change.files.iter().filter(|diff| diff.file.role != FileRole::RunnerConfig) {
                let target = &diff.file.path;
                let mut fits = words.iter().filter(|word| names(&here, word, target));
                if fits.any(|word| word.starts_with("./") || users::none_but(file, target, change, tree)) {
                    out.push(format!("{target} is loaded by {file}, which {path} has loaded"));
                }
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// What a configuration has loaded or run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loaded {
    word: String,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Into or before whatever runs the tests.
    Loaded,
    /// As a program of its own, or as what a runner is given to run.
    Run,
    /// By code that is run around the tests, which may use the product as well as what is its own.
    Imported,
}

impl Loaded {
    fn of(how: How) -> impl Fn(String) -> Self {
        move |word| Self { word, how }
    }
}

/// Whether a file is somebody else's that lies in the repository.
pub(crate) fn is_foreign(path: &RelPath) -> bool {
    path.names().any(|name| matches!(name, "node_modules" | "vendor" | "site-packages"))
}

/// What a file of configuration has loaded or run.
fn loaded(name: &str, text: &str) -> Vec<Loaded> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "cargo.toml" => BUILD_SCRIPT
            .captures_iter(text)
            .map(|found| found[1].to_owned())
            .map(Loaded::of(How::Run))
            .collect(),
        "package.json" => package_json(text),
        "conftest.py" => {
            let imports = users::python_imports(text);
            let made: BTreeSet<&str> =
                MADE_A_HOOK.captures_iter(text).filter_map(|found| Some(found.get(1)?.as_str())).collect();
            let plugins = PLUGINS.captures_iter(text).flat_map(|found| {
                let list = &found[1];
                // A list or tuple ends with its bracket, a single name with its line.
                let end = match list.chars().next() {
                    Some('[') => list.find(']'),
                    Some('(') => list.find(')'),
                    _ => list.find('\n'),
                };
                quoted(&list[..end.unwrap_or(list.len())])
            });
            // Hooks and fixtures that it takes from elsewhere by any name are its own.
            let is_hook = |import: &&Import| {
                let hook = |name: &str| name.starts_with("pytest_");
                import.name == "*" || (!import.name.is_empty() && (hook(&import.name) || hook(&import.local)))
            };
            let hooks = imports.iter().filter(is_hook).map(|import| import.module.clone());
            // What is made a hook by assigning it.
            let assigned = imports.iter().filter(|import| made.contains(import.local.as_str()));
            plugins
                .chain(hooks)
                .chain(assigned.flat_map(Import::sources))
                .map(Loaded::of(How::Loaded))
                .collect()
        }
        // Whatever installs the package runs it.
        "setup.py" => users::python_words(text).into_iter().map(Loaded::of(How::Imported)).collect(),
        "pyproject.toml" | "pytest.ini" | ".pytest.ini" | "pytest.toml" | ".pytest.toml" | "setup.cfg" => {
            PLUGIN.captures_iter(text).map(|found| found[1].to_owned()).map(Loaded::of(How::Loaded)).collect()
        }
        "tox.ini" | "tox.toml" | "makefile" | "gnumakefile" | "justfile" | ".justfile" => {
            let lines = about_tests(text);
            let commands =
                || lines.iter().flat_map(|line| commands(line)).filter(|command| !only_checks(command));
            let plugin = |command| PLUGIN.captures_iter(command).map(|found| found[1].to_owned());
            let plugins = commands().flat_map(plugin).map(Loaded::of(How::Loaded));
            // What tox sets up has a line for each.
            let lists = match name.as_str() {
                "tox.ini" | "tox.toml" => lists(text),
                _ => commands().filter(|command| command.contains("pip")).flat_map(lists).collect(),
            };
            commands().flat_map(executed).chain(plugins).chain(lists).collect()
        }
        name if !name.starts_with(".mocharc") && (name.ends_with(".yml") || name.ends_with(".yaml")) => text
            .lines()
            .flat_map(commands)
            .filter(|command| command.contains("pip"))
            .flat_map(lists)
            .collect(),
        name if name.starts_with("jest.config.")
            || name.starts_with("vitest.config.")
            || name.starts_with(".mocharc") =>
        {
            // What is built or covered is named there too.
            let covers = ["entry", "input", "main", "include", "collectCoverageFrom"];
            let lines = text.lines().filter(|line| !covers.iter().any(|word| line.contains(word)));
            lines.flat_map(quoted).filter(|word| word.contains('/')).map(Loaded::of(How::Loaded)).collect()
        }
        _ => Vec::new(),
    }
}

/// The lists of dependencies of a command, or of a file.
fn lists(text: &str) -> Vec<Loaded> {
    LIST.captures_iter(text).map(|found| found[1].to_owned()).map(Loaded::of(How::Run)).collect()
}

/// Returns the texts in quotes of a configuration.
pub(crate) fn quoted(text: &str) -> Vec<String> {
    QUOTED.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Returns the lines of a Makefile or its like but for those of targets that only use the program.
fn about_tests(text: &str) -> Vec<&str> {
    let target = |line: &str| TARGET.captures(line).map(|found| found[1].to_owned());
    // What each target needs or calls, and the lines before the first.
    let mut uses: Vec<(Option<String>, BTreeSet<String>)> = vec![(None, BTreeSet::new())];
    for line in text.lines() {
        let used: BTreeSet<String> = match target(line) {
            Some(name) => {
                uses.push((Some(name), BTreeSet::new()));
                words_of(line.split_once(':').map_or("", |(_, needs)| needs)).collect()
            }
            None if line.starts_with([' ', '\t']) => commands(line).flat_map(made).collect(),
            None => continue,
        };
        uses.last_mut().expect("there is one").1.extend(used);
    }
    let only_uses = only_use(&uses);
    let mut skipped = false;
    text.lines()
        .filter(|line| {
            if let Some(name) = target(line) {
                skipped = only_uses.contains(&name);
            }
            !skipped
        })
        .collect()
}

/// The names of [`STARTS`] that nothing but themselves leads to: `uses` says of each what it needs or calls.
fn only_use(uses: &[(Option<String>, BTreeSet<String>)]) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = uses.iter().filter_map(|(name, _)| name.clone()).collect();
    out.retain(|name| STARTS.contains(&name.as_str()));
    loop {
        let leads = |name: &String| {
            uses.iter().any(|(user, used)| {
                used.contains(name) && user.as_ref().is_none_or(|user| !out.contains(user))
            })
        };
        let led: Vec<String> = out.iter().filter(|name| leads(name)).cloned().collect();
        if led.is_empty() {
            return out;
        }
        out.retain(|name| !led.contains(name));
    }
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !(letter.is_alphanumeric() || "_-".contains(letter)))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
}

/// What a command has made or run by name, where it is no mere text; more rather than less.
fn made(command: &str) -> Vec<String> {
    let mut words = command.split_whitespace().map(|word| word.trim_start_matches(['@', '-', '+']));
    let first = words.find(|word| !word.is_empty()).unwrap_or_default();
    let calls = ["make", "MAKE", "just"].iter().any(|program| command.contains(program));
    if !calls || matches!(first, "echo" | "printf" | "grep") {
        return Vec::new();
    }
    // `-C docs` is a folder.
    let mut out = Vec::new();
    let mut folder = false;
    for word in command.split_whitespace() {
        if !std::mem::replace(&mut folder, matches!(word, "-C" | "--directory" | "-f" | "--file")) {
            out.extend(words_of(word));
        }
    }
    out
}

/// The commands of a line.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    line.split([';', '&', '|'])
}

/// Whether a command is a type checker, which runs nothing of what it reads: mypy's `-p` names a package to check.
fn only_checks(command: &str) -> bool {
    let mut words = command.split_whitespace().map(|word| word.trim_start_matches('@'));
    let first = words.next().unwrap_or_default();
    first == "mypy" || (matches!(first, "python" | "python3") && words.take(2).eq(["-m", "mypy"]))
}

/// What the commands of a line run or load.
fn executed(line: &str) -> Vec<Loaded> {
    let mut out = Vec::new();
    for command in commands(line) {
        let words: Vec<&str> = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'', '@', '-']).trim_end_matches(','))
            .collect();
        let raw: Vec<&str> = command.split_whitespace().collect();
        if let Some(first) = raw.first().filter(|word| word.starts_with("./")) {
            out.push(Loaded { word: (*first).to_owned(), how: How::Run });
        }
        for (at, word) in raw.iter().enumerate() {
            let program = word.rsplit('/').next().unwrap_or(word);
            if RUNS.contains(&program.trim_start_matches('@')) {
                // An option's value may stand between: everything plain up to the script's own arguments counts.
                let plain = raw[at + 1..].iter().filter(|word| !word.starts_with('-'));
                let run = plain.take(2).map(|word| word.trim_matches(['"', '\'']).to_owned());
                out.extend(run.map(Loaded::of(How::Run)));
            }
            if LOADS.contains(word) {
                out.extend(words.get(at + 1).map(|word| (*word).to_owned()).map(Loaded::of(How::Loaded)));
            } else if let Some((option, value)) = word.split_once('=')
                && LOADS.contains(&option)
            {
                out.push(Loaded { word: value.trim_matches(['"', '\'']).to_owned(), how: How::Loaded });
            }
        }
    }
    out
}

fn package_json(text: &str) -> Vec<Loaded> {
    let Ok(manifest) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(scripts) = manifest["scripts"].as_object() {
        let runs = |program: &&str| {
            matches!(*program, "run" | "run-script" | "yarn" | "pnpm" | "run-s" | "run-p" | "npm-run-all")
        };
        let uses: Vec<(Option<String>, BTreeSet<String>)> = scripts
            .iter()
            .map(|(name, script)| {
                let script = script.as_str().unwrap_or_default();
                let words: Vec<&str> = script.split([' ', '\t', '&', ';', '|', '"', '\'']).collect();
                let calls = words.iter().any(runs);
                let used = words.into_iter().filter(|_| calls).map(str::to_owned).collect();
                (Some(name.clone()), used)
            })
            .collect();
        let only_uses = only_use(&uses);
        let of_tests = scripts.iter().filter(|(name, _)| !only_uses.contains(*name));
        out.extend(of_tests.filter_map(|(_, script)| script.as_str()).flat_map(executed));
    }
    // No key of these names what is tested, but for what coverage counts.
    let mut open: Vec<&Value> =
        ["jest", "mocha", "ava", "vitest", "tap"].iter().map(|key| &manifest[*key]).collect();
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => out.push(Loaded { word: text.clone(), how: How::Loaded }),
            Value::Array(list) => open.extend(list),
            Value::Object(map) => {
                open.extend(
                    map.iter().filter(|(key, _)| *key != "collectCoverageFrom").map(|(_, value)| value),
                );
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_configurations_load() {
        for (name, text, expect) in [
            ("Cargo.toml", "[package]\nbuild = \"scripts/gen.rs\"\n", "scripts/gen.rs"),
            (
                "package.json",
                r#"{"main": "lib/a.js", "scripts": {"start": "node server.js", "test": "node -r ./setup.js scripts/run.js && bash x.sh"}, "jest": {"setupFiles": ["<rootDir>/jest/a.js"]}}"#,
                "./setup.js scripts/run.js x.sh <rootDir>/jest/a.js",
            ),
            ("conftest.py", "pytest_plugins = [\"calc.plugin\"]\nx = \"y\"\n", "calc.plugin"),
            ("pyproject.toml", "addopts = \"-p calc.plugin -q\"\n", "calc.plugin"),
            // dbader/schedule's: what mypy checks is the product, not what runs the tests.
            ("tox.ini", "[testenv]\ncommands =\n    python -m mypy -p calc --strict\n", ""),
            ("tox.ini", "commands =\n    mypy -p calc && pytest -p calc.plugin\n", "calc.plugin calc.plugin"),
            ("Makefile", "test:\n\t@python3 scripts/test.py --all\n\tgcc src/main.c\n", "scripts/test.py"),
            (
                "jest.config.js",
                "module.exports = {\n  setupFiles: ['./a.js'],\n  include: ['./b.js'],\n};\n",
                "./a.js",
            ),
            ("Dockerfile", "RUN node x.js\n", ""),
            // What only uses the program, unless a target of tests does.
            ("Makefile", "run:\n\tpython3 y\n\ntest: lint\n\tpython3 x.py\n", "x.py"),
            ("Makefile", "demo:\n\tpython3 x.py\n\ntest: demo\n\techo\n", "x.py"),
            ("Makefile", "demo:\n\tpython3 x.py\n\ntest:\n\t$(MAKE) demo\n", "x.py"),
            ("Makefile", "demo: run\n\nrun:\n\tpython3 x.py\n\ntest:\n\t$(MAKE) demo\n", "x.py"),
            // A text, a folder, and what only such targets call.
            ("Makefile", "run:\n\tpython3 y\n\nhelp:\n\t@echo make run\n\ntest:\n\tpython3 x.py\n", "x.py"),
            ("Makefile", "docs:\n\tpython3 y\n\nall:\n\t$(MAKE) -C docs\n\ntest:\n\tpython3 x.py\n", "x.py"),
            ("Makefile", "demo: run\n\nrun:\n\tpython3 y\n\ntest:\n\tpython3 x.py\n", "x.py"),
            (
                "package.json",
                r#"{"scripts": {"docs": "node server.js", "start": "npm run docs", "test": "node x.js"}}"#,
                "x.js",
            ),
            ("package.json", r#"{"scripts": {"docs": "node server.js", "test": "node x.js"}}"#, "x.js"),
            ("package.json", r#"{"scripts": {"demo": "node x.js", "test": "npm run demo"}}"#, "x.js"),
            ("conftest.py", "from support.plugin import *\nfrom y import add\n", "support.plugin"),
            ("conftest.py", "from a import b\npytest_x = b.c\n", "a.b"),
            ("conftest.py", "import a.b as c\npytest_x = pytest.hookimpl(c.d)\n", "a.b"),
            (
                "setup.py",
                "from tools import version\nexec(open(\"a/b.py\").read())\n",
                "tools.version a/b.py",
            ),
            (
                "ci.yml",
                "      - run: pip install -r deps/all.txt -c deps/some.txt\n",
                "deps/all.txt deps/some.txt",
            ),
            ("tox.ini", "deps =\n    -rdeps/all.txt\n", "deps/all.txt"),
            ("Makefile", "deps:\n\tpython -m pip install -r deps/all.txt\n", "deps/all.txt"),
            ("conftest.py", "from .hooks import (\n    pytest_runtest_setup,\n)\n", ".hooks"),
        ] {
            let mut words: Vec<String> = loaded(name, text).into_iter().map(|loaded| loaded.word).collect();
            words.dedup();
            for word in expect.split_whitespace() {
                assert!(words.iter().any(|found| found == word), "{name}: {words:?}");
            }
            for word in ["server.js", "lib/a.js", "y", "src/main.c", "./b.js", "calc"] {
                assert!(!words.iter().any(|found| found == word), "{name}: {words:?}");
            }
        }
    }

    #[test]
    fn a_new_version_in_the_manifest_does_not_hide_what_it_loads() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = |version: &str| {
            format!("{{\"version\": \"{version}\", \"scripts\": {{\"test\": \"node scripts/run.js\"}}}}\n")
        };
        let path = RelPath::parse("package.json").unwrap();
        crate::host::write_in_tree(dir.path(), &path, manifest("2").as_bytes()).unwrap();
        let files = [path];
        let tree = TreeView { dir: dir.path(), files: &files };
        let script = || crate::change::diff("scripts/run.js", Some("a\n"), Some("b\n"));
        let bumped = crate::change::diff("package.json", Some(&manifest("1")), Some(&manifest("2")));
        for files in [vec![script()], vec![script(), bumped]] {
            let change = Change { files, base: Default::default(), patched: Default::default() };
            assert_eq!(named(&change, &tree), ["scripts/run.js is loaded by package.json"]);
        }
    }

    #[test]
    fn a_file_of_tests_that_a_runner_is_given_may_get_tests_and_what_a_set_up_takes_along_may_not_change() {
        let dir = tempfile::tempdir().unwrap();
        let check = |manifest: &str, others: &[(&str, &str)], changed: &str| {
            let mut paths = Vec::new();
            for (path, text) in others.iter().chain(&[("package.json", manifest)]) {
                let path = RelPath::parse(path).unwrap();
                crate::host::write_in_tree(dir.path(), &path, text.as_bytes()).unwrap();
                paths.push(path);
            }
            paths.sort();
            let files = vec![crate::change::diff(changed, Some("a\n"), Some("b\n"))];
            let change = Change { files, base: Default::default(), patched: Default::default() };
            named(&change, &TreeView { dir: dir.path(), files: &paths })
        };
        let given = r#"{"scripts": {"test": "node --test test/calc.test.js"}}"#;
        assert_eq!(check(given, &[], "test/calc.test.js"), [""; 0]);
        let set_up = r#"{"scripts": {"test": "node --require ./test/setup.js --test"}}"#;
        assert_eq!(check(set_up, &[], "test/setup.js"), ["test/setup.js is loaded by package.json"]);
        let takes = [("test/setup.js", "require('./more');\n")];
        assert_eq!(
            check(set_up, &takes, "test/more.js"),
            ["test/more.js is loaded by test/setup.js, which package.json has loaded"]
        );
        assert_eq!(check(set_up, &takes, "src/more.js"), [""; 0]);
    }
}
