//! One pattern as an expression of Cedar's, exactly or not at all.
//!
//! Cedar has one pattern, `like` with a `*` that runs over any characters, a slash too. So a path is given as
//! `/a/b/`, between slashes, and where a `*` may run over slashes without meeting more than it should (at the
//! outer ends of a row of names) one `like` says it all: `*.pem` is `like "*.pem/*"`. Where it must stay within
//! a name (`src/*/x`, `a*b`) the names are compared one by one, at each depth where the row may stand, up to
//! [`DEPTH`]. `?` and large classes cannot be said.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::matcher::{Case, Glob, NameGlob, Token, representative};
use super::spelled::{Names, Spelled};
use super::{Pattern, Polarity};

/// The most names of a path that can be asked about.
pub const DEPTH: usize = 24;
/// The most texts that the classes of one row of names may stand for.
const ALTERNATIVES: usize = 64;
/// The longest expression for one pattern, in bytes.
const LONGEST: usize = 64 << 10;

/// A spelling of the path among a resource's attributes.
#[derive(Clone, Copy)]
struct View {
    /// The attribute that holds the path.
    whole: &'static str,
    /// What the attributes of its names begin with.
    name: char,
    /// Whether case was folded there.
    case: Case,
}

const EXACT: View = View { whole: "path", name: 's', case: Case::Exact };
const FOLDED: View = View { whole: "folded", name: 'f', case: Case::Folded };
const STRIPPED: View = View { whole: "stripped", name: 't', case: Case::Folded };

/// One `like`, in parts.
type Like = Vec<Part>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Char(char),
    Many,
}

/// Returns the expression that holds where an allowance covers the path, or why there is none.
pub(crate) fn allows(pattern: &Pattern) -> Result<String, String> {
    covers(&Glob::new(pattern, Polarity::Allow, Case::Exact), EXACT)
}

/// Returns the expression that holds where a denial covers the path, or why there is none.
pub(crate) fn denies(pattern: &Pattern) -> Result<String, String> {
    if pattern.has_negated_class() {
        return Err("a negated class, which Cedar cannot say".into());
    }
    if pattern.is_catch_all() {
        return Ok("resource.depth > 0".into());
    }
    let glob = Glob::new(pattern, Polarity::Deny, Case::Folded);
    let (folded, stripped) = (covers(&glob, FOLDED)?, covers(&glob, STRIPPED)?);
    Ok(format!("({folded} || (resource has stripped && {stripped}))"))
}

/// Returns the expression that holds where an allowance may cover something beneath the path.
pub(crate) fn beneath(pattern: &Pattern) -> Result<String, String> {
    let open = pattern.lead().count() < pattern.segments.len();
    let glob = Glob::new(pattern, Polarity::Allow, Case::Exact);
    let lead = glob.lead();
    let lead = if open || pattern.folder_only { lead } else { &lead[..lead.len().saturating_sub(1)] };
    if lead.is_empty() {
        return Ok(if open { "resource.depth > 0" } else { "false" }.into());
    }
    let mut out = String::new();
    let mut shown = 0;
    for (at, name) in lead.iter().enumerate().take(DEPTH) {
        if at > 0 {
            out.push_str(&format!(" && (resource.depth == {at} || ("));
            shown += 1;
        }
        out.push_str(&is_name(EXACT, at, &likes(name, Case::Exact)?));
    }
    if !open && lead.len() < DEPTH {
        out.push_str(&format!(" && resource.depth <= {}", lead.len()));
    }
    out.push_str(&"))".repeat(shown));
    Ok(format!("({out})"))
}

/// Returns the attributes of the path, none where it is too deep.
pub(crate) fn attributes(path: &str) -> Option<Map<String, Value>> {
    let path = Spelled::new(path);
    let exact = path.exact();
    if exact.len() > DEPTH {
        return None;
    }
    let mut out = Map::new();
    out.insert("depth".into(), json!(exact.len()));
    spell(&mut out, EXACT, exact, |name| name.to_owned());
    // What is written with these letters stands for every case, of letters beyond ASCII too.
    spell(&mut out, FOLDED, path.folded(), |name| name.chars().map(representative).collect());
    if let Some(stripped) = path.stripped() {
        spell(&mut out, STRIPPED, stripped, |name| name.chars().map(representative).collect());
    }
    Some(out)
}

fn spell(out: &mut Map<String, Value>, view: View, names: &Names<'_>, fold: impl Fn(&str) -> String) {
    let mut whole = String::from("/");
    for at in 0..names.len() {
        let name = fold(names.get(at));
        whole.push_str(&name);
        whole.push('/');
        out.insert(format!("{}{at}", view.name), json!(name));
    }
    out.insert(view.whole.into(), json!(whole));
}

