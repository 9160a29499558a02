//! Bumps in a repository in memory, with package managers that answer as the real ones do.

use gloaming_api::tool::{ToolError, ToolErrorCode, ToolOutcome};
use serde_json::json;

use crate::playbook::memory::Repo;

const LOCK: &str = "[[package]]\nname = \"log\"\nversion = \"0.4.1\"\nsource = \"registry+x\"\n";

fn made(exit: i32, content: Option<String>, others: &[&str], network: bool) -> ToolOutcome {
    ToolOutcome::ok(json!({
        "command": "the command", "text": "what it said", "exit": exit, "ended": format!("exit code {exit}"), "network": network,
        "content": content, "others": others,
    }))
}

/// A cargo that knows log 0.4.1, 0.4.9, 0.4.20 and 0.5.0: what manifests ask it answers by the newest, what is asked for
/// exactly by that.
fn cargo(argv: &[String], lock: &str) -> ToolOutcome {
    let newest = "0.5.0".to_owned();
    let version = argv.iter().position(|word| word == "--precise").map_or(newest, |at| argv[at + 1].clone());
    if version == "0.4.99" {
        return made(101, None, &[], true);
    }
    let old = lock.split('"').nth(3).unwrap();
    made(0, Some(lock.replace(old, &version)), &["Cargo.toml", "src/lib.rs"], true)
}

fn rust(requirement: &str) -> Repo {
    let manifest = format!("[dependencies]\nlog = \"{requirement}\"\n");
    let mut repo =
        Repo::new(&[("Cargo.toml", &manifest), ("Cargo.lock", LOCK), ("vendor/log/Cargo.toml", &manifest)]);
    repo.manager = cargo;
    repo
}

