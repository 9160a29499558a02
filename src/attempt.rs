//! An attempt from its begin, or from where it was left, to a branch or a bow-out; what of it is written down and told.
#![expect(
    clippy::disallowed_methods,
    reason = "the edge: results are written to the operator's own out folder"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use gloaming_api::bowout::BowOut;
use gloaming_api::budget::Ledger;
use gloaming_api::evidence::VerdictKind;
use gloaming_api::journal::{AttemptStarted, EventKind};
use gloaming_api::path::escape_name;
use gloaming_api::{Digest, TaskId};
use gloaming_forge::Change;
use gloaming_gate::Gate;
use gloaming_jobs::Cancel;
use gloaming_model::Model;
use gloaming_policies::Grant;
use gloaming_sandbox::Sandbox;
use gloaming_worker::{Assignment, Equipment, Journal, Learn, Outcome, Team, Update, Verified, WorkerError};
use gloaming_workspace::{Author, CommitId, Repository};
use serde_json::{Value, json};

use crate::console::Console;
use crate::context::{self, Home, WorkDir};
use crate::engine::JobLane;
use crate::failure::{Failure, exit, in_one_line, report, unless_cancelled};
use crate::known::Known;
use crate::run::{ASKER, repo_failure};
use crate::told::print_json;
use crate::told::{cost_line, pretty, tell, write};

/// What a run has made so far that an early end must set right.
pub(crate) struct Traces {
    pub(crate) task: TaskId,
    pub(crate) out: Option<PathBuf>,
    /// A clone of which no journal tells yet: kept, it would be in the way of the corrected command.
    pub(crate) fresh_clone: Option<PathBuf>,
    /// A journal that has no end yet.
    pub(crate) journal: Option<Journal>,
    pub(crate) publishing: bool,
    pub(crate) cancel: Cancel,
    pub(crate) console: Option<Console>,
}

impl Traces {
    pub(crate) fn new() -> Self {
        Self {
            task: TaskId::generate(),
            out: None,
            fresh_clone: None,
            journal: None,
            publishing: false,
            cancel: Cancel::new(),
            console: None,
        }
    }

    /// Begins the object that `--json` prints: every key a reader may rely on.
    fn known(&self) -> Value {
        json!({"outcome": null, "task": self.task, "branch": null, "reason_code": null, "out": self.out})
    }

    pub(crate) fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("it is begun before anything is written into it")
    }

    /// Ends a run that came neither to a branch nor to a bow-out.
    pub(crate) fn fail(mut self, json: bool, error: anyhow::Error) -> ExitCode {
        if let Some(console) = &self.console {
            console.close();
        }
        let error = if self.publishing {
            error
        } else {
            unless_cancelled(error, &self.cancel, "cancelled; the repository is as it was")
        };
        if let Some(journal) = &mut self.journal {
            let end = if self.cancel.is_cancelled() && !self.publishing {
                EventKind::Cancelled
            } else {
                EventKind::Failed { error: in_one_line(&error) }
            };
            // The error itself matters more than failing to write it down (the disk may be full).
            let _ = journal.append(end);
        }
        if let Some(clone) = &self.fresh_clone {
            let _ = std::fs::remove_dir_all(clone);
        }
        report(&error, json.then(|| self.known()))
    }
}

/// Returns what a journal says was asked for.
pub(crate) fn assignment(started: &AttemptStarted, base: CommitId) -> Assignment {
    Assignment {
        task: started.task.clone(),
        attempt: started.attempt,
        repo: started.repo.clone(),
        text: started.text.clone(),
        base,
        asker: started.asker.clone().unwrap_or_else(|| ASKER.to_owned()),
        seed: context::seed(),
    }
}

/// What an attempt that has begun, or is gone on with, works with.
pub(crate) struct Course {
    pub(crate) home: Home,
    pub(crate) out: PathBuf,
    pub(crate) work: WorkDir,
    pub(crate) console: Console,
    pub(crate) repository: Repository,
    pub(crate) location: String,
    pub(crate) assignment: Assignment,
    pub(crate) grant: Grant,
    pub(crate) sandbox: Sandbox,
    pub(crate) gate: Gate,
    pub(crate) model: Option<Arc<dyn Model>>,
    pub(crate) team: Team,
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    pub(crate) corrections: Option<PathBuf>,
    pub(crate) advisories: Option<PathBuf>,
    pub(crate) again: bool,
}

