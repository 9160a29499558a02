//! The packages of a monorepo: what a workspace names, and their own commands.

use std::collections::BTreeSet;

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, Part, Source};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde_json::Value;
use toml::de::DeValue;

use super::toml_lines::Toml;
use super::{beside, go, java, node, python, rust};
use crate::mine::{Mined, line_of, source};
use crate::tree::Tree;

/// Parts beyond this number are left out; the profile says so.
const MOST_PARTS: usize = 100;
const MOST_PATTERNS: usize = 200;

/// Members that a workspace names, by pattern, with what says so.
struct Members {
    ecosystem: Ecosystem,
    folder: RelPath,
    included: Vec<String>,
    excluded: Vec<String>,
    source: Source,
}

/// Returns the parts, sorted by path, and whether some were left out.
pub(crate) fn parts(tree: &Tree) -> (Vec<Part>, bool) {
    let root = RelPath::root();
    let mut members = Vec::new();
    members.extend(cargo(tree, &root));
    members.extend(npm(tree, &root));
    members.extend(pnpm(tree, &root));
    members.extend(go_work(tree, &root));
    members.extend(maven(tree, &root));
    members.extend(gradle(tree, &root));
    members.extend(uv(tree, &root));
    let mut parts = Vec::new();
    let mut known = BTreeSet::new();
    let mut more = false;
    let mut add = |path: RelPath, ecosystem: Ecosystem, source: Source, parts: &mut Vec<Part>| {
        if path.is_root() || !known.insert((path.clone(), ecosystem)) {
            return;
        }
        if parts.len() == MOST_PARTS {
            more = true;
            return;
        }
        let commands = commands(tree, ecosystem, &path);
        parts.push(Part { path, ecosystem, source, commands });
    };
    for found in &members {
        for path in matching(tree, found) {
            add(path, found.ecosystem, found.source.clone(), &mut parts);
        }
    }
    // A Python project beneath another needs no word of the root's.
    for name in ["pyproject.toml", "setup.py"] {
        for file in tree.named(name).into_iter().take(MOST_PARTS * 2) {
            let Some(folder) = file.parent().filter(|folder| !folder.is_root()) else { continue };
            let is_test_data = folder.names().any(|name| name.contains("test") || name.contains("example"));
            if !is_test_data {
                add(folder, Ecosystem::Python, source(file, 1, "a Python project of its own"), &mut parts);
            }
        }
    }
    parts.sort_by(|a, b| (&a.path, a.ecosystem).cmp(&(&b.path, b.ecosystem)));
    // One project below the root and nothing at the root is no monorepo: its commands are the profile's.
    if members.is_empty() && parts.len() == 1 {
        parts.clear();
    }
    (parts, more)
}

/// Returns the best command of each kind of one package, mined from its own manifest alone.
fn commands(tree: &Tree, ecosystem: Ecosystem, folder: &RelPath) -> Vec<gloaming_api::profile::Command> {
    let mut mined = Mined::default();
    let manifest = |name: &str| beside(tree, folder, name);
    match ecosystem {
        Ecosystem::Rust => {
            manifest("Cargo.toml").map(|file| rust::mine_package(tree, &file, folder, &mut mined));
        }
        Ecosystem::Python => {
            python::mine_project(tree, &python::Project::of(tree, folder.clone()), &mut mined);
        }
        Ecosystem::Node => {
            manifest("package.json").map(|file| node::mine_package(tree, &file, folder, &mut mined));
        }
        Ecosystem::Go => {
            manifest("go.mod").map(|file| go::mine_module(tree, &file, folder, &mut mined));
        }
        Ecosystem::Java => {
            if let Some(file) = manifest("pom.xml") {
                java::mine_pom(tree, &file, folder, &mut mined);
            } else if let Some(file) = manifest("build.gradle").or_else(|| manifest("build.gradle.kts")) {
                java::mine_gradle(tree, &file, folder, &mut mined);
            }
        }
        Ecosystem::C => {}
    }
    mined.candidates.sort_by_key(|candidate| (candidate.origin, candidate.weight));
    let mut best = Vec::new();
    for kind in CommandKind::ALL {
        let found = mined.candidates.iter().find(|candidate| candidate.command.kind == *kind);
        best.extend(found.map(|candidate| candidate.command.clone()));
    }
    best
}

fn manifest_names(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        Ecosystem::Rust => &["Cargo.toml"],
        Ecosystem::Python => &["pyproject.toml", "setup.py"],
        Ecosystem::Node => &["package.json"],
        Ecosystem::Go => &["go.mod"],
        Ecosystem::Java => &["pom.xml", "build.gradle", "build.gradle.kts"],
        Ecosystem::C => &[],
    }
}

/// Returns the folders with a manifest that the patterns name.
fn matching(tree: &Tree, members: &Members) -> Vec<RelPath> {
    let (included, excluded) = (globs(&members.included), globs(&members.excluded));
    let mut found: Vec<RelPath> = tree
        .within(&members.folder)
        .filter(|file| file.name().is_some_and(|name| manifest_names(members.ecosystem).contains(&name)))
        .filter_map(RelPath::parent)
        .filter(|folder| included.is_match(folder.as_str()) && !excluded.is_match(folder.as_str()))
        .collect();
    found.dedup();
    found
}

