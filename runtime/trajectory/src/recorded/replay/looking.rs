//! Calls that show files.

use gloaming_api::tool::ToolOutcome;
use serde_json::json;

use super::super::seen::{self, Window};
use super::{Compared, Difference, Replay, unexplained};

/// The most lines that `read` shows in a call.
const MOST: usize = 2000;

impl Replay<'_> {
    /// Shows the lines that their viewer showed. Which those are is the viewer's state; a caller of `read` says it.
    pub(super) fn show(&mut self, path: &str, answer: &str) -> Compared {
        match seen::window(answer) {
            Some(window) => {
                let outcome = self.read(path, &window);
                self.same_lines(&outcome, &window)
            }
            None => self.both_refuse("read", &json!({"path": path}), answer),
        }
    }

    /// Shows a file as `cat -n` does, or a folder.
    pub(super) fn view(&mut self, path: &str, from: Option<usize>, answer: &str) -> Compared {
        if answer.contains("files and directories up to 2 levels deep") {
            return self.two_levels(path, answer);
        }
        let window = seen::cat_n(answer);
        if window.lines.is_empty() {
            return self.both_refuse("read", &json!({"path": path}), answer);
        }
        if let Some(first) = from
            && window.lines[0].0 != first
        {
            return Err(unexplained("their answer does not begin with the line that was asked for"));
        }
        let outcome = self.read(path, &window);
        self.same_lines(&outcome, &window)
    }

    /// Prints a file.
    pub(super) fn print(&mut self, path: &str, answer: &str) -> Compared {
        if seen::refusal(answer).is_some() {
            return self.both_refuse("read", &json!({"path": path}), answer);
        }
        let outcome = self.call("read", &json!({"path": path}));
        if !outcome.ok {
            return Err(self.failed(&outcome));
        }
        let content = self.content(path)?;
        if content.trim_end() == answer.trim_end() { Ok(()) } else { Err(unexplained("another content")) }
    }

    /// Compares what a file holds now with what their answer shows of it, without a call of its own in the report.
    pub(super) fn holds(&mut self, path: &str, window: &Window) -> Compared {
        let ours = self.ours.len();
        let outcome = self.read(path, window);
        self.ours.truncate(ours);
        self.same_lines(&outcome, window)
    }

    fn read(&mut self, path: &str, window: &Window) -> ToolOutcome {
        let mut args = json!({"path": path});
        if let Some((first, _)) = window.lines.first() {
            args["start"] = json!(first);
            args["lines"] = json!(window.lines.len().min(MOST));
        }
        self.call("read", &args)
    }

    fn same_lines(&self, outcome: &ToolOutcome, window: &Window) -> Compared {
        if !outcome.ok {
            return Err(self.failed(outcome));
        }
        let ours = lines(outcome);
        let total = number(outcome, "total");
        let mut theirs = window.lines.as_slice();
        // A line feed at the end of the file is an empty line to them.
        if let Some(((last, text), before)) = theirs.split_last()
            && *last == total + 1
            && text.is_empty()
        {
            theirs = before;
        }
        if let Some(count) = window.total
            && count != total
            && count != total + 1
        {
            return Err(unexplained(format!("{count} lines are {total} here")));
        }
        let end = theirs.len().min(MOST);
        for (at, (number, text)) in theirs.iter().take(end).enumerate() {
            let same = ours.get(at).is_some_and(|ours| {
                // What ends an answer may have lost its white space.
                ours == text || expanded(ours) == *text || at + 1 == end && ours.trim_end() == text.trim_end()
            });
            if !same {
                return Err(unexplained(format!("line {number} is another")));
            }
        }
        Ok(())
    }

    /// Makes a call that has to fail, since theirs did.
    pub(super) fn both_refuse(&mut self, tool: &str, args: &serde_json::Value, answer: &str) -> Compared {
        if seen::refusal(answer).is_none() {
            return Err(unexplained("their answer shows nothing that could be compared"));
        }
        if self.call(tool, args).ok { Err(unexplained("theirs fails, and ours does not")) } else { Ok(()) }
    }

    /// Returns a file's text, read by the tool.
    pub(super) fn content(&mut self, path: &str) -> Result<String, Difference> {
        let mut text = String::new();
        let mut next = 1;
        loop {
            let outcome = self.tools.call("read", &json!({"path": path, "start": next, "lines": MOST}));
            if !outcome.ok {
                return Err(self.failed(&outcome));
            }
            for line in lines(&outcome) {
                text.push_str(&line);
                text.push('\n');
            }
            let (last, total, size) =
                (number(&outcome, "last"), number(&outcome, "total"), number(&outcome, "size"));
            if last < total && last >= next {
                next = last + 1;
                continue;
            }
            // The last line may end without a line feed; any other difference is a text that `read` does not show as it is.
            return match text.len() {
                length if length == size => Ok(text),
                length if length == size + 1 => {
                    text.pop();
                    Ok(text)
                }
                _ => Err(unexplained(format!("{path} is not shown byte for byte"))),
            };
        }
    }
}

fn number(outcome: &ToolOutcome, key: &str) -> usize {
    let number = outcome.output.as_ref().and_then(|output| output[key].as_u64());
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

/// The lines that an answer of `read` shows.
fn lines(outcome: &ToolOutcome) -> Vec<String> {
    let (first, last) = (number(outcome, "first"), number(outcome, "last"));
    let text = outcome.output.as_ref().and_then(|output| output["text"].as_str()).unwrap_or_default();
    let count = if first == 0 { 0 } else { last + 1 - first };
    let shown = text.split('\n').take(count);
    shown.map(|line| line.split_once('\t').map_or(line, |(_, text)| text).to_owned()).collect()
}

/// Writes tabs as spaces up to the next eighth column, as their editor shows them.
pub(super) fn expanded(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for c in line.chars() {
        match c {
            '\t' => {
                let width = 8 - column % 8;
                text.extend(std::iter::repeat_n(' ', width));
                column += width;
            }
            c => {
                text.push(c);
                column = if c == '\n' { 0 } else { column + 1 };
            }
        }
    }
    text
}
