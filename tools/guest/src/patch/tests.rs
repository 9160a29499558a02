//! Patches against a workspace in memory. The named scenarios of Codex's own suite are here with its
//! outcome, or with ours where that differs on purpose.

use super::*;
use crate::memory::Memory;

fn wrap(body: &str) -> String {
    format!("*** Begin Patch\n{body}\n*** End Patch\n")
}

/// Applies a patch: the workspace afterwards, or the failure, which must have changed nothing.
fn applied(files: &[(&str, &str)], body: &str) -> Vec<String> {
    let files = Memory::new(files);
    let before = files.show();
    match patch(&files, &wrap(body)) {
        Ok(_) => files.show(),
        Err(failure) => {
            assert_eq!(files.show(), before, "a failed patch changes nothing");
            vec![failure.to_string()]
        }
    }
}

/// Applies an update to one file: its content afterwards, or the failure.
fn updated(content: &str, hunks: &str) -> String {
    let shown = applied(&[("f", content)], &format!("*** Update File: f\n{hunks}"));
    shown[0].strip_prefix("f: ").map_or_else(|| shown[0].clone(), str::to_owned)
}

#[test]
fn several_operations_are_one_commit() {
    let files = Memory::new(&[("delete.txt", "obsolete\n"), ("modify.txt", "line1\nline2\n")]);
    let body = "*** Add File: nested/new.txt\n+created\n*** Delete File: delete.txt\n*** Update File: modify.txt\n@@\n-line2\n+changed\n+more";
    let file = |path: &str, change, added, removed| PatchedFile {
        path: path.to_owned(),
        change,
        to: None,
        added,
        removed,
    };
    assert_eq!(
        patch(&files, &wrap(body)),
        Ok(Output {
            text: "Applied the patch:\nadded nested/new.txt (+1 -0)\ndeleted delete.txt (+0 -1)\nmodified modify.txt (+2 -1)\n".to_owned(),
            files: vec![
                file("nested/new.txt", "added", 1, 0),
                file("delete.txt", "deleted", 0, 1),
                file("modify.txt", "modified", 2, 1),
            ],
        })
    );
    assert_eq!(files.show(), ["modify.txt: line1\nchanged\nmore\n", "nested/new.txt: created\n"]);
    assert_eq!(*files.log.borrow(), ["remove delete.txt, put modify.txt, put nested/new.txt"]);
}

#[test]
fn several_hunks_apply_in_order() {
    assert_eq!(updated("l1\nl2\nl3\nl4\n", "@@\n-l2\n+c2\n@@\n-l4\n+c4"), "l1\nc2\nl3\nc4\n");
    assert_eq!(
        updated("l1\nl2\nl3\n", "@@\n-l3\n+c3\n@@\n-l1\n+c1"),
        "Conflict: hunk 2 of f (line 6 of the patch): its lines stand at line 1, which is before the hunk above\n\
         => Put the hunks in the file's order, and name as @@ header a line above the change."
    );
}

#[test]
fn a_header_chooses_among_equal_places() {
    let content = "class A:\n  def f():\n    pass\nclass B:\n  def f():\n    pass\n";
    assert_eq!(
        updated(content, "@@ class B:\n   def f():\n-    pass\n+    return"),
        content.replacen("class B:\n  def f():\n    pass", "class B:\n  def f():\n    return", 1)
    );
    assert_eq!(
        updated(content, "@@ class B:\n@@   def f():\n-    pass\n+    return 1"),
        content.replacen("class B:\n  def f():\n    pass", "class B:\n  def f():\n    return 1", 1)
    );
    // Unlike in Codex, an addition goes below its header and not to the end of the file.
    assert_eq!(updated("a\nb\nc\n", "@@ a\n+x"), "a\nx\nb\nc\n");
    assert_eq!(
        updated(content, "@@ class C:\n-    pass\n+    x"),
        "Conflict: hunk 1 of f (line 3 of the patch): there is no line `class C:`, which its @@ names. The most similar lines are:\n     1\tclass A:\n     4\tclass B:\n\
         => Hunks must be in the file's order, and what follows @@ must be a whole line of the file that stands above the change; or leave it away."
    );
}

