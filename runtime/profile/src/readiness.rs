//! How ready a repository is: a score of named checks, each with what to do about it.

use gloaming_api::Profile;
use gloaming_api::profile::{
    CheckName, CheckState, Command, CommandKind, Ecosystem, ProtectedKind, Readiness, ReadinessCheck,
};

/// A suite that takes longer is slow, milliseconds: it is run many times for one change (twice before it, twice after
/// it, and again for each test that differs).
pub const FAST_SUITE_MS: u64 = 5 * 60 * 1000;

use CheckState::{Fails, Holds, Unknown};

/// Returns the readiness of a profile as it stands. What was not run counts as not holding: a promise that nobody
/// tried is none.
pub fn readiness(profile: &Profile) -> Readiness {
    let test = profile.command(CommandKind::Test);
    let mut checks = Vec::new();
    let mut add = |name, weight, (state, detail, remedy): (CheckState, String, String)| {
        let remedy = if state == Holds { String::new() } else { remedy };
        checks.push(ReadinessCheck { name, state, weight, detail, remedy });
    };
    add(
        CheckName::TestsProved,
        30,
        proved(test, "test", "add a test command: `gloaming profile` says what was looked for"),
    );
    add(CheckName::TestReport, 10, report(test));
    add(CheckName::BuildProved, 10, build(profile));
    add(CheckName::NoServicesMissing, 8, services(profile));
    add(CheckName::FastSuite, 8, fast(test));
    let lint = proved(
        profile.command(CommandKind::Lint),
        "lint",
        "configure a linter (clippy, ruff, eslint, golangci-lint) and run it in CI",
    );
    add(CheckName::Lint, 8, lint);
    add(CheckName::Lockfile, 6, lockfile(profile));
    let instructions = match profile.instructions.as_slice() {
        [] => {
            let remedy = "add an AGENTS.md: how to build and test, what is where, what not to touch";
            (Fails, "no instructions for agents".to_owned(), remedy.to_owned())
        }
        [first, ..] => (Holds, first.to_string(), String::new()),
    };
    add(CheckName::Instructions, 6, instructions);
    let pins = match profile.toolchains.first() {
        Some(pin) => (Holds, format!("{} {} in {}", pin.tool, pin.version, pin.source.file), String::new()),
        None => {
            let remedy =
                "pin the toolchain: rust-toolchain.toml, .python-version, .nvmrc, or the `go` line of go.mod";
            (Fails, "no file names a toolchain's version".to_owned(), remedy.to_owned())
        }
    };
    add(CheckName::PinnedToolchain, 5, pins);
    let ci = profile.protected.iter().find(|path| path.kind == ProtectedKind::Ci);
    let ci = match ci {
        Some(path) => (Holds, path.pattern.clone(), String::new()),
        None => {
            let remedy = "let CI run the same commands, so that people and agents are held to one thing";
            (Fails, "no continuous integration is configured".to_owned(), remedy.to_owned())
        }
    };
    add(CheckName::Ci, 5, ci);
    add(CheckName::Typecheck, 4, typecheck(profile));
    let held: u32 =
        checks.iter().filter(|check| check.state == Holds).map(|check| u32::from(check.weight)).sum();
    let all: u32 = checks.iter().map(|check| u32::from(check.weight)).sum();
    let score = u8::try_from(held * 100 / all.max(1)).unwrap_or(100);
    // What was only not run is put right by running it, and no change to the repository.
    let lacking = |state| {
        checks
            .iter()
            .filter(move |check: &&ReadinessCheck| check.state == state)
            .max_by_key(|check| (check.weight, std::cmp::Reverse(check.name)))
    };
    let most_help = lacking(Fails).or_else(|| lacking(Unknown)).map(|check| check.remedy.clone());
    Readiness { score, checks, most_help }
}

type Seen = (CheckState, String, String);

fn proved(command: Option<&Command>, kind: &str, missing: &str) -> Seen {
    let Some(command) = command else {
        return (Fails, format!("no {kind} command is known"), missing.to_owned());
    };
    let words = crate::choose::words(command);
    match &command.proof {
        None => (Unknown, format!("`{words}` was not run"), "run `gloaming onboard`".to_owned()),
        Some(proof) if proof.exit.success() => {
            let tests = proof.tests.map(|tests| format!(", {tests} tests")).unwrap_or_default();
            (
                Holds,
                format!("`{words}`: {} in {:.1} s{tests}", proof.exit, proof.duration_ms as f64 / 1e3),
                String::new(),
            )
        }
        Some(proof) => {
            let remedy = format!(
                "make the {kind} command `{words}` pass on the untouched tree, or correct it in .gloaming/profile.toml"
            );
            (Fails, format!("`{words}`: {}", proof.exit), remedy)
        }
    }
}

