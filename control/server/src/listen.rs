//! The listener: connections in, each bounded in time and size; in the end drained, then cut.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gloaming_api::problem::ProblemCode;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::app::{App, Phase};
use crate::guard::Guarded;
use crate::meters;
use crate::wire::{Due, Pulse, Wire, bare};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4); no method of HTTP/1 does.
const PREFACE: &[u8] = b"PRI";
/// The most that is read of what a client goes on sending after it was refused, bytes.
const LINGER: u64 = 32 << 20;

/// Listens until `shutdown`, and drains; on `beside` without TLS. Returns how many connections had to be cut.
pub(crate) async fn run(
    app: Arc<App>,
    listener: TcpListener,
    beside: Option<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> usize {
    let tracker = TaskTracker::new();
    let places = Arc::new(Semaphore::new(app.settings.caps.connections));
    let closed = Arc::new(Notify::new());
    let background = tokio::spawn(reconcile(Arc::clone(&app)));
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted.map(|one| (one, app.certificates.is_some())),
            accepted = accept(beside.as_ref()) => accepted.map(|one| (one, false)),
        };
        let ((stream, peer), secure) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                // Most likely no file descriptor is left: until a connection ends there will be none.
                let _ = tokio::time::timeout(Duration::from_millis(100), closed.notified()).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            meters::turned_away(ProblemCode::Overloaded.as_str());
            if !secure {
                // As much as fits at once: nothing is waited for, for a client that is too much already.
                let _ = stream.try_write(&bare(ProblemCode::Overloaded));
            }
            continue;
        };
        let (app, closed) = (Arc::clone(&app), Arc::clone(&closed));
        tracker.spawn(async move {
            connection(app, stream, peer.ip(), secure).await;
            drop(place);
            closed.notify_one();
        });
    }
    drop((listener, beside));
    app.phase.send_replace(Phase::Draining);
    meters::ready(false);
    tracker.close();
    let cut = match tokio::time::timeout(app.settings.timeouts.drain, tracker.wait()).await {
        Ok(()) => 0,
        Err(_) => tracker.len(),
    };
    app.phase.send_replace(Phase::Forced);
    tracker.wait().await;
    background.abort();
    tracing::info!(cut, "drained");
    cut
}

/// Takes a connection of a listener, where there is one.
async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn connection(app: Arc<App>, stream: TcpStream, peer: IpAddr, secure: bool) {
    // Small answers go out at once; where that cannot be had they are a little later.
    let _ = stream.set_nodelay(true);
    let Some(certificates) = app.certificates.as_ref().filter(|_| secure) else {
        return plain(&app, stream, peer).await;
    };
    let handshake = TlsAcceptor::from(certificates.config()).accept(stream);
    match tokio::time::timeout(app.settings.timeouts.handshake, handshake).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_http2(&app, stream, Bytes::new(), peer).await;
        }
        Ok(Ok(stream)) => serve_http1(&app, stream, Bytes::new(), Pulse::new(), peer).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "no TLS was agreed"),
        Err(_) => tracing::debug!(%peer, "no TLS was agreed in time"),
    }
}

/// Finds out which HTTP it is by the first bytes.
async fn plain(app: &Arc<App>, mut stream: TcpStream, peer: IpAddr) {
    let mut ahead = BytesMut::with_capacity(256);
    let pulse = Pulse::new();
    while ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        let timeouts = &app.settings.timeouts;
        let wait = if ahead.is_empty() { timeouts.idle } else { timeouts.head };
        let read = tokio::select! {
            read = tokio::time::timeout(wait, stream.read_buf(&mut ahead)) => read,
            () = app.reached(Phase::Draining) => return,
        };
        match read {
            Ok(Ok(count)) if count > 0 => {}
            Err(_) if !ahead.is_empty() => return late(stream, timeouts.write).await,
            _ => return,
        }
    }
    let ahead = ahead.freeze();
    match ahead.starts_with(PREFACE) {
        true => serve_http2(app, stream, ahead, peer).await,
        false => serve_http1(app, stream, ahead, pulse, peer).await,
    }
}

/// Says that a head came too late, to a client that may not listen.
async fn late(mut stream: impl AsyncRead + AsyncWrite + Unpin, within: Duration) {
    let answer = bare(ProblemCode::RequestTimeout);
    // Whoever was late may be gone.
    let _ = tokio::time::timeout(within, stream.write_all(&answer)).await;
    linger(stream, within).await;
}

