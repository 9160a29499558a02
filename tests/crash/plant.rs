//! The whole system as processes: a GitHub in memory, its gateway, a scripted model, the control plane, a worker.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::proxy::{Gate, Kill, Lane, ask, stand};
use crate::evil_model::Scripted;
use crate::plane::Running;
use crate::resume::FILES;
use crate::support::Scene;

/// Seconds since some day.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock that was set").as_secs_f64()
}

/// A process that ends with the value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// See the module.
pub(crate) struct Plant {
    pub(crate) gate: Gate,
    /// The control plane's machine.
    pub(crate) home: Scene,
    /// The worker's.
    pub(crate) away: Scene,
    model: Scripted,
    /// The code host's API, as it is asked by people, and as by the server.
    api: u16,
    gateway: u16,
    worker_lane: u16,
    config: String,
    token: OnceLock<String>,
    /// Nothing is started again.
    over: AtomicBool,
    /// Held while something is started: who was killed late and who begins anew must not start one each.
    starting: Mutex<()>,
    server: Mutex<Option<Running>>,
    worker: Mutex<Option<Killed>>,
    host: Mutex<Option<[Running; 2]>>,
}

/// A plant that stops with the value, whoever still looks at it.
pub(crate) struct Standing(Arc<Plant>);

impl std::ops::Deref for Standing {
    type Target = Plant;

