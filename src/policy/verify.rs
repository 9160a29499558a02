//! `policy verify`: every rule tried in a scratch copy, through the real tools and a real container.
//!
//! Canaries, files with a secret nobody else knows, are planted where a rule's patterns say. Each tool is asked for each
//! of them and must answer as `policy explain` does; what is denied must not come out by any answer, and must stay as it
//! is. Names, links and renames are the ways round that are tried. A job then prints every file it finds: it must find
//! what policy shows to jobs, and nothing else, and reach no network.
#![expect(clippy::disallowed_methods, reason = "plants and reads canaries in a scratch copy of its own")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::job::JobPurpose;
use gloaming_api::path::escape_name;
use gloaming_api::tool::ToolErrorCode;
use gloaming_api::{Digest, RelPath, TaskId};
use gloaming_jobs::{Cancel, Job, JobError, JobOutput};
use gloaming_policies::{Access, Grant, Probe, Probed, WRITING_TOOLS};
use gloaming_sandbox::{Files, Sandbox};
use gloaming_worker::{GitBase, Update};
use gloaming_workspace::{RepoError, Repository};
use serde_json::{Value, json};

use super::counted;
use crate::cli::PolicyChoice;
use crate::console::Console;
use crate::context::{self, Home, WorkDir};
use crate::failure::{Failure, exit};
use crate::run::cancel_on_signal;
use crate::told::print_json;

/// Tools that are asked for each file, besides those that an operator registered.
const TOOLS: &[&str] =
    &["read", "list", "search", "outline", "diff", "edit", "write", "patch", "move", "remove"];

/// What verification found of a rule.
#[derive(Default)]
struct Found {
    place: String,
    tried: usize,
    /// Ways in which a lane did not do as `explain` says.
    faults: Vec<String>,
    skipped: Vec<String>,
}

/// The scratch copy and all that is asked of it.
struct Bench<'a> {
    /// What `explain` is asked.
    grant: &'a Grant,
    /// What the lanes obey: the same one, but in a test that plants a fault.
    lane: &'a Grant,
    sandbox: Sandbox,
    files: Files,
    root: PathBuf,
    /// The canary of each file that is planted.
    canaries: BTreeMap<RelPath, String>,
    seed: u64,
}

pub(super) async fn main(repo: &Path, choice: &PolicyChoice, json: bool) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let cancel = Cancel::new();
    cancel_on_signal(&cancel);
    let console = Console::new();
    let folder = std::path::absolute(repo)?;
    let name = context::repo_name_by_hand(choice, &folder)?;
    let mut resolved = crate::mcp::policy(choice, &name, &folder, &home)?
        .map_err(|diagnostics| context::bad_policy(&diagnostics))?;
    let sandbox = context::equip(&home, &mut resolved)?;
    let grant = resolved.grant;
    let work = home.work_dir(TaskId::generate().as_str())?;
    console.show(Update::Doing("copying the repository".into()));
    let (root, files) = copy(&home, &folder, &work)?;
    let canaries = BTreeMap::new();
    let mut bench =
        Bench { grant: &grant, lane: &grant, sandbox, files, root, canaries, seed: context::seed() };

    let probes = grant.probes();
    let mut found: BTreeMap<(String, u32, String), Found> = BTreeMap::new();
    bench.plant(&probes);
    for probe in &probes {
        if cancel.is_cancelled() {
            return Err(Failure::cancelled("cancelled").into());
        }
        let key = (probe.rule.file.clone(), probe.rule.line, probe.rule.id.clone());
        let entry = found.entry(key).or_default();
        entry.place = format!("{}:{}", probe.rule.file, probe.rule.line);
        console.show(Update::Doing(format!("trying rule {}", probe.rule.id)));
        match &probe.what {
            Probed::Files { paths, .. } => bench.try_files(paths, entry),
            Probed::Untried(why) => entry.skipped.push((*why).to_owned()),
            Probed::Command { .. } | Probed::Variable { .. } => {}
        }
    }
    console.show(Update::Doing("trying the job lane".into()));
    let jobs = bench.try_jobs(&home, &work, &probes, &cancel, &mut found).await?;
    console.close();
    if cancel.is_cancelled() {
        return Err(Failure::cancelled("cancelled").into());
    }

    let faults: usize = found.values().map(|found| found.faults.len()).sum();
    let tried: usize = found.values().map(|found| found.tried).sum();
    if json {
        let rules = found.iter().map(|((file, line, id), found)| {
            json!({"rule": id, "file": file, "line": line, "tried": found.tried, "faults": found.faults,
                   "skipped": found.skipped})
        });
        print_json(&json!({
            "ok": faults == 0, "repo": name, "grant": grant.digest(), "tried": tried, "faults": faults,
            "job_lane": jobs.as_ref().map_or_else(|why| json!({"skipped": why}), |tried| json!({"tried": tried})),
            "rules": rules.collect::<Vec<_>>(),
        }));
    } else {
        for ((.., id), found) in &found {
            for fault in &found.faults {
                println!("rule {id} ({}) does not hold: {}", found.place, escape_name(fault.as_bytes()));
            }
            let skipped: BTreeSet<&String> = found.skipped.iter().collect();
            for why in skipped {
                println!("rule {id} ({}) was not tried: {}", found.place, escape_name(why.as_bytes()));
            }
        }
        match &jobs {
            Ok(jobs) => {
                println!("{tried} things tried of {}, {jobs} of them in jobs", counted(found.len(), "rule"))
            }
            Err(why) => println!(
                "{tried} things tried of {}; the job lane was skipped: {why}",
                counted(found.len(), "rule")
            ),
        }
        if faults == 0 {
            println!("every rule that was tried holds, as `gloaming policy explain` says");
        } else {
            println!("{} where a lane does not do as the policy says", counted(faults, "place"));
        }
    }
    Ok(ExitCode::from(if faults == 0 { exit::OK } else { exit::BLOCK }))
}

