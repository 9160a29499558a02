//! The ledger: one row for each call of a model, with what is set aside for it until what it took is known.
//!
//! Money is counted in whole billionths of a dollar, so that sums are exact: bounds and costs are rounded up to one,
//! caps down.

use std::path::Path;

use gloaming_api::budget::{Call, Counted, DayCaps, LedgerError, Refusal, Spend, Whose};
use jiff::civil::Date;
use rusqlite::{OptionalExtension as _, Params, Transaction, params};
use rusqlite_migration::{M, Migrations};

use crate::sqlite::{Cause, Database};

const BILLION: f64 = 1e9;

/// More than this in one call is a mistake; a cap beyond it is none. A sum that the database's integers do not hold is an
/// error.
const MOST_USD: f64 = 1e9;
const MOST_TOKENS: u64 = 1 << 60;

const STEPS: &[M<'_>] = &[M::up(
    "CREATE TABLE budget_call (
        attempt TEXT NOT NULL,
        number INTEGER NOT NULL,
        day TEXT NOT NULL,
        repo TEXT NOT NULL,
        usd INTEGER NOT NULL CHECK (usd >= 0),        -- billionths: the bound until it is settled, then the cost
        tokens INTEGER NOT NULL CHECK (tokens >= 0),  -- in the same way
        settled INTEGER NOT NULL CHECK (settled IN (0, 1)),
        cap_usd REAL,                                  -- what the repository could have when the call was made
        cap_tokens INTEGER,
        PRIMARY KEY (attempt, number)
    ) STRICT;
    CREATE INDEX budget_call_of_day ON budget_call (day, repo, settled, usd, tokens);",
)];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

/// The ledger of a machine, in one SQLite file that any number of processes have open.
#[derive(Debug)]
pub struct BudgetLedger {
    database: Database,
}

/// What one repository took on one day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RepositoryDay {
    /// Its name.
    pub repo: String,
    /// What its calls cost that are settled.
    pub spent: Spend,
    /// What is set aside for those that are not.
    pub held: Spend,
    /// Its calls, settled or not.
    pub calls: u64,
    /// The caps that its latest call was held to.
    pub caps: DayCaps,
}

impl BudgetLedger {
    /// Opens the ledger, made where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, is none of SQLite's, or was made by a newer version.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |source| error(&format!("open the ledger {}", path.display()), source);
        Ok(Self { database: Database::open(path, &MIGRATIONS).map_err(failed)? })
    }

    /// Sets aside the most that a call can take, where that fits into what its repository and the machine may have on
    /// its day; else returns the cap it does not fit into. See [`gloaming_api::budget::Ledger::reserve`].
    pub fn reserve(
        &self,
        call: &Call,
        bound: Spend,
        repository: DayCaps,
        machine: DayCaps,
    ) -> Result<Option<Refusal>, LedgerError> {
        self.writing("set aside what a call may cost in", |tx| {
            let (usd, tokens) = amounts(bound)?;
            let key = params![call.attempt.hex(), call.number];
            let settled: Option<bool> = tx
                .query_row("SELECT settled FROM budget_call WHERE attempt = ?1 AND number = ?2", key, |row| {
                    row.get(0)
                })
                .optional()?;
            if settled == Some(true) {
                return Err("this call is settled already: a copy of its journal was gone on with".into());
            }
            let day = call.day().to_string();
            let attempt = call.attempt.hex();
            let repo = call.repo.as_str();
            for (whose, caps, taken) in [
                (
                    Whose::Repository,
                    repository,
                    others(tx, "AND repo = ?4", params![day, attempt, call.number, repo])?,
                ),
                (Whose::Machine, machine, others(tx, "", params![day, attempt, call.number])?),
            ] {
                if let Some(refusal) = misfit(whose, caps, &taken, (usd, tokens), &day)? {
                    return Ok(Some(refusal));
                }
            }
            tx.execute(
                "INSERT INTO budget_call VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)
                 ON CONFLICT (attempt, number) DO UPDATE
                 SET day = ?3, repo = ?4, usd = ?5, tokens = ?6, cap_usd = ?7, cap_tokens = ?8",
                params![
                    call.attempt.hex(),
                    call.number,
                    day,
                    repo,
                    usd,
                    tokens,
                    repository.cost_usd,
                    repository.tokens.map(|tokens| tokens.min(MOST_TOKENS).cast_signed()),
                ],
            )?;
            Ok(None)
        })
    }

    /// Puts what a call took in the place of what was set aside for it, at most what can be counted: how much that is a
    /// provider says, and one that says nonsense has spent it all. See [`gloaming_api::budget::Ledger::settle`].
    pub fn settle(&self, call: &Call, actual: Spend) -> Result<(), LedgerError> {
        self.writing("settle what a call cost in", |tx| {
            // Not `min`, for which what is no number is the cap.
            let usd = if actual.usd > MOST_USD { MOST_USD } else { actual.usd };
            let (usd, tokens) = amounts(Spend { usd, tokens: actual.tokens.min(MOST_TOKENS) })?;
            tx.execute(
                "INSERT INTO budget_call VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, NULL, NULL)
                 ON CONFLICT (attempt, number) DO UPDATE SET usd = ?5, tokens = ?6, settled = 1 WHERE settled = 0",
                params![
                    call.attempt.hex(),
                    call.number,
                    call.day().to_string(),
                    call.repo.as_str(),
                    usd,
                    tokens
                ],
            )?;
            Ok(())
        })
    }

    /// Returns what each repository took on a day, by name.
    pub fn day(&self, day: Date) -> Result<Vec<RepositoryDay>, LedgerError> {
        let read = || -> Result<Vec<RepositoryDay>, Cause> {
            let connection = self.database.connection();
            let mut query = connection.prepare_cached(
                "SELECT repo, sum(usd), coalesce(sum(usd) FILTER (WHERE settled = 0), 0),
                        sum(tokens), coalesce(sum(tokens) FILTER (WHERE settled = 0), 0), count(*)
                 FROM budget_call WHERE day = ?1 GROUP BY repo ORDER BY repo",
            )?;
            let mut caps = connection.prepare_cached(
                "SELECT cap_usd, cap_tokens FROM budget_call WHERE day = ?1 AND repo = ?2 AND cap_usd IS NOT NULL
                 ORDER BY rowid DESC LIMIT 1",
            )?;
            let day = day.to_string();
            let mut found = Vec::new();
            let mut rows = query.query([&day])?;
            while let Some(row) = rows.next()? {
                let repo: String = row.get(0)?;
                let taken = Taken::of(row, 1)?;
                let capped = caps
                    .query_row(params![day, repo], |row| {
                        let tokens: Option<i64> = row.get(1)?;
                        Ok(DayCaps { cost_usd: row.get(0)?, tokens: tokens.map(i64::cast_unsigned) })
                    })
                    .optional()?;
                found.push(RepositoryDay {
                    repo,
                    spent: spend(taken.usd - taken.held_usd, taken.tokens - taken.held_tokens),
                    held: spend(taken.held_usd, taken.held_tokens),
                    calls: row.get::<_, i64>(5)?.cast_unsigned(),
                    caps: capped.unwrap_or_default(),
                });
            }
            Ok(found)
        };
        read().map_err(|source| error(&format!("read the ledger {}", self.database.path().display()), source))
    }

    /// Does something alone: nobody else reads what it decides on before it is written.
    fn writing<T>(
        &self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Cause>,
    ) -> Result<T, LedgerError> {
        let failed =
            |source| error(&format!("{doing} the ledger {}", self.database.path().display()), source);
        self.database.alone(work).map_err(failed)
    }
}

