//! Reading SWE-agent's files.

use serde::Deserialize;
use serde_json::Value;

/// A recording of another agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The folder that the repository stood in, absolute and without a slash at the end; empty where nothing says it.
    pub root: String,
    /// What it did, in order.
    pub steps: Vec<Step>,
}

/// One call and what it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The command, as it was written.
    pub action: String,
    /// The answer, with line feeds for line ends.
    pub observation: String,
}

/// A file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No JSON of this form.
    #[error("it is no SWE-agent trajectory: want an object with `trajectory` or `history`")]
    Form(#[source] Option<serde_json::Error>),
    /// There is nothing to make again.
    #[error("it holds no step with an action")]
    Empty,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    trajectory: Option<Vec<RawStep>>,
    #[serde(default)]
    history: Option<Vec<Message>>,
}

#[derive(Deserialize)]
struct RawStep {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    observation: Option<String>,
    /// An object, or before 1.0 one in a string.
    #[serde(default)]
    state: Value,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    /// A text, or parts of one.
    #[serde(default)]
    content: Value,
    #[serde(default)]
    action: Option<String>,
    /// Of a demonstration that the agent was shown, not of its own work.
    #[serde(default)]
    is_demo: bool,
}

impl Recording {
    /// Reads a `.traj` file's text.
    ///
    /// # Errors
    /// It is no such file, or has no steps.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let file: File = serde_json::from_str(text).map_err(|error| ReadError::Form(Some(error)))?;
        let recording = match (file.trajectory, file.history) {
            (Some(steps), _) if !steps.is_empty() => Self::of_steps(steps),
            (_, Some(messages)) => Self::of_messages(&messages),
            (Some(_), None) => return Err(ReadError::Empty),
            (None, None) => return Err(ReadError::Form(None)),
        };
        if recording.steps.is_empty() { Err(ReadError::Empty) } else { Ok(recording) }
    }

    fn of_steps(raw: Vec<RawStep>) -> Self {
        let root = raw.iter().find_map(|step| working_folder(&step.state)).unwrap_or_default();
        let steps = raw.into_iter().filter_map(|step| {
            let action = step.action.filter(|action| !action.trim().is_empty())?;
            Some(Step { action, observation: line_feeds(&step.observation.unwrap_or_default()) })
        });
        Self { root, steps: steps.collect() }
    }

    fn of_messages(messages: &[Message]) -> Self {
        let own: Vec<&Message> = messages.iter().filter(|message| !message.is_demo).collect();
        let mut root = None;
        let mut steps = Vec::new();
        for (at, message) in own.iter().enumerate() {
            let Some(action) = message.action.clone().filter(|_| message.role == "assistant") else {
                continue;
            };
            let answer = own.get(at + 1).filter(|next| next.role != "assistant");
            let answer = answer.map_or(String::new(), |next| line_feeds(&text_of(&next.content)));
            let (observation, folder) = without_prompt(&answer);
            root = root.or(folder);
            steps.push(Step { action, observation });
        }
        Self { root: root.unwrap_or_default(), steps }
    }
}

fn working_folder(state: &Value) -> Option<String> {
    let parsed = state.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let folder = parsed.as_ref().unwrap_or(state)["working_dir"].as_str()?;
    folder.starts_with('/').then(|| folder.trim_end_matches('/').to_owned())
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Takes off what the agent's prompt adds to an answer, and returns the folder that it tells.
fn without_prompt(text: &str) -> (String, Option<String>) {
    let text = text.strip_prefix("OBSERVATION:\n").unwrap_or(text);
    let Some((answer, prompt)) = text.rsplit_once("\n(Open file: ") else { return (text.to_owned(), None) };
    let folder = prompt.split_once("(Current directory: ").and_then(|(_, rest)| rest.split_once(')'));
    (answer.to_owned(), folder.map(|(folder, _)| folder.trim_end_matches('/').to_owned()))
}

fn line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_the_format_is_read() {
        let step = |observation: &str| Step { action: "open a.py".into(), observation: observation.into() };
        for text in [
            r#"{"trajectory": [{"action": "open a.py", "observation": "x\r\ny", "state": "{\"open_file\": \"n/a\", \"working_dir\": \"/r\"}\n"}]}"#,
            r#"{"trajectory": [{"action": "open a.py", "observation": "x\ny", "state": {"working_dir": "/r/"}}, {"action": " "}]}"#,
            r#"{"trajectory": [], "history": [
                {"role": "assistant", "content": "", "action": "ls", "is_demo": true}, {"role": "user", "content": "no", "is_demo": true},
                {"role": "assistant", "content": "t", "action": "open a.py"},
                {"role": "tool", "content": [{"type": "text", "text": "OBSERVATION:\nx\r\ny\n(Open file: n/a)\n(Current directory: /r)\nbash-$"}]}]}"#,
        ] {
            let recording = Recording::parse(text).unwrap();
            assert_eq!(recording, Recording { root: "/r".into(), steps: vec![step("x\ny")] }, "{text}");
        }
        for (text, expect) in [
            ("[]", "it is no SWE-agent trajectory: want an object with `trajectory` or `history`"),
            ("{}", "it is no SWE-agent trajectory: want an object with `trajectory` or `history`"),
            (r#"{"trajectory": []}"#, "it holds no step with an action"),
            (r#"{"history": [{"role": "user"}]}"#, "it holds no step with an action"),
        ] {
            assert_eq!(Recording::parse(text).unwrap_err().to_string(), expect);
        }
    }
}
