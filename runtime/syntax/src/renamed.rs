//! Whether a piece of a test follows what the code renames, decided place by place: that a name is renamed in the code does
//! not mean that every word of its spelling is it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Language;
use crate::checks::{is_check, is_checker, is_fixture, is_runner, runs_the_same};
use crate::declared::{Declared, DeclaredKind};
use crate::libraries::{is_builtin, is_foreign};
use crate::renames::{Rename, Renames};
use crate::strings::may_follow;
use crate::surroundings::Surroundings;
use crate::tree::{Token, TokenKind};
use crate::units::{Import, Unit, UnitKind};
use crate::values::Values;

/// How a name stands in code: two of the same spelling are different things where these differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// By itself.
    Bare,
    /// Behind `self.` or `this.`.
    Own,
    /// Behind anything else.
    Member,
    /// What an argument or a field of a literal is called.
    Key,
}

/// One place of a renamed name in a unit that is there before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) name: String,
    place: Place,
    followed: bool,
    /// Whether the unit hides what the file has by the name.
    hidden: bool,
    /// Line after the change.
    pub(crate) line: u32,
    /// Which unit it stands in.
    unit: usize,
}

/// What the tests themselves declare by one name.
#[derive(Debug, Default)]
struct Own {
    /// Whether it is a method, field or property of something.
    member: bool,
    /// Whether anything else than a parameter or a local is called so.
    seen: bool,
    /// Where locals of the name are bound, sorted.
    locals: Vec<usize>,
    /// The same of parameters.
    parameters: Vec<usize>,
}

/// What comparing units under renamings needs to know of the file before the change.
pub(crate) struct Following<'a> {
    language: Language,
    renames: BTreeMap<&'a str, &'a Rename>,
    /// Names that imports of packages which check, or of the language's own, bring in.
    foreign: BTreeSet<String>,
    /// Names that imports bring in one by one.
    imported: BTreeSet<String>,
    /// What of libraries all units of the file know.
    values: Values,
    /// What the tests declare by names that are renamed.
    declared: BTreeMap<String, Own>,
    marks: Vec<Mark>,
    units: usize,
}

impl<'a> Following<'a> {
    /// `units` and `declared` are those of the compared part of the file before; `words` are all of its identifiers.
    pub(crate) fn new(
        language: Language,
        renames: &'a Renames,
        words: &BTreeSet<String>,
        units: &[&Unit],
        declared: &[Declared],
    ) -> Self {
        let renames = renames.iter().filter(|(_, rename)| !words.contains(&rename.to));
        let renames: BTreeMap<&str, &Rename> = renames.map(|(from, to)| (from.as_str(), to)).collect();
        let imports: Vec<(&str, String)> = units
            .iter()
            .flat_map(|unit| &unit.facts.imports)
            .filter_map(|import| Some((import.bound.as_deref()?, module_of(language, import))))
            .collect();
        let foreign = imports
            .iter()
            .filter(|(_, module)| is_foreign(language, module))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let imported = imports.iter().map(|(name, _)| (*name).to_owned()).collect();
        let values = match renames.is_empty() {
            true => Values::default(),
            false => shared_values(language, imports.into_iter(), units),
        };
        let mut own: BTreeMap<String, Own> = BTreeMap::new();
        for one in declared.iter().filter(|one| renames.contains_key(one.name.as_str())) {
            let own = own.entry(one.name.clone()).or_default();
            own.member |= one.kind == DeclaredKind::Member;
            own.seen |= one.is_seen();
            match one.kind {
                DeclaredKind::Local => own.locals.push(one.start),
                DeclaredKind::Parameter => own.parameters.push(one.start),
                _ => {}
            }
        }
        for own in own.values_mut() {
            own.locals.sort_unstable();
            own.parameters.sort_unstable();
        }
        Self { language, renames, foreign, imported, values, declared: own, marks: Vec::new(), units: 0 }
    }

    /// A token's text with what is renamed in its new form: what may belong together has the same one.
    pub(crate) fn canonical(&self, token: &Token) -> String {
        match token.kind {
            TokenKind::Identifier => match self.renames.get(token.text.as_str()) {
                Some(rename) => rename.to.clone(),
                None => token.text.clone(),
            },
            TokenKind::Literal | TokenKind::Comment => self.in_text(&token.text),
            TokenKind::Other => token.text.clone(),
        }
    }