/// Returns the attributes that a path may have, as Cedar's schema declares them.
pub(crate) fn declared_attributes() -> String {
    let mut out = String::from("  depth: Long,\n  path: String,\n  folded: String,\n  stripped?: String,\n");
    for view in [EXACT, FOLDED, STRIPPED] {
        for at in 0..DEPTH {
            out.push_str(&format!("  {}{at}?: String,\n", view.name));
        }
    }
    out
}

/// A text as a string of Cedar's.
pub(crate) fn quoted(text: &str) -> String {
    let chars: String = text.chars().map(|c| escaped(c, false)).collect();
    format!("\"{chars}\"")
}

fn escaped(c: char, in_like: bool) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        '*' if in_like => "\\*".into(),
        c if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() => c.into(),
        c => format!("\\u{{{:x}}}", u32::from(c)),
    }
}

/// Joins expressions by `||` or `&&`. In halves: a row of thousands would be nested as deep as it is long.
pub(crate) fn joined(expressions: &[String], by: &str, of_none: &str) -> String {
    match expressions {
        [] => of_none.into(),
        [one] => one.clone(),
        few if few.len() <= 8 => format!("({})", few.join(&format!(" {by} "))),
        many => {
            let (one, other) = many.split_at(many.len() / 2);
            format!("({} {by} {})", joined(one, by, of_none), joined(other, by, of_none))
        }
    }
}

fn covers(glob: &Glob, view: View) -> Result<String, String> {
    if glob.chunks().is_empty() {
        return Ok(format!("resource.depth >= {}", glob.beyond()));
    }
    if let Some(likes) = whole(glob, view.case)? {
        let likes: Vec<String> = likes.iter().map(|like| compared(view.whole, like)).collect();
        return Ok(joined(&likes, "||", "false"));
    }
    let chunks = glob.chunks().iter().map(|chunk| chunk.iter().map(|name| likes(name, view.case)).collect());
    let chunks = chunks.collect::<Result<Vec<Vec<Vec<Like>>>, String>>()?;
    let names = ByName { view, chunks, anchored: glob.anchored(), beyond: glob.beyond() };
    let mut left = LONGEST;
    names.from(0, 0, &mut left)
}

/// The `like`s for the whole path, where they say no more than the pattern.
fn whole(glob: &Glob, case: Case) -> Result<Option<Vec<Like>>, String> {
    let mut out: Vec<Like> = vec![Vec::new()];
    for (index, chunk) in glob.chunks().iter().enumerate() {
        let floating = index > 0 || !glob.anchored();
        let mut row: Vec<Like> = vec![vec![Part::Char('/')]];
        for (at, name) in chunk.iter().enumerate() {
            let likes = likes(name, case)?;
            let harmless = |like: &Like| {
                let last = like.len().saturating_sub(1);
                like.iter().enumerate().all(|(place, part)| {
                    *part != Part::Many
                        || (place == 0 && at == 0 && floating)
                        || (place == last && at + 1 == chunk.len())
                })
            };
            if !likes.iter().all(harmless) {
                return Ok(None);
            }
            let longer = row.iter().flat_map(|row| {
                likes.iter().map(move |like| [row.as_slice(), like, &[Part::Char('/')]].concat())
            });
            row = longer.collect();
            if row.len() > ALTERNATIVES {
                return Ok(None);
            }
        }
        let between = |before: &Like, row: &Like| -> Vec<Like> {
            if !floating {
                return vec![row.clone()];
            }
            // Behind the slash that ends what stands before.
            let (slash, rest) = row.split_at(1);
            let any = [before.as_slice(), &[Part::Many]].concat();
            match rest {
                // A name of its own, `*`, needs its slashes; a name that begins with `*` needs none before it.
                [Part::Many, Part::Char('/'), ..] if before.is_empty() => {
                    vec![[&any, row.as_slice()].concat()]
                }
                [Part::Many, Part::Char('/'), ..] => vec![[before, rest].concat()],
                [Part::Many, ..] => vec![[before, rest].concat()],
                _ if before.is_empty() => vec![[&any, row.as_slice()].concat()],
                // `a*/**/z`: the first `*` runs over the folders between.
                _ if before.iter().rev().nth(1) == Some(&Part::Many) => vec![[before, rest].concat()],
                _ => vec![[before, rest].concat(), [&any, slash, rest].concat()],
            }
        };
        out = out.iter().flat_map(|before| row.iter().flat_map(|row| between(before, row))).collect();
        if out.len() > ALTERNATIVES {
            return Ok(None);
        }
    }
    for like in &mut out {
        for _ in 0..glob.beyond() {
            like.extend([Part::Many, Part::Char('/')]);
        }
        like.push(Part::Many);
    }
    Ok(Some(out))
}

