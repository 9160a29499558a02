//! Examples in documentation that are run as tests: comments, which no comparison of code sees.

use std::collections::BTreeMap;

use crate::renaming::{Renames, rename_words};

/// Words behind a fence by which rustdoc takes a block for something else than an example to run.
const NOT_RUN: &[&str] = &["text", "ignore", "console", "sh", "bash", "toml", "json", "txt", "plain", "none"];

/// Returns the examples of the base's documentation that are not there any more, word for word but for
/// renamings; each by its first line.
pub(crate) fn changed(before: &str, after: &str, renames: &Renames) -> Vec<String> {
    let mut left: BTreeMap<String, u32> = BTreeMap::new();
    for example in examples(after) {
        *left.entry(rename_words(&example, renames)).or_default() += 1;
    }
    let mut gone = Vec::new();
    for example in examples(before) {
        match left.get_mut(&rename_words(&example, renames)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => {
                let line = example.lines().nth(1).unwrap_or_default().trim().to_owned();
                gone.push(line);
            }
        }
    }
    gone
}

/// The examples in a Rust source's documentation comments that rustdoc compiles, with what stands behind the
/// fence as the first line.
fn examples(source: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut block: Option<String> = None;
    for line in source.lines() {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(doc) = doc else {
            block = None;
            continue;
        };
        let text = doc.trim();
        let fence = text.starts_with("```") || text.starts_with("~~~");
        match (&mut block, fence) {
            (None, true) => block = Some(text.trim_start_matches(['`', '~']).trim().to_owned() + "\n"),
            (Some(open), true) => {
                let head = open.lines().next().unwrap_or_default();
                let words = || head.split([',', ' ', '{', '}']).filter(|word| !word.is_empty());
                // `rust`, `no_run`, `should_panic` and editions are examples; any other word is a language.
                let runs = !words().any(|word| NOT_RUN.contains(&word.split('-').next().unwrap_or(word)));
                if runs {
                    out.push(std::mem::take(open));
                }
                block = None;
            }
            (Some(open), false) => {
                open.push_str(text);
                open.push('\n');
            }
            (None, false) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_stays_what_it_was() {
        let doc = |head: &str, line: &str| {
            format!("/// Doubles.\n///\n/// ```{head}\n/// {line}\n/// ```\nfn f() {{}}\n")
        };
        let check = |before: &str, after: &str, renames: &[(&str, &str)]| {
            let renames = renames.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            changed(before, after, &renames).join("; ")
        };
        let base = doc("", "assert_eq!(double(2), 4);");
        assert_eq!(check(&base, &doc("", "assert_eq!(double(2), 3);"), &[]), "assert_eq!(double(2), 4);");
        for head in ["text", "no_run", "ignore", "should_panic"] {
            assert_eq!(
                check(&base, &doc(head, "assert_eq!(double(2), 4);"), &[]),
                "assert_eq!(double(2), 4);"
            );
        }
        assert_eq!(check(&base, "fn f() {}\n", &[]), "assert_eq!(double(2), 4);");
        assert_eq!(check(&base, &doc("", "assert_eq!(twice(2), 4);"), &[("double", "twice")]), "");
        assert_eq!(check(&base, &format!("{base}{}", doc("", "assert!(true);")), &[]), "");
        assert_eq!(check(&doc("text", "= 4"), &doc("text", "= 5"), &[]), "");
        assert_eq!(check(&base, &base.replace("Doubles.", "Doubles a number."), &[]), "");
    }
}
