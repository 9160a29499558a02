//! What a job with network reaches, and by which road.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::job::{EgressAttempt, EgressDecision, JobExit, JobPurpose};
use gloaming_jobs::{Cancel, Egress, JobError, JobOutput, Resolver};
use gloaming_policies::{Grant, JobPermit, Lanes, Layer, parse};
use tokio_rustls::rustls;

use crate::support::{Lane, on_every_engine, text};

on_every_engine!(
    what_is_allowed_is_reached_and_the_rest_is_refused_and_noted,
    there_is_no_other_road_whatever_process_looks_for_one,
    a_job_without_network_has_no_proxy,
    a_set_that_is_not_filled_is_an_error_before_anything_starts,
    the_proxy_ends_with_its_job,
    many_connections_and_slow_ones_are_served_in_turn,
);

/// Names for this machine's own loopback.
const HERE: &[&str] = &["forge.example", "other.example"];

pub(crate) fn permit(purpose: JobPurpose, network: &[String]) -> JobPermit {
    let text =
        format!("schema = 1\n[jobs.{}]\ntimeout = \"600s\"\nnetwork = {network:?}\n", purpose.as_str());
    let file = parse("test.toml", &text).expect("it is a policy");
    let layers = vec![(Layer::Operator, file)];
    let grant = Grant::resolve_on(
        &gloaming_api::RepoId::local("test"),
        layers,
        Lanes { hosts: true, secrets: false },
    );
    grant.expect("it resolves").permit_job(purpose).expect("it is permitted")
}

/// An operator's values with which the names above lead here, to these ports.
fn egress(ports: &[u16]) -> Egress {
    let resolver = Resolver::new(|host| {
        Box::pin(async move {
            match host.as_str() {
                "metadata.example" => Ok(vec!["169.254.169.254".parse().expect("an address")]),
                name if HERE.contains(&name) || name == "inside.example" => {
                    Ok(vec!["127.0.0.1".parse().expect("one")])
                }
                _ => Err(std::io::Error::other("no such name")),
            }
        })
    });
    let private = HERE.iter().flat_map(|host| ports.iter().map(move |port| format!("{host}:{port}")));
    Egress { private: private.collect(), resolver, ..Egress::default() }
}

pub(crate) async fn run(lane: &Lane, permit: &JobPermit, egress: Egress, argv: &[&str]) -> JobOutput {
    let mut job = lane.job(argv);
    job.egress = Some(egress);
    lane.engine.run(permit, &job, &Cancel::new()).await.expect("a container can be made")
}

pub(crate) fn attempts(output: &JobOutput) -> &[EgressAttempt] {
    &output.record.egress.as_ref().expect("the job had network").attempts
}

pub(crate) fn allowed(attempt: &EgressAttempt) -> bool {
    matches!(attempt.decision, EgressDecision::Allowed { .. }) && attempt.failure.is_none()
}

/// Answers every request with `hello`, as long as the test runs.
fn plain() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || answer(&mut stream));
        }
    });
    port
}

fn answer(stream: &mut (impl std::io::Read + std::io::Write)) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        bytes.push(byte[0]);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n");
    let _ = stream.flush();
}

/// The same by TLS; the certificate, for both names, is put into the workspace.
fn secure(lane: &Lane) -> u16 {
    let names: Vec<String> = HERE.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(lane.workspace.path().join("ca.pem"), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let config = config.clone();
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream);
                answer(&mut stream);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    port
}

fn has(program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        eprintln!("SKIPPED: no {program}");
    }
    there
}

