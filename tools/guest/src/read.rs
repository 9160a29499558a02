//! `read`: a file's lines with their numbers.

use std::fmt::Write;

use crate::files::{Kind, Range};
use crate::lines::{self, LINE_CHARS};
use crate::media::{self, Media};
use crate::path::{normal, shown};
use crate::{Code, Failure, Files};

/// Lines shown when the call does not say how many.
const DEFAULT_LINES: u32 = 400;
/// The most lines one call shows.
pub(crate) const MOST_LINES: u32 = 2000;
/// The most text one call shows, bytes.
pub(crate) const TEXT: usize = 64 << 10;
/// Files too large to be read at once are read in pieces of this size, bytes,
const PIECE: u64 = 4 << 20;
/// up to this size, bytes: counting lines costs time.
const LARGEST: u64 = 256 << 20;

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file.
    pub path: String,
    /// The first line, counted from 1.
    pub start: Option<u32>,
    /// How many lines.
    pub lines: Option<u32>,
    /// The first character of each line, counted from 1.
    pub column: Option<u32>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The lines, each with its number, and remarks in brackets.
    pub text: String,
    /// The path as the workspace spells it.
    pub path: String,
    /// The first line shown; 0 when none is.
    pub first: u32,
    /// The last line shown; 0 when none is.
    pub last: u32,
    /// Lines of the whole file.
    pub total: u32,
    /// Whether lines or parts of lines were left out.
    pub truncated: bool,
    /// Whether the file is binary; its content is then not shown.
    pub binary: bool,
    /// Bytes of the whole file.
    pub size: u64,
    /// How its text is encoded.
    pub encoding: Option<&'static str>,
    /// The media type of what is not shown.
    pub media: Option<&'static str>,
    /// Pixels from left to right.
    pub width: Option<u32>,
    /// Pixels from top to bottom.
    pub height: Option<u32>,
}

/// Shows lines of a file.
pub fn read(files: &impl Files, args: &Args) -> Result<Output, Failure> {
    let path = normal(&args.path);
    if args.lines == Some(0) {
        return Err(Failure::new(Code::InvalidInput, "`lines` is 0")
            .instead("Ask for at least one line, or leave `lines` out."));
    }
    let first = args.start.unwrap_or(1).max(1);
    let column = args.column.unwrap_or(1).max(1);
    let lines = args.lines.unwrap_or(DEFAULT_LINES).min(MOST_LINES);
    let mut collector = Collector::new(first, lines, column);
    // Most paths name a small file: only what is something else is looked at first.
    let size = match files.read(&args.path, None) {
        Ok(content) => {
            collector.feed(&content.data);
            content.size
        }
        Err(failure) => {
            let (mut offset, mut size) = (0, to_read_in_parts(files, args, failure)?);
            while offset < size && collector.foreign.is_none() {
                let content = files.read(&args.path, Some(Range { offset, length: PIECE }))?;
                if content.data.is_empty() {
                    break;
                }
                size = content.size.min(LARGEST);
                offset += content.data.len() as u64;
                collector.feed(&content.data);
            }
            size
        }
    };
    collector.finish();
    collector.into_output(path, size)
}

/// Says why a path was not read at once, or of a file that is but too large for that, how many bytes it has.
fn to_read_in_parts(files: &impl Files, args: &Args, failure: Failure) -> Result<u64, Failure> {
    let Ok(info) = files.stat(&args.path) else { return Err(failure) };
    let path = normal(&args.path);
    let name = shown(&path);
    Err(match info.kind {
        Kind::File if info.size > LARGEST => Failure::new(
            Code::TooLarge,
            format!("{name} has {} bytes; at most {LARGEST} can be read by lines", info.size),
        )
        .instead("Use `search` with `path` set to the file, for the lines that matter."),
        Kind::File if failure.code == Code::TooLarge => return Ok(info.size),
        Kind::File => failure,
        Kind::Directory => Failure::new(Code::InvalidInput, format!("{name} is a folder"))
            .instead(format!("List it: `list` with `path` = {name:?}.")),
        Kind::Symlink => {
            Failure::new(Code::InvalidInput, format!("{name} is a symbolic link, which no tool follows"))
                .instead("Find the file it points to with `list` and read that one.")
        }
        Kind::Other => Failure::new(Code::InvalidInput, format!("{name} is no regular file with one link"))
            .instead("Such files are never opened; work without it."),
    })
}

