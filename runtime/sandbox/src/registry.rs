//! The registered tools.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::tool::ToolSpec;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, InstancePre, Linker, Type};

use crate::engine::Machine;
use crate::host::State;
use crate::interface::{self, snake_case};
use crate::{Options, SandboxError, cache, component_digest, host, wasi};

/// The components that were embedded when this crate was built.
mod embedded {
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
    pub(crate) machine: Machine,
    pub(crate) memory: u64,
    pub(crate) deadline: Duration,
    linker: Linker<State>,
    options: Options,
}

/// A registered component, compiled and linked.
pub(crate) struct Tool {
    pub(crate) spec: ToolSpec,
    pub(crate) instance: InstancePre<State>,
    pub(crate) function: ComponentExportIndex,
    pub(crate) parameters: Vec<(String, Type)>,
    /// Whether it imports WASI, which hands refusals on without their words.
    pub(crate) wasi: bool,
}

impl Sandbox {
    /// Sets up the engine and registers the tools that are built in. The first time that takes seconds,
    /// while they are compiled; from `cache_dir` milliseconds.
    pub fn new(options: Options) -> Result<Self, SandboxError> {
        let mut sandbox = Self::without_tools(options)?;
        sandbox.register_embedded(&embedded::TOOLS)?;
        Ok(sandbox)
    }

    /// Sets up the engine alone.
    pub fn without_tools(options: Options) -> Result<Self, SandboxError> {
        let machine = Machine::new(&options)?;
        let mut linker = Linker::new(&machine.engine);
        host::add_to_linker(&mut linker)
            .and_then(|()| wasi::add_to_linker(&mut linker))
            .map_err(|error| SandboxError::Engine(error.into()))?;
        let (memory, deadline) = (options.memory, options.deadline);
        let shared = Shared { machine, memory, deadline, linker, options };
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
            let spec = self.register(component)?;
            if spec.name != *name {
                let message = format!("the component {name} exports {}", spec.name);
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

    /// Registers a component: reads its types, compiles it and links it. Refused are components that
    /// import what no grant could give, speak another version of the contract, do not export exactly one
    /// function that answers `result<_, failure>`, or carry no doc comment.
    pub fn register(&mut self, component: &[u8]) -> Result<ToolSpec, SandboxError> {
        self.register_from(component, None)
    }

    /// Registers a component that has lost its doc comments, with the WIT it was made from.
    pub fn register_with_wit(&mut self, component: &[u8], wit: &str) -> Result<ToolSpec, SandboxError> {
        self.register_from(component, Some(wit))
    }

    fn register_from(&mut self, bytes: &[u8], wit: Option<&str>) -> Result<ToolSpec, SandboxError> {
        let interface = interface::decode(bytes, wit)?;
        let spec = ToolSpec {
            name: snake_case(&interface.function),
            description: interface.description,
            input_schema: interface.schema,
            writes: interface.writes,
            component: Some(component_digest(bytes)),
        };
        if self.tools.contains_key(&spec.name) {
            return Err(SandboxError::Duplicate(spec.name));
        }
        let shared = &self.shared;
        let digest = component_digest(bytes);
        let component =
            cache::compile(&shared.machine.engine, bytes, &digest, shared.options.cache_dir.as_deref())?;
        let Some((ComponentItem::ComponentFunc(ty), function)) =
            component.get_export(None, interface.function.as_str())
        else {
            return Err(SandboxError::NotATool(format!("it does not export {}", interface.function)));
        };
        let parameters = ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
        let instance = shared
            .linker
            .instantiate_pre(&component)
            .map_err(|error| SandboxError::Component(error.into()))?;
        let tool = Tool { spec: spec.clone(), instance, function, parameters, wasi: interface.wasi };
        self.tools.insert(spec.name.clone(), Arc::new(tool));
        Ok(spec)
    }
}
