//! Whole tasks against a small repository in memory.

use crate::playbook::memory::Repo;

const TASK: &str = "Add the header `Copyright Us` to all Rust files";

#[test]
fn every_file_that_lacks_it_gets_it_and_the_rest_is_told() {
    let mut repo = Repo::new(&[
        ("src/lib.rs", "fn a() {}\n"),
        ("src/had.rs", "// Copyright Us\n\nfn b() {}\n"),
        ("src/other.rs", "// Copyright Them\nfn c() {}\n"),
        ("src/odd.rs", "\u{fffd}"),
        ("vendor/x.rs", "fn d() {}\n"),
        ("empty.rs", ""),
        ("a.py", "x = 1\n"),
    ]);
    insta::assert_snapshot!(repo.run(TASK), @r"
    done: Add the header to 1 file; 1 has it already.

    ```
    Copyright Us
    ```

    Changed:

    - src/lib.rs

    Not changed:

    - empty.rs: it is empty
    - src/odd.rs: it is not UTF-8, or too large
    - src/other.rs: it has another header, `Copyright Them`
    - vendor/x.rs: somebody else's
    ");
    assert_eq!(repo.files["src/lib.rs"], "// Copyright Us\n\nfn a() {}\n");
    assert_eq!(repo.story, ["list", "read 6 files", "patch src/lib.rs", "read 1 files"]);
    // The same task once more has nothing to do, but for what it does not touch.
    insta::assert_snapshot!(repo.run(TASK), @"conflicting_requirements: No file lacks a header: 2 have this one and 1 has another of the same kind, which is not replaced. | Is the other header to be removed? | src/other.rs: Copyright Them");
    repo.files.remove("src/other.rs");
    insta::assert_snapshot!(repo.run(TASK), @"no_change_needed: No file lacks the header: 2 have it, 3 are left as they are. |  | empty.rs: it is empty; src/odd.rs: it is not UTF-8, or too large; vendor/x.rs: somebody else's");
}

#[test]
fn a_place_that_holds_none_is_a_question() {
    let mut repo = Repo::new(&[("src/lib.rs", "fn a() {}\n")]);
    insta::assert_snapshot!(repo.run(&format!("{TASK} in lib")), @"underspecified: There are no Rust files in lib. | Which files are meant? | ");
    assert!(repo.run(&format!("{TASK} in src")).starts_with("done"));
}

#[test]
fn a_refused_or_pretended_change_ends_it() {
    let mut repo = Repo::new(&[("locked/a.rs", "fn a() {}\n")]);
    insta::assert_snapshot!(repo.run(TASK), @"policy_blocked: `patch` was refused or failed: locked/a.rs may not be written (rule keep-locked) |  | locked/a.rs may not be written (rule keep-locked)");
    let mut repo = Repo::new(&[("lying/a.rs", "fn a() {}\n")]);
    insta::assert_snapshot!(repo.run(TASK), @"stuck: lying/a.rs is not what the playbook was to make of it. |  | ");
}
