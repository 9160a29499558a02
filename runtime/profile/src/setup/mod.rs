//! The set-up phase: the install command, run once for what it fetches, and the folders the jobs behind it see of that.
//!
//! A set-up job has the allowance of `[jobs.setup]` and of no other kind of job; what it fetched is kept in a cache
//! ([`Caches`]) by repository and by what decided it (lockfiles or manifests, the command, the environment), and is
//! mounted read-only from then on. docs/jobs.md has the rules.
//!
//! Invariants, each a test:
//! - only a set-up job that succeeded leaves a cache; one that failed or was killed leaves nothing;
//! - no build, test or lint job can write to it, and no other repository sees it;
//! - what a patch's own lockfile or manifest fetched is never what an untouched tree gets.

mod content;
mod fill;
mod key;
mod note;
mod plan;
mod python;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use gloaming_api::job::{CachedRun, JobPurpose, JobRecord};
use gloaming_api::profile::{Command, Ecosystem};
use gloaming_api::{Digest, RelPath, RepoId};
use gloaming_jobs::{Cache, Caches, Cancel, Egress, Engine, Feature, Found, Job, JobError, Mount};
use gloaming_policies::{Grant, JobPermit};
use jiff::Timestamp;

use self::content::About;
use self::fill::{Fill, Work};
use self::plan::Plan;
use crate::tree::Tree;
pub use why::Lack;

/// Part of every key; a change of what is kept, or how, raises it.
const VERSION: u32 = 2;

/// Where a repository's dependencies are kept, and by which road they are fetched.
#[derive(Clone, Copy)]
pub struct Provision<'a> {
    /// The repository's name, as policy knows it.
    pub repo: &'a RepoId,
    /// The caches of all repositories.
    pub caches: &'a Caches,
    /// What the operator says about jobs' network; none where jobs have none.
    pub egress: Option<&'a Egress>,
    /// What was set up for the base before; none where whoever first runs a job is to do it.
    pub base: Option<&'a Dependencies>,
}

impl Provision<'_> {
    /// Returns what a job of this permit is to be given as [`Job::egress`]: none where the engine could not hold it to
    /// the hosts its policy names, since then it is better off without network than not run.
    pub fn egress_for(&self, engine: &dyn Engine, permit: &JobPermit) -> Option<Egress> {
        let able = permit.has_network() && engine.capabilities().has(Feature::Hosts);
        self.egress.filter(|_| able).cloned()
    }
}

/// Whose tree is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupTree<'a> {
    /// A commit of the repository's.
    Base,
    /// A tree that a patch made, by the id of the whole of it: what its set-up runs is the patch's, so no other tree
    /// gets what it fetched.
    Patched(&'a str),
}

/// What a set-up is made of.
pub struct SetupInputs<'a> {
    /// Where dependencies are kept.
    pub provision: Provision<'a>,
    /// The profile's install command; where there is none, nothing is done.
    pub command: Option<&'a Command>,
    /// The profile's languages, for a command whose program is not known.
    pub ecosystems: &'a [Ecosystem],
    /// The policy.
    pub grant: &'a Grant,
    /// Where the job runs.
    pub engine: &'a dyn Engine,
    /// Digest of the environment jobs run in.
    pub environment: &'a Digest,
    /// A checkout of the tree; it is only read.
    pub tree: &'a Path,
    /// Whose it is.
    pub whose: SetupTree<'a>,
    /// A folder of the host that does not exist yet; made, and removed again.
    pub work_dir: &'a Path,
    /// Told what is being run.
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Ends it early.
    pub cancel: &'a Cancel,
}

