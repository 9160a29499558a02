//! `search`: matching lines of files, by ripgrep's crates.

use std::fmt::Write;
use std::io;

use grep_matcher::{LineTerminator, Matcher};
use grep_regex::{ErrorKind, RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use regex_syntax::ParserBuilder;

use crate::files::{Batch, Kind, WalkOptions};
use crate::lines;
use crate::path::{normal, shown};
use crate::prefilter::Prefilter;
use crate::types::Types;
use crate::{Code, Failure, Walks};

/// Matching lines shown when the call does not say how many.
const DEFAULT_LIMIT: u32 = 100;
/// The most matching lines one call shows.
pub(crate) const MOST: u32 = 10_000;
/// The most lines of context.
const MOST_CONTEXT: u32 = 20;
/// The most text one call shows, bytes.
pub(crate) const TEXT: usize = 256 << 10;
/// Characters of one line that are shown.
const LINE_CHARS: usize = 500;
/// Lines of one match that are shown.
const MATCH_LINES: usize = 20;
/// Larger files are named instead of searched, bytes.
const LARGEST: u64 = 8 << 20;
/// How much of a file is looked at before it counts as text, bytes; where a line matches, all of it is.
const SNIFF: usize = 1 << 10;
/// The largest compiled regular expression, bytes.
const PROGRAM: usize = 16 << 20;

/// Whether case matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Case {
    /// It does.
    #[default]
    Sensitive,
    /// It does not.
    Insensitive,
    /// It does where the pattern holds a capital letter.
    Smart,
}

impl Case {
    /// Returns what two arguments ask for, of which at most one may be given.
    pub fn of(sensitive: Option<bool>, smart: Option<bool>) -> Result<Self, Failure> {
        match (smart, sensitive) {
            (Some(true), Some(_)) => {
                let message = "`smart_case` and `case_sensitive` exclude each other";
                Err(Failure::new(Code::InvalidInput, message).instead("Give one of them."))
            }
            (Some(true), None) => Ok(Self::Smart),
            (_, Some(false)) => Ok(Self::Insensitive),
            (_, Some(true) | None) => Ok(Self::Sensitive),
        }
    }
}

/// What to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// A regular expression, or plain text.
    pub pattern: String,
    /// Whether `pattern` is plain text.
    pub literal: bool,
    /// Whether case matters.
    pub case: Case,
    /// Whether a match may span lines.
    pub multiline: bool,
    /// Whether the match must be a whole word.
    pub word: bool,
    /// The folder or file; the root when none.
    pub path: Option<String>,
    /// Gitignore-style globs.
    pub globs: Vec<String>,
    /// Names of file types.
    pub types: Vec<String>,
    /// Lines before and after each match.
    pub context: u32,
    /// Whether to search names that begin with a dot.
    pub hidden: bool,
    /// Whether to search what gitignore leaves out.
    pub ignored: bool,
    /// Whether to show only how many lines match in each file.
    pub counts: bool,
    /// How many matching lines, or files with `counts`.
    pub limit: Option<u32>,
    /// Where the answer before ended.
    pub cursor: Option<String>,
}

/// A matching line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The file.
    pub path: String,
    /// The line, counted from 1.
    pub line: u32,
    /// Byte column of the first match, counted from 1.
    pub column: u32,
    /// The line, cut.
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Ripgrep's form, and remarks in brackets.
    pub text: String,
    /// The matching lines.
    pub matches: Vec<Match>,
    /// Files and how many of their lines match; only with `counts`.
    pub counts: Vec<(String, u32)>,
    /// Files with a match.
    pub files: u32,
    /// Files searched.
    pub searched: u32,
    /// Whether there is more.
    pub truncated: bool,
    /// Where to go on.
    pub next: Option<String>,
}

