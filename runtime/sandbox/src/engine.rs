//! The wasmtime engine, its clock and its places.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter,
};

use crate::space::{Memories, Plan, Space};
use crate::{Options, SandboxError};

/// How often a running guest is interrupted to look at the clock.
const TICK: Duration = Duration::from_millis(1);
/// How many ticks the clock goes on for after the last call: calls that follow each other closely need not
/// wake it anew.
const LINGER: u32 = 100;
/// Stack a guest may use, in bytes. The threads calls run on have 2 MiB.
const STACK: usize = 1 << 20;
/// Core instances, memories and tables one component may consist of. A component made from one core
/// module has three of the first (the module and two shims), and one of each of the others.
const CORE_INSTANCES: u32 = 8;
pub(crate) const MEMORIES: u32 = 2;
const TABLES: u32 = 4;
/// Elements a table may have.
const TABLE_ELEMENTS: usize = 20_000;
/// What a component may have of each where there is no pool: one linked from a language's runtime and its
/// libraries has some dozens.
const ROOMY_COUNT: usize = 256;
/// Elements a table may have there: 8 MiB of pointers.
const ROOMY_TABLE_ELEMENTS: usize = 1 << 20;
/// Bytes one core instance's own structures may take.
const INSTANCE_SIZE: usize = 2 << 20;
/// Bytes of memory that all places together keep after their calls, so that the next call finds it mapped;
/// and the most one of them keeps.
const KEPT: usize = 32 << 20;
const KEPT_BY_ONE: usize = 1 << 20;
/// Bytes a guest may hand to the host in one call (a whole commit).
pub(crate) const HOST_CALL_BYTES: usize = 160 << 20;

/// The engine with what limits it.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) pooled: bool,
    /// How many calls may run at once.
    pub(crate) places: u32,
    clock: Arc<Clock>,
    ticker: Option<JoinHandle<()>>,
    free: Mutex<Free>,
    freed: Condvar,
}

/// Places that are free, and callers that wait for one.
struct Free {
    places: u32,
    waiting: u32,
}

impl Machine {
    pub(crate) fn new(options: &Options) -> Result<Self, SandboxError> {
        let (engine, pooled, places) = engine(options, Space::find())?;
        Self::with(engine, pooled, places)
    }

    /// Sets up an engine whose instances are made one by one: for components that no place of a pool could
    /// hold, and that are too rare to make every place larger.
    pub(crate) fn on_demand(options: &Options) -> Result<Self, SandboxError> {
        let engine = Engine::new(&config(Space::find().memories(), None))
            .map_err(|error| SandboxError::Engine(error.into()))?;
        Self::with(engine, false, options.max_instances.max(1))
    }

    fn with(engine: Engine, pooled: bool, places: u32) -> Result<Self, SandboxError> {
        let clock = Arc::new(Clock::default());
        let ticker = std::thread::Builder::new()
            .name("gloaming-epoch".into())
            .spawn({
                let (clock, engine) = (clock.clone(), engine.clone());
                move || clock.run(&engine)
            })
            .map_err(|error| SandboxError::Engine(error.into()))?;
        Ok(Self {
            engine,
            pooled,
            places,
            clock,
            ticker: Some(ticker),
            free: Mutex::new(Free { places, waiting: 0 }),
            freed: Condvar::new(),
        })
    }

    /// Waits for a place and takes it. A full pool fails at once, so calls queue before it; every call ends
    /// at its deadline, so the wait ends too.
    pub(crate) fn place(&self) -> Place<'_> {
        let mut free = lock(&self.free);
        while free.places == 0 {
            free.waiting += 1;
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
            free.waiting -= 1;
        }
        free.places -= 1;
        drop(free);
        self.clock.begin();
        Place { machine: self }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        lock(&self.clock.state).stopped = true;
        self.clock.changed.notify_one();
        if let Some(ticker) = self.ticker.take()
            && ticker.join().is_err()
        {
            tracing::error!("the epoch thread panicked");
        }
    }
}

/// Makes the engine by a plan of what there is room for, and says whether it has a pool and how many places.
fn engine(options: &Options, space: Space) -> Result<(Engine, bool, u32), SandboxError> {
    let places = options.max_instances.max(1);
    let plan = space.plan(places);
    let memories = match plan {
        Plan::Pool(places) => match Engine::new(&config(Memories::Reserved, Some(pool(options, places)))) {
            Ok(engine) => return Ok((engine, true, places)),
            Err(error) => {
                // The probe cannot see everything that may be in the way.
                tracing::warn!(%error, "no pool of instances; allocating them on demand");
                Memories::Reserved
            }
        },
        Plan::OnDemand(memories) => {
            tracing::info!(?space, "no room for a pool of instances; allocating them on demand");
            memories
        }
    };
    let engine = Engine::new(&config(memories, None)).map_err(|error| SandboxError::Engine(error.into()))?;
    Ok((engine, false, places))
}

