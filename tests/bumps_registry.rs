//! Bumps by real package managers that ask a registry: a server on the loopback, which their jobs reach by way of the
//! proxy as they would any other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{PythonServer, Scene, serve, skipped};

/// What a program prints; none where it is not there.
fn printed(program: &str, args: &[&str], within: &Path) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(within).output().ok()?;
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Whether a program is there; who has none is told that the test did not run.
fn is_there(program: &str, test: &str) -> bool {
    // Of them all, openssl alone knows no `--version`.
    let asked = if program == "openssl" { "version" } else { "--version" };
    let there = Command::new(program).arg(asked).output().is_ok_and(|output| output.status.success());
    if !there {
        skipped(test, &format!("there is no {program}"));
    }
    there
}

/// The versions of a package in npm's form, as `npm pack` makes them: the archive, and its digest as a registry tells it.
struct Packed {
    archives: BTreeMap<String, (Vec<u8>, String)>,
}

impl Packed {
    fn make(folder: &Path, versions: &[&str]) -> Self {
        let mut archives = BTreeMap::new();
        for version in versions {
            let at = folder.join(version);
            std::fs::create_dir_all(&at).unwrap();
            let manifest = json!({"name": "tiny-dep", "version": version, "main": "index.js"});
            std::fs::write(at.join("package.json"), manifest.to_string()).unwrap();
            let answer = if version.starts_with('1') { "answer" } else { "reply" };
            std::fs::write(at.join("index.js"), format!("exports.{answer} = () => 42;\n")).unwrap();
            let told = printed("npm", &["pack", "--json", "--offline"], &at).expect("npm is there");
            let told: Value = serde_json::from_str(&told).unwrap();
            // A list of packages, or since npm 11 one by its name.
            let told = told.get(0).or_else(|| told.get("tiny-dep")).unwrap_or(&told);
            let archive = std::fs::read(at.join(told["filename"].as_str().unwrap())).unwrap();
            let integrity = told["integrity"].as_str().unwrap().to_owned();
            archives.insert((*version).to_owned(), (archive, integrity));
        }
        Self { archives }
    }

    /// Where a lockfile says that an archive comes from. Who asks a mirror gets it there.
    fn address(version: &str) -> String {
        format!("https://one.acme.example/tiny-dep/-/tiny-dep-{version}.tgz")
    }

    fn serve(&self) -> u16 {
        let archives = self.archives.clone();
        serve(move |_| {
            let versions: serde_json::Map<String, Value> = archives
                .iter()
                .map(|(version, (_, integrity))| {
                    let dist = json!({"tarball": Self::address(version), "integrity": integrity});
                    (version.clone(), json!({"name": "tiny-dep", "version": version, "dist": dist}))
                })
                .collect();
            let newest = versions.keys().next_back();
            let document = json!({"name": "tiny-dep", "dist-tags": {"latest": newest}, "versions": versions});
            move |path: &str| match path.strip_prefix("/tiny-dep/-/tiny-dep-") {
                Some(file) => Some(archives.get(file.strip_suffix(".tgz")?)?.0.clone()),
                None => (path == "/tiny-dep").then(|| document.to_string().into_bytes()),
            }
        })
    }

    fn lock(&self, version: &str) -> String {
        let lock = json!({
            "name": "calc", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
            "packages": {
                "": {"name": "calc", "version": "1.0.0", "dependencies": {"tiny-dep": format!("^{version}")}},
                "node_modules/tiny-dep": {
                    "version": version, "resolved": Self::address(version), "integrity": self.archives[version].1
                }
            }
        });
        serde_json::to_string_pretty(&lock).unwrap() + "\n"
    }
}