/// A set-up could not be carried through; never the command's own failure.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It was told to stop.
    #[error("the set-up was cancelled")]
    Cancelled,
    /// The job could not be run.
    #[error("cannot run the set-up command as a job")]
    Job(#[from] JobError),
    /// A folder of the host failed us.
    #[error("{doing}")]
    Io {
        /// Operation and subject.
        doing: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> SetupError {
    let doing = doing.into();
    move |source| SetupError::Io { doing, source }
}

/// What jobs see of what a set-up fetched; as long as it lives, nobody removes it. Without any, jobs have what their
/// environment has.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    cache: Option<Arc<Cache>>,
    about: Option<About>,
    /// The files that decided what was fetched.
    decided_by: BTreeMap<RelPath, Digest>,
    records: Vec<JobRecord>,
    reused: bool,
    lack: Option<Lack>,
}

impl Dependencies {
    /// Whether another tree's set-up would fetch the same: the files that decide are the same in both.
    /// Files of `but` do not count.
    pub fn decided_alike(&self, other: &BTreeMap<RelPath, Digest>, but: &BTreeSet<RelPath>) -> bool {
        let counts = |(path, _): &(&RelPath, &Digest)| !but.contains(*path);
        self.decided_by.iter().filter(counts).eq(other.iter().filter(counts))
    }

    /// Returns the records of the set-up's jobs, also of those that failed. Of a set-up before, whose cache or failure is
    /// used again ([`Dependencies::reused`]), they say so ([`JobRecord::cached`]).
    pub fn records(&self) -> &[JobRecord] {
        &self.records
    }

    /// Returns what tells what one set-up fetched from what another did, also where both were to fetch the same; none
    /// where there is nothing.
    pub fn id(&self) -> Option<Digest> {
        self.about.as_ref().map(Digest::of_json)
    }

    /// Returns the record of the install command itself, or of what failed before it.
    pub(crate) fn installed(&self) -> Option<&JobRecord> {
        let own = self.records.iter().rev().find(|record| !python::is_ours(&record.argv));
        own.or(self.records.last())
    }

    /// Whether a set-up before has fetched them, or failed to.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Returns why there are none where the repository wants some.
    pub fn lack(&self) -> Option<&Lack> {
        self.lack.as_ref()
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.cache.is_none()
    }

    /// Lets a job see them: adds mounts, all read-only, and variables that lead there, and makes the places for the
    /// mounts in its workspace. `own` is a folder of the host, made where it is needed, for what tools write beside
    /// the dependencies; it must be another for each job.
    ///
    /// # Errors
    /// The workspace or `own` cannot be written.
    pub fn equip(&self, job: &mut Job, own: &Path) -> io::Result<()> {
        let (Some(cache), Some(about)) = (&self.cache, &self.about) else { return Ok(()) };
        let parts = plan::parts_named(&about.parts);
        for part in &parts {
            let host = content::part(cache.dir(), part);
            job.mounts.push(Mount { host, container: part.mount.to_owned(), writable: false });
        }
        for (name, value) in plan::env_of(&parts) {
            job.env.entry(name).or_insert(value);
        }
        for (number, folder) in about.tree.iter().enumerate() {
            if !content::make_place(&job.workspace, &folder.path)? {
                continue;
            }
            let container = format!("{}/{}", gloaming_api::path::WORKSPACE_MOUNT, folder.path);
            for name in &folder.written {
                let host = own.join(format!("{number}-{}", name.trim_start_matches('.')));
                content::open_folder(&host)?;
                let container = format!("{container}/{name}");
                job.mounts.push(Mount { host, container, writable: true });
            }
            let host = content::in_tree(cache.dir(), number);
            job.mounts.push(Mount { host, container, writable: false });
        }
        // The folder before what lies in it.
        job.mounts.sort_by(|a, b| a.container.cmp(&b.container));
        Ok(())
    }

    fn lacking(lack: Lack, records: Vec<JobRecord>, decided_by: BTreeMap<RelPath, Digest>) -> Self {
        Self { lack: Some(lack), records, decided_by, ..Self::default() }
    }
}

/// Gives a job that only asks its package registry places of its own, empty ones below `dir`, for what it fetches: neither
/// the machine's nor any cache, and nobody gets what it leaves there.
///
/// # Errors
/// `dir` is there already, or cannot be made.
pub fn own_places(job: &mut Job, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let words: Vec<&str> = job.argv.iter().map(String::as_str).collect();
    job.mounts.extend(content::begin(dir, &plan::parts_of(&words))?);
    Ok(())
}

/// Returns the files of a checkout that say what an install command fetches or runs: manifests, lockfiles, scripts. The code
/// that it only copies is not among them.
pub fn deciding(checkout: &Path, command: &Command, ecosystems: &[Ecosystem]) -> BTreeSet<RelPath> {
    let plan = Plan::of(command, ecosystems);
    let ecosystems = plan.as_ref().map_or(ecosystems, |plan| plan.ecosystems.as_slice());
    key::named_by(&Tree::walk(checkout), command, ecosystems).0
}

/// Returns the files of a tree that decide what its set-up fetches, each with the digest of its content.
pub fn decided_by(inputs: &SetupInputs<'_>) -> BTreeMap<RelPath, Digest> {
    let Some(command) = inputs.command else { return BTreeMap::new() };
    let Ok(plan) = Plan::of(command, inputs.ecosystems) else { return BTreeMap::new() };
    let hidden = |path: &RelPath| inputs.grant.withheld(path).is_some();
    key::deciding(&Tree::walk(inputs.tree), command, &plan.ecosystems, &hidden)
}

/// Returns what the install command fetches for a tree: from the cache, or by running it as a set-up job on a copy of the
/// tree. Of two that want the same the second waits for the first.
///
/// That the policy does not let it run, that it would need a network it has not, or that it fails, is no error:
/// [`Dependencies::lack`] says so, and jobs go on with what their environment has. One that failed without network is not
/// run again for the same tree; its failure is told again.
///
/// # Errors
/// Infrastructure and cancellation.
pub async fn set_up(inputs: &SetupInputs<'_>) -> Result<Dependencies, SetupError> {
    obtain(inputs, Failures::Remembered).await
}

/// The same as [`set_up`], but a command that failed before is run again whatever it was that it failed of.
///
/// # Errors
/// As those of [`set_up`].
pub(crate) async fn set_up_again(inputs: &SetupInputs<'_>) -> Result<Dependencies, SetupError> {
    obtain(inputs, Failures::TriedAgain).await
}

/// What becomes of a command that is known to fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failures {
    Remembered,
    TriedAgain,
}

