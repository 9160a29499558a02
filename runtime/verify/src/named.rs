//! Files that the base's configuration has loaded or run around the tests, whatever they are called: a build
//! script by another name, a plugin, a set-up file.

use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use regex::Regex;
use serde_json::Value;

use crate::change::Change;
use crate::runners::TreeView;

/// Scripts of a package.json that start the program and say nothing about its tests.
const STARTS: &[&str] = &["start", "dev", "serve", "watch", "preview", "storybook"];

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

/// The largest configuration that is looked through, bytes.
const LARGEST: usize = 1 << 20;

/// Returns the changed files that a file of configuration has loaded, each with that file.
pub(crate) fn named(change: &Change, tree: &TreeView<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for path in tree.files.iter().filter(|path| gloaming_workspace::role(path) == FileRole::RunnerConfig) {
        let foreign = path.names().any(|name| matches!(name, "node_modules" | "vendor" | "site-packages"));
        // One that the patch changes is looked at too: it may only describe the package otherwise, and still load this.
        if foreign {
            continue;
        }
        let Some(text) = tree.read(path).filter(|text| text.len() <= LARGEST) else { continue };
        let loaded = loaded(path.name().unwrap_or_default(), &text);
        if loaded.is_empty() {
            continue;
        }
        let folder = path.parent().unwrap_or_else(RelPath::root);
        for diff in &change.files {
            let fits = |word: &String| names(&folder, word, &diff.file.path);
            if diff.file.role != FileRole::RunnerConfig && loaded.iter().any(fits) {
                out.push(format!("{} is loaded by {path}", diff.file.path));
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// Whether a word of a configuration in `folder` is the path, or the dotted name, of a file.
fn names(folder: &RelPath, word: &str, path: &RelPath) -> bool {
    let word = word.trim_start_matches("<rootDir>/").trim_start_matches("./");
    let within = match folder.is_root() {
        true => Some(path.as_str()),
        false => path.as_str().strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/')),
    };
    let Some(within) = within else { return false };
    let (stem, extension) = within.rsplit_once('.').unwrap_or((within, ""));
    within == word
        || (matches!(extension, "js" | "cjs" | "mjs" | "ts" | "cts" | "mts" | "json") && stem == word)
        || (extension == "py" && stem.trim_end_matches("/__init__").replace('/', ".") == word)
}

/// What a file of configuration has loaded or run.
fn loaded(name: &str, text: &str) -> Vec<String> {
    match name.to_ascii_lowercase().as_str() {
        "cargo.toml" => BUILD_SCRIPT.captures_iter(text).map(|found| found[1].to_owned()).collect(),
        "package.json" => package_json(text),
        "conftest.py" => PLUGINS
            .captures_iter(text)
            .flat_map(|found| {
                let list = found[1].to_owned();
                // A list or tuple ends with its bracket, a single name with its line.
                let end = match list.chars().next() {
                    Some('[') => list.find(']'),
                    Some('(') => list.find(')'),
                    _ => list.find('\n'),
                };
                quoted(&list[..end.unwrap_or(list.len())])
            })
            .collect(),
        "pyproject.toml" | "pytest.ini" | ".pytest.ini" | "pytest.toml" | ".pytest.toml" | "setup.cfg" => {
            PLUGIN.captures_iter(text).map(|found| found[1].to_owned()).collect()
        }
        "tox.ini" | "tox.toml" | "makefile" | "gnumakefile" | "justfile" | ".justfile" => {
            let commands = || text.lines().flat_map(commands).filter(|command| !only_checks(command));
            let plugin = |command| PLUGIN.captures_iter(command).map(|found| found[1].to_owned());
            commands().flat_map(executed).chain(commands().flat_map(plugin)).collect()
        }
        name if name.starts_with("jest.config.")
            || name.starts_with("vitest.config.")
            || name.starts_with(".mocharc") =>
        {
            // What is built or covered is named there too.
            let covers = ["entry", "input", "main", "include", "collectCoverageFrom"];
            let lines = text.lines().filter(|line| !covers.iter().any(|word| line.contains(word)));
            lines.flat_map(quoted).filter(|word| word.contains('/')).collect()
        }
        _ => Vec::new(),
    }
}

fn quoted(text: &str) -> Vec<String> {
    QUOTED.captures_iter(text).map(|found| found[1].to_owned()).collect()
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
fn executed(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    for command in commands(line) {
        let words: Vec<&str> = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'', '@', '-']).trim_end_matches(','))
            .collect();
        let raw: Vec<&str> = command.split_whitespace().collect();
        if let Some(first) = raw.first().filter(|word| word.starts_with("./")) {
            out.push((*first).to_owned());
        }
        for (at, word) in raw.iter().enumerate() {
            let program = word.rsplit('/').next().unwrap_or(word);
            if RUNS.contains(&program.trim_start_matches('@')) {
                // An option's value may stand between: everything plain up to the script's own arguments counts.
                let plain = raw[at + 1..].iter().filter(|word| !word.starts_with('-'));
                out.extend(plain.take(2).map(|word| word.trim_matches(['"', '\'']).to_owned()));
            }
            if LOADS.contains(word) {
                out.extend(words.get(at + 1).map(|word| (*word).to_owned()));
            } else if let Some((option, value)) = word.split_once('=')
                && LOADS.contains(&option)
            {
                out.push(value.trim_matches(['"', '\'']).to_owned());
            }
        }
    }
    out
}

fn package_json(text: &str) -> Vec<String> {
    let Ok(manifest) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(scripts) = manifest["scripts"].as_object() {
        let of_tests = scripts.iter().filter(|(name, _)| !STARTS.contains(&name.as_str()));
        out.extend(of_tests.filter_map(|(_, script)| script.as_str()).flat_map(executed));
    }
    // No key of these names what is tested, but for what coverage counts.
    let mut open: Vec<&Value> =
        ["jest", "mocha", "ava", "vitest", "tap"].iter().map(|key| &manifest[*key]).collect();
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => out.push(text.clone()),
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
        ] {
            let mut words = loaded(name, text);
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
    fn a_word_is_a_path_from_its_own_folder() {
        let check = |folder: &str, word: &str, path: &str| {
            let folder = if folder.is_empty() { RelPath::root() } else { RelPath::parse(folder).unwrap() };
            names(&folder, word, &RelPath::parse(path).unwrap())
        };
        assert!(check("", "./setup.js", "setup.js"));
        assert!(check("", "./setup", "setup.js"));
        assert!(check("pkg", "<rootDir>/setup.js", "pkg/setup.js"));
        assert!(check("", "calc.plugin", "calc/plugin.py"));
        assert!(!check("pkg", "setup.js", "setup.js"));
        assert!(!check("", "setup", "setup.rs"));
    }
}
