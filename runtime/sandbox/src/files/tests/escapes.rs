//! Ways out of the workspace or round the policy; each is refused, by either opener.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

/// Asserts that nothing can be done with a path, and returns the words reading is refused with.
fn closed(session: &mut Session, name: &str) -> (ToolErrorCode, String) {
    let at = path(name);
    for range in [None, Some(Range { offset: 0, length: 1 })] {
        session.read(&at, range).expect_err(name);
    }
    session.open(&at).expect_err(name);
    for expected in [Expected::Any, Expected::Absent, Expected::Version(Digest::of("x").to_string())] {
        session.write(at.clone(), b"owned".to_vec(), expected.clone()).expect_err(name);
        session
            .commit(vec![Change::Remove { path: at.clone(), expected: expected.clone() }])
            .expect_err(name);
        for replace in [false, true] {
            let to = path("stolen.txt");
            let expected = expected.clone();
            session.commit(vec![Change::Rename { from: at.clone(), to, expected, replace }]).expect_err(name);
        }
    }
    session.list(&at).expect_err(name);
    let walk = WalkOptions { contents: true, hidden: true, ..options() };
    Walk::start(session, &at, walk).map(|_| ()).expect_err(name);
    refusal(session.read(&at, None))
}

fn options() -> WalkOptions {
    WalkOptions {
        globs: Vec::new(),
        hidden: false,
        ignore_files: true,
        depth: None,
        directories: false,
        contents: false,
        max_file_size: u64::MAX,
    }
}

#[test]
fn spellings_that_leave_the_workspace_are_not_paths() {
    let dir = workspace(&[]);
    let session = on(&Files::open(dir.path()).unwrap());
    let long = "a".repeat(256);
    let longer = "a/".repeat(2049);
    for spelling in [
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "/etc/passwd",
        "/",
        "//etc/passwd",
        "/workspace/../etc/passwd",
        "/workspacex",
        "a\0b",
        long.as_str(),
        longer.as_str(),
    ] {
        assert_eq!(refusal(session.path(spelling)).0, ToolErrorCode::InvalidInput, "{spelling:?}");
    }
}

#[test]
fn symlinks_are_not_followed_wherever_they_stand() {
    let outside = workspace(&[("secret.txt", "outside"), ("folder/file.txt", "outside")]);
    let dir = workspace(&[("real.txt", "inside"), ("folder/file.txt", "inside")]);
    let link = |target: &Path, name: &str| symlink(target, dir.path().join(name)).unwrap();
    link(&outside.path().join("secret.txt"), "absolute");
    link(Path::new("../../etc/passwd"), "relative");
    link(Path::new("real.txt"), "inside");
    link(Path::new("inside"), "chain");
    link(Path::new("nowhere"), "dangling");
    link(Path::new("loop"), "loop");
    link(&outside.path().join("folder"), "way-out");
    link(Path::new("folder"), "way-in");
    link(Path::new("/proc/self/root/etc"), "magic");
    for (way, mut session) in both(dir.path()) {
        for name in ["absolute", "relative", "inside", "chain", "dangling", "loop"] {
            let expected = format!("{name} is a symbolic link; not followed");
            assert_eq!(closed(&mut session, name), (ToolErrorCode::InvalidInput, expected), "{way}");
            assert_eq!(session.stat(&path(name)).unwrap().kind, Kind::Symlink, "{way} {name}");
        }
        for name in ["way-out/file.txt", "way-in/file.txt", "magic/passwd", "way-out/folder/new.txt"] {
            let link = name.split('/').next().unwrap();
            let expected = format!("{link} is a symbolic link; not followed");
            assert_eq!(closed(&mut session, name), (ToolErrorCode::InvalidInput, expected.clone()), "{way}");
            session.stat(&path(name)).expect_err(name);
            session.make_folder(&path(name)).expect_err(name);
            session.remove_folder(&path(name)).expect_err(name);
            // The kernel says ENOTDIR of a link at the end of the folder's path.
            let onto = Change::Rename {
                from: path("real.txt"),
                to: path(&format!("{link}/new.txt")),
                expected: Expected::Any,
                replace: false,
            };
            let onto = refusal(session.commit(vec![onto]));
            assert_eq!(onto, (ToolErrorCode::InvalidInput, expected), "{way} onto {name}");
        }
    }
    assert_eq!(get(outside.path(), "secret.txt").unwrap(), "outside");
    assert_eq!(get(outside.path(), "folder/file.txt").unwrap(), "outside");
    assert_eq!(get(dir.path(), "real.txt").unwrap(), "inside");
    assert_eq!(tree(outside.path()), ["folder", "folder/file.txt", "secret.txt"]);
}

#[test]
fn a_symlink_made_after_the_workspace_was_opened_is_not_followed() {
    let dir = workspace(&[("a.txt", "a")]);
    for (way, mut session) in both(dir.path()) {
        session.read(&path("a.txt"), None).unwrap();
        std::fs::remove_file(dir.path().join("a.txt")).unwrap();
        symlink("/etc/passwd", dir.path().join("a.txt")).unwrap();
        assert_eq!(closed(&mut session, "a.txt").0, ToolErrorCode::InvalidInput, "{way}");
        std::fs::remove_file(dir.path().join("a.txt")).unwrap();
        put(dir.path(), "a.txt", "a");
    }
}

