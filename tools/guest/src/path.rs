//! Spellings of paths.

use std::borrow::Cow;

/// Returns a path as the workspace spells it: without `./`, doubled and trailing slashes and without a
/// leading `/workspace/`. `..` and other absolute paths stay, for the host to refuse. The root is empty.
pub fn normal(path: &str) -> String {
    let rest = match path.strip_prefix("/workspace") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest.trim_start_matches('/'),
        // Less than all of it could be a spelling of the workspace: `//workspace/x`.
        _ if path.starts_with('/') => return path.to_owned(),
        _ => path,
    };
    let names: Vec<&str> = rest.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    names.join("/")
}

/// Characters of a path that are shown: more than any file system takes is no path.
const CHARS: usize = 4096;

/// Returns a path for a line of text: control characters and those that turn or hide text escaped, so that a
/// file's name cannot forge one, and cut where it is longer than any path. The host words its refusals the same way.
pub fn shown(path: &str) -> Cow<'_, str> {
    let (kept, dropped) = crate::lines::cut(path, CHARS);
    if dropped > 0 {
        return Cow::Owned(format!("{} [{dropped} more characters]", shown(kept)));
    }
    if !path.contains(unseen) {
        return Cow::Borrowed(if path.is_empty() { "." } else { path });
    }
    let mut out = String::new();
    for c in path.chars() {
        if unseen(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one() {
        for spelling in
            ["src/a.rs", "./src//a.rs", "src/./a.rs/", "/workspace/src/a.rs", "/workspace//src/a.rs"]
        {
            assert_eq!(normal(spelling), "src/a.rs", "{spelling}");
        }
        assert_eq!(normal("/workspace"), "");
        assert_eq!(normal("."), "");
    }

    #[test]
    fn what_the_host_refuses_stays_refusable() {
        assert_eq!(normal("/etc/passwd"), "/etc/passwd");
        assert_eq!(normal("/workspacefoo/a"), "/workspacefoo/a");
        assert_eq!(normal("a/../../b"), "a/../../b");
        // Found by fuzzing: the host refuses it, and was handed `/workspace/a` instead.
        assert_eq!(normal("//workspace/a"), "//workspace/a");
        assert_eq!(normal("/./workspace/a"), "/./workspace/a");
    }

    #[test]
    fn names_cannot_forge_lines() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown("sr.\u{202e}txt.rs"), "sr.\\u{202e}txt.rs");
        assert_eq!(shown("ä b"), "ä b");
        assert_eq!(shown(&"ä".repeat(4099)), format!("{} [3 more characters]", "ä".repeat(4096)));
    }
}
