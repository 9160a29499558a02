//! Rule set and path to decision.

use gloaming_api::RelPath;
use gloaming_api::job::JobPurpose;
use gloaming_policies::{Access, Decision, Grant};

use crate::{check, operator, resolve};

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect("a path")
}

const SOURCE_ONLY: &str = r#"schema = 1
[[allow]]
id = "look"
tools = ["read", "list", "search"]
paths = ["**"]
[[allow]]
id = "edit-source"
tools = ["edit", "patch"]
paths = ["src/**", "tests/*/cases/**", "/README.md", "app/[id]/page.tsx", "été/**"]
[[deny]]
id = "generated"
tools = ["edit", "write", "patch"]
paths = ["src/**/generated/**", "*.g.rs"]
because = "It is made by a program."
instead = "Change the program: src/codegen."
[[deny]]
id = "no-secrets"
tools = ["*"]
paths = ["**/.env*", "**/*.pem", "secrets/**"]
because = "Secrets never enter a model's context."
[[deny]]
id = "unread"
tools = ["read"]
paths = ["src/vendored/big.rs"]
because = "It is far too long."
"#;

#[test]
fn one_file_decides_as_it_says() {
    check(
        &operator(SOURCE_ONLY),
        "
        read docs/x.md => allow look policy.toml:2
        list => allow look policy.toml:2
        list docs => allow look policy.toml:2
        search docs/ => allow look policy.toml:2
        edit src/lib.rs => allow edit-source policy.toml:6
        edit ./src//a/./b.rs => allow edit-source policy.toml:6
        edit src/a/ => allow edit-source policy.toml:6
        edit /workspace/src/lib.rs => allow edit-source policy.toml:6
        edit docs/x.md => deny default-deny policy.toml:6
        edit src => deny default-deny policy.toml:6
        edit SRC/lib.rs => deny default-deny policy.toml:6
        edit README.md => allow edit-source policy.toml:6
        edit docs/README.md => deny default-deny policy.toml:6
        edit tests/a/cases/1.txt => allow edit-source policy.toml:6
        edit tests/a/b/cases/1.txt => deny default-deny policy.toml:6
        edit app/[id]/page.tsx => deny default-deny policy.toml:6
        edit app/i/page.tsx => allow edit-source policy.toml:6
        edit e\u{301}te\u{301}/x => allow edit-source policy.toml:6
        edit src/generated/x.rs => deny generated policy.toml:10
        edit src/a/b/generated/c/x.rs => deny generated policy.toml:10
        edit src/a/Generated/x.rs => deny generated policy.toml:10
        edit src/x.g.rs => deny generated policy.toml:10
        read src/x.g.rs => allow look policy.toml:2
        write src/lib.rs => deny default-deny policy.toml:1
        patch src/lib.rs => allow edit-source policy.toml:6
        check => deny default-deny policy.toml:1
        check test => deny default-deny policy.toml:1
        read .env => deny no-secrets policy.toml:16
        read a/b/.ENV.local => deny no-secrets policy.toml:16
        read a/.env/x => deny no-secrets policy.toml:16
        list secrets/a => deny no-secrets policy.toml:16
        list secrets => allow look policy.toml:2
        search x/KEY.PEM => deny no-secrets policy.toml:16
        read src/vendored/big.rs => deny unread policy.toml:21
        search src/vendored/big.rs => deny unread policy.toml:21
        edit src/vendored/big.rs => deny unread policy.toml:21
        list src/vendored/big.rs => allow look policy.toml:2
        read ../x => deny outside-workspace builtin:floor:5
        read /etc/passwd => deny outside-workspace builtin:floor:5
        read .git/config => deny git-metadata builtin:floor:10
        read sub/.git => deny git-metadata builtin:floor:10
        read .GIT/HEAD => deny git-metadata builtin:floor:10
        list .git => deny git-metadata builtin:floor:10
        read .gitignore => allow look policy.toml:2
        edit .gitmodules => deny git-modules builtin:floor:26
        write .github/workflows/ci.yml => deny ci-configuration builtin:floor:41
        write .gloaming/policy.toml => deny policy-itself builtin:floor:33
        read .gloaming/policy.toml => allow look policy.toml:2
        write . => deny default-deny policy.toml:1
        edit . => deny repository-root builtin:floor:6
        ",
    );
}

