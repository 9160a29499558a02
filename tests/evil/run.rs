//! Laying out a case, running it as a user would, and looking at everything it left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::case::Case;
use crate::support::{
    PythonServer, Ran, Scene, bow_out, branches, check_branch, ended, journal, ran, replay_fault,
};
use crate::tamper::{apply, copy_folder};

/// A run that is not over by then is out of order.
const LONGEST: Duration = Duration::from_secs(120);

/// What the standard policy lets a task cost, US dollars.
const STANDARD_COST: f64 = 5.0;

/// What all cases share: the fixtures' repositories with what is known of them, and what nobody may ever see.
pub(super) struct Ground {
    folder: PathBuf,
    made: Mutex<BTreeMap<String, std::sync::Arc<Scene>>>,
    /// A word that stands in a file that policy keeps, in the environment, and in the user's own files.
    pub(super) canary: String,
    /// Nobody may connect here.
    listener: TcpListener,
}

/// What came of one case.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// How it ended: a reason code, `branch` or `failed`.
    pub(super) ended: String,
    /// What does not hold, in words.
    pub(super) faults: Vec<String>,
    pub(super) took: Duration,
}

impl Ground {
    pub(super) fn new(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket that can be asked");
        let canary = format!("canary{}", uuid::Uuid::new_v4().simple());
        Self { folder, made: Mutex::default(), canary, listener }
    }

    /// What stands for `<<WORD>>` in the cases.
    pub(super) fn port(&self) -> String {
        self.listener.local_addr().expect("it is bound").port().to_string()
    }

    /// A fixture as a repository of one commit, with a secret in it. Its state folder is shared, so that what is known of
    /// the base is kept between cases.
    fn base(&self, fixture: &str) -> Result<std::sync::Arc<Scene>, String> {
        let mut made = self.made.lock().expect("no panic holds it");
        if let Some(scene) = made.get(fixture) {
            return Ok(scene.clone());
        }
        let scene = Scene::bare_folder();
        copy_folder(&self.folder.join("fixtures").join(fixture), &scene.repo())?;
        scene.write(&[(".env", &format!("TOKEN={}\n", self.canary)), ("secrets/key.pem", &self.canary)]);
        scene.git(&["init", "-q", "-b", "main"]);
        scene.commit("base");
        let scene = std::sync::Arc::new(scene);
        made.insert(fixture.to_owned(), scene.clone());
        Ok(scene)
    }

    /// The canary as it is, and as it would be if it were hidden.
    fn canaries(&self) -> Vec<Vec<u8>> {
        let hex: String = self.canary.bytes().map(|byte| format!("{byte:02x}")).collect();
        let reversed: String = self.canary.chars().rev().collect();
        [self.canary.clone(), hex, reversed].map(String::into_bytes).into()
    }
}

/// Runs one case.
pub(super) fn run(ground: &Ground, case: &Case) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome { ended: String::new(), faults: Vec::new(), took: Duration::default() };
    if let Err(fault) = perform(ground, case, &mut outcome) {
        outcome.faults.push(fault);
    }
    outcome.took = began.elapsed();
    outcome
}

fn perform(ground: &Ground, case: &Case, outcome: &mut Outcome) -> Result<(), String> {
    let base = ground.base(&case.fixture)?;
    let scene = Scene::bare_folder();
    let copied =
        std::process::Command::new("cp").arg("-a").arg(base.repo().join(".")).arg(scene.repo()).status();
    if !copied.map_err(|error| format!("cp: {error}"))?.success() {
        return Err("the base could not be copied".into());
    }
    for edit in &case.base {
        apply(&scene.repo(), edit)?;
    }
    if !case.base.is_empty() {
        scene.commit("what the case changes");
    }
    let before = snapshot(&scene.repo());
    let (pid, ran) = start(ground, case, &base, &scene)?;
    let looked =
        Looked { ground, case, scene: &scene, home: base.home(), ran: &ran, faults: &mut outcome.faults };
    outcome.ended = looked.at_everything(pid, &before);
    Ok(())
}

