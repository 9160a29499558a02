//! How a test fails where the patch's code is missing: by what it says, and the line of that a reviewer wants to read.
//!
//! The words are those of the runners and languages; what says nothing known is [`FailsBy::Other`].

use std::sync::LazyLock;

use gloaming_api::evidence::FailsBy;
use regex::Regex;

/// The longest line that is shown, bytes.
const SHOWN: usize = 200;

static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
          ImportError | ModuleNotFoundError | \bNameError\b | AttributeError | has\ no\ attribute
        | ReferenceError | \bis\ not\ (?:a\ function|a\ constructor|defined) | Cannot\ find\ module
        | does\ not\ provide\ an\ export | ERR_MODULE_NOT_FOUND
        | \bundefined:\ \S | has\ no\ field\ or\ method | \bcannot\ find\b | unresolved\ import
        | unexpected\ keyword\ argument | takes\ \d+\ positional",
    )
    .expect("a constant pattern")
});

static ASSERTS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
          AssertionError | \bassert(?:ion)?\b | ERR_ASSERTION | Expected\b | \bexpected\b | DID\ NOT\ RAISE
        | not\ raised | expect\(",
    )
    .expect("a constant pattern")
});

/// A line that is an assertion's, whatever it goes on to say.
static BEGINS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:AssertionError\b|assert(?:ion)?\b)").expect("a constant pattern"));

/// A line of Go's `t.Error` and its like.
static GO: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w_test\.go:\d+: ").expect("a constant pattern"));

static THROWN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"panicked\ at|\bpanic: |\w(?:Error|Exception)\b|\bTraceback\b").expect("a constant pattern")
});

/// Says how a test that left `message` failed, and the line that says it.
pub(crate) fn of(message: &str) -> (FailsBy, String) {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // pytest marks what it says of an error.
    let marked = lines.iter().filter_map(|line| line.strip_prefix("E  ")).map(str::trim);
    let said: Vec<&str> = marked.collect();
    let said = if said.is_empty() { lines } else { said };
    let first = |pattern: &Regex| said.iter().position(|line| pattern.is_match(line));
    // What an assertion compares may read like anything.
    let names = said.iter().position(|line| NAMES.is_match(line) && !BEGINS.is_match(line));
    let panics = said.iter().any(|line| line.starts_with("panic: "));
    let found = names
        .map(|at| (FailsBy::MissingName, at))
        .or_else(|| first(&ASSERTS).map(|at| (FailsBy::Assertion, at)))
        .or_else(|| first(&GO).filter(|_| !panics).map(|at| (FailsBy::Assertion, at)))
        .or_else(|| first(&THROWN).map(|at| (FailsBy::Error, at)));
    let (by, at) = found.unwrap_or((FailsBy::Other, 0));
    let mut line = said.get(at).copied().unwrap_or_default().to_owned();
    // Rust says on lines of their own what the two sides were, and where it panicked on the line before.
    let takes_more = |line: &str| line.starts_with("left: ") || line.starts_with("right: ");
    if by == FailsBy::Error && line.contains("panicked at") {
        line = said.get(at + 1).map_or(line, |next| (*next).to_owned());
    }
    for more in said.iter().skip(at + 1).take(3).filter(|line| takes_more(line)) {
        line.push_str("; ");
        line.push_str(more);
    }
    (by, gloaming_api::bowout::shorten(&line, SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str) -> String {
        let (by, said) = of(message);
        format!("{by:?}: {said}")
    }

    #[test]
    fn what_runners_say() {
        for (message, expect) in [
            (
                "assert -1 == 5\n +  where -1 = add(2, 3)\ndef test_add():\n>       assert add(2, 3) == 5\nE       assert -1 == 5\nE        +  where -1 = add(2, 3)\n\ntests/test_core.py:4: AssertionError",
                "Assertion: assert -1 == 5",
            ),
            (
                "ImportError while importing test module '/w/tests/test_a.py'.\nTraceback:\ntests/test_a.py:1: in <module>\n    from calc import mul\nE   ImportError: cannot import name 'mul' from 'calc' (/w/calc.py)",
                "MissingName: ImportError: cannot import name 'mul' from 'calc' (/w/calc.py)",
            ),
            (
                "E       AssertionError: assert 'cannot find x' == ''",
                "Assertion: AssertionError: assert 'cannot find x' == ''",
            ),
            ("E       ValueError: no such colour", "Error: ValueError: no such colour"),
            (
                "E       Failed: DID NOT RAISE <class 'ValueError'>",
                "Assertion: Failed: DID NOT RAISE <class 'ValueError'>",
            ),
            (
                "thread 'tests::adds' panicked at src/lib.rs:9:9:\nassertion `left == right` failed\n  left: 4\n right: 5\nnote: run with `RUST_BACKTRACE=1`",
                "Assertion: assertion `left == right` failed; left: 4; right: 5",
            ),
            (
                "thread 'tests::adds' panicked at src/lib.rs:9:9:\nindex out of bounds: the len is 0\n",
                "Error: index out of bounds: the len is 0",
            ),
            (
                "`cargo test --no-run` ended with exit 101: error[E0425]: cannot find function `mul` in this scope",
                "MissingName: `cargo test --no-run` ended with exit 101: error[E0425]: cannot find function `mul` in this scope",
            ),
            (
                "=== RUN   TestMul\n    calc_test.go:9: got 4\n--- FAIL: TestMul (0.00s)\n",
                "Assertion: calc_test.go:9: got 4",
            ),
            ("./calc_test.go:8:5: undefined: Mul\n", "MissingName: ./calc_test.go:8:5: undefined: Mul"),
            (
                "=== RUN   TestMul\n--- FAIL: TestMul (0.00s)\npanic: boom [recovered]\n",
                "Error: panic: boom [recovered]",
            ),
            (
                "TypeError: calc.mul is not a function\n    at Object.<anonymous>",
                "MissingName: TypeError: calc.mul is not a function",
            ),
            (
                "Error: expect(received).toBe(expected)\n\nExpected: 6\nReceived: 5",
                "Assertion: Error: expect(received).toBe(expected)",
            ),
            ("boom", "Other: boom"),
            ("", "Other: "),
        ] {
            assert_eq!(check(message), expect, "{message}");
        }
        assert!(check(&format!("E   {}", "long ".repeat(2_000))).len() < 250);
    }
}
