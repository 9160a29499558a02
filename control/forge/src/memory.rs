//! A code host in memory, for tests: what a right one would do, with faults on request.
//!
//! It keeps commits, trees and blobs by git's own names, so that what is published to it can be compared with what git
//! would have made.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use gloaming_api::RepoId;
use jiff::Timestamp;
use sha1::{Digest as _, Sha1};

use crate::host::{
    Account, Answer, Check, CodeHost, Comment, Commit, FailedDelivery, HostError, Issue, IssueEvent,
    LineComment, NewRequest, Permission, ReadAccess, Repository, Request, RequestState, TreeChange, blob_id,
};

/// The login of what is written through this host.
pub const ME: &str = "gloaming[bot]";

/// How many comments are told at once.
const COMMENTS: usize = 1_000;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and that is not known.
    Before,
    /// It is done, and that is not known: an answer of 5xx, or none in time.
    After,
    /// It is not done: too many requests.
    Limited,
}

/// A file of a tree: its mode and content.
pub type File = (String, Vec<u8>);

/// What the host holds.
#[derive(Debug, Default, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct State {
    pub permissions: BTreeMap<String, Permission>,
    pub issues: BTreeMap<u64, Issue>,
    pub comments: BTreeMap<u64, Vec<Comment>>,
    /// When comments were written, by their ids; all others were long ago.
    pub written: BTreeMap<u64, Timestamp>,
    pub line_comments: BTreeMap<u64, Vec<LineComment>>,
    pub reviews: BTreeMap<u64, Comment>,
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub trees: BTreeMap<String, BTreeMap<String, File>>,
    pub commits: BTreeMap<String, Commit>,
    pub branches: BTreeMap<String, String>,
    pub requests: Vec<Request>,
    pub drafts: Vec<NewRequest>,
    pub checks: Vec<(String, Check)>,
    pub failed: Vec<FailedDelivery>,
    pub issue_events: Vec<IssueEvent>,
    pub redelivered: Vec<u64>,
    /// Whether it is talked to with a token in the place of an App: then it takes no checks and sends nothing again.
    pub token: bool,
    /// Where git reads, before `/OWNER/NAME.git`.
    pub git: Option<String>,
    /// The calls that are refused, by name.
    pub refuses: Vec<&'static str>,
    /// The calls that were made, by name.
    pub calls: Vec<&'static str>,
    fault: Option<(usize, Fault)>,
    now: Option<Timestamp>,
}

/// A code host in memory, of one repository.
#[derive(Debug, Default)]
pub struct MemoryHost {
    state: Mutex<State>,
}

impl MemoryHost {
    /// Returns a host whose repository has one commit of these files on the branch `main`.
    pub fn new(files: &[(&str, &str)], now: Timestamp) -> Self {
        let host = Self::default();
        host.change(|state| {
            let files = files.iter().map(|(path, content)| {
                ((*path).to_owned(), ("100644".to_owned(), content.as_bytes().to_vec()))
            });
            let tree = state.keep_tree(files.collect());
            let commit = state.keep_commit("base", &tree, &[]);
            state.branches.insert("main".to_owned(), commit);
            state.now = Some(now);
        });
        host
    }

    /// Looks at what the host holds.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what the host holds, as somebody else would.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one call go wrong: the `n`th from now, from 0.
    pub fn fail(&self, n: usize, fault: Fault) {
        self.change(|state| state.fault = Some((state.calls.len() + n, fault)));
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        act: impl FnOnce(&mut State) -> Result<T, HostError> + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            self.change(|state| {
                let fault = state.fault.filter(|(at, _)| *at == state.calls.len()).map(|(_, fault)| fault);
                state.calls.push(name);
                let asked = || name.to_owned();
                let unknown = || HostError::Unknown { asked: asked(), why: "status 502".to_owned() };
                match fault {
                    Some(Fault::Before) => Err(unknown()),
                    Some(Fault::Limited) => Err(HostError::Later {
                        at: state.now.unwrap_or_default() + jiff::SignedDuration::from_secs(60),
                        asked: asked(),
                        why: "too many requests".to_owned(),
                    }),
                    Some(Fault::After) => act(state).and_then(|_| Err(unknown())),
                    None if state.refuses.contains(&name) => Err(refused(name, "it may not be done")),
                    None => act(state),
                }
            })
        }
        .boxed()
    }
}

fn missing(what: impl Into<String>) -> HostError {
    HostError::NotFound { asked: what.into() }
}

fn refused(what: &str, why: &str) -> HostError {
    HostError::Refused { asked: what.to_owned(), status: 422, why: why.to_owned() }
}