/// Takes a file piece by piece and keeps the lines that are wanted.
struct Collector {
    first: u64,
    end: u64,
    column: u32,
    encoding: Encoding,
    /// Characters of the line being taken that lie before the column.
    before: usize,
    text: String,
    /// The number of the line being taken, from 1.
    number: u64,
    /// The wanted line being taken.
    line: String,
    dropped: usize,
    /// Whether the line being taken has begun.
    begun: bool,
    /// Whether the last character taken was a carriage return.
    after_return: bool,
    /// Bytes of a character that the next piece completes.
    partial: Vec<u8>,
    /// Whether the first piece was looked at.
    started: bool,
    fed: u64,
    /// Bytes that are no text.
    bad: u64,
    last: u64,
    full: bool,
    cut: bool,
    returns: u64,
    newlines: u64,
    /// Why the content cannot be shown.
    foreign: Option<Foreign>,
}

/// How a text is encoded, as far as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf8Mark,
    Utf16 { little: bool },
}

/// What is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    Media(Media),
    Binary,
    NotText,
}

impl Collector {
    fn new(first: u32, lines: u32, column: u32) -> Self {
        Self {
            first: first.into(),
            end: u64::from(first) + u64::from(lines),
            column,
            encoding: Encoding::Utf8,
            before: column as usize - 1,
            text: String::new(),
            number: 1,
            line: String::new(),
            dropped: 0,
            begun: false,
            after_return: false,
            partial: Vec::new(),
            started: false,
            fed: 0,
            bad: 0,
            last: 0,
            full: false,
            cut: false,
            returns: 0,
            newlines: 0,
            foreign: None,
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        let mut piece = piece;
        if !std::mem::replace(&mut self.started, true) {
            self.foreign = media::of(piece).map(Foreign::Media);
            (self.encoding, piece) = match piece {
                [0xff, 0xfe, rest @ ..] => (Encoding::Utf16 { little: true }, rest),
                [0xfe, 0xff, rest @ ..] => (Encoding::Utf16 { little: false }, rest),
                [0xef, 0xbb, 0xbf, rest @ ..] => (Encoding::Utf8Mark, rest),
                _ => (Encoding::Utf8, piece),
            };
            let wide = matches!(self.encoding, Encoding::Utf16 { .. });
            if self.foreign.is_none() && !wide && lines::is_binary(piece) {
                self.foreign = Some(Foreign::Binary);
            }
            if self.foreign.is_some() {
                return;
            }
        }
        self.fed += piece.len() as u64;
        let joined;
        if !self.partial.is_empty() {
            joined = [std::mem::take(&mut self.partial).as_slice(), piece].concat();
            piece = &joined;
        }
        match self.encoding {
            Encoding::Utf16 { little } => self.take_utf16(piece, little),
            Encoding::Utf8 | Encoding::Utf8Mark => self.take_utf8(piece),
        }
    }

    fn take_utf8(&mut self, mut piece: &[u8]) {
        loop {
            let error = match std::str::from_utf8(piece) {
                Ok(text) => return self.take(text),
                Err(error) => error,
            };
            let (valid, rest) = piece.split_at(error.valid_up_to());
            self.take(std::str::from_utf8(valid).unwrap_or_default());
            let Some(bad) = error.error_len() else {
                self.partial = rest.to_vec();
                return;
            };
            self.bad += bad as u64;
            self.take("\u{fffd}");
            piece = &rest[bad..];
        }
    }

    fn take_utf16(&mut self, piece: &[u8], little: bool) {
        let (pairs, odd) = piece.as_chunks::<2>();
        let unit =
            |pair: &[u8; 2]| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
        let split = |unit: u16| (0xd800..0xdc00).contains(&unit);
        // Half a character at the end waits for its other half.
        let whole = pairs.len() - usize::from(pairs.last().is_some_and(|pair| split(unit(pair))));
        let mut text = String::with_capacity(piece.len() / 2);
        for c in char::decode_utf16(pairs[..whole].iter().map(unit)) {
            self.bad += if c.is_err() { 2 } else { 0 };
            text.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.partial = [pairs[whole..].as_flattened(), odd].concat();
        self.take(&text);
    }

    fn take(&mut self, mut text: &str) {
        while let Some(at) = memchr::memchr(b'\n', text.as_bytes()) {
            let line = &text[..at];
            text = &text[at + 1..];
            self.newlines += 1;
            if !self.begun && self.before == 0 && line.len() <= LINE_CHARS && !line.ends_with('\r') {
                // Most lines: whole, and shown as they are.
                self.show(line, 0);
                self.number += 1;
                continue;
            }
            self.extend(line);
            if self.after_return {
                self.returns += 1;
                if self.dropped == 0 && self.line.ends_with('\r') {
                    self.line.pop();
                } else {
                    self.dropped = self.dropped.saturating_sub(1);
                }
            }
            self.end_line();
        }
        self.extend(text);
    }

    fn extend(&mut self, part: &str) {
        if part.is_empty() {
            return;
        }
        self.begun = true;
        self.after_return = part.ends_with('\r');
        if self.number < self.first || self.number >= self.end || self.full {
            return;
        }
        let mut part = part;
        if self.before > 0 {
            let (skipped, _) = lines::cut(part, self.before);
            self.before -= skipped.chars().count();
            part = &part[skipped.len()..];
        }
        // Begun by the piece before, most often not.
        let begun = if self.line.is_empty() { 0 } else { self.line.chars().count() };
        let (kept, dropped) = lines::cut(part, LINE_CHARS.saturating_sub(begun));
        self.line.push_str(kept);
        self.dropped += dropped;
    }

    /// Shows the line that ends, where it is wanted.
    fn show(&mut self, line: &str, dropped: usize) {
        if self.number < self.first || self.number >= self.end || self.full {
            return;
        }
        if self.text.len() + line.len() > TEXT && self.last > 0 {
            self.full = true;
            return;
        }
        lines::push_shown(&mut self.text, self.number as usize, line, dropped);
        self.last = self.number;
        self.cut |= dropped > 0;
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        self.show(&line, self.dropped);
        line.clear();
        // Its memory serves the next one.
        self.line = line;
        self.dropped = 0;
        self.before = self.column as usize - 1;
        self.begun = false;
        self.after_return = false;
        self.number += 1;
    }

    fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.bad += self.partial.len() as u64;
            self.take("\u{fffd}");
        }
        if self.begun {
            self.end_line();
        }
        // Some bytes that are no UTF-8 are a name or a comment in an older encoding; many say that nothing of
        // it would be readable.
        if self.foreign.is_none() && self.bad * 10 > self.fed * 3 {
            self.foreign = Some(Foreign::NotText);
        }
    }

