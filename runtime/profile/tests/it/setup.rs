//! The set-up phase in real containers: what package managers fetch, who sees it, and who cannot write to it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gloaming_api::job::{JobPurpose, JobRecord};
use gloaming_api::profile::{Command, CommandKind, Ecosystem, Source};
use gloaming_api::{Digest, ReasonCode, RelPath, RepoId};
use gloaming_jobs::{Caches, Cancel, Egress, Embedded, Engine as _, HostFacts, Job, JobOutput, Resolver};
use gloaming_policies::{Grant, Lanes, Layer, parse};
use gloaming_profile::{
    Dependencies, Proving, Provision, SetupError, SetupInputs, SetupTree, known, prove, set_up,
};

use crate::prove::{embedded_of, host};
use crate::{folder, write_all};

/// A machine with an engine, a policy and a folder of caches.
pub(crate) struct Machine {
    pub(crate) engine: Embedded,
    pub(crate) environment: Digest,
    dir: tempfile::TempDir,
    pub(crate) caches: Caches,
    pub(crate) grant: Grant,
    egress: Option<Egress>,
    serial: AtomicUsize,
}

impl Machine {
    pub(crate) async fn new(cap: u64) -> Option<Self> {
        Self::like(&host(), cap).await
    }

    /// A machine that has other things installed than this one.
    pub(crate) async fn like(host: &HostFacts, cap: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (engine, environment) = embedded_of(&dir.path().join("state"), host).await?;
        let caches = Caches::new(dir.path().join("deps"), cap);
        let grant = Grant::resolve(&RepoId::local("test"), Vec::new()).unwrap();
        Some(Self { engine, environment, dir, caches, grant, egress: None, serial: AtomicUsize::new(0) })
    }

    /// Lets set-up jobs reach a server of this machine's by the name `forge.example`.
    pub(crate) fn reaching(mut self, port: u16) -> Self {
        let text = format!(
            "schema = 1\nextends = [\"preset:standard\"]\n[jobs.setup]\nnetwork = [\"http://forge.example:{port}\"]\n"
        );
        let layers = vec![(Layer::Operator, parse("test.toml", &text).unwrap())];
        let lanes = Lanes { hosts: true, secrets: false };
        self.grant = Grant::resolve_on(&RepoId::local("test"), layers, lanes).unwrap();
        let resolver =
            Resolver::new(|_| Box::pin(async { Ok(vec!["127.0.0.1".parse().expect("an address")]) }));
        self.egress =
            Some(Egress { private: vec![format!("forge.example:{port}")], resolver, ..Egress::default() });
        self
    }

    pub(crate) fn fresh(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!("{kind}-{}", self.serial.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) async fn set_up(
        &self,
        repo: &str,
        tree: &Path,
        install: &Command,
        of: Ecosystem,
    ) -> Dependencies {
        self.try_set_up(repo, tree, install, of, SetupTree::Base, &Cancel::new()).await.unwrap()
    }

    pub(crate) async fn try_set_up(
        &self,
        repo: &str,
        tree: &Path,
        install: &Command,
        of: Ecosystem,
        whose: SetupTree<'_>,
        cancel: &Cancel,
    ) -> Result<Dependencies, SetupError> {
        set_up(&SetupInputs {
            provision: Provision {
                repo: &repo.parse().unwrap(),
                caches: &self.caches,
                egress: self.egress.as_ref(),
                base: None,
            },
            command: Some(install),
            ecosystems: &[of],
            grant: &self.grant,
            engine: &self.engine,
            environment: &self.environment,
            tree,
            whose,
            work_dir: &self.fresh("setup"),
            progress: &|_| {},
            cancel,
        })
        .await
    }

    /// Runs a shell script as a test job on a copy of a tree.
    pub(crate) async fn test(&self, tree: &Path, dependencies: &Dependencies, script: &str) -> JobOutput {
        let workspace = self.fresh("tree");
        gloaming_workspace::copy_tree(tree, &workspace).unwrap();
        let mut job = Job {
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            workspace,
            scratch: None,
            mounts: Vec::new(),
            egress: None,
            label: "test".to_owned(),
        };
        dependencies.equip(&mut job, &self.fresh("own")).unwrap();
        let permit = self.grant.permit_job(JobPurpose::Test).unwrap();
        self.engine.run(&permit, &job, &Cancel::new()).await.unwrap()
    }

    /// How many entries of the caches' folder are of a key.
    fn entries_of(&self, key: &Digest) -> usize {
        let repos = std::fs::read_dir(self.dir.path().join("deps")).unwrap();
        let entries = repos.flat_map(|repo| std::fs::read_dir(repo.unwrap().path()).unwrap());
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(key.hex()))
            .count()
    }

