//! Runs a case: lays its tree, makes its calls on every road, and says what did not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_api::journal::EventKind;
use gloaming_api::tool::{Decided, ToolErrorCode};
use gloaming_api::{RelPath, RepoId};
use gloaming_jobs::{Cancel, Embedded, Engine as _, Environment, HostFacts, Job};
use gloaming_policies::{Access, Grant, Layer};
use gloaming_sandbox::{Call as Made, Files, Sandbox};
use gloaming_worker::GitBase;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::case::{After, Base, Call, Case, Entry, Question, Road, Strictness};
use super::roads::{Asked, Engine, Told, told};
use super::tree::Scene;

/// How much later than its deadline a call may come back before it counts as hanging. Generous: the machine may be
/// busy, and what hangs does so for ever.
const GRACE: Duration = Duration::from_secs(30);
/// A call that took longer than this must have let others be served meanwhile.
const LONG: Duration = Duration::from_millis(500);
/// How often a question is put while there is mischief.
const ROUNDS: u32 = 40;
/// From how many names on a tree is large.
const LARGE: usize = 2_000;
/// How often paths are timed.
const TIMED: usize = 31;

/// What all cases share.
pub(super) struct Corpus {
    base: Base,
    ordinary: Witnessed,
    tight: Witnessed,
    lane: Option<Lane>,
    /// Where what git needs of ours is kept.
    state: TempDir,
    /// Calls made.
    pub(super) calls: AtomicU64,
}

/// What came of a case.
#[derive(Debug)]
pub(super) enum Outcome {
    Holds,
    Skipped(String),
    /// One sentence for each thing that did not hold.
    Fails(Vec<String>),
}

struct Lane {
    engine: Embedded,
    runtime: tokio::runtime::Runtime,
    _state: TempDir,
}

impl Lane {
    /// The container lane as the product sets it up, whose binary is the helper; none, with a word why, where
    /// containers cannot be made, which root must be able to.
    fn open() -> Option<Self> {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let host = HostFacts {
            path: std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            home: folder("HOME"),
            ..HostFacts::default()
        };
        let state = TempDir::new().expect("a temporary folder");
        let helper = vec![env!("CARGO_BIN_EXE_gloaming").into(), "__job".into()];
        let engine = Embedded::new(helper, Environment::detect(&host), state.path().to_owned());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        match runtime.block_on(engine.probe()) {
            Ok(_) => Some(Self { engine, runtime, _state: state }),
            Err(error) => {
                let root = rustix::process::geteuid().is_root();
                assert!(!root, "root must be able to make a container: {error}; {}", error.hint);
                crate::support::skipped("the corpus's jobs", &error.to_string());
                None
            }
        }
    }
}

