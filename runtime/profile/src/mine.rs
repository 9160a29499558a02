//! What the miners bring in, before one command of each kind is chosen.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::profile::{
    Command, CommandKind, Ecosystem, Manager, PackageManager, Pin, Rejected, Source,
};

use crate::commands::{Known, Tool};
use crate::shell::{Segment, Step};

/// Where a command was found, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// A manifest configures the runner or names the script.
    Manifest,
    /// The tests themselves say what runs them.
    Tests,
    Makefile,
    Workflow,
    Instructions,
    /// Nothing speaks against it.
    Convention,
}

/// A command that could be run.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) ecosystem: Ecosystem,
    pub(crate) origin: Origin,
    /// Orders commands of one kind and origin; less is better.
    pub(crate) weight: u8,
    pub(crate) command: Command,
}

/// Everything the miners found.
#[derive(Debug, Default)]
pub(crate) struct Mined {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) rejected: Vec<Rejected>,
    /// Where the Python project's packages lie, for commands whose file does not say.
    pub(crate) python_path: Option<String>,
    pub(crate) managers: Vec<Manager>,
    pub(crate) pins: Vec<Pin>,
    /// Whether another ecosystem was found before the one being mined.
    pub(crate) others: bool,
    /// What was left out, for the gaps.
    pub(crate) notes: Vec<String>,
}

/// Pins and package managers beyond this number say nothing new.
const MOST_FACTS: usize = 50;

impl Mined {
    /// Adds a command that follows from a manifest.
    pub(crate) fn add(&mut self, origin: Origin, tool: Tool, cwd: &RelPath, source: Source) {
        let Tool { ecosystem, kind, argv, env, runner, weight } = tool;
        let command = Command { kind, argv, cwd: cwd.clone(), env, runner, source, proof: None };
        self.candidates.push(Candidate { ecosystem, origin, weight, command });
    }

    /// Adds a version that the repository asks for, as it is written.
    pub(crate) fn pin(&mut self, tool: &str, version: &str, source: Source) {
        let version = gloaming_api::bowout::shorten(version.trim(), 80);
        let pin = Pin { tool: tool.to_owned(), version, source };
        if !pin.version.is_empty() && self.pins.len() < MOST_FACTS && !self.pins.contains(&pin) {
            self.pins.push(pin);
        }
    }

    /// Adds a package manager in use, each once for a folder.
    pub(crate) fn manager(
        &mut self,
        manager: PackageManager,
        folder: &RelPath,
        lockfile: Option<RelPath>,
        source: Source,
    ) {
        let known = self.managers.iter().any(|other| other.manager == manager && other.folder == *folder);
        if !known && self.managers.len() < MOST_FACTS {
            self.managers.push(Manager { manager, folder: folder.clone(), lockfile, source });
        }
    }

    /// Adds a command that cannot be used.
    pub(crate) fn reject(&mut self, command: &str, source: Source, reason: impl Into<String>) {
        let command = gloaming_api::bowout::shorten(command.trim(), 200);
        self.rejected.push(Rejected { command, source, reason: reason.into(), proof: None });
    }

    /// Adds the commands of a script that a file holds, line by line.
    pub(crate) fn add_script(
        &mut self,
        origin: Origin,
        script: &str,
        first_line: u32,
        cwd: &RelPath,
        env: &BTreeMap<String, String>,
        source: impl Fn(u32) -> Source,
    ) {
        for step in crate::shell::script(script, first_line, cwd) {
            let Step { text, line, outcome } = step;
            let source = source(line);
            match outcome {
                Ok(segment) => self.add_segment(origin, &segment, &text, env, source),
                Err(reason) if crate::commands::mentions_a_tool(&text) => self.reject(&text, source, reason),
                Err(_) => {}
            }
        }
    }

    /// Adds one simple command where it is a known one.
    pub(crate) fn add_segment(
        &mut self,
        origin: Origin,
        segment: &Segment,
        text: &str,
        env: &BTreeMap<String, String>,
        source: Source,
    ) {
        match crate::commands::recognise(segment) {
            Known::Tool(mut tool) => {
                for (name, value) in env {
                    tool.env.entry(name.clone()).or_insert_with(|| value.clone());
                }
                if tool.runner.is_some()
                    && tool.ecosystem == Ecosystem::Python
                    && let Some(path) = &self.python_path
                {
                    tool.env.entry("PYTHONPATH".into()).or_insert_with(|| path.clone());
                }
                self.add(origin, tool, &segment.cwd, source);
            }
            Known::Refused(reason) => self.reject(text, source, reason),
            Known::Unknown => {}
        }
    }

    /// Whether a command of a kind was found for an ecosystem.
    pub(crate) fn has(&self, ecosystem: Ecosystem, kind: CommandKind) -> bool {
        self.candidates
            .iter()
            .any(|candidate| candidate.ecosystem == ecosystem && candidate.command.kind == kind)
    }
}

/// Returns the line, counted from 1, of a byte offset.
pub(crate) fn line_at(text: &str, offset: usize) -> u32 {
    let before = &text.as_bytes()[..offset.min(text.len())];
    u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).unwrap_or(u32::MAX)
}

/// Returns the first line that contains `needle`, counted from 1.
pub(crate) fn line_of(text: &str, needle: &str) -> Option<u32> {
    text.find(needle).map(|offset| line_at(text, offset))
}

/// Makes a source.
pub(crate) fn source(file: &RelPath, line: u32, because: impl Into<String>) -> Source {
    Source { file: file.clone(), line, because: because.into() }
}
