//! Finds where a file's hunks belong and replaces the lines.

use crate::lines::{self, plain};
use crate::repair::{self, Repair, Search};
use crate::{Code, Failure, near};

use super::parse::{Hunk, HunkLine};

/// A patched file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) data: Vec<u8>,
    pub(super) added: usize,
    pub(super) removed: usize,
    /// Remarks on hunks that were repaired, or fitted at several places.
    pub(super) loose: Vec<String>,
}

/// How well a header fits a line, from the best. It only says where to look: the hunk's own lines are compared
/// more strictly ([`repair`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Exact,
    /// But for white space at line ends.
    End,
    /// But for white space at both ends.
    Trimmed,
    /// But for typographic punctuation, too.
    Plain,
}

impl Fit {
    const ALL: [Self; 4] = [Self::Exact, Self::End, Self::Trimmed, Self::Plain];

    fn equal(self, a: &str, b: &str) -> bool {
        match self {
            Self::Exact => a == b,
            Self::End => a.trim_end() == b.trim_end(),
            Self::Trimmed => a.trim() == b.trim(),
            Self::Plain => plain(a) == plain(b),
        }
    }
}

/// Applies hunks, which must be in the file's order.
pub(super) fn apply(name: &str, data: &[u8], hunks: &[Hunk<'_>]) -> Result<Applied, Failure> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let (mark, body) = match data.strip_prefix(MARK) {
        Some(body) => (MARK, body),
        None => (&[][..], data),
    };
    let split = lines::split(body);
    let texts: Vec<_> = split.iter().map(|line| String::from_utf8_lossy(line.text)).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let usual = split.iter().map(|line| line.ending).find(|ending| !ending.is_empty()).unwrap_or("\n");

    let mut applied = Applied { data: mark.to_vec(), added: 0, removed: 0, loose: Vec::new() };
    let mut out = Out { data: &mut applied.data, usual };
    let mut done = 0;
    let mut drift = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let place = place(name, body, &texts, Before { done, drift }, hunk, index + 1)?;
        drift = hunk.start.map_or(drift, |said| place.at.cast_signed() - said.cast_signed());
        applied
            .loose
            .extend(place.remark.as_ref().map(|remark| format!("hunk {} of {name} {remark}", index + 1)));
        for line in &split[done..place.at] {
            out.keep(line);
        }
        let mut at = place.at;
        for line in &hunk.lines[..place.used] {
            match line {
                HunkLine::Context(_) => {
                    out.keep(&split[at]);
                    at += 1;
                }
                HunkLine::Remove(_) => {
                    at += 1;
                    applied.removed += 1;
                }
                HunkLine::Add(text) => {
                    // Beside the lines it stands among, in a file of mixed endings.
                    let beside = if at > 0 { split.get(at - 1) } else { split.first() };
                    let fitted = place.repair.as_ref().and_then(|repair| repair.fitted(text));
                    out.add(fitted.as_deref().unwrap_or(text), beside.map_or(usual, |line| line.ending));
                    applied.added += 1;
                }
            }
        }
        done = at;
        if hunk.unended && done == split.len() {
            out.unend();
        }
    }
    for line in &split[done..] {
        out.keep(line);
    }
    Ok(applied)
}

/// The new content.
struct Out<'a> {
    data: &'a mut Vec<u8>,
    usual: &'static str,
}

impl Out<'_> {
    fn keep(&mut self, line: &lines::Line<'_>) {
        self.data.extend_from_slice(line.text);
        self.data.extend_from_slice(line.ending.as_bytes());
    }

    fn add(&mut self, text: &str, ending: &'static str) {
        // The line above was the last and had no newline.
        if !matches!(self.data.as_slice(), [] | [0xef, 0xbb, 0xbf] | [.., b'\n']) {
            self.data.extend_from_slice(self.usual.as_bytes());
        }
        self.data.extend_from_slice(text.as_bytes());
        let ending = if ending.is_empty() { self.usual } else { ending };
        self.data.extend_from_slice(ending.as_bytes());
    }

    fn unend(&mut self) {
        let ending = if self.data.ends_with(b"\r\n") { 2 } else { usize::from(self.data.ends_with(b"\n")) };
        self.data.truncate(self.data.len() - ending);
    }
}

