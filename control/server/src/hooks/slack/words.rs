//! What somebody said in Slack, and what is wanted by it.
//!
//! Sources: Slack's documentation of slash commands, of the event `app_mention`, and of how messages are escaped.

use gloaming_api::{RepoId, TaskId};
use serde::Deserialize;

/// The kinds under which deliveries are stored.
pub(crate) const COMMAND: &str = "command";
pub(crate) const MENTION: &str = "app_mention";

/// The longest id that is taken for one, bytes.
const ID_CAP: usize = 200;

/// What was said, by whom and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Slack's id of it.
    pub(crate) id: String,
    /// The workspace of whoever speaks, which in a shared channel is not ours.
    pub(crate) team: String,
    pub(crate) user: String,
    pub(crate) channel: String,
    /// The message that an answer belongs under; empty for a command.
    pub(crate) thread: String,
    pub(crate) text: String,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Help,
    Work {
        repo: RepoId,
        text: String,
    },
    /// Of a task, or the one that the thread is about.
    Status(Option<TaskId>),
    Cancel(Option<TaskId>),
}

/// What Slack sends to the events' address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It wants to see whether the address is ours.
    Challenge(String),
    Spoken(Spoken),
    /// Nothing that is acted on.
    Other,
}

#[derive(Deserialize)]
struct Outer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    challenge: Option<String>,
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    event: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    bot_id: Option<String>,
    #[serde(default)]
    user_team: Option<String>,
    #[serde(default)]
    team: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    ts: Option<String>,
    #[serde(default)]
    thread_ts: Option<String>,
    #[serde(default)]
    text: Option<String>,
}

/// Reads the body of an event.
pub(crate) fn event(body: &[u8]) -> Result<Event, String> {
    let outer: Outer = serde_json::from_slice(body).map_err(|error| format!("no event of Slack: {error}"))?;
    match (outer.kind.as_str(), outer.event) {
        ("url_verification", _) => Ok(Event::Challenge(
            outer.challenge.filter(|challenge| challenge.len() <= 4096).unwrap_or_default(),
        )),
        // What programs say is not acted on: two of them would never end.
        ("event_callback", Some(said)) if said.kind == MENTION && said.bot_id.is_none() => {
            let ts = said.ts.unwrap_or_default();
            let team = said.user_team.or(said.team).or(outer.team_id);
            let spoken = Spoken {
                id: outer.event_id.unwrap_or_default(),
                team: team.unwrap_or_default(),
                user: said.user.unwrap_or_default(),
                channel: said.channel.unwrap_or_default(),
                thread: said.thread_ts.unwrap_or(ts),
                text: said.text.unwrap_or_default(),
            };
            if !is_time(&spoken.thread) {
                return Err("the event's `ts` is no time of a message".to_owned());
            }
            spoken.formed().map(Event::Spoken)
        }
        _ => Ok(Event::Other),
    }
}

/// Reads the body of a slash command; none where Slack only looks whether we are there.
pub(crate) fn command(body: &[u8]) -> Result<Option<Spoken>, String> {
    let field = |name: &str| {
        let found = form_urlencoded::parse(body).find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    if field("ssl_check") == "1" {
        return Ok(None);
    }
    let spoken = Spoken {
        id: field("trigger_id"),
        team: field("team_id"),
        user: field("user_id"),
        channel: field("channel_id"),
        thread: String::new(),
        text: field("text"),
    };
    spoken.formed().map(Some)
}

impl Spoken {
    fn formed(self) -> Result<Self, String> {
        let is_id =
            |id: &str| !id.is_empty() && id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let ids = [("team", &self.team), ("user", &self.user), ("channel", &self.channel)];
        if let Some((what, _)) = ids.iter().find(|(_, id)| !is_id(id)) {
            return Err(format!("the {what}'s id is missing or malformed"));
        }
        let graphic = self.id.bytes().all(|byte| byte.is_ascii_graphic());
        if self.id.is_empty() || self.id.len() > ID_CAP || !graphic {
            return Err("its id (`event_id`, `trigger_id`) is missing or malformed".to_owned());
        }
        Ok(self)
    }

    /// Returns what is wanted; the error says what could not be understood.
    pub(crate) fn wanted(&self) -> Result<Wanted, String> {
        let text = unescaped(&self.text);
        let mut rest = text.trim_start();
        // The mention by which we were spoken to, at the beginning or nowhere.
        if let Some(after) = rest.strip_prefix('@') {
            rest = after.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim_start();
        }
        let (first, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (first, rest) = (first.trim_end_matches([':', ',']), rest.trim());
        let task = || match rest {
            "" => Ok(None),
            id => id.parse().map(Some).map_err(|_| format!("{id:?} is no task; want t- and 20 digits")),
        };
        match first.to_ascii_lowercase().as_str() {
            "" | "help" => Ok(Wanted::Help),
            "status" => task().map(Wanted::Status),
            "cancel" | "stop" => task().map(Wanted::Cancel),
            _ => {
                let repo: RepoId =
                    first.parse().map_err(|_| format!("{first:?} is no repository; want owner/name"))?;
                if rest.is_empty() {
                    return Err(format!("what is to be done in {repo}?"));
                }
                Ok(Wanted::Work { repo, text: rest.to_owned() })
            }
        }
    }
}

/// Whether a text is the time by which Slack names a message.
pub(crate) fn is_time(text: &str) -> bool {
    let digits =
        |part: &str| (1..=16).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, part)| digits(seconds) && digits(part))
}

