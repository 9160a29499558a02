//! Which image at a daemon holds an environment's small root: what was imported, written down in a folder of our own.
//!
//! A label is anybody's to write who may build images there, so no image is ever chosen by one. It is found by the id that
//! the daemon gave when we imported it, and taken for ours when its one layer is the archive that we packed: its digest
//! is known before anything is asked.
//!
//! ```text
//! state/roots/<digest of the daemon>/<digest of the environment>.json    the image and its layer
//!                                                               .lock    shared by who uses it; its time is that of the last use
//!                                                               .new     locked while it is imported
//! ```
//!
//! Beyond a number of them those used longest ago are removed, at the daemon too: only what is written down here and
//! carries our label, never one that a process of ours or a container uses.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bollard::errors::Error;
use bollard::models::ImageInspect;
use bollard::query_parameters::RemoveImageOptionsBuilder;
use gloaming_api::Digest;
use serde::{Deserialize, Serialize};

use super::image::{self, Packed};
use super::owner::ENVIRONMENT;
use super::server::{Server, words};
use crate::Environment;
use crate::lock;

/// So many roots are kept at a daemon for a state folder, unless said otherwise.
pub(super) const KEPT: usize = 16;

/// The most bytes of a record that are read.
const LONGEST: u64 = 64 << 10;

/// The image of an environment's root; as long as the value lives, no process of ours removes it.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) image: String,
    _used: File,
}

/// What was imported for an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    image: String,
    layer: Digest,
}

/// What there is of an image at the daemon.
#[derive(Debug, PartialEq, Eq)]
enum There {
    Ours,
    Nothing,
    /// Something else, in words.
    Other(String),
}

/// The roots of one state folder at one daemon.
pub(super) struct Roots<'a> {
    server: &'a Server,
    folder: PathBuf,
}

#[derive(Debug, Clone)]
struct Place {
    record: PathBuf,
    lock: PathBuf,
    new: PathBuf,
}

impl<'a> Roots<'a> {
    pub(super) fn of(server: &'a Server, state: &Path) -> Self {
        let folder = state.join("roots").join(server.identity.hex());
        Self { server, folder }
    }

    /// Returns the image of an environment's root, imported when there is none at the daemon that is known to be it.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(super) async fn get(&self, environment: &Environment) -> Result<Root, String> {
        let io = |error: io::Error| format!("the folder {}: {error}", self.folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(io)?;
        let at = self.place(environment.digest().hex());
        let used = waiting({
            let at = at.clone();
            move || lock::share(&at.lock)
        });
        let used = used.await.map_err(io)?;
        lock::touch(&used).map_err(io)?;
        let packed = image::pack_root(environment).await?;
        if let Some(image) = self.known(&at, &packed.layer).await? {
            return Ok(Root { image, _used: used });
        }
        // Of two that want it at once the second finds what the first imported.
        let making = waiting({
            let at = at.clone();
            move || lock::alone(&at.new)
        });
        let _making = making.await.map_err(io)?;
        if let Some(image) = self.known(&at, &packed.layer).await? {
            return Ok(Root { image, _used: used });
        }
        let image = self.import(environment, packed, &at).await?;
        Ok(Root { image, _used: used })
    }

    /// Returns the image that was imported before, if the daemon still has it.
    async fn known(&self, at: &Place, layer: &Digest) -> Result<Option<String>, String> {
        let Some(record) = read(&at.record) else { return Ok(None) };
        if record.layer != *layer {
            // A file of the host that is copied into the root is another by now.
            self.forget(&record).await;
            return Ok(None);
        }
        match self.look(&record).await? {
            There::Ours => Ok(Some(record.image)),
            There::Nothing => Ok(None),
            There::Other(what) => {
                tracing::warn!(
                    image = record.image,
                    engine = self.server.brand.name(),
                    what,
                    "an image at the daemon is not the container root that was imported; it is imported again"
                );
                Ok(None)
            }
        }
    }

