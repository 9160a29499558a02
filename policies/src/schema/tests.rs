//! The schema says what the parser says, as far as a schema can.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex};

use regex::Regex;
use serde_json::{Map, Value, json};

use super::*;
use crate::parse;

/// Whether a text matches a schema's pattern; compiling each once is most of the test's speed.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().expect("no test fails while it compiles a pattern");
    compiled
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).expect("a pattern that compiles"))
        .is_match(text)
}

/// Says why a value does not fit a schema; a keyword that is not known here fails the test, so none is believed to bind
/// that was not looked at.
fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{value} {why}"));
    let fits = |schema: &Value| check(schema, value).is_ok();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$schema" | "title" | "description" | "examples" | "properties" | "patternProperties" => {}
            "type" => {
                let is = match wanted.as_str().expect("a type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => panic!("the type {other}"),
                };
                if !is {
                    return refused(&format!("is no {wanted}"));
                }
            }
            "enum" if !list(wanted).contains(value) => return refused("is none of the values"),
            "not" if fits(wanted) => return refused("is what it must not be"),
            "oneOf" if list(wanted).iter().filter(|one| fits(one)).count() != 1 => {
                let whys: Vec<String> =
                    list(wanted).iter().filter_map(|one| check(one, value).err()).collect();
                return refused(&format!("is not one of: {whys:?}"));
            }
            "anyOf" if !list(wanted).iter().any(fits) => return refused("is nothing of what it may be"),
            "enum" | "not" | "oneOf" | "anyOf" => {}
            "pattern" => {
                let pattern = wanted.as_str().expect("a pattern");
                if value.as_str().is_some_and(|text| !matches(pattern, text)) {
                    return refused(&format!("does not match {wanted}"));
                }
            }
            "minLength" | "maxLength" => {
                let length = value.as_str().map(|text| text.chars().count() as u64);
                let wanted = wanted.as_u64().expect("a length");
                if length.is_some_and(|n| if keyword == "minLength" { n < wanted } else { n > wanted }) {
                    return refused("is too short or too long");
                }
            }
            "minItems" => {
                if value
                    .as_array()
                    .is_some_and(|items| (items.len() as u64) < wanted.as_u64().expect("a count"))
                {
                    return refused("has too few items");
                }
            }
            "minimum" | "maximum" => {
                let wanted = wanted.as_f64().expect("a number");
                if value.as_f64().is_some_and(|n| if keyword == "minimum" { n < wanted } else { n > wanted })
                {
                    return refused("is out of range");
                }
            }
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| check(wanted, item))?,
            "required" => {
                if let Some(object) = value.as_object() {
                    for key in list(wanted) {
                        if !object.contains_key(key.as_str().expect("a key")) {
                            return refused(&format!("has no {key}"));
                        }
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(wanted, &json!(false));
                let empty = Map::new();
                let named = schema["properties"].as_object().unwrap_or(&empty);
                let by_pattern = schema.get("patternProperties").and_then(Value::as_object).unwrap_or(&empty);
                for (key, value) in value.as_object().into_iter().flatten() {
                    let own = named.get(key).into_iter();
                    let matching = by_pattern.iter().filter(|(pattern, _)| matches(pattern, key));
                    let schemas: Vec<&Value> = own.chain(matching.map(|(_, schema)| schema)).collect();
                    if schemas.is_empty() {
                        return refused(&format!("has a key {key}"));
                    }
                    schemas.into_iter().try_for_each(|schema| check(schema, value))?;
                }
            }
            other => panic!("the schema uses {other}, which this test does not know"),
        }
    }
    Ok(())
}

fn value_of(text: &str) -> Value {
    toml::from_str(text).expect("it is TOML")
}

fn parses(text: &str) -> bool {
    parse("p.toml", text).is_ok()
}

/// Every table of a schema, by its keys.
fn tables<'s>(schema: &'s Value, at: &str, found: &mut BTreeMap<String, &'s Value>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.insert(at.to_owned(), schema);
        for (key, property) in properties {
            tables(property, format!("{at}.{key}").trim_start_matches('.'), found);
        }
    }
    for (at, one) in schema["oneOf"].as_array().into_iter().flatten().enumerate().map(|(n, one)| {
        let kind = if n == 0 { "files" } else { "jobs" };
        (format!("{at}.{kind}"), one)
    }) {
        tables(one, &at, found);
    }
    if let Some(items) = schema.get("items") {
        tables(items, at, found);
    }
}

