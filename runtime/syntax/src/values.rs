//! Which names of a test stand for values of the languages' libraries: a member of such a one is never what the code
//! renames, though it is called so. `done = subprocess.run(…)`, then `done.stdout`.

use std::collections::{BTreeMap, BTreeSet};

use crate::Language;
use crate::checks::is_checker;
use crate::libraries::{Value, value_of_builtin, value_of_module};
use crate::surroundings::Surroundings;
use crate::tree::TokenKind;

/// So many tokens before a `=` are looked through for what it is given to.
const LONGEST_TARGET: usize = 32;
/// So many behind a `with` or an `import`.
const LONGEST_LIST: usize = 1000;

/// Values of libraries by the names that they are kept under.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    /// What imports bring in, and what calls of it give.
    modules: BTreeMap<String, Value>,
    /// Names of values; none where something of the code is kept under one here, whatever it is elsewhere.
    names: BTreeMap<String, Option<Value>>,
    /// Members of the test itself: `self.done`.
    members: BTreeMap<String, Value>,
    /// What the unit returns.
    pub(crate) returns: Option<Value>,
    /// Tokens that name members of such values in a pattern: `const { stdout } = spawnSync()`.
    taken_apart: BTreeSet<usize>,
}

impl Values {
    /// What imports bring in, by the names that they bind, with the modules.
    pub(crate) fn of_imports<'i>(
        language: Language,
        imports: impl Iterator<Item = (&'i str, String)>,
    ) -> Self {
        let value = |(name, module): (&str, String)| {
            let value = value_of_module(language, &module).filter(|_| name != "namedtuple")?;
            Some((name.to_owned(), value))
        };
        Self { modules: imports.filter_map(value).collect(), ..Self::default() }
    }

    /// What all units of a file see of one of them. `shares`: also its names.
    pub(crate) fn share(&mut self, unit: Self, name: &str, shares: bool) {
        self.members.extend(unit.members);
        if shares {
            self.names.extend(unit.names.into_iter().filter(|(_, value)| value.is_some()));
        }
        if let Some(value) = unit.returns {
            self.names.insert(name.to_owned(), Some(value));
        }
    }

    /// What a name stands for, here or in the whole file.
    fn of(&self, file: &Self, name: &str) -> Option<Value> {
        match self.names.get(name) {
            Some(here) => *here,
            None => file.names.get(name).copied().flatten(),
        }
    }

    /// Whether the last member of a chain (`c` of `a.b.c`, which is given from there to the root) is a library's.
    pub(crate) fn has(&self, file: &Self, chain: &[&str]) -> bool {
        let [_, links @ .., root] = chain else { return false };
        let own = |value: Option<Value>, direct: bool| match value {
            Some(Value::Own) => true,
            Some(Value::Holder) => direct,
            None => false,
        };
        let member = || links.last().and_then(|link| self.members.get(*link).or(file.members.get(*link)));
        self.modules.contains_key(*root)
            || own(self.of(file, root), links.is_empty())
            || (matches!(*root, "self" | "this") && own(member().copied(), links.len() == 1))
    }

    /// Whether a token names a member of a library's value that a pattern takes apart.
    pub(crate) fn takes_apart(&self, at: usize) -> bool {
        self.taken_apart.contains(&at)
    }

    /// Reads a unit. `file` is what all of its file knows.
    pub(crate) fn of_unit(language: Language, around: &Surroundings<'_>, file: &Self) -> Self {
        let mut reader = Reader { language, around, file, out: Self::default() };
        for at in 0..around.len() {
            reader.read(at);
        }
        reader.out
    }
}

struct Reader<'a, 't> {
    language: Language,
    around: &'a Surroundings<'t>,
    file: &'a Values,
    out: Values,
}

