//! One request in the clear, made anew for the host: with one framing and without what is between two hops only.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

use super::EgressLimits;
use super::log::Attempt;
use super::target::Target;

/// What is between two hops only (RFC 9110 7.6.1), besides what `Connection` names.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An answer's body, with the connection that it comes from.
pub(super) struct Held {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
    attempt: Arc<Attempt>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &frame {
            self.attempt.fail(chain(error));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Sends a request over a connection to its host and returns the answer.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn forward(
    request: Request<Incoming>,
    target: &Target,
    host: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    attempt: Attempt,
    limits: &EgressLimits,
) -> Result<Response<Held>, String> {
    let attempt = Arc::new(attempt);
    let failed = |error: hyper::Error| {
        let why = chain(&error);
        attempt.fail(&*why);
        why
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .handshake(TokioIo::new(host))
        .await
        .map_err(failed)?;
    let connection = tokio::spawn({
        let attempt = attempt.clone();
        async move {
            if let Err(error) = connection.await {
                attempt.fail(chain(&error));
            }
        }
    });
    let connection = AbortOnDropHandle::new(connection);
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>().map_err(|error| error.to_string())?;
    parts.version = Version::HTTP_11;
    strip(&mut parts.headers);
    let authority = match target.port {
        80 => target.host.clone(),
        port => format!("{}:{port}", target.host),
    };
    let authority = HeaderValue::try_from(authority).map_err(|error| error.to_string())?;
    parts.headers.insert(header::HOST, authority);
    let answer = sender.send_request(Request::from_parts(parts, body)).await.map_err(failed)?;
    let (mut parts, body) = answer.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let why = "it wants to speak another protocol".to_owned();
        attempt.fail(&*why);
        return Err(why);
    }
    strip(&mut parts.headers);
    Ok(Response::from_parts(parts, Held { body, _connection: connection, attempt: attempt.clone() }))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
}

/// An error with what caused it.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
