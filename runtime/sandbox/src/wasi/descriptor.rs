//! `wasi:filesystem` on the one way to a file.
//!
//! A descriptor is a path, and for a file what was opened there; every `..._at` call joins its descriptor's
//! path and its own to one path of the workspace, lexically, and that is decided and opened like any
//! other. So neither a link nor a folder renamed in between leads anywhere else. Links cannot be made, read
//! or followed, times not be set.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::tool::{ToolError, ToolErrorCode};
use gloaming_api::{Digest, PathError, RelPath};
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as host_types};
use wasmtime_wasi::p2::bindings::sync::filesystem::types;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::node::{How, Open, Shared, lock};
use super::stream::{Input, Output};
use crate::files::{Answer, Change, Entry, Expected, Info, Kind, Session};
use crate::host::State;

/// The one folder a guest finds open.
const WORKSPACE: &str = gloaming_api::path::WORKSPACE_MOUNT;

/// What the bindings call a descriptor. It only names a place in the table, where ours lie.
type Handle = Resource<types::Descriptor>;

pub(super) type Descriptors = Open;

pub(super) struct Files;

impl HasData for Files {
    type Data<'a> = View<'a>;
}

pub(super) struct View<'a> {
    session: &'a mut Session,
    table: &'a mut ResourceTable,
    open: &'a mut Open,
    began: Instant,
    host: &'a mut Duration,
}

impl Drop for View<'_> {
    /// A view is made for each call of the guest: its life is the host's time.
    fn drop(&mut self) {
        *self.host += self.began.elapsed();
    }
}

pub(super) fn view(state: &mut State) -> View<'_> {
    let wasi = state.wasi.get_or_insert_with(super::Wasi::new);
    View {
        session: &mut state.session,
        table: &mut state.table,
        open: &mut wasi.descriptors,
        began: Instant::now(),
        host: &mut state.host,
    }
}

/// A descriptor.
#[derive(Clone)]
enum Descriptor {
    File {
        node: Shared,
        reads: bool,
        writes: bool,
    },
    Folder(RelPath),
    /// `/`: lets absolute paths reach the host, which refuses them in the same words as everywhere.
    Outside,
}

/// A failure of a stream, from which its error code is found again.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
struct StreamFailure(ToolError);

impl View<'_> {
    fn get(&self, handle: &Handle) -> FsResult<Descriptor> {
        Ok(self.table.get(&Resource::<Descriptor>::new_borrow(handle.rep()))?.clone())
    }

    fn push(&mut self, descriptor: Descriptor) -> FsResult<Handle> {
        let place = self.table.push(descriptor).map_err(|_| FsError::from(host_types::ErrorCode::Quota))?;
        Ok(Resource::new_own(place.rep()))
    }

    /// The path that a descriptor and a path below it name.
    fn path(&mut self, handle: &Handle, below: &str) -> FsResult<RelPath> {
        let joined = match self.get(handle)? {
            Descriptor::File { .. } => return Err(host_types::ErrorCode::NotDirectory.into()),
            // As the guest spelled it, so that the refusal reads the same as of any tool.
            Descriptor::Folder(folder) if folder.is_root() && !below.starts_with('/') => {
                RelPath::parse(below)
            }
            Descriptor::Folder(folder) => folder.join(below),
            Descriptor::Outside => Err(PathError::Absolute(format!("/{}", below.trim_start_matches('/')))),
        };
        self.done(joined.map_err(|error| ToolError::new(ToolErrorCode::InvalidInput, error.to_string())))
    }

    /// Keeps a refusal's words for the call's answer and hands the guest its code.
    fn done<T>(&mut self, answer: Answer<T>) -> FsResult<T> {
        match answer {
            Ok(done) => {
                self.session.refused = None;
                Ok(done)
            }
            Err(error) => {
                let code = code(&error);
                self.session.refused = Some(error);
                Err(code.into())
            }
        }
    }

    fn file(&mut self, handle: &Handle) -> FsResult<(Shared, bool, bool)> {
        match self.get(handle)? {
            Descriptor::File { node, reads, writes } => Ok((node, reads, writes)),
            Descriptor::Folder(_) | Descriptor::Outside => Err(host_types::ErrorCode::IsDirectory.into()),
        }
    }

    fn readable(&mut self, handle: &Handle) -> FsResult<Shared> {
        match self.file(handle)? {
            (node, true, _) => Ok(node),
            _ => Err(host_types::ErrorCode::BadDescriptor.into()),
        }
    }

    fn writable(&mut self, handle: &Handle) -> FsResult<Shared> {
        match self.file(handle)? {
            (node, _, true) => Ok(node),
            _ => Err(host_types::ErrorCode::BadDescriptor.into()),
        }
    }

    fn info(&mut self, path: &RelPath, follow: bool) -> FsResult<Info> {
        let info = self.open.flush(self.session, path).and_then(|()| self.session.stat(path));
        let info = info.and_then(|info| match info.kind {
            // To follow it is to open it, and that says why not.
            Kind::Symlink if follow => self.session.open(path).map(|_| info),
            _ => Ok(info),
        });
        self.done(info)
    }

    fn output(&mut self, node: Shared, offset: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let sink = Box::new(move |offset: Option<u64>, bytes: &[u8]| {
            lock(&node).write_at(offset, bytes).map_err(|error| StreamFailure(error).into())
        });
        let stream: DynOutputStream = Box::new(Output { sink, offset });
        Ok(self.table.push(stream)?)
    }

    fn refuse<T>(&mut self, what: &str) -> FsResult<T> {
        let message = format!("{what}, which no tool may");
        self.done(Err(ToolError::new(ToolErrorCode::InvalidInput, message)))
            .map_err(|_| host_types::ErrorCode::NotPermitted.into())
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<host_types::Descriptor>, String)>> {
        let workspace = self.table.push(Descriptor::Folder(RelPath::root()))?;
        let outside = self.table.push(Descriptor::Outside)?;
        Ok(vec![
            (Resource::new_own(workspace.rep()), WORKSPACE.to_owned()),
            (Resource::new_own(outside.rep()), "/".to_owned()),
        ])
    }
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        Ok(error.downcast()?.into())
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        let error = self.table.get(&error)?;
        let Some(StreamFailure(error)) = error.downcast_ref() else { return Ok(None) };
        let error = error.clone();
        let found = code(&error);
        self.session.refused = Some(error);
        Ok(Some(found.into()))
    }
}

