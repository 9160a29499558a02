//! Credentials: an App's key, the installation tokens made with it, or a token that somebody gave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::RepoId;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::client::{Call, Client};
use super::jwt::AppKey;
use crate::host::HostError;

/// A token is asked for again when it has less than this left: no request of ours takes as long.
const SPARE: SignedDuration = SignedDuration::from_mins(5);

/// How long a token of the App's own is used.
const JWT: SignedDuration = SignedDuration::from_mins(5);

/// Tokens that are kept; beyond, those that ran out are dropped.
const MOST_KEPT: usize = 1_000;

/// What a token is for: which permissions it is asked for with, each the least that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// Git reads of a repository.
    Clone,
    /// Reads of the API.
    Look,
    /// Blobs, trees, commits, branches and pull requests.
    Publish,
    /// Comments.
    Talk,
    /// Checks.
    Check,
}

impl Use {
    fn permissions(self) -> serde_json::Value {
        match self {
            Self::Clone => json!({"contents": "read"}),
            Self::Look => json!({
                "checks": "read", "contents": "read", "issues": "read", "metadata": "read", "pull_requests": "read"
            }),
            Self::Publish => json!({"contents": "write", "pull_requests": "write"}),
            Self::Talk => json!({"issues": "write", "pull_requests": "write"}),
            Self::Check => json!({"checks": "write"}),
        }
    }
}

/// With what requests are signed.
pub(super) enum Credentials {
    /// As an App.
    App(App),
    /// With a token for everything.
    Token(SecretString),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::App(app) => write!(f, "App({})", app.id),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// An App and the tokens of its installations.
pub(super) struct App {
    id: u64,
    key: AppKey,
    signed: Mutex<Option<Kept>>,
    kept: Mutex<HashMap<(String, Use), Slot>>,
}

struct Kept {
    token: SecretString,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct Minted {
    #[serde(deserialize_with = "secret")]
    token: SecretString,
    expires_at: Timestamp,
}

/// Takes a text for a secret at once, so that nothing prints it.
fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

impl App {
    pub(super) fn new(id: u64, key: AppKey) -> Self {
        Self { id, key, signed: Mutex::default(), kept: Mutex::default() }
    }

    /// Returns a token that says that we are this App: one that is kept, or a new one. GitHub takes it for nine minutes.
    pub(super) fn jwt(&self, now: Timestamp) -> Result<SecretString, HostError> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = signed.as_ref().filter(|kept| now < kept.expires_at) {
            return Ok(kept.token.clone());
        }
        let token = self.key.jwt(self.id, now).map_err(|error| HostError::Refused {
            asked: "signing as the App".to_owned(),
            status: 0,
            why: error.to_string(),
        })?;
        *signed = Some(Kept { token: token.clone(), expires_at: now + JWT });
        Ok(token)
    }

    /// Returns a token for one repository and one use: one that is kept, or a new one. Whoever asks while one is made waits
    /// for that one.
    pub(super) async fn token(
        &self,
        client: &Client,
        repo: &RepoId,
        r#use: Use,
    ) -> Result<SecretString, HostError> {
        let slot = self.slot(repo, r#use);
        let mut kept = slot.lock().await;
        let now = client.now();
        if let Some(kept) = kept.as_ref().filter(|kept| now + SPARE < kept.expires_at) {
            return Ok(kept.token.clone());
        }
        let jwt = self.jwt(now)?;
        let path = format!("repos/{repo}/installation");
        let installation: Installation = client.json(&Call::get(&path), &jwt).await?;
        let (_, name) = repo.as_str().split_once('/').expect("a repository's name has two parts");
        let body = json!({"repositories": [name], "permissions": r#use.permissions()});
        let path = format!("app/installations/{}/access_tokens", installation.id);
        let minted: Minted = client.json(&Call::post(&path, &body), &jwt).await?;
        *kept = Some(Kept { token: minted.token.clone(), expires_at: minted.expires_at });
        Ok(minted.token)
    }

    /// Forgets a token that was not taken: the installation was removed, or its permissions changed.
    pub(super) async fn forget(&self, repo: &RepoId, r#use: Use, refused: &SecretString) {
        let slot = self.slot(repo, r#use);
        let mut kept = slot.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.token.expose_secret() == refused.expose_secret()) {
            *kept = None;
        }
    }

    fn slot(&self, repo: &RepoId, r#use: Use) -> Slot {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_KEPT {
            // What somebody is waiting on stays.
            all.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(all.entry((repo.as_str().to_ascii_lowercase(), r#use)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_manifest_asks_for_what_tokens_are_asked_with_and_no_more() {
        let manifest: serde_json::Value =
            serde_json::from_str(include_str!("../../../../docs/github-app.json")).unwrap();
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        for r#use in [Use::Clone, Use::Look, Use::Publish, Use::Talk, Use::Check] {
            for (name, level) in r#use.permissions().as_object().unwrap() {
                let level = level.as_str().unwrap().to_owned();
                // "write" is more, and stands behind "read" in the alphabet.
                let most = wanted.entry(name.clone()).or_default();
                *most = level.max(most.clone());
            }
        }
        assert_eq!(manifest["default_permissions"], json!(wanted));
    }
}
