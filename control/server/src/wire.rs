//! A connection's bytes, and what its pulse tells: whether a head is being sent, or nothing is, or nothing is taken.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use gloaming_api::problem::{MEDIA_TYPE, Problem, ProblemCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::settings::Timeouts;

/// The header that every answer of ours carries, and none that hyper makes by itself.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A head did not come in time.
    Head,
    /// Nothing was asked for long.
    Idle,
    /// The client takes nothing.
    Stuck,
}

impl Due {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Stuck => "stuck",
        }
    }
}

/// When what happened last on a connection. Times are milliseconds since it began, and one more, so that 0 is never.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    head: AtomicU64,
    quiet: AtomicU64,
    stuck: AtomicU64,
    in_flight: AtomicUsize,
    /// Since when the client takes nothing of an answer, by the answer's number: of those that have something for it.
    offered: Mutex<BTreeMap<u64, u64>>,
    answers: AtomicU64,
    /// Rung when a deadline may have come nearer.
    pub(crate) changed: Notify,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            head: AtomicU64::new(0),
            quiet: AtomicU64::new(1),
            stuck: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            offered: Mutex::default(),
            answers: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn mark(&self, what: &AtomicU64) {
        if what.load(Ordering::Relaxed) == 0 {
            what.store(self.now(), Ordering::Relaxed);
            self.changed.notify_one();
        }
    }

    /// Notes that a whole head has come; until what is returned is dropped the connection is not idle.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.head.store(0, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { pulse: Arc::clone(self), number: self.answers.fetch_add(1, Ordering::Relaxed) }
    }

    fn offered(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the connection must be looked at again, and why, unless something changes before.
    pub(crate) fn next(&self, timeouts: &Timeouts) -> (Instant, Due) {
        let at = |since: u64, wait: Duration| self.began + Duration::from_millis(since) + wait;
        let of = |what: &AtomicU64| Some(what.load(Ordering::Relaxed)).filter(|since| *since > 0);
        // In HTTP/2 a client that takes nothing of an answer may well take what keeps the connection alive.
        let stuck = of(&self.stuck).into_iter().chain(self.offered().values().copied()).min();
        let stuck = stuck.map(|since| (at(since, timeouts.write), Due::Stuck));
        let waits = self.in_flight.load(Ordering::Relaxed) == 0;
        let other = waits.then(|| match of(&self.head) {
            Some(since) => (at(since, timeouts.head), Due::Head),
            None => (at(self.quiet.load(Ordering::Relaxed), timeouts.idle), Due::Idle),
        });
        // With a request at work there is nothing to wait for but its answer: look again when something changes.
        let far = (Instant::now() + Duration::from_secs(3600), Due::Idle);
        [stuck, other].into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or(far)
    }

    /// Returns why the connection is to end now, where it is.
    pub(crate) fn due(&self, timeouts: &Timeouts) -> Option<Due> {
        let (at, due) = self.next(timeouts);
        (at <= Instant::now()).then_some(due)
    }
}

/// A request that is worked on, or whose answer is being written.
#[derive(Debug)]
pub(crate) struct InFlight {
    pulse: Arc<Pulse>,
    number: u64,
}

impl InFlight {
    /// Notes that there is something of the answer for the client to take, and that it took what there was before.
    pub(crate) fn offers(&self) {
        let before = self.pulse.offered().insert(self.number, self.pulse.now());
        // Later than it was: whoever waits looks at it again then.
        if before.is_none() {
            self.pulse.changed.notify_one();
        }
    }

    /// Notes that the client took all that there is so far.
    pub(crate) fn has_nothing(&self) {
        self.pulse.offered().remove(&self.number);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.has_nothing();
        self.pulse.quiet.store(self.pulse.now(), Ordering::Relaxed);
        self.pulse.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.pulse.changed.notify_one();
    }
}

/// A connection's bytes under its pulse.
pub(crate) struct Wire<T> {
    inner: T,
    /// Read already, and to be read again.
    ahead: Bytes,
    /// To be written before anything else: stands for an answer of hyper's own.
    instead: Bytes,
    /// Whether bytes that are read while nothing is worked on begin a head: so it is in HTTP/1.
    heads: bool,
    pulse: Arc<Pulse>,
}

impl<T> Wire<T> {
    pub(crate) fn new(inner: T, ahead: Bytes, heads: bool, pulse: Arc<Pulse>) -> Self {
        Self { inner, ahead, instead: Bytes::new(), heads, pulse }
    }

    pub(crate) fn into_inner(self) -> T {
        self.inner
    }

    fn noticed(&self, read: usize) {
        if self.heads && read > 0 && self.pulse.in_flight.load(Ordering::Relaxed) == 0 {
            self.pulse.mark(&self.pulse.head);
        }
    }

    fn waited<R>(&self, result: Poll<R>) -> Poll<R> {
        match result {
            Poll::Pending => self.pulse.mark(&self.pulse.stuck),
            Poll::Ready(_) => self.pulse.stuck.store(0, Ordering::Relaxed),
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = Pin::new(&mut self.inner).poll_write(cx, &self.instead);
            let written = ready!(self.waited(written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(count));
            self.noticed(count);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.noticed(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let Some(answer) = in_place_of(bytes) {
            self.instead = answer;
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.waited(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.waited(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Hyper answers a head that it cannot take by itself, with a bare status: returns ours for it, with a problem and an id.
fn in_place_of(bytes: &[u8]) -> Option<Bytes> {
    let status = bytes.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
    let head = &bytes[..bytes.windows(4).position(|four| four == b"\r\n\r\n")?];
    let ours = head.windows(REQUEST_ID.len()).any(|part| part.eq_ignore_ascii_case(REQUEST_ID.as_bytes()));
    if ours {
        return None;
    }
    Some(bare(match status {
        b"31" | b"14" => ProblemCode::HeadersTooLarge,
        _ => ProblemCode::BadRequest,
    }))
}

/// Returns a whole HTTP/1.1 answer, for where there is no request to answer.
pub(crate) fn bare(code: ProblemCode) -> Bytes {
    let detail = match code {
        ProblemCode::HeadersTooLarge => "the request line and headers are larger than this server takes",
        ProblemCode::RequestTimeout => "the request line and headers did not come in time; send them at once",
        ProblemCode::Overloaded => "too many connections are open; try again later",
        _ => "the request line or a header is not HTTP/1.1",
    };
    let mut problem = Problem::new(code, detail);
    let id = uuid::Uuid::now_v7().simple().to_string();
    problem.request_id = Some(id.clone());
    let body = serde_json::to_string(&problem).expect("a problem is JSON");
    let status = http::StatusCode::from_u16(code.status()).expect("a problem's status is one");
    let retry = if code == ProblemCode::Overloaded { "retry-after: 1\r\n" } else { "" };
    tracing::info!(request = id, status = status.as_u16(), "refused before it was a request");
    Bytes::from(format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n{REQUEST_ID}: {id}\r\n{retry}connection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    ))
}
