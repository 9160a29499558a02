//! `gloaming gate`: fits the weights of the score to what became of patches.

use std::path::Path;
use std::process::ExitCode;

use gloaming_gate::fit::{self, Options, Report, fit};
use gloaming_gate::weights::{Weights, built_in};
use serde_json::{Value, json};

use crate::cli::{FitArgs, GateArgs, GateCommand};
use crate::console::print_json;
use crate::context;
use crate::failure::{Failure, exit, in_one_line};
use crate::keys;

/// The largest file of outcomes, bytes: sealed evidence is large.
const DATA_CAP: u64 = 4 << 30;

pub(crate) fn main(args: GateArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        GateCommand::Fit(args) => main_fit(&args),
    }
}

fn main_fit(args: &FitArgs) -> anyhow::Result<ExitCode> {
    let text = context::read_text(&args.data, "the outcomes", DATA_CAP)?;
    let key = args.key.as_deref().map(keys::read_public).transpose()?;
    let template = match &args.from {
        Some(path) => read_weights(path)?,
        None => built_in().clone(),
    };
    let outcomes = fit::outcomes(&text, key.as_ref()).map_err(|error| {
        Failure::usage(format!("{}: {}", args.data.display(), in_one_line(&error.into())))
            .hint("docs/verification.md has the form of the file, under \"Fitting the weights\"")
    })?;
    let options = Options { l2: args.l2, folds: args.folds, ..Options::default() };
    let weights = fit(&template, &outcomes, &options).map_err(|error| {
        Failure::usage(format!("{} cannot be fitted to: {}", args.data.display(), in_one_line(&error.into())))
    })?;
    let text = crate::run::pretty(&weights);
    let to_screen = args.out.as_os_str() == "-";
    if !(args.json && to_screen) {
        crate::policy::write_new(&args.out, &text)?;
    }
    if args.json {
        let file = if to_screen { Value::Null } else { json!(args.out) };
        print_json(&json!({"file": file, "calibrated": weights.calibrated(), "weights": weights}));
    } else if let Some(report) = weights.fit() {
        let told = tell(&weights, report);
        // Beside the weights where these are printed.
        if to_screen { eprint!("{told}") } else { println!("{told}made {}", args.out.display()) }
    }
    Ok(ExitCode::from(exit::OK))
}

fn read_weights(path: &Path) -> anyhow::Result<Weights> {
    let text = context::read_text(path, "the weights", context::FILE_CAP)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} holds no weights: {error}", path.display())).into())
}

fn tell(weights: &Weights, report: &Report) -> String {
    let mut text = format!(
        "{} outcomes, {} merged; data {}\n\n{:<18} {:>8} {:>12}\n",
        report.outcomes, report.merged, report.data, "", "weights", "share alone"
    );
    for (name, by_weights, by_share) in [
        ("Brier score", report.brier, report.brier_of_share),
        ("logarithmic loss", report.log_loss, report.log_loss_of_share),
    ] {
        text.push_str(&format!("{name:<18} {by_weights:>8.4} {by_share:>12.4}\n"));
    }
    text.push_str(&format!(
        "on outcomes left out of the fit, {} folds; calibration error {:.3}\n\npredicted      mean   merged  outcomes\n",
        report.folds,
        report.calibration_error()
    ));
    for bin in &report.reliability {
        text.push_str(&format!(
            "{:.2} to {:.2}   {:>5.3}   {:>6.3}  {:>8}\n",
            bin.from, bin.to, bin.predicted, bin.merged, bin.outcomes
        ));
    }
    text.push_str("\n  weight      cap  seen in  feature\n");
    let other = [("other".to_owned(), weights.other())];
    let rows = weights.features().iter().map(|(name, weight)| (name.clone(), *weight)).chain(other);
    for (name, weight) in rows {
        let seen = report.seen.get(&name).copied().unwrap_or(0);
        let kept = if seen == 0 { " (as before: no outcome shows it)" } else { "" };
        text.push_str(&format!("{:>8.3} {:>8} {seen:>8}  {name}{kept}\n", weight.weight, weight.cap));
    }
    text.push_str(&format!("{:>8.3} {:>8} {:>8}  bias\n\n", weights.bias(), "", ""));
    text.push_str(if weights.calibrated() {
        "calibrated: yes\n"
    } else {
        "calibrated: no, they predict no better than the share of merged outcomes does\n"
    });
    text
}
