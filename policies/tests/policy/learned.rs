//! What journals teach.

use gloaming_api::Digest;
use gloaming_api::journal::{Chain, Event, EventKind};
use gloaming_api::tool::{CallRecord, Decided, PathBytes, PathDenial, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_policies::{Access, Lesson, Past, learn};
use proptest::prelude::*;

use crate::author::{path, tree};
use crate::{check, operator, resolve};

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

pub(crate) fn journal() -> Vec<Event> {
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

    [jobs.setup]
    enabled = false

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
    tools = ["edit", "write", "patch", "move", "remove"]
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
