//! What holds for every policy.

use std::sync::LazyLock;

use gloaming_api::{RelPath, RepoId};
use gloaming_policies::{Access, Grant, Layer, PolicyFile, parse};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const TOOLS: &[&str] = &["read", "edit", "write", "move", "*"];
const PATTERNS: &[&str] =
    &["**", "*.rs", "src/**", "/src/a.rs", "a*", "**/b/*", "docs/", "?.md", "[!a]*", "SRC"];
const PATHS: &[&str] = &[
    "src/a.rs",
    "SRC/A.rs",
    "a/b/c",
    "b/a.rs",
    "docs",
    "docs/x.md",
    "x.md",
    "src",
    "é/b/ö",
    ".env",
    ".git/x",
];

#[derive(Debug, Clone)]
struct Rule {
    deny: bool,
    tools: Vec<&'static str>,
    paths: Vec<&'static str>,
}

fn rule() -> impl Strategy<Value = Rule> {
    (any::<bool>(), subsequence(TOOLS, 1..3), subsequence(PATTERNS, 1..3))
        .prop_map(|(deny, tools, paths)| Rule { deny, tools, paths })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(rule(), 0..5)
}

fn write(rules: &[Rule], extends: bool, steps: u32) -> PolicyFile {
    let mut text = String::from("schema = 1\n");
    if extends {
        text.push_str("extends = [\"preset:standard\"]\n");
    }
    text.push_str(&format!("budget.steps = {steps}\n"));
    for (i, rule) in rules.iter().enumerate() {
        let kind = if rule.deny { "deny" } else { "allow" };
        // The id is of the content, so that reordering keeps it.
        let id = format!("{kind}-{}", gloaming_api::Digest::of(format!("{rule:?}")).hex());
        text.push_str(&format!("[[{kind}]]\nid = \"{}-{i}\"\n", &id[..16]));
        text.push_str(&format!("tools = {:?}\npaths = {:?}\n", rule.tools, rule.paths));
        if rule.deny {
            text.push_str("because = \"x\"\n");
        } else if rule.tools.contains(&"*") {
            // Narrowed to some paths, `check` does not load.
            text.push_str(&format!(
                "[[allow]]\nid = \"check-{}-{i}\"\ntools = [\"check\"]\npaths = [\"**\"]\n",
                &id[..16]
            ));
        }
    }
    parse("p.toml", &text).expect("generated policies are right")
}

fn grant(layers: Vec<(Layer, PolicyFile)>) -> Grant {
    static REPO: LazyLock<RepoId> = LazyLock::new(|| "acme/api".parse().expect("a repository"));
    Grant::resolve(&REPO, layers).expect("generated policies compile")
}

fn questions() -> impl Iterator<Item = (&'static str, Access, RelPath)> {
    let tools = ["read", "edit", "write", "patch", "list", "move", "remove", "diff"];
    let accesses = [Access::Read, Access::List, Access::Write];
    PATHS.iter().flat_map(move |path| {
        let path = RelPath::parse(path).expect("a path");
        tools.into_iter().flat_map(move |tool| {
            let path = path.clone();
            accesses.into_iter().map(move |access| (tool, access, path.clone()))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_denial_wins(rules in rules(), denied in rule(), extends in any::<bool>()) {
        let denied = Rule { deny: true, ..denied };
        let alone = grant(vec![
            (Layer::Operator, write(&[Rule { deny: false, tools: vec!["*"], paths: vec!["**"] }, denied.clone()], false, 9)),
        ]);
        let mut all = rules;
        all.push(denied);
        let with = grant(vec![(Layer::Operator, write(&all, extends, 9))]);
        for (tool, access, path) in questions() {
            prop_assert!(alone.allows(tool, access, &path) || !with.allows(tool, access, &path), "{tool} {access:?} {path}");
        }
    }

    #[test]
    fn order_does_not_matter(rules in rules(), more in rules(), swap in any::<bool>()) {
        let (a, b) = (write(&rules, false, 9), write(&more, true, 5));
        let reversed: Vec<Rule> = rules.iter().rev().cloned().map(|mut rule| {
            rule.tools.reverse();
            rule.paths.reverse();
            rule
        }).collect();
        let c = write(&reversed, false, 9);
        let one = grant(vec![(Layer::Operator, a), (Layer::Repository, b.clone())]);
        let two = if swap {
            grant(vec![(Layer::Repository, b), (Layer::Operator, c)])
        } else {
            grant(vec![(Layer::Operator, c), (Layer::Repository, b)])
        };
        for (tool, access, path) in questions() {
            prop_assert_eq!(one.allows(tool, access, &path), two.allows(tool, access, &path), "{} {:?} {}", tool, access, path);
        }
    }

    #[test]
    fn a_layer_on_top_never_allows_more(
        base in rules(),
        middle in rules(),
        top in rules(),
        extends in any::<[bool; 3]>(),
        steps in any::<[u16; 3]>(),
        with_operator in any::<bool>(),
    ) {
        let steps = steps.map(|s| u32::from(s) + 1);
        let mut layers = Vec::new();
        if with_operator {
            layers.push((Layer::Operator, write(&base, extends[0], steps[0])));
        }
        let mut last = grant(layers.clone());
        for (layer, rules, extends, steps) in
            [(Layer::Repository, middle, extends[1], steps[1]), (Layer::Task, top, extends[2], steps[2])]
        {
            layers.push((layer, write(&rules, extends, steps)));
            let next = grant(layers.clone());
            for (tool, access, path) in questions() {
                prop_assert!(last.allows(tool, access, &path) || !next.allows(tool, access, &path), "{tool} {access:?} {path}");
            }
            for path in PATHS {
                let path = RelPath::parse(path).unwrap();
                prop_assert!(last.decide_change(&path).is_allow() || !next.decide_change(&path).is_allow());
            }
            for tool in ["read", "edit", "write", "patch", "check", "move", "diff", "other"] {
                prop_assert!(last.offers(tool) || !next.offers(tool));
            }
            prop_assert!(next.budget().steps <= last.budget().steps);
            last = next;
        }
    }

    #[test]
    fn the_floor_holds(rules in rules(), path in select(vec![".git/x", "a/.git", ".Git/config"])) {
        let grant = grant(vec![(Layer::Operator, write(&rules, false, 9))]);
        let path = RelPath::parse(path).unwrap();
        for tool in ["read", "edit", "other"] {
            for access in [Access::Read, Access::List, Access::Write] {
                prop_assert!(!grant.allows(tool, access, &path));
            }
        }
        prop_assert!(!grant.decide_change(&path).is_allow());
    }

    #[test]
    fn a_decision_and_its_short_form_agree(rules in rules()) {
        let grant = grant(vec![(Layer::Operator, write(&rules, false, 9))]);
        for (tool, access, path) in questions() {
            let decision = grant.decide(tool, access, &path);
            prop_assert_eq!(decision.is_allow(), grant.allows(tool, access, &path));
            prop_assert!(!decision.rule().id.is_empty());
            prop_assert!(grant.offers(tool) || !decision.is_allow());
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,200}") {
        let _ = parse("p.toml", &text);
        let _ = parse("p.toml", &format!("schema = 1\n[[allow]]\nid = {text}\n[jobs.test]\n{text}"));
    }

    #[test]
    fn no_call_breaks_explain(text in "\\PC{0,60}") {
        static GRANT: LazyLock<Grant> = LazyLock::new(|| grant(Vec::new()));
        let _ = GRANT.explain(&text);
        let _ = GRANT.explain(&format!("read {text}"));
    }
}