#[test]
fn lenient_matching_keeps_the_files_own_context() {
    // White space at line ends, at both ends, and typographic punctuation.
    assert_eq!(updated("a  \nb\nc\n", " a\n-b\n+B\n c"), "a  \nB\nc\n");
    // New lines are shifted as the others were.
    assert_eq!(
        updated("\tone\n\ttwo\n\tsix\n", " one\n-two\n+\ttwo\n+\n+three\n six"),
        "\tone\n\t\ttwo\n\n\tthree\n\tsix\n"
    );
    assert_eq!(
        updated("if one {\n\ttwo\n}\n", " if one {\n-    two\n+    three\n+        four\n }"),
        "if one {\n\tthree\n\t\tfour\n}\n"
    );
    assert_eq!(
        updated(
            "import asyncio  # local import \u{2013} avoids top\u{2011}level dep\nx\n",
            " import asyncio  # local import - avoids top-level dep\n-x\n+y"
        ),
        "import asyncio  # local import \u{2013} avoids top\u{2011}level dep\ny\n"
    );
    let files = Memory::new(&[("f", "\tone\n\ttwo\n")]);
    assert_eq!(
        patch(&files, &wrap("*** Update File: f\n one\n-two\n+three")).unwrap().text,
        "Applied the patch:\nmodified f (+1 -1)\n\
         [hunk 1 of f was repaired: it fitted at line 1 but for its indentation (1 tab deeper); its new lines were indented like the file]\n"
    );
    // An exact place further down wins against a loose one above.
    assert_eq!(updated("  x\nx\n", "-x\n+y"), "  x\ny\n");
}

#[test]
fn what_fits_loosely_at_two_places_or_in_no_one_way_is_not_applied() {
    let told = updated("  same\nx\n    same\n", "-same\n+other");
    assert!(
        told.starts_with("Conflict: hunk 1 of f (line 3 of the patch): its context and removed lines do not occur. With other indentation or spaces at line ends it stands at lines 1, 3:\n"),
        "{told}"
    );
    assert!(updated("  one\n    two\n", " one\n-two\n+three").starts_with("Conflict: hunk 1"));
    assert_eq!(
        updated("one {\n\ttwo\n}\n", " one {\n-    two\n+    three\n+      four"),
        "Conflict: hunk 1 of f (line 3 of the patch): the indentation of its lines is not the file's, and `      four` does not tell what it is to have there. \
         With other indentation or spaces at line ends it stands at line 1:\n     1\tone {\n     2\t\ttwo\nLine 2 is \"\\ttwo\" where the patch has \"    two\".\n\
         => Give every line with the indentation of the file; nothing was changed."
    );
}

#[test]
fn of_several_exact_places_the_first_is_taken_and_that_is_told() {
    let files = Memory::new(&[("f", "one\ntwo\none\n")]);
    assert_eq!(
        patch(&files, &wrap("*** Update File: f\n-one\n+three")).unwrap().text,
        "Applied the patch:\nmodified f (+1 -1)\n\
         [hunk 1 of f fits at lines 1, 3; the first was taken, an @@ header or more context tells them apart]\n"
    );
    assert_eq!(files.text("f"), "three\ntwo\none\n");
}

#[test]
fn the_end_of_the_file_is_found_from_the_end() {
    assert_eq!(updated("x\ny\nx\n", "@@\n-x\n+z\n*** End of File"), "x\ny\nz\n");
    // As in Codex, elsewhere when it does not stand there.
    assert_eq!(updated("x\ny\n", "@@\n-x\n+z\n*** End of File"), "z\ny\n");
    assert_eq!(updated("one\ntwo\n", "@@\n+three\n*** End of File"), "one\ntwo\nthree\n");
    assert_eq!(updated("one\ntwo\n", "@@\n+three"), "one\ntwo\nthree\n");
}

#[test]
fn blank_lines_between_hunks_are_no_context() {
    assert_eq!(updated("a\nb\nc\n", "@@\n-a\n+A\n\n@@\n-c\n+C\n"), "A\nb\nC\n");
    // And are context where they fit.
    assert_eq!(updated("a\n\nb\na\n\nc\n", "@@\n a\n\n-c\n+C"), "a\n\nb\na\n\nC\n");
}

