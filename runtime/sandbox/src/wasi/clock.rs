//! Clocks. A sleep ends at the call's deadline at the latest, and when the call is told to stop: no epoch
//! interrupts the host.

use std::time::{Duration, Instant, UNIX_EPOCH};

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::Control;
use crate::host::State;

/// The finest step of either clock, in nanoseconds: 1 ms.
const STEP: u64 = 1_000_000;

pub(super) struct Clocks;

impl HasData for Clocks {
    type Data<'a> = View<'a>;
}

pub(super) struct View<'a> {
    table: &'a mut ResourceTable,
    deadline: Instant,
    control: &'a Control,
}

pub(super) fn view(state: &mut State) -> View<'_> {
    View { table: &mut state.table, deadline: state.deadline, control: &state.session.control }
}

impl View<'_> {
    /// Nanoseconds since some point before the call, in steps.
    fn elapsed(&self) -> u64 {
        let start = self.deadline.checked_sub(Duration::from_secs(3_600)).unwrap_or(self.deadline);
        let nanoseconds =
            u64::try_from(Instant::now().saturating_duration_since(start).as_nanos()).unwrap_or(0);
        nanoseconds / STEP * STEP
    }

    fn sleep(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wake = Instant::now().checked_add(Duration::from_nanos(nanoseconds)).unwrap_or(self.deadline);
        let sleep = Sleep { until: wake.min(self.deadline), control: self.control.clone() };
        let sleep = self.table.push(sleep)?;
        subscribe(self.table, sleep)
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        #[expect(clippy::disallowed_methods, reason = "a guest's wall clock is read where it asks for it")]
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let step = u32::try_from(STEP).unwrap_or(u32::MAX);
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() / step * step })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: u32::try_from(STEP).unwrap_or(u32::MAX) })
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.elapsed())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let rest = when.saturating_sub(self.elapsed());
        self.sleep(rest)
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.sleep(nanoseconds)
    }
}

struct Sleep {
    until: Instant,
    control: Control,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        tokio::select! {
            () = tokio::time::sleep_until(self.until.into()) => {}
            () = self.control.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_the_call_is_stopped() {
        let control = Control::default();
        let mut sleep = Sleep { until: Instant::now() + Duration::from_secs(3600), control: control.clone() };
        let mut ready = std::pin::pin!(sleep.ready());
        tokio::select! {
            biased;
            () = &mut ready => panic!("it woke by itself"),
            () = std::future::ready(()) => {}
        }
        control.cancel();
        ready.await;
        // One that begins afterwards does not wait either.
        Sleep { until: Instant::now() + Duration::from_secs(3600), control }.ready().await;
    }
}
