//! Components with doc comments: see `main.rs`. A library so that the tests can look at what was built.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;

use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Docs, PackageMetadata, Resolve, TypeDefKind, WorldId, WorldItem, WorldKey};

/// Returns a core module as a component; a component as it is.
pub fn component(bytes: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    // A core module's version field is 1 0, a component's layer field makes it 13 1.
    if bytes.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Ok(bytes);
    }
    Ok(ComponentEncoder::default().validate(true).module(&bytes)?.encode()?)
}

/// Adds the doc comments of `world`, which stands in the last of the folders `wit`, to a component that
/// implements it.
pub fn with_docs(component: &[u8], world: &str, wit: &[impl AsRef<Path>]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut source = Resolve::default();
    let mut packages = Vec::new();
    for folder in wit {
        packages = vec![source.push_path(folder)?.0];
    }
    let world = source.select_world(&packages, Some(world))?;
    let DecodedWasm::Component(mut decoded, root) = wit_component::decode(component)? else {
        return Err("a WIT package, not a component".into());
    };
    copy_docs(&source, world, &mut decoded, root);
    let package = decoded.worlds[root].package.ok_or("the component's world has no package")?;
    let data = PackageMetadata::extract(&decoded, package).encode()?;
    let mut out = component.to_vec();
    push_custom_section(&mut out, PackageMetadata::SECTION_NAME, &data);
    Ok(out)
}

fn copy_docs(source: &Resolve, world: WorldId, decoded: &mut Resolve, root: WorldId) {
    decoded.worlds[root].docs = source.worlds[world].docs.clone();
    for (key, item) in &source.worlds[world].exports {
        let (WorldKey::Name(name), WorldItem::Function(function)) = (key, item) else { continue };
        if let Some(WorldItem::Function(to)) =
            decoded.worlds[root].exports.get_mut(&WorldKey::Name(name.clone()))
        {
            to.docs = function.docs.clone();
        }
    }
    for (key, item) in &source.worlds[world].imports {
        let (WorldKey::Name(name), WorldItem::Type { id, .. }) = (key, item) else { continue };
        let Some(WorldItem::Type { id: to, .. }) =
            decoded.worlds[root].imports.get(&WorldKey::Name(name.clone()))
        else {
            continue;
        };
        let (from, to) = (&source.types[*id], &mut decoded.types[*to]);
        to.docs = from.docs.clone();
        if let (TypeDefKind::Record(from), TypeDefKind::Record(to)) = (&from.kind, &mut to.kind) {
            for field in &mut to.fields {
                field.docs = from
                    .fields
                    .iter()
                    .find(|other| other.name == field.name)
                    .map_or(Docs::default(), |other| other.docs.clone());
            }
        }
    }
}

fn push_custom_section(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = Vec::new();
    push_leb(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    out.push(0);
    push_leb(out, body.len());
    out.extend_from_slice(&body);
}

fn push_leb(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
