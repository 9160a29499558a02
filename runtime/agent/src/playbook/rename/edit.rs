//! What one file becomes, and the tool call that makes it so.

use serde_json::Value;

use super::python::{self, Role};
use super::{FileIdentifiers, Found, FoundKind, Kind, Request};
use crate::playbook::splice::{Splice, splice};

/// What is to become of one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edit {
    pub(crate) path: String,
    /// The whole new content.
    pub(crate) after: String,
    /// The tool that makes it: `patch`, or `write` where a patch could not be exact.
    pub(crate) tool: &'static str,
    pub(crate) args: Value,
    pub(crate) code: u32,
    pub(crate) comments: u32,
}

/// What one file holds: places to change, and places to leave.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) change: Vec<Found>,
    pub(crate) leave: Vec<Found>,
    pub(crate) code: u32,
    pub(crate) comments: u32,
}

/// Sorts a file's occurrences. Code and comments change; of strings, Python's docstrings and the entries of
/// `__all__`, and the names that Rust's format strings capture. Any other string may be a key, a path or a
/// message that something outside relies on. Comments and docstrings are left where the task says so.
pub(crate) fn places(file: &FileIdentifiers, request: &Request) -> Places {
    let text = file.text.as_deref().unwrap_or("");
    let python = file.language.as_deref() == Some("python");
    let literals = if python { python::literals(text) } else { Vec::new() };
    let mut places = Places::default();
    for found in &file.from {
        match found.kind {
            FoundKind::Code => places.code += 1,
            FoundKind::Comment if request.code_only => {
                places.leave.push(*found);
                continue;
            }
            FoundKind::Comment => places.comments += 1,
            FoundKind::String => {
                let literal = literals.iter().find(|l| l.start <= found.start && found.end <= l.end);
                let whole = |l: &python::Literal| {
                    text.get(l.start..l.end).is_some_and(|literal| {
                        literal.trim_start_matches(char::is_alphabetic).trim_matches(['"', '\''])
                            == request.from
                    })
                };
                match literal {
                    Some(l) if l.role == Role::Documentation && !request.code_only => places.comments += 1,
                    Some(l) if l.role == Role::Export && whole(l) => places.code += 1,
                    _ if file.language.as_deref() == Some("rust")
                        && is_captured(text, found, request.kind) =>
                    {
                        places.code += 1;
                    }
                    _ => {
                        places.leave.push(*found);
                        continue;
                    }
                }
            }
        }
        places.change.push(*found);
    }
    places
}

/// Whether a word in a Rust string is a captured variable: `"{name}"`, `"{name:>5}"`. Functions and types
/// cannot be captured.
fn is_captured(text: &str, found: &Found, kind: Kind) -> bool {
    if !matches!(kind, Kind::Any | Kind::Variable | Kind::Constant) {
        return false;
    }
    let (Some(before), Some(after)) = (text.get(..found.start), text.get(found.end..)) else { return false };
    let opening = before.len() - before.trim_end_matches('{').len();
    opening % 2 == 1 && after.starts_with(['}', ':'])
}

