//! Whether existing tests say what they said before.
//!
//! Two versions of a file are compared unit by unit: a unit is the same when its tokens are, but for
//! identifiers that the patch renames, and when these tokens hang together the same way. Additions are let
//! through only when they cannot change what was there: new names, no hooks, nothing that runs by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::declared::{Declared, covered_by, declared};
use crate::renamed::Following;
use crate::renames::Renames;
use crate::tree::{Edge, TokenKind};
use crate::units::{Import, Unit, UnitKind, units};
use crate::{Language, MAX_SOURCE, identifier_set};

/// What happened to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TestChangeKind {
    /// It is gone.
    Removed,
    /// Its body, its attributes or its decorators changed.
    Changed,
    /// Something new goes by a name that the tests already use.
    Shadowed,
    /// The line of the class, module or block around tests changed.
    HeaderChanged,
    /// A statement or an import was added, changed, moved or removed.
    Statement,
    /// Something that runs by itself around the tests was added.
    Hook,
}

/// One way in which existing tests changed other than by renaming.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestChange {
    /// Line after the change (before it, where the thing is gone), counted from 1.
    pub line: u32,
    /// The unit's qualified name; empty for statements and imports.
    pub name: String,
    /// What happened.
    pub what: TestChangeKind,
    /// One line for a reviewer.
    pub detail: String,
}

/// Returns the ways in which the tests of a file changed other than by `renames`, sorted by line.
///
/// `whole_file`: everything in the file serves tests (a test file); else only its tests and what belongs to
/// them is compared (`mod tests` in a source file). A rename counts only where the new name did not occur in
/// the file before, and at places that can mean what the code renames: everywhere in a test or nowhere, not behind what
/// checks (`assert.x`, `t.x`), and in strings only where they name the thing for a library or tell a reader.
///
/// Let through: comments, docstrings, formatting; new imports, functions, classes, tests and plain constants
/// whose names were not used before. A file that was empty has no tests to change. A file larger than
/// [`MAX_SOURCE`] that differs is one [`TestChangeKind::Statement`].
pub fn test_changes(
    language: Language,
    before: &[u8],
    after: &[u8],
    renames: &Renames,
    whole_file: bool,
) -> Vec<TestChange> {
    if before == after {
        return Vec::new();
    }
    if before.len().max(after.len()) > MAX_SOURCE {
        let detail = "the file is too large to compare".to_owned();
        return vec![TestChange { line: 1, name: String::new(), what: TestChangeKind::Statement, detail }];
    }
    let old = units(language, before);
    let new = units(language, after);
    let words = identifier_set(language, before);
    let serves = |unit: &Unit| whole_file || unit.is_test || unit.in_test_module;
    let serving: Vec<&Unit> = old.iter().filter(|unit| serves(unit)).collect();
    let declared: Vec<Declared> = if renames.is_empty() {
        Vec::new()
    } else {
        let serves_here = covered_by(serving.iter().copied());
        let named = declared(language, before).into_iter().filter(|one| renames.contains_key(&one.name));
        named.filter(|one| whole_file || serves_here(one.start)).collect()
    };
    let mut comparison = Comparison {
        language,
        renames: Following::new(language, renames, &words, &serving, &declared),
        used: used_names(&old, whole_file),
        scopes: old
            .iter()
            .filter(|unit| unit.facts.container)
            .map(|unit| unit.name.replace("impl ", ""))
            .collect(),
        new_file: !old.iter().any(serves),
        changes: Vec::new(),
    };
    let old = serving;
    let new_serving: Vec<&Unit> = new.iter().filter(|unit| serves(unit)).collect();
    comparison.imports(&old, &new_serving);
    comparison.statements(&old, &new_serving);
    comparison.named(&old, &new, &new_serving);
    comparison.halves();
    comparison.changes.sort();
    comparison.changes.dedup();
    comparison.changes
}

/// The identifiers that the compared units used: what is added may not take one of these names.
fn used_names(old: &[Unit], whole_file: bool) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for unit in old.iter().filter(|unit| whole_file || unit.is_test || unit.in_test_module) {
        let words = unit.tokens.iter().filter(|token| token.kind == TokenKind::Identifier);
        out.extend(words.map(|token| token.text.clone()));
    }
    out
}

