//! The registered tools.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gloaming_api::tool::ToolSpec;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, Type};

use crate::engine::Machine;
use crate::host::State;
use crate::interface::{self, Interface, LeftOut};
use crate::{Options, SandboxError, Wit, cache, component_digest, host, wasi};

/// The components that were embedded when this crate was built.
pub(crate) mod embedded {
    include!(concat!(env!("OUT_DIR"), "/components.rs"));
}

/// The engine and the registered tools. Cheap to clone; a clone shares the engine, and tools registered
/// with one are not seen by the other.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tools: BTreeMap<String, Arc<Tool>>,
}

pub(crate) struct Shared {
    pub(crate) machine: Arc<Machine>,
    pub(crate) memory: u64,
    pub(crate) deadline: Duration,
    linker: Linker<State>,
    /// For components that no place of the pool could hold; made for the first of them.
    roomy: Mutex<Option<Roomy>>,
    options: Options,
}

/// An engine without a pool, and a linker for it.
#[derive(Clone)]
struct Roomy {
    machine: Arc<Machine>,
    linker: Linker<State>,
}

/// An exported function of a registered component, compiled and linked.
pub(crate) struct Tool {
    pub(crate) spec: ToolSpec,
    /// Where its instances live.
    pub(crate) machine: Arc<Machine>,
    pub(crate) instance: InstancePre<State>,
    pub(crate) function: ComponentExportIndex,
    pub(crate) parameters: Vec<(String, Type)>,
    /// What it answers: nothing or one value.
    pub(crate) answer: Option<Type>,
    /// Whether its errors are the contract's failures; others are told in its own words.
    pub(crate) fails_by_contract: bool,
    /// Whether it imports WASI, which hands refusals on without their words.
    pub(crate) wasi: bool,
}

/// What a component is as tools.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// Its tools, by name; at least one.
    pub tools: Vec<ToolSpec>,
    /// The functions it exports that are none.
    pub left_out: Vec<LeftOut>,
    /// The interfaces it imports.
    pub imports: Vec<String>,
}

impl Inspected {
    fn new(interface: &Interface, bytes: &[u8]) -> Self {
        let digest = component_digest(bytes);
        let spec = |function: &interface::Exported| ToolSpec {
            name: function.name.clone(),
            description: function.description.clone(),
            input_schema: function.schema.clone(),
            writes: interface.writes,
            component: Some(digest.clone()),
        };
        let mut tools: Vec<ToolSpec> = interface.functions.iter().map(spec).collect();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        Self { tools, left_out: interface.left_out.clone(), imports: interface.imports.clone() }
    }
}

/// Says what a component is as tools, and refuses what [`Sandbox::register`] would refuse by its types alone.
/// Nothing is compiled. `wit` is the text it was made from, where it has lost its doc comments.
pub fn inspect(component: &[u8], wit: Option<&Wit>) -> Result<Inspected, SandboxError> {
    Ok(Inspected::new(&interface::decode(component, wit)?, component))
}

/// Which engine a component is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// The pool's, and the other where a place of the pool is too small for it.
    Pool,
    /// The one without a pool.
    OnDemand,
}

impl Sandbox {
    /// Sets up the engine and registers the tools that are built in. The first time that takes seconds,
    /// while they are compiled; from `cache_dir` milliseconds.
    pub fn new(options: Options) -> Result<Self, SandboxError> {
        let mut sandbox = Self::without_tools(options)?;
        sandbox.register_embedded(&embedded::TOOLS)?;
        Ok(sandbox)
    }

    /// Sets up the engine and registers one of the tools that are built in, none when there is no such tool: for
    /// a process that makes one call, which should not wait for the others to be loaded.
    pub fn for_tool(options: Options, name: &str) -> Result<Option<Self>, SandboxError> {
        let Some(at) = embedded::TOOLS.iter().position(|(tool, _)| *tool == name) else { return Ok(None) };
        let mut sandbox = Self::without_tools(options)?;
        sandbox.register_embedded(&embedded::TOOLS[at..=at])?;
        Ok(Some(sandbox))
    }

    /// Sets up the engine alone.
    pub fn without_tools(options: Options) -> Result<Self, SandboxError> {
        let machine = Arc::new(Machine::new(&options)?);
        let linker = linker(&machine)?;
        let (memory, deadline) = (options.memory, options.deadline);
        let shared = Shared { machine, memory, deadline, linker, roomy: Mutex::default(), options };
        Ok(Self { shared: Arc::new(shared), tools: BTreeMap::new() })
    }

    /// Returns a sandbox on the same engine whose tools are those of ours that are also built against WASI,
    /// under their own names. They must answer as the others do.
    pub fn wasi_variants(&self) -> Result<Self, SandboxError> {
        let mut variants = Self { shared: self.shared.clone(), tools: BTreeMap::new() };
        variants.register_embedded(&embedded::WASI)?;
        Ok(variants)
    }

