//! `edit`: replaces pieces of text, given exactly or but for white space and typographic punctuation.
//!
//! A text that does not occur is looked for once more by whole lines ([`loose`]); what was repaired so is told.
//! Line endings do not take part in the comparison: a model writes LF whatever the file has. Only what
//! differs between the old and the new text is replaced, so what stands around it keeps its bytes, and new
//! lines get the ending of the lines beside them.

use std::fmt::Write;

use imara_diff::{Algorithm, Diff, InternedInput};

use crate::files::{Change, Expected, Kind};
use crate::lines;
use crate::near;
use crate::path::{normal, shown};
use crate::{Changes, Code, Failure};

mod loose;

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// The most text of changed lines that is shown, bytes.
const TEXT: usize = 8 << 10;
/// The most edits one call makes.
const MOST: usize = 200;
/// Repairs that are told of one file.
const REPAIRS: usize = 20;
/// A new text that is shorter stands in many files by chance, bytes.
const TELLING: usize = 12;

/// What to replace: one piece of text, or several edits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file; of several edits the one of those that name none.
    pub path: Option<String>,
    /// The text to replace.
    pub old: Option<String>,
    /// The text to put there.
    pub new: Option<String>,
    /// Whether to replace every occurrence.
    pub all: bool,
    /// Several edits instead.
    pub edits: Option<Vec<Item>>,
}

/// One of several edits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// The file.
    pub path: Option<String>,
    /// The text to replace.
    pub old: String,
    /// The text to put there.
    pub new: String,
    /// Whether to replace every occurrence.
    pub all: bool,
}

/// A file that was edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedFile {
    /// The path as the workspace spells it.
    pub path: String,
    /// How many occurrences were replaced.
    pub replaced: u32,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The changed lines with their numbers and some context.
    pub text: String,
    /// The path as the workspace spells it; of several files the first one's.
    pub path: String,
    /// How many occurrences were replaced in all.
    pub replaced: u32,
    /// Each file, in the order it was first named.
    pub files: Vec<EditedFile>,
}

/// Makes every edit or none.
pub fn edit(files: &impl Changes, args: &Args) -> Result<Output, Failure> {
    let items = items(args)?;
    let mut opened: Vec<Opened> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let made = open(files, &mut opened, &item.path).and_then(|file| file.edit(item));
        made.map_err(|mut failure| {
            if items.len() > 1 {
                failure.message = format!(
                    "edit {} of {} (nothing was changed): {}",
                    index + 1,
                    items.len(),
                    failure.message
                );
            }
            failure
        })?;
    }
    let changed: Vec<&Opened> = opened.iter().filter(|file| file.data != file.original).collect();
    match changed.as_slice() {
        [] => {
            return Err(Failure::new(
                Code::InvalidInput,
                "the edits take each other back: nothing would change",
            )
            .instead("Give the text as it is to be in the end as `new`."));
        }
        [file] => files.write(&file.path, &file.data, file.expected.clone())?,
        several => files.commit(several.iter().map(|file| file.change()).collect())?,
    }
    let mut output = Output { path: opened[0].path.clone(), ..Output::default() };
    for file in &opened {
        file.tell(&mut output);
    }
    Ok(output)
}

/// One edit, as either form of the arguments gives it.
struct One<'a> {
    path: String,
    old: &'a str,
    new: &'a str,
    all: bool,
}

fn items(args: &Args) -> Result<Vec<One<'_>>, Failure> {
    const FORMS: &str = "Give `path`, `old` and `new` for one edit, or a list of edits as `edits`.";
    let invalid = |message: String| Err(Failure::new(Code::InvalidInput, message).instead(FORMS));
    let Some(edits) = &args.edits else {
        return match (&args.path, &args.old, &args.new) {
            (Some(path), Some(old), Some(new)) => {
                Ok(vec![One { path: normal(path), old, new, all: args.all }])
            }
            (None, ..) => invalid("`path` is missing".to_owned()),
            (_, None, _) => invalid("`old` is missing".to_owned()),
            (.., None) => invalid("`new` is missing".to_owned()),
        };
    };
    if args.old.is_some() || args.new.is_some() || args.all {
        return invalid("`old`, `new` and `all` cannot stand beside `edits`".to_owned());
    }
    if edits.is_empty() {
        return invalid("`edits` is empty".to_owned());
    }
    if edits.len() > MOST {
        let message = format!("{} edits at once, more than {MOST}", edits.len());
        return Err(Failure::new(Code::TooLarge, message).instead("Make them in several calls."));
    }
    let mut items = Vec::with_capacity(edits.len());
    for (index, edit) in edits.iter().enumerate() {
        let Some(path) = edit.path.as_ref().or(args.path.as_ref()) else {
            return invalid(format!("edit {} of {} names no `path`", index + 1, edits.len()));
        };
        items.push(One { path: normal(path), old: &edit.old, new: &edit.new, all: edit.all });
    }
    Ok(items)
}