/// A pattern that is compared name by name.
struct ByName {
    view: View,
    /// For each name of each row what it may be like.
    chunks: Vec<Vec<Vec<Like>>>,
    anchored: bool,
    beyond: usize,
}

impl ByName {
    /// The expression for the rows from one on, which begin at a depth or beneath it.
    fn from(&self, index: usize, at: usize, left: &mut usize) -> Result<String, String> {
        let Some(chunk) = self.chunks.get(index) else {
            let needed = at + self.beyond;
            return Ok(if needed > DEPTH { "false".into() } else { format!("resource.depth >= {needed}") });
        };
        let last = if index == 0 && self.anchored { 0 } else { DEPTH.saturating_sub(chunk.len()) };
        let mut places = Vec::new();
        for start in at..=last {
            if start + chunk.len() + self.beyond > DEPTH {
                break;
            }
            let mut all: Vec<String> =
                (start..).zip(chunk).map(|(at, likes)| is_name(self.view, at, likes)).collect();
            if index + 1 < self.chunks.len() || self.beyond > 0 {
                all.push(self.from(index + 1, start + chunk.len(), left)?);
            }
            let place = joined(&all, "&&", "true");
            *left = left.checked_sub(place.len()).ok_or("more places of a `*` than can be written out")?;
            places.push(place);
        }
        Ok(joined(&places, "||", "false"))
    }
}

/// The expression for what the name at a depth is like.
fn is_name(view: View, at: usize, likes: &[Like]) -> String {
    let attribute = format!("{}{at}", view.name);
    if likes.iter().any(|like| *like == [Part::Many]) {
        return format!("resource has {attribute}");
    }
    let likes: Vec<String> = likes.iter().map(|like| compared(&attribute, like)).collect();
    format!("(resource has {attribute} && {})", joined(&likes, "||", "false"))
}

fn compared(attribute: &str, like: &[Part]) -> String {
    let plain = !like.contains(&Part::Many);
    let text = like.iter().map(|part| match part {
        Part::Many => "*".into(),
        Part::Char(c) => escaped(*c, !plain),
    });
    let text = text.collect::<String>();
    format!("resource.{attribute} {} \"{text}\"", if plain { "==" } else { "like" })
}

/// What a name may be like: more than one where it has a class.
fn likes(name: &NameGlob, case: Case) -> Result<Vec<Like>, String> {
    let chars = |text: &str| text.chars().map(Part::Char).collect::<Like>();
    Ok(match name {
        NameGlob::Text(text) => vec![chars(text)],
        NameGlob::Starts(text) => vec![[chars(text), vec![Part::Many]].concat()],
        NameGlob::Ends(text) => vec![[vec![Part::Many], chars(text)].concat()],
        NameGlob::Pieces(tokens) => {
            let mut out: Vec<Like> = vec![Vec::new()];
            for token in tokens {
                let next: Vec<Like> = match token {
                    Token::Text(text) => vec![chars(text)],
                    Token::Many => vec![vec![Part::Many]],
                    Token::One => return Err("a `?`, which Cedar cannot say".into()),
                    Token::Class(ranges) => {
                        members(ranges, case)?.into_iter().map(|c| vec![Part::Char(c)]).collect()
                    }
                };
                out = out
                    .iter()
                    .flat_map(|before| next.iter().map(move |next| [before.as_slice(), next].concat()))
                    .collect();
                if out.len() > ALTERNATIVES {
                    return Err(format!("classes for more than {ALTERNATIVES} texts"));
                }
            }
            out
        }
    })
}

/// The characters of a class, where they are few.
fn members(ranges: &[(char, char)], case: Case) -> Result<BTreeSet<char>, String> {
    let count: u32 = ranges.iter().map(|(low, high)| u32::from(*high) - u32::from(*low) + 1).sum();
    if count > 4 * ALTERNATIVES as u32 {
        return Err("a class of many characters, which Cedar cannot say".into());
    }
    let members = ranges.iter().flat_map(|(low, high)| *low..=*high).filter(|c| *c != '/');
    Ok(match case {
        Case::Exact => members.collect(),
        Case::Folded => members.map(representative).collect(),
    })
}