    /// The caches that are filled or being filled, by what is in their names behind the key.
    pub(crate) fn entries(&self) -> Vec<String> {
        let mut names = Vec::new();
        for repo in std::fs::read_dir(self.dir.path().join("deps")).into_iter().flatten() {
            for entry in std::fs::read_dir(repo.unwrap().path()).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                names.push(name.split_once('.').map_or("filled", |(_, end)| end).to_owned());
            }
        }
        names.sort();
        names
    }
}

pub(crate) fn install(line: &[&str]) -> Command {
    Command {
        kind: CommandKind::Install,
        argv: line.iter().map(|word| (*word).to_owned()).collect(),
        cwd: RelPath::root(),
        env: BTreeMap::new(),
        runner: None,
        source: Source { file: RelPath::root(), line: 1, because: String::new() },
        proof: None,
    }
}

pub(crate) fn said(output: &JobOutput) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.record.exit, text(&output.stdout), text(&output.stderr))
}

pub(crate) fn is_there(program: &str) -> bool {
    let there = Process::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: no {program}");
    }
    there
}

/// Packs a folder's entries into a tarball.
fn tarball(dir: &Path, top: &str) -> Vec<u8> {
    let output = Process::new("tar").arg("-cz").arg("-C").arg(dir).arg(top).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A server of some files over plain HTTP; counts what it is asked.
pub(crate) fn serve(
    files: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, files) = (Arc::new(AtomicUsize::new(0)), Arc::new(files));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (counted, files) = (Arc::clone(&counted), Arc::clone(&files));
            std::thread::spawn(move || answer(stream, &counted, files.as_ref()));
        }
    });
    (port, asked)
}

fn answer(mut stream: TcpStream, counted: &AtomicUsize, files: &dyn Fn(&str) -> Option<Vec<u8>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    counted.fetch_add(1, Ordering::SeqCst);
    let (status, body) = match request.split(' ').nth(1).and_then(files) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// An index that cargo asks, with one crate in it, `tiny-dep`.
fn crates(dir: &Path) -> (u16, Arc<AtomicUsize>) {
    write_all(
        dir,
        &[
            (
                "tiny-dep-1.0.0/Cargo.toml",
                "[package]\nname = \"tiny-dep\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
            ),
            ("tiny-dep-1.0.0/src/lib.rs", "pub fn answer() -> u32 { 42 }\n"),
        ],
    );
    let archive = tarball(dir, "tiny-dep-1.0.0");
    let entry = format!(
        "{{\"name\":\"tiny-dep\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{}\",\"features\":{{}},\"yanked\":false}}\n",
        Digest::of(&archive).hex()
    );
    let port = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&port);
    let (number, asked) = serve(move |path| match path {
        "/index/config.json" => {
            let port = own.load(Ordering::SeqCst);
            Some(format!("{{\"dl\":\"http://forge.example:{port}/files/{{crate}}\"}}").into_bytes())
        }
        "/index/ti/ny/tiny-dep" => Some(entry.clone().into_bytes()),
        "/files/tiny-dep" => Some(archive.clone()),
        _ => None,
    });
    port.store(number.into(), Ordering::SeqCst);
    (number, asked)
}

pub(crate) fn rust_package(port: u16) -> tempfile::TempDir {
    let config = format!(
        "[source.crates-io]\nreplace-with = \"double\"\n[source.double]\nregistry = \"sparse+http://forge.example:{port}/index/\"\n"
    );
    folder(&[
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ntiny-dep = \"1\"\n",
        ),
        ("src/lib.rs", "#[test]\nfn works() { assert_eq!(tiny_dep::answer(), 42); }\n"),
        (".cargo/config.toml", &config),
    ])
}

