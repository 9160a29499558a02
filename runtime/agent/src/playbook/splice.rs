//! What a file becomes by changes at byte positions, and the tool call that makes it so.

use serde_json::{Value, json};

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// One piece of a text, and what is to stand there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// First byte.
    pub start: usize,
    /// Byte after the last; the first for an insertion.
    pub end: usize,
    /// The new text.
    pub text: String,
}

/// A file's change, and the call that makes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spliced {
    pub(crate) path: String,
    /// The whole new content.
    pub(crate) after: String,
    /// The tool that makes it: `patch`, or `write` where a patch could not be exact.
    pub(crate) tool: &'static str,
    pub(crate) args: Value,
}

/// Makes the changes, which have to be in order and apart; none where they are not.
pub(crate) fn splice(path: &str, before: &str, splices: &[Splice]) -> Option<Spliced> {
    let mut after = String::with_capacity(before.len());
    let mut at = 0;
    for splice in splices {
        after.push_str(before.get(at..splice.start)?);
        before.get(splice.start..splice.end)?;
        after.push_str(&splice.text);
        at = splice.end;
    }
    after.push_str(before.get(at..)?);
    let (tool, args) = match patch(path, before, &after, splices) {
        Some(patch) => ("patch", json!({"patch": patch})),
        None => ("write", json!({"path": path, "content": after, "overwrite": true})),
    };
    Some(Spliced { path: path.to_owned(), after, tool, args })
}

/// Lines that become others: of the old content, and what stands there then.
struct Block {
    first: usize,
    /// The line behind the last.
    end: usize,
    lines: Vec<String>,
}

/// Returns a patch of one file whose every hunk can only apply where it is meant; none when the file's line ends, first
/// bytes or name leave any doubt, or when what is inserted brings line ends of its own.
fn patch(path: &str, before: &str, after: &str, splices: &[Splice]) -> Option<String> {
    let doubtful = |text: &str| {
        let (crlf, lf, cr) =
            (text.matches("\r\n").count(), text.matches('\n').count(), text.matches('\r').count());
        cr != crlf || (crlf > 0 && lf != crlf) || !text.ends_with('\n') || text.starts_with('\u{feff}')
    };
    let bad_name = path.trim() != path || path.contains(char::is_control);
    if doubtful(before) || doubtful(after) || before.contains('\r') != after.contains('\r') || bad_name {
        return None;
    }
    let old: Vec<&str> = before.lines().collect();
    let blocks = blocks(before, splices)?;
    let mut text = format!("*** Begin Patch\n*** Update File: {path}\n");
    let mut rest = blocks.iter().peekable();
    for (start, end) in hunks(&old, &blocks) {
        text.push_str("@@\n");
        let mut line = start;
        while line < end || rest.peek().is_some_and(|block| block.first == line && block.end <= end) {
            match rest.peek() {
                Some(block) if block.first == line => {
                    for gone in &old[block.first..block.end] {
                        text.push_str(&format!("-{gone}\n"));
                    }
                    for new in &block.lines {
                        text.push_str(&format!("+{new}\n"));
                    }
                    line = block.end;
                    rest.next();
                }
                _ => {
                    text.push_str(&format!(" {}\n", old[line]));
                    line += 1;
                }
            }
        }
    }
    text.push_str("*** End Patch\n");
    Some(text)
}

/// Lines that change together, as far as they are made.
struct Span {
    first: usize,
    /// The line behind the last.
    end: usize,
    /// What stands there then, up to `at`.
    text: String,
    at: usize,
}

/// Returns the lines that change, those that stand together as one.
fn blocks(before: &str, splices: &[Splice]) -> Option<Vec<Block>> {
    let mut starts: Vec<usize> = vec![0];
    starts.extend(before.match_indices('\n').map(|(at, _)| at + 1));
    let line_of = |at: usize| starts.partition_point(|start| *start <= at) - 1;
    let mut spans: Vec<Span> = Vec::new();
    for splice in splices {
        let first = line_of(splice.start);
        let mut span = match spans.pop_if(|span| first <= span.end) {
            Some(span) => span,
            None => Span { first, end: first, text: String::new(), at: starts[first] },
        };
        span.text.push_str(before.get(span.at..splice.start)?);
        // Whole lines that are inserted or taken out touch none beside them, unless another change has left the line
        // they stand in unfinished.
        let fresh = span.text.is_empty() || span.text.ends_with('\n');
        let whole =
            fresh && starts[first] == splice.start && matches!(splice.text.chars().last(), None | Some('\n'));
        let last = line_of(splice.end);
        let end = if whole && starts[last] == splice.end { last } else { last + 1 };
        span.text.push_str(&splice.text);
        span.at = splice.end;
        span.end = end.max(span.end);
        spans.push(span);
    }
    let mut blocks = Vec::new();
    for Span { first, end, mut text, at } in spans {
        text.push_str(before.get(at..starts.get(end).copied().unwrap_or(before.len()))?);
        blocks.push(Block { first, end, lines: text.lines().map(str::to_owned).collect() });
    }
    Some(blocks)
}

