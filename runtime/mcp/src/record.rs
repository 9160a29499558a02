//! Where what happens is recorded. The journal itself belongs to whoever makes the server.

use std::io;

use gloaming_api::journal::EventKind;

/// A journal as the server sees it: events in, in the order in which they happen.
pub trait Record: Send + Sync + 'static {
    /// Records one event for good; it may block until that is done.
    ///
    /// # Errors
    /// What stands in the way. No call is run after that.
    fn record(&self, event: EventKind) -> io::Result<()>;
}
