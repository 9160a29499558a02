//! The coder's hands: performs what the pure loop asks for, and tells it what came of it.

use std::time::Instant;

use gloaming_agent::{Action, Agent, Brief, Done, Event, SHOWN, Shown};
use gloaming_api::bowout::{BowOutEvidence, ReasonCode, shorten};
use gloaming_api::budget::Spend;
use gloaming_api::evidence::{Evidence, StepResult, Verdict};
use gloaming_api::job::JobRecord;
use gloaming_api::journal::{AgentRole, EventKind};
use gloaming_api::profile::CommandKind;
use gloaming_api::tool::{CallDuration, CallRecord, Decided, PathDenial, ToolOutcome};
use gloaming_api::{Digest, RelPath};
use gloaming_model::{Model, ModelError, Request, Response, ToolDef};
use gloaming_policies::{Access, Denial, Grant, MayWrite, RuleRef, WRITING_TOOLS};
use gloaming_sandbox::Sandbox;
use serde_json::Value;

use crate::blueprint::Run;
use crate::bow::Draft;
use crate::check;
use crate::end::{End, WorkerError};
use crate::provision::Bench;
use crate::spend;
use crate::theirs::{self, Lent};

/// Tokens one answer may have.
const MAX_TOKENS: u32 = 8192;

/// Files with instructions for agents are handed over up to this many bytes each.
const INSTRUCTIONS: usize = 16 * 1024;

/// What a role may write, where that is less than the policy lets anybody: a rule, and which paths it leaves.
pub(crate) type Bounds = (RuleRef, MayWrite);

/// One of the team and its conversation; a coder's lives over several rounds of verification.
pub(crate) struct Session {
    role: AgentRole,
    agent: Agent,
    calls: u32,
    begun: bool,
    bounds: Option<Bounds>,
    lent: Vec<Lent>,
    /// Of what its model was shown again, the bytes that are counted already.
    counted: u64,
}

/// What one of the team begins with, beside the task.
pub(crate) struct Start<'a> {
    pub(crate) role: AgentRole,
    /// Where it works; none for who only reads what it is shown.
    pub(crate) bench: Option<&'a Bench>,
    /// What else it is shown.
    pub(crate) shown: Vec<Shown>,
    /// The most answers it may give, where that is less than the policy lets an attempt have.
    pub(crate) steps: u32,
    pub(crate) bounds: Option<Bounds>,
    /// Tools of MCP servers that it may use.
    pub(crate) lent: Vec<Lent>,
}

impl Session {
    pub(crate) fn new(run: &Run<'_>, start: Start<'_>) -> Self {
        let Start { role, bench, shown, steps, bounds, lent } = start;
        let mut budget = run.equipment.grant.budget();
        budget.steps = budget.steps.min(steps);
        budget.tool_bytes = budget.tool_bytes.saturating_sub(run.cost.tool_bytes);
        let agent = Agent::new(Brief {
            role,
            task: run.assignment.text.clone(),
            tools: bench
                .map(|_| offered(&run.equipment.grant, &run.equipment.sandbox, role))
                .unwrap_or_default()
                .into_iter()
                .chain(lent.iter().map(|lent| lent.shown.clone()))
                .collect(),
            facts: bench.map(crate::blueprint::facts).unwrap_or_default(),
            instructions: bench.map(|bench| instructions(run, bench)).unwrap_or_default(),
            shown,
            budget,
            max_tokens: MAX_TOKENS,
        });
        Self { role, agent, calls: 0, begun: false, bounds, lent, counted: 0 }
    }

