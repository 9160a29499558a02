//! What stands in a file instead of a text that was expected there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use imara_diff::{Algorithm, Diff, InternedInput};

use crate::lines::{self, plain};
use crate::repair::is_telling;

/// Lines of a place that are shown, and the most text of them, bytes.
const SHOWN: usize = 24;
const TEXT: usize = 4 << 10;
/// Differences that are told.
const TOLD: usize = 3;
/// Files and texts with more lines than these are not compared line by line with tolerance.
const FILE_LINES: usize = 20_000;
const TEXT_LINES: usize = 200;
/// A line that stands in a file more often says nothing of where a text belongs.
const COMMON: usize = 20;
/// Places that are weighed.
const PLACES: usize = 40;
/// How far lines may have moved within a place that is weighed.
const MOVED: usize = 3;
/// Characters of a line that are compared by likeness.
const COMPARED: usize = 300;

/// Describes where something like `wanted` stands in a file: the same lines but for white space,
/// punctuation or letter case; else the place whose lines are most like it; else the most similar lines. None
/// where nothing is alike. `whose` names the text that was given, like `` `old` ``.
pub(crate) fn describe(data: &[u8], wanted: &str, whose: &str) -> Option<String> {
    let file: Vec<String> =
        lines::split(data).iter().map(|line| String::from_utf8_lossy(line.text).into_owned()).collect();
    let wanted: Vec<&str> = wanted.lines().collect();
    let blank = wanted.iter().take_while(|line| line.trim().is_empty()).count();
    let wanted = wanted.get(blank..).unwrap_or_default();
    let end = wanted.iter().rposition(|line| !line.trim().is_empty())? + 1;
    let wanted = &wanted[..end];
    if file.len() > FILE_LINES || wanted.len() > TEXT_LINES {
        return None;
    }
    if let Some(stripped) = without_numbers(wanted)
        && let Some(at) = find(&file, &stripped, |line| line.trim_end().to_owned()).first()
    {
        return Some(format!("Without line numbers it stands at line {}.", at + 1));
    }
    type Form = fn(&str) -> String;
    let ways: [(&str, Form); 4] = [
        ("With other indentation or spaces at line ends", |line| line.trim().to_owned()),
        ("With other white space", |line| squeeze(line)),
        ("With other quotes, dashes or spaces", |line| squeeze(&plain(line))),
        ("With other letter case", |line| squeeze(&plain(line)).to_lowercase()),
    ];
    for (how, form) in ways {
        let places = find(&file, wanted, form);
        if let Some(&at) = places.first() {
            let mut out = format!("{how} it stands at {}:\n", line_list(&places));
            show(&mut out, &file, at, wanted.len());
            tell_differences(&mut out, &file, at, at + wanted.len(), wanted, whose);
            return Some(out);
        }
    }
    closest(&file, wanted, whose).or_else(|| most_similar(&file, wanted))
}

/// Writes `line 3` or `lines 3, 7 and 2 more`.
pub(crate) fn line_list(zero_based: &[usize]) -> String {
    let mut out = String::from(if zero_based.len() == 1 { "line " } else { "lines " });
    for (n, at) in zero_based.iter().take(20).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}{}", if n > 0 { ", " } else { "" }, at + 1);
    }
    if zero_based.len() > 20 {
        let _ = write!(out, " and {} more", zero_based.len() - 20);
    }
    out
}

fn show(out: &mut String, file: &[String], at: usize, count: usize) {
    let begun = out.len();
    for (shown, (n, line)) in file.iter().enumerate().skip(at).take(count).enumerate() {
        if shown == SHOWN || out.len() - begun > TEXT {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "   ... [{} more lines]", count - shown);
            return;
        }
        let (kept, dropped) = lines::cut(line, TEXT / 4);
        lines::push_shown(out, n + 1, kept, dropped);
    }
}

