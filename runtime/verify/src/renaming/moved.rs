//! Whether a module that moved is gone from where it was: else what others find there is another one, and the tests would
//! follow the copy.

use gloaming_api::RelPath;
use gloaming_syntax::{ByName, DeclaredKind, Language, TokenKind, tokens};

use crate::change::Change;

/// What a file is called behind its module's name.
const ENDINGS: &[&str] =
    &["py", "pyc", "pyd", "so", "rs", "js", "mjs", "cjs", "jsx", "json", "node", "ts", "mts", "cts", "tsx"];

/// Files that a folder is loaded by.
const ENTRIES: &[&str] = &["__init__", "index", "mod", "package"];

/// Whether something in the patched tree answers to a module that was at `path`: a file or a folder by its name, or what
/// the module around it gives the name to.
pub(super) fn is_still_found(change: &Change, path: &RelPath, name: &str) -> bool {
    let Some(folder) = path.parent() else { return false };
    let begin = if folder.is_root() { name.to_owned() } else { format!("{folder}/{name}") };
    let answers = |other: &RelPath| {
        let Some(rest) = other.as_str().strip_prefix(&begin) else { return false };
        let last = rest.rsplit('.').next().unwrap_or_default();
        match rest.strip_prefix('/') {
            Some(inner) => {
                !inner.contains('/')
                    && inner.split_once('.').is_some_and(|(stem, _)| ENTRIES.contains(&stem))
                    && ENDINGS.contains(&last)
            }
            None => rest.starts_with('.') && !rest.contains('/') && is_module(rest, last),
        }
    };
    change.patched.keys().any(answers) || is_given_on(change, &folder, name)
}

/// `.py`, `.cpython-312.so`; not what lies beside a module by its name, like `.test.js` and `.d.ts`.
fn is_module(rest: &str, last: &str) -> bool {
    ENDINGS.contains(&last) && (rest.len() == last.len() + 1 || matches!(last, "so" | "pyd" | "pyc"))
}

/// Whether the module around the one that moved brings in something else by the name, or declares it at another path.
fn is_given_on(change: &Change, folder: &RelPath, name: &str) -> bool {
    change.files.iter().filter(|diff| is_around(&diff.file.path, folder)).any(|diff| {
        let Some(language) = Language::of(diff.file.path.as_str()) else { return false };
        let count = |content: &Option<Vec<u8>>| {
            content.as_deref().map_or(0, |content| bindings(language, content, name))
        };
        let (before, after) = (count(&diff.before), count(&diff.after));
        // What Rust declared is one of those before; it has to be gone.
        after > before || language == Language::Rust && after > 0 && after == before
    })
}

/// Whether a file is that of the module which a folder's modules belong to.
fn is_around(path: &RelPath, folder: &RelPath) -> bool {
    let inside = path.parent().as_ref() == Some(folder)
        && matches!(path.name(), Some("__init__.py" | "lib.rs" | "main.rs" | "mod.rs"));
    inside || path.as_str() == format!("{folder}.rs")
}

/// How often a file gives a name to something: `mod x;`, `use a::x;`, `import a as x`, `x = 1`.
fn bindings(language: Language, content: &[u8], name: &str) -> usize {
    let tokens = tokens(language, content);
    let text = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.text.as_str());
    (0..tokens.len())
        .filter(|at| tokens[*at].kind == TokenKind::Identifier && tokens[*at].text == name)
        .filter(|at| {
            let (before, after) = (text(at.checked_sub(1)), text(Some(at + 1)));
            match language {
                Language::Rust => {
                    after != "::" && matches!(before, "mod" | "as" | "::" | "{" | "," | "use" | "crate")
                }
                _ => {
                    after == "="
                        || after != "as" && after != "." && matches!(before, "import" | "as" | "," | "(")
                }
            }
        })
        .count()
}

/// Whether code now says a module's name as the end of a path in a text, and did not before: `sys.modules["calc.core"]`.
pub(super) fn is_said_by_path((before, after): &(ByName<'_>, ByName<'_>), name: &str) -> bool {
    let count = |list: &ByName<'_>, text: &str| {
        let found = list.get(text).into_iter().flatten();
        found.filter(|one| one.kind == DeclaredKind::Text).count()
    };
    let end = format!(".{name}");
    after.keys().filter(|text| text.ends_with(&end)).any(|text| count(after, text) > count(before, text))
}
