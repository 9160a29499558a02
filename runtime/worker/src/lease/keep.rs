//! Keeping a lease.

use std::time::Duration;

use gloaming_api::Stage;
use gloaming_api::worker::{Control, ControlError, LeaseKey, Renewal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How soon after a renewal the next one may be made because another stage began.
const BREATH: Duration = Duration::from_secs(1);

/// What is done when, under a lease that holds for so long; in a minute's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// A renewal after the one before: 20 s.
    renew: Duration,
    /// The end of an attempt whose lease could not be renewed, before it can be another worker's: 45 s.
    give_up: Duration,
    /// The longest that one renewal waits for its answer: 10 s.
    patience: Duration,
    /// The next try after one that nobody answered: 2 s.
    again: Duration,
}

impl Times {
    fn of(hold: Duration) -> Self {
        let hold = hold.max(Duration::from_secs(1));
        Self {
            renew: hold / 3,
            give_up: hold * 3 / 4,
            patience: (hold / 6).min(Duration::from_secs(10)),
            again: (hold / 30).min(Duration::from_secs(2)),
        }
    }
}

/// Why an attempt must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked for the task's end: the result is that it was cancelled.
    Cancelled,
    /// The lease is another's, or may soon be: nothing the attempt does counts any more, and nothing is told.
    Lost,
}

/// Renews a lease, which holds for so long, until the attempt must stop. Never returns otherwise: the caller drops it when the
/// attempt has ended.
///
/// The lease counts from the moment at which the last answered renewal was *sent*. An attempt whose lease could not be
/// renewed for three quarters of that time stops, so that it is gone before the lease can move to another worker.
pub async fn keep<C: Control>(
    control: &C,
    lease: &LeaseKey,
    hold: Duration,
    report: &watch::Receiver<Renewal>,
) -> Stop {
    let mut times = Times::of(hold);
    let mut held_since = Instant::now();
    let mut next = held_since + times.renew;
    let mut report = report.clone();
    let (mut told, mut last) = (None, held_since);
    loop {
        let give_up = held_since + times.give_up;
        // Whoever watches is told of a stage when it begins.
        tokio::select! {
            () = sleep_until(next.min(give_up)) => {}
            () = another_stage(&mut report, told) => sleep_until((last + BREATH).min(next).min(give_up)).await,
        }
        let sent = Instant::now();
        last = sent;
        if sent >= give_up {
            tracing::warn!(task = %lease.task, attempt = %lease.attempt, "the lease could not be renewed in time");
            return Stop::Lost;
        }
        let renewal = report.borrow().clone();
        told = renewal.stage;
        let answer = timeout_at(give_up.min(sent + times.patience), control.renew(lease, &renewal)).await;
        match answer {
            Ok(Ok(renewed)) if renewed.cancel => return Stop::Cancelled,
            Ok(Ok(renewed)) => {
                times = Times::of(Duration::from_secs(renewed.expires_s));
                held_since = sent;
                next = sent + times.renew;
            }
            Ok(Err(ControlError::Away(why))) => {
                tracing::debug!(task = %lease.task, why, "a renewal was in vain");
                next = Instant::now() + times.again;
            }
            Ok(Err(error)) => {
                tracing::warn!(task = %lease.task, attempt = %lease.attempt, %error, "the lease is over");
                return Stop::Lost;
            }
            Err(_) => next = Instant::now() + times.again,
        }
    }
}

