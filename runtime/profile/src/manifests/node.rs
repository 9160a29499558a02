//! Scripts of package.json.

use std::collections::BTreeMap;

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, PackageManager, TestRunner};
use serde_json::Value;

use super::{beside, roots};
use crate::commands::{Known, Tool, recognise};
use crate::mine::{Mined, Origin, line_at, line_of, source};
use crate::shell::Step;
use crate::tree::Tree;

/// The scripts that are looked at, best first of each kind.
const SCRIPTS: &[(&str, CommandKind)] = &[
    ("test", CommandKind::Test),
    ("test:unit", CommandKind::Test),
    ("tests-only", CommandKind::Test),
    ("unit", CommandKind::Test),
    ("build", CommandKind::Build),
    ("compile", CommandKind::Build),
    ("lint", CommandKind::Lint),
    ("format:check", CommandKind::Format),
    ("format-check", CommandKind::Format),
    ("check:format", CommandKind::Format),
    ("prettier:check", CommandKind::Format),
    ("typecheck", CommandKind::Typecheck),
    ("type-check", CommandKind::Typecheck),
    ("check-types", CommandKind::Typecheck),
    ("check:types", CommandKind::Typecheck),
];

/// Lockfiles with their package manager, and how it installs exactly what they hold.
const LOCKFILES: &[(&str, PackageManager, &[&str])] = &[
    ("pnpm-lock.yaml", PackageManager::Pnpm, &["pnpm", "install", "--frozen-lockfile"]),
    ("yarn.lock", PackageManager::Yarn, &["yarn", "install", "--frozen-lockfile"]),
    ("package-lock.json", PackageManager::Npm, &["npm", "ci"]),
    ("npm-shrinkwrap.json", PackageManager::Npm, &["npm", "ci"]),
];

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "package.json") {
        found |= mine_package(tree, file, &folder, mined);
    }
    found
}

/// Mines one package; returns whether the file is a manifest.
pub(super) fn mine_package(tree: &Tree, file: &RelPath, folder: &RelPath, mined: &mut Mined) -> bool {
    let Some(text) = tree.read(file) else { return false };
    let Ok(manifest) = serde_json::from_str::<Value>(&text) else {
        mined.reject("npm test", source(file, 1, "a package.json"), "the file is not valid JSON");
        return false;
    };
    mine_facts(tree, file, folder, &text, &manifest, mined);
    for (name, kind) in SCRIPTS {
        if let Some(script) =
            manifest.pointer("/scripts").and_then(|all| all.get(name)).and_then(Value::as_str)
        {
            mine_script(file, folder, name, *kind, script, script_line(&text, name), &manifest, mined);
        }
    }
    mine_node_test(tree, folder, mined);
    let has_script = mined.has(Ecosystem::Node, CommandKind::Typecheck);
    if !has_script
        && let Some(config) = beside(tree, folder, "tsconfig.json")
        && let Some(line) = line_of(&text, "\"typescript\"")
    {
        let because = format!("TypeScript with {config}");
        let tool = Tool::new(Ecosystem::Node, CommandKind::Typecheck, &["node_modules/.bin/tsc", "--noEmit"]);
        mined.add(Origin::Convention, tool, folder, source(file, line, because));
    }
    true
}

