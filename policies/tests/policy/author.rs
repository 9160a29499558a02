//! What an author asks of one policy: the smallest edit that would turn a decision, and which rules ever decided.

use gloaming_api::RelPath;
use gloaming_policies::{Grant, run_tests};

use crate::{file, operator};

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

pub(crate) fn tree(files: &[&str]) -> Vec<RelPath> {
    files.iter().map(|file| path(file)).collect()
}

fn told(grant: &Grant, call: &str, files: &[&str]) -> String {
    let flip = grant.flip(call, &tree(files)).unwrap();
    let mut text = String::new();
    for edit in &flip.edits {
        text.push_str(&format!("{}:{}: {}\n", edit.file, edit.line, edit.edit));
        text.push_str(edit.add.as_deref().unwrap_or_default());
    }
    if let Some(why) = &flip.impossible {
        text.push_str(&format!("impossible: {why}\n"));
    }
    text.push_str(&format!(
        "{} others of {} files: {}\n",
        flip.others_total,
        flip.files,
        flip.others.join(", ")
    ));
    text
}

const POLICY: &str = r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "source"
tools = ["edit", "write", "patch"]
paths = ["src/**"]
[[deny]]
id = "keys"
tools = ["read", "edit"]
paths = ["*.key.rs", "src/private/"]
because = "They are secret."
[jobs.lint]
enabled = false
[change]
protected = ["src/api.rs"]
[[deny]]
id = "no-publish"
jobs = ["*"]
commands = ["cargo publish", "npm publish"]
because = "x"
[submit]
local = ["rename"]
[model]
allow = ["anthropic:*"]
"#;

#[test]
fn the_smallest_edit_is_told_with_what_else_it_opens() {
    let grant = operator(POLICY);
    let files = &[
        "src/a.rs",
        "src/private/x.rs",
        "src/private/y.rs",
        "src/z.key.rs",
        "src/api.rs",
        "docs/a.md",
        ".env",
    ];
    let told = |call: &str| format!("> {call}\n{}", told(&grant, call, files));
    let all = [
        "read src/private/x.rs",
        "edit docs/a.md",
        "edit src/api.rs",
        "read .env",
        "write .git/config",
        "read src/a.rs",
        "check lint",
        "check test cargo publish",
        "check test make",
        "submit local model",
        "model openai:gpt-5",
        "read ../x",
    ];
    insta::assert_snapshot!(all.map(told).concat(), @r#"
    > read src/private/x.rs
    policy.toml:7: take "read" out of `tools` of rule keys
    11 others of 7 files: search src/private/x.rs, outline src/private/x.rs, diff src/private/x.rs, read src/private/y.rs, search src/private/y.rs, outline src/private/y.rs, diff src/private/y.rs, read src/z.key.rs, search src/z.key.rs, outline src/z.key.rs, diff src/z.key.rs
    > edit docs/a.md
    policy.toml:3: add "/docs/a.md" to `paths` of rule source
    4 others of 7 files: write docs/a.md, patch docs/a.md, move docs/a.md, remove docs/a.md
    > edit src/api.rs
    policy.toml:15: take "src/api.rs" out of `change.protected`
    4 others of 7 files: write src/api.rs, patch src/api.rs, move src/api.rs, remove src/api.rs
    > read .env
    preset:standard:19: copy preset:standard (`gloaming policy show standard`) instead of extending it, and take ".env*" and "*.env" out of `paths` of rule no-secrets
    4 others of 7 files: list .env, search .env, outline .env, diff .env
    > write .git/config
    impossible: git-metadata is part of the floor, which no policy can lift
    0 others of 7 files: 
    > read src/a.rs
    policy.toml:1: add a rule to policy.toml
    [[deny]]
    id = "…"
    tools = ["read"]
    paths = ["/src/a.rs"]
    because = "…"
    6 others of 7 files: search src/a.rs, outline src/a.rs, diff src/a.rs, edit src/a.rs, patch src/a.rs, move src/a.rs
    > check lint
    policy.toml:13: take `enabled = false` out of [jobs.lint]
    0 others of 7 files: 
    > check test cargo publish
    policy.toml:16: take "cargo publish" out of `commands` of rule no-publish
    0 others of 7 files: 
    > check test make
    policy.toml:1: add a rule to policy.toml
    [[deny]]
    id = "…"
    jobs = ["test"]
    commands = ["make"]
    because = "…"
    0 others of 7 files: 
    > submit local model
    policy.toml:21: let `local` ask for `model` in [submit]
    [submit]
    "local" = ["model"]
    0 others of 7 files: 
    > model openai:gpt-5
    policy.toml:23: name "openai:gpt-5" in `model.allow`
    0 others of 7 files: 
    > read ../x
    impossible: outside-workspace is part of the floor, which no policy can lift
    0 others of 7 files:
    "#);
    assert!(grant.flip("fly away", &[]).is_err());
}

#[test]
fn rules_that_never_decided_are_named() {
    let text = r#"schema = 1
extends = ["preset:standard"]
[[deny]]
id = "reached"
tools = ["*"]
paths = ["a/"]
because = "x"
[[deny]]
id = "shadowed"
tools = ["*"]
paths = [".env"]
because = "x"
[[deny]]
id = "warning"
tools = ["read"]
paths = ["b/"]
because = "x"
enforce = "warn"
[[deny]]
id = "job"
jobs = ["test"]
commands = ["make"]
because = "x"
[change]
protected = [
    "c",
    "d",
]
[[test]]
call = "read a/x"
expect = "deny"
[[test]]
call = "read .env"
expect = "deny"
[[test]]
call = "read b/x"
expect = "allow"
[[test]]
call = "edit c"
expect = "allow"
"#;
    let repo = "acme/api".parse().unwrap();
    let tested = run_tests(&repo, file("p.toml", text)).unwrap();
    let failed: Vec<&str> = tested.tests.iter().filter(|t| !t.passed).map(|t| t.call.as_str()).collect();
    assert_eq!(failed, ["edit c"]);
    let named: Vec<String> =
        tested.undecided.iter().map(|rule| format!("{}:{}", rule.id, rule.line)).collect();
    assert_eq!(named, ["shadowed:8", "job:19", "protected:27"]);
    assert_eq!((tested.rules, tested.tests.len()), (6, 4));
}
