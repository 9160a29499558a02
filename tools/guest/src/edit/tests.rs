//! What an edit makes of a file, and what it says where it cannot be made.

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
        edited("fn a() {\n\tlet x = 1;\n}\n", "let x =  1;\n", "let x = 2;\n", false),
        "Conflict: `old` does not occur in a.rs. With other white space it stands at line 2:\n     2\t\tlet x = 1;\n\
         Line 2 is \"\\tlet x = 1;\" where `old` has \"let x =  1;\".\n\
         => Read the file and copy `old` exactly as it stands there, with its white space and without line numbers."
    );
    assert!(
        edited("a\n", "completely other", "x", false)
            .starts_with("Conflict: `old` does not occur in a.rs.\n=>")
    );
}

#[test]
fn an_edit_that_was_made_before_is_told_so() {
    assert!(
        edited("fn a() {\n    other_call();\n}\n", "    some_call();\n", "    other_call();\n", false).starts_with(
            "Conflict: `old` does not occur in a.rs. `new` stands there already, at line 2: was this edit made before? The"
        )
    );
}

/// What a repaired edit makes of a file, and what is told of it.
fn repaired(content: &str, old: &str, new: &str) -> (String, String) {
    let files = Memory::new(&[("a.rs", content)]);
    let output = run(&files, old, new, false).unwrap();
    let told = output.text.lines().last().unwrap().to_owned();
    (files.text("a.rs"), told)
}

#[test]
fn one_shift_of_indentation_is_repaired_and_the_new_text_shifted_alike() {
    assert_eq!(
        repaired("fn a() {\n\tif b {\n\t\tlet x = 1;\n\t}\n}\n", "    if b {\n        let x = 1;\n", "    if c {\n\n        let x = 2;\n            .y();\n"),
        (
            "fn a() {\n\tif c {\n\n\t\tlet x = 2;\n\t\t\t.y();\n\t}\n}\n".to_owned(),
            "[repaired: lines 2 to 3 fitted `old` but for its indentation (a tab where `old` has 4 spaces); `new` was indented like the file]".to_owned()
        )
    );
    assert_eq!(
        repaired("class A:\n    def f(self):\n        one()\n        two()\n", "  def f(self):\n      one()\n", "  def f(self):\n      three()\n"),
        (
            "class A:\n    def f(self):\n        three()\n        two()\n".to_owned(),
            "[repaired: lines 2 to 3 fitted `old` but for its indentation (2 spaces deeper); `new` was indented like the file]".to_owned()
        )
    );
    assert_eq!(repaired("one();\ntwo();\n", "    one();\n    two();\n", "    three();\n").0, "three();\n");
}

#[test]
fn ends_of_lines_and_of_the_file_are_repaired_and_unchanged_lines_keep_their_bytes() {
    assert_eq!(
        repaired("one  \ntwo\t\nthree\n", "one\ntwo\n", "one\nzwei\n"),
        (
            "one  \nzwei\nthree\n".to_owned(),
            "[repaired: lines 1 to 2 fitted `old` but for white space at line ends]".to_owned()
        )
    );
    assert_eq!(
        repaired("one\r\ntwo", "one\ntwo\n", "one\nzwei\ndrei\n"),
        (
            "one\r\nzwei\r\ndrei".to_owned(),
            "[repaired: lines 1 to 2 fitted `old` but for the newline that the file's last line has not]"
                .to_owned()
        )
    );
    assert_eq!(
        repaired("one\ntwo\nthree\n", "\ntwo \n\n", "\nzwei\n"),
        (
            "one\nzwei\nthree\n".to_owned(),
            "[repaired: line 2 fitted `old` but for white space at line ends, blank lines around it]"
                .to_owned()
        )
    );
    assert_eq!(repaired("one\ntwo  \nthree\n", "two\nthree \n", "").0, "one\n");
    assert_eq!(
        repaired(
            "say(\u{201c}one\u{201d});\nnext();\n",
            "say(\"one\");\nnext();\n",
            "say(\"one\");\nlast();\n"
        ),
        (
            "say(\u{201c}one\u{201d});\nlast();\n".to_owned(),
            "[repaired: lines 1 to 2 fitted `old` but for typographic punctuation]".to_owned()
        )
    );
}

