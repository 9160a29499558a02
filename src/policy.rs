//! `gloaming policy`: what authors do before anyone runs a policy.

mod author;
mod convert;
mod verify;

pub(crate) use author::alone;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gloaming_api::budget::DayCaps;
use gloaming_api::{RelPath, RepoId, TaskId};
use gloaming_policies::Diagnostic;
use gloaming_policies::units::{show_bytes, show_seconds};
use gloaming_workspace::{RepoError, Repository};
use serde_json::{Value, json};

use crate::cli::{PolicyArgs, PolicyChoice, PolicyCommand};
use crate::context::{self, Home, Resolved};
use crate::failure::{Failure, exit};
use crate::told::print_json;
use crate::told::write_new;

pub(crate) async fn main(args: PolicyArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        PolicyCommand::Check { files, name, json } => check(&files, name.as_ref(), json),
        PolicyCommand::Test { files, coverage, name, json } => {
            author::test(&files, coverage, name.as_ref(), json)
        }
        PolicyCommand::Explain { repo, policy, call, json } => {
            author::explain(repo.as_deref(), policy, &call, json)
        }
        PolicyCommand::Diff { old, new, tree, history, name, json } => {
            author::diff(&old, &new, tree.as_deref(), &history, name, json)
        }
        PolicyCommand::Learn { from, repo, out, name, json } => {
            author::learn(&from, repo.as_deref(), &out, name, json)
        }
        PolicyCommand::Verify { repo, policy, json } => verify::main(&repo, &policy, json).await,
        PolicyCommand::Schema { out } => convert::schema(&out),
        PolicyCommand::Export { cedar: _, repo, policy, out } => {
            convert::cedar(repo.as_deref(), policy, out.as_deref())
        }
        PolicyCommand::Import { from, file, out, json } => convert::import(from, &file, &out, json),
        PolicyCommand::New { repo, from, out, json } => new(&repo, &from, out, json),
        PolicyCommand::Show { preset: Some(preset), .. } => {
            print!("{}", preset_text(&preset)?);
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Show { preset: None, repo: None, policy, json: false } if policy.policy.is_none() => {
            print!("{}", preset_text("standard")?);
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Show { preset: None, repo, policy, json } => show(repo.as_deref(), policy, json),
    }
}

/// A policy with its layers, and the files of the repository it is for.
struct Subject {
    resolved: Resolved,
    repo: RepoId,
    /// Every file of the repository's commit, or of a folder that is no repository; none where only a name is known.
    tree: Vec<RelPath>,
}

/// Finds what `--repo` and `--policy` speak of. A folder's own committed policy counts, as it does in a run.
fn subject(repo: Option<&str>, mut choice: PolicyChoice) -> anyhow::Result<Subject> {
    let folder = repo.filter(|repo| Path::new(repo).is_dir()).map(Path::new);
    if let (Some(text), None) = (repo, folder) {
        let name = text.parse::<RepoId>().map_err(|error| {
            Failure::usage(format!(
                "--repo {text:?} is neither a folder nor the name of a repository: {error}"
            ))
            .hint("give a folder, or owner/name")
        })?;
        choice.name.get_or_insert(name);
    }
    let Some(folder) = folder else {
        let repo = context::repo_name_by_hand(&choice, Path::new("."))?;
        let resolved =
            context::resolve_policy(&choice, &repo, None)?.map_err(|found| context::bad_policy(&found))?;
        return Ok(Subject { resolved, repo, tree: Vec::new() });
    };
    let home = Home::open()?;
    let folder = std::path::absolute(folder)?;
    let repo = context::repo_name_by_hand(&choice, &folder)?;
    let resolved = crate::mcp::policy(&choice, &repo, &folder, &home)?;
    let resolved = resolved.map_err(|found| context::bad_policy(&found))?;
    Ok(Subject { resolved, repo, tree: tree(&home, &folder)? })
}

/// The files of a repository's commit, or of a folder that is none.
fn tree(home: &Home, folder: &Path) -> anyhow::Result<Vec<RelPath>> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", folder.display()))
            .hint("name the repository's folder")
            .into());
    }
    let work = home.work_dir(TaskId::generate().as_str())?;
    let committed = Repository::open(folder, &work.path().join("git")).and_then(|repository| {
        let base = repository.resolve(None)?;
        repository.list_files(&base)
    });
    let mut files: Vec<RelPath> = match committed {
        Ok(entries) => entries.into_iter().filter_map(|entry| entry.path).collect(),
        Err(RepoError::NotGit { .. } | RepoError::NoCommits(_) | RepoError::UnbornHead { .. }) => {
            let mut found = Vec::new();
            walk(folder, &RelPath::root(), &mut found);
            found
        }
        Err(error) => return Err(crate::run::repo_failure(error)),
    };
    files.sort();
    Ok(files)
}

