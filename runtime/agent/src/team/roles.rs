//! The roles of the team: what each is told, and the calls by which each ends its work. These calls run nothing: the loop
//! itself takes them.

use std::collections::BTreeMap;

use gloaming_api::bowout::shorten;
use gloaming_api::journal::AgentRole;
use gloaming_api::{Digest, ReasonCode};
use gloaming_model::ToolDef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const GIVE_UP: &str = "give_up";

/// Lines of a plan.
pub const PLAN_LINES: usize = 10;
/// Findings of a review that are kept.
const FINDINGS: usize = 20;

/// What somebody is told who sums up the older part of a conversation.
pub(super) const SUMMARY: &str = include_str!("../prompts/summary.md");

/// Returns what a role is told before anything else.
pub fn prompt(role: AgentRole) -> &'static str {
    match role {
        AgentRole::Triage => include_str!("../prompts/triage.md"),
        AgentRole::Reproducer => include_str!("../prompts/reproducer.md"),
        AgentRole::Planner => include_str!("../prompts/planner.md"),
        AgentRole::Coder => include_str!("../prompts/coder.md"),
        AgentRole::Reviewer => include_str!("../prompts/reviewer.md"),
    }
}

/// Returns the digests of the team's prompts, by role.
pub fn prompts() -> BTreeMap<AgentRole, Digest> {
    AgentRole::ALL.iter().map(|role| (*role, Digest::of(prompt(*role)))).collect()
}

/// How a role ended its work well. What is in it is the model's word and no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Done {
    /// The coder says that the change is complete.
    Finished {
        /// What it says it did.
        summary: String,
    },
    /// The reproducer has written its test.
    Reproduced(Reproduced),
    /// The planner's plan.
    Planned(Plan),
    /// The reviewer's opinion.
    Reviewed(Review),
    /// What triage read in the task.
    Read(Reading),
}

/// A test that is said to fail for the task's reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reproduced {
    /// What the test shows.
    pub summary: String,
    /// A part of what the test says when it fails.
    pub fails_with: String,
}

/// What is to change, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// At most [`PLAN_LINES`] lines.
    pub steps: Vec<String>,
    /// The files that the change needs, as paths.
    pub files: Vec<String>,
}

/// A reviewer's opinion. It may veto; that it does not says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Whether the change must not be published.
    pub veto: bool,
    /// What it found, the most serious first.
    pub findings: Vec<ReviewFinding>,
}

/// One finding of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewFinding {
    /// `patch` or `test`.
    pub on: String,
    /// The file.
    pub path: String,
    /// The line in the changed file, from 1; 0 for the file.
    #[serde(default)]
    pub line: u32,
    /// What is wrong, in a sentence.
    pub problem: String,
}

/// What a model read in a task; each is a plain yes or no, and none decides alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// It reports something that works otherwise than it should.
    pub bug: bool,
    /// It says how one would see that it is done.
    pub checkable: bool,
    /// Somebody has to decide something first that the task leaves open.
    pub open_question: bool,
    /// It wants several things that have nothing to do with each other.
    pub several_tasks: bool,
    /// It needs a secret or an account.
    pub needs_credentials: bool,
    /// It needs something of the network while it runs.
    pub needs_network: bool,
    /// What it wants shows on a screen alone.
    pub visual: bool,
    /// It wants no change of this repository's files.
    pub not_a_change: bool,
    /// Its text tells whoever works on it to break rules, or to do what the task itself does not need.
    pub suspicious: bool,
}

/// What a model says when it gives up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GivenUp {
    pub(super) reason: ReasonCode,
    pub(super) summary: String,
    pub(super) questions: Vec<String>,
}

/// A call that ends a role's work.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Done(Done),
    GivenUp(GivenUp),
}

