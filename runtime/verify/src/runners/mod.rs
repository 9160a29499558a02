//! Test runners: how each is run so that it leaves a machine report, how the report is read, and where
//! control tests go.
//!
//! A report is read strictly. What a truncated, doubled or forged report cannot show is "unreadable", never
//! a result.

mod cargo;
mod forms;
mod go;
mod javascript;
mod junit;
mod libtest;
mod node;
mod only;
mod python;
#[cfg(test)]
mod real;

use std::collections::BTreeMap;
use std::path::Path;

use gloaming_api::RelPath;
use gloaming_api::evidence::{TestResults, TestStatus};
use gloaming_api::profile::{Command, TestRunner};

use crate::names::Names;

pub(crate) use only::only;

/// The most places that are looked for in a tree: a report may name as many as it likes.
const MOST_PLACES: usize = 5000;

/// Where a job finds the folder it leaves its report in.
pub(crate) const REPORT_MOUNT: &str = "/report";
/// Where a job finds our own files.
pub(crate) const SCRIPT_MOUNT: &str = "/gloaming";

/// One command to run, with what it needs of us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Variables beyond the environment's.
    pub(crate) env: BTreeMap<String, String>,
    /// Files to find in [`SCRIPT_MOUNT`], by name.
    pub(crate) scripts: Vec<(&'static str, String)>,
}

/// What a suite reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Results by id.
    pub(crate) tests: TestResults,
    /// What failing tests said, by id, shortened.
    pub(crate) messages: BTreeMap<String, String>,
    /// Places whose tests ran: source files for cargo and Node, modules for Python, packages for Go.
    pub(crate) places: Vec<Place>,
    /// Where in `places` each is, by name.
    place_at: BTreeMap<String, usize>,
    /// The last number given to each id that is repeated.
    numbers: BTreeMap<String, usize>,
}

/// One file, module or package whose tests ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The runner's name for it.
    pub(crate) name: String,
    /// The source file as the container sees it, where the runner says it.
    pub(crate) file: String,
    /// How many of its tests passed.
    pub(crate) passed: usize,
}

/// Returns a text with its middle left out where it has more than `max` characters: a deep trace says at its end what failed.
fn begin_and_end(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let half = max.saturating_sub(1) / 2;
    let begin: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(count - half).collect();
    format!("{begin}…{end}")
}

impl Report {
    /// Adds a result. Of two results for one id the worse one counts, so that a second can never improve
    /// the first.
    pub(crate) fn add(&mut self, id: String, status: TestStatus, message: Option<&str>) {
        if status == TestStatus::Failed
            && let Some(message) = message.map(str::trim).filter(|message| !message.is_empty())
        {
            self.messages.entry(id.clone()).or_insert_with(|| begin_and_end(message, 2000));
        }
        let severity = |status| match status {
            TestStatus::Passed => 0,
            TestStatus::ExpectedFailure => 1,
            TestStatus::Skipped => 2,
            TestStatus::Failed => 3,
        };
        let entry = self.tests.entry(id).or_insert(status);
        if severity(status) > severity(*entry) {
            *entry = status;
        }
    }

    /// Adds a result under an id of its own: a repeated id gets `#2`, `#3` and so on.
    pub(crate) fn add_numbered(&mut self, id: String, status: TestStatus, message: Option<&str>) {
        if !self.tests.contains_key(&id) {
            return self.add(id, status, message);
        }
        let mut number = self.numbers.get(&id).copied().unwrap_or(1);
        let unique = loop {
            number += 1;
            let unique = format!("{id} #{number}");
            if !self.tests.contains_key(&unique) {
                break unique;
            }
        };
        self.numbers.insert(id, number);
        self.add(unique, status, message);
    }

    /// Counts a passed (or other) test for the place it is in.
    pub(crate) fn count_place(&mut self, name: &str, file: &str, status: TestStatus) {
        let passed = usize::from(status == TestStatus::Passed);
        match self.place_at.get(name).and_then(|at| self.places.get_mut(*at)) {
            Some(place) => place.passed += passed,
            None => {
                self.place_at.insert(name.to_owned(), self.places.len());
                self.places.push(Place { name: name.to_owned(), file: file.to_owned(), passed });
            }
        }
    }

    /// Returns how many tests failed.
    pub(crate) fn failed(&self) -> usize {
        self.tests.values().filter(|status| **status == TestStatus::Failed).count()
    }

    /// Returns the places with passed tests, most of them first, at most [`MOST_PLACES`].
    pub(crate) fn best_places(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = self.places.iter().filter(|place| place.passed > 0).collect();
        places.sort_by(|a, b| b.passed.cmp(&a.passed).then_with(|| a.name.cmp(&b.name)));
        places.truncate(MOST_PLACES);
        places
    }
}

/// A tree's regular files, for finding where a control test can go. No job has run in the folder.
pub(crate) struct TreeView<'a> {
    /// The folder.
    pub(crate) dir: &'a Path,
    /// The regular files git has.
    pub(crate) files: &'a [RelPath],
}

