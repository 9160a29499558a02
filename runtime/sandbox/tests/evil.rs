//! Guests that misbehave cost their own call and nothing else.

use std::time::{Duration, Instant};

use gloaming_api::tool::ToolErrorCode;
use serde_json::json;

use crate::support::{call, guest, options, sandbox, with_guest, workspace};

/// Calls an evil guest and returns its error, after showing that the next call on the same engine works.
fn error(name: &str, args: serde_json::Value) -> (ToolErrorCode, String, Vec<String>) {
    let dir = workspace(&[("a.txt", "a")]);
    let sandbox = with_guest(name);
    let tool = sandbox.tools()[0].name.clone();
    let mut last = None;
    for _ in 0..3 {
        let call = call(&sandbox, &tool, dir.path(), args.clone());
        assert!(!call.outcome.ok);
        let error = call.outcome.error.unwrap();
        last = Some((error.code, error.message, call.log));
    }
    last.unwrap()
}

#[test]
fn a_loop_is_stopped_at_the_deadline() {
    let dir = workspace(&[]);
    let sandbox = with_guest("evil-loop");
    for _ in 0..3 {
        let start = Instant::now();
        let call = call(&sandbox, "evil_loop", dir.path(), json!({}));
        let error = call.outcome.error.unwrap();
        assert_eq!(error.code, ToolErrorCode::Timeout);
        assert_eq!(error.message, "the tool was stopped after 0.3 s");
        // Generous upwards: the machine may be busy. The deadline itself is exact downwards.
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(call.record.duration_us.total >= 300_000);
    }
}

#[test]
fn a_loop_does_not_hold_up_other_calls() {
    let dir = workspace(&[("a.txt", "a\n")]);
    let mut looping = with_guest("evil-loop");
    looping.register(&guest("evil-panic")).unwrap();
    std::thread::scope(|scope| {
        let looped = scope.spawn(|| call(&looping, "evil_loop", dir.path(), json!({})));
        let start = Instant::now();
        let panicked = call(&looping, "evil_panic", dir.path(), json!({"message": "x"}));
        assert_eq!(panicked.outcome.error.unwrap().code, ToolErrorCode::Internal);
        assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
        assert_eq!(looped.join().unwrap().outcome.error.unwrap().code, ToolErrorCode::Timeout);
    });
}

#[test]
fn a_memory_bomb_hits_the_cap() {
    let dir = workspace(&[]);
    let sandbox = with_guest("evil-memory");
    for _ in 0..3 {
        let call = call(&sandbox, "evil_memory", dir.path(), json!({}));
        let error = call.outcome.error.unwrap();
        assert_eq!(error.code, ToolErrorCode::TooLarge, "{}", error.message);
        assert_eq!(error.message, "the tool needed more than 32 MiB of memory");
        assert!(call.record.peak_memory > 16 << 20 && call.record.peak_memory <= 32 << 20);
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    let (code, message, _) = error("evil-recursion", json!({}));
    assert_eq!((code, message.as_str()), (ToolErrorCode::Internal, "the tool broke: it recursed too deep"));
}

#[test]
fn a_panic_s_message_is_in_the_log_and_not_shown_to_the_model() {
    let (code, message, log) = error("evil-panic", json!({"message": "the reason"}));
    assert_eq!((code, message.as_str()), (ToolErrorCode::Internal, "the tool broke: it panicked"));
    assert!(log[0].contains("the reason"), "{log:?}");
}

#[test]
fn a_flood_is_cut() {
    let dir = workspace(&[]);
    let sandbox = with_guest("evil-flood");
    let call = call(&sandbox, "evil_flood", dir.path(), json!({"bytes": 0, "lines": 1_000}));
    assert!(call.outcome.ok, "{:?}", call.outcome.error);
    assert_eq!(call.log.len(), 201);
    assert!(call.log[..200].iter().all(|line| line.len() == 4 << 10));
    assert_eq!(call.log[200], "... and 800 more lines");
}

#[test]
fn an_answer_too_large_for_the_host_ends_the_call() {
    let dir = workspace(&[]);
    let mut sandbox = gloaming_sandbox::Sandbox::without_tools(options()).unwrap();
    sandbox.register(&guest("evil-flood")).unwrap();
    let small = call(&sandbox, "evil_flood", dir.path(), json!({"bytes": 1_000_000, "lines": 0}));
    assert_eq!(small.outcome.output.unwrap()["text"].as_str().unwrap().len(), 1_000_000);
    let large = call(&sandbox, "evil_flood", dir.path(), json!({"bytes": 200_u64 << 20, "lines": 0}));
    let error = large.outcome.error.unwrap();
    assert!(matches!(error.code, ToolErrorCode::TooLarge | ToolErrorCode::Internal), "{}", error.message);
}

#[test]
fn imports_that_no_grant_gives_are_refused_by_name() {
    let mut sandbox = gloaming_sandbox::Sandbox::without_tools(options()).unwrap();
    let error = sandbox.register(&guest("evil-imports")).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "the component imports what no grant can give: gloaming:evil/network@0.1.0; a tool may import"
        ),
        "{error}"
    );
    assert_eq!(sandbox.tools(), []);
}

#[test]
fn a_two_gigabyte_read_is_refused() {
    let dir = workspace(&[]);
    std::fs::File::create(dir.path().join("huge")).unwrap().set_len(2 << 30).unwrap();
    let call = call(sandbox(), "read", dir.path(), json!({"path": "huge"}));
    assert_eq!(call.outcome.error.unwrap().code, ToolErrorCode::TooLarge);
    assert_eq!(call.record.bytes_read, 0);
}
