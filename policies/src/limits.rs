//! Numbers over layers: the least of what each asks for, and a note on what was reduced by whom.

use gloaming_api::budget::DayCaps;
use gloaming_api::job::{JobLimits, JobPurpose};

use crate::file::{PolicyFile, Setting};
use crate::grant::Unit;
use crate::preset::{STANDARD_NAME, standard};
use crate::{Budget, ChangeCaps, Layer, units};

/// Bytes of each output stream that are kept. No policy sets it yet.
const OUTPUT: u64 = 8 << 20;
/// Bytes of a job's scratch folder. No policy sets it yet.
const SCRATCH: u64 = 8 << 30;
/// What a bad pull request costs by what a good one gains, where the operator says nothing; the gate's own default.
pub(crate) const COST_RATIO: f64 = 1.5;

#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) budget: Budget,
    pub(crate) change: ChangeCaps,
    /// What a bad pull request costs by what a good one gains: the most that a layer says.
    pub(crate) cost_ratio: f64,
    /// In the order of [`JobPurpose::ALL`].
    pub(crate) jobs: Vec<JobLimits>,
    /// What a file asked for and did not get, or reduced.
    pub(crate) notes: Vec<String>,
}

impl Limits {
    pub(crate) fn resolve(units: &[Unit]) -> Self {
        let mut least = Least { units, notes: Vec::new() };
        let budget = Budget {
            cost_usd: least.of("budget.cost_usd", |f| f.budget.cost_usd, |v| v.to_string()),
            steps: least.of("budget.steps", |f| f.budget.steps, |v| v.to_string()),
            wall: std::time::Duration::from_secs(least.of(
                "budget.wall",
                |f| f.budget.wall,
                units::show_seconds,
            )),
            tokens: least.of("budget.tokens", |f| f.budget.tokens, |v| v.to_string()),
            tool_bytes: least.of("budget.tool_bytes", |f| f.budget.tool_bytes, units::show_bytes),
            day: DayCaps {
                cost_usd: Some(least.of("budget.day.cost_usd", |f| f.budget.day_cost_usd, |v| v.to_string())),
                tokens: Some(least.of("budget.day.tokens", |f| f.budget.day_tokens, |v| v.to_string())),
            },
        };
        let change = ChangeCaps {
            files: least.of("change.files", |f| f.change.files, |v| v.to_string()),
            lines: least.of("change.lines", |f| f.change.lines, |v| v.to_string()),
            existing_tests: may_change(
                units,
                "existing_tests",
                &|f| f.change.existing_tests,
                &mut least.notes,
            ),
            dependencies: may_change(units, "dependencies", &|f| f.change.dependencies, &mut least.notes),
        };
        let jobs = JobPurpose::ALL
            .iter()
            .map(|purpose| {
                let name = |key: &str| format!("jobs.{}.{key}", purpose.as_str());
                let section = |f: &PolicyFile| f.jobs.get(purpose).cloned().unwrap_or_default();
                JobLimits {
                    memory: least.of(&name("memory"), |f| section(f).memory, units::show_bytes),
                    cpus: least.of(&name("cpus"), |f| section(f).cpus, |v| v.to_string()),
                    processes: least.of(&name("processes"), |f| section(f).processes, |v| v.to_string()),
                    wall_s: least.of(&name("timeout"), |f| section(f).timeout, units::show_seconds),
                    output: OUTPUT,
                    scratch: SCRATCH,
                }
            })
            .collect();
        let cost_ratio = cost_ratio(units, &mut least.notes);
        Self { budget, change, cost_ratio, jobs, notes: least.notes }
    }
}

/// Whether what a key of `[change]` speaks of may change: where an operator's file says so and no file says that it is
/// kept.
fn may_change(
    units: &[Unit],
    key: &str,
    get: &impl Fn(&PolicyFile) -> Option<Setting<bool>>,
    notes: &mut Vec<String>,
) -> bool {
    let mut asked: Vec<(Layer, Setting<bool>, &str)> = Vec::new();
    for unit in units.iter().filter(|unit| !unit.extended) {
        let said = said(&unit.file, get);
        asked.extend(said.map(|(setting, file)| (unit.layer, setting, file)));
    }
    let allowed = asked.iter().any(|(layer, setting, _)| *layer == Layer::Operator && setting.value)
        && asked.iter().all(|(_, setting, _)| setting.value);
    asked.sort_by_key(|(layer, ..)| *layer);
    for (layer, setting, file) in asked.iter().filter(|(_, setting, _)| setting.value && !allowed) {
        let layer = layer.as_str();
        notes.push(format!("change.{key}: {file}:{} ({layer}) asks for change and gets keep", setting.line));
    }
    allowed
}

