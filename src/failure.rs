//! What goes wrong at the edge, and the exit code it means: 2 for use, 4 for infrastructure.
#![cfg_attr(not(feature = "worker"), expect(dead_code, reason = "attempts and patches are the worker's"))]

use std::io::ErrorKind;
use std::process::ExitCode;

use gloaming_api::ReasonCode;
#[cfg(feature = "worker")]
use gloaming_jobs::Cancel;
use serde_json::{Value, json};

use crate::told::print_json;

/// Exit codes that scripts rely on; `gloaming help` lists them.
pub(crate) mod exit {
    /// It did what was asked; for `verify`, the patch passes.
    pub(crate) const OK: u8 = 0;
    /// `verify`: the patch is blocked; `replay`: the result differs; `journal verify`: the chain is broken; `evidence
    /// verify`: it is not what was sealed; `journal undo`: something else was changed there since, or it cannot be
    /// undone.
    pub(crate) const BLOCK: u8 = 1;
    /// The command or a file given to it is wrong.
    pub(crate) const USE: u8 = 2;
    /// A bow-out.
    pub(crate) const BOW_OUT: u8 = 3;
    /// Infrastructure failed.
    pub(crate) const INFRASTRUCTURE: u8 = 4;
    /// Policy denies it, or a tool call failed.
    pub(crate) const DENIED: u8 = 5;
    /// Interrupted by Ctrl-C or a termination signal, as shells report it.
    pub(crate) const CANCELLED: u8 = 130;
}

/// An error with its class and advice.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
    reason_code: Option<ReasonCode>,
    #[source]
    source: Option<anyhow::Error>,
}

impl Failure {
    /// The command or a file given to it is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: exit::USE, message: message.into(), hint: None, reason_code: None, source: None }
    }

    /// The machine, the disk or a program failed.
    pub(crate) fn infrastructure(doing: &str, source: impl Into<anyhow::Error>) -> Self {
        Self {
            code: exit::INFRASTRUCTURE,
            message: format!("could not {doing}"),
            hint: None,
            reason_code: None,
            source: Some(source.into()),
        }
    }

    /// The disk did not do what was asked of it.
    pub(crate) fn disk(doing: &str, source: std::io::Error) -> Self {
        let full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let failure = Self::infrastructure(doing, source);
        if full { failure.hint("free some space, or name a folder on another disk") } else { failure }
    }

    /// Nothing can be done here, and why; for commands that make no bow-out of their own.
    pub(crate) fn bow_out(reason_code: ReasonCode, summary: impl Into<String>) -> Self {
        let (code, message) = (exit::BOW_OUT, summary.into());
        Self { code, message, hint: None, reason_code: Some(reason_code), source: None }
    }

    /// What is there is not as it must be.
    pub(crate) fn blocked(message: impl Into<String>) -> Self {
        Self { code: exit::BLOCK, ..Self::usage(message) }
    }

    /// Policy denies it.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self { code: exit::DENIED, ..Self::usage(message) }
    }

    /// Somebody stopped it.
    pub(crate) fn cancelled(message: impl Into<String>) -> Self {
        Self { code: exit::CANCELLED, message: message.into(), hint: None, reason_code: None, source: None }
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Returns the error, or, when the work was told to stop, that it was stopped: what fails because somebody stopped it
/// is no failure.
#[cfg(feature = "worker")]
pub(crate) fn unless_cancelled(error: anyhow::Error, cancel: &Cancel, stopped: &str) -> anyhow::Error {
    if cancel.is_cancelled() { Failure::cancelled(stopped).into() } else { error }
}

/// Returns an error and its causes as one line.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Prints an error with its causes and advice on standard error and returns its exit code. Where a program asked for
/// JSON it gets an object too, whatever went wrong: `known` with the outcome added.
pub(crate) fn report(error: &anyhow::Error, known: Option<Value>) -> ExitCode {
    let failure = error.downcast_ref::<Failure>();
    let code = failure.map_or(exit::INFRASTRUCTURE, |failure| failure.code);
    let reason_code = failure.and_then(|failure| failure.reason_code);
    let hint = failure.and_then(|failure| failure.hint.as_deref());
    let outcome = match code {
        exit::CANCELLED => "cancelled",
        exit::BOW_OUT => "bow_out",
        _ => "failed",
    };
    if crate::logs::are_json() {
        let error = in_one_line(error);
        let ended = json!({"message": "ended", "outcome": outcome, "error": error, "hint": hint});
        crate::logs::line("ERROR", ended, json!({}));
    } else {
        match reason_code {
            Some(reason) => eprintln!("bowed out: {}\n{error}", reason.as_str()),
            None if code == exit::CANCELLED => eprintln!("{error}"),
            None => eprintln!("error: {error}"),
        }
        for cause in error.chain().skip(1) {
            eprintln!("  because: {cause}");
        }
        if let Some(hint) = hint {
            eprintln!("  try: {hint}");
        }
    }
    if let Some(mut object) = known {
        object["outcome"] = json!(outcome);
        object["reason_code"] = json!(reason_code);
        object["error"] = json!(in_one_line(error));
        object["hint"] = json!(hint);
        print_json(&object);
    }
    ExitCode::from(code)
}
