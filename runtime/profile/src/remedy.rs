//! What a person can do about a command that does not work: by what it said, never a proof of anything.

use gloaming_api::job::JobExit;
use gloaming_api::profile::Command;

/// Returns the name of the program that a failed command lacks.
pub(crate) fn missing_program(command: &Command, exit: JobExit, excerpt: &str) -> Option<String> {
    let code = exit.code()?;
    let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
    // They hand lines to a shell, and it is the shell that does not find something.
    if let ["npm" | "pnpm" | "yarn" | "make" | "sh", ..] = argv.as_slice()
        && (code == 127 || excerpt.contains("Error 127"))
        && let Some(program) = excerpt.lines().find_map(not_found)
    {
        return Some(program.to_owned());
    }
    if matches!(code, 126 | 127) {
        return command.argv.first().cloned();
    }
    match argv.as_slice() {
        // Of the program's own module, not of one that a test wants.
        ["python3", "-m", module, ..] if excerpt.contains(&format!("python3: No module named {module}")) => {
            Some((*module).to_owned())
        }
        ["python3", "-m", module, ..]
            if excerpt.lines().any(|line| line.ends_with(&format!(": No module named {module}"))) =>
        {
            Some((*module).to_owned())
        }
        ["cargo", part, ..]
            if excerpt.contains(&format!("no such command: `{part}`"))
                || excerpt.contains(&format!("'cargo-{part}' is not installed")) =>
        {
            Some(format!("cargo-{part}"))
        }
        _ => None,
    }
}

/// Reads `sh: 1: nyc: not found` and `bash: line 1: nyc: command not found`.
fn not_found(line: &str) -> Option<&str> {
    let before = line
        .trim_end()
        .strip_suffix(": not found")
        .or_else(|| line.trim_end().strip_suffix(": command not found"))?;
    let program = before.rsplit(": ").next()?;
    (!program.is_empty() && program.len() <= 60 && !program.contains(char::is_whitespace)).then_some(program)
}

/// Returns how to get a program that a command lacks.
pub(crate) fn missing(command: &Command, program: &str) -> String {
    let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
    let how = match (argv.as_slice(), program) {
        ([first, ..], _) if first.starts_with("node_modules/") => return OF_NODE.to_owned(),
        (["npm" | "pnpm" | "yarn", "run", ..], program) if !matches!(program, "npm" | "pnpm" | "yarn") => {
            return OF_NODE.to_owned();
        }
        (["python3", "-m", ..], program) if program != "python3" => in_environment(program),
        (_, "uv" | "poetry" | "pdm" | "pipenv") => in_environment(program),
        (_, "pnpm" | "yarn") => format!("`npm install --global {program}`"),
        (_, "cargo-clippy") => "`rustup component add clippy`".to_owned(),
        (_, "cargo-fmt") => "`rustup component add rustfmt`".to_owned(),
        (_, "cargo") => "a toolchain of rustup".to_owned(),
        (_, "mvn") => package("maven"),
        (_, "ctest") => package("cmake"),
        (_, "go") => package("golang-go"),
        (_, "node" | "npm") => package("nodejs"),
        (_, "gradle" | "make" | "python3") => package(program),
        _ => return FROM_HOST.to_owned(),
    };
    format!("{FROM_HOST}: {how}")
}

const OF_NODE: &str = "it comes with the packages that the install command fetches";
const FROM_HOST: &str = "install it where the jobs' environment is taken from";

fn in_environment(module: &str) -> String {
    format!(
        "`pip install {module}` into the virtual environment that is active when gloaming starts (VIRTUAL_ENV)"
    )
}

fn package(name: &str) -> String {
    format!("the distribution's package {name}")
}

/// Returns what to do about a command that ran and failed, where what it said tells.
pub(crate) fn failed(command: &Command, excerpt: &str) -> Option<String> {
    let program = command.argv.first().map(String::as_str).unwrap_or_default();
    if excerpt.contains("Permission denied") && excerpt.contains("/scratch/cargo/registry") {
        return Some(
            "the user that jobs run as may not read a crate that cargo has fetched: `chmod -R a+rX` cargo's registry \
             on the host"
                .to_owned(),
        );
    }
    if excerpt.contains("cannot find package") && command.env.contains_key("GO111MODULE") {
        let remedy = "no go.mod names the module, so its packages do not find each other: `go mod init PATH` makes one";
        return Some(remedy.to_owned());
    }
    if !is_offline(excerpt) {
        return None;
    }
    let fetch = match program {
        "cargo" => "`cargo fetch` on the host fetches what the lockfile names",
        "go" => "`go mod download` on the host fetches what go.mod names",
        "mvn" => {
            "`mvn dependency:go-offline` and the tests run once on the host leave what is needed in ~/.m2/repository"
        }
        "gradle" => {
            "jobs see no cache of Gradle's: let the policy name the repositories' hosts, or keep what is needed in the tree"
        }
        _ => "fetch the dependencies on the host first, into what jobs see of it",
    };
    Some(format!("jobs have no network: {fetch}"))
}

/// Whether a command says that it lacks what an install command fetches. What it says is the repository's, so this
/// chooses words for people and nothing else.
pub fn lacks_dependencies(excerpt: &str) -> bool {
    const SIGNS: &[&str] = &[
        "No module named",
        "ModuleNotFoundError",
        "Cannot find module",
        "Cannot find package",
        "ERR_MODULE_NOT_FOUND",
        "no required module provides package",
        "cannot find package",
        "can't find crate",
        "unresolved import",
        "command not found",
        ": not found",
    ];
    is_offline(excerpt) || SIGNS.iter().any(|sign| excerpt.contains(sign))
}

