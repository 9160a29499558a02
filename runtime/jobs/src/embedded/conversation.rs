//! The parent's side of the socket pair: lines of the helper, and the descriptor that may come with one.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::listener::receive;

/// The longest reply, in bytes.
const MAX_REPLY: usize = 1 << 20;

/// Reads lines from a helper.
pub(super) struct Conversation<'a> {
    socket: &'a UnixStream,
    held: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(socket: &'a UnixStream) -> Self {
        Self { socket, held: Vec::new(), descriptor: None }
    }

    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.socket.writable().await?;
            match self.socket.try_write(bytes) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that no more will be said.
    pub(super) fn end(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.socket.as_fd(), rustix::net::Shutdown::Write)?)
    }

    /// Returns the next line with its end, or what there is of it when the helper has gone; and a descriptor, where
    /// one came. Nothing is lost when it is given up half-way.
    pub(super) async fn line(&mut self) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(end + 1);
                return Ok((std::mem::replace(&mut self.held, rest), self.descriptor.take()));
            }
            if self.held.len() > MAX_REPLY {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its reply is too long"));
            }
            let socket = self.socket;
            let mut bytes = [0; 4 << 10];
            let (length, descriptor) =
                socket.async_io(Interest::READABLE, || receive(socket, &mut bytes)).await?;
            if descriptor.is_some() {
                self.descriptor = descriptor;
            }
            if length == 0 {
                return Ok((std::mem::take(&mut self.held), self.descriptor.take()));
            }
            self.held.extend(bytes.get(..length).unwrap_or_default());
        }
    }
}
