//! From a word in Slack to a draft pull request, or to the reason why there is none, told in the thread. The messages are
//! emulate's; what Slack itself sends of commands and mentions the test does, signed as Slack signs.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::simulated::{Answer, SECRET, Simulated, World, installed, secret, sent, signed};
use super::{FILES, TASK};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Slack waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Slack, as far as it is more than its Web API.
struct Slack {
    api: Simulated,
    team: String,
    channel: String,
    ada: String,
    eve: String,
    bot: String,
}

/// Calls a method as the owner of a token.
#[track_caller]
fn called(behind: &str, token: &str, method: &str, arguments: &Value) -> Value {
    let (url, token) = (format!("{behind}/api/{method}"), format!("Bearer {token}"));
    let headers = [("Authorization", token.as_str()), ("Content-Type", JSON)];
    let told = sent("POST", &url, &headers, &arguments.to_string()).good();
    assert_eq!(told["ok"], true, "{method}: {told}");
    told
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

impl Slack {
    fn start(api: Simulated) -> Self {
        let ask = |token: &str, method: &str| called(&api.behind, token, method, &json!({}));
        let channels = ask("xoxp-ada", "conversations.list");
        let dev = channels["channels"].as_array().unwrap().iter().find(|one| one["name"] == "dev").unwrap();
        let user = |token: &str| text(&ask(token, "auth.test")["user_id"]);
        Self {
            team: text(&ask("xoxp-ada", "auth.test")["team_id"]),
            channel: text(&dev["id"]),
            ada: user("xoxp-ada"),
            eve: user("xoxp-eve"),
            bot: user("xoxb-gloaming"),
            api,
        }
    }

    fn config(&self) -> String {
        format!(
            "\n[slack]\napi = \"{}/api/\"\nsigning_secret_file = \"slack.secret\"\ntoken_file = \"slack.token\"\nusers = [\n  \
             {{ team = \"{}\", user = \"{}\", scope = \"submit\", repos = [\"acme/api\"] }},\n]\n",
            self.api.url, self.team, self.ada
        )
    }

    /// Sends what Slack would, signed so many seconds ago.
    fn sends(
        &self,
        world: &World,
        path: &str,
        kind: &str,
        body: &str,
        ago: i64,
        retry: Option<u32>,
    ) -> Answer {
        let time = (Timestamp::now().as_second() - ago).to_string();
        let signature = format!("v0={}", signed(&format!("v0:{time}:{body}")));
        let number = retry.unwrap_or_default().to_string();
        let mut headers = vec![
            ("Content-Type", kind),
            ("X-Slack-Request-Timestamp", time.as_str()),
            ("X-Slack-Signature", signature.as_str()),
        ];
        if retry.is_some() {
            headers
                .extend([("X-Slack-Retry-Num", number.as_str()), ("X-Slack-Retry-Reason", "http_timeout")]);
        }
        sent("POST", &format!("{}{path}", world.server.url()), &headers, body)
    }

    /// What a slash command is: the fields that Slack documents.
    fn command(&self, user: &str, trigger: &str, words: &str) -> String {
        let words = words.replace('`', "%60").replace(' ', "+");
        format!(
            "token=legacy&team_id={}&team_domain=acme&channel_id={}&channel_name=dev&user_id={user}&user_name=somebody&\
             command=%2Fgloaming&text={words}&api_app_id=A1&is_enterprise_install=false&\
             response_url=https%3A%2F%2Fhooks.acme.example%2Fcommands%2F1&trigger_id={trigger}",
            self.team, self.channel
        )
    }

    /// Has somebody mention the bot. Returns the message's time, and the event's body.
    fn mention(&self, token: &str, user: &str, id: &str, words: &str) -> (String, String) {
        let words = format!("<@{}> {words}", self.bot);
        let said = json!({"channel": self.channel, "text": words});
        let ts = text(&called(&self.api.behind, token, "chat.postMessage", &said)["ts"]);
        let event = json!({
            "type": "app_mention", "user": user, "text": words, "ts": ts, "channel": self.channel, "event_ts": ts,
            "team": self.team,
        });
        let body = json!({
            "token": "legacy", "team_id": self.team, "api_app_id": "A1", "event": event, "type": "event_callback",
            "event_id": id, "event_time": Timestamp::now().as_second(),
            "authorizations": [{"team_id": self.team, "user_id": self.bot, "is_bot": true}],
        });
        (ts, body.to_string())
    }

    /// What the bot has said: below a message, or in the channel where none is named. As (time, words), the oldest first.
    fn said(&self, below: Option<&str>) -> Vec<(String, String)> {
        let (method, arguments) = match below {
            Some(ts) => ("conversations.replies", json!({"channel": self.channel, "ts": ts})),
            None => ("conversations.history", json!({"channel": self.channel})),
        };
        let told = called(&self.api.behind, "xoxp-ada", method, &arguments);
        let all = told["messages"].as_array().unwrap().iter();
        // The first of a thread's is what it is a thread of.
        let ours =
            all.filter(|one| one["user"] == self.bot.as_str() && below.is_none_or(|ts| one["ts"] != ts));
        let mut said: Vec<(String, String)> =
            ours.map(|one| (text(&one["ts"]), text(&one["text"]))).collect();
        said.sort();
        said
    }
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("bad_signature")), "{}", answer.body);
}