/// Compiles patterns; one that is none matches nothing.
fn globs(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns.iter().take(MOST_PATTERNS).filter(|pattern| pattern.len() <= 200) {
        let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
        if let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

fn strings(value: Option<&DeValue<'_>>) -> Vec<String> {
    match value {
        Some(DeValue::Array(items)) => {
            items.iter().filter_map(|item| item.as_ref().as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn cargo(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file = beside(tree, folder, "Cargo.toml")?;
    let text = tree.read(&file)?;
    let manifest = Toml::parse(&text)?;
    let line = manifest.line(&["workspace", "members"])?;
    Some(Members {
        ecosystem: Ecosystem::Rust,
        folder: folder.clone(),
        included: strings(manifest.value(&["workspace", "members"])),
        excluded: strings(manifest.value(&["workspace", "exclude"])),
        source: source(&file, line, "a member of the cargo workspace"),
    })
}

fn uv(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file = beside(tree, folder, "pyproject.toml")?;
    let text = tree.read(&file)?;
    let manifest = Toml::parse(&text)?;
    let line = manifest.line(&["tool", "uv", "workspace", "members"])?;
    Some(Members {
        ecosystem: Ecosystem::Python,
        folder: folder.clone(),
        included: strings(manifest.value(&["tool", "uv", "workspace", "members"])),
        excluded: strings(manifest.value(&["tool", "uv", "workspace", "exclude"])),
        source: source(&file, line, "a member of the uv workspace"),
    })
}

/// Splits patterns of which some begin with `!`.
fn signed(patterns: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let (excluded, included): (Vec<String>, Vec<String>) =
        patterns.partition(|pattern| pattern.starts_with('!'));
    (included, excluded.into_iter().map(|pattern| pattern[1..].to_owned()).collect())
}

fn npm(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file = beside(tree, folder, "package.json")?;
    let text = tree.read(&file)?;
    let manifest: Value = serde_json::from_str(&text).ok()?;
    let workspaces = manifest.get("workspaces")?;
    let list = workspaces.as_array().or_else(|| workspaces.get("packages")?.as_array())?;
    let (included, excluded) = signed(list.iter().filter_map(Value::as_str).map(str::to_owned));
    Some(Members {
        ecosystem: Ecosystem::Node,
        folder: folder.clone(),
        included,
        excluded,
        source: source(&file, line_of(&text, "\"workspaces\"").unwrap_or(1), "a workspace of the package"),
    })
}

fn pnpm(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file = beside(tree, folder, "pnpm-workspace.yaml")?;
    let text = tree.read(&file)?;
    let document = crate::yaml::parse(&text)?;
    let packages = document.get("packages")?;
    let (included, excluded) =
        signed(packages.items().iter().filter_map(|item| item.text()).map(str::to_owned));
    Some(Members {
        ecosystem: Ecosystem::Node,
        folder: folder.clone(),
        included,
        excluded,
        source: source(&file, packages.line, "a package of the pnpm workspace"),
    })
}

fn go_work(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file = beside(tree, folder, "go.work")?;
    let text = tree.read(&file)?;
    let mut included = Vec::new();
    let mut line = 1;
    let mut open = false;
    for (text, number) in text.lines().zip(1_u32..) {
        let text = text.split("//").next().unwrap_or(text).trim();
        match text.strip_prefix("use") {
            Some(rest) if rest.trim_start() == "(" => (open, line) = (true, number),
            Some(rest) if rest.starts_with(char::is_whitespace) => {
                line = number;
                included.push(rest.trim().to_owned());
            }
            _ if open && text == ")" => open = false,
            _ if open && !text.is_empty() => included.push(text.to_owned()),
            _ => {}
        }
    }
    Some(Members {
        ecosystem: Ecosystem::Go,
        folder: folder.clone(),
        included,
        excluded: Vec::new(),
        source: source(&file, line, "a module of the Go workspace"),
    })
}

fn maven(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file = beside(tree, folder, "pom.xml")?;
    let text = tree.read(&file)?;
    let document = roxmltree::Document::parse(&text).ok()?;
    let modules =
        document.descendants().filter(|node| node.is_element() && node.tag_name().name() == "module");
    let included: Vec<String> =
        modules.filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect();
    let line = line_of(&text, "<modules>")?;
    Some(Members {
        ecosystem: Ecosystem::Java,
        folder: folder.clone(),
        included,
        excluded: Vec::new(),
        source: source(&file, line, "a module of the Maven project"),
    })
}

fn gradle(tree: &Tree, folder: &RelPath) -> Option<Members> {
    let file =
        beside(tree, folder, "settings.gradle").or_else(|| beside(tree, folder, "settings.gradle.kts"))?;
    let text = tree.read(&file)?;
    let mut included = Vec::new();
    let mut first = None;
    for (line, number) in text.lines().zip(1_u32..) {
        let Some(rest) = line.trim().strip_prefix("include") else { continue };
        if !rest.starts_with([' ', '(']) {
            continue;
        }
        first.get_or_insert(number);
        // Between quotes stands a project, `:a:b` for the folder `a/b`.
        let projects = rest.split(['"', '\'']).skip(1).step_by(2);
        included.extend(projects.map(|project| project.trim_start_matches(':').replace(':', "/")));
    }
    Some(Members {
        ecosystem: Ecosystem::Java,
        folder: folder.clone(),
        included,
        excluded: Vec::new(),
        source: source(&file, first?, "a project of the Gradle build"),
    })
}