#[tokio::test]
async fn crates_are_fetched_once_and_no_test_job_can_write_where_they_are_kept() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (port, asked) = crates(dir.path());
    let machine = machine.reaching(port);
    let (tree, fetch) = (rust_package(port), install(&["cargo", "fetch"]));
    let made = machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await;
    assert!(made.lack().is_none() && !made.reused() && !made.is_empty(), "{:?}", made.lack());
    assert_eq!(made.records().len(), 1);
    assert_eq!(made.records()[0].purpose, JobPurpose::Setup);
    let before = asked.load(Ordering::SeqCst);
    assert!(before >= 3, "{before}");

    // The tests have it, without network, and whatever they try nobody's copy changes.
    let script = "cargo test --offline -q 2>&1 && cargo test --offline -q >/dev/null 2>&1 && echo twice\n\
                  echo x > /opt/gloaming/cargo-registry/x; rm -rf /opt/gloaming/cargo-registry/cache\n\
                  find /scratch/cargo/registry/ -name 'tiny-dep-1.0.0.crate' | wc -l\n\
                  find /scratch/cargo/registry/ -name lib.rs -exec sh -c 'echo evil >> \"$1\"' sh {} ';'";
    let output = machine.test(tree.path(), &made, script).await;
    let text = said(&output);
    assert!(text.contains("test result: ok. 1 passed") && text.contains("twice\n1\n"), "{text}");
    assert!(text.matches("Read-only file system").count() >= 3, "{text}");
    let without = machine.test(tree.path(), &Dependencies::default(), "cargo test --offline -q 2>&1").await;
    assert!(!without.record.exit.success(), "{}", said(&without));

    // The same repository has it from the cache, another one does not.
    let again = machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await;
    assert!(again.reused() && again.records().len() == made.records().len());
    for (record, ran) in again.records().iter().zip(made.records()) {
        let run = record.cached.as_ref().unwrap();
        // Everything is that of the job that filled it, and that it is of the cache is said beside.
        assert_eq!(JobRecord { cached: None, ..record.clone() }, *ran);
        assert!(run.at > jiff::Timestamp::UNIX_EPOCH && machine.entries_of(&run.key) > 0, "{run:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
    let other = machine.set_up("evil/x", tree.path(), &fetch, Ecosystem::Rust).await;
    assert!(!other.reused() && other.lack().is_none());
    assert!(asked.load(Ordering::SeqCst) > before);
}

#[tokio::test]
async fn proving_a_profile_sets_up_once_and_its_commands_see_what_was_fetched() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (port, _) = crates(dir.path());
    let machine = machine.reaching(port);
    let tree = rust_package(port);
    let repo = "acme/x".parse().unwrap();
    for set_ups in [1, 0] {
        let mut profile = known(tree.path(), None).unwrap();
        let work_dir = machine.fresh("prove");
        std::fs::create_dir(&work_dir).unwrap();
        let proving = Proving {
            engine: &machine.engine,
            environment: &machine.environment,
            grant: &machine.grant,
            checkout: &|dir| gloaming_workspace::copy_tree(tree.path(), dir),
            work_dir: &work_dir,
            now: jiff::Timestamp::UNIX_EPOCH,
            progress: &|_| {},
            cancel: &Cancel::new(),
            provision: Some(Provision {
                repo: &repo,
                caches: &machine.caches,
                egress: machine.egress.as_ref(),
                base: None,
            }),
            count_tests: None,
        };
        let records = prove(&mut profile, &proving).await.unwrap();
        assert_eq!(records.iter().filter(|record| record.purpose == JobPurpose::Setup).count(), set_ups);
        for kind in [CommandKind::Install, CommandKind::Build, CommandKind::Test] {
            let proof = profile.command(kind).and_then(|command| command.proof.as_ref()).unwrap();
            assert!(proof.exit.success(), "{}: {}", kind.as_str(), proof.excerpt);
        }
    }
}

#[tokio::test]
async fn what_a_patchs_tree_fetched_is_never_what_the_base_gets() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (port, _) = crates(dir.path());
    let machine = machine.reaching(port);
    let (tree, fetch) = (rust_package(port), install(&["cargo", "fetch"]));
    let run = async |whose| {
        let cancel = Cancel::new();
        machine.try_set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust, whose, &cancel).await.unwrap()
    };
    // The very same files: only whose they are differs.
    let patched = run(SetupTree::Patched("one")).await;
    assert!(!patched.reused() && patched.lack().is_none());
    assert!(!run(SetupTree::Base).await.reused());
    assert!(!run(SetupTree::Patched("two")).await.reused());
    assert!(run(SetupTree::Patched("one")).await.reused());
    assert!(run(SetupTree::Base).await.reused());
}

