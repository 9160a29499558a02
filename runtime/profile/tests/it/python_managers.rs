//! uv, Poetry, PDM and Pipenv as set-up jobs: what they install is there for tests, and stays as it was installed.

use std::path::Path;
use std::process::Command as Process;

use gloaming_api::profile::Ecosystem;
use gloaming_api::{Digest, ReasonCode};
use gloaming_jobs::HostFacts;
use gloaming_profile::Dependencies;

use crate::folder;
use crate::prove::host;
use crate::setup::{Machine, install, is_there, said, serve, wheel};

/// Builds the project without anything that would have to be fetched: linked by a path file, or as a copy.
const BACKEND: &str = r#"
import os, zipfile

def get_requires_for_build_editable(config_settings=None):
    return []

get_requires_for_build_wheel = get_requires_for_build_editable

def _wheel(directory, files):
    info = "demo-0.1.0.dist-info"
    files[f"{info}/METADATA"] = "Metadata-Version: 2.1\nName: demo\nVersion: 0.1.0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    name = "demo-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
    return name

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory, {"demo.pth": os.path.abspath("src") + "\n"})

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory, {"demo/__init__.py": open("src/demo/__init__.py").read()})
"#;

const SOURCE: &str = "import small\n\ndef one():\n    return 1\n";
const TESTS: &str = "import unittest\nfrom demo import one\n\n\
    class Test(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(one(), 1)\n";

/// Tries as a test what must hold of what a manager installed; `run` is the words by which it starts a program.
async fn holds(machine: &Machine, tree: &Path, made: &Dependencies, run: &str) {
    let script = format!(
        "python3 -c 'import demo, small, sys; print(small.VALUE, demo.__file__, sys.prefix)'\n\
         {run} python -m unittest discover -s tests 2>&1\n\
         {run} python -c 'import sys; print(sys.prefix)'\n\
         echo x > /opt/gloaming/venv/x\n\
         sed -i 's/return 1/return 2/' src/demo/__init__.py\n\
         {run} python -m unittest discover -s tests >/dev/null 2>&1 || echo fault seen\n\
         python3 -m unittest discover -s tests >/dev/null 2>&1 || echo fault seen"
    );
    let text = said(&machine.test(tree, made, &script).await);
    let expected = "exit 0\n1.0 /workspace/src/demo/__init__.py /opt/gloaming/venv\n";
    assert!(text.starts_with(expected), "{text}");
    for part in ["Ran 1 test", "\nOK\n/opt/gloaming/venv\nfault seen\nfault seen\n", "Read-only file system"]
    {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let without = machine.test(tree, &Dependencies::default(), "python3 -c 'import small'").await;
    assert!(!without.record.exit.success(), "{}", said(&without));
}

#[tokio::test]
async fn uv_installs_what_its_lockfile_names_and_uv_run_needs_no_network() {
    if !is_there("uv") || !is_there("python3") {
        return;
    }
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let dir = tempfile::tempdir().unwrap();
    wheel(dir.path(), "1.0");
    let name = "small-1.0-py3-none-any.whl";
    let bytes = std::fs::read(dir.path().join(name)).unwrap();
    let digest = Digest::of(&bytes).hex().to_owned();
    let (port, asked) = serve(move |path| (path == format!("/files/{name}")).then(|| bytes.clone()));
    let machine = machine.reaching(port);
    let lock = format!(
        "version = 1\nrevision = 1\nrequires-python = \">=3.8\"\n\
         [[package]]\nname = \"demo\"\nversion = \"0.1.0\"\nsource = {{ editable = \".\" }}\n\
         dependencies = [{{ name = \"small\" }}]\n\
         [package.metadata]\nrequires-dist = [{{ name = \"small\" }}]\n\
         [[package]]\nname = \"small\"\nversion = \"1.0\"\n\
         source = {{ registry = \"http://forge.example:{port}/simple\" }}\n\
         wheels = [{{ url = \"http://forge.example:{port}/files/{name}\", hash = \"sha256:{digest}\" }}]\n"
    );
    let tree = folder(&[
        (
            "pyproject.toml",
            "[project]\nname = \"demo\"\nversion = \"0.1.0\"\nrequires-python = \">=3.8\"\n\
             dependencies = [\"small\"]\n\
             [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("uv.lock", &lock),
        ("backend.py", BACKEND),
        ("src/demo/__init__.py", SOURCE),
        ("tests/test_demo.py", TESTS),
        // A Python that no machine has: jobs have the one they have.
        (".python-version", "3.99\n"),
    ]);
    // Whatever the command says, no copy of the project is made, and nothing is installed elsewhere.
    let mut sync = install(&["uv", "sync", "--frozen", "--no-editable"]);
    sync.env.insert("UV_PROJECT_ENVIRONMENT".to_owned(), "/workspace/elsewhere".to_owned());
    let made = machine.set_up("acme/x", tree.path(), &sync, Ecosystem::Python).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    assert_eq!(made.records().len(), 3);
    let before = asked.load(std::sync::atomic::Ordering::SeqCst);
    assert!(before > 0);
    holds(&machine, tree.path(), &made, "uv run").await;
    let script =
        "uv run --locked --all-extras python -c 'import demo' && UV_FROZEN=1 uv run python -c 'import small'";
    let text = said(&machine.test(tree.path(), &made, script).await);
    assert!(text.starts_with("exit 0\n"), "{text}");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), before);
    assert!(machine.set_up("acme/x", tree.path(), &sync, Ecosystem::Python).await.reused());
}

