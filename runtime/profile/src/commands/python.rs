//! Python: pytest, unittest, the checkers, and what installs.

use gloaming_api::profile::{CommandKind::*, Ecosystem::Python, TestRunner};

use super::{Known, Tool};

/// Options that report, measure or parallelise, several by plugins that may be missing.
fn plain_pytest_args<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            "-n" | "--numprocesses" | "--cov" | "--dist" | "--junitxml" | "--junit-xml" | "--color"
            | "--durations" | "--timeout" => {
                args.next();
            }
            "-v" | "-vv" | "-vvv" | "-q" | "-qq" | "-x" | "-s" | "--verbose" | "--quiet" | "--exitfirst" => {}
            _ if [
                "--cov",
                "--junit",
                "--color=",
                "--durations=",
                "--timeout=",
                "--numprocesses=",
                "-n",
                "--dist=",
            ]
            .iter()
            .any(|option| arg.starts_with(option)) => {}
            _ => kept.push(arg),
        }
    }
    kept
}

pub(super) fn pytest(args: &[&str]) -> Known {
    let tool = Tool::new(Python, Test, &["python3", "-m", "pytest"]).args(plain_pytest_args(args));
    Known::Tool(tool.runner(TestRunner::Pytest))
}

pub(super) fn python(args: &[&str]) -> Known {
    match args {
        ["-m", "pytest", rest @ ..] => pytest(rest),
        ["-m", "unittest", rest @ ..] => {
            let loud = ["-v", "-q", "--verbose", "--quiet", "-b", "--buffer"];
            let rest = rest.iter().copied().filter(|arg| !loud.contains(arg));
            let tool = Tool::new(Python, Test, &["python3", "-m", "unittest"]).args(rest);
            Known::Tool(tool.runner(TestRunner::Unittest).weight(1))
        }
        ["-m", "tox" | "nox", ..] => {
            Known::Refused("it makes environments of its own, from the network".into())
        }
        ["-m", "pip", rest @ ..] => pip(rest),
        ["-m", "coverage", ..] => Known::Refused("it measures coverage; the tests are run without".into()),
        ["-m", program, rest @ ..] => checks(program, rest),
        ["setup.py", "test", ..] => Known::Refused("setup.py test is gone from current tools".into()),
        [file, ..] if file.ends_with(".py") && file.contains("test") => {
            Known::Refused("a script of its own: its results cannot be told by test".into())
        }
        _ => Known::Unknown,
    }
}

/// Linters, formatters and type checkers.
pub(super) fn checks(program: &str, args: &[&str]) -> Known {
    let (kind, weight) = match (program, args) {
        ("ruff", ["check", ..]) if !args.contains(&"--fix") => (Lint, 0),
        ("ruff", ["format", ..]) if args.contains(&"--check") => (Format, 0),
        ("black", _) if args.contains(&"--check") => (Format, 1),
        ("isort", _) if args.iter().any(|arg| matches!(*arg, "--check" | "--check-only" | "-c")) => {
            (Format, 2)
        }
        ("flake8", _) => (Lint, 1),
        ("pylint", _) => (Lint, 5),
        ("mypy", _) => (Typecheck, 0),
        ("pyright", _) => (Typecheck, 1),
        _ => return Known::Unknown,
    };
    // As a module it is found wherever the environment's Python has it.
    let tool = Tool::new(Python, kind, &["python3", "-m", program]).args(args.iter().copied());
    Known::Tool(tool.weight(weight))
}

/// `pip install` of what the project itself needs; a tool installed by its name is not that.
pub(super) fn pip(args: &[&str]) -> Known {
    let ["install", rest @ ..] = args else { return Known::Unknown };
    let own = |arg: &&str| {
        matches!(*arg, "-r" | "-e" | "--requirement" | "--editable" | "--group" | ".")
            || arg.starts_with("./")
            || arg.starts_with(".[")
            || arg.starts_with("-r")
            || arg.starts_with("-e.")
    };
    if !rest.iter().any(own) {
        return Known::Unknown;
    }
    let kept =
        rest.iter().copied().filter(|arg| !matches!(*arg, "-q" | "-v" | "--quiet" | "--upgrade" | "-U"));
    Known::Tool(install(&["python3", "-m", "pip", "install"]).args(kept))
}

/// A command that installs for Python.
pub(crate) fn install(argv: &[&str]) -> Tool {
    let mut tool = Tool::new(Python, Install, argv);
    // The user's folder in a job's scratch, which a distribution's Python would refuse to write into.
    tool.env.insert("PIP_BREAK_SYSTEM_PACKAGES".into(), "1".into());
    tool
}

/// `uv`, `poetry`, `pdm` and `pipenv` where they install.
pub(super) fn managers(program: &'static str, args: &[&str]) -> Known {
    match (program, args) {
        ("uv", ["pip", rest @ ..]) => pip(rest),
        ("uv", ["sync", ..])
        | ("poetry" | "pdm", ["install" | "sync", ..])
        | ("pipenv", ["sync", ..])
        // With a package's name it adds that package to the project.
        | ("pipenv", ["install"])
        | ("pipenv", ["install", "--dev" | "-d" | "--deploy" | "--ignore-pipfile" | "--system", ..]) => {
            Known::Tool(install(&[program]).args(args.iter().copied()))
        }
        _ => Known::Unknown,
    }
}