/// The files below a folder that is no repository; what cannot be read is left out, as no tool could read it.
fn walk(folder: &Path, at: &RelPath, found: &mut Vec<RelPath>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(path) = at.join(&entry.file_name().to_string_lossy()) else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() != ".git" => walk(&entry.path(), &path, found),
            Ok(kind) if !kind.is_dir() => found.push(path),
            _ => {}
        }
    }
}

fn all_files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(context::policy_files(path, true)?);
    }
    Ok(files)
}

fn check(paths: &[PathBuf], name: Option<&RepoId>, json: bool) -> anyhow::Result<ExitCode> {
    let files = all_files(paths)?;
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for file in &files {
        let checked = context::load_policy(file)?.and_then(|parsed| {
            let repo = name.cloned().unwrap_or_else(|| parsed.example_repo());
            context::resolve_alone(&repo, parsed)
        });
        diagnostics.extend(checked.err().into_iter().flatten());
    }
    // A base that several extend would be told once for each.
    diagnostics.sort();
    diagnostics.dedup();
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
            println!("{} ok", counted(files.len(), "file"));
        }
    }
    Ok(ExitCode::from(if diagnostics.is_empty() { exit::OK } else { exit::USE }))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Prints what counts for a repository: the grant with its digest, or the layers it is made of.
fn show(repo: Option<&str>, choice: PolicyChoice, json: bool) -> anyhow::Result<ExitCode> {
    let mut subject = subject(repo, choice)?;
    let home = Home::open()?;
    context::equip(&home, &mut subject.resolved)?;
    let grant = &subject.resolved.grant;
    if json {
        print_json(&json!({
            "repo": subject.repo,
            "digest": grant.digest(),
            "grant": grant.to_json(),
            "notes": grant.notes(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} is let do what the grant {} says", subject.repo, grant.digest());
    for layer in &subject.resolved.layers {
        println!("  {} {}", layer.layer, layer.file);
    }
    if subject.resolved.layers.is_empty() {
        println!("  operator preset:standard");
    }
    for note in grant.notes() {
        println!("  {note}");
    }
    let budget = grant.budget();
    println!(
        "  at most ${}, {} tokens, {} steps, {} of tools' answers and {}; {} files and {} lines",
        budget.cost_usd,
        budget.tokens,
        budget.steps,
        show_bytes(budget.tool_bytes),
        show_seconds(budget.wall.as_secs()),
        grant.change().files,
        grant.change().lines
    );
    if let DayCaps { cost_usd: Some(usd), tokens: Some(tokens) } = budget.day {
        println!("  all runs on it together: at most ${usd} and {tokens} tokens a day");
    }
    println!("the whole of it: --json; one decision: gloaming policy explain");
    Ok(ExitCode::SUCCESS)
}

fn preset_text(name: &str) -> Result<&'static str, Failure> {
    // As it is written in `extends`, too.
    let bare = name.strip_prefix("preset:").unwrap_or(name);
    gloaming_policies::preset(bare).ok_or_else(|| context::no_preset(bare))
}

/// Writes a policy that narrows a preset, with what authors most often add as comments.
fn new(repo: &str, from: &str, out: Option<PathBuf>, json: bool) -> anyhow::Result<ExitCode> {
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
            context::resolve_alone(&repo, file)
        })
        .map_err(|_| {
            Failure::usage(format!("{repo:?} does not name a repository"))
                .hint("write `owner/name`, `owner/*` or `*`")
        })?;
    let out = out.unwrap_or_else(|| file_name(repo).into());
    if json && out.as_os_str() == "-" {
        print_json(&json!({"file": Value::Null, "repo": repo, "preset": from, "policy": policy}));
        return Ok(ExitCode::SUCCESS);
    }
    write_new(&out, &policy)?;
    if json {
        print_json(&json!({"file": out, "repo": repo, "preset": from, "policy": policy}));
    } else if out.as_os_str() != "-" {
        let shown = out.display();
        println!("made {shown}, which narrows preset:{from} for {repo}");
        println!("check it with: gloaming policy check {shown}");
    }
    Ok(ExitCode::SUCCESS)
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