#[test]
fn line_endings_are_kept() {
    assert_eq!(updated("a\r\nb\r\nc\r\n", " a\n-b\n+x\n+y\n c"), "a\r\nx\r\ny\r\nc\r\n");
    assert_eq!(updated("a\r\nb\r\n", "@@\n+c"), "a\r\nb\r\nc\r\n");
    assert_eq!(updated("a\nb\r\nc\n", " b\n+x\n-c\n+y"), "a\nb\r\nx\r\ny\n");
    let files = Memory::new(&[("f", "a\r\nb\r\n")]);
    let crlf_patch = wrap("*** Update File: f\n a\n-b\n+c").replace('\n', "\r\n");
    patch(&files, &crlf_patch).unwrap();
    assert_eq!(files.text("f"), "a\r\nc\r\n");
}

#[test]
fn a_missing_last_newline_stays_missing_unless_that_line_is_touched() {
    assert_eq!(updated("a\nb", "-a\n+A"), "A\nb");
    assert_eq!(updated("no newline at end", "-no newline at end\n+first\n+second"), "first\nsecond\n");
    assert_eq!(updated("a\nb", " b\n+c"), "a\nb\nc\n");
}

#[test]
fn a_byte_order_mark_is_kept() {
    assert_eq!(updated("\u{feff}a\nb\n", "-a\n+A\n b"), "\u{feff}A\nb\n");
    assert_eq!(updated("\u{feff}", "@@\n+a"), "\u{feff}a\n");
}

#[test]
fn bytes_that_are_no_utf8_stay() {
    let files = Memory::of_bytes(&[("f", b"caf\xe9\nold\n")]);
    patch(&files, &wrap("*** Update File: f\n-old\n+new")).unwrap();
    assert_eq!(crate::Files::read(&files, "f", None).unwrap().data, b"caf\xe9\nnew\n");
}

#[test]
fn a_hunk_that_fits_nowhere_is_named_with_what_stands_there() {
    assert_eq!(
        applied(
            &[("a", "1\n"), ("f", "fn a() {\n    one();\n    two();\n}\n")],
            "*** Delete File: a\n*** Update File: f\n@@\n-fn b() {\n+fn c() {\n@@ fn a() {\n     one();\n-    drei();\n+    three();"
        ),
        [
            "Conflict: hunk 1 of f (line 4 of the patch): its context and removed lines do not occur. The most similar lines are:\n     1\tfn a() {\n=> Read the file and give the context and the removed lines exactly as they stand there; nothing was changed."
        ]
    );
    let failure = updated(
        "fn a() {\n    one();\n    two();\n}\n",
        "@@ fn a() {\n     one();\n-    drei();\n+    three();",
    );
    assert!(
        failure.contains("hunk 1 of f (line 3 of the patch)")
            && failure.contains("The closest text is lines 2 to 3:\n")
            && failure.contains("Line 3 is \"    two();\" where the patch has \"    drei();\"."),
        "{failure}"
    );
}

#[test]
fn moves_rename_and_never_overwrite() {
    let files = Memory::new(&[("old/name.txt", "old\n"), ("x", "")]);
    let body = "*** Update File: old/name.txt\n*** Move to: renamed/dir/name.txt\n@@\n-old\n+new";
    let output = patch(&files, &wrap(body)).unwrap();
    assert_eq!(output.text, "Applied the patch:\nmoved old/name.txt to renamed/dir/name.txt (+1 -1)\n");
    assert_eq!(files.show(), ["renamed/dir/name.txt: new\n", "x: "]);
    // Without hunks it is a rename.
    patch(&files, &wrap("*** Update File: x\n*** Move to: y")).unwrap();
    assert_eq!(files.log.borrow()[1], "rename x y");
    assert_eq!(
        applied(&[("a", "1\n"), ("b", "2\n")], "*** Update File: a\n*** Move to: b\n-1\n+3"),
        [
            "Conflict: `*** Move to: b`: something is there already\n=> Choose another path, or delete that file first in the same patch."
        ]
    );
    assert_eq!(
        applied(
            &[("a", "1\n"), ("b", "2\n")],
            "*** Delete File: b\n*** Update File: a\n*** Move to: b\n-1\n+3"
        ),
        ["b: 3\n"]
    );
    // To its own name is no move.
    assert_eq!(applied(&[("a", "1\n")], "*** Update File: a\n*** Move to: ./a\n-1\n+3"), ["a: 3\n"]);
}

