//! What a person should know of how their repository was read.

use std::collections::BTreeSet;

use crate::locate::{Facts, Location, is_shallow};
use crate::store::{Store, Window};
use crate::{CommitId, EntryKind, RepoError, TreeEntry};

/// At most so many names are given of anything.
const NAMED: usize = 5;

pub(crate) fn notes(
    store: &Store,
    location: &Location,
    facts: &Facts,
    head: Option<&CommitId>,
    base: &CommitId,
) -> Vec<String> {
    let mut notes = Vec::new();
    match uncommitted(store, location, facts, head.unwrap_or(base)) {
        Ok(changed) if changed.is_empty() => {}
        Ok(changed) => notes.push(format!(
            "uncommitted changes are not seen: {} ({}); only what is committed counts",
            count(changed.len(), "file"),
            some(&changed)
        )),
        Err(error) => notes.push(format!("whether there are uncommitted changes is not known: {error}")),
    }
    if is_shallow(location) {
        notes.push("the clone is shallow: commits before its border are not there".to_owned());
    }
    let entries = match store.list(base.as_str()) {
        Ok(entries) => entries,
        Err(error) => {
            notes.push(format!("the base's files could not be listed: {error}"));
            return notes;
        }
    };
    let submodules: Vec<String> =
        entries.iter().filter(|entry| entry.kind == EntryKind::Submodule).map(TreeEntry::display).collect();
    if !submodules.is_empty() {
        notes.push(format!(
            "submodules are left out, their folders are empty: {} ({})",
            count(submodules.len(), "submodule"),
            some(&submodules)
        ));
    }
    if let Ok(pointers) = large_file_pointers(store, &entries)
        && !pointers.is_empty()
    {
        notes.push(format!(
            "Git LFS files are seen as their pointers, not their content: {} ({})",
            count(pointers.len(), "file"),
            some(&pointers)
        ));
    }
    let strange = entries.iter().filter(|entry| entry.path.is_none()).count();
    if strange > 0 {
        notes.push(format!(
            "{} with a name that is not UTF-8 can be built and tested but not changed",
            count(strange, "file")
        ));
    }
    notes
}

/// Returns the tracked files that differ from HEAD in the index or the work tree.
///
/// On a copy of the index and with our configuration: no filter the repository names is defined there, so none
/// can run.
fn uncommitted(
    store: &Store,
    location: &Location,
    facts: &Facts,
    head: &CommitId,
) -> Result<Vec<String>, RepoError> {
    let Some(work_tree) = &location.work_tree else { return Ok(Vec::new()) };
    let window = Window::open(&store.scratch, location, facts, &location.git_dir)?;
    if !window.copy_index(location)? {
        return Ok(Vec::new());
    }
    let in_work_tree = |operation, command| {
        let git = window.git(operation, command).with_env("GIT_WORK_TREE", work_tree);
        git.setting("core.bare", "false")
    };
    // Files that were only touched are compared by content; an exit code of 1 says that some differ.
    in_work_tree("refresh the index", "update-index")
        .args(["-q", "--refresh", "--ignore-submodules"])
        .run()?;
    let unstaged = in_work_tree("compare the work tree", "diff-files");
    let staged = window.git("compare the index", "diff-index").arg("--cached");
    let mut changed = BTreeSet::new();
    for (git, against) in [(unstaged, None), (staged, Some(head.as_str()))] {
        let git = git.args(["--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=all"]);
        let output = git.args(against).output()?;
        let names = output.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        changed.extend(names.map(gloaming_api::path::escape_name));
    }
    Ok(changed.into_iter().collect())
}

fn large_file_pointers(store: &Store, entries: &[TreeEntry]) -> Result<Vec<String>, RepoError> {
    const BEGINS: &[u8] = b"version https://git-lfs.github.com/spec/";
    let mut configured = false;
    for entry in entries.iter().filter(|entry| entry.raw.ends_with(b".gitattributes") && entry.size < 1 << 20)
    {
        let text = store.blob(&entry.oid)?;
        configured |= text.windows(10).any(|window| window == b"filter=lfs");
    }
    if !configured {
        return Ok(Vec::new());
    }
    // A pointer has some 130 bytes.
    let small: Vec<&TreeEntry> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::File && (100..1024).contains(&entry.size))
        .collect();
    let mut blobs = store.blobs(small.iter().map(|entry| entry.oid.clone()).collect())?;
    let mut found = Vec::new();
    for entry in small {
        let text = blobs.next(&entry.oid, |size, content| {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(content, size), &mut text)
                .map_err(|source| RepoError::Io { operation: "read from", path: "git".into(), source })?;
            Ok(text)
        })?;
        if text.starts_with(BEGINS) {
            found.push(entry.display());
        }
    }
    blobs.finish()?;
    Ok(found)
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn some(names: &[String]) -> String {
    let mut text = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        text.push_str(", ...");
    }
    text
}