struct Comparison<'a> {
    language: Language,
    renames: Following<'a>,
    /// Identifiers the tests used before.
    used: BTreeSet<String>,
    /// Containers there were before.
    scopes: HashSet<String>,
    /// Whether there was nothing to change.
    new_file: bool,
    changes: Vec<TestChange>,
}

impl Comparison<'_> {
    fn report(&mut self, unit: &Unit, what: TestChangeKind, detail: impl Into<String>) {
        let detail = detail.into();
        self.changes.push(TestChange { line: unit.line, name: unit.name.clone(), what, detail });
    }

    /// Whether the tests used a name, or what by a renaming is the name now.
    fn is_used(&self, name: &str) -> bool {
        self.used.contains(name) || self.renames.takes_over(name, &self.used)
    }

    /// Whether a unit stands in a container that is new itself.
    fn in_new_scope(&self, unit: &Unit) -> bool {
        let scope = &unit.facts.scope;
        !scope.is_empty() && {
            let renamed: HashSet<String> = self.scopes.iter().map(|s| self.renames.in_text(s)).collect();
            !renamed.contains(&self.renames.in_text(scope))
        }
    }

    /// Imports are compared thing by thing: which stand together, and in which order, is formatting.
    fn imports(&mut self, old: &[&Unit], new: &[&Unit]) {
        fn things<'u>(units: &[&'u Unit]) -> Vec<(&'u Unit, &'u Import)> {
            let imports = units.iter().filter(|unit| unit.kind == UnitKind::Import);
            imports.flat_map(|unit| unit.facts.imports.iter().map(|import| (*unit, import))).collect()
        }
        let key = |renames: &Following<'_>, unit: &Unit, import: &Import| {
            (renames.in_text(&unit.facts.scope), attributes(renames, unit), renames.in_text(&import.what))
        };
        let mut left: BTreeMap<_, Vec<(&Unit, &Import)>> = BTreeMap::new();
        for (unit, import) in things(old) {
            left.entry(key(&self.renames, unit, import)).or_default().push((unit, import));
        }
        for (unit, import) in things(new) {
            let known = left.get_mut(&key(&self.renames, unit, import)).and_then(Vec::pop);
            if let Some((_, was)) = known {
                if !self.renames.same_import(was, import, unit.line) {
                    let detail = format!("`{}` is imported in the place of `{}`", import.what, was.what);
                    self.report(unit, TestChangeKind::Statement, detail);
                }
                continue;
            }
            if self.in_new_scope(unit) || self.new_file {
                continue;
            }
            match &import.bound {
                None => {
                    let detail = format!("an import brings in names that cannot be told: `{}`", import.what);
                    self.report(unit, TestChangeKind::Shadowed, detail);
                }
                Some(name) if self.is_used(name) => {
                    let what = &import.what;
                    let detail =
                        format!("an import brings in `{name}`, which the tests already used: `{what}`");
                    self.report(unit, TestChangeKind::Shadowed, detail);
                }
                Some(_) => {}
            }
        }
        for (unit, import) in left.into_values().flatten() {
            self.report(unit, TestChangeKind::Statement, format!("an import is gone: `{}`", import.what));
        }
    }

    fn statements(&mut self, old: &[&Unit], new: &[&Unit]) {
        type Key = (String, Vec<String>, Vec<Edge>);
        let key = |renames: &Following<'_>, unit: &Unit| -> Key {
            (renames.in_text(&unit.facts.scope), renames.tokens(unit), unit.shape.clone())
        };
        let is = |unit: &&&Unit| unit.kind == UnitKind::Statement;
        let mut left: HashMap<Key, Vec<&Unit>> = HashMap::new();
        let mut order: Vec<Key> = Vec::new();
        for unit in old.iter().filter(is) {
            let key = key(&self.renames, unit);
            left.entry(key.clone()).or_default().push(unit);
            order.push(key);
        }
        let mut kept: Vec<(Key, &Unit)> = Vec::new();
        for unit in new.iter().filter(is) {
            let key = key(&self.renames, unit);
            match left.get_mut(&key).and_then(Vec::pop) {
                Some(was) => {
                    if let Err(at) = self.renames.same(was, unit) {
                        let detail = self.difference(was, unit, at);
                        self.report(unit, TestChangeKind::Statement, detail);
                    }
                    kept.push((key, unit));
                }
                None => self.added_statement(unit),
            }
        }
        let gone: Vec<&Unit> = left.into_values().flatten().collect();
        if gone.is_empty()
            && (self.language == Language::Python || self.language.is_script())
            && let Some((_, (_, unit))) = order.iter().zip(&kept).find(|(was, (is, _))| *was != is)
        {
            self.report(
                unit,
                TestChangeKind::Statement,
                format!("statements run in another order: {}", excerpt(unit)),
            );
        }
        for unit in gone {
            self.report(
                unit,
                TestChangeKind::Statement,
                format!("a statement is gone or changed: {}", excerpt(unit)),
            );
        }
    }

    fn added_statement(&mut self, unit: &Unit) {
        if self.new_file && unit.facts.scope.is_empty() {
            return;
        }
        let clash = unit.facts.binds.iter().find(|name| self.is_used(name));
        if let Some(name) = clash.filter(|_| !self.in_new_scope(unit)) {
            let detail = format!(
                "a statement gives `{name}`, which the tests already used, a new meaning: {}",
                excerpt(unit)
            );
            self.report(unit, TestChangeKind::Statement, detail);
        } else if !(unit.facts.inert || (self.in_new_scope(unit) && self.language.is_script())) {
            self.report(unit, TestChangeKind::Statement, format!("a statement is new: {}", excerpt(unit)));
        }
    }

    /// Pairs units of one name and scope in the order they stand in.
    fn named(&mut self, old: &[&Unit], new: &[Unit], serving: &[&Unit]) {
        let is = |unit: &Unit| !matches!(unit.kind, UnitKind::Import | UnitKind::Statement);
        let key = |renames: &Following<'_>, unit: &Unit| {
            (renames.in_text(&unit.facts.scope), renames.in_text(&unit.name))
        };
        let mut candidates: HashMap<(String, String), std::collections::VecDeque<&Unit>> = HashMap::new();
        for unit in new.iter().filter(|unit| is(unit)) {
            candidates.entry(key(&self.renames, unit)).or_default().push_back(unit);
        }
        let mut known: HashSet<(String, String)> = HashSet::new();
        let mut gone_scopes: HashSet<String> = HashSet::new();
        for unit in old.iter().filter(|unit| is(unit)) {
            let key = key(&self.renames, unit);
            let twin = candidates.get_mut(&key).and_then(std::collections::VecDeque::pop_front);
            known.insert(key);
            let Some(twin) = twin else {
                // A class that is gone is told once, its tests each.
                if unit.facts.container {
                    gone_scopes.insert(unit.name.clone());
                }
                if unit.is_test || !gone_scopes.contains(&unit.facts.scope) {
                    let what = if unit.is_test { "the test" } else { kind_word(unit.kind) };
                    self.report(unit, TestChangeKind::Removed, format!("{what} `{}` is gone", unit.name));
                }
                continue;
            };
            let Err(at) = self.renames.same(unit, twin) else { continue };
            let what = match unit.kind {
                _ if unit.facts.container => TestChangeKind::HeaderChanged,
                UnitKind::Constant => TestChangeKind::Statement,
                _ => TestChangeKind::Changed,
            };
            let detail = self.difference(unit, twin, at);
            self.report(twin, what, detail);
        }
        let mut left: HashSet<usize> = HashSet::new();
        left.extend(candidates.into_values().flatten().map(|unit| unit.start));
        for unit in serving.iter().filter(|unit| is(unit) && left.contains(&unit.start)) {
            self.added(unit, known.contains(&key(&self.renames, unit)));
        }
    }

    fn added(&mut self, unit: &Unit, known: bool) {
        let go = self.language == Language::Go;
        if unit.facts.only {
            let detail = format!("`{}` is marked to run alone, which leaves the other tests out", unit.name);
            self.report(unit, TestChangeKind::Hook, detail);
            return;
        }
        if (self.new_file && !(go && unit.facts.hook)) || self.in_new_scope(unit) {
            return;
        }
        let own = unit.name.rsplit("::").next().unwrap_or("");
        let member_of_new = unit.facts.member_of.as_ref().is_some_and(|owner| !self.used.contains(owner));
        if unit.facts.hook && unit.kind == UnitKind::Constant {
            let detail = format!("a runner reads this: {}", excerpt(unit));
            self.report(unit, TestChangeKind::Statement, detail);
        } else if unit.facts.hook {
            let detail = format!("`{}` runs by itself around the tests or in place of them", unit.name);
            self.report(unit, TestChangeKind::Hook, detail);
        } else if unit.kind == UnitKind::Impl {
            if let Some(name) = unit.facts.binds.iter().find(|name| self.is_used(name)) {
                let detail =
                    format!("`{}` gives `{name}`, which the tests already used, new behaviour", unit.name);
                self.report(unit, TestChangeKind::Shadowed, detail);
            }
        } else if unit.facts.named_by_text {
            // Two tests of one title both run.
        } else if known {
            let detail = format!("a second `{}` stands beside the one that was there", unit.name);
            self.report(unit, TestChangeKind::Shadowed, detail);
        } else if self.is_used(own) && !member_of_new {
            let detail = format!("`{}` is new and goes by a name that the tests already used", unit.name);
            self.report(unit, TestChangeKind::Shadowed, detail);
        } else if unit.kind == UnitKind::Constant && !(unit.facts.inert && unit.facts.scope.is_empty()) {
            let inert_const = unit.facts.inert && self.language == Language::Rust;
            if !inert_const {
                self.report(
                    unit,
                    TestChangeKind::Statement,
                    format!("a statement is new: {}", excerpt(unit)),
                );
            }
        }
    }

    /// Says how two versions of a unit part at a token.
    fn difference(&self, old: &Unit, new: &Unit, at: usize) -> String {
        let around = |unit: &Unit| {
            let from = at.saturating_sub(2);
            let words: Vec<&str> = unit.tokens.iter().skip(from).take(8).map(|t| t.text.as_str()).collect();
            shorten(&words.join(" "), 60)
        };
        let what = if old.is_test { "the test" } else { kind_word(old.kind) };
        if self.renames.tokens(old) == self.renames.tokens(new) && old.shape != new.shape {
            return format!("{what} `{}` has the same words, put together otherwise", old.name);
        }
        let line = new.tokens.get(at).or(new.tokens.last()).map_or(new.line, |token| token.line);
        format!("{what} `{}` changed at line {line}: `{}` is now `{}`", old.name, around(old), around(new))
    }

    /// Tells names that were renamed at one place and not at another.
    fn halves(&mut self) {
        let told = self.renames.halves().into_iter().map(|mark| TestChange {
            line: mark.line,
            name: String::new(),
            what: TestChangeKind::Changed,
            detail: format!("`{}` is renamed at some places and not at others", mark.name),
        });
        self.changes.extend(told.collect::<Vec<_>>());
    }
}

fn kind_word(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::Function => "the function",
        UnitKind::Type => "the type",
        UnitKind::Impl => "the block",
        UnitKind::Module => "the module",
        UnitKind::Import => "the import",
        UnitKind::Constant => "the constant",
        UnitKind::Statement => "the statement",
    }
}

/// The attributes before a declaration: `#[cfg(unix)] use x;` is no `use x;`.
fn attributes(renames: &Following<'_>, unit: &Unit) -> Vec<String> {
    let mut words = renames.tokens(unit);
    let end = match words.first().map(String::as_str) {
        Some("#") => words.iter().position(|word| matches!(word.as_str(), "use" | "extern" | "pub")),
        _ => Some(0),
    };
    words.truncate(end.unwrap_or(0));
    words
}

fn excerpt(unit: &Unit) -> String {
    let words: Vec<&str> = unit.tokens.iter().take(30).map(|token| token.text.as_str()).collect();
    format!("`{}`", shorten(&words.join(" "), 80))
}

fn shorten(text: &str, max: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &one_line[..at]),
        None => one_line,
    }
}
