//! Which identifiers a patch renames for good: the only change that may reach into an existing test.
//!
//! This decides what a name became in the code. At which places of a test it follows is decided there, place by place
//! ([`gloaming_syntax::test_changes`]).

mod fixtures;
mod moved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;
use gloaming_syntax::{
    ByName, Declared, DeclaredKind, Language, MAX_SOURCE, Rename, by_name, covered_by, declared,
    declares_the_same, identifier_set, leads_elsewhere, renamed_identifiers, units,
};
use regex::Regex;

use crate::change::{Change, FileDiff};
use crate::runners::TreeView;

pub(crate) use gloaming_syntax::Renames;

/// The most renamings that are looked at; a patch with more renames nothing that tests could follow.
const MOST: usize = 2000;

/// With so many names each file is parsed at once: looking for each of them in its text takes longer.
const FEW: usize = 64;

static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}_][\p{L}\p{N}_]*").expect("a constant pattern"));

/// Returns the identifiers that the code part of the patch renames: declared there under the old name before
/// and under the new one after, as the same and nowhere else, gone from all code, and to names nothing had before. So no
/// test can be pointed at something weaker that exists already or comes along.
pub(crate) fn renames(change: &Change, tree: &TreeView<'_>) -> Renames {
    let mut names = names(change);
    let mut modules = modules(change);
    if names.len() + modules.len() > MOST {
        return Renames::new();
    }
    for diff in &change.files {
        keep_complete(&mut names, diff);
        keep_fresh(&mut modules, diff);
    }
    let mut kept = Kept::default();
    keep_unknown_elsewhere(&mut names, &mut modules, &mut kept, change, tree);
    let code = declarations(change, |path| gloaming_workspace::role(path) == FileRole::Code);
    let tests = declarations(change, is_of_tests);
    let code = (by_name(&code.0), by_name(&code.1));
    let tests = (by_name(&tests.0), by_name(&tests.1));
    let asked = fixtures::Asked::new(change);
    let elsewhere = |old: &str, new: &str| {
        in_part(&tests, &kept.declared, old, new)
            || asked.points_elsewhere(old, new, &kept.fixtures, |name| tests.1.contains_key(name))
    };
    names.retain(|old, new| !elsewhere(old, new));
    modules.retain(|old, new| !elsewhere(old, new) && !moved::is_said_by_path(&code, old));
    let every: BTreeMap<String, String> =
        names.iter().chain(&modules).map(|(o, n)| (o.clone(), n.clone())).collect();
    let same = |old: &str, new: &str| {
        [&code, &tests].iter().all(|(before, after)| {
            declares_the_same(before, after, old, new, |owner| {
                replace_words(owner, |word| every.get(word).cloned())
            })
        })
    };
    let mut out = Renames::new();
    for (old, new) in &names {
        let declared = || code.0.get(old.as_str()).into_iter().flatten();
        let mut becomes = code.1.get(new.as_str()).into_iter().flatten();
        if declared().any(|one| one.kind != DeclaredKind::Text)
            && becomes.any(|one| one.kind != DeclaredKind::Text)
            && same(old, new)
        {
            let rename = Rename {
                to: new.clone(),
                seen: declared().any(|one| one.is_seen()),
                keyword: declared().any(|one| one.kind == DeclaredKind::Parameter),
                module: false,
            };
            out.insert(old.clone(), rename);
        }
    }
    for (old, new) in &modules {
        if same(old, new) {
            let named = Rename { to: new.clone(), seen: false, keyword: false, module: true };
            out.entry(old.clone()).or_insert(named);
        }
    }
    out
}

/// Old name to new name.
type Names = BTreeMap<String, String>;

