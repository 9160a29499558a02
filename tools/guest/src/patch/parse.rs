//! The grammar of `apply_patch`, and what both forms of patch are parsed to.
//!
//! ```text
//! patch:   "*** Begin Patch" section+ "*** End Patch"
//! section: "*** Add File: " path ("+" text)*
//!        | "*** Delete File: " path
//!        | "*** Update File: " path ("*** Move to: " path)? hunk*
//! hunk:    ("@@" | "@@ " header)* (" " text | "-" text | "+" text | "")+ "*** End of File"?
//! ```
//!
//! As in Codex, the first hunk of a file needs no `@@`, markers may be padded with white space, an empty
//! line is an empty line of context, and a heredoc around the patch is dropped. Beyond Codex, the line
//! numbers of a unified diff's `@@ -1,2 +1,3 @@` are ignored, code fences and an `apply_patch` command
//! around the patch are dropped.

use std::borrow::Cow;
use std::fmt;

use super::unified;

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File:";
const DELETE: &str = "*** Delete File:";
const UPDATE: &str = "*** Update File:";
const MOVE: &str = "*** Move to:";
const END_OF_FILE: &str = "*** End of File";

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// From `*** Begin Patch` to `*** End Patch`.
    ApplyPatch,
    /// As diff and git write it.
    Unified,
}

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub(super) path: Cow<'a, str>,
    pub(super) what: What<'a>,
    /// What of the section is not done, in words.
    pub(super) remark: Option<String>,
}

impl<'a> Section<'a> {
    fn new(path: &'a str, what: What<'a>) -> Self {
        Self { path: path.into(), what, remark: None }
    }
}

/// The kinds of sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// The new file's lines, and whether the last one ends.
    Add {
        lines: Vec<&'a str>,
        ended: bool,
    },
    /// Whatever the file holds.
    Delete,
    /// When nothing remains of the file after its hunks.
    DeleteAll(Vec<Hunk<'a>>),
    Update {
        to: Option<Cow<'a, str>>,
        hunks: Vec<Hunk<'a>>,
    },
}

/// One change within a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hunk<'a> {
    /// The line of the patch it begins on, from 1.
    pub(super) at: usize,
    /// Lines that stand above, from the outermost.
    pub(super) headers: Vec<&'a str>,
    pub(super) lines: Vec<HunkLine<'a>>,
    /// Whether it lies at the end of the file.
    pub(super) end_of_file: bool,
    /// Where it says that its lines stand, from 0; others are tried, the nearest first.
    pub(super) start: Option<usize>,
    /// Whether the file's last line is to have no newline.
    pub(super) unended: bool,
}

/// A line of a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HunkLine<'a> {
    Context(&'a str),
    Remove(&'a str),
    Add(&'a str),
}

/// Why a text is no patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParseError {
    /// The line of the patch, from 1; 0 for all of it.
    line: usize,
    message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

pub(super) fn error<T>(line: usize, message: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError { line, message: message.into() })
}

/// Tells the form of a patch by its first line.
pub(super) fn form(text: &str) -> Form {
    let first = text.lines().find(|line| !is_wrapping(line));
    if first.is_some_and(unified::begins) { Form::Unified } else { Form::ApplyPatch }
}

/// Parses a patch.
pub(super) fn parse(text: &str) -> Result<Vec<Section<'_>>, ParseError> {
    let lines: Vec<&str> = text.lines().collect();
    if form(text) == Form::Unified {
        // A blank line at the end may be context: only the wrappings behind it are dropped.
        let end = lines.iter().rposition(|line| line.is_empty() || !is_wrapping(line));
        return unified::parse(&lines[..end.map_or(0, |last| last + 1)]);
    }
    let (from, to) = body(&lines)?;
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (number, line) in lines.iter().enumerate().take(to).skip(from) {
        take(&mut sections, number + 1, line)?;
    }
    if sections.is_empty() {
        return error(0, "it holds no file");
    }
    for section in &sections {
        if let What::Update { to: None, hunks } = &section.what
            && hunks.is_empty()
        {
            return error(0, format!("`{UPDATE} {}` has no hunk below it", section.path));
        }
        if let What::Update { hunks, .. } = &section.what
            && let Some(empty) = hunks.iter().find(|hunk| hunk.lines.is_empty())
        {
            return error(empty.at, "this hunk holds no lines");
        }
    }
    Ok(sections)
}

