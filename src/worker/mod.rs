//! `gloaming worker`: takes tasks of a control plane, each attempt a process of its own.
//!
//! This process holds the worker's token and talks to the control plane. It starts a process for the attempt and then another
//! one that verifies the change again from a fresh clone; neither is handed the token, and both end when this process does.

mod child;
mod course;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gloaming_api::worker::{Control, ControlError, LONGEST_WAIT, LeaseRequest, PROTOCOL};
use gloaming_jobs::Cancel;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::course::Equipment;
use crate::cli::WorkerArgs;
use crate::context::Home;
use crate::failure::{Failure, exit};
use crate::run::cancel_on_signal;

/// How long after a question that nobody answered it is asked again; doubled up to [`LONGEST`].
const AGAIN: Duration = Duration::from_secs(1);

/// The longest between two questions: a control plane that is back has its workers again soon.
const LONGEST: Duration = Duration::from_secs(15);

pub(crate) async fn main(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let client = crate::plane::client(&args.plane)?;
    let cancel = Cancel::new();
    cancel_on_signal(&cancel);
    let name = args.name.clone().unwrap_or_else(host_name);
    let labels = labels(&args, crate::engine::name(&Home::open()?, args.engine).await?.as_deref());
    crate::logs::say(&format!("{name} takes tasks for {}", labels.join(", ")));
    let equipment = Arc::new(Equipment::of(Home::open()?, &args)?);
    let once = args.once;
    work(Arc::new(client), equipment, &name, labels, args.jobs, once, cancel).await?;
    Ok(ExitCode::from(exit::OK))
}

/// What this machine is called.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a worker has: its engine, its architecture, and what its operator says.
pub(crate) fn labels(args: &WorkerArgs, engine: Option<&str>) -> Vec<String> {
    let mut labels = vec![format!("arch:{}", std::env::consts::ARCH)];
    labels.extend(engine.map(|engine| format!("engine:{engine}")));
    labels.extend(args.labels.iter().cloned());
    labels.sort();
    labels.dedup();
    labels
}

/// Takes tasks until it is told to stop, `jobs` at once. An attempt that runs then is stopped and given back.
pub(crate) async fn work<C: Control + 'static>(
    control: Arc<C>,
    equipment: Arc<Equipment>,
    name: &str,
    labels: Vec<String>,
    jobs: u32,
    once: bool,
    cancel: Cancel,
) -> anyhow::Result<()> {
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..jobs {
        let request = LeaseRequest {
            protocol: PROTOCOL,
            worker: name.to_owned(),
            labels: labels.clone(),
            wait_s: LONGEST_WAIT.as_secs(),
        };
        lanes.spawn(lane(control.clone(), equipment.clone(), request, once, cancel.clone()));
    }
    while let Some(ended) = lanes.join_next().await {
        let ended = ended.map_err(|error| Failure::infrastructure("work on tasks", error)).and_then(|lane| {
            lane.map_err(|error| Failure::infrastructure("take tasks of the control plane", error))
        });
        if let Err(failure) = ended {
            cancel.cancel();
            while lanes.join_next().await.is_some() {}
            return Err(failure.into());
        }
    }
    Ok(())
}

async fn lane<C: Control>(
    control: Arc<C>,
    equipment: Arc<Equipment>,
    request: LeaseRequest,
    once: bool,
    cancel: Cancel,
) -> Result<(), ControlError> {
    let mut pause = AGAIN;
    loop {
        let lease = tokio::select! {
            lease = control.lease(&request) => lease,
            () = cancel.cancelled() => return Ok(()),
        };
        match lease {
            Ok(Some(lease)) => {
                pause = AGAIN;
                course::follow(control.as_ref(), &equipment, lease, &cancel).await;
                if once {
                    return Ok(());
                }
            }
            Ok(None) => pause = AGAIN,
            Err(ControlError::Away(why)) => {
                tracing::warn!(why, "the control plane is away");
                tokio::select! {
                    () = sleep_until(Instant::now() + pause) => {}
                    () = cancel.cancelled() => return Ok(()),
                }
                pause = (pause * 2).min(LONGEST);
            }
            // A token that is not taken, or another version of the protocol: asking again changes nothing.
            Err(error) => return Err(error),
        }
    }
}

/// Returns the program that this process runs, for those it starts.
pub(crate) fn own_program() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().map_err(|error| Failure::infrastructure("find this program", error).into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_has_a_name() {
        assert!(!super::host_name().is_empty());
    }
}
