//! The control plane and its workers, as processes: tasks go in over HTTP, attempts run under leases, and what comes of them
//! is told.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::hosted::sent;
use crate::support::{Ran, Scene, partner, ran};

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    ("src/lib.rs", "//! Adds.\n\n/// Returns the sum.\npub fn plus(a: u32, b: u32) -> u32 {\n    a + b\n}\n"),
    ("tests/all.rs", "use calc::plus;\n\n#[test]\nfn two() {\n    assert_eq!(plus(1, 1), 2);\n}\n"),
];

const TASK: &str = "Rename the function `plus` to `sum` everywhere";

/// A process of the program's that goes on until it is dropped.
pub(crate) struct Running {
    child: Child,
    /// What it said when it was ready.
    said: Value,
}

impl Running {
    /// Starts a program, and waits until `ready` makes something of what it printed so far.
    pub(crate) fn start(command: &mut Command, ready: impl Fn(&str) -> Option<Value>) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        let said = loop {
            let read = out.read_line(&mut text).expect("a pipe can be read");
            assert!(read > 0, "{command:?} ended before it was ready:\n{text}");
            if let Some(said) = ready(&text) {
                break said;
            }
        };
        // Whoever writes to a pipe that nobody reads stops.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, said }
    }

    /// Returns what starts `serve` or `control` on a port of the system's choice.
    pub(crate) fn command(scene: &Scene, command: &str, config: &str) -> Command {
        Self::command_at(scene, command, config, "127.0.0.1:0")
    }

    fn command_at(scene: &Scene, command: &str, config: &str, listen: &str) -> Command {
        std::fs::write(scene.path().join("gloaming.toml"), config).unwrap();
        let mut made = scene.command(&[command, "--listen", listen, "--config", "gloaming.toml", "--json"]);
        made.env("GLOAMING_LOG", "warn");
        made
    }

    /// Starts one at an address, and waits until it listens; all that it logs goes to `log`.
    pub(crate) fn at(scene: &Scene, command: &str, config: &str, listen: &str, log: File) -> Self {
        let mut started = Self::command_at(scene, command, config, listen);
        Self::listening(started.env("GLOAMING_LOG", "info").stderr(log))
    }

    /// Starts one, and waits until it listens.
    pub(crate) fn listening(command: &mut Command) -> Self {
        let told = |text: &str| serde_json::from_str(text).ok();
        let started = Self::start(command, told);
        assert!(started.said["control"].is_string(), "{command:?} does not start: {:#}", started.said);
        started
    }

    /// Starts `serve` or `control`, and waits until it listens.
    pub(crate) fn server(scene: &Scene, command: &str, config: &str) -> Self {
        Self::listening(&mut Self::command(scene, command, config))
    }

    /// What it said when it was ready.
    pub(crate) fn said(&self) -> &Value {
        &self.said
    }

    pub(crate) fn url(&self) -> &str {
        self.said["control"].as_str().unwrap()
    }

    /// Asks it to stop, and returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(scene: &Scene) -> String {
    // The repository's folder is its own name's.
    let host = scene.path().join("host/acme");
    std::fs::create_dir_all(&host).unwrap();
    let link = host.join("calc.git");
    if !link.exists() {
        std::os::unix::fs::symlink(scene.repo().join(".git"), link).unwrap();
    }
    format!("schema = 1\nclone = \"file://{}/host/{{repo}}.git\"\n", scene.path().display())
}

fn task(scene: &Scene, args: &[&str]) -> Ran {
    scene.gloaming(&[&["task"], args].concat())
}