    async fn import(&self, environment: &Environment, packed: Packed, at: &Place) -> Result<String, String> {
        let layer = packed.layer.clone();
        let image = image::import(self.server, environment.digest(), packed.archive).await?;
        let record = Record { image, layer };
        if let There::Other(what) = self.look(&record).await? {
            return Err(format!(
                "{} was handed the container's root and has something else as {}: {what}",
                self.server.describe(),
                record.image
            ));
        }
        let io = |error: io::Error| format!("{}: {error}", at.record.display());
        let draft = at.record.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(&record).map_err(|error| io(error.into()))?).map_err(io)?;
        fs::rename(&draft, &at.record).map_err(io)?;
        Ok(record.image)
    }

    /// Compares an image at the daemon with what is written down of it.
    async fn look(&self, record: &Record) -> Result<There, String> {
        match self.server.client.inspect_image(&record.image).await {
            Ok(found) => Ok(compare(record, &found)),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(There::Nothing),
            Err(error) => Err(words(&error)),
        }
    }

    /// Removes the roots that were used longest ago until so many are left; returns the ids of the images that went. Those
    /// in use stay.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(super) async fn evict(&self, kept: usize) -> Result<Vec<String>, String> {
        let io = |error: io::Error| format!("the folder {}: {error}", self.folder.display());
        let mut known: Vec<(SystemTime, Place)> = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(key) = name.to_str().and_then(|name| name.strip_suffix(".lock")) else { continue };
            known.push((entry.metadata().and_then(|meta| meta.modified()).map_err(io)?, self.place(key)));
        }
        known.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.lock.cmp(&b.1.lock)));
        let (mut left, mut gone) = (known.len(), Vec::new());
        for (_, at) in known {
            if left <= kept {
                break;
            }
            let Some(_alone) = unused(&at.lock).map_err(io)? else { continue };
            if let Some(record) = read(&at.record) {
                if !self.forget(&record).await {
                    continue;
                }
                gone.push(record.image);
            }
            // The lock last: whoever finds it gone begins afresh.
            for path in [&at.record, &at.new, &at.lock] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
                    _ => {}
                }
            }
            left -= 1;
        }
        Ok(gone)
    }

    /// Removes an image of ours at the daemon; false where it is still there, as where a container uses it.
    async fn forget(&self, record: &Record) -> bool {
        let is_labelled = |found: &ImageInspect| {
            let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
            labels.is_some_and(|labels| labels.contains_key(ENVIRONMENT))
        };
        match self.server.client.inspect_image(&record.image).await {
            Ok(found) if compare(record, &found) == There::Ours && is_labelled(&found) => {}
            // Nobody else's image is removed, whatever a record says.
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => return true,
            Err(_) => return false,
        }
        let options = RemoveImageOptionsBuilder::default().force(false).build();
        match self.server.client.remove_image(&record.image, Some(options), None).await {
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => true,
            Err(error) => {
                tracing::debug!(
                    image = record.image,
                    reason = words(&error),
                    "a container's root stays at the daemon"
                );
                false
            }
        }
    }

    fn place(&self, key: &str) -> Place {
        let named = |end: &str| self.folder.join(format!("{key}.{end}"));
        Place { record: named("json"), lock: named("lock"), new: named("new") }
    }
}

fn compare(record: &Record, found: &ImageInspect) -> There {
    let hex = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    let id = found.id.as_deref().unwrap_or_default();
    if hex(id) != hex(&record.image) {
        return There::Other(format!("the daemon answers with {id}"));
    }
    let layers = found.root_fs.as_ref().and_then(|root| root.layers.as_deref()).unwrap_or_default();
    match layers {
        [layer] if *layer == record.layer.to_string() => There::Ours,
        other => There::Other(format!("its layers are [{}]", other.join(", "))),
    }
}

fn read(path: &Path) -> Option<Record> {
    let file = File::open(path).ok()?;
    serde_json::from_reader(io::Read::take(file, LONGEST)).ok()
}

/// Returns the lock of a root that nobody uses.
fn unused(path: &Path) -> io::Result<Option<File>> {
    let file = lock::open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(lock::is_at(&file, path)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for a lock without holding up anybody else.
async fn waiting(take: impl FnOnce() -> io::Result<File> + Send + 'static) -> io::Result<File> {
    tokio::task::spawn_blocking(take).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use bollard::models::{ImageConfig, ImageInspectRootFs};

    use super::*;

    #[test]
    fn an_image_is_ours_by_its_id_and_its_one_layer() {
        let layer = Digest::of("packed");
        let record = Record { image: "sha256:12".to_owned(), layer: layer.clone() };
        let found = |id: &str, layers: &[&Digest]| ImageInspect {
            id: Some(id.to_owned()),
            root_fs: Some(ImageInspectRootFs {
                layers: Some(layers.iter().map(ToString::to_string).collect()),
                ..ImageInspectRootFs::default()
            }),
            config: Some(ImageConfig::default()),
            ..ImageInspect::default()
        };
        assert_eq!(compare(&record, &found("sha256:12", &[&layer])), There::Ours);
        assert_eq!(compare(&record, &found("12", &[&layer])), There::Ours);
        let other = Digest::of("evil");
        for image in [
            found("sha256:13", &[&layer]),
            found("sha256:12", &[&other]),
            found("sha256:12", &[&layer, &other]),
            found("sha256:12", &[]),
            ImageInspect { root_fs: None, ..found("sha256:12", &[&layer]) },
            ImageInspect::default(),
        ] {
            assert!(matches!(compare(&record, &image), There::Other(_)), "{image:?}");
        }
    }
}
