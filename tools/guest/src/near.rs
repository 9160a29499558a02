//! What stands in a file instead of a text that was expected there.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::lines::{self, plain};

/// Lines of a place that are shown.
const SHOWN: usize = 12;
/// Files and texts with more lines than these are not compared line by line with tolerance.
const FILE_LINES: usize = 20_000;
const TEXT_LINES: usize = 200;

/// Describes where something like `wanted` stands in a file: the same lines but for white space,
/// punctuation or letter case; else the place with the most equal lines; else the most similar line. None
/// where nothing is alike.
pub(crate) fn describe(data: &[u8], wanted: &str) -> Option<String> {
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
            return Some(out);
        }
    }
    most_equal(&file, wanted).or_else(|| most_similar(&file, wanted))
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
    for (n, line) in file.iter().enumerate().skip(at).take(count.min(SHOWN)) {
        let (kept, dropped) = lines::cut(line, 200);
        lines::push_shown(out, n + 1, kept, dropped);
    }
    if count > SHOWN {
        out.push_str("   ...\n");
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

fn most_equal(file: &[String], wanted: &[&str]) -> Option<String> {
    if wanted.len() < 2 {
        return None;
    }
    let wanted: Vec<String> = wanted.iter().map(|line| squeeze(line)).collect();
    let distinct: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let file_forms: Vec<Option<String>> =
        file.iter().map(|line| Some(squeeze(line)).filter(|line| distinct.contains(line.as_str()))).collect();
    // A line of a brace alone stands everywhere and says nothing.
    let telling = |line: &str| line.chars().filter(|c| c.is_alphanumeric()).count() >= 3;
    let score = |at: usize| -> usize {
        wanted
            .iter()
            .zip(&file_forms[at..])
            .filter(|(wanted, form)| form.as_ref() == Some(*wanted) && telling(wanted))
            .count()
    };
    let (at, score) =
        (0..file.len()).map(|at| (at, score(at))).max_by_key(|&(at, score)| (score, usize::MAX - at))?;
    if score == 0 {
        return None;
    }
    let differing = wanted
        .iter()
        .zip(at..)
        .find(|(wanted, n)| file_forms.get(*n).and_then(Option::as_ref) != Some(*wanted));
    let mut out = format!("The closest place begins at line {}", at + 1);
    if let Some((_, n)) = differing {
        // Writing to a String cannot fail.
        let _ = write!(out, " and differs first at line {}", n + 1);
    }
    out.push_str(":\n");
    show(&mut out, file, at, wanted.len());
    Some(out)
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
        describe(FILE.as_bytes(), wanted).unwrap_or_else(|| "nothing".to_owned())
    }

    #[test]
    fn other_white_space_is_found() {
        assert_eq!(
            near("let total = sum(&items);\nprintln!(\"{total}\");"),
            "With other indentation or spaces at line ends it stands at line 2:\n     2\t    let total = sum(&items);\n     3\t    println!(\"{total}\");\n"
        );
        assert_eq!(
            near("fn  main () {"),
            "With other white space it stands at line 1:\n     1\tfn main() {\n"
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
            "With other quotes, dashes or spaces it stands at line 3:\n     3\t    println!(\"{total}\");\n"
        );
        assert_eq!(near("FN MAIN() {"), "With other letter case it stands at line 1:\n     1\tfn main() {\n");
    }

    #[test]
    fn the_place_with_the_most_equal_lines_is_shown() {
        assert_eq!(
            near("fn sum(items: &[u32]) -> u32 {\n    items.iter().product()\n}"),
            "The closest place begins at line 6 and differs first at line 7:\n     6\tfn sum(items: &[u32]) -> u32 {\n     7\t    items.iter().sum()\n     8\t}\n"
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
