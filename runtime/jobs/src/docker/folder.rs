//! What a container has on our side: a folder, a socket, pipes, and files that belong to its user.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::pipe::PipeFlags;
use tokio::net::UnixListener;
use tokio::net::unix::pipe;

use super::Docker;
use super::owner::Owner;
use super::server::{Brand, User};
use crate::embedded::protocol::Request;
use crate::embedded::{ownership, seccomp};

/// Gives a job's folders to its user.
pub(super) fn give(workspace: &Path, scratch: Option<&Path>, user: u32) -> io::Result<()> {
    ownership::give(workspace, user)?;
    match scratch {
        Some(scratch) if std::fs::symlink_metadata(scratch)?.uid() != user => ownership::give(scratch, user),
        _ => Ok(()),
    }
}

/// The pipes that the job prints to.
pub(super) struct Pipes {
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
    /// What is handed over: of standard output and of standard error.
    pub(super) ends: [OwnedFd; 2],
}

impl Pipes {
    /// Makes it.
    pub(super) fn make(user: User) -> io::Result<Self> {
        let pipe = || -> io::Result<(pipe::Receiver, OwnedFd)> {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&read, true)?;
            // So that the job can open `/dev/stdout` by name.
            if let User::Given(user) = user {
                rustix::fs::fchown(&write, Some(rustix::fs::Uid::from_raw(user)), None)?;
            }
            Ok((pipe::Receiver::from_owned_fd(read)?, write))
        };
        let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
        Ok(Self { stdout, stderr, ends: [out, err] })
    }
}

/// A container's folder: its socket and the small files that are mounted into it. Removed when dropped.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// What the daemon is to be told of the filter.
    pub(super) seccomp: String,
}

impl Folder {
    /// Makes it.
    pub(super) fn make(request: &Request, docker: &Docker) -> io::Result<Self> {
        let path = request.containers.join(&request.id);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let mut folder = Self { path, seccomp: seccomp::profile(seccomp::Mask::First).to_string() };
        let owner = Owner::this_process()?;
        std::fs::write(folder.path.join(super::OWNER_FILE), owner.label())?;
        std::fs::create_dir(folder.path.join("etc"))?;
        for (path, content) in crate::root::identity(docker.server.user.id()) {
            let path = folder.path.join(path.trim_start_matches('/'));
            std::fs::write(&path, content)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))?;
        }
        if docker.server.brand == Brand::Podman {
            let file = folder.path.join("seccomp.json");
            std::fs::write(&file, &folder.seccomp)?;
            folder.seccomp = file.display().to_string();
        }
        Ok(folder)
    }

    /// Listens at the folder's socket, through the folder's handle: a path may be longer than an address.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let handle = std::fs::File::open(&self.path)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&handle);
        let listener = UnixListener::bind(format!("/proc/self/fd/{number}/control"))?;
        // The folder lets nobody else through, and the job's user may be another on the host.
        std::fs::set_permissions(self.path.join("control"), std::fs::Permissions::from_mode(0o666))?;
        Ok(listener)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
