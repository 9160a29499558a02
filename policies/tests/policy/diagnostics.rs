//! Every fault of a file, at its place, with what to write.

use gloaming_policies::parse;

use crate::show;

fn faults(text: &str) -> String {
    show(&parse("p.toml", text).expect_err("the file has faults"))
}

#[test]
fn toml_that_is_none() {
    insta::assert_snapshot!(faults("schema = 1\n[[allow]\nid = \"x\"\nid = \n"), @"p.toml:2:9: unclosed array table, expected `]`");
    insta::assert_snapshot!(faults("schema = 1\nschema = 1\n"), @"p.toml:2:1: duplicate key");
}

#[test]
fn schema() {
    insta::assert_snapshot!(faults(""), @"p.toml:1:1: the key `schema` is missing (begin the file with `schema = 1`)");
    insta::assert_snapshot!(faults("repos = []\nschema = 2\nrubbish = 1\n"), @"p.toml:2:10: this schema is not known (write `schema = 1`; a newer schema needs a newer Gloaming)");
    insta::assert_snapshot!(faults("schema = \"1\"\n"), @"p.toml:1:10: this schema is not known (write `schema = 1`; a newer schema needs a newer Gloaming)");
}

#[test]
fn unknown_keys() {
    let text = r#"schema = 1
repo = ["acme/api"]
frobnicate = true
[[alow]]
id = "x"
[[allow]]
id = "a"
tool = ["read"]
tools = ["read"]
paths = ["**"]
instead = "x"
enforce = "warn"
[jobs.tset]
[jobs.test]
    memroy = "1GiB"
[budget]
"costs" = 1
[change]
"größe" = 2
[[test]]
call = "read x"
expects = "allow"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:2:1: a policy has no key `repo` (did you mean `repos`?)
    p.toml:3:1: a policy has no key `frobnicate` (the keys of a policy are schema, repos, extends, tool, mcp, allow, deny, jobs, budget, change, gate, submit, model, test)
    p.toml:4:3: a policy has no key `alow` (did you mean `allow`?)
    p.toml:8:1: [[allow]] has no key `tool` (did you mean `tools`?)
    p.toml:11:1: [[allow]] has no key `instead` (the keys of [[allow]] are id, tools, paths, because)
    p.toml:12:1: [[allow]] has no key `enforce` (the keys of [[allow]] are id, tools, paths, because)
    p.toml:13:7: [jobs] has no key `tset` (did you mean `test`?)
    p.toml:15:5: [jobs.test] has no key `memroy` (did you mean `memory`?)
    p.toml:17:1: [budget] has no key `costs` (the keys of [budget] are cost_usd, steps, wall, tokens, tool_bytes, day)
    p.toml:19:1: [change] has no key `größe` (the keys of [change] are files, lines, existing_tests, dependencies, protected)
    p.toml:20:1: [[test]] needs the key `expect` (write `expect = "allow"`)
    p.toml:22:1: [[test]] has no key `expects` (did you mean `expect`?)
    "#);
}

#[test]
fn wrong_types() {
    let text = r#"schema = 1
repos = "acme/api"
extends = [1]
allow = "all"
jobs = 3
[[deny]]
id = 7
tools = "edit"
paths = { a = 1 }
because = true
instead = 1979-05-27
[budget]
cost_usd = "5"
steps = 1.5
wall = 40
[change]
files = "many"
protected = "x"
[[test]]
call = 1
expect = true
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:2:9: `repos` is a string (write an array of strings)
    p.toml:3:12: `extends` is an integer (write a string)
    p.toml:4:9: `allow` is a string (write `[[allow]]`, once for each)
    p.toml:5:8: `jobs` is an integer (write a table)
    p.toml:7:6: `id` is an integer (write a string)
    p.toml:8:9: `tools` is a string (write an array of strings)
    p.toml:9:9: `paths` is a table (write an array of strings)
    p.toml:10:11: `because` is a boolean (write a string)
    p.toml:11:11: `instead` is a date (write a string)
    p.toml:13:12: `cost_usd` is a string (write 0 or more dollars, like `cost_usd = 5.0`)
    p.toml:14:9: `steps` is a float (write a whole number from 1 to 4294967295, like `steps = 100`)
    p.toml:15:8: `wall` is an integer (write a duration from 1s to 168h, like `wall = "40m"`)
    p.toml:17:9: `files` is a string (write a whole number from 1 to 4294967295, like `files = 100`)
    p.toml:18:13: `protected` is a string (write an array of strings)
    p.toml:20:8: `call` is an integer (write a string)
    p.toml:21:10: `expect` is a boolean (write a string)
    "#);
}

