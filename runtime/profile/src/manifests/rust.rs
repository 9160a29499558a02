//! Cargo packages and workspaces.

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, PackageManager, TestRunner};

use super::toml_lines::Toml;
use super::{beside, roots};
use crate::commands::Tool;
use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "Cargo.toml") {
        found |= mine_package(tree, file, &folder, mined);
    }
    found
}

/// Mines one manifest; returns whether it is a package or a workspace.
pub(super) fn mine_package(tree: &Tree, file: &RelPath, folder: &RelPath, mined: &mut Mined) -> bool {
    let Some(text) = tree.read(file) else { return false };
    let Some(manifest) = Toml::parse(&text) else {
        mined.reject("cargo test", source(file, 1, "a Cargo.toml"), "the file is not valid TOML");
        return false;
    };
    let workspace = manifest.line(&["workspace"]);
    let (line, because) = match (workspace, manifest.line(&["package"])) {
        (Some(line), _) => (line, "a cargo workspace"),
        (None, Some(line)) => (line, "a cargo package"),
        (None, None) => return false,
    };
    let place = |because: &str| source(file, line, because);
    let lockfile = beside(tree, folder, "Cargo.lock");
    mined.manager(PackageManager::Cargo, folder, lockfile, place(because));
    for (tool, path) in [
        ("rust", ["package", "rust-version"].as_slice()),
        ("rust", &["workspace", "package", "rust-version"]),
    ] {
        if let Some(version) = manifest.value(path).and_then(|value| value.as_str()) {
            let line = manifest.line(path).unwrap_or(line);
            mined.pin(tool, version, source(file, line, "the oldest Rust it promises to work with"));
        }
    }
    let scope: &[&'static str] = if workspace.is_some() { &["--workspace"] } else { &[] };
    let command = |verb: &'static str, extra: &[&'static str]| {
        [&["cargo", verb, "--offline"][..], scope, extra].concat()
    };
    // Benches alone may need another compiler, and no test run builds them.
    let build = command("build", &["--lib", "--bins", "--tests", "--examples"]);
    let build = if has_library(tree, file, &manifest) || workspace.is_some() {
        build
    } else {
        command("build", &["--bins", "--tests", "--examples"])
    };
    let tool = |kind, argv: &[&str]| Tool::new(Ecosystem::Rust, kind, argv);
    mined.add(Origin::Manifest, tool(CommandKind::Install, &["cargo", "fetch"]), folder, place(because));
    mined.add(Origin::Manifest, tool(CommandKind::Build, &build), folder, place(because));
    let test = tool(CommandKind::Test, &command("test", &[]));
    mined.add(Origin::Manifest, test.runner(TestRunner::Cargo), folder, place(because));
    let lints = [["lints", "clippy"].as_slice(), &["workspace", "lints", "clippy"]];
    let configured = lints
        .iter()
        .find_map(|path| manifest.line(path))
        .map(|line| source(file, line, "clippy is configured"));
    let configured = configured.or_else(|| {
        let file = ["clippy.toml", ".clippy.toml"].iter().find_map(|name| beside(tree, folder, name))?;
        Some(source(&file, 1, "clippy is configured"))
    });
    if let Some(place) = configured {
        mined.add(
            Origin::Convention,
            tool(CommandKind::Lint, &command("clippy", &["--all-targets"])),
            folder,
            place,
        );
    }
    if let Some(file) = ["rustfmt.toml", ".rustfmt.toml"].iter().find_map(|name| beside(tree, folder, name)) {
        let format = tool(CommandKind::Format, &["cargo", "fmt", "--all", "--check"]);
        mined.add(Origin::Convention, format, folder, source(&file, 1, "rustfmt is configured"));
    }
    true
}

/// Whether a package has a library: asked for one it does not have, cargo fails.
fn has_library(tree: &Tree, file: &RelPath, manifest: &Toml<'_>) -> bool {
    manifest.line(&["lib"]).is_some()
        || file
            .parent()
            .and_then(|folder| folder.join("src/lib.rs").ok())
            .is_some_and(|lib| tree.has(lib.as_str()))
}
