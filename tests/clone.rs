//! A repository named by its URL: over the wire from git's own server, and every way that does not work out.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{PythonServer, Scene, ran};

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[package]\nname = \"calc\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"calc\"\nversion = \"0.1.0\"\n"),
    (
        "src/lib.rs",
        "pub fn foo_bar() -> u8 {\n    1\n}\n\n#[test]\nfn works() {\n    assert_eq!(foo_bar(), 1);\n}\n",
    ),
];

/// Ends in a bow-out as soon as the repository is there: enough to see that it was cloned.
const UNCLEAR: &str = "Make it better";

const SERVER: &str = "tests/support/git_http.py";

/// A scene whose repository lies in `served/calc.git` too.
fn served() -> (Scene, PathBuf) {
    let scene = Scene::new(FILES);
    scene.git(&["clone", "-q", "--bare", ".", "../served/calc.git"]);
    let folder = scene.path().join("served");
    (scene, folder)
}

fn run<'a>(url: &'a str, task: &'a str) -> Vec<&'a str> {
    vec!["run", "--repo", url, "--task", task, "--out", "out", "--json"]
}

#[test]
fn a_url_is_cloned_over_http_and_its_password_is_kept_nowhere() {
    let (scene, folder) = served();
    let server = PythonServer::start(&scene, SERVER, &folder, &["--user", "me:hunter2-secret"]);
    let url = format!("http://me:hunter2-secret@127.0.0.1:{}/calc.git", server.port());
    let result = scene.gloaming(&run(&url, "Rename foo_bar to parse_bar")).exits(0).json();
    let branch = result["branch"].as_str().unwrap();
    scene.git(&["--git-dir", "../out/repo.git", "rev-parse", "--verify", branch]);
    assert_eq!(scene.git(&["--git-dir", "../served/calc.git", "branch", "--list", "gloaming/*"]), "");
    let grep =
        Command::new("grep").args(["-rl", "hunter2"]).args([scene.out(), scene.home()]).output().unwrap();
    assert_eq!((grep.status.code(), grep.stdout), (Some(1), Vec::new()), "the password was written down");

    let wrong = format!("http://me:hunter3-secret@127.0.0.1:{}/calc.git", server.port());
    std::fs::remove_dir_all(scene.out()).unwrap();
    let ran = scene.gloaming(&run(&wrong, UNCLEAR)).exits(4);
    assert_eq!(ran.json()["outcome"], "failed");
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter3"), "{ran:?}");
}

/// Makes a certificate that nobody vouches for but itself.
fn certificate(scene: &Scene) -> (String, String) {
    let file = |name: &str| scene.path().join(name).to_string_lossy().into_owned();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl runs: the tests need it (make test installs it)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[test]
fn a_server_whose_certificate_is_not_trusted_says_what_to_do_and_the_operators_own_authority_counts() {
    let (scene, folder) = served();
    let (certificate, key) = certificate(&scene);
    let server =
        PythonServer::start(&scene, SERVER, &folder, &["--certificate", &certificate, "--key", &key]);
    let url = format!("https://127.0.0.1:{}/calc.git", server.port());
    let setting = format!("[http]\n\tsslCAInfo = {certificate}\n\tsslVerify = false\n");
    let settings = scene.path().join("gitconfig");
    std::fs::write(&settings, &setting).unwrap();

    // What a repository says counts for nothing, not even one we stand in; nor that the operator checks nothing.
    scene.git(&["config", "http.sslCAInfo", &certificate]);
    scene.git(&["config", "http.sslVerify", "false"]);
    std::fs::write(scene.path().join("unchecked"), "[http]\n\tsslVerify = false\n").unwrap();
    let mut command = scene.command(&["run", "--repo", &url, "--task", UNCLEAR, "--out", "../out", "--json"]);
    command.current_dir(scene.repo()).env("GIT_CONFIG_GLOBAL", scene.path().join("unchecked"));
    let refused = ran(command.output().unwrap()).exits(4);
    let result = refused.json();
    assert_eq!(result["outcome"], "failed");
    let error = result["error"].as_str().unwrap();
    assert!(error.contains("certificate of https://127.0.0.1:") && error.contains("not trusted"), "{error}");
    assert!(refused.stderr.contains("GIT_SSL_CAINFO=/path/ca.pem"), "{}", refused.stderr);
    assert!(!scene.out().join("repo.git").exists());

    for (name, value) in
        [("GIT_SSL_CAINFO", certificate.as_str()), ("GIT_CONFIG_GLOBAL", settings.to_str().unwrap())]
    {
        let mut command = scene.command(&run(&url, UNCLEAR));
        let result = ran(command.env(name, value).output().unwrap()).exits(3).json();
        assert_eq!(result["reason_code"], "no_model", "{name}");
        std::fs::remove_dir_all(scene.out()).unwrap();
    }
}

#[test]
fn a_mistake_beside_a_url_does_not_stand_in_the_way_of_the_corrected_command() {
    let (scene, folder) = served();
    let url = format!("file://{}", folder.join("calc.git").display());
    let mut typo = run(&url, UNCLEAR);
    typo.extend(["--base", "mian"]);
    let ran = scene.gloaming(&typo).exits(2);
    assert!(ran.stderr.contains("mian"), "{}", ran.stderr);
    scene.gloaming(&run(&url, UNCLEAR)).exits(3);

    // What somebody else has put there is not ours to remove.
    std::fs::remove_dir_all(scene.out()).unwrap();
    std::fs::create_dir_all(scene.out().join("repo.git")).unwrap();
    std::fs::write(scene.out().join("repo.git/mine"), "mine").unwrap();
    let ran = scene.gloaming(&run(&url, UNCLEAR)).exits(2);
    assert!(ran.stderr.contains("not empty"), "{}", ran.stderr);
    assert!(scene.out().join("repo.git/mine").exists());
}

#[test]
fn ctrl_c_at_a_terminal_while_git_clones_is_a_cancellation() {
    let scene = Scene::bare_folder();
    // A listener that takes the connection and never answers: git waits for its server.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/calc.git", listener.local_addr().unwrap());
    let mut command = scene.command(&run(&url, UNCLEAR));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // A terminal signals its whole foreground group, so the program leads one here.
    let child = command.process_group(0).spawn().unwrap();
    let _waiting = listener.accept().unwrap();
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    let ran = ran(child.wait_with_output().unwrap()).exits(130);
    let result: Value = ran.json();
    assert_eq!(result["outcome"], "cancelled", "{result:#}");
    assert!(!scene.out().join("repo.git").exists());
}
