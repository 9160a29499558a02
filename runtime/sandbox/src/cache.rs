//! Compiled components on disk.
//!
//! Loading machine code from a file is trusting that file. So the folder must be ours alone (0700, owned by
//! us), a file is written beside its place and renamed into it, and it begins with the digest of what
//! follows: a file cut short or overwritten is compiled anew rather than run. What is run are the bytes that
//! were checked, not the file again.
#![expect(clippy::disallowed_methods, reason = "the cache folder is the host's, not a workspace")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gloaming_api::Digest;
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
    let path = folder.join(file_name(engine, digest));
    match load(engine, &path) {
        Ok(Some(component)) => return Ok(component),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "discarding a compiled component");
        }
    }
    let component = compile_anew(engine, bytes)?;
    if let Err(error) = store(&component, &path) {
        tracing::warn!(path = %path.display(), %error, "cannot keep a compiled component");
    }
    Ok(component)
}

fn compile_anew(engine: &Engine, bytes: &[u8]) -> Result<Component, SandboxError> {
    Component::from_binary(engine, bytes).map_err(|error| SandboxError::Component(error.into()))
}

/// Names the file by what was compiled and everything of the engine that the code depends on.
fn file_name(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", digest.hex(), hasher.finish())
}

/// Makes the folder where it is missing and refuses one that others can write to.
pub(crate) fn private(folder: &Path) -> Result<(), CacheError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = std::fs::symlink_metadata(folder)?;
    if !metadata.is_dir()
        || metadata.uid() != rustix::process::geteuid().as_raw()
        || metadata.mode() & 0o022 != 0
    {
        return Err(CacheError::NotPrivate);
    }
    Ok(())
}

fn load(engine: &Engine, path: &Path) -> Result<Option<Component>, CacheError> {
    let mut file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let metadata = file.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(CacheError::NotPrivate);
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut content)?;
    let (head, code) = content.split_first_chunk::<64>().ok_or(CacheError::Damaged)?;
    if Digest::of(code).hex().as_bytes() != head {
        return Err(CacheError::Damaged);
    }
    // SAFETY: `deserialize` demands bytes that `serialize` made. These were checked against the digest
    // written with them, and come from a file and a folder that only this user can write to, which is who
    // runs this process; the name binds them to the component and the engine's configuration.
    let component = unsafe { Component::deserialize(engine, code) }.map_err(CacheError::Code)?;
    Ok(Some(component))
}

fn store(component: &Component, path: &Path) -> Result<(), CacheError> {
    let code = component.serialize().map_err(CacheError::Code)?;
    let temporary = temporary(path);
    let result = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(Digest::of(&code).hex().as_bytes())?;
        file.write_all(&code)?;
        std::fs::rename(&temporary, path)?;
        Ok(())
    })();
    if result.is_err() {
        // Best effort: what remains is a file that nothing reads.
        let _ = std::fs::remove_file(&temporary);
    }
    result
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
        assert!(load(&engine(), &file).unwrap().is_some());
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
            std::fs::write(&file, damaged).unwrap();
            assert!(matches!(load(&engine(), &file), Err(CacheError::Damaged)));
            compile(&engine(), &bytes, &digest, Some(&folder)).unwrap();
            assert!(load(&engine(), &file).unwrap().is_some());
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
}
