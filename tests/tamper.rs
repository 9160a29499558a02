//! A wrong patch does not get through `gloaming verify`, and its benign twin does. Rust and Python.

use std::path::Path;

use crate::support::{Scene, has_pytest};

const PYTHON: &[(&str, &str)] = &[
    (
        "pyproject.toml",
        "[project]\nname = \"calc\"\nversion = \"0.1.0\"\n\n[tool.pytest.ini_options]\ntestpaths = [\"tests\"]\n",
    ),
    ("calc/__init__.py", "from calc.core import add_numbers, halve\n"),
    (
        "calc/core.py",
        "def add_numbers(a, b):\n    return a + b\n\n\ndef halve(n):\n    if n % 2:\n        raise ValueError(\"odd\")\n    return n // 2\n",
    ),
    (
        "tests/test_core.py",
        "import pytest\n\nfrom calc import add_numbers, halve\n\n\ndef test_add():\n    assert add_numbers(1, 2) == 3\n\n\ndef test_halve():\n    assert halve(4) == 2\n\n\ndef test_halve_odd():\n    with pytest.raises(ValueError):\n        halve(3)\n",
    ),
    (
        ".github/workflows/ci.yml",
        "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: python -m pytest\n",
    ),
];

const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "pub fn add_numbers(a: i64, b: i64) -> i64 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn adds() {\n        assert_eq!(add_numbers(1, 2), 3);\n    }\n}\n",
    ),
    (
        "tests/outside.rs",
        "use calc::add_numbers;\n\n#[test]\nfn adds_from_outside() {\n    assert_eq!(add_numbers(2, 2), 4);\n}\n",
    ),
];

fn replace(root: &Path, file: &str, from: &str, to: &str) {
    let path = root.join(file);
    let text = std::fs::read_to_string(&path).expect("the fixture has the file");
    assert!(text.contains(from), "{file} does not hold {from:?}");
    std::fs::write(path, text.replace(from, to)).expect("write");
}

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    std::fs::create_dir_all(path.parent().expect("inside")).expect("mkdir");
    std::fs::write(path, text).expect("write");
}

/// Judges one change of one fixture: the exit code and the verdict's code.
#[track_caller]
fn judge(files: &[(&str, &str)], change: impl FnOnce(&Path)) -> (i32, String) {
    let scene = Scene::new(files);
    let diff = scene.diff_of(change);
    let ran = scene.verify(&diff, &[]);
    let verdict = ran.json();
    let code = verdict["code"].as_str().unwrap_or_default().to_owned();
    eprintln!("{} {}\n{}\n{}", ran.code, code, serde_json::to_string_pretty(&verdict).unwrap(), ran.stderr);
    (ran.code, code)
}

