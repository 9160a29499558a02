//! What is in the sets of hosts that a policy names.
//!
//! A policy says `registry`; which hosts that is differs from one operator to the next (a mirror, a proxy of a company,
//! the public ones), so an operator says it and no policy, and nothing is in a set by default.

mod machine;

use std::collections::BTreeMap;

use gloaming_api::job::JobPurpose;

pub use self::machine::ClientSettings;
use crate::file::JobSection;
use crate::grant::Unit;
use crate::subject::{HOST_SETS, Host, Subject};
use crate::suggest::did_you_mean;
use crate::{Diagnostic, Grant};

/// The most hosts of one set.
const MAX_HOSTS: usize = 1024;

/// Sets of hosts by name, as an operator has filled them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSets {
    sets: BTreeMap<String, Vec<Host>>,
}

impl HostSets {
    /// Returns sets with these hosts, each `host`, `*.host` or `scheme://host:port`. A set without hosts counts as one
    /// that was not filled.
    ///
    /// # Errors
    /// What is wrong with a name or a host, and what to write.
    pub fn new(sets: impl IntoIterator<Item = (String, Vec<String>)>) -> Result<Self, String> {
        let mut all = Self::default();
        for (name, hosts) in sets {
            if !HOST_SETS.contains(&name.as_str()) {
                let hint = did_you_mean(&name, HOST_SETS)
                    .unwrap_or_else(|| format!("the sets are {}", HOST_SETS.join(", ")));
                return Err(format!("there is no set of hosts {name:?}; {hint}"));
            }
            if hosts.len() > MAX_HOSTS {
                return Err(format!("the set {name} has more than {MAX_HOSTS} hosts"));
            }
            for text in hosts {
                let host = Host::parse(&text, true)
                    .map_err(|bad| format!("the set {name}: {}; {}", bad.message, bad.hint))?;
                if host.set().is_some() {
                    return Err(format!("the set {name} names the set {text}; write out its hosts"));
                }
                let known = all.sets.entry(name.clone()).or_default();
                if !known.contains(&host) {
                    known.push(host);
                }
            }
        }
        Ok(all)
    }

    /// Returns the sets of both: what an operator wrote, and what was found.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (name, hosts) in other.sets {
            let known = self.sets.entry(name).or_default();
            for host in hosts {
                if !known.contains(&host) {
                    known.push(host);
                }
            }
        }
        self
    }

    /// Returns the hosts of a set as they were written; none where it was not filled.
    pub fn hosts(&self, name: &str) -> Vec<String> {
        self.sets.get(name).into_iter().flatten().map(|host| host.text.clone()).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[Host])> {
        self.sets.iter().map(|(name, hosts)| (name.as_str(), hosts.as_slice()))
    }

    fn is_filled(&self, name: &str) -> bool {
        self.sets.get(name).is_some_and(|hosts| !hosts.is_empty())
    }
}

impl Grant {
    /// Returns a fault for each place at which a policy names a set of hosts that the operator has not filled: such a
    /// rule would allow, or deny, nothing at all.
    pub fn unfilled_sets(&self, sets: &HostSets) -> Vec<Diagnostic> {
        self.unfilled(None, sets)
    }

    pub(crate) fn unfilled(&self, purpose: Option<JobPurpose>, sets: &HostSets) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for Unit { file, .. } in self.units() {
            let rules = file.job_allow.iter().chain(&file.job_deny);
            let rules = rules.filter(|rule| purpose.is_none_or(|purpose| rule.purposes.contains(&purpose)));
            let of_rules = rules.flat_map(|rule| &rule.subjects).filter_map(|(subject, line, column)| {
                if let Subject::Host(host) = subject { Some((host, *line, *column)) } else { None }
            });
            let sections = file.jobs.iter().filter(|(of, _)| purpose.is_none_or(|purpose| purpose == **of));
            let of_sections = sections
                .flat_map(|(_, section)| JobSection::hosts(section))
                .map(|(host, line, column)| (host, *line, *column));
            for (host, line, column) in of_rules.chain(of_sections) {
                let Some(name) = host.set().filter(|name| !sets.is_filled(name)) else { continue };
                faults.push(Diagnostic {
                    file: file.name().to_owned(),
                    line,
                    column,
                    message: format!("the set of hosts `{name}` is empty on this machine"),
                    hint: Some(format!(
                        "the operator says which hosts are in `{name}`, or sets up the machine's own clients (cargo, \
                         pip, npm, go) with a mirror; or name the hosts here instead of the set"
                    )),
                });
            }
        }
        faults.sort();
        faults.dedup();
        faults
    }
}
