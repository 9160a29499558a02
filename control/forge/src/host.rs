//! What the control plane needs of a code host, whichever it is.
//!
//! A call that creates is a bare one: it does not look whether the thing is there. Whoever makes it twice does, with the
//! call beside it that finds.

use futures::future::BoxFuture;
use gloaming_api::{RelPath, RepoId};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

/// What a call to a code host comes to.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, HostError>>;

/// Why a code host did not do what it was asked for. What was asked is told as method and path, never with a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It did nothing, and wants to be asked again no sooner than at a time.
    #[error("{asked}: not before {at}: {why}")]
    Later {
        /// When.
        at: Timestamp,
        /// What was asked.
        asked: String,
        /// In its words.
        why: String,
    },
    /// It failed, or was not heard of in time: it may have done what it was asked for, or not.
    #[error("{asked}: {why}; it may have been done all the same")]
    Unknown {
        /// What was asked.
        asked: String,
        /// What was seen.
        why: String,
    },
    /// There is no such thing, or not for us.
    #[error("{asked}: there is no such thing, or the credentials do not reach it")]
    NotFound {
        /// What was asked.
        asked: String,
    },
    /// It did nothing, and will not do this.
    #[error("{asked}: refused with status {status}: {why}")]
    Refused {
        /// What was asked.
        asked: String,
        /// The status.
        status: u16,
        /// In its words.
        why: String,
    },
}

/// A person or program of a code host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name there.
    pub login: String,
    /// Whether it is a program's.
    pub bot: bool,
}

/// What somebody may do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "GitHub's roles; a role of an organisation's own counts as the one it is made of"
)]
pub enum Permission {
    None,
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The branch that work starts from.
    pub default_branch: String,
    /// Whether nothing can be written to it any more.
    pub archived: bool,
}

/// How the control plane reads a repository by git's smart HTTP protocol, for workers that never see this.
#[derive(Debug)]
pub struct ReadAccess {
    /// The repository's address.
    pub url: String,
    /// The value of the header `Authorization`. It reads this one repository, for at most an hour.
    pub authorization: SecretString,
}

/// An issue or pull request as it is talked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Its title; untrusted.
    pub title: String,
    /// Its text; untrusted.
    pub body: String,
    /// Who wrote it.
    pub author: Account,
    /// Its labels.
    pub labels: Vec<String>,
    /// Who it is assigned to, by login.
    pub assignees: Vec<String>,
    /// Whether it is open.
    pub open: bool,
    /// Whether it is a pull request.
    pub is_pull_request: bool,
}

/// A comment on an issue or pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: u64,
    /// Who wrote it.
    pub author: Account,
    /// Its text; untrusted.
    pub body: String,
}

/// A remark on a line of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineComment {
    /// Its id.
    pub id: u64,
    /// The review it belongs to.
    pub review: Option<u64>,
    /// Who wrote it.
    pub author: Account,
    /// Its text; untrusted.
    pub body: String,
    /// The file.
    pub path: String,
    /// The line, where it is of the latest version.
    pub line: Option<u64>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its hash.
    pub sha: String,
    /// Its tree's hash.
    pub tree: String,
    /// Its parents' hashes.
    pub parents: Vec<String>,
    /// Its message.
    pub message: String,
}

/// What a tree has at a path beside what its base has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeChange {
    /// The path.
    pub path: RelPath,
    /// Its mode: `100644`, `100755` or `120000`.
    pub mode: String,
    /// The blob's hash; none for nothing.
    pub blob: Option<String>,
}

/// What became of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RequestState {
    Open,
    Merged,
    Closed,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// Who opened it.
    pub author: Account,
    /// Its description.
    pub body: String,
    /// What became of it.
    pub state: RequestState,
    /// The repository its branch is in; none where that is gone.
    pub head_repo: Option<RepoId>,
    /// The branch.
    pub head: String,
    /// The branch it is to go into.
    pub base: String,
    /// The commit it was merged as.
    pub merged_as: Option<String>,
}

/// A pull request that is to be opened, as a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: String,
    /// The branch, in the same repository.
    pub head: String,
    /// The branch it is to go into.
    pub base: String,
}

/// Where a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum CheckState {
    Running,
    Success,
    Neutral,
    Failure,
}

/// A check on a commit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Check {
    /// What it is called: there is one of a name and key on a commit.
    pub name: String,
    /// Tells it from others of the same name.
    pub key: String,
    /// Where it stands.
    pub state: CheckState,
    /// One line.
    pub title: String,
    /// More, in Markdown.
    pub summary: String,
}

/// A delivery that did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// By which it is asked for again.
    pub id: u64,
    /// The delivery's own id, the same each time it is sent.
    pub guid: String,
    /// When it was sent.
    pub at: Timestamp,
}

/// Something that happened to an issue, as whoever asks is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct IssueEvent {
    /// Its number: later ones have higher ones.
    pub id: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The issue's number.
    pub issue: u64,
    /// What a delivery of it holds, but for the repository.
    pub payload: Value,
}

/// A code host.
pub trait CodeHost: Send + Sync {
    /// Returns the login that our own comments and pull requests have.
    fn me(&self) -> Answer<'_, String>;

    /// Returns a repository.
    fn repository<'a>(&'a self, repo: &'a RepoId) -> Answer<'a, Repository>;

