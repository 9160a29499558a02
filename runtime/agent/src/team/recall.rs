//! Earlier results, whole: a model is shown the begin and the end of a long one, and can have the rest by its number.

use std::collections::VecDeque;

use gloaming_model::ToolDef;
use serde::Deserialize;
use serde_json::{Value, json};

/// The call by which a model sees a result again. It runs nothing.
pub(super) const RECALL: &str = "recall";

/// Bytes of results that are kept, the newest.
const KEPT: usize = 32 << 20;
/// A line of more bytes is several.
const LONG: usize = 4000;
/// Lines shown when the call does not say how many, and the most.
const LINES: usize = 400;
const MOST: usize = 2000;

/// The results so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Results {
    kept: VecDeque<(u64, String)>,
    bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    result: u64,
    #[serde(default)]
    from: Option<usize>,
    #[serde(default)]
    lines: Option<usize>,
}

impl Results {
    /// Keeps a result under the number of its call.
    pub(super) fn keep(&mut self, number: u64, text: &str) {
        self.bytes += text.len();
        self.kept.push_back((number, text.to_owned()));
        while self.bytes > KEPT
            && self.kept.len() > 1
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    /// Returns what a call asks for, or what is wrong with it.
    pub(super) fn recall(&self, args: &Value) -> Result<String, String> {
        let args: Args = serde_json::from_value(args.clone()).map_err(|error| {
            format!("`{RECALL}` takes `result`, a number, and may take `from` and `lines`: {error}")
        })?;
        let Some((_, text)) = self.kept.iter().find(|(number, _)| *number == args.result) else {
            return Err(format!(
                "there is no result {} of yours, or it is too old to be kept; call the tool again",
                args.result
            ));
        };
        let (from, most) = (args.from.unwrap_or(1).max(1), args.lines.unwrap_or(LINES).clamp(1, MOST));
        let total = pieces(text).count();
        let lines: Vec<&str> = pieces(text).skip(from - 1).take(most).collect();
        if lines.is_empty() {
            return Err(format!("result {} has {total} lines; `from` is {from}", args.result));
        }
        let last = from - 1 + lines.len();
        Ok(format!("Result {}, lines {from} to {last} of {total}:\n{}", args.result, lines.join("\n")))
    }
}

/// Returns a text's lines, very long ones in pieces.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let mut rest = Some(line);
        std::iter::from_fn(move || {
            let line = rest?;
            let (piece, behind) = line.split_at(line.floor_char_boundary(LONG));
            rest = (!behind.is_empty()).then_some(behind);
            Some(piece)
        })
    })
}

/// Returns the call by which a model sees earlier results again, for a role that has `tools`; none where one of them goes by
/// that name.
pub fn recalls(tools: &[ToolDef]) -> Option<ToolDef> {
    let free = !tools.is_empty() && tools.iter().all(|tool| tool.name != RECALL);
    free.then(|| ToolDef {
        name: RECALL.to_owned(),
        description:
            "Shows lines of an earlier result again, by its number: of one that was cut, or left out to save \
                      space. Nothing is run, so it shows what stood there then."
                .to_owned(),
        input_schema: json!({
            "type": "object",
            "properties": {
                "result": {"type": "integer", "minimum": 1, "description": "The result's number, as in `[result 7]`."},
                "from": {"type": "integer", "minimum": 1, "description": "The first line. Default 1."},
                "lines": {
                    "type": "integer", "minimum": 1, "maximum": MOST,
                    "description": "How many lines at the most. Default 400."
                }
            },
            "required": ["result"],
            "additionalProperties": false
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_result_are_shown_by_its_number() {
        let mut results = Results::default();
        results.keep(1, "a\nb\nc\nd\n");
        results.keep(3, "x");
        let told = |args: Value| results.recall(&args).unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(told(json!({"result": 1, "from": 2, "lines": 2})), "Result 1, lines 2 to 3 of 4:\nb\nc");
        assert_eq!(told(json!({"result": 3})), "Result 3, lines 1 to 1 of 1:\nx");
        assert_eq!(told(json!({"result": 1, "from": 5})), "error: result 1 has 4 lines; `from` is 5");
        assert!(told(json!({"result": 2})).starts_with("error: there is no result 2 of yours"));
        assert!(told(json!({"result": "1"})).starts_with("error: `recall` takes `result`, a number"));
        assert!(told(json!({"result": 1, "offset": 3})).contains("unknown field"));
    }

    #[test]
    fn a_line_without_end_can_be_seen_piece_by_piece() {
        let text = format!("a\n\n{}z\n", "é".repeat(LONG));
        let sizes: Vec<usize> = pieces(&text).map(str::len).collect();
        assert_eq!(sizes, [1, 0, LONG, LONG, 1]);
    }

    #[test]
    fn the_newest_are_kept() {
        let mut results = Results::default();
        let large = "x".repeat(KEPT / 2);
        for number in 1..=4 {
            results.keep(number, &large);
        }
        assert_eq!(results.kept.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4]);
        results.keep(5, &"y".repeat(2 * KEPT));
        assert!(results.recall(&json!({"result": 5})).is_ok(), "one is always there");
    }
}
