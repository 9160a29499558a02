//! Plays recorded answers.

use std::sync::Mutex;

use futures::future::BoxFuture;
use gloaming_api::Digest;
use serde_json::Value;

use crate::price::worst_case;
use crate::{Model, ModelError, ModelSpec, Price, PriceTable, Request, Response};

/// Plays the answers of a recorded journal, in order, to the very requests they answered.
///
/// A request that differs from the recorded one is an error: a replay shows that an attempt comes out the
/// same, and an answer to another question would only look as if it did.
#[derive(Debug)]
pub struct Replay {
    spec: String,
    price: Option<Price>,
    answers: Vec<(Digest, Value)>,
    next: Mutex<usize>,
}

impl Replay {
    /// Takes the recorded model's spec, and the recorded requests' digests with their answers
    /// (`EventKind::ModelCall` of a journal). Its price is the built-in table's.
    pub fn new(spec: &str, answers: Vec<(Digest, Value)>) -> Self {
        Self { spec: spec.to_owned(), price: None, answers, next: Mutex::new(0) }
            .priced(&PriceTable::built_in())
    }

    /// Takes the price from another table: reservations have to come out as they did in the recording. A
    /// model without a price reserves nothing.
    #[must_use]
    pub fn priced(mut self, prices: &PriceTable) -> Self {
        self.price = self.spec.parse().ok().and_then(|spec: ModelSpec| prices.price(&spec));
        self
    }

    /// Returns how many answers were not asked for yet.
    pub fn remaining(&self) -> usize {
        self.answers.len() - *self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn play(&self, request: &Request) -> Result<Response, ModelError> {
        let mut next = self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let index = *next;
        let found = request.digest();
        let Some((expected, answer)) = self.answers.get(index) else {
            return Err(ModelError::Diverged { call: index + 1, expected: None, found });
        };
        if *expected != found {
            return Err(ModelError::Diverged { call: index + 1, expected: Some(expected.clone()), found });
        }
        *next += 1;
        serde_json::from_value(answer.clone())
            .map_err(|source| ModelError::Recording { call: index + 1, source })
    }
}

impl Model for Replay {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, ModelError>> {
        Box::pin(std::future::ready(self.play(request)))
    }

    fn worst_case_usd(&self, request: &Request) -> Option<f64> {
        Some(self.price.map_or(0.0, |price| worst_case(&price, request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Message, Role, Stop, Usage};

    fn request(text: &str) -> Request {
        Request {
            system: "s".into(),
            messages: vec![Message { role: Role::User, blocks: vec![Block::Text { text: text.into() }] }],
            tools: vec![],
            max_tokens: 10,
        }
    }

    fn answer(text: &str) -> Response {
        Response {
            blocks: vec![Block::Text { text: text.into() }],
            stop: Stop::EndTurn,
            usage: Usage::default(),
            model: "m".into(),
            cost_usd: None,
        }
    }

    #[test]
    fn the_same_questions_get_the_recorded_answers_and_others_none() {
        let record = |q: &str, a: &str| (request(q).digest(), serde_json::to_value(answer(a)).unwrap());
        let replay = Replay::new("openai:gpt-5", vec![record("one", "1"), record("two", "2")]);
        assert_eq!(replay.spec(), "openai:gpt-5");
        assert!(replay.worst_case_usd(&request("one")).unwrap() > 0.0);
        assert_eq!(replay.play(&request("one")).unwrap(), answer("1"));
        let error = replay.play(&request("another")).unwrap_err();
        assert!(matches!(error, ModelError::Diverged { call: 2, expected: Some(_), .. }), "{error}");
        assert_eq!(replay.remaining(), 1);
        assert_eq!(replay.play(&request("two")).unwrap(), answer("2"));
        let error = replay.play(&request("three")).unwrap_err();
        assert!(matches!(error, ModelError::Diverged { call: 3, expected: None, .. }), "{error}");
    }

    #[test]
    fn a_recording_of_another_form_is_named() {
        let replay = Replay::new("x", vec![(request("q").digest(), serde_json::json!({"blocks": 1}))]);
        assert!(matches!(replay.play(&request("q")).unwrap_err(), ModelError::Recording { call: 1, .. }));
    }
}
