//! Anybody's diff becomes our canonical one, or says where it does not fit.

use gloaming_workspace::ApplyError;

use crate::support::{Scene, files, git_with};

fn apply(scene: &Scene, diff: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let repository = scene.open();
    let base = repository.resolve(None).unwrap();
    repository
        .patch_from_bytes(&base, diff.as_ref())
        .map(|patch| files(&patch))
        .map_err(|error| error.to_string())
}

#[test]
fn diffs_of_many_makes_apply() {
    let scene = Scene::new();
    let edit = "--- a/README.md\n+++ b/README.md\n@@ -1 +1,2 @@\n # Title\n+more\n";
    let expected = Ok(vec!["Modified README.md +1 -0".to_owned()]);
    assert_eq!(apply(&scene, edit), expected);
    assert_eq!(apply(&scene, edit.replace("a/", "old/").replace("b/", "new/")), expected);
    assert_eq!(
        apply(&scene, format!("From abc Mon Sep 17\nSubject: [PATCH] x\n\n---\n{edit}-- \n2.47.3\n")),
        expected
    );
    assert_eq!(
        apply(
            &scene,
            "diff --git a/README.md b/docs/README.md\nsimilarity index 100%\nrename from README.md\nrename to docs/README.md\n"
        ),
        Ok(vec!["Deleted README.md +0 -1".to_owned(), "Added docs/README.md +1 -0".to_owned()])
    );
    assert_eq!(
        apply(&scene, "diff --git a/src/lib.rs b/src/lib.rs\nold mode 100644\nnew mode 100755\n"),
        Ok(vec!["ModeChanged src/lib.rs +0 -0".to_owned()])
    );
    // White space errors are no errors, and are kept.
    assert_eq!(
        apply(&scene, "--- a/README.md\n+++ b/README.md\n@@ -1 +1,2 @@\n # Title\n+trailing  \r\n"),
        expected
    );
}

#[test]
fn line_endings_count() {
    let scene = Scene::empty(&[]);
    scene.write("dos.txt", "a\r\nb\r\n");
    scene.commit("first");
    let dos = "--- a/dos.txt\n+++ b/dos.txt\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+c\r\n";
    assert_eq!(apply(&scene, dos), Ok(vec!["Modified dos.txt +1 -1".to_owned()]));
    assert!(apply(&scene, dos.replace('\r', "")).is_err());
}

#[test]
fn what_does_not_apply_says_where() {
    let scene = Scene::new();
    for (diff, expected) in [
        ("", "there is no diff in the patch"),
        (" \n\n", "there is no diff in the patch"),
        ("hello\n", "there is no diff in the patch"),
        (
            "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1 +1 @@\n-nope\n+x\n",
            "the patch does not apply: patch failed: src/lib.rs:1 (src/lib.rs: patch does not apply)",
        ),
        (
            "--- a/src/gone.rs\n+++ b/src/gone.rs\n@@ -1 +1 @@\n-nope\n+x\n",
            "the patch does not apply: src/gone.rs: does not exist in index",
        ),
        (
            "--- /dev/null\n+++ b/README.md\n@@ -0,0 +1 @@\n+x\n",
            "the patch does not apply: README.md: already exists in index",
        ),
        (
            "--- a/README.md\n+++ b/README.md\n@@ -1 +1,9 @@\n # Title\n+x\n",
            "the patch does not apply: corrupt patch at line 6",
        ),
    ] {
        assert_eq!(apply(&scene, diff).unwrap_err(), expected, "{diff}");
    }
    let repository = scene.open();
    let base = repository.resolve(None).unwrap();
    let diff = b"--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -2 +2 @@\n-nope\n+x\n";
    let error = repository.patch_from_bytes(&base, diff).unwrap_err();
    assert!(
        matches!(&error, ApplyError::DoesNotApply { file: Some(file), line: Some(2), .. } if file == "src/lib.rs"),
        "{error:?}"
    );
}

#[test]
fn paths_that_leave_the_repository_are_refused() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(scene.path("outside"), scene.repo().join("link")).unwrap();
    scene.commit("a link");
    std::fs::create_dir(scene.path("outside")).unwrap();
    for path in [
        "../outside/x",
        "a/../../outside/x",
        ".git/hooks/post-commit",
        ".GIT/config",
        "sub/.git/config",
        "git~1/x",
        "link/x",
    ] {
        let diff = format!(
            "diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        );
        let repository = scene.open();
        let base = repository.resolve(None).unwrap();
        let error = repository.patch_from_bytes(&base, diff.as_bytes()).unwrap_err();
        assert!(matches!(error, ApplyError::BadPath { .. }), "{path}: {error:?}");
    }
    assert_eq!(std::fs::read_dir(scene.path("outside")).unwrap().count(), 0);
}

#[test]
fn a_submodule_is_not_moved_by_a_patch() {
    let scene = Scene::new();
    let line = format!("160000 {}\tvendor\0", scene.head());
    git_with(&scene.repo(), &["update-index", "-z", "--index-info"], line.as_bytes());
    scene.git(&["commit", "-q", "-m", "submodule"]);
    let old = scene.git(&["rev-parse", "HEAD~1"]);
    let new = scene.head();
    let diff = format!(
        "diff --git a/vendor b/vendor\nindex {}..{new} 160000\n--- a/vendor\n+++ b/vendor\n@@ -1 +1 @@\n-Subproject commit {}\n+Subproject commit {new}\n",
        old.trim(),
        old.trim()
    );
    assert_eq!(
        apply(&scene, diff).unwrap_err(),
        "the patch changes the submodule \"vendor\", which is not supported"
    );
    // Beside one, everything works.
    let edit = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Title\n+x\n";
    assert_eq!(apply(&scene, edit), Ok(vec!["Modified README.md +1 -1".to_owned()]));
}

#[test]
fn the_digest_is_of_our_own_diff() {
    let scene = Scene::new();
    let repository = scene.open();
    let base = repository.resolve(None).unwrap();
    let one = b"--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Title\n+x\n";
    let two = b"noise\ndiff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1,1 +1,1 @@\n-# Title\n+x\n";
    let one = repository.patch_from_bytes(&base, one).unwrap();
    let two = repository.patch_from_bytes(&base, two).unwrap();
    assert_eq!(one, two);
    assert_eq!(
        String::from_utf8(one.diff).unwrap(),
        "diff --git a/README.md b/README.md\n\
         index a9738745554a034f4e28b7eaa04a6ce09e294b36..587be6b4c3f93f93c489c0111bba5596147a26cb 100644\n\
         --- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Title\n+x\n"
    );
}
