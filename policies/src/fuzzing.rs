//! A door for the fuzzers in tests/fuzz, open with the feature `fuzzing` alone: one pattern against one path, by
//! the matcher and by the slow reference. Nothing here decides anything.

use crate::glob::{AllowSet, DenySet, Pattern, Spelled, reference};

/// What a pattern says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// Whether an allowance of it covers the path.
    pub allow: bool,
    /// Whether a denial of it covers the path.
    pub deny: bool,
    /// Whether an allowance of it covers the path or something beneath.
    pub list: bool,
}

/// Asks the matcher; none where the pattern is refused.
pub fn matched(pattern: &str, path: &str) -> Option<Matched> {
    let pattern = Pattern::parse(pattern).ok()?;
    let (allow, deny) = (AllowSet::new(&[&pattern]), DenySet::new(&[&pattern]));
    let path = Spelled::new(path);
    let covered = !allow.matches(&path).is_empty();
    let denied = !deny.matches(&path).is_empty();
    let list = covered || !allow.anywhere().is_empty() || !allow.matches_beneath(&path).is_empty();
    Some(Matched { allow: covered, deny: denied, list })
}

/// Asks the reference, of a pattern that is not refused. `deny` is all there is for ASCII; other text may be
/// denied beyond it, as case folds there.
pub fn by_reference(pattern: &str, path: &str) -> Matched {
    Matched {
        allow: reference::allows(pattern, path),
        deny: reference::denies(pattern, path),
        list: reference::lists(pattern, path),
    }
}
