//! What lies in a cache of dependencies: the folders by part, those that were made in the tree, and a page about them.
//!
//! ```text
//! about.json        what was run, which parts there are, where the folders of the tree belong; no job could write it
//! parts/<name>/     mounted at the part's own place
//! tree/<number>/    mounted in the tree
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the folders of a set-up; of what the job wrote no link is followed"
)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gloaming_api::RelPath;
use gloaming_api::job::JobRecord;
use gloaming_jobs::Mount;
use serde::{Deserialize, Serialize};

use super::plan::Part;

const ABOUT: &str = "about.json";

/// The most bytes of the page that are read: its records hold the ends of what was printed.
const ABOUT_CAP: u64 = 8 << 20;

/// The most folders of a tree that are kept; a job is given a mount for each.
const MOST_FOLDERS: usize = 128;

/// The depth to which they are looked for.
const DEEPEST: usize = 16;

/// The folders in `node_modules` that tools write to while they only use what is in it: bundlers, test runners and
/// compilers keep results there. Each job has its own, empty.
const WRITTEN: &[&str] = &[".cache", ".vite", ".vite-temp"];

/// What is known of a filled cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Names of the parts that hold anything.
    pub(crate) parts: Vec<String>,
    /// Folders of the tree, in the order of their numbers.
    pub(crate) tree: Vec<Folder>,
    /// The jobs that filled it.
    pub(crate) records: Vec<JobRecord>,
}

/// A folder that the package manager made in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Folder {
    pub(crate) path: RelPath,
    /// What in it each job has for itself.
    pub(crate) written: Vec<String>,
}

pub(crate) fn part(cache: &Path, part: &Part) -> PathBuf {
    cache.join("parts").join(part.name)
}

pub(crate) fn in_tree(cache: &Path, number: usize) -> PathBuf {
    cache.join("tree").join(number.to_string())
}

/// Makes the folders that the job is to fill; returns them as it is to see them.
pub(crate) fn begin(cache: &Path, parts: &[Part]) -> io::Result<Vec<Mount>> {
    fs::create_dir(cache.join("tree"))?;
    fs::create_dir(cache.join("parts"))?;
    let mut mounts = Vec::new();
    for one in parts {
        let host = part(cache, one);
        open_folder(&host)?;
        mounts.push(Mount { host, container: one.mount.to_owned(), writable: true });
    }
    Ok(mounts)
}

