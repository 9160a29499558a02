//! The log on standard error: lines for people, or one JSON object a line.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::cli::LogFormat;
use crate::context;

/// Whether it is JSON: then nothing else is written to standard error.
static JSON: OnceLock<bool> = OnceLock::new();

/// Opens the log: of what goes on until it is stopped in a format, from what is worth knowing on and with the time; else
/// warnings alone, for whoever sits before it. `GLOAMING_LOG` says otherwise.
pub(crate) fn open(lasting: Option<LogFormat>) {
    let _ = JSON.set(lasting == Some(LogFormat::Json));
    let usual = if lasting.is_some() { "info,rusqlite_migration=warn" } else { "warn" };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(context::log_filter(usual));
    match lasting {
        None => lines.without_time().init(),
        Some(LogFormat::Text) => lines.init(),
        Some(LogFormat::Json) => {
            // A panic's own words are no JSON.
            std::panic::set_hook(Box::new(|panic| {
                line("ERROR", json!({"message": panic.to_string()}), json!({}))
            }));
            lines.json().with_current_span(false).init();
        }
    }
}

/// Whether the log is JSON.
pub(crate) fn are_json() -> bool {
    JSON.get().copied().unwrap_or(false)
}

/// Tells whoever sits before it; where the log is JSON, as a line of that, whatever `GLOAMING_LOG` leaves out.
pub(crate) fn say(text: &str) {
    if are_json() {
        line("INFO", json!({"message": text.trim()}), json!({}));
    } else {
        eprintln!("{text}");
    }
}

/// Writes a line of the log that is JSON, past what `GLOAMING_LOG` says: an end, or what must not go unsaid. `more` is an object
/// that stands beside time, level and fields.
pub(crate) fn line(level: &str, fields: Value, more: Value) {
    let mut object = json!({"timestamp": context::now(), "level": level, "fields": fields});
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    eprintln!("{object}");
}
