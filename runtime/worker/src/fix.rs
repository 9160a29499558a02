//! A linter's own fixes: the profile's command in the form that changes files, as a job on a copy, and what it made of the
//! repository's files.
//!
//! What comes back is content and nothing else, read as tools read: nothing here writes to the workspace.

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_api::job::{JobPurpose, JobRecord};
use gloaming_api::profile::{Command, CommandKind};
use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome};
use gloaming_jobs::JobError;
use gloaming_sandbox::Files;
use gloaming_syntax::{Language, Renames, test_changes};
use gloaming_workspace::role;
use serde_json::{Value, json};

use crate::check::{Bench, on_copy, render};

/// A tool that can change what it finds.
struct Fixer {
    /// The words that name it in a command, in a row.
    words: &'static [&'static str],
    /// What is added behind them.
    add: &'static [&'static str],
    /// What is taken out, wherever it stands: what keeps files as they are, or asks for a report that nobody reads.
    drop: &'static [&'static str],
}

const FIXERS: &[Fixer] = &[
    // The copy may be no repository, and whatever differs in it from a commit is ours.
    Fixer {
        words: &["cargo", "clippy"],
        add: &["--fix", "--allow-dirty", "--allow-staged", "--allow-no-vcs"],
        drop: &["--message-format"],
    },
    Fixer { words: &["cargo", "fmt"], add: &[], drop: &["--check"] },
    Fixer { words: &["rustfmt"], add: &[], drop: &["--check"] },
    Fixer { words: &["ruff", "check"], add: &["--fix"], drop: &["--no-fix", "--diff", "--output-format"] },
    Fixer { words: &["ruff", "format"], add: &[], drop: &["--check", "--diff"] },
    Fixer { words: &["black"], add: &[], drop: &["--check", "--diff"] },
    Fixer { words: &["isort"], add: &[], drop: &["--check", "--check-only", "-c", "--diff", "-d"] },
    Fixer { words: &["eslint"], add: &["--fix"], drop: &["--format", "-f"] },
    Fixer { words: &["prettier"], add: &["--write"], drop: &["--check", "-c", "--list-different", "-l"] },
    Fixer { words: &["biome", "check"], add: &["--write"], drop: &["--reporter"] },
    Fixer { words: &["biome", "lint"], add: &["--write"], drop: &["--reporter"] },
    Fixer { words: &["biome", "format"], add: &["--write"], drop: &["--reporter"] },
    Fixer { words: &["gofmt"], add: &["-w"], drop: &["-l", "-d"] },
    Fixer { words: &["golangci-lint", "run"], add: &["--fix"], drop: &["--out-format"] },
];

/// Options in the table whose value stands apart from them.
const VALUED: &[&str] =
    &["--message-format", "--output-format", "--format", "-f", "--reporter", "--out-format"];

/// Returns a command in the form that fixes what it finds; none where its tool is not known to fix anything, or is behind
/// a script.
fn fixing(argv: &[String]) -> Option<Vec<String>> {
    let (fixer, behind) = FIXERS.iter().find_map(|fixer| Some((fixer, named_at(argv, fixer.words)?)))?;
    // `eslint -c` names a file, `isort -c` checks: what is dropped is the tool's own.
    let mut out: Vec<String> = argv[..behind].to_vec();
    out.extend(fixer.add.iter().map(|flag| (*flag).to_owned()));
    let mut words = argv[behind..].iter().peekable();
    let mut apart = false;
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        apart |= word == "--";
        if fixer.drop.contains(&name) {
            if VALUED.contains(&name) && !word.contains('=') {
                words.next();
            }
            continue;
        }
        // What is an error keeps the compiler from going on, and clippy then takes its fixes back.
        let softened = match word.as_str() {
            "-D" | "--deny" | "-F" | "--forbid" if apart && fixer.words == ["cargo", "clippy"] => {
                "-W".to_owned()
            }
            deny if apart && fixer.words == ["cargo", "clippy"] && deny.starts_with("-D") => {
                format!("-W{}", &deny[2..])
            }
            other => other.to_owned(),
        };
        if fixer.add.contains(&softened.as_str()) {
            continue;
        }
        out.push(softened);
    }
    if out.last().is_some_and(|last| last == "--") {
        out.pop();
    }
    Some(out)
}

