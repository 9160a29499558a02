//! The file traits on `std::fs`, below the preopened folder `/workspace`: for the WASI builds.
//!
//! What `workspace` and `changes` promise and the standard library cannot: a write here is no temporary
//! file and rename (WASI knows no modes, so that would lose them) but happens in place; comparing before
//! writing leaves a moment between the two; and there is no commit of several changes.
#![expect(clippy::disallowed_methods, reason = "over WASI the standard library is what the host decides on")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::files::{Change, Content, Expected, Info, Kind, Range};
use crate::path::{normal, shown};
use crate::{Changes, Code, Failure, Files};

/// The largest file read whole, bytes; the host's cap for `workspace`.
const WHOLE: u64 = 8 << 20;

/// Files below `/workspace`.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

/// Returns where a path lies; refuses what the host would refuse behind `workspace`, in its words.
fn full(path: &str) -> Result<PathBuf, Failure> {
    let relative = normal(path);
    let problem = if path.contains('\0') {
        "the path holds a NUL byte".to_owned()
    } else if relative.starts_with('/') {
        format!("{path:?} is an absolute path")
    } else if relative.split('/').any(|name| name == "..") {
        format!("{path:?} has a `..` component")
    } else {
        return Ok(PathBuf::from("/workspace").join(relative));
    };
    Err(Failure::new(Code::InvalidInput, problem)
        .instead("Name files relative to the workspace's root, like src/lib.rs."))
}

fn failure(path: &str, error: &std::io::Error) -> Failure {
    let name = shown(path);
    match error.kind() {
        ErrorKind::NotFound => Failure::new(Code::NotFound, format!("{name} does not exist"))
            .instead("Find its path with `list`."),
        ErrorKind::PermissionDenied => {
            Failure::new(Code::Denied, format!("{name} is not permitted")).instead("Work without this file.")
        }
        ErrorKind::AlreadyExists => Failure::new(Code::Conflict, format!("{name} exists already"))
            .instead("Choose another path, or change the file that is there."),
        ErrorKind::IsADirectory => {
            Failure::new(Code::InvalidInput, format!("{name} is a folder")).instead("Name a file.")
        }
        ErrorKind::NotADirectory => Failure::new(Code::NotFound, format!("{name} lies in no folder"))
            .instead("Find its path with `list`."),
        // All that WASI lets a host say of a link, a pipe, or a file with a second name.
        ErrorKind::InvalidInput => {
            Failure::new(Code::InvalidInput, format!("{name} is no regular file with one link"))
                .instead("Such files are never opened; work without it.")
        }
        _ => Failure::new(Code::Internal, format!("{name}: {error}")),
    }
}

fn version(data: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

impl Files for Disk {
    fn stat(&self, path: &str) -> Result<Info, Failure> {
        let metadata = std::fs::symlink_metadata(full(path)?).map_err(|error| failure(path, &error))?;
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
        let mut file = std::fs::File::open(full(path)?).map_err(|error| failure(path, &error))?;
        let mut data = Vec::new();
        let size = match range {
            None => Read::by_ref(&mut file).take(WHOLE + 1).read_to_end(&mut data).map(|_| data.len() as u64),
            Some(range) => file.seek(SeekFrom::End(0)).and_then(|size| {
                file.seek(SeekFrom::Start(range.offset))?;
                file.take(range.length.min(WHOLE)).read_to_end(&mut data)?;
                Ok(size)
            }),
        };
        let size = size.map_err(|error| failure(path, &error))?;
        if range.is_none() && size > WHOLE {
            return Err(Failure::new(Code::TooLarge, format!("{} has more than {WHOLE} bytes", shown(path)))
                .instead("Read a part of it."));
        }
        let version = range.is_none().then(|| version(&data));
        Ok(Content { data, size, version })
    }
}

impl Changes for Disk {
    fn write(&self, path: &str, data: &[u8], expected: Expected) -> Result<(), Failure> {
        let full = full(path)?;
        let mut options = std::fs::OpenOptions::new();
        match expected {
            Expected::Absent => options.write(true).create_new(true),
            Expected::Any => options.write(true).create(true).truncate(true),
            Expected::Version(expected) => {
                if self.read(path, None)?.version != Some(expected) {
                    return Err(Failure::new(
                        Code::Conflict,
                        format!("{} changed since it was read", shown(path)),
                    )
                    .instead("Read it again and repeat the call with what it holds now."));
                }
                options.write(true).truncate(true)
            }
        };
        options
            .open(full)
            .and_then(|mut file| file.write_all(data).and_then(|()| file.flush()))
            .map_err(|error| failure(path, &error))
    }

    fn commit(&self, _: Vec<Change>) -> Result<(), Failure> {
        Err(Failure::new(Code::Internal, "several changes cannot be committed over WASI"))
    }
}