/// Searches the files below a folder, or one file.
pub fn search(files: &impl Walks, args: &Args) -> Result<Output, Failure> {
    let pattern = match args.literal {
        // A text's line breaks fit files of either ending.
        true => regex_syntax::escape(&args.pattern).replace("\r\n", "\n").replace('\n', "\r?\n"),
        false => args.pattern.clone(),
    };
    let ignore_case = match args.case {
        Case::Sensitive => false,
        Case::Insensitive => true,
        Case::Smart => !has_capital(&args.pattern, args.literal),
    };
    let matcher = matcher(args, &pattern, ignore_case)?;
    let types = Types::new(&args.types)?;
    let cursor = args.cursor.as_deref().map(Cursor::parse).transpose()?;
    let context = if args.counts { 0 } else { args.context.min(MOST_CONTEXT) };
    let root = normal(args.path.as_deref().unwrap_or_default());
    let mut search = Search {
        prefilter: Prefilter::new(&pattern, ignore_case),
        matcher,
        searcher: SearcherBuilder::new()
            .line_terminator(LineTerminator::crlf())
            .line_number(true)
            .multi_line(args.multiline)
            .before_context(context as usize)
            .after_context(context as usize)
            .build(),
        context: context > 0,
        counts: args.counts,
        cursor,
        limit: args.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST) as usize,
        output: Output::default(),
        large: Vec::new(),
        unread: 0,
        types,
    };
    let options = WalkOptions {
        globs: search.types.narrow(&args.globs),
        hidden: args.hidden,
        ignore_files: !args.ignored,
        depth: None,
        directories: false,
        contents: true,
        max_file_size: LARGEST,
    };
    files.walk(&root, &options, &mut |batch| search.batch(&batch))?;
    Ok(search.finish(args, &root))
}

/// Where an answer ended: with a line of a file, or with all of it.
struct Cursor<'a> {
    path: &'a str,
    line: u64,
}

impl<'a> Cursor<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let parsed = text.split_once(':').and_then(|(line, path)| {
            let line = if line == "*" { u64::MAX } else { line.parse().ok()? };
            Some(Self { path, line })
        });
        parsed.ok_or_else(|| {
            Failure::new(Code::InvalidInput, format!("`cursor` = {:?} is none", lines::cut(text, 80).0))
                .instead("Give `next` of the answer before, or leave it out to begin anew.")
        })
    }
}

/// Whether a pattern asks for a capital letter; one behind a backslash, like `\W`, is a class's name.
fn has_capital(pattern: &str, literal: bool) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && !literal {
            // `\p{Greek}` and `\x{4A}` name something, too.
            if chars.next().is_some_and(|c| "pPxuU".contains(c)) && chars.as_str().starts_with('{') {
                chars.by_ref().find(|c| *c == '}');
            }
        } else if c.is_uppercase() {
            return true;
        }
    }
    false
}

fn matcher(args: &Args, pattern: &str, ignore_case: bool) -> Result<RegexMatcher, Failure> {
    if args.pattern.is_empty() {
        return Err(Failure::new(Code::InvalidInput, "`pattern` is empty")
            .instead("Give the text or regular expression to look for; `list` shows the files there are."));
    }
    if args.literal && !args.multiline && args.pattern.contains('\n') {
        return Err(Failure::new(
            Code::InvalidInput,
            "`pattern` holds a line break, and lines are matched one by one",
        )
        .instead(
            "Set `multiline`, or search for its most telling line; `context` shows the lines around it.",
        ));
    }
    let mut builder = RegexMatcherBuilder::new();
    builder
        .multi_line(true)
        .crlf(true)
        .case_insensitive(ignore_case)
        .word(args.word)
        .size_limit(PROGRAM)
        .dfa_size_limit(PROGRAM);
    if args.multiline {
        builder.line_terminator(None);
    }
    builder.build(pattern).map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::NotAllowed(_) => "Set `multiline` for a match that spans lines.",
            _ => {
                "Set `literal` to search for the text as it stands, or escape special characters like \
                 ( [ { . * + ? | with a backslash. There is neither look-around nor back-reference."
            }
        };
        // The matcher's own words show the pattern as it has wrapped it.
        let plain = ParserBuilder::new().multi_line(true).utf8(false).build().parse(pattern).err();
        let error = plain.map_or_else(|| error.to_string(), |plain| plain.to_string());
        let (error, _) = lines::cut(error.trim_end(), 2000);
        let message = format!("`pattern` cannot be used: {error}");
        Failure::new(Code::InvalidInput, message).instead(advice)
    })
}