#[test]
fn a_task_goes_the_whole_way_to_a_change_that_no_code_host_takes() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "serve", &config(&scene));
    let asked = task(&scene, &["submit", "acme/calc", TASK, "--watch"]).exits(3);
    let id = asked.stdout.lines().next().unwrap().to_owned();
    for said in ["asked for by token:owner", "attempt 1 begins on beside", "verify", "bowed_out"] {
        assert!(asked.stdout.contains(said), "{said} is not in\n{}", asked.stdout);
    }
    let shown = task(&scene, &["show", &id, "--json"]).exits(0).json();
    assert_eq!(
        json!([shown["state"], shown["attempt"], shown["bow_out"]["reason_code"]]),
        json!(["bowed_out", 1, "needs_credentials"]),
        "{shown:#}"
    );
    assert!(shown["grant"].as_str().unwrap().starts_with("sha256:"));
    // What was made is kept, and was judged where it would have been published.
    let patch = task(&scene, &["get", &id, "patch"]).exits(0).stdout;
    assert!(patch.contains("+pub fn sum("), "{patch}");
    let verdict: Value =
        serde_json::from_str(&task(&scene, &["get", &id, "verdict"]).exits(0).stdout).unwrap();
    assert_eq!(verdict["verdict"], "pass", "{verdict:#}");
    // Nobody checked what tree its files make, so nothing is sealed; what the worker said is there as that.
    let unsealed = task(&scene, &["get", &id, "evidence"]).exits(2).stderr;
    assert!(unsealed.contains("no evidence of the task is sealed"), "{unsealed}");
    let told: Value = serde_json::from_str(&task(&scene, &["get", &id, "unsealed"]).exits(0).stdout).unwrap();
    assert_eq!(json!([told["task"], told["repo"]]), json!([id, "acme/calc"]), "{told:#}");
    let journal = task(&scene, &["get", &id, "trajectory"]).exits(0).stdout;
    assert!(gloaming_api::journal::parse(&journal).is_ok());
    assert_eq!(server.stop(), 0);
    left_nothing(&scene);
}

#[test]
fn a_repository_is_onboarded_by_a_worker_and_its_profile_shown() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "serve", &config(&scene));
    let asked = task(&scene, &["onboard", "acme/calc", "--watch"]).exits(0);
    let id = asked.stdout.lines().next().unwrap().to_owned();
    assert!(asked.stdout.contains("provision") && asked.stdout.contains("onboarded"), "{}", asked.stdout);
    let shown = task(&scene, &["show", &id, "--json"]).exits(0).json();
    assert_eq!(json!([shown["state"], shown["kind"]]), json!(["onboarded", "onboard"]), "{shown:#}");
    assert!(shown["cost"]["wall_s"].as_f64().unwrap() > 0.0 && shown["cost"]["calls"] == 0, "{shown:#}");
    let token =
        scene.gloaming(&["token", "create", "--scope", "read", "--repo", "acme/*", "--json"]).exits(0).json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let profile = format!("{}/v1/repos/acme/calc/profile", server.url());
    let told = sent("GET", &profile, &[("Authorization", &bearer)], "").good();
    let test = told["commands"].as_array().unwrap().iter().find(|one| one["kind"] == "test").unwrap();
    assert_eq!(test["proof"]["exit"], json!({"how": "code", "value": 0}), "{told:#}");

    // A policy of its own that does not load lets nothing be run.
    scene.write(&[(".gloaming/policy.toml", "schema = 1\nnothing = \"of this name\"\n")]);
    scene.commit("a policy");
    let asked = task(&scene, &["onboard", "acme/calc", "--watch"]).exits(3);
    let id = asked.stdout.lines().next().unwrap();
    let shown = task(&scene, &["show", id, "--json"]).exits(0).json();
    assert_eq!(
        json!([shown["state"], shown["bow_out"]["reason_code"]]),
        json!(["bowed_out", "policy_blocked"]),
        "{shown:#}"
    );

    // So does a correction of its own; it is not tried again.
    scene.git(&["rm", "-q", ".gloaming/policy.toml"]);
    scene.write(&[(".gloaming/profile.toml", "nothing = \"of this name\"\n")]);
    scene.commit("a correction");
    let asked = task(&scene, &["onboard", "acme/calc", "--watch"]).exits(3);
    let shown = task(&scene, &["show", asked.stdout.lines().next().unwrap(), "--json"]).exits(0).json();
    assert_eq!(
        json!([shown["attempt"], shown["bow_out"]["reason_code"]]),
        json!([1, "env_unbuildable"]),
        "{shown:#}"
    );
    assert_eq!(server.stop(), 0);
    left_nothing(&scene);
}

