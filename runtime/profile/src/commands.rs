//! The programs whose commands we know: what they are for, how we call them, and how results are read.

use std::collections::BTreeMap;

use gloaming_api::profile::{CommandKind, Ecosystem, TestRunner};

use crate::shell::Segment;

/// A known program's command in the form we run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) ecosystem: Ecosystem,
    pub(crate) kind: CommandKind,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) runner: Option<TestRunner>,
    /// Orders tools of one kind; less is better.
    pub(crate) weight: u8,
}

impl Tool {
    pub(crate) fn new(ecosystem: Ecosystem, kind: CommandKind, argv: &[&str]) -> Self {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        Self { ecosystem, kind, argv, env: BTreeMap::new(), runner: None, weight: 0 }
    }

    pub(crate) fn runner(mut self, runner: TestRunner) -> Self {
        self.runner = Some(runner);
        self
    }

    fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.argv.extend(args.into_iter().map(str::to_owned));
        self
    }

    fn weight(mut self, weight: u8) -> Self {
        self.weight = weight;
        self
    }
}

/// What a command is to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// One we can run.
    Tool(Tool),
    /// One for building, testing or linting that we do not run as it stands.
    Refused(String),
    /// Something else.
    Unknown,
}

use CommandKind::{Build, Lint, Test};
use Ecosystem::{Go, Node, Python, Rust};

/// Recognises a plain command.
pub(crate) fn recognise(segment: &Segment) -> Known {
    let words: Vec<&str> = segment.words.iter().map(String::as_str).collect();
    let known = recognise_words(unwrap(&words));
    match known {
        Known::Tool(tool) if segment.glob && !expands_globs(&tool) => {
            Known::Refused(format!("`{}` needs a shell to expand its patterns", tool.argv.join(" ")))
        }
        Known::Tool(mut tool) => {
            tool.env.extend(segment.env.clone());
            Known::Tool(tool)
        }
        other => other,
    }
}

/// Whether a line that is no plain command is about building, testing or linting, and so worth a word.
pub(crate) fn mentions_a_tool(text: &str) -> bool {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || "|;&()`\"'".contains(c)).collect();
    (0..words.len()).any(|i| {
        words[i..].first().is_some_and(|word| !word.is_empty())
            && !matches!(recognise_words(unwrap(&words[i..])), Known::Unknown)
    })
}

/// Takes off what only chooses an environment for the command after it.
fn unwrap<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    let mut words = words;
    loop {
        words = match words {
            ["poetry" | "uv" | "pipenv" | "pdm" | "rye" | "hatch", "run", rest @ ..]
            | ["npx" | "bunx" | "sudo" | "time" | "xvfb-run", rest @ ..]
            | ["pnpm" | "yarn" | "npm", "exec" | "dlx", rest @ ..] => rest,
            ["--" | "-y" | "--yes" | "--no-install" | "--no" | "-s" | "--frozen" | "--locked", rest @ ..] => {
                rest
            }
            _ => return words,
        };
    }
}

/// The test runners that expand a pattern themselves as a shell would.
fn expands_globs(tool: &Tool) -> bool {
    matches!(tool.runner, Some(TestRunner::Mocha | TestRunner::Jest | TestRunner::Vitest))
        || tool
            .argv
            .first()
            .is_some_and(|program| program.ends_with("/eslint") || program.ends_with("/prettier"))
}