fn named(kind: &str, content: &[u8]) -> Vec<u8> {
    let mut hash = Sha1::new();
    hash.update(format!("{kind} {}\0", content.len()));
    hash.update(content);
    hash.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns git's name of a tree of these files, by path.
pub fn tree_id(files: &BTreeMap<String, File>) -> String {
    hex(&tree_hash(files))
}

fn tree_hash(files: &BTreeMap<String, File>) -> Vec<u8> {
    let mut folders: BTreeMap<&str, BTreeMap<String, File>> = BTreeMap::new();
    // Git sorts a folder as if its name ended in a slash.
    let mut entries: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
    for (path, file) in files {
        match path.split_once('/') {
            Some((folder, rest)) => {
                folders.entry(folder).or_default().insert(rest.to_owned(), file.clone());
            }
            None => {
                entries.insert(path.clone(), (format!("{} {path}\0", file.0), named("blob", &file.1)));
            }
        }
    }
    for (folder, inside) in folders {
        entries.insert(format!("{folder}/"), (format!("40000 {folder}\0"), tree_hash(&inside)));
    }
    let mut content = Vec::new();
    for (head, hash) in entries.into_values() {
        content.extend_from_slice(head.as_bytes());
        content.extend_from_slice(&hash);
    }
    named("tree", &content)
}

impl State {
    /// Keeps a tree of files. Returns its name.
    pub fn keep_tree(&mut self, files: BTreeMap<String, File>) -> String {
        let id = tree_id(&files);
        self.trees.insert(id.clone(), files);
        id
    }

    /// Keeps a commit. Returns its name, which is not git's.
    pub fn keep_commit(&mut self, message: &str, tree: &str, parents: &[&str]) -> String {
        let content = format!("{tree} {parents:?} {message}");
        let sha = hex(&named("commit", content.as_bytes()));
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        let commit = Commit { sha: sha.clone(), tree: tree.to_owned(), parents, message: message.to_owned() };
        self.commits.insert(sha.clone(), commit);
        sha
    }

    fn resolve(&self, reference: &str) -> Result<&Commit, HostError> {
        let sha = self.branches.get(reference).map_or(reference, String::as_str);
        self.commits.get(sha).ok_or_else(|| missing(reference))
    }

    fn reaches(&self, from: &str, wanted: &str) -> bool {
        from == wanted
            || self
                .commits
                .get(from)
                .is_some_and(|commit| commit.parents.iter().any(|parent| self.reaches(parent, wanted)))
    }
}

impl CodeHost for MemoryHost {
    fn me(&self) -> Answer<'_, String> {
        self.call("me", |_| Ok(ME.to_owned()))
    }

    fn repository<'a>(&'a self, _: &'a RepoId) -> Answer<'a, Repository> {
        self.call("repository", |_| Ok(Repository { default_branch: "main".to_owned(), archived: false }))
    }

    fn permission<'a>(&'a self, _: &'a RepoId, login: &'a str) -> Answer<'a, Permission> {
        self.call("permission", move |state| {
            Ok(state.permissions.get(login).copied().unwrap_or(Permission::None))
        })
    }

    fn read_access<'a>(
        &'a self,
        repo: &'a RepoId,
        refused: Option<&'a ReadAccess>,
    ) -> Answer<'a, ReadAccess> {
        self.call("read_access", move |state| {
            let web = state.git.as_deref().unwrap_or("https://git.acme.example");
            // Whoever was refused is given another one.
            let authorization = if refused.is_some() { "Basic bmV3" } else { "Basic b2xk" };
            Ok(ReadAccess { url: format!("{web}/{repo}.git"), authorization: authorization.into() })
        })
    }

    fn commit<'a>(&'a self, _: &'a RepoId, reference: &'a str) -> Answer<'a, Commit> {
        self.call("commit", move |state| state.resolve(reference).cloned())
    }

    fn contains<'a>(&'a self, _: &'a RepoId, reference: &'a str, commit: &'a str) -> Answer<'a, bool> {
        self.call("contains", move |state| {
            let Ok(from) = state.resolve(reference) else { return Ok(false) };
            Ok(state.reaches(&from.sha, commit))
        })
    }

    fn commits_since<'a>(&'a self, _: &'a RepoId, branch: &'a str, _: Timestamp) -> Answer<'a, Vec<Commit>> {
        self.call("commits_since", move |state| {
            let mut all = Vec::new();
            let mut next = Some(state.resolve(branch)?);
            while let Some(commit) = next {
                all.push(commit.clone());
                next = commit.parents.first().and_then(|parent| state.commits.get(parent));
            }
            Ok(all)
        })
    }

    fn file<'a>(&'a self, _: &'a RepoId, commit: &'a str, path: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.call("file", move |state| {
            let tree = state.resolve(commit)?.tree.clone();
            Ok(state.trees.get(&tree).and_then(|files| files.get(path)).map(|(_, content)| content.clone()))
        })
    }

    fn issue<'a>(&'a self, _: &'a RepoId, number: u64) -> Answer<'a, Issue> {
        self.call("issue", move |state| state.issues.get(&number).cloned().ok_or_else(|| missing("issue")))
    }

    fn comments<'a>(
        &'a self,
        _: &'a RepoId,
        number: u64,
        since: Option<Timestamp>,
    ) -> Answer<'a, Vec<Comment>> {
        self.call("comments", move |state| {
            let all = state.comments.get(&number).into_iter().flatten();
            let new = |one: &&Comment| since.is_none_or(|since| state.written.get(&one.id) >= Some(&since));
            Ok(all.filter(new).take(COMMENTS).cloned().collect())
        })
    }

    fn line_comments<'a>(&'a self, _: &'a RepoId, number: u64) -> Answer<'a, Vec<LineComment>> {
        self.call("line_comments", move |state| {
            Ok(state.line_comments.get(&number).cloned().unwrap_or_default())
        })
    }

    fn review<'a>(&'a self, _: &'a RepoId, _: u64, review: u64) -> Answer<'a, Comment> {
        self.call("review", move |state| state.reviews.get(&review).cloned().ok_or_else(|| missing("review")))
    }

    fn create_comment<'a>(&'a self, _: &'a RepoId, number: u64, body: &'a str) -> Answer<'a, u64> {
        self.call("create_comment", move |state| {
            let id = 1_000 + state.comments.values().map(Vec::len).sum::<usize>() as u64;
            let author = Account { login: ME.to_owned(), bot: true };
            state.comments.entry(number).or_default().push(Comment { id, author, body: body.to_owned() });
            state.written.extend(state.now.map(|now| (id, now)));
            Ok(id)
        })
    }

    fn edit_comment<'a>(&'a self, _: &'a RepoId, comment: u64, body: &'a str) -> Answer<'a, ()> {
        self.call("edit_comment", move |state| {
            let found = state.comments.values_mut().flatten().find(|one| one.id == comment);
            found.ok_or_else(|| missing("comment"))?.body = body.to_owned();
            Ok(())
        })
    }

    fn create_blob<'a>(&'a self, _: &'a RepoId, content: &'a [u8]) -> Answer<'a, String> {
        self.call("create_blob", move |state| {
            let id = blob_id(content);
            state.blobs.insert(id.clone(), content.to_vec());
            Ok(id)
        })
    }

    fn create_tree<'a>(
        &'a self,
        _: &'a RepoId,
        base: &'a str,
        changes: &'a [TreeChange],
    ) -> Answer<'a, String> {
        self.call("create_tree", move |state| {
            let mut files =
                state.trees.get(base).cloned().ok_or_else(|| refused("create_tree", "no such base"))?;
            for change in changes {
                let path = change.path.as_str().to_owned();
                match &change.blob {
                    None => {
                        files.remove(&path).ok_or_else(|| refused("create_tree", "nothing to remove"))?;
                    }
                    Some(blob) => {
                        let content =
                            state.blobs.get(blob).ok_or_else(|| refused("create_tree", "no such blob"))?;
                        files.insert(path, (change.mode.clone(), content.clone()));
                    }
                }
            }
            Ok(state.keep_tree(files))
        })
    }

    fn create_commit<'a>(
        &'a self,
        _: &'a RepoId,
        message: &'a str,
        tree: &'a str,
        parent: &'a str,
    ) -> Answer<'a, String> {
        self.call("create_commit", move |state| {
            if !state.trees.contains_key(tree) || !state.commits.contains_key(parent) {
                return Err(refused("create_commit", "no such tree or parent"));
            }
            Ok(state.keep_commit(message, tree, &[parent]))
        })
    }

    fn branch<'a>(&'a self, _: &'a RepoId, name: &'a str) -> Answer<'a, Option<String>> {
        self.call("branch", move |state| Ok(state.branches.get(name).cloned()))
    }

    fn create_branch<'a>(&'a self, _: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()> {
        self.call("create_branch", move |state| {
            if state.branches.contains_key(name) {
                return Err(refused("create_branch", "Reference already exists"));
            }
            state.branches.insert(name.to_owned(), commit.to_owned());
            Ok(())
        })
    }

    fn forward_branch<'a>(&'a self, _: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()> {
        self.call("forward_branch", move |state| {
            let from = state.branches.get(name).cloned().ok_or_else(|| missing("branch"))?;
            if !state.reaches(commit, &from) {
                return Err(refused("forward_branch", "Update is not a fast-forward"));
            }
            state.branches.insert(name.to_owned(), commit.to_owned());
            Ok(())
        })
    }

    fn replace_branch<'a>(&'a self, _: &'a RepoId, name: &'a str, commit: &'a str) -> Answer<'a, ()> {
        self.call("replace_branch", move |state| {
            let branch = state.branches.get_mut(name).ok_or_else(|| missing("branch"))?;
            commit.clone_into(branch);
            Ok(())
        })
    }

    fn find_request<'a>(&'a self, _: &'a RepoId, head: &'a str) -> Answer<'a, Option<Request>> {
        self.call("find_request", move |state| {
            let mut found: Vec<&Request> = state.requests.iter().filter(|one| one.head == head).collect();
            found.sort_by_key(|one| (one.state != RequestState::Open, std::cmp::Reverse(one.number)));
            Ok(found.first().map(|one| (*one).clone()))
        })
    }

    fn request<'a>(&'a self, _: &'a RepoId, number: u64) -> Answer<'a, Request> {
        self.call("request", move |state| {
            state.requests.iter().find(|one| one.number == number).cloned().ok_or_else(|| missing("request"))
        })
    }

    fn create_request<'a>(&'a self, repo: &'a RepoId, new: &'a NewRequest) -> Answer<'a, Request> {
        self.call("create_request", move |state| {
            if state.requests.iter().any(|one| one.head == new.head && one.state == RequestState::Open) {
                return Err(refused("create_request", "A pull request already exists"));
            }
            let number = 100 + state.requests.len() as u64;
            let request = Request {
                number,
                url: format!("https://git.acme.example/{repo}/pull/{number}"),
                author: Account { login: ME.to_owned(), bot: true },
                body: new.body.clone(),
                state: RequestState::Open,
                head_repo: Some(repo.clone()),
                head: new.head.clone(),
                base: new.base.clone(),
                merged_as: None,
            };
            state.requests.push(request.clone());
            state.drafts.push(new.clone());
            Ok(request)
        })
    }

    fn edit_request<'a>(&'a self, _: &'a RepoId, number: u64, body: &'a str) -> Answer<'a, ()> {
        self.call("edit_request", move |state| {
            let found = state.requests.iter_mut().find(|one| one.number == number);
            found.ok_or_else(|| missing("request"))?.body = body.to_owned();
            Ok(())
        })
    }

    fn find_check<'a>(
        &'a self,
        _: &'a RepoId,
        commit: &'a str,
        name: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<u64>> {
        self.call("find_check", move |state| {
            let commit = &state.resolve(commit)?.sha;
            let same = |(of, check): &(String, Check)| of == commit && check.name == name && check.key == key;
            Ok(state.checks.iter().position(same).map(|at| at as u64))
        })
    }

    fn create_check<'a>(&'a self, _: &'a RepoId, commit: &'a str, check: &'a Check) -> Answer<'a, u64> {
        self.call("create_check", move |state| {
            let commit = state.resolve(commit)?.sha.clone();
            state.checks.push((commit, check.clone()));
            Ok(state.checks.len() as u64 - 1)
        })
    }

    fn edit_check<'a>(&'a self, _: &'a RepoId, id: u64, check: &'a Check) -> Answer<'a, ()> {
        self.call("edit_check", move |state| {
            state.checks.get_mut(id as usize).ok_or_else(|| missing("check"))?.1 = check.clone();
            Ok(())
        })
    }

    fn writes_checks(&self) -> bool {
        self.change(|state| !state.token)
    }

    fn redelivers(&self) -> bool {
        self.change(|state| !state.token)
    }

    fn failed_deliveries(&self) -> Answer<'_, Vec<FailedDelivery>> {
        self.call("failed_deliveries", |state| Ok(state.failed.clone()))
    }

    fn issue_events<'a>(&'a self, _: &'a RepoId) -> Answer<'a, Vec<IssueEvent>> {
        self.call("issue_events", |state| Ok(state.issue_events.clone()))
    }

    fn redeliver(&self, id: u64) -> Answer<'_, ()> {
        self.call("redeliver", move |state| {
            state.redelivered.push(id);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_named_as_git_names_them() {
        let file = |mode: &str, content: &str| (mode.to_owned(), content.as_bytes().to_vec());
        let files: BTreeMap<String, File> = [
            ("a.txt".to_owned(), file("100644", "one\n")),
            ("a/run.sh".to_owned(), file("100755", "two\n")),
            ("a0".to_owned(), file("120000", "a.txt")),
        ]
        .into();
        assert_eq!(tree_id(&files), "e99adcf7c2dca3ebd0d8dcbb51b3113da20158b5");
    }
}
