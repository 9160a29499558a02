//! Calls that change files.

use gloaming_api::tool::ToolOutcome;
use serde_json::json;
use similar::TextDiff;

use super::super::Reason;
use super::super::seen::{self, Refusal, Window};
use super::looking::expanded;
use super::{Compared, Difference, Replay, unexplained};

/// How many places of a text are tried for the one that theirs meant.
const PLACES: usize = 50;

/// The most pairs of lines between what two texts begin and end with alike that are compared. To find the shortest way from
/// one to the other takes time by them, and a limit of time would make a replay's calls depend on the machine.
const PAIRS: usize = 4_000_000;

impl Replay<'_> {
    /// Makes a file. Without a text it is empty, or holds one line feed in their older versions.
    pub(super) fn create(&mut self, path: &str, text: Option<String>, answer: &str) -> Compared {
        let window = seen::window(answer);
        let empty = if window.as_ref().is_some_and(|window| window.total == Some(0)) { "" } else { "\n" };
        let args = json!({"path": path, "content": text.as_deref().unwrap_or(empty)});
        if seen::refusal(answer).is_some() {
            return self.both_refuse("write", &args, answer);
        }
        let outcome = self.call("write", &args);
        if !outcome.ok {
            return Err(self.failed(&outcome));
        }
        match window {
            Some(window) => self.holds(path, &window),
            None => Ok(()),
        }
    }

    /// Replaces lines by their numbers.
    pub(super) fn edit_lines(
        &mut self,
        path: &str,
        (first, last): (usize, usize),
        text: &str,
        answer: &str,
    ) -> Compared {
        let before = self.content(path)?;
        let mut lines: Vec<&str> = before.split('\n').collect();
        let from = first.saturating_sub(1).min(lines.len());
        let to = last.clamp(from, lines.len());
        let new: Vec<&str> = if text.is_empty() { Vec::new() } else { text.split('\n').collect() };
        lines.splice(from..to, new);
        let after = lines.join("\n");
        self.rewrite(path, &before, &after, answer)
    }

    /// Puts lines behind a line, or at the end.
    pub(super) fn insert(&mut self, path: &str, after: Option<i64>, text: &str, answer: &str) -> Compared {
        let before = self.content(path)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let new = match after {
            None if before.is_empty() => text.to_owned(),
            None => format!("{}\n{text}", before.strip_suffix('\n').unwrap_or(&before)),
            Some(line) => {
                let mut lines: Vec<&str> = before.split('\n').collect();
                let at = usize::try_from(line).unwrap_or(0).min(lines.len());
                lines.insert(at, text);
                lines.join("\n")
            }
        };
        self.rewrite(path, &before, &new, answer)
    }

    /// Replaces a text by another.
    pub(super) fn replace(&mut self, path: &str, old: &str, new: &str, all: bool, answer: &str) -> Compared {
        let before = self.content(path)?;
        let mut args = json!({"path": path, "old": old, "new": new});
        if all {
            args["all"] = json!(true);
        }
        let outcome = self.call("edit", &args);
        if seen::refusal(answer) == Some(Refusal::Other) {
            if outcome.ok {
                self.take_back(path, &before)?;
                let elsewhere = answer.contains("displayed lines");
                let reason = if elsewhere { Reason::UniqueInFile } else { Reason::Unexplained };
                return Err((reason, "theirs refuses the edit, and ours makes it".to_owned()));
            }
            return Ok(());
        }
        if outcome.ok {
            return self.compare(path, &before, answer);
        }
        if before.matches(old).count() > 1 {
            return self.in_their_window(path, &before, (old, new), answer);
        }
        if !before.contains(old) && expanded(&before).contains(&expanded(old)) {
            let detail = "the text stands there with tabs, and was written with spaces".to_owned();
            return Err((Reason::Tabs, detail));
        }
        Err(self.failed(&outcome))
    }

    /// Replaces a text that occurs several times where their viewer showed it: one of the places leaves the file as their
    /// answer shows it.
    fn in_their_window(
        &mut self,
        path: &str,
        before: &str,
        (old, new): (&str, &str),
        answer: &str,
    ) -> Compared {
        for (at, _) in before.match_indices(old).take(PLACES) {
            let after = format!("{}{new}{}", &before[..at], &before[at + old.len()..]);
            let calls = self.ours.len();
            if self.rewrite(path, before, &after, answer).is_ok() {
                let detail = "made by `patch`, since the text occurs several times".to_owned();
                return Err((Reason::UniqueInFile, detail));
            }
            self.ours.truncate(calls);
            self.take_back(path, before)?;
        }
        Err(unexplained("no place of the text gives what theirs shows"))
    }

    /// Makes one text of another by a patch, and compares.
    fn rewrite(&mut self, path: &str, before: &str, after: &str, answer: &str) -> Compared {
        let outcome = if before == after {
            ToolOutcome::ok(json!({}))
        } else if before.is_empty() || pairs(before, after) > PAIRS {
            // A patch has no place in an empty file; and what differs in so much is written whole.
            self.call("write", &json!({"path": path, "content": after, "overwrite": true}))
        } else {
            let diff = TextDiff::from_lines(before, after);
            let patch = diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
            self.call("patch", &json!({"patch": patch}))
        };
        if !outcome.ok {
            return Err(self.failed(&outcome));
        }
        self.compare(path, before, answer)
    }

    /// Compares a file that was changed with their answer, which shows it; what their linter refused is taken back.
    fn compare(&mut self, path: &str, before: &str, answer: &str) -> Compared {
        let shown = seen::window(answer).unwrap_or_else(|| seen::cat_n(answer));
        let compared = self.holds(path, &shown);
        match seen::refusal(answer) {
            None if shown == Window::default() => Err(unexplained("their answer shows nothing of the edit")),
            None => compared,
            Some(refusal) => {
                self.take_back(path, before)?;
                compared?;
                match refusal {
                    Refusal::Linter => {
                        let finding = answer.lines().find(|line| line.starts_with("- "));
                        Err((
                            Reason::LinterRefuses,
                            finding.unwrap_or_default().trim_start_matches("- ").to_owned(),
                        ))
                    }
                    Refusal::Other => Err(unexplained("theirs refuses the edit, and ours makes it")),
                }
            }
        }
    }

    /// Removes a file or folder.
    pub(super) fn remove(&mut self, path: &str, recursive: bool, answer: &str) -> Compared {
        let mut args = json!({"path": path});
        if recursive {
            args["recursive"] = json!(true);
        }
        if seen::refusal(answer).is_some() {
            return self.both_refuse("remove", &args, answer);
        }
        let outcome = self.call("remove", &args);
        if outcome.ok { Ok(()) } else { Err(self.failed(&outcome)) }
    }

    /// Shows the whole change, which is what handing it in is here.
    pub(super) fn submit(&mut self, answer: &str) -> Compared {
        let outcome = self.call("diff", &json!({}));
        if !outcome.ok {
            return Err(self.failed(&outcome));
        }
        let ours = outcome.output.as_ref().and_then(|output| output["text"].as_str()).unwrap_or_default();
        let (ours, theirs) = (seen::essential(ours), seen::essential(seen::diff(answer)));
        match ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs) {
            None if ours.len() == theirs.len() => Ok(()),
            at => {
                let at = at.unwrap_or(ours.len().min(theirs.len()));
                let line =
                    |lines: &[String]| lines.get(at).map_or("nothing".to_owned(), |line| format!("{line:?}"));
                Err(unexplained(format!("the change differs: {} here, {} there", line(&ours), line(&theirs))))
            }
        }
    }

    /// Puts a file back, so that both go on from the same one.
    fn take_back(&mut self, path: &str, before: &str) -> Result<(), Difference> {
        let args = json!({"path": path, "content": before, "overwrite": true});
        let outcome = self.tools.call("write", &args);
        if outcome.ok { Ok(()) } else { Err(self.failed(&outcome)) }
    }
}

/// Returns how many pairs of lines differ as far as two texts do not begin and end alike.
fn pairs(before: &str, after: &str) -> usize {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let begin = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[begin..], &new[begin..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    (old.len() - end).saturating_mul(new.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_is_bounded_by_what_differs() {
        let numbered =
            |name: &str, count: usize| -> String { (0..count).map(|at| format!("{name} {at}\n")).collect() };
        let (long, other) = (numbered("a", 100_000), numbered("b", 3_000));
        assert_eq!(pairs(&long, &long), 0);
        // One line in the middle of many, one more, one less.
        assert_eq!(pairs(&long, &long.replacen("a 500\n", "x\n", 1)), 1);
        assert_eq!(pairs(&long, &long.replacen("a 500\n", "a 500\nx\n", 1)), 0);
        assert_eq!(pairs(&long, &long.replacen("a 500\n", "", 1)), 0);
        assert_eq!(pairs("a\n", ""), 0);
        assert!(pairs(&numbered("a", 3_000), &other) > PAIRS);
        assert!(pairs(&numbered("a", 1_000), &numbered("b", 1_000)) < PAIRS);
    }
}
