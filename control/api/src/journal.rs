//! The append-only, hash-chained list of events of an attempt, or of a server that lends its tools to other
//! agents.
//!
//! A journal is JSON lines, one [`Event`] each. An event's `hash` is the SHA-256 of the canonical JSON
//! of the event without `hash`; its `prev` is the hash of the event before, 64 zeros for the first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bowout::{BowOut, Cost, Stage};
use crate::budget::Refusal;
use crate::evidence::{ChangedFile, Origin, Verdict};
use crate::job::JobRecord;
use crate::tool::{CallRecord, FileChange, FolderChange, ToolOutcome};
use crate::triage::{Feasibility, TaskFeatures};
use crate::{Attempt, Digest, RepoId, TaskId, canonical_json};

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Position, from 0.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Hash of the event before.
    pub prev: Digest,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Hash of this event.
    pub hash: Digest,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum EventKind {
    /// The attempt began.
    AttemptStarted(Box<AttemptStarted>),
    /// A server of tools began: the first event of its journal, in the place of an attempt's.
    ServingStarted(Box<ServingStarted>),
    /// A client introduced itself to a server of tools.
    ClientJoined {
        /// Its number, from 1; the ids of its calls begin with it.
        client: u32,
        /// What it calls itself, cut at 200 bytes.
        name: String,
        /// Its version by its own word, cut in the same way.
        version: String,
        /// The version of the protocol that is spoken with it.
        protocol: String,
    },
    /// A stage began.
    StageStarted {
        /// The stage.
        stage: Stage,
    },
    /// A stage ended.
    StageFinished {
        /// The stage.
        stage: Stage,
        /// One line: what it found.
        detail: String,
        /// Milliseconds.
        wall_ms: u64,
        /// Digest of what it hands to the next stages, of those whose work is not done again when the attempt is gone on
        /// with or replayed; the text is beside the journal, in `artifacts`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Digest>,
    },
    /// The process that worked on the attempt died, and another goes on with it.
    Resumed {
        /// The stage it goes on in.
        stage: Stage,
        /// How many events before this one count no more: those of a stage that is done again from its begin.
        dead: u64,
        /// Milliseconds for which nobody worked.
        idle_ms: u64,
    },
    /// What the repository, its history and the policy say of the task, before anybody was asked.
    Looked {
        /// What speaks against it.
        features: TaskFeatures,
        /// What the features were made of, a line each.
        because: Vec<String>,
    },
    /// What is known of the task and was read in it, and whether it is worth beginning.
    Triaged {
        /// What speaks against it.
        features: TaskFeatures,
        /// The judgement.
        feasibility: Feasibility,
    },
    /// Somebody of the team who has not made the change has read it.
    Reviewed {
        /// Whether it must not be published.
        veto: bool,
        /// What was found, a line each.
        findings: Vec<String>,
    },
    /// Who works on the task.
    OriginChosen {
        /// A playbook or a model.
        origin: Origin,
        /// Why.
        because: String,
    },
    /// A model is asked. Where no answer follows, the process died while it waited, and what is set aside counts as spent.
    ModelAsked {
        /// Who asks.
        role: AgentRole,
        /// Digest of the request's canonical JSON.
        request: Digest,
        /// The most that the answer may cost, US dollars.
        reserved_usd: f64,
        /// Whether it is asked to sum up the older part of its conversation, and not for what to do next.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        summary: bool,
    },
    /// A model was not asked: the most that its answer can take does not fit into what may be spent in a day. What others
    /// spend is no function of this record, so a replay takes it from here.
    BudgetRefused {
        /// The cap.
        refusal: Refusal,
    },
    /// A model answered.
    ModelCall {
        /// Digest of the request's canonical JSON.
        request: Digest,
        /// The answer, in the model crate's own form; what a replay plays.
        response: Value,
        /// US dollars.
        cost_usd: f64,
        /// Milliseconds.
        duration_ms: u64,
    },
    /// A model call failed for good.
    ModelFailed {
        /// Digest of the request's canonical JSON.
        request: Digest,
        /// The error, in words.
        error: String,
    },
    /// A tool was called.
    ToolCall {
        /// The call's id in this journal.
        id: String,
        /// The arguments.
        args: Value,
        /// The answer.
        outcome: ToolOutcome,
        /// What it did.
        record: Box<CallRecord>,
    },
    /// Calls of another journal were undone; the one event of a journal of its own for each time.
    Undone(Box<Undone>),
    /// A container ran.
    Job {
        /// The stage it served, and the tree.
        label: String,
        /// The run.
        record: Box<JobRecord>,
    },
    /// The workspace was frozen.
    Frozen {
        /// Digest of the patch's bytes.
        patch: Digest,
        /// The tree it makes of the base.
        tree: String,
        /// The changed files.
        files: Vec<ChangedFile>,
    },
    /// The verifier's evidence.
    Verified {
        /// Digest of the evidence's canonical JSON.
        evidence: Digest,
        /// Number of the try, from 1.
        round: u32,
    },
    /// The gate's verdict.
    Judged {
        /// The verdict.
        verdict: Verdict,
    },
    /// The verifier's findings went back to the model, in these words; a replay says the same ones, since a job's
    /// output holds times and so differs from run to run.
    FindingsTold {
        /// The round of verification they come from, from 1.
        round: u32,
        /// The words.
        text: String,
    },
    /// The end: a branch was made.
    Published {
        /// The branch.
        branch: String,
        /// The commit on it.
        commit: String,
        /// The patch.
        patch: Digest,
        /// What it cost.
        cost: Cost,
    },
    /// The end: no pull request.
    BowedOut {
        /// The answer.
        bow_out: Box<BowOut>,
    },
    /// The end: infrastructure failed; not the agent's fault.
    Failed {
        /// The error with its causes.
        error: String,
    },
    /// The end: somebody stopped it.
    Cancelled,
    /// The end of a server of tools.
    ServingEnded {
        /// How many clients introduced themselves.
        clients: u32,
        /// How many calls there were.
        calls: u64,
    },
}

