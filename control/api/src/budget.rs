//! What the runs of a machine may spend together: caps for a day, and the ledger in which every call is reserved before
//! it is made and settled after.
//!
//! A day is a UTC day by the clock of the journal that the call is recorded in.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, RepoId};

/// An amount of what models take.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spend {
    /// US dollars.
    pub usd: f64,
    /// Tokens: of the question and of the answer, those of a provider's cache among them.
    pub tokens: u64,
}

/// The most that may be spent on one day; none is no cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayCaps {
    /// US dollars.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Tokens.
    #[serde(default)]
    pub tokens: Option<u64>,
}

/// One call of a model, as the ledger knows it: the same for whoever goes on with an attempt from its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The hash of the first event of the attempt's journal.
    pub attempt: Digest,
    /// The number of the question in that journal, from 1.
    pub number: u32,
    /// The repository that it is spent on.
    pub repo: RepoId,
    /// When it is asked.
    pub at: Timestamp,
}

impl Call {
    /// Returns the day it counts for.
    pub fn day(&self) -> Date {
        day_of(self.at)
    }
}

/// Returns the UTC day of a time.
pub fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Whose cap it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// That of the call's repository.
    Repository,
    /// That of all repositories of the machine.
    Machine,
}

/// What a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// US dollars.
    CostUsd,
    /// Tokens.
    Tokens,
}

impl Counted {
    /// Returns an amount of it in words.
    pub fn amount(self, amount: f64) -> String {
        match self {
            Self::CostUsd => format!("${amount:.2}"),
            Self::Tokens => format!("{amount} tokens"),
        }
    }

    /// Returns the key that caps it, in policies and in the machine's settings.
    pub fn key(self) -> &'static str {
        match self {
            Self::CostUsd => "cost_usd",
            Self::Tokens => "tokens",
        }
    }
}

/// A cap that the most a call can take does not fit into. All amounts are of the same kind, US dollars or tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// Whose cap it is.
    pub whose: Whose,
    /// What it counts.
    pub counted: Counted,
    /// The UTC day, `YYYY-MM-DD`.
    pub day: String,
    /// The cap.
    pub cap: f64,
    /// What is spent of it.
    pub spent: f64,
    /// What is set aside for calls that are not settled: those in flight, and those of processes that died.
    pub held: f64,
    /// The most that the call can take.
    pub needed: f64,
}

/// The ledger could not be read or written, or a cap could not be read: nothing may be spent.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct LedgerError {
    /// What could not be done, and where.
    pub doing: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What the runs of a machine spend together. Calls block, for as long as others are writing.
pub trait Ledger: Send + Sync {
    /// Sets aside the most that a call can take; none where it fits, else nothing is set aside and the cap is returned
    /// that it does not fit into. `repository` is what the policy lets the call's repository have in a day.
    ///
    /// A call that was set aside before and never settled is set aside anew: it was not made, since its question was
    /// never recorded.
    fn reserve(&self, call: &Call, bound: Spend, repository: DayCaps)
    -> Result<Option<Refusal>, LedgerError>;

    /// Puts what a call took in the place of what was set aside for it, on the day of the question. A second time
    /// changes nothing.
    fn settle(&self, call: &Call, actual: Spend) -> Result<(), LedgerError>;
}
