//! How a model is reached.

use std::time::Duration;

use secrecy::SecretString;

use crate::{Limits, PriceTable, Rates, ToolCalls};

/// How a model is reached; everything the environment or a person can decide.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API is, up to and with its version: `https://api.openai.com/v1`. None: the provider's own.
    pub base_url: Option<String>,
    /// The key. It is sent to the base URL and nowhere else.
    pub api_key: Option<SecretString>,
    /// Prices; none: the built-in table.
    pub prices: Option<PriceTable>,
    /// How the model calls tools. Default: by its API's own calls.
    pub tools: ToolCalls,
    /// How fast the server may be asked. Default: without limit.
    pub rates: Rates,
    /// Where the limits are kept: models opened with handles of the same share them, server by server, and so the waits
    /// that a server asks for. Default: this model's own.
    pub limits: Limits,
    /// Whether answers are streamed. Default true: a stalled answer is noticed early.
    pub stream: bool,
    /// The most tries of one call. Default 4.
    pub tries: u32,
    /// The most time for one call with all its tries and waits. Default 15 minutes.
    pub total: Duration,
    /// The most time for one try. Default 10 minutes.
    pub try_timeout: Duration,
    /// The most time for a connection to be made. Default 10 seconds.
    pub connect_timeout: Duration,
    /// The most time without a byte while an answer streams. Default 3 minutes.
    pub idle_timeout: Duration,
    /// The first wait before another try; doubled each time, with jitter. Default half a second.
    pub backoff: Duration,
    /// The longest wait before another try. A server that asks for more with `Retry-After` ends the call.
    /// Default 2 minutes.
    pub longest_wait: Duration,
    /// The most bytes of one answer. Default 16 MiB.
    pub max_response: usize,
    /// The most bytes of one line of a stream. Default 1 MiB.
    pub max_line: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_url: None,
            api_key: None,
            prices: None,
            tools: ToolCalls::default(),
            rates: Rates::default(),
            limits: Limits::default(),
            stream: true,
            tries: 4,
            total: Duration::from_secs(15 * 60),
            try_timeout: Duration::from_secs(10 * 60),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(3 * 60),
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(2 * 60),
            max_response: 16 << 20,
            max_line: 1 << 20,
        }
    }
}
