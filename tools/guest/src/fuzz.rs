//! Every argument of every tool, at random, on a workspace in memory: nothing panics, what fails changes
//! nothing and says something, and no answer is larger than its cap.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::files::{Change, Expected, Kind};
use crate::memory::Memory;
use crate::{Changes, Failure, diff, edit, list, r#move, patch, read, remove, search, write};

/// How many random calls each tool gets.
const CASES: u32 = 2000;

/// What the names that are spelled at random are chosen from, with those that no workspace holds.
const NAMES: &[&str] = &[
    "a",
    "b.rs",
    "src/a.rs",
    "src/deep/c.py",
    "src",
    "src/deep",
    ".hidden",
    "bin",
    "wide",
    "link",
    "fifo",
    "gone",
    "",
    ".",
    "./a",
    "/workspace/a",
    "src//a.rs/",
    "..",
    "../x",
    "a/../b",
    "/etc/passwd",
    "a\0",
    "a\nb",
    "src/a.rs/x",
    "\u{202e}x",
];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(NAMES).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => (1..3000usize).prop_map(|length| "n/".repeat(length)),
    ]
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "([ab]{0,3}\r?\n){0,12}[ab]{0,2}".prop_map(String::into_bytes),
        1 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..60),
        1 => (1..4usize).prop_map(|n| format!("{}\n", "w".repeat(n * 1500)).repeat(n * 20).into_bytes()),
        1 => Just(b"\xff\xfea\0\n\0b\0".to_vec()),
    ]
}

/// A workspace with a base, some changes since, and some paths that may not be written.
fn workspace() -> impl Strategy<Value = Memory> {
    let file =
        || (select(&["a", "b.rs", "src/a.rs", "src/deep/c.py", ".hidden", "bin", "wide"][..]), content());
    (vec(file(), 0..7), vec(file(), 0..3), vec(select(NAMES), 0..2), any::<bool>(), 40..9000u64).prop_map(
        |(files, later, denied, base, whole)| {
            let files: Vec<(&str, &[u8])> =
                files.iter().map(|(path, data)| (*path, data.as_slice())).collect();
            let mut memory = Memory::of_bytes(&files).executable("a");
            if base {
                memory = memory.with_base();
            }
            for (path, data) in later {
                memory.write(path, &data, Expected::Any).unwrap();
            }
            let _ = memory.commit(vec![Change::Remove { path: "b.rs".to_owned(), expected: Expected::Any }]);
            memory.others.insert("link".to_owned(), Kind::Symlink);
            memory.others.insert("fifo".to_owned(), Kind::Other);
            memory.denied.extend(denied.into_iter().map(str::to_owned));
            memory.whole = whole;
            memory
        },
    )
}

/// What must hold of a call: `most` is the answer's cap.
fn check<T>(
    files: &Memory,
    before: &[String],
    result: &Result<T, Failure>,
    text: impl Fn(&T) -> &str,
    most: usize,
) -> Result<(), TestCaseError> {
    match result {
        Ok(output) => {
            let text = text(output);
            prop_assert!(text.len() <= most, "{} bytes, at most {most}", text.len());
            prop_assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
        }
        Err(failure) => {
            prop_assert_eq!(files.show(), before, "a failed call changes nothing");
            prop_assert!(!failure.message.is_empty() && failure.message.len() < 16 << 10, "{failure}");
        }
    }
    Ok(())
}