    pub(crate) fn tokens(&self, unit: &Unit) -> Vec<String> {
        unit.tokens.iter().map(|token| self.canonical(token)).collect()
    }

    /// Replaces whole words.
    pub(crate) fn in_text(&self, text: &str) -> String {
        if self.renames.is_empty() {
            return text.to_owned();
        }
        let new = |word: &str| self.renames.get(word).map_or(word, |rename| &rename.to).to_owned();
        words(text).map(|(gap, word)| format!("{gap}{}", new(word))).collect()
    }

    /// Whether a name is the new one of something that the compared part of the file used.
    pub(crate) fn takes_over(&self, name: &str, used: &BTreeSet<String>) -> bool {
        self.renames.iter().any(|(old, rename)| rename.to == name && used.contains(*old))
    }

    /// Whether a unit says the same but for renamings; else where it does not.
    pub(crate) fn same(&mut self, old: &Unit, new: &Unit) -> Result<(), usize> {
        let parts = old.tokens.iter().zip(&new.tokens).position(|(old, new)| {
            old != new && {
                let either = (self.canonical(old), self.canonical(new));
                old.kind != new.kind || either.0 != either.1
            }
        });
        let ends = old.tokens.len().min(new.tokens.len());
        if let Some(at) = parts {
            return Err(at);
        }
        if old.tokens.len() != new.tokens.len() || old.shape != new.shape {
            return Err(ends);
        }
        let concerned = |token: &Token| {
            token.kind == TokenKind::Identifier && self.renames.contains_key(token.text.as_str())
        };
        if !old.tokens.iter().zip(&new.tokens).any(|(old, new)| old.text != new.text || concerned(old)) {
            return Ok(());
        }
        let around = Surroundings::new(self.language, &old.tokens);
        let values = Values::of_unit(self.language, &around, &self.values);
        let around = Scene { around, values };
        // A variable of a module or a block of tests, and what a function makes of such a one.
        let shares = old.kind != UnitKind::Function
            || old.tokens.iter().any(|token| {
                token.kind == TokenKind::Other && matches!(token.text.as_str(), "global" | "nonlocal")
            });
        let mut marks = Vec::new();
        for (at, (was, is)) in old.tokens.iter().zip(&new.tokens).enumerate() {
            if was.kind != TokenKind::Identifier {
                if was.text != is.text && !self.text_follows(&around.around, at, &is.text) {
                    return Err(at);
                }
                continue;
            }
            let Some(rename) = self.renames.get(was.text.as_str()).copied() else { continue };
            let local = self.binds(old, &was.text);
            let place = self.place(&around.around, at, local);
            let followed = was.text != is.text;
            if !self.reaches(&around, at, place, rename) {
                if followed {
                    return Err(at);
                }
                // It is another thing of the name; but a member that the tests declare may be it.
                let member = self.declared.get(&was.text).is_some_and(|own| own.member);
                if !(member && self.reaches(&around, at, place, &Rename::seen(&rename.to))) {
                    continue;
                }
            }
            let name = was.text.clone();
            let hidden = !shares && self.hides(old, &was.text);
            marks.push(Mark { name, place, followed, hidden, line: is.line, unit: self.units });
        }
        self.units += 1;
        self.marks.extend(marks);
        Ok(())
    }

    /// Whether an import brings in the same but for renamings.
    pub(crate) fn same_import(&mut self, old: &Import, new: &Import, line: u32) -> bool {
        let bound = old.bound.as_deref().filter(|name| self.renames.contains_key(name));
        if let Some(name) = bound {
            let (name, followed) = (name.to_owned(), old.bound != new.bound);
            let (place, hidden) = (Place::Bare, false);
            self.marks.push(Mark { name, place, followed, hidden, line, unit: self.units });
            self.units += 1;
        }
        if old.what == new.what {
            return true;
        }
        let follow = |word: &str| {
            self.renames
                .get(word)
                .is_some_and(|rename| rename.seen || rename.module || old.bound.as_deref() == Some(word))
        };
        !is_foreign(self.language, &module_of(self.language, old))
            && words(&old.what).zip(words(&new.what)).all(|((_, was), (_, is))| was == is || follow(was))
    }

