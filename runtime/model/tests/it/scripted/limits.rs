//! How fast a server is asked, by all models together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gloaming_model::{Limits, ModelError, Rates, Settings};

use crate::server::{Reply, Server};
use crate::wires::{HELLO, Wire, quick, request};

fn sharing(limits: &Limits, rates: Rates) -> Settings {
    Settings { limits: limits.clone(), rates, ..quick() }
}

/// Two models, one server, one bucket: 2 requests a second after the first 12.
#[tokio::test]
async fn all_calls_to_a_server_share_its_rate() {
    let one = |wire: Wire| async move {
        let (limits, rates) = (Limits::default(), Rates { requests: Some(120), tokens: None });
        let server = Server::answering(move |_, _| wire.reply(&HELLO)).await;
        let models = [0, 1].map(|_| wire.model_with(server.url(), sharing(&limits, rates)));
        let ask = |number: usize| {
            let model = Arc::clone(&models[number % 2]);
            async move { model.complete(&request()).await.unwrap() }
        };
        let began = Instant::now();
        futures::future::join_all((0..14).map(ask)).await;
        let last = server.seen()[13].at - began;
        assert!(last >= Duration::from_millis(990), "{wire:?}: {last:?}");
    };
    futures::future::join_all(Wire::ALL.map(one)).await;
}

/// Another server's bucket, and one without limits, know nothing of it.
#[tokio::test]
async fn servers_do_not_share() {
    let (limits, rates) = (Limits::default(), Rates { requests: Some(1), tokens: None });
    let began = Instant::now();
    for wire in Wire::ALL {
        let server = Server::answering(move |_, _| wire.reply(&HELLO)).await;
        wire.ask_with(&server, sharing(&limits, rates)).await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(20), "the second of one minute would have waited for it");
}

/// Tokens that an answer did not use are there for the next call; those that it may use are waited for.
#[tokio::test]
async fn tokens_are_counted_as_they_are_used() {
    let wire = Wire::ALL[1];
    let server = Server::answering(move |_, _| wire.reply(&HELLO)).await;
    // A call may come to some 900 tokens and comes to 120: without what goes back, the tenth would wait for a minute.
    let settings = sharing(&Limits::default(), Rates { requests: None, tokens: Some(10_000) });
    let model = wire.model_with(server.url(), Settings { total: Duration::from_secs(10), ..settings });
    for _ in 0..10 {
        model.complete(&request()).await.unwrap();
    }
}

/// One call is told to wait, and so does every other to that server, whoever makes it.
#[tokio::test]
async fn a_wait_that_one_call_is_asked_for_is_kept_by_all() {
    let one = |wire: Wire| async move {
        let limits = Limits::default();
        let server = Server::answering(move |number, _| match number {
            0 => Reply::status(429, &["retry-after: 1"], ""),
            _ => wire.reply(&HELLO),
        })
        .await;
        let models = [0, 1].map(|_| wire.model_with(server.url(), sharing(&limits, Rates::default())));
        let once = Settings { tries: 1, ..sharing(&limits, Rates::default()) };
        wire.model_with(server.url(), once).complete(&request()).await.unwrap_err();
        let told = Instant::now();
        let asking = models.iter().map(|model| async { model.complete(&request()).await.unwrap() });
        futures::future::join_all(asking).await;
        for seen in &server.seen()[1..] {
            assert!(seen.at - told >= Duration::from_millis(950), "{wire:?}: {:?}", seen.at - told);
        }
    };
    futures::future::join_all(Wire::ALL.map(one)).await;
}

/// No call is made that the server has said it will not take, and the error says why.
#[tokio::test]
async fn a_server_that_asks_for_an_hour_is_not_asked_again() {
    let wire = Wire::ALL[1];
    let limits = Limits::default();
    let server = Server::script([Reply::status(429, &["retry-after: 9000"], "")]).await;
    wire.ask_with(&server, sharing(&limits, Rates::default())).await.unwrap_err();
    let error = wire.ask_with(&server, sharing(&limits, Rates::default())).await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
    assert!(matches!(error, ModelError::NotAsked { .. }), "{error:?}");
    assert_eq!(
        error.in_words(),
        "the model's server is not asked: it asks to wait 3600 s; at most 120 s are waited",
        "an hour is the longest that is believed"
    );
    assert_eq!(error.spent_usd(), Some(0.0));
}

#[tokio::test]
async fn a_turn_that_comes_too_late_ends_the_call() {
    let wire = Wire::ALL[1];
    let server = Server::answering(move |_, _| wire.reply(&HELLO)).await;
    let settings = sharing(&Limits::default(), Rates { requests: Some(1), tokens: None });
    let model = wire.model_with(server.url(), settings);
    model.complete(&request()).await.unwrap();
    let error = model.complete(&request()).await.unwrap_err();
    let words = "the model's server is not asked: its rate limit leaves no turn before the call's time is up";
    assert_eq!(error.in_words(), words);
    assert_eq!(server.seen().len(), 1);
}