impl types::HostDescriptor for View<'_> {
    fn advise(&mut self, _: Handle, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        Ok(())
    }

    fn sync_data(&mut self, handle: Handle) -> FsResult<()> {
        self.sync(handle)
    }

    fn sync(&mut self, handle: Handle) -> FsResult<()> {
        let Descriptor::File { node, .. } = self.get(&handle)? else { return Ok(()) };
        let path = lock(&node).path.clone();
        let flushed = self.open.flush(self.session, &path);
        self.done(flushed)
    }

    fn get_flags(&mut self, handle: Handle) -> FsResult<types::DescriptorFlags> {
        let mut flags = types::DescriptorFlags::empty();
        match self.get(&handle)? {
            Descriptor::File { reads, writes, .. } => {
                if reads {
                    flags |= types::DescriptorFlags::READ;
                }
                if writes {
                    flags |= types::DescriptorFlags::WRITE;
                }
            }
            Descriptor::Folder(_) => {
                flags |= types::DescriptorFlags::READ | types::DescriptorFlags::MUTATE_DIRECTORY;
            }
            Descriptor::Outside => flags |= types::DescriptorFlags::READ,
        }
        Ok(flags)
    }

    fn get_type(&mut self, handle: Handle) -> FsResult<types::DescriptorType> {
        Ok(match self.get(&handle)? {
            Descriptor::File { .. } => types::DescriptorType::RegularFile,
            Descriptor::Folder(_) | Descriptor::Outside => types::DescriptorType::Directory,
        })
    }

    fn set_size(&mut self, handle: Handle, size: u64) -> FsResult<()> {
        let node = self.writable(&handle)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let resized = lock(&node).resize(size);
        self.done(resized)
    }

    fn set_times(&mut self, _: Handle, _: types::NewTimestamp, _: types::NewTimestamp) -> FsResult<()> {
        self.refuse("the tool sets a file's times")
    }

    fn read(&mut self, handle: Handle, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let node = self.readable(&handle)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = lock(&node).read_at(offset, length);
        let bytes = self.done(bytes)?;
        let end = bytes.is_empty() && length > 0;
        Ok((bytes.into(), end))
    }

    fn write(&mut self, handle: Handle, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        let node = self.writable(&handle)?;
        let written = lock(&node).write_at(Some(offset), &bytes);
        self.done(written)?;
        Ok(bytes.len() as u64)
    }

    fn read_directory(&mut self, handle: Handle) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let folder = match self.get(&handle)? {
            Descriptor::Folder(folder) => folder,
            Descriptor::File { .. } => return Err(host_types::ErrorCode::NotDirectory.into()),
            Descriptor::Outside => return self.refuse("the tool lists / outside the workspace"),
        };
        let entries = self.open.flush_below(self.session, &folder).and_then(|()| self.session.list(&folder));
        let entries: VecDeque<Entry> = self.done(entries)?.into();
        let place = self.table.push(entries).map_err(|_| FsError::from(host_types::ErrorCode::Quota))?;
        Ok(Resource::new_own(place.rep()))
    }

    fn create_directory_at(&mut self, handle: Handle, path: String) -> FsResult<()> {
        let path = self.path(&handle, &path)?;
        let made = self.session.make_folder(&path);
        self.done(made)
    }

    fn stat(&mut self, handle: Handle) -> FsResult<types::DescriptorStat> {
        Ok(match self.get(&handle)? {
            Descriptor::File { node, .. } => stat(types::DescriptorType::RegularFile, lock(&node).size()),
            Descriptor::Folder(_) | Descriptor::Outside => stat(types::DescriptorType::Directory, 0),
        })
    }

    fn stat_at(
        &mut self,
        handle: Handle,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        let path = self.path(&handle, &path)?;
        let info = self.info(&path, flags.contains(types::PathFlags::SYMLINK_FOLLOW))?;
        Ok(stat(kind(info.kind), info.size))
    }

    fn set_times_at(
        &mut self,
        _: Handle,
        _: types::PathFlags,
        _: String,
        _: types::NewTimestamp,
        _: types::NewTimestamp,
    ) -> FsResult<()> {
        self.refuse("the tool sets a file's times")
    }

    fn link_at(&mut self, _: Handle, _: types::PathFlags, _: String, _: Handle, _: String) -> FsResult<()> {
        self.refuse("the tool makes a hard link")
    }

    fn open_at(
        &mut self,
        handle: Handle,
        _: types::PathFlags,
        path: String,
        open: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Handle> {
        let path = self.path(&handle, &path)?;
        let has = |flag| open.contains(flag);
        let reads = flags.contains(types::DescriptorFlags::READ);
        let writes = flags.contains(types::DescriptorFlags::WRITE)
            || has(types::OpenFlags::CREATE)
            || has(types::OpenFlags::TRUNCATE);
        if has(types::OpenFlags::DIRECTORY) || (path.is_root() && !writes) {
            let info = self.info(&path, true)?;
            if info.kind != Kind::Directory {
                return Err(host_types::ErrorCode::NotDirectory.into());
            }
            return self.push(Descriptor::Folder(path));
        }
        let node = if writes {
            let how = How {
                create: has(types::OpenFlags::CREATE),
                exclusive: has(types::OpenFlags::EXCLUSIVE),
                truncate: has(types::OpenFlags::TRUNCATE),
                reads,
            };
            self.open.writer(self.session, &path, how)
        } else {
            let flushed = self.open.flush(self.session, &path);
            flushed.and_then(|()| self.open.reader(self.session, &path))
        };
        let node = self.done(node)?;
        self.push(Descriptor::File { node, reads, writes })
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        if let Descriptor::File { node, .. } =
            self.table.delete(Resource::<Descriptor>::new_own(handle.rep()))?
        {
            self.open.close(self.session, &node);
        }
        Ok(())
    }

    fn readlink_at(&mut self, _: Handle, _: String) -> FsResult<String> {
        self.refuse("the tool reads where a symbolic link leads")
    }

    fn remove_directory_at(&mut self, handle: Handle, path: String) -> FsResult<()> {
        let path = self.path(&handle, &path)?;
        let removed = self.session.remove_folder(&path);
        self.done(removed)
    }

    fn rename_at(&mut self, from: Handle, old: String, to: Handle, new: String) -> FsResult<()> {
        let (from, to) = (self.path(&from, &old)?, self.path(&to, &new)?);
        if from == to {
            return self.info(&from, false).map(|_| ());
        }
        let change =
            Change::Rename { from: from.clone(), to: to.clone(), expected: Expected::Any, replace: true };
        // Decided before anything is looked at, as every commit is.
        let changes = vec![change];
        let renamed = self
            .session
            .check_changes(&changes)
            .and_then(|()| self.open.flush(self.session, &from))
            .and_then(|()| self.open.flush(self.session, &to))
            .and_then(|()| self.session.folder_exists(&to))
            .and_then(|()| self.session.commit(changes));
        self.done(renamed)?;
        self.open.renamed(&from, &to);
        Ok(())
    }

    fn symlink_at(&mut self, _: Handle, _: String, _: String) -> FsResult<()> {
        self.refuse("the tool makes a symbolic link")
    }

    fn unlink_file_at(&mut self, handle: Handle, path: String) -> FsResult<()> {
        let path = self.path(&handle, &path)?;
        let removed = self.open.flush(self.session, &path).and_then(|()| {
            self.session.commit(vec![Change::Remove { path: path.clone(), expected: Expected::Any }])
        });
        self.done(removed)?;
        self.open.removed(&path);
        Ok(())
    }

    fn read_via_stream(&mut self, handle: Handle, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let node = self.readable(&handle)?;
        let source = Box::new(move |offset: u64, length: usize| {
            lock(&node).read_at(offset, length).map_err(|error| StreamFailure(error).into())
        });
        let stream: DynInputStream = Box::new(Input { source, offset });
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, handle: Handle, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let node = self.writable(&handle)?;
        self.output(node, Some(offset))
    }

    fn append_via_stream(&mut self, handle: Handle) -> FsResult<Resource<DynOutputStream>> {
        let node = self.writable(&handle)?;
        self.output(node, None)
    }

    fn is_same_object(&mut self, a: Handle, b: Handle) -> wasmtime::Result<bool> {
        let get = |handle: &Handle| -> wasmtime::Result<Descriptor> {
            Ok(self.table.get(&Resource::<Descriptor>::new_borrow(handle.rep()))?.clone())
        };
        Ok(match (get(&a)?, get(&b)?) {
            (Descriptor::File { node: a, .. }, Descriptor::File { node: b, .. }) => {
                Arc::ptr_eq(&a, &b) || lock(&a).path.clone() == lock(&b).path
            }
            (Descriptor::Folder(a), Descriptor::Folder(b)) => a == b,
            (Descriptor::Outside, Descriptor::Outside) => true,
            _ => false,
        })
    }

    fn metadata_hash(&mut self, handle: Handle) -> FsResult<types::MetadataHashValue> {
        Ok(match self.get(&handle)? {
            Descriptor::File { node, .. } => identity(&lock(&node).path),
            Descriptor::Folder(path) => identity(&path),
            Descriptor::Outside => types::MetadataHashValue { lower: 0, upper: 0 },
        })
    }

    fn metadata_hash_at(
        &mut self,
        handle: Handle,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        let path = self.path(&handle, &path)?;
        let follow = flags.contains(types::PathFlags::SYMLINK_FOLLOW);
        match self.open.flush(self.session, &path).and_then(|()| self.session.stat(&path)) {
            // A libc asks this of every name a folder lists; one failure and the folder cannot be listed. An
            // escaped name names nothing, and has its identity all the same.
            Err(error) if error.code == ToolErrorCode::NotFound => {}
            _ => drop(self.info(&path, follow)?),
        }
        Ok(identity(&path))
    }
}

