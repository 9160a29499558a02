//! What manifests and the layout of the sources say, one file for each ecosystem.

mod go;
mod java;
mod native;
mod node;
mod parts;
mod python;
mod rust;
mod toml_lines;

use gloaming_api::RelPath;
use gloaming_api::profile::Ecosystem;

use crate::mine::Mined;
use crate::tree::Tree;

pub(crate) use parts::parts;
pub(crate) use toml_lines::Toml;

/// Mines every ecosystem that is there; returns them, most files first.
pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> Vec<Ecosystem> {
    let mut found: Vec<(usize, Ecosystem)> = Vec::new();
    for (ecosystem, extensions, mine) in [
        (Ecosystem::Rust, &["rs"][..], rust::mine as fn(&Tree, &mut Mined) -> bool),
        (Ecosystem::Python, &["py", "pyi"], python::mine),
        (Ecosystem::Node, &["js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"], node::mine),
        (Ecosystem::Go, &["go"], go::mine),
        (Ecosystem::Java, &["java", "kt", "groovy", "scala"], java::mine),
        // The last: a Makefile alone says C only where no other manifest says something else.
        (Ecosystem::C, native::EXTENSIONS, native::mine),
    ] {
        mined.others = !found.is_empty();
        if mine(tree, mined) {
            found.push((
                tree.files().iter().filter(|file| has_extension(file, extensions)).count(),
                ecosystem,
            ));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    found.into_iter().map(|(_, ecosystem)| ecosystem).collect()
}

fn has_extension(file: &RelPath, extensions: &[&str]) -> bool {
    file.name().and_then(|name| name.rsplit_once('.')).is_some_and(|(_, end)| extensions.contains(&end))
}

/// Returns the manifests of one name that lie in no folder of another.
fn roots<'a>(tree: &'a Tree, name: &'a str) -> Vec<(&'a RelPath, RelPath)> {
    let mut roots: Vec<(&RelPath, RelPath)> = Vec::new();
    for file in tree.named(name) {
        let Some(folder) = file.parent() else { continue };
        if !roots.iter().any(|(_, root)| folder.is_within(root)) {
            roots.push((file, folder));
        }
        if roots.len() == 10 {
            break;
        }
    }
    roots
}

/// Returns a file of a folder that is there.
pub(crate) fn beside(tree: &Tree, folder: &RelPath, name: &str) -> Option<RelPath> {
    folder.join(name).ok().filter(|file| tree.has(file.as_str()))
}
