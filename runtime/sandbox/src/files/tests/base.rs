//! What is not as in the base, by the same decisions as a read.

use std::io::Read;
use std::sync::Arc;

use super::*;
use crate::files::base::{Base, BaseError, BaseFile};

/// A base whose files are known by their contents.
struct Texts(Vec<BaseFile>);

impl Texts {
    fn of(files: &[(&str, &str)]) -> Arc<Self> {
        let file = |(name, content): &(&str, &str)| BaseFile {
            path: path(name),
            size: content.len() as u64,
            executable: false,
            id: (*content).to_owned(),
        };
        let mut files: Vec<BaseFile> = files.iter().map(file).collect();
        files.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        Arc::new(Self(files))
    }
}

impl Base for Texts {
    fn files(&self) -> Result<&[BaseFile], BaseError> {
        Ok(&self.0)
    }

    fn read(&self, file: &BaseFile) -> Result<Vec<u8>, BaseError> {
        Ok(file.id.clone().into_bytes())
    }

    fn holds(&self, file: &BaseFile, content: &mut dyn Read) -> std::io::Result<bool> {
        let mut found = String::new();
        content.read_to_string(&mut found)?;
        Ok(found == file.id)
    }
}

/// The workspace of `files` with the base of `base`, by either way of opening.
fn sessions(dir: &Path, base: &[(&str, &str)]) -> [Session; 2] {
    let base = Texts::of(base);
    [Files::open(dir), Files::open_stepwise(dir)].map(|files| on(&files.unwrap().with_base(base.clone())))
}

fn shown(session: &mut Session, below: &str) -> Vec<String> {
    let size = |info: Option<Info>| info.map_or("-".to_owned(), |info| info.size.to_string());
    let changed = session.changed(&path(below)).unwrap();
    changed
        .iter()
        .map(|changed| format!("{} {} {}", changed.path, size(changed.before), size(changed.after)))
        .collect()
}

#[test]
fn new_gone_and_other_files_are_told_and_denied_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("same", "1"),
        ("src/changed", "two"),
        ("src/sized", "333"),
        ("src/new", "n"),
        ("src-2/same", "x"),
        (".env", "KEY=2"),
        ("secrets/new", "s"),
        (".gitignore", "target/\n"),
        ("target/out", "o"),
        ("target/kept", "changed"),
        ("hard", "h"),
    ] {
        std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("same", dir.path().join("link")).unwrap();
    std::fs::hard_link(dir.path().join("hard"), dir.path().join("harder")).unwrap();
    let base = [
        ("same", "1"),
        ("src/changed", "one"),
        ("src/sized", "3"),
        ("src/gone", ""),
        ("src-2/same", "x"),
        (".env", "KEY=1"),
        ("secrets/gone", "s"),
        ("target/kept", "k"),
        ("link", "same"),
        ("hard", "h"),
    ];
    for mut session in sessions(dir.path(), &base) {
        assert_eq!(
            shown(&mut session, ""),
            [
                ".gitignore - 8",
                "hard 1 -",
                "link 4 -",
                "src/changed 3 3",
                "src/gone 0 -",
                "src/new - 1",
                "src/sized 1 3",
                "target/kept 1 7",
            ]
        );
        assert_eq!(shown(&mut session, "src/gone"), ["src/gone 0 -"]);
        assert_eq!(shown(&mut session, "same"), Vec::<String>::new());
        assert_eq!(shown(&mut session, "nowhere"), Vec::<String>::new());
        assert_eq!(session.changed(&path(".env")).unwrap_err().code, ToolErrorCode::Denied);
        assert_eq!(session.access.bytes_read, 0, "what is compared is not handed over");
    }
}

#[test]
fn a_mode_alone_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run"), "x").unwrap();
    std::fs::set_permissions(dir.path().join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    for mut session in sessions(dir.path(), &[("run", "x")]) {
        assert_eq!(shown(&mut session, ""), ["run 1 1"]);
    }
}

#[test]
fn a_file_of_the_base_is_read_by_the_decision_on_its_path() {
    let dir = tempfile::tempdir().unwrap();
    for mut session in sessions(dir.path(), &[(".env", "KEY=1"), ("a", "old"), ("locked/b", "b")]) {
        let content = session.read_base(&path("a")).unwrap();
        assert_eq!((content.data.as_slice(), content.size), (&b"old"[..], 3));
        assert_eq!(content.version, Some(Digest::of("old")));
        assert_eq!(session.read_base(&path("locked/b")).unwrap().data, b"b");
        let denied = session.read_base(&path(".env")).unwrap_err();
        assert_eq!((denied.code, denied.rule.as_deref()), (ToolErrorCode::Denied, Some("no-secrets")));
        let gone = session.read_base(&path("z")).unwrap_err();
        assert_eq!((gone.code, gone.message.as_str()), (ToolErrorCode::NotFound, "z is not in the base"));
        let reads: Vec<String> = session.access.reads().iter().map(|read| read.path.to_string()).collect();
        assert_eq!(reads, ["a", "locked/b"]);
    }
}

#[test]
fn without_a_base_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = on(&Files::open(dir.path()).unwrap());
    for error in [session.changed(&path("")).unwrap_err(), session.read_base(&path("a")).unwrap_err()] {
        assert_eq!(error.code, ToolErrorCode::NotFound);
        assert_eq!(error.message, "there is no base to compare with: this workspace has none");
    }
}

#[test]
fn comparing_ends_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), "1").unwrap();
    let files = Files::open(dir.path()).unwrap().with_base(Texts::of(&[("a", "2")]));
    let mut session = Session::new(&files, permit(POLICY), Instant::now());
    assert_eq!(session.changed(&path("")).unwrap_err().code, ToolErrorCode::Timeout);
}