    /// Returns places of names that are renamed here and not at others which have to mean the same, one of each name.
    pub(crate) fn halves(&self) -> Vec<&Mark> {
        let mut found: BTreeMap<&str, &Mark> = BTreeMap::new();
        let mut by_name: BTreeMap<&str, Vec<&Mark>> = BTreeMap::new();
        for mark in &self.marks {
            by_name.entry(&mark.name).or_default().push(mark);
        }
        for (name, marks) in by_name {
            let is_member = self.declared.get(name).is_some_and(|own| own.member);
            let is_key = marks.iter().any(|mark| mark.place == Place::Key);
            // What has to go the same way: everything, where the tests give something of their own a member of the name.
            let group = |mark: &Mark| match mark.place {
                _ if is_member => (0, Place::Bare),
                // A local hides what the file has; else it is that.
                Place::Bare if !mark.hidden => (0, Place::Bare),
                // What is made of named arguments has them as members: `Mock(a=1).a`.
                Place::Key | Place::Member if is_key => (0, Place::Key),
                place => (mark.unit + 1, place),
            };
            let mut ways: BTreeMap<(usize, Place), bool> = BTreeMap::new();
            for mark in marks {
                if *ways.entry(group(mark)).or_insert(mark.followed) != mark.followed {
                    found.entry(name).or_insert(mark);
                }
            }
        }
        found.into_values().collect()
    }

    /// Whether a unit binds a name for itself alone.
    fn binds(&self, unit: &Unit, name: &str) -> bool {
        self.declared.get(name).is_some_and(|own| within(unit, &own.locals) || within(unit, &own.parameters))
    }

    /// Whether a local of a function hides what the file has by the name. What one of Python takes as a parameter is a
    /// fixture, which may be the file's; and a function's own name is no local of it.
    fn hides(&self, unit: &Unit, name: &str) -> bool {
        let parameters = self.language != Language::Python;
        unit.name.rsplit("::").next() != Some(name)
            && self
                .declared
                .get(name)
                .is_some_and(|own| within(unit, &own.locals) || parameters && within(unit, &own.parameters))
    }

    fn place(&self, around: &Surroundings<'_>, at: usize, local: bool) -> Place {
        let (before, after) = (around.text(at.checked_sub(1)), around.text(Some(at + 1)));
        if around.hangs_at(at) {
            let own = matches!(around.text(at.checked_sub(2)), "self" | "this" | "cls");
            return if own { Place::Own } else { Place::Member };
        }
        let begins = matches!(before, "(" | "," | "{");
        let key = match (self.language, around.open(at)) {
            (Language::Python, Some("(")) => begins && after == "=" && !around.declares_parameters(at),
            // In Go a local may stand in a map's literal for what it holds.
            (Language::Go, Some("{")) => begins && after == ":" && !local,
            (Language::Python | Language::Go, _) => false,
            (_, Some("{")) => begins && after == ":",
            _ => false,
        };
        if key { Place::Key } else { Place::Bare }
    }

    /// Whether what is renamed can be what stands at a place.
    fn reaches(&self, scene: &Scene<'_>, at: usize, place: Place, rename: &Rename) -> bool {
        let around = &scene.around;
        if scene.values.takes_apart(at) {
            return false;
        }
        match place {
            Place::Bare => self.reaches_name(around, at, rename),
            Place::Own | Place::Member => {
                let path = rename.module && matches!(self.language, Language::Python | Language::Rust);
                let Some(chain) = around.chain(at) else { return false };
                let asks = ["should", "expect", "assert", "assertThat", "assert_that"];
                // What these return is what they were given.
                let handed_on = self.language == Language::Python
                    && chain.iter().skip(1).any(|name| HAND_BACK.contains(name));
                let checks = |root: &str| {
                    is_checker(self.language, root)
                        || (self.foreign.contains(root) && !handed_on)
                        || around.fails_tests(root)
                        || scene.values.has(&self.values, &chain)
                };
                (rename.seen || path)
                    && !chain.iter().skip(1).any(|name| asks.contains(name))
                    && !(chain.len() > 1 && chain.last().is_some_and(|root| checks(root)))
            }
            Place::Key => (rename.seen || rename.keyword) && !self.is_option(around, at),
        }
    }

