//! The form of a `case.toml`; README.md is the author's guide.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// What a case is about: the kinds of ways out that the corpus has to cover, each at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Topic {
    DotDot,
    Absolute,
    EmptyName,
    Nul,
    OverlongName,
    NotUtf8,
    SymlinkAbsolute,
    SymlinkRelative,
    SymlinkChain,
    SymlinkInTheMiddle,
    SymlinkDangling,
    SymlinkSwapped,
    HardLink,
    RenameDenied,
    FolderSwapped,
    Fifo,
    Device,
    Socket,
    Proc,
    MagicLink,
    GitDir,
    CaseTwin,
    UnicodeTwin,
    TrailingSlash,
    Sparse,
    Huge,
    ManyEntries,
    DeepTree,
    Truncate,
    Append,
    ListingOracle,
    TimingOracle,
    MemoryBomb,
    LoopInGuest,
    LoopInHost,
    Recursion,
    Panic,
    Flood,
    TerminalEscape,
    /// Kept from tools, and so from jobs.
    JobLane,
    /// What a component may ask of the host beside files.
    Component,
    /// Decided where it is used, whatever happened between.
    Interleaving,
}

impl Topic {
    pub(super) const ALL: &[Self] = &[
        Self::DotDot,
        Self::Absolute,
        Self::EmptyName,
        Self::Nul,
        Self::OverlongName,
        Self::NotUtf8,
        Self::SymlinkAbsolute,
        Self::SymlinkRelative,
        Self::SymlinkChain,
        Self::SymlinkInTheMiddle,
        Self::SymlinkDangling,
        Self::SymlinkSwapped,
        Self::HardLink,
        Self::RenameDenied,
        Self::FolderSwapped,
        Self::Fifo,
        Self::Device,
        Self::Socket,
        Self::Proc,
        Self::MagicLink,
        Self::GitDir,
        Self::CaseTwin,
        Self::UnicodeTwin,
        Self::TrailingSlash,
        Self::Sparse,
        Self::Huge,
        Self::ManyEntries,
        Self::DeepTree,
        Self::Truncate,
        Self::Append,
        Self::ListingOracle,
        Self::TimingOracle,
        Self::MemoryBomb,
        Self::LoopInGuest,
        Self::LoopInHost,
        Self::Recursion,
        Self::Panic,
        Self::Flood,
        Self::TerminalEscape,
        Self::JobLane,
        Self::Component,
        Self::Interleaving,
    ];
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What must hold, in a sentence.
    pub(super) about: String,
    pub(super) covers: Vec<Topic>,
    /// Files beside those of `base.toml`.
    #[serde(default)]
    pub(super) tree: Vec<Entry>,
    /// The tree that the work began from, in a commit; none where there is none.
    #[serde(default)]
    pub(super) base: Vec<Entry>,
    /// Rules beside those of `base.toml`.
    #[serde(default)]
    pub(super) policy: String,
    #[serde(default)]
    pub(super) engine: Strictness,
    /// What somebody else does to the tree meanwhile, over and over: forwards, then backwards.
    #[serde(default)]
    pub(super) mischief: Vec<Step>,
    pub(super) call: Vec<Call>,
}

/// What every case begins with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    pub(super) tree: Vec<Entry>,
    pub(super) policy: String,
}

/// Something in the tree. Paths are relative to the workspace and may lead out of it (`../outside/x`).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Entry {
    File {
        file: String,
        #[serde(default)]
        text: String,
        mode: Option<u32>,
    },
    Folder {
        folder: String,
        mode: Option<u32>,
    },
    Link {
        link: String,
        to: String,
    },
    /// A second name of a file.
    Hard {
        hard: String,
        of: String,
    },
    Fifo {
        fifo: String,
    },
    Socket {
        socket: String,
    },
    /// A character device; only root makes one.
    Device {
        device: String,
        major: u32,
        minor: u32,
    },
    /// A file of `size` bytes that are a hole, but for `text` at its end.
    Sparse {
        sparse: String,
        size: u64,
        #[serde(default)]
        text: String,
    },
    /// Files whose names are `many` with `{n}` replaced by a number.
    Many {
        many: String,
        count: u32,
        #[serde(default)]
        text: String,
    },
    /// Folders named `deep` within each other, with a file in the last.
    Deep {
        deep: String,
        levels: u32,
        file: String,
        #[serde(default)]
        text: String,
    },
}

/// Which engine runs the calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Strictness {
    /// As the product sets it up.
    #[default]
    Ordinary,
    /// A second and 32 MiB, for what would use up either.
    Tight,
}