#[test]
fn an_executable_file_stays_one_when_moved_and_changed() {
    let body = "*** Update File: run.sh\n*** Move to: bin/run.sh\n-old\n+new\n*** Add File: z\n+z";
    let files = Memory::new(&[("run.sh", "old\n")]).executable("run.sh");
    patch(&files, &wrap(body)).unwrap();
    assert_eq!(files.show(), ["bin/run.sh*: new\n", "z: z\n"]);
    // All or nothing there, too.
    let mut files = Memory::new(&[("run.sh", "old\n")]).executable("run.sh");
    files.denied.push("z".to_owned());
    assert_eq!(patch(&files, &wrap(body)).unwrap_err().code, Code::Denied);
    assert_eq!(files.show(), ["run.sh*: old\n"]);
}

#[test]
fn one_path_may_be_named_several_times() {
    let files = Memory::new(&[("f", "1\n2\n")]);
    let output =
        patch(&files, &wrap("*** Update File: f\n-1\n+one\n*** Update File: ./f\n-2\n+two")).unwrap();
    assert_eq!(
        (files.show(), output.files.len(), output.files[0].added),
        (vec!["f: one\ntwo\n".to_owned()], 1, 2)
    );
    assert_eq!(files.log.borrow().as_slice(), ["put f"]);
    assert_eq!(applied(&[("f", "1\n")], "*** Delete File: f\n*** Add File: f\n+new"), ["f: new\n"]);
    assert_eq!(applied(&[], "*** Add File: f\n+a\n*** Update File: f\n-a\n+b"), ["f: b\n"]);
}

#[test]
fn files_that_are_not_as_named_are_told() {
    assert_eq!(
        applied(&[("f", "x\n")], "*** Add File: f\n+new"),
        [
            "Conflict: `*** Add File: f`: it exists already\n=> Change it with `*** Update File:`, or delete it first in the same patch."
        ]
    );
    for (verb, rest) in [("Update", "\n-a\n+b"), ("Delete", "")] {
        assert_eq!(
            applied(&[], &format!("*** {verb} File: gone.txt{rest}")),
            [format!(
                "NotFound: `*** {verb} File: gone.txt`: there is no such file\n=> Find its path with `list`; a new file is made with `*** Add File:`."
            )]
        );
    }
    assert!(
        applied(&[("dir/f", "")], "*** Delete File: dir")[0].starts_with("InvalidInput: dir is a folder")
    );
    assert!(
        applied(&[("f", "a\0\n")], "*** Update File: f\n-a\n+b")[0].starts_with("InvalidInput: f is binary")
    );
    assert!(
        applied(&[("f", "a\n")], "*** Update File: f\n a")[0]
            .starts_with("InvalidInput: the patch changes nothing")
    );
    assert!(
        applied(&[("f", "a\n")], "*** Update File: f\na")[0]
            .starts_with("InvalidInput: the patch cannot be read: line 3: `a` begins with neither")
    );
}

#[test]
fn a_denied_file_keeps_all_others_unchanged() {
    let mut files = Memory::new(&[("a", "1\n"), ("b", "1\n")]);
    files.denied.push("b".to_owned());
    let failure = patch(&files, &wrap("*** Update File: a\n-1\n+2\n*** Update File: b\n-1\n+2")).unwrap_err();
    assert_eq!((failure.code, files.show()), (Code::Denied, vec!["a: 1\n".to_owned(), "b: 1\n".to_owned()]));
}

#[test]
fn an_added_file_may_be_empty() {
    assert_eq!(applied(&[], "*** Add File: empty"), ["empty: "]);
}