#[tokio::test]
async fn a_set_up_without_network_says_what_would_help_and_leaves_nothing() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let (tree, fetch) = (rust_package(9), install(&["cargo", "fetch"]));
    let made = machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await;
    let lack = made.lack().unwrap();
    assert_eq!(lack.code, ReasonCode::NeedsNetwork);
    assert!(lack.detail.contains("the policy names no host for set-up jobs"), "{lack}");
    assert!(lack.unblock.contains("[jobs.setup]"), "{}", lack.unblock);
    assert!(made.is_empty() && made.records().len() == 1);
    assert!(
        !machine.entries().iter().any(|name| name == "filled" || name == "new"),
        "{:?}",
        machine.entries()
    );
    // Jobs go on with what they had.
    let output = machine.test(tree.path(), &made, "true").await;
    assert!(output.record.exit.success(), "{}", said(&output));

    // With a network in which that host is not.
    let machine = machine.reaching(1);
    let made = machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await;
    let lack = made.lack().unwrap();
    assert_eq!(lack.code, ReasonCode::NeedsNetwork, "{lack}");
    assert!(lack.detail.contains("was refused http://forge.example:9"), "{lack}");

    // And one that fails for another reason.
    let made =
        machine.set_up("acme/x", tree.path(), &install(&["sh", "-c", "exit 3"]), Ecosystem::Rust).await;
    let lack = made.lack().unwrap();
    assert_eq!((lack.code, lack.failed), (ReasonCode::EnvUnbuildable, true), "{lack}");
}

const PACKAGE: &str = r#"{"name": "x", "version": "1.0.0", "dependencies": {"dep": "file:dep.tgz"}}"#;
const LOCK: &str = r#"{"name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
  "": {"name": "x", "version": "1.0.0", "dependencies": {"dep": "file:dep.tgz"}},
  "node_modules/dep": {"version": "1.0.0", "resolved": "file:dep.tgz"}}}"#;

#[tokio::test]
async fn node_modules_are_carried_over_read_only_with_room_for_what_tools_write() {
    if !is_there("npm") {
        return;
    }
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[
        ("package.json", PACKAGE),
        ("package-lock.json", LOCK),
        ("packed/package/package.json", r#"{"name": "dep", "version": "1.0.0", "main": "dep.js"}"#),
        ("packed/package/dep.js", "module.exports = 42;\n"),
    ]);
    let archive = tarball(&tree.path().join("packed"), "package");
    std::fs::write(tree.path().join("dep.tgz"), archive).unwrap();
    let made = machine.set_up("acme/x", tree.path(), &install(&["npm", "ci"]), Ecosystem::Node).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    let script = "node -e 'console.log(require(\"dep\"))'\n\
                  echo 'module.exports = 1' > node_modules/dep/dep.js; rm -rf node_modules/dep; mkdir node_modules/new\n\
                  mkdir -p node_modules/.cache/tool && echo warm > node_modules/.cache/tool/x && cat node_modules/.cache/tool/x\n\
                  ls node_modules/.vite | wc -l; echo own > beside && cat beside";
    let output = machine.test(tree.path(), &made, script).await;
    let text = said(&output);
    assert!(text.starts_with("exit 0\n42\nwarm\n0\nown\n"), "{text}");
    assert!(text.matches("Read-only file system").count() >= 3, "{text}");
    // What one job's tools wrote, no other sees.
    let output = machine.test(tree.path(), &made, "ls -A node_modules/.cache | wc -l").await;
    assert!(said(&output).starts_with("exit 0\n0\n"), "{}", said(&output));
    // A tree with a link in the way gets nothing mounted through it.
    let hostile = folder(&[("package.json", PACKAGE)]);
    std::os::unix::fs::symlink("/scratch", hostile.path().join("node_modules")).unwrap();
    let output = machine.test(hostile.path(), &made, "ls /scratch/dep /workspace/node_modules/dep").await;
    assert!(!output.record.exit.success(), "{}", said(&output));
}

