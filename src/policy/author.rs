//! `policy test`, `explain`, `diff` and `learn`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gloaming_api::RepoId;
use gloaming_api::journal::{Event, EventKind};
use gloaming_api::path::escape_name;
use gloaming_policies::{Change, Difference, Flip, Grant, Lesson, Past, Tested};
use serde_json::{Value, json};

use super::{Subject, counted, subject, tree};
use crate::cli::PolicyChoice;
use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::told::print_json;
use crate::told::write_new;

/// How many lines of each kind a person is shown.
const SHOWN: usize = 40;

pub(super) fn test(
    paths: &[PathBuf],
    coverage: bool,
    name: Option<&RepoId>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut all: Vec<(PathBuf, Tested)> = Vec::new();
    let mut diagnostics = Vec::new();
    for path in super::all_files(paths)? {
        let tested = context::load_policy(&path)?.and_then(|file| {
            let repo = name.cloned().unwrap_or_else(|| file.example_repo());
            gloaming_policies::run_tests(&repo, file)
        });
        match tested {
            Ok(tested) => all.push((path, tested)),
            Err(found) => diagnostics.extend(found),
        }
    }
    if !diagnostics.is_empty() {
        return Err(context::bad_policy(&diagnostics));
    }
    let failed = all.iter().flat_map(|(_, tested)| &tested.tests).filter(|test| !test.passed).count();
    let run: usize = all.iter().map(|(_, tested)| tested.tests.len()).sum();
    if json {
        let files = all.iter().map(|(path, tested)| {
            let mut object = json!({"file": path, "tests": tested.tests});
            if coverage {
                object["rules"] = json!(tested.rules);
                object["undecided"] = json!(tested.undecided);
            }
            object
        });
        print_json(
            &json!({"ok": failed == 0, "run": run, "failed": failed, "files": files.collect::<Vec<_>>()}),
        );
    } else {
        for (path, tested) in &all {
            for test in tested.tests.iter().filter(|test| !test.passed) {
                let word = |allow: bool| if allow { "allow" } else { "deny" };
                println!(
                    "{}:{}: `{}` is expected to be {}, and rule {} ({}:{}) says {}",
                    path.display(),
                    test.line,
                    test.call,
                    word(test.expect_allow),
                    test.explanation.rule,
                    test.explanation.file,
                    test.explanation.line,
                    word(!test.expect_allow),
                );
            }
            if coverage {
                for rule in &tested.undecided {
                    println!("{}:{}: rule {} decided no test", rule.file, rule.line, rule.id);
                }
                let decided = tested.rules - tested.undecided.len();
                println!("{}: {decided} of {} decided a test", path.display(), counted(tested.rules, "rule"));
            }
        }
        println!("{} run in {}, {failed} failed", counted(run, "test"), counted(all.len(), "file"));
    }
    Ok(ExitCode::from(if failed == 0 { exit::OK } else { exit::BLOCK }))
}

pub(super) fn explain(
    repo: Option<&str>,
    choice: PolicyChoice,
    call: &str,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let Subject { resolved, tree, .. } = subject(repo, choice)?;
    let grant = resolved.grant;
    let explanation = grant.explain(call).map_err(|reason| {
        Failure::usage(reason).hint("a call is a tool and a path, like \"edit src/lib.rs\"")
    })?;
    let flip = grant.flip(call, &tree).map_err(Failure::usage)?;
    let allowed = explanation.is_allow();
    let mut value = serde_json::to_value(&explanation)?;
    if json {
        value["flip"] = serde_json::to_value(&flip)?;
        print_json(&value);
    } else {
        println!("{}: {call}", if allowed { "allow" } else { "deny" });
        println!(
            "  rule {} at {}:{} ({})",
            explanation.rule,
            explanation.file,
            explanation.line,
            explanation.layer.as_str()
        );
        if !explanation.because.is_empty() {
            println!("  because: {}", explanation.because);
        }
        if let Some(instead) = &explanation.instead {
            println!("  instead: {instead}");
        }
        for rule in &explanation.warnings {
            println!(
                "  would be denied by rule {} at {}:{}, which only warns",
                rule.id, rule.file, rule.line
            );
        }
        print_flip(&flip, allowed);
    }
    Ok(ExitCode::from(if allowed { exit::OK } else { exit::DENIED }))
}

