//! What Python's files say beside the tests: checkers, tox and nox, how it is installed, and its pins.

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, PackageManager, Source};
use toml::de::DeValue;

use super::super::beside;
use super::super::toml_lines::Toml;
use super::{Project, section_line};
use crate::commands::Tool;
use crate::commands::python::install;
use crate::mine::{Mined, Origin, line_at, source};
use crate::tree::Tree;

/// Sessions beyond this number are for other versions.
const MOST_RUNS: usize = 40;

/// A checker: where it is configured, and how it is run.
struct Checker {
    kind: CommandKind,
    argv: &'static [&'static str],
    /// The table of pyproject.toml.
    table: &'static [&'static str],
    /// Files, each with the section that configures it; an empty one for the file itself.
    ini: &'static [(&'static str, &'static str)],
}

const CHECKERS: &[Checker] = &[
    Checker {
        kind: CommandKind::Lint,
        argv: &["python3", "-m", "ruff", "check", "."],
        table: &["tool", "ruff"],
        ini: &[("ruff.toml", ""), (".ruff.toml", "")],
    },
    Checker {
        kind: CommandKind::Lint,
        argv: &["python3", "-m", "flake8"],
        table: &["tool", "flake8"],
        ini: &[("setup.cfg", "flake8"), ("tox.ini", "flake8"), (".flake8", "flake8")],
    },
    Checker {
        kind: CommandKind::Format,
        argv: &["python3", "-m", "ruff", "format", "--check", "."],
        table: &["tool", "ruff", "format"],
        ini: &[("ruff.toml", "format"), (".ruff.toml", "format")],
    },
    Checker {
        kind: CommandKind::Format,
        argv: &["python3", "-m", "black", "--check", "."],
        table: &["tool", "black"],
        ini: &[],
    },
    Checker {
        kind: CommandKind::Typecheck,
        argv: &["python3", "-m", "mypy", "."],
        table: &["tool", "mypy"],
        ini: &[("setup.cfg", "mypy"), ("mypy.ini", "mypy"), (".mypy.ini", "mypy")],
    },
    Checker {
        kind: CommandKind::Typecheck,
        argv: &["python3", "-m", "pyright"],
        table: &["tool", "pyright"],
        ini: &[],
    },
];

impl Project {
    /// Adds all of it.
    pub(super) fn mine_more(&self, tree: &Tree, mined: &mut Mined) {
        for checker in CHECKERS {
            if let Some(place) = self.configured(checker) {
                let tool = Tool::new(Ecosystem::Python, checker.kind, checker.argv);
                mined.add(Origin::Manifest, tool, &self.folder, place);
            }
        }
        self.mine_tox(mined);
        self.mine_nox(tree, mined);
        self.mine_install(tree, mined);
        self.mine_pins(tree, mined);
    }

    fn configured(&self, checker: &Checker) -> Option<Source> {
        let name = checker.table.get(1..)?.join(" ");
        if let Some(file) = &self.pyproject
            && let Some(line) = Toml::parse(&file.text).and_then(|pyproject| pyproject.line(checker.table))
        {
            return Some(source(&file.path, line, format!("{name} is configured")));
        }
        self.ini.iter().find_map(|file| {
            let (_, section) = checker.ini.iter().find(|(name, _)| file.path.name() == Some(name))?;
            let line = if section.is_empty() { 1 } else { section_line(&file.text, section)? };
            Some(source(&file.path, line, format!("{name} is configured")))
        })
    }