/// An engine, and somebody who goes on making ordinary calls on it all the while.
struct Witnessed {
    engine: Engine,
    served: Arc<AtomicU64>,
    complaint: Arc<Mutex<Option<String>>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Witnessed {
    fn new(strictness: Strictness, grant: &Grant) -> Self {
        let engine = Engine::new(strictness);
        let (served, complaint) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
        let (stop, stopped) = sync_channel::<()>(1);
        let thread = std::thread::spawn({
            let (sandbox, served, complaint) = (engine.tools.clone(), served.clone(), complaint.clone());
            let permit = grant.permit_tool("read").expect("reading is permitted");
            move || {
                let dir = TempDir::new().expect("a temporary folder");
                std::fs::write(dir.path().join("mine.txt"), "mine\n").expect("write");
                let files = Files::open(dir.path()).expect("the folder opens");
                // As often as once in two milliseconds, and until there is nobody left to tell it to stop.
                while stopped.recv_timeout(Duration::from_millis(2)) == Err(RecvTimeoutError::Timeout) {
                    let call = sandbox.call(&permit, &files, &json!({"path": "mine.txt"}));
                    if !call.outcome.for_model().contains("mine") {
                        let mut complaint = complaint.lock().expect("nothing panics with it");
                        complaint.get_or_insert_with(|| call.outcome.for_model());
                    }
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { engine, served, complaint, stop: Some(stop), thread: Some(thread) }
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.lock().expect("nothing panics with it").clone()
    }
}

impl Drop for Witnessed {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Corpus {
    /// The one that the tests of this binary share.
    pub(super) fn shared() -> &'static Self {
        static CORPUS: OnceLock<Corpus> = OnceLock::new();
        CORPUS.get_or_init(|| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/base.toml");
            let text = std::fs::read_to_string(path).expect("base.toml is there");
            let base: Base = toml::from_str(&text).unwrap_or_else(|error| panic!("base.toml: {error}"));
            let grant = grant(&base.policy).expect("base.toml has a policy");
            Self {
                ordinary: Witnessed::new(Strictness::Ordinary, &grant),
                tight: Witnessed::new(Strictness::Tight, &grant),
                lane: Lane::open(),
                state: TempDir::new().expect("a temporary folder"),
                base,
                calls: AtomicU64::new(0),
            }
        })
    }

    /// Runs a case that lies in `folder`.
    pub(super) fn run(&self, folder: &Path, case: &Case) -> Outcome {
        let witnessed = match case.engine {
            Strictness::Ordinary => &self.ordinary,
            Strictness::Tight => &self.tight,
        };
        // A whole policy stands by itself; rules alone are added.
        let whole = case.policy.lines().any(|line| line.starts_with("schema"));
        let policy = format!("{}\n{}", if whole { "" } else { &self.base.policy }, case.policy);
        let grant = match grant(&policy) {
            Ok(grant) => grant,
            Err(fault) => return Outcome::Fails(vec![fault]),
        };
        let entries: Vec<Entry> = self.base.tree.iter().chain(&case.tree).cloned().collect();
        let mut run =
            Run { corpus: self, witnessed, folder, case, grant, entries, laid: None, faults: Vec::new() };
        for (at, call) in case.call.iter().enumerate() {
            match run.call(call, &format!("call {}", at + 1)) {
                Ok(()) => {}
                Err(Stop::Skip(why)) => return Outcome::Skipped(why),
                Err(Stop::Fault(fault)) => {
                    run.faults.push(fault);
                    break;
                }
            }
        }
        if let Some(complaint) = witnessed.complaint() {
            run.faults
                .push(format!("meanwhile, an ordinary call on the same engine was answered: {complaint}"));
        }
        if run.faults.is_empty() { Outcome::Holds } else { Outcome::Fails(run.faults) }
    }
}

fn grant(policy: &str) -> Result<Grant, String> {
    let file = gloaming_policies::parse("case.toml", policy).map_err(|faults| format!("{faults:?}"))?;
    Grant::resolve(&RepoId::local("escape"), vec![(Layer::Operator, file)])
        .map_err(|faults| format!("{faults:?}"))
}

/// Why a case goes no further.
enum Stop {
    Skip(String),
    Fault(String),
}

struct Run<'a> {
    corpus: &'a Corpus,
    witnessed: &'a Witnessed,
    folder: &'a Path,
    case: &'a Case,
    grant: Grant,
    entries: Vec<Entry>,
    /// The tree as it lies there, while it is as it was laid.
    laid: Option<Laid>,
    faults: Vec<String>,
}

struct Laid {
    scene: Arc<Scene>,
    base: Option<Arc<GitBase>>,
    before: BTreeMap<PathBuf, String>,
}

/// One way to make a call.
#[derive(Clone)]
struct Way {
    name: String,
    road: Option<Road>,
    path: String,
    sandbox: Sandbox,
    tool: String,
    args: Value,
}

const OPENERS: [(&str, bool); 2] = [("openat2", false), ("stepwise", true)];

impl Run<'_> {
    fn call(&mut self, call: &Call, name: &str) -> Result<(), Stop> {
        if let Some(script) = &call.job {
            return self.job(call, script, name);
        }
        let mut answers: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for way in self.ways(call, name)? {
            for (opener, stepwise) in OPENERS {
                let name = format!("{} ({opener})", way.name);
                for (told, made) in self.make(call, &way, stepwise, &name)? {
                    if call.alike {
                        let key = format!("{:?} {opener}", way.road);
                        let path = self.scene()?.text(&way.path);
                        let told = likeness(&told, &made, &path);
                        answers.entry(key).or_default().push((way.path.clone(), told));
                    }
                }
            }
        }
        for (key, answers) in answers {
            if let [(first, told), rest @ ..] = answers.as_slice()
                && let Some((other, otherwise)) = rest.iter().find(|(_, otherwise)| otherwise != told)
            {
                let fault = format!("{name}: {key} tells {first:?} from {other:?}: {told} and {otherwise}");
                self.faults.push(fault);
            }
        }
        if call.timing {
            self.timing(call, name)?;
        }
        if let Some(scene) =
            self.laid.as_ref().filter(|laid| laid.before.len() > LARGE).map(|laid| laid.scene.clone())
        {
            self.check_tree(call, &scene, name);
        }
        Ok(())
    }

    fn scene(&mut self) -> Result<Arc<Scene>, Stop> {
        if self.laid.is_none() {
            let scene = match Scene::lay(&self.entries) {
                Ok(scene) => Arc::new(scene),
                Err(why) if why.contains("Device") => return Err(Stop::Skip(why)),
                Err(why) => return Err(Stop::Fault(why)),
            };
            let base = if self.case.base.is_empty() {
                None
            } else {
                let state = self.corpus.state.path();
                Some(Arc::new(scene.commit(&self.case.base, state).map_err(Stop::Fault)?))
            };
            let before = scene.look();
            self.laid = Some(Laid { scene, base, before });
        }
        Ok(self.laid.as_ref().expect("just laid").scene.clone())
    }

    /// Every way a call can be made.
    fn ways(&mut self, call: &Call, name: &str) -> Result<Vec<Way>, Stop> {
        let engine = &self.witnessed.engine;
        let scene = self.scene()?;
        if let Some(question) = call.ask {
            let mut ways = Vec::new();
            let roads = if call.roads.is_empty() { Road::ALL.as_slice() } else { &call.roads };
            for path in &call.paths {
                for road in roads {
                    let (to, content) = (call.to.as_deref().unwrap_or_default(), call.content.as_deref());
                    let content =
                        content.unwrap_or(if question == Question::Edit { "one => ONE" } else { "new" });
                    let (path_text, to) = (scene.text(path), scene.text(to));
                    let asked = Asked { question, path: &path_text, to: &to, content };
                    let Some((sandbox, tool, args)) = engine.ask(*road, &asked) else { continue };
                    let shown: String = path.chars().take(80).collect();
                    let name = format!("{name}: {question:?} by {road:?} of {shown:?}");
                    ways.push(Way { name, road: Some(*road), path: path.clone(), sandbox, tool, args });
                }
            }
            if ways.is_empty() {
                return Err(Stop::Fault(format!("{name}: no road can ask that")));
            }
            return Ok(ways);
        }
        let (sandbox, tool) = if let Some(tool) = &call.tool {
            (engine.tools.clone(), tool.clone())
        } else if let Some(guest) = &call.guest {
            engine.guest(guest).ok_or_else(|| Stop::Fault(format!("{name}: there is no guest {guest}")))?
        } else {
            let file = call.component.as_deref().unwrap_or_default();
            let text = std::fs::read_to_string(self.folder.join(file))
                .map_err(|error| Stop::Fault(format!("{name}: {file}: {error}")))?;
            match engine.component(&text) {
                Ok(sandbox) => (sandbox, "go".to_owned()),
                Err(refused) => {
                    let told = Told { code: "unregistered".into(), rule: None, text: refused };
                    self.check_told(call, None, &told, name);
                    return Ok(Vec::new());
                }
            }
        };
        let args = match expanded(&scene, &call.args) {
            Value::Null => json!({}),
            // A probe takes what is written as structure in its words.
            Value::Object(mut args) if tool == "probe" => {
                if let Some(data) = args.get_mut("data").filter(|data| !data.is_string()) {
                    *data = data.to_string().into();
                }
                args.into()
            }
            args => args,
        };
        let name = format!("{name}: {tool}");
        Ok(vec![Way { name, road: None, path: String::new(), sandbox, tool, args }])
    }

    /// Makes a call, again and again where there is mischief, and checks each answer and what is left behind.
    fn make(
        &mut self,
        call: &Call,
        way: &Way,
        stepwise: bool,
        name: &str,
    ) -> Result<Vec<(Told, Made)>, Stop> {
        let scene = self.scene()?;
        let workspace = scene.workspace();
        let open = if stepwise { Files::open_stepwise(&workspace) } else { Files::open(&workspace) };
        let mut files = open.map_err(|error| Stop::Fault(format!("{name}: {error}")))?;
        if let Some(base) = self.laid.as_ref().and_then(|laid| laid.base.clone()) {
            files = files.with_base(base);
        }
        let mut answers = Vec::new();
        if self.case.mischief.is_empty() {
            answers.push(self.make_once(way, &files, &scene, name)?);
        } else {
            let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
            let made = std::thread::scope(|scope| {
                let mischief = scope.spawn(|| scene.mischief(&self.case.mischief, &stop, &rounds));
                while rounds.load(Ordering::Relaxed) == 0 && !mischief.is_finished() {
                    std::thread::yield_now();
                }
                let made: Result<Vec<_>, Stop> = (0..call.rounds.unwrap_or(ROUNDS))
                    .map(|_| self.make_once(way, &files, &scene, name))
                    .collect();
                stop.store(true, Ordering::Relaxed);
                let mischief = mischief.join().expect("mischief does not panic");
                mischief.map_err(|error| Stop::Fault(format!("{name}: {error}"))).and(made)
            });
            answers.extend(made?);
        }
        for (told, made) in &answers {
            self.check_told(call, way.road, told, name);
            self.check_record(made, way, &scene, name);
            for absent in &call.lacks {
                let absent = scene.text(absent);
                if everything(made, &way.args).contains(&absent) {
                    self.faults.push(format!("{name}: the answer or its record holds {absent:?}"));
                }
            }
            for absent in &call.never_shown {
                if made.outcome.for_model().contains(absent.as_str()) {
                    self.faults.push(format!("{name}: the answer shows {absent:?}"));
                }
            }
        }
        // Looking at a large tree takes longer than most calls: once for all that change nothing.
        let large = self.laid.as_ref().is_some_and(|laid| laid.before.len() > LARGE);
        if !large || !call.after.is_empty() || !call.may_change.is_empty() {
            self.check_tree(call, &scene, name);
        }
        Ok(answers)
    }

    /// Makes a call once. One that does not come back is left to itself: it cannot be stopped from here.
    fn make_once(
        &self,
        way: &Way,
        files: &Files,
        scene: &Arc<Scene>,
        name: &str,
    ) -> Result<(Told, Made), Stop> {
        self.corpus.calls.fetch_add(1, Ordering::Relaxed);
        let permit = self.grant.permit_tool(&way.tool).map_err(|denial| {
            Stop::Fault(format!("{name}: the tool is denied as a whole by {}", denial.rule.id))
        })?;
        let served = self.witnessed.served.load(Ordering::SeqCst);
        let (answer, answered) = sync_channel(1);
        let (sandbox, files, args, scene) =
            (way.sandbox.clone(), files.clone(), way.args.clone(), scene.clone());
        std::thread::spawn(move || {
            let made = sandbox.call(&permit, &files, &args);
            // The tree stays until the call is done with it.
            drop(scene);
            let _ = answer.send(made);
        });
        let deadline = self.witnessed.engine.deadline;
        let made = answered.recv_timeout(deadline + GRACE).map_err(|_| {
            Stop::Fault(format!("{name}: it did not come back; its deadline is {deadline:?}"))
        })?;
        let took = Duration::from_micros(made.record.duration_us.total);
        if took > deadline + GRACE {
            return Err(Stop::Fault(format!("{name}: it took {took:?}; its deadline is {deadline:?}")));
        }
        if took > LONG && self.witnessed.served.load(Ordering::SeqCst) == served {
            return Err(Stop::Fault(format!("{name}: for {took:?} nobody else was served")));
        }
        Ok((told(&made), made))
    }

    fn check_told(&mut self, call: &Call, road: Option<Road>, told: &Told, name: &str) {
        let expected = road.and_then(|road| call.except.get(&road));
        let own = expected.is_some();
        let expected = expected.unwrap_or(&call.expect);
        if !expected.fits(&told.code) {
            let text: String = told.text.chars().take(300).collect();
            self.faults.push(format!(
                "{name}: expected {}, was answered {}: {text:?}",
                expected.as_slice().join(" or "),
                told.code
            ));
            return;
        }
        if !own && told.code == "denied" && call.rule.is_some() && told.rule != call.rule {
            let rule = told.rule.as_deref().unwrap_or("none");
            let expected = call.rule.as_deref().unwrap_or_default();
            self.faults.push(format!("{name}: denied by {rule} instead of {expected}"));
        }
        for wanted in call.has.iter().filter(|wanted| !own && !told.text.contains(*wanted)) {
            let text: String = told.text.chars().take(300).collect();
            self.faults.push(format!("{name}: the answer lacks {wanted:?}: {text:?}"));
        }
    }

    /// What must hold of every call, whatever was asked.
    fn check_record(&mut self, made: &Made, way: &Way, scene: &Scene, name: &str) {
        let everything = everything(made, &way.args);
        let folder = scene.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // What a call names itself may come back to it.
        let named = way.args.to_string();
        for (what, word) in [("what nobody may see", scene.canary.as_str()), ("a path of the host", folder)] {
            if everything.contains(word) && !named.contains(word) {
                self.faults.push(format!("{name}: the answer, its record or its log shows {what}"));
            }
        }
        let (tool, record) = (way.tool.as_str(), &made.record);
        for (access, list) in [(Access::Read, &record.reads), (Access::Write, &record.writes)] {
            for one in list {
                if !self.grant.allows(tool, access, &one.path) {
                    self.faults.push(format!("{name}: the record has {access:?} of {}", one.path));
                }
            }
        }
        if let Some(error) = &made.outcome.error {
            let words = format!("{}{}", error.message, error.instead.as_deref().unwrap_or_default());
            if words.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
                self.faults.push(format!("{name}: the refusal holds a control character: {words:?}"));
            }
            let denied = error.code == ToolErrorCode::Denied;
            if denied && record.decision != Decided::Deny {
                self.faults.push(format!("{name}: it was denied and the record says allowed"));
            }
        }
    }

    /// Compares the tree with what it was; where it changed as it should have, it is laid anew for the next.
    fn check_tree(&mut self, call: &Call, scene: &Scene, name: &str) {
        let Some(laid) = self.laid.take() else { return };
        let after = scene.look();
        let relative = |path: &Path| {
            path.strip_prefix(scene.workspace())
                .or_else(|_| path.strip_prefix(scene.path()))
                .unwrap_or(path)
                .to_string_lossy()
                .into_owned()
        };
        // A folder that may hold something afterwards may be new.
        let may: Vec<String> =
            call.may_change.iter().chain(call.after.keys()).map(|may| scene.text(may)).collect();
        let expected = |path: &Path| {
            let path = relative(path);
            may.iter().any(|may| {
                *may == path || may.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let names: BTreeSet<&PathBuf> = laid.before.keys().chain(after.keys()).collect();
        let mut changed = false;
        for path in names {
            let (was, is) = (laid.before.get(path), after.get(path));
            if was == is {
                continue;
            }
            changed = true;
            if !expected(path) {
                let [was, is] = [was, is].map(|what| what.map_or("nothing", String::as_str));
                self.faults.push(format!("{name}: {} was {was} and is {is}", relative(path)));
            }
        }
        for (path, expected) in &call.after {
            let at = scene.workspace().join(scene.text(path));
            let fault = match expected {
                After::There(there) => {
                    let is = std::fs::symlink_metadata(&at).is_ok();
                    (is != *there).then(|| if is { "is there" } else { "is not there" }.to_owned())
                }
                After::Text(text) => {
                    let is = std::fs::read_to_string(&at).ok();
                    let right = is.as_deref() == Some(scene.text(text).as_str());
                    (!right).then(|| format!("holds {is:?}"))
                }
            };
            if let Some(fault) = fault {
                self.faults.push(format!("{name}: afterwards {path} {fault}"));
            }
        }
        if !changed {
            self.laid = Some(laid);
        }
    }

    /// Times the paths of a call against each other, by what the host did for them. Three times, since others use
    /// the machine as well; a look at what is denied costs many times as much, or it would not be a case.
    fn timing(&mut self, call: &Call, name: &str) -> Result<(), Stop> {
        let ways = self.ways(call, name)?;
        let scene = self.scene()?;
        let files = Files::open(&scene.workspace()).map_err(|error| Stop::Fault(error.to_string()))?;
        let roads: BTreeSet<Option<Road>> = ways.iter().map(|way| way.road).collect();
        for road in roads {
            let ways: Vec<&Way> = ways.iter().filter(|way| way.road == road).collect();
            let mut medians = Vec::new();
            let alike = (0..3).any(|_| {
                let mut times = vec![Vec::with_capacity(TIMED); ways.len()];
                for _ in 0..TIMED {
                    for (way, times) in ways.iter().zip(&mut times) {
                        if let Ok((_, made)) = self.make_once(way, &files, &scene, name) {
                            times.push(made.record.duration_us.host);
                        }
                    }
                }
                medians = times
                    .iter_mut()
                    .map(|times| {
                        times.sort_unstable();
                        times[times.len() / 2]
                    })
                    .collect();
                let (least, most) = (medians.iter().min(), medians.iter().max());
                most.zip(least).is_none_or(|(most, least)| *most <= 3 * least + 300)
            });
            if !alike {
                self.faults
                    .push(format!("{name}: {road:?} takes {medians:?} µs for paths that must be alike"));
            }
        }
        Ok(())
    }

    /// Runs a script as jobs run: on a copy without what policy lets nobody read.
    fn job(&mut self, call: &Call, script: &str, name: &str) -> Result<(), Stop> {
        let Some(lane) = &self.corpus.lane else {
            return Err(Stop::Skip("no container can be made here".into()));
        };
        self.corpus.calls.fetch_add(1, Ordering::Relaxed);
        let scene = self.scene()?;
        let fault = |error: &dyn std::fmt::Display| Stop::Fault(format!("{name}: {error}"));
        let copies = TempDir::new().map_err(|error| fault(&error))?;
        let copy = copies.path().join("copy");
        gloaming_workspace::copy_tree(&scene.workspace(), &copy)
            .and_then(|()| gloaming_workspace::withhold(&copy, &|path| self.grant.withheld(path).is_some()))
            .map_err(|error| fault(&error))?;
        let permit = self.grant.permit_job(JobPurpose::Test).map_err(|denial| fault(&denial.rule.id))?;
        let job = Job {
            argv: vec!["/bin/sh".into(), "-c".into(), scene.text(script)],
            cwd: RelPath::root(),
            env: BTreeMap::new(),
            workspace: copy,
            scratch: None,
            mounts: Vec::new(),
            egress: None,
            label: "escape".into(),
        };
        let served = self.witnessed.served.load(Ordering::SeqCst);
        let output = lane
            .runtime
            .block_on(lane.engine.run(&permit, &job, &Cancel::new()))
            .map_err(|error| fault(&error))?;
        if output.record.duration_ms > 500 && self.witnessed.served.load(Ordering::SeqCst) == served {
            self.faults.push(format!("{name}: for {} ms nobody else was served", output.record.duration_ms));
        }
        let code = match output.record.exit {
            JobExit::Code(0) => "ok".to_owned(),
            JobExit::TimedOut => "timed_out".to_owned(),
            JobExit::OutOfMemory => "out_of_memory".to_owned(),
            other => other.to_string(),
        };
        let text = [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part)).concat();
        self.check_told(call, None, &Told { code, rule: None, text: text.clone() }, name);
        let mut record = output.record.clone();
        // The script stands there as it was given.
        record.argv.clear();
        let everything = format!("{text}{}", json!(record));
        let unseen =
            std::iter::once(scene.canary.clone()).chain(call.lacks.iter().map(|text| scene.text(text)));
        for word in unseen {
            if everything.contains(&word) {
                self.faults.push(format!("{name}: the job printed {word:?}"));
            }
        }
        self.check_tree(call, &scene, name);
        Ok(())
    }
}

/// All that anybody is told of a call: the journal's line, the model's words, the log.
fn everything(made: &Made, args: &Value) -> String {
    let line = EventKind::ToolCall {
        id: "call".into(),
        args: args.clone(),
        outcome: made.outcome.clone(),
        record: Box::new(made.record.clone()),
    };
    format!("{}\n{}\n{}", json!(line), made.outcome.for_model(), made.log.join("\n"))
}

/// What an answer says, but for the path it was about.
fn likeness(told: &Told, made: &Made, path: &str) -> String {
    let spelled = RelPath::parse(path).map(|path| path.to_string()).unwrap_or_else(|_| path.to_owned());
    let record = &made.record;
    let all = json!([
        told.code,
        told.rule,
        told.text,
        record.decision,
        record.denials,
        record.reads,
        record.bytes_read,
        record.writes,
    ]);
    all.to_string().replace(path, "{}").replace(&spelled, "{}")
}

fn expanded(scene: &Scene, value: &Value) -> Value {
    match value {
        Value::String(text) => scene.text(text).into(),
        Value::Array(list) => list.iter().map(|one| expanded(scene, one)).collect(),
        Value::Object(map) => map.iter().map(|(key, one)| (key.clone(), expanded(scene, one))).collect(),
        other => other.clone(),
    }
}
