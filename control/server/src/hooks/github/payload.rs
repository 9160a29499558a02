//! The parts of GitHub's deliveries that are read
//! (<https://docs.github.com/en/webhooks/webhook-events-and-payloads>), and what each asks for.

use gloaming_api::{RepoId, TaskId};
use serde::Deserialize;

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Work on an issue: it was given the label, or assigned to us.
    Work {
        /// The issue.
        issue: u64,
        /// Its author's words.
        text: String,
        /// Who gave it.
        by: Somebody,
    },
    /// Somebody spoke to us in a comment on an issue or pull request.
    Spoken {
        /// The issue or pull request.
        number: u64,
        /// The comment.
        comment: u64,
        /// What was said, without our name.
        words: String,
        /// Title and text of what it is a comment on.
        about: String,
        /// Whether it is on a pull request.
        on_request: bool,
        /// Who said it.
        by: Somebody,
    },
    /// Somebody reviewed a pull request of ours, or wrote on a line of it.
    Reviewed {
        /// The pull request.
        number: u64,
        /// The task whose branch it is.
        task: TaskId,
        /// Names the review or remark.
        key: String,
        /// What was said.
        words: String,
        /// Who said it.
        by: Somebody,
    },
    /// A check of somebody else failed on our branch.
    Failed {
        /// The task whose branch it is.
        task: TaskId,
        /// The commit.
        commit: String,
        /// The check's name and what it says.
        words: String,
    },
    /// A pull request of ours was closed.
    Closed {
        /// The pull request.
        number: u64,
        /// The task whose branch it is.
        task: TaskId,
        /// Whether it was merged.
        merged: bool,
    },
    /// Commits came to the default branch; their messages say what they take back.
    Pushed {
        /// The messages.
        messages: Vec<String>,
    },
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Somebody {
    pub(super) login: String,
    pub(super) bot: bool,
}

/// What deliveries are read by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The label by which work is asked for.
    pub label: String,
    /// The name that is spoken to, without `@`.
    pub name: String,
}

