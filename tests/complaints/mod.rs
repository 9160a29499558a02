//! The complaints corpus: what people reported of permission rules that did nothing, asked of the whole program.
//!
//! Beside the escape corpus, which calls the engine in this process: here a case goes through the program as it is
//! used. Its tools are called over `gloaming mcp`, its jobs are `gloaming tools call check` in a container, and each
//! decision is compared with `gloaming policy explain`. README.md says how to write one.

mod case;
mod run;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use case::Case;

/// What was reported, each of which a case must answer for.
const COMPLAINTS: &[&str] = &[
    "anthropics/claude-code#22907",
    "anthropics/claude-code#26315",
    "anthropics/claude-code#27040",
    "anthropics/claude-code#33742",
    "anthropics/claude-code#55866",
    "anthropics/claude-code#64770",
    "anthropics/claude-code#80893",
    "anthropics/claude-code#92684",
    "openai/codex#22179",
    "openai/codex#23911",
    "google-gemini/gemini-cli#18186",
    "google-gemini/gemini-cli#25182",
    "github/copilot-cli#2722",
    "anomalyco/opencode#28689",
    "anomalyco/opencode#44521",
    "anthropic-experimental/sandbox-runtime#432",
    "nearai/ironclaw#2484",
    "nearai/ironclaw#7908",
    "aaif-goose/goose#11017",
];

/// A test for each case, by the name of its file.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        const CASES: &[&str] = &[$(stringify!($name)),+];
        $(
            #[test]
            fn $name() {
                holds(stringify!($name));
            }
        )+
    };
}

cases![
    absolute_and_relative,
    brackets_and_braces,
    case_of_letters,
    composed_and_decomposed,
    deny_inside_allow,
    dots_and_slashes,
    edit_by_write_or_patch,
    edit_under_another_name,
    env_through_a_job,
    folder_denied_to_read,
    folder_renamed_onto_a_denied_name,
    hard_links,
    hard_links_through_a_job,
    made_after_the_policy_was_loaded,
    not_allowed_through_a_job,
    read_under_another_name,
    repositorys_own_policy,
    repositorys_own_policy_in_a_job,
    rules_that_cannot_match,
    symbolic_links,
    tool_denied_as_a_whole,
    wildcards_in_the_middle,
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/complaints")
}

#[track_caller]
fn holds(name: &str) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).expect("the case is there");
    let faults = faults(&text);
    assert!(faults.is_empty(), "tests/complaints/{name}.toml:\n    {}", faults.join("\n    "));
}

/// What does not hold of a case, a sentence for each.
fn faults(text: &str) -> Vec<String> {
    match Case::parse(text) {
        Ok(case) => run::run(&case),
        Err(fault) => vec![fault],
    }
}

#[test]
fn no_case_and_no_complaint_is_forgotten() {
    let mut files = BTreeSet::new();
    let mut reported = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).expect("the cases are there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
            let text = std::fs::read_to_string(&path).expect("readable");
            let case = Case::parse(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
            reported.extend(case.complaints.into_keys());
        }
    }
    assert_eq!(files, CASES.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(reported, COMPLAINTS.iter().map(|name| (*name).to_owned()).collect());
}

/// A corpus whose cases cannot fail shows nothing: each of these is wrong, and must be told so.
#[test]
fn a_complaint_that_is_right_is_told() {
    let head = r#"
about = "It is wrong."
policy = '''
schema = 1
[[allow]]
id = "all"
tools = ["*"]
paths = ["**"]
[[deny]]
id = "no-env"
tools = ["*"]
paths = [".env"]
because = "It is secret."
'''
tree = [
    { file = ".env", text = "KEY=CANARY\n" },
    { file = "a.txt", text = "one\n" },
    { file = "leak.txt", text = "KEY=CANARY\n" },
]
[complaints]
"a/b#1" = "Nothing."
[[step]]
tool = "read"
args = { path = "a.txt" }
has = ["one"]
"#;
    for (step, told) in [
        ("tool = \"read\"\nargs = { path = \".env\" }\ndenied = \"other\"", "denied by no-env"),
        ("tool = \"read\"\nargs = { path = \"a.txt\" }\ndenied = \"no-env\"", "was answered ok"),
        ("tool = \"read\"\nargs = { path = \".env\" }\nhas = [\"KEY\"]", "expected ok"),
        ("tool = \"read\"\nargs = { path = \"a.txt\" }\nhas = [\"two\"]", "lacks \"two\""),
        ("tool = \"read\"\nargs = { path = \"leak.txt\" }\nhas = [\"KEY\"]", "shows what nobody may see"),
        (
            "tool = \"write\"\nargs = { path = \"new.txt\", content = \"x\" }\nafter = { \"a.txt\" = \"one\\n\" }",
            "new.txt was nothing",
        ),
        (
            "tool = \"read\"\nargs = { path = \"a.txt\" }\nhas = [\"one\"]\nexplain = [\"read .env\"]",
            "policy explain says",
        ),
        ("tool = \"read\"\nargs = { path = \"a.txt\" }", "could not fail"),
        ("tool = \"edit\"\nargs = { path = \".env\" }\ndenied = \"no-env\"", "no call of edit that works"),
    ] {
        let faults = faults(&format!("{head}[[step]]\n{step}\n"));
        assert!(faults.iter().any(|fault| fault.contains(told)), "{step}: {faults:?}");
    }
}
