//! `diff`: the workspace against the tree the attempt began from, in git's form.

use std::fmt::Write;
use std::ops::Range;

use imara_diff::{Algorithm, Diff, Hunk, InternedInput};

use crate::files::{Changed, Info};
use crate::lines::{self, LINE_CHARS};
use crate::path::{normal, shown};
use crate::{Base, Code, Failure};

/// Lines of context when the call does not say how many.
const DEFAULT_CONTEXT: u32 = 3;
/// The most lines of context.
const MOST_CONTEXT: u32 = 20;
/// The most text one call shows, bytes.
pub(crate) const TEXT: usize = 64 << 10;
/// The most files one call tells of.
pub(crate) const FILES: usize = 500;
/// Larger files are named instead of compared, bytes: the host's cap.
const LARGEST: u64 = 8 << 20;

/// What to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The file or folder; the root when none.
    pub path: Option<String>,
    /// Whether to show only which files differ.
    pub summary: bool,
    /// Lines before and after each change.
    pub context: Option<u32>,
    /// The last path of the answer before.
    pub cursor: Option<String>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// The path.
    pub path: String,
    /// `added`, `modified` or `deleted`.
    pub change: &'static str,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// Whether it is binary, before or now.
    pub binary: bool,
}

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// A unified diff or a line for each file, and remarks in brackets.
    pub text: String,
    /// The files that `text` shows.
    pub files: Vec<ChangedFile>,
    /// How many files differ.
    pub total: u32,
    /// Whether files or parts of them were left out.
    pub truncated: bool,
    /// Where to go on.
    pub next: Option<String>,
}

/// Compares the workspace, or a part of it, with its base.
pub fn diff(files: &impl Base, args: &Args) -> Result<Output, Failure> {
    let root = normal(args.path.as_deref().unwrap_or_default());
    let context = args.context.unwrap_or(DEFAULT_CONTEXT).min(MOST_CONTEXT);
    let changed = files.changed(&root)?;
    let mut output = Output { total: u32::try_from(changed.len()).unwrap_or(u32::MAX), ..Output::default() };
    let begin = args.cursor.as_ref().map_or(0, |cursor| changed.partition_point(|file| file.path <= *cursor));
    let rest = &changed[begin..];
    for (index, file) in rest.iter().enumerate() {
        if index == FILES || output.text.len() >= TEXT {
            output.next = output.files.last().map(|file| file.path.clone());
            break;
        }
        let compared = Compared::read(files, file)?;
        if args.summary {
            compared.summarise(&mut output.text);
        } else if !compared.show(context, &mut output.text) {
            output.truncated = true;
        }
        output.files.push(compared.file);
    }
    output.truncated |= output.next.is_some();
    // Writing to a String cannot fail.
    let mut remark = |remark: String| {
        let _ = writeln!(output.text, "[{remark}]");
    };
    if changed.is_empty() {
        remark(format!("nothing differs from the base below {}", shown(&root)));
    } else if rest.is_empty() {
        remark("no file behind `cursor` differs".to_owned());
    }
    if let Some(next) = &output.next {
        let left = rest.len() - output.files.len();
        remark(format!(
            "{left} more of {} files differ; go on with `cursor` = {next:?}, or set `summary`",
            changed.len()
        ));
    }
    Ok(output)
}

/// A changed file and both its contents.
struct Compared<'a> {
    changed: &'a Changed,
    before: Vec<u8>,
    after: Vec<u8>,
    /// Why it cannot be compared.
    too_large: bool,
    file: ChangedFile,
}

