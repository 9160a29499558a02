//! Slack: what it sends is let in, kept once and worked on; what is said there is said once, and kept up to date.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_api::task::TaskState;
use gloaming_server::chat::{Executor, Slack as Client};
use gloaming_server::feed::Teller;
use gloaming_server::hooks::slack::{Hooks, People, Person};
use gloaming_server::{Settings, Slack};
use gloaming_store::{Effect, EffectEnd, Kinds, NewEffect, TaskFilter};
use serde_json::{Value, json};

use super::receiver::{Came, Receiver};
use super::support::{Answer, Running, Setup};

const SECRET: &str = "it is a secret";

fn person(user: Option<&str>, scope: Scope, repos: &str) -> Person {
    let repos = vec![repos.parse().unwrap()];
    Person { team: "T1".into(), user: user.map(str::to_owned), scope, repos }
}

fn people() -> Arc<People> {
    Arc::new(People(vec![
        person(Some("UADA"), Scope::Submit, "acme/*"),
        person(Some("UBEN"), Scope::Read, "acme/api"),
    ]))
}

async fn server() -> Running {
    let slack = Some(Slack { secret: SECRET.into(), people: people() });
    Running::with(Setup { settings: Settings { slack, ..Settings::default() }, ..Setup::default() }).await
}

async fn send(running: &Running, path: &str, kind: &str, body: &str, ago: i64) -> Answer {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let time = (running.now().as_second() - ago).to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("v0:{time}:{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = format!("v0={hex}");
    let headers = [
        ("content-type", kind),
        ("x-slack-request-timestamp", time.as_str()),
        ("x-slack-signature", signature.as_str()),
    ];
    running.send("POST", path, "", &headers, body.as_bytes().to_vec()).await
}

async fn command(running: &Running, user: &str, id: &str, text: &str) -> String {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("team_id", "T1"),
            ("user_id", user),
            ("channel_id", "C1"),
            ("command", "/gloaming"),
            ("trigger_id", id),
            ("text", text),
        ])
        .finish();
    let answer = send(running, "/hooks/slack/commands", "application/x-www-form-urlencoded", &body, 0).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["text"].as_str().unwrap().to_owned()
}

async fn mention(running: &Running, user: &str, id: &str, thread: Option<&str>, text: &str) {
    let mut event = json!({"type": "app_mention", "user": user, "channel": "C1", "ts": format!("{id}.000100"), "text": format!("<@UGLOAM> {text}")});
    if let Some(thread) = thread {
        event["thread_ts"] = json!(thread);
    }
    let body =
        json!({"type": "event_callback", "team_id": "T1", "event_id": format!("Ev{id}"), "event": event});
    let answer = send(running, "/hooks/slack/events", "application/json", &body.to_string(), 0).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Works on what came.
fn work(running: &Running) -> usize {
    let hooks = Hooks::new(Arc::clone(&running.store), people(), running.server.grants());
    let taken = running.store.deliveries("slack", 100, Duration::from_secs(60), running.now()).unwrap();
    for delivery in &taken {
        hooks.work(delivery, running.now()).unwrap();
        // Whoever dies before it is noted does it again, which changes nothing.
        hooks.work(delivery, running.now()).unwrap();
    }
    taken.len()
}

fn tasks(running: &Running) -> Vec<gloaming_api::task::TaskView> {
    running.store.tasks(&TaskFilter { limit: 100, ..TaskFilter::default() }).unwrap()
}

/// A Slack that keeps messages, and does `amiss` to the first posts: it acts, and answers that.
fn slack(amiss: &'static [&'static str]) -> (Receiver, Arc<Mutex<Vec<Value>>>) {
    let messages: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&messages);
    let posts = Mutex::new(0);
    let receiver = Receiver::start(move |came: &Came, _| {
        assert_eq!(came.headers["authorization"], "Bearer xoxb-1");
        let mut kept = kept.lock().unwrap();
        let ok = |more: Value| {
            let mut answer = json!({"ok": true});
            answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            ("200 OK".to_owned(), answer.to_string())
        };
        match came.path.as_str() {
            "/api/auth.test" => {
                ok(json!({"user_id": "UGLOAM", "team": "acme", "team_id": "T1", "user": "gloaming"}))
            }
            "/api/chat.postMessage" => {
                let mut posts = posts.lock().unwrap();
                let amiss = amiss.get(*posts).copied().unwrap_or_default();
                *posts += 1;
                if amiss.starts_with("429") {
                    return (amiss.to_owned(), String::new());
                }
                let ts = format!("9{}.000001", kept.len());
                let metadata: Value = serde_json::from_str(&came.field("metadata")).unwrap();
                assert_eq!((came.field("parse"), came.field("link_names")), ("none".into(), "false".into()));
                kept.push(json!({"ts": ts, "user": "UGLOAM", "text": came.field("text"), "thread": came.field("thread_ts"), "metadata": metadata}));
                if amiss.is_empty() { ok(json!({"ts": ts})) } else { (amiss.to_owned(), String::new()) }
            }
            "/api/chat.update" => {
                let ts = came.field("ts");
                let message = kept.iter_mut().find(|message| message["ts"] == ts).unwrap();
                message["text"] = json!(came.field("text"));
                ok(json!({}))
            }
            "/api/conversations.history" | "/api/conversations.replies" => ok(json!({"messages": *kept})),
            other => panic!("{other}"),
        }
    });
    (receiver, messages)
}

