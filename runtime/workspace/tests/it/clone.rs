//! A URL becomes a bare repository of ours.

use gloaming_workspace::{Interrupt, RepoError, Repository};

use crate::support::{Scene, author, git, listing, when, write};

#[test]
fn a_file_url_is_cloned_bare() {
    let scene = Scene::new();
    scene.git(&["branch", "other"]);
    scene.git(&["tag", "v1"]);
    let before = listing(&scene.repo());
    let url = format!("file://{}", scene.repo().display());
    let repository =
        Repository::clone_url(&url, &scene.path("clone"), &scene.state(), &Interrupt::default()).unwrap();
    assert_eq!(listing(&scene.repo()), before);
    let head = repository.resolve(None).unwrap();
    assert_eq!(head, scene.head());
    assert_eq!(repository.resolve(Some("other")).unwrap(), head);
    assert_eq!(repository.resolve(Some("v1")).unwrap(), head);
    assert!(!scene.path("clone/hooks").exists(), "no template is used");
    let checkout = repository.checkout(&head, &scene.path("work")).unwrap();
    write(&checkout.dir().join("README.md"), "x\n");
    let patch = repository.freeze(&checkout).unwrap();
    repository.publish(&head, &patch, "gloaming/t-1", "m", &author(), when()).unwrap();
    assert_eq!(git(&scene.path("clone"), &["rev-list", "--count", "gloaming/t-1"]).trim(), "2");
}

#[test]
fn what_cannot_be_cloned_says_why_without_credentials() {
    let scene = Scene::empty(&[]);
    let clone = |url: &str, into: &str| {
        let error =
            Repository::clone_url(url, &scene.path(into), &scene.state(), &Interrupt::default()).unwrap_err();
        assert!(into == "full" || !scene.path(into).exists(), "{url} left something behind");
        (error.to_string(), error)
    };
    // Nothing listens there.
    let (text, _) = clone("http://user:s3cr3t@127.0.0.1:9/a.git?token=s3cr3t", "a");
    assert!(text.starts_with("git could not clone the repository: ") && !text.contains("s3cr3t"), "{text}");
    let (text, error) = clone("ext::sh -c touch% /tmp/x", "b");
    assert!(matches!(error, RepoError::BadUrl { .. }), "{text}");
    let (_, error) = clone("file:///nonexistent/repo", "c");
    assert!(matches!(error, RepoError::PathMissing(_)));
    let (_, error) = clone(&format!("file://{}", scene.repo().display()), "d");
    assert!(matches!(error, RepoError::NoCommits(_)), "{error}");
    write(&scene.path("full/x"), "x");
    let (_, error) = clone("https://127.0.0.1:9/a.git", "full");
    assert!(matches!(error, RepoError::NotEmpty(_)), "{error}");
    assert!(scene.path("full/x").exists(), "what was there before is kept");
}
