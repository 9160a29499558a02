//! The corpus, and variations of it, through every check on whatever toolchain runs the tests.
#![expect(clippy::disallowed_methods, reason = "the corpus lies beside this file")]

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;

/// Returns a target's inputs, each with its file.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read(&file).expect("readable"))).collect()
}

#[test]
fn every_input_of_the_corpus_holds() {
    for (target, check) in gloaming_fuzz::TARGETS {
        let inputs = corpus(target);
        assert!(!inputs.is_empty(), "{target} has a corpus");
        for (file, input) in inputs {
            // Shown only when the check fails.
            println!("{}", file.display());
            check(&input);
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let names = |folder: &str| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("readable")
            .map(|entry| {
                entry.expect("readable").path().file_stem().expect("named").to_string_lossy().into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let replayed: Vec<&str> = gloaming_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("fuzz_targets"), replayed);
    assert_eq!(names("corpus"), replayed);
}

/// What is done to an input: bytes of it replaced by others of the corpus.
fn changed(inputs: &[Vec<u8>], first: Index, changes: &[(Index, Index, Index, Index, Index)]) -> Vec<u8> {
    let mut input = inputs[first.index(inputs.len())].clone();
    for (at, length, other, from, taken) in changes {
        let at = at.index(input.len() + 1);
        let end = at + length.index((input.len() - at).min(16) + 1);
        let other = &inputs[other.index(inputs.len())];
        let from = from.index(other.len() + 1);
        let to = from + taken.index((other.len() - from).min(32) + 1);
        input.splice(at..end, other[from..to].iter().copied());
    }
    input
}

/// One test for each target; PROPTEST_CASES is how many cases, and a target may take a part of them.
macro_rules! variations {
    ($($name:ident of $target:ident in $part:literal;)*) => {
        $(proptest! {
            #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil($part)))]
            #[test]
            fn $name(first: Index, changes in prop::collection::vec(any::<(Index, Index, Index, Index, Index)>(), 1..6)) {
                static INPUTS: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
                    corpus(stringify!($target)).into_iter().map(|(_, input)| input).collect()
                });
                gloaming_fuzz::$target::check(&changed(&INPUTS, first, &changes));
            }
        })*
    };
}

variations! {
    variations_of_commands_hold of command in 1;
    // Each compiles several policies.
    variations_of_decisions_hold of decide in 16;
    variations_of_edits_hold of edit in 1;
    variations_of_globs_hold of glob in 1;
    variations_of_imports_hold of import in 4;
    variations_of_patches_hold of patch in 1;
    variations_of_paths_hold of path in 1;
    variations_of_policies_hold of policy in 16;
}