/// Whether a line can stand around a patch without being a part of it.
fn is_wrapping(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with("```")
        || line.starts_with("<<")
        || line.starts_with("apply_patch")
        || line == "EOF"
        || line == "PATCH"
}

/// Finds the lines between the markers.
fn body(lines: &[&str]) -> Result<(usize, usize), ParseError> {
    let first = lines.iter().position(|line| !is_wrapping(line)).unwrap_or(lines.len());
    match lines.get(first) {
        None => return error(0, "it is empty"),
        Some(line) if line.trim() == BEGIN => {}
        Some(_) => {
            return error(
                first + 1,
                format!("the first line must be `{BEGIN}`, or `diff --git` or `---` of a unified diff"),
            );
        }
    }
    let last = lines.iter().rposition(|line| !is_wrapping(line)).unwrap_or(first);
    if lines[last].trim() != END {
        return error(last + 1, format!("the last line must be `{END}`"));
    }
    Ok((first + 1, last))
}

fn take<'a>(sections: &mut Vec<Section<'a>>, number: usize, line: &'a str) -> Result<(), ParseError> {
    let trimmed = line.trim();
    for (marker, what) in [
        (ADD, What::Add { lines: Vec::new(), ended: true }),
        (DELETE, What::Delete),
        (UPDATE, What::Update { to: None, hunks: Vec::new() }),
    ] {
        if let Some(path) = marked(line, marker) {
            if path.is_empty() {
                return error(number, format!("`{marker}` names no path"));
            }
            sections.push(Section::new(path, what));
            return Ok(());
        }
    }
    if trimmed == BEGIN || trimmed == END {
        return error(number, format!("`{trimmed}` stands in the middle"));
    }
    let Some(section) = sections.last_mut() else {
        if trimmed.is_empty() || trimmed.starts_with("*** Environment ID:") {
            return Ok(());
        }
        return error(
            number,
            format!("`{trimmed}` is no section; expected `{ADD} PATH`, `{DELETE} PATH` or `{UPDATE} PATH`"),
        );
    };
    match &mut section.what {
        What::Add { lines, .. } => match line.strip_prefix('+') {
            Some(text) => lines.push(text),
            None if trimmed.is_empty() => {}
            None => {
                return error(
                    number,
                    format!("every line of the new file {} must begin with +", section.path),
                );
            }
        },
        What::Delete if trimmed.is_empty() => {}
        What::Delete | What::DeleteAll(_) => {
            return error(number, format!("nothing may stand below `{DELETE} {}`", section.path));
        }
        What::Update { to, hunks } => {
            if let Some(path) = marked(line, MOVE) {
                if path.is_empty() || to.is_some() || !hunks.is_empty() {
                    return error(number, format!("`{MOVE} PATH` may stand once, directly below `{UPDATE}`"));
                }
                *to = Some(path.into());
                return Ok(());
            }
            return hunk_line(hunks, number, line);
        }
    }
    Ok(())
}

