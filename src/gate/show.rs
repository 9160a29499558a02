//! `gloaming gate show`: what patches and tasks are judged by here.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::with;
use crate::cli::{GateShowArgs, WeightsOf};
use crate::context::{self, Home};
use crate::failure::exit;
use crate::told::print_json;

/// Prints what patches are judged by here.
pub(super) fn show(args: &GateShowArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let folder = std::path::absolute(&args.repo)?;
    let repo = context::repo_name(&args.policy, &folder);
    // The repository's own policy counts here as everywhere.
    let resolved = crate::mcp::policy(&args.policy, &repo, &folder, &home)?
        .map_err(|found| context::bad_policy(&found))?;
    let weights = args.of.in_use(&home)?;
    let file = home.data.join(args.of.file());
    let own = weights != *args.of.built_in();
    let place = if own { json!(file) } else { Value::Null };
    let mut object = json!({
        "repo": repo, "file": place, "calibrated": weights.calibrated(), "digest": weights.digest(),
        "threshold": gloaming_gate::triage::THRESHOLD, "weights": weights,
    });
    let needed = match args.of {
        WeightsOf::Tasks => {
            format!("a score of {:.2} is needed for a task to be begun", gloaming_gate::triage::THRESHOLD)
        }
        WeightsOf::Patches => {
            let costs = with(weights.clone(), &resolved.grant)?.costs;
            object["cost_ratio"] = json!(f64::from(costs));
            object["threshold"] = json!(costs.threshold());
            format!(
                "a score of {:.2} is needed, since a bad pull request costs {} times what a good one gains",
                costs.threshold(),
                f64::from(costs)
            )
        }
    };
    if args.json {
        print_json(&object);
        return Ok(ExitCode::from(exit::OK));
    }
    let place = if own { file.display().to_string() } else { "this build's".to_owned() };
    println!("weights: {place}, {}", weights.digest());
    match weights.fit() {
        Some(report) if weights.calibrated() => {
            println!("calibrated on {} outcomes, {} of them merged", report.outcomes, report.merged);
        }
        _ => println!("not calibrated: a score is no probability of a merge"),
    }
    println!("{repo}: {needed}");
    if !own {
        let of = match args.of {
            WeightsOf::Patches => "",
            WeightsOf::Tasks => "--of tasks ",
        };
        println!("weights of your own: gloaming gate fit {of}OUTCOMES --out {}", file.display());
    }
    println!("\n  weight      cap  feature");
    let other = [("other".to_owned(), weights.other())];
    let rows = weights.features().iter().map(|(name, weight)| (name.clone(), *weight)).chain(other);
    for (name, weight) in rows {
        println!("{:>8.3} {:>8}  {name}", weight.weight, weight.cap);
    }
    println!("{:>8.3} {:>8}  bias", weights.bias(), "");
    Ok(ExitCode::from(exit::OK))
}