#[test]
fn an_onboarding_that_is_cancelled_leaves_no_process() {
    // A test that never ends.
    let hangs = "#[test]\nfn hangs() {\n    loop {\n        std::thread::park();\n    }\n}\n";
    let scene = Scene::new(&[FILES, &[("tests/hangs.rs", hangs)]].concat());
    let server = Running::server(&scene, "serve", &format!("{}lease_s = 6\n", config(&scene)));
    let id = task(&scene, &["onboard", "acme/calc", "--json"]).exits(0).json()["id"].clone();
    let id = id.as_str().unwrap();
    let begun = std::time::Instant::now();
    loop {
        let shown = task(&scene, &["show", id, "--json"]).exits(0).json();
        if shown["doing"].as_str().is_some_and(|doing| doing.contains("cargo test")) {
            break;
        }
        assert!(begun.elapsed().as_secs() < 120 && shown["state"] != "onboarded", "{shown:#}");
        std::thread::park_timeout(std::time::Duration::from_millis(200));
    }
    task(&scene, &["cancel", id]).exits(0);
    task(&scene, &["watch", id]).exits(130);
    assert_eq!(server.stop(), 0);
    left_nothing(&scene);
}

#[test]
fn work_that_did_not_pass_is_kept_and_shown_on_no_branch() {
    // A test that reads the source: no rename can pass it.
    let reads = "#[test]\nfn named() {\n    assert!(include_str!(\"../src/lib.rs\").contains(concat!(\"fn pl\", \"us(\")));\n}\n";
    let scene = Scene::new(&[FILES, &[("tests/words.rs", reads)]].concat());
    let server = Running::server(&scene, "serve", &config(&scene));
    let asked = task(&scene, &["submit", "acme/calc", TASK, "--watch"]).exits(3);
    let id = asked.stdout.lines().next().unwrap();
    let partial = task(&scene, &["get", id, "partial"]).exits(0).stdout;
    assert!(partial.contains("+pub fn sum("), "{partial}");
    let shown = task(&scene, &["show", id, "--json"]).exits(0).json();
    assert_eq!(shown["bow_out"]["reason_code"], "verification_failed", "{shown:#}");
    assert!(shown["pull_request"].is_null());
    // What it did not make it does not show.
    let none = task(&scene, &["get", id, "patch"]);
    assert!(none.code == 2 && none.stderr.contains("not_found"), "{}", none.stderr);
    assert_eq!(server.stop(), 0);
    left_nothing(&scene);
}

