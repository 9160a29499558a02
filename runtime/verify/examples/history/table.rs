//! What was judged, as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::fixes::{Fix, Fixes, Project};
use crate::{Fault, Row};

/// A commit's id as people write it.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..9).unwrap_or(commit)
}

/// Shown in a cell.
fn cell(text: &str) -> String {
    gloaming_api::bowout::shorten(&text.replace('|', "\\|").replace('\n', " "), 240)
}

/// The mutants of a fix, by what became of them.
#[derive(Default)]
struct Mutants<'r> {
    /// Blocked, by step.
    blocked: BTreeMap<&'r str, usize>,
    /// Blocked or given up because the code with the fault in it does not build: no test is asked.
    unbuilt: usize,
    /// Not decided.
    unknown: usize,
    survivors: Vec<&'r Row>,
}

impl<'r> Mutants<'r> {
    fn of(rows: impl Iterator<Item = &'r Row>) -> Self {
        let mut out = Self::default();
        for row in rows {
            match (row.verdict.as_str(), row.code.as_str()) {
                ("pass", _) => out.survivors.push(row),
                (_, "build_failed") => out.unbuilt += 1,
                ("block", _) => *out.blocked.entry(row.step.as_deref().unwrap_or("gate")).or_default() += 1,
                _ => out.unknown += 1,
            }
        }
        out
    }

    fn blocked(&self) -> usize {
        self.blocked.values().sum()
    }

    fn all(&self) -> usize {
        self.blocked() + self.unbuilt + self.unknown + self.survivors.len()
    }

    /// `12 (V7 11, V8 1)`.
    fn told(&self) -> String {
        let steps: Vec<String> = self.blocked.iter().map(|(step, count)| format!("{step} {count}")).collect();
        if steps.is_empty() { "0".into() } else { format!("{} ({})", self.blocked(), steps.join(", ")) }
    }
}

/// The whole report.
pub(crate) fn markdown(fixes: &Fixes, rows: &[Row]) -> String {
    let mut out = String::new();
    line(&mut out, "| fix | | verdict | mutants | blocked, by step | undecided | not built | survive |");
    line(&mut out, "| --- | --- | --- | --: | --- | --: | --: | --: |");
    let mut survivors = String::new();
    let mut stopped = String::new();
    let (mut judged, mut passed) = (0, 0);
    for project in &fixes.projects {
        for fix in &project.fixes {
            let of = |row: &&Row| row.commit == fix.commit;
            let Some(real) = rows.iter().filter(of).find(|row| row.fault.is_none()) else { continue };
            let mutants = Mutants::of(rows.iter().filter(of).filter(|row| row.fault.is_some()));
            judged += 1;
            passed += usize::from(real.verdict == "pass");
            line(&mut out, &fix_line(project, fix, real, &mutants));
            if real.verdict != "pass" {
                let step = real.step.as_deref().unwrap_or("gate");
                line(
                    &mut stopped,
                    &format!("- `{}`: {step} {}: {}", short(&fix.commit), real.code, cell(&real.detail)),
                );
            }
            for (row, fault) in
                mutants.survivors.iter().filter_map(|row| row.fault.as_ref().map(|fault| (row, fault)))
            {
                line(&mut survivors, &survivor_line(fixes, &row.commit, fault));
            }
        }
    }
    let all = Mutants::of(rows.iter().filter(|row| row.fault.is_some()));
    let asked = all.all() - all.unbuilt;
    let _ = write!(
        out,
        "\n{passed} of {judged} fixes pass. Of {} mutants {} do not build; of the other {asked}, {} ({:.0} %) are \
         blocked: {}; {} stay undecided; {} survive.\n",
        all.all(),
        all.unbuilt,
        all.blocked(),
        share(all.blocked(), asked),
        all.told(),
        all.unknown,
        all.survivors.len()
    );
    if !stopped.is_empty() {
        let _ = write!(out, "\nFixes that do not pass:\n\n{stopped}");
    }
    if !survivors.is_empty() {
        let _ = write!(out, "\nSurvivors:\n\n| mutant | | why |\n| --- | --- | --- |\n{survivors}");
    }
    let _ = write!(out, "\n{}", overhead(rows));
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn share(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / f64::max(whole as f64, 1.0)
}

fn fix_line(project: &Project, fix: &Fix, real: &Row, mutants: &Mutants<'_>) -> String {
    format!(
        "| {} `{}` | {} | {} | {} | {} | {} | {} | {} |",
        project.name,
        short(&fix.commit),
        cell(&fix.about),
        real.verdict.replace('_', " "),
        mutants.all(),
        mutants.told(),
        mutants.unknown,
        mutants.unbuilt,
        mutants.survivors.len()
    )
}

fn survivor_line(fixes: &Fixes, commit: &str, fault: &Fault) -> String {
    let why = fixes.why(commit, fault).unwrap_or("nobody has said why");
    format!(
        "| `{}` {}:{} | {} | {} |",
        short(commit),
        fault.file,
        fault.line,
        cell(&fault.mutation),
        cell(why)
    )
}

/// What a verification takes beyond the jobs it runs.
fn overhead(rows: &[Row]) -> String {
    let ran: Vec<&Row> = rows.iter().filter(|row| row.times.jobs_ms > 0).collect();
    let (wall, jobs) = ran
        .iter()
        .fold((0_u64, 0_u64), |(wall, jobs), row| (wall + row.times.wall_ms, jobs + row.times.jobs_ms));
    let mut ratios: Vec<f64> =
        ran.iter().map(|row| row.times.wall_ms as f64 / row.times.jobs_ms as f64).collect();
    ratios.sort_by(f64::total_cmp);
    let Some(median) = ratios.get(ratios.len() / 2) else { return String::new() };
    format!(
        "Wall time of {} verifications to the sum of their jobs' durations: {:.3} over all ({:.0} s to {:.0} s), {median:.3} at \
         the median, {:.3} at the most.\n",
        ran.len(),
        wall as f64 / jobs as f64,
        wall as f64 / 1000.0,
        jobs as f64 / 1000.0,
        ratios.last().unwrap_or(median)
    )
}
