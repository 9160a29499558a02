//! What a person watching a run is told.

use gloaming_api::Stage;

/// One thing worth telling.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A stage began.
    Stage(Stage),
    /// What is being done within the stage; replaces the one before.
    Doing(String),
    /// Something that stays worth knowing.
    Note(String),
    /// A stage ended.
    Finished {
        /// The stage.
        stage: Stage,
        /// What it found, in one line.
        detail: String,
    },
}

/// Where updates go. Called from any thread; must not block for long.
pub type Progress = dyn Fn(Update) + Send + Sync;
