//! Reads every merged change of a repository as verification would, and says how often each signal and each rule
//! speaks: on merged history that is its rate of false alarms, or close to it.
//!
//! ```sh
//! cargo run --release -p gloaming-verify --example signals -- REPOSITORY [NUMBER]
//! ```
//!
//! `SIGNALS_EXAMPLES=new_dependencies,large_change` names the commits that were stopped, and those with these signals.
#![expect(clippy::disallowed_methods, reason = "a program for people: it asks git and reads its arguments")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode};

use gloaming_api::{Profile, RepoId};
use gloaming_policies::Grant;
use gloaming_profile::with_norms;
use gloaming_workspace::Repository;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(repository) = args.next() else {
        eprintln!("usage: signals REPOSITORY [NUMBER OF COMMITS]");
        return ExitCode::from(2);
    };
    let number = args.next().and_then(|word| word.parse().ok()).unwrap_or(400);
    match run(Path::new(&repository), number) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn git(repository: &Path, args: &[&str]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let output = Command::new("git").arg("-C").arg(repository).args(args).output()?;
    if !output.status.success() {
        return Err(format!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(output.stdout)
}

fn run(path: &Path, number: usize) -> Result<String, Box<dyn std::error::Error>> {
    let state = tempfile::tempdir()?;
    let repository = Repository::open(path, &state.path().join("git"))?;
    let grant = Grant::resolve(&RepoId::local("history"), Vec::new())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let count = number.to_string();
    let list = git(path, &["rev-list", "--no-merges", "--min-parents=1", "-n", &count, "HEAD"])?;
    let commits: Vec<String> = String::from_utf8(list)?.lines().map(str::to_owned).collect();
    // As it was known before the first of them was merged.
    let before = commits.last().map(|commit| repository.resolve(Some(&format!("{commit}^")))).transpose()?;
    let profile = before.map(|base| with_norms(Profile::empty(), &repository, &base));
    let norms = profile.and_then(|profile| profile.norms);
    let mut signals: BTreeMap<String, usize> = BTreeMap::new();
    let mut stopped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut judged, mut code, mut silent) = (0, 0, 0);
    let examples = std::env::var("SIGNALS_EXAMPLES").unwrap_or_default();
    let examples: BTreeSet<String> = examples.split(',').map(str::to_owned).collect();
    let mut told: Vec<String> = Vec::new();
    for commit in &commits {
        let base = repository.resolve(Some(&format!("{commit}^")))?;
        let diff = git(path, &["diff", "--binary", "--no-renames", base.as_str(), commit])?;
        let Ok(patch) = repository.patch_from_bytes(&base, &diff) else { continue };
        let work = tempfile::tempdir()?;
        let reading =
            gloaming_verify::read(&repository, &patch, &grant, norms.as_ref(), &work.path().join("tree"))?;
        judged += 1;
        code +=
            usize::from(patch.files.iter().any(|file| file.role == gloaming_api::evidence::FileRole::Code));
        let names: BTreeSet<&str> = reading.signals.iter().map(|signal| signal.name.as_str()).collect();
        silent += usize::from(names.is_empty() && reading.stopped.is_none());
        for signal in reading.signals.iter().filter(|signal| examples.contains(&signal.name)) {
            told.push(format!(
                "{} {}: {}:{} {}",
                &commit[..10],
                signal.name,
                signal.path,
                signal.line,
                signal.detail
            ));
        }
        for name in names {
            *signals.entry(name.to_owned()).or_default() += 1;
        }
        if let Some((step, code, detail)) = reading.stopped {
            let code = serde_json::to_value(code)?.as_str().unwrap_or_default().to_owned();
            stopped.entry(format!("{step} {code}")).or_default().push(format!("{} {detail}", &commit[..10]));
        }
    }
    let share = |count: usize| format!("{:5.1} %", 100.0 * count as f64 / f64::max(judged as f64, 1.0));
    let mut out = format!(
        "{judged} commits without merges, {code} of which change code; {} raise nothing\n",
        share(silent)
    );
    for (name, count) in &signals {
        out.push_str(&format!("signal {name:<22} {}\n", share(*count)));
    }
    for (name, commits) in &stopped {
        out.push_str(&format!("stopped by {name:<27} {}\n", share(commits.len())));
    }
    if let Some(norms) = &norms {
        let (lines, files) = (norms.lines.p95, norms.files.p95);
        out.push_str(&format!(
            "19 in 20 of {} changes before: {lines} lines, {files} files\n",
            norms.changes
        ));
    }
    for line in &told {
        out.push_str(&format!("{line}\n"));
    }
    if std::env::var_os("SIGNALS_EXAMPLES").is_some() {
        for (name, commits) in &stopped {
            for commit in commits.iter().take(15) {
                out.push_str(&format!("{name}: {commit}\n"));
            }
        }
    }
    Ok(out)
}
