//! Files whose one purpose is to name the version of a toolchain.

use gloaming_api::RelPath;

use crate::manifests::{Toml, beside};
use crate::mine::{Mined, source};
use crate::tree::Tree;

/// Files of one line, with the tool they are for.
const ONE_LINE: &[(&str, &str)] = &[
    (".python-version", "python"),
    (".nvmrc", "node"),
    (".node-version", "node"),
    (".java-version", "java"),
    (".go-version", "go"),
];

/// Adds the versions that the root's files name.
pub(super) fn mine(tree: &Tree, mined: &mut Mined) {
    let root = RelPath::root();
    for (name, tool) in ONE_LINE {
        let Some(file) = beside(tree, &root, name) else { continue };
        let Some(text) = tree.read(&file) else { continue };
        let found =
            text.lines().zip(1_u32..).find(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
        if let Some((version, line)) = found {
            mined.pin(tool, version, source(&file, line, format!("the version of {tool} to use")));
        }
    }
    for name in ["rust-toolchain.toml", "rust-toolchain"] {
        let Some(file) = beside(tree, &root, name) else { continue };
        let Some(text) = tree.read(&file) else { continue };
        let because = "the toolchain that rustup takes";
        if let Some(toolchain) = Toml::parse(&text)
            && let Some(channel) = toolchain.value(&["toolchain", "channel"]).and_then(|value| value.as_str())
        {
            let line = toolchain.line(&["toolchain", "channel"]).unwrap_or(1);
            mined.pin("rust", channel, source(&file, line, because));
        } else if let Some(channel) = text.lines().next().filter(|line| !line.contains(['[', '='])) {
            mined.pin("rust", channel, source(&file, 1, because));
        }
    }
    if let Some(file) = beside(tree, &root, ".tool-versions")
        && let Some(text) = tree.read(&file)
    {
        for (line, number) in text.lines().zip(1_u32..) {
            let mut words = line.split('#').next().unwrap_or(line).split_whitespace();
            let (Some(tool), Some(version)) = (words.next(), words.next()) else { continue };
            let tool = match tool {
                "nodejs" => "node",
                "golang" => "go",
                "rust" | "python" | "java" | "pnpm" | "yarn" | "maven" | "gradle" | "cmake" | "poetry"
                | "uv" => tool,
                _ => continue,
            };
            mined.pin(tool, version, source(&file, number, "the version that asdf or mise takes"));
        }
    }
}
