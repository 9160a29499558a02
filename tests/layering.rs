//! Holds the dependency direction and the borders of heavy crates, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate of ours may import, by DESIGN section 3 (docs/ARCHITECTURE.md tells why).
const ALLOWED: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("policies", &["api"]),
    ("client", &["api"]),
    ("gate", &["api"]),
    ("forge", &["api"]),
    ("store", &["api"]),
    ("server", &["store", "forge", "gate", "policies", "api"]),
    ("syntax", &["api", "policies"]),
    ("sandbox", &["api", "policies", "syntax"]),
    ("jobs", &["api", "policies", "syntax"]),
    ("workspace", &["api", "policies", "syntax"]),
    ("model", &["api", "policies", "syntax"]),
    ("profile", &["api", "policies", "syntax", "jobs", "workspace"]),
    ("verify", &["api", "policies", "syntax", "jobs", "workspace", "profile"]),
    ("mcp", &["api", "policies", "syntax", "sandbox"]),
    ("agent", &["api", "policies", "model"]),
    ("trajectory", &["api", "model"]),
    (
        "worker",
        &[
            "api",
            "policies",
            "syntax",
            "sandbox",
            "jobs",
            "workspace",
            "model",
            "profile",
            "verify",
            "agent",
            "mcp",
        ],
    ),
];

/// Heavy dependencies, each named by exactly these crates.
const BORDERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["sandbox"]),
    ("wasmtime-wasi", &["sandbox"]),
    ("wit-parser", &["sandbox"]),
    ("cap-std", &["sandbox"]),
    ("libcontainer", &["jobs"]),
    ("bollard", &["jobs"]),
    ("kube", &["jobs"]),
    ("k8s-openapi", &["jobs"]),
    ("tree-sitter", &["syntax"]),
    ("ast-grep-core", &["syntax"]),
    ("octocrab", &["forge"]),
    ("croner", &["server"]),
    ("opentelemetry", &["server"]),
    ("opentelemetry-otlp", &["server"]),
    ("opentelemetry_sdk", &["server"]),
    ("rmcp", &["mcp"]),
    ("pep440_rs", &["agent"]),
    ("pulldown-cmark", &["agent"]),
    ("rusqlite", &["store"]),
    ("rusqlite_migration", &["store"]),
    ("tokio-postgres", &["store"]),
    ("reqwest", &["client", "model", "server"]),
    ("hyper", &["server", "jobs", "mcp"]),
    ("saphyr-parser", &["profile"]),
    ("rustls", &["client", "forge", "model", "server"]),
    ("roxmltree", &["profile", "verify"]),
    ("ed25519-dalek", &["gate"]),
    ("anyhow", &["gloaming"]),
    ("clap", &["gloaming"]),
];

fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = short(package["name"].as_str().expect("name"));
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let normal =
            dependencies.filter(|d| d["kind"].is_null()).map(|d| short(d["name"].as_str().expect("name")));
        packages.insert(name, normal.collect());
    }
    packages
}

fn short(name: &str) -> String {
    name.strip_prefix("gloaming-").unwrap_or(name).to_owned()
}

#[test]
fn crates_import_only_what_the_design_lets_them() {
    let packages = packages();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let ours: BTreeSet<&String> = packages.keys().collect();
    for (name, dependencies) in &packages {
        if name == "gloaming" {
            continue;
        }
        let allowed =
            allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no row in ALLOWED: add one"));
        for dependency in dependencies.iter().filter(|d| ours.contains(d)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} imports {dependency}, which its layer may not"
            );
        }
    }
}

#[test]
fn heavy_dependencies_are_named_behind_their_border_alone() {
    for (name, dependencies) in packages() {
        for (heavy, owners) in BORDERS {
            if dependencies.contains(*heavy) {
                assert!(owners.contains(&name.as_str()), "{name} names {heavy}, which belongs to {owners:?}");
            }
        }
    }
}

#[test]
fn pure_crates_name_nothing_that_does_io() {
    let io =
        ["tokio", "reqwest", "hyper", "rustix", "tempfile", "ignore", "cap-std", "wasmtime", "libcontainer"];
    let packages = packages();
    for pure in ["agent", "policies", "gate", "api", "trajectory"] {
        for name in io {
            assert!(!packages[pure].contains(name), "{pure} does no IO and must not name {name}");
        }
    }
}

/// What a control plane without a worker must not hold: a sandbox, a container engine, a model client, what runs code.
const WORKERS_ALONE: &[&str] = &[
    "wasmtime",
    "cranelift-codegen",
    "libcontainer",
    "bollard",
    "kube",
    "gloaming-agent",
    "gloaming-jobs",
    "gloaming-mcp",
    "gloaming-model",
    "gloaming-profile",
    "gloaming-sandbox",
    "gloaming-verify",
    "gloaming-worker",
    "gloaming-workspace",
];

#[test]
fn a_control_plane_alone_holds_nothing_that_runs_code_or_asks_models() {
    let tree = |features: &str| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--package", "gloaming", "--no-default-features", "--features", features])
            .args(["--edges", "normal", "--prefix", "none", "--format", "{p}", "--offline", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (alone, whole) = (tree("control"), tree("control,worker"));
    for name in WORKERS_ALONE {
        assert!(!alone.contains(*name), "built with `control` alone the program holds {name}");
        // A name that is in neither says nothing. The engine `kubernetes` is a feature of its own.
        assert!(*name == "kube" || whole.contains(*name), "{name} is in no program of ours");
    }
    assert!(alone.contains("gloaming-server") && alone.contains("hyper"));
}

#[test]
fn no_test_file_is_forgotten() {
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).expect("tests/ is there") {
        let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(
                main.contains(&format!("mod {module};")),
                "tests/{name} is not a module of tests/main.rs"
            );
        }
    }
}