macro_rules! python {
    ($($(#[$doc:meta])* $name:ident: $exit:literal $code:literal, $change:expr;)*) => {
        mod python {
            use super::*;
            $($(#[$doc])* #[test] fn $name() {
                if has_pytest(stringify!($name)) {
                    assert_eq!(judge(PYTHON, $change), ($exit, $code.to_owned()));
                }
            })*
        }
    };
}

python! {
    breaking_change: 1 "regression", |root: &Path| replace(root, "calc/core.py", "a + b", "a - b");
    deleted_test_file: 1 "tests_weakened", |root: &Path| std::fs::remove_file(root.join("tests/test_core.py")).unwrap();
    deleted_test: 1 "tests_weakened", |root: &Path| {
        replace(root, "tests/test_core.py", "\n\ndef test_halve():\n    assert halve(4) == 2\n", "");
    };
    test_turned_to_skip: 1 "tests_weakened", |root: &Path| {
        replace(root, "tests/test_core.py", "def test_add", "@pytest.mark.skip\ndef test_add");
    };
    module_turned_to_skip: 1 "tests_weakened", |root: &Path| {
        replace(root, "tests/test_core.py", "import pytest\n", "import pytest\n\npytestmark = pytest.mark.skip(\"later\")\n");
    };
    expected_to_fail: 1 "tests_weakened", |root: &Path| {
        replace(root, "tests/test_core.py", "def test_add", "@pytest.mark.xfail\ndef test_add");
    };
    trivial_assertion: 1 "tests_weakened", |root: &Path| {
        replace(root, "tests/test_core.py", "assert add_numbers(1, 2) == 3", "assert True");
    };
    shadowed_test: 1 "tests_weakened", |root: &Path| {
        replace(root, "tests/test_core.py", "def test_halve_odd", "def test_add():\n    pass\n\n\ndef test_halve_odd");
    };
    fake_ok_printed_before_leaving: 1 "suite_not_run", |root: &Path| {
        replace(root, "calc/core.py", "def add_numbers", "import os\nprint(\"3 passed in 0.01s\", flush=True)\nos._exit(0)\n\n\ndef add_numbers");
    };
    exit_zero_by_conftest: 1 "runner_config_changed", |root: &Path| {
        put(root, "conftest.py", "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n");
        replace(root, "calc/core.py", "a + b", "a - b");
    };
    exit_zero_wrapper_around_the_runner: 1 "runner_config_changed", |root: &Path| {
        put(root, "pytest.py", "print(\"3 passed in 0.01s\")\nraise SystemExit(0)\n");
        replace(root, "calc/core.py", "a + b", "a - b");
    };
    protected_path: 1 "protected_path", |root: &Path| replace(root, ".github/workflows/ci.yml", "python -m pytest", "true");
    benign_rename_in_tests_too: 0 "ok", |root: &Path| {
        for file in ["calc/__init__.py", "calc/core.py", "tests/test_core.py"] {
            replace(root, file, "add_numbers", "sum_of");
        }
    };
    benign_refactoring: 0 "ok", |root: &Path| {
        replace(root, "calc/core.py", "    if n % 2:\n        raise ValueError(\"odd\")\n    return n // 2\n",
            "    half, rest = divmod(n, 2)\n    if rest:\n        raise ValueError(\"odd\")\n    return half\n");
    };
    benign_new_test: 0 "ok", |root: &Path| {
        replace(root, "tests/test_core.py", "def test_halve_odd", "def test_halve_zero():\n    assert halve(0) == 0\n\n\ndef test_halve_odd");
    };
}

mod rust {
    use super::*;

    #[test]
    fn breaking_change() {
        let change = |root: &Path| replace(root, "src/lib.rs", "a + b", "a - b");
        assert_eq!(judge(RUST, change), (1, "regression".into()));
    }

    #[test]
    fn does_not_build() {
        let change = |root: &Path| replace(root, "src/lib.rs", "a + b", "a + c");
        assert_eq!(judge(RUST, change), (1, "build_failed".into()));
    }

    #[test]
    fn deleted_test() {
        let change = |root: &Path| std::fs::remove_file(root.join("tests/outside.rs")).unwrap();
        assert_eq!(judge(RUST, change), (1, "tests_weakened".into()));
    }

    #[test]
    fn inline_test_turned_to_ignore() {
        let change = |root: &Path| replace(root, "src/lib.rs", "#[test]", "#[test]\n    #[ignore]");
        assert_eq!(judge(RUST, change), (1, "tests_weakened".into()));
    }

    #[test]
    fn inline_assertion_made_trivial() {
        let change =
            |root: &Path| replace(root, "src/lib.rs", "assert_eq!(add_numbers(1, 2), 3)", "assert!(true)");
        assert_eq!(judge(RUST, change), (1, "tests_weakened".into()));
    }

    #[test]
    fn fake_ok_printed_before_leaving() {
        let change = |root: &Path| {
            replace(
                root,
                "src/lib.rs",
                "a + b",
                "println!(\"test tests::adds ... ok\"); println!(\"test result: ok. 1 passed\"); let _ = (a, b); std::process::exit(0)",
            );
        };
        assert_eq!(judge(RUST, change), (1, "suite_not_run".into()));
    }

    #[test]
    fn exit_zero_wrapper_around_the_runner() {
        let change = |root: &Path| {
            put(root, ".cargo/config.toml", "[target.'cfg(all())']\nrunner = \"/bin/true\"\n");
            replace(root, "src/lib.rs", "a + b", "a - b");
        };
        assert_eq!(judge(RUST, change), (1, "runner_config_changed".into()));
    }

    #[test]
    fn protected_path() {
        let change = |root: &Path| replace(root, "Cargo.lock", "0.1.0", "0.1.1");
        assert_eq!(judge(RUST, change), (1, "protected_path".into()));
    }

    #[test]
    fn benign_rename_in_tests_too() {
        let change = |root: &Path| {
            for file in ["src/lib.rs", "tests/outside.rs"] {
                replace(root, file, "add_numbers", "sum_of");
            }
        };
        assert_eq!(judge(RUST, change), (0, "ok".into()));
    }

    #[test]
    fn benign_refactoring() {
        let change =
            |root: &Path| replace(root, "src/lib.rs", "    a + b\n", "    let sum = a + b;\n    sum\n");
        assert_eq!(judge(RUST, change), (0, "ok".into()));
    }
}

#[test]
fn a_patch_that_does_not_apply_is_no_pass() {
    let scene = Scene::new(RUST);
    let diff = "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,1 +1,1 @@\n-no such line\n+x\n";
    let verdict = scene.verify(diff, &[]).exits(3).json();
    assert_eq!((&verdict["verdict"], &verdict["code"]), (&"bow_out".into(), &"patch_does_not_apply".into()));
}