/// Works to the end: a branch, a bow-out, or what kept it from either.
pub(crate) async fn follow(course: Course, json: bool, traces: &mut Traces) -> anyhow::Result<ExitCode> {
    let Course {
        home,
        out,
        work,
        console,
        repository,
        location,
        assignment,
        grant,
        sandbox,
        gate,
        model,
        team,
        ledger,
        corrections,
        advisories,
        again,
    } = course;
    let first = traces.journal().first().cloned().expect("an attempt begins with an event");
    keep_base(&repository, &assignment.base, &out)?;
    let JobLane { engine, environment } =
        crate::engine::open(&home, &grant, None, Some(&assignment.task)).await?;
    let environment_digest = environment.digest().clone();
    let known = Known::open(&home, &assignment.repo, corrections.as_deref())?;
    let equipment = Equipment {
        repository,
        sandbox,
        learn: learning(known, grant.clone(), environment_digest.clone()),
        grant,
        engine,
        environment: environment_digest,
        supplies: Some(crate::supplies::open(&home, &assignment.repo, &location)?),
        model,
        team,
        judge: crate::gate::judging(&gate),
        ledger,
        advisories: crate::advisories::open(&home, advisories.as_deref())?,
        baselines: Some(Box::new(crate::baselines::Kept::open(&home, &assignment.repo, again)?)),
        work_dir: work.path().join(context::ATTEMPT),
        images: Some(work.undo_dir(&first)),
        cancel: traces.cancel.clone(),
    };
    std::fs::create_dir_all(&equipment.work_dir)
        .map_err(|error| Failure::disk("make the attempt's folder", error))?;
    let progress = {
        let console = console.clone();
        move |update: Update| console.show(update)
    };
    let outcome = gloaming_worker::run(&assignment, &equipment, traces.journal(), &progress).await;
    if !matches!(outcome, Ok(Outcome::Verified(_))) {
        // The worker has written the end.
        traces.journal = None;
    }
    match outcome {
        Ok(Outcome::Verified(verified)) => {
            traces.publishing = true;
            let stage = gloaming_api::Stage::Publish;
            console.show(Update::Stage(stage));
            let published =
                publish(&home, &assignment, &equipment, &gate, &verified, traces.journal(), &out)?;
            console.show(Update::Finished { stage, detail: format!("branch {}", published.branch) });
            traces.journal = None;
            console.close();
            report_branch(json, traces, &out, &published, &verified);
            Ok(ExitCode::from(exit::OK))
        }
        Ok(Outcome::BowedOut(bow_out, unpublished)) => {
            if let Some(unpublished) = unpublished {
                write(&out, BowOut::PARTIAL, &unpublished.patch.diff)?;
                if let Some(evidence) = &unpublished.evidence {
                    let sealed = crate::evidence::seal(&home, evidence, &gate.judge(evidence), &gate)?;
                    write(&out, "evidence.json", &sealed)?;
                }
            }
            finish_bow_out(json, traces, &out, &bow_out, &console)
        }
        Ok(Outcome::Cancelled) => Err(Failure::cancelled("cancelled; the repository is as it was").into()),
        // A hostile tree or objects that a partial clone lacks: the repository's fault, with advice of its own.
        Err(WorkerError::Repository(error)) => Err(repo_failure(error)),
        Err(error) => Err(Failure::infrastructure("finish the attempt", error)
            .hint("nothing was published; the journal in the out folder tells how far it came")
            .into()),
    }
}

/// The file, beside what stages hand on, that holds the base.
pub(crate) const BASE: &str = "base.pack";

/// The largest base that is kept, bytes: a larger one is found in its repository or nowhere.
const BASE_CAP: usize = 64 << 20;

/// Keeps the base with the record, so that a replay does not need the repository.
fn keep_base(repository: &Repository, base: &CommitId, out: &Path) -> anyhow::Result<()> {
    let folder = out.join(gloaming_worker::ARTIFACTS);
    let file = folder.join(BASE);
    if file.exists() {
        return Ok(());
    }
    if let Some(pack) = repository.pack(base, BASE_CAP).map_err(repo_failure)? {
        let disk = |error| Failure::disk(&format!("write {}", file.display()), error);
        std::fs::create_dir_all(&folder).map_err(disk)?;
        std::fs::write(&file, pack).map_err(disk)?;
    }
    Ok(())
}

/// Returns how an attempt learns of a repository.
pub(crate) fn learning(known: Known, grant: Grant, environment: Digest) -> Learn {
    Box::new(move |checkout| known.profile(checkout, &grant, &environment))
}

/// Appends an event to the journal.
pub(crate) fn record(journal: &mut Journal, kind: EventKind) -> anyhow::Result<()> {
    journal
        .append(kind)
        .map_err(|error| Failure::disk(&format!("write {}", journal.path().display()), error.into()).into())
}

struct Published {
    branch: String,
    commit: CommitId,
}

