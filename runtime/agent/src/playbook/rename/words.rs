//! Reading a task's text: one rename and nothing else, or not ours.
//!
//! The grammar is small on purpose. A text of which any sentence is not understood is declined as a whole:
//! half a task done is a wrong pull request.

use super::keywords::reserved_mostly;
use super::sentences::{Lines, Token, sentences};
use super::{Kind, Recognised, Request};

/// A longer text asks for more than a rename.
const LONGEST: usize = 2000;

/// Says whether a text asks for one rename and nothing else.
pub(crate) fn recognise(text: &str) -> Recognised {
    if text.len() > LONGEST {
        return Recognised::No;
    }
    // A paragraph's lines are one text, unless its author put one sentence on each line without a stop.
    match of_sentences(&sentences(text, Lines::Joined)) {
        Recognised::No => of_sentences(&sentences(text, Lines::Apart)),
        found => found,
    }
}

fn of_sentences(sentences: &[Vec<Token>]) -> Recognised {
    let mut found: Option<Request> = None;
    let (mut everywhere, mut code_only) = (false, false);
    let mut trouble = None;
    for tokens in sentences {
        match sentence(tokens) {
            Sentence::Other => return Recognised::No,
            Sentence::Harmless => {}
            Sentence::UpdateUses => everywhere = true,
            Sentence::CodeOnly => code_only = true,
            Sentence::Trouble(recognised) => trouble = Some(recognised),
            Sentence::Rename(request) => match &mut found {
                None => found = Some(request),
                Some(known) if known.from == request.from && known.to == request.to => {
                    known.everywhere |= request.everywhere;
                    known.code_only |= request.code_only;
                    known.scope = known.scope.take().or(request.scope);
                    if known.kind == Kind::Any {
                        known.kind = request.kind;
                    }
                }
                Some(known) => {
                    let why = format!(
                        "the text asks for two renames, `{}` to `{}` and `{}` to `{}`",
                        known.from, known.to, request.from, request.to
                    );
                    trouble = Some(Recognised::Ambiguous { why });
                }
            },
        }
    }
    match (trouble, found) {
        (Some(trouble), _) => trouble,
        (None, None) => Recognised::No,
        (None, Some(mut request)) => {
            request.everywhere |= everywhere;
            request.code_only |= code_only;
            Recognised::Yes(request)
        }
    }
}

enum Sentence {
    Rename(Request),
    /// "Update all callers."
    UpdateUses,
    /// "Leave the comments alone."
    CodeOnly,
    /// "Thanks!", "No other changes."
    Harmless,
    /// A rename that cannot be done as it stands.
    Trouble(Recognised),
    Other,
}

// ---------------------------------------------------------------------------------------------------------
// One sentence.

const ASKING: &str = "please kindly can could would you we i should need needs to want must like i'd let's lets let us task \
    todo refactor refactoring chore title issue request hi hello just simply : ,";
const ARTICLES: &str = "the a an this that our my";
const ADJECTIVES: &str = "public private existing internal exported global local old current helper async module-level \
    top-level misnamed confusing new";
const CALLED: &str = "called named";
const TO: &str = "to into as -> → => -->";
const PLACES: &str = "codebase project repo repository code crate package workspace library source sources tree files \
    modules places base";
const WHOLE: &str = "the this our whole entire complete full all of every";
const EVERYWHERE: &str =
    "everywhere globally consistently project-wide repo-wide repository-wide codebase-wide";
const USES: &str = "all every each its the any of references reference usages usage uses use users callers caller calls \
    call sites site call-sites occurrences occurrence imports import tests test unit comments comment \
    docstrings to it them accordingly too as well also and everywhere in where needed ,";
const COMMENTS: &str = "the any all comments docs docstrings documentation and or";
const POLITE: &str = "please thanks thank you too now ,";
/// Words that are hardly ever a name when they stand bare.
const NO_NAMES: &str = "it this that them these those everything all things something anything file files folder directory \
    project repo repository branch package crate module button label page title heading section readme \
    docs documentation app application tool command flag option column table database link logo menu the \
    a an to and or better more less new old appropriate descriptive meaningful sensible whatever be not \
    in from with";

