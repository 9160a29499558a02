//! What a job is asked of the cluster as: a `Job` with one pod, and no word of the command or of a secret in it.

use std::collections::BTreeMap;

use gloaming_api::path::WORKSPACE_MOUNT;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::{FILES, PROGRAM};
use crate::NoEngine;
use crate::docker::program::OURS;
use crate::embedded::bundle::sizes;
use crate::embedded::protocol::Request;
use crate::root::HOST_NAME;
use crate::secrets::SECRETS_MOUNT;

/// The container that is filled, and runs before the others.
pub(super) const CARRY: &str = "carry";
/// The container of the job's own processes.
pub(super) const JOB: &str = "job";
/// The container beside it.
pub(super) const BRIDGE: &str = "bridge";

/// Where the files that say who the job is are, below the pod's files.
pub(super) const IDENTITY: &str = "identity";
/// Where the further mounts are.
pub(super) const GIVEN: &str = "given";
/// Where the workspace is, and what comes back of it.
pub(super) const WORKSPACE: &str = "workspace";
/// Where a kept scratch folder is.
pub(super) const SCRATCH: &str = "scratch";

/// What a job's files may grow by while it runs, in bytes.
pub(super) const GROWTH: u64 = 8 << 30;
/// Seconds that a pod may take beside the time its job may take: to be placed, to fetch its image, to be filled and to
/// be emptied again.
const BESIDE_TIME: u64 = 1800;
/// Seconds after which a cluster that does so removes a job that has ended, should we not.
const KEPT: u64 = 300;
/// Bytes of memory of the containers that are ours.
const MEMORY: u64 = 256 << 20;

/// The system call filter that the cluster puts on a job. Ours comes over it, from the first process; in between, that one
/// may leave the pod's network, which the runtimes' own filters forbid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    RuntimeDefault,
    /// One that the nodes have, by its name.
    Localhost(String),
    Unconfined,
}

impl Filter {
    /// Reads what is written in configuration.
    ///
    /// # Errors
    /// What is no filter.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, NoEngine> {
        match text {
            None | Some("runtime-default") => Ok(Self::RuntimeDefault),
            Some("unconfined") => Ok(Self::Unconfined),
            Some(text) => match text.strip_prefix("localhost/") {
                Some(name) if !name.is_empty() => Ok(Self::Localhost(name.to_owned())),
                _ => Err(NoEngine {
                    reason: format!("{text:?} is no system call filter of a cluster"),
                    hint: "write runtime-default, localhost/NAME or unconfined (GLOAMING_ENGINE_SECCOMP)"
                        .to_owned(),
                }),
            },
        }
    }

    fn described(&self) -> Value {
        match self {
            Self::RuntimeDefault => json!({ "type": "RuntimeDefault" }),
            Self::Unconfined => json!({ "type": "Unconfined" }),
            Self::Localhost(name) => json!({ "type": "Localhost", "localhostProfile": name }),
        }
    }
}

/// What a pod is made of.
pub(super) struct Parts<'a> {
    pub(super) request: &'a Request,
    /// `name@sha256:...`.
    pub(super) image: &'a str,
    /// The command of the first process, without what it is to be.
    pub(super) program: &'a [String],
    /// Bytes of the archive that it is filled with.
    pub(super) archive: u64,
    /// The job's user and group.
    pub(super) user: u32,
    /// The filter on the job's own container.
    pub(super) filter: &'a Filter,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) annotations: &'a BTreeMap<String, String>,
}

/// Returns the cluster's description of a job.
///
/// # Errors
/// When the description is not one of the interface's, which is a fault of ours.
pub(super) fn job(parts: &Parts<'_>) -> Result<Job, serde_json::Error> {
    let Parts { request, archive, labels, annotations, .. } = parts;
    let metadata = json!({ "name": request.id, "labels": labels, "annotations": annotations });
    serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": request.limits.wall_s.saturating_add(BESIDE_TIME),
            "ttlSecondsAfterFinished": KEPT,
            "template": {
                "metadata": { "labels": labels, "annotations": annotations },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 1,
                    "hostname": HOST_NAME,
                    // No name server: looking a name up fails at once.
                    "dnsPolicy": "None",
                    "dnsConfig": { "nameservers": ["127.0.0.1"] },
                    "initContainers": [carry(parts, *archive)],
                    "containers": [own(parts), bridge(parts)],
                    "volumes": volumes(request, *archive),
                },
            },
        },
    }))
}

fn security(user: u32, filter: &Filter) -> Value {
    json!({
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": true,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": filter.described(),
    })
}

