//! GitHub and GitHub Enterprise, by octocrab's raw requests and the few fields of answers that are used.
//!
//! Requests are signed with a token for one repository and one use (`auth::Use`), made with the App's key, or with the
//! one token that was given. Nothing is retried here: what a failed call means is told ([`HostError`]), and the outbox asks
//! again.

mod auth;
mod calls;
mod client;
mod jwt;
mod wire;

use std::sync::{Arc, OnceLock};

use gloaming_api::RepoId;
use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::HostError;
use auth::{App, Credentials, Use};
use client::{Call, Client};

pub use client::Clock;

/// Entries of one page, the most there are.
const PAGE: usize = 100;

/// Pages that are read of a list.
const PAGES: usize = 10;

/// What stays as it is in a path's segment (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same with what parts the names of a branch or a file.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// Which GitHub, and as whom.
pub struct Settings {
    /// The API's address: `https://api.github.com`, or `https://HOST/api/v3` of GitHub Enterprise.
    pub api: String,
    /// As whom.
    pub identity: Identity,
}

/// As whom requests are made.
pub enum Identity {
    /// An App, by its id and its private key in PEM.
    App {
        /// Its id.
        id: u64,
        /// Its key.
        key: SecretString,
    },
    /// Whoever a token is of. Checks are refused to tokens of people, and missed deliveries cannot be asked for.
    Token(SecretString),
}

/// The settings are of no use.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SettingsError {
    #[error("{0:?} is no address of an API; want https://api.github.com or https://HOST/api/v3")]
    Address(String),
    #[error("the API's address has a user's name or password in it; a token is given apart")]
    Credentials,
    #[error("{0:?} is not https, and not on this machine: tokens would be read on the way")]
    Insecure(String),
    #[error("the App's key is no RSA private key of 2048 bits or more in PEM")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("could not set up the client")]
    Client(#[source] octocrab::Error),
}

