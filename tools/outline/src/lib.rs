//! `outline`: the symbols of source files, by tree-sitter's grammars.
//!
//! Apart from `guest`, since the grammars are C: who works on the other tools needs no C compiler for wasm.
//!
//! Invariants, as in `guest`: no source makes it panic, exhaust the stack or run without end; nothing is read
//! but through [`Files`] and [`Walks`]; a symbol's lines lie inside its file and in those of what it stands in.
#![forbid(unsafe_code)]

mod languages;
mod rank;
mod symbols;

use std::fmt::Write;

use guest::files::{Kind as PathKind, Range, WalkOptions};
use guest::path::{normal, shown};
use guest::types::Types;
use guest::{Code, Failure, Files, Walks, lines};

use symbols::{NESTING, Parsers, Symbols};

/// Symbols shown when the call does not say how many.
const DEFAULT_LIMIT: u32 = 200;
/// The most symbols one call shows.
const MOST: u32 = 2000;
/// The most text one call shows, bytes.
const TEXT: usize = 128 << 10;
/// Larger files are named instead of parsed, bytes: a tree takes some forty times as much.
const LARGEST: u64 = 2 << 20;
/// Tokens of a ranked answer when the call does not say how many, and the most.
const TOKENS: u32 = 1000;
const MOST_TOKENS: u32 = 8000;
/// Bytes that count as a token: what models' own tokenizers make of source is three to four.
const TOKEN: usize = 4;
/// After so many bytes of sources a call ends with a cursor, well before its deadline: a busy machine was seen
/// to parse a megabyte a second.
const PARSED: u64 = 4 << 20;

/// A sort of symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A module or namespace.
    Module,
    /// A class, struct, union, record, enum, or what an `impl` block adds to one.
    Class,
    /// An interface or trait.
    Interface,
    /// Another name for a type.
    Type,
    /// A function that belongs to no type.
    Function,
    /// A function that belongs to a type.
    Method,
    /// A constant or variable outside of functions.
    Variable,
    /// A macro.
    Macro,
    /// A field of a type, or a case of an enum.
    Field,
}

/// What to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// A file, or a folder; the root when none.
    pub path: Option<String>,
    /// Gitignore-style globs.
    pub globs: Vec<String>,
    /// Names of file types.
    pub types: Vec<String>,
    /// What a symbol's name must hold, whatever its case.
    pub name: Option<String>,
    /// The kinds to show; all but fields when none are given.
    pub kinds: Vec<Kind>,
    /// How deep in one another symbols may stand.
    pub depth: Option<u32>,
    /// Whether to show files whose name begins with a dot.
    pub hidden: bool,
    /// Whether to show files that gitignore leaves out.
    pub ignored: bool,
    /// How many symbols.
    pub limit: Option<u32>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// A text: the files and symbols that matter for it are shown, the most relevant file first.
    pub about: Option<String>,
    /// How many tokens an answer about a text may have, about.
    pub tokens: Option<u32>,
}

/// A symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// The file.
    pub path: String,
    /// Its sort.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How it is declared, without its body, in one line.
    pub signature: String,
    /// Its first line, counted from 1.
    pub first: u32,
    /// Its last line.
    pub last: u32,
    /// The names of what it stands in, from the outermost.
    pub within: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Each file's path and its symbols, one a line, and remarks in brackets.
    pub text: String,
    /// The symbols.
    pub symbols: Vec<Symbol>,
    /// Files that were looked into.
    pub files: u32,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// Shows the symbols of a file, or of the files below a folder.
