//! Walking a tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

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

fn globs(globs: &[&str]) -> WalkOptions {
    WalkOptions { globs: globs.iter().map(|glob| (*glob).to_owned()).collect(), ..options() }
}

fn walked(session: &mut Session, root: &str, options: WalkOptions) -> Vec<Batch> {
    let mut walk = Walk::start(session, &path(root), options).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = walk.next(session).unwrap() {
        batches.push(batch);
    }
    assert_eq!(walk.next(session).unwrap(), None);
    batches
}

fn paths(session: &mut Session, root: &str, options: WalkOptions) -> Vec<String> {
    walked(session, root, options)
        .into_iter()
        .flat_map(|batch| batch.visited)
        .map(|v| v.path.as_str().to_owned())
        .collect()
}

#[test]
fn paths_come_in_byte_order_without_denied_links_and_git() {
    let dir = workspace(&[
        ("a/x.rs", ""),
        ("a/y/z.rs", ""),
        ("a-b", ""),
        ("a.rs", ""),
        ("a0", ""),
        ("Z", ""),
        (".hidden/h.rs", ""),
        (".env", ""),
        ("secrets/key.rs", ""),
        (".git/config", ""),
        ("sub/.git/config", ""),
        ("sub/m.rs", ""),
    ]);
    symlink("a", dir.path().join("link")).unwrap();
    symlink("a.rs", dir.path().join("link.rs")).unwrap();
    std::fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9.rs")), "x").unwrap();
    for (way, mut session) in both(dir.path()) {
        let expected = ["Z", "a-b", "a.rs", "a/x.rs", "a/y/z.rs", "a0", "caf\\xe9.rs", "sub/m.rs"];
        assert_eq!(paths(&mut session, "", options()), expected, "{way}");
        let hidden = WalkOptions { hidden: true, ..options() };
        let expected =
            [".hidden/h.rs", "Z", "a-b", "a.rs", "a/x.rs", "a/y/z.rs", "a0", "caf\\xe9.rs", "sub/m.rs"];
        assert_eq!(paths(&mut session, "", hidden), expected, "{way}");
        let folders = WalkOptions { directories: true, ..options() };
        let expected =
            ["Z", "a", "a-b", "a.rs", "a/x.rs", "a/y", "a/y/z.rs", "a0", "caf\\xe9.rs", "sub", "sub/m.rs"];
        let found = paths(&mut session, "", folders);
        assert_eq!(found, expected, "{way}");
        assert!(found.is_sorted(), "{way}");
        let shallow = WalkOptions { directories: true, depth: Some(1), ..options() };
        let expected = ["Z", "a", "a-b", "a.rs", "a0", "caf\\xe9.rs", "sub"];
        assert_eq!(paths(&mut session, "", shallow), expected, "{way}");
        let two = WalkOptions { depth: Some(2), ..options() };
        assert_eq!(paths(&mut session, "a", two), ["a/x.rs", "a/y/z.rs"], "{way}");
        assert_eq!(paths(&mut session, "a/x.rs", options()), ["a/x.rs"], "{way}");
        assert_eq!(session.access.denials(), [], "{way}");
    }
}

#[test]
fn globs_choose_and_leave_out_and_do_not_unhide() {
    let dir = workspace(&[
        ("src/a.rs", ""),
        ("src/b.py", ""),
        ("src/gen/c.rs", ""),
        ("tests/test_x.py", ""),
        ("top.rs", ""),
        (".github/w.rs", ""),
        ("ignored.rs", ""),
        (".gitignore", "ignored.rs\n"),
    ]);
    for (way, mut session) in both(dir.path()) {
        for (patterns, expected) in [
            (&["*.rs"][..], &["src/a.rs", "src/gen/c.rs", "top.rs"][..]),
            (&["/*.rs"], &["top.rs"]),
            (&["src/**/*.rs"], &["src/a.rs", "src/gen/c.rs"]),
            (&["*.rs", "!src/gen"], &["src/a.rs", "top.rs"]),
            (&["!*.rs"], &["src/b.py", "tests/test_x.py"]),
            (&["src/"], &[]),
            (&["src/**"], &["src/a.rs", "src/b.py", "src/gen/c.rs"]),
            (&["*.{py,toml}"], &["src/b.py", "tests/test_x.py"]),
        ] {
            assert_eq!(paths(&mut session, "", globs(patterns)), expected, "{way} {patterns:?}");
        }
        assert_eq!(paths(&mut session, "src", globs(&["src/*.rs"])), ["src/a.rs"], "{way}: from the root");
        let bad = Walk::start(&mut session, &RelPath::root(), globs(&["a[", "b"])).map(|_| ());
        assert_eq!(refusal(bad).0, ToolErrorCode::InvalidInput, "{way}");
    }
}

