//! `gloaming tools`: the sandboxed tools by hand.

use std::process::ExitCode;

use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome, ToolSpec};
use gloaming_policies::Grant;
use serde_json::{Value, json};

use crate::cli::{ToolsArgs, ToolsCommand};
use crate::console::print_json;
use crate::context::{self, Home};
use crate::failure::{Failure, exit};

pub(crate) async fn main(args: ToolsArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    match args.command {
        ToolsCommand::List { policy, json } => {
            let repo = context::repo_name_by_hand(&policy, std::path::Path::new("."))?;
            let grant = operator_grant(&policy, &repo)?;
            let sandbox = context::sandbox(&home)?;
            let mut tools: Vec<ToolSpec> = sandbox.tools();
            tools.push(gloaming_worker::check::spec());
            tools.retain(|tool| grant.offers(&tool.name));
            tools.sort_by(|a, b| a.name.cmp(&b.name));
            if json {
                print_json(&json!({"tools": tools}));
            } else {
                for tool in &tools {
                    let place = if tool.component.is_some() { "component" } else { "host: container job" };
                    let writes = if tool.writes { ", writes" } else { "" };
                    println!("{} ({place}{writes})", tool.name);
                    for line in tool.description.lines() {
                        println!("    {}", line.trim());
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        ToolsCommand::Call { tool: name, workspace, args, policy, wasi, record, json } => {
            let args = if args == "-" {
                context::read_text(std::path::Path::new("-"), "the arguments")?
            } else {
                args
            };
            let args: Value = serde_json::from_str(&args).map_err(|error| {
                Failure::usage(format!("--args is not JSON: {error}"))
                    .hint("give an object, like '{\"path\": \"src/lib.rs\"}'")
            })?;
            let repo = context::repo_name_by_hand(&policy, &workspace)?;
            let grant = operator_grant(&policy, &repo)?;
            let files = context::workspace_files(&home, &workspace)?;
            let mut sandbox = context::sandbox(&home)?;
            if wasi {
                sandbox = sandbox
                    .wasi_variants()
                    .map_err(|error| Failure::infrastructure("start the WASI builds", error))?;
            }
            let outcome = match grant.permit_tool(&name) {
                Err(denial) => ToolOutcome::error(ToolError {
                    code: ToolErrorCode::Denied,
                    rule: Some(denial.rule.id),
                    message: format!("policy denies the tool {name}: {}", denial.rule.because),
                    instead: denial.instead,
                }),
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

fn operator_grant(policy: &crate::cli::PolicyChoice, repo: &gloaming_api::RepoId) -> anyhow::Result<Grant> {
    match context::resolve_policy(policy, repo, None)? {
        Ok(resolved) => Ok(resolved.grant),
        Err(diagnostics) => Err(context::bad_policy(&diagnostics)),
    }
}
