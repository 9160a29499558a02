//! A patch, line by line.

use maud::{Markup, html};

use super::text::shown;

/// Lines of a patch that are shown.
const LINES: usize = 5000;
/// Bytes of a patch that are shown.
const BYTES: usize = 512 << 10;

pub(super) fn diff(heading: &str, patch: &[u8]) -> Markup {
    let text = String::from_utf8_lossy(&patch[..patch.len().min(BYTES)]);
    let total = patch.split_inclusive(|byte| *byte == b'\n').count();
    let lines: Vec<&str> = text.lines().take(LINES).collect();
    let cut = patch.len() > BYTES || total > lines.len();
    html! {
        section aria-labelledby="diff" {
            h2 id="diff" { (heading) }
            @if cut {
                p class="hint" { "The first " (lines.len()) " of " (total) " lines; " code { "gloaming task get" } " has them all." }
            }
            pre class="diff" tabindex="0" aria-label="The change as a patch" {
                @for (line, kind) in kinds(&lines) {
                    span class=(kind) { (shown(line)) } "\n"
                }
            }
        }
    }
}

/// Says of each line what it is. What a hunk's head announces is content, whatever it looks like: a removed line `-- x` is
/// no file's head.
fn kinds<'a>(lines: &[&'a str]) -> Vec<(&'a str, &'static str)> {
    let (mut old, mut new) = (0_u64, 0_u64);
    lines
        .iter()
        .map(|line| {
            let in_hunk = old > 0 || new > 0;
            let kind = match line.as_bytes().first() {
                Some(b'+') if in_hunk => {
                    new = new.saturating_sub(1);
                    "add"
                }
                Some(b'-') if in_hunk => {
                    old = old.saturating_sub(1);
                    "del"
                }
                Some(b' ') | None if in_hunk => {
                    (old, new) = (old.saturating_sub(1), new.saturating_sub(1));
                    "same"
                }
                Some(b'\\') => "meta",
                _ => match hunk(line) {
                    Some(counts) => {
                        (old, new) = counts;
                        "hunk"
                    }
                    None => {
                        (old, new) = (0, 0);
                        if line.starts_with("diff ") { "file" } else { "meta" }
                    }
                },
            };
            (*line, kind)
        })
        .collect()
}

/// Returns how many old and new lines a hunk's head announces: `@@ -OLD[,COUNT] +NEW[,COUNT] @@`.
fn hunk(line: &str) -> Option<(u64, u64)> {
    let (ranges, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let count = |range: &str| range.split_once(',').map_or(Some(1), |(_, count)| count.parse().ok());
    Some((count(old)?, count(new)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_what_its_hunk_says() {
        let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@ fn f\n a\n--- gone\n+++ come\n b\n\\ No newline at end of file\n+ after\n";
        let told: Vec<String> = kinds(&patch.lines().collect::<Vec<_>>())
            .into_iter()
            .map(|(line, kind)| format!("{kind}|{line}"))
            .collect();
        assert_eq!(
            told,
            [
                "file|diff --git a/x b/x",
                "meta|--- a/x",
                "meta|+++ b/x",
                "hunk|@@ -1,3 +1,3 @@ fn f",
                "same| a",
                "del|--- gone",
                "add|+++ come",
                "same| b",
                "meta|\\ No newline at end of file",
                "meta|+ after",
            ]
        );
    }

    #[test]
    fn what_is_hostile_or_too_long_is_text_and_cut() {
        let shown = diff("Change", b"@@ -0,0 +1 @@\n+<script>\xff\n").into_string();
        assert!(shown.contains("<span class=\"add\">+&lt;script&gt;\u{fffd}</span>"), "{shown}");
        let long = diff("Change", &b"+x\n".repeat(LINES + 1)).into_string();
        assert!(long.contains("The first 5000 of 5001 lines"));
        assert!(diff("Change", &vec![b'x'; BYTES * 2]).into_string().len() < BYTES + 2000);
    }
}
