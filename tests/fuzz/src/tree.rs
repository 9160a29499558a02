//! Files by path, and the workspace of the tools that holds them.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use guest::memory::Memory;

/// Files by path.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

/// How many files an input makes at most, and how large one is: more is only slower.
const FILES: usize = 8;
const BYTES: usize = 16 << 10;

/// Adds a file, where a workspace could hold it beside the others.
pub(crate) fn add(tree: &mut Tree, path: &str, data: &[u8]) {
    let fits = RelPath::parse(path).is_ok_and(|parsed| parsed.as_str() == path && !parsed.is_root());
    if fits && tree.len() < FILES && data.len() <= BYTES {
        let before = tree.insert(path.to_owned(), data.to_vec());
        if !is_possible(tree) {
            match before {
                Some(before) => tree.insert(path.to_owned(), before),
                None => tree.remove(path),
            };
        }
    }
}

/// Whether every path is one of a workspace, and no file lies in a file.
pub(crate) fn is_possible(tree: &Tree) -> bool {
    tree.keys().all(|path| {
        let parsed = RelPath::parse(path);
        parsed.is_ok_and(|parsed| parsed.as_str() == path && !parsed.is_root())
            && !path.match_indices('/').any(|(at, _)| tree.contains_key(&path[..at]))
    })
}

/// Returns a workspace of these files.
pub(crate) fn workspace(tree: &Tree) -> Memory {
    Memory::of_bytes(&tree.iter().map(|(path, data)| (path.as_str(), data.as_slice())).collect::<Vec<_>>())
}

/// Returns what a workspace holds.
pub(crate) fn contents(files: &Memory) -> Tree {
    files.contents().into_iter().map(|(path, (data, _))| (path, data)).collect()
}
