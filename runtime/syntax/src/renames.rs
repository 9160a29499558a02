//! Which identifiers a change renames.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::tree::{Token, TokenKind};
use crate::{Language, tokens};

/// What a name of the code is called after a change, and where a test could say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The new name.
    pub to: String,
    /// Whether other code can name it: a function, a type, a field. Else it is a parameter, a local or a module.
    pub seen: bool,
    /// Whether it is a parameter that calls may name.
    pub keyword: bool,
    /// Whether it is a module, by its file's name.
    pub module: bool,
}

impl Rename {
    /// The renaming of what other code can name.
    pub fn seen(to: &str) -> Self {
        Self { to: to.to_owned(), seen: true, keyword: false, module: false }
    }
}

/// Old name to what it became.
pub type Renames = BTreeMap<String, Rename>;

/// The most cells of one alignment's table.
const MAX_CELLS: usize = 4 << 20;

/// Returns the identifiers that a change of a file renames consistently, old to new: wherever a changed
/// line had the old name it has the new one, the new one did not occur before, and the old one occurs less.
/// Where two old names would become one, or one name two, neither counts.
///
/// A call of one function replaced by a call of another looks the same within one file: whoever grants
/// something to a rename also asks whether the declaration went the same way ([`crate::units`]).
pub fn renamed_identifiers(language: Language, before: &[u8], after: &[u8]) -> BTreeMap<String, String> {
    let code = |source| {
        let mut tokens = tokens(language, source);
        tokens.retain(|token| token.kind != TokenKind::Comment);
        tokens
    };
    let (old, new) = (code(before), code(after));
    let (had, has) = (counts(&old), counts(&new));
    // What each old name became, itself included.
    let mut became: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in hunks(&old, &new) {
        for (was, is) in align(&old[from.0..from.1], &new[to.0..to.1]) {
            became.entry(was).or_default().insert(is);
        }
    }
    let mut sources: HashMap<&str, u32> = HashMap::new();
    let found: Vec<(&str, &str)> = became
        .iter()
        .filter_map(|(was, is)| match is.iter().copied().collect::<Vec<_>>().as_slice() {
            [is] if is != was => Some((*was, *is)),
            _ => None,
        })
        .filter(|(was, is)| !had.contains_key(is) && has.get(was).copied().unwrap_or(0) < had[was])
        .collect();
    for (_, is) in &found {
        *sources.entry(is).or_default() += 1;
    }
    found
        .into_iter()
        .filter(|(_, is)| sources[is] == 1)
        .map(|(was, is)| (was.to_owned(), is.to_owned()))
        .collect()
}

fn counts(tokens: &[Token]) -> HashMap<&str, u32> {
    let mut out = HashMap::new();
    for token in tokens.iter().filter(|token| token.kind == TokenKind::Identifier) {
        *out.entry(token.text.as_str()).or_default() += 1;
    }
    out
}

type Span = (usize, usize);

/// Pairs of token spans that differ, between lines that are the same on both sides.
fn hunks(old: &[Token], new: &[Token]) -> Vec<(Span, Span)> {
    let (old_lines, new_lines) = (lines(old), lines(new));
    let text = |tokens: &[Token], span: &Span| {
        tokens[span.0..span.1].iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
    };
    let old_text: Vec<String> = old_lines.iter().map(|span| text(old, span)).collect();
    let new_text: Vec<String> = new_lines.iter().map(|span| text(new, span)).collect();
    let start = |lines: &[Span], at: usize, end: usize| lines.get(at).map_or(end, |span| span.0);
    let mut out = Vec::new();
    let (mut a, mut b) = (0, 0);
    let same = same_lines(&old_text, &new_text).into_iter().chain([(old_lines.len(), new_lines.len())]);
    for (next_a, next_b) in same {
        if next_a > a && next_b > b {
            let from = (start(&old_lines, a, old.len()), start(&old_lines, next_a, old.len()));
            let to = (start(&new_lines, b, new.len()), start(&new_lines, next_b, new.len()));
            out.push((from, to));
        }
        (a, b) = (next_a + 1, next_b + 1);
    }
    out
}

fn lines(tokens: &[Token]) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match out.last_mut() {
            Some(last) if tokens[last.0].line == token.line => last.1 = at + 1,
            _ => out.push((at, at + 1)),
        }
    }
    out
}

