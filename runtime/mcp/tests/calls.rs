//! Calls: what is offered, answered, recorded and stopped.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gloaming_api::journal::EventKind;
use rmcp::model::ErrorCode;
use rmcp::service::ServiceError;
use serde_json::{Value, json};

use crate::support::{Scene, params, text};

const FILES: &[(&str, &str)] =
    &[("src/lib.rs", "pub fn answer() -> u32 {\n    42\n}\n"), (".env", "SECRET=1\n")];

#[tokio::test]
async fn what_is_denied_as_a_whole_is_not_offered_and_the_rest_says_what_it_may_do() {
    let scene = Scene::new(FILES, &[]);
    let connected = scene.connect().await;
    let tools = connected.client.list_all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(names, scene.server.tool_names());
    assert!(names.contains(&"read") && names.contains(&"edit") && !names.contains(&"patch"), "{names:?}");
    for tool in &tools {
        let hints = tool.annotations.as_ref().unwrap();
        let writes = ["edit", "write", "move", "remove"].contains(&tool.name.as_ref());
        assert_eq!(hints.read_only_hint, Some(!writes), "{}", tool.name);
        assert_eq!(hints.destructive_hint, Some(writes), "{}", tool.name);
        assert_eq!(hints.open_world_hint, Some(false), "{}", tool.name);
        assert!(hints.idempotent_hint.is_some() && hints.title.is_some() && tool.title.is_some());
        assert_eq!(tool.input_schema["type"], "object");
        assert_eq!(tool.output_schema.as_ref().unwrap()["type"], "object", "{}", tool.name);
    }
}

#[tokio::test]
async fn an_answer_is_text_for_a_model_and_the_output_for_programs() {
    let scene = Scene::new(FILES, &[]);
    let connected = scene.connect().await;
    let result = connected.call("read", json!({"path": "src/lib.rs", "start": 2, "lines": 1})).await;
    assert_eq!(result.is_error, Some(false));
    assert!(text(&result).contains("42"), "{result:?}");
    let output = result.structured_content.unwrap();
    assert_eq!(
        (&output["path"], &output["first"], &output["total"]),
        (&json!("src/lib.rs"), &json!(2), &json!(3))
    );
    let id = result.meta.unwrap()["gloaming/call"].clone();
    assert_eq!(scene.journal.calls()[0].0, id.as_str().unwrap());
}

#[tokio::test]
async fn a_refusal_is_a_result_that_names_the_rule() {
    let scene = Scene::new(FILES, &[]);
    let connected = scene.connect().await;
    for (tool, args, rule) in
        [("read", json!({"path": ".env"}), "no-secrets"), ("patch", json!({"patch": ""}), "no-patches")]
    {
        let result = connected.call(tool, args).await;
        assert_eq!((result.is_error, &result.structured_content), (Some(true), &None));
        assert!(text(&result).contains(rule), "{result:?}");
        let error = &result.meta.as_ref().unwrap()["gloaming/error"];
        assert_eq!((&error["code"], &error["rule"]), (&json!("denied"), &json!(rule)));
    }
    assert!(!format!("{:?}", scene.journal.events.lock().unwrap()).contains("SECRET"));
    let Err(ServiceError::McpError(error)) = connected.client.call_tool(params("shell", json!({}))).await
    else {
        panic!("there is no such tool");
    };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
    assert!(error.message.contains("read") && !error.message.contains("patch"), "{}", error.message);
    let codes: Vec<_> = scene.journal.calls().into_iter().map(|(_, tool, code, _)| (tool, code)).collect();
    let expected = [("read", "denied"), ("patch", "denied"), ("shell", "not_found")];
    assert_eq!(codes, expected.map(|(tool, code)| (tool.to_owned(), Some(json!(code)))));
}

