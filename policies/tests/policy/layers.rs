//! Files over one another.

use gloaming_api::RelPath;
use gloaming_api::job::JobPurpose;
use gloaming_policies::{Access, ChangeCaps, Grant, Layer};

use crate::{check, file, operator, resolve, show};

const OPERATOR: &str = r#"schema = 1
extends = ["preset:standard"]
[[deny]]
id = "no-migrations"
tools = ["edit", "write", "patch"]
paths = ["db/migrations/**"]
because = "Migrations are reviewed by the database team."
[budget]
cost_usd = 2
steps = 60
[jobs.test]
timeout = "10m"
"#;

const REPOSITORY: &str = r#"schema = 1
[[allow]]
id = "edit-source"
tools = ["edit", "write", "patch"]
paths = ["src/**", "db/**", "Cargo.lock", ".github/**"]
[budget]
cost_usd = 10.5
wall = "15m"
tool_bytes = "2MiB"
day = { cost_usd = 80, tokens = 5_000_000 }
[change]
files = 5
protected = ["src/legal/**"]
[jobs.test]
memory = "1GiB"
timeout = "1h"
"#;

const TASK: &str = r#"schema = 1
[[allow]]
id = "only-the-parser"
tools = ["edit"]
paths = ["src/parser/**"]
[budget]
steps = 30
"#;

fn stack() -> Grant {
    resolve(&[
        (Layer::Task, "task", TASK),
        (Layer::Operator, "org.toml", OPERATOR),
        (Layer::Repository, ".gloaming/policy.toml", REPOSITORY),
    ])
    .unwrap()
}

#[test]
fn each_layer_narrows_those_beneath() {
    check(
        &stack(),
        "
        read docs/a.md => allow look-at-every-file preset:standard:4
        edit src/parser/a.rs => allow only-the-parser task:2
        edit src/b.rs => deny default-deny task:2
        write src/b.rs => allow edit-source .gloaming/policy.toml:2
        write docs/a.md => deny default-deny .gloaming/policy.toml:2
        write db/migrations/1.sql => deny no-migrations org.toml:3
        write db/seed.sql => allow edit-source .gloaming/policy.toml:2
        write Cargo.lock => deny no-lockfile-changes preset:standard:94
        write .github/workflows/ci.yml => deny ci-configuration builtin:floor:41
        write src/legal/x => deny protected .gloaming/policy.toml:13
        read .env => deny no-secrets preset:standard:19
        ",
    );
}