proptest::proptest! {
    #[test]
    fn a_repaired_hunk_changes_its_place_alone_and_two_places_are_none(before in "(x[0-9]?[ \\t]?\r?\n){0,4}", lines in proptest::collection::vec("[abc]{3,6}", 2..5), after in "(y[0-9]?[ \\t]?\r?\n){0,4}", base in proptest::sample::select(&["  ", "    ", "\t"][..]), twice: bool) {
        let indent = |base: &str, mark: &str| lines.iter().map(|line| format!("{mark}{base}{line}\n")).collect::<String>();
        let place = indent(base, "");
        let content = format!("{before}{place}{after}{}", if twice { place.as_str() } else { "" });
        // What is given has one space of indentation, and one more line at its end.
        let files = Memory::new(&[("f", &content)]);
        let hunk = format!("*** Update File: f\n@@\n{}+ new\n", indent(" ", " "));
        let result = patch(&files, &wrap(hunk.trim_end()));
        if twice || base == "\t" {
            proptest::prop_assert!(result.is_err() && files.text("f") == content);
        } else {
            let text = result.unwrap().text;
            proptest::prop_assert!(text.contains("was repaired"), "{}", text);
            let made = files.text("f").replace("\r\n", "\n");
            proptest::prop_assert_eq!(made, format!("{before}{place}{base}new\n{after}").replace("\r\n", "\n"));
            let kept = files.text("f");
            proptest::prop_assert!(kept.starts_with(&before) && kept.ends_with(&after));
        }
    }

    #[test]
    fn no_hunk_panics_and_lines_add_up(content in "[ab\r\n€]{0,24}", hunks in "(@@( a)?|[-+ ][ab]?|)(\n(@@|[-+ ][ab]{0,2}|\\*\\*\\* End of File)){0,8}") {
        let files = Memory::new(&[("f", &content)]);
        if let Ok(output) = patch(&files, &wrap(&format!("*** Update File: f\n{hunks}"))) {
            let count = |text: &str| lines::split(text.as_bytes()).len() as i64;
            let file = &output.files[0];
            proptest::prop_assert_eq!(count(&files.text("f")), count(&content) + i64::from(file.added) - i64::from(file.removed));
        }
    }
}

/// Applies a unified diff: the workspace afterwards, or the failure, which must have changed nothing.
fn diffed(files: &[(&str, &str)], diff: &str) -> Vec<String> {
    let files = Memory::new(files);
    let before = files.show();
    match patch(&files, diff) {
        Ok(_) => files.show(),
        Err(failure) => {
            assert_eq!(files.show(), before, "a failed patch changes nothing");
            vec![failure.to_string()]
        }
    }
}

#[test]
fn a_diff_of_git_is_one_commit() {
    let files =
        Memory::new(&[("gone", "x\n"), ("old name", "1\n2\n3\n"), ("src/a.rs", "fn a() {}\nfn b() {}\n")]);
    let diff = "diff --git a/gone b/gone\ndeleted file mode 100644\nindex 587be6b..0000000\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
        diff --git a/new b/new\nnew file mode 100755\nindex 0000000..587be6b\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n\\ No newline at end of file\n\
        diff --git a/empty b/empty\nnew file mode 100644\nindex 0000000..e69de29\n\
        diff --git a/old name b/new name\nsimilarity index 66%\nrename from old name\nrename to new name\n--- a/old name\t\n+++ b/new name\t\n@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n\
        diff --git a/src/a.rs b/src/a.rs\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,2 +1,3 @@ mod x\n fn a() {}\n+fn ab() {}\n fn b() {}\n-- \n2.43.0\n";
    let output = patch(&files, diff).unwrap();
    assert_eq!(
        output.text,
        "Applied the patch:\ndeleted gone (+0 -1)\nadded new (+1 -0)\nadded empty (+0 -0)\n\
         moved old name to new name (+1 -1)\nmodified src/a.rs (+1 -0)\n[the mode 100755 of new is not set: no tool changes modes]\n"
    );
    assert_eq!(
        files.show(),
        ["empty: ", "new: n", "new name: 1\nzwei\n3\n", "src/a.rs: fn a() {}\nfn ab() {}\nfn b() {}\n"]
    );
    assert_eq!(files.log.borrow().len(), 1);
}