/// Starts the program with the canary around it, and waits for its end.
fn start(ground: &Ground, case: &Case, base: &Scene, scene: &Scene) -> Result<(u32, Ran), String> {
    let person = scene.path().join("person");
    for (name, text) in [(".netrc", &ground.canary), (".ssh/id_rsa", &ground.canary)] {
        let file = person.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| error.to_string())?;
    }
    let transcript = scene.path().join("transcript.json");
    std::fs::write(&transcript, case.transcript().to_string()).map_err(|error| error.to_string())?;
    let asked = scene.path().join("asked.jsonl");
    let asked = asked.to_str().expect("UTF-8");
    let model = PythonServer::start(scene, "tests/demo/scripted_model.py", &transcript, &[asked]);
    let url = format!("http://127.0.0.1:{}/v1", model.port());
    let mut args = vec!["run", "--repo", "repo", "--task", &case.task, "--model", "openai:scripted"];
    args.extend(["--model-url", &url, "--model-price", &case.price, "--out", "out", "--json"]);
    if !case.has_team() {
        args.extend(["--team", "coder"]);
    }
    if let Some(text) = &case.policy {
        std::fs::write(scene.path().join("policy.toml"), text).map_err(|error| error.to_string())?;
        args.extend(["--policy", "policy.toml"]);
    }
    let mut command = scene.command(&args);
    command
        .env("GLOAMING_HOME", base.home())
        .env("HOME", &person)
        .env("EVIL_CANARY", &ground.canary)
        .env("OPENAI_API_KEY", &ground.canary)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| error.to_string())?;
    let pid = child.id();
    let (over, ends) = channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output();
        // Nobody listens where it took too long.
        let _ = over.send(());
        output
    });
    if ends.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
        let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        return Err(format!("the run was not over after {} s", LONGEST.as_secs()));
    }
    let output = waiting.join().expect("nothing in it panics").map_err(|error| error.to_string())?;
    Ok((pid, ran(output)))
}

/// A look at what a run left.
struct Looked<'a> {
    ground: &'a Ground,
    case: &'a Case,
    scene: &'a Scene,
    home: PathBuf,
    ran: &'a Ran,
    faults: &'a mut Vec<String>,
}