#[test]
fn ignore_files_are_honoured_as_git_does() {
    let dir = workspace(&[
        (".gitignore", "*.log\n/build/\n!keep.log\ndocs/*.tmp\r\n"),
        ("a.log", ""),
        ("keep.log", ""),
        ("build/out", ""),
        ("sub/build/out", ""),
        ("docs/x.tmp", ""),
        ("docs/deep/x.tmp", ""),
        ("sub/.gitignore", "!a.log\nonly-here\n"),
        ("sub/a.log", ""),
        ("sub/only-here", ""),
        ("only-here", ""),
        ("other/.ignore", "*.txt\n"),
        ("other/x.txt", ""),
        ("other/.gitignore", "!x.txt\n"),
        ("bom/.gitignore", "\u{feff}gone\n# comment\n\n"),
        ("bom/gone", ""),
        ("bom/# comment", ""),
    ]);
    for (way, mut session) in both(dir.path()) {
        let expected =
            ["bom/# comment", "docs/deep/x.tmp", "keep.log", "only-here", "sub/a.log", "sub/build/out"];
        assert_eq!(paths(&mut session, "", options()), expected, "{way}");
        assert_eq!(paths(&mut session, "sub", options()), ["sub/a.log", "sub/build/out"], "{way}");
        assert_eq!(paths(&mut session, "docs", options()), ["docs/deep/x.tmp"], "{way}: a parent's file");
        let all = WalkOptions { ignore_files: false, ..options() };
        assert_eq!(paths(&mut session, "other", all), ["other/x.txt"], "{way}");
        assert_eq!(session.access.reads(), [], "{way}: what the host reads for itself is not the tool's");
    }
}

/// The matcher goes down into braces by recursion: a repository whose ignore file held ten thousand within each
/// other aborted the process.
#[test]
fn braces_within_braces_cost_no_stack() {
    let deep = format!("{}a{}", "{".repeat(10_000), "}".repeat(10_000));
    let dir =
        workspace(&[("a", ""), ("b", ""), (".gitignore", &format!("{deep}\n{}\nb\n", "{a,".repeat(1_000)))]);
    let (_, mut session) = both(dir.path()).into_iter().next().unwrap();
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let walked = std::thread::scope(|scope| {
        let walk = || {
            let refused = Walk::start(&mut session, &path(""), globs(&[&deep[..4_000]])).map(|_| ());
            (paths(&mut session, "", options()), refusal(refused).0)
        };
        small.spawn_scoped(scope, walk).unwrap().join().unwrap()
    });
    assert_eq!(walked, (vec!["a".to_owned()], ToolErrorCode::InvalidInput));
}