/// The package manager, what it installs, and the versions asked for.
fn mine_facts(
    tree: &Tree,
    file: &RelPath,
    folder: &RelPath,
    text: &str,
    manifest: &Value,
    mined: &mut Mined,
) {
    let key_line = |key: &str| line_of(text, &format!("\"{key}\"")).unwrap_or(1);
    if let Some(engines) = manifest.get("engines").and_then(Value::as_object) {
        for tool in ["node", "npm", "pnpm", "yarn"] {
            if let Some(version) = engines.get(tool).and_then(Value::as_str) {
                mined.pin(tool, version, source(file, key_line("engines"), "engines of package.json"));
            }
        }
    }
    if let Some(version) = manifest.pointer("/volta/node").and_then(Value::as_str) {
        mined.pin("node", version, source(file, key_line("volta"), "volta of package.json"));
    }
    let named = manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    let (named, version) = named.split_once('@').unwrap_or((named, ""));
    let named = match named {
        "pnpm" => Some(PackageManager::Pnpm),
        "yarn" => Some(PackageManager::Yarn),
        "npm" => Some(PackageManager::Npm),
        _ => None,
    };
    if let Some(manager) = named {
        // The digest behind the version is for corepack.
        let version = version.split('+').next().unwrap_or(version);
        mined.pin(manager.as_str(), version, source(file, key_line("packageManager"), "packageManager"));
    }
    let depends = ["dependencies", "devDependencies", "optionalDependencies"].iter().find(|key| {
        manifest.get(**key).and_then(Value::as_object).is_some_and(|entries| !entries.is_empty())
    });
    let locked: Vec<_> = LOCKFILES
        .iter()
        .filter_map(|(name, manager, argv)| Some((beside(tree, folder, name)?, *manager, *argv)))
        .collect();
    for (lockfile, manager, argv) in &locked {
        let place = || source(lockfile, 1, format!("the lockfile of {}", manager.as_str()));
        mined.manager(*manager, folder, Some(lockfile.clone()), place());
        let argv: &[&str] = match (manager, beside(tree, folder, ".yarnrc.yml")) {
            (PackageManager::Yarn, Some(_)) => &["yarn", "install", "--immutable"],
            _ => argv,
        };
        let weight = if Some(*manager) == named { 0 } else { 1 };
        let tool = Tool::new(Ecosystem::Node, CommandKind::Install, argv).weight(weight);
        mined.add(Origin::Manifest, tool, folder, place());
    }
    if locked.is_empty() {
        let manager = named.unwrap_or(PackageManager::Npm);
        let line = depends.map_or(1, |key| key_line(key));
        // Nothing to pin, so its manifest says all.
        let lockfile = depends.is_none().then(|| file.clone());
        mined.manager(manager, folder, lockfile, source(file, line, "a package.json without a lockfile"));
        if let Some(key) = depends {
            let argv: &[&str] = match manager {
                PackageManager::Pnpm => &["pnpm", "install"],
                PackageManager::Yarn => &["yarn", "install"],
                _ => &["npm", "install", "--no-package-lock"],
            };
            let tool = Tool::new(Ecosystem::Node, CommandKind::Install, argv);
            mined.add(Origin::Convention, tool, folder, source(file, line, format!("it has {key}")));
        }
    }
}

fn script_line(text: &str, name: &str) -> u32 {
    let scripts = text.find("\"scripts\"").unwrap_or(0);
    let key = text[scripts..].find(&format!("\"{name}\"")).unwrap_or(0);
    line_at(text, scripts + key)
}

#[expect(clippy::too_many_arguments, reason = "each is a part of where the script stands")]
fn mine_script(
    file: &RelPath,
    folder: &RelPath,
    name: &str,
    kind: CommandKind,
    script: &str,
    line: u32,
    manifest: &Value,
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
    let mut found = false;
    let mut refused = None;
    for step in expand(manifest, script, line, folder, 3) {
        let segment = match &step.outcome {
            Ok(segment) => segment,
            // npm hands it to a shell, so it can still be run by its script's name.
            Err(reason) => {
                refused = Some((*reason).to_owned());
                continue;
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
    if found {
        return;
    }
    let unknown = || "it is no test runner whose results are read".to_owned();
    mined.reject(script, place(), refused.unwrap_or_else(unknown));
    // Better than nothing: whether all pass is known, though not which. What npm runs before and after it may want
    // the network (an audit) or a linter's plugins, so it is tried without these too.
    for (weight, extra) in [(8, None), (9, Some("--ignore-scripts"))] {
        let weight = if name == "test" { weight } else { weight + 2 };
        let argv = ["npm", "run", "--silent"];
        let tool =
            Tool::new(Ecosystem::Node, CommandKind::Test, &argv).args(extra).args([name]).weight(weight);
        mined.add(
            Origin::Convention,
            tool,
            folder,
            source(file, line, format!("script {name:?}, by its exit alone")),
        );
    }
}

/// Splits a script into its commands; of those that run another script of the package, that one's.
fn expand(manifest: &Value, script: &str, line: u32, folder: &RelPath, depth: u8) -> Vec<Step> {
    let mut steps = Vec::new();
    for step in crate::shell::script(script, line, folder) {
        let inner = step.outcome.as_ref().ok().and_then(|segment| {
            let words: Vec<&str> = segment.words.iter().map(String::as_str).collect();
            let name = match crate::commands::unwrap(&words) {
                ["npm" | "pnpm" | "yarn", "run" | "run-script", rest @ ..] => {
                    rest.iter().find(|word| !word.starts_with('-'))?
                }
                ["yarn" | "pnpm", name] => name,
                _ => return None,
            };
            manifest.pointer("/scripts")?.get(name)?.as_str()
        });
        match inner.filter(|_| depth > 0 && steps.len() < 50) {
            Some(inner) => steps.extend(expand(manifest, inner, line, folder, depth - 1)),
            None => steps.push(step),
        }
    }
    steps
}

/// Adds `node --test` where tests say that it is what runs them.
fn mine_node_test(tree: &Tree, folder: &RelPath, mined: &mut Mined) {
    let told = |candidate: &crate::mine::Candidate| {
        candidate.ecosystem == Ecosystem::Node
            && candidate.command.runner.is_some()
            && candidate.command.cwd == *folder
    };
    if mined.candidates.iter().any(told) {
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
