//! Looking an advisory up among the operator's: a fact of the attempt, recorded as a call is, which a replay takes from its
//! record.

use std::sync::Arc;
use std::time::Instant;

use gloaming_api::Digest;
use gloaming_api::tool::{Decided, ToolError, ToolErrorCode, ToolOutcome};
use serde_json::json;

use crate::blueprint::Run;
use crate::code::{host_record, record_call, recorded_job};
use crate::end::{End, WorkerError};

/// Returns the operator's files about an advisory by its id, also one of its aliases, in the order of their names; or why
/// they cannot be read, with the place.
pub type Advisories = Arc<dyn Fn(&str) -> Result<Vec<AdvisoryFile>, String> + Send + Sync>;

/// One file about an advisory.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvisoryFile {
    /// Its path within the operator's folder.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// Looks an advisory up, and records what was found.
pub(crate) async fn look_up(run: &mut Run<'_>, id: &str, advisory: &str) -> Result<ToolOutcome, End> {
    let (name, args) = ("advisories", json!({"id": advisory}));
    if run.journal.recorded().map_err(WorkerError::from)?.is_some() {
        return recorded_job(run, id, name, &args);
    }
    let since = Instant::now();
    let not_found = |why: &str| ToolOutcome::error(ToolError::new(ToolErrorCode::NotFound, why));
    let outcome = match run.equipment.advisories.clone() {
        None => not_found(
            "there are no advisories; an operator gives a folder of them in the OSV format with `--advisories DIR`, or as \
             `advisories` in $GLOAMING_HOME",
        ),
        Some(find) => {
            let wanted = advisory.to_owned();
            let found = tokio::task::spawn_blocking(move || find(&wanted)).await;
            match found.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(files) if files.is_empty() => {
                    not_found("no file of the operator's advisories is about it")
                }
                Ok(files) => {
                    let told = |file: &AdvisoryFile| json!({"file": file.name, "digest": Digest::of(&file.text), "text": file.text});
                    ToolOutcome::ok(json!({"files": files.iter().map(told).collect::<Vec<_>>()}))
                }
                Err(why) => ToolOutcome::error(ToolError::new(ToolErrorCode::InvalidInput, why)),
            }
        }
    };
    let record = host_record(run, name, &args, Decided::Allow, since.elapsed().as_micros());
    record_call(run, id, args, outcome, record, None)
}