/// No process's folder is left behind.
fn left_nothing(scene: &Scene) {
    let work = scene.home().join("cache/work");
    let left: Vec<_> =
        std::fs::read_dir(&work).into_iter().flatten().flatten().map(|one| one.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Runs what `make demo-github` shows by this build, on a private repository, and returns what it printed and where; none
/// where nothing is there to run it on.
fn demo(test: &str, how: &str) -> Option<(Ran, Scene)> {
    let partner = partner("GLOAMING_GITHUB_DIR", test)?;
    let scene = Scene::bare_folder();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/github.sh");
    // The same variables as any other command of a scene's.
    let mut command = scene.command(&[]);
    let environment: Vec<_> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = Command::new("bash");
    command.arg(demo).arg(env!("CARGO_BIN_EXE_gloaming")).arg(partner).arg(how).env_clear().envs(environment);
    Some((ran(command.stdin(Stdio::null()).output().expect("bash runs")).exits(0), scene))
}

/// A worker elsewhere reads the repository through the control plane, with its own token.
#[test]
fn a_private_repositorys_task_becomes_a_pull_request_by_a_worker_apart() {
    let Some((ran, scene)) = demo("a_private_repositorys_task", "apart") else { return };
    for said in
        ["attempt 1 begins on apart", "(draft: True) on gloaming/t-", "genuine: sealed", "test by cargo test"]
    {
        assert!(ran.stdout.contains(said), "{said} is not in\n{}\n{}", ran.stdout, ran.stderr);
    }
    left_nothing(&scene);
}

/// A label, a draft pull request, a second commit on it, its merge, and a bow-out.
#[test]
fn a_label_becomes_a_pull_request_and_another_a_comment() {
    let Some((ran, scene)) = demo("a_label_becomes_a_pull_request", "together") else { return };
    for said in [
        "(draft: True) on gloaming/t-",
        "checks: success",
        "attempt 2 begins",
        "+    a.saturating_add(b)",
        "(merged)",
        "**No pull request**",
        "genuine: sealed",
    ] {
        assert!(ran.stdout.contains(said), "{said} is not in\n{}\n{}", ran.stdout, ran.stderr);
    }
    left_nothing(&scene);
}

#[test]
fn a_worker_apart_takes_what_its_token_is_for() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "control", &config(&scene));
    let made = scene
        .gloaming(&["token", "create", "--scope", "worker", "--repo", "acme/*", "--expires", "1d", "--json"])
        .exits(0)
        .json();
    let id = task(
        &scene,
        &["submit", "acme/calc", "Add the header `SPDX-License-Identifier: MIT` to all Rust files", "--json"],
    )
    .exits(0)
    .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The worker is of another machine: it knows nothing but the address and its token.
    let elsewhere = Scene::bare_folder();
    let token = made["token"].as_str().unwrap();
    let env = [("GLOAMING_TOKEN", token), ("GLOAMING_CONTROL", server.url())];
    let args = ["worker", "--control", server.url(), "--token", token, "--once", "--name", "away"];
    elsewhere.gloaming(&args).exits(0);
    task(&scene, &["watch", &id]).exits(3);
    let shown = task(&scene, &["show", &id, "--json"]).exits(0).json();
    assert_eq!(json!([shown["state"], shown["attempt"]]), json!(["bowed_out", 1]), "{shown:#}");
    // A worker's token asks for nothing, and one that is revoked is no token.
    let asked = elsewhere.gloaming_with(&["task", "list"], &env).exits(5);
    assert!(asked.stderr.contains("the scope \"read\" is needed"), "{}", asked.stderr);
    scene.gloaming(&["token", "revoke", made["id"].as_str().unwrap()]).exits(0);
    let refused = elsewhere.gloaming_with(&["worker", "--once"], &env);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert_eq!(server.stop(), 0);
}

