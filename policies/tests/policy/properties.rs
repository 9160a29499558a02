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
    text.push_str(&format!("budget.steps = {steps}\nbudget.tokens = {steps}\nbudget.day.tokens = {steps}\n"));
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

/// What rules about jobs, `[submit]` and `[model]` can say here, and what can be asked of them.
const JOB_RULES: &[&str] = &[
    "[[allow]]\nid = \"@\"\njobs = [\"test\"]\ncommands = [\"cargo *\"]\n",
    "[[allow]]\nid = \"@\"\njobs = [\"*\"]\ncommands = [\"cargo test *\", \"make\"]\n",
    "[[deny]]\nid = \"@\"\njobs = [\"*\"]\ncommands = [\"cargo publish\"]\nbecause = \"x\"\n",
    "[[deny]]\nid = \"@\"\njobs = [\"build\"]\ncommands = [\"*\"]\nbecause = \"x\"\n",
    "[[deny]]\nid = \"@\"\njobs = [\"test\"]\nenv = [\"A*\"]\nbecause = \"x\"\n",
    "[[allow]]\nid = \"@\"\njobs = [\"test\"]\nenv = [\"AB\", \"C\"]\n",
    "[[allow]]\nid = \"@\"\njobs = [\"*\"]\nhosts = [\"*.example.org\"]\n",
    "[[allow]]\nid = \"@\"\njobs = [\"test\"]\nhosts = [\"https://a.example.org:443\"]\n",
    "[[deny]]\nid = \"@\"\njobs = [\"*\"]\nhosts = [\"b.example.org\"]\nbecause = \"x\"\n",
    "[[allow]]\nid = \"@\"\njobs = [\"lint\"]\nsecrets = [\"T*\"]\n",
    "[[deny]]\nid = \"@\"\njobs = [\"*\"]\ncommands = [\"make\"]\nbecause = \"x\"\nenforce = \"warn\"\n",
    "[jobs.lint]\nenabled = false\n",
    "[jobs.build]\nnetwork = []\n",
    "[jobs.setup]\nnetwork = [\"*.example.org\", \"tcp://c.example:22\"]\n",
    "[jobs.test]\nnetwork = [\"a.example.org\"]\n",
    "[submit]\nlocal = [\"rename\"]\n\"token:*\" = [\"*\"]\n",
    "[model]\nallow = [\"anthropic:*\"]\n",
];

const JOB_QUESTIONS: &[&str] = &[
    "check test",
    "check lint",
    "check test cargo test -q",
    "check test cargo publish",
    "check build make",
    "check build sh -c 'make && cargo publish'",
    "env test AB",
    "env build AB",
    "connect test a.example.org",
    "connect test https://a.example.org:443",
    "connect lint b.example.org",
    "connect build a.example.org",
    "connect setup a.example.org",
    "connect setup https://b.example.org:443",
    "connect setup tcp://c.example:22",
    "connect setup tcp://a.example.org:22",
    "connect test tcp://a.example.org:443",
    "secret lint TOKEN",
    "secret test TOKEN",
    "submit local rename",
    "submit local model",
    "submit token:x model",
    "model anthropic:a",
    "model openai:a",
    "model anthropic:a http://proxy.example:80",
];

fn job_rules() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(JOB_RULES, 0..6)
}

fn job_file(name: &str, rules: &[&str]) -> PolicyFile {
    // Tables after the rules, whatever the order: TOML has it so. The id is of the rule, so that order keeps it.
    let id = |rule: &str| format!("r-{}", &gloaming_api::Digest::of(rule).hex()[..12]);
    let rules: String = rules.iter().map(|rule| rule.replace('@', &id(rule))).collect();
    parse(name, &format!("schema = 1\nextends = [\"preset:standard\"]\n{rules}"))
        .expect("these rules are right")
}

fn on_able_lanes(layers: Vec<(Layer, PolicyFile)>) -> Grant {
    let lanes = gloaming_policies::Lanes { hosts: true, secrets: true };
    Grant::resolve_on(&"acme/api".parse().expect("a repository"), layers, lanes).expect("they compile")
}

