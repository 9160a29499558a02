//! Every attempt of a job to reach something, while it goes on and afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use gloaming_api::job::{EgressAttempt, EgressDecision, EgressLog};

/// How many attempts are kept that were allowed, and how many that were refused: a job must not be able to hide one
/// kind behind many of the other.
const KEPT: usize = 400;
/// The longest text of a job's own that is kept, in bytes.
const MAX_TEXT: usize = 300;

/// The attempts of one job.
#[derive(Debug)]
pub(super) struct Log {
    started: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    allowed: usize,
    refused: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    attempt: EgressAttempt,
    live: Arc<Live>,
}

/// What changes while an attempt goes on.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
    address: OnceLock<SocketAddr>,
    failure: OnceLock<String>,
    /// Milliseconds of the job at the end, and 1; 0 while it goes on.
    ended: AtomicU64,
}

/// One attempt; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Attempt {
    log: Arc<Log>,
    number: u64,
    attempt: EgressAttempt,
    pub(super) live: Arc<Live>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Begins an attempt.
    pub(super) fn begin(
        self: &Arc<Self>,
        method: &str,
        (scheme, host, port): (&str, &str, u16),
        decision: EgressDecision,
    ) -> Attempt {
        let attempt = EgressAttempt {
            at_ms: self.now(),
            method: cut(method),
            scheme: scheme.to_owned(),
            host: cut(host),
            port,
            decision,
            failure: None,
            address: None,
            up: 0,
            down: 0,
            duration_ms: 0,
        };
        let live = Arc::new(Live::default());
        let mut kept = self.kept();
        let number = kept.next;
        kept.next += 1;
        kept.keep(number, attempt.clone(), &live);
        Attempt { log: self.clone(), number, attempt, live }
    }

    /// How many attempts there were.
    pub(super) fn count(&self) -> u64 {
        self.kept().next
    }

    /// Returns what there was so far; what still goes on is told as if it ended now.
    pub(super) fn read(&self) -> EgressLog {
        let now = self.now();
        let kept = self.kept();
        let attempts = kept.entries.values().map(|Entry { attempt, live }| {
            let ended = live.ended.load(Ordering::Relaxed).checked_sub(1).unwrap_or(now);
            EgressAttempt {
                failure: live.failure.get().cloned(),
                address: live.address.get().map(ToString::to_string),
                up: live.up.load(Ordering::Relaxed),
                down: live.down.load(Ordering::Relaxed),
                duration_ms: ended.saturating_sub(attempt.at_ms),
                ..attempt.clone()
            }
        });
        EgressLog { attempts: attempts.collect(), dropped: kept.dropped }
    }
}

impl Kept {
    fn keep(&mut self, number: u64, attempt: EgressAttempt, live: &Arc<Live>) {
        let count = match attempt.decision {
            EgressDecision::Allowed { .. } => &mut self.allowed,
            EgressDecision::Refused { .. } => &mut self.refused,
        };
        if *count < KEPT {
            *count += 1;
            // Here, where it is bounded: a job could fill the log's disk otherwise.
            if let EgressDecision::Refused { rule, reason } = &attempt.decision {
                let EgressAttempt { method, scheme, host, port, .. } = &attempt;
                tracing::warn!(
                    method,
                    scheme,
                    host,
                    port,
                    rule,
                    reason,
                    "a job was refused what it wanted to reach"
                );
            }
            self.entries.insert(number, Entry { attempt, live: live.clone() });
        } else {
            self.dropped += 1;
        }
    }
}

impl Attempt {
    /// Notes the address that is connected to.
    pub(super) fn connecting(&self, address: SocketAddr) {
        let _ = self.live.address.set(address);
    }

    /// Whether the host has said anything.
    pub(super) fn answered(&self) -> bool {
        self.live.down.load(Ordering::Relaxed) > 0
    }

    /// Notes why it came to nothing; the first reason counts.
    pub(super) fn fail(&self, why: impl Into<String>) {
        let _ = self.live.failure.set(cut(&why.into()));
    }

    /// Notes that it was refused after all, for what was said in it or where it led.
    pub(super) fn refuse(&mut self, why: &str) {
        self.attempt.decision = EgressDecision::Refused { rule: None, reason: cut(why) };
        let mut kept = self.log.kept();
        match kept.entries.remove(&self.number) {
            Some(_) => kept.allowed = kept.allowed.saturating_sub(1),
            None => kept.dropped = kept.dropped.saturating_sub(1),
        }
        kept.keep(self.number, self.attempt.clone(), &self.live);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.live.ended.store(self.log.now().saturating_add(1), Ordering::Relaxed);
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> EgressDecision {
        EgressDecision::Allowed { rule: "r".into() }
    }

    #[test]
    fn many_of_one_kind_do_not_hide_the_other_and_none_is_lost_uncounted() {
        let log = Arc::new(Log::new());
        for _ in 0..KEPT + 50 {
            drop(log.begin("GET", ("http", "a.example", 80), allowed()));
        }
        // One of those that were not kept turns out to be refused.
        let mut late = log.begin("CONNECT", ("https", "a.example", 443), allowed());
        late.refuse("hidden");
        let reason = "no";
        drop(log.begin(
            "GET",
            ("http", "b.example", 80),
            EgressDecision::Refused { rule: None, reason: reason.into() },
        ));
        let told = log.read();
        assert_eq!((told.attempts.len() as u64, told.dropped), (KEPT as u64 + 2, 50));
        let refused: Vec<&str> = told.refused().map(|attempt| attempt.host.as_str()).collect();
        assert_eq!(refused, ["a.example", "b.example"]);
    }

    #[test]
    fn what_goes_on_is_told_as_it_is_and_long_texts_are_cut() {
        let log = Arc::new(Log::new());
        let attempt = log.begin("CONNECT", ("https", &"ü".repeat(400), 443), allowed());
        attempt.live.up.store(7, Ordering::Relaxed);
        attempt.fail("first");
        attempt.fail("second");
        let told = log.read();
        assert_eq!((told.attempts[0].up, told.attempts[0].failure.as_deref()), (7, Some("first")));
        assert_eq!(told.attempts[0].host, "ü".repeat(150));
        drop(attempt);
        assert_eq!(log.read().attempts.len(), 1);
    }
}
