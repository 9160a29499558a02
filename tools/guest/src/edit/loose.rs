//! An edit whose old text stands in the file but for white space or typographic punctuation.
//!
//! Made only where whole lines of the file are the old text's in one and the same way ([`repair`]) and
//! nowhere else in that way. Lines that the edit leaves as they were keep the file's bytes.

use std::borrow::Cow;

use imara_diff::{Algorithm, Diff, InternedInput};

use super::{Edited, Problem};
use crate::lines::{self, Line};
use crate::repair::{self, Repair, Search};

/// Makes the edit where the old text, its line endings LF, fits one place of the file but for such things.
pub(super) fn replace(data: &[u8], old: &str, new: &str) -> Result<Edited, Problem> {
    // A piece of a line joins with what stands beside it: that is not guessed. A text that is not UTF-8 does
    // not come back as it was.
    let ended = old.ends_with('\n');
    if (ended != new.ends_with('\n') && !(ended && new.is_empty())) || old.contains('\u{fffd}') {
        return Err(Problem::Missing);
    }
    let split = lines::split(data);
    let file: Vec<Cow<'_, str>> = split.iter().map(|line| String::from_utf8_lossy(line.text)).collect();
    let file: Vec<&str> = file.iter().map(AsRef::as_ref).collect();
    let mut texts = (pieces(old, ended), pieces(new, ended));
    let mut blank = false;
    let place = loop {
        match repair::search(&file, &texts.0, 0) {
            Search::Once(place) => break place,
            Search::Several(_) => return Err(Problem::Missing),
            Search::Nowhere if blank || !trim_blank(&mut texts.0, &mut texts.1) => {
                return Err(Problem::Missing);
            }
            Search::Nowhere => blank = true,
        }
    };
    let (old, new) = (&texts.0, &texts.1);
    let fitted: Option<Vec<Cow<'_, str>>> = new.iter().map(|line| place.fitted(line)).collect();
    let Some(fitted) = fitted else { return Err(Problem::Missing) };

    let at = place.at;
    let region = &split[at..at + old.len()];
    let unended = ended && region.last().is_some_and(|line| line.ending.is_empty());
    let replaced = replaced(region, old, new, &fitted, usual(&split));
    let start = offset(data, region.first());
    let end = start + region.iter().map(|line| line.text.len() + line.ending.len()).sum::<usize>();
    let mut out = data[..start].to_vec();
    out.extend_from_slice(&replaced);
    out.extend_from_slice(&data[end..]);
    if out == data {
        return Err(Problem::There(at));
    }
    let first = at + 1;
    Ok(Edited {
        data: out,
        parts: vec![(first, first + new.len())],
        repair: Some(told(&place, old.len(), blank, unended)),
    })
}

/// Says which repair was made and where.
fn told(place: &Repair, count: usize, blank: bool, unended: bool) -> String {
    let mut differences = place.differences("`old`");
    if blank {
        differences.push("blank lines around it".to_owned());
    }
    if unended {
        differences.push("the newline that the file's last line has not".to_owned());
    }
    let (last, first) = (place.at + count, place.at + 1);
    let lines = if count == 1 { format!("line {first}") } else { format!("lines {first} to {last}") };
    let alike = if place.indents() { "; `new` was indented like the file" } else { "" };
    format!("repaired: {lines} fitted `old` but for {}{alike}", differences.join(", "))
}

/// Returns the lines of a text, without what stands behind its last newline where it ends.
fn pieces(text: &str, ended: bool) -> Vec<&str> {
    let text = if ended { text.strip_suffix('\n') } else { Some(text) };
    text.map(|text| text.split('\n').collect()).unwrap_or_default()
}

/// Drops the blank lines at both ends of the old text, and as many of the new one; false when there are none.
fn trim_blank(old: &mut Vec<&str>, new: &mut Vec<&str>) -> bool {
    let is_blank = |line: &&&str| line.trim().is_empty();
    let above = old.iter().take_while(is_blank).count();
    if above == old.len() {
        return false;
    }
    let below = old.iter().rev().take_while(is_blank).count();
    let new_above = new.iter().take_while(is_blank).count().min(above);
    new.drain(..new_above);
    let new_below = new.iter().rev().take_while(is_blank).count().min(below);
    new.truncate(new.len() - new_below);
    old.drain(..above);
    old.truncate(old.len() - below);
    above + below > 0
}

/// Returns the bytes of a place with its lines changed as the old text was to the new one.
fn replaced(
    region: &[Line<'_>],
    old: &[&str],
    new: &[&str],
    fitted: &[Cow<'_, str>],
    usual: &'static str,
) -> Vec<u8> {
    let mut input = InternedInput::default();
    input.update_before(old.iter().map(|line| line.trim_end()));
    input.update_after(new.iter().map(|line| line.trim_end()));
    let mut lines: Vec<(&[u8], &str)> = Vec::new();
    let keep = |line: &Line<'_>| line.ending;
    let mut done = 0;
    for hunk in Diff::compute(Algorithm::Histogram, &input).hunks() {
        let (from, to) = (hunk.before.start as usize, hunk.before.end as usize);
        lines.extend(region[done..from].iter().map(|line| (line.text, keep(line))));
        let ending = region.get(from).or(region.last()).map_or(usual, |line| line.ending);
        let added = &fitted[hunk.after.start as usize..hunk.after.end as usize];
        lines.extend(added.iter().map(|line| (line.as_bytes(), ending)));
        done = to;
    }
    lines.extend(region[done..].iter().map(|line| (line.text, keep(line))));
    // The file's last line may have no ending: then the place's last one has none, and no other.
    let unended = region.last().is_some_and(|line| line.ending.is_empty());
    let last = lines.len().saturating_sub(1);
    let mut out = Vec::new();
    for (index, (text, ending)) in lines.iter().enumerate() {
        out.extend_from_slice(text);
        let ending = if ending.is_empty() { usual } else { ending };
        if !(unended && index == last) {
            out.extend_from_slice(ending.as_bytes());
        }
    }
    out
}

/// Returns the ending of a file's first line, or a newline.
fn usual(split: &[Line<'_>]) -> &'static str {
    split.iter().map(|line| line.ending).find(|ending| !ending.is_empty()).unwrap_or("\n")
}

/// Returns where a line of a file begins.
fn offset(data: &[u8], line: Option<&Line<'_>>) -> usize {
    line.map_or(data.len(), |line| line.text.as_ptr().addr() - data.as_ptr().addr())
}
