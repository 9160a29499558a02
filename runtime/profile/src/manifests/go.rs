//! Go modules and workspaces.

use gloaming_api::RelPath;
use gloaming_api::profile::{CommandKind, Ecosystem, PackageManager, TestRunner};

use super::{beside, roots};
use crate::commands::Tool;
use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "go.mod") {
        found |= mine_module(tree, file, &folder, mined);
    }
    found || mine_without_module(tree, mined)
}

/// Mines Go files at the root that no go.mod speaks for, as before there were modules.
fn mine_without_module(tree: &Tree, mined: &mut Mined) -> bool {
    let at_root = |file: &&RelPath| {
        file.names().count() == 1 && file.name().is_some_and(|name| name.ends_with("_test.go"))
    };
    let Some(test) = tree.files().iter().find(at_root) else { return false };
    let root = RelPath::root();
    for (kind, argv, runner) in [
        (CommandKind::Build, ["go", "build", "./..."], None),
        (CommandKind::Test, ["go", "test", "./..."], Some(TestRunner::GoTest)),
    ] {
        let mut tool = Tool::new(Ecosystem::Go, kind, &argv);
        tool.runner = runner;
        tool.env.insert("GO111MODULE".into(), "off".into());
        mined.add(Origin::Convention, tool, &root, source(test, 1, "a test in Go, and no go.mod"));
    }
    true
}

/// Mines one module; returns whether the file names one.
pub(super) fn mine_module(tree: &Tree, file: &RelPath, folder: &RelPath, mined: &mut Mined) -> bool {
    let Some(text) = tree.read(file) else { return false };
    let directive = |name: &str| {
        text.lines().zip(1_u32..).find_map(|(line, number)| {
            let value = line.strip_prefix(name)?;
            let value = value.split("//").next().unwrap_or(value);
            value.starts_with(char::is_whitespace).then_some((number, value.trim()))
        })
    };
    let Some((line, _)) = directive("module") else { return false };
    let place = || source(file, line, "a Go module");
    let tool = |kind, argv: &[&str]| Tool::new(Ecosystem::Go, kind, argv);
    if let Some((line, version)) = directive("go") {
        mined.pin("go", version, source(file, line, "the language version of the module"));
    }
    if let Some((line, version)) = directive("toolchain") {
        mined.pin("go", version, source(file, line, "the toolchain of the module"));
    }
    // Without a require there is nothing to pin.
    let lockfile =
        beside(tree, folder, "go.sum").or_else(|| directive("require").is_none().then(|| file.clone()));
    mined.manager(PackageManager::Go, folder, lockfile, place());
    if let Some((line, _)) = directive("require") {
        let place = source(file, line, "the module requires others");
        mined.add(Origin::Manifest, tool(CommandKind::Install, &["go", "mod", "download"]), folder, place);
    }
    mined.add(Origin::Manifest, tool(CommandKind::Build, &["go", "build", "./..."]), folder, place());
    let test = tool(CommandKind::Test, &["go", "test", "./..."]).runner(TestRunner::GoTest);
    mined.add(Origin::Manifest, test, folder, place());
    // Each version of Go looks at more before it runs a test, and what passed with an older one may not pass that.
    let unvetted =
        tool(CommandKind::Test, &["go", "test", "-vet=off", "./..."]).runner(TestRunner::GoTest).weight(1);
    mined.add(
        Origin::Convention,
        unvetted,
        folder,
        source(file, line, "a Go module, its tests without go vet"),
    );
    mined.add(Origin::Manifest, tool(CommandKind::Lint, &["go", "vet", "./..."]), folder, place());
    true
}
