//! What is said under an issue or pull request where there is no change to show.

use std::fmt::Write as _;

use gloaming_api::bowout::BowOut;
use gloaming_api::{Attempt, TaskId};

use crate::body::marker;
use crate::text::{code, inline};

/// Returns a bow-out as a comment: why, what was seen, what would help. The hidden marker stands last.
pub fn bow_out_comment(bow_out: &BowOut) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "**No pull request** ({}): {}",
        code(bow_out.reason_code.as_str()),
        inline(&bow_out.summary, 280)
    );
    if !bow_out.evidence.is_empty() {
        out.push_str("\n**What was seen**\n\n");
    }
    for seen in bow_out.evidence.iter().take(5) {
        let command =
            if seen.argv.is_empty() { String::new() } else { format!("{}: ", code(&seen.argv.join(" "))) };
        let exit = seen.exit.map(|exit| format!("exit {exit}; ")).unwrap_or_default();
        let _ = writeln!(out, "- {command}{exit}{}", inline(&seen.excerpt, 300));
    }
    if !bow_out.what_would_unblock.is_empty() {
        out.push_str("\n**What would help**\n\n");
    }
    for action in bow_out.what_would_unblock.iter().take(5) {
        let _ = writeln!(out, "- {}: {}", inline(&action.action, 120), inline(&action.detail, 400));
    }
    if !bow_out.questions.is_empty() {
        out.push_str("\n**Questions**\n\n");
    }
    for question in bow_out.questions.iter().take(5) {
        let _ = writeln!(out, "- {}", inline(question, 300));
    }
    let _ = write!(out, "\n{}", marker(&bow_out.task_id, bow_out.attempt));
    out
}

/// Returns a failure of the infrastructure as a comment.
pub fn failure_comment(task: &TaskId, attempt: Attempt, error: &str) -> String {
    format!(
        "**No pull request**: the infrastructure failed, not the change. {}\n\nAsk again when that is repaired.\n\n{}",
        inline(error, 300),
        marker(task, attempt)
    )
}
