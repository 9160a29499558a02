//! The tree a workspace began from, out of git: what the sandbox, which knows no git, compares with.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gloaming_sandbox::{Base, BaseError, BaseFile};
use gloaming_workspace::{CommitId, EntryKind, RepoError, Repository};

/// The files of a commit. Nothing is opened before a tool asks.
#[derive(Debug)]
pub struct GitBase {
    source: Source,
    /// None where there is no such commit.
    opened: OnceLock<Option<Opened>>,
}

#[derive(Debug)]
enum Source {
    Commit(Box<Repository>, CommitId),
    Head { path: PathBuf, state_dir: PathBuf },
}

#[derive(Debug)]
struct Opened {
    repository: Repository,
    files: Vec<BaseFile>,
}

impl GitBase {
    /// Takes a commit of a repository.
    pub fn of(repository: Repository, commit: CommitId) -> Self {
        Self { source: Source::Commit(Box::new(repository), commit), opened: OnceLock::new() }
    }

    /// Takes the commit that HEAD names of the checkout whose top folder is `path`; where there is none, the
    /// base says so. `state_dir` is ours, see [`Repository::open`].
    pub fn head(path: &Path, state_dir: &Path) -> Self {
        let source = Source::Head { path: path.to_owned(), state_dir: state_dir.to_owned() };
        Self { source, opened: OnceLock::new() }
    }

    fn opened(&self) -> Result<&Opened, BaseError> {
        let opened = self.opened.get_or_init(|| {
            let opened = self.source.open();
            // Its words name folders of this machine, which are not a model's to know.
            opened.inspect_err(|error| tracing::info!(%error, "there is no base to compare with")).ok()
        });
        opened.as_ref().ok_or_else(|| {
            BaseError::None(match self.source {
                Source::Commit(..) => "the commit that this attempt began from cannot be read".to_owned(),
                Source::Head { .. } => {
                    "this folder is not the top of a git checkout with a commit".to_owned()
                }
            })
        })
    }
}

impl Source {
    fn open(&self) -> Result<Opened, RepoError> {
        let (repository, commit) = match self {
            Self::Commit(repository, commit) => (repository.as_ref().clone(), commit.clone()),
            Self::Head { path, state_dir } => {
                let repository = Repository::open(path, state_dir)?;
                let commit = repository.resolve(None)?;
                (repository, commit)
            }
        };
        let entries = repository.list_files(&commit)?.into_iter().filter_map(|entry| {
            let executable = entry.kind == EntryKind::Executable;
            let path = entry.path.filter(|_| executable || entry.kind == EntryKind::File)?;
            Some(BaseFile { path, size: entry.size, executable, id: entry.oid })
        });
        Ok(Opened { files: entries.collect(), repository })
    }
}

impl Base for GitBase {
    fn files(&self) -> Result<&[BaseFile], BaseError> {
        self.opened().map(|opened| opened.files.as_slice())
    }

    fn read(&self, file: &BaseFile) -> Result<Vec<u8>, BaseError> {
        let content = self.opened()?.repository.read_blob(&file.id);
        content.map_err(|error| BaseError::Unreadable(error.into()))
    }

    fn holds(&self, file: &BaseFile, content: &mut dyn Read) -> io::Result<bool> {
        let Ok(opened) = self.opened() else { return Ok(false) };
        Ok(opened.repository.blob_id(file.size, content)? == file.id)
    }
}
