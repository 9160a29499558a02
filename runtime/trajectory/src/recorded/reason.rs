//! Why a call of another agent has no equal here, or none at all.

use serde::{Deserialize, Serialize};

/// Why a call differs, or is out of reach by design. Tables of differences are kept by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Theirs takes an edit back of which its linter complains.
    LinterRefuses,
    /// Theirs looks for the text in the lines that it shows.
    UniqueInFile,
    /// Theirs saw files of its environment.
    NotInCommit,
    /// Theirs writes and shows tabs as spaces.
    Tabs,
    /// The policy of the replay denies it.
    Policy,
    /// What it worked on was made by a call that is out of reach.
    AfterOutOfReach,
    /// Nothing explains it.
    Unexplained,
    /// It starts a program of the agent's choice.
    Program,
    /// It installs something.
    Installs,
    /// It speaks to another machine.
    Network,
    /// It names a place outside of the repository.
    Outside,
    /// It hands in an answer that is no change.
    Answer,
    /// It asks for, or changes, where the shell stands.
    WorkingFolder,
    /// It needs a shell's own language.
    ShellLanguage,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::LinterRefuses,
        Self::UniqueInFile,
        Self::NotInCommit,
        Self::Tabs,
        Self::Policy,
        Self::AfterOutOfReach,
        Self::Unexplained,
        Self::Program,
        Self::Installs,
        Self::Network,
        Self::Outside,
        Self::Answer,
        Self::WorkingFolder,
        Self::ShellLanguage,
    ];

    /// Returns its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LinterRefuses => "linter_refuses",
            Self::UniqueInFile => "unique_in_file",
            Self::NotInCommit => "not_in_commit",
            Self::Tabs => "tabs",
            Self::Policy => "policy",
            Self::AfterOutOfReach => "after_out_of_reach",
            Self::Unexplained => "unexplained",
            Self::Program => "program",
            Self::Installs => "installs",
            Self::Network => "network",
            Self::Outside => "outside",
            Self::Answer => "answer",
            Self::WorkingFolder => "working_folder",
            Self::ShellLanguage => "shell_language",
        }
    }

    /// Returns what stands behind it, a sentence.
    pub fn because(self) -> &'static str {
        match self {
            Self::LinterRefuses => {
                "Their editor takes an edit back of which its linter complains. Ours makes it: what is wrong with it, the \
                 edit's answer, `check` and verification say, and a change may be broken for a while between two edits. The \
                 replay takes it back, too, so that both go on from the same files."
            }
            Self::UniqueInFile => {
                "Their editor looks for the text in the lines that it shows just then. `edit` has no such state and wants \
                 a text that occurs once in the whole file; the replay makes the change by `patch`."
            }
            Self::NotInCommit => {
                "Their container held files that the commit does not: a virtual environment, what a build left."
            }
            Self::Tabs => "Their editor writes and shows tabs as spaces; ours keeps a file's bytes.",
            Self::Policy => "The policy of the replay denies it.",
            Self::AfterOutOfReach => {
                "It works on what a call before it made that is out of reach here (a program's files)."
            }
            Self::Unexplained => "Nothing explains it: a fault of the mapping, or of a tool.",
            Self::Program => {
                "It starts a program of the agent's choice. There is no shell: `check` runs the repository's own build, \
                 tests and linters in a container, and nothing else."
            }
            Self::Installs => {
                "It installs something. Dependencies are set up before the work, by the repository's own command and the \
                 policy's hosts, and not by the agent."
            }
            Self::Network => {
                "It speaks to another machine. No tool and no check of the agent's has a network of its own."
            }
            Self::Outside => "It names a place outside of the repository, which no tool sees.",
            Self::Answer => {
                "It hands in an answer (a flag); here the result of the work is the change alone."
            }
            Self::WorkingFolder => {
                "There is no working folder: every path is told from the repository's root."
            }
            Self::ShellLanguage => "It needs a shell's own language (redirections, loops, substitutions).",
        }
    }

    /// Whether a call of this kind is out of reach by design, and not only answered otherwise.
    pub fn is_out_of_reach(self) -> bool {
        matches!(
            self,
            Self::Program
                | Self::Installs
                | Self::Network
                | Self::Outside
                | Self::Answer
                | Self::WorkingFolder
                | Self::ShellLanguage
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_the_name_it_is_written_by() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
