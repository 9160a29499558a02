//! The canonical form of a change: our own diff of two trees.

use std::path::Path;

use gloaming_api::Digest;
use gloaming_api::evidence::{ChangedFile, FileChange};
use gloaming_api::path::escape_name;

use crate::files::io_error;
use crate::git::Git;
use crate::store::{Store, entry_kind, rel_path};
use crate::{CommitId, EntryKind, Patch, RepoError, TreeId, names, role};

/// Options that could otherwise depend on a configuration or a version's defaults.
const STABLE: &[&str] = &["-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none"];

/// The same for the text of a diff; each of these asks for one.
const TEXT: &[&str] = &[
    "--patch",
    "--no-color",
    "--full-index",
    "--binary",
    "--unified=3",
    "--inter-hunk-context=0",
    "--diff-algorithm=myers",
    "--indent-heuristic",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
];

/// Makes the patch that turns the base's tree into `tree`.
pub(crate) fn between(
    store: &Store,
    base: &CommitId,
    base_tree: &TreeId,
    tree: TreeId,
) -> Result<Patch, RepoError> {
    let files = changed_files(store, base_tree, &tree)?;
    let git = store.git("compare the trees", "diff-tree").args(STABLE).args(TEXT);
    let diff = store.output(git.args(["--end-of-options", base_tree.as_str(), tree.as_str()]))?;
    Ok(Patch { base: base.clone(), tree, digest: Digest::of(&diff), diff, files, skipped: Vec::new() })
}

fn changed_files(store: &Store, before: &TreeId, after: &TreeId) -> Result<Vec<ChangedFile>, RepoError> {
    let git = store
        .git("compare the trees", "diff-tree")
        .args(["--raw", "--numstat", "-z", "--no-abbrev"])
        .args(STABLE);
    let output = store.output(git.args(["--end-of-options", before.as_str(), after.as_str()]))?;
    let unexpected =
        || RepoError::Git { operation: "compare the trees", stderr: "unexpected output of diff-tree".into() };
    let mut fields = output.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    let mut files: Vec<(Vec<u8>, ChangedFile)> = Vec::new();
    let mut counts = 0;
    while let Some(field) = fields.next() {
        if field.first() == Some(&b':') {
            let facts = std::str::from_utf8(field).map_err(|_| unexpected())?;
            let raw = fields.next().ok_or_else(unexpected)?;
            let words: Vec<&str> = facts[1..].split(' ').collect();
            let [old_mode, new_mode, _, _, status] = words.as_slice() else { return Err(unexpected()) };
            let unfreezable = |why| RepoError::Unfreezable { path: escape_name(raw), why };
            if let Some(why) = names::refused(raw) {
                return Err(unfreezable(why));
            }
            // Policy decides on names, and no rule can name what is not text.
            let path = rel_path(raw).ok_or_else(|| unfreezable("its name is not UTF-8"))?;
            for mode in [old_mode, new_mode] {
                if entry_kind(mode) == Some(EntryKind::Submodule) {
                    return Err(unfreezable("it is a submodule"));
                }
            }
            let change = match *status {
                "A" => FileChange::Added,
                "D" => FileChange::Deleted,
                "M" if old_mode == new_mode => FileChange::Modified,
                "M" | "T" => FileChange::ModeChanged,
                _ => return Err(unexpected()),
            };
            let role = role(&path);
            files.push((
                raw.to_vec(),
                ChangedFile { path, change, added: 0, removed: 0, binary: false, role },
            ));
            continue;
        }
        let mut parts = field.splitn(3, |byte| *byte == b'\t');
        let (Some(added), Some(removed), Some(raw)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unexpected());
        };
        let (path, file) = files.get_mut(counts).ok_or_else(unexpected)?;
        if path.as_slice() != raw {
            return Err(unexpected());
        }
        counts += 1;
        let count = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        if added == b"-" {
            file.binary = true;
        } else {
            file.added = count(added).ok_or_else(unexpected)?;
            file.removed = count(removed).ok_or_else(unexpected)?;
        }
    }
    if counts != files.len() {
        return Err(unexpected());
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

/// An index of ours that lives as long as one operation.
pub(crate) struct Index<'a> {
    store: &'a Store,
    file: tempfile::TempDir,
}

impl<'a> Index<'a> {
    /// Makes an index that holds a tree.
    pub(crate) fn of(store: &'a Store, tree: &TreeId) -> Result<Self, RepoError> {
        let file = tempfile::Builder::new()
            .prefix("index-")
            .tempdir_in(&store.scratch)
            .map_err(|source| io_error("make a folder in", &store.scratch, source))?;
        let index = Self { store, file };
        store.output(index.git("read the base", "read-tree").arg(tree.as_str()))?;
        Ok(index)
    }

    /// Begins a command on this index.
    pub(crate) fn git(&self, operation: &'static str, command: &str) -> Git {
        let path: &Path = self.file.path();
        self.store.git(operation, command).with_env("GIT_INDEX_FILE", path.join("index"))
    }

    /// Writes the index as a tree into the store.
    pub(crate) fn write_tree(&self) -> Result<TreeId, RepoError> {
        let oid = self
            .git("write the tree", "write-tree")
            .object_id()
            .map_err(|error| self.store.explain(error))?;
        Ok(TreeId(oid))
    }
}