#[test]
fn names_meet_in_nfc() {
    let grant = operator(SOURCE_ONLY);
    for spelling in ["été/x", "e\u{301}te\u{301}/x"] {
        assert!(grant.allows("edit", Access::Write, &path(spelling)), "{spelling:?}");
    }
}

#[test]
fn a_denial_says_why_and_what_instead() {
    let grant = operator(SOURCE_ONLY);
    let json = |call: &str| serde_json::to_string_pretty(&grant.explain(call).unwrap()).unwrap();
    insta::assert_snapshot!(json("edit src/x.g.rs"), @r#"
    {
      "decision": "deny",
      "rule": "generated",
      "file": "policy.toml",
      "line": 10,
      "because": "It is made by a program.",
      "instead": "Change the program: src/codegen.",
      "layer": "operator"
    }
    "#);
    insta::assert_snapshot!(json("edit docs/x.md"), @r#"
    {
      "decision": "deny",
      "rule": "default-deny",
      "file": "policy.toml",
      "line": 6,
      "because": "No rule lets `edit` touch this path.",
      "instead": "It may touch /README.md, app/[id]/page.tsx, src/**, tests/*/cases/**, été/**.",
      "layer": "operator"
    }
    "#);
    insta::assert_snapshot!(json("edit src/lib.rs"), @r#"
    {
      "decision": "allow",
      "rule": "edit-source",
      "file": "policy.toml",
      "line": 6,
      "because": "",
      "layer": "operator"
    }
    "#);
}

#[test]
fn the_standard_preset_stands_in_where_no_policy_is() {
    let grant = resolve(&[]).unwrap();
    check(
        &grant,
        "
        read src/lib.rs => allow look-at-every-file preset:standard:4
        list => allow look-at-every-file preset:standard:4
        search => allow look-at-every-file preset:standard:4
        edit src/lib.rs => allow change-every-file preset:standard:9
        write new/file.txt => allow change-every-file preset:standard:9
        patch src/lib.rs => allow change-every-file preset:standard:9
        check => allow run-checks preset:standard:14
        check build => allow jobs.build preset:standard:157
        ",
    );
    for secret in [
        ".env",
        ".env.production",
        "a/b/.env.local",
        ".ENV",
        "server.pem",
        "tls/server.KEY",
        "id_rsa",
        "id_rsa.pub",
        "home/.ssh/id_ed25519",
        ".ssh/config",
        ".netrc",
        ".npmrc",
        "web/.npmrc",
        ".pypirc",
        "secrets/a/b",
        "deploy/secrets/token.txt",
        ".aws/credentials",
        ".git-credentials",
        "a.p12",
        "a.pfx",
        "a.keystore",
        "credentials.json",
        ".env.example",
        ".env./x",
        ".env ",
    ] {
        for tool in ["read", "search", "list", "outline", "diff", "edit", "write", "patch", "move", "remove"]
        {
            for access in [Access::Read, Access::List, Access::Write] {
                assert!(!grant.allows(tool, access, &path(secret)), "{tool} {access:?} {secret}");
            }
        }
    }
    for kept in [
        "Cargo.lock",
        "web/package-lock.json",
        "yarn.lock",
        "poetry.lock",
        "go.sum",
        "CODEOWNERS",
        ".github/CODEOWNERS",
        "docs/codeowners",
        "AGENTS.md",
        "crates/x/AGENTS.md",
        "CLAUDE.md",
        "GEMINI.md",
        ".cursorrules",
        ".cursor/rules/a.mdc",
        ".github/copilot-instructions.md",
        ".gloaming/policy.toml",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        ".circleci/config.yml",
        "Jenkinsfile",
        "ci/Jenkinsfile",
        "azure-pipelines.yml",
        ".buildkite/pipeline.yml",
    ] {
        assert!(grant.allows("read", Access::Read, &path(kept)), "{kept}");
        for tool in ["edit", "write", "patch", "move", "remove"] {
            assert!(!grant.allows(tool, Access::Write, &path(kept)), "{tool} {kept}");
        }
        assert!(matches!(grant.decide_change(&path(kept)), Decision::Deny(_)), "{kept}");
    }
    for open in [
        "src/env.rs",
        "environment.yml",
        "src/keys.rs",
        "secrets.py",
        "lock.rs",
        "docs/monkey.md",
        ".gitignore",
    ] {
        assert!(grant.allows("read", Access::Read, &path(open)), "{open}");
        assert!(grant.decide_change(&path(open)).is_allow(), "{open}");
    }
    let budget = grant.budget();
    assert_eq!((budget.cost_usd, budget.steps, budget.wall.as_secs()), (5.0, 100, 2400));
    assert_eq!((budget.tokens, budget.tool_bytes), (10_000_000, 16 << 20));
    assert_eq!((budget.day.cost_usd, budget.day.tokens), (Some(50.0), Some(100_000_000)));
    assert_eq!((grant.change().files, grant.change().lines), (20, 400));
    for purpose in JobPurpose::ALL {
        let limits = grant.permit_job(*purpose).unwrap().limits();
        assert_eq!((limits.memory, limits.cpus, limits.processes, limits.wall_s), (4 << 30, 2.0, 512, 1200));
    }
}

#[test]
fn the_root_can_be_listed_and_never_written() {
    let grant = resolve(&[]).unwrap();
    let root = RelPath::root();
    assert!(grant.allows("list", Access::List, &root));
    assert!(grant.allows("search", Access::List, &root));
    for tool in ["edit", "write", "patch", "read"] {
        assert!(!grant.allows(tool, Access::Write, &root));
    }
    assert!(!grant.decide_change(&root).is_allow());
}

#[test]
fn folders_on_the_way_to_what_is_allowed_can_be_listed() {
    let grant = operator(
        r#"schema = 1
[[allow]]
id = "one-crate"
tools = ["read", "list"]
paths = ["crates/one/src/**"]
[[deny]]
id = "no-drafts"
tools = ["*"]
paths = ["crates/one/src/drafts"]
because = "They are private."
"#,
    );
    for (folder, list, read) in [
        ("", true, true),
        ("crates", true, false),
        ("crates/one", true, false),
        ("crates/one/src", true, false),
        ("crates/one/src/a.rs", true, true),
        ("crates/two", false, false),
        ("docs", false, false),
        ("crates/one/src/drafts", false, false),
        ("crates/one/src/drafts/x", false, false),
    ] {
        assert_eq!(grant.allows("list", Access::List, &path(folder)), list, "{folder}");
        assert_eq!(grant.allows("list", Access::Read, &path(folder)), read, "{folder}");
    }
}

#[test]
fn a_tool_that_only_looks_never_writes() {
    let grant = operator("schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n");
    for tool in ["read", "list", "search", "check"] {
        assert!(!grant.allows(tool, Access::Write, &path("src/lib.rs")), "{tool}");
        assert!(grant.allows(tool, Access::Read, &path("src/lib.rs")), "{tool}");
    }
    // One that an operator registered, and the file knows, is bound by the rules for every tool.
    assert!(!grant.allows("refactor", Access::Write, &path("src/lib.rs")));
    let grant = operator(
        "schema = 1\n[[tool]]\nname = \"refactor\"\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n",
    );
    assert!(grant.allows("refactor", Access::Write, &path("src/lib.rs")));
    assert!(!grant.allows("refactor", Access::Write, &path(".github/workflows/ci.yml")));
    assert!(!resolve(&[]).unwrap().offers("refactor"));
}

#[test]
fn what_comes_to_the_same_is_bound_too() {
    let deny = |tools: &str, paths: &str| {
        operator(&format!(
            "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"kept\"\ntools = {tools}\npaths = {paths}\n\
             because = \"It is kept.\"\n"
        ))
    };
    let bound = |grant: &gloaming_policies::Grant| {
        let tools = ["edit", "write", "patch", "move", "remove"];
        let denied = |tool: &&&str| !grant.allows(tool, Access::Write, &path("kept/a"));
        tools.iter().filter(denied).copied().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(bound(&deny(r#"["edit"]"#, r#"["kept/"]"#)), "edit write patch move remove");
    assert_eq!(bound(&deny(r#"["patch"]"#, r#"["kept/"]"#)), "edit write patch move remove");
    assert_eq!(bound(&deny(r#"["write"]"#, r#"["kept/"]"#)), "write patch move remove");
    assert_eq!(bound(&deny(r#"["remove"]"#, r#"["kept/"]"#)), "patch move remove");
    assert_eq!(bound(&deny(r#"["move"]"#, r#"["kept/"]"#)), "move");
    // As a whole it is the tool that is denied.
    assert_eq!(bound(&deny(r#"["patch"]"#, r#"["**"]"#)), "patch move remove");
    assert_eq!(bound(&deny(r#"["remove"]"#, r#"["**"]"#)), "remove");
}

#[test]
fn a_rule_binds_the_tools_it_names() {
    let grant = operator(
        r#"schema = 1
extends = ["preset:standard"]
[[deny]]
id = "no-new-files"
tools = ["write"]
paths = ["src/**"]
because = "The layout is settled."
"#,
    );
    assert!(!grant.allows("write", Access::Write, &path("src/new.rs")));
    assert!(grant.allows("edit", Access::Write, &path("src/lib.rs")));
    assert!(!grant.allows("patch", Access::Write, &path("src/new.rs")), "a patch makes files too");
    assert!(!grant.allows("Write", Access::Write, &path("src/lib.rs")), "tools are named exactly");
    assert!(!grant.allows("", Access::Read, &path("src/lib.rs")));
    // A patch is judged by whether any tool could have made it.
    assert!(grant.decide_change(&path("src/lib.rs")).is_allow());
}

#[test]
fn what_read_may_not_see_no_tool_reads() {
    let grant = operator(
        r#"schema = 1
extends = ["preset:standard"]
[[deny]]
id = "private"
tools = ["read"]
paths = ["customers.csv"]
because = "Names of customers."
"#,
    );
    for tool in ["read", "search", "edit", "patch", "list", "outline", "diff", "move"] {
        assert!(!grant.allows(tool, Access::Read, &path("customers.csv")), "{tool}");
    }
    assert!(grant.allows("list", Access::List, &path("customers.csv")));
}

#[test]
fn a_policy_from_before_move_and_remove_has_no_hole() {
    // Denials that name any of the tools that could write then.
    for named in ["edit", "write", "patch"] {
        let grant = operator(&format!(
            "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"no-spec\"\ntools = [\"{named}\"]\n\
             paths = [\"spec/**\"]\nbecause = \"It is agreed.\"\n"
        ));
        for tool in ["move", "remove"] {
            assert!(!grant.allows(tool, Access::Write, &path("spec/a.md")), "{named} {tool}");
            assert!(grant.allows(tool, Access::Write, &path("src/a.rs")), "{named} {tool}");
        }
        // Looking is not what was denied.
        assert!(grant.allows("diff", Access::Read, &path("spec/a.md")));
    }
    // Allowances that narrow the preset.
    let grant = operator(
        r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "look-at-source"
tools = ["read", "list", "search"]
paths = ["src/**"]
[[allow]]
id = "edit-source"
tools = ["edit", "write", "patch"]
paths = ["src/**"]
"#,
    );
    check(
        &grant,
        "
        move src/a.rs => allow edit-source policy.toml:7
        move docs/a.md => deny default-deny policy.toml:7
        remove docs/a.md => deny default-deny policy.toml:7
        outline docs/a.md => deny default-deny policy.toml:3
        diff docs/a.md => deny default-deny policy.toml:3
        ",
    );
    // And they grant nothing that they do not name.
    let grant = operator(
        "schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"read\", \"edit\", \"write\", \"patch\"]\npaths = [\"**\"]\n",
    );
    for tool in ["outline", "diff", "move", "remove"] {
        assert!(!grant.offers(tool), "{tool}");
    }
    // A tool that is denied as a whole takes those after it along.
    let grant = operator(
        "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"look\"\ntools = [\"edit\", \"write\", \"patch\"]\n\
         paths = [\"**\"]\nbecause = \"Only look.\"\n",
    );
    for tool in ["edit", "move", "remove"] {
        assert!(!grant.offers(tool), "{tool}");
    }
    assert!(grant.offers("diff"));
}

#[test]
fn a_file_that_names_move_says_where_it_may() {
    let grant = operator(
        r#"schema = 1
[[allow]]
id = "edit"
tools = ["read", "edit", "write", "patch"]
paths = ["src/**"]
[[allow]]
id = "tidy"
tools = ["move", "remove"]
paths = ["src/old/**", "attic/**"]
"#,
    );
    check(
        &grant,
        "
        move src/old/a.rs => allow tidy policy.toml:6
        remove attic/a.rs => allow tidy policy.toml:6
        remove src/a.rs => deny default-deny policy.toml:6
        edit attic/a.rs => deny default-deny policy.toml:2
        ",
    );
}

#[test]
fn tools_denied_as_a_whole_are_not_offered() {
    let grant = operator(
        r#"schema = 1
extends = ["preset:standard"]
[[deny]]
id = "no-patches"
tools = ["patch"]
paths = ["*"]
because = "Edits are easier to review."
instead = "Use edit."
[[deny]]
id = "read-only-docs"
tools = ["write"]
access = "write"
paths = ["**"]
because = "No new files."
"#,
    );
    assert!(!grant.offers("patch"));
    assert!(grant.offers("edit"));
    // Writing is denied, the tool is not.
    assert!(grant.offers("write"));
    let denial = grant.permit_tool("patch").unwrap_err();
    insta::assert_snapshot!(denial, @"denied by rule no-patches (policy.toml:3): Edits are easier to review. Use edit.");
    let permit = grant.permit_tool("edit").unwrap();
    assert_eq!(permit.tool(), "edit");
    assert!(permit.decide(Access::Write, &path("src/lib.rs")).is_allow());
    assert_eq!(permit.grant().digest(), grant.digest());
}

#[test]
fn protected_paths_are_not_written_by_anyone() {
    let grant = operator(
        r#"schema = 1
extends = ["preset:standard"]
[change]
protected = [
    "docs/spec/**",
    "*.snap",
]
"#,
    );
    check(
        &grant,
        "
        edit docs/spec/a.md => deny protected policy.toml:5
        write tests/x.SNAP => deny protected policy.toml:6
        read docs/spec/a.md => allow look-at-every-file preset:standard:4
        edit docs/a.md => allow change-every-file preset:standard:9
        ",
    );
    let Decision::Deny(denial) = grant.decide_change(&path("docs/spec/a.md")) else { panic!("allowed") };
    assert_eq!((denial.rule.id.as_str(), denial.rule.line), ("protected", 5));
}

#[test]
fn jobs_can_be_switched_off() {
    let grant = operator(
        "schema = 1\nextends = [\"preset:standard\"]\n[jobs.lint]\nenabled = false\n[jobs.test]\nmemory = \"8GiB\"\n",
    );
    check(
        &grant,
        "
        check lint => deny jobs.lint policy.toml:4
        check test => allow jobs.test policy.toml:5
        check build => allow jobs.build preset:standard:157
        ",
    );
    assert!(grant.permit_job(JobPurpose::Lint).is_err());
    // A file's own number stands before the one of the preset it extends.
    assert_eq!(grant.permit_job(JobPurpose::Test).unwrap().limits().memory, 8 << 30);
    assert_eq!(grant.permit_job(JobPurpose::Test).unwrap().purpose(), JobPurpose::Test);
    assert_eq!(grant.permit_job(JobPurpose::Test).unwrap().grant_digest(), grant.digest());
    let permit = grant.permit_job(JobPurpose::Test).unwrap();
    let wall_s = permit.limits().wall_s;
    assert_eq!(permit.clone().within(7).limits().wall_s, 7);
    assert_eq!(permit.clone().within(0).limits().wall_s, 1);
    assert_eq!(permit.within(u64::MAX).limits().wall_s, wall_s);
}

#[test]
fn calls_that_make_no_sense_are_said_to() {
    let grant = resolve(&[]).unwrap();
    for (call, want) in [
        ("", "the call is empty; write a tool and a path, like `edit src/lib.rs`"),
        ("edti src/lib.rs", "there is no tool \"edti\"; did you mean `edit`?"),
        (
            "bash ls",
            "there is no tool \"bash\"; the tools are read, list, search, outline, diff, edit, write, patch, move, remove, check",
        ),
        ("edit", "edit needs a path, like `edit src/lib.rs`"),
        (
            "check deploy",
            "there is no check \"deploy\"; write `check setup`, `check build`, `check test` or `check lint`",
        ),
    ] {
        assert_eq!(grant.explain(call).unwrap_err(), want);
    }
    assert_eq!(grant.explain("read a file with spaces.txt").unwrap().rule, "look-at-every-file");
}

#[test]
fn a_lockfile_follows_its_manifest_and_no_tool_writes_it() {
    let lock = path("Cargo.lock");
    let with = |more: &str| {
        operator(&format!(
            "schema = 1\nextends = [\"preset:standard\"]\n[change]\ndependencies = \"change\"\n{more}"
        ))
    };
    let decided = |grant: &Grant, lock: &RelPath| {
        let permit = grant.permit_lockfiles().map_err(|denial| denial.rule.id)?;
        match permit.decide(Access::Write, lock) {
            Decision::Allow(rule) => Ok(rule.id),
            Decision::Deny(denial) => Err(denial.rule.id),
        }
    };
    let open = with("");
    assert_eq!(decided(&open, &lock), Ok("change.dependencies".to_owned()));
    assert!(open.decide_change(&lock).is_allow());
    // No tool has it, also none that was registered, and nothing but a lockfile is written so.
    for tool in ["edit", "write", "patch", "move", "remove", "check", "their-tool"] {
        assert!(!open.allows(tool, Access::Write, &lock), "{tool}");
    }
    for other in ["src/lib.rs", "Cargo.toml", "yarn.lock", "src", ".gloaming/policy.toml"] {
        assert_eq!(decided(&open, &path(other)), Err("change.dependencies".to_owned()), "{other}");
    }
    // Where dependencies are kept, nobody gets the permit.
    let kept = operator("schema = 1\nextends = [\"preset:standard\"]\n");
    assert_eq!(decided(&kept, &lock), Err("change.dependencies".to_owned()));
    assert!(!kept.decide_change(&lock).is_allow());
    // Denials for all tools, protected paths, and a manifest that nobody may change keep it as it is.
    for (more, rule) in [
        ("protected = [\"*.lock\"]\n", "protected"),
        (
            "[[deny]]\nid = \"mine\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"Cargo.lock\"]\nbecause = \"x\"\n",
            "mine",
        ),
        (
            "[[deny]]\nid = \"manifest\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"Cargo.toml\"]\nbecause = \"x\"\n",
            "manifest",
        ),
        (
            "[[allow]]\nid = \"src\"\ntools = [\"edit\", \"write\", \"patch\", \"move\", \"remove\"]\npaths = [\"src/**\"]\n",
            "default-deny",
        ),
    ] {
        let grant = with(more);
        assert_eq!(decided(&grant, &lock), Err(rule.to_owned()), "{more}");
        assert!(!grant.decide_change(&lock).is_allow(), "{more}");
    }
}
