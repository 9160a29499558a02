//! What a job cannot reach.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use gloaming_api::job::JobExit;
use gloaming_jobs::EngineKind;

use crate::support::{Lane, is_root, on_every_engine, text, with_user};

on_every_engine!(
    there_is_no_network_but_its_own_loopback,
    its_own_loopback_works,
    the_hosts_files_are_not_there,
    only_workspace_scratch_and_temporary_folders_can_be_written,
    the_workspace_is_written_by_the_job_and_read_and_deleted_by_us,
    nothing_of_our_environment_passes_through,
    the_kernel_says_that_the_job_is_confined,
    dangerous_system_calls_fail,
    nobody_listens_to_the_job,
    set_user_id_programs_of_the_host_give_nothing,
);

async fn there_is_no_network_but_its_own_loopback(lane: Lane) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let output = lane
        .run(&[
            "bash",
            "-c",
            &format!(
                "for to in 127.0.0.1/{port} 1.1.1.1/80 169.254.169.254/80; do \
                   bash -c \"exec 3<>/dev/tcp/$to\" 2>&1 | grep -o 'connect: .*'; done; \
                 getent hosts example.com >/dev/null; echo $?; \
                 cat /proc/net/dev | tail -n +3 | cut -d: -f1"
            ),
        ])
        .await;
    // The kernel itself says so, and at once: a packet that is dropped on its way would be a timeout.
    assert_eq!(
        text(&output.stdout),
        "connect: Connection refused\nconnect: Network is unreachable\nconnect: Network is unreachable\n2\n    lo\n",
        "{}",
        text(&output.stderr)
    );
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

async fn its_own_loopback_works(lane: Lane) {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("SKIPPED: no /usr/bin/python3");
        return;
    }
    let output = lane
        .run(&[
            "/usr/bin/python3",
            "-c",
            "import socket\n\
             for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):\n\
             \x20   server = socket.create_server((host, 0), family=family)\n\
             \x20   client = socket.create_connection(server.getsockname()[:2], timeout=5)\n\
             \x20   server.accept()[0].sendall(b'ok'); print(client.recv(2).decode())\n\
             print(socket.gethostbyname('localhost'))\n",
        ])
        .await;
    assert_eq!(text(&output.stdout), "ok\nok\n127.0.0.1\n", "{}", text(&output.stderr));
}

async fn the_hosts_files_are_not_there(lane: Lane) {
    let secret = lane.state.path().join("secret");
    std::fs::write(&secret, "s").unwrap();
    let mut script = String::new();
    for path in [
        "/etc/shadow",
        "/root/.cargo",
        "/root/.ssh",
        "/home",
        "/var/lib",
        "/run",
        "/sys",
        "/sys/kernel",
        "/sys/fs/cgroup",
        "/boot",
        "/dev/mem",
        "/dev/vda",
        "/dev/sda",
        "/proc/1/environ",
        "/proc/1/mem",
        "/proc/1/root/etc",
        "/proc/kcore",
        "/proc/sched_debug",
        &secret.display().to_string(),
        &format!("{}/containers", lane.state.path().display()),
        // The way of CVE-2024-21626: a descriptor of a host folder left open.
        "/proc/self/fd/7/../../etc/shadow",
    ] {
        // Folders of the image, and the system's as the node shows them to every pod.
        let of_pods = ["/home", "/var/lib", "/run", "/boot", "/sys", "/sys/kernel", "/sys/fs/cgroup"];
        if lane.kind == EngineKind::Kubernetes && of_pods.contains(&path) {
            continue;
        }
        script.push_str(&format!(
            "if [ -d '{path}' ]; then ls -A '{path}'; else head -c 100 '{path}'; fi 2>/dev/null | grep -q . \
             && echo 'reads {path}'\n"
        ));
    }
    script.push_str("ls /; for fd in /proc/self/fd/*; do readlink $fd | grep -v pipe: | grep -v /dev/null; done; cat /etc/passwd; mount | grep -c ' / ';");
    let output = lane.sh(&script).await;
    let stdout = text(&output.stdout);
    assert!(!stdout.contains("reads "), "{stdout}");
    assert!(with_user(&stdout).contains("gloaming:x:60900:60900::/scratch/home:/bin/sh\n"), "{stdout}");
    for own in ["workspace\n", "scratch\n", "tmp\n", "usr\n", "proc\n"] {
        assert!(stdout.contains(own), "{stdout}");
    }
    let mut absent = vec!["work\n"];
    if lane.kind != EngineKind::Kubernetes {
        absent.extend(["home\n", "boot\n", "mnt\n", "srv\n"]);
    }
    if lane.kind == EngineKind::Embedded {
        // A daemon's container has both, and nothing is in them.
        absent.extend(["sys\n", "run\n"]);
    }
    for host in absent {
        assert!(!stdout.contains(&format!("\n{host}")), "{stdout}");
    }
}