#[test]
fn numbers_are_the_least_of_the_layers_and_reductions_are_told() {
    let grant = stack();
    let budget = grant.budget();
    assert_eq!((budget.cost_usd, budget.steps, budget.wall.as_secs()), (2.0, 30, 900));
    assert_eq!((budget.tokens, budget.tool_bytes), (10_000_000, 2 << 20));
    assert_eq!((budget.day.cost_usd, budget.day.tokens), (Some(50.0), Some(5_000_000)));
    assert_eq!((grant.change().files, grant.change().lines), (5, 400));
    let limits = grant.permit_job(JobPurpose::Test).unwrap().limits();
    assert_eq!((limits.memory, limits.wall_s, limits.processes), (1 << 30, 600, 512));
    insta::assert_snapshot!(grant.notes().join("\n"), @r"
    budget.cost_usd: .gloaming/policy.toml:7 (repository) asks for 10.5 and gets 2 (org.toml:9)
    budget.steps: 60 (org.toml:10) is reduced to 30 by task:7 (task)
    budget.wall: 40m (preset:standard:178) is reduced to 15m by .gloaming/policy.toml:8 (repository)
    budget.tool_bytes: 16MiB (preset:standard:180) is reduced to 2MiB by .gloaming/policy.toml:9 (repository)
    budget.day.cost_usd: .gloaming/policy.toml:10 (repository) asks for 80 and gets 50 (preset:standard:183)
    budget.day.tokens: 100000000 (preset:standard:184) is reduced to 5000000 by .gloaming/policy.toml:10 (repository)
    change.files: 20 (preset:standard:187) is reduced to 5 by .gloaming/policy.toml:12 (repository)
    jobs.test.memory: 4GiB (preset:standard:164) is reduced to 1GiB by .gloaming/policy.toml:15 (repository)
    jobs.test.timeout: .gloaming/policy.toml:16 (repository) asks for 1h and gets 10m (org.toml:12)
    ");
}

#[test]
fn how_sure_the_gate_must_be_only_rises_from_layer_to_layer() {
    let gate = |ratio: &str| format!("schema = 1\n[gate]\ncost_ratio = {ratio}\n");
    let ratio = |layers: &[(Layer, &str, &str)]| {
        let grant = resolve(layers).expect("it resolves");
        (grant.cost_ratio(), grant.notes().join("\n"))
    };
    let (high, low) = (gate("4"), gate("0.5"));
    // An operator may ask for less than is built in; a repository may not, whether the operator speaks of it or not.
    assert_eq!(ratio(&[(Layer::Operator, "o", &low)]), (0.5, String::new()));
    assert_eq!(
        ratio(&[(Layer::Operator, "o", "schema = 1\n"), (Layer::Repository, "r", &low)]),
        (1.5, "gate.cost_ratio: r:3 (repository) asks for 0.5 and gets 1.5 (built in)".to_owned())
    );
    assert_eq!(
        ratio(&[(Layer::Operator, "o", &low), (Layer::Repository, "r", &high), (Layer::Task, "t", &low)]),
        (
            4.0,
            "gate.cost_ratio: 0.5 (o:3) is raised to 4 by r:3 (repository)\n\
             gate.cost_ratio: t:3 (task) asks for 0.5 and gets 4 (r:3)"
                .to_owned()
        )
    );
    for bad in ["-1", "inf", "2000000", "\"high\""] {
        assert!(gloaming_policies::parse("p.toml", &gate(bad)).is_err(), "{bad}");
    }
    // A grant from before there was a gate's section keeps its digest; one that sets it has another.
    let plain = resolve(&[(Layer::Operator, "o", "schema = 1\n")]).unwrap();
    let set = resolve(&[(Layer::Operator, "o", &high)]).unwrap();
    assert!(plain.to_json().get("gate").is_none() && plain.digest() != set.digest());
    assert_eq!(set.to_json()["gate"]["cost_ratio"], 4.0);
}

#[test]
fn existing_tests_may_change_only_where_an_operator_says_so_and_nobody_says_otherwise() {
    may_change_where_an_operator_says_so_and_nobody_otherwise("existing_tests", |caps| caps.existing_tests);
}

#[test]
fn dependencies_may_change_only_where_an_operator_says_so_and_nobody_says_otherwise() {
    may_change_where_an_operator_says_so_and_nobody_otherwise("dependencies", |caps| caps.dependencies);
}

fn may_change_where_an_operator_says_so_and_nobody_otherwise(key: &str, get: fn(&ChangeCaps) -> bool) {
    let says = |what: &str| format!("schema = 1\n[change]\n{key} = \"{what}\"\n");
    let (keep, change) = (says("keep"), says("change"));
    let may = |layers: &[(Layer, &str, &str)]| {
        let grant = resolve(layers).expect("it resolves");
        (get(grant.change()), grant.notes().join("\n"))
    };
    assert_eq!(may(&[(Layer::Operator, "o", "schema = 1\n")]), (false, String::new()));
    assert_eq!(may(&[(Layer::Operator, "o", &change)]), (true, String::new()));
    let told = |place: &str| (false, format!("change.{key}: {place} asks for change and gets keep"));
    assert_eq!(
        may(&[(Layer::Operator, "o", "schema = 1\n"), (Layer::Repository, "r", &change)]),
        told("r:3 (repository)")
    );
    assert_eq!(may(&[(Layer::Operator, "o", &change), (Layer::Task, "t", &keep)]), told("o:3 (operator)"));
    assert!(gloaming_policies::parse("p.toml", &says("weaken")).is_err());
    let plain = resolve(&[(Layer::Operator, "o", "schema = 1\n")]).unwrap();
    let set = resolve(&[(Layer::Operator, "o", &change)]).unwrap();
    assert!(plain.to_json()["change"].get(key).is_none() && plain.digest() != set.digest());
}

#[test]
fn a_file_that_allows_nothing_grants_nothing() {
    let grant = operator("schema = 1\n");
    for tool in ["read", "list", "search", "edit", "write", "patch", "check"] {
        assert!(!grant.offers(tool), "{tool}");
    }
    // Numbers it does not speak of are those of the standard preset.
    assert_eq!(grant.budget().steps, 100);
}

#[test]
fn a_layer_cannot_grant_what_the_operator_does_not() {
    let reads = "schema = 1\n[[allow]]\nid = \"r\"\ntools = [\"read\"]\npaths = [\"**\"]\n";
    let all = "schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n";
    let grant =
        resolve(&[(Layer::Operator, "o", reads), (Layer::Repository, "r", all), (Layer::Task, "t", all)])
            .unwrap();
    let path = RelPath::parse("src/lib.rs").unwrap();
    assert!(grant.allows("read", Access::Read, &path));
    assert!(!grant.allows("edit", Access::Write, &path));
    assert!(!grant.offers("edit"));
}

#[test]
fn the_floor_cannot_be_lifted() {
    let all =
        "schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\", \".git\", \".git/**\"]\n";
    for layer in [Layer::Floor, Layer::Operator, Layer::Repository, Layer::Task] {
        let grant = resolve(&[(Layer::Operator, "o", all), (layer, "x", all)]).unwrap();
        for denied in [".git", ".git/config", "a/.git/hooks/pre-commit", ".GIT/x", "GIT~1/config"] {
            let path = RelPath::parse(denied).unwrap();
            for access in [Access::Read, Access::List, Access::Write] {
                assert!(!grant.allows("edit", access, &path), "{denied}");
            }
        }
    }
}

#[test]
fn an_operators_file_counts_where_its_repos_say() {
    let strict = "schema = 1\nrepos = [\"acme/*\"]\nextends = [\"preset:standard\"]\n[budget]\nsteps = 7\n";
    let other =
        "schema = 1\nrepos = [\"umbrella/*\"]\nextends = [\"preset:standard\"]\n[budget]\nsteps = 3\n";
    let grant = resolve(&[(Layer::Operator, "a.toml", strict), (Layer::Operator, "b.toml", other)]).unwrap();
    assert_eq!(grant.budget().steps, 7);
    let faults = resolve(&[(Layer::Operator, "b.toml", other)]).unwrap_err();
    insta::assert_snapshot!(show(&faults), @"b.toml:2:9: this policy is for umbrella/*, and the repository is acme/api (name the repository with `--as owner/name`, or add it to `repos`)");
    // A repository's own file narrows wherever it is found.
    let grant = resolve(&[(Layer::Repository, "b.toml", other)]).unwrap();
    assert_eq!(grant.budget().steps, 3);
    assert_eq!(file("b.toml", other).example_repo().as_str(), "umbrella/example");
}

#[test]
fn several_files_of_the_operator_narrow_each_other() {
    let read =
        "schema = 1\n[[allow]]\nid = \"read-docs\"\ntools = [\"read\"]\npaths = [\"docs/**\", \"src/**\"]\n";
    let edit = "schema = 1\n[[allow]]\nid = \"edit\"\ntools = [\"edit\"]\npaths = [\"docs/**\"]\n";
    let src = "schema = 1\n[[allow]]\nid = \"src\"\ntools = [\"read\"]\npaths = [\"src/**\"]\n";
    let grant =
        resolve(&[(Layer::Operator, "1", read), (Layer::Operator, "2", edit), (Layer::Operator, "3", src)])
            .unwrap();
    check(
        &grant,
        "
        read src/a => allow src 3:2
        read docs/a => deny default-deny 3:2
        edit docs/a => allow edit 2:2
        edit src/a => deny default-deny 2:2
        ",
    );
}

#[test]
fn a_failing_test_is_a_fault_at_its_place() {
    let text = r#"schema = 1
extends = ["preset:standard"]
[[test]]
call = "edit src/lib.rs"
expect = "deny"
[[test]]
call = "read .env"
expect = "allow"
[[test]]
call = "check test"
expect = "allow"
"#;
    let faults = resolve(&[(Layer::Operator, "p.toml", text)]).unwrap_err();
    insta::assert_snapshot!(show(&faults), @r#"
    p.toml:4:8: test failed: `edit src/lib.rs` is expected to be denied, and is allowed by rule change-every-file (preset:standard:9) (change that rule, or write `expect = "allow"`)
    p.toml:7:8: test failed: `read .env` is expected to be allowed, and is denied by rule no-secrets (preset:standard:19) (change that rule, or write `expect = "deny"`)
    "#);
}

#[test]
fn a_test_is_not_failed_by_a_layer_above() {
    let tested = "schema = 1\nextends = [\"preset:standard\"]\n[[test]]\ncall = \"edit docs/a.md\"\nexpect = \"allow\"\n";
    let grant = resolve(&[(Layer::Operator, "o", tested), (Layer::Task, "t", TASK)]).unwrap();
    assert!(!grant.allows("edit", Access::Write, &RelPath::parse("docs/a.md").unwrap()));
    let narrow = resolve(&[(Layer::Repository, "r", tested), (Layer::Operator, "o", TASK)]);
    assert!(narrow.is_err(), "a layer beneath binds it");
}

#[test]
fn the_digest_is_of_the_content() {
    let one = "schema = 1\n[[allow]]\nid = \"a\"\ntools = [\"read\", \"list\"]\npaths = [\"x\", \"y\"]\n\
               [[allow]]\nid = \"b\"\ntools = [\"edit\"]\npaths = [\"z\"]\n";
    let same = "# a comment\nschema = 1\n\n[[allow]]\npaths = [\"z\"]\ntools = [\"edit\"]\nid = \"b\"\n\
                [[allow]]\nid = \"a\"\ntools = [\"list\", \"read\"]\npaths = [\"y\", \"x\"]\n";
    let other = one.replace("\"z\"", "\"zz\"");
    let digest = |text: &str, name: &str| resolve(&[(Layer::Operator, name, text)]).unwrap().digest().clone();
    assert_eq!(digest(one, "a.toml"), digest(same, "b.toml"));
    assert_ne!(digest(one, "a.toml"), digest(&other, "a.toml"));
    let layered =
        |layer| resolve(&[(Layer::Operator, "o", one), (layer, "x", one)]).unwrap().digest().clone();
    assert_ne!(layered(Layer::Repository), layered(Layer::Task));
}

#[test]
fn what_is_compiled_in_holds_its_own_tests() {
    assert_eq!(gloaming_policies::preset("lax"), None);
    for name in gloaming_policies::PRESETS {
        let text = gloaming_policies::preset(name).expect("every name has a text");
        assert!(text.starts_with(&format!("# preset:{name}: ")), "{name} says what it is");
        resolve(&[(Layer::Operator, name, text)]).unwrap_or_else(|faults| panic!("{}", show(&faults)));
    }
    // The floor's tests all expect a denial, so any base will do.
    let all = "[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n";
    // That these tools never write is only the floor's to say.
    let looks = "\"read\", \"list\", \"search\", \"outline\", \"diff\", \"check\"";
    let floor = include_str!("../../presets/floor.toml")
        .replace("schema = 1\n", &format!("schema = 1\n{all}"))
        .replace(&format!("tools = [{looks}]"), "tools = [\"move\"]");
    resolve(&[(Layer::Operator, "floor.toml", &floor)]).unwrap();
}

#[test]
fn a_preset_brings_those_it_extends_and_a_file_narrows_them() {
    let text = "schema = 1\nextends = [\"preset:rust-library\"]\n[budget]\nsteps = 9\n\
                [[deny]]\nid = \"no-examples\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"examples/\"]\n\
                because = \"They are made by a program.\"\n";
    let grant = resolve(&[(Layer::Operator, "p.toml", text)]).unwrap();
    check(
        &grant,
        "
        edit src/lib.rs => allow change-source preset:rust-library:8
        edit examples/one.rs => deny no-examples p.toml:5
        edit Cargo.toml => deny no-cargo-configuration preset:rust-library:13
        edit LICENSE => deny default-deny preset:rust-library:8
        edit docs/CLAUDE.md => deny no-instruction-changes preset:standard:114
        read LICENSE => allow look-at-every-file preset:standard:4
        read src/.env => deny no-secrets preset:standard:19
    ",
    );
    // Its own number, and those of the preset that its preset extends.
    assert_eq!((grant.budget().steps, grant.change().lines), (9, 400));

    // A preset's number stands before that of the one it extends; of several presets the least counts.
    let lines = |extends: &str| {
        let text = format!("schema = 1\nextends = [{extends}]\n");
        resolve(&[(Layer::Operator, "p.toml", text.as_str())]).unwrap().change().lines
    };
    assert_eq!(lines("\"preset:docs-only\""), 1000);
    assert_eq!(lines("\"preset:docs-only\", \"preset:standard\""), 400);
    assert_eq!(lines("\"preset:standard\", \"preset:docs-only\""), 400);
}

#[test]
fn several_presets_narrow_each_other() {
    let text = "schema = 1\nextends = [\"preset:rust-library\", \"preset:docs-only\"]\n";
    check(
        &resolve(&[(Layer::Operator, "p.toml", text)]).unwrap(),
        "
        edit docs/a.md => allow change-source preset:rust-library:8
        edit src/lib.rs => deny default-deny preset:docs-only:5
        edit docs/build.sh => deny no-programs preset:docs-only:10
    ",
    );
    let only = "schema = 1\nextends = [\"preset:read-only\"]\n";
    let grant = resolve(&[(Layer::Operator, "p.toml", only)]).unwrap();
    assert!(
        !grant.offers("edit") && !grant.offers("remove") && grant.offers("read") && grant.offers("check")
    );
}
