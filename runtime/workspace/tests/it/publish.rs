//! One commit on one new branch, and nothing else of the repository is any different.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use gloaming_workspace::{Author, Patch, RepoError, Repository};

use crate::support::{Scene, author, git, has_reftable, listing, set_mode, try_git, when, write};

type Listing = BTreeMap<Vec<u8>, (u32, Vec<u8>)>;

/// The listing without what publishing is meant to add: loose objects, and the branch's ref.
fn untouched(dir: &Path) -> Listing {
    let is_object = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).into_owned();
        let object = name.split_once("objects/").is_some_and(|(_, rest)| {
            rest.len() >= 2 && rest.split('/').next().is_some_and(|folder| folder.len() == 2)
        });
        object || name.contains("refs/heads/gloaming")
    };
    listing(dir).into_iter().filter(|(name, _)| !is_object(name)).collect()
}

fn edited(scene: &Scene) -> (Repository, Patch) {
    let (repository, checkout) = scene.checked_out();
    write(&checkout.dir().join("src/lib.rs"), "pub fn parse_bar() -> u32 {\n    1\n}\n");
    write(&checkout.dir().join("src/deep/new.rs"), "// new\n");
    let patch = repository.freeze(&checkout).unwrap();
    (repository, patch)
}

#[test]
fn exactly_one_commit_on_a_new_branch() {
    for sha in ["sha1", "sha256"] {
        let scene = Scene::empty(&[&format!("--object-format={sha}")]);
        scene.write("README.md", "# Title\n");
        scene.write("src/lib.rs", "pub fn foo_bar() -> u32 {\n    1\n}\n");
        scene.commit("first");
        // A dirty work tree and a half-staged index stay as they are.
        scene.write("README.md", "dirty\n");
        scene.write("staged.txt", "staged\n");
        scene.git(&["add", "staged.txt"]);
        let (repository, patch) = edited(&scene);
        let before = untouched(&scene.repo());
        let message = "Rename foo_bar\n\nLong words: \"quoted\" and 😀.\n\n";
        let commit =
            repository.publish(&patch.base, &patch, "gloaming/t-1", message, &author(), when()).unwrap();
        assert_eq!(untouched(&scene.repo()), before);
        assert_eq!(scene.git(&["rev-parse", "gloaming/t-1"]).trim(), commit.as_str());
        assert_eq!(scene.git(&["rev-list", "--count", "main..gloaming/t-1"]).trim(), "1");
        let tree = patch.tree.as_str();
        let base = patch.base.as_str();
        assert_eq!(
            scene.git(&["cat-file", "commit", "gloaming/t-1"]),
            format!(
                "tree {tree}\nparent {base}\n\
                 author Gloaming <gloaming@example.com> 1750000000 +0000\n\
                 committer Gloaming <gloaming@example.com> 1750000000 +0000\n\n\
                 Rename foo_bar\n\nLong words: \"quoted\" and 😀.\n"
            )
        );
        let (complete, said) = try_git(&scene.repo(), &["fsck", "--strict", "--full"], b"");
        assert!(complete.is_some(), "{said}");
        // The very same again is found, as after a kill; anything else of that name is refused. Neither changes anything.
        let before = listing(&scene.repo());
        let commit = scene.git(&["rev-parse", "gloaming/t-1"]);
        let publish = |message: &str| {
            repository.publish(&patch.base, &patch, "gloaming/t-1", message, &author(), when())
        };
        assert_eq!(publish(message).unwrap().as_str(), commit.trim());
        let error = publish("other words").unwrap_err();
        assert!(matches!(error, RepoError::BranchExists(_)), "{error}");
        assert_eq!(listing(&scene.repo()), before);
    }
}

#[test]
fn bare_worktree_shallow_and_reftable_repositories_take_a_branch() {
    let scene = Scene::new();
    scene.write("more.txt", "x\n");
    scene.commit("second");
    scene.git(&["worktree", "add", "-q", "-b", "side", "../linked"]);
    git(&scene.path(""), &["clone", "-q", "--bare", "repo", "bare"]);
    let url = format!("file://{}", scene.repo().display());
    git(&scene.path(""), &["clone", "-q", "--depth=1", &url, "shallow"]);
    let mut names = vec!["linked", "bare", "shallow"];
    if has_reftable() {
        git(&scene.path(""), &["clone", "-q", "--ref-format=reftable", "repo", "reftable"]);
        names.push("reftable");
    }
    for name in names {
        let repository = Repository::open(&scene.path(name), &scene.state()).unwrap();
        let base = repository.resolve(None).unwrap();
        let checkout = repository.checkout(&base, &scene.path(&format!("work-{name}"))).unwrap();
        write(&checkout.dir().join("README.md"), format!("{name}\n"));
        let patch = repository.freeze(&checkout).unwrap();
        let commit = repository.publish(&base, &patch, "gloaming/t-2", "message", &author(), when()).unwrap();
        let dir = scene.path(name);
        assert_eq!(git(&dir, &["rev-parse", "gloaming/t-2"]).trim(), commit.as_str(), "{name}");
        assert_eq!(git(&dir, &["rev-parse", "HEAD"]).trim(), base.as_str(), "{name}");
        let (complete, said) = try_git(&dir, &["fsck", "--full"], b"");
        assert!(complete.is_some(), "{name}: {said}");
        let error =
            repository.publish(&base, &patch, "gloaming/t-2", "other", &author(), when()).unwrap_err();
        assert!(matches!(error, RepoError::BranchExists(_)), "{name}: {error}");
        if name == "linked" {
            // It shares its branches with the repository it is linked to.
            scene.git(&["branch", "-q", "-D", "gloaming/t-2"]);
        }
    }
}

