//! The tools whose machine format is known: how each is asked for it, and who reads it. One row per tool.

use super::{Raw, machine, sarif};

/// Reads standard output and standard error.
type Reader = fn(&str, &str) -> Option<Vec<Raw>>;

/// One tool.
pub(crate) struct Tool {
    /// Its name in findings.
    pub(crate) name: &'static str,
    /// The words that name it in a command, in a row.
    words: &'static [&'static str],
    /// A word that may not be there: it makes the tool do something else.
    not: &'static [&'static str],
    /// What is added.
    flags: &'static [&'static str],
    /// Where.
    place: Place,
    /// Reads what it then prints to standard output and standard error; none when that is not of its form.
    pub(super) read: Option<Reader>,
    /// Whether it ends with exit code 0 whatever it finds.
    pub(crate) always_content: bool,
}

enum Place {
    /// Behind the words that name it.
    Behind,
    /// At the end, in front of a `--`.
    End,
}

const TOOLS: &[Tool] = &[
    cargo(&["cargo", "clippy"], "clippy"),
    cargo(&["cargo", "check"], "rustc"),
    cargo(&["cargo", "build"], "rustc"),
    Tool {
        flags: &["--output-format=json"],
        not: &["format"],
        read: Some(machine::ruff),
        ..Tool::named("ruff", &["ruff", "check"])
    },
    Tool { flags: &["--format=default"], ..Tool::named("flake8", &["flake8"]) },
    // Younger versions only: an older one says that it does not know the flag, and is run as the command stands.
    Tool { flags: &["--output=json"], read: Some(machine::mypy), ..Tool::named("mypy", &["mypy"]) },
    Tool { flags: &["--outputjson"], read: Some(machine::pyright), ..Tool::named("pyright", &["pyright"]) },
    Tool { flags: &["--format=json"], read: Some(machine::eslint), ..Tool::named("eslint", &["eslint"]) },
    Tool { flags: &["--pretty", "false"], ..Tool::named("tsc", &["tsc"]) },
    Tool {
        flags: &["-json"],
        place: Place::Behind,
        read: Some(machine::go_vet),
        always_content: true,
        ..Tool::named("go vet", &["go", "vet"])
    },
    // Version 2 does not know the flag of version 1, and is run as the command stands.
    Tool {
        flags: &["--out-format=json"],
        read: Some(machine::golangci),
        ..Tool::named("golangci-lint", &["golangci-lint", "run"])
    },
];

const fn cargo(words: &'static [&'static str], name: &'static str) -> Tool {
    Tool {
        flags: &["--message-format=json"],
        place: Place::Behind,
        read: Some(machine::rustc),
        ..Tool::named(name, words)
    }
}

impl Tool {
    const fn named(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words, not: &[], flags: &[], place: Place::End, read: None, always_content: false }
    }
}

/// A command as it is run.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) argv: Vec<String>,
    /// The tool, where it is known.
    pub(crate) tool: Option<&'static Tool>,
}

impl Asked {
    /// The command as it stands in the profile.
    pub(crate) fn plain(argv: &[String]) -> Self {
        Self { argv: argv.to_vec(), tool: None }
    }
}

/// Returns a command with what makes its tool print its machine format; as it stands where the tool is not known, or
/// is behind a script.
pub(crate) fn ask(argv: &[String]) -> Asked {
    let found = TOOLS.iter().find_map(|tool| Some((tool, named_at(argv, tool)?)));
    let Some((tool, behind)) = found else { return Asked::plain(argv) };
    let mut out = argv.to_vec();
    let given = |flag: &str| {
        let name = flag.split('=').next().unwrap_or(flag);
        argv.iter().any(|word| word == name || word.starts_with(&format!("{name}=")))
    };
    // What the command asks for itself stays: its own form is read where it is known.
    if tool.flags.first().is_some_and(|flag| !given(flag)) {
        let at = match tool.place {
            Place::Behind => behind,
            Place::End => argv.iter().position(|word| word == "--").unwrap_or(argv.len()),
        };
        out.splice(at..at, tool.flags.iter().map(|flag| (*flag).to_owned()));
    }
    Asked { argv: out, tool: Some(tool) }
}

/// The place behind the words that name a tool: at the start, or behind a runner (`python3 -m`, `npx`, `uv run`).
fn named_at(argv: &[String], tool: &Tool) -> Option<usize> {
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let first = argv.first().map(|word| name(word))?;
    let start = match first.as_str() {
        python if python.starts_with("python") => argv.iter().position(|word| word == "-m")? + 1,
        "npx" | "bunx" => 1,
        "uv" | "poetry" | "pdm" | "hatch" | "pipenv" if argv.get(1).is_some_and(|word| word == "run") => 2,
        "yarn" | "pnpm" if argv.get(1).is_some_and(|word| word == "exec") => 2,
        _ => 0,
    };
    let mut words = argv.get(start..)?.iter();
    let mut at = start;
    for wanted in tool.words {
        // A toolchain may stand between: `cargo +nightly clippy`.
        let mut word = words.next()?;
        at += 1;
        if word.starts_with('+') {
            word = words.next()?;
            at += 1;
        }
        if name(word) != *wanted {
            return None;
        }
    }
    let other = argv[at..].iter().any(|word| tool.not.contains(&word.as_str()));
    (!other).then_some(at)
}

/// Reads a machine format by trying all of them: a script may ask for one by itself.
pub(super) fn any_machine(stdout: &str, stderr: &str) -> Option<Vec<Raw>> {
    if let Some(found) = sarif::read(stdout) {
        return Some(found);
    }
    TOOLS.iter().filter_map(|tool| tool.read).find_map(|read| read(stdout, stderr))
}
