//! What is done for each endpoint of the table.

pub(crate) mod git;
mod hooks;
pub(crate) mod leases;
pub(crate) mod repos;
pub(crate) mod seeing;
pub(crate) mod stream;
pub(crate) mod tasks;
mod tokens;

use std::sync::Arc;

use gloaming_api::problem::ProblemCode;

use crate::answer::{Answered, Fault};
use crate::app::{App, Asked};
use crate::web;

/// Does what is asked for.
pub(crate) async fn handle(app: &Arc<App>, asked: &mut Asked) -> Answered {
    match asked.endpoint.name {
        "submit_task" => tasks::submit(app, asked).await,
        "list_tasks" => tasks::list(app, asked).await,
        "show_task" => tasks::show(app, asked).await,
        "watch_task" => stream::watch(app, asked).await,
        "task_patch" => tasks::patch(app, asked).await,
        "task_evidence" => tasks::evidence(app, asked).await,
        "task_trajectory" => stream::trajectory(app, asked).await,
        "task_artifact" => tasks::artifact(app, asked).await,
        "task_verdict" => tasks::verdict(app, asked).await,
        "cancel_task" => tasks::cancel(app, asked).await,
        "retry_task" => tasks::retry(app, asked).await,
        "repo_policy" => repos::policy(app, asked).await,
        "repo_explain" => repos::explain(app, asked).await,
        "onboard_repo" => tasks::onboard(app, asked).await,
        "repo_profile" => repos::profile(app, asked).await,
        "lease" => leases::lease(app, asked).await,
        "renew_lease" => leases::renew(app, asked).await,
        "lease_events" => leases::events(app, asked).await,
        "lease_artifact" => leases::artifact(app, asked).await,
        "lease_profile" => leases::profile(app, asked).await,
        "lease_result" => leases::result(app, asked).await,
        "release_lease" => leases::release(app, asked).await,
        "lease_git_refs" => git::refs(app, asked).await,
        "create_token" => tokens::create(app, asked).await,
        "list_tokens" => tokens::list(app).await,
        "revoke_token" => tokens::revoke(app, asked).await,
        "stats" => seeing::stats(app, asked).await,
        "livez" => Ok(seeing::live()),
        "readyz" => seeing::ready(app).await,
        "metrics" => Ok(seeing::metrics(app)),
        "openapi" => Ok(seeing::openapi()),
        "dead_effects" => seeing::dead(app).await,
        "revive_effect" => seeing::revive(app, asked).await,
        "hook_github" => hooks::github(app, asked).await,
        "hook_slack_commands" => hooks::slack_command(app, asked).await,
        "hook_slack_events" => hooks::slack_event(app, asked).await,
        name if name.starts_with("web_") => web::handle(app, asked).await,
        // A test asks for every endpoint of the table.
        name => Err(Fault::new(ProblemCode::Internal, format!("{name} is in the table and nobody does it"))),
    }
}
