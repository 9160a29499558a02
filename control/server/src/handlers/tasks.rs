//! Tasks: asked for, listed, shown, stopped, put back.

use std::sync::Arc;

use gloaming_api::endpoints::PAGE;
use gloaming_api::problem::ProblemCode;
use gloaming_api::task::{KEY_CAP, NewTask, Source, TaskAccepted, TaskPage, TaskState};
use gloaming_api::{Attempt, Digest, RepoId, TaskId};
use gloaming_store::{Idempotency, Submission, Submitted, TaskFilter, TaskRecord};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use jiff::Timestamp;

use crate::accept::{envelope_value, verdict_value};
use crate::answer::{Answered, Fault, bytes, json};
use crate::app::{App, Asked, Audited};
use crate::auth::Caller;
use crate::body;
use crate::handlers::repos;

/// Bytes of a task's text that a list has of it: a page of whole ones could be 25 MB.
const LISTED_TEXT: usize = 1024;
/// Tasks of a page where no limit is given.
pub(crate) const USUAL_PAGE: u32 = 50;

pub(super) async fn submit(app: &Arc<App>, asked: &Asked) -> Answered {
    accept(app, asked, body::parse(&asked.body)?).await
}

pub(super) async fn onboard(app: &Arc<App>, asked: &Asked) -> Answered {
    accept(app, asked, NewTask::onboard(repos::repo(asked)?)).await
}

async fn accept(app: &Arc<App>, asked: &Asked, new: NewTask) -> Answered {
    let key = body::single(&asked.headers, "idempotency-key")?;
    let accepted = take(app, asked, new, key).await?;
    let mut response = json(StatusCode::ACCEPTED, &accepted);
    let location = format!("/v1/tasks/{}", accepted.id);
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).expect("an id is plain"));
    Ok(response)
}

/// Takes a task that somebody asks for, under a key of theirs where there is one.
pub(crate) async fn take(
    app: &Arc<App>,
    asked: &Asked,
    new: NewTask,
    key: Option<&str>,
) -> Result<TaskAccepted, Fault> {
    new.check().map_err(|why| Fault::new(ProblemCode::InvalidBody, why))?;
    let caller = asked.caller()?.clone();
    if !caller.reaches(&new.repo) {
        return Err(Fault::missing("repository"));
    }
    if key.is_some_and(|key| {
        key.is_empty() || key.len() > KEY_CAP || !key.bytes().all(|byte| byte.is_ascii_graphic())
    }) {
        let detail = format!("the header Idempotency-Key: want 1 to {KEY_CAP} visible ASCII characters");
        return Err(Fault::new(ProblemCode::BadRequest, detail));
    }
    let idempotency = key.map(|key| Idempotency {
        scope: format!("token:{}", caller.token.id),
        key: key.to_owned(),
        request: Digest::of_json(&new),
    });
    let audited = Audited::of(asked)?;
    let submitted = app.ask(move |app, now| {
        let granted =
            app.policies.granted(&new.repo).map_err(|why| Fault::new(ProblemCode::PolicyBlocked, why))?;
        let decision = granted.grant.decide_submit(&caller.asker(), new.kind.asked_as());
        if let gloaming_policies::Decision::Deny(denial) = &decision {
            return Err(Fault::new(ProblemCode::PolicyBlocked, denial.to_string()));
        }
        let detail = format!("grant {}", granted.grant.digest());
        app.allowed(&audited, new.repo.as_str(), &detail, now)?;
        let submission = Submission {
            id: TaskId::generate(),
            new,
            source: Source::Api,
            asker: caller.asker(),
            by_name: true,
            idempotency,
            effects: Vec::new(),
        };
        match app.store.submit(&submission, now)? {
            Submitted::New(id) => Ok(TaskAccepted { id, state: TaskState::Queued }),
            Submitted::Again(id) => {
                let state = app.store.task(&id)?.map_or(TaskState::Queued, |task| task.view.state);
                Ok(TaskAccepted { id, state })
            }
            Submitted::Conflict => Err(Fault::new(
                ProblemCode::IdempotencyConflict,
                "the header Idempotency-Key: it was sent with another request before; choose a new one",
            )),
            Submitted::Full => Err(crate::app::overloaded("as many tasks wait as may")),
        }
    });
    submitted.await?
}

pub(super) async fn list(app: &Arc<App>, asked: &Asked) -> Answered {
    let limit = asked.query_as::<u32>("limit")?.unwrap_or(USUAL_PAGE);
    if limit == 0 || limit > PAGE {
        return Err(Fault::new(ProblemCode::BadRequest, format!("the query's `limit`: want 1 to {PAGE}")));
    }
    let state = asked.query("state").map(|name| {
        TaskState::named(name)
            .ok_or_else(|| Fault::new(ProblemCode::BadRequest, "the query's `state` is none that tasks have"))
    });
    let filter = TaskFilter {
        repos: Some(asked.caller()?.token.repos.clone()),
        repo: asked.query_as::<RepoId>("repo")?,
        state: state.transpose()?,
        before: asked.query_as::<TaskId>("before")?,
        // One more than is shown tells whether there is a next page.
        limit: limit + 1,
    };
    let mut tasks = app.ask(move |app, _| app.store.tasks(&filter)).await??;
    let more = tasks.len() > limit as usize;
    tasks.truncate(limit as usize);
    for task in tasks.iter_mut().filter(|task| task.text.len() > LISTED_TEXT) {
        task.text.truncate(task.text.floor_char_boundary(LISTED_TEXT));
        task.text.push_str(" ...");
    }
    let next = tasks.last().filter(|_| more).map(|task| task.id.clone());
    Ok(json(StatusCode::OK, &TaskPage { tasks, next }))
}

