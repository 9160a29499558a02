//! V9, first half: which of the lines that a patch adds its tests run.
//!
//! One more run of the suite on the patched tree, under the ecosystem's own measuring tool where there is one. What was
//! measured only lowers confidence: code that misreports it gains nothing that it could not gain by not being
//! measured at all.

mod formats;
mod lines;

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::RelPath;
use gloaming_api::evidence::{ChangedLines, FileRole};
use gloaming_api::profile::{Command, CommandKind, TestRunner};
use gloaming_syntax::Language;

use crate::VerifyError;
use crate::bench::{Bench, Lane};
use crate::change::Change;
use crate::host;
use crate::runners::{Invocation, REPORT_MOUNT, SCRIPT_MOUNT, TreeView};
use crate::steps::{count, some_of};

pub(crate) use lines::product_lines;

/// Lines of a file that were run in some process, and those that could have been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FileLines {
    run: BTreeSet<u32>,
    missed: BTreeSet<u32>,
}

/// Measured lines by file.
type Measured = BTreeMap<RelPath, FileLines>;

/// How a suite is measured.
struct Tool {
    /// Its name in evidence.
    name: &'static str,
    invocation: Invocation,
    read: fn(&std::path::Path, &TreeView<'_>, &RelPath) -> Option<Measured>,
}

/// What the measurement says; `Err` is the rule by which there is none.
pub(crate) async fn measure(
    bench: &mut Bench<'_>,
    lane: &Lane,
    change: &Change,
) -> Result<Result<(ChangedLines, String), String>, VerifyError> {
    let changed = product_lines(change);
    if changed.is_empty() {
        return Ok(Err("the patch adds no line of code".into()));
    }
    let Some(command) = bench.inputs.profile.command(CommandKind::Test) else {
        return Ok(Err("the profile has no test command".into()));
    };
    let tool = match tool(command) {
        Ok(tool) => tool,
        Err(why) => return Ok(Err(why)),
    };
    bench.tell("V9", format!("measuring which changed lines the tests run, by {}", tool.name));
    let report = bench.report_dir()?;
    let output = bench.measured(lane, command, &tool.invocation, &report, "patched-coverage").await?;
    let missing = host::exists(&report.join("coverage.missing"));
    let measured = (tool.read)(&report, &lane.view(), &command.cwd);
    host::remove_dir(&report);
    if missing {
        return Ok(Err(format!("{} is not installed where the tests run", tool.name)));
    }
    let Some(measured) = measured.filter(|measured| !measured.is_empty()) else {
        return Ok(Err(format!("{} left no report; the suite ended with {}", tool.name, output.record.exit)));
    };
    Ok(match judge(&changed, &measured, tool.name) {
        Some(told) => Ok(told),
        None => Err("none of the added lines can be run".into()),
    })
}

fn judge(
    changed: &BTreeMap<RelPath, BTreeSet<u32>>,
    measured: &Measured,
    tool: &str,
) -> Option<(ChangedLines, String)> {
    let mut covered = 0;
    let mut uncovered: Vec<String> = Vec::new();
    for (path, lines) in changed {
        // A file that no test loads has no lines in some reports.
        let Some(file) = measured.get(path) else { continue };
        for line in lines {
            if file.run.contains(line) {
                covered += 1;
            } else if file.missed.contains(line) {
                uncovered.push(format!("{path}:{line}"));
            }
        }
    }
    let all = covered + uncovered.len();
    if all == 0 {
        return None;
    }
    let mut detail = format!("the tests run {covered} of {} ({tool})", count(all, "changed line"));
    if !uncovered.is_empty() {
        detail.push_str(&format!(", not {}", some_of(&uncovered)));
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let lines =
        ChangedLines { covered: number(covered), uncovered: number(uncovered.len()), tool: tool.to_owned() };
    Some((lines, detail))
}

fn tool(command: &Command) -> Result<Tool, String> {
    match command.runner {
        Some(TestRunner::Pytest) => python(command, "pytest"),
        Some(TestRunner::Unittest) => python(command, "unittest"),
        Some(TestRunner::Cargo) => cargo(command),
        Some(TestRunner::GoTest) => go(command),
        Some(TestRunner::NodeTest | TestRunner::Mocha) => Ok(node(command)),
        Some(TestRunner::Jest | TestRunner::Vitest) => {
            Err("the runner rewrites the code it runs: its lines are not the files'".into())
        }
        Some(TestRunner::Surefire | TestRunner::Gradle | TestRunner::Ctest) => {
            Err("lines are not measured for this runner".into())
        }
        None => Err("the test command's runner is not known".into()),
    }
}

/// `python3 -m pytest ...` and `pytest ...` are both `python3 -m coverage run -m pytest ...`.
fn python(command: &Command, module: &str) -> Result<Tool, String> {
    let words = &command.argv;
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let by_module = words.windows(2).position(|pair| pair[0] == "-m" && pair[1] == module);
    let (interpreter, rest) = match by_module {
        Some(at) if at >= 1 && name(&words[at - 1]).starts_with("python") => {
            (words[at - 1].clone(), &words[at + 2..])
        }
        _ => match words.first() {
            Some(first) if name(first) == module => {
                let folder = first.strip_suffix(module).unwrap_or("");
                let python = if folder.is_empty() { "python3".to_owned() } else { format!("{folder}python") };
                (python, &words[1..])
            }
            _ => return Err(format!("`{}` cannot be measured: it is behind a script", words.join(" "))),
        },
    };
    let mut argv = script("cover-python");
    argv.extend([interpreter, "-m".to_owned(), module.to_owned()]);
    argv.extend_from_slice(rest);
    Ok(Tool {
        name: "coverage.py",
        invocation: Invocation {
            argv,
            env: command.env.clone(),
            scripts: vec![("cover-python", include_str!("../../scripts/cover-python.sh").into())],
        },
        read: formats::coverage_py,
    })
}

fn cargo(command: &Command) -> Result<Tool, String> {
    let end = command.argv.iter().position(|word| word == "--").unwrap_or(command.argv.len());
    let mut argv = script("cover-cargo");
    argv.extend(command.argv[..end].iter().filter(|word| *word != "--no-fail-fast").cloned());
    Ok(Tool {
        name: "llvm-cov",
        invocation: Invocation {
            argv,
            env: command.env.clone(),
            scripts: vec![("cover-cargo", include_str!("../../scripts/cover-cargo.sh").into())],
        },
        read: formats::lcov,
    })
}

fn go(command: &Command) -> Result<Tool, String> {
    let at = command
        .argv
        .windows(2)
        .position(|pair| pair[0].rsplit('/').next() == Some("go") && pair[1] == "test")
        .ok_or_else(|| format!("`{}` cannot be measured: it is behind a script", command.argv.join(" ")))?;
    let mut argv = command.argv.clone();
    let profile = format!("-coverprofile={REPORT_MOUNT}/{}", formats::GO_FILE);
    argv.splice(at + 2..at + 2, ["-coverpkg=./...".to_owned(), profile]);
    Ok(Tool {
        name: "go cover",
        invocation: Invocation { argv, env: command.env.clone(), scripts: Vec::new() },
        read: formats::go_profile,
    })
}

/// Node measures by itself when it is told where to: what c8 is made of.
fn node(command: &Command) -> Tool {
    let mut env = command.env.clone();
    env.insert("NODE_V8_COVERAGE".into(), REPORT_MOUNT.into());
    env.insert("CI".into(), "1".into());
    Tool {
        name: "v8",
        invocation: Invocation { argv: command.argv.clone(), env, scripts: Vec::new() },
        read: formats::v8,
    }
}

fn script(name: &str) -> Vec<String> {
    vec!["/bin/sh".to_owned(), format!("{SCRIPT_MOUNT}/{name}")]
}

/// Whether lines of a file can be measured at all.
fn is_code(path: &RelPath, role: FileRole) -> bool {
    role == FileRole::Code && Language::of(path.as_str()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runners::test_command;

    #[test]
    fn commands() {
        let check = |runner, argv: &[&str]| match tool(&test_command(runner, argv)) {
            Ok(tool) => format!("{}: {}", tool.name, tool.invocation.argv.join(" ")),
            Err(why) => why,
        };
        use TestRunner::{Cargo, GoTest, Jest, NodeTest, Pytest, Unittest};
        let shown = [
            check(Pytest, &["python3", "-m", "pytest", "-q", "tests"]),
            check(Pytest, &["venv/bin/pytest"]),
            check(Pytest, &["pytest", "-x"]),
            check(Pytest, &["make", "test"]),
            check(Unittest, &["python3", "-m", "unittest", "discover"]),
            check(Cargo, &["cargo", "test", "--workspace", "--", "--test-threads=1"]),
            check(GoTest, &["go", "test", "./..."]),
            check(NodeTest, &["npm", "test"]),
            check(Jest, &["npx", "jest"]),
        ];
        insta::assert_snapshot!(shown.join("\n"), @r"
        coverage.py: /bin/sh /gloaming/cover-python python3 -m pytest -q tests
        coverage.py: /bin/sh /gloaming/cover-python venv/bin/python -m pytest
        coverage.py: /bin/sh /gloaming/cover-python python3 -m pytest -x
        `make test` cannot be measured: it is behind a script
        coverage.py: /bin/sh /gloaming/cover-python python3 -m unittest discover
        llvm-cov: /bin/sh /gloaming/cover-cargo cargo test --workspace
        go cover: go test -coverpkg=./... -coverprofile=/report/go.cover ./...
        v8: npm test
        the runner rewrites the code it runs: its lines are not the files'
        ");
    }

    #[test]
    fn only_lines_that_can_be_run_count() {
        let path = RelPath::parse("a.py").unwrap();
        let changed = BTreeMap::from([(path.clone(), BTreeSet::from([1, 2, 3, 9]))]);
        let file = FileLines { run: [1, 7].into(), missed: [2, 8].into() };
        let (lines, detail) = judge(&changed, &[(path, file)].into(), "t").unwrap();
        assert_eq!((lines.covered, lines.uncovered), (1, 1));
        assert_eq!(detail, "the tests run 1 of 2 changed lines (t), not a.py:2");
        assert_eq!(judge(&changed, &Measured::new(), "t"), None);
    }
}
