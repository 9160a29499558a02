//! A GitHub and a Slack that nobody here wrote (tests/support/github/setup.sh), our gateway before each, and `gloaming serve`
//! between them.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::evil_model::Scripted;
use crate::plane::Running;
use crate::support::{Scene, partner};

/// With what deliveries and requests are signed.
pub(super) const SECRET: &str = "it is a secret";

/// How long anything may take before the test fails.
const LONGEST: Duration = Duration::from_secs(600);

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// The folder that they are installed in; none, and a line that says so, where they are not.
pub(super) fn installed(test: &str) -> Option<PathBuf> {
    partner("GLOAMING_GITHUB_DIR", test)
}

fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github").join(name)
}

/// Ports that were free a moment ago: emulate takes no port 0, and GitHub has to know ours before it starts.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = std::array::from_fn::<_, N, _>(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// An answer over HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(super) body: String,
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

/// Sends a request by curl.
pub(crate) fn sent(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "-X", method, "-w", "\n%{http_code} %{time_total}", url]);
    for (name, value) in headers {
        curl.args(["-H", &format!("{name}: {value}")]);
    }
    let reads = method != "GET";
    if reads {
        curl.args(["--data-binary", "@-"]);
    }
    let stdin = if reads { Stdio::piped() } else { Stdio::null() };
    let mut child = curl.stdin(stdin).stdout(Stdio::piped()).spawn().expect("curl runs");
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(body.as_bytes()).expect("it reads");
    }
    let out = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text");
    let (body, told) = out.rsplit_once('\n').unwrap_or_else(|| panic!("no answer of {url}: {out}"));
    let (status, took) = told.split_once(' ').expect("two words");
    Answer {
        status: status.parse().expect("a number"),
        body: body.to_owned(),
        took: Duration::from_secs_f64(took.parse().expect("seconds")),
    }
}

/// A simulator with our gateway before it.
pub(super) struct Simulated {
    /// Where it is asked by us: the gateway, which notes what is asked.
    pub(super) url: String,
    /// Where others ask it.
    pub(super) behind: String,
    service: &'static str,
    folder: PathBuf,
    _children: [Running; 2],
}

impl Simulated {
    fn start(scene: &Scene, folder: &Path, service: &'static str, port: u16, seed: &str) -> Self {
        let file = scene.path().join(format!("{service}.yaml"));
        std::fs::write(&file, seed).expect("a temporary file");
        let mut emulate = Command::new("node");
        emulate
            .arg(folder.join("node_modules/emulate/dist/index.js"))
            .args(["start", "--service", service, "--port", &port.to_string(), "--seed"])
            .arg(&file)
            .current_dir(scene.path());
        let wanted = format!("localhost:{port}");
        let emulate = Running::start(&mut emulate, |text| text.contains(&wanted).then_some(Value::Null));
        let behind = format!("http://127.0.0.1:{port}");
        let mut gateway = Command::new("python3");
        gateway.arg(support("gateway.py")).arg(&behind).arg(scene.path().join("git"));
        let gateway = Running::start(&mut gateway, |text| text.contains('\n').then(|| json!(text.trim())));
        let url = gateway.said().as_str().expect("it says where it is").to_owned();
        Self { url, behind, service, folder: folder.to_owned(), _children: [emulate, gateway] }
    }

    pub(super) fn slack(scene: &Scene, folder: &Path) -> Self {
        let seed = std::fs::read_to_string(support("slack.yaml")).expect("it is beside setup.sh");
        let [port] = free_ports();
        Self::start(scene, folder, "slack", port, &seed)
    }

    /// Returns every request of ours so far.
    pub(super) fn calls(&self) -> Value {
        sent("GET", &format!("{}/_gateway/calls", self.url), &[], "").good()
    }

    /// Holds every request of ours so far against what GitHub or Slack publishes of its API.
    pub(super) fn check_contract(&self) {
        let mut check = match self.service {
            "github" => Command::new("node"),
            _ => Command::new(self.folder.join("slack/bin/python")),
        };
        check.arg(support(if self.service == "github" { "contract.mjs" } else { "slack.py" }));
        let check = check.arg(&self.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut check =
            check.unwrap_or_else(|error| panic!("the check of {} does not run: {error}", self.service));
        let calls = self.calls().to_string();
        check.stdin.take().expect("it is a pipe").write_all(calls.as_bytes()).expect("it reads");
        let said = String::from_utf8(check.wait_with_output().expect("it ends").stdout).expect("text");
        assert!(said.ends_with(" 0 of them wrong\n") && !said.starts_with("0 "), "{said}");
    }
}

/// A GitHub with the repository `acme/api`, and `gloaming serve` as the App that is installed there.
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) github: Simulated,
    pub(super) server: Running,
    _model: Scripted,
}

