//! The operator's `gloaming.toml`: what the control plane listens on, which code host it speaks to, and what the worker beside
//! it works with. Secrets are in files of their own, which only their owner can read.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gloaming_api::RepoId;
use gloaming_api::access::{RepoPattern, Scope};
use gloaming_api::task::{NewTask, TaskKind};
use gloaming_server::upkeep::{Keep, Schedule, Standing};
use gloaming_store::Share;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::cli::EngineName;
use crate::context::{self, Home};
use crate::failure::Failure;

/// Where the control plane listens when nothing is said.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8787);

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Version of its format: 1.
    pub(crate) schema: u32,
    /// The address to listen on.
    pub(crate) listen: Option<SocketAddr>,
    /// Where workers clone from, `{repo}` in the place of `owner/name`. A URL without credentials. Where none is named
    /// they read through the control plane, or from GitHub where that has no code host.
    pub(crate) clone: Option<String>,
    /// The folder of the operator's policies.
    pub(crate) policies: Option<PathBuf>,
    /// A certificate, and its key.
    pub(crate) tls: Option<Tls>,
    /// GitHub.
    pub(crate) github: Option<GitHub>,
    /// Slack.
    pub(crate) slack: Option<Slack>,
    /// Where events of tasks are sent.
    #[serde(default, rename = "webhook")]
    pub(crate) webhooks: Vec<Webhook>,
    /// How long a lease holds that is not renewed, seconds.
    pub(crate) lease_s: Option<u64>,
    /// How long what is kept.
    #[serde(default)]
    pub(crate) keep: KeepDays,
    /// What repositories are given of the workers.
    #[serde(default, rename = "repo")]
    pub(crate) repos: Vec<RepoShare>,
    /// What is asked for again and again.
    #[serde(default, rename = "schedule")]
    pub(crate) schedules: Vec<ScheduleOf>,
    /// The worker in the same process.
    #[serde(default)]
    pub(crate) worker: Worker,
}

/// How long what is kept, days; 0 for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepDays {
    /// Tasks after their end; 180 where nothing is said.
    pub(crate) tasks_days: Option<u32>,
    /// The audit log; 730 where nothing is said.
    pub(crate) audit_days: Option<u32>,
}

/// What repositories are given of the workers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepoShare {
    /// Which: `owner/name`, `owner/*` or `*`. The one that names the least counts.
    pub(crate) name: RepoPattern,
    /// Its weight, 1 to 1,000; 100 where none is given.
    pub(crate) weight: Option<u32>,
    /// How many of a repository's tasks may run at once; 0 holds it, 4 where nothing is said.
    pub(crate) running: Option<u32>,
}

/// A task that is asked for again and again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleOf {
    /// What it is called.
    pub(crate) name: String,
    /// When: minute, hour, day of the month, month, day of the week.
    pub(crate) cron: String,
    /// The time zone that is meant; UTC where none is named.
    pub(crate) zone: Option<String>,
    /// The repository.
    pub(crate) repo: RepoId,
    /// What is to be done.
    pub(crate) text: String,
    /// The branch, tag or commit to start from.
    pub(crate) base: Option<String>,
    #[serde(default)]
    pub(crate) priority: i32,
    /// Labels that a worker must have.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// The most that it may cost, US dollars.
    pub(crate) cost_usd: Option<f64>,
}

