//! What was merged before: the sizes and subjects of the changes on the way to a commit.

use std::io::Read as _;
use std::time::Duration;

use gloaming_api::RelPath;
use gloaming_api::bowout::shorten;
use gloaming_api::evidence::FileRole;

use crate::locate::{Facts, Location};
use crate::store::{Store, Window, rel_path};
use crate::{CommitId, RepoError, role};

/// One change that was merged: a commit or, of a merge, the difference to its first parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastChange {
    /// The first paragraph of the message on one line, at most 200 characters.
    pub subject: String,
    /// How many files changed; a moved one counts where it was and where it is.
    pub files: u32,
    /// Lines added and removed together; 0 for binary files and those beyond 1 MiB.
    pub lines: u32,
    /// Whether one of the files is a test's ([`FileRole::Test`]).
    pub tests: bool,
    /// The files, of those whose names are UTF-8.
    pub paths: Vec<RelPath>,
}

/// More commits than this are never looked at.
const MOST: usize = 2_000;

/// What git may say about them.
const MOST_BYTES: u64 = 16 << 20;

/// What is known after this has to do.
const TIME: Duration = Duration::from_secs(60);

/// Begins the line of a commit. No line of counts begins with it, and what follows it is read by its place.
const MARK: u8 = 2;

/// Returns the changes on the way from `tip` along first parents, newest first.
pub(crate) fn history(
    store: &Store,
    location: &Location,
    facts: &Facts,
    tip: &CommitId,
    most: usize,
) -> Result<Vec<PastChange>, RepoError> {
    // In the store a shallow clone's border is not known, and its parents would be missed.
    let window = Window::open(&store.scratch, location, facts, &location.git_dir)?;
    let git = window
        .git("read the history", "log")
        // A file of the repository's that only makes this faster, if it is right.
        .setting("core.commitGraph", "false")
        .setting("core.bigFileThreshold", "1m")
        .args([
            "-z",
            "--first-parent",
            "--diff-merges=first-parent",
            "--numstat",
            "--no-renames",
            "--no-color",
        ])
        .args([
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=none",
            "--no-mailmap",
            "--encoding=UTF-8",
        ])
        .args(["--no-show-signature", "--no-notes", "--diff-algorithm=myers"])
        .arg(format!("--format=%x{MARK:02x}%P%x00%s"))
        .arg(format!("--max-count={}", most.min(MOST)))
        .args(["--end-of-options", tip.as_str(), "--"])
        .timeout(TIME);
    let mut running = git.start()?;
    let mut output = Vec::new();
    let read = running.stdout().take(MOST_BYTES).read_to_end(&mut output);
    read.map_err(|source| RepoError::Io { operation: "read the output of", path: "git".into(), source })?;
    let whole = if output.len() as u64 == MOST_BYTES {
        drop(running);
        false
    } else {
        match running.finish() {
            Ok(finished) if finished.success => true,
            Ok(finished) => {
                return Err(store.explain(crate::git::failure("read the history", &finished.stderr)));
            }
            Err(RepoError::TimedOut { .. }) => false,
            Err(error) => return Err(error),
        }
    };
    let mut changes = parse(&output);
    if !whole {
        changes.pop();
    }
    // The first commit of all and the border of a shallow clone are no changes: everything is new in them.
    Ok(changes.into_iter().filter(|(has_parent, _)| *has_parent).map(|(_, change)| change).collect())
}

/// Reads git's answer; whether each change has a parent comes with it.
fn parse(output: &[u8]) -> Vec<(bool, PastChange)> {
    let mut changes: Vec<(bool, PastChange)> = Vec::new();
    let mut fields = output.split(|byte| *byte == 0);
    while let Some(field) = fields.next() {
        if let Some(parents) = field.strip_prefix(&[MARK]) {
            let subject = String::from_utf8_lossy(fields.next().unwrap_or_default());
            let subject = shorten(subject.trim(), 200);
            let change = PastChange { subject, files: 0, lines: 0, tests: false, paths: Vec::new() };
            changes.push((!parents.is_empty(), change));
            continue;
        }
        let mut parts = field.strip_prefix(b"\n").unwrap_or(field).splitn(3, |byte| *byte == b'\t');
        let (Some(added), Some(removed), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let Some((_, change)) = changes.last_mut() else { continue };
        // A binary file has dashes.
        let count = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        let lines = count(added).unwrap_or(0u32).saturating_add(count(removed).unwrap_or(0));
        change.files = change.files.saturating_add(1);
        change.lines = change.lines.saturating_add(lines);
        if let Some(path) = rel_path(path) {
            change.tests |= role(&path) == FileRole::Test;
            change.paths.push(path);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_or_a_path_is_no_line_of_another_kind() {
        let output =
            b"\x02p q\0\x02fix: 1\t2\tx\0\n3\t4\t\x02a.rs\x00-\t-\tx.png\x001\t0\ttests/a.rs\0\0\x02\0\0";
        let changes = parse(output);
        let seen = |at: usize| -> (bool, &str, u32, u32, bool) {
            let (parent, change) = &changes[at];
            (*parent, &change.subject, change.files, change.lines, change.tests)
        };
        assert_eq!(changes.len(), 2);
        assert_eq!(seen(0), (true, "\u{2}fix: 1\t2\tx", 3, 8, true));
        assert_eq!(seen(1), (false, "", 0, 0, false));
        assert_eq!(parse(b""), []);
        assert_eq!(parse(b"1\t2\tx\0\x02"), [(false, changes[1].1.clone())]);
        let huge = parse(b"\x02p\0x\0\n4294967295\t4294967295\ta\x0099999999999\t1\tb\0");
        assert_eq!((huge[0].1.files, huge[0].1.lines), (2, u32::MAX));
    }
}