/// Policies come while the server runs; a bad one changes nothing, neither for who asks nor for what is made meanwhile.
#[test]
fn policies_are_read_again_and_a_bad_one_keeps_the_last_good_also_where_a_change_is_judged() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "control", &config(&scene));
    let made =
        scene.gloaming(&["token", "create", "--scope", "worker", "--repo", "acme/*", "--json"]).exits(0);
    let worker = made.json()["token"].as_str().unwrap().to_owned();
    let owner: Value =
        serde_json::from_str(&std::fs::read_to_string(scene.home().join("serve.json")).unwrap()).unwrap();
    let bearer = format!("Bearer {}", owner["token"].as_str().unwrap());
    let until = |path: &str, holds: &dyn Fn(u16, &str) -> bool| {
        let begun = std::time::Instant::now();
        loop {
            let url = format!("{}{path}", server.url());
            let answer = sent("GET", &url, &[("Authorization", &bearer)], "");
            if holds(answer.status, &answer.body) {
                return;
            }
            assert!(begun.elapsed().as_secs() < 60, "{path}: {} {}", answer.status, answer.body);
            // No more often than the API lets a token ask.
            std::thread::park_timeout(std::time::Duration::from_millis(200));
        }
    };
    let doctor = || {
        let told = scene.gloaming(&["doctor", "--config", "gloaming.toml", "--json"]).json();
        let checks = told["checks"].as_array().unwrap().clone();
        let found = checks.into_iter().find(|check| check["what"] == "policies").unwrap();
        format!("{}: {}", found["standing"].as_str().unwrap(), found["detail"].as_str().unwrap())
    };
    until("/v1/repos/other/calc/policy", &|status, _| status == 200);
    assert!(doctor().starts_with("note: none"), "{}", doctor());

    let folder = scene.home().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("acme.toml");
    std::fs::write(&file, "schema = 1\nrepos = [\"acme/*\"]\nextends = [\"preset:standard\"]\n").unwrap();
    until("/v1/repos/other/calc/policy", &|status, _| status == 404);
    until("/v1/repos/acme/calc/policy", &|status, _| status == 200);
    until("/readyz", &|status, body| status == 200 && !body.contains("fault"));
    assert!(doctor().starts_with("ok: ") && doctor().ends_with("policies"), "{}", doctor());

    let id = task(&scene, &["submit", "acme/calc", TASK, "--json"]).exits(0).json()["id"].clone();
    std::fs::write(&file, "schema = 1\nnothing = \"of this name\"\n").unwrap();
    until("/readyz", &|status, body| status == 200 && body.contains("the policy folder has a fault"));
    assert!(doctor().starts_with("wrong: ") && doctor().contains("acme.toml:2:1"), "{}", doctor());
    let elsewhere = Scene::bare_folder();
    let env = [("GLOAMING_TOKEN", worker.as_str()), ("GLOAMING_CONTROL", server.url())];
    elsewhere.gloaming_with(&["worker", "--once", "--name", "away"], &env).exits(0);
    let id = id.as_str().unwrap();
    task(&scene, &["watch", id]).exits(3);
    let shown = task(&scene, &["show", id, "--json"]).exits(0).json();
    // It was judged, and is not published for want of a host alone.
    assert_eq!(
        json!([shown["state"], shown["attempt"], shown["bow_out"]["reason_code"]]),
        json!(["bowed_out", 1, "needs_credentials"]),
        "{shown:#}"
    );
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_engine_that_is_configured_is_that_of_attempts_too() {
    let scene = Scene::new(FILES);
    let config = format!("{}[worker]\nengine = \"docker\"\n", config(&scene));
    let nowhere = scene.path().join("no.sock");
    let mut command = Running::command(&scene, "serve", &config);
    let server = Running::listening(command.env("GLOAMING_ENGINE_SOCKET", &nowhere));
    assert_eq!(server.said()["worker"]["engine"], Value::Null, "{:#}", server.said());
    let asked = task(&scene, &["onboard", "acme/calc", "--watch"]).exits(3);
    let id = asked.stdout.lines().next().unwrap();
    let shown = task(&scene, &["show", id, "--json"]).exits(0).json();
    assert_eq!(shown["bow_out"]["reason_code"], "no_engine", "{shown:#}");
    let env = [("GLOAMING_ENGINE_SOCKET", nowhere.to_str().unwrap())];
    let told = scene.gloaming_with(&["doctor", "--config", "gloaming.toml"], &env).stdout;
    assert!(told.contains("docker does not work, which [worker] names"), "{told}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_log_is_json_by_the_line_and_names_each_request_as_its_answer_does() {
    let scene = Scene::new(FILES);
    let path = scene.path().join("log");
    let mut command = Running::command(&scene, "serve", &config(&scene));
    command.env_remove("GLOAMING_LOG").env("GLOAMING_LOG_FORMAT", "json");
    let server = Running::listening(command.stderr(File::create(&path).unwrap()));
    let owner: Value =
        serde_json::from_slice(&std::fs::read(scene.home().join("serve.json")).unwrap()).unwrap();
    let bearer = format!("Authorization: Bearer {}", owner["token"].as_str().unwrap());
    // As a chat bot asks; what is answered is read with its headers.
    let body = json!({"repo": "acme/calc", "text": "x"}).to_string();
    let asked = format!("{}/v1/tasks", server.url());
    let curl = ["-sS", "--noproxy", "*", "-i", "-H", &bearer, "-d", &body, &asked];
    let answer = ran(Command::new("curl").args(curl).output().expect("curl runs")).exits(0).stdout;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(server.stop(), 0);
    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{log}")))
        .collect();
    let told =
        lines.iter().find(|line| line["spans"][0]["id"] == id).unwrap_or_else(|| panic!("{id}:\n{log}"));
    assert_eq!(json!([told["level"], told["fields"]["status"]]), json!(["INFO", 202]), "{told:#}");
    assert_eq!(told["spans"][0]["endpoint"], "submit_task");
    assert!(lines.iter().all(|line| line["timestamp"].is_string()), "{log}");
    // What keeps it from starting is a line, too.
    let args = ["control", "--config", "none.toml", "--log", "json"];
    let refused = scene.gloaming_with(&args, &[("GLOAMING_LOG", "off")]).exits(2).stderr;
    let refused: Value = serde_json::from_str(&refused).unwrap_or_else(|error| panic!("{error}: {refused}"));
    assert!(refused["fields"]["error"].as_str().unwrap().contains("none.toml"), "{refused:#}");
}

#[test]
fn two_do_not_serve_from_one_folder() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "control", &config(&scene));
    let second = scene
        .gloaming(&["control", "--listen", "127.0.0.1:0", "--config", "gloaming.toml", "--json"])
        .exits(2);
    assert!(second.stderr.contains("another gloaming serves from this folder"), "{}", second.stderr);
    assert_eq!(server.stop(), 0);
    assert_eq!(Running::server(&scene, "control", &config(&scene)).stop(), 0);
}

