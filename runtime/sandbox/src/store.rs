//! Registered components on disk: what an operator added, by digest.
//!
//! `DIGEST.wasm` is the component, byte for byte as it was given, and `DIGEST.json` what was said of it when it
//! was added; one without the other is not registered. The digest in the name is compared with the bytes
//! whenever they are loaded. Which of them may be called is not decided here: that is a policy's.
#![expect(
    clippy::disallowed_methods,
    reason = "the folder of registered tools is the host's, not a workspace"
)]

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use gloaming_api::Digest;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::registry::{Inspected, Room, Sandbox};
use crate::{SandboxError, Wit, cache, component_digest};

/// What is kept of a registered component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredComponent {
    /// Always 1.
    schema: u32,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The names of its tools, sorted.
    pub tools: Vec<String>,
    /// The file it was added from.
    pub source: String,
    /// When it was added.
    pub added: String,
    /// Whether a place of the pool holds it.
    pooled: bool,
    /// The WIT given beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wit: Option<Wit>,
}

/// A component that is to be registered.
#[derive(Debug, Clone)]
pub struct NewComponent {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The WIT it was made from, where it has lost its doc comments.
    pub wit: Option<Wit>,
    /// The file it comes from.
    pub source: String,
    /// The time now.
    pub added: String,
}

/// Why a registered component cannot be had, added or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or the folder cannot be read or written.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A record is not as it was written.
    #[error("cannot read the record {}: remove it and {}, and add the tool again", .path.display(), .path.with_extension("wasm").display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The component is not the one that was registered.
    #[error("{} is not the component that was registered (its digest is {found}): remove the tool and add it again", .path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A registered component has a tool of that name.
    #[error("a tool named {tool} is registered already, by {digest}")]
    Taken {
        /// The name.
        tool: String,
        /// The component that has it.
        digest: Digest,
    },
    /// The sandbox refuses it.
    #[error(transparent)]
    Refused(#[from] SandboxError),
}

/// The folder of registered components.
#[derive(Debug, Clone)]
pub struct ToolStore {
    folder: PathBuf,
    compiled: Option<PathBuf>,
}

impl ToolStore {
    /// Names the folder; it is made, readable by its owner alone, when the first component is added.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), compiled: None }
    }

    /// Names the cache of compiled components, where what is removed is removed too.
    #[must_use]
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.compiled = Some(folder.into());
        self
    }

    /// Returns what is registered, sorted by the names of its tools.
    pub fn components(&self) -> Result<Vec<StoredComponent>, StoreError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| self.io(&self.folder, source))?,
        };
        let mut components = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| self.io(&self.folder, source))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                components.push(self.record(&path)?);
            }
        }
        components.sort_by(|a, b| (&a.tools, &a.digest).cmp(&(&b.tools, &b.digest)));
        Ok(components)
    }

    /// Registers a component with a sandbox, which compiles it, and keeps it. One that is there already, byte for
    /// byte, is kept anew. `replace` takes the place of those that have a tool of the same name, which are then
    /// returned.
    pub fn add(
        &self,
        sandbox: &mut Sandbox,
        new: NewComponent,
        replace: bool,
    ) -> Result<(StoredComponent, Inspected, Vec<StoredComponent>), StoreError> {
        let digest = component_digest(&new.bytes);
        let (inspected, room) = sandbox.register_in(&new.bytes, new.wit.as_ref(), Room::Pool)?;
        let tools: Vec<String> = inspected.tools.iter().map(|spec| spec.name.clone()).collect();
        let mut replaced = Vec::new();
        for other in self.components()?.into_iter().filter(|other| other.digest != digest) {
            let Some(tool) = other.tools.iter().find(|tool| tools.contains(tool)) else { continue };
            if !replace {
                return Err(StoreError::Taken { tool: tool.clone(), digest: other.digest });
            }
            replaced.push(other);
        }
        cache::private(&self.folder)
            .map_err(|error| self.io(&self.folder, io::Error::other(error.to_string())))?;
        let stored = StoredComponent {
            schema: 1,
            digest,
            tools,
            source: new.source,
            added: new.added,
            pooled: room == Room::Pool,
            wit: new.wit,
        };
        let mut record = serde_json::to_vec_pretty(&stored)
            .map_err(|source| StoreError::Record { path: self.path(&stored.digest, "json"), source })?;
        record.push(b'\n');
        // The record last: it is what makes the component a registered one.
        self.put(&self.path(&stored.digest, "wasm"), &new.bytes)?;
        self.put(&self.path(&stored.digest, "json"), &record)?;
        for other in &replaced {
            self.remove(other)?;
        }
        Ok((stored, inspected, replaced))
    }

    /// Forgets a component, and what was compiled of it.
    pub fn remove(&self, component: &StoredComponent) -> Result<(), StoreError> {
        for extension in ["json", "wasm"] {
            let path = self.path(&component.digest, extension);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.io(&path, error)),
                _ => {}
            }
        }
        if let Some(compiled) = &self.compiled {
            cache::forget(compiled, &component.digest);
        }
        Ok(())
    }

    /// Says what a registered component is, without compiling it.
    pub fn inspect(&self, component: &StoredComponent) -> Result<Inspected, StoreError> {
        Ok(crate::inspect(&self.bytes(component)?, component.wit.as_ref())?)
    }

    /// Registers a component that was added before with a sandbox. It was compiled then; only where that is
    /// gone from the cache, or was for another version of Gloaming, is it compiled here.
    pub fn load(&self, sandbox: &mut Sandbox, component: &StoredComponent) -> Result<Inspected, StoreError> {
        let bytes = self.bytes(component)?;
        let room = if component.pooled { Room::Pool } else { Room::OnDemand };
        Ok(sandbox.register_in(&bytes, component.wit.as_ref(), room)?.0)
    }

    fn bytes(&self, component: &StoredComponent) -> Result<Vec<u8>, StoreError> {
        let path = self.path(&component.digest, "wasm");
        let bytes = std::fs::read(&path).map_err(|source| self.io(&path, source))?;
        let found = component_digest(&bytes);
        if found == component.digest { Ok(bytes) } else { Err(StoreError::Digest { path, found }) }
    }

    fn record(&self, path: &Path) -> Result<StoredComponent, StoreError> {
        let bytes = std::fs::read(path).map_err(|source| self.io(path, source))?;
        let failed = |source| StoreError::Record { path: path.to_owned(), source };
        let record: StoredComponent = serde_json::from_slice(&bytes).map_err(failed)?;
        let told = |why: &str| failed(serde_json::Error::custom(why));
        if record.schema != 1 {
            return Err(told("it is of a newer Gloaming"));
        }
        if path != self.path(&record.digest, "json") {
            return Err(told("it is not named by its digest"));
        }
        Ok(record)
    }

    /// Writes a file beside its place and renames it into it.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // Best effort: what remains is a file that nothing reads.
            let _ = std::fs::remove_file(&temporary);
        }
        written.map_err(|source| self.io(path, source))
    }

    fn path(&self, digest: &Digest, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", digest.hex()))
    }

    fn io(&self, path: &Path, source: io::Error) -> StoreError {
        StoreError::Io { path: path.to_owned(), source }
    }
}
