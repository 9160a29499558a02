//! How fast a provider is asked: one token bucket for all calls of the process, and one pause for all when a server asks
//! for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The longest that everybody waits for one server's word, which may be beyond all measure.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How fast a provider may be asked; none: as fast as there is something to ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests per minute, at least 1.
    pub requests: Option<u32>,
    /// Tokens per minute, those of the question and the most the answer may have, at least 1.
    pub tokens: Option<u32>,
}

/// The limits of every server that is asked, shared by all models they are opened with: a clone is another handle.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<Mutex<HashMap<String, Arc<Limiter>>>>);

impl Limits {
    /// Returns the limiter of a server, made with these rates when it is the first that is asked for there.
    pub(crate) fn of(&self, server: String, rates: Rates) -> Arc<Limiter> {
        let mut all = locked(&self.0);
        let new = || Arc::new(Limiter { state: Mutex::new(State::new(rates, Instant::now())) });
        Arc::clone(all.entry(server).or_insert_with(new))
    }
}

/// One server's.
#[derive(Debug)]
pub(crate) struct Limiter {
    state: Mutex<State>,
}

/// Why no turn came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// The server asked everybody to wait for so much longer.
    Paused(Duration),
    /// It would have come too late.
    Late,
}

/// A turn that was taken; what it does not need goes back.
#[derive(Debug)]
pub(crate) struct Turn {
    limiter: Arc<Limiter>,
    tokens: f64,
    began: bool,
}

impl Limiter {
    /// Waits for a turn: turns are given in the order they are asked for. `tokens` is what the call may come to;
    /// no wait goes beyond `end`, and none that a server asked for beyond `longest`.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        tokens: u64,
        longest: Duration,
        end: Instant,
    ) -> Result<Turn, NoTurn> {
        // Dropped where the caller gives up waiting: what was taken goes back.
        let (at, mut turn) = {
            let mut state = locked(&self.state);
            let now = Instant::now();
            let at = state.take(tokens as f64, now);
            (at, Turn { limiter: Arc::clone(self), tokens: tokens as f64, began: false })
        };
        let mut at = at;
        loop {
            let now = Instant::now();
            // It may have been asked for while we waited.
            if let Some(paused) = locked(&self.state).paused(now) {
                if paused > longest {
                    return Err(NoTurn::Paused(paused));
                }
                at = at.max(now + paused);
            }
            if at <= now {
                turn.began = true;
                return Ok(turn);
            }
            if at >= end {
                return Err(NoTurn::Late);
            }
            sleep_until(at).await;
        }
    }

    /// Has everybody wait: the server asked for it.
    pub(crate) fn pause(&self, wait: Duration) {
        let mut state = locked(&self.state);
        let now = Instant::now();
        let until = now + wait.min(LONGEST_PAUSE);
        state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
    }
}

impl Turn {
    /// Gives back what the call did not use of its tokens.
    pub(crate) fn used(mut self, tokens: u64) {
        let rest = (self.tokens - tokens as f64).max(0.0);
        self.tokens -= rest;
        locked(&self.limiter.state).give_back(0.0, rest);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.began {
            locked(&self.limiter.state).give_back(1.0, self.tokens);
        }
    }
}

#[derive(Debug)]
struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    paused_until: Option<Instant>,
}

impl State {
    fn new(rates: Rates, now: Instant) -> Self {
        let bucket = |rate: Option<u32>| rate.map(|rate| Bucket::new(rate.max(1), now));
        Self { requests: bucket(rates.requests), tokens: bucket(rates.tokens), paused_until: None }
    }

    /// Takes a request and its tokens, and returns when it may begin.
    fn take(&mut self, tokens: f64, now: Instant) -> Instant {
        let one = self.requests.as_mut().map_or(now, |bucket| bucket.take(1.0, now));
        let all = self.tokens.as_mut().map_or(now, |bucket| bucket.take(tokens, now));
        one.max(all)
    }

    fn give_back(&mut self, requests: f64, tokens: f64) {
        for (bucket, amount) in [(&mut self.requests, requests), (&mut self.tokens, tokens)] {
            if let Some(bucket) = bucket {
                bucket.level = (bucket.level + amount).min(bucket.capacity);
            }
        }
    }

    fn paused(&self, now: Instant) -> Option<Duration> {
        self.paused_until?.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }
}

/// A bucket that fills evenly. It holds a tenth of a minute's worth, so that in no minute more is taken than the rate
/// and that tenth; what is taken beyond its level is a debt that those who come later wait for.
#[derive(Debug)]
struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    since: Instant,
}

impl Bucket {
    fn new(per_minute: u32, now: Instant) -> Self {
        let capacity = (f64::from(per_minute) / 10.0).max(1.0);
        Self { capacity, per_second: f64::from(per_minute) / 60.0, level: capacity, since: now }
    }

