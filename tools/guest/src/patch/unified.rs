//! The grammar of unified diffs, with git's headers.
//!
//! Lenient where models and mail go wrong: prose and headers of other tools between files are skipped, the
//! lengths in a hunk's header may be wrong or missing, an empty line is an empty line of context.

use std::borrow::Cow;

use super::parse::{Hunk, HunkLine, ParseError, Section, What, error, without_numbers};

const GIT: &str = "diff --git ";
const NOWHERE: &str = "/dev/null";

/// Whether a line can be the first of a unified diff.
pub(super) fn begins(line: &str) -> bool {
    [GIT, "--- ", "Index: ", "diff -"].iter().any(|start| line.starts_with(start))
        // The first line of git format-patch.
        || (line.starts_with("From ") && line.ends_with("Mon Sep 17 00:00:00 2001"))
}

/// Parses a diff.
pub(super) fn parse<'a>(lines: &[&'a str]) -> Result<Vec<Section<'a>>, ParseError> {
    let mut files: Vec<File<'a>> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(names) = line.strip_prefix(GIT) {
            files.push(File::of_git(at + 1, names));
            at += 1;
        } else if is_header(lines, at) {
            // Those of git's header belong to the file above.
            if !files.last().is_some_and(|file| file.git && file.names.is_none() && file.hunks.is_empty()) {
                files.push(File { line: at + 1, ..File::default() });
            }
            if let Some(file) = files.last_mut() {
                file.names = Some((name(&line[4..]), name(&lines[at + 1][4..])));
            }
            at += 2;
        } else if line.starts_with("@@") {
            let Some(file) = files.last_mut().filter(|file| file.names.is_some()) else {
                return error(at + 1, "a hunk must stand below `--- a/PATH` and `+++ b/PATH`");
            };
            let (hunk, end) = hunk(lines, at)?;
            file.hunks.push(hunk);
            at = end;
        } else {
            if let Some(file) = files.last_mut().filter(|file| file.git && file.hunks.is_empty()) {
                file.header(at + 1, line)?;
            }
            at += 1;
        }
    }
    if files.is_empty() {
        return error(0, "it holds no file");
    }
    files.into_iter().map(File::section).collect()
}

fn is_header(lines: &[&str], at: usize) -> bool {
    lines[at].starts_with("--- ") && lines.get(at + 1).is_some_and(|next| next.starts_with("+++ "))
}

/// One file of a diff.
#[derive(Default)]
struct File<'a> {
    /// Where it begins, from 1.
    line: usize,
    git: bool,
    /// What stands behind `diff --git`.
    git_names: Option<&'a str>,
    /// What stands behind `---` and `+++`.
    names: Option<(Cow<'a, str>, Cow<'a, str>)>,
    renamed: (Option<Cow<'a, str>>, Option<Cow<'a, str>>),
    is_new: bool,
    is_gone: bool,
    mode: Option<&'a str>,
    hunks: Vec<Hunk<'a>>,
}

impl<'a> File<'a> {
    fn of_git(line: usize, names: &'a str) -> Self {
        Self { line, git: true, git_names: Some(names), ..Self::default() }
    }