async fn serve_http1<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    app: &Arc<App>,
    stream: T,
    ahead: Bytes,
    pulse: Arc<Pulse>,
    peer: IpAddr,
) {
    let caps = &app.settings.caps;
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(caps.head.max(8192));
    builder.max_headers(caps.headers).half_close(false).pipeline_flush(false);
    let io = TokioIo::new(Wire::new(stream, ahead, true, Arc::clone(&pulse)));
    let mut connection = builder.serve_connection(io, service(app, &pulse, peer));
    let (drain, forced) = (app.reached(Phase::Draining), app.reached(Phase::Forced));
    tokio::pin!(drain, forced);
    let mut draining = false;
    let due = loop {
        let (at, _) = pulse.next(&app.settings.timeouts);
        tokio::select! {
            biased;
            // An error is a client that went away or does not speak HTTP: it was told as far as it can be.
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break None,
            () = pulse.changed.notified() => {}
            () = &mut drain, if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = &mut forced => return,
            () = tokio::time::sleep_until(at) => {
                if let due @ Some(_) = pulse.due(&app.settings.timeouts) {
                    break due;
                }
            }
        }
    };
    if let Some(due) = due {
        meters::connection_ended(due.as_str());
    }
    let stream = connection.into_parts().io.into_inner();
    match due {
        Some(Due::Head) => late(stream.into_inner(), app.settings.timeouts.write).await,
        Some(Due::Stuck) => tracing::debug!(%peer, "a client took nothing"),
        Some(Due::Idle) | None => linger(stream, app.settings.timeouts.head).await,
    }
}

/// Closes a connection so that the last answer arrives: a close with bytes unread would take it back (RFC 9112, section 9.6).
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, within: Duration) {
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER), &mut tokio::io::sink()).await
    };
    // Whoever does not stop by then is cut.
    let _ = tokio::time::timeout(within, drained).await;
}

async fn serve_http2<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    app: &Arc<App>,
    stream: T,
    ahead: Bytes,
    peer: IpAddr,
) {
    let pulse = Pulse::new();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let timeouts = &app.settings.timeouts;
    builder.timer(TokioTimer::new());
    builder.max_header_list_size(u32::try_from(app.settings.caps.head).unwrap_or(u32::MAX));
    // Streams that are opened only to be reset cost us and not the client (CVE-2023-44487): a few may wait to be noticed.
    builder
        .max_concurrent_streams(100)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100);
    builder.max_send_buf_size(64 << 10).initial_stream_window_size(256 << 10);
    builder.initial_connection_window_size(1 << 20).max_frame_size(16 << 10);
    builder.keep_alive_interval(timeouts.idle).keep_alive_timeout(timeouts.head);
    let io = TokioIo::new(Wire::new(stream, ahead, false, Arc::clone(&pulse)));
    let connection = builder.serve_connection(io, service(app, &pulse, peer));
    let (drain, forced) = (app.reached(Phase::Draining), app.reached(Phase::Forced));
    tokio::pin!(connection, drain, forced);
    let mut ending = false;
    loop {
        let (at, _) = pulse.next(timeouts);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = pulse.changed.notified() => {}
            () = &mut drain, if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut forced => return,
            () = tokio::time::sleep_until(at) => match pulse.due(timeouts) {
                None => {}
                Some(Due::Idle) if !ending => {
                    connection.as_mut().graceful_shutdown();
                    // The client has as long as for a head to see that and go.
                    let _ = tokio::time::timeout(timeouts.head, connection.as_mut()).await;
                    return;
                }
                Some(due) => {
                    meters::connection_ended(due.as_str());
                    return;
                }
            },
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Guarded>, Infallible>> + Send>>;

fn service(
    app: &Arc<App>,
    pulse: &Arc<Pulse>,
    peer: IpAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = http::Response<Guarded>,
    Error = Infallible,
    Future = Answering,
> + use<> {
    let (app, pulse) = (Arc::clone(app), Arc::clone(pulse));
    service_fn(move |request| {
        let in_flight = pulse.begin();
        let app = Arc::clone(&app);
        let answering: Answering = Box::pin(async move {
            let mut response = app.handle(request, peer).await;
            let room = response.extensions_mut().remove();
            Ok(response.map(|body| Guarded::new(body, in_flight, room)))
        });
        answering
    })
}

/// Looks again and again at what changes by itself: leases that ran out, tasks whose time came, files of the operator's.
async fn reconcile(app: Arc<App>) {
    let mut tick = tokio::time::interval(app.settings.tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut count = 0_u64;
    while *app.phase.borrow() == Phase::Running {
        tick.tick().await;
        count += 1;
        let looked = app.ask(move |app, now| {
            app.policies.reload();
            if let Some(certificates) = &app.certificates {
                certificates.reload();
            }
            app.store.sweep(now)?;
            let load = app.store.load(now)?;
            meters::load(&load, now);
            app.recorder.run_upkeep();
            if count.is_multiple_of(60) {
                app.rates.forget();
            }
            Ok::<_, crate::answer::Fault>(load.ready)
        });
        match looked.await.and_then(|looked| looked) {
            // What waited for its time is due without anybody having rung.
            Ok(ready) => {
                meters::ready(true);
                if ready > 0 {
                    app.bells.ready();
                }
            }
            // It was logged where it arose.
            Err(_) => meters::ready(false),
        }
    }
}