#[test]
fn cargos_lockfile_follows_what_the_manifest_takes() {
    let mut repo = rust("0.4");
    insta::assert_snapshot!(repo.run("Bump log to 0.4.20 (CVE-2020-0001)"), @r"
    done: Bump log from 0.4.1 to 0.4.20.

    That 0.4.20 is past CVE-2020-0001 is the task's word; no database of advisories was asked.

    The lockfile is what `cargo update -p log@0.4.1 --precise 0.4.20` made of it.

    Changed:

    - Cargo.lock

    Not changed:

    - src/lib.rs: the package manager changed it, which no bump does
    ");
    assert!(repo.files["Cargo.lock"].contains("0.4.20"));
    assert_eq!(repo.files["Cargo.toml"], "[dependencies]\nlog = \"0.4\"\n");
    assert!(repo.run("Bump log to 0.4.20").starts_with("no_change_needed"), "it is there");
    assert!(repo.run("Bump log to 0.4.9").starts_with("conflicting_requirements"), "that is back");
}

#[test]
fn a_manifest_that_keeps_a_version_out_is_changed_first() {
    let mut repo = rust("0.3");
    repo.files.insert("Cargo.lock".into(), LOCK.replace("0.4.1", "0.3.9"));
    // What cargo chooses by the manifest alone is newer than what was asked for.
    insta::assert_snapshot!(repo.run("Bump log to 0.4.20"), @r"
    conflicting_requirements: Cargo.lock locks log at 0.5.0 and not at 0.4.20: something else there decides. | Is 0.4.20 the version that is wanted? | it was tried with `cargo update --workspace`
    ");
    assert_eq!(repo.files["Cargo.toml"], "[dependencies]\nlog = \"0.4.20\"\n");
    assert!(rust("0.3").run("Bump log to 0.5.0").starts_with("done: Bump log from 0.4.1 to 0.5.0."));
    assert!(rust(">=0.3, <0.5").run("Bump log to 0.5.0").starts_with("conflicting_requirements"));
}

#[test]
fn a_registry_that_has_no_such_version_or_is_not_reached_ends_it() {
    insta::assert_snapshot!(rust("0.4").run("Bump log to 0.4.99"), @"conflicting_requirements: `the command` ended with exit code 101: it cannot lock log at 0.4.99. | Is there a version 0.4.99 of log, and may everything else that uses it have it? | what it said");
    let mut repo = rust("0.4");
    repo.manager = |_, _| made(101, None, &[], false);
    assert!(repo.run("Bump log to 0.4.20").starts_with("needs_network"));
    repo.manager = |_, _| ToolOutcome::error(ToolError::new(ToolErrorCode::Denied, "no setup jobs"));
    assert!(repo.run("Bump log to 0.4.20").starts_with("policy_blocked"));
    // An exit code of 0 is no lockfile.
    repo.manager = |_, _| made(0, None, &[], true);
    assert!(
        repo.run("Bump log to 0.4.20").starts_with("conflicting_requirements: Cargo.lock locks log at 0.4.1")
    );
}

#[test]
fn npms_manifest_and_lockfile_go_together() {
    let manifest = "{\n  \"name\": \"x\",\n  \"dependencies\": {\"ms\": \"^1.0.0\"}\n}\n";
    let lock =
        r#"{"packages": {"": {"dependencies": {"ms": "^1.0.0"}}, "node_modules/ms": {"version": "1.0.0"}}}"#;
    let mut repo = Repo::new(&[("package.json", manifest), ("package-lock.json", lock)]);
    repo.manager = |_, lock| made(0, Some(lock.replace("1.0.0", "1.2.0")), &["package.json"], true);
    assert!(repo.run("Bump the npm package ms to 1.2.0").starts_with("done: Bump ms from 1.0.0 to 1.2.0."));
    assert!(repo.files["package.json"].contains("^1.2.0"));
    assert_eq!(
        repo.story[3..5],
        [
            "read 1 files",
            "lock package-lock.json: npm install ms@1.2.0 --package-lock-only --ignore-scripts --no-audit --no-fund --save-prefix=^"
        ]
    );
    let mut repo = Repo::new(&[("package.json", manifest), ("yarn.lock", "")]);
    assert!(repo.run("Bump ms to 1.2.0").starts_with("out_of_scope: yarn.lock is not npm's"));
}

#[test]
fn requirements_have_no_lockfile() {
    let mut repo = Repo::new(&[
        ("requirements.txt", "requests==2.0.0\nidna\n"),
        ("requirements/dev.txt", "-r ../requirements.txt\nRequests>=2\n"),
        ("pyproject.toml", "dependencies = [\"click\"]\n"),
    ]);
    assert!(repo.run("Bump requests to 2.32.0").starts_with("done: Bump requests to 2.32.0."));
    assert_eq!(repo.files["requirements.txt"], "requests==2.32.0\nidna\n");
    assert_eq!(repo.files["requirements/dev.txt"], "-r ../requirements.txt\nRequests>=2.32.0\n");
    assert!(repo.run("Bump requests to 2.32.0").starts_with("no_change_needed"));
    assert!(repo.run("Bump idna to 3.7.0").starts_with("out_of_scope: Every place"));
    assert!(repo.run("Bump click to 8.1.0").starts_with("out_of_scope: pyproject.toml names click."));
    assert!(repo.run("Bump flask to 3.0.0").starts_with("underspecified: No manifest"));
}

#[test]
fn uvs_lockfile_follows_what_the_project_takes() {
    let project = "[project]\nname = \"a\"\ndependencies = [\"idna==3.6\", \"rich>=13\", \"click\"]\n";
    let locked = |name: &str, version: &str| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = {{ registry = \"x\" }}\n\n"
        )
    };
    let lock =
        locked("idna", "3.6") + &locked("rich", "13.0") + &locked("click", "8.0") + &locked("mdurl", "0.1");
    let mut repo = Repo::new(&[("pyproject.toml", project), ("uv.lock", &lock)]);
    repo.manager = |argv, lock| {
        let (name, version) = argv[4].split_once("==").unwrap();
        let from = lock.split(&format!("name = \"{name}\"\nversion = \"")).nth(1).unwrap();
        let from = from.split('"').next().unwrap();
        let old = format!("name = \"{name}\"\nversion = \"{from}\"");
        made(0, Some(lock.replace(&old, &format!("name = \"{name}\"\nversion = \"{version}\""))), &[], true)
    };
    assert!(repo.run("Bump idna to 3.7.0").starts_with("done: Bump idna from 3.6 to 3.7.0."));
    assert!(repo.files["pyproject.toml"].contains("\"idna==3.7.0\""));
    assert!(
        repo.story.contains(&"lock uv.lock: uv lock --no-build --upgrade-package idna==3.7.0".to_owned())
    );
    // What is taken already, what says no version, and what only others name.
    for task in
        ["Bump rich to 13.7.1", "Bump the uv package click to 8.1.7", "Bump the pypi package mdurl to 0.1.2"]
    {
        assert!(repo.run(task).starts_with("done: Bump"), "{task}");
    }
    assert!(repo.files["pyproject.toml"].contains("[\"idna==3.7.0\", \"rich>=13\", \"click\"]"));
    assert!(repo.run("Bump the dependency idna to 3.7").starts_with("no_change_needed"));
    assert!(
        repo.run("Bump rich to 13.0.1").starts_with("conflicting_requirements: uv.lock locks rich 13.7.1")
    );
    repo.files.insert("uv.lock".into(), locked("rich", "13.0") + &locked("rich", "12.0"));
    assert!(
        repo.run("Bump rich to 13.7.1").starts_with("underspecified: uv.lock holds rich at 13.0 and 12.0")
    );
    let mut repo = Repo::new(&[("a/pyproject.toml", project), ("b/poetry.lock", &lock)]);
    assert!(repo.run("Bump rich to 13.7.1").starts_with("out_of_scope: a/pyproject.toml names rich"));
}

#[test]
fn a_dependency_in_two_places_is_asked_about() {
    let mut repo = Repo::new(&[
        ("a/Cargo.toml", "[dependencies]\nlog = \"0.4\"\n"),
        ("b/requirements.txt", "log==0.4.0\n"),
    ]);
    insta::assert_snapshot!(repo.run("Bump log to 0.4.20"), @"underspecified: log is a dependency for cargo and for pip. | Is log of cargo or of pip meant? | ");
    let mut repo = Repo::new(&[
        ("a/Cargo.toml", "[dependencies]\nlog = \"0.4\"\n"),
        ("a/Cargo.lock", LOCK),
        ("b/Cargo.toml", "[dependencies]\nlog = \"0.4\"\n"),
        ("b/Cargo.lock", LOCK),
    ]);
    insta::assert_snapshot!(repo.run("Bump log to 0.4.20"), @"underspecified: log is a dependency in several places: a/Cargo.lock, b/Cargo.lock. | Which of them is meant? | a/Cargo.lock; b/Cargo.lock");
}

/// An advisory of one package with events of a range.
fn advisory(ecosystem: &str, name: &str, events: &str) -> String {
    format!(
        r#"{{"id": "RUSTSEC-2024-0001", "affected": [{{"package": {{"ecosystem": "{ecosystem}", "name": "{name}"}},
            "ranges": [{{"type": "SEMVER", "events": [{events}]}}]}}]}}"#
    )
}

