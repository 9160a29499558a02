//! Nothing that a repository's own settings name is ever run.

use std::path::Path;

use gloaming_workspace::{Interrupt, Missing, RepoError, Repository};

use crate::support::{Scene, author, git, listing, set_mode, try_git, when, write};

/// Sets everything of a repository that names a program to one that leaves a marker.
fn plant(repo: &Path, marker: &Path) {
    let script = repo.join(".git/evil.sh");
    // Works as a filter, hook, fsmonitor, pager, ssh or helper alike.
    write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat 2>/dev/null\nexit 0\n", marker.display()));
    set_mode(&script, 0o755);
    let run = script.display().to_string();
    let hooks = repo.join(".git/hooks");
    for hook in [
        "reference-transaction",
        "post-checkout",
        "post-commit",
        "pre-commit",
        "post-index-change",
        "post-rewrite",
        "pre-auto-gc",
        "fsmonitor-watchman",
        "post-update",
        "update",
        "pre-receive",
        "applypatch-msg",
        "pre-applypatch",
        "post-applypatch",
        "sendemail-validate",
        "prepare-commit-msg",
        "commit-msg",
        "post-merge",
        "pre-push",
        "proc-receive",
    ] {
        write(&hooks.join(hook), format!("#!/bin/sh\necho {hook} >> '{}'\n", marker.display()));
        set_mode(&hooks.join(hook), 0o755);
    }
    let mut settings = String::new();
    for (section, lines) in [
        (
            "core",
            format!(
                "hooksPath = {}\nfsmonitor = {run}\nsshCommand = {run}\npager = {run}\neditor = {run}\naskPass = {run}\n\
                 gitProxy = {run}\nalternateRefsCommand = {run}\nexcludesFile = {run}\nattributesFile = {}\n",
                hooks.display(),
                repo.join(".git/evil-attributes").display()
            ),
        ),
        ("filter \"evil\"", format!("clean = {run}\nsmudge = {run}\nprocess = {run}\nrequired = true\n")),
        ("diff", format!("external = {run}\n")),
        ("diff \"evil\"", format!("textconv = {run}\ncommand = {run}\n")),
        ("merge \"evil\"", format!("driver = {run}\n")),
        ("credential", format!("helper = {run}\n")),
        ("gpg", format!("program = {run}\n")),
        ("commit", "gpgSign = true\n".to_owned()),
        ("gc", "auto = 1\n".to_owned()),
        ("maintenance", "auto = true\n".to_owned()),
        ("uploadpack", format!("packObjectsHook = {run}\n")),
        ("protocol \"ext\"", "allow = always\n".to_owned()),
        ("interactive", format!("diffFilter = {run}\n")),
        ("sequence", format!("editor = {run}\n")),
        ("pager", format!("diff-tree = {run}\nls-tree = {run}\nconfig = {run}\n")),
        ("submodule \"x\"", format!("update = !{run}\n")),
        (
            "alias",
            ["ls-tree", "cat-file", "apply", "update-ref", "status", "diff-tree"]
                .map(|name| format!("{name} = !{run}\n"))
                .concat(),
        ),
        (
            "remote \"origin\"",
            format!(
                "url = ext::{run}\npromisor = true\nuploadpack = {run}\npartialclonefilter = blob:none\nvcs = ext\n"
            ),
        ),
    ] {
        settings.push_str(&format!("[{section}]\n{lines}"));
    }
    write(&repo.join(".git/included"), &settings);
    write(&repo.join(".git/evil-attributes"), "* filter=evil diff=evil merge=evil\n");
    write(&repo.join(".git/info/attributes"), "* filter=evil diff=evil merge=evil\n");
    let config = std::fs::read_to_string(repo.join(".git/config")).unwrap();
    write(&repo.join(".git/config"), format!("{config}{settings}[include]\npath = included\n"));
}

/// The path of each way in, so that a marker tells which one was taken.
fn assert_unmarked(marker: &Path, after: &str) {
    if let Ok(ran) = std::fs::read_to_string(marker) {
        panic!("{after} ran: {ran}");
    }
}