/// Tells how the lines of a file from `at` to `end` differ from those that were given.
fn tell_differences(out: &mut String, file: &[String], at: usize, end: usize, wanted: &[&str], whose: &str) {
    let mut input = InternedInput::default();
    input.update_before(wanted.iter().copied());
    input.update_after(file[at..end].iter().map(String::as_str));
    let diff = Diff::compute(Algorithm::Histogram, &input);
    let mut left = 0;
    for (told, hunk) in diff.hunks().enumerate() {
        if told >= TOLD {
            left += 1;
            continue;
        }
        let given = wanted.get(hunk.before.start as usize).filter(|_| !hunk.before.is_empty());
        let number = at + hunk.after.start as usize;
        let here = file.get(number).filter(|_| !hunk.after.is_empty());
        // As text in quotes: what differs may be white space.
        let quoted = |line: &str| format!("{:?}", lines::cut(line, 200).0);
        let number = number + 1;
        // Writing to a String cannot fail.
        let _ = match (here, given) {
            (Some(here), Some(given)) => {
                writeln!(out, "Line {number} is {} where {whose} has {}.", quoted(here), quoted(given))
            }
            (Some(here), None) => writeln!(out, "Line {number}, {}, is not in {whose}.", quoted(here)),
            (None, Some(given)) => {
                writeln!(out, "Before line {number}, {whose} has {}, which is not there.", quoted(given))
            }
            (None, None) => Ok(()),
        };
    }
    if left > 0 {
        let _ = writeln!(out, "{left} more places of it differ.");
    }
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect()
}

/// Returns the lines without a number and a tab at their beginnings, when every line has them.
fn without_numbers<'a>(wanted: &[&'a str]) -> Option<Vec<&'a str>> {
    wanted
        .iter()
        .map(|line| {
            let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
            let numbered = rest.len() < line.trim_start().len();
            numbered.then(|| rest.strip_prefix(['\t', ':', '|'])).flatten()
        })
        .collect()
}

fn find(file: &[String], wanted: &[&str], form: impl Fn(&str) -> String) -> Vec<usize> {
    if wanted.is_empty() || wanted.len() > file.len() {
        return Vec::new();
    }
    let file: Vec<String> = file.iter().map(|line| form(line)).collect();
    let wanted: Vec<String> = wanted.iter().map(|line| form(line)).collect();
    file.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
}

/// Shows the place whose lines are most like those that were given.
fn closest(file: &[String], wanted: &[&str], whose: &str) -> Option<String> {
    if wanted.len() < 2 {
        return None;
    }
    let likeness = Likeness::new(file, wanted);
    let (_, start, end) = likeness
        .candidates()
        .into_iter()
        .filter_map(|candidate| likeness.weigh(candidate))
        .max_by_key(|&(score, start, _)| (score, usize::MAX - start))?;
    let mut out = format!("The closest text is lines {} to {end}:\n", start + 1);
    if end == start + 1 {
        out = format!("The closest text is line {end}:\n");
    }
    show(&mut out, file, start, end - start);
    tell_differences(&mut out, file, start, end, wanted, whose);
    Some(out)
}

/// The lines of a file and of a text, as they are compared.
struct Likeness {
    file: Vec<Line>,
    wanted: Vec<Line>,
}

/// A line without its white space, and the pairs of characters in it, sorted.
struct Line {
    text: String,
    pairs: Vec<(char, char)>,
    telling: bool,
}

impl Line {
    fn new(line: &str) -> Self {
        let text = squeeze(line);
        let (compared, _) = lines::cut(&text, COMPARED);
        let mut pairs: Vec<(char, char)> = compared.chars().zip(compared.chars().skip(1)).collect();
        pairs.sort_unstable();
        // A line of a brace alone stands everywhere and says nothing.
        let telling = is_telling(&text);
        Self { text, pairs, telling }
    }

    /// Returns how alike two lines are, of 1000.
    fn like(&self, other: &Self) -> usize {
        if self.text == other.text {
            return 1000;
        }
        let total = self.pairs.len() + other.pairs.len();
        let (mut a, mut b, mut common) = (0, 0, 0);
        while let (Some(one), Some(two)) = (self.pairs.get(a), other.pairs.get(b)) {
            match one.cmp(two) {
                std::cmp::Ordering::Less => a += 1,
                std::cmp::Ordering::Greater => b += 1,
                std::cmp::Ordering::Equal => {
                    common += 1;
                    a += 1;
                    b += 1;
                }
            }
        }
        2000 * common / total.max(1)
    }
}

impl Likeness {
    fn new(file: &[String], wanted: &[&str]) -> Self {
        Self {
            file: file.iter().map(|line| Line::new(line)).collect(),
            wanted: wanted.iter().map(|line| Line::new(line)).collect(),
        }
    }

