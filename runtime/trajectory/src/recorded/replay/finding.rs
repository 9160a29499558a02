//! Calls that list and search.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

use super::super::command::{Filter, Search, Shows};
use super::{Compared, Difference, Replay, same_names, unexplained};

/// The most that a call lists, and that one finds.
const LISTED: usize = 5000;
const FOUND: usize = 10_000;

impl Replay<'_> {
    /// Lists a folder.
    pub(super) fn list_folder(&mut self, path: &str, hidden: bool, answer: &str) -> Compared {
        let mut args = json!({"depth": 1, "ignored": true});
        if hidden {
            args["hidden"] = json!(true);
        }
        let ours = self.list(path, args)?;
        // `ls -F` marks what is no plain file.
        let theirs = answer.split_whitespace().map(|name| name.trim_end_matches(['/', '*', '@']));
        // The repository's own data is no file of it.
        let theirs = theirs.filter(|name| !matches!(*name, "." | ".." | ".git" | "")).map(str::to_owned);
        same_names(&theirs.collect(), &ours.iter().map(|path| name_of(path)).collect())
    }

    /// Lists a folder and the folders in it: files, and folders of the second level.
    pub(super) fn two_levels(&mut self, path: &str, answer: &str) -> Compared {
        let ours: BTreeSet<String> = self
            .list(path, json!({"depth": 2, "ignored": true}))?
            .iter()
            .map(|path| path.trim_end_matches('/').to_owned())
            .collect();
        let named = answer.lines().filter(|line| line.starts_with('/'));
        let theirs: BTreeSet<String> = named.filter_map(|line| self.place(line).ok()).collect();
        // Ours names no folder whose files it names. What is in one stands in order: an answer may have any number of lines.
        let leaf = |path: &&String| {
            let folder = format!("{path}/");
            !theirs.range(folder.clone()..).next().is_some_and(|other| other.starts_with(&folder))
        };
        let inner = |found: &&String| found.as_str() != path;
        let theirs: BTreeSet<String> = theirs.iter().filter(inner).filter(leaf).cloned().collect();
        same_names(&theirs, &ours)
    }

    /// Finds files by their names.
    pub(super) fn find_files(
        &mut self,
        written: &str,
        path: &str,
        names: &[String],
        filter: &Filter,
        answer: &str,
    ) -> Compared {
        let mut args = json!({"hidden": true, "ignored": true, "limit": LISTED});
        if !names.is_empty() {
            args["globs"] = json!(names);
        }
        let mut ours = BTreeSet::new();
        let filters: Vec<(Regex, bool)> = filter
            .lines
            .iter()
            .map(|(expression, not)| {
                Ok((Regex::new(expression).map_err(|error| unexplained(error.to_string()))?, *not))
            })
            .collect::<Result<_, Difference>>()?;
        for found in self.list(path, args)? {
            // As their line is written, on which their filters work.
            let rest = if path == "." { Some(found.as_str()) } else { found.strip_prefix(path) };
            let line = format!(
                "{}/{}",
                written.trim_end_matches('/'),
                rest.unwrap_or_default().trim_start_matches('/')
            );
            if filters.iter().all(|(expression, not)| expression.is_match(&line) != *not) {
                ours.insert(found);
            }
        }
        let lines = answer
            .lines()
            .filter(|line| !line.starts_with("Found ") && !line.starts_with("No matches found"));
        let theirs: BTreeSet<String> = lines.filter_map(|line| self.place(line.trim()).ok()).collect();
        // Which ones are the first, the file system says.
        if filter.head.is_some_and(|head| theirs.len() == head) && theirs.is_subset(&ours) {
            return Ok(());
        }
        same_names(&theirs, &ours)
    }

    /// Searches contents.
    pub(super) fn search(&mut self, search: &Search, path: &str, answer: &str) -> Compared {
        let mut args = json!({"pattern": search.pattern, "hidden": true, "ignored": true, "limit": FOUND});
        if path != "." {
            args["path"] = json!(path);
        }
        if search.literal {
            args["literal"] = json!(true);
        }
        if search.ignore_case {
            args["case_sensitive"] = json!(false);
        }
        if !search.names.is_empty() {
            args["globs"] = json!(search.names);
        }
        let outcome = self.call("search", &args);
        if !outcome.ok {
            return Err(self.failed(&outcome));
        }
        let matches = outcome.output.as_ref().and_then(|output| output["matches"].as_array()).cloned();
        let ours: Vec<Line> = matches.unwrap_or_default().iter().map(Line::of).collect();
        match search.shows {
            Shows::Counts => self.same_counts(&ours, answer),
            Shows::Files => {
                let ours: BTreeSet<String> = ours.into_iter().map(|line| line.path).collect();
                let theirs: BTreeSet<String> =
                    answer.lines().filter_map(|line| self.place(line).ok()).collect();
                if search.head.is_some_and(|head| theirs.len() == head) && theirs.is_subset(&ours) {
                    return Ok(());
                }
                same_names(&theirs, &ours)
            }
            Shows::Lines => self.same_matches(search, &ours, answer),
        }
    }

    /// Compares counts by file, `PATH (N matches)`.
    fn same_counts(&self, ours: &[Line], answer: &str) -> Compared {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in ours {
            *counts.entry(&line.path).or_default() += 1;
        }
        let ours = counts.into_iter().map(|(path, count)| format!("{path} ({count})")).collect();
        let theirs = answer.lines().filter_map(|line| {
            let (path, count) = line.strip_suffix(" matches)")?.rsplit_once(" (")?;
            Some(format!("{} ({count})", self.place(path).ok()?))
        });
        same_names(&theirs.collect(), &ours)
    }

    /// Compares matching lines, written as grep or their `search_file` writes them.
    fn same_matches(&self, search: &Search, ours: &[Line], answer: &str) -> Compared {
        let around = |line: &&str| {
            !["Found ", "End of matches", "No matches found"].iter().any(|begin| line.starts_with(begin))
        };
        let theirs: Vec<&str> = answer.lines().filter(around).filter(|line| !line.is_empty()).collect();
        let mut left: Vec<&Line> = ours.iter().collect();
        for line in &theirs {
            let Some(at) = left.iter().position(|ours| ours.is_written(self, line)) else {
                return Err(unexplained(format!("ours does not find {line:?}")));
            };
            left.remove(at);
        }
        let cut = search.head.is_some_and(|head| theirs.len() == head);
        if left.is_empty() || cut {
            Ok(())
        } else {
            Err(unexplained(format!("ours finds {} lines more", left.len())))
        }
    }

    /// Returns the paths of a call of `list`, page by page.
    fn list(&mut self, path: &str, mut args: Value) -> Result<Vec<String>, Difference> {
        if path != "." {
            args["path"] = json!(path);
        }
        let mut outcome = self.call("list", &args);
        let mut paths = Vec::new();
        loop {
            if !outcome.ok {
                return Err(self.failed(&outcome));
            }
            let output = outcome.output.take().unwrap_or_default();
            paths.extend(
                output["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned),
            );
            match output["next"].as_str() {
                Some(next) => args["cursor"] = json!(next),
                None => return Ok(paths),
            }
            outcome = self.tools.call("list", &args);
        }
    }
}

/// A line that `search` found.
struct Line {
    path: String,
    line: u64,
    text: String,
}

impl Line {
    fn of(found: &Value) -> Self {
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Self { path: text("path"), line: found["line"].as_u64().unwrap_or_default(), text: text("text") }
    }

    /// Whether a line of theirs is this one: with or without number and path, however the path is written.
    fn is_written(&self, replay: &Replay<'_>, line: &str) -> bool {
        let text = self.text.trim_end();
        let Some(head) = line.trim_end().strip_suffix(text) else { return false };
        let number = format!("{}:", self.line);
        let head = head.strip_suffix(&number).unwrap_or(head);
        match head.strip_suffix(':') {
            Some(path) => replay.place(path).is_ok_and(|path| path == self.path),
            None => head.is_empty() || head == "Line ",
        }
    }
}

/// The last name of a path.
fn name_of(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}
