//! What is in the tree lies in the folder, byte for byte, and nothing anywhere else.

use std::os::unix::fs::symlink;

use gloaming_api::RelPath;
use gloaming_workspace::{CommitId, EntryKind, RepoError, Repository, copy_tree};

use crate::support::{Scene, git_with, listing, os, set_mode, show, write};

#[test]
fn files_modes_links_and_odd_names_come_out_as_they_are() {
    let scene = Scene::empty(&[]);
    scene.write(".gitattributes", "* text=auto eol=crlf\n*.txt ident working-tree-encoding=UTF-16\n");
    scene.git(&["config", "core.autocrlf", "true"]);
    scene.write("crlf.c", "a\r\nb\r\n");
    scene.write("ident.txt", "$Id$\n");
    scene.write("bin/run", "#!/bin/sh\n");
    set_mode(&scene.repo().join("bin/run"), 0o755);
    scene.write("a name\nwith 😀", "odd\n");
    scene.write("empty", "");
    std::fs::write(scene.repo().join(os(b"caf\xe9")), b"\xff\x00").unwrap();
    symlink("bin/run", scene.repo().join("inside")).unwrap();
    symlink("/etc/passwd", scene.repo().join("outside")).unwrap();
    // Added as they are: no attribute applies to what is written as an object.
    let dir = scene.repo();
    scene.git(&["add", "-A", "--", "bin", "empty", "inside", "outside", ".gitattributes", "a name\nwith 😀"]);
    let mut index = Vec::new();
    for (name, content) in
        [(&b"crlf.c"[..], &b"a\r\nb\r\n"[..]), (b"ident.txt", b"$Id$\n"), (b"caf\xe9", b"\xff\x00")]
    {
        let oid = git_with(&dir, &["hash-object", "-w", "--stdin"], content);
        index.extend_from_slice(format!("100644 {}\t", oid.trim()).as_bytes());
        index.extend_from_slice(name);
        index.push(0);
    }
    git_with(&dir, &["update-index", "-z", "--index-info"], &index);
    scene.git(&["commit", "-q", "-m", "first"]);
    let (repository, checkout) = scene.checked_out();
    assert_eq!(
        show(checkout.dir()),
        "100644 .gitattributes = * text=auto eol=crlf\\n*.txt ident working-tree-encoding=UTF-16\\n\n\
         100644 a name\\nwith 😀 = odd\\n\n\
         040755 bin = \n\
         100755 bin/run = #!/bin/sh\\n\n\
         100644 caf\\xe9 = \\xff\\u{0}\n\
         100644 crlf.c = a\\r\\nb\\r\\n\n\
         100644 empty = \n\
         100644 ident.txt = $Id$\\n\n\
         120777 inside = bin/run\n\
         120777 outside = /etc/passwd\n"
    );
    let patch = repository.freeze(&checkout).unwrap();
    assert!(patch.is_empty() && patch.diff.is_empty() && &patch.tree == checkout.tree(), "{patch:?}");
    let entries = repository.list_files(checkout.base().unwrap()).unwrap();
    let odd = entries.iter().find(|entry| entry.path.is_none()).unwrap();
    assert_eq!((odd.display().as_str(), odd.kind, odd.size), ("caf\\xe9", EntryKind::File, 2));
}

