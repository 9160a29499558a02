//! Names of packages that run tests, are loaded by what does, are what tests compare by, or lint.

use gloaming_api::profile::Ecosystem;

/// Words in the names of such packages, whatever the language.
const ANYWHERE: &[&str] = &["mock"];

/// Words in their names, by language: `black` is a formatter of Python's and a colour elsewhere.
fn words(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        Ecosystem::Python => &[
            "pytest",
            "nose",
            "nose2",
            "unittest",
            "unittest2",
            "doctest",
            "xdoctest",
            "tox",
            "nox",
            "coverage",
            "pluggy",
            "xdist",
            "playwright",
            "hamcrest",
            "pyhamcrest",
            "should",
            "expects",
            "sure",
            "snapshottest",
            "approvaltests",
            "flake8",
            "pylint",
            "pycodestyle",
            "pyflakes",
            "isort",
            "bandit",
            "mypy",
            "pyright",
            "ruff",
            "black",
        ],
        Ecosystem::Node => &[
            "jest",
            "vitest",
            "mocha",
            "chai",
            "jasmine",
            "karma",
            "ava",
            "tape",
            "tapjs",
            "cypress",
            "playwright",
            "sinon",
            "should",
            "nyc",
            "c8",
            "istanbul",
            "coverage",
            "expect",
            "supertest",
            "uvu",
            "qunit",
            "swc",
            "esbuild",
            "babel",
            "tsx",
            "typescript",
            "eslint",
            "tslint",
            "biome",
            "prettier",
        ],
        Ecosystem::Rust => &[
            "rstest",
            "unittest",
            "doctest",
            "quickcheck",
            "proptest",
            "insta",
            "trybuild",
            "mockall",
            "criterion",
            "nextest",
        ],
        Ecosystem::Go => &[
            "ginkgo",
            "gomega",
            "goconvey",
            "gocheck",
            "gotest",
            "gotestsum",
            "quicktest",
            "gomock",
            "cmp",
            "golangci",
            "staticcheck",
        ],
        Ecosystem::Java | Ecosystem::C => &[],
    }
}

/// The same by how their whole name begins: their packages have pytest load them, or they run whenever Python starts.
fn whole(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        Ecosystem::Python => &[
            "hypothesis",
            "anyio",
            "typeguard",
            "syrupy",
            "pyfakefs",
            "faker",
            "flaky",
            "schemathesis",
            "inline-snapshot",
            "dirty-equals",
            "sybil",
            "betamax",
            "nbval",
            "nbmake",
            "respx",
            "time-machine",
            "jaxtyping",
            "xonsh",
            "ddtrace",
            "logfire",
            "langsmith",
            "iniconfig",
            "setuptools",
            "pip",
            "wheel",
        ],
        Ecosystem::Node => &["ts-node", "tap", "deep-eql"],
        Ecosystem::Rust => &["libtest-mimic", "expect-test", "googletest", "ntest", "predicates"],
        // Import paths that say nothing by their words.
        Ecosystem::Go => &[
            "gopkg-in/check-v1",
            "github-com/go-check/check",
            "github-com/matryer/is",
            "github-com/matryer/is/v2",
            "pgregory-net/rapid",
            "honnef-co/go/tools",
        ],
        Ecosystem::Java | Ecosystem::C => &[],
    }
}

/// Whether a package of that name, spelled as PEP 503 does, is one of them.
pub(super) fn checks(ecosystem: Ecosystem, name: &str) -> bool {
    let is = |word: &str| {
        ANYWHERE.contains(&word)
            || words(ecosystem).contains(&word)
            || word.starts_with("test")
            || word.starts_with("assert")
    };
    whole(ecosystem).contains(&name) || name.split(|c: char| !c.is_ascii_alphanumeric()).any(is)
}

/// Whether a dependency of that name would be found before a part of the language.
pub(super) fn of_the_language(name: &str) -> bool {
    matches!(name, "std" | "core" | "alloc" | "proc-macro" | "unittest" | "doctest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_checks_is_known_by_its_name_in_its_language() {
        use Ecosystem::{Go, Node, Python, Rust};
        for (ecosystem, name, is) in [
            (Python, "pytest-randomly", true),
            (Python, "requests-mock", true),
            (Python, "time-machine", true),
            (Python, "respx", true),
            (Python, "isort", true),
            (Python, "black", true),
            (Python, "babel", false),
            (Python, "cmp", false),
            (Node, "@babel/core", true),
            (Node, "tape", true),
            (Node, "supertest", true),
            (Node, "deep-eql", true),
            (Node, "deep-equal", false),
            (Node, "black", false),
            (Rust, "tape", false),
            (Rust, "karma", false),
            (Rust, "pretty-assertions", true),
            (Go, "gopkg-in/check-v1", true),
            (Go, "github-com/google/go-cmp", true),
            (Go, "github-com/stretchr/testify", true),
            (Go, "example-com/should", false),
        ] {
            assert_eq!(checks(ecosystem, name), is, "{name}");
        }
    }
}
