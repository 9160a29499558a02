//! What a component's types say of it: which of the functions it exports are tools, their names, descriptions
//! and arguments' schemas, and what it imports. Nothing is compiled or run for that.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use wit_parser::decoding::DecodedWasm;
use wit_parser::{
    Docs, Function, FunctionKind, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner,
    WorldId, WorldItem,
};

use crate::error::CONTRACT;
use crate::wit::contract;
use crate::{SandboxError, Wit};

/// Interfaces of `gloaming:tool` that can be imported; those named `...-types` too, while they hold no
/// functions.
const OURS: [&str; 5] = ["types", "workspace", "changes", "base", "log"];

/// Interfaces of WASI 0.2 that are served.
const WASI: [&str; 20] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
];

/// How deep argument types may nest.
const DEPTH: u32 = 16;

/// The longest name of a tool: the most that providers of models take.
const NAME: usize = 64;

/// A component as tools.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interface {
    /// The exported functions that are tools; at least one.
    pub(crate) functions: Vec<Exported>,
    /// The others.
    pub(crate) left_out: Vec<LeftOut>,
    /// The interfaces it imports, sorted.
    pub(crate) imports: Vec<String>,
    /// Whether it can change files.
    pub(crate) writes: bool,
    /// Whether it imports any of WASI.
    pub(crate) wasi: bool,
}

/// An exported function that is a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exported {
    /// The tool's name.
    pub(crate) name: String,
    /// The exported interface it lies in; none for one of the world itself.
    pub(crate) within: Option<String>,
    /// The function's name, in kebab-case.
    pub(crate) function: String,
    /// Its doc comment.
    pub(crate) description: String,
    /// JSON Schema of its arguments.
    pub(crate) schema: Value,
    /// Whether its errors are the contract's failures.
    pub(crate) fails_by_contract: bool,
}

/// An exported function that is no tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The function, with its interface.
    pub function: String,
    /// Why.
    pub why: String,
}

/// Why something cannot be a tool.
type Why<T> = Result<T, String>;

/// Reads a component's types. `wit` is the text it was made from, for components that have lost their doc
/// comments.
pub(crate) fn decode(component: &[u8], wit: Option<&Wit>) -> Result<Interface, SandboxError> {
    // A core module's version field is 1 0 0 0.
    if component.starts_with(b"\0asm\x01\0\0\0") {
        return Err(not_a_tool(
            "it is a core module; build it for wasm32-wasip2, or make a component of it with `wasm-tools \
             component new`"
                .to_owned(),
        ));
    }
    let decoded =
        wit_parser::decoding::decode(component).map_err(|error| SandboxError::Component(error.into()))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(not_a_tool("it is a WIT package".to_owned()));
    };
    let imports = imports(&resolve, world)?;
    let wit = wit.map(Wit::parse).transpose()?;
    let mut functions = Vec::new();
    let mut left_out = Vec::new();
    for (within, function) in exports(&resolve, world) {
        let source = Source { resolve: &resolve, wit: wit.as_ref(), within, function };
        match source.tool() {
            Ok(tool) => functions.push(tool),
            Err(why) => left_out.push(LeftOut { function: source.full_name(), why }),
        }
    }
    name(&mut functions)?;
    if functions.is_empty() {
        let all: Vec<String> =
            left_out.iter().map(|left| format!("{}: {}", left.function, left.why)).collect();
        return Err(not_a_tool(match all.as_slice() {
            [] => "it exports no function".to_owned(),
            all => format!("none of the functions it exports can be one ({})", all.join("; ")),
        }));
    }
    let Imports { writes, wasi, names } = imports;
    Ok(Interface { functions, left_out, imports: names, writes, wasi })
}

/// The exported functions, each with the interface it lies in.
fn exports(resolve: &Resolve, world: WorldId) -> Vec<(Option<(String, InterfaceId)>, &Function)> {
    let mut found = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        match item {
            WorldItem::Function(function) => found.push((None, function)),
            WorldItem::Interface { id, .. } => {
                let name = resolve.name_world_key(key);
                let functions = resolve.interfaces[*id].functions.values();
                found.extend(functions.map(|function| (Some((name.clone(), *id)), function)));
            }
            WorldItem::Type { .. } => {}
        }
    }
    found
}

