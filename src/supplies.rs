//! Where jobs' dependencies are kept: `$GLOAMING_HOME/cache/dependencies`, shared by all commands that run jobs.

use std::path::Path;

use gloaming_api::profile::CommandKind;
use gloaming_api::{Digest, Profile, RepoId};
use gloaming_jobs::{Caches, Cancel, Engine};
use gloaming_policies::{Grant, units};
use gloaming_profile::{Dependencies, Provision, SetupError, SetupInputs, SetupTree};
use gloaming_worker::Supplies;
use gloaming_worker::Update;

use crate::console::Console;
use crate::context::{self, Home};
use crate::failure::Failure;

/// How much all caches together may be, bytes, unless `GLOAMING_CACHE_SIZE` says otherwise.
const CAP: u64 = 10 << 30;

/// Opens the caches for a repository at a place, with what the operator says about jobs' network.
pub(crate) fn open(home: &Home, repo: &RepoId, location: &str) -> anyhow::Result<Supplies> {
    let cap = match context::variable("GLOAMING_CACHE_SIZE") {
        None => CAP,
        Some(text) => units::bytes(&text).ok_or_else(|| {
            Failure::usage(format!("GLOAMING_CACHE_SIZE: {text:?} is no size")).hint("write it as 20GiB")
        })?,
    };
    let egress = Some(crate::network::egress(home)?);
    let owner = context::kept_as(repo, location);
    Ok(Supplies { owner, caches: Caches::new(home.cache.join("dependencies"), cap), egress })
}

/// Returns how jobs come by a repository's dependencies.
pub(crate) fn provision<'a>(supplies: &'a Supplies, base: Option<&'a Dependencies>) -> Provision<'a> {
    Provision { repo: &supplies.owner, caches: &supplies.caches, egress: supplies.egress.as_ref(), base }
}

/// What a set-up outside of an attempt is made of.
pub(crate) struct SetUp<'a> {
    pub(crate) supplies: &'a Supplies,
    pub(crate) profile: &'a Profile,
    pub(crate) grant: &'a Grant,
    pub(crate) engine: &'a dyn Engine,
    pub(crate) environment: &'a Digest,
    /// A checkout of the base; only read.
    pub(crate) tree: &'a Path,
    /// A folder that does not exist yet.
    pub(crate) work_dir: &'a Path,
}

impl SetUp<'_> {
    /// Runs the profile's install command, or finds what it fetched before.
    pub(crate) async fn run(&self, console: &Console, cancel: &Cancel) -> anyhow::Result<Dependencies> {
        let shown = console.clone();
        let made = gloaming_profile::set_up(&SetupInputs {
            provision: provision(self.supplies, None),
            command: self.profile.command(CommandKind::Install),
            ecosystems: &self.profile.ecosystems,
            grant: self.grant,
            engine: self.engine,
            environment: self.environment,
            tree: self.tree,
            whose: SetupTree::Base,
            work_dir: self.work_dir,
            progress: &move |text: &str| shown.show(Update::Doing(text.to_owned())),
            cancel,
        })
        .await;
        let made = made.map_err(|error| match error {
            SetupError::Cancelled => anyhow::Error::from(Failure::cancelled("cancelled")),
            error => Failure::infrastructure("set up the dependencies", error).into(),
        })?;
        if let Some(lack) = made.lack() {
            console.show(Update::Note(format!("{lack}; the job goes on with what this machine has")));
        }
        Ok(made)
    }
}