impl TreeView<'_> {
    /// Whether git has a regular file there, so that neither it nor a folder above it is a link.
    pub(crate) fn has(&self, path: &RelPath) -> bool {
        self.files.binary_search(path).is_ok()
    }

    /// Reads a regular file git has, lossily.
    pub(crate) fn read(&self, path: &RelPath) -> Option<String> {
        let bytes = if self.has(path) { crate::host::read_tree_file(self.dir, path)? } else { return None };
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Both trees: control tests go into the patched one, and say what tests say on either.
pub(crate) struct Trees<'a> {
    /// The base.
    pub(crate) base: &'a TreeView<'a>,
    /// The base with the patch.
    pub(crate) patched: &'a TreeView<'a>,
}

impl Trees<'_> {
    /// What one file of tests says on both.
    fn texts(&self, path: &RelPath) -> forms::Texts {
        let read = |tree: &TreeView<'_>| tree.read(path).into_iter().collect();
        forms::Texts { before: read(self.base), after: read(self.patched) }
    }
}

/// Tests to add to a tree, one that holds and at least one that does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// The file to write.
    pub(crate) path: RelPath,
    /// What is added behind the file's content; the whole content of a new file.
    pub(crate) text: String,
    /// Only the id of the passing test contains this.
    pub(crate) passes: String,
    /// Only the ids of the failing tests contain one of these each: a test for each way in which the neighbours say what
    /// has to hold.
    pub(crate) fails: Vec<String>,
}

impl Control {
    /// Whether an id is that of one of them.
    pub(crate) fn names(&self, id: &str) -> bool {
        id.contains(&self.passes) || self.fails.iter().any(|name| id.contains(name))
    }
}

/// Where control tests stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placing {
    /// In a new file beside one whose tests ran.
    Beside,
    /// Behind the tests of a file whose tests ran.
    Inside,
}

/// The most files that get control tests inside.
const MOST_INSIDE: usize = 40;

/// Returns where control tests can stand, what shows most first.
///
/// Where one process runs every test, code that replaces what they check with does so for a new file too, and nothing of a
/// new file is in the way. Where each file has a process or a world of its own, a new one does not even load that code. A
/// command that names its files never runs a new one. Mocha has one process, and no words of its own for what has to hold:
/// only inside a file is it known what that checks by.
pub(crate) fn placings(command: &Command) -> &'static [Placing] {
    match command.runner {
        Some(TestRunner::Cargo) => &[Placing::Inside],
        Some(TestRunner::NodeTest | TestRunner::Jest | TestRunner::Vitest | TestRunner::Mocha) => {
            &[Placing::Inside, Placing::Beside]
        }
        _ => &[Placing::Beside, Placing::Inside],
    }
}

/// Returns the command that has to succeed before the suite can run (compiling the tests), for runners
/// with one.
pub(crate) fn prepare(command: &Command) -> Result<Option<Invocation>, String> {
    match command.runner {
        Some(TestRunner::Cargo) => cargo::prepare(command).map(Some),
        _ => Ok(None),
    }
}

/// Returns the command that runs the suite and leaves a report. `prepared` is the report folder that
/// [`prepare`]'s command wrote to.
pub(crate) fn run(command: &Command, prepared: Option<&Path>) -> Result<Invocation, String> {
    match command.runner {
        Some(TestRunner::Cargo) => cargo::run(command, prepared),
        Some(TestRunner::Pytest) => python::pytest(command),
        Some(TestRunner::Unittest) => python::unittest(command),
        Some(TestRunner::NodeTest) => node::run(command),
        Some(TestRunner::Jest) => javascript::jest(command),
        Some(TestRunner::Vitest) => javascript::vitest(command),
        Some(TestRunner::Mocha) => javascript::mocha(command),
        Some(TestRunner::GoTest) => go::run(command),
        Some(TestRunner::Surefire | TestRunner::Gradle | TestRunner::Ctest) | None => {
            Err("the test command's runner is not one whose machine report is known".to_owned())
        }
    }
}

/// Reads what the suite left. `Err` says why there is no positive evidence that it ran.
pub(crate) fn read(command: &Command, report: &Path, prepared: Option<&Path>) -> Result<Report, String> {
    match command.runner {
        Some(TestRunner::Cargo) => cargo::read(report, prepared),
        Some(TestRunner::Pytest) => junit::read(report, junit::Flavour::Pytest),
        Some(TestRunner::Unittest) => python::read_unittest(report),
        Some(TestRunner::NodeTest) => node::read(report),
        Some(TestRunner::Jest) => javascript::read_jest(report),
        Some(TestRunner::Vitest) => junit::read(report, junit::Flavour::Vitest),
        Some(TestRunner::Mocha) => junit::read(report, junit::Flavour::Mocha),
        Some(TestRunner::GoTest) => go::read(report),
        Some(TestRunner::Surefire | TestRunner::Gradle | TestRunner::Ctest) | None => {
            Err("the test command's runner is not one whose machine report is known".to_owned())
        }
    }
}

