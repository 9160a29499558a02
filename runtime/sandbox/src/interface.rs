//! What a component's types say of it as a tool: its name, its description, its arguments' schema, what it
//! imports. Nothing is compiled or run for that.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use wit_parser::decoding::DecodedWasm;
use wit_parser::{
    Docs, Function, FunctionKind, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner,
    WorldId, WorldItem,
};

use crate::SandboxError;
use crate::error::CONTRACT;

/// The contract's own text. Components keep no doc comments of interfaces they import.
const CONTRACT_WIT: [(&str, &str); 2] = [
    ("tool.wit", include_str!("../../../wit/tool.wit")),
    ("tools.wit", include_str!("../../../wit/tools.wit")),
];

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

/// A component as a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interface {
    /// The exported function's name, in kebab-case.
    pub(crate) function: String,
    /// Its doc comment.
    pub(crate) description: String,
    /// JSON Schema of its arguments.
    pub(crate) schema: Value,
    /// Whether it can change files.
    pub(crate) writes: bool,
    /// Whether it imports any of WASI.
    pub(crate) wasi: bool,
}

/// Reads a component's types. `wit` is the text it was made from, for components that have lost their doc
/// comments.
pub(crate) fn decode(component: &[u8], wit: Option<&str>) -> Result<Interface, SandboxError> {
    let decoded =
        wit_parser::decoding::decode(component).map_err(|error| SandboxError::Component(error.into()))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(SandboxError::NotATool("it is a WIT package".to_owned()));
    };
    let imports = imports(&resolve, world)?;
    let function = function(&resolve, world)?;
    let wit = wit.map(parse_wit).transpose()?;
    let source = Source { resolve: &resolve, wit: wit.as_ref(), function: &function.name };
    failure_type(&resolve, function)?;
    let description = source.function_docs(function).ok_or_else(|| {
        not_a_tool(format!(
            "its function {} has no doc comment, which is the tool's description; where the component has lost \
             it, register the WIT beside it",
            function.name
        ))
    })?;
    let schema = source.arguments(function)?;
    Ok(Interface {
        function: function.name.clone(),
        description,
        schema,
        writes: imports.writes,
        wasi: imports.wasi,
    })
}

struct Imports {
    writes: bool,
    wasi: bool,
}

fn imports(resolve: &Resolve, world: WorldId) -> Result<Imports, SandboxError> {
    let mut found = Imports { writes: false, wasi: false };
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

fn function(resolve: &Resolve, world: WorldId) -> Result<&Function, SandboxError> {
    let mut functions = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        match item {
            WorldItem::Function(function) => functions.push(function),
            WorldItem::Interface { id, .. } if !resolve.interfaces[*id].functions.is_empty() => {
                let name = resolve.name_world_key(key);
                return Err(not_a_tool(format!(
                    "it exports functions in the interface {name}; export one function from the world"
                )));
            }
            WorldItem::Interface { .. } | WorldItem::Type { .. } => {}
        }
    }
    match functions.as_slice() {
        [function] if matches!(function.kind, FunctionKind::Freestanding) => Ok(function),
        [function] => Err(not_a_tool(format!("its function {} is not a plain one", function.name))),
        [] => Err(not_a_tool("it exports no function".to_owned())),
        several => {
            let names: Vec<&str> = several.iter().map(|function| function.name.as_str()).collect();
            Err(not_a_tool(format!(
                "it exports {} functions ({}); export one",
                names.len(),
                names.join(", ")
            )))
        }
    }
}

