//! What pytest and unittest are told to collect.

use std::collections::BTreeSet;

use gloaming_api::RelPath;
use regex::Regex;
use toml::{Table, Value};

use super::patterns::{fnmatch, glob, name};
use super::{Collected, MOST, Part, Tests};

/// The options of pytest, of unittest's own and of known plugins, that take a value which is nothing to collect.
const TAKES_A_VALUE: &[&str] = &[
    "-k",
    "-m",
    "-p",
    "-W",
    "-n",
    "-r",
    "--ignore",
    "--ignore-glob",
    "--deselect",
    "--rootdir",
    "--confcutdir",
    "--basetemp",
    "--junitxml",
    "--junit-xml",
    "--maxfail",
    "--durations",
    "--tb",
    "--timeout",
    "--import-mode",
    "--log-file",
    "--cov",
    "--cov-config",
    "--cov-report",
];

/// What pytest is told, by its configuration and by the commands that run it.
#[derive(Default)]
pub(super) struct Pytest {
    /// Patterns of files, each with the folder of what says so.
    files: Vec<(RelPath, String)>,
    /// The beginnings of names, or patterns, of functions and of classes.
    functions: Vec<String>,
    classes: Vec<String>,
    /// The folders that it looks in, and the patterns of such.
    places: Vec<RelPath>,
    shapes: Vec<String>,
}

impl Pytest {
    /// Returns what finds a test in a text: whatever the configuration calls one, besides what is one everywhere.
    pub(super) fn finds(&self) -> Regex {
        let names = |begin: &str, options: &[String]| {
            let own = options.iter().take(MOST).map(|option| name(option));
            [begin.to_owned()].into_iter().chain(own).collect::<Vec<_>>().join("|")
        };
        let with = |functions: &[String], classes: &[String]| {
            Regex::new(&format!(
                r"(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+(?:{})|^class[ \t]+(?:{})|\bTestCase\b",
                names("test", functions),
                names(r"Test|\w+Tests?\b", classes),
            ))
        };
        with(&self.functions, &self.classes).unwrap_or_else(|_| with(&[], &[]).expect("a constant pattern"))
    }
}

