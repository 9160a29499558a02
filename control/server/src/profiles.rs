//! What is known of repositories, kept as it is answered. A key never changes what it names: a profile that is stored anew
//! has another, and nothing has to be thrown away in time.

use std::sync::Arc;

use bytes::Bytes;
use gloaming_api::{Digest, RepoId};
use gloaming_store::{Store, StoreError, Stored};
use moka::future::Cache;

use crate::shared::Shared;

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
    /// By repository and the content's own key. None where it was another by the time it was read.
    known: Shared<(RepoId, Digest), Option<Arc<Kept>>>,
}

impl Profiles {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let weight = |(repo, _): &(RepoId, Digest), kept: &Option<Arc<Kept>>| {
            let size = kept.as_ref().map_or(0, |kept| kept.body.len());
            u32::try_from(size + repo.as_str().len() + 256).unwrap_or(u32::MAX)
        };
        let known = Shared::new(Cache::builder().max_capacity(KEPT).weigher(weight).build());
        Self { store, known }
    }

    /// Returns what is known of a repository. Each time only its key is read; of many that ask at once for what is not kept one
    /// reads it.
    pub(crate) async fn of(&self, repo: &RepoId) -> Result<Option<Arc<Kept>>, Arc<StoreError>> {
        let Some(key) = self.read(repo, |store, repo| store.profile_key(repo)).await? else {
            return Ok(None);
        };
        let (store, name, wanted) = (Arc::clone(&self.store), repo.clone(), key.clone());
        let known = self.known.of((repo.clone(), key), move || {
            let found = store.profile(&name)?.filter(|(key, _)| *key == wanted);
            Ok(found.map(|found| Arc::new(kept(found))))
        });
        if let Some(known) = known.await? {
            return Ok(Some(known));
        }
        // Another one was stored between the two; whatever is there now is an answer.
        Ok(self.read(repo, |store, repo| store.profile(repo)).await?.map(|found| Arc::new(kept(found))))
    }

    /// Asks the store where it may block.
    async fn read<T: Send + 'static>(
        &self,
        repo: &RepoId,
        read: impl FnOnce(&dyn Store, &RepoId) -> Stored<T> + Send + 'static,
    ) -> Result<T, Arc<StoreError>> {
        let (store, repo) = (Arc::clone(&self.store), repo.clone());
        let read = tokio::task::spawn_blocking(move || read(store.as_ref(), &repo)).await;
        let failed = |error| {
            let source = std::io::Error::other(error).into();
            StoreError { doing: "read a profile".to_owned(), source }
        };
        read.map_err(failed).and_then(|read| read).map_err(Arc::new)
    }
}

fn kept((key, profile): (Digest, serde_json::Value)) -> Kept {
    Kept { etag: format!("\"{key}\""), body: profile.to_string().into() }
}

#[cfg(test)]
mod tests {
    use gloaming_store::{Limits, MemoryStore};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_read_again_only_when_its_own_content_changes() {
        let store = Arc::new(MemoryStore::new(Limits::default()));
        let profiles = Profiles::new(store.clone());
        let [one, other] =
            ["acme/one", "acme/other"].map(|repo| repo.parse::<RepoId>().expect("a repository"));
        let put = |repo, key: &str, value| {
            store.put_profile(repo, &Digest::of(key), &value, Timestamp::UNIX_EPOCH).expect("it is kept");
        };
        let told = async || profiles.of(&one).await.expect("it is read").map(|kept| kept.body.clone());
        assert_eq!(told().await, None);
        put(&one, "a", json!("first"));
        assert_eq!(told().await.expect("it is known"), "\"first\"");
        // The content under a key never changes; that it is not read again shows where it does.
        put(&one, "a", json!("not read"));
        put(&other, "b", json!("another's"));
        assert_eq!(told().await.expect("it is known"), "\"first\"");
        put(&one, "c", json!("second"));
        assert_eq!(told().await.expect("it is known"), "\"second\"");
        put(&one, "a", json!("not read"));
        assert_eq!(told().await.expect("it is known"), "\"first\"");
    }
}
