//! The interfaces of `gloaming:tool` as a guest calls them: translation, nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::RelPath;
use gloaming_api::tool::{ToolError, ToolErrorCode};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, HasSelf, Linker, Lower, Resource, ResourceTable};

use crate::engine::Limits;
use crate::files::{self, Answer, Session};
use crate::wasi::Wasi;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package gloaming:host;
            world imports {
                import gloaming:tool/workspace@0.1.0;
                import gloaming:tool/changes@0.1.0;
                import gloaming:tool/base@0.1.0;
                import gloaming:tool/log@0.1.0;
            }
        ",
        with: { "gloaming:tool/workspace.walk": crate::files::Walk },
        imports: { default: trappable },
    });
}

use bindings::gloaming::tool::{base, changes, log, types, workspace};

/// How many log lines are kept, and how long one may be.
const LOG_LINES: usize = 200;
const LOG_LINE: usize = 4 << 10;
/// How many handles (walks, descriptors, streams) a guest may hold.
const HANDLES: usize = 256;

/// One call's state.
pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    /// Time spent in host functions.
    pub(crate) host: Duration,
    /// How often the clock found the guest running.
    pub(crate) ticks: u64,
    pub(crate) deadline: Instant,
    /// Made when the guest first asks for anything of WASI.
    pub(crate) wasi: Option<Wasi>,
}

impl State {
    pub(crate) fn new(session: Session, memory: u64, deadline: Instant) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            session,
            table,
            limits: Limits::new(memory),
            log: Log::default(),
            host: Duration::ZERO,
            ticks: 0,
            deadline,
            wasi: None,
        }
    }

    /// Does something for the guest and counts its time as the host's.
    pub(crate) fn timed<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let start = Instant::now();
        let done = work(self);
        self.host += start.elapsed();
        done
    }

    fn answer<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Answer<T>,
    ) -> wasmtime::Result<Result<T, types::Failure>> {
        let answer = self.timed(work);
        if let Err(error) = &answer {
            self.session.refused = Some(error.clone());
        }
        Ok(answer.map_err(failure))
    }
}

/// What a tool said to the operator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    lines: Vec<String>,
    dropped: usize,
}

impl Log {
    pub(crate) fn line(&mut self, text: &str) {
        if self.lines.len() == LOG_LINES {
            self.dropped += 1;
            return;
        }
        let end = (0..=LOG_LINE.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.lines.push(text[..end].to_owned());
    }

    pub(crate) fn into_lines(mut self) -> Vec<String> {
        if self.dropped > 0 {
            self.lines.push(format!("... and {} more lines", self.dropped));
        }
        self.lines
    }
}

/// A batch as it is lowered into a guest: its bytes stay the walk's, which uses their memory again.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Lent {
    visited: Vec<workspace::Visited>,
    bytes: Arc<Vec<u8>>,
}

/// Adds the interfaces to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    workspace::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    // In place of the generated one, whose batch owns its bytes: the same but for the memory it takes.
    linker.allow_shadowing(true);
    linker.instance("gloaming:tool/workspace@0.1.0")?.func_wrap(
        "[method]walk.next",
        |mut store: StoreContextMut<'_, State>, (walk,): (Resource<files::Walk>,)| {
            let batch = store.data_mut().timed(|state| -> wasmtime::Result<_> {
                let walk = state.table.get_mut(&walk)?;
                Ok(walk.next(&mut state.session).map(|batch| {
                    batch.map(|batch| Lent {
                        visited: translated(batch.visited),
                        bytes: walk.lend(batch.bytes),
                    })
                }))
            })?;
            Ok((batch.map_err(failure),))
        },
    )?;
    linker.allow_shadowing(false);
    changes::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    base::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    log::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl types::Host for State {}

impl workspace::Host for State {
    fn stat(&mut self, path: String) -> wasmtime::Result<Result<workspace::Info, types::Failure>> {
        self.answer(|state| {
            let path = state.session.path(&path)?;
            state.session.stat(&path).map(info)
        })
    }

    fn read(
        &mut self,
        path: String,
        range: Option<workspace::ByteRange>,
    ) -> wasmtime::Result<Result<workspace::Content, types::Failure>> {
        self.answer(|state| {
            let path = state.session.path(&path)?;
            let range = range.map(|part| files::Range { offset: part.offset, length: part.length });
            state.session.read(&path, range).map(content)
        })
    }

    fn list(&mut self, path: String) -> wasmtime::Result<Result<Vec<workspace::Entry>, types::Failure>> {
        self.answer(|state| {
            let path = state.session.path(&path)?;
            let entries = state.session.list(&path)?;
            let entry = |entry: files::Entry| workspace::Entry {
                name: entry.name,
                info: info(entry.info),
                escaped: entry.escaped,
            };
            Ok(entries.into_iter().map(entry).collect())
        })
    }
}

impl workspace::HostWalk for State {
    fn start(
        &mut self,
        root: String,
        options: workspace::WalkOptions,
    ) -> wasmtime::Result<Result<Resource<files::Walk>, types::Failure>> {
        self.answer(|state| {
            let root = state.session.path(&root)?;
            let options = files::WalkOptions {
                globs: options.globs,
                hidden: options.hidden,
                ignore_files: options.ignore_files,
                depth: options.depth,
                directories: options.directories,
                contents: options.contents,
                max_file_size: options.max_file_size,
            };
            let walk = files::Walk::start(&mut state.session, &root, options)?;
            state
                .table
                .push(walk)
                .map_err(|_| ToolError::new(ToolErrorCode::TooLarge, "too many walks at once"))
        })
    }