const FIXED: &str =
    r#"{"introduced": "0"}, {"fixed": "0.4.20"}, {"introduced": "0.5.0"}, {"fixed": "0.5.3"}"#;

fn advised(ecosystem: &str, name: &str, events: &str, mut repo: Repo) -> Repo {
    repo.advisories = vec![("crates/RUSTSEC-2024-0001.json", advisory(ecosystem, name, events))];
    repo
}

#[test]
fn an_advisory_decides_which_version_and_which_package() {
    let mut repo = advised("crates.io", "log", FIXED, rust("0.4"));
    insta::assert_snapshot!(repo.run("Bump past RUSTSEC-2024-0001"), @r"
    done: Bump log from 0.4.1 to 0.4.20.

    0.4.20 is the first version above 0.4.1 that RUSTSEC-2024-0001 does not affect, by `crates/RUSTSEC-2024-0001.json` (sha256:00).

    The lockfile is what `cargo update -p log@0.4.1 --precise 0.4.20` made of it.

    Changed:

    - Cargo.lock

    Not changed:

    - src/lib.rs: the package manager changed it, which no bump does
    ");
    assert_eq!(repo.story[0], "look up RUSTSEC-2024-0001");
    insta::assert_snapshot!(repo.run("Bump log past RUSTSEC-2024-0001"), @"no_change_needed: log is at 0.4.20, which RUSTSEC-2024-0001 does not affect. |  | `crates/RUSTSEC-2024-0001.json` (sha256:00)");
}

#[test]
fn an_advisory_that_does_not_decide_ends_it() {
    let told = |ecosystem: &str, name: &str, events: &str, task: &str| {
        advised(ecosystem, name, events, rust("0.4")).run(task)
    };
    let (any, log) = ("Bump past RUSTSEC-2024-0001", "Bump log past RUSTSEC-2024-0001");
    insta::assert_snapshot!(rust("0.4").run(log), @"underspecified: Which version is past RUSTSEC-2024-0001 is not known here: there are none. | Which version is the first that RUSTSEC-2024-0001 does not speak of? | ");
    insta::assert_snapshot!(told("crates.io", "serde", FIXED, log), @"conflicting_requirements: RUSTSEC-2024-0001 speaks of serde (crates.io) and of nothing else. | Is the advisory's id right? | `crates/RUSTSEC-2024-0001.json` (sha256:00)");
    assert!(told("npm", "log", FIXED, any).starts_with("out_of_scope: Cargo.lock names log."));
    assert!(told("crates.io", "serde", FIXED, any).starts_with("underspecified: No manifest"));
    let no_name = told("crates.io", "log --config=x", FIXED, any);
    assert!(
        no_name.starts_with("conflicting_requirements: RUSTSEC-2024-0001 speaks of no package"),
        "{no_name}"
    );
    // Nothing above the version in use is fixed: never, only below, or in a version that is affected again.
    for events in [
        r#"{"introduced": "0"}"#,
        r#"{"introduced": "0"}, {"fixed": "0.3.9"}, {"introduced": "0.4.0"}"#,
        r#"{"introduced": "0"}, {"fixed": "0.4.20"}, {"introduced": "0.4.20"}"#,
    ] {
        let told = told("crates.io", "log", events, log);
        assert!(told.starts_with("out_of_scope: No version of log above 0.4.1 is known"), "{told}");
    }
    let unordered = told("crates.io", "log", r#"{"introduced": "1.x"}"#, log);
    assert!(unordered.starts_with("underspecified: Whether RUSTSEC-2024-0001 affects log 0.4.1 cannot"));
    let mut withdrawn = rust("0.4");
    let text =
        advisory("crates.io", "log", FIXED).replacen('{', r#"{"withdrawn": "2024-02-01T00:00:00Z", "#, 1);
    withdrawn.advisories = vec![("a.json", text)];
    assert!(
        withdrawn
            .run(log)
            .starts_with("no_change_needed: RUSTSEC-2024-0001 was withdrawn (2024-02-01T00:00:00Z).")
    );
}

#[test]
fn of_several_advisories_none_may_affect_what_is_chosen() {
    let mut repo = rust("0.4");
    repo.advisories = vec![
        ("a.json", advisory("crates.io", "log", r#"{"introduced": "0"}, {"fixed": "0.4.9"}"#)),
        ("b.json", advisory("crates.io", "log", r#"{"introduced": "0.4.0"}, {"fixed": "0.4.20"}"#)),
    ];
    let told = repo.run("Bump log past RUSTSEC-2024-0001");
    assert!(told.starts_with("done: Bump log from 0.4.1 to 0.4.20."), "{told}");
    assert!(told.contains("by `a.json` (sha256:00), `b.json` (sha256:00)."), "{told}");
}

#[test]
fn of_several_locked_versions_the_affected_one_goes() {
    let other = LOCK.replace("0.4.1", "0.3.9");
    let mut repo = rust("0.4");
    repo.files.insert("Cargo.lock".into(), format!("{other}\n{LOCK}"));
    let events = r#"{"introduced": "0.3.0"}, {"fixed": "0.3.10"}"#;
    let mut repo = advised("crates.io", "log", events, repo);
    let told = repo.run("Bump log past RUSTSEC-2024-0001");
    assert!(told.starts_with("done: Bump log from 0.3.9 to 0.3.10."), "{told}");
    assert!(repo.files["Cargo.lock"].contains("0.4.1"));
    repo.files.insert("Cargo.lock".into(), format!("{other}\n{LOCK}"));
    let mut repo = advised("crates.io", "log", FIXED, repo);
    let told = repo.run("Bump log past RUSTSEC-2024-0001");
    assert!(told.starts_with("underspecified: RUSTSEC-2024-0001 affects log 0.3.9 and 0.4.1"), "{told}");
}

#[test]
fn pythons_versions_are_ordered_as_its_own_rules_say() {
    let requirements = [("requirements.txt", "Jinja2==2.9\n"), ("dev-requirements.txt", "jinja2>=2.10rc1\n")];
    let events =
        r#"{"introduced": "0"}, {"fixed": "2.9.post1"}, {"introduced": "2.10.dev0"}, {"fixed": "2.10.1"}"#;
    let mut repo = advised("PyPI", "jinja2", events, Repo::new(&requirements));
    let told = repo.run("Bump past RUSTSEC-2024-0001");
    assert!(told.starts_with("done: Bump jinja2 to 2.10.1."), "{told}");
    assert_eq!(repo.files["requirements.txt"], "Jinja2==2.10.1\n");
    assert_eq!(repo.files["dev-requirements.txt"], "jinja2>=2.10.1\n");
    let mut repo = advised("PyPI", "jinja2", events, Repo::new(&[("requirements.txt", "jinja2\n")]));
    let told = repo.run("Bump past RUSTSEC-2024-0001");
    assert!(told.starts_with("underspecified: Which version of jinja2 is used cannot be told"), "{told}");
}

#[test]
fn what_other_packages_of_npm_bring_for_themselves_is_told() {
    let manifest = r#"{"dependencies": {"ms": "^1.0.0"}}"#;
    let lock = r#"{"packages": {"": {"dependencies": {"ms": "^1.0.0"}}, "node_modules/ms": {"version": "1.0.0"}, "node_modules/b/node_modules/ms": {"version": "0.7.0"}}}"#;
    let repo = Repo::new(&[("package.json", manifest), ("package-lock.json", lock)]);
    let mut repo = advised("npm", "ms", r#"{"introduced": "0"}, {"fixed": "1.2.0"}"#, repo);
    repo.manager = |_, lock| made(0, Some(lock.replace("1.0.0", "1.2.0")), &["package.json"], true);
    let told = repo.run("Bump ms past RUSTSEC-2024-0001");
    assert!(told.starts_with("done: Bump ms from 1.0.0 to 1.2.0."), "{told}");
    assert!(told.contains("- package-lock.json: another package has ms 0.7.0 for itself"), "{told}");
    let told = repo.run("Bump ms past RUSTSEC-2024-0001");
    assert!(told.starts_with("out_of_scope: RUSTSEC-2024-0001 affects ms 0.7.0, which only other"), "{told}");
}