#[test]
fn what_is_not_safe_is_not_repaired() {
    for (content, old, new, why) in [
        ("  one();\nx\n    one();\n", "\tone();\n", "\ttwo();\n", "two places, each with its own shift"),
        ("a();  \nb\na();  \n", "a();\n", "c();\n", "occurs 0 times exactly: two places"),
        (
            "\tone();\n",
            "    one();\n",
            "    one();\n      two();\n",
            "a new line that is no multiple of the tab",
        ),
        ("one();\n", "    one();\n", "  two();\n", "a new line that has less than is to be taken away"),
        ("    one();\n  two();\n", "\tone();\n  two();\n", "  three();\n", "no one shift"),
        ("one();  \ntwo();\n", "one();\ntwo();", "three();\n", "the ends of the texts differ"),
        ("x; one();\n", "one(); ", "two(); ", "a piece of a line"),
    ] {
        let told = edited(content, old, new, false);
        assert!(told.starts_with("Conflict: "), "{why}: {told}");
    }
    assert_eq!(
        edited("one();  \ntwo();\n", "one(); \ntwo();\n", "one();\ntwo();\n", false),
        "InvalidInput: `new` is what stands in a.rs at line 1 already, but for white space or punctuation that only `old` has\n\
         => Give the text as it is to be as `new`."
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
        output.text.contains("    10\tx1\n    11\tx2\n") && output.text.contains("    32\tx1\n    33\tx2\n"),
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

/// Lines of code, indented by one of these for each level.
fn indented(lines: &[(usize, String)], unit: &str, base: &str) -> String {
    lines.iter().map(|(level, text)| format!("{base}{}{text}\n", unit.repeat(*level))).collect()
}

/// A few lines of code, each with its level of indentation.
fn code() -> impl proptest::strategy::Strategy<Value = Vec<(usize, String)>> {
    proptest::collection::vec((0..3usize, "[abc]{3,6}\\(\\);"), 1..5)
}

proptest::proptest! {
    #[test]
    fn a_repair_changes_its_place_alone(before in "(x[0-9]?[ \t]?\r?\n){0,4}", block in code(), new in code(), after in "(y[0-9]?[ \t]?\r?\n){0,4}", base in proptest::sample::select(&["  ", "    ", "\t"][..]), given in proptest::sample::select(&[" ", "      ", "\t\t\t"][..])) {
        let content = format!("{before}{}{after}", indented(&block, "    ", base));
        let (old, new) = (indented(&block, "    ", given), indented(&new, "    ", given));
        match replace(content.as_bytes(), &old, &new, false) {
            Ok(Edited { data, repair: Some(repair), .. }) => {
                let text = String::from_utf8(data).unwrap();
                let middle = text.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                let expected = new.lines().map(|line| format!("{base}{}\n", line.strip_prefix(given).unwrap())).collect::<String>();
                // A file of other line endings gives its own to new lines.
                proptest::prop_assert_eq!(middle.map(|middle| middle.replace("\r\n", "\n")), Some(expected), "{}", repair);
            }
            Ok(Edited { repair: None, .. }) => proptest::prop_assert!(content.contains(&old)),
            // Neither of the two is the other and some more.
            Err(Problem::Missing) => proptest::prop_assert_ne!(base.chars().next(), given.chars().next()),
            Err(Problem::There(_)) => proptest::prop_assert_eq!(old, new),
            Err(other) => proptest::prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn two_places_are_never_repaired(block in code(), new in code(), base in proptest::sample::select(&["  ", "    ", "\t"][..]), other in proptest::sample::select(&["  ", "    ", "\t"][..]), end in "[ \t]{0,2}") {
        let block_twice = format!("{}-----\n{}", indented(&block, "  ", base), indented(&block, "  ", other));
        let given = indented(&block, "  ", "\t\t").replace('\n', &format!("{end}\n"));
        let edited = replace(block_twice.as_bytes(), &given, &indented(&new, "  ", "\t\t"), false);
        proptest::prop_assert!(edited.is_err(), "{:?}", edited);
    }

    #[test]
    fn replacing_is_what_str_replace_does(content in "[ab\n]{0,40}", old in "[ab\n]{1,3}", new in "[abc\n]{0,4}") {
        match replace(content.as_bytes(), &old, &new, true) {
            Ok(Edited { repair: None, data, .. }) => proptest::prop_assert_eq!(data, content.replace(&old, &new).into_bytes()),
            Ok(_) | Err(Problem::Missing | Problem::There(_)) => proptest::prop_assert!(!content.contains(&old)),
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
