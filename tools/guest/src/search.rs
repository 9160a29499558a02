//! `search`: matching lines of files, by ripgrep's crates.

use std::fmt::Write;
use std::io;

use grep_matcher::{LineTerminator, Matcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};

use crate::files::{Batch, Kind, WalkOptions};
use crate::lines;
use crate::path::{normal, shown};
use crate::prefilter::Prefilter;
use crate::{Code, Failure, Walks};

/// Matching lines shown when the call does not say how many.
const DEFAULT_LIMIT: u32 = 100;
/// The most matching lines one call shows.
const MOST: u32 = 10_000;
/// The most lines of context.
const MOST_CONTEXT: u32 = 20;
/// The most text one call shows, bytes.
const TEXT: usize = 256 << 10;
/// Characters of one line that are shown.
const LINE_CHARS: usize = 500;
/// Larger files are named instead of searched, bytes.
const LARGEST: u64 = 8 << 20;
/// How much of a file is looked at before it counts as text, bytes; where a line matches, all of it is.
const SNIFF: usize = 1 << 10;
/// The largest compiled regular expression, bytes.
const PROGRAM: usize = 16 << 20;

/// What to search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// A regular expression, or plain text.
    pub pattern: String,
    /// Whether `pattern` is plain text.
    pub literal: bool,
    /// Whether case does not matter.
    pub ignore_case: bool,
    /// Whether the match must be a whole word.
    pub word: bool,
    /// The folder or file; the root when none.
    pub path: Option<String>,
    /// Gitignore-style globs.
    pub globs: Vec<String>,
    /// Lines before and after each match.
    pub context: u32,
    /// Whether to search names that begin with a dot.
    pub hidden: bool,
    /// Whether to search what gitignore leaves out.
    pub ignored: bool,
    /// How many matching lines.
    pub limit: Option<u32>,
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
    /// Files with a match.
    pub files: u32,
    /// Files searched.
    pub searched: u32,
    /// Whether there is more.
    pub truncated: bool,
}

