//! The patch as text: each changed file before and after, and the lines between.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::evidence::{ChangedFile, FileChange};
use gloaming_workspace::{EntryKind, RepoError, Repository, TreeEntry, TreeIsh};
use similar::{DiffTag, TextDiff};

/// Both sides of a patch.
pub(crate) struct Change {
    /// The changed files.
    pub(crate) files: Vec<FileDiff>,
    /// Every entry of the base's tree with a name that is UTF-8, by path.
    pub(crate) base: BTreeMap<RelPath, TreeEntry>,
    /// Every such entry of the patched tree.
    pub(crate) patched: BTreeMap<RelPath, TreeEntry>,
}

/// One changed file.
#[derive(Debug, Clone)]
pub(crate) struct FileDiff {
    /// Path, role and what happened.
    pub(crate) file: ChangedFile,
    /// The content before; none where it was no regular file.
    pub(crate) before: Option<Vec<u8>>,
    /// The content after; none where it is no regular file.
    pub(crate) after: Option<Vec<u8>>,
    /// The hunks, without context; empty for binary files.
    pub(crate) hunks: Vec<Hunk>,
}

/// Neighbouring changed lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// Removed lines without their ends.
    pub(crate) removed: Vec<String>,
    /// Added lines with their numbers after the change, counted from 1.
    pub(crate) added: Vec<(u32, String)>,
}

impl Hunk {
    /// How many lines differ.
    pub(crate) fn lines(&self) -> u64 {
        (self.removed.len() + self.added.len()) as u64
    }
}

impl FileDiff {
    pub(crate) fn new(file: ChangedFile, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Self {
        let changed = u64::from(file.added) + u64::from(file.removed);
        let hunks =
            if file.binary { Vec::new() } else { hunks(before.as_deref(), after.as_deref(), changed) };
        Self { file, before, after, hunks }
    }

    /// Returns every added line with its number.
    pub(crate) fn added(&self) -> impl Iterator<Item = (u32, &str)> {
        self.hunks.iter().flat_map(|hunk| hunk.added.iter().map(|(line, text)| (*line, text.as_str())))
    }

    /// Returns the content before as text.
    pub(crate) fn text_before(&self) -> String {
        self.before.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }

    /// Returns the content after as text.
    pub(crate) fn text_after(&self) -> String {
        self.after.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }

    /// Whether only its mode changed.
    pub(crate) fn same_content(&self) -> bool {
        self.before.is_some() && self.before == self.after
    }
}

impl Change {
    /// The names of the changed files alone.
    pub(crate) fn unread(files: &[ChangedFile]) -> Self {
        let files = files.iter().map(|file| FileDiff {
            file: file.clone(),
            before: None,
            after: None,
            hunks: Vec::new(),
        });
        Self { files: files.collect(), base: BTreeMap::new(), patched: BTreeMap::new() }
    }

    /// Reads both sides from the repository.
    pub(crate) fn read(
        repository: &Repository,
        base: &impl TreeIsh,
        patched: &impl TreeIsh,
        files: &[ChangedFile],
    ) -> Result<Self, RepoError> {
        let entries = |tree: Vec<TreeEntry>| -> BTreeMap<RelPath, TreeEntry> {
            tree.into_iter().filter_map(|entry| Some((entry.path.clone()?, entry))).collect()
        };
        let files = files
            .iter()
            .map(|file| {
                let before = match file.change {
                    FileChange::Added => None,
                    _ => repository.read_file(base, &file.path)?,
                };
                let after = match file.change {
                    FileChange::Deleted => None,
                    _ => repository.read_file(patched, &file.path)?,
                };
                Ok(FileDiff::new(file.clone(), before, after))
            })
            .collect::<Result<_, RepoError>>()?;
        Ok(Self {
            files,
            base: entries(repository.list_files(base)?),
            patched: entries(repository.list_files(patched)?),
        })
    }

