//! The export to Cedar, held against Cedar itself: it parses, is valid under its schema in strict mode, and
//! decides as the grant does.

use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode, Validator,
};
use gloaming_api::RelPath;
use gloaming_policies::{
    Access, CEDAR_DEPTH, Diagnostic, Grant, Layer, PRESETS, PolicyFile, TOOLS, cedar_request, parse,
};
use insta::assert_snapshot;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn file(name: &str, text: &str) -> PolicyFile {
    parse(name, text).unwrap_or_else(|faults| panic!("{}", show(&faults)))
}

fn operator(text: &str) -> Grant {
    resolve(&[(Layer::Operator, "policy.toml", text)]).unwrap_or_else(|faults| panic!("{}", show(&faults)))
}

fn resolve(layers: &[(Layer, &str, &str)]) -> Result<Grant, Vec<Diagnostic>> {
    let layers = layers.iter().map(|(layer, name, text)| (*layer, file(name, text))).collect();
    Grant::resolve(&"acme/api".parse().expect("a repository"), layers)
}

fn show(faults: &[Diagnostic]) -> String {
    let line = |fault: &Diagnostic| match &fault.hint {
        Some(hint) => format!("{fault} ({hint})\n"),
        None => format!("{fault}\n"),
    };
    faults.iter().map(line).collect()
}

const ASKED: &[&str] = &["read", "list", "outline", "edit", "move", "counter", "check", "unheard_of"];
const ACCESSES: [Access; 3] = [Access::Read, Access::List, Access::Write];

/// An export as Cedar reads it.
struct Cedar {
    policies: PolicySet,
    schema: Schema,
    text: String,
}

impl Cedar {
    fn new(grant: &Grant) -> Self {
        let export = grant.to_cedar().unwrap_or_else(|faults| panic!("{}", show(&faults)));
        let policies = PolicySet::from_str(&export.policies)
            .unwrap_or_else(|error| panic!("{error:?}\n{}", export.policies));
        let (schema, _) = Schema::from_cedarschema_str(&export.schema).expect("the schema parses");
        let valid = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        let errors: Vec<String> = valid.validation_errors().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{}", export.policies);
        Self { policies, schema, text: export.policies }
    }

    fn allows(&self, tool: &str, access: Access, path: &RelPath) -> bool {
        let asked = cedar_request(tool, access, path).expect("the path is not too deep");
        let uid = |text: &str| EntityUid::from_str(text).expect("an entity");
        let schema = Some(&self.schema);
        let request = Request::new(
            uid(&asked.principal),
            uid(&asked.action),
            uid(&asked.resource),
            Context::empty(),
            schema,
        )
        .expect("the schema knows the request");
        let entities =
            Entities::from_json_value(asked.entities, schema).expect("the schema knows the entities");
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        assert_eq!(response.diagnostics().errors().count(), 0, "{tool} {access:?} {path}");
        response.decision() == Decision::Allow
    }

    fn agrees(&self, grant: &Grant, tool: &str, access: Access, path: &RelPath) -> Result<(), String> {
        let (theirs, ours) = (self.allows(tool, access, path), grant.allows(tool, access, path));
        if theirs == ours {
            return Ok(());
        }
        Err(format!("{tool} {access:?} {path}: Cedar {theirs}, Gloaming {ours}\n{}", self.text))
    }
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect("a path")
}