/// Whether a command says that it would have needed the network.
pub(crate) fn is_offline(excerpt: &str) -> bool {
    const SIGNS: &[&str] = &[
        "--offline was specified",
        "no matching package named",
        "failed to download",
        "you may run without the offline flag",
        "dial tcp",
        "module lookup disabled by GOPROXY=off",
        "missing go.sum entry",
        "ENOTCACHED",
        "No matching distribution found",
        "Temporary failure in name resolution",
        "in offline mode",
        "for offline mode",
        "No plugin found for prefix",
        "network is unreachable",
        "Network is unreachable",
        "EAI_AGAIN",
    ];
    SIGNS.iter().any(|sign| excerpt.contains(sign))
}

#[cfg(test)]
mod tests {
    use gloaming_api::RelPath;
    use gloaming_api::profile::{CommandKind, Source};

    use super::*;

    fn command(argv: &str) -> Command {
        Command {
            kind: CommandKind::Test,
            argv: argv.split(' ').map(str::to_owned).collect(),
            cwd: RelPath::root(),
            env: Default::default(),
            runner: None,
            source: Source { file: RelPath::root(), line: 1, because: "x".into() },
            proof: None,
        }
    }

    #[test]
    fn the_program_that_is_missing_is_named_with_how_to_get_it() {
        for (argv, code, said, expected) in [
            ("npm run --silent unit", 127, "sh: 1: nyc: not found", "nyc; it comes with the packages"),
            (
                "npm run --silent lint",
                127,
                "sh: 1: sh: 1: standard: not found",
                "standard; it comes with the packages",
            ),
            (
                "npm run --silent unit",
                127,
                "",
                "npm; install it where the jobs' environment is taken from: the distri",
            ),
            ("node_modules/.bin/jest", 127, "", "node_modules/.bin/jest; it comes with the packages"),
            (
                "pnpm install",
                127,
                "",
                "pnpm; install it where the jobs' environment is taken from: `npm install --global pnpm`",
            ),
            (
                "yarn install",
                127,
                "",
                "yarn; install it where the jobs' environment is taken from: `npm install --global yarn`",
            ),
            (
                "uv sync --frozen",
                127,
                "",
                "uv; install it where the jobs' environment is taken from: `pip install uv`",
            ),
            (
                "poetry install",
                127,
                "",
                "poetry; install it where the jobs' environment is taken from: `pip install poetry`",
            ),
            (
                "python3 -m pytest",
                1,
                "/usr/bin/python3: No module named pytest",
                "pytest; install it where the jobs' environment is taken from: `pip install pytest`",
            ),
            (
                "python3 -m pytest",
                127,
                "",
                "python3; install it where the jobs' environment is taken from: the distri",
            ),
            (
                "make check",
                2,
                "/bin/sh: 1: valgrind: not found\nmake: *** [Makefile:3: check] Error 127",
                "valgrind; install it where the jobs' environment is taken from",
            ),
            (
                "mvn -B -o test",
                127,
                "",
                "mvn; install it where the jobs' environment is taken from: the distribution's package maven",
            ),
            (
                "cargo clippy",
                101,
                "error: no such command: `clippy`",
                "cargo-clippy; install it where the jobs' environment is taken from: `rustup component add clippy`",
            ),
        ] {
            let command = command(argv);
            let program = missing_program(&command, JobExit::Code(code), said).unwrap();
            let told = format!("{program}; {}", missing(&command, &program));
            assert!(told.starts_with(expected), "{argv}: {told}");
        }
    }

    #[test]
    fn what_a_test_does_not_find_is_no_missing_program() {
        for (argv, code, said) in [
            ("python3 -m pytest", 1, "E  ModuleNotFoundError: No module named 'x'"),
            ("make check", 2, "sh: 1: x: not found\nmake: *** [check] Error 1"),
            ("npm run test", 1, "x: not found"),
            ("cargo test", 101, "no such command: `clippy`"),
        ] {
            assert_eq!(missing_program(&command(argv), JobExit::Code(code), said), None, "{argv}");
        }
        assert_eq!(not_found("a b: not found"), None);
        assert_eq!(not_found(": not found"), None);
    }

    #[test]
    fn what_would_need_the_network_is_said_with_where_it_is_fetched() {
        for (argv, said, expected) in [
            ("go test ./...", "go: x@v1: missing go.sum entry; to add it:", "`go mod download`"),
            ("cargo test", "error: no matching package named `x` found", "`cargo fetch`"),
            ("mvn -B -o test", "Cannot access central in offline mode", "~/.m2/repository"),
            (
                "gradle --offline test",
                "No cached version of a:b:1 available for offline mode.",
                "cache of Gradle's",
            ),
            (
                "cargo test",
                "couldn't read `/scratch/cargo/registry/src/x/lib.rs`: Permission denied",
                "chmod -R a+rX",
            ),
        ] {
            let told = failed(&command(argv), said).unwrap();
            assert!(told.contains(expected), "{argv}: {told}");
        }
        assert_eq!(failed(&command("cargo test"), "assertion failed"), None);
        let mut go = command("go test ./...");
        assert_eq!(failed(&go, "cannot find package \"x/y\""), None);
        go.env.insert("GO111MODULE".into(), "off".into());
        assert!(failed(&go, "cannot find package \"x/y\"").unwrap().contains("go mod init"));
    }
}
