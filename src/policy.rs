//! `gloaming policy`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
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
        PolicyCommand::New { repo, from, out } => new(&repo, &from, out),
        PolicyCommand::Show { preset } => {
            print!("{}", preset_text(&preset)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn preset_text(name: &str) -> Result<&'static str, Failure> {
    // As it is written in `extends`, too.
    let bare = name.strip_prefix("preset:").unwrap_or(name);
    gloaming_policies::preset(bare).ok_or_else(|| {
        Failure::usage(format!("there is no preset {name:?}"))
            .hint(format!("the presets are: {}", gloaming_policies::PRESETS.join(", ")))
    })
}

/// Writes a policy that narrows a preset, with what authors most often add as comments.
fn new(repo: &str, from: &str, out: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let text = preset_text(from)?;
    let from = from.strip_prefix("preset:").unwrap_or(from);
    // The preset's own words on what it is: its first comment, up to where the policy begins.
    let about: String =
        text.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let policy = format!("{}{about}{}", header(repo, from), include_str!("policy/new.toml"));
    let policy = policy.replace("@REPO@", repo).replace("@PRESET@", from);
    let name = out.as_ref().map_or_else(|| format!("{repo}.toml"), |out| out.display().to_string());
    // What is written loads; where not, the repository's name is to blame.
    gloaming_policies::parse(&name, &policy)
        .and_then(|file| {
            let repo = file.example_repo();
            gloaming_policies::Grant::resolve(&repo, vec![(gloaming_policies::Layer::Operator, file)])
        })
        .map_err(|_| {
            Failure::usage(format!("{repo:?} does not name a repository"))
                .hint("write `owner/name`, `owner/*` or `*`")
        })?;
    let out = out.unwrap_or_else(|| file_name(repo).into());
    if out.as_os_str() == "-" {
        print!("{policy}");
        return Ok(ExitCode::SUCCESS);
    }
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&out)
        .and_then(|mut file| file.write_all(policy.as_bytes()));
    match written {
        Ok(()) => {
            let shown = out.display();
            println!("made {shown}, which narrows preset:{from} for {repo}");
            println!("check it with: gloaming policy check {shown}");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("{} exists already", out.display()))
                .hint("name another file with --out")
                .into())
        }
        Err(error) => Err(Failure::disk(&format!("write {}", out.display()), error).into()),
    }
}

fn header(repo: &str, from: &str) -> String {
    format!(
        "# What Gloaming may do in {repo}. Made from preset:{from}; `gloaming policy show {from}` prints that.\n#\n"
    )
}

/// `acme/*` is kept in `acme-all.toml`.
fn file_name(repo: &str) -> String {
    format!("{}.toml", repo.replace('*', "all").replace('/', "-"))
}
