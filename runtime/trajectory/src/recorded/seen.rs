//! What a recorded answer shows, without the words around it.

/// Lines of a file as they were shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// How many lines the file has, where the answer says so.
    pub(super) total: Option<usize>,
    /// Number and text of each line.
    pub(super) lines: Vec<(usize, String)>,
}

/// Reads the first window of their viewer in an answer: `[File: PATH (N lines total)]`, `(N more lines above)`, then
/// `NUMBER:TEXT`.
pub(super) fn window(answer: &str) -> Option<Window> {
    let mut rest = answer.lines().skip_while(|line| !line.starts_with("[File: "));
    let head = rest.next()?;
    let total =
        head.rsplit_once('(').and_then(|(_, tail)| tail.split_once(" lines total")).map(|(count, _)| count);
    let mut window = Window { total: total.and_then(|count| count.parse().ok()), lines: Vec::new() };
    for line in rest {
        // What marks the selection, and how much stands above.
        if line.starts_with("<<<<< ") || window.lines.is_empty() && line.ends_with(" more lines above)") {
            continue;
        }
        match numbered(line, ':', window.lines.last()) {
            Some(line) => window.lines.push(line),
            None => break,
        }
    }
    Some(window)
}

/// Reads lines as `cat -n` shows them, wherever in an answer they begin.
pub(super) fn cat_n(answer: &str) -> Window {
    let mut window = Window::default();
    for line in answer.lines() {
        match numbered(line.trim_start_matches(' '), '\t', window.lines.last()) {
            Some(line) => window.lines.push(line),
            None if window.lines.is_empty() => {}
            None => break,
        }
    }
    window
}

fn numbered(line: &str, separator: char, last: Option<&(usize, String)>) -> Option<(usize, String)> {
    let (number, text) = line.split_once(separator)?;
    let number: usize = number.parse().ok()?;
    last.is_none_or(|(last, _)| number.checked_sub(1) == Some(*last)).then(|| (number, text.to_owned()))
}

/// Whether an editor's answer says that it changed nothing, and whether it was for its linter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Linter,
    Other,
}

/// Returns how an editor or viewer refused, if it did.
pub(super) fn refusal(answer: &str) -> Option<Refusal> {
    const OTHERS: &[&str] = &[
        "Your edit was not applied",
        "No replacement was performed",
        "No file open",
        "No file opened",
        "Error: ",
        "File already exists at",
        "Usage: ",
        "Invalid `",
        "The path ",
        "No changes made",
        "Your search and replace strings are the same",
    ];
    let answer = answer.trim_start();
    if answer.starts_with("Your proposed edit has introduced new syntax error(s)") {
        return Some(Refusal::Linter);
    }
    let own = OTHERS.iter().any(|begin| answer.starts_with(begin));
    let shell = ["No such file or directory", "command not found", "already exists."];
    let first = answer.lines().next().unwrap_or_default();
    (own || shell.iter().any(|end| first.ends_with(end))).then_some(Refusal::Other)
}

/// The change in an answer to `submit`: the diff itself, or what stands between lines `<diff>` and `</diff>`.
pub(super) fn diff(answer: &str) -> &str {
    match answer.split_once("\n<diff>\n") {
        Some((_, rest)) => rest.split_once("</diff>").map_or(rest, |(diff, _)| diff),
        None => answer,
    }
}

/// The lines of a diff that say what is changed: no ids of contents, no modes, and of a hunk's place not the words that
/// tell where it is.
pub(super) fn essential(diff: &str) -> Vec<String> {
    let lines = diff.trim().lines().filter(|line| {
        !["index ", "diff --git ", "new file mode", "deleted file mode"]
            .iter()
            .any(|begin| line.starts_with(begin))
    });
    lines
        .map(|line| match line.strip_prefix("@@ ").and_then(|rest| rest.split_once(" @@")) {
            Some((place, _)) => format!("@@ {place} @@"),
            // What ends an answer may have lost its white space.
            None => line.trim_end().to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_without_what_stands_around_them() {
        let answer = "Text replaced.\n[File: /r/a.py (12 lines total)]\n(3 more lines above)\n<<<<< START CURSOR >>>>>\n4:a: b\n\
                      <<<<< END CURSOR >>>>>\n5:\n6:7:x\n(6 more lines below)\nFile updated.\n";
        let lines = [(4, "a: b"), (5, ""), (6, "7:x")].map(|(number, text)| (number, text.to_owned()));
        assert_eq!(window(answer), Some(Window { total: Some(12), lines: lines.into() }));
        assert_eq!(window("nothing"), None);
        let most = usize::MAX;
        assert_eq!(cat_n(&format!("{most}\tx\n1\ty")).lines, [(most, "x".to_owned())]);
        let answer =
            "Here's the result of running `cat -n` on /r/a:\n     9\tx\n    10\t\ty\nReview the changes.\n";
        assert_eq!(cat_n(answer).lines, [(9, "x".to_owned()), (10, "\ty".to_owned())]);
    }

    #[test]
    fn refusals_and_diffs_are_told_apart_from_what_surrounds_them() {
        assert_eq!(
            refusal("Your proposed edit has introduced new syntax error(s). x"),
            Some(Refusal::Linter)
        );
        assert_eq!(refusal("cat: x: No such file or directory\n"), Some(Refusal::Other));
        assert_eq!(refusal("No replacement was performed, x"), Some(Refusal::Other));
        assert_eq!(refusal("The file /r/a has been edited."), None);
        let answer = "Review the <diff> below.\n<diff>\ndiff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@ def f():\n-a\n+b \n</diff>";
        assert_eq!(essential(diff(answer)), ["--- a/a", "+++ b/a", "@@ -1 +1 @@", "-a", "+b"]);
    }
}