/// Searches the files below a folder, or one file.
pub fn search(files: &impl Walks, args: &Args) -> Result<Output, Failure> {
    let matcher = matcher(args)?;
    let pattern = if args.literal { regex_syntax::escape(&args.pattern) } else { args.pattern.clone() };
    let root = normal(args.path.as_deref().unwrap_or_default());
    let mut search = Search {
        prefilter: Prefilter::new(&pattern, args.ignore_case),
        matcher,
        searcher: SearcherBuilder::new()
            .line_terminator(LineTerminator::crlf())
            .line_number(true)
            .before_context(args.context.min(MOST_CONTEXT) as usize)
            .after_context(args.context.min(MOST_CONTEXT) as usize)
            .build(),
        context: args.context > 0,
        limit: args.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST) as usize,
        output: Output::default(),
        large: Vec::new(),
        unread: 0,
    };
    let options = WalkOptions {
        globs: args.globs.clone(),
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

fn matcher(args: &Args) -> Result<RegexMatcher, Failure> {
    if args.pattern.is_empty() {
        return Err(Failure::new(Code::InvalidInput, "`pattern` is empty")
            .instead("Give the text or regular expression to look for; `list` shows the files there are."));
    }
    if args.literal && args.pattern.contains('\n') {
        return Err(Failure::new(
            Code::InvalidInput,
            "`pattern` holds a line break, and lines are matched one by one",
        )
        .instead("Search for its most telling line; `context` shows the lines around it."));
    }
    RegexMatcherBuilder::new()
        .multi_line(true)
        .crlf(true)
        .fixed_strings(args.literal)
        .case_insensitive(args.ignore_case)
        .word(args.word)
        .size_limit(PROGRAM)
        .dfa_size_limit(PROGRAM)
        .build(&args.pattern)
        .map_err(|error| {
            Failure::new(
                Code::InvalidInput,
                format!("`pattern` cannot be used: {}", error.to_string().trim_end()),
            )
            .instead(
                "Set `literal` to search for the text as it stands, or escape special characters like \
                     ( [ { . * + ? | with a backslash. Lines are matched one by one, and there is neither \
                     look-around nor back-reference.",
            )
        })
}

struct Search {
    prefilter: Prefilter,
    matcher: RegexMatcher,
    searcher: Searcher,
    context: bool,
    limit: usize,
    output: Output,
    /// Files that were too large, with their sizes.
    large: Vec<(String, u64)>,
    /// Files that came without content for another reason.
    unread: u32,
}

impl Search {
    /// Searches a batch; false when there is no need for another.
    fn batch(&mut self, batch: &Batch) -> Result<bool, Failure> {
        for visited in &batch.visited {
            if visited.info.kind != Kind::File {
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
        let before = self.output.matches.len();
        let name = shown(path).into_owned();
        let lines = Lines {
            path,
            name: &name,
            matcher: &self.matcher,
            separate: self.context && before > 0,
            limit: self.limit,
            output: &mut self.output,
        };
        self.searcher
            .search_slice(&self.matcher, data, lines)
            .map_err(|error| Failure::new(Code::Internal, format!("{name}: {error}")))?;
        self.output.files += u32::from(self.output.matches.len() > before);
        Ok(())
    }

    fn finish(self, args: &Args, root: &str) -> Output {
        let mut output = self.output;
        let searched = match output.searched {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        // Writing to a String cannot fail.
        let mut remark = |remark: String| {
            let _ = writeln!(output.text, "[{remark}]");
        };
        if output.matches.is_empty() {
            let left_out = match (args.hidden, args.ignored) {
                (true, true) => "",
                _ => {
                    "; hidden files and those that gitignore leaves out are searched with `hidden` and `ignored`"
                }
            };
            remark(format!("no match in {searched} below {}{left_out}", shown(root)));
        }
        if output.truncated {
            remark(format!(
                "only the first {} matching lines are shown; narrow with `path` or `globs`, or raise `limit`",
                output.matches.len()
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
        if self.output.matches.len() >= self.limit || self.output.text.len() > TEXT {
            self.output.truncated = true;
            return Ok(false);
        }
        self.separate();
        let line = found.bytes();
        let column = self.matcher.find(line).ok().flatten().map_or(0, |found| found.start());
        let text = shown_line(line, column);
        let number = u32::try_from(found.line_number().unwrap_or(0)).unwrap_or(u32::MAX);
        // Writing to a String cannot fail.
        let _ = writeln!(self.output.text, "{}:{number}:{text}", self.name);
        self.output.matches.push(Match {
            path: self.path.to_owned(),
            line: number,
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
            text,
        });
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> Result<bool, io::Error> {
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
        assert_eq!(text(&Args { ignore_case: true, ..args("parsing") }), "README.md:1:# Parsing\n");
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
             [only the first 2 matching lines are shown; narrow with `path` or `globs`, or raise `limit`]\n"
        );
        assert_eq!((output.matches.len(), output.truncated), (2, true));
        // Just as many as there are is not truncated.
        assert!(!search(&files(), &Args { limit: Some(4), ..args("parse_bar") }).unwrap().truncated);
    }

    #[test]
    fn unusable_patterns_are_quoted_with_a_hint() {
        let failure = search(&files(), &args("foo(")).unwrap_err();
        assert_eq!(failure.code, Code::InvalidInput);
        assert!(failure.message.contains("unclosed group"), "{failure}");
        assert!(failure.instead.is_some_and(|hint| hint.starts_with("Set `literal`")));
        for pattern in ["(?=a)", r"(a)\1", "a\nb", "a\\nb", "", "(a{1000}){1000}"] {
            let failure = search(&files(), &args(pattern)).unwrap_err();
            assert!(failure.code == Code::InvalidInput && failure.instead.is_some(), "{pattern}: {failure}");
        }
        let failure = search(&files(), &Args { literal: true, ..args("a\nb") }).unwrap_err();
        assert_eq!(failure.message, "`pattern` holds a line break, and lines are matched one by one");
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
            let args = Args { ignore_case, word, ..args(&pattern) };
            if let Ok(matcher) = matcher(&args) {
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
