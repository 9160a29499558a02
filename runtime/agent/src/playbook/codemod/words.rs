//! Reading a task's text: one replacement of code and nothing else, or not ours.

use gloaming_api::ReasonCode;

use super::Codemod;
use crate::playbook::Playbook;
use crate::playbook::form::Fit;
use crate::playbook::said::{ASKING, Reader, THANKS, Which};

/// Says whether a text asks for one replacement of code and nothing else.
pub(crate) fn fit(text: &str) -> Fit {
    let Some((pattern, replacement, which)) = Reader::new(text).and_then(read) else { return Fit::No };
    let (pattern, replacement) = (pattern.trim().to_owned(), replacement.trim().to_owned());
    // Whether a name is one is the rename's to say.
    if pattern.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ':')) {
        return Fit::No;
    }
    if which.languages.is_empty() && !has_variable(&pattern) {
        let why = "whether code is meant is not said: name a language, or write `$A` for what differs".into();
        return Fit::Declined { why };
    }
    if let Some(language) = which.languages.iter().find(|language| !language.grammar) {
        return Fit::Declined { why: format!("there is no grammar of {} here", language.name) };
    }
    if pattern == replacement {
        return Fit::Refused {
            code: ReasonCode::NoChangeNeeded,
            summary: "the pattern and its replacement are the same: there is nothing to change".into(),
            question: "What is the replacement to be?",
        };
    }
    Fit::Yes(Box::new(Playbook::Codemod(Codemod::new(pattern, replacement, which))))
}

/// "Replace `…` with `…` in all Rust files."
fn read(mut reader: Reader) -> Option<(String, String, Which)> {
    const NOUNS: &str = "all every each any the call calls use uses usage usages occurrence occurrences instance instances match \
        matches expression expressions statement statements code pattern of to";
    reader.any(ASKING);
    reader.one("replace rewrite change convert transform")?;
    reader.any(NOUNS);
    let pattern = reader.quoted()?;
    reader.any("calls uses expressions statements");
    reader.one("with by to into as")?;
    let replacement = reader.quoted()?;
    let everywhere = Which { languages: Vec::new(), source: true, scope: None };
    let which = if reader.any("everywhere") {
        everywhere
    } else if reader.one("in across throughout").is_some() {
        let mut whole = reader.clone();
        whole.any("the this our whole entire");
        if whole.one("repository repo project codebase workspace code").is_some() {
            reader = whole;
            everywhere
        } else {
            let mut files = reader.clone();
            match files.files() {
                Some(which) => {
                    reader = files;
                    which
                }
                None => Which { scope: Some(reader.path()?), ..everywhere },
            }
        }
    } else {
        everywhere
    };
    reader.any(THANKS);
    reader.is_over().then_some((pattern, replacement, which))
}

fn has_variable(pattern: &str) -> bool {
    pattern
        .match_indices('$')
        .any(|(at, _)| pattern[at + 1..].starts_with(|c: char| c.is_ascii_uppercase() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match fit(text) {
            Fit::No => "no".into(),
            Fit::Declined { why } => format!("declined: {why}"),
            Fit::Refused { summary, .. } => format!("refused: {summary}"),
            Fit::Yes(playbook) => playbook.describe(),
        }
    }

    #[test]
    fn texts_that_ask_for_a_replacement() {
        for (text, want) in [
            ("Replace `$A.unwrap()` with `$A?` in Rust files", "`$A.unwrap()` to `$A?` in all Rust files"),
            (
                "Please replace all calls of `f($$$A)` by `g($$$A)` everywhere.",
                "`f($$$A)` to `g($$$A)` in all source files",
            ),
            (
                "Rewrite `a == null` as `a === null` in all JavaScript and TypeScript files in web/",
                "`a == null` to `a === null` in all JavaScript and TypeScript files in web",
            ),
            (
                "Change `$A == None` to `$A is None` in src/calc",
                "`$A == None` to `$A is None` in all source files in src/calc",
            ),
            (
                "Replace ``tag`$A` `` with `$A` throughout the codebase",
                "`tag`$A`` to `$A` in all source files",
            ),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }

    #[test]
    fn texts_that_ask_for_something_else_or_more() {
        for text in [
            "Replace `foo` with `bar` in Rust files",
            "Replace `a::b` with `a::c`",
            "Replace the parser with `nom`",
            "Replace `f($A)` with `g($A)` and update the tests",
            "Replace `f($A)` with `g($A)` in Rust files, but not in tests",
            "Do not replace `f($A)` with `g($A)`",
            "Replace `f($A)` with `g($A)`. Replace `h($A)` with `i($A)`.",
        ] {
            assert_eq!(told(text), "no", "{text}");
        }
        assert_eq!(
            told("Replace `x = 1` with `x = 2`"),
            "declined: whether code is meant is not said: name a language, or write `$A` for what differs"
        );
        assert_eq!(
            told("Replace `f($A)` with `g($A)` in Java files"),
            "declined: there is no grammar of Java here"
        );
        assert_eq!(
            told("Replace `f($A)` with `f($A)`"),
            "refused: the pattern and its replacement are the same: there is nothing to change"
        );
    }
}
