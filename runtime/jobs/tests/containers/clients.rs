//! Real package managers through the proxy, against the registries that this machine is set up for.

use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gloaming_api::job::{JobExit, JobPurpose};
use gloaming_jobs::Egress;
use gloaming_policies::{ClientSettings, HostSets};

use crate::egress::{allowed, attempts, permit, run};
use crate::support::{Lane, on_every_local_engine, text};

on_every_local_engine!(real_package_managers_fetch_through_the_proxy);

/// What this machine's own package managers are set up with, by asking them.
fn clients() -> ClientSettings {
    let ask = |program: &str, arguments: &[&str]| -> Option<String> {
        let output = Command::new(program).args(arguments).current_dir("/").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let cargo = std::env::var_os("CARGO_HOME")
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo").into()));
    let cargo = std::path::PathBuf::from(cargo.unwrap_or_default());
    let index = "from pip._internal.models.index import PyPI; print(PyPI.simple_url, 'https://' + PyPI.file_storage_domain)";
    let pip = ask("python3", &["-c", index]).unwrap_or_default();
    ClientSettings {
        cargo: std::fs::read_to_string(cargo.join("config.toml")).into_iter().collect(),
        cargo_indexes: crate::support::names(&cargo.join("registry/index"))
            .filter_map(|name| {
                let config =
                    std::fs::read_to_string(cargo.join("registry/index").join(&name).join("config.json"))
                        .ok()?;
                Some((name, config))
            })
            .collect(),
        pip_indexes: pip.split_whitespace().map(str::to_owned).collect(),
        npm_registry: ask("npm", &["config", "get", "registry"]),
        ..ClientSettings::default()
    }
}

/// The real clients against the registries that this machine is set up for. Where it cannot reach them itself, neither
/// can a job.
async fn real_package_managers_fetch_through_the_proxy(lane: Lane) {
    let settings = clients();
    let sets = HostSets::of_machine(&settings);
    let mut private = Vec::new();
    let mut reachable = 0;
    for host in sets.hosts("registry") {
        let Some((_, at)) = host.split_once("://") else { continue };
        let Some(address) = at.to_socket_addrs().ok().and_then(|mut found| found.next()) else { continue };
        if std::net::TcpStream::connect_timeout(&address, Duration::from_secs(30)).is_err() {
            continue;
        }
        reachable += 1;
        // As the operator of a closed network would.
        private.push(at.to_owned());
    }
    if reachable == 0 {
        eprintln!("SKIPPED: no package manager here is set up with a registry that can be reached");
        return;
    }
    let mut env = settings.job_env();
    // The index that pip asks is its own default.
    env.remove("PIP_INDEX_URL");
    env.remove("PIP_EXTRA_INDEX_URL");
    env.remove("npm_config_registry");
    for name in ["PIP_CERT", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
        if let Ok(value) = std::env::var(name).map(|value| value.replace('\0', "")) {
            env.insert(name.to_owned(), value);
        }
    }
    std::fs::create_dir(lane.workspace.path().join("src")).unwrap();
    std::fs::write(lane.workspace.path().join("src/lib.rs"), "").unwrap();
    std::fs::write(
        lane.workspace.path().join("Cargo.toml"),
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ncfg-if = \"1\"\n[workspace]\n",
    )
    .unwrap();
    let permit = permit(JobPurpose::Setup, &["registry".into()]);
    let mut fetched = 0;
    for (program, known, script) in [
        (
            "cargo",
            !settings.cargo.is_empty() || !settings.cargo_indexes.is_empty(),
            "mkdir -p /tmp/c && (cp /scratch/cargo/config.toml /tmp/c/ 2>/dev/null; CARGO_HOME=/tmp/c cargo fetch && ls /tmp/c/registry/cache/*/cfg-if-*.crate)",
        ),
        (
            "pip",
            !settings.pip_indexes.is_empty(),
            "python3 -m pip download --no-deps --no-cache-dir -d /tmp/d six && ls /tmp/d/six-*",
        ),
        ("npm", settings.npm_registry.is_some(), "npm view is-number name"),
    ] {
        let there =
            Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if !there || !known {
            eprintln!("SKIPPED: no {program}, or it does not say which registry it asks");
            continue;
        }
        let egress =
            Egress { sets: sets.clone(), private: private.clone(), env: env.clone(), ..Egress::default() };
        let output = run(&lane, &permit, egress, &["/bin/sh", "-c", script]).await;
        let tries = attempts(&output);
        if !tries.iter().any(allowed) && output.record.exit == JobExit::Code(127) {
            eprintln!("SKIPPED: {program} is not in the jobs' environment");
            continue;
        }
        assert_eq!(
            output.record.exit,
            JobExit::Code(0),
            "{program}: {}{} {tries:?}",
            text(&output.stdout),
            text(&output.stderr)
        );
        assert!(tries.iter().any(|attempt| allowed(attempt) && attempt.down > 1000), "{program}: {tries:?}");
        fetched += 1;
        // Without a rule the same client gets nothing, however often it asks: once will do.
        let mut env = env.clone();
        for retries in ["CARGO_NET_RETRY", "PIP_RETRIES", "npm_config_fetch_retries"] {
            env.insert(retries.to_owned(), "0".to_owned());
        }
        let egress = Egress { sets: sets.clone(), private: private.clone(), env, ..Egress::default() };
        let nothing = self::permit(JobPurpose::Setup, &["else.example".into()]);
        let output =
            run(&lane, &nothing, egress, &["/bin/sh", "-c", &format!("rm -rf /tmp/c /tmp/d; {script}")])
                .await;
        assert_ne!(output.record.exit, JobExit::Code(0), "{program}");
        assert!(!attempts(&output).iter().any(allowed), "{program}: {:?}", attempts(&output));
    }
    eprintln!("{fetched} clients have fetched through the proxy");
}
