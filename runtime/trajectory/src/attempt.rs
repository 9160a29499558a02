//! An attempt as its journal tells it: who said what to whom, and how it ended.

use std::collections::BTreeMap;

use gloaming_api::bowout::BowOut;
use gloaming_api::evidence::VerdictKind;
use gloaming_api::journal::{AgentRole, AttemptStarted, Event, EventKind, counting};
use gloaming_api::tool::ToolOutcome;
use gloaming_api::{Digest, Stage};
use gloaming_model::{Block, Response};
use serde_json::Value;

/// The time of an event, as the journal has it.
pub type Time = String;

/// An attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// What it started with.
    pub started: AttemptStarted,
    /// When it began.
    pub began: Time,
    /// Hash of the journal's last event, which names the record.
    pub head: Digest,
    /// What happened, in order.
    pub happened: Vec<Happened>,
    /// The conversations, in the order in which they began.
    pub conversations: Vec<Conversation>,
    /// Whether the gate passed its last patch; none where it came to none.
    pub passed_gate: Option<bool>,
    /// The end.
    pub end: End,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// A branch was made.
    Branch {
        /// Its name.
        branch: String,
        /// The patch.
        patch: Digest,
    },
    /// There is no branch, for a reason.
    BowedOut(Box<BowOut>),
    /// It was stopped, infrastructure failed, or it goes on.
    None,
}

/// One thing that happened beside the words of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// Turn and conversation of an answer, by their numbers.
    Turn(usize, usize),
    /// A call that no model asked for: a playbook's.
    Call {
        /// When.
        at: Time,
        /// Its id in the journal.
        id: String,
        /// The tool.
        tool: String,
        /// The arguments.
        args: Value,
        /// What it answered.
        answer: String,
    },
    /// Something of the system's, in a sentence.
    System {
        /// When.
        at: Time,
        /// What.
        said: String,
    },
    /// What the verifier found was told to the coder.
    Findings {
        /// When.
        at: Time,
        /// The words.
        text: String,
    },
}

/// One of the team and what it was told and said.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// Who.
    pub role: AgentRole,
    /// Its answers.
    pub turns: Vec<Turn>,
}

/// One answer of a model and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// When it was recorded.
    pub at: Time,
    /// Whether it sums up the older part of the conversation: words to whoever goes on, which call no tool.
    pub summary: bool,
    /// The answer.
    pub response: Response,
    /// US dollars.
    pub cost_usd: f64,
    /// Milliseconds.
    pub duration_ms: u64,
    /// What the tools answered, by the model's own ids; a call that no tool ran for has none.
    pub results: BTreeMap<String, ToolOutcome>,
    /// What the verifier said to the call that ended the turn.
    pub findings: Option<String>,
}

/// A journal does not begin with an attempt.
#[derive(Debug, thiserror::Error)]
#[error("the journal does not begin with an attempt")]
pub struct NoAttempt;

impl Attempt {
    /// Reads a journal whose chain was checked. Events that count no more, since an attempt was gone on with from before
    /// them, are left out.
    ///
    /// # Errors
    /// It is the journal of something else.
    pub fn of(events: &[Event]) -> Result<Self, NoAttempt> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Err(NoAttempt) };
        let EventKind::AttemptStarted(started) = &first.kind else { return Err(NoAttempt) };
        let mut reading = Reading {
            attempt: Self {
                started: (**started).clone(),
                began: first.at.to_string(),
                head: last.hash.clone(),
                happened: Vec::new(),
                conversations: Vec::new(),
                passed_gate: None,
                end: End::None,
            },
            asking: None,
            open: BTreeMap::new(),
            calls: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        for event in counting(events) {
            reading.event(event);
        }
        Ok(reading.attempt)
    }

    /// Returns the conversation of a role; the last, where there are several.
    pub fn conversation(&self, role: AgentRole) -> Option<&Conversation> {
        self.conversations.iter().rfind(|conversation| conversation.role == role)
    }

    /// US dollars, in all.
    pub fn cost_usd(&self) -> f64 {
        self.conversations.iter().flat_map(|conversation| &conversation.turns).map(|turn| turn.cost_usd).sum()
    }
}

