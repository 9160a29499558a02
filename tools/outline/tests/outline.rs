//! The tool on a workspace of values: a snapshot for every language, then what holds for any source.
#![expect(clippy::disallowed_methods, reason = "tests read their sources")]

use std::collections::BTreeMap;
use std::path::Path;

use guest::files::{Batch, Content, Info, Kind as PathKind, Range, Visited, WalkOptions};
use guest::{Code, Failure, Files, Walks};
use outline::{Args, Kind, Output, outline};
use proptest::prelude::*;

/// Files by path; globs are the host's and ignored.
struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }
}

impl Files for Tree {
    fn stat(&self, path: &str) -> Result<Info, Failure> {
        let (kind, size) = match self.0.get(path) {
            Some(data) => (PathKind::File, data.len() as u64),
            None if path.is_empty() || self.0.keys().any(|other| other.starts_with(&format!("{path}/"))) => {
                (PathKind::Directory, 0)
            }
            None => return Err(Failure::new(Code::NotFound, format!("{path} does not exist"))),
        };
        Ok(Info { kind, size, executable: false })
    }

    fn read(&self, path: &str, _: Option<Range>) -> Result<Content, Failure> {
        if path.contains("denied") {
            return Err(Failure::new(Code::Denied, "no"));
        }
        let data = self.0[path].clone();
        Ok(Content { size: data.len() as u64, data, version: None })
    }
}

impl Walks for Tree {
    fn walk(
        &self,
        root: &str,
        options: &WalkOptions,
        each: &mut dyn FnMut(Batch) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let below = |path: &str| root.is_empty() || path == root || path.starts_with(&format!("{root}/"));
        for path in self.0.keys().filter(|path| below(path)) {
            let denied = path.contains("denied");
            let bytes = if options.contents && !denied { self.0[path].clone() } else { Vec::new() };
            let at = (options.contents && !denied).then_some(Range { offset: 0, length: bytes.len() as u64 });
            let visited = Visited { path: path.clone(), info: self.stat(path)?, at, escaped: false };
            if !each(Batch { visited: vec![visited], bytes })? {
                break;
            }
        }
        Ok(())
    }
}

const EVERY: [Kind; 9] = [
    Kind::Module,
    Kind::Class,
    Kind::Interface,
    Kind::Type,
    Kind::Function,
    Kind::Method,
    Kind::Variable,
    Kind::Macro,
    Kind::Field,
];

fn sources() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources");
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

/// The kind and name of each symbol before its line of the text.
fn described(output: &Output) -> String {
    let mut lines = output.text.lines();
    let mut out = format!("{}\n", lines.next().unwrap_or_default());
    for (symbol, line) in output.symbols.iter().zip(lines) {
        let kind = format!("{:?}", symbol.kind);
        let name = symbol.within.iter().chain([&symbol.name]).map(String::as_str).collect::<Vec<_>>();
        out.push_str(&format!("{kind:<9} {}\n    {line}\n", name.join(" > ")));
    }
    out
}

#[test]
fn each_language_has_its_outline() {
    let sources = sources();
    assert_eq!(sources.len(), 11, "a source without a snapshot shows nothing");
    let tree = Tree(sources.clone());
    for name in sources.keys() {
        let args = Args { path: Some(name.clone()), kinds: EVERY.to_vec(), ..Args::default() };
        insta::assert_snapshot!(name.replace('.', "_"), described(&outline(&tree, &args).unwrap()));
    }
}

fn small() -> Tree {
    Tree::of(&[
        ("README.md", "# Title"),
        ("a.rs", "pub struct Parser;\nimpl Parser {\n    pub fn next(&self) {}\n    fn peek(&self) {}\n}\n"),
        ("b/c.py", "class Lexer:\n    size: int = 1\n\n    def next(self):\n        pass\n"),
        ("b/denied.py", "x = 1\n"),
    ])
}

/// The answer's text.
fn check(args: Args, expect: &str) {
    assert_eq!(outline(&small(), &args).unwrap().text, expect);
}

#[test]
fn files_below_a_folder_stand_one_behind_the_other() {
    check(
        Args::default(),
        "a.rs\n  1    pub struct Parser\n  2-5  impl Parser\n  3      pub fn next(&self)\n  4      fn peek(&self)\n\
         b/c.py\n  1-5  class Lexer\n  4-5    def next(self)\n[1 files could not be read]\n",
    );
    check(
        Args { path: Some("/workspace/b/".to_owned()), depth: Some(1), ..Args::default() },
        "b/c.py\n  1-5  class Lexer\n[1 files could not be read]\n",
    );
}

