//! Sealed evidence: what was seen of a patch and what was decided, signed.
//!
//! An in-toto Statement v1 (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) in a DSSE v1
//! envelope (<https://github.com/secure-systems-lab/dsse>), signed with Ed25519 (RFC 8032). Statement and envelope are
//! canonical JSON ([`gloaming_api::canonical_json`]): there is one byte sequence for a meaning, and only that opens.
//!
//! The statement holds everything the verdict was made of, so that opening decides again and compares.

mod dsse;
mod keys;
mod statement;

use gloaming_api::evidence::{Evidence, Verdict};

pub use ed25519_dalek::{SigningKey, VerifyingKey};
pub use keys::{KeyError, key_id, parse_private, parse_public, private_pem, public_pem};
pub use statement::{PREDICATE_TYPE, STATEMENT_TYPE};

use crate::judge_with;
use crate::weights::{CostRatio, Weights};
use dsse::Envelope;
use statement::Statement;

pub use dsse::PAYLOAD_TYPE;

/// The largest envelope, bytes.
pub const MOST_BYTES: usize = 64 << 20;

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// What was seen.
    pub evidence: Evidence,
    /// What was decided.
    pub verdict: Verdict,
    /// The weights it was decided with.
    pub weights: Weights,
    /// The ratio of costs it was decided with.
    pub costs: CostRatio,
    /// The version of the gate that decided.
    pub version: String,
    /// The id of the key it says it is signed with: see [`key_id`].
    pub key_id: String,
    /// Whether the signature was checked. Where it was not, anybody may have written all of this.
    pub authentic: bool,
}

/// A file is no sealed evidence, or not what was sealed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EnvelopeError {
    #[error("it is {bytes} bytes long; sealed evidence has at most {MOST_BYTES}")]
    TooLarge { bytes: usize },
    #[error("{part} is not of the form it should have")]
    Form {
        part: Part,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "{part} is not canonical: from byte {at} on it is not what sealing writes (white space, order, repetition or \
         number of keys, another spelling)"
    )]
    NotCanonical { part: Part, at: usize },
    #[error("its payload is of type {0:?}, not {PAYLOAD_TYPE:?}")]
    PayloadType(String),
    #[error("it has {0} signatures; sealed evidence has exactly one")]
    Signatures(usize),
    #[error("its {field} is not standard Base64 with padding")]
    Base64 {
        field: &'static str,
        #[source]
        source: base64::DecodeError,
    },
    #[error("its signature is {0} bytes long, and one of Ed25519 is 64")]
    SignatureLength(usize),
    #[error("it says that it is signed with the key {named:?}, and the key to check it by is {given:?}")]
    OtherKey { named: String, given: String },
    #[error("its signature does not hold: it was changed, or signed by somebody else")]
    BadSignature,
    #[error("it is a statement of type {0:?}, not {STATEMENT_TYPE:?}")]
    StatementType(String),
    #[error("it is about {0:?}, not {PREDICATE_TYPE:?}")]
    PredicateType(String),
    #[error("its evidence names the {field} {value:?}, which is no object of git")]
    NotAnObject { field: &'static str, value: String },
    #[error("it is a statement about {subject}, and its evidence is about {evidence}")]
    Subject { subject: String, evidence: String },
    #[error(
        "its verdict is not what this gate decides on its evidence: {} differ (sealed by version {sealed}, this is \
         {here})",
        fields.join(", ")
    )]
    Verdict { fields: Vec<String>, sealed: String, here: String },
}

/// Which of the two layers of JSON an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The DSSE envelope: the file.
    Envelope,
    /// The in-toto statement: the payload inside.
    Payload,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Envelope => "the envelope",
            Self::Payload => "the payload",
        })
    }
}

/// Seals evidence and the verdict that `weights` and `costs` make of it. The same input makes the same bytes.
///
/// # Errors
/// Whatever would keep the result from being opened: a verdict that is another than the gate's, a number that is none,
/// too much of it.
pub fn seal(
    evidence: &Evidence,
    verdict: &Verdict,
    weights: &Weights,
    costs: CostRatio,
    key: &SigningKey,
) -> Result<Vec<u8>, EnvelopeError> {
    let statement = Statement::new(evidence, verdict, weights, costs);
    let sealed = Envelope::sign(statement.canonical(), key).canonical();
    open(&sealed, &key.verifying_key())?;
    Ok(sealed)
}

/// Opens sealed evidence: checks form and signature, decides again and compares.
///
/// # Errors
/// Any byte that is not as it was sealed, another key than `key`, a verdict that this gate would not give.
pub fn open(sealed: &[u8], key: &VerifyingKey) -> Result<Opened, EnvelopeError> {
    let envelope = Envelope::parse(sealed)?;
    envelope.verify(key)?;
    checked(envelope, true)
}

/// Reads sealed evidence without a key, to show it: everything is checked as in [`open`] but the signature.
///
/// # Errors
/// As [`open`]; a changed byte is noticed only where it makes the content contradict itself.
pub fn open_unverified(sealed: &[u8]) -> Result<Opened, EnvelopeError> {
    checked(Envelope::parse(sealed)?, false)
}

/// Returns the evidence of an envelope that `key` signed, whatever was decided on it.
pub(crate) fn authenticated(sealed: &[u8], key: &VerifyingKey) -> Result<Evidence, EnvelopeError> {
    let envelope = Envelope::parse(sealed)?;
    envelope.verify(key)?;
    Ok(Statement::parse(&envelope.payload)?.predicate.evidence)
}

fn checked(envelope: Envelope, authentic: bool) -> Result<Opened, EnvelopeError> {
    let Statement { predicate, .. } = Statement::parse(&envelope.payload)?;
    let (evidence, sealed) = (predicate.evidence, predicate.verdict);
    let statement::Gate { version, weights, cost_ratio: costs } = predicate.gate;
    let verdict = judge_with(&evidence, &weights, costs);
    if verdict != sealed {
        let fields = differing(&verdict, &sealed);
        return Err(EnvelopeError::Verdict { fields, sealed: version, here: statement::VERSION.to_owned() });
    }
    Ok(Opened { evidence, verdict, weights, costs, version, key_id: envelope.key_id, authentic })
}

/// Names the fields in which two verdicts differ.
fn differing(a: &Verdict, b: &Verdict) -> Vec<String> {
    let fields = |verdict| match serde_json::to_value(verdict) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (a, b) = (fields(a), fields(b));
    let mut names: Vec<String> =
        a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Compares bytes with what they mean, written canonically.
fn same_bytes(given: &[u8], canonical: &str, part: Part) -> Result<(), EnvelopeError> {
    if given == canonical.as_bytes() {
        return Ok(());
    }
    let at = given.iter().zip(canonical.as_bytes()).take_while(|(a, b)| a == b).count();
    Err(EnvelopeError::NotCanonical { part, at })
}