/// An attempt being read.
struct Reading {
    attempt: Attempt,
    /// Who is asked, and whether for a summary.
    asking: Option<(AgentRole, bool)>,
    /// The conversation of each role that goes on.
    open: BTreeMap<AgentRole, usize>,
    /// Where a call of a model's is, by its id in the journal: conversation, turn, and the model's own id.
    calls: BTreeMap<String, (usize, usize, String)>,
    /// How many calls each role has asked for.
    numbers: BTreeMap<AgentRole, u32>,
}

impl Reading {
    fn event(&mut self, event: &Event) {
        let at = event.at.to_string();
        match &event.kind {
            EventKind::ModelAsked { role, summary, .. } => self.asking = Some((*role, *summary)),
            EventKind::ModelCall { response, cost_usd, duration_ms, .. } => {
                let Ok(response) = serde_json::from_value::<Response>(response.clone()) else { return };
                // Journals of before there was a team have no asker but the coder.
                let (role, summary) = self.asking.take().unwrap_or((AgentRole::Coder, false));
                let (results, findings) = (BTreeMap::new(), None);
                let (cost_usd, duration_ms) = (*cost_usd, *duration_ms);
                self.answer(role, Turn { at, summary, response, cost_usd, duration_ms, results, findings });
            }
            EventKind::ToolCall { id, args, outcome, record } => match self.calls.get(id) {
                Some((conversation, turn, theirs)) => {
                    let turn = &mut self.attempt.conversations[*conversation].turns[*turn];
                    turn.results.insert(theirs.clone(), outcome.clone());
                }
                None => self.attempt.happened.push(Happened::Call {
                    at,
                    id: id.clone(),
                    tool: record.tool.clone(),
                    args: args.clone(),
                    answer: outcome.for_model(),
                }),
            },
            EventKind::FindingsTold { text, .. } => {
                let coder = self.open.get(&AgentRole::Coder).copied();
                let turns = coder.map(|coder| self.attempt.conversations[coder].turns.iter_mut());
                if let Some(turn) = turns.and_then(|mut turns| turns.rfind(|turn| !turn.summary)) {
                    turn.findings = Some(text.clone());
                }
                self.attempt.happened.push(Happened::Findings { at, text: text.clone() });
            }
            EventKind::Reviewed { veto, findings } => {
                // Who reviews again is another one.
                self.open.remove(&AgentRole::Reviewer);
                self.numbers.remove(&AgentRole::Reviewer);
                let veto = if *veto { "vetoes the change" } else { "has no veto" };
                self.say(at, format!("review: the reviewer {veto}; findings: {}", findings.len()));
            }
            EventKind::OriginChosen { because, .. } => self.say(at, format!("origin: {because}")),
            // Of these an event of their own says more.
            EventKind::StageFinished { stage: Stage::Freeze | Stage::Review | Stage::Gate, .. } => {}
            EventKind::StageFinished { stage, detail, .. } => {
                self.say(at, format!("{}: {detail}", stage.as_str()));
            }
            EventKind::Frozen { patch, files, .. } => {
                self.say(at, format!("freeze: {} files, patch {patch}", files.len()));
            }
            EventKind::Judged { verdict } => {
                self.attempt.passed_gate = Some(verdict.verdict == VerdictKind::Pass);
                self.say(at, format!("gate: {}: {}", verdict.code, verdict.summary));
            }
            EventKind::Published { branch, patch, .. } => {
                self.attempt.end = End::Branch { branch: branch.clone(), patch: patch.clone() };
                self.say(at, format!("publish: the branch {branch}"));
            }
            EventKind::BowedOut { bow_out } => {
                self.attempt.end = End::BowedOut(bow_out.clone());
                self.say(at, format!("bow-out: {}: {}", bow_out.reason_code.as_str(), bow_out.summary));
            }
            EventKind::ModelFailed { error, .. } | EventKind::Failed { error } => {
                self.say(at, format!("failed: {error}"));
            }
            EventKind::Cancelled => self.say(at, "cancelled".to_owned()),
            _ => {}
        }
    }