#[test]
fn a_command_leads_to_a_draft_and_a_mention_to_a_reason_each_told_in_one_thread() {
    let Some(folder) = installed("a_command_leads_to_a_draft") else { return };
    let mut slack = None;
    let world = World::start(&folder, &json!([]), |scene| {
        secret(scene, "slack.secret", SECRET);
        secret(scene, "slack.token", "xoxb-gloaming");
        slack.insert(Slack::start(Simulated::slack(scene, &folder))).config()
    });
    let slack = slack.expect("it was started");
    world.push(FILES);
    let (commands, events) = ("/hooks/slack/commands", "/hooks/slack/events");

    // What is not Slack's, or too old, or of nobody who is named, leads to nothing.
    let command = slack.command(&slack.ada, "1.1", &format!("acme/api {TASK}"));
    refused(&slack.sends(&world, commands, FORM, &command, 301, None));
    refused(&slack.sends(&world, commands, FORM, &command, -400, None));
    let unsigned =
        [("Content-Type", FORM), ("X-Slack-Request-Timestamp", "1"), ("X-Slack-Signature", "v0=00")];
    refused(&sent("POST", &format!("{}{commands}", world.server.url()), &unsigned, &command));
    let strangers = slack.command(&slack.eve, "1.2", &format!("acme/api {TASK}"));
    let answer = slack.sends(&world, commands, FORM, &strangers, 0, None);
    assert!(
        answer.json()["text"].as_str().unwrap().starts_with("You are not among those"),
        "{}",
        answer.body
    );
    let (theirs, body) = slack.mention("xoxp-eve", &slack.eve, "Ev1", &format!("acme/api {TASK}"));
    assert_eq!(slack.sends(&world, events, JSON, &body, 0, None).status, 200);
    let told = world.until("what a stranger is told", || slack.said(Some(&theirs)).pop());
    assert!(told.1.starts_with("You are not among those"), "{told:?}");
    assert_eq!(world.newest(), None);

    // A command: answered at once, then one message that is kept up to date, and its end below that.
    for retry in [None, None, Some(1)] {
        let answer = slack.sends(&world, commands, FORM, &command, 0, retry);
        assert!(answer.took < PATIENCE, "{:?}", answer.took);
        let told = answer.good();
        assert_eq!(told["response_type"], "ephemeral");
        assert!(text(&told["text"]).starts_with("Taken"), "{told}");
    }
    let id = text(&world.until("the task", || world.newest())["id"]);
    let task = world.ended(&id, 1, "published");
    let request = &task["pull_request"];
    let link = format!("<{}|", text(&request["url"]));
    let (root, shown) =
        world.until("the end", || slack.said(None).into_iter().find(|(_, words)| words.contains("\ndone\n")));
    let head = format!("*acme/api*  {}\n{id} for <@{}>\n", TASK.replace('`', "'"), slack.ada);
    assert!(shown.starts_with(&head) && shown.contains(&link), "{shown}");
    let below = world.until("the link", || slack.said(Some(&root)).pop());
    assert_eq!(below.1, format!("Ready for review: {link}#{}>", request["number"]));
    let pulls = world.see("pulls?state=all");
    assert_eq!(
        (pulls.as_array().map(Vec::len), &pulls[0]["draft"], &pulls[0]["head"]["ref"]),
        (Some(1), &json!(true), &json!(format!("gloaming/{id}")))
    );
    assert!(text(&pulls[0]["body"]).contains("| tests passed | 2 | 2 |"), "{}", pulls[0]["body"]);
    // It was said once, and changed as the work went on.
    let calls = slack.api.calls();
    let of = |method: &str| -> Vec<String> {
        let ours = calls.as_array().unwrap().iter().filter(|call| call["path"] == format!("/api/{method}"));
        ours.map(|call| text(&call["body"]["text"])).filter(|words| words.contains(&id)).collect()
    };
    assert_eq!(of("chat.postMessage").len(), 1);
    let changes = of("chat.update");
    assert!(changes.iter().any(|words| words.contains("\nattempt 1 is at work: ")), "{changes:#?}");
    assert!(changes.last().is_some_and(|words| *words == shown), "{changes:#?}");

    // What becomes of it is told there, too.
    let number = request["number"].as_u64().unwrap();
    world.by("alice", "PATCH", &format!("pulls/{number}"), &json!({"draft": false}));
    world.by("alice", "PUT", &format!("pulls/{number}/merge"), &json!({}));
    let merged = format!("#{number}>, merged");
    world.until("the merge", || {
        slack.said(None).into_iter().find(|(ts, words)| *ts == root && words.contains(&merged))
    });

    // A mention that nothing comes of, sent a second time by Slack, is answered in its own thread.
    let (asked, body) = slack.mention(
        "xoxp-ada",
        &slack.ada,
        "Ev2",
        "acme/api Rename the function `absent` to `present` everywhere",
    );
    for retry in [None, Some(1), Some(2)] {
        let answer = slack.sends(&world, events, JSON, &body, 0, retry);
        assert!(answer.status == 200 && answer.took < PATIENCE, "{}", answer.body);
    }
    let other = world.until("the second task", || world.newest().filter(|task| task["id"] != id.as_str()));
    let other = world.ended(&text(&other["id"]), 1, "bowed_out");
    let told = world.until("the reason", || Some(slack.said(Some(&asked))).filter(|told| told.len() == 2));
    let reason = text(&other["bow_out"]["reason_code"]);
    assert!(
        told[0].1.contains("\nno pull request\n") && told[0].1.contains(&format!("\n{reason}: ")),
        "{told:?}"
    );
    assert!(told[1].1.starts_with("bowed_out: "), "{told:?}");
    let all = world.scene.gloaming(&["task", "list", "--json"]).exits(0).json();
    assert_eq!(all["tasks"].as_array().map(Vec::len), Some(2), "{all:#}");

    slack.api.check_contract();
    world.github.check_contract();
    assert_eq!(world.server.stop(), 0);
}
