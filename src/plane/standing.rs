//! What of the configuration counts while the control plane runs: read again when the file changes, a bad one changes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gloaming_server::upkeep::{Schedule, Upkeep};
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::config::{self, Config};
use crate::context;

/// How often it is looked for what is due, and whether the file changed.
const LOOK: Duration = Duration::from_secs(1);

struct Watched {
    upkeep: Upkeep,
    path: Option<PathBuf>,
    /// The file as it was looked at last.
    text: Option<String>,
    /// What counts until the next start.
    lasting: Config,
    /// What went wrong last: it is said once, and not every second.
    wrong: Option<String>,
}

/// Does what is due until it is told to stop.
pub(crate) async fn keep_up(upkeep: Upkeep, config: &Config, path: Option<PathBuf>, stop: CancellationToken) {
    let watched = Watched { upkeep, path, text: None, lasting: config.lasting(), wrong: None };
    let watched = Arc::new(Mutex::new(watched));
    // Without a file the defaults count, from the first pass on.
    if let Ok(standing) = config.standing() {
        watched.lock().unwrap_or_else(PoisonError::into_inner).set(standing, context::now());
    }
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        let watched = Arc::clone(&watched);
        let passed = tokio::task::spawn_blocking(move || {
            watched.lock().unwrap_or_else(PoisonError::into_inner).look(context::now());
        });
        if let Err(error) = passed.await {
            tracing::error!(%error, "the upkeep failed");
        }
    }
}

impl Watched {
    fn look(&mut self, now: Timestamp) {
        if let Some(path) = self.path.clone() {
            self.reload(&path, now);
        }
        match self.upkeep.pass(now) {
            Ok(passed) => {
                let mut refused = None;
                for one in passed.schedules {
                    match one.task {
                        Ok(task) => {
                            tracing::info!(schedule = one.schedule, %task, due = %one.due, "a schedule was due");
                        }
                        Err(why) => refused = Some(format!("the schedule {}: {why}", one.schedule)),
                    }
                }
                self.say(refused);
                if passed.forgotten.tasks + passed.forgotten.audit > 0 {
                    let (tasks, audit) = (passed.forgotten.tasks, passed.forgotten.audit);
                    tracing::info!(tasks, audit, "what was old enough is forgotten");
                }
            }
            Err(error) => self.say(Some(crate::failure::in_one_line(&error.into()))),
        }
    }

    fn reload(&mut self, path: &Path, now: Timestamp) {
        let read = context::read_text(path, "the configuration", context::FILE_CAP);
        let text = match read {
            Ok(text) if self.text.as_ref() == Some(&text) => return,
            Ok(text) => text,
            // An editor that writes it anew has it away for a moment.
            Err(_) if !path.exists() => return,
            Err(error) => return self.say(Some(crate::failure::in_one_line(&error))),
        };
        let first = self.text.replace(text.clone()).is_none();
        let read = config::parse(&text, path.parent().unwrap_or(Path::new("/")));
        match read.and_then(|config| Ok((config.standing()?, config.lasting()))) {
            Ok((standing, lasting)) => {
                if lasting != self.lasting {
                    tracing::warn!(
                        file = %path.display(),
                        "more than [keep], [[repo]] and [[schedule]] changed: that counts from the next start"
                    );
                }
                if !first {
                    tracing::info!(file = %path.display(), "the configuration was read again");
                }
                self.set(standing, now);
            }
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "the configuration that was read last counts on");
            }
        }
    }

    fn set(&mut self, standing: gloaming_server::upkeep::Standing, now: Timestamp) {
        if let Err(error) = self.upkeep.set(standing, now) {
            // What was read has to be read again for it to count.
            self.text = None;
            self.say(Some(crate::failure::in_one_line(&error.into())));
        }
    }

    fn say(&mut self, wrong: Option<String>) {
        if let Some(wrong) = wrong.as_ref().filter(|wrong| self.wrong.as_ref() != Some(wrong)) {
            tracing::warn!(wrong, "something that is due was not done");
        }
        self.wrong = wrong;
    }
}

/// Says when a schedule is due next.
pub(super) fn next(schedule: &Schedule, now: Timestamp) -> String {
    let next = schedule.next(now).map_or_else(|| "never".to_owned(), |at| at.to_string());
    format!("{} of {}: next at {next}", schedule.name(), schedule.repo())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a configuration is written into the test's own folder")]
mod tests {
    use std::sync::Arc;

    use gloaming_store::{Limits, MemoryStore, Store};

    use super::*;

    #[test]
    fn what_changes_in_the_file_counts_and_what_is_wrong_in_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gloaming.toml");
        let write = |text: &str| std::fs::write(&path, format!("schema = 1\n{text}")).unwrap();
        let store = Arc::new(MemoryStore::new(Limits::default()));
        let grants: gloaming_server::publish::Grants = Arc::new(|_| Err("none".to_owned()));
        let mut watched = Watched {
            upkeep: Upkeep::new(store.clone(), grants),
            path: Some(path.clone()),
            text: None,
            lasting: Config { schema: 1, ..Config::default() },
            wrong: None,
        };
        let now = Timestamp::UNIX_EPOCH;
        let running = || store.share(&"acme/api".parse().unwrap()).unwrap().running;
        write("[[repo]]\nname = \"acme/*\"\nrunning = 7\n");
        watched.look(now);
        assert_eq!(running(), 7);
        for bad in
            ["[[repo]]\nname = \"acme/*\"\nrunning = -1\n", "[[repo", "[[repo]]\nname = \"*\"\nweight = 0\n"]
        {
            write(bad);
            watched.look(now);
            assert_eq!(running(), 7, "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        watched.look(now);
        assert_eq!(running(), 7);
        write("");
        watched.look(now);
        assert_eq!(running(), Limits::default().running);
    }
}