/// Tells what happened and does what is due, until nothing is; time passes as far as is waited for.
async fn settle(running: &Running, executor: &Executor) -> Vec<String> {
    let mut errors = Vec::new();
    for _ in 0..100 {
        let teller = Teller::new(Arc::clone(&running.store), Vec::new(), true);
        while teller.pass(running.now()).unwrap() > 0 {}
        let due = running.store.effects(Kinds::ALL, 100, Duration::from_secs(60), running.now()).unwrap();
        if due.is_empty() && running.store.load(running.now()).unwrap().effects == 0 {
            return errors;
        }
        for effect in due {
            let end = executor.run(&effect, running.now()).await;
            if let EffectEnd::Later { error, at } = &end {
                errors.push(format!("{error}, after {}", at.duration_since(running.now()).as_secs()));
            }
            running.store.effect_ended(effect.id, &end, running.now()).unwrap();
        }
        running.pass(Duration::from_secs(1));
    }
    panic!("it does not end: {errors:?}")
}

fn executor(running: &Running, receiver: &Receiver) -> Executor {
    let client = Client::new(&format!("{}/api/", receiver.url), "xoxb-1".into()).unwrap();
    Executor::new(Arc::clone(&running.store), client)
}

#[tokio::test]
async fn requests_are_kept_once_and_only_when_they_are_slacks() {
    let running = server().await;
    let (path, kind) = ("/hooks/slack/events", "application/json");
    let challenge = r#"{"type":"url_verification","challenge":"abc"}"#;
    assert_eq!(send(&running, path, kind, challenge, 0).await.json()["challenge"], "abc");
    for ago in [301, -301] {
        assert_eq!(send(&running, path, kind, challenge, ago).await.code(), "bad_signature");
    }
    let headers =
        [("content-type", kind), ("x-slack-request-timestamp", "1"), ("x-slack-signature", "v0=00")];
    assert_eq!(running.send("POST", path, "", &headers, b"not json".to_vec()).await.code(), "bad_signature");
    assert_eq!(send(&running, path, kind, "not json", 0).await.code(), "bad_request");
    assert_eq!(send(&running, path, "text/plain", challenge, 0).await.code(), "unsupported_media_type");
    mention(&running, "UADA", "1", None, "acme/api fix it").await;
    mention(&running, "UADA", "1", None, "acme/api fix it").await;
    assert!(command(&running, "UADA", "t.1", "acme/api fix it").await.starts_with("Taken"));
    assert!(command(&running, "UADA", "t.1", "acme/api fix it").await.starts_with("Taken"));
    assert_eq!(work(&running), 2);
    assert_eq!(tasks(&running).len(), 2);
    // Without a secret nothing is let in.
    let without = Running::start().await;
    assert_eq!(send(&without, path, kind, challenge, 0).await.code(), "bad_signature");
}

