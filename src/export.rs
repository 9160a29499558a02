//! `gloaming export`: runs in the forms of others. What is written is made of journals whose chain is whole, with secrets
//! taken out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use gloaming_api::Digest;
use gloaming_api::journal::{AgentRole, AttemptStarted};
use gloaming_model::ToolDef;
use gloaming_trajectory::attempt::End;
use gloaming_trajectory::chat::{self, Judged};
use gloaming_trajectory::datasheet::Sheet;
use gloaming_trajectory::outcome::Kind;
use gloaming_trajectory::roles::Roles;
use gloaming_trajectory::scrub::Scrubbed;
use gloaming_trajectory::{atif, predictions};
use serde_json::{Value, json};

use crate::cli::{ExportArgs, ExportFormat};
use crate::context::{self, Home};
use crate::failure::Failure;
use crate::import::new_folder;
use crate::told::print_json;
use crate::told::{pretty, write};

/// One run.
struct Run {
    folder: PathBuf,
    judged: Judged,
}

impl Run {
    /// The name of its folder, which stands for the run in names of files and for the instance of a benchmark.
    fn name(&self) -> String {
        let name = self.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.judged.attempt.started.task.to_string())
    }

    /// Returns the patch of the branch; empty where there is none.
    fn patch(&self) -> anyhow::Result<String> {
        let End::Branch { patch, .. } = &self.judged.attempt.end else { return Ok(String::new()) };
        let path = self.folder.join("patch.diff");
        let bytes = context::read_bytes(&path, "the patch", context::RECORD_CAP)?;
        if Digest::of(&bytes) != *patch {
            return Err(Failure::usage(format!(
                "{} is not the patch that the journal names",
                path.display()
            ))
            .into());
        }
        String::from_utf8(bytes)
            .map_err(|_| Failure::usage(format!("{} is no UTF-8 text", path.display())).into())
    }
}

pub(crate) fn main(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let runs = runs(&args.runs)?;
    let home = Home::open()?;
    let mut export = Export { home: &home, scrubbed: Scrubbed::default(), left_out: BTreeMap::new() };
    let written = match args.format {
        ExportFormat::Atif => export.trajectories(&runs, args.to.as_deref())?,
        ExportFormat::Preds => export.predictions(&runs, args.to.as_deref())?,
        ExportFormat::Outcomes => export.outcomes(&runs, args.to.as_deref())?,
        ExportFormat::Chat | ExportFormat::Preferences => {
            let Some(to) = &args.to else {
                return Err(
                    Failure::usage("--to DIR is needed: the data and its datasheet are two files").into()
                );
            };
            export.data(&runs, args.format, to)?
        }
    };
    export.tell(&runs, written, args.json);
    Ok(ExitCode::SUCCESS)
}

/// Finds the runs: each folder is one, or holds some.
fn runs(folders: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    let mut found = Vec::new();
    for folder in folders {
        let folder = std::path::absolute(folder)?;
        if folder.join("journal.jsonl").exists() {
            found.push(folder);
            continue;
        }
        let unreadable = |error| Failure::usage(format!("cannot read {}: {error}", folder.display()));
        let mut below = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.join("journal.jsonl").exists() {
                below.push(path);
            }
        }
        if below.is_empty() {
            return Err(Failure::usage(format!("{} holds no run", folder.display()))
                .hint("name out folders of `gloaming run`, which hold a journal.jsonl, or a folder of such")
                .into());
        }
        below.sort();
        found.extend(below);
    }
    let run = |folder: PathBuf| -> anyhow::Result<Run> {
        let attempt = crate::outcome::attempt(&folder)?;
        let outcome = crate::outcome::read(&folder, &attempt)?.map(|outcome| outcome.outcome);
        Ok(Run { folder, judged: Judged { attempt, outcome } })
    };
    found.into_iter().map(run).collect()
}

/// An export on its way.
struct Export<'a> {
    home: &'a Home,
    scrubbed: Scrubbed,
    left_out: BTreeMap<String, usize>,
}

