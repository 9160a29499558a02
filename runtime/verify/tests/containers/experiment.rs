//! Flakes injected into a real package's tests: what the rule promises, measured. `tests/flakes/run.sh` fetches the
//! package and runs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use gloaming_api::evidence::{Evidence, StepResult};

use crate::support::{Case, step, unittest};

/// How many tests are made flaky.
const FLAKY: usize = 5;

/// Makes an injected test fail at a rate.
fn flake(rate: f64) -> String {
    format!(
        "import os\n\n\ndef maybe():\n    if int.from_bytes(os.urandom(8), \"big\") / 2**64 < {rate}:\n        raise \
         AssertionError(\"injected flake\")\n"
    )
}

/// Every text file of a folder, by its path.
fn files(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.insert(path, text);
            }
        }
    }
    out
}

/// Puts a call of the flake first into every so-many-th test method; returns how many there are.
fn inject(files: &mut BTreeMap<String, String>) -> usize {
    let is_test =
        |line: &str| line.trim_start().starts_with("def test") && line.trim_end().ends_with("(self):");
    let tests = |files: &BTreeMap<String, String>| -> usize {
        files
            .iter()
            .filter(|(path, _)| path.starts_with("tests/"))
            .map(|(_, text)| text.lines().filter(|line| is_test(line)).count())
            .sum()
    };
    let each = (tests(files) / FLAKY).max(1);
    let (mut seen, mut injected) = (0, 0);
    for (_, text) in files.iter_mut().filter(|(path, _)| path.starts_with("tests/")) {
        let mut out = String::new();
        for line in text.lines() {
            out.push_str(line);
            out.push('\n');
            if is_test(line) {
                if seen % each == 0 && injected < FLAKY {
                    let indent = line.len() - line.trim_start().len() + 4;
                    writeln!(out, "{}__import__(\"injected_flake\").maybe()", " ".repeat(indent)).unwrap();
                    injected += 1;
                }
                seen += 1;
            }
        }
        *text = out;
    }
    injected
}

/// Functions of a module by the line of their `def` and that of their body's first statement.
fn functions(source: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("def ") && !line.starts_with("def _") {
            let body = (at..lines.len()).find(|at| lines[*at].trim_end().ends_with(':')).map(|end| end + 1);
            out.extend(body.map(|body| (at, body)));
        }
    }
    out
}

/// Innocent: one more function that nobody calls.
fn innocent(source: &str, number: usize) -> String {
    format!("{source}\n\ndef unused_{number}(value):\n    return [value] * {number}\n")
}

/// Breaking: one of the functions raises.
fn breaking(source: &str, number: usize) -> String {
    let functions = functions(source);
    let (_, body) = functions[number % functions.len()];
    let mut lines: Vec<String> = source.lines().map(str::to_owned).collect();
    lines.insert(body, format!("    raise RuntimeError(\"broken {number}\")"));
    lines.join("\n") + "\n"
}

#[derive(Default)]
struct Row {
    blocked: u32,
    unknown: u32,
    passed: u32,
    reruns: (usize, usize),
    rerun_ms: u64,
    seconds: f64,
}

impl Row {
    fn add(&mut self, evidence: &Evidence, seconds: f64) {
        match step(evidence, "V7").result {
            StepResult::Fail => self.blocked += 1,
            StepResult::Pass => self.passed += 1,
            StepResult::Unknown | StepResult::Skipped => self.unknown += 1,
        }
        let rerun = |tree: &str, first: usize| {
            let number = tree.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
            tree.contains("alone") || number.is_some_and(|number| number > first)
        };
        for job in evidence.jobs.iter().filter(|job| job.step == "V7") {
            let base = job.tree.starts_with("baseline") && rerun(&job.tree, 3);
            let patched = job.tree.starts_with("patched") && rerun(&job.tree, 1);
            self.reruns.0 += usize::from(base);
            self.reruns.1 += usize::from(patched);
            if base || patched {
                self.rerun_ms += job.record.duration_ms;
            }
        }
        self.seconds += seconds;
    }

    fn show(&self, rate: f64, name: &str) -> String {
        let all = f64::from(self.blocked + self.unknown + self.passed);
        let percent = |count: u32| 100.0 * f64::from(count) / all;
        format!(
            "{:>4.0}%  {name:<9} {all:>7}  {:>6.1}%  {:>6.1}%  {:>6.1}%  {:>11.1}  {:>14.1}  {:>8.1}  {:>8.1}",
            rate * 100.0,
            percent(self.blocked),
            percent(self.unknown),
            percent(self.passed),
            self.reruns.1 as f64 / all,
            self.reruns.0 as f64 / all,
            self.rerun_ms as f64 / all / 1000.0,
            self.seconds / all,
        )
    }
}

#[tokio::test]
#[ignore = "takes minutes and needs a package's sources: tests/flakes/run.sh"]
async fn flakes_in_a_real_package() {
    let package = PathBuf::from(
        std::env::var_os("GLOAMING_FLAKES_PACKAGE")
            .expect("GLOAMING_FLAKES_PACKAGE names the unpacked sources"),
    );
    let module =
        std::env::var("GLOAMING_FLAKES_MODULE").expect("GLOAMING_FLAKES_MODULE names the file to patch");
    let patches: usize =
        std::env::var("GLOAMING_FLAKES_PATCHES").ok().map_or(10, |count| count.parse().unwrap());
    let rates: Vec<f64> = std::env::var("GLOAMING_FLAKES_RATES").map_or_else(
        |_| vec![0.01, 0.05, 0.2, 0.5],
        |rates| rates.split_whitespace().map(|rate| rate.parse().expect("rates are numbers")).collect(),
    );
    let original = files(&package);
    println!(
        " rate  patch     patches  blocked  unknown   passed  reruns with  reruns without  their s  whole s"
    );
    for rate in rates {
        for (name, patch) in [("innocent", innocent as fn(&str, usize) -> String), ("breaking", breaking)] {
            let mut row = Row::default();
            for number in 0..patches {
                let mut files = original.clone();
                assert_eq!(inject(&mut files), FLAKY);
                files.insert("injected_flake.py".into(), flake(rate));
                let listed: Vec<(&str, &str)> =
                    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
                let mut case = Case::new(vec![unittest()], &listed);
                case.effort.mutants = 0;
                case.effort.coverage = false;
                let started = Instant::now();
                let after = patch(&files[&module], number);
                let Some(evidence) = case.verify(&[(&module, &after)]).await else { return };
                row.add(&evidence, started.elapsed().as_secs_f64());
            }
            println!("{}", row.show(rate, name));
        }
    }
}
