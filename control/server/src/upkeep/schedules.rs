//! Tasks that are asked for again and again, by nobody by name.

use std::str::FromStr as _;

use croner::Cron;
use gloaming_api::task::{NewTask, Source};
use gloaming_api::{Digest, TaskId};
use gloaming_policies::Decision;
use gloaming_store::{Idempotency, Store, Stored, Submission};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::meters;
use crate::publish::Grants;

/// What a schedule's keys are of.
const SCOPE: &str = "schedule";

/// A task, and when it is asked for.
#[derive(Debug, Clone)]
pub struct Schedule {
    name: String,
    /// When, in words: where that changes, what is past is not made up for.
    when: String,
    cron: Cron,
    zone: TimeZone,
    task: NewTask,
}

/// What a schedule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its name.
    pub schedule: String,
    /// The time that was due.
    pub due: Timestamp,
    /// The task, or why there is none.
    pub task: Result<TaskId, String>,
}

/// How far a schedule is.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    when: String,
    /// What was due until then is done.
    until: Timestamp,
}

impl Schedule {
    /// Makes one of a name, a cron expression of five fields (or `@daily` and its like), a time zone by its IANA name, and
    /// what is asked for.
    ///
    /// # Errors
    /// What of it cannot be, in words that begin with the field.
    pub fn new(name: &str, cron: &str, zone: &str, task: NewTask) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(format!("name = {name:?}: want 1 to 64 letters, digits, `-`, `_` and `.`"));
        }
        // Of six fields the first are seconds, which nobody means here.
        if !cron.starts_with('@') && cron.split_whitespace().count() != 5 {
            return Err(format!(
                "cron = {cron:?}: want five fields: minute, hour, day of the month, month, day of the week; or @daily"
            ));
        }
        let parsed = Cron::from_str(cron).map_err(|error| format!("cron = {cron:?}: {error}"))?;
        let found = TimeZone::get(zone).map_err(|_| {
            format!("zone = {zone:?}: no time zone is called that; want one like UTC or Europe/Berlin")
        })?;
        task.check()?;
        let schedule =
            Self { name: name.to_owned(), when: format!("{cron} {zone}"), cron: parsed, zone: found, task };
        match schedule.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(format!("cron = {cron:?}: there is no such time")),
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the repository.
    pub fn repo(&self) -> &gloaming_api::RepoId {
        &self.task.repo
    }

    /// Returns when it is due first after a time.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&from, false).ok().map(|at| at.timestamp())
    }

    /// Returns when it was due last, at a time or before.
    fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let from = at.to_zoned(self.zone.clone());
        self.cron.find_previous_occurrence(&from, true).ok().map(|at| at.timestamp())
    }

    /// Asks for the task where that is due: once for each time, and only for the latest of those that were missed. A new
    /// schedule, and one whose times are others than before, begins now.
    ///
    /// Returns also whether it is to be tried again later.
    pub(super) fn submit(
        &self,
        store: &dyn Store,
        grants: &Grants,
        now: Timestamp,
    ) -> Stored<Option<(Submitted, bool)>> {
        let name = format!("{SCOPE}:{}", self.name);
        let mark = store.value(&name)?.and_then(|mark| serde_json::from_str::<Mark>(&mark).ok());
        let keep = |until: Timestamp| {
            let mark = Mark { when: self.when.clone(), until };
            store.set_value(&name, &serde_json::to_string(&mark).expect("text and a time"))
        };
        let Some(mark) = mark.filter(|mark| mark.when == self.when) else {
            keep(now)?;
            return Ok(None);
        };
        let Some(due) = self.last(now).filter(|due| *due > mark.until) else { return Ok(None) };
        let task = self.ask(store, grants, &name, due, now)?;
        let later = matches!(task, Err(Refused::Later(_)));
        if !later {
            meters::scheduled(if task.is_ok() { "asked" } else { "refused" });
            // Were this not written, the same key would lead to the same task.
            keep(due)?;
        }
        let task = task.map_err(|(Refused::Later(why) | Refused::Never(why))| why);
        Ok(Some((Submitted { schedule: self.name.clone(), due, task }, later)))
    }

    fn ask(
        &self,
        store: &dyn Store,
        grants: &Grants,
        asker: &str,
        due: Timestamp,
        now: Timestamp,
    ) -> Stored<Result<TaskId, Refused>> {
        let repo = &self.task.repo;
        let grant = match grants(repo) {
            Ok(grant) => grant,
            Err(why) => return Ok(Err(Refused::Never(why))),
        };
        let decided = |decision: &str, detail: &str| {
            store.audit(asker, decision, "submit_task", repo.as_str(), detail, now)
        };
        if let Decision::Deny(denial) = grant.decide_submit(asker, "model") {
            decided("deny", &denial.to_string())?;
            return Ok(Err(Refused::Never(denial.to_string())));
        }
        let key = format!("{}@{due}", self.name);
        let submission = Submission {
            id: TaskId::generate(),
            new: self.task.clone(),
            source: Source::Schedule { name: self.name.clone() },
            asker: asker.to_owned(),
            by_name: false,
            idempotency: Some(Idempotency { scope: SCOPE.to_owned(), request: Digest::of(&key), key }),
            effects: Vec::new(),
        };
        Ok(match store.submit(&submission, now)? {
            gloaming_store::Submitted::New(task) | gloaming_store::Submitted::Again(task) => {
                // Where this fails, the next pass finds the task and writes it.
                decided("allow", &format!("grant {}, due {due}", grant.digest()))?;
                Ok(task)
            }
            gloaming_store::Submitted::Full => Err(Refused::Later("as many tasks wait as may".to_owned())),
            gloaming_store::Submitted::Conflict => unreachable!("the request is its key"),
        })
    }
}

/// Why there is no task.
enum Refused {
    /// There may be one later.
    Later(String),
    Never(String),
}
