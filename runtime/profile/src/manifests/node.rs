//! Scripts of package.json.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, TestRunner};
use serde_json::Value;

use super::roots;
use crate::commands::{Known, Tool, recognise};
use crate::mine::{Mined, Origin, line_at, line_of, source};
use crate::tree::Tree;

/// The scripts that are looked at, best first of each kind.
const SCRIPTS: &[(&str, CommandKind)] = &[
    ("test", CommandKind::Test),
    ("test:unit", CommandKind::Test),
    ("unit", CommandKind::Test),
    ("build", CommandKind::Build),
    ("compile", CommandKind::Build),
    ("lint", CommandKind::Lint),
    ("typecheck", CommandKind::Lint),
];

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "package.json") {
        let Some(text) = tree.read(file) else { continue };
        let Ok(manifest) = serde_json::from_str::<Value>(&text) else {
            mined.reject("npm test", source(file, 1, "a package.json"), "the file is not valid JSON");
            continue;
        };
        found = true;
        for (name, kind) in SCRIPTS {
            if let Some(script) =
                manifest.pointer("/scripts").and_then(|all| all.get(name)).and_then(Value::as_str)
            {
                mine_script(file, &folder, name, *kind, script, script_line(&text, name), mined);
            }
        }
        mine_node_test(tree, &folder, mined);
    }
    found
}

fn script_line(text: &str, name: &str) -> u32 {
    let scripts = text.find("\"scripts\"").unwrap_or(0);
    let key = text[scripts..].find(&format!("\"{name}\"")).unwrap_or(0);
    line_at(text, scripts + key)
}

fn mine_script(
    file: &RelPath,
    folder: &RelPath,
    name: &str,
    kind: CommandKind,
    script: &str,
    line: u32,
    mined: &mut Mined,
) {
    let place = || source(file, line, format!("script {name:?}"));
    if kind != CommandKind::Test {
        // Only the exit code counts, so npm may run it in whatever way it is written.
        let tool = Tool::new(Ecosystem::Node, kind, &["npm", "run", "--silent", name]);
        mined.add(Origin::Manifest, tool, folder, place());
        return;
    }
    if script.contains("no test specified") {
        return mined.reject(script, place(), "it is the placeholder that npm init writes");
    }
    let steps = crate::shell::script(script, line, folder);
    let mut found = false;
    let mut refused = None;
    for step in &steps {
        let segment = match &step.outcome {
            Ok(segment) => segment,
            Err(reason) => {
                mined.reject(script, place(), *reason);
                return;
            }
        };
        match recognise(segment) {
            Known::Tool(tool) if tool.kind == CommandKind::Test => {
                found = true;
                mined.add_segment(Origin::Manifest, segment, script, &BTreeMap::new(), place());
            }
            Known::Refused(reason) => refused = Some(reason),
            // A linter or a build before the tests.
            Known::Tool(_) | Known::Unknown => {}
        }
    }
    // What runs before the tests is no loss.
    if !found {
        let unknown = || "it is no test runner whose results are read".to_owned();
        mined.reject(script, place(), refused.unwrap_or_else(unknown));
    }
}

/// Adds `node --test` where tests say that it is what runs them.
fn mine_node_test(tree: &Tree, folder: &RelPath, mined: &mut Mined) {
    if mined.has(Ecosystem::Node, CommandKind::Test) {
        return;
    }
    let is_test = |file: &&RelPath| {
        let name = file.name().unwrap_or_default();
        let script = [".js", ".mjs", ".cjs"].iter().any(|end| name.ends_with(end));
        script && file.as_str().contains("test")
    };
    for file in tree.within(folder).filter(is_test).take(50) {
        let Some(text) = tree.peek(file) else { continue };
        let line = line_of(&text, "\"node:test\"").or_else(|| line_of(&text, "'node:test'"));
        if let Some(line) = line {
            let tool = Tool::new(Ecosystem::Node, CommandKind::Test, &["node", "--test"])
                .runner(TestRunner::NodeTest);
            return mined.add(Origin::Tests, tool, folder, source(file, line, "a test imports node:test"));
        }
    }
}
