//! The in-toto statement: which tree and patch, what was seen of them, what was decided and by which rule.

use std::collections::BTreeMap;

use gloaming_api::canonical_json;
use gloaming_api::evidence::{Evidence, Verdict};
use serde::{Deserialize, Serialize};

use super::{EnvelopeError, Part, same_bytes};
use crate::weights::{CostRatio, Weights};

/// The `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The `predicateType` of ours: docs/evidence.md describes it.
pub const PREDICATE_TYPE: &str = "https://gloaming.dev/evidence/v1";

/// The version of this gate.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(super) predicate: Predicate,
}

/// An in-toto resource descriptor with the fields we use.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Predicate {
    pub(super) evidence: Evidence,
    pub(super) gate: Gate,
    pub(super) verdict: Verdict,
}

/// The rule a verdict was made by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) version: String,
    pub(super) weights: Weights,
    pub(super) cost_ratio: CostRatio,
}

/// What says which kind of statement it is, read before the rest.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

impl Statement {
    pub(super) fn new(evidence: &Evidence, verdict: &Verdict, weights: &Weights, costs: CostRatio) -> Self {
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: subject(evidence),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                evidence: evidence.clone(),
                gate: Gate { version: VERSION.to_owned(), weights: weights.clone(), cost_ratio: costs },
                verdict: verdict.clone(),
            },
        }
    }

    pub(super) fn canonical(&self) -> String {
        canonical_json(self)
    }

    pub(super) fn parse(payload: &[u8]) -> Result<Self, EnvelopeError> {
        let form = |source| EnvelopeError::Form { part: Part::Payload, source };
        let head: Head = serde_json::from_slice(payload).map_err(form)?;
        if head.kind != STATEMENT_TYPE {
            return Err(EnvelopeError::StatementType(head.kind));
        }
        if head.predicate_type != PREDICATE_TYPE {
            return Err(EnvelopeError::PredicateType(head.predicate_type));
        }
        let statement: Self = serde_json::from_slice(payload).map_err(form)?;
        // Also refuses keys that no type here knows: they would not be written again.
        same_bytes(payload, &statement.canonical(), Part::Payload)?;
        statement.consistent()?;
        Ok(statement)
    }

    fn consistent(&self) -> Result<(), EnvelopeError> {
        let evidence = &self.predicate.evidence;
        let named = [("base", Some(&evidence.base)), ("tree", evidence.tree.as_ref())];
        for (field, value) in named.into_iter().filter_map(|(field, value)| Some((field, value?))) {
            let digits = value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if !(digits && matches!(value.len(), 40 | 64)) {
                return Err(EnvelopeError::NotAnObject { field, value: value.clone() });
            }
        }
        let of_evidence = subject(evidence);
        if self.subject != of_evidence {
            return Err(EnvelopeError::Subject {
                subject: shown(&self.subject),
                evidence: shown(&of_evidence),
            });
        }
        Ok(())
    }
}

/// Returns what evidence is about: the tree, by git's own hash of it, and the patch's bytes.
fn subject(evidence: &Evidence) -> Vec<Subject> {
    let of = |name: &str, algorithm: &str, value: &str| Subject {
        name: name.to_owned(),
        digest: BTreeMap::from([(algorithm.to_owned(), value.to_owned())]),
    };
    let tree = evidence.tree.as_deref().map(|tree| of("tree", "gitTree", tree));
    tree.into_iter().chain([of("patch", "sha256", evidence.patch.hex())]).collect()
}

fn shown(subject: &[Subject]) -> String {
    let part = |subject: &Subject| {
        let digests = subject.digest.iter().map(|(algorithm, value)| format!("{algorithm}:{value}"));
        format!("{} {}", subject.name, digests.collect::<Vec<_>>().join(" "))
    };
    if subject.is_empty() {
        return "nothing".to_owned();
    }
    subject.iter().map(part).collect::<Vec<_>>().join(" and ")
}