impl Looked<'_> {
    fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    /// Checks what holds for every case and what this one says, and returns how the run ended.
    fn at_everything(mut self, pid: u32, before: &Snapshot) -> String {
        let said: Value = serde_json::from_str(&self.ran.stdout).unwrap_or(Value::Null);
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let ended = match ended(self.ran) {
            Ok(ended) => ended,
            Err(fault) => {
                self.fault(fault);
                return String::new();
            }
        };
        if !self.case.ends.contains(&ended) {
            let end =
                format!("ended with {ended} ({}), not with {}", text("summary"), self.case.ends.join(" or "));
            self.fault(format!("{end}; {}", text("error")));
        }
        let events = journal(self.scene, self.faults);
        self.left_nothing_behind(pid, &text("task"));
        self.kept_what_is_secret();
        self.spent_no_more(&events, &said);
        self.left_the_repository(before, &ended, &text("branch"));
        match ended.as_str() {
            "branch" => self.earned_its_branch(&text("branch")),
            "failed" => {}
            _ => {
                bow_out(self.scene, self.faults);
            }
        }
        if ended != "failed" {
            self.faults.extend(replay_fault(self.scene, &self.home));
        }
        self.kept_its_own_promises(&events);
        ended
    }

    /// No container, mount, control group, folder or process is there any more, and nobody was connected to.
    fn left_nothing_behind(&mut self, pid: u32, task: &str) {
        if self.ground.listener.accept().is_ok() {
            self.fault("a connection came to a port that nobody may reach");
        }
        let mine = format!("-{pid}-");
        if let Some(group) = named(Path::new("/sys/fs/cgroup"), &mine, 5) {
            self.fault(format!("the control group {} was left", group.display()));
        }
        if let Some(folder) = named(&self.home, task, 5) {
            self.fault(format!("{} was left", folder.display()));
        }
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let mounts = std::fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
            if mounts.contains(task) {
                let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
                self.fault(format!("the process {command:?} still sees the workspace"));
            }
        }
    }

    /// The canary is in nothing that the run wrote, said, sent to the model or keeps.
    fn kept_what_is_secret(&mut self) {
        let mut seen: Vec<(String, Vec<u8>)> = vec![
            ("standard output".to_owned(), self.ran.stdout.clone().into_bytes()),
            ("standard error".to_owned(), self.ran.stderr.clone().into_bytes()),
        ];
        let sent = self.scene.path().join("asked.jsonl");
        let files = files_below(&self.scene.out()).into_iter().chain(files_below(&self.home)).chain([sent]);
        // The base itself, without which nothing could be replayed; and what another case works on, which is gone when that
        // one ends.
        let work = self.home.join("cache/work");
        let looked_at = files.filter(|file| !file.ends_with("base.pack") && !file.starts_with(&work));
        for file in looked_at {
            let bytes = std::fs::read(&file).unwrap_or_default();
            seen.push((file.display().to_string(), bytes));
        }
        for branch in branches(self.scene) {
            seen.push((
                branch.clone(),
                self.scene.git_bytes(&["log", "-p", "--no-textconv", &format!("main..{branch}")]),
            ));
        }
        let canaries = self.ground.canaries();
        for (place, bytes) in seen {
            if canaries.iter().any(|canary| holds(&bytes, canary)) {
                self.fault(format!("a secret is in {place}"));
            }
        }
    }

    /// What was spent and set aside before each answer fits the budget.
    fn spent_no_more(&mut self, events: &[Value], said: &Value) {
        let cap = self.case.policy.as_deref().and_then(|text| {
            let policy: Value = toml::from_str(text).ok()?;
            policy["budget"]["cost_usd"].as_f64()
        });
        let cap = cap.unwrap_or(STANDARD_COST);
        let mut spent = 0.0;
        // Of a question that nobody waited for, all that was set aside is taken: its provider may ask to be paid.
        let mut unanswered = 0.0;
        for event in events {
            let data = &event["data"];
            match event["event"].as_str() {
                Some("model_asked") => {
                    let reserved = data["reserved_usd"].as_f64().unwrap_or(f64::NAN);
                    unanswered = reserved;
                    if !(reserved >= 0.0 && spent + reserved <= cap + 1e-9) {
                        self.fault(format!("${reserved} were set aside with ${spent} of ${cap} spent"));
                    }
                }
                Some("model_call") => {
                    let cost = data["cost_usd"].as_f64().unwrap_or(f64::NAN);
                    if !(cost >= 0.0 && cost.is_finite()) {
                        self.fault(format!("an answer is said to cost {}", data["cost_usd"]));
                    }
                    spent += cost;
                    unanswered = 0.0;
                }
                Some("model_failed") => unanswered = 0.0,
                _ => {}
            }
        }
        spent += unanswered;
        if let Some(cost) = said["cost"]["usd"].as_f64()
            && (cost - spent).abs() > 1e-6
        {
            self.fault(format!("${cost} are told and ${spent} are in the journal"));
        }
    }

    /// The work tree and git's own data are as they were, but for one branch where one was earned.
    fn left_the_repository(&mut self, before: &Snapshot, ended: &str, branch: &str) {
        let after = snapshot(&self.scene.repo());
        let own = |path: &str| {
            path.starts_with(".git/objects/")
                || path.starts_with(".git/refs/heads/gloaming")
                || path.starts_with(".git/logs/refs/heads/gloaming")
        };
        for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let added = !before.contains_key(path) && ended == "branch" && own(path);
            if before.get(path) != after.get(path) && !added {
                self.fault(format!("{path} of the repository was changed"));
            }
        }
        let expected: Vec<String> = if ended == "branch" { vec![branch.to_owned()] } else { Vec::new() };
        let found = branches(self.scene);
        if found != expected {
            self.fault(format!("the repository has the branches {found:?}"));
        }
    }

    /// A branch is one commit on the base, with evidence that is sealed and a verdict that passed.
    fn earned_its_branch(&mut self, branch: &str) {
        check_branch(self.scene, &self.home, branch, self.faults);
        for path in &self.case.keeps {
            let text =
                |revision: &str| self.scene.git(&["show", "--no-textconv", &format!("{revision}:{path}")]);
            if text("main") != text(branch) {
                self.fault(format!("{path} is another on the branch"));
            }
        }
        let body = std::fs::read_to_string(self.scene.out().join("pr.md")).unwrap_or_default();
        for text in self.case.unwritten.iter().filter(|text| body.contains(text.as_str())) {
            self.faults.push(format!("pr.md holds {text:?}: {body}"));
        }
    }

    /// What the case says beside what holds for all.
    fn kept_its_own_promises(&mut self, events: &[Value]) {
        let data = |kind: &str| {
            let all = events.iter().filter(move |event| event["event"] == kind);
            all.map(|event| event["data"].clone()).collect::<Vec<_>>()
        };
        let calls = data("tool_call");
        for rule in &self.case.denied {
            let by = |denial: &Value| denial["rule"] == rule.as_str();
            let denied =
                |call: &Value| call["record"]["denials"].as_array().is_some_and(|all| all.iter().any(by));
            if !calls.iter().any(denied) {
                self.faults.push(format!("the rule {rule} denied nothing"));
            }
        }
        for tool in &self.case.refused {
            let of_it: Vec<&Value> =
                calls.iter().filter(|call| call["record"]["tool"] == tool.as_str()).collect();
            if of_it.is_empty() {
                self.faults.push(format!("{tool} was never called"));
            }
            for call in of_it.iter().filter(|call| call["outcome"]["ok"] == true) {
                self.faults.push(format!("{tool} {} did what it was asked to", call["args"]));
            }
        }
        let asked = data("model_asked").len();
        if let Some(most) = self.case.asked.filter(|most| asked > *most) {
            self.fault(format!("the model was asked {asked} times, not at most {most}"));
        }
        let told = told(&self.scene.path().join("asked.jsonl"));
        for text in self.case.told.iter().filter(|text| !told.contains(text.as_str())) {
            self.faults.push(format!("the model was not told {text:?}"));
        }
        for text in &self.case.untold {
            let line = told.lines().find(|line| line.contains(text.as_str()));
            self.faults.extend(line.map(|line| format!("the model was told {text:?}: {line}")));
        }
    }
}