#[test]
fn files_are_read_by_exact_name() {
    let scene = Scene::new();
    scene.write("*", "star");
    scene.write(":(glob)x", "magic");
    scene.write("line\nbreak", "odd");
    symlink("README.md", scene.repo().join("AGENTS.md")).unwrap();
    scene.commit("second");
    let repository = scene.open();
    let head = repository.resolve(None).unwrap();
    let read = |path: &str| repository.read_file(&head, &RelPath::parse(path).unwrap()).unwrap();
    assert_eq!(read("README.md"), Some(b"# Title\n".to_vec()));
    assert_eq!(read("*"), Some(b"star".to_vec()));
    assert_eq!(read(":(glob)x"), Some(b"magic".to_vec()));
    assert_eq!(read("line\nbreak"), Some(b"odd".to_vec()));
    for nothing in ["src", "", "nope", "src/nope", "AGENTS.md", "README.md/x"] {
        assert_eq!(read(nothing), None, "{nothing}");
    }
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone() {
    let scene = Scene::new();
    write(&scene.path("work/precious"), "x");
    let repository = scene.open();
    let head = repository.resolve(None).unwrap();
    let before = listing(&scene.path("work"));
    let error = repository.checkout(&head, &scene.path("work")).unwrap_err();
    assert!(matches!(error, RepoError::NotEmpty(_)), "{error}");
    assert_eq!(listing(&scene.path("work")), before);
}

#[test]
fn submodules_are_empty_folders() {
    let scene = Scene::new();
    let line = format!("160000 {}\tvendor/lib\0", scene.head());
    git_with(&scene.repo(), &["update-index", "-z", "--index-info"], line.as_bytes());
    scene.git(&["commit", "-q", "-m", "submodule"]);
    let (repository, checkout) = scene.checked_out();
    assert!(checkout.dir().join("vendor/lib").is_dir());
    assert!(repository.freeze(&checkout).unwrap().is_empty());
    // Filled by a job, it is still no part of a patch; removed, it still stands.
    write(&checkout.dir().join("vendor/lib/x"), "x");
    let patch = repository.freeze(&checkout).unwrap();
    assert!(patch.is_empty());
    assert_eq!(patch.skipped[0].path, "vendor/lib");
    std::fs::remove_dir_all(checkout.dir().join("vendor")).unwrap();
    assert!(repository.freeze(&checkout).unwrap().is_empty());
}

/// Makes a commit of trees that git itself would refuse to make.
fn hostile_commit(scene: &Scene, entries: &[(&str, &[u8], &str)]) -> CommitId {
    let mut tree = Vec::new();
    for (mode, name, oid) in entries {
        tree.extend_from_slice(mode.as_bytes());
        tree.push(b' ');
        tree.extend_from_slice(name);
        tree.push(0);
        tree.extend((0..oid.len()).step_by(2).map(|i| u8::from_str_radix(&oid[i..i + 2], 16).unwrap()));
    }
    let dir = scene.repo();
    let tree = git_with(&dir, &["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], &tree);
    git_with(&dir, &["commit-tree", tree.trim(), "-m", "hostile"], b"").trim().parse().unwrap()
}

#[test]
fn hostile_trees_are_refused_before_anything_is_written() {
    let scene = Scene::new();
    let dir = scene.repo();
    let blob = git_with(&dir, &["hash-object", "-w", "--stdin"], b"evil\n").trim().to_owned();
    let link = git_with(
        &dir,
        &["hash-object", "-w", "--stdin"],
        scene.path("outside").as_os_str().as_encoded_bytes(),
    );
    let link = link.trim();
    let inner = git_with(&dir, &["mktree"], format!("100644 blob {blob}\tx\n").as_bytes()).trim().to_owned();
    std::fs::create_dir(scene.path("outside")).unwrap();
    for entries in [
        &[("100644", &b".git"[..], blob.as_str())][..],
        &[("40000", b".git", &inner)],
        &[("40000", b".GIT", &inner)],
        &[("40000", b"git~1", &inner)],
        &[("40000", b"..", &inner)],
        &[("40000", b".", &inner)],
        &[("100644", b"../outside/x", &blob)],
        &[("100644", b"a/../../outside/x", &blob)],
        &[("100644", b"/tmp/gloaming-escape", &blob)],
        // A link and a folder of one name: written in this order, the folder's file would land outside.
        &[("120000", b"a", link), ("40000", b"a", &inner)],
        &[("100644", b"a", &blob), ("100644", b"a", &blob)],
    ] {
        let commit = hostile_commit(&scene, entries);
        let repository = scene.open();
        let result = repository.checkout(&commit, &scene.path("work"));
        assert!(
            matches!(result, Err(RepoError::HostileTree { .. } | RepoError::Git { .. })),
            "{entries:?}: {result:?}"
        );
        assert!(!scene.path("work").exists(), "{entries:?}");
        assert_eq!(listing(&scene.path("outside")).len(), 0, "{entries:?}");
    }
    assert!(!std::path::Path::new("/tmp/gloaming-escape").exists());
}

#[test]
fn nesting_beyond_all_reason_is_refused() {
    let scene = Scene::new();
    let blob = git_with(&scene.repo(), &["hash-object", "-w", "--stdin"], b"x").trim().to_owned();
    let mut tree = git_with(&scene.repo(), &["mktree"], format!("100644 blob {blob}\tx\n").as_bytes());
    for _ in 0..300 {
        tree = git_with(&scene.repo(), &["mktree"], format!("040000 tree {}\td\n", tree.trim()).as_bytes());
    }
    let commit = scene.git(&["commit-tree", tree.trim(), "-m", "deep"]).trim().parse().unwrap();
    let result = scene.open().checkout(&commit, &scene.path("work"));
    assert!(matches!(result, Err(RepoError::HostileTree { .. })), "{result:?}");
}

#[test]
fn a_copy_keeps_modes_times_and_links() {
    let scene = Scene::new();
    scene.write("bin/run", "x");
    set_mode(&scene.repo().join("bin/run"), 0o755);
    symlink("/etc", scene.repo().join("out")).unwrap();
    symlink("gone", scene.repo().join("dangling")).unwrap();
    scene.commit("second");
    let (_, checkout) = scene.checked_out();
    let fifo = checkout.dir().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::fs::create_dir(checkout.dir().join("read-only")).unwrap();
    write(&checkout.dir().join("read-only/x"), "x");
    set_mode(&checkout.dir().join("read-only"), 0o555);
    copy_tree(checkout.dir(), &scene.path("copy")).unwrap();
    assert_eq!(show(&scene.path("copy")), show(checkout.dir()));
    for name in ["README.md", "src", "out", "read-only"] {
        let time = |dir: &std::path::Path| dir.join(name).symlink_metadata().unwrap().modified().unwrap();
        assert_eq!(time(&scene.path("copy")), time(checkout.dir()), "{name}");
    }
    assert!(copy_tree(checkout.dir(), &scene.path("copy")).is_err(), "the target is not empty");
    write(&checkout.dir().join(".git/config"), "x");
    copy_tree(checkout.dir(), &scene.path("without-git")).unwrap();
    assert_eq!(show(&scene.path("without-git")), show(&scene.path("copy")));
    set_mode(&checkout.dir().join("read-only"), 0o755);
    set_mode(&scene.path("copy/read-only"), 0o755);
    set_mode(&scene.path("without-git/read-only"), 0o755);
}

#[test]
fn a_checkout_made_by_another_process_is_opened_again() {
    let scene = Scene::new();
    let (_, checkout) = scene.checked_out();
    write(&checkout.dir().join("README.md"), "changed\n");
    let repository = Repository::open(&scene.repo(), &scene.state()).unwrap();
    let again = repository.reopen(checkout.base().unwrap(), checkout.dir()).unwrap();
    assert_eq!(crate::support::files(&repository.freeze(&again).unwrap()), ["Modified README.md +1 -1"]);
    assert!(repository.reopen(checkout.base().unwrap(), &scene.path("nowhere")).is_err());
}

#[test]
fn what_is_withheld_is_gone_from_the_copy_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (from, copy) = (dir.path().join("from"), dir.path().join("copy"));
    std::fs::create_dir_all(from.join("deep/secrets")).unwrap();
    for name in [".env", "kept", "deep/secrets/key", "deep/kept"] {
        std::fs::write(from.join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("kept", from.join("deep/secrets/link")).unwrap();
    copy_tree(&from, &copy).unwrap();
    let hidden = |path: &gloaming_api::RelPath| path.as_str() == ".env" || path.as_str().contains("secrets/");
    let gone = gloaming_workspace::withhold(&copy, &hidden).unwrap();
    let gone: Vec<&str> = gone.iter().map(gloaming_api::RelPath::as_str).collect();
    assert_eq!(gone, [".env", "deep/secrets/key", "deep/secrets/link"]);
    assert!(copy.join("kept").exists() && copy.join("deep/kept").exists() && !copy.join(".env").exists());
    assert!(from.join(".env").exists());
}
