//! `gloaming tools`: the sandboxed tools by hand. What is about registered ones is in `registered`, `new` in
//! `template`.

use std::path::Path;
use std::process::ExitCode;

use gloaming_api::RepoId;
use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome, ToolSpec};
use gloaming_jobs::{Cancel, JobError, NoEngine};
use gloaming_policies::Grant;
use gloaming_profile::Dependencies;
use gloaming_sandbox::StoredComponent;
use gloaming_workspace::{RepoError, Repository};
use serde_json::{Value, json};

use crate::cli::{ToolsArgs, ToolsCommand};
use crate::console::Console;
use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::known::{Known, bad_corrections};
use crate::registered::{self, Source};
use crate::run::{cancel_on_signal, repo_failure};
use crate::supplies::SetUp;
use crate::template;
use crate::told::print_json;

pub(crate) async fn main(args: ToolsArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    match args.command {
        ToolsCommand::List { policy, json } => {
            let repo = context::repo_name_by_hand(&policy, Path::new("."))?;
            let grant = operator_grant(&policy, &repo)?;
            list(&home, &grant, json)
        }
        ToolsCommand::Describe { tool, wit, json } => {
            registered::describe(&home, &tool, wit.as_deref(), json)
        }
        ToolsCommand::Add { file, wit, replace, json } => {
            registered::add(&home, &file, wit.as_deref(), replace, json)
        }
        ToolsCommand::Remove { tool } => registered::remove(&home, &tool),
        ToolsCommand::New { name, lang } => template::main(&name, lang),
        ToolsCommand::Call { tool: name, workspace, args, policy, wasi, record, json } => {
            let args = if args == "-" {
                context::read_text(Path::new("-"), "the arguments", context::FILE_CAP)?
            } else {
                args
            };
            let args: Value = serde_json::from_str(&args).map_err(|error| {
                Failure::usage(format!("--args is not JSON: {error}"))
                    .hint("give an object, like '{\"path\": \"src/lib.rs\"}'")
            })?;
            let repo = context::repo_name_by_hand(&policy, &workspace)?;
            // The repository's own policy counts here as everywhere.
            let grant = crate::mcp::policy(&policy, &repo, &std::path::absolute(&workspace)?, &home)?
                .map_err(|diagnostics| context::bad_policy(&diagnostics))?
                .grant;
            let files = context::workspace_files(&home, &workspace)?;
            // Loading the other tools would take longer than the call.
            let mut sandbox = match context::built_in_tool(&home, &name)? {
                Some(sandbox) => sandbox,
                None => {
                    let (sandbox, missing) = registered::sandbox(&home, &grant)?;
                    if let Some(missing) = missing.into_iter().find(|missing| missing.tool == name) {
                        return Err(missing.failure().into());
                    }
                    sandbox
                }
            };
            if wasi {
                sandbox = sandbox
                    .wasi_variants()
                    .map_err(|error| Failure::infrastructure("start the WASI builds", error))?;
            }
            let outcome = match grant.permit_tool(&name) {
                Err(denial) => {
                    let mut error = denial.of_tool(&name);
                    error.instead = error.instead.or_else(|| not_known(&home, &grant, &name));
                    ToolOutcome::error(error)
                }
                Ok(_) if name == CHECK => check(&home, &grant, &repo, &workspace, &args, record).await?,
                Ok(permit) => {
                    let call =
                        tokio::task::spawn_blocking(move || sandbox.call(&permit, &files, &args)).await?;
                    for line in &call.log {
                        tracing::warn!(tool = %name, "{line}");
                    }
                    if record {
                        eprintln!("{}", serde_json::to_string(&call.record)?);
                    }
                    call.outcome
                }
            };
            if json {
                print_json(&outcome);
            } else if outcome.ok {
                let text = outcome.for_model();
                print!("{text}{}", if text.ends_with('\n') { "" } else { "\n" });
            } else {
                eprintln!("{}", outcome.for_model());
            }
            Ok(ExitCode::from(if outcome.ok { exit::OK } else { exit::DENIED }))
        }
    }
}