fn patch_text() -> impl Strategy<Value = String> {
    let path = || select(&["a", "b.rs", "src/a.rs", "new/n", "bin", "link", "../x", ""][..]);
    let hunk = "(@@( a)?\n)?([-+ ][ab]{0,3}\n){0,6}(\\*\\*\\* End of File\n)?";
    let section = (path(), path(), 0..4u8, vec(hunk, 0..3)).prop_map(|(path, to, kind, hunks)| {
        let hunks = hunks.concat();
        match kind {
            0 => format!("*** Add File: {path}\n{}", hunks.replace(['-', ' '], "+")),
            1 => format!("*** Delete File: {path}\n"),
            2 => format!("*** Update File: {path}\n*** Move to: {to}\n{hunks}"),
            _ => format!("*** Update File: {path}\n{hunks}"),
        }
    });
    let hunk = "@@ -[0-3](,[0-3])? \\+[0-3](,[0-3])? @@\n([-+ ][ab]{0,3}\n|\n|\\\\ No newline at end of file\n){0,6}";
    let file = (path(), path(), 0..6u8, vec(hunk, 0..3)).prop_map(|(path, to, kind, hunks)| {
        let hunks = hunks.concat();
        match kind {
            0 => {
                format!("--- /dev/null\n+++ b/{path}\n{}", hunks.replace("\n-", "\n+").replace("\n ", "\n+"))
            }
            1 => format!("--- a/{path}\n+++ /dev/null\n{hunks}"),
            2 => format!("diff --git a/{path} b/{to}\nrename from {path}\nrename to {to}\n{hunks}"),
            3 => format!("diff --git a/{path} b/{path}\nnew file mode 100755\n"),
            4 => format!("diff --git a/{path} b/{path}\nold mode 100644\nnew mode 100755\n{hunks}"),
            _ => format!("--- a/{path}\n+++ b/{path}\n{hunks}"),
        }
    });
    prop_oneof![
        4 => vec(section, 0..4).prop_map(|sections| format!("*** Begin Patch\n{}*** End Patch\n", sections.concat())),
        4 => vec(file, 1..4).prop_map(|files| files.concat()),
        1 => "\\PC{0,80}",
        1 => "(\\*\\*\\* Begin Patch|--- |diff --git )\\PC{0,80}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn read_holds(files in workspace(), path in name(), start in option::of(0..40u32), lines in option::of(any::<u32>()), column in option::of(prop_oneof![0..5000u32, any::<u32>()])) {
        let before = files.show();
        let result = read::read(&files, &read::Args { path, start, lines, column });
        check(&files, &before, &result, |output| &output.text, read::TEXT + (9 << 10))?;
        if let Ok(output) = result {
            prop_assert!(output.last == 0 || output.last - output.first < read::MOST_LINES);
            prop_assert!(output.binary != output.encoding.is_some() || output.size == 0);
        }
    }

    #[test]
    fn list_holds(files in workspace(), path in option::of(name()), globs in vec("!?\\PC{0,6}", 0..3), types in vec(prop_oneof![Just("rust".to_owned()), "\\PC{0,5}"], 0..2), depth in option::of(any::<u32>()), hidden: bool, ignored: bool, limit in option::of(any::<u32>()), cursor in option::of(name())) {
        let before = files.show();
        let args = list::Args { path, globs, types, depth, hidden, ignored, limit, cursor };
        let result = list::list(&files, &args);
        check(&files, &before, &result, |output| &output.text, list::TEXT + (9 << 10))?;
        if let Ok(output) = result {
            prop_assert!(output.paths.len() <= limit.map_or(500, |limit| limit.clamp(1, list::MOST)) as usize);
            prop_assert_eq!(output.truncated, output.next.is_some());
            prop_assert!(output.paths.len() <= output.total as usize);
        }
    }

    #[test]
    fn search_holds(files in workspace(), pattern in prop_oneof!["[ab|()?*.^$\\\\w\n]{0,8}", "\\PC{0,8}", Just("w+".to_owned())], literal: bool, case in select(&[search::Case::Sensitive, search::Case::Insensitive, search::Case::Smart][..]), multiline: bool, word: bool, path in option::of(name()), types in vec(select(&["rust", "py"][..]).prop_map(str::to_owned), 0..2), context in any::<u8>(), flags in any::<[bool; 3]>(), limit in option::of(any::<u32>()), cursor in option::of(prop_oneof!["([0-9]|\\*):(a|src/a.rs)", "\\PC{0,5}"])) {
        let before = files.show();
        let [hidden, ignored, counts] = flags;
        let args = search::Args { pattern, literal, case, multiline, word, path, globs: Vec::new(), types, context: context.into(), hidden, ignored, counts, limit, cursor };
        let result = search::search(&files, &args);
        check(&files, &before, &result, |output| &output.text, search::TEXT + (128 << 10))?;
        if let Ok(output) = result {
            let most = limit.map_or(100, |limit| limit.clamp(1, search::MOST)) as usize;
            prop_assert!(output.matches.len() <= most && output.counts.len() <= most);
            prop_assert!(output.matches.is_empty() || output.counts.is_empty());
            prop_assert!(!output.truncated || output.next.is_some());
        }
    }

    #[test]
    fn diff_holds(files in workspace(), path in option::of(name()), summary: bool, context in option::of(any::<u32>()), cursor in option::of(name())) {
        let before = files.show();
        let result = diff::diff(&files, &diff::Args { path, summary, context, cursor });
        check(&files, &before, &result, |output| &output.text, diff::TEXT + (10 << 10))?;
        if let Ok(output) = result {
            prop_assert!(output.files.len() <= diff::FILES && output.files.len() <= output.total as usize);
        }
    }

    #[test]
    fn edit_holds(files in workspace(), path in option::of(name()), old in option::of("[ab\n]{0,3}"), new in option::of("[abc\n]{0,4}"), all: bool, edits in option::of(vec((option::of(name()), "[ab\n]{0,3}", "[abc\n]{0,4}", any::<bool>()), 0..4))) {
        let before = files.show();
        let edits = edits.map(|edits| edits.into_iter().map(|(path, old, new, all)| edit::Item { path, old, new, all }).collect());
        let result = edit::edit(&files, &edit::Args { path, old, new, all, edits });
        check(&files, &before, &result, |output| &output.text, 24 << 10)?;
        if let Ok(output) = result {
            prop_assert!(output.files.iter().map(|file| file.replaced).sum::<u32>() == output.replaced);
            prop_assert!(files.log.borrow().len() <= 4, "one commit");
            prop_assert_ne!(files.show(), before);
        }
    }

    #[test]
    fn write_holds(files in workspace(), path in name(), content in "\\PC{0,40}", overwrite: bool) {
        let before = files.show();
        let result = write::write(&files, &write::Args { path, content, overwrite });
        check(&files, &before, &result, |output| &output.text, 8 << 10)?;
        if let Ok(output) = result {
            prop_assert!(output.created || overwrite);
        }
    }

    #[test]
    fn patch_holds(files in workspace(), text in patch_text()) {
        let before = files.show();
        let result = patch::patch(&files, &text);
        check(&files, &before, &result, |output| &output.text, 32 << 10)?;
    }

    #[test]
    fn move_holds(files in workspace(), from in name(), to in name()) {
        let before = files.show();
        let result = r#move::relocate(&files, &r#move::Args { from, to });
        check(&files, &before, &result, |output| &output.text, 32 << 10)?;
        if result.is_ok() {
            // Nothing is lost and nothing overwritten.
            let contents = |shown: &[String]| {
                let mut contents: Vec<String> = shown.iter().filter_map(|line| line.split_once(": ").map(|(_, data)| data.to_owned())).collect();
                contents.sort();
                contents
            };
            prop_assert_eq!(contents(&files.show()), contents(&before));
        }
    }

    #[test]
    fn remove_holds(files in workspace(), path in name(), recursive: bool) {
        let before = files.show();
        let result = remove::remove(&files, &remove::Args { path, recursive });
        check(&files, &before, &result, |output| &output.text, 32 << 10)?;
        if let Ok(output) = result {
            prop_assert_eq!(files.show().len() + output.paths.len(), before.len());
            prop_assert!(recursive || output.paths.len() == 1);
        }
    }
}