fn kind_of(word: &str) -> Option<Kind> {
    Some(match word {
        "function" | "func" | "fn" | "procedure" | "subroutine" | "macro" | "test" | "fixture"
        | "decorator" => Kind::Function,
        "method" => Kind::Method,
        "class" | "struct" | "structure" | "type" | "enum" | "trait" | "interface" | "dataclass"
        | "exception" | "typedef" | "alias" => Kind::Type,
        "variable" | "var" | "attribute" | "field" | "property" | "parameter" | "param" | "argument"
        | "member" => Kind::Variable,
        "constant" | "const" | "static" => Kind::Constant,
        "identifier" | "name" | "symbol" => Kind::Any,
        _ => return None,
    })
}

fn sentence(tokens: &[Token]) -> Sentence {
    if let Some(sentence) = harmless(tokens) {
        return sentence;
    }
    let mut at = tokens.iter().take_while(|token| token.is(ASKING)).count();
    let mut details = Details::default();
    let next = |at: usize, words: &str| tokens.get(at).is_some_and(|token| token.is(words));
    let from;
    if next(at, "rename") {
        let Some(name) = noun(tokens, at + 1) else { return Sentence::Other };
        at = name.end;
        if next(at, "or and ,") && tokens[at..].iter().any(|token| token.is(TO)) {
            return several();
        }
        from = name;
    } else if next(at, "change") {
        at += 1;
        at += usize::from(next(at, "the"));
        if !next(at, "name") || !next(at + 1, "of") {
            return Sentence::Other;
        }
        let Some(name) = noun(tokens, at + 2) else { return Sentence::Other };
        at = name.end;
        from = name;
    } else {
        // "X should be renamed to Y"
        at = 0;
        let Some(name) = noun(tokens, at) else { return Sentence::Other };
        at = name.end;
        let be =
            tokens[at..].iter().take_while(|token| token.is("should must needs has ought is to be")).count();
        if be == 0 || !next(at + be, "renamed") {
            return Sentence::Other;
        }
        at += be + 1;
        from = name;
    }
    // "rename X in src/ to Y"
    match suffix(tokens, at, &mut details, |token| token.is(TO)) {
        Ok(end) => at = end,
        Err(()) => return Sentence::Other,
    }
    if !next(at, TO) {
        return Sentence::Other;
    }
    let Some(to) = noun(tokens, at + 1) else { return Sentence::Other };
    match suffix(tokens, to.end, &mut details, |_| false) {
        Ok(_) => {}
        Err(()) if asks_for_another(&tokens[to.end..]) => return several(),
        Err(()) => return Sentence::Other,
    }
    conclude(&from, &to, details)
}

fn several() -> Sentence {
    Sentence::Trouble(Recognised::Ambiguous { why: "the text names several names to rename".into() })
}

/// "… and c to d", "…, c to d", "… or d".
fn asks_for_another(rest: &[Token]) -> bool {
    let Some((first, rest)) = rest.split_first() else { return false };
    if first.is("or") {
        return true;
    }
    let rest =
        if first.is(",") && rest.first().is_some_and(|token| token.is("and")) { &rest[1..] } else { rest };
    let rest = if rest.first().is_some_and(|token| token.is("rename")) { &rest[1..] } else { rest };
    first.is(", and")
        && noun(rest, 0).is_some_and(|name| {
            rest.get(name.end).is_some_and(|token| token.is(TO)) && noun(rest, name.end + 1).is_some()
        })
}

struct Noun {
    name: String,
    quoted: bool,
    article: bool,
    kind: Option<Kind>,
    end: usize,
}

/// Reads "the function `foo`", "foo_bar", "class Foo", "the `foo` method".
fn noun(tokens: &[Token], mut at: usize) -> Option<Noun> {
    let mut article = false;
    let mut kind = None;
    loop {
        let token = tokens.get(at)?;
        // A word before "to" or at the end is the name itself, whatever it means elsewhere.
        let last = tokens.get(at + 1).is_none_or(|next| next.is(TO) || next.is(", should must"));
        if token.quoted || last {
            break;
        }
        if token.is(ARTICLES) {
            article = true;
        } else if let Some(known) = kind_of(&token.word()) {
            kind = Some(known).filter(|known| *known != Kind::Any).or(kind).or(Some(Kind::Any));
        } else if !token.is(ADJECTIVES) && !token.is(CALLED) {
            break;
        }
        at += 1;
    }
    let token = &tokens[at];
    at += 1;
    let name = token.text.strip_suffix("()").unwrap_or(&token.text).to_owned();
    while let Some(known) = tokens.get(at).filter(|token| !token.quoted).and_then(|t| kind_of(&t.word())) {
        kind = kind.filter(|kind| *kind != Kind::Any).or(Some(known));
        at += 1;
    }
    Some(Noun { name, quoted: token.quoted, article, kind, end: at })
}

