//! Any text as a path: what is accepted is inside the workspace and spelled in one way, and the tools' own
//! spelling agrees with the host's.
//!
//! The input is the path; what stands behind its first newline is joined to it.

use gloaming_api::RelPath;
use gloaming_api::path::escape_name;

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let escaped = escape_name(data);
    assert!(!escaped.contains(char::is_control), "{escaped:?}");
    let Ok(text) = std::str::from_utf8(data) else { return };
    parsed(text);
    if let Some((base, tail)) = text.split_once('\n') {
        let (Some(base), tail_alone) = (parsed(base), parsed(tail)) else { return };
        let Ok(joined) = base.join(tail) else { return };
        holds(&joined);
        assert!(joined.is_within(&base), "{joined:?} is in {base:?}");
        // What can be joined lies below, under the name it has alone.
        if let Some(tail) = tail_alone.filter(|_| !tail.starts_with('/')) {
            let names: Vec<&str> = base.names().chain(tail.names()).collect();
            assert_eq!(joined.as_str(), names.join("/"));
        }
    }
}

fn parsed(text: &str) -> Option<RelPath> {
    let normal = guest::path::normal(text);
    let Ok(path) = RelPath::parse(text) else {
        // The tools hand on what the host refuses; only length can be less of a spelling than of a path.
        assert!(
            text.len() > 4096 || RelPath::parse(&normal).is_err(),
            "{text:?} is refused, {normal:?} is not"
        );
        return None;
    };
    assert_eq!(path.as_str(), normal, "the tools and the host spell {text:?} alike");
    holds(&path);
    Some(path)
}

fn holds(path: &RelPath) {
    let text = path.as_str();
    assert!(text.len() <= 4096 && !text.contains('\0'), "{text:?}");
    assert_eq!(path.is_root(), text.is_empty());
    if !path.is_root() {
        for name in text.split('/') {
            assert!(!matches!(name, "" | "." | "..") && name.len() <= 255, "{text:?}");
        }
        let (parent, name) = (path.parent().expect("not the root"), path.name().expect("not the root"));
        assert_eq!(parent.join(name).as_ref(), Ok(path));
        assert!(path.is_within(&parent) && !parent.is_within(path));
    }
    assert_eq!(RelPath::parse(text).as_ref(), Ok(path), "a path is its own spelling");
    assert_eq!(RelPath::parse(&path.to_string()).as_ref(), Ok(path), "and so is what is shown of it");
    let json = serde_json::to_string(path).expect("a path serialises");
    assert_eq!(serde_json::from_str::<RelPath>(&json).ok().as_ref(), Some(path));
}
