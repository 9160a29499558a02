//! What can go wrong with a repository, each with what a person can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A repository could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// There is nothing at the path.
    #[error("there is no folder {}", .0.display())]
    PathMissing(PathBuf),
    /// The path is a file.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The folder is not a repository's top folder.
    #[error("{} is not a git repository", path.display())]
    NotGit {
        /// The folder.
        path: PathBuf,
        /// The repository it lies inside of, where there is one.
        inside: Option<PathBuf>,
    },
    /// The repository's files are not as git writes them.
    #[error("{} is not a readable git repository: {why}", path.display())]
    Malformed {
        /// The repository.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The repository needs something of git that we do not support.
    #[error("{} uses {what}, which is not supported", path.display())]
    Unsupported {
        /// The repository.
        path: PathBuf,
        /// The extension or feature.
        what: String,
    },
    /// The repository has no commit yet.
    #[error("{} has no commits yet", .0.display())]
    NoCommits(PathBuf),
    /// HEAD names a branch that has no commit while others have.
    #[error("HEAD of {} is the branch {branch:?}, which has no commits", path.display())]
    UnbornHead {
        /// The repository.
        path: PathBuf,
        /// The branch.
        branch: String,
    },
    /// A revision names nothing.
    #[error("there is no revision {rev:?} in {}", path.display())]
    UnknownRevision {
        /// The repository.
        path: PathBuf,
        /// The revision as it was asked for.
        rev: String,
    },
    /// A revision names something that is not a commit.
    #[error("the revision {rev:?} is not a commit")]
    NotACommit {
        /// The revision as it was asked for.
        rev: String,
    },
    /// An object that is needed is not in the repository.
    #[error("the object {oid} is missing from {}", path.display())]
    MissingObject {
        /// The repository.
        path: PathBuf,
        /// The object.
        oid: String,
        /// Why it may be missing.
        because: Missing,
    },
    /// The system did not let us read or write.
    #[error("no permission to {operation} {}", path.display())]
    Permission {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("the disk is full: cannot {operation} {}", path.display())]
    DiskFull {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// Another error of the system.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A folder that has to be empty is not.
    #[error("the folder {} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// git is not installed.
    #[error("cannot start git")]
    GitMissing(#[source] io::Error),
    /// git is too old.
    #[error("git {found} is too old, at least {} is needed", crate::git::OLDEST)]
    GitTooOld {
        /// The version that was found.
        found: String,
    },
    /// git failed in a way that is not told apart.
    #[error("git could not {operation}: {stderr}")]
    Git {
        /// What was tried.
        operation: &'static str,
        /// What git said, shortened, without credentials.
        stderr: String,
    },
    /// git took too long and was stopped.
    #[error("git did not {operation} within {} seconds", after.as_secs())]
    TimedOut {
        /// What was tried.
        operation: &'static str,
        /// The limit.
        after: Duration,
    },
    /// Somebody asked for git to be stopped.
    #[error("git was stopped before it could {operation}")]
    Interrupted {
        /// What was tried.
        operation: &'static str,
    },
    /// Nobody this machine trusts vouches for a server.
    #[error("the certificate of {server} is not trusted here: {said}")]
    Untrusted {
        /// Scheme and host.
        server: String,
        /// What git said, shortened, without credentials.
        said: String,
    },
    /// A URL is not one we clone from.
    #[error("cannot clone {url}: {why}")]
    BadUrl {
        /// The URL without credentials.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// A tree holds a path that must not be written to a disk.
    #[error("the tree holds the path {path:?}, which is refused: {why}")]
    HostileTree {
        /// The path, escaped.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A path of a workspace cannot be part of a patch.
    #[error("{path:?} cannot be part of a patch: {why}")]
    Unfreezable {
        /// The path, escaped.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// A workspace differs from its base by more than is ever a reviewable change.
    #[error("the workspace differs from its base by more than {limit}")]
    TooMuch {
        /// The limit, in words.
        limit: &'static str,
    },
    /// A checkout of a bare tree was asked for its patch.
    #[error("the checkout {} was made of a tree and has no base commit", .0.display())]
    NoBase(PathBuf),
    /// A branch name is not one git accepts.
    #[error("{0:?} is not a valid branch name")]
    BadBranch(String),
    /// The branch exists already.
    #[error("the branch {0:?} exists already")]
    BranchExists(String),
    /// Author or message of a commit are not what git accepts.
    #[error("cannot write a commit: {0}")]
    BadCommit(&'static str),
}

/// Why an object may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The repository has a shallow history.
    Shallow,
    /// The repository is a partial clone.
    Partial,
    /// Neither: it is damaged.
    Damaged,
}

impl RepoError {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::PathMissing(_) | Self::NotAFolder(_) => "give the folder of a git repository".to_owned(),
            Self::NotGit { inside: Some(top), .. } => {
                format!("it lies inside the repository {}; give that folder", top.display())
            }
            Self::NotGit { inside: None, .. } => {
                "give a folder that holds .git, or a bare repository; `git init` makes one".to_owned()
            }
            Self::Malformed { .. } => "run `git fsck` in it".to_owned(),
            Self::Unsupported { .. } => "clone it into a repository without that extension".to_owned(),
            Self::NoCommits(_) => "commit something first; a patch needs a base".to_owned(),
            Self::UnbornHead { .. } => "name the base: --base BRANCH".to_owned(),
            Self::UnknownRevision { .. } => {
                "name a branch, tag or commit of the repository (suffixes ~n and ^n only); `git fetch` \
                 brings in what only the remote has"
                    .to_owned()
            }
            Self::NotACommit { .. } => "name a branch, a tag of a commit, or a commit".to_owned(),
            Self::MissingObject { because, .. } => match because {
                Missing::Shallow => "the clone is shallow: `git fetch --unshallow` brings in the rest",
                Missing::Partial => {
                    "the clone is partial and nothing is fetched on the fly: `git fetch --refetch \
                     --no-filter` brings in the rest"
                }
                Missing::Damaged => "the repository is damaged: `git fsck` tells how",
            }
            .to_owned(),
            Self::Permission { .. } => "run as a user who may, or change the folder's permissions".to_owned(),
            Self::DiskFull { .. } => "free some space and run it again".to_owned(),
            Self::GitMissing(_) => "install git and have it on PATH".to_owned(),
            Self::GitTooOld { .. } => "install a newer git".to_owned(),
            Self::TimedOut { .. } => "see whether the disk or the server answers".to_owned(),
            Self::Untrusted { server, .. } => format!(
                "if {server} is yours, name the file of the authority that signed its certificate: \
                 GIT_SSL_CAINFO=/path/ca.pem, or `git config --global http.sslCAInfo /path/ca.pem`; checking \
                 is never switched off"
            ),
            Self::BadUrl { .. } => "give an https, http, ssh, git or file URL".to_owned(),
            Self::NotEmpty(_) => "give a folder that is empty or does not exist".to_owned(),
            Self::BranchExists(_) => "delete or rename that branch, or choose another".to_owned(),
            _ => return None,
        })
    }
}

/// A patch could not be applied to its base.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no diff in the bytes.
    #[error("there is no diff in the patch")]
    Empty,
    /// The patch is larger than is ever a reviewable change.
    #[error("the patch has more than {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// A file or hunk does not fit the base, or the diff is malformed.
    #[error("the patch does not apply: {detail}")]
    DoesNotApply {
        /// The first file that failed, as the patch names it, where it is known.
        file: Option<String>,
        /// The line of that file (or, for a malformed diff, of the patch), where it is known.
        line: Option<u32>,
        /// What git said, first line.
        detail: String,
    },
    /// A path leaves the repository or reaches into git's own files.
    #[error("the patch names the path {path:?}, which is refused: {why}")]
    BadPath {
        /// The path, escaped.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The patch changes a submodule's commit.
    #[error("the patch changes the submodule {path:?}, which is not supported")]
    Submodule {
        /// The path, escaped.
        path: String,
    },
    /// The repository itself failed.
    #[error("the base could not be read")]
    Repository(#[from] RepoError),
}
