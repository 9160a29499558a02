//! For engines whose containers are made by somebody else: a process in the container's network that hands every
//! connection on to the proxy's Unix socket.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::Semaphore;

/// Connections at a time; the proxy has its own bound.
const CONNECTIONS: usize = 256;

/// Listens on `127.0.0.1:port` and hands each connection on to the Unix socket at `socket`. Decides nothing.
///
/// Blocks for as long as it works.
///
/// # Errors
/// What kept it from listening.
pub fn egress_forward_main(socket: &Path, port: u16) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        forward(listener, socket).await
    })
}

async fn forward(listener: TcpListener, socket: &Path) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (mut near, _) = listener.accept().await?;
        let socket = socket.to_owned();
        tokio::spawn(async move {
            // Without the proxy the connection ends, as it would without this.
            if let Ok(mut far) = UnixStream::connect(&socket).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
            drop(slot);
        });
    }
}
