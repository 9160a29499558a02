//! `gloaming gate`: what patches are judged by, and fitting its weights to what became of them.
#![cfg_attr(not(feature = "worker"), expect(dead_code, reason = "attempts and patches are the worker's"))]

#[cfg(feature = "worker")]
mod show;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::Judge;
use gloaming_gate::Gate;
use gloaming_gate::fit::{self, Options, Report, fit};
use gloaming_gate::weights::{CostRatio, Weights, built_in};
use gloaming_policies::Grant;
use serde_json::{Value, json};

use crate::cli::{FitArgs, GateArgs, GateCommand, WeightsOf};
use crate::context::{self, Home};
use crate::failure::{Failure, exit, in_one_line};
use crate::keys;
use crate::told::print_json;

/// The largest file of outcomes, bytes: sealed evidence is large.
const DATA_CAP: u64 = 4 << 30;

pub(crate) fn main(args: GateArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        GateCommand::Fit(args) => main_fit(&args),
        #[cfg(feature = "worker")]
        GateCommand::Show(args) => show::show(&args),
    }
}

fn main_fit(args: &FitArgs) -> anyhow::Result<ExitCode> {
    let text = context::read_text(&args.data, "the outcomes", DATA_CAP)?;
    let key = args.key.as_deref().map(keys::read_public).transpose()?;
    let template = match &args.from {
        Some(path) => read_weights(path)?,
        None => args.of.built_in().clone(),
    };
    let outcomes = fit::outcomes(&text, key.as_ref()).map_err(|error| {
        Failure::usage(format!("{}: {}", args.data.display(), in_one_line(&error.into())))
            .hint("docs/VERIFICATION.md has the form of the file, under \"Fitting the weights\"")
    })?;
    let options = Options { l2: args.l2, folds: args.folds, ..Options::default() };
    let weights = fit(&template, &outcomes, &options).map_err(|error| {
        Failure::usage(format!("{} cannot be fitted to: {}", args.data.display(), in_one_line(&error.into())))
    })?;
    let text = crate::told::pretty(&weights);
    let to_screen = args.out.as_os_str() == "-";
    if !(args.json && to_screen) {
        crate::told::write_new(&args.out, &text)?;
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

impl WeightsOf {
    /// The file of the operator's, in `$GLOAMING_HOME`.
    fn file(self) -> &'static str {
        match self {
            Self::Patches => "weights.json",
            Self::Tasks => "triage.json",
        }
    }

    fn built_in(self) -> &'static Weights {
        match self {
            Self::Patches => built_in(),
            Self::Tasks => gloaming_gate::triage::built_in(),
        }
    }

    /// Returns the operator's weights, or those of the build.
    ///
    /// # Errors
    /// A file that does not load.
    pub(crate) fn in_use(self, home: &Home) -> anyhow::Result<Weights> {
        let path = home.data.join(self.file());
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(self.built_in().clone()),
            _ => read_weights(&path),
        }
    }

    /// Returns the weights that a journal carries.
    ///
    /// # Errors
    /// They are none.
    pub(crate) fn recorded(self, weights: Option<&Value>) -> anyhow::Result<Weights> {
        match weights {
            None => Ok(self.built_in().clone()),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|error| Failure::usage(format!("the journal holds no weights: {error}")).into()),
        }
    }

    /// Returns weights as a journal carries them: none for those of the build.
    pub(crate) fn told(self, weights: &Weights) -> Option<Value> {
        (weights != self.built_in()).then(|| json!(weights))
    }
}

/// Returns what patches are judged by under a grant: the operator's weights, or those of the build, and the policy's
/// ratio of costs.
///
/// # Errors
/// A file of weights that does not load.
pub(crate) fn of(home: &Home, grant: &Grant) -> anyhow::Result<Gate> {
    with(WeightsOf::Patches.in_use(home)?, grant)
}

/// Returns what a recorded attempt was judged by.
pub(crate) fn recorded(weights: Option<&Value>, grant: &Grant) -> anyhow::Result<Gate> {
    with(WeightsOf::Patches.recorded(weights)?, grant)
}

pub(crate) fn with(weights: Weights, grant: &Grant) -> anyhow::Result<Gate> {
    let costs = CostRatio::try_from(grant.cost_ratio()).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Gate { weights, costs })
}

/// Returns a gate as the worker is handed it.
pub(crate) fn judging(gate: &Gate) -> Judge {
    let gate = gate.clone();
    Arc::new(move |evidence| gate.judge(evidence))
}

pub(crate) fn read_weights(path: &Path) -> anyhow::Result<Weights> {
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
