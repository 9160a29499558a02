//! Why a repository's dependencies could not be had, and what a person can do about it.

use std::fmt;

use gloaming_api::ReasonCode;
use gloaming_api::bowout::shorten;
use gloaming_api::job::EgressDecision;
use gloaming_api::profile::Command;
use gloaming_jobs::JobOutput;
use gloaming_policies::Denial;
use serde::{Deserialize, Serialize};

use crate::choose::words;
use crate::prove::excerpt;
use crate::remedy::{is_offline, missing, missing_program};

/// So much of what the command said is told, in characters.
const SAID: usize = 600;

/// Hosts that were refused beyond this number say nothing new.
const MOST_HOSTS: usize = 5;

/// Why there are no dependencies. Prints as one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// `needs_network`, `env_unbuildable`, or `policy_blocked`.
    pub code: ReasonCode,
    /// What happened.
    pub detail: String,
    /// What a person can do.
    pub unblock: String,
    /// Whether the command ran and failed; where it did not, jobs may well find what they need in their environment.
    pub failed: bool,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// What network a set-up job had.
pub(crate) enum Network {
    /// The hosts of its policy, but for sets in which there is nothing.
    Hosts { unfilled: Vec<String> },
    /// The policy names no host for set-up jobs.
    NotAllowed,
    /// It does, and nobody has switched jobs' network on.
    NotConfigured,
    /// It does, and the engine cannot hold a job to them.
    NotByEngine(String),
}

const HOST_PACKAGES: &str = "or install the dependencies on this machine, where jobs see them read-only (cargo fetch, \
                             go mod download, an activated virtual environment)";

impl Lack {
    pub(crate) fn denied(command: &Command, denial: &Denial) -> Self {
        Self {
            code: ReasonCode::PolicyBlocked,
            detail: format!("the policy does not let the set-up command `{}` run: {denial}", words(command)),
            unblock: format!("let set-up jobs run it in the policy, {HOST_PACKAGES}"),
            failed: false,
        }
    }

    pub(crate) fn not_kept(command: &Command, reason: &str) -> Self {
        Self {
            code: ReasonCode::EnvUnbuildable,
            detail: format!(
                "what the set-up command `{}` fetches is not kept for jobs: {reason}",
                words(command)
            ),
            unblock: format!("let another command fetch the dependencies, {HOST_PACKAGES}"),
            failed: false,
        }
    }

    /// Says that a command was stopped for what it wrote to the disk.
    pub(crate) fn outgrown(command: &Command, reason: &str) -> Self {
        Self {
            code: ReasonCode::EnvUnbuildable,
            detail: format!("the set-up command `{}` was stopped: {reason}", words(command)),
            unblock: "let it fetch less, or give the caches of dependencies more room (GLOAMING_CACHE_SIZE)"
                .to_owned(),
            failed: true,
        }
    }

    /// Says the same of a command that was not run again.
    pub(crate) fn again(self) -> Self {
        Self {
            detail: format!(
                "{} (that was before; nothing that decides has changed since, so it was not run again)",
                self.detail
            ),
            unblock: format!("{}; `gloaming onboard --again` runs it whatever is known", self.unblock),
            ..self
        }
    }

    /// Says why a command failed that was run.
    pub(crate) fn failed(command: &Command, output: &JobOutput, network: &Network) -> Self {
        let (line, exit, said) = (words(command), output.record.exit, excerpt(output));
        let lack = |code, why: &str, unblock: &str| Self {
            code,
            detail: format!(
                "the set-up command `{line}` failed ({exit}){why}: {}",
                shorten(said.trim(), SAID)
            ),
            unblock: format!("{unblock}, {HOST_PACKAGES}"),
            failed: true,
        };
        if let Some(program) = missing_program(command, exit, &said) {
            let why = format!(", since {program} is missing in the jobs' environment");
            return lack(ReasonCode::EnvUnbuildable, &why, &missing(command, &program));
        }
        let needs_network = |why: &str, unblock: &str| lack(ReasonCode::NeedsNetwork, why, unblock);
        let offline = is_offline(&said);
        match network {
            Network::NotAllowed if offline => needs_network(
                " without network, since the policy names no host for set-up jobs",
                "let set-up jobs reach the registries: `[jobs.setup]` with `network = [\"registry\"]` in the operator's \
                 policy",
            ),
            Network::NotConfigured if offline => needs_network(
                " without network, since none is configured for jobs here",
                "switch jobs' network on for this machine",
            ),
            Network::NotByEngine(reason) if offline => needs_network(
                &format!(" without network, since the engine cannot hold it to its hosts: {reason}"),
                "use another engine",
            ),
            Network::Hosts { unfilled } => {
                let mut refused: Vec<String> = output
                    .record
                    .egress
                    .iter()
                    .flat_map(|log| log.refused())
                    .map(|attempt| {
                        let reason = match &attempt.decision {
                            EgressDecision::Refused { reason, .. } => reason.as_str(),
                            EgressDecision::Allowed { .. } => "",
                        };
                        format!("{}://{}:{} ({reason})", attempt.scheme, attempt.host, attempt.port)
                    })
                    .collect();
                refused.dedup();
                refused.truncate(MOST_HOSTS);
                refused.extend(unfilled.iter().cloned());
                if refused.is_empty() {
                    return lack(ReasonCode::EnvUnbuildable, "", "repair it on the base");
                }
                needs_network(
                    &format!(" and was refused {}", refused.join("; ")),
                    "let set-up jobs reach these hosts in the operator's policy",
                )
            }
            _ => lack(ReasonCode::EnvUnbuildable, "", "repair it on the base"),
        }
    }
}
