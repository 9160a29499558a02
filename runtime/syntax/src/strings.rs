//! Which texts of a test follow a renaming: those that name the thing for a library, and those that only tell a reader.

use crate::Language;
use crate::checks::is_fixture;
use crate::renamed::words;
use crate::surroundings::Surroundings;
use crate::tree::TokenKind;

/// Macros of Rust whose text may take up a local, `"{name}"`, and is not compared with anything there.
const FORMATS: &[&str] =
    &["format", "print", "println", "eprint", "eprintln", "write", "writeln", "panic", "unreachable", "todo"];

/// What a comment holds that tells a compiler or a runner something.
const DIRECTIVES: &[&str] = &["//go:", "// +build", "@jest-", "@vitest-"];

/// Words by which scripts add tests, and what is said with these.
#[rustfmt::skip]
const TITLED: &[&str] = &[
    "it", "test", "describe", "context", "suite", "specify", "t", "only", "skip", "todo", "each", "concurrent", "failing",
    "serial", "sequential", "step",
];

/// Whether the words `changed` of the text at a place, which is `new` now, may follow their renamings. `seen`: other code can name what each of
/// them stands for. A text that something is compared with never follows: it says what was expected, and goes on saying it.
pub(crate) fn may_follow(
    language: Language,
    around: &Surroundings<'_>,
    at: usize,
    new: &str,
    changed: &[&str],
    seen: bool,
) -> bool {
    let text = around.text(Some(at));
    if around.token(at).kind == TokenKind::Comment {
        return !around.is_output(at) && !DIRECTIVES.iter().any(|begin| text.contains(begin));
    }
    if language == Language::Rust && captures_only(text, changed) && in_format(around, at) {
        return true;
    }
    let caller = around.caller(at).unwrap_or_default();
    let argument = around.argument(at);
    // Fixtures and parameters are named in strings beside the parameters themselves.
    if language == Language::Python && names_parameters(&caller, argument) {
        // Nobody's own fixture becomes pytest's.
        return !words(text).chain(words(new)).any(|(_, word)| is_fixture(language, word));
    }
    seen && (names_a_thing(language, &caller, argument, text)
        || is_title(language, around, at, &caller, argument)
        || is_message(language, around, at, &caller, argument))
}

/// Whether each of the words stands as `{word}` or `{word:…}` wherever it stands.
fn captures_only(text: &str, changed: &[&str]) -> bool {
    let mut before = '\0';
    let mut at = 0;
    let mut found = 0;
    for (gap, word) in words(text) {
        at += gap.len();
        before = gap.chars().next_back().unwrap_or(before);
        let after = text[at + word.len()..].chars().next();
        if changed.contains(&word) {
            let doubled = gap.ends_with("{{");
            if before != '{' || doubled || !matches!(after, Some('}' | ':')) {
                return false;
            }
            found += 1;
        }
        at += word.len();
    }
    found > 0
}

fn in_format(around: &Surroundings<'_>, at: usize) -> bool {
    let caller = around.caller(at).unwrap_or_default();
    around.in_macro(at)
        && caller.first().is_some_and(|name| FORMATS.contains(name) || is_said(name, around.argument(at)))
}

/// Whether an argument of an assertion of Rust is what it says when it fails.
fn is_said(name: &str, argument: usize) -> bool {
    match name {
        "assert" | "debug_assert" => argument >= 1,
        "assert_eq" | "assert_ne" | "debug_assert_eq" | "debug_assert_ne" => argument >= 2,
        "panic" | "unreachable" | "todo" | "unimplemented" => true,
        _ => false,
    }
}

fn names_parameters(caller: &[&str], argument: usize) -> bool {
    match caller.first().copied() {
        Some("parametrize" | "getfixturevalue") => argument == 0,
        Some("usefixtures") => true,
        _ => false,
    }
}

