//! An engine whose jobs have what network their policy gives them.

use std::sync::Arc;

use gloaming_policies::JobPermit;

use crate::{BoxFuture, Cancel, Capabilities, Egress, Engine, Facts, Job, JobError, JobOutput, NoEngine};

/// Hands every job what the operator says about network, so that nobody who runs jobs has to. What may be reached is
/// the permit's to say: a job whose policy names no host has none.
#[derive(Clone)]
pub struct Networked {
    engine: Arc<dyn Engine>,
    egress: Egress,
}

impl Networked {
    /// Returns an engine that hands on what an operator says.
    pub fn new(engine: Arc<dyn Engine>, egress: Egress) -> Self {
        Self { engine, egress }
    }
}

impl Engine for Networked {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn run<'a>(
        &'a self,
        permit: &'a JobPermit,
        job: &'a Job,
        cancel: &'a Cancel,
    ) -> BoxFuture<'a, Result<JobOutput, JobError>> {
        if job.egress.is_some() || !permit.has_network() {
            return self.engine.run(permit, job, cancel);
        }
        Box::pin(async move {
            let job = Job { egress: Some(self.egress.clone()), ..job.clone() };
            self.engine.run(permit, &job, cancel).await
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.engine.capabilities()
    }

    fn probe(&self) -> BoxFuture<'_, Result<Facts, NoEngine>> {
        self.engine.probe()
    }
}