    fn say(&mut self, at: Time, said: String) {
        self.attempt.happened.push(Happened::System { at, said });
    }

    fn answer(&mut self, role: AgentRole, answer: Turn) {
        let conversations = &mut self.attempt.conversations;
        let conversation = *self.open.entry(role).or_insert_with(|| {
            conversations.push(Conversation { role, turns: Vec::new() });
            conversations.len() - 1
        });
        let turn = conversations[conversation].turns.len();
        // As the role's loop numbers the calls that it is asked for; in a summary it looks for none.
        for block in &answer.response.blocks {
            if let Block::ToolUse { id, .. } = block
                && !answer.summary
            {
                let number = self.numbers.entry(role).or_default();
                *number += 1;
                self.calls
                    .insert(format!("{}-call-{number}", role.as_str()), (conversation, turn, id.clone()));
            }
        }
        conversations[conversation].turns.push(answer);
        self.attempt.happened.push(Happened::Turn(conversation, turn));
    }
}

#[cfg(test)]
mod tests {
    use gloaming_api::journal::Chain;
    use gloaming_api::tool::{CallRecord, Decided};
    use serde_json::json;

    use super::*;
    use crate::atif;
    use crate::roles::Roles;

    /// A journal of these events behind the first.
    fn journal(kinds: Vec<EventKind>) -> Vec<Event> {
        let started: AttemptStarted = serde_json::from_value(json!({
            "format": 1, "program": "0.1.0", "task": format!("t-{}", "0".repeat(20)), "attempt": 1, "repo": "local/repo", "location": "repo",
            "base": "0".repeat(40), "text": "Rename f to g", "policy": [], "grant": Digest::of("g"),
        }))
        .expect("an attempt begins like this");
        let mut chain = Chain::default();
        let first = EventKind::AttemptStarted(Box::new(started));
        let at = "2026-01-01T00:00:00Z".parse().expect("a time");
        std::iter::once(first).chain(kinds).map(|kind| chain.append(at, kind)).collect()
    }

    fn call(id: &str, tool: &str) -> EventKind {
        let args = json!({"path": "a.py"});
        EventKind::ToolCall {
            id: id.to_owned(),
            args: args.clone(),
            outcome: ToolOutcome::ok(json!({"text": format!("{tool} did it")})),
            record: Box::new(CallRecord::without_run(tool, &Digest::of("g"), &args, Decided::Allow)),
        }
    }

    fn answer(blocks: Value) -> EventKind {
        let response = json!({
            "blocks": blocks, "stop": "tool_use", "model": "m", "cost_usd": 0.5,
            "usage": {"input": 5, "output": 7, "cache_read": 2, "cache_write": 1},
        });
        EventKind::ModelCall { request: Digest::of("q"), response, cost_usd: 0.5, duration_ms: 3 }
    }

    fn asked_for(summary: bool) -> EventKind {
        let (role, request) = (AgentRole::Coder, Digest::of("q"));
        EventKind::ModelAsked { role, request, reserved_usd: 1.0, summary }
    }

    fn asked() -> EventKind {
        asked_for(false)
    }

    #[test]
    fn a_playbooks_calls_are_steps_without_a_model() {
        let attempt = Attempt::of(&journal(vec![call("playbook-1", "edit")])).unwrap();
        let document = atif::trajectory(&attempt, &Roles::default());
        let step = json!({
            "step_id": 2, "timestamp": "2026-01-01T00:00:00Z", "source": "agent", "message": "", "llm_call_count": 0,
            "tool_calls": [{"tool_call_id": "playbook-1", "function_name": "edit", "arguments": {"path": "a.py"}}],
            "observation": {"results": [{"source_call_id": "playbook-1", "content": "edit did it"}]},
        });
        assert_eq!(document["steps"][1], step);
        assert_eq!(document["final_metrics"]["total_cost_usd"], 0.0);
    }

