//! One of the team: a conversation with a model until it says it is done, gives up, is stuck or out of budget. Each role has
//! a prompt, tools and ends of its own (`roles.rs`); the loop is the same.

mod context;
mod loops;
mod recall;
mod roles;
#[cfg(test)]
mod tests;
mod untrusted;

use std::collections::VecDeque;
use std::time::Duration;

use gloaming_api::bowout::{Attempted, shorten};
use gloaming_api::journal::AgentRole;
use gloaming_api::{Digest, ReasonCode};
use gloaming_model::{Block, INVALID_JSON, Message, Request, Response, Role, Stop, ToolDef};
use serde_json::Value;

use crate::Budget;
use context::Conversation;
use loops::Loops;
use recall::Results;
use roles::{End, GivenUp};

pub use context::SHOWN;
pub use recall::recalls;
pub use roles::{Done, PLAN_LINES, Plan, Reading, Reproduced, Review, ReviewFinding, ends, prompt, prompts};
pub use untrusted::{Source, fenced};

/// How often a model that says something and calls nothing is told to go on.
const NUDGES: u32 = 2;

/// The most tokens of a summary.
const SUMMARY_TOKENS: u32 = 1500;

/// How often findings of the verifier are taken.
const ROUNDS: u32 = 2;

/// What one of the team is given.
#[derive(Debug, Clone)]
pub struct Brief {
    /// Who it is.
    pub role: AgentRole,
    /// The task's text, as somebody wrote it.
    pub task: String,
    /// The tools it may call.
    pub tools: Vec<ToolDef>,
    /// What the system itself found out about the repository, one sentence each.
    pub facts: Vec<String>,
    /// The repository's instruction files: path and text.
    pub instructions: Vec<(String, String)>,
    /// What else it is shown.
    pub shown: Vec<Shown>,
    /// What it may spend.
    pub budget: Budget,
    /// The most tokens of one answer.
    pub max_tokens: u32,
}

/// Something that one of the team is shown: a plan, a patch, what was seen of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Whose words it is.
    pub source: Source,
    /// Our own words above it, in one line.
    pub title: &'static str,
    /// It.
    pub text: String,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The work begins.
    Start,
    /// The model answered.
    Answer {
        /// The answer.
        response: Response,
        /// What it cost, US dollars.
        cost_usd: f64,
    },
    /// The model gave no answer, for good.
    ModelFailed {
        /// The error, in words.
        message: String,
    },
    /// A tool call ended.
    ToolDone {
        /// The call's id, from [`Action::CallTool`].
        id: String,
        /// The tool.
        name: String,
        /// Whether it did what it was asked to.
        ok: bool,
        /// What the model is shown.
        text: String,
        /// Digest of the whole outcome.
        output_digest: Digest,
    },
    /// The verifier does not accept the work; after [`Action::Done`] only.
    Findings {
        /// What it found.
        text: String,
    },
    /// Time passed. Gives no action; it is weighed before the next model call.
    Clock {
        /// Since the attempt began.
        elapsed: Duration,
    },
}

/// What is to be done. At most one action is open at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the model.
    CallModel(Request),
    /// Call a tool.
    CallTool {
        /// Unique within the attempt.
        id: String,
        /// The tool: one of the brief's.
        name: String,
        /// The arguments: a JSON object.
        args: Value,
    },
    /// The model says that it is done.
    Done(Done),
    /// The end without a patch.
    BowOut {
        /// Why.
        code: ReasonCode,
        /// One or two sentences, at most 280 characters.
        summary: String,
        /// What a person would have been asked.
        questions: Vec<String>,
        /// What was tried.
        attempted: Vec<Attempted>,
    },
}

/// The state of one of the team.
#[derive(Debug, Clone)]
pub struct Agent {
    brief: Brief,
    conversation: Conversation,
    loops: Loops,
    phase: Phase,
    /// Calls of the last answer that were not made yet.
    pending: VecDeque<Call>,
    /// Results of the last answer's calls, in its order.
    results: Vec<Block>,
    /// What tools answered, whole.
    earlier: Results,
    /// Bytes of results that the model was handed, those that it was shown again among them.
    handed: u64,
    /// Of them, what was shown again.
    recalled: u64,
    calls: u64,
    steps: u32,
    spent_usd: f64,
    elapsed: Duration,
    nudges: u32,
    rounds: u32,
    said: String,
}