impl Collected {
    /// A configuration of pytest, by the name of its file.
    pub(super) fn pytest_config(&mut self, path: &RelPath, base: &BTreeSet<RelPath>, text: &str) {
        let folder = path.parent().unwrap_or_else(RelPath::root);
        let name = path.name().unwrap_or_default();
        if name.ends_with(".toml") {
            return self.pytest_toml(&folder, base, text);
        }
        let section = if name.ends_with(".cfg") { "[tool:pytest]" } else { "[pytest]" };
        let mut inside = false;
        let mut key = String::new();
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
            if inside {
                let words: Vec<&str> = said.split_whitespace().collect();
                self.pytest_option(&folder, base, &key, &words);
            }
        }
    }

    /// `pyproject.toml` and, since pytest 9, `pytest.toml`.
    fn pytest_toml(&mut self, folder: &RelPath, base: &BTreeSet<RelPath>, text: &str) {
        let Ok(whole) = text.parse::<Table>() else { return };
        let tool = || whole.get("tool")?.get("pytest");
        let ini = || tool()?.get("ini_options");
        for options in [ini(), tool(), whole.get("pytest")].into_iter().flatten().filter_map(Value::as_table)
        {
            for (key, said) in options {
                let words: Vec<&str> = match said {
                    Value::String(text) => text.split_whitespace().collect(),
                    Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                    _ => continue,
                };
                self.pytest_option(folder, base, key, &words);
            }
        }
    }

    fn pytest_option(&mut self, folder: &RelPath, base: &BTreeSet<RelPath>, key: &str, words: &[&str]) {
        let all = words.iter().map(|word| unquoted(word).to_owned());
        let pytest = &mut self.pytest;
        match key {
            "python_files" => pytest.files.extend(all.map(|word| (folder.clone(), word))),
            "python_functions" => pytest.functions.extend(all),
            "python_classes" => pytest.classes.extend(all),
            "testpaths" => words.iter().take(MOST).for_each(|word| self.pytest_place(folder, base, word)),
            "addopts" => drop(self.pytest_words(folder, base, words)),
            _ => {}
        }
    }

    /// What a command of pytest, or its options by default, name. Returns the configurations that they name.
    pub(super) fn pytest_words(
        &mut self,
        folder: &RelPath,
        base: &BTreeSet<RelPath>,
        words: &[&str],
    ) -> Vec<RelPath> {
        let mut configurations = Vec::new();
        let mut words = words.iter().take(MOST).map(|word| unquoted(word));
        while let Some(word) = words.next() {
            let (option, glued) = option(word);
            match option {
                "" => self.pytest_place(folder, base, word),
                "-o" | "--override-ini" => {
                    let said = glued.or_else(|| words.next()).and_then(|said| said.split_once('='));
                    // Options that hold options would have no end.
                    if let Some((key, value)) = said.filter(|(key, _)| key.trim() != "addopts") {
                        let values: Vec<&str> = value.split_whitespace().collect();
                        self.pytest_option(folder, base, key.trim(), &values);
                    }
                }
                "-c" | "--config-file" => {
                    let path = glued.or_else(|| words.next()).and_then(|path| folder.resolve(path));
                    configurations.extend(path);
                }
                option if TAKES_A_VALUE.contains(&option) && glued.is_none() => drop(words.next()),
                _ => {}
            }
        }
        configurations
    }

    /// A file or folder, or a pattern of some, that pytest is given.
    fn pytest_place(&mut self, folder: &RelPath, base: &BTreeSet<RelPath>, word: &str) {
        let word = word.split("::").next().unwrap_or(word);
        let Some(path) = folder.resolve(word) else { return };
        if word.contains(['*', '?', '[']) {
            return match path.as_str() {
                files if files.ends_with(".py") => {
                    self.add(|| glob(files), Part::Path, Vec::new(), Tests::Python);
                }
                folders => self.pytest.shapes.push(format!("{folders}{{,/**}}")),
            };
        }
        if base.contains(&path) {
            if path.as_str().ends_with(".py") {
                self.files.insert(path);
            }
        } else if !path.is_root() && base.iter().any(|file| file.is_within(&path)) {
            self.pytest.places.push(path);
        }
    }

    /// Makes patterns of what pytest is told, now that all of it is known.
    pub(super) fn pytest_patterns(&mut self) {
        let told = std::mem::take(&mut self.pytest);
        for (folder, pattern) in &told.files {
            // Where pytest looks is a default, which each command may replace; but one that takes in all there is says
            // nothing without a folder: what the report has tests in is looked at once it is there.
            if !takes_all(pattern) {
                let part = if pattern.contains('/') { Part::Path } else { Part::Name };
                self.add(|| fnmatch(pattern), part, vec![folder.clone()], Tests::Python);
                continue;
            }
            if !told.places.is_empty() {
                self.add(|| fnmatch(pattern), Part::Name, told.places.clone(), Tests::Python);
            }
            for shape in &told.shapes {
                self.add(|| glob(shape), Part::Path, Vec::new(), Tests::Python);
            }
        }
        self.pytest = told;
    }

    /// `discover`, or modules by their names.
    pub(super) fn unittest(&mut self, cwd: &RelPath, base: &BTreeSet<RelPath>, words: &[&str]) {
        let at = words.iter().position(|word| *word == "unittest").map_or(0, |at| at + 1);
        let (discovers, words) = match words[at..].split_first() {
            Some((&"discover", rest)) => (true, rest),
            _ => (false, &words[at..]),
        };
        let said = Unittest::of(words);
        if discovers {
            let start = said.start.or(said.plain.first().copied()).unwrap_or(".");
            let pattern = said.pattern.or(said.plain.get(1).copied()).unwrap_or("test*.py");
            let holds = |folder: &RelPath| base.iter().any(|file| file.is_within(folder));
            // It may be a package by its name.
            let below = [start.to_owned(), start.replace('.', "/")];
            let below = below
                .iter()
                .find_map(|start| cwd.resolve(start).filter(holds))
                .or_else(|| cwd.resolve(start));
            let below = below.filter(|folder| !folder.is_root());
            if below.is_some() || !takes_all(pattern) {
                self.add(|| fnmatch(pattern), Part::Name, below.into_iter().collect(), Tests::Python);
            }
            return;
        }
        for word in said.plain {
            if word.ends_with(".py") {
                self.files.extend(cwd.resolve(word).filter(|path| base.contains(path)));
                continue;
            }
            // A class or a method may stand behind the module.
            let parts: Vec<&str> = word.split('.').collect();
            let there = |path: &RelPath| base.contains(path);
            for length in (1..=parts.len()).rev() {
                let module = parts[..length].join("/");
                if let Some(path) = cwd.resolve(&format!("{module}.py")).filter(there) {
                    self.files.insert(path);
                    break;
                }
                // A package may be one of code, with tests in it.
                if let Some(path) = cwd.resolve(&format!("{module}/__init__.py")).filter(there) {
                    let only = Regex::new(&format!("^{}$", regex::escape(path.as_str()))).ok();
                    self.add(|| only, Part::Path, Vec::new(), Tests::Python);
                    break;
                }
            }
        }
    }
}

/// The words of a command of unittest.
#[derive(Default)]
struct Unittest<'a> {
    start: Option<&'a str>,
    pattern: Option<&'a str>,
    plain: Vec<&'a str>,
}

impl<'a> Unittest<'a> {
    fn of(words: &[&'a str]) -> Self {
        let mut out = Self::default();
        let mut words = words.iter().map(|word| unquoted(word));
        while let Some(word) = words.next() {
            let (key, glued) = if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (name, value) = long.split_once('=').map_or((long, None), |(a, b)| (a, Some(b)));
                // A long option may be cut short.
                let known = ["start-directory", "pattern", "top-level-directory", "k"];
                let Some(known) = known.iter().find(|known| known.starts_with(name)) else { continue };
                (known.chars().next(), value)
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                // Letters without a value may stand before one with it.
                let Some(at) = letters.find(['s', 'p', 't', 'k']) else { continue };
                let rest = &letters[at + 1..];
                (
                    letters[at..].chars().next(),
                    (!rest.is_empty()).then(|| unquoted(rest.trim_start_matches('='))),
                )
            } else {
                out.plain.push(word);
                continue;
            };
            let value = glued.or_else(|| words.next());
            match key {
                Some('s') => out.start = value,
                Some('p') => out.pattern = value,
                _ => {}
            }
        }
        out
    }
}

/// The name of an option, empty where a word is none, and the value that is glued to it.
fn option(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    match word.char_indices().nth(2) {
        Some((at, _)) if word.starts_with('-') => (&word[..at], Some(&word[at..])),
        _ if word.starts_with('-') => (word, None),
        _ => ("", None),
    }
}

/// Whether a pattern says nothing of a file.
fn takes_all(pattern: &str) -> bool {
    matches!(pattern, "*" | "*.py")
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}
