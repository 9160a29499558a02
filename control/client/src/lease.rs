//! The worker protocol over HTTP.

use std::time::Duration;

use gloaming_api::problem::ProblemCode;
use gloaming_api::worker::{
    AttemptResult, Control, ControlError, Lease, LeaseKey, LeaseRequest, Renewal, Renewed, Uploaded,
};
use gloaming_api::{Digest, Profile};
use serde::de::DeserializeOwned;

use crate::{Ask, Client, ClientError};

impl Client {
    async fn under<T: DeserializeOwned>(
        &self,
        lease: &LeaseKey,
        name: &str,
        change: impl FnOnce(&mut Ask<'_>),
    ) -> Result<Option<T>, ControlError> {
        let attempt = lease.attempt.to_string();
        let path = [lease.task.as_str(), attempt.as_str()];
        let mut ask = Ask::of(name, &path);
        change(&mut ask);
        let answer = self.bytes(ask).await.map_err(|error| of(error, Some(lease)))?;
        answer.map(|bytes| understood(name, &bytes)).transpose()
    }
}

fn understood<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ControlError::Away(format!("the answer of {name} is not understood: {error}")))
}

fn wanted<T>(answer: Option<T>) -> Result<T, ControlError> {
    answer.ok_or_else(|| ControlError::Away("the control plane answered nothing".into()))
}

/// What an error means for whoever holds a lease. What is not a control plane's answer may be a proxy's: later it may be.
fn of(error: ClientError, lease: Option<&LeaseKey>) -> ControlError {
    match (error, lease) {
        (ClientError::Refused(problem), Some(lease)) if problem.code == ProblemCode::LeaseLost => {
            ControlError::Lost { task: lease.task.clone(), attempt: lease.attempt }
        }
        (error @ (ClientError::Refused(_) | ClientError::Setup(_)), _) => {
            ControlError::Refused(error.to_string())
        }
        (error @ (ClientError::Away(_) | ClientError::Nonsense(_)), _) => {
            ControlError::Away(error.to_string())
        }
    }
}

fn bytes(value: &impl serde::Serialize) -> Option<Vec<u8>> {
    Some(serde_json::to_vec(value).expect("values of ours are JSON"))
}

impl Control for Client {
    async fn lease(&self, request: &LeaseRequest) -> Result<Option<Lease>, ControlError> {
        let mut ask = Ask::of("lease", &[]).with(request);
        ask.wait = Duration::from_secs(request.wait_s);
        let answer = self.bytes(ask).await.map_err(|error| of(error, None))?;
        let Some(bytes) = answer else { return Ok(None) };
        let mut lease: Lease = understood("lease", &bytes)?;
        if lease.clone.starts_with('/') {
            lease.clone = self.with_credentials(&lease.clone).map_err(|error| of(error, None))?;
        }
        Ok(Some(lease))
    }

    async fn renew(&self, lease: &LeaseKey, renewal: &Renewal) -> Result<Renewed, ControlError> {
        wanted(self.under(lease, "renew_lease", |ask| ask.body = bytes(renewal)).await?)
    }

    async fn events(&self, lease: &LeaseKey, from: u64, lines: &str) -> Result<Uploaded, ControlError> {
        let query = [("from", from.to_string())];
        let attempt = lease.attempt.to_string();
        let path = [lease.task.as_str(), attempt.as_str()];
        let mut ask = Ask::of("lease_events", &path);
        (ask.query, ask.body) = (&query, Some(lines.as_bytes().to_vec()));
        let answer = self.bytes(ask).await.map_err(|error| of(error, Some(lease)))?;
        understood("lease_events", &wanted(answer)?)
    }

    async fn artifact(
        &self,
        lease: &LeaseKey,
        digest: &Digest,
        content: Vec<u8>,
    ) -> Result<(), ControlError> {
        let attempt = lease.attempt.to_string();
        let path = [lease.task.as_str(), attempt.as_str(), digest.as_str()];
        let mut ask = Ask::of("lease_artifact", &path);
        ask.body = Some(content);
        self.bytes(ask).await.map(|_| ()).map_err(|error| of(error, Some(lease)))
    }

    async fn profile(&self, lease: &LeaseKey, profile: &Profile) -> Result<(), ControlError> {
        self.under::<serde_json::Value>(lease, "lease_profile", |ask| ask.body = bytes(profile))
            .await
            .map(|_| ())
    }

    async fn result(&self, lease: &LeaseKey, result: &AttemptResult) -> Result<(), ControlError> {
        self.under::<serde_json::Value>(lease, "lease_result", |ask| ask.body = bytes(result))
            .await
            .map(|_| ())
    }

    async fn release(&self, lease: &LeaseKey) -> Result<(), ControlError> {
        self.under::<serde_json::Value>(lease, "release_lease", |_| ()).await.map(|_| ())
    }
}
