//! `gloaming task` and `gloaming token`.

use std::io::{Read as _, Write as _};
use std::pin::pin;
use std::process::ExitCode;

use futures::StreamExt as _;
use gloaming_api::access::{NewToken, Scope, TokenMade, TokenView};
use gloaming_api::endpoints;
use gloaming_api::task::{
    DeadEffect, NewTask, TEXT_CAP, TaskAccepted, TaskKind, TaskPage, TaskState, TaskView,
};
use gloaming_api::{Digest, TaskId};
use gloaming_client::{Ask, Client, ClientError};
use serde_json::json;

use super::{client, failure, words};
use crate::cli::{Left, SubmitArgs, TaskArgs, TaskCommand, TokenArgs, TokenCommand};
use crate::failure::{Failure, exit};
use crate::told::print_json;

/// Tasks that one page holds at most.
const PAGE: u32 = 100;

/// How often a stream that broke off is begun again without anything new having come.
const AGAIN: u32 = 5;

pub(crate) async fn task(args: TaskArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.plane)?;
    match args.command {
        TaskCommand::Submit(args) => submit(&client, *args).await,
        TaskCommand::Onboard { repo, key, watch, json } => {
            let (owner, name) = repo.as_str().split_once('/').unwrap_or((repo.as_str(), ""));
            accepted(&client, Ask::of("onboard_repo", &[owner, name]), key.as_deref(), watch, json).await
        }
        TaskCommand::List { repo, state, limit, json } => {
            let mut query = Vec::new();
            query.extend(repo.map(|repo| ("repo", repo.to_string())));
            query.extend(state.map(|state| ("state", state.as_str().to_owned())));
            list(&client, query, limit, json).await
        }
        TaskCommand::Show { task, json } => {
            let view: TaskView = ask(&client, "show_task", &task).await?;
            tell(&view, json);
            Ok(ExitCode::from(exit::OK))
        }
        TaskCommand::Watch { task, json } => watch(&client, &task, json).await,
        TaskCommand::Cancel { task, json } => {
            let view: TaskView = ask(&client, "cancel_task", &task).await?;
            tell(&view, json);
            Ok(ExitCode::from(exit::OK))
        }
        TaskCommand::Retry { task, json } => {
            let view: TaskView = ask(&client, "retry_task", &task).await?;
            tell(&view, json);
            Ok(ExitCode::from(exit::OK))
        }
        TaskCommand::Dead { json } => {
            let dead: Vec<DeadEffect> = client.json(Ask::of("dead_effects", &[])).await.map_err(failure)?;
            if json {
                print_json(&json!({"dead": dead}));
            } else {
                print!("{}", words::dead(&dead));
            }
            Ok(ExitCode::from(exit::OK))
        }
        TaskCommand::Revive { id, json } => {
            let text = id.to_string();
            client.bytes(Ask::of("revive_effect", &[&text])).await.map_err(failure)?;
            if json {
                print_json(&json!({"revived": id}));
            } else {
                println!("{id} is tried again");
            }
            Ok(ExitCode::from(exit::OK))
        }
        TaskCommand::Get { task, what } => {
            let id = task.as_str();
            let digest = match what {
                Left::Partial => Some(partial(&client, &task).await?.to_string()),
                _ => None,
            };
            let path = [Some(id), digest.as_deref()].map(Option::unwrap_or_default);
            let ask = match what {
                Left::Patch => Ask::of("task_patch", &path[..1]),
                Left::Evidence => Ask::of("task_evidence", &path[..1]),
                Left::Trajectory => Ask::of("task_trajectory", &path[..1]),
                Left::Verdict => Ask::of("task_verdict", &path[..1]),
                Left::Partial => Ask::of("task_artifact", &path),
            };
            let bytes = client.bytes(ask).await.map_err(failure)?;
            std::io::stdout()
                .write_all(&bytes.unwrap_or_default())
                .map_err(|error| Failure::disk("write to standard output", error))?;
            Ok(ExitCode::from(exit::OK))
        }
    }
}

