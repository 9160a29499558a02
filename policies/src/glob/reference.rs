//! The dialect a second time, slow and obvious: as gitignore's manual tells it, by trying everything. What
//! the matcher says is held against this by the tests and the fuzzers.
//!
//! Patterns must be ones that [`Pattern::parse`](super::Pattern::parse) takes.

use unicode_normalization::UnicodeNormalization;

/// Whether an allowance matches a path.
pub(crate) fn allows(pattern: &str, path: &str) -> bool {
    matches(pattern, path, false, false)
}

/// Whether a denial must match a path: as it is written, in any case, and with what Windows drops from the end
/// of a name. Case is folded for ASCII alone, so that of other text it says less than there is.
pub(crate) fn denies(pattern: &str, path: &str) -> bool {
    let dropped: Vec<&str> = path
        .split('/')
        .map(|name| match name.trim_end_matches(['.', ' ']) {
            "" => name,
            kept => kept,
        })
        .collect();
    matches(pattern, path, true, false)
        || matches(pattern, path, true, true)
        || matches(pattern, &dropped.join("/"), true, true)
}

/// Whether an allowance matches a folder or something beneath it.
pub(crate) fn lists(pattern: &str, folder: &str) -> bool {
    fn beneath(wanted: &[Vec<char>], names: &[Vec<char>]) -> bool {
        match (wanted.split_first(), names.split_first()) {
            (None, _) | (_, None) => true,
            (Some((first, _)), _) if is_stars(first) => true,
            (Some((first, wanted)), Some((name, names))) => {
                name_matches(first, name, false) && beneath(wanted, names)
            }
        }
    }
    beneath(&wanted(pattern), &names(folder))
}

fn matches(pattern: &str, path: &str, deny: bool, fold: bool) -> bool {
    let (wanted, names) = (wanted(pattern), names(path));
    // What matches a folder covers everything beneath it.
    (1..=names.len()).any(|count| {
        let is_folder_for_sure = count < names.len();
        (is_folder_for_sure || !pattern.ends_with('/') || deny) && names_match(&wanted, &names[..count], fold)
    })
}

fn wanted(pattern: &str) -> Vec<Vec<char>> {
    let body = pattern.trim_end_matches('/');
    let mut wanted = names(body.trim_start_matches('/'));
    if !body.contains('/') {
        wanted.insert(0, vec!['*', '*']);
    }
    wanted
}

fn names(path: &str) -> Vec<Vec<char>> {
    path.split('/').map(|name| name.nfc().collect()).collect()
}

fn is_stars(name: &[char]) -> bool {
    name.len() > 1 && name.iter().all(|c| *c == '*')
}

fn names_match(wanted: &[Vec<char>], names: &[Vec<char>], fold: bool) -> bool {
    match wanted.split_first() {
        None => names.is_empty(),
        Some((first, [])) if is_stars(first) => !names.is_empty(),
        Some((first, rest)) if is_stars(first) => {
            (0..=names.len()).any(|skip| names_match(rest, &names[skip..], fold))
        }
        Some((first, rest)) => names
            .split_first()
            .is_some_and(|(name, others)| name_matches(first, name, fold) && names_match(rest, others, fold)),
    }
}

fn name_matches(wanted: &[char], name: &[char], fold: bool) -> bool {
    let one = |hit: &dyn Fn(char) -> bool, rest: &[char]| {
        name.split_first().is_some_and(|(c, name)| hit(*c) && name_matches(rest, name, fold))
    };
    let same = |wanted: char, c: char| wanted == c || (fold && wanted.eq_ignore_ascii_case(&c));
    match wanted {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|skip| name_matches(rest, &name[skip..], fold)),
        ['?', rest @ ..] => one(&|_| true, rest),
        ['\\', literal, rest @ ..] => one(&|c| same(*literal, c), rest),
        ['[', class @ ..] => {
            let (negated, ranges, rest) = class_of(class);
            let within = |c: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
            let hit = |c: char| {
                within(c) || (fold && (within(c.to_ascii_lowercase()) || within(c.to_ascii_uppercase())))
            };
            one(&|c| hit(c) != negated, rest)
        }
        [literal, rest @ ..] => one(&|c| same(*literal, c), rest),
    }
}

/// Whether what follows a `[` is negated, its ranges, and what follows its `]`.
fn class_of(class: &[char]) -> (bool, Vec<(char, char)>, &[char]) {
    let (negated, mut rest) = match class {
        ['!' | '^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        let low;
        (low, rest) = match rest {
            [']', behind @ ..] if !ranges.is_empty() => return (negated, ranges, behind),
            ['\\', c, rest @ ..] | [c, rest @ ..] => (*c, rest),
            [] => panic!("the parser takes no class that is not closed"),
        };
        let high;
        (high, rest) = match rest {
            ['-', '\\', c, rest @ ..] => (*c, rest),
            ['-', c, rest @ ..] if *c != ']' => (*c, rest),
            _ => (low, rest),
        };
        ranges.push((low, high));
    }
}
