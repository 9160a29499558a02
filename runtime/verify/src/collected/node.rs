//! What jest, vitest, mocha and Node's own runner are told to collect.

use gloaming_api::RelPath;
use regex::Regex;
use serde_json::Value as Json;

use super::patterns::{glob, values};
use super::{Collected, MOST, MOST_PATTERNS, Part, Read, SCRIPTS, Tests};

/// Options whose value is loaded or left out, and is no file of tests.
const TAKES_A_VALUE: &[&str] = &[
    "-r",
    "--require",
    "--import",
    "--loader",
    "--file",
    "--ignore",
    "--exclude",
    "--ui",
    "-u",
    "--reporter",
];

/// A configuration that a command names counts for so many patterns.
const FILE_IN_PATTERNS: usize = 50;

/// The keys of the runners' configurations that say what is collected.
pub(super) const JEST: &[&str] = &["testMatch", "testRegex"];
pub(super) const MOCHA: &[&str] = &["spec"];
pub(super) const VITEST: &[&str] = &["include"];

impl Collected {
    pub(super) fn package_json(&mut self, folder: &RelPath, text: &str, read: Read<'_>) {
        let Ok(manifest) = serde_json::from_str::<Json>(text) else { return };
        for (tool, keys) in [("jest", JEST), ("mocha", MOCHA)] {
            self.json(folder, keys, &manifest[tool]);
        }
        // One script may call another, whatever that is called.
        for script in
            manifest["scripts"].as_object().into_iter().flatten().filter_map(|(_, said)| said.as_str())
        {
            for command in script.split([';', '&', '|']) {
                let words: Vec<&str> = command.split_whitespace().collect();
                self.scripts(folder, &words, read);
            }
        }
    }

    /// The keys of a configuration, and of the projects in it.
    fn json(&mut self, folder: &RelPath, keys: &[&str], said: &Json) {
        for key in keys {
            let many = said[*key].as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(&said[*key]));
            for pattern in many.iter().filter_map(Json::as_str) {
                self.script_pattern(folder, key, pattern);
            }
        }
        for project in said["projects"].as_array().into_iter().flatten() {
            self.json(folder, keys, project);
        }
    }

    /// A configuration that is code or data of its own.
    pub(super) fn script_config(&mut self, folder: &RelPath, keys: &[&str], text: &str) {
        for key in keys {
            for pattern in values(text, key) {
                self.script_pattern(folder, key, &pattern.replace("\\\\", "\\"));
            }
        }
    }

    /// Files, folders and patterns behind a runner's name.
    pub(super) fn scripts(&mut self, folder: &RelPath, words: &[&str], read: Read<'_>) {
        let named = |word: &&str| match word.rsplit('/').next()? {
            "mocha" | "_mocha" | "--test" => Some(MOCHA),
            "jest" => Some(JEST),
            "vitest" => Some(VITEST),
            _ => None,
        };
        let runner = words.iter().enumerate().find_map(|(at, word)| Some((at, named(word)?)));
        let Some((at, keys)) = runner else { return };
        let mut words = words[at + 1..].iter().take(MOST).map(|word| word.trim_matches(['"', '\'']));
        while let Some(word) = words.next() {
            let (option, glued) = match word.split_once('=') {
                Some((option, value)) if word.starts_with('-') => {
                    (option, Some(value.trim_matches(['"', '\''])))
                }
                _ => (word, None),
            };
            match option {
                "--testMatch" | "--testRegex" | "--spec" => {
                    if let Some(pattern) = glued.or_else(|| words.next()) {
                        self.script_pattern(folder, &option[2..], pattern);
                    }
                }
                "-c" | "--config" => {
                    let path = glued.or_else(|| words.next()).and_then(|path| folder.resolve(path));
                    self.tried += FILE_IN_PATTERNS;
                    let path = path.filter(|_| self.tried <= MOST_PATTERNS);
                    if let Some((path, text)) = path.and_then(|path| Some((path.clone(), read(&path)?))) {
                        self.script_config(&path.parent().unwrap_or_else(RelPath::root), keys, &text);
                    }
                }
                option if TAKES_A_VALUE.contains(&option) && glued.is_none() => drop(words.next()),
                option if option.starts_with('-') => {}
                // To the others a word is a part of a name.
                word if keys == MOCHA || has_an_end(word) || is_pattern(word) => {
                    self.script_pattern(folder, "spec", word);
                }
                _ => {}
            }
        }
    }

    fn script_pattern(&mut self, folder: &RelPath, key: &str, pattern: &str) {
        if key == "testRegex" {
            // What is looked at is the whole path. What this cannot read (what comes before or behind) may be any.
            let matches = || Regex::new(&pattern.replace("<rootDir>", "")).or_else(|_| Regex::new("")).ok();
            return self.add(matches, Part::Rooted, Vec::new(), Tests::JavaScript);
        }
        if pattern.starts_with('!') {
            return;
        }
        // A project's root may be anywhere.
        let whole = match pattern.strip_prefix("<rootDir>/") {
            Some(rest) => RelPath::root().resolve(&format!("**/{rest}")),
            None => folder.resolve(pattern),
        };
        let Some(whole) = whole else { return };
        let below = if whole.is_root() { "**".to_owned() } else { format!("{whole}/**") };
        self.add(|| glob(whole.as_str()), Part::Path, Vec::new(), Tests::JavaScript);
        // A folder is all that is in it.
        if key == "spec" && !has_an_end(pattern) && !is_pattern(pattern) {
            self.add(|| glob(&below), Part::Path, Vec::new(), Tests::JavaScript);
        }
    }
}

fn has_an_end(word: &str) -> bool {
    SCRIPTS.iter().any(|end| word.ends_with(end))
}

fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '{', '['])
}
