//! Outcomes as JSON Lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope::{self, EnvelopeError, VerifyingKey};
use crate::features::{Features, features};
use crate::fit::MOST_OUTCOMES;

/// What spoke against a patch and whether it was merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The features, as [`crate::features()`] makes them of evidence.
    pub features: Features,
    /// Whether it was merged.
    pub merged: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    features: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    envelope: Option<Value>,
    merged: bool,
}

/// A line of the data is no outcome.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the data is no outcome")]
pub struct DataError {
    /// Counted from 1.
    pub line: usize,
    /// Why.
    #[source]
    pub why: LineError,
}

/// Why a line is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not an object of this form.
    #[error(
        "want {{\"features\": {{NAME: NUMBER, ...}}, \"merged\": true or false}}, or \"envelope\" with sealed evidence \
         in the place of \"features\""
    )]
    Form(#[source] Option<serde_json::Error>),
    /// Sealed evidence, and no key to check it by.
    #[error("it holds sealed evidence, and no public key was given to check it by")]
    NoKey,
    /// Sealed evidence that was not sealed by that key, or was changed since.
    #[error("its sealed evidence is refused")]
    Envelope(#[from] EnvelopeError),
    /// Too much.
    #[error("more than {MOST_OUTCOMES} outcomes")]
    Many,
}

/// Reads outcomes, one JSON object a line; empty lines are passed over.
///
/// A line holds `features` by name, or an `envelope` of sealed evidence, whose signature is checked by `key` and whose
/// features are then taken. What its verdict was does not matter here, nor whether this gate would give the same.
///
/// # Errors
/// The first line that is no outcome.
pub fn outcomes(text: &str, key: Option<&VerifyingKey>) -> Result<Vec<Outcome>, DataError> {
    let mut outcomes = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |why| DataError { line: index + 1, why };
        if outcomes.len() == MOST_OUTCOMES {
            return Err(at(LineError::Many));
        }
        outcomes.push(outcome(line, key).map_err(at)?);
    }
    Ok(outcomes)
}

fn outcome(line: &str, key: Option<&VerifyingKey>) -> Result<Outcome, LineError> {
    let line: Line = serde_json::from_str(line).map_err(|error| LineError::Form(Some(error)))?;
    let features = match (line.features, line.envelope) {
        (Some(features), None) => features,
        (None, Some(sealed)) => {
            let key = key.ok_or(LineError::NoKey)?;
            // The signature is over the payload; how the envelope around it was written on this line is no matter.
            let sealed = gloaming_api::canonical_json(&sealed);
            features(&envelope::authenticated(sealed.as_bytes(), key)?)
        }
        _ => return Err(LineError::Form(None)),
    };
    Ok(Outcome { features, merged: line.merged })
}
