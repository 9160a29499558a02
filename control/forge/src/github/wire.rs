//! The parts of GitHub's answers that are read (<https://docs.github.com/en/rest>). Everything else is passed over.

use gloaming_api::RepoId;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::{
    self, Account, Comment, Commit, Issue, LineComment, Permission, Repository, Request, RequestState,
};

#[derive(Deserialize)]
pub(super) struct Repo {
    default_branch: String,
    #[serde(default)]
    archived: bool,
}

impl From<Repo> for Repository {
    fn from(repo: Repo) -> Self {
        Self { default_branch: repo.default_branch, archived: repo.archived }
    }
}

/// Somebody; GitHub has null for whoever is gone.
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) login: String,
    #[serde(default, rename = "type")]
    kind: String,
}

pub(super) fn account(user: Option<User>) -> Account {
    match user {
        Some(user) => {
            let bot = user.kind == "Bot" || user.login.ends_with("[bot]");
            Account { login: user.login, bot }
        }
        None => Account { login: "ghost".to_owned(), bot: false },
    }
}

#[derive(Deserialize)]
pub(super) struct App {
    pub(super) slug: String,
}

#[derive(Deserialize)]
pub(super) struct Role {
    #[serde(default)]
    permission: String,
    #[serde(default)]
    role_name: String,
}

impl Role {
    /// Returns the role. `permission` knows only four and is the base of an organisation's own roles; `role_name` tells
    /// more where it is one of GitHub's.
    pub(super) fn permission(&self) -> Permission {
        let named = |name: &str| match name {
            "admin" => Some(Permission::Admin),
            "maintain" => Some(Permission::Maintain),
            "write" | "push" => Some(Permission::Write),
            "triage" => Some(Permission::Triage),
            "read" | "pull" => Some(Permission::Read),
            _ => None,
        };
        named(&self.role_name).or_else(|| named(&self.permission)).unwrap_or(Permission::None)
    }
}

#[derive(Deserialize)]
pub(super) struct Label {
    name: String,
}

#[derive(Deserialize)]
pub(super) struct IssueBody {
    number: u64,
    title: String,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    assignees: Vec<User>,
    state: String,
    pull_request: Option<serde_json::Value>,
}

impl From<IssueBody> for Issue {
    fn from(issue: IssueBody) -> Self {
        Self {
            number: issue.number,
            title: issue.title,
            body: issue.body.unwrap_or_default(),
            author: account(issue.user),
            labels: issue.labels.into_iter().map(|label| label.name).collect(),
            assignees: issue.assignees.into_iter().map(|user| user.login).collect(),
            open: issue.state == "open",
            is_pull_request: issue.pull_request.is_some_and(|value| !value.is_null()),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct CommentBody {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    path: Option<String>,
    line: Option<u64>,
    pull_request_review_id: Option<u64>,
}

impl From<CommentBody> for Comment {
    fn from(comment: CommentBody) -> Self {
        Self { id: comment.id, author: account(comment.user), body: comment.body.unwrap_or_default() }
    }
}

impl From<CommentBody> for LineComment {
    fn from(comment: CommentBody) -> Self {
        Self {
            id: comment.id,
            review: comment.pull_request_review_id,
            author: account(comment.user),
            body: comment.body.unwrap_or_default(),
            path: comment.path.unwrap_or_default(),
            line: comment.line,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Sha {
    pub(super) sha: String,
}

/// A commit as `/commits` has it, with git's own part inside.
#[derive(Deserialize)]
pub(super) struct CommitBody {
    sha: String,
    commit: Inner,
    #[serde(default)]
    parents: Vec<Sha>,
}

#[derive(Deserialize)]
struct Inner {
    message: String,
    tree: Sha,
}

impl From<CommitBody> for Commit {
    fn from(body: CommitBody) -> Self {
        Self {
            sha: body.sha,
            tree: body.commit.tree.sha,
            parents: body.parents.into_iter().map(|parent| parent.sha).collect(),
            message: body.commit.message,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Compared {
    pub(super) status: String,
}

#[derive(Deserialize)]
pub(super) struct Reference {
    pub(super) object: Sha,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) id: u64,
}

#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    html_url: String,
    user: Option<User>,
    body: Option<String>,
    state: String,
    merged_at: Option<Timestamp>,
    merge_commit_sha: Option<String>,
    head: End,
    base: End,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    repo: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    full_name: RepoId,
}

impl From<Pull> for Request {
    fn from(pull: Pull) -> Self {
        let state = match (pull.state.as_str(), pull.merged_at) {
            (_, Some(_)) => RequestState::Merged,
            ("open", None) => RequestState::Open,
            _ => RequestState::Closed,
        };
        Self {
            number: pull.number,
            url: pull.html_url,
            author: account(pull.user),
            body: pull.body.unwrap_or_default(),
            state,
            head_repo: pull.head.repo.map(|repo| repo.full_name),
            head: pull.head.branch,
            base: pull.base.branch,
            // While it is open this is GitHub's trial merge.
            merged_as: pull.merge_commit_sha.filter(|_| state == RequestState::Merged),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct CheckRuns {
    pub(super) check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) external_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Delivery {
    pub(super) id: u64,
    pub(super) guid: String,
    pub(super) delivered_at: Timestamp,
    pub(super) status_code: i64,
}

/// An event of an issue (<https://docs.github.com/en/rest/issues/events>).
#[derive(Deserialize)]
pub(super) struct IssueEvent {
    id: u64,
    event: String,
    created_at: Timestamp,
    actor: Option<Value>,
    /// Who assigned: of an assignment the actor is whom it was assigned to.
    assigner: Option<Value>,
    assignee: Option<Value>,
    label: Option<Value>,
    issue: Option<Value>,
}

impl IssueEvent {
    /// Returns it as a delivery would have told it; none where it is of another sort.
    pub(super) fn told(self) -> Option<host::IssueEvent> {
        if !matches!(self.event.as_str(), "labeled" | "assigned") {
            return None;
        }
        let issue = self.issue?;
        let number = issue["number"].as_u64()?;
        let sender = self.assigner.or(self.actor);
        let payload = json!({
            "action": self.event, "issue": issue, "label": self.label, "assignee": self.assignee, "sender": sender,
        });
        Some(host::IssueEvent { id: self.id, at: self.created_at, issue: number, payload })
    }
}
