//! Reading and listing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn a_whole_file_comes_with_its_version_and_a_part_without() {
    let dir = workspace(&[("a.txt", "0123456789"), ("empty", "")]);
    for (way, mut session) in both(dir.path()) {
        let at = path("a.txt");
        let read = |session: &mut Session, offset, length| {
            let content = session.read(&at, Some(Range { offset, length })).unwrap();
            (String::from_utf8(content.data).unwrap(), content.size, content.version.is_some())
        };
        let whole = session.read(&at, None).unwrap();
        let version = Some(Digest::of("0123456789"));
        assert_eq!(whole, Content { data: b"0123456789".to_vec(), size: 10, version }, "{way}");
        assert_eq!(read(&mut session, 3, 4), ("3456".into(), 10, false), "{way}");
        assert_eq!(read(&mut session, 8, u64::MAX), ("89".into(), 10, false), "{way}");
        assert_eq!(read(&mut session, 10, 1), (String::new(), 10, false), "{way}");
        assert_eq!(read(&mut session, u64::MAX, u64::MAX), (String::new(), 10, false), "{way}");
        assert_eq!(read(&mut session, 0, 100), ("0123456789".into(), 10, true), "{way}");
        assert_eq!(session.read(&path("empty"), None).unwrap().version, Some(Digest::of("")), "{way}");
    }
}

#[test]
fn a_large_file_is_read_in_parts_only() {
    let dir = workspace(&[]);
    let file = std::fs::File::create(dir.path().join("big")).unwrap();
    // 2 GiB of nothing: a file with a hole.
    file.set_len(2 << 30).unwrap();
    for (way, mut session) in both(dir.path()) {
        let expected = "big has 2147483648 bytes, more than the 8388608 that are read at once";
        let whole = refusal(session.read(&path("big"), None));
        assert_eq!(whole, (ToolErrorCode::TooLarge, expected.into()), "{way}");
        let part = Range { offset: (2 << 30) - 5, length: u64::MAX };
        assert_eq!(session.read(&path("big"), Some(part)).unwrap().data.len(), 5, "{way}");
        let part = Range { offset: 0, length: u64::MAX };
        assert_eq!(session.read(&path("big"), Some(part)).unwrap().data.len(), 8 << 20, "{way}");
    }
    file.set_len(8 << 20).unwrap();
    for (way, mut session) in both(dir.path()) {
        assert_eq!(session.read(&path("big"), None).unwrap().data.len(), 8 << 20, "{way}");
    }
}

#[test]
fn what_is_not_there_is_told_from_what_is_no_file() {
    let dir = workspace(&[("folder/a.txt", "a")]);
    for (way, mut session) in both(dir.path()) {
        let mut words = |name: &str| refusal(session.read(&path(name), None));
        assert_eq!(words("b.txt"), (ToolErrorCode::NotFound, "b.txt does not exist".into()), "{way}");
        assert_eq!(words("x/y/z"), (ToolErrorCode::NotFound, "x/y/z does not exist".into()), "{way}");
        assert_eq!(words("folder"), (ToolErrorCode::InvalidInput, "folder is a folder".into()), "{way}");
        assert_eq!(words(""), (ToolErrorCode::InvalidInput, ". is a folder".into()), "{way}");
        let below = "folder/a.txt/b does not exist: folder/a.txt is not a folder";
        assert_eq!(words("folder/a.txt/b"), (ToolErrorCode::NotFound, below.into()), "{way}");
        let list = refusal(session.list(&path("folder/a.txt")));
        assert_eq!(list, (ToolErrorCode::InvalidInput, "folder/a.txt is not a folder".into()), "{way}");
    }
}

#[test]
fn a_folder_is_listed_in_byte_order_without_what_is_denied() {
    let dir = workspace(&[
        ("b.txt", "12"),
        ("a/x", ""),
        ("a-b", ""),
        ("Z", ""),
        (".env", "secret"),
        (".hidden", ""),
        ("secrets/key", ""),
        (".git/config", ""),
        ("ö", ""),
        ("with space", ""),
    ]);
    std::os::unix::fs::symlink("b.txt", dir.path().join("link")).unwrap();
    std::fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9")), "").unwrap();
    std::fs::write(dir.path().join(OsStr::from_bytes(b".env\xff")), "").unwrap();
    std::fs::set_permissions(dir.path().join("Z"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (way, mut session) in both(dir.path()) {
        let entries = session.list(&RelPath::root()).unwrap();
        let shown: Vec<String> = entries
            .iter()
            .map(|entry| {
                let Info { kind, size, executable } = entry.info;
                let marks = [(entry.escaped, "escaped"), (executable, "executable")];
                let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
                format!("{} {kind:?} {size} {}", entry.name, marks.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                ".hidden File 0 ",
                "Z File 0 executable",
                "a Directory 0 ",
                "a-b File 0 ",
                "b.txt File 2 ",
                "caf\\xe9 File 0 escaped",
                "link Symlink 0 ",
                "with space File 0 ",
                "ö File 0 ",
            ],
            "{way}"
        );
        assert_eq!(session.access.denials(), [], "{way}: leaving out is no denial");
    }
}

#[test]
fn the_record_names_what_was_read_and_denied() {
    let dir = workspace(&[("a", "12345"), ("b", "12"), (".env", "")]);
    let mut session = on(&Files::open(dir.path()).unwrap());
    session.read(&path("b"), None).unwrap();
    session.read(&path("a"), Some(Range { offset: 1, length: 2 })).unwrap();
    session.read(&path("a"), Some(Range { offset: 3, length: 1 })).unwrap();
    session.read(&path("missing"), None).unwrap_err();
    session.read(&path(".env"), None).unwrap_err();
    session.read(&path(".env"), None).unwrap_err();
    let reads: Vec<String> =
        session.access.reads().iter().map(|read| format!("{} {}", read.path, read.bytes)).collect();
    assert_eq!(reads, ["a 3", "b 2"]);
    assert_eq!((session.access.reads_total, session.access.bytes_read), (2, 5));
    assert_eq!(session.access.decision(), gloaming_api::tool::Decided::Deny);
    let denials: Vec<String> =
        session.access.denials().iter().map(|denial| format!("{} {}", denial.path, denial.rule)).collect();
    assert_eq!(denials, [".env no-secrets"]);
}

#[test]
fn a_folder_that_is_not_there_cannot_be_opened() {
    let dir = workspace(&[("file", "")]);
    for name in ["missing", "file"] {
        let error = Files::open(&dir.path().join(name)).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with("cannot open the workspace "), "{error}");
    }
}