    /// Returns where the text may begin, from 0 and before the file, too: where lines of it stand, else where
    /// lines like its longest ones do.
    fn candidates(&self) -> Vec<isize> {
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for line in self.wanted.iter().filter(|line| line.telling) {
            places.entry(&line.text).or_default();
        }
        for (at, line) in self.file.iter().enumerate() {
            if let Some(places) = places.get_mut(line.text.as_str()) {
                places.push(at);
            }
        }
        let mut votes: BTreeMap<isize, usize> = BTreeMap::new();
        let mut vote = |at: usize, index: usize, weight: usize| {
            *votes.entry(at.cast_signed() - index.cast_signed()).or_default() += weight;
        };
        let (mut found, mut all) = (0, 0);
        for (index, line) in self.wanted.iter().enumerate().filter(|(_, line)| line.telling) {
            all += 1;
            let places = places.get(line.text.as_str()).map_or(&[][..], Vec::as_slice);
            if !places.is_empty() && places.len() <= COMMON {
                found += 1;
                places.iter().for_each(|&at| vote(at, index, 1000 / places.len()));
            }
        }
        if found * 2 < all {
            let mut longest: Vec<(usize, &Line)> = self.wanted.iter().enumerate().collect();
            longest.sort_by_key(|(_, line)| usize::MAX - line.pairs.len());
            for (index, line) in longest.into_iter().take(3).filter(|(_, line)| line.telling) {
                let alike = self.file.iter().enumerate().map(|(at, other)| (line.like(other), at));
                let mut alike: Vec<(usize, usize)> = alike.filter(|(like, _)| *like >= 600).collect();
                alike.sort_by_key(|&(like, at)| (usize::MAX - like, at));
                alike.truncate(COMMON);
                alike.iter().for_each(|&(like, at)| vote(at, index, like / 2));
            }
        }
        let mut votes: Vec<(isize, usize)> = votes.into_iter().collect();
        votes.sort_by_key(|&(at, votes)| (usize::MAX - votes, at));
        votes.into_iter().take(PLACES).map(|(at, _)| at).collect()
    }

    /// Returns how alike the text and a place are, and the lines of the place: from 0, and the one behind the
    /// last. None where less than a third of the text is like it.
    fn weigh(&self, begin: isize) -> Option<(usize, usize, usize)> {
        let (mut score, mut most) = (0, 0);
        // The first and the last line of the text that is found, and where.
        let mut ends: Option<((usize, usize), (usize, usize))> = None;
        for (index, line) in self.wanted.iter().enumerate().filter(|(_, line)| line.telling) {
            let weight = line.pairs.len().min(80);
            most += weight * 1000;
            let at = begin + index.cast_signed();
            let from = usize::try_from(at - MOVED.cast_signed()).unwrap_or(0);
            let to = usize::try_from(at + MOVED.cast_signed() + 1).unwrap_or(0).min(self.file.len());
            // Of equally alike lines the one that has moved the least.
            let best = (from..to)
                .map(|here| (line.like(&self.file[here]), here))
                .max_by_key(|&(like, here)| (like, usize::MAX - here.cast_signed().abs_diff(at)));
            let Some((like, here)) = best.filter(|(like, _)| *like >= 500) else { continue };
            score += weight * like;
            let first = ends.map_or((index, here), |(first, _)| first);
            ends = Some((first, (index, here)));
        }
        let ((first, from), (last, to)) = ends.filter(|_| score * 3 >= most)?;
        let start = from.saturating_sub(first);
        let end = (to.max(from) + self.wanted.len() - last).min(self.file.len());
        Some((score, start, end.max(start + 1)))
    }
}

fn most_similar(file: &[String], wanted: &[&str]) -> Option<String> {
    let longest = wanted.iter().max_by_key(|line| line.trim().len())?.trim();
    let (longest, _) = lines::cut(longest, 300);
    let pairs = pairs_of(longest);
    if pairs.len() < 4 {
        return None;
    }
    let mut best: Vec<(usize, usize)> = Vec::new();
    for (at, line) in file.iter().enumerate() {
        let (line, _) = lines::cut(line.trim(), 300);
        let other = pairs_of(line);
        let common = other.intersection(&pairs).count();
        let permille = 2000 * common / (other.len() + pairs.len()).max(1);
        if permille >= 600 {
            best.push((permille, at));
        }
    }
    best.sort_by_key(|&(permille, at)| (usize::MAX - permille, at));
    best.truncate(3);
    if best.is_empty() {
        return None;
    }
    let mut out = String::from("The most similar lines are:\n");
    for (_, at) in best {
        show(&mut out, file, at, 1);
    }
    Some(out)
}