fn report(test: Option<&Command>) -> Seen {
    let remedy =
        "let the tests be run by a runner with a machine report, and name it in .gloaming/profile.toml";
    match test.map(|test| test.runner) {
        Some(Some(runner)) => (Holds, format!("results are read from {}", runner.as_str()), String::new()),
        Some(None) => (Fails, "the test command tells no single result".to_owned(), remedy.to_owned()),
        None => (Fails, "no test command is known".to_owned(), remedy.to_owned()),
    }
}

fn compiled(profile: &Profile) -> bool {
    profile.ecosystems.iter().any(|ecosystem| {
        matches!(ecosystem, Ecosystem::Rust | Ecosystem::Go | Ecosystem::Java | Ecosystem::C)
    })
}

fn build(profile: &Profile) -> Seen {
    match profile.command(CommandKind::Build) {
        None if !compiled(profile) && !profile.ecosystems.is_empty() => {
            (Holds, "none is needed".to_owned(), String::new())
        }
        command => proved(command, "build", "add a build command"),
    }
}

fn services(profile: &Profile) -> Seen {
    // Tests that passed in a job without them did not need them.
    let passed = profile
        .command(CommandKind::Test)
        .and_then(|test| test.proof.as_ref())
        .is_some_and(|proof| proof.exit.success());
    let names: Vec<&str> = profile.services.iter().map(|service| service.name.as_str()).collect();
    match names.as_slice() {
        [] => (Holds, "no service is named".to_owned(), String::new()),
        _ if passed => (Holds, format!("the tests pass without {}", names.join(", ")), String::new()),
        _ => {
            let remedy = format!("let tests that need {} be skipped where it is not there", names.join(", "));
            (Fails, format!("jobs have no {}", names.join(", ")), remedy)
        }
    }
}

fn fast(test: Option<&Command>) -> Seen {
    let minutes = FAST_SUITE_MS / 60_000;
    match test.and_then(|test| test.proof.as_ref()) {
        None => (Unknown, "the suite was not run".to_owned(), "run `gloaming onboard`".to_owned()),
        Some(proof) if proof.exit.success() && proof.duration_ms <= FAST_SUITE_MS => {
            (Holds, format!("{:.1} s", proof.duration_ms as f64 / 1e3), String::new())
        }
        Some(proof) if proof.exit.success() => {
            let remedy = format!(
                "get the suite under {minutes} minutes, or name a quicker one in .gloaming/profile.toml"
            );
            (Fails, format!("{:.0} s", proof.duration_ms as f64 / 1e3), remedy)
        }
        Some(_) => (Fails, "the suite does not pass".to_owned(), "let the suite pass first".to_owned()),
    }
}

fn lockfile(profile: &Profile) -> Seen {
    let locking: Vec<_> = profile.managers.iter().filter(|manager| manager.manager.locks()).collect();
    let without: Vec<&str> = locking
        .iter()
        .filter(|manager| manager.lockfile.is_none())
        .map(|manager| manager.manager.as_str())
        .collect();
    match (locking.is_empty(), without.is_empty()) {
        (false, true) => (Holds, "every dependency is pinned".to_owned(), String::new()),
        (true, _) => (Holds, "no package manager that locks is used".to_owned(), String::new()),
        (false, false) => {
            let remedy = format!("commit the lockfile of {}", without.join(", "));
            (Fails, format!("no lockfile of {}", without.join(", ")), remedy)
        }
    }
}

fn typecheck(profile: &Profile) -> Seen {
    match profile.command(CommandKind::Typecheck) {
        None if compiled(profile) => build(profile),
        command => proved(command, "typecheck", "configure a type checker: mypy, pyright, tsc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_nothing_known_is_a_low_score() {
        let empty = readiness(&Profile::empty());
        assert_eq!(empty.checks.iter().map(|check| u32::from(check.weight)).sum::<u32>(), 100);
        assert!(empty.score <= 20, "{empty:?}");
        assert!(empty.most_help.unwrap().contains("test command"));
        assert!(empty.checks.iter().all(|check| (check.state == Holds) == check.remedy.is_empty()));
        let weights: Vec<u8> = empty.checks.iter().map(|check| check.weight).collect();
        assert!(weights.is_sorted_by(|a, b| a >= b), "{weights:?}");
    }
}