impl Default for Called {
    fn default() -> Self {
        Self { label: "gloaming".to_owned(), name: "gloaming".to_owned() }
    }
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    action: String,
    repository: Option<Repository>,
    sender: Option<User>,
    issue: Option<Issue>,
    label: Option<Named>,
    assignee: Option<User>,
    comment: Option<Comment>,
    review: Option<Review>,
    pull_request: Option<Pull>,
    check_run: Option<CheckRun>,
    check_suite: Option<CheckSuite>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    commits: Option<Vec<Pushed>>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: RepoId,
    #[serde(default)]
    default_branch: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct User {
    login: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl User {
    fn somebody(self) -> Somebody {
        let bot = self.kind == "Bot" || self.login.ends_with("[bot]");
        Somebody { login: self.login, bot }
    }
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    #[serde(default)]
    title: String,
    body: Option<String>,
    #[serde(default)]
    state: String,
    pull_request: Option<serde_json::Value>,
}

impl Issue {
    fn words(&self) -> String {
        [self.title.trim(), self.body.as_deref().unwrap_or_default().trim()].join("\n\n").trim().to_owned()
    }
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    path: Option<String>,
    line: Option<u64>,
    pull_request_review_id: Option<u64>,
}

#[derive(Deserialize)]
struct Review {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    #[serde(default)]
    merged: bool,
    head: End,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    head_sha: String,
    conclusion: Option<String>,
    output: Option<Output>,
    check_suite: Option<Suite>,
    app: Option<App>,
}

#[derive(Deserialize)]
struct Output {
    title: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
struct Suite {
    head_branch: Option<String>,
}

#[derive(Deserialize)]
struct CheckSuite {
    head_branch: Option<String>,
    head_sha: String,
    conclusion: Option<String>,
    app: Option<App>,
}

#[derive(Deserialize)]
struct App {
    #[serde(default)]
    slug: String,
}

#[derive(Deserialize)]
struct Pushed {
    #[serde(default)]
    message: String,
}

/// The kinds of deliveries that are read, and of each the actions; of a kind without any, all. The App's manifest asks for
/// these kinds and no others (docs/github-app.json).
const EVENTS: &[(&str, &[&str])] = &[
    ("check_run", &["completed"]),
    ("check_suite", &["completed"]),
    ("issue_comment", &["created"]),
    ("issues", &["labeled", "assigned"]),
    ("pull_request", &["closed"]),
    ("pull_request_review", &["submitted"]),
    ("pull_request_review_comment", &["created"]),
    ("push", &[]),
];

/// The longest text of others that is kept, characters.
const WORDS: usize = 20_000;

/// Reads a delivery: the repository, and what is asked for; none where it is nothing for us.
pub(super) fn read(
    event: &str,
    body: &[u8],
    called: &Called,
    me: &str,
) -> Result<Option<(RepoId, Asked)>, serde_json::Error> {
    let payload: Payload = serde_json::from_slice(body)?;
    let known = EVENTS.iter().any(|(kind, actions)| {
        *kind == event && (actions.is_empty() || actions.contains(&payload.action.as_str()))
    });
    let Some(repository) = payload.repository.as_ref().filter(|_| known) else { return Ok(None) };
    let repo = repository.full_name.clone();
    Ok(asked(event, payload, called, me).map(|asked| (repo, asked)))
}

fn asked(event: &str, payload: Payload, called: &Called, me: &str) -> Option<Asked> {
    let repo = payload.repository?;
    let action = payload.action.as_str();
    match (event, action) {
        ("issues", "labeled" | "assigned") => {
            let issue =
                payload.issue.filter(|issue| issue.state == "open" && issue.pull_request.is_none())?;
            let ours = match action {
                "labeled" => payload.label?.name.eq_ignore_ascii_case(&called.label),
                _ => is_us(&payload.assignee?.login, called, me),
            };
            let by = payload.sender?.somebody();
            ours.then(|| Asked::Work { issue: issue.number, text: short(&issue.words()), by })
        }
        ("issue_comment", "created") => {
            let (issue, comment) = (payload.issue?, payload.comment?);
            let words = spoken(comment.body.as_deref()?, called)?;
            Some(Asked::Spoken {
                number: issue.number,
                comment: comment.id,
                words,
                about: short(&issue.words()),
                on_request: issue.pull_request.as_ref().is_some_and(|value| !value.is_null()),
                by: comment.user.or(payload.sender)?.somebody(),
            })
        }
        ("pull_request_review", "submitted") => {
            let (review, pull) = (payload.review?, payload.pull_request?);
            let task = our_branch(&pull.head, &repo)?;
            // Remarks on lines come as deliveries of their own, and an approval asks for nothing.
            let asks = review.state.eq_ignore_ascii_case("changes_requested")
                || review.body.as_deref().is_some_and(|body| spoken(body, called).is_some());
            let words = review.body.filter(|body| asks && !body.trim().is_empty())?;
            let (key, by) = (format!("review {}", review.id), review.user?.somebody());
            Some(Asked::Reviewed { number: pull.number, task, key, words: short(&words), by })
        }
        ("pull_request_review_comment", "created") => {
            let (comment, pull) = (payload.comment?, payload.pull_request?);
            let task = our_branch(&pull.head, &repo)?;
            let at = match (&comment.path, comment.line) {
                (Some(path), Some(line)) => format!("On {path}, line {line}: "),
                (Some(path), None) => format!("On {path}: "),
                _ => String::new(),
            };
            let words = format!("{at}{}", comment.body?.trim());
            // All remarks of one review are one follow-up.
            let key = match comment.pull_request_review_id {
                Some(review) => format!("review {review}"),
                None => format!("remark {}", comment.id),
            };
            let by = comment.user?.somebody();
            Some(Asked::Reviewed { number: pull.number, task, key, words: short(&words), by })
        }
        ("check_run", "completed") => {
            let run = payload.check_run?;
            let task = task_of(run.check_suite?.head_branch.as_deref()?)?;
            let said = run.output.map(|output| {
                [output.title.unwrap_or_default(), output.summary.unwrap_or_default()].join("\n")
            });
            let words = format!("{}: {}", run.name, said.unwrap_or_default().trim());
            failed(run.conclusion.as_deref(), run.app.as_ref(), me).then(|| Asked::Failed {
                task,
                commit: run.head_sha,
                words: short(&words),
            })
        }
        ("check_suite", "completed") => {
            let suite = payload.check_suite?;
            let task = task_of(suite.head_branch.as_deref()?)?;
            let name = suite.app.as_ref().map_or("a check suite", |app| app.slug.as_str()).to_owned();
            let words = format!("{name}: its checks failed");
            failed(suite.conclusion.as_deref(), suite.app.as_ref(), me).then_some(Asked::Failed {
                task,
                commit: suite.head_sha,
                words,
            })
        }
        ("pull_request", "closed") => {
            let pull = payload.pull_request?;
            let task = our_branch(&pull.head, &repo)?;
            Some(Asked::Closed { number: pull.number, task, merged: pull.merged })
        }
        ("push", _) => {
            let branch = payload.reference?;
            let messages: Vec<String> = payload.commits?.into_iter().map(|commit| commit.message).collect();
            (branch.strip_prefix("refs/heads/") == Some(repo.default_branch.as_str()) && !messages.is_empty())
                .then_some(Asked::Pushed { messages })
        }
        _ => None,
    }
}

fn failed(conclusion: Option<&str>, app: Option<&App>, me: &str) -> bool {
    let ours = app.is_some_and(|app| format!("{}[bot]", app.slug) == me);
    !ours && matches!(conclusion, Some("failure" | "timed_out"))
}

fn is_us(login: &str, called: &Called, me: &str) -> bool {
    login.eq_ignore_ascii_case(&called.name) || login.eq_ignore_ascii_case(me)
}

/// Returns the task of a branch of ours in the same repository: a fork can have a branch of the same name.
fn our_branch(head: &End, repo: &Repository) -> Option<TaskId> {
    let of = head.repo.as_ref()?;
    let same = of.full_name.as_str().eq_ignore_ascii_case(repo.full_name.as_str());
    task_of(&head.branch).filter(|_| same)
}

fn task_of(branch: &str) -> Option<TaskId> {
    branch.strip_prefix("gloaming/")?.parse().ok()
}

/// Returns what a comment says to us: what stands behind our name where a line begins with it. Quoted lines and code are
/// somebody else's words.
pub(super) fn spoken(body: &str, called: &Called) -> Option<String> {
    let mut fenced = false;
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            fenced = !fenced;
        }
        if fenced || trimmed.len() + 4 <= line.len() {
            continue;
        }
        let Some(rest) = trimmed.strip_prefix('@') else { continue };
        let Some(name) = rest.get(..called.name.len()) else { continue };
        let after = rest[called.name.len()..].strip_prefix("[bot]").unwrap_or(&rest[called.name.len()..]);
        let ends =
            after.chars().next().is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '/')));
        if name.eq_ignore_ascii_case(&called.name) && ends {
            let first = after.trim_start_matches([':', ',']).trim();
            let words = std::iter::once(first).chain(lines).collect::<Vec<_>>().join("\n");
            return Some(short(words.trim()));
        }
    }
    None
}

