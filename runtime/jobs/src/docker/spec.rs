//! What a container is made with, as the daemon's API takes it.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount as ApiMount, MountType, ResourcesUlimits,
};
use gloaming_api::job::JobLimits;
use gloaming_api::path::WORKSPACE_MOUNT;

use super::program::{OURS, Program};
use super::protocol;
use super::server::{Brand, Server, User};
use crate::Mount;
use crate::embedded::bundle::{MASKED, READ_ONLY, open_files, sizes};
use crate::embedded::protocol::Request;
use crate::root::HOST_NAME;
use crate::secrets::SECRETS_MOUNT;

/// Processes of one user that podman lets a container have: its own default is more than a service without
/// the right to raise limits may set. The limit of the control group is the one that counts.
const PODMAN_PROCESSES: i64 = 16_384;

/// What a container is made of.
pub(super) struct Parts<'a> {
    /// The daemon.
    pub(super) server: &'a Server,
    /// What was asked for.
    pub(super) request: &'a Request,
    /// The image's id or digest.
    pub(super) image: &'a str,
    /// Folders that the image declares as volumes.
    pub(super) volumes: &'a [String],
    /// The first process.
    pub(super) program: &'a Program,
    /// The container's folder on the host.
    pub(super) folder: &'a std::path::Path,
    /// The filter: its JSON, or for podman the path of a file with it.
    pub(super) seccomp: &'a str,
    /// Labels.
    pub(super) labels: HashMap<String, String>,
    /// Whether the machine has IPv6.
    pub(super) ipv6: bool,
}