/// A file that is being edited.
struct Opened {
    path: String,
    original: Vec<u8>,
    data: Vec<u8>,
    expected: Expected,
    /// What the last edit changed.
    parts: Vec<(usize, usize)>,
    edits: u32,
    replaced: usize,
    /// What of the old texts did not fit exactly, in words.
    repairs: Vec<String>,
}

/// Returns the file of a path, read when it is named for the first time.
fn open<'a>(
    files: &impl Changes,
    opened: &'a mut Vec<Opened>,
    path: &str,
) -> Result<&'a mut Opened, Failure> {
    let index = match opened.iter().position(|file| file.path == path) {
        Some(index) => index,
        None => {
            opened.push(Opened::read(files, path)?);
            opened.len() - 1
        }
    };
    Ok(&mut opened[index])
}

impl Opened {
    fn read(files: &impl Changes, path: &str) -> Result<Self, Failure> {
        let name = shown(path);
        let info = files.stat(path)?;
        if info.kind != Kind::File {
            let what = info.kind.in_words();
            return Err(Failure::new(Code::InvalidInput, format!("{name} is {what}"))
                .instead("Name a file; `list` shows what there is."));
        }
        let content = files.read(path, None)?;
        if lines::is_binary(&content.data) {
            return Err(Failure::new(Code::InvalidInput, format!("{name} is binary"))
                .instead("`edit` changes text files only."));
        }
        Ok(Self {
            path: path.to_owned(),
            data: content.data.clone(),
            original: content.data,
            expected: content.version.map_or(Expected::Any, Expected::Version),
            parts: Vec::new(),
            edits: 0,
            replaced: 0,
            repairs: Vec::new(),
        })
    }

    fn edit(&mut self, item: &One<'_>) -> Result<(), Failure> {
        let name = shown(&self.path);
        if item.old.is_empty() {
            return Err(Failure::new(Code::InvalidInput, "`old` is empty").instead(
                "To insert, give a line that is there as `old` and the same line with the insertion as `new`; \
                 to make a file, use `write`.",
            ));
        }
        if item.old == item.new {
            return Err(Failure::new(Code::InvalidInput, "`old` and `new` are the same")
                .instead("Give the text as it is to be as `new`."));
        }
        let edited = replace(&self.data, item.old, item.new, item.all).map_err(|problem| match problem {
            Problem::Missing => {
                let mut message = format!("`old` does not occur in {name}.");
                if let Some(at) = standing(&self.data, item.new) {
                    let _ = write!(message, " `new` stands there already, at line {}: was this edit made before?", at + 1);
                }
                if let Some(near) = near::describe(&self.data, item.old, "`old`") {
                    message.push(' ');
                    message.push_str(near.trim_end());
                }
                Failure::new(Code::Conflict, message).instead(
                    "Read the file and copy `old` exactly as it stands there, with its white space and without \
                     line numbers.",
                )
            }
            Problem::There(at) => Failure::new(
                Code::InvalidInput,
                format!(
                    "`new` is what stands in {name} at line {} already, but for white space or punctuation that only \
                     `old` has",
                    at + 1
                ),
            )
            .instead("Give the text as it is to be as `new`."),
            Problem::Several(places) => Failure::new(
                Code::Conflict,
                format!("`old` occurs {} times in {name}, at {}", places.len(), near::line_list(&places)),
            )
            .instead("Add lines above or below to `old` until it is unique, or set `all` to replace every one."),
            Problem::Same => Failure::new(
                Code::InvalidInput,
                "`old` and `new` differ in nothing but line endings, and those of the file are kept".to_owned(),
            )
            .instead("Give the text as it is to be as `new`."),
        })?;
        self.replaced += edited.parts.len();
        self.edits += 1;
        self.data = edited.data;
        self.parts = edited.parts;
        self.repairs.extend(edited.repair);
        Ok(())
    }

    fn change(&self) -> Change {
        Change::Put { path: self.path.clone(), data: self.data.clone(), expected: self.expected.clone() }
    }

    fn tell(&self, output: &mut Output) {
        let name = shown(&self.path);
        let replaced = u32::try_from(self.replaced).unwrap_or(u32::MAX);
        let times = if replaced == 1 { "1 occurrence".to_owned() } else { format!("{replaced} occurrences") };
        let left = TEXT.saturating_sub(output.text.len());
        // Writing to a String cannot fail.
        let _ = if left == 0 {
            writeln!(output.text, "Replaced {times} in {name}.")
        } else {
            // Later edits move what earlier ones changed.
            let parts =
                if self.edits == 1 { &self.parts } else { &changed_lines(&self.original, &self.data) };
            let snippet = lines::snippet(&self.data, parts, CONTEXT, left);
            write!(output.text, "Replaced {times} in {name}:\n{snippet}")
        };
        for repair in self.repairs.iter().take(REPAIRS) {
            let _ = writeln!(output.text, "[{repair}]");
        }
        if self.repairs.len() > REPAIRS {
            let _ = writeln!(output.text, "[{} more repairs]", self.repairs.len() - REPAIRS);
        }
        output.replaced = output.replaced.saturating_add(replaced);
        output.files.push(EditedFile { path: self.path.clone(), replaced });
    }
}