async fn what_is_allowed_is_reached_and_the_rest_is_refused_and_noted(lane: Lane) {
    if !has("/usr/bin/curl") {
        return;
    }
    let (port, tls) = (plain(), secure(&lane));
    let permit = permit(
        JobPurpose::Setup,
        &[
            format!("http://forge.example:{port}"),
            format!("https://forge.example:{tls}"),
            "inside.example".into(),
            "metadata.example".into(),
            "127.0.0.1".into(),
            "nowhere.example".into(),
        ],
    );
    let script = format!(
        "get() {{ echo \"- $*\"; curl -sS -m 20 --cacert ca.pem -w '%{{http_code}} %{{http_connect}}\\n' \"$@\" 2>&1; }}\n\
         get http://forge.example:{port}/\n\
         get https://forge.example:{tls}/\n\
         get http://other.example:{port}/\n\
         get https://other.example:{tls}/\n\
         get --connect-to other.example:{tls}:forge.example:{tls} https://other.example:{tls}/\n\
         get http://inside.example:{port}/\n\
         get http://metadata.example/latest/meta-data/\n\
         get --noproxy '' http://127.0.0.1:{port}/\n\
         get http://nowhere.example/\n\
         get http://169.254.169.254/\n"
    );
    let output = run(&lane, &permit, egress(&[port, tls]), &["/bin/sh", "-c", &script]).await;
    let told = text(&output.stdout).replace(&port.to_string(), "PORT").replace(&tls.to_string(), "TLS");
    // What a TLS library calls the alert is its own affair.
    let lines = told.lines().map(|line| match line.find(')') {
        Some(end) if line.starts_with("curl: (") => &line[..=end],
        _ => line,
    });
    let told = lines.collect::<Vec<_>>().join("\n");
    // The same on every engine.
    insta::allow_duplicates! {
        insta::assert_snapshot!(told, @r"
        - http://forge.example:PORT/
        hello
        200 000
        - https://forge.example:TLS/
        hello
        200 200
        - http://other.example:PORT/
        gloaming: http://other.example:PORT is denied by rule default-deny (test.toml:2): No rule lets these jobs have the host http://other.example:PORT. They may have 127.0.0.1, http://forge.example:PORT, https://forge.example:TLS, inside.example, metadata.example, nowhere.example.
        403 000
        - https://other.example:TLS/
        curl: (56)
        000 403
        - --connect-to other.example:TLS:forge.example:TLS https://other.example:TLS/
        curl: (35)
        000 200
        - http://inside.example:PORT/
        gloaming: inside.example leads to 127.0.0.1, this machine's loopback
        403 000
        - http://metadata.example/latest/meta-data/
        gloaming: metadata.example leads to 169.254.169.254, link-local (where clouds tell a machine its credentials)
        403 000
        - --noproxy  http://127.0.0.1:PORT/
        gloaming: 127.0.0.1 is this machine's loopback
        403 000
        - http://nowhere.example/
        gloaming: the name nowhere.example was not found: no such name
        502 000
        - http://169.254.169.254/
        gloaming: http://169.254.169.254:80 is denied by rule default-deny (test.toml:2): No rule lets these jobs have the host http://169.254.169.254:80. They may have 127.0.0.1, http://forge.example:PORT, https://forge.example:TLS, inside.example, metadata.example, nowhere.example.
        403 000
        ");
    }
    let log: Vec<String> = attempts(&output)
        .iter()
        .map(|attempt| {
            let decision = match &attempt.decision {
                EgressDecision::Allowed { rule } => format!("allowed by {rule}"),
                EgressDecision::Refused { rule, reason } => {
                    format!("refused by {}: {reason}", rule.as_deref().unwrap_or("us"))
                }
            };
            let failure = attempt.failure.as_deref().map(|why| format!("; {why}")).unwrap_or_default();
            let address = attempt.address.as_deref().unwrap_or("-");
            format!(
                "{} {}://{}:{} {address} {decision}{failure}",
                attempt.method, attempt.scheme, attempt.host, attempt.port
            )
        })
        .collect();
    let log = log.join("\n").replace(&port.to_string(), "PORT").replace(&tls.to_string(), "TLS");
    insta::allow_duplicates! {
        insta::assert_snapshot!(log, @r#"
        GET http://forge.example:PORT 127.0.0.1:PORT allowed by jobs.setup
        CONNECT https://forge.example:TLS 127.0.0.1:TLS allowed by jobs.setup
        GET http://other.example:PORT - refused by default-deny: No rule lets these jobs have the host http://other.example:PORT.
        CONNECT https://other.example:TLS - refused by default-deny: No rule lets these jobs have the host https://other.example:TLS.
        CONNECT https://forge.example:TLS 127.0.0.1:TLS refused by us: the TLS connection is for "other.example", and the tunnel for forge.example
        GET http://inside.example:PORT - refused by us: inside.example leads to 127.0.0.1, this machine's loopback
        GET http://metadata.example:80 - refused by us: metadata.example leads to 169.254.169.254, link-local (where clouds tell a machine its credentials)
        GET http://127.0.0.1:PORT - refused by us: 127.0.0.1 is this machine's loopback
        GET http://nowhere.example:80 - allowed by jobs.setup; the name nowhere.example was not found: no such name
        GET http://169.254.169.254:80 - refused by default-deny: No rule lets these jobs have the host http://169.254.169.254:80.
        "#);
    }
    assert!(attempts(&output)[0].down > 0 && attempts(&output)[1].down > 500);
}

async fn there_is_no_other_road_whatever_process_looks_for_one(lane: Lane) {
    if !has("/usr/bin/python3") {
        return;
    }
    let port = plain();
    // What of the host listens for anybody: by TCP, by UDP, by an abstract name.
    let (tcp, udp) = (TcpListener::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("0.0.0.0:0").unwrap());
    let name = format!("gloaming-test-{}-{port}", std::process::id());
    let hidden = UnixListener::bind_addr(&UnixAddress::from_abstract_name(&name).unwrap()).unwrap();
    let (tcp_port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    // The machine's own address, as its network has it; nothing is sent to learn it.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let own = own.map_or("127.0.0.1".to_owned(), |address| address.ip().to_string());
    let script = format!(
        r#"
import os, socket, struct, sys
def attempt(what, call):
    try:
        call()
        print('REACHED', what)
    except OSError as error:
        pass
def tcp(host, port, family=socket.AF_INET):
    s = socket.socket(family); s.settimeout(3); s.connect((host, port))
def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3); s.sendto(b'x', (host, port))
def dns(server):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
    s.sendto(b'\0\1\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1', (server, 53)); s.recv(512)
def route():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); s.settimeout(3)
    # RTM_NEWROUTE: a default route by the loopback.
    attribute = struct.pack('HHi', 8, 4, 1)
    body = struct.pack('BBBBBBBBI', socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0) + attribute
    s.send(struct.pack('IHHII', 16 + len(body), 24, 0x405, 1, 0) + body)
    reply = s.recv(512)
    error = struct.unpack('i', reply[16:20])[0]
    if error: raise OSError(-error, 'refused')
def interface():
    import fcntl
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(s, 0x8916, struct.pack('16sH2s4s8s', b'lo', socket.AF_INET, b'', socket.inet_aton('192.0.2.9'), b''))
def all():
    for host in ('127.0.0.1', '{own}', '1.1.1.1', '169.254.169.254', '10.0.0.1', '0.0.0.0'):
        attempt(f'tcp {{host}}', lambda: tcp(host, {tcp_port}))
    for host in ('{own}', '1.1.1.1', '169.254.169.254', '255.255.255.255'):
        attempt(f'udp {{host}}', lambda: udp(host, {udp_port}))
    for host in ('127.0.0.1', '127.0.0.53', '{own}', '8.8.8.8'):
        attempt(f'dns {{host}}', lambda: dns(host))
    attempt('name', lambda: socket.getaddrinfo('forge.example', 80))
    attempt('ipv6', lambda: tcp('2606:4700::1111', 80, socket.AF_INET6))
    attempt('ipv6 mapped', lambda: tcp('::ffff:{own}', {tcp_port}, socket.AF_INET6))
    attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect('\0{name}'))
    attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    attempt('packet', lambda: socket.socket(17, socket.SOCK_RAW))
    attempt('vsock', lambda: socket.socket(40, socket.SOCK_STREAM))
    attempt('icmp', lambda: (lambda s: s.sendto(b'\x08\0\0\0\0\0\0\0', ('1.1.1.1', 0)))(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)))
    attempt('route', route)
    attempt('interface', interface)
    attempt('proxy taken', lambda: (lambda s: (s.setsockopt(1, 15, 1), s.setsockopt(1, 2, 1), s.bind(('127.0.0.1', 17128)), s.listen()))(socket.socket()))
all()
# A child without any variable, in a session of its own, orphaned.
os.environ.clear()
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        all(); print('child done', flush=True)
    os._exit(0)
os.waitpid(child, 0)
print([line.split()[1] for line in open('/proc/net/tcp').readlines()[1:] if line.split()[3] == '0A'])
print(sorted(line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]))
"#
    );
    let permit =
        permit(JobPurpose::Setup, &[format!("http://forge.example:{port}"), "tcp://1.1.1.1:80".into()]);
    let wait = format!("/usr/bin/python3 -c '{}' | cat", script.replace('\'', "'\\''"));
    let output = run(&lane, &permit, egress(&[port]), &["/bin/sh", "-c", &wait]).await;
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    // 17128 in the form of /proc: the one listener, and it is the proxy's.
    assert_eq!(lines, ["['0100007F:42E8']", "['lo']", "child done"], "{}", text(&output.stderr));
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    hidden.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err() && udp.recv(&mut [0; 8]).is_err() && hidden.accept().is_err());
    assert_eq!(attempts(&output), []);
}