/// A GitHub.
pub struct GitHub {
    client: Client,
    credentials: Credentials,
    web: String,
    me: OnceLock<String>,
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHub")
            .field("web", &self.web)
            .field("as", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl GitHub {
    /// Checks the settings. Nothing is asked of GitHub yet. Needs a running tokio.
    ///
    /// # Errors
    /// An address or key that is none, or an address at which tokens could be read on the way.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, SettingsError> {
        let api = settings.api.trim_end_matches('/');
        let web = web_of(api)?;
        let credentials = match settings.identity {
            Identity::Token(token) => Credentials::Token(token),
            Identity::App { id, key } => {
                let key = jwt::AppKey::of_pem(key.expose_secret()).map_err(SettingsError::Key)?;
                Credentials::App(App::new(id, key))
            }
        };
        let client = Client::new(api, clock).map_err(SettingsError::Client)?;
        Ok(Self { client, credentials, web, me: OnceLock::new() })
    }

    /// Returns the token for one use of one repository.
    async fn token(&self, repo: &RepoId, r#use: Use) -> Result<SecretString, HostError> {
        match &self.credentials {
            Credentials::Token(token) => Ok(token.clone()),
            Credentials::App(app) => app.token(&self.client, repo, r#use).await,
        }
    }

    /// Sends a request about a repository. One that an installation token is not taken for is sent once more with a new
    /// one: 401 says that nothing was done.
    async fn about(&self, repo: &RepoId, r#use: Use, call: &Call<'_>) -> Result<Arc<Vec<u8>>, HostError> {
        let token = self.token(repo, r#use).await?;
        let first = self.client.send(call, &token).await;
        let (Err(HostError::Refused { status: 401, .. }), Credentials::App(app)) =
            (&first, &self.credentials)
        else {
            return first;
        };
        app.forget(repo, r#use, &token).await;
        let token = self.token(repo, r#use).await?;
        self.client.send(call, &token).await
    }

    async fn get<T: DeserializeOwned>(&self, repo: &RepoId, tail: &str) -> Result<T, HostError> {
        let path = at(repo, tail);
        let call = Call::get(&path);
        call.read(&self.about(repo, Use::Look, &call).await?)
    }

    /// The same where it is asked again and again.
    async fn poll<T: DeserializeOwned>(&self, repo: &RepoId, tail: &str) -> Result<T, HostError> {
        let path = at(repo, tail);
        let call = Call::get(&path).polled();
        call.read(&self.about(repo, Use::Look, &call).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        repo: &RepoId,
        r#use: Use,
        tail: &str,
        body: &Value,
    ) -> Result<T, HostError> {
        let path = at(repo, tail);
        let call = Call::post(&path, body);
        call.read(&self.about(repo, r#use, &call).await?)
    }

    async fn patch(&self, repo: &RepoId, r#use: Use, tail: &str, body: &Value) -> Result<(), HostError> {
        let path = at(repo, tail);
        self.about(repo, r#use, &Call::patch(&path, body)).await?;
        Ok(())
    }

    async fn move_branch(
        &self,
        repo: &RepoId,
        name: &str,
        commit: &str,
        force: bool,
    ) -> Result<(), HostError> {
        let body = serde_json::json!({"sha": commit, "force": force});
        self.patch(repo, Use::Publish, &format!("git/refs/heads/{}", path(name)), &body).await
    }

    /// Reads a list page by page, until one is not full.
    async fn list<T: DeserializeOwned, U: From<T>>(
        &self,
        repo: &RepoId,
        tail: &str,
    ) -> Result<Vec<U>, HostError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let join = if tail.contains('?') { '&' } else { '?' };
            let found: Vec<T> = self.get(repo, &format!("{tail}{join}per_page={PAGE}&page={page}")).await?;
            let last = found.len() < PAGE;
            all.extend(found.into_iter().map(U::from));
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Returns the token that speaks for the App itself, where there is one.
    fn as_app(&self) -> Result<Option<SecretString>, HostError> {
        match &self.credentials {
            Credentials::App(app) => app.jwt(self.client.now()).map(Some),
            Credentials::Token(_) => Ok(None),
        }
    }
}

fn at(repo: &RepoId, tail: &str) -> String {
    if tail.is_empty() { format!("repos/{repo}") } else { format!("repos/{repo}/{tail}") }
}

/// Returns where people and git find what an API is of.
fn web_of(api: &str) -> Result<String, SettingsError> {
    if api.contains('@') {
        return Err(SettingsError::Credentials);
    }
    let address = || SettingsError::Address(api.to_owned());
    let uri: Uri = api.parse().map_err(|_| address())?;
    let host = uri.host().ok_or_else(address)?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if matches!(host, "localhost" | "127.0.0.1" | "[::1]") => {}
        Some("http") => return Err(SettingsError::Insecure(api.to_owned())),
        _ => return Err(address()),
    }
    if uri.query().is_some() {
        return Err(address());
    }
    Ok(match host {
        "api.github.com" => "https://github.com".to_owned(),
        _ => api.strip_suffix("/api/v3").unwrap_or(api).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_where_git_finds_it() {
        let told = |api: &str| web_of(api).unwrap_or_else(|error| error.to_string());
        let all = [
            "https://api.github.com",
            "https://git.acme.example/api/v3",
            "http://127.0.0.1:4001",
            "http://git.acme.example/api/v3",
            "https://user:secret@git.acme.example",
            "ftp://git.acme.example",
            "git.acme.example",
        ];
        insta::assert_snapshot!(all.map(told).join("\n"), @r#"
        https://github.com
        https://git.acme.example
        http://127.0.0.1:4001
        "http://git.acme.example/api/v3" is not https, and not on this machine: tokens would be read on the way
        the API's address has a user's name or password in it; a token is given apart
        "ftp://git.acme.example" is no address of an API; want https://api.github.com or https://HOST/api/v3
        "git.acme.example" is no address of an API; want https://api.github.com or https://HOST/api/v3
        "#);
    }

    #[test]
    fn names_of_others_cannot_change_what_is_asked() {
        assert_eq!(segment("a/../b?x=1#[bot]"), "a%2F..%2Fb%3Fx%3D1%23%5Bbot%5D");
        assert_eq!(path("feature/ä b"), "feature/%C3%A4%20b");
    }
}
