//! Many calls at once.

use std::time::Duration;

use gloaming_sandbox::{Files, Options, Sandbox};
use serde_json::json;

use crate::support::{call, get, options, permit, workspace};

#[test]
fn a_hundred_parallel_calls_over_a_pool_of_four_all_answer() {
    let dir = workspace(&[("a.txt", "one\ntwo\n")]);
    let sandbox = Sandbox::new(Options { max_instances: 4, ..options() }).unwrap();
    assert!(sandbox.is_pooled());
    let files = Files::open(dir.path()).unwrap();
    let permit = permit("read");
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| sandbox.call(&permit, &files, &json!({"path": "a.txt"}))))
            .collect();
        for call in calls {
            let call = call.join().unwrap();
            assert!(call.outcome.ok, "{:?}", call.outcome.error);
            assert_eq!(call.outcome.output.unwrap()["total"], 2);
        }
    });
}

#[test]
fn a_pool_larger_than_there_is_room_for_is_made_smaller() {
    let dir = workspace(&[("a.txt", "one\n")]);
    let sandbox = Sandbox::new(Options { max_instances: 100_000, ..options() }).unwrap();
    assert!(sandbox.is_pooled());
    assert!((4..100_000).contains(&sandbox.places()), "{}", sandbox.places());
    let call = call(&sandbox, "read", dir.path(), json!({"path": "a.txt"}));
    assert!(call.outcome.ok, "{:?}", call.outcome.error);
}

/// Run in a process of its own, since a limit on address space holds for the whole of one.
#[test]
fn without_room_for_a_pool_calls_are_served_on_demand() {
    const INSIDE: &str = "GLOAMING_TEST_SMALL_ADDRESS_SPACE";
    if std::env::var_os(INSIDE).is_none() {
        let name = "concurrency::without_room_for_a_pool_calls_are_served_on_demand";
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 3000000 && exec \"$0\" --exact \"$1\" --test-threads=1"])
            .arg(std::env::current_exe().unwrap())
            .args([name])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let dir = workspace(&[("a.txt", "one\n")]);
    let sandbox = Sandbox::new(options()).unwrap();
    assert!(!sandbox.is_pooled());
    for _ in 0..3 {
        let read = call(&sandbox, "read", dir.path(), json!({"path": "a.txt"}));
        assert!(read.outcome.ok, "{:?}", read.outcome.error);
        let found = call(&sandbox, "search", dir.path(), json!({"pattern": "o.e"}));
        assert_eq!(found.outcome.output.unwrap()["files"], 1);
    }
}

#[test]
fn two_edits_of_one_file_at_once_both_happen_or_one_is_told() {
    let text: String = (0..20).map(|n| format!("line {n} old\n")).collect();
    let dir = workspace(&[("a.txt", &text)]);
    let sandbox = Sandbox::new(Options { deadline: Duration::from_secs(60), ..options() }).unwrap();
    let files = Files::open(dir.path()).unwrap();
    let permit = permit("edit");
    let told: Vec<bool> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..20)
            .map(|n| {
                let (sandbox, permit, files) = (&sandbox, &permit, &files);
                scope.spawn(move || {
                    let (old, new) = (format!("line {n} old\n"), format!("line {n} new\n"));
                    let args = json!({"path": "a.txt", "old": old, "new": new});
                    let call = sandbox.call(permit, files, &args);
                    if let Some(error) = &call.outcome.error {
                        assert_eq!(
                            error.code,
                            gloaming_api::tool::ToolErrorCode::Conflict,
                            "{}",
                            error.message
                        );
                    }
                    call.outcome.ok
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let after = get(dir.path(), "a.txt").unwrap();
    for (n, done) in told.iter().enumerate() {
        assert_eq!(after.contains(&format!("line {n} new\n")), *done, "{n}");
    }
    assert!(told.contains(&true));
}