    /// Returns files that moved with their content as it was: old path, new path.
    pub(crate) fn moves(&self) -> Vec<(RelPath, RelPath)> {
        let mut taken: Vec<&RelPath> = Vec::new();
        let mut moves = Vec::new();
        for gone in self.files.iter().filter(|diff| diff.file.change == FileChange::Deleted) {
            let Some(oid) = self.base.get(&gone.file.path).map(|entry| &entry.oid) else { continue };
            let new = self.files.iter().find(|diff| {
                diff.file.change == FileChange::Added
                    && !taken.contains(&&diff.file.path)
                    && self.patched.get(&diff.file.path).is_some_and(|entry| entry.oid == *oid)
            });
            if let Some(new) = new {
                taken.push(&new.file.path);
                moves.push((gone.file.path.clone(), new.file.path.clone()));
            }
        }
        moves
    }

    /// Returns the regular files of the patched tree, sorted.
    pub(crate) fn regular(entries: &BTreeMap<RelPath, TreeEntry>) -> Vec<RelPath> {
        entries
            .iter()
            .filter(|(_, entry)| matches!(entry.kind, EntryKind::File | EntryKind::Executable))
            .map(|(path, _)| path.clone())
            .collect()
    }
}

/// What may be spent on the hunks of one file: lines times changed lines, which is what Myers' algorithm takes. A file
/// of 100,000 lines may have 10,000 changed ones.
pub(crate) const MOST_WORK: u64 = 2_000_000_000;

/// `changed` is how many lines git says that differ.
fn hunks(before: Option<&[u8]>, after: Option<&[u8]>, changed: u64) -> Vec<Hunk> {
    let before = String::from_utf8_lossy(before.unwrap_or_default());
    let after = String::from_utf8_lossy(after.unwrap_or_default());
    let old: Vec<&str> = before.lines().collect();
    let new: Vec<&str> = after.lines().collect();
    // A patch is read before its size is judged, so that a large one cannot be allowed to cost hours.
    if changed.saturating_mul((old.len() + new.len()) as u64) > MOST_WORK {
        return vec![Hunk {
            removed: old.iter().map(|line| (*line).to_owned()).collect(),
            added: (1..).zip(&new).map(|(number, line)| (number, (*line).to_owned())).collect(),
        }];
    }
    TextDiff::from_slices(&old, &new)
        .ops()
        .iter()
        .filter(|op| op.tag() != DiffTag::Equal)
        .map(|op| Hunk {
            removed: old[op.old_range()].iter().map(|line| (*line).to_owned()).collect(),
            added: op
                .new_range()
                .map(|index| (u32::try_from(index + 1).unwrap_or(u32::MAX), new[index].to_owned()))
                .collect(),
        })
        .collect()
}

#[cfg(test)]
pub(crate) fn diff(path: &str, before: Option<&str>, after: Option<&str>) -> FileDiff {
    let path = RelPath::parse(path).expect("a test's path");
    let change = match (before, after) {
        (None, _) => FileChange::Added,
        (_, None) => FileChange::Deleted,
        _ => FileChange::Modified,
    };
    let role = gloaming_workspace::role(&path);
    let file = ChangedFile { path, change, added: 0, removed: 0, binary: false, role };
    FileDiff::new(
        file,
        before.map(|text| text.as_bytes().to_vec()),
        after.map(|text| text.as_bytes().to_vec()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken apart, these would take minutes.
    #[test]
    fn a_file_that_is_another_one_altogether_is_one_hunk() {
        let lines = |word: &str| (0..100_000).map(|number| format!("{word} {number}\n")).collect::<String>();
        let (before, after) = (lines("old"), lines("new"));
        let file = ChangedFile { added: 100_000, removed: 100_000, ..diff("a.rs", Some(""), Some("")).file };
        let diff = FileDiff::new(file, Some(before.into_bytes()), Some(after.into_bytes()));
        assert_eq!((diff.hunks.len(), diff.hunks[0].removed.len()), (1, 100_000));
        assert_eq!(diff.added().last(), Some((100_000, "new 99999")));
    }

    #[test]
    fn hunks_number_added_lines_as_they_are_after_the_change() {
        let diff = diff("a.rs", Some("a\nb\nc\n"), Some("a\nB\nc\nd\n"));
        assert_eq!(
            diff.hunks,
            [
                Hunk { removed: vec!["b".into()], added: vec![(2, "B".into())] },
                Hunk { removed: Vec::new(), added: vec![(4, "d".into())] }
            ]
        );
        assert_eq!(diff.added().collect::<Vec<_>>(), [(2, "B"), (4, "d")]);
    }
}