    /// Works until the role says that it is done.
    pub(crate) async fn perform(
        &mut self,
        run: &mut Run<'_>,
        bench: Option<&Bench>,
        model: &dyn Model,
        findings: Option<String>,
    ) -> Result<Done, End> {
        let first = match findings {
            Some(text) => Event::Findings { text },
            None if !self.begun => Event::Start,
            None => Event::Findings { text: "Verification did not pass; look again.".into() },
        };
        self.begun = true;
        self.tell_time(run);
        let mut actions: std::collections::VecDeque<Action> = self.agent.step(first).into();
        while let Some(action) = actions.pop_front() {
            let recalled = self.agent.recalled_bytes();
            run.cost.tool_bytes += recalled - std::mem::replace(&mut self.counted, recalled);
            if run.stop.is_cancelled() {
                return Err(End::Stopped);
            }
            if matches!(action, Action::CallModel(_) | Action::CallTool { .. }) {
                run.go_on()?;
            }
            match action {
                Action::CallModel(request) => {
                    self.tell_time(run);
                    actions.extend(self.call_model(run, model, &request).await?);
                }
                Action::CallTool { id, name, args } => {
                    let Some(bench) = bench else {
                        return Err(Draft::new(
                            run.stage.0,
                            ReasonCode::Stuck,
                            "A role without tools called one.",
                        )
                        .into());
                    };
                    spend::may_call_tool(run)?;
                    run.doing(format!("{name} {}", target(&args)));
                    // The numbers of calls begin anew with each role.
                    let id = format!("{}-{id}", self.role.as_str());
                    let outcome = match self.lent.iter().find(|lent| lent.shown.name == name) {
                        Some(lent) => theirs::call(run, bench, &id, lent, args).await?,
                        None => call_tool(run, bench, &id, &name, args, self.bounds.as_ref()).await?,
                    };
                    let id = id[self.role.as_str().len() + 1..].to_owned();
                    let text = outcome.for_model();
                    run.cost.tool_bytes += text.len().min(SHOWN) as u64;
                    let output_digest = Digest::of(&text);
                    actions.extend(self.agent.step(Event::ToolDone {
                        id,
                        name,
                        ok: outcome.ok,
                        text,
                        output_digest,
                    }));
                }
                Action::Done(done) => return Ok(done),
                Action::BowOut { code, summary, questions, attempted } => {
                    let mut draft = Draft::new(run.stage.0, code, summary.clone())
                        .evidence(BowOutEvidence::note("model", summary));
                    draft.questions = questions;
                    draft.attempted = attempted;
                    return Err(draft.into());
                }
            }
        }
        Err(Draft::new(run.stage.0, ReasonCode::Stuck, "The work stopped without a next step.").into())
    }

    fn tell_time(&mut self, run: &Run<'_>) {
        // Time alone asks for nothing; the coder weighs it before its next call.
        let _ = self.agent.step(Event::Clock { elapsed: run.elapsed() });
    }

