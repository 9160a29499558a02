//! What an author asks before anyone runs a policy: flips, differences, what journals teach, coverage.

use gloaming_api::journal::{Chain, Event, EventKind};
use gloaming_api::tool::{CallRecord, Decided, PathBytes, PathDenial, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_api::{Digest, RelPath};
use gloaming_policies::{Access, Difference, Grant, Layer, Lesson, Past, difference, learn, run_tests};
use proptest::prelude::*;

use crate::{check, file, operator, resolve, show};

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn tree(files: &[&str]) -> Vec<RelPath> {
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

fn compare(old: &str, new: &str, files: &[&str], past: &[Past]) -> Difference {
    let grant =
        |text| resolve(&[(Layer::Operator, "p.toml", text)]).unwrap_or_else(|f| panic!("{}", show(&f)));
    difference(&grant(old), &grant(new), &tree(files), past)
}

fn shown(found: &Difference) -> String {
    let mut text = String::new();
    for (sign, list) in [("+", &found.gained), ("-", &found.lost)] {
        for change in list {
            let sample = if change.sample { " (sample)" } else { "" };
            text.push_str(&format!(
                "{sign} {} {} [{}]{sample}\n",
                change.kind,
                change.what,
                change.of.join(" ")
            ));
        }
    }
    for past in &found.past {
        let sign = if past.now_allowed { "+" } else { "-" };
        text.push_str(&format!("{sign} {}:{} {}\n", past.journal, past.seq, past.call));
    }
    text
}

#[test]
fn a_difference_lists_what_is_gained_and_lost() {
    let old = r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "source"
tools = ["edit", "write", "patch", "move", "remove"]
paths = ["src/**"]
[jobs.test]
memory = "1GiB"
"#;
    let new = r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "source"
tools = ["edit", "write", "patch", "move", "remove"]
paths = ["src/**", "migrations/*.sql"]
[[deny]]
id = "no-api"
tools = ["*"]
access = "write"
paths = ["src/api/"]
because = "x"
[[allow]]
id = "tests"
jobs = ["test"]
commands = ["cargo test *"]
[[deny]]
id = "no-variables"
jobs = ["build"]
env = ["AWS_*"]
because = "x"
[jobs.test]
memory = "2GiB"
[jobs.lint]
enabled = false
[budget]
cost_usd = 1.0
[submit]
local = ["*"]
"#;
    let past = Past::of("j.jsonl", &journal());
    let found = compare(old, new, &["src/a.rs", "src/api/b.rs", "README.md"], &[past]);
    insta::assert_snapshot!(shown(&found), @r#"
    + number jobs.test.memory: 1GiB becomes 2GiB []
    + path migrations/.sql [edit move patch remove write] (sample)
    + path migrations/sample.sql [edit move patch remove write] (sample)
    + rule edit is let touch "migrations/*.sql" []
    + rule move is let touch "migrations/*.sql" []
    + rule patch is let touch "migrations/*.sql" []
    + rule remove is let touch "migrations/*.sql" []
    + rule write is let touch "migrations/*.sql" []
    - commands the command `any-other-command` [test]
    - env the variable AWS_ [build]
    - env the variable AWS_SAMPLE [build]
    - job lint jobs [lint]
    - number budget.cost_usd: 5 becomes 1 []
    - path src/api/b.rs [edit move patch remove write]
    - path src/api/sample [edit move patch remove write] (sample)
    - submit submit github:any model []
    - submit submit token:any model []
    - j.jsonl:3 edit src/api/b.rs and 1 more
    "#);
    assert!(found.widens());
    let same = compare(old, old, &["src/a.rs"], &[]);
    assert!(same.is_empty() && !same.widens());
    // A rule that only narrows widens nothing, whatever it is about.
    let narrower = format!(
        "{old}[budget]\nsteps = 1\n[[deny]]\nid = \"d\"\ntools = [\"*\"]\npaths = [\"x\"]\nbecause = \"x\"\n"
    );
    let found = compare(old, &narrower, &[], &[]);
    assert!(!found.widens() && !found.lost.is_empty());
    assert!(compare(&narrower, old, &[], &[]).widens(), "what is not on the tree is found by samples");
}

#[test]
fn what_cannot_be_seen_to_be_narrower_is_gained() {
    let base = "schema = 1\nextends = [\"preset:standard\"]\n";
    let deny = |tools: &str, access: &str, paths: &str| {
        format!("{base}[[deny]]\nid = \"d\"\ntools = {tools}\n{access}paths = {paths}\nbecause = \"x\"\n")
    };
    let write = "access = \"write\"\n";
    let look =
        |tools: &str| format!("schema = 1\n[[allow]]\nid = \"a\"\ntools = {tools}\npaths = [\"**\"]\n");
    let tool = |pin: &str| {
        format!(
            "{base}[[tool]]\nname = \"fmt\"\n{pin}[[allow]]\nid = \"f\"\ntools = [\"fmt\"]\npaths = [\"**\"]\n"
        )
    };
    let src = format!(
        "{base}[[allow]]\nid = \"s\"\ntools = [\"edit\", \"write\", \"patch\"]\npaths = [\"src/**\"]\n"
    );
    let generated = "[[deny]]\nid = \"g\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"*.gen.rs\"]\nbecause = \"x\"\n";
    let pin = format!("digest = \"sha256:{}\"\n", "a".repeat(64));
    let commands = |texts: &str| {
        format!("{base}[[deny]]\nid = \"c\"\njobs = [\"*\"]\ncommands = {texts}\nbecause = \"x\"\n")
    };
    let wider = [
        (look(r#"["read", "list"]"#), look(r#"["read", "list", "check"]"#)),
        (tool(&pin), tool("")),
        (
            format!(
                "{}{}",
                tool(""),
                "[[deny]]\nid = \"w\"\ntools = [\"fmt\"]\naccess = \"write\"\npaths = [\"**\"]\nbecause = \"x\"\n"
            ),
            tool(""),
        ),
        (format!("{src}{generated}"), src.clone()),
        (src.clone(), src.replace("[\"src/**\"]", "[\"src/**\", \"*.toml\"]")),
        (
            deny(r#"["*"]"#, write, r#"["*.gen.rs"]"#),
            deny(r#"["*"]"#, write, r#"["/*.gen.rs", "*/*.gen.rs"]"#),
        ),
        (
            deny(r#"["*"]"#, "", r#"["vendor/**/secret.c"]"#),
            deny(r#"["*"]"#, "", r#"["vendor/secret.c", "vendor/*/secret.c"]"#),
        ),
        (deny(r#"["*"]"#, "", r#"["/part[a-c].c"]"#), deny(r#"["*"]"#, "", r#"["/parta.c"]"#)),
        (deny(r#"["*"]"#, "", r#"["/build/"]"#), deny(r#"["*"]"#, "", r#"["/build/**"]"#)),
        (deny(r#"["*"]"#, "", r#"["vendor/"]"#), deny(r#"["*"]"#, "", r#"["sample"]"#)),
        (format!("{base}[model]\nallow = [\"*\"]\n"), base.to_owned()),
        (
            format!("{base}[model]\nallow = [\"*\"]\n"),
            format!("{base}[model]\nallow = [\"*\"]\nhosts = [\"*.evil.example\"]\n"),
        ),
        (commands(r#"["npm publish"]"#), commands(r#"["npm publish x"]"#)),
    ];
    for (old, new) in &wider {
        let found = compare(old, new, &[], &[]);
        assert!(found.widens(), "{old}\n=> {new}\n{}", shown(&found));
    }
    let narrower = [
        (deny(r#"["*"]"#, "", r#"["src/gen/**"]"#), deny(r#"["*"]"#, "", r#"["src/gen"]"#)),
        (src.clone(), src.replace("src/**", "src/api/**")),
        (deny(r#"["*"]"#, write, r#"["a.md"]"#), deny(r#"["*"]"#, "", r#"["a.md"]"#)),
        (src.clone(), format!("{src}{generated}")),
        (commands(r#"["npm publish"]"#), commands(r#"["*"]"#)),
    ];
    for (old, new) in &narrower {
        let found = compare(old, new, &[], &[]);
        assert!(!found.widens(), "{old}\n=> {new}\n{}", shown(&found));
    }
}

fn call(tool: &str, at: &str, reads: &[&str], writes: &[&str], denied: Option<&str>) -> EventKind {
    let args = if at.is_empty() { serde_json::json!({}) } else { serde_json::json!({"path": at}) };
    let mut record = CallRecord::without_run(tool, &Digest::zero(), &args, Decided::Allow);
    let bytes = |paths: &[&str]| paths.iter().map(|p| PathBytes { path: path(p), bytes: 1 }).collect();
    (record.reads, record.writes) = (bytes(reads), bytes(writes));
    let mut outcome = ToolOutcome::ok("ok".into());
    if let Some(rule) = denied {
        record.denials = vec![PathDenial { path: at.into(), rule: rule.into() }];
        outcome = ToolOutcome::error(ToolError::new(ToolErrorCode::Denied, "no"));
    }
    EventKind::ToolCall { id: "1.1".into(), args, outcome, record: Box::new(record) }
}

fn journal() -> Vec<Event> {
    let mut chain = Chain::default();
    let events = [
        call("read", "src/a.rs", &["src/a.rs"], &[], None),
        call("read", "src/b.rs", &["src/b.rs"], &[], None),
        call("edit", "src/a.rs", &["src/a.rs"], &["src/a.rs"], None),
        call("edit", "src/api/b.rs", &["src/api/b.rs"], &["src/api/b.rs"], None),
        call("read", ".env", &[], &[], Some("no-secrets")),
        call("list", "docs", &[], &[], None),
        call("search", "", &["README.md"], &[], None),
    ];
    events.into_iter().map(|kind| chain.append(jiff::Timestamp::UNIX_EPOCH, kind)).collect()
}

#[test]
fn journals_teach_the_tightest_policy() {
    let past = Past::of("j.jsonl", &journal());
    let repo = "acme/api".parse().unwrap();
    let under = resolve(&[]).unwrap();
    let files = tree(&[
        "src/a.rs",
        "src/b.rs",
        "src/api/b.rs",
        "src/api/c.rs",
        "docs/x.md",
        "docs/y.md",
        "README.md",
        ".env",
        "odd/[id] *.rs",
    ]);
    let learned = learn(&repo, &[Lesson { past: &past, grant: Some(&under) }], &files);
    insta::assert_snapshot!(learned.policy, @r#"
    # The tightest policy under which 7 calls of 1 journal would have passed.
    # Made by `gloaming policy learn`; read it before you use it.
    schema = 1
    repos = ["acme/api"]

    [[allow]]
    id = "look-search"
    tools = ["search"]
    paths = [
        "/README.md",
        "/docs/**",
        '/odd/\[id] \*.rs',
        "/src/**",
    ]

    [[allow]]
    id = "look-list"
    tools = ["list"]
    paths = ["/docs/**"]

    [[allow]]
    id = "change-edit"
    tools = ["edit"]
    paths = [
        "/src/a.rs",
        "/src/api/b.rs",
    ]

    [[allow]]
    id = "look-read"
    tools = ["read"]
    paths = [
        "/src/a.rs",
        "/src/b.rs",
    ]

    [jobs.build]
    enabled = false

    [jobs.test]
    enabled = false

    [jobs.lint]
    enabled = false

    [[deny]]
    id = "no-secrets"
    tools = ["*"]
    paths = [
        ".env*",
        "*.env",
        ".netrc",
        "_netrc",
        ".npmrc",
        ".pypirc",
        ".pgpass",
        ".my.cnf",
        ".git-credentials",
        ".htpasswd",
        ".dockercfg",
        "**/.docker/config.json",
        "**/.cargo/credentials",
        "**/.cargo/credentials.toml",
        "**/.gem/credentials",
        "**/.kube/config",
        "**/.config/gcloud/",
        ".aws/",
        ".azure/",
        ".ssh/",
        ".gnupg/",
        "secrets/",
        ".secrets/",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.pkcs12",
        "*.jks",
        "*.keystore",
        "*.kdbx",
        "*.ppk",
        "*.gpg",
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        "credentials.json",
        "client_secret*.json",
        "service-account*.json",
        "service_account*.json",
        "secrets.json",
        "secrets.toml",
        "secrets.yml",
        "secrets.yaml",
        "*.tfstate",
        "*.tfstate.*",
        "*.tfvars",
        ".vault-token",
        ".vault-pass",
        ".terraformrc",
    ]
    because = "Secrets never enter a model's context."
    instead = "Name the variable or the file in the code; its value is given to the program where it runs."

    [[deny]]
    id = "no-ci-changes"
    tools = ["*"]
    access = "write"
    paths = [
        "/.github/dependabot.yml",
        "/.github/dependabot.yaml",
        "renovate.json",
        "renovate.json5",
        ".renovaterc*",
    ]
    because = "Automation with rights of its own is a person's to configure."
    instead = "Describe the change in the summary."

    [[deny]]
    id = "no-owner-changes"
    tools = ["*"]
    access = "write"
    paths = [
        "CODEOWNERS",
        "OWNERS",
    ]
    because = "Who must review is not decided by what is reviewed."
    instead = "Describe the change in the summary."

    [[deny]]
    id = "no-lockfile-changes"
    tools = ["*"]
    access = "write"
    paths = [
        "*.lock",
        "*.lockb",
        "*.lockfile",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "packages.lock.json",
        "go.sum",
        "Package.resolved",
        "*.lock.hcl",
        "mix.lock",
    ]
    because = "A lockfile decides what is downloaded and run; it is made by its tool, not by hand."
    instead = "Work with the versions that are locked, or say in the summary which dependency would have to change."

    [[deny]]
    id = "no-instruction-changes"
    tools = ["*"]
    access = "write"
    paths = [
        "AGENTS.md",
        "AGENTS.override.md",
        "AGENT.md",
        "CLAUDE.md",
        "CLAUDE.local.md",
        "GEMINI.md",
        ".claude/",
        ".codex/",
        ".gemini/",
        ".cursor/",
        ".cursorrules",
        ".windsurfrules",
        ".windsurf/",
        ".clinerules",
        ".roo/",
        ".aider*",
        "**/.github/copilot-instructions.md",
        "**/.github/instructions/",
        "**/.github/prompts/",
        "**/.github/agents/",
    ]
    because = "What later agents are told is not written by an agent."
    instead = "Describe the change in the summary."

    [[deny]]
    id = "no-policy-changes"
    tools = ["*"]
    access = "write"
    paths = [".gloaming/"]
    because = "A policy is not changed by what it binds."
    instead = "Say in the summary which rule stood in the way."

    [[test]]
    call = "edit src/a.rs"
    expect = "allow"

    [[test]]
    call = "edit src/api/b.rs"
    expect = "allow"

    [[test]]
    call = "list docs"
    expect = "allow"

    [[test]]
    call = "read .env"
    expect = "deny"

    [[test]]
    call = "read src/a.rs"
    expect = "allow"

    [[test]]
    call = "read src/b.rs"
    expect = "allow"

    [[test]]
    call = "search ."
    expect = "allow"
    "#);
    assert_eq!((learned.calls, learned.left_out.as_slice()), (7, &[][..]));
    let grant = operator(&learned.policy);
    check(
        &grant,
        "
        edit src/a.rs => allow change-edit policy.toml:21
        read src/a.rs => allow look-read policy.toml:29
        ",
    );
    for denied in ["edit src/b.rs", "write src/a.rs", "read docs/x.md", "search .env", "check test"] {
        assert!(!grant.explain(denied).unwrap().is_allow(), "{denied}");
    }
    // Without a tree nothing is generalised.
    let bare = learn(&repo, &[Lesson { past: &past, grant: None }], &[]);
    // What a walk was let see is known by its policy alone.
    assert_eq!(
        bare.left_out,
        [
            "j.jsonl: its policy does not load any more, so what that denied is not known",
            "j.jsonl:5 list docs",
        ]
    );
    assert!(!operator(&bare.policy).explain("read src/api/c.rs").unwrap().is_allow());
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What was done passes under what was learned of it, and nothing on the tree that was not used does.
    #[test]
    fn what_is_learned_allows_what_was_done_and_little_else(
        used in prop::collection::btree_set(prop::sample::select(FILES), 1..8),
        edits in prop::collection::btree_set(prop::sample::select(FILES), 0..4),
    ) {
        let mut chain = Chain::default();
        let mut kinds: Vec<EventKind> = used.iter().map(|p| call("read", p, &[p], &[], None)).collect();
        kinds.extend(edits.iter().map(|p| call("edit", p, &[p], &[p], None)));
        let events: Vec<Event> =
            kinds.into_iter().map(|kind| chain.append(jiff::Timestamp::UNIX_EPOCH, kind)).collect();
        let past = Past::of("j", &events);
        let learned = learn(&"acme/api".parse().unwrap(), &[Lesson { past: &past, grant: None }], &tree(FILES));
        prop_assert_eq!(learned.left_out.len(), 1, "the policy: {:?}", learned.left_out);
        let grant = operator(&learned.policy);
        for file in FILES {
            prop_assert_eq!(grant.allows("read", Access::Read, &path(file)), used.contains(file), "read {}", file);
            prop_assert_eq!(grant.allows("edit", Access::Write, &path(file)), edits.contains(file), "edit {}", file);
        }
    }

    /// An edit that is told does turn the decision.
    #[test]
    fn every_edit_that_is_told_turns_the_decision(
        tool in prop::sample::select(&["read", "edit", "write", "search", "list"][..]),
        file in prop::sample::select(FILES),
    ) {
        let grant = operator(POLICY);
        let flip = grant.flip(&format!("{tool} {file}"), &[]).unwrap();
        prop_assert!(flip.impossible.is_some() == flip.edits.is_empty());
    }
}

const FILES: &[&str] = &[
    "README.md",
    "src/a.rs",
    "src/b.rs",
    "src/m/a.rs",
    "src/m/b.rs",
    "docs/x.md",
    "docs/y.md",
    "docs/deep/er/z.md",
    "app/[id]/page.tsx",
    "app/*.rs",
    "a b/c d ",
    "Größe/é.txt",
    "src/m/{a}.rs",
    "!odd",
    "#odd",
];
