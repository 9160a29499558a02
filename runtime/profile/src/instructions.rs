//! Files with instructions for agents, and the commands in their code blocks.

use std::collections::BTreeMap;

use gloaming_api::RelPath;

use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

/// Files that hold instructions, in any folder.
const ANYWHERE: &[&str] = &["AGENTS.md", "CLAUDE.md", "GEMINI.md"];

/// Files that hold instructions, in one place.
const FIXED: &[&str] =
    &[".github/copilot-instructions.md", ".cursorrules", ".windsurfrules", ".clinerules", "CONVENTIONS.md"];

const MOST: usize = 20;

/// Returns the files, those nearest to the root first, and mines the root's.
pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> Vec<RelPath> {
    let mut files: Vec<RelPath> = tree
        .files()
        .iter()
        .filter(|file| {
            file.name().is_some_and(|name| ANYWHERE.contains(&name)) || FIXED.contains(&file.as_str())
        })
        .cloned()
        .collect();
    files.sort_by_key(|file| (file.names().count(), file.clone()));
    files.truncate(MOST);
    for file in files.iter().filter(|file| file.names().count() == 1) {
        if let Some(text) = tree.read(file) {
            mine_blocks(file, &text, mined);
        }
    }
    files
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