/// Pairs of equal lines in order: what begins and ends the same, then lines that occur once on each side
/// (patience), then what neighbours those. No table over the whole file.
fn same_lines(old: &[String], new: &[String]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    out.extend((0..head).map(|at| (at, at)));
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let mut seen: HashMap<&str, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for (at, line) in old[..old_end].iter().enumerate().skip(head) {
        seen.entry(line).or_default().0.push(at);
    }
    for (at, line) in new[..new_end].iter().enumerate().skip(head) {
        seen.entry(line).or_default().1.push(at);
    }
    let mut unique: Vec<(usize, usize)> = seen
        .into_values()
        .filter_map(|(a, b)| match (a.as_slice(), b.as_slice()) {
            ([a], [b]) => Some((*a, *b)),
            _ => None,
        })
        .collect();
    unique.sort_unstable();
    let mut last = (head, head);
    for (a, b) in increasing(&unique) {
        // Equal lines right behind the last anchor and right before this one.
        let mut from = last;
        while from.0 < a && from.1 < b && old[from.0] == new[from.1] {
            out.push(from);
            from = (from.0 + 1, from.1 + 1);
        }
        let mut before = Vec::new();
        let (mut x, mut y) = (a, b);
        while x > from.0 && y > from.1 && old[x - 1] == new[y - 1] {
            (x, y) = (x - 1, y - 1);
            before.push((x, y));
        }
        out.extend(before.into_iter().rev());
        out.push((a, b));
        last = (a + 1, b + 1);
    }
    while last.0 < old_end && last.1 < new_end && old[last.0] == new[last.1] {
        out.push(last);
        last = (last.0 + 1, last.1 + 1);
    }
    out.extend((0..tail).map(|at| (old_end + at, new_end + at)));
    out
}

/// The longest run of pairs, sorted by the first, whose second grows too.
fn increasing(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; pairs.len()];
    for (at, pair) in pairs.iter().enumerate() {
        let place = ends.partition_point(|end| pairs[*end].1 < pair.1);
        previous[at] = place.checked_sub(1).map(|below| ends[below]);
        if place == ends.len() {
            ends.push(at);
        } else {
            ends[place] = at;
        }
    }
    let mut out = Vec::new();
    let mut at = ends.last().copied();
    while let Some(index) = at {
        out.push(pairs[index]);
        at = previous[index];
    }
    out.reverse();
    out
}

/// Pairs of identifiers that stand at the same place of two pieces of code: the alignment with the most
/// equal tokens, an identifier fitting any other a little.
fn align<'t>(old: &'t [Token], new: &'t [Token]) -> Vec<(&'t str, &'t str)> {
    let pair = |a: &'t Token, b: &'t Token| {
        (a.kind == TokenKind::Identifier && b.kind == TokenKind::Identifier)
            .then_some((a.text.as_str(), b.text.as_str()))
    };
    let fits = |a: &Token, b: &Token| {
        a.kind == b.kind
            && (a.kind == TokenKind::Identifier || a.text == b.text || a.kind == TokenKind::Literal)
    };
    // A pure renaming has the same tokens in the same places.
    if old.len() == new.len() && old.iter().zip(new).all(|(a, b)| fits(a, b)) {
        return old.iter().zip(new).filter_map(|(a, b)| pair(a, b)).collect();
    }
    let (rows, columns) = (old.len() + 1, new.len() + 1);
    if rows.checked_mul(columns).is_none_or(|cells| cells > MAX_CELLS) {
        return Vec::new();
    }
    let score = |a: &Token, b: &Token| match (a.kind == b.kind, a.text == b.text) {
        (true, true) => 3,
        (true, false) if a.kind == TokenKind::Identifier => 1,
        _ => 0,
    };
    let mut table = vec![0u32; rows * columns];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            let skip = table[(a + 1) * columns + b].max(table[a * columns + b + 1]);
            let take = score(&old[a], &new[b]);
            let both = if take > 0 { take + table[(a + 1) * columns + b + 1] } else { 0 };
            table[a * columns + b] = skip.max(both);
        }
    }
    let mut out = Vec::new();
    let (mut a, mut b) = (0, 0);
    while a < old.len() && b < new.len() {
        let take = score(&old[a], &new[b]);
        if take > 0 && table[a * columns + b] == take + table[(a + 1) * columns + b + 1] {
            out.extend(pair(&old[a], &new[b]));
            (a, b) = (a + 1, b + 1);
        } else if table[(a + 1) * columns + b] >= table[a * columns + b + 1] {
            a += 1;
        } else {
            b += 1;
        }
    }
    out
}
