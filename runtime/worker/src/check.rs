//! The one tool that runs anything: a job of the profile's command, as it is on the base.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gloaming_api::RelPath;
use gloaming_api::job::{JobPurpose, JobRecord};
use gloaming_api::path::escape_name;
use gloaming_api::profile::{Command, CommandKind, Profile, TestRunner};
use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome, ToolSpec};
use gloaming_jobs::{Cancel, Engine, Job, JobError};
use gloaming_policies::{Denial, Grant};
use gloaming_profile::Provision;
use serde::Deserialize;
use serde_json::{Value, json};

/// Bytes of a command's output that a model is shown, the head and the tail of each stream.
const SHOWN: usize = 12 * 1024;

/// What `check` needs of an attempt.
pub struct Bench<'a> {
    /// The policy.
    pub grant: &'a Grant,
    /// The commands, from the base.
    pub profile: &'a Profile,
    /// Where jobs run.
    pub engine: &'a dyn Engine,
    /// The dependencies that were set up for the base, and the network that policy lets jobs have; none where jobs have
    /// what the environment has.
    pub provision: Option<Provision<'a>>,
    /// The workspace the tools write to.
    pub workspace: PathBuf,
    /// A host folder of our own for copies and build caches.
    pub work_dir: PathBuf,
    /// Stops the job.
    pub cancel: &'a Cancel,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    what: What,
    #[serde(default)]
    selector: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Build,
    Test,
    TestOne,
    Lint,
}

/// Returns the tool as a model is offered it.
pub fn spec() -> ToolSpec {
    ToolSpec {
        name: "check".into(),
        description: "Runs the repository's own build, test or lint command in a container without network and \
                      shows how it ended. The command is the one of the base commit; it cannot be changed. It runs \
                      on a copy: files it writes do not come back. Use `test_one` with a `selector` while working, \
                      `test` before you finish."
            .into(),
        input_schema: json!({
            "type": "object",
            "properties": {
                "what": {"type": "string", "enum": ["build", "test", "test_one", "lint"], "description": "Which command."},
                "selector": {"type": "string", "description": "For `test_one`: the test's name or a part of it; for pytest also path::name."}
            },
            "required": ["what"],
            "additionalProperties": false
        }),
        writes: false,
        component: None,
    }
}

pub(crate) fn denied(purpose: JobPurpose, denial: Denial) -> ToolError {
    ToolError {
        code: ToolErrorCode::Denied,
        rule: Some(denial.rule.id),
        message: format!("policy does not let {} jobs run: {}", purpose.as_str(), denial.rule.because),
        instead: denial.instead,
    }
}

/// Runs the command that `args` name and returns what a model is shown, and the job's record.
pub async fn call(bench: &Bench<'_>, args: &Value) -> Result<(ToolOutcome, Option<JobRecord>), JobError> {
    let refuse = |error: ToolError| Ok((ToolOutcome::error(error), None));
    let args: Args = match serde_json::from_value(args.clone()) {
        Ok(args) => args,
        Err(error) => {
            return refuse(
                ToolError::new(ToolErrorCode::InvalidInput, format!("the arguments do not fit: {error}"))
                    .instead(
                        "Give `what` as one of build, test, test_one, lint; `selector` only with test_one.",
                    ),
            );
        }
    };
    let (kind, purpose) = match args.what {
        What::Build => (CommandKind::Build, JobPurpose::Build),
        What::Test | What::TestOne => (CommandKind::Test, JobPurpose::Test),
        What::Lint => (CommandKind::Lint, JobPurpose::Lint),
    };
    let Some(command) = bench.profile.command(kind) else {
        return refuse(
            ToolError::new(
                ToolErrorCode::NotFound,
                format!("this repository has no known {} command", kind.as_str()),
            )
            .instead("Go on without it, or use another of build, test, lint."),
        );
    };
    let argv = match (args.what, args.selector) {
        (What::TestOne, Some(selector)) => {
            let folder = bench.workspace.join(command.cwd.as_str());
            match select(command, &selector, &|name| folder.join(name).exists()) {
                Ok(argv) => argv,
                Err(error) => return refuse(error),
            }
        }
        (What::TestOne, None) => {
            return refuse(
                ToolError::new(ToolErrorCode::InvalidInput, "test_one needs a selector")
                    .instead("Give `selector`: the name of a test or a part of it; or use what: test."),
            );
        }
        (_, Some(_)) => {
            return refuse(
                ToolError::new(ToolErrorCode::InvalidInput, "a selector is only for test_one")
                    .instead("Use what: test_one, or leave the selector out."),
            );
        }
        (_, None) => command.argv.clone(),
    };
    let label = format!("check {}", kind.as_str());
    let Ran { output, withheld, .. } = match on_copy(bench, command, argv, purpose, label).await? {
        Ok(ran) => ran,
        Err(error) => return refuse(error),
    };
    let mut text = render(&output.record, &output.stdout, &output.stderr);
    if !output.record.exit.success() && !withheld.is_empty() {
        text.push_str(&format!("--- note\n{}\n", withheld_note(&withheld)));
    }
    let result = json!({
        "text": text,
        "exit": output.record.exit.code(),
        "ended": output.record.exit.to_string(),
        "duration_ms": output.record.duration_ms,
    });
    Ok((ToolOutcome::ok(result), Some(output.record)))
}