/// Names each tool after its function; where several have one name, with the interface's before it.
fn name(functions: &mut [Exported]) -> Result<(), SandboxError> {
    let plain: Vec<_> = functions.iter().map(|tool| snake_case(&tool.function).into_owned()).collect();
    for (tool, name) in functions.iter_mut().zip(&plain) {
        let ambiguous = plain.iter().filter(|other| *other == name).count() > 1;
        tool.name = match &tool.within {
            Some(interface) if ambiguous => {
                let (path, _) = interface.split_once('@').unwrap_or((interface, ""));
                let short = path.rsplit('/').next().unwrap_or(path);
                format!("{}_{name}", snake_case(short))
            }
            _ => name.clone(),
        };
    }
    for (at, tool) in functions.iter().enumerate() {
        if tool.name.len() > NAME {
            let message =
                format!("the name {} is longer than {NAME} characters; rename the function", tool.name);
            return Err(not_a_tool(message));
        }
        if functions[..at].iter().any(|other| other.name == tool.name) {
            let message = format!("two of its functions would be the tool {}; rename one of them", tool.name);
            return Err(not_a_tool(message));
        }
    }
    Ok(())
}

struct Imports {
    writes: bool,
    wasi: bool,
    names: Vec<String>,
}

fn imports(resolve: &Resolve, world: WorldId) -> Result<Imports, SandboxError> {
    let mut found = Imports { writes: false, wasi: false, names: Vec::new() };
    let mut refused = Vec::new();
    for (key, item) in &resolve.worlds[world].imports {
        let name = resolve.name_world_key(key);
        let id = match item {
            WorldItem::Type { .. } => continue,
            WorldItem::Function(_) => {
                refused.push(name);
                continue;
            }
            WorldItem::Interface { id, .. } => *id,
        };
        found.names.push(name.clone());
        let (path, version) = name.split_once('@').unwrap_or((name.as_str(), ""));
        if let Some(interface) = path.strip_prefix("gloaming:tool/") {
            if !compatible(version) {
                return Err(SandboxError::Version { found: version.to_owned() });
            }
            let types_only = interface.ends_with("-types") && resolve.interfaces[id].functions.is_empty();
            if !types_only && !OURS.contains(&interface) {
                refused.push(name.clone());
            }
            found.writes |= interface == "changes";
        } else if path.strip_prefix("wasi:").is_some_and(|interface| WASI.contains(&interface))
            && version.starts_with("0.2.")
        {
            found.wasi = true;
            // What is written over WASI is not to be told from what is read before it happens.
            found.writes |= path == "wasi:filesystem/types";
        } else {
            refused.push(name);
        }
    }
    if refused.is_empty() {
        found.names.sort();
        return Ok(found);
    }
    refused.sort();
    Err(SandboxError::Imports(refused))
}

/// Whether a component built against this version of the contract finds everything here: the same minor
/// version (before 1.0, minors break), and no later patch.
fn compatible(version: &str) -> bool {
    let parts = |version: &str| -> Option<[u32; 3]> {
        let mut parts = version.splitn(3, '.').map(|part| part.parse::<u32>().ok());
        Some([parts.next()??, parts.next()??, parts.next()??])
    };
    match (parts(version), parts(CONTRACT)) {
        (Some(theirs), Some(ours)) => theirs[..2] == ours[..2] && theirs[2] <= ours[2],
        _ => false,
    }
}

/// Whether a type is the contract's failure.
fn is_failure(resolve: &Resolve, ty: &Type) -> bool {
    kind(resolve, ty).is_some_and(|(definition, _)| {
        definition.name.as_deref() == Some("failure")
            && matches!(definition.owner, TypeOwner::Interface(id)
                if resolve.id_of(id).is_some_and(|id| id.starts_with("gloaming:tool/types@")))
    })
}

