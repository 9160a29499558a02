//! Identifiers, tokens, errors.

use gloaming_syntax::{Language, OccurrenceKind, TokenKind, identifier_set, identifiers, new_errors, tokens};

fn occurrences(language: Language, source: &str, name: &str) -> String {
    identifiers(language, source.as_bytes(), name)
        .into_iter()
        .map(|o| {
            assert_eq!(&source[o.start..o.end], name);
            assert_eq!(o.line as usize, source[..o.start].matches('\n').count() + 1);
            format!(
                "{}{} ",
                o.line,
                match o.kind {
                    OccurrenceKind::Code => "",
                    OccurrenceKind::String => "s",
                    OccurrenceKind::Comment => "c",
                }
            )
        })
        .collect()
}

#[test]
fn a_name_is_found_as_a_whole_word_with_what_it_lies_in() {
    let rust = "// foo_bar and foo_bars\nfn foo_bar() -> u8 { foo_bar2(); x.foo_bar }\n/// foo_bar\n\
                const A: &str = \"foo_bar {foo_bar}\";\nmacro_rules! m { ($foo_bar:expr) => { foo_bar!() } }\n\
                assert_eq!(foo_bar(1), r#\"foo_bar\"#, 'f');\nlet r#foo_bar = 1; 'foo_bar: loop {}\n/* foo_bar */";
    assert_eq!(occurrences(Language::Rust, rust, "foo_bar"), "1c 2 2 3c 4s 4s 5 5 6 6s 7 7 8c ");
    let python = "'''foo_bar'''\ndef foo_bar(a=\"foo_bar\"):  # foo_bar\n    return f\"foo_bar {foo_bar!r:>{foo_bar}} foo_bar\" + _foo_bar + foo_barä\n@foo_bar\nclass X(foo_bar): pass\n";
    assert_eq!(occurrences(Language::Python, python, "foo_bar"), "1s 2 2s 2c 3s 3 3 3s 4 5 ");
    let script = "const fooBar = `fooBar ${fooBar + `${fooBar}`} fooBar`; // fooBar\nx.fooBar = {fooBar, 'fooBar': 1};\n/fooBar/.test($fooBar); <a fooBar=\"fooBar\">fooBar {fooBar}</a>;\nclass A { #fooBar = 1 }";
    assert_eq!(occurrences(Language::JavaScript, script, "fooBar"), "1 1s 1 1 1s 1c 2 2 2s 3s 3 3s 3s 3 4 ");
    let go = "package fooBar\n// fooBar\nfunc (t T) fooBar() { `fooBar`; \"fooBar\"; x.fooBar() }\n";
    assert_eq!(occurrences(Language::Go, go, "fooBar"), "1 2c 3 3s 3s 3 ");
    assert_eq!(occurrences(Language::Rust, "", "x"), "");
    assert_eq!(occurrences(Language::Rust, "x", ""), "");
}

#[test]
fn identifiers_of_a_file_leave_out_text_and_comments() {
    let set = |language, source: &str| {
        identifier_set(language, source.as_bytes()).into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        set(Language::Rust, "fn a(b: C) -> u8 { d.e::<F>(\"g\") /* h */ ; i!(j) }"),
        "C F a b d e i j"
    );
    assert_eq!(set(Language::Python, "import a.b as c\nd = f'{e}g'  # h\nx(k=1)\n"), "a b c d e k x");
    assert_eq!(set(Language::Tsx, "type A = {b: C}; const {d, e: f} = <G h={i}>j</G>;"), "A C G b d e f h i");
    assert_eq!(
        set(Language::Go, "package p\nfunc (r *T) m(a int) { r.f = pkg.C{k: 1} }"),
        "C T a f int k m p pkg r"
    );
}

#[test]
fn a_string_is_one_token_but_for_what_it_interpolates() {
    let told = |language, source: &str| {
        let short = |kind| match kind {
            TokenKind::Identifier => "i",
            TokenKind::Literal => "l",
            TokenKind::Comment => "c",
            TokenKind::Other => "o",
        };
        let tell = |t: gloaming_syntax::Token| format!("{}:{}", short(t.kind), t.text);
        tokens(language, source.as_bytes()).into_iter().map(tell).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        told(Language::Rust, r##"const S: X = f(b"a\n{x}", 'c', 1.5, r#"x"#);"##),
        r##"o:const i:S o:: i:X o:= i:f o:( l:b"a\n{x}" o:, l:'c' o:, l:1.5 o:, l:r#"x"# o:) o:;"##
    );
    assert_eq!(
        told(Language::Python, "f'a {b!r} c' 'd' \"e\"  # f"),
        "l:f' l:a  o:{ i:b o:!r o:} l: c l:' l:'d' l:\"e\" c:# f"
    );
    assert_eq!(told(Language::TypeScript, "`a ${b} c` + /d/g"), "l:` l:a  o:${ i:b o:} l: c l:` o:+ l:/d/g");
    assert_eq!(told(Language::Go, "x := \"a\\n\" + `b` + 'c'"), "i:x o::= l:\"a\\n\" o:+ l:`b` o:+ l:'c'");
}

#[test]
fn only_new_errors_count() {
    let told = |language, before: &str, after: &str| {
        let tell = |e: gloaming_syntax::SyntaxError| format!("{}:{} {}\n", e.line, e.column, e.text);
        new_errors(language, before.as_bytes(), after.as_bytes()).into_iter().map(tell).collect::<String>()
    };
    assert_eq!(told(Language::Rust, "fn a() {}", "fn a() { let x = 1; }"), "");
    insta::assert_snapshot!(told(Language::Rust, "fn a() {}", "fn a() {\n    é(;\n}\n"), @"2:6 (");
    insta::assert_snapshot!(told(Language::Python, "x = 1\n", "def f(:\n    pass\n"), @"1:7 missing `)`");
    insta::assert_snapshot!(told(Language::JavaScript, "", "if (a { b() }"), @"1:6 missing `)`");
    insta::assert_snapshot!(told(Language::Go, "", "package p\nfunc f() { x := }\n"), @"2:16 missing `identifier`");
    let old = "fn ok() {}\nlet x = @@@;\n";
    assert_eq!(told(Language::Rust, old, &format!("// moved\n\n{old}")), "", "an old error may move");
    assert_eq!(told(Language::Rust, "fn f( {", "fn f() {}"), "");
}