    /// The same of a name that stands by itself.
    fn reaches_name(&self, around: &Surroundings<'_>, at: usize, rename: &Rename) -> bool {
        let name = around.text(Some(at));
        let own = self.declared.get(name);
        let declares = own.is_some_and(|own| own.seen);
        // Who asks for a fixture gets what pytest has by the name.
        let asks = own.is_some_and(|own| !own.parameters.is_empty());
        let fixture = is_fixture(self.language, name) || is_fixture(self.language, &rename.to);
        // Where nothing else is called so, the new name is the language's own.
        let builtin = is_builtin(self.language, &rename.to) && !declares && !self.imported.contains(name);
        if self.foreign.contains(name) || builtin || (asks && fixture) {
            return false;
        }
        (!declares || runs_the_same(self.language, name, &rename.to))
            && (rename.seen || rename.module || own.is_some())
    }

    /// Whether the name of an argument or a field is an option to what runs tests or checks.
    fn is_option(&self, around: &Surroundings<'_>, at: usize) -> bool {
        let Some((callers, argument)) = around.callers(at) else { return true };
        let called = callers.first().copied().unwrap_or_default();
        let python = self.language == Language::Python;
        // What is given to these is given on, by the same name.
        let hands_on =
            ["SimpleNamespace", "call", "partial", "replace"].contains(&called) || callers.contains(&"call");
        if python && hands_on {
            return false;
        }
        // `t.deepEqual(made, { width: 1 })`: what is compared comes first.
        let compares = is_check(self.language, called) && !called.starts_with("fail");
        if self.language.is_script() && callers.len() > 1 && compares && argument < 2 {
            return false;
        }
        let recalls = |name: &str| RECALLS.iter().any(|begin| name.starts_with(begin));
        callers.iter().any(|root| {
            is_runner(self.language, root)
                || around.fails_tests(root)
                || (python
                    && (self.foreign.contains(*root) || (root.starts_with("assert") && !recalls(root))))
        })
    }

    /// Whether a text may be another one in the words that differ.
    fn text_follows(&self, around: &Surroundings<'_>, at: usize, new: &str) -> bool {
        let old = around.text(Some(at));
        let changed: Vec<&str> =
            words(old).zip(words(new)).filter(|(was, is)| was.1 != is.1).map(|(was, _)| was.1).collect();
        let seen = changed
            .iter()
            .all(|word| self.renames.get(word).is_some_and(|rename| rename.seen || rename.module));
        may_follow(self.language, around, at, new, &changed, seen)
    }
}

/// Beginnings of a mock's assertions, whose arguments are those it was called with.
const RECALLS: &[&str] = &["assert_called", "assert_any", "assert_awaited", "assert_has"];

/// Functions of Python's libraries that return something like what they take.
const HAND_BACK: &[&str] = &["SimpleNamespace", "cast", "copy", "deepcopy", "replace"];

/// A unit's tokens and what is known of them.
struct Scene<'t> {
    around: Surroundings<'t>,
    values: Values,
}

/// What of libraries the units of a file share: what is not a function's own, what they keep as the test's, what runs before
/// it and what they return.
fn shared_values<'i>(
    language: Language,
    imports: impl Iterator<Item = (&'i str, String)>,
    units: &[&Unit],
) -> Values {
    let mut out = Values::of_imports(language, imports);
    for unit in units.iter().filter(|unit| unit.kind != UnitKind::Import) {
        let of_unit = Values::of_unit(language, &Surroundings::new(language, &unit.tokens), &out);
        let shares = unit.kind != UnitKind::Function || (unit.facts.hook && language.is_script());
        out.share(of_unit, unit.name.rsplit("::").next().unwrap_or_default(), shares);
    }
    out
}

/// Whether one of the places, sorted, lies in a unit.
fn within(unit: &Unit, places: &[usize]) -> bool {
    places.get(places.partition_point(|place| *place < unit.start)).is_some_and(|place| *place < unit.end)
}

/// The module that something is imported from.
fn module_of(language: Language, import: &Import) -> String {
    let mut words = import.what.split_whitespace();
    let module = match language {
        Language::Python => words.nth(1),
        Language::Rust => words.skip_while(|word| *word != "use").nth(1),
        _ => words.last(),
    };
    module.unwrap_or_default().to_owned()
}

/// The words of a text, each with what stands before it; the last one is what is left, with an empty word.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let left = rest?;
        let Some(start) = left.find(part) else {
            rest = None;
            return Some((left, ""));
        };
        let end = left[start..].find(|letter| !part(letter)).map_or(left.len(), |length| start + length);
        rest = Some(&left[end..]);
        Some((&left[..start], &left[start..end]))
    })
}
