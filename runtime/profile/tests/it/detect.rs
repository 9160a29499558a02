//! One repository of each kind, the whole profile of each.

use gloaming_profile::detect;
use insta::assert_json_snapshot;

use crate::folder;

/// The profile without its readiness, which the fixtures show.
fn seen(dir: &tempfile::TempDir) -> gloaming_api::Profile {
    gloaming_api::Profile { readiness: None, ..detect(dir.path()) }
}

#[test]
fn a_rust_package_with_makefile_ci_and_instructions() {
    let dir = folder(&[
        ("Cargo.toml", "# A comment.\n[package]\nname = \"x\"\nversion = \"0.1.0\"\n"),
        ("src/lib.rs", ""),
        ("tests/a.rs", ""),
        ("fuzz/Cargo.toml", "[package]\nname = \"fuzz\"\n"),
        (
            "Makefile",
            "VERSION := 1\n.PHONY: test\n\ntest: build\n\t@cargo test --all-features\n\nlint:\n\tcargo fmt --all -- \\\n\t  --check\n\
             \tcargo clippy --all-targets -- -D warnings\n\nrelease:\n\tcargo build --release\n\nbuild:\n\tcargo build $(FLAGS)\n",
        ),
        (
            ".github/workflows/ci.yml",
            "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    defaults:\n      run:\n        working-directory: .\n    steps:\n\
             \x20     - uses: actions/checkout@v4\n      - name: Test everything\n        env:\n          RUST_BACKTRACE: \"1\"\n          TOKEN: ${{ secrets.X }}\n\
             \x20       run: |\n          # everything\n          cargo +nightly test\n          cargo test --workspace 2>&1 | tee log\n\
             \x20     - run: cargo test --target ${{ matrix.target }}\n      - run: echo done\n      - name: Windows\n        shell: pwsh\n        run: cargo test\n",
        ),
        (
            "AGENTS.md",
            "# Agents\n\nRun the tests:\n\n```sh\n$ cargo test -p x\n```\n\n```rust\ncargo test\n```\n",
        ),
        ("sub/AGENTS.md", "Be kind.\n"),
        (".github/copilot-instructions.md", "Be brief.\n"),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_rust_workspace() {
    let dir = folder(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
        ("a/Cargo.toml", "[package]\nname = \"a\"\n"),
        ("a/src/main.rs", "fn main() {}\n"),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_python_project_in_src_layout_with_pytest_and_ruff() {
    let dir = folder(&[
        (
            "pyproject.toml",
            "[project]\nname = \"x\"\n\n[tool.pytest.ini_options]\naddopts = \"-q\"\n\n[tool.ruff]\nline-length = 100\n",
        ),
        ("src/x/__init__.py", ""),
        ("src/x/core.py", ""),
        ("tests/test_core.py", "import pytest\nimport unittest\n"),
        ("tox.ini", "[tox]\nenvlist = py3\n\n[flake8]\nmax-line-length = 100\n"),
        (
            ".github/workflows/test.yaml",
            "jobs:\n  t:\n    steps:\n    - run: pip install -e .\n    - run: pytest -n auto --cov=x tests\n    - run: tox\n",
        ),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_python_project_with_unittest_alone() {
    let dir = folder(&[
        ("setup.py", "from setuptools import setup\nsetup()\n"),
        ("x.py", ""),
        ("tests/test_x.py", "import os\nimport unittest\nimport unittesting\n"),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_node_package_with_scripts() {
    let dir = folder(&[
        (
            "package.json",
            "{\n  \"name\": \"x\",\n  \"scripts\": {\n    \"build\": \"tsc -p . > log\",\n    \"lint\": \"eslint .\",\n    \
             \"test\": \"npm run lint && cross-env NODE_ENV=test jest --ci 'a b'\"\n  }\n}\n",
        ),
        ("index.js", ""),
        ("node_modules/jest/package.json", "{}"),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_node_package_without_a_runner_we_know() {
    let dir = folder(&[
        (
            "package.json",
            "{\"scripts\": {\"test\": \"tap test/*.js\", \"unit\": \"node test/run.js | tee log\"}}",
        ),
        ("index.js", ""),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_node_package_whose_tests_name_the_runner() {
    let dir = folder(&[
        ("package.json", "{\"scripts\": {\"test\": \"echo \\\"Error: no test specified\\\" && exit 1\"}}"),
        ("index.js", ""),
        ("test/index.test.js", "'use strict';\nconst test = require('node:test');\n"),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_go_module() {
    let dir = folder(&[
        ("go.mod", "// x\nmodule example.com/x\n\ngo 1.19\n"),
        ("x.go", "package x\n"),
        ("x_test.go", "package x\n"),
        ("Makefile", "lint:\n\tgolangci-lint run ./...\n"),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn of_two_languages_the_root_and_the_larger_one_decide() {
    let dir = folder(&[
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        ("src/main.rs", "fn main() {}\n"),
        ("pyproject.toml", "[tool.pytest]\n"),
        ("a.py", ""),
        ("b.py", ""),
        ("c.py", ""),
        ("web/package.json", "{\"scripts\": {\"test\": \"vitest\"}}"),
        ("web/a.ts", ""),
    ]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn nothing_known_is_a_gap() {
    let dir =
        folder(&[("README", "x"), ("main.pas", "begin end.\n"), ("Makefile", "test:\n\t./run-tests\n")]);
    assert_json_snapshot!(seen(&dir));
}

#[test]
fn a_profile_is_stale_when_what_it_was_mined_from_changes_and_not_otherwise() {
    let files =
        [("pyproject.toml", "[tool.pytest.ini_options]\n"), ("x.py", ""), ("test_x.py", "import pytest\n")];
    let digest = |change: &[(&str, &str)]| {
        let dir = folder(&files);
        crate::write_all(dir.path(), change);
        detect(dir.path()).mined_from
    };
    let before = digest(&[]);
    assert_eq!(digest(&[("x.py", "changed"), ("test_x.py", "import pytest\n# more\n")]), before);
    assert_ne!(digest(&[("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-x'\n")]), before);
    assert_ne!(digest(&[("Makefile", "test:\n\tpytest\n")]), before);
}