#[tokio::test]
async fn only_those_who_are_named_have_work_done_and_only_where() {
    let running = server().await;
    assert!(command(&running, "UADA", "t.1", "help").await.contains("/gloaming owner/name"));
    assert!(command(&running, "UADA", "t.2", "fix <!channel>").await.starts_with("\"fix\" is no repository"));
    assert!(command(&running, "UEVE", "t.3", "acme/api fix it").await.starts_with("You are not among"));
    for (user, id, text) in [
        ("UEVE", "1", "acme/api fix it"),
        ("UBEN", "2", "acme/api fix it"),
        ("UADA", "3", "other/api fix it"),
        ("UADA", "4", "status t-00000000000000000001"),
    ] {
        mention(&running, user, id, None, text).await;
    }
    assert_eq!(work(&running), 5);
    assert_eq!(tasks(&running), []);
    let (receiver, messages) = slack(&[]);
    settle(&running, &executor(&running, &receiver)).await;
    let said: Vec<String> = messages
        .lock()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["thread"].as_str().unwrap(), one["text"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    1.000100 You are not among those who may ask here. Whoever runs this Gloaming can add you.
    2.000100 You may not ask for work on acme/api.
    3.000100 You may not ask for work on other/api.
    4.000100 There is no task t-00000000000000000001 that you may do this with.
    ");
    let log = running.store.audit_log(0, 100).unwrap();
    let denied =
        log.iter().filter(|entry| entry.decision == "deny" && entry.who.starts_with("slack:T1/U")).count();
    // Each delivery was worked on twice.
    assert_eq!(denied, 8);
}

#[tokio::test]
async fn a_task_has_one_message_that_is_kept_up_to_date_whatever_goes_wrong() {
    let running = server().await;
    mention(&running, "UADA", "1", None, "acme/api fix &lt;!channel&gt; *now*").await;
    work(&running);
    let task = tasks(&running).remove(0);
    assert_eq!((task.asker.as_str(), task.text.as_str()), ("slack:T1/UADA", "fix <!channel> *now*"));
    // The first is limited; the second acts and says that it failed.
    let (receiver, messages) = slack(&["429 Too Many Requests\r\nretry-after: 7", "503 Service Unavailable"]);
    let executor = executor(&running, &receiver);
    let errors = settle(&running, &executor).await;
    assert!(errors[0].contains("limits how often") && errors[0].ends_with("after 7"), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("503")), "{errors:?}");
    let said = |at: usize| messages.lock().unwrap()[at]["text"].as_str().unwrap().to_owned();
    assert_eq!(messages.lock().unwrap().len(), 1);
    assert_eq!(
        said(0),
        format!("*acme/api*  fix &lt;!channel&gt; *now*\n{} for <@UADA>\nwaits for a worker", task.id)
    );
    // Who may only look cannot stop it; who asked for it can, in its thread.
    mention(&running, "UBEN", "2", Some("1.000100"), "cancel").await;
    work(&running);
    assert_eq!(tasks(&running)[0].state, TaskState::Queued);
    mention(&running, "UADA", "3", Some("1.000100"), "cancel").await;
    work(&running);
    assert_eq!(tasks(&running)[0].state, TaskState::Cancelled);
    settle(&running, &executor).await;
    assert!(said(0).ends_with("\ncancelled"), "{}", said(0));
    let count = messages.lock().unwrap().len();
    let rest: Vec<String> = (1..count).map(said).collect();
    assert!(rest.iter().any(|text| text.contains("that you may do this with")), "{rest:?}");
    assert!(rest.iter().any(|text| text == "cancelled: stopped by slack:T1/UADA"), "{rest:?}");
    let threads: Vec<Value> = messages.lock().unwrap().iter().map(|one| one["thread"].clone()).collect();
    assert!(threads.iter().all(|thread| thread == "1.000100"), "{threads:?}");
}

