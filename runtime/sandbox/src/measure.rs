//! What measuring the sandbox needs, and nothing else should use.

use std::time::{Duration, Instant};

use gloaming_policies::ToolPermit;
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::Val;

use crate::engine::Place;
use crate::files::Files;
use crate::host::State;
use crate::registry::Sandbox;
use crate::{Control, SandboxError, convert};

/// A component that never returns, to see how soon it is stopped. Its tool is `evil_loop`.
pub const ENDLESS: &[u8] = crate::registry::embedded::ENDLESS;

/// A sandbox that has answered a call and is kept alive.
pub struct Alive<'a> {
    // Before the place, which must not be given away while the instance is there.
    _store: Store<State>,
    _place: Place<'a>,
}

impl Sandbox {
    /// Returns how many calls may run at once.
    pub fn places(&self) -> u32 {
        self.shared.machine.places
    }

    /// Calls a tool and keeps its sandbox alive, with all the memory that the call took.
    pub fn keep_alive(
        &self,
        permit: &ToolPermit,
        files: &Files,
        args: &Value,
    ) -> Result<Alive<'_>, SandboxError> {
        let unfit = |what: &str| SandboxError::NotATool(what.to_owned());
        let tool = self.tools.get(permit.tool()).ok_or_else(|| unfit("it is not registered"))?;
        let args = convert::arguments(&tool.parameters, args).map_err(|error| unfit(&error.message))?;
        let place = tool.machine.place();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut store = self.store(tool, permit, files, deadline, &Control::default());
        let mut results = vec![Val::Bool(false); usize::from(tool.answer.is_some())];
        tool.instance
            .instantiate(&mut store)
            .and_then(|instance| {
                let function = instance.get_func(&mut store, tool.function);
                let function = function.ok_or_else(|| wasmtime::format_err!("the function is gone"))?;
                function.call(&mut store, &args, &mut results)
            })
            .map_err(|error| SandboxError::Engine(error.into()))?;
        Ok(Alive { _store: store, _place: place })
    }
}
