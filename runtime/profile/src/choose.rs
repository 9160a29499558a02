//! One command of each kind out of all that were found, and the profile around them.

use std::path::Path;

use gloaming_api::profile::{Command, CommandKind, Ecosystem, InstructionKind, Part, Rejected};
use gloaming_api::{Digest, Profile, RelPath};
use gloaming_policies::Diagnostic;

use crate::commands::one_test;
use crate::corrections::Corrections;
use crate::facts::{self, Facts};
use crate::mine::{Candidate, Mined};
use crate::readiness::readiness;
use crate::tree::Tree;
use crate::{instructions, makefile, manifests, workflow};

/// Rejected commands beyond this number say nothing new.
const MOST_REJECTED: usize = 50;

/// Finds out how the repository checked out in `dir` is built, tested and linted, from its files alone and without
/// anybody's corrections.
///
/// Reads manifests, the Makefile, CI workflows and instructions for agents, in this order. Nothing is run: no
/// command has a proof yet.
pub fn detect(dir: &Path) -> Profile {
    Survey::of(dir).profile()
}

/// Returns what [`detect`] finds, corrected by the repository's own `.gloaming/profile.toml` and then by the
/// operator's file, which wins.
///
/// # Errors
/// Every fault of the repository's file, each at its place, and what a correction cannot be applied to.
pub fn known(dir: &Path, operator: Option<&Corrections>) -> Result<Profile, Vec<Diagnostic>> {
    Survey::of(dir).corrected(dir, operator)
}

/// Whether what a profile was mined from, corrections included, is not what lies in `dir` and in the operator's file
/// now. Time plays no part. A file that cannot be read any more makes it stale.
pub fn is_stale(profile: &Profile, dir: &Path, operator: Option<&Corrections>) -> bool {
    known(dir, operator).map_or(true, |now| now.mined_from != profile.mined_from)
}

/// Everything that was found in a checkout, the candidates of each kind best first.
pub(crate) struct Survey {
    ecosystems: Vec<Ecosystem>,
    candidates: Vec<Candidate>,
    mined: Mined,
    facts: Facts,
    parts: (Vec<Part>, bool),
    instructions: Vec<gloaming_api::profile::InstructionFile>,
    mined_from: Digest,
}

impl Survey {
    pub(crate) fn of(dir: &Path) -> Self {
        let tree = Tree::walk(dir);
        let mut mined = Mined::default();
        let ecosystems = manifests::mine(&tree, &mut mined);
        makefile::mine(&tree, &mut mined);
        workflow::mine(&tree, &mut mined);
        let instructions = instructions::mine(&tree, &mut mined);
        let facts = facts::mine(&tree, &mut mined);
        let parts = manifests::parts(&tree);
        let mut candidates = std::mem::take(&mut mined.candidates);
        let importance = |candidate: &Candidate| {
            let ecosystem = ecosystems.iter().position(|found| *found == candidate.ecosystem);
            (
                candidate.command.cwd.names().count(),
                ecosystem.unwrap_or(usize::MAX),
                candidate.origin,
                candidate.weight,
            )
        };
        candidates.sort_by_key(importance);
        // Files that were only looked at to confirm something count by what they confirmed.
        let found: Vec<_> = candidates
            .iter()
            .map(|candidate| {
                let command = &candidate.command;
                (command.kind, &command.argv, &command.cwd, &command.env, command.runner)
            })
            .collect();
        let mined_from = Digest::of_json(&(tree.read_files(), found));
        Self { ecosystems, candidates, mined, facts, parts, instructions, mined_from }
    }