#[test]
fn its_keys_are_those_the_parser_knows() {
    let schema = schema();
    let mut found = BTreeMap::new();
    tables(&schema, "", &mut found);
    let found: Vec<(String, Vec<String>)> = found
        .into_iter()
        .map(|(at, table)| {
            assert_eq!(table["additionalProperties"], json!(false), "{at}");
            for (key, property) in table["properties"].as_object().unwrap() {
                let said = property["description"].as_str().unwrap_or_default();
                assert!(said.len() > 10 && said.ends_with('.'), "{at}.{key} says nothing: {said:?}");
            }
            let mut keys: Vec<String> = table["properties"].as_object().unwrap().keys().cloned().collect();
            keys.sort();
            (at, keys)
        })
        .collect();
    let mut want: Vec<(String, Vec<String>)> = [
        ("", keys::FILE),
        ("allow.files", keys::ALLOW),
        ("allow.jobs", keys::ALLOW_JOBS),
        ("budget", keys::BUDGET),
        ("budget.day", keys::BUDGET_DAY),
        ("change", keys::CHANGE),
        ("gate", keys::GATE),
        ("deny.files", keys::DENY),
        ("deny.jobs", keys::DENY_JOBS),
        ("jobs", keys::JOBS),
        ("jobs.build", keys::JOB),
        ("jobs.lint", keys::JOB),
        ("jobs.setup", keys::JOB),
        ("jobs.test", keys::JOB),
        ("mcp", keys::MCP),
        ("model", keys::MODEL),
        // Whoever asks is a key.
        ("submit", &["*", "local"]),
        ("test", keys::TEST),
        ("tool", keys::TOOL),
    ]
    .into_iter()
    .map(|(at, keys)| {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        (at.to_owned(), keys)
    })
    .collect();
    want.sort();
    assert_eq!(found, want);
}

#[test]
fn what_is_compiled_in_and_what_the_guide_shows_fits() {
    let schema = schema();
    let guide = include_str!("../../../docs/policy.md");
    // What does not load for other reasons than its shape fits, too.
    let examples = guide.split("```toml").skip(1).map(|rest| {
        let (_, text) = rest.split_once('\n').expect("a fence has a line");
        text.split("```").next().unwrap_or_default()
    });
    let presets = PRESETS.iter().map(|name| crate::preset(name).expect("every name has a text"));
    let built_in = [include_str!("../../presets/floor.toml"), FULL];
    let mut seen = 0;
    for text in examples.chain(presets).chain(built_in) {
        check(&schema, &value_of(text)).unwrap_or_else(|why| panic!("{why}\n{text}"));
        assert!(parses(text), "{text}");
        seen += 1;
    }
    assert!(seen > PRESETS.len() + 20, "{seen}");
}

/// Every key there is.
const FULL: &str = r#"schema = 1
repos = ["acme/*", "*", "umbrella/api-v*"]
extends = ["preset:standard", "file:../base.toml"]

[[mcp]]
name = "docs"
command = ["python3", "tools/server.py"]
tools = ["lookup"]
workspace = "read"

[[tool]]
name = "word_count"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

[[allow]]
id = "a"
tools = ["word_count", "read", "*"]
paths = ["**"]
because = "Yes."

[[deny]]
id = "b"
tools = ["edit"]
access = "write"
paths = ["src/"]
because = "No."
instead = "Ask."
enforce = "warn"

[[allow]]
id = "c"
jobs = ["build", "*"]
commands = ["cargo test *", "*"]
because = "Yes."

[[deny]]
id = "d"
jobs = ["lint"]
hosts = ["registry", "*.example.org", "https://example.org:443", "10.0.0.1"]
because = "No."
instead = "Ask."
enforce = "deny"

[[deny]]
id = "e"
jobs = ["lint"]
images = ["*", "sha256:0000000000000000000000000000000000000000000000000000000000000000"]
because = "No."

[[deny]]
id = "f"
jobs = ["lint"]
env = ["AWS_*", "*_TOKEN"]
because = "No."

[[allow]]
id = "g"
jobs = ["lint"]
secrets = ["TOKEN"]

[jobs.setup]
network = ["registry", "tcp://git.example:22"]

