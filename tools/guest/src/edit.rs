//! `edit`: replaces exact pieces of text.
//!
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

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// The most text of changed lines that is shown, bytes.
const TEXT: usize = 8 << 10;
/// The most edits one call makes.
const MOST: usize = 200;

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
                if let Some(near) = near::describe(&self.data, item.old) {
                    message.push(' ');
                    message.push_str(near.trim_end());
                }
                Failure::new(Code::Conflict, message).instead(
                    "Read the file and copy `old` exactly as it stands there, with its white space and without \
                     line numbers.",
                )
            }
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
        output.replaced = output.replaced.saturating_add(replaced);
        output.files.push(EditedFile { path: self.path.clone(), replaced });
    }
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
}

#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Missing,
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
        [] => return Err(Problem::Missing),
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
    Ok(Edited { data: out, parts })
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
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn args(path: &str, old: &str, new: &str, all: bool) -> Args {
        Args {
            path: Some(path.to_owned()),
            old: Some(old.to_owned()),
            new: Some(new.to_owned()),
            all,
            edits: None,
        }
    }

    /// Several edits: of each the path, the old and the new text.
    fn several(edits: &[(&str, &str, &str)]) -> Args {
        let item = |(path, old, new): &(&str, &str, &str)| Item {
            path: Some((*path).to_owned()),
            old: (*old).to_owned(),
            new: (*new).to_owned(),
            all: false,
        };
        Args { edits: Some(edits.iter().map(item).collect()), ..Args::default() }
    }

    fn run(files: &Memory, old: &str, new: &str, all: bool) -> Result<Output, Failure> {
        edit(files, &args("a.rs", old, new, all))
    }

    /// Edits a file of this content: the file afterwards, or the failure.
    fn edited(content: &str, old: &str, new: &str, all: bool) -> String {
        let files = Memory::new(&[("a.rs", content)]);
        match run(&files, old, new, all) {
            Ok(_) => files.text("a.rs"),
            Err(failure) => {
                assert_eq!(files.text("a.rs"), content, "a failed edit changes nothing");
                failure.to_string()
            }
        }
    }

    #[test]
    fn replaces_the_one_occurrence_and_shows_it() {
        let files = Memory::new(&[("a.rs", "one\ntwo\nthree\nfour\nfive\nsix\nseven\n")]).executable("a.rs");
        assert_eq!(
            run(&files, "four\n", "vier\nfünf\n", false),
            Ok(Output {
                text: "Replaced 1 occurrence in a.rs:\n     1\tone\n     2\ttwo\n     3\tthree\n     4\tvier\n     5\tfünf\n     6\tfive\n     7\tsix\n     8\tseven\n".to_owned(),
                path: "a.rs".to_owned(),
                replaced: 1,
                files: vec![EditedFile { path: "a.rs".to_owned(), replaced: 1 }],
            })
        );
        assert_eq!(files.show(), ["a.rs*: one\ntwo\nthree\nvier\nfünf\nfive\nsix\nseven\n"]);
    }

    #[test]
    fn several_occurrences_are_counted_and_placed() {
        assert_eq!(
            edited("x\ny\nx\nx y x\n", "x", "z", false),
            "Conflict: `old` occurs 4 times in a.rs, at lines 1, 3, 4, 4\n\
             => Add lines above or below to `old` until it is unique, or set `all` to replace every one."
        );
        assert_eq!(edited("x\ny\nx\nx y x\n", "x", "zz", true), "zz\ny\nzz\nzz y zz\n");
    }

    #[test]
    fn overlapping_occurrences_are_several() {
        assert!(edited("aaa", "aa", "b", false).contains("occurs 2 times"));
        assert_eq!(edited("aaa", "aa", "b", true), "ba");
    }

    #[test]
    fn a_missing_text_is_told_what_stands_there() {
        assert_eq!(
            edited("fn a() {\n\tlet x = 1;\n}\n", "    let x = 1;\n", "    let x = 2;\n", false),
            "Conflict: `old` does not occur in a.rs. With other indentation or spaces at line ends it stands at line 2:\n     2\t\tlet x = 1;\n\
             => Read the file and copy `old` exactly as it stands there, with its white space and without line numbers."
        );
        assert!(
            edited("a\n", "completely other", "x", false)
                .starts_with("Conflict: `old` does not occur in a.rs.\n=>")
        );
    }

    #[test]
    fn senseless_arguments_are_told() {
        assert!(edited("a", "", "x", false).starts_with("InvalidInput: `old` is empty"));
        assert!(edited("a", "a", "a", false).starts_with("InvalidInput: `old` and `new` are the same"));
        assert!(
            edited("a\nb", "a\nb", "a\r\nb", false)
                .starts_with("InvalidInput: `old` and `new` differ in nothing")
        );
        let files = Memory::of_bytes(&[("a.rs", b"\0a")]);
        assert_eq!(run(&files, "a", "b", false).unwrap_err().message, "a.rs is binary");
        let files = Memory::new(&[("a.rs/b", "")]);
        assert_eq!(run(&files, "a", "b", false).unwrap_err().message, "a.rs is a folder");
        assert_eq!(run(&Memory::new(&[]), "a", "b", false).unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn crlf_files_are_matched_with_lf_and_stay_crlf() {
        assert_eq!(edited("a\r\nb\r\nc\r\n", "a\nb\n", "a\nx\ny\n", false), "a\r\nx\r\ny\r\nc\r\n");
        assert_eq!(edited("a\r\nb\r\nc\r\n", "b", "x\ny", false), "a\r\nx\r\ny\r\nc\r\n");
        assert_eq!(edited("a\r\nb\r\n", "a\r\nb", "a\r\nc\r\nb", false), "a\r\nc\r\nb\r\n");
        assert_eq!(edited("a\r\nb", "b", "x\ny", false), "a\r\nx\r\ny");
        assert_eq!(edited("a\r\nb\r\nc", "\nb\n", "\n", false), "a\r\nc");
        assert_eq!(edited("a\nb\n", "a\r\nb\r\n", "x\r\nb\r\n", false), "x\nb\n");
    }

    #[test]
    fn mixed_endings_stay_where_they_are() {
        assert_eq!(edited("a\r\nb\nc\r\nd\n", "a\nb\nc\nd\n", "a\nb\nX\nd\n", false), "a\r\nb\nX\r\nd\n");
    }

    #[test]
    fn bytes_that_are_no_utf8_stay() {
        let files = Memory::of_bytes(&[("a.rs", b"\xe9t\xe9 = 1\n")]);
        run(&files, "= 1", "= 2", false).unwrap();
        assert_eq!(crate::Files::read(&files, "a.rs", None).unwrap().data, b"\xe9t\xe9 = 2\n");
    }

    #[test]
    fn replacing_all_shows_every_place() {
        let content: String = (1..=30).map(|n| if n % 10 == 0 { "x\n" } else { "-\n" }).collect();
        let files = Memory::new(&[("a.rs", &content)]);
        let output = run(&files, "x\n", "x1\nx2\n", true).unwrap();
        assert_eq!(output.replaced, 3);
        assert!(
            output.text.contains("    10\tx1\n    11\tx2\n")
                && output.text.contains("    32\tx1\n    33\tx2\n"),
            "{}",
            output.text
        );
    }

    #[test]
    fn several_edits_follow_each_other_and_are_shown_where_they_end() {
        let content: String = (1..=20).map(|n| format!("l{n}\n")).collect();
        let files = Memory::new(&[("a.rs", &content), ("b.rs", "one\n")]);
        let edits = several(&[
            ("a.rs", "l15\n", "L15\n"),
            ("b.rs", "one", "two"),
            ("./a.rs", "l1\nl2\n", "new\nl1\nl2\n"),
            ("a.rs", "L15\n", "fifteen\n"),
        ]);
        let output = edit(&files, &edits).unwrap();
        assert_eq!(
            output.text,
            "Replaced 3 occurrences in a.rs:\n     1\tnew\n     2\tl1\n     3\tl2\n     4\tl3\n   ...\n    13\tl12\n    14\tl13\n    15\tl14\n\
             \u{20}   16\tfifteen\n    17\tl16\n    18\tl17\n    19\tl18\nReplaced 1 occurrence in b.rs:\n     1\ttwo\n"
        );
        assert_eq!((output.path.as_str(), output.replaced, output.files.len()), ("a.rs", 4, 2));
        assert_eq!(*files.log.borrow(), ["put a.rs, put b.rs"]);
        assert_eq!(files.text("b.rs"), "two\n");
    }

    #[test]
    fn one_edit_that_fails_undoes_all() {
        let mut files = Memory::new(&[("a", "1\n"), ("b", "2\n")]);
        let before = files.show();
        for (edits, message) in [
            (
                several(&[("a", "1", "one"), ("b", "3", "three")]),
                "edit 2 of 2 (nothing was changed): `old` does not occur in b.",
            ),
            (
                several(&[("a", "1", "one"), ("a", "1", "uno")]),
                "edit 2 of 2 (nothing was changed): `old` does not occur in a.",
            ),
            (several(&[("a", "1", "x"), ("", "", "")]), "edit 2 of 2 (nothing was changed): . is a folder"),
            (
                several(&[("a", "1", "x"), ("a", "x", "1")]),
                "the edits take each other back: nothing would change",
            ),
        ] {
            let failure = edit(&files, &edits).unwrap_err();
            assert!(failure.message.starts_with(message), "{failure}");
            assert_eq!(files.show(), before);
        }
        files.denied.push("b".to_owned());
        let edits = several(&[("a", "1", "one"), ("b", "2", "two")]);
        assert_eq!(edit(&files, &edits).unwrap_err().code, Code::Denied);
        assert_eq!(files.show(), before);
    }

    #[test]
    fn either_form_of_arguments_and_not_both() {
        let files = Memory::new(&[("a", "1\n")]);
        let text = |text: &str| Some(text.to_owned());
        let item = Item { old: "1".to_owned(), new: "2".to_owned(), ..Item::default() };
        for (args, message) in [
            (Args::default(), "`path` is missing"),
            (Args { path: text("a"), ..Args::default() }, "`old` is missing"),
            (Args { path: text("a"), old: text("1"), ..Args::default() }, "`new` is missing"),
            (Args { edits: Some(vec![]), ..Args::default() }, "`edits` is empty"),
            (Args { edits: Some(vec![item.clone()]), ..Args::default() }, "edit 1 of 1 names no `path`"),
            (
                Args { old: text("1"), edits: Some(vec![item.clone()]), ..Args::default() },
                "`old`, `new` and `all` cannot stand beside `edits`",
            ),
            (
                Args { path: text("a"), edits: Some(vec![item.clone(); 201]), ..Args::default() },
                "201 edits at once, more than 200",
            ),
        ] {
            assert_eq!(edit(&files, &args).unwrap_err().message, message);
        }
        edit(&files, &Args { path: text("a"), edits: Some(vec![item]), ..Args::default() }).unwrap();
        assert_eq!(files.text("a"), "2\n");
    }

    #[test]
    fn a_file_changed_meanwhile_is_not_overwritten() {
        struct Racing(Memory);
        impl crate::Files for Racing {
            fn stat(&self, path: &str) -> Result<crate::files::Info, Failure> {
                self.0.stat(path)
            }
            fn read(
                &self,
                path: &str,
                range: Option<crate::files::Range>,
            ) -> Result<crate::files::Content, Failure> {
                let content = self.0.read(path, range)?;
                self.0.write(path, b"theirs\n", Expected::Any)?;
                Ok(content)
            }
        }
        impl Changes for Racing {
            fn write(&self, path: &str, data: &[u8], expected: Expected) -> Result<(), Failure> {
                self.0.write(path, data, expected)
            }
            fn commit(&self, changes: Vec<crate::files::Change>) -> Result<(), Failure> {
                self.0.commit(changes)
            }
        }
        let racing = Racing(Memory::new(&[("a.rs", "ours\n")]));
        assert_eq!(edit(&racing, &args("a.rs", "ours", "mine", false)).unwrap_err().code, Code::Conflict);
        assert_eq!(racing.0.text("a.rs"), "theirs\n");
    }

    proptest::proptest! {
        #[test]
        fn replacing_is_what_str_replace_does(content in "[ab\n]{0,40}", old in "[ab\n]{1,3}", new in "[abc\n]{0,4}") {
            match replace(content.as_bytes(), &old, &new, true) {
                Ok(edited) => proptest::prop_assert_eq!(edited.data, content.replace(&old, &new).into_bytes()),
                Err(Problem::Missing) => proptest::prop_assert!(!content.contains(&old)),
                Err(Problem::Same) => proptest::prop_assert_eq!(old, new),
                Err(Problem::Several(_)) => proptest::prop_assert!(false),
            }
        }

        #[test]
        fn crlf_everywhere_commutes_with_editing(content in "[ab\n]{0,40}", old in "[ab\n]{1,3}", new in "[abc\n]{0,4}") {
            let crlf = content.replace('\n', "\r\n");
            // Without any line ending the file does not say which it uses.
            if let (true, Ok(a), Ok(b)) = (content.contains('\n'), replace(content.as_bytes(), &old, &new, true), replace(crlf.as_bytes(), &old, &new, true)) {
                let a = String::from_utf8(a.data).unwrap().replace('\n', "\r\n");
                proptest::prop_assert_eq!(a.into_bytes(), b.data);
            }
        }

        #[test]
        fn no_input_panics(content in ".{0,60}", old in ".{0,8}", new in ".{0,8}", all: bool) {
            let _ = edited(&content, &old, &new, all);
        }
    }
}
