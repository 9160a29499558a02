//! What goes wrong at the edge, and the exit code it means: 2 for use, 4 for infrastructure.

use std::process::ExitCode;

/// Exit codes that scripts rely on; `gloaming help` lists them.
pub(crate) mod exit {
    /// It did what was asked; for `verify`, the patch passes.
    pub(crate) const OK: u8 = 0;
    /// `verify`: the patch is blocked; `replay`: the result differs; `journal verify`: the chain is broken.
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
    #[source]
    source: Option<anyhow::Error>,
}

impl Failure {
    /// The command or a file given to it is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: exit::USE, message: message.into(), hint: None, source: None }
    }

    /// The machine, the disk or a program failed.
    pub(crate) fn infrastructure(doing: &str, source: impl Into<anyhow::Error>) -> Self {
        Self {
            code: exit::INFRASTRUCTURE,
            message: format!("could not {doing}"),
            hint: None,
            source: Some(source.into()),
        }
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Prints an error with its causes and advice and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let failure = error.downcast_ref::<Failure>();
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    if let Some(hint) = failure.and_then(|failure| failure.hint.as_deref()) {
        eprintln!("  try: {hint}");
    }
    ExitCode::from(failure.map_or(exit::INFRASTRUCTURE, |failure| failure.code))
}