#[derive(Default)]
struct Details {
    everywhere: bool,
    code_only: bool,
    scope: Option<String>,
}

/// Reads what may stand behind a name: where, how thoroughly, why. Fails on anything else.
fn suffix(
    tokens: &[Token],
    mut at: usize,
    details: &mut Details,
    ends: impl Fn(&Token) -> bool,
) -> Result<usize, ()> {
    let run = |from: usize, words: &str| {
        tokens.get(from..).unwrap_or(&[]).iter().take_while(|token| token.is(words)).count()
    };
    while let Some(token) = tokens.get(at) {
        if ends(token) {
            break;
        }
        let only = code_only(&tokens[at..]);
        if only > 0 {
            details.code_only = true;
            at += only;
        } else if token.is(EVERYWHERE) {
            details.everywhere = true;
            at += 1;
        } else if token.is("in across throughout inside within of from over") {
            at += 1;
            let whole = run(at, WHOLE);
            let places = run(at + whole, PLACES);
            if places > 0 {
                details.everywhere = true;
                at += whole + places;
            } else {
                at += run(at, "the file module folder directory");
                let path = tokens.get(at).filter(|token| is_path(token)).ok_or(())?;
                if details.scope.replace(path.text.trim_end_matches('/').to_owned()).is_some() {
                    return Err(());
                }
                at += 1;
                at += run(at, "file module folder directory");
            }
        } else if token.is("and , including with") && uses(tokens.get(at + 1..).unwrap_or(&[])) > 0 {
            at += 1 + uses(&tokens[at + 1..]);
            details.everywhere = true;
        } else if token.is("for")
            && tokens.get(at + 1).is_some_and(|t| t.is("clarity consistency readability uniformity"))
        {
            at += 2;
        } else if token.is("because since") {
            return if is_reason(&tokens[at + 1..]) { Ok(tokens.len()) } else { Err(()) };
        } else if token.is(POLITE)
            || (token.is(",") && tokens.get(at + 1).is_some_and(|next| next.is("because since")))
        {
            at += 1;
        } else {
            return Err(());
        }
    }
    Ok(at)
}

/// Returns how many tokens tell that the uses are meant too: "update all its callers accordingly".
fn uses(tokens: &[Token]) -> usize {
    let verb = tokens.iter().take_while(|t| t.is("update adjust fix change also rename")).count();
    let rest = tokens[verb..].iter().take_while(|token| token.is(USES)).count();
    let noun = tokens[verb..verb + rest].iter().any(|token| {
        token.is("references usages uses users callers calls sites call-sites occurrences imports tests \
            comments docstrings usage reference")
    });
    if noun { verb + rest } else { 0 }
}

/// Returns how many tokens tell that comments are to be left: "in code only", "but leave the comments alone".
fn code_only(tokens: &[Token]) -> usize {
    let mut at = 0;
    let mut take = |words: &str| {
        let taken = tokens[at..].iter().take_while(|token| token.is(words)).count();
        at += taken;
        taken > 0
    };
    take(", but and ;");
    let told = if take("only") {
        take("in") && take("code")
    } else if take("code") {
        take("only")
    } else if take("in") {
        take("the");
        take("code") && take("only")
    } else if take("not don't never") {
        let done = take("in") || take("touch change rename update");
        done && take(COMMENTS)
    } else if take("do") {
        take("not") && take("touch change rename update") && take(COMMENTS)
    } else if take("leave keep") {
        take(COMMENTS) && take("alone unchanged untouched as they are is it")
    } else {
        false
    };
    if told { at } else { 0 }
}

/// A reason gives no further order.
fn is_reason(tokens: &[Token]) -> bool {
    !tokens.iter().any(|token| {
        token.is("add remove delete fix implement create write make also then should must but except unless \
            only keep change update move drop refactor replace rename convert introduce please to")
    })
}

