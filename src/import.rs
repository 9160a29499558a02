//! `gloaming import`: what another agent did, made again with our tools on the commit it began from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::TaskId;
use gloaming_api::path::escape_name;
use gloaming_api::tool::ToolOutcome;
use gloaming_policies::Grant;
use gloaming_sandbox::{Files, Sandbox};
use gloaming_trajectory::recorded::{Fate, Recording, Report, Row, Tools, replay};
use gloaming_worker::GitBase;
use gloaming_workspace::Repository;
use serde_json::{Value, json};

use crate::cli::{ImportArgs, ImportCommand, ImportTrajArgs};
use crate::context::{self, Home};
use crate::failure::{Failure, exit, in_one_line};
use crate::run::{policy_at, repo_failure};
use crate::told::print_json;
use crate::told::{pretty, write};

/// Bytes of a trajectory that is read.
const MOST: u64 = 256 << 20;

pub(crate) async fn main(args: ImportArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ImportCommand::Traj(args) => tokio::task::spawn_blocking(move || traj(&args)).await?,
    }
}

fn traj(args: &ImportTrajArgs) -> anyhow::Result<ExitCode> {
    let text = context::read_text(&args.file, "the trajectory", MOST)?;
    let recording = Recording::parse(&text).map_err(|error| {
        let error = in_one_line(&error.into());
        Failure::usage(format!("{}: {error}", args.file.display()))
    })?;
    let out = args.out.as_deref().map(new_folder).transpose()?;
    let home = Home::open()?;
    let work = home.work_dir(TaskId::generate().as_str())?;
    let folder = std::path::absolute(&args.repo)?;
    let repository = Repository::open(&folder, &work.path().join("git")).map_err(repo_failure)?;
    let base = repository.resolve(args.base.as_deref()).map_err(repo_failure)?;
    let repo = context::repo_name_by_hand(&args.policy, &folder)?;
    let mut resolved = policy_at(&args.policy, &repo, &repository, &base)?
        .map_err(|diagnostics| context::bad_policy(&diagnostics))?;
    let sandbox = context::equip(&home, &mut resolved)?;
    let checkout = repository.checkout(&base, &work.path().join("workspace")).map_err(repo_failure)?;
    let files = Files::open(checkout.dir())
        .map_err(|error| Failure::infrastructure("open the workspace", error))?
        .with_base(Arc::new(GitBase::of(repository.clone(), base.clone())));
    let mut tools = Lane { sandbox, files, grant: resolved.grant };
    let report = replay(&recording, &mut tools);
    if let Some(out) = &out {
        let patch = repository.freeze(&checkout).map_err(repo_failure)?;
        write(out, "report.json", pretty(&report).as_bytes())?;
        write(out, "report.md", markdown(&report).as_bytes())?;
        write(out, "patch.diff", &patch.diff)?;
    }
    if args.json {
        let mut object = serde_json::to_value(&report)?;
        object["explained"] = json!(report.is_explained());
        object["base"] = json!(base.as_str());
        object["out"] = json!(out);
        print_json(&object);
    } else {
        tell(&report);
        if let Some(out) = &out {
            println!("out     {}", out.display());
        }
    }
    Ok(ExitCode::from(if report.is_explained() { exit::OK } else { exit::BLOCK }))
}

/// The tool lane of a replay: each call in a fresh sandbox, under the grant.
struct Lane {
    sandbox: Sandbox,
    files: Files,
    grant: Grant,
}

impl Tools for Lane {
    fn call(&mut self, tool: &str, args: &Value) -> ToolOutcome {
        match self.grant.permit_tool(tool) {
            Ok(permit) => self.sandbox.call(&permit, &self.files, args).outcome,
            Err(denial) => ToolOutcome::error(denial.of_tool(tool)),
        }
    }
}

/// Makes a folder for results, which must not hold anything yet.
pub(crate) fn new_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let disk = |error| Failure::disk(&format!("make the folder {}", path.display()), error);
    std::fs::create_dir_all(&path).map_err(disk)?;
    if std::fs::read_dir(&path).map_err(disk)?.next().is_some() {
        return Err(Failure::usage(format!("{} is not empty", path.display()))
            .hint("name a new folder; nothing is overwritten")
            .into());
    }
    Ok(path)
}

fn tell(report: &Report) {
    let safe = |text: &str| escape_name(text.as_bytes());
    for row in &report.rows {
        println!("{:>4}  {}", row.step, safe(&row.theirs));
        for call in &row.ours {
            println!("      -> {}", safe(call));
        }
        println!("      {}", safe(&verdict(row)));
    }
    println!();
    for (fate, count) in &report.fates {
        println!("{:<14} {count}", fate.as_str());
    }
    for (reason, count) in &report.reasons {
        println!("\n{} ({count}): {}", reason.as_str(), reason.because());
    }
}

fn verdict(row: &Row) -> String {
    let mut text = row.fate.as_str().replace('_', " ");
    if row.fate == Fate::OutOfReach {
        text.push_str(" by design");
    }
    if let Some(reason) = row.reason {
        text.push_str(&format!(": {}", reason.as_str()));
    }
    if !row.detail.is_empty() {
        text.push_str(&format!(" ({})", row.detail));
    }
    text
}

fn markdown(report: &Report) -> String {
    let cell = |text: &str| escape_name(text.replace('|', "\\|").as_bytes());
    let mut text = String::from("| step | call | mapped to | result |\n| --- | --- | --- | --- |\n");
    for row in &report.rows {
        let ours: Vec<String> = row.ours.iter().map(|call| format!("`{}`", cell(call))).collect();
        text.push_str(&format!(
            "| {} | `{}` | {} | {} |\n",
            row.step,
            cell(&row.theirs),
            ours.join("<br>"),
            cell(&verdict(row))
        ));
    }
    text.push_str("\n| reason | calls | |\n| --- | --- | --- |\n");
    for (reason, count) in &report.reasons {
        text.push_str(&format!("| {} | {count} | {} |\n", reason.as_str(), reason.because()));
    }
    text
}