/// An operator who wants no token in a file is shown one that makes an administrator's, and nothing else.
#[test]
fn the_first_administrator_is_made_with_a_token_that_is_shown_once() {
    let scene = Scene::new(FILES);
    let start = || {
        let mut command = Running::command(&scene, "serve", &config(&scene));
        Running::listening(command.arg("--bootstrap"))
    };
    // One that nobody used is not taken any more after the next start.
    let lost = start();
    let unused = lost.said()["bootstrap"].as_str().unwrap().to_owned();
    assert_eq!(lost.stop(), 0);
    let server = start();
    let first = server.said()["bootstrap"].as_str().unwrap().to_owned();
    assert_eq!(server.said()["token_file"], Value::Null);
    assert!(!scene.home().join("serve.json").exists());
    let control = ["--control", server.url()];
    let create = |token: &str| {
        let args = ["token", "create", "--scope", "admin", "--repo", "*", "--json"];
        scene.gloaming(&[&args, &control[..], &["--token", token]].concat())
    };
    create(&unused).exits(5);
    let early = scene.gloaming(&["task", "list", control[0], control[1], "--token", &first]).exits(5);
    assert!(early.stderr.contains("makes the first other one"), "{}", early.stderr);
    let admin = create(&first).exits(0).json()["token"].as_str().unwrap().to_owned();
    create(&first).exits(5);
    let listed = scene.gloaming(&["token", "list", control[0], control[1], "--token", &admin]).exits(0);
    assert!(listed.stdout.contains("admin"), "{}", listed.stdout);
    assert_eq!(server.stop(), 0);
    // There is an administrator now.
    let server = start();
    assert_eq!(server.said()["bootstrap"], Value::Null);
    assert!(!scene.home().join("serve.json").exists());
    assert_eq!(server.stop(), 0);
    // Without the option this machine's owner has a token of their own, which stays where it is.
    assert_eq!(Running::server(&scene, "serve", &config(&scene)).stop(), 0);
    assert!(scene.home().join("serve.json").exists());
    let server = start();
    assert!(server.said()["token_file"].is_string(), "{:#}", server.said());
    task(&scene, &["list"]).exits(0);
    assert_eq!(server.stop(), 0);
}