fn harmless(tokens: &[Token]) -> Option<Sentence> {
    if tokens.iter().any(|token| token.quoted) {
        return None;
    }
    if code_only(tokens) == tokens.len() && tokens.len() > 1 {
        return Some(Sentence::CodeOnly);
    }
    if uses(tokens) == tokens.len() && tokens.len() > 1 {
        return Some(Sentence::UpdateUses);
    }
    let words: Vec<String> = tokens
        .iter()
        .map(Token::word)
        .filter(|word| !matches!(word.as_str(), "," | ":" | "please"))
        .collect();
    let text = words.join(" ");
    let known = [
        "",
        "thanks",
        "thank you",
        "thanks a lot",
        "cheers",
        "no other changes",
        "no other change",
        "nothing else",
        "do not change anything else",
        "don't change anything else",
        "no functional changes",
        "no functional change",
        "no behaviour change",
        "no behavior change",
        "no behaviour changes",
        "no behavior changes",
        "the behaviour must not change",
        "the behavior must not change",
        "behaviour stays the same",
        "behavior stays the same",
        "keep everything else as is",
        "keep everything else as it is",
        "keep everything else unchanged",
        "leave everything else as is",
    ];
    known.contains(&text.as_str()).then_some(Sentence::Harmless)
}

fn is_path(token: &Token) -> bool {
    let text = token.text.as_str();
    let legal = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@' | '+'));
    let leaf = text.rsplit('/').next().unwrap_or("");
    let extension = leaf.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty() && !extension.is_empty() && extension.chars().all(|c| c.is_ascii_alphanumeric())
    });
    legal
        && !text.starts_with('/')
        && !text.split('/').any(|part| part == "..")
        && (text.contains('/') || extension)
}

fn conclude(from: &Noun, to: &Noun, details: Details) -> Sentence {
    for noun in [from, to] {
        let name = noun.name.as_str();
        if is_file(name) {
            return Sentence::Other;
        }
        if name.contains("::") || name.contains('.') || name.contains("->") {
            let parts = name.split(['.', ':']).filter(|part| !part.is_empty());
            if parts.clone().all(is_identifier) && parts.count() > 1 {
                return Sentence::Trouble(Recognised::Ambiguous {
                    why: format!(
                        "`{name}` is a qualified name; the playbook cannot tell its uses from its namesakes'"
                    ),
                });
            }
            return Sentence::Other;
        }
        if !is_identifier(name) {
            return Sentence::Other;
        }
        let plain = name.bytes().all(|b| b.is_ascii_lowercase());
        if !noun.quoted && (noun.kind.is_none() || noun.kind == Some(Kind::Any)) {
            let lower = name.to_lowercase();
            if NO_NAMES.split_ascii_whitespace().any(|word| word == lower)
                || (plain && noun.article && noun.kind.is_none())
            {
                return Sentence::Other;
            }
        }
        if name.chars().all(|c| c == '_') {
            let why = format!("`{name}` is no name that could be renamed");
            return Sentence::Trouble(Recognised::Refused { why });
        }
        if let Some(language) = reserved_mostly(name) {
            let why = format!(
                "`{name}` is a reserved word ({language}, among others), so nothing can be called it"
            );
            return Sentence::Trouble(Recognised::Refused { why });
        }
    }
    if from.name == to.name {
        return Sentence::Trouble(Recognised::NoChange { name: from.name.clone() });
    }
    let kind = match from.kind {
        None | Some(Kind::Any) => to.kind.unwrap_or(Kind::Any),
        Some(kind) => kind,
    };
    Sentence::Rename(Request {
        kind,
        from: from.name.clone(),
        to: to.name.clone(),
        scope: details.scope,
        everywhere: details.everywhere,
        code_only: details.code_only,
    })
}

fn is_file(name: &str) -> bool {
    let known = [
        "rs", "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "go", "md", "rst", "txt", "toml", "json",
        "yaml", "yml", "c", "h", "cc", "cpp", "hpp", "java", "rb", "sh", "html", "css", "cfg", "ini", "lock",
        "xml", "sql",
    ];
    name.contains('/')
        || name.contains('\\')
        || name.rsplit_once('.').is_some_and(|(_, extension)| known.contains(&extension))
}

