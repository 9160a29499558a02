//! Compiled components on disk, mapped when they are used.
//!
//! Loading machine code from a file is trusting that file. What is promised, and by what:
//!
//! - *No other user's code runs.* The folder and the file must be ours (by owner) and writable by nobody else
//!   (0700 and 0600); a file is opened through no link. Who can write them all the same is this user or root,
//!   and both could as well replace this program: nothing kept beside the file could keep them out.
//! - *No damaged code runs.* A file's name holds the digest of its content, and the content is compared with it
//!   before it is mapped: one cut short by a full disk or a crash, or overwritten, is removed and the component
//!   compiled anew.
//! - *What was compared is what is mapped.* Both go through one open file, so that replacing the name in between
//!   changes nothing; a file is made beside its place and renamed into it, never written to afterwards.
//!
//! The file is mapped rather than read: processes share its pages, and only those that run are ever touched; its
//! data segments become the instances' copy-on-write images without another copy. A sealed copy in memory
//! (`memfd`) would also hold against a write by our own user between comparison and use, but costs that copy in
//! every process and shields from nobody who is not past the first promise already. Comparing costs a
//! millisecond for four megabytes.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gloaming_api::Digest;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::SandboxError;

/// Returns a component compiled, from the cache where it is there. The cache is a convenience: whatever is
/// wrong with it is logged and the component compiled.
pub(crate) fn compile(
    engine: &Engine,
    bytes: &[u8],
    digest: &Digest,
    cache: Option<&Path>,
) -> Result<Component, SandboxError> {
    let Some(folder) = cache else { return compile_anew(engine, bytes) };
    if let Err(error) = private(folder) {
        tracing::warn!(folder = %folder.display(), %error, "not using the cache of compiled components");
        return compile_anew(engine, bytes);
    }
    let prefix = prefix(engine, digest);
    for path in kept(folder, &prefix) {
        match load(engine, &path) {
            Ok(component) => return Ok(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "discarding a compiled component");
                // Best effort: what remains is discarded again the next time.
                let _ = std::fs::remove_file(&path);
            }
        }
    }
    let component = compile_anew(engine, bytes)?;
    match store(&component, folder, &prefix).and_then(|path| load(engine, &path)) {
        // From its file too, whose pages are then shared and can be dropped.
        Ok(mapped) => Ok(mapped),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "cannot keep a compiled component");
            Ok(component)
        }
    }
}

fn compile_anew(engine: &Engine, bytes: &[u8]) -> Result<Component, SandboxError> {
    Component::from_binary(engine, bytes).map_err(|error| SandboxError::Component(error.into()))
}

/// Names what was compiled and everything of the engine that the code depends on.
fn prefix(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}-", digest.hex(), hasher.finish())
}

/// Makes the folder where it is missing and refuses one that others can write to.
pub(crate) fn private(folder: &Path) -> Result<(), CacheError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = std::fs::symlink_metadata(folder)?;
    if metadata.is_dir() && ours(&metadata) { Ok(()) } else { Err(CacheError::NotPrivate) }
}

fn ours(metadata: &std::fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// Returns the files that a component may be kept in: one, or two where two processes compiled it at once and
/// not to the same bytes.
fn kept(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(SUFFIX)
    });
    named.map(|entry| entry.path()).collect()
}

const SUFFIX: &str = ".cwasm";

fn load(engine: &Engine, path: &Path) -> Result<Component, CacheError> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file =
        File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(std::io::Error::from)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || !ours(&metadata) {
        return Err(CacheError::NotPrivate);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let expected = name.strip_suffix(SUFFIX).and_then(|name| name.rsplit('-').next());
    if expected != Some(digest(&file)?.hex()) {
        return Err(CacheError::Damaged);
    }
    // The same open file, not whatever now has its name.
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: `deserialize_file` demands a file that `serialize` made and that does not change while it is
    // mapped. Its content was compared with the digest it was stored under; it and its folder can be written
    // only by this user, who runs this process, and nothing of ours writes to a file that has its name (see the
    // module's own words). The name binds it to the component and to the engine's configuration, which wasmtime
    // checks once more.
    unsafe { Component::deserialize_file(engine, opened) }.map_err(CacheError::Code)
}

fn digest(mut file: &File) -> Result<Digest, CacheError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_hash(hasher.finalize().as_slice())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn store(component: &Component, folder: &Path, prefix: &str) -> Result<PathBuf, CacheError> {
    let code = component.serialize().map_err(CacheError::Code)?;
    let path = folder.join(format!("{prefix}{}{SUFFIX}", Digest::of(&code).hex()));
    let temporary = temporary(&path);
    let result = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&code)?;
        std::fs::rename(&temporary, &path)?;
        Ok(())
    })();
    if result.is_err() {
        // Best effort: what remains is a file that nothing reads.
        let _ = std::fs::remove_file(&temporary);
    }
    result.map(|()| path)
}

/// Removes what was compiled of a component, for any engine. Best effort: what remains is never loaded unless the
/// same component is registered again.
pub(crate) fn forget(folder: &Path, digest: &Digest) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{}-", digest.hex())) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn temporary(path: &Path) -> PathBuf {
    use std::hash::BuildHasher;
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    path.with_extension(format!("{random:016x}.tmp"))
}

/// What is wrong with the cache; logged, never returned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it is not ours alone")]
    NotPrivate,
    #[error("it does not match its digest")]
    Damaged,
    #[error("{0:#}")]
    Code(wasmtime::Error),
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at and damage files of the cache")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const COMPONENT: &str = "(component (core module (func (export \"f\") (result i32) i32.const 7)))";

    fn engine() -> Engine {
        Engine::default()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_compiled_component_is_kept_privately_and_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let digest = Digest::of(&bytes);
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        let [file] = files(&folder).try_into().unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        load(&engine(), &file).unwrap();
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        assert_eq!(files(&folder), [file]);
    }

    #[test]
    fn a_damaged_file_is_never_run_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let digest = Digest::of(&bytes);
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        let [file] = files(&folder).try_into().unwrap();
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], &whole[..10], b""] {
            std::fs::remove_file(&file).unwrap();
            std::fs::write(&file, damaged).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(load(&engine(), &file), Err(CacheError::Damaged)));
            compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), whole);
            load(&engine(), &file).unwrap();
        }
    }

    #[test]
    fn a_folder_or_file_that_others_can_write_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let digest = Digest::of(&bytes);
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        let [file] = files(&folder).try_into().unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(load(&engine(), &file), Err(CacheError::NotPrivate)));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(private(&folder), Err(CacheError::NotPrivate)));
        std::fs::remove_file(&file).unwrap();
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        assert_eq!(files(&folder), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_link_to_a_file_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let digest = Digest::of(&bytes);
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        let [file] = files(&folder).try_into().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(matches!(load(&engine(), &file), Err(CacheError::Io(_))));
        compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
        assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
    }

    #[test]
    fn a_loaded_component_is_the_file_itself() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        let bytes = wat::parse_str(COMPONENT).unwrap();
        let _component = compile(&engine(), &bytes, &Digest::of(&bytes), Some(&folder)).unwrap();
        let [file] = files(&folder).try_into().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(maps.contains(&file.canonicalize().unwrap().display().to_string()), "{maps}");
    }
}
