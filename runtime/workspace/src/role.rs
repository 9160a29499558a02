//! What a file is to verification, by its path.

use gloaming_api::RelPath;
use gloaming_api::evidence::FileRole;

/// Returns what a file is to verification, by its path alone.
///
/// The first that fits: configuration of a runner, test, documentation, code. So what can change how tests are
/// run never passes as anything milder, wherever it lies.
pub fn role(path: &RelPath) -> FileRole {
    let names: Vec<String> = path.names().map(str::to_ascii_lowercase).collect();
    let Some((name, folders)) = names.split_last() else { return FileRole::Other };
    if is_runner_config(name, folders) {
        FileRole::RunnerConfig
    } else if is_test(name, folders) {
        FileRole::Test
    } else if is_docs(name, folders) {
        FileRole::Docs
    } else if is_code(name) {
        FileRole::Code
    } else {
        FileRole::Other
    }
}

/// Names that configure a build, a test runner or CI, in any folder.
const CONFIG_NAMES: &[&str] = &[
    // Rust
    "cargo.toml",
    "cargo.lock",
    "build.rs",
    "rust-toolchain",
    "rust-toolchain.toml",
    "clippy.toml",
    ".clippy.toml",
    "rustfmt.toml",
    ".rustfmt.toml",
    "deny.toml",
    "tarpaulin.toml",
    // Python
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    "tox.ini",
    "tox.toml",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "noxfile.py",
    "tasks.py",
    "sitecustomize.py",
    "usercustomize.py",
    "manage.py",
    ".coveragerc",
    "mypy.ini",
    ".mypy.ini",
    "ruff.toml",
    ".ruff.toml",
    ".flake8",
    "pipfile",
    "pipfile.lock",
    "poetry.lock",
    "uv.lock",
    // Node
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "bun.lock",
    "bun.lockb",
    "bunfig.toml",
    "deno.json",
    "deno.jsonc",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".nvmrc",
    "lerna.json",
    "nx.json",
    "turbo.json",
    // Go
    "go.mod",
    "go.sum",
    "go.work",
    "go.work.sum",
    // Build and CI at large
    "makefile",
    "gnumakefile",
    "justfile",
    ".justfile",
    "taskfile.yml",
    "taskfile.yaml",
    "cmakelists.txt",
    "meson.build",
    "dockerfile",
    "containerfile",
    ".gitlab-ci.yml",
    ".travis.yml",
    "appveyor.yml",
    ".appveyor.yml",
    "azure-pipelines.yml",
    "jenkinsfile",
    ".pre-commit-config.yaml",
    ".gitattributes",
    ".envrc",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
];

/// Beginnings of such names: `jest.config.ts`, `requirements-dev.txt`.
const CONFIG_PREFIXES: &[&str] = &[
    "jest.config.",
    "jest.setup.",
    "jest-preset.",
    "vitest.config.",
    "vitest.setup.",
    "vitest.workspace.",
    "vite.config.",
    "babel.config.",
    ".babelrc",
    ".mocharc",
    ".swcrc",
    ".eslintrc",
    "eslint.config.",
    "karma.conf.",
    "playwright.config.",
    "cypress.config.",
    "ava.config.",
    "webpack.config.",
    "rollup.config.",
    "esbuild.config.",
    ".nycrc",
    ".c8rc",
    "tsconfig.",
    "tsconfig-",
    "jsconfig.",
    "jasmine.json",
    "requirements",
    "constraints",
    ".golangci.",
    "setuptests.",
];

/// Folders whose whole content configures CI or a build.
const CONFIG_FOLDERS: &[&str] =
    &[".github", ".circleci", ".buildkite", ".cargo", ".config", ".husky", ".gitlab", ".ci", "node_modules"];

fn is_runner_config(name: &str, folders: &[String]) -> bool {
    let pinned = |prefix: &str| {
        matches!(prefix, "requirements" | "constraints") && !(name.ends_with(".txt") || name.ends_with(".in"))
    };
    CONFIG_NAMES.contains(&name)
        || CONFIG_PREFIXES.iter().any(|prefix| name.starts_with(prefix) && !pinned(prefix))
        // Python runs what these name at start.
        || name.ends_with(".pth")
        || name.ends_with(".egg-link")
        || name.ends_with(".mk")
        || folders.iter().any(|folder| CONFIG_FOLDERS.contains(&folder.as_str()))
}

const TEST_FOLDERS: &[&str] = &[
    "test",
    "tests",
    "testing",
    "__tests__",
    "__mocks__",
    "__snapshots__",
    "__fixtures__",
    "spec",
    "specs",
    "e2e",
    "testdata",
    "test-data",
    "test_data",
    "fixtures",
    "snapshots",
    "cypress",
];

