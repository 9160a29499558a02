//! One commit on one new branch of the user's repository: the only writing there is.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::files::io_error;
use crate::git::failure;
use crate::locate::{Facts, Location};
use crate::revision::{Head, Refs};
use crate::store::{Store, Window, absent};
use crate::{Author, CommitId, Patch, RepoError, TreeId};

/// What is published.
pub(crate) struct Publication<'a> {
    pub(crate) base: &'a CommitId,
    pub(crate) base_tree: &'a TreeId,
    pub(crate) patch: &'a Patch,
    pub(crate) branch: &'a str,
    pub(crate) message: &'a str,
    pub(crate) author: &'a Author,
    pub(crate) when: Timestamp,
}

/// Writes the commit, moves what is new into the repository, and last of all creates the branch.
pub(crate) fn publish(
    store: &Store,
    location: &Location,
    facts: &Facts,
    publication: &Publication<'_>,
) -> Result<CommitId, RepoError> {
    let (reference, there) = check(store, location, facts, publication)?;
    let commit = write_commit(store, publication)?;
    if let Some(there) = there {
        // The very same commit: whoever published it died before it could say so.
        let published = there == commit.as_str();
        return if published {
            Ok(commit)
        } else {
            Err(RepoError::BranchExists(publication.branch.to_owned()))
        };
    }
    let window = Window::open(&store.scratch, location, facts, &location.common_dir)?;
    let moved = Moved::into(store, location, &window, publication, &commit)?;
    let created = window
        .git("create the branch", "update-ref")
        .args(["--no-deref", &reference, commit.as_str(), &facts.format.zero()])
        .run()?;
    if created.success {
        moved.keep();
        return Ok(commit);
    }
    let said = &created.stderr;
    if said.contains("already exists") || said.contains("cannot lock ref") && said.contains("exists") {
        return Err(RepoError::BranchExists(publication.branch.to_owned()));
    }
    if said.contains("ermission denied") || said.contains("ead-only file system") {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        return Err(io_error("create a branch in", &location.common_dir.join("refs"), source));
    }
    Err(failure("create the branch", said))
}

/// Checks what can be wrong before anything is written; returns the branch's full name, and the commit it has where it is
/// there already.
fn check(
    store: &Store,
    location: &Location,
    facts: &Facts,
    publication: &Publication<'_>,
) -> Result<(String, Option<String>), RepoError> {
    let branch = publication.branch;
    let reference = format!("refs/heads/{branch}");
    let valid = store.git("check the name", "check-ref-format").arg(&reference).run()?;
    if !valid.success || branch.starts_with('-') || branch == "HEAD" {
        return Err(RepoError::BadBranch(branch.to_owned()));
    }
    let refs = Refs::read(store, location, facts)?;
    let there = refs.object(&reference)?;
    // A branch HEAD waits for would become the user's own by being created.
    if let Ok(Head::Unborn(unborn)) = refs.head()
        && unborn == branch
    {
        return Err(RepoError::BranchExists(branch.to_owned()));
    }
    if publication.patch.base != *publication.base {
        return Err(RepoError::BadCommit("the patch is made against another base"));
    }
    let author = publication.author;
    let crude = |text: &str| text.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
    if author.name.trim().is_empty() || crude(&author.name) || crude(&author.email) {
        return Err(RepoError::BadCommit("the author's name is empty, or name or address hold < or >"));
    }
    if publication.message.trim().is_empty() || publication.message.contains('\0') {
        return Err(RepoError::BadCommit("the message is empty or holds a NUL byte"));
    }
    Ok((reference, there))
}

fn write_commit(store: &Store, publication: &Publication<'_>) -> Result<CommitId, RepoError> {
    let mut message = publication.message.trim_end().to_owned();
    message.push('\n');
    let mut git = store
        .git("write the commit", "commit-tree")
        .args([publication.patch.tree.as_str(), "-p", publication.base.as_str(), "-F", "-"])
        .stdin(message);
    let date = format!("@{} +0000", publication.when.as_second());
    for who in ["AUTHOR", "COMMITTER"] {
        git = git
            .with_env(&format!("GIT_{who}_NAME"), &publication.author.name)
            .with_env(&format!("GIT_{who}_EMAIL"), &publication.author.email)
            .with_env(&format!("GIT_{who}_DATE"), &date);
    }
    Ok(CommitId(git.object_id().map_err(|error| store.explain(error))?))
}

/// Objects that were moved into the repository; removed again unless kept.
///
/// Each is made beside its place and renamed into it by ourselves: git leaves temporary files behind when the
/// disk is full, and nobody could tell them from those of a git that is at work.
struct Moved {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Moved {
    fn into(
        store: &Store,
        location: &Location,
        window: &Window,
        publication: &Publication<'_>,
        commit: &CommitId,
    ) -> Result<Self, RepoError> {
        let needed = needed_objects(store, publication, commit)?;
        let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
        let new = absent(window.dir(), &needed)?;
        let loose = store.loose_copies(&new)?;
        let objects = location.common_dir.join("objects");
        // As the folder is shared, so are those in it.
        let mode = std::fs::metadata(&objects).map_err(|source| io_error("open", &objects, source))?.mode();
        let mut moved = Self { files: Vec::new(), folders: Vec::new() };
        for oid in &new {
            let folder = objects.join(&oid[..2]);
            if !folder.is_dir() {
                DirBuilder::new()
                    .mode(mode & 0o7777)
                    .create(&folder)
                    .map_err(|source| io_error("make the folder", &folder, source))?;
                moved.folders.push(folder.clone());
            }
            let place = folder.join(&oid[2..]);
            let failed = |source| io_error("write", &place, source);
            let mut from = loose.open(oid)?;
            let mut file = tempfile::Builder::new()
                .prefix("tmp_obj_")
                .permissions(Permissions::from_mode(0o444))
                .tempfile_in(&folder)
                .map_err(failed)?;
            std::io::copy(&mut from, &mut file).map_err(failed)?;
            file.as_file().sync_all().map_err(failed)?;
            match file.persist_noclobber(&place) {
                Ok(_) => moved.files.push(place),
                // Somebody else wrote the same object meanwhile.
                Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error.error)),
            }
        }
        Ok(moved)
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        // An object that nothing names is harmless where it cannot be removed.
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        for folder in &self.folders {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Returns what the commit needs beyond what its base already has: itself, and the new trees and blobs.
fn needed_objects(
    store: &Store,
    publication: &Publication<'_>,
    commit: &CommitId,
) -> Result<BTreeSet<String>, RepoError> {
    let tree = &publication.patch.tree;
    let mut needed = BTreeSet::from([commit.to_string(), tree.to_string()]);
    let git = store
        .git("list the new objects", "diff-tree")
        .args(["-r", "-t", "-z", "--raw", "--no-renames", "--no-abbrev", "--end-of-options"])
        .args([publication.base_tree.as_str(), tree.as_str()]);
    for field in store.output(git)?.split(|byte| *byte == 0) {
        let Some(facts) = field.strip_prefix(b":").and_then(|facts| std::str::from_utf8(facts).ok()) else {
            continue;
        };
        if let [_, mode, _, oid, _] = facts.split(' ').collect::<Vec<_>>().as_slice()
            && !matches!(*mode, "000000" | "160000")
        {
            needed.insert((*oid).to_owned());
        }
    }
    Ok(needed)
}
