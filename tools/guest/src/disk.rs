//! The file traits on `std::fs`, below the preopened folder `/workspace`: for the WASI builds.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::files::{Change, Content, Expected, Info, Kind, Range};
use crate::{Changes, Code, Failure, Files};

/// The largest file read whole, bytes; the host's cap for `workspace`.
const WHOLE: u64 = 8 << 20;

/// Files below `/workspace`.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

fn full(path: &str) -> PathBuf {
    PathBuf::from("/workspace").join(crate::path::normal(path))
}

fn failure(path: &str, error: std::io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::PermissionDenied => Code::Denied,
        ErrorKind::AlreadyExists => Code::Conflict,
        ErrorKind::InvalidInput | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Code::InvalidInput,
        _ => Code::Internal,
    };
    Failure::new(code, format!("{path}: {error}"))
}

impl Files for Disk {
    fn stat(&self, path: &str) -> Result<Info, Failure> {
        let metadata = std::fs::symlink_metadata(full(path)).map_err(|error| failure(path, error))?;
        let kind = if metadata.is_file() {
            Kind::File
        } else if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            Kind::Symlink
        } else {
            Kind::Other
        };
        let size = if kind == Kind::File { metadata.len() } else { 0 };
        Ok(Info { kind, size, executable: false })
    }

    fn read(&self, path: &str, range: Option<Range>) -> Result<Content, Failure> {
        let size = self.stat(path)?.size;
        if range.is_none() && size > WHOLE {
            return Err(Failure::new(Code::TooLarge, format!("{path} has {size} bytes")));
        }
        let mut file = std::fs::File::open(full(path)).map_err(|error| failure(path, error))?;
        let range = range.unwrap_or(Range { offset: 0, length: WHOLE });
        let mut data = Vec::new();
        file.seek(SeekFrom::Start(range.offset))
            .and_then(|_| file.take(range.length.min(WHOLE)).read_to_end(&mut data))
            .map_err(|error| failure(path, error))?;
        Ok(Content { data, size, version: None })
    }
}

impl Changes for Disk {
    fn write(&self, path: &str, data: &[u8], _expected: Expected) -> Result<(), Failure> {
        std::fs::write(full(path), data).map_err(|error| failure(path, error))
    }

    fn commit(&self, _changes: Vec<Change>) -> Result<(), Failure> {
        Err(Failure::new(Code::Internal, "no commit over WASI"))
    }
}
