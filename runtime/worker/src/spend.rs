//! What an attempt spends: each call of a model is set aside at the most it can take before it is made, against the
//! attempt's own budget and against what all runs may spend in a day, and settled by what it took.
//!
//! Where the most a call can take does not fit, it is not made. Nor is it made with less room for its answer: an answer
//! that is cut off is paid for and of no use, and the question would be another one than the record's.

use std::sync::Arc;

use gloaming_api::bowout::{BowOutEvidence, ReasonCode};
use gloaming_api::budget::{Call, Ledger, LedgerError, Refusal, Spend, Whose};
use gloaming_api::journal::EventKind;
use gloaming_model::{Model, ModelError, Request, Response, most_tokens};
use gloaming_policies::units::show_bytes;

use crate::blueprint::Run;
use crate::bow::Draft;
use crate::end::{End, WorkerError};

/// Returns the most that an answer can take, where its price is known.
pub(crate) fn most(request: &Request, usd: f64) -> Spend {
    Spend { usd, tokens: most_tokens(request) }
}

/// Returns what an answer took.
pub(crate) fn of(response: &Response, cost_usd: f64) -> Spend {
    Spend { usd: cost_usd, tokens: response.usage.total() }
}

/// Returns what a question without an answer took: answers that broke off are paid for too, and how many tokens they had
/// is not told.
pub(crate) fn of_failure(error: &ModelError, bound: Spend) -> Spend {
    match error.spent_usd() {
        Some(usd) if usd > 0.0 => Spend { usd, tokens: bound.tokens },
        _ => Spend::default(),
    }
}

/// Sets aside what the next answer can take at most: the budget is never overrun by more than the calls in flight, and a
/// call that could overrun it by itself is not made.
pub(crate) async fn reserve(run: &mut Run<'_>, model: &dyn Model, request: &Request) -> Result<Spend, End> {
    let budget = run.equipment.grant.budget();
    let out = |summary: String| Draft::new(run.stage.0, ReasonCode::BudgetExhausted, summary);
    if run.cost.calls >= budget.steps {
        return Err(out(format!("All {} steps are used up.", budget.steps)).into());
    }
    let Some(usd) = model.worst_case_usd(request) else {
        return Err(out(format!(
            "The price of {} is not known, so the budget of ${:.2} cannot be held.",
            model.spec(),
            budget.cost_usd
        ))
        .unblock(
            "say what the model costs",
            "--model-price IN,OUT in US dollars per million tokens; 0,0 for one of your own",
        )
        .into());
    };
    let bound = most(request, usd);
    let left = budget.cost_usd - run.cost.usd;
    // What is no number fits nothing.
    let fits = bound.usd <= left;
    if !fits {
        return Err(out(format!(
            "The next answer may cost up to ${usd:.2}; ${left:.2} of ${:.2} are left.",
            budget.cost_usd
        ))
        .into());
    }
    let left = budget.tokens.saturating_sub(run.cost.tokens);
    if bound.tokens > left {
        return Err(out(format!(
            "The next question and its answer may have up to {} tokens; {left} of {} are left.",
            bound.tokens, budget.tokens
        ))
        .into());
    }
    let Some(ledger) = run.equipment.ledger.clone() else { return Ok(bound) };
    let call = Call { number: run.asked + 1, ..call(run, run.journal.now()) };
    let reserved = blocking(ledger, move |ledger| ledger.reserve(&call, bound, budget.day)).await?;
    match reserved {
        None => Ok(bound),
        Some(refusal) => Err(refused(run, refusal)),
    }
}

/// Puts what the last question took in the place of what was set aside for it.
pub(crate) async fn settle(run: &mut Run<'_>, actual: Spend) -> Result<(), WorkerError> {
    run.cost.usd += actual.usd;
    run.cost.tokens = run.cost.tokens.saturating_add(actual.tokens);
    let Some(ledger) = run.equipment.ledger.clone() else { return Ok(()) };
    let at = run.journal.last_time().unwrap_or_else(|| run.journal.now());
    let call = call(run, at);
    blocking(ledger, move |ledger| ledger.settle(&call, actual)).await
}

/// Records that a day's cap was in the way, and ends the attempt by it.
pub(crate) fn refused(run: &mut Run<'_>, refusal: Refusal) -> End {
    let draft = draft(run, &refusal);
    match run.record(EventKind::BudgetRefused { refusal }) {
        Ok(()) => draft.into(),
        Err(error) => error.into(),
    }
}

/// Ends the attempt where tools have told models as much as they may. What the call in flight answers is the most that
/// it is passed by.
pub(crate) fn may_call_tool(run: &Run<'_>) -> Result<(), End> {
    let cap = run.equipment.grant.budget().tool_bytes;
    if run.cost.tool_bytes < cap {
        return Ok(());
    }
    let summary = format!(
        "Tools have answered with {}; the budget is {}.",
        show_bytes(run.cost.tool_bytes),
        show_bytes(cap)
    );
    Err(Draft::new(run.stage.0, ReasonCode::BudgetExhausted, summary).into())
}

fn draft(run: &Run<'_>, refusal: &Refusal) -> Draft {
    let Refusal { whose, counted, day, cap, spent, held, needed } = refusal;
    let amount = |amount: &f64| counted.amount(*amount);
    let repo = &run.assignment.repo;
    let (of, whose, place) = match whose {
        Whose::Repository => (
            format!("that all runs on {repo} may spend"),
            "the repository's",
            format!("`{}` under [budget.day] in the operator's policy", counted.key()),
        ),
        Whose::Machine => (
            "that all runs of this machine may spend".to_owned(),
            "the machine's",
            format!("`{}` under [day] in budget.toml", counted.key()),
        ),
    };
    let summary = format!(
        "The next answer may take up to {}, and of the {} {of} on {day} (UTC) {} are left.",
        amount(needed),
        amount(cap),
        amount(&(cap - spent - held).max(0.0))
    );
    let seen = format!(
        "{whose} cap for {day}: {} spent, {} set aside, of {}",
        amount(spent),
        amount(held),
        amount(cap)
    );
    let mut draft = Draft::new(run.stage.0, ReasonCode::BudgetExhausted, summary)
        .evidence(BowOutEvidence::note("budget", seen))
        .unblock(
            "ask again tomorrow",
            "a day begins at 00:00 UTC; `gloaming budget` shows what it was spent on",
        )
        .unblock("raise the cap", place);
    draft.retryable = true;
    draft
}

/// The last question that was asked.
fn call(run: &Run<'_>, at: jiff::Timestamp) -> Call {
    let attempt = run.journal.first().cloned().expect("an attempt begins with an event");
    Call { attempt, number: run.asked, repo: run.assignment.repo.clone(), at }
}

async fn blocking<T: Send + 'static>(
    ledger: Arc<dyn Ledger>,
    work: impl FnOnce(&dyn Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, WorkerError> {
    match tokio::task::spawn_blocking(move || work(ledger.as_ref())).await {
        Ok(done) => Ok(done?),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
