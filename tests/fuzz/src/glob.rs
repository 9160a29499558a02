//! The matcher of policies against the slow reference.
//!
//! The input is a pattern and, behind a newline, a path.

use gloaming_api::RelPath;
use gloaming_policies::fuzzing::{by_reference, matched};

/// The reference tries everything: what is longer takes too long.
const BYTES: usize = 64;
/// It tries every length for every star.
const STARS: usize = 8;

/// Holds one input against all that must be true of it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pattern, path)) = text.split_once('\n') else { return };
    let Ok(path) = RelPath::parse(path) else { return };
    if pattern.len() > BYTES || path.as_str().len() > BYTES || path.is_root() {
        return;
    }
    if pattern.matches('*').count() > STARS {
        return;
    }
    let Some(found) = matched(pattern, path.as_str()) else { return };
    let wanted = by_reference(pattern, path.as_str());
    assert_eq!((found.allow, found.list), (wanted.allow, wanted.list), "{pattern:?} on {path:?}");
    if text.is_ascii() {
        assert_eq!(found.deny, wanted.deny, "{pattern:?} on {path:?}");
    } else {
        assert!(found.deny || !wanted.deny, "{pattern:?} on {path:?}");
    }
    assert!(found.deny || !found.allow, "what an allowance covers a denial does: {pattern:?} on {path:?}");
    for parent in std::iter::successors(path.parent(), RelPath::parent).filter(|parent| !parent.is_root()) {
        let above = matched(pattern, parent.as_str()).expect("it parsed before");
        assert!(above.list || !found.allow, "{parent:?} is on the way to {path:?} by {pattern:?}");
        assert!(found.deny || !above.deny, "{path:?} lies in {parent:?}, which {pattern:?} denies");
        assert!(found.allow || !above.allow, "{path:?} lies in {parent:?}, which {pattern:?} allows");
    }
}