[jobs.build]
network = []
memory = "1.5 GiB"
timeout = "1h30m"
cpus = 0.5
processes = 7
enabled = true

[jobs.test]
enabled = false

[jobs.lint]
network = ["registry"]

[budget]
cost_usd = 2
steps = 60
wall = "90s"
tokens = 2_000_000
tool_bytes = "1MiB"

[budget.day]
cost_usd = 20
tokens = 40_000_000

[change]
files = 10
lines = 200
protected = ["docs/spec/**"]

[submit]
local = ["*"]
"*" = ["rename"]
"token:chat-*" = []
"github:dependabot[bot]" = ["model", "rename"]

[model]
allow = ["*", "anthropic:claude-*", "openai-compatible:org/model:free"]
hosts = ["http://llm.internal:8080"]

[[test]]
call = "edit src/lib.rs"
expect = "deny"
"#;

/// Hands every value of a tree to `change`, with the place to change it at.
fn each(value: &Value, place: &str, change: &mut impl FnMut(&str, &Value)) {
    change(place, value);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                each(value, &format!("{place}/{key}"), change);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                each(value, &format!("{place}/{at}"), change);
            }
        }
        _ => {}
    }
}

#[test]
fn a_value_of_another_shape_is_refused_by_both_or_by_neither() {
    let schema = schema();
    let full = value_of(FULL);
    let mut tried = 0;
    let mut disagreements = Vec::new();
    let mut hold = |mut changed: Value, what: String| {
        // A tool that is no longer known could not be named.
        if what.starts_with("/tool") {
            changed["allow"][0]["tools"] = json!(["*"]);
        }
        let text = toml::to_string(&changed).expect("it is TOML");
        let by_schema = check(&schema, &changed);
        let by_parser = parse("p.toml", &text).map(drop);
        if by_schema.is_ok() != by_parser.is_ok() {
            disagreements.push(format!("{what}: {by_schema:?}, {by_parser:?}"));
        }
        tried += 1;
    };
    let others = [
        json!(true),
        json!(7),
        json!(-7),
        json!(0.25),
        json!("B-"),
        json!(""),
        json!([]),
        json!([7]),
        json!({}),
        json!({"x": 1}),
    ];
    each(&full, "", &mut |place, value| {
        if place.is_empty() {
            return;
        }
        for other in &others {
            // A text that is no call, or that names what is not there, is for the parser alone to see.
            let unseen = ["/test/0/call", "/tool/0/name", "/allow/0/tools/0"].contains(&place);
            if unseen && other.is_string() {
                continue;
            }
            let mut changed = full.clone();
            *changed.pointer_mut(place).unwrap() = other.clone();
            hold(changed, format!("{place} = {other}"));
        }
        if value.is_object() {
            let mut changed = full.clone();
            changed.pointer_mut(place).unwrap()["nonsense"] = json!("x");
            hold(changed, format!("{place} with a key too many"));
        }
        let (parent, key) = place.rsplit_once('/').unwrap();
        let mut changed = full.clone();
        if let Some(object) = changed.pointer_mut(parent).unwrap().as_object_mut() {
            object.remove(key);
            hold(changed, format!("{place} left out"));
        }
    });
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(tried > 500, "{tried}");
}

