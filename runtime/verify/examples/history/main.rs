//! Judges real upstream fixes with their tests, and the same fixes with one line mutated: how many of the first pass,
//! and how many of the second are blocked.
//!
//! ```sh
//! make history                    # clones the projects of tests/history/fixes.toml, judges, prints a table
//! history judge FIXES CLONES RESULTS [PROJECT ...]   # what RESULTS, a line of JSON each, does not know yet
//! history table FIXES RESULTS...                     # Markdown of what they know
//! ```

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::fixes::{Fix, Fixes, Project};
use crate::judge::Bench;

mod fixes;
mod judge;
mod mutate;
mod table;

gloaming_jobs::reenter_as_helper!();

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Where a mutant differs from the fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fault {
    file: String,
    line: u32,
    operator: String,
    /// `` `a` → `b` ``.
    mutation: String,
}

/// How long one verification took, milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Times {
    /// From call to evidence.
    wall_ms: u64,
    /// The jobs it ran; those of a baseline that was there already are not counted.
    jobs_ms: u64,
}

/// One judged patch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    project: String,
    commit: String,
    /// None: the fix as it was merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    verdict: String,
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    detail: String,
    times: Times,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["judge", fixes, clones, results, projects @ ..] => {
            judge(Path::new(fixes), Path::new(clones), Path::new(results), projects).await
        }
        ["table", fixes, results @ ..] if !results.is_empty() => tell(Path::new(fixes), results),
        _ => {
            eprintln!(
                "usage: history judge FIXES CLONES RESULTS [PROJECT ...]\n       history table FIXES RESULTS..."
            );
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a program for people reads the file it is given")]
fn rows(results: &Path) -> Outcome<Vec<Row>> {
    let text = match std::fs::read_to_string(results) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read {}: {error}", results.display()).into()),
    };
    let row = |line: &str| {
        serde_json::from_str(line).map_err(|error| format!("{}: {error}", results.display()).into())
    };
    text.lines().map(row).collect()
}

fn tell(fixes: &Path, results: &[&str]) -> Outcome<()> {
    let fixes = Fixes::read(fixes)?;
    let mut all = Vec::new();
    for path in results {
        all.extend(rows(Path::new(path))?);
    }
    print!("{}", table::markdown(&fixes, &all));
    Ok(())
}

async fn judge(fixes: &Path, clones: &Path, results: &Path, wanted: &[&str]) -> Outcome<()> {
    let fixes = Fixes::read(fixes)?;
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open(results)?;
    let mut benches = Vec::new();
    for project in
        fixes.projects.iter().filter(|one| wanted.is_empty() || wanted.contains(&one.name.as_str()))
    {
        benches.push((project, Bench::new(project, clones, fixes.seed).await?));
    }
    // Every fix before the first mutant: a run that is stopped has said what matters more.
    for most in [0, fixes.mutants] {
        let known = rows(results)?;
        for (project, bench) in &benches {
            for fix in &project.fixes {
                one_fix((most, fixes.seed), project, fix, bench, &known, &mut out).await?;
            }
        }
    }
    Ok(())
}

/// Judges a fix and so many of its mutants, as far as that is not known yet. The mutants of a fix that does not pass say nothing.
async fn one_fix(
    (most, seed): (usize, u64),
    project: &Project,
    fix: &Fix,
    bench: &Bench,
    known: &[Row],
    out: &mut std::fs::File,
) -> Outcome<()> {
    let mut patches: Vec<(Option<Fault>, String)> = vec![(None, fix.commit.clone())];
    let mutants = mutate::mutants(bench.clone_dir(), &fix.commit, most, seed)?;
    patches.extend(mutants.into_iter().map(|one| (Some(one.fault), one.tree)));
    for (fault, tree) in patches {
        let verdict = match known.iter().find(|row| row.commit == fix.commit && row.fault == fault) {
            Some(row) => row.verdict.clone(),
            None => {
                let judged = bench.judge(&fix.commit, &tree).await?;
                let row = Row {
                    project: project.name.clone(),
                    commit: fix.commit.clone(),
                    fault: fault.clone(),
                    verdict: judged.verdict,
                    code: judged.code,
                    step: judged.step,
                    detail: judged.detail,
                    times: judged.times,
                };
                let mut line = serde_json::to_string(&row)?;
                line.push('\n');
                out.write_all(line.as_bytes())?;
                let step = row.step.as_deref().unwrap_or("all steps");
                eprintln!("{} {} {step}: {}", row.project, table::short(&row.commit), row.verdict);
                row.verdict
            }
        };
        if fault.is_none() && verdict != "pass" {
            break;
        }
    }
    Ok(())
}