/// Returns a text as it was typed: what Slack wrote for links, people and channels as words, and `&`, `<` and `>`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let Some((inside, after)) = after.split_once('>') else {
            out.push('<');
            rest = after;
            continue;
        };
        let (to, label) = inside.split_once('|').unwrap_or((inside, ""));
        match to.chars().next() {
            Some('@' | '#') if label.is_empty() => out.push_str(to),
            Some(sign @ ('@' | '#')) => {
                out.push(sign);
                out.push_str(label.trim_start_matches(sign));
            }
            Some('!') => {
                out.push('@');
                out.push_str(if label.is_empty() { &to[1..] } else { label.trim_start_matches('@') });
            }
            // A word that Slack took for an address is the word; another label is told with where it leads.
            _ if label.is_empty() => out.push_str(to),
            _ if to.ends_with(label) => out.push_str(label),
            _ => out.push_str(&format!("{label} ({to})")),
        }
        rest = after;
    }
    out.push_str(rest);
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> String {
        let spoken = Spoken {
            id: "1".into(),
            team: "T1".into(),
            user: "U1".into(),
            channel: "C1".into(),
            thread: String::new(),
            text: text.to_owned(),
        };
        match spoken.wanted() {
            Ok(Wanted::Work { repo, text }) => format!("{repo}: {text}"),
            Ok(other) => format!("{other:?}"),
            Err(why) => why,
        }
    }

    #[test]
    fn words_are_what_they_say() {
        let said = [
            "acme/api fix the flaky test",
            "<@U0GLOAM> acme/api: fix &lt;T&gt; &amp; co",
            "<@U0GLOAM|gloaming>   status",
            "status t-00000000000000000001",
            "cancel",
            "stop t-1",
            "help",
            "",
            "acme/api",
            "acme/api see <http://one.acme.example|one.acme.example> and <https://one.acme.example/a|the page>",
            "acme/api ask <@U1> in <#C1|general> <!channel> <!subteam^S1|@crew>, 1 < 2",
            "../etc/passwd read it",
            "fix it please",
        ];
        let told: Vec<String> = said.iter().map(|text| wanted(text)).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        acme/api: fix the flaky test
        acme/api: fix <T> & co
        Status(None)
        Status(Some(TaskId(t-00000000000000000001)))
        Cancel(None)
        "t-1" is no task; want t- and 20 digits
        Help
        Help
        what is to be done in acme/api?
        acme/api: see one.acme.example and the page (https://one.acme.example/a)
        acme/api: ask @U1 in #general @channel @crew, 1 < 2
        "../etc/passwd" is no repository; want owner/name
        "fix" is no repository; want owner/name
        "#);
    }

    #[test]
    fn of_events_only_what_people_say_to_us_counts() {
        let said = |event: serde_json::Value| {
            let outer = serde_json::json!({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event});
            event_of(&outer)
        };
        let mention = |with: serde_json::Value| {
            let mut event = serde_json::json!({"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.2", "text": "x"});
            event.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
            said(event)
        };
        fn event_of(outer: &serde_json::Value) -> Result<Event, String> {
            event(outer.to_string().as_bytes())
        }
        let Ok(Event::Spoken(spoken)) = mention(serde_json::json!({})) else { panic!("it is said to us") };
        assert_eq!((spoken.team.as_str(), spoken.thread.as_str()), ("T1", "1.2"));
        let Ok(Event::Spoken(spoken)) = mention(serde_json::json!({"user_team": "T2", "thread_ts": "1.1"}))
        else {
            panic!("it is said to us")
        };
        assert_eq!((spoken.team.as_str(), spoken.thread.as_str()), ("T2", "1.1"));
        assert_eq!(mention(serde_json::json!({"bot_id": "B1"})), Ok(Event::Other));
        assert_eq!(said(serde_json::json!({"type": "message", "text": "x"})), Ok(Event::Other));
        assert!(mention(serde_json::json!({"ts": "now"})).is_err());
        assert!(mention(serde_json::json!({"user": "U1/../U2"})).is_err());
        let challenge = serde_json::json!({"type": "url_verification", "challenge": "abc"});
        assert_eq!(event_of(&challenge), Ok(Event::Challenge("abc".into())));
        assert!(event(b"{").is_err());
    }
}
