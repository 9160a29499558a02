//! Signals by which this process is asked to stop.

use crate::failure::exit;

/// Calls `stop` at the first Ctrl-C or termination signal; at a second Ctrl-C the process ends at once.
pub(crate) fn on_stop(stop: impl FnOnce() + Send + 'static) {
    use tokio::signal::unix::{SignalKind, signal};
    // Listening begins before this returns; what arrives earlier ends the process as it ends any other.
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        crate::logs::say("\nstopping; press Ctrl-C again to leave at once");
        stop();
        if interrupt.recv().await.is_some() {
            std::process::exit(i32::from(exit::CANCELLED));
        }
    });
}