    /// Takes a line of git's header.
    fn header(&mut self, number: usize, line: &'a str) -> Result<(), ParseError> {
        let rest = |start: &str| line.strip_prefix(start);
        if let Some(mode) = rest("new file mode ") {
            self.is_new = true;
            self.mode = Some(mode).filter(|mode| *mode != "100644");
        } else if rest("deleted file mode ").is_some() {
            self.is_gone = true;
        } else if let Some(mode) = rest("new mode ") {
            self.mode = Some(mode);
        } else if let Some(path) = rest("rename from ") {
            self.renamed.0 = Some(name(path));
        } else if let Some(path) = rest("rename to ") {
            self.renamed.1 = Some(name(path));
        } else if line.starts_with("copy from ") || line.starts_with("copy to ") {
            return error(number, "a copy cannot be made; give the file as a new one with all its lines");
        } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
            return error(number, "it changes a binary file, and only text files can be patched");
        }
        if matches!(self.mode, Some("120000" | "160000")) {
            return error(number, "it makes a symbolic link or a submodule, which no tool does");
        }
        Ok(())
    }

    fn section(self) -> Result<Section<'a>, ParseError> {
        let line = self.line;
        let (old, new) = self.paths()?;
        let remark = self.mode.map(|mode| {
            let name = crate::path::shown(&new).into_owned();
            format!("the mode {mode} of {name} is not set: no tool changes modes")
        });
        let names = self.names.as_ref();
        let is_new = self.is_new || names.is_some_and(|(old, _)| old == NOWHERE);
        let is_gone = self.is_gone || names.is_some_and(|(_, new)| new == NOWHERE);
        let renamed = self.renamed.0.is_some();
        if is_new {
            let mut lines = Vec::new();
            for line in self.hunks.iter().flat_map(|hunk| &hunk.lines) {
                match line {
                    HunkLine::Add(text) => lines.push(*text),
                    // What remains of a blank line at the end of the text.
                    HunkLine::Context("") => {}
                    HunkLine::Context(_) | HunkLine::Remove(_) => {
                        return error(
                            self.line,
                            format!("every line of the new file {new} must begin with +"),
                        );
                    }
                }
            }
            let ended = !self.hunks.last().is_some_and(|hunk| hunk.unended);
            return Ok(Section { path: new, what: What::Add { lines, ended }, remark });
        }
        if is_gone {
            return Ok(Section { path: old, what: What::DeleteAll(self.hunks), remark: None });
        }
        if self.hunks.is_empty() && !renamed && remark.is_none() {
            return error(line, format!("{new} has no hunk below it"));
        }
        if let Some(hunk) = self.hunks.iter().find(|hunk| hunk.lines.is_empty()) {
            return error(hunk.at, "this hunk holds no lines");
        }
        let to = renamed.then(|| new.clone());
        let path = if renamed { old } else { new };
        Ok(Section { path, what: What::Update { to, hunks: self.hunks }, remark })
    }

    /// Returns the old and the new path; that of a file that is not on one side is the other's.
    fn paths(&self) -> Result<(Cow<'a, str>, Cow<'a, str>), ParseError> {
        if let (Some(from), Some(to)) = &self.renamed {
            return Ok((from.clone(), to.clone()));
        }
        let (old, new) = match (&self.names, self.git_names) {
            (Some(names), _) => names.clone(),
            (None, Some(names)) => match split_names(names) {
                Some(names) => names,
                None => return error(self.line, format!("`{GIT}{names}` does not name one file twice")),
            },
            (None, None) => return error(self.line, "it names no file"),
        };
        let (old, new) = match (old.as_ref(), new.as_ref()) {
            (NOWHERE, NOWHERE) => return error(self.line, "it names no file"),
            (NOWHERE, _) => (new.clone(), new),
            (_, NOWHERE) => (old.clone(), old),
            _ => (old, new),
        };
        // Where git names the file with its two prefixes, every name has them; a plain diff of one side has
        // them by custom.
        let prefixed = match self.git_names {
            Some(names) => split_names(names).is_none_or(|(old, new)| are_prefixed(&old, &new)),
            None => old == new || are_prefixed(&old, &new),
        };
        let one_sided = self.names.as_ref().is_some_and(|(old, new)| old == NOWHERE || new == NOWHERE);
        let strip = |path: Cow<'a, str>| match prefix(&path) {
            // `--- a/x` above `+++ a/x` is a file in a folder named a.
            Some(_) if prefixed && (old != new || one_sided || self.names.is_none()) => {
                Cow::Owned(path[2..].to_owned())
            }
            _ => path,
        };
        let (old, new) = (strip(old.clone()), strip(new.clone()));
        if self.git && old != new {
            return error(
                self.line,
                format!("it names two files, {old} and {new}, without `rename from` and `rename to`"),
            );
        }
        for path in [&old, &new] {
            if path.is_empty() {
                return error(self.line, "it names no file");
            }
        }
        Ok((old, new))
    }
}

/// Whether two names begin with two prefixes like `a/` and `b/`.
fn are_prefixed(old: &str, new: &str) -> bool {
    matches!((prefix(old), prefix(new)), (Some(a), Some(b)) if a != b)
}

/// Returns the letter of a prefix like `a/`; git has others for `diff.mnemonicPrefix`.
fn prefix(path: &str) -> Option<char> {
    let mut chars = path.chars();
    let letter = chars.next().filter(|c| "abciow".contains(*c))?;
    (chars.next() == Some('/')).then_some(letter)
}

/// Splits `a/NAME b/NAME`, where a name may hold spaces.
fn split_names(names: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    // A name may end in a space; what a model or a mail left at the line's end is none of it.
    split_exactly(names).or_else(|| split_exactly(names.trim_end()))
}

