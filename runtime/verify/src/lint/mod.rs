//! V4: what linters, formatters and type checkers say of both trees, so that only what is new counts.
//!
//! A finding is known by its tool, rule, file and the content of its line, never by the line's number: what moved
//! is not new. Where a patch edits a line that had a finding of the rule before, the finding was there
//! before too.

mod machine;
mod sarif;
mod step;
mod text;
mod tools;

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::bowout::shorten;
use gloaming_api::evidence::{LintFinding, LintLevel};
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::runners::TreeView;

pub use step::LintSeen;
pub(crate) use step::{commands, look, step};
use tools::{Asked, ask};

/// The most findings of one command that are kept.
const MOST: usize = 20_000;

/// The most characters of a message.
const MESSAGE: usize = 300;

/// A finding as a tool's output has it: the path as printed, nothing checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Raw {
    tool: String,
    rule: String,
    path: String,
    line: u32,
    message: String,
    level: Option<LintLevel>,
}

/// A finding with the line it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What was found, and where in the tree it was found in.
    #[serde(flatten)]
    pub finding: LintFinding,
    /// The line without its indentation and with single spaces; the message where there is no line.
    pub text: String,
}

/// Tool, rule, file and line by which a finding is known.
type Key<'s> = (&'s str, &'s str, &'s RelPath, String);

impl Seen {
    fn key(&self) -> Key<'_> {
        (&self.finding.tool, &self.finding.rule, &self.finding.path, self.text.clone())
    }
}

/// Reads what a command printed: by its tool's machine format, else by any known one, else as text. `by` names the
/// tool where the output does not.
fn read(asked: &Asked, by: &str, stdout: &str, stderr: &str) -> Vec<Raw> {
    let machine = asked.tool.and_then(|tool| (tool.read?)(stdout, stderr));
    let found = machine.or_else(|| tools::any_machine(stdout, stderr)).unwrap_or_else(|| {
        let mut found = text::read(stdout);
        found.extend(text::read(stderr));
        found
    });
    let named = |mut raw: Raw| {
        if raw.tool.is_empty() {
            by.clone_into(&mut raw.tool);
        }
        raw
    };
    found.into_iter().take(MOST).map(named).collect()
}

/// Places findings in a tree; what is in no file of it is left out.
fn place(found: Vec<Raw>, cwd: &RelPath, tree: &TreeView<'_>) -> Vec<Seen> {
    let mut files: BTreeMap<RelPath, Vec<String>> = BTreeMap::new();
    let mut out: Vec<Seen> = Vec::new();
    for raw in found {
        let shown = raw.path.strip_prefix("file://").unwrap_or(&raw.path);
        // Below the folder the command ran in, else below the root (cargo tells paths of the workspace); an absolute
        // path is one of the container's.
        let below = cwd.join(shown).ok().filter(|path| tree.has(path));
        let path = below.or_else(|| RelPath::parse(shown).ok().filter(|path| tree.has(path)));
        let Some(path) = path else { continue };
        let message = shorten(&normal(&raw.message), MESSAGE);
        let lines = files
            .entry(path.clone())
            .or_insert_with(|| tree.read(&path).unwrap_or_default().lines().map(normal).collect());
        let index = usize::try_from(raw.line).unwrap_or(usize::MAX).checked_sub(1);
        let text = index.and_then(|index| lines.get(index)).filter(|text| !text.is_empty());
        let text = shorten(text.unwrap_or(&message), MESSAGE);
        let level = raw.level.unwrap_or(LintLevel::Warning);
        let finding = LintFinding { tool: raw.tool, rule: raw.rule, path, line: raw.line, message, level };
        out.push(Seen { finding, text });
    }
    // One finding is told of each target that a file is compiled for.
    fn order(seen: &Seen) -> (&RelPath, u32, &str, &str) {
        (&seen.finding.path, seen.finding.line, &seen.finding.rule, &seen.finding.message)
    }
    out.sort_by(|a, b| order(a).cmp(&order(b)));
    out.dedup();
    out
}

fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns what is found on the patched tree and was not on the base.
fn new_findings(before: &[Seen], after: &[Seen], change: &Change) -> Vec<LintFinding> {
    let moves: BTreeMap<RelPath, RelPath> = change.moves().into_iter().collect();
    let before: Vec<Seen> = before
        .iter()
        .map(|seen| {
            let mut seen = seen.clone();
            if let Some(new) = moves.get(&seen.finding.path) {
                seen.finding.path = new.clone();
            }
            seen
        })
        .collect();
    let mut known: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    for seen in &before {
        *known.entry(seen.key()).or_default() += 1;
    }
    // Those the patch did not touch first, so that of several alike the added one is the new one.
    let touched = |seen: &&Seen| hunk_of(change, &seen.finding).is_some();
    let (added, kept): (Vec<&Seen>, Vec<&Seen>) = after.iter().partition(touched);
    let mut new = Vec::new();
    for seen in kept.into_iter().chain(added) {
        match known.get_mut(&seen.key()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => new.push(seen),
        }
    }
    // What is left of the base's stood in lines that are gone or edited.
    new.retain(|seen| {
        let Some(removed) = hunk_of(change, &seen.finding) else { return true };
        let (tool, rule, path, _) = seen.key();
        let was_there = removed.iter().map(|line| normal(line)).any(|line| {
            match known.get_mut(&(tool, rule, path, shorten(&line, MESSAGE))) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            }
        });
        !was_there
    });
    new.sort_by(|a, b| (&a.finding.path, a.finding.line).cmp(&(&b.finding.path, b.finding.line)));
    new.into_iter().map(|seen| seen.finding.clone()).collect()
}

/// The lines that stood where the patch put the finding's line; none where it did not put it there.
fn hunk_of<'c>(change: &'c Change, finding: &LintFinding) -> Option<&'c [String]> {
    let file = change.files.iter().find(|diff| diff.file.path == finding.path)?;
    let hunk = file.hunks.iter().find(|hunk| hunk.added.iter().any(|(line, _)| *line == finding.line))?;
    Some(&hunk.removed)
}

#[cfg(test)]
mod tests;
