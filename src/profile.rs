//! `gloaming profile`: what is known of a repository.

use std::process::ExitCode;

use gloaming_api::path::escape_name;
use gloaming_api::profile::{Command, Part, Profile, ProtectedKind};

use crate::cli::ProfileArgs;
use crate::onboard::{Run, show};

/// Protected paths of a kind that are listed by name; of more, their number.
const MOST_NAMED: usize = 8;

pub(crate) async fn main(args: ProfileArgs) -> anyhow::Result<ExitCode> {
    let run = if args.no_run { Run::No } else { Run::Unproved };
    show(&args, run, None, tell).await
}

/// Returns a profile in words. What comes from the repository is made safe for a terminal.
pub(crate) fn tell(profile: &Profile) -> String {
    let mut text = String::new();
    let languages: Vec<&str> = profile.ecosystems.iter().map(|ecosystem| ecosystem.as_str()).collect();
    heading(&mut text, "languages", &languages.join(", "), "none known");
    let managers: Vec<String> = profile
        .managers
        .iter()
        .map(|manager| match &manager.lockfile {
            Some(lockfile) => format!("{} ({lockfile})", manager.manager.as_str()),
            None => format!("{} (no lockfile)", manager.manager.as_str()),
        })
        .collect();
    heading(&mut text, "managers", &managers.join(", "), "");
    let pins: Vec<String> = profile
        .toolchains
        .iter()
        .map(|pin| format!("{} {} ({}:{})", pin.tool, pin.version, pin.source.file, pin.source.line))
        .collect();
    heading(&mut text, "toolchains", &pins.join(", "), "");
    for command in &profile.commands {
        tell_command(&mut text, command);
    }
    for part in &profile.parts {
        tell_part(&mut text, part);
    }
    tell_files(&mut text, profile);
    for correction in &profile.corrections {
        text.push_str(&format!(
            "\ncorrected: {} by the {} at {}:{}\n",
            escape_name(correction.field.as_bytes()),
            correction.by.as_str(),
            correction.source.file,
            correction.source.line
        ));
    }
    for rejected in &profile.rejected {
        text.push_str(&format!(
            "\nnot used: {} at {}:{}\n       {}\n",
            escape_name(rejected.command.as_bytes()),
            rejected.source.file,
            rejected.source.line,
            escape_name(rejected.reason.as_bytes())
        ));
    }
    for gap in &profile.gaps {
        text.push_str(&format!("\nmissing: {}\n", escape_name(gap.as_bytes())));
    }
    text
}

/// Adds a line of its own; nothing where neither the words nor the words for none say anything.
fn heading(text: &mut String, name: &str, words: &str, none: &str) {
    let words = if words.is_empty() { none } else { words };
    if !words.is_empty() {
        text.push_str(&format!("{name:<10} {}\n", escape_name(words.as_bytes())));
    }
}

fn tell_command(text: &mut String, command: &Command) {
    text.push_str(&format!(
        "\n{:<9} {}\n",
        command.kind.as_str(),
        escape_name(command.argv.join(" ").as_bytes())
    ));
    if !command.cwd.is_root() {
        text.push_str(&format!("          in {}\n", command.cwd));
    }
    text.push_str(&format!(
        "          from {}:{} ({})\n",
        command.source.file,
        command.source.line,
        escape_name(command.source.because.as_bytes())
    ));
    match &command.proof {
        None => text.push_str("          not run\n"),
        Some(proof) => {
            let ok = if proof.exit.success() { "works" } else { "fails" };
            let tests = proof.tests.map(|tests| format!(", {tests} tests")).unwrap_or_default();
            text.push_str(&format!(
                "          {ok}: {} in {:.1} s{tests}\n",
                proof.exit,
                proof.duration_ms as f64 / 1e3
            ));
            for line in proof.excerpt.lines().rev().take(6).collect::<Vec<_>>().into_iter().rev() {
                text.push_str(&format!("            {}\n", escape_name(line.as_bytes())));
            }
        }
    }
}

fn tell_part(text: &mut String, part: &Part) {
    text.push_str(&format!("\npart      {} ({})\n", part.path, part.ecosystem.as_str()));
    for command in &part.commands {
        text.push_str(&format!(
            "          {}: {}\n",
            command.kind.as_str(),
            escape_name(command.argv.join(" ").as_bytes())
        ));
    }
}

fn tell_files(text: &mut String, profile: &Profile) {
    if !profile.instruction_files.is_empty() {
        text.push_str("\ninstructions\n");
        for file in &profile.instruction_files {
            text.push_str(&format!("          {} (for {})\n", file.path, file.scope));
        }
    }
    for setup in &profile.setups {
        let image = setup.image.as_deref().unwrap_or("no image named");
        text.push_str(&format!("\nset-up    {} ({})\n", setup.file, escape_name(image.as_bytes())));
        for step in &setup.steps {
            text.push_str(&format!("          {}\n", escape_name(step.command.as_bytes())));
        }
    }
    for (kind, name) in [
        (ProtectedKind::Owners, "owned"),
        (ProtectedKind::Ci, "CI"),
        (ProtectedKind::Lockfile, "lockfiles"),
        (ProtectedKind::Generated, "generated"),
    ] {
        let paths: Vec<&str> = profile
            .protected
            .iter()
            .filter(|path| path.kind == kind)
            .map(|path| path.pattern.as_str())
            .collect();
        if paths.is_empty() {
            continue;
        }
        let named = paths.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = match paths.len().checked_sub(MOST_NAMED) {
            Some(more) if more > 0 => format!(" and {more} more"),
            _ => String::new(),
        };
        text.push_str(&format!("\nprotected {name}: {}{more}\n", escape_name(named.as_bytes())));
    }
}
