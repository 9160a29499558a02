//! Files with instructions for agents, and the commands in their code blocks.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::profile::{InstructionFile, InstructionKind};

use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

/// Other agents' files, at the root.
const OTHER_AGENTS: &[&str] = &[".windsurfrules", ".clinerules", "CONVENTIONS.md"];

const MOST: usize = 50;

/// Returns the files, those nearest to the root first, and mines what agents are told at the root.
pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> Vec<InstructionFile> {
    let mut files: Vec<InstructionFile> = tree.files().iter().filter_map(recognise).collect();
    files.sort_by_key(|file| (file.path.names().count(), file.path.clone()));
    files.truncate(MOST);
    let at_root = |file: &&InstructionFile| {
        file.kind != InstructionKind::Contributing && file.path.names().count() == 1
    };
    for file in files.iter().filter(at_root) {
        if let Some(text) = tree.read(&file.path) {
            mine_blocks(&file.path, &text, mined);
        }
    }
    files
}

/// Returns what a file of instructions is and what it speaks of.
fn recognise(path: &RelPath) -> Option<InstructionFile> {
    let name = path.name()?;
    let folder = path.parent()?;
    let file = |kind, scope| Some(InstructionFile { path: path.clone(), kind, scope });
    let here = match name {
        "AGENTS.md" => Some(InstructionKind::Agents),
        "CLAUDE.md" => Some(InstructionKind::Claude),
        "GEMINI.md" => Some(InstructionKind::Gemini),
        ".cursorrules" => Some(InstructionKind::Cursor),
        _ => None,
    };
    if let Some(kind) = here {
        return file(kind, folder);
    }
    let names: Vec<&str> = path.names().collect();
    match names.as_slice() {
        [".github", "copilot-instructions.md"] => file(InstructionKind::Copilot, RelPath::root()),
        [".github", "instructions", .., name] if name.ends_with(".instructions.md") => {
            file(InstructionKind::Copilot, RelPath::root())
        }
        [before @ .., ".cursor", "rules", rule] if rule.ends_with(".mdc") || rule.ends_with(".md") => {
            file(InstructionKind::Cursor, RelPath::parse(&before.join("/")).ok()?)
        }
        [name] if OTHER_AGENTS.contains(name) => file(InstructionKind::OtherAgent, RelPath::root()),
        [name] | [".github" | "docs", name] => {
            let stem = name.split('.').next().unwrap_or(name);
            stem.eq_ignore_ascii_case("CONTRIBUTING")
                .then(|| file(InstructionKind::Contributing, RelPath::root()))
                .flatten()
        }
        _ => None,
    }
}

/// Mines fenced code blocks that are shell, or do not say what they are.
fn mine_blocks(file: &RelPath, text: &str, mined: &mut Mined) {
    let mut fence: Option<(&str, bool)> = None;
    for (line, number) in text.lines().zip(1_u32..) {
        let trimmed = line.trim();
        match fence {
            None => {
                let mark = if trimmed.starts_with("```") { "```" } else { "~~~" };
                if let Some(language) = trimmed.strip_prefix(mark) {
                    let shell = ["", "sh", "bash", "shell", "console", "zsh", "shell-session"];
                    let language = language.split_whitespace().next().unwrap_or("");
                    fence = Some((mark, shell.contains(&language)));
                }
            }
            Some((mark, _)) if trimmed == mark => fence = None,
            Some((_, true)) => {
                let command = trimmed.strip_prefix("$ ").unwrap_or(trimmed);
                let root = RelPath::root();
                mined.add_script(Origin::Instructions, command, number, &root, &BTreeMap::new(), |line| {
                    source(file, line, "code block of the instructions for agents")
                });
            }
            Some(_) => {}
        }
    }
}