fn hunk_line<'a>(hunks: &mut Vec<Hunk<'a>>, number: usize, line: &'a str) -> Result<(), ParseError> {
    let trimmed = line.trim();
    // Only a line that begins so is a marker: ` @@` is context.
    if let Some(header) = line.strip_prefix("@@")
        && (header.is_empty() || header.starts_with([' ', '\t']))
    {
        let header = without_numbers(header);
        // Headers that follow each other lead to one place.
        match hunks.last_mut() {
            Some(hunk) if hunk.lines.is_empty() => hunk.headers.extend(header),
            _ => hunks.push(Hunk { at: number, headers: header.into_iter().collect(), ..Hunk::default() }),
        }
        return Ok(());
    }
    if trimmed == END_OF_FILE && line.starts_with('*') {
        return match hunks.last_mut() {
            Some(hunk) if !hunk.lines.is_empty() => {
                hunk.end_of_file = true;
                Ok(())
            }
            _ => error(number, format!("`{END_OF_FILE}` must stand below the lines of a hunk")),
        };
    }
    let parsed = match line.as_bytes().first() {
        None => HunkLine::Context(""),
        Some(b' ') => HunkLine::Context(&line[1..]),
        Some(b'-') => HunkLine::Remove(&line[1..]),
        Some(b'+') => HunkLine::Add(&line[1..]),
        Some(_) => {
            let (start, _) = crate::lines::cut(line, 60);
            return error(
                number,
                format!("`{start}` begins with neither a space (context), - (removed) nor + (added)"),
            );
        }
    };
    match hunks.last_mut() {
        Some(hunk) if !hunk.end_of_file => hunk.lines.push(parsed),
        // Blank lines before, between and behind hunks separate them.
        _ if line.is_empty() => {}
        _ => hunks.push(Hunk { at: number, lines: vec![parsed], ..Hunk::default() }),
    }
    Ok(())
}

/// Returns what stands behind a marker, which may be padded but not with a hunk's own first characters.
fn marked<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.trim().strip_prefix(marker).map(str::trim)
}

