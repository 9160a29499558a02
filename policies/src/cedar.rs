//! Placeholder until the export lands.
use crate::{Diagnostic, Grant};
/// See later.
#[derive(Debug)]
pub struct CedarExport {
    /// Policies.
    pub policies: String,
    /// Schema.
    pub schema: String,
    /// Notes.
    pub notes: Vec<String>,
}
impl Grant {
    /// See later.
    pub fn to_cedar(&self) -> Result<CedarExport, Vec<Diagnostic>> {
        Err(Vec::new())
    }
}