    /// The commands of tox's environments, run in the jobs' own.
    fn mine_tox(&self, mined: &mut Mined) {
        for file in self.ini.iter().filter(|file| matches!(file.path.name(), Some("tox.ini" | "setup.cfg"))) {
            let mut section = "";
            let mut in_commands = false;
            for (line, number) in file.text.lines().zip(1_u32..) {
                if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    section = name;
                    in_commands = false;
                    continue;
                }
                let environment =
                    section == "testenv" || section.starts_with("testenv:") || section == "tox:testenv";
                if !environment {
                    continue;
                }
                let command = match line.strip_prefix("commands") {
                    Some(rest) if rest.trim_start().starts_with('=') => {
                        in_commands = true;
                        rest.trim_start().trim_start_matches('=')
                    }
                    _ if line.starts_with(char::is_whitespace) && in_commands => line,
                    _ => {
                        in_commands = false;
                        continue;
                    }
                };
                let because = format!("commands of [{section}]");
                let script = plain_tox(command);
                if script.contains('{') {
                    if crate::commands::mentions_a_tool(&script) {
                        let place = source(&file.path, number, because);
                        mined.reject(&script, place, "it uses a name that only tox replaces");
                    }
                    continue;
                }
                mined.add_script(Origin::Tests, &script, number, &self.folder, &Default::default(), |line| {
                    source(&file.path, line, because.clone())
                });
            }
        }
    }

    /// The words of `session.run(...)` where all of them are plain text.
    fn mine_nox(&self, tree: &Tree, mined: &mut Mined) {
        let Some(file) = beside(tree, &self.folder, "noxfile.py") else { return };
        let Some(text) = tree.read(&file) else { return };
        for (offset, found) in text.match_indices("session.run(").take(MOST_RUNS) {
            let rest = &text[offset + found.len()..];
            let Some(words) = literal_arguments(rest) else { continue };
            let line = line_at(&text, offset);
            let command = shell_words::join(&words);
            mined.add_script(Origin::Tests, &command, line, &self.folder, &Default::default(), |line| {
                source(&file, line, "a session of nox")
            });
        }
    }

    fn mine_install(&self, tree: &Tree, mined: &mut Mined) {
        let has = |name: &str| beside(tree, &self.folder, name);
        let pyproject = self.pyproject.as_ref().and_then(|file| Toml::parse(&file.text));
        let named_in = |path: &[&str], names: &[&'static str]| {
            let Some(DeValue::Table(table)) = pyproject.as_ref()?.value(path) else { return None };
            names.iter().copied().find(|name| table.iter().any(|(key, _)| key.as_ref() == *name))
        };
        // What the tests need is often an extra, or a group that is none of those installed unasked.
        let extra = named_in(&["project", "optional-dependencies"], &["test", "tests", "testing", "dev"]);
        let group = named_in(&["dependency-groups"], &["test", "tests", "testing"]);
        let mut locked = false;
        for (name, manager, argv) in [
            ("uv.lock", PackageManager::Uv, &["uv", "sync", "--frozen"][..]),
            ("poetry.lock", PackageManager::Poetry, &["poetry", "install", "--no-interaction"]),
            ("pdm.lock", PackageManager::Pdm, &["pdm", "sync"]),
            ("Pipfile.lock", PackageManager::Pipenv, &["pipenv", "sync", "--dev"]),
        ] {
            if let Some(lockfile) = has(name) {
                let place = || source(&lockfile, 1, format!("the lockfile of {}", manager.as_str()));
                mined.manager(manager, &self.folder, Some(lockfile.clone()), place());
                let mut tool = install(argv);
                for (option, name) in options(manager, extra, group) {
                    tool = tool.args([option, name]);
                }
                mined.add(Origin::Manifest, tool, &self.folder, place());
                locked = true;
            }
        }
        let requirements: Vec<RelPath> = [
            "requirements-dev.txt",
            "requirements_dev.txt",
            "dev-requirements.txt",
            "requirements-test.txt",
            "test-requirements.txt",
            "requirements/dev.txt",
            "requirements/test.txt",
            "requirements.txt",
        ]
        .iter()
        .filter_map(|name| has(name))
        .collect();
        for file in requirements.iter().take(2) {
            let Some(text) = tree.read(file) else { continue };
            let inside = file.as_str().strip_prefix(self.folder.as_str()).unwrap_or(file.as_str());
            let argv = ["python3", "-m", "pip", "install", "-r", inside.trim_start_matches('/')];
            let place = || source(file, 1, "the requirements");
            mined.add(Origin::Manifest, install(&argv).weight(1), &self.folder, place());
            if !locked {
                mined.manager(
                    PackageManager::Pip,
                    &self.folder,
                    pinned(&text).then(|| file.clone()),
                    place(),
                );
            }
        }
        let package = self.pyproject.as_ref().and_then(|file| {
            let pyproject = pyproject.as_ref()?;
            let line = pyproject.line(&["project"]).or_else(|| pyproject.line(&["build-system"]))?;
            Some((source(&file.path, line, "a Python package"), extra))
        });
        let package = package.or_else(|| Some((source(&has("setup.py")?, 1, "a Python package"), None)));
        if let Some((place, extra)) = package {
            let itself = extra.map_or(".".to_owned(), |extra| format!(".[{extra}]"));
            if !locked {
                mined.manager(PackageManager::Pip, &self.folder, None, place.clone());
            }
            let argv = ["python3", "-m", "pip", "install", "-e", itself.as_str()];
            mined.add(Origin::Manifest, install(&argv).weight(2), &self.folder, place);
        }
    }

    fn mine_pins(&self, tree: &Tree, mined: &mut Mined) {
        if let Some(file) = &self.pyproject
            && let Some(pyproject) = Toml::parse(&file.text)
        {
            for path in [&["project", "requires-python"][..], &["tool", "poetry", "dependencies", "python"]] {
                if let (Some(line), Some(version)) =
                    (pyproject.line(path), pyproject.value(path).and_then(|value| value.as_str()))
                {
                    mined.pin(
                        "python",
                        version,
                        source(&file.path, line, "the versions of Python it is for"),
                    );
                }
            }
        }
        if let Some(file) = beside(tree, &self.folder, "setup.cfg")
            && let Some(text) = tree.read(&file)
        {
            let found = text.lines().zip(1_u32..).find_map(|(line, number)| {
                let rest = line.trim().strip_prefix("python_requires")?;
                Some((number, rest.trim_start().strip_prefix('=')?.trim().to_owned()))
            });
            if let Some((line, version)) = found {
                mined.pin("python", &version, source(&file, line, "the versions of Python it is for"));
            }
        }
    }
}