fn pairs_of(text: &str) -> BTreeSet<(char, char)> {
    text.chars().zip(text.chars().skip(1)).filter(|(a, b)| !a.is_whitespace() || !b.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "fn main() {\n    let total = sum(&items);\n    println!(\"{total}\");\n}\n\nfn sum(items: &[u32]) -> u32 {\n    items.iter().sum()\n}\n";

    fn near(wanted: &str) -> String {
        describe(FILE.as_bytes(), wanted, "`old`").unwrap_or_else(|| "nothing".to_owned())
    }

    #[test]
    fn other_white_space_is_found() {
        assert_eq!(
            near("let total = sum(&items);\nprintln!(\"{total}\");"),
            "With other indentation or spaces at line ends it stands at line 2:\n     2\t    let total = sum(&items);\n     3\t    println!(\"{total}\");\nLine 2 is \"    let total = sum(&items);\" where `old` has \"let total = sum(&items);\".\n"
        );
        assert_eq!(
            near("fn  main () {"),
            "With other white space it stands at line 1:\n     1\tfn main() {\nLine 1 is \"fn main() {\" where `old` has \"fn  main () {\".\n"
        );
    }

    #[test]
    fn line_numbers_are_recognised() {
        assert_eq!(
            near("     1\tfn main() {\n     2\t    let total = sum(&items);"),
            "Without line numbers it stands at line 1."
        );
    }

    #[test]
    fn punctuation_and_case_are_found() {
        assert_eq!(
            near("println!(“{total}”);"),
            "With other quotes, dashes or spaces it stands at line 3:\n     3\t    println!(\"{total}\");\nLine 3 is \"    println!(\\\"{total}\\\");\" where `old` has \"println!(“{total}”);\".\n"
        );
        assert_eq!(
            near("FN MAIN() {"),
            "With other letter case it stands at line 1:\n     1\tfn main() {\nLine 1 is \"fn main() {\" where `old` has \"FN MAIN() {\".\n"
        );
    }

    #[test]
    fn the_place_that_is_most_alike_is_shown_and_how_it_differs() {
        assert_eq!(
            near("fn sum(items: &[u32]) -> u32 {\n    items.iter().product()\n}"),
            "The closest text is lines 6 to 8:\n     6\tfn sum(items: &[u32]) -> u32 {\n     7\t    items.iter().sum()\n     8\t}\n\
             Line 7 is \"    items.iter().sum()\" where `old` has \"    items.iter().product()\".\n"
        );
    }

    #[test]
    fn lines_that_came_or_went_since_do_not_hide_the_place() {
        let file = "use a;\n\nfn one() {\n    let path = find();\n    log(path);\n    open(path)\n}\n\nfn two() {\n    open(path)\n}\n";
        assert_eq!(
            describe(file.as_bytes(), "fn one() {\n    let path = find();\n    open(path)\n}\n", "`old`")
                .unwrap(),
            "The closest text is lines 3 to 7:\n     3\tfn one() {\n     4\t    let path = find();\n     5\t    log(path);\n     6\t    open(path)\n     7\t}\n\
             Line 5, \"    log(path);\", is not in `old`.\n"
        );
        // No line of it is the same any more.
        assert_eq!(
            describe(file.as_bytes(), "fn one_of() {\n    let paths = find();\n", "`old`").unwrap(),
            "The closest text is lines 3 to 4:\n     3\tfn one() {\n     4\t    let path = find();\n\
             Line 3 is \"fn one() {\" where `old` has \"fn one_of() {\".\n"
        );
        // A line that stands in every function does not make the text stand there.
        assert_eq!(
            describe(
                file.as_bytes(),
                "for each in many_other_things() {\n    store_and_forget(each);\n    log(path);\n}",
                "`old`"
            ),
            None
        );
    }

    #[test]
    fn a_long_place_is_cut() {
        let file: String = (0..60).map(|n| format!("call_number_{n}({});\n", "x".repeat(100))).collect();
        let wanted = file.replace("call_number_30", "other_number_30");
        let told = describe(file.as_bytes(), &wanted, "`old`").unwrap();
        assert!(
            told.contains("   ... [36 more lines]\nLine 31 is \"call_number_30(") && told.len() < 6 << 10,
            "{told}"
        );
    }

    #[test]
    fn similar_lines_are_shown_and_foreign_ones_not() {
        assert_eq!(
            near("let totals = sum(items);"),
            "The most similar lines are:\n     2\t    let total = sum(&items);\n"
        );
        assert_eq!(near("import numpy as np"), "nothing");
        assert_eq!(near("\n\n"), "nothing");
    }
}