impl Config {
    /// Returns what counts while the control plane runs, and is read again when the file changes.
    ///
    /// # Errors
    /// What of it cannot be; in words that name the place.
    pub(crate) fn standing(&self) -> Result<Standing, String> {
        let usual = gloaming_store::Limits::default();
        let days = (self.keep.tasks_days.unwrap_or(180), self.keep.audit_days.unwrap_or(730));
        let keep = Keep::days(days.0, days.1).map_err(|why| format!("[keep]: {why}"))?;
        let mut shares: Vec<(RepoPattern, Share)> = Vec::new();
        for (number, repo) in (1..).zip(&self.repos) {
            let place = format!("[[repo]] number {number} ({})", repo.name);
            let weight = repo.weight.unwrap_or(Share::WEIGHT);
            if !(1..=1_000).contains(&weight) {
                return Err(format!(
                    "{place}: weight = {weight}: want 1 to 1000; running = 0 holds a repository"
                ));
            }
            let name = repo.name.to_lowercase();
            if shares.iter().any(|(other, _)| *other == name) {
                return Err(format!("{place}: there is one of that name before it"));
            }
            shares.push((name, Share { weight, running: repo.running.unwrap_or(usual.running) }));
        }
        let mut schedules: Vec<Schedule> = Vec::new();
        for (number, of) in (1..).zip(&self.schedules) {
            let place = format!("[[schedule]] number {number} ({})", of.name.escape_debug());
            let task = NewTask {
                repo: of.repo.clone(),
                kind: TaskKind::Change,
                text: of.text.clone(),
                base: of.base.clone(),
                priority: of.priority,
                not_before: None,
                supersede: None,
                needs: of.needs.clone(),
                cost_usd: of.cost_usd,
            };
            let schedule = Schedule::new(&of.name, &of.cron, of.zone.as_deref().unwrap_or("UTC"), task)
                .map_err(|why| format!("{place}: {why}"))?;
            if schedules.iter().any(|other| other.name() == schedule.name()) {
                return Err(format!("{place}: there is one of that name before it"));
            }
            schedules.push(schedule);
        }
        Ok(Standing { keep, shares, schedules })
    }

    /// Returns the rest of it, which counts from a start to the next.
    pub(crate) fn lasting(&self) -> Self {
        Self { keep: KeepDays::default(), repos: Vec::new(), schedules: Vec::new(), ..self.clone() }
    }
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// GitHub, or GitHub Enterprise.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GitHub {
    /// The API's address; GitHub's own where none is given.
    pub(crate) api: Option<String>,
    /// The App's id.
    pub(crate) app: Option<u64>,
    /// The file of the App's private key, PEM.
    pub(crate) key_file: Option<PathBuf>,
    /// The file of a token, in the place of an App.
    pub(crate) token_file: Option<PathBuf>,
    /// The file of the secret that webhooks are signed with; without one none is taken.
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// The file of the one before it, which is taken beside it while it is changed.
    pub(crate) webhook_secret_before_file: Option<PathBuf>,
    /// The label by which work is asked for; `gloaming` where none is given.
    pub(crate) label: Option<String>,
    /// The name that is spoken to in comments, without `@`; `gloaming` where none is given.
    pub(crate) name: Option<String>,
}

/// Slack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    /// The Web API's address; Slack's own where none is given.
    pub(crate) api: Option<String>,
    /// The file of the secret that its requests are signed with.
    pub(crate) signing_secret_file: PathBuf,
    /// The file of the bot's token.
    pub(crate) token_file: PathBuf,
    /// Who may do what; nobody where nobody is named.
    #[serde(default)]
    pub(crate) users: Vec<ChatUser>,
}

/// Somebody in a chat, and what they may do.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatUser {
    /// The workspace's id.
    pub(crate) team: String,
    /// The person's id; `*` for everybody of the workspace.
    pub(crate) user: String,
    /// `read` or `submit`.
    pub(crate) scope: Scope,
    /// Of which repositories.
    pub(crate) repos: Vec<RepoPattern>,
}

/// An address that events of tasks are sent to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// The address.
    pub(crate) url: String,
    /// The file of the secret that they are signed with.
    pub(crate) secret_file: PathBuf,
    /// Which, by name; all where none is named.
    #[serde(default)]
    pub(crate) events: Vec<String>,
    /// Of which repositories; of all where none is named.
    #[serde(default)]
    pub(crate) repos: Vec<RepoPattern>,
    /// Whether the address may be one of this machine or of a private network.
    #[serde(default)]
    pub(crate) private: bool,
}

/// The worker in the same process as the control plane. The names are those of the options of `gloaming worker`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    pub(crate) jobs: Option<u32>,
    #[serde(default, deserialize_with = "engine")]
    pub(crate) engine: Option<EngineName>,
    pub(crate) model: Option<String>,
    pub(crate) review_model: Option<String>,
    pub(crate) model_url: Option<String>,
    pub(crate) model_key_file: Option<PathBuf>,
    pub(crate) model_price: Option<String>,
    pub(crate) model_rpm: Option<u32>,
    pub(crate) model_tpm: Option<u32>,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
}