/// A function, and where its types and doc comments come from: the component, the WIT beside it, the contract.
struct Source<'a> {
    resolve: &'a Resolve,
    wit: Option<&'a Resolve>,
    within: Option<(String, InterfaceId)>,
    function: &'a Function,
}

impl Source<'_> {
    fn tool(&self) -> Why<Exported> {
        let function = self.function;
        match function.kind {
            FunctionKind::Freestanding => {}
            FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) | FunctionKind::AsyncStatic(_) => {
                return Err("it is async; export a plain function".to_owned());
            }
            FunctionKind::Method(_) | FunctionKind::Static(_) | FunctionKind::Constructor(_) => {
                return Err("it belongs to a resource; export a plain function".to_owned());
            }
        }
        if let Some((interface, _)) = &self.within
            && interface.starts_with("wasi:")
        {
            return Err("it is WASI's".to_owned());
        }
        let description = self.docs().ok_or_else(|| {
            "it has no doc comment, which is the tool's description; where the toolchain lost it, register the \
             component with its WIT"
                .to_owned()
        })?;
        let schema = self.arguments()?;
        Ok(Exported {
            name: String::new(),
            within: self.within.as_ref().map(|(name, _)| name.clone()),
            function: function.name.clone(),
            description,
            schema,
            fails_by_contract: self.answer()?,
        })
    }

    fn full_name(&self) -> String {
        match &self.within {
            Some((interface, _)) => format!("{interface}.{}", self.function.name),
            None => self.function.name.clone(),
        }
    }

    fn docs(&self) -> Option<String> {
        text(&self.function.docs).or_else(|| {
            let (wit, name) = (self.wit?, self.function.name.as_str());
            match self.within {
                None => worlds_with(wit, name).find_map(|(_, found)| text(&found.docs)),
                Some((_, id)) => {
                    let theirs = same_interface(wit, self.resolve, id)?;
                    text(&wit.interfaces[theirs].functions.get(name)?.docs)
                }
            }
        })
    }

    /// Checks that what it answers can be told as JSON, and says whether its errors are the contract's.
    fn answer(&self) -> Why<bool> {
        let Some(result) = &self.function.result else { return Ok(false) };
        let mut contract = false;
        match kind(self.resolve, result) {
            Some((_, TypeDefKind::Result(result))) => {
                contract = result.err.is_some_and(|error| is_failure(self.resolve, &error));
                for part in [result.ok, result.err].into_iter().flatten() {
                    self.told(&part, DEPTH)?;
                }
            }
            _ => self.told(result, DEPTH)?,
        }
        Ok(contract)
    }

    fn told(&self, ty: &Type, depth: u32) -> Why<()> {
        let Some((_, kind)) = kind(self.resolve, ty) else {
            return match ty {
                Type::ErrorContext => {
                    Err("it answers an error-context, which has no form in JSON".to_owned())
                }
                _ => Ok(()),
            };
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err("the types of its answer nest too deep".to_owned());
        };
        let all = |types: Vec<&Type>| types.into_iter().try_for_each(|ty| self.told(ty, depth));
        match kind {
            TypeDefKind::Record(record) => all(record.fields.iter().map(|field| &field.ty).collect()),
            TypeDefKind::Variant(variant) => {
                all(variant.cases.iter().filter_map(|case| case.ty.as_ref()).collect())
            }
            TypeDefKind::Tuple(tuple) => all(tuple.types.iter().collect()),
            TypeDefKind::Result(result) => all([&result.ok, &result.err].into_iter().flatten().collect()),
            TypeDefKind::Option(inner)
            | TypeDefKind::List(inner)
            | TypeDefKind::FixedLengthList(inner, _) => self.told(inner, depth),
            TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => Ok(()),
            other => {
                Err(format!("its answer holds the type `{}`, which has no form in JSON", other.as_str()))
            }
        }
    }

    /// The schema of the arguments: the one record's, or an object of the parameters.
    fn arguments(&self) -> Why<Value> {
        if let [only] = self.function.params.as_slice()
            && let Some((definition, TypeDefKind::Record(_))) = kind(self.resolve, &only.ty)
        {
            return self.definition(definition, DEPTH);
        }
        let mut properties = Map::new();
        let mut required = Vec::new();
        for parameter in &self.function.params {
            self.property(&parameter.name, &parameter.ty, None, DEPTH, &mut properties, &mut required)?;
        }
        Ok(object(properties, required))
    }

    fn property(
        &self,
        name: &str,
        ty: &Type,
        docs: Option<String>,
        depth: u32,
        properties: &mut Map<String, Value>,
        required: &mut Vec<String>,
    ) -> Why<()> {
        let name = snake_case(name).into_owned();
        let mut schema = match kind(self.resolve, ty) {
            Some((_, TypeDefKind::Option(inner))) => self.schema(inner, depth)?,
            _ => {
                required.push(name.clone());
                self.schema(ty, depth)?
            }
        };
        if let (Some(docs), Value::Object(schema)) = (docs, &mut schema) {
            schema.insert("description".to_owned(), docs.into());
        }
        properties.insert(name, schema);
        Ok(())
    }

    fn schema(&self, ty: &Type, depth: u32) -> Why<Value> {
        let integer = |low: i64, high: u64| json!({"type": "integer", "minimum": low, "maximum": high});
        Ok(match ty {
            Type::Bool => json!({"type": "boolean"}),
            Type::U8 => integer(0, u8::MAX.into()),
            Type::U16 => integer(0, u16::MAX.into()),
            Type::U32 => integer(0, u32::MAX.into()),
            Type::U64 => json!({"type": "integer", "minimum": 0}),
            Type::S8 => integer(i8::MIN.into(), i8::MAX as u64),
            Type::S16 => integer(i16::MIN.into(), i16::MAX as u64),
            Type::S32 => integer(i32::MIN.into(), i32::MAX as u64),
            Type::S64 => json!({"type": "integer"}),
            Type::F32 | Type::F64 => json!({"type": "number"}),
            Type::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            Type::String => json!({"type": "string"}),
            Type::ErrorContext => {
                return Err("an argument is an error-context, which has no form in JSON".to_owned());
            }
            Type::Id(id) => self.definition(&self.resolve.types[*id], depth)?,
        })
    }

    fn definition(&self, definition: &TypeDef, depth: u32) -> Why<Value> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err("the types of its arguments nest too deep".to_owned());
        };
        Ok(match &definition.kind {
            TypeDefKind::Type(alias) => self.schema(alias, depth)?,
            TypeDefKind::Record(record) => {
                let mut properties = Map::new();
                let mut required = Vec::new();
                for field in &record.fields {
                    let docs = text(&field.docs).or_else(|| self.field_docs(definition, &field.name));
                    self.property(&field.name, &field.ty, docs, depth, &mut properties, &mut required)?;
                }
                object(properties, required)
            }
            TypeDefKind::Option(inner) => {
                json!({"anyOf": [self.schema(inner, depth)?, {"type": "null"}]})
            }
            TypeDefKind::List(inner) => json!({"type": "array", "items": self.schema(inner, depth)?}),
            TypeDefKind::FixedLengthList(inner, length) => json!({
                "type": "array", "items": self.schema(inner, depth)?, "minItems": length, "maxItems": length,
            }),
            TypeDefKind::Tuple(tuple) => {
                let items =
                    tuple.types.iter().map(|ty| self.schema(ty, depth)).collect::<Result<Vec<_>, _>>()?;
                json!({
                    "type": "array", "prefixItems": items, "items": false,
                    "minItems": items.len(), "maxItems": items.len(),
                })
            }
            TypeDefKind::Enum(of) => {
                let names: Vec<_> = of.cases.iter().map(|case| snake_case(&case.name)).collect();
                json!({"type": "string", "enum": names})
            }
            TypeDefKind::Flags(flags) => {
                let names: Vec<_> = flags.flags.iter().map(|flag| snake_case(&flag.name)).collect();
                json!({"type": "array", "items": {"type": "string", "enum": names}, "uniqueItems": true})
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| match &case.ty {
                    None => Ok(json!({"const": snake_case(&case.name)})),
                    Some(ty) => self.tagged(&snake_case(&case.name), ty, depth),
                });
                json!({"oneOf": cases.collect::<Result<Vec<_>, _>>()?})
            }
            other => {
                let what = other.as_str();
                return Err(format!("an argument holds the type `{what}`, which has no form in JSON"));
            }
        })
    }

    fn tagged(&self, name: &str, ty: &Type, depth: u32) -> Why<Value> {
        let mut properties = Map::new();
        properties.insert(name.to_owned(), self.schema(ty, depth)?);
        Ok(object(properties, vec![name.to_owned()]))
    }

    /// Finds a field's doc comment in the WIT beside the component or in the contract.
    fn field_docs(&self, definition: &TypeDef, field: &str) -> Option<String> {
        let name = definition.name.as_deref()?;
        let of = |resolve: &Resolve, id: TypeId| match &resolve.types[id].kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().find(|other| other.name == field).and_then(|other| text(&other.docs))
            }
            _ => None,
        };
        match definition.owner {
            TypeOwner::Interface(id) => [self.wit, contract()].into_iter().flatten().find_map(|wit| {
                let ours = same_interface(wit, self.resolve, id)?;
                of(wit, *wit.interfaces[ours].types.get(name)?)
            }),
            TypeOwner::World(_) => self.wit.and_then(|wit| {
                worlds_with(wit, &self.function.name).find_map(|(world, _)| {
                    let found = wit.types.iter().find(|(_, ty)| {
                        ty.owner == TypeOwner::World(world) && ty.name.as_deref() == Some(name)
                    });
                    of(wit, found?.0)
                })
            }),
            TypeOwner::None => None,
        }
    }
}

