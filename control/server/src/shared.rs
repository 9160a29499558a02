//! What is read once for many that ask at the same time, and kept for those that ask after them.

use std::hash::Hash;
use std::io;
use std::sync::Arc;

use gloaming_store::StoreError;
use moka::future::Cache;

/// Values by key, read where reading may block.
pub(crate) struct Shared<K, V>(Cache<K, V>);

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(kept: Cache<K, V>) -> Self {
        Self(kept)
    }

    /// Returns the value of a key, reading it where it is not kept. Of those that ask meanwhile one reads. What could not be
    /// read is kept for nobody.
    pub(crate) async fn of(
        &self,
        key: K,
        read: impl FnOnce() -> Result<V, StoreError> + Send + 'static,
    ) -> Result<V, Arc<StoreError>> {
        let read = async {
            tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
                let source = io::Error::other(error).into();
                Err(StoreError { doing: "finish what was read".to_owned(), source })
            })
        };
        self.0.try_get_with(key, read).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn many_that_ask_at_once_have_it_read_once() {
        let shared = Shared::new(Cache::new(10));
        let reads = Arc::new(AtomicUsize::new(0));
        let (go_on, wait) = mpsc::sync_channel::<()>(1);
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let ask = || {
            let (reads, wait) = (Arc::clone(&reads), Arc::clone(&wait));
            shared.of("key", move || {
                let _ = wait.lock().expect("nobody panicked").recv();
                Ok(reads.fetch_add(1, Ordering::SeqCst))
            })
        };
        // All have asked when the first may go on.
        let asked = futures::future::join_all((0..50).map(|_| ask()));
        let (told, ()) = tokio::join!(asked, async { go_on.send(()).expect("somebody waits") });
        assert!(told.into_iter().all(|value| value.expect("it was read") == 0));
        assert_eq!(ask().await.expect("it is kept"), 0);
        drop(go_on);
        let failed = shared.of("other", || {
            Err(StoreError { doing: "read".to_owned(), source: io::Error::other("no").into() })
        });
        assert!(failed.await.is_err());
        assert_eq!(shared.of("other", || Ok(7)).await.expect("it is read anew"), 7);
    }
}
