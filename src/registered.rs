//! `gloaming tools add`, `remove` and `describe`, and the registered tools that a grant offers.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use gloaming_api::Digest;
use gloaming_api::tool::ToolSpec;
use gloaming_policies::{DeclaredTool, Grant, HOST_NAMES, TOOLS};
use gloaming_sandbox::{
    Inspected, NewComponent, Sandbox, SandboxError, StoreError, StoredComponent, ToolStore, Wit, inspect,
};
use serde_json::{Value, json};

use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::told::print_json;

/// A registered tool that a policy offers and that cannot be had.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) tool: String,
    pub(crate) why: String,
    hint: String,
}

impl Missing {
    pub(crate) fn failure(self) -> Failure {
        Failure::usage(format!("the tool {} is not available: {}", self.tool, self.why)).hint(self.hint)
    }
}

pub(crate) fn store(home: &Home) -> ToolStore {
    ToolStore::new(home.data.join("tools")).with_cache(home.cache.join("components"))
}

/// Opens the sandbox with the built-in tools and those registered ones that a grant offers; says which of
/// those cannot be had. What no policy offers is not even read.
pub(crate) fn sandbox(home: &Home, grant: &Grant) -> anyhow::Result<(Sandbox, Vec<Missing>)> {
    let mut sandbox = context::built_in_sandbox(home)?;
    let declared = grant.declared_tools();
    let offered: BTreeSet<&str> =
        declared.iter().map(|tool| tool.name.as_str()).filter(|name| grant.offers(name)).collect();
    if offered.is_empty() {
        return Ok((sandbox, Vec::new()));
    }
    let store = store(home);
    let components = store.components().map_err(told)?;
    let mut missing = Vec::new();
    let mut loaded: BTreeSet<Digest> = BTreeSet::new();
    for name in offered {
        let places: Vec<&DeclaredTool> = declared.iter().filter(|tool| tool.name == name).collect();
        let absent = |why: String, hint: &str| Missing { tool: name.to_owned(), why, hint: hint.to_owned() };
        match chosen(&components, name, &places) {
            Err(why) => missing.push(absent(
                why,
                "register the component with `gloaming tools add FILE`, or change the policy's [[tool]] table",
            )),
            Ok(component) if loaded.contains(&component.digest) => {}
            Ok(component) => match store.load(&mut sandbox, component) {
                Ok(_) => {
                    loaded.insert(component.digest.clone());
                }
                Err(error) => missing.push(absent(
                    with_causes(&error),
                    &format!("gloaming tools remove {name}, then add it again"),
                )),
            },
        }
    }
    Ok((sandbox, missing))
}

/// Returns the component that serves a tool, when every file that pins it pins that one.
fn chosen<'a>(
    components: &'a [StoredComponent],
    name: &str,
    places: &[&DeclaredTool],
) -> Result<&'a StoredComponent, String> {
    let Some(component) = components.iter().find(|component| component.tools.iter().any(|tool| tool == name))
    else {
        let place = places.first().map(|tool| format!(" ({}:{} names it)", tool.file, tool.line));
        return Err(format!("no such tool is registered{}", place.unwrap_or_default()));
    };
    for place in places {
        if let Some(pin) = place.digest.as_ref().filter(|pin| **pin != component.digest) {
            return Err(format!(
                "{}:{} pins {pin}, and registered is {}",
                place.file, place.line, component.digest
            ));
        }
    }
    Ok(component)
}

/// Why a name is none for a tool of an operator's; nothing where it may be one.
pub(crate) fn own(name: &str) -> Option<&'static str> {
    match name {
        name if TOOLS.contains(&name) => Some("is built in"),
        name if HOST_NAMES.contains(&name) => Some("is a name that Gloaming keeps for a call of its own"),
        _ => None,
    }
}