impl<'t> Reader<'_, 't> {
    fn text(&self, at: usize) -> &'t str {
        self.around.text(Some(at))
    }

    fn is_name(&self, at: usize) -> bool {
        self.around.is_identifier(at)
    }

    fn keep(&mut self, name: &str, value: Option<Value>) {
        let known = self.out.names.entry(name.to_owned()).or_default();
        *known = known.or(value);
    }

    fn read(&mut self, at: usize) {
        if self.around.token(at).kind != TokenKind::Other {
            return;
        }
        let python = self.language == Language::Python;
        match self.text(at) {
            // The name of an argument is nobody's.
            "=" if python && self.around.open(at) == Some("(") => {}
            "=" | ":=" => {
                let value = self.value(at + 1);
                self.targets(at, value);
            }
            "in" | "of" if at >= 2 && self.is_name(at - 1) => {
                let each = matches!(self.text(at - 2), "for" | "const" | "let" | "var");
                if each && let Some(Value::Own) = self.value(at + 1) {
                    self.keep(self.text(at - 1), Some(Value::Own));
                }
            }
            "with" if python => self.with(at),
            "import" if python => self.import(at),
            "return" | "yield" => self.out.returns = self.out.returns.or(self.value(at + 1)),
            _ => {}
        }
    }

    /// What the expression at a place gives, as far as its first name says.
    fn value(&self, at: usize) -> Option<Value> {
        let skip = ["await", "new", "&", "*", "mut", "(", "?"];
        let at = (at..)
            .take(LONGEST_TARGET)
            .find(|at| !skip.contains(&self.text(*at)))
            .filter(|at| self.is_name(*at))?;
        let (name, next) = (self.text(at), self.text(at + 1));
        if !matches!(next, "." | "?." | "::" | "(" | "[" | "/" | "!") {
            return None;
        }
        // What a holder gives is what was put into it.
        if let Some(known) = self.out.names.get(name).or(self.file.names.get(name)) {
            return known.filter(|value| *value == Value::Own);
        }
        if let Some(value) = self.out.modules.get(name).or(self.file.modules.get(name)) {
            return Some(*value);
        }
        match self.language {
            Language::Python if name == "self" && self.text(at + 2).starts_with("assert") => {
                Some(Value::Holder)
            }
            Language::Rust if matches!(name, "std" | "core" | "alloc") => {
                value_of_module(self.language, &format!("{name}::{}", self.text(at + 2)))
            }
            language if language.is_script() && name == "require" => {
                value_of_module(language, self.text(at + 2))
            }
            // `pytest` and its like are no values.
            language => value_of_builtin(language, name)
                .or_else(|| (next != "(" && is_fixture_value(language, name)).then_some(Value::Own)),
        }
    }

    /// Notes what is given to the names before a `=`.
    fn targets(&mut self, at: usize, value: Option<Value>) {
        let Some(mut here) = at.checked_sub(1) else { return };
        // `const { a, b: c } = …`
        if self.text(here) == "}" && self.language.is_script() {
            let Some(open) = self.around.bracket(here) else { return };
            let parts: Vec<usize> =
                (open..here).take(LONGEST_LIST).filter(|part| self.is_name(*part)).collect();
            for part in parts {
                self.keep(self.text(part), value);
                if value == Some(Value::Own) {
                    self.out.taken_apart.insert(part);
                }
            }
            return;
        }
        // A type behind the name.
        let (level, line) = (self.around.bracket(at), self.around.token(at).line);
        let colon = (at.saturating_sub(LONGEST_TARGET)..at)
            .rev()
            .take_while(|at| self.around.token(*at).line == line && !matches!(self.text(*at), "=" | ";"))
            .find(|at| self.text(*at) == ":" && self.around.bracket(*at) == level);
        if let Some(name) = colon.and_then(|colon| colon.checked_sub(1)).filter(|name| self.is_name(*name)) {
            self.keep(self.text(name), value);
            if value.is_none() {
                return;
            }
        }
        while self.is_name(here) {
            let before = here.checked_sub(1).map_or("", |before| self.text(before));
            let owner = here.checked_sub(2).map_or("", |owner| self.text(owner));
            match before {
                "." if matches!(owner, "self" | "this") => {
                    if let Some(value) = value {
                        self.out.members.insert(self.text(here).to_owned(), value);
                    }
                }
                "." | "::" => {}
                _ => self.keep(self.text(here), value),
            }
            match here.checked_sub(2) {
                Some(next) if before == "," => here = next,
                _ => return,
            }
        }
    }

    /// `with a() as b, c() as d:`.
    fn with(&mut self, at: usize) {
        let level = self.around.bracket(at);
        let mut value = self.value(at + 1);
        for here in (at + 1..self.around.len()).take(LONGEST_LIST) {
            // They may stand in brackets of their own.
            let inner = self.around.bracket(here) == Some(at + 1);
            if self.around.bracket(here) != level && !inner {
                continue;
            }
            match self.text(here) {
                ":" => return,
                "," => value = self.value(here + 1),
                "as" => self.keep(self.text(here + 1), value),
                _ => {}
            }
        }
    }

    /// An import inside a function of Python.
    fn import(&mut self, at: usize) {
        let line = self.around.token(at).line;
        let from = (at.saturating_sub(LONGEST_TARGET)..at)
            .rev()
            .take_while(|at| self.around.token(*at).line == line)
            .find(|at| self.text(*at) == "from");
        let module = from.map(|from| self.text(from + 1));
        let names = (at + 1..self.around.len())
            .take(LONGEST_LIST)
            .take_while(|at| self.around.token(*at).line == line)
            .filter(|at| self.is_name(*at));
        let mut value = None;
        for at in names.collect::<Vec<_>>() {
            let name = self.text(at);
            if self.text(at - 1) != "as" {
                let module = module.unwrap_or(name);
                value = value_of_module(self.language, module).filter(|_| name != "namedtuple");
            }
            if let Some(value) = value {
                self.out.modules.insert(name.to_owned(), value);
            }
        }
    }
}

/// Whether a fixture of this name gives something of pytest's own.
fn is_fixture_value(language: Language, name: &str) -> bool {
    let packages = ["pytest", "unittest", "hypothesis", "mark"];
    language == Language::Python && is_checker(language, name) && !packages.contains(&name)
}
