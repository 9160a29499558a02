//! The workers' protocol for a worker in this process: the same checks and the same writes, without HTTP.

use std::sync::Arc;

use gloaming_api::access::{Scope, TokenView};
use gloaming_api::problem::ProblemCode;
use gloaming_api::worker::{
    AttemptResult, Control, ControlError, Lease, LeaseKey, LeaseRequest, Renewal, Renewed, Uploaded,
};
use gloaming_api::{Digest, Profile};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::answer::Fault;
use crate::app::{App, Audited};
use crate::leases;

/// See the module.
#[derive(Clone)]
pub struct InProcess {
    app: Arc<App>,
    token: String,
    /// Where git finds this server, with the token in it.
    address: Option<SecretString>,
}

impl InProcess {
    pub(crate) fn new(app: Arc<App>, token: String) -> Self {
        Self { app, token, address: None }
    }

    /// Says where this server is listening for git, which is a process of its own: `http://127.0.0.1:PORT` or the like, and the
    /// token's secret for it.
    #[must_use]
    pub fn reached_at(mut self, address: &str, token: &SecretString) -> Self {
        let token = token.expose_secret();
        self.address =
            address.split_once("://").map(|(scheme, rest)| format!("{scheme}://lease:{token}@{rest}").into());
        self
    }

    fn audited(&self, action: &'static str) -> Audited {
        Audited { who: self.token.clone(), action, request_id: "in-process".to_owned() }
    }

    async fn ask<T: Send + 'static>(
        &self,
        key: &LeaseKey,
        ask: impl FnOnce(&App, &LeaseKey, &str, Timestamp) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, ControlError> {
        let (of, token) = (key.clone(), self.token.clone());
        let asked = self.app.ask(move |app, now| {
            allowed(app, &token, now)?;
            ask(app, &of, &token, now)
        });
        asked.await.and_then(|asked| asked).map_err(|fault| told(fault, Some(key)))
    }
}

/// A token that was revoked while its worker ran is not taken any more.
fn allowed(app: &App, token: &str, now: Timestamp) -> Result<TokenView, Fault> {
    match app.store.token(token)? {
        Some((token, _)) if token.allows(Scope::Worker, now) => Ok(token),
        _ => Err(Fault::new(ProblemCode::Forbidden, "the worker's token is not taken")),
    }
}

fn told(fault: Fault, key: Option<&LeaseKey>) -> ControlError {
    match (fault.code, key) {
        (ProblemCode::LeaseLost, Some(key)) => {
            ControlError::Lost { task: key.task.clone(), attempt: key.attempt }
        }
        (code, _) if code.status() >= 500 => ControlError::Away(fault.detail),
        _ => ControlError::Refused(fault.detail),
    }
}

impl Control for InProcess {
    async fn lease(&self, request: &LeaseRequest) -> Result<Option<Lease>, ControlError> {
        let id = self.token.clone();
        let token = self.app.ask(move |app, now| allowed(app, &id, now)).await.and_then(|token| token);
        let token = token.map_err(|fault| told(fault, None))?;
        let leased = leases::lease(&self.app, &token, request, &self.audited("lease")).await;
        let mut lease = leased.map_err(|fault| told(fault, None))?;
        if let (Some(lease), Some(address)) = (&mut lease, &self.address)
            && lease.clone.starts_with('/')
        {
            lease.clone.insert_str(0, address.expose_secret());
        }
        Ok(lease)
    }

    async fn renew(&self, lease: &LeaseKey, renewal: &Renewal) -> Result<Renewed, ControlError> {
        let renewal = renewal.clone();
        self.ask(lease, move |app, key, token, now| leases::renew(app, key, token, &renewal, now)).await
    }

    async fn events(&self, lease: &LeaseKey, from: u64, lines: &str) -> Result<Uploaded, ControlError> {
        let lines = lines.to_owned();
        self.ask(lease, move |app, key, token, now| {
            leases::events(app, key, token, from, lines.as_bytes(), now)
        })
        .await
    }

    async fn artifact(
        &self,
        lease: &LeaseKey,
        digest: &Digest,
        content: Vec<u8>,
    ) -> Result<(), ControlError> {
        let digest = digest.clone();
        self.ask(lease, move |app, key, token, now| leases::artifact(app, key, token, &digest, &content, now))
            .await
    }

    async fn profile(&self, lease: &LeaseKey, profile: &Profile) -> Result<(), ControlError> {
        let profile = profile.clone();
        self.ask(lease, move |app, key, token, now| leases::profile(app, key, token, &profile, now)).await
    }

    async fn result(&self, lease: &LeaseKey, result: &AttemptResult) -> Result<(), ControlError> {
        let (result, audited) = (result.clone(), self.audited("lease_result"));
        self.ask(lease, move |app, key, token, now| leases::result(app, key, token, &result, &audited, now))
            .await
    }

    async fn release(&self, lease: &LeaseKey) -> Result<(), ControlError> {
        let audited = self.audited("release_lease");
        self.ask(lease, move |app, key, token, now| leases::release(app, key, token, &audited, now)).await
    }
}