impl World {
    /// Starts both; `slack` starts a Slack and returns what the configuration says of it. What the model does is `coder`'s.
    pub(super) fn start(folder: &Path, coder: &Value, slack: impl FnOnce(&Scene) -> String) -> Self {
        let scene = Scene::bare_folder();
        let [api, ours] = free_ports();
        let key = Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output();
        let key = String::from_utf8(key.expect("openssl runs").stdout).expect("PEM is text");
        let seed = std::fs::read_to_string(support("acme.yaml")).expect("it is beside setup.sh");
        let seed = seed
            .replace("@KEY@", &key.trim_end().replace('\n', "\\n"))
            .replace("@HOOK@", &format!("http://127.0.0.1:{ours}/hooks/github"))
            .replace("@SECRET@", SECRET);
        let github = Simulated::start(&scene, folder, "github", api, &seed);
        secret(&scene, "app.pem", &key);
        secret(&scene, "webhook.secret", SECRET);
        let model = Scripted::start(&scene, coder);
        let config = format!(
            "schema = 1\nclone = \"file://{}/git/{{repo}}.git\"\n\n[github]\napi = \"{}\"\napp = 4711\nkey_file = \"app.pem\"\n\
             webhook_secret_file = \"webhook.secret\"\n\n[worker]\nmodel = \"openai:scripted\"\nmodel_url = \"{}\"\n\
             model_price = \"0,0\"\n{}",
            scene.path().display(),
            github.url,
            model.url(),
            slack(&scene),
        );
        let log = std::fs::File::create(scene.path().join("log")).expect("a temporary file");
        let server = Running::at(&scene, "serve", &config, &format!("127.0.0.1:{ours}"), log);
        Self { scene, github, server, _model: model }
    }

    /// Does something as a person, or looks; not through the gateway, which notes what is ours.
    #[track_caller]
    pub(super) fn by(&self, who: &str, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/repos/acme/api/{path}", self.github.behind);
        let token = format!("Bearer {who}-token");
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        sent(method, &url, &headers, &body.to_string()).good()
    }

    pub(super) fn see(&self, path: &str) -> Value {
        self.by("alice", "GET", path, &Value::Null)
    }

    /// Opens an issue and gives it the label. Returns its number.
    pub(super) fn label(&self, title: &str) -> u64 {
        let issue = self.by("alice", "POST", "issues", &json!({"title": title}));
        let number = issue["number"].as_u64().expect("a number");
        self.by("alice", "POST", &format!("issues/{number}/labels"), &json!({"labels": ["gloaming"]}));
        number
    }

    /// Runs git in alice's clone, which is made with these files and pushed the first time.
    #[track_caller]
    pub(super) fn git(&self, words: &[&str]) -> String {
        // "alice:alice-token", base64.
        let header = "http.extraHeader=Authorization: Basic YWxpY2U6YWxpY2UtdG9rZW4=";
        self.scene.git(&[&["-c", header], words].concat()).trim().to_owned()
    }

    pub(super) fn push(&self, files: &[(&str, &str)]) {
        self.git(&["clone", "-q", &format!("{}/acme/api.git", self.github.url), "."]);
        self.scene.write(files);
        self.scene.commit("A crate that adds");
        self.git(&["push", "-q", "origin", "HEAD:main"]);
    }

    /// Waits until there is something.
    #[track_caller]
    pub(super) fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < LONGEST, "{what} does not come:\n{}", self.log());
            std::thread::park_timeout(LOOK);
        }
    }

    /// What the server said so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.scene.path().join("log")).unwrap_or_default()
    }

    /// Waits until the server has said something so many times.
    #[track_caller]
    pub(super) fn until_said(&self, words: &str, times: usize) {
        self.until(words, || (self.log().matches(words).count() >= times).then_some(()));
    }

    /// Returns the newest task.
    pub(super) fn newest(&self) -> Option<Value> {
        let listed = self.scene.gloaming(&["task", "list", "--limit", "1", "--json"]).exits(0).json();
        listed["tasks"].get(0).cloned()
    }

    pub(super) fn task(&self, id: &str) -> Value {
        self.scene.gloaming(&["task", "show", id, "--json"]).exits(0).json()
    }

    /// Waits until a task's attempt of a number has ended, and all of it has been told.
    #[track_caller]
    pub(super) fn ended(&self, id: &str, attempt: u64, state: &str) -> Value {
        self.until(&format!("the end of attempt {attempt}"), || {
            let task = self.task(id);
            let ends = ["published", "bowed_out", "failed", "quarantined", "cancelled"];
            let over = task["attempt"] == attempt && ends.iter().any(|end| task["state"] == *end);
            over.then(|| {
                assert_eq!(task["state"], state, "{task:#}\n{}", self.log());
                task
            })
        })
    }
}

/// Returns the hexadecimal HMAC-SHA256 of a text with the secret, by openssl.
pub(super) fn signed(text: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-hmac", SECRET, "-r"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = openssl.spawn().expect("openssl runs");
    child.stdin.take().expect("it is a pipe").write_all(text.as_bytes()).expect("it reads");
    let out = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text");
    out.split(' ').next().expect("a word").to_owned()
}

/// Writes a file that nobody but its owner can read.
pub(super) fn secret(scene: &Scene, name: &str, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = scene.path().join(name);
    std::fs::write(&path, content).expect("a temporary file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
}
