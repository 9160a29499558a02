//! Sources that mean harm.

use std::collections::BTreeMap;

use gloaming_syntax::{
    Language, MAX_SOURCE, Rename, Renames, TestChangeKind, declared, identifier_set, identifiers, new_errors,
    renamed_identifiers, test_changes, tokens, units,
};

fn everything(language: Language, source: &[u8]) {
    let seen = tokens(language, source);
    // Every visible byte is in some token.
    let text = |s: &str| s.chars().filter(|c| !c.is_whitespace() && *c != '\\').collect::<String>();
    let all: String = seen.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(text(&all).len(), text(&String::from_utf8_lossy(source)).len(), "{language:?}");
    identifier_set(language, source);
    identifiers(language, source, "x");
    new_errors(language, b"", source);
    units(language, source);
    renamed_identifiers(language, b"x", source);
    test_changes(language, b"fn a() {}", source, &BTreeMap::new(), true);
    test_changes(language, source, b"fn a() {}", &BTreeMap::new(), false);
    declared(language, source);
    // A name that is everywhere, renamed.
    let renames = Renames::from([("a".to_owned(), Rename::seen("renamed"))]);
    let after = String::from_utf8_lossy(source).replace('a', "renamed");
    test_changes(language, source, after.as_bytes(), &renames, true);
}

#[test]
fn nesting_does_not_exhaust_the_stack() {
    for (open, close, depth) in [
        ("(", ")", 20_000),
        ("{", "}", 3_000),
        ("mod a {", "}", 3_000),
        ("-", "", 3_000),
        ("f(", ")", 3_000),
        ("function a(a) {", "}", 1_000),
        ("a(a).a = ", "", 1_000),
    ] {
        let source = format!("{}{}", open.repeat(depth), close.repeat(depth));
        for language in Language::ALL {
            everything(*language, source.as_bytes());
        }
    }
    let classes: String = (0..200).map(|i| format!("{}class A{i}:\n", " ".repeat(i))).collect();
    everything(Language::Python, format!("{classes}{}pass\n", " ".repeat(200)).as_bytes());
    everything(Language::JavaScript, format!("{}x{}", "`${".repeat(5_000), "}`".repeat(5_000)).as_bytes());
}

#[test]
fn bytes_that_are_no_text_are_taken() {
    let sources: &[&[u8]] = &[
        b"",
        b"\xff\xfe\x00x",
        b"fn \xff() { \"\xc3\" }",
        b"def \x00(): pass\r\n",
        "\u{feff}package x\r\nfunc f() {}\r\n".as_bytes(),
        "fn \u{202e}evil() {} // \u{2066}".as_bytes(),
    ];
    for source in sources {
        for language in Language::ALL {
            tokens(*language, source);
            identifiers(*language, source, "x");
            units(*language, source);
            new_errors(*language, source, b"x");
            test_changes(*language, source, b"x", &BTreeMap::new(), true);
        }
    }
}

#[test]
fn every_cut_of_a_source_is_taken() {
    let source =
        "#[test]\nfn a() { assert_eq!(f(\"é\"), 'x'); }\nclass T:\n  def test(self): return f'{x}'\n`${a}`;";
    for end in (0..source.len()).filter(|end| source.is_char_boundary(*end)) {
        for language in Language::ALL {
            everything(*language, &source.as_bytes()[..end]);
        }
    }
}

#[test]
fn a_file_too_large_to_parse_is_said_to_have_changed() {
    let large = vec![b'x'; MAX_SOURCE + 1];
    let changes = test_changes(Language::Rust, b"fn a() {}", &large, &BTreeMap::new(), true);
    assert_eq!(changes[0].what, TestChangeKind::Statement);
    assert!(tokens(Language::Rust, &large).is_empty());
    assert!(test_changes(Language::Rust, &large, &large, &BTreeMap::new(), true).is_empty());
}