async fn a_job_without_network_has_no_proxy(lane: Lane) {
    let script =
        ["/bin/sh", "-c", "env | grep -ci proxy=http; echo $PIP_NO_INDEX; tail -n +2 /proc/net/tcp | wc -l"];
    for (network, offered) in [(vec![], Some(egress(&[]))), (vec!["forge.example".to_owned()], None)] {
        let mut job = lane.job(&script);
        job.egress = offered;
        let permit = permit(JobPurpose::Test, &network);
        let output = lane.engine.run(&permit, &job, &Cancel::new()).await.unwrap();
        assert_eq!(text(&output.stdout), "0\n1\n0\n");
        assert_eq!(output.record.egress, None);
    }
    // With it, what kept tools offline is gone, and what an operator sets is there.
    let mut job = lane.job(&["env"]);
    job.egress = Some(Egress {
        env: BTreeMap::from([("GOPROXY".into(), "https://go.example".into())]),
        ..egress(&[])
    });
    let output = lane
        .engine
        .run(&permit(JobPurpose::Setup, &["forge.example".into()]), &job, &Cancel::new())
        .await
        .unwrap();
    let env = text(&output.stdout);
    for gone in ["CARGO_NET_OFFLINE", "PIP_NO_INDEX", "npm_config_offline", "GOSUMDB"] {
        assert!(!env.contains(gone), "{env}");
    }
    for set in [
        "HTTPS_PROXY=http://127.0.0.1:17128\n",
        "http_proxy=http://127.0.0.1:17128\n",
        "GOPROXY=https://go.example\n",
    ] {
        assert!(env.contains(set), "{env}");
    }
}