/// Whether a text is one identifier: letters, digits and underscores, no digit first. Every language the
/// playbook knows takes these, in the letters of any script.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphanumeric())
        && text.len() <= 200
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(text: &str) -> String {
        match recognise(text) {
            Recognised::No => "no".into(),
            Recognised::NoChange { name } => format!("no change: {name}"),
            Recognised::Refused { why } => format!("refused: {why}"),
            Recognised::Ambiguous { .. } => "ambiguous".into(),
            Recognised::Yes(Request { kind, from, to, scope, everywhere, code_only }) => {
                let mut text = format!("{kind:?} {from} {to}");
                if let Some(scope) = scope {
                    text.push_str(&format!(" in {scope}"));
                }
                if everywhere {
                    text.push_str(" everywhere");
                }
                if code_only {
                    text.push_str(" in code only");
                }
                text
            }
        }
    }

    #[test]
    fn texts_that_ask_for_one_rename() {
        for (text, expected) in [
            ("Rename the function foo_bar to parse_bar everywhere", "Function foo_bar parse_bar everywhere"),
            ("Rename foo_bar to parse_bar", "Any foo_bar parse_bar"),
            ("rename foo to bar", "Any foo bar"),
            ("rename foo to bar in code only", "Any foo bar in code only"),
            ("rename foo to bar everywhere, but not in comments", "Any foo bar everywhere in code only"),
            (
                "rename foo to bar in src/, but leave the comments and docs alone",
                "Any foo bar in src in code only",
            ),
            ("Rename foo to bar. Don't touch comments or docstrings.", "Any foo bar in code only"),
            ("rename foo to bar. Leave comments as they are.", "Any foo bar in code only"),
            ("rename `X` to `Y`", "Any X Y"),
            ("Rename `foo` to 'bar'.", "Any foo bar"),
            ("Rename “foo” into ‘bar’!", "Any foo bar"),
            ("RENAME Foo TO Bar", "Any Foo Bar"),
            ("rename class Foo to Bar in src/models.py", "Type Foo Bar in src/models.py"),
            ("Rename the struct `LineBuffer` to `Lines` in src/", "Type LineBuffer Lines in src"),
            ("rename method get_x to x_position", "Method get_x x_position"),
            ("Rename the `get_x` method to `x`", "Method get_x x"),
            (
                "Rename constant MAX_LEN to MAX_LENGTH throughout the codebase",
                "Constant MAX_LEN MAX_LENGTH everywhere",
            ),
            ("Please rename the variable tmp to buffer.", "Variable tmp buffer"),
            (
                "Could you please rename foo_bar to parse_bar across the whole project?",
                "Any foo_bar parse_bar everywhere",
            ),
            ("We should rename Foo to Bar", "Any Foo Bar"),
            ("Let's rename foo_bar() to parse_bar()", "Any foo_bar parse_bar"),
            ("refactor: rename foo_bar to parse_bar", "Any foo_bar parse_bar"),
            ("Rename foo_bar -> parse_bar", "Any foo_bar parse_bar"),
            ("Rename foo_bar → parse_bar globally", "Any foo_bar parse_bar everywhere"),
            ("Rename foo_bar to parse_bar and update all references", "Any foo_bar parse_bar everywhere"),
            (
                "Rename foo_bar to parse_bar, including all its callers and tests",
                "Any foo_bar parse_bar everywhere",
            ),
            (
                "Rename foo_bar to parse_bar. Update all call sites accordingly.",
                "Any foo_bar parse_bar everywhere",
            ),
            ("The function foo_bar should be renamed to parse_bar", "Function foo_bar parse_bar"),
            ("`Foo` must be renamed to `Bar` everywhere", "Any Foo Bar everywhere"),
            ("Change the name of the class Foo to Bar", "Type Foo Bar"),
            ("Rename foo_bar in src/lexer.rs to parse_bar", "Any foo_bar parse_bar in src/lexer.rs"),
            (
                "Rename the function foo_bar in the file `lexer.rs` to parse_bar",
                "Function foo_bar parse_bar in lexer.rs",
            ),
            ("Rename foo_bar to parse_bar because the name is misleading", "Any foo_bar parse_bar"),
            ("Rename foo_bar to parse_bar, since it parses.", "Any foo_bar parse_bar"),
            ("Rename foo_bar to parse_bar for clarity. Thanks!", "Any foo_bar parse_bar"),
            (
                "# Rename foo_bar to parse_bar\n\nRename the function `foo_bar` to `parse_bar` everywhere.\n",
                "Function foo_bar parse_bar everywhere",
            ),
            ("Rename foo_bar to parse_bar\nNo other changes", "Any foo_bar parse_bar"),
            (
                "Rename the function\nfoo_bar to\nparse_bar everywhere.",
                "Function foo_bar parse_bar everywhere",
            ),
            ("- rename `foo` to `bar`", "Any foo bar"),
            ("Rename type to kind", "Any type kind"),
            ("Rename the class `größe` to `Größe`", "Type größe Größe"),
            ("Rename the function called foo to bar", "Function foo bar"),
            ("Rename struct Foo to struct Bar", "Type Foo Bar"),
        ] {
            assert_eq!(brief(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_that_ask_for_something_else_or_more() {
        for text in [
            "",
            "   \n",
            "Fix the bug in foo_bar",
            "Rename",
            "Rename foo_bar",
            "Rename foo_bar to",
            "Rename to parse_bar",
            "rename the file foo.py to bar.py",
            "Rename src/foo.rs to src/bar.rs",
            "rename the module foo to bar",
            "Rename the project to Gloaming",
            "Rename the button to Submit",
            "rename it to bar",
            "Rename foo_bar to something better",
            "Rename foo_bar to a more descriptive name",
            "Rename foo_bar to parse_bar and add a test",
            "Rename foo_bar to parse_bar and make it async",
            "Rename foo_bar to parse_bar. Also fix the typo in the README.",
            "Rename foo_bar to parse_bar except in tests",
            "Rename foo_bar to parse_bar but keep an alias",
            "Rename foo_bar to parse_bar in the docs",
            "Rename foo_bar to parse_bar in class Foo",
            "Rename foo_bar to parse_bar because it is wrong, then delete the old one",
            "Don't rename foo_bar to parse_bar",
            "Do not rename foo_bar to parse_bar",
            "Why did we rename foo_bar to parse_bar",
            "Renaming foo_bar to parse_bar broke the build",
            "After we rename foo_bar to parse_bar, release",
            "Rename foo-bar to parse-bar",
            "Rename `foo bar` to `baz`",
            "Rename foo_bar to parse_bar in ../other",
            "Rename foo_bar to parse_bar in /etc/passwd",
            "Rename the column user_id to account_id in the database",
            "Implement a rename command: `rename foo to bar`",
            "The parser crashes.\nRename foo_bar to parse_bar",
        ] {
            assert_eq!(brief(text), "no", "{text}");
        }
        assert_eq!(
            brief(&format!("Rename foo_bar to parse_bar {}", "please ".repeat(400))),
            "no",
            "too long"
        );
    }

    #[test]
    fn texts_that_can_be_read_in_several_ways() {
        for text in [
            "Rename foo_bar to parse_bar and rename baz to qux",
            "Rename foo_bar to parse_bar and baz to qux",
            "Rename foo_bar to parse_bar, baz to qux",
            "Rename foo_bar to parse_bar. Rename foo_bar to read_bar.",
            "- Rename a_b to c_d\n- Rename e_f to g_h\n",
            "Rename foo or bar to baz",
            "Rename foo_bar to parse_bar or read_bar",
            "Rename Foo::bar to Foo::baz",
            "Rename the method Foo.bar to qux",
        ] {
            assert_eq!(brief(text), "ambiguous", "{text}");
        }
    }

    #[test]
    fn names_that_cannot_be() {
        assert_eq!(brief("Rename foo to foo"), "no change: foo");
        assert_eq!(brief("rename `foo` to foo everywhere"), "no change: foo");
        for text in ["Rename foo to return", "Rename `if` to `when`", "Rename the function foo to _"] {
            assert!(brief(text).starts_with("refused: "), "{text}: {}", brief(text));
        }
        assert_eq!(brief("Rename foo to 2bar"), "no");
        assert_eq!(brief("Rename foo to $bar"), "no");
        assert_eq!(
            brief("Rename the variable foo to func"),
            "Variable foo func",
            "decided by the files' languages"
        );
    }
}
