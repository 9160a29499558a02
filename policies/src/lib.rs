//! Policy: what an attempt may read, list and write, which jobs it may run, and what it may spend.
//!
//! A policy file is parsed ([`parse`]) with the place of everything in it, and files of several layers are
//! compiled into one [`Grant`], which decides, explains, and makes the permits ([`ToolPermit`],
//! [`JobPermit`]) without which no tool and no job runs. `docs/policy.md` is the author's guide.
//!
//! What it is not: it opens no file, reads no clock and knows no engine; who reads a policy file and from
//! where (a repository's own from the base branch only) is decided above. It does not enforce: `sandbox`,
//! `jobs` and `workspace` do, by asking here.
//!
//! Invariants, each a test:
//! - what no rule allows is denied, and a denial wins over every allowance;
//! - the order of layers, files, rules and patterns never matters;
//! - a layer on top can only narrow: it never allows what the layers beneath deny;
//! - nothing can lift the floor;
//! - permits have no public constructor.
#![forbid(unsafe_code)]

mod allowances;
mod call;
mod cedar;
mod decision;
mod diagnostic;
mod difference;
mod explain;
mod file;
mod flip;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod glob;
mod grant;
mod hosts;
mod import;
mod layers;
mod learn;
mod limits;
mod load;
mod narrower;
mod parse;
mod past;
mod preset;
mod probe;
mod schema;
mod script;
mod subject;
mod suggest;
mod tested;
pub mod units;

pub use cedar::{CedarExport, CedarRequest, DEPTH as CEDAR_DEPTH, cedar_request};
pub use decision::{Access, Decision, Denial, Layer, RuleRef};
pub use diagnostic::Diagnostic;
pub use difference::{Change, Difference, PastChange, difference};
pub use explain::Explanation;
pub use file::{HOST_NAMES, PolicyFile, TOOLS, WRITING_TOOLS};
pub use flip::{Edit, Flip};
pub use grant::{
    Budget, ChangeCaps, DeclaredTool, Grant, JobPermit, Lanes, MANAGER, MayWrite, McpServer, ToolPermit,
};
pub use hosts::{ClientSettings, HostSets};
pub use import::{Imported, Note, NoteKind, Source as ImportSource, import, import_goose};
pub use layers::operator_layers;
pub use learn::{Learned, Lesson, learn};
pub use load::load;
pub use parse::parse;
pub use past::Past;
pub use preset::{PRESETS, preset};
pub use probe::{Probe, Probed};
pub use schema::schema;
pub use subject::HOST_SETS;
pub use tested::{TestResult, Tested, run_tests};