/// What the operator says of a registry on the machine's own loopback: jobs ask for it by way of the proxy.
fn reach(scene: &Scene, address: &str, env: &[(&str, &str)]) {
    let host = address.split("//").nth(1).expect("an address");
    let mut text = format!(
        "private = [\"{host}\"]\n\n[sets]\nregistry = [\"{address}\"]\n\n\
         [env]\nNO_PROXY = \"\"\nno_proxy = \"\"\nnpm_config_noproxy = \"\"\n"
    );
    for (name, value) in env {
        text.push_str(&format!("{name} = \"{value}\"\n"));
    }
    std::fs::write(scene.home().join("network.toml"), text).unwrap();
    std::fs::write(
        scene.path().join("p.toml"),
        "schema = 1\nrepos = [\"*\"]\nextends = [\"preset:standard\"]\n\n[change]\ndependencies = \"change\"\n\n\
         [jobs.setup]\nnetwork = [\"registry\"]\n",
    )
    .unwrap();
}

fn run(scene: &Scene, task: &str, out: &str) -> crate::support::Ran {
    scene.gloaming(&["run", "--repo", "repo", "--policy", "p.toml", "--task", task, "--out", out, "--json"])
}

#[test]
fn npm_makes_the_lockfile_by_what_a_registry_has() {
    if !is_there("npm", "npm_makes_the_lockfile_by_what_a_registry_has") {
        return;
    }
    let scene = Scene::bare_folder();
    let packed = Packed::make(&scene.path().join("packed"), &["1.0.0", "1.1.0", "1.2.0"]);
    let port = packed.serve();
    let manifest = "{\n  \"name\": \"calc\",\n  \"version\": \"1.0.0\",\n  \"scripts\": {\"test\": \"node --test test/\"},\n  \
                    \"dependencies\": {\"tiny-dep\": \"^1.0.0\"}\n}\n";
    scene.write(&[
        ("package.json", manifest),
        ("package-lock.json", &packed.lock("1.0.0")),
        (".gitignore", "node_modules\n"),
        ("src/ask.js", "exports.ask = () => require('tiny-dep').answer();\n"),
        (
            "test/ask.test.js",
            "const test = require('node:test');\nconst assert = require('node:assert');\n\
             test('asks', () => assert.strictEqual(require('../src/ask').ask(), 42));\n",
        ),
    ]);
    scene.git(&["init", "-q", "-b", "main"]);
    scene.commit("base");
    let mirror = format!("http://localhost:{port}");
    reach(
        &scene,
        &mirror,
        &[("npm_config_registry", &mirror), ("npm_config_replace_registry_host", "always")],
    );

    let result = run(&scene, "Bump the npm package tiny-dep to 1.1.0", "out").exits(0).json();
    let branch = result["branch"].as_str().unwrap();
    assert_eq!(scene.git(&["diff", "--name-only", "main", branch]), "package-lock.json\npackage.json\n");
    assert_eq!(scene.git(&["show", &format!("{branch}:package.json")]), manifest.replace("^1.0.0", "^1.1.0"));
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let new = scene.git(&["show", &format!("{branch}:package-lock.json")]);
    assert_eq!(json(&new), json(&packed.lock("1.1.0")));
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");

    let none = run(&scene, "Bump the npm package tiny-dep to 1.9.0", "none").exits(3).json();
    assert_eq!(none["reason_code"], "conflicting_requirements", "{none:#}");
}

/// Puts the wheels of a package into a folder, and the page of an index that names them.
fn wheels(folder: &Path, versions: &[&str]) {
    let files = folder.join("files");
    let page = folder.join("simple/tiny-dep");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::create_dir_all(&page).unwrap();
    let mut links = String::new();
    for version in versions {
        let made = "import sys, zipfile\nversion = sys.argv[1]\ninfo = f'tiny_dep-{version}.dist-info/'\n\
                    with zipfile.ZipFile(f'tiny_dep-{version}-py3-none-any.whl', 'w') as out:\n\
                    \x20   out.writestr('tiny_dep.py', 'def answer():\\n    return 42\\n')\n\
                    \x20   out.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: tiny-dep\\nVersion: {version}\\n')\n\
                    \x20   out.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                    \x20   out.writestr(info + 'RECORD', '')\n";
        printed("python3", &["-c", made, version], &files).expect("python3 is there");
        let name = format!("tiny_dep-{version}-py3-none-any.whl");
        let hex = gloaming_api::Digest::of(std::fs::read(files.join(&name)).unwrap()).hex().to_owned();
        links.push_str(&format!("<a href=\"../../files/{name}#sha256={hex}\">{name}</a><br>\n"));
    }
    std::fs::write(page.join("index.html"), format!("<!DOCTYPE html><html><body>\n{links}</body></html>\n"))
        .unwrap();
}

