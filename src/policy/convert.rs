//! `policy schema`, `export` and `import`.

use std::path::Path;
use std::process::ExitCode;

use gloaming_policies::{ImportSource, Imported, NoteKind};
use serde_json::{Value, json};

use super::subject;
use crate::cli::{Agent, PolicyChoice};
use crate::context;
use crate::failure::{Failure, exit};
use crate::told::print_json;
use crate::told::write_new;

pub(super) fn schema(out: &Path) -> anyhow::Result<ExitCode> {
    let mut text = serde_json::to_string_pretty(&gloaming_policies::schema())?;
    text.push('\n');
    write_new(out, &text)?;
    if out.as_os_str() != "-" {
        println!("made {}; a policy names it in its first line: #:schema {}", out.display(), out.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn cedar(
    repo: Option<&str>,
    choice: PolicyChoice,
    out: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let subject = subject(repo, choice)?;
    let exported =
        subject.resolved.grant.to_cedar().map_err(|diagnostics| context::bad_policy(&diagnostics))?;
    for note in &exported.notes {
        eprintln!("note: {note}");
    }
    match out.filter(|out| out.as_os_str() != "-") {
        None => print!("{}", exported.policies),
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::disk(&format!("make the folder {}", folder.display()), error))?;
            let (policies, schema) = (folder.join("policy.cedar"), folder.join("policy.cedarschema"));
            if let Some(there) = [&policies, &schema].into_iter().find(|file| file.exists()) {
                return Err(Failure::usage(format!("{} exists already", there.display()))
                    .hint("name another folder with --out")
                    .into());
            }
            write_new(&policies, &exported.policies)?;
            write_new(&schema, &exported.schema)?;
            println!("made {} and {}", policies.display(), schema.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn import(from: Agent, file: &Path, out: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let text = context::read_text(file, "the permissions", context::FILE_CAP)?;
    let name = file.display().to_string();
    let imported = match from {
        Agent::Claude => gloaming_policies::import(ImportSource::Claude, &name, &text),
        Agent::Codex => gloaming_policies::import(ImportSource::Codex, &name, &text),
        Agent::Gemini => gloaming_policies::import(ImportSource::Gemini, &name, &text),
        Agent::Goose => {
            let value = gloaming_profile::yaml_value(&text).ok_or_else(|| {
                Failure::usage(format!("{name} is not YAML")).hint("goose keeps it in permission.yaml")
            })?;
            gloaming_policies::import_goose(&name, &text, &value)
        }
    };
    let imported = imported.map_err(|diagnostics| {
        let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        let hint = diagnostics.first().and_then(|found| found.hint.clone()).unwrap_or_default();
        Failure::usage(format!("cannot import {name}\n{}", lines.join("\n"))).hint(hint)
    })?;
    if json {
        if out.as_os_str() != "-" {
            write_new(out, &imported.policy)?;
        }
        let file = if out.as_os_str() == "-" { Value::Null } else { json!(out) };
        print_json(&json!({"file": file, "policy": imported.policy, "notes": imported.notes}));
        return Ok(ExitCode::from(exit::OK));
    }
    write_new(out, &imported.policy)?;
    report(&imported, out);
    Ok(ExitCode::from(exit::OK))
}

/// What carried over and what did not; beside the policy where that is printed.
fn report(imported: &Imported, out: &Path) {
    let to_screen = out.as_os_str() != "-";
    let say = |line: String| if to_screen { println!("{line}") } else { eprintln!("{line}") };
    for (kind, title) in [
        (NoteKind::NotCarried, "not carried over"),
        (NoteKind::Inert, "did nothing where it came from"),
        (NoteKind::Changed, "carried over as something else"),
    ] {
        let notes: Vec<_> = imported.notes.iter().filter(|note| note.kind == kind).collect();
        if notes.is_empty() {
            continue;
        }
        say(format!("{title}:"));
        for note in notes {
            say(format!("  {}:{}: {}: {}", note.file, note.line, note.source, note.message));
        }
    }
    let count = |kind: NoteKind| imported.notes.iter().filter(|note| note.kind == kind).count();
    say(format!(
        "{} carried over, {} changed, {} inert, {} not carried over",
        count(NoteKind::Carried),
        count(NoteKind::Changed),
        count(NoteKind::Inert),
        count(NoteKind::NotCarried),
    ));
    if to_screen {
        say(format!("made {}; read it, then: gloaming policy check {}", out.display(), out.display()));
    }
}