/// Writes a wheel of a module `small` whose `VALUE` is `version`.
pub(crate) fn wheel(dir: &Path, version: &str) {
    let script = "import sys, zipfile\n\
        version = sys.argv[1]\n\
        with zipfile.ZipFile(f'small-{version}-py3-none-any.whl', 'w') as file:\n\
        \x20   file.writestr('small.py', f'VALUE = {version!r}\\n')\n\
        \x20   info = f'small-{version}.dist-info'\n\
        \x20   file.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: small\\nVersion: {version}\\n')\n\
        \x20   file.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20   file.writestr(f'{info}/RECORD', f'small.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n')\n";
    std::fs::create_dir_all(dir).unwrap();
    let output = Process::new("python3").current_dir(dir).args(["-c", script, version]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn pip_installs_into_an_environment_that_jobs_find_first() {
    if !is_there("python3") {
        return;
    }
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[("requirements.txt", "--no-index\n--find-links wheels\nsmall==1.0\n")]);
    wheel(&tree.path().join("wheels"), "1.0");
    let line = &["python3", "-m", "pip", "install", "-r", "requirements.txt"];
    let made = machine.set_up("acme/x", tree.path(), &install(line), Ecosystem::Python).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    let script = "python3 -c 'import small, sys; print(small.VALUE, sys.prefix)'\n\
                  python3 -c 'import pip; print(\"the outer packages too\")'\n\
                  echo x > /opt/gloaming/venv/x\n\
                  python3 -m pip uninstall -y small >/dev/null 2>&1 || echo stays";
    let output = machine.test(tree.path(), &made, script).await;
    let text = said(&output);
    assert!(
        text.starts_with("exit 0\n1.0 /opt/gloaming/venv\nthe outer packages too\nstays\n")
            && text.contains("Read-only file system"),
        "{text}"
    );
    let without = machine.test(tree.path(), &Dependencies::default(), "python3 -c 'import small'").await;
    assert!(!without.record.exit.success(), "{}", said(&without));
}

#[tokio::test]
async fn gos_modules_and_cargos_git_dependencies_are_kept_too() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    if is_there("python3") && Process::new("go").arg("version").output().is_ok() {
        let tree = folder(&[
            ("go.mod", "module forge.example/x\n\ngo 1.19\n\nrequire forge.example/dep v1.0.0\n"),
            (
                "x.go",
                "package x\n\nimport \"forge.example/dep\"\n\nfunc Answer() int { return dep.Answer() }\n",
            ),
            (
                "x_test.go",
                "package x\n\nimport \"testing\"\n\nfunc TestAnswer(t *testing.T) {\n\tif Answer() != 42 {\n\t\tt.Fail()\n\t}\n}\n",
            ),
            ("proxy/forge.example/dep/@v/v1.0.0.info", "{\"Version\":\"v1.0.0\"}"),
            ("proxy/forge.example/dep/@v/v1.0.0.mod", "module forge.example/dep\n"),
        ]);
        let zip = "import zipfile\n\
            with zipfile.ZipFile('v1.0.0.zip', 'w') as file:\n\
            \x20   file.writestr('forge.example/dep@v1.0.0/go.mod', 'module forge.example/dep\\n')\n\
            \x20   file.writestr('forge.example/dep@v1.0.0/dep.go', 'package dep\\n\\nfunc Answer() int { return 42 }\\n')\n";
        let dir = tree.path().join("proxy/forge.example/dep/@v");
        assert!(Process::new("python3").current_dir(dir).args(["-c", zip]).status().unwrap().success());
        let mut download = install(&["go", "mod", "download"]);
        download.env.insert("GOPROXY".to_owned(), "file:///workspace/proxy".to_owned());
        let made = machine.set_up("acme/x", tree.path(), &download, Ecosystem::Go).await;
        assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
        let script = "rm -rf proxy; GOFLAGS=-mod=mod go test ./... 2>&1; echo x > /opt/gloaming/go-modules/x";
        let text = said(&machine.test(tree.path(), &made, script).await);
        assert!(text.contains("ok  \tforge.example/x") && text.contains("Read-only file system"), "{text}");
    }
    let tree = folder(&[
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n\
             dep = { git = \"file:///workspace/served\" }\n[workspace]\nexclude = [\"dep\"]\n",
        ),
        ("src/lib.rs", "#[test]\nfn works() { assert_eq!(dep::answer(), 42); }\n"),
        ("dep/Cargo.toml", "[package]\nname = \"dep\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
        ("dep/src/lib.rs", "pub fn answer() -> u32 { 42 }\n"),
    ]);
    // No job sees a folder called `.git`.
    let steps = [
        &["init", "-q"][..],
        &["add", "-A"],
        &["commit", "-q", "-m", "dep"],
        &["clone", "-q", "--no-hardlinks", "--bare", ".", "../served"],
    ];
    for args in steps {
        let status = Process::new("git")
            .current_dir(tree.path().join("dep"))
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"])
            .args(args)
            .status()
            .unwrap();
        assert!(status.success());
    }
    let mut fetch = install(&["cargo", "fetch"]);
    fetch.env.insert("CARGO_NET_OFFLINE".to_owned(), "false".to_owned());
    let made = machine.set_up("acme/x", tree.path(), &fetch, Ecosystem::Rust).await;
    assert!(made.lack().is_none() && !made.is_empty(), "{:?}", made.lack());
    let text =
        said(&machine.test(tree.path(), &made, "rm -rf dep served; cargo test --offline -q 2>&1").await);
    assert!(text.contains("test result: ok. 1 passed"), "{text}");
}

#[tokio::test]
async fn a_set_up_that_was_interrupted_is_not_taken_for_a_complete_one() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    // Which of the two it is, the tree says in a file that decides nothing.
    let script = "echo half > /opt/gloaming/venv/half; [ -e through ] || exec tail -f /dev/null";
    let command = install(&["sh", "-c", script]);
    let tree = folder(&[("a.py", "")]);
    let cancel = Cancel::new();
    let half = |dir: &Path| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(|repo| std::fs::read_dir(repo.path()).into_iter().flatten().flatten())
            .any(|entry| entry.path().join("parts/venv/half").exists())
    };
    let interrupt = async {
        while !half(&machine.dir.path().join("deps")) {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let running =
        machine.try_set_up("acme/x", tree.path(), &command, Ecosystem::Python, SetupTree::Base, &cancel);
    let (result, ()) = tokio::join!(running, interrupt);
    assert!(matches!(result, Err(SetupError::Cancelled)), "{result:?}");
    assert_eq!(machine.entries(), Vec::<String>::new());
    std::fs::write(tree.path().join("through"), "").unwrap();
    let set_up = async || machine.set_up("acme/x", tree.path(), &command, Ecosystem::Python).await;
    let made = set_up().await;
    assert!(made.lack().is_none() && !made.reused() && made.records().len() == 2, "{:?}", made.lack());
    assert!(set_up().await.reused());
    drop(made);
    // One that was killed could not even clean up.
    let size = find(&machine.dir.path().join("deps"), ".size");
    std::fs::rename(size.with_extension(""), size.with_extension("new")).unwrap();
    std::fs::remove_file(size).unwrap();
    assert!(!set_up().await.reused());
    assert!(set_up().await.reused());
}

/// The one file below a folder whose name ends so.
fn find(dir: &Path, end: &str) -> PathBuf {
    let repo = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let mut files = std::fs::read_dir(repo).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.to_string_lossy().ends_with(end)).unwrap()
}

