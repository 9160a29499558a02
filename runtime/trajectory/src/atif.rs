//! Attempts in the Agent Trajectory Interchange Format (ATIF), version 1.7, of Harbor: its RFC 0001 and the models in
//! `harbor.models.trajectories`, by which a test checks what is made here.
//!
//! The attempt is the root: the task, what the system did, and the coder's own steps. Whoever else of the team worked has a
//! trajectory of their own in `subagent_trajectories`, referred to where they were asked. A playbook's calls are agent
//! steps without a model (`llm_call_count` of 0). An answer that sums up the older part of a conversation is a step that says so
//! (`extra.summary`) and calls nothing.

use gloaming_api::journal::AgentRole;
use gloaming_model::{Block, Usage};
use serde_json::{Map, Value, json};

use crate::attempt::{Attempt, Conversation, End, Happened, Turn};
use crate::roles::Roles;

/// The version that is written.
pub const VERSION: &str = "ATIF-v1.7";

/// Returns an attempt as one document.
pub fn trajectory(attempt: &Attempt, roles: &Roles) -> Value {
    let mut steps = Steps(Vec::new());
    steps.add(json!({"timestamp": attempt.began, "source": "user", "message": attempt.started.text}));
    let mut told: Vec<usize> = Vec::new();
    for happened in &attempt.happened {
        match happened {
            Happened::Turn(at, turn) => {
                let conversation = &attempt.conversations[*at];
                if conversation.role == AgentRole::Coder {
                    steps.turn(&conversation.turns[*turn]);
                } else if !told.contains(at) {
                    told.push(*at);
                    let name = conversation.role.as_str();
                    let reference = json!({"trajectory_id": subagent_id(*at, conversation), "session_id": session(attempt)});
                    steps.add(json!({
                        "timestamp": conversation.turns[*turn].at,
                        "source": "system",
                        "message": format!("The {name} is asked."),
                        "observation": {"results": [{"subagent_trajectory_ref": [reference]}]},
                    }));
                }
            }
            Happened::Call { at, id, tool, args, answer } => steps.add(json!({
                "timestamp": at, "source": "agent", "message": "", "llm_call_count": 0,
                "tool_calls": [{"tool_call_id": id, "function_name": tool, "arguments": args}],
                "observation": {"results": [{"source_call_id": id, "content": answer}]},
            })),
            Happened::System { at, said } => {
                steps.add(json!({"timestamp": at, "source": "system", "message": said}))
            }
            Happened::Findings { at, text } => {
                steps.add(json!({"timestamp": at, "source": "user", "message": text}));
            }
        }
    }
    let subagents: Vec<Value> = attempt
        .conversations
        .iter()
        .enumerate()
        .filter(|(_, conversation)| conversation.role != AgentRole::Coder)
        .map(|(at, conversation)| subagent(attempt, roles, at, conversation))
        .collect();
    let mut document = document(attempt, roles, AgentRole::Coder, steps);
    let metrics = &mut document["final_metrics"];
    add_up(metrics, attempt.conversations.iter().flat_map(|conversation| &conversation.turns));
    metrics["total_cost_usd"] = json!(attempt.cost_usd());
    document["trajectory_id"] = json!("attempt");
    document["extra"] = json!({
        "repository": attempt.started.repo, "base": attempt.started.base, "attempt": attempt.started.attempt,
        "journal": attempt.head, "end": end(&attempt.end), "passed_gate": attempt.passed_gate,
    });
    if !subagents.is_empty() {
        document["subagent_trajectories"] = Value::Array(subagents);
    }
    document
}

fn end(end: &End) -> Value {
    match end {
        End::Branch { branch, patch } => json!({"outcome": "branch", "branch": branch, "patch": patch}),
        End::BowedOut(bow_out) => json!({"outcome": "bow_out", "reason_code": bow_out.reason_code}),
        End::None => json!({"outcome": null}),
    }
}

fn session(attempt: &Attempt) -> String {
    format!("{}-{}", attempt.started.task, attempt.started.attempt)
}

fn subagent_id(at: usize, conversation: &Conversation) -> String {
    format!("{}-{}", conversation.role.as_str(), at + 1)
}