#[test]
fn what_cannot_be_published_leaves_the_repository_as_it_was() {
    let scene = Scene::new();
    scene.git(&["branch", "taken"]);
    scene.git(&["branch", "gloaming"]);
    let (repository, patch) = edited(&scene);
    let before = listing(&scene.repo());
    let publish = |branch: &str, message: &str, author: &Author| {
        repository.publish(&patch.base, &patch, branch, message, author, when()).unwrap_err().to_string()
    };
    assert_eq!(publish("taken", "m", &author()), "the branch \"taken\" exists already");
    // A branch `gloaming` leaves no room for `gloaming/t-1`.
    assert_eq!(publish("gloaming/t-1", "m", &author()), "the branch \"gloaming/t-1\" exists already");
    for bad in ["", "-x", "a..b", "a b", "x.lock", "refs/heads/../../x", "@{", "a\nb", "HEAD"] {
        assert_eq!(publish(bad, "m", &author()), format!("{bad:?} is not a valid branch name"));
    }
    assert_eq!(
        publish("x", " \n", &author()),
        "cannot write a commit: the message is empty or holds a NUL byte"
    );
    let forged = Author { name: "x".into(), email: "a@b>\nparent 0".into() };
    assert_eq!(
        publish("x", "m", &forged),
        "cannot write a commit: the author's name is empty, or name or address hold < or >"
    );
    assert_eq!(listing(&scene.repo()), before);
}

#[test]
fn a_branch_another_process_is_writing_is_not_fought_over() {
    let scene = Scene::new();
    let (repository, patch) = edited(&scene);
    write(&scene.repo().join(".git/refs/heads/gloaming/t-1.lock"), "");
    let before = listing(&scene.repo());
    let result = repository.publish(&patch.base, &patch, "gloaming/t-1", "m", &author(), when());
    assert!(result.is_err());
    assert_eq!(listing(&scene.repo()), before, "objects that were moved are removed again");
}

#[test]
fn an_object_store_that_cannot_be_written_is_an_error_that_says_so() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root may write anywhere");
        return;
    }
    let scene = Scene::new();
    let (repository, patch) = edited(&scene);
    set_mode(&scene.repo().join(".git/objects"), 0o555);
    let result = repository.publish(&patch.base, &patch, "gloaming/t-1", "m", &author(), when());
    set_mode(&scene.repo().join(".git/objects"), 0o755);
    assert!(matches!(result, Err(RepoError::Permission { .. })), "{result:?}");
}

/// A small file system of its own, gone with the test.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one; none, with a word why, where that is not allowed.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let size = Some(c"size=1m");
        match rustix::mount::mount("tmpfs", &at, "tmpfs", rustix::mount::MountFlags::empty(), size) {
            Ok(()) => Some(Self(at)),
            Err(error) => {
                eprintln!("SKIPPED: no file system can be mounted here: {error}");
                None
            }
        }
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("fill")).unwrap();
        for block in [64 * 1024, 4096] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_leaves_the_repository_as_it_was() {
    let scene = Scene::new();
    let Some(disk) = Disk::mount(scene.path("disk")) else { return };
    git(&scene.path(""), &["clone", "-q", "repo", "disk/repo"]);
    let repository = Repository::open(&scene.path("disk/repo"), &scene.state()).unwrap();
    let base = repository.resolve(None).unwrap();
    let checkout = repository.checkout(&base, &scene.path("work")).unwrap();
    write(&checkout.dir().join("README.md"), "changed\n".repeat(10_000));
    let patch = repository.freeze(&checkout).unwrap();
    disk.fill();
    let before = listing(&scene.path("disk/repo"));
    let error = repository.publish(&base, &patch, "gloaming/t-1", "m", &author(), when()).unwrap_err();
    assert!(matches!(error, RepoError::DiskFull { .. }), "{error}");
    assert_eq!(listing(&scene.path("disk/repo")), before);
    // A checkout onto it fails in order too, and leaves nothing.
    let error = repository.checkout_tree(&patch.tree, &scene.path("disk/work")).unwrap_err();
    assert!(matches!(error, RepoError::DiskFull { .. }), "{error}");
    assert!(!scene.path("disk/work").exists());
}
