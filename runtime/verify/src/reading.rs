//! What a patch shows without anything being run: for looking at many patches at once.

use std::path::Path;

use gloaming_api::evidence::{Finding, Signal};
use gloaming_api::profile::StyleNorms;
use gloaming_policies::Grant;
use gloaming_workspace::{Patch, Repository};

use crate::change::Change;
use crate::integrity::Lets;
use crate::runners::TreeView;
use crate::steps::Found;
use crate::{VerifyError, content, integrity, renaming, rules, signals};

/// What reading a patch shows.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The soft signals of V10.
    pub signals: Vec<Signal>,
    /// The first step that would stop the patch, by what it is called, with its code and one line; none where
    /// nothing that can be read does.
    pub stopped: Option<(&'static str, Finding, String)>,
}

/// Reads a patch as [`crate::verify`] does before it runs anything. `norms` are the profile's, `work` is an empty folder
/// for the patched tree.
///
/// # Errors
/// The repository cannot be read, or the tree not be written.
pub fn read(
    repository: &Repository,
    patch: &Patch,
    grant: &Grant,
    norms: Option<&StyleNorms>,
    work: &Path,
) -> Result<Reading, VerifyError> {
    let change = Change::read(repository, &patch.base, &patch.tree, &patch.files)?;
    let signals = signals::signals(&change, norms);
    let stopped = |step: &'static str, found: Found| found.code.map(|code| (step, code, found.detail));
    let early = stopped("V0", rules::size(&patch.files, grant))
        .or_else(|| stopped("V1", rules::paths(&change, grant)))
        .or_else(|| stopped("V2", content::forbidden(&change)));
    if early.is_some() {
        return Ok(Reading { signals, stopped: early });
    }
    repository.checkout_tree(&patch.tree, work)?;
    let files = Change::regular(&change.patched);
    let tree = TreeView { dir: work, files: &files };
    let renames = renaming::renames(&change, &tree);
    let found = integrity::read_through(&change, &renames, &tree, Lets::of(grant));
    Ok(Reading { signals, stopped: found.and_then(|found| stopped("V8", found)) })
}
