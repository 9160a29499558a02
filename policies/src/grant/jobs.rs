//! Questions about what a job may have, who may ask for work, and which model may see a repository's code.

use gloaming_api::Digest;
use gloaming_api::job::JobPurpose;

use super::judge::{Judged, Reason};
use super::{Grant, JobPermit};
use crate::file::{JobRule, JobSection};
use crate::hosts::HostSets;
use crate::preset::{FLOOR_NAME, STANDARD_NAME};
use crate::subject::{Asked, Host, Kind};
use crate::{Decision, Denial, Layer, RuleRef};

impl Grant {
    /// Returns the permit for one command of a profile, with the variables it sets: that its kind of job may run, that
    /// the command may, and that it may set these.
    ///
    /// # Errors
    /// The denial of whichever may not.
    pub fn permit_command<'a>(
        &self,
        purpose: JobPurpose,
        argv: &[String],
        env: impl IntoIterator<Item = &'a String>,
    ) -> Result<JobPermit, Denial> {
        let permit = self.permit_job(purpose)?;
        let mut asked = vec![Asked::Command(argv)];
        asked.extend(env.into_iter().map(|name| Asked::Env(name)));
        match asked.iter().map(|asked| self.judge_asked(purpose, asked)).find(|judged| !judged.allow) {
            Some(denied) => Err(denied.into_denial()),
            None => {
                let warned = asked.iter().flat_map(|asked| self.job_warnings(purpose, asked));
                let mut warnings: Vec<String> = warned.map(|rule| rule.id).collect();
                warnings.sort();
                warnings.dedup();
                Ok(JobPermit { command: Some(argv.to_vec()), warnings, ..permit })
            }
        }
    }

    /// The denial that is told first: by unit from the floor up, then by id; then the first unit that has rules of the
    /// kind, and none that fits.
    pub(crate) fn judge_asked(&self, purpose: JobPurpose, asked: &Asked<'_>) -> Judged<'_> {
        let judged = self.judge_job(purpose);
        if !judged.allow {
            return judged;
        }
        if let Some(denied) = self.denied_to_jobs(purpose, asked) {
            return denied;
        }
        let kind = asked.kind();
        let mut granted: Option<Judged<'_>> = None;
        let mut by_operator = false;
        for unit in &self.inner.units {
            let speaking: Vec<&JobRule> =
                unit.file.job_allow.iter().filter(|rule| rule.speaks(purpose, kind)).collect();
            let section = unit.file.jobs.get(&purpose).filter(|_| kind == Kind::Hosts);
            let network: Vec<&Host> =
                section.iter().flat_map(|section| section.hosts()).map(|(host, ..)| host).collect();
            if let Some(line) = section.filter(|section| section.reach_nothing()).map(|section| section.line)
            {
                let reason = Reason::Own {
                    id: format!("jobs.{}", purpose.as_str()),
                    because: format!("Jobs of the kind {} reach nothing: `network = []`.", purpose.as_str()),
                    instead: None,
                };
                return Judged { allow: false, layer: unit.layer, file: &unit.file.name, line, reason };
            }
            if speaking.is_empty() && network.is_empty() {
                continue;
            }
            let fitting =
                speaking.iter().filter(|rule| rule.allows(purpose, asked)).min_by_key(|rule| &rule.id);
            let in_section = match asked {
                Asked::Host(host) => network.iter().any(|allowed| allowed.covers(host)),
                _ => false,
            };
            let (line, reason) = match fitting {
                Some(rule) => (rule.line, of_job_rule(rule)),
                None if in_section => {
                    let line = unit.file.jobs.get(&purpose).map_or(1, |section| section.line);
                    let id = format!("jobs.{}", purpose.as_str());
                    (line, Reason::Own { id, because: String::new(), instead: None })
                }
                None => {
                    let mut may: Vec<String> = speaking
                        .iter()
                        .flat_map(|rule| rule.subjects.iter().map(|(subject, ..)| subject.text()))
                        .collect();
                    may.extend(network.iter().map(|host| host.text.clone()));
                    let lines = speaking.iter().map(|rule| rule.line);
                    let line = lines.min().or(section.map(|section| section.line)).unwrap_or(1);
                    let reason = Reason::NotAmong { asked: asked.to_string(), may };
                    return Judged { allow: false, layer: unit.layer, file: &unit.file.name, line, reason };
                }
            };
            by_operator |= unit.layer == Layer::Operator;
            granted = Some(Judged { allow: true, layer: unit.layer, file: &unit.file.name, line, reason });
        }
        match granted {
            Some(judged) if by_operator || kind.open() => judged,
            None if kind.open() => judged,
            _ => {
                let unit = self.inner.units.iter().rfind(|unit| unit.layer == Layer::Operator);
                Judged {
                    allow: false,
                    layer: Layer::Operator,
                    file: unit.map_or(STANDARD_NAME, |unit| &unit.file.name),
                    line: 1,
                    reason: Reason::NotAmong { asked: asked.to_string(), may: Vec::new() },
                }
            }
        }
    }

    /// Whether jobs of a kind may reach any host at all.
    pub(super) fn has_network(&self, purpose: JobPurpose) -> bool {
        let mut by_operator = false;
        for unit in &self.inner.units {
            let section = unit.file.jobs.get(&purpose);
            if section.is_some_and(JobSection::reach_nothing) {
                return false;
            }
            let rules = unit.file.job_allow.iter().any(|rule| rule.speaks(purpose, Kind::Hosts));
            let named = section.is_some_and(|section| section.network.is_some());
            by_operator |= unit.layer == Layer::Operator && (rules || named);
        }
        by_operator && self.judge_job(purpose).allow
    }

    /// Decides whether a job may reach a host at a port.
    pub(super) fn reaches(
        &self,
        purpose: JobPurpose,
        scheme: &str,
        host: &str,
        port: u16,
        sets: &HostSets,
    ) -> Result<RuleRef, Denial> {
        let judged = match Host::parse(&format!("{scheme}://{host}:{port}"), false) {
            Ok(host) => self.judge_asked(purpose, &Asked::Host(&host.in_sets(sets.iter()))).into_decision(),
            Err(bad) => {
                let reason = Reason::Own { id: "default-deny".into(), because: bad.message, instead: None };
                Judged { allow: false, layer: Layer::Floor, file: FLOOR_NAME, line: 1, reason }
                    .into_decision()
            }
        };
        match judged {
            Decision::Allow(rule) => Ok(rule),
            Decision::Deny(denial) => Err(denial),
        }
    }

    fn denied_to_jobs(&self, purpose: JobPurpose, asked: &Asked<'_>) -> Option<Judged<'_>> {
        self.inner.units.iter().find_map(|unit| {
            let binding = unit.file.job_deny.iter().filter(|rule| !rule.warn && rule.denies(purpose, asked));
            let rule = binding.min_by_key(|rule| &rule.id)?;
            let reason = of_job_rule(rule);
            Some(Judged { allow: false, layer: unit.layer, file: &unit.file.name, line: rule.line, reason })
        })
    }

    /// Decides once more what an engine is about to start: what a verifier made of a profile's command must not be
    /// what a rule denies, and the environment must be one that jobs may see. Which commands a profile may bring is
    /// decided by [`Grant::permit_command`].
    pub(super) fn admit(&self, purpose: JobPurpose, argv: &[String], image: &Digest) -> Result<(), Denial> {
        let denied = self.denied_to_jobs(purpose, &Asked::Command(argv));
        let image = Some(self.judge_asked(purpose, &Asked::Image(image))).filter(|judged| !judged.allow);
        match denied.or(image) {
            Some(judged) => Err(judged.into_denial()),
            None => Ok(()),
        }
    }

    /// Returns the rules with `enforce = "warn"` that would deny what is asked of a job.
    pub(crate) fn job_warnings(&self, purpose: JobPurpose, asked: &Asked<'_>) -> Vec<RuleRef> {
        let warning = self.inner.units.iter().flat_map(|unit| {
            let rules = unit.file.job_deny.iter().filter(|rule| rule.warn && rule.denies(purpose, asked));
            rules.map(|rule| RuleRef {
                id: rule.id.clone(),
                file: unit.file.name.clone(),
                line: rule.line,
                because: rule.because.clone(),
            })
        });
        warning.collect()
    }

    /// Decides whether an asker (`local` for the command line, `token:NAME`, `github:LOGIN`) may ask for work of a
    /// kind: `model`, or a playbook by its name. Where no file has `[submit]`, anybody who is let in may.
    pub fn decide_submit(&self, asker: &str, what: &str) -> Decision {
        self.judge_submit(asker, what).into_decision()
    }

    pub(crate) fn judge_submit(&self, asker: &str, what: &str) -> Judged<'_> {
        let own =
            |because: String, instead: Option<String>| Reason::Own { id: "submit".into(), because, instead };
        let mut told = self.by_default("submit");
        for unit in &self.inner.units {
            let Some(submit) = &unit.file.submit else { continue };
            let (layer, file) = (unit.layer, unit.file.name.as_str());
            let entry = submit.entries.iter().find(|entry| {
                entry.asker.matches(asker) && entry.what.iter().any(|allowed| allowed.matches(what))
            });
            let Some(entry) = entry else {
                let mut theirs: Vec<String> = submit
                    .entries
                    .iter()
                    .filter(|entry| entry.asker.matches(asker))
                    .flat_map(|entry| entry.what.iter().map(|what| what.text()))
                    .collect();
                theirs.sort_unstable();
                theirs.dedup();
                let instead = match theirs.as_slice() {
                    [] => "Ask somebody who is named there.".to_owned(),
                    theirs => format!("They may ask for {}.", theirs.join(", ")),
                };
                let because = format!("`{asker}` may not ask for `{what}` here.");
                return Judged {
                    allow: false,
                    layer,
                    file,
                    line: submit.line,
                    reason: own(because, Some(instead)),
                };
            };
            told = Judged { allow: true, layer, file, line: entry.line, reason: own(String::new(), None) };
        }
        told
    }

    /// Decides whether a repository's code may be sent to a model, `provider:model`. `address` is the server's,
    /// `scheme://host:port`, where it is another than the provider's own. Where no file has `[model]`, the operator's
    /// choice stands.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn decide_model(&self, model: &str, address: Option<&str>) -> Result<Decision, String> {
        if self.inner.units.iter().all(|unit| unit.file.model.is_none()) {
            return Ok(self.judge_model(model, None).into_decision());
        }
        let address = address.map(|text| Host::parse(text, false)).transpose().map_err(|bad| bad.message)?;
        Ok(self.judge_model(model, address.as_ref()).into_decision())
    }

    pub(crate) fn judge_model(&self, model: &str, address: Option<&Host>) -> Judged<'_> {
        let own =
            |because: String, instead: Option<String>| Reason::Own { id: "model".into(), because, instead };
        let mut told = self.by_default("model");
        for unit in &self.inner.units {
            let Some(section) = &unit.file.model else { continue };
            let (layer, file) = (unit.layer, unit.file.name.as_str());
            let Some((_, line)) = section.allow.iter().find(|(allowed, _)| allowed.matches(model)) else {
                let may: Vec<String> = section.allow.iter().map(|(pattern, _)| pattern.text()).collect();
                let because = format!("This repository's code may not be sent to {model}.");
                let instead = if may.is_empty() {
                    "Use a playbook; no model may be used.".to_owned()
                } else {
                    format!("Use one of {}.", may.join(", "))
                };
                return Judged {
                    allow: false,
                    layer,
                    file,
                    line: section.line,
                    reason: own(because, Some(instead)),
                };
            };
            let outside =
                address.filter(|address| !section.hosts.iter().any(|allowed| allowed.covers(address)));
            if let Some(address) = outside {
                let because = format!("This repository's code may not be sent to {}.", address.text);
                let instead =
                    Some("Use the provider's own address, or one that `model.hosts` names.".to_owned());
                return Judged {
                    allow: false,
                    layer,
                    file,
                    line: section.line,
                    reason: own(because, instead),
                };
            }
            told = Judged { allow: true, layer, file, line: *line, reason: own(String::new(), None) };
        }
        told
    }

    /// What is decided where no file has a section of the name.
    fn by_default(&self, id: &str) -> Judged<'_> {
        let reason = Reason::Own { id: id.into(), because: String::new(), instead: None };
        let unit = self.inner.units.iter().rfind(|unit| unit.layer == Layer::Operator);
        let file = unit.map_or(STANDARD_NAME, |unit| unit.file.name.as_str());
        Judged { allow: true, layer: Layer::Operator, file, line: 1, reason }
    }
}

fn of_job_rule(rule: &JobRule) -> Reason<'_> {
    Reason::Rule { id: &rule.id, because: &rule.because, instead: rule.instead.as_deref() }
}
