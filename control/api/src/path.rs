//! The one spelling of a path inside a workspace.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Where a workspace is mounted in every container, and the prefix tools accept for it.
pub const WORKSPACE_MOUNT: &str = "/workspace";

/// A path was not one inside the workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path begins with `/` and does not lie under [`WORKSPACE_MOUNT`].
    #[error("{0:?} is an absolute path; name files relative to the workspace, like src/lib.rs")]
    Absolute(String),
    /// The path has a `..` component.
    #[error("{0:?} has a `..` component; name files relative to the workspace's root without `..`")]
    Parent(String),
    /// The path holds a NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
    /// The path or one of its names is longer than the system can hold (4096 and 255 bytes).
    #[error("the path is too long: at most 4096 bytes, and 255 for one name")]
    TooLong,
}

/// A path relative to the workspace's root: UTF-8, `/` between names, no empty, `.` or `..` names, no
/// leading or trailing slash. The root itself is the empty path and prints as `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct RelPath(String);

impl RelPath {
    /// Returns the root of the workspace.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Normalises a spelling: `./`, doubled and trailing slashes are dropped, and `/workspace/x` (what
    /// a program in a container prints) is `x`. Purely lexical: `..` is refused rather than resolved,
    /// since resolving it without the file system would be wrong behind a symlink.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        if text.len() > 4096 {
            return Err(PathError::TooLong);
        }
        let relative = match text.strip_prefix(WORKSPACE_MOUNT) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
            _ if text.starts_with('/') => return Err(PathError::Absolute(text.to_owned())),
            _ => text,
        };
        let mut out = String::with_capacity(relative.len());
        for name in relative.split('/') {
            match name {
                "" | "." => continue,
                ".." => return Err(PathError::Parent(text.to_owned())),
                name if name.len() > 255 => return Err(PathError::TooLong),
                name => {
                    if !out.is_empty() {
                        out.push('/');
                    }
                    out.push_str(name);
                }
            }
        }
        Ok(Self(out))
    }

    /// Returns the path with `/` between names; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the workspace's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Returns the last name; none for the root.
    pub fn name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// Returns the folder the path is in; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned())))
    }

    /// Appends one or more names, by the rules of [`RelPath::parse`] (never absolute).
    pub fn join(&self, tail: &str) -> Result<Self, PathError> {
        if tail.starts_with('/') {
            return Err(PathError::Absolute(tail.to_owned()));
        }
        // A single name, which is all that a walk over a large tree ever appends.
        let plain = !matches!(tail, "" | "." | "..") && tail.len() <= 255 && !tail.contains(['/', '\0']);
        let length = self.0.len() + 1 + tail.len();
        if plain && length <= 4096 {
            let mut path = String::with_capacity(length);
            path.push_str(&self.0);
            if !self.is_root() {
                path.push('/');
            }
            path.push_str(tail);
            return Ok(Self(path));
        }
        Self::parse(&format!("{}/{tail}", if self.is_root() { "." } else { &self.0 }))
    }

    /// Returns the path that a word of a manifest or command line means in this folder; none where it leads out of the
    /// tree. No link is looked at.
    pub fn resolve(&self, word: &str) -> Option<Self> {
        if word.starts_with('/') {
            return None;
        }
        word.split('/').try_fold(self.clone(), |at, name| match name {
            "" | "." => Some(at),
            ".." => at.parent(),
            name => at.join(name).ok(),
        })
    }

    /// Whether `self` is `ancestor` or lies beneath it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self.0 == ancestor.0
            || (self.0.starts_with(&ancestor.0) && self.0.as_bytes()[ancestor.0.len()] == b'/')
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({:?})", self.0)
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Returns a file name for people: printable as it is, else with `\xNN`, `\n`, `\u{...}` escapes, so that
/// a name can neither forge a line nor move a terminal's cursor.
pub fn escape_name(name: &[u8]) -> String {
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || crate::text::is_invisible(c) {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_value() {
        for spelling in [
            "src/lib.rs",
            "./src/lib.rs",
            "src//lib.rs",
            "src/./lib.rs",
            "src/lib.rs/",
            "/workspace/src/lib.rs",
            "/workspace//src/lib.rs",
        ] {
            assert_eq!(RelPath::parse(spelling).unwrap().as_str(), "src/lib.rs", "{spelling}");
        }
        for root in ["", ".", "./", "/workspace", "/workspace/"] {
            assert!(RelPath::parse(root).unwrap().is_root(), "{root}");
        }
    }

    #[test]
    fn what_leaves_the_workspace_is_refused() {
        assert_eq!(RelPath::parse("a/../b"), Err(PathError::Parent("a/../b".into())));
        assert_eq!(
            RelPath::parse("/workspace/../etc/passwd"),
            Err(PathError::Parent("/workspace/../etc/passwd".into()))
        );
        assert_eq!(RelPath::parse("/etc/passwd"), Err(PathError::Absolute("/etc/passwd".into())));
        assert_eq!(RelPath::parse("/workspacefoo/x"), Err(PathError::Absolute("/workspacefoo/x".into())));
        assert_eq!(RelPath::parse("a\0b"), Err(PathError::Nul));
        assert_eq!(RelPath::parse(&"a".repeat(256)), Err(PathError::TooLong));
        assert!(RelPath::parse("a").unwrap().join("../..").is_err());
        assert!(RelPath::root().join("/etc").is_err());
    }

    #[test]
    fn containment_is_by_name_not_by_prefix() {
        let path = |s| RelPath::parse(s).unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(path("a").is_within(&RelPath::root()));
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(RelPath::root()));
    }

    #[test]
    fn names_cannot_forge_lines() {
        assert_eq!(escape_name(b"a\nb\x1b[2J\xff \xf0\x9f\x98\x80"), "a\\nb\\u{1b}[2J\\xff 😀");
    }
}
