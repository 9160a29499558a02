//! What tests of Python ask for by the names of their parameters: a renaming may not point one at another fixture.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_syntax::{DeclaredKind, Language, declared, identifier_set};

use super::is_of_tests;
use crate::change::Change;

/// What the changed files of tests ask for.
#[derive(Default)]
pub(super) struct Asked {
    /// Every parameter, and every text that may be the name of a fixture, after the change.
    names: BTreeSet<String>,
    /// Parameters of tests that nothing in their own file explains, and what each was called before, of which one is.
    parameters: BTreeSet<(String, String)>,
}

impl Asked {
    pub(super) fn new(change: &Change) -> Self {
        let mut out = Self::default();
        for diff in change.files.iter().filter(|diff| is_of_tests(&diff.file.path)) {
            if Language::of(diff.file.path.as_str()) != Some(Language::Python) {
                continue;
            }
            let (Some(before), Some(after)) = (&diff.before, &diff.after) else { continue };
            let (old, new) = (parameters(before), parameters(after));
            out.names.extend(new.named);
            // What is passed to a test by a decorator goes by any name.
            let words = identifier_set(Language::Python, before);
            if ["given", "patch"].iter().any(|word| words.contains(*word)) {
                continue;
            }
            for (test, names) in &new.of_tests {
                let Some(were) = old.of_tests.get(test) else { continue };
                let gone: Vec<&String> = were.difference(names).collect();
                for name in names.difference(were).filter(|name| !new.words.contains(*name)) {
                    out.parameters.extend(gone.iter().map(|old| ((*old).clone(), name.clone())));
                }
            }
        }
        out
    }

    /// Whether a test that asked for `old` asks for something else by `new`: what stays declared as `old` in an unchanged
    /// file (`fixtures`), or what no changed file of tests declares (`declares`), which is a plugin's.
    pub(super) fn points_elsewhere(
        &self,
        old: &str,
        new: &str,
        fixtures: &BTreeSet<String>,
        declares: impl Fn(&str) -> bool,
    ) -> bool {
        (fixtures.contains(old) && self.names.contains(new))
            || (self.parameters.contains(&(old.to_owned(), new.to_owned())) && !declares(new))
    }
}

struct Parameters {
    /// Parameters and texts.
    named: BTreeSet<String>,
    /// Parameters by test.
    of_tests: BTreeMap<String, BTreeSet<String>>,
    /// The words of all texts.
    words: BTreeSet<String>,
}

fn parameters(content: &[u8]) -> Parameters {
    let mut out = Parameters { named: BTreeSet::new(), of_tests: BTreeMap::new(), words: BTreeSet::new() };
    for one in declared(Language::Python, content) {
        match one.kind {
            DeclaredKind::Text => {
                out.words.extend(super::WORD.find_iter(&one.name).map(|word| word.as_str().to_owned()));
            }
            DeclaredKind::Parameter => {
                if one.owner.rsplit('.').next().is_some_and(|name| name.starts_with("test")) {
                    out.of_tests.entry(one.owner.clone()).or_default().insert(one.name.clone());
                }
            }
            _ => continue,
        }
        out.named.insert(one.name);
    }
    out
}
