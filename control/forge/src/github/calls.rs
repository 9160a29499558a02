//! What is asked of GitHub, call by call.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use gloaming_api::RepoId;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::auth::{Credentials, Use};
use super::client::Call;
use super::{GitHub, PAGE, at, path, segment, wire};
use crate::host::{
    Answer, Check, CheckState, CodeHost, Comment, Commit, FailedDelivery, HostError, Issue, IssueEvent,
    LineComment, NewRequest, Permission, ReadAccess, Repository, Request, RequestState, TreeChange,
};

/// The largest file that is read through the API.
const FILE_CAP: usize = 1 << 20;

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

    fn read_access<'a>(
        &'a self,
        repo: &'a RepoId,
        refused: Option<&'a ReadAccess>,
    ) -> Answer<'a, ReadAccess> {
        let shown = |token: &SecretString| {
            let pair = format!("x-access-token:{}", token.expose_secret());
            SecretString::from(format!("Basic {}", STANDARD.encode(pair)))
        };
        async move {
            let token = self.token(repo, Use::Clone).await?;
            let mut authorization = shown(&token);
            if let (Credentials::App(app), Some(refused)) = (&self.credentials, refused)
                && refused.authorization.expose_secret() == authorization.expose_secret()
            {
                app.forget(repo, Use::Clone, &token).await;
                authorization = shown(&self.token(repo, Use::Clone).await?);
            }
            Ok(ReadAccess { url: format!("{}/{repo}.git", self.web), authorization })
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

    fn comments<'a>(
        &'a self,
        repo: &'a RepoId,
        number: u64,
        since: Option<Timestamp>,
    ) -> Answer<'a, Vec<Comment>> {
        async move {
            // To the second: what is asked for has no parts of one.
            let since = since.and_then(|at| Timestamp::from_second(at.as_second()).ok());
            let since = since.map(|at| format!("?since={}", segment(&at.to_string()))).unwrap_or_default();
            self.list::<wire::CommentBody, _>(repo, &format!("issues/{number}/comments{since}")).await
        }
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
        self.move_branch(repo, name, commit, false).boxed()
    }

    fn replace_branch<'a>(&'a self, repo: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()> {
        self.move_branch(repo, name, commit, true).boxed()
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

    fn writes_checks(&self) -> bool {
        matches!(self.credentials, Credentials::App(_))
    }

    fn redelivers(&self) -> bool {
        matches!(self.credentials, Credentials::App(_))
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

    fn issue_events<'a>(&'a self, repo: &'a RepoId) -> Answer<'a, Vec<IssueEvent>> {
        async move {
            if self.as_app()?.is_some() {
                return Ok(Vec::new());
            }
            let all: Vec<wire::IssueEvent> =
                self.poll(repo, &format!("issues/events?per_page={PAGE}")).await?;
            Ok(all.into_iter().filter_map(wire::IssueEvent::told).collect())
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
