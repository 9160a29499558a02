//! The worker in the process of `gloaming serve`.

use std::sync::Arc;

use gloaming_api::access::Scope;
use gloaming_jobs::Cancel;

use super::config::Config;
use super::serve::{Place, Worker, token};
use crate::cli::{LogArgs, LogFormat, ModelArgs, PlaneArgs, ReachArgs, WorkerArgs};
use crate::context;
use crate::worker;

/// What its token is called.
const TOKEN: &str = "worker-beside";

/// What it is called.
const NAME: &str = "beside";

/// What the worker that the configuration tells of works with.
pub(super) fn worker_args(config: &Config) -> WorkerArgs {
    let told = config.worker.clone();
    WorkerArgs {
        plane: PlaneArgs { control: None, token_file: None, token: None },
        name: None,
        labels: told.labels,
        jobs: told.jobs.unwrap_or(1).max(1),
        policy: None,
        engine: told.engine,
        model: ModelArgs {
            model: told.model.or_else(|| context::variable("GLOAMING_MODEL")),
            reach: ReachArgs {
                model_url: told.model_url.or_else(|| context::variable("GLOAMING_MODEL_URL")),
                model_key_file: told.model_key_file,
                model_price: told.model_price,
                model_rpm: told.model_rpm,
                model_tpm: told.model_tpm,
                model_tools: None,
                no_stream: false,
            },
        },
        review_model: told.review_model.or_else(|| context::variable("GLOAMING_REVIEW_MODEL")),
        once: false,
        log: LogArgs { format: LogFormat::Text },
    }
}

/// Makes the worker that the configuration tells of.
pub(crate) async fn beside(place: Place<'_>) -> anyhow::Result<Option<Worker>> {
    let args = worker_args(place.config);
    let model = args.model.model.clone();
    let engine = crate::engine::name(place.home, args.engine).await?;
    let labels = worker::labels(&args, engine.as_deref());
    let equipment = Arc::new(worker::Equipment::of(place.home.clone(), &args)?);
    // The worker is known by the token's id; its secret is for git alone, and is kept by nobody.
    let made = token(place.store, TOKEN, Scope::Worker)?;
    let control = place.server.in_process(made.id).reached_at(place.address, &made.token.into());
    let control = Arc::new(control);
    let (stop, told, jobs) = (place.stop, labels.clone(), args.jobs);
    let run = Box::pin(async move {
        let cancel = Cancel::new();
        let working = worker::work(control, equipment, NAME, told, jobs, false, cancel.clone());
        let stopping = async {
            stop.cancelled().await;
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = working => if let Err(error) = ended {
                tracing::error!(error = crate::failure::in_one_line(&error), "the worker beside this server ended");
            },
            () = stopping => {}
        }
    });
    Ok(Some(Worker { engine, model, labels, jobs, run }))
}
