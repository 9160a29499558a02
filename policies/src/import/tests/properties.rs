//! What holds for any text, and that nothing the source refused is allowed.

use gloaming_api::{RelPath, RepoId};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::{Source, draft, import};
use super::{FIXTURES, allows, goose_value, grant, loaded};
use crate::{Grant, Layer, parse};

const SOURCES: &[(Source, &str)] = &[
    (Source::Claude, ".claude/settings.json"),
    (Source::Codex, "config.toml"),
    (Source::CodexRules, "default.rules"),
    (Source::Gemini, "policies/a.toml"),
    (Source::Goose, "permission.yaml"),
];

const PATHS: &[&str] = &[
    "a.rs",
    "src/a.rs",
    "src/b.md",
    "src/gen/a.rs",
    "web/src/a.rs",
    "docs/b.md",
    "docs/gen/c.txt",
    "gen/a.rs",
    "README.md",
    "deep/er/gen/x.md",
];

/// Whatever comes of a text loads.
fn answered(source: Source, name: &str, text: &str) {
    let Ok(draft) = draft(source, name, text) else { return };
    let Ok(about_files) = draft.about_files() else { return };
    let file = parse("imported.toml", &about_files).expect("what is imported loads");
    Grant::resolve(&RepoId::local("x"), vec![(Layer::Operator, file)]).expect("its tests hold");
    let imported = import(source, name, text).expect("it was answered before");
    // Rules about commands do not load here yet; that the text is TOML can be told.
    imported.policy.parse::<toml::Table>().expect("the whole text is TOML");
}