pub(crate) fn add(
    home: &Home,
    file: &Path,
    wit: Option<&Path>,
    replace: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let bytes = context::read_component(file)?;
    let wit = wit.map(Wit::read).transpose().map_err(|error| refused(file, error))?;
    // Before anything is compiled: what its types say is enough for most refusals.
    let found = inspect(&bytes, wit.as_ref()).map_err(|error| refused(file, error))?;
    if let Some((taken, why)) = found.tools.iter().find_map(|tool| Some((tool, own(&tool.name)?))) {
        return Err(Failure::usage(format!(
            "{} would be the tool {}, which {why}",
            file.display(),
            taken.name
        ))
        .hint("rename the function in its WIT")
        .into());
    }
    let mut sandbox = context::built_in_sandbox(home)?;
    let source = std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string();
    let new = NewComponent { bytes, wit, source, added: context::now().to_string() };
    let (stored, found, replaced) =
        store(home).add(&mut sandbox, new, replace).map_err(|error| match error {
            StoreError::Refused(error) => refused(file, error),
            StoreError::Taken { ref tool, .. } => Failure::usage(error.to_string())
                .hint(format!("add it with --replace, or `gloaming tools remove {tool}` first"))
                .into(),
            error => told(error),
        })?;
    if json {
        let replaced: Vec<&Digest> = replaced.iter().map(|component| &component.digest).collect();
        let mut object = shown(&found);
        object["digest"] = json!(stored.digest);
        object["replaced"] = json!(replaced);
        print_json(&object);
        return Ok(ExitCode::from(exit::OK));
    }
    for old in &replaced {
        println!("replaced {} ({})", old.digest, old.tools.join(", "));
    }
    println!("registered {}", stored.digest);
    for tool in &found.tools {
        println!("  {}{}: {}", tool.name, if tool.writes { " (can write)" } else { "" }, first_line(tool));
    }
    for left in &found.left_out {
        println!("  not a tool: {}: {}", left.function, left.why);
    }
    println!("imports {}", listed(&found.imports));
    println!("\nNo policy offers it yet. To allow it, write into the operator's policy:\n");
    print!("{}", to_allow(&found.tools, &stored.digest));
    Ok(ExitCode::from(exit::OK))
}

pub(crate) fn remove(home: &Home, tool: &str) -> anyhow::Result<ExitCode> {
    let store = store(home);
    let components = store.components().map_err(told)?;
    let named = |component: &&StoredComponent| {
        component.digest.as_str() == tool || component.tools.iter().any(|name| name == tool)
    };
    let Some(component) = components.iter().find(named) else {
        let message = if let Some(why) = own(tool) {
            format!("the tool {tool} {why}")
        } else {
            format!("no registered component is or has {tool}")
        };
        return Err(Failure::usage(message)
            .hint("a policy's [[deny]] takes a tool away; `gloaming tools list` lists them")
            .into());
    };
    store.remove(component).map_err(told)?;
    println!("removed {} ({})", component.digest, component.tools.join(", "));
    Ok(ExitCode::from(exit::OK))
}

pub(crate) fn describe(home: &Home, tool: &str, wit: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let store = store(home);
    let registered = store.components().map_err(told)?;
    let of_name = registered.iter().find(|component| component.tools.iter().any(|name| name == tool));
    let (found, source) = if let Some(component) = of_name {
        let mut found = store.inspect(component).map_err(told)?;
        found.tools.retain(|spec| spec.name == tool);
        (found, Source::Registered(component))
    } else if let Some(spec) = built_in(home)?.into_iter().find(|spec| spec.name == tool) {
        let source = if spec.component.is_some() { Source::BuiltIn } else { Source::Host };
        (Inspected { tools: vec![spec], left_out: Vec::new(), imports: Vec::new() }, source)
    } else if tool.ends_with(".wasm") {
        let file = Path::new(tool);
        let wit = wit.map(Wit::read).transpose().map_err(|error| refused(file, error))?;
        let bytes = context::read_component(file)?;
        (inspect(&bytes, wit.as_ref()).map_err(|error| refused(file, error))?, Source::File)
    } else {
        return Err(Failure::usage(format!("there is no tool {tool}"))
            .hint("`gloaming tools list` lists them; a component that is not registered is named by its file")
            .into());
    };
    if json {
        let mut object = shown(&found);
        object["source"] = source.json();
        print_json(&object);
        return Ok(ExitCode::from(exit::OK));
    }
    for spec in &found.tools {
        println!("{} ({}{})", spec.name, source.words(), if spec.writes { ", can write" } else { "" });
        for line in spec.description.lines() {
            println!("    {}", line.trim());
        }
        if let Some(digest) = &spec.component {
            println!("component: {digest}");
        }
        println!("arguments:");
        for line in arguments(&spec.input_schema) {
            println!("    {line}");
        }
    }
    for left in &found.left_out {
        println!("not a tool: {}: {}", left.function, left.why);
    }
    if !found.imports.is_empty() {
        println!("imports: {}", listed(&found.imports));
    }
    Ok(ExitCode::from(exit::OK))
}

