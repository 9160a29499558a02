//! What commands say and write down, the same for all of them.
#![cfg_attr(not(feature = "worker"), expect(dead_code, reason = "attempts and patches are the worker's"))]
#![expect(clippy::disallowed_methods, reason = "the edge: results are written to the operator's own folders")]

use std::io::Write as _;
use std::path::Path;

use gloaming_api::bowout::{BowOut, Cost};
use gloaming_api::path::escape_name;

use crate::failure::Failure;

/// Prints one JSON object on standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string(value).expect("our outputs serialise: string keys, finite numbers"));
}

/// Returns what something cost, in a line.
pub(crate) fn cost_line(cost: &Cost) -> String {
    format!("${:.4}, {} model calls, {} tokens, {:.0} s", cost.usd, cost.calls, cost.tokens, cost.wall_s)
}

/// Returns a bow-out for a person.
pub(crate) fn tell(bow_out: &BowOut) -> String {
    let safe = |text: &str| escape_name(text.as_bytes());
    let mut text = format!(
        "bowed out: {} (stage {})\n{}\n",
        bow_out.reason_code.as_str(),
        bow_out.stage.as_str(),
        safe(&bow_out.summary)
    );
    if !bow_out.evidence.is_empty() {
        text.push_str("\nwhat was seen\n");
        for item in bow_out.evidence.iter().take(8) {
            if !item.argv.is_empty() {
                let exit = item.exit.map_or(String::new(), |code| format!(" (exit {code})"));
                text.push_str(&format!("  $ {}{exit}\n", safe(&item.argv.join(" "))));
            }
            let lines: Vec<&str> = item.excerpt.trim_end().lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                text.push_str(&format!("  {}\n", safe(line)));
            }
        }
    }
    for tried in &bow_out.attempted {
        text.push_str(&format!("\ntried: {} — {}\n", safe(&tried.approach), safe(&tried.outcome)));
    }
    text.push_str("\nwhat would unblock it\n");
    for unblock in &bow_out.what_would_unblock {
        text.push_str(&format!("  - {}: {}\n", safe(&unblock.action), safe(&unblock.detail)));
    }
    for question in &bow_out.questions {
        text.push_str(&format!("  ? {}\n", safe(question)));
    }
    text.push('\n');
    text.push_str(&format!("cost    {}\n", cost_line(&bow_out.cost)));
    text
}

/// Returns a value as JSON for people, with a line's end.
pub(crate) fn pretty(value: &impl serde::Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(value).expect("our outputs serialise: string keys, finite numbers");
    text.push('\n');
    text
}

/// Writes a file into a folder of results, over one that is there.
pub(crate) fn write(out: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = out.join(name);
    std::fs::write(&path, bytes)
        .map_err(|error| Failure::disk(&format!("write {}", path.display()), error).into())
}

/// Writes a text where `--out` says; `-` is standard output. A file that is there is never overwritten.
pub(crate) fn write_new(out: &Path, text: &str) -> anyhow::Result<()> {
    if out.as_os_str() == "-" {
        print!("{text}");
        return Ok(());
    }
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(out)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("{} exists already", out.display()))
                .hint("name another file with --out")
                .into())
        }
        Err(error) => Err(Failure::disk(&format!("write {}", out.display()), error).into()),
    }
}