/// What was written: how many of what, and where.
type Written = (usize, &'static str, Option<PathBuf>);

impl Export<'_> {
    fn trajectories(&mut self, runs: &[Run], to: Option<&Path>) -> anyhow::Result<Written> {
        let mut documents = Vec::new();
        for run in runs {
            let roles = self.roles(&run.judged.attempt.started)?;
            let mut document = atif::trajectory(&run.judged.attempt, &roles);
            self.scrub(&mut document)?;
            documents.push((run.name(), document));
        }
        match (documents.as_slice(), to) {
            ([(_, document)], to) => self.one(document, to)?,
            (_, None) => {
                return Err(
                    Failure::usage("--to DIR is needed: several trajectories are several files").into()
                );
            }
            (documents, Some(to)) => {
                let folder = new_folder(to)?;
                for (name, document) in documents {
                    let file = format!("{name}.json");
                    if folder.join(&file).exists() {
                        return Err(two_of(name).into());
                    }
                    write(&folder, &file, pretty(document).as_bytes())?;
                }
            }
        }
        Ok((documents.len(), "trajectories", to.map(Path::to_owned)))
    }

    fn predictions(&mut self, runs: &[Run], to: Option<&Path>) -> anyhow::Result<Written> {
        let mut all = Vec::new();
        for run in runs {
            let prediction = predictions::prediction(&run.name(), &run.judged.attempt, &run.patch()?);
            all.push((run.name(), prediction));
        }
        let count = all.len();
        let object = predictions::predictions(all).map_err(|name| two_of(&name))?;
        self.one(&object, to)?;
        Ok((count, "predictions", to.map(Path::to_owned)))
    }

    /// Lines for `gloaming gate fit`: sealed evidence, and whether it was merged and stayed so.
    fn outcomes(&mut self, runs: &[Run], to: Option<&Path>) -> anyhow::Result<Written> {
        let mut lines = Vec::new();
        for run in runs {
            let Some(outcome) = run.judged.outcome else {
                self.leave_out(run.judged.not_merged().unwrap_or_default());
                continue;
            };
            let path = run.folder.join("evidence.json");
            let text = context::read_text(&path, "the evidence", context::RECORD_CAP)?;
            let envelope: Value = serde_json::from_str(&text)
                .map_err(|error| Failure::usage(format!("{} is no evidence: {error}", path.display())))?;
            lines.push(json!({"envelope": envelope, "merged": outcome == Kind::Merged}));
        }
        let text = jsonl(&lines);
        match to {
            Some(to) => put(to, &text)?,
            None => print!("{text}"),
        }
        Ok((lines.len(), "outcomes", to.map(Path::to_owned)))
    }

    /// Data for training, with its sheet.
    fn data(&mut self, runs: &[Run], format: ExportFormat, to: &Path) -> anyhow::Result<Written> {
        let chat = format == ExportFormat::Chat;
        let mut roles = Vec::new();
        for run in runs {
            roles.push(self.roles(&run.judged.attempt.started)?);
        }
        let mut lines = Vec::new();
        if chat {
            for (run, roles) in runs.iter().zip(&roles) {
                match run.judged.not_merged() {
                    Some(reason) => self.leave_out(reason),
                    None => {
                        let told = chat::lines(&run.judged, roles);
                        if told.is_empty() {
                            self.leave_out("no model worked on it (a playbook did)".to_owned());
                        }
                        lines.extend(told);
                    }
                }
            }
        } else {
            let judged: Vec<Judged> = runs.iter().map(|run| run.judged.clone()).collect();
            lines = chat::pairs(&judged, &roles);
            for run in runs {
                let head = json!(run.judged.attempt.head);
                let within = |line: &Value| {
                    ["chosen", "rejected"].iter().any(|side| line["metadata"][side]["journal"] == head)
                };
                if !lines.iter().any(within) {
                    self.leave_out("no other run of its task and commit makes a pair with it".to_owned());
                }
            }
        }
        for line in &mut lines {
            self.scrub(line)?;
        }
        let what = if chat { "conversations" } else { "pairs" };
        if lines.is_empty() {
            return Ok((0, what, None));
        }
        let folder = new_folder(to)?;
        let text = jsonl(&lines);
        let sheet = Sheet {
            kind: if chat { "chat" } else { "preferences" }.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made: context::now().to_string(),
            runs: runs.len(),
            left_out: self.left_out.clone(),
            digest: Some(Digest::of(&text)),
            scrubbed: self.scrubbed.clone(),
            lines,
        };
        write(&folder, "data.jsonl", text.as_bytes())?;
        write(&folder, "DATASHEET.md", sheet.markdown().as_bytes())?;
        Ok((sheet.lines.len(), what, Some(folder)))
    }

    /// Writes one document.
    fn one(&self, document: &Value, to: Option<&Path>) -> anyhow::Result<()> {
        match to {
            Some(to) => put(to, &pretty(document)),
            None => {
                print!("{}", pretty(document));
                Ok(())
            }
        }
    }

    /// Takes out the secrets that the operator holds, and what has the shape of one.
    fn scrub(&mut self, value: &mut Value) -> anyhow::Result<()> {
        let redactor = crate::secrets::vault(self.home)?.redactor();
        let shapes = |text: &str| {
            let found = gloaming_verify::secret_shapes(text);
            found.into_iter().map(|shape| (shape.range, shape.what.to_owned())).collect()
        };
        self.scrubbed.value(value, &|text| redactor.text(text), &shapes);
        Ok(())
    }

    fn leave_out(&mut self, reason: String) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Returns prompts, and the tools where this version's are those of the attempt.
    fn roles(&self, started: &AttemptStarted) -> anyhow::Result<Roles> {
        let prompts = AgentRole::ALL.iter().map(|role| (*role, gloaming_agent::prompt(*role).to_owned()));
        let mut roles = Roles { prompts: prompts.collect(), tools: BTreeMap::new() };
        let Ok(grant) = gloaming_policies::Grant::of_layers(&started.repo, &started.policy) else {
            return Ok(roles);
        };
        let sandbox = context::built_in_sandbox(self.home)?;
        let same = |name: &str, component: Option<&Digest>| started.components.get(name) == component;
        let specs = sandbox.tools();
        let known = started.components.len();
        if specs.iter().filter(|spec| same(&spec.name, spec.component.as_ref())).count() != known
            || known == 0
        {
            return Ok(roles);
        }
        for role in chat::ROLES {
            let mut tools: Vec<ToolDef> = gloaming_worker::offered(&grant, &sandbox, *role);
            tools.extend(gloaming_agent::recalls(&tools));
            tools.extend(gloaming_agent::ends(*role));
            roles.tools.insert(*role, tools);
        }
        Ok(roles)
    }

    fn tell(&self, runs: &[Run], (count, what, to): Written, json: bool) {
        let scrubbed: Vec<Value> = self
            .scrubbed
            .counts()
            .map(|(what, places, values)| json!({"what": what, "places": places, "values": values}))
            .collect();
        if json {
            print_json(&json!({
                "runs": runs.len(), "written": count, "to": to, "left_out": self.left_out, "scrubbed": scrubbed,
            }));
            return;
        }
        // Standard output may be the document.
        eprintln!("{count} {what} of {} runs", runs.len());
        for (reason, count) in &self.left_out {
            eprintln!("left out: {count}: {reason}");
        }
        for (what, places, values) in self.scrubbed.counts() {
            eprintln!("taken out: {what}, in {places} places, {values} different");
        }
        match to {
            Some(to) => eprintln!("out     {}", to.display()),
            None if count == 0 => eprintln!("nothing was written"),
            None => {}
        }
    }
}

fn jsonl(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Writes a file that must not be there yet.
fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.exists() {
        return Err(Failure::usage(format!("{} exists already", path.display()))
            .hint("name a new file; nothing is overwritten")
            .into());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::usage(format!("{} names no file", path.display())).into());
    };
    write(folder, &name.to_string_lossy(), text.as_bytes())
}

fn two_of(name: &str) -> Failure {
    Failure::usage(format!("there are two runs named {name:?}"))
        .hint("a run goes by its out folder's name; name one of them, or rename a folder")
}
