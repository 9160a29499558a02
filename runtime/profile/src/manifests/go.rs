//! Go modules and workspaces.

use gloaming_api::profile::{CommandKind, Ecosystem, TestRunner};

use super::roots;
use crate::commands::Tool;
use crate::mine::{Mined, Origin, source};
use crate::tree::Tree;

pub(crate) fn mine(tree: &Tree, mined: &mut Mined) -> bool {
    let mut found = false;
    for (file, folder) in roots(tree, "go.mod") {
        let Some(text) = tree.read(file) else { continue };
        let module = text.lines().zip(1_u32..).find_map(|(line, number)| {
            let name = line.strip_prefix("module")?;
            name.starts_with(char::is_whitespace).then_some(number)
        });
        let Some(line) = module else { continue };
        found = true;
        let place = || source(file, line, "a Go module");
        let tool = |kind, verb| Tool::new(Ecosystem::Go, kind, &["go", verb, "./..."]);
        mined.add(Origin::Manifest, tool(CommandKind::Build, "build"), &folder, place());
        let test = tool(CommandKind::Test, "test").runner(TestRunner::GoTest);
        mined.add(Origin::Manifest, test, &folder, place());
        mined.add(Origin::Manifest, tool(CommandKind::Lint, "vet"), &folder, place());
    }
    found
}