/// The container that takes the archive from its standard input. Of the image it needs a shell, `head` and `tar`.
fn carry(parts: &Parts<'_>, archive: u64) -> Value {
    json!({
        "name": CARRY,
        "image": parts.image,
        "imagePullPolicy": "IfNotPresent",
        "stdin": true,
        "stdinOnce": true,
        // With the archive's last byte, and not with the end of the stream, which some servers swallow.
        "command": ["/bin/sh", "-c", format!("head -c {archive} | tar -xpf - -C {FILES}")],
        "resources": small(),
        "securityContext": security(parts.user, &Filter::RuntimeDefault),
        "volumeMounts": [{ "name": "files", "mountPath": FILES }],
    })
}

fn command(parts: &Parts<'_>, what: &str) -> Vec<String> {
    parts.program.iter().cloned().chain([what.to_owned()]).collect()
}

fn bridge(parts: &Parts<'_>) -> Value {
    json!({
        "name": BRIDGE,
        "image": parts.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command(parts, super::HOLD),
        "resources": small(),
        "securityContext": security(parts.user, &Filter::RuntimeDefault),
        "volumeMounts": [
            { "name": "files", "mountPath": FILES },
            { "name": "files", "mountPath": OURS, "subPath": PROGRAM, "readOnly": true },
        ],
    })
}

fn small() -> Value {
    json!({
        "limits": { "memory": MEMORY.to_string(), "cpu": "1" },
        "requests": { "memory": "32Mi", "cpu": "10m" },
    })
}

fn own(parts: &Parts<'_>) -> Value {
    let limits = &parts.request.limits;
    // A job that gets less than its share is slower; one that gets less memory fails, or another one does.
    let memory = limits.memory.to_string();
    let cpus = ((limits.cpus * 1000.0) as u64).max(10);
    json!({
        "name": JOB,
        "image": parts.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command(parts, super::FIRST),
        "workingDir": "/",
        "resources": {
            "limits": { "memory": memory, "cpu": format!("{cpus}m") },
            "requests": { "memory": memory, "cpu": format!("{}m", cpus.min(100)) },
        },
        "securityContext": security(parts.user, parts.filter),
        "volumeMounts": mounts(parts.request),
    })
}

fn mounts(request: &Request) -> Vec<Value> {
    let files = |path: &str, at: &str, read_only: bool| json!({ "name": "files", "mountPath": path, "subPath": at, "readOnly": read_only });
    let volume = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
    let mut mounts = vec![
        files(OURS, PROGRAM, true),
        files(WORKSPACE_MOUNT, WORKSPACE, false),
        volume("tmp", "/tmp"),
        volume("shm", "/dev/shm"),
    ];
    mounts.push(match request.scratch {
        Some(_) => files("/scratch", SCRATCH, false),
        None => volume("scratch", "/scratch"),
    });
    if !request.secrets.0.is_empty() {
        mounts.push(volume("secrets", SECRETS_MOUNT));
    }
    for (path, _) in crate::root::identity(0) {
        mounts.push(files(path, &format!("{IDENTITY}{path}"), true));
    }
    for (number, mount) in request.mounts.iter().enumerate() {
        mounts.push(files(&mount.container, &format!("{GIVEN}/{number}"), !mount.writable));
    }
    mounts
}

/// Returns the folders in memory, each with the bytes that it may hold.
pub(super) fn in_memory(request: &Request) -> Vec<(String, u64)> {
    let (half, quarter) = sizes(&request.limits);
    let mut folders = vec![("/tmp".to_owned(), quarter), ("/dev/shm".to_owned(), quarter)];
    if request.scratch.is_none() {
        folders.push(("/scratch".to_owned(), half));
    }
    if !request.secrets.0.is_empty() {
        folders.push((SECRETS_MOUNT.to_owned(), 32 << 20));
    }
    folders
}

/// Returns every place that a job can write to.
pub(super) fn writable(request: &Request) -> Vec<String> {
    let given = request.mounts.iter().filter(|mount| mount.writable).map(|mount| mount.container.clone());
    in_memory(request)
        .into_iter()
        .map(|(folder, _)| folder)
        .chain([WORKSPACE_MOUNT.to_owned(), "/scratch".to_owned()])
        .chain(given)
        .collect()
}

