//! Facts of a repository beside its commands: each with the file and line that says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Command, Ecosystem, Source};
use crate::RelPath;

/// A version of a toolchain that the repository asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pin {
    /// Of what: `rust`, `python`, `node`, `go`, `java`, or a package manager's name.
    pub tool: String,
    /// The version or range as it is written there.
    pub version: String,
    /// Where.
    pub source: Source,
}

/// A program that fetches dependencies or drives the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum PackageManager {
    Cargo,
    Pip,
    Uv,
    Poetry,
    Pdm,
    Pipenv,
    Npm,
    Pnpm,
    Yarn,
    Go,
    Maven,
    Gradle,
    Cmake,
    Make,
}

impl PackageManager {
    /// Returns the name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Pip => "pip",
            Self::Uv => "uv",
            Self::Poetry => "poetry",
            Self::Pdm => "pdm",
            Self::Pipenv => "pipenv",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Go => "go",
            Self::Maven => "maven",
            Self::Gradle => "gradle",
            Self::Cmake => "cmake",
            Self::Make => "make",
        }
    }

    /// Whether it writes a lockfile, so that none is a lack.
    pub fn locks(self) -> bool {
        !matches!(self, Self::Maven | Self::Gradle | Self::Cmake | Self::Make)
    }
}

/// A package manager in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manager {
    /// Which.
    pub manager: PackageManager,
    /// The folder it is used in.
    pub folder: RelPath,
    /// The file that pins every dependency; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockfile: Option<RelPath>,
    /// What says that it is used.
    pub source: Source,
}

/// A package of a monorepo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Its folder.
    pub path: RelPath,
    /// Its language.
    pub ecosystem: Ecosystem,
    /// What says that it is one.
    pub source: Source,
    /// Its own commands, never proved by themselves.
    pub commands: Vec<Command>,
}

/// A service that tests may need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Its name in the file.
    pub name: String,
    /// The container image; none where it is built or not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Ports as they are written: `5432`, `127.0.0.1:6379:6379`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Where.
    pub source: Source,
}

/// Whom a file of instructions is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstructionKind {
    /// `AGENTS.md`, for any agent.
    Agents,
    /// `CLAUDE.md`.
    Claude,
    /// `GEMINI.md`.
    Gemini,
    /// `.github/copilot-instructions.md` and `.github/instructions/`.
    Copilot,
    /// `.cursor/rules/` and `.cursorrules`.
    Cursor,
    /// Another agent's own file.
    OtherAgent,
    /// `CONTRIBUTING` and its like, for people.
    Contributing,
}

/// A file with instructions. Its text is data with less authority than any policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstructionFile {
    /// The file.
    pub path: RelPath,
    /// Whom for.
    pub kind: InstructionKind,
    /// The folder it speaks of, with everything below.
    pub scope: RelPath,
}

/// Why a path is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtectedKind {
    /// A rule of CODEOWNERS: its owners have to agree.
    Owners,
    /// Configuration of continuous integration.
    Ci,
    /// A lockfile: only its package manager writes it.
    Lockfile,
    /// Made by a program.
    Generated,
}

/// A path or pattern that a change should leave alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtectedPath {
    /// The path, or the pattern as its file has it (gitignore's dialect).
    pub pattern: String,
    /// Why.
    pub kind: ProtectedKind,
    /// Who owns it: `@team`, an address. Empty for CODEOWNERS means that nobody does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// What says so.
    pub source: Source,
}

/// What a set-up file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupKind {
    /// `devcontainer.json`.
    Devcontainer,
    /// `copilot-setup-steps.yml`.
    CopilotSetupSteps,
}

/// How an environment for work on the repository is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setup {
    /// What kind of file.
    pub kind: SetupKind,
    /// The file.
    pub file: RelPath,
    /// The image, or the runner's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Features or actions, with their versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Its commands, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<SetupStep>,
}

/// A command of a set-up, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupStep {
    /// The command's text, shortened.
    pub command: String,
    /// Where.
    pub source: Source,
}

/// Whose file corrected a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionBy {
    /// The repository's `.gloaming/profile.toml`.
    Repository,
    /// A file of the operator's, which wins.
    Operator,
}

impl CorrectionBy {
    /// Returns the name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Operator => "operator",
        }
    }
}

/// A field that was set by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Correction {
    /// The field: `commands.test`, `ecosystems`.
    pub field: String,
    /// Whose file.
    pub by: CorrectionBy,
    /// Where in it.
    pub source: Source,
}
