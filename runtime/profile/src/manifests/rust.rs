//! Cargo packages and workspaces.

use gloaming_api::profile::{CommandKind, Ecosystem, TestRunner};

use super::roots;
use super::toml_lines::Toml;
use crate::commands::Tool;
use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "Cargo.toml") {
        let Some(text) = tree.read(file) else { continue };
        let Some(manifest) = Toml::parse(&text) else {
            mined.reject("cargo test", source(file, 1, "a Cargo.toml"), "the file is not valid TOML");
            continue;
        };
        let workspace = manifest.line(&["workspace"]);
        let (line, because) = match (workspace, manifest.line(&["package"])) {
            (Some(line), _) => (line, "a cargo workspace"),
            (None, Some(line)) => (line, "a cargo package"),
            (None, None) => continue,
        };
        found = true;
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
        let place = || source(file, line, because);
        mined.add(Origin::Manifest, Tool::new(Ecosystem::Rust, CommandKind::Build, &build), &folder, place());
        let test = Tool::new(Ecosystem::Rust, CommandKind::Test, &command("test", &[]));
        mined.add(Origin::Manifest, test.runner(TestRunner::Cargo), &folder, place());
    }
    found
}

/// Whether a package has a library: asked for one it does not have, cargo fails.
fn has_library(tree: &Tree, file: &gloaming_api::RelPath, manifest: &Toml<'_>) -> bool {
    manifest.line(&["lib"]).is_some()
        || file
            .parent()
            .and_then(|folder| folder.join("src/lib.rs").ok())
            .is_some_and(|lib| tree.has(lib.as_str()))
}