fn is_test(name: &str, folders: &[String]) -> bool {
    if folders.iter().any(|folder| TEST_FOLDERS.contains(&folder.as_str())) {
        return true;
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    match extension {
        "py" | "pyi" => {
            stem.starts_with("test_") || stem.ends_with("_test") || matches!(stem, "test" | "tests")
        }
        "rs" => {
            stem.starts_with("test_")
                || stem.ends_with("_test")
                || stem.ends_with("_tests")
                || matches!(stem, "test" | "tests")
        }
        "go" => stem.ends_with("_test"),
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" => {
            [".test", ".spec", "-test", "_test", ".cy", ".e2e"].iter().any(|end| stem.ends_with(end))
                || stem.starts_with("test-")
                || stem == "test"
        }
        "snap" | "golden" => true,
        "java" | "kt" | "cs" | "scala" => stem.ends_with("test") || stem.ends_with("tests"),
        "c" | "cc" | "cpp" => stem.starts_with("test_") || stem.ends_with("_test"),
        "rb" => stem.ends_with("_test") || stem.ends_with("_spec"),
        _ => false,
    }
}

fn is_docs(name: &str, folders: &[String]) -> bool {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    if matches!(extension, "md" | "markdown" | "rst" | "adoc" | "asciidoc" | "mdx" | "txt") {
        return true;
    }
    let known = [
        "readme",
        "license",
        "licence",
        "copying",
        "notice",
        "changelog",
        "changes",
        "authors",
        "contributing",
    ];
    if known.contains(&stem) && !is_code(name) {
        return true;
    }
    folders.first().is_some_and(|folder| matches!(folder.as_str(), "doc" | "docs")) && !is_code(name)
}

fn is_code(name: &str) -> bool {
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    matches!(
        extension,
        "rs" | "py"
            | "pyi"
            | "pyx"
            | "js"
            | "jsx"
            | "ts"
            | "tsx"
            | "mjs"
            | "cjs"
            | "mts"
            | "cts"
            | "vue"
            | "svelte"
            | "go"
            | "c"
            | "h"
            | "cc"
            | "cpp"
            | "cxx"
            | "hh"
            | "hpp"
            | "hxx"
            | "m"
            | "mm"
            | "java"
            | "kt"
            | "kts"
            | "scala"
            | "cs"
            | "fs"
            | "rb"
            | "php"
            | "pl"
            | "pm"
            | "sh"
            | "bash"
            | "zsh"
            | "fish"
            | "ps1"
            | "lua"
            | "swift"
            | "dart"
            | "ex"
            | "exs"
            | "erl"
            | "hs"
            | "ml"
            | "mli"
            | "clj"
            | "zig"
            | "nim"
            | "sql"
            | "proto"
            | "wit"
            | "s"
            | "asm"
            | "css"
            | "scss"
            | "sass"
            | "less"
            | "html"
            | "htm"
            | "y"
            | "l"
            | "pest"
            | "lalrpop"
            | "jl"
            | "r"
            | "v"
            | "sv"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use FileRole::{Code, Docs, Other, RunnerConfig, Test};

    #[test]
    fn roles_by_path() {
        for (expected, paths) in [
            (
                RunnerConfig,
                &[
                    "Cargo.toml",
                    "crates/a/Cargo.toml",
                    "Cargo.lock",
                    "build.rs",
                    ".cargo/config.toml",
                    ".cargo/config",
                    "rust-toolchain.toml",
                    "conftest.py",
                    "tests/conftest.py",
                    "pytest.ini",
                    "tox.ini",
                    "setup.cfg",
                    "setup.py",
                    "pyproject.toml",
                    "noxfile.py",
                    "sitecustomize.py",
                    "src/evil.pth",
                    "package.json",
                    "packages/a/package.json",
                    "jest.config.js",
                    "jest.config.mjs",
                    "vitest.config.ts",
                    ".mocharc.json",
                    "tsconfig.json",
                    "tsconfig.build.json",
                    "go.mod",
                    "go.sum",
                    "Makefile",
                    "GNUmakefile",
                    "rules.mk",
                    ".github/workflows/ci.yml",
                    ".github/CODEOWNERS",
                    "requirements.txt",
                    "requirements-dev.txt",
                    ".gitattributes",
                    ".config/nextest.toml",
                    "node_modules/jest/index.js",
                    "Dockerfile",
                ][..],
            ),
            (
                Test,
                &[
                    "tests/a.rs",
                    "tests/data/x.json",
                    "test_foo.py",
                    "pkg/test_foo.py",
                    "pkg/foo_test.py",
                    "pkg/tests.py",
                    "foo_test.go",
                    "a/testdata/x",
                    "a.test.ts",
                    "a.spec.js",
                    "src/__tests__/a.js",
                    "src/a/tests.rs",
                    "a.test.tsx",
                    "e2e/login.ts",
                    "test/index.js",
                    "__snapshots__/a.snap",
                    "tests/README.md",
                ][..],
            ),
            (
                Docs,
                &["README.md", "docs/a.svg", "LICENSE", "CHANGELOG", "notes.txt", "AGENTS.md", "a/b.rst"][..],
            ),
            (
                Code,
                &[
                    "src/lib.rs",
                    "pkg/a.py",
                    "a.go",
                    "src/a.ts",
                    "docs/conf.py",
                    "contest.py",
                    "latest.js",
                    "attestation.go",
                    "testing.go",
                ][..],
            ),
            (Other, &["data.json", "logo.png", "Procfile", "", "requirements.yaml"][..]),
        ] {
            for path in paths {
                assert_eq!(role(&RelPath::parse(path).unwrap()), expected, "{path}");
            }
        }
    }
}
