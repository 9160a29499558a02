//! The dependencies of the trees on a bench: set up once for the base, and for a patched tree where its patch changes
//! what decides them.

use gloaming_api::evidence::JobEvidence;
use gloaming_api::profile::CommandKind;
use gloaming_profile::{Dependencies, Lack, Provision, SetupInputs, SetupTree, decided_by, set_up};

use crate::VerifyError;
use crate::bench::{Bench, Lane, Scratch};
use crate::outcome::Outcome;

impl Bench<'_> {
    /// Returns the dependencies for what runs with a scratch folder; sets them up when they are first asked for.
    pub(crate) async fn dependencies(&mut self, scratch: Scratch) -> Result<Dependencies, VerifyError> {
        let Some(provision) = self.inputs.provision else { return Ok(Dependencies::default()) };
        if !self.dependencies.contains_key(&Scratch::Base) {
            let made = match provision.base {
                Some(given) => given.clone(),
                None => self.set_up(provision, Scratch::Base).await?,
            };
            self.note_records(&made, "base");
            self.dependencies.insert(Scratch::Base, made);
        }
        if !self.dependencies.contains_key(&scratch) {
            let base = self.dependencies[&Scratch::Base].clone();
            let made = if self.are_decided_alike(provision, &base)? {
                base
            } else {
                let made = self.set_up(provision, scratch).await?;
                self.note_records(&made, "patched");
                made
            };
            self.dependencies.insert(scratch, made);
        }
        Ok(self.dependencies[&scratch].clone())
    }

    /// Returns why a lane has no dependencies, as far as that is known.
    pub(crate) fn lack(&self, lane: &Lane) -> Option<Lack> {
        self.dependencies.get(&lane.scratch())?.lack().cloned()
    }

    /// Returns how a patched tree's suite ends before it began: with a set-up that works on the base and fails on what
    /// the patch made of it.
    pub(crate) async fn set_up_fails(&mut self, lane: &Lane) -> Result<Option<Outcome>, VerifyError> {
        let dependencies = self.dependencies(lane.scratch()).await?;
        let works_on_base = self.dependencies.get(&Scratch::Base).is_some_and(|base| base.lack().is_none());
        let failed = dependencies.lack().filter(|lack| lack.failed && works_on_base);
        Ok(failed.map(|lack| Outcome::BuildFailed(lack.to_string())))
    }

    fn are_decided_alike(
        &mut self,
        provision: Provision<'_>,
        base: &Dependencies,
    ) -> Result<bool, VerifyError> {
        let Some((tree, id)) = self.roots.get(&Scratch::Patched).cloned() else { return Ok(true) };
        let work_dir = self.fresh("setup");
        let inputs = &self.inputs;
        let decided = decided_by(&SetupInputs {
            provision,
            command: inputs.profile.command(CommandKind::Install),
            ecosystems: &inputs.profile.ecosystems,
            grant: inputs.grant,
            engine: inputs.engine,
            environment: inputs.environment,
            tree: &tree,
            whose: SetupTree::Patched(&id),
            work_dir: &work_dir,
            progress: &|_| {},
            cancel: inputs.cancel,
        });
        // A new version or description fetches nothing else.
        Ok(base.decided_alike(&decided, &self.describing))
    }

    async fn set_up(
        &mut self,
        provision: Provision<'_>,
        scratch: Scratch,
    ) -> Result<Dependencies, VerifyError> {
        if !self.roots.contains_key(&scratch) {
            self.base_lane()?;
        }
        let Some((tree, id)) = self.roots.get(&scratch).cloned() else { return Ok(Dependencies::default()) };
        let work_dir = self.fresh("setup");
        let inputs = self.inputs;
        let tell = |doing: &str| {
            (inputs.progress)(crate::Progress { step: "V3".to_owned(), doing: doing.to_owned() });
        };
        let given = SetupInputs {
            provision,
            command: inputs.profile.command(CommandKind::Install),
            ecosystems: &inputs.profile.ecosystems,
            grant: inputs.grant,
            engine: inputs.engine,
            environment: inputs.environment,
            tree: &tree,
            whose: match scratch {
                Scratch::Base => SetupTree::Base,
                Scratch::Patched => SetupTree::Patched(&id),
            },
            work_dir: &work_dir,
            progress: &tell,
            cancel: inputs.cancel,
        };
        Ok(set_up(&given).await?)
    }

    /// Puts the jobs of a set-up among the evidence; of one whose cache is used again they say so.
    fn note_records(&mut self, made: &Dependencies, tree: &str) {
        let noted = made.records().iter().map(|record| JobEvidence {
            tree: format!("setup of {tree}"),
            step: "V3".to_owned(),
            record: record.clone(),
        });
        self.jobs.extend(noted);
    }
}