/// Returns a task that a caller may see. Whether there is another's is told to nobody: it is the same words, the same look-up
/// and the same line in the audit log.
pub(crate) fn visible(app: &App, caller: &Caller, id: &TaskId) -> Result<TaskRecord, Fault> {
    let found = app.store.task(id)?;
    found.filter(|task| caller.reaches(&task.view.repo)).ok_or_else(|| Fault::missing("task"))
}

/// Asks for something of a task that the caller may see.
pub(crate) async fn of_task<T: Send + 'static>(
    app: &Arc<App>,
    asked: &Asked,
    ask: impl FnOnce(&App, TaskRecord, Timestamp) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let id: TaskId = asked.parsed("id", "task")?;
    let caller = asked.caller()?.clone();
    app.ask(move |app, now| ask(app, visible(app, &caller, &id)?, now)).await?
}

pub(super) async fn show(app: &Arc<App>, asked: &Asked) -> Answered {
    let task = of_task(app, asked, |_, task, _| Ok(task)).await?;
    Ok(json(StatusCode::OK, &task.view))
}

pub(super) async fn patch(app: &Arc<App>, asked: &Asked) -> Answered {
    let patch = of_task(app, asked, |app, task, _| {
        let Some(change) = task.change else { return Ok(None) };
        Ok(app.store.artifact(&task.view.id, &change.patch)?)
    });
    match patch.await? {
        Some(patch) => Ok(bytes(StatusCode::OK, "text/plain; charset=utf-8", patch)),
        None => Err(Fault::new(ProblemCode::NotFound, "the task has made no patch")),
    }
}

pub(super) async fn evidence(app: &Arc<App>, asked: &Asked) -> Answered {
    let sealed = asked.query_as::<bool>("sealed")?.unwrap_or(true);
    let evidence = of_task(app, asked, move |app, task, _| match (sealed, &task.change) {
        (true, _) => kept(app, &task, envelope_value),
        (false, Some(change)) => Ok(app.store.artifact(&task.view.id, &change.evidence)?),
        (false, None) => Ok(None),
    });
    match evidence.await? {
        Some(evidence) => Ok(bytes(StatusCode::OK, "application/octet-stream", evidence)),
        None if sealed => Err(Fault::new(
            ProblemCode::NotFound,
            "no evidence of the task is sealed: that is done when the code host has its base and its files make its tree; \
             `?sealed=false` answers what the worker said, unsigned",
        )),
        None => Err(Fault::new(ProblemCode::NotFound, "no change of the task has passed the gate")),
    }
}

pub(super) async fn artifact(app: &Arc<App>, asked: &Asked) -> Answered {
    let digest: Digest = asked.parsed("digest", "artifact")?;
    let artifact = of_task(app, asked, move |app, task, _| Ok(app.store.artifact(&task.view.id, &digest)?));
    match artifact.await? {
        Some(artifact) => Ok(bytes(StatusCode::OK, "application/octet-stream", artifact)),
        None => Err(Fault::missing("artifact")),
    }
}

pub(super) async fn verdict(app: &Arc<App>, asked: &Asked) -> Answered {
    match of_task(app, asked, |app, task, _| kept(app, &task, verdict_value)).await? {
        Some(verdict) => Ok(bytes(StatusCode::OK, "application/json", verdict)),
        None => Err(Fault::new(ProblemCode::NotFound, "no change of the task was judged")),
    }
}

/// Returns what was kept of the latest attempt that has it.
pub(crate) fn kept(
    app: &App,
    task: &TaskRecord,
    name: fn(&TaskId, Attempt) -> String,
) -> Result<Option<Vec<u8>>, Fault> {
    for attempt in (1..=task.view.attempt.0).rev() {
        let Some(value) = app.store.value(&name(&task.view.id, Attempt(attempt)))? else { continue };
        let digest: Digest =
            value.parse().map_err(|error| Fault::internal("read a digest that was kept", &error))?;
        return Ok(app.store.artifact(&task.view.id, &digest)?);
    }
    Ok(None)
}

pub(super) async fn cancel(app: &Arc<App>, asked: &Asked) -> Answered {
    Ok(json(StatusCode::OK, &stop(app, asked).await?.view))
}

/// Asks for the end of the path's task, and returns it.
pub(crate) async fn stop(app: &Arc<App>, asked: &Asked) -> Result<TaskRecord, Fault> {
    let (audited, by) = (Audited::of(asked)?, asked.caller()?.asker());
    of_task(app, asked, move |app, task, now| {
        let id = task.view.id;
        app.allowed(&audited, id.as_str(), "", now)?;
        app.store.cancel(&id, &by, &[], now)?;
        app.store.task(&id)?.ok_or_else(|| Fault::missing("task"))
    })
    .await
}

pub(super) async fn retry(app: &Arc<App>, asked: &Asked) -> Answered {
    Ok(json(StatusCode::OK, &again(app, asked).await?.view))
}

/// Puts the path's task back into the queue, and returns it.
pub(crate) async fn again(app: &Arc<App>, asked: &Asked) -> Result<TaskRecord, Fault> {
    let (audited, by) = (Audited::of(asked)?, asked.caller()?.asker());
    of_task(app, asked, move |app, task, now| {
        let id = task.view.id;
        app.allowed(&audited, id.as_str(), "", now)?;
        match app.store.retry(&id, &by, now)? {
            Some(Ok(())) => app.store.task(&id)?.ok_or_else(|| Fault::missing("task")),
            Some(Err(state)) => {
                let detail = format!(
                    "the task is {}: only one that ended without a pull request can be retried",
                    state.as_str()
                );
                Err(Fault::new(ProblemCode::Conflict, detail))
            }
            None => Err(Fault::missing("task")),
        }
    })
    .await
}