#[test]
fn rules() {
    let text = r#"schema = 1
[[allow]]
id = "one"
tools = ["read"]
paths = ["**"]
[[deny]]
id = "one"
tools = ["raed", "bash", "*"]
paths = ["!src", "../x", "a[b", "/workspace/src", "ok"]
because = "x"
[[deny]]
[[deny]]
id = "Größe"
tools = []
paths = []
because = " "
access = "read"
[[allow]]
id = "default-deny"
tools = ["read"]
paths = ["**", "", "é[", """x"""]
because = "\u001b[2J"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:7:6: the id "one" is already used on line 3 (give every rule of a file its own id)
    p.toml:8:10: there is no tool "raed" (did you mean `read`?)
    p.toml:8:18: there is no tool "bash" (the tools are read, list, search, outline, diff, edit, write, patch, move, remove, check; `*` is every tool; a registered one is made known by `[[tool]] name = "bash"`)
    p.toml:9:10: "!src": a pattern cannot be negated, since the order of patterns never matters (write a rule of the other kind for "src", or `\!` for a name that begins with `!`)
    p.toml:9:18: "../x" has a `..` component, and nothing outside the workspace is ever granted (write it relative to the repository's root)
    p.toml:9:26: "a[b" has a `[` that is not closed within one name (close it with `]`, or write `\[` for the character itself)
    p.toml:9:33: "/workspace/src" is an absolute path; a leading `/` is the repository's root (write "/src")
    p.toml:11:1: [[deny]] needs the key `id` (write `id = "a-short-name"`)
    p.toml:11:1: [[deny]] needs the key `because` (write `because = "why, for those it stops"`)
    p.toml:11:1: [[deny]] needs the key `tools` (write `tools = ["read"]` or `tools = ["*"]`)
    p.toml:11:1: [[deny]] needs the key `paths` (write `paths = ["src/**"]`)
    p.toml:13:6: "Größe" is not a rule id (letters, digits, `-` and `_`, at most 64, like "no-secrets")
    p.toml:14:9: `tools` is empty, so the rule could never decide anything (write `tools = ["*"]` for every tool)
    p.toml:15:9: `paths` is empty, so the rule could never decide anything (write `paths = ["**"]` for every file)
    p.toml:16:11: `because` is empty (say it in one sentence)
    p.toml:17:10: "read" is not an access a rule can be limited to (write `access = "write"`, or leave it out to deny reading too)
    p.toml:19:6: the id "default-deny" is Gloaming's own (give the rule another name)
    p.toml:21:16: an empty pattern matches nothing (write `**` for every file)
    p.toml:21:20: "é[" has a `[` that is not closed within one name (close it with `]`, or write `\[` for the character itself)
    p.toml:22:11: `because` holds a control character (leave it out)
    "#);
}

#[test]
fn repositories_and_presets() {
    let text = r#"schema = 1
repos = ["acme", "acme/*", "a/b/c", "*"]
extends = ["preset:lax", "./other.toml", "preset:rust-lib", "preset:standard"]
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:2:10: "acme" does not name repositories (write `owner/name`, `owner/*` or `*`)
    p.toml:2:28: "a/b/c" does not name repositories (write `owner/name`, `owner/*` or `*`)
    p.toml:3:12: there is no preset "preset:lax" (write `extends = ["preset:standard"]`, or `"file:base.toml"` for a file beside this one; the presets are standard, read-only, rust-library, python-service, node-web, docs-only)
    p.toml:3:26: "./other.toml" cannot be extended: it is neither a preset nor a file (write `extends = ["preset:standard"]`, or `"file:base.toml"` for a file beside this one; the presets are standard, read-only, rust-library, python-service, node-web, docs-only)
    p.toml:3:42: there is no preset "preset:rust-lib" (did you mean `rust-library`?)
    "#);
}

#[test]
fn numbers_and_jobs() {
    let text = r#"schema = 1
[jobs.test]
network = ["registry"]
memory = "4G"
timeout = "20 min"
cpus = 0
processes = 0
enabled = "yes"
[jobs.build]
memory = "1KiB"
timeout = "0s"
cpus = nan
network = []
[budget]
cost_usd = -1.0
steps = -5
wall = "8d"
tokens = 0
tool_bytes = "1B"
[budget.day]
cost_usd = nan
tokens = "many"
steps = 3
[change]
files = 99999999999
lines = 0x10
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:4:10: "4G" is not a size `memory` can have (write a size of at least 16MiB, like `memory = "4GiB"`)
    p.toml:5:11: "20 min" is not a duration `timeout` can have (write a duration from 1s to 168h, like `timeout = "20m"`)
    p.toml:6:8: `cpus` is out of range (write a number of CPUs above 0, like `cpus = 2`)
    p.toml:7:13: `processes = 0` is out of range (write a whole number from 1 to 4294967295, like `processes = 100`)
    p.toml:8:11: `enabled` is a string (write `true` or `false`)
    p.toml:10:10: "1KiB" is not a size `memory` can have (write a size of at least 16MiB, like `memory = "4GiB"`)
    p.toml:11:11: "0s" is not a duration `timeout` can have (write a duration from 1s to 168h, like `timeout = "20m"`)
    p.toml:12:8: `cpus` is out of range (write a number of CPUs above 0, like `cpus = 2`)
    p.toml:15:12: `cost_usd` is out of range (write 0 or more dollars, like `cost_usd = 5.0`)
    p.toml:16:9: `steps = -5` is out of range (write a whole number from 1 to 4294967295, like `steps = 100`)
    p.toml:17:8: "8d" is not a duration `wall` can have (write a duration from 1s to 168h, like `wall = "40m"`)
    p.toml:18:10: `tokens = 0` is out of range (write a whole number from 1 to 1000000000000000, like `tokens = 10_000_000`)
    p.toml:19:14: "1B" is not a size `tool_bytes` can have (write a size of at least 1KiB, like `tool_bytes = "16MiB"`)
    p.toml:21:12: `cost_usd` is out of range (write 0 or more dollars, like `cost_usd = 5.0`)
    p.toml:22:10: `tokens` is a string (write a whole number from 1 to 1000000000000000, like `tokens = 10_000_000`)
    p.toml:23:1: [budget.day] has no key `steps` (the keys of [budget.day] are cost_usd, tokens)
    p.toml:25:9: `files = 99999999999` is out of range (write a whole number from 1 to 4294967295, like `files = 100`)
    "#);
}

#[test]
fn inline_tests() {
    let text = r#"schema = 1
[[test]]
call = "edti src/lib.rs"
expect = "allow"
[[test]]
call = "edit"
expect = "ask"
[[test]]
call = "read ../../etc/passwd"
expect = "deny"
"#;
    insta::assert_snapshot!(faults(text), @r#"
    p.toml:3:8: there is no tool "edti"; did you mean `edit`?
    p.toml:6:8: edit needs a path, like `edit src/lib.rs`
    p.toml:7:10: "ask" is not a decision (write `expect = "allow"` or `expect = "deny"`)
    "#);
}

#[test]
fn columns_count_characters_on_every_kind_of_line_end() {
    insta::assert_snapshot!(faults("schema = 1\r\n[budget]\r\n\"é\" = 1\r\nwall = 1\r\n"), @r#"
    p.toml:3:1: [budget] has no key `é` (the keys of [budget] are cost_usd, steps, wall, tokens, tool_bytes, day)
    p.toml:4:8: `wall` is an integer (write a duration from 1s to 168h, like `wall = "40m"`)
    "#);
    insta::assert_snapshot!(faults("schema = 1\nrepos = [\"é/x\", \"a\"]\n"), @r#"
    p.toml:2:10: "é/x" does not name repositories (write `owner/name`, `owner/*` or `*`)
    p.toml:2:17: "a" does not name repositories (write `owner/name`, `owner/*` or `*`)
    "#);
}

#[test]
fn a_huge_file_is_not_parsed() {
    let text = format!("schema = 1\n# {}\n", "x".repeat(2 << 20));
    insta::assert_snapshot!(faults(&text), @"p.toml:1:1: the file is larger than 1 MiB (a policy is some hundred lines)");
    let deep = format!("schema = 1\nrepos = {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(parse("p.toml", &deep).is_err());
}