/// Waits until a stage is reported that was not told.
async fn another_stage(report: &mut watch::Receiver<Renewal>, told: Option<Stage>) {
    if report.wait_for(|renewal| renewal.stage != told).await.is_err() {
        // Nothing more will be reported.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use gloaming_api::bowout::Cost;
    use gloaming_api::worker::{AttemptResult, Lease, LeaseRequest, Renewed, Uploaded};
    use gloaming_api::{Attempt, Digest, Profile, TaskId};

    use super::*;

    /// How long the leases hold here.
    const HOLD: Duration = Duration::from_secs(60);
    const GIVE_UP: Duration = Duration::from_secs(45);

    /// What a control plane says to each renewal, and how long it takes.
    enum Says {
        Kept,
        Cancel,
        Lost,
        Away,
        Nothing,
    }

    struct Scripted {
        /// The last is said again and again.
        says: Vec<Says>,
        asked: Mutex<Vec<Duration>>,
        since: Instant,
    }

    impl Control for Scripted {
        async fn lease(&self, _: &LeaseRequest) -> Result<Option<Lease>, ControlError> {
            Ok(None)
        }
        async fn renew(&self, lease: &LeaseKey, _: &Renewal) -> Result<Renewed, ControlError> {
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(self.since.elapsed());
                asked.len() - 1
            };
            match self.says[number.min(self.says.len() - 1)] {
                Says::Kept => Ok(Renewed { expires_s: HOLD.as_secs(), cancel: false }),
                Says::Cancel => Ok(Renewed { expires_s: HOLD.as_secs(), cancel: true }),
                Says::Lost => Err(ControlError::Lost { task: lease.task.clone(), attempt: lease.attempt }),
                Says::Away => Err(ControlError::Away("no route".into())),
                Says::Nothing => std::future::pending().await,
            }
        }
        async fn events(&self, _: &LeaseKey, _: u64, _: &str) -> Result<Uploaded, ControlError> {
            unreachable!("nothing is uploaded here")
        }
        async fn artifact(&self, _: &LeaseKey, _: &Digest, _: Vec<u8>) -> Result<(), ControlError> {
            unreachable!("nothing is uploaded here")
        }
        async fn profile(&self, _: &LeaseKey, _: &Profile) -> Result<(), ControlError> {
            unreachable!("nothing is learnt here")
        }
        async fn result(&self, _: &LeaseKey, _: &AttemptResult) -> Result<(), ControlError> {
            unreachable!("nothing ends here")
        }
        async fn release(&self, _: &LeaseKey) -> Result<(), ControlError> {
            unreachable!("nothing is given back here")
        }
    }

    /// Returns how it ended, after how many seconds, and the seconds at which it renewed.
    async fn run(says: Vec<Says>) -> (Stop, u64, Vec<u64>) {
        let control = Scripted { says, asked: Mutex::new(Vec::new()), since: Instant::now() };
        let lease = LeaseKey { task: TaskId::generate(), attempt: Attempt(1) };
        let nothing = Renewal { stage: None, doing: String::new(), cost: Cost::default(), grant: None };
        let (_report, reported) = watch::channel(nothing);
        let stop = keep(&control, &lease, HOLD, &reported).await;
        let asked = control.asked.lock().unwrap().iter().map(Duration::as_secs).collect();
        (stop, control.since.elapsed().as_secs(), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_every_twenty_seconds() {
        assert_eq!(
            run(vec![Says::Kept, Says::Kept, Says::Cancel]).await,
            (Stop::Cancelled, 60, vec![20, 40, 60])
        );
        assert_eq!(run(vec![Says::Kept, Says::Lost]).await, (Stop::Lost, 40, vec![20, 40]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_is_told_when_it_begins_and_no_more_than_one_a_second() {
        let control =
            Scripted { says: vec![Says::Kept], asked: Mutex::new(Vec::new()), since: Instant::now() };
        let lease = LeaseKey { task: TaskId::generate(), attempt: Attempt(1) };
        let nothing = Renewal { stage: None, doing: String::new(), cost: Cost::default(), grant: None };
        let (report, reported) = watch::channel(nothing);
        let stages = async {
            for (second, stage) in
                [(5, Stage::Provision), (10, Stage::Baseline), (10, Stage::Code), (33, Stage::Verify)]
            {
                sleep_until(control.since + Duration::from_secs(second)).await;
                report.send_modify(|renewal| renewal.stage = Some(stage));
                tokio::task::yield_now().await;
            }
            sleep_until(control.since + Duration::from_secs(50)).await;
        };
        // In this order, so that each stage is seen before the next begins.
        tokio::select! {
            biased;
            _ = keep(&control, &lease, HOLD, &reported) => unreachable!("it is kept"),
            () = stages => {}
        }
        let asked: Vec<u64> = control.asked.lock().unwrap().iter().map(Duration::as_secs).collect();
        assert_eq!(asked, [5, 10, 11, 31, 33]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_renew_stops_before_the_lease_can_move() {
        let (stop, after, asked) = run(vec![Says::Away]).await;
        assert_eq!((stop, after), (Stop::Lost, GIVE_UP.as_secs()));
        assert!(asked.len() > 5, "it is tried again: {asked:?}");
        let (stop, after, asked) = run(vec![Says::Nothing]).await;
        assert_eq!((stop, after), (Stop::Lost, GIVE_UP.as_secs()));
        assert_eq!(asked, [20, 32, 44], "an answer that does not come is not waited for until the end");
        // It counts from the renewal that was answered last.
        let (stop, after, _) = run(vec![Says::Kept, Says::Away]).await;
        assert_eq!((stop, after), (Stop::Lost, 20 + GIVE_UP.as_secs()));
    }

    #[test]
    fn an_attempt_is_gone_before_its_lease_can_move_however_long_that_holds() {
        for seconds in [0, 1, 5, 54, 60, 600] {
            let hold = Duration::from_secs(seconds);
            let times = Times::of(hold);
            assert!(times.give_up + times.patience < hold.max(Duration::from_secs(1)), "{seconds}");
            assert!(
                times.renew + times.patience < times.give_up && times.again > Duration::ZERO,
                "{seconds}"
            );
        }
        assert_eq!(Times::of(HOLD).give_up, GIVE_UP);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_outage_costs_nothing() {
        assert_eq!(
            run(vec![Says::Away, Says::Nothing, Says::Kept, Says::Cancel]).await,
            (Stop::Cancelled, 54, vec![20, 22, 34, 54])
        );
    }
}