async fn obtain(inputs: &SetupInputs<'_>, failures: Failures) -> Result<Dependencies, SetupError> {
    let Some(command) = inputs.command else { return Ok(Dependencies::default()) };
    let decided_by = decided_by(inputs);
    let plan = match Plan::of(command, inputs.ecosystems) {
        Ok(plan) => plan,
        Err(reason) => {
            return Ok(Dependencies::lacking(Lack::not_kept(command, &reason), Vec::new(), decided_by));
        }
    };
    let permit = inputs.grant.permit_command(JobPurpose::Setup, &command.argv, command.env.keys());
    let permit = match (permit, inputs.whose) {
        (Ok(permit), SetupTree::Base) => permit,
        // What it runs is the patch's.
        (Ok(permit), SetupTree::Patched(_)) => permit.without_secrets(),
        (Err(denial), _) => {
            return Ok(Dependencies::lacking(Lack::denied(command, &denial), Vec::new(), decided_by));
        }
    };
    let Provision { repo, caches, .. } = inputs.provision;
    let egress = inputs.provision.egress_for(inputs.engine, &permit);
    let key = Digest::of_json(&serde_json::json!({
        "version": VERSION,
        "engine": inputs.engine.name(),
        "environment": inputs.environment,
        "command": [&command.argv, &command.cwd.to_string(), &command.env],
        "decided_by": &decided_by,
        "network": egress.as_ref().map(|egress| &egress.env),
        "patched": match inputs.whose {
            SetupTree::Base => None,
            SetupTree::Patched(tree) => Some(tree),
        },
    }));
    let doing = "cannot open the cache of dependencies";
    let filling = match caches.wait(repo, &key, inputs.cancel).await.map_err(failed(doing))? {
        None => return Err(SetupError::Cancelled),
        Some(Found::Filled(cache)) => {
            let (about, at) = content::read(cache.dir()).map_err(failed(format!(
                "cannot read the cache of dependencies {}",
                cache.dir().display()
            )))?;
            let records = cached(&about.records, &key, at);
            let cache = Some(Arc::new(cache));
            return Ok(Dependencies {
                cache,
                about: Some(about),
                decided_by,
                records,
                reused: true,
                lack: None,
            });
        }
        Some(Found::Empty(filling)) => filling,
    };
    // With network it may fail of somebody else's, who is well again by now.
    let offline = egress.is_none();
    if offline && failures == Failures::Remembered {
        let doing = "cannot read what is noted of a set-up that failed";
        let noted = note::read(&filling).map_err(failed(doing))?;
        if let Some((note, at)) = noted.filter(|(note, _)| note.holds(inputs.tree, &permit)) {
            let records = cached(&note.records, &key, at);
            let made = Dependencies::lacking(note.lack.again(), records, decided_by);
            return Ok(Dependencies { reused: true, ..made });
        }
    }
    let work = Work::new(inputs.work_dir)?;
    let result =
        Fill { inputs, command, plan: &plan, permit: &permit, egress, decided_by }.run(filling, &work).await;
    if let Err(error) = caches.evict() {
        (inputs.progress)(&format!("setup: old caches of dependencies could not be removed: {error}"));
    }
    result
}

/// Returns the records of jobs that were not run, since what they left is there.
fn cached(records: &[JobRecord], key: &Digest, at: SystemTime) -> Vec<JobRecord> {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    let run = CachedRun { key: key.clone(), at };
    records.iter().map(|record| JobRecord { cached: Some(run.clone()), ..record.clone() }).collect()
}