#[test]
fn a_name_or_a_kind_is_shown_with_what_it_stands_in() {
    check(
        Args { name: Some("NEX".to_owned()), path: Some("a.rs".to_owned()), ..Args::default() },
        "a.rs\n  2-5  impl Parser\n  3      pub fn next(&self)\n",
    );
    check(
        Args { kinds: vec![Kind::Field], path: Some("b/c.py".to_owned()), ..Args::default() },
        "b/c.py\n  1-5  class Lexer\n  2      size: int = 1\n",
    );
    let none = Args { name: Some("nothing".to_owned()), types: vec!["rust".to_owned()], ..Args::default() };
    check(
        none,
        "[no such symbol in 1 file of a known language below .; hidden files and those that gitignore leaves out \
         are shown with `hidden` and `ignored`]\n",
    );
}

#[test]
fn pages_joined_are_the_whole() {
    let sources = Tree(sources());
    let whole = outline(&sources, &Args { limit: Some(2000), ..Args::default() }).unwrap();
    assert!(whole.next.is_none() && whole.symbols.len() > 150, "{}", whole.symbols.len());
    for limit in [1, 7, 50] {
        let (mut symbols, mut cursor) = (Vec::new(), None);
        loop {
            let page = outline(&sources, &Args { limit: Some(limit), cursor, ..Args::default() }).unwrap();
            assert!(page.symbols.len() <= limit as usize);
            symbols.extend(page.symbols);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(symbols, whole.symbols, "{limit}");
    }
}

#[test]
fn a_page_that_begins_inside_a_symbol_says_so() {
    let first = outline(&small(), &Args { limit: Some(3), ..Args::default() }).unwrap();
    assert_eq!(first.next.as_deref(), Some("3:a.rs"));
    assert!(
        first.text.ends_with("go on with `cursor` = \"3:a.rs\", or narrow with `path`, `globs`, `types`, `name`, `kinds` or a `depth` of 1]\n"),
        "{}",
        first.text
    );
    let second = outline(&small(), &Args { limit: Some(1), cursor: first.next, ..Args::default() }).unwrap();
    assert!(
        second.text.starts_with("a.rs [continued in Parser]\n  4    fn peek(&self)\n"),
        "{}",
        second.text
    );
    // The cursor is a place: its file may be gone.
    let gone = outline(&small(), &Args { cursor: Some("9:azz.rs".to_owned()), ..Args::default() }).unwrap();
    assert!(gone.text.starts_with("b/c.py\n"), "{}", gone.text);
}

#[test]
fn what_makes_no_sense_is_told_with_a_way_out() {
    let failed = |args: Args| outline(&small(), &args).unwrap_err();
    let path = |path: &str| Args { path: Some(path.to_owned()), ..Args::default() };
    assert_eq!(failed(path("nothing.rs")).code, Code::NotFound);
    assert_eq!(failed(path("b/denied.py")).code, Code::Denied);
    let unknown = failed(path("README.md"));
    assert_eq!(unknown.message, "README.md is in no language that `outline` knows");
    assert!(unknown.instead.unwrap().contains("Rust (.rs), Python (.py, .pyi), JavaScript"));
    for cursor in ["", "3", "x:a.rs", "-1:a.rs"] {
        let failure = failed(Args { cursor: Some(cursor.to_owned()), ..Args::default() });
        assert_eq!(failure.message, format!("`cursor` = {cursor:?} is none"));
    }
    assert!(failed(Args { types: vec!["cobol".to_owned()], ..Args::default() }).instead.is_some());
}

#[test]
fn files_that_are_not_parsed_are_named() {
    let mut tree = Tree::of(&[("ok.rs", "fn f() {}\n"), ("binary.c", "int a;\0")]);
    tree.0.insert("large.js".to_owned(), vec![b' '; (2 << 20) + 1]);
    let output = outline(&tree, &Args::default()).unwrap();
    assert_eq!(
        output.text,
        "ok.rs\n  1  fn f()\n[too large to parse: large.js (2097153 bytes)]\n[binary: binary.c]\n"
    );
}

#[test]
fn a_call_on_very_many_sources_ends_with_a_cursor() {
    let source = format!("fn f() {{}}\n{}", "// comment\n".repeat(100_000));
    let files: Vec<(String, &str)> = (0..12).map(|n| (format!("f{n:02}.rs"), source.as_str())).collect();
    let tree = Tree::of(&files.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>());
    let (mut shown, mut calls, mut cursor) = (0, 0, None);
    loop {
        let page = outline(&tree, &Args { cursor, ..Args::default() }).unwrap();
        (shown, calls) = (shown + page.symbols.len(), calls + 1);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((shown, calls), (12, 4));
}

#[test]
fn a_header_is_read_in_the_language_it_fits() {
    let of = |name: &str| {
        outline(&Tree(sources()), &Args { path: Some(name.to_owned()), ..Args::default() }).unwrap()
    };
    assert!(!of("plain.h").text.contains("syntax errors"));
    assert!(
        of("widget.h").symbols.iter().any(|symbol| symbol.name == "Widget" && symbol.kind == Kind::Class)
    );
}

#[test]
fn a_source_cannot_forge_a_line_of_the_answer() {
    let tree = Tree::of(&[("a.py", "def f(a='\u{1b}[2J\u{202e}',\n\n  b=1): pass\n")]);
    let output = outline(&tree, &Args::default()).unwrap();
    assert_eq!(output.text, "a.py\n  1-3  def f(a='\\u{1b}[2J\\u{202e}', b=1)\n");
}

#[test]
fn no_nesting_is_too_deep() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000));
    for (path, source) in [
        ("a.rs", deep("mod a { ", "}")),
        ("b.rs", format!("const X: u8 = {}1{};", "(".repeat(20_000), ")".repeat(20_000))),
        ("a.ts", deep("namespace a { ", "}")),
        ("b.js", deep("[", "]")),
        ("c.js", "[{(".repeat(20_000)),
        ("a.py", deep("(", ")")),
        ("a.java", deep("class A { ", "}")),
        ("a.cpp", deep("namespace a { ", "}")),
        ("a.c", deep("struct a { ", "};")),
        ("a.go", format!("package a\nvar x = {}1{}", "(".repeat(20_000), ")".repeat(20_000))),
    ] {
        let output = outline(&Tree::of(&[(path, &source)]), &Args::default()).unwrap();
        assert!(output.symbols.iter().all(|symbol| symbol.within.len() < 32), "{path}");
    }
    let nested = Tree::of(&[("a.rs", &deep("mod a { ", "}"))]);
    let output = outline(&nested, &Args::default()).unwrap();
    assert_eq!(output.symbols.len(), 32);
    assert!(output.text.ends_with("[symbols that stand deeper than 32 in one another are left out]\n"));
}