/// Follows aliases.
fn kind<'a>(resolve: &'a Resolve, ty: &Type) -> Option<(&'a TypeDef, &'a TypeDefKind)> {
    let Type::Id(id) = ty else { return None };
    let definition = &resolve.types[*id];
    match &definition.kind {
        TypeDefKind::Type(alias) => kind(resolve, alias),
        other => Some((definition, other)),
    }
}

fn worlds_with<'a>(
    resolve: &'a Resolve,
    function: &'a str,
) -> impl Iterator<Item = (WorldId, &'a Function)> + 'a {
    resolve.worlds.iter().flat_map(move |(id, world)| {
        world.exports.values().filter_map(move |item| match item {
            WorldItem::Function(found) if found.name == function => Some((id, found)),
            _ => None,
        })
    })
}

fn same_interface(wit: &Resolve, other: &Resolve, id: InterfaceId) -> Option<InterfaceId> {
    let name = other.id_of(id)?;
    wit.interfaces.iter().map(|(id, _)| id).find(|id| wit.id_of(*id).as_ref() == Some(&name))
}

fn object(properties: Map<String, Value>, required: Vec<String>) -> Value {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    Value::Object(schema)
}

/// Returns a doc comment as one paragraph per blank-line-separated block.
fn text(docs: &Docs) -> Option<String> {
    let contents = docs.contents.as_deref()?.trim();
    let paragraphs = contents.split("\n\n").map(|part| {
        part.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    });
    let text = paragraphs.collect::<Vec<_>>().join("\n\n");
    if text.is_empty() { None } else { Some(text) }
}

/// Returns a WIT name as JSON spells it.
pub(crate) fn snake_case(name: &str) -> Cow<'_, str> {
    let name = name.trim_start_matches('%');
    // Most names are one word: nothing is to be changed.
    if name.bytes().any(|byte| byte == b'-' || byte.is_ascii_uppercase()) {
        return name.replace('-', "_").to_ascii_lowercase().into();
    }
    name.into()
}

fn not_a_tool(why: String) -> SandboxError {
    SandboxError::NotATool(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_whose_interfaces_are_all_here_is_compatible() {
        assert!(compatible("0.1.0"));
        for bad in ["0.1.1", "0.2.0", "1.0.0", "0.0.9", "", "0.1", "x"] {
            assert!(!compatible(bad), "{bad}");
        }
    }
}