/// Returns a hunk's header without the line numbers of a unified diff; none when nothing remains.
pub(super) fn without_numbers(header: &str) -> Option<&str> {
    let header = header.strip_prefix(' ').unwrap_or(header);
    let is_numbers = |text: &str| {
        let text = text.trim();
        text.starts_with('-')
            && text.contains(" +")
            && text.chars().all(|c| c.is_ascii_digit() || "-+, ".contains(c))
    };
    let rest = match header.split_once("@@") {
        Some((numbers, rest)) if is_numbers(numbers) => rest,
        _ if is_numbers(header) => "",
        _ => header,
    };
    Some(rest.trim_end()).filter(|rest| !rest.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use HunkLine::{Add, Context, Remove};

    fn failing(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_kind_of_section_is_parsed() {
        let text = "*** Begin Patch\n*** Add File: a.txt\n+one\n+\n*** Delete File: b.txt\n*** Update File: c.txt\n*** Move to: d.txt\n@@ fn main() {\n context\n-old\n+new\n\n@@\n+end\n*** End of File\n*** End Patch\n";
        assert_eq!(
            parse(text).unwrap(),
            [
                Section::new("a.txt", What::Add { lines: vec!["one", ""], ended: true }),
                Section::new("b.txt", What::Delete),
                Section::new(
                    "c.txt",
                    What::Update {
                        to: Some("d.txt".into()),
                        hunks: vec![
                            Hunk {
                                at: 8,
                                headers: vec!["fn main() {"],
                                lines: vec![Context("context"), Remove("old"), Add("new"), Context("")],
                                ..Hunk::default()
                            },
                            Hunk { at: 13, lines: vec![Add("end")], end_of_file: true, ..Hunk::default() },
                        ],
                    },
                ),
            ]
        );
    }

    #[test]
    fn the_first_hunk_needs_no_marker_and_headers_stack() {
        let text =
            "*** Begin Patch\n*** Update File: a\n-x\n+y\n@@ class A\n@@ \t def f():\n-1\n+2\n*** End Patch";
        let sections = parse(text).unwrap();
        let What::Update { hunks, .. } = &sections[0].what else { panic!("no update") };
        assert_eq!(hunks[0].lines, [Remove("x"), Add("y")]);
        assert_eq!(hunks[1].headers, ["class A", "\t def f():"]);
    }

    #[test]
    fn wrappings_are_dropped() {
        let patch = "*** Begin Patch\n*** Delete File: a\n*** End Patch";
        for text in [
            format!("<<'EOF'\n{patch}\nEOF\n"),
            format!("<<\"EOF\"\n{patch}\nEOF"),
            format!("<<EOF\n{patch}\nEOF"),
            format!("apply_patch <<'PATCH'\n{patch}\nPATCH\n"),
            format!("```\n{patch}\n```"),
            format!("\n\n  {}  \n\n", patch.replace('\n', "  \n  ")),
            patch.replace('\n', "\r\n"),
        ] {
            assert_eq!(parse(&text).map(|sections| sections.len()), Ok(1), "{text}");
        }
    }

    #[test]
    fn unified_line_numbers_are_ignored() {
        for (header, expected) in [
            (" -1,2 +1,3 @@", None),
            (" -1,2 +1,3 @@ fn a() {", Some(" fn a() {")),
            (" -1 +1", None),
            (" fn a() {", Some("fn a() {")),
            ("", None),
            (" - x + y", Some("- x + y")),
        ] {
            assert_eq!(without_numbers(header), expected, "{header}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let patch = |body: &str| format!("*** Begin Patch\n{body}\n*** End Patch");
        assert_eq!(failing(""), "it is empty");
        assert_eq!(
            failing("hello"),
            "line 1: the first line must be `*** Begin Patch`, or `diff --git` or `---` of a unified diff"
        );
        assert_eq!(
            failing("*** Begin Patch\n*** Delete File: a\n"),
            "line 2: the last line must be `*** End Patch`"
        );
        assert_eq!(failing("*** Begin Patch\n*** End Patch"), "it holds no file");
        assert_eq!(
            failing(&patch("*** Frobnicate File: a")),
            "line 2: `*** Frobnicate File: a` is no section; expected `*** Add File: PATH`, `*** Delete File: PATH` or `*** Update File: PATH`"
        );
        assert_eq!(failing(&patch("*** Update File: a")), "`*** Update File: a` has no hunk below it");
        assert_eq!(failing(&patch("*** Update File: a\n@@ fn x()")), "line 3: this hunk holds no lines");
        assert_eq!(
            failing(&patch("*** Update File: a\n@@\nbad")),
            "line 4: `bad` begins with neither a space (context), - (removed) nor + (added)"
        );
        assert_eq!(
            failing(&patch("*** Add File: a\nbad")),
            "line 3: every line of the new file a must begin with +"
        );
        assert_eq!(
            failing(&patch("*** Delete File: a\n-x")),
            "line 3: nothing may stand below `*** Delete File: a`"
        );
        assert_eq!(failing(&patch("*** Add File: ")), "line 2: `*** Add File:` names no path");
        assert_eq!(
            failing(&patch("*** Update File: a\n-x\n*** Move to: b")),
            "line 4: `*** Move to: PATH` may stand once, directly below `*** Update File:`"
        );
        assert_eq!(
            failing(&patch("*** Update File: a\n*** End of File")),
            "line 3: `*** End of File` must stand below the lines of a hunk"
        );
        assert_eq!(
            failing(&patch("*** Delete File: a\n*** End Patch\n*** Delete File: b")),
            "line 3: `*** End Patch` stands in the middle"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(\\*\\*\\* (Begin Patch|End Patch|Add File: a|Delete File: b|Update File: c|Move to: d|End of File)|@@( x| -1 \\+1 @@)?|[-+ ]?.{0,5}|<<EOF|€)(\n(\\*\\*\\* (Add File: a|Update File: c|Move to: d|End of File|End Patch)|@@( x)?|[-+ ].{0,3}|)){0,12}") {
            let _ = parse(&text);
            let _ = parse(&format!("*** Begin Patch\n{text}\n*** End Patch"));
        }
    }
}
