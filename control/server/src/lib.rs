//! The control plane's server: requests in, decisions of the store out, and effects on code hosts and chats.
//!
//! What it is not: it runs no code of a repository, holds no container engine, no component and no model, and decides nothing
//! about a patch that the gate does not.
//!
//! Invariants, each a test:
//! - what is not in [`gloaming_api::endpoints::ENDPOINTS`] is not served, and no body is read before its sender is let in;
//! - no byte is taken beyond what was set, and nothing is waited for longer;
//! - of a repository that a token is not for nothing is told, not even that it is there;
//! - every answer has a request id, and every refusal a stable code;
//! - a write is in the audit log before it is done, and so is every refusal of one's right.
#![forbid(unsafe_code)]

mod accept;
mod answer;
mod app;
mod auth;
mod bells;
mod body;
pub mod chat;
pub mod feed;
mod guard;
mod handlers;
pub mod hooks;
mod in_process;
mod leases;
mod limits;
mod listen;
mod meters;
pub mod openapi;
mod policies;
mod profiles;
pub mod publish;
mod reads;
mod routes;
mod settings;
mod shared;
mod signed;
mod tls;
#[cfg(feature = "otlp")]
pub mod traces;
pub mod upkeep;
mod watched;
mod web;
pub mod webhook;
mod wire;

use std::future::Future;
use std::sync::Arc;

use gloaming_store::Store;
use tokio::net::TcpListener;

pub use accept::{Accepted, Acceptor, Claim, Refusal, RefuseAll, envelope_value, verdict_value};
pub use auth::{bootstrap, make_token};
pub use in_process::InProcess;
pub use meters::METRICS;
pub use policies::Policies;
pub use reads::Reads;
pub use settings::{Caps, Clock, Settings, Slack, Timeouts, Tls};
pub use tls::TlsError;

/// A control plane's server.
#[derive(Clone)]
pub struct Server {
    app: Arc<app::App>,
}

impl Server {
    /// Makes a server of a store and what it is set to. Nothing is listened to yet. Blocks.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn new(
        store: Arc<dyn Store>,
        settings: Settings,
        clock: Clock,
        policies: impl Into<Arc<Policies>>,
        acceptor: Arc<dyn Acceptor>,
    ) -> Result<Self, TlsError> {
        Ok(Self { app: app::App::new(store, settings, clock, policies.into(), acceptor)? })
    }

    /// Returns the store as others in this process are to use it: who waits for what they change is woken.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.app.store)
    }

    /// Returns what says what counts for a repository, by the policies as they are at the time.
    pub fn grants(&self) -> publish::Grants {
        self.app.policies.grants()
    }

    /// Returns the workers' protocol for a worker in this process, under a token of the scope `worker`, by its id.
    pub fn in_process(&self, token: impl Into<String>) -> InProcess {
        InProcess::new(Arc::clone(&self.app), token.into())
    }

    /// Serves until `shutdown`: then takes nothing new, ends streams and waits, lets requests end, and cuts what is left after
    /// [`Timeouts::drain`]. Returns how many connections were cut.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> usize {
        listen::run(Arc::clone(&self.app), listener, None, shutdown).await
    }

    /// The same, and without TLS on `beside`, which is on this machine: for what runs there and cannot know the certificate's
    /// name.
    pub async fn serve_beside(
        &self,
        listener: TcpListener,
        beside: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> usize {
        listen::run(Arc::clone(&self.app), listener, beside, shutdown).await
    }
}
