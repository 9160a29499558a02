//! Commands of the recipes of a Makefile's targets for installing, building, testing and checking.

use std::collections::BTreeMap;

use gloaming_api::RelPath;

use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

const TARGETS: &[&str] = &[
    "all",
    "bootstrap",
    "build",
    "check",
    "check-format",
    "ci",
    "clippy",
    "compile",
    "deps",
    "fmt-check",
    "format-check",
    "install",
    "install-dev",
    "lint",
    "mypy",
    "setup",
    "test",
    "tests",
    "type-check",
    "typecheck",
    "types",
    "unit",
    "unit-test",
    "unittest",
    "vet",
];

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) {
    for name in ["GNUmakefile", "makefile", "Makefile"] {
        let Ok(file) = RelPath::parse(name) else { continue };
        if let Some(text) = tree.read(&file) {
            mine_file(&file, &text, mined);
            // make reads the first of them only.
            return;
        }
    }
}

fn mine_file(file: &RelPath, text: &str, mined: &mut Mined) {
    let mut target = None;
    let mut lines = text.lines().zip(1_u32..);
    while let Some((line, number)) = lines.next() {
        let Some(recipe) = line.strip_prefix('\t') else {
            if let Some(name) = target_name(line) {
                target = TARGETS.contains(&name).then_some(name);
            }
            continue;
        };
        let Some(target) = target else { continue };
        let mut recipe = recipe.trim_start_matches(['@', '-', '+', ' ', '\t']).trim_end().to_owned();
        while let Some(start) = recipe.strip_suffix('\\') {
            let Some((more, _)) = lines.next() else { break };
            recipe = format!("{} {}", start.trim_end(), more.trim());
        }
        let because = format!("target {target:?} of the Makefile");
        mined.add_script(Origin::Makefile, &recipe, number, &RelPath::root(), &BTreeMap::new(), |_| {
            source(file, number, because.clone())
        });
    }
}

/// Returns the first target of a rule's line; none of a variable's or a comment's.
pub(crate) fn target_name(line: &str) -> Option<&str> {
    if line.starts_with([' ', '#', '.']) || line.is_empty() {
        return None;
    }
    let (names, rest) = line.split_once(':')?;
    // `X := y` and `X ::= y` set variables.
    if rest.starts_with(['=', ':']) || names.contains('=') {
        return None;
    }
    names.split_whitespace().next()
}