#[test]
fn tasks_are_asked_for_once_listed_cancelled_and_retried() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "control", &config(&scene));
    let submit = |key: &str, text: &str| task(&scene, &["submit", "acme/calc", text, "--key", key, "--json"]);
    let first = submit("a", TASK).exits(0).json();
    assert_eq!(submit("a", TASK).exits(0).json()["id"], first["id"]);
    let conflict = submit("a", "Something else");
    assert!(conflict.code == 2 && conflict.stderr.contains("idempotency_conflict"), "{}", conflict.stderr);
    let id = first["id"].as_str().unwrap();
    let listed = task(&scene, &["list", "--state", "queued", "--json"]).exits(0).json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(task(&scene, &["cancel", id, "--json"]).exits(0).json()["state"], "cancelled");
    task(&scene, &["watch", id]).exits(130);
    assert_eq!(task(&scene, &["retry", id, "--json"]).exits(0).json()["state"], "queued");
    let missing = task(&scene, &["show", "t-00000000000000000000"]);
    assert!(missing.code == 2 && missing.stderr.contains("not_found"), "{}", missing.stderr);
    assert_eq!(server.stop(), 0);
    // What was asked for is there after a restart, and the owner's token is still good.
    let server = Running::server(&scene, "control", &config(&scene));
    assert_eq!(task(&scene, &["show", id, "--json"]).exits(0).json()["state"], "queued");
    assert_eq!(server.stop(), 0);
}

#[test]
fn what_is_wrong_with_the_configuration_is_named() {
    let scene = Scene::bare_folder();
    let serve = |config: &str| {
        std::fs::write(scene.path().join("gloaming.toml"), config).unwrap();
        scene.gloaming(&["serve", "--config", "gloaming.toml", "--listen", "127.0.0.1:0"]).exits(2).stderr
    };
    assert!(serve("schema = 1\nlisten_on = 3\n").contains("unknown field `listen_on`"));
    assert!(serve("schema = 1\n[github]\ntoken_file = \"none\"\n").contains("cannot read"));
    std::fs::write(scene.path().join("secret"), "x").unwrap();
    let open = serve("schema = 1\n[github]\ntoken_file = \"secret\"\n");
    assert!(open.contains("can be read by others") && open.contains("chmod 600"), "{open}");
    let away = scene.gloaming(&["task", "list"]).exits(2).stderr;
    assert!(away.contains("gloaming serve"), "{away}");
    assert!(!Path::new(&scene.home().join("serve.json")).exists());
}

#[test]
fn init_writes_secrets_apart_and_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::bare_folder();
    let silent = scene.gloaming(&["init"]).exits(2).stderr;
    assert!(silent.contains("--yes"), "{silent}");
    std::fs::write(scene.path().join("token"), "ghp_1\n").unwrap();
    let args =
        ["init", "--config", "made/gloaming.toml", "--github-token-file", "token", "--model", "openai:\"x"];
    let unknown = scene.gloaming(&[&args[..], &["--engine", "rkt"]].concat()).exits(2).stderr;
    assert!(unknown.contains("no container engine"), "{unknown}");
    let args = [&args[..], &["--engine", "podman"]].concat();
    let written = scene.gloaming(&[&args[..], &["--json"]].concat()).exits(0).json();
    let files: Vec<&str> =
        written["written"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        let mode = Path::new(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let text = std::fs::read_to_string(scene.path().join("made/gloaming.toml")).unwrap();
    assert!(!text.contains("ghp_1") && text.contains("token_file = \"github.token\""), "{text}");
    assert!(text.contains("[worker]\nengine = \"podman\"\njobs = 1\n"), "{text}");
    let again = scene.gloaming(&args).exits(2).stderr;
    assert!(again.contains("exists already"), "{again}");
    // What it names is there and is read.
    let told = scene.gloaming(&["doctor", "--config", "made/gloaming.toml"]).stdout;
    assert!(told.contains("ok     config") && told.contains("WRONG  model"), "{told}");
}

#[test]
fn what_was_kept_is_counted_copied_and_made_again() {
    let scene = Scene::new(FILES);
    let server = Running::server(&scene, "control", &config(&scene));
    let id = task(&scene, &["submit", "acme/calc", TASK, "--json"]).exits(0).json()["id"].clone();
    let stats = scene.gloaming(&["stats", "--json"]).exits(0).json();
    assert_eq!(json!([stats["total"]["tasks"], stats["repositories"]["acme/calc"]["open"]]), json!([1, 1]));
    let table = scene.gloaming(&["stats"]).exits(0).stdout;
    assert!(table.contains("acme/calc") && table.contains("$/merged"), "{table}");
    assert_eq!(task(&scene, &["dead"]).exits(0).stdout, "nothing was given up\n");
    task(&scene, &["revive", "7"]).exits(2);
    let copied = scene.gloaming(&["backup", "copy.db", "--json"]).exits(0).json();
    assert_eq!(copied["tasks"], 1);
    scene.gloaming(&["backup", "copy.db"]).exits(4);
    let told = scene.gloaming(&["doctor", "--config", "gloaming.toml", "--json"]).json();
    let standing = |what: &str| {
        let checks = told["checks"].as_array().unwrap();
        checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("{what}: {told:#}"))["standing"].clone()
    };
    assert_eq!(
        [standing("config"), standing("store"), standing("audit"), standing("server"), standing("host")],
        ["ok", "ok", "ok", "ok", "note"]
    );
    scene.gloaming(&["restore", "copy.db"]).exits(2);
    assert_eq!(server.stop(), 0);
    for name in ["plane.db", "plane.db-wal", "plane.db-shm"] {
        let _ = std::fs::remove_file(scene.home().join(name));
    }
    scene.gloaming(&["restore", "copy.db"]).exits(0);
    let server = Running::server(&scene, "control", &config(&scene));
    assert_eq!(task(&scene, &["show", id.as_str().unwrap(), "--json"]).exits(0).json()["state"], "queued");
    assert_eq!(server.stop(), 0);
}

