//! Policies of any size that look like those people write, the same on every run.

use gloaming_api::RelPath;
use gloaming_policies::{Grant, Layer, PolicyFile, parse};

/// Rules of one file: it may hold some more patterns than this.
const FILE: usize = 4_000;

/// One thing to decide.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    path: &'static str,
    /// Whether every policy made here lets `edit` read and write it.
    pub(crate) allowed: bool,
}

impl Question {
    pub(crate) fn path(&self) -> RelPath {
        RelPath::parse(self.path).expect("a path")
    }
}

/// Long paths: some 120 characters, ten names.
pub(crate) const QUESTIONS: [Question; 4] = [
    Question {
        name: "allowed",
        path: "services/payments/src/main/java/internal/settlement/reconciliation/adapters/SettlementBatchReconciliationAdapterFactory.java",
        allowed: true,
    },
    Question {
        name: "allowed, not ASCII",
        path: "services/payments/src/main/java/intérieur/settlement/reconciliation/adapters/SettlementBatchReconciliationAdapterFactory.java",
        allowed: true,
    },
    Question {
        name: "denied by `*.ext1`",
        path: "services/payments/src/main/java/internal/settlement/reconciliation/adapters/SettlementBatchReconciliationAdapterFactory.ext1",
        allowed: false,
    },
    Question {
        name: "covered by no rule",
        path: "elsewhere/payments/src/main/java/internal/settlement/reconciliation/adapters/SettlementBatchReconciliationAdapterFactory.java",
        allowed: false,
    },
];

/// The operator's files with so many rules, of one pattern each.
pub(crate) fn layers(rules: usize) -> Vec<(Layer, PolicyFile)> {
    let starts = (0..rules).step_by(FILE);
    starts
        .map(|start| {
            let name = format!("operator-{start}.toml");
            let text = text(start, rules.min(start + FILE));
            let file = parse(&name, &text).unwrap_or_else(|faults| panic!("{}", faults[0]));
            (Layer::Operator, file)
        })
        .collect()
}

/// Compiles files into a grant.
pub(crate) fn resolve(layers: Vec<(Layer, PolicyFile)>) -> Grant {
    let repo = "acme/api".parse().expect("a repository");
    Grant::resolve(&repo, layers).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

/// Compiles so many rules into a grant.
pub(crate) fn grant(rules: usize) -> Grant {
    resolve(layers(rules))
}

/// One file; every ten rules hold each shape once. The first allows what the questions ask for, in each file,
/// since each narrows the others.
fn text(start: usize, end: usize) -> String {
    let mut text = String::from("schema = 1\n");
    for i in start..end {
        let (kind, pattern) = match (i - start, i % 10) {
            (0, _) => ("allow", "services/**".to_owned()),
            (_, 0) => ("allow", format!("tools/area{i}/")),
            (_, 1) => ("deny", format!("**/*.ext{i}")),
            (_, 2) => ("deny", format!("*.key{i}")),
            (_, 3) => ("deny", format!("services/*/private{i}/**")),
            (_, 4) => ("deny", format!("/config/area{}/settings{i}.toml", i / 50)),
            (_, 5) => ("allow", format!("crates/library{}/src/**/*.rs{i}", i / 50)),
            (_, 6) => ("allow", format!("docs/area{i}/README.md")),
            (_, 7) => ("deny", format!(".secret{i}*")),
            (_, 8) => ("allow", format!("apps/*/src/module{i}/*_test.rs")),
            _ => ("deny", format!("/services/area{i}/generated")),
        };
        text.push_str(&format!("[[{kind}]]\nid = \"rule-{i}\"\npaths = [{pattern:?}]\n"));
        text.push_str(match (kind, i % 4) {
            ("allow", _) => "tools = [\"read\", \"list\", \"edit\", \"write\"]\n",
            (_, 0) => "tools = [\"*\"]\naccess = \"write\"\nbecause = \"It is made by a program.\"\n",
            _ => "tools = [\"*\"]\nbecause = \"It is not for a model.\"\n",
        });
    }
    text
}
