//! Embeds the compiled tools, so that the binary is one file: a table of names and bytes.
#![expect(clippy::disallowed_methods, reason = "a build script is told by the environment and writes code")]

use std::path::{Path, PathBuf};

/// The tools every sandbox starts with.
const TOOLS: [&str; 10] =
    ["diff", "edit", "list", "move", "outline", "patch", "read", "remove", "search", "write"];
/// Tools built against WASI, by the name of their own form.
const WASI: [(&str, &str); 2] = [("edit", "edit-wasi"), ("read", "read-wasi")];

fn main() {
    println!("cargo::rerun-if-env-changed=GLOAMING_COMPONENTS");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("GLOAMING_COMPONENTS")
        .map_or_else(|| root.join("../../tools/target/components"), PathBuf::from);
    // The tests load guests that misbehave from beside the tools; they are not embedded.
    println!("cargo::rustc-env=GLOAMING_TEST_COMPONENTS={}", folder.join("test").display());
    let mut code = String::new();
    code.push_str(&table(
        "TOOLS",
        "The tools every sandbox starts with.",
        &folder,
        TOOLS.map(|n| (n, n)).as_slice(),
    ));
    code.push_str(&table("WASI", "Tools built against WASI.", &folder, &WASI));
    let endless = component(&folder.join("test/evil-loop.wasm"));
    code.push_str(&format!(
        "/// A tool that never returns, for measuring.\npub(crate) const ENDLESS: &[u8] = include_bytes!({endless:?});\n"
    ));
    let out = PathBuf::from(variable("OUT_DIR")).join("components.rs");
    if let Err(error) = std::fs::write(&out, code) {
        fail(&format!("cannot write {}: {error}", out.display()));
    }
}

fn table(name: &str, docs: &str, folder: &Path, tools: &[(&str, &str)]) -> String {
    let mut code = format!("/// {docs}\npub(crate) const {name}: [(&str, &[u8]); {}] = [\n", tools.len());
    for (tool, file) in tools {
        let path = component(&folder.join(format!("{file}.wasm")));
        code.push_str(&format!("    ({tool:?}, include_bytes!({path:?})),\n"));
    }
    code.push_str("];\n");
    code
}

fn component(path: &Path) -> String {
    println!("cargo::rerun-if-changed={}", path.display());
    match path.canonicalize() {
        Ok(path) => path.display().to_string(),
        Err(_) => fail(&format!("{} is missing: run `make tools` first", path.display())),
    }
}

fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) => value,
        Err(_) => fail(&format!("cargo has not set {name}")),
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
