//! One call: a fresh store and instance, the function, what became of it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use gloaming_api::Digest;
use gloaming_api::tool::{CallDuration, CallRecord, Decided, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_policies::ToolPermit;
use serde_json::Value;
use wasmtime::component::Val;
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::Control;
use crate::convert;
use crate::engine::HOST_CALL_BYTES;
use crate::files::{self, Files, Session};
use crate::host::State;
use crate::registry::{Sandbox, Tool};

/// Live handles a guest may have in all its instances.
const HANDLES: usize = 4_096;

/// What a call answered and did.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The answer.
    pub outcome: ToolOutcome,
    /// What it did, for the journal.
    pub record: CallRecord,
    /// What the tool said to the operator; a panic's message among it. Never shown to a model.
    pub log: Vec<String>,
}

/// The call was told to stop while the guest ran.
#[derive(Debug, thiserror::Error)]
#[error("the call was cancelled")]
struct Cancelled;

/// The deadline passed while the guest ran.
#[derive(Debug, thiserror::Error)]
#[error("the deadline passed")]
struct DeadlinePassed;

impl Sandbox {
    /// Calls the tool a permit names on a workspace. Never fails: whatever happens is the outcome.
    ///
    /// It blocks until the call ends, which is at the deadline at the latest, plus the time calls before it
    /// take where all places are taken; asynchronous callers use `spawn_blocking`.
    pub fn call(&self, permit: &ToolPermit, files: &Files, args: &Value) -> Call {
        self.call_controlled(permit, files, args, &Control::default())
    }

    /// Like [`Sandbox::call`], for a caller that may stop the call or wants to see how far it is.
    pub fn call_controlled(
        &self,
        permit: &ToolPermit,
        files: &Files,
        args: &Value,
        control: &Control,
    ) -> Call {
        let start = Instant::now();
        let mut call = match self.tools.get(permit.tool()) {
            None => {
                let names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
                let message =
                    format!("there is no tool {:?}; the tools are {}", permit.tool(), names.join(", "));
                refused(permit, ToolError::new(ToolErrorCode::NotFound, message))
            }
            Some(tool) => {
                let mut call = match convert::arguments(&tool.parameters, args) {
                    Err(error) => refused(permit, error),
                    Ok(args) => self.run(tool, permit, files, args, control),
                };
                call.record.component = tool.spec.component.clone();
                call
            }
        };
        call.record.args_digest = Digest::of_value(args);
        call.record.duration_us.total = micros(start.elapsed());
        call
    }

