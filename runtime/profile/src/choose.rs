//! One command of each kind out of all that were found.

use std::path::Path;

use gloaming_api::profile::{Command, CommandKind, Ecosystem, Rejected};
use gloaming_api::{Profile, RelPath};

use crate::mine::{Candidate, Mined};
use crate::tree::Tree;
use crate::{instructions, makefile, manifests, workflow};

/// Rejected commands beyond this number say nothing new.
const MOST_REJECTED: usize = 50;

/// Finds out how the repository checked out in `dir` is built, tested and linted, from its files alone.
///
/// Reads manifests, the Makefile, CI workflows and instructions for agents, in this order. Nothing is run: no
/// command has a proof yet.
pub fn detect(dir: &Path) -> Profile {
    Survey::of(dir).profile()
}

/// Everything that was found in a checkout, the candidates of each kind best first.
pub(crate) struct Survey {
    ecosystems: Vec<Ecosystem>,
    candidates: Vec<Candidate>,
    rejected: Vec<Rejected>,
    instructions: Vec<RelPath>,
    mined_from: gloaming_api::Digest,
}

const KINDS: [CommandKind; 3] = [CommandKind::Build, CommandKind::Test, CommandKind::Lint];

impl Survey {
    pub(crate) fn of(dir: &Path) -> Self {
        let tree = Tree::walk(dir);
        let mut mined = Mined::default();
        let ecosystems = manifests::mine(&tree, &mut mined);
        makefile::mine(&tree, &mut mined);
        workflow::mine(&tree, &mut mined);
        let instructions = instructions::mine(&tree, &mut mined);
        let Mined { mut candidates, rejected, .. } = mined;
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
        Self { ecosystems, candidates, rejected, instructions, mined_from: tree.digest() }
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
        let mut commands = Vec::new();
        let mut rejected = Vec::new();
        let mut gaps = Vec::new();
        if self.ecosystems.is_empty() {
            gaps.push(
                "no Cargo.toml, pyproject.toml, package.json or go.mod was found: only Rust, Python, Node and Go \
                 are known"
                    .to_owned(),
            );
        }
        for kind in KINDS {
            let mut found = self.commands(kind).into_iter();
            let Some(chosen) = found.next() else {
                gaps.extend(self.gap(kind));
                continue;
            };
            for other in found {
                let reason = format!("`{}` of {} is preferred", words(&chosen), place(&chosen));
                rejected.push(Rejected { command: words(&other), source: other.source, reason });
            }
            commands.push(chosen);
        }
        gaps.extend(self.untested(&commands));
        rejected.extend(self.rejected.iter().cloned());
        rejected.truncate(MOST_REJECTED);
        Profile {
            schema_version: 1,
            ecosystems: self.ecosystems.clone(),
            commands,
            rejected,
            gaps,
            instructions: self.instructions.clone(),
            mined_from: self.mined_from.clone(),
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
        gaps
    }

    /// Says what to do where no command of a kind was found.
    fn gap(&self, kind: CommandKind) -> Option<String> {
        let first = self.ecosystems.first()?;
        let text = match (kind, first) {
            // These languages need no build, so that none is found is no lack.
            (CommandKind::Build, Ecosystem::Python | Ecosystem::Node) => return None,
            (CommandKind::Build, _) => "no build command was found".to_owned(),
            (CommandKind::Test, Ecosystem::Python) => {
                "no test command was found: configure pytest in pyproject.toml, or add tests that import pytest or \
                 unittest"
                    .to_owned()
            }
            (CommandKind::Test, Ecosystem::Node) => {
                "no test command was found: let the script \"test\" of package.json run node --test, jest, vitest \
                 or mocha"
                    .to_owned()
            }
            (CommandKind::Test, _) => "no test command was found".to_owned(),
            (CommandKind::Lint, Ecosystem::Rust) => {
                "no lint command was found: neither the Makefile nor CI uses cargo clippy or cargo fmt --check"
                    .to_owned()
            }
            (CommandKind::Lint, _) => "no lint command was found: no linter is configured".to_owned(),
        };
        Some(text)
    }
}

/// Returns a command as a person would write it.
pub(crate) fn words(command: &Command) -> String {
    let env = command.env.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>();
    format!("{env}{}", shell_words::join(&command.argv))
}

fn place(command: &Command) -> String {
    format!("{}:{}", command.source.file, command.source.line)
}
