//! What the runs of this machine may spend in a day: the operator's `budget.toml`, the ledger that all of them share, and
//! `gloaming budget`, which shows both.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::budget::{Call, DayCaps, Ledger, LedgerError, Refusal, Spend, day_of};
use gloaming_store::{BudgetLedger, RepositoryDay};
use serde::Deserialize;
use serde_json::json;

use crate::cli::BudgetArgs;
use crate::context::{self, Home};
use crate::failure::Failure;
use crate::told::print_json;

/// The operator's `budget.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operator {
    schema: u32,
    /// What all repositories of the machine may have together.
    #[serde(default)]
    day: DayCaps,
}

/// The ledger of this machine, with the caps of all repositories together as the operator's file has them at each call:
/// one that is lowered binds the runs that are at work.
struct OfMachine {
    home: Home,
    ledger: BudgetLedger,
}

impl Ledger for OfMachine {
    fn reserve(
        &self,
        call: &Call,
        bound: Spend,
        repository: DayCaps,
    ) -> Result<Option<Refusal>, LedgerError> {
        let caps = caps(&self.home).map_err(|error| LedgerError {
            doing: "read what the machine may spend in a day".to_owned(),
            source: error.into(),
        })?;
        self.ledger.reserve(call, bound, repository, caps)
    }

    fn settle(&self, call: &Call, actual: Spend) -> Result<(), LedgerError> {
        self.ledger.settle(call, actual)
    }
}

/// Returns the ledger that all runs of this machine share; none for a run that asks no model.
///
/// # Errors
/// The ledger or the operator's caps cannot be read: what cannot be held is not spent.
pub(crate) fn ledger(home: &Home, asks_models: bool) -> anyhow::Result<Option<Arc<dyn Ledger>>> {
    if !asks_models {
        return Ok(None);
    }
    caps(home)?;
    Ok(Some(Arc::new(OfMachine { home: home.clone(), ledger: open(home)? })))
}

pub(crate) fn main(args: &BudgetArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let day = args.day.unwrap_or_else(|| day_of(context::now()));
    let machine = caps(&home)?;
    let repositories = open(&home)?.day(day).map_err(failure)?;
    if args.json {
        let told: Vec<_> = repositories
            .iter()
            .map(|of| {
                json!({
                    "repo": of.repo, "calls": of.calls, "caps": of.caps,
                    "spent": {"cost_usd": of.spent.usd, "tokens": of.spent.tokens},
                    "held": {"cost_usd": of.held.usd, "tokens": of.held.tokens},
                })
            })
            .collect();
        print_json(&json!({"day": day, "repositories": told, "machine": {"caps": machine}}));
    } else {
        print!("{}", table(&day.to_string(), &repositories, machine));
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each repository and one for all.
fn table(day: &str, repositories: &[RepositoryDay], machine: DayCaps) -> String {
    let mut all =
        RepositoryDay { repo: "all repositories".to_owned(), caps: machine, ..RepositoryDay::default() };
    for of in repositories {
        all.spent.usd += of.spent.usd;
        all.spent.tokens += of.spent.tokens;
        all.held.usd += of.held.usd;
        all.held.tokens += of.held.tokens;
        all.calls += of.calls;
    }
    let head = ["", "spent", "set aside", "of", "tokens", "set aside", "of", "calls"].map(str::to_owned);
    let lines: Vec<[String; 8]> = repositories
        .iter()
        .chain([&all])
        .map(|of| {
            [
                of.repo.clone(),
                format!("${:.4}", of.spent.usd),
                format!("${:.4}", of.held.usd),
                of.caps.cost_usd.map_or("no cap".to_owned(), |usd| format!("${usd:.2}")),
                of.spent.tokens.to_string(),
                of.held.tokens.to_string(),
                of.caps.tokens.map_or("no cap".to_owned(), |tokens| tokens.to_string()),
                of.calls.to_string(),
            ]
        })
        .collect();
    let lines: Vec<&[String; 8]> = [&head].into_iter().chain(&lines).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let mut text = format!("{day}, by UTC\n");
    for line in &lines {
        text.push_str(&format!("{:<1$}", line[0], width(0)));
        for (column, cell) in line.iter().enumerate().skip(1) {
            text.push_str(&format!("  {cell:>0$}", width(column)));
        }
        text.push('\n');
    }
    text
}

fn open(home: &Home) -> anyhow::Result<BudgetLedger> {
    BudgetLedger::open(&home.data.join("ledger.sqlite")).map_err(failure)
}

fn failure(error: LedgerError) -> anyhow::Error {
    let LedgerError { doing, source } = error;
    Failure::infrastructure(&doing, anyhow::anyhow!(source))
        .hint("nothing is spent that is not written down there; see that it can be read and written")
        .into()
}

fn caps_file(home: &Home) -> PathBuf {
    home.data.join("budget.toml")
}

/// Reads what all repositories of the machine may have in a day; no caps where there is no file.
fn caps(home: &Home) -> anyhow::Result<DayCaps> {
    let file = caps_file(home);
    let wrong = |what: String| {
        Failure::usage(format!("{}: {what}", file.display()))
            .hint("docs/budgets.md shows one; a cap that cannot be read means that nothing is spent")
    };
    match file.try_exists() {
        Ok(false) => return Ok(DayCaps::default()),
        Ok(true) => {}
        Err(error) => return Err(wrong(error.to_string()).into()),
    }
    let text = context::read_text(&file, "the machine's budget", context::FILE_CAP)?;
    let operator: Operator = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if operator.schema != 1 {
        return Err(wrong(format!("it has schema {}; this version reads 1", operator.schema)).into());
    }
    if operator.day.cost_usd.is_some_and(|usd| usd.is_nan() || usd < 0.0) {
        return Err(wrong("`cost_usd` is a number of US dollars, 0 or more".to_owned()).into());
    }
    Ok(operator.day)
}