/// Returns the line ranges of the hunks: changed lines with context, widened upwards until the first place
/// behind the previous hunk where the lines stand is the place that is meant.
fn hunks(before: &[&str], blocks: &[Block]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for block in blocks {
        let (start, end) = (block.first.saturating_sub(CONTEXT), (block.end + CONTEXT).min(before.len()));
        match ranges.last_mut() {
            Some(last) if start <= last.1 => last.1 = end,
            _ => ranges.push((start, end)),
        }
    }
    let mut cursor = 0;
    for (start, end) in &mut ranges {
        while *start > cursor {
            let wanted = &before[*start..*end];
            let first = before[cursor..].windows(wanted.len()).position(|window| window == wanted);
            if first == Some(*start - cursor) {
                break;
            }
            *start -= 1;
        }
        cursor = *end;
    }
    ranges
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn insert(text: &str, at: usize, new: &str) -> Spliced {
        splice("a", text, &[Splice { start: at, end: at, text: new.into() }]).expect("in order")
    }

    #[test]
    fn whole_lines_are_inserted_and_taken_out_without_touching_others() {
        let made = insert("a\nb\nc\nd\n", 0, "x\n\n");
        let patch = "*** Begin Patch\n*** Update File: a\n@@\n+x\n+\n a\n b\n c\n*** End Patch\n";
        assert_eq!((made.args["patch"].as_str(), made.after.as_str()), (Some(patch), "x\n\na\nb\nc\nd\n"));
        let gone = splice("a", "a\nb\nc\n", &[Splice { start: 2, end: 4, text: String::new() }]).unwrap();
        assert_eq!(
            gone.args["patch"],
            "*** Begin Patch\n*** Update File: a\n@@\n a\n-b\n c\n*** End Patch\n"
        );
        let joined = splice("a", "a(\nb)\nc\n", &[Splice { start: 1, end: 4, text: "!".into() }]).unwrap();
        assert_eq!(
            joined.args["patch"],
            "*** Begin Patch\n*** Update File: a\n@@\n-a(\n-b)\n+a!)\n c\n*** End Patch\n"
        );
    }

    #[test]
    fn a_line_taken_out_behind_an_unfinished_one_joins_it_with_the_next() {
        let gone = |start, end| Splice { start, end, text: String::new() };
        let insert = Splice { start: 2, end: 2, text: "n".into() };
        for (splices, after) in [
            (vec![insert, gone(2, 4)], "a\nnc\nd\n"),
            // Also where the first takes a line's end, and the lines behind it go one by one.
            (vec![gone(1, 2), gone(2, 4), gone(4, 6)], "ad\n"),
        ] {
            let made = splice("a", "a\nb\nc\nd\n", &splices).expect("in order");
            assert_eq!(made.after, after);
            assert_eq!(apply("a\nb\nc\nd\n", made.args["patch"].as_str().expect("a patch")), after);
        }
    }

    #[test]
    fn what_a_patch_could_get_wrong_is_written_whole() {
        for (text, new) in [("a", "x\n"), ("a\r\nb\n", "x\n"), ("\u{feff}a\n", "x\n"), ("a\r\n", "x\n")] {
            assert_eq!(insert(text, 0, new).tool, "write", "{text:?}");
        }
        assert_eq!(insert("a\r\n", 0, "x\r\n").tool, "patch");
        assert_eq!(splice("a", "abc\n", &[Splice { start: 2, end: 1, text: String::new() }]), None);
        assert_eq!(splice("a", "é\n", &[Splice { start: 1, end: 2, text: String::new() }]), None);
    }

    /// Applies an update as the `patch` tool does: each hunk at the first place behind the one before.
    pub(crate) fn apply(before: &str, patch: &str) -> String {
        let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
        let mut cursor = 0;
        for hunk in patch.split("@@\n").skip(1) {
            let body: Vec<&str> = hunk.lines().filter(|line| !line.starts_with("***")).collect();
            let side = |drop: char| -> Vec<String> {
                body.iter().filter(|line| !line.starts_with(drop)).map(|line| line[1..].to_owned()).collect()
            };
            let (old, new) = (side('+'), side('-'));
            let at = cursor
                + lines[cursor..].windows(old.len()).position(|window| window == old).expect("it applies");
            let made = new.len();
            lines.splice(at..at + old.len(), new);
            cursor = at + made;
        }
        lines.join("\n") + "\n"
    }

    proptest::proptest! {
        #[test]
        fn every_patch_makes_the_content_it_is_for(
            lines in proptest::collection::vec("(ab|x|y|)( ab| z|)", 1..30),
            cuts in proptest::collection::vec((0usize..400, 0usize..6, "(|n|n\n|\n|n\nm)"), 1..6),
        ) {
            let text = lines.join("\n") + "\n";
            let mut at = 0;
            let mut splices = Vec::new();
            for (skip, len, new) in cuts {
                let start = at + skip % 40;
                // The last line end stays.
                if start + len >= text.len() {
                    break;
                }
                splices.push(Splice { start, end: start + len, text: new });
                at = start + len;
            }
            let made = splice("a", &text, &splices).expect("in order");
            if let Some(patch) = made.args["patch"].as_str().filter(|_| made.after != text) {
                proptest::prop_assert_eq!(apply(&text, patch), made.after, "{}", patch);
            }
        }
    }
}