/// Returns the options by which a package manager installs an extra and a group too.
fn options<'a>(
    manager: PackageManager,
    extra: Option<&'a str>,
    group: Option<&'a str>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let (of_extra, of_group) = match manager {
        PackageManager::Uv => (Some("--extra"), Some("--group")),
        // Every group that is not called optional it installs unasked.
        PackageManager::Poetry => (Some("--extras"), None),
        PackageManager::Pdm => (Some("--group"), None),
        _ => (None, None),
    };
    of_extra.zip(extra).into_iter().chain(of_group.zip(group))
}

/// Whether every requirement of a file is one version.
fn pinned(text: &str) -> bool {
    let mut any = false;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        any = true;
        if !line.contains("==") {
            return false;
        }
    }
    any
}

/// Takes off what only tox replaces: `{posargs}`, `{posargs:default}`, `{envpython}`, `{toxinidir}/`, a leading `-`.
fn plain_tox(command: &str) -> String {
    let command = command.trim().trim_start_matches('-').trim_start();
    let mut plain = String::with_capacity(command.len());
    let mut rest = command;
    while let Some((before, inside)) = rest.split_once('{') {
        plain.push_str(before);
        let Some((name, after)) = inside.split_once('}') else { return command.to_owned() };
        match name.split_once(':') {
            None if matches!(name, "posargs") => {}
            Some(("posargs", default)) => plain.push_str(default),
            None if matches!(name, "envpython") => plain.push_str("python3"),
            None if matches!(name, "toxinidir" | "tox_root") => plain.push('.'),
            None if matches!(name, "envtmpdir" | "env_tmp_dir") => plain.push_str("/tmp/tox"),
            _ => return command.to_owned(),
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// Reads `"a", "b", …)`; none where anything else stands between the brackets but keyword arguments at the end.
fn literal_arguments(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if rest.starts_with(')') || words.len() > 50 {
            return (!words.is_empty()).then_some(words);
        }
        if rest.starts_with("*session.posargs") {
            rest = rest["*session.posargs".len()..].trim_start();
        } else if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let (word, after) = rest[1..].split_once(quote)?;
            if word.contains(['\\', '\n']) {
                return None;
            }
            words.push(word.to_owned());
            rest = after.trim_start();
        } else {
            // `external=True`, `success_codes=[0, 5]`: how nox runs it, not what.
            let keyword = rest.split_once('=')?.0.trim_end();
            return (crate::shell::is_variable(keyword) && !words.is_empty()).then_some(words);
        }
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if rest.starts_with(')') => rest,
            None => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_tox_are_replaced_or_left_alone() {
        for (line, expected) in [
            ("pytest {posargs}", "pytest "),
            ("  - pytest {posargs:tests -q}", "pytest tests -q"),
            ("{envpython} -m pytest {toxinidir}/tests", "python3 -m pytest ./tests"),
            ("pytest --basetemp={envtmpdir}", "pytest --basetemp=/tmp/tox"),
            ("pytest {env:X}", "pytest {env:X}"),
            ("pytest {", "pytest {"),
        ] {
            assert_eq!(plain_tox(line), expected, "{line}");
        }
    }

    #[test]
    fn arguments_of_a_session_are_read_where_they_are_plain() {
        for (text, expected) in [
            ("\"pytest\", 'tests', *session.posargs)", Some(vec!["pytest", "tests"])),
            ("\"pytest\",\n    \"-q\",\n)", Some(vec!["pytest", "-q"])),
            ("\"pytest\", external=True)", Some(vec!["pytest"])),
            ("\"pytest\", x)", None),
            ("f\"pytest\")", None),
            ("*args)", None),
            ("\"a", None),
            ("", None),
            (")", None),
        ] {
            let words = literal_arguments(text);
            assert_eq!(words, expected.map(|words| words.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn a_file_of_versions_is_a_lockfile() {
        assert!(pinned("# x\na==1\nb==2 \\\n    --hash=sha256:1\n"));
        assert!(!pinned("a==1\nb>=2\n"));
        assert!(!pinned("-r other.txt\n"));
    }
}
