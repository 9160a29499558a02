//! How long what is kept.

use gloaming_store::{AUDIT_FORGOTTEN_AT_ONCE, Gone, Store, Stored};
use jiff::{SignedDuration, Timestamp};

use crate::meters;

/// How long what is kept; none for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Tasks after their end, with journals, artifacts, effects, and deliveries that were worked on.
    pub tasks: Option<SignedDuration>,
    /// Entries of the audit log.
    pub audit: Option<SignedDuration>,
}

/// How much is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Tasks.
    pub tasks: u64,
    /// Entries of the audit log.
    pub audit: u64,
    /// Whether there may be more that is old enough.
    pub more: bool,
}

impl Default for Keep {
    /// Tasks half a year, the audit log two years.
    fn default() -> Self {
        Self::days(180, 730).expect("they fit")
    }
}

impl Keep {
    /// The least that tasks are kept, days: a code host sends deliveries again for three, and is taken for asking anew where
    /// nobody knows the first.
    pub const LEAST: u32 = 7;

    /// Makes one of days, 0 for ever.
    ///
    /// # Errors
    /// Tasks are kept for less than [`Keep::LEAST`], or longer than the log that tells of them; in words.
    pub fn days(tasks: u32, audit: u32) -> Result<Self, String> {
        if tasks > 0 && tasks < Self::LEAST {
            return Err(format!(
                "tasks_days = {tasks}: want at least {}, or 0 for ever: a code host sends deliveries again for some days",
                Self::LEAST
            ));
        }
        if audit > 0 && (tasks == 0 || audit < tasks) {
            return Err(format!(
                "audit_days = {audit}: want at least as much as tasks_days, or 0 for ever: the log tells who asked for what"
            ));
        }
        let days = |days: u32| (days > 0).then(|| SignedDuration::from_hours(24 * i64::from(days)));
        Ok(Self { tasks: days(tasks), audit: days(audit) })
    }

    /// Forgets what is old enough, as much as is done at once.
    pub(super) fn forget(&self, store: &dyn Store, now: Timestamp) -> Stored<Forgotten> {
        let before = |kept: SignedDuration| now.checked_sub(kept).unwrap_or(Timestamp::MIN);
        let none = Gone { tasks: 0, more: false };
        let Gone { tasks, more } = self.tasks.map_or(Ok(none), |kept| store.forget(before(kept), now))?;
        let audit = self.audit.map_or(Ok(0), |kept| store.forget_audit(before(kept), now))?;
        meters::forgotten("tasks", tasks);
        meters::forgotten("audit", audit);
        let more = more || audit >= u64::from(AUDIT_FORGOTTEN_AT_ONCE);
        Ok(Forgotten { tasks, audit, more })
    }
}
