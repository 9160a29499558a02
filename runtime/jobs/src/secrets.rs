//! The operator's secrets, and which of them one job is handed.
//!
//! A job gets what its permit names and nothing else: each secret as the variable of its name and as the file
//! `/run/secrets/NAME`, in memory, for its own user alone. Values are written to no disk, not even into the container's
//! configuration, and are taken out of what the job prints.

use std::collections::BTreeMap;

use gloaming_policies::JobPermit;
use secrecy::{ExposeSecret as _, SecretString};

use crate::redact::Redactor;

/// Where a job finds the files.
pub(crate) const SECRETS_MOUNT: &str = "/run/secrets";

/// A shorter value would be found in half of what a job prints.
const SHORTEST: usize = 8;
/// What fits a variable and the socket that a container's description goes over.
const LONGEST: usize = 64 << 10;
/// So many are enough for anybody, and few enough to be looked for at once.
const MOST: usize = 256;

/// The secrets an operator holds, by name.
#[derive(Debug, Clone, Default)]
pub struct Vault {
    secrets: BTreeMap<String, SecretString>,
}

/// A secret that cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret {name:?} {reason}")]
pub struct BadSecret {
    /// Its name.
    pub name: String,
    /// What is wrong with it, without its value.
    pub reason: String,
}

impl Vault {
    /// Returns the names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }

    /// Adds a secret; one line break at its end is not part of it.
    ///
    /// # Errors
    /// A name that is none of a variable's, or a value that cannot be kept out of a job's output (shorter than 8 bytes),
    /// is longer than 64 KiB, or holds a NUL byte.
    pub fn add(&mut self, name: &str, value: &SecretString) -> Result<(), BadSecret> {
        let bad = |reason: &str| BadSecret { name: name.to_owned(), reason: reason.to_owned() };
        let head = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !head || name.len() > 100 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(bad("has no name of a variable: letters, digits and underscores"));
        }
        let text = value.expose_secret();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim().len() < SHORTEST {
            return Err(bad("is shorter than 8 characters and could not be kept out of what a job prints"));
        }
        if text.len() > LONGEST {
            return Err(bad("is longer than 64 KiB"));
        }
        if text.contains('\0') {
            return Err(bad("holds a NUL byte"));
        }
        if self.secrets.len() == MOST {
            return Err(bad("is one too many: 256 are held at most"));
        }
        self.secrets.insert(name.to_owned(), SecretString::from(text.to_owned()));
        Ok(())
    }

    /// Returns what takes every one of them out of a text.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.secrets.iter().map(|(name, value)| (name.as_str(), value.expose_secret())))
    }

    /// Returns those that a permit names.
    pub(crate) fn given(&self, permit: &JobPermit) -> Given {
        let values: BTreeMap<String, SecretString> = self
            .secrets
            .iter()
            .filter(|(name, _)| permit.gives_secret(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let shown = values.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        let redactor = Redactor::new(shown);
        Given { values, redactor }
    }
}

/// What one job is handed.
#[derive(Debug, Default)]
pub(crate) struct Given {
    values: BTreeMap<String, SecretString>,
    pub(crate) redactor: Redactor,
}

impl Given {
    pub(crate) fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// Returns the values, for the process that makes the container and nothing else.
    pub(crate) fn exposed(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_held_is_refused_and_never_shown() {
        let mut vault = Vault::default();
        let mut add = |name: &str, value: &str| vault.add(name, &SecretString::from(value.to_owned()));
        for (name, value) in [
            ("", "long enough"),
            ("A-B", "long enough"),
            ("1A", "long enough"),
            ("A", "brief\n"),
            ("A", "        \n"),
            ("A", "with a \0 in it"),
            ("A", &"x".repeat(LONGEST + 1)),
        ] {
            let error = add(name, value).unwrap_err();
            assert!(!error.to_string().contains(value.trim_end()) || value.trim().is_empty(), "{error}");
        }
        add("TOKEN", "0123456789\n").unwrap();
        assert_eq!(vault.names().collect::<Vec<_>>(), ["TOKEN"]);
        assert!(!format!("{vault:?}").contains("0123"));
    }
}