/// Makes a file's edit. Fails when the positions are not where the old name stands.
pub(crate) fn edit(file: &FileIdentifiers, places: &Places, request: &Request) -> Result<Edit, String> {
    let before = file.text.as_deref().ok_or_else(|| format!("{} cannot be read as text", file.path))?;
    let mut splices = Vec::new();
    for found in &places.change {
        if before.get(found.start..found.end) != Some(request.from.as_str()) {
            return Err(format!("{}:{}: the old name does not stand at its position", file.path, found.line));
        }
        splices.push(Splice { start: found.start, end: found.end, text: request.to.clone() });
    }
    let made = splice(&file.path, before, &splices)
        .ok_or_else(|| format!("{}: the old name's positions are not in order", file.path))?;
    let (code, comments) = (places.code, places.comments);
    Ok(Edit { path: made.path, after: made.after, tool: made.tool, args: made.args, code, comments })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::splice::tests::apply;

    fn request() -> Request {
        Request {
            kind: Kind::Any,
            from: "foo".into(),
            to: "parse".into(),
            scope: None,
            everywhere: true,
            code_only: false,
        }
    }

    /// Finds words as the host would, all of one kind.
    fn file(language: &str, text: &str, kind: FoundKind) -> FileIdentifiers {
        let found = |(start, word): (usize, &str)| Found {
            start,
            end: start + word.len(),
            line: text[..start].matches('\n').count() as u32 + 1,
            kind,
        };
        FileIdentifiers {
            path: "a".into(),
            language: Some(language.into()),
            text: Some(text.into()),
            from: text.match_indices("foo").map(found).collect(),
            ..FileIdentifiers::default()
        }
    }

    fn run(language: &str, text: &str, kind: FoundKind) -> Edit {
        let file = file(language, text, kind);
        edit(&file, &places(&file, &request()), &request()).unwrap()
    }

    #[test]
    fn a_patch_has_the_changed_lines_with_context() {
        let edit = run("rust", "a\nb\nc\nd\nfoo();\nfoo(foo);\ne\nf\ng\nh\n", FoundKind::Code);
        assert_eq!(
            edit.args["patch"].as_str().unwrap(),
            "*** Begin Patch\n*** Update File: a\n@@\n b\n c\n d\n-foo();\n-foo(foo);\n+parse();\n\
             +parse(parse);\n e\n f\n g\n*** End Patch\n"
        );
        assert_eq!((edit.code, edit.tool), (3, "patch"));
    }

    #[test]
    fn a_hunk_grows_until_it_fits_in_one_place_only() {
        // The same lines twice; only the second `foo` changes, as the first stands in a string.
        let text = "x\n\nfoo\n\nx\ny\n\n\n\nx\n\nfoo\n\nx\nz\n";
        let mut file = file("rust", text, FoundKind::Code);
        file.from.remove(0);
        let edit = edit(&file, &places(&file, &request()), &request()).unwrap();
        let patch = edit.args["patch"].as_str().unwrap();
        assert_eq!(apply(text, patch), edit.after, "{patch}");
    }

    #[test]
    fn crlf_stays_and_doubtful_files_are_written_whole() {
        let edit = run("rust", "foo\r\nb\r\n", FoundKind::Code);
        assert_eq!(
            edit.args["patch"],
            "*** Begin Patch\n*** Update File: a\n@@\n-foo\n+parse\n b\n*** End Patch\n"
        );
        assert_eq!(edit.after, "parse\r\nb\r\n");
        for text in ["foo\r\nb\n", "foo", "foo\rb\n", "a\nfoo"] {
            let edit = run("rust", text, FoundKind::Code);
            assert_eq!(edit.tool, "write", "{text:?}");
            assert_eq!(
                edit.args,
                json!({"path": "a", "content": text.replace("foo", "parse"), "overwrite": true})
            );
        }
    }

    #[test]
    fn strings_are_left_but_for_exports_docstrings_and_captures() {
        let python = "\"\"\"About foo.\"\"\"\n__all__ = ['foo', 'foo.bar']\nx = getattr(m, 'foo')\n";
        let edit = run("python", python, FoundKind::String);
        assert_eq!(
            edit.after,
            "\"\"\"About parse.\"\"\"\n__all__ = ['parse', 'foo.bar']\nx = getattr(m, 'foo')\n"
        );
        let code = Request { code_only: true, ..request() };
        assert_eq!(
            places(&file("python", python, FoundKind::String), &code).change.len(),
            1,
            "`__all__` is code"
        );
        let comment = places(&file("python", "# foo\n", FoundKind::Comment), &code);
        assert_eq!((comment.change.len(), comment.leave.len()), (0, 1));
        let rust = "\"{foo} {foo:?} {{foo}} foo {foo.x}\"\n";
        assert_eq!(run("rust", rust, FoundKind::String).after, "\"{parse} {parse:?} {{foo}} foo {foo.x}\"\n");
        let file = file("rust", rust, FoundKind::String);
        let function = Request { kind: Kind::Function, ..request() };
        assert_eq!(places(&file, &function).change, []);
        assert_eq!(places(&file, &function).leave.len(), 5);
    }

    #[test]
    fn positions_that_do_not_fit_are_refused() {
        let mut file = file("rust", "foo foo\n", FoundKind::Code);
        file.from.swap(0, 1);
        assert!(edit(&file, &places(&file, &request()), &request()).is_err(), "out of order");
        file.from = vec![Found { start: 1, end: 4, line: 1, kind: FoundKind::Code }];
        assert!(edit(&file, &places(&file, &request()), &request()).is_err(), "another text");
        file.from = vec![Found { start: 90, end: 93, line: 1, kind: FoundKind::Code }];
        assert!(edit(&file, &places(&file, &request()), &request()).is_err(), "behind the end");
        file.text = None;
        assert!(edit(&file, &places(&file, &request()), &request()).is_err(), "no text");
    }

    proptest::proptest! {
        #[test]
        fn every_patch_makes_the_content_it_is_for(
            lines in proptest::collection::vec("(foo|x|y|)( foo| z|)", 1..40),
            keep in proptest::collection::vec(proptest::bool::ANY, 80),
        ) {
            let text = lines.join("\n") + "\n";
            let mut file = file("rust", &text, FoundKind::Code);
            let mut index = 0;
            file.from.retain(|_| { index += 1; keep[index % keep.len()] });
            let places = places(&file, &request());
            let edit = edit(&file, &places, &request()).unwrap();
            if !places.change.is_empty() {
                proptest::prop_assert_eq!(apply(&text, edit.args["patch"].as_str().unwrap()), edit.after);
            }
        }
    }
}