/// What changed files of code rename, each by its own.
fn names(change: &Change) -> Names {
    let mut names = Names::new();
    let mut conflicting: BTreeSet<String> = BTreeSet::new();
    for diff in change.files.iter().filter(|diff| diff.file.role == FileRole::Code) {
        let Some(language) = Language::of(diff.file.path.as_str()) else { continue };
        let (Some(before), Some(after)) = (&diff.before, &diff.after) else { continue };
        for (old, new) in renamed_identifiers(language, before, after) {
            if leads_elsewhere(language, &old, &new) {
                conflicting.insert(old.clone());
            }
            if names.get(&old).is_some_and(|other| *other != new) {
                conflicting.insert(old.clone());
            }
            names.insert(old, new);
        }
    }
    let mut targets: BTreeMap<String, u32> = BTreeMap::new();
    for new in names.values() {
        *targets.entry(new.clone()).or_default() += 1;
    }
    names.retain(|old, new| !conflicting.contains(old) && targets[new] == 1);
    names
}

/// A code file that moved takes its module's name along. Files of Go have no names in code.
fn modules(change: &Change) -> Names {
    let mut modules = Names::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (from, to) in change.moves() {
        if gloaming_workspace::role(&from) == FileRole::Code
            && let Some(language) = Language::of(from.as_str())
            && let (Some(old), Some(new)) = (module_name(&from), module_name(&to))
            && old != new
            && !leads_elsewhere(language, &old, &new)
            && !moved::is_still_found(change, &from, &old)
            && !modules.contains_key(&old)
            && taken.insert(new.clone())
        {
            modules.insert(old, new);
        }
    }
    modules
}

/// Whether a file serves tests: what it declares is found by its name, be it in another file.
fn is_of_tests(path: &RelPath) -> bool {
    gloaming_workspace::role(path) == FileRole::Test || path.name() == Some("conftest.py")
}

/// Whether of several things that tests declare by an old name only some have the new one: a fixture or a method that is
/// renamed leaves its place to another one of the name.
fn in_part(
    (before, after): &(ByName<'_>, ByName<'_>),
    kept: &BTreeSet<String>,
    old: &str,
    new: &str,
) -> bool {
    before.contains_key(old) && after.contains_key(new) && (after.contains_key(old) || kept.contains(old))
}

/// Names that files of tests declare which the patch does not change.
#[derive(Default)]
struct Kept {
    /// As anything that others see.
    declared: BTreeSet<String>,
    /// In files with fixtures, where a fixture may be called so.
    fixtures: BTreeSet<String>,
}

/// Drops names of which a file that the patch does not change knows the new one, or as code still the old one. `kept` gets
/// what such files of tests declare.
fn keep_unknown_elsewhere(
    names: &mut Names,
    modules: &mut Names,
    kept: &mut Kept,
    change: &Change,
    tree: &TreeView<'_>,
) {
    let changed: BTreeSet<&RelPath> = change.files.iter().map(|diff| &diff.file.path).collect();
    for path in tree.files.iter().filter(|path| !changed.contains(path)) {
        if names.is_empty() && modules.is_empty() {
            break;
        }
        let Some(language) = Language::of(path.as_str()) else { continue };
        // What cannot be looked into may hold any name.
        let Some(content) = crate::host::read_tree_file(tree.dir, path) else {
            names.clear();
            modules.clear();
            break;
        };
        let text = String::from_utf8_lossy(&content);
        // Parsing every file of a large repository costs seconds, looking for the words does not.
        let few = names.len() + modules.len() <= FEW;
        if few && !names.iter().chain(&*modules).any(|(old, new)| text.contains(old) || text.contains(new)) {
            continue;
        }
        let words = words_of(language, &content);
        let is_code = gloaming_workspace::role(path) == FileRole::Code;
        names.retain(|old, new| !(words.contains(new) || is_code && words.contains(old)));
        // Code may have a name of its own for a module.
        modules.retain(|_, new| !words.contains(new));
        let known = |name: &String| names.contains_key(name) || modules.contains_key(name);
        if is_of_tests(path) {
            let declared = declared(language, &content);
            let seen = declared.iter().filter(|one| one.is_seen()).map(|one| &one.name);
            kept.declared.extend(seen.filter(|name| known(name)).cloned());
            if language == Language::Python && words.contains("fixture") {
                // By its function's name, or by the text that says another.
                let named = declared.iter().filter(|one| one.is_seen() || one.kind == DeclaredKind::Text);
                kept.fixtures.extend(named.map(|one| &one.name).filter(|name| known(name)).cloned());
            }
            // One that is too large to be parsed may declare what it says.
            if content.len() > MAX_SOURCE {
                kept.declared.extend(words.iter().filter(|name| known(name)).cloned());
                kept.fixtures.extend(words.into_iter().filter(known));
            }
        }
    }
}