fn recognise_words(words: &[&str]) -> Known {
    let Some((program, args)) = words.split_first() else { return Known::Unknown };
    let program = program
        .strip_prefix("./node_modules/.bin/")
        .or_else(|| program.strip_prefix("node_modules/.bin/"))
        .unwrap_or(program);
    match program {
        "cargo" => cargo(args),
        "pytest" | "py.test" => pytest(args),
        "python" | "python3" => python(args),
        "go" => go(args),
        "golangci-lint" if args.first() == Some(&"run") => {
            Known::Tool(Tool::new(Go, Lint, &["golangci-lint", "run"]).args(args[1..].iter().copied()))
        }
        "ruff" | "black" | "flake8" | "mypy" | "pylint" | "pyright" | "isort" => python_lint(program, args),
        "node" => node(args),
        "jest" | "vitest" | "mocha" => javascript_tests(program, args),
        "ava" | "tap" | "tape" | "karma" | "jasmine" | "uvu" | "playwright" | "cypress" => {
            Known::Refused(format!("results of {program} are not read yet"))
        }
        "eslint" | "prettier" | "biome" | "tsc" | "standard" | "xo" => javascript_checks(program, args),
        "npm" | "yarn" | "pnpm" | "bun" => script_runner(args),
        "tox" | "nox" => Known::Refused(format!("{program} makes environments of its own, from the network")),
        "make" | "just" | "task" if args.iter().any(|arg| is_purpose(arg)) => {
            Known::Refused("what it runs is read from its own file".into())
        }
        "coverage" if args.first() == Some(&"run") => {
            Known::Refused("it measures coverage; the tests are run without".into())
        }
        _ => Known::Unknown,
    }
}

fn is_purpose(word: &str) -> bool {
    matches!(word, "test" | "tests" | "check" | "build" | "lint" | "unit" | "ci")
}

fn cargo(args: &[&str]) -> Known {
    let (toolchain, args) = match args.split_first() {
        Some((first, rest)) if first.starts_with('+') => (Some(*first), rest),
        _ => (None, args),
    };
    let Some((command, args)) = args.split_first() else { return Known::Unknown };
    let (kind, weight) = match *command {
        "test" | "t" => (Test, 0),
        "build" | "b" => (Build, 0),
        "check" | "c" => (Build, 1),
        "clippy" => (Lint, 0),
        "fmt" if args.contains(&"--check") => {
            let tool = Tool::new(Rust, Lint, &["cargo", "fmt"]).args(args.iter().copied());
            return Known::Tool(tool.weight(1));
        }
        "nextest" => {
            return Known::Refused("results of cargo-nextest are not read; cargo test runs the same".into());
        }
        "tarpaulin" | "llvm-cov" => {
            return Known::Refused("it measures coverage; the tests are run without".into());
        }
        "miri" | "hack" => return Known::Refused(format!("cargo {command} is no part of a usual toolchain")),
        _ => return Known::Unknown,
    };
    if let Some(toolchain) = toolchain.filter(|toolchain| *toolchain != "+stable") {
        return Known::Refused(format!("it wants the toolchain {}", &toolchain[1..]));
    }
    if args.iter().any(|arg| matches!(*arg, "--doc" | "--no-run" | "--help" | "--bench" | "--benches")) {
        return Known::Refused("it is only a part of what is tested".into());
    }
    if args.windows(2).any(|pair| pair[0] == "--target")
        || args.iter().any(|arg| arg.starts_with("--target="))
    {
        return Known::Refused("it is for another target".into());
    }
    let long = match *command {
        "t" => "test",
        "b" => "build",
        "c" => "check",
        long => long,
    };
    let loud = ["-v", "-vv", "--verbose", "-q", "--quiet", "--locked", "--frozen", "--offline"];
    let kept = args.iter().copied().filter(|arg| !loud.contains(arg));
    let tool = Tool::new(Rust, kind, &["cargo", long, "--offline"]).args(kept).weight(weight);
    Known::Tool(if kind == Test { tool.runner(TestRunner::Cargo) } else { tool })
}

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

fn pytest(args: &[&str]) -> Known {
    let tool = Tool::new(Python, Test, &["python3", "-m", "pytest"]).args(plain_pytest_args(args));
    Known::Tool(tool.runner(TestRunner::Pytest))
}

fn python(args: &[&str]) -> Known {
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
        ["-m", "coverage", ..] => Known::Refused("it measures coverage; the tests are run without".into()),
        ["-m", program @ ("ruff" | "black" | "flake8" | "mypy" | "pylint"), rest @ ..] => {
            python_lint(program, rest)
        }
        ["setup.py", "test", ..] => Known::Refused("setup.py test is gone from current tools".into()),
        [file, ..] if file.ends_with(".py") && file.contains("test") => {
            Known::Refused("a script of its own: its results cannot be told by test".into())
        }
        _ => Known::Unknown,
    }
}