async fn only_workspace_scratch_and_temporary_folders_can_be_written(lane: Lane) {
    let output = lane
        .sh("find / -xdev -type d -writable 2>/dev/null | sort; echo; \
             for d in / /usr /usr/bin /etc /opt /root /dev /proc /proc/sys/kernel /var /workspace /scratch /tmp /dev/shm \
                      /scratch/home /etc/alternatives /etc/ssl/certs; do \
               (: > $d/.probe) 2>/dev/null && { echo $d; rm $d/.probe; }; done; \
             (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && echo core_pattern; \
             (echo x > /proc/sysrq-trigger) 2>/dev/null && echo sysrq; \
             (echo x > /usr/bin/sh) 2>/dev/null && echo sh; \
             true")
        .await;
    // Without root, the 64 KiB of its own /dev belong to the job's user, there being no other.
    let stdout = text(&output.stdout);
    let stdout = if is_root() { stdout } else { stdout.replace("/dev\n", "") };
    assert_eq!(stdout, "/scratch\n/tmp\n/workspace\n\n/workspace\n/scratch\n/tmp\n/dev/shm\n/scratch/home\n");
    assert!(!Path::new("/usr/bin/.probe").exists());
}

async fn the_workspace_is_written_by_the_job_and_read_and_deleted_by_us(lane: Lane) {
    let root = lane.workspace.path();
    std::fs::create_dir(root.join("src")).unwrap();
    std::fs::write(root.join("src/lib.rs"), "old").unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "mine").unwrap();
    std::os::unix::fs::symlink(outside.path().join("file"), root.join("link")).unwrap();
    std::fs::hard_link(outside.path().join("file"), root.join("hard")).unwrap();
    let output = lane
        .sh("echo new > src/lib.rs; mkdir -p deep/er; echo x > deep/er/file; chmod 000 deep; \
             echo pwned > link; echo pwned > hard; chmod 777 hard; id -u")
        .await;
    assert_eq!(std::fs::read_to_string(root.join("src/lib.rs")).unwrap(), "new\n");
    // Neither a link that leads out nor a second name of a file outside hands that file over.
    // (Without root the job's user is us, and a second name of a file of ours is ours.)
    if is_root() {
        assert_eq!(std::fs::read_to_string(outside.path().join("file")).unwrap(), "mine");
        let meta = std::fs::metadata(outside.path().join("file")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o644));
    }
    assert_eq!(with_user(&text(&output.stdout)), "60900\n");
    if is_root() {
        assert_eq!(std::fs::read_to_string(root.join("deep/er/file")).unwrap(), "x\n");
        lane.workspace.close().unwrap();
    }
}

async fn nothing_of_our_environment_passes_through(lane: Lane) {
    // Set for this whole test process by cargo, and never by us.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let mut job = lane.job(&["env"]);
    job.env = BTreeMap::from([("MINE".to_owned(), "1".to_owned()), ("CI".to_owned(), "changed".to_owned())]);
    let output = lane.run_job(&job).await.unwrap();
    let seen: Vec<String> = text(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.to_owned())
        // And what the host's tools or the image bring along.
        .filter(|name| !["FLAVOUR", "GOMODCACHE", "VIRTUAL_ENV"].contains(&name.as_str()))
        .collect();
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(
        sorted.join(" "),
        "CARGO_BUILD_JOBS CARGO_HOME CARGO_NET_OFFLINE CARGO_TARGET_DIR CARGO_TERM_COLOR CI GOCACHE GOMAXPROCS GOPATH \
         GOPROXY GOSUMDB GOTOOLCHAIN HOME LANG LOGNAME MINE PATH PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_INDEX \
         PYTHONDONTWRITEBYTECODE PYTHONHASHSEED SHELL TERM TMPDIR USER npm_config_audit npm_config_cache npm_config_fund \
         npm_config_offline npm_config_update_notifier"
    );
    assert!(text(&output.stdout).contains("CI=changed\n"));
}