/// The place behind the words that name a tool: at the start, or behind a runner (`python3 -m`, `npx`, `uv run`).
fn named_at(argv: &[String], words: &[&str]) -> Option<usize> {
    let name = |word: &String| word.rsplit('/').next().unwrap_or(word).to_owned();
    let start = match name(argv.first()?).as_str() {
        python if python.starts_with("python") => argv.iter().position(|word| word == "-m")? + 1,
        "npx" | "bunx" => 1,
        "uv" | "poetry" | "pdm" | "hatch" | "pipenv" if argv.get(1).is_some_and(|word| word == "run") => 2,
        "yarn" | "pnpm" if argv.get(1).is_some_and(|word| word == "exec") => 2,
        _ => 0,
    };
    let mut at = start;
    for wanted in words {
        // A toolchain may stand between: `cargo +nightly clippy`.
        if argv.get(at)?.starts_with('+') {
            at += 1;
        }
        if name(argv.get(at)?) != *wanted {
            return None;
        }
        at += 1;
    }
    Some(at)
}

/// Runs the fixes of the profile's command of a kind; the answer has what became of each of `paths` that changed.
pub(crate) async fn call(
    bench: &Bench<'_>,
    files: &Files,
    paths: Vec<RelPath>,
    kind: CommandKind,
) -> Result<(ToolOutcome, Option<JobRecord>), JobError> {
    let refuse = |error: ToolError| Ok((ToolOutcome::error(error), None));
    let Some(command) = bench.profile.command(kind) else {
        let message = format!("this repository has no known {} command", kind.as_str());
        return refuse(ToolError::new(ToolErrorCode::NotFound, message));
    };
    let Some(argv) = fixing(&command.argv) else {
        let message = format!(
            "`{}` is not known to fix what it finds, or its tool is behind a script",
            command.argv.join(" ")
        );
        return refuse(ToolError::new(ToolErrorCode::NotFound, message));
    };
    let read = match bench.grant.permit_tool("read") {
        Ok(permit) => permit,
        Err(denial) => return refuse(denial.of_tool("read")),
    };
    let fix = Command { argv: argv.clone(), ..command.clone() };
    let job =
        match on_copy(bench, command, fix.argv, JobPurpose::Lint, format!("fix {}", kind.as_str())).await? {
            Ok(job) => job,
            Err(error) => return refuse(error),
        };
    let existing_tests = bench.grant.change().existing_tests;
    let (files, redactor, tree) = (files.clone(), job.output.redactor.clone(), job.tree.clone());
    let compared = tokio::task::spawn_blocking(move || {
        // What a job leaves is anybody's work: it is read without following a link, within its own folder.
        let made = Files::open(&tree)?;
        let (mut changed, mut left) = (Vec::new(), Vec::new());
        for path in paths {
            let Ok(Some(before)) = files.read(&read, &path) else { continue };
            let why = match made.read(&read, &path) {
                Ok(Some(after)) if after == before => continue,
                Ok(Some(after)) if redactor.bytes(&after) != after => "what was made of it holds a secret",
                Ok(Some(after)) => match kept(&path, &before, &after, existing_tests) {
                    Some(why) => why,
                    None => match String::from_utf8(after) {
                        Ok(content) => {
                            changed.push(json!({"path": path.as_str(), "content": content}));
                            continue;
                        }
                        Err(_) => "what was made of it is not UTF-8",
                    },
                },
                Ok(None) => "it was removed, which no fix is",
                Err(_) => "what was made of it is no plain file, or too large",
            };
            left.push(format!("{path}: {why}"));
        }
        Ok::<_, gloaming_sandbox::SandboxError>((changed, left))
    })
    .await;
    let (changed, left): (Vec<Value>, Vec<String>) = match looked_at(compared) {
        Ok(compared) => compared,
        Err(error) => return refuse(error),
    };
    let record = job.output.record;
    let outcome = ToolOutcome::ok(json!({
        "command": argv.join(" "),
        "text": render(&record, &job.output.stdout, &job.output.stderr),
        "exit": record.exit.code(),
        "ended": record.exit.to_string(),
        "files": changed,
        "left": left,
    }));
    Ok((outcome, Some(record)))
}