/// Takes an engine's name, so that one which is none is refused where it stands.
fn engine<'de, D: Deserializer<'de>>(from: D) -> Result<Option<EngineName>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// Reads the configuration: the file that is named, else the one under `$GLOAMING_HOME` where there is one. Returns also
/// where it was read.
pub(crate) fn read(home: &Home, named: Option<&Path>) -> anyhow::Result<(Config, Option<PathBuf>)> {
    let path = match named {
        Some(path) => std::path::absolute(path)?,
        None => home.data.join("gloaming.toml"),
    };
    if named.is_none() && !path.exists() {
        return Ok((Config { schema: 1, ..Config::default() }, None));
    }
    let text = context::read_text(&path, "the configuration", context::FILE_CAP)?;
    let config = parse(&text, path.parent().unwrap_or(Path::new("/")))
        .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    Ok((config, Some(path)))
}

/// Reads a configuration's text; what is relative in it lies in `folder`.
pub(super) fn parse(text: &str, folder: &Path) -> Result<Config, String> {
    let mut config: Config = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if config.schema != 1 {
        return Err(format!("schema = {} is not known here; want schema = 1", config.schema));
    }
    if let Some(clone) = &config.clone
        && !clone.contains("{repo}")
    {
        return Err("`clone` says nothing of the repository; want `{repo}` in it".to_owned());
    }
    if config.clone.as_ref().is_some_and(|clone| clone.starts_with('/')) {
        return Err("`clone` is a path; want a URL: file:// before it".to_owned());
    }
    if config.lease_s.is_some_and(|seconds| !(5..=3_600).contains(&seconds)) {
        return Err("`lease_s`: want 5 to 3600 seconds".to_owned());
    }
    if let Some(github) = &config.github {
        match (github.app, &github.key_file, &github.token_file) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => {}
            _ => {
                return Err(
                    "[github] wants either `app` and `key_file`, or `token_file`, and not both".to_owned()
                );
            }
        }
        if github.webhook_secret_before_file.is_some() && github.webhook_secret_file.is_none() {
            return Err(
                "[github] webhook_secret_before_file: there is no `webhook_secret_file` beside it".to_owned()
            );
        }
    }
    for user in config.slack.iter().flat_map(|slack| &slack.users) {
        let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id(&user.team) || !(user.user == "*" || is_id(&user.user)) {
            return Err(format!(
                "[slack] users: team = {:?}, user = {:?}: want their ids, like T0123ABCD and U0123ABCD, or user = \"*\"",
                user.team, user.user
            ));
        }
        if !matches!(user.scope, Scope::Read | Scope::Submit) {
            return Err(
                "[slack] users: a chat's user has the scope `read` or `submit`, and no other".to_owned()
            );
        }
    }
    for (at, webhook) in config.webhooks.iter().enumerate() {
        // It is known by its address: what is sent there once is not sent a second time.
        if config.webhooks[..at]
            .iter()
            .any(|other| gloaming_server::webhook::is_same(&other.url, &webhook.url))
        {
            return Err(format!(
                "[[webhook]] number {}: there is one of that address before it; name all its events and repositories in one",
                at + 1
            ));
        }
    }
    config.standing()?;
    // What is relative lies beside the file.
    let beside = |path: &mut PathBuf| *path = folder.join(&*path);
    config.policies.iter_mut().for_each(beside);
    config.worker.model_key_file.iter_mut().for_each(beside);
    if let Some(tls) = &mut config.tls {
        beside(&mut tls.certificate);
        beside(&mut tls.key);
    }
    if let Some(github) = &mut config.github {
        github.key_file.iter_mut().for_each(beside);
        github.token_file.iter_mut().for_each(beside);
        github.webhook_secret_file.iter_mut().for_each(beside);
        github.webhook_secret_before_file.iter_mut().for_each(beside);
    }
    if let Some(slack) = &mut config.slack {
        beside(&mut slack.signing_secret_file);
        beside(&mut slack.token_file);
    }
    config.webhooks.iter_mut().for_each(|webhook| beside(&mut webhook.secret_file));
    Ok(config)
}