fn short(text: &str) -> String {
    gloaming_api::bowout::shorten(text, WORDS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each kind that the manifest asks for is read, and each that is read is asked for.
    #[test]
    fn the_manifest_asks_for_the_kinds_that_are_read_and_no_others() {
        let manifest: serde_json::Value =
            serde_json::from_str(include_str!("../../../../../docs/github-app.json")).unwrap();
        let kinds: Vec<&str> = EVENTS.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(manifest["default_events"], json!(kinds));
        let repo = json!({"full_name": "acme/api", "default_branch": "main"});
        let (alice, branch) = (json!({"login": "alice", "type": "User"}), "gloaming/t-00000000000000000001");
        // Whatever any kind has.
        let whole = |action: &str| {
            json!({
                "action": action, "repository": repo, "sender": alice, "ref": "refs/heads/main",
                "commits": [{"message": "Reverts acme/api#1"}], "label": {"name": "gloaming"},
                "assignee": {"login": "gloaming"}, "issue": {"number": 1, "title": "Greet", "state": "open"},
                "comment": {"id": 2, "body": "@gloaming greet", "user": alice},
                "review": {"id": 3, "body": "Greet.", "user": alice, "state": "changes_requested"},
                "pull_request": {"number": 4, "merged": true, "head": {"ref": branch, "repo": repo}},
                "check_run": {"name": "ci", "head_sha": "a", "conclusion": "failure", "check_suite": {"head_branch": branch}},
                "check_suite": {"head_sha": "a", "conclusion": "failure", "head_branch": branch},
            })
        };
        let read = |kind: &str, action: &str| {
            let body = whole(action).to_string();
            read(kind, body.as_bytes(), &Called::default(), "gloaming[bot]").unwrap().is_some()
        };
        for (kind, actions) in EVENTS {
            let all = if actions.is_empty() { &[""][..] } else { actions };
            assert!(all.iter().all(|action| read(kind, action)), "{kind}");
            assert!(actions.is_empty() || !read(kind, "deleted"), "{kind}");
        }
        assert!(!read("fork", "created"));
    }

    #[test]
    fn only_a_line_that_begins_with_our_name_is_spoken_to_us() {
        let called = Called::default();
        for (body, expect) in [
            ("@gloaming fix it", Some("fix it")),
            (
                "Thanks!\n\n@Gloaming[bot], please\n- rename it\n- and test it",
                Some("please\n- rename it\n- and test it"),
            ),
            ("@gloaming", Some("")),
            ("> @gloaming fix it", None),
            ("    @gloaming fix it", None),
            ("```\n@gloaming fix it\n```", None),
            ("ask @gloaming to fix it", None),
            ("@gloaming-team look", None),
            ("@gloamingx look", None),
            ("@gloaming/core look", None),
            ("@glö", None),
        ] {
            assert_eq!(spoken(body, &called).as_deref(), expect, "{body:?}");
        }
    }
}