struct Search<'a> {
    prefilter: Prefilter,
    matcher: RegexMatcher,
    searcher: Searcher,
    context: bool,
    counts: bool,
    cursor: Option<Cursor<'a>>,
    types: Types,
    limit: usize,
    output: Output,
    /// Files that were too large, with their sizes.
    large: Vec<(String, u64)>,
    /// Files that came without content for another reason.
    unread: u32,
}

impl Search<'_> {
    /// Searches a batch; false when there is no need for another.
    fn batch(&mut self, batch: &Batch) -> Result<bool, Failure> {
        for visited in &batch.visited {
            let seen = self.cursor.as_ref().is_some_and(|cursor| visited.path.as_str() < cursor.path);
            if visited.info.kind != Kind::File || seen || !self.types.fit(&visited.path) {
                continue;
            }
            let Some(at) = visited.at else {
                if visited.info.size > LARGEST {
                    self.large.push((visited.path.clone(), visited.info.size));
                } else {
                    self.unread += 1;
                }
                continue;
            };
            let start = usize::try_from(at.offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(at.length).unwrap_or(usize::MAX));
            let Some(data) = batch.bytes.get(start..end) else {
                return Err(Failure::new(Code::Internal, "a batch names bytes that it does not hold"));
            };
            self.file(&visited.path, data)?;
            if self.output.truncated {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn file(&mut self, path: &str, data: &[u8]) -> Result<(), Failure> {
        let utf16 = matches!(data, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        if !utf16 && memchr::memchr(0, &data[..data.len().min(SNIFF)]).is_some() {
            return Ok(());
        }
        self.output.searched = self.output.searched.saturating_add(1);
        if !utf16 && (!self.prefilter.passes(data) || memchr::memchr(0, data).is_some()) {
            return Ok(());
        }
        let seen = self.cursor.as_ref().filter(|cursor| cursor.path == path).map_or(0, |cursor| cursor.line);
        if seen == u64::MAX {
            return Ok(());
        }
        if self.counts {
            return self.count(path, data);
        }
        let before = self.output.matches.len();
        let name = shown(path).into_owned();
        let lines = Lines {
            path,
            name: &name,
            matcher: &self.matcher,
            separate: self.context && before > 0,
            seen,
            resumed: seen == 0,
            limit: self.limit,
            output: &mut self.output,
        };
        self.searcher
            .search_slice(&self.matcher, data, lines)
            .map_err(|error| Failure::new(Code::Internal, format!("{name}: {error}")))?;
        self.output.files += u32::from(self.output.matches.len() > before);
        Ok(())
    }

    /// Counts a file's matching lines.
    fn count(&mut self, path: &str, data: &[u8]) -> Result<(), Failure> {
        let mut count = Count(0);
        self.searcher
            .search_slice(&self.matcher, data, &mut count)
            .map_err(|error| Failure::new(Code::Internal, format!("{}: {error}", shown(path))))?;
        if count.0 == 0 {
            return Ok(());
        }
        let output = &mut self.output;
        if output.counts.len() >= self.limit || output.text.len() > TEXT {
            output.truncated = true;
            return Ok(());
        }
        // Writing to a String cannot fail.
        let _ = writeln!(output.text, "{}:{}", shown(path), count.0);
        output.counts.push((path.to_owned(), count.0));
        output.files += 1;
        Ok(())
    }

    fn finish(self, args: &Args, root: &str) -> Output {
        let mut output = self.output;
        if output.truncated {
            output.next = match (output.matches.last(), output.counts.last()) {
                (Some(last), _) => Some(format!("{}:{}", last.line, last.path)),
                (None, Some((path, _))) => Some(format!("*:{path}")),
                (None, None) => None,
            };
        }
        let searched = match output.searched {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        // Writing to a String cannot fail.
        let mut remark = |remark: String| {
            let _ = writeln!(output.text, "[{remark}]");
        };
        if output.matches.is_empty() && output.counts.is_empty() {
            let left_out = match (args.hidden, args.ignored) {
                (true, true) => "",
                _ => {
                    "; hidden files and those that gitignore leaves out are searched with `hidden` and `ignored`"
                }
            };
            let behind = if args.cursor.is_some() { " behind `cursor`" } else { "" };
            remark(format!("no match in {searched} below {}{behind}{left_out}", shown(root)));
        }
        if let Some(next) = &output.next {
            let shown = match (self.counts, output.matches.len().max(output.counts.len())) {
                (false, 1) => "1 matching line is".to_owned(),
                (false, count) => format!("{count} matching lines are"),
                (true, 1) => "1 file with matches is".to_owned(),
                (true, count) => format!("{count} files with matches are"),
            };
            remark(format!(
                "{shown} shown and there are more; go on with `cursor` = {next:?}, or narrow with \
                 `path`, `globs` or `types`"
            ));
        }
        if !self.large.is_empty() {
            let mut names: Vec<String> = self
                .large
                .iter()
                .take(5)
                .map(|(path, size)| format!("{} ({size} bytes)", shown(path)))
                .collect();
            if self.large.len() > 5 {
                names.push(format!("{} more", self.large.len() - 5));
            }
            remark(format!("too large to search: {}", names.join(", ")));
        }
        if self.unread > 0 {
            remark(format!("{} files could not be read", self.unread));
        }
        output
    }
}

/// Takes one file's lines from the searcher.
struct Lines<'a> {
    path: &'a str,
    name: &'a str,
    matcher: &'a RegexMatcher,
    /// Whether a group stands above that is not of this file.
    separate: bool,
    /// The last line that an answer before has shown, and whether a match behind it was found.
    seen: u64,
    resumed: bool,
    limit: usize,
    output: &'a mut Output,
}

impl Lines<'_> {
    fn separate(&mut self) {
        if std::mem::take(&mut self.separate) {
            self.output.text.push_str("--\n");
        }
    }
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        let first = found.line_number().unwrap_or(0);
        if first <= self.seen {
            return Ok(true);
        }
        self.resumed = true;
        if self.output.matches.len() >= self.limit || self.output.text.len() > TEXT {
            self.output.truncated = true;
            return Ok(false);
        }
        self.separate();
        let column = self.matcher.find(found.bytes()).ok().flatten().map_or(0, |found| found.start());
        let mut text = String::new();
        let mut count: u64 = 0;
        for line in found.lines() {
            if count < MATCH_LINES as u64 {
                let line = shown_line(line, if count == 0 { column } else { 0 });
                // Writing to a String cannot fail.
                let _ = writeln!(self.output.text, "{}:{}:{line}", self.name, first + count);
                text.push_str(if count == 0 { "" } else { "\n" });
                text.push_str(&line);
            }
            count += 1;
        }
        if let Some(more) = count.checked_sub(MATCH_LINES as u64).filter(|more| *more > 0) {
            let _ = writeln!(self.output.text, "[{more} more lines of this match]");
        }
        let number = u32::try_from(first).unwrap_or(u32::MAX);
        self.output.matches.push(Match {
            path: self.path.to_owned(),
            line: number,
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
            text,
        });
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> Result<bool, io::Error> {
        if !self.resumed && *context.kind() != grep_searcher::SinkContextKind::Before {
            return Ok(true);
        }
        // Lines before a match that is one too many are not shown either.
        if self.output.matches.len() >= self.limit
            && *context.kind() == grep_searcher::SinkContextKind::Before
        {
            self.output.truncated = true;
            return Ok(false);
        }
        self.separate();
        let number = context.line_number().unwrap_or(0);
        // Writing to a String cannot fail.
        let _ = writeln!(self.output.text, "{}-{number}-{}", self.name, shown_line(context.bytes(), 0));
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        if self.output.matches.len() < self.limit {
            self.separate = true;
        }
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, _: &SinkFinish) -> Result<(), io::Error> {
        Ok(())
    }
}

/// Counts matching lines.
struct Count(u32);

impl Sink for &mut Count {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        self.0 = self.0.saturating_add(u32::try_from(found.lines().count()).unwrap_or(u32::MAX));
        Ok(true)
    }
}

/// Returns a line without its ending, cut; of a long one the part where the match is.
fn shown_line(line: &[u8], column: usize) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    if line.len() <= LINE_CHARS {
        return text.into_owned();
    }
    let before = String::from_utf8_lossy(&line[..column.min(line.len())]).chars().count();
    let skipped = if before > LINE_CHARS - 100 { before - 100 } else { 0 };
    let from = text.char_indices().nth(skipped).map_or(0, |(at, _)| at);
    let (kept, dropped) = lines::cut(&text[from..], LINE_CHARS);
    let mut out = String::new();
    // Writing to a String cannot fail.
    if skipped > 0 {
        let _ = write!(out, "[{skipped} characters] ");
    }
    out.push_str(kept);
    if dropped > 0 {
        let _ = write!(out, " [{dropped} more characters]");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn files() -> Memory {
        Memory::of_bytes(&[
            ("README.md", b"# Parsing\nparse_bar is old\n"),
            ("bin.dat", b"parse_bar\0\n"),
            ("late.dat", &[b"parse_bar\n".repeat(200).as_slice(), b"\0"].concat()),
            ("src/a.rs", b"fn parse_bar() {}\nfn b() {}\nfn c() {}\nfn d() {}\nfn e() { parse_bar() }\n"),
            ("src/crlf.rs", b"let parse_bar = 1;\r\nend\r\n"),
        ])
    }

    fn args(pattern: &str) -> Args {
        Args { pattern: pattern.to_owned(), ..Args::default() }
    }

    fn text(args: &Args) -> String {
        search(&files(), args).map_or_else(|failure| failure.to_string(), |output| output.text)
    }

    #[test]
    fn finds_lines_in_ripgreps_form() {
        let output = search(&files(), &Args { word: true, ..args("parse_bar") }).unwrap();
        assert_eq!(
            output.text,
            "README.md:2:parse_bar is old\nsrc/a.rs:1:fn parse_bar() {}\nsrc/a.rs:5:fn e() { parse_bar() }\nsrc/crlf.rs:1:let parse_bar = 1;\n"
        );
        assert_eq!((output.files, output.searched, output.truncated), (3, 4, false));
        assert_eq!(
            output.matches[2],
            Match {
                path: "src/a.rs".to_owned(),
                line: 5,
                column: 10,
                text: "fn e() { parse_bar() }".to_owned()
            }
        );
    }

    #[test]
    fn context_comes_in_groups() {
        assert_eq!(
            text(&Args { context: 1, ..args("parse_bar") }),
            "README.md-1-# Parsing\nREADME.md:2:parse_bar is old\n--\nsrc/a.rs:1:fn parse_bar() {}\nsrc/a.rs-2-fn b() {}\n--\n\
             src/a.rs-4-fn d() {}\nsrc/a.rs:5:fn e() { parse_bar() }\n--\nsrc/crlf.rs:1:let parse_bar = 1;\nsrc/crlf.rs-2-end\n"
        );
    }

    #[test]
    fn case_words_and_plain_text() {
        assert_eq!(Case::of(Some(false), Some(false)), Ok(Case::Insensitive));
        assert_eq!(Case::of(None, Some(true)), Ok(Case::Smart));
        assert_eq!(Case::of(Some(true), Some(true)).unwrap_err().code, Code::InvalidInput);
        let cased = |case, pattern| text(&Args { case, ..args(pattern) });
        assert_eq!(cased(Case::Insensitive, "parsing"), "README.md:1:# Parsing\n");
        assert_eq!(cased(Case::Smart, "parsing"), "README.md:1:# Parsing\n");
        assert!(cased(Case::Smart, "pArsing").starts_with("[no match"));
        assert_eq!(cased(Case::Smart, r"\Sarsing\W?$"), "README.md:1:# Parsing\n");
        assert!(cased(Case::Sensitive, "parsing").starts_with("[no match"));
        assert!(text(&Args { word: true, ..args("parse") }).starts_with("[no match in 4 files below .;"));
        assert_eq!(
            text(&Args { literal: true, ..args("bar()") }),
            "src/a.rs:1:fn parse_bar() {}\nsrc/a.rs:5:fn e() { parse_bar() }\n"
        );
        assert_eq!(text(&args("Parsing$|^end$")), "README.md:1:# Parsing\nsrc/crlf.rs:2:end\n");
    }

    #[test]
    fn a_limit_stops_and_says_so() {
        let output = search(&files(), &Args { limit: Some(2), context: 1, ..args("parse_bar") }).unwrap();
        assert_eq!(
            output.text,
            "README.md-1-# Parsing\nREADME.md:2:parse_bar is old\n--\nsrc/a.rs:1:fn parse_bar() {}\nsrc/a.rs-2-fn b() {}\n\
             [2 matching lines are shown and there are more; go on with `cursor` = \"1:src/a.rs\", or narrow with `path`, `globs` or `types`]\n"
        );
        assert_eq!((output.matches.len(), output.truncated), (2, true));
        // Just as many as there are is not truncated.
        assert!(!search(&files(), &Args { limit: Some(4), ..args("parse_bar") }).unwrap().truncated);
    }

    #[test]
    fn unusable_patterns_are_quoted_with_a_hint() {
        let failure = search(&files(), &args("foo(")).unwrap_err();
        assert_eq!(failure.code, Code::InvalidInput);
        assert_eq!(
            failure.message,
            "`pattern` cannot be used: regex parse error:\n    foo(\n       ^\nerror: unclosed group"
        );
        assert!(failure.instead.is_some_and(|hint| hint.starts_with("Set `literal`")));
        for pattern in ["a\nb", "a\\nb"] {
            let failure = search(&files(), &args(pattern)).unwrap_err();
            assert_eq!(failure.instead.as_deref(), Some("Set `multiline` for a match that spans lines."));
        }
        for pattern in ["(?=a)", r"(a)\1", "", "(a{1000}){1000}"] {
            let failure = search(&files(), &args(pattern)).unwrap_err();
            assert!(failure.code == Code::InvalidInput && failure.instead.is_some(), "{pattern}: {failure}");
        }
        let failure = search(&files(), &Args { literal: true, ..args("a\nb") }).unwrap_err();
        assert_eq!(failure.message, "`pattern` holds a line break, and lines are matched one by one");
    }

    #[test]
    fn a_match_may_span_lines_when_told() {
        let multi = |pattern: &str| Args { multiline: true, ..args(pattern) };
        assert_eq!(text(&multi(r"b\(\) \{\}\nfn c")), "src/a.rs:2:fn b() {}\nsrc/a.rs:3:fn c() {}\n");
        assert!(text(&multi("a.*z")).starts_with("[no match"));
        assert_eq!(text(&multi("(?s:bar = .*end)")), "src/crlf.rs:1:let parse_bar = 1;\nsrc/crlf.rs:2:end\n");
        // A text's line breaks fit CRLF.
        let literal = Args { literal: true, ..multi("= 1;\nend") };
        assert_eq!(text(&literal), "src/crlf.rs:1:let parse_bar = 1;\nsrc/crlf.rs:2:end\n");
        let output = search(&files(), &literal).unwrap();
        assert_eq!((output.matches[0].line, output.matches[0].column), (1, 15));
        let files = Memory::new(&[("a", &"x\n".repeat(100))]);
        let output = search(&files, &multi("(?s)x.*x")).unwrap();
        assert!(output.text.ends_with("a:20:x\n[80 more lines of this match]\n"), "{}", output.text);
        assert_eq!(output.matches.len(), 1);
    }

    #[test]
    fn counts_and_types() {
        let counts = Args { counts: true, context: 3, ..args("parse_bar") };
        assert_eq!(text(&counts), "README.md:1\nsrc/a.rs:2\nsrc/crlf.rs:1\n");
        let output = search(&files(), &Args { limit: Some(2), ..counts.clone() }).unwrap();
        assert_eq!(output.next.as_deref(), Some("*:src/a.rs"));
        assert!(output.matches.is_empty() && output.truncated);
        assert_eq!(text(&Args { cursor: output.next, ..counts }), "src/crlf.rs:1\n");
        let typed = Args { types: vec!["md".to_owned()], ..args("parse_bar") };
        assert_eq!(text(&typed), "README.md:2:parse_bar is old\n");
        let failure = search(&files(), &Args { types: vec!["no".to_owned()], ..args("x") }).unwrap_err();
        assert_eq!(failure.message, "there is no file type \"no\"");
    }

    #[test]
    fn pages_follow_each_other_and_hold_every_match_once() {
        let content: String = (0..100).map(|n| if n % 3 == 0 { "x\n" } else { "-\n" }).collect();
        let files = Memory::new(&[("a", &content), ("b", "x\n"), ("c", &content)]);
        for context in [0, 1, 5] {
            let whole = search(&files, &Args { context, ..args("x") }).unwrap();
            let (mut seen, mut shown, mut cursor) = (Vec::new(), String::new(), None);
            loop {
                let page = Args { limit: Some(7), context, cursor, ..args("x") };
                let page = search(&files, &page).unwrap();
                seen.extend(page.matches);
                shown.push_str(page.text.split("[7 ").next().unwrap_or_default());
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, whole.matches, "{context}");
            if context == 0 {
                assert_eq!(shown, whole.text);
            }
        }
        let failure = search(&files, &Args { cursor: Some("b".to_owned()), ..args("x") }).unwrap_err();
        assert_eq!(failure.message, "`cursor` = \"b\" is none");
        // It may name what is gone.
        let page = search(&files, &Args { cursor: Some("9:aa".to_owned()), ..args("x") }).unwrap();
        assert_eq!(page.matches[0].path, "b");
    }

    #[test]
    fn long_lines_are_cut_around_the_match() {
        let line = format!("{}NEEDLE{}", "x".repeat(3000), "y".repeat(3000));
        let files = Memory::new(&[("min.js", &line)]);
        let output = search(&files, &args("NEEDLE")).unwrap();
        assert_eq!(
            output.matches[0].text,
            format!("[2900 characters] {}NEEDLE{} [2606 more characters]", "x".repeat(100), "y".repeat(394))
        );
        assert_eq!(output.matches[0].column, 3001);
    }

    #[test]
    fn large_files_are_named() {
        let large = "x\n".repeat(5 << 20);
        let files = Memory::new(&[("large.txt", &large), ("small.txt", "x\n")]);
        assert_eq!(
            search(&files, &args("x")).unwrap().text,
            "small.txt:1:x\n[too large to search: large.txt (10485760 bytes)]\n"
        );
    }

    #[test]
    fn utf16_text_is_searched_as_text() {
        let utf16: Vec<u8> = "\u{feff}über parse_bar\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let files = Memory::of_bytes(&[("a.txt", &utf16)]);
        assert_eq!(search(&files, &args("parse_bar")).unwrap().text, "a.txt:1:über parse_bar\n");
    }

    #[test]
    fn much_text_is_cut_off() {
        let wide = format!("{}\n", "x".repeat(499)).repeat(2000);
        let files = Memory::new(&[("a", &wide)]);
        let output = search(&files, &Args { limit: Some(10_000), ..args("x") }).unwrap();
        assert!(output.truncated && output.text.len() < TEXT + 2000, "{}", output.text.len());
    }

    proptest::proptest! {
        #[test]
        fn the_prefilter_hides_no_match(pattern in "[ab|()?*.^$\\\\w]{1,8}", data in "[ab\r\n]{0,30}", ignore_case: bool, word: bool) {
            let args = Args { word, ..args(&pattern) };
            if let Ok(matcher) = matcher(&args, &pattern, ignore_case) {
                let filter = Prefilter::new(&pattern, ignore_case);
                let any = data.split_inclusive('\n').any(|line| {
                    let line = line.trim_end_matches('\n').trim_end_matches('\r');
                    matcher.is_match(line.as_bytes()).unwrap_or(false)
                });
                proptest::prop_assert!(!any || filter.passes(data.as_bytes()));
            }
        }
    }
}
