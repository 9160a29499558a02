//! The sheet beside a data set: the questions of Gebru et al., "Datasheets for Datasets" (Communications of the ACM 64,
//! 2021), answered with what was counted.

use std::collections::{BTreeMap, BTreeSet};

use gloaming_api::Digest;
use serde_json::Value;

use crate::scrub::Scrubbed;

/// What a data set is made of.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// `chat` or `preferences`.
    pub kind: String,
    /// Version of the program.
    pub program: String,
    /// When it was made.
    pub made: String,
    /// Runs that were looked at.
    pub runs: usize,
    /// Why runs are not in it, and how many.
    pub left_out: BTreeMap<String, usize>,
    /// Its lines.
    pub lines: Vec<Value>,
    /// The digest of the file.
    pub digest: Option<Digest>,
    /// What was taken out.
    pub scrubbed: Scrubbed,
}

impl Sheet {
    /// Returns the sheet as Markdown.
    pub fn markdown(&self) -> String {
        let chat = self.kind == "chat";
        let what = if chat {
            "Conversations of a coding agent (its team's reproducer, planner and coder, each apart) on tasks whose change \
             was merged, as chat messages with tool calls."
        } else {
            "Pairs of conversations of a coding agent on the same task and commit: one whose change was merged or passed \
             the gate, and one whose change did not pass verification, or was closed or reverted."
        };
        let uses = if chat {
            "Fine-tuning a model to work with the same tools, and looking at how merged changes came about."
        } else {
            "Preference optimisation (the columns are those of TRL: `prompt`, `chosen`, `rejected`, `tools`)."
        };
        let mut text = format!(
            "# Datasheet\n\nAfter Gebru et al., \"Datasheets for Datasets\" (2021). Written by Gloaming {}, {}.\n",
            self.program, self.made
        );
        let mut section = |title: &str, body: &str| text.push_str(&format!("\n## {title}\n\n{body}\n"));
        section(
            "Motivation",
            &format!("{what} Made by the operator who ran `gloaming export`, of runs of their own."),
        );
        section("Composition", &self.composition());
        section(
            "Collection",
            "Each line comes from the journal of a run, whose chain of hashes was checked, and which its `metadata.journal` \
             names. What became of a change, somebody recorded by `gloaming outcome`. Texts of tasks were written by people, \
             answers by the model that `metadata` names, results of tools come from the repository and its programs. What a \
             role was shown beside the task (instructions of the repository, facts, a plan) is not in a journal and not here.",
        );
        section("Preprocessing", &self.preprocessing());
        section(
            "Uses",
            &format!(
                "{uses} Not for judging people, and not for measuring a model: the tasks are those that this agent was given \
                 and{} solved. The licence of each repository holds for what is quoted of it, and the terms of the model's \
                 provider may forbid training on its answers.",
                if chat { "" } else { ", in one of two tries," }
            ),
        );
        section(
            "Distribution",
            "It is given to nobody by being made. Before it is handed on, look at the licences of the repositories above, and \
             at the data itself: names and addresses of people that stand in tasks, code and histories are still in it.",
        );
        section(
            "Maintenance",
            "It is made again from the same out folders by the same command. An outcome that changes (a change that is \
             reverted) takes effect then; a run is taken out by removing its out folder.",
        );
        text
    }

    fn composition(&self) -> String {
        let mut text = format!(
            "| | |\n| --- | --- |\n| runs looked at | {} |\n| lines | {} |\n| messages | {} |\n| tool calls | {} |\n",
            self.runs,
            self.lines.len(),
            self.messages().count(),
            self.messages()
                .filter_map(|message| message["tool_calls"].as_array())
                .map(Vec::len)
                .sum::<usize>()
        );
        if let Some(digest) = &self.digest {
            text.push_str(&format!("| SHA-256 of data.jsonl | {} |\n", digest.hex()));
        }
        for (title, key) in [("repository", "repository"), ("model", "model"), ("role", "role")] {
            for (value, count) in self.by(key) {
                text.push_str(&format!("| lines, {title} {value} | {count} |\n"));
            }
        }
        if self.left_out.is_empty() {
            text.push_str("\nNo run was left out.");
        } else {
            text.push_str("\nLeft out:\n\n| reason | runs |\n| --- | --- |\n");
            for (reason, count) in &self.left_out {
                text.push_str(&format!("| {reason} | {count} |\n"));
            }
        }
        text.trim_end().to_owned()
    }

    fn preprocessing(&self) -> String {
        let mut text = String::from(
            "Secrets were taken out of every text: the values that the operator holds, in the forms programs print them in, and \
             what has the shape of a key or token, by the patterns that verification (V2) looks for. A secret of no known \
             shape that nobody holds here is still in it. Nothing else was changed.\n",
        );
        if self.scrubbed.is_empty() {
            text.push_str("\nNone was found.");
        } else {
            text.push_str("\n| what | places | different values |\n| --- | --- | --- |\n");
            for (what, places, values) in self.scrubbed.counts() {
                text.push_str(&format!("| {what} | {places} | {values} |\n"));
            }
        }
        text.trim_end().to_owned()
    }

    fn messages(&self) -> impl Iterator<Item = &Value> {
        let lists = self
            .lines
            .iter()
            .flat_map(|line| ["messages", "prompt", "chosen", "rejected"].map(|key| &line[key]));
        lists.filter_map(Value::as_array).flatten()
    }

    /// Counts lines by a key of their metadata.
    fn by(&self, key: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in &self.lines {
            let metadata = &line["metadata"];
            let sides = [metadata, &metadata["chosen"], &metadata["rejected"]];
            // A pair may have two.
            let values: BTreeSet<&str> = sides.iter().filter_map(|side| side[key].as_str()).collect();
            for value in values {
                *counts.entry(value.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}
