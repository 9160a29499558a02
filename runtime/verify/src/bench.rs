//! The workbench: trees, build output and jobs of one verification.
//!
//! Every run happens in a fresh copy of a pristine checkout, in a fresh container. Build output is kept per
//! scratch folder, so that the second run of a tree compiles next to nothing; whenever a scratch folder was
//! last used for another tree, every file gets the present time first, so that nothing built of that other tree
//! is taken for fresh.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gloaming_api::RelPath;
use gloaming_api::evidence::JobEvidence;
use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_api::profile::{Command, CommandKind, TestRunner};
use gloaming_jobs::{Job, JobOutput, Mount};
use gloaming_policies::{Denial, JobPermit};
use gloaming_profile::Dependencies;
use gloaming_workspace::{copy_tree, withhold};

use crate::change::Change;
use crate::outcome::{Outcome, build_end, contradiction, said};
use crate::runners::{self, Control, Invocation, REPORT_MOUNT, SCRIPT_MOUNT, TreeView};
use crate::{BaselineInputs, Progress, VerifyError, host, manifests};

/// Which build output a tree may use: what the patch's code built never meets what the base built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scratch {
    /// The untouched tree, and its tests replaced by the patch's.
    Base,
    /// The patched tree, with and without control tests.
    Patched,
}

impl Scratch {
    fn folder(self) -> &'static str {
        match self {
            Self::Base => "scratch-base",
            Self::Patched => "scratch-patched",
        }
    }
}

/// One tree that jobs run on copies of.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    name: String,
    pristine: PathBuf,
    scratch: Scratch,
    files: Vec<RelPath>,
}

impl Lane {
    /// Returns which build output and which dependencies it may use.
    pub(crate) fn scratch(&self) -> Scratch {
        self.scratch
    }

    /// Returns the checkout that no job runs in.
    pub(crate) fn view(&self) -> TreeView<'_> {
        TreeView { dir: &self.pristine, files: &self.files }
    }
}

/// One job, but for what exactly it runs.
struct Run<'r> {
    purpose: JobPurpose,
    /// The profile's command that it is made of.
    command: &'r Command,
    lane: &'r Lane,
    /// The copy of the lane to run on.
    tree: &'r Path,
    /// The folder for a report.
    report: Option<&'r Path>,
    label: &'r str,
    step: &'r str,
    /// Wall-clock seconds it may take, where that is less than the policy's.
    wall_s: Option<u64>,
}

/// One run of a suite.
#[derive(Clone, Copy)]
pub(crate) struct SuiteRun<'r> {
    /// The profile's command, or one that was made of it.
    pub(crate) command: &'r Command,
    pub(crate) lane: &'r Lane,
    /// Names the run in the evidence.
    pub(crate) label: &'r str,
    pub(crate) step: &'r str,
    /// Tests to add.
    pub(crate) controls: &'r [Control],
    /// Wall-clock seconds the tests may take, where that is less than the policy's.
    pub(crate) wall_s: Option<u64>,
}

