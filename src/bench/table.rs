//! Rounds, medians and the table they end in.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One way to do a thing.
pub(super) struct Candidate<'a> {
    name: String,
    /// How often it is done in one round; the round counts the mean.
    times: u32,
    work: Result<Box<dyn FnMut() -> anyhow::Result<()> + 'a>, String>,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(name: &str, times: u32, work: impl FnMut() -> anyhow::Result<()> + 'a) -> Self {
        Self { name: name.to_owned(), times, work: Ok(Box::new(work)) }
    }

    /// One that needs something that may not be there.
    pub(super) fn of<T>(
        name: &str,
        times: u32,
        peer: &'a mut Result<T, String>,
        mut work: impl FnMut(&mut T) -> anyhow::Result<()> + 'a,
    ) -> Self {
        match peer {
            Ok(peer) => Self::new(name, times, move || work(peer)),
            Err(why) => Self::missing(name, why),
        }
    }

    pub(super) fn missing(name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), times: 1, work: Err(why.to_owned()) }
    }
}

/// Everything that was measured.
pub(super) struct Table {
    rows: Vec<Row>,
}

struct Row {
    group: String,
    name: String,
    value: String,
    ratio: Option<f64>,
    note: String,
    median: Option<Duration>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Lets candidates take turns, after one round that does not count. The first is ours.
    pub(super) fn measure(
        &mut self,
        group: &str,
        rounds: usize,
        mut candidates: Vec<Candidate<'_>>,
    ) -> anyhow::Result<()> {
        eprintln!("{group} ...");
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); candidates.len()];
        for round in 0..=rounds {
            for (candidate, times) in candidates.iter_mut().zip(&mut times) {
                let Ok(work) = &mut candidate.work else { continue };
                let start = Instant::now();
                let done = (0..candidate.times).try_for_each(|_| work());
                let time = start.elapsed() / candidate.times;
                match done {
                    Err(error) if round == 0 => candidate.work = Err(format!("does not work here: {error}")),
                    Err(error) => return Err(error.context(candidate.name.clone())),
                    Ok(()) if round > 0 => times.push(time),
                    Ok(()) => {}
                }
            }
        }
        let ours = times[0].clone();
        for (candidate, mut times) in candidates.into_iter().zip(times) {
            let mut ratios: Vec<f64> =
                times.iter().zip(&ours).map(|(time, ours)| time.as_secs_f64() / ours.as_secs_f64()).collect();
            ratios.sort_by(f64::total_cmp);
            times.sort();
            let (value, note) = match &candidate.work {
                Ok(_) => (shown(median(&times)), String::new()),
                Err(why) => ("-".to_owned(), why.clone()),
            };
            self.rows.push(Row {
                group: group.to_owned(),
                name: candidate.name,
                value,
                ratio: ratios.get(ratios.len() / 2).copied(),
                note,
                median: candidate.work.is_ok().then(|| median(&times)),
            });
        }
        Ok(())
    }

    /// Adds a number that is compared with nothing.
    pub(super) fn number(&mut self, name: &str, value: &str, note: &str) {
        self.rows.push(Row {
            group: "this machine".to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            ratio: None,
            note: note.to_owned(),
            median: None,
        });
    }

    pub(super) fn to_markdown(&self) -> String {
        let mut text = String::from("| | median | ratio | |\n| --- | ---: | ---: | --- |\n");
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = &row.group;
                text.push_str(&format!("| **{group}** | | | |\n"));
            }
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            text.push_str(&format!(
                "| {} | {} | {ratio} | {} |\n",
                row.name.replace('|', "\\|"),
                row.value,
                row.note
            ));
        }
        text
    }

    pub(super) fn to_json(&self, machine: Value) -> Value {
        let row = |row: &Row| {
            json!({
                "group": row.group,
                "name": row.name,
                "value": row.value,
                "median_us": row.median.map(|time| time.as_secs_f64() * 1e6),
                "ratio": row.ratio,
                "note": row.note,
            })
        };
        json!({"machine": machine, "rows": self.rows.iter().map(row).collect::<Vec<_>>()})
    }
}

/// Returns the middle one of some sorted times.
pub(super) fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1_000.0 { format!("{micros:.1} µs") } else { format!("{:.2} ms", micros / 1e3) }
}
