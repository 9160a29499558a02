//! `gloaming serve` and `gloaming control`: the control plane, with a worker in the same process or without.

use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_api::access::{NewToken, RepoPattern, Scope, TokenMade};
use gloaming_server::{Policies, Reads, Server, Settings};
use gloaming_store::{Limits, SqliteStore, Store};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::config::{self, Config, LISTEN};
use super::{Owner, owner_file, read_owner};
use crate::cli::{LogFormat, ServeArgs};
use crate::context::{self, Home};
use crate::failure::{Failure, exit};
use crate::told::print_json;

/// How long what is under way outside has to end when this is stopped.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// What the token of this machine's owner is called.
const OWNER: &str = "owner";

/// A worker in the same process.
pub(crate) struct Worker {
    /// The engine that its jobs run with; none where none works.
    pub(crate) engine: Option<String>,
    /// Its model.
    pub(crate) model: Option<String>,
    /// What it has.
    pub(crate) labels: Vec<String>,
    /// How many attempts it runs at once.
    pub(crate) jobs: u32,
    /// Works until it is told to stop.
    pub(crate) run: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What a worker in the same process is made of.
#[cfg_attr(not(feature = "worker"), expect(dead_code, reason = "there is none"))]
pub(crate) struct Place<'a> {
    pub(crate) home: &'a Home,
    pub(crate) config: &'a Config,
    pub(crate) server: &'a Server,
    pub(crate) store: &'a dyn Store,
    /// Where this server is reached from this machine, without TLS.
    pub(crate) address: &'a str,
    pub(crate) stop: CancellationToken,
}

/// A control plane alone.
pub(crate) async fn alone(_: Place<'_>) -> anyhow::Result<Option<Worker>> {
    Ok(None)
}

