//! What is known of repositories, kept as it is answered. A key never changes what it names: a profile that is stored anew
//! has another, and nothing has to be thrown away in time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use gloaming_api::RepoId;
use gloaming_store::{Store, StoreError};
use moka::future::Cache;

/// Bytes of profiles that are kept.
const KEPT: u64 = 64 << 20;

/// A profile as it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// The digest of its content, in quotes; what it was mined from is part of that.
    pub(crate) etag: String,
    pub(crate) body: Bytes,
}

/// See the module.
pub(crate) struct Profiles {
    store: Arc<dyn Store>,
    /// Grows with every profile that is stored.
    generation: Arc<AtomicU64>,
    /// By repository and generation; the content's own key is the ETag.
    known: Cache<(RepoId, u64), Option<Arc<Kept>>>,
}

impl Profiles {
    pub(crate) fn new(store: Arc<dyn Store>, generation: Arc<AtomicU64>) -> Self {
        let weight = |(repo, _): &(RepoId, u64), kept: &Option<Arc<Kept>>| {
            let size = kept.as_ref().map_or(0, |kept| kept.body.len());
            u32::try_from(size + repo.as_str().len() + 128).unwrap_or(u32::MAX)
        };
        Self { store, generation, known: Cache::builder().max_capacity(KEPT).weigher(weight).build() }
    }

    /// Returns what is known of a repository. Many that ask at once ask the store once.
    pub(crate) async fn of(&self, repo: &RepoId) -> Result<Option<Arc<Kept>>, Arc<StoreError>> {
        let key = (repo.clone(), self.generation.load(Ordering::Acquire));
        let (store, repo) = (Arc::clone(&self.store), repo.clone());
        let read = move || {
            let found = store.profile(&repo)?;
            Ok(found.map(|(key, profile)| {
                Arc::new(Kept { etag: format!("\"{key}\""), body: profile.to_string().into() })
            }))
        };
        self.known
            .try_get_with(key, async {
                tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
                    Err(StoreError {
                        doing: "read a profile".to_owned(),
                        source: io::Error::other(error).into(),
                    })
                })
            })
            .await
    }
}