    async fn call_model(
        &mut self,
        run: &mut Run<'_>,
        model: &dyn Model,
        request: &Request,
    ) -> Result<Vec<Action>, End> {
        let digest = Digest::of_json(request);
        let mut told = false;
        let bound = loop {
            // What was set aside, or could not be, is the record's to say: prices change, and others spend too.
            let (bound, new) = match run.journal.recorded().map_err(WorkerError::from)? {
                Some(EventKind::ModelAsked { reserved_usd, .. }) => {
                    (spend::most(request, *reserved_usd), false)
                }
                Some(EventKind::BudgetRefused { refusal }) => {
                    let refusal = refusal.clone();
                    return Err(spend::refused(run, refusal));
                }
                // Asking is not what comes next in the record, and is told so below.
                Some(_) => (Spend::default(), false),
                None => (spend::reserve(run, model, request).await?, true),
            };
            if !told {
                self.calls += 1;
                run.cost.calls += 1;
                told = true;
                run.doing(format!(
                    "waiting for {} (answer {}, ${:.2} spent)",
                    model.spec(),
                    self.calls,
                    run.cost.usd
                ));
            }
            let (role, request, summary) = (self.role, digest.clone(), self.agent.is_summing_up());
            run.record(EventKind::ModelAsked { role, request, reserved_usd: bound.usd, summary })?;
            run.asked += 1;
            if new {
                break bound;
            }
            match run.journal.recorded().map_err(WorkerError::from)? {
                Some(EventKind::ModelCall { request, response, cost_usd, .. }) if *request == digest => {
                    let response: Response = serde_json::from_value(response.clone()).map_err(|error| {
                        WorkerError::Diverged(format!("the recorded answer is none: {error}"))
                    })?;
                    let cost_usd = *cost_usd;
                    run.journal.keep_next().map_err(WorkerError::from)?;
                    spend::settle(run, spend::of(&response, cost_usd)).await?;
                    return Ok(self.agent.step(Event::Answer { response, cost_usd }));
                }
                // The process died while it waited: what that answer cost nobody knows, and it is asked for again. So it was in
                // the record of one that was gone on with.
                Some(EventKind::ModelAsked { request, .. }) if *request != digest => {}
                Some(EventKind::ModelAsked { .. } | EventKind::BudgetRefused { .. }) | None => {
                    spend::settle(run, bound).await?;
                    continue;
                }
                Some(_) => {}
            }
            run.go_on()?;
            return Err(WorkerError::Diverged("the record has no answer of the model".into()).into());
        };
        let since = Instant::now();
        let stop = run.stop.clone();
        let answer = tokio::select! {
            answer = model.complete(request) => answer,
            () = stop.cancelled() => {
                // Nobody waits for it; its provider may well finish it, and ask to be paid.
                spend::settle(run, bound).await?;
                return Err(End::Stopped);
            }
        };
        match answer {
            Ok(response) => {
                let cost_usd = response.cost_usd.unwrap_or(0.0);
                run.record(EventKind::ModelCall {
                    request: digest,
                    response: serde_json::to_value(&response)
                        .expect("an answer serialises: it was parsed from JSON"),
                    cost_usd,
                    duration_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
                })?;
                spend::settle(run, spend::of(&response, cost_usd)).await?;
                Ok(self.agent.step(Event::Answer { response, cost_usd }))
            }
            Err(error) => {
                run.record(EventKind::ModelFailed { request: digest, error: error.in_words() })?;
                spend::settle(run, spend::of_failure(&error, bound)).await?;
                Err(unreachable_model(error))
            }
        }
    }
}

/// Returns the tools that a role may call: of those that the policy offers, for who only plans the reading ones.
pub fn offered(grant: &Grant, sandbox: &Sandbox, role: AgentRole) -> Vec<ToolDef> {
    let mut specs = sandbox.tools();
    specs.push(check::spec());
    let reads = |name: &str| name != "check" && !WRITING_TOOLS.contains(&name);
    specs
        .iter()
        .filter(|spec| grant.offers(&spec.name) && (role != AgentRole::Planner || reads(&spec.name)))
        .map(ToolDef::from)
        .collect()
}

/// The repository's files with instructions for agents, as data.
fn instructions(run: &Run<'_>, bench: &Bench) -> Vec<(String, String)> {
    let permit = run.equipment.grant.permit_tool("read");
    // What the policy lets nobody read is no instruction either.
    let readable = |path: &&RelPath| permit.as_ref().is_ok_and(|permit| permit.allows(Access::Read, path));
    let text = |path: &RelPath| {
        let bytes = run.equipment.repository.read_file(&run.assignment.base, path).ok().flatten()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some((path.to_string(), shorten(&text, INSTRUCTIONS)))
    };
    bench.profile.instructions.iter().filter(readable).filter_map(text).collect()
}

/// The provider's failure is infrastructure, never the agent's.
fn unreachable_model(error: ModelError) -> End {
    WorkerError::Model(error).into()
}