/// A call's place in the pool; while one is held, the clock ticks.
pub(crate) struct Place<'a> {
    machine: &'a Machine,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.machine.clock.state).running -= 1;
        let mut free = lock(&self.machine.free);
        free.places += 1;
        let waited_for = free.waiting > 0;
        drop(free);
        // Waking asks the system, even where nobody waits.
        if waited_for {
            self.machine.freed.notify_one();
        }
    }
}

/// Interrupts running guests. A tick means only "look at the clock": a guest's deadline is a time, not a
/// number of ticks, because sleeps drift.
#[derive(Default)]
struct Clock {
    state: Mutex<Ticking>,
    changed: Condvar,
}

#[derive(Default)]
struct Ticking {
    running: u32,
    /// Whether the clock stands still and must be woken.
    still: bool,
    stopped: bool,
}

impl Clock {
    fn begin(&self) {
        let mut state = lock(&self.state);
        state.running += 1;
        if state.still {
            self.changed.notify_one();
        }
    }

    fn run(&self, engine: &Engine) {
        let mut state = lock(&self.state);
        while !state.stopped {
            if state.running == 0 {
                state.still = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.still = false;
            drop(state);
            self.tick(engine);
            state = lock(&self.state);
        }
    }

    /// Ticks until no call has run for a while. Each tick has its time on the clock, so that what one is late
    /// by does not add up; ticks that were missed are not made up for.
    fn tick(&self, engine: &Engine) {
        let (mut next, mut idle) = (Instant::now() + TICK, 0);
        while idle < LINGER {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            engine.increment_epoch();
            let state = lock(&self.state);
            if state.stopped {
                return;
            }
            idle = if state.running == 0 { idle + 1 } else { 0 };
            drop(state);
            next = (next + TICK).max(Instant::now());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(memories: Memories, pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.wasm_relaxed_simd(false);
    if memories == Memories::Grown {
        // Every access is checked and a memory that grows may move: slower, but nothing is reserved.
        config.memory_reservation(0);
        config.memory_guard_size(0);
        config.memory_reservation_for_growth(1 << 20);
    }
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn pool(options: &Options, places: u32) -> PoolingAllocationConfig {
    let kept = (KEPT / places as usize).min(KEPT_BY_ONE) & !0xffff;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(places)
        .total_core_instances(places.saturating_mul(CORE_INSTANCES))
        .total_memories(places.saturating_mul(MEMORIES))
        .total_tables(places.saturating_mul(TABLES))
        .total_stacks(0)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_component_instance_size(INSTANCE_SIZE)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_memory_size(usize::try_from(options.memory).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS)
        // A place is cleaned by writing over what its call wrote to instead of giving it back to the system:
        // the next call takes no page faults. The kernel says which pages those are (Linux 6.7).
        .linear_memory_keep_resident(kept)
        .table_keep_resident(kept)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Caps what one call's instance may take, and remembers its peak.
#[derive(Debug)]
pub(crate) struct Limits {
    memory: usize,
    now: usize,
    /// Whether the instance is one of an engine without a pool.
    roomy: bool,
    /// The most linear memory it had, in bytes.
    pub(crate) peak: usize,
    /// Whether it was refused memory.
    pub(crate) exceeded: bool,
}

impl Limits {
    pub(crate) fn new(memory: u64) -> Self {
        Self {
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            now: 0,
            roomy: false,
            peak: 0,
            exceeded: false,
        }
    }

    /// Lets an instance of an engine without a pool have as much as its component needs, but for memory.
    pub(crate) fn on(&mut self, machine: &Machine) {
        self.roomy = !machine.pooled;
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let now = self.now.saturating_sub(current).saturating_add(desired);
        if now > self.memory {
            self.exceeded = true;
            return Ok(false);
        }
        self.now = now;
        self.peak = self.peak.max(now);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= if self.roomy { ROOMY_TABLE_ELEMENTS } else { TABLE_ELEMENTS })
    }

    fn instances(&self) -> usize {
        if self.roomy { ROOMY_COUNT } else { CORE_INSTANCES as usize }
    }

    fn memories(&self) -> usize {
        if self.roomy { ROOMY_COUNT } else { MEMORIES as usize }
    }

    fn tables(&self) -> usize {
        if self.roomy { ROOMY_COUNT } else { TABLES as usize }
    }
}
