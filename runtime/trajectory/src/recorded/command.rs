//! What a recorded command asks for, however its version of SWE-agent writes it.

use super::Reason;
use super::shell;

/// One thing that a command asks for. Paths are as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Opens a file in their viewer, which shows some lines around one.
    Open { path: String },
    /// Shows the lines of the open file again, after moving.
    Move,
    /// Chooses the lines that the next edit without numbers replaces.
    Select { first: usize, last: usize },
    /// Shows a file, from a line on where one is given; of a folder what is in it.
    View { path: String, from: Option<usize> },
    /// Prints a file.
    Print { path: String },
    /// Makes a file; without text an empty one, which is then open.
    Create { path: String, text: Option<String> },
    /// Replaces lines of the open file; none for those that are selected.
    EditLines { lines: Option<(usize, usize)>, text: String },
    /// Replaces a text; without a path in the open file.
    Replace { path: Option<String>, old: String, new: String, all: bool },
    /// Puts lines behind a line, none for the end of the file; without a path in the open file.
    Insert { path: Option<String>, after: Option<i64>, text: String },
    /// Removes files, or with `recursive` folders.
    Remove { path: String, recursive: bool },
    /// Lists what is in a folder.
    ListFolder { path: String, hidden: bool },
    /// Finds files by a pattern of their names, anywhere below a folder.
    FindFiles { path: String, names: Vec<String>, filter: Filter },
    /// Searches contents.
    Search(Search),
    /// Says that the change is complete, and shows it.
    Submit,
    /// Goes to a folder.
    ChangeFolder { path: String },
    /// Runs the repository's own command of this kind.
    Check { what: &'static str },
    /// Cannot be done here.
    OutOfReach(Reason),
}

/// A search of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) path: String,
    pub(super) pattern: String,
    pub(super) literal: bool,
    pub(super) ignore_case: bool,
    /// Patterns of file names.
    pub(super) names: Vec<String>,
    pub(super) shows: Shows,
    /// Only so many of what is found are shown.
    pub(super) head: Option<usize>,
}

/// What a search shows of what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// The matching lines, with their numbers or without.
    Lines,
    /// How many lines match in each file.
    Counts,
    /// The files.
    Files,
}

/// What is left of the lines of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Expressions that a line must match, or with `true` must not.
    pub(super) lines: Vec<(String, bool)>,
    /// Only so many.
    pub(super) head: Option<usize>,
}

/// Reads a command.
pub(super) fn acts(action: &str) -> Vec<Act> {
    let action = action.trim_end_matches('\n');
    let (first, rest) = action.split_once('\n').unwrap_or((action, ""));
    let name = first.split_whitespace().next().unwrap_or_default();
    if name == "edit"
        && let Some(edit) = edit_lines(first, rest)
    {
        return vec![edit];
    }
    if !COMMANDS.contains(&name) {
        return shell::acts(action);
    }
    // What else a line does would be left out, so it is not done in part.
    let words = shell::words(action).filter(|words| !shell::has_operator(words));
    vec![words.and_then(|words| own(name, words.get(1..)?)).unwrap_or(Act::OutOfReach(Reason::ShellLanguage))]
}

/// SWE-agent's own commands; everything else is a shell's.
const COMMANDS: &[&str] = &[
    "open",
    "goto",
    "scroll_down",
    "scroll_up",
    "set_cursors",
    "create",
    "edit",
    "insert",
    "find_file",
    "search_dir",
    "search_file",
    "str_replace_editor",
    "submit",
];

/// `edit N:M` or, with lines that were selected before, `edit`; the text follows up to `end_of_edit`.
fn edit_lines(first: &str, rest: &str) -> Option<Act> {
    let text = rest.strip_suffix("end_of_edit")?;
    let text = text.strip_suffix('\n').unwrap_or(text).to_owned();
    let lines = match first.split_whitespace().nth(1) {
        None => None,
        Some(range) => {
            let (from, to) = range.split_once(':')?;
            Some((from.parse().ok()?, to.parse().ok()?))
        }
    };
    Some(Act::EditLines { lines, text })
}