/// Serves, with what `worker` makes beside it.
pub(crate) async fn serve(
    args: ServeArgs,
    worker: impl AsyncFnOnce(Place<'_>) -> anyhow::Result<Option<Worker>>,
) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let (config, read_from) = config::read(&home, args.config.as_deref())?;
    let listen = args.listen.or(config.listen).unwrap_or(LISTEN);
    if config.tls.is_none() && !listen.ip().is_loopback() {
        crate::logs::say(&format!(
            "note: {listen} is reached by others, and nothing is encrypted; name a certificate under [tls], or put a proxy \
             with one before it"
        ));
    }
    let stop = CancellationToken::new();
    let told_to = stop.clone();
    crate::signals::on_stop(move || told_to.cancel());

    let _alone = alone_in(&home)?;
    let database = super::database(&home);
    let store: Arc<dyn Store> = Arc::new(
        SqliteStore::open(&database, Limits::default())
            .map_err(|error| Failure::infrastructure(&format!("open {}", database.display()), error))?,
    );
    let policies = policies(&home, &config)
        .map_err(|faults| Failure::usage(format!("the policies do not load\n{faults}")))?;
    let policies = Arc::new(policies);
    let parts = super::host::open(&home, &config, policies.grants())?;
    let outside = super::outside::open(&config)?;
    let slack = outside.shared.clone();
    let reads = parts.host.as_ref().map(|(host, _)| Arc::new(Reads::new(host.clone())));
    let mut settings = Settings {
        github_secret: parts.webhook_secret,
        github_secret_before: parts.webhook_secret_before,
        slack,
        reads,
        ..Settings::default()
    };
    settings.tls = config
        .tls
        .as_ref()
        .map(|tls| gloaming_server::Tls { certificate: tls.certificate.clone(), key: tls.key.clone() });
    settings.clone.clone_from(&config.clone);
    if let Some(seconds) = config.lease_s {
        settings.lease = Duration::from_secs(seconds);
    }
    let lease = settings.lease;
    let clock: gloaming_server::Clock = Arc::new(context::now);
    let server = Server::new(store, settings, clock, Arc::clone(&policies), parts.acceptor)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let store = server.store();

    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| {
        Failure::infrastructure(&format!("listen on {listen}"), error)
            .hint("another server may be there: name another address with --listen")
    })?;
    let address = listener.local_addr().map_err(|error| Failure::infrastructure("listen", error))?;

    // Whoever worked while this was away could not renew; what an earlier process was at when it died, nobody is at now.
    let now = context::now();
    store.grace(lease, now).map_err(|error| Failure::infrastructure("look at the leases", error))?;
    store.let_go(now).map_err(|error| Failure::infrastructure("look at what is to be done", error))?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let first = match args.bootstrap {
        true => {
            forget_owners(&home, store.as_ref())?;
            gloaming_server::bootstrap(store.as_ref(), now)
                .map_err(|error| Failure::infrastructure("make the first token", error))?
        }
        false => None,
    };
    let owner = owner(&home, store.as_ref(), &url, !args.bootstrap)?;

    // Git is a process of its own, and does not know the certificate's name.
    let beside = match config.tls {
        Some(_) => Some(
            tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .map_err(|error| Failure::infrastructure("listen on loopback for the worker", error))?,
        ),
        None => None,
    };
    let for_git = match beside.as_ref().map(tokio::net::TcpListener::local_addr) {
        Some(address) => address.map_err(|error| Failure::infrastructure("listen", error))?,
        None => reached(address),
    };
    let place = Place {
        home: &home,
        config: &config,
        server: &server,
        store: store.as_ref(),
        address: &format!("http://{for_git}"),
        stop: stop.clone(),
    };
    let worker = worker(place).await?;
    let beside = beside.filter(|_| worker.is_some());
    #[cfg(feature = "otlp")]
    let tracer = super::traced::open(store.clone())?;
    told(
        &args,
        &Told {
            url: &url,
            config: read_from.as_deref(),
            database: &database,
            policies: policies.counting(),
            host: parts.name,
            outside: outside.told(),
            worker: worker.as_ref(),
            schedules: config
                .standing()
                .map_err(Failure::usage)?
                .schedules
                .iter()
                .map(|schedule| super::standing::next(schedule, context::now()))
                .collect(),
            owner: owner.as_deref(),
            first: first.as_ref().map(|made| made.token.as_str()),
        },
    );

    let upkeep = tokio::spawn({
        let upkeep = gloaming_server::upkeep::Upkeep::new(store.clone(), server.grants());
        let (config, path, stop) = (config.clone(), read_from.clone(), stop.clone());
        async move { super::standing::keep_up(upkeep, &config, path, stop).await }
    });
    #[cfg(feature = "otlp")]
    let traces = tracer.map(|tracer| tokio::spawn(super::traced::send(tracer, stop.clone())));
    let checks = parts.host.as_ref().is_some_and(|(host, _)| host.writes_checks());
    let workers = outside.workers(&server, checks);
    let mut effects = tokio::spawn(super::host::work_off(
        store.clone(),
        parts.host,
        server.grants(),
        parts.gate,
        parts.key,
        workers,
        stop.clone(),
    ));
    let working = worker.map(|worker| tokio::spawn(worker.run));
    // Attempts are given back while the server still answers.
    let stopping = async move {
        stop.cancelled().await;
        if let Some(working) = working {
            let _ = working.await;
        }
    };
    let cut = server.serve_beside(listener, beside, stopping).await;
    // What is under way outside is ended; what takes longer is found again at the next start.
    if tokio::time::timeout(UNDER_WAY, &mut effects).await.is_err() {
        effects.abort();
    }
    let _ = upkeep.await;
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces {
        let _ = traces.await;
    }
    if cut > 0 {
        tracing::warn!(cut, "connections were cut that did not end in time");
    }
    Ok(ExitCode::from(exit::OK))
}

