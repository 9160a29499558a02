//! Which paths of a tree may exist on a disk.

/// Returns why a path from a tree or a patch must not be written anywhere; none when it may.
///
/// As strict as git's own `core.protectNTFS` and `core.protectHFS`, on every system: a checkout may be copied.
pub(crate) fn refused(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > 4096 {
        return Some("it has more than 4096 bytes");
    }
    if path.contains(&0) {
        return Some("it holds a NUL byte");
    }
    if path.first() == Some(&b'/') {
        return Some("it is absolute");
    }
    let mut depth = 0;
    for name in path.split(|byte| *byte == b'/') {
        depth += 1;
        match name {
            b"" => return Some("it has an empty name"),
            b"." | b".." => return Some("it has a name `.` or `..`"),
            name if name.len() > 255 => return Some("it has a name of more than 255 bytes"),
            name if is_git_folder(name) => return Some("it reaches into git's own folder"),
            _ => {}
        }
    }
    (depth > crate::files::DEEPEST).then_some("it is nested too deeply")
}

/// Whether some file system takes this name for `.git`.
pub(crate) fn is_git_folder(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    // HFS+ drops these when it compares names.
    let visible: String = text
        .chars()
        .filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .collect();
    // NTFS drops trailing dots and spaces, and `:` begins the name of a stream.
    let plain = visible.split(':').next().unwrap_or("").trim_end_matches(['.', ' ']);
    plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_written() {
        for good in
            ["a", "src/lib.rs", ".gitignore", ".github/x", "a..b", "...", "git", "x.git", "é\n", "a\\b", "-x"]
        {
            assert_eq!(refused(good.as_bytes()), None, "{good:?}");
        }
        assert_eq!(refused(b"\xff\xfe"), None);
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            ".git",
            ".git/config",
            "a/.git",
            ".GIT/hooks/x",
            ".Git",
            "git~1/x",
            "GIT~1",
            ".git ",
            ".git...",
            ".git::$INDEX_ALLOCATION/x",
            ".g\u{200c}it/config",
            "\u{feff}.git",
        ] {
            assert!(refused(bad.as_bytes()).is_some(), "{bad:?}");
        }
        assert!(refused("a/".repeat(300).trim_end_matches('/').as_bytes()).is_some());
        assert!(refused("a".repeat(256).as_bytes()).is_some());
    }
}