impl types::HostDirectoryEntryStream for View<'_> {
    fn read_directory_entry(
        &mut self,
        stream: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        let entries = self.table.get_mut(&Resource::<VecDeque<Entry>>::new_borrow(stream.rep()))?;
        Ok(entries
            .pop_front()
            .map(|entry| types::DirectoryEntry { type_: kind(entry.info.kind), name: entry.name }))
    }

    fn drop(&mut self, stream: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<VecDeque<Entry>>::new_own(stream.rep()))?;
        Ok(())
    }
}

/// Names a file by its path: no file served has two.
fn identity(path: &RelPath) -> types::MetadataHashValue {
    let digest = Digest::of(path.as_str());
    let half = |range| u64::from_str_radix(&digest.hex()[range], 16).unwrap_or(0);
    types::MetadataHashValue { lower: half(0..16), upper: half(16..32) }
}

fn kind(kind: Kind) -> types::DescriptorType {
    match kind {
        Kind::File => types::DescriptorType::RegularFile,
        Kind::Directory => types::DescriptorType::Directory,
        Kind::Symlink => types::DescriptorType::SymbolicLink,
        Kind::Other => types::DescriptorType::Unknown,
    }
}

fn stat(type_: types::DescriptorType, size: u64) -> types::DescriptorStat {
    types::DescriptorStat {
        type_,
        link_count: 1,
        size,
        data_access_timestamp: None,
        data_modification_timestamp: None,
        status_change_timestamp: None,
    }
}

fn code(error: &ToolError) -> host_types::ErrorCode {
    match error.code {
        ToolErrorCode::Denied => host_types::ErrorCode::NotPermitted,
        ToolErrorCode::NotFound => host_types::ErrorCode::NoEntry,
        ToolErrorCode::InvalidInput => host_types::ErrorCode::Invalid,
        ToolErrorCode::Conflict => host_types::ErrorCode::Exist,
        ToolErrorCode::TooLarge => host_types::ErrorCode::FileTooLarge,
        ToolErrorCode::Timeout
        | ToolErrorCode::Cancelled
        | ToolErrorCode::Failed
        | ToolErrorCode::Internal => host_types::ErrorCode::Io,
    }
}