/// Checks that the function answers `result<_, failure>` with the contract's failure.
fn failure_type(resolve: &Resolve, function: &Function) -> Result<(), SandboxError> {
    let error = function.result.as_ref().and_then(|result| match kind(resolve, result) {
        Some((_, TypeDefKind::Result(result))) => result.err,
        _ => None,
    });
    let is_failure = error.and_then(|error| kind(resolve, &error)).is_some_and(|(definition, _)| {
        definition.name.as_deref() == Some("failure")
            && matches!(definition.owner, TypeOwner::Interface(id)
                if resolve.id_of(id).is_some_and(|id| id.starts_with("gloaming:tool/types@")))
    });
    if is_failure {
        return Ok(());
    }
    Err(not_a_tool(format!(
        "its function {} does not answer result<..., failure> with the failure of gloaming:tool/types",
        function.name
    )))
}

/// Where types and doc comments come from: the component, the WIT beside it, the contract.
struct Source<'a> {
    resolve: &'a Resolve,
    wit: Option<&'a Resolve>,
    function: &'a str,
}

impl Source<'_> {
    fn function_docs(&self, function: &Function) -> Option<String> {
        text(&function.docs).or_else(|| {
            self.wit.and_then(|wit| worlds_with(wit, self.function).find_map(|(_, found)| text(&found.docs)))
        })
    }

    /// The schema of the arguments: the one record's, or an object of the parameters.
    fn arguments(&self, function: &Function) -> Result<Value, SandboxError> {
        if let [only] = function.params.as_slice()
            && let Some((definition, TypeDefKind::Record(_))) = kind(self.resolve, &only.ty)
        {
            return self.definition(definition, DEPTH);
        }
        let mut properties = Map::new();
        let mut required = Vec::new();
        for parameter in &function.params {
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
    ) -> Result<(), SandboxError> {
        let name = snake_case(name);
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

    fn schema(&self, ty: &Type, depth: u32) -> Result<Value, SandboxError> {
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
            Type::ErrorContext => return Err(not_a_tool("an argument is an error-context".to_owned())),
            Type::Id(id) => self.definition(&self.resolve.types[*id], depth)?,
        })
    }

    fn definition(&self, definition: &TypeDef, depth: u32) -> Result<Value, SandboxError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(not_a_tool("the types of its arguments nest too deep".to_owned()));
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
                let names: Vec<String> = of.cases.iter().map(|case| snake_case(&case.name)).collect();
                json!({"type": "string", "enum": names})
            }
            TypeDefKind::Flags(flags) => {
                let names: Vec<String> = flags.flags.iter().map(|flag| snake_case(&flag.name)).collect();
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
                return Err(not_a_tool(format!("an argument is a {what}, which has no form in JSON")));
            }
        })
    }

    fn tagged(&self, name: &str, ty: &Type, depth: u32) -> Result<Value, SandboxError> {
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
                worlds_with(wit, self.function).find_map(|(world, _)| {
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

/// The contract, parsed.
fn contract() -> Option<&'static Resolve> {
    static PARSED: OnceLock<Option<Resolve>> = OnceLock::new();
    PARSED.get_or_init(|| parse(&CONTRACT_WIT).ok()).as_ref()
}

/// Parses the WIT beside a component; it may use the contract's interfaces.
fn parse_wit(text: &str) -> Result<Resolve, SandboxError> {
    let mut resolve = parse(&CONTRACT_WIT).map_err(SandboxError::Wit)?;
    resolve.push_source("component.wit", text).map_err(|error| SandboxError::Wit(error.into()))?;
    Ok(resolve)
}

fn parse(files: &[(&str, &str)]) -> Result<Resolve, Box<dyn std::error::Error + Send + Sync>> {
    let mut sources = wit_parser::SourceMap::new();
    for (name, text) in files {
        sources.push_str(name, *text);
    }
    let group = sources.parse().map_err(|(_, error)| error.to_string())?;
    let mut resolve = Resolve::new();
    resolve.push_group(group).map_err(|error| error.to_string())?;
    Ok(resolve)
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
pub(crate) fn snake_case(name: &str) -> String {
    name.trim_start_matches('%').replace('-', "_").to_ascii_lowercase()
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

    #[test]
    fn the_contract_parses() {
        assert!(contract().is_some());
    }
}