#[test]
fn what_is_refused_as_a_value_or_a_mixture_is_refused_by_both() {
    let schema = schema();
    let rule = |body: &str| format!("schema = 1\n[[deny]]\nid = \"x\"\nbecause = \"y\"\n{body}\n");
    for text in [
        "repos = [\"acme/api\"]".to_owned(),
        "schema = 2".to_owned(),
        "schema = 1\nextends = [\"preset:standart\"]".to_owned(),
        "schema = 1\nextends = [\"file:/etc/base.toml\"]".to_owned(),
        "schema = 1\nextends = [\"base.toml\"]".to_owned(),
        "schema = 1\nrepos = [\"acme\"]".to_owned(),
        "schema = 1\n[[tool]]\nname = \"edit\"".to_owned(),
        "schema = 1\n[[tool]]\nname = \"Edit\"".to_owned(),
        "schema = 1\n[[mcp]]\nname = \"a_b\"\ncommand = [\"a\"]\ntools = [\"t\"]".to_owned(),
        "schema = 1\n[[mcp]]\nname = \"a\"\ncommand = []\ntools = [\"t\"]".to_owned(),
        "schema = 1\n[[mcp]]\nname = \"a\"\ncommand = [\"a\"]\ntools = []".to_owned(),
        "schema = 1\n[[mcp]]\nname = \"a\"\ncommand = [\"a\"]".to_owned(),
        "schema = 1\n[[mcp]]\nname = \"a\"\ncommand = [\"a\"]\ntools = [\"t\"]\nworkspace = \"write\""
            .to_owned(),
        "schema = 1\n[[allow]]\nid = \"a\"\ntools = [\"read\"]\npaths = [\"**\"]\ninstead = \"x\"".to_owned(),
        "schema = 1\n[[allow]]\nid = \"a\"\ntools = [\"read\"]\npaths = [\"**\"]\naccess = \"write\""
            .to_owned(),
        "schema = 1\n[[allow]]\nid = \"a\"\njobs = [\"test\"]\ncommands = [\"a\"]\nenforce = \"warn\""
            .to_owned(),
        "schema = 1\n[[allow]]\nid = \"protected\"\ntools = [\"read\"]\npaths = [\"**\"]".to_owned(),
        rule("tools = [\"Read\"]\npaths = [\"**\"]"),
        rule("tools = [\"read\"]\npaths = [\"\"]"),
        rule("tools = [\"read\"]\npaths = [\"**\"]\naccess = \"read\""),
        rule("tools = [\"read\"]\npaths = [\"**\"]\nenforce = \"ask\""),
        rule("tools = [\"read\"]\npaths = [\"**\"]\njobs = [\"test\"]"),
        rule("tools = [\"read\"]\npaths = [\"**\"]\ncommands = [\"a\"]"),
        rule("jobs = [\"test\"]"),
        rule("jobs = [\"tests\"]\ncommands = [\"a\"]"),
        rule("jobs = [\"test\"]\ncommands = [\"a\"]\nenv = [\"A\"]"),
        rule("jobs = [\"test\"]\ncommands = [\"npm run test:*\"]"),
        rule("jobs = [\"test\"]\ncommands = [\" \"]"),
        rule("jobs = [\"test\"]\nhosts = [\"*\"]"),
        rule("jobs = [\"test\"]\nhosts = [\"example.org:80\"]"),
        rule("jobs = [\"test\"]\nimages = [\"rust:1\"]"),
        rule("jobs = [\"test\"]\nenv = [\"1A\"]"),
        rule("jobs = [\"test\"]\ncommands = [\"a\"]\naccess = \"write\""),
        "schema = 1\n[jobs.tests]\nenabled = true".to_owned(),
        "schema = 1\n[jobs.test]\nmemory = \"4G\"".to_owned(),
        "schema = 1\n[jobs.test]\ntimeout = \"30m1h\"".to_owned(),
        "schema = 1\n[jobs.test]\ncpus = 0".to_owned(),
        "schema = 1\n[budget]\nsteps = 0".to_owned(),
        "schema = 1\n[budget]\nsteps = 4294967296".to_owned(),
        "schema = 1\n[budget]\ncost_usd = -1".to_owned(),
        "schema = 1\n[budget]\ntokens = 0".to_owned(),
        "schema = 1\n[budget]\ntool_bytes = 4096".to_owned(),
        "schema = 1\n[budget.day]\nsteps = 10".to_owned(),
        "schema = 1\n[budget.day]\ncost_usd = -0.5".to_owned(),
        "schema = 1\n[[tool]]\nname = \"mcp_docs_lookup\"".to_owned(),
        "schema = 1\n[[tool]]\nname = \"finish\"".to_owned(),
        "schema = 1\n[[tool]]\nname = \"recall\"".to_owned(),
        "schema = 1\n[submit]\nbob = [\"*\"]".to_owned(),
        "schema = 1\n[submit]\n\"github:\" = [\"*\"]".to_owned(),
        "schema = 1\n[submit]\nlocal = [\"Model\"]".to_owned(),
        "schema = 1\n[model]\nhosts = []".to_owned(),
        "schema = 1\n[model]\nallow = [\"claude\"]".to_owned(),
        "schema = 1\n[[test]]\ncall = \"read a\"\nexpect = \"ask\"".to_owned(),
    ] {
        assert!(!parses(&text), "the parser takes {text}");
        assert!(check(&schema, &value_of(&text)).is_err(), "the schema takes {text}");
    }
}
