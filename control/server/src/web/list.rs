//! The page of tasks.

use std::sync::Arc;

use gloaming_api::problem::ProblemCode;
use gloaming_api::task::{TaskState, TaskView};
use gloaming_api::{RepoId, TaskId};
use gloaming_store::TaskFilter;
use http::StatusCode;
use maud::{Markup, html};

use super::frame::Frame;
use super::text::{mark, shown, time, title, words};
use super::{page as answer, task_path};
use crate::answer::{Answered, Fault};
use crate::app::{App, Asked};
use crate::handlers::tasks::USUAL_PAGE;

pub(super) async fn page(app: &Arc<App>, asked: &Asked) -> Answered {
    let wrong = |name: &str, want: &str| {
        Fault::new(ProblemCode::BadRequest, format!("the query's `{name}`: want {want}"))
    };
    let given = |name: &str| asked.query(name).map(str::trim).filter(|value| !value.is_empty());
    let repo = given("repo").map(str::parse::<RepoId>).transpose();
    let repo = repo.map_err(|_| wrong("repo", "a repository as owner/name"))?;
    let state = given("state")
        .map(|name| TaskState::named(name).ok_or_else(|| wrong("state", "a state that tasks have")));
    let state = state.transpose()?;
    let before =
        given("before").map(str::parse::<TaskId>).transpose().map_err(|_| wrong("before", "a task's id"))?;
    let filter = TaskFilter {
        repos: Some(asked.caller()?.token.repos.clone()),
        repo: repo.clone(),
        state,
        before: before.clone(),
        // One more than is shown tells whether there is a next page.
        limit: USUAL_PAGE + 1,
    };
    let mut tasks = app.ask(move |app, _| app.store.tasks(&filter)).await??;
    let more = tasks.len() > USUAL_PAGE as usize;
    tasks.truncate(USUAL_PAGE as usize);
    let link = |before: Option<&TaskId>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        repo.iter().for_each(|repo| _ = query.append_pair("repo", repo.as_str()));
        state.iter().for_each(|state| _ = query.append_pair("state", state.as_str()));
        before.iter().for_each(|before| _ = query.append_pair("before", before.as_str()));
        let query = query.finish();
        if query.is_empty() { super::HOME.to_owned() } else { format!("{}?{query}", super::HOME) }
    };
    let older = tasks.last().filter(|_| more).map(|task| link(Some(&task.id)));
    let newest = before.is_some().then(|| link(None));
    let found = html! {
        (filters(repo.as_ref(), state))
        @if tasks.is_empty() {
            p class="empty" { "No task here." }
        } @else {
            (table(&tasks))
        }
        @if older.is_some() || newest.is_some() {
            nav class="pages" aria-label="Pages" {
                @if let Some(newest) = &newest { a href=(newest) { "Newest" } }
                @if let Some(older) = &older { a href=(older) rel="next" { "Older" } }
            }
        }
    };
    Ok(answer(StatusCode::OK, Frame::of(asked).page("Tasks", html! { h1 { "Tasks" } (found) })))
}

fn filters(repo: Option<&RepoId>, state: Option<TaskState>) -> Markup {
    html! {
        form method="get" action="/web" class="row" role="search" aria-label="Tasks" {
            div class="field" {
                label for="repo" { "Repository" }
                input id="repo" name="repo" value=[repo] autocomplete="off" spellcheck="false" autocapitalize="none" placeholder="owner/name";
            }
            div class="field" {
                label for="state" { "State" }
                select id="state" name="state" {
                    option value="" { "Any" }
                    @for one in TaskState::ALL {
                        option value=(one.as_str()) selected[state == Some(*one)] { (words(one.as_str())) }
                    }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn table(tasks: &[TaskView]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Tasks, the newest first" {
            table class="tasks" {
                caption class="for-ears" { "Tasks, the newest first" }
                thead { tr {
                    th scope="col" { "Task" } th scope="col" { "State" } th scope="col" { "Repository" }
                    th scope="col" { "Asked by" } th scope="col" { "Changed" } th scope="col" class="number" { "Cost" }
                } }
                tbody {
                    @for task in tasks {
                        tr {
                            th scope="row" { a href=(task_path(&task.id)) { (shown(&title(&task.text, 100))) } }
                            td { (state_mark(task)) }
                            td { a href={ "/web/repos/" (task.repo) } { (shown(task.repo.as_str())) } }
                            td { (shown(&task.asker)) }
                            td { (time(task.updated_at)) }
                            td class="number" { (usd(task.cost.usd)) }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn usd(usd: f64) -> String {
    format!("${usd:.2}")
}

/// Where a task stands, in a word.
pub(super) fn state_mark(task: &TaskView) -> Markup {
    let kind = match task.state {
        TaskState::Published | TaskState::Onboarded => "good",
        TaskState::Failed | TaskState::Quarantined => "bad",
        TaskState::BowedOut => "warn",
        TaskState::Running | TaskState::Publishing => "busy",
        TaskState::Queued | TaskState::Cancelled | TaskState::Superseded => "quiet",
    };
    let word = words(task.state.as_str());
    let word = if task.cancelling && !task.state.is_end() { format!("{word}, stopping") } else { word };
    mark(&word, kind)
}
