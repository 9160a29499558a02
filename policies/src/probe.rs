//! What there is to try of a policy's rules, for a verification that drives the lanes.

use gloaming_api::RelPath;
use gloaming_api::job::JobPurpose;

use crate::subject::Kind;
use crate::{Grant, Layer, RuleRef};

/// Something to try of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The rule.
    pub rule: RuleRef,
    /// The layer it belongs to.
    pub layer: Layer,
    /// What to try.
    pub what: Probed,
}

/// What a probe tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// Files that a pattern of the rule takes; `denies` says which way.
    Files {
        /// Samples of the pattern.
        paths: Vec<RelPath>,
        /// Whether the rule denies.
        denies: bool,
    },
    /// A command that the rule takes.
    Command {
        /// The kind of job.
        purpose: JobPurpose,
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// A variable that the rule takes.
    Variable {
        /// The kind of job.
        purpose: JobPurpose,
        /// Its name.
        name: String,
    },
    /// The rule cannot be tried, and why.
    Untried(&'static str),
}

/// Some of a pattern's samples, none of which lies beneath another: all can be files at once.
fn files(samples: &[String], each: usize) -> Vec<RelPath> {
    let mut chosen: Vec<RelPath> = Vec::new();
    for path in samples.iter().filter_map(|path| RelPath::parse(path).ok()) {
        let apart = |known: &RelPath| !path.is_within(known) && !known.is_within(&path);
        if chosen.len() < each && chosen.iter().all(apart) {
            chosen.push(path);
        }
    }
    chosen
}

impl Grant {
    /// Returns what to try of each rule of each layer, in the order of the layers and of the rules in their files.
    pub fn probes(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        for unit in self.units() {
            let file = &unit.file;
            let mut add = |id: &str, line: u32, because: &str, what: Probed| {
                let (id, because) = (id.to_owned(), because.to_owned());
                let rule = RuleRef { id, file: file.name().to_owned(), line, because };
                probes.push(Probe { rule, layer: unit.layer, what });
            };
            for (denies, rules) in [(false, &file.allow), (true, &file.deny)] {
                for rule in rules {
                    // Of a few patterns two files each, of many one.
                    let each = if rule.paths.len() > 8 { 1 } else { 2 };
                    let paths: Vec<RelPath> =
                        rule.paths.iter().flat_map(|pattern| files(&pattern.samples(), each)).collect();
                    add(&rule.id, rule.line, &rule.because, Probed::Files { paths, denies });
                }
            }
            for protected in &file.change.protected {
                let paths = files(&protected.pattern.samples(), 2);
                add("protected", protected.line, "", Probed::Files { paths, denies: true });
            }
            for rule in file.job_allow.iter().chain(&file.job_deny) {
                for purpose in &rule.purposes {
                    for (subject, ..) in &rule.subjects {
                        for ask in subject.samples(rule.kind) {
                            let what = match ask {
                                crate::call::JobAsk::Command(argv) => {
                                    Probed::Command { purpose: *purpose, argv }
                                }
                                crate::call::JobAsk::Env(name) => {
                                    Probed::Variable { purpose: *purpose, name }
                                }
                                _ if rule.kind == Kind::Images => Probed::Untried(
                                    "the job lane has one image here, which every job of the run saw",
                                ),
                                _ => Probed::Untried(
                                    "no engine here enforces it, so it should not have loaded",
                                ),
                            };
                            add(&rule.id, rule.line, &rule.because, what);
                        }
                    }
                }
            }
        }
        probes
    }
}