#[test]
fn what_is_handed_over_makes_the_tree_whatever_became_of_a_file() {
    let scene = Scene::new(&[FILES, &[("bin/run.sh", "#!/bin/sh\n"), ("old.txt", "old\n")]].concat());
    let diff = scene.diff_of(|repo| {
        std::fs::remove_file(repo.join("old.txt")).unwrap();
        std::fs::set_permissions(
            repo.join("bin/run.sh"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        std::fs::write(
            repo.join("src/lib.rs"),
            "//! Adds.\n\n/// The sum.\npub fn plus(a: u32, b: u32) -> u32 {\n    b + a\n}\n",
        )
        .unwrap();
        std::fs::write(repo.join("new.txt"), "new\n").unwrap();
    });
    // Whatever the verdict is: what would be handed over is written down.
    let first = scene.verify(&diff, &["--out", "first"]);
    assert!(matches!(first.code, 0 | 1 | 3), "{}", first.stderr);
    let second = scene.verify(&diff, &["--out", "second", "--of", "first/evidence.json"]);
    assert_eq!(second.code, first.code, "{}", second.stderr);
    let read = |name: &str| std::fs::read(scene.path().join("second").join(name)).unwrap();
    let change: Value = serde_json::from_slice(&read("change.json")).unwrap();
    let blobs = change["blobs"].as_array().unwrap();
    let told: Vec<String> = blobs
        .iter()
        .map(|blob| {
            format!("{} {} {}", blob["mode"], blob["path"], blob.get("content").is_some()).replace('"', "")
        })
        .collect();
    assert_eq!(
        told,
        ["100755 bin/run.sh true", "100644 new.txt true", "100644 old.txt false", "100644 src/lib.rs true"]
    );
    // git makes the same tree of the base and these blobs as the evidence names.
    scene.git(&["read-tree", change["base"].as_str().unwrap()]);
    for blob in blobs {
        let path = blob["path"].as_str().unwrap();
        let Some(content) = blob.get("content") else {
            scene.git(&["update-index", "--force-remove", path]);
            continue;
        };
        let file =
            scene.path().join("second/blobs").join(content.as_str().unwrap().trim_start_matches("sha256:"));
        let oid = scene.git(&["hash-object", "-w", "--no-filters", file.to_str().unwrap()]);
        let entry = format!("{},{},{path}", blob["mode"].as_str().unwrap(), oid.trim());
        scene.git(&["update-index", "--add", "--cacheinfo", &entry]);
    }
    assert_eq!(scene.git(&["write-tree"]).trim(), change["tree"].as_str().unwrap());
    let evidence: Value = serde_json::from_slice(&read("evidence.raw.json")).unwrap();
    assert_eq!(evidence["tree"], change["tree"]);
}