    fn next(
        &mut self,
        walk: Resource<files::Walk>,
    ) -> wasmtime::Result<Result<Option<workspace::Batch>, types::Failure>> {
        let batch = self.timed(|state| -> wasmtime::Result<_> {
            let walk = state.table.get_mut(&walk)?;
            Ok(walk.next(&mut state.session))
        })?;
        let handed =
            |batch: files::Batch| workspace::Batch { visited: translated(batch.visited), bytes: batch.bytes };
        Ok(batch.map(|batch| batch.map(handed)).map_err(failure))
    }

    fn drop(&mut self, walk: Resource<files::Walk>) -> wasmtime::Result<()> {
        self.timed(|state| state.table.delete(walk).map(drop))?;
        Ok(())
    }
}

impl base::Host for State {
    fn changed_paths(
        &mut self,
        below: String,
    ) -> wasmtime::Result<Result<Vec<base::Changed>, types::Failure>> {
        self.answer(|state| {
            let below = state.session.path(&below)?;
            let changed = state.session.changed(&below)?.into_iter().map(|changed| base::Changed {
                path: changed.path.as_str().to_owned(),
                before: changed.before.map(info),
                after: changed.after.map(info),
            });
            Ok(changed.collect())
        })
    }

    fn read(&mut self, path: String) -> wasmtime::Result<Result<workspace::Content, types::Failure>> {
        self.answer(|state| {
            let path = state.session.path(&path)?;
            state.session.read_base(&path).map(content)
        })
    }
}

impl changes::Host for State {
    fn write(
        &mut self,
        path: String,
        data: Vec<u8>,
        expected: changes::Expected,
    ) -> wasmtime::Result<Result<String, types::Failure>> {
        self.answer(|state| {
            let path = state.session.path(&path)?;
            state.session.write(path, data, expectation(expected)).map(|version| version.to_string())
        })
    }

    fn remove(
        &mut self,
        path: String,
        expected: changes::Expected,
    ) -> wasmtime::Result<Result<(), types::Failure>> {
        self.answer(|state| {
            let path = state.session.path(&path)?;
            state.session.commit(vec![files::Change::Remove { path, expected: expectation(expected) }])
        })
    }

    fn rename(
        &mut self,
        from: String,
        to: String,
        expected: changes::Expected,
    ) -> wasmtime::Result<Result<(), types::Failure>> {
        self.answer(|state| {
            let change = renaming(&state.session, &from, &to, expected)?;
            state.session.commit(vec![change])
        })
    }

    fn commit(&mut self, list: Vec<changes::Change>) -> wasmtime::Result<Result<(), types::Failure>> {
        self.answer(|state| {
            let session = &state.session;
            let changes = list.into_iter().map(|change| match change {
                changes::Change::Put(put) => Ok(files::Change::Put {
                    path: session.path(&put.path)?,
                    data: put.data,
                    expected: expectation(put.expected),
                    mode: None,
                    folders: true,
                }),
                changes::Change::Remove(removal) => Ok(files::Change::Remove {
                    path: session.path(&removal.path)?,
                    expected: expectation(removal.expected),
                }),
                changes::Change::Rename(change) => {
                    renaming(session, &change.from, &change.to, change.expected)
                }
            });
            let changes = changes.collect::<Answer<Vec<_>>>()?;
            state.session.commit(changes)
        })
    }
}

impl log::Host for State {
    fn log(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.line(&message);
        Ok(())
    }
}

fn renaming(session: &Session, from: &str, to: &str, expected: changes::Expected) -> Answer<files::Change> {
    let (from, to): (RelPath, RelPath) = (session.path(from)?, session.path(to)?);
    Ok(files::Change::Rename { from, to, expected: expectation(expected), replace: false })
}

fn expectation(expected: changes::Expected) -> files::Expected {
    match expected {
        changes::Expected::Absent => files::Expected::Absent,
        changes::Expected::Version(version) => files::Expected::Version(version),
        changes::Expected::Any => files::Expected::Any,
    }
}

fn content(content: files::Content) -> workspace::Content {
    let files::Content { data, size, version } = content;
    workspace::Content { data, size, version: version.map(|version| version.to_string()) }
}

fn info(info: files::Info) -> workspace::Info {
    let kind = match info.kind {
        files::Kind::File => workspace::Kind::File,
        files::Kind::Directory => workspace::Kind::Directory,
        files::Kind::Symlink => workspace::Kind::Symlink,
        files::Kind::Other => workspace::Kind::Other,
    };
    workspace::Info { kind, size: info.size, executable: info.executable }
}

fn translated(visited: Vec<files::Visited>) -> Vec<workspace::Visited> {
    let translate = |visited: files::Visited| workspace::Visited {
        path: visited.path.as_str().to_owned(),
        info: info(visited.info),
        at: visited.at.map(|part| workspace::ByteRange { offset: part.offset, length: part.length }),
        escaped: visited.escaped,
    };
    visited.into_iter().map(translate).collect()
}

fn failure(error: ToolError) -> types::Failure {
    let code = match error.code {
        ToolErrorCode::Denied => types::Code::Denied,
        ToolErrorCode::NotFound => types::Code::NotFound,
        ToolErrorCode::InvalidInput => types::Code::InvalidInput,
        ToolErrorCode::Conflict => types::Code::Conflict,
        ToolErrorCode::TooLarge => types::Code::TooLarge,
        // To the tool it is all one: it is to end now.
        ToolErrorCode::Timeout | ToolErrorCode::Cancelled => types::Code::Timeout,
        ToolErrorCode::Failed | ToolErrorCode::Internal => types::Code::Internal,
    };
    types::Failure { code, rule: error.rule, message: error.message, instead: error.instead }
}
