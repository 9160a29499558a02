//! Tools that an operator registered: known by `[[tool]]`, granted by a rule of the file that knows them.

use gloaming_api::RelPath;
use gloaming_policies::{Access, Layer, parse};

use crate::{check, operator, resolve, show};

const PIN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn faults(text: &str) -> String {
    show(&parse("p.toml", text).expect_err("the file has faults"))
}

#[test]
fn a_registered_tool_is_named_after_its_table_makes_it_known() {
    let grant = operator(
        r#"schema = 1
extends = ["preset:standard"]
[[allow]]
id = "count-documents"
tools = ["word_count"]
paths = ["docs/**"]
[[tool]]
name = "word_count"
[[test]]
call = "word_count docs/a.md"
expect = "allow"
[[test]]
call = "word_count src/lib.rs"
expect = "deny"
"#,
    );
    check(
        &grant,
        "word_count docs/a.md => allow count-documents policy.toml:3
         word_count src/lib.rs => deny default-deny policy.toml:3
         word_count docs/.env => deny no-secrets preset:standard:19
         word_count => allow count-documents policy.toml:3",
    );
    assert!(grant.offers("word_count"));
    assert!(!grant.offers("another"));
}

#[test]
fn a_star_grants_a_registered_tool_only_in_a_file_that_knows_it() {
    let allow = "schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"*\"]\npaths = [\"**\"]\n";
    let known = format!("{allow}[[tool]]\nname = \"word_count\"\n");
    assert!(!operator(allow).offers("word_count"));
    assert!(operator(&known).offers("word_count"));
    // The preset of those who wrote no policy, and one that only makes the tool known.
    assert!(!resolve(&[]).unwrap().offers("word_count"));
    let preset = "schema = 1\nextends = [\"preset:standard\"]\n[[tool]]\nname = \"word_count\"\n";
    assert!(!operator(preset).offers("word_count"));
    // A layer that can only narrow does not make it known to the operator's.
    let grant = resolve(&[(Layer::Operator, "o.toml", allow), (Layer::Repository, "r.toml", &known)]);
    assert!(!grant.unwrap().offers("word_count"));
}

#[test]
fn a_star_narrows_and_denies_a_registered_tool_that_it_does_not_know() {
    let operator_file = "schema = 1\n[[tool]]\nname = \"word_count\"\n[[allow]]\nid = \"count\"\n\
                         tools = [\"word_count\"]\npaths = [\"**\"]\n";
    let narrowing = "schema = 1\n[[allow]]\nid = \"source\"\ntools = [\"*\"]\npaths = [\"src/**\"]\n\
                     [[allow]]\nid = \"jobs\"\ntools = [\"check\"]\npaths = [\"**\"]\n\
                     [[deny]]\nid = \"big\"\ntools = [\"*\"]\npaths = [\"src/big/\"]\nbecause = \"Big.\"\n";
    let layers = [(Layer::Operator, "o.toml", operator_file), (Layer::Repository, "r.toml", narrowing)];
    check(
        &resolve(&layers).unwrap(),
        "word_count src/lib.rs => allow source r.toml:2
         word_count docs/a.md => deny default-deny r.toml:2
         word_count src/big/a => deny big r.toml:10",
    );
}

#[test]
fn what_read_may_not_see_and_a_patch_may_not_change_a_registered_tool_may_not_either() {
    let grant = operator(
        r#"schema = 1
[[tool]]
name = "formatter"
[[allow]]
id = "all"
tools = ["*"]
paths = ["**"]
[[deny]]
id = "unread"
tools = ["read"]
paths = ["notes/"]
because = "Private."
[[deny]]
id = "generated"
tools = ["edit", "write", "patch"]
paths = ["gen/"]
because = "A program makes it."
"#,
    );
    let decide = |access: Access, path: &str| {
        let decision = grant.decide("formatter", access, &RelPath::parse(path).unwrap());
        (decision.is_allow(), decision.rule().id.clone())
    };
    assert_eq!(decide(Access::Write, "src/lib.rs"), (true, "all".into()));
    assert_eq!(decide(Access::Read, "notes/a"), (false, "unread".into()));
    assert_eq!(decide(Access::Read, "gen/a"), (true, "all".into()));
    assert_eq!(decide(Access::Write, "gen/a"), (false, "generated".into()));
    assert_eq!(decide(Access::Write, ".github/workflows/ci.yml"), (false, "ci-configuration".into()));
}