impl<'a> Compared<'a> {
    fn read(files: &impl Base, changed: &'a Changed) -> Result<Self, Failure> {
        let size = |info: &Option<Info>| info.map_or(0, |info| info.size);
        let mut compared = Self {
            changed,
            before: Vec::new(),
            after: Vec::new(),
            too_large: size(&changed.before) > LARGEST || size(&changed.after) > LARGEST,
            file: ChangedFile {
                path: changed.path.clone(),
                change: match (&changed.before, &changed.after) {
                    (None, _) => "added",
                    (_, None) => "deleted",
                    _ => "modified",
                },
                added: 0,
                removed: 0,
                binary: false,
            },
        };
        if compared.too_large {
            return Ok(compared);
        }
        if changed.before.is_some() {
            compared.before = files.read_base(&changed.path)?.data;
        }
        if changed.after.is_some() {
            compared.after = match files.read(&changed.path, None) {
                Ok(content) => content.data,
                // It was there when the paths were compared.
                Err(failure) if matches!(failure.code, Code::NotFound | Code::TooLarge) => {
                    compared.too_large = failure.code == Code::TooLarge;
                    return Ok(compared);
                }
                Err(failure) => return Err(failure),
            };
        }
        compared.file.binary = lines::is_binary(&compared.before) || lines::is_binary(&compared.after);
        if !compared.file.binary {
            let (_, diff) = compared.lines();
            compared.file.added = diff.count_additions();
            compared.file.removed = diff.count_removals();
        }
        Ok(compared)
    }

    fn lines(&self) -> (InternedInput<&[u8]>, Diff) {
        let mut input = InternedInput::default();
        input.update_before(self.before.split_inclusive(|byte| *byte == b'\n'));
        input.update_after(self.after.split_inclusive(|byte| *byte == b'\n'));
        let mut diff = Diff::compute(Algorithm::Histogram, &input);
        diff.postprocess_lines(&input);
        (input, diff)
    }

    fn summarise(&self, text: &mut String) {
        let file = &self.file;
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {}", file.change, shown(&file.path));
        let _ = match (self.too_large, file.binary) {
            (true, _) => writeln!(text, " ({}, too large to compare)", self.sizes()),
            (_, true) => writeln!(text, " (binary, {})", self.sizes()),
            _ => writeln!(text, " (+{} -{})", file.added, file.removed),
        };
    }

    fn sizes(&self) -> String {
        match (self.changed.before, self.changed.after) {
            (Some(before), Some(after)) => format!("{} -> {} bytes", before.size, after.size),
            (Some(one), None) | (None, Some(one)) => format!("{} bytes", one.size),
            (None, None) => "0 bytes".to_owned(),
        }
    }

    /// Appends the file's diff; false when a part of it was left out.
    fn show(&self, context: u32, text: &mut String) -> bool {
        let path = &self.file.path;
        let (old, new) = (quoted("a/", path), quoted("b/", path));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "diff --git {old} {new}");
        let mode = |info: Info| if info.executable { "100755" } else { "100644" };
        let (old, new) = match (self.changed.before, self.changed.after) {
            (Some(before), Some(after)) => {
                if before.executable != after.executable {
                    let _ = writeln!(text, "old mode {}\nnew mode {}", mode(before), mode(after));
                }
                (old, new)
            }
            (Some(before), None) => {
                let _ = writeln!(text, "deleted file mode {}", mode(before));
                (old, "/dev/null".to_owned())
            }
            (None, Some(after)) => {
                let _ = writeln!(text, "new file mode {}", mode(after));
                ("/dev/null".to_owned(), new)
            }
            (None, None) => (old, new),
        };
        if self.too_large {
            let _ = writeln!(text, "[{} is too large to compare: {}]", shown(path), self.sizes());
            return false;
        }
        if self.file.binary {
            let _ = writeln!(text, "Binary files {old} and {new} differ\n[{}]", self.sizes());
            return true;
        }
        let (input, diff) = self.lines();
        let groups = groups(&diff, context, input.before.len() as u32);
        if !groups.is_empty() {
            let _ = writeln!(text, "--- {old}\n+++ {new}");
        }
        let mut left_out = 0;
        let mut whole = true;
        for group in &groups {
            if text.len() >= TEXT {
                left_out += 1;
                continue;
            }
            whole &= group.show(&input, text);
        }
        if left_out > 0 {
            let _ = writeln!(
                text,
                "[{left_out} more hunks of {} are not shown; `read` shows the file as it is]",
                shown(path)
            );
        }
        left_out == 0 && whole
    }
}

/// Changes so close to each other that they share their context.
struct Group {
    before: Range<u32>,
    after: Range<u32>,
    hunks: Vec<Hunk>,
}