    fn deref(&self) -> &Plant {
        &self.0
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.end_with_what_dies();
        self.0.kill(Kill::Both);
        drop(self.0.host.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github").join(name)
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it is bound").port()
}

fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

impl Plant {
    /// Starts all but server and worker; `partner` is where the GitHub in memory is installed, `lease_s` how long leases hold.
    pub(crate) fn start(partner: &Path, transcript: &Value, lease_s: u64) -> Standing {
        let (home, away) = (Scene::bare_folder(), Scene::bare_folder());
        let [hook, worker, host] = [bound(), bound(), bound()];
        let key =
            Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output().expect("openssl runs");
        let key = String::from_utf8(key.stdout).expect("PEM is text");
        let secret = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            let path = home.path().join(name);
            std::fs::write(&path, text).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        };
        secret("app.pem", &key);
        secret("webhook.secret", "it is a secret");
        let seed = std::fs::read_to_string(support("acme.yaml")).expect("it is beside setup.sh");
        let seed = seed
            .replace("@KEY@", &key.trim_end().replace('\n', "\\n"))
            .replace("@HOOK@", &format!("http://127.0.0.1:{}/hooks/github", port_of(&hook)))
            .replace("@SECRET@", "it is a secret");
        std::fs::write(home.path().join("seed.yaml"), seed).expect("write");
        // It takes no port 0: one that was free a moment ago.
        let api = port_of(&bound());
        let mut emulate = Command::new("node");
        emulate
            .arg(partner.join("node_modules/emulate/dist/index.js"))
            .args(["start", "--service", "github", "--port", &api.to_string(), "--seed", "seed.yaml"])
            .current_dir(home.path());
        let wanted = format!("localhost:{api}");
        let emulate = Running::start(&mut emulate, |text| text.contains(&wanted).then_some(Value::Null));
        let mut gateway = Command::new("python3");
        gateway
            .arg(support("gateway.py"))
            .arg(format!("http://127.0.0.1:{api}"))
            .arg(home.path().join("git"));
        let gateway = Running::start(&mut gateway, |text| text.contains('\n').then(|| json!(text.trim())));
        let gateway_port = gateway.said().as_str().and_then(|url| url.rsplit(':').next()?.parse().ok());
        let config = format!(
            "schema = 1\nclone = \"file://{}/git/{{repo}}.git\"\nlease_s = {lease_s}\n\n[github]\n\
             api = \"http://127.0.0.1:{}\"\napp = 4711\nkey_file = \"app.pem\"\nwebhook_secret_file = \"webhook.secret\"\n",
            home.path().display(),
            port_of(&host),
        );
        let plant = Arc::new(Self {
            gate: Gate::default(),
            model: Scripted::start(&away, transcript),
            api,
            gateway: gateway_port.expect("it says its address"),
            worker_lane: port_of(&worker),
            config,
            token: OnceLock::new(),
            starting: Mutex::default(),
            server: Mutex::default(),
            worker: Mutex::default(),
            host: Mutex::new(Some([emulate, gateway])),
            over: AtomicBool::new(false),
            home,
            away,
        });
        let standing = Standing(plant);
        for (lane, listener) in [(Lane::Hook, hook), (Lane::Worker, worker), (Lane::Host, host)] {
            stand(&standing.0, lane, listener);
        }
        standing.push();
        standing
    }

    /// Starts the server for the first time, and makes the worker's token.
    pub(crate) fn open(&self) {
        self.start_again(Kill::Server);
        let made =
            self.home.gloaming(&["token", "create", "--scope", "worker", "--repo", "*", "--json"]).exits(0);
        self.token.set(made.json()["token"].as_str().expect("a token").to_owned()).expect("once");
    }

    /// Gives the code host the repository: one commit, which is the same every time.
    fn push(&self) {
        const DAY: &str = "2026-11-01T00:00:00+00:00";
        self.home.write(FILES);
        self.home.git(&["init", "-q", "-b", "main"]);
        self.home.git(&["add", "-A"]);
        let commit = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"])
            .args(["commit", "-q", "-m", "Small sums"])
            .envs([("GIT_AUTHOR_DATE", DAY), ("GIT_COMMITTER_DATE", DAY)])
            .current_dir(self.home.repo())
            .status();
        assert!(commit.expect("git runs").success());
        self.by_git(&["push", "-q", "--force", &self.repository(), "HEAD:main"]);
    }

    /// Looks at a branch as a person does who reviews it: the gateway's folder, which workers clone from, has it then.
    pub(crate) fn look_at(&self, branch: &str) {
        self.by_git(&["fetch", "-q", &self.repository(), &format!("refs/heads/{branch}")]);
    }

    fn repository(&self) -> String {
        format!("http://127.0.0.1:{}/acme/api.git", self.gateway)
    }

    fn by_git(&self, args: &[&str]) {
        let header = "http.extraHeader=Authorization: Basic YWxpY2U6YWxpY2UtdG9rZW4=";
        self.home.git(&[&["-c", header], args].concat());
    }

    /// Starts nothing again from now on.
    pub(crate) fn end_with_what_dies(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether the server is dead.
    pub(crate) fn is_dead(&self) -> bool {
        self.server().is_none()
    }

    /// Takes over what another control plane had on its disk.
    pub(crate) fn inherit(&self, from: &Plant) {
        for name in ["plane.db", "plane.db-wal", "plane.db-shm", "serve.json"] {
            // A log that was written back is gone.
            let _ = std::fs::copy(from.home.home().join(name), self.home.home().join(name));
        }
        assert!(self.home.home().join("plane.db").exists());
    }

    /// Who listens behind a lane.
    pub(crate) fn port(&self, lane: Lane) -> Option<u16> {
        match lane {
            Lane::Host => Some(self.gateway),
            Lane::Hook | Lane::Worker => self.server(),
        }
    }

    /// The server's port, where it runs.
    fn server(&self) -> Option<u16> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().and_then(|server| server.url().rsplit(':').next()?.parse().ok())
    }

    /// Kills at once, and waits for nobody's end but the dead ones'.
    pub(crate) fn kill(&self, kill: Kill) {
        if kill != Kill::Worker {
            drop(self.server.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        if kill != Kill::Server {
            drop(self.worker.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Starts what was killed, where nobody has done so.
    pub(crate) fn start_again(&self, kill: Kill) {
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.over.load(Ordering::Relaxed) {
            return;
        }
        let log = |scene: &Scene, name: &str| {
            let path = scene.path().join(name);
            Stdio::from(OpenOptions::new().create(true).append(true).open(path).expect("a log"))
        };
        if kill != Kill::Worker && self.is_dead() {
            let mut command = Running::command(&self.home, "control", &self.config);
            let started = Running::listening(command.stderr(log(&self.home, "server.log")));
            *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
        if kill != Kill::Server && self.worker.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let control = format!("http://127.0.0.1:{}", self.worker_lane);
            let args = ["worker", "--control", &control, "--name", "crash", "--model", "openai:scripted"];
            let more = ["--model-price", "1,2", "--model-url", self.model.url()];
            let mut command = self.away.command(&[&args[..], &more].concat());
            command.env("GLOAMING_TOKEN", self.token.get().expect("it was made"));
            let started = command.stderr(log(&self.away, "worker.log")).stdout(Stdio::null()).spawn();
            let started = Killed(started.expect("the program runs"));
            *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
    }

    /// Asks a process to end in order, and waits until it has. Returns its exit code.
    pub(crate) fn ask_to_stop(&self, kill: Kill) -> Option<i32> {
        match kill {
            Kill::Server => {
                self.server.lock().unwrap_or_else(PoisonError::into_inner).take().map(Running::stop)
            }
            _ => {
                let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take()?;
                let pid = Pid::from_raw(worker.0.id().cast_signed()).expect("a process has an id");
                kill_process(pid, Signal::TERM).expect("it runs");
                worker.0.wait().ok()?.code()
            }
        }
    }

    /// Does something on the code host as a person.
    pub(crate) fn by_alice(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("/repos/acme/api/{path}");
        let (status, text) =
            ask(self.api, method, &path, "alice-token", body).expect("the code host answers");
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Reads something of the control plane's, as its owner; none while it is away.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let owner: Value =
            serde_json::from_str(&std::fs::read_to_string(self.home.home().join("serve.json")).ok()?).ok()?;
        let (status, text) = ask(self.server()?, "GET", path, owner["token"].as_str()?, None)?;
        (status == 200).then_some(text)
    }

    pub(crate) fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.read(path)?).ok()
    }

    /// Processes of the worker's machine that are not the worker itself: by what they were started with.
    pub(crate) fn left(&self) -> Vec<String> {
        let place = self.away.path().to_string_lossy().into_owned();
        let mut left = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("there is one").flatten() {
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let mounts = String::from_utf8_lossy(&read("mountinfo")).into_owned();
            // The model's is there, too.
            if line.contains("scripted_model") {
                continue;
            }
            if line.contains(&place) || !line.is_empty() && mounts.contains(&place) {
                left.push(line);
            }
        }
        left
    }
}