#[test]
fn uv_makes_the_lockfile_by_what_an_index_has() {
    let test = "uv_makes_the_lockfile_by_what_an_index_has";
    // What a lockfile names has to come by HTTPS.
    // Jobs have that of the virtual environment.
    let uv = std::env::var("GLOAMING_TEST_PYTHON")
        .map_or_else(|_| "uv".to_owned(), |venv| format!("{venv}/bin/uv"));
    if !is_there(&uv, test) || !is_there("openssl", test) {
        return;
    }
    let scene = Scene::bare_folder();
    let index = scene.path().join("index");
    wheels(&index, &["1.0", "1.1", "1.2"]);
    let named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let mut asked =
        vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    asked.extend(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2"]);
    asked.extend(named);
    printed("openssl", &asked, scene.path()).expect("openssl is there");
    let (certificate, key) = (scene.path().join("cert.pem"), scene.path().join("key.pem"));
    let more = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let server = PythonServer::start(&scene, "tests/support/folder.py", &index, &more);
    let port = server.port();
    let (address, host) = (format!("https://localhost:{port}/simple"), format!("localhost:{port}"));
    let env = [("UV_DEFAULT_INDEX", address.as_str()), ("UV_INSECURE_HOST", host.as_str())];

    let project = "[project]\nname = \"calc\"\nversion = \"1.0.0\"\nrequires-python = \">=3.9\"\n\
                   dependencies = [\n    \"tiny-dep==1.0\", # small\n]\n";
    scene.write(&[
        ("pyproject.toml", project),
        (".gitignore", ".venv\n__pycache__\n"),
        ("calc.py", "from tiny_dep import answer\n\n\ndef ask():\n    return answer()\n"),
        (
            "tests/test_calc.py",
            "import unittest\n\nimport calc\n\n\nclass Asks(unittest.TestCase):\n    def test_ask(self):\n        \
             self.assertEqual(calc.ask(), 42)\n",
        ),
        ("tests/__init__.py", ""),
    ]);
    let locked = Command::new(&uv).arg("lock").current_dir(scene.repo()).envs(env).output().unwrap();
    assert!(locked.status.success(), "{}", String::from_utf8_lossy(&locked.stderr));
    let lock = std::fs::read_to_string(scene.repo().join("uv.lock")).unwrap();
    scene.git(&["init", "-q", "-b", "main"]);
    scene.commit("base");
    reach(&scene, &format!("https://{host}"), &env);

    let result = run(&scene, "Bump the dependency tiny-dep to 1.1", "out").exits(0).json();
    let branch = result["branch"].as_str().unwrap();
    assert_eq!(scene.git(&["diff", "--name-only", "main", branch]), "pyproject.toml\nuv.lock\n");
    assert_eq!(
        scene.git(&["show", &format!("{branch}:pyproject.toml")]),
        project.replace("\"tiny-dep==1.0\", # small", "\"tiny-dep==1.1\", # small")
    );
    let new = scene.git(&["show", &format!("{branch}:uv.lock")]);
    assert!(new.contains("name = \"tiny-dep\"\nversion = \"1.1\""), "{new}");
    assert_eq!(new.lines().count(), lock.lines().count(), "{new}");
    let replay = scene.gloaming(&["replay", "out/journal.jsonl", "--json"]).exits(0).json();
    assert_eq!(replay["same"], true, "{replay:#}");

    let none = run(&scene, "Bump the dependency tiny-dep to 1.9", "none").exits(3).json();
    assert_eq!(none["reason_code"], "conflicting_requirements", "{none:#}");
}
