//! Identifiers, each a type of its own, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

/// An identifier was malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {reason}")]
pub struct IdError {
    what: &'static str,
    value: String,
    reason: &'static str,
}

macro_rules! string_id {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Returns the identifier as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Names one task: `t-` and 20 lower-case hexadecimal digits, the first 12 of them a Unix time in
/// milliseconds (the layout of a UUID version 7, RFC 9562, shortened), so that ids sort by age.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^t-[0-9a-f]{20}$"))]
pub struct TaskId(String);
string_id!(TaskId, "task id");

impl TaskId {
    /// Makes a new id from the clock and the system's randomness.
    pub fn generate() -> Self {
        let simple = uuid::Uuid::now_v7().simple().to_string();
        Self(format!("t-{}{}", &simple[..12], &simple[24..]))
    }

    /// Returns the branch that a task's patch is published on.
    pub fn branch(&self) -> String {
        format!("gloaming/{self}")
    }
}

impl FromStr for TaskId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let digits = value.strip_prefix("t-").unwrap_or("");
        if digits.len() == 20 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(value.to_owned()))
        } else {
            Err(IdError {
                what: "task id",
                value: value.to_owned(),
                reason: "want t- and 20 hexadecimal digits",
            })
        }
    }
}

/// The number of a leased try at a task, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name a repository goes by: `owner/name`, given by the operator or the task and never read from
/// the repository itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$"))]
pub struct RepoId(String);
string_id!(RepoId, "repository");

impl RepoId {
    /// Returns `local/<folder>` with every character that a repository name cannot hold replaced by `-`.
    pub fn local(folder: &str) -> Self {
        let name: String = folder
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .take(100)
            .collect();
        let name = name.trim_start_matches('.');
        Self(format!("local/{}", if name.is_empty() { "repository" } else { name }))
    }
}

impl FromStr for RepoId {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let part = |s: &str| {
            !s.is_empty()
                && s.len() <= 100
                && !s.starts_with('.')
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match value.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(Self(value.to_owned())),
            _ => Err(IdError {
                what: "repository",
                value: value.to_owned(),
                reason: "want owner/name of letters, digits, - _ and .",
            }),
        }
    }
}

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^sha256:[0-9a-f]{64}$"))]
pub struct Digest(String);
string_id!(Digest, "digest");

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self::from_hash(Sha256::digest(bytes.as_ref()).as_slice())
    }

    /// Returns the digest of a value's canonical JSON (see [`crate::canonical_json`]).
    pub fn of_json(value: &impl Serialize) -> Self {
        Self::of(crate::canonical_json(value))
    }

    /// Like [`Digest::of_json`], of a value that is JSON already: nothing of it is copied.
    pub fn of_value(value: &serde_json::Value) -> Self {
        Self::of(crate::canonical::canonical_value(value))
    }

    /// Wraps the 32 bytes a SHA-256 hasher finished with.
    pub fn from_hash(hash: &[u8]) -> Self {
        // By hand: formatting each byte takes longer than hashing a small file.
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        text.extend(hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        Self(text)
    }

    /// The digest that stands before the first event of a journal: 64 zeros.
    pub fn zero() -> Self {
        Self("sha256:0000000000000000000000000000000000000000000000000000000000000000".to_owned())
    }

    /// Returns the 64 hexadecimal digits without the algorithm's name.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        match value.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Ok(Self(value.to_owned()))
            }
            _ => Err(IdError {
                what: "digest",
                value: value.to_owned(),
                reason: "want sha256: and 64 hexadecimal digits",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_what_they_print_and_nothing_else() {
        let task = TaskId::generate();
        assert_eq!(task.as_str().parse::<TaskId>().unwrap(), task);
        for bad in ["", "t-", "t-XYZ", "x-00000000000000000000", "t-0000000000000000000G", "t-../../etc"] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
        for good in ["acme/api", "local/my.repo_1"] {
            assert_eq!(good.parse::<RepoId>().unwrap().as_str(), good);
        }
        for bad in ["", "acme", "/api", "acme/", "a/b/c", "../x", "acme/..", "a b/c"] {
            assert!(bad.parse::<RepoId>().is_err(), "{bad}");
        }
        assert_eq!(RepoId::local("mein repo/é").as_str(), "local/mein-repo--");
        assert!(RepoId::local("...").as_str().parse::<RepoId>().is_ok());
        let digest = Digest::of(b"abc");
        assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        assert!("sha256:ABC".parse::<Digest>().is_err());
    }
}
