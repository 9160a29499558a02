//! Which identifiers a change renames.

use gloaming_syntax::{Language, renamed_identifiers};

fn told(language: Language, before: &str, after: &str) -> String {
    let renames = renamed_identifiers(language, before.as_bytes(), after.as_bytes());
    renames.iter().map(|(from, to)| format!("{from}>{to} ")).collect()
}

const RUST: &str = "use crate::foo_bar;\n\npub fn foo_bar(text: &str) -> u32 {\n    text.len() as u32\n}\n\nfn caller() -> u32 {\n    foo_bar(\"a\") + other(foo_bar(\"b\"))\n}\n";

#[test]
fn a_renaming_is_seen() {
    assert_eq!(told(Language::Rust, RUST, &RUST.replace("foo_bar", "parse_bar")), "foo_bar>parse_bar ");
    assert_eq!(told(Language::Rust, RUST, RUST), "");
    // Together with other changes, and where a line was wrapped.
    let more = RUST
        .replace("foo_bar", "parse_bar_from_text")
        .replace("    text.len() as u32", "    // longer\n    let n = text.trim().len();\n    n as u32")
        .replace("    parse_bar_from_text(\"a\") +", "    parse_bar_from_text(\"a\")\n        +");
    assert_eq!(told(Language::Rust, RUST, &more), "foo_bar>parse_bar_from_text ");
    let two = RUST.replace("foo_bar", "parse_bar").replace("caller", "user");
    assert_eq!(told(Language::Rust, RUST, &two), "caller>user foo_bar>parse_bar ");
    let python = "def old(a):\n    return a\n\n\nprint(old(1), f\"{old(2)}\")\n";
    assert_eq!(told(Language::Python, python, &python.replace("old", "new")), "old>new ");
}

#[test]
fn what_is_no_renaming_is_none() {
    // The new name was there.
    assert_eq!(told(Language::Rust, RUST, &RUST.replace("foo_bar", "other")), "");
    // Two become one.
    assert_eq!(told(Language::Rust, "fn a() {}\nfn b() {}\n", "fn c() {}\nfn c() {}\n"), "");
    // One becomes two.
    assert_eq!(
        told(Language::Rust, "fn f() { a(); }\nfn g() { a(); }\n", "fn f() { x(); }\nfn g() { y(); }\n"),
        ""
    );
    // Only here and there, beside places that stay.
    assert_eq!(told(Language::Rust, "fn f() { a(a); }\n", "fn f() { b(a); }\n"), "");
    // Added and removed code renames nothing.
    assert_eq!(told(Language::Rust, "fn a() {}\n", "fn a() {}\nfn b() {}\n"), "");
    assert_eq!(told(Language::Rust, "fn a() {}\nfn b() {}\n", "fn a() {}\n"), "");
    assert_eq!(told(Language::Rust, "", "fn b() {}\n"), "");
    // Text and comments are no names.
    assert_eq!(told(Language::Rust, "fn f() { g(\"a\") } // a\n", "fn f() { g(\"b\") } // b\n"), "");
}

#[test]
fn many_lines_take_little_time() {
    let body = |name: &str| -> String {
        (0..20_000).map(|i| format!("fn f{i}() {{ {name}({i}); same(); }}\n")).collect()
    };
    assert_eq!(told(Language::Rust, &body("old"), &body("new")), "old>new ");
}
