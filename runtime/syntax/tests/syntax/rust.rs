//! Rust's tests and what may happen to them.

use gloaming_syntax::Language;

use crate::{change, compare, kinds, outline};

const SOURCE: &str = r#"//! A crate.
use std::fmt;

const LIMIT: usize = 3;

/// Parses.
pub fn foo_bar(text: &str) -> Result<u32, Error> {
    text.parse().map_err(Error)
}

#[derive(Debug)]
pub struct Error(std::num::ParseIntError);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "foo_bar failed")
    }
}

impl Error {
    fn code(&self) -> u8 { 1 }
}

trait Shape { fn area(&self) -> f64; }

macro_rules! check { ($e:expr) => { assert!($e) } }

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> &'static str {
        "7"
    }

    #[test]
    fn parses() {
        assert_eq!(foo_bar(sample()).unwrap(), 7);
        assert!(foo_bar("x").is_err(), "foo_bar takes {} only", "numbers");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn parses_later() {
        // foo_bar is sync
        let got = foo_bar("1").unwrap();
        assert_eq!(
            got,
            1,
        );
    }

    mod nested {
        #[test]
        #[should_panic]
        fn fails() { super::foo_bar("").unwrap(); }
    }
}
"#;

#[test]
fn declarations() {
    insta::assert_snapshot!(outline(Language::Rust, SOURCE), @r"
    2 Import 
    4 Constant LIMIT
    7 Function foo_bar
    11 Type Error
    14 Impl impl fmt::Display for Error
    15 Function fmt::Display for Error::fmt
    20 Impl impl Error
    21 Function Error::code
    24 Type Shape
    24 Function Shape::area
    26 Function check
    28 Module tests [in tests]
    30 Import  [in tests]
    32 Function tests::sample [in tests]
    36 Function tests::parses [test]
    42 Function tests::parses_later [test]
    52 Module tests::nested [in tests]
    53 Function tests::nested::fails [test]
    ");
}

fn told(from: &str, to: &str) -> String {
    let before = SOURCE;
    assert!(before.contains(from), "{from:?}");
    compare(Language::Rust, before, &before.replacen(from, to, 1), &[], false)
}

#[test]
fn a_consistent_renaming_is_no_change() {
    let after = SOURCE.replace("foo_bar", "parse_bar");
    assert_eq!(compare(Language::Rust, SOURCE, &after, &[("foo_bar", "parse_bar")], false), "");
    // Not in what something is compared with.
    let after = after.replace("\"parse_bar failed", "\"foo_bar failed");
    assert_eq!(compare(Language::Rust, SOURCE, &after, &[("foo_bar", "parse_bar")], true), "");
    // Text and comments may stay.
    let kept = after.replace("\"parse_bar takes", "\"foo_bar takes");
    assert_eq!(compare(Language::Rust, SOURCE, &kept, &[("foo_bar", "parse_bar")], false), "");
    // Without the renaming it is.
    assert_eq!(
        kinds(&compare(Language::Rust, SOURCE, &after, &[], false)),
        ["Changed", "Changed", "Changed"]
    );
    // A name that was there already is no new name for another.
    let swapped = SOURCE.replace("foo_bar(sample())", "sample(sample())");
    assert_eq!(
        kinds(&compare(Language::Rust, SOURCE, &swapped, &[("foo_bar", "sample")], false)),
        ["Changed"]
    );
}

#[test]
fn formatting_comments_and_additions_are_no_change() {
    assert_eq!(
        told(
            "        assert_eq!(\n            got,\n            1,\n        );",
            "        assert_eq!(got, 1); // said"
        ),
        ""
    );
    assert_eq!(
        told(
            "    #[test]\n    fn parses()",
            "    /// Told.\n    #[test]\n    fn more() { assert!(true); }\n\n    #[test]\n    fn parses()"
        ),
        ""
    );
    assert_eq!(told("    use super::*;", "    use super::*;\n    use std::collections::HashMap;"), "");
    assert_eq!(
        told(
            "    fn sample()",
            "    const MANY: usize = 9;\n    struct Fake;\n    impl Fake { fn new() -> Self { Fake } }\n    mod deeper { #[test] fn parses() {} }\n    fn sample()"
        ),
        ""
    );
    // Code beside the tests is nothing of theirs.
    assert_eq!(told("text.parse()", "text.trim().parse()"), "");
}

#[test]
fn what_weakens_a_test_is_told() {
    insta::assert_snapshot!(told("assert_eq!(foo_bar(sample()).unwrap(), 7);", "assert!(foo_bar(sample()).is_ok());"), @"36: Changed tests::parses: the test `tests::parses` changed at line 38: `) { assert_eq ! ( foo_bar ( sample` is now `) { assert ! ( foo_bar ( sample`");
    insta::assert_snapshot!(told("    #[test]\n    fn parses()", "    #[test]\n    #[ignore]\n    fn parses()"), @"36: Changed tests::parses: the test `tests::parses` changed at line 37: `test ] fn parses ( ) { assert_eq` is now `test ] # [ ignore ] fn parses`");
    insta::assert_snapshot!(told("    #[test]\n    fn parses()", "    fn parses()"), @"36: Changed tests::parses: the test `tests::parses` changed at line 36: `# [ test ] fn parses ( )` is now `fn parses ( ) { assert_eq ! (`");
    insta::assert_snapshot!(told("    #[test]\n    fn parses()", "    #[test]\n    #[should_panic]\n    fn parses()"), @"36: Changed tests::parses: the test `tests::parses` changed at line 37: `test ] fn parses ( ) { assert_eq` is now `test ] # [ should_panic ] fn parses`");
    insta::assert_snapshot!(told("        assert_eq!(foo_bar(sample())", "        return;\n        assert_eq!(foo_bar(sample())"), @"36: Changed tests::parses: the test `tests::parses` changed at line 38: `) { assert_eq ! ( foo_bar ( sample` is now `) { return ; assert_eq ! ( foo_bar`");
    insta::assert_snapshot!(told("#[cfg(test)]", "#[cfg(all(test, feature = \"slow\"))]"), @"28: HeaderChanged tests: the module `tests` changed at line 28: `cfg ( test ) ] mod tests` is now `cfg ( all ( test , feature =`");
    insta::assert_snapshot!(told("    mod nested {", "    #[cfg(windows)]\n    mod nested {"), @"52: HeaderChanged tests::nested: the module `tests::nested` changed at line 52: `mod nested` is now `# [ cfg ( windows ) ] mod`");
    insta::assert_snapshot!(told("        \"7\"", "        \"8\""), @r#"32: Changed tests::sample: the function `tests::sample` changed at line 33: `str { "7" }` is now `str { "8" }`"#);
    insta::assert_snapshot!(told("        #[test]\n        #[should_panic]\n        fn fails() { super::foo_bar(\"\").unwrap(); }\n", ""), @"53: Removed tests::nested::fails: the test `tests::nested::fails` is gone");
    insta::assert_snapshot!(compare(Language::Rust, SOURCE, &SOURCE[..SOURCE.find("#[cfg(test)]").unwrap()], &[], false), @r"
    28: Removed tests: the module `tests` is gone
    30: Statement : an import is gone: `use super::*`
    36: Removed tests::parses: the test `tests::parses` is gone
    42: Removed tests::parses_later: the test `tests::parses_later` is gone
    53: Removed tests::nested::fails: the test `tests::nested::fails` is gone
    ");
}

#[test]
fn what_takes_the_place_of_something_is_told() {
    insta::assert_snapshot!(told("    use super::*;", "    use super::*;\n    macro_rules! assert_eq { ($($t:tt)*) => {} }"), @"31: Hook tests::assert_eq: `tests::assert_eq` runs by itself around the tests or in place of them");
    insta::assert_snapshot!(told("    use super::*;", "    use super::*;\n    use crate::fake::assert_eq;"), @"31: Shadowed : an import brings in `assert_eq`, which the tests already used: `use crate::fake::assert_eq`");
    insta::assert_snapshot!(told("    use super::*;", "    use super::*;\n    use crate::fake::*;"), @"31: Shadowed : an import brings in names that cannot be told: `use crate::fake::*`");
    insta::assert_snapshot!(told("    use super::*;", "    use super::*;\n    use crate::fake::{other as foo_bar, x};"), @"31: Shadowed : an import brings in `foo_bar`, which the tests already used: `use crate::fake::other as foo_bar`");
    insta::assert_snapshot!(told("    fn sample()", "    fn foo_bar(_: &str) -> Result<u32, ()> { Ok(7) }\n    fn sample()"), @"32: Shadowed tests::foo_bar: `tests::foo_bar` is new and goes by a name that the tests already used");
    insta::assert_snapshot!(told("    use super::*;\n", ""), @"30: Statement : an import is gone: `use super::*`");
    let file = "use api::Thing;\n#[test]\nfn equal() { assert_eq!(Thing::new(), Thing::new()); }\n";
    insta::assert_snapshot!(change(Language::Rust, file, "#[test]", "impl PartialEq for Thing { fn eq(&self, _: &Self) -> bool { true } }\n#[test]"), @"2: Shadowed impl PartialEq for Thing: `impl PartialEq for Thing` gives `Thing`, which the tests already used, new behaviour");
    insta::assert_snapshot!(change(Language::Rust, file, "use api", "#![cfg(windows)]\nuse api"), @"1: Statement : a statement is new: `# ! [ cfg ( windows ) ]`");
    insta::assert_snapshot!(change(Language::Rust, file, "#[test]", "#[ctor::ctor]\nfn early() { std::process::exit(0) }\n#[test]"), @"2: Hook early: `early` runs by itself around the tests or in place of them");
}

#[test]
fn a_whole_file_can_be_tests() {
    let source = "#![cfg(test)]\nuse super::*;\nfn helper() {}\n#[rstest]\n#[case(1)]\nfn a(#[case] n: u8) { helper() }\n";
    insta::assert_snapshot!(outline(Language::Rust, source), @r"
    1 Statement  [in tests]
    2 Import  [in tests]
    3 Function helper [in tests]
    4 Function a [test]
    ");
    assert_eq!(
        kinds(&compare(Language::Rust, source, &source.replace("#[case(1)]\n", ""), &[], false)),
        ["Changed"]
    );
}