#[tokio::test]
async fn a_command_has_a_message_of_its_own_and_its_end_below() {
    let running = server().await;
    command(&running, "UADA", "t.1", "acme/api fix it").await;
    work(&running);
    let (receiver, messages) = slack(&[]);
    let executor = executor(&running, &receiver);
    settle(&running, &executor).await;
    let root = messages.lock().unwrap()[0]["ts"].as_str().unwrap().to_owned();
    assert_eq!(messages.lock().unwrap()[0]["thread"], "");
    mention(&running, "UADA", "2", Some(&root), "cancel").await;
    work(&running);
    settle(&running, &executor).await;
    let messages = messages.lock().unwrap();
    assert!(messages[0]["text"].as_str().unwrap().ends_with("cancelled"));
    assert!(messages.iter().skip(1).all(|one| one["thread"] == root.as_str()), "{messages:?}");
    assert!(messages.len() >= 2);
}

#[tokio::test]
async fn a_message_that_does_not_come_is_waited_for_at_length() {
    let running = server().await;
    command(&running, "UADA", "t.1", "acme/api fix it").await;
    work(&running);
    let executor = executor(&running, &slack(&[]).0);
    let task = tasks(&running).remove(0).id;
    let payload = json!({"do": "update", "task": task});
    let what = NewEffect { key: format!("chat:{task}:9"), kind: "chat".to_owned(), payload };
    let mut waits = Vec::new();
    for tries in [0, 9, 10, 50] {
        let effect = Effect { id: 1, task: None, what: what.clone(), tries, tried: tries > 0 };
        let EffectEnd::Later { at, .. } = executor.run(&effect, running.now()).await else { panic!("done") };
        waits.push(at.duration_since(running.now()).as_secs_f64().round());
    }
    assert_eq!(waits, [2.0, 2.0, 900.0, 900.0]);
}

#[tokio::test]
async fn what_was_taken_up_again_is_searched_for_before_it_is_said() {
    let running = server().await;
    let (receiver, messages) = slack(&[]);
    let executor = executor(&running, &receiver);
    let payload = json!({"do": "say", "channel": "C1", "thread": "", "text": "done"});
    let what = NewEffect { key: "chat:say:1".to_owned(), kind: "chat".to_owned(), payload };
    for tried in [false, true] {
        let effect = Effect { id: 1, task: None, what: what.clone(), tries: 0, tried };
        let end = executor.run(&effect, running.now()).await;
        assert!(matches!(end, EffectEnd::Done(_)), "{end:?}");
    }
    assert_eq!(messages.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn how_a_task_stands_is_told_to_whoever_asks_by_a_command_and_to_nobody_else() {
    let running = server().await;
    command(&running, "UADA", "t.1", "acme/api fix it").await;
    work(&running);
    let task = tasks(&running).remove(0).id;
    let (receiver, messages) = slack(&[]);
    let executor = executor(&running, &receiver);
    settle(&running, &executor).await;
    let before = messages.lock().unwrap().len();
    let told = command(&running, "UADA", "t.2", &format!("status {task}")).await;
    assert!(told.starts_with("*acme/api*  fix it\n") && told.ends_with("waits for a worker"), "{told}");
    assert!(command(&running, "UADA", "t.3", "status").await.starts_with("Which task?"));
    let missing = command(&running, "UADA", "t.4", "status t-00000000000000000001").await;
    assert!(missing.starts_with("There is no task"), "{missing}");
    work(&running);
    settle(&running, &executor).await;
    assert_eq!(messages.lock().unwrap().len(), before);
}