fn mutated(text: &str, changes: &[(Index, u8, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, kind, with) in changes {
        let at = at.index(chars.len().max(1)).min(chars.len());
        match kind % 3 {
            0 => drop(chars.drain(at..(at + with.len() + 1).min(chars.len()))),
            1 => drop(chars.splice(at..at, with.chars())),
            _ => drop(chars.splice(at..(at + 1).min(chars.len()), with.chars())),
        }
    }
    chars.into_iter().collect()
}

/// A rule of Claude Code by what it is about, with an obvious reference.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `dir/**`
    Folder(&'static str),
    /// `/dir/**`
    Anchored(&'static str),
    /// `*.ext`
    Ending(&'static str),
    /// `**/name`
    Named(&'static str),
    Whole,
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        select(&["src", "docs", "gen"][..]).prop_map(Shape::Folder),
        select(&["src", "docs", "gen"][..]).prop_map(Shape::Anchored),
        select(&[".rs", ".md"][..]).prop_map(Shape::Ending),
        select(&["a.rs", "gen"][..]).prop_map(Shape::Named),
        Just(Shape::Whole),
    ]
}

impl Shape {
    fn written(self, tool: &str) -> String {
        match self {
            Self::Folder(dir) => format!("{tool}({dir}/**)"),
            Self::Anchored(dir) => format!("{tool}(/{dir}/**)"),
            Self::Ending(ext) => format!("{tool}(*{ext})"),
            Self::Named(name) => format!("{tool}(**/{name})"),
            Self::Whole => tool.to_owned(),
        }
    }

    /// What it matches as a denial: a relative folder at any depth.
    fn matches(self, path: &str) -> bool {
        let beneath = |dir: &str| format!("/{path}").contains(&format!("/{dir}/"));
        match self {
            Self::Folder(dir) => beneath(dir),
            Self::Anchored(dir) => path.starts_with(&format!("{dir}/")),
            Self::Ending(ext) => path.ends_with(ext),
            Self::Named(name) => beneath(name) || format!("/{path}").ends_with(&format!("/{name}")),
            Self::Whole => true,
        }
    }

    /// What it matches as an allowance: a relative folder is that of the root.
    fn allows(self, path: &str) -> bool {
        match self {
            Self::Folder(dir) => path.starts_with(&format!("{dir}/")),
            other => other.matches(path),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_text_is_answered(text in any::<String>(), (source, name) in select(SOURCES)) {
        answered(source, name, &text);
    }

    #[test]
    fn any_rule_of_claude_is_answered(rules in prop::collection::vec(any::<String>(), 0..4), tool in 0..5usize) {
        let tool = ["Read", "Edit", "Write", "Bash", "Grep"][tool];
        let rules: Vec<String> = rules.iter().map(|rule| format!("{tool}({rule})")).collect();
        let text = serde_json::json!({"permissions": {"deny": rules, "allow": rules, "ask": []}}).to_string();
        answered(Source::Claude, ".claude/settings.json", &text);
    }

    #[test]
    fn any_arguments_of_gemini_are_answered(regex in "[a-z\"/.*()|\\\\\\[\\]^:_ ]{0,24}", allow in any::<bool>()) {
        let decision = if allow { "allow" } else { "deny" };
        let rule = |tool: &str, key: &str| {
            let mut table = toml::Table::new();
            table.insert("toolName".into(), tool.into());
            table.insert(key.into(), regex.clone().into());
            table.insert("decision".into(), decision.into());
            table.insert("priority".into(), 1.into());
            format!("[[rule]]\n{table}")
        };
        let text = [
            rule("replace", "argsPattern"),
            rule("run_shell_command", "argsPattern"),
            rule("run_shell_command", "commandRegex"),
        ];
        answered(Source::Gemini, "a.toml", &text.join("\n"));
    }

    #[test]
    fn any_change_of_a_fixture_is_answered(
        at in 0..FIXTURES.len(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), "[a-z*/\"'\\[\\]{}(),.:= \n\u{1b}]{0,3}"), 1..6),
    ) {
        let (source, name, text) = FIXTURES[at];
        answered(source, name, &mutated(text, &changes));
    }

    #[test]
    fn any_value_of_goose_is_answered(names in prop::collection::vec(".{0,12}", 0..4), list in 0..3usize) {
        let mut value = goose_value();
        value["user"][["always_allow", "ask_before", "never_allow"][list]] = serde_json::json!(names);
        answered(Source::Goose, "permission.yaml", &value.to_string());
    }

    #[test]
    fn what_claude_refused_is_refused_and_what_it_took_is_taken(
        deny in prop::collection::vec((shape(), any::<bool>()), 0..3),
        ask in prop::collection::vec(shape(), 0..2),
        allow in prop::collection::vec(shape(), 0..3),
    ) {
        let tool = |reading: bool| if reading { "Read" } else { "Edit" };
        let text = serde_json::json!({"permissions": {
            "deny": deny.iter().map(|(shape, read)| shape.written(tool(*read))).collect::<Vec<_>>(),
            "ask": ask.iter().map(|shape| shape.written("Edit")).collect::<Vec<_>>(),
            "allow": allow.iter().map(|shape| shape.written("Edit")).collect::<Vec<_>>(),
        }});
        let grant = grant(Source::Claude, ".claude/settings.json", &text.to_string());
        for path in PATHS {
            let unread = deny.iter().any(|(shape, read)| *read && shape.matches(path));
            let unchanged = deny.iter().any(|(shape, read)| !*read && shape.matches(path))
                || ask.iter().any(|shape| shape.matches(path));
            prop_assert_eq!(allows(&grant, &format!("read {path}")), !unread, "{} {}", path, text);
            // With no allow rule about files the preset says what may be changed.
            let named = allow.is_empty() || allow.iter().any(|shape| shape.allows(path));
            // An allowance that a rule looked at earlier equals never counted, and narrows nothing.
            let counted = allow.iter().any(|shape| {
                let written = shape.written("Edit");
                let same = |other: &Shape| matches!(other, Shape::Whole) || other.written("Edit") == written;
                !ask.iter().any(same) && !deny.iter().any(|(other, read)| !*read && same(other))
            });
            let expected = !unchanged && (named || !counted) && !unread;
            prop_assert_eq!(allows(&grant, &format!("edit {path}")), expected, "edit {} {}", path, text);
        }
    }

    #[test]
    fn what_gemini_refused_is_refused(
        rules in prop::collection::vec((select(&["src/", "docs/", "gen/", ""][..]), 0..3usize, 0..1000u32), 0..5),
    ) {
        let decisions = ["allow", "deny", "ask_user"];
        let mut text = String::from("rule = []\n");
        if !rules.is_empty() {
            text.clear();
        }
        for (prefix, decision, priority) in &rules {
            text.push_str("[[rule]]\ntoolName = [\"write_file\", \"replace\"]\n");
            if !prefix.is_empty() {
                text.push_str(&format!("argsPattern = '\"file_path\":\"{prefix}'\n"));
            }
            text.push_str(&format!("decision = \"{}\"\npriority = {priority}\n", decisions[*decision]));
        }
        let grant = grant(Source::Gemini, "a.toml", &text);
        let mut ranked = rules.clone();
        ranked.sort_by_key(|(_, _, priority)| std::cmp::Reverse(*priority));
        for path in PATHS {
            let first = ranked.iter().find(|(prefix, ..)| path.starts_with(prefix));
            if first.is_some_and(|(_, decision, _)| *decision != 0) {
                for tool in ["edit", "write", "patch", "move", "remove"] {
                    prop_assert!(!allows(&grant, &format!("{tool} {path}")), "{} {} {}", tool, path, text);
                }
            }
        }
    }
}

#[test]
fn what_the_fixtures_refused_is_refused() {
    let ends = |path: &str, ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    let starts = |path: &str, starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    let under = |path: &str, dir: &str| format!("/{path}").contains(&format!("/{dir}/"));
    // What each fixture denies or asks about, written out: reading, then changing.
    type Refused<'r> = (usize, &'r dyn Fn(&str) -> bool, &'r dyn Fn(&str) -> bool);
    let refused: &[Refused<'_>] = &[
        (0, &|p| ends(p, &[".env"]) || under(p, "secrets"), &|p| {
            p == "package.json" || under(p, "migrations") || starts(p, &["src/legal/"])
        }),
        (1, &|p| ends(p, &[".env"]) || starts(p, &["private/"]), &|p| {
            !starts(p, &["src/", "docs/"]) || starts(p, &["src/generated/"])
        }),
        (2, &|p| starts(p, &["fixtures/keys/"]), &|_| true),
        (4, &|p| p.contains("secrets/"), &|p| !starts(p, &["src/", "tests/"]) || ends(p, &[".lock"])),
    ];
    let paths = [
        "a.rs",
        ".env",
        "web/prod.env",
        "secrets/a",
        "web/secrets/b",
        "mysecrets/c",
        "package.json",
        "migrations/1.sql",
        "web/migrations/2.sql",
        "src/legal/terms.md",
        "src/a.rs",
        "src/generated/a.rs",
        "src/x.lock",
        "docs/a.md",
        "private/a",
        "private/notes/b",
        "fixtures/keys/k",
        "tests/t.rs",
    ];
    for (at, read, change) in refused {
        let (source, name, text) = FIXTURES[*at];
        let grant = grant(source, name, text);
        for path in paths {
            RelPath::parse(path).expect("a path");
            for tool in ["read", "search", "outline", "diff", "edit"] {
                assert!(!(read(path) && allows(&grant, &format!("{tool} {path}"))), "{name}: {tool} {path}");
            }
            for tool in ["edit", "write", "patch", "move", "remove"] {
                assert!(
                    !(change(path) && allows(&grant, &format!("{tool} {path}"))),
                    "{name}: {tool} {path}"
                );
            }
        }
    }
    let goose = super::import_goose("p.yaml", super::GOOSE, &goose_value()).expect("it is right");
    let grant = loaded(&goose.policy);
    assert!(!allows(&grant, "edit a.rs") && !allows(&grant, "check build"));
}