fn groups(diff: &Diff, context: u32, before_lines: u32) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for hunk in diff.hunks() {
        match groups.last_mut() {
            Some(group) if hunk.before.start - group.before.end <= 2 * context => {
                group.before.end = hunk.before.end;
                group.after.end = hunk.after.end;
                group.hunks.push(hunk);
            }
            _ => groups.push(Group {
                before: hunk.before.clone(),
                after: hunk.after.clone(),
                hunks: vec![hunk],
            }),
        }
    }
    for group in &mut groups {
        let above = group.before.start.min(context);
        let below = (before_lines - group.before.end).min(context);
        group.before = group.before.start - above..group.before.end + below;
        group.after = group.after.start - above..group.after.end + below;
    }
    groups
}

impl Group {
    /// Appends the changes with their context; false when a line was cut or lines are left out.
    fn show(&self, input: &InternedInput<&[u8]>, text: &mut String) -> bool {
        // As git writes it: a length of 1 is left out, an empty range names the line before it.
        let range = |lines: &Range<u32>| match lines.len() {
            0 => format!("{},0", lines.start),
            1 => format!("{}", lines.start + 1),
            count => format!("{},{count}", lines.start + 1),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "@@ -{} +{} @@", range(&self.before), range(&self.after));
        let mut steps: Vec<(char, u32, bool)> = Vec::new();
        let mut at = self.before.start;
        for hunk in &self.hunks {
            steps.extend((at..hunk.before.start).map(|line| (' ', line, true)));
            steps.extend(hunk.before.clone().map(|line| ('-', line, true)));
            steps.extend(hunk.after.clone().map(|line| ('+', line, false)));
            at = hunk.before.end;
        }
        steps.extend((at..self.before.end).map(|line| (' ', line, true)));
        let mut whole = true;
        for (done, (mark, line, old)) in steps.iter().enumerate() {
            if text.len() >= TEXT {
                let _ = writeln!(text, "[{} more lines of this hunk are not shown]", steps.len() - done);
                return false;
            }
            let tokens = if *old { &input.before } else { &input.after };
            let line = input.interner[tokens[*line as usize]];
            let (line, ended) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            let line = String::from_utf8_lossy(line);
            let (kept, dropped) = lines::cut(&line, LINE_CHARS);
            let _ = write!(text, "{mark}{kept}");
            if dropped > 0 {
                whole = false;
                let _ = write!(text, " [{dropped} more characters]");
            }
            text.push('\n');
            if !ended {
                text.push_str("\\ No newline at end of file\n");
            }
        }
        whole
    }
}

