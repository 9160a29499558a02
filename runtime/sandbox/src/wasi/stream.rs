//! Streams that never wait: bytes already there to read, and places to write to.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Standard error, kept up to a length; the rest is dropped without a word.
pub(super) struct Capture {
    pub(super) into: Arc<Mutex<Vec<u8>>>,
    pub(super) most: usize,
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, which is not served.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self { into: self.into.clone(), most: self.most })
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Capture {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut into = self.into.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.most.saturating_sub(into.len()).min(bytes.len());
        into.extend_from_slice(&bytes[..room]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

/// A place a stream reads from: what it answers to an offset and a length; empty at the end.
pub(super) type Source = Box<dyn FnMut(u64, usize) -> Result<Bytes, wasmtime::Error> + Send + Sync>;

/// A file being read from an offset on.
pub(super) struct Input {
    pub(super) source: Source,
    pub(super) offset: u64,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        let bytes = (self.source)(self.offset, size).map_err(StreamError::LastOperationFailed)?;
        if bytes.is_empty() {
            return Err(StreamError::Closed);
        }
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}

/// A place a stream writes to; none stands for the end of the file.
pub(super) type Sink = Box<dyn FnMut(Option<u64>, &[u8]) -> Result<(), wasmtime::Error> + Send + Sync>;

/// A file being written from an offset on, or at its end.
pub(super) struct Output {
    pub(super) sink: Sink,
    pub(super) offset: Option<u64>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        (self.sink)(self.offset, &bytes).map_err(StreamError::LastOperationFailed)?;
        if let Some(offset) = &mut self.offset {
            *offset += bytes.len() as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(1 << 20)
    }
}
