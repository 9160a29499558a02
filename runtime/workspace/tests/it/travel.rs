//! A base that travels: one commit, without its history, in one file.

use gloaming_workspace::Repository;

use crate::support::{Scene, git, write};

#[test]
fn a_commit_without_its_history_is_the_same_commit_elsewhere() {
    for sha in ["sha1", "sha256"] {
        let scene = Scene::empty(&[&format!("--object-format={sha}")]);
        scene.write("README.md", "# Title\n");
        scene.commit("first");
        scene.write("src/deep/a b.txt", "more\n");
        scene.commit("second");
        let (repository, base) = (scene.open(), scene.open().resolve(None).unwrap());
        let pack = repository.pack(&base, 1 << 20).unwrap().unwrap();
        assert_eq!(repository.pack(&base, pack.len() - 1).unwrap(), None);

        let there = scene.path("there");
        let other = Repository::of_pack(pack.clone(), base.as_str(), &there, &scene.state()).unwrap();
        assert_eq!(other.resolve(Some(base.as_str())).unwrap(), base);
        assert_eq!(other.tree_of(&base).unwrap(), repository.tree_of(&base).unwrap());
        let checkout = other.checkout(&base, &scene.path("work")).unwrap();
        assert_eq!(std::fs::read_to_string(checkout.dir().join("src/deep/a b.txt")).unwrap(), "more\n");
        write(&checkout.dir().join("README.md"), "# Other\n");
        assert_eq!(other.freeze(&checkout).unwrap().files.len(), 1);
        // Of its history nothing came along.
        assert_eq!(git(&there, &["rev-list", "--count", base.as_str()]).trim(), "1");

        for (broken, commit) in [(pack[..pack.len() / 2].to_vec(), base.as_str()), (pack, "no-id")] {
            let nowhere = scene.path("nowhere");
            Repository::of_pack(broken, commit, &nowhere, &scene.state()).unwrap_err();
            assert!(!nowhere.exists());
        }
    }
}