#[test]
fn a_tool_that_may_read_everything_widens_no_patch() {
    let grant = operator(
        r#"schema = 1
[[tool]]
name = "word_count"
[[allow]]
id = "count"
tools = ["word_count"]
paths = ["**"]
[[allow]]
id = "edit"
tools = ["edit"]
paths = ["src/**"]
"#,
    );
    assert!(grant.decide_change(&RelPath::parse("src/lib.rs").unwrap()).is_allow());
    assert!(!grant.decide_change(&RelPath::parse("docs/a.md").unwrap()).is_allow());
    assert!(!grant.allows("word_count", Access::Write, &RelPath::parse("docs/a.md").unwrap()));
}

#[test]
fn pins_are_told_with_their_place_and_are_part_of_the_digest() {
    let text = |table: &str| {
        format!("schema = 1\n{table}[[allow]]\nid = \"a\"\ntools = [\"read\"]\npaths = [\"**\"]\n")
    };
    let none = operator(&text(""));
    let free = operator(&text("[[tool]]\nname = \"word_count\"\n"));
    let pinned = operator(&text(&format!("[[tool]]\nname = \"word_count\"\ndigest = \"{PIN}\"\n")));
    assert_eq!(none.declared_tools(), []);
    let [tool] = pinned.declared_tools().try_into().unwrap();
    assert_eq!((tool.name.as_str(), tool.file.as_str(), tool.line), ("word_count", "policy.toml", 2));
    assert_eq!(tool.digest.unwrap().as_str(), PIN);
    assert_ne!(none.digest(), free.digest());
    assert_ne!(free.digest(), pinned.digest());
}

#[test]
fn faults_of_a_table_are_told_at_their_place() {
    let text = r#"schema = 1
[[tool]]
name = "word-count"
[[tool]]
name = "read"
[[tool]]
digest = "sha256:00"
[[tool]]
name = "word_count"
digset = "x"
[[tool]]
name = "word_count"
digest = "sha256:00"
[[allow]]
id = "a"
tools = ["word_cuont", "other"]
paths = ["**"]
[[test]]
call = "other x"
expect = "allow"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:3:8: "word-count" is not a tool's name (lower-case letters, digits and `_`, at most 64, as `gloaming tools add` prints it)
    p.toml:5:8: `read` is Gloaming's own tool (leave the table out; [[tool]] is for tools that an operator registered)
    p.toml:6:1: [[tool]] needs the key `name` (write `name = "word_count"`)
    p.toml:7:10: "sha256:00" is not a digest (write `sha256:` and 64 hexadecimal digits, as `gloaming tools add` prints them)
    p.toml:10:1: [[tool]] has no key `digset` (did you mean `digest`?)
    p.toml:12:8: the tool "word_count" stands on line 8 already (name each tool once)
    p.toml:13:10: "sha256:00" is not a digest (write `sha256:` and 64 hexadecimal digits, as `gloaming tools add` prints them)
    p.toml:16:10: there is no tool "word_cuont" (did you mean `word_count`?)
    p.toml:16:24: there is no tool "other" (the tools are read, list, search, outline, diff, edit, write, patch, move, remove, check; `*` is every tool; a registered one is made known by `[[tool]] name = "other"`)
    p.toml:19:8: there is no tool "other"; the tools are read, list, search, outline, diff, edit, write, patch, move, remove, check, word_count
    "#);
}
