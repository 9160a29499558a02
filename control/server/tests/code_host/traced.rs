//! One trace for each attempt, from the delivery of a webhook to the pull request.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gloaming_api::bowout::Stage;
use gloaming_api::journal::{AgentRole, Chain, EventKind};
use gloaming_api::worker::LeaseKey;
use gloaming_api::{Digest, TaskId};
use gloaming_server::hooks::github::Handled;
use gloaming_server::traces::{Tracer, trace_id};
use jiff::SignedDuration;
use serde_json::json;

use crate::asked::{Asked, asked, labelled};
use crate::published::finished;
use crate::scene::{Changed, TOKEN};

/// What nothing of a trace may say.
const SECRET: &str = "glm_never_in_a_trace";

const CHANGE: &[Changed<'_>] = &[("src/lib.rs", "100644", Some("pub fn greet(name: &str) {}\n"))];

/// A collector of others', which prints what it is sent.
struct Collector {
    child: Child,
    lines: Receiver<String>,
    address: String,
}

impl Collector {
    /// Starts it; none where it is not installed.
    fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("GLOAMING_ROTEL") else {
            eprintln!("skipped: GLOAMING_ROTEL is not set (make traces sets it)");
            return None;
        };
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (http, grpc) = (free(), free());
        let mut child = Command::new(program)
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces"])
            .args(["--debug-log-verbosity", "detailed", "--otlp-http-endpoint", &http])
            .args(["--otlp-grpc-endpoint", &grpc])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let collector = Self { child, lines, address: http };
        collector.until(|line| line.contains("Starting Rotel"));
        Some(collector)
    }

    /// Reads until a line.
    fn until(&self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(20));
            read.push(line.unwrap_or_else(|error| panic!("{error}: {read:?}")));
            if last(read.last().unwrap()) {
                return read;
            }
        }
    }

    fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the collector says of a span.
#[derive(Debug, Default, Clone)]
struct Seen {
    name: String,
    trace: String,
    id: String,
    parent: String,
    begin: u64,
    end: u64,
}

/// Reads spans as the collector prints them.
fn seen(lines: &[String]) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for line in lines {
        if line.starts_with("Span #") {
            all.push(Seen::default());
        }
        let (Some(span), Some((key, value))) = (all.last_mut(), line.split_once(": ")) else {
            continue;
        };
        let value = value.trim().to_owned();
        match key.trim() {
            "Trace ID" => span.trace = value,
            "Parent ID" => span.parent = value,
            "ID" => span.id = value,
            "Name" => span.name = value,
            "Start time" => span.begin = value.parse().unwrap(),
            "End time" => span.end = value.parse().unwrap(),
            _ => {}
        }
    }
    all
}

/// A tree of spans, each with how long it took, seconds.
fn tree(spans: &[Seen]) -> String {
    let ids: BTreeMap<&str, &Seen> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let depth = |span: &Seen| {
        std::iter::successors(ids.get(span.parent.as_str()), |above| ids.get(above.parent.as_str())).count()
    };
    let line = |span: &Seen| {
        let took = (span.end - span.begin) as f64 / 1e9;
        format!("{}{} {took}\n", "  ".repeat(depth(span)), span.name)
    };
    spans.iter().map(line).collect()
}

/// Hands over a journal in which texts are that nobody else is to read.
fn journal(asked: &mut Asked, lease: &LeaseKey) {
    let mut chain = Chain::default();
    let request = Digest::of("request");
    let said = |text: &str| format!("{text} {SECRET}");
    let told = [
        (1, EventKind::StageStarted { stage: Stage::Code }),
        (
            1,
            EventKind::ModelAsked {
                role: AgentRole::Coder,
                request: request.clone(),
                reserved_usd: 1.0,
                summary: false,
            },
        ),
        (
            9,
            EventKind::ModelCall {
                request,
                response: json!({"text": SECRET}),
                cost_usd: 0.25,
                duration_ms: 7_500,
            },
        ),
        (
            10,
            EventKind::StageFinished {
                stage: Stage::Code,
                detail: said("done"),
                wall_ms: 9_000,
                output: None,
            },
        ),
        (10, EventKind::StageStarted { stage: Stage::Verify }),
        (
            20,
            EventKind::StageFinished {
                stage: Stage::Verify,
                detail: said("done"),
                wall_ms: 10_000,
                output: None,
            },
        ),
    ];
    let begun = asked.scene.now;
    let line = |(second, kind): (i64, EventKind)| {
        let event = chain.append(begun + SignedDuration::from_secs(second), kind);
        serde_json::to_string(&event).unwrap()
    };
    let mut lines: Vec<String> = told.into_iter().map(line).collect();
    // A worker that writes something else.
    lines.push(format!("{{\"event\": \"{SECRET}\"}}"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    asked.scene.store.append(lease, TOKEN, 0, &lines, asked.scene.now).unwrap().unwrap();
}

/// From a label to a pull request.
async fn course() -> (Asked, TaskId) {
    let mut asked = asked();
    let handled = asked.hooks.handle(&labelled("d-1", "gloaming", "alice"), asked.scene.now).await.unwrap();
    let Handled::Task(task) = handled else { panic!("{handled:?}") };
    asked.scene.now += SignedDuration::from_secs(3);
    let lease = asked.scene.claim();
    journal(&mut asked, &lease);
    asked.scene.now += SignedDuration::from_secs(50);
    let Asked { host, scene, .. } = &mut asked;
    finished(host, scene, &lease, "main", CHANGE);
    scene.now += SignedDuration::from_secs(2);
    assert_eq!(scene.work(None).await, Vec::<String>::new());
    (asked, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_webhook_to_the_pull_request() {
    let Some(collector) = Collector::start() else { return };
    let (asked, task) = course().await;
    assert!(asked.scene.record(&task).view.pull_request.is_some());
    let tracer = Tracer::new(asked.scene.store.clone(), Some(&collector.endpoint())).unwrap();
    let count = tracer.pass(asked.scene.now).await.unwrap();
    let mut lines = Vec::new();
    while seen(&lines).len() < count
        || !lines.last().is_some_and(|line: &String| line.starts_with("End time"))
    {
        lines.extend(collector.until(|line| line.starts_with("End time")));
    }
    let spans = seen(&lines);
    insta::assert_snapshot!(tree(&spans), @r"
    attempt 55
      queue 3
      work 50
        stage code 9
          model 7.5
        stage verify 10
        verify again 30
      publish 2
    ");
    let id = trace_id(&task, gloaming_api::Attempt(1)).to_string();
    assert!(spans.iter().all(|span| span.trace == id), "{spans:?}");
    assert_eq!(spans.iter().filter(|span| span.parent.is_empty()).count(), 1);
    let said = lines.join("\n");
    assert!(!said.contains(SECRET) && !said.contains("Greet by name"), "{said}");
    assert!(said.contains("gloaming"), "{said}");
    assert_eq!(tracer.pass(asked.scene.now).await.unwrap(), 0, "it is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_sent_it_later_and_not_for_ever() {
    let (mut asked, _) = course().await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tracer = Tracer::new(asked.scene.store.clone(), Some(&format!("http://{nobody}/v1/traces"))).unwrap();
    for _ in 0..2 {
        let error = tracer.pass(asked.scene.now).await.unwrap_err();
        assert!(error.to_string().starts_with("the collector did not take a trace"), "{error}");
    }
    asked.scene.now += SignedDuration::from_hours(25);
    assert_eq!(tracer.pass(asked.scene.now).await.unwrap(), 0);
}