fn python_lint(program: &str, args: &[&str]) -> Known {
    let weight = match (program, args) {
        ("ruff", ["check", ..]) => 0,
        ("ruff", ["format", ..]) if args.contains(&"--check") => 3,
        ("black" | "isort", _) if args.contains(&"--check") => 4,
        ("flake8", _) => 1,
        ("mypy", _) => 2,
        ("pyright" | "pylint", _) => 5,
        _ => return Known::Unknown,
    };
    // As a module it is found wherever the environment's Python has it.
    let tool = Tool::new(Python, Lint, &["python3", "-m", program]).args(args.iter().copied());
    Known::Tool(tool.weight(weight))
}

fn go(args: &[&str]) -> Known {
    let loud = ["-v", "-race", "-cover"];
    let plain = |args: &[&str]| -> Vec<String> {
        let kept = args.iter().filter(|arg| !loud.contains(arg) && !arg.starts_with("-cover"));
        kept.map(|arg| (*arg).to_owned()).collect()
    };
    match args {
        ["test", rest @ ..] => {
            if rest.iter().any(|arg| arg.starts_with("-bench") || arg.starts_with("-fuzz")) {
                return Known::Refused("it is only a part of what is tested".into());
            }
            let mut tool = Tool::new(Go, Test, &["go", "test"]).runner(TestRunner::GoTest);
            tool.argv.extend(plain(rest));
            Known::Tool(tool)
        }
        ["build", rest @ ..] => {
            let mut tool = Tool::new(Go, Build, &["go", "build"]);
            tool.argv.extend(plain(rest));
            Known::Tool(tool)
        }
        ["vet", rest @ ..] => Known::Tool(Tool::new(Go, Lint, &["go", "vet"]).args(rest.iter().copied())),
        _ => Known::Unknown,
    }
}

fn node(args: &[&str]) -> Known {
    if args.contains(&"--test") {
        if args.iter().any(|arg| matches!(*arg, "--watch" | "--experimental-test-coverage")) {
            return Known::Refused("it watches files or measures coverage".into());
        }
        let tool = Tool::new(Node, Test, &["node"]).args(args.iter().copied());
        return Known::Tool(tool.runner(TestRunner::NodeTest));
    }
    match args {
        [file, ..] if file.contains("test") => {
            Known::Refused("a script of its own: its results cannot be told by test".into())
        }
        _ => Known::Unknown,
    }
}

fn javascript_tests(program: &str, args: &[&str]) -> Known {
    let (runner, first): (_, &[&str]) = match program {
        "jest" => (TestRunner::Jest, &[]),
        "vitest" => (TestRunner::Vitest, &["run"]),
        _ => (TestRunner::Mocha, &[]),
    };
    if args.iter().any(|arg| matches!(*arg, "--watch" | "--watchAll" | "-w" | "watch" | "bench")) {
        return Known::Refused("it watches files and never ends".into());
    }
    let dropped = ["--coverage", "--verbose", "--silent", "--ci", "run", "--passWithNoTests"];
    let kept = args.iter().copied().filter(|arg| !dropped.contains(arg) && !arg.starts_with("--coverage"));
    let bin = format!("node_modules/.bin/{program}");
    Known::Tool(Tool::new(Node, Test, &[&bin]).args(first.iter().copied()).args(kept).runner(runner))
}

fn javascript_checks(program: &str, args: &[&str]) -> Known {
    if args.iter().any(|arg| matches!(*arg, "--fix" | "--write" | "-w" | "--watch")) {
        return Known::Unknown;
    }
    let (kind, weight) = match program {
        "tsc" if args.contains(&"--noEmit") => (Lint, 2),
        "tsc" => (Build, 0),
        "prettier" if !args.iter().any(|arg| matches!(*arg, "--check" | "-c" | "-l")) => {
            return Known::Unknown;
        }
        "prettier" => (Lint, 3),
        "biome" if !matches!(args.first(), Some(&("check" | "lint" | "ci"))) => return Known::Unknown,
        _ => (Lint, 0),
    };
    let bin = format!("node_modules/.bin/{program}");
    Known::Tool(Tool::new(Node, kind, &[&bin]).args(args.iter().copied()).weight(weight))
}