fn error(doing: &str, source: Cause) -> LedgerError {
    LedgerError { doing: doing.to_owned(), source }
}

/// Billionths of a dollar and tokens, with what of each is not settled.
#[derive(Debug)]
struct Taken {
    usd: i64,
    held_usd: i64,
    tokens: i64,
    held_tokens: i64,
}

impl Taken {
    fn of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            usd: row.get(first)?,
            held_usd: row.get(first + 1)?,
            tokens: row.get(first + 2)?,
            held_tokens: row.get(first + 3)?,
        })
    }
}

/// What is taken on a day by all calls but one.
fn others(tx: &Transaction<'_>, of: &str, params: impl Params) -> Result<Taken, Cause> {
    let sql = format!(
        "SELECT coalesce(sum(usd), 0), coalesce(sum(usd) FILTER (WHERE settled = 0), 0),
                coalesce(sum(tokens), 0), coalesce(sum(tokens) FILTER (WHERE settled = 0), 0)
         FROM budget_call WHERE day = ?1 AND NOT (attempt = ?2 AND number = ?3) {of}"
    );
    Ok(tx.prepare_cached(&sql)?.query_row(params, |row| Taken::of(row, 0))?)
}

/// The first of the caps that an amount does not fit into. What costs nothing fits always.
fn misfit(
    whose: Whose,
    caps: DayCaps,
    taken: &Taken,
    (usd, tokens): (i64, i64),
    day: &str,
) -> Result<Option<Refusal>, Cause> {
    let refusal = |counted, cap, spent, held, needed| Refusal {
        whose,
        counted,
        day: day.to_owned(),
        cap,
        spent,
        held,
        needed,
    };
    if let Some(cap) = caps.cost_usd {
        // Not `min`, for which what is no number is no cap.
        let most = billionths(if cap > MOST_USD { MOST_USD } else { cap }, f64::floor)?;
        if usd > 0 && taken.usd.saturating_add(usd) > most {
            let [spent, held, needed] = [taken.usd - taken.held_usd, taken.held_usd, usd].map(dollars);
            return Ok(Some(refusal(Counted::CostUsd, cap, spent, held, needed)));
        }
    }
    if let Some(cap) = caps.tokens {
        let most = cap.min(MOST_TOKENS).cast_signed();
        if tokens > 0 && taken.tokens.saturating_add(tokens) > most {
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers that are shown; what counts was compared above"
            )]
            let [cap, spent, held, needed] =
                [most, taken.tokens - taken.held_tokens, taken.held_tokens, tokens]
                    .map(|tokens| tokens as f64);
            return Ok(Some(refusal(Counted::Tokens, cap, spent, held, needed)));
        }
    }
    Ok(None)
}

fn amounts(spend: Spend) -> Result<(i64, i64), Cause> {
    if spend.tokens > MOST_TOKENS {
        return Err(format!("{} tokens are no amount that a call can take", spend.tokens).into());
    }
    Ok((billionths(spend.usd, f64::ceil)?, spend.tokens.cast_signed()))
}

#[expect(clippy::cast_possible_truncation, reason = "at most 1e18, a whole number")]
fn billionths(usd: f64, round: fn(f64) -> f64) -> Result<i64, Cause> {
    if (0.0..=MOST_USD).contains(&usd) {
        return Ok(round(usd * BILLION) as i64);
    }
    Err(format!("{usd} US dollars are no amount that can be counted").into())
}

#[expect(clippy::cast_precision_loss, reason = "a sum that is shown; what counts is the integer")]
fn dollars(billionths: i64) -> f64 {
    billionths as f64 / BILLION
}

fn spend(usd: i64, tokens: i64) -> Spend {
    Spend { usd: dollars(usd), tokens: tokens.cast_unsigned() }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a file that is no ledger is written into the test's own folder"
)]
mod tests;
