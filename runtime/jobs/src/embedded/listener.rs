//! The socket that a job's proxy listens at, on its way from the container's network to whoever serves it. It stays
//! of the network that it was made in, wherever it is accepted on; the container's own processes never hold it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Listens on the loopback of the network that this process is in.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Gives a socket away, with a word that says so.
pub(crate) fn hand_over(over: impl AsFd, listener: &TcpListener, word: &[u8]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let sent = rustix::net::sendmsg(over, &[IoSlice::new(word)], &mut control, SendFlags::NOSIGNAL)?;
    // A few bytes into an empty socket buffer: whole or not at all.
    if sent == word.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads what is there; returns how many bytes, and a descriptor where one came with them.
pub(crate) fn receive(from: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        rustix::net::recvmsg(from, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let (mut descriptor, mut more) = (None, false);
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for one in descriptors {
                // The space for one is padded, and holds some more.
                more |= descriptor.replace(one).is_some();
            }
        }
    }
    if more || received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it handed over too much"));
    }
    Ok((received.bytes, descriptor))
}

/// Makes of a descriptor that came a listener to serve.
pub(crate) fn accepted_here(descriptor: OwnedFd) -> io::Result<tokio::net::TcpListener> {
    let listener = TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_socket_comes_with_its_word_and_nothing_else_is_read() {
        let (mut theirs, mut ours) = UnixStream::pair().unwrap();
        let listener = listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        theirs.write_all(b"before").unwrap();
        hand_over(&theirs, &listener, b"l").unwrap();
        drop(listener);
        theirs.write_all(b"after").unwrap();
        let mut before = [0; 6];
        ours.read_exact(&mut before).unwrap();
        let mut byte = [0];
        let (length, descriptor) = receive(&ours, &mut byte).unwrap();
        assert_eq!((length, byte), (1, *b"l"));
        let listener = TcpListener::from(descriptor.unwrap());
        let near = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().unwrap().1, near.local_addr().unwrap());
        drop(theirs);
        let mut after = String::new();
        ours.read_to_string(&mut after).unwrap();
        assert_eq!(after, "after");
        // The other end is gone.
        assert!(matches!(receive(&ours, &mut byte), Ok((0, None))));
    }

    #[test]
    fn more_than_one_descriptor_is_not_taken() {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [theirs.as_fd(), theirs.as_fd(), theirs.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        rustix::net::sendmsg(&theirs, &[IoSlice::new(b"l")], &mut control, SendFlags::empty()).unwrap();
        assert!(receive(&ours, &mut [0]).unwrap_err().to_string().contains("too much"));
    }
}