fn list(home: &Home, grant: &Grant, json: bool) -> anyhow::Result<ExitCode> {
    let (sandbox, missing) = registered::sandbox(home, grant)?;
    let components = registered::store(home).components().map_err(registered::told)?;
    let source = |tool: &ToolSpec| match &tool.component {
        None => Source::Host,
        Some(digest) => components
            .iter()
            .find(|component| component.digest == *digest)
            .map_or(Source::BuiltIn, Source::Registered),
    };
    let mut tools: Vec<ToolSpec> = sandbox.tools();
    tools.push(gloaming_worker::check::spec());
    tools.retain(|tool| grant.offers(&tool.name));
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let not_allowed: Vec<(&str, &StoredComponent)> = components
        .iter()
        .flat_map(|component| component.tools.iter().map(move |tool| (tool.as_str(), component)))
        .filter(|(tool, _)| !grant.offers(tool))
        .collect();
    if json {
        let tools = tools.iter().map(|tool| {
            let mut object = serde_json::to_value(tool)?;
            object["source"] = source(tool).json();
            Ok(object)
        });
        let not_allowed = not_allowed.iter().map(|(tool, component)| {
            json!({"name": tool, "component": component.digest, "source": Source::Registered(component).json()})
        });
        print_json(&json!({
            "tools": tools.collect::<Result<Vec<Value>, serde_json::Error>>()?,
            "not_available": missing
                .iter()
                .map(|missing| json!({"name": missing.tool, "why": missing.why}))
                .collect::<Vec<_>>(),
            "not_allowed": not_allowed.collect::<Vec<_>>(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    for tool in &tools {
        let writes = if tool.writes { ", writes" } else { "" };
        println!("{} ({}{writes})", tool.name, source(tool).words());
        for line in tool.description.lines() {
            println!("    {}", line.trim());
        }
    }
    for missing in &missing {
        eprintln!("not available: {}: {}", missing.tool, missing.why);
    }
    for (tool, component) in not_allowed {
        println!("{tool} ({}; not allowed by this policy)", Source::Registered(component).words());
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do about a registered tool that no file of the operator's knows.
fn not_known(home: &Home, grant: &Grant, name: &str) -> Option<String> {
    let known = grant.declared_tools().iter().any(|tool| tool.name == name);
    let components = registered::store(home).components().ok()?;
    let component = components.iter().find(|component| component.tools.iter().any(|tool| tool == name))?;
    (!known).then(|| {
        format!(
            "The tool is registered; the operator's policy must name it: a table [[tool]] with name = {name:?} and \
             digest = \"{}\", and an [[allow]] rule.",
            component.digest
        )
    })
}

/// The one tool that is no component: a container job on a copy of the folder.
const CHECK: &str = "check";

async fn check(
    home: &Home,
    grant: &Grant,
    repo: &RepoId,
    workspace: &Path,
    args: &Value,
    record: bool,
) -> anyhow::Result<ToolOutcome> {
    let no_engine = |error: NoEngine| {
        let message = format!("no container engine works here: {}", error.reason);
        let instead = Some(error.hint).filter(|hint| !hint.is_empty());
        ToolOutcome::error(ToolError { instead, ..ToolError::new(ToolErrorCode::Internal, message) })
    };
    // A job's folders are no links.
    let workspace = workspace.canonicalize().map_err(|error| {
        Failure::usage(format!("cannot open the workspace {}: {error}", workspace.display()))
    })?;
    let work = home.work_dir(gloaming_api::TaskId::generate().as_str())?;
    let unfilled = crate::network::unfilled(home, grant)?;
    if !unfilled.is_empty() {
        return Err(context::bad_policy(&unfilled));
    }
    let lane = crate::engine::open(home, grant, None, None).await?;
    let engine = match lane.engine {
        Ok(engine) => engine,
        Err(error) => return Ok(no_engine(error)),
    };
    let cancel = Cancel::new();
    cancel_on_signal(&cancel);
    let known = Known::open(home, repo, None)?;
    let known = |dir: &Path| known.profile(dir, grant, lane.environment.digest()).map_err(bad_corrections);
    let profile = known(&workspace)?;
    let supplies = crate::supplies::open(home, repo, &workspace.to_string_lossy())?;
    // What is fetched is the commit's, as for an attempt: what else lies in the folder has no part in what others find.
    let base = work.path().join("base");
    let dependencies = if check_out_head(&workspace, &work.path().join("git"), &base)? {
        let set_up = SetUp {
            supplies: &supplies,
            profile: &known(&base)?,
            grant,
            engine: engine.as_ref(),
            environment: lane.environment.digest(),
            tree: &base,
            work_dir: &work.path().join("setup"),
        };
        set_up.run(&Console::new(), &cancel).await?
    } else {
        Dependencies::default()
    };
    let bench = gloaming_worker::check::Bench {
        grant,
        profile: &profile,
        engine: engine.as_ref(),
        provision: Some(crate::supplies::provision(&supplies, Some(&dependencies))),
        workspace,
        work_dir: work.path().join("check"),
        cancel: &cancel,
    };
    let called = gloaming_worker::check::call(&bench, args).await;
    if cancel.is_cancelled() {
        return Err(Failure::cancelled("cancelled").into());
    }
    match called {
        Ok((outcome, job)) => {
            if let Some(job) = job.filter(|_| record) {
                eprintln!("{}", serde_json::to_string(&job)?);
            }
            Ok(outcome)
        }
        Err(JobError::NoEngine(error)) => Ok(no_engine(error)),
        Err(error) => Err(Failure::infrastructure("run the job", error).into()),
    }
}

/// Checks out the commit that a folder's HEAD names; false where there is none.
fn check_out_head(folder: &Path, git: &Path, into: &Path) -> anyhow::Result<bool> {
    let repository = match Repository::open(folder, git) {
        Ok(repository) => repository,
        Err(RepoError::NotGit { .. } | RepoError::NoCommits(_)) => return Ok(false),
        Err(error) => return Err(repo_failure(error)),
    };
    match repository.resolve(None) {
        Ok(base) => repository.checkout(&base, into).map_err(repo_failure)?,
        Err(RepoError::UnbornHead { .. }) => return Ok(false),
        Err(error) => return Err(repo_failure(error)),
    };
    Ok(true)
}

fn operator_grant(policy: &crate::cli::PolicyChoice, repo: &gloaming_api::RepoId) -> anyhow::Result<Grant> {
    match context::resolve_policy(policy, repo, None)? {
        Ok(resolved) => Ok(resolved.grant),
        Err(diagnostics) => Err(context::bad_policy(&diagnostics)),
    }
}
