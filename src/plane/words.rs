//! What tasks, tokens and events are called on a terminal. All of it was written by others, and is escaped.

use gloaming_api::access::TokenView;
use gloaming_api::path::escape_name;
use gloaming_api::task::{DeadEffect, TaskEvent, TaskEventKind, TaskView};
use jiff::Timestamp;

fn safe(text: &str) -> String {
    escape_name(text.as_bytes())
}

/// The first line of a text, cut.
fn title(text: &str) -> String {
    safe(&gloaming_api::bowout::shorten(text.trim().lines().next().unwrap_or_default(), 60))
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A task in some lines.
pub(super) fn task(view: &TaskView) -> String {
    let mut lines = vec![
        ("task", format!("{}  {}", view.id, title(&view.text))),
        ("repo", view.repo.to_string()),
        ("asked", format!("{} by {}", minute(view.created_at), safe(&view.asker))),
    ];
    let mut state = view.state.as_str().to_owned();
    if view.cancelling && !view.state.is_end() {
        state.push_str(", to be cancelled");
    }
    if view.attempt.0 > 0 {
        state.push_str(&format!(", attempt {}", view.attempt));
    }
    lines.push(("state", state));
    if let (Some(stage), false) = (view.stage, view.state.is_end()) {
        let doing = view.doing.as_deref().map_or(String::new(), |doing| format!(": {}", safe(doing)));
        lines.push(("stage", format!("{}{doing}", stage.as_str())));
    }
    if let Some(request) = &view.pull_request {
        let outcome = match request.outcome {
            None => "",
            Some(gloaming_api::task::PullRequestOutcome::Merged) => " (merged)",
            Some(gloaming_api::task::PullRequestOutcome::Closed) => " (closed)",
            Some(gloaming_api::task::PullRequestOutcome::Reverted) => " (reverted)",
        };
        lines.push(("pull", format!("{}{outcome}", safe(&request.url))));
    }
    if let Some(failure) = &view.failure {
        lines.push(("failed", safe(failure)));
    }
    if let Some(other) = &view.superseded_by {
        lines.push(("by", other.to_string()));
    }
    let cost = &view.cost;
    if cost.wall_s > 0.0 {
        lines.push(("cost", format!("${:.4}, {} model calls, {:.0} s", cost.usd, cost.calls, cost.wall_s)));
    }
    let mut text: String = lines.iter().map(|(name, value)| format!("{name:<7} {value}\n")).collect();
    if let Some(bow_out) = &view.bow_out {
        text.push('\n');
        text.push_str(&crate::told::tell(bow_out));
    }
    text
}

/// Tasks, a line each.
pub(super) fn tasks(tasks: &[TaskView]) -> String {
    if tasks.is_empty() {
        return "no tasks\n".to_owned();
    }
    let width = tasks.iter().map(|task| task.repo.as_str().len()).max().unwrap_or(0);
    let line = |task: &TaskView| {
        let state = match &task.bow_out {
            Some(bow_out) => bow_out.reason_code.as_str(),
            None => task.state.as_str(),
        };
        format!(
            "{}  {}  {:<width$}  {state:<22}  {}\n",
            task.id,
            minute(task.created_at),
            task.repo,
            title(&task.text)
        )
    };
    tasks.iter().map(line).collect()
}

/// Tokens, a line each.
pub(super) fn tokens(tokens: &[TokenView]) -> String {
    if tokens.is_empty() {
        return "no tokens\n".to_owned();
    }
    let line = |token: &TokenView| {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let repos: Vec<&str> = token.repos.iter().map(|repo| repo.as_str()).collect();
        let until = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {}", minute(at)),
            (None, Some(at)) => format!("until {}", minute(at)),
            (None, None) => "for ever".to_owned(),
        };
        let used =
            token.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", minute(at)));
        format!(
            "{}  {:<20}  {}  {}  {until}  {used}\n",
            safe(&token.id),
            safe(&token.name),
            scopes.join(","),
            repos.join(",")
        )
    };
    tokens.iter().map(line).collect()
}

/// What was given up, a line or two each.
pub(super) fn dead(dead: &[DeadEffect]) -> String {
    if dead.is_empty() {
        return "nothing was given up\n".to_owned();
    }
    let line = |one: &DeadEffect| {
        let (kind, key, error) = (safe(&one.kind), safe(&one.key), safe(&one.error));
        format!("{:<6} {kind:<8} {key}  after {} tries\n       {error}\n", one.id, one.tries)
    };
    dead.iter().map(line).collect()
}

/// What happened, in a line.
pub(super) fn event(event: &TaskEvent) -> String {
    let said = match &event.kind {
        TaskEventKind::Submitted { asker } => format!("asked for by {}", safe(asker)),
        TaskEventKind::Leased { attempt, worker } => format!("attempt {attempt} begins on {}", safe(worker)),
        TaskEventKind::Progress { stage, detail, .. } => format!("{:<11} {}", stage.as_str(), safe(detail)),
        TaskEventKind::LeaseExpired { attempt } => {
            format!("attempt {attempt}: its worker was not heard of any more")
        }
        TaskEventKind::Released { attempt } => format!("attempt {attempt} was given back by its worker"),
        TaskEventKind::AttemptFailed { attempt, error } => {
            format!("attempt {attempt} failed: {}", safe(error))
        }
        TaskEventKind::Verified { attempt } => {
            format!("attempt {attempt} made a change that passes; publishing")
        }
        TaskEventKind::Ended { state, detail } => format!("{}: {}", state.as_str(), safe(detail)),
        TaskEventKind::CancelAsked { by } => format!("to be cancelled, says {}", safe(by)),
        TaskEventKind::Retried { by } => format!("again, says {}", safe(by)),
        TaskEventKind::Outcome { outcome } => format!("the pull request: {outcome:?}").to_lowercase(),
    };
    format!("{}  {said}", event.at.strftime("%H:%M:%S"))
}
