//! How often one client may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use gloaming_api::endpoints::{ENDPOINTS, Endpoint};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Refusals of one address a second, on average, that are looked into and written down; more are turned away at once.
const REFUSALS: u32 = 5;

/// The limits of the table, a set of buckets for each endpoint.
pub(crate) struct Rates {
    endpoints: Vec<Option<DefaultKeyedRateLimiter<String>>>,
    refusals: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

fn quota(rate: u32) -> Option<Quota> {
    let burst = NonZeroU32::new(rate.saturating_mul(10))?;
    Some(Quota::per_second(NonZeroU32::new(rate)?).allow_burst(burst))
}

impl Rates {
    pub(crate) fn new() -> Self {
        let refusals = RateLimiter::keyed(quota(REFUSALS).expect("it is not 0"));
        let endpoints = ENDPOINTS.iter().map(|one| quota(one.rate).map(RateLimiter::keyed)).collect();
        Self { endpoints, refusals, clock: DefaultClock::default() }
    }

    /// Counts a request of a client; the error is how long to wait.
    pub(crate) fn check(&self, endpoint: &Endpoint, client: &str) -> Result<(), Duration> {
        let place = ENDPOINTS.iter().position(|one| one.name == endpoint.name);
        let Some(limiter) = place.and_then(|place| self.endpoints.get(place)?.as_ref()) else {
            return Ok(());
        };
        self.ask(limiter, client)
    }

    /// Counts a refusal of an address; the error is how long to wait.
    pub(crate) fn refused(&self, client: &str) -> Result<(), Duration> {
        self.ask(&self.refusals, client)
    }

    fn ask(&self, limiter: &DefaultKeyedRateLimiter<String>, client: &str) -> Result<(), Duration> {
        limiter.check_key(&client.to_owned()).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets clients whose buckets are full again: what is remembered is bounded by what was asked lately.
    pub(crate) fn forget(&self) {
        for limiter in self.endpoints.iter().flatten().chain([&self.refusals]) {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Returns what an address is counted by: a network of IPv6 is one client, since it has addresses without end.
pub(crate) fn client_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