async fn a_set_that_is_not_filled_is_an_error_before_anything_starts(lane: Lane) {
    let mut job = lane.job(&["touch", "ran"]);
    job.egress = Some(egress(&[]));
    let permit = permit(JobPurpose::Setup, &["registry".into()]);
    let error = lane.engine.run(&permit, &job, &Cancel::new()).await.unwrap_err();
    assert!(
        matches!(&error, JobError::Invalid { reason, .. } if reason.contains("test.toml:4:12") && reason.contains("`registry` is empty")),
        "{error}"
    );
    assert!(!lane.workspace.path().join("ran").exists());
}

async fn the_proxy_ends_with_its_job(lane: Lane) {
    if !has("/usr/bin/python3") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        // Ends, or the connection has outlived its job.
        stream.read_to_end(&mut heard).map(|_| heard)
    });
    let script = format!(
        "import socket, time\ns = socket.create_connection(('127.0.0.1', 17128))\n\
         s.sendall(b'CONNECT forge.example:{port} HTTP/1.1\\r\\n\\r\\n')\nassert b' 200 ' in s.recv(100)\ns.sendall(b'hello')\n\
         open('begun', 'w').close()\ntime.sleep(600)\n"
    );
    let mut job = lane.job(&["/usr/bin/python3", "-c", &script]);
    job.egress = Some(egress(&[port]));
    let permit = permit(JobPurpose::Setup, &[format!("tcp://forge.example:{port}")]);
    let cancel = Cancel::new();
    let stop = async {
        lane.until_made("begun").await;
        cancel.cancel();
    };
    let (output, ()) = tokio::join!(lane.engine.run(&permit, &job, &cancel), stop);
    let output = output.unwrap();
    assert_eq!(output.record.exit, JobExit::Cancelled);
    assert_eq!(attempts(&output).len(), 1);
    assert!(
        tokio::task::spawn_blocking(|| host.join())
            .await
            .unwrap()
            .unwrap()
            .is_ok_and(|heard| b"hello".starts_with(&heard))
    );
    assert_eq!(lane.left_behind().await, Vec::<String>::new());
}

async fn many_connections_and_slow_ones_are_served_in_turn(lane: Lane) {
    if !has("/usr/bin/python3") {
        return;
    }
    let port = plain();
    let mut egress = egress(&[port]);
    egress.limits.connections = 8;
    // Three times over the slow ones take every place; on a loaded machine the others are not that slow.
    egress.limits.head = Duration::from_secs(5);
    let script = format!(
        "import socket, threading, urllib.request\n\
         slow = [socket.create_connection(('127.0.0.1', 17128)) for _ in range(20)]\n\
         for s in slow: s.sendall(b'GET http://files.exa')\n\
         big = socket.create_connection(('127.0.0.1', 17128)); big.sendall(b'GET http://forge.example:{port}/ HTTP/1.1\\r\\nx: ' + b'x' * 60000 + b'\\r\\n\\r\\n')\n\
         got = []\n\
         def get():\n\
         \x20   got.append(urllib.request.urlopen('http://forge.example:{port}/', timeout=600).read())\n\
         threads = [threading.Thread(target=get) for _ in range(100)]\n\
         for t in threads: t.start()\n\
         for t in threads: t.join()\n\
         print(len(got), set(got), b' 431 ' in big.recv(100))\n"
    );
    let permit = permit(JobPurpose::Setup, &[format!("http://forge.example:{port}")]);
    let output = run(&lane, &permit, egress, &["/usr/bin/python3", "-c", &script]).await;
    assert_eq!(text(&output.stdout), "100 {b'hello\\n'} True\n", "{}", text(&output.stderr));
    assert_eq!(attempts(&output).iter().filter(|attempt| allowed(attempt)).count(), 100);
}