    #[test]
    fn what_was_begun_again_does_not_count_and_a_question_without_an_answer_neither() {
        let use_of =
            |id: &str| json!({"type": "tool_use", "id": id, "name": "read", "input": {"path": "a.py"}});
        let attempt = Attempt::of(&journal(vec![
            EventKind::Failed { error: "killed".into() },
            EventKind::Resumed { stage: Stage::Code, dead: 1, idle_ms: 0 },
            asked(),
            asked(),
            answer(json!([{"type": "text", "text": "look"}, use_of("x"), use_of("y")])),
            call("coder-call-2", "read"),
        ]))
        .unwrap();
        let [conversation] = attempt.conversations.as_slice() else { panic!("{:?}", attempt.conversations) };
        let [turn] = conversation.turns.as_slice() else { panic!("{conversation:?}") };
        let answered: Vec<&str> = turn.results.keys().map(String::as_str).collect();
        assert_eq!(answered, ["y"]);
        let told: Vec<bool> =
            attempt.happened.iter().map(|one| matches!(one, Happened::Turn(0, 0))).collect();
        assert_eq!(told, [true]);
        let metrics = &atif::trajectory(&attempt, &Roles::default())["steps"][1]["metrics"];
        assert_eq!((&metrics["prompt_tokens"], &metrics["cached_tokens"]), (&json!(8), &json!(2)));
    }

    #[test]
    fn a_summary_is_no_turn_of_a_conversation_and_shifts_no_call() {
        let use_of =
            |id: &str| json!({"type": "tool_use", "id": id, "name": "read", "input": {"path": "a.py"}});
        let kinds = vec![
            asked(),
            answer(json!([use_of("x")])),
            call("coder-call-1", "read"),
            asked_for(true),
            // It was offered no tool, and a model may call one all the same.
            answer(json!([{"type": "text", "text": "so far: nothing"}, use_of("none")])),
            asked(),
            answer(json!([use_of("y")])),
            call("coder-call-2", "search"),
            EventKind::FindingsTold { round: 1, text: "it fails".to_owned() },
        ];
        let attempt = Attempt::of(&journal(kinds)).unwrap();
        let judged = crate::chat::Judged { attempt, outcome: None };
        let line = &crate::chat::lines(&judged, &Roles::default())[0];
        let told: Vec<(&Value, &Value)> = line["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|message| (&message["role"], &message["content"]))
            .collect();
        let text = |text: &str| json!(text);
        assert_eq!(
            told,
            [
                (&text("user"), &text("Rename f to g")),
                (&text("assistant"), &text("")),
                (&text("tool"), &text("read did it")),
                (&text("assistant"), &text("")),
                (&text("tool"), &text("search did it")),
            ]
        );
        let document = atif::trajectory(&judged.attempt, &Roles::default());
        let step = &document["steps"][2];
        assert_eq!(
            (&step["extra"], &step["message"]),
            (&json!({"summary": true}), &json!("so far: nothing"))
        );
        assert_eq!(step.get("tool_calls"), None);
        assert_eq!(document["final_metrics"]["total_cost_usd"], 1.5, "it is paid for");
        assert_eq!(document["steps"][3]["observation"]["results"][0]["content"], "search did it");
    }

    #[test]
    fn a_usage_beyond_all_numbers_is_as_many_as_can_be_told() {
        let EventKind::ModelCall { request, mut response, cost_usd, duration_ms } = answer(json!([])) else {
            panic!("an answer")
        };
        response["usage"]["input"] = json!(u64::MAX);
        let call = EventKind::ModelCall { request, response, cost_usd, duration_ms };
        let attempt = Attempt::of(&journal(vec![asked(), call.clone(), asked(), call])).unwrap();
        let document = atif::trajectory(&attempt, &Roles::default());
        assert_eq!(document["final_metrics"]["total_prompt_tokens"], u64::MAX);
        assert_eq!(document["steps"][1]["metrics"]["prompt_tokens"], u64::MAX);
    }
}
