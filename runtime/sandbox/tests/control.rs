//! A call from outside: stopped before its deadline, and seen while it runs.

use std::path::Path;
use std::time::{Duration, Instant};

use gloaming_api::tool::ToolErrorCode;
use gloaming_sandbox::{Call, Control, Files, Options, Sandbox, Seen};
use serde_json::{Value, json};

use crate::support::{get, options, permit, sandbox, tree, with_guest_and, workspace};

/// A deadline that none of these calls comes near.
const DEADLINE: Duration = Duration::from_secs(120);
/// Within this a call has stopped; generous, since the machine may be busy.
const SOON: Duration = Duration::from_secs(20);

/// Makes a call, stops it once it is seen to be as `ready` says, and shows that it stopped for that.
fn stopped(
    sandbox: &Sandbox,
    tool: &str,
    dir: &Path,
    args: Value,
    ready: impl Fn(Seen) -> bool,
) -> (Call, Seen) {
    let files = Files::open(dir).unwrap();
    let control = Control::default();
    let (call, seen, took) = std::thread::scope(|scope| {
        let calling = scope.spawn(|| sandbox.call_controlled(&permit(tool), &files, &args, &control));
        while !ready(control.seen()) {
            assert!(!calling.is_finished(), "it ended first: {:?}", calling.join().unwrap().outcome);
            std::thread::yield_now();
        }
        let (seen, since) = (control.seen(), Instant::now());
        control.cancel();
        (calling.join().unwrap(), seen, since.elapsed())
    });
    let error = call.outcome.error.as_ref().unwrap();
    assert_eq!((error.code, error.message.as_str()), (ToolErrorCode::Cancelled, "the call was cancelled"));
    assert!(took < SOON, "{took:?}");
    assert_eq!(call.log, [""; 0], "that a call was stopped is nothing its operator need be told");
    (call, seen)
}

#[test]
fn a_loop_is_stopped_long_before_its_deadline() {
    let dir = workspace(&[("a.txt", "a\n")]);
    let sandbox = with_guest_and("evil-loop", Options { deadline: DEADLINE, ..options() });
    for _ in 0..3 {
        stopped(&sandbox, "evil_loop", dir.path(), json!({}), |seen| seen.running);
    }
}

#[test]
fn a_search_is_seen_to_read_and_its_record_says_what_it_read() {
    // Letters a and b in no order: the expression looks 300 letters back from every one.
    let mut seed = 1_u64;
    let text: String = (0..1 << 20)
        .map(|at| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match (at % 1000, seed >> 63) {
                (999, _) => '\n',
                (_, 0) => 'a',
                _ => 'b',
            }
        })
        .collect();
    let names: Vec<String> = (0..40).map(|n| format!("{n:02}.txt")).collect();
    let dir = workspace(&names.iter().map(|name| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    let sandbox = Sandbox::new(Options { deadline: DEADLINE, ..options() }).unwrap();
    let args = json!({"pattern": "a[ab]{300}[^ab\n]"});
    let (call, seen) = stopped(&sandbox, "search", dir.path(), args, |seen| seen.files > 0);
    assert!(seen.running && seen.bytes >= 1 << 20, "{seen:?}");
    assert!(call.record.reads_total >= seen.files && call.record.bytes_read >= seen.bytes);
    assert!(call.record.reads_total < 40, "{}", call.record.reads_total);
}

#[test]
fn a_call_that_was_stopped_before_it_began_does_nothing() {
    let dir = workspace(&[("a.txt", "old\n")]);
    let before = tree(dir.path());
    let files = Files::open(dir.path()).unwrap();
    let control = Control::default();
    control.cancel();
    let args = json!({"path": "new.txt", "content": "x"});
    let call = sandbox().call_controlled(&permit("write"), &files, &args, &control);
    assert_eq!(call.outcome.error.unwrap().code, ToolErrorCode::Cancelled);
    assert_eq!((call.record.tool.as_str(), call.record.writes.len()), ("write", 0));
    assert_eq!(tree(dir.path()), before);
    assert_eq!(control.seen(), Seen::default());
    // The next one is none of its business.
    assert!(sandbox().call(&permit("write"), &files, &args).outcome.ok);
    assert_eq!(get(dir.path(), "new.txt").as_deref(), Some("x"));
}