fn split_exactly(names: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    if names.starts_with('"') {
        let end = closing_quote(names)?;
        let (old, new) = (&names[..=end], names[end + 1..].trim_start());
        return Some((name(old), name(new)));
    }
    names.match_indices(' ').find_map(|(at, _)| {
        let (old, new) = (&names[..at], &names[at + 1..]);
        let new = if new.starts_with('"') { name(new) } else { Cow::Borrowed(new) };
        let same =
            old == new || (prefix(old).is_some() && prefix(&new).is_some() && old.get(2..) == new.get(2..));
        same.then_some((Cow::Borrowed(old), new))
    })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// Reads a path: without the time that `diff` puts behind a tab, and out of git's quotes. Git puts a tab behind
/// a name with spaces, so that those at its end are seen to be the name's.
fn name(text: &str) -> Cow<'_, str> {
    if !text.starts_with('"') {
        return Cow::Borrowed(text.split_once('\t').map_or(text.trim_end(), |(name, _)| name));
    }
    let inner = &text[1..closing_quote(text).unwrap_or(text.len())];
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'a') => bytes.push(7),
            Some(b'b') => bytes.push(8),
            Some(b't') => bytes.push(b'\t'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b'v') => bytes.push(11),
            Some(b'f') => bytes.push(12),
            Some(b'r') => bytes.push(b'\r'),
            Some(first @ b'0'..=b'3') => {
                let digits = [first, rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digit = |byte: u8| byte.wrapping_sub(b'0') & 7;
                bytes.push(digits.iter().fold(0u8, |sum, byte| sum.wrapping_mul(8) | digit(*byte)));
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Parses the hunk whose header stands at `at`; returns where it ends, too.
fn hunk<'a>(lines: &[&'a str], at: usize) -> Result<(Hunk<'a>, usize), ParseError> {
    let mut hunk = Hunk { at: at + 1, ..Hunk::default() };
    let numbers = numbers(lines[at]);
    // How many lines of the old and of the new file are to come, where the header says.
    let mut left = numbers.map(|[_, old, _, new]| (old, new));
    match numbers {
        // Of an empty range the line before it is named.
        Some([line, count, ..]) => hunk.start = Some(if count == 0 { line } else { line.saturating_sub(1) }),
        None => {
            hunk.headers.extend(without_numbers(&lines[at][2..]));
        }
    }
    let mut next = at + 1;
    while let Some(&line) = lines.get(next) {
        let full = left == Some((0, 0));
        let closing = left == Some((1, 1));
        if line.starts_with("@@") || line.starts_with(GIT) {
            break;
        }
        // A removed line `-- x` above an added line `++ y` looks like this too; only lengths that just fit tell.
        if is_header(lines, next) && !closing && (full || left.is_none() || starts_hunk(lines, next + 2)) {
            break;
        }
        // What git format-patch ends with.
        if full && matches!(line, "-- " | "--") {
            break;
        }
        let (mark, rest) = match line.as_bytes().first() {
            None if full || next + 1 == lines.len() => break,
            None => (b' ', ""),
            Some(mark) => (*mark, line.get(1..).unwrap_or_default()),
        };
        let count = |(old, new): (usize, usize), in_old: bool, in_new: bool| {
            (old.saturating_sub(in_old.into()), new.saturating_sub(in_new.into()))
        };
        match mark {
            b' ' => {
                hunk.lines.push(HunkLine::Context(rest));
                left = left.map(|left| count(left, true, true));
            }
            b'-' => {
                hunk.lines.push(HunkLine::Remove(rest));
                left = left.map(|left| count(left, true, false));
            }
            b'+' => {
                hunk.lines.push(HunkLine::Add(rest));
                left = left.map(|left| count(left, false, true));
            }
            b'\\' => hunk.unended |= !matches!(hunk.lines.last(), Some(HunkLine::Remove(_)) | None),
            _ if full => break,
            _ => {
                let (start, _) = crate::lines::cut(line, 60);
                return error(
                    next + 1,
                    format!("`{start}` begins with neither a space (context), - (removed) nor + (added)"),
                );
            }
        }
        next += 1;
    }
    Ok((hunk, next))
}

fn starts_hunk(lines: &[&str], at: usize) -> bool {
    lines.get(at).is_some_and(|line| line.starts_with("@@"))
}

