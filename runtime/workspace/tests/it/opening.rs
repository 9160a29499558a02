//! Each way a path is or is not a repository has its own clear answer.

use gloaming_workspace::{Missing, RepoError, Repository};

use crate::support::{Scene, git, has_reftable, listing, set_mode, write};

fn error(scene: &Scene, name: &str) -> (String, String) {
    let error = Repository::open(&scene.path(name), &scene.state()).unwrap_err();
    let root = scene.path("").display().to_string();
    let strip = |text: String| text.replace(root.trim_end_matches('/'), "DIR");
    (strip(error.to_string()), strip(error.hint().unwrap_or_default()))
}

#[test]
fn what_is_no_repository_says_why() {
    let scene = Scene::new();
    write(&scene.path("file"), "x");
    write(&scene.path("plain/x"), "x");
    write(&scene.path("broken/.git/HEAD"), "ref: refs/heads/main\n");
    write(&scene.path("pointer/.git"), "gitdir: ../nowhere\n");
    write(&scene.path("nonsense/.git"), "hello\n");
    std::fs::create_dir(scene.path("fifo")).unwrap();
    let fifo = scene.path("fifo/.git");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let lines: Vec<String> =
        ["missing", "file", "plain", "repo/src", "broken", "pointer", "nonsense", "fifo"]
            .iter()
            .map(|name| {
                let (error, hint) = error(&scene, name);
                format!("{error} | {hint}")
            })
            .collect();
    assert_eq!(
        lines.join("\n"),
        "there is no folder DIR/missing | give the folder of a git repository\n\
         DIR/file is not a folder | give the folder of a git repository\n\
         DIR/plain is not a git repository | give a folder that holds .git, or a bare repository; `git init` makes one\n\
         DIR/repo/src is not a git repository | it lies inside the repository DIR/repo; give that folder\n\
         DIR/broken is not a readable git repository: DIR/broken/.git has no objects | run `git fsck` in it\n\
         DIR/pointer is not a readable git repository: DIR/pointer/../nowhere has no HEAD | run `git fsck` in it\n\
         DIR/nonsense/.git is not a readable git repository: it does not begin with `gitdir: ` | run `git fsck` in it\n\
         DIR/fifo/.git is not a readable git repository: it is not a regular file | run `git fsck` in it"
    );
}

#[test]
fn a_repository_without_commits_says_so() {
    let scene = Scene::empty(&[]);
    assert_eq!(
        error(&scene, "repo"),
        ("DIR/repo has no commits yet".into(), "commit something first; a patch needs a base".into())
    );
}

#[test]
fn an_unborn_head_beside_other_branches_asks_for_the_base() {
    let scene = Scene::new();
    scene.git(&["checkout", "-q", "--orphan", "fresh"]);
    let repository = scene.open();
    let error = repository.resolve(None).unwrap_err();
    assert!(matches!(&error, RepoError::UnbornHead { branch, .. } if branch == "fresh"), "{error}");
    assert!(repository.resolve(Some("main")).is_ok());
}

#[test]
fn a_folder_that_may_not_be_read_is_a_matter_of_permission() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything; the variant is covered by the mapping of system errors.
        return;
    }
    let scene = Scene::new();
    set_mode(&scene.repo(), 0);
    let result = Repository::open(&scene.repo(), &scene.state());
    set_mode(&scene.repo(), 0o755);
    assert!(matches!(result, Err(RepoError::Permission { .. })), "{result:?}");
}

#[test]
fn an_unknown_extension_is_refused() {
    let scene = Scene::new();
    scene.git(&["config", "core.repositoryFormatVersion", "1"]);
    scene.git(&["config", "extensions.fromTheFuture", "true"]);
    assert_eq!(error(&scene, "repo").0, "DIR/repo uses the extension fromthefuture, which is not supported");
}