fn own(name: &str, args: &[String]) -> Option<Act> {
    let text = |at: usize| args.get(at).cloned();
    let number = |at: usize| args.get(at).and_then(|word| word.parse().ok());
    Some(match name {
        "open" => Act::Open { path: text(0)? },
        "goto" | "scroll_down" | "scroll_up" => Act::Move,
        "set_cursors" => Act::Select { first: number(0)?, last: number(1)? },
        "create" => Act::Create { path: text(0)?, text: None },
        "edit" => {
            let all = text(2).is_some_and(|word| !matches!(word.as_str(), "False" | "false" | "0"));
            Act::Replace { path: None, old: text(0)?, new: text(1)?, all }
        }
        "insert" => {
            let after = args.get(1).map(|word| word.parse()).transpose().ok()?;
            Act::Insert { path: None, after, text: text(0)? }
        }
        "find_file" => Act::FindFiles {
            names: vec![text(0)?],
            path: text(1).unwrap_or_else(|| ".".into()),
            filter: Filter::default(),
        },
        "search_dir" | "search_file" => Act::Search(Search {
            pattern: text(0)?,
            // None stands for the open file.
            path: text(1).unwrap_or_else(|| if name == "search_dir" { ".".into() } else { String::new() }),
            literal: false,
            ignore_case: false,
            names: Vec::new(),
            shows: if name == "search_dir" { Shows::Counts } else { Shows::Lines },
            head: None,
        }),
        "submit" if args.is_empty() => Act::Submit,
        "submit" => Act::OutOfReach(Reason::Answer),
        "str_replace_editor" => editor(args)?,
        _ => return None,
    })
}

/// `str_replace_editor COMMAND PATH --OPTION VALUE...`, the editor that Anthropic's models are trained on.
fn editor(args: &[String]) -> Option<Act> {
    let path = args.get(1)?.clone();
    let option = |name: &str| {
        let at = args.iter().position(|word| word == name)?;
        args.get(at + 1).cloned()
    };
    Some(match args.first()?.as_str() {
        // Up to which line, their answer shows.
        "view" => Act::View { path, from: option("--view_range").and_then(|word| word.parse().ok()) },
        "create" => Act::Create { path, text: Some(option("--file_text").unwrap_or_default()) },
        "str_replace" => Act::Replace {
            path: Some(path),
            old: option("--old_str")?,
            new: option("--new_str").unwrap_or_default(),
            all: false,
        },
        "insert" => Act::Insert {
            path: Some(path),
            after: Some(option("--insert_line")?.parse().ok()?),
            text: option("--new_str")?,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_in_the_forms_of_each_version() {
        let path = |path: &str| path.to_owned();
        for (action, expect) in [
            ("open \"a b.py\" 12\n", Act::Open { path: path("a b.py") }),
            (
                "edit 3:4\n    x\n\ny\nend_of_edit\n",
                Act::EditLines { lines: Some((3, 4)), text: "    x\n\ny".into() },
            ),
            ("edit 6:7\nend_of_edit", Act::EditLines { lines: Some((6, 7)), text: String::new() }),
            ("edit\nx\nend_of_edit", Act::EditLines { lines: None, text: "x".into() }),
            (
                "edit 'a' '\"b\nc' False",
                Act::Replace { path: None, old: "a".into(), new: "\"b\nc".into(), all: false },
            ),
            ("insert 'x' 3", Act::Insert { path: None, after: Some(3), text: "x".into() }),
            (
                "str_replace_editor view /r/a --view_range 3 -1",
                Act::View { path: path("/r/a"), from: Some(3) },
            ),
            (
                "str_replace_editor str_replace /r/a   --old_str 'it'\"'\"'s' --new_str ''",
                Act::Replace { path: Some(path("/r/a")), old: "it's".into(), new: String::new(), all: false },
            ),
            ("submit", Act::Submit),
            ("submit 'flag{x}'", Act::OutOfReach(Reason::Answer)),
            ("str_replace_editor undo_edit /r/a", Act::OutOfReach(Reason::ShellLanguage)),
            ("open \"a", Act::OutOfReach(Reason::ShellLanguage)),
            ("create a.py && rm b", Act::OutOfReach(Reason::ShellLanguage)),
            ("create a.py; rm b", Act::OutOfReach(Reason::ShellLanguage)),
        ] {
            assert_eq!(acts(action), [expect], "{action}");
        }
    }
}