    /// Returns the commands of one kind, best first, each argument vector once.
    pub(crate) fn commands(&self, kind: CommandKind) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for candidate in self.candidates.iter().filter(|candidate| candidate.command.kind == kind) {
            let command = &candidate.command;
            if !commands.iter().any(|known| known.argv == command.argv && known.cwd == command.cwd) {
                commands.push(command.clone());
            }
        }
        commands
    }

    pub(crate) fn profile(&self) -> Profile {
        let mut profile = self.draft();
        finish(&mut profile);
        profile
    }

    fn corrected(&self, dir: &Path, operator: Option<&Corrections>) -> Result<Profile, Vec<Diagnostic>> {
        let repository = Corrections::of_repository(dir)?;
        let mut profile = self.draft();
        for corrections in repository.iter().chain(operator) {
            corrections.apply(&mut profile)?;
            profile.mined_from = Digest::of_json(&(&profile.mined_from, corrections.digest()));
        }
        finish(&mut profile);
        Ok(profile)
    }

    fn draft(&self) -> Profile {
        let mut commands = Vec::new();
        let mut rejected = Vec::new();
        let mut gaps = Vec::new();
        if self.ecosystems.is_empty() {
            gaps.push(
                "no Cargo.toml, pyproject.toml, package.json, go.mod, pom.xml, build.gradle, CMakeLists.txt or Makefile \
                 beside C sources was found: only Rust, Python, Node, Go, Java, C and C++ are known"
                    .to_owned(),
            );
        }
        for kind in CommandKind::ALL {
            let mut found = self.commands(*kind).into_iter();
            let Some(chosen) = found.next() else {
                gaps.extend(self.gap(*kind));
                continue;
            };
            for other in found {
                let reason = format!("`{}` of {} is preferred", words(&chosen), place(&chosen));
                rejected.push(Rejected { command: words(&other), source: other.source, reason, proof: None });
            }
            commands.push(chosen);
        }
        gaps.extend(self.untested(&commands));
        gaps.extend(self.mined.notes.iter().cloned());
        if self.parts.1 {
            gaps.push(format!("only {} parts of the repository are listed", self.parts.0.len()));
        }
        for service in &self.facts.services {
            let image = service.image.as_deref().unwrap_or("an image that is not named");
            let ports = match service.ports.as_slice() {
                [] => String::new(),
                ports => format!(", port {}", ports.join(", ")),
            };
            gaps.push(format!(
                "tests may need the service {} ({image}{ports}; {}:{}): jobs have none",
                service.name, service.source.file, service.source.line
            ));
        }
        rejected.extend(self.mined.rejected.iter().cloned());
        rejected.truncate(MOST_REJECTED);
        let for_agents = self.instructions.iter().filter(|file| file.kind != InstructionKind::Contributing);
        Profile {
            ecosystems: self.ecosystems.clone(),
            commands,
            rejected,
            gaps,
            instructions: for_agents.map(|file| file.path.clone()).collect(),
            instruction_files: self.instructions.clone(),
            toolchains: self.mined.pins.clone(),
            managers: self.mined.managers.clone(),
            parts: self.parts.0.clone(),
            services: self.facts.services.clone(),
            protected: self.facts.protected.clone(),
            setups: self.facts.setups.clone(),
            mined_from: self.mined_from.clone(),
            ..Profile::empty()
        }
    }

    /// Names the parts of a repository whose tests the one chosen command does not run.
    fn untested(&self, chosen: &[Command]) -> Vec<String> {
        let Some(chosen) = chosen.iter().find(|command| command.kind == CommandKind::Test) else {
            return Vec::new();
        };
        let mut parts: Vec<(Ecosystem, &RelPath)> = Vec::new();
        let mut gaps = Vec::new();
        let ecosystem_of = |command: &Command| {
            let is_it = |candidate: &&Candidate| candidate.command == *command;
            self.candidates.iter().find(is_it).map(|candidate| candidate.ecosystem)
        };
        if let Some(ecosystem) = ecosystem_of(chosen) {
            parts.push((ecosystem, &chosen.cwd));
        }
        for candidate in
            self.candidates.iter().filter(|candidate| candidate.command.kind == CommandKind::Test)
        {
            let command = &candidate.command;
            let covered = parts.iter().any(|(ecosystem, folder)| {
                *ecosystem == candidate.ecosystem && command.cwd.is_within(folder)
            });
            if !covered {
                parts.push((candidate.ecosystem, &command.cwd));
                gaps.push(format!(
                    "the tests of `{}` in {} are not run: there is one test command, `{}`",
                    words(command),
                    command.cwd,
                    words(chosen)
                ));
            }
        }
        for part in &self.parts.0 {
            let test = part.commands.iter().find(|command| command.kind == CommandKind::Test);
            let covered = parts
                .iter()
                .any(|(ecosystem, folder)| *ecosystem == part.ecosystem && part.path.is_within(folder));
            if let Some(test) = test.filter(|_| !covered && gaps.len() < MOST_REJECTED) {
                gaps.push(format!(
                    "the tests of `{}` in {} are not run: there is one test command, `{}`",
                    words(test),
                    part.path,
                    words(chosen)
                ));
            }
        }
        gaps
    }

    /// Returns why the commands that look like tests are not used, to end a sentence with.
    fn unused_tests(&self) -> String {
        let is_test = |rejected: &&Rejected| {
            ["test", "check", "tox", "nox"].iter().any(|word| rejected.command.contains(word))
        };
        let mut told = String::new();
        for Rejected { command, reason, .. } in self.mined.rejected.iter().filter(is_test).take(2) {
            told.push_str(&format!("; `{command}` is not used: {reason}"));
        }
        told
    }

    /// Says what to do where no command of a kind was found.
    fn gap(&self, kind: CommandKind) -> Option<String> {
        let first = self.ecosystems.first()?;
        let text = match (kind, first) {
            // These languages need no build, so that none is found is no lack.
            (CommandKind::Build, Ecosystem::Python | Ecosystem::Node) => return None,
            (CommandKind::Build, _) => "no build command was found".to_owned(),
            (CommandKind::Test, Ecosystem::Python) => {
                format!(
                    "no test command was found: configure pytest in pyproject.toml, or add tests that import pytest or \
                     unittest{}",
                    self.unused_tests()
                )
            }
            (CommandKind::Test, Ecosystem::Node) => {
                format!(
                    "no test command was found: let the script \"test\" of package.json run node --test, jest, vitest \
                     or mocha{}",
                    self.unused_tests()
                )
            }
            (CommandKind::Test, _) => format!("no test command was found{}", self.unused_tests()),
            (CommandKind::Lint, Ecosystem::Rust) => {
                "no lint command was found: neither the Makefile nor CI uses cargo clippy, and no file configures it"
                    .to_owned()
            }
            (CommandKind::Lint, _) => "no lint command was found: no linter is configured".to_owned(),
            (CommandKind::Install | CommandKind::Format | CommandKind::Typecheck | CommandKind::TestOne, _) => {
                return None;
            }
        };
        Some(text)
    }
}

/// Brings what follows from the commands up to date: the one that runs one test, what is not told by test, and
/// readiness.
pub(crate) fn finish(profile: &mut Profile) {
    let corrected = profile.corrections.iter().any(|correction| correction.field == "commands.test-one");
    if !corrected {
        profile.commands.retain(|command| command.kind != CommandKind::TestOne);
        let one = profile.command(CommandKind::Test).and_then(one_test);
        profile.commands.extend(one);
    }
    const UNTOLD: &str =
        "tells by its exit alone whether all tests pass, not which: no change can be judged by it";
    profile.gaps.retain(|gap| !gap.ends_with(UNTOLD));
    if let Some(test) = profile.command(CommandKind::Test).filter(|test| test.runner.is_none()) {
        let gap = format!("the test command `{}` {UNTOLD}", words(test));
        profile.gaps.push(gap);
    }
    profile.readiness = Some(readiness(profile));
}

/// Returns a command as a person would write it.
pub(crate) fn words(command: &Command) -> String {
    let env = command.env.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>();
    format!("{env}{}", shell_words::join(&command.argv))
}

fn place(command: &Command) -> String {
    format!("{}:{}", command.source.file, command.source.line)
}
