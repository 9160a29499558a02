//! Whether a worker's change may be published: its own word against itself, the operator's policy, and the gate.
//!
//! A function of values. What the worker says is believed nowhere that it can be computed here; what that leaves to a worker
//! that lies is in docs/trust.md.

use std::collections::BTreeMap;

use gloaming_api::bowout::{BowOut, BowOutEvidence, Cost, Stage, Unblock, shorten};
use gloaming_api::evidence::{Evidence, FileChange, Verdict, VerdictKind};
use gloaming_api::worker::{LeaseKey, VerifiedChange};
use gloaming_api::{ReasonCode, RelPath, canonical_json};
use gloaming_gate::Gate;
use gloaming_policies::{Decision, Grant};

use crate::accept::Claim;

/// The modes that a changed file may have.
const MODES: [&str; 3] = ["100644", "100755", "120000"];

/// Why a change is not published.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The reason that the task bows out with.
    pub reason: ReasonCode,
    /// In a sentence.
    pub why: String,
    /// What the gate decided, where it came to that.
    pub verdict: Option<Box<Verdict>>,
}

impl Rejection {
    fn of(reason: ReasonCode, why: impl Into<String>) -> Self {
        Self { reason, why: why.into(), verdict: None }
    }

    /// The worker's own word contradicts itself, or what it uploaded.
    fn contradiction(why: impl Into<String>) -> Self {
        Self::of(ReasonCode::VerificationFailed, format!("the worker's result is not taken: {}", why.into()))
    }

    /// Returns it as the task's answer.
    pub fn bow_out(&self, lease: &LeaseKey, cost: Cost) -> BowOut {
        let verdict = self.verdict.as_deref();
        let help = match self.reason {
            ReasonCode::ProtectedPath | ReasonCode::TooLarge => Unblock::by_hand(
                "change the policy, or make the change by hand",
                "the operator's policy decides which paths may change, and how much at once; docs/policy.md",
            ),
            _ if verdict.is_some() => Unblock::by_hand(
                "look at what the gate found",
                "the evidence is among the task's artifacts; docs/evidence.md tells how to read it",
            ),
            _ => Unblock::by_hand(
                "look at the worker",
                "its result contradicts itself: it is of another version, or not to be trusted; docs/trust.md",
            ),
        };
        BowOut {
            schema_version: 1,
            task_id: lease.task.clone(),
            attempt: lease.attempt,
            stage: Stage::Publish,
            reason_code: self.reason,
            summary: shorten(&self.why, 280),
            evidence: vec![BowOutEvidence::note("verification", shorten(&self.why, 2_000))],
            attempted: Vec::new(),
            what_would_unblock: vec![help],
            questions: Vec::new(),
            confidence: verdict.map(|verdict| verdict.confidence),
            threshold: verdict.map(|verdict| verdict.threshold),
            cost,
            retryable: false,
        }
    }
}

/// Decides on a change. Returns the gate's verdict on its evidence, which is a pass. What the code host alone can tell is not
/// decided here: whether the base is a commit that may be built on, and whether the files make the tree.
///
/// # Errors
/// The reason why it is not published.
pub fn judge(claim: &Claim<'_>, gate: &Gate, grant: &Grant) -> Result<Verdict, Rejection> {
    let evidence = read(claim.evidence)?;
    agrees(claim, &evidence)?;
    same_files(claim.change, &evidence)?;
    within_policy(claim.change, &evidence, grant)?;
    let verdict = gate.judge(&evidence);
    if verdict.verdict != VerdictKind::Pass {
        return Err(Rejection {
            reason: verdict.reason_code.unwrap_or(ReasonCode::LowConfidence),
            why: format!("the control plane's gate does not pass it: {}", verdict.summary),
            verdict: Some(Box::new(verdict)),
        });
    }
    Ok(verdict)
}

