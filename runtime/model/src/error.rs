//! Why a model gave no answer.

use std::time::Duration;

use gloaming_api::Digest;

/// Why a model gave no answer. Neither keys nor prompts nor answers are in it; a provider's own message is,
/// shortened, printable and without the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// It cannot be reached as it is configured; nothing was sent.
    #[error("model {spec}: {reason}; {hint}")]
    Setup {
        /// The model.
        spec: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// The server refused the request, and would again.
    #[error("the model's server answered {status}: {message}; {hint}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The server is too busy for us (429, 503, 529).
    #[error("the model's server answered {status} (too many requests or overloaded): {message}")]
    Busy {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The server failed (other 5xx, 408, 409).
    #[error("the model's server failed with {status}: {message}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The provider reported an error inside an answer that had begun well.
    #[error("the model's provider reported {kind}: {message}")]
    Reported {
        /// The provider's name for it.
        kind: String,
        /// The provider's words.
        message: String,
        /// Whether it may pass.
        transient: bool,
    },
    /// No connection could be made, or it broke before an answer began.
    #[error("the model's server cannot be reached")]
    Connect {
        /// The client's error.
        #[source]
        source: reqwest::Error,
    },
    /// Something took too long.
    #[error("the model's server took more than {} s for {what}", after.as_secs_f64())]
    Timeout {
        /// For what.
        what: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The answer was cut off.
    #[error("the model's answer was cut off {place}")]
    Truncated {
        /// Where.
        place: String,
        /// The client's error, where the connection broke.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The answer is not of the form the API promises.
    #[error("the model's answer is malformed at {place}: {reason}")]
    Malformed {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// What answered is no such API.
    #[error(
        "the model's server answered with {content_type:?} instead of JSON or an event stream; \
         check the base URL"
    )]
    NotTheApi {
        /// What it sent.
        content_type: String,
    },
    /// The answer is larger than we are ready to keep.
    #[error("the model's answer has more than {limit} bytes in {what}")]
    TooLarge {
        /// In what: the body, or one line of a stream.
        what: &'static str,
        /// The limit, bytes.
        limit: usize,
    },
    /// Every try failed, or no time was left for another.
    #[error("no answer after {tries} {} ({why})", if *tries == 1 { "try" } else { "tries" })]
    GaveUp {
        /// How often we tried.
        tries: u32,
        /// Why there was no other try.
        why: String,
        /// What the answers that broke off may have cost, US dollars; none when the price is not known.
        spent_usd: Option<f64>,
        /// The last failure.
        #[source]
        source: Box<ModelError>,
    },
    /// The server was not asked: no turn came in time.
    #[error("the model's server is not asked: {why}")]
    NotAsked {
        /// What keeps us from it.
        why: String,
    },
    /// No model of a chain answered.
    #[error("none of {count} models answered: {words}")]
    NoneAnswered {
        /// How many were asked.
        count: usize,
        /// Each with its failure.
        words: String,
        /// What the answers that broke off may have cost, US dollars; none when a price is not known.
        spent_usd: Option<f64>,
    },
    /// A replay asked for what its record does not have.
    #[error("the record has no answer to the request {found}")]
    NotRecorded {
        /// The request that was asked.
        found: Digest,
    },
}

impl ModelError {
    /// Whether another try may go better. True only of single tries: a call that gave up has had its own.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Server { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Truncated { .. }
            | Self::Malformed { .. } => true,
            Self::Reported { transient, .. } => *transient,
            Self::Setup { .. }
            | Self::Refused { .. }
            | Self::NotTheApi { .. }
            | Self::TooLarge { .. }
            | Self::GaveUp { .. }
            | Self::NotAsked { .. }
            | Self::NoneAnswered { .. }
            | Self::NotRecorded { .. } => false,
        }
    }

    /// Returns what the failed call may have cost, in US dollars: answers that broke off are paid for too.
    /// None when the price is not known.
    pub fn spent_usd(&self) -> Option<f64> {
        match self {
            Self::GaveUp { spent_usd, .. } | Self::NoneAnswered { spent_usd, .. } => *spent_usd,
            _ => Some(0.0),
        }
    }

    /// Returns the error with its causes in one line, for a journal.
    pub fn in_words(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// Makes a server's words fit for a log: no key, one line, nothing invisible, at most 500 characters.
pub(crate) fn presentable(text: &str, key: Option<&str>) -> String {
    let text = match key {
        Some(key) if !key.is_empty() => text.replace(key, "[key]"),
        _ => text.to_owned(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    gloaming_api::bowout::shorten(&gloaming_api::path::escape_name(line.as_bytes()), 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_can_neither_leak_the_key_nor_move_the_cursor() {
        assert_eq!(
            presentable("bad key sk-123\n\x1b[2J\u{202e}x", Some("sk-123")),
            "bad key [key] \\u{1b}[2J\\u{202e}x"
        );
        assert_eq!(presentable(&"a".repeat(900), None).chars().count(), 500);
    }
}