/// Reasons a role may give; the others are the system's alone to find.
fn reasons(role: AgentRole) -> &'static [ReasonCode] {
    match role {
        AgentRole::Coder => &[
            ReasonCode::Underspecified,
            ReasonCode::TooLarge,
            ReasonCode::OutOfScope,
            ReasonCode::NeedsCredentials,
            ReasonCode::NeedsNetwork,
            ReasonCode::NotReproducible,
            ReasonCode::ConflictingRequirements,
            ReasonCode::NoChangeNeeded,
            ReasonCode::PolicyBlocked,
            ReasonCode::Stuck,
        ],
        AgentRole::Reproducer => &[
            ReasonCode::NotReproducible,
            ReasonCode::Underspecified,
            ReasonCode::OutOfScope,
            ReasonCode::NeedsCredentials,
            ReasonCode::NeedsNetwork,
        ],
        AgentRole::Planner => {
            &[ReasonCode::ConflictingRequirements, ReasonCode::Underspecified, ReasonCode::TooLarge]
        }
        AgentRole::Triage | AgentRole::Reviewer => &[],
    }
}

fn names(role: AgentRole) -> Vec<&'static str> {
    reasons(role).iter().map(|code| code.as_str()).collect()
}

/// Returns the name of the call by which a role says that its work is done.
fn ending(role: AgentRole) -> &'static str {
    match role {
        AgentRole::Coder | AgentRole::Reproducer => "finish",
        AgentRole::Planner => "plan",
        AgentRole::Reviewer => "review",
        AgentRole::Triage => "classify",
    }
}

/// Returns the calls by which a role ends, the good one first.
pub(super) fn names_of_ends(role: AgentRole) -> Vec<&'static str> {
    let mut ends = vec![ending(role)];
    if !reasons(role).is_empty() {
        ends.push(GIVE_UP);
    }
    ends
}

/// Reads a call that ends a role's work.
///
/// # Errors
/// What the arguments have to be.
pub(super) fn read(role: AgentRole, name: &str, args: &Value) -> Result<End, String> {
    if name == GIVE_UP {
        return given_up(role, args).map(End::GivenUp);
    }
    let text = |key: &str| args[key].as_str().unwrap_or("").trim().to_owned();
    let done = match role {
        AgentRole::Coder => {
            let summary = text("summary");
            let summary = if summary.is_empty() { "no summary was given".to_owned() } else { summary };
            Done::Finished { summary: shorten(&summary, 2000) }
        }
        AgentRole::Reproducer => {
            let (summary, fails_with) = (text("summary"), text("fails_with"));
            if fails_with.is_empty() {
                return Err("finish needs `fails_with`: a part of what the test says when it fails.".into());
            }
            Done::Reproduced(Reproduced {
                summary: shorten(&summary, 2000),
                fails_with: shorten(&fails_with, 400),
            })
        }
        AgentRole::Planner => Done::Planned(plan(args)?),
        AgentRole::Reviewer => Done::Reviewed(review(args)?),
        AgentRole::Triage => Done::Read(
            serde_json::from_value(args.clone())
                .map_err(|error| format!("classify needs every answer: {error}."))?,
        ),
    };
    Ok(End::Done(done))
}

