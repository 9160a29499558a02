//! The permits without which no tool and no job runs.

use std::sync::Arc;

use gloaming_api::job::{JobLimits, JobPurpose};
use gloaming_api::{Digest, RelPath};

use super::Grant;
use crate::hosts::HostSets;
use crate::subject::Asked;
use crate::{Access, Decision, Denial, Diagnostic, RuleRef};

/// Whether something may be written at a path.
pub type MayWrite = Arc<dyn Fn(&RelPath) -> bool + Send + Sync>;

/// The right to call one tool; only a [`Grant`] makes it.
#[derive(Clone)]
pub struct ToolPermit {
    pub(super) tool: String,
    pub(super) grant: Grant,
    /// What whoever calls is held to beside the policy: a rule, and which paths it lets be written.
    pub(super) narrower: Option<(RuleRef, MayWrite)>,
}

impl std::fmt::Debug for ToolPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let narrower = self.narrower.as_ref().map(|(rule, _)| rule);
        f.debug_struct("ToolPermit")
            .field("tool", &self.tool)
            .field("narrower", &narrower)
            .finish_non_exhaustive()
    }
}

impl ToolPermit {
    /// Returns the tool's name.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Returns the grant it was made by.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Returns the permit with a further bound to what may be written; nothing is wider for it.
    #[must_use]
    pub fn narrowed(self, rule: RuleRef, may_write: MayWrite) -> Self {
        Self { narrower: Some((rule, may_write)), ..self }
    }

    /// Decides one access of the tool to a path.
    pub fn decide(&self, access: Access, path: &RelPath) -> Decision {
        match self.grant.decide(&self.tool, access, path) {
            Decision::Allow(_) if let Some(rule) = self.beyond(access, path) => {
                Decision::Deny(Denial { rule: rule.clone(), instead: None })
            }
            decided => decided,
        }
    }

    /// Returns the rule beside the policy that refuses.
    fn beyond(&self, access: Access, path: &RelPath) -> Option<&RuleRef> {
        let (rule, may_write) = self.narrower.as_ref()?;
        (access == Access::Write && !may_write(path)).then_some(rule)
    }

    /// Returns the rules that would deny it and only warn yet.
    pub fn warnings(&self, access: Access, path: &RelPath) -> Vec<RuleRef> {
        self.grant.warnings(&self.tool, access, path)
    }

    /// Whether [`ToolPermit::decide`] allows it, without putting the rule in words.
    pub fn allows(&self, access: Access, path: &RelPath) -> bool {
        self.grant.allows(&self.tool, access, path) && self.beyond(access, path).is_none()
    }
}

/// The right to run jobs of one purpose; only a [`Grant`] makes it.
#[derive(Debug, Clone)]
pub struct JobPermit {
    pub(super) purpose: JobPurpose,
    pub(super) limits: JobLimits,
    pub(super) command: Option<Vec<String>>,
    pub(super) warnings: Vec<String>,
    pub(super) secrets: bool,
    pub(super) grant: Grant,
}

impl JobPermit {
    /// Returns what the jobs are for.
    pub fn purpose(&self) -> JobPurpose {
        self.purpose
    }

    /// Returns the profile's command it was made for; none where no command was asked about.
    pub fn command(&self) -> Option<&[String]> {
        self.command.as_deref()
    }

    /// Returns the ids of the rules that would deny what it was made for, and only warn yet.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the limits they run under.
    pub fn limits(&self) -> JobLimits {
        self.limits
    }

    /// Returns the permit for less wall-clock time, in seconds (at least one); never for more.
    pub fn within(mut self, wall_s: u64) -> Self {
        self.limits.wall_s = self.limits.wall_s.min(wall_s.max(1));
        self
    }

    /// Returns the permit for jobs that are handed no secret.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        self.secrets = false;
        self
    }

    /// Returns the digest of the grant that permits them.
    pub fn grant_digest(&self) -> &Digest {
        self.grant.digest()
    }

    /// Whether the jobs are handed the secret of this name.
    pub fn gives_secret(&self, name: &str) -> bool {
        self.secrets && self.grant.judge_asked(self.purpose, &Asked::Secret(name)).allow
    }

    /// Whether the jobs may reach any host at all. An engine that cannot hold the others back must not run such a job
    /// with network.
    pub fn has_network(&self) -> bool {
        self.grant.has_network(self.purpose)
    }

    /// Decides whether the jobs may reach a host at a port: a name or an IPv4 address, by `http`, `https`, or `tcp` for
    /// a tunnel in which anything may be said. `sets` is what the operator has put into the sets of hosts that a policy
    /// names.
    ///
    /// Returns the rule that allows it.
    ///
    /// # Errors
    /// The denial; also of what is no host.
    pub fn reaches(&self, scheme: &str, host: &str, port: u16, sets: &HostSets) -> Result<RuleRef, Denial> {
        self.grant.reaches(self.purpose, scheme, host, port, sets)
    }

    /// Returns a fault for each set of hosts that the policy names for these jobs and that the operator has not filled.
    pub fn unfilled_sets(&self, sets: &HostSets) -> Vec<Diagnostic> {
        self.grant.unfilled(Some(self.purpose), sets)
    }

    /// Decides on what an engine is about to start: a command that a rule denies, whoever made it of the profile's,
    /// or an environment that jobs may not see.
    ///
    /// # Errors
    /// The denial.
    pub fn admit(&self, argv: &[String], environment: &Digest) -> Result<(), Denial> {
        self.grant.admit(self.purpose, argv, environment)
    }
}

#[cfg(test)]
mod tests {
    use gloaming_api::RepoId;

    use super::*;
    use crate::{Layer, parse};

    #[test]
    fn a_narrower_permit_only_takes_away() {
        let text = "schema = 1\n[[allow]]\nid = \"all\"\ntools = [\"edit\"]\npaths = [\"**\"]\n\
                    [[deny]]\nid = \"secret\"\ntools = [\"*\"]\npaths = [\"tests/secret.py\"]\nbecause = \"no\"\n";
        let file = parse("p.toml", text).expect("it is a policy");
        let grant =
            Grant::resolve(&RepoId::local("test"), vec![(Layer::Operator, file)]).expect("it resolves");
        let rule = RuleRef {
            id: "role-x".to_owned(),
            file: "builtin:roles".to_owned(),
            line: 1,
            because: "of the role".to_owned(),
        };
        let whole = grant.permit_tool("edit").expect("it is offered");
        let narrow = whole
            .clone()
            .narrowed(rule.clone(), Arc::new(|path: &RelPath| path.as_str().starts_with("tests/")));
        for (path, access, allowed) in [
            ("tests/a.py", Access::Write, true),
            ("src/a.py", Access::Write, false),
            ("src/a.py", Access::Read, true),
            ("tests/secret.py", Access::Write, false),
        ] {
            let path = RelPath::parse(path).expect("a path");
            let decision = narrow.decide(access, &path);
            assert_eq!(matches!(decision, Decision::Allow(_)), allowed, "{path}");
            assert_eq!(narrow.allows(access, &path), allowed, "{path}");
            // What the policy itself refuses is refused by its own rule.
            if let Decision::Deny(denial) = decision {
                let own = matches!(whole.decide(access, &path), Decision::Allow(_));
                assert_eq!(denial.rule == rule, own, "{path}");
            }
        }
    }
}