    fn run(
        &self,
        tool: &Tool,
        permit: &ToolPermit,
        files: &Files,
        args: Vec<Val>,
        control: &Control,
    ) -> Call {
        let _place = tool.machine.place();
        if control.is_cancelled() {
            return refused(permit, files::cancelled());
        }
        // A panic in a host function is a bug of ours; it too costs only this call.
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| {
            self.run_in_place(tool, permit, files, &args, control)
        }));
        ended.unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(tool = permit.tool(), panic = what, "the host panicked during a call");
            refused(permit, ToolError::new(ToolErrorCode::Internal, "the host of the tool broke"))
        })
    }

    fn run_in_place(
        &self,
        tool: &Tool,
        permit: &ToolPermit,
        files: &Files,
        args: &[Val],
        control: &Control,
    ) -> Call {
        let start = Instant::now();
        let mut store = self.store(tool, permit, files, start + self.shared.deadline, control);
        let mut instantiate = Duration::ZERO;
        let mut results = vec![Val::Bool(false); usize::from(tool.answer.is_some())];
        let ran = tool.instance.instantiate(&mut store).and_then(|instance| {
            instantiate = start.elapsed();
            let function = instance
                .get_func(&mut store, tool.function)
                .ok_or_else(|| wasmtime::format_err!("the function is gone"))?;
            function.call(&mut store, args, &mut results)
        });
        let ran_for = start.elapsed().saturating_sub(instantiate);
        let mut state = store.into_data();
        let mut outcome = self.outcome(tool, &mut state, ran, results.pop());
        if let Err(error) = state.settle_wasi(outcome.ok) {
            outcome = ToolOutcome::error(error);
        }
        // A call that failed has changed files all the same, where it made several changes.
        outcome.note = state.session.new_syntax_errors();
        let undo = state.session.undo_record();
        let record = CallRecord {
            undo,
            duration_us: CallDuration {
                total: 0,
                instantiate: micros(instantiate),
                run: micros(ran_for.saturating_sub(state.host)),
                host: micros(state.host),
            },
            ticks: state.ticks,
            peak_memory: state.limits.peak as u64,
            ..state.session.access.record(permit)
        };
        Call { outcome, record, log: state.log.into_lines() }
    }

    /// Returns a fresh store for one call, with all its limits.
    pub(crate) fn store(
        &self,
        tool: &Tool,
        permit: &ToolPermit,
        files: &Files,
        deadline: Instant,
        control: &Control,
    ) -> Store<State> {
        let session = Session::new(files, permit.clone(), deadline).under(control);
        let mut state = State::new(session, self.shared.memory, deadline);
        state.limits.on(&tool.machine);
        let mut store = Store::new(&tool.machine.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(look_at_the_clock);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_max_component_handles(HANDLES);
        store
    }

    fn outcome(
        &self,
        tool: &Tool,
        state: &mut State,
        ran: wasmtime::Result<()>,
        result: Option<Val>,
    ) -> ToolOutcome {
        match (ran, result) {
            (Ok(()), Some(Val::Result(Ok(output)))) => {
                ToolOutcome::ok(output.map_or(Value::Null, |output| convert::to_json(*output)))
            }
            (Ok(()), Some(Val::Result(Err(error)))) => {
                if state.session.control.is_cancelled() {
                    // Whatever the tool made of the host's refusal to go on.
                    return ToolOutcome::error(files::cancelled());
                }
                let told = if tool.fails_by_contract {
                    convert::failure(error.as_deref())
                } else {
                    convert::own_error(error.as_deref())
                };
                ToolOutcome::error(match state.session.refused.take() {
                    Some(refused) if tool.hides(&refused, &told) => refused,
                    _ => told,
                })
            }
            (Ok(()), Some(output)) => ToolOutcome::ok(convert::to_json(output)),
            (Ok(()), None) => ToolOutcome::ok(Value::Null),
            (Err(error), _) => {
                if !error.is::<Cancelled>() {
                    state.log.line(&format!("{error:#}"));
                }
                ToolOutcome::error(self.broken(state, &error))
            }
        }
    }

    /// Words a trap for a model.
    fn broken(&self, state: &State, error: &wasmtime::Error) -> ToolError {
        if error.is::<Cancelled>() {
            return files::cancelled();
        }
        if error.is::<DeadlinePassed>() {
            let seconds = self.shared.deadline.as_secs_f64();
            return ToolError::new(ToolErrorCode::Timeout, format!("the tool was stopped after {seconds} s"))
                .instead("Ask for less at once.");
        }
        if state.limits.exceeded {
            let most = self.shared.memory >> 20;
            return ToolError::new(
                ToolErrorCode::TooLarge,
                format!("the tool needed more than {most} MiB of memory"),
            )
            .instead("Ask for less at once.");
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            let message = format!("the tool ended itself with exit code {code}");
            return ToolError::new(ToolErrorCode::Internal, message);
        }
        let why = match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => "it recursed too deep".to_owned(),
            Some(Trap::UnreachableCodeReached) => "it panicked".to_owned(),
            Some(trap) => trap.to_string(),
            None => "the host could not run it".to_owned(),
        };
        ToolError::new(ToolErrorCode::Internal, format!("the tool broke: {why}"))
            .instead("Try other arguments or another tool.")
    }
}

impl Tool {
    /// Whether an error of the tool's is but a refusal of the host's that has lost its rule and reason on the
    /// way: WASI tells a tool a bare number, and an error that is not the contract's has no place for them.
    fn hides(&self, refused: &ToolError, told: &ToolError) -> bool {
        let vague = matches!(told.code, ToolErrorCode::Internal | ToolErrorCode::Failed);
        if self.wasi && (told.code == refused.code || vague) {
            return true;
        }
        !self.fails_by_contract && vague && told.message.contains(&refused.message)
    }
}

/// What a tick of the epoch does: stops the guest once its deadline has passed or it was told to stop.
fn look_at_the_clock(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    store.data_mut().ticks += 1;
    let session = &store.data().session;
    session.control.tell(&session.access);
    if session.control.is_cancelled() {
        return Err(Cancelled.into());
    }
    if Instant::now() < store.data().deadline {
        return Ok(UpdateDeadline::Continue(1));
    }
    Err(DeadlinePassed.into())
}

/// A call that did not run.
fn refused(permit: &ToolPermit, error: ToolError) -> Call {
    // Whose arguments' digest its caller knows.
    let record =
        CallRecord::without_run(permit.tool(), permit.grant().digest(), &Value::Null, Decided::Allow);
    Call { outcome: ToolOutcome::error(error), record, log: Vec::new() }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