    /// Takes an amount and returns when it is there. More than the bucket holds has to wait for a full one, and then
    /// leaves the debt to others.
    fn take(&mut self, amount: f64, now: Instant) -> Instant {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = self.since.max(now);
        self.level = (self.level + passed * self.per_second).min(self.capacity);
        let missing = (amount.min(self.capacity) - self.level).max(0.0);
        self.level -= amount;
        now + Duration::from_secs_f64(missing / self.per_second)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(120);

    fn rates(requests: Option<u32>, tokens: Option<u32>) -> Rates {
        Rates { requests, tokens }
    }

    fn limiter(requests: u32) -> Arc<Limiter> {
        Limits::default().of("s".into(), rates(Some(requests), None))
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    async fn turn(limiter: &Arc<Limiter>) {
        drop(limiter.turn(1, LONGEST, later()).await.expect("a turn"));
    }

    /// In how many seconds the next would have its turn.
    fn next(limiter: &Arc<Limiter>) -> u64 {
        let now = Instant::now();
        let mut state = locked(&limiter.state);
        let at = state.take(0.0, now);
        state.give_back(1.0, 0.0);
        (at - now).as_secs_f64().round() as u64
    }

    #[test]
    fn requests_are_spread_over_the_minute() {
        let now = Instant::now();
        let mut state = State::new(rates(Some(60), None), now);
        let begun: Vec<u64> = (0..10).map(|_| (state.take(1.0, now) - now).as_secs()).collect();
        assert_eq!(begun, [0, 0, 0, 0, 0, 0, 1, 2, 3, 4], "a tenth at once, then one a second");
        let soon = now + Duration::from_secs(6);
        assert_eq!(
            (state.take(1.0, soon) - now).as_secs(),
            6,
            "what was owed is paid by then, and two are there"
        );
    }

    #[test]
    fn in_no_minute_is_more_taken_than_the_rate_and_a_tenth() {
        let now = Instant::now();
        for rate in [1, 7, 50, 1000] {
            let mut state = State::new(rates(Some(rate), None), now);
            let minute = Duration::from_secs(60);
            let within = (0..2000).filter(|_| state.take(1.0, now) < now + minute).count();
            assert!(within as f64 <= f64::from(rate) * 1.1 + 1.0, "{within} of {rate}");
            assert!(within >= rate as usize, "{within} of {rate}");
        }
    }

    #[test]
    fn tokens_beyond_the_bucket_are_a_debt_and_those_that_were_not_used_go_back() {
        let now = Instant::now();
        let mut state = State::new(rates(None, Some(60_000)), now);
        let mut wait = |tokens: f64| (state.take(tokens, now) - now).as_secs();
        assert_eq!(wait(16_000.0), 0, "a full bucket is enough for whatever is asked");
        assert_eq!(wait(6_000.0), 16, "and leaves the others its debt of 10 s");
        state.give_back(0.0, 5_000.0);
        assert_eq!((state.take(6_000.0, now) - now).as_secs(), 17, "not 22");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_nothing() {
        let limiter = limiter(6);
        turn(&limiter).await;
        assert_eq!(next(&limiter), 10);
        let waiting = limiter.turn(1, LONGEST, later());
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        let soon = Instant::now() + Duration::from_secs(2);
        assert_eq!(limiter.turn(1, LONGEST, soon).await.unwrap_err(), NoTurn::Late);
        assert_eq!(next(&limiter), 10, "as before");
    }

    #[tokio::test]
    async fn a_pause_holds_for_everybody_and_for_those_who_wait_already() {
        let limiter = limiter(6000);
        for _ in 0..600 {
            turn(&limiter).await;
        }
        let began = Instant::now();
        let waits = async {
            turn(&limiter).await;
            began.elapsed()
        };
        let pauses = async { limiter.pause(Duration::from_millis(200)) };
        let (waited, ()) = tokio::join!(waits, pauses);
        assert!(waited >= Duration::from_millis(200), "{waited:?}");
        limiter.pause(Duration::MAX);
        let NoTurn::Paused(rest) = limiter.turn(1, LONGEST, later()).await.unwrap_err() else {
            panic!("it is not paused")
        };
        assert!(rest > LONGEST && rest <= LONGEST_PAUSE, "{rest:?}");
    }

    #[tokio::test]
    async fn handles_of_one_server_share_and_servers_do_not() {
        let (limits, rates) = (Limits::default(), rates(Some(6), None));
        turn(&limits.of("a".into(), rates)).await;
        assert_eq!(next(&limits.clone().of("a".into(), rates)), 10);
        assert_eq!(next(&limits.of("b".into(), rates)), 0);
    }
}