/// How long the lock of a folder is waited for, and how often it is tried.
const LOCKED: Duration = Duration::from_secs(3);
const TRY: Duration = Duration::from_millis(50);

/// Holds the folder as long as what is returned lives: two that serve from one would do what is to be done twice.
fn alone_in(home: &Home) -> anyhow::Result<File> {
    let path = home.data.join("serve.lock");
    let failed = |error| Failure::disk(&format!("lock {}", path.display()), error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    // One that was killed while it started a process leaves its lock with that one until it is the program it becomes.
    let end = Instant::now() + LOCKED;
    let mut locked = file.try_lock();
    while matches!(locked, Err(TryLockError::WouldBlock)) && Instant::now() < end {
        std::thread::park_timeout(TRY);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
            "another gloaming serves from this folder: it holds {}",
            path.display()
        ))
        .hint("stop it, or name another folder with GLOAMING_HOME")
        .into()),
        Err(TryLockError::Error(error)) => Err(failed(error).into()),
    }
}

/// Returns where what listens on an address is reached from this machine.
fn reached(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Reads the operator's policies: of the folder that is named, which has to be there, or else of the usual one, whenever there is
/// one.
///
/// # Errors
/// Every fault of a file, in lines.
pub(super) fn policies(home: &Home, config: &Config) -> Result<Policies, String> {
    match &config.policies {
        Some(folder) => Policies::open(Some(folder.clone())),
        None => Policies::open_where_there(home.data.join("policies")),
    }
}

/// Makes a token of this process's own, in the place of the one of the same name that an earlier process made.
pub(super) fn token(store: &dyn Store, name: &str, scope: Scope) -> anyhow::Result<TokenMade> {
    let failed = |error| Failure::infrastructure("make a token", error);
    let now = context::now();
    for old in store.tokens().map_err(failed)? {
        if old.name == name && old.revoked_at.is_none() {
            store.revoke_token(&old.id, now).map_err(failed)?;
        }
    }
    let new = NewToken {
        name: name.to_owned(),
        scopes: vec![scope],
        repos: vec![RepoPattern::all()],
        expires_s: None,
    };
    let made = gloaming_server::make_token(store, &new, now).map_err(failed)?;
    made.map_err(|why| anyhow::anyhow!("the token {name}: {why}"))
}

/// Leaves the address and an administrator's token for the owner of this machine, in a file that nobody else can read. The
/// one of an earlier start is used again, so that who holds it need not ask for it anew; whether there is one where none was,
/// says `make`.
fn owner(home: &Home, store: &dyn Store, url: &str, make: bool) -> anyhow::Result<Option<PathBuf>> {
    let path = owner_file(home);
    let token = match known_owner(&path, store) {
        Some(token) => token,
        None if !make => return Ok(None),
        None => token(store, OWNER, Scope::Admin)?.token,
    };
    let text = serde_json::to_string(&Owner { control: url.to_owned(), token })?;
    let fresh = path.with_extension("json.new");
    let failed = |error| Failure::disk(&format!("write {}", path.display()), error);
    // One that was left by a process that died here, with whatever mode.
    let _ = std::fs::remove_file(&fresh);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&fresh, &path).map_err(failed)?;
    Ok(Some(path))
}

/// The token that the owner's file has, where that is taken.
fn known_owner(path: &Path, store: &dyn Store) -> Option<String> {
    let token = read_owner(path).ok().flatten()?.token;
    let found = store.token(token_id(&token)).ok().flatten();
    let is_taken =
        found.is_some_and(|(view, _)| view.name == OWNER && view.allows(Scope::Admin, context::now()));
    is_taken.then_some(token)
}

fn token_id(token: &str) -> &str {
    token.split('_').nth(1).unwrap_or_default()
}

