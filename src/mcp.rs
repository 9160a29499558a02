//! `gloaming mcp`: the sandboxed tools, lent to other agents on a folder of the user's.
//!
//! Over standard input and output, standard output carries the protocol and nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use gloaming_api::journal::{EventKind, PolicyLayerText, ServingStarted};
use gloaming_api::tool::ToolSpec;
use gloaming_api::{RepoId, TaskId};
use gloaming_jobs::Cancel;
use gloaming_mcp::{HttpError, Listener, Record, Served, Server, Token};
use gloaming_policies::{Diagnostic, TOOLS};
use gloaming_worker::Journal;
use gloaming_workspace::{RepoError, Repository};

use crate::cli::{McpArgs, PolicyChoice};
use crate::context::{self, Home, Resolved};
use crate::failure::Failure;
use crate::run::{cancel_on_signal, policy_at, repo_failure};

pub(crate) async fn main(args: McpArgs) -> anyhow::Result<ExitCode> {
    let home = Home::open()?;
    let folder = args.repo.canonicalize().map_err(|error| {
        Failure::usage(format!("cannot open the folder {}: {error}", args.repo.display()))
    })?;
    let files = context::workspace_files(&home, &folder)?;
    let listener = match args.http {
        Some(address) => Some(listen(address, args.token_file.as_deref()).await?),
        None => None,
    };
    let repo = context::repo_name(&args.policy, &folder);
    let mut resolved = match policy(&args.policy, &repo, &folder, &home)? {
        Ok(resolved) => resolved,
        // A repository's policy that is present and does not load fails closed.
        Err(diagnostics) => return Err(context::bad_policy(&diagnostics)),
    };
    let sandbox = context::sandbox(&home, &resolved.grant)?;
    if args.read_only {
        resolved = context::narrow(resolved, &repo, read_only(&sandbox.tools()))?;
    }
    let Resolved { grant, layers } = resolved;
    let grant = grant.with_tools(context::components(&sandbox));

    let journal = journal_file(args.journal.as_deref(), &home)?;
    let mut recorder = Journal::create(&journal).map_err(|error| {
        Failure::usage(format!("cannot begin the journal {}: {error}", journal.display()))
            .hint("name a file that does not exist yet with --journal")
    })?;
    let transport = listener.as_ref().map_or_else(|| "stdio".to_owned(), Listener::url);
    let offered = sandbox.tools().into_iter().map(|tool| tool.name).filter(|name| grant.offers(name));
    recorder
        .append(EventKind::ServingStarted(Box::new(ServingStarted {
            format: 1,
            program: format!("gloaming {}", env!("CARGO_PKG_VERSION")),
            repo: repo.clone(),
            location: folder.display().to_string(),
            transport: transport.clone(),
            policy: layers,
            grant: grant.digest().clone(),
            tools: offered.collect(),
            components: grant.tools().clone(),
        })))
        .map_err(|error| Failure::infrastructure("write the journal", error))?;
    // Held until the end, so that no other session takes it for an old one's.
    let undo = home.new_undo_dir(recorder.chain().head())?;
    let files = files.with_images(undo.path()).map_err(|error| {
        Failure::infrastructure(&format!("open the folder {}", undo.path().display()), error)
    })?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let served = Served { sandbox, files, grant, repo, folder: folder.clone(), version };
    let server = Server::new(served, Arc::new(Recorder(Mutex::new(recorder))));
    eprintln!("serving {} over {transport}; the journal is {}", folder.display(), journal.display());

    let cancel = Cancel::new();
    cancel_on_signal(&cancel);
    let stop = async move { cancel.cancelled().await };
    let ended = match listener {
        Some(listener) => {
            server.serve_http(listener, stop).await;
            Ok(())
        }
        None => server.serve_streams(tokio::io::stdin(), tokio::io::stdout(), stop).await,
    };
    server.finish().await.map_err(|error| Failure::infrastructure("write the journal", error))?;
    ended.map_err(|error| {
        Failure::usage(error.to_string())
            .hint("this is for a program that speaks MCP; docs/mcp.md tells how to add it to one")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The worker's journal as the server sees it.
struct Recorder(Mutex<Journal>);

impl Record for Recorder {
    fn record(&self, event: EventKind) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(event).map_err(io::Error::from)
    }
}

async fn listen(address: std::net::SocketAddr, token_file: Option<&Path>) -> anyhow::Result<Listener> {
    let token = match token_file {
        Some(file) => {
            let text = context::read_text(file, "the token file", context::FILE_CAP)?;
            Some(Token::new(&text).map_err(|error| {
                Failure::usage(format!("{}: {error}", file.display()))
                    .hint("`openssl rand -hex 32` makes a good one")
            })?)
        }
        None => None,
    };
    Listener::bind(address, token).await.map_err(|error| match error {
        HttpError::Exposed(_) => Failure::usage(error.to_string())
            .hint("name a file with a token by --token-file, or listen on 127.0.0.1")
            .into(),
        HttpError::Bind { address, source } => {
            Failure::usage(format!("cannot listen on {address}: {source}")).into()
        }
        HttpError::Token => Failure::usage(error.to_string()).into(),
    })
}

/// Resolves the policy: the operator's, narrowed by the repository's own as it is committed, since what lies in the
/// folder may have been written by an agent. A folder that is no repository, or has no commit yet, has none.
pub(crate) fn policy(
    choice: &PolicyChoice,
    repo: &RepoId,
    folder: &Path,
    home: &Home,
) -> anyhow::Result<Result<Resolved, Vec<Diagnostic>>> {
    let work = home.work_dir(TaskId::generate().as_str())?;
    let repository = match Repository::open(folder, &work.path().join("git")) {
        Ok(repository) => repository,
        Err(RepoError::NotGit { inside, .. }) => {
            if let Some(top) = inside {
                let top = top.display();
                eprintln!(
                    "note: the folder lies inside the repository {top}, whose own policy is not applied"
                );
            }
            return context::resolve_policy(choice, repo, None);
        }
        Err(RepoError::NoCommits(_)) => return context::resolve_policy(choice, repo, None),
        Err(error) => return Err(repo_failure(error)),
    };
    match repository.resolve(None) {
        Ok(base) => policy_at(choice, repo, &repository, &base),
        Err(RepoError::UnbornHead { .. }) => context::resolve_policy(choice, repo, None),
        Err(error) => Err(repo_failure(error)),
    }
}

/// The layer that `--read-only` stands for: the tools that can write are denied as a whole, and nothing is
/// written by any other.
fn read_only(tools: &[ToolSpec]) -> PolicyLayerText {
    let writing: Vec<&str> = tools.iter().filter(|tool| tool.writes).map(|tool| tool.name.as_str()).collect();
    let mut text = String::from("schema = 1\n");
    // A file's rules may name those tools alone that the file knows.
    for name in writing.iter().filter(|name| !TOOLS.contains(name)) {
        text.push_str(&format!("\n[[tool]]\nname = \"{name}\"\n"));
    }
    if !writing.is_empty() {
        text.push_str(&format!(
            "\n[[deny]]\nid = \"read-only\"\ntools = {writing:?}\npaths = [\"**\"]\n\
             because = \"The server was started with --read-only.\"\n\
             instead = \"Describe the change to the user.\"\n"
        ));
    }
    text.push_str(
        "\n[[deny]]\nid = \"read-only-files\"\ntools = [\"*\"]\naccess = \"write\"\npaths = [\"**\"]\n\
         because = \"The server was started with --read-only.\"\n",
    );
    PolicyLayerText { layer: "task".into(), file: "--read-only".into(), text }
}

/// Returns where the journal goes: the operator's file, or a new one of ours named by the time.
fn journal_file(given: Option<&Path>, home: &Home) -> anyhow::Result<PathBuf> {
    if let Some(file) = given {
        return Ok(std::path::absolute(file)?);
    }
    let dir = home.data.join("mcp");
    std::fs::create_dir_all(&dir)
        .map_err(|error| Failure::infrastructure(&format!("make the folder {}", dir.display()), error))?;
    let name = format!("{}-{}.jsonl", context::now().strftime("%Y%m%dT%H%M%S"), std::process::id());
    Ok(dir.join(name))
}
