//! A flag that can be raised once and waited for.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells running jobs to stop; clones share one flag, which is never lowered again.
#[derive(Debug, Clone)]
pub struct Cancel {
    flag: Arc<watch::Sender<bool>>,
}

impl Cancel {
    /// Returns a flag that is down.
    pub fn new() -> Self {
        Self { flag: Arc::new(watch::Sender::new(false)) }
    }

    /// Raises the flag; raising it again changes nothing.
    pub fn cancel(&self) {
        self.flag.send_replace(true);
    }

    /// Whether the flag is up.
    pub fn is_cancelled(&self) -> bool {
        *self.flag.borrow()
    }

    /// Returns when the flag is up, at once when it already is.
    pub async fn cancelled(&self) {
        let mut receiver = self.flag.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = receiver.wait_for(|up| *up).await;
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_raised_flag_wakes_every_clone_before_and_after() {
        let cancel = Cancel::new();
        let waiting = tokio::spawn({
            let cancel = cancel.clone();
            async move { cancel.cancelled().await }
        });
        assert!(!cancel.is_cancelled());
        cancel.clone().cancel();
        cancel.cancel();
        waiting.await.expect("the waiting task does not panic");
        cancel.cancelled().await;
        assert!(cancel.is_cancelled());
    }
}