/// Returns the digest of the work of a task that bowed out.
async fn partial(client: &Client, task: &TaskId) -> anyhow::Result<Digest> {
    let view = ask(client, "show_task", task).await?;
    let partial = view.bow_out.as_ref().and_then(|bow_out| bow_out.partial());
    Ok(partial.ok_or_else(|| {
        Failure::usage(format!("{task} has left no work that did not pass"))
            .hint(format!("`gloaming task show {task}` tells how far it came"))
    })?)
}

async fn ask(client: &Client, name: &str, task: &TaskId) -> anyhow::Result<TaskView> {
    client.json(Ask::of(name, &[task.as_str()])).await.map_err(failure)
}

fn tell(view: &TaskView, json: bool) {
    if json {
        print_json(&json!(view));
    } else {
        print!("{}", words::task(view));
    }
}

async fn submit(client: &Client, args: SubmitArgs) -> anyhow::Result<ExitCode> {
    let text =
        if args.text == "-" {
            let mut text = String::new();
            let most = TEXT_CAP as u64 + 1;
            std::io::stdin().lock().take(most).read_to_string(&mut text).map_err(|error| {
                Failure::usage(format!("cannot read the task from standard input: {error}"))
            })?;
            text
        } else {
            args.text
        };
    let new = NewTask {
        repo: args.repo,
        kind: TaskKind::Change,
        text,
        base: args.base,
        priority: args.priority,
        not_before: args.not_before,
        supersede: args.supersede,
        needs: args.needs,
        cost_usd: args.cost,
    };
    let ask = Ask::of("submit_task", &[]).with(&new);
    accepted(client, ask, args.key.as_deref(), args.watch, args.json).await
}

/// Asks for a task, says which it is, and follows it where that is wanted.
async fn accepted<'a>(
    client: &Client,
    mut ask: Ask<'a>,
    key: Option<&'a str>,
    follow: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    ask.idempotency_key = key;
    let accepted: TaskAccepted = client.json(ask).await.map_err(failure)?;
    match (json, follow) {
        (true, _) => print_json(&json!(accepted)),
        (false, false) => {
            println!("{}", accepted.id);
            eprintln!(
                "{}; `gloaming task watch {}` tells what becomes of it",
                accepted.state.as_str(),
                accepted.id
            );
        }
        (false, true) => println!("{}", accepted.id),
    }
    if follow { watch(client, &accepted.id, json).await } else { Ok(ExitCode::from(exit::OK)) }
}

