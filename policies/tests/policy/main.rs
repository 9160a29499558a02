//! The crate from outside: what authors see.

mod author;
mod decisions;
mod diagnostics;
mod difference;
mod docs;
mod jobs;
mod layers;
mod learned;
mod network;
mod properties;
mod registered;
mod schema;

use gloaming_policies::{Diagnostic, Grant, Layer, PolicyFile, parse};

/// Parses a policy that has no faults.
fn file(name: &str, text: &str) -> PolicyFile {
    parse(name, text).unwrap_or_else(|faults| panic!("{}", show(&faults)))
}

/// Compiles one file as the operator's.
fn operator(text: &str) -> Grant {
    resolve(&[(Layer::Operator, "policy.toml", text)]).unwrap_or_else(|faults| panic!("{}", show(&faults)))
}

fn resolve(layers: &[(Layer, &str, &str)]) -> Result<Grant, Vec<Diagnostic>> {
    let layers = layers.iter().map(|(layer, name, text)| (*layer, file(name, text))).collect();
    Grant::resolve(&"acme/api".parse().expect("a repository"), layers)
}

fn show(faults: &[Diagnostic]) -> String {
    let line = |fault: &Diagnostic| match &fault.hint {
        Some(hint) => format!("{fault} ({hint})\n"),
        None => format!("{fault}\n"),
    };
    faults.iter().map(line).collect()
}

/// Holds a table of `call => decision rule place` against what a grant says.
fn check(grant: &Grant, table: &str) {
    let lines = || table.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: String = lines()
        .map(|line| {
            let call = line.split(" => ").next().expect("a call");
            let explained = grant.explain(call).unwrap_or_else(|error| panic!("{call}: {error}"));
            let json = serde_json::to_value(&explained).expect("an explanation serialises");
            let decision = json["decision"].as_str().expect("a decision");
            format!("{call} => {decision} {} {}:{}\n", explained.rule, explained.file, explained.line)
        })
        .collect();
    assert_eq!(told, lines().map(|line| format!("{line}\n")).collect::<String>());
}
