//! The operator's `gloaming.toml`: what the control plane listens on, which code host it speaks to, and what the worker beside
//! it works with. Secrets are in files of their own, which only their owner can read.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gloaming_api::access::{RepoPattern, Scope};
use secrecy::SecretString;
use serde::Deserialize;

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
    /// Where workers clone from, `{repo}` in the place of `owner/name`. A path or a URL without credentials.
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
    /// The worker in the same process.
    #[serde(default)]
    pub(crate) worker: Worker,
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

    #[test]
    fn what_is_relative_lies_beside_the_file() {
        let text = "schema = 1\nlisten = \"0.0.0.0:80\"\nclone = \"/srv/git/{repo}.git\"\npolicies = \"policies\"\n\
                    [github]\napp = 7\nkey_file = \"app.pem\"\n[worker]\njobs = 2\n";
        let config = parse(text, Path::new("/etc/gloaming")).unwrap();
        assert_eq!(config.policies.as_deref(), Some(Path::new("/etc/gloaming/policies")));
        assert_eq!(config.github.unwrap().key_file.as_deref(), Some(Path::new("/etc/gloaming/app.pem")));
        assert_eq!((config.worker.jobs, config.worker.model), (Some(2), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused =
            |text: &str| parse(text, Path::new("/")).unwrap_err().lines().last().unwrap_or("").to_owned();
        insta::assert_snapshot!(refused("schema = 2"), @"schema = 2 is not known here; want schema = 1");
        insta::assert_snapshot!(refused("schema = 1\nclone = \"/srv/git\""), @"`clone` says nothing of the repository; want `{repo}` in it");
        insta::assert_snapshot!(refused("schema = 1\n[github]\napp = 1"), @"[github] wants either `app` and `key_file`, or `token_file`, and not both");
        let slack = |user: &str| {
            refused(&format!(
                "schema = 1\n[slack]\nsigning_secret_file = \"a\"\ntoken_file = \"b\"\nusers = [{{{user}}}]\n"
            ))
        };
        insta::assert_snapshot!(slack("team = \"T1\", user = \"@ada\", scope = \"submit\", repos = [\"*\"]"), @r#"[slack] users: team = "T1", user = "@ada": want their ids, like T0123ABCD and U0123ABCD, or user = "*""#);
        insta::assert_snapshot!(slack("team = \"T1\", user = \"*\", scope = \"admin\", repos = [\"*\"]"), @"[slack] users: a chat's user has the scope `read` or `submit`, and no other");
        insta::assert_snapshot!(refused("schema = 1\nlisten_on = \"x\""), @"unknown field `listen_on`, expected one of `schema`, `listen`, `clone`, `policies`, `tls`, `github`, `slack`, `webhook`, `lease_s`, `worker`");
        insta::assert_snapshot!(refused("schema = 1\nlease_s = 4"), @"`lease_s`: want 5 to 3600 seconds");
    }
}