fn volumes(request: &Request, archive: u64) -> Vec<Value> {
    // The kubelet evicts a pod whose folder on the disk outgrows its limit; one in memory it makes of that size.
    let mut volumes =
        vec![json!({ "name": "files", "emptyDir": { "sizeLimit": (archive + GROWTH).to_string() } })];
    for (folder, size) in in_memory(request) {
        let name = folder.rsplit('/').next().unwrap_or_default();
        volumes
            .push(json!({ "name": name, "emptyDir": { "medium": "Memory", "sizeLimit": size.to_string() } }));
    }
    volumes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gloaming_api::job::JobLimits;

    use super::*;
    use crate::Mount;
    use crate::embedded::protocol::Secrets;
    use crate::environment::{RootFiles, ScratchFiles};

    fn request() -> Request {
        Request {
            id: "test-1".to_owned(),
            containers: "/state".into(),
            argv: vec!["make".to_owned()],
            cwd: "/workspace".to_owned(),
            env: BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]),
            workspace: "/work".into(),
            scratch: None,
            mounts: vec![Mount {
                host: "/host/cache".into(),
                container: "/opt/cache".to_owned(),
                writable: false,
            }],
            root: RootFiles::default(),
            prepare: ScratchFiles::default(),
            proxy_port: None,
            limits: JobLimits {
                memory: 1 << 30,
                cpus: 1.5,
                processes: 100,
                wall_s: 60,
                output: 1000,
                scratch: 64 << 20,
            },
            secrets: Secrets(BTreeMap::from([("PASSWORD".to_owned(), "never-told".to_owned())])),
        }
    }

    #[test]
    fn a_filter_is_named_in_configuration() {
        let parsed =
            |text: Option<&str>| Filter::parse(text).map(|filter| filter.described()["type"].clone());
        assert_eq!(parsed(None), Ok(json!("RuntimeDefault")));
        assert_eq!(parsed(Some("runtime-default")), Ok(json!("RuntimeDefault")));
        assert_eq!(parsed(Some("localhost/jobs.json")), Ok(json!("Localhost")));
        assert_eq!(parsed(Some("unconfined")), Ok(json!("Unconfined")));
        for wrong in ["none", "localhost/", "Unconfined"] {
            assert!(parsed(Some(wrong)).unwrap_err().reason.contains("is no system call filter"), "{wrong}");
        }
    }

    #[test]
    fn every_promise_is_asked_for_and_nothing_of_the_host_is_mounted() {
        let none = BTreeMap::new();
        let request = request();
        let described = job(&Parts {
            request: &request,
            image: "i@sha256:1",
            program: &["/.gloaming/init".to_owned()],
            archive: 10_240,
            user: 1_900_000_001,
            filter: &Filter::Localhost("jobs.json".to_owned()),
            labels: &none,
            annotations: &none,
        });
        let body = serde_json::to_value(described.unwrap()).unwrap();
        // Neither command nor variables nor secrets go through the cluster's store.
        for untold in ["make", "TOKEN", "PASSWORD", "never-told", "/work\"", "/host/cache", "hostPath"] {
            assert!(!body.to_string().contains(untold), "{untold}");
        }
        let spec = &body["spec"];
        assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"]), (&json!(0), &json!(1860)));
        let pod = &spec["template"]["spec"];
        for (name, value) in [
            ("restartPolicy", json!("Never")),
            ("automountServiceAccountToken", json!(false)),
            ("enableServiceLinks", json!(false)),
            ("hostNetwork", Value::Null),
        ] {
            assert_eq!(pod[name], value, "{name}");
        }
        let all =
            pod["containers"].as_array().unwrap().iter().chain(pod["initContainers"].as_array().unwrap());
        for container in all {
            let filter = if container["name"] == JOB { "jobs.json" } else { "" };
            let filter =
                if filter.is_empty() { Filter::RuntimeDefault } else { Filter::Localhost(filter.to_owned()) };
            assert_eq!(container["securityContext"], security(1_900_000_001, &filter));
            assert_eq!(container["image"], "i@sha256:1");
        }
        let own = &pod["containers"][0];
        assert_eq!(
            own["resources"],
            json!({
                "limits": {"memory": "1073741824", "cpu": "1500m"},
                "requests": {"memory": "1073741824", "cpu": "100m"},
            })
        );
        let mounts: Vec<String> = own["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| {
                format!("{} {} {} {}", mount["mountPath"], mount["name"], mount["subPath"], mount["readOnly"])
                    .replace('"', "")
            })
            .collect();
        assert_eq!(
            mounts,
            [
                "/.gloaming files program true",
                "/workspace files workspace false",
                "/tmp tmp null null",
                "/dev/shm shm null null",
                "/scratch scratch null null",
                "/run/secrets secrets null null",
                "/etc/passwd files identity/etc/passwd true",
                "/etc/group files identity/etc/group true",
                "/etc/hosts files identity/etc/hosts true",
                "/etc/hostname files identity/etc/hostname true",
                "/etc/resolv.conf files identity/etc/resolv.conf true",
                "/opt/cache files given/0 true",
            ]
        );
        assert_eq!(
            pod["volumes"][3],
            json!({"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "67108864"}})
        );
        assert!(writable(&request).iter().all(|path| Path::new(path).is_absolute() && path != "/opt/cache"));
    }
}