#[tokio::test]
async fn of_two_that_want_the_same_one_fetches_it() {
    let Some(machine) = Machine::new(1 << 30).await else { return };
    let tree = folder(&[("a.py", "")]);
    let command = install(&["sh", "-c", "echo x > /opt/gloaming/venv/x"]);
    let one = || machine.set_up("acme/x", tree.path(), &command, Ecosystem::Python);
    let (first, second) = tokio::join!(one(), one());
    assert!(first.lack().is_none() && second.lack().is_none());
    assert!(first.reused() != second.reused());
}

#[tokio::test]
async fn old_caches_make_way_and_those_in_use_do_not() {
    let Some(machine) = Machine::new(3 << 20).await else { return };
    let tree = folder(&[("a.py", "")]);
    let of = |name: &str| {
        let script =
            format!("dd if=/dev/urandom of=/opt/gloaming/venv/{name} bs=1024 count=1600 2>/dev/null");
        install(&["sh", "-c", &script])
    };
    let (in_use, old, new) = (of("in-use"), of("old"), of("new"));
    let set_up =
        async |command: &Command| machine.set_up("acme/x", tree.path(), command, Ecosystem::Python).await;
    let held = set_up(&in_use).await;
    assert!(!held.is_empty(), "{:?}", held.lack());
    drop(set_up(&old).await);
    drop(set_up(&new).await);
    // Together they are too much: the one that nobody uses and nobody has just made is gone.
    assert!(set_up(&in_use).await.reused());
    let output = machine.test(tree.path(), &held, "wc -c < /opt/gloaming/venv/in-use").await;
    assert!(said(&output).starts_with("exit 0\n1638400"), "{}", said(&output));
    assert!(!set_up(&old).await.reused());
    // What is larger than all together may be is not kept.
    let script = "dd if=/dev/urandom of=/opt/gloaming/venv/big bs=1024 count=6000 2>/dev/null";
    let big = set_up(&install(&["sh", "-c", script])).await;
    assert!(big.lack().is_some_and(|lack| lack.detail.contains("all caches together")), "{:?}", big.lack());
}