async fn the_kernel_says_that_the_job_is_confined(lane: Lane) {
    let output = lane
        .sh("grep -E '^(Seccomp|NoNewPrivs|Cap...|Groups|Uid|Gid):' /proc/self/status | tr -s ' \\t' ' '; \
             ulimit -c; cat /proc/self/oom_score_adj; echo groups named $(grep -vc ':/$' /proc/self/cgroup); hostname")
        .await;
    let zero = "0000000000000000";
    let groups = match lane.kind {
        EngineKind::Embedded if !is_root() => "",
        EngineKind::Embedded => "Groups: \n",
        EngineKind::Docker | EngineKind::Podman | EngineKind::Kubernetes => "Groups: 60900 \n",
    };
    // Where groups are of version 1 some show their names, whatever they are told.
    let shows_groups = matches!(lane.kind, EngineKind::Podman | EngineKind::Kubernetes);
    let named = if shows_groups { "" } else { "groups named 0\n" };
    let want = format!(
        "Uid: 60900 60900 60900 60900\nGid: 60900 60900 60900 60900\n{groups}\
         CapInh: {zero}\nCapPrm: {zero}\nCapEff: {zero}\nCapBnd: {zero}\nCapAmb: {zero}\n\
         NoNewPrivs: 1\nSeccomp: 2\n0\n500\n{named}job\n"
    );
    let stdout: String = with_user(&text(&output.stdout))
        .lines()
        .filter(|line| !groups.is_empty() || !line.starts_with("Groups"))
        .filter(|line| !shows_groups || !line.starts_with("groups named"))
        // A pod is more likely to be killed the less memory it has.
        .map(|line| match line.parse() {
            Ok(501..=1000) if lane.kind == EngineKind::Kubernetes => "500\n".to_owned(),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(stdout, want);
}

async fn dangerous_system_calls_fail(lane: Lane) {
    if !Path::new("/usr/bin/python3").exists() || !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED: the numbers below are x86-64's and python3 makes the calls");
        return;
    }
    let calls = [
        ("mount", 165, 1),
        ("umount2", 166, 1),
        ("unshare", 272, 1),
        ("setns", 308, 1),
        ("keyctl", 250, 1),
        ("add_key", 248, 1),
        ("request_key", 249, 1),
        ("bpf", 321, 1),
        ("perf_event_open", 298, 1),
        ("userfaultfd", 323, 1),
        ("kexec_load", 246, 1),
        ("init_module", 175, 1),
        ("finit_module", 313, 1),
        ("reboot", 169, 1),
        ("swapon", 167, 1),
        ("open_by_handle_at", 304, 1),
        ("process_vm_readv", 310, 1),
        ("pivot_root", 155, 1),
        ("chroot", 161, 1),
        ("open_tree", 428, 1),
        ("move_mount", 429, 1),
        ("fsopen", 430, 1),
        ("mount_setattr", 442, 1),
        ("quotactl", 179, 1),
        ("syslog", 103, 1),
        ("io_uring_setup", 425, 38),
        ("clone3", 435, 38),
    ];
    let mut script = "import ctypes, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         def call(number, *args):\n    ctypes.set_errno(0)\n    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args])\n    return ctypes.get_errno()\n"
        .to_owned();
    for (name, number, errno) in calls {
        script.push_str(&format!(
            "e = call({number}, 0, 0, 0, 0, 0, 0)\nif e != {errno}: print('{name}', e)\n"
        ));
    }
    // A user namespace by clone, by its 64-bit look-alike, and sockets that no namespace contains.
    script.push_str(
        "for flags in (0x10000000 | 17, 0x100000000 | 0x10000000 | 17, 0x20000 | 17):\n\
         \x20   e = call(56, flags, 0, 0, 0, 0)\n\
         \x20   if e != 1: print('clone', hex(flags), e)\n\
         for family in (0, 3, 17, 31, 38, 40, 44, 0x100000028):\n\
         \x20   e = call(41, family, 1, 0)\n\
         \x20   if e != 1: print('socket', family, e)\n\
         e = call(16, 0, 0x5412, 0)\n\
         if e != 1: print('TIOCSTI', e)\n\
         e = call(16, 0, 0x100005412, 0)\n\
         if e != 1: print('TIOCSTI with high bits', e)\n\
         r, w = os.pipe(); os.write(w, b'abc'); held = ctypes.c_int()\n\
         e = call(16, r, 0x541b, ctypes.addressof(held))\n\
         if e or held.value != 3: print('FIONREAD', e, held.value)\n\
         socket.socket(socket.AF_UNIX); socket.socket(socket.AF_INET); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)\n\
         print('done')\n",
    );
    let output = lane.run(&["/usr/bin/python3", "-c", &script]).await;
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("done\n", ""));
}

async fn nobody_listens_to_the_job(lane: Lane) {
    // The way by which a daemon's container tells us how it ended; without a daemon there is none in it.
    let script = "import socket, glob\n\
         for name in glob.glob('/.gloaming/control'):\n\
         \x20   try: socket.socket(socket.AF_UNIX).connect(name); print('connected')\n\
         \x20   except OSError as error: print(error.strerror)\n\
         \x20   try: open(name, 'wb'); print('opened')\n\
         \x20   except OSError: pass\n";
    let output = lane.run(&["/usr/bin/python3", "-c", script]).await;
    let want = match lane.kind {
        EngineKind::Docker | EngineKind::Podman => "Connection refused\n",
        // In a pod it is removed once the one connection is made.
        EngineKind::Embedded | EngineKind::Kubernetes => "",
    };
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (want, ""));
}

async fn set_user_id_programs_of_the_host_give_nothing(lane: Lane) {
    let output = lane
        .sh("cp /bin/sh /workspace/sh; chmod 6755 /workspace/sh; /workspace/sh -p -c 'id -u'; \
             (echo id -u | newgrp root; echo id -u | su) 2>/dev/null | grep -w 0; true")
        .await;
    assert_eq!(
        (output.record.exit, with_user(&text(&output.stdout)).as_str()),
        (JobExit::Code(0), "60900\n")
    );
}