#[tokio::test]
async fn a_cancelled_call_stops_its_guest_and_no_other() {
    let scene = Scene::new(FILES, &["evil-loop"]);
    let connected = scene.connect().await;
    let begun = Instant::now();
    let other = tokio::select! {
        ended = connected.client.call_tool(params("evil_loop", json!({}))) => panic!("it ended: {ended:?}"),
        other = async {
            // On the same connection, while the loop runs.
            connected.call("read", json!({"path": "src/lib.rs"})).await
        } => other,
    };
    assert_eq!(other.is_error, Some(false));
    // The client dropped its request, which cancels it.
    scene.journal.until_calls(2).await;
    let (_, tool, code, took) = scene.journal.calls().remove(1);
    assert_eq!((tool.as_str(), code), ("evil_loop", Some(json!("cancelled"))));
    // Its deadline would have been 10 s.
    assert!(took < Duration::from_secs(5) && begun.elapsed() < Duration::from_secs(5), "{took:?}");
    assert_eq!(connected.call("read", json!({"path": "src/lib.rs"})).await.is_error, Some(false));
}

#[tokio::test]
async fn a_guest_that_breaks_costs_its_call_alone() {
    let scene = Scene::new(FILES, &["evil-panic", "evil-recursion"]);
    let connected = scene.connect().await;
    for (tool, args) in [("evil_panic", json!({"message": "x"})), ("evil_recursion", json!({}))] {
        let result = connected.call(tool, args).await;
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.meta.unwrap()["gloaming/error"]["code"], "internal");
    }
    assert_eq!(connected.call("read", json!({"path": "src/lib.rs"})).await.is_error, Some(false));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_the_last_call() {
    let scene = Scene::new(FILES, &[]);
    let connected = scene.connect().await;
    scene.journal.full.store(true, Ordering::Release);
    let result = connected.call("read", json!({"path": "src/lib.rs"})).await;
    assert_eq!(result.is_error, Some(true));
    assert!(text(&result).contains("journal"), "{result:?}");
    // Even when there is room again: the chain has a hole.
    scene.journal.full.store(false, Ordering::Release);
    let result = connected.call("write", json!({"path": "new.txt", "content": "x"})).await;
    assert_eq!(result.is_error, Some(true));
    assert!(!scene.dir.path().join("new.txt").exists());
    assert!(scene.journal.calls().is_empty());
}

#[tokio::test]
async fn a_long_call_tells_how_far_it_is() {
    let scene = Scene::new(FILES, &["evil-loop"]);
    let mut connected = scene.connect().await;
    let looping = connected.client.call_tool(params("evil_loop", json!({})));
    let mut told = Vec::new();
    tokio::pin!(looping);
    while told.len() < 3 {
        tokio::select! {
            ended = &mut looping => panic!("it ended first: {ended:?}"),
            progress = connected.progress.recv() => told.push(progress.unwrap()),
        }
    }
    assert!(told.windows(2).all(|two| two[0].progress < two[1].progress), "{told:?}");
    assert_eq!(told[2].message.as_deref(), Some("0 files read, 0 KiB"));
}

#[tokio::test]
async fn a_client_that_goes_takes_its_calls_with_it() {
    let scene = Scene::new(FILES, &["evil-loop"]);
    let mut connected = scene.connect().await;
    let peer = connected.client.peer().clone();
    let looping = tokio::spawn(async move { peer.call_tool_once(params("evil_loop", json!({}))).await });
    connected.progress.recv().await.expect("the call runs");
    assert!(!looping.is_finished());
    drop(connected.client);
    connected.serving.await.unwrap();
    scene.journal.until_calls(1).await;
    let (_, _, code, took) = scene.journal.calls().remove(0);
    assert_eq!(code, Some(json!("cancelled")));
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn the_end_is_recorded_after_the_last_call() {
    let scene = Scene::new(FILES, &[]);
    let connected = scene.connect().await;
    let written = connected.call("write", json!({"path": "new.txt", "content": "x"})).await;
    assert_eq!(written.is_error, Some(false));
    connected.stop.send(()).unwrap();
    connected.serving.await.unwrap();
    scene.server.clone().finish().await.unwrap();
    assert_eq!(std::fs::read_to_string(scene.dir.path().join("new.txt")).unwrap(), "x");
    let events = scene.journal.events.lock().unwrap();
    let kinds: Vec<Value> =
        events.iter().map(|event| serde_json::to_value(event).unwrap()["event"].clone()).collect();
    assert_eq!(kinds, [json!("client_joined"), json!("tool_call"), json!("serving_ended")]);
    assert_eq!(events[2], EventKind::ServingEnded { clients: 1, calls: 1 });
}