/// The highest ratio over layers, which opens the fewest pull requests. Of one file its own counts, else the highest of
/// those it extends.
fn cost_ratio(units: &[Unit], notes: &mut Vec<String>) -> f64 {
    fn said(file: &PolicyFile) -> Option<(Setting<f64>, &str)> {
        if let Some(own) = file.gate.cost_ratio {
            return Some((own, file.name()));
        }
        let inherited = file.extends.iter().filter_map(|extended| said(extended.file.as_ref()?));
        inherited.reduce(|most, other| if other.0.value > most.0.value { other } else { most })
    }
    let mut asked: Vec<(Layer, f64, String)> = Vec::new();
    for unit in units.iter().filter(|unit| !unit.extended) {
        if let Some((setting, file)) = said(&unit.file) {
            asked.push((unit.layer, setting.value, format!("{file}:{}", setting.line)));
        }
    }
    if !asked.iter().any(|(layer, ..)| *layer == Layer::Operator) {
        asked.push((Layer::Operator, COST_RATIO, "built in".to_owned()));
    }
    asked.sort_by_key(|(layer, ..)| *layer);
    let mut most: Option<(f64, String)> = None;
    for (layer, value, place) in asked {
        match &most {
            Some((held, by)) if value < *held => notes.push(format!(
                "gate.cost_ratio: {place} ({}) asks for {value} and gets {held} ({by})",
                layer.as_str()
            )),
            Some((held, _)) if value == *held => {}
            Some((held, by)) => {
                notes.push(format!(
                    "gate.cost_ratio: {held} ({by}) is raised to {value} by {place} ({})",
                    layer.as_str()
                ));
                most = Some((value, place));
            }
            None => most = Some((value, place)),
        }
    }
    most.map_or(COST_RATIO, |(value, _)| value)
}

struct Least<'a> {
    units: &'a [Unit],
    notes: Vec<String>,
}

impl Least<'_> {
    /// The least value over layers; where the operator says nothing, the standard preset does.
    fn of<T: Copy + PartialOrd>(
        &mut self,
        name: &str,
        get: impl Fn(&PolicyFile) -> Option<Setting<T>>,
        show: impl Fn(T) -> String,
    ) -> T {
        let default = get(standard()).expect("a test holds that the standard preset sets every number");
        let mut asked: Vec<(Layer, Setting<T>, &str)> = Vec::new();
        for unit in self.units.iter().filter(|unit| !unit.extended) {
            asked.extend(said(&unit.file, &get).map(|(setting, file)| (unit.layer, setting, file)));
        }
        if !asked.iter().any(|(layer, ..)| *layer == Layer::Operator) {
            asked.push((Layer::Operator, default, STANDARD_NAME));
        }
        asked.sort_by_key(|(layer, ..)| *layer);
        let mut least: Option<(Setting<T>, &str)> = None;
        for (layer, setting, file) in asked {
            match least {
                None => least = Some((setting, file)),
                Some((held, by)) if setting.value < held.value => {
                    self.notes.push(format!(
                        "{name}: {} ({by}:{}) is reduced to {} by {file}:{} ({})",
                        show(held.value),
                        held.line,
                        show(setting.value),
                        setting.line,
                        layer.as_str(),
                    ));
                    least = Some((setting, file));
                }
                Some((held, by)) if setting.value > held.value => self.notes.push(format!(
                    "{name}: {file}:{} ({}) asks for {} and gets {} ({by}:{})",
                    setting.line,
                    layer.as_str(),
                    show(setting.value),
                    show(held.value),
                    held.line,
                )),
                Some(_) => {}
            }
        }
        least.map_or(default.value, |(setting, _)| setting.value)
    }
}

/// What a file says of a number, and which file that is: its own stands before those of the presets it extends, of
/// which the least counts.
fn said<'a, T: Copy + PartialOrd>(
    file: &'a PolicyFile,
    get: &impl Fn(&PolicyFile) -> Option<Setting<T>>,
) -> Option<(Setting<T>, &'a str)> {
    if let Some(own) = get(file) {
        return Some((own, file.name()));
    }
    let inherited = file.extends.iter().filter_map(|extended| said(extended.file.as_ref()?, get));
    inherited.reduce(|least, other| if other.0.value < least.0.value { other } else { least })
}