#[test]
fn revisions_resolve_as_git_resolves_them() {
    let scene = Scene::new();
    let first = scene.head();
    scene.git(&["tag", "-a", "-m", "annotated", "v1"]);
    scene.git(&["update-ref", "refs/remotes/origin/topic", "HEAD"]);
    scene.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/topic"]);
    scene.write("README.md", "two\n");
    let second = scene.commit("second");
    scene.git(&["branch", "feature/x"]);
    for packed in [false, true] {
        if packed {
            scene.git(&["pack-refs", "--all"]);
            scene.git(&["gc", "-q"]);
        }
        let repository = scene.open();
        let short = &first.as_str()[..8];
        for (rev, expected) in [
            ("HEAD", &second),
            ("@", &second),
            ("main", &second),
            ("refs/heads/main", &second),
            ("heads/main", &second),
            ("feature/x", &second),
            ("v1", &first),
            ("tags/v1", &first),
            ("v1^{commit}", &first),
            ("HEAD~1", &first),
            ("main^", &first),
            ("origin/topic", &first),
            ("origin", &first),
            (short, &first),
            (first.as_str(), &first),
        ] {
            assert_eq!(&repository.resolve(Some(rev)).unwrap(), expected, "{rev}");
        }
        assert_eq!(repository.resolve(None).unwrap(), second);
        for bad in [
            "nope",
            "",
            " ",
            "-x",
            "--help",
            "../HEAD",
            "main~5",
            "HEAD@{1}",
            "main..v1",
            ":/first",
            "v1^{tree}",
            "HEAD:README.md",
            "refs/../config",
            "0000000000000000000000000000000000000000",
            "a\nb",
        ] {
            let error = repository.resolve(Some(bad)).unwrap_err();
            assert!(matches!(error, RepoError::UnknownRevision { .. }), "{bad:?}: {error}");
        }
        let blob = scene.git(&["rev-parse", "HEAD:README.md"]);
        let error = repository.resolve(Some(blob.trim())).unwrap_err();
        assert!(matches!(error, RepoError::NotACommit { .. }), "{error}");
    }
}

#[test]
fn bare_worktree_reftable_and_sha256_repositories_open() {
    let scene = Scene::new();
    scene.git(&["worktree", "add", "-q", "-b", "side", "../linked"]);
    write(&scene.path("linked/side.txt"), "x\n");
    git(&scene.path("linked"), &["add", "-A"]);
    git(&scene.path("linked"), &["commit", "-q", "-m", "side"]);
    git(&scene.path(""), &["clone", "-q", "--bare", "repo", "bare"]);
    for (name, files) in [("repo", 2), ("repo/.git", 2), ("linked", 3), ("bare", 2)] {
        let repository = Repository::open(&scene.path(name), &scene.state()).unwrap();
        let head = repository.resolve(None).unwrap();
        assert_eq!(repository.list_files(&head).unwrap().len(), files, "{name}");
        assert_eq!(repository.notes(&head), Vec::<String>::new(), "{name}");
    }
    for init in [&["--object-format=sha256"][..], &["--ref-format=reftable"]] {
        if init[0].contains("reftable") && !has_reftable() {
            continue;
        }
        let scene = Scene::empty(init);
        assert_eq!(error(&scene, "repo").0, "DIR/repo has no commits yet", "{init:?}");
        scene.write("a.txt", "a\n");
        let head = scene.commit("first");
        let (repository, checkout) = scene.checked_out();
        assert_eq!(checkout.base(), Some(&head));
        assert_eq!(repository.resolve(Some("main")).unwrap(), head);
        write(&checkout.dir().join("a.txt"), "b\n");
        let patch = repository.freeze(&checkout).unwrap();
        assert_eq!(repository.patch_from_bytes(&head, &patch.diff).unwrap(), patch, "{init:?}");
    }
}

#[test]
fn borrowed_objects_are_found_along_a_chain_of_alternates() {
    let scene = Scene::new();
    git(&scene.path(""), &["clone", "-q", "--shared", "repo", "second"]);
    git(&scene.path(""), &["clone", "-q", "--shared", "second", "third"]);
    // By a relative path, as some tools write it.
    write(&scene.path("third/.git/objects/info/alternates"), "../../../second/.git/objects\n");
    let repository = Repository::open(&scene.path("third"), &scene.state()).unwrap();
    let head = repository.resolve(None).unwrap();
    repository.checkout(&head, &scene.path("work")).unwrap();
}

