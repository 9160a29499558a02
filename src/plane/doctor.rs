//! `gloaming doctor`: what of this machine's control plane works, what does not, and what to do about it.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::path::escape_name;
use gloaming_api::task::DeadEffect;
use gloaming_client::Ask;
use gloaming_store::{Sizes, SqliteStore};
use serde::Serialize;
use serde_json::json;

use super::config::{self, Config};
use super::{database, host, outside, owner_file, serve};
use crate::cli::{DoctorArgs, PlaneArgs};
use crate::context::Home;
use crate::failure::{exit, in_one_line};
use crate::told::print_json;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Ok,
    /// It works without, and less of it.
    Note,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    standing: Standing,
    detail: String,
    /// What to do; empty where there is nothing to.
    advice: String,
}

#[derive(Default)]
struct Report(Vec<Line>);

impl Report {
    fn add(&mut self, what: &'static str, standing: Standing, detail: impl Into<String>, advice: &str) {
        let detail = escape_name(detail.into().as_bytes());
        self.0.push(Line { what, standing, detail, advice: advice.to_owned() });
    }

    fn ok(&mut self, what: &'static str, detail: impl Into<String>) {
        self.add(what, Standing::Ok, detail, "");
    }

    fn wrong(&mut self, what: &'static str, detail: impl Into<String>, advice: &str) {
        self.add(what, Standing::Wrong, detail, advice);
    }

    fn note(&mut self, what: &'static str, detail: impl Into<String>, advice: &str) {
        self.add(what, Standing::Note, detail, advice);
    }

    fn is_well(&self) -> bool {
        self.0.iter().all(|line| line.standing != Standing::Wrong)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.0 {
            let sign = match line.standing {
                Standing::Ok => "ok",
                Standing::Note => "note",
                Standing::Wrong => "WRONG",
            };
            let _ = writeln!(text, "{sign:<6} {:<9} {}", line.what, line.detail);
            if !line.advice.is_empty() {
                let _ = writeln!(text, "{:<16} do: {}", "", line.advice);
            }
        }
        text
    }
}

pub(crate) async fn doctor(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let mut report = Report::default();
    let config = match config::read(&home, args.config.as_deref()) {
        Ok((config, Some(path))) => {
            report.ok("config", path.display().to_string());
            config
        }
        Ok((config, None)) => {
            report.note("config", "none; everything is as it is by default", "gloaming init");
            config
        }
        Err(error) => {
            report.wrong("config", in_one_line(&error), "put it right; what follows is looked at without it");
            Config { schema: 1, ..Config::default() }
        }
    };
    store(&home, &mut report);
    for schedule in config.standing().map(|standing| standing.schedules).unwrap_or_default() {
        report.ok("schedule", super::standing::next(&schedule, crate::context::now()));
    }
    server(&mut report).await;
    match serve::policies(&home, &config) {
        Ok(policies) => match policies.counting() {
            Some(folder) => report.ok("policies", folder.display().to_string()),
            None => report.note(
                "policies",
                "none; preset:standard counts for every repository",
                "gloaming policy new, into $GLOAMING_HOME/policies",
            ),
        },
        Err(faults) => report.wrong("policies", faults, "gloaming policy check FILE"),
    }
    #[cfg(feature = "worker")]
    engine(&home, &config, &mut report).await;
    #[cfg(feature = "worker")]
    model(&home, &config, &mut report);
    code_host(&home, &config, &mut report).await;
    chats(&config, &mut report).await;
    let well = report.is_well();
    if args.json {
        print_json(&json!({"well": well, "checks": report.0}));
    } else {
        print!("{}", report.text());
    }
    Ok(ExitCode::from(if well { exit::OK } else { exit::BLOCK }))
}

fn store(home: &Home, report: &mut Report) {
    let path = database(home);
    if !path.exists() {
        report.note("store", format!("no {} yet", path.display()), "gloaming serve makes it");
        return;
    }
    let restore = "stop the control plane, move the file away and `gloaming restore` the last backup";
    match SqliteStore::check_file(&path) {
        Ok(health) => {
            match health.damage.first() {
                None => report.ok("store", format!("{}, {} tasks", path.display(), health.tasks)),
                Some(first) => {
                    let more = health.damage.len() - 1;
                    report.wrong("store", format!("{first} (and {more} more)"), restore);
                }
            }
            if health.is_sound() {
                report.ok("size", size(&health.sizes));
            }
            match health.audit {
                None => report.ok(
                    "audit",
                    format!(
                        "{} entries, each after the one before",
                        health.audited + 1 - health.audited_from.min(health.audited + 1)
                    ),
                ),
                Some(broken) => report.wrong(
                    "audit",
                    broken.to_string(),
                    "somebody wrote to the file beside the program: find out who, and compare with a backup",
                ),
            }
        }
        Err(error) => report.wrong("store", in_one_line(&error.into()), restore),
    }
}