/// Reads a secret's file, which nobody but its owner may be able to read.
pub(crate) fn secret(path: &Path, what: &str) -> anyhow::Result<SecretString> {
    let text = context::read_text(path, what, 64 << 10)?;
    let mode =
        path.metadata().map_err(|error| Failure::disk(&format!("look at {}", path.display()), error))?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!("{what} {} can be read by others", path.display()))
            .hint(format!("chmod 600 {}", path.display()))
            .into());
    }
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("{what} {} is empty", path.display())).into());
    }
    Ok(SecretString::from(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, Path::new("/")).unwrap_err().lines().last().unwrap_or("").to_owned()
    }

    #[test]
    fn what_is_relative_lies_beside_the_file() {
        let text = "schema = 1\nlisten = \"0.0.0.0:80\"\nclone = \"file:///srv/git/{repo}.git\"\npolicies = \"policies\"\n\
                    [github]\napp = 7\nkey_file = \"app.pem\"\n[worker]\njobs = 2\n";
        let config = parse(text, Path::new("/etc/gloaming")).unwrap();
        assert_eq!(config.policies.as_deref(), Some(Path::new("/etc/gloaming/policies")));
        assert_eq!(config.github.unwrap().key_file.as_deref(), Some(Path::new("/etc/gloaming/app.pem")));
        assert_eq!((config.worker.jobs, config.worker.model), (Some(2), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        insta::assert_snapshot!(refused("schema = 2"), @"schema = 2 is not known here; want schema = 1");
        insta::assert_snapshot!(refused("schema = 1\nclone = \"/srv/git\""), @"`clone` says nothing of the repository; want `{repo}` in it");
        insta::assert_snapshot!(refused("schema = 1\n[github]\napp = 1"), @"[github] wants either `app` and `key_file`, or `token_file`, and not both");
        insta::assert_snapshot!(refused("schema = 1\n[github]\ntoken_file = \"t\"\nwebhook_secret_before_file = \"s\""), @"[github] webhook_secret_before_file: there is no `webhook_secret_file` beside it");
        let slack = |user: &str| {
            refused(&format!(
                "schema = 1\n[slack]\nsigning_secret_file = \"a\"\ntoken_file = \"b\"\nusers = [{{{user}}}]\n"
            ))
        };
        insta::assert_snapshot!(slack("team = \"T1\", user = \"@ada\", scope = \"submit\", repos = [\"*\"]"), @r#"[slack] users: team = "T1", user = "@ada": want their ids, like T0123ABCD and U0123ABCD, or user = "*""#);
        insta::assert_snapshot!(slack("team = \"T1\", user = \"*\", scope = \"admin\", repos = [\"*\"]"), @"[slack] users: a chat's user has the scope `read` or `submit`, and no other");
        insta::assert_snapshot!(refused("schema = 1\n[keep]\ntasks_days = 1"), @"[keep]: tasks_days = 1: want at least 7, or 0 for ever: a code host sends deliveries again for some days");
        insta::assert_snapshot!(refused("schema = 1\n[keep]\naudit_days = 30"), @"[keep]: audit_days = 30: want at least as much as tasks_days, or 0 for ever: the log tells who asked for what");
        insta::assert_snapshot!(refused("schema = 1\n[[repo]]\nname = \"acme/*\"\nweight = 0"), @"[[repo]] number 1 (acme/*): weight = 0: want 1 to 1000; running = 0 holds a repository");
        insta::assert_snapshot!(refused("schema = 1\n[[repo]]\nname = \"acme/*\"\n[[repo]]\nname = \"ACME/*\""), @"[[repo]] number 2 (ACME/*): there is one of that name before it");
        let hook = |url: &str| format!("[[webhook]]\nurl = {url:?}\nsecret_file = \"a\"\n");
        let hooks = |one, other| refused(&format!("schema = 1\n{}{}", hook(one), hook(other)));
        insta::assert_snapshot!(hooks("https://one.acme.example", "https://ONE.acme.example:443/"), @"[[webhook]] number 2: there is one of that address before it; name all its events and repositories in one");
        let text = format!(
            "schema = 1\n{}{}",
            hook("https://one.acme.example/a"),
            hook("https://one.acme.example/b")
        );
        assert!(parse(&text, Path::new("/")).is_ok());
        let schedule = |rest: &str| {
            refused(&format!("schema = 1\n[[schedule]]\nname = \"nightly\"\nrepo = \"acme/api\"\n{rest}\n"))
        };
        insta::assert_snapshot!(schedule("text = \"tidy\"\ncron = \"61 * * * *\""), @r#"[[schedule]] number 1 (nightly): cron = "61 * * * *": Component error: Number out of bounds."#);
        insta::assert_snapshot!(schedule("text = \"tidy\"\ncron = \"* * * * * *\""), @r#"[[schedule]] number 1 (nightly): cron = "* * * * * *": want five fields: minute, hour, day of the month, month, day of the week; or @daily"#);
        insta::assert_snapshot!(schedule("text = \"tidy\"\ncron = \"0 0 31 2 *\""), @r#"[[schedule]] number 1 (nightly): cron = "0 0 31 2 *": there is no such time"#);
        insta::assert_snapshot!(schedule("text = \"tidy\"\ncron = \"@daily\"\nzone = \"Mars/Base\""), @r#"[[schedule]] number 1 (nightly): zone = "Mars/Base": no time zone is called that; want one like UTC or Europe/Berlin"#);
        insta::assert_snapshot!(schedule("text = \" \"\ncron = \"@daily\""), @"[[schedule]] number 1 (nightly): at `text`: want 1 to 262144 bytes that are not all white space");
        insta::assert_snapshot!(refused("schema = 1\nlisten_on = \"x\""), @"unknown field `listen_on`, expected one of `schema`, `listen`, `clone`, `policies`, `tls`, `github`, `slack`, `webhook`, `lease_s`, `keep`, `repo`, `schedule`, `worker`");
        insta::assert_snapshot!(refused("schema = 1\nclone = \"/srv/git/{repo}.git\""), @"`clone` is a path; want a URL: file:// before it");
        #[cfg(feature = "worker")]
        insta::assert_snapshot!(parse("schema = 1\n[worker]\nengine = \"rkt\"", Path::new("/")).unwrap_err(), @r#"
        TOML parse error at line 3, column 10
          |
        3 | engine = "rkt"
          |          ^^^^^
        "rkt" is no container engine: want embedded, docker, podman or kubernetes
        "#);
        insta::assert_snapshot!(refused("schema = 1\nlease_s = 4"), @"`lease_s`: want 5 to 3600 seconds");
    }

    #[test]
    fn the_example_is_one_with_every_key() {
        let example = include_str!("../../docs/install/gloaming.toml");
        parse(example, Path::new("/")).unwrap();
        // What is commented out in it: keys and tables, without the words about them.
        let is_toml = |line: &str| {
            line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        };
        let mut all = String::new();
        for line in example.lines() {
            let bare = line.strip_prefix("# ").filter(|bare| is_toml(bare)).unwrap_or(line);
            all += &format!("{bare}\n");
        }
        let config = parse(&all, Path::new("/")).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((config.repos.len(), config.schedules.len(), config.webhooks.len()), (2, 1, 1));
        assert!(config.tls.is_some() && config.slack.is_some() && config.github.is_some());
        // Every key that there is: those that are told to whoever writes another.
        for table in [
            "",
            "[tls]",
            "[github]",
            "[slack]",
            "[[webhook]]",
            "[keep]",
            "[[repo]]",
            "[[schedule]]",
            "[worker]",
        ] {
            let told = refused(&format!("schema = 1\n{table}\nnone-such = 1\n"));
            let (_, known) = told.split_once("expected ").unwrap_or_else(|| panic!("{told}"));
            for key in known.split('`').skip(1).step_by(2) {
                let says = |line: &str| {
                    let line = line.trim_start_matches(['#', ' ', '[']);
                    line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', ']']))
                };
                assert!(example.lines().any(says), "{table} {key} is not in the example");
            }
        }
    }

    #[test]
    fn what_counts_while_it_runs_is_apart_from_the_rest() {
        let text =
            "schema = 1\n[keep]\ntasks_days = 0\naudit_days = 0\n[[repo]]\nname = \"*\"\nrunning = 2\n";
        let config = parse(text, Path::new("/")).unwrap();
        assert_eq!(config.lasting(), parse("schema = 1", Path::new("/")).unwrap());
        let standing = config.standing().unwrap();
        assert_eq!(standing.keep, Keep { tasks: None, audit: None });
        assert_eq!(standing.shares, [(RepoPattern::all(), Share { weight: 100, running: 2 })]);
    }
}