fn decisions(grant: &Grant) -> Vec<bool> {
    JOB_QUESTIONS.iter().map(|call| grant.explain(call).expect("a question").is_allow()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_layer_on_top_never_lets_jobs_have_more(base in job_rules(), top in job_rules(), layer in select(&[Layer::Operator, Layer::Repository, Layer::Task][..])) {
        let below = on_able_lanes(vec![(Layer::Operator, job_file("o.toml", &base))]);
        let with = on_able_lanes(vec![(Layer::Operator, job_file("o.toml", &base)), (layer, job_file("t.toml", &top))]);
        for ((call, before), after) in JOB_QUESTIONS.iter().zip(decisions(&below)).zip(decisions(&with)) {
            // A second file of the operator's may give hosts and secrets that the first does not speak of.
            let given = layer == Layer::Operator && (call.starts_with("connect") || call.starts_with("secret"));
            prop_assert!(before || !after || given, "{call}");
        }
    }

    #[test]
    fn order_of_job_rules_and_files_does_not_matter(a in job_rules(), b in job_rules()) {
        let reversed = |rules: &[&'static str]| rules.iter().rev().copied().collect::<Vec<_>>();
        let (one, two) = (("a.toml", a.clone()), ("b.toml", b.clone()));
        let forward = on_able_lanes(vec![(Layer::Operator, job_file(one.0, &one.1)), (Layer::Repository, job_file(two.0, &two.1))]);
        let back = on_able_lanes(vec![
            (Layer::Repository, job_file(two.0, &reversed(&two.1))),
            (Layer::Operator, job_file(one.0, &reversed(&one.1))),
        ]);
        prop_assert_eq!(decisions(&forward), decisions(&back));
        prop_assert_eq!(forward.digest(), back.digest());
    }

    #[test]
    fn the_effective_policy_of_the_effective_policy_is_itself(
        rules in rules(), more in rules(), a in job_rules(), b in job_rules(), extends in any::<bool>(),
    ) {
        let once = on_able_lanes(vec![
            (Layer::Operator, write(&rules, extends, 9)),
            (Layer::Operator, job_file("j.toml", &a)),
            (Layer::Repository, write(&more, false, 5)),
            (Layer::Task, job_file("t.toml", &b)),
        ]);
        let again = on_able_lanes(once.layers());
        prop_assert_eq!(once.digest(), again.digest());
        // Said twice it is what it was.
        let twice = on_able_lanes(once.layers().into_iter().chain(once.layers()).collect());
        prop_assert_eq!(decisions(&once), decisions(&twice));
        for (tool, access, path) in questions() {
            prop_assert_eq!(once.allows(tool, access, &path), twice.allows(tool, access, &path), "{} {:?} {}", tool, access, path);
        }
    }

    #[test]
    fn a_denial_about_jobs_wins(rules in job_rules(), denied in select(vec![2_usize, 3, 4, 8])) {
        let deny = JOB_RULES[denied];
        let alone = on_able_lanes(vec![(Layer::Operator, job_file("d.toml", &[JOB_RULES[6], deny]))]);
        let mut all = rules;
        all.retain(|rule| *rule != deny);
        all.insert(0, deny);
        let with = on_able_lanes(vec![(Layer::Operator, job_file("d.toml", &all))]);
        let by_rule = |grant: &Grant, call: &str| {
            let told = grant.explain(call).expect("a question");
            !told.is_allow() && told.rule.starts_with("r-")
        };
        for call in JOB_QUESTIONS {
            prop_assert!(!by_rule(&alone, call) || !with.explain(call).expect("a question").is_allow(), "{call}");
        }
    }
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
            prop_assert!(next.budget().tokens <= last.budget().tokens);
            prop_assert!(next.budget().day.tokens.is_some() && next.budget().day.tokens <= last.budget().day.tokens);
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
