//! The command that runs one test, made of the one that runs all.

use gloaming_api::profile::{Command, CommandKind, TEST_PLACEHOLDER, TestRunner};

/// Returns a test command narrowed to one test by its runner's own selector; none where it has none.
///
/// The placeholder is always a part of an argument that cannot be taken for another option.
pub(crate) fn one_test(command: &Command) -> Option<Command> {
    let mut argv = command.argv.clone();
    let test = TEST_PLACEHOLDER;
    match command.runner? {
        TestRunner::Cargo => match argv.iter().position(|arg| arg == "--") {
            Some(at) => argv.insert(at + 1, test.to_owned()),
            None => argv.extend(["--".to_owned(), test.to_owned()]),
        },
        TestRunner::Pytest | TestRunner::Unittest => argv.push(format!("-k={test}")),
        TestRunner::GoTest => {
            let at = argv.iter().position(|arg| arg == "test").map_or(argv.len(), |at| at + 1);
            argv.insert(at, format!("-run={test}"));
        }
        TestRunner::NodeTest => {
            let at = argv.iter().position(|arg| arg == "--test").map_or(argv.len(), |at| at + 1);
            argv.insert(at, format!("--test-name-pattern={test}"));
        }
        TestRunner::Jest | TestRunner::Vitest => argv.push(format!("--testNamePattern={test}")),
        TestRunner::Mocha => argv.push(format!("--grep={test}")),
        TestRunner::Surefire => {
            let at = argv.len().saturating_sub(1);
            argv.insert(at, format!("-Dtest={test}"));
            argv.insert(at, "-Dsurefire.failIfNoSpecifiedTests=false".to_owned());
        }
        // Only the task `test` takes it.
        TestRunner::Gradle if argv.last().is_some_and(|task| task == "test") => {
            argv.push(format!("--tests={test}"));
        }
        TestRunner::Gradle => return None,
        TestRunner::Ctest => argv.extend(["-R".to_owned(), test.to_owned()]),
    }
    let mut source = command.source.clone();
    source.because = format!("the test command, narrowed to one test ({})", source.because);
    Some(Command { kind: CommandKind::TestOne, argv, source, proof: None, ..command.clone() })
}

#[cfg(test)]
mod tests {
    use gloaming_api::RelPath;
    use gloaming_api::profile::Source;

    use super::*;

    #[test]
    fn every_runner_is_narrowed_by_its_own_selector() {
        let shown: Vec<String> = TestRunner::ALL
            .iter()
            .map(|runner| {
                let argv = match runner {
                    TestRunner::Cargo => "cargo test --offline -- --nocapture",
                    TestRunner::GoTest => "go test ./...",
                    TestRunner::NodeTest => "node --test a.test.js",
                    TestRunner::Gradle => "gradle --offline test",
                    TestRunner::Surefire => "mvn -o test",
                    _ => "run",
                };
                let command = Command {
                    kind: CommandKind::Test,
                    argv: argv.split(' ').map(str::to_owned).collect(),
                    cwd: RelPath::root(),
                    env: Default::default(),
                    runner: Some(*runner),
                    source: Source { file: RelPath::root(), line: 1, because: "x".into() },
                    proof: None,
                };
                one_test(&command).unwrap().argv.join(" ")
            })
            .collect();
        assert_eq!(
            shown,
            [
                "cargo test --offline -- {test} --nocapture",
                "run -k={test}",
                "run -k={test}",
                "node --test --test-name-pattern={test} a.test.js",
                "run --testNamePattern={test}",
                "run --testNamePattern={test}",
                "run --grep={test}",
                "go test -run={test} ./...",
                "mvn -o -Dsurefire.failIfNoSpecifiedTests=false -Dtest={test} test",
                "gradle --offline test --tests={test}",
                "run -R {test}",
            ]
        );
    }
}