/// Makes the scratch copy: of the commit, or of a folder that is no repository.
fn copy(home: &Home, folder: &Path, work: &WorkDir) -> anyhow::Result<(PathBuf, Files)> {
    let root = work.path().join("tree");
    let committed = Repository::open(folder, &work.path().join("git"))
        .and_then(|repository| repository.checkout(&repository.resolve(None)?, &root).map(|_| ()));
    match committed {
        Ok(()) => {}
        Err(RepoError::NotGit { .. } | RepoError::NoCommits(_) | RepoError::UnbornHead { .. }) => {
            let inside = root
                .parent()
                .and_then(|parent| parent.canonicalize().ok())
                .zip(folder.canonicalize().ok())
                .is_some_and(|(work, folder)| work.starts_with(folder));
            if inside {
                return Err(Failure::usage(format!("the scratch copy would lie in {}", folder.display()))
                    .hint("set GLOAMING_HOME to a folder outside of it")
                    .into());
            }
            plain_copy(folder, &root)?;
        }
        Err(error) => return Err(crate::run::repo_failure(error)),
    }
    let base = GitBase::head(folder, &home.cache.join("git"));
    let files =
        Files::open(&root).map_err(|error| Failure::infrastructure("open the scratch copy", error))?;
    Ok((root, files.with_base(Arc::new(base))))
}

fn plain_copy(folder: &Path, root: &Path) -> anyhow::Result<()> {
    gloaming_workspace::copy_tree(folder, root)
        .map_err(|error| Failure::usage(format!("cannot copy {}: {error}", folder.display())).into())
}

