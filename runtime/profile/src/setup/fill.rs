//! One set-up that is run: its folders, its jobs, and what becomes of what they wrote.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gloaming_api::job::JobExit;
use gloaming_api::profile::Command;
use gloaming_api::{Digest, RelPath};
use gloaming_jobs::{Bound, Egress, Feature, Filling, Job, JobError, Support, bytes_in, run_bounded};
use gloaming_policies::JobPermit;

use super::note::{self, Note};
use super::plan::Plan;
use super::{Dependencies, Lack, SetupError, SetupInputs, content, failed, why};
use crate::choose::words;

/// The folders of one set-up, gone with it.
pub(super) struct Work {
    dir: PathBuf,
}

impl Work {
    pub(super) fn new(dir: &Path) -> Result<Self, SetupError> {
        let doing = || failed(format!("cannot make the folder {} for a set-up", dir.display()));
        std::fs::create_dir_all(dir).map_err(doing())?;
        let work = Self { dir: dir.to_owned() };
        std::fs::create_dir(work.scratch()).map_err(doing())?;
        Ok(work)
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    fn scratch(&self) -> PathBuf {
        self.dir.join("scratch")
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What cannot be removed (files of a container's user) goes with the folder above.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A cache on its way to being filled.
pub(super) struct Fill<'a, 'i> {
    pub(super) inputs: &'a SetupInputs<'i>,
    pub(super) command: &'a Command,
    pub(super) plan: &'a Plan,
    pub(super) permit: &'a JobPermit,
    pub(super) egress: Option<Egress>,
    pub(super) decided_by: BTreeMap<RelPath, Digest>,
}

impl Fill<'_, '_> {
    /// Runs the commands, and keeps what they fetched where all of them succeed.
    ///
    /// # Errors
    /// Infrastructure and cancellation.
    pub(super) async fn run(self, filling: Filling, work: &Work) -> Result<Dependencies, SetupError> {
        let inputs = self.inputs;
        let tree = work.tree();
        gloaming_workspace::copy_tree(inputs.tree, &tree)
            .map_err(failed("cannot copy a tree for a set-up"))?;
        gloaming_workspace::withhold(&tree, &|path| inputs.grant.withheld(path).is_some())
            .map_err(failed("cannot keep files from a set-up"))?;
        let before = content::managers_folders(&tree).map_err(failed("cannot look through a tree"))?;
        let mounts = content::begin(filling.dir(), &self.plan.parts)
            .map_err(failed("cannot make the folders of a cache of dependencies"))?;
        let bounds = self.bounds(&filling, &tree, work);
        let mut records = Vec::new();
        for argv in &self.plan.commands {
            if inputs.cancel.is_cancelled() {
                return Err(SetupError::Cancelled);
            }
            let job = Job {
                argv: argv.clone(),
                cwd: self.command.cwd.clone(),
                env: self.plan.env(self.command),
                workspace: tree.clone(),
                scratch: Some(work.scratch()),
                mounts: mounts.clone(),
                egress: self.egress.clone(),
                label: "setup".to_owned(),
            };
            (inputs.progress)(&format!("setup: {}", words(self.command)));
            let ran = run_bounded(inputs.engine, self.permit, &job, inputs.cancel, &bounds).await;
            let (output, outgrown) = match ran {
                Err(JobError::Denied { denial, .. }) => {
                    let lack = Lack::denied(self.command, &denial);
                    return Ok(Dependencies::lacking(lack, records, self.decided_by));
                }
                ran => ran?,
            };
            records.push(output.record.clone());
            if let Some(outgrown) = outgrown {
                if outgrown.disk_is_full {
                    let doing = format!("cannot set up dependencies: {}", outgrown.reason);
                    return Err(failed(doing)(io::ErrorKind::StorageFull.into()));
                }
                let lack = Lack::outgrown(self.command, &outgrown.reason);
                return Ok(Dependencies::lacking(lack, records, self.decided_by));
            }
            if output.record.exit == JobExit::Cancelled || inputs.cancel.is_cancelled() {
                return Err(SetupError::Cancelled);
            }
            if !output.record.exit.success() {
                let lack = Lack::failed(self.command, &output, &self.network());
                if self.egress.is_none() && note::is_worth_one(self.command, &output) {
                    let note = Note::of(inputs.tree, self.permit, &lack, &records);
                    note.leave(filling).map_err(failed("cannot note why a set-up failed"))?;
                }
                return Ok(Dependencies::lacking(lack, records, self.decided_by));
            }
        }
        let made = self.plan.in_tree.then_some((tree.as_path(), before.as_slice()));
        let kept = content::finish(filling.dir(), &self.plan.parts, made, records.clone())
            .and_then(|about| Ok((about, filling.keep()?)));
        match kept {
            Ok((about, cache)) => Ok(Dependencies {
                cache: Some(Arc::new(cache)),
                about: Some(about),
                decided_by: self.decided_by,
                records,
                reused: false,
                lack: None,
            }),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let lack = Lack::not_kept(self.command, &error.to_string());
                Ok(Dependencies::lacking(lack, records, self.decided_by))
            }
            Err(error) => Err(failed("cannot keep a cache of dependencies")(error)),
        }
    }

    /// How much the set-up may write: what is kept of it no more than all caches together may be, and the rest no more than
    /// any job's scratch folder holds.
    fn bounds(&self, filling: &Filling, tree: &Path, work: &Work) -> [Bound; 2] {
        let kept = Bound {
            folders: vec![filling.dir().to_owned(), tree.to_owned()],
            before: bytes_in(tree),
            most: self.inputs.provision.caches.cap(),
            named: "what all caches together may take".to_owned(),
        };
        let scratch = Bound {
            folders: vec![work.scratch()],
            before: 0,
            most: self.permit.limits().scratch,
            named: "what a job's scratch folder may hold".to_owned(),
        };
        [kept, scratch]
    }

    /// What there is of a network, for people.
    fn network(&self) -> why::Network {
        let inputs = self.inputs;
        match &self.egress {
            Some(egress) => {
                let unfilled = self.permit.unfilled_sets(&egress.sets);
                why::Network::Hosts { unfilled: unfilled.iter().map(ToString::to_string).collect() }
            }
            None if !self.permit.has_network() => why::Network::NotAllowed,
            None => match inputs.engine.capabilities().get(Feature::Hosts) {
                Support::No(reason) => why::Network::NotByEngine(reason.clone()),
                _ => why::Network::NotConfigured,
            },
        }
    }
}
