//! What an operator's configuration has the control plane do by itself: schedules, repositories' shares, and what is kept for
//! how long. A reconciler: it is told what counts, and then takes no input but the store and the time.

mod keep;
mod schedules;

use std::sync::Arc;

use gloaming_api::access::RepoPattern;
use gloaming_store::{Share, Store, Stored};
use jiff::{SignedDuration, Timestamp};

use crate::publish::Grants;
pub use keep::{Forgotten, Keep};
pub use schedules::{Schedule, Submitted};

/// How often it is looked for what is old.
const EVERY: SignedDuration = SignedDuration::from_hours(1);

/// How long schedules wait where as many tasks wait as may.
const FULL: SignedDuration = SignedDuration::from_mins(1);

/// What counts, as the configuration says it now.
#[derive(Debug, Default)]
pub struct Standing {
    /// How long what is kept.
    pub keep: Keep,
    /// What repositories are given of the workers.
    pub shares: Vec<(RepoPattern, Share)>,
    /// What is asked for again and again.
    pub schedules: Vec<Schedule>,
}

/// What a pass did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// What schedules came to.
    pub schedules: Vec<Submitted>,
    /// What is forgotten since.
    pub forgotten: Forgotten,
}

/// See the module.
pub struct Upkeep {
    store: Arc<dyn Store>,
    grants: Grants,
    standing: Standing,
    /// When it is looked next for what is old.
    look_at: Option<Timestamp>,
    /// When schedules go on; none where nothing keeps them.
    ask_at: Option<Timestamp>,
}

impl Upkeep {
    /// Makes one for which nothing counts yet.
    pub fn new(store: Arc<dyn Store>, grants: Grants) -> Self {
        Self { store, grants, standing: Standing::default(), look_at: None, ask_at: None }
    }

    /// Lets something else count from now on. Blocks.
    ///
    /// # Errors
    /// The store failed: what counted before counts on.
    pub fn set(&mut self, standing: Standing, now: Timestamp) -> Stored<()> {
        self.store.set_shares(&standing.shares, now)?;
        self.standing = standing;
        self.look_at = None;
        self.ask_at = None;
        Ok(())
    }

    /// Does what is due. Blocks; for a short while only, however much there is to be forgotten.
    ///
    /// # Errors
    /// The store failed: what was not done is due at the next pass.
    pub fn pass(&mut self, now: Timestamp) -> Stored<Passed> {
        let mut passed = Passed::default();
        // A clock that was set back is not waited for.
        let is_due = |at: Option<Timestamp>, every| at.is_none_or(|at| at <= now || at > now + every);
        if is_due(self.ask_at, FULL) {
            self.ask_at = None;
            for schedule in &self.standing.schedules {
                let asked = schedule.submit(self.store.as_ref(), &self.grants, now)?;
                let Some((submitted, later)) = asked else { continue };
                if later {
                    self.ask_at = Some(now + FULL);
                }
                passed.schedules.push(submitted);
            }
        }
        if is_due(self.look_at, EVERY) {
            passed.forgotten = self.standing.keep.forget(self.store.as_ref(), now)?;
            self.look_at = (!passed.forgotten.more).then(|| now + EVERY);
        }
        Ok(passed)
    }
}