/// Whether a text is a path or a name by which a library is told what to replace or load.
fn names_a_thing(language: Language, caller: &[&str], argument: usize, text: &str) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "_./:@-\"'`".contains(letter);
    if !text.chars().all(plain) {
        return false;
    }
    let under = |root: &str| caller.iter().skip(1).any(|name| *name == root);
    match (language, caller.first().copied()) {
        // `client.patch("/width")` asks a server for something.
        (Language::Python, Some("patch")) => {
            let of_mock = caller.iter().skip(1).all(|name| matches!(*name, "mock" | "mocker" | "unittest"));
            of_mock && argument == 0 && text.contains('.') && !text.contains('/')
        }
        (Language::Python, Some("object")) => under("patch") && argument == 1,
        (Language::Python, Some("setattr" | "delattr")) => under("monkeypatch") && argument <= 1,
        (Language::Python, Some("import_module")) => argument == 0,
        (language, Some("require" | "import")) if language.is_script() => argument == 0,
        (language, Some("resolve")) if language.is_script() => under("require") && argument == 0,
        (language, Some("mock" | "unmock" | "doMock" | "requireActual" | "importActual"))
            if language.is_script() =>
        {
            (under("jest") || under("vi")) && argument == 0
        }
        (language, Some("spyOn")) if language.is_script() => (under("jest") || under("vi")) && argument == 1,
        (language, Some("stub" | "spy")) if language.is_script() => under("sinon") && argument == 1,
        (language, Some("method")) if language.is_script() => under("mock") && argument == 1,
        (Language::Rust, Some("include_str" | "include_bytes" | "include")) => argument == 0,
        _ => false,
    }
}

/// Whether a text is what a test or a block of tests is called.
fn is_title(
    language: Language,
    around: &Surroundings<'_>,
    at: usize,
    caller: &[&str],
    argument: usize,
) -> bool {
    match language {
        Language::Go => {
            let root = caller.last().copied().unwrap_or_default();
            argument == 0 && caller.first() == Some(&"Run") && (root == "t" || around.fails_tests(root))
        }
        language if language.is_script() => {
            // A row of `it.each` is data; what is called with its result has the title. What hangs at `t` may check.
            let titled = !caller.is_empty() && caller.iter().all(|name| TITLED.contains(name));
            let row = around.open(at) == Some("[");
            titled && argument == 0 && !row && (caller.first() != Some(&"each") || around.called_again(at))
        }
        _ => false,
    }
}

/// Whether a text is only said when a test fails.
fn is_message(
    language: Language,
    around: &Surroundings<'_>,
    at: usize,
    caller: &[&str],
    argument: usize,
) -> bool {
    let name = caller.first().copied().unwrap_or_default();
    match language {
        Language::Rust => {
            (around.in_macro(at) && is_said(name, argument))
                || (name == "expect" && argument == 0 && caller.len() > 1 && !around.in_macro(at))
        }
        Language::Go => {
            let root = caller.last().copied().unwrap_or_default();
            let says = ["Error", "Errorf", "Fatal", "Fatalf", "Log", "Logf"].contains(&name);
            says && caller.len() == 2 && (root == "t" || around.fails_tests(root))
        }
        Language::Python => behind_an_assertion(around, at),
        _ => false,
    }
}

/// What ends in `=` and gives nothing a value.
const COMPARES: &[&str] = &["==", "!=", "<=", ">="];

/// Whether a text of Python is the second part of an `assert` on the lines above it: statements are told apart by lines
/// alone.
fn behind_an_assertion(around: &Surroundings<'_>, at: usize) -> bool {
    let Some(mut here) = at.checked_sub(1).filter(|at| around.text(Some(*at)) == ",") else { return false };
    // What a string interpolates is in brackets of its own.
    let depth = around.bracket(at);
    let mut line = around.token(at).line;
    loop {
        let token = around.token(here);
        if token.line != line || around.bracket(here) != depth && !around.closes(here) {
            return false;
        }
        line = token.line;
        if token.kind == TokenKind::Other {
            match token.text.as_str() {
                "assert" => return true,
                "=" | ":=" | ":" | "," if here + 1 < at => return false,
                // Another statement of the line; what parts them is no token.
                "return" | "yield" | "raise" | "del" | "global" | "nonlocal" | "import" => return false,
                text if text.len() > 1 && text.ends_with('=') && !COMPARES.contains(&text) => return false,
                _ => {}
            }
        }
        // Over what is in brackets.
        if around.closes(here) {
            let Some(open) = around.bracket(here) else { return false };
            line = around.token(open).line;
            here = open;
        }
        match here.checked_sub(1) {
            Some(before) => here = before,
            None => return false,
        }
    }
}