#[test]
fn hooks_filters_textconv_fsmonitor_diff_ssh_and_helpers_do_not_run() {
    let scene = Scene::new();
    scene.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    scene.commit("second");
    let marker = scene.path("marker");
    plant(&scene.repo(), &marker);

    // The traps are real: git itself falls into them.
    scene.write("README.md", "# changed\n");
    for command in [
        &["status"][..],
        &["diff"],
        &["update-ref", "refs/heads/probe", "HEAD"],
        &["checkout", "--", "README.md"],
    ] {
        let _ = std::fs::remove_file(&marker);
        try_git(&scene.repo(), command, b"");
        assert!(marker.exists(), "git {command:?} runs what the repository names");
    }
    scene.write("README.md", "# changed again\n");
    let _ = std::fs::remove_file(&marker);

    let repository = scene.open();
    assert_unmarked(&marker, "opening");
    let base = repository.resolve(Some("main")).unwrap();
    assert_unmarked(&marker, "resolving");
    let notes = repository.notes(&base);
    assert!(notes[0].contains("README.md"), "{notes:?}");
    assert_unmarked(&marker, "looking for uncommitted changes");
    let checkout = repository.checkout(&base, &scene.path("work")).unwrap();
    assert_unmarked(&marker, "checking out");
    write(&checkout.dir().join("README.md"), "# work\n");
    write(&checkout.dir().join("new.txt"), "new\n");
    let patch = repository.freeze(&checkout).unwrap();
    assert_unmarked(&marker, "freezing");
    assert_eq!(repository.patch_from_bytes(&base, &patch.diff).unwrap(), patch);
    assert_unmarked(&marker, "applying");
    repository.publish(&base, &patch, "gloaming/t-1", "m", &author(), when()).unwrap();
    assert_unmarked(&marker, "publishing");
    let url = format!("file://{}", scene.repo().display());
    let before = listing(&scene.repo());
    let cloned =
        Repository::clone_url(&url, &scene.path("clone"), &scene.state(), &Interrupt::default()).unwrap();
    assert_eq!(cloned.resolve(Some("main")).unwrap(), base);
    assert_unmarked(&marker, "cloning");
    assert_eq!(listing(&scene.repo()), before);
}

#[test]
fn a_missing_object_is_not_fetched_by_what_the_repository_names() {
    let scene = Scene::new();
    let marker = scene.path("marker");
    plant(&scene.repo(), &marker);
    let config = std::fs::read_to_string(scene.repo().join(".git/config")).unwrap();
    let config =
        format!("{config}[core]\nrepositoryformatversion = 1\n[extensions]\npartialClone = origin\n");
    write(&scene.repo().join(".git/config"), config);
    let blob = git(&scene.repo(), &["-c", "core.fsmonitor=false", "rev-parse", "HEAD:README.md"]);
    let blob = blob.trim();
    std::fs::remove_file(scene.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let _ = std::fs::remove_file(&marker);
    let repository = scene.open();
    let base = repository.resolve(None).unwrap();
    let error = repository.checkout(&base, &scene.path("work")).unwrap_err();
    assert!(matches!(error, RepoError::MissingObject { because: Missing::Partial, .. }), "{error}");
    repository.notes(&base);
    let url = format!("file://{}", scene.repo().display());
    assert!(
        Repository::clone_url(&url, &scene.path("clone"), &scene.state(), &Interrupt::default()).is_err()
    );
    assert_unmarked(&marker, "a missing object");
}

#[test]
fn settings_that_would_hang_or_mislead_git_are_not_read() {
    let scene = Scene::new();
    let fifo = scene.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let config = std::fs::read_to_string(scene.repo().join(".git/config")).unwrap();
    let config = format!(
        "{config}[include]\npath = {0}\n[core]\nworktree = /\nattributesFile = {0}\nexcludesFile = {0}\n",
        fifo.display()
    );
    write(&scene.repo().join(".git/config"), config);
    // A replaced object would change what the base is.
    let other = scene.path("other");
    write(&other, "replaced\n");
    let (repository, checkout) = scene.checked_out();
    write(&checkout.dir().join("README.md"), "x\n");
    let patch = repository.freeze(&checkout).unwrap();
    assert_eq!(repository.notes(&patch.base), Vec::<String>::new());
    repository.publish(&patch.base, &patch, "gloaming/t-1", "m", &author(), when()).unwrap();
}

#[test]
fn replaced_objects_are_seen_as_they_were_committed() {
    let scene = Scene::new();
    let original = scene.git(&["rev-parse", "HEAD:README.md"]);
    let evil = crate::support::git_with(&scene.repo(), &["hash-object", "-w", "--stdin"], b"replaced\n");
    scene.git(&["replace", original.trim(), evil.trim()]);
    let (_, checkout) = scene.checked_out();
    assert_eq!(std::fs::read_to_string(checkout.dir().join("README.md")).unwrap(), "# Title\n");
}