/// Who of the team asks a model. Each has a conversation and a prompt of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentRole {
    /// Reads the task.
    Triage,
    /// Writes a test that fails for the task's reason.
    Reproducer,
    /// Says in a few lines what is to change, and where.
    Planner,
    /// Changes the code.
    Coder,
    /// Reads the finished change, and may veto it.
    Reviewer,
}

impl AgentRole {
    /// Every role.
    pub const ALL: &[Self] = &[Self::Triage, Self::Reproducer, Self::Planner, Self::Coder, Self::Reviewer];

    /// Returns the role's name as it is written in journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Triage => "triage",
            Self::Reproducer => "reproducer",
            Self::Planner => "planner",
            Self::Coder => "coder",
            Self::Reviewer => "reviewer",
        }
    }
}

/// What an attempt started with; all a replay needs besides the repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptStarted {
    /// Version of the journal's format: 1.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The repository's name.
    pub repo: RepoId,
    /// Where the repository was (a path or URL without credentials).
    pub location: String,
    /// The base commit.
    pub base: String,
    /// The task's text, as it was given.
    pub text: String,
    /// The policy layers by name, with their text; what the grant was made from.
    pub policy: Vec<PolicyLayerText>,
    /// Digest of the grant.
    pub grant: Digest,
    /// The components that serve the tools, by the tools' names; part of the grant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, Digest>,
    /// Who asked for it, as a policy's `[submit]` names them; none in journals from before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asker: Option<String>,
    /// The model's spec, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Who works beside the coder, and by which model; none in journals of a coder alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub team: BTreeMap<AgentRole, Option<String>>,
    /// Digests of the prompts of the team, by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<AgentRole, Digest>,
    /// The price the operator gave for it, `IN,OUT` in US dollars per million tokens; none for the price
    /// table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_price: Option<String>,
    /// The gate's weights, where they are not those of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<serde_json::Value>,
    /// The weights of triage, where they are not those of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triage: Option<serde_json::Value>,
}

