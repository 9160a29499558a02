//! Any text as a policy: it loads or has faults at their places, and what loads answers every question, is named by
//! what it holds, differs from itself in nothing, and only narrows as a layer on top.
//!
//! The input is a policy. Behind lines of `====` stand files that it may extend by `file:`, each with its name as the
//! first line, and under the name `?` further questions, one a line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gloaming_api::{Digest, RelPath, RepoId, canonical_json};
use gloaming_policies::{Grant, Layer, PolicyFile, difference, load, run_tests};

use crate::places::check_faults;

/// Larger texts are only slower.
const BYTES: usize = 8192;
const QUESTIONS: usize = 8;
const NAME: &str = "policies/a.toml";

const ASKED: &[&str] = &[
    "read src/lib.rs",
    "read .env",
    "list",
    "list docs",
    "search src",
    "outline src/lib.rs",
    "diff",
    "edit src/lib.rs",
    "write docs/guide.md",
    "patch Cargo.lock",
    "move vendor/a.c",
    "remove tests/it.rs",
    "write ../x",
    "check",
    "check build",
    "check test",
    "check lint",
    "check test cargo test --locked",
    "check build sh -c 'make && cargo publish'",
    "env test RUSTFLAGS",
    "env build AWS_KEY",
    "image test sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "connect test example.org",
    "secret test TOKEN",
    "submit local model",
    "submit token:chat rename",
    "model anthropic:claude-sonnet-4-5",
    "model openai-compatible:qwen3 http://localhost:8080",
];

static TREE: LazyLock<Vec<RelPath>> = LazyLock::new(|| {
    let paths = ["src/lib.rs", "docs/guide.md", "Cargo.lock", ".env", "tests/it.rs"];
    paths.iter().map(|path| RelPath::parse(path).expect("a path")).collect()
});

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    if input.len() > BYTES {
        return;
    }
    let mut parts = input.split("\n====\n");
    let text = parts.next().unwrap_or_default();
    let mut files: BTreeMap<&str, &str> =
        parts.map(|part| part.split_once('\n').unwrap_or((part, ""))).collect();
    let own = files.remove("?").unwrap_or_default().lines().take(QUESTIONS);
    let questions: Vec<&str> = ASKED.iter().copied().chain(own).collect();
    files.insert(NAME, text);
    let text_of = |name: &str| files.get(name).copied();

    let read =
        |name: &str| text_of(name).map(str::to_owned).ok_or_else(|| "there is no such file".to_owned());
    let file = match load(NAME, text, &read) {
        Ok(file) => file,
        Err(faults) => return check_faults(&faults, text_of),
    };
    assert!(gloaming_policies::parse(NAME, text).is_ok(), "what loads parses");
    let repo = file.example_repo();
    let grant = match Grant::resolve(&repo, vec![(Layer::Operator, file.clone())]) {
        Ok(grant) => grant,
        Err(faults) => return check_faults(&faults, text_of),
    };
    named_by_what_it_holds(&repo, &grant);
    questions_are_answered(&grant, &questions);
    let same = difference(&grant, &grant, &TREE, &[]);
    assert!(same.is_empty() && !same.widens(), "it differs from itself: {same:?}");
    let tested = run_tests(&repo, file.clone()).expect("it loads");
    assert!(tested.tests.iter().all(|test| test.passed), "{tested:?}");
    assert!(tested.undecided.len() <= tested.rules, "{tested:?}");
    drop(grant.probes());

    static STANDARD: LazyLock<Grant> =
        LazyLock::new(|| Grant::resolve(&RepoId::local("example"), Vec::new()).expect("the preset loads"));
    on_top(&repo, &STANDARD, Vec::new(), &file, &questions, text_of);
    on_top(&repo, &grant, vec![(Layer::Operator, file.clone())], &file, &questions, text_of);
}

fn named_by_what_it_holds(repo: &RepoId, grant: &Grant) {
    let object = grant.to_json();
    assert_eq!(*grant.digest(), Digest::of(canonical_json(&object)), "{object}");
    let again = Grant::resolve(repo, grant.layers()).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(again.to_json(), object, "resolved again it is itself");
}

fn questions_are_answered(grant: &Grant, questions: &[&str]) {
    for question in questions {
        let Ok(told) = grant.explain(question) else { continue };
        assert!(!told.rule.is_empty() && !told.file.is_empty() && told.line > 0, "{question}: {told:?}");
        assert!(told.instead.is_none() || !told.is_allow(), "{question}: {told:?}");
        let flip = grant.flip(question, &TREE).expect("it was answered before");
        assert!(flip.edits.is_empty() == flip.impossible.is_some(), "{question}: {flip:?}");
        assert!(flip.others_total >= flip.others.len(), "{question}: {flip:?}");
        assert!(flip.edits.iter().all(|edit| edit.line > 0 && !edit.file.is_empty()), "{question}: {flip:?}");
    }
}

/// Puts the file on top of a grant, as a repository's own.
fn on_top<'a>(
    repo: &RepoId,
    below: &Grant,
    mut layers: Vec<(Layer, PolicyFile)>,
    file: &PolicyFile,
    questions: &[&str],
    text_of: impl Fn(&str) -> Option<&'a str>,
) {
    layers.push((Layer::Repository, file.clone()));
    let above = match Grant::resolve(repo, layers) {
        Ok(grant) => grant,
        Err(faults) => return check_faults(&faults, text_of),
    };
    let allows = |grant: &Grant, question: &str| grant.explain(question).is_ok_and(|told| told.is_allow());
    for question in questions {
        assert!(allows(below, question) || !allows(&above, question), "it widens {question}");
    }
    for path in TREE.iter() {
        let (before, after) = (below.decide_change(path).is_allow(), above.decide_change(path).is_allow());
        assert!(before || !after, "it widens the change of {path}");
        assert!(below.withheld(path).is_none() || above.withheld(path).is_some(), "jobs see {path}");
    }
    let (before, after) = (below.budget(), above.budget());
    assert!(after.cost_usd <= before.cost_usd && after.steps <= before.steps, "{after:?} over {before:?}");
    assert!(after.wall <= before.wall, "{after:?} over {before:?}");
    assert!(after.tokens <= before.tokens, "{after:?} over {before:?}");
    assert!(after.tool_bytes <= before.tool_bytes, "{after:?} over {before:?}");
    // A policy has a cap of each kind, so none is never the narrower.
    assert!(
        after.day.cost_usd.is_some() && after.day.cost_usd <= before.day.cost_usd,
        "{after:?} over {before:?}"
    );
    assert!(after.day.tokens.is_some() && after.day.tokens <= before.day.tokens, "{after:?} over {before:?}");
    let (before, after) = (below.change(), above.change());
    assert!(after.files <= before.files && after.lines <= before.lines, "{after:?} over {before:?}");
    assert!(before.existing_tests || !after.existing_tests, "{after:?} over {before:?}");
    assert!(before.dependencies || !after.dependencies, "{after:?} over {before:?}");
}