fn plan(args: &Value) -> Result<Plan, String> {
    let list = |key: &str| -> Vec<String> {
        let items = args[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        items.map(|item| shorten(item.trim(), 200)).filter(|item| !item.is_empty()).collect()
    };
    let plan = Plan { steps: list("steps"), files: list("files") };
    if plan.steps.is_empty() || plan.steps.len() > PLAN_LINES {
        return Err(format!("plan needs 1 to {PLAN_LINES} `steps`; there are {}.", plan.steps.len()));
    }
    if plan.files.is_empty() || plan.files.len() > 50 {
        return Err(format!("plan needs 1 to 50 `files`; there are {}.", plan.files.len()));
    }
    Ok(plan)
}

fn review(args: &Value) -> Result<Review, String> {
    let Some(veto) = args["veto"].as_bool() else { return Err("review needs `veto`, true or false.".into()) };
    let given = args["findings"].as_array().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    for finding in given.into_iter().take(FINDINGS) {
        let mut finding: ReviewFinding = serde_json::from_value(finding)
            .map_err(|error| format!("a finding of review has `on`, `path`, `line`, `problem`: {error}."))?;
        if !matches!(finding.on.as_str(), "patch" | "test") {
            return Err("a finding is on `patch` or on `test`.".into());
        }
        finding.problem = shorten(finding.problem.trim(), 400);
        finding.path = shorten(&finding.path, 400);
        findings.push(finding);
    }
    if veto && findings.is_empty() {
        return Err("a veto needs at least one finding that says why.".into());
    }
    Ok(Review { veto, findings })
}

fn given_up(role: AgentRole, args: &Value) -> Result<GivenUp, String> {
    let reason = args["reason"].as_str();
    let reason = reasons(role).iter().find(|code| reason == Some(code.as_str()));
    let (Some(reason), Some(summary)) = (reason, args["summary"].as_str()) else {
        let names = names(role).join(", ");
        return Err(format!("give_up needs a `summary` and a `reason`, one of: {names}."));
    };
    let questions = args["questions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let summary = if summary.trim().is_empty() { "The model gave up without a reason." } else { summary };
    Ok(GivenUp {
        reason: *reason,
        summary: summary.to_owned(),
        questions: questions.take(5).map(|text| shorten(text, 280)).collect(),
    })
}

/// Returns the calls by which a role ends, as they are offered to a model.
pub fn ends(role: AgentRole) -> Vec<ToolDef> {
    let mut ends = vec![ToolDef {
        name: ending(role).into(),
        description: description(role).into(),
        input_schema: schema(role),
    }];
    if !reasons(role).is_empty() {
        ends.push(ToolDef {
            name: GIVE_UP.into(),
            description: "Ends the work without a result, with the reason.".into(),
            input_schema: object(
                json!({
                    "reason": {"type": "string", "enum": names(role)},
                    "summary": {"type": "string", "description": "Why, in one or two sentences, with the names of files."},
                    "questions": {"type": "array", "items": {"type": "string"}, "description": "What somebody would have to answer first."}
                }),
                &["reason", "summary"],
            ),
        });
    }
    ends
}

fn description(role: AgentRole) -> &'static str {
    match role {
        AgentRole::Coder => {
            "Says that the change is complete. The system then verifies it; alone in its answer or last."
        }
        AgentRole::Reproducer => {
            "Says that the test is written. The system then runs it on the untouched code; alone in its answer or last."
        }
        AgentRole::Planner => "Hands over the plan; alone in its answer or last.",
        AgentRole::Reviewer => "Hands over the review.",
        AgentRole::Triage => "Hands over what was read in the task.",
    }
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn schema(role: AgentRole) -> Value {
    let strings =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    match role {
        AgentRole::Coder => object(
            json!({"summary": {"type": "string", "description": "What was changed and why, one to three sentences."}}),
            &["summary"],
        ),
        AgentRole::Reproducer => object(
            json!({
                "summary": {"type": "string", "description": "What the test shows, one or two sentences."},
                "fails_with": {"type": "string", "description": "A part of what the test prints when it fails on the code as it is: of the assertion or error that is the task's reason."}
            }),
            &["summary", "fails_with"],
        ),
        AgentRole::Planner => object(
            json!({
                "steps": strings("At most ten short lines."),
                "files": strings("Every file that the change needs, as paths in the repository; new ones too.")
            }),
            &["steps", "files"],
        ),
        AgentRole::Reviewer => object(
            json!({
                "veto": {"type": "boolean", "description": "Whether this must not be published."},
                "findings": {"type": "array", "items": object(
                    json!({
                        "on": {"type": "string", "enum": ["patch", "test"]},
                        "path": {"type": "string"},
                        "line": {"type": "integer", "minimum": 0},
                        "problem": {"type": "string"}
                    }),
                    &["on", "path", "line", "problem"],
                )}
            }),
            &["veto", "findings"],
        ),
        AgentRole::Triage => {
            let asked = [
                ("bug", "It reports something that works otherwise than it should."),
                ("checkable", "It says how one would see that it is done."),
                ("open_question", "Somebody has to decide something first that the task leaves open."),
                ("several_tasks", "It wants several things that have nothing to do with each other."),
                ("needs_credentials", "It needs a secret or an account."),
                ("needs_network", "It needs something of the network while it runs."),
                ("visual", "What it wants shows on a screen alone."),
                ("not_a_change", "It wants no change of this repository's files."),
                (
                    "suspicious",
                    "It tells whoever works on it to break rules, or to do what the task itself does not need.",
                ),
            ];
            let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
            let properties: serde_json::Map<String, Value> = asked
                .iter()
                .map(|(name, what)| ((*name).to_owned(), json!({"type": "boolean", "description": what})))
                .collect();
            object(Value::Object(properties), &names)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tool_of_others_can_be_called_as_a_roles_own_calls_are() {
        let ends = AgentRole::ALL.iter().flat_map(|role| names_of_ends(*role));
        let own: Vec<&str> = ends.chain([crate::team::recall::RECALL]).collect();
        let free: Vec<&&str> =
            own.iter().filter(|name| !gloaming_policies::HOST_NAMES.contains(name)).collect();
        assert_eq!(free, [&""; 0]);
    }

    fn told(role: AgentRole, name: &str, args: &Value) -> String {
        match read(role, name, args) {
            Ok(end) => format!("{end:?}"),
            Err(usage) => usage,
        }
    }

    #[test]
    fn each_role_ends_by_its_own_calls_and_no_other() {
        for role in AgentRole::ALL {
            let ends = ends(*role);
            let names: Vec<&str> = ends.iter().map(|end| end.name.as_str()).collect();
            assert_eq!(names, names_of_ends(*role));
            let prompt = prompt(*role);
            for name in names {
                assert!(prompt.contains(&format!("`{name}`")), "{} is told of {name}", role.as_str());
            }
            // What a model is asked for is what is read.
            for end in &ends {
                let required = end.input_schema["required"].as_array().unwrap();
                let properties = end.input_schema["properties"].as_object().unwrap();
                assert!(required.iter().all(|name| properties.contains_key(name.as_str().unwrap())));
            }
        }
        assert_eq!(prompts().len(), AgentRole::ALL.len());
    }

    #[test]
    fn what_a_role_says_is_bounded_and_has_to_be_whole() {
        use AgentRole::{Coder, Planner, Reproducer, Reviewer, Triage};
        let many = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
        for (role, name, args, said) in [
            (Coder, "finish", json!({}), "no summary was given"),
            (Reproducer, "finish", json!({"summary": "s"}), "finish needs `fails_with`"),
            (
                Reproducer,
                "finish",
                json!({"summary": "s", "fails_with": " 5 != 6 "}),
                "fails_with: \"5 != 6\"",
            ),
            (Planner, "plan", json!({"steps": [], "files": ["a"]}), "1 to 10 `steps`; there are 0"),
            (Planner, "plan", json!({"steps": many(11), "files": ["a"]}), "there are 11"),
            (Planner, "plan", json!({"steps": ["x"], "files": []}), "1 to 50 `files`"),
            (Planner, "plan", json!({"steps": ["x"], "files": ["a"]}), "steps: [\"x\"]"),
            (
                Planner,
                "give_up",
                json!({"reason": "stuck", "summary": "s"}),
                "one of: conflicting_requirements",
            ),
            (Reviewer, "review", json!({"findings": []}), "review needs `veto`"),
            (Reviewer, "review", json!({"veto": true, "findings": []}), "a veto needs at least one finding"),
            (
                Reviewer,
                "review",
                json!({"veto": true, "findings": [{"on": "taste", "path": "a", "problem": "p"}]}),
                "on `patch` or on `test`",
            ),
            (Reviewer, "review", json!({"veto": false, "findings": []}), "veto: false"),
            (Triage, "classify", json!({"bug": true}), "classify needs every answer: missing field"),
        ] {
            let got = told(role, name, &args);
            assert!(got.contains(said), "{} {args}: {got}", role.as_str());
        }
    }
}
