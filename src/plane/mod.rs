//! The control plane from the command line: running one (`serve`, `control`) and asking one (`task`, `token`).

mod ask;
#[cfg(feature = "worker")]
mod beside;
mod config;
mod doctor;
mod host;
mod init;
mod keep;
mod lanes;
mod outside;
mod serve;
mod standing;
mod stats;
#[cfg(feature = "otlp")]
mod traced;
mod words;

use std::path::{Path, PathBuf};

use gloaming_client::{Client, ClientError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

pub(crate) use self::ask::{task, token};
#[cfg(feature = "worker")]
pub(crate) use self::beside::beside;
pub(crate) use self::doctor::doctor;
pub(crate) use self::init::init;
pub(crate) use self::keep::{backup, restore};
pub(crate) use self::serve::{alone, serve};
pub(crate) use self::stats::stats;
use crate::cli::PlaneArgs;
use crate::context::{self, Home};
use crate::failure::Failure;

/// Where `gloaming serve` leaves its address and a token for the owner of this machine.
pub(crate) fn owner_file(home: &Home) -> PathBuf {
    home.data.join("serve.json")
}

/// Where the control plane's database is.
pub(crate) fn database(home: &Home) -> PathBuf {
    home.data.join("plane.db")
}

/// What is in [`owner_file`], which its owner alone can read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    /// The server's address.
    pub(crate) control: String,
    /// An administrator's token.
    pub(crate) token: String,
}

/// Returns a client for the control plane that the options name, or the one of this machine.
pub(crate) fn client(args: &PlaneArgs) -> anyhow::Result<Client> {
    let home = Home::open()?;
    let file = owner_file(&home);
    let owner = read_owner(&file)?;
    let control = args.control.clone().or_else(|| owner.as_ref().map(|owner| owner.control.clone()));
    let control = control.ok_or_else(|| {
        Failure::usage("no control plane is named, and none was started here")
            .hint("start one with `gloaming serve`, or name one with --control or GLOAMING_CONTROL")
    })?;
    let token = match (&args.token, &args.token_file, context::variable("GLOAMING_TOKEN")) {
        (Some(token), ..) => token.expose_secret().to_owned(),
        (None, Some(path), _) => context::read_text(path, "the token", 4096)?.trim().to_owned(),
        (None, None, Some(token)) => token,
        // The owner's token is for the server that made it, and is sent to no other.
        (None, None, None) => match owner.filter(|owner| owner.control == control) {
            Some(owner) => owner.token,
            None => {
                return Err(Failure::usage(format!("no token for {control}"))
                    .hint("set GLOAMING_TOKEN, or name a file with --token-file")
                    .into());
            }
        },
    };
    Client::new(&control, &SecretString::from(token))
        .map_err(|error| Failure::usage(error.to_string()).into())
}

fn read_owner(file: &Path) -> anyhow::Result<Option<Owner>> {
    if !file.exists() {
        return Ok(None);
    }
    let text = context::read_text(file, "what `gloaming serve` left", 64 << 10)?;
    match serde_json::from_str(&text) {
        Ok(owner) => Ok(Some(owner)),
        Err(error) => Err(Failure::usage(format!("{} is broken: {error}", file.display()))
            .hint("remove it and start `gloaming serve` again")
            .into()),
    }
}

/// An error of the client's as one of the command line's.
pub(crate) fn failure(error: ClientError) -> anyhow::Error {
    use gloaming_api::problem::ProblemCode as Code;
    match &error {
        ClientError::Setup(_) => Failure::usage(error.to_string()).into(),
        ClientError::Refused(problem) => match problem.code {
            Code::Forbidden | Code::Unauthorized | Code::PolicyBlocked => {
                Failure::denied(error.to_string()).into()
            }
            _ => Failure::usage(error.to_string()).into(),
        },
        ClientError::Away(_) | ClientError::Nonsense(_) => {
            Failure::infrastructure("ask the control plane", error).into()
        }
    }
}
