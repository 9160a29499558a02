//! What the operator says about jobs' network: `network.toml` in `$GLOAMING_HOME`, and the settings of the machine's own
//! package managers. Which hosts a job reaches is the policy's to say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gloaming_jobs::{Egress, EgressLimits};
use gloaming_policies::{ClientSettings, Diagnostic, Grant, HostSets, units};
use serde::Deserialize;

use crate::context::{self, Home};
use crate::failure::Failure;

/// The operator's file.
const FILE: &str = "network.toml";

/// The largest settings file of a package manager that is looked at, bytes, and how many of cargo's indexes.
const SETTINGS_CAP: u64 = 1 << 20;
const MOST_INDEXES: usize = 64;

/// `network.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// The hosts of the sets that policies name, beside those that the machine's package managers ask.
    sets: BTreeMap<String, Vec<String>>,
    /// Hosts that may be at a private address, each `host:port`.
    private: Vec<String>,
    /// Variables of jobs with network.
    env: BTreeMap<String, String>,
    limits: Limits,
}

/// What one job may use; what is left out is as by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    connections: Option<usize>,
    attempts: Option<u64>,
    connect: Option<String>,
    head: Option<String>,
    idle: Option<String>,
    head_size: Option<String>,
    headers: Option<usize>,
    up: Option<String>,
    down: Option<String>,
}

/// Returns what this operator says.
///
/// # Errors
/// A file that does not load, with what is wrong in it.
pub(crate) fn egress(home: &Home) -> anyhow::Result<Egress> {
    let path = home.data.join(FILE);
    let file = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::default(),
        _ => {
            let text = context::read_text(&path, "the network file", context::FILE_CAP)?;
            toml::from_str(&text).map_err(|error| bad(&path, &error.to_string()))?
        }
    };
    let settings = of_machine();
    let named = HostSets::new(file.sets).map_err(|error| bad(&path, &error))?;
    let mut env = settings.job_env();
    env.extend(file.env);
    let egress = Egress {
        sets: named.and(HostSets::of_machine(&settings)),
        private: file.private,
        env,
        limits: limits(&file.limits).map_err(|error| bad(&path, &error))?,
        ..Egress::default()
    };
    // What the proxy would refuse at the first job is refused before anything runs.
    egress.check().map_err(|error| bad(&path, &error))?;
    Ok(egress)
}

/// Returns a fault for each place at which a policy names a set of hosts in which there is nothing.
pub(crate) fn unfilled(home: &Home, grant: &Grant) -> anyhow::Result<Vec<Diagnostic>> {
    let sets = egress(home)?.sets;
    let mut faults = grant.unfilled_sets(&sets);
    for fault in &mut faults {
        let file = home.data.join(FILE);
        fault.hint = Some(format!(
            "say in {} which hosts it is (`[sets]`, `registry = [\"https://host:443\"]`), or name hosts in the policy \
             instead of the set; `gloaming jobs doctor` shows what is in it",
            file.display()
        ));
    }
    Ok(faults)
}

fn bad(path: &Path, what: &str) -> anyhow::Error {
    Failure::usage(format!("{} does not load: {}", path.display(), what.trim_end()))
        .hint("docs/network.md says what may stand in it")
        .into()
}

fn limits(file: &Limits) -> Result<EgressLimits, String> {
    let default = EgressLimits::DEFAULT;
    Ok(EgressLimits {
        connections: some("connections", file.connections, default.connections)?,
        attempts: some("attempts", file.attempts, default.attempts)?,
        connect: duration("connect", &file.connect, default.connect)?,
        head: duration("head", &file.head, default.head)?,
        idle: duration("idle", &file.idle, default.idle)?,
        head_bytes: match &file.head_size {
            None => default.head_bytes,
            Some(text) => {
                size("head_size", text)?.try_into().map_err(|_| "`head_size` is too large".to_owned())?
            }
        },
        headers: some("headers", file.headers, default.headers)?,
        up: file.up.as_ref().map_or(Ok(default.up), |text| size("up", text))?,
        down: file.down.as_ref().map_or(Ok(default.down), |text| size("down", text))?,
    })
}

fn some<T: PartialEq + Default>(key: &str, value: Option<T>, default: T) -> Result<T, String> {
    match value {
        None => Ok(default),
        Some(value) if value == T::default() => {
            Err(format!("`{key} = 0` lets nothing through; take the hosts out of the policy instead"))
        }
        Some(value) => Ok(value),
    }
}

fn duration(key: &str, text: &Option<String>, default: Duration) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    let seconds = units::seconds(text).filter(|seconds| *seconds > 0);
    let seconds =
        seconds.ok_or_else(|| format!("`{key}`: {text:?} is no time; write it as \"20s\" or \"2m\""))?;
    Ok(Duration::from_secs(seconds))
}

fn size(key: &str, text: &str) -> Result<u64, String> {
    units::bytes(text).ok_or_else(|| format!("`{key}`: {text:?} is no size; write it as \"256MiB\""))
}

/// Reads what the machine's package managers are set to. What cannot be read is as if it were not there: they could not
/// read it either.
fn of_machine() -> ClientSettings {
    let path = |name: &str| context::variable_os(name).map(PathBuf::from);
    let home = path("HOME");
    let below = |parts: &str| home.as_ref().map(|home| home.join(parts));
    let config = path("XDG_CONFIG_HOME").or_else(|| below(".config"));
    let in_config = |parts: &str| config.as_ref().map(|config| config.join(parts));
    let cargo = path("CARGO_HOME").or_else(|| below(".cargo"));
    let in_cargo = |part: &str| cargo.as_ref().map(|cargo| cargo.join(part));
    let texts =
        |paths: Vec<Option<PathBuf>>| paths.into_iter().flatten().filter_map(|path| setting(&path)).collect();
    let pip_indexes = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"]
        .into_iter()
        .filter_map(context::variable)
        .flat_map(|urls| urls.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    ClientSettings {
        cargo: texts(vec![in_cargo("config.toml"), in_cargo("config")]),
        cargo_indexes: in_cargo("registry/index").map_or_else(Vec::new, |folder| indexes(&folder)),
        pip: texts(vec![
            path("PIP_CONFIG_FILE"),
            in_config("pip/pip.conf"),
            below(".pip/pip.conf"),
            Some("/etc/pip.conf".into()),
        ]),
        npm: texts(vec![
            path("NPM_CONFIG_USERCONFIG")
                .or_else(|| path("npm_config_userconfig"))
                .or_else(|| below(".npmrc")),
            Some("/etc/npmrc".into()),
        ]),
        pip_indexes,
        npm_registry: context::variable("npm_config_registry")
            .or_else(|| context::variable("NPM_CONFIG_REGISTRY")),
        go_proxy: context::variable("GOPROXY").or_else(|| go_env(&setting(&in_config("go/env")?)?)),
    }
}

/// Go keeps what `go env -w` sets as lines `NAME=value`.
fn go_env(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("GOPROXY=")).map(|value| value.trim().to_owned())
}

fn setting(path: &Path) -> Option<String> {
    context::read_text(path, "a setting", SETTINGS_CAP).ok()
}

/// The indexes that cargo has asked, with what each said of itself.
fn indexes(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(String, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, setting(&entry.path().join("config.json"))?))
        })
        .take(MOST_INDEXES)
        .collect();
    found.sort();
    found
}