    /// Returns what somebody may do with a repository.
    fn permission<'a>(&'a self, repo: &'a RepoId, login: &'a str) -> Answer<'a, Permission>;

    /// Returns how a repository is read by git; `refused` is an earlier answer that was not taken.
    fn read_access<'a>(&'a self, repo: &'a RepoId, refused: Option<&'a ReadAccess>)
    -> Answer<'a, ReadAccess>;

    /// Returns a commit by its hash, or that of a branch or tag.
    fn commit<'a>(&'a self, repo: &'a RepoId, reference: &'a str) -> Answer<'a, Commit>;

    /// Whether a commit is one that a branch, tag or commit has in its history, or is itself.
    fn contains<'a>(&'a self, repo: &'a RepoId, reference: &'a str, commit: &'a str) -> Answer<'a, bool>;

    /// Returns the commits of a branch since a time, the newest first, at most 300.
    fn commits_since<'a>(
        &'a self,
        repo: &'a RepoId,
        branch: &'a str,
        since: Timestamp,
    ) -> Answer<'a, Vec<Commit>>;

    /// Returns a file of a commit; none where there is none, or it is larger than 1 MiB.
    fn file<'a>(&'a self, repo: &'a RepoId, commit: &'a str, path: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Returns an issue or pull request.
    fn issue<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Issue>;

    /// Returns the comments on an issue or pull request, oldest first, at most 1,000; of those alone that were written or
    /// changed since a time, where one is given.
    fn comments<'a>(
        &'a self,
        repo: &'a RepoId,
        number: u64,
        since: Option<Timestamp>,
    ) -> Answer<'a, Vec<Comment>>;

    /// Returns the remarks on the lines of a pull request, oldest first, at most 1,000.
    fn line_comments<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Vec<LineComment>>;

    /// Returns what a review of a pull request says as a whole.
    fn review<'a>(&'a self, repo: &'a RepoId, number: u64, review: u64) -> Answer<'a, Comment>;

    /// Writes a comment on an issue or pull request. Returns its id.
    fn create_comment<'a>(&'a self, repo: &'a RepoId, number: u64, body: &'a str) -> Answer<'a, u64>;

    /// Replaces the text of a comment of our own.
    fn edit_comment<'a>(&'a self, repo: &'a RepoId, comment: u64, body: &'a str) -> Answer<'a, ()>;

    /// Keeps a content. Returns its hash.
    fn create_blob<'a>(&'a self, repo: &'a RepoId, content: &'a [u8]) -> Answer<'a, String>;

    /// Makes a tree of another and changes. Returns its hash.
    fn create_tree<'a>(
        &'a self,
        repo: &'a RepoId,
        base: &'a str,
        changes: &'a [TreeChange],
    ) -> Answer<'a, String>;

    /// Makes a commit of our own on one parent. Returns its hash.
    fn create_commit<'a>(
        &'a self,
        repo: &'a RepoId,
        message: &'a str,
        tree: &'a str,
        parent: &'a str,
    ) -> Answer<'a, String>;

    /// Returns the commit of a branch; none where there is no such branch.
    fn branch<'a>(&'a self, repo: &'a RepoId, name: &'a str) -> Answer<'a, Option<String>>;

    /// Makes a branch.
    fn create_branch<'a>(&'a self, repo: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()>;

    /// Moves a branch forward, to a commit that has where it stood in its history.
    fn forward_branch<'a>(&'a self, repo: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()>;

    /// Moves a branch to a commit, wherever it stood: for one that was looked at just before, and of which nobody else has anything.
    fn replace_branch<'a>(&'a self, repo: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()>;

    /// Returns the pull request of a branch of the same repository: the open one, else the newest.
    fn find_request<'a>(&'a self, repo: &'a RepoId, head: &'a str) -> Answer<'a, Option<Request>>;

    /// Returns a pull request.
    fn request<'a>(&'a self, repo: &'a RepoId, number: u64) -> Answer<'a, Request>;

    /// Opens a draft pull request.
    fn create_request<'a>(&'a self, repo: &'a RepoId, new: &'a NewRequest) -> Answer<'a, Request>;

    /// Replaces the description of a pull request.
    fn edit_request<'a>(&'a self, repo: &'a RepoId, number: u64, body: &'a str) -> Answer<'a, ()>;

    /// Returns the id of our own check of a name and key on a commit.
    fn find_check<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a str,
        name: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<u64>>;

    /// Makes a check on a commit. Returns its id.
    fn create_check<'a>(&'a self, repo: &'a RepoId, commit: &'a str, check: &'a Check) -> Answer<'a, u64>;

    /// Replaces what a check says.
    fn edit_check<'a>(&'a self, repo: &'a RepoId, id: u64, check: &'a Check) -> Answer<'a, ()>;

    /// Whether checks can be written: GitHub takes them of Apps alone.
    fn writes_checks(&self) -> bool;

    /// Whether deliveries that did not get through can be asked for again.
    fn redelivers(&self) -> bool;

    /// Returns deliveries that did not get through, the newest first, at most 100.
    fn failed_deliveries(&self) -> Answer<'_, Vec<FailedDelivery>>;

    /// Returns which labels and assignments issues of a repository were given of late, the newest first, at most 100; none
    /// where missed deliveries can be asked for again, see [`CodeHost::failed_deliveries`].
    fn issue_events<'a>(&'a self, repo: &'a RepoId) -> Answer<'a, Vec<IssueEvent>>;

    /// Asks for a delivery again.
    fn redeliver(&self, id: u64) -> Answer<'_, ()>;
}

/// Returns git's name of a content: SHA-1 of a header and it.
pub fn blob_id(content: &[u8]) -> String {
    use sha1::{Digest as _, Sha1};
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn blobs_are_named_as_git_names_them() {
        // `printf 'what is up, doc?' | git hash-object --stdin`, of the Pro Git book.
        assert_eq!(super::blob_id(b"what is up, doc?"), "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
        assert_eq!(super::blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    }
}
