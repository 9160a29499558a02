//! What `build.sh` made: run it first. Each component imports what its world says and no more, and carries
//! the doc comments that a tool's description and schema are made of.
#![expect(clippy::disallowed_methods, reason = "a build tool on its own files")]

use std::path::{Path, PathBuf};

use wit_component::{DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, TypeDefKind, WorldId, WorldItem, WorldKey};

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns a component in words: imported interfaces, then exported functions and the records of the world
/// with the beginnings of their doc comments.
fn describe(component: &[u8]) -> Vec<String> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).expect("a component")
    else {
        panic!("a WIT package")
    };
    words(&resolve, world)
}

fn words(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let begin = |docs: &wit_parser::Docs| {
        let docs = docs.contents.as_deref().unwrap_or("UNDOCUMENTED");
        docs.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
    };
    let world = &resolve.worlds[world];
    let mut out = Vec::new();
    for (key, item) in &world.imports {
        match (key, item) {
            (WorldKey::Interface(id), _) if !resolve.interfaces[*id].functions.is_empty() => {
                out.push(format!("import {}", resolve.id_of(*id).unwrap_or_default()));
            }
            (WorldKey::Name(name), WorldItem::Type { id, .. }) => {
                let definition = &resolve.types[*id];
                let TypeDefKind::Record(record) = &definition.kind else { continue };
                out.push(format!("record {name}: {}", begin(&definition.docs)));
                if name.ends_with("-args") {
                    out.extend(
                        record.fields.iter().map(|field| format!("  {}: {}", field.name, begin(&field.docs))),
                    );
                }
            }
            _ => {}
        }
    }
    for (key, item) in &world.exports {
        if let WorldItem::Function(function) = item {
            out.push(format!("export {}: {}", resolve.name_world_key(key), begin(&function.docs)));
        }
    }
    out
}

fn built(name: &str) -> Vec<String> {
    let path = tools().join("target/components").join(format!("{name}.wasm"));
    describe(
        &std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; run tools/build.sh first", path.display())),
    )
}

#[test]
fn docs_are_added_to_a_component_of_any_maker() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(tools().join("../wit")).unwrap();
    let world = resolve.select_world(&[package], Some("write-tool")).unwrap();
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let component = componentize::component(module).unwrap();
    assert_eq!(describe(&component).last().unwrap(), "export write: UNDOCUMENTED");
    let component = componentize::with_docs(&component, "write-tool", &[tools().join("../wit")]).unwrap();
    assert_eq!(
        describe(&component),
        [
            "import gloaming:tool/workspace@0.1.0",
            "import gloaming:tool/changes@0.1.0",
            "import gloaming:tool/log@0.1.0",
            "record write-args: What to write.",
            "  path: The file's path; missing",
            "  content: The whole content.",
            "  overwrite: Whether an existing file",
            "record write-output: What was done.",
            "export write: Creates a file with",
        ]
    );
}

#[test]
fn tools_import_what_they_use_and_say_what_they_do() {
    let (read, compare, write) = (
        &["import gloaming:tool/workspace@0.1.0", "import gloaming:tool/log@0.1.0"][..],
        &[
            "import gloaming:tool/workspace@0.1.0",
            "import gloaming:tool/base@0.1.0",
            "import gloaming:tool/log@0.1.0",
        ][..],
        &[
            "import gloaming:tool/workspace@0.1.0",
            "import gloaming:tool/changes@0.1.0",
            "import gloaming:tool/log@0.1.0",
        ][..],
    );
    for (tool, imports) in [
        ("read", read),
        ("list", read),
        ("search", read),
        ("outline", read),
        ("diff", compare),
        ("edit", write),
        ("write", write),
        ("patch", write),
        ("move", write),
        ("remove", write),
    ] {
        let words = built(tool);
        let mut found: Vec<&str> =
            words.iter().filter(|line| line.starts_with("import")).map(String::as_str).collect();
        let mut imports = imports.to_vec();
        found.sort_unstable();
        imports.sort_unstable();
        assert_eq!(found, imports, "{tool}");
        assert!(!words.iter().any(|line| line.contains("UNDOCUMENTED")), "{tool}: {words:#?}");
        assert!(words.last().unwrap().starts_with(&format!("export {tool}: ")), "{tool}: {words:#?}");
    }
}

#[test]
fn builds_over_wasi_say_the_same_and_import_wasi_only() {
    for tool in ["read", "edit"] {
        let said = |words: Vec<String>| -> Vec<String> {
            words.into_iter().filter(|line| !line.starts_with("import")).collect()
        };
        let wasi = built(&format!("{tool}-wasi"));
        for import in wasi.iter().filter(|line| line.starts_with("import")) {
            assert!(import.starts_with("import wasi:"), "{tool}: {import}");
            assert!(!import.contains("sockets") && !import.contains("http"), "{tool}: {import}");
        }
        assert_eq!(said(wasi), said(built(tool)));
    }
}

#[test]
fn every_guest_that_misbehaves_is_there() {
    for guest in std::fs::read_dir(tools().join("test-guests")).unwrap() {
        let name = guest.unwrap().file_name().into_string().unwrap();
        if name.starts_with("evil-") {
            assert!(built(&format!("test/{name}")).last().unwrap().starts_with("export "), "{name}");
        }
    }
}
