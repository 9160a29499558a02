//! Waiting for what tells nobody that it has come: a file of a job's, the end of a process that is not ours.

use std::time::Duration;

use tokio::time::{Instant, interval};

/// Between two looks. Whoever looks without a pause takes the processor from what it waits for.
const PAUSE: Duration = Duration::from_millis(25);
/// After which nothing is waited for any more: a machine that does ten other things is not as slow as this.
const PATIENCE: Duration = Duration::from_secs(300);

/// Looks at something again and again.
pub(crate) struct Looks {
    pauses: tokio::time::Interval,
    since: Instant,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { pauses: interval(PAUSE), since: Instant::now() }
    }

    /// Returns when it is time for the next look; fails, with `what` has not come, when there were enough.
    pub(crate) async fn next(&mut self, what: impl std::fmt::Display) {
        self.pauses.tick().await;
        assert!(self.since.elapsed() < PATIENCE, "waited in vain: {what}");
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut looks = Looks::new();
    while !condition() {
        looks.next(what).await;
    }
}