/// Holds for the outline of any source: the lines of a symbol lie in its file and in those of what it stands
/// in, the text has a line for each, and asking twice answers the same.
fn sound(path: &str, source: &[u8]) {
    let tree = Tree(BTreeMap::from([(path.to_owned(), source.to_vec())]));
    let args = Args { kinds: EVERY.to_vec(), limit: Some(2000), ..Args::default() };
    let output = outline(&tree, &args).unwrap();
    assert_eq!(output, outline(&tree, &args).unwrap());
    let lines = source.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
    let mut open: Vec<(u32, u32)> = Vec::new();
    for symbol in &output.symbols {
        assert!(
            1 <= symbol.first && symbol.first <= symbol.last && symbol.last <= lines,
            "{symbol:?} of {lines}"
        );
        open.truncate(symbol.within.len());
        assert_eq!(open.len(), symbol.within.len(), "{symbol:?}");
        for (first, last) in &open {
            assert!(*first <= symbol.first && symbol.last <= *last, "{symbol:?} in {first}-{last}");
        }
        open.push((symbol.first, symbol.last));
        assert!(!symbol.name.is_empty() && !symbol.signature.is_empty(), "{symbol:?}");
        assert!(!symbol.signature.contains(char::is_control), "{symbol:?}");
    }
    let shown = output.text.lines().filter(|line| line.starts_with("  ")).count();
    assert_eq!(shown, output.symbols.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A source cut off, with bytes spliced in and parts of another language's between.
    #[test]
    fn mangled_sources_have_sound_outlines(
        which in 0..11usize,
        other in 0..11usize,
        cut in 0.0..=1.0f64,
        splices in prop::collection::vec((0.0..=1.0f64, prop::collection::vec(any::<u8>(), 0..12)), 0..6),
        borrow in (0.0..=1.0f64, 0.0..=1.0f64, 0..200usize),
    ) {
        let sources: Vec<_> = sources().into_iter().collect();
        let (path, source) = &sources[which];
        let at = |share: f64, length: usize| (share * length as f64) as usize;
        let mut source = source[..at(cut, source.len())].to_vec();
        let from = &sources[other].1;
        let start = at(borrow.0, from.len());
        let part = &from[start..from.len().min(start + borrow.2)];
        let place = at(borrow.1, source.len());
        source.splice(place..place, part.iter().copied());
        for (place, bytes) in splices {
            let place = at(place, source.len());
            source.splice(place..place, bytes);
        }
        sound(path, &source);
    }

    #[test]
    fn any_bytes_have_a_sound_outline(which in 0..11usize, source in prop::collection::vec(any::<u8>(), 0..400)) {
        let path = sources().into_keys().nth(which).unwrap();
        sound(&path, &source);
    }

    #[test]
    fn any_arguments_are_answered(
        name in prop::option::of(".{0,8}"),
        depth in prop::option::of(any::<u32>()),
        limit in prop::option::of(any::<u32>()),
        cursor in prop::option::of("([0-9]{0,22}:)?.{0,8}"),
        globs in prop::collection::vec(".{0,6}", 0..3),
        path in prop::option::of("(/|\\.|a|b|c\\.py){0,4}"),
    ) {
        let args = Args { name, depth, limit, cursor, globs, path, ..Args::default() };
        if let Err(failure) = outline(&small(), &args) {
            prop_assert!(!failure.message.is_empty());
        }
    }
}

/// A small repository: what a task is about stands in two of its files.
fn repository() -> Tree {
    Tree::of(&[
        (
            "src/cache.py",
            "class Cache:\n    def get(self, key):\n        return self.load(key)\n\n    def evict_oldest(self):\n        pass\n",
        ),
        (
            "src/http.py",
            "from cache import Cache\n\ndef fetch(url):\n    return Cache().get(url)\n\ndef retry(times):\n    pass\n",
        ),
        ("src/text.py", "def wrap(line, width):\n    return line\n\ndef indent(line):\n    return line\n"),
        ("tests/test_cache.py", "from cache import Cache\n\ndef test_evict():\n    Cache().evict_oldest()\n"),
        ("denied.py", "def evict_everything_from_the_cache():\n    pass\n"),
    ])
}

#[test]
fn a_map_shows_what_matters_for_a_text() {
    let map = |about: &str, tokens| {
        let args = Args { about: Some(about.into()), tokens: Some(tokens), ..Args::default() };
        outline(&repository(), &args).unwrap().text
    };
    insta::assert_snapshot!(map("The cache evicts the newest entry instead of the oldest", 60), @"
    tests/test_cache.py
      3-4  def test_evict()
    src/cache.py
      1-6  class Cache
      2-3    def get(self, key)
      5-6    def evict_oldest(self)
    src/http.py
      3-4  def fetch(url)
      6-7  def retry(times)
    [the 6 most relevant of 8 symbols, in 3 of 4 files; `tokens` shows more]
    ");
    insta::assert_snapshot!(map("lines are wrapped at the wrong width", 20), @"
    src/text.py
      1-2  def wrap(line, width)
      4-5  def indent(line)
    [the 2 most relevant of 8 symbols, in 1 of 4 files; `tokens` shows more]
    ");
    // Of a text that says nothing, what most files mention.
    insta::assert_snapshot!(map("", 1000), @"
    src/cache.py
      1-6  class Cache
      2-3    def get(self, key)
      5-6    def evict_oldest(self)
    src/http.py
      3-4  def fetch(url)
      6-7  def retry(times)
    src/text.py
      1-2  def wrap(line, width)
      4-5  def indent(line)
    tests/test_cache.py
      3-4  def test_evict()
    [all 8 symbols of 4 files, the most relevant file first]
    ");
    // Less than one symbol has room.
    assert_eq!(map("cache", 1), "[none of the symbols fits into so few `tokens`]\n");
}

#[test]
fn a_map_has_no_pages_and_narrows_as_all_else_does() {
    let args = Args { about: Some("cache".into()), cursor: Some("0:a".into()), ..Args::default() };
    assert_eq!(outline(&repository(), &args).unwrap_err().code, Code::InvalidInput);
    let args = Args { about: Some("cache".into()), kinds: vec![Kind::Class], ..Args::default() };
    let found = outline(&repository(), &args).unwrap();
    assert_eq!(found.symbols.iter().map(|symbol| symbol.name.as_str()).collect::<Vec<_>>(), ["Cache"]);
    assert!(!found.text.contains("denied"), "{}", found.text);
}

proptest! {
    #[test]
    fn a_map_keeps_to_its_tokens(about in "\\PC{0,80}|[a-z_ ]{0,80}", tokens in 0u32..300) {
        let args = Args { about: Some(about), tokens: Some(tokens), ..Args::default() };
        let output = outline(&repository(), &args).unwrap();
        let map: String = output.text.lines().filter(|line| !line.starts_with('[')).map(|line| format!("{line}\n")).collect();
        prop_assert!(map.len() <= tokens.max(1) as usize * 4, "{} of {tokens}: {map}", map.len());
        prop_assert_eq!(output.next, None);
    }
}
