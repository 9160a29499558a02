//! How a tool call fails.

use std::fmt;

/// The class of a failure; the contract's `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A policy rule forbids it.
    Denied,
    /// There is no such file.
    NotFound,
    /// The arguments make no sense.
    InvalidInput,
    /// The file is not as the call expected it.
    Conflict,
    /// A cap on bytes or entries was reached.
    TooLarge,
    /// The deadline passed.
    Timeout,
    /// The tool or its host broke.
    Internal,
}

/// A failure, written for a model: what went wrong and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub code: Code,
    /// The policy rule that decided, for [`Code::Denied`].
    pub rule: Option<String>,
    /// What went wrong.
    pub message: String,
    /// What to do instead.
    pub instead: Option<String>,
}

impl Failure {
    /// Returns a failure with neither rule nor advice.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, rule: None, message: message.into(), instead: None }
    }

    /// Adds what to do instead.
    #[must_use]
    pub fn instead(mut self, advice: impl Into<String>) -> Self {
        self.instead = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)?;
        if let Some(instead) = &self.instead {
            write!(f, "\n=> {instead}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