#[tokio::test]
async fn uv_pip_installs_into_the_same_environment() {
    if !is_there("uv") || !is_there("python3") {
        return;
    }
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[
        ("requirements.txt", "--no-index\n--find-links wheels\nsmall==1.0\n"),
        (
            "pyproject.toml",
            "[project]\nname = \"demo\"\nversion = \"0.1.0\"\n\
             [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("backend.py", BACKEND),
        ("src/demo/__init__.py", SOURCE),
        ("tests/test_demo.py", TESTS),
    ]);
    wheel(&tree.path().join("wheels"), "1.0");
    let line = &["uv", "pip", "install", "--system", "-r", "requirements.txt", "."];
    let made = machine.set_up("acme/x", tree.path(), &install(line), Ecosystem::Python).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    holds(&machine, tree.path(), &made, "uv run --no-project").await;
}

/// Makes the lockfile of a tree as its author would.
fn lock(tree: &Path, argv: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let output = Process::new(argv[0])
        .args(&argv[1..])
        .current_dir(tree)
        .env("HOME", home.path())
        .env_remove("VIRTUAL_ENV")
        .env("PDM_CHECK_UPDATE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test]
async fn poetry_installs_what_its_lockfile_names_and_poetry_run_needs_no_network() {
    if !is_there("poetry") || !is_there("python3") {
        return;
    }
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[
        (
            "pyproject.toml",
            "[tool.poetry]\nname = \"demo\"\nversion = \"0.1.0\"\ndescription = \"\"\nauthors = []\n\
             packages = [{ include = \"demo\", from = \"src\" }]\n\
             [tool.poetry.dependencies]\npython = \">=3.8\"\n\
             small = { path = \"wheels/small-1.0-py3-none-any.whl\" }\n\
             [build-system]\nrequires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\"\n",
        ),
        // The environment is ours, whatever the repository says of it.
        ("poetry.toml", "[virtualenvs]\nin-project = true\n"),
        ("src/demo/__init__.py", SOURCE),
        ("tests/test_demo.py", TESTS),
    ]);
    wheel(&tree.path().join("wheels"), "1.0");
    lock(tree.path(), &["poetry", "lock", "--no-interaction"]);
    let line = install(&["poetry", "install", "--no-interaction"]);
    let made = machine.set_up("acme/x", tree.path(), &line, Ecosystem::Python).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    holds(&machine, tree.path(), &made, "poetry run").await;
    assert!(machine.set_up("acme/x", tree.path(), &line, Ecosystem::Python).await.reused());
}

#[tokio::test]
async fn what_the_jobs_own_python_has_is_not_taken_for_installed() {
    if !is_there("poetry") || !is_there("python3") {
        return;
    }
    let tree = folder(&[
        (
            "pyproject.toml",
            "[tool.poetry]\nname = \"demo\"\nversion = \"0.1.0\"\ndescription = \"\"\nauthors = []\n\
             package-mode = false\n[tool.poetry.dependencies]\npython = \">=3.8\"\n\
             small = { path = \"wheels/small-1.0-py3-none-any.whl\" }\n",
        ),
        ("a.py", ""),
    ]);
    let wheels = tree.path().join("wheels");
    wheel(&wheels, "1.0");
    lock(tree.path(), &["poetry", "lock", "--no-interaction"]);
    // An environment that has the very same package, and one that the project does not name; Poetry lies elsewhere.
    let dir = tempfile::tempdir().unwrap();
    let outer = dir.path().join("outer");
    let script = "import glob, os, sys, venv, zipfile\n\
        venv.create(sys.argv[1], symlinks=True)\n\
        packages = glob.glob(sys.argv[1] + '/lib/*/site-packages')[0]\n\
        zipfile.ZipFile(sys.argv[2] + '/small-1.0-py3-none-any.whl').extractall(packages)\n\
        open(packages + '/other.py', 'w').close()\n\
        with open(packages + '/small-1.0.dist-info/direct_url.json', 'w') as file:\n\
        \x20   file.write('{\"archive_info\": {}, \"url\": \"file:///workspace/wheels/small-1.0-py3-none-any.whl\"}')\n";
    let made = Process::new("python3").args(["-c", script]).arg(&outer).arg(&wheels).status().unwrap();
    assert!(made.success());
    let host = HostFacts { virtual_env: Some(outer.clone()), ..host() };
    let Some(machine) = Machine::like(&host, 1 << 30).await else { return };
    let line = install(&["poetry", "install", "--no-interaction"]);
    let made = machine.set_up("acme/x", tree.path(), &line, Ecosystem::Python).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    let script = "import other, small; print(small.__file__.split('/lib/')[0]); print(other.__file__.split('/lib/')[0])";
    let text = said(&machine.test(tree.path(), &made, &format!("poetry run python -c \"{script}\"")).await);
    assert_eq!(
        text.trim_end(),
        format!("exit 0\n/opt/gloaming/venv\n{}", outer.canonicalize().unwrap().display())
    );
}

#[tokio::test]
async fn pipenv_installs_what_its_lockfile_names_and_pipenv_run_needs_no_network() {
    if !is_there("pipenv") || !is_there("python3") {
        return;
    }
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[
        (
            "Pipfile",
            "[packages]\nsmall = { file = \"wheels/small-1.0-py3-none-any.whl\" }\n\
             demo = { path = \".\", editable = true }\n",
        ),
        (
            "pyproject.toml",
            "[project]\nname = \"demo\"\nversion = \"0.1.0\"\n\
             [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
        ),
        ("backend.py", BACKEND),
        ("src/demo/__init__.py", SOURCE),
        ("tests/test_demo.py", TESTS),
    ]);
    wheel(&tree.path().join("wheels"), "1.0");
    lock(tree.path(), &["pipenv", "lock"]);
    let line = install(&["pipenv", "install", "--system", "--deploy", "--dev"]);
    let made = machine.set_up("acme/x", tree.path(), &line, Ecosystem::Python).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    holds(&machine, tree.path(), &made, "pipenv run").await;
}

#[tokio::test]
async fn a_manager_that_no_job_has_is_named_with_how_to_get_it() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[("pdm.lock", "")]);
    if Process::new("pdm").arg("--version").output().is_ok() {
        eprintln!("SKIPPED: pdm is there");
        return;
    }
    let sync = install(&["pdm", "sync"]);
    let made = machine.set_up("acme/x", tree.path(), &sync, Ecosystem::Python).await;
    let lack = made.lack().unwrap();
    assert_eq!((lack.code, lack.failed), (ReasonCode::EnvUnbuildable, true), "{lack}");
    assert!(lack.detail.contains("pdm is missing in the jobs' environment"), "{lack}");
    assert!(lack.unblock.contains("`pip install pdm`"), "{}", lack.unblock);
}