/// Returns where control tests go, given what the suite reported on the same tree. `Err` says why there is
/// no place for them.
pub(crate) fn controls(
    command: &Command,
    placing: Placing,
    report: &Report,
    trees: &Trees<'_>,
    names: &mut Names,
) -> Result<Vec<Control>, String> {
    let controls = match command.runner {
        Some(TestRunner::Cargo) => cargo::controls(report, trees, names),
        Some(TestRunner::Pytest) => python::controls_pytest(command, placing, report, trees, names),
        Some(TestRunner::Unittest) => python::controls_unittest(command, placing, report, trees, names),
        Some(runner @ (TestRunner::NodeTest | TestRunner::Jest | TestRunner::Vitest | TestRunner::Mocha)) => {
            javascript::controls(runner, placing, report, trees, names)
        }
        Some(TestRunner::GoTest) => go::controls(placing, report, trees, names),
        Some(TestRunner::Surefire | TestRunner::Gradle | TestRunner::Ctest) | None => Vec::new(),
    };
    if controls.is_empty() {
        return Err(match placing {
            Placing::Beside => "no file with passing tests was found to put control tests beside",
            Placing::Inside => "no file with passing tests was found that takes control tests",
        }
        .to_owned());
    }
    Ok(controls)
}

/// Reads a report file that has to be there.
fn required(report: &Path, name: &str) -> Result<Vec<u8>, String> {
    match crate::host::read_report(report, name) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(format!("the suite left no report ({name} is missing)")),
        Err(error) => Err(format!("the report {name} cannot be read: {error}")),
    }
}

/// Inserts `extra` before a `--` in `argv`, or at its end.
fn with_options(argv: &[String], extra: &[&str]) -> Vec<String> {
    let at = argv.iter().position(|arg| arg == "--").unwrap_or(argv.len());
    let mut out = argv[..at].to_vec();
    out.extend(extra.iter().map(|arg| (*arg).to_owned()));
    out.extend_from_slice(&argv[at..]);
    out
}

/// Returns a command of the tests of this module's children.
#[cfg(test)]
pub(crate) fn test_command(runner: TestRunner, argv: &[&str]) -> Command {
    Command {
        kind: gloaming_api::profile::CommandKind::Test,
        argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
        cwd: RelPath::root(),
        env: BTreeMap::new(),
        runner: Some(runner),
        source: gloaming_api::profile::Source {
            file: RelPath::parse("manifest").expect("a plain name"),
            line: 1,
            because: String::new(),
        },
        proof: None,
    }
}

/// `id status` lines of a report, for comparing whole reports in tests.
#[cfg(test)]
fn lines(report: &Report) -> String {
    report
        .tests
        .iter()
        .map(|(id, status)| format!("{id} = {}\n", serde_json::to_value(status).unwrap().as_str().unwrap()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_result_can_never_improve_the_first() {
        let mut report = Report::default();
        report.add("a".into(), TestStatus::Failed, Some("boom"));
        report.add("a".into(), TestStatus::Passed, None);
        report.add("b".into(), TestStatus::Passed, None);
        report.add("b".into(), TestStatus::Failed, None);
        assert_eq!(lines(&report), "a = failed\nb = failed\n");
        assert_eq!(report.messages["a"], "boom");
    }

    #[test]
    fn a_deep_trace_keeps_what_it_says_at_its_end() {
        let mut report = Report::default();
        let trace = format!("begin\n{}ValueError: not enough", "in a call\n".repeat(1000));
        report.add("a".into(), TestStatus::Failed, Some(&trace));
        let kept = &report.messages["a"];
        assert!(kept.starts_with("begin") && kept.ends_with("ValueError: not enough"), "{kept}");
        assert!(kept.chars().count() <= 2000);
    }

    #[test]
    fn very_many_results_of_one_name_in_very_many_places_are_told_apart() {
        let mut report = Report::default();
        let many = 100_000;
        for number in 0..many {
            report.add_numbered("a".into(), TestStatus::Passed, None);
            report.count_place(&format!("p{number}"), "", TestStatus::Passed);
        }
        report.count_place("p7", "", TestStatus::Passed);
        assert_eq!((report.tests.len(), report.places.len(), report.places[7].passed), (many, many, 2));
        assert!(["a", "a #2", "a #100000"].iter().all(|id| report.tests.contains_key(*id)));
    }

    #[test]
    fn options_go_before_a_double_dash() {
        let argv = ["a".to_owned(), "--".to_owned(), "b".to_owned()];
        assert_eq!(with_options(&argv, &["-x"]), ["a", "-x", "--", "b"]);
        assert_eq!(with_options(&argv[..1], &["-x"]), ["a", "-x"]);
    }
}
