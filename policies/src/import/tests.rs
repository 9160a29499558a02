//! What becomes of settings as people write them, and what holds for any text.

mod commands;
mod properties;

use gloaming_api::RepoId;

use super::{Imported, NoteKind, Source, draft, import, import_goose};
use crate::{Diagnostic, Grant, Layer, parse};

const CLAUDE: &str = include_str!("../../tests/import/fixtures/claude-settings.json");
const CODEX: &str = include_str!("../../tests/import/fixtures/codex-config.toml");
const CODEX_OLD: &str = include_str!("../../tests/import/fixtures/codex-old.toml");
const CODEX_RULES: &str = include_str!("../../tests/import/fixtures/codex-default.rules");
const GEMINI: &str = include_str!("../../tests/import/fixtures/gemini-policy.toml");
const GOOSE: &str = include_str!("../../tests/import/fixtures/goose-permission.yaml");

/// Each fixture but goose's, with the name it would have.
const FIXTURES: &[(Source, &str, &str)] = &[
    (Source::Claude, ".claude/settings.json", CLAUDE),
    (Source::Codex, ".codex/config.toml", CODEX),
    (Source::Codex, "/home/alice/.codex/config.toml", CODEX_OLD),
    (Source::Codex, ".codex/rules/default.rules", CODEX_RULES),
    (Source::Gemini, ".gemini/policies/team.toml", GEMINI),
];

/// The goose fixture as a parser of YAML gives it.
fn goose_value() -> serde_json::Value {
    serde_json::json!({
        "user": {
            "always_allow": ["developer__tree", "developer__write"],
            "ask_before": ["developer__shell", "developer__tree", "github__create_issue"],
            "never_allow": ["developer__text_editor", "developer__shell(rm *)", "developer__shel"],
        },
        "smart_approve": { "always_allow": ["developer__shell"], "ask_before": [], "never_allow": [] },
    })
}

fn told(faults: &[Diagnostic]) -> String {
    let line = |fault: &Diagnostic| format!("{fault} ({})\n", fault.hint.as_deref().unwrap_or("no hint"));
    faults.iter().map(line).collect()
}

fn imported(source: Source, name: &str, text: &str) -> Imported {
    import(source, name, text).unwrap_or_else(|faults| panic!("{}", told(&faults)))
}

/// What the settings come to for files and for whether jobs run; its own tests are run by it.
fn grant(source: Source, name: &str, text: &str) -> Grant {
    let text = draft(source, name, text).and_then(|draft| draft.about_files());
    loaded(&text.unwrap_or_else(|faults| panic!("{}", told(&faults))))
}

fn loaded(text: &str) -> Grant {
    let file = parse("imported.toml", text).unwrap_or_else(|faults| panic!("{}\n{text}", told(&faults)));
    let repo: RepoId = "acme/api".parse().expect("a repository");
    Grant::resolve(&repo, vec![(Layer::Operator, file)])
        .unwrap_or_else(|faults| panic!("{}\n{text}", told(&faults)))
}

fn allows(grant: &Grant, call: &str) -> bool {
    let explained = grant.explain(call).unwrap_or_else(|error| panic!("{call}: {error}"));
    serde_json::to_value(&explained).expect("it serialises")["decision"] == "allow"
}

/// Holds `call => allow|deny` lines against a grant.
fn check(grant: &Grant, table: &str) {
    let lines = || table.lines().map(str::trim).filter(|line| !line.is_empty());
    let found: String = lines()
        .map(|line| {
            let call = line.split(" => ").next().expect("a call");
            format!("{call} => {}\n", if allows(grant, call) { "allow" } else { "deny" })
        })
        .collect();
    assert_eq!(found, lines().map(|line| format!("{line}\n")).collect::<String>());
}

/// The report as lines, and the whole policy.
fn show(imported: &Imported) -> String {
    let mut out = String::new();
    for note in &imported.notes {
        let rule = note.rule.as_ref().map_or(String::new(), |rule| format!(" -> {rule}"));
        out.push_str(&format!("{}:{} {:?}{rule}: {}\n", note.line, note.column, note.kind, note.source));
        out.push_str(&format!("    {}\n", note.message));
    }
    format!("{out}\n{}", imported.policy)
}

fn kinds(imported: &Imported, kind: NoteKind) -> Vec<&str> {
    imported.notes.iter().filter(|note| note.kind == kind).map(|note| note.source.as_str()).collect()
}

