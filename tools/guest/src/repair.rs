//! Where lines stand that a file has but for white space or typographic punctuation, and what makes their
//! replacement fit there.
//!
//! Conservative on purpose. Lines are compared whole, each with its own: nothing is found by likeness, and
//! nothing by leaving lines out. The strictest way in which the lines stand anywhere decides, and only one
//! place of it is a place: [`Search::Several`] is for telling, not for choosing. Where indentation may differ,
//! a second place counts whatever its indentation is.

use std::borrow::Cow;

use crate::lines::fold;

/// Letters and digits that a line has at the least to say anything: a brace stands everywhere.
const TELLING: usize = 3;
/// How many spaces may stand for a tab.
const TABS: [usize; 4] = [2, 3, 4, 8];

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Search {
    /// The lines stand nowhere, whatever the way.
    Nowhere,
    /// They stand at one place.
    Once(Repair),
    /// They stand at several places in the same way: their first lines, from 0.
    Several(Vec<usize>),
}

/// A place and how its lines differ from those that were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repair {
    /// The first line, from 0.
    pub(crate) at: usize,
    shift: Shift,
    /// Whether white space at line ends differs.
    ends: bool,
    /// Whether typographic punctuation differs.
    folded: bool,
}

impl Repair {
    /// Finds how lines that fit differ; none where their indentation is not shifted by one and the same.
    fn of(file: &[&str], wanted: &[&str], at: usize) -> Option<Self> {
        let (mut ends, mut folded) = (false, false);
        let mut indents = Vec::new();
        for (file, wanted) in file.iter().zip(wanted) {
            let (here, given) = (file.trim_end(), wanted.trim_end());
            let (rest, given_rest) = (here.trim_start(), given.trim_start());
            folded |= rest != given_rest;
            ends |= here.len() != file.len() || given.len() != wanted.len();
            if !rest.is_empty() {
                indents.push((&here[..here.len() - rest.len()], &given[..given.len() - given_rest.len()]));
            }
        }
        Some(Self { at, shift: Shift::between(&indents)?, ends, folded })
    }

    /// Returns a new line as it belongs there; none where the indentation of the place cannot be carried
    /// over to it.
    pub(crate) fn fitted<'a>(&self, line: &'a str) -> Option<Cow<'a, str>> {
        self.shift.fitted(line)
    }

    /// Names what differs, like `its indentation (4 spaces deeper)`. `whose` names the text that was given.
    pub(crate) fn differences(&self, whose: &str) -> Vec<String> {
        let mut out = Vec::new();
        out.extend(self.shift.in_words(whose));
        if self.ends {
            out.push("white space at line ends".to_owned());
        }
        if self.folded {
            out.push("typographic punctuation".to_owned());
        }
        out
    }

    /// Whether new lines are changed by [`Repair::fitted`].
    pub(crate) fn indents(&self) -> bool {
        self.shift != Shift::None
    }
}

/// Finds lines of a file, from the line `from` on, that are `wanted` but for white space at line ends, one
/// and the same shift of indentation, typographic punctuation, or the latter two.
pub(crate) fn search(file: &[&str], wanted: &[&str], from: usize) -> Search {
    let Some(last) = file.len().checked_sub(wanted.len()) else { return Search::Nowhere };
    if wanted.iter().all(|line| line.trim().is_empty()) {
        return Search::Nowhere;
    }
    let telling = wanted.iter().any(|line| is_telling(line));
    for (may_shift, may_fold) in [(false, false), (true, false), (false, true), (true, true)] {
        if may_shift && !telling {
            continue;
        }
        let lines = |at: usize| &file[at..at + wanted.len()];
        let places: Vec<usize> =
            (from..=last).filter(|&at| fits(lines(at), wanted, may_shift, may_fold)).collect();
        match places.as_slice() {
            [] => {}
            [at] => match Repair::of(lines(*at), wanted, *at) {
                Some(repair) => return Search::Once(repair),
                None => return Search::Nowhere,
            },
            several => return Search::Several(several.to_vec()),
        }
    }
    Search::Nowhere
}

/// Whether a line says anything by itself.
pub(crate) fn is_telling(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() >= TELLING
}