async fn list(
    client: &Client,
    query: Vec<(&str, String)>,
    limit: u32,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut tasks: Vec<TaskView> = Vec::new();
    let mut before = None;
    while let left @ 1.. = limit - u32::try_from(tasks.len()).unwrap_or(limit).min(limit) {
        let mut query = query.clone();
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(before.take().map(|id: TaskId| ("before", id.to_string())));
        let mut ask = Ask::of("list_tasks", &[]);
        ask.query = &query;
        let page: TaskPage = client.json(ask).await.map_err(failure)?;
        tasks.extend(page.tasks);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    if json {
        print_json(&json!({"tasks": tasks, "next": before}));
    } else {
        print!("{}", words::tasks(&tasks));
    }
    Ok(ExitCode::from(exit::OK))
}

/// Tells what happens to a task until it ends. A stream that breaks off, as when the server is replaced, is begun again
/// after the last event.
async fn watch(client: &Client, task: &TaskId, json: bool) -> anyhow::Result<ExitCode> {
    let endpoint = endpoints::named("watch_task").expect("the endpoint is in the table");
    let (mut after, mut in_vain) = (0, 0);
    loop {
        let (before, mut broken) = (after, None);
        match client.watch(endpoint, task.as_str(), after).await {
            Err(error @ ClientError::Away(_)) => broken = Some(error),
            Err(error) => return Err(failure(error)),
            Ok(stream) => {
                let mut stream = pin!(stream);
                while let Some(event) = stream.next().await {
                    let event = match event {
                        Ok(event) => event,
                        Err(error @ ClientError::Away(_)) => {
                            broken = Some(error);
                            break;
                        }
                        Err(error) => return Err(failure(error)),
                    };
                    after = event.seq;
                    if json {
                        println!("{}", serde_json::to_string(&event)?);
                    } else {
                        println!("{}", words::event(&event));
                    }
                }
            }
        }
        let view: Result<TaskView, _> = client.json(Ask::of("show_task", &[task.as_str()])).await;
        match view {
            // The stream of a task that has ended tells its end before it closes.
            Ok(view) if view.state.is_end() && broken.is_none() => {
                return Ok(ExitCode::from(code(view.state)));
            }
            Ok(_) => {}
            Err(error @ ClientError::Away(_)) => broken = broken.or(Some(error)),
            Err(error) => return Err(failure(error)),
        }
        in_vain = if after > before { 0 } else { in_vain + 1 };
        if in_vain > AGAIN {
            let error = broken.unwrap_or_else(|| ClientError::Away("the stream ends again and again".into()));
            return Err(failure(error));
        }
        if broken.is_some() {
            let pause = std::time::Duration::from_millis(500 << in_vain.min(4));
            tokio::time::sleep_until(tokio::time::Instant::now() + pause).await;
        }
    }
}

/// What a command says that waited for a task's end: as `gloaming run` does.
fn code(state: TaskState) -> u8 {
    match state {
        TaskState::BowedOut => exit::BOW_OUT,
        TaskState::Failed | TaskState::Quarantined => exit::INFRASTRUCTURE,
        TaskState::Cancelled | TaskState::Superseded => exit::CANCELLED,
        TaskState::Published
        | TaskState::Onboarded
        | TaskState::Queued
        | TaskState::Running
        | TaskState::Publishing => exit::OK,
    }
}

pub(crate) async fn token(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let client = client(&args.plane)?;
    match args.command {
        TokenCommand::Create { scopes, repos, expires, name, json } => {
            let name = name.unwrap_or_else(|| {
                scopes.iter().map(|scope: &Scope| scope.as_str()).collect::<Vec<_>>().join("-")
            });
            let expires_s = expires.as_deref().map(seconds).transpose()?;
            let new = NewToken { name, scopes, repos, expires_s };
            let made: TokenMade =
                client.json(Ask::of("create_token", &[]).with(&new)).await.map_err(failure)?;
            if json {
                print_json(&json!(made));
            } else {
                println!("{}", made.token);
                eprintln!("this is the only time it is shown; its id is {}", made.id);
            }
        }
        TokenCommand::List { json } => {
            let tokens: Vec<TokenView> = client.json(Ask::of("list_tokens", &[])).await.map_err(failure)?;
            if json {
                print_json(&json!({"tokens": tokens}));
            } else {
                print!("{}", words::tokens(&tokens));
            }
        }
        TokenCommand::Revoke { id, json } => {
            client.bytes(Ask::of("revoke_token", &[&id])).await.map_err(failure)?;
            if json {
                print_json(&json!({"revoked": id}));
            } else {
                println!("revoked {id}");
            }
        }
    }
    Ok(ExitCode::from(exit::OK))
}

/// Reads a time such as `90d`, `12h`, `30m` or `45s`.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let bad = || {
        Failure::usage(format!("{text:?} is no time; want a number with d, h, m or s behind it, like 90d"))
    };
    let unit = text.chars().last().ok_or_else(bad)?;
    let each = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(bad().into()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| bad())?;
    number.checked_mul(each).filter(|seconds| *seconds > 0).ok_or_else(|| bad().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, wanted) in
            [("90d", Some(7_776_000)), ("12h", Some(43_200)), ("5m", Some(300)), ("1s", Some(1))]
        {
            assert_eq!(seconds(text).ok(), wanted, "{text}");
        }
        for bad in ["", "d", "90", "1.5h", "-1d", "0d", "1w", "99999999999999999999d", "5ü"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
