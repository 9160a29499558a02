//! What a policy lets happen that another does not.

use gloaming_policies::{Difference, Layer, Past, difference};

use crate::author::tree;
use crate::learned::journal;
use crate::{resolve, show};

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