/// Returns the line where a new text stands already, from 0; none where it says too little to tell.
fn standing(data: &[u8], new: &str) -> Option<usize> {
    let new = new.replace("\r\n", "\n");
    if new.trim().len() < TELLING {
        return None;
    }
    let text = Unified::new(data);
    memchr::memmem::find(&text.bytes, new.as_bytes()).map(|at| text.line(at))
}

/// Returns the lines of a new content that are not as in the old one: first, from 1, and the one behind the
/// last.
fn changed_lines(old: &[u8], new: &[u8]) -> Vec<(usize, usize)> {
    let mut input = InternedInput::default();
    input.update_before(old.split_inclusive(|byte| *byte == b'\n'));
    input.update_after(new.split_inclusive(|byte| *byte == b'\n'));
    let diff = Diff::compute(Algorithm::Histogram, &input);
    diff.hunks().map(|hunk| (hunk.after.start as usize + 1, hunk.after.end as usize + 1)).collect()
}

/// An edited file.
#[derive(Debug, PartialEq, Eq)]
struct Edited {
    data: Vec<u8>,
    /// The changed lines: first, from 1, and the one behind the last.
    parts: Vec<(usize, usize)>,
    /// How the old text did not fit exactly, in words.
    repair: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Missing,
    /// What would change is as it is to be, at this line, from 0.
    There(usize),
    /// The lines where it occurs, from 0.
    Several(Vec<usize>),
    /// Nothing would change.
    Same,
}

fn replace(data: &[u8], old: &str, new: &str, all: bool) -> Result<Edited, Problem> {
    let text = Unified::new(data);
    let old = old.replace("\r\n", "\n");
    let new = new.replace("\r\n", "\n");
    let places = occurrences(&text.bytes, old.as_bytes(), all);
    match places.as_slice() {
        [] => return loose::replace(data, &old, &new),
        [_] => {}
        _ if all => {}
        places => return Err(Problem::Several(places.iter().map(|&at| text.line(at)).collect())),
    }
    if old == new {
        return Err(Problem::Same);
    }
    let prefix = common_prefix(old.as_bytes(), new.as_bytes());
    let suffix =
        common_prefix_of(old.as_bytes()[prefix..].iter().rev(), new.as_bytes()[prefix..].iter().rev());
    let inserted = &new.as_bytes()[prefix..new.len() - suffix];
    let mut out = Vec::with_capacity(data.len() + inserted.len());
    let mut parts = Vec::new();
    let mut kept = 0;
    let mut line = 1;
    for at in places {
        let from = text.original(at + prefix);
        let to = text.original(at + old.len() - suffix);
        line += newlines(&data[kept..from]);
        out.extend_from_slice(&data[kept..from]);
        let crlf = text.has_crlf_near(at);
        let first = line;
        for piece in inserted.split_inclusive(|&byte| byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(text) if crlf => {
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                }
                _ => out.extend_from_slice(piece),
            }
        }
        line += newlines(inserted);
        parts.push((first, line + 1));
        kept = to;
    }
    out.extend_from_slice(&data[kept..]);
    Ok(Edited { data: out, parts, repair: None })
}

/// A file with every line ending as LF, and the way back to its own offsets.
struct Unified {
    bytes: Vec<u8>,
    /// Offsets in `bytes` of the newlines that were CRLF.
    crlf: Vec<usize>,
    newlines: Vec<usize>,
}

impl Unified {
    fn new(data: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(data.len());
        let (mut crlf, mut newlines) = (Vec::new(), Vec::new());
        for line in lines::split(data) {
            bytes.extend_from_slice(line.text);
            if line.ending == "\r\n" {
                crlf.push(bytes.len());
            }
            if !line.ending.is_empty() {
                newlines.push(bytes.len());
                bytes.push(b'\n');
            }
        }
        Self { bytes, crlf, newlines }
    }

    /// Returns the offset in the file; that of a CRLF is the carriage return's.
    fn original(&self, offset: usize) -> usize {
        offset + self.crlf.partition_point(|&at| at < offset)
    }

    /// Returns the line of an offset, from 0.
    fn line(&self, offset: usize) -> usize {
        self.newlines.partition_point(|&at| at < offset)
    }

    /// Whether the first line ending from an offset on is CRLF; where there is none, the last before it.
    fn has_crlf_near(&self, offset: usize) -> bool {
        let next = self.newlines.partition_point(|&at| at < offset);
        let nearest = self.newlines.get(next).or_else(|| self.newlines.last());
        nearest.is_some_and(|at| self.crlf.binary_search(at).is_ok())
    }
}

/// Finds a text: for replacing all, places that do not overlap; else every place, since overlapping ones
/// are as ambiguous as others.
fn occurrences(text: &[u8], wanted: &[u8], all: bool) -> Vec<usize> {
    let finder = memchr::memmem::Finder::new(wanted);
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| finder.find(rest)) {
        places.push(from + at);
        from += at + if all { wanted.len() } else { 1 };
    }
    places
}

fn newlines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    common_prefix_of(a.iter(), b.iter())
}

fn common_prefix_of<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
