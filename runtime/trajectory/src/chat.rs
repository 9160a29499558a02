//! Conversations as chat messages, in the form of OpenAI's interface that fine-tuning tools read, and pairs of them in the
//! form of TRL's preference data (`prompt`, `chosen`, `rejected`).

use gloaming_api::journal::AgentRole;
use gloaming_api::{Digest, ReasonCode};
use gloaming_model::Block;
use serde_json::{Value, json};

use crate::attempt::{Attempt, Conversation, End, Turn};
use crate::outcome::Kind;
use crate::roles::Roles;

/// The roles whose conversations are exported: those that call tools. What the others were shown is not in a journal.
pub const ROLES: &[AgentRole] = &[AgentRole::Reproducer, AgentRole::Planner, AgentRole::Coder];

/// What stands for words that the journal does not have.
const NOT_RECORDED: &str = "[what the system said here is not in the record]";

/// An attempt and what became of its branch, where somebody recorded it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The attempt.
    pub attempt: Attempt,
    /// The outcome.
    pub outcome: Option<Kind>,
}

impl Judged {
    /// Why no conversation of it is training data; none when it is.
    pub fn not_merged(&self) -> Option<String> {
        match (&self.attempt.end, self.outcome) {
            (_, Some(Kind::Merged)) => None,
            (_, Some(other)) => Some(other.as_str().to_owned()),
            (End::Branch { .. }, None) => Some("no outcome is recorded".to_owned()),
            (End::BowedOut(bow_out), None) => Some(format!("bowed out: {}", bow_out.reason_code.as_str())),
            (End::None, None) => Some("it has no end".to_owned()),
        }
    }

    fn grade(&self) -> Grade {
        match (&self.attempt.end, self.outcome) {
            (_, Some(Kind::Merged)) => Grade::Better("merged"),
            (_, Some(Kind::Closed)) => Grade::Worse("closed"),
            (_, Some(Kind::Reverted)) => Grade::Worse("reverted"),
            (End::Branch { .. }, None) if self.attempt.passed_gate == Some(true) => {
                Grade::Better("passed_gate")
            }
            (End::BowedOut(bow_out), None) => match bow_out.reason_code {
                code @ (ReasonCode::VerificationFailed | ReasonCode::QualityGate) => {
                    Grade::Worse(code.as_str())
                }
                _ => Grade::None,
            },
            _ => Grade::None,
        }
    }

    /// What two attempts have in common that can be compared.
    fn task(&self) -> (String, String, Digest) {
        let started = &self.attempt.started;
        (started.repo.to_string(), started.base.clone(), Digest::of(started.text.trim()))
    }
}

/// Whether an attempt is the better or the worse one of a pair, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Better(&'static str),
    Worse(&'static str),
    None,
}

/// Returns the conversations of an attempt, one line each.
pub fn lines(judged: &Judged, roles: &Roles) -> Vec<Value> {
    let attempt = &judged.attempt;
    let told = attempt.conversations.iter().filter(|conversation| ROLES.contains(&conversation.role));
    told.map(|conversation| {
        let mut messages = prompt(attempt, roles, conversation.role);
        messages.extend(answers(conversation));
        let mut line = json!({"messages": messages, "metadata": metadata(attempt, conversation.role)});
        if let Some(tools) = roles.tools(conversation.role) {
            line["tools"] = tools;
        }
        line
    })
    .collect()
}

/// Returns every pair of a better and a worse coder on the same task and base.
pub fn pairs(judged: &[Judged], roles: &[Roles]) -> Vec<Value> {
    let mut pairs = Vec::new();
    for (one, better_roles) in judged.iter().zip(roles) {
        let Grade::Better(chosen_as) = one.grade() else { continue };
        let Some(chosen) = one.attempt.conversation(AgentRole::Coder) else { continue };
        for other in judged {
            let Grade::Worse(rejected_as) = other.grade() else { continue };
            let Some(rejected) = other.attempt.conversation(AgentRole::Coder) else { continue };
            if one.task() != other.task() {
                continue;
            }
            let mut pair = json!({
                "prompt": prompt(&one.attempt, better_roles, AgentRole::Coder),
                "chosen": answers(chosen),
                "rejected": answers(rejected),
                "metadata": {
                    "chosen": metadata(&one.attempt, AgentRole::Coder), "chosen_as": chosen_as,
                    "rejected": metadata(&other.attempt, AgentRole::Coder), "rejected_as": rejected_as,
                },
            });
            if let Some(tools) = better_roles.tools(AgentRole::Coder) {
                pair["tools"] = tools;
            }
            pairs.push(pair);
        }
    }
    pairs
}

fn metadata(attempt: &Attempt, role: AgentRole) -> Value {
    let started = &attempt.started;
    json!({
        "task": started.task, "attempt": started.attempt, "repository": started.repo, "base": started.base,
        "role": role, "model": started.model, "program": started.program, "journal": attempt.head,
    })
}

fn prompt(attempt: &Attempt, roles: &Roles, role: AgentRole) -> Vec<Value> {
    let system = roles.prompt(&attempt.started, role).map(|text| json!({"role": "system", "content": text}));
    system.into_iter().chain([json!({"role": "user", "content": attempt.started.text})]).collect()
}

/// The messages behind the prompt: answers, and what tools and the verifier said to them.
fn answers(conversation: &Conversation) -> Vec<Value> {
    let mut messages = Vec::new();
    // A summary was asked for with other words, which are in no record, and answers nobody's.
    let turns: Vec<&Turn> = conversation.turns.iter().filter(|turn| !turn.summary).collect();
    for (at, turn) in turns.iter().enumerate() {
        messages.push(assistant(turn));
        let last = at + 1 == turns.len();
        let calls: Vec<&str> = ids(turn).collect();
        for (number, id) in calls.iter().enumerate() {
            let content = match (turn.results.get(*id), &turn.findings) {
                (Some(outcome), _) => outcome.for_model(),
                // The call that ends a turn is what the findings answer.
                (None, Some(findings)) if number + 1 == calls.len() => findings.clone(),
                // Nothing answers the last call of all.
                (None, None) if last && number + 1 == calls.len() => continue,
                (None, _) => NOT_RECORDED.to_owned(),
            };
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
        }
        if calls.is_empty() && !last {
            messages.push(json!({"role": "user", "content": NOT_RECORDED}));
        }
    }
    messages
}

fn ids(turn: &Turn) -> impl Iterator<Item = &str> {
    turn.response.blocks.iter().filter_map(|block| match block {
        Block::ToolUse { id, .. } => Some(id.as_str()),
        _ => None,
    })
}

fn assistant(turn: &Turn) -> Value {
    let mut words: Vec<&str> = Vec::new();
    let mut calls = Vec::new();
    for block in &turn.response.blocks {
        match block {
            Block::Text { text } => words.push(text),
            Block::ToolUse { id, name, input } => calls.push(json!({
                "id": id, "type": "function", "function": {"name": name, "arguments": input.to_string()},
            })),
            Block::ToolResult { .. } => {}
        }
    }
    let mut message = json!({"role": "assistant", "content": words.join("\n")});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    message
}