pub(crate) struct Bench<'a> {
    pub(crate) inputs: BaselineInputs<'a>,
    pub(crate) jobs: Vec<JobEvidence>,
    serial: u32,
    /// What each scratch folder was last used for.
    used: BTreeMap<Scratch, String>,
    /// The scratch folders; each bench makes its own, so that nobody else ever wrote to them.
    scratch: BTreeMap<Scratch, PathBuf>,
    /// The checkouts, and the patched one's id, by which dependencies are set up.
    pub(crate) roots: BTreeMap<Scratch, (PathBuf, String)>,
    /// The manifests in which the patch changes nothing but what describes a package.
    pub(crate) describing: BTreeSet<RelPath>,
    /// What was set up.
    pub(crate) dependencies: BTreeMap<Scratch, Dependencies>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(inputs: BaselineInputs<'a>) -> Self {
        Self {
            inputs,
            jobs: Vec::new(),
            serial: 0,
            used: BTreeMap::new(),
            scratch: BTreeMap::new(),
            roots: BTreeMap::new(),
            describing: BTreeSet::new(),
            dependencies: BTreeMap::new(),
        }
    }

    /// Tells what is being done.
    pub(crate) fn tell(&self, step: &str, doing: impl Into<String>) {
        (self.inputs.progress)(Progress { step: step.to_owned(), doing: doing.into() });
    }

    /// Returns a folder that does not exist yet, in an existing one.
    pub(crate) fn fresh(&mut self, kind: &str) -> PathBuf {
        loop {
            self.serial += 1;
            let path = self.inputs.work_dir.join(format!("{kind}-{}", self.serial));
            if !host::exists(&path) {
                return path;
            }
        }
    }

    /// Checks out the untouched tree.
    pub(crate) fn base_lane(&mut self) -> Result<Lane, VerifyError> {
        let pristine = self.fresh("base");
        host::make_dir(&pristine).map_err(VerifyError::io("cannot make a folder for the base"))?;
        self.inputs.repository.checkout(self.inputs.base, &pristine)?;
        self.roots.insert(Scratch::Base, (pristine.clone(), self.inputs.base.to_string()));
        let entries = self.inputs.repository.list_files(self.inputs.base)?;
        let entries = entries.into_iter().filter_map(|entry| Some((entry.path.clone()?, entry))).collect();
        Ok(Lane { name: "base".into(), pristine, scratch: Scratch::Base, files: Change::regular(&entries) })
    }

    /// Checks out the patched tree.
    pub(crate) fn patched_lane(
        &mut self,
        tree: &gloaming_workspace::TreeId,
        change: &Change,
    ) -> Result<Lane, VerifyError> {
        let pristine = self.fresh("patched");
        host::make_dir(&pristine).map_err(VerifyError::io("cannot make a folder for the patched tree"))?;
        self.inputs.repository.checkout_tree(tree, &pristine)?;
        self.roots.insert(Scratch::Patched, (pristine.clone(), tree.to_string()));
        let describing = change.files.iter().filter(|diff| manifests::describes_only(diff));
        self.describing = describing.map(|diff| diff.file.path.clone()).collect();
        let files = Change::regular(&change.patched);
        Ok(Lane { name: "patched".into(), pristine, scratch: Scratch::Patched, files })
    }

    /// Makes the untouched tree with some files replaced or (with no content) removed.
    pub(crate) fn overlay_lane(
        &mut self,
        base: &Lane,
        overlay: &[(RelPath, Option<Vec<u8>>)],
    ) -> Result<Lane, VerifyError> {
        self.lane_with(base, overlay, "tests-on-base")
    }

    /// Makes a tree of another with some files replaced or (with no content) removed.
    pub(crate) fn lane_with(
        &mut self,
        from: &Lane,
        overlay: &[(RelPath, Option<Vec<u8>>)],
        name: &str,
    ) -> Result<Lane, VerifyError> {
        let pristine = self.fresh("overlay");
        copy_tree(&from.pristine, &pristine).map_err(VerifyError::io("cannot copy a tree"))?;
        for (path, content) in overlay {
            match content {
                Some(content) => host::write_in_tree(&pristine, path, content),
                None => host::remove_in_tree(&pristine, path),
            }
            .map_err(VerifyError::io("cannot put the tests of one tree on another"))?;
        }
        Ok(Lane { name: name.to_owned(), pristine, scratch: from.scratch, files: from.files.clone() })
    }

    /// Makes the patched tree with some files replaced, under a name of its own.
    pub(crate) fn overlay_of_patched(
        &mut self,
        patched: &Lane,
        name: &str,
        overlay: &[(RelPath, Option<Vec<u8>>)],
    ) -> Result<Lane, VerifyError> {
        self.lane_with(patched, overlay, name)
    }

    /// Removes a lane that nothing runs on any more.
    pub(crate) fn forget(&self, lane: Lane) {
        host::remove_dir(&lane.pristine);
    }

    /// Runs the suite on a fresh copy of a lane; once more when time or memory ran out. `label` names the
    /// run in the evidence.
    pub(crate) async fn suite(
        &mut self,
        lane: &Lane,
        label: &str,
        step: &str,
        controls: &[Control],
    ) -> Result<Outcome, VerifyError> {
        match self.inputs.profile.command(CommandKind::Test) {
            Some(command) => self.suite_by(command, lane, label, step, controls).await,
            None => Ok(Outcome::NotRun("the profile has no test command".into())),
        }
    }

    /// The same by a command that was made of the profile's.
    pub(crate) async fn suite_by(
        &mut self,
        command: &Command,
        lane: &Lane,
        label: &str,
        step: &str,
        controls: &[Control],
    ) -> Result<Outcome, VerifyError> {
        let suite = SuiteRun { command, lane, label, step, controls, wall_s: None };
        let first = self.suite_once(&suite).await?;
        if !matches!(first, Outcome::BuildLimit(_) | Outcome::SuiteLimit(_)) {
            return Ok(first);
        }
        self.tell(step, format!("{label}: a limit was reached, once more"));
        self.suite_once(&suite).await
    }

    /// Runs a suite once, whatever comes of it.
    pub(crate) async fn suite_once(&mut self, suite: &SuiteRun<'_>) -> Result<Outcome, VerifyError> {
        let lane = suite.lane;
        if let Some(ended) = self.set_up_fails(lane).await? {
            return Ok(ended);
        }
        let first_use = self.used.get(&lane.scratch).is_none_or(|last| !last.starts_with(&lane.name));
        let tree = self.tree(lane, suite.controls)?;
        let outcome = self.suite_in(suite, &tree, first_use).await;
        host::remove_dir(&tree);
        Ok(outcome?.for_want_of(self.lack(lane)))
    }

    async fn suite_in(
        &mut self,
        suite: &SuiteRun<'_>,
        tree: &Path,
        first_use: bool,
    ) -> Result<Outcome, VerifyError> {
        let SuiteRun { command, lane, label, step, wall_s, .. } = *suite;
        let profile = self.inputs.profile;
        // What a build leaves in the tree, tests may need; what cargo builds lies in the scratch folder.
        let build = profile
            .command(CommandKind::Build)
            .filter(|_| first_use || command.runner != Some(TestRunner::Cargo));
        if let Some(build) = build {
            let invocation =
                Invocation { argv: build.argv.clone(), env: build.env.clone(), scripts: Vec::new() };
            let run = Run {
                purpose: JobPurpose::Build,
                command: build,
                lane,
                tree,
                report: None,
                label,
                step: "V3",
                wall_s: None,
            };
            let output = self.job(run, &invocation).await?;
            if let Some(ended) = build_end(&build.argv, &output) {
                return Ok(ended);
            }
        }
        let prepare = match runners::prepare(command) {
            Ok(prepare) => prepare,
            Err(why) => return Ok(Outcome::NotRun(why)),
        };
        let prepared = match prepare {
            None => None,
            Some(invocation) => {
                let report = self.report_dir()?;
                let run = Run {
                    purpose: JobPurpose::Build,
                    command,
                    lane,
                    tree,
                    report: Some(&report),
                    label,
                    step: "V3",
                    wall_s: None,
                };
                let output = self.job(run, &invocation).await?;
                if let Some(ended) = build_end(&command.argv, &output) {
                    return Ok(ended);
                }
                Some(report)
            }
        };
        let invocation = match runners::run(command, prepared.as_deref()) {
            Ok(invocation) => invocation,
            Err(why) => return Ok(Outcome::NotRun(why)),
        };
        let report_dir = self.report_dir()?;
        let run = Run {
            purpose: JobPurpose::Test,
            command,
            lane,
            tree,
            report: Some(&report_dir),
            label,
            step,
            wall_s,
        };
        let output = self.job(run, &invocation).await?;
        let outcome = match output.record.exit {
            JobExit::TimedOut | JobExit::OutOfMemory => {
                Outcome::SuiteLimit(format!("the suite {}", output.record.exit))
            }
            exit => match runners::read(command, &report_dir, prepared.as_deref()) {
                Err(why) => Outcome::NotRun(format!("{why}; the suite ended with {exit}{}", said(&output))),
                Ok(report) => match contradiction(&report, exit) {
                    Some(why) => Outcome::NotRun(why),
                    None => Outcome::Ran(report),
                },
            },
        };
        host::remove_dir(&report_dir);
        if let Some(prepared) = prepared {
            host::remove_dir(&prepared);
        }
        Ok(outcome)
    }

    /// Runs a lint command on a fresh copy of a lane, as `argv`; returns how it ended and what it printed.
    pub(crate) async fn lint(
        &mut self,
        lane: &Lane,
        label: &str,
        command: &Command,
        argv: &[String],
    ) -> Result<(JobExit, String, String), VerifyError> {
        let invocation = Invocation { argv: argv.to_vec(), env: command.env.clone(), scripts: Vec::new() };
        let tree = self.tree(lane, &[])?;
        let run = Run {
            purpose: JobPurpose::Lint,
            command,
            lane,
            tree: &tree,
            report: None,
            label,
            step: "V4",
            wall_s: None,
        };
        let output = self.job(run, &invocation).await;
        host::remove_dir(&tree);
        let output = output?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.record.exit, text(&output.stdout), text(&output.stderr)))
    }

    /// Runs a suite as something that measures it wants it to be run; builds before where tests need that.
    pub(crate) async fn measured(
        &mut self,
        lane: &Lane,
        command: &Command,
        invocation: &Invocation,
        report: &Path,
        label: &str,
    ) -> Result<JobOutput, VerifyError> {
        let tree = self.tree(lane, &[])?;
        let run = |purpose, command, report| Run {
            purpose,
            command,
            lane,
            tree: &tree,
            report,
            label,
            step: "V9",
            wall_s: None,
        };
        let build = self.inputs.profile.command(CommandKind::Build);
        if let Some(build) = build.filter(|_| command.runner != Some(TestRunner::Cargo)) {
            let invocation =
                Invocation { argv: build.argv.clone(), env: build.env.clone(), scripts: Vec::new() };
            self.job(run(JobPurpose::Build, build, None), &invocation).await?;
        }
        let output = self.job(run(JobPurpose::Test, command, Some(report)), invocation).await;
        host::remove_dir(&tree);
        output
    }

    /// Permits a command of the profile; what is run may be made of it, with a report or some of its tests.
    pub(crate) fn permit(&self, purpose: JobPurpose, command: &Command) -> Result<JobPermit, Denial> {
        // A job that compiles the tests is a build job with the test command.
        let named = match purpose {
            JobPurpose::Setup => None,
            JobPurpose::Build => self.inputs.profile.command(CommandKind::Build),
            JobPurpose::Test => self.inputs.profile.command(CommandKind::Test),
            JobPurpose::Lint => Some(command),
        };
        match named {
            Some(command) => self.inputs.grant.permit_command(purpose, &command.argv, command.env.keys()),
            None => self.inputs.grant.permit_job(purpose),
        }
    }

    /// Makes a copy of a lane for one run.
    fn tree(&mut self, lane: &Lane, controls: &[Control]) -> Result<PathBuf, VerifyError> {
        let tree = self.fresh("tree");
        copy_tree(&lane.pristine, &tree).map_err(VerifyError::io("cannot copy a tree"))?;
        // On both trees alike: what no tool may read is not shown to code that prints either.
        withhold(&tree, &|path| self.inputs.grant.withheld(path).is_some())
            .map_err(VerifyError::io("cannot keep files from a job"))?;
        let other = self.used.get(&lane.scratch).is_some_and(|last| *last != lane.name);
        if other {
            host::touch_all(&tree).map_err(VerifyError::io("cannot set the times of a tree"))?;
        }
        for control in controls {
            let mut content = lane.view().read(&control.path).unwrap_or_default();
            content.push_str(&control.text);
            host::write_in_tree(&tree, &control.path, content.as_bytes())
                .map_err(VerifyError::io("cannot add control tests to a tree"))?;
        }
        let used =
            if controls.is_empty() { lane.name.clone() } else { format!("{} and controls", lane.name) };
        self.used.insert(lane.scratch, used);
        Ok(tree)
    }

    fn scratch_dir(&mut self, scratch: Scratch) -> Result<PathBuf, VerifyError> {
        if let Some(dir) = self.scratch.get(&scratch) {
            return Ok(dir.clone());
        }
        let dir = self.fresh(scratch.folder());
        host::make_dir(&dir).map_err(VerifyError::io("cannot make a scratch folder"))?;
        self.scratch.insert(scratch, dir.clone());
        Ok(dir)
    }

    pub(crate) fn report_dir(&mut self) -> Result<PathBuf, VerifyError> {
        let dir = self.fresh("report");
        host::make_open_dir(&dir).map_err(VerifyError::io("cannot make a report folder"))?;
        Ok(dir)
    }

    async fn job(&mut self, run: Run<'_>, invocation: &Invocation) -> Result<JobOutput, VerifyError> {
        let Run { purpose, command, lane, tree, report, label, step, wall_s } = run;
        if self.inputs.cancel.is_cancelled() {
            return Err(VerifyError::Cancelled);
        }
        let permit =
            self.permit(purpose, command).map_err(|denial| VerifyError::Denied { purpose, denial })?;
        let permit = match wall_s {
            Some(seconds) => permit.within(seconds),
            None => permit,
        };
        let dependencies = self.dependencies(lane.scratch).await?;
        let scratch = self.scratch_dir(lane.scratch)?;
        let mut mounts = Vec::new();
        if let Some(report) = report {
            mounts.push(Mount { host: report.to_owned(), container: REPORT_MOUNT.into(), writable: true });
        }
        let scripts = self.fresh("scripts");
        if !invocation.scripts.is_empty() {
            host::make_readable_dir(&scripts).map_err(VerifyError::io("cannot make a script folder"))?;
            for (name, content) in &invocation.scripts {
                host::write_script(&scripts, name, content)
                    .map_err(VerifyError::io("cannot write a script"))?;
            }
            mounts.push(Mount { host: scripts.clone(), container: SCRIPT_MOUNT.into(), writable: false });
        }
        self.tell(step, format!("{label}: {}", invocation.argv.join(" ")));
        let provision = self.inputs.provision;
        let mut job = Job {
            argv: invocation.argv.clone(),
            cwd: command.cwd.clone(),
            env: invocation.env.clone(),
            workspace: tree.to_owned(),
            scratch: Some(scratch),
            mounts,
            egress: provision.and_then(|provision| provision.egress_for(self.inputs.engine, &permit)),
            label: format!("{label} {step}"),
        };
        let own = self.fresh("own");
        dependencies
            .equip(&mut job, &own)
            .map_err(VerifyError::io("cannot show a job the dependencies that were set up"))?;
        let output = self.inputs.engine.run(&permit, &job, self.inputs.cancel).await?;
        host::remove_dir(&scripts);
        host::remove_dir(&own);
        if let Some(report) = report {
            host::redact(report, &output.redactor)
                .map_err(VerifyError::io("cannot take secrets out of a report"))?;
        }
        self.jobs.push(JobEvidence {
            tree: label.to_owned(),
            step: step.to_owned(),
            record: output.record.clone(),
        });
        if output.record.exit == JobExit::Cancelled || self.inputs.cancel.is_cancelled() {
            return Err(VerifyError::Cancelled);
        }
        Ok(output)
    }
}