/// What it waits for. An event that does not fit is ignored: a late answer must not start anything.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    New,
    Model,
    /// Asked for a summary of the older part of the conversation.
    Summary,
    Tool(Call),
    Frozen(Option<String>),
    Over,
}

/// One tool call that the model asks for.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    /// Unique within the attempt.
    id: String,
    /// The same as a number, by which its result can be asked for again.
    number: u64,
    /// The model's own id, which its result must carry.
    theirs: String,
    name: String,
    args: Value,
}

impl Agent {
    /// Makes one that has not begun.
    pub fn new(brief: Brief) -> Self {
        Self {
            conversation: Conversation::new(&brief),
            brief,
            loops: Loops::default(),
            phase: Phase::New,
            pending: VecDeque::new(),
            results: Vec::new(),
            earlier: Results::default(),
            handed: 0,
            recalled: 0,
            calls: 0,
            steps: 0,
            spent_usd: 0.0,
            elapsed: Duration::ZERO,
            nudges: 0,
            rounds: 0,
            said: String::new(),
        }
    }

    /// Takes an event and returns what is to be done next.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match (event, self.phase.clone()) {
            (Event::Clock { elapsed }, _) => {
                self.elapsed = self.elapsed.max(elapsed);
                Vec::new()
            }
            (Event::Start, Phase::New) => self.ask(),
            (Event::Answer { response, cost_usd }, Phase::Model) => self.answer(response, cost_usd),
            (Event::Answer { response, cost_usd }, Phase::Summary) => {
                self.spend(cost_usd);
                self.conversation.sum_up(&said(&response.blocks).join("\n"));
                self.ask()
            }
            (Event::ModelFailed { message }, Phase::Model | Phase::Summary) => {
                self.end(ReasonCode::Stuck, format!("The model gave no answer: {message}"), Vec::new())
            }
            (Event::ToolDone { id, ok, text, output_digest, .. }, Phase::Tool(call)) if id == call.id => {
                self.tool_done(&call, ok, &text, &output_digest)
            }
            (Event::Findings { text }, Phase::Frozen(theirs)) => self.findings(theirs, text),
            _ => Vec::new(),
        }
    }

    /// Returns how many bytes of earlier results the model was shown again: they count as what tools answer does.
    pub fn recalled_bytes(&self) -> u64 {
        self.recalled
    }

    /// Returns whether the model is asked to sum up the older part of the conversation, and not for what to do next.
    pub fn is_summing_up(&self) -> bool {
        self.phase == Phase::Summary
    }

    fn ask(&mut self) -> Vec<Action> {
        let budget = self.brief.budget;
        let out = if self.steps >= budget.steps {
            Some(format!("All {} steps are used up.", budget.steps))
        } else if self.spent_usd >= budget.cost_usd && self.spent_usd > 0.0 {
            Some(format!("${:.2} of ${:.2} are spent.", self.spent_usd, budget.cost_usd))
        } else if self.elapsed >= budget.wall {
            Some(format!("The {} seconds of the budget have passed.", budget.wall.as_secs()))
        } else {
            None
        };
        if let Some(why) = out {
            return self.end(ReasonCode::BudgetExhausted, why, Vec::new());
        }
        self.steps += 1;
        self.conversation.compact();
        if self.conversation.is_too_long() {
            self.phase = Phase::Summary;
            let text = format!("The older part of the log:\n{}", self.conversation.older());
            return vec![Action::CallModel(Request {
                system: roles::SUMMARY.to_owned(),
                messages: vec![user(vec![Block::Text { text }])],
                tools: Vec::new(),
                max_tokens: self.brief.max_tokens.min(SUMMARY_TOKENS),
            })];
        }
        self.phase = Phase::Model;
        let mut tools = self.brief.tools.clone();
        tools.extend(recalls(&tools));
        tools.extend(roles::ends(self.brief.role));
        vec![Action::CallModel(Request {
            system: roles::prompt(self.brief.role).to_owned(),
            messages: self.conversation.messages().to_vec(),
            tools,
            max_tokens: self.brief.max_tokens,
        })]
    }

    fn spend(&mut self, cost_usd: f64) {
        self.spent_usd += if cost_usd.is_finite() { cost_usd.max(0.0) } else { f64::INFINITY };
    }

    fn answer(&mut self, response: Response, cost_usd: f64) -> Vec<Action> {
        self.spend(cost_usd);
        if let Some(last) = said(&response.blocks).iter().rev().find(|text| !text.trim().is_empty()) {
            self.said = shorten(last.trim(), 400);
        }
        let mut blocks: Vec<Block> = Vec::new();
        self.pending.clear();
        self.results.clear();
        for block in response.blocks {
            match block {
                // A provider would refuse the conversation if it were given an empty text back.
                Block::Text { text } if text.trim().is_empty() => {}
                Block::ToolUse { id, name, input } => {
                    self.calls += 1;
                    let call = Call {
                        id: format!("call-{}", self.calls),
                        number: self.calls,
                        theirs: id.clone(),
                        name: name.clone(),
                        args: input.clone(),
                    };
                    self.pending.push_back(call);
                    blocks.push(Block::ToolUse { id, name, input });
                }
                // A model cannot give itself a tool's result.
                Block::ToolResult { .. } => {}
                text @ Block::Text { .. } => blocks.push(text),
            }
        }
        if self.pending.is_empty() {
            return self.only_words(blocks, response.stop);
        }
        self.nudges = 0;
        self.conversation.push(Message { role: Role::Assistant, blocks });
        self.next_call()
    }

    /// An answer without a call does nothing; a model is told so, but not for ever.
    fn only_words(&mut self, mut blocks: Vec<Block>, stop: Stop) -> Vec<Action> {
        if stop == Stop::Refusal {
            let summary = format!("The model refused the task: {}", self.said);
            return self.end(ReasonCode::OutOfScope, summary, Vec::new());
        }
        if self.nudges >= NUDGES {
            let summary =
                format!("The model stopped calling tools without finishing. It last said: {}", self.said);
            return self.end(ReasonCode::Stuck, summary, Vec::new());
        }
        self.nudges += 1;
        if blocks.is_empty() {
            blocks.push(Block::Text { text: "(nothing)".into() });
        }
        self.conversation.push(Message { role: Role::Assistant, blocks });
        let told = if stop == Stop::MaxTokens {
            "Your answer was cut off at its length limit. Work in smaller steps: one tool call at a time, `edit` instead \
             of writing whole files."
        } else {
            let ends = roles::names_of_ends(self.brief.role).join("` or `");
            &format!(
                "Words alone change nothing. Call a tool; when the work is done or cannot be, call `{ends}`."
            )
        };
        self.conversation.push(user(vec![Block::Text { text: told.into() }]));
        self.ask()
    }

    /// Makes the next call of the last answer, or asks the model when all are made.
    fn next_call(&mut self) -> Vec<Action> {
        let ends = roles::names_of_ends(self.brief.role);
        while let Some(call) = self.pending.pop_front() {
            if let Some(marker) = call.args.get(INVALID_JSON) {
                let excerpt = shorten(&marker.to_string(), 200);
                self.refuse(
                    &call,
                    format!("the arguments of {} are not JSON: {excerpt}. Call it again.", call.name),
                );
            } else if !call.args.is_object() {
                self.refuse(&call, format!("the arguments of {} must be a JSON object.", call.name));
            } else if ends.contains(&call.name.as_str()) {
                if let Some(actions) = self.ending(&call) {
                    return actions;
                }
            } else if self.brief.tools.iter().any(|tool| tool.name == call.name) {
                self.phase = Phase::Tool(call.clone());
                return vec![Action::CallTool { id: call.id, name: call.name, args: call.args }];
            } else if call.name == recall::RECALL && recalls(&self.brief.tools).is_some() {
                self.recall(&call);
            } else {
                let names: Vec<&str> = self.brief.tools.iter().map(|tool| tool.name.as_str()).collect();
                let told = format!(
                    "there is no tool {:?}; there are: {}.",
                    call.name,
                    names.iter().chain(&ends).copied().collect::<Vec<_>>().join(", ")
                );
                self.refuse(&call, told);
            }
            if let Some(why) = self.loops.stuck() {
                return self.stuck(&why);
            }
        }
        let results = std::mem::take(&mut self.results);
        self.conversation.push(user(results));
        self.ask()
    }

    /// Shows an earlier result again; nothing is called for that.
    fn recall(&mut self, call: &Call) {
        if self.handed >= self.brief.budget.tool_bytes {
            let told = "tools have answered with as much as the budget lets them: nothing is shown again";
            return self.refuse(call, told.to_owned());
        }
        match self.earlier.recall(&call.args) {
            Err(told) => self.refuse(call, told),
            Ok(text) => {
                let bytes = text.len().min(context::SHOWN) as u64;
                (self.handed, self.recalled) = (self.handed + bytes, self.recalled + bytes);
                self.loops.note(self.steps, &call.name, &call.args, true, &Digest::of(&text));
                let content = untrusted::fenced(
                    Source::Tool,
                    &context::shown(&text, context::HEAD, context::TAIL, None),
                );
                self.results.push(Block::ToolResult { id: call.theirs.clone(), content, is_error: false });
            }
        }
    }

    fn refuse(&mut self, call: &Call, told: String) {
        self.loops.note(self.steps, &call.name, &call.args, false, &Digest::of(&told));
        self.results.push(Block::ToolResult { id: call.theirs.clone(), content: told, is_error: true });
    }

    fn tool_done(&mut self, call: &Call, ok: bool, text: &str, output: &Digest) -> Vec<Action> {
        self.loops.note(self.steps, &call.name, &call.args, ok, output);
        self.earlier.keep(call.number, text);
        self.handed += text.len().min(context::SHOWN) as u64;
        let number = recalls(&self.brief.tools).map(|_| call.number);
        let shown = context::shown(text, context::HEAD, context::TAIL, number);
        let fenced = untrusted::fenced(source_of(&call.name), &shown);
        let content = match number {
            Some(number) => context::numbered(number, text, fenced),
            None => fenced,
        };
        self.results.push(Block::ToolResult { id: call.theirs.clone(), content, is_error: !ok });
        if let Some(why) = self.loops.stuck() {
            return self.stuck(&why);
        }
        self.next_call()
    }

    /// Ends the work; none when calls stand behind it, since they were made on another idea of being done.
    fn ending(&mut self, call: &Call) -> Option<Vec<Action>> {
        match roles::read(self.brief.role, &call.name, &call.args) {
            Err(usage) => self.refuse(call, usage),
            Ok(End::GivenUp(GivenUp { reason, summary, questions })) => {
                return Some(self.end(reason, summary, questions));
            }
            Ok(End::Done(_)) if !self.pending.is_empty() => {
                let told = format!("{} must be the last call of an answer; nothing was ended.", call.name);
                self.refuse(call, told);
            }
            Ok(End::Done(done)) => {
                self.phase = Phase::Frozen(Some(call.theirs.clone()));
                return Some(vec![Action::Done(done)]);
            }
        }
        None
    }

    fn findings(&mut self, theirs: Option<String>, text: String) -> Vec<Action> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return self.end(
                ReasonCode::VerificationFailed,
                "The change did not pass verification after two corrections.".into(),
                Vec::new(),
            );
        }
        let left = ROUNDS - self.rounds;
        let more = if left == 0 {
            "This is the last correction."
        } else {
            "One more correction is possible after this."
        };
        let told = format!(
            "Not accepted. {more} Correct the change and call `finish` again, or `give_up`.\n{}",
            untrusted::fenced(Source::Job, &context::shown(&text, context::HEAD, context::TAIL, None))
        );
        let mut blocks = std::mem::take(&mut self.results);
        match theirs {
            Some(id) => blocks.push(Block::ToolResult { id, content: told, is_error: true }),
            None => blocks.push(Block::Text { text: told }),
        }
        self.conversation.push(user(blocks));
        self.ask()
    }

    fn stuck(&mut self, why: &str) -> Vec<Action> {
        self.end(ReasonCode::Stuck, format!("The work went in circles: {why}."), Vec::new())
    }

    fn end(&mut self, code: ReasonCode, summary: String, questions: Vec<String>) -> Vec<Action> {
        self.phase = Phase::Over;
        let approach = if self.said.is_empty() {
            "the model's tool calls, see the journal".into()
        } else {
            self.said.clone()
        };
        let outcome = format!(
            "{} steps, {} tool calls, ${:.4}: {}",
            self.steps,
            self.calls,
            self.spent_usd,
            code.as_str()
        );
        vec![Action::BowOut {
            code,
            summary: shorten(&summary, 280),
            questions,
            attempted: vec![Attempted { approach, outcome }],
        }]
    }
}

/// Whose words a tool's answer is: what `check` shows was printed by code of the repository.
fn source_of(tool: &str) -> Source {
    if tool == "check" { Source::Job } else { Source::Tool }
}

/// Returns the words of an answer.
fn said(blocks: &[Block]) -> Vec<&str> {
    blocks
        .iter()
        .filter_map(|block| if let Block::Text { text } = block { Some(text.as_str()) } else { None })
        .collect()
}

fn user(blocks: Vec<Block>) -> Message {
    Message { role: Role::User, blocks }
}