#[test]
fn contents_come_in_batches() {
    let big = "b".repeat(300 << 10);
    let small = "s".repeat(100 << 10);
    let dir = workspace(&[
        ("1", &small),
        ("2", &small),
        ("3", &small),
        ("4", &big),
        ("5", "five"),
        ("6", ""),
        ("skip.bin", &big),
    ]);
    std::fs::hard_link(dir.path().join("5"), dir.path().join("7")).unwrap();
    for (way, mut session) in both(dir.path()) {
        let contents = WalkOptions { contents: true, globs: vec!["!skip.bin".into()], ..options() };
        let batches = walked(&mut session, "", contents);
        let shape: Vec<String> = batches
            .iter()
            .map(|batch| {
                let names: Vec<&str> = batch.visited.iter().map(|v| v.path.as_str()).collect();
                format!("{} {}", names.join(","), batch.bytes.len())
            })
            .collect();
        assert_eq!(shape, ["1,2 204800", "3 102400", "4 307200", "5,6,7 0"], "{way}");
        let last = &batches[3].visited;
        assert_eq!(last[0].info.kind, Kind::Other, "{way}: a second hard link");
        assert_eq!(last[0].at, None, "{way}");
        assert_eq!(last[1].at, Some(Range { offset: 0, length: 0 }), "{way}");
        let at = batches[0].visited[1].at.unwrap();
        assert_eq!(at, Range { offset: 100 << 10, length: 100 << 10 }, "{way}");
        assert_eq!((session.access.reads_total, session.access.bytes_read), (5, 614_400), "{way}");
        let capped = WalkOptions { contents: true, max_file_size: 100 << 10, ..options() };
        let visited: Vec<Visited2> = walked(&mut session, "", capped)
            .into_iter()
            .flat_map(|batch| batch.visited)
            .map(|v| (v.path.as_str().to_owned(), v.info.size, v.at.is_some()))
            .collect();
        assert!(visited.contains(&("4".into(), 300 << 10, false)), "{way}");
        assert!(visited.contains(&("3".into(), 100 << 10, true)), "{way}");
    }
}

type Visited2 = (String, u64, bool);

#[test]
fn only_what_the_policy_lets_read_is_visited() {
    let policy = r#"
schema = 1
[[allow]]
id = "src"
tools = ["read", "list", "edit"]
paths = ["src/deep/**", "/README.md"]
"#;
    let dir = workspace(&[
        ("src/deep/a", "a"),
        ("src/deep/er/b", "b"),
        ("src/c", "c"),
        ("README.md", "r"),
        ("other/d", "d"),
    ]);
    let files = Files::open(dir.path()).unwrap();
    let mut session = Session::new(&files, permit(policy), Instant::now() + Duration::from_secs(60));
    let all = WalkOptions { contents: true, directories: true, ..options() };
    let found = paths(&mut session, "", all);
    assert_eq!(found, ["README.md", "src", "src/deep", "src/deep/a", "src/deep/er", "src/deep/er/b"]);
    let other = Walk::start(&mut session, &path("other"), options()).map(|_| ());
    assert_eq!(refusal(other).0, ToolErrorCode::Denied);
}

#[test]
fn a_walk_ends_at_the_deadline() {
    let dir = workspace(&[("a", ""), ("b/c", "")]);
    let files = Files::open(dir.path()).unwrap();
    let mut session = Session::new(&files, permit(POLICY), Instant::now());
    let (code, message) = refusal(Walk::start(&mut session, &RelPath::root(), options()).map(|_| ()));
    assert_eq!((code, message.as_str()), (ToolErrorCode::Timeout, "the call took too long"));
}

#[test]
fn a_tree_deeper_than_the_folders_held_open_is_walked_whole() {
    let dir = workspace(&[]);
    let deep = "d/".repeat(300);
    put(dir.path(), &format!("{deep}leaf"), "x");
    put(dir.path(), "d/d/z", "x");
    put(dir.path(), "z", "x");
    for (way, mut session) in both(dir.path()) {
        let found = paths(&mut session, "", WalkOptions { contents: true, ..options() });
        assert_eq!(found, [format!("{deep}leaf"), "d/d/z".into(), "z".into()], "{way}");
    }
}

/// The order is that of whole paths, whatever the names: sorting the paths changes nothing.
#[test]
fn a_large_tree_is_in_order() {
    let dir = workspace(&[]);
    for i in 0..40 {
        for j in 0..25 {
            put(dir.path(), &format!("m{}/n{}.d/f{}-{}", i % 13, j, i, j), "");
            put(dir.path(), &format!("m{}.x/{}", i % 13, j), "");
        }
    }
    let mut session = on(&Files::open(dir.path()).unwrap());
    for directories in [false, true] {
        let found = paths(&mut session, "", WalkOptions { directories, ..options() });
        assert!(found.is_sorted());
        assert_eq!(found.len(), if directories { 1_325 + 13 * 2 + 13 * 25 } else { 1_325 });
    }
}