/// Calls one tool, records the call, and returns its answer. A refusal is an answer too.
pub(crate) async fn call_tool(
    run: &mut Run<'_>,
    bench: &Bench,
    id: &str,
    name: &str,
    args: Value,
    bounds: Option<&Bounds>,
) -> Result<ToolOutcome, End> {
    let grant = &run.equipment.grant;
    let permitted = grant.permit_tool(name).map(|permit| match bounds {
        Some((rule, may_write)) => permit.narrowed(rule.clone(), may_write.clone()),
        None => permit,
    });
    let (outcome, record, job) = match permitted {
        Err(denial) => {
            let (outcome, record) = forbidden(run, name, &args, denial);
            (outcome, record, None)
        }
        Ok(_) if name == "check" && run.journal.recorded().map_err(WorkerError::from)?.is_some() => {
            return recorded_job(run, id, name, &args);
        }
        Ok(_) if name == "check" => {
            let since = Instant::now();
            let (outcome, job) = check::call(&for_jobs(run, bench), &args).await?;
            let record = host_record(run, name, &args, Decided::Allow, since.elapsed().as_micros());
            (outcome, record, job)
        }
        Ok(permit) => {
            let (sandbox, files, given) = (run.equipment.sandbox.clone(), bench.files.clone(), args.clone());
            let call = match tokio::task::spawn_blocking(move || sandbox.call(&permit, &files, &given)).await
            {
                Ok(call) => call,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            for line in &call.log {
                tracing::warn!(tool = name, "{line}");
            }
            (call.outcome, call.record, None)
        }
    };
    record_call(run, id, args, outcome, record, job)
}

/// Runs a linter's own fixes, records the job as a call is, and returns what it made of the repository's files.
pub(crate) async fn fix(
    run: &mut Run<'_>,
    bench: &Bench,
    id: &str,
    kind: CommandKind,
) -> Result<ToolOutcome, End> {
    let (name, args) = ("fix", serde_json::json!({"what": kind.as_str()}));
    if run.journal.recorded().map_err(WorkerError::from)?.is_some() {
        return recorded_job(run, id, name, &args);
    }
    let since = Instant::now();
    let files = run.equipment.repository.list_files(&run.assignment.base)?;
    let paths = files.into_iter().filter_map(|file| file.path).collect();
    let (outcome, job) = crate::fix::call(&for_jobs(run, bench), &bench.files, paths, kind).await?;
    let record = host_record(run, name, &args, Decided::Allow, since.elapsed().as_micros());
    record_call(run, id, args, outcome, record, job)
}

pub(crate) fn for_jobs<'a>(run: &'a Run<'_>, bench: &'a Bench) -> check::Bench<'a> {
    check::Bench {
        grant: &run.equipment.grant,
        profile: &bench.profile,
        engine: bench.engine.as_ref(),
        provision: bench.provision(run).map(|of_base| match &bench.handed {
            Some(handed) => gloaming_profile::Provision { base: Some(handed), ..of_base },
            None => of_base,
        }),
        workspace: bench.checkout.dir().to_owned(),
        work_dir: run.equipment.work_dir.join("check"),
        cancel: &run.stop,
    }
}

/// Takes the answer of a job from the record, with the job's own.
pub(crate) fn recorded_job(
    run: &mut Run<'_>,
    id: &str,
    name: &str,
    args: &Value,
) -> Result<ToolOutcome, End> {
    if let Some(EventKind::Job { .. }) = run.journal.recorded().map_err(WorkerError::from)? {
        run.journal.keep_next().map_err(WorkerError::from)?;
    }
    let recorded = run.journal.recorded().map_err(WorkerError::from)?.cloned();
    let outcome = match recorded {
        Some(EventKind::ToolCall { id: theirs, args: asked, outcome, record })
            if record.tool == name && theirs == id && asked == *args =>
        {
            outcome
        }
        other => {
            let recorded = other.map(|kind| crate::tape::told(&kind)).unwrap_or_default();
            let reason = format!("`{name}` was called with {args}; recorded is {recorded}");
            return Err(WorkerError::Diverged(reason).into());
        }
    };
    run.journal.keep_next().map_err(WorkerError::from)?;
    Ok(outcome)
}

/// Records a call and returns its answer; its job first: where the process dies between the two, the call is made again,
/// and its job with it.
pub(crate) fn record_call(
    run: &mut Run<'_>,
    id: &str,
    args: Value,
    outcome: ToolOutcome,
    record: CallRecord,
    job: Option<JobRecord>,
) -> Result<ToolOutcome, End> {
    if let Some(job) = job {
        run.record(EventKind::Job { label: record.tool.clone(), record: Box::new(job) })?;
    }
    run.record(EventKind::ToolCall {
        id: id.to_owned(),
        args,
        outcome: outcome.clone(),
        record: Box::new(record),
    })?;
    Ok(outcome)
}