#[test]
fn claude_settings() {
    let (source, name, text) = FIXTURES[0];
    insta::assert_snapshot!("claude", show(&imported(source, name, text)));
    check(
        &grant(source, name, text),
        "
        read src/lib.ts => allow
        read .env => deny
        read secrets/token.txt => deny
        search private/notes.md => deny
        edit src/lib.ts => allow
        write tests/lib.test.ts => allow
        edit docs/guide.md => allow
        edit docs/guide.html => deny
        edit vendor/lib.ts => deny
        edit src/legal/terms.ts => deny
        read src/legal/terms.ts => allow
        edit package.json => deny
        read package.json => allow
        edit src/migrations/0001.sql => deny
        write config/production.yml => deny
        remove src/lib.ts => allow
        check test => allow
        ",
    );
}

#[test]
fn codex_permission_profiles() {
    let (source, name, text) = FIXTURES[1];
    insta::assert_snapshot!("codex", show(&imported(source, name, text)));
    check(
        &grant(source, name, text),
        "
        read README.md => allow
        edit README.md => deny
        edit src/lib.rs => allow
        edit docs/guide.md => allow
        edit src/generated/types.rs => deny
        read src/generated/types.rs => allow
        read deploy/prod.env => deny
        read private/plan.md => deny
        write private/notes/a.md => deny
        ",
    );
}

#[test]
fn codex_looks_at_no_profile_beside_a_sandbox_mode() {
    let (source, name, text) = FIXTURES[2];
    insta::assert_snapshot!("codex_old", show(&imported(source, name, text)));
    check(
        &grant(source, name, text),
        "
        read src/lib.rs => allow
        edit src/lib.rs => deny
        read fixtures/keys/a.txt => deny
        ",
    );
}

#[test]
fn codex_rules() {
    let (source, name, text) = FIXTURES[3];
    let imported = imported(source, name, text);
    insta::assert_snapshot!("codex_rules", show(&imported));
    assert_eq!(imported, super::import(Source::CodexRules, name, text).expect("the same"));
    check(&grant(source, name, text), "edit src/lib.rs => allow\ncheck test => allow");
}

#[test]
fn gemini_policies() {
    let (source, name, text) = FIXTURES[4];
    insta::assert_snapshot!("gemini", show(&imported(source, name, text)));
    check(
        &grant(source, name, text),
        "
        read README.md => allow
        edit README.md => deny
        edit src/lib.ts => allow
        write tests/lib.test.ts => allow
        edit src/generated/api.ts => deny
        edit src/yarn.lock => deny
        read config/secrets/token => deny
        edit docs/guide.md => deny
        check test => allow
        ",
    );
}

