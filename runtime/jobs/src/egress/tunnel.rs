//! A CONNECT tunnel: what its first words are decides whether any go on.

use std::io;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::time::timeout;

use super::hello::{Inspector, Next};
use super::log::Attempt;

/// A fatal TLS alert, `access_denied` (RFC 8446 6): a client then says so instead of waiting.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
/// How much is read at a time while it is looked at.
const CHUNK: usize = 16 << 10;

/// A tunnel that was let be opened.
pub(super) struct Tunnel<H> {
    pub(super) upgrade: OnUpgrade,
    pub(super) host: H,
    pub(super) attempt: Attempt,
    /// None where anything may be said.
    pub(super) inspector: Option<Inspector>,
    /// How long the first words may take.
    pub(super) patience: Duration,
}

/// Why a tunnel ended.
enum End {
    Refused(String),
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl<H: AsyncRead + AsyncWrite> Tunnel<H> {
    /// Carries bytes until both sides are done.
    pub(super) async fn run(self) {
        let Self { upgrade, host, mut attempt, mut inspector, patience } = self;
        let client = match upgrade.await {
            Ok(client) => TokioIo::new(client),
            Err(error) => return attempt.fail(format!("the job gave the tunnel up: {error}")),
        };
        let ((mut from_client, mut to_client), (mut from_host, mut to_host)) = (split(client), split(host));
        let carried = async {
            let mut held = Vec::new();
            if let Some(inspector) = &mut inspector {
                // Nothing of the host is shown before it is known to be asked in the right way.
                let greeting =
                    inspect(inspector, &mut held, &mut from_client, &mut to_host, Inspector::greeted);
                timeout(patience, greeting)
                    .await
                    .unwrap_or_else(|_| Err(End::Refused("no TLS was begun in the tunnel".to_owned())))?;
            }
            let up = async {
                if let Some(inspector) = &mut inspector {
                    inspect(inspector, &mut held, &mut from_client, &mut to_host, Inspector::settled).await?;
                }
                copy(&mut from_client, &mut to_host).await?;
                to_host.shutdown().await?;
                Ok::<(), End>(())
            };
            let down = async {
                copy(&mut from_host, &mut to_client).await?;
                to_client.shutdown().await?;
                Ok(())
            };
            tokio::try_join!(up, down)
        };
        match carried.await {
            Ok(_) => {}
            Err(End::Refused(why)) => {
                attempt.refuse(&why);
                let _ = to_client.write_all(&ACCESS_DENIED).await;
                let _ = to_client.shutdown().await;
            }
            // Clients hang up as soon as they have what they came for.
            Err(End::Broken(error)) if hung_up(&error) && attempt.answered() => {}
            Err(End::Broken(error)) => attempt.fail(error.to_string()),
        }
    }
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Forwards what may be until `done` says so, or the client has no more to say.
async fn inspect(
    inspector: &mut Inspector,
    held: &mut Vec<u8>,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    done: impl Fn(&Inspector) -> bool,
) -> Result<(), End> {
    while !done(inspector) {
        match inspector.look(held) {
            Next::Refuse(why) => return Err(End::Refused(why)),
            Next::Forward(length) => {
                to.write_all(&held[..length]).await?;
                held.drain(..length);
            }
            Next::More => {
                held.reserve(CHUNK);
                if from.read_buf(held).await? == 0 {
                    if !held.is_empty() || !inspector.greeted() {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "it ended within its first words",
                        )
                        .into());
                    }
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