fn print_flip(flip: &Flip, allowed: bool) {
    let verb = if allowed { "deny" } else { "allow" };
    if let Some(why) = &flip.impossible {
        println!("  to {verb} it: {why}");
        return;
    }
    println!("  to {verb} it:");
    for edit in &flip.edits {
        println!("    {}:{}: {}", edit.file, edit.line, edit.edit);
        for line in edit.add.iter().flat_map(|add| add.lines()) {
            println!("      {line}");
        }
    }
    if flip.files == 0 {
        println!("  what else that changes is told with --repo DIR");
        return;
    }
    let other = if allowed { "denies" } else { "allows" };
    let of = counted(flip.files, "file");
    if flip.others_total == 0 {
        println!("  which {other} nothing else on the repository's {of}");
        return;
    }
    println!("  which also {other} {} on the repository's {of}:", counted(flip.others_total, "call"));
    for call in &flip.others {
        println!("    {}", escape_name(call.as_bytes()));
    }
    if flip.others_total > flip.others.len() {
        println!("    and {} more", flip.others_total - flip.others.len());
    }
}

/// The grant of one policy alone, for a repository.
pub(crate) fn alone(path: &Path, repo: &RepoId) -> anyhow::Result<Grant> {
    let choice = PolicyChoice { policy: Some(path.to_owned()), name: Some(repo.clone()), sent: Vec::new() };
    let resolved = context::resolve_policy(&choice, repo, None)?;
    Ok(resolved.map_err(|diagnostics| context::bad_policy(&diagnostics))?.grant)
}

pub(super) fn diff(
    old: &Path,
    new: &Path,
    folder: Option<&Path>,
    history: &[PathBuf],
    name: Option<RepoId>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let repo = match name {
        Some(name) => name,
        None if new.is_dir() => {
            return Err(Failure::usage("folders hold policies for several repositories")
                .hint("name the repository with --as OWNER/NAME")
                .into());
        }
        None => match context::load_policy(new)? {
            Ok(file) => file.example_repo(),
            Err(diagnostics) => return Err(context::bad_policy(&diagnostics)),
        },
    };
    let (old, new) = (alone(old, &repo)?, alone(new, &repo)?);
    let files = match folder {
        Some(folder) => tree(&Home::open()?, &std::path::absolute(folder)?)?,
        None => Vec::new(),
    };
    let mut past = Vec::new();
    for journal in journals(history)? {
        past.push(Past::of(&journal.display().to_string(), &crate::journal::read(&journal)?));
    }
    let found = gloaming_policies::difference(&old, &new, &files, &past);
    if json {
        let mut object = serde_json::to_value(&found)?;
        object["widens"] = found.widens().into();
        object["repo"] = json!(repo);
        print_json(&object);
    } else {
        print_difference(&found, &repo);
    }
    Ok(ExitCode::from(if found.widens() { exit::BLOCK } else { exit::OK }))
}

fn print_difference(found: &Difference, repo: &RepoId) {
    for (sign, title, list) in [("+", "gained", &found.gained), ("-", "lost", &found.lost)] {
        if list.is_empty() {
            continue;
        }
        println!("{title}:");
        for change in list.iter().take(SHOWN) {
            println!("  {sign} {}", tell(change));
        }
        if list.len() > SHOWN {
            println!("    and {} more (--json lists all)", list.len() - SHOWN);
        }
    }
    if !found.past.is_empty() {
        println!("past calls that would be decided otherwise:");
        for past in found.past.iter().take(SHOWN) {
            let sign = if past.now_allowed { "+" } else { "-" };
            println!("  {sign} {}:{} {}", past.journal, past.seq, escape_name(past.call.as_bytes()));
        }
        if found.past.len() > SHOWN {
            println!("    and {} more (--json lists all)", found.past.len() - SHOWN);
        }
    }
    let looked = format!("{} and {} of the past", counted(found.files, "file"), counted(found.calls, "call"));
    match (found.is_empty(), found.widens()) {
        (true, _) => println!("no difference for {repo} on {looked}"),
        (false, true) => println!("the new policy is wider for {repo} (looked at {looked})"),
        (false, false) => println!("the new policy is only narrower for {repo} (looked at {looked})"),
    }
}

