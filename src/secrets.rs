//! `gloaming secrets`: the operator's secrets for jobs, files under `$GLOAMING_HOME` that only their owner can read.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gloaming_jobs::{SecretString, Vault};
use serde_json::json;

use crate::cli::{SecretsArgs, SecretsCommand};
use crate::context::{self, Home};
use crate::failure::Failure;
use crate::told::print_json;

/// More than any value that can be held, so that a longer one is refused for what it is.
const CAP: u64 = 128 << 10;

pub(crate) fn main(args: SecretsArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    match args.command {
        SecretsCommand::Set { name, file } => set(&home, &name, &file)?,
        SecretsCommand::List { json } => list(&home, json)?,
        SecretsCommand::Remove { name } => remove(&home, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the secrets that are held.
///
/// # Errors
/// A file that others can read, or that holds what cannot be kept out of a job's output.
pub(crate) fn vault(home: &Home) -> anyhow::Result<Vault> {
    held(home, None)
}

/// The secrets that are held but for one, which is about to be replaced: what is wrong with it is no matter then.
fn held(home: &Home, but: Option<&str>) -> anyhow::Result<Vault> {
    let mut vault = Vault::default();
    for (name, path) in files(home)?.into_iter().filter(|(name, _)| Some(name.as_str()) != but) {
        let meta = path.symlink_metadata().map_err(|error| Failure::disk(&looking_at(&path), error))?;
        if !meta.is_file() || meta.mode() & 0o077 != 0 {
            return Err(Failure::usage(format!("the secret {} can be read by others", path.display()))
                .hint(format!("chmod 600 {}", path.display()))
                .into());
        }
        let value = SecretString::from(context::read_text(&path, "the secret", CAP)?);
        vault.add(&name, &value).map_err(|error| {
            Failure::usage(error.to_string())
                .hint("replace it with `gloaming secrets set`, or remove it with `gloaming secrets remove`")
        })?;
    }
    Ok(vault)
}

fn set(home: &Home, name: &str, file: &Path) -> anyhow::Result<()> {
    let value = context::read_text(file, "the secret", CAP)?;
    let mut vault = held(home, Some(name))?;
    vault.add(name, &SecretString::from(value.clone())).map_err(|error| Failure::usage(error.to_string()))?;
    let dir = dir(home);
    let path = dir.join(name);
    let failed = |error| Failure::disk(&format!("write the secret {}", path.display()), error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
    // Beside it and renamed, so that a job that starts now finds the old value or the new one.
    let new = dir.join(format!(".{name}.new"));
    let _ = std::fs::remove_file(&new);
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    std::io::Write::write_all(&mut out, value.as_bytes())
        .and_then(|()| out.sync_all())
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(failed)?;
    eprintln!("held as {name}; no job is handed it before a policy says so:");
    eprintln!("  [[allow]]\n  id = \"{}\"\n  jobs = [\"test\"]\n  secrets = [\"{name}\"]", id(name));
    Ok(())
}

fn id(name: &str) -> String {
    name.to_lowercase().replace('_', "-").trim_matches('-').to_owned()
}

fn list(home: &Home, json: bool) -> anyhow::Result<()> {
    let names: Vec<String> = files(home)?.into_iter().map(|(name, _)| name).collect();
    if json {
        print_json(&json!({ "secrets": names }));
    } else {
        for name in names {
            println!("{name}");
        }
    }
    Ok(())
}

fn remove(home: &Home, name: &str) -> anyhow::Result<()> {
    let Some((_, path)) = files(home)?.into_iter().find(|(held, _)| held == name) else {
        return Err(Failure::usage(format!("no secret {name:?} is held"))
            .hint("gloaming secrets list names those that are")
            .into());
    };
    std::fs::remove_file(&path)
        .map_err(|error| Failure::disk(&format!("remove {}", path.display()), error))?;
    Ok(())
}

fn dir(home: &Home) -> PathBuf {
    home.data.join("secrets")
}

fn looking_at(path: &Path) -> String {
    format!("look at {}", path.display())
}

/// The files by their names, in order; what begins with a dot is being written.
fn files(home: &Home) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let dir = dir(home);
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|error| Failure::disk(&looking_at(&dir), error))?,
    };
    let mut files: Vec<(String, PathBuf)> = entries
        .into_iter()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    files.sort();
    Ok(files)
}
