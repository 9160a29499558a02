//! How much is forgotten at once.

/// How many tasks are forgotten at once, so that nobody else waits long for it.
pub const FORGOTTEN_AT_ONCE: u32 = 200;

/// After how many bytes of journals and artifacts no further task is forgotten at once.
const FORGOTTEN_BYTES: u64 = 64 << 20;

/// The kind of effects whose failure holds nobody: nothing is lost but a mark on a commit.
pub(super) const CHECK: &str = "check";

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// How many tasks.
    pub tasks: u64,
    /// Whether there are more that are old enough.
    pub more: bool,
}

/// Returns how many tasks, given by their bytes, are forgotten at once: at least one, where there is one.
pub(super) fn at_once(bytes: impl Iterator<Item = u64>) -> usize {
    let mut sum = 0u64;
    let fits = bytes.take_while(|bytes| {
        let room = sum <= FORGOTTEN_BYTES;
        sum = sum.saturating_add(*bytes);
        room
    });
    fits.take(FORGOTTEN_AT_ONCE as usize).count()
}

/// How many entries of the audit log are forgotten at once.
pub const AUDIT_FORGOTTEN_AT_ONCE: u32 = 10_000;