#[test]
fn line_numbers_of_a_diff_choose_among_equal_places_and_may_be_wrong() {
    let content = "x\n1\nx\n2\nx\n3\n";
    let diff = |at: &str| format!("--- a/f\n+++ b/f\n@@ -{at} +{at} @@\n-x\n+y\n");
    for (at, expected) in
        [("1", "y\n1\nx\n2\nx\n3\n"), ("3", "x\n1\ny\n2\nx\n3\n"), ("5,1", "x\n1\nx\n2\ny\n3\n")]
    {
        assert_eq!(diffed(&[("f", content)], &diff(at)), [format!("f: {expected}")], "{at}");
    }
    // Which of several is meant is not told by the nearest.
    for at in ["2,7", "99"] {
        assert!(
            diffed(&[("f", content)], &diff(at))[0].starts_with(
                "Conflict: hunk 1 of f (line 3 of the patch): its lines stand at lines 1, 3, 5, and not at line"
            ),
            "{at}"
        );
    }
    assert_eq!(diffed(&[("f", "1\nx\n2\n")], &diff("99")), ["f: 1\ny\n2\n"]);
    // A hunk stands as far off as the one above it.
    let moved = "new\n1\nx\n2\nx\n3\nx\n";
    let diff_of_old = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-1\n+one\n@@ -4 +4 @@\n-x\n+y\n";
    assert_eq!(diffed(&[("f", moved)], diff_of_old), ["f: new\none\nx\n2\ny\n3\nx\n"]);
    // Of an empty range the line before it is named.
    assert_eq!(diffed(&[("f", "a\nb\n")], "--- f\n+++ f\n@@ -1,0 +2 @@\n+n\n"), ["f: a\nn\nb\n"]);
    assert_eq!(diffed(&[("f", "a\nb\n")], "--- f\n+++ f\n@@ -0,0 +1 @@\n+n\n"), ["f: n\na\nb\n"]);
    // Without numbers the header is a line above, as in the other form.
    assert!(
        diffed(&[("f", "a\nx\nb\nx\n")], "--- f\n+++ f\n@@ b @@\n-x\n+y\n")[0]
            .starts_with("Conflict: hunk 1 of f (line 3 of the patch): there is no line `b @@`")
    );
    assert_eq!(diffed(&[("f", "a\nx\nb\nx\n")], "--- f\n+++ f\n@@ b\n-x\n+y\n"), ["f: a\nx\nb\ny\n"]);
}

#[test]
fn lines_of_a_hunk_that_look_like_headers_are_told_by_its_lengths() {
    let content = "-- x\nend\n";
    let diff = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n--- x\n+++ y\n end\n";
    assert_eq!(diffed(&[("f", content)], diff), ["f: ++ y\nend\n"]);
    // And the header of the next file ends a hunk that claims to be longer than it is.
    let diff = "--- a/f\n+++ b/f\n@@ -1,9 +1,9 @@\n--- x\n+-- z\n--- a/g\n+++ b/g\n@@ -1 +1 @@\n-1\n+2\n";
    assert_eq!(diffed(&[("f", content), ("g", "1\n")], diff), ["f: -- z\nend\n", "g: 2\n"]);
}

#[test]
fn the_last_newline_follows_the_diff() {
    let diff = |hunk: &str| format!("--- a/f\n+++ b/f\n@@ -1 +1 @@\n{hunk}");
    let none = "\\ No newline at end of file\n";
    assert_eq!(diffed(&[("f", "a\n")], &diff(&format!("-a\n+b\n{none}"))), ["f: b"]);
    assert_eq!(diffed(&[("f", "a")], &diff(&format!("-a\n{none}+a\n"))), ["f: a\n"]);
    assert_eq!(diffed(&[("f", "a\r\n")], &diff(&format!("-a\n+b\n{none}"))), ["f: b"]);
    assert_eq!(
        diffed(&[("f", "x\na")], &format!("--- f\n+++ f\n@@ -1,2 +1,2 @@\n-x\n+y\n a\n{none}")),
        ["f: y\na"]
    );
}

#[test]
fn a_diff_that_does_not_fit_is_told_and_changes_nothing() {
    assert!(diffed(&[("f", "a\n")], "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-b\n+c\n")[0].starts_with(
        "Conflict: hunk 1 of f (line 3 of the patch): its context and removed lines do not occur"
    ));
    assert_eq!(
        diffed(&[("f", "a\n")], "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n"),
        ["Conflict: new file f: it exists already\n=> Make the diff against the file as it is."]
    );
    assert_eq!(
        diffed(&[("f", "a\nb\n")], "--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"),
        [
            "Conflict: f holds 1 lines that the patch does not remove with the file\n=> Make the diff against the file as it is, or use `remove`."
        ]
    );
    assert_eq!(
        diffed(&[], "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"),
        [
            "NotFound: f: there is no such file\n=> Find its path with `list`; a new file has `--- /dev/null` above its `+++`."
        ]
    );
    assert_eq!(
        diffed(&[("f", "a\n"), ("g", "")], "diff --git a/f b/g\nrename from f\nrename to g\n"),
        [
            "Conflict: rename to g: something is there already\n=> Choose another path, or delete that file first in the same patch."
        ]
    );
    assert_eq!(
        diffed(&[("f", "a\n")], "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"),
        [
            "InvalidInput: the patch changes nothing; the mode 100755 of f is not set: no tool changes modes\n=> Mark what is to go with - and what is to come with +."
        ]
    );
}
