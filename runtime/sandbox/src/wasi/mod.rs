//! WASI 0.2 for tools built against a standard library.
//!
//! Files are served by the same [`Session`](crate::files::Session) as everything else ([`descriptor`]);
//! streams and polling are `wasmtime-wasi`'s. There is no environment, no argument, no network, and no
//! clock finer than a millisecond. What a tool writes to standard error goes to the operator's log.

mod clock;
mod descriptor;
mod node;
mod stream;

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sync};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::host::{Log, State};

use clock::Clocks;
use descriptor::{Descriptors, Files};

/// Bytes of standard error that are kept.
const STDERR: usize = 64 << 10;

/// What a call over WASI holds.
pub(crate) struct Wasi {
    context: WasiCtx,
    stderr: Arc<Mutex<Vec<u8>>>,
    descriptors: Descriptors,
}

impl Wasi {
    fn new() -> Self {
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let context =
            WasiCtx::builder().stderr(stream::Capture { into: stderr.clone(), most: STDERR }).build();
        Self { context, stderr, descriptors: Descriptors::default() }
    }

    /// Moves what was written to standard error to the log.
    fn drain(&self, log: &mut Log) {
        let written = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written).lines().for_each(|line| log.line(line));
    }
}

impl State {
    /// Ends a call over WASI. What the guest left open is written when it answered (`answered`), and a
    /// failure to write is the call's: nobody else is left to be told.
    pub(crate) fn settle_wasi(&mut self, answered: bool) -> crate::files::Answer<()> {
        let Some(mut wasi) = self.wasi.take() else { return Ok(()) };
        wasi.drain(&mut self.log);
        if answered {
            return wasi.descriptors.settle(&mut self.session);
        }
        wasi.descriptors.note_reads(&mut self.session);
        Ok(())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(Wasi::new);
        WasiCtxView { ctx: &mut wasi.context, table: &mut self.table }
    }
}

/// Adds WASI to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    random::random::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    clocks::wall_clock::add_to_linker::<State, Clocks>(linker, clock::view)?;
    clocks::monotonic_clock::add_to_linker::<State, Clocks>(linker, clock::view)?;
    add_io_to_linker(linker)?;
    filesystem::preopens::add_to_linker::<State, Files>(linker, descriptor::view)?;
    sync::filesystem::types::add_to_linker::<State, Files>(linker, descriptor::view)
}

fn add_io_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime::component::HasData;
    struct Table;
    impl HasData for Table {
        type Data<'a> = &'a mut wasmtime_wasi::ResourceTable;
    }
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<State, Table>(linker, |state| {
        &mut state.table
    })?;
    sync::io::poll::add_to_linker::<State, Table>(linker, |state| &mut state.table)?;
    sync::io::streams::add_to_linker::<State, Table>(linker, |state| &mut state.table)
}