/// What a server of tools serves, and by which policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServingStarted {
    /// Version of the journal's format: 1.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// The repository's name.
    pub repo: RepoId,
    /// The folder that is served.
    pub location: String,
    /// How it is reached: `stdio`, or an address.
    pub transport: String,
    /// The policy layers by name, with their text; what the grant was made from.
    pub policy: Vec<PolicyLayerText>,
    /// Digest of the grant.
    pub grant: Digest,
    /// The tools that are offered, by name.
    pub tools: Vec<String>,
    /// The components that serve them, by name; part of the grant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, Digest>,
}

/// What undoing calls did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// Version of the journal's format: 1.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Hash of the first event of the journal whose calls were undone.
    pub journal: Digest,
    /// The numbers of the calls' events there, in the order in which they were undone.
    pub calls: Vec<u64>,
    /// The folder.
    pub location: String,
    /// Digest of the grant that allowed it.
    pub grant: Digest,
    /// The files it changed, by path.
    pub files: Vec<FileChange>,
    /// The folders it made or removed, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderChange>,
}

/// A policy layer's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyLayerText {
    /// `operator`, `repository`, `task`; `base` for a file that one of the operator's extends.
    pub layer: String,
    /// The file's name.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Why a journal is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A line is not an event.
    #[error("line {line}: not a journal event: {reason}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// Events are missing, doubled or out of order.
    #[error("line {line}: event {found} where {expected} was expected; events are missing or out of order")]
    OutOfOrder {
        /// Counted from 1.
        line: usize,
        /// The number found.
        found: u64,
        /// The number expected.
        expected: u64,
    },
    /// The event before was changed or removed.
    #[error(
        "line {line}: the hash of the event before does not match; something before this line was changed"
    )]
    BrokenLink {
        /// Counted from 1.
        line: usize,
    },
    /// The event itself was changed.
    #[error("line {line}: the event does not match its own hash; this line was changed")]
    BadHash {
        /// Counted from 1.
        line: usize,
    },
    /// The last line has no newline: the writer was cut off.
    #[error("line {line}: the last line is cut off")]
    Truncated {
        /// Counted from 1.
        line: usize,
    },
    /// There is nothing.
    #[error("the journal is empty")]
    Empty,
}

/// The end of a journal, to which the next event is chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    next: u64,
    head: Digest,
}

impl Default for Chain {
    fn default() -> Self {
        Self { next: 0, head: Digest::zero() }
    }
}

impl Chain {
    /// Returns the chain that goes on after an event.
    pub fn after(last: &Event) -> Self {
        Self { next: last.seq + 1, head: last.hash.clone() }
    }

    /// Returns the hash of the last event, 64 zeros before the first.
    pub fn head(&self) -> &Digest {
        &self.head
    }

    /// Returns the number of events so far.
    pub fn length(&self) -> u64 {
        self.next
    }

    /// Makes the next event and moves the end to it.
    pub fn append(&mut self, at: Timestamp, kind: EventKind) -> Event {
        let mut event = Event { seq: self.next, at, prev: self.head.clone(), kind, hash: Digest::zero() };
        event.hash = hash(&event);
        self.next += 1;
        self.head = event.hash.clone();
        event
    }
}

fn hash(event: &Event) -> Digest {
    let mut value = serde_json::to_value(event).expect("events serialise: string keys, finite numbers");
    value.as_object_mut().expect("an event is an object").remove("hash");
    Digest::of(canonical_json(&value))
}

/// Returns of each event whether it counts: those of a stage that was begun again when an attempt was gone on with do not,
/// nor does the event that says so.
pub fn counted(events: &[Event]) -> Vec<bool> {
    let mut counts = vec![true; events.len()];
    for (at, event) in events.iter().enumerate() {
        if let EventKind::Resumed { dead, .. } = event.kind {
            let first = at.saturating_sub(usize::try_from(dead).unwrap_or(usize::MAX));
            counts[first..=at].fill(false);
        }
    }
    counts
}

/// Returns the events that count.
pub fn counting(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().zip(counted(events)).filter_map(|(event, counts)| counts.then_some(event))
}

