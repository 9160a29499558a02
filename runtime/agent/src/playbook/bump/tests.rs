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
