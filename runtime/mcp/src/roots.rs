//! What a client's roots say. They never change what is served: they are only compared with it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

/// Whether a root's address names the served folder or something inside it. It is read, never opened: a client
/// could otherwise find out what there is outside.
pub(crate) fn is_inside(uri: &str, served: &Path) -> bool {
    let Some(path) = uri.strip_prefix("file://") else { return false };
    // `file://localhost/path` is the same as `file:///path`.
    let path = path.strip_prefix("localhost").unwrap_or(path);
    let bytes = decoded(path);
    let path = Path::new(OsStr::from_bytes(&bytes));
    let plain = !path.components().any(|part| part == Component::ParentDir);
    path.is_absolute() && plain && path.starts_with(served)
}

/// Resolves `%XX`; what is none stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let escaped = match more {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_inside_only_when_its_path_is() {
        let served = Path::new("/home/a b/repo");
        for inside in [
            "file:///home/a%20b/repo",
            "file:///home/a b/repo/",
            "file:///home/a%20b/repo/src",
            "file://localhost/home/a%20b/repo",
        ] {
            assert!(is_inside(inside, served), "{inside}");
        }
        for outside in [
            "file:///home/a%20b",
            "file:///home/a%20b/repository",
            "file:///home/a%20b/repo/../other",
            "file:///home/a%20b/repo/%2e%2e/other",
            "file://other/home/a%20b/repo",
            "file:///",
            "file://",
            "https://example.org/home/a%20b/repo",
            "/home/a b/repo",
            "",
            "file:///home/a%2",
        ] {
            assert!(!is_inside(outside, served), "{outside}");
        }
    }
}
