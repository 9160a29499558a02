//! The key that evidence is sealed with: made on first use, kept beside its public half.
#![expect(
    clippy::disallowed_methods,
    reason = "the edge: the operator's keys are read and written here and nowhere else"
)]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use gloaming_gate::envelope::{self, SigningKey, VerifyingKey};

use crate::context::{self, Home};
use crate::failure::Failure;

/// Returns where the public key is.
pub(crate) fn public_path(home: &Home) -> PathBuf {
    home.data.join("keys").join("evidence.pub.pem")
}

/// Returns the key of this machine's operator, and makes it where there is none.
pub(crate) fn signing_key(home: &Home) -> anyhow::Result<SigningKey> {
    let dir = home.data.join("keys");
    let failed = |error| Failure::disk(&format!("make the folder {}", dir.display()), error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
    let path = dir.join("evidence.pem");
    if !path.try_exists().map_err(|error| Failure::disk(&format!("read {}", path.display()), error))? {
        make(&path)?;
    }
    let key = read_private(&path)?;
    // The public half is made of the private one, so that the two always belong together.
    let public = public_path(home);
    let pem = envelope::public_pem(&key.verifying_key())?;
    if std::fs::read_to_string(&public).is_ok_and(|there| there == pem) {
        return Ok(key);
    }
    let fresh = write_fresh(&public, &pem, 0o644)?;
    std::fs::rename(&fresh, &public)
        .map_err(|error| Failure::disk(&format!("write {}", public.display()), error))?;
    Ok(key)
}

/// Reads a public key from an operator's file.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<VerifyingKey> {
    let text = context::read_text(path, "the public key", context::FILE_CAP)?;
    envelope::parse_public(&text).map_err(|error| {
        Failure::usage(format!("{} cannot be used: {error}", path.display()))
            .hint("`openssl pkey -pubin -text -in FILE` tells what is in it; evidence.pub.pem is the file to pass on")
            .into()
    })
}

/// Returns the public key of this machine's operator; none where none was made yet.
pub(crate) fn own_public(home: &Home) -> anyhow::Result<Option<VerifyingKey>> {
    let path = public_path(home);
    if path.exists() { read_public(&path).map(Some) } else { Ok(None) }
}

fn read_private(path: &Path) -> anyhow::Result<SigningKey> {
    let failed = |error| Failure::disk(&format!("read {}", path.display()), error);
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    // What was opened, not what the name stands for by now.
    if found.permissions().mode() & 0o077 != 0 {
        return Err(Failure::usage(format!("others can read or write the key {}", path.display()))
            .hint(format!(
                "chmod 600 {}; if somebody may have read it, remove it: a new one is made",
                path.display()
            ))
            .into());
    }
    let mut text = String::new();
    file.take(context::FILE_CAP).read_to_string(&mut text).map_err(failed)?;
    envelope::parse_private(&text).map_err(|error| {
        Failure::usage(format!("{} cannot be used: {error}", path.display()))
            .hint("put it right, or move it away: a new one is made")
            .into()
    })
}

/// Makes a key. Where another process makes one at the same time, the first one counts.
fn make(path: &Path) -> anyhow::Result<()> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut seed))
        .map_err(|error| Failure::infrastructure("read random bytes for a key", error))?;
    let pem = envelope::private_pem(&SigningKey::from_bytes(&seed))?;
    seed.fill(0);
    let fresh = write_fresh(path, &pem, 0o600)?;
    // A link, unlike a renaming, does not replace what is there.
    let linked = std::fs::hard_link(&fresh, path);
    let _ = std::fs::remove_file(&fresh);
    match linked {
        Ok(()) => {
            crate::logs::say(&format!("note: made the key {} that evidence is sealed with", path.display()));
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Failure::disk(&format!("write {}", path.display()), error).into()),
    }
}

/// Writes a new file beside `path`, whole and on the disk, for it to take its place.
fn write_fresh(path: &Path, text: &str, mode: u32) -> anyhow::Result<PathBuf> {
    let fresh = path.with_extension(format!("{:016x}", context::seed()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&fresh)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::disk(&format!("write {}", fresh.display()), error))?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home_in(dir: &Path) -> Home {
        Home { data: dir.to_owned(), cache: dir.join("cache") }
    }

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = home_in(dir.path());
        assert!(own_public(&home).unwrap().is_none());
        let key = signing_key(&home).unwrap();
        assert_eq!(signing_key(&home).unwrap(), key);
        assert_eq!(own_public(&home).unwrap(), Some(key.verifying_key()));
        let mode = |name: &str| {
            std::fs::metadata(dir.path().join("keys").join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("evidence.pem"), mode("evidence.pub.pem")), (0o600, 0o644));
        assert_eq!(mode(""), 0o700);
        // Nothing else is left there.
        assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), 2);
        // Another home has another key.
        let other = tempfile::tempdir().unwrap();
        assert_ne!(signing_key(&home_in(other.path())).unwrap(), key);
    }

    #[test]
    fn processes_that_start_together_end_with_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = home_in(dir.path());
        let keys: Vec<SigningKey> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|_| scope.spawn(|| signing_key(&home).unwrap())).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_key_that_others_can_read_and_a_file_that_is_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = home_in(dir.path());
        signing_key(&home).unwrap();
        let path = dir.path().join("keys/evidence.pem");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(signing_key(&home).unwrap_err().to_string().contains("others can read"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "no key").unwrap();
        assert!(signing_key(&home).unwrap_err().to_string().contains("cannot be used"));
        // A public half that is not the private one's is put right.
        std::fs::remove_file(&path).unwrap();
        let key = signing_key(&home).unwrap();
        assert_eq!(own_public(&home).unwrap(), Some(key.verifying_key()));
    }
}
