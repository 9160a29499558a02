//! `gloaming policy`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::{PolicyArgs, PolicyCommand};
use crate::console::print_json;
use crate::context;
use crate::failure::{Failure, exit};

pub(crate) fn main(args: PolicyArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        PolicyCommand::Check { files, name, json } => {
            let mut diagnostics = Vec::new();
            for file in &files {
                let text = context::read_text(file, "the policy file", context::FILE_CAP)?;
                let file_name = file.display().to_string();
                let checked = gloaming_policies::parse(&file_name, &text).and_then(|parsed| {
                    let repo = name.clone().unwrap_or_else(|| parsed.example_repo());
                    gloaming_policies::Grant::resolve(
                        &repo,
                        vec![(gloaming_policies::Layer::Operator, parsed)],
                    )
                });
                if let Err(found) = checked {
                    diagnostics.extend(found);
                }
            }
            if json {
                let list: Vec<_> = diagnostics
                    .iter()
                    .map(|d| json!({"file": d.file, "line": d.line, "column": d.column, "message": d.message, "hint": d.hint}))
                    .collect();
                print_json(&json!({"ok": list.is_empty(), "files": files, "diagnostics": list}));
            } else {
                for diagnostic in &diagnostics {
                    println!("{diagnostic}");
                    if let Some(hint) = &diagnostic.hint {
                        println!("    {hint}");
                    }
                }
                if diagnostics.is_empty() {
                    println!(
                        "{} ok",
                        if files.len() == 1 { "1 file".to_owned() } else { format!("{} files", files.len()) }
                    );
                }
            }
            Ok(ExitCode::from(if diagnostics.is_empty() { exit::OK } else { exit::USE }))
        }
        PolicyCommand::Explain { policy, call, json } => {
            let repo = context::repo_name_by_hand(&policy, Path::new("."))?;
            let grant = match context::resolve_policy(&policy, &repo, None)? {
                Ok(resolved) => resolved.grant,
                Err(diagnostics) => return Err(context::bad_policy(&diagnostics)),
            };
            let explanation = grant.explain(&call).map_err(|reason| {
                Failure::usage(reason).hint("a call is a tool and a path, like \"edit src/lib.rs\"")
            })?;
            let value = serde_json::to_value(&explanation)?;
            let allowed = value["decision"] == "allow";
            if json {
                print_json(&value);
            } else {
                let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
                println!("{}: {call}", text("decision"));
                println!("  rule {} at {}:{}", text("rule"), text("file"), value["line"]);
                if !text("because").is_empty() {
                    println!("  because: {}", text("because"));
                }
                if !text("instead").is_empty() {
                    println!("  instead: {}", text("instead"));
                }
            }
            Ok(ExitCode::from(if allowed { exit::OK } else { exit::DENIED }))
        }
        PolicyCommand::Show { preset } => {
            let text = gloaming_policies::preset(&preset).ok_or_else(|| {
                Failure::usage(format!("there is no preset {preset:?}")).hint("the presets are: standard")
            })?;
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
    }
}
