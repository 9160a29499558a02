//! A commit without its history, as one file: the base that travels with the record of an attempt, so that it can be
//! replayed where the repository is not.
#![expect(clippy::disallowed_methods, reason = "makes a repository in a folder of ours")]

use std::path::Path;

use crate::files::{io_error, make_empty};
use crate::git::Git;
use crate::store::Store;
use crate::{CommitId, RepoError, Repository};

/// Returns a pack (gitformat-pack(5)) of a commit, its trees and its files; none where it has more bytes than `most`.
pub(crate) fn pack(store: &Store, commit: &CommitId, most: usize) -> Result<Option<Vec<u8>>, RepoError> {
    let git = store.git("list the base", "rev-list");
    let listed = store.output(git.args(["--objects", "--no-walk", commit.as_str()]))?;
    // Each line is an id, of a file with its path behind.
    let lines = listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let ids = lines.flat_map(|line| {
        let id = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        id.iter().copied().chain([b'\n'])
    });
    let git = store.git("pack the base", "pack-objects").args(["--stdout", "--quiet", "--threads=1"]);
    let pack = store.output(git.stdin(ids.collect::<Vec<u8>>()))?;
    Ok((pack.len() <= most).then_some(pack))
}

/// Makes a bare repository of a pack that holds a commit without its history, and opens it; of one that fails nothing is
/// left.
pub(crate) fn unpack(
    pack: Vec<u8>,
    commit: &str,
    into: &Path,
    state_dir: &Path,
) -> Result<Repository, RepoError> {
    make_empty(into)?;
    let made = unpack_into(pack, commit, into, state_dir);
    if made.is_err() {
        // What cannot be removed is found, and named, by the next one.
        let _ = std::fs::remove_dir_all(into);
    }
    made
}

fn unpack_into(pack: Vec<u8>, commit: &str, into: &Path, state_dir: &Path) -> Result<Repository, RepoError> {
    if !crate::is_object_id(commit) {
        return Err(RepoError::BadCommit("the base is no id of a commit"));
    }
    let into = std::fs::canonicalize(into).map_err(|source| io_error("open", into, source))?;
    let format = if commit.len() == 64 { "sha256" } else { "sha1" };
    let git = |operation, command| Git::new(operation, &into, command);
    git("make a repository", "init")
        .args(["--bare", "--quiet", "--template="])
        .arg(format!("--object-format={format}"))
        .output()?;
    // Its parents are not there.
    let shallow = into.join("shallow");
    std::fs::write(&shallow, format!("{commit}\n")).map_err(|source| io_error("write", &shallow, source))?;
    git("unpack the base", "unpack-objects").args(["-q", "--strict"]).stdin(pack).output()?;
    git("name the base", "update-ref").args(["--no-deref", "HEAD", commit]).output()?;
    Repository::open(&into, state_dir)
}