/// How large the database is, and what of.
fn size(sizes: &Sizes) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    format!(
        "{}: {} of journals, {} of artifacts, {} of deliveries, {} of audit log; {} free for what is to come",
        mib(sizes.file),
        mib(sizes.journals),
        mib(sizes.artifacts),
        mib(sizes.deliveries),
        mib(sizes.audit),
        mib(sizes.free)
    )
}

/// Whether the control plane of this machine answers, and what it gave up.
async fn server(report: &mut Report) {
    let plane = PlaneArgs { control: None, token_file: None, token: None };
    let Ok(client) = super::client(&plane) else {
        report.note("server", "none was started here", "gloaming serve");
        return;
    };
    let dead: Result<Vec<DeadEffect>, _> = client.json(Ask::of("dead_effects", &[])).await;
    match dead {
        Ok(dead) if dead.is_empty() => report.ok("server", "answers; nothing was given up"),
        Ok(dead) => report.wrong(
            "server",
            format!("answers; {} things were given up, the last one: {}", dead.len(), dead[0].error),
            "gloaming task dead, then gloaming task revive NUMBER",
        ),
        Err(error) => report.note("server", error.to_string(), "gloaming serve, where it is to run"),
    }
}

#[cfg(feature = "worker")]
async fn engine(home: &Home, config: &Config, report: &mut Report) {
    let named = config.worker.engine;
    match (crate::engine::name(home, named).await, named) {
        (Ok(Some(engine)), Some(_)) => report.ok("engine", format!("{engine}, as [worker] names it")),
        (Ok(Some(engine)), None) => report.ok("engine", engine),
        (Ok(None), Some(named)) => report.wrong(
            "engine",
            format!("{named} does not work, which [worker] names, so no attempt can"),
            "gloaming jobs doctor",
        ),
        (Ok(None), None) => {
            report.wrong("engine", "no container engine works, so no attempt can", "gloaming jobs doctor");
        }
        (Err(error), _) => report.wrong("engine", in_one_line(&error), "gloaming jobs doctor"),
    }
}

#[cfg(feature = "worker")]
fn model(home: &Home, config: &Config, report: &mut Report) {
    let args = super::beside::worker_args(config).model;
    let Some(spec) = &args.model else {
        report.note("model", "none: only playbooks work", "name one under [worker], or set GLOAMING_MODEL");
        return;
    };
    match crate::model::open_model(home, spec, &args.reach, args.reach.model_price.as_deref()) {
        Ok(_) => report.ok("model", format!("{spec}; `gloaming models test {spec}` asks it")),
        Err(error) => report.wrong("model", in_one_line(&error), "see docs/models.md"),
    }
}

async fn code_host(home: &Home, config: &Config, report: &mut Report) {
    if config.github.as_ref().is_some_and(|github| github.webhook_secret_before_file.is_some()) {
        report.note(
            "host",
            "deliveries signed with the webhook secret before this one are taken, too",
            "take webhook_secret_before_file out when GitHub signs with the new one",
        );
    }
    // Nothing is judged here.
    let parts = match host::open(home, config, Arc::new(|_| Err("nothing is judged".to_owned()))) {
        Ok(parts) => parts,
        Err(error) => {
            report.wrong("host", in_one_line(&error), "see docs/github.md");
            return;
        }
    };
    let (Some((host, _)), Some(name)) = (parts.host, parts.name) else {
        report.note("host", "none: no pull requests are made", "name one under [github] (docs/github.md)");
        return;
    };
    match host.me().await {
        Ok(me) => report.ok("host", format!("{name}; it calls us {me}")),
        Err(error) => report.wrong("host", format!("{name}: {error}"), "see docs/github.md"),
    }
}

async fn chats(config: &Config, report: &mut Report) {
    match outside::open(config) {
        Ok(outside) => {
            if let Some(told) = outside.told() {
                report.ok("tells", told);
            }
            match outside.check().await {
                None => {}
                Some(Ok(who)) => report.ok("slack", who),
                Some(Err(why)) => report.wrong("slack", why, "see docs/slack.md"),
            }
        }
        Err(error) => report.wrong("tells", in_one_line(&error), "see docs/slack.md and docs/webhooks.md"),
    }
    if owner_file_is_open() {
        report.wrong(
            "token",
            "the owner's token can be read by others",
            "chmod 600 $GLOAMING_HOME/serve.json",
        );
    }
}

fn owner_file_is_open() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let found = Home::open().ok().and_then(|home| owner_file(&home).metadata().ok());
    found.is_some_and(|found| found.mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_to_do() {
        let mut report = Report::default();
        report.ok("store", "plane.db, 3 tasks");
        report.note("model", "none: only playbooks work", "name one");
        assert!(report.is_well());
        report.wrong("host", "refused\n\u{1b}[2J", "see docs/github.md");
        assert!(!report.is_well());
        insta::assert_snapshot!(report.text(), @r"
        ok     store     plane.db, 3 tasks
        note   model     none: only playbooks work
                         do: name one
        WRONG  host      refused\n\u{1b}[2J
                         do: see docs/github.md
        ");
    }
}