/// Returns first line and length of the old and of the new lines of `@@ -1,2 +3,4 @@`.
fn numbers(header: &str) -> Option<[usize; 4]> {
    let rest = header.strip_prefix("@@ -")?;
    let (ranges, _) = rest.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| match text.split_once(',') {
        Some((line, count)) => Some((line.parse().ok()?, count.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    };
    let ((old, old_count), (new, new_count)) = (range(old)?, range(new)?);
    Some([old, old_count, new, new_count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Section<'_>>, String> {
        super::super::parse::parse(text).map_err(|error| error.to_string())
    }

    fn path_of(text: &str) -> String {
        parsed(text).map_or_else(|error| error, |sections| sections[0].path.to_string())
    }

    #[test]
    fn names_are_read_as_git_and_diff_write_them() {
        let hunk = "@@ -1 +1 @@\n-a\n+b\n";
        for (header, path) in [
            ("--- a/src/x.rs\n+++ b/src/x.rs\n", "src/x.rs"),
            ("--- src/x.rs\n+++ src/x.rs\n", "src/x.rs"),
            ("--- src/x.rs.orig\t2024-01-01 00:00:00\n+++ src/x.rs\t2024-01-01 00:00:01\n", "src/x.rs"),
            ("--- a/x\n+++ a/x\n", "a/x"),
            ("diff --git a/x b/x\n--- a/x\n+++ b/x\n", "x"),
            ("diff --git i/x w/x\nindex 1..2 100644\n--- i/x\n+++ w/x\n", "x"),
            ("diff --git a/x a/x\n--- a/x\n+++ a/x\n", "a/x"),
            ("diff --git a/a b b/a b\n--- a/a b\n+++ b/a b\n", "a b"),
            (
                "diff --git \"a/\\303\\244\\n\" \"b/\\303\\244\\n\"\n--- \"a/\\303\\244\\n\"\n+++ \"b/\\303\\244\\n\"\n",
                "ä\n",
            ),
            ("diff --git a/x  b/x \n--- a/x \t\n+++ b/x \t\n", "x "),
            ("--- a/x \t\n+++ b/x \t\n", "x "),
            ("Index: x\n=====\n--- x\n+++ x\n", "x"),
            ("diff -u a/x b/x\n--- a/x\n+++ b/x\n", "x"),
        ] {
            assert_eq!(path_of(&format!("{header}{hunk}")), path, "{header}");
        }
        for (header, problem) in [
            (
                "diff --git a/x b/y\n--- a/x\n+++ b/y\n",
                "line 1: it names two files, x and y, without `rename from` and `rename to`",
            ),
            ("--- /dev/null\n+++ /dev/null\n", "line 1: it names no file"),
            ("--- a/\n+++ b/\n", "line 1: it names no file"),
        ] {
            assert_eq!(path_of(&format!("{header}{hunk}")), problem, "{header}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, problem) in [
            ("--- a/x\n+++ b/x\n", "line 1: x has no hunk below it"),
            ("--- a/x\n", "it holds no file"),
            ("--- a/x\n@@ -1 +1 @@\n-a\n", "line 2: a hunk must stand below `--- a/PATH` and `+++ b/PATH`"),
            (
                "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\nb\n",
                "line 5: `b` begins with neither a space (context), - (removed) nor + (added)",
            ),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n@@ -3 +3 @@\n-a\n", "line 3: this hunk holds no lines"),
            (
                "diff --git a/x b/x\nGIT binary patch\n",
                "line 2: it changes a binary file, and only text files can be patched",
            ),
            (
                "diff --git a/x b/x\nnew file mode 120000\n",
                "line 2: it makes a symbolic link or a submodule, which no tool does",
            ),
            (
                "diff --git a/x b/y\ncopy from x\ncopy to y\n",
                "line 2: a copy cannot be made; give the file as a new one with all its lines",
            ),
            (
                "--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n a\n",
                "line 1: every line of the new file x must begin with +",
            ),
        ] {
            assert_eq!(parsed(text).unwrap_err(), problem, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        #[test]
        fn no_text_panics(text in "(diff --git .{0,12}|--- .{0,6}|Index: a)(\n(diff --git (a/x b/x|\"a.{0,3}\" .{0,6})|--- (a/x|/dev/null|\"\\\\[0-9n]{0,3}.?\"?)|\\+\\+\\+ (b/x|/dev/null)|@@ -[0-9,]{0,4} \\+[0-9,]{0,4} @@|@@.{0,3}|new file mode 100(644|755)|deleted file mode 100644|rename (from|to) .|[-+ ].{0,3}|\\\\ No newline|-- |)){0,12}") {
            let _ = parsed(&text);
        }
    }
}
