//! Places that faults and notes tell.

use gloaming_policies::Diagnostic;

/// Panics unless every fault is told at a place of the text it is about; `text_of` returns the text of a file.
pub(crate) fn check_faults<'a>(faults: &[Diagnostic], text_of: impl Fn(&str) -> Option<&'a str>) {
    assert!(!faults.is_empty(), "what is refused has a fault");
    for fault in faults {
        let text = text_of(&fault.file).unwrap_or_else(|| panic!("no such file: {fault}"));
        check_place(text, fault.line, fault.column, &fault.to_string());
        assert!(!fault.message.is_empty(), "{fault}");
    }
}

/// Panics unless the text has the place; the one behind a line's last character is one too.
pub(crate) fn check_place(text: &str, line: u32, column: u32, what: &str) {
    let at = |number: u32| usize::try_from(number).expect("it fits").checked_sub(1);
    let found = at(line).and_then(|line| text.split('\n').nth(line));
    let found = found.unwrap_or_else(|| panic!("there is no line {line}: {what}"));
    assert!(at(column).is_some_and(|at| at <= found.chars().count()), "there is no column {column}: {what}");
}