/// Whether lines are the wanted ones but for white space at their ends and what else may differ.
fn fits(file: &[&str], wanted: &[&str], may_shift: bool, may_fold: bool) -> bool {
    file.iter().zip(wanted).all(|(file, wanted)| {
        let (mut file, mut wanted) = (file.trim_end(), wanted.trim_end());
        if may_shift {
            (file, wanted) = (file.trim_start(), wanted.trim_start());
        }
        file == wanted || (may_fold && fold(file) == fold(wanted))
    })
}

/// How the indentation of all lines of a place differs from that of the lines that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shift {
    None,
    /// The place has this more.
    In(String),
    /// The place has this less.
    Out(String),
    /// The place has a tab for so many spaces.
    Tabs(Width),
    /// The place has so many spaces for a tab.
    Spaces(Width),
}

/// How many spaces are a tab.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Width {
    spaces: usize,
    /// How many tabs lines may have for it to be known: where all have as many, and more than one, the spaces
    /// may be a narrower tab's, or those of fewer.
    only: Option<usize>,
}

impl Width {
    /// Returns the width of a line's indentation in tabs, where it is known.
    fn tabs(&self, spaces: usize) -> Option<usize> {
        let tabs = spaces / self.spaces;
        (spaces.is_multiple_of(self.spaces) && self.knows(tabs)).then_some(tabs)
    }

    fn knows(&self, tabs: usize) -> bool {
        self.only.is_none_or(|only| only == tabs)
    }
}

impl Shift {
    /// Finds the one shift between pairs of indentations: the file's, and the given one.
    fn between(indents: &[(&str, &str)]) -> Option<Self> {
        if indents.iter().all(|(file, given)| file == given) {
            return Some(Self::None);
        }
        let (file, given) = indents.first()?;
        if let Some(more) = file.strip_suffix(given).filter(|more| !more.is_empty())
            && indents.iter().all(|(file, given)| file.strip_prefix(more) == Some(given))
        {
            return Some(Self::In(more.to_owned()));
        }
        if let Some(less) = given.strip_suffix(file).filter(|less| !less.is_empty())
            && indents.iter().all(|(file, given)| given.strip_prefix(less) == Some(file))
        {
            return Some(Self::Out(less.to_owned()));
        }
        let flipped: Vec<(&str, &str)> = indents.iter().map(|&(file, given)| (given, file)).collect();
        let tabs = width(indents).map(Self::Tabs);
        tabs.or_else(|| width(&flipped).map(Self::Spaces))
    }

    fn fitted<'a>(&self, line: &'a str) -> Option<Cow<'a, str>> {
        let rest = line.trim_start();
        if rest.is_empty() {
            return Some(Cow::Borrowed(line));
        }
        let indent = &line[..line.len() - rest.len()];
        Some(match self {
            Self::None => Cow::Borrowed(line),
            Self::In(more) => Cow::Owned(format!("{more}{line}")),
            Self::Out(less) => Cow::Borrowed(line.strip_prefix(less.as_str())?),
            Self::Tabs(width) => {
                let spaces = indent.bytes().all(|byte| byte == b' ').then_some(indent.len())?;
                Cow::Owned(format!("{}{rest}", "\t".repeat(width.tabs(spaces)?)))
            }
            Self::Spaces(width) => {
                let tabs = indent.bytes().all(|byte| byte == b'\t').then_some(indent.len())?;
                width.knows(tabs).then(|| Cow::Owned(format!("{}{rest}", " ".repeat(tabs * width.spaces))))?
            }
        })
    }

    fn in_words(&self, whose: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::In(more) => Some(format!("its indentation ({} deeper)", blanks(more))),
            Self::Out(less) => Some(format!("its indentation ({} less deep)", blanks(less))),
            Self::Tabs(width) => {
                Some(format!("its indentation (a tab where {whose} has {} spaces)", width.spaces))
            }
            Self::Spaces(width) => {
                Some(format!("its indentation ({} spaces where {whose} has a tab)", width.spaces))
            }
        }
    }
}

