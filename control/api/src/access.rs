//! Who may do what: scopes, tokens and the repositories they are for.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::RepoId;

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See tasks, policies and profiles of its repositories.
    Read,
    /// Ask for tasks of its repositories, and cancel and retry them; what `read` may, too.
    Submit,
    /// Take tasks and hand over what came of them.
    Worker,
    /// Everything, tokens among it.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: &[Self] = &[Self::Read, Self::Submit, Self::Worker, Self::Admin];

    /// Returns the scope as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Worker => "worker",
            Self::Admin => "admin",
        }
    }

    /// Whether a holder of this scope may do what `wanted` is needed for.
    pub fn covers(self, wanted: Self) -> bool {
        self == wanted || self == Self::Admin || self == Self::Submit && wanted == Self::Read
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|scope| scope.as_str() == name);
        found.ok_or_else(|| format!("{name:?} is no scope; there are read, submit, worker and admin"))
    }
}

/// Which repositories: `*`, `owner/*` or `owner/name`. Nothing else is a pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = r"^(\*|[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}/(\*|[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}))$"))]
pub struct RepoPattern(String);

impl RepoPattern {
    /// Returns the pattern of all repositories.
    pub fn all() -> Self {
        Self("*".to_owned())
    }

    /// Returns the pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a repository is one of them. Names are compared without regard to case, as code hosts do.
    pub fn matches(&self, repo: &RepoId) -> bool {
        if self.0 == "*" {
            return true;
        }
        let (owner, name) = self.0.split_once('/').expect("it was parsed");
        let (of, called) = repo.as_str().split_once('/').expect("a repository's name has two parts");
        owner.eq_ignore_ascii_case(of) && (name == "*" || name.eq_ignore_ascii_case(called))
    }

    /// Whether each repository of another pattern is one of this one's.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.0.split_once('/'), other.0.split_once('/')) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((owner, name)), Some((of, called))) => {
                owner.eq_ignore_ascii_case(of) && (name == "*" || name.eq_ignore_ascii_case(called))
            }
        }
    }
}

impl RepoPattern {
    /// Returns the pattern in lower case, which is the same one.
    pub fn to_lowercase(&self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }

    /// Returns how much it names: 0 for one repository, 1 for an owner's, 2 for all. Where several match, the least counts.
    pub fn breadth(&self) -> u8 {
        match self.0.rsplit('/').next() {
            Some("*") if self.0.contains('/') => 1,
            Some("*") => 2,
            _ => 0,
        }
    }
}

impl fmt::Debug for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoPattern({})", self.0)
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepoPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = match text.split_once('/') {
            None => text == "*",
            Some((owner, "*")) => format!("{owner}/x").parse::<RepoId>().is_ok(),
            Some(_) => text.parse::<RepoId>().is_ok(),
        };
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} names no repositories; want `*`, `owner/*` or `owner/name`"))
    }
}

impl<'de> Deserialize<'de> for RepoPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is asked for when a token is made: the body of `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is called; tasks asked for with it say `token:NAME`. 1 to 64 letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    pub name: String,
    /// What it is for.
    #[schemars(length(min = 1, max = 4))]
    pub scopes: Vec<Scope>,
    /// Which repositories it is for. A worker's token is handed tasks of these alone.
    #[schemars(length(min = 1, max = 100))]
    pub repos: Vec<RepoPattern>,
    /// Seconds until it is no longer taken; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_162_240_000_u64))]
    pub expires_s: Option<u64>,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// The part of it that is no secret.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// Which repositories it is for.
    pub repos: Vec<RepoPattern>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is no longer taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl TokenView {
    /// Whether it lets its holder do what a scope is needed for, at a time.
    pub fn allows(&self, wanted: Scope, now: Timestamp) -> bool {
        self.revoked_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
            && self.scopes.iter().any(|scope| scope.covers(wanted))
    }

    /// Whether each repository of some patterns is one that a single pattern of it is for.
    pub fn covers(&self, repos: &[RepoPattern]) -> bool {
        repos.iter().all(|other| self.repos.iter().any(|pattern| pattern.covers(other)))
    }

    /// Whether a repository is one it is for.
    pub fn reaches(&self, repo: &RepoId) -> bool {
        self.repos.iter().any(|pattern| pattern.matches(repo))
    }
}

/// A token as it is told once: the answer of `POST /v1/tokens`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    /// The token: `glm_ID_SECRET`.
    pub token: String,
    /// The part of it that is no secret.
    pub id: String,
}

impl fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMade").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_three_and_no_more() {
        for (pattern, repo, fits) in [
            ("*", "acme/api", true),
            ("acme/*", "acme/api", true),
            ("ACME/*", "acme/api", true),
            ("acme/*", "acme2/api", false),
            ("acme/api", "acme/API", true),
            ("acme/api", "acme/api2", false),
        ] {
            let pattern: RepoPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&repo.parse().unwrap()), fits, "{pattern} {repo}");
        }
        for bad in ["", "acme", "*/*", "*/api", "acme/a*", "acme/**", "a/b/c", "/*"] {
            assert!(bad.parse::<RepoPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_cover_what_they_hold() {
        let all = ["*", "acme/*", "ACME/api", "acme/api", "acme/web", "other/*", "other/api"];
        let told: Vec<String> = all
            .iter()
            .map(|one| {
                let pattern: RepoPattern = one.parse().unwrap();
                let held = all.iter().filter(|other| pattern.covers(&other.parse().unwrap()));
                format!("{one}: {}", held.copied().collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "*: * acme/* ACME/api acme/api acme/web other/* other/api",
                "acme/*: acme/* ACME/api acme/api acme/web",
                "ACME/api: ACME/api acme/api",
                "acme/api: ACME/api acme/api",
                "acme/web: acme/web",
                "other/*: other/* other/api",
                "other/api: other/api",
            ]
        );
    }

    #[test]
    fn scopes_cover_what_they_say() {
        let covered: Vec<String> = Scope::ALL
            .iter()
            .map(|scope| {
                let names: Vec<&str> = Scope::ALL
                    .iter()
                    .filter(|wanted| scope.covers(**wanted))
                    .map(|one| one.as_str())
                    .collect();
                format!("{}: {}", scope.as_str(), names.join(" "))
            })
            .collect();
        assert_eq!(
            covered,
            ["read: read", "submit: read submit", "worker: worker", "admin: read submit worker admin"]
        );
    }

    #[test]
    fn the_secret_is_not_printed() {
        let made = TokenMade { token: "glm_a_secret".into(), id: "a".into() };
        assert!(!format!("{made:?}").contains("secret"));
    }
}