/// Publishes a verified patch: recomputes the verdict on the evidence, writes the results, then the branch.
fn publish(
    home: &Home,
    assignment: &Assignment,
    equipment: &Equipment,
    gate: &Gate,
    verified: &Verified,
    journal: &mut Journal,
    out: &Path,
) -> anyhow::Result<Published> {
    let evidence = &verified.evidence;
    let verdict = gate.judge(evidence);
    // What is published must be what was judged: the same patch, the same tree, a passing verdict.
    anyhow::ensure!(
        verdict.verdict == VerdictKind::Pass
            && evidence.patch == verified.patch.digest
            && evidence.tree.as_deref() == Some(verified.patch.tree.as_str())
            && evidence.base == assignment.base.as_str(),
        Failure::infrastructure("publish", anyhow::anyhow!("the evidence is not about this patch"))
    );
    let sealed = crate::evidence::seal(home, evidence, &verdict, gate)?;
    let evidence_digest = Digest::of(&sealed);
    let change = Change {
        task: &assignment.task,
        attempt: assignment.attempt,
        text: &assignment.text,
        summary: &verified.summary,
        evidence,
        evidence_digest: &evidence_digest,
        verdict: &verdict,
    };
    write(out, "patch.diff", &verified.patch.diff)?;
    write(out, "evidence.json", &sealed)?;
    write(out, "pr.md", gloaming_forge::pull_request_body(&change).as_bytes())?;
    let author = Author { name: "Gloaming".into(), email: "gloaming@localhost".into() };
    // A later attempt's repository may be a clone that has the branch of the one before, whose pull request is open. What the
    // control plane publishes is another commit, on a branch of its own name.
    let branch = match assignment.attempt.0 {
        1 => assignment.task.branch(),
        later => format!("{}-{later}", assignment.task.branch()),
    };
    let commit = equipment
        .repository
        .publish(
            &assignment.base,
            &verified.patch,
            &branch,
            &gloaming_forge::commit_message(&change),
            &author,
            journal.last_time().unwrap_or_else(context::now),
        )
        .map_err(repo_failure)?;
    let end = EventKind::Published {
        branch: branch.clone(),
        commit: commit.to_string(),
        patch: verified.patch.digest.clone(),
        cost: verified.cost,
    };
    record(journal, end)?;
    Ok(Published { branch, commit })
}

fn report_branch(json: bool, traces: &Traces, out: &Path, published: &Published, verified: &Verified) {
    if json {
        let mut object = traces.known();
        object["outcome"] = json!("branch");
        object["branch"] = json!(published.branch);
        object["commit"] = json!(published.commit);
        object["summary"] = json!(verified.summary);
        object["cost"] = json!(verified.cost);
        print_json(&object);
        return;
    }
    let (added, removed) = verified.patch.files.iter().fold((0, 0), |(a, r), f| (a + f.added, r + f.removed));
    println!("branch  {} at {}", published.branch, &published.commit.as_str()[..12]);
    println!("change  {} files, +{added} −{removed}", verified.patch.files.len());
    println!(
        "tests   {} on the base, {} with the change",
        counted(&verified.evidence.baseline_tests),
        counted(&verified.evidence.patched_tests)
    );
    if !verified.evidence.fail_to_pass.is_empty() {
        for (at, test) in verified.evidence.told_fail_to_pass().iter().enumerate() {
            println!("{:<7} {}", if at == 0 { "fixed" } else { "" }, escape_name(test.as_bytes()));
        }
    }
    println!("cost    {}", cost_line(&verified.cost));
    println!("out     {}", out.display());
    println!(
        "\nread pr.md there; `git diff {}...{}` shows the change",
        &verified.evidence.base[..12],
        published.branch
    );
}

fn counted(tests: &gloaming_api::evidence::TestResults) -> String {
    use gloaming_api::evidence::TestStatus;
    let count = |wanted| tests.values().filter(|status| **status == wanted).count();
    let (passed, failed) = (count(TestStatus::Passed), count(TestStatus::Failed));
    let rest = tests.len() - passed - failed;
    let mut text = format!("{passed} passed");
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    if rest > 0 {
        text.push_str(&format!(", {rest} skipped or expected to fail"));
    }
    text
}

pub(crate) fn finish_bow_out(
    json: bool,
    traces: &Traces,
    out: &Path,
    bow_out: &BowOut,
    console: &Console,
) -> anyhow::Result<ExitCode> {
    console.close();
    write(out, "bowout.json", pretty(bow_out).as_bytes())?;
    if json {
        let mut object = traces.known();
        object["outcome"] = json!("bow_out");
        object["reason_code"] = json!(bow_out.reason_code);
        object["stage"] = json!(bow_out.stage);
        object["summary"] = json!(bow_out.summary);
        object["cost"] = json!(bow_out.cost);
        print_json(&object);
    } else {
        print!("{}", tell(bow_out));
        println!("out     {}", out.display());
    }
    Ok(ExitCode::from(exit::BOW_OUT))
}