/// Returns the daemon's description of a container.
pub(super) fn container(parts: Parts<'_>) -> ContainerCreateBody {
    let Parts { server, request, image, volumes, program, folder, seccomp, labels, ipv6 } = parts;
    let user = server.user.id();
    ContainerCreateBody {
        hostname: Some(HOST_NAME.to_owned()),
        user: Some(format!("{user}:{user}")),
        image: Some(image.to_owned()),
        entrypoint: Some(program.argv.clone()),
        cmd: Some(Vec::new()),
        // Whatever the image says; the first process gives the command its own.
        env: Some(Vec::new()),
        working_dir: Some("/".to_owned()),
        labels: Some(labels),
        // An image's own would run in the container beside the job.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        attach_stdin: Some(false),
        open_stdin: Some(false),
        tty: Some(false),
        host_config: Some(HostConfig {
            // With our end the first process ends, and the daemon removes the rest.
            auto_remove: Some(true),
            network_mode: Some("none".to_owned()),
            ipc_mode: Some("private".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            userns_mode: server.user.namespace(server),
            readonly_rootfs: Some(true),
            privileged: Some(false),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(security(server.brand, seccomp)),
            masked_paths: Some(std::iter::once("/sys").chain(MASKED).map(str::to_owned).collect()),
            readonly_paths: Some(READ_ONLY.map(str::to_owned).to_vec()),
            mounts: Some(mounts(request, program, folder)),
            tmpfs: Some(in_memory(server.brand, request, volumes)),
            shm_size: Some(signed(sizes(&request.limits).1)),
            sysctls: ipv6.then(|| {
                // Off in a container that no network is attached to; its own loopback is to work by both.
                HashMap::from([("net.ipv6.conf.all.disable_ipv6".to_owned(), "0".to_owned())])
            }),
            // What the job printed goes over pipes of ours.
            log_config: (server.brand == Brand::Docker)
                .then(|| HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            oom_score_adj: Some(500),
            ..limits(server.brand, &request.limits)
        }),
        ..ContainerCreateBody::default()
    }
}

fn security(brand: Brand, seccomp: &str) -> Vec<String> {
    let mut options = vec![
        "no-new-privileges".to_owned(),
        format!("seccomp={seccomp}"),
        // Where there is SELinux: what is mounted keeps its labels, and is let be read.
        "label=disable".to_owned(),
    ];
    if brand == Brand::Podman {
        // Its Docker interface takes no list of masked paths.
        options.push(format!("mask=/sys:{}", MASKED.join(":")));
    }
    options
}

fn limits(brand: Brand, limits: &JobLimits) -> HostConfig {
    let ulimit = |name: &str, value: i64| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    };
    // The first process lowers them again; a daemon's defaults may be more than it can set.
    let mut ulimits = vec![ulimit("core", 0), ulimit("nofile", signed(open_files()))];
    if brand == Brand::Podman {
        let ours = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
        ulimits
            .push(ulimit("nproc", ours.map_or(PODMAN_PROCESSES, |ours| signed(ours).min(PODMAN_PROCESSES))));
    }
    HostConfig {
        memory: Some(signed(limits.memory)),
        // With swap, that is: none.
        memory_swap: Some(signed(limits.memory)),
        nano_cpus: Some(((limits.cpus * 1e9) as i64).max(10_000_000)),
        pids_limit: Some(i64::from(limits.processes) + signed(protocol::OURS)),
        ulimits: Some(ulimits),
        ..HostConfig::default()
    }
}

fn mounts(request: &Request, program: &Program, folder: &std::path::Path) -> Vec<ApiMount> {
    let bind = |host: &std::path::Path, container: &str, writable: bool| ApiMount {
        typ: Some(MountType::BIND),
        source: Some(host.display().to_string()),
        target: Some(container.to_owned()),
        read_only: Some(!writable),
        ..ApiMount::default()
    };
    let of = |mount: &Mount| bind(&mount.host, &mount.container, mount.writable);
    let mut mounts: Vec<ApiMount> = program.mounts.iter().map(of).collect();
    mounts.push(bind(&folder.join("control"), protocol::SOCKET, true));
    for (path, _) in crate::root::identity(0) {
        mounts.push(bind(&folder.join(path.trim_start_matches('/')), path, false));
    }
    mounts.push(bind(&request.workspace, WORKSPACE_MOUNT, true));
    if let Some(scratch) = &request.scratch {
        mounts.push(bind(scratch, "/scratch", true));
    }
    mounts.extend(request.mounts.iter().map(of));
    mounts
}

fn in_memory(brand: Brand, request: &Request, volumes: &[String]) -> HashMap<String, String> {
    let (half, quarter) = sizes(&request.limits);
    let options = |size: u64| format!("rw,exec,nosuid,nodev,mode=1777,size={size}");
    // A volume would be a folder on the host's disk, without a limit.
    let mut folders: HashMap<String, String> =
        volumes.iter().map(|volume| (volume.clone(), options(quarter))).collect();
    folders.insert("/tmp".to_owned(), options(quarter));
    if request.scratch.is_none() {
        folders.insert("/scratch".to_owned(), options(half));
    }
    if !request.secrets.0.is_empty() {
        // The folder alone: what comes into it goes over our own socket.
        folders
            .insert(SECRETS_MOUNT.to_owned(), format!("rw,noexec,nosuid,nodev,mode=1777,size={}", 32 << 20));
    }
    if brand == Brand::Podman {
        // It would mount both without a limit.
        folders.insert("/var/tmp".to_owned(), options(quarter));
        folders.insert("/run".to_owned(), "ro,noexec,nosuid,nodev,mode=755,size=4096".to_owned());
    }
    folders
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether something can be mounted at a path, given what is ours there.
pub(super) fn may_mount(mount: &Mount) -> bool {
    mount.container != OURS && !mount.container.starts_with(&format!("{OURS}/"))
}

impl User {
    fn namespace(self, server: &Server) -> Option<String> {
        match self {
            Self::Kept(user) => Some(format!("keep-id:uid={user},gid={user}")),
            // Users are mapped to others by default; the job's files belong to the number itself.
            _ if server.remapped => Some("host".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::embedded::protocol::Secrets;
    use crate::environment::{RootFiles, ScratchFiles};
    use crate::root::JOB_USER;

    fn described(brand: Brand, user: User, remapped: bool) -> Value {
        let server = Server {
            identity: gloaming_api::Digest::of("this daemon"),
            // Nobody is spoken to: any file will do.
            client: bollard::Docker::connect_with_unix("/dev/null", 1, bollard::API_DEFAULT_VERSION).unwrap(),
            socket: "/dev/null".into(),
            brand,
            version: String::new(),
            rootless: false,
            remapped,
            cgroups: None,
            seccomp: true,
            user,
        };
        let request = Request {
            id: "test-1".to_owned(),
            containers: "/state".into(),
            argv: vec!["make".to_owned()],
            cwd: "/workspace".to_owned(),
            env: BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]),
            workspace: "/work".into(),
            scratch: None,
            mounts: vec![Mount { host: "/usr".into(), container: "/usr".to_owned(), writable: false }],
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
        };
        let program = Program { argv: vec!["/.gloaming/init".to_owned()], mounts: Vec::new() };
        let body = container(Parts {
            server: &server,
            request: &request,
            image: "sha256:1",
            volumes: &["/data".to_owned()],
            program: &program,
            folder: Path::new("/state/test-1"),
            seccomp: "{}",
            labels: HashMap::new(),
            ipv6: true,
        });
        serde_json::to_value(body).unwrap()
    }

    #[test]
    fn every_promise_is_asked_for() {
        let body = described(Brand::Docker, User::Given(JOB_USER), false);
        assert_eq!((&body["User"], &body["Image"]), (&json!("60900:60900"), &json!("sha256:1")));
        // Neither command nor variables nor secrets go through the daemon: others can inspect its containers.
        assert_eq!((&body["Cmd"], &body["Env"]), (&json!([]), &json!([])));
        for untold in ["TOKEN", "PASSWORD", "never-told"] {
            assert!(!body.to_string().contains(untold), "{untold}");
        }
        let host = &body["HostConfig"];
        for (name, value) in [
            ("AutoRemove", json!(true)),
            ("NetworkMode", json!("none")),
            ("IpcMode", json!("private")),
            ("CgroupnsMode", json!("private")),
            ("ReadonlyRootfs", json!(true)),
            ("Privileged", json!(false)),
            ("CapDrop", json!(["ALL"])),
            ("SecurityOpt", json!(["no-new-privileges", "seccomp={}", "label=disable"])),
            ("Memory", json!(1 << 30)),
            ("MemorySwap", json!(1 << 30)),
            ("NanoCpus", json!(1_500_000_000)),
            ("PidsLimit", json!(102)),
            ("OomScoreAdj", json!(500)),
            ("ShmSize", json!(64 << 20)),
            ("UsernsMode", Value::Null),
        ] {
            assert_eq!(host[name], value, "{name}");
        }
        assert!(host["MaskedPaths"].as_array().unwrap().contains(&json!("/sys")));
        let tmpfs = "rw,exec,nosuid,nodev,mode=1777,size=67108864";
        let secrets = "rw,noexec,nosuid,nodev,mode=1777,size=33554432";
        assert_eq!(
            host["Tmpfs"],
            json!({"/tmp": tmpfs, "/scratch": tmpfs, "/data": tmpfs, "/run/secrets": secrets})
        );
        let mounts: Vec<String> = host["Mounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| {
                format!("{} {} {}", mount["Source"], mount["Target"], mount["ReadOnly"]).replace('"', "")
            })
            .collect();
        assert_eq!(
            mounts,
            [
                "/state/test-1/control /.gloaming/control false",
                "/state/test-1/etc/passwd /etc/passwd true",
                "/state/test-1/etc/group /etc/group true",
                "/state/test-1/etc/hosts /etc/hosts true",
                "/state/test-1/etc/hostname /etc/hostname true",
                "/state/test-1/etc/resolv.conf /etc/resolv.conf true",
                "/work /workspace false",
                "/usr /usr true",
            ]
        );
    }

    #[test]
    fn what_podman_needs_otherwise_is_said_otherwise() {
        let body = described(Brand::Podman, User::Kept(JOB_USER), false);
        let host = &body["HostConfig"];
        assert_eq!(host["UsernsMode"], "keep-id:uid=60900,gid=60900");
        assert!(host["SecurityOpt"][3].as_str().unwrap().starts_with("mask=/sys:/proc/acpi:"));
        assert_eq!(host["Tmpfs"]["/run"], "ro,noexec,nosuid,nodev,mode=755,size=4096");
        assert_eq!(host["LogConfig"], Value::Null);
        assert_eq!(host["Ulimits"][2]["Name"], "nproc");
    }

    #[test]
    fn a_daemon_that_maps_users_does_not_map_this_one() {
        assert_eq!(described(Brand::Docker, User::Given(JOB_USER), true)["HostConfig"]["UsernsMode"], "host");
        assert_eq!(described(Brand::Docker, User::Ourselves(1000), false)["User"], "1000:1000");
        let mount = |path: &str| Mount { host: "/x".into(), container: path.to_owned(), writable: true };
        assert!(may_mount(&mount("/opt/x")) && may_mount(&mount("/.gloaming2")));
        assert!(!may_mount(&mount("/.gloaming")) && !may_mount(&mount("/.gloaming/lib")));
    }
}