/// Returns the answer and the record of a call that the policy forbids as a whole.
pub(crate) fn forbidden(
    run: &Run<'_>,
    name: &str,
    args: &Value,
    denial: Denial,
) -> (ToolOutcome, CallRecord) {
    let mut record = host_record(run, name, args, Decided::Deny, 0);
    record.denials.push(PathDenial { path: String::new(), rule: denial.rule.id.clone() });
    (ToolOutcome::error(denial.of_tool(name)), record)
}

pub(crate) fn host_record(
    run: &Run<'_>,
    tool: &str,
    args: &Value,
    decision: Decided,
    micros: u128,
) -> CallRecord {
    let total = u64::try_from(micros).unwrap_or(u64::MAX);
    CallRecord {
        duration_us: CallDuration { total, ..CallDuration::default() },
        ..CallRecord::without_run(tool, run.equipment.grant.digest(), args, decision)
    }
}

fn target(args: &Value) -> String {
    let text =
        ["path", "pattern", "what", "selector"].iter().find_map(|key| args[*key].as_str()).unwrap_or("");
    shorten(text, 60)
}

/// Tells a coder what the verifier found, with the ends of the failing commands' output.
pub(crate) fn findings(verdict: &Verdict, evidence: &Evidence) -> String {
    let mut text = format!("The change was verified and does not pass: {}\n", verdict.summary);
    for step in evidence.steps.iter().filter(|s| matches!(s.result, StepResult::Fail | StepResult::Unknown)) {
        text.push_str(&format!("- {}: {}\n", step.step, step.detail));
    }
    for signal in evidence.signals.iter().take(20) {
        text.push_str(&format!(
            "- {} at {}:{}: {}\n",
            signal.name,
            signal.path,
            signal.line,
            shorten(&signal.detail, 200)
        ));
    }
    // The run with control tests fails by design, and names them.
    let own = |tree: &str| tree.starts_with("patched") && !tree.contains("controls");
    let failing = evidence.jobs.iter().rev().find(|job| own(&job.tree) && !job.record.exit.success());
    if let Some(job) = failing {
        let tail = crate::blueprint::tail_of(
            &format!("{}\n{}", job.record.stdout_tail, job.record.stderr_tail),
            4000,
        );
        text.push_str(&format!(
            "\n`{}` ended with {}:\n{tail}\n",
            job.record.argv.join(" "),
            job.record.exit
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn findings_never_show_the_run_with_control_tests() {
        let limits =
            json!({"memory": 1, "cpus": 1.0, "processes": 1, "wall_s": 1, "output": 1, "scratch": 1});
        let job = |tree: &str, tail: &str| {
            json!({
                "tree": tree, "step": "V8", "purpose": "test", "argv": ["pytest"], "cwd": ".", "engine": "embedded",
                "environment": Digest::of("e"), "grant": Digest::of("g"), "exit": {"how": "code", "value": 1},
                "duration_ms": 1, "limits": limits, "stdout_tail": tail, "stderr_tail": ""
            })
        };
        let evidence: Evidence = serde_json::from_value(json!({
            "schema_version": 1, "repo": "a/b", "base": "0".repeat(40), "patch": Digest::of("p"),
            "origin": {"kind": "external"}, "grant": Digest::of("g"), "files": [],
            "steps": [{"step": "V5", "result": "fail", "detail": "no test fails without the change"}],
            "jobs": [job("patched", "the patch's own failure"), job("patched-controls", "test_control_1f2e")],
            "baseline_tests": {}, "patched_tests": {}, "fail_to_pass": [], "flaky": [], "signals": []
        }))
        .expect("the evidence is valid");
        let verdict: Verdict = serde_json::from_value(json!({
            "verdict": "bow_out", "code": "no_fail_to_pass", "summary": "s", "steps": [], "confidence": 0.0,
            "threshold": 0.6, "calibrated": false, "reasons": []
        }))
        .expect("the verdict is valid");
        let text = findings(&verdict, &evidence);
        assert!(text.contains("the patch's own failure") && !text.contains("control"), "{text}");
    }
}
