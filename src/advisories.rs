//! The operator's advisories: a folder of JSON files in the OSV format, as databases of them export it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gloaming_agent::playbook::Advisory;
use gloaming_worker::{Advisories, AdvisoryFile};

use crate::context::{self, Home};
use crate::failure::{Failure, in_one_line};

/// The folder's name in the data folder.
const FOLDER: &str = "advisories";
/// The largest file that is read, bytes.
const FILE_CAP: u64 = 4 << 20;
/// The most files that a folder may have; the largest database has some 300,000.
const MOST_FILES: usize = 1_000_000;
/// Folders within folders.
const DEEPEST: usize = 10;
/// The most files that are about one advisory.
const MOST_FOUND: usize = 16;

/// Opens the folder that was given, else the one in the data folder; none where neither is there.
///
/// # Errors
/// A given one that is no folder.
pub(crate) fn open(home: &Home, given: Option<&Path>) -> anyhow::Result<Option<Advisories>> {
    let folder = match given {
        Some(given) if given.is_dir() => given.to_owned(),
        Some(given) => {
            return Err(Failure::usage(format!("{} is no folder of advisories", given.display()))
                .hint("name a folder with JSON files in the OSV format with --advisories")
                .into());
        }
        None => home.data.join(FOLDER),
    };
    if !folder.is_dir() {
        return Ok(None);
    }
    Ok(Some(Arc::new(move |id| find(&folder, id).map_err(|error| in_one_line(&error)))))
}

/// Returns the files about an advisory, in the order of their names: the one that is called like it and those called like
/// its aliases; where no file is called like it, each that has its id.
fn find(folder: &Path, id: &str) -> anyhow::Result<Vec<AdvisoryFile>> {
    let mut files = Vec::new();
    list(folder, 0, &mut files)?;
    files.sort();
    let called = |id: &str| {
        let same = |file: &&PathBuf| file.file_stem().is_some_and(|stem| stem == id);
        files.iter().filter(same).collect::<Vec<_>>()
    };
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for file in called(id) {
        let (text, advisory) = read(file)?;
        for alias in advisory.aliases() {
            for other in called(alias).into_iter().filter(|other| *other != file) {
                found.push((other.clone(), read(other)?.0));
            }
        }
        found.push((file.clone(), text));
    }
    if found.is_empty() {
        for file in &files {
            if std::fs::metadata(file).is_ok_and(|file| file.len() > FILE_CAP) {
                tracing::warn!(file = %file.display(), "an advisory is larger than 4 MiB and is not looked into");
                continue;
            }
            let bytes = context::read_bytes(file, "the advisory", FILE_CAP)?;
            // Most files are about something else: these are not parsed, so that one of them may be broken.
            if String::from_utf8_lossy(&bytes).contains(id) {
                let (text, advisory) = read(file)?;
                if advisory.goes_by(id) {
                    found.push((file.clone(), text));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    anyhow::ensure!(
        found.len() <= MOST_FOUND,
        Failure::usage(format!(
            "{} files of {} are about {id}, more than {MOST_FOUND}",
            found.len(),
            folder.display()
        ))
    );
    let name = |file: &Path| file.strip_prefix(folder).unwrap_or(file).to_string_lossy().into_owned();
    Ok(found.into_iter().map(|(file, text)| AdvisoryFile { name: name(&file), text }).collect())
}

fn read(file: &Path) -> anyhow::Result<(String, Advisory)> {
    let text = context::read_text(file, "the advisory", FILE_CAP)?;
    let advisory = Advisory::parse(&text).map_err(|error| {
        Failure::usage(format!("{} is no advisory in the OSV format: {error}", file.display()))
    })?;
    Ok((text, advisory))
}

/// Lists the JSON files below a folder, without following a link.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let fault = |error| Failure::usage(format!("cannot read {}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(fault)?);
        if kind.is_dir() && depth < DEEPEST {
            list(&path, depth + 1, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            anyhow::ensure!(
                files.len() < MOST_FILES,
                Failure::usage(format!("{} has more than {MOST_FILES} files", folder.display()))
            );
            files.push(path);
        }
    }
    Ok(())
}
