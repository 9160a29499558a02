//! The form of a case; README.md is the author's guide.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// The word that stands only where nobody may look.
pub(super) const CANARY: &str = "CANARY";

/// One situation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What must hold, in a sentence.
    pub(super) about: String,
    /// Project and number of what was reported, and a sentence that says what it was.
    pub(super) complaints: BTreeMap<String, String>,
    /// The operator's policy.
    pub(super) policy: String,
    /// Patterns that must not load where they deny something.
    #[serde(default)]
    pub(super) not_loaded: Vec<String>,
    /// What is committed.
    pub(super) tree: Vec<Entry>,
    pub(super) step: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Entry {
    File {
        file: String,
        text: String,
    },
    Link {
        link: String,
        to: String,
    },
    /// A second name of a file.
    Hard {
        hard: String,
        of: String,
    },
}

/// One or several calls and what must come of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// One of these says what is done: a tool over MCP, a kind of job that prints every file it finds, or what
    /// somebody else does meanwhile.
    pub(super) tool: Option<String>,
    pub(super) job: Option<String>,
    pub(super) hand: Option<Hand>,

    #[serde(default)]
    pub(super) args: Value,
    /// Each is called by itself, as the argument `path`.
    #[serde(default)]
    pub(super) paths: Vec<String>,

    /// The rule that denies it.
    pub(super) denied: Option<String>,
    /// The code of another refusal. Without either it must work.
    pub(super) refused: Option<String>,
    /// What the answer must hold, and what not.
    #[serde(default)]
    pub(super) has: Vec<String>,
    #[serde(default)]
    pub(super) lacks: Vec<String>,
    /// What is at a path afterwards: a text, or `false` for nothing. Everything else is as it was.
    #[serde(default)]
    pub(super) after: BTreeMap<String, Value>,
    /// What `policy explain` is asked instead of the tool and its path; one of them must be denied where the call is.
    pub(super) explain: Option<Vec<String>>,
}

/// What somebody else does to the folder while it is served.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Hand {
    Write { write: String, text: String },
    Rename { rename: [String; 2] },
    Link { link: String, to: String },
    Hard { hard: String, of: String },
}

impl Case {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let case: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        case.check().map(|()| case)
    }

    /// Refuses what could not fail, and what shows nothing since nothing need work.
    fn check(&self) -> Result<(), String> {
        if self.about.is_empty() || self.complaints.is_empty() {
            return Err("a case has a sentence and a complaint".into());
        }
        let mut works = BTreeSet::new();
        for (at, step) in self.step.iter().enumerate() {
            let whats = [step.tool.is_some(), step.job.is_some(), step.hand.is_some()];
            let fault = if whats.iter().filter(|what| **what).count() != 1 {
                "is one of tool, job and hand"
            } else if step.denied.is_some() && step.refused.is_some() {
                "is denied or refused, not both"
            } else if step.args.to_string().contains(CANARY) || step.paths.concat().contains(CANARY) {
                "does not name the canary itself"
            } else if step.hand.is_none() && step.works() && step.has.is_empty() && step.after.is_empty() {
                "that works says what the answer has or what is there afterwards: it could not fail"
            } else {
                works.extend(step.tool.as_deref().filter(|_| step.works()));
                continue;
            };
            return Err(format!("step {}: a step {fault}", at + 1));
        }
        for tool in self.step.iter().filter(|step| !step.works()).filter_map(|step| step.tool.as_deref()) {
            // A tool that is denied as a whole has no path on which it works; another must.
            if !works.contains(tool) && !self.denies_wholly(tool) {
                return Err(format!("there is no call of {tool} that works beside the one that is refused"));
            }
        }
        if works.is_empty() && self.step.iter().all(|step| step.job.is_none()) {
            return Err("nothing works in it".into());
        }
        Ok(())
    }

    fn denies_wholly(&self, tool: &str) -> bool {
        self.policy.contains(&format!("tools = [\"{tool}\"]\npaths = [\"**\"]\nbecause"))
    }
}

impl Step {
    pub(super) fn works(&self) -> bool {
        self.denied.is_none() && self.refused.is_none()
    }
}
