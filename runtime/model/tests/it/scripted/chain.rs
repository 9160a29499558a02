//! Several models, each asked when those before it failed for good.

use std::sync::Arc;

use gloaming_model::{Model, PriceTable, Settings, Usage, chain};

use crate::server::{Reply, Server};
use crate::wires::{Api, FULL, Wire, price, quick, request};

const FIRST: Wire = Wire { api: Api::Chat, stream: true };
const SECOND: Wire = Wire { api: Api::Messages, stream: true };

fn both(first: &Server, second: &Server) -> Arc<dyn Model> {
    chain(vec![FIRST.model(first.url()), SECOND.model(second.url())])
}

async fn always(reply: Reply) -> Server {
    Server::answering(move |_, _| reply.clone()).await
}

#[tokio::test]
async fn the_first_that_answers_is_the_only_one_that_is_asked() {
    let (first, second) = (always(FIRST.reply(&FULL)).await, always(SECOND.reply(&FULL)).await);
    let model = both(&first, &second);
    assert_eq!(model.spec(), "openai:gpt-5,anthropic:claude-sonnet-4-5");
    let answer = model.complete(&request()).await.unwrap();
    assert_eq!(answer.blocks, FIRST.response(&FULL).blocks);
    assert_eq!(
        (answer.model.as_str(), answer.cost_usd),
        ("openai:served-model", FIRST.response(&FULL).cost_usd)
    );
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_chain_of_one_is_that_model() {
    let server = always(FIRST.reply(&FULL)).await;
    let model = chain(vec![FIRST.model(server.url())]);
    assert_eq!(model.spec(), "openai:gpt-5");
    assert_eq!(model.complete(&request()).await.unwrap(), FIRST.response(&FULL));
}

/// All of its tries go to the first; then the second is asked, and the first is left alone for a while.
#[tokio::test]
async fn when_the_first_fails_for_good_the_next_answers_and_says_who_it_is() {
    let (first, second) = (always(Reply::status(500, &[], "")).await, always(SECOND.reply(&FULL)).await);
    let model = both(&first, &second);
    for round in 1..=3 {
        let answer = model.complete(&request()).await.unwrap();
        assert_eq!(answer.blocks, SECOND.response(&FULL).blocks);
        assert_eq!(answer.model, "anthropic:served-model");
        assert_eq!((first.seen().len(), second.seen().len()), (3, round));
    }
}

/// What is wrong with one request says nothing about the next.
#[tokio::test]
async fn a_request_that_is_refused_does_not_put_a_model_to_rest() {
    for (status, asked) in [(400, 2), (413, 2), (401, 1), (404, 1)] {
        let (first, second) =
            (always(Reply::status(status, &[], "")).await, always(SECOND.reply(&FULL)).await);
        let model = both(&first, &second);
        for _ in 0..2 {
            model.complete(&request()).await.unwrap();
        }
        assert_eq!(first.seen().len(), asked, "{status}");
        assert_eq!(second.seen().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn what_broke_off_before_another_answered_is_part_of_the_price() {
    let body = FIRST.body(&FULL);
    let half = Reply::open("text/event-stream").then(&body[..body.len() / 2]);
    let (first, second) = (always(half).await, always(SECOND.reply(&FULL)).await);
    let cost = both(&first, &second).complete(&request()).await.unwrap().cost_usd.unwrap();
    let three = 3.0 * price(FIRST).of(&Usage { input: 100, ..Usage::default() });
    assert!(cost > SECOND.response(&FULL).cost_usd.unwrap() + three, "{cost}");
}

#[tokio::test]
async fn when_none_answers_each_says_why_and_all_is_counted() {
    let body = SECOND.body(&FULL);
    let half = Reply::open("text/event-stream").then(&body[..body.len() / 2]);
    let (first, second) = (always(Reply::status(401, &[], "no")).await, always(half).await);
    let error = both(&first, &second).complete(&request()).await.unwrap_err();
    let words = error.in_words();
    assert!(
        words.starts_with(
            "none of 2 models answered: openai:gpt-5: the model's server answered 401: no; check the API key; \
             anthropic:claude-sonnet-4-5: no answer after 3 tries (that was the last): "
        ),
        "{words}"
    );
    assert!(error.spent_usd().unwrap() > 0.0 && !error.is_transient(), "{error:?}");
}

/// Those that rest are asked all the same when nobody else is left.
#[tokio::test]
async fn a_model_that_rests_is_better_than_none() {
    let first = Server::answering(|number, _| match number {
        0 => Reply::status(401, &[], ""),
        _ => FIRST.reply(&FULL),
    })
    .await;
    let second = always(Reply::status(403, &[], "")).await;
    let model = both(&first, &second);
    model.complete(&request()).await.unwrap_err();
    assert_eq!(model.complete(&request()).await.unwrap().model, "openai:served-model");
}

#[tokio::test]
async fn the_worst_case_is_that_of_the_dearest_and_who_reads_along_is_told() {
    let cheap = FIRST.model("http://127.0.0.1:9/v1");
    let dear = SECOND.model("http://llm.example:8080");
    let unknown = FIRST.model_with(
        "http://127.0.0.1:9",
        Settings { prices: Some(PriceTable::parse("schema = 1").unwrap()), ..quick() },
    );
    let dearest = dear.worst_case_usd(&request());
    assert!(cheap.worst_case_usd(&request()) < dearest);
    let both = chain(vec![cheap.clone(), dear.clone()]);
    assert_eq!(both.worst_case_usd(&request()), dearest);
    assert_eq!(chain(vec![dear, cheap, unknown]).worst_case_usd(&request()), None, "one has no price");
    assert_eq!(
        both.readers(),
        [
            ("openai:gpt-5".into(), Some("http://127.0.0.1:9".into())),
            ("anthropic:claude-sonnet-4-5".into(), Some("http://llm.example:8080".into())),
        ]
    );
}