/// A job that ran on a copy of the workspace.
pub(crate) struct Ran {
    pub(crate) output: gloaming_jobs::JobOutput,
    /// The files it did not see.
    pub(crate) withheld: Vec<RelPath>,
    /// The copy, as it left it.
    pub(crate) tree: PathBuf,
    /// Whether it had network.
    pub(crate) reaches: bool,
}

/// Runs a command of the profile, or a form of it, on a copy of the workspace, where its kind of job may run. A job of
/// set-up gets places of its own for what it fetches and no secret; every other sees the dependencies of the base.
pub(crate) async fn on_copy(
    bench: &Bench<'_>,
    command: &Command,
    argv: Vec<String>,
    purpose: JobPurpose,
    label: String,
) -> Result<Result<Ran, ToolError>, JobError> {
    let permit = match bench.grant.permit_command(purpose, &command.argv, command.env.keys()) {
        Ok(permit) if purpose == JobPurpose::Setup => permit.without_secrets(),
        Ok(permit) => permit,
        Err(denial) => return Ok(Err(denied(purpose, denial))),
    };
    // A job's debris must never end in the patch, so it gets a copy; the build cache stays between calls.
    let copy = bench.work_dir.join("tree");
    let scratch = bench.work_dir.join("scratch");
    let (from, to, keep) = (bench.workspace.clone(), copy.clone(), scratch.clone());
    let grant = bench.grant.clone();
    let copied = tokio::task::spawn_blocking(move || {
        remove_if_there(&to)?;
        std::fs::create_dir_all(&keep)?;
        seen_by_jobs(&from, &to, &grant)
    })
    .await;
    let withheld = match copied {
        Ok(Ok(withheld)) => withheld,
        Ok(Err(error)) => {
            return Ok(Err(ToolError::new(
                ToolErrorCode::Internal,
                format!("the workspace could not be copied for the job: {error}"),
            )));
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let mut job = Job {
        argv,
        cwd: command.cwd.clone(),
        env: command.env.clone(),
        workspace: copy.clone(),
        scratch: Some(scratch),
        mounts: Vec::new(),
        egress: bench.provision.and_then(|provision| provision.egress_for(bench.engine, &permit)),
        label,
    };
    let reaches = job.egress.is_some();
    let given = match purpose {
        // Without network all it can have is what the machine has.
        JobPurpose::Setup if !reaches => Ok(()),
        JobPurpose::Setup => {
            let own = bench.work_dir.join("fetched");
            remove_if_there(&own).and_then(|()| gloaming_profile::own_places(&mut job, &own))
        }
        _ => give_dependencies(bench, &mut job),
    };
    if let Err(error) = given {
        return Ok(Err(ToolError::new(
            ToolErrorCode::Internal,
            format!("the dependencies could not be shown to the job: {error}"),
        )));
    }
    let output = match bench.engine.run(&permit, &job, bench.cancel).await {
        Err(JobError::Denied { denial, .. }) => return Ok(Err(denied(purpose, *denial))),
        output => output?,
    };
    Ok(Ok(Ran { output, withheld, tree: copy, reaches }))
}

/// Shows a job the dependencies of the base, also where the workspace asks for others by now: what they are is not the
/// model's to say.
pub(crate) fn give_dependencies(bench: &Bench<'_>, job: &mut Job) -> std::io::Result<()> {
    let own = bench.work_dir.join("own");
    match bench.provision.and_then(|provision| provision.base) {
        Some(dependencies) => remove_if_there(&own).and_then(|()| dependencies.equip(job, &own)),
        None => Ok(()),
    }
}

/// Makes a copy of a workspace for a job, and returns what of it no job sees.
pub(crate) fn seen_by_jobs(
    from: &std::path::Path,
    to: &std::path::Path,
    grant: &Grant,
) -> std::io::Result<Vec<RelPath>> {
    gloaming_workspace::copy_tree(from, to)?;
    gloaming_workspace::withhold(to, &|path| grant.withheld(path).is_some())
}

pub(crate) fn remove_if_there(folder: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Says which files a job did not see, for when it failed and that may be why.
pub(crate) fn withheld_note(paths: &[RelPath]) -> String {
    let mut names: Vec<String> =
        paths.iter().take(5).map(|path| escape_name(path.as_str().as_bytes())).collect();
    if paths.len() > 5 {
        names.push(format!("{} more", paths.len() - 5));
    }
    format!("The policy lets nobody read {}, so jobs run without.", names.join(", "))
}

/// Puts a selector where the runner takes a name, so that it can never be read as an option.
fn select(
    command: &Command,
    selector: &str,
    exists: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, ToolError> {
    let fit = !selector.is_empty()
        && selector.len() <= 300
        && !selector.starts_with('-')
        && selector.chars().all(|c| c.is_alphanumeric() || " _-:./[]<>,()=".contains(c))
        && (!selector.contains('/') || RelPath::parse(selector).is_ok());
    if !fit {
        return Err(ToolError::new(
            ToolErrorCode::InvalidInput,
            format!("{selector:?} is not a test's name; a selector is a name, never an option"),
        )
        .instead("Give the test's name as the runner prints it, without a leading dash and without `..`."));
    }
    let mut argv = command.argv.clone();
    let owned = selector.to_owned();
    match command.runner {
        Some(TestRunner::Pytest) if selector.contains("::") || selector.ends_with(".py") => {
            // What the command names by itself would be run beside it.
            argv = without_paths(&command.argv, exists);
            argv.extend(["--".to_owned(), owned]);
        }
        Some(TestRunner::Pytest) => argv.push(format!("-k={owned}")),
        Some(TestRunner::Unittest) => argv.push(format!("-k={owned}")),
        Some(TestRunner::Cargo) => match argv.iter().position(|arg| arg == "--") {
            Some(at) => argv.insert(at + 1, owned),
            None => argv.extend(["--".to_owned(), owned]),
        },
        Some(TestRunner::GoTest) => argv.push(format!("-run={owned}")),
        // Behind a file's name Node takes an option for another file.
        Some(TestRunner::NodeTest) => {
            let at = argv.iter().position(|arg| arg == "--test").map_or(argv.len(), |at| at + 1);
            argv.insert(at, format!("--test-name-pattern={owned}"));
        }
        Some(TestRunner::Jest | TestRunner::Vitest) => argv.push(format!("--testNamePattern={owned}")),
        Some(TestRunner::Mocha) => argv.push(format!("--grep={owned}")),
        Some(TestRunner::Surefire | TestRunner::Gradle | TestRunner::Ctest) | None => {
            return Err(ToolError::new(
                ToolErrorCode::InvalidInput,
                "this repository's test command is not one that takes a selector",
            )
            .instead("Use what: test."));
        }
    }
    Ok(argv)
}

/// Returns a pytest command without the files and folders it names.
fn without_paths(argv: &[String], exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    // Options whose value stands apart from them; it may be a file, and is no test to run.
    const VALUED: &[&str] =
        &["-c", "-p", "-k", "-m", "-n", "-o", "-W", "--rootdir", "--confcutdir", "--ignore"];
    let value = |at: usize| at > 0 && VALUED.contains(&argv[at - 1].as_str());
    let kept = argv.iter().enumerate().filter(|(at, arg)| {
        let name = arg.split("::").next().unwrap_or(arg);
        *at == 0 || arg.starts_with('-') || value(*at) || !exists(name)
    });
    kept.map(|(_, arg)| arg.clone()).collect()
}

pub(crate) fn render(record: &JobRecord, stdout: &[u8], stderr: &[u8]) -> String {
    let mut text = format!(
        "`{}`: {} after {:.1} s\n",
        record.argv.join(" "),
        record.exit,
        record.duration_ms as f64 / 1e3
    );
    for (name, bytes) in [("stdout", stdout), ("stderr", stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!("--- {name}\n{}\n", head_and_tail(bytes, SHOWN)));
        }
    }
    text
}

/// Returns the first quarter and the last three quarters of `max` bytes: a failure's reason stands near the
/// end, what was run near the start. Terminal escapes are dropped.
fn head_and_tail(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if text.len() <= max {
        return text;
    }
    let head = floor_char(&text, max / 4);
    let tail = floor_char(&text, text.len() - (max - max / 4));
    format!("{}\n[... {} bytes left out ...]\n{}", &text[..head], tail - head, &text[tail..])
}

fn floor_char(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns the commands a model may run, for its brief.
pub(crate) fn facts(profile: &Profile) -> Vec<String> {
    let mut facts: Vec<String> = Vec::new();
    let languages: Vec<String> = profile.ecosystems.iter().map(|e| format!("{e:?}")).collect();
    if !languages.is_empty() {
        facts.push(format!("Languages: {}", languages.join(", ")));
    }
    let by_kind: BTreeMap<&str, String> =
        profile.commands.iter().map(|command| (command.kind.as_str(), command.argv.join(" "))).collect();
    for (kind, argv) in by_kind {
        facts.push(format!("`check` {kind} runs: {argv}"));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use gloaming_api::profile::Source;

    fn command(runner: TestRunner, argv: &[&str]) -> Command {
        Command {
            kind: CommandKind::Test,
            argv: argv.iter().map(|s| (*s).to_owned()).collect(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            runner: Some(runner),
            source: Source { file: RelPath::root(), line: 1, because: String::new() },
            proof: None,
        }
    }

    #[test]
    fn a_selector_is_data_and_never_an_option() {
        let pytest = command(TestRunner::Pytest, &["python3", "-m", "pytest"]);
        let exists = |name: &str| ["tests", "setup.cfg", "test/a.test.js"].contains(&name);
        let joined =
            |command: &Command, selector: &str| select(command, selector, &exists).map(|argv| argv.join(" "));
        assert_eq!(
            joined(&pytest, "tests/test_a.py::test_b").unwrap(),
            "python3 -m pytest -- tests/test_a.py::test_b"
        );
        assert_eq!(joined(&pytest, "test_b and not c").unwrap(), "python3 -m pytest -k=test_b and not c");
        let cargo = command(TestRunner::Cargo, &["cargo", "test", "--", "--nocapture"]);
        assert_eq!(joined(&cargo, "a::b").unwrap(), "cargo test -- a::b --nocapture");
        // What the command itself names would be run as well, or take the option for a file.
        let pytest_on = command(TestRunner::Pytest, &["pytest", "-c", "setup.cfg", "-n", "4", "tests"]);
        assert_eq!(joined(&pytest_on, "tests/a.py::b").unwrap(), "pytest -c setup.cfg -n 4 -- tests/a.py::b");
        let node = command(TestRunner::NodeTest, &["node", "--test", "test/a.test.js"]);
        assert_eq!(joined(&node, "adds").unwrap(), "node --test --test-name-pattern=adds test/a.test.js");
        for bad in
            ["", "-x", "--rootdir=/", "../../etc/passwd", "tests/../../x.py", "a;b", "$(id)", "a\nb", "`id`"]
        {
            assert!(select(&pytest, bad, &exists).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_output_keeps_both_ends() {
        let text = head_and_tail(format!("start{}\x1b[31mend", "é".repeat(9000)).as_bytes(), 400);
        assert!(
            text.starts_with("start") && text.ends_with("[31mend") && text.contains("bytes left out"),
            "{text}"
        );
    }
}