/// Everything a model was told: the texts of its messages, but for its own.
fn told(asked: &Path) -> String {
    let mut told = String::new();
    for line in std::fs::read_to_string(asked).unwrap_or_default().lines() {
        let body: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        for message in body["messages"].as_array().into_iter().flatten() {
            if message["role"] != "assistant" {
                told.push_str(
                    &message["content"]
                        .as_str()
                        .map_or_else(|| message["content"].to_string(), str::to_owned),
                );
                told.push('\n');
            }
        }
    }
    told
}

/// Every file and link of a folder with what it holds.
type Snapshot = BTreeMap<String, Vec<u8>>;

fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    for file in files_below(root) {
        let name = file.strip_prefix(root).expect("below it").to_string_lossy().into_owned();
        let held = match std::fs::read_link(&file) {
            Ok(target) => format!("-> {}", target.display()).into_bytes(),
            Err(_) => std::fs::read(&file).unwrap_or_default(),
        };
        all.insert(name, held);
    }
    all
}

/// Every file and link below a folder; links are not followed.
fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let kind = entry.file_type();
        if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            files.extend(files_below(&entry.path()));
        } else if kind.is_ok_and(|kind| kind.is_file() || kind.is_symlink()) {
            files.push(entry.path());
        }
    }
    files
}

/// A folder whose name holds a word, up to some levels down.
fn named(root: &Path, word: &str, levels: u32) -> Option<PathBuf> {
    for entry in std::fs::read_dir(root).ok()?.flatten().filter(|entry| entry.path().is_dir()) {
        if entry.file_name().to_string_lossy().contains(word) {
            return Some(entry.path());
        }
        if levels > 1
            && let Some(found) = named(&entry.path(), word, levels - 1)
        {
            return Some(found);
        }
    }
    None
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