/// Where a tool comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    BuiltIn,
    Host,
    Registered(&'a StoredComponent),
    File,
}

impl Source<'_> {
    pub(crate) fn words(self) -> String {
        match self {
            Self::BuiltIn => "built in".to_owned(),
            Self::Host => "host: container job".to_owned(),
            Self::Registered(component) => format!("registered from {}", component.source),
            Self::File => "not registered".to_owned(),
        }
    }

    pub(crate) fn json(self) -> Value {
        match self {
            Self::BuiltIn => json!({"kind": "built_in"}),
            Self::Host => json!({"kind": "host"}),
            Self::Registered(component) => {
                json!({"kind": "registered", "file": component.source, "added": component.added})
            }
            Self::File => json!({"kind": "file"}),
        }
    }
}

/// Returns the tools that are there without registering any.
pub(crate) fn built_in(home: &Home) -> anyhow::Result<Vec<ToolSpec>> {
    let mut tools = context::built_in_sandbox(home)?.tools();
    tools.push(gloaming_worker::check::spec());
    Ok(tools)
}

/// Returns what to write into a policy so that it offers tools of a component.
fn to_allow(tools: &[ToolSpec], digest: &Digest) -> String {
    let names: Vec<String> = tools.iter().map(|tool| format!("{:?}", tool.name)).collect();
    let mut text = String::new();
    for name in &names {
        text.push_str(&format!("[[tool]]\nname = {name}\ndigest = \"{digest}\"\n\n"));
    }
    let id = tools.first().map_or_else(String::new, |tool| tool.name.replace('_', "-"));
    text.push_str(&format!(
        "[[allow]]\nid = \"allow-{}\"\ntools = [{}]\npaths = [\"**\"]\n",
        &id[..id.len().min(56)],
        names.join(", ")
    ));
    text
}

/// Returns one line for each argument of a tool's schema.
fn arguments(schema: &Value) -> Vec<String> {
    let none = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if properties.is_empty() {
        return vec!["none".to_owned()];
    }
    let line = |(name, property): (&String, &Value)| {
        let ty = property["type"].as_str().unwrap_or("one of several");
        let optional = if required.contains(&name.as_str()) { "" } else { ", optional" };
        match property["description"].as_str() {
            Some(docs) => format!("{name} ({ty}{optional}): {}", docs.replace('\n', " ")),
            None => format!("{name} ({ty}{optional})"),
        }
    };
    properties.iter().map(line).collect()
}

fn shown(found: &Inspected) -> Value {
    let left_out: Vec<Value> =
        found.left_out.iter().map(|left| json!({"function": left.function, "why": left.why})).collect();
    json!({"tools": found.tools, "left_out": left_out, "imports": found.imports})
}

fn first_line(tool: &ToolSpec) -> &str {
    tool.description.lines().next().unwrap_or_default()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn refused(file: &Path, error: SandboxError) -> anyhow::Error {
    let failure = Failure::usage(format!("{} is refused: {}", file.display(), with_causes(&error)));
    match error.advice() {
        Some(advice) => failure.hint(advice).into(),
        None => failure.into(),
    }
}

/// A fault of the folder of registered tools.
pub(crate) fn told(error: StoreError) -> anyhow::Error {
    Failure::infrastructure("use the registered tools", error).into()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
