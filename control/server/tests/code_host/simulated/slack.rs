//! A Slack that nobody here wrote (emulate's): a task asked for there is answered in one thread.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::access::Scope;
use gloaming_api::task::TaskState;
use gloaming_server::chat::{Executor, Slack};
use gloaming_server::feed::Teller;
use gloaming_server::hooks::slack::{Hooks, People, Person, SENDER};
use gloaming_server::publish::Grants;
use gloaming_store::{Delivery, EffectEnd, Kinds, Limits, MemoryStore, Store, TaskFilter};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::partner::{Killed, installed, started, support};

struct Simulated {
    api: String,
    client: reqwest::Client,
    _child: Killed,
    _dir: TempDir,
}

impl Simulated {
    fn start(folder: &Path) -> Self {
        let dir = TempDir::new().unwrap();
        // It takes no port 0: one that was free a moment ago.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port();
        let mut emulate = Command::new("node");
        emulate
            .arg(folder.join("node_modules/emulate/dist/index.js"))
            .args(["start", "--service", "slack", "--port", &port.to_string(), "--seed"])
            .arg(support("slack.yaml"))
            .current_dir(dir.path());
        let wanted = format!("localhost:{port}");
        let (child, _) = started(&mut emulate, |line| line.contains(&wanted).then(String::new));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { api: format!("http://127.0.0.1:{port}/api/"), client, _child: child, _dir: dir }
    }

    async fn call(&self, token: &str, method: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}{method}", self.api)).bearer_auth(token);
        let sent = request.header("content-type", "application/json").body(body.to_string()).send().await;
        let told: Value = serde_json::from_str(&sent.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(told["ok"], true, "{method}: {told}");
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_a_mention_is_answered_in_one_thread() {
    let Some(folder) = installed() else { return };
    let slack = Simulated::start(&folder);
    let channels = slack.call("xoxp-ada", "conversations.list", json!({})).await;
    let named = |channel: &&Value| channel["name"] == "dev";
    let channel = channels["channels"].as_array().unwrap().iter().find(named).unwrap()["id"].clone();
    let who = slack.call("xoxp-ada", "auth.test", json!({})).await;
    let (team, user) = (who["team_id"].as_str().unwrap().to_owned(), who["user_id"].as_str().unwrap());
    let text = "<@UGLOAM> acme/api fix the flaky test";
    let said = slack.call("xoxp-ada", "chat.postMessage", json!({"channel": channel, "text": text})).await;

    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Limits::default()));
    let repos = vec!["acme/*".parse().unwrap()];
    let person = Person { team: team.clone(), user: Some(user.to_owned()), scope: Scope::Submit, repos };
    let grants: Grants = Arc::new(|repo| {
        let layers = gloaming_policies::operator_layers(&[], Some(repo), &|name| Err(name.to_owned()));
        let made = layers.and_then(|layers| gloaming_policies::Grant::of_layers(repo, &layers));
        made.map_err(|faults| format!("{faults:?}"))
    });
    let hooks = Hooks::new(Arc::clone(&store), Arc::new(People(vec![person])), grants);
    let client = || Slack::new(&slack.api, "xoxb-gloaming".into()).unwrap();
    assert!(client().check().await.unwrap().contains(&team));
    let executor = Executor::new(Arc::clone(&store), client());
    let teller = Teller::new(Arc::clone(&store), Vec::new(), true);

    // The emulator tells nobody of a mention: what Slack would send of this message is made of it.
    let event =
        json!({"type": "app_mention", "user": user, "channel": channel, "ts": said["ts"], "text": text});
    let body = json!({"type": "event_callback", "team_id": team, "event_id": "Ev1", "event": event});
    let delivery = Delivery {
        sender: SENDER.to_owned(),
        id: "Ev1".to_owned(),
        event: "app_mention".to_owned(),
        body: body.to_string().into_bytes(),
    };
    let mut now = Timestamp::now();
    hooks.work(&delivery, now).unwrap();
    let task = store.tasks(&TaskFilter { limit: 1, ..TaskFilter::default() }).unwrap().remove(0);

    let replies = async || {
        let body = json!({"channel": channel, "ts": said["ts"], "include_all_metadata": true});
        let told = slack.call("xoxp-ada", "conversations.replies", body).await;
        let texts = told["messages"].as_array().unwrap().iter().skip(1);
        texts.map(|one| one["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // It is posted, and whoever posted it dies before that is noted: the second time it is found.
    teller.pass(now).unwrap();
    let due = store.effects(Kinds::ALL, 10, Duration::from_secs(1), now).unwrap();
    assert!(matches!(executor.run(&due[0], now).await, EffectEnd::Done(_)));
    now += Duration::from_secs(2);
    let again = store.effects(Kinds::ALL, 10, Duration::from_secs(1), now).unwrap();
    assert_eq!((again.len(), again[0].tries), (1, 1));
    let end = executor.run(&again[0], now).await;
    store.effect_ended(again[0].id, &end, now).unwrap();
    let first = format!("*acme/api*  fix the flaky test\n{} for <@{user}>\nwaits for a worker", task.id);
    assert_eq!(replies().await, [first]);

    store.cancel(&task.id, "token:owner", &[], now).unwrap();
    assert_eq!(store.task(&task.id).unwrap().unwrap().view.state, TaskState::Cancelled);
    while teller.pass(now).unwrap() > 0 {}
    for effect in store.effects(Kinds::ALL, 10, Duration::from_secs(1), now).unwrap() {
        let end = executor.run(&effect, now).await;
        assert!(matches!(end, EffectEnd::Done(_)), "{end:?}");
        store.effect_ended(effect.id, &end, now).unwrap();
    }
    let told = replies().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("\ncancelled"), "{told:?}");
    assert_eq!(told[1], "cancelled: stopped by token:owner");
}