/// Writes a path as git does: in quotes where a name could be taken for something else.
fn quoted(prefix: &str, path: &str) -> String {
    if !path.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        return format!("{prefix}{path}");
    }
    let mut out = format!("\"{prefix}");
    for c in path.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Changes as _;
    use crate::files::{Change, Expected};
    use crate::memory::Memory;

    fn put(files: &Memory, path: &str, data: &[u8]) {
        files.write(path, data, Expected::Any).unwrap();
    }

    fn gone(files: &Memory, path: &str) {
        files.commit(vec![Change::Remove { path: path.to_owned(), expected: Expected::Any }]).unwrap();
    }

    fn changed() -> Memory {
        let ten: String = (1..=10).map(|n| format!("l{n}\n")).collect();
        let files = Memory::new(&[("gone.txt", "old\n"), ("same", "s\n"), ("src/a.rs", &ten)]).with_base();
        put(&files, "src/a.rs", ten.replace("l2\n", "L2\n").replace("l10\n", "l10").as_bytes());
        put(&files, "new file", b"n");
        gone(&files, "gone.txt");
        files
    }

    #[test]
    fn shows_what_differs_in_gits_form() {
        let output = diff(&changed(), &Args { context: Some(1), ..Args::default() }).unwrap();
        assert_eq!(
            output.text,
            "diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\n--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-old\n\
             diff --git a/new file b/new file\nnew file mode 100644\n--- /dev/null\n+++ b/new file\n@@ -0,0 +1 @@\n+n\n\\ No newline at end of file\n\
             diff --git a/src/a.rs b/src/a.rs\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,3 +1,3 @@\n l1\n-l2\n+L2\n l3\n\
             @@ -9,2 +9,2 @@\n l9\n-l10\n+l10\n\\ No newline at end of file\n"
        );
        let files: Vec<_> = output.files.iter().map(|file| (file.change, file.added, file.removed)).collect();
        assert_eq!(files, [("deleted", 0, 1), ("added", 1, 0), ("modified", 2, 2)]);
        assert_eq!((output.total, output.truncated, output.next), (3, false, None));
    }

    #[test]
    fn a_summary_has_a_line_for_each_file() {
        let files = changed();
        put(&files, "logo.png", b"\x89PNG\0");
        let args = Args { summary: true, ..Args::default() };
        assert_eq!(
            diff(&files, &args).unwrap().text,
            "deleted gone.txt (+0 -1)\nadded logo.png (binary, 5 bytes)\nadded new file (+1 -0)\nmodified src/a.rs (+2 -2)\n"
        );
        let args = Args { path: Some("src".to_owned()), ..args };
        assert_eq!(diff(&files, &args).unwrap().text, "modified src/a.rs (+2 -2)\n");
        let args = Args { path: Some("same".to_owned()), ..args };
        assert_eq!(diff(&files, &args).unwrap().text, "[nothing differs from the base below same]\n");
    }

    #[test]
    fn modes_binary_files_and_odd_names_are_told() {
        let files = Memory::of_bytes(&[("bin", b"\0a"), ("run", b"x\n"), ("q\"\n", b"")]).with_base();
        let files = files.executable("run");
        put(&files, "bin", b"\0bc");
        gone(&files, "q\"\n");
        assert_eq!(
            diff(&files, &Args::default()).unwrap().text,
            "diff --git a/bin b/bin\nBinary files a/bin and b/bin differ\n[2 -> 3 bytes]\n\
             diff --git \"a/q\\\"\\n\" \"b/q\\\"\\n\"\ndeleted file mode 100644\n\
             diff --git a/run b/run\nold mode 100644\nnew mode 100755\n"
        );
    }

    #[test]
    fn much_is_handed_over_page_by_page() {
        let names: Vec<String> = (0..1200).map(|n| format!("f{n:04}")).collect();
        let files = Memory::new(&[]).with_base();
        for name in &names {
            put(&files, name, b"x\n");
        }
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let output = diff(&files, &Args { cursor, ..Args::default() }).unwrap();
            assert!(output.text.len() < TEXT + 1000);
            assert_eq!(output.total, 1200);
            seen.extend(output.files.into_iter().map(|file| file.path));
            pages += 1;
            cursor = output.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (names, 3));
    }

    #[test]
    fn one_large_change_is_cut_and_says_so() {
        let files = Memory::new(&[]).with_base();
        put(&files, "a", "0123456789\n".repeat(20_000).as_bytes());
        let output = diff(&files, &Args::default()).unwrap();
        assert!(output.truncated && output.next.is_none() && output.text.len() < TEXT + 200);
        assert!(output.text.ends_with(" more lines of this hunk are not shown]\n"), "{}", output.text.len());
        assert_eq!(output.files[0].added, 20_000);
    }

    #[test]
    fn without_a_base_that_is_said() {
        assert_eq!(diff(&Memory::new(&[]), &Args::default()).unwrap_err().code, Code::NotFound);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
        #[test]
        fn a_diff_makes_of_the_base_what_is_there(before in "[ab\n]{0,30}", after in "[ab\n]{0,30}", context in 0..5u32) {
            let files = Memory::new(&[("f", &before), ("other", "1\n")]).with_base();
            put(&files, "f", after.as_bytes());
            put(&files, "new", after.as_bytes());
            let output = diff(&files, &Args { context: Some(context), ..Args::default() }).unwrap();
            let base = Memory::new(&[("f", &before), ("other", "1\n")]);
            crate::patch::patch(&base, &output.text).unwrap();
            proptest::prop_assert_eq!(base.show(), files.show());
        }
    }
}