#[test]
fn the_workspace_stays_the_folder_that_was_opened() {
    let base = workspace(&[("ws/a.txt", "mine"), ("other/a.txt", "other")]);
    for (way, mut session) in both(&base.path().join("ws")) {
        let at = |name: &str| base.path().join(name);
        std::fs::rename(at("ws"), at("moved")).unwrap();
        symlink("other", at("ws")).unwrap();
        assert_eq!(session.read(&path("a.txt"), None).unwrap().data, b"mine", "{way}");
        std::fs::remove_file(at("ws")).unwrap();
        std::fs::rename(at("moved"), at("ws")).unwrap();
    }
}

#[test]
fn a_file_with_a_second_hard_link_is_not_opened() {
    let dir = workspace(&[("secrets/key", "secret"), ("b.txt", "b")]);
    std::fs::hard_link(dir.path().join("secrets/key"), dir.path().join("a.txt")).unwrap();
    for (way, mut session) in both(dir.path()) {
        let expected = "a.txt has a second hard link; such files are not opened";
        assert_eq!(closed(&mut session, "a.txt"), (ToolErrorCode::InvalidInput, expected.into()), "{way}");
        assert_eq!(session.stat(&path("a.txt")).unwrap().kind, Kind::Other, "{way}");
        let over =
            Change::Rename { from: path("b.txt"), to: path("a.txt"), expected: Expected::Any, replace: true };
        session.commit(vec![over]).expect_err("a rename onto it");
    }
    assert_eq!(get(dir.path(), "secrets/key").unwrap(), "secret");
    assert_eq!(get(dir.path(), "b.txt").unwrap(), "b");
}

#[test]
fn a_fifo_socket_or_device_is_not_opened_and_does_not_hang() {
    let dir = workspace(&[]);
    let at = |name: &str| dir.path().join(name);
    let mknod = |name: &str, kind, device| {
        rustix::fs::mknodat(rustix::fs::CWD, at(name), kind, Mode::from_raw_mode(0o666), device)
    };
    mknod("fifo", rustix::fs::FileType::Fifo, 0).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    let mut names = vec!["fifo", "socket"];
    // /dev/zero; only root may make one.
    if mknod("device", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 5)).is_ok() {
        names.push("device");
    }
    for (way, mut session) in both(dir.path()) {
        for name in &names {
            let (code, message) = closed(&mut session, name);
            assert_eq!(code, ToolErrorCode::InvalidInput, "{way} {name}: {message}");
            assert_eq!(session.stat(&path(name)).unwrap().kind, Kind::Other, "{way} {name}");
        }
    }
}

#[test]
fn git_metadata_is_closed_at_any_depth() {
    let dir =
        workspace(&[(".git/config", "x"), ("sub/.git/config", "x"), ("sub/.git/hooks/pre-commit", "x")]);
    for (way, mut session) in both(dir.path()) {
        for name in [".git/config", ".git", "sub/.git/config", "sub/.git/hooks/new", ".git/missing"] {
            assert_eq!(closed(&mut session, name).0, ToolErrorCode::Denied, "{way} {name}");
        }
    }
}

#[test]
fn a_denied_file_is_closed_by_every_spelling_there_or_not() {
    let dir = workspace(&[(".env", "KEY=1"), ("sub/.env.local", "KEY=2"), ("secrets/a/b", "s")]);
    let message = |name: &str| {
        format!("the policy does not let {name} be read: Secrets never enter a model's context.")
    };
    for (way, mut session) in both(dir.path()) {
        for spelling in [".env", "./.env", "//workspace/../.env", "/workspace/.env", ".//.env/", "./././.env"]
        {
            match session.path(spelling) {
                Ok(at) => {
                    assert_eq!(at.as_str(), ".env", "{way} {spelling}");
                    assert_eq!(
                        closed(&mut session, spelling),
                        (ToolErrorCode::Denied, message(".env")),
                        "{way} {spelling}"
                    );
                }
                Err(error) => assert_eq!(error.code, ToolErrorCode::InvalidInput, "{way} {spelling}"),
            }
        }
        // There and missing answer alike: no way to find out which.
        for name in [".env.missing", "sub/.env.local", "secrets/a/b", "secrets/missing", "nowhere/.env"] {
            let (code, text) = closed(&mut session, name);
            assert_eq!((code, text), (ToolErrorCode::Denied, message(name)), "{way} {name}");
            let stat = refusal(session.stat(&path(name)));
            assert_eq!(stat, (ToolErrorCode::Denied, message(name)), "{way} {name}");
        }
        let denial = session.read(&path(".env"), None).unwrap_err();
        assert_eq!(denial.rule.as_deref(), Some("no-secrets"));
        assert_eq!(denial.instead.as_deref(), Some("Name the variable."));
    }
}

