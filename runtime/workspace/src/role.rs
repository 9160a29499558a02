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
    ".insta.yaml",
    "insta.yaml",
    // Python
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
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
    "pdm.lock",
    "pdm.toml",
    "uv.toml",
    "hatch.toml",
    "pixi.toml",
    "pixi.lock",
    "environment.yml",
    "environment.yaml",
    "unittest.cfg",
    "nose2.cfg",
    ".noserc",
    "pylintrc",
    ".pylintrc",
    "pyrightconfig.json",
    ".python-version",
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
    ".node-version",
    ".pnp.cjs",
    ".pnp.loader.mjs",
    ".pnpmfile.cjs",
    "mocha.opts",
    ".taprc",
    "biome.json",
    "biome.jsonc",
    ".eslintignore",
    "lerna.json",
    "nx.json",
    "turbo.json",
    // Go
    "go.mod",
    "go.sum",
    "go.work",
    "go.work.sum",
    ".go-version",
    // Java and Ruby
    "pom.xml",
    "gradle.properties",
    "gradlew",
    "gradlew.bat",
    "mvnw",
    "mvnw.cmd",
    "gemfile",
    "gemfile.lock",
    "rakefile",
    ".rspec",
    // Build and CI at large
    "makefile",
    "gnumakefile",
    "justfile",
    ".justfile",
    "taskfile.yml",
    "taskfile.yaml",
    "cmakelists.txt",
    "cmakepresets.json",
    "makefile.am",
    "configure.ac",
    "sconstruct",
    "meson.build",
    "build.bazel",
    "workspace.bazel",
    "module.bazel",
    ".bazelrc",
    ".bazelversion",
    "flake.nix",
    "flake.lock",
    "shell.nix",
    "default.nix",
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
    "dockerfile.",
    "docker-compose.",
    "compose.y",
    "build.gradle",
    "settings.gradle",
];

/// Folders whose whole content configures CI or a build, or is somebody else's code that is built along: a
/// library of assertions is one.
const CONFIG_FOLDERS: &[&str] = &[
    ".github",
    ".circleci",
    ".buildkite",
    ".cargo",
    ".config",
    ".devcontainer",
    ".husky",
    ".gitlab",
    ".ci",
    ".mvn",
    ".yarn",
    "node_modules",
    "site-packages",
    ".venv",
    "venv",
    "vendor",
];

/// Ends of the names of folders that hold a Python distribution's metadata: its entry points name plugins,
/// which pytest loads from wherever it finds them.
const METADATA_FOLDERS: &[&str] = &[".dist-info", ".egg-info"];

fn is_runner_config(name: &str, folders: &[String]) -> bool {
    let pinned = |prefix: &str| matches!(prefix, "requirements" | "constraints") && !pinned_list(name);
    CONFIG_NAMES.contains(&name)
        || CONFIG_PREFIXES.iter().any(|prefix| name.starts_with(prefix) && !pinned(prefix))
        || (pinned_list(name) && (name.contains("requirements") || name.contains("constraints")))
        || (name.starts_with("pylock.") && name.ends_with(".toml"))
        || name == "manifest.in"
        // Python runs what these name at start.
        || name.ends_with(".pth")
        || name.ends_with(".egg-link")
        || name.ends_with(".mk")
        || name.ends_with(".cmake")
        || name.ends_with(".bzl")
        || name.ends_with(".code-workspace")
        || folders.iter().any(|folder| {
            CONFIG_FOLDERS.contains(&folder.as_str())
                || METADATA_FOLDERS.iter().any(|end| folder.ends_with(end))
        })
        || (pinned_list(name) && folders.last().is_some_and(|folder| folder == "requirements"))
}

/// `requirements/dev.txt`.
fn pinned_list(name: &str) -> bool {
    name.ends_with(".txt") || name.ends_with(".in")
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

/// Stems of files that tests share and that are no tests themselves: what such a file compares by is as much
/// a test as what calls it.
const HELPERS: &[&str] = &[
    "testing",
    "testutil",
    "testutils",
    "testhelper",
    "testhelpers",
    "testkit",
    "testsupport",
    "test-util",
    "test-utils",
    "test-helper",
    "test-helpers",
    "test-support",
];

fn is_test(name: &str, folders: &[String]) -> bool {
    if folders.iter().any(|folder| TEST_FOLDERS.contains(&folder.as_str())) {
        return true;
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    // Go has a package of that name, and programs have a module that is about testing.
    if HELPERS.contains(&stem)
        && matches!(extension, "py" | "rs" | "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs")
        || HELPERS[1..].contains(&stem) && extension == "go"
    {
        return true;
    }
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
                    "evil-1.0.dist-info/entry_points.txt",
                    "src/evil.egg-info/entry_points.txt",
                    "requirements/dev.txt",
                    "vendor/example.com/assert/assert.go",
                    ".venv/lib/python3.11/site-packages/x.py",
                    ".devcontainer/devcontainer.json",
                    "environment.yml",
                    "test/mocha.opts",
                    ".insta.yaml",
                    "cmake/Tests.cmake",
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
                    "pkg/testing.py",
                    "src/testutil.rs",
                    "internal/testutil.go",
                    "src/test-helpers.ts",
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
