//! What a pod is filled with: our program, the files that say who the job is, and the job's own files.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write as _};
use std::path::Path;

use super::archive::{Closed, add, add_content, add_empty};
use super::bridge::{HELD, READY};
use super::spec::{GIVEN, IDENTITY, SCRATCH, WORKSPACE};
use super::{PROGRAM, archive::Returned};
use crate::docker::program::{OURS, Program};
use crate::embedded::protocol::Request;

/// An archive in a file that has no name.
pub(super) struct Packed {
    pub(super) file: File,
    pub(super) size: u64,
}

/// Packs everything; the file lies in `folder` until it is closed.
pub(super) fn pack(folder: &Path, request: &Request, program: &Program, user: u32) -> io::Result<Packed> {
    let file = tempfile::tempfile_in(folder)?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
    // Each folder before what is in it.
    for (name, mode) in [
        (PROGRAM.to_owned(), 0o755),
        (format!("{PROGRAM}/lib"), 0o755),
        (IDENTITY.to_owned(), 0o755),
        (format!("{IDENTITY}/etc"), 0o755),
        (GIVEN.to_owned(), 0o755),
    ] {
        add_empty(&mut archive, &name, tar::EntryType::Directory, mode)?;
    }
    for mount in &program.mounts {
        let host = mount.host.canonicalize()?;
        let name = mount.container.strip_prefix(OURS).unwrap_or(&mount.container);
        add(&mut archive, &host, Path::new(&format!("{PROGRAM}{name}")), Closed::Refused)?;
    }
    for (path, content) in crate::root::identity(user) {
        add_content(&mut archive, &format!("{IDENTITY}{path}"), content.as_bytes())?;
    }
    add_empty(&mut archive, &format!("{PROGRAM}/{READY}"), tar::EntryType::Fifo, 0o600)?;
    add_empty(&mut archive, HELD, tar::EntryType::Fifo, 0o600)?;
    add(&mut archive, &request.workspace, Path::new(WORKSPACE), Closed::Refused)?;
    if let Some(scratch) = &request.scratch {
        add(&mut archive, scratch, Path::new(SCRATCH), Closed::Refused)?;
    }
    for (number, mount) in request.mounts.iter().enumerate() {
        add(&mut archive, &mount.host, Path::new(&format!("{GIVEN}/{number}")), Closed::Refused)?;
    }
    let mut buffered = archive.into_inner()?;
    buffered.flush()?;
    let mut file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    let size = file.stream_position()?;
    file.rewind()?;
    Ok(Packed { file, size })
}

/// Returns the folders that come back from a pod, and where they belong.
pub(super) fn returned(request: &Request) -> Vec<Returned> {
    let mut returned = vec![Returned { name: WORKSPACE.to_owned(), host: request.workspace.clone() }];
    if let Some(scratch) = &request.scratch {
        returned.push(Returned { name: SCRATCH.to_owned(), host: scratch.clone() });
    }
    for (number, mount) in request.mounts.iter().enumerate().filter(|(_, mount)| mount.writable) {
        returned.push(Returned { name: format!("{GIVEN}/{number}"), host: mount.host.clone() });
    }
    returned
}
