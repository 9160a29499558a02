//! What an operator or a repository says of a repository, against what was mined.

use gloaming_api::profile::{CommandKind, CorrectionBy};
use gloaming_profile::{CORRECTIONS_FILE, Corrections, detect, is_stale, known};
use proptest::prelude::*;

use crate::folder;

const RUST: &[(&str, &str)] = &[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/lib.rs", "")];

fn faults(text: &str) -> Vec<String> {
    match Corrections::of_operator("/etc/gloaming/x.toml", text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_operator_wins_over_the_repository_and_both_over_what_was_mined() {
    let own = "[commands.test]\nargv = [\"make\", \"test\"]\n\n[commands.build]\nargv = [\"make\"]\n";
    let dir = folder(&[RUST, &[(CORRECTIONS_FILE, own)]].concat());
    let operator = Corrections::of_operator(
        "/etc/gloaming/x.toml",
        "[commands.test]\nargv = [\"cargo\", \"test\", \"--offline\", \"--lib\"]\n",
    )
    .unwrap();
    let profile = known(dir.path(), Some(&operator)).unwrap();
    let test = profile.command(CommandKind::Test).unwrap();
    assert_eq!(test.argv, ["cargo", "test", "--offline", "--lib"]);
    assert_eq!(test.runner, Some(gloaming_api::profile::TestRunner::Cargo));
    assert_eq!((test.source.file.as_str(), test.source.line), ("x.toml", 1));
    assert_eq!(test.source.because, "the operator's correction");
    let build = profile.command(CommandKind::Build).unwrap();
    assert_eq!((build.source.file.as_str(), build.source.line), (CORRECTIONS_FILE, 4));
    let noted: Vec<(&str, CorrectionBy)> =
        profile.corrections.iter().map(|correction| (correction.field.as_str(), correction.by)).collect();
    assert_eq!(
        noted,
        [("commands.build", CorrectionBy::Repository), ("commands.test", CorrectionBy::Operator)]
    );
    let reasons: Vec<String> =
        profile.rejected.iter().map(|r| format!("{}: {}", r.command, r.reason)).collect();
    assert!(
        reasons.contains(&"make test: the operator's correction of x.toml:1".to_owned())
            && reasons.contains(&format!(
                "cargo test --offline: the repository's correction of {CORRECTIONS_FILE}:1"
            )),
        "{reasons:?}"
    );
    let one = profile.command(CommandKind::TestOne).unwrap();
    assert_eq!(one.argv, ["cargo", "test", "--offline", "--lib", "--", "{test}"]);
}

#[test]
fn what_is_not_said_stays_as_it_was_mined() {
    let own = "[commands.test]\nenv = { RUST_BACKTRACE = \"1\" }\n";
    let dir = folder(&[RUST, &[(CORRECTIONS_FILE, own)]].concat());
    let profile = known(dir.path(), None).unwrap();
    let test = profile.command(CommandKind::Test).unwrap();
    assert_eq!(
        (test.argv.join(" ").as_str(), test.env["RUST_BACKTRACE"].as_str()),
        ("cargo test --offline", "1")
    );
    assert_eq!(detect(dir.path()).command(CommandKind::Test).unwrap().env.len(), 0);
}

#[test]
fn a_change_of_either_file_makes_a_profile_stale() {
    let dir = folder(&[RUST, &[(CORRECTIONS_FILE, "[commands.lint]\nargv = [\"make\"]\n")]].concat());
    let operator = |argv: &str| {
        Corrections::of_operator("x", &format!("[commands.format]\nargv = [{argv:?}]\n")).unwrap()
    };
    let profile = known(dir.path(), Some(&operator("a"))).unwrap();
    assert!(!is_stale(&profile, dir.path(), Some(&operator("a"))));
    assert!(is_stale(&profile, dir.path(), Some(&operator("b"))));
    assert!(is_stale(&profile, dir.path(), None));
    crate::write_all(dir.path(), &[(CORRECTIONS_FILE, "[commands.lint]\nargv = [\"make\", \"x\"]\n")]);
    assert!(is_stale(&profile, dir.path(), Some(&operator("a"))));
    crate::write_all(dir.path(), &[(CORRECTIONS_FILE, "nonsense")]);
    assert!(is_stale(&profile, dir.path(), Some(&operator("a"))));
}

#[test]
fn every_fault_has_its_place() {
    assert_eq!(faults(""), Vec::<String>::new());
    assert_eq!(faults("x = 1\n"), ["/etc/gloaming/x.toml:1:1: a file of corrections has no key \"x\""]);
    assert_eq!(
        faults("[commands.test]\nargv = [\"é\"]\ncwd = \"/etc\"\nshell = \"sh\"\n"),
        [
            "/etc/gloaming/x.toml:3:7: \"/etc\" is an absolute path; name files relative to the workspace, like src/lib.rs",
            "/etc/gloaming/x.toml:4:1: a command has no key \"shell\"",
        ]
    );
    assert!(faults("a = = 1\n").iter().all(|fault| fault.starts_with("/etc/gloaming/x.toml:1:")));
    assert!(!faults("a = = 1\n").is_empty());
    assert_eq!(faults(&"#".repeat(300_000)), ["/etc/gloaming/x.toml:1:1: the file is larger than 256 KiB"]);
}

/// What was left out in silence would be taken to hold: a path that is protected, say.
#[test]
fn what_is_beyond_a_bound_is_a_fault() {
    let protected = |count| "[[protected]]\npattern = \"x\"\n".repeat(count);
    assert_eq!(faults(&protected(200)), Vec::<String>::new());
    assert_eq!(faults(&protected(201)).len(), 1);
    let words = |count| format!("[commands.test]\nargv = [{}]\n", "\"x\", ".repeat(count));
    assert_eq!(faults(&words(500)), Vec::<String>::new());
    assert_eq!(
        faults(&words(501)),
        ["/etc/gloaming/x.toml:2:8: argv has 501 entries, and at most 500 are read"]
    );
    let table: String = (0..201).map(|number| format!("t{number} = \"1\"\n")).collect();
    assert_eq!(faults(&format!("[toolchains]\n{table}")).len(), 1);
}

#[test]
fn a_repositorys_file_that_cannot_be_read_is_an_error() {
    let dir = folder(RUST);
    let outside = folder(&[("x.toml", "[commands.test]\nargv = [\"evil\"]\n")]);
    std::fs::create_dir(dir.path().join(".gloaming")).unwrap();
    let file = dir.path().join(CORRECTIONS_FILE);
    std::os::unix::fs::symlink(outside.path().join("x.toml"), &file).unwrap();
    assert!(known(dir.path(), None).unwrap_err()[0].to_string().contains("no regular file"));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"\xff").unwrap();
    assert!(known(dir.path(), None).is_err());
    std::fs::remove_file(&file).unwrap();
    std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    assert!(known(dir.path(), None).is_err());
    std::fs::remove_dir_all(dir.path().join(".gloaming")).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join(".gloaming")).unwrap();
    assert!(known(dir.path(), None).unwrap_err()[0].to_string().contains("symbolic link"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_corrections_or_faults_at_a_place_in_it(
        text in prop_oneof![
            "(\\[{1,2}(commands|services|toolchains|protected)[.a-z-]{0,9}\\]{1,2}\n|(argv|cwd|env|runner|disable|image|ports|owners|pattern|ecosystems) ?= ?[\"\\[{}\\]a-z0-9., é=]{0,14}\n){0,12}",
            ".{0,200}",
        ],
    ) {
        let lines = u32::try_from(text.lines().count()).unwrap() + 1;
        match Corrections::of_operator("x", &text) {
            Ok(corrections) => {
                let dir = folder(RUST);
                let _ = known(dir.path(), Some(&corrections));
            }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!(fault.line >= 1 && fault.line <= lines && fault.column >= 1, "{fault}");
                }
            }
        }
    }
}