fn subagent(attempt: &Attempt, roles: &Roles, at: usize, conversation: &Conversation) -> Value {
    let mut steps = Steps(Vec::new());
    steps.add(json!({"source": "user", "message": attempt.started.text}));
    for turn in &conversation.turns {
        steps.turn(turn);
    }
    let mut document = document(attempt, roles, conversation.role, steps);
    document["trajectory_id"] = json!(subagent_id(at, conversation));
    let metrics = &mut document["final_metrics"];
    add_up(metrics, conversation.turns.iter());
    metrics["total_cost_usd"] = json!(conversation.turns.iter().map(|turn| turn.cost_usd).sum::<f64>());
    document
}

/// What every trajectory has; the metrics are the caller's to add.
fn document(attempt: &Attempt, roles: &Roles, role: AgentRole, steps: Steps) -> Value {
    let started = &attempt.started;
    let version = started.program.strip_prefix("gloaming ").unwrap_or(&started.program);
    let mut agent = json!({"name": format!("gloaming/{}", role.as_str()), "version": version});
    let other = started.team.get(&role).and_then(Option::as_ref);
    if let Some(model) = other.or(started.model.as_ref()) {
        agent["model_name"] = json!(model);
    }
    if let Some(tools) = roles.tools(role) {
        agent["tool_definitions"] = tools;
    }
    if let Some(prompt) = started.prompts.get(&role) {
        agent["extra"] = json!({"prompt": prompt, "prompt_text": roles.prompt(started, role)});
    }
    json!({
        "schema_version": VERSION,
        "session_id": session(attempt),
        "agent": agent,
        "final_metrics": {"total_steps": steps.0.len()},
        "steps": steps.0,
        "notes": "Made of a journal. What a role is shown beside the task (the repository's instructions and facts, a plan, a \
                  patch) is not in it and not here.",
    })
}

/// Returns the tokens of a question. What a provider says they are may be any number.
fn asked(usage: &Usage) -> u64 {
    usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write)
}

/// Sums up the tokens of turns.
fn add_up<'a>(metrics: &mut Value, turns: impl Iterator<Item = &'a Turn>) {
    let (mut prompt, mut completion, mut cached) = (0_u64, 0_u64, 0_u64);
    for turn in turns {
        let usage = turn.response.usage;
        prompt = prompt.saturating_add(asked(&usage));
        completion = completion.saturating_add(usage.output);
        cached = cached.saturating_add(usage.cache_read);
    }
    metrics["total_prompt_tokens"] = json!(prompt);
    metrics["total_completion_tokens"] = json!(completion);
    metrics["total_cached_tokens"] = json!(cached);
}

/// Steps, numbered from 1.
struct Steps(Vec<Value>);

impl Steps {
    fn add(&mut self, mut step: Value) {
        step["step_id"] = json!(self.0.len() + 1);
        self.0.push(step);
    }

    /// Adds an answer of a model, with its calls and what came of them.
    fn turn(&mut self, turn: &Turn) {
        let mut words: Vec<&str> = Vec::new();
        let mut calls = Vec::new();
        let mut results = Vec::new();
        for block in &turn.response.blocks {
            match block {
                Block::Text { text } => words.push(text),
                Block::ToolUse { id, name, input } if !turn.summary => {
                    // What was no JSON object is kept as it was written.
                    let arguments = match input {
                        Value::Object(object) => object.clone(),
                        other => Map::from_iter([("value".to_owned(), other.clone())]),
                    };
                    calls.push(json!({"tool_call_id": id, "function_name": name, "arguments": arguments}));
                    if let Some(outcome) = turn.results.get(id) {
                        results.push(json!({"source_call_id": id, "content": outcome.for_model(), "extra": {"ok": outcome.ok}}));
                    }
                }
                Block::ToolUse { .. } | Block::ToolResult { .. } => {}
            }
        }
        let usage = turn.response.usage;
        let mut step = json!({
            "timestamp": turn.at,
            "source": "agent",
            "model_name": turn.response.model,
            "message": words.join("\n"),
            "llm_call_count": 1,
            "metrics": {
                "prompt_tokens": asked(&usage),
                "completion_tokens": usage.output,
                "cached_tokens": usage.cache_read,
                "cost_usd": turn.cost_usd,
                "extra": {"duration_ms": turn.duration_ms, "estimated": usage.estimated},
            },
        });
        if turn.summary {
            step["extra"] = json!({"summary": true});
        }
        if !calls.is_empty() {
            step["tool_calls"] = Value::Array(calls);
        }
        if !results.is_empty() {
            step["observation"] = json!({"results": results});
        }
        self.add(step);
    }
}
