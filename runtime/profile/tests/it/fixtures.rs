//! The repositories of `tests/onboard/fixtures`, each with the whole profile it gives in `tests/onboard/expected`.
//! `GLOAMING_UPDATE=1 cargo test -p gloaming-profile --test it fixtures` rewrites those.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gloaming_profile::{is_stale, known};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/onboard")
}

fn names(folder: &str, end: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(data().join(folder)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.map(|name| name.strip_suffix(end).unwrap_or(&name).to_owned()).collect()
}

/// What the fixture gives, as it is written down: the profile, or every fault of its corrections.
fn shown(name: &str) -> String {
    let dir = data().join("fixtures").join(name);
    let mut value = match known(&dir, None) {
        Ok(profile) => serde_json::to_value(profile).unwrap(),
        Err(faults) => {
            let lines = faults.iter().map(|fault| match &fault.hint {
                Some(hint) => format!("{fault}; {hint}"),
                None => fault.to_string(),
            });
            lines.collect::<Vec<_>>().into()
        }
    };
    if let Some(profile) = value.as_object_mut() {
        // A digest says nothing to a reader; what it covers has a test of its own.
        profile.remove("mined_from");
    }
    format!("{}\n", serde_json::to_string_pretty(&value).unwrap())
}

#[test]
fn fixtures_give_the_profiles_that_are_written_down() {
    let fixtures = names("fixtures", "");
    assert!(fixtures.len() >= 30, "{fixtures:?}");
    let mut wrong = Vec::new();
    for name in &fixtures {
        let path = data().join("expected").join(format!("{name}.json"));
        let shown = shown(name);
        if std::env::var_os("GLOAMING_UPDATE").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != shown {
            wrong.push(format!("{name}: {}", similar_lines(&expected, &shown)));
        }
    }
    assert!(wrong.is_empty(), "GLOAMING_UPDATE=1 rewrites tests/onboard/expected\n{}", wrong.join("\n"));
    assert_eq!(names("expected", ".json"), fixtures, "one expected profile for each fixture, and no other");
}

/// The first line that differs.
fn similar_lines(expected: &str, shown: &str) -> String {
    let differs = expected.lines().zip(shown.lines()).find(|(a, b)| a != b);
    differs.map_or("one is longer".to_owned(), |(a, b)| format!("expected {a:?}, is {b:?}"))
}

#[test]
fn a_fixture_is_stale_when_a_file_it_was_mined_from_changes() {
    for name in names("fixtures", "") {
        let from = data().join("fixtures").join(&name);
        let copy = tempfile::tempdir().unwrap();
        let dir = copy.path().join("tree");
        gloaming_workspace::copy_tree(&from, &dir).unwrap();
        let Ok(profile) = known(&dir, None) else { continue };
        assert!(!is_stale(&profile, &dir, None), "{name}");
        for change in ["package.json", "Cargo.toml", "pyproject.toml", "pom.xml", "go.mod", "CMakeLists.txt"]
        {
            let path = dir.join(change);
            if let Ok(text) = std::fs::read_to_string(&path) {
                std::fs::write(&path, format!("{text}\n")).unwrap();
                assert!(is_stale(&profile, &dir, None), "{name}: {change}");
                std::fs::write(&path, text).unwrap();
            }
        }
        assert!(!is_stale(&profile, &dir, None), "{name}");
    }
}