impl Bench<'_> {
    fn canary(&self, path: &RelPath) -> String {
        format!("CANARY{}", &Digest::of(format!("{} {path}", self.seed)).hex()[..20])
    }

    fn host(&self, path: &RelPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    /// Plants a canary for each rule's samples. A file of the repository is overwritten: the copy is ours.
    fn plant(&mut self, probes: &[Probe]) {
        for probe in probes {
            let Probed::Files { paths, .. } = &probe.what else { continue };
            for path in paths {
                let canary = self.canary(path);
                if self.write(path, &canary) {
                    self.canaries.insert(path.clone(), canary);
                }
            }
        }
        // A file in the way of another's folder is no canary any more.
        let root = self.root.clone();
        self.canaries.retain(|path, _| root.join(path.as_str()).is_file());
    }

    fn write(&self, path: &RelPath, canary: &str) -> bool {
        let host = self.host(path);
        let Some(parent) = host.parent() else { return false };
        // Never through a link, which the repository may have put there to lead out of the copy, and never into what
        // is no file: a named pipe would wait for ever.
        let linked = parent.ancestors().take_while(|at| *at != self.root).any(Path::is_symlink);
        let free = match host.symlink_metadata() {
            Ok(metadata) => metadata.is_file(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        !linked
            && free
            && std::fs::create_dir_all(parent).is_ok()
            && std::fs::write(&host, format!("{canary}\n")).is_ok()
    }

    /// Asks every tool for a rule's files.
    fn try_files(&self, paths: &[RelPath], found: &mut Found) {
        let planted: Vec<(&RelPath, &String)> =
            paths.iter().filter_map(|path| self.canaries.get_key_value(path)).collect();
        if planted.len() < paths.len() {
            let missing = paths.len() - planted.len();
            found.skipped.push(format!("{missing} of its {} samples could not be planted", paths.len()));
        }
        for (path, canary) in planted {
            for tool in TOOLS {
                found.tried += 1;
                if let Err(fault) = self.try_tool(tool, path, canary) {
                    found.faults.push(format!("{tool} {path}: {fault}"));
                }
                // As it was, whatever the tool did.
                self.write(path, canary);
            }
            for fault in self.ways_round(path, canary, &mut found.tried) {
                found.faults.push(fault);
            }
        }
    }

    /// Calls a tool as an agent's call would come; what it answers, with its error's code.
    fn call(&self, tool: &str, args: &Value) -> (Option<ToolErrorCode>, String) {
        match self.lane.permit_tool(tool) {
            Err(denial) => (Some(ToolErrorCode::Denied), denial.to_string()),
            Ok(permit) => {
                let outcome = self.sandbox.call(&permit, &self.files, args).outcome;
                let code = outcome.error.as_ref().map(|error| error.code);
                (code, outcome.for_model())
            }
        }
    }

    /// Holds one tool's answer against what `explain` says.
    fn try_tool(&self, tool: &str, path: &RelPath, canary: &str) -> Result<(), String> {
        let explained = self.grant.explain(&format!("{tool} {path}"))?;
        // Of `list` the answer is that for a folder; a file is listed where it may be read, too.
        let listed = tool != "list" || self.grant.allows("list", Access::Read, path);
        let allowed = explained.is_allow() && listed;
        let says = |allowed: bool| if allowed { "allow" } else { "deny" };
        let name = path.as_str();
        let parent = path.parent().unwrap_or_else(RelPath::root);
        let beside = parent.join("gloaming-moved-canary").map_err(|error| error.to_string())?;
        let args = match tool {
            "list" if parent.is_root() => json!({"hidden": true, "ignored": true, "limit": 5000}),
            "list" => json!({"path": parent, "hidden": true, "ignored": true, "limit": 5000}),
            "search" => json!({"path": name, "pattern": canary, "hidden": true, "ignored": true}),
            "edit" => json!({"path": name, "old": canary, "new": "changed"}),
            "write" => json!({"path": name, "content": "changed\n", "overwrite": true}),
            "patch" => json!({"patch": format!(
                "--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{canary}\n+changed\n"
            )}),
            "move" => json!({"from": name, "to": beside}),
            _ => json!({"path": name}),
        };
        // Quoting of odd names in a diff is a matter of its own.
        let odd =
            tool == "patch" && name.contains(|c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\\'));
        if odd {
            return Ok(());
        }
        let (code, answer) = self.call(tool, &args);
        let content = std::fs::read_to_string(self.host(path)).unwrap_or_default();
        let changed = content != format!("{canary}\n");
        let moved = std::fs::remove_file(self.host(&beside)).is_ok();
        let disagrees = |what: &str| {
            let rule = format!("rule {} ({}:{})", explained.rule, explained.file, explained.line);
            Err(format!("explain says {} by {rule}, and {what}: {}", says(allowed), first_line(&answer)))
        };
        // The name of a file that may not be listed is in no listing.
        if tool == "list" {
            let shown = answer.lines().any(|line| line.trim_end_matches('/') == name);
            let cut = answer.contains("cursor");
            return match (allowed, shown) {
                (true, false) if code.is_none() && !cut => disagrees("the list leaves it out"),
                (false, true) => disagrees("the list names it"),
                _ => Ok(()),
            };
        }
        if !allowed {
            let readable = self.grant.explain(&format!("read {path}"))?.is_allow();
            if changed || moved {
                return disagrees("it changed the file");
            }
            if !readable && answer.contains(canary) {
                return disagrees("the answer holds the content");
            }
            // Those that look at many files find none instead.
            let walks = matches!(tool, "search" | "outline" | "diff");
            if code.is_none() && !walks {
                return disagrees("the tool did it");
            }
            let plain = matches!(tool, "read" | "edit" | "write" | "remove");
            if plain && code != Some(ToolErrorCode::Denied) {
                return disagrees("the tool refuses it for another reason");
            }
            return Ok(());
        }
        match code {
            Some(ToolErrorCode::Denied) if tool == "move" => {
                // Its other end has a rule of its own.
                let other = self.grant.explain(&format!("write {beside}"))?;
                if other.is_allow() { disagrees("the tool is denied it") } else { Ok(()) }
            }
            Some(ToolErrorCode::Denied) => disagrees("the tool is denied it"),
            Some(_) if matches!(tool, "read" | "edit" | "write" | "remove") => disagrees("the tool fails"),
            // An outline of what is no source file, and the like.
            _ if WRITING_TOOLS.contains(&tool) && code.is_none() && !changed && !moved => {
                disagrees("the tool changed nothing")
            }
            None if matches!(tool, "read" | "search") && !answer.contains(canary) => {
                disagrees("the answer lacks the content")
            }
            _ => Ok(()),
        }
    }

    /// Other ways to a file that may not be read, or not be changed: other spellings, links, and renames onto it.
    fn ways_round(&self, path: &RelPath, canary: &str, tried: &mut usize) -> Vec<String> {
        let mut faults = Vec::new();
        let readable = self.grant.allows("read", Access::Read, path);
        let writable = WRITING_TOOLS.iter().any(|tool| self.grant.allows(tool, Access::Write, path));
        let name = path.as_str();
        let link = RelPath::parse("gloaming-link-to-a-canary").expect("a constant path is a good one");
        let hard = RelPath::parse("gloaming-second-name").expect("a constant path is a good one");
        let _ = std::os::unix::fs::symlink(self.host(path), self.host(&link));
        let linked = std::fs::hard_link(self.host(path), self.host(&hard)).is_ok();
        let spellings = [
            format!("./{name}"),
            format!("/{name}"),
            format!("x/../{name}"),
            format!("{name}/"),
            name.replace('/', "//"),
            name.to_uppercase(),
            link.to_string(),
            hard.to_string(),
        ];
        for spelling in spellings {
            if spelling == name || (spelling == hard.as_str() && !linked) {
                continue;
            }
            *tried += 1;
            let (code, answer) = self.call("read", &json!({"path": spelling}));
            if !readable && answer.contains(canary) {
                faults
                    .push(format!("read {spelling}: it gives the content of {path}, which may not be read"));
            }
            let target = json!({"path": spelling, "content": "changed\n", "overwrite": true});
            let _ = self.call("write", &target);
            let content = std::fs::read_to_string(self.host(path)).unwrap_or_default();
            if !writable && content != format!("{canary}\n") {
                faults.push(format!(
                    "write {spelling}: it changes {path}, which may not be changed ({code:?})"
                ));
            }
            self.write(path, canary);
        }
        let _ = std::fs::remove_file(self.host(&link));
        let _ = std::fs::remove_file(self.host(&hard));
        if !writable {
            // A name that is free, and then not.
            *tried += 1;
            let source = RelPath::parse("gloaming-moved-canary").expect("a constant path is a good one");
            let _ = std::fs::remove_file(self.host(path));
            if self.write(&source, "harmless") {
                let _ = self.call("move", &json!({"from": source, "to": name}));
                if self.host(path).exists() {
                    faults.push(format!("move {source} {path}: it makes a file where none may be made"));
                }
                let _ = std::fs::remove_file(self.host(&source));
            }
            self.write(path, canary);
        }
        faults
    }

    /// Runs jobs on a copy as every job has one. The error says why the lane was skipped.
    async fn try_jobs(
        &self,
        home: &Home,
        work: &WorkDir,
        probes: &[Probe],
        cancel: &Cancel,
        found: &mut BTreeMap<(String, u32, String), Found>,
    ) -> anyhow::Result<Result<usize, String>> {
        let mut tried = 0;
        let at = |probe: &Probe| (probe.rule.file.clone(), probe.rule.line, probe.rule.id.clone());
        for probe in probes {
            let (purpose, call, denied) = match &probe.what {
                Probed::Command { purpose, argv } => {
                    let denied = self.lane.permit_command(*purpose, argv, []).is_err();
                    (purpose, format!("check {} {}", purpose.as_str(), shell_words::join(argv)), denied)
                }
                Probed::Variable { purpose, name } => {
                    let argv = ["true".to_owned()];
                    let plain = self.lane.permit_command(*purpose, &argv, []).is_err();
                    let denied = self.lane.permit_command(*purpose, &argv, [name]).is_err();
                    if plain {
                        continue;
                    }
                    (purpose, format!("env {} {name}", purpose.as_str()), denied)
                }
                _ => continue,
            };
            let entry = found.entry(at(probe)).or_default();
            entry.tried += 1;
            tried += 1;
            let allowed = self.grant.explain(&call).map_err(Failure::usage)?.is_allow();
            if allowed == denied {
                entry
                    .faults
                    .push(format!("{call}: explain and the permit for {} jobs differ", purpose.as_str()));
            }
        }
        let engine = match crate::engine::open(home, self.grant, None, None).await?.engine {
            Ok(engine) => engine,
            Err(error) => return Ok(Err(error.to_string())),
        };
        for probe in probes {
            let Probed::Command { purpose, argv } = &probe.what else { continue };
            let told = self.grant.explain(&format!("check {} {}", purpose.as_str(), shell_words::join(argv)));
            let by_rule = told.is_ok_and(|told| !told.is_allow() && told.rule == probe.rule.id);
            let Ok(permit) = self.lane.permit_job(*purpose) else { continue };
            if !by_rule {
                continue;
            }
            let tree = work.path().join("job-denied");
            std::fs::create_dir_all(&tree).map_err(|error| Failure::disk("make a job's folder", error))?;
            let job = Job {
                argv: argv.clone(),
                cwd: RelPath::root(),
                env: BTreeMap::new(),
                workspace: tree,
                scratch: None,
                mounts: Vec::new(),
                egress: None,
                label: "verify-denied".into(),
            };
            let entry = found.entry(at(probe)).or_default();
            entry.tried += 1;
            tried += 1;
            if !matches!(engine.run(&permit, &job, cancel).await, Err(JobError::Denied { .. })) {
                entry.faults.push(format!("{}: the engine runs it", shell_words::join(argv)));
            }
        }
        for purpose in JobPurpose::ALL {
            let permit = match self.lane.permit_job(*purpose) {
                Ok(permit) => permit,
                Err(denial) => {
                    let key = (denial.rule.file.clone(), denial.rule.line, denial.rule.id.clone());
                    let entry = found.entry(key).or_default();
                    entry.place = format!("{}:{}", denial.rule.file, denial.rule.line);
                    entry
                        .skipped
                        .push(format!("no {} job may run, so none tried that lane", purpose.as_str()));
                    continue;
                }
            };
            let tree = work.path().join(format!("job-{}", purpose.as_str()));
            let prepared = gloaming_workspace::copy_tree(&self.root, &tree).and_then(|()| {
                gloaming_workspace::withhold(&tree, &|path| self.lane.withheld(path).is_some())
            });
            prepared.map_err(|error| Failure::disk("copy the tree for a job", error))?;
            let listener = std::net::TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|error| Failure::infrastructure("listen on a local port", error))?;
            let port = listener.local_addr().map_or(0, |address| address.port());
            let token = self.canary(&RelPath::root());
            let script = format!(
                "command -v find grep >/dev/null || exit 126; \
                 find . -type f -exec grep -haoE 'CANARY[0-9a-f]{{20}}' {{}} +; echo x > gloaming-written-by-a-job; \
                 (exec 3<>/dev/tcp/127.0.0.1/{port} && echo {token} >&3) 2>/dev/null && echo CONNECTED; true"
            );
            let job = Job {
                argv: vec!["bash".into(), "-c".into(), script],
                cwd: RelPath::root(),
                env: BTreeMap::new(),
                workspace: tree.clone(),
                scratch: None,
                mounts: Vec::new(),
                egress: None,
                label: format!("verify-{}", purpose.as_str()),
            };
            match engine.run(&permit, &job, cancel).await {
                Ok(output) => tried += self.judge_job(&output, *purpose, probes, found, &listener),
                Err(JobError::Denied { denial, .. }) => {
                    let place = format!("{}:{}", denial.rule.file, denial.rule.line);
                    let key = (denial.rule.file.clone(), denial.rule.line, denial.rule.id.clone());
                    let why = format!("it denies the {} job that would try the lane", purpose.as_str());
                    let entry = found.entry(key).or_default();
                    entry.place = place;
                    entry.skipped.push(why);
                }
                Err(error) => return Err(Failure::infrastructure("run a job", error).into()),
            }
            let _ = std::fs::remove_dir_all(&tree);
        }
        Ok(Ok(tried))
    }

    /// What a job that printed every file was shown.
    fn judge_job(
        &self,
        output: &JobOutput,
        purpose: JobPurpose,
        probes: &[Probe],
        found: &mut BTreeMap<(String, u32, String), Found>,
        listener: &std::net::TcpListener,
    ) -> usize {
        let mut tried = 0;
        let printed = String::from_utf8_lossy(&output.stdout);
        let ran = output.record.exit.success();
        for probe in probes {
            let Probed::Files { paths, .. } = &probe.what else { continue };
            let key = (probe.rule.file.clone(), probe.rule.line, probe.rule.id.clone());
            let entry = found.entry(key).or_default();
            for (path, canary) in paths.iter().filter_map(|path| self.canaries.get_key_value(path)) {
                entry.tried += 1;
                tried += 1;
                let shown = printed.contains(canary.as_str());
                let withheld = self.grant.withheld(path);
                let mut fault = String::new();
                match (&withheld, shown) {
                    (Some(denial), true) => {
                        let _ =
                            write!(fault, "rule {} keeps it from jobs, and one printed it", denial.rule.id);
                    }
                    // Git's own folder is no part of the copy, and output beyond the limit is cut.
                    (None, false) if ran && output.dropped == 0 && !path.as_str().starts_with(".git/") => {
                        fault.push_str("no rule keeps it from jobs, and one did not find it");
                    }
                    _ => {}
                }
                if !fault.is_empty() {
                    entry.faults.push(format!("{} job, {path}: {fault}", purpose.as_str()));
                }
            }
        }
        let floor = found.entry(("builtin:floor".into(), 1, "job-lane".into())).or_default();
        floor.place = "builtin:floor:1".into();
        floor.tried += 2;
        if !ran {
            let why = format!(
                "the {} job that prints every file ended with {}",
                purpose.as_str(),
                output.record.exit
            );
            floor.skipped.push(why);
        }
        if output.dropped > 0 {
            floor.skipped.push(format!("the {} job printed more than is kept", purpose.as_str()));
        }
        // Some other program of this machine may have come by.
        let token = self.canary(&RelPath::root());
        let reached = listener.accept().is_ok_and(|(mut stream, _)| {
            let mut said = vec![0; token.len()];
            let patient = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_read_timeout(Some(std::time::Duration::from_secs(2))));
            patient.and_then(|()| stream.read_exact(&mut said)).is_ok() && said == token.as_bytes()
        });
        if reached || printed.contains("CONNECTED") {
            floor.faults.push(format!("a {} job reached the host's network", purpose.as_str()));
        }
        if self.root.join("gloaming-written-by-a-job").exists() {
            floor.faults.push(format!("what a {} job wrote is in the workspace", purpose.as_str()));
        }
        tried + 2
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gloaming_policies::{Layer, parse};

    fn grant(text: &str) -> Grant {
        let file = parse("p.toml", text).unwrap();
        Grant::resolve(&"acme/api".parse().unwrap(), vec![(Layer::Operator, file)]).unwrap()
    }

    /// A lane that does otherwise than `explain` says is found, whichever way, and by which rule is told.
    #[test]
    fn a_lane_that_does_not_hold_is_found() {
        let open = grant("schema = 1\nextends = [\"preset:standard\"]\n");
        let strict = grant(
            "schema = 1\nextends = [\"preset:standard\"]\n[[deny]]\nid = \"kept\"\ntools = [\"*\"]\npaths = [\"kept/*.rs\"]\n\
             because = \"x\"\n",
        );
        for (says, does, want) in [(&strict, &open, true), (&strict, &strict, false), (&open, &strict, true)]
        {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("tree");
            std::fs::create_dir(&root).unwrap();
            let cache = Home { data: dir.path().to_owned(), cache: dir.path().join("cache") };
            let sandbox = context::built_in_sandbox(&cache).unwrap();
            let files = Files::open(&root).unwrap();
            let mut bench =
                Bench { grant: says, lane: does, sandbox, files, root, canaries: BTreeMap::new(), seed: 7 };
            let probes: Vec<Probe> =
                strict.probes().into_iter().filter(|probe| probe.rule.id == "kept").collect();
            bench.plant(&probes);
            let mut found = Found::default();
            for probe in &probes {
                let Probed::Files { paths, .. } = &probe.what else { panic!() };
                bench.try_files(paths, &mut found);
            }
            assert!(found.tried > 20);
            assert_eq!(!found.faults.is_empty(), want, "{:?}", found.faults);
            if want {
                for tool in ["read", "list", "search", "edit", "write", "patch", "move", "remove"] {
                    let told = found.faults.iter().any(|fault| fault.starts_with(&format!("{tool} ")));
                    assert!(told, "{tool}: {:?}", found.faults);
                }
            }
        }
    }
}