    fn register_embedded(&mut self, tools: &[(&str, &[u8])]) -> Result<(), SandboxError> {
        for (name, component) in tools {
            let tools = self.register(component)?.tools;
            if tools.iter().map(|spec| spec.name.as_str()).ne([*name]) {
                let message = format!("the component {name} is not the tool {name} alone");
                return Err(SandboxError::NotATool(message));
            }
        }
        Ok(())
    }

    /// Returns the registered tools, sorted by name.
    pub fn tools(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|tool| tool.spec.clone()).collect()
    }

    /// Whether instances come from a pool; without one, where address space is short, calls cost more.
    pub fn is_pooled(&self) -> bool {
        self.shared.machine.pooled
    }

    /// Registers a component: reads its types, compiles it and links it. Each function it exports that has a
    /// doc comment is a tool. Refused are components that import what no grant could give, speak another
    /// version of the contract or have no function that can be a tool, and names that are taken; then none of
    /// its tools is registered.
    pub fn register(&mut self, component: &[u8]) -> Result<Inspected, SandboxError> {
        Ok(self.register_in(component, None, Room::Pool)?.0)
    }

    /// Registers a component that has lost its doc comments, with the WIT it was made from.
    pub fn register_with_wit(&mut self, component: &[u8], wit: &Wit) -> Result<Inspected, SandboxError> {
        Ok(self.register_in(component, Some(wit), Room::Pool)?.0)
    }

    /// Registers a component for one of the engines, and says for which it was: compiling for the pool to find
    /// that it does not fit costs seconds, which who knows it from before can spare.
    pub(crate) fn register_in(
        &mut self,
        bytes: &[u8],
        wit: Option<&Wit>,
        room: Room,
    ) -> Result<(Inspected, Room), SandboxError> {
        let interface = interface::decode(bytes, wit)?;
        let inspected = Inspected::new(&interface, bytes);
        if let Some(taken) = inspected.tools.iter().find(|spec| self.tools.contains_key(&spec.name)) {
            return Err(SandboxError::Duplicate(taken.name.clone()));
        }
        let (machine, component, instance, room) = self.shared.compile(bytes, room)?;
        for function in &interface.functions {
            let name = function.function.as_str();
            let within = function.within.as_deref().map(|within| component.get_export_index(None, within));
            let found = match &within {
                Some(None) => None,
                Some(Some(within)) => component.get_export(Some(within), name),
                None => component.get_export(None, name),
            };
            let (Some((ComponentItem::ComponentFunc(ty), index)), Some(spec)) =
                (found, inspected.tools.iter().find(|spec| spec.name == function.name))
            else {
                return Err(SandboxError::NotATool(format!("it does not export {name}")));
            };
            let tool = Tool {
                spec: spec.clone(),
                machine: machine.clone(),
                instance: instance.clone(),
                function: index,
                parameters: ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect(),
                answer: ty.results().next(),
                fails_by_contract: function.fails_by_contract,
                wasi: interface.wasi,
            };
            self.tools.insert(spec.name.clone(), Arc::new(tool));
        }
        Ok((inspected, room))
    }
}

impl Shared {
    fn compile(
        &self,
        bytes: &[u8],
        room: Room,
    ) -> Result<(Arc<Machine>, Component, InstancePre<State>, Room), SandboxError> {
        let digest = component_digest(bytes);
        let compile = |machine: &Arc<Machine>, linker: &Linker<State>, room: Room| {
            let cache = self.options.cache_dir.as_deref();
            let component = cache::compile(&machine.engine, bytes, &digest, cache)?;
            let instance =
                linker.instantiate_pre(&component).map_err(|error| SandboxError::Link(error.into()))?;
            Ok((machine.clone(), component, instance, room))
        };
        let refused = match room {
            Room::OnDemand => None,
            Room::Pool => match compile(&self.machine, &self.linker, Room::Pool) {
                // Whether it was too large for a place or is broken shows where there is no place.
                Err(error @ SandboxError::Component(_)) if self.machine.pooled => Some(error),
                done => return done,
            },
        };
        let Roomy { machine, linker } = self.roomy()?;
        compile(&machine, &linker, Room::OnDemand).map_err(|error| refused.unwrap_or(error))
    }

    fn roomy(&self) -> Result<Roomy, SandboxError> {
        let mut roomy = self.roomy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roomy) = &*roomy {
            return Ok(roomy.clone());
        }
        let machine = Arc::new(Machine::on_demand(&self.options)?);
        let made = Roomy { linker: linker(&machine)?, machine };
        *roomy = Some(made.clone());
        Ok(made)
    }
}

fn linker(machine: &Machine) -> Result<Linker<State>, SandboxError> {
    let mut linker = Linker::new(&machine.engine);
    host::add_to_linker(&mut linker)
        .and_then(|()| wasi::add_to_linker(&mut linker))
        .map_err(|error| SandboxError::Engine(error.into()))?;
    Ok(linker)
}
