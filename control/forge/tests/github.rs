//! Our client of GitHub against a server that answers by a script: which tokens it asks for, when it asks again, what it
//! says of itself.
#![expect(clippy::disallowed_methods, reason = "the App's key is made by openssl")]

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gloaming_api::RepoId;
use gloaming_forge::github::{Identity, Settings};
use gloaming_forge::{CodeHost, GitHub, HostError};
use jiff::Timestamp;
use serde_json::json;

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: String,
    body: String,
}

type Script = Arc<Mutex<VecDeque<&'static str>>>;

/// Answers requests by a script, one connection each; hangs up where it is at its end.
fn serve(script: &[&'static str]) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let left: Script = Arc::new(Mutex::new(script.iter().copied().collect()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let mut from = BufReader::new(stream);
            let (mut line, mut headers, mut length) = (String::new(), String::new(), 0);
            from.read_line(&mut line).expect("a request");
            loop {
                let mut header = String::new();
                if from.read_line(&mut header).expect("a header") <= 2 {
                    break;
                }
                if let Some(value) = header.to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().expect("a length");
                }
                headers.push_str(&header);
            }
            let mut body = vec![0; length];
            from.read_exact(&mut body).expect("a body");
            let body = String::from_utf8(body).expect("text");
            noted.lock().unwrap().push(Seen { line: line.trim().to_owned(), headers, body });
            let Some(answer) = left.lock().unwrap().pop_front() else { continue };
            let (head, content) = answer.split_once("\n\n").unwrap_or((answer, ""));
            let head = head.trim().replace('\n', "\r\n");
            let length = content.len();
            let answer =
                format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{content}");
            from.into_inner().write_all(answer.as_bytes()).expect("it reads");
        }
    });
    (url, seen)
}

const INSTALLED: &str = "200 OK\n\n{\"id\": 100}";
const FIRST: &str = "201 Created\n\n{\"token\": \"ghs_first\", \"expires_at\": \"2026-11-27T13:00:00Z\"}";
const SECOND: &str = "201 Created\n\n{\"token\": \"ghs_second\", \"expires_at\": \"2026-11-27T14:00:00Z\"}";
const ISSUE: &str =
    "200 OK\n\n{\"number\": 1, \"title\": \"t\", \"body\": null, \"user\": null, \"state\": \"open\"}";
const MADE: &str = "201 Created\n\n{\"id\": 7}";

struct Scene {
    host: GitHub,
    repo: RepoId,
    seen: Arc<Mutex<Vec<Seen>>>,
    clock: Arc<AtomicI64>,
}