#[test]
fn notes_tell_what_was_not_seen() {
    let scene = Scene::new();
    git(&scene.path(""), &["init", "-q", "-b", "main", "library"]);
    git(&scene.path("library"), &["commit", "-q", "--allow-empty", "-m", "x"]);
    scene.git(&["submodule", "--quiet", "add", "../library", "vendor/library"]);
    scene.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    scene.write(
        "big.bin",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
    );
    scene.commit("second");
    std::fs::write(scene.repo().join(os_name()), "x").unwrap();
    scene.commit("third");
    git(
        &scene.path(""),
        &["clone", "-q", "--depth=1", &format!("file://{}", scene.repo().display()), "shallow"],
    );
    let shallow = scene.path("shallow");
    write(&shallow.join("README.md"), "changed\n");
    write(&shallow.join("src/lib.rs"), "staged\n");
    git(&shallow, &["add", "src/lib.rs"]);
    write(&shallow.join("untracked"), "x");
    let before = listing(&shallow);
    let repository = Repository::open(&shallow, &scene.state()).unwrap();
    let head = repository.resolve(None).unwrap();
    assert_eq!(
        repository.notes(&head).join("\n"),
        "uncommitted changes are not seen: 2 files (README.md, src/lib.rs); only what is committed counts\n\
         the clone is shallow: commits before its border are not there\n\
         submodules are left out, their folders are empty: 1 submodule (vendor/library)\n\
         Git LFS files are seen as their pointers, not their content: 1 file (big.bin)\n\
         1 file with a name that is not UTF-8 can be built and tested but not changed"
    );
    assert_eq!(listing(&shallow), before);
    let error = repository.resolve(Some("HEAD~1")).unwrap_err();
    assert!(matches!(error, RepoError::MissingObject { because: Missing::Shallow, .. }), "{error}");
}

fn os_name() -> &'static std::ffi::OsStr {
    crate::support::os(b"caf\xe9.txt")
}

#[test]
fn a_touched_file_is_not_an_uncommitted_change() {
    let scene = Scene::new();
    scene.git(&["update-index", "--split-index"]);
    scene.write("README.md", "# Title\n");
    let repository = scene.open();
    let head = repository.resolve(None).unwrap();
    assert_eq!(repository.notes(&head), Vec::<String>::new());
    std::fs::remove_file(scene.repo().join("README.md")).unwrap();
    assert_eq!(
        repository.notes(&head),
        ["uncommitted changes are not seen: 1 file (README.md); only what is committed counts"]
    );
}

#[test]
fn an_object_missing_from_a_damaged_or_partial_repository_is_named() {
    let scene = Scene::new();
    let blob = scene.git(&["rev-parse", "HEAD:README.md"]).trim().to_owned();
    scene.git(&["config", "uploadpack.allowFilter", "true"]);
    git(
        &scene.path(""),
        &[
            "clone",
            "-q",
            "--no-checkout",
            "--filter=blob:none",
            &format!("file://{}", scene.repo().display()),
            "partial",
        ],
    );
    let partial = Repository::open(&scene.path("partial"), &scene.state()).unwrap();
    let head = partial.resolve(None).unwrap();
    let error = partial.checkout(&head, &scene.path("work")).unwrap_err();
    assert!(matches!(&error, RepoError::MissingObject { because: Missing::Partial, .. }), "{error}");
    assert!(!scene.path("work").exists(), "nothing is left of a checkout that failed");

    std::fs::remove_file(scene.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let damaged = scene.open();
    let error = damaged.checkout(&head, &scene.path("work")).unwrap_err();
    assert!(
        matches!(&error, RepoError::MissingObject { because: Missing::Damaged, oid, .. } if *oid == blob),
        "{error}"
    );
}