/// Returns how many spaces of the second stand for a tab of the first, where that is the same for all.
fn width(indents: &[(&str, &str)]) -> Option<Width> {
    let (tabs, spaces) = indents.iter().find(|(tabs, _)| !tabs.is_empty())?;
    let width = spaces.len() / tabs.len();
    let fits = |(tabs, spaces): &(&str, &str)| {
        tabs.bytes().all(|byte| byte == b'\t')
            && spaces.bytes().all(|byte| byte == b' ')
            && spaces.len() == tabs.len() * width
    };
    if !TABS.contains(&width) || !indents.iter().all(fits) {
        return None;
    }
    let same = indents.iter().all(|(other, _)| other.len() == tabs.len());
    Some(Width { spaces: width, only: (same && tabs.len() > 1).then_some(tabs.len()) })
}

fn blanks(text: &str) -> String {
    let count = text.chars().count();
    let plural = if count == 1 { "" } else { "s" };
    if text.bytes().all(|byte| byte == b' ') {
        format!("{count} space{plural}")
    } else if text.bytes().all(|byte| byte == b'\t') {
        format!("{count} tab{plural}")
    } else {
        format!("{count} characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, wanted: &str) -> String {
        let (file, wanted): (Vec<&str>, Vec<&str>) =
            (file.split('\n').collect(), wanted.split('\n').collect());
        match search(&file, &wanted, 0) {
            Search::Nowhere => "nowhere".to_owned(),
            Search::Once(repair) => format!("{}: {}", repair.at, repair.differences("it").join(", ")),
            Search::Several(places) => format!("{places:?}"),
        }
    }

    #[test]
    fn one_place_is_found_and_what_differs_is_named() {
        for (file, wanted, expected) in [
            ("a\nb \nc", "b\nc ", "1: white space at line ends"),
            (
                "x\n    one\n\n      two",
                "one\n  \n  two",
                "1: its indentation (4 spaces deeper), white space at line ends",
            ),
            ("one\n two", "\tone\n\t two", "0: its indentation (1 tab less deep)"),
            (
                "\tone\n\t\ttwo\nthree",
                "  one\n    two\nthree",
                "0: its indentation (a tab where it has 2 spaces)",
            ),
            ("    one\n  two", "\t\tone\n\ttwo", "0: its indentation (2 spaces where it has a tab)"),
            ("say \u{201c}one\u{201d}", "say \"one\"", "0: typographic punctuation"),
            (
                "  one \u{2013} two",
                "one - two",
                "0: its indentation (2 spaces deeper), typographic punctuation",
            ),
        ] {
            assert_eq!(found(file, wanted), expected, "{file:?} {wanted:?}");
        }
    }

    #[test]
    fn what_is_not_the_same_in_one_way_is_nowhere() {
        for (file, wanted) in [
            // Not one shift for all lines.
            ("    one\n  two", "one\ntwo"),
            ("\tone\n\t two", "    one\n     two"),
            // A brace alone says nothing.
            ("    }", "}"),
            ("one two", "one  two"),
            ("one\ntwo", "one\n\ntwo"),
            // One space is no tab.
            ("\tone", " one"),
            ("one", "one\ntwo"),
            ("", ""),
        ] {
            assert_eq!(found(file, wanted), "nowhere", "{file:?} {wanted:?}");
        }
    }

    #[test]
    fn two_places_are_none_and_a_stricter_one_comes_first() {
        assert_eq!(found("  one\nx\n    one", "one"), "[0, 2]");
        assert_eq!(found("  one\n  two\n    one\n  two", "one\ntwo"), "[0, 2]");
        assert_eq!(found("one \n    one", "one"), "0: white space at line ends");
    }

    #[test]
    fn a_line_that_the_shift_does_not_fit_is_not_guessed() {
        let shift = Shift::Out("  ".to_owned());
        assert_eq!(
            (shift.fitted("    a").as_deref(), shift.fitted(" a"), shift.fitted("").as_deref()),
            (Some("  a"), None, Some(""))
        );
        let tabs = Shift::Tabs(Width { spaces: 4, only: None });
        assert_eq!(
            (tabs.fitted("        a").as_deref(), tabs.fitted("   a"), tabs.fitted("\ta")),
            (Some("\t\ta"), None, None)
        );
    }
}