/// Where a hunk belongs.
struct Place {
    /// The first line it replaces, from 0.
    at: usize,
    /// How many of its lines take part: empty context at its end may be left out.
    used: usize,
    /// How its lines fit where they do not exactly.
    repair: Option<Repair>,
    /// What is told of that.
    remark: Option<String>,
}

impl Place {
    fn exact(at: usize, used: usize) -> Self {
        Self { at, used, repair: None, remark: None }
    }
}

/// What the hunks before one tell of it.
#[derive(Clone, Copy)]
struct Before {
    /// The line behind the last one, from 0.
    done: usize,
    /// How far the last one stood from where it says.
    drift: isize,
}

fn place(
    name: &str,
    body: &[u8],
    texts: &[&str],
    before: Before,
    hunk: &Hunk<'_>,
    number: usize,
) -> Result<Place, Failure> {
    let Before { done, drift } = before;
    let hunk_name = format!("hunk {number} of {name} (line {} of the patch)", hunk.at);
    let mut start = done;
    for header in &hunk.headers {
        let Some((at, _)) = seek(texts, &[header], start) else {
            let elsewhere = seek(texts, &[header], 0);
            let message = match elsewhere {
                Some((at, _)) => format!(
                    "{hunk_name}: its header `{header}` stands at line {}, which is before the hunk above it",
                    at + 1
                ),
                None => format!("{hunk_name}: there is no line `{header}`, which its @@ names"),
            };
            return Err(with_near(message, body, header).instead(
                "Hunks must be in the file's order, and what follows @@ must be a whole line of the file that \
                 stands above the change; or leave it away.",
            ));
        };
        start = at + 1;
    }

    let old = |used: usize| -> Vec<&str> {
        hunk.lines[..used]
            .iter()
            .filter_map(|line| match line {
                HunkLine::Context(text) | HunkLine::Remove(text) => Some(*text),
                HunkLine::Add(_) => None,
            })
            .collect()
    };
    let mut used = hunk.lines.len();
    let wanted = old(used);
    if wanted.is_empty() {
        // Nothing but new lines: where it says, else below the header, else at the end.
        let at = match hunk.start {
            Some(at) => at.min(texts.len()),
            None if hunk.headers.is_empty() || hunk.end_of_file => texts.len(),
            None => start,
        };
        return Ok(Place::exact(at.max(done), used));
    }
    // Exactly as they are, with all of the hunk's lines first; then with what may be repaired.
    let mut shorter = vec![used];
    while let Some(HunkLine::Context(text)) = hunk.lines[..used].last()
        && text.trim().is_empty()
        && old(used).len() > 1
    {
        used -= 1;
        shorter.push(used);
    }
    for &used in &shorter {
        let places = exact(texts, &old(used), start);
        if !places.is_empty() {
            let last = texts.len() - old(used).len();
            return choose(&hunk_name, &places, last, Named { hunk, number, drift }, used);
        }
    }
    for &used in &shorter {
        match repair::search(texts, &old(used), start) {
            Search::Once(repair) => return repaired(&hunk_name, body, &old(used), repair, hunk, used),
            // Which of them is meant cannot be told.
            Search::Several(_) => break,
            Search::Nowhere => {}
        }
    }
    let text = wanted.join("\n");
    if let Some((at, _)) = seek(texts, &wanted, 0).filter(|(at, _)| *at < start) {
        return Err(Failure::new(
            Code::Conflict,
            format!(
                "{hunk_name}: its lines stand at line {}, which is before the {} above",
                at + 1,
                if start > done { "header" } else { "hunk" }
            ),
        )
        .instead("Put the hunks in the file's order, and name as @@ header a line above the change."));
    }
    Err(with_near(format!("{hunk_name}: its context and removed lines do not occur"), body, &text).instead(
        "Read the file and give the context and the removed lines exactly as they stand there; nothing was \
         changed.",
    ))
}

