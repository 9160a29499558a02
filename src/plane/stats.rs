//! `gloaming stats`.

use std::process::ExitCode;

use gloaming_api::path::escape_name;
use gloaming_api::stats::{Count, Stats};
use gloaming_client::Ask;
use serde_json::json;

use super::{client, failure};
use crate::cli::StatsArgs;
use crate::failure::exit;
use crate::told::print_json;

pub(crate) async fn stats(args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let stats: Stats = client(&args.plane)?.json(Ask::of("stats", &[])).await.map_err(failure)?;
    if args.json {
        print_json(&json!(stats));
    } else {
        print!("{}", table(&stats));
    }
    Ok(ExitCode::from(exit::OK))
}

fn table(stats: &Stats) -> String {
    if stats.total.tasks == 0 {
        return "no tasks\n".to_owned();
    }
    let mut rows = vec![
        ["", "tasks", "opened", "merged", "closed", "reverted", "abstained", "failed", "$/task", "$/merged"]
            .map(str::to_owned),
    ];
    let rule = |name: &str| std::array::from_fn(|at| if at == 0 { name.to_owned() } else { String::new() });
    rows.push(row("all", &stats.total));
    rows.push(rule("by repository"));
    rows.extend(
        stats
            .repositories
            .iter()
            .map(|(name, count)| row(&format!("  {}", escape_name(name.as_bytes())), count)),
    );
    rows.push(rule("by week, from its Monday"));
    rows.extend(stats.weeks.iter().map(|(name, count)| row(&format!("  {name}"), count)));
    let widths: Vec<usize> =
        (0..10).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; 10]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(at, (cell, width))| {
                    if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut text: String = rows.iter().map(line).collect();
    if !stats.total.reasons.is_empty() {
        text.push_str("why there was no pull request\n");
        let mut reasons: Vec<_> = stats.total.reasons.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let lines = reasons
            .iter()
            .map(|(reason, count)| format!("  {count:>5}  {}\n", escape_name(reason.as_bytes())));
        text.extend(lines);
    }
    text
}

fn row(name: &str, count: &Count) -> [String; 10] {
    let dollars = |usd: Option<f64>| usd.map_or_else(|| "-".to_owned(), |usd| format!("{usd:.2}"));
    [
        name.to_owned(),
        count.tasks.to_string(),
        count.opened.to_string(),
        count.merged.to_string(),
        count.closed.to_string(),
        count.reverted.to_string(),
        count.abstained.to_string(),
        count.failed.to_string(),
        dollars(count.cost_per_task_usd),
        dollars(count.cost_per_merged_usd),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_a_table() {
        let count = |tasks, merged, cost: f64| Count {
            tasks,
            opened: merged,
            merged,
            abstained: tasks - merged,
            cost_usd: cost,
            cost_per_task_usd: Some(cost / tasks as f64),
            cost_per_merged_usd: (merged > 0).then(|| cost / merged as f64),
            reasons: [("no_change_needed".to_owned(), 1), ("needs_context".to_owned(), 2)].into(),
            ..Count::default()
        };
        let stats = Stats {
            total: count(4, 1, 3.0),
            repositories: [
                ("acme/api".to_owned(), count(3, 1, 2.5)),
                ("acme/web".to_owned(), count(1, 0, 0.5)),
            ]
            .into(),
            weeks: [("2026-11-23".to_owned(), count(4, 1, 3.0))].into(),
        };
        insta::assert_snapshot!(table(&stats), @r"
                                  tasks  opened  merged  closed  reverted  abstained  failed  $/task  $/merged
        all                           4       1       1       0         0          3       0    0.75      3.00
        by repository
          acme/api                    3       1       1       0         0          2       0    0.83      2.50
          acme/web                    1       0       0       0         0          1       0    0.50         -
        by week, from its Monday
          2026-11-23                  4       1       1       0         0          3       0    0.75      3.00
        why there was no pull request
              2  needs_context
              1  no_change_needed
        ");
        assert_eq!(table(&Stats::default()), "no tasks\n");
    }
}