fn scene(app: bool, script: &[&'static str]) -> Scene {
    let (api, seen) = serve(script);
    let start: Timestamp = "2026-11-27T12:00:00Z".parse().expect("a time");
    let clock = Arc::new(AtomicI64::new(start.as_second()));
    let told = Arc::clone(&clock);
    let identity = if app {
        let key =
            Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output().expect("openssl runs");
        Identity::App { id: 4711, key: String::from_utf8(key.stdout).expect("PEM").into() }
    } else {
        Identity::Token("ghp_secret".into())
    };
    let clock_of_host = move || Timestamp::from_second(told.load(Ordering::Relaxed)).expect("a time");
    let host = GitHub::new(Settings { api, identity }, Arc::new(clock_of_host)).expect("good settings");
    Scene { host, repo: "acme/api".parse().expect("a repository"), seen, clock }
}

impl Scene {
    /// What was asked, with the token it was asked with and its body.
    fn asked(&self) -> String {
        let seen = self.seen.lock().unwrap();
        let lines = seen.iter().map(|one| {
            let token = one.headers.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
            let token = match token {
                Some(jwt) if jwt.starts_with("eyJ") => "JWT",
                Some(token) => token,
                None => "nobody",
            };
            let line = one.line.trim_end_matches(" HTTP/1.1");
            format!("{token}: {line} {}", one.body).trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn a_token_is_for_one_repository_and_one_use_and_kept_until_shortly_before_its_end() {
    let script = [INSTALLED, FIRST, ISSUE, ISSUE, INSTALLED, FIRST, MADE, INSTALLED, SECOND, ISSUE];
    let scene = scene(true, &script);
    scene.host.issue(&scene.repo, 1).await.expect("an issue");
    scene.clock.fetch_add(54 * 60, Ordering::Relaxed);
    scene.host.issue(&scene.repo, 1).await.expect("an issue");
    scene.host.create_comment(&scene.repo, 1, "hello").await.expect("a comment");
    scene.clock.fetch_add(61, Ordering::Relaxed);
    scene.host.issue(&scene.repo, 1).await.expect("an issue");
    insta::assert_snapshot!(scene.asked(), @r#"
    JWT: GET /repos/acme/api/installation
    JWT: POST /app/installations/100/access_tokens {"permissions":{"checks":"read","contents":"read","issues":"read","metadata":"read","pull_requests":"read"},"repositories":["api"]}
    ghs_first: GET /repos/acme/api/issues/1
    ghs_first: GET /repos/acme/api/issues/1
    JWT: GET /repos/acme/api/installation
    JWT: POST /app/installations/100/access_tokens {"permissions":{"issues":"write","pull_requests":"write"},"repositories":["api"]}
    ghs_first: POST /repos/acme/api/issues/1/comments {"body":"hello"}
    JWT: GET /repos/acme/api/installation
    JWT: POST /app/installations/100/access_tokens {"permissions":{"checks":"read","contents":"read","issues":"read","metadata":"read","pull_requests":"read"},"repositories":["api"]}
    ghs_second: GET /repos/acme/api/issues/1
    "#);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_made_again_once() {
    let refused = "401 Unauthorized\n\n{\"message\": \"Bad credentials\"}";
    let script = [INSTALLED, FIRST, refused, INSTALLED, SECOND, ISSUE, refused, INSTALLED, SECOND, refused];
    let scene = scene(true, &script);
    scene.host.issue(&scene.repo, 1).await.expect("an issue");
    let error = scene.host.issue(&scene.repo, 1).await.expect_err("refused twice");
    assert_eq!(error.to_string(), "GET repos/acme/api/issues/1: refused with status 401: Bad credentials");
    assert_eq!(scene.seen.lock().unwrap().len(), 10);
}

const OPEN: &str = "200 OK\netag: \"one\"\n\n{\"number\": 1, \"html_url\": \"u\", \"user\": null, \"body\": null, \
                    \"state\": \"open\", \"merged_at\": null, \"merge_commit_sha\": \"aa\", \
                    \"head\": {\"ref\": \"h\", \"repo\": null}, \"base\": {\"ref\": \"main\", \"repo\": null}}";

/// A reconciler asks for all of them each round.
#[tokio::test]
async fn a_thousand_requests_are_asked_after_and_cost_nothing_the_second_time() {
    let mut script = vec![OPEN; 1_000];
    script.extend(["304 Not Modified\n\n"; 1_000]);
    let scene = scene(false, &script);
    for _ in 0..2 {
        for number in 1..=1_000 {
            scene.host.request(&scene.repo, number).await.expect("a request");
        }
    }
    let seen = scene.seen.lock().unwrap();
    let asked: Vec<bool> = seen.iter().map(|one| one.headers.contains("if-none-match: \"one\"")).collect();
    assert_eq!((asked.len(), asked.iter().filter(|new| **new).count()), (2_000, 1_000));
    assert!(asked[1_000..].iter().all(|new| *new));
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let scene = scene(false, &[OPEN, "304 Not Modified\n\n"]);
    let first = scene.host.request(&scene.repo, 1).await.expect("a request");
    let second = scene.host.request(&scene.repo, 1).await.expect("the same");
    assert_eq!(first, second);
    assert_eq!((first.merged_as, first.head_repo), (None, None));
    let seen = scene.seen.lock().unwrap();
    assert!(!seen[0].headers.contains("if-none-match"));
    assert!(seen[1].headers.contains("if-none-match: \"one\""), "{}", seen[1].headers);
}

#[tokio::test]
async fn comments_are_asked_for_since_a_time() {
    let scene = scene(false, &["200 OK\n\n[]", "200 OK\n\n[]"]);
    let since: Timestamp = "2026-11-27T11:50:00.25Z".parse().expect("a time");
    for since in [None, Some(since)] {
        assert_eq!(scene.host.comments(&scene.repo, 1, since).await.expect("none"), []);
    }
    insta::assert_snapshot!(scene.asked(), @r"
    ghp_secret: GET /repos/acme/api/issues/1/comments?per_page=100&page=1
    ghp_secret: GET /repos/acme/api/issues/1/comments?since=2026-11-27T11%3A50%3A00Z&per_page=100&page=1
    ");
}

#[tokio::test]
async fn what_happened_to_issues_is_asked_for_with_a_token_alone() {
    const EVENTS: &str = r#"200 OK
etag: "one"

[{"id": 9, "event": "assigned", "created_at": "2026-11-27T12:00:02Z", "actor": {"login": "bot"}, "assignee": {"login": "bot"},
  "assigner": {"login": "alice"}, "issue": {"number": 3, "title": "t", "body": null, "state": "open"}},
 {"id": 8, "event": "closed", "created_at": "2026-11-27T12:00:01Z", "actor": null, "issue": {"number": 2}},
 {"id": 7, "event": "labeled", "created_at": "2026-11-27T12:00:00Z", "actor": {"login": "alice"}, "label": {"name": "gloaming"},
  "issue": {"number": 3, "title": "t", "body": null, "state": "open"}},
 {"id": 6, "event": "labeled", "created_at": "2026-11-27T12:00:00Z", "actor": null, "issue": null}]"#;
    let polled = scene(false, &[EVENTS, "304 Not Modified\n\n"]);
    let first = polled.host.issue_events(&polled.repo).await.expect("events");
    assert_eq!(polled.host.issue_events(&polled.repo).await.expect("the same"), first);
    let told: Vec<_> = first.iter().map(|event| (event.id, event.issue, &event.payload)).collect();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].0, told[0].1, &told[0].2["sender"]["login"]), (9, 3, &"alice".into()));
    assert_eq!(
        (told[1].0, &told[1].2["action"], &told[1].2["label"]["name"]),
        (7, &"labeled".into(), &"gloaming".into())
    );
    assert!(polled.seen.lock().unwrap()[1].headers.contains("if-none-match: \"one\""));
    // An App's missed deliveries are asked for again: these are not asked for.
    let app = scene(true, &[]);
    assert_eq!(app.host.issue_events(&app.repo).await.expect("nothing"), []);
    assert!(app.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nobody_hears_the_token_and_an_end_that_is_not_known_says_so() {
    let scene = scene(false, &["502 Bad Gateway\n\n<html>", "201 Created\n\n<html>of a proxy</html>"]);
    let first = scene.host.create_comment(&scene.repo, 1, "hello").await.expect_err("a bad gateway");
    let second = scene.host.create_comment(&scene.repo, 1, "hello").await.expect_err("no JSON");
    // The script is at its end: it hangs up.
    let third = scene.host.create_comment(&scene.repo, 1, "hello").await.expect_err("no answer");
    for error in [&first, &second, &third] {
        assert!(matches!(error, HostError::Unknown { .. }), "{error}");
    }
    let access = scene.host.read_access(&scene.repo, None).await.expect("a token needs no asking");
    let said = format!("{first:?} {second} {third:?} {:?} {access:?}", scene.host);
    assert!(!said.contains("ghp_secret") && !said.contains("eC1hY2Nlc3MtdG9rZW4"), "{said}");
}

#[tokio::test]
async fn a_draft_where_there_are_none_is_no_draft() {
    let none =
        "422 Unprocessable\n\n{\"message\": \"Draft pull requests are not supported in this repository.\"}";
    let made = "201 Created\n\n{\"number\": 1, \"html_url\": \"u\", \"user\": null, \"body\": null, \"state\": \"open\", \
                \"merged_at\": null, \"merge_commit_sha\": null, \"head\": {\"ref\": \"h\", \"repo\": null}, \
                \"base\": {\"ref\": \"main\", \"repo\": null}}";
    let scene = scene(false, &[none, made]);
    let new = gloaming_forge::host::NewRequest {
        title: "t".to_owned(),
        body: "b".to_owned(),
        head: "h".to_owned(),
        base: "main".to_owned(),
    };
    assert_eq!(scene.host.create_request(&scene.repo, &new).await.expect("a request").number, 1);
    let drafts: Vec<bool> =
        scene.seen.lock().unwrap().iter().map(|one| one.body.contains("\"draft\":true")).collect();
    assert_eq!(drafts, [true, false]);
}

/// Makes a key with openssl, and returns it and the public one, both PEM.
fn key(words: &[&str]) -> (String, Vec<u8>) {
    let made = Command::new("openssl").args(words).output().expect("openssl runs").stdout;
    let dir = tempfile::TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("key.pem"), &made).expect("a file");
    let mut public = Command::new("openssl");
    let public = public.args(["pkey", "-in", "key.pem", "-pubout"]).current_dir(dir.path());
    (String::from_utf8(made).expect("PEM"), public.output().expect("openssl runs").stdout)
}

fn app(key: &str, api: String, now: Timestamp) -> Result<GitHub, gloaming_forge::github::SettingsError> {
    let identity = Identity::App { id: 4711, key: key.to_owned().into() };
    GitHub::new(Settings { api, identity }, Arc::new(move || now))
}

/// Openssl makes the key and checks the signature; nothing of ours does.
#[tokio::test]
async fn the_app_says_who_it_is_by_a_token_that_its_public_key_proves() {
    let now: Timestamp = "2026-11-27T12:00:00Z".parse().expect("a time");
    for words in [
        &["genrsa", "-traditional", "2048"][..],
        &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    ] {
        let (private, public) = key(words);
        let (api, seen) = serve(&[INSTALLED, FIRST, ISSUE]);
        let host = app(&private, api, now).expect("good settings");
        host.issue(&"acme/api".parse().expect("a repository"), 1).await.expect("an issue");
        let headers = seen.lock().unwrap()[0].headers.clone();
        let jwt =
            headers.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).expect("a token");
        let (message, signature) = jwt.rsplit_once('.').expect("three parts");
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let parts: Vec<serde_json::Value> =
            message.split('.').map(|part| serde_json::from_slice(&bytes(part)).expect("JSON")).collect();
        assert_eq!(
            parts,
            [
                json!({"typ": "JWT", "alg": "RS256"}),
                json!({"iss": 4711, "iat": now.as_second() - 60, "exp": now.as_second() + 540}),
            ]
        );
        let dir = tempfile::TempDir::new().expect("a folder");
        let put =
            |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).expect("a file");
        put("public.pem", &public);
        put("signature", &bytes(signature));
        let verified = |message: &str| {
            put("message", message.as_bytes());
            let mut check = Command::new("openssl");
            check.args(["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"]);
            check.current_dir(dir.path()).output().expect("openssl runs").status.success()
        };
        assert!(verified(message), "{words:?}");
        assert!(!verified(&message.replace('.', "..")), "{words:?}");
    }
}

#[tokio::test]
async fn what_is_no_rsa_key_is_refused_before_anything_is_asked() {
    let (other, _) = key(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let (weak, _) = key(&["genrsa", "-traditional", "1024"]);
    for bad in [other.as_str(), &weak, "", "no PEM", &other.replace("PRIVATE", "PUBLIC")] {
        let refused = app(bad, "https://one.acme.example".to_owned(), Timestamp::UNIX_EPOCH);
        let refused = refused.expect_err("it is no RSA key that is large enough").to_string();
        assert_eq!(refused, "the App's key is no RSA private key of 2048 bits or more in PEM");
    }
}
