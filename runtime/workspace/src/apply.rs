//! From somebody's diff to a patch of ours: applied in an index of our own, nothing on a disk.

use gloaming_api::bowout::shorten;
use gloaming_api::path::escape_name;

use crate::diff::{Index, between};
use crate::store::Store;
use crate::{ApplyError, CommitId, Patch, RepoError, TreeId};

/// No reviewable change is larger.
const LIMIT: usize = 64 << 20;

/// Applies `diff` to the base's tree and returns our own diff of the two trees.
pub(crate) fn apply(
    store: &Store,
    base: &CommitId,
    base_tree: &TreeId,
    diff: &[u8],
) -> Result<Patch, ApplyError> {
    if diff.trim_ascii().is_empty() {
        return Err(ApplyError::Empty);
    }
    if diff.len() > LIMIT {
        return Err(ApplyError::TooLarge { limit: LIMIT });
    }
    let index = Index::of(store, base_tree)?;
    let finished = index
        .git("apply the patch", "apply")
        .args(["--cached", "--whitespace=nowarn", "-p1", "-"])
        .stdin(diff)
        .run()?;
    if !finished.success {
        return Err(refusal(store, &finished.stderr));
    }
    let tree = index.write_tree()?;
    match between(store, base, base_tree, tree) {
        Ok(patch) => Ok(patch),
        Err(RepoError::Unfreezable { path, why: "it is a submodule" }) => Err(ApplyError::Submodule { path }),
        Err(RepoError::Unfreezable { path, why }) => Err(ApplyError::BadPath { path, why }),
        Err(error) => Err(error.into()),
    }
}

/// Turns what `git apply` said into where and why it failed.
fn refusal(store: &Store, stderr: &str) -> ApplyError {
    let complaints: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("fatal: ")))
        .collect();
    let Some(first) = complaints.first().copied() else {
        return store.explain(crate::git::failure("apply the patch", stderr)).into();
    };
    if first.starts_with("No valid patches in input") {
        return ApplyError::Empty;
    }
    if let Some(path) = first.strip_prefix("invalid path ") {
        let path = escape_name(path.trim_matches('\'').as_bytes());
        return ApplyError::BadPath {
            path,
            why: "it leaves the repository or reaches into git's own folder",
        };
    }
    if let Some(path) = first.strip_suffix(" is beyond a symbolic link") {
        let path = path.strip_prefix("affected file ").unwrap_or(path).trim_matches('\'');
        return ApplyError::BadPath {
            path: escape_name(path.as_bytes()),
            why: "it lies behind a symbolic link",
        };
    }
    if let error @ RepoError::MissingObject { .. } =
        store.explain(crate::git::failure("apply the patch", stderr))
    {
        return error.into();
    }
    let detail = shorten(&escape_name(first.as_bytes()), 300);
    let digits = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    // "patch failed: src/lib.rs:3", "src/lib.rs: does not exist in index", "corrupt patch at line 7".
    if let Some((file, line)) = first.strip_prefix("patch failed: ").and_then(|place| place.rsplit_once(':'))
    {
        let detail = match complaints.get(1) {
            Some(why) => shorten(&escape_name(format!("{first} ({why})").as_bytes()), 300),
            None => detail,
        };
        return ApplyError::DoesNotApply {
            file: Some(escape_name(file.as_bytes())),
            line: digits(line),
            detail,
        };
    }
    if let Some((_, line)) = first.rsplit_once("at line ").or_else(|| first.rsplit_once("at <stdin>:")) {
        return ApplyError::DoesNotApply { file: None, line: digits(line), detail };
    }
    let file = first.split_once(": ").map(|(file, _)| escape_name(file.as_bytes()));
    ApplyError::DoesNotApply { file, line: None, detail }
}
