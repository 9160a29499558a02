//! Writing, one file and several.

use std::os::unix::fs::symlink;

use super::escapes::in_own_mounts;
use super::*;

fn put_change(name: &str, content: &str, expected: Expected) -> Change {
    Change::Put { path: path(name), data: content.as_bytes().to_vec(), expected, mode: None, folders: true }
}

fn removal(name: &str, expected: Expected) -> Change {
    Change::Remove { path: path(name), expected }
}

fn renaming(from: &str, to: &str, expected: Expected) -> Change {
    Change::Rename { from: path(from), to: path(to), expected, replace: false }
}

fn version(content: &str) -> Expected {
    Expected::Version(Digest::of(content).to_string())
}

/// Each level once took a frame of the host's stack, of which the guest leaves as little as it likes: the process
/// aborted.
#[test]
fn a_path_of_two_thousand_new_folders_costs_neither_the_stack_nor_the_disk() {
    let dir = workspace(&[]);
    for (way, mut session) in both(dir.path()) {
        let many = path(&format!("{}x", "n/".repeat(2_000)));
        let small = std::thread::Builder::new().stack_size(256 << 10);
        let refused = std::thread::scope(|scope| {
            let write = || refusal(session.write(many, b"x".to_vec(), Expected::Any));
            small.spawn_scoped(scope, write).unwrap().join().unwrap()
        });
        assert_eq!(refused.0, ToolErrorCode::TooLarge, "{way}: {}", refused.1);
        assert!(refused.1.ends_with("more than 500 folders would be made at once"), "{way}: {}", refused.1);
        assert!(tree(dir.path()).is_empty(), "{way}: what was made before is taken back");
        session.write(path(&format!("{}x", "n/".repeat(500))), b"x".to_vec(), Expected::Any).unwrap();
        std::fs::remove_dir_all(dir.path().join("n")).unwrap();
    }
}

