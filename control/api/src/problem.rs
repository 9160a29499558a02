//! What goes wrong with a request, told as problem details (RFC 9457) with codes that stay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problems {
    ($($name:ident $status:literal $code:literal $title:literal;)*) => {
        /// What went wrong; each has a page in `docs/errors`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "docs/errors tells each; a test holds them equal")]
        pub enum ProblemCode { $($name),* }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the code as it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// Returns the HTTP status it comes with.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// Returns what it is called; the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

problems! {
    BadRequest 400 "bad_request" "The request is malformed";
    InvalidBody 422 "invalid_body" "The body is not what this endpoint takes";
    Unauthorized 401 "unauthorized" "No token, or none that is taken";
    Forbidden 403 "forbidden" "The token is not for this";
    NotFound 404 "not_found" "There is no such thing, or the token may not see it";
    MethodNotAllowed 405 "method_not_allowed" "The path is not asked in this way";
    NotAcceptable 406 "not_acceptable" "None of the wanted media types is offered";
    RequestTimeout 408 "request_timeout" "The request did not come in time";
    Conflict 409 "conflict" "It is not in the state for this";
    LeaseLost 409 "lease_lost" "The lease is another's, or nobody's";
    IdempotencyConflict 409 "idempotency_conflict" "The idempotency key was used for another request";
    TooLarge 413 "too_large" "The body is larger than this endpoint takes";
    UnsupportedMediaType 415 "unsupported_media_type" "The body is of another media type";
    BadSignature 401 "bad_signature" "The delivery's signature is missing, wrong or too old";
    PolicyBlocked 403 "policy_blocked" "The repository's policy does not let this be asked for";
    ProtocolVersion 426 "protocol_version" "The worker speaks another version of the protocol";
    RateLimited 429 "rate_limited" "Too many requests";
    HeadersTooLarge 431 "headers_too_large" "The request's headers are too large";
    Internal 500 "internal" "Something failed here";
    HostFailed 502 "host_failed" "The code host did not do its part";
    Overloaded 503 "overloaded" "Too much at once; try again later";
    Draining 503 "draining" "This server is shutting down";
}

/// A problem as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Names the kind: `urn:gloaming:error:CODE`; `docs/errors/CODE.md` is its page.
    #[serde(rename = "type")]
    pub kind: String,
    /// See [`ProblemCode::title`].
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: ProblemCode,
    /// What it was this time: the place, the reason, and what to do.
    pub detail: String,
    /// The request's id, as in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// Makes a problem.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:gloaming:error:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            request_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_read() {
        for code in ProblemCode::ALL {
            let text = serde_json::to_value(code).unwrap();
            assert_eq!(text, code.as_str());
            assert!((400..600).contains(&code.status()));
        }
    }
}
