//! Policy: what an attempt may read, write and run.
#![forbid(unsafe_code)]

mod decision;
mod diagnostic;
mod grant;

pub use decision::{Access, Decision, Denial, Layer, RuleRef};
pub use diagnostic::Diagnostic;
pub use grant::{Budget, ChangeCaps, Explanation, Grant, JobPermit, PolicyFile, ToolPermit, parse, preset};
