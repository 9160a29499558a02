//! `gloaming replay --swap`: a recorded run decided anew by other weights of the gate, or by another policy. Nothing is run:
//! the evidence of each try is in the record.

use std::process::ExitCode;

use gloaming_api::evidence::{Evidence, Verdict, VerdictKind};
use gloaming_api::journal::{AttemptStarted, Event, EventKind};
use gloaming_api::path::escape_name;
use gloaming_api::{Digest, Stage};
use gloaming_gate::Gate;
use gloaming_policies::{Grant, Past};
use serde::Serialize;
use serde_json::json;

use crate::cli::{ReplayArgs, Swap};
use crate::context;
use crate::failure::{Failure, exit};
use crate::told::print_json;

/// One verdict, then and now.
#[derive(Debug, Serialize)]
struct Again {
    /// The number of the try, from 1.
    round: usize,
    recorded: Verdict,
    now: Verdict,
}

impl Again {
    fn same(&self) -> bool {
        (self.recorded.verdict, &self.recorded.code) == (self.now.verdict, &self.now.code)
    }
}

pub(crate) fn main(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let events = crate::journal::read(&args.file)?;
    let Some(EventKind::AttemptStarted(started)) = events.first().map(|event| &event.kind) else {
        return Err(Failure::usage("the journal does not begin with an attempt").into());
    };
    let recorded = Grant::of_layers(&started.repo, &started.policy).map_err(|d| context::bad_policy(&d))?;
    let (gate, policy) = swapped(&args.swap, started, &recorded)?;
    let again = verdicts(args, &events, &gate)?;
    let past = Past::of(&args.file.display().to_string(), &events);
    let flips = policy.map(|policy| gloaming_policies::difference(&recorded, &policy, &[], &[past]).past);
    let flips = flips.unwrap_or_default();
    let same = flips.is_empty() && again.iter().all(Again::same);
    if args.json {
        print_json(&json!({"same": same, "verdicts": again, "calls": flips}));
    } else {
        for one in &again {
            println!("try {}: {}\n  now: {}", one.round, told(&one.recorded), told(&one.now));
        }
        for flip in &flips {
            let now = if flip.now_allowed { "now allowed" } else { "now denied" };
            println!("event {}: {now}: {}", flip.seq, escape_name(flip.call.as_bytes()));
        }
        println!("{}", if same { "nothing is decided otherwise" } else { "decided otherwise" });
    }
    Ok(ExitCode::from(if same { exit::OK } else { exit::BLOCK }))
}

/// Returns the gate to decide by, and the policy where there is another.
fn swapped(
    swaps: &[Swap],
    started: &AttemptStarted,
    recorded: &Grant,
) -> anyhow::Result<(Gate, Option<Grant>)> {
    let mut policy = None;
    let mut weights = None;
    for swap in swaps {
        match swap {
            Swap::Gate(file) => weights = Some(crate::gate::read_weights(file)?),
            Swap::Policy(file) => policy = Some(crate::policy::alone(file, &started.repo)?),
        }
    }
    let grant = policy.as_ref().unwrap_or(recorded);
    let gate = match weights {
        Some(weights) => crate::gate::with(weights, grant)?,
        None => crate::gate::recorded(started.weights.as_ref(), grant)?,
    };
    Ok((gate, policy))
}

/// Judges the evidence of each try again.
fn verdicts(args: &ReplayArgs, events: &[Event], gate: &Gate) -> anyhow::Result<Vec<Again>> {
    let folder = args.file.with_file_name(gloaming_worker::ARTIFACTS);
    let read = |digest: &Digest| -> anyhow::Result<Evidence> {
        let path = folder.join(format!("{}.json", digest.hex()));
        let text = context::read_text(&path, "the evidence of a try", context::RECORD_CAP)?;
        if Digest::of(&text) != *digest {
            return Err(Failure::usage(format!("{} is not what was recorded", path.display())).into());
        }
        serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{} is no evidence: {error}", path.display())).into())
    };
    let mut evidence = None;
    let mut again: Vec<Again> = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::StageFinished { stage: Stage::Verify, output: Some(digest), .. } => {
                evidence = Some(read(digest)?);
            }
            EventKind::Judged { verdict } => {
                if let Some(evidence) = evidence.take() {
                    let now = gate.judge(&evidence);
                    again.push(Again { round: again.len() + 1, recorded: verdict.clone(), now });
                }
            }
            _ => {}
        }
    }
    Ok(again)
}

fn told(verdict: &Verdict) -> String {
    let kind = if verdict.verdict == VerdictKind::Pass { "pass" } else { "no pass" };
    format!(
        "{kind} ({}), {:.2} of {:.2} needed: {}",
        verdict.code,
        verdict.confidence,
        verdict.threshold,
        escape_name(verdict.summary.as_bytes())
    )
}
