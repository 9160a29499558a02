//! Stands in for the model of a recorded attempt, whose answers are in its journal.

use futures::future::BoxFuture;

use crate::{Model, ModelError, Request, Response};

/// A model that answers nothing: whoever replays an attempt takes the answers from its record, to the very requests they
/// answered, and comes here only with a request that the record does not have.
#[derive(Debug)]
pub struct Replay {
    spec: String,
}

impl Replay {
    /// Takes the recorded model's spec.
    pub fn of(spec: &str) -> Self {
        Self { spec: spec.to_owned() }
    }
}

impl Model for Replay {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn readers(&self) -> Vec<(String, Option<String>)> {
        // Nobody is sent anything; who was, is the record's word.
        self.spec.split(',').map(|spec| (spec.to_owned(), None)).collect()
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, ModelError>> {
        let found = request.digest();
        Box::pin(async move { Err(ModelError::NotRecorded { found }) })
    }

    fn worst_case_usd(&self, _: &Request) -> Option<f64> {
        None
    }
}