    fn into_output(self, path: String, size: u64) -> Result<Output, Failure> {
        let name = shown(&path).into_owned();
        if let Some(what) = self.foreign {
            let (what, media) = match what {
                Foreign::Media(media) => (media.words, Some(media)),
                Foreign::Binary => ("binary", None),
                Foreign::NotText => ("not UTF-8, so text in another encoding or binary", None),
            };
            let pixels = media.and_then(|media| media.pixels);
            let measures =
                pixels.map_or_else(String::new, |(width, height)| format!(" of {width} x {height} pixels"));
            return Ok(Output {
                text: format!("[{name} is {what}{measures}; {size} bytes, not shown]\n"),
                path,
                binary: true,
                size,
                media: media.map(|media| media.kind),
                width: pixels.map(|(width, _)| width),
                height: pixels.map(|(_, height)| height),
                ..Output::default()
            });
        }
        let total = self.number - 1;
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        if total == 0 {
            let text = format!("[{name} is empty]\n");
            return Ok(Output { text, path, size, ..Output::default() });
        }
        if self.first > total {
            return Err(Failure::new(
                Code::InvalidInput,
                format!("{name} has {total} lines; `start` = {} lies behind its end", self.first),
            )
            .instead(format!("Use a `start` from 1 to {total}.")));
        }
        let mut text = self.text;
        // Writing to a String cannot fail.
        let mut remark = |remark: String| {
            let _ = writeln!(text, "[{remark}]");
        };
        if self.last < total {
            remark(format!(
                "lines {} to {} of {total}; go on with `start` = {}",
                self.first,
                self.last,
                self.last + 1
            ));
        } else if self.first > 1 {
            remark(format!("lines {} to {} of {total}", self.first, self.last));
        }
        if self.column > 1 {
            remark(format!("lines are shown from their character {} on", self.column));
        }
        if self.cut {
            let next = self.column.saturating_add(LINE_CHARS as u32);
            remark(format!("lines are cut at {LINE_CHARS} characters; go on with `column` = {next}"));
        }
        let encoding = match self.encoding {
            Encoding::Utf8 if self.bad > 0 => {
                remark(format!(
                    "the file is not UTF-8: {} bytes are shown as \u{fffd}; `edit` and `patch` keep them",
                    self.bad
                ));
                "unknown"
            }
            Encoding::Utf8 => "utf-8",
            Encoding::Utf8Mark => {
                remark("the file begins with a UTF-8 byte order mark".to_owned());
                "utf-8-bom"
            }
            Encoding::Utf16 { little } => {
                let (name, letters) = if little { ("utf-16le", "LE") } else { ("utf-16be", "BE") };
                remark(format!("the file is UTF-16{letters}, which `edit` and `patch` cannot change"));
                name
            }
        };
        if self.returns > 0 && self.returns == self.newlines {
            remark("lines end with CRLF; `edit` and `patch` keep that".to_owned());
        } else if self.returns > 0 {
            remark(format!("{} of {} line ends are CRLF, the others LF", self.returns, self.newlines));
        }
        if self.newlines < total && self.last == total {
            remark("no newline at the end of the file".to_owned());
        }
        Ok(Output {
            text,
            path,
            first: number(self.first),
            last: number(self.last),
            total: number(total),
            truncated: self.first > 1 || self.last < total || self.cut || self.column > 1,
            size,
            encoding: Some(encoding),
            ..Output::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn run(data: &[u8], start: Option<u32>, lines: Option<u32>) -> Result<Output, Failure> {
        let files = Memory::of_bytes(&[("src/a.rs", data)]);
        read(&files, &Args { path: "./src/a.rs".to_owned(), start, lines, column: None })
    }

    fn text(data: &[u8], start: Option<u32>, lines: Option<u32>) -> String {
        run(data, start, lines).map_or_else(|failure| failure.to_string(), |output| output.text)
    }

    #[test]
    fn shows_numbered_lines() {
        assert_eq!(
            run(b"fn a() {\n\n}\n", None, None),
            Ok(Output {
                text: "     1\tfn a() {\n     2\t\n     3\t}\n".to_owned(),
                path: "src/a.rs".to_owned(),
                first: 1,
                last: 3,
                total: 3,
                size: 12,
                encoding: Some("utf-8"),
                ..Output::default()
            })
        );
    }

    #[test]
    fn shows_a_part_and_says_how_to_go_on() {
        let data: String = (1..=10).map(|n| format!("l{n}\n")).collect();
        assert_eq!(
            text(data.as_bytes(), Some(4), Some(2)),
            "     4\tl4\n     5\tl5\n[lines 4 to 5 of 10; go on with `start` = 6]\n"
        );
        assert_eq!(text(data.as_bytes(), Some(10), None), "    10\tl10\n[lines 10 to 10 of 10]\n");
        assert_eq!(text(data.as_bytes(), Some(0), Some(1)), text(data.as_bytes(), Some(1), Some(1)));
    }

    #[test]
    fn a_start_behind_the_end_is_told_the_length() {
        assert_eq!(
            text(b"a\nb\n", Some(3), None),
            "InvalidInput: src/a.rs has 2 lines; `start` = 3 lies behind its end\n=> Use a `start` from 1 to 2."
        );
        assert_eq!(text(b"", Some(3), None), "[src/a.rs is empty]\n");
    }

    #[test]
    fn caps_lines_text_and_line_length() {
        let many = "x\n".repeat(3000);
        assert_eq!(run(many.as_bytes(), None, None).unwrap().last, 400);
        let output = run(many.as_bytes(), None, Some(u32::MAX)).unwrap();
        assert_eq!((output.last, output.total, output.truncated), (2000, 3000, true));

        let wide = format!("{}\n", "y".repeat(1999)).repeat(100);
        let output = run(wide.as_bytes(), None, None).unwrap();
        assert!(output.text.len() < TEXT + 3000 && output.last < 40 && output.truncated, "{}", output.last);

        let long = format!("{}\nshort\n", "ä".repeat(2003));
        assert_eq!(
            text(long.as_bytes(), None, None),
            format!(
                "     1\t{} [3 more characters]\n     2\tshort\n[lines are cut at 2000 characters; go on with `column` = 2001]\n",
                "ä".repeat(2000)
            )
        );
        let files = Memory::new(&[("a", &long)]);
        let args = Args { path: "a".to_owned(), column: Some(2001), ..Args::default() };
        assert_eq!(
            read(&files, &args).unwrap().text,
            "     1\täää\n     2\t\n[lines are shown from their character 2001 on]\n"
        );
    }

    #[test]
    fn a_line_of_just_the_cap_with_crlf_loses_nothing() {
        let data = format!("{}\r\n{}\r\n", "a".repeat(2000), "b".repeat(1999));
        let output = run(data.as_bytes(), None, None).unwrap();
        assert!(!output.truncated && !output.text.contains('\r'), "{}", output.text);
    }

    #[test]
    fn names_what_is_no_text() {
        let output = run(b"\x7fEL\0\0", None, None).unwrap();
        assert_eq!(
            (output.text.as_str(), output.binary, output.media),
            ("[src/a.rs is binary; 5 bytes, not shown]\n", true, None)
        );
        let output = run(b"GIF89a\x02\0\x03\0", None, None).unwrap();
        assert_eq!(output.text, "[src/a.rs is a GIF image of 2 x 3 pixels; 10 bytes, not shown]\n");
        assert_eq!((output.media, output.width, output.height), (Some("image/gif"), Some(2), Some(3)));
        assert_eq!(
            text(b"a\n\xe9t\xe9\n", None, None),
            "[src/a.rs is not UTF-8, so text in another encoding or binary; 6 bytes, not shown]\n"
        );
    }

    #[test]
    fn other_encodings_are_shown_and_named() {
        let output = run(b"Jos\xe9 wrote this\n", None, None).unwrap();
        assert_eq!(
            output.text,
            "     1\tJos\u{fffd} wrote this\n[the file is not UTF-8: 1 bytes are shown as \u{fffd}; `edit` and `patch` keep them]\n"
        );
        assert_eq!((output.encoding, output.binary), (Some("unknown"), false));
        let text = "\u{feff}\u{1d11e} clef\r\nzwei\n";
        for (bytes, name) in [
            (text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(), "utf-16le"),
            (text.encode_utf16().flat_map(u16::to_be_bytes).collect(), "utf-16be"),
        ] {
            let output = run(&bytes, None, None).unwrap();
            assert!(output.text.starts_with("     1\t\u{1d11e} clef\n     2\tzwei\n["), "{}", output.text);
            assert_eq!((output.encoding, output.total), (Some(name), 2));
            // In pieces of any size it is the same.
            for at in 2..bytes.len() {
                let mut parts = Collector::new(1, 10, 1);
                parts.feed(&bytes[..at]);
                parts.feed(&bytes[at..]);
                parts.finish();
                let pieces = parts.into_output("src/a.rs".to_owned(), bytes.len() as u64);
                assert_eq!(pieces.as_ref(), Ok(&output), "{at}");
            }
        }
    }

    #[test]
    fn remarks_marks_and_line_endings() {
        assert_eq!(
            text(b"\xef\xbb\xbfa\r\nb", None, None),
            "     1\ta\n     2\tb\n[the file begins with a UTF-8 byte order mark]\n\
             [lines end with CRLF; `edit` and `patch` keep that]\n[no newline at the end of the file]\n"
        );
        assert_eq!(
            text(b"a\r\nb\n", None, None),
            "     1\ta\n     2\tb\n[1 of 2 line ends are CRLF, the others LF]\n"
        );
    }

    #[test]
    fn a_folder_is_advised_to_be_listed() {
        let files = Memory::new(&[("src/a.rs", "")]);
        let args = Args { path: "src/".to_owned(), ..Args::default() };
        assert_eq!(
            read(&files, &args).unwrap_err().to_string(),
            "InvalidInput: src is a folder\n=> List it: `list` with `path` = \"src\"."
        );
    }

    #[test]
    fn links_and_devices_are_named() {
        let mut files = Memory::new(&[]);
        files.others.insert("link".to_owned(), Kind::Symlink);
        files.others.insert("fifo".to_owned(), Kind::Other);
        for (path, word) in [("link", "symbolic link"), ("fifo", "no regular file")] {
            let failure = read(&files, &Args { path: path.to_owned(), ..Args::default() }).unwrap_err();
            assert!(failure.code == Code::InvalidInput && failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn a_large_file_is_read_in_pieces_as_if_at_once() {
        // Characters of three bytes and CRLF, so that pieces end within both.
        let data = "€uro€\r\n".repeat(900_000);
        let files = Memory::of_bytes(&[("a", data.as_bytes())]);
        let args = Args { path: "a".to_owned(), start: Some(899_999), ..Args::default() };
        let output = read(&files, &args).unwrap();
        assert!(data.len() > 8 << 20);
        assert_eq!(
            output.text,
            "899999\t€uro€\n900000\t€uro€\n[lines 899999 to 900000 of 900000]\n[lines end with CRLF; `edit` and `patch` keep that]\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn pieces_do_not_matter(data in "[a€\\r\\n]{0,60}", at in 0..200usize, start in 1..5u32) {
            let mut whole = Collector::new(start, 3, 1);
            whole.feed(data.as_bytes());
            whole.finish();
            let mut parts = Collector::new(start, 3, 1);
            let (a, b) = data.as_bytes().split_at(at.min(data.len()));
            if a.len() > 3 {
                parts.feed(a);
                parts.feed(b);
                parts.finish();
                let size = data.len() as u64;
                proptest::prop_assert_eq!(whole.into_output(String::new(), size), parts.into_output(String::new(), size));
            }
        }
    }
}
