//! The programs whose commands we know: what they are for, how we call them, and how results are read.

mod go;
mod java;
mod native;
mod node;
mod one;
pub(crate) mod python;
mod rust;

use std::collections::BTreeMap;

use gloaming_api::profile::{CommandKind, Ecosystem, TestRunner};

use crate::shell::Segment;

pub(crate) use java::{gradle_command, maven_command};
pub(crate) use native::{ctest_build, ctest_test};
pub(crate) use one::one_test;

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

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.argv.extend(args.into_iter().map(str::to_owned));
        self
    }

    pub(crate) fn weight(mut self, weight: u8) -> Self {
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

/// Recognises a plain command.
pub(crate) fn recognise(segment: &Segment) -> Known {
    let words: Vec<&str> = segment.words.iter().map(String::as_str).collect();
    let known = recognise_words(unwrap(&words));
    match known {
        Known::Tool(tool) if segment.glob && has_pattern(&tool) && !expands_globs(&tool) => {
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
    // Each word is looked at with all behind it; a line of more says nothing to anybody.
    const MOST_WORDS: usize = 1000;
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || "|;&()`\"'".contains(c)).take(MOST_WORDS).collect();
    (0..words.len()).any(|i| {
        words[i..].first().is_some_and(|word| !word.is_empty())
            && !matches!(recognise_words(unwrap(&words[i..])), Known::Unknown)
    })
}

/// Takes off what only chooses an environment for the command after it.
pub(crate) fn unwrap<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    let mut words = words;
    loop {
        words = match words {
            ["poetry" | "uv" | "pipenv" | "pdm" | "rye" | "hatch", "run", rest @ ..]
            | ["npx" | "bunx" | "sudo" | "time" | "xvfb-run", rest @ ..]
            | ["pnpm" | "yarn" | "npm", "exec" | "dlx", rest @ ..] => rest,
            // They measure coverage around the command after their options; which the test runner does without.
            ["c8" | "nyc", rest @ ..] => {
                let start = rest.iter().position(|word| {
                    matches!(
                        *word,
                        "node" | "mocha" | "jest" | "vitest" | "ava" | "tap" | "tape" | "npm" | "borp"
                    )
                });
                match start {
                    Some(start) => &rest[start..],
                    None => return words,
                }
            }
            ["--" | "-y" | "--yes" | "--no-install" | "--no" | "-s" | "--frozen" | "--locked", rest @ ..] => {
                rest
            }
            _ => return words,
        };
    }
}

/// Whether a pattern is left among the arguments; one that only chose what is found anyway may be gone.
fn has_pattern(tool: &Tool) -> bool {
    tool.argv.iter().any(|arg| arg.contains(['*', '?', '[']))
}

/// The test runners that expand a pattern themselves as a shell would.
fn expands_globs(tool: &Tool) -> bool {
    matches!(tool.runner, Some(TestRunner::Mocha | TestRunner::Jest | TestRunner::Vitest))
        || tool
            .argv
            .first()
            .is_some_and(|program| program.ends_with("/eslint") || program.ends_with("/prettier"))
        // Extras, `.[test]`: a pattern to a shell and none to pip.
        || tool.kind == CommandKind::Install
}

fn recognise_words(words: &[&str]) -> Known {
    let Some((program, args)) = words.split_first() else { return Known::Unknown };
    let program = program
        .strip_prefix("./node_modules/.bin/")
        .or_else(|| program.strip_prefix("node_modules/.bin/"))
        .unwrap_or(program);
    match program {
        "cargo" => rust::cargo(args),
        "pytest" | "py.test" => python::pytest(args),
        "python" | "python3" => python::python(args),
        "pip" | "pip3" => python::pip(args),
        "uv" => python::managers("uv", args),
        "poetry" => python::managers("poetry", args),
        "pdm" => python::managers("pdm", args),
        "pipenv" => python::managers("pipenv", args),
        "go" => go::go(args),
        "golangci-lint" if args.first() == Some(&"run") => Known::Tool(
            Tool::new(Ecosystem::Go, CommandKind::Lint, &["golangci-lint", "run"])
                .args(args[1..].iter().copied()),
        ),
        "ruff" | "black" | "flake8" | "mypy" | "pylint" | "pyright" | "isort" => {
            python::checks(program, args)
        }
        "node" => node::node(args),
        "jest" | "vitest" | "mocha" => node::javascript_tests(program, args),
        "ava" | "tap" | "tape" | "karma" | "jasmine" | "uvu" | "playwright" | "cypress" | "borp" => {
            Known::Refused(format!("results of {program} are not read yet"))
        }
        "eslint" | "prettier" | "biome" | "tsc" | "standard" | "xo" => node::javascript_checks(program, args),
        "npm" => node::script_runner("npm", args),
        "yarn" => node::script_runner("yarn", args),
        "pnpm" => node::script_runner("pnpm", args),
        "bun" => node::script_runner("bun", args),
        "mvn" | "./mvnw" | "mvnw" => java::maven(args),
        "gradle" | "./gradlew" | "gradlew" => java::gradle(args),
        "ctest" => native::ctest(args),
        "tox" | "nox" => Known::Refused(format!("{program} makes environments of its own, from the network")),
        "make" | "just" | "task" if args.iter().any(|arg| is_purpose(arg)) => {
            Known::Refused("what it runs is read from its own file".into())
        }
        "coverage" => match args {
            ["run", "-m", rest @ ..] | ["run", _, "-m", rest @ ..] => {
                python::python(&[&["-m"], rest].concat())
            }
            ["run", ..] => Known::Refused("it measures coverage; the tests are run without".into()),
            _ => Known::Unknown,
        },
        _ => Known::Unknown,
    }
}

fn is_purpose(word: &str) -> bool {
    matches!(word, "test" | "tests" | "check" | "build" | "lint" | "unit" | "ci")
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
            ("cargo fmt --all -- --check", "format cargo fmt --all -- --check"),
            ("cargo fmt", "?"),
            ("cargo nextest run", "no: results of cargo-nextest are not read; cargo test runs the same"),
            ("cargo test --doc", "no: it is only a part of what is tested"),
            (
                "pytest -vv --cov=pkg -n auto tests -m 'not slow'",
                "test python3 -m pytest tests -m not slow (Pytest)",
            ),
            ("poetry run python -m pytest", "test python3 -m pytest (Pytest)"),
            ("uv sync --frozen", "install PIP_BREAK_SYSTEM_PACKAGES=1 uv sync --frozen"),
            ("pdm sync -G test", "install PIP_BREAK_SYSTEM_PACKAGES=1 pdm sync -G test"),
            ("pipenv install --dev", "install PIP_BREAK_SYSTEM_PACKAGES=1 pipenv install --dev"),
            ("pipenv install six", "?"),
            ("pipenv run pytest", "test python3 -m pytest (Pytest)"),
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
            ("node --test test/*.js", "test node --test (NodeTest)"),
            ("node --test spec/*.js", "no: `node --test spec/*.js` needs a shell to expand its patterns"),
            ("node test.js", "no: a script of its own: its results cannot be told by test"),
            ("npm test", "no: it runs the script \"test\" of package.json, which is read there"),
            ("nyc --lines 100 --reporter=text tape test/a.js", "no: results of tape are not read yet"),
            ("c8 --100 node --test", "test node --test (NodeTest)"),
            ("npm ci", "install npm ci"),
            ("npm install", "install npm install"),
            ("npm install -g npm", "?"),
            ("npm install express", "?"),
            ("npm install --production --omit=dev", "install npm install"),
            ("npm ci --omit=dev", "install npm ci"),
            ("pnpm install --prod --frozen-lockfile", "install pnpm install --frozen-lockfile"),
            ("yarn", "install yarn install"),
            ("yarn jest --ci", "test node_modules/.bin/jest (Jest)"),
            ("pip install tox", "?"),
            (
                "pip install -q -e .[test]",
                "install PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install -e .[test]",
            ),
            ("uv sync --frozen", "install PIP_BREAK_SYSTEM_PACKAGES=1 uv sync --frozen"),
            ("cargo fetch --locked", "install cargo fetch"),
            ("cargo check", "typecheck cargo check --offline"),
            ("mypy src", "typecheck python3 -m mypy src"),
            ("black --check .", "format python3 -m black --check ."),
            ("prettier --check .", "format node_modules/.bin/prettier --check ."),
            ("tsc --noEmit", "typecheck node_modules/.bin/tsc --noEmit"),
            ("coverage run -m pytest", "test python3 -m pytest (Pytest)"),
            ("coverage run --source=x -m unittest discover", "test python3 -m unittest discover (Unittest)"),
            ("coverage run run.py", "no: it measures coverage; the tests are run without"),
            ("./mvnw -B -ntp verify", "test mvn -B -o verify (Surefire)"),
            ("mvn deploy", "?"),
            ("./gradlew build --info", "test gradle --offline build (Gradle)"),
            (
                "ctest --test-dir build",
                "no: it needs a build folder, which the command made from CMakeLists.txt makes",
            ),
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
        // Word by word to the end of it, this would take minutes.
        assert!(!mentions_a_tool(&"sudo ".repeat(200_000)));
    }
}
