//! V0 and V1: does the patch apply, is it of a size anyone reviews, may it touch what it touches.

use gloaming_api::RelPath;
use gloaming_api::evidence::{ChangedFile, FileChange, FileRole, Finding};
use gloaming_policies::{Decision, Grant};

use crate::change::Change;
use crate::steps::{Found, count, some_of};

/// V0: applies to the base, not empty, within the policy's caps.
pub(crate) fn size(files: &[ChangedFile], grant: &Grant) -> Found {
    if files.is_empty() {
        return Found::fail(Finding::EmptyPatch, "the patch changes nothing");
    }
    let caps = grant.change();
    let lines: u64 = files.iter().map(|file| u64::from(file.added) + u64::from(file.removed)).sum();
    let files = files.len();
    if files > caps.files as usize {
        return Found::fail(
            Finding::TooLarge,
            format!("changes {files} files; the policy lets one patch change {}", caps.files),
        );
    }
    if lines > u64::from(caps.lines) {
        return Found::fail(
            Finding::TooLarge,
            format!("changes {lines} lines; the policy lets one patch change {}", caps.lines),
        );
    }
    Found::pass(format!("applies to the base: {}, {lines} changed lines", count(files, "file")))
}

/// V1: every path is one the policy lets a patch change, and no test file is deleted.
pub(crate) fn paths(change: &Change, grant: &Grant) -> Found {
    for diff in &change.files {
        if let Decision::Deny(denial) = grant.decide_change(&diff.file.path) {
            return Found::fail(Finding::ProtectedPath, format!("{}: {denial}", shown(&diff.file.path)));
        }
    }
    let moves = change.moves();
    let is_test = |path: &RelPath| {
        change.files.iter().any(|diff| diff.file.path == *path && diff.file.role == FileRole::Test)
    };
    let deleted: Vec<String> = change
        .files
        .iter()
        .filter(|diff| diff.file.change == FileChange::Deleted && diff.file.role == FileRole::Test)
        .filter(|diff| !moves.iter().any(|(old, new)| *old == diff.file.path && is_test(new)))
        .map(|diff| shown(&diff.file.path))
        .collect();
    if !deleted.is_empty() {
        return Found::fail(Finding::TestsWeakened, format!("deletes {}", some_of(&deleted)));
    }
    Found::pass("every changed path may be changed")
}

fn shown(path: &RelPath) -> String {
    gloaming_api::path::escape_name(path.as_str().as_bytes())
}
