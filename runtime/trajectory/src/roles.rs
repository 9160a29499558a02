//! What is known of the team beside a journal: prompts and tools, handed over by who has them.

use std::collections::BTreeMap;

use gloaming_api::Digest;
use gloaming_api::journal::{AgentRole, AttemptStarted};
use gloaming_model::ToolDef;
use serde_json::{Value, json};

/// Prompts and tools by role.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// The prompts of this version.
    pub prompts: BTreeMap<AgentRole, String>,
    /// The tools on offer, where they are those of the attempt.
    pub tools: BTreeMap<AgentRole, Vec<ToolDef>>,
}

impl Roles {
    /// Returns a role's prompt where it is the one that the attempt's journal names.
    pub fn prompt(&self, started: &AttemptStarted, role: AgentRole) -> Option<&str> {
        let text = self.prompts.get(&role)?;
        (started.prompts.get(&role) == Some(&Digest::of(text))).then_some(text)
    }

    /// Returns a role's tools as OpenAI's function calling has them.
    pub fn tools(&self, role: AgentRole) -> Option<Value> {
        let tools = self.tools.get(&role)?.iter().map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.input_schema,
            }})
        });
        Some(Value::Array(tools.collect()))
    }
}