/// Reads a journal and checks its chain.
pub fn parse(text: &str) -> Result<Vec<Event>, ChainError> {
    let mut events: Vec<Event> = Vec::new();
    let mut prev = Digest::zero();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(ChainError::Truncated { line: number });
        };
        let malformed = |e: serde_json::Error| ChainError::Malformed { line: number, reason: e.to_string() };
        let value: Value = serde_json::from_str(line).map_err(malformed)?;
        let event: Event = serde_json::from_value(value.clone()).map_err(malformed)?;
        if event.seq != index as u64 {
            return Err(ChainError::OutOfOrder { line: number, found: event.seq, expected: index as u64 });
        }
        if event.prev != prev {
            return Err(ChainError::BrokenLink { line: number });
        }
        // Hashed over the line's own value: a key this version does not know still counts.
        let mut bare = value;
        bare.as_object_mut().expect("it parsed as an event").remove("hash");
        if Digest::of(canonical_json(&bare)) != event.hash {
            return Err(ChainError::BadHash { line: number });
        }
        prev = event.hash.clone();
        events.push(event);
    }
    if events.is_empty() {
        return Err(ChainError::Empty);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> String {
        let mut chain = Chain::default();
        let mut text = String::new();
        for kind in [
            EventKind::StageStarted { stage: Stage::Intake },
            EventKind::StageFinished { stage: Stage::Intake, detail: "ok".into(), wall_ms: 3, output: None },
            EventKind::ModelFailed { request: Digest::of("x"), error: "e".into() },
            EventKind::ModelCall {
                request: Digest::of("x"),
                response: Value::Null,
                cost_usd: 0.1 + 0.2,
                duration_ms: 1,
            },
            EventKind::Cancelled,
        ] {
            let event = chain.append(Timestamp::UNIX_EPOCH, kind);
            text.push_str(&serde_json::to_string(&event).unwrap());
            text.push('\n');
        }
        text
    }

    #[test]
    fn a_whole_journal_parses_to_what_was_written() {
        let events = parse(&journal()).unwrap();
        assert_eq!(events.len(), 5);
        assert_eq!(events[4].kind, EventKind::Cancelled);
    }

    #[test]
    fn no_number_comes_back_another_one() {
        let mut chain = Chain::default();
        let mut text = String::new();
        for n in 1..20_000_u32 {
            let cost = Cost {
                usd: f64::from(n) / 7.0e6,
                wall_s: f64::from(n).sqrt() * 1.000_000_1,
                ..Cost::default()
            };
            let (branch, commit, patch) = (String::new(), String::new(), Digest::zero());
            let event =
                chain.append(Timestamp::UNIX_EPOCH, EventKind::Published { branch, commit, patch, cost });
            text.push_str(&serde_json::to_string(&event).unwrap());
            text.push('\n');
        }
        assert_eq!(parse(&text).map(|events| events.len()), Ok(19_999));
    }

    #[test]
    fn every_way_of_changing_it_is_found() {
        let text = journal();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        assert_eq!(parse(""), Err(ChainError::Empty));
        assert_eq!(parse(text.trim_end()), Err(ChainError::Truncated { line: 5 }));
        assert_eq!(parse(&text.replace("\"ok\"", "\"no\"")), Err(ChainError::BadHash { line: 2 }));
        assert_eq!(
            parse(&[lines[0], lines[2]].concat()),
            Err(ChainError::OutOfOrder { line: 2, found: 2, expected: 1 })
        );
        let forged = lines[1].replace("\"ok\"", "\"no\"");
        let mut value: Value = serde_json::from_str(&forged).unwrap();
        value.as_object_mut().unwrap().remove("hash");
        let rehashed = Digest::of(canonical_json(&value));
        value["hash"] = Value::from(rehashed.as_str());
        let forged = format!("{value}\n");
        assert_eq!(parse(&[lines[0], &forged, lines[2]].concat()), Err(ChainError::BrokenLink { line: 3 }));
        assert!(matches!(parse("{}\n"), Err(ChainError::Malformed { line: 1, .. })));
    }
}
