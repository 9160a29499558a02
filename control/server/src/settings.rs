//! What an operator sets, and what the server is handed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::worker::LEASE;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::hooks::slack::People;
use crate::reads::Reads;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a server is set to. The defaults are for one machine with a few hundred workers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Certificate and key; plain HTTP where there are none.
    pub tls: Option<Tls>,
    /// How long anything is waited for.
    pub timeouts: Timeouts,
    /// How much is held at once.
    pub caps: Caps,
    /// How long a lease holds when it is not renewed.
    pub lease: Duration,
    /// Where workers clone from, `{repo}` in place of `owner/name`. Without credentials. Where none is named they read through
    /// this server, or from GitHub where it reads nothing.
    pub clone: Option<String>,
    /// What repositories are read with for workers.
    pub reads: Option<Arc<Reads>>,
    /// The secret shared with GitHub; without one its deliveries are refused.
    pub github_secret: Option<SecretString>,
    /// The one before it, which is taken beside it while it is changed.
    pub github_secret_before: Option<SecretString>,
    /// By how much the table's limits of requests a second are multiplied; 0 is no limit, for a closed network.
    pub rate_factor: u32,
    /// Slack; without it its requests are refused.
    pub slack: Option<Slack>,
    /// How often leases are swept, policy files and certificates looked at.
    pub tick: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            timeouts: Timeouts::default(),
            caps: Caps::default(),
            lease: LEASE,
            clone: None,
            reads: None,
            github_secret: None,
            github_secret_before: None,
            rate_factor: 1,
            slack: None,
            tick: Duration::from_secs(1),
        }
    }
}

/// What is shared with Slack.
#[derive(Debug, Clone)]
pub struct Slack {
    /// What its requests are signed with.
    pub secret: SecretString,
    /// Who may ask.
    pub people: Arc<People>,
}

/// A certificate and its key, both PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How long anything is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For TLS to be agreed.
    pub handshake: Duration,
    /// For a whole request head, from its first byte.
    pub head: Duration,
    /// For the next bytes of a body.
    pub body: Duration,
    /// For the whole body of a sender that is known by nothing else. GitHub gives its deliveries up after ten seconds, and
    /// Slack after three.
    pub stranger: Duration,
    /// For the next request on a connection.
    pub idle: Duration,
    /// For the code host to go on with what it is asked for workers.
    pub host: Duration,
    /// For the client to take bytes that are to be written.
    pub write: Duration,
    /// Between heartbeats of an event stream.
    pub heartbeat: Duration,
    /// For requests to end by themselves when the server shuts down.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(15),
            stranger: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            host: Duration::from_secs(60),
            write: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
            drain: Duration::from_secs(25),
        }
    }
}

/// How much is held at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Connections.
    pub connections: usize,
    /// Requests that are worked on, waiting ones and streams not among them.
    pub requests: usize,
    /// Workers that wait for a task.
    pub waiting: usize,
    /// Event streams, journals and git's reads, of all clients.
    pub streams: usize,
    /// The same of one token; of git's reads, of one lease.
    pub streams_of_one: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of request bodies held in memory, of all requests.
    pub body_bytes: usize,
    /// Bytes of large answers held in memory until their clients have taken them, of all requests; of one client's a quarter.
    pub answer_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 256,
            waiting: 2048,
            streams: 1024,
            streams_of_one: 32,
            head: 32 << 10,
            headers: 64,
            body_bytes: 512 << 20,
            answer_bytes: 256 << 20,
        }
    }
}
