//! Finds where a file's hunks belong and replaces the lines.

use crate::lines::{self, plain};
use crate::{Code, Failure, near};

use super::parse::{Hunk, HunkLine};

/// A patched file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) data: Vec<u8>,
    pub(super) added: usize,
    pub(super) removed: usize,
    /// Remarks on hunks whose lines fitted only loosely.
    pub(super) loose: Vec<String>,
}

/// How well lines fit, from the best.
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
    for (index, hunk) in hunks.iter().enumerate() {
        let place = place(name, body, &texts, done, hunk, index + 1)?;
        if place.fit != Fit::Exact {
            applied.loose.push(format!(
                "hunk {} of {name} fitted at line {} only but for white space or punctuation",
                index + 1,
                place.at + 1
            ));
        }
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
                    out.add(text, beside.map_or(usual, |line| line.ending));
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
    fit: Fit,
}

fn place(
    name: &str,
    body: &[u8],
    texts: &[&str],
    done: usize,
    hunk: &Hunk<'_>,
    number: usize,
) -> Result<Place, Failure> {
    let hunk_name = format!("hunk {number} of {name} (line {} of the patch)", hunk.at);
    let mut start = done;
    for header in &hunk.headers {
        let Some((at, _)) = seek(texts, &[header], start, &Hunk::default()) else {
            let elsewhere = seek(texts, &[header], 0, &Hunk::default());
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
        return Ok(Place { at: at.max(done), used, fit: Fit::Exact });
    }
    loop {
        if let Some((at, fit)) = seek(texts, &old(used), start, hunk) {
            return Ok(Place { at, used, fit });
        }
        match hunk.lines[..used].last() {
            Some(HunkLine::Context(text)) if text.trim().is_empty() && old(used).len() > 1 => used -= 1,
            _ => break,
        }
    }
    let text = wanted.join("\n");
    if let Some((at, _)) = seek(texts, &wanted, 0, &Hunk::default()) {
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

fn with_near(mut message: String, body: &[u8], text: &str) -> Failure {
    if let Some(near) = near::describe(body, text) {
        message.push_str(". ");
        message.push_str(near.trim_end());
    }
    Failure::new(Code::Conflict, message)
}

/// Finds lines at or behind `start`, the best fit first: at the end of the file when they should be there, else
/// nearest to where the hunk says, else the first.
fn seek(texts: &[&str], wanted: &[&str], start: usize, hunk: &Hunk<'_>) -> Option<(usize, Fit)> {
    let last = texts.len().checked_sub(wanted.len())?;
    let fits =
        |at: usize, fit: Fit| wanted.iter().zip(&texts[at..]).all(|(wanted, text)| fit.equal(text, wanted));
    if hunk.end_of_file && last >= start {
        for fit in Fit::ALL {
            if fits(last, fit) {
                return Some((last, fit));
            }
        }
    }
    Fit::ALL.into_iter().find_map(|fit| {
        let mut places = (start..=last).filter(|&at| fits(at, fit));
        let place = match hunk.start {
            Some(said) => places.min_by_key(|at| at.abs_diff(said)),
            None => places.next(),
        };
        place.map(|at| (at, fit))
    })
}
