//! A running call from outside: how far it is, and stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::files::AccessLog;

/// Stops one call and sees how far it is; clones share it. It is for one call: once stopped, it stays so.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cancelled: AtomicBool,
    raised: Notify,
    running: AtomicBool,
    files: AtomicU64,
    bytes: AtomicU64,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the guest has run at all.
    pub running: bool,
    /// Files read so far.
    pub files: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

impl Control {
    /// Stops the call: the guest at its next tick, a host function where it looks at the clock. A change of
    /// files that is already under way is finished or not made, never half made.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.raised.notify_waiters();
    }

    /// Whether the call was told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Returns how far the call is; told at every tick of the guest's clock.
    pub fn seen(&self) -> Seen {
        Seen {
            running: self.0.running.load(Ordering::Relaxed),
            files: self.0.files.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }

    /// Returns when the call is told to stop, at once when it was.
    pub(crate) async fn cancelled(&self) {
        // Registered before the flag is looked at, so that no call of `cancel` in between is missed.
        let raised = self.0.raised.notified();
        let mut raised = std::pin::pin!(raised);
        raised.as_mut().enable();
        if !self.is_cancelled() {
            raised.await;
        }
    }

    /// Tells the outside how far the call is.
    pub(crate) fn tell(&self, access: &AccessLog) {
        self.0.running.store(true, Ordering::Relaxed);
        self.0.files.store(access.reads_total, Ordering::Relaxed);
        self.0.bytes.store(access.bytes_read, Ordering::Relaxed);
    }
}
