//! Tools of MCP servers that the policy names. A server is started for each call, as a job of the kind `test`: a container
//! with a job's limits, the network that policy lets such jobs have, an empty folder or a copy of the workspace, and nothing
//! else. It is talked to through two pipes in the job's scratch folder.

use std::path::Path;
use std::time::Duration;

use gloaming_agent::{Source, fenced};
use gloaming_api::RelPath;
use gloaming_api::job::{JobPurpose, JobRecord};
use gloaming_api::tool::{Decided, ToolError, ToolErrorCode, ToolOutcome};
use gloaming_jobs::{Cancel, Job, JobError, JobOutput, Redactor};
use gloaming_mcp::{NoAnswer, TheirTool, call_their_tool, list_their_tools};
use gloaming_model::ToolDef;
use gloaming_policies::McpServer;
use serde_json::{Value, json};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::blueprint::Run;
use crate::check::{self, denied, give_dependencies};
use crate::code::{for_jobs, forbidden, host_record, record_call, recorded_job};
use crate::end::{End, WorkerError};
use crate::provision::Bench;

/// How long a server may take for one answer, its start with it.
const ANSWER: Duration = Duration::from_secs(120);
/// How long it may take to end once its input has.
const GRACE: Duration = Duration::from_secs(3);

/// A tool of a server that the coder may use.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    server: McpServer,
    theirs: String,
    pub(crate) shown: ToolDef,
}

/// Asks each server that the policy names for its tools, and returns those that it lets be used. A server that does not
/// answer lends none, and the record says why.
pub(crate) async fn lent(run: &mut Run<'_>, bench: &Bench) -> Result<Vec<Lent>, End> {
    let mut all = Vec::new();
    for server in run.equipment.grant.mcp_servers() {
        run.doing(format!("asking the MCP server {} for its tools", server.name));
        let name = format!("mcp_{}", server.name);
        let wanted: Vec<String> = server.tools.iter().map(|(theirs, _)| theirs.clone()).collect();
        let args = json!({"list": wanted});
        let outcome = recorded_or(run, bench, &name, &name, args, &server, Question::List(wanted)).await?;
        let Some(output) = outcome.output.filter(|_| outcome.ok) else {
            tracing::warn!(server = %server.name, error = ?outcome.error, "an MCP server lends no tools");
            continue;
        };
        for (theirs, ours) in &server.tools {
            let Some(tool) =
                output["tools"].as_array().into_iter().flatten().find(|tool| tool["name"] == theirs.as_str())
            else {
                tracing::warn!(server = %server.name, tool = %theirs, "an MCP server has no such tool");
                continue;
            };
            let said = tool["description"].as_str().unwrap_or_default();
            let shown = ToolDef {
                name: ours.clone(),
                description: format!(
                    "A tool of the server {}, which the operator lets be used. The server says of it:\n{}",
                    server.name,
                    fenced(Source::Tool, said)
                ),
                input_schema: tool["input_schema"].clone(),
            };
            all.push(Lent { server: server.clone(), theirs: theirs.clone(), shown });
        }
    }
    Ok(all)
}

/// Makes one call, records it, and returns its answer.
pub(crate) async fn call(
    run: &mut Run<'_>,
    bench: &Bench,
    id: &str,
    lent: &Lent,
    args: Value,
) -> Result<ToolOutcome, End> {
    let name = lent.shown.name.as_str();
    if let Err(denial) = run.equipment.grant.permit_tool(name) {
        let (outcome, record) = forbidden(run, name, &args, denial);
        return record_call(run, id, args, outcome, record, None);
    }
    let question = Question::Call(lent.theirs.clone(), args.clone());
    recorded_or(run, bench, id, name, args, &lent.server, question).await
}

/// What a server is asked.
enum Question {
    /// Which of these tools it has, and what it says of them.
    List(Vec<String>),
    Call(String, Value),
}

/// What it answered.
enum Answer {
    Tools(Vec<TheirTool>),
    Result(gloaming_mcp::TheirResult),
}

/// Takes the answer from the record, or asks and records it, the job first.
async fn recorded_or(
    run: &mut Run<'_>,
    bench: &Bench,
    id: &str,
    name: &str,
    args: Value,
    server: &McpServer,
    question: Question,
) -> Result<ToolOutcome, End> {
    if run.journal.recorded().map_err(WorkerError::from)?.is_some() {
        return recorded_job(run, id, name, &args);
    }
    let since = std::time::Instant::now();
    let (outcome, job) = ask(&for_jobs(run, bench), server, question).await?;
    let record = host_record(run, name, &args, Decided::Allow, since.elapsed().as_micros());
    record_call(run, id, args, outcome, record, job)
}

