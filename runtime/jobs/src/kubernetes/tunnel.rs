//! A job's connections to its proxy, on their way out of the pod: each is a stream of one HTTP/2 connection (CONNECT, RFC
//! 9113, section 8.5), which goes over the input and output of an `exec` of its own.
//!
//! ```text
//! pod: command ── its loopback ── socket of the first process, accepted on by [`carry`] ══ exec ══ [`serve`] ── proxy
//! ```
//!
//! The pod decides nothing: what it sends is a job's bytes, and what it may reach is decided here.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::stream::{BoxStream, StreamExt as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::DumpableBehavior;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::net::Listener;

use super::FILES;
use super::bridge::{CARRIED, taken};
use crate::Proxy;
use crate::egress::EgressLimits;
use crate::embedded::listener::accepted_here;

/// Connections on their way at a time; more wait in the job's own network. How many of them are served at a time is the
/// proxy's to say.
const CONNECTIONS: usize = EgressLimits::DEFAULT.connections;
/// What a connection is asked for as: where it leads is said in it.
const PROXY: &str = "proxy:1";

/// Carries a job's connections to the engine: of the pod, over this process's input and output, until these end.
pub(super) fn carry() -> io::Result<()> {
    // The job runs as the same user.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let listener = taken(&UnixStream::connect(Path::new(FILES).join(CARRIED))?)?;
    // One thread: the job's user may have so many processes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        let output = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
        let listener = accepted_here(OwnedFd::from(listener))?;
        carry_over(tokio::io::join(input, output), listener).await
    })
}

async fn carry_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    listener: TcpListener,
) -> io::Result<()> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            let (job, _) = match listener.accept().await {
                // It was given up before anybody took it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                accepted => accepted?,
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                // The job sees its connection end; why, the other side knows.
                drop(one(sender, job).await);
                drop(slot);
            });
        }
    };
    tokio::select! {
        ended = connection => ended.map_err(io::Error::other),
        failed = accepting => failed,
    }
}

async fn one(mut sender: SendRequest<Empty<Bytes>>, mut job: TcpStream) -> io::Result<()> {
    let request =
        Request::builder().method(Method::CONNECT).uri(PROXY).body(Empty::new()).map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let engine = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
    copy_bidirectional(&mut job, &mut TokioIo::new(engine)).await.map(|_| ())
}

/// Lets the proxy serve what [`carry`] carries; ends with the stream. Dropped, it ends every connection.
///
/// # Errors
/// What broke the stream.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    proxy: &Proxy,
) -> Result<(), hyper::Error> {
    let (opened, connections) = mpsc::unbounded();
    let service = service_fn(move |request: Request<Incoming>| {
        let connect = request.method() == Method::CONNECT;
        // Once the proxy has had enough nobody takes them.
        let taken = connect && opened.unbounded_send(hyper::upgrade::on(request)).is_ok();
        let mut answer = Response::new(Empty::<Bytes>::new());
        if !taken {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        async move { Ok::<_, Infallible>(answer) }
    });
    let most = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        // One that has ended there may not be known to have ended here.
        .max_concurrent_streams(most.saturating_mul(2))
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => ended,
        never = proxy.accept(Streams::of(connections)) => match never {},
    }
}

/// Streams as a socket that listens would have them.
struct Streams(BoxStream<'static, TokioIo<Upgraded>>);

impl Streams {
    fn of(opened: mpsc::UnboundedReceiver<OnUpgrade>) -> Self {
        let streams =
            opened.buffer_unordered(CONNECTIONS).filter_map(async |upgraded| upgraded.ok().map(TokioIo::new));
        Self(Box::pin(streams))
    }
}

impl Listener for Streams {
    type Io = TokioIo<Upgraded>;
    type Addr = ();

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Io, Self::Addr)>> {
        match Pin::new(&mut self.0).poll_next_unpin(cx) {
            Poll::Ready(Some(stream)) => Poll::Ready(Ok((stream, ()))),
            // With the connection's end all ends, and not by this.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use gloaming_policies::{Denial, RuleRef};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::{Egress, Resolver};

    /// Sends back what it hears, to the end.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    fn proxy(port: u16, change: impl FnOnce(&mut Egress)) -> Proxy {
        let here =
            |_| -> crate::BoxFuture<'static, _> { Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) }) };
        let mut egress = Egress {
            private: vec![format!("forge.example:{port}")],
            resolver: Resolver::new(here),
            ..Egress::default()
        };
        change(&mut egress);
        let rule = |id: &str| RuleRef {
            id: id.to_owned(),
            file: "p.toml".to_owned(),
            line: 1,
            because: String::new(),
        };
        // Tunnels of anything, so that no TLS is looked for in them.
        let decide = move |scheme: &str, _: &str, _| match scheme {
            "tcp" => Ok(rule("tcp")),
            _ => Err(Denial { rule: rule("default-deny"), instead: None }),
        };
        Proxy::new(&egress, Arc::new(decide)).unwrap()
    }

    /// A socket in front of the proxy, with all that is between them; the handle's end is that of the stream.
    async fn tunnelled(
        proxy: &Proxy,
    ) -> (std::net::SocketAddr, tokio::task::JoinHandle<Result<(), hyper::Error>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pod, engine) = tokio::io::duplex(64 << 10);
        tokio::spawn(carry_over(pod, listener));
        let proxy = proxy.clone();
        (address, tokio::spawn(async move { serve(engine, &proxy).await }))
    }

    async fn opened(at: std::net::SocketAddr, port: u16) -> TcpStream {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(format!("CONNECT forge.example:{port} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        stream
    }

    #[tokio::test]
    async fn many_connections_carry_much_both_ways_and_end_where_they_are_ended() {
        let port = echo().await;
        let proxy = proxy(port, |egress| egress.limits.connections = 8);
        let (at, serving) = tunnelled(&proxy).await;
        // More than any window holds, on more connections than have a place.
        let all = (0..24_u8).map(|number| async move {
            let (mut from, mut to) = opened(at, port).await.into_split();
            let sent = vec![number; 3 << 20];
            let sending = async {
                to.write_all(&sent).await.unwrap();
                to.shutdown().await.unwrap();
            };
            let mut heard = Vec::new();
            let ((), length) = tokio::join!(sending, from.read_to_end(&mut heard));
            (length.unwrap(), heard == sent)
        });
        let all = futures::future::join_all(all).await;
        assert!(all.iter().all(|told| *told == (3 << 20, true)), "{all:?}");
        assert_eq!(proxy.log().attempts.len(), 24);
        serving.abort();
    }

    #[tokio::test]
    async fn connections_that_break_off_take_nothing_with_them() {
        let port = echo().await;
        let proxy = proxy(port, |_| {});
        let (at, serving) = tunnelled(&proxy).await;
        for begun in [&b""[..], b"CONNECT forge", b"\x16\x03\x01"] {
            for _ in 0..100 {
                let mut stream = TcpStream::connect(at).await.unwrap();
                stream.write_all(begun).await.unwrap();
                // Ends with a reset.
                stream.set_zero_linger().unwrap();
            }
        }
        let mut stream = opened(at, port).await;
        stream.write_all(b"still").await.unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still");
        // The other way: with the proxy's end every connection ends, and the pod's half with it.
        serving.abort();
        assert_eq!(stream.read(&mut heard).await.unwrap_or(0), 0);
        assert!(TcpStream::connect(at).await.is_err() || opened_is_closed(at).await);
    }

    async fn opened_is_closed(at: std::net::SocketAddr) -> bool {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.read(&mut [0]).await.unwrap_or(0) == 0
    }
}
