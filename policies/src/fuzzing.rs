//! A door for the fuzzers in tests/fuzz, open with the feature `fuzzing` alone: one pattern against one path, by
//! the matcher and by the slow reference, and one against a command. Nothing here decides anything.

use crate::glob::{AllowSet, DenySet, Pattern, Spelled, reference};
use crate::subject::{Asked, Kind, Subject};

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

/// What a pattern of `commands` says of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commanded {
    /// Whether an allowance of it takes the command.
    pub allow: bool,
    /// Whether a denial of it does.
    pub deny: bool,
}

/// Asks a pattern of `commands`; none where the pattern is refused.
pub fn commanded(pattern: &str, argv: &[String]) -> Option<Commanded> {
    let pattern = Subject::parse(Kind::Commands, pattern).ok()?;
    let asked = Asked::Command(argv);
    Some(Commanded { allow: pattern.allows(&asked), deny: pattern.denies(&asked) })
}