fn tell(change: &Change) -> String {
    let of = change.of.join(", ");
    let what = escape_name(change.what.as_bytes());
    match change.kind {
        "path" if change.sample => format!("{what} ({of}; a sample, not in the tree)"),
        "path" => format!("{what} ({of})"),
        "number" | "submit" | "model" | "job" | "rule" => what,
        _ => format!("{what} for {of}"),
    }
}

/// The journals that paths name: files, or those called `*.jsonl` in folders and below.
fn journals(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut folders = vec![path.clone()];
        let before = files.len();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(_) if entry.path().extension().is_some_and(|end| end == "jsonl") => {
                        files.push(entry.path())
                    }
                    _ => {}
                }
            }
        }
        if files.len() == before {
            return Err(Failure::usage(format!("no journal (*.jsonl) is in {}", path.display()))
                .hint("runs keep theirs in the results folder under $GLOAMING_HOME, or in --out")
                .into());
        }
    }
    files.sort();
    Ok(files)
}

/// What a journal begins with, as far as learning needs it.
struct Beginning {
    repo: RepoId,
    location: String,
    grant: Option<Grant>,
}

fn beginning(events: &[Event]) -> Option<Beginning> {
    let (repo, location, policy) = match &events.first()?.kind {
        EventKind::AttemptStarted(started) => (&started.repo, &started.location, &started.policy),
        EventKind::ServingStarted(started) => (&started.repo, &started.location, &started.policy),
        _ => return None,
    };
    let grant = Grant::of_layers(repo, policy).ok();
    Some(Beginning { repo: repo.clone(), location: location.clone(), grant })
}

pub(super) fn learn(
    from: &[PathBuf],
    repo: Option<&Path>,
    out: &Path,
    name: Option<RepoId>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut past: Vec<(Past, Option<Beginning>)> = Vec::new();
    for journal in journals(from)? {
        let events = crate::journal::read(&journal)?;
        past.push((Past::of(&journal.display().to_string(), &events), beginning(&events)));
    }
    let first = past.iter().find_map(|(_, beginning)| beginning.as_ref());
    let name = match (name, first) {
        (Some(name), _) => name,
        (None, Some(first)) => first.repo.clone(),
        (None, None) => {
            return Err(Failure::usage("no journal says which repository it is of")
                .hint("--as OWNER/NAME")
                .into());
        }
    };
    let other = past.iter().find(|(_, beginning)| beginning.as_ref().is_some_and(|found| found.repo != name));
    if let (Some((past, Some(beginning))), Some(_)) = (other, first) {
        eprintln!("note: {} is of {}, and is taken for one of {name}", past.journal, beginning.repo);
    }
    let folder = repo
        .map(Path::to_owned)
        .or_else(|| first.map(|first| PathBuf::from(&first.location)).filter(|location| location.is_dir()));
    let files = match &folder {
        Some(folder) => tree(&Home::open()?, &std::path::absolute(folder)?)?,
        None => Vec::new(),
    };
    let lessons: Vec<Lesson<'_>> = past
        .iter()
        .map(|(past, beginning)| Lesson { past, grant: beginning.as_ref().and_then(|b| b.grant.as_ref()) })
        .collect();
    let learned = gloaming_policies::learn(&name, &lessons, &files);
    // What is handed out loads.
    let resolved = gloaming_policies::parse("learned.toml", &learned.policy)
        .and_then(|file| context::resolve_alone(&name, file));
    if let Err(diagnostics) = resolved {
        return Err(context::bad_policy(&diagnostics));
    }
    if json {
        if out.as_os_str() != "-" {
            write_new(out, &learned.policy)?;
        }
        let file = if out.as_os_str() == "-" { Value::Null } else { json!(out) };
        print_json(&json!({
            "file": file, "repo": name, "calls": learned.calls, "left_out": learned.left_out, "files": files.len(),
            "policy": learned.policy,
        }));
    } else {
        write_new(out, &learned.policy)?;
        for call in &learned.left_out {
            eprintln!("left out: {}", escape_name(call.as_bytes()));
        }
        if folder.is_none() {
            eprintln!(
                "note: every file is named by itself; with --repo DIR, folders that were used whole are named"
            );
        }
        if out.as_os_str() != "-" {
            println!("made {} from {}", out.display(), counted(learned.calls, "call"));
            println!(
                "read it before you use it; compare it with: gloaming policy diff OLD {}",
                out.display()
            );
        }
    }
    Ok(ExitCode::from(if learned.left_out.is_empty() { exit::OK } else { exit::BLOCK }))
}