/// Makes a folder that the container's user may write to, whoever that is.
pub(crate) fn open_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// Takes what the manager made in the tree, beside the folders that were there before, into the cache, and writes down
/// what there is.
///
/// # Errors
/// Also where there is more than is kept.
pub(crate) fn finish(
    cache: &Path,
    parts: &[Part],
    tree: Option<(&Path, &[RelPath])>,
    records: Vec<JobRecord>,
) -> io::Result<About> {
    let mut kept = Vec::new();
    for one in parts {
        let folder = part(cache, one);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        // One that nothing was fetched into would hide what the environment has of its own.
        if holds_anything(&folder)? {
            kept.push(one.name.to_owned());
        }
    }
    let mut folders = Vec::new();
    if let Some((tree, before)) = tree {
        let made: Vec<RelPath> =
            managers_folders(tree)?.into_iter().filter(|folder| !before.contains(folder)).collect();
        if made.len() > MOST_FOLDERS {
            let why = format!("{} folders were made in the tree, and {MOST_FOLDERS} can be kept", made.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        for path in made {
            let target = in_tree(cache, folders.len());
            take(&tree.join(path.as_str()), &target)?;
            let mut written = Vec::new();
            if path.name() == Some("node_modules") {
                for name in WRITTEN {
                    if free_for_jobs(&target.join(name))? {
                        written.push((*name).to_owned());
                    }
                }
            }
            folders.push(Folder { path, written });
        }
    }
    let about = About { parts: kept, tree: folders, records };
    let text = serde_json::to_vec(&about).map_err(io::Error::other)?;
    fs::write(cache.join(ABOUT), text)?;
    Ok(about)
}

/// Reads what is known of a filled cache, and when it was filled.
pub(crate) fn read(cache: &Path) -> io::Result<(About, SystemTime)> {
    let file = File::open(cache.join(ABOUT))?;
    let at = file.metadata()?.modified()?;
    let text = io::BufReader::new(io::Read::take(file, ABOUT_CAP));
    Ok((serde_json::from_reader(text).map_err(io::Error::other)?, at))
}

/// Makes the place in a tree where a folder is mounted; false where the tree has something of its own in the way.
pub(crate) fn make_place(tree: &Path, path: &RelPath) -> io::Result<bool> {
    let mut place = tree.to_owned();
    for name in path.names() {
        place.push(name);
        match fs::symlink_metadata(&place) {
            Ok(there) if there.is_dir() => {}
            // A link would lead the mount to somewhere else.
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&place)?,
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Whether there is a regular file in a folder, however deep.
fn holds_anything(folder: &Path) -> io::Result<bool> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // cargo marks its folders so, also where it fetches nothing.
            if !kind.is_dir() && entry.file_name() != "CACHEDIR.TAG" {
                return Ok(true);
            }
            if kind.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(false)
}

/// Returns the folders of a tree that are a package manager's to make: `node_modules`, and what Python's older tools say
/// of an editable package. None lies in another.
pub(crate) fn managers_folders(tree: &Path) -> io::Result<Vec<RelPath>> {
    let mut found = Vec::new();
    let mut open = vec![(RelPath::root(), 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in fs::read_dir(tree.join(folder.as_str()))? {
            let entry = entry?;
            let name = entry.file_name();
            let (Some(name), true) = (name.to_str(), entry.file_type()?.is_dir()) else { continue };
            let Ok(path) = folder.join(name) else { continue };
            if name == "node_modules" || name.ends_with(".egg-info") {
                found.push(path);
            } else if name != ".git" && depth < DEEPEST {
                open.push((path, depth + 1));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Moves a folder, to another disk where it must.
fn take(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            gloaming_workspace::copy_tree(from, to)
        }
        moved => moved,
    }
}

/// Makes a mount point for what jobs write; false where something lies there already.
fn free_for_jobs(place: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Ok(there) => Ok(there.is_dir() && fs::read_dir(place)?.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(place).map(|()| true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    #[test]
    fn what_the_manager_made_is_taken_and_what_is_the_repositorys_own_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, cache) = (dir.path().join("tree"), dir.path().join("cache"));
        for folder in ["node_modules/a/node_modules/b", "sub/node_modules", "own/node_modules", "x.egg-info"]
        {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        fs::create_dir_all(tree.join("node_modules/.cache")).unwrap();
        fs::write(tree.join("node_modules/.cache/by-install"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", tree.join("sub/node_modules/.vite")).unwrap();
        std::os::unix::fs::symlink("/etc", tree.join("linked")).unwrap();
        fs::create_dir(&cache).unwrap();
        begin(&cache, &[]).unwrap();
        let before = [path("own/node_modules")];
        let about = finish(&cache, &[], Some((&tree, &before)), Vec::new()).unwrap();
        let show = |folder: &Folder| format!("{}: {}", folder.path, folder.written.join(" "));
        assert_eq!(
            about.tree.iter().map(show).collect::<Vec<_>>(),
            ["node_modules: .vite .vite-temp", "sub/node_modules: .cache .vite-temp", "x.egg-info: "]
        );
        assert!(in_tree(&cache, 0).join("a/node_modules/b").is_dir());
        assert!(tree.join("own/node_modules").is_dir() && !tree.join("node_modules").exists());
        assert_eq!(read(&cache).unwrap().0, about);
    }

    #[test]
    fn nothing_is_mounted_where_a_link_of_the_tree_leads() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
        fs::create_dir(&tree).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("sub")).unwrap();
        assert!(!make_place(&tree, &path("sub/node_modules")).unwrap());
        assert!(!make_place(&tree, &path("sub")).unwrap());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert!(make_place(&tree, &path("a/node_modules")).unwrap() && tree.join("a/node_modules").is_dir());
    }
}