fn script_runner(args: &[&str]) -> Known {
    let script = match args {
        ["run" | "run-script", script, ..] | [script @ ("test" | "t"), ..] => *script,
        _ => return Known::Unknown,
    };
    let name = script.split(':').next().unwrap_or(script);
    if matches!(name, "t") || is_purpose(name) {
        Known::Refused(format!("it runs the script {script:?} of package.json, which is read there"))
    } else {
        Known::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(line: &str) -> String {
        let mut steps = crate::shell::script(line, 1, &gloaming_api::RelPath::root());
        match recognise(&steps.remove(0).outcome.unwrap()) {
            Known::Tool(tool) => {
                let env: String = tool.env.iter().map(|(k, v)| format!("{k}={v} ")).collect();
                let runner = tool.runner.map(|runner| format!(" ({runner:?})")).unwrap_or_default();
                format!("{} {env}{}{runner}", tool.kind.as_str(), tool.argv.join(" "))
            }
            Known::Refused(reason) => format!("no: {reason}"),
            Known::Unknown => "?".into(),
        }
    }

    #[test]
    fn commands_are_brought_into_one_form() {
        for (line, expected) in [
            ("cargo test --verbose --all-features", "test cargo test --offline --all-features (Cargo)"),
            (
                "RUST_BACKTRACE=1 cargo t -- --nocapture",
                "test RUST_BACKTRACE=1 cargo test --offline -- --nocapture (Cargo)",
            ),
            ("cargo +nightly test", "no: it wants the toolchain nightly"),
            (
                "cargo clippy --all-targets -- -D warnings",
                "lint cargo clippy --offline --all-targets -- -D warnings",
            ),
            ("cargo fmt --all -- --check", "lint cargo fmt --all -- --check"),
            ("cargo fmt", "?"),
            ("cargo nextest run", "no: results of cargo-nextest are not read; cargo test runs the same"),
            ("cargo test --doc", "no: it is only a part of what is tested"),
            (
                "pytest -vv --cov=pkg -n auto tests -m 'not slow'",
                "test python3 -m pytest tests -m not slow (Pytest)",
            ),
            ("poetry run python -m pytest", "test python3 -m pytest (Pytest)"),
            ("uv run pytest --cov pkg", "test python3 -m pytest (Pytest)"),
            (
                "python -m unittest discover -v -s tests",
                "test python3 -m unittest discover -s tests (Unittest)",
            ),
            ("python run_tests.py", "no: a script of its own: its results cannot be told by test"),
            ("tox -e py312", "no: tox makes environments of its own, from the network"),
            ("ruff check .", "lint python3 -m ruff check ."),
            ("go test -race -v ./...", "test go test ./... (GoTest)"),
            ("go vet ./...", "lint go vet ./..."),
            ("npx jest --ci --coverage", "test node_modules/.bin/jest (Jest)"),
            ("cross-env NODE_ENV=test vitest", "test NODE_ENV=test node_modules/.bin/vitest run (Vitest)"),
            ("vitest --watch", "no: it watches files and never ends"),
            ("mocha test/*.js", "test node_modules/.bin/mocha test/*.js (Mocha)"),
            ("node --test", "test node --test (NodeTest)"),
            ("node --test test/*.js", "no: `node --test test/*.js` needs a shell to expand its patterns"),
            ("node test.js", "no: a script of its own: its results cannot be told by test"),
            ("npm test", "no: it runs the script \"test\" of package.json, which is read there"),
            ("npm ci", "?"),
            ("npm install", "?"),
            ("tsc -p .", "build node_modules/.bin/tsc -p ."),
            ("make test", "no: what it runs is read from its own file"),
            ("make install", "?"),
            ("echo cargo test", "?"),
            ("rm -rf /", "?"),
        ] {
            assert_eq!(show(line), expected, "{line}");
        }
        assert!(mentions_a_tool("cargo test 2>&1 | tee log"));
        assert!(mentions_a_tool("if ! (cd x; pytest); then"));
        assert!(!mentions_a_tool("echo $HOME | cat"));
    }
}