#[test]
fn a_file_is_made_with_its_folders_and_replaced_with_its_mode_kept() {
    for way in 0..2 {
        let dir = workspace(&[("run.sh", "old"), ("private", "old")]);
        std::fs::set_permissions(dir.path().join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(dir.path().join("private"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let (_, mut session) = both(dir.path()).into_iter().nth(way).unwrap();
        let made = session.write(path("a/b/c.txt"), b"new".to_vec(), Expected::Absent).unwrap();
        assert_eq!(made, Digest::of("new"));
        session.write(path("run.sh"), b"new".to_vec(), Expected::Any).unwrap();
        session.write(path("private"), b"new".to_vec(), version("old")).unwrap();
        assert_eq!(get(dir.path(), "a/b/c.txt").unwrap(), "new");
        assert_eq!(mode(dir.path(), "run.sh"), 0o755);
        assert_eq!(mode(dir.path(), "private"), 0o600);
        assert_eq!(mode(dir.path(), "a/b/c.txt") & 0o111, 0);
        assert_eq!(tree(dir.path()), ["a", "a/b", "a/b/c.txt", "private", "run.sh"]);
        let writes: Vec<String> =
            session.access.writes().iter().map(|w| format!("{} {}", w.path, w.bytes)).collect();
        assert_eq!(writes, ["a/b/c.txt 3", "private 3", "run.sh 3"]);
    }
}

#[test]
fn a_change_happens_only_to_what_it_expects() {
    let dir = workspace(&[("a", "one"), ("folder/x", "")]);
    for (way, mut session) in both(dir.path()) {
        for (change, expected) in [
            (put_change("a", "new", Expected::Absent), "a exists already"),
            (put_change("a", "new", version("two")), "a has changed since it was read"),
            (put_change("a", "new", Expected::Version("nonsense".into())), "a has changed since it was read"),
            (put_change("b", "new", version("two")), "b is no longer there"),
            (removal("a", version("two")), "a has changed since it was read"),
            (renaming("a", "b", version("two")), "a has changed since it was read"),
            (renaming("a", "folder/x", Expected::Any), "folder/x exists already"),
            (renaming("a", "folder", Expected::Any), "folder exists already"),
        ] {
            let answer = refusal(session.commit(vec![change]));
            assert_eq!(answer, (ToolErrorCode::Conflict, expected.into()), "{way}");
        }
        for (change, code, expected) in [
            (removal("b", Expected::Any), ToolErrorCode::NotFound, "b does not exist"),
            (renaming("b", "c", Expected::Any), ToolErrorCode::NotFound, "b does not exist"),
            (put_change("folder", "x", Expected::Any), ToolErrorCode::InvalidInput, "folder is a folder"),
            (
                put_change("a/b", "x", Expected::Absent),
                ToolErrorCode::NotFound,
                "a/b does not exist: a is not a folder",
            ),
            (
                put_change("", "x", Expected::Any),
                ToolErrorCode::InvalidInput,
                "the workspace itself is not a file",
            ),
        ] {
            assert_eq!(refusal(session.commit(vec![change])), (code, expected.into()), "{way}");
        }
        assert_eq!(tree(dir.path()), ["a", "folder", "folder/x"], "{way}");
        assert_eq!(get(dir.path(), "a").unwrap(), "one", "{way}");
        assert_eq!(session.access.writes(), [], "{way}");
    }
}

#[test]
fn several_changes_happen_together() {
    for way in 0..2 {
        let dir = workspace(&[("a", "a"), ("b", "b"), ("c", "c")]);
        std::fs::set_permissions(dir.path().join("c"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (_, mut session) = both(dir.path()).into_iter().nth(way).unwrap();
        session
            .commit(vec![
                put_change("a", "A", version("a")),
                put_change("new/n", "n", Expected::Absent),
                removal("b", version("b")),
                renaming("c", "moved/far/c", version("c")),
            ])
            .unwrap();
        assert_eq!(tree(dir.path()), ["a", "moved", "moved/far", "moved/far/c", "new", "new/n"]);
        assert_eq!(get(dir.path(), "a").unwrap(), "A");
        assert_eq!(get(dir.path(), "moved/far/c").unwrap(), "c");
        assert_eq!(mode(dir.path(), "moved/far/c"), 0o755);
        let writes: Vec<String> =
            session.access.writes().iter().map(|w| format!("{} {}", w.path, w.bytes)).collect();
        assert_eq!(writes, ["a 1", "b 0", "c 0", "moved/far/c 0", "new/n 1"]);
    }
}

/// Found by random calls and undoing them.
#[test]
fn a_file_that_takes_another_ones_place_has_its_own_mode_again_when_the_commit_fails() {
    let dir = workspace(&[("a", "a"), ("b", "b"), ("c", "c"), ("taken", "")]);
    std::fs::set_permissions(dir.path().join("b"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (way, mut session) in both(dir.path()) {
        let replacing =
            Change::Rename { from: path("a"), to: path("b"), expected: Expected::Any, replace: true };
        let answer = refusal(session.commit(vec![replacing, renaming("c", "taken", Expected::Any)]));
        assert_eq!(answer.0, ToolErrorCode::Conflict, "{way}");
        assert_eq!((mode(dir.path(), "a") & 0o111, mode(dir.path(), "b")), (0, 0o755), "{way}");
        assert_eq!(get(dir.path(), "a").unwrap(), "a", "{way}");
    }
}

/// Every way the third of three changes can fail, at every stage: denied, refused when it is checked, when it
/// is staged, and when it is applied.
#[test]
fn when_the_third_of_three_changes_fails_nothing_has_changed() {
    let dir = workspace(&[("a", "a"), ("b", "b"), ("c", "c"), ("folder/x", ""), ("locked/y", "")]);
    symlink("a", dir.path().join("link")).unwrap();
    std::fs::set_permissions(dir.path().join("a"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let before = tree(dir.path());
    for (way, mut session) in both(dir.path()) {
        for third in [
            put_change(".env", "x", Expected::Absent),
            put_change("locked/y", "x", Expected::Any),
            put_change("c", "x", version("other")),
            put_change("c", "x", Expected::Absent),
            put_change("link", "x", Expected::Any),
            put_change("link/x", "x", Expected::Any),
            put_change("folder", "x", Expected::Any),
            put_change("c/below", "x", Expected::Any),
            removal("missing", Expected::Any),
            removal("c", Expected::Absent),
            renaming("c", "folder/x", Expected::Any),
            renaming("c", "folder", Expected::Any),
            renaming("c", "link", Expected::Any),
            renaming("c", "a/below", Expected::Any),
            put_change("a", "twice", Expected::Any),
            put_change("new/n", "twice", Expected::Any),
        ] {
            let shown = format!("{way} {third:?}");
            let changes =
                vec![put_change("a", "A", version("a")), put_change("new/n", "n", Expected::Absent), third];
            let error = session.commit(changes).expect_err(&shown);
            assert_eq!(tree(dir.path()), before, "{shown}");
            assert_eq!(get(dir.path(), "a").unwrap(), "a", "{shown}");
            assert_eq!(mode(dir.path(), "a"), 0o755, "{shown}");
            assert_eq!(session.access.writes(), [], "{shown}");
            let named =
                error.message.starts_with("change 3 of 3: ") || error.message.contains("occurs twice");
            assert!(named, "{shown}: {}", error.message);
        }
    }
}

// The in-memory workspace of the tools' tests once made both, which a fuzzer found.
#[test]
fn a_file_and_a_file_in_it_are_not_made_together() {
    let dir = workspace(&[]);
    for (_, mut session) in both(dir.path()) {
        for names in [["a", "a/b"], ["a/b", "a"]] {
            let changes = names.map(|name| put_change(name, "", Expected::Absent)).to_vec();
            assert_eq!(refusal(session.commit(changes)).0, ToolErrorCode::Conflict);
            assert_eq!(tree(dir.path()), [""; 0]);
        }
    }
}

#[test]
fn a_rename_that_replaces_keeps_the_mode_of_what_was_there() {
    for way in 0..2 {
        let dir = workspace(&[("run.sh", "old"), ("run.sh.tmp", "new")]);
        std::fs::set_permissions(dir.path().join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (_, mut session) = both(dir.path()).into_iter().nth(way).unwrap();
        let change = |from: &str, to: &str| Change::Rename {
            from: path(from),
            to: path(to),
            expected: Expected::Any,
            replace: true,
        };
        session.commit(vec![change("run.sh.tmp", "run.sh")]).unwrap();
        assert_eq!(get(dir.path(), "run.sh").unwrap(), "new");
        assert_eq!(mode(dir.path(), "run.sh"), 0o755);
        session.commit(vec![change("run.sh", "elsewhere")]).unwrap();
        assert_eq!(tree(dir.path()), ["elsewhere"]);
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_everything_as_it_was() {
    let done = in_own_mounts(|| {
        let dir = tempfile::tempdir().unwrap();
        let options = c"size=64k";
        rustix::mount::mount("tmpfs", dir.path(), "tmpfs", rustix::mount::MountFlags::empty(), options)?;
        put(dir.path(), "a.txt", "original");
        for (way, mut session) in both(dir.path()) {
            let large = "x".repeat(1 << 20);
            let changes = vec![
                put_change("new/b.txt", "b", Expected::Absent),
                put_change("a.txt", &large, version("original")),
            ];
            let expected = "change 2 of 2: a.txt: the disk is full; nothing was changed";
            let (code, message) = refusal(session.commit(changes));
            assert_eq!(code, ToolErrorCode::Internal, "{way}");
            assert_eq!(message, expected, "{way}");
            assert_eq!(tree(dir.path()), ["a.txt"], "{way}");
            assert_eq!(get(dir.path(), "a.txt").unwrap(), "original", "{way}");
        }
        Ok(())
    });
    if !done {
        eprintln!("skipped: no right to mount");
    }
}

#[test]
fn what_was_opened_does_not_bring_back_a_folder_that_has_gone() {
    let dir = workspace(&[("there/a", "old")]);
    let mut session = on(&Files::open(dir.path()).unwrap());
    let (code, message) = refusal(session.write_in_folder(path("gone/a"), b"new".to_vec(), Expected::Any));
    assert_eq!((code, message.as_str()), (ToolErrorCode::NotFound, "gone/a does not exist"));
    session.write_in_folder(path("there/a"), b"new".to_vec(), Expected::Any).unwrap();
    session.write_in_folder(path("there/b"), b"new".to_vec(), Expected::Absent).unwrap();
    assert_eq!(tree(dir.path()), ["there", "there/a", "there/b"]);
}

#[test]
fn one_call_cannot_write_without_end() {
    let dir = workspace(&[]);
    let mut session = on(&Files::open(dir.path()).unwrap());
    let large = vec![b'x'; 100 << 20];
    session.write(path("a"), large.clone(), Expected::Any).unwrap();
    let (code, message) = refusal(session.write(path("b"), large, Expected::Any));
    assert_eq!(
        (code, message.as_str()),
        (ToolErrorCode::TooLarge, "one call may write 134217728 bytes; nothing was changed")
    );
    assert_eq!(tree(dir.path()), ["a"]);
}

/// Of many who read the same version and write, one wins and the others are told.
#[test]
fn compare_and_swap_lets_one_of_many_writers_through() {
    let dir = workspace(&[("counter", "0")]);
    let files = Files::open(dir.path()).unwrap();
    let won = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (files, won) = (&files, &won);
            scope.spawn(move || {
                for _ in 0..25 {
                    let mut session = on(files);
                    loop {
                        let content = session.read(&path("counter"), None).unwrap();
                        let next: u32 = String::from_utf8(content.data).unwrap().parse().unwrap();
                        let expected = Expected::Version(content.version.unwrap().to_string());
                        let data = (next + 1).to_string().into_bytes();
                        match session.write(path("counter"), data, expected) {
                            Ok(_) => break,
                            Err(error) => {
                                assert_eq!(error.code, ToolErrorCode::Conflict, "{}", error.message)
                            }
                        }
                    }
                    won.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(get(dir.path(), "counter").unwrap(), "200");
    assert_eq!(tree(dir.path()), ["counter"]);
}

#[test]
fn folders_are_made_and_removed_only_where_writing_is_allowed() {
    let dir = workspace(&[("locked/x", "")]);
    for (way, mut session) in both(dir.path()) {
        session.make_folder(&path("new")).unwrap();
        assert_eq!(refusal(session.make_folder(&path("new"))).0, ToolErrorCode::Conflict, "{way}");
        assert_eq!(refusal(session.make_folder(&path("x/y"))).0, ToolErrorCode::NotFound, "{way}");
        assert_eq!(refusal(session.make_folder(&path("locked/new"))).0, ToolErrorCode::Denied, "{way}");
        assert_eq!(refusal(session.remove_folder(&path("locked"))).0, ToolErrorCode::Denied, "{way}");
        session.remove_folder(&path("new")).unwrap();
        assert_eq!(tree(dir.path()), ["locked", "locked/x"], "{way}");
    }
}
