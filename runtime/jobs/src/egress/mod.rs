//! The only way out of a job's container: a proxy of ours that decides each attempt by the policy, and notes it.
//!
//! A container that may reach something still has no interface but its own loopback. There the proxy listens (the
//! listening socket is the container's, the process that serves it is not), so that whatever a process in it does,
//! unsetting variables, opening sockets, asking a name server, leads nowhere else. The proxy speaks CONNECT and
//! absolute-form HTTP ([`Proxy`]); docs/network.md says what is refused and what is not seen.
//!
//! Invariants, each a test:
//! - what is reached is what the permit allows, by host and port; the operator's values widen no policy;
//! - the address that was checked is the one that is connected to; private addresses need the operator's word, and
//!   those at which a machine finds its credentials are never reached;
//! - a tunnel carries TLS to the host that was named, or was named `tcp://`;
//! - every attempt is in the log or counted; nothing is buffered or read without a bound.

mod connect;
mod env;
mod forward;
mod forwarder;
mod hello;
mod log;
mod proxy;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod tunnel;

use std::collections::BTreeMap;
use std::time::Duration;

use gloaming_policies::HostSets;

pub use self::connect::Resolver;
pub use self::env::{PROXY_PORT, network_env};
pub use self::forwarder::egress_forward_main;
pub use self::proxy::{Decide, Proxy};

/// What an operator says about jobs' network. What may be reached is the policy's to say, and never wider for this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// The hosts of the sets that policies name.
    pub sets: HostSets,
    /// Hosts that may be at a private address, each `host:port` as a job asks for it; a mirror in one's own network.
    pub private: Vec<String>,
    /// Variables of a job with network beyond the proxy's own: which index, which registry.
    pub env: BTreeMap<String, String>,
    /// What one job may use.
    pub limits: EgressLimits,
    /// How names become addresses.
    pub resolver: Resolver,
}

impl Egress {
    /// Looks at the values as a job's proxy would.
    ///
    /// # Errors
    /// What is wrong with them, and what to write.
    pub fn check(&self) -> Result<(), String> {
        self.private.iter().try_for_each(|text| proxy::private(text).map(drop))
    }
}

/// What one job may use of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    /// Connections at a time; more wait.
    pub connections: usize,
    /// Attempts of one job; after these the proxy is gone for it. They are answered outside of the container's own
    /// limits.
    pub attempts: u64,
    /// How long a name and a connection may take to be had, each.
    pub connect: Duration,
    /// How long a request's head, or a tunnel's first words, may take to come.
    pub head: Duration,
    /// How long nothing may be said on a connection.
    pub idle: Duration,
    /// Bytes of a request's or answer's head.
    pub head_bytes: usize,
    /// Header lines of each.
    pub headers: usize,
    /// Bytes that the job may send to hosts, of all its connections.
    pub up: u64,
    /// Bytes that it may receive.
    pub down: u64,
}

impl EgressLimits {
    /// 64 connections, 100000 attempts, 10 s to connect, 20 s for a head of at most 32 KiB and 100 lines, 2 minutes of silence, 256 MiB
    /// up and 8 GiB down.
    pub const DEFAULT: Self = Self {
        connections: 64,
        attempts: 100_000,
        connect: Duration::from_secs(10),
        head: Duration::from_secs(20),
        idle: Duration::from_secs(120),
        head_bytes: 32 << 10,
        headers: 100,
        up: 256 << 20,
        down: 8 << 30,
    };
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