/// The identifiers of a file; all of its words, where it is too large to be parsed.
fn words_of(language: Language, content: &[u8]) -> BTreeSet<String> {
    if content.len() <= MAX_SOURCE {
        return identifier_set(language, content);
    }
    WORD.find_iter(&String::from_utf8_lossy(content)).map(|word| word.as_str().to_owned()).collect()
}

/// Drops renamings to names that a changed file had before.
fn keep_fresh(renames: &mut Names, diff: &FileDiff) {
    let (Some(language), Some(before)) = (Language::of(diff.file.path.as_str()), &diff.before) else {
        return;
    };
    let names = words_of(language, before);
    renames.retain(|_, new| !names.contains(new));
}

/// Drops renamings to names a changed file had before, and of names its code still has.
fn keep_complete(renames: &mut Names, diff: &FileDiff) {
    keep_fresh(renames, diff);
    let Some(language) = Language::of(diff.file.path.as_str()) else { return };
    if diff.file.role == FileRole::Code
        && let Some(after) = &diff.after
    {
        let names = words_of(language, after);
        renames.retain(|old, _| !names.contains(old));
    }
}

/// What the changed files of a role declare before and after. Tests among code do not count as code, and of files of
/// tests counts only what others see: a local is renamed where it stands.
fn declarations(change: &Change, of: fn(&RelPath) -> bool) -> (Vec<Declared>, Vec<Declared>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for diff in change.files.iter().filter(|diff| of(&diff.file.path)) {
        let Some(language) = Language::of(diff.file.path.as_str()) else { continue };
        for (content, all) in [(&diff.before, &mut before), (&diff.after, &mut after)] {
            let Some(content) = content.as_deref() else { continue };
            let mut found = declared(language, content);
            if is_of_tests(&diff.file.path) {
                found.retain(Declared::is_seen);
            } else {
                let units = units(language, content);
                let is_test = covered_by(units.iter().filter(|unit| unit.is_test || unit.in_test_module));
                found.retain(|one| !is_test(one.start));
            }
            all.extend(found);
        }
    }
    (before, after)
}

fn module_name(path: &RelPath) -> Option<String> {
    Language::of(path.as_str()).filter(|language| *language != Language::Go)?;
    let (stem, _) = path.name()?.split_once('.')?;
    (WORD.find(stem)?.as_str() == stem).then(|| stem.to_owned())
}

/// Replaces whole words by the new names of what other code can name: in data, in what a test is called, in documentation.
pub(crate) fn rename_words(text: &str, renames: &Renames) -> String {
    let seen = |word: &str| {
        renames.get(word).filter(|rename| rename.seen || rename.module).map(|rename| rename.to.clone())
    };
    replace_words(text, seen)
}

/// Replaces every word that is renamed, be it a local: two texts that may be the same come out the same.
pub(crate) fn every_word_renamed(text: &str, renames: &Renames) -> String {
    replace_words(text, |word| renames.get(word).map(|rename| rename.to.clone()))
}

fn replace_words(text: &str, new: impl Fn(&str) -> Option<String>) -> String {
    WORD.replace_all(text, |found: &regex::Captures<'_>| {
        new(&found[0]).unwrap_or_else(|| found[0].to_owned())
    })
    .into_owned()
}

/// Whether one text is the other with each name renamed everywhere in it or nowhere.
pub(crate) fn follows(before: &str, after: &str, renames: &Renames) -> bool {
    let mut ways: BTreeMap<&str, bool> = BTreeMap::new();
    let same =
        WORD.find_iter(before).map(|word| word.as_str()).zip(WORD.find_iter(after)).all(|(was, is)| {
            let followed = was != is.as_str();
            !renames.contains_key(was) || *ways.entry(was).or_insert(followed) == followed
        });
    same && rename_words(before, renames) == rename_words(after, renames)
}

#[cfg(test)]
mod tests;