#[test]
fn a_denied_file_cannot_be_renamed_to_an_allowed_name_nor_be_written_through_one() {
    let dir = workspace(&[(".env", "KEY=1"), ("a.txt", "a"), ("locked/b.txt", "b")]);
    for (way, mut session) in both(dir.path()) {
        for (from, to) in [
            (".env", "a.txt"),
            (".env", "new.txt"),
            ("a.txt", ".env"),
            ("a.txt", ".env.new"),
            ("a.txt", "locked/new.txt"),
            ("locked/b.txt", "new.txt"),
            ("a.txt", ".git/hooks/pre-commit"),
        ] {
            for replace in [false, true] {
                let change =
                    Change::Rename { from: path(from), to: path(to), expected: Expected::Any, replace };
                let (code, message) = refusal(session.commit(vec![change]));
                assert_eq!(code, ToolErrorCode::Denied, "{way} {from} {to}: {message}");
            }
        }
    }
    assert_eq!(tree(dir.path()), [".env", "a.txt", "locked", "locked/b.txt"]);
}

#[test]
fn folders_cannot_be_moved_or_removed_as_files() {
    let dir = workspace(&[("secrets/key", "s"), ("folder/.env", "s"), ("folder/a.txt", "a")]);
    for (way, mut session) in both(dir.path()) {
        for replace in [false, true] {
            let change = Change::Rename {
                from: path("folder"),
                to: path("elsewhere"),
                expected: Expected::Any,
                replace,
            };
            let expected = (ToolErrorCode::InvalidInput, "folder is a folder".to_owned());
            assert_eq!(refusal(session.commit(vec![change])), expected, "{way}");
        }
        let remove = Change::Remove { path: path("folder"), expected: Expected::Any };
        assert_eq!(refusal(session.commit(vec![remove])).0, ToolErrorCode::InvalidInput, "{way}");
        assert_eq!(refusal(session.remove_folder(&path("folder"))).0, ToolErrorCode::Conflict, "{way}");
        let root = Change::Remove { path: RelPath::root(), expected: Expected::Any };
        session.commit(vec![root]).expect_err("the root");
    }
}

#[test]
fn a_mount_inside_the_workspace_is_not_entered() {
    let done = in_own_mounts(|| {
        let dir = workspace(&[("mounted/.keep", "")]);
        let mount = dir.path().join("mounted");
        rustix::mount::mount("tmpfs", &mount, "tmpfs", rustix::mount::MountFlags::empty(), None)?;
        put(&mount, "file.txt", "x");
        for (way, mut session) in both(dir.path()) {
            let (code, message) = closed(&mut session, "mounted/file.txt");
            assert_eq!(code, ToolErrorCode::InvalidInput, "{way}");
            assert_eq!(message, "mounted/file.txt lies on another file system; it is not opened", "{way}");
        }
        Ok(())
    });
    if !done {
        eprintln!("skipped: no right to mount");
    }
}

/// Another process that swaps a folder for a link while files in it are asked for: whatever the moment, what
/// is read is the folder's own file or nothing.
#[test]
fn a_folder_swapped_for_a_link_in_a_race_never_leads_outside() {
    let outside = workspace(&[("file.txt", "outside")]);
    let dir = workspace(&[("folder/file.txt", "inside")]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = |name: &str| dir.path().join(name);
            symlink(outside.path(), at("link")).unwrap();
            let folder = rustix::fs::open(dir.path(), OFlags::PATH, Mode::empty()).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&folder, "folder", &folder, "link", exchange).unwrap();
            }
        });
        let mut seen = [0, 0];
        for round in 0..400 {
            for (way, mut session) in both(dir.path()) {
                match session.read(&path("folder/file.txt"), None) {
                    Ok(content) => {
                        assert_eq!(content.data, b"inside", "{way} {round}");
                        seen[0] += 1;
                    }
                    Err(_) => seen[1] += 1,
                }
                let _ = session.write(path("folder/new.txt"), b"x".to_vec(), Expected::Any);
                let options = WalkOptions { contents: true, ..options() };
                if let Ok(mut walk) = Walk::start(&mut session, &path("folder"), options)
                    && let Ok(Some(batch)) = walk.next(&mut session)
                {
                    assert!(!String::from_utf8_lossy(&batch.bytes).contains("outside"), "{way} {round}");
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        eprintln!("read {} times, refused {} times", seen[0], seen[1]);
    });
    assert_eq!(tree(outside.path()), ["file.txt"]);
    assert_eq!(get(outside.path(), "file.txt").unwrap(), "outside");
}

/// Runs something in a thread with its own mounts, which end with it; false where that is not allowed.
pub(super) fn in_own_mounts(run: impl FnOnce() -> rustix::io::Result<()> + Send + 'static) -> bool {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::UnshareFlags;
    let thread = std::thread::spawn(move || {
        // SAFETY: only file system attributes and mounts are unshared, for this thread, which holds nothing of
        // others that depends on them and ends below.
        #[expect(unsafe_code, reason = "unsharing is marked unsafe for what other flags do")]
        let unshared = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) };
        unshared?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        run()
    });
    match thread.join().unwrap() {
        Ok(()) => true,
        Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => false,
        Err(errno) => panic!("{errno}"),
    }
}
