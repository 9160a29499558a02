//! Forms: taken apart, held to come from a page of ours, and the one that asks for a task.

use std::sync::Arc;

use gloaming_api::problem::{Problem, ProblemCode};
use gloaming_api::task::{NewTask, TEXT_CAP, TaskKind};
use gloaming_api::{Digest, RepoId};
use maud::{Markup, html};
use subtle::ConstantTimeEq as _;

use super::frame::Frame;
use super::{see_other, sessions, task_path};
use crate::answer::{Answered, Fault};
use crate::app::{App, Asked};
use crate::auth;
use crate::handlers::tasks;

/// The name of the field that shows that a form is of a page of ours.
const CHECK: &str = "check";
/// The most fields of a form.
const FIELDS: usize = 16;

/// A form's fields; one more than once is none.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let wrong = |detail: &str| Fault::new(ProblemCode::BadRequest, format!("the form: {detail}"));
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.len() >= FIELDS || fields.iter().any(|(known, _)| *known == name) {
                return Err(wrong("want each field once, and no more than a page has"));
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }

    pub(super) fn of(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Returns what a form must repeat: made from the session's secret, which no other site knows, and worth nothing for another
/// form.
pub(super) fn secret_of(form: &str, secret: &str) -> String {
    Digest::of(format!("form {form} {secret}")).hex().to_owned()
}

/// Takes a form apart, where it is of a page that was given to this session. Whoever comes with a token in a header needs no
/// such proof: no browser sends one by itself.
pub(super) fn checked(app: &App, asked: &Asked) -> Result<Form, Fault> {
    let refused = || {
        let detail = "this form is not of a page that this session was given; open the page again, and send it from there";
        Fault::new(ProblemCode::Forbidden, detail)
    };
    let site = asked.headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return Err(refused());
    }
    let form = Form::parse(&asked.body)?;
    let secret = match (&asked.session, &asked.caller) {
        (Some(secret), _) => secret.clone(),
        (None, Some(_)) => return Ok(form),
        (None, None) => sessions::form_secret(app, &asked.headers)?.ok_or_else(refused)?,
    };
    let wanted = secret_of(asked.endpoint.name, &secret);
    let given = form.get(CHECK).unwrap_or_default();
    if bool::from(given.as_bytes().ct_eq(wanted.as_bytes())) { Ok(form) } else { Err(refused()) }
}

/// The hidden field of a form.
pub(super) fn check_field(check: &str) -> Markup {
    html! { input type="hidden" name=(CHECK) value=(check); }
}

/// Returns a key under which a form that is sent twice is one task.
pub(super) fn fresh() -> Result<String, Fault> {
    Ok(auth::random_hex::<16>("make a form")?)
}

/// The page with the form that asks for a task, with what was sent and what is wrong with it.
pub(super) fn submit(frame: &Frame, form: &Form, problem: Option<&Problem>) -> Markup {
    let of = |name: &str| form.get(name).unwrap_or_default();
    let wrong = |field: &str| problem.is_some_and(|problem| problem.detail.contains(&format!("`{field}`")));
    frame.page("New task", html! {
        h1 { "New task" }
        @if let Some(problem) = problem { (super::frame::alert("No task was made", problem)) }
        form method="post" action="/web/new" class="stack" {
            (check_field(&frame.check("web_submit")))
            input type="hidden" name="key" value=(of("key"));
            div class="field" {
                label for="repo" { "Repository" }
                input id="repo" name="repo" required maxlength="201" autocomplete="off" spellcheck="false" autocapitalize="none"
                    aria-describedby="repo-hint" aria-invalid=[wrong("repo").then_some("true")] value=(of("repo"));
                p id="repo-hint" class="hint" { "As owner/name." }
            }
            div class="field" {
                label for="text" { "What is to be done" }
                textarea id="text" name="text" required rows="10" aria-describedby="text-hint"
                    aria-invalid=[wrong("text").then_some("true")] { "\n" (of("text")) }
                p id="text-hint" class="hint" { "In words, at most " (TEXT_CAP / 1024) " KiB. The first line is its title." }
            }
            details open[["base", "priority", "cost_usd"].iter().any(|name| !of(name).is_empty())] {
                summary { "More" }
                div class="field" {
                    label for="base" { "Start from" }
                    input id="base" name="base" maxlength="200" autocomplete="off" spellcheck="false" aria-describedby="base-hint"
                        aria-invalid=[wrong("base").then_some("true")] value=(of("base"));
                    p id="base-hint" class="hint" { "A branch, tag or commit. The default branch where it is empty." }
                }
                div class="field" {
                    label for="priority" { "Priority" }
                    input id="priority" name="priority" type="number" min="-100" max="100" aria-describedby="priority-hint"
                        aria-invalid=[wrong("priority").then_some("true")] value=(of("priority"));
                    p id="priority-hint" class="hint" { "Among the repository's own tasks, from -100 to 100; 0 where it is empty." }
                }
                div class="field" {
                    label for="cost_usd" { "Cost at most, US dollars" }
                    input id="cost_usd" name="cost_usd" type="number" min="0" step="any" aria-describedby="cost-hint"
                        aria-invalid=[wrong("cost_usd").then_some("true")] value=(of("cost_usd"));
                    p id="cost-hint" class="hint" { "It narrows what the repository's policy allows." }
                }
            }
            p { button type="submit" class="primary" { "Submit task" } }
        }
    })
}

/// Takes the task that a form asks for.
pub(super) async fn submitted(app: &Arc<App>, asked: &Asked, form: &Form) -> Answered {
    let accepted = tasks::take(app, asked, new_task(form)?, form.get("key")).await?;
    Ok(see_other(&task_path(&accepted.id)))
}

fn new_task(form: &Form) -> Result<NewTask, Fault> {
    let given = |name: &str| form.get(name).map(str::trim).filter(|value| !value.is_empty());
    let wrong =
        |name: &str, want: &str| Fault::new(ProblemCode::InvalidBody, format!("at `{name}`: want {want}"));
    let repo: RepoId = given("repo")
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| wrong("repo", "a repository as owner/name"))?;
    let priority = given("priority")
        .map_or(Ok(0), |text| text.parse().map_err(|_| wrong("priority", "a whole number")))?;
    let cost = given("cost_usd")
        .map(|text| text.parse().map_err(|_| wrong("cost_usd", "US dollars")))
        .transpose()?;
    Ok(NewTask {
        repo,
        kind: TaskKind::Change,
        // Browsers send line ends as RFC 2046 has them.
        text: form.get("text").unwrap_or_default().replace("\r\n", "\n"),
        base: given("base").map(str::to_owned),
        priority,
        not_before: None,
        supersede: None,
        needs: Vec::new(),
        cost_usd: cost,
    })
}