/// What names one of several places.
#[derive(Clone, Copy)]
struct Named<'a> {
    hunk: &'a Hunk<'a>,
    /// Which of the file's hunks it is, from 1.
    number: usize,
    drift: isize,
}

/// Chooses among places where a hunk's lines stand exactly, the last one that is possible being `last`: the one
/// its line numbers or its end of file name; of several others none by nearness. Without line numbers it is
/// the first, as the form has it.
fn choose(
    name: &str,
    places: &[usize],
    last: usize,
    named: Named<'_>,
    used: usize,
) -> Result<Place, Failure> {
    let Named { hunk, number, drift } = named;
    if hunk.end_of_file && places.contains(&last) {
        return Ok(Place::exact(last, used));
    }
    let first = Place::exact(places[0], used);
    match hunk.start {
        _ if places.len() == 1 => Ok(first),
        // As far off as the hunk above it, else where it says.
        Some(said) => match [said.saturating_add_signed(drift), said].iter().find(|at| places.contains(at)) {
            Some(&at) => Ok(Place::exact(at, used)),
            None => Err(Failure::new(
                Code::Conflict,
                format!(
                    "{name}: its lines stand at {}, and not at line {}, which it names",
                    near::line_list(places),
                    said + 1
                ),
            )
            .instead(
                "Correct the line numbers of its @@, or give more lines of context; nothing was changed.",
            )),
        },
        None if hunk.headers.is_empty() && number == 1 => {
            let remark = format!(
                "fits at {}; the first was taken, an @@ header or more context tells them apart",
                near::line_list(places)
            );
            Ok(Place { remark: Some(remark), ..first })
        }
        None => Ok(first),
    }
}

/// Puts a hunk where its lines stand but for what can be repaired, and nowhere else.
fn repaired(
    name: &str,
    body: &[u8],
    old: &[&str],
    repair: Repair,
    hunk: &Hunk<'_>,
    used: usize,
) -> Result<Place, Failure> {
    let unfit = hunk.lines[..used].iter().find_map(|line| match line {
        HunkLine::Add(text) if repair.fitted(text).is_none() => Some(*text),
        _ => None,
    });
    if let Some(unfit) = unfit {
        let (unfit, _) = lines::cut(unfit, 200);
        let message = format!(
            "{name}: the indentation of its lines is not the file's, and `{unfit}` does not tell what it is to have there"
        );
        return Err(with_near(message, body, &old.join("\n"))
            .instead("Give every line with the indentation of the file; nothing was changed."));
    }
    let alike = if repair.indents() { "; its new lines were indented like the file" } else { "" };
    let differences = repair.differences("the patch").join(", ");
    let remark = format!("was repaired: it fitted at line {} but for {differences}{alike}", repair.at + 1);
    Ok(Place { at: repair.at, used, repair: Some(repair), remark: Some(remark) })
}

fn with_near(mut message: String, body: &[u8], text: &str) -> Failure {
    if let Some(near) = near::describe(body, text, "the patch") {
        message.push_str(". ");
        message.push_str(near.trim_end());
    }
    Failure::new(Code::Conflict, message)
}

/// Returns every place at or behind `start` where lines stand exactly.
fn exact(texts: &[&str], wanted: &[&str], start: usize) -> Vec<usize> {
    let Some(last) = texts.len().checked_sub(wanted.len()) else { return Vec::new() };
    (start..=last).filter(|&at| texts[at..at + wanted.len()] == *wanted).collect()
}

/// Finds the first place at or behind `start` where lines stand, the best fit first.
fn seek(texts: &[&str], wanted: &[&str], start: usize) -> Option<(usize, Fit)> {
    let last = texts.len().checked_sub(wanted.len())?;
    let fits =
        |at: usize, fit: Fit| wanted.iter().zip(&texts[at..]).all(|(wanted, text)| fit.equal(text, wanted));
    Fit::ALL.into_iter().find_map(|fit| (start..=last).find(|&at| fits(at, fit)).map(|at| (at, fit)))
}
