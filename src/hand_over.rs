//! What a worker hands its control plane: the change of an attempt, verified a second time by a process that never ran the
//! attempt.

use std::path::Path;

use gloaming_api::evidence::{Evidence, FileChange};
use gloaming_api::worker::ChangedBlob;
use gloaming_api::{Digest, canonical_json};
use gloaming_gate::envelope;
use gloaming_workspace::{EntryKind, Patch, Repository};
use serde::{Deserialize, Serialize};

use crate::context;
use crate::failure::Failure;
use crate::run::repo_failure;
use crate::told::write;

/// The file that names what is handed over.
pub(crate) const CHANGE: &str = "change.json";

/// The evidence as it is handed over: canonical JSON, not sealed; the control plane seals it.
pub(crate) const EVIDENCE: &str = "evidence.raw.json";

/// The folder of the changed files' contents, each named by the hexadecimal digits of its digest.
pub(crate) const BLOBS: &str = "blobs";

/// What is handed over, but for words and cost.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The commit it stands on.
    pub(crate) base: String,
    /// The tree it makes.
    pub(crate) tree: String,
    /// Every changed file.
    pub(crate) blobs: Vec<ChangedBlob>,
}

/// Reads what the attempt's own process saw. It is a record of ours, and proves nothing: what counts is seen anew.
pub(crate) fn first(path: &Path) -> anyhow::Result<Evidence> {
    let sealed = context::read_bytes(path, "the evidence", context::RECORD_CAP)?;
    let opened = envelope::open_unverified(&sealed)
        .map_err(|error| Failure::usage(format!("{} is refused: {error}", path.display())))?;
    Ok(opened.evidence)
}

/// Adds to what was seen anew what only the attempt can tell. All of it speaks against the patch or names it; nothing of it
/// can make a pass of what is none.
pub(crate) fn joined(evidence: &mut Evidence, first: Evidence) {
    for signal in first.signals {
        if !evidence.signals.contains(&signal) {
            evidence.signals.push(signal);
        }
    }
    for flaky in first.flaky {
        if !evidence.flaky.contains(&flaky) {
            evidence.flaky.push(flaky);
        }
    }
    evidence.sent_back = evidence.sent_back.max(first.sent_back);
    evidence.journal_head = first.journal_head;
    evidence.journal_length = first.journal_length;
}

/// Writes down what is handed over.
pub(crate) fn write_down(
    out: &Path,
    repository: &Repository,
    patch: &Patch,
    evidence: &Evidence,
) -> anyhow::Result<()> {
    let folder = out.join(BLOBS);
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::disk(&format!("make {}", folder.display()), error))?;
    let after = repository.list_files(&patch.tree).map_err(repo_failure)?;
    let before = repository.list_files(&patch.base).map_err(repo_failure)?;
    let mut blobs = Vec::with_capacity(patch.files.len());
    for file in &patch.files {
        let removed = file.change == FileChange::Deleted;
        let entries = if removed { &before } else { &after };
        let entry = entries.iter().find(|entry| entry.path.as_ref() == Some(&file.path));
        let entry =
            entry.ok_or_else(|| anyhow::anyhow!("{} is in the patch and in no tree of it", file.path))?;
        let mode = match entry.kind {
            EntryKind::File => "100644",
            EntryKind::Executable => "100755",
            EntryKind::Symlink => "120000",
            EntryKind::Submodule => anyhow::bail!("{} is a submodule, which is not handed over", file.path),
        };
        let content = match removed {
            true => None,
            false => {
                let bytes = repository.read_blob(&entry.oid).map_err(repo_failure)?;
                let digest = Digest::of(&bytes);
                write(&folder, digest.hex(), &bytes)?;
                Some(digest)
            }
        };
        blobs.push(ChangedBlob { path: file.path.clone(), mode: mode.to_owned(), content });
    }
    let change = Change { base: patch.base.to_string(), tree: patch.tree.as_str().to_owned(), blobs };
    write(out, EVIDENCE, canonical_json(evidence).as_bytes())?;
    write(out, CHANGE, &serde_json::to_vec(&change)?)
}
