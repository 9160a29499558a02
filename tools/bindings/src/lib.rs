//! The host's interfaces as the tools import them, and [`Host`], which gives the tools' functions their
//! file traits on top of them.
//!
//! Nothing here decides anything: every call goes to the host, which decides each path anew. What a tool
//! does not call is left out of its component's imports.

#[expect(missing_docs, reason = "what is generated is documented in the WIT, but for the flattened variants")]
mod wit {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package gloaming:bindings;
            world imports {
                import gloaming:tool/workspace@0.1.0;
                import gloaming:tool/changes@0.1.0;
                import gloaming:tool/base@0.1.0;
                import gloaming:tool/log@0.1.0;
            }
        ",
        generate_all,
    });
}

use guest::files;
// Only its allocator is wanted.
use heap as _;
pub use wit::gloaming::tool::{base, changes, log, types, workspace};

/// The host's files.
#[derive(Debug, Clone, Copy)]
pub struct Host;

/// Prepares a call: sends a panic's message to the operator, since the trap that follows carries none.
pub fn begin() {
    std::panic::set_hook(Box::new(|info| log::log(&info.to_string())));
}

fn to_guest(failure: types::Failure) -> guest::Failure {
    let code = match failure.code {
        types::Code::Denied => guest::Code::Denied,
        types::Code::NotFound => guest::Code::NotFound,
        types::Code::InvalidInput => guest::Code::InvalidInput,
        types::Code::Conflict => guest::Code::Conflict,
        types::Code::TooLarge => guest::Code::TooLarge,
        types::Code::Timeout => guest::Code::Timeout,
        types::Code::Internal => guest::Code::Internal,
    };
    guest::Failure { code, rule: failure.rule, message: failure.message, instead: failure.instead }
}

impl From<guest::Failure> for types::Failure {
    fn from(failure: guest::Failure) -> Self {
        let code = match failure.code {
            guest::Code::Denied => types::Code::Denied,
            guest::Code::NotFound => types::Code::NotFound,
            guest::Code::InvalidInput => types::Code::InvalidInput,
            guest::Code::Conflict => types::Code::Conflict,
            guest::Code::TooLarge => types::Code::TooLarge,
            guest::Code::Timeout => types::Code::Timeout,
            guest::Code::Internal => types::Code::Internal,
        };
        Self { code, rule: failure.rule, message: failure.message, instead: failure.instead }
    }
}

fn info(info: workspace::Info) -> files::Info {
    let kind = match info.kind {
        workspace::Kind::File => files::Kind::File,
        workspace::Kind::Directory => files::Kind::Directory,
        workspace::Kind::Symlink => files::Kind::Symlink,
        workspace::Kind::Other => files::Kind::Other,
    };
    files::Info { kind, size: info.size, executable: info.executable }
}

fn expected(expected: files::Expected) -> changes::Expected {
    match expected {
        files::Expected::Absent => changes::Expected::Absent,
        files::Expected::Version(version) => changes::Expected::Version(version),
        files::Expected::Any => changes::Expected::Any,
    }
}

impl guest::Files for Host {
    fn stat(&self, path: &str) -> Result<files::Info, guest::Failure> {
        workspace::stat(path).map(info).map_err(to_guest)
    }

    fn read(&self, path: &str, range: Option<files::Range>) -> Result<files::Content, guest::Failure> {
        let range = range.map(|r| workspace::ByteRange { offset: r.offset, length: r.length });
        let content = workspace::read(path, range).map_err(to_guest)?;
        Ok(files::Content { data: content.data, size: content.size, version: content.version })
    }
}

impl guest::Walks for Host {
    fn walk(
        &self,
        root: &str,
        options: &files::WalkOptions,
        each: &mut dyn FnMut(files::Batch) -> Result<bool, guest::Failure>,
    ) -> Result<(), guest::Failure> {
        let walk = workspace::Walk::start(
            root,
            &workspace::WalkOptions {
                globs: options.globs.clone(),
                hidden: options.hidden,
                ignore_files: options.ignore_files,
                depth: options.depth,
                directories: options.directories,
                contents: options.contents,
                max_file_size: options.max_file_size,
            },
        )
        .map_err(to_guest)?;
        while let Some(batch) = walk.next().map_err(to_guest)? {
            let visited = batch.visited.into_iter().map(|visited| files::Visited {
                path: visited.path,
                info: info(visited.info),
                at: visited.at.map(|r| files::Range { offset: r.offset, length: r.length }),
                escaped: visited.escaped,
            });
            if !each(files::Batch { visited: visited.collect(), bytes: batch.bytes })? {
                break;
            }
        }
        Ok(())
    }
}

impl guest::Base for Host {
    fn changed(&self, below: &str) -> Result<Vec<files::Changed>, guest::Failure> {
        let changed = base::changed_paths(below).map_err(to_guest)?;
        let changed = changed.into_iter().map(|changed| files::Changed {
            path: changed.path,
            before: changed.before.map(info),
            after: changed.after.map(info),
        });
        Ok(changed.collect())
    }

    fn read_base(&self, path: &str) -> Result<files::Content, guest::Failure> {
        let content = base::read(path).map_err(to_guest)?;
        Ok(files::Content { data: content.data, size: content.size, version: content.version })
    }
}

impl guest::Changes for Host {
    fn write(&self, path: &str, data: &[u8], expect: files::Expected) -> Result<(), guest::Failure> {
        changes::write(path, data, &expected(expect)).map(drop).map_err(to_guest)
    }

    fn commit(&self, list: Vec<files::Change>) -> Result<(), guest::Failure> {
        let list: Vec<_> = list
            .into_iter()
            .map(|change| match change {
                files::Change::Put { path, data, expected: expect } => {
                    changes::Change::Put(changes::Put { path, data, expected: expected(expect) })
                }
                files::Change::Remove { path, expected: expect } => {
                    changes::Change::Remove(changes::Removal { path, expected: expected(expect) })
                }
                files::Change::Rename { from, to, expected: expect } => {
                    changes::Change::Rename(changes::Renaming { from, to, expected: expected(expect) })
                }
            })
            .collect();
        changes::commit(&list).map_err(to_guest)
    }
}
