//! GitHub and GitHub Enterprise, by octocrab's raw requests and the few fields of answers that are used.
//!
//! Requests are signed with a token for one repository and one use ([`auth::Use`]), made with the App's key, or with the
//! one token that was given. Nothing is retried here: what a failed call means is told ([`HostError`]), and the outbox asks
//! again.

mod auth;
mod client;
mod wire;

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use gloaming_api::RepoId;
use http::Uri;
use jiff::Timestamp;
use octocrab::auth::EncodingKey;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::host::{
    Answer, Check, CheckState, CodeHost, Comment, Commit, FailedDelivery, HostError, Issue, LineComment,
    NewRequest, Permission, ReadAccess, Repository, Request, RequestState, TreeChange,
};
use auth::{App, Credentials, Use};
use client::{Call, Client};

pub use client::Clock;

/// Entries of one page, the most there are.
const PAGE: usize = 100;

/// Pages that are read of a list.
const PAGES: usize = 10;

/// The largest file that is read through the API.
const FILE_CAP: usize = 1 << 20;

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
    #[error("the App's key is no RSA private key in PEM")]
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
                let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes())
                    .map_err(|error| SettingsError::Key(Box::new(error)))?;
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
            Credentials::App(app) => app.jwt().map(Some),
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

/// Turns "there is none" into a value.
fn optional<T>(answer: Result<T, HostError>) -> Result<Option<T>, HostError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(HostError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_body(check: &Check) -> Value {
    let mut body = json!({
        "name": check.name,
        "external_id": check.key,
        "output": {"title": check.title, "summary": check.summary},
    });
    match check.state {
        CheckState::Running => body["status"] = json!("in_progress"),
        done => {
            body["status"] = json!("completed");
            body["conclusion"] = json!(match done {
                CheckState::Success => "success",
                CheckState::Failure => "failure",
                CheckState::Running | CheckState::Neutral => "neutral",
            });
        }
    }
    body
}

impl CodeHost for GitHub {
    fn me(&self) -> Answer<'_, String> {
        async move {
            if let Some(me) = self.me.get() {
                return Ok(me.clone());
            }
            let me = match (self.as_app()?, &self.credentials) {
                (Some(jwt), _) => {
                    let app: wire::App = self.client.json(&Call::get("app"), &jwt).await?;
                    format!("{}[bot]", app.slug)
                }
                (None, Credentials::Token(token)) => {
                    let user: wire::User = self.client.json(&Call::get("user"), token).await?;
                    user.login
                }
                (None, Credentials::App(_)) => unreachable!("an App has a token of its own"),
            };
            Ok(self.me.get_or_init(|| me).clone())
        }
        .boxed()
    }

    fn repository<'a>(&'a self, repo: &'a RepoId) -> Answer<'a, Repository> {
        async move { Ok(self.poll::<wire::Repo>(repo, "").await?.into()) }.boxed()
    }

    fn permission<'a>(&'a self, repo: &'a RepoId, login: &'a str) -> Answer<'a, Permission> {
        async move {
            let tail = format!("collaborators/{}/permission", segment(login));
            let role: Option<wire::Role> = optional(self.get(repo, &tail).await)?;
            Ok(role.map_or(Permission::None, |role| role.permission()))
        }
        .boxed()
    }

    fn read_access<'a>(&'a self, repo: &'a RepoId) -> Answer<'a, ReadAccess> {
        async move {
            let token = self.token(repo, Use::Clone).await?;
            let pair = format!("x-access-token:{}", token.expose_secret());
            Ok(ReadAccess {
                url: format!("{}/{repo}.git", self.web),
                authorization: format!("Basic {}", STANDARD.encode(pair)).into(),
            })
        }
        .boxed()
    }

    fn commit<'a>(&'a self, repo: &'a RepoId, reference: &'a str) -> Answer<'a, Commit> {
        async move {
            // One entry of the files it changed, which come with it and are not wanted.
            let tail = format!("commits/{}?per_page=1", path(reference));
            Ok(self.get::<wire::CommitBody>(repo, &tail).await?.into())
        }
        .boxed()
    }

    fn contains<'a>(&'a self, repo: &'a RepoId, reference: &'a str, commit: &'a str) -> Answer<'a, bool> {
        async move {
            let tail = format!("compare/{}...{}?per_page=1", path(commit), path(reference));
            let compared: Option<wire::Compared> = optional(self.get(repo, &tail).await)?;
            Ok(compared.is_some_and(|compared| matches!(compared.status.as_str(), "ahead" | "identical")))
        }
        .boxed()
    }

    fn commits_since<'a>(
        &'a self,
        repo: &'a RepoId,
        branch: &'a str,
        since: Timestamp,
    ) -> Answer<'a, Vec<Commit>> {
        async move {
            let mut all = Vec::new();
            for page in 1..=3 {
                let (branch, since) = (segment(branch), segment(&since.to_string()));
                let tail = format!("commits?sha={branch}&since={since}&per_page={PAGE}&page={page}");
                let found: Vec<wire::CommitBody> = self.poll(repo, &tail).await?;
                let last = found.len() < PAGE;
                all.extend(found.into_iter().map(Commit::from));
                if last {
                    break;
                }
            }
            Ok(all)
        }
        .boxed()
    }

    fn file<'a>(&'a self, repo: &'a RepoId, commit: &'a str, file: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        async move {
            let path = at(repo, &format!("contents/{}?ref={}", path(file), segment(commit)));
            let found = optional(self.about(repo, Use::Look, &Call::get(&path).raw()).await)?;
            Ok(found.filter(|bytes| bytes.len() <= FILE_CAP).map(Arc::unwrap_or_clone))
        }
        .boxed()
    }

    fn issue<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Issue> {
        async move { Ok(self.get::<wire::IssueBody>(repo, &format!("issues/{number}")).await?.into()) }
            .boxed()
    }

    fn comments<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Vec<Comment>> {
        async move { self.list::<wire::CommentBody, _>(repo, &format!("issues/{number}/comments")).await }
            .boxed()
    }

    fn line_comments<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Vec<LineComment>> {
        async move { self.list::<wire::CommentBody, _>(repo, &format!("pulls/{number}/comments")).await }
            .boxed()
    }

    fn review<'a>(&'a self, repo: &'a RepoId, number: u64, review: u64) -> Answer<'a, Comment> {
        async move {
            Ok(self.get::<wire::CommentBody>(repo, &format!("pulls/{number}/reviews/{review}")).await?.into())
        }
        .boxed()
    }

    fn create_comment<'a>(&'a self, repo: &'a RepoId, number: u64, body: &'a str) -> Answer<'a, u64> {
        async move {
            let tail = format!("issues/{number}/comments");
            let made: wire::Id = self.post(repo, Use::Talk, &tail, &json!({"body": body})).await?;
            Ok(made.id)
        }
        .boxed()
    }

    fn edit_comment<'a>(&'a self, repo: &'a RepoId, comment: u64, body: &'a str) -> Answer<'a, ()> {
        async move {
            self.patch(repo, Use::Talk, &format!("issues/comments/{comment}"), &json!({"body": body})).await
        }
        .boxed()
    }

    fn create_blob<'a>(&'a self, repo: &'a RepoId, content: &'a [u8]) -> Answer<'a, String> {
        async move {
            let body = json!({"content": STANDARD.encode(content), "encoding": "base64"});
            Ok(self.post::<wire::Sha>(repo, Use::Publish, "git/blobs", &body).await?.sha)
        }
        .boxed()
    }

    fn create_tree<'a>(
        &'a self,
        repo: &'a RepoId,
        base: &'a str,
        changes: &'a [TreeChange],
    ) -> Answer<'a, String> {
        async move {
            let entry = |change: &TreeChange| {
                json!({"path": change.path.as_str(), "mode": change.mode, "type": "blob", "sha": change.blob})
            };
            let body = json!({"base_tree": base, "tree": changes.iter().map(entry).collect::<Vec<_>>()});
            Ok(self.post::<wire::Sha>(repo, Use::Publish, "git/trees", &body).await?.sha)
        }
        .boxed()
    }

    fn create_commit<'a>(
        &'a self,
        repo: &'a RepoId,
        message: &'a str,
        tree: &'a str,
        parent: &'a str,
    ) -> Answer<'a, String> {
        async move {
            // Without an author GitHub takes the App, and signs the commit.
            let body = json!({"message": message, "tree": tree, "parents": [parent]});
            Ok(self.post::<wire::Sha>(repo, Use::Publish, "git/commits", &body).await?.sha)
        }
        .boxed()
    }

    fn branch<'a>(&'a self, repo: &'a RepoId, name: &'a str) -> Answer<'a, Option<String>> {
        async move {
            let tail = format!("git/ref/heads/{}", path(name));
            let found: Option<wire::Reference> = optional(self.get(repo, &tail).await)?;
            Ok(found.map(|found| found.object.sha))
        }
        .boxed()
    }

    fn create_branch<'a>(&'a self, repo: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()> {
        async move {
            let body = json!({"ref": format!("refs/heads/{name}"), "sha": commit});
            let _: wire::Reference = self.post(repo, Use::Publish, "git/refs", &body).await?;
            Ok(())
        }
        .boxed()
    }

    fn forward_branch<'a>(&'a self, repo: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()> {
        async move {
            let body = json!({"sha": commit, "force": false});
            self.patch(repo, Use::Publish, &format!("git/refs/heads/{}", path(name)), &body).await
        }
        .boxed()
    }

    fn find_request<'a>(&'a self, repo: &'a RepoId, head: &'a str) -> Answer<'a, Option<Request>> {
        async move {
            let (owner, _) = repo.as_str().split_once('/').expect("a repository's name has two parts");
            let tail =
                format!("pulls?state=all&head={}&per_page={PAGE}", segment(&format!("{owner}:{head}")));
            let found: Vec<wire::Pull> = self.get(repo, &tail).await?;
            // What the filter means by an owner is a fork's too, where one owner has both.
            let mut ours: Vec<Request> = found.into_iter().map(Request::from).collect();
            ours.retain(|one| one.head == head && one.head_repo.as_ref().is_some_and(|of| same(of, repo)));
            ours.sort_by_key(|one| (one.state != RequestState::Open, std::cmp::Reverse(one.number)));
            Ok(ours.into_iter().next())
        }
        .boxed()
    }

    fn request<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Request> {
        async move { Ok(self.poll::<wire::Pull>(repo, &format!("pulls/{number}")).await?.into()) }.boxed()
    }

    fn create_request<'a>(&'a self, repo: &'a RepoId, new: &'a NewRequest) -> Answer<'a, Request> {
        async move {
            let body = |draft: bool| {
                json!({"title": new.title, "body": new.body, "head": new.head, "base": new.base, "draft": draft})
            };
            let made: Result<wire::Pull, _> = self.post(repo, Use::Publish, "pulls", &body(true)).await;
            match made {
                // Private repositories of GitHub's free plan have none.
                Err(HostError::Refused { status: 422, why, .. }) if why.contains("Draft pull requests are not supported") => {
                    Ok(self.post::<wire::Pull>(repo, Use::Publish, "pulls", &body(false)).await?.into())
                }
                made => Ok(made?.into()),
            }
        }
        .boxed()
    }

    fn edit_request<'a>(&'a self, repo: &'a RepoId, number: u64, body: &'a str) -> Answer<'a, ()> {
        async move { self.patch(repo, Use::Publish, &format!("pulls/{number}"), &json!({"body": body})).await }.boxed()
    }

    fn find_check<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a str,
        name: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<u64>> {
        async move {
            let (commit, called) = (path(commit), segment(name));
            let tail = format!("commits/{commit}/check-runs?check_name={called}&filter=all&per_page={PAGE}");
            let found: wire::CheckRuns = self.get(repo, &tail).await?;
            let ours = |run: &&wire::CheckRun| run.name == name && run.external_id.as_deref() == Some(key);
            Ok(found.check_runs.iter().find(ours).map(|run| run.id))
        }
        .boxed()
    }

    fn create_check<'a>(&'a self, repo: &'a RepoId, commit: &'a str, check: &'a Check) -> Answer<'a, u64> {
        async move {
            let mut body = check_body(check);
            body["head_sha"] = json!(commit);
            Ok(self.post::<wire::Id>(repo, Use::Check, "check-runs", &body).await?.id)
        }
        .boxed()
    }

    fn edit_check<'a>(&'a self, repo: &'a RepoId, id: u64, check: &'a Check) -> Answer<'a, ()> {
        async move { self.patch(repo, Use::Check, &format!("check-runs/{id}"), &check_body(check)).await }
            .boxed()
    }

    fn failed_deliveries(&self) -> Answer<'_, Vec<FailedDelivery>> {
        async move {
            let Some(jwt) = self.as_app()? else { return Ok(Vec::new()) };
            let path = format!("app/hook/deliveries?per_page={PAGE}");
            let all: Vec<wire::Delivery> = self.client.json(&Call::get(&path).polled(), &jwt).await?;
            let failed = |one: &wire::Delivery| !(200..300).contains(&one.status_code);
            // One that got through when it was sent again is no longer missed.
            let arrived: Vec<String> =
                all.iter().filter(|one| !failed(one)).map(|one| one.guid.clone()).collect();
            let missed = all.into_iter().filter(|one| failed(one) && !arrived.contains(&one.guid));
            Ok(missed
                .map(|one| FailedDelivery { id: one.id, guid: one.guid, at: one.delivered_at })
                .collect())
        }
        .boxed()
    }

    fn redeliver(&self, id: u64) -> Answer<'_, ()> {
        async move {
            let Some(jwt) = self.as_app()? else { return Ok(()) };
            let path = format!("app/hook/deliveries/{id}/attempts");
            self.client.send(&Call::post(&path, &json!({})), &jwt).await?;
            Ok(())
        }
        .boxed()
    }
}

/// Whether two names are of one repository: GitHub's are without regard to case.
fn same(a: &RepoId, b: &RepoId) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
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
