//! Finding a repository's parts and its few facts by reading files: git itself never opens it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::RepoError;
use crate::error::Missing;
use crate::files::{bytes_path, io_error, read_small};
use crate::git::Git;

/// Where a repository's parts are.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// The path the user gave.
    pub(crate) root: PathBuf,
    /// Holds HEAD and the index; of a linked work tree its own.
    pub(crate) git_dir: PathBuf,
    /// Holds objects, refs and the configuration; shared by linked work trees.
    pub(crate) common_dir: PathBuf,
    /// The files; none for a bare repository.
    pub(crate) work_tree: Option<PathBuf>,
}

/// What we need of a repository's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) format: ObjectFormat,
    pub(crate) refs: RefFormat,
    /// The value of `core.sharedRepository`, so that what we publish has the same permissions.
    pub(crate) shared: Option<String>,
    /// Why an object may be missing.
    pub(crate) missing: Missing,
}

/// The hash that names objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectFormat {
    Sha1,
    Sha256,
}

impl ObjectFormat {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    pub(crate) fn zero(self) -> String {
        "0".repeat(match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        })
    }
}

/// How branches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefFormat {
    Files,
    Reftable,
}

/// Finds the repository whose top folder, or which as a bare repository, `path` is.
pub(crate) fn locate(path: &Path) -> Result<Location, RepoError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(RepoError::NotAFolder(path.to_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(RepoError::PathMissing(path.to_owned()));
        }
        Err(source) => return Err(io_error("open", path, source)),
    }
    let root = std::fs::canonicalize(path).map_err(|source| io_error("open", path, source))?;
    // Distinguishes "may not look" from "is not there", which the checks below take for one.
    std::fs::read_dir(&root).map_err(|source| io_error("list", &root, source))?;
    let dot_git = root.join(".git");
    let (git_dir, work_tree) = if dot_git.is_dir() {
        (dot_git, Some(root.clone()))
    } else if let Some(pointer) = read_small(&dot_git, 64 * 1024)? {
        let target = pointer.strip_prefix(b"gitdir: ").ok_or_else(|| RepoError::Malformed {
            path: dot_git.clone(),
            why: "it does not begin with `gitdir: `".to_owned(),
        })?;
        (root.join(bytes_path(target.trim_ascii_end())), Some(root.clone()))
    } else if looks_like_git_dir(&root) {
        (root.clone(), None)
    } else {
        let inside = root.ancestors().skip(1).find(|above| above.join(".git").exists()).map(Path::to_owned);
        return Err(RepoError::NotGit { path: path.to_owned(), inside });
    };
    let common_dir = match read_small(&git_dir.join("commondir"), 64 * 1024)? {
        Some(pointer) => git_dir.join(bytes_path(pointer.trim_ascii_end())),
        None => git_dir.clone(),
    };
    for (what, there) in [
        ("HEAD", git_dir.join("HEAD").symlink_metadata().is_ok()),
        ("objects", common_dir.join("objects").is_dir()),
        ("refs", common_dir.join("refs").is_dir()),
    ] {
        if !there {
            return Err(RepoError::Malformed {
                path: path.to_owned(),
                why: format!("{} has no {what}", git_dir.display()),
            });
        }
    }
    let canonical =
        |dir: PathBuf| std::fs::canonicalize(&dir).map_err(|source| io_error("open", &dir, source));
    Ok(Location { root, git_dir: canonical(git_dir)?, common_dir: canonical(common_dir)?, work_tree })
}

fn looks_like_git_dir(dir: &Path) -> bool {
    dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir()
}

/// Reads the facts. The configuration is parsed by git from its bytes, without includes and outside of any
/// repository.
pub(crate) fn facts(location: &Location) -> Result<Facts, RepoError> {
    let file = location.common_dir.join("config");
    let settings = match read_small(&file, 1 << 20)? {
        Some(bytes) => parse_config(&file, bytes)?,
        None => BTreeMap::new(),
    };
    let get = |name: &str| settings.get(name).map(String::as_str);
    let unsupported =
        |what: String| RepoError::Unsupported { path: location.root.clone(), what: format!("the {what}") };
    match get("core.repositoryformatversion") {
        None | Some("0" | "1") => {}
        Some(other) => return Err(unsupported(format!("repository format version {other}"))),
    }
    for name in settings.keys().filter_map(|name| name.strip_prefix("extensions.")) {
        // Only extensions that change how objects and refs are stored concern us, and these we know.
        if !matches!(
            name,
            "objectformat"
                | "refstorage"
                | "worktreeconfig"
                | "partialclone"
                | "preciousobjects"
                | "noop"
                | "noop-v1"
                | "relativeworktrees"
        ) && get("core.repositoryformatversion") == Some("1")
        {
            return Err(unsupported(format!("extension {name}")));
        }
    }
    let format = match get("extensions.objectformat") {
        None | Some("sha1") => ObjectFormat::Sha1,
        Some("sha256") => ObjectFormat::Sha256,
        Some(other) => return Err(unsupported(format!("object format {other}"))),
    };
    let refs = match get("extensions.refstorage") {
        None | Some("files") => RefFormat::Files,
        Some("reftable") => RefFormat::Reftable,
        Some(other) => return Err(unsupported(format!("ref format {other}"))),
    };
    let partial = get("extensions.partialclone").is_some()
        || settings.iter().any(|(name, value)| {
            name.starts_with("remote.") && name.ends_with(".promisor") && value != "false"
        });
    let missing = match (is_shallow(location), partial) {
        (_, true) => Missing::Partial,
        (true, false) => Missing::Shallow,
        (false, false) => Missing::Damaged,
    };
    let shared = get("core.sharedrepository").map(str::to_owned);
    Ok(Facts { format, refs, shared, missing })
}

/// Whether the repository's history was cut off when it was cloned.
pub(crate) fn is_shallow(location: &Location) -> bool {
    matches!(read_small(&location.common_dir.join("shallow"), 1 << 20), Ok(Some(commits)) if !commits.is_empty())
}

fn parse_config(file: &Path, bytes: Vec<u8>) -> Result<BTreeMap<String, String>, RepoError> {
    let finished = Git::new("read the configuration", Path::new("/nonexistent"), "config")
        .args(["--file", "-", "--no-includes", "--null", "--list"])
        .stdin(bytes)
        .run()?;
    if !finished.success {
        let why = format!("its configuration is not valid: {}", finished.stderr.trim());
        return Err(RepoError::Malformed { path: file.to_owned(), why });
    }
    // Sections and names come in lower case, a name without a value alone.
    Ok(String::from_utf8_lossy(&finished.stdout)
        .split('\0')
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once('\n') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (entry.to_owned(), "true".to_owned()),
        })
        .collect())
}
