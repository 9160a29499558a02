//! Several models, each asked when those before it failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{Model, ModelError, Request, Response};

/// How long a model that failed for good is asked after the others: its own tries took minutes, and so would the next
/// call's.
const REST: Duration = Duration::from_secs(5 * 60);

/// Returns one model that asks the first, and the next where the one before gave no answer for good. It goes by all
/// specs, joined by commas, and a response names the one that answered.
///
/// # Panics
/// When `models` is empty.
pub fn chain(models: Vec<Arc<dyn Model>>) -> Arc<dyn Model> {
    let specs: Vec<&str> = models.iter().map(|model| model.spec()).collect();
    let spec = specs.join(",");
    assert!(!spec.is_empty(), "a chain has a model");
    if let [alone] = models.as_slice() {
        return Arc::clone(alone);
    }
    let links = models.into_iter().map(|model| Link { model, rests_until: Mutex::new(None) }).collect();
    Arc::new(Chain { spec, links })
}

struct Chain {
    spec: String,
    links: Vec<Link>,
}

struct Link {
    model: Arc<dyn Model>,
    rests_until: Mutex<Option<Instant>>,
}

impl Link {
    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

impl Chain {
    async fn call(&self, request: &Request) -> Result<Response, ModelError> {
        let (resting, awake): (Vec<&Link>, Vec<&Link>) = self.links.iter().partition(|link| link.rests());
        let mut spent_usd = Some(0.0);
        let mut failed = Vec::new();
        for link in awake.into_iter().chain(resting) {
            let spec = link.model.spec();
            match link.model.complete(request).await {
                Ok(mut response) => {
                    if !failed.is_empty() {
                        tracing::warn!(
                            model = spec,
                            "a model answered in another's stead: {}",
                            failed.join("; ")
                        );
                    }
                    response.model = named(spec, &response.model);
                    response.cost_usd = sum(response.cost_usd, spent_usd);
                    return Ok(response);
                }
                Err(error) => {
                    spent_usd = sum(spent_usd, error.spent_usd());
                    if !is_about_the_request(&error) {
                        *link.rests_until.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(Instant::now() + REST);
                    }
                    failed.push(format!("{spec}: {}", error.in_words()));
                }
            }
        }
        Err(ModelError::NoneAnswered { count: failed.len(), words: failed.join("; "), spent_usd })
    }
}

impl Model for Chain {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn readers(&self) -> Vec<(String, Option<String>)> {
        self.links.iter().flat_map(|link| link.model.readers()).collect()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, ModelError>> {
        Box::pin(self.call(request))
    }

    fn worst_case_usd(&self, request: &Request) -> Option<f64> {
        let costs: Option<Vec<f64>> =
            self.links.iter().map(|link| link.model.worst_case_usd(request)).collect();
        costs.map(|costs| costs.into_iter().fold(0.0, f64::max))
    }
}

/// Returns the spec of the model that answered, by the name its provider gives it.
fn named(spec: &str, served: &str) -> String {
    match spec.split_once(':') {
        Some((provider, _)) if !served.is_empty() => format!("{provider}:{served}"),
        _ => spec.to_owned(),
    }
}

/// What nobody knows the price of makes the sum unknown.
fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? + other?)
}

/// Whether another request would fare better with the same model.
fn is_about_the_request(error: &ModelError) -> bool {
    match error {
        ModelError::Refused { status, .. } => matches!(status, 400 | 413 | 422),
        ModelError::TooLarge { .. } => true,
        ModelError::GaveUp { source, .. } => is_about_the_request(source),
        _ => false,
    }
}
