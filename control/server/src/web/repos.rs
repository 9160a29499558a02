//! Repositories: those with tasks, and what counts in one and is known of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gloaming_api::RepoId;
use gloaming_api::access::Scope;
use gloaming_api::problem::ProblemCode;
use gloaming_api::task::NewTask;
use gloaming_store::{Share, TaskFilter};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::Frame;
use super::policy::{effective, without};
use super::text::{code, facts, mark, plain, seen, shown, words};
use super::tree::tree;
use super::{forms, page as answer, see_other, task_path};
use crate::answer::{Answered, Fault};
use crate::app::{App, Asked};
use crate::handlers::repos::{explained, policy_of, repo};
use crate::handlers::tasks;

/// The latest tasks among which repositories are looked for.
const LATEST: u32 = 1000;

pub(super) async fn list(app: &Arc<App>, asked: &Asked) -> Answered {
    let patterns = asked.caller()?.token.repos.clone();
    let named: Vec<RepoId> = patterns.iter().filter_map(|pattern| pattern.as_str().parse().ok()).collect();
    let filter = TaskFilter { repos: Some(patterns), repo: None, state: None, before: None, limit: LATEST };
    let tasks = app.ask(move |app, _| app.store.tasks(&filter)).await??;
    let mut repos: BTreeMap<RepoId, usize> = named.into_iter().map(|repo| (repo, 0)).collect();
    for task in tasks {
        *repos.entry(task.repo).or_default() += 1;
    }
    let main = html! {
        h1 { "Repositories" }
        p { "Those of the latest " (LATEST) " tasks that your token sees, and those that it names." }
        @if repos.is_empty() { p class="empty" { "No repository here." } }
        ul class="plain" {
            @for (repo, tasks) in &repos {
                li {
                    a href={ "/web/repos/" (repo) } { (shown(repo.as_str())) }
                    span class="hint" { " " (tasks) @if *tasks == 1 { " task" } @else { " tasks" } }
                }
            }
        }
    };
    Ok(answer(StatusCode::OK, Frame::of(asked).page("Repositories", main)))
}

pub(super) async fn page(app: &Arc<App>, asked: &Asked) -> Answered {
    let repo = repo(asked)?;
    // Where no policy is for it, that is what is shown.
    let policy = match policy_of(app, repo.clone()).await {
        Err(fault) if fault.code == ProblemCode::NotFound => Err(fault.detail),
        policy => Ok(policy?),
    };
    let call = asked.query("call").map(str::trim).filter(|call| !call.is_empty());
    let explanation = match call {
        Some(call) if policy.is_ok() => match explained(app, repo.clone(), call.to_owned()).await {
            Err(fault) if fault.code == ProblemCode::BadRequest => Some(Err(fault.detail)),
            explanation => Some(Ok(explanation?)),
        },
        _ => None,
    };
    let profile = app.profiles.of(&repo).await.map_err(|error| Fault::internal("read a profile", &*error))?;
    let profile = profile.and_then(|kept| serde_json::from_slice::<Value>(&kept.body).ok());
    let of = repo.clone();
    let share = app.ask(move |app, _| app.store.share(&of)).await??;
    let frame = Frame::of(asked);
    let main = html! {
        p class="crumbs" { a href="/web/repos" { "Repositories" } }
        h1 { (shown(repo.as_str())) }
        ul class="inline" {
            li { a href={ "/web?repo=" (repo) } { "Tasks" } }
            @if frame.may(Scope::Submit) { li { a href={ "/web/new?repo=" (repo) } { "New task" } } }
        }
        (facts(&[
            ("Tasks at once", plain(match share.running { 0 => "none: it is held".to_owned(), most => format!("at most {most}") })),
            ("Weight", plain(format!("{} (usual: {})", share.weight, Share::WEIGHT))),
        ]))
        @match &policy {
            Ok(policy) => { (box_of(&repo, call, explanation.as_ref())) (effective(policy)) }
            Err(why) => section aria-labelledby="policy" {
                h2 id="policy" { "Policy" }
                div class="notice warn" { p { (shown(why)) } }
            },
        }
        section aria-labelledby="profile" {
            h2 id="profile" { "Profile" }
            @match &profile {
                Some(profile) => (tree(&without(profile, &["schema_version"]))),
                None => p { "Nothing is known of the repository yet. The first attempt looks." },
            }
            @if frame.may(Scope::Submit) && policy.is_ok() {
                form method="post" action={ "/web/repos/" (repo) "/onboard" } class="actions" {
                    (forms::check_field(&frame.check("web_onboard")))
                    button type="submit" aria-describedby="onboard-hint" { "Onboard" }
                    p id="onboard-hint" class="hint" { "A worker finds the repository's commands and proves them by running them; no model is asked." }
                }
            }
        }
    };
    Ok(answer(StatusCode::OK, frame.page(repo.as_str(), main)))
}

