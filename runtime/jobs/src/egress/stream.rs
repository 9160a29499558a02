//! A connection that counts its bytes, keeps to the job's share of them, and ends when nothing moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::EgressLimits;
use super::log::Live;

/// What is left of the bytes that a job may send and receive.
#[derive(Debug)]
pub(super) struct Allowance {
    up: AtomicU64,
    down: AtomicU64,
}

impl Allowance {
    pub(super) fn new(limits: &EgressLimits) -> Self {
        Self { up: AtomicU64::new(limits.up), down: AtomicU64::new(limits.down) }
    }
}

fn take(from: &AtomicU64, used: usize) {
    let _ = from
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(used as u64)));
}

fn check(left: &AtomicU64, way: &str) -> io::Result<()> {
    if left.load(Ordering::Relaxed) > 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("the job has {way} as many bytes as it may")))
}

/// A connection on which something moves, or it ends.
pub(super) struct Watched<S> {
    inner: S,
    idle: Duration,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Only of a connection to a host.
    counted: Option<(Arc<Live>, Arc<Allowance>)>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, idle: Duration) -> Self {
        Self { inner, idle, moved: Instant::now(), alarm: Box::pin(sleep(idle)), counted: None }
    }

    /// Counts the bytes too.
    pub(super) fn counted(mut self, live: Arc<Live>, allowance: Arc<Allowance>) -> Self {
        self.counted = Some((live, allowance));
        self
    }

    /// Pending, until nothing has moved for too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            // Moving the alarm with every byte would cost more than looking once when it goes off.
            let due = self.moved + self.idle;
            if due <= Instant::now() {
                let why = format!("nothing was said for {} s", self.idle.as_secs_f32());
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            self.alarm.as_mut().reset(due);
        }
    }

    fn wrote(&mut self, length: usize) {
        self.moved = Instant::now();
        if let Some((live, allowance)) = &self.counted {
            live.up.fetch_add(length as u64, Ordering::Relaxed);
            take(&allowance.up, length);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((_, allowance)) = &self.counted {
            check(&allowance.down, "received")?;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                self.moved = Instant::now();
                let length = buffer.filled().len() - before;
                if let Some((live, allowance)) = &self.counted {
                    live.down.fetch_add(length as u64, Ordering::Relaxed);
                    take(&allowance.down, length);
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some((_, allowance)) = &self.counted {
            check(&allowance.up, "sent")?;
        }
        match Pin::new(&mut self.inner).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(Ok(length)) => {
                self.wrote(length);
                Poll::Ready(Ok(length))
            }
            error => error,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LIMITS: EgressLimits = EgressLimits { up: 5, down: 3, ..EgressLimits::DEFAULT };

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_ends() {
        let (mut near, far) = duplex(64);
        let mut far = Watched::new(far, Duration::from_secs(10));
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(6)).await;
            near.write_all(b"x").await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), b'x');
        }
        let error = far.read_u8().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::TimedOut, "nothing was said for 10 s")
        );
        // And one that does not take what is sent.
        let (_near, far) = duplex(4);
        let error = Watched::new(far, Duration::from_secs(10)).write_all(b"too much").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_job_gets_its_share_of_bytes_and_no_more() {
        let (live, allowance) = (Arc::new(Live::default()), Arc::new(Allowance::new(&LIMITS)));
        let counted =
            |far| Watched::new(far, Duration::from_secs(10)).counted(live.clone(), allowance.clone());
        let (mut near, far) = duplex(64);
        let mut far = counted(far);
        far.write_all(b"12345").await.unwrap();
        assert!(far.write_all(b"6").await.unwrap_err().to_string().contains("sent as many bytes"));
        near.write_all(b"123").await.unwrap();
        far.read_exact(&mut [0; 3]).await.unwrap();
        // All connections share.
        let (_near, far) = duplex(64);
        assert!(counted(far).read_u8().await.unwrap_err().to_string().contains("received as many bytes"));
        assert_eq!((live.up.load(Ordering::Relaxed), live.down.load(Ordering::Relaxed)), (5, 3));
    }
}