#[test]
fn a_denial_of_everything_beneath_allowances_in_gemini() {
    let rule = |tools: &str, decision: &str, priority: u32| {
        format!("[[rule]]\ntoolName = {tools}\ndecision = \"{decision}\"\npriority = {priority}\n")
    };
    let of = |rules: &[String]| grant(Source::Gemini, "a.toml", &rules.concat());
    let nothing = rule("\"*\"", "deny", 1);
    let calls = |read: &str, list: &str, edit: &str, test: &str| {
        format!("read a => {read}\nlist a => {list}\nedit a => {edit}\ncheck test => {test}")
    };
    check(&of(std::slice::from_ref(&nothing)), &calls("deny", "deny", "deny", "deny"));
    let looking = rule(r#"["read_file", "glob", "grep_search"]"#, "allow", 9);
    check(&of(&[nothing.clone(), looking.clone()]), &calls("allow", "allow", "deny", "deny"));
    check(
        &of(&[nothing.clone(), rule(r#""read_file""#, "allow", 9)]),
        &calls("allow", "deny", "deny", "deny"),
    );
    // To replace text is not to write a file whole.
    check(
        &of(&[nothing.clone(), looking.clone(), rule(r#""replace""#, "allow", 9)]),
        &calls("allow", "allow", "deny", "deny"),
    );
    let changing = rule(r#"["replace", "write_file"]"#, "allow", 9);
    check(&of(&[nothing, looking, changing]), &calls("allow", "allow", "allow", "deny"));
}

#[test]
fn goose_permissions() {
    let imported = import_goose("permission.yaml", GOOSE, &goose_value()).expect("it is right");
    insta::assert_snapshot!("goose", show(&imported));
    check(
        &loaded(&imported.policy),
        "
        read src/lib.rs => allow
        list src => allow
        edit src/lib.rs => deny
        write src/lib.rs => deny
        check test => deny
        ",
    );
    // The same as JSON, which every YAML parser takes.
    let json = serde_json::to_string_pretty(&goose_value()).expect("it serialises");
    let by_json = import(Source::Goose, "permission.yaml", &json).expect("it is right");
    assert_eq!(kinds(&by_json, NoteKind::Inert), kinds(&imported, NoteKind::Inert));
}

/// Rules about commands are not known to the loader of this branch: this runs once they are.
#[test]
fn whole_policies_load() {
    for (source, name, text) in FIXTURES {
        loaded(&imported(*source, name, text).policy);
    }
}

#[test]
fn modes_of_claude() {
    let of = |permissions: &str| {
        grant(Source::Claude, "settings.json", &format!("{{\"permissions\": {{{permissions}}}}}"))
    };
    check(
        &of(r#""defaultMode": "plan", "allow": ["Edit"]"#),
        "read a => allow\nedit a => deny\nmove a => deny",
    );
    check(&of(r#""defaultMode": "dontAsk""#), "read a => allow\nedit a => deny\ncheck test => deny");
    check(
        &of(r#""defaultMode": "dontAsk", "allow": ["Edit(./src/**)", "Bash(npm test)"]"#),
        "edit src/a => allow\nedit a => deny\ncheck test => allow",
    );
    check(
        &of(r#""defaultMode": "acceptEdits", "allow": ["Edit(src/**)"]"#),
        "edit a => allow\nread .env => deny",
    );
    check(&of(r#""allow": ["Edit", "Write(src/**)"]"#), "edit a => allow\nedit Cargo.lock => deny");
    check(&of(r#""allow": ["Read(src/**)", "Grep"]"#), "read a => allow\nedit a => allow");
    check(&of(r#""deny": ["Bash"], "allow": ["Bash(npm test)"]"#), "edit a => allow\ncheck test => deny");
    check(&of(r#""deny": ["Grep", "Glob"]"#), "read a => allow\nsearch a => deny\nlist a => deny");
    check(&of(r#""ask": ["Edit"]"#), "read a => allow\nedit a => deny\nremove a => deny");
    check(&of(r#""ask": ["*"]"#), "read a => deny\nlist => deny\ncheck test => deny");
    check(
        &of(r#""deny": ["Read(//**/.npmrc)", "Read(//etc/**)"]"#),
        "read etc/a => allow\nread web/.npmrc => deny",
    );
}

#[test]
fn a_persons_own_settings_do_not_name_the_repository() {
    let text = r#"{"permissions": {"deny": ["Read(/notes/**)"], "allow": ["Edit(/src/**)"]}}"#;
    for name in
        ["~/.claude/settings.json", "/home/alice/.claude/settings.json", "/etc/x/managed-settings.json"]
    {
        let imported = imported(Source::Claude, name, text);
        assert_eq!(kinds(&imported, NoteKind::Inert), ["Read(/notes/**)", "Edit(/src/**)"], "{name}");
    }
    let imported = imported(Source::Claude, "/home/alice/work/api/.claude/settings.json", text);
    assert_eq!(kinds(&imported, NoteKind::Carried), ["Read(/notes/**)", "Edit(/src/**)"].split_at(1).1);
}

#[test]
fn what_bound_nothing_is_named() {
    let text = r#"{"permissions": {"deny": [
        "Write(.envrc)", "MultiEdit(a/**)", "NotebookEdit(*.ipynb)", "Glob(b/**)", "Bash(npm:* run)", "Raed(x)",
        "read(x)", "Edit(x", "Edit(c)", "Edit(c)", "Read(/etc/x)"
    ], "ask": ["Edit(c)"], "allow": ["Edit(c)", "Write(d/**)", "Read"], "alow": [], "defaultMode": "acceptEdit"}}"#;
    let imported = imported(Source::Claude, ".claude/settings.json", text);
    assert!(imported.notes.iter().all(|note| note.kind == NoteKind::Inert || note.source == "Edit(c)"));
    let bound: Vec<&str> =
        imported.notes.iter().filter(|note| note.rule.is_some()).map(|note| note.source.as_str()).collect();
    let plain = [
        "Write(.envrc)",
        "MultiEdit(a/**)",
        "NotebookEdit(*.ipynb)",
        "Glob(b/**)",
        "Bash(npm:* run)",
        "Edit(c)",
    ];
    assert_eq!(bound, plain);
}

#[test]
fn faults_have_their_place() {
    let faults = |source, name: &str, text: &str| told(&import(source, name, text).expect_err("a fault"));
    let claude = |text| faults(Source::Claude, "s.json", text);
    insta::assert_snapshot!(
        "faults",
        [
            claude("{\n  \"permissions\": {\n    \"deny\": [\"Read(x)\",]\n  }\n}"),
            claude("[]"),
            claude("{\"model\": \"opus\"}"),
            claude("{\"permissions\": {\"deny\": \"Read(x)\"}}"),
            claude("{\"permissions\": {\n \"deny\": [3]}}"),
            claude("{\"permissions\": {\"deny\": [], \"allow\": [],\n  \"deny\": []}}"),
            claude(""),
            faults(Source::Codex, "config.toml", "sandbox_mode = read-only"),
            faults(Source::Codex, "config.toml", "model = \"x\""),
            faults(Source::Codex, "config.toml", "sandbox_mode = 3"),
            faults(Source::Codex, "a.rules", "prefix_rule(pattern = [\"git\"],\n  decision = \"ask\")"),
            faults(Source::Codex, "a.rules", "x = 3"),
            faults(Source::Codex, "a.rules", "prefix_rule(pattern = [\"git\""),
            faults(Source::Codex, "a.rules", "prefix_rule(pattern = [x for x in y])"),
            faults(Source::Codex, "a.rules", "# nothing\n"),
            faults(Source::Gemini, "a.toml", "[[rule]]\ntoolName = \"glob\"\ndecision = \"deny\""),
            faults(Source::Gemini, "a.toml", "[[rule]]\ndecision = \"never\"\npriority = 1"),
            faults(Source::Gemini, "a.toml", "x = 1"),
            faults(Source::Goose, "p.yaml", "{\"user\": {\"never_allow\": \"shell\"}}"),
            faults(Source::Goose, "p.yaml", "user: {}"),
            faults(Source::Claude, "s.json", &" ".repeat((1 << 20) + 1)),
        ]
        .concat()
    );
}

#[test]
fn nothing_hidden_reaches_the_output() {
    let text = r#"{"permissions": {"deny": ["Read(\u001b[2Jx\u202e)", "Edit(a\u0007b)", "Bash(x\u001b y)"],
        "ask": ["Edit(\"\n[[allow]]\n)"]}}"#;
    let imported = imported(Source::Claude, "s\u{1b}.json", text);
    let seen = imported.policy.chars().chain(imported.notes.iter().flat_map(|note| note.message.chars()));
    let seen = seen.chain(imported.notes.iter().flat_map(|note| note.source.chars()));
    assert!(seen.filter(|c| *c != '\n').all(|c| !super::origin::hidden(c)), "{}", show(&imported));
    assert!(!imported.policy.contains("[[allow]]\n"), "{}", imported.policy);
}

#[test]
fn the_report_serialises() {
    let text = r#"{"permissions": {"deny": ["Edit(x)"]}}"#;
    let json = serde_json::to_value(imported(Source::Claude, "s.json", text)).expect("it serialises");
    assert_eq!(
        json["notes"][0],
        serde_json::json!({
            "file": "s.json", "line": 1, "column": 27, "kind": "carried", "source": "Edit(x)",
            "message": "it binds every tool that changes files", "rule": "deny-line-1",
        })
    );
}

/// A file of the largest size that is read, of whatever is dear to read, takes seconds and not minutes.
#[test]
fn the_largest_files_are_answered() {
    let fill = |part: &str, around: (&str, &str)| {
        let count = ((1 << 20) - around.0.len() - around.1.len()) / part.len();
        format!("{}{}{}", around.0, part.repeat(count), around.1)
    };
    let claude = |part: &str| fill(part, ("{\"permissions\": {\"deny\": [", "\"x\"]}}"));
    let texts = [
        (Source::Claude, claude("\"x\",")),
        (Source::Claude, claude("\"Edit(a)\",")),
        (Source::Claude, claude("1,")),
        (Source::Claude, fill("[", ("", ""))),
        (Source::Claude, fill("*", ("{\"permissions\": {\"deny\": [\"Bash(", ")\"]}}"))),
        (Source::Claude, fill("*a", ("{\"permissions\": {\"deny\": [\"Read(", ")\"]}}"))),
        (Source::CodexRules, fill("f(a);", ("", ""))),
        (Source::CodexRules, fill("\"a\",", ("prefix_rule(pattern=[[", "]])"))),
        (Source::CodexRules, fill("prefix_rule(pattern=['a','b'])\n", ("", ""))),
        (Source::CodexRules, fill("[", ("f(", ""))),
        (Source::Gemini, fill("[[rule]]\ndecision='deny'\npriority=1\n", ("", ""))),
        (Source::Gemini, fill("(a|b)", ("[[rule]]\ndecision='deny'\npriority=1\nargsPattern='", "'"))),
        (Source::Codex, fill("[", ("a=", ""))),
        (Source::Goose, fill("\"x\",", ("{\"user\":{\"never_allow\":[", "\"x\"]}}"))),
    ];
    for (source, text) in texts {
        let _ = import(source, "x", &text);
    }
}