/// A step of mischief.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Step {
    /// Two names change places.
    Exchange { exchange: [String; 2] },
    /// One becomes the other.
    Rename { rename: [String; 2] },
}

/// What is asked of files, on every road that can ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Question {
    Read,
    Stat,
    List,
    /// Everything below a folder, with contents.
    Walk,
    /// Replace or make a file.
    Write,
    /// Make a file that is not there.
    Create,
    /// Replace `one` by `ONE`, or what `content` names as `old => new`.
    Edit,
    Append,
    Truncate,
    Remove,
    /// Give a file another name, `to`.
    Rename,
}

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Road {
    /// The built-in tools.
    Read,
    List,
    Search,
    Edit,
    Write,
    Patch,
    Move,
    Remove,
    Outline,
    /// The same built against WASI.
    ReadWasi,
    EditWasi,
    /// `gloaming:tool/workspace` and `changes`, raw.
    Interface,
    /// `wasi:filesystem` through the standard library.
    Wasi,
}

/// One or several calls and what must come of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// One of these says what is done.
    pub(super) ask: Option<Question>,
    pub(super) tool: Option<String>,
    /// A guest of tools/test-guests.
    pub(super) guest: Option<String>,
    /// A component as text, beside the case.
    pub(super) component: Option<String>,
    /// A script for /bin/sh in a container.
    pub(super) job: Option<String>,

    /// For a question: each path is asked by itself.
    #[serde(default)]
    pub(super) paths: Vec<String>,
    pub(super) to: Option<String>,
    pub(super) content: Option<String>,
    /// The roads to take; all that can ask it when there are none.
    #[serde(default)]
    pub(super) roads: Vec<Road>,
    /// For a tool or component.
    #[serde(default)]
    pub(super) args: Value,

    /// `ok`, an error's code, `refused` (any code but timeout and internal), or how a job ends.
    pub(super) expect: OneOrMany,
    /// The rule that denies.
    pub(super) rule: Option<String>,
    /// Roads that rightly answer otherwise.
    #[serde(default)]
    pub(super) except: BTreeMap<Road, OneOrMany>,
    /// What the answer must hold, and what not.
    #[serde(default)]
    pub(super) has: Vec<String>,
    #[serde(default)]
    pub(super) lacks: Vec<String>,
    /// What must not be in the words that a model or a person is shown.
    #[serde(default)]
    pub(super) never_shown: Vec<String>,
    /// What is at a path afterwards: a text, or `false` for nothing. Everything else is as it was.
    #[serde(default)]
    pub(super) after: BTreeMap<String, After>,
    /// Paths that may change or not.
    #[serde(default)]
    pub(super) may_change: Vec<String>,
    /// The paths must be answered alike, word for word but for the path itself.
    #[serde(default)]
    pub(super) alike: bool,
    /// And in about the same time.
    #[serde(default)]
    pub(super) timing: bool,
    /// How often, where there is mischief.
    pub(super) rounds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    /// Whether an answer's code is one that is expected.
    pub(super) fn fits(&self, code: &str) -> bool {
        self.as_slice().iter().any(|expected| match expected.as_str() {
            "refused" => !["ok", "timeout", "internal"].contains(&code),
            expected => expected == code,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum After {
    Text(String),
    There(bool),
}

impl Case {
    /// Reads a case's file.
    pub(super) fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join("case.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let case: Self = toml::from_str(&text).map_err(|error| error.to_string())?;
        case.check().map(|()| case)
    }

    /// Refuses what could not fail.
    fn check(&self) -> Result<(), String> {
        if self.about.is_empty() || self.covers.is_empty() || self.call.is_empty() {
            return Err("a case has a sentence, a topic and a call".into());
        }
        for (at, call) in self.call.iter().enumerate() {
            let whats = [
                call.ask.is_some(),
                call.tool.is_some(),
                call.guest.is_some(),
                call.component.is_some(),
                call.job.is_some(),
            ];
            let fault = if whats.iter().filter(|what| **what).count() != 1 {
                "is one of ask, tool, guest, component and job"
            } else if call.ask.is_some() == call.paths.is_empty() {
                "has paths when it is a question, and only then"
            } else if call.ask == Some(Question::Rename) && call.to.is_none() {
                "has a `to` when it renames"
            } else if call.alike && call.paths.len() < 2 {
                "has two paths to be alike"
            } else if call.ask.is_some() && !call.args.is_null() {
                "has no args when it is a question"
            } else {
                continue;
            };
            return Err(format!("call {}: a call {fault}", at + 1));
        }
        Ok(())
    }
}
