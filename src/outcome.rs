//! `gloaming outcome`: what became of a run's branch, by a person's word, kept beside its journal.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use gloaming_trajectory::attempt::{Attempt, End};
use gloaming_trajectory::outcome::{Kind, Outcome};
use serde_json::json;

use crate::cli::{OutcomeArgs, OutcomeChoice};
use crate::context;
use crate::failure::Failure;
use crate::told::print_json;

/// The file, beside the journal; one line each time, and the last one counts.
const FILE: &str = "outcome.jsonl";

impl From<OutcomeChoice> for Kind {
    fn from(choice: OutcomeChoice) -> Self {
        match choice {
            OutcomeChoice::Merged => Self::Merged,
            OutcomeChoice::Closed => Self::Closed,
            OutcomeChoice::Reverted => Self::Reverted,
        }
    }
}

pub(crate) fn main(args: &OutcomeArgs) -> anyhow::Result<ExitCode> {
    let attempt = attempt(&args.out)?;
    let before = read(&args.out, &attempt)?;
    let Some(choice) = args.outcome else {
        show(before.as_ref(), args.json);
        return Ok(ExitCode::SUCCESS);
    };
    let End::Branch { patch, .. } = &attempt.end else {
        return Err(Failure::usage(format!("{} did not end in a branch", args.out.display()))
            .hint("only what was published can be merged, closed or reverted")
            .into());
    };
    let outcome = Outcome {
        outcome: choice.into(),
        reason: args.reason.clone(),
        at: context::now().to_string(),
        journal: attempt.head.clone(),
        patch: patch.clone(),
    };
    let path = args.out.join(FILE);
    let disk = |error| Failure::disk(&format!("write {}", path.display()), error);
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).map_err(disk)?;
    file.write_all(format!("{}\n", serde_json::to_string(&outcome)?).as_bytes()).map_err(disk)?;
    show(Some(&outcome), args.json);
    Ok(ExitCode::SUCCESS)
}

fn show(outcome: Option<&Outcome>, json: bool) {
    if json {
        print_json(&json!({"recorded": outcome}));
        return;
    }
    match outcome {
        None => println!("no outcome is recorded"),
        Some(outcome) => {
            let reason = outcome.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            println!("{} ({}){reason}", outcome.outcome.as_str(), outcome.at);
        }
    }
}

/// Reads the attempt in an out folder; a journal that is not whole is an error that names it.
pub(crate) fn attempt(out: &Path) -> anyhow::Result<Attempt> {
    let file = out.join("journal.jsonl");
    let events = crate::journal::read(&file)?;
    Attempt::of(&events).map_err(|error| {
        Failure::usage(format!("{}: {error}", file.display())).hint("name the out folder of a run").into()
    })
}

/// Returns what was recorded last of an attempt.
///
/// # Errors
/// The file is not of this form, or is about another journal.
pub(crate) fn read(out: &Path, attempt: &Attempt) -> anyhow::Result<Option<Outcome>> {
    let path = out.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = context::read_text(&path, "the outcome", context::FILE_CAP)?;
    let mut last: Option<Outcome> = None;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), index + 1);
        let outcome: Outcome = serde_json::from_str(line)
            .map_err(|error| Failure::usage(format!("{place}: no outcome: {error}")))?;
        if outcome.journal != attempt.head {
            return Err(Failure::usage(format!("{place}: the outcome is about another journal"))
                .hint("record it again with `gloaming outcome`")
                .into());
        }
        last = Some(outcome);
    }
    Ok(last)
}