/// Has the path's repository onboarded.
pub(super) async fn onboard(app: &Arc<App>, asked: &Asked) -> Answered {
    let accepted = tasks::take(app, asked, NewTask::onboard(repo(asked)?), None).await?;
    Ok(see_other(&task_path(&accepted.id)))
}

/// The box that asks why a call is allowed or denied, and what it was answered.
fn box_of(repo: &RepoId, call: Option<&str>, explanation: Option<&Result<Value, String>>) -> Markup {
    let wrong = matches!(explanation, Some(Err(_))).then_some("true");
    html! {
        section aria-labelledby="explain" {
            h2 id="explain" { "Why is a call allowed or denied?" }
            form method="get" action={ "/web/repos/" (repo) "#explain" } class="row" {
                div class="field wide" {
                    label for="call" { "Call" }
                    input id="call" name="call" required maxlength="4096" autocomplete="off" spellcheck="false" autocapitalize="none"
                        aria-describedby="call-hint" aria-invalid=[wrong] value=[call.map(seen)];
                }
                button type="submit" { "Explain" }
                p id="call-hint" class="hint" { "Such as " code { "edit src/lib.rs" } " or " code { "check test" } ". Answered by the operator's policy alone." }
            }
            @match explanation {
                Some(Ok(told)) => (told_of(call.unwrap_or_default(), told)),
                Some(Err(why)) => div class="notice bad" role="alert" { p { (shown(why)) } },
                None => {}
            }
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn place(value: &Value) -> String {
    format!("{}:{}", text(value, "file"), value["line"])
}

fn told_of(call: &str, told: &Value) -> Markup {
    let decision = text(told, "decision");
    let kind = if decision == "allow" { "good" } else { "bad" };
    let flip = &told["flip"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    html! {
        div class={ "notice " (kind) } role="status" {
            p { (mark(&words(decision), kind)) " " code { (shown(call)) } }
            (facts(&[
                ("Rule", code(text(told, "rule"))),
                ("In", code(place(told))),
                ("Layer", plain(text(told, "layer"))),
                ("Because", plain(text(told, "because"))),
                ("Instead", plain(text(told, "instead"))),
            ]))
            @let warnings = list(&told["warnings"]);
            @if !warnings.is_empty() {
                h3 { "Would be denied by" }
                ul { @for rule in &warnings { li { code { (shown(text(rule, "id"))) } " in " code { (shown(&place(rule))) } ": " (shown(text(rule, "because"))) } } }
            }
            @let edits = list(&flip["edits"]);
            @if !edits.is_empty() {
                h3 { "The least edit that turns it round" }
                @for edit in &edits {
                    p { code { (shown(&place(edit))) } ": " (shown(text(edit, "edit"))) }
                    @if let Some(add) = edit["add"].as_str() { pre tabindex="0" { (shown(add)) } }
                }
            }
            @if let Some(why) = flip["impossible"].as_str() { p class="hint" { (shown(why)) } }
        }
    }
}