pub fn outline(files: &(impl Files + Walks), args: &Args) -> Result<Output, Failure> {
    let root = normal(args.path.as_deref().unwrap_or_default());
    let types = Types::new(&args.types)?;
    let mut globs = types.narrow(&args.globs);
    if globs.iter().all(|glob| glob.starts_with('!')) {
        // The last glob that fits decides.
        globs.splice(..0, languages::globs());
    }
    let (skipped, from) = match &args.cursor {
        Some(cursor) => position(cursor)?,
        None => (0, String::new()),
    };
    let mut page = Page {
        args,
        name: args.name.as_deref().filter(|name| !name.is_empty()).map(str::to_lowercase),
        limit: args.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST) as usize,
        parsers: Parsers::default(),
        parsed: 0,
        output: Output::default(),
        remarks: Remarks::default(),
    };
    let options = WalkOptions {
        globs,
        hidden: args.hidden,
        ignore_files: !args.ignored,
        depth: None,
        directories: false,
        contents: false,
        max_file_size: 0,
    };
    let one = files.stat(&root)?.kind == PathKind::File;
    if one && languages::of(&root).next().is_none() {
        return Err(Failure::new(
            Code::InvalidInput,
            format!("{} is in no language that `outline` knows", shown(&root)),
        )
        .instead(format!("Read it with `read`. It knows {}.", languages::known())));
    }
    if let Some(about) = &args.about {
        if args.cursor.is_some() {
            return Err(Failure::new(
                Code::InvalidInput,
                "an answer about a text has no pages, so no `cursor`",
            )
            .instead("Ask for more with `tokens`, or narrow with `path`, `globs`, `types` or `kinds`."));
        }
        return Ok(page.about(rank::rank(files, &root, options, &types, about)?, &root));
    }
    files.walk(&root, &options, &mut |batch| {
        for visited in batch.visited {
            let path = visited.path;
            let known = languages::of(&path).next().is_some() && types.fit(&path);
            if visited.info.kind != PathKind::File || path < from || !known {
                continue;
            }
            let skip = if path == from { skipped } else { 0 };
            if visited.info.size > LARGEST {
                page.remarks.large.push(format!("{} ({} bytes)", shown(&path), visited.info.size));
                continue;
            }
            if page.parsed + visited.info.size > PARSED {
                page.output.next = Some(format!("{skip}:{path}"));
                return Ok(false);
            }
            let source = match files.read(&path, Some(Range { offset: 0, length: LARGEST })) {
                Ok(content) => content.data,
                Err(failure) if !one && failure.code != Code::Timeout && failure.code != Code::Internal => {
                    page.remarks.unread += 1;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            page.parsed += source.len() as u64;
            page.file(&path, &source, skip);
            if page.output.next.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(page.finish(&root))
}

/// Reads a cursor: how many symbols of a file were shown, and the file.
fn position(cursor: &str) -> Result<(usize, String), Failure> {
    cursor
        .split_once(':')
        .and_then(|(skipped, path)| Some((skipped.parse().ok()?, path.to_owned())))
        .ok_or_else(|| {
            Failure::new(Code::InvalidInput, format!("`cursor` = {:?} is none", lines::cut(cursor, 80).0))
                .instead("Give `next` of the answer before as it is, or no `cursor` to begin anew.")
        })
}

/// What is shown of this call, as far as it has come.
struct Page<'a> {
    args: &'a Args,
    name: Option<String>,
    limit: usize,
    parsers: Parsers,
    parsed: u64,
    output: Output,
    remarks: Remarks,
}

#[derive(Default)]
struct Remarks {
    large: Vec<String>,
    tangled: Vec<String>,
    binary: Vec<String>,
    unread: u32,
    deeper: bool,
}

impl Page<'_> {
    /// Adds one file's symbols but for the first `skip`; notes a cursor where they do not fit.
    fn file(&mut self, path: &str, source: &[u8], skip: usize) {
        self.output.files += 1;
        if memchr::memchr(0, source).is_some() {
            self.remarks.binary.push(shown(path).into_owned());
            return;
        }
        let Some(found) = self.parsers.best(path, source) else {
            self.remarks.tangled.push(shown(path).into_owned());
            return;
        };
        self.remarks.deeper |= found.deeper;
        let kept = self.kept(&found);
        let Some(first) = kept.get(skip) else { return };
        if self.output.symbols.len() >= self.limit {
            self.output.next = Some(format!("{skip}:{path}"));
            return;
        }
        let mut header = shown(path).into_owned();
        if skip > 0 {
            let within = within(&found, *first);
            let within = if within.is_empty() { String::new() } else { format!(" in {}", within.join(", ")) };
            let _ = write!(header, " [continued{within}]");
        }
        if found.wrong > 0 {
            header.push_str(" [has syntax errors; symbols may be missing]");
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.output.text, "{header}");
        let shown = &kept[skip..kept.len().min(skip + self.limit - self.output.symbols.len())];
        let count = self.symbols(path, &found, shown);
        if skip + count < kept.len() {
            self.output.next = Some(format!("{}:{path}", skip + count));
        }
    }

    /// Adds a file's name and some of its symbols.
    fn lines(&mut self, path: &str, found: &Symbols, shown: &[usize]) {
        let _ = writeln!(self.output.text, "{}", self::shown(path));
        self.symbols(path, found, shown);
    }

    /// Adds a line for each symbol, as far as there is room; returns how many.
    fn symbols(&mut self, path: &str, found: &Symbols, shown: &[usize]) -> usize {
        let place = |index: usize| {
            let symbol = &found.list[index];
            if symbol.first == symbol.last {
                symbol.first.to_string()
            } else {
                format!("{}-{}", symbol.first, symbol.last)
            }
        };
        let width = shown.iter().map(|index| place(*index).len()).max().unwrap_or(0);
        for (count, &index) in shown.iter().enumerate() {
            if self.output.text.len() > TEXT {
                return count;
            }
            let symbol = &found.list[index];
            let indent = "  ".repeat(symbol.depth);
            let _ = writeln!(self.output.text, "  {:<width$}  {indent}{}", place(index), symbol.signature);
            self.output.symbols.push(Symbol {
                path: path.to_owned(),
                kind: symbol.kind,
                name: symbol.name.clone(),
                signature: symbol.signature.clone(),
                first: symbol.first,
                last: symbol.last,
                within: within(found, index),
            });
        }
        shown.len()
    }

    /// Shows what matters most of a ranking, within the tokens asked for.
    fn about(mut self, ranking: rank::Ranking, root: &str) -> Output {
        let room = self.args.tokens.unwrap_or(TOKENS).clamp(1, MOST_TOKENS) as usize * TOKEN;
        let mut symbols: Vec<(f64, usize, usize)> = Vec::new();
        for (at, file) in ranking.files.iter().enumerate() {
            symbols.extend(self.kept(&file.found).into_iter().map(|index| (file.scores[index], at, index)));
        }
        let all = symbols.len();
        symbols.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut chosen: Vec<Vec<bool>> =
            ranking.files.iter().map(|file| vec![false; file.found.list.len()]).collect();
        let (mut used, mut files, mut count) = (0, 0, 0);
        for (_, at, index) in symbols {
            let file = &ranking.files[at];
            // With what it stands in, and the file's name where it is the first of it.
            let mut more = Vec::new();
            let mut next = Some(index);
            while let Some(symbol) = next.filter(|symbol| !chosen[at][*symbol]) {
                more.push(symbol);
                next = file.found.list[symbol].parent;
            }
            let first = !chosen[at].contains(&true);
            let lines =
                more.iter().map(|symbol| file.found.list[*symbol].signature.len() + 12).sum::<usize>();
            let cost = lines + if first { file.path.len() + 1 } else { 0 };
            if used + cost > room {
                break;
            }
            used += cost;
            files += usize::from(first);
            count += more.len();
            more.into_iter().for_each(|symbol| chosen[at][symbol] = true);
        }
        for (file, chosen) in ranking.files.iter().zip(&chosen) {
            let shown: Vec<usize> = (0..chosen.len()).filter(|index| chosen[*index]).collect();
            if !shown.is_empty() {
                self.remarks.deeper |= file.found.deeper;
                self.lines(&file.path, &file.found, &shown);
            }
        }
        self.output.files = u32::try_from(ranking.weighed).unwrap_or(u32::MAX);
        if count == 0 && all > 0 {
            // The remark that there is none would be wrong.
            self.output.text = "[none of the symbols fits into so few `tokens`]\n".to_owned();
            return self.output;
        }
        let mut output = self.finish(root);
        if count > 0 {
            let more = if ranking.more { ", of more than can be looked through" } else { "" };
            let of = ranking.weighed;
            let _ = if count == all {
                writeln!(output.text, "[all {all} symbols of {of} files{more}, the most relevant file first]")
            } else {
                writeln!(
                    output.text,
                    "[the {count} most relevant of {all} symbols, in {files} of {of} files{more}; `tokens` shows more]"
                )
            };
        }
        output
    }

    /// The symbols that are asked for, with what they stand in.
    fn kept(&self, found: &Symbols) -> Vec<usize> {
        let asked = |symbol: &symbols::Symbol| {
            let kind = if self.args.kinds.is_empty() {
                symbol.kind != Kind::Field
            } else {
                self.args.kinds.contains(&symbol.kind)
            };
            let name = self.name.as_ref().is_none_or(|name| symbol.name.to_lowercase().contains(name));
            let depth = self.args.depth.is_none_or(|depth| symbol.depth < depth.max(1) as usize);
            kind && name && depth
        };
        let mut keep = vec![false; found.list.len()];
        for (index, symbol) in found.list.iter().enumerate().rev() {
            keep[index] |= asked(symbol);
            if keep[index]
                && let Some(parent) = symbol.parent
            {
                keep[parent] = true;
            }
        }
        (0..keep.len()).filter(|index| keep[*index]).collect()
    }

    fn finish(self, root: &str) -> Output {
        let mut output = self.output;
        let mut remark = |remark: String| {
            let _ = writeln!(output.text, "[{remark}]");
        };
        if output.symbols.is_empty() && output.next.is_none() {
            let filtered = self.name.is_some() || !self.args.kinds.is_empty();
            let what = if filtered { "no such symbol" } else { "no symbol" };
            let files = match output.files {
                1 => "1 file".to_owned(),
                n => format!("{n} files"),
            };
            let left_out = match (self.args.hidden, self.args.ignored) {
                (true, true) => "",
                _ => {
                    "; hidden files and those that gitignore leaves out are shown with `hidden` and `ignored`"
                }
            };
            remark(format!("{what} in {files} of a known language below {}{left_out}", shown(root)));
        }
        if let Some(cursor) = &output.next {
            remark(format!(
                "there are more; go on with `cursor` = {cursor:?}, or narrow with `path`, `globs`, `types`, `name`, `kinds` \
                 or a `depth` of 1"
            ));
        }
        for (what, mut names) in [
            ("too large to parse", self.remarks.large),
            ("binary", self.remarks.binary),
            ("too tangled to parse; use `search` there", self.remarks.tangled),
        ] {
            if names.len() > 5 {
                let more = names.len() - 5;
                names.truncate(5);
                names.push(format!("{more} more"));
            }
            if !names.is_empty() {
                remark(format!("{what}: {}", names.join(", ")));
            }
        }
        if self.remarks.unread > 0 {
            remark(format!("{} files could not be read", self.remarks.unread));
        }
        if self.remarks.deeper {
            remark(format!("symbols that stand deeper than {NESTING} in one another are left out"));
        }
        output
    }
}

/// The names of what a symbol stands in, from the outermost.
fn within(found: &Symbols, index: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = found.list[index].parent;
    while let Some(parent) = at {
        names.push(found.list[parent].name.clone());
        at = found.list[parent].parent;
    }
    names.reverse();
    names
}