/// Revokes the owner's tokens that no file has any more, and removes a file whose token is not taken: whoever took the file away
/// to have no token in one is no administrator that could make another.
fn forget_owners(home: &Home, store: &dyn Store) -> anyhow::Result<()> {
    let failed = |error| Failure::infrastructure("look at the owner's tokens", error);
    let path = owner_file(home);
    let known = known_owner(&path, store);
    let id = known.as_deref().map(token_id);
    let now = context::now();
    for token in store.tokens().map_err(failed)? {
        if token.name == OWNER && token.revoked_at.is_none() && Some(token.id.as_str()) != id {
            store.revoke_token(&token.id, now).map_err(failed)?;
            let why = "the owner's file has it no more";
            store.audit("operator", "allow", "bootstrap", &token.id, why, now).map_err(failed)?;
        }
    }
    if known.is_none() {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::disk(&format!("remove {}", path.display()), error).into());
            }
            _ => {}
        }
    }
    Ok(())
}

struct Told<'a> {
    url: &'a str,
    config: Option<&'a Path>,
    database: &'a Path,
    policies: Option<&'a Path>,
    host: Option<String>,
    outside: Option<String>,
    worker: Option<&'a Worker>,
    schedules: Vec<String>,
    /// The file with the token of this machine's owner, where there is one.
    owner: Option<&'a Path>,
    /// The token that is taken once.
    first: Option<&'a str>,
}

/// Says what works and what does not.
fn told(args: &ServeArgs, told: &Told<'_>) {
    let object = json!({
        "control": told.url, "config": told.config, "store": told.database, "policies": told.policies,
        "host": told.host, "told": told.outside, "schedules": told.schedules, "token_file": told.owner,
        "bootstrap": told.first,
        "worker": told.worker.map(|worker| json!({
            "engine": worker.engine, "model": worker.model, "labels": worker.labels, "jobs": worker.jobs,
        })),
    });
    if args.json {
        return print_json(&object);
    }
    if args.log.format == LogFormat::Json {
        // Whatever the log leaves out, this is told: there may be a token in it.
        return crate::logs::line("INFO", json!({"message": "serves"}), json!({"serves": object}));
    }
    let path = |path: Option<&Path>, none: &str| {
        path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
    };
    let mut lines = vec![
        ("config", path(told.config, "none; everything is as it is by default")),
        ("store", told.database.display().to_string()),
        ("policies", path(told.policies, "none; preset:standard counts for every repository")),
        (
            "host",
            told.host.clone().unwrap_or_else(|| {
                "none: no pull requests are made; name one under [github] (docs/github.md)".to_owned()
            }),
        ),
    ];
    lines.extend(told.outside.clone().map(|outside| ("tells", outside)));
    lines.extend(told.schedules.iter().map(|schedule| ("schedule", schedule.clone())));
    match told.worker {
        None => lines.push(("worker", "none here; start some with `gloaming worker`".to_owned())),
        Some(worker) => {
            let engine = worker.engine.as_deref().unwrap_or("NONE WORKS: `gloaming jobs doctor` says why");
            let model = worker.model.as_deref().unwrap_or("none: only playbooks work");
            lines.push(("worker", format!("{} at once, {}", worker.jobs, worker.labels.join(", "))));
            lines.push(("engine", engine.to_owned()));
            lines.push(("model", model.to_owned()));
        }
    }
    lines.push((
        "token",
        match (told.owner, told.first) {
            (Some(path), _) => format!("for this machine's owner in {}", path.display()),
            (None, Some(_)) => "see below".to_owned(),
            (None, None) => "none is made: there is an administrator already".to_owned(),
        },
    ));
    eprintln!("gloaming serves at {}", told.url);
    for (name, text) in lines {
        eprintln!("  {name:<8} {text}");
    }
    if let Some(token) = told.first {
        eprintln!(
            "This token is taken once, within an hour, and only to make another; it is not shown again:\n  {token}\nmake an \
             administrator's with it:\n  GLOAMING_TOKEN={token} gloaming token create --control {} --scope admin --repo '*'",
            told.url
        );
    }
}
