//! What became of a branch: said by a person now, by a forge later.

use gloaming_api::Digest;
use serde::{Deserialize, Serialize};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was merged.
    Merged,
    /// It was closed without being merged.
    Closed,
    /// It was merged, and taken back later.
    Reverted,
}

impl Kind {
    /// Returns its name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Closed => "closed",
            Self::Reverted => "reverted",
        }
    }
}

/// One line of `outcome.jsonl` beside a journal; the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// What became of it.
    pub outcome: Kind,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was recorded.
    pub at: String,
    /// Hash of the last event of the journal it is about.
    pub journal: Digest,
    /// The patch it is about.
    pub patch: Digest,
}