/// Says why a fix is left out; none where it is taken. One that says something else in an existing test would be refused
/// together with all the others (V8), unless the policy lets tests change.
fn kept(path: &RelPath, before: &[u8], after: &[u8], existing_tests: bool) -> Option<&'static str> {
    let role = role(path);
    let is_test = role == FileRole::Test;
    match Language::of(path.as_str()) {
        _ if role == FileRole::RunnerConfig => Some("it configures what runs the tests"),
        _ if existing_tests => None,
        Some(language) if is_test || role == FileRole::Code => {
            let changes = test_changes(language, before, after, &Renames::default(), is_test);
            (!changes.is_empty()).then_some("an existing test would say something else")
        }
        _ => is_test.then_some("it is data of the tests"),
    }
}

/// Returns what was found in the folder that a job has left.
pub(crate) fn looked_at<T>(
    compared: Result<Result<T, gloaming_sandbox::SandboxError>, tokio::task::JoinError>,
) -> Result<T, ToolError> {
    match compared {
        Ok(found) => found.map_err(|error| {
            let message = format!("what the job made could not be looked at: {error}");
            ToolError::new(ToolErrorCode::Internal, message)
        }),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use gloaming_api::RelPath;

    #[test]
    fn what_tests_say_and_what_runs_them_is_left() {
        let rust = "fn one() -> u32 { return 1; }\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn is_one() { assert_eq!(super::one(), 1); }\n}\n";
        let python = "def test_one():\n    assert one() == int(1)\n";
        let told = |path: &str, before: &str, after: &str, existing_tests: bool| {
            let path = RelPath::parse(path).unwrap();
            super::kept(&path, before.as_bytes(), after.as_bytes(), existing_tests)
        };
        let spaced = "def test_one():\n    assert  one() == int( 1 )\n";
        assert_eq!(told("src/lib.rs", rust, &rust.replace("return 1;", "1"), false), None);
        assert_eq!(told("tests/test_one.py", python, spaced, false), None, "layout says nothing");
        let code = (rust, &*rust.replace("super::one(), 1", "1, super::one()"));
        let test = (python, &*python.replace("int(1)", "1"));
        let says = Some("an existing test would say something else");
        assert_eq!(told("src/lib.rs", code.0, code.1, false), says);
        assert_eq!(told("src/lib.rs", code.0, code.1, true), None);
        assert_eq!(told("tests/test_one.py", test.0, test.1, false), says);
        assert_eq!(told("tests/test_one.py", test.0, test.1, true), None);
        assert_eq!(told("tests/want.txt", "1 \n", "1\n", false), Some("it is data of the tests"));
        assert_eq!(told("tests/want.txt", "1 \n", "1\n", true), None);
        let runs = Some("it configures what runs the tests");
        assert_eq!(told("conftest.py", "import a, os\n", "import os\n", true), runs);
        assert_eq!(told("README.md", "a \n", "a\n", false), None);
    }

    #[test]
    fn a_command_is_known_in_the_form_that_fixes() {
        let told = |command: &str| {
            let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
            super::fixing(&argv).map_or("none".to_owned(), |argv| argv.join(" "))
        };
        for (command, want) in [
            (
                "cargo clippy --offline --all-targets -- -D warnings -Dclippy::all",
                "cargo clippy --fix --allow-dirty --allow-staged --allow-no-vcs --offline --all-targets -- -W warnings -Wclippy::all",
            ),
            ("cargo +nightly fmt --all -- --check", "cargo +nightly fmt --all"),
            ("cargo fmt --all --check", "cargo fmt --all"),
            ("python3 -m ruff check --output-format github .", "python3 -m ruff check --fix ."),
            ("uv run ruff format --check", "uv run ruff format"),
            ("ruff check --fix src", "ruff check --fix src"),
            ("black --check --diff src", "black src"),
            ("npx eslint -c own.json -f=unix src", "npx eslint --fix -c own.json src"),
            ("node_modules/.bin/prettier -c .", "node_modules/.bin/prettier --write ."),
            ("gofmt -l .", "gofmt -w ."),
            ("golangci-lint run ./...", "golangci-lint run --fix ./..."),
            ("npm run lint", "none"),
            ("go vet ./...", "none"),
            ("flake8", "none"),
            ("cargo", "none"),
            ("", "none"),
        ] {
            assert_eq!(told(command), want, "{command}");
        }
    }
}
