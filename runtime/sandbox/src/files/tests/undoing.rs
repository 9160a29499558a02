//! Undoing calls from their records.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use gloaming_api::tool::{FileState, UndoRecord};
use proptest::prelude::*;

use super::*;
use crate::files::images::Images;

/// A workspace that keeps before-images, which lie in a folder beside it.
struct Kept {
    dir: TempDir,
    images: TempDir,
    files: Files,
}

impl Kept {
    fn new(files: &[(&str, &str)]) -> Self {
        let (dir, images) = (workspace(files), tempfile::tempdir().unwrap());
        let files = Files::open(dir.path()).unwrap().with_images(&images.path().join("images")).unwrap();
        Self { dir, images, files }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes one call of several commits, whatever becomes of each.
    fn call(&self, commits: Vec<Vec<Change>>) -> Option<UndoRecord> {
        let mut session = on(&self.files);
        for changes in commits {
            let _ = session.commit(changes);
        }
        session.undo_record()
    }

    /// Makes one call of one commit that must succeed.
    fn commit(&self, changes: Vec<Change>) -> UndoRecord {
        let mut session = on(&self.files);
        session.commit(changes).unwrap();
        session.undo_record().expect("it changed something")
    }

    fn undo_under(&self, policy: &str, records: &[&UndoRecord]) -> Result<UndoRecord, UndoError> {
        let permit = permit(policy);
        let calls: Vec<CallToUndo<'_>> =
            records.iter().map(|record| CallToUndo { permit: &permit, record }).collect();
        let plan = self.files.plan_undo(&calls)?;
        if plan.is_done_already() {
            return Ok(UndoRecord::default());
        }
        self.files.undo(&permit, plan)
    }

    fn undo(&self, records: &[&UndoRecord]) -> Result<UndoRecord, UndoError> {
        self.undo_under(POLICY, records)
    }

    /// Undoing fails in these words and changes nothing.
    #[track_caller]
    fn refuses(&self, records: &[&UndoRecord], words: &str) {
        let before = snapshot(self.path());
        let error = self.undo(records).expect_err("it should have been refused");
        assert_eq!(error.to_string(), words);
        assert_eq!(snapshot(self.path()), before);
    }

    fn image(&self, content: &str) -> std::path::PathBuf {
        self.images.path().join("images").join(Digest::of(content).hex())
    }
}

/// Every path below a folder with its mode and, for a file, its content.
fn snapshot(dir: &Path) -> BTreeMap<String, (u32, Option<Vec<u8>>)> {
    let entry = |name: String| {
        let at = dir.join(&name);
        let found = std::fs::symlink_metadata(&at).unwrap();
        let content = found.is_file().then(|| std::fs::read(&at).unwrap());
        (name, (found.permissions().mode() & 0o7777, content))
    };
    tree(dir).into_iter().map(entry).collect()
}

fn chmod(dir: &Path, name: &str, mode: u32) {
    std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

fn put_change(name: &str, content: impl AsRef<[u8]>) -> Change {
    let data = content.as_ref().to_vec();
    Change::Put { path: path(name), data, expected: Expected::Any, mode: None, folders: true }
}

fn removal(name: &str) -> Change {
    Change::Remove { path: path(name), expected: Expected::Any }
}

fn renaming(from: &str, to: &str, replace: bool) -> Change {
    Change::Rename { from: path(from), to: path(to), expected: Expected::Any, replace }
}

#[test]
fn every_kind_of_change_is_put_back_with_its_mode() {
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for changes in [
        vec![put_change("run.sh", "new")],
        vec![put_change("run.sh", "")],
        vec![put_change("a/new/b/file", "new")],
        vec![removal("run.sh")],
        vec![removal("binary")],
        vec![put_change("binary", "text now")],
        vec![renaming("run.sh", "a/moved/run.sh", false)],
        vec![renaming("run.sh", "private", true)],
        // A folder, as `move` and `remove` go about it.
        vec![renaming("src/lib.rs", "lib/lib.rs", false), renaming("src/deep/x", "lib/deep/x", false)],
        vec![removal("src/lib.rs"), removal("src/deep/x")],
        // What a patch does all at once.
        vec![
            put_change("src/lib.rs", "patched"),
            put_change("src/more.rs", "added"),
            removal("private"),
            renaming("run.sh", "scripts/run.sh", false),
        ],
    ] {
        let shown = format!("{changes:?}");
        let kept =
            Kept::new(&[("run.sh", "#!"), ("private", "p"), ("src/lib.rs", "lib"), ("src/deep/x", "x")]);
        std::fs::write(kept.path().join("binary"), &binary).unwrap();
        for (name, mode) in [("run.sh", 0o755), ("private", 0o600), ("binary", 0o444)] {
            chmod(kept.path(), name, mode);
        }
        let before = snapshot(kept.path());
        let record = kept.commit(changes);
        assert_ne!(snapshot(kept.path()), before, "{shown}");
        let undone = kept.undo(&[&record]).unwrap();
        assert_eq!(snapshot(kept.path()), before, "{shown}");
        assert_eq!(undone.files.len(), record.files.len(), "{shown}");
        // And once more: there is nothing to do.
        assert_eq!(kept.undo(&[&record]).unwrap(), UndoRecord::default(), "{shown}");
    }
}

#[test]
fn a_record_tells_each_path_as_the_call_found_and_left_it() {
    let kept = Kept::new(&[("a", "one"), ("same", "same")]);
    chmod(kept.path(), "a", 0o755);
    chmod(kept.path(), "same", 0o640);
    let record = kept
        .call(vec![
            vec![put_change("a", "two"), put_change("passing", "by")],
            vec![put_change("a", "three"), removal("passing")],
            vec![put_change("same", "other")],
            vec![put_change("same", "same")],
        ])
        .unwrap();
    let state = |content: &str, mode| {
        Some(FileState { digest: Digest::of(content), size: content.len() as u64, mode })
    };
    let [change] = record.files.as_slice() else { panic!("{record:?}") };
    assert_eq!((change.path.as_str(), &change.before), ("a", &state("one", 0o755)));
    assert_eq!(change.after, state("three", 0o755));
    assert_eq!((record.folders.len(), &record.impossible), (0, &None));
    // Contents are kept once, and for their owner alone.
    let names = tree(&kept.images.path().join("images"));
    assert_eq!(names.len(), 5, "one, two, by, same and other: {names:?}");
    assert_eq!(mode(kept.images.path(), "images"), 0o700);
    assert_eq!(std::fs::metadata(kept.image("one")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_a_place_for_before_images_there_is_no_record() {
    let dir = workspace(&[("a", "one")]);
    let mut session = on(&Files::open(dir.path()).unwrap());
    session.commit(vec![put_change("a", "two"), put_change("new/b", "b")]).unwrap();
    session.make_folder(&path("folder")).unwrap();
    assert_eq!(session.undo_record(), None);
}

#[test]
fn what_was_changed_since_is_not_written_over() {
    let kept = Kept::new(&[("a", "one"), ("b", "b"), ("c", "c")]);
    let record = kept.commit(vec![put_change("a", "two"), put_change("b", "B"), removal("c")]);
    put(kept.path(), "a", "mine");
    kept.refuses(&[&record], "a has been changed since");
    std::fs::remove_file(kept.path().join("a")).unwrap();
    kept.refuses(&[&record], "a is gone");
    put(kept.path(), "a", "two");
    chmod(kept.path(), "b", 0o755);
    kept.refuses(&[&record], "b has the mode 755 now, not 644");
    chmod(kept.path(), "b", 0o644);
    put(kept.path(), "c", "mine");
    kept.refuses(&[&record], "c is there again");
    std::fs::remove_file(kept.path().join("c")).unwrap();
    // What stands in the way is told of every path.
    put(kept.path(), "a", "mine");
    std::fs::remove_file(kept.path().join("b")).unwrap();
    kept.refuses(&[&record], "a has been changed since; b is gone");
}

#[test]
fn what_somebody_put_back_by_hand_is_left_and_the_rest_is_undone() {
    let kept = Kept::new(&[("a", "one"), ("b", "b")]);
    let before = snapshot(kept.path());
    let record = kept.commit(vec![put_change("a", "two"), put_change("b", "B")]);
    put(kept.path(), "a", "one");
    let undone = kept.undo(&[&record]).unwrap();
    assert_eq!(undone.files.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(snapshot(kept.path()), before);
}

#[test]
fn nothing_is_undone_through_a_link_or_over_what_is_no_file() {
    let outside = workspace(&[("x", "two"), ("y", "untouched")]);
    let kept = Kept::new(&[("d/x", "one"), ("a", "one")]);
    let record = kept.commit(vec![put_change("d/x", "two")]);
    std::fs::rename(kept.path().join("d"), kept.path().join("away")).unwrap();
    symlink(outside.path(), kept.path().join("d")).unwrap();
    kept.refuses(&[&record], "d is a symbolic link; not followed");
    assert_eq!(snapshot(outside.path()), snapshot(workspace(&[("x", "two"), ("y", "untouched")]).path()));

    let record = kept.commit(vec![put_change("a", "two")]);
    std::fs::remove_file(kept.path().join("a")).unwrap();
    symlink(outside.path().join("x"), kept.path().join("a")).unwrap();
    kept.refuses(&[&record], "a is a symbolic link; not followed");
    std::fs::remove_file(kept.path().join("a")).unwrap();
    std::fs::hard_link(outside.path().join("x"), kept.path().join("a")).unwrap();
    kept.refuses(&[&record], "a has a second hard link; such files are not opened");
    std::fs::remove_file(kept.path().join("a")).unwrap();
    std::fs::create_dir(kept.path().join("a")).unwrap();
    kept.refuses(&[&record], "a is a folder");
}

#[test]
fn a_before_image_that_is_gone_or_damaged_is_told_by_its_digest() {
    let kept = Kept::new(&[("a", "one"), ("b", "b")]);
    let record = kept.commit(vec![put_change("b", "B"), put_change("a", "two")]);
    let digest = |content: &str| Digest::of(content).to_string();
    std::fs::write(kept.image("one"), "0ne").unwrap();
    let (one, zero) = (digest("one"), digest("0ne"));
    kept.refuses(&[&record], &format!("a had the digest {one}: what is kept of it has the digest {zero}"));
    std::fs::write(kept.image("one"), "one and more").unwrap();
    // Never read further than it can be right.
    let more = digest("one ");
    kept.refuses(&[&record], &format!("a had the digest {one}: what is kept of it has the digest {more}"));
    std::fs::remove_file(kept.image("one")).unwrap();
    kept.refuses(&[&record], &format!("a had the digest {one}: it is not kept any more"));
    symlink(kept.image("b"), kept.image("one")).unwrap();
    let error = kept.undo(&[&record]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("a had the digest {one}: it cannot be read")), "{error}");
    assert_eq!(get(kept.path(), "b").unwrap(), "B");
}

#[test]
fn what_the_policy_does_not_let_the_tool_change_any_more_is_not_put_back() {
    let kept = Kept::new(&[("a", "one"), ("src/x", "x")]);
    let record = kept.commit(vec![put_change("a", "two"), put_change("src/x", "X")]);
    let narrower = POLICY.replace("\"locked/\"", "\"src/\"");
    let Err(UndoError::Denied(error)) = kept.undo_under(&narrower, &[&record]) else { panic!("allowed") };
    assert_eq!((error.code, error.rule.as_deref()), (ToolErrorCode::Denied, Some("locked")));
    assert_eq!(error.message, "the policy does not let src/x be changed: It is locked.");
    assert_eq!(
        (get(kept.path(), "a").unwrap(), get(kept.path(), "src/x").unwrap()),
        ("two".into(), "X".into())
    );
}

#[test]
fn a_commit_that_fails_is_in_no_record() {
    let kept = Kept::new(&[("a", "one"), ("b", "b")]);
    let failing = vec![put_change("a", "two"), put_change("new/c", "c"), renaming("b", "a/below", false)];
    assert_eq!(kept.call(vec![failing.clone()]), None);
    let record = kept.call(vec![vec![put_change("b", "B")], failing]).unwrap();
    assert_eq!(record.files.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!((record.folders.len(), &record.impossible), (0, &None));
    kept.undo(&[&record]).unwrap();
    assert_eq!(get(kept.path(), "b").unwrap(), "b");
}

#[test]
fn a_call_goes_on_without_room_for_what_it_replaces_and_says_that_it_cannot_be_undone() {
    let kept = Kept::new(&[("a", "one"), ("b", "b"), ("c", "c")]);
    let images = Images::open_with_room(&kept.images.path().join("small"), 2 * 4096).unwrap();
    let kept = Kept { files: Files { images: Some(Arc::new(images)), ..kept.files.clone() }, ..kept };
    let first = kept.commit(vec![put_change("a", "two")]);
    let second = kept.commit(vec![removal("b"), put_change("c", "C")]);
    assert_eq!((get(kept.path(), "b"), get(kept.path(), "c")), (None, Some("C".to_owned())));
    assert_eq!(second.impossible.as_deref(), Some("the contents kept for undoing have reached 0 MiB"));
    kept.refuses(&[&second], "the contents kept for undoing have reached 0 MiB");
    kept.refuses(&[&first, &second], "the contents kept for undoing have reached 0 MiB");
    // A new file replaces nothing, and what was kept before is still there.
    let third = kept.commit(vec![put_change("d", "d")]);
    kept.undo(&[&third]).unwrap();
    kept.undo(&[&first]).unwrap();
    assert_eq!((get(kept.path(), "a").unwrap(), get(kept.path(), "d")), ("one".to_owned(), None));
    // What lies there already counts when the folder is opened again.
    assert!(tree(&kept.images.path().join("small")).len() <= 2);
    let again = Images::open_with_room(&kept.images.path().join("small"), 2 * 4096).unwrap();
    let kept = Kept { files: Files { images: Some(Arc::new(again)), ..kept.files.clone() }, ..kept };
    assert!(kept.commit(vec![put_change("c", "full")]).impossible.is_some());
}

#[test]
fn of_one_call_no_more_is_kept_than_one_call_may_write() {
    let kept = Kept::new(&[("a", "one")]);
    let large = std::fs::File::create(kept.path().join("large")).unwrap();
    large.set_len((128 << 20) + 1).unwrap();
    let moved = kept.commit(vec![renaming("large", "moved", false)]);
    assert_eq!(moved.impossible, None, "a new name keeps the content");
    kept.undo(&[&moved]).unwrap();
    let record = kept.commit(vec![removal("large")]);
    let words = "it replaced or removed more than the 128 MiB that are kept of one call";
    assert_eq!(record.impossible.as_deref(), Some(words));
    assert!(tree(&kept.images.path().join("images")).is_empty());
}

#[test]
fn a_place_that_cannot_be_written_costs_the_undoing_and_not_the_call() {
    let kept = Kept::new(&[("a", "one")]);
    // The folder is gone: nothing can be made in it.
    std::fs::remove_dir_all(kept.images.path().join("images")).unwrap();
    let record = kept.commit(vec![put_change("a", "two")]);
    assert_eq!(get(kept.path(), "a").unwrap(), "two");
    let why = record.impossible.unwrap();
    assert!(why.starts_with("the content of a could not be kept: "), "{why}");
}

#[test]
fn folders_are_unmade_when_empty_and_made_again_when_they_were_removed() {
    let kept = Kept::new(&[("keep/x", "x")]);
    std::fs::create_dir(kept.path().join("bare")).unwrap();
    chmod(kept.path(), "bare", 0o750);
    let before = snapshot(kept.path());
    let mut session = on(&kept.files);
    session.make_folder(&path("made")).unwrap();
    session.remove_folder(&path("bare")).unwrap();
    session.write(path("n/m/file"), b"f".to_vec(), Expected::Absent).unwrap();
    let record = session.undo_record().unwrap();
    put(kept.path(), "n/mine", "stays");
    let undone = kept.undo(&[&record]).unwrap();
    let folders: Vec<&str> = undone.folders.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(folders, ["bare", "made", "n/m"]);
    assert_eq!(tree(kept.path()), ["bare", "keep", "keep/x", "n", "n/mine"]);
    std::fs::remove_file(kept.path().join("n/mine")).unwrap();
    assert_eq!(kept.undo(&[&record]).unwrap().folders.len(), 1);
    assert_eq!(snapshot(kept.path()), before);
}

#[test]
fn several_calls_are_undone_in_one_step_and_only_when_nothing_came_between() {
    let kept = Kept::new(&[("a", "one"), ("b", "b")]);
    let before = snapshot(kept.path());
    let first = kept.commit(vec![put_change("a", "two"), renaming("b", "c", false)]);
    let second = kept.commit(vec![put_change("a", "three"), renaming("c", "d/e", false)]);
    let third = kept.commit(vec![removal("a")]);
    // The last alone, then all: what is undone already is known.
    kept.undo(&[&third]).unwrap();
    assert_eq!(get(kept.path(), "a").unwrap(), "three");
    kept.undo(&[&first, &second, &third]).unwrap();
    assert_eq!(snapshot(kept.path()), before);
    kept.refuses(&[&second], "a has been changed since");

    let first = kept.commit(vec![put_change("a", "two")]);
    put(kept.path(), "a", "mine");
    let second = kept.commit(vec![put_change("a", "three")]);
    kept.refuses(&[&first, &second], "a was changed between two of the calls, and by none of them");
    kept.undo(&[&second]).unwrap();
    assert_eq!(get(kept.path(), "a").unwrap(), "mine");
}

/// What a random tool does: commits of some changes, folders made and removed. Most of it fails.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Change>),
    MakeFolder(&'static str),
    RemoveFolder(&'static str),
}

fn any_change() -> impl Strategy<Value = Change> {
    let name = || prop::sample::select(vec!["a", "b", "d/x", "d/y", "d/e/z", "n/m/k"]);
    let content = prop::sample::select(vec!["", "1", "22", "333"]);
    prop_oneof![
        4 => (name(), content).prop_map(|(name, content)| put_change(name, content)),
        2 => name().prop_map(removal),
        3 => (name(), name(), any::<bool>()).prop_map(|(from, to, replace)| renaming(from, to, replace)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let folder = || prop::sample::select(vec!["d", "d/e", "n", "n/m", "f"]);
    prop_oneof![
        8 => prop::collection::vec(any_change(), 1..4).prop_map(Step::Commit),
        1 => folder().prop_map(Step::MakeFolder),
        1 => folder().prop_map(Step::RemoveFolder),
    ]
}

fn made(kept: &Kept, steps: Vec<Step>) -> Option<UndoRecord> {
    let mut session = on(&kept.files);
    for step in steps {
        let _ = match step {
            Step::Commit(changes) => session.commit(changes),
            Step::MakeFolder(name) => session.make_folder(&path(name)),
            Step::RemoveFolder(name) => session.remove_folder(&path(name)),
        };
    }
    session.undo_record()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Undoing random calls one by one, the last first, passes through the very trees they were made on; undoing
    /// all since any of them at once arrives at the tree it was made on.
    #[test]
    fn undoing_in_reverse_passes_through_the_same_trees(
        calls in prop::collection::vec(prop::collection::vec(any_step(), 1..4), 1..7),
        since in any::<prop::sample::Index>(),
    ) {
        for at_once in [false, true] {
            let kept = Kept::new(&[("a", "1"), ("d/x", "22"), ("d/e/z", "333")]);
            chmod(kept.path(), "a", 0o755);
            chmod(kept.path(), "d/x", 0o600);
            let mut trees = vec![snapshot(kept.path())];
            let mut records = Vec::new();
            for call in &calls {
                records.push(made(&kept, call.clone()));
                trees.push(snapshot(kept.path()));
            }
            if at_once {
                let since = since.index(calls.len());
                let records: Vec<&UndoRecord> = records[since..].iter().flatten().collect();
                kept.undo(&records).unwrap();
                prop_assert_eq!(snapshot(kept.path()), trees[since].clone());
                continue;
            }
            for (record, tree) in records.iter().zip(&trees).rev() {
                if let Some(record) = record {
                    kept.undo(&[record]).unwrap();
                }
                prop_assert_eq!(&snapshot(kept.path()), tree);
            }
        }
    }
}