#[test]
fn every_preset_decides_the_same_in_cedar() {
    for preset in PRESETS {
        let grant = operator(&format!("schema = 1\nextends = [\"preset:{preset}\"]\n"));
        let cedar = Cedar::new(&grant);
        for text in [
            ".",
            "src",
            "src/lib.rs",
            "Cargo.toml",
            "docs/guide.md",
            "docs",
            ".env",
            "a/.ENV.local",
            "a/x.Pem",
            ".git/config",
            ".git./config",
            ".github/workflows/ci.yml",
            "deploy/secrets/key",
            "k8s/azure-pipelines-x.yml",
            "x/.config/gcloud/a",
            "client_secret_1.json",
            "É/CODEOWNERS",
            "ſecrets/x",
            "tests/a/b/c.rs",
            "Cargo.lock ",
            "package.json",
            "app/models.py",
            "app/main.py",
            "web/src/a.ts",
            "README.md",
        ] {
            for tool in TOOLS.iter().chain(&["unheard_of"]) {
                for access in ACCESSES {
                    cedar.agrees(&grant, tool, access, &path(text)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_policy_in_cedar() {
    let grant = resolve(&[
        (
            Layer::Operator,
            "operator.toml",
            r#"
            schema = 1
            [[allow]]
            id = "source"
            tools = ["read", "edit"]
            paths = ["src/**", "a/*/b"]
            because = "It is the source."
            [[deny]]
            id = "keys"
            tools = ["read"]
            paths = ["*.pem", "k[12]"]
            because = "Keys are secret."
            "#,
        ),
        (
            Layer::Repository,
            "repository.toml",
            "schema = 1\n[[allow]]\nid = \"narrow\"\ntools = [\"edit\"]\npaths = [\"src/é/\"]\n",
        ),
    ])
    .unwrap();
    let text = Cedar::new(&grant).text;
    // The floor's and the root's policies are the same in every export.
    let own: Vec<&str> = text.split("\n\n").filter(|policy| !policy.contains("builtin:floor")).collect();
    assert_snapshot!(own.join("\n\n"), @r#"
    @id("repository-root")
    permit (principal, action in [Action::"Read", Action::"List"], resource)
      when { resource.depth == 0 && [Tool::"edit", Tool::"read"].contains(principal) };

    @id("operator.toml:8:keys")
    @because("Keys are secret.")
    forbid (principal, action in [Action::"Read"], resource)
      when { ((resource.folded like "*.pem/*" || (resource has stripped && resource.stripped like "*.pem/*")) || ((resource.folded like "*/k1/*" || resource.folded like "*/k2/*") || (resource has stripped && (resource.stripped like "*/k1/*" || resource.stripped like "*/k2/*")))) };

    @id("operator.toml:8:keys/1")
    @because("Keys are secret.")
    forbid (principal, action in [Action::"List", Action::"Write"], resource)
      when { principal == Tool::"read" && ((resource.folded like "*.pem/*" || (resource has stripped && resource.stripped like "*.pem/*")) || ((resource.folded like "*/k1/*" || resource.folded like "*/k2/*") || (resource has stripped && (resource.stripped like "*/k1/*" || resource.stripped like "*/k2/*")))) };

    @id("operator.toml:3:source")
    @because("It is the source.")
    permit (principal, action in [Action::"Read", Action::"List", Action::"Write"], resource)
      when { [Tool::"edit", Tool::"read"].contains(principal) && (((resource has s0 && resource.s0 == "a") && resource has s1 && (resource has s2 && resource.s2 == "b")) || (action == Action::"List" && (((resource has s0 && resource.s0 == "a") && (resource.depth == 1 || (resource has s1 && resource.depth <= 2))) || ((resource has s0 && resource.s0 == "src")))) || resource.path like "/src/*/*") };

    @id("repository.toml:default-deny/0")
    forbid (principal, action in [Action::"Read", Action::"List", Action::"Write"], resource)
      when { resource.depth > 0 && principal == Tool::"edit" }
      unless { ((action == Action::"List" && ((resource has s0 && resource.s0 == "src") && (resource.depth == 1 || ((resource has s1 && resource.s1 == "é") && resource.depth <= 2)))) || resource.path like "/src/é/*/*") };
    "#);
}

#[test]
fn what_cedar_cannot_say_is_an_error_at_its_rule() {
    let grant = operator(
        r#"schema = 1
[[allow]]
id = "a"
tools = ["read"]
paths = ["src/?.rs", "[a-\uffff]"]
[[deny]]
id = "b"
tools = ["read"]
paths = ["[!a]b", "[a-z][a-z]"]
because = "x"
[[deny]]
id = "c"
tools = ["read"]
paths = ["a*b/**/c*d/**/e*f/**/g*h"]
because = "x"
"#,
    );
    assert_snapshot!(show(&grant.to_cedar().unwrap_err()), @r#"
    policy.toml:2:1: "[a-\u{ffff}]" cannot be exported to Cedar: it has a class of many characters, which Cedar cannot say (write it with `*`, or the names out)
    policy.toml:2:1: "src/?.rs" cannot be exported to Cedar: it has a `?`, which Cedar cannot say (write it with `*`, or the names out)
    policy.toml:6:1: "[!a]b" cannot be exported to Cedar: it has a negated class, which Cedar cannot say (write it with `*`, or the names out)
    policy.toml:6:1: "[a-z][a-z]" cannot be exported to Cedar: it has classes for more than 64 texts (write it with `*`, or the names out)
    policy.toml:11:1: "a*b/**/c*d/**/e*f/**/g*h" cannot be exported to Cedar: it has more places of a `*` than can be written out (write it with `*`, or the names out)
    "#);
}

#[test]
fn a_path_that_is_too_deep_cannot_be_asked_about() {
    let deep = |names: usize| path(&vec!["a"; names].join("/"));
    assert!(cedar_request("read", Access::Read, &deep(CEDAR_DEPTH)).is_some());
    assert!(cedar_request("read", Access::Read, &deep(CEDAR_DEPTH + 1)).is_none());
    let grant = operator(
        "schema = 1\n[[allow]]\nid = \"a\"\ntools = [\"read\"]\npaths = [\"a/**/b*c/a\", \"**/a/**\", \"a/*/a/*/a/\"]\n",
    );
    let cedar = Cedar::new(&grant);
    for text in [vec!["a"; CEDAR_DEPTH - 2].join("/") + "/bxc/a", vec!["a"; CEDAR_DEPTH].join("/")] {
        for access in ACCESSES {
            cedar.agrees(&grant, "read", access, &path(&text)).unwrap();
        }
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let name = select(vec![
        "src", "a", "b", "SRC", "é", "É", "ſ", "x.pem", "secrets", "*", "*", "**", "**", "*.pem", "a*", "*a",
        "*a*", "a*b", "*s*", "É*", "[ab]", "[ab]*", "*.[rt]s", "\\*", "q\\\"", "日本",
    ]);
    let names = prop::collection::vec(name, 1..5);
    (select(vec!["", "", "/"]), names, select(vec!["", "", "/"]))
        .prop_map(|(lead, names, trail)| format!("{lead}{}{trail}", names.join("/")))
}

fn asked_path() -> impl Strategy<Value = RelPath> {
    let name = select(vec![
        "src",
        "SRC",
        "a",
        "A",
        "b",
        "é",
        "É",
        "e\u{301}",
        "s",
        "ſ",
        "x.pem",
        ".PEM",
        "secrets",
        "ab",
        "axb",
        "*",
        "q\"",
        "日本",
        "a.",
        "b ",
        "sr\u{200c}c",
        "x.rs",
        "a\n",
    ]);
    prop::collection::vec(name, 0..6).prop_map(|names| path(&names.join("/")))
}

#[derive(Debug, Clone)]
struct Rule {
    deny: bool,
    writes: bool,
    tools: Vec<&'static str>,
    paths: Vec<String>,
}

fn rule() -> impl Strategy<Value = Rule> {
    let tools = &["read", "list", "outline", "edit", "write", "patch", "move", "check", "counter", "*"][..];
    let tools = subsequence(tools, 1..5);
    let paths = prop_oneof![1 => Just(vec!["**".to_owned()]), 3 => prop::collection::vec(pattern(), 1..4)];
    (prop::bool::weighted(0.3), any::<bool>(), tools, paths).prop_map(|(deny, writes, tools, paths)| Rule {
        deny,
        writes,
        tools,
        paths,
    })
}

fn policy() -> impl Strategy<Value = String> {
    let rules = prop::collection::vec(rule(), 0..5);
    let protected = prop::collection::vec(pattern(), 0..2);
    let extends = prop::bool::weighted(0.15);
    (rules, protected, extends, prop::bool::weighted(0.7)).prop_map(|(rules, protected, extends, knows)| {
        let names = |tools: &[&str]| -> Vec<String> {
            let known = tools.iter().filter(|tool| knows || **tool != "counter");
            let named: Vec<String> = known.map(|tool| (*tool).to_owned()).collect();
            if named.is_empty() || named.contains(&"*".to_owned()) { vec!["*".into()] } else { named }
        };
        let mut text = String::from("schema = 1\n");
        if extends {
            text.push_str("extends = [\"preset:standard\"]\n");
        }
        text.push_str(&format!("change.protected = {protected:?}\n"));
        if knows {
            text.push_str("[[tool]]\nname = \"counter\"\n");
        }
        for (at, rule) in rules.iter().enumerate() {
            let kind = if rule.deny { "deny" } else { "allow" };
            let mut tools = names(&rule.tools);
            if rule.deny {
                if rule.writes {
                    tools = vec!["*".into()];
                    text.push_str(&format!("[[{kind}]]\naccess = \"write\"\nbecause = \"x\"\n"));
                } else {
                    text.push_str(&format!("[[{kind}]]\nbecause = \"x\"\n"));
                }
            } else {
                text.push_str(&format!("[[{kind}]]\n"));
            }
            text.push_str(&format!(
                "id = \"r{at}\"\ntools = {tools:?}\npaths = {}\n",
                toml_list(&rule.paths)
            ));
            let checks = tools.iter().any(|tool| tool == "*" || tool == "check");
            if !rule.deny && checks && !rule.paths.contains(&"**".to_owned()) {
                // Narrowed to some paths alone, `check` does not load.
                text.push_str(&format!("[[allow]]\nid = \"c{at}\"\ntools = [\"check\"]\npaths = [\"**\"]\n"));
            }
        }
        text
    })
}

/// Literal strings, which take backslashes as they are.
fn toml_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", texts.join(", "))
}

fn layer() -> impl Strategy<Value = Layer> {
    select(vec![Layer::Operator, Layer::Operator, Layer::Repository, Layer::Task])
}

/// Few by default: Cedar is not quick where it is not optimised. PROPTEST_CASES asks for more.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases / 8, max_shrink_iters: 200, failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn cedar_decides_as_the_grant_does(
        files in prop::collection::vec((layer(), policy()), 1..4),
        questions in prop::collection::vec((select(ASKED), select(&ACCESSES[..]), asked_path()), 32),
    ) {
        let parsed: Result<Vec<_>, _> = files
            .iter()
            .enumerate()
            .map(|(at, (layer, text))| parse(&format!("file-{at}.toml"), text).map(|file| (*layer, file)))
            .collect();
        // Some rules are refused for what they say together.
        let Ok(layers) = parsed else { return Err(TestCaseError::reject("a file that does not load")) };
        let grant = Grant::resolve(&"acme/api".parse().unwrap(), layers).unwrap();
        if grant.to_cedar().is_err() {
            return Err(TestCaseError::reject("a pattern that cannot be said"));
        }
        let cedar = Cedar::new(&grant);
        for (tool, access, path) in &questions {
            cedar.agrees(&grant, tool, *access, path).map_err(TestCaseError::fail)?;
        }
    }
}
