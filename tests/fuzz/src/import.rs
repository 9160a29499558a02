//! Any text as another agent's settings: it is refused at a place of it, or becomes a policy that loads and narrows
//! the standard preset.
//!
//! The first line names the agent (`claude`, `codex`, `rules`, `gemini` or `goose`) and, behind a space, what the file
//! is called; the rest is the file. Without such a line the whole is a file of every agent.

use std::sync::LazyLock;

use gloaming_api::RepoId;
use gloaming_policies::{Grant, ImportSource, Layer, import, parse};

use crate::places::{check_faults, check_place};

/// Larger files are only slower.
const BYTES: usize = 8192;

/// Every agent, and what its file is called.
const AGENTS: &[(&str, ImportSource, &str)] = &[
    ("claude", ImportSource::Claude, ".claude/settings.json"),
    ("codex", ImportSource::Codex, ".codex/config.toml"),
    ("rules", ImportSource::CodexRules, ".codex/rules/default.rules"),
    ("gemini", ImportSource::Gemini, ".gemini/policies/team.toml"),
    ("goose", ImportSource::Goose, "permission.yaml"),
];

const ASKED: &[&str] = &[
    "read .env",
    "read src/lib.rs",
    "read secrets/a",
    "list",
    "list src",
    "search",
    "outline src/lib.rs",
    "diff src",
    "edit src/lib.rs",
    "write docs/guide.md",
    "patch package-lock.json",
    "move CODEOWNERS",
    "remove tests/a.rs",
    "check test",
    "check test npm test",
    "check build git push",
    "env test RUSTFLAGS",
    "submit local model",
    "model any:model",
];

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.len() > BYTES {
        return;
    }
    let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (word, name) = head.split_once(' ').unwrap_or((head, ""));
    match AGENTS.iter().find(|(agent, ..)| *agent == word) {
        Some((_, source, usual)) => holds(*source, if name.is_empty() { usual } else { name }, body),
        None => AGENTS.iter().for_each(|(_, source, usual)| holds(*source, usual, &text)),
    }
}

fn holds(source: ImportSource, name: &str, text: &str) {
    static STANDARD: LazyLock<Grant> =
        LazyLock::new(|| Grant::resolve(&RepoId::local("example"), Vec::new()).expect("the preset loads"));
    let imported = match import(source, name, text) {
        Ok(imported) => imported,
        Err(faults) => return check_faults(&faults, |file| (file == name).then_some(text)),
    };
    for note in &imported.notes {
        assert!(note.file == name && !note.message.is_empty(), "{note:?}");
        check_place(text, note.line, note.column, &note.message);
    }
    let policy = &imported.policy;
    assert!(!policy.contains(|c: char| c.is_control() && c != '\n'), "{policy:?}");
    let parsed: toml::Table = policy.parse().unwrap_or_else(|fault| panic!("{fault}\n{policy}"));
    assert_eq!(parsed["extends"], toml::Value::from(vec!["preset:standard"]), "{policy}");
    let file = parse("imported.toml", policy).unwrap_or_else(|faults| panic!("{faults:?}\n{policy}"));
    let grant = Grant::resolve(&RepoId::local("example"), vec![(Layer::Operator, file)])
        .unwrap_or_else(|faults| panic!("{faults:?}\n{policy}"));
    let allows = |grant: &Grant, call: &str| grant.explain(call).expect("it is a question").is_allow();
    assert!(!allows(&grant, "read .env"), "{policy}");
    for call in ASKED {
        assert!(allows(&STANDARD, call) || !allows(&grant, call), "it widens {call}:\n{policy}");
    }
}
