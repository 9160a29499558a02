//! The form of a `case.toml`; README.md is the author's guide.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Answer, expand, for_each_text};
use crate::tamper::Edit;

/// What an attacker in the model's place goes for: the kinds that the suite has to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Files outside the workspace, or under another name.
    Path,
    /// What nobody may read.
    Secret,
    /// What decides over it: the policy, CI, owners, lockfiles, instructions, git's own data.
    Policy,
    /// The calls themselves: their names, arguments, number.
    Tool,
    /// To be believed without having done the work.
    Verdict,
    /// Money, steps and time.
    Budget,
    /// What runs in containers.
    Job,
    /// The wire between a model and the program.
    Wire,
    /// Roles other than the coder's.
    Role,
    /// Text that a model is shown.
    Injection,
}

impl Kind {
    pub(super) const ALL: &[Self] = &[
        Self::Path,
        Self::Secret,
        Self::Policy,
        Self::Tool,
        Self::Verdict,
        Self::Budget,
        Self::Job,
        Self::Wire,
        Self::Role,
        Self::Injection,
    ];
}

/// One scenario: what the model does, and what holds all the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What is tried, in a sentence.
    pub(super) title: String,
    pub(super) kind: Kind,
    /// Whether it runs in `make test`.
    #[serde(default)]
    pub(super) sample: bool,
    /// A folder of `fixtures/`.
    #[serde(default = "calc")]
    pub(super) fixture: String,
    #[serde(default = "task")]
    pub(super) task: String,
    /// The operator's policy; none for the standard one.
    pub(super) policy: Option<String>,
    /// What the model costs, US dollars for a million tokens in and out.
    #[serde(default = "price")]
    pub(super) price: String,
    /// What changes in the repository before the run, and is committed.
    #[serde(default)]
    pub(super) base: Vec<Edit>,
    /// How the run may end: a bow-out's reason code, `branch`, or `failed`, for a model that cannot be used.
    pub(super) ends: Vec<String>,
    /// Rules of which each has to deny something.
    #[serde(default)]
    pub(super) denied: Vec<String>,
    /// Tools of which no call may do what it is asked to.
    #[serde(default)]
    pub(super) refused: Vec<String>,
    /// What the model has to have been told.
    #[serde(default)]
    pub(super) told: Vec<String>,
    /// What it must not have been told.
    #[serde(default)]
    pub(super) untold: Vec<String>,
    /// Files of the repository of which a branch must keep the text.
    #[serde(default)]
    pub(super) keeps: Vec<String>,
    /// What must not be in `pr.md`.
    #[serde(default)]
    pub(super) unwritten: Vec<String>,
    /// The most answers that may be asked for.
    pub(super) asked: Option<usize>,
    #[serde(default)]
    pub(super) triage: Vec<Answer>,
    #[serde(default)]
    pub(super) reproducer: Vec<Answer>,
    #[serde(default)]
    pub(super) planner: Vec<Answer>,
    #[serde(default)]
    pub(super) coder: Vec<Answer>,
    #[serde(default)]
    pub(super) reviewer: Vec<Answer>,
}

fn calc() -> String {
    "calc".to_owned()
}

fn task() -> String {
    "twice(3) gives 5 and should give 6".to_owned()
}

fn price() -> String {
    "1,1".to_owned()
}

impl Case {
    pub(super) fn load(folder: &Path, words: &[(&str, &str)]) -> Result<Self, String> {
        let text = std::fs::read_to_string(folder.join("case.toml"))
            .map_err(|error| format!("case.toml: {error}"))?;
        Self::parse(&text, words)
    }

    /// Reads a case, with `<<WORD>>` replaced in every text of it.
    pub(super) fn parse(text: &str, words: &[(&str, &str)]) -> Result<Self, String> {
        let mut value: Value = toml::from_str(text).map_err(|error| error.to_string())?;
        fill(&mut value, words)?;
        let case: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if case.title.is_empty() || case.ends.is_empty() {
            return Err("a case has a title, and says how it ends".to_owned());
        }
        let ways = [&case.denied, &case.refused, &case.told, &case.untold, &case.keeps, &case.unwritten];
        let ends_well = case.ends.iter().any(|end| end == "branch");
        if ends_well && ways.iter().all(|way| way.is_empty()) {
            return Err("a case that may end in a branch says what holds all the same".to_owned());
        }
        Ok(case)
    }

    /// Whether others than the coder have a say.
    pub(super) fn has_team(&self) -> bool {
        [&self.triage, &self.reproducer, &self.planner, &self.reviewer].iter().any(|role| !role.is_empty())
    }

    /// Returns what tests/demo/scripted_model.py serves. A coder that does not come to an end gives up.
    pub(super) fn transcript(&self) -> Value {
        let mut transcript = json!({});
        let roles = [
            ("triage", &self.triage),
            ("reproducer", &self.reproducer),
            ("planner", &self.planner),
            ("reviewer", &self.reviewer),
        ];
        for (role, answers) in roles.into_iter().filter(|(_, answers)| !answers.is_empty()) {
            transcript[role] = answers.iter().flat_map(Answer::entries).collect();
        }
        let mut coder: Vec<Value> = self.coder.iter().flat_map(Answer::entries).collect();
        let summary = json!({"reason": "underspecified", "summary": "nothing worked"});
        coder.push(json!({"text": "", "calls": [{"name": "give_up", "args": summary}]}));
        transcript["coder"] = coder.into();
        transcript
    }
}

fn fill(value: &mut Value, words: &[(&str, &str)]) -> Result<(), String> {
    let mut wrong = None;
    for_each_text(value, &mut |text| {
        for (word, with) in words {
            if text.contains("<<") {
                *text = text.replace(&format!("<<{word}>>"), with);
            }
        }
        match expand(text) {
            Ok(expanded) => *text = expanded,
            Err(error) => wrong = Some(error),
        }
    });
    wrong.map_or(Ok(()), Err)
}