/// Reads evidence. Only the one byte sequence of a meaning is taken: whatever else a reader could make of other bytes, or
/// keys that nobody here knows, would be signed with it.
pub(super) fn read(bytes: &[u8]) -> Result<Evidence, Rejection> {
    let evidence: Evidence = serde_json::from_slice(bytes).map_err(|error| {
        Rejection::contradiction(format!("its evidence is not of the form it should have: {error}"))
    })?;
    if canonical_json(&evidence).as_bytes() != bytes {
        return Err(Rejection::contradiction("its evidence is not canonical JSON"));
    }
    Ok(evidence)
}

fn agrees(claim: &Claim<'_>, evidence: &Evidence) -> Result<(), Rejection> {
    let (lease, change) = (claim.lease, claim.change);
    let repo = &claim.task.view.repo;
    let object = |text: &str| {
        matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let held = [
        ("task", evidence.task.as_ref() == Some(&lease.task)),
        ("attempt", evidence.attempt == Some(lease.attempt)),
        ("repository", evidence.repo.as_str().eq_ignore_ascii_case(repo.as_str())),
        ("base commit", evidence.base == change.base && object(&change.base)),
        ("tree", evidence.tree.as_deref() == Some(change.tree.as_str()) && object(&change.tree)),
        ("patch", evidence.patch == change.patch && gloaming_api::Digest::of(claim.patch) == change.patch),
        ("evidence", gloaming_api::Digest::of(claim.evidence) == change.evidence),
    ];
    match held.iter().find(|(_, held)| !held) {
        Some((what, _)) => Err(Rejection::contradiction(format!("its evidence is about another {what}"))),
        None => Ok(()),
    }
}

/// Whether the files of the evidence are those that are handed over, removed ones among them.
fn same_files(change: &VerifiedChange, evidence: &Evidence) -> Result<(), Rejection> {
    let told: BTreeMap<&RelPath, bool> =
        evidence.files.iter().map(|file| (&file.path, file.change != FileChange::Deleted)).collect();
    let mut handed = BTreeMap::new();
    for blob in &change.blobs {
        if !MODES.contains(&blob.mode.as_str()) {
            return Err(Rejection::contradiction(format!("{} has the mode {:?}", blob.path, blob.mode)));
        }
        if blob.path.is_root() || handed.insert(&blob.path, blob.content.is_some()).is_some() {
            return Err(Rejection::contradiction(format!(
                "{} is handed over twice, or is no file",
                blob.path
            )));
        }
    }
    if told.len() != evidence.files.len() {
        return Err(Rejection::contradiction("its evidence has a file twice"));
    }
    let odd = told.iter().find(|(path, kept)| handed.get(*path) != Some(kept));
    let odd = odd.or_else(|| handed.iter().find(|(path, kept)| told.get(*path) != Some(kept)));
    match odd {
        Some((path, _)) => {
            Err(Rejection::contradiction(format!("evidence and uploaded files do not agree about {path}")))
        }
        None if handed.is_empty() => Err(Rejection::of(ReasonCode::NoChangeNeeded, "no file is changed")),
        None => Ok(()),
    }
}

/// Whether the operator's policy lets these paths change, and so many: the worker's V1 says so, and is not believed.
fn within_policy(change: &VerifiedChange, evidence: &Evidence, grant: &Grant) -> Result<(), Rejection> {
    for blob in &change.blobs {
        if let Decision::Deny(denial) = grant.decide_change(&blob.path) {
            let rule = &denial.rule;
            let why =
                format!("{} may not be changed: rule {} ({}:{})", blob.path, rule.id, rule.file, rule.line);
            return Err(Rejection::of(ReasonCode::ProtectedPath, why));
        }
    }
    let caps = grant.change();
    let (files, most) = (change.blobs.len(), caps.files as usize);
    if files > most {
        return Err(Rejection::of(
            ReasonCode::TooLarge,
            format!("{files} files are changed, and {most} may be"),
        ));
    }
    let lines: u64 = evidence.files.iter().map(|file| u64::from(file.added) + u64::from(file.removed)).sum();
    if lines > u64::from(caps.lines) {
        let most = caps.lines;
        return Err(Rejection::of(
            ReasonCode::TooLarge,
            format!("{lines} lines are changed, and {most} may be"),
        ));
    }
    Ok(())
}
