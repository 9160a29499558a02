//! Reading what was merged.

use gloaming_workspace::{Missing, RepoError, Repository};

use crate::support::{Scene, git};

fn told(repository: &Repository, most: usize) -> Vec<String> {
    let head = repository.resolve(None).unwrap();
    let line = |change: &gloaming_workspace::PastChange| {
        format!("{}: {} files, {} lines, tests {}", change.subject, change.files, change.lines, change.tests)
    };
    repository.history(&head, most).unwrap().iter().map(line).collect()
}

/// Three commits after the first, the last of them a merge of one with two commits.
fn merged() -> Scene {
    let scene = Scene::new();
    scene.write("src/lib.rs", "pub fn foo_bar() -> u32 {\n    2\n}\n");
    scene.commit("fix: two\n\nbody\n");
    scene.git(&["checkout", "-q", "-b", "side"]);
    scene.write("tests/a.rs", "// a\n// b\n");
    scene.commit("test: a");
    scene.write("logo.png", b"\x89PNG\0\0");
    scene.commit("add the logo");
    scene.git(&["checkout", "-q", "main"]);
    scene.commit("empty");
    scene.git(&["merge", "-q", "--no-ff", "-m", "Merge branch 'side'", "side"]);
    scene
}

const ALL: &[&str] = &[
    "Merge branch 'side': 2 files, 2 lines, tests true",
    "empty: 0 files, 0 lines, tests false",
    "fix: two: 1 files, 2 lines, tests false",
];

#[test]
fn merges_count_as_one_change_and_the_first_commit_as_none() {
    let scene = merged();
    assert_eq!(told(&scene.open(), 100), ALL);
    assert_eq!(told(&scene.open(), 2), ALL[..2]);
    assert!(told(&scene.open(), 0).is_empty());
}

#[test]
fn a_shallow_clone_has_the_changes_it_has() {
    let scene = merged();
    let url = format!("file://{}", scene.repo().display());
    git(&scene.path(""), &["clone", "-q", "--depth=2", &url, "shallow"]);
    let shallow = Repository::open(&scene.path("shallow"), &scene.state()).unwrap();
    assert_eq!(told(&shallow, 100), ALL[..1]);
}

#[test]
fn a_partial_clone_says_that_something_is_missing() {
    let scene = merged();
    scene.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", scene.repo().display());
    git(&scene.path(""), &["clone", "-q", "--no-checkout", "--filter=blob:none", &url, "partial"]);
    let partial = Repository::open(&scene.path("partial"), &scene.state()).unwrap();
    let error = partial.history(&partial.resolve(None).unwrap(), 100).unwrap_err();
    assert!(matches!(error, RepoError::MissingObject { because: Missing::Partial, .. }), "{error}");
}

/// What a repository says about how it is to be shown or compared counts for nothing, and nothing of it is run.
#[test]
fn settings_of_the_repository_change_nothing() {
    let scene = merged();
    let trap = scene.path("trap");
    scene.write("../touch.sh", format!("#!/bin/sh\ntouch {}\n", trap.display()));
    let run = format!("sh {}", scene.path("touch.sh").display());
    for (key, value) in [
        ("diff.external", run.as_str()),
        ("diff.x.textconv", &run),
        ("core.pager", &run),
        ("log.showSignature", "true"),
        ("gpg.program", &run),
        ("diff.renames", "copies"),
        ("format.pretty", "fuller"),
        ("log.diffMerges", "off"),
    ] {
        scene.git(&["config", key, value]);
    }
    std::fs::write(scene.repo().join(".git/info/attributes"), "* diff=x\n*.rs binary\n").unwrap();
    assert_eq!(told(&scene.open(), 100), ALL);
    assert!(!trap.exists());
}