/// Starts the server, asks it, and sees it to its end.
async fn ask(
    bench: &check::Bench<'_>,
    server: &McpServer,
    question: Question,
) -> Result<(ToolOutcome, Option<JobRecord>), JobError> {
    let refuse = |error: ToolError| Ok((ToolOutcome::error(error), None));
    let failed = |message: String| ToolError::new(ToolErrorCode::Failed, message);
    // Its files go to another machine and come back when the job is over.
    if bench.engine.name() == "kubernetes" {
        let error = failed("this machine's job engine cannot talk with a server while it runs".to_owned());
        return refuse(error.instead("Go on without this tool."));
    }
    let permit = match bench.grant.permit_command(JobPurpose::Test, &server.command, []) {
        Ok(permit) => permit,
        Err(denial) => return refuse(denied(JobPurpose::Test, denial)),
    };
    let folder = bench.work_dir.join("mcp");
    let prepared = {
        let (folder, from) = (folder.clone(), server.workspace.then(|| bench.workspace.clone()));
        let grant = bench.grant.clone();
        tokio::task::spawn_blocking(move || {
            check::remove_if_there(&folder)?;
            let (tree, scratch) = (folder.join("tree"), folder.join("scratch"));
            std::fs::create_dir_all(&scratch)?;
            match from {
                Some(from) => check::seen_by_jobs(&from, &tree, &grant).map(drop)?,
                None => std::fs::create_dir_all(&tree)?,
            }
            make_pipe(&scratch.join("to"))?;
            make_pipe(&scratch.join("from"))
        })
        .await
    };
    let pipes = match prepared {
        Ok(prepared) => prepared.and_then(|()| open(&folder.join("scratch"))),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let (from, to) = match pipes {
        Ok(pipes) => pipes,
        Err(error) => return refuse(failed(format!("no place could be made for the server: {error}"))),
    };
    // The server's own words on standard error stay the job's.
    let script = "exec \"$@\" <\"$0/to\" >\"$0/from\"";
    let mut job = Job {
        argv: ["sh", "-c", script, "/scratch"]
            .map(str::to_owned)
            .into_iter()
            .chain(server.command.clone())
            .collect(),
        cwd: RelPath::root(),
        env: Default::default(),
        workspace: folder.join("tree"),
        scratch: Some(folder.join("scratch")),
        mounts: Vec::new(),
        egress: bench.provision.and_then(|provision| provision.egress_for(bench.engine, &permit)),
        label: format!("mcp {}", server.name),
    };
    if let Err(error) = give_dependencies(bench, &mut job) {
        return refuse(failed(format!("the dependencies could not be shown to the server: {error}")));
    }
    let stop = Cancel::new();
    let mut running = bench.engine.run(&permit, &job, &stop);
    let mut talk = std::pin::pin!(timeout(ANSWER, talk(from, to, question)));
    let mut ended: Option<Result<JobOutput, JobError>> = None;
    let answer = tokio::select! {
        biased;
        answer = &mut talk => Some(answer),
        output = &mut running => {
            ended = Some(output);
            // What it said before it ended is still in the pipe.
            timeout(GRACE, &mut talk).await.ok()
        }
        () = bench.cancel.cancelled() => None,
    };
    let output = match ended {
        Some(output) => output,
        None => match timeout(if answer.is_some() { GRACE } else { Duration::ZERO }, &mut running).await {
            Ok(output) => output,
            Err(_) => {
                stop.cancel();
                running.await
            }
        },
    };
    let output = match output {
        Err(JobError::Denied { denial, .. }) => return refuse(denied(JobPurpose::Test, *denial)),
        output => output?,
    };
    let last = |why: String| {
        let tail = crate::blueprint::tail_of(&output.record.stderr_tail, 2000);
        failed(format!("{why}; it ended with {}. Its last words:\n{tail}", output.record.exit))
    };
    // Secrets that the server was handed as a job: it answers through a pipe, and not by the output that they are taken out
    // of. First here, in what is whole yet, and then in all of the answer.
    let clean = |text: &str| output.redactor.text(text);
    let outcome = match answer {
        Some(Ok(Ok(Answer::Tools(tools)))) => {
            let tools: Vec<Value> = tools.into_iter().map(|tool| tool.shown(clean)).map(|tool| {
                json!({"name": tool.name, "description": tool.description, "input_schema": tool.input_schema})
            }).collect();
            ToolOutcome::ok(json!({"tools": tools}))
        }
        Some(Ok(Ok(Answer::Result(result)))) => match result.shown(clean) {
            result if result.failed => ToolOutcome::error(failed(result.text)),
            result => ToolOutcome::ok(json!({"text": result.text})),
        },
        Some(Ok(Err(error))) => ToolOutcome::error(last(error.shown(clean).to_string())),
        Some(Err(_)) => ToolOutcome::error(ToolError::new(
            ToolErrorCode::Timeout,
            format!("the server gave no answer within {} s", ANSWER.as_secs()),
        )),
        None => ToolOutcome::error(last("the server gave no answer".to_owned())),
    };
    Ok((without_secrets(outcome, &output.redactor), Some(output.record)))
}

/// Takes secrets out of all of an answer, the names of tools and schemas too.
fn without_secrets(outcome: ToolOutcome, redactor: &Redactor) -> ToolOutcome {
    ToolOutcome {
        output: outcome.output.map(|output| redactor.value(output)),
        error: outcome.error.map(|error| ToolError { message: redactor.text(&error.message), ..error }),
        ..outcome
    }
}

async fn talk(from: pipe::Receiver, to: pipe::Sender, question: Question) -> Result<Answer, NoAnswer> {
    match question {
        // What is not lent is nobody's to read, and a server may have any number of tools.
        Question::List(wanted) => list_their_tools(from, to).await.map(|tools| {
            Answer::Tools(tools.into_iter().filter(|tool| wanted.contains(&tool.name)).collect())
        }),
        Question::Call(name, args) => {
            let arguments = args.as_object().cloned().unwrap_or_default();
            call_their_tool(from, to, &name, arguments).await.map(Answer::Result)
        }
    }
}

/// Makes a pipe that the job's user may open, too.
fn make_pipe(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}

/// Opens our ends before the job has seen the pipes: what it puts in their place is not looked at.
fn open(scratch: &Path) -> std::io::Result<(pipe::Receiver, pipe::Sender)> {
    // For both ways: opening does not wait for the server then, and reading does not end before it has begun to write.
    let mut options = pipe::OpenOptions::new();
    options.read_write(true);
    Ok((options.open_receiver(scratch.join("from"))?, options.open_sender(scratch.join("to"))?))
}
